//! Interval literals in all their forms.
//!
//! | form | example |
//! |---|---|
//! | units | `INTERVAL 1 hour 30 minutes`, `INTERVAL '15' minute` |
//! | text | `INTERVAL '1 day -2 hours'` |
//! | from unit to unit | `INTERVAL '1 02:03:04' DAY TO SECOND` |
//!
//! Spark has no interval of months *and* days outside its legacy type: a literal is a year-month
//! interval (a number of months) or a day-time interval (a number of microseconds), and its type
//! records from which to which unit it was written.
//!
//! [`parse_interval`] reads the text form, which is also the form of window durations and of the
//! delay of a watermark.

use std::ops::RangeInclusive;

use spark_connect_proto::data_type::{DayTimeInterval, Kind, YearMonthInterval};
use spark_connect_proto::expression::literal::{CalendarInterval, LiteralType};
use spark_connect_proto::{Expression, data_type};

use super::construct::{data_type, typed_literal};
use super::error::{ParseError, ParseErrorKind};
use super::lexer::{NumberKind, Symbol, Token};
use super::parser::{Parsed, Parser};

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_MINUTE: i64 = 60 * MICROS_PER_SECOND;
const MICROS_PER_HOUR: i64 = 60 * MICROS_PER_MINUTE;
const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;

/// A unit of an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Year,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    Nanosecond,
}

impl Unit {
    fn parse(word: &str) -> Option<Self> {
        let lower = word.to_ascii_lowercase();
        Some(match lower.strip_suffix('s').unwrap_or(&lower) {
            "year" => Self::Year,
            "month" => Self::Month,
            "week" => Self::Week,
            "day" => Self::Day,
            "hour" => Self::Hour,
            "minute" => Self::Minute,
            "second" => Self::Second,
            "millisecond" => Self::Millisecond,
            "microsecond" => Self::Microsecond,
            "nanosecond" => Self::Nanosecond,
            _ => return None,
        })
    }

    /// Where the unit stands in an interval type: YEAR and DAY are 0.
    fn field(self) -> Field {
        match self {
            Self::Year => Field::YearMonth(0),
            Self::Month => Field::YearMonth(1),
            Self::Week | Self::Day => Field::DayTime(0),
            Self::Hour => Field::DayTime(1),
            Self::Minute => Field::DayTime(2),
            Self::Second | Self::Millisecond | Self::Microsecond | Self::Nanosecond => {
                Field::DayTime(3)
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    YearMonth(i32),
    DayTime(i32),
}

/// Why a text is no interval: Spark's subclass of `INVALID_INTERVAL_FORMAT` and its words.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{reason}")]
pub struct InvalidInterval {
    /// For example `MISSING_UNIT`.
    pub subclass: &'static str,
    /// Spark's explanation.
    pub reason: String,
}

fn invalid(subclass: &'static str, reason: impl Into<String>) -> InvalidInterval {
    InvalidInterval {
        subclass,
        reason: reason.into(),
    }
}

/// Reads an interval such as `10 minutes`, `1 day -2 hours` or `interval 5 seconds`.
///
/// # Errors
/// When the text is not a sequence of numbers and units, when a unit other than the second has a
/// fraction, or when the sum does not fit.
pub fn parse_interval(text: &str) -> Result<CalendarInterval, InvalidInterval> {
    parse_units(text).map(|(interval, _)| interval)
}

fn parse_units(text: &str) -> Result<(CalendarInterval, Vec<Unit>), InvalidInterval> {
    let mut words = text.split_whitespace().peekable();
    words.next_if(|word| word.eq_ignore_ascii_case("interval"));
    if words.peek().is_none() {
        return Err(invalid(
            "INPUT_IS_EMPTY",
            "Interval string cannot be empty.",
        ));
    }
    let mut interval = CalendarInterval::default();
    let mut units = Vec::new();
    let mut last = "";
    while let Some(word) = words.next() {
        let (negative, rest) = match word.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, word.strip_prefix('+').unwrap_or(word)),
        };
        let number = if rest.is_empty() {
            words.next()
        } else {
            Some(rest)
        };
        let Some(number) = number else {
            let reason = format!("Expect a number after {last} but hit EOL.");
            return Err(invalid("MISSING_NUMBER", reason));
        };
        let value = Amount::parse(number, negative)?;
        let Some(unit_word) = words.next() else {
            let reason = format!("Expect a unit name after {number} but hit EOL.");
            return Err(invalid("MISSING_UNIT", reason));
        };
        let unit = Unit::parse(unit_word)
            .filter(|unit| *unit != Unit::Nanosecond)
            .ok_or_else(|| invalid("INVALID_UNIT", format!("Invalid unit {unit_word}.")))?;
        if value.fractional && unit != Unit::Second {
            let reason = format!("{unit_word} cannot have fractional part.");
            return Err(invalid("INVALID_FRACTION", reason));
        }
        add(&mut interval, &value, unit).ok_or_else(|| {
            let reason = format!("Uncaught arithmetic exception while parsing '{text}'.");
            invalid("ARITHMETIC_EXCEPTION", reason)
        })?;
        units.push(unit);
        last = unit_word;
    }
    Ok((interval, units))
}

/// A number of units, in whole ones and in millionths.
struct Amount {
    whole: i64,
    micros: i64,
    fractional: bool,
}

impl Amount {
    fn parse(text: &str, negative: bool) -> Result<Self, InvalidInterval> {
        let (whole_digits, fraction) = match text.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (text, None),
        };
        let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        let fraction_digits = fraction.unwrap_or("");
        let empty = whole_digits.is_empty() && fraction_digits.is_empty();
        if empty || !all_digits(whole_digits) || !all_digits(fraction_digits) {
            let digit = text.starts_with(|c: char| c.is_ascii_digit() || c == '.');
            return Err(if digit {
                invalid("INVALID_VALUE", format!("Invalid value {text}."))
            } else {
                invalid(
                    "UNRECOGNIZED_NUMBER",
                    format!("Unrecognized number {text}."),
                )
            });
        }
        if fraction_digits.len() > 9 {
            let reason =
                format!("Interval can only support nanosecond precision, {text} is out of range.");
            return Err(invalid("INVALID_PRECISION", reason));
        }
        let signed = if negative {
            format!("-{whole_digits}")
        } else {
            whole_digits.to_owned()
        };
        let whole = if whole_digits.is_empty() {
            Ok(0)
        } else {
            signed.parse()
        };
        let whole = whole.map_err(|_| {
            let reason = format!("Uncaught arithmetic exception while parsing '{text}'.");
            invalid("ARITHMETIC_EXCEPTION", reason)
        })?;
        let micros = micros_of_fraction(fraction_digits);
        let micros = if negative { -micros } else { micros };
        Ok(Self {
            whole,
            micros,
            fractional: fraction.is_some(),
        })
    }
}

