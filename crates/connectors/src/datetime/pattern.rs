//! Java `DateTimeFormatter` patterns with Spark's restrictions.
//!
//! Spark does not hand a pattern to Java as it is. It refuses week-based letters (`Y w W u e c`), letters
//! it finds too obscure (`A B n N p`) and, for parsing, those that determine nothing (`E F q Q`); it reads
//! `y` as the proleptic year unless the pattern has an era; parsing is strict but ignores case, and a run
//! of `S` takes one to that many digits. What it refuses it reports in two ways, depending on whether
//! Spark 2's `SimpleDateFormat` would have taken the pattern.
use super::fields::{Field, Item, Number, OffsetShape, Sign, Word};

/// A pattern that Spark refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Neither Spark 3 nor Spark 2 understands the pattern.
    #[error("unrecognized datetime pattern '{pattern}': {reason}")]
    Invalid {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        reason: Reason,
    },
    /// A pattern Spark 2 knew and Spark 3 does not.
    #[error("fail to recognize '{pattern}' pattern in the DateTimeFormatter: {reason}")]
    CrossVersion {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        reason: Reason,
    },
    /// The value has no such field, e.g. hours of a date.
    #[error("a value formatted with '{pattern}' has no {field}")]
    Field {
        /// The pattern.
        pattern: String,
        /// The field that is missing.
        field: &'static str,
    },
}

/// Why a pattern is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// `Y w W u e c`.
    #[error("week-based letter '{0}'")]
    WeekBased(char),
    /// A letter Spark does not allow here.
    #[error("illegal letter '{0}'")]
    Illegal(char),
    /// A run of a letter that Spark does not allow.
    #[error("too many letters: {0}")]
    Length(String),
    /// Not a Java pattern.
    #[error("{0}")]
    Syntax(String),
}

impl PatternError {
    /// Spark's error class.
    pub fn error_class(&self) -> &'static str {
        match self {
            Self::CrossVersion { .. } => {
                "INCONSISTENT_BEHAVIOR_CROSS_VERSION.DATETIME_PATTERN_RECOGNITION"
            }
            Self::Invalid { reason, .. } => match reason {
                Reason::WeekBased(_) => {
                    "INCONSISTENT_BEHAVIOR_CROSS_VERSION.DATETIME_WEEK_BASED_PATTERN"
                }
                Reason::Illegal(_) => "INVALID_DATETIME_PATTERN.ILLEGAL_CHARACTER",
                Reason::Length(_) => "INVALID_DATETIME_PATTERN.LENGTH",
                Reason::Syntax(_) => "INVALID_DATETIME_PATTERN.WITH_SUGGESTION",
            },
            Self::Field { .. } => "_LEGACY_ERROR_TEMP_2000",
        }
    }

    /// Parameters of the class's message.
    pub fn message_parameters(&self) -> Vec<(&'static str, String)> {
        const DOCS: &str = "https://spark.apache.org/docs/latest/sql-ref-datetime-pattern.html";
        match self {
            Self::CrossVersion { pattern, .. } => vec![
                ("pattern", format!("'{pattern}'")),
                ("config", "\"spark.sql.legacy.timeParserPolicy\"".to_owned()),
                ("docroot", DOCS.to_owned()),
            ],
            Self::Invalid { pattern, reason } => match reason {
                Reason::WeekBased(c) => vec![("c", c.to_string())],
                Reason::Illegal(c) => vec![("pattern", pattern.clone()), ("c", c.to_string())],
                Reason::Length(_) => vec![("pattern", pattern.clone())],
                Reason::Syntax(_) => {
                    vec![
                        ("pattern", format!("'{pattern}'")),
                        ("docroot", DOCS.to_owned()),
                    ]
                }
            },
            Self::Field { pattern, .. } => vec![("message", pattern.clone())],
        }
    }
}

/// A compiled pattern, for parsing or for formatting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JavaPattern {
    pub(super) source: String,
    pub(super) items: Vec<Item>,
}

impl JavaPattern {
    /// Compiles a pattern for reading timestamps.
    ///
    /// # Errors
    /// What Spark reports for the pattern.
    pub fn for_parsing(pattern: &str) -> Result<Self, PatternError> {
        Self::compile(pattern, true)
    }

    /// Compiles a pattern for printing.
    ///
    /// # Errors
    /// What Spark reports for the pattern.
    pub fn for_formatting(pattern: &str) -> Result<Self, PatternError> {
        Self::compile(pattern, false)
    }

    /// The pattern's text.
    pub fn source(&self) -> &str {
        &self.source
    }

    fn compile(pattern: &str, parsing: bool) -> Result<Self, PatternError> {
        let items =
            vet(pattern, parsing).and_then(|()| Compiler::new(pattern, parsing).compile(pattern));
        items
            .map(|items| Self {
                source: pattern.to_owned(),
                items,
            })
            .map_err(|reason| {
                let pattern = pattern.to_owned();
                match known_to_spark_2(&pattern) {
                    true => PatternError::CrossVersion { pattern, reason },
                    false => PatternError::Invalid { pattern, reason },
                }
            })
    }
}

