//! Compiling a pattern: runs of letters and what stands between them.

/// A pattern that `SimpleDateFormat` refuses, in Java's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LegacyPatternError {
    /// A letter that means nothing.
    #[error("Illegal pattern character '{0}'")]
    Letter(char),
    /// A quote that is not closed.
    #[error("Unterminated quote")]
    Quote,
    /// More than three `X`.
    #[error("invalid ISO 8601 format: length={0}")]
    IsoOffset(usize),
    /// Letters that count weeks, which are printed but not read.
    #[error("reading the week letter '{0}' under spark.sql.legacy.timeParserPolicy=LEGACY")]
    Week(char),
}

/// One element of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Literal(char),
    /// A letter and how often it stands there.
    Field(char, usize),
}

/// A compiled `SimpleDateFormat` pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacyPattern {
    source: String,
    pub(super) items: Vec<Item>,
}

const LETTERS: &str = "GyMLwWDdFEuaHkKhmsSzZXY";

impl LegacyPattern {
    /// Compiles a pattern for reading.
    ///
    /// # Errors
    /// What Java says of the pattern, or that it counts weeks.
    pub fn for_parsing(pattern: &str) -> Result<Self, LegacyPatternError> {
        let compiled = Self::for_formatting(pattern)?;
        for item in &compiled.items {
            if let Item::Field(letter @ ('w' | 'W' | 'F' | 'Y'), _) = item {
                return Err(LegacyPatternError::Week(*letter));
            }
        }
        Ok(compiled)
    }

    /// Compiles a pattern for printing.
    ///
    /// # Errors
    /// What Java says of the pattern.
    pub fn for_formatting(pattern: &str) -> Result<Self, LegacyPatternError> {
        let mut items = vec![];
        let mut quoted = false;
        let mut chars = pattern.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\'' if chars.next_if_eq(&'\'').is_some() => items.push(Item::Literal('\'')),
                '\'' => quoted = !quoted,
                'A'..='Z' | 'a'..='z' if !quoted => {
                    if !LETTERS.contains(c) {
                        return Err(LegacyPatternError::Letter(c));
                    }
                    let mut count = 1;
                    while chars.next_if_eq(&c).is_some() {
                        count += 1;
                    }
                    if c == 'X' && count > 3 {
                        return Err(LegacyPatternError::IsoOffset(count));
                    }
                    items.push(Item::Field(c, count));
                }
                _ => items.push(Item::Literal(c)),
            }
        }
        match quoted {
            true => Err(LegacyPatternError::Quote),
            false => Ok(Self {
                source: pattern.to_owned(),
                items,
            }),
        }
    }

    /// The pattern's text.
    pub fn source(&self) -> &str {
        &self.source
    }
}