fn micros_of_fraction(digits: &str) -> i64 {
    let micros = digits.get(..digits.len().min(6)).unwrap_or("");
    format!("{micros:0<6}").parse().unwrap_or(0)
}

fn add(interval: &mut CalendarInterval, amount: &Amount, unit: Unit) -> Option<()> {
    let times = |factor: i64| amount.whole.checked_mul(factor);
    let small = |value: Option<i64>| value.and_then(|value| i32::try_from(value).ok());
    match unit {
        Unit::Year => interval.months = interval.months.checked_add(small(times(12))?)?,
        Unit::Month => interval.months = interval.months.checked_add(small(times(1))?)?,
        Unit::Week => interval.days = interval.days.checked_add(small(times(7))?)?,
        Unit::Day => interval.days = interval.days.checked_add(small(times(1))?)?,
        _ => {
            let micros = match unit {
                Unit::Hour => times(MICROS_PER_HOUR)?,
                Unit::Minute => times(MICROS_PER_MINUTE)?,
                Unit::Second => times(MICROS_PER_SECOND)?.checked_add(amount.micros)?,
                Unit::Millisecond => times(1_000)?,
                _ => amount.whole,
            };
            interval.microseconds = interval.microseconds.checked_add(micros)?;
        }
    }
    Some(())
}

/// The text form of an interval, in the largest units that fit.
pub(super) fn interval_text(interval: &CalendarInterval) -> String {
    let mut parts = Vec::new();
    let mut part = |amount: i64, unit: &str| {
        if amount != 0 {
            parts.push(format!("{amount} {unit}"));
        }
    };
    part(interval.months.into(), "months");
    part(interval.days.into(), "days");
    let micros = interval.microseconds;
    part(micros / MICROS_PER_HOUR, "hours");
    part(micros % MICROS_PER_HOUR / MICROS_PER_MINUTE, "minutes");
    part(micros % MICROS_PER_MINUTE / MICROS_PER_SECOND, "seconds");
    part(micros % MICROS_PER_SECOND, "microseconds");
    if parts.is_empty() {
        "0 seconds".to_owned()
    } else {
        parts.join(" ")
    }
}