/// Spark's own restrictions, checked quote by quote before Java sees the pattern.
fn vet(pattern: &str, parsing: bool) -> Result<(), Reason> {
    for part in pattern.split('\'').step_by(2) {
        let find = |letters: &[char]| part.chars().find(|c| letters.contains(c));
        if let Some(c) = find(&['Y', 'W', 'w', 'u', 'e', 'c']) {
            return Err(Reason::WeekBased(c));
        }
        let unsupported: &[char] = match parsing {
            true => &['A', 'B', 'n', 'N', 'p', 'E', 'F', 'q', 'Q'],
            false => &['A', 'B', 'n', 'N', 'p'],
        };
        if let Some(c) = find(unsupported) {
            return Err(Reason::Illegal(c));
        }
        for (letter, longest) in [
            ("G", 4),
            ("M", 4),
            ("L", 4),
            ("E", 4),
            ("Q", 4),
            ("q", 4),
            ("y", 6),
        ] {
            if part.contains(&letter.repeat(longest + 1)) {
                return Err(Reason::Length(letter.repeat(longest + 1)));
            }
        }
    }
    Ok(())
}

/// Whether `SimpleDateFormat` takes the pattern.
fn known_to_spark_2(pattern: &str) -> bool {
    const LETTERS: &str = "GyMLwWDdFEuaHkKhmsSzZXY";
    let unquoted = || pattern.split('\'').step_by(2);
    pattern.matches('\'').count().is_multiple_of(2)
        && unquoted().all(|part| {
            part.chars()
                .all(|c| !c.is_ascii_alphabetic() || LETTERS.contains(c))
        })
        && !unquoted().any(|part| part.contains("XXXX"))
}

struct Compiler {
    parsing: bool,
    year: Field,
    /// Finished outer levels of `[`, innermost last.
    outer: Vec<Vec<Item>>,
    items: Vec<Item>,
    /// Where in `items` the number is that takes digits away from those right behind it.
    leading_number: Option<usize>,
}

impl Compiler {
    fn new(pattern: &str, parsing: bool) -> Self {
        let era = pattern
            .split('\'')
            .step_by(2)
            .any(|part| part.contains('G'));
        let year = if era { Field::YearOfEra } else { Field::Year };
        Self {
            parsing,
            year,
            outer: vec![],
            items: vec![],
            leading_number: None,
        }
    }