impl Parser<'_> {
    /// Whether `INTERVAL` here begins a literal and is not a column.
    pub fn begins_interval(&self) -> bool {
        match self.token(1) {
            Token::Number(_) => true,
            Token::Symbol(Symbol::Minus | Symbol::Plus) => {
                matches!(self.token(2), Token::Number(_) | Token::String(_)) && self.is_unit(3)
            }
            _ => false,
        }
    }

    fn is_unit(&self, ahead: usize) -> bool {
        matches!(self.token(ahead), Token::Word(word) if Unit::parse(word).is_some())
    }

    /// An interval literal; the cursor stands at `INTERVAL`.
    pub fn interval_literal(&mut self) -> Parsed<Expression> {
        let start = self.offset();
        self.advance();
        if matches!(self.token(0), Token::String(_)) && !self.is_unit(1) {
            let value = self.expect_string()?;
            let Ok((interval, units)) = parse_units(&value) else {
                let literal_type = "INTERVAL".to_owned();
                let kind = ParseErrorKind::InvalidTypedLiteral {
                    literal_type,
                    value,
                };
                return Err(self.error_since(start, kind));
            };
            return self.of_units(&interval, &units, start);
        }
        let value_start = self.offset();
        let (negative, ahead) = self.sign();
        if self.is_unit(ahead + 1) && self.is_word(ahead + 2, "TO") && self.is_unit(ahead + 3) {
            self.skip(ahead);
            return self.unit_to_unit(negative, value_start);
        }
        let (interval, units) = self.unit_list()?;
        self.of_units(&interval, &units, start)
    }

    /// The interval of a watermark's delay: units or from unit to unit, but no text.
    pub fn delay_interval(&mut self) -> Parsed<CalendarInterval> {
        self.expect_word("INTERVAL")?;
        self.unit_list().map(|(interval, _)| interval)
    }

    fn sign(&self) -> (bool, usize) {
        match self.token(0) {
            Token::Symbol(Symbol::Minus) => (true, 1),
            Token::Symbol(Symbol::Plus) => (false, 1),
            _ => (false, 0),
        }
    }

    /// One or more of `[±]amount unit`.
    fn unit_list(&mut self) -> Parsed<(CalendarInterval, Vec<Unit>)> {
        let mut interval = CalendarInterval::default();
        let mut units = Vec::new();
        loop {
            let (negative, ahead) = self.sign();
            let amount_follows = matches!(
                self.token(ahead),
                Token::String(_) | Token::Number(NumberKind::Integer | NumberKind::Decimal)
            );
            if !units.is_empty() && !(amount_follows && self.is_unit(ahead + 1)) {
                return Ok((interval, units));
            }
            self.skip(ahead);
            let start = self.offset();
            let text = match self.token(0) {
                Token::String(text) => text.trim().to_owned(),
                Token::Number(NumberKind::Integer | NumberKind::Decimal) => {
                    self.source(0).to_owned()
                }
                _ => return Err(self.syntax_error()),
            };
            self.advance();
            let unit = match self.token(0) {
                Token::Word(word) => Unit::parse(word),
                _ => None,
            };
            let unit = unit.ok_or_else(|| self.syntax_error())?;
            let minus = text.starts_with('-');
            let unsigned = text.trim_start_matches(['-', '+']);
            let input = format!(" {text} {}", self.source(0));
            if !unsigned.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
                self.advance();
                let message = format!(
                    "Can only use numbers in the interval value part for multiple unit value \
                     pairs interval form, but got invalid value: {text}."
                );
                return Err(self.error_since(start, ParseErrorKind::Legacy { message }));
            }
            let pair = format!("{unsigned} {}", self.source(0));
            let (parsed, _) =
                parse_units(&pair).map_err(|error| self.interval_format(&input, error))?;
            combine(&mut interval, &parsed, negative != minus).ok_or_else(|| {
                let reason = format!("Uncaught arithmetic exception while parsing '{input}'.");
                self.interval_format(&input, invalid("ARITHMETIC_EXCEPTION", reason))
            })?;
            self.advance();
            units.push(unit);
        }
    }

    fn interval_format(&self, input: &str, error: InvalidInterval) -> ParseError {
        let InvalidInterval { subclass, reason } = error;
        let kind = ParseErrorKind::IntervalFormat {
            subclass,
            input: input.to_owned(),
            reason,
        };
        ParseError::without_position(kind, self.text)
    }

    /// The literal of an interval written in these units.
    fn of_units(
        &self,
        interval: &CalendarInterval,
        units: &[Unit],
        start: usize,
    ) -> Parsed<Expression> {
        let fields: Vec<Field> = units.iter().map(|unit| unit.field()).collect();
        let months: Vec<i32> = fields.iter().filter_map(year_month).collect();
        let times: Vec<i32> = fields.iter().filter_map(day_time).collect();
        match (span(&months), span(&times)) {
            (Some(range), None) => Ok(year_month_literal(interval.months, range)),
            (None, Some(range)) => i64::from(interval.days)
                .checked_mul(MICROS_PER_DAY)
                .and_then(|days| days.checked_add(interval.microseconds))
                .map(|micros| day_time_literal(micros, range))
                .ok_or_else(|| {
                    let input = self.source_since(start);
                    let reason = format!("Uncaught arithmetic exception while parsing '{input}'.");
                    self.interval_format(input, invalid("ARITHMETIC_EXCEPTION", reason))
                }),
            _ => {
                let written = self.source_since(start);
                let message = format!("Cannot mix year-month and day-time fields: {written}.");
                Err(self.error_since(start, ParseErrorKind::Legacy { message }))
            }
        }
    }

    /// `'text' UNIT TO UNIT`; the cursor stands at the text.
    fn unit_to_unit(&mut self, negative: bool, start: usize) -> Parsed<Expression> {
        let (from, to) = (
            self.source(1).to_ascii_uppercase(),
            self.source(3).to_ascii_uppercase(),
        );
        let Token::String(text) = self.token(0).clone() else {
            self.skip(4);
            let message = "The value of from-to unit must be a string.".to_owned();
            return Err(self.error_since(start, ParseErrorKind::Legacy { message }));
        };
        let fields = |unit: &str| Unit::parse(unit).map(Unit::field);
        let range = match (fields(&from), fields(&to)) {
            (Some(Field::YearMonth(0)), Some(Field::YearMonth(1))) => None,
            (Some(Field::DayTime(from)), Some(Field::DayTime(to))) if from < to => Some(from..=to),
            _ => {
                let end = start.min(self.offset());
                self.skip(4);
                let written = self.source_since(end);
                let reason = format!("Cannot support (interval {written}) expression.");
                return Err(self.error_since(
                    start,
                    ParseErrorKind::IntervalFormat {
                        subclass: "UNSUPPORTED_FROM_TO_EXPRESSION",
                        input: text,
                        reason,
                    },
                ));
            }
        };
        self.skip(4);
        let (minus, unsigned) = match text.strip_prefix('-') {
            Some(unsigned) => (true, unsigned),
            None => (false, text.strip_prefix('+').unwrap_or(&text)),
        };
        let sign = if negative == minus { 1 } else { -1 };
        let parsed = match &range {
            None => year_to_month(unsigned).map(|m| year_month_literal(sign as i32 * m, 0..=1)),
            Some(range) => day_time_fields(unsigned, range)
                .map(|micros| day_time_literal(sign * micros, range.clone())),
        };
        parsed.ok_or_else(|| {
            let reason = format!(
                "Interval string does not match the format of {} TO {} when cast to interval.",
                from.to_ascii_lowercase(),
                to.to_ascii_lowercase()
            );
            let subclass = "UNMATCHED_FORMAT_STRING";
            let kind = ParseErrorKind::IntervalFormat {
                subclass,
                input: text.clone(),
                reason,
            };
            self.error_since(start, kind)
        })
    }
}

fn combine(total: &mut CalendarInterval, part: &CalendarInterval, negative: bool) -> Option<()> {
    let sign = if negative { -1 } else { 1 };
    total.months = total.months.checked_add(part.months.checked_mul(sign)?)?;
    total.days = total.days.checked_add(part.days.checked_mul(sign)?)?;
    let micros = part.microseconds.checked_mul(sign.into())?;
    total.microseconds = total.microseconds.checked_add(micros)?;
    Some(())
}

fn year_month(field: &Field) -> Option<i32> {
    if let Field::YearMonth(position) = field {
        Some(*position)
    } else {
        None
    }
}

fn day_time(field: &Field) -> Option<i32> {
    if let Field::DayTime(position) = field {
        Some(*position)
    } else {
        None
    }
}

fn span(positions: &[i32]) -> Option<RangeInclusive<i32>> {
    Some(*positions.iter().min()?..=*positions.iter().max()?)
}

fn year_month_literal(months: i32, fields: RangeInclusive<i32>) -> Expression {
    let kind = Kind::YearMonthInterval(YearMonthInterval {
        start_field: Some(*fields.start()),
        end_field: Some(*fields.end()),
        type_variation_reference: 0,
    });
    typed_literal(
        LiteralType::YearMonthInterval(months),
        Some(data_type(kind)),
    )
}

fn day_time_literal(micros: i64, fields: RangeInclusive<i32>) -> Expression {
    let kind = data_type::Kind::DayTimeInterval(DayTimeInterval {
        start_field: Some(*fields.start()),
        end_field: Some(*fields.end()),
        type_variation_reference: 0,
    });
    typed_literal(LiteralType::DayTimeInterval(micros), Some(data_type(kind)))
}