    fn compile(mut self, pattern: &str) -> Result<Vec<Item>, Reason> {
        let mut chars = pattern.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                'A'..='Z' | 'a'..='z' => {
                    let mut count = 1;
                    while chars.next_if_eq(&c).is_some() {
                        count += 1;
                    }
                    self.letter(c, count)?;
                }
                '\'' => self.quoted(&mut chars)?,
                '[' => {
                    self.leading_number = None;
                    self.outer.push(std::mem::take(&mut self.items));
                }
                ']' => {
                    let section = std::mem::take(&mut self.items);
                    self.items = self
                        .outer
                        .pop()
                        .ok_or_else(|| Reason::Syntax("']' without a previous '['".to_owned()))?;
                    self.push(Item::Optional(section));
                }
                '{' | '}' | '#' => {
                    return Err(Reason::Syntax(format!(
                        "pattern includes reserved character '{c}'"
                    )));
                }
                _ => self.literal(&c.to_string()),
            }
        }
        while let Some(outer) = self.outer.pop() {
            let section = std::mem::replace(&mut self.items, outer);
            self.push(Item::Optional(section));
        }
        Ok(self.items)
    }

    fn quoted(
        &mut self,
        chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    ) -> Result<(), Reason> {
        let mut text = String::new();
        loop {
            match chars.next() {
                Some('\'') if chars.next_if_eq(&'\'').is_some() => text.push('\''),
                Some('\'') => break,
                Some(c) => text.push(c),
                None => {
                    return Err(Reason::Syntax(
                        "pattern ends with an incomplete string literal".into(),
                    ));
                }
            }
        }
        self.literal(if text.is_empty() { "'" } else { &text });
        Ok(())
    }

    fn literal(&mut self, text: &str) {
        self.leading_number = None;
        match self.items.last_mut() {
            Some(Item::Literal(last)) => last.push_str(text),
            _ => self.items.push(Item::Literal(text.to_owned())),
        }
    }

    fn push(&mut self, item: Item) {
        self.leading_number = None;
        self.items.push(item);
    }

    /// Appends a number; a run of numbers shares its digits as Java's adjacent value parsing does.
    fn number(&mut self, mut number: Number) {
        let leading = self
            .leading_number
            .and_then(|at| match self.items.get_mut(at) {
                Some(Item::Number(leading)) => Some((at, leading)),
                _ => None,
            });
        self.leading_number = match leading {
            None => Some(self.items.len()),
            Some((at, leading)) if number.min == number.max && number.sign == Sign::NotNegative => {
                leading.subsequent += number.max;
                number.fixed = true;
                Some(at)
            }
            Some((_, leading)) => {
                leading.fixed = true;
                Some(self.items.len())
            }
        };
        self.items.push(Item::Number(number));
    }

    fn plain(&mut self, field: Field, count: usize) {
        let (min, max, sign) = match count {
            1 => (1, 19, Sign::Normal),
            _ => (count, count, Sign::NotNegative),
        };
        self.number(Number {
            field,
            min,
            max,
            sign,
            reduced: false,
            subsequent: 0,
            fixed: false,
        });
    }

    fn letter(&mut self, c: char, count: usize) -> Result<(), Reason> {
        let too_many = || Err(Reason::Syntax(format!("too many pattern letters: {c}")));
        let word = |word| Item::Word {
            word,
            full: count == 4,
        };
        match (c, count) {
            ('y', 2) => self.number(Number {
                field: self.year,
                min: 2,
                max: 2,
                sign: Sign::NotNegative,
                reduced: true,
                subsequent: 0,
                fixed: false,
            }),
            ('y', _) => {
                let sign = if count < 4 {
                    Sign::Normal
                } else {
                    Sign::ExceedsPad
                };
                let field = self.year;
                self.number(Number {
                    field,
                    min: count,
                    max: 19,
                    sign,
                    reduced: false,
                    subsequent: 0,
                    fixed: false,
                });
            }
            ('M' | 'L', 1 | 2) => self.plain(Field::Month, count),
            ('M' | 'L', _) => self.push(word(Word::Month)),
            ('Q' | 'q', 1 | 2) => self.plain(Field::Quarter, count),
            ('Q' | 'q', _) => self.push(word(Word::Quarter)),
            ('E', _) => self.push(word(Word::Weekday)),
            ('G', _) => self.push(word(Word::Era)),
            ('a', 1) => self.push(word(Word::AmPm)),
            ('d', 1 | 2) => self.plain(Field::Day, count),
            ('H', 1 | 2) => self.plain(Field::HourOfDay, count),
            ('k', 1 | 2) => self.plain(Field::ClockHourOfDay, count),
            ('K', 1 | 2) => self.plain(Field::HourOfAmPm, count),
            ('h', 1 | 2) => self.plain(Field::ClockHourOfAmPm, count),
            ('m', 1 | 2) => self.plain(Field::Minute, count),
            ('s', 1 | 2) => self.plain(Field::Second, count),
            ('F', 1) => self.plain(Field::AlignedWeekday, 1),
            ('D', 1) => self.plain(Field::DayOfYear, 1),
            ('D', 2 | 3) => self.number(Number {
                field: Field::DayOfYear,
                min: count,
                max: 3,
                sign: Sign::NotNegative,
                reduced: false,
                subsequent: 0,
                fixed: false,
            }),
            ('g', _) => self.number(Number {
                field: Field::ModifiedJulianDay,
                min: count,
                max: 19,
                sign: Sign::Normal,
                reduced: false,
                subsequent: 0,
                fixed: false,
            }),
            ('S', 1..=9) => self.fraction(count),
            ('z', 1..=4) => self.push(Item::ZoneName { full: count == 4 }),
            ('V', 2) => self.push(Item::ZoneId),
            ('O', 1 | 4) | ('Z', 4) => self.push(Item::LocalizedOffset { full: count == 4 }),
            ('Z', 1..=3 | 5) | ('X' | 'x', 1..=5) => {
                self.push(Item::Offset(offset_shape(c, count)))
            }
            (
                'a' | 'd' | 'H' | 'k' | 'K' | 'h' | 'm' | 's' | 'F' | 'D' | 'S' | 'z' | 'V' | 'O'
                | 'Z' | 'X' | 'x',
                _,
            ) => {
                return too_many();
            }
            _ => return Err(Reason::Syntax(format!("unknown pattern letter: {c}"))),
        }
        Ok(())
    }

    fn fraction(&mut self, count: usize) {
        let min = if self.parsing { 1 } else { count };
        if min == count && self.leading_number.is_some() {
            // A fraction of one digit has a fixed width, so that it counts among the adjacent numbers.
            if let Some(Item::Number(leading)) =
                self.leading_number.and_then(|at| self.items.get_mut(at))
            {
                leading.subsequent += count;
            }
            self.items.push(Item::Fraction { min, max: count });
        } else {
            self.push(Item::Fraction { min, max: count });
        }
    }
}

fn offset_shape(c: char, count: usize) -> OffsetShape {
    let zero = match (c, count) {
        ('X', _) | ('Z', 5) => "Z",
        ('x', 1) => "+00",
        ('x', 3 | 5) => "+00:00",
        _ => "+0000",
    };
    OffsetShape {
        colon: matches!((c, count), ('X' | 'x', 3 | 5) | ('Z', 5)),
        minutes_optional: count == 1 && c != 'Z',
        seconds: count >= 4,
        zero,
    }
}