/// Months of `y-m`.
fn year_to_month(text: &str) -> Option<i32> {
    let (years, months) = text.split_once('-')?;
    let months = number(months, 11)?;
    let total = number(years, i64::from(i32::MAX))?
        .checked_mul(12)?
        .checked_add(months)?;
    i32::try_from(total).ok()
}

/// Microseconds of `d h:m:s.n` cut down to the fields from `DAY` = 0 to `SECOND` = 3; the first
/// field is free, those after it stay below a unit of the one before.
fn day_time_fields(text: &str, fields: &RangeInclusive<i32>) -> Option<i64> {
    const UNITS: [(i64, i64); 4] = [
        (MICROS_PER_DAY, i64::MAX),
        (MICROS_PER_HOUR, 23),
        (MICROS_PER_MINUTE, 59),
        (MICROS_PER_SECOND, 59),
    ];
    let mut rest = text.trim();
    let mut total = 0i64;
    for field in fields.clone() {
        let (unit, max) = *UNITS.get(usize::try_from(field).ok()?)?;
        let last = field == *fields.end();
        let separator = if field == 0 { ' ' } else { ':' };
        let part = if last {
            std::mem::take(&mut rest)
        } else {
            let (part, after) = rest.split_once(separator)?;
            rest = after.trim_start();
            part
        };
        let (whole, fraction) = match part.split_once('.') {
            Some((whole, fraction)) if field == 3 => (whole, fraction),
            Some(_) => return None,
            None => (part, ""),
        };
        if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let max = if field == *fields.start() {
            i64::MAX
        } else {
            max
        };
        let micros = number(whole, max)?.checked_mul(unit)?;
        total = total
            .checked_add(micros)?
            .checked_add(micros_of_fraction(fraction))?;
    }
    Some(total)
}

fn number(text: &str, max: i64) -> Option<i64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|value| digits && *value <= max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_intervals_add_up() {
        let interval = |months, days, microseconds| CalendarInterval {
            months,
            days,
            microseconds,
        };
        assert_eq!(
            parse_interval("10 minutes"),
            Ok(interval(0, 0, 600_000_000))
        );
        assert_eq!(
            parse_interval("interval 1 day -2 hours"),
            Ok(interval(0, 1, -7_200_000_000))
        );
        assert_eq!(
            parse_interval(" - 1 MONTH 2 weeks"),
            Ok(interval(-1, 14, 0))
        );
        assert_eq!(parse_interval("-.5 second"), Ok(interval(0, 0, -500_000)));
        assert_eq!(
            parse_interval("1.000001999 seconds"),
            Ok(interval(0, 0, 1_000_001))
        );
    }

    #[test]
    fn text_that_is_no_interval_says_why() {
        let subclass = |text| parse_interval(text).unwrap_err().subclass;
        assert_eq!(subclass(""), "INPUT_IS_EMPTY");
        assert_eq!(subclass("interval"), "INPUT_IS_EMPTY");
        assert_eq!(subclass("1"), "MISSING_UNIT");
        assert_eq!(subclass("1 day -"), "MISSING_NUMBER");
        assert_eq!(subclass("1day"), "INVALID_VALUE");
        assert_eq!(subclass("day 1"), "UNRECOGNIZED_NUMBER");
        assert_eq!(subclass("1 sec"), "INVALID_UNIT");
        assert_eq!(subclass("1.5 days"), "INVALID_FRACTION");
        assert_eq!(subclass("10000000000 days"), "ARITHMETIC_EXCEPTION");
    }

    #[test]
    fn an_interval_reads_back_from_its_text() {
        let written = "14 months 3 days 25 hours 61 minutes -1.5 seconds";
        let interval = parse_interval(written).unwrap();
        assert_eq!(parse_interval(&interval_text(&interval)), Ok(interval));
    }

    #[test]
    fn from_unit_to_unit_bounds_all_fields_but_the_first() {
        assert_eq!(
            day_time_fields("1 2:03:04.5", &(0..=3)),
            Some(93_784_500_000)
        );
        assert_eq!(day_time_fields("25:00", &(1..=2)), Some(90_000_000_000));
        assert_eq!(day_time_fields("1 25", &(0..=1)), None);
        assert_eq!(day_time_fields("1:70", &(1..=2)), None);
        assert_eq!(day_time_fields("1", &(0..=1)), None);
        assert_eq!(year_to_month("1-11"), Some(23));
        assert_eq!(year_to_month("1-12"), None);
    }
}
