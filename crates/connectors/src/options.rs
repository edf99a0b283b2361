//! Typed values of source and sink options, with Spark's complaints about bad ones.
//!
//! Names are case-insensitive. Options that a source or sink does not know are left alone, as in
//! Spark: a program may carry options of several formats. Each connector turns its options into a
//! typed struct once and never looks at the strings again.
pub use crate::format::Options;

use crate::error::ConnectorError;

impl Options {
    /// A long, or `default`.
    ///
    /// # Errors
    /// [`ConnectorError::NotANumber`].
    pub fn long(&self, name: &str, default: i64) -> Result<i64, ConnectorError> {
        self.get(name).map_or(Ok(default), parse_java)
    }

    /// An integer of 32 bits, or `default`.
    ///
    /// # Errors
    /// [`ConnectorError::NotANumber`], also when the number needs more bits.
    pub fn int(&self, name: &str, default: i32) -> Result<i32, ConnectorError> {
        self.get(name).map_or(Ok(default), parse_java)
    }

    /// A flag, or `default`.
    ///
    /// # Errors
    /// [`ConnectorError::NotABoolean`].
    pub fn boolean(&self, name: &str, default: bool) -> Result<bool, ConnectorError> {
        let Some(text) = self.get(name) else {
            return Ok(default);
        };
        match text.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(ConnectorError::NotABoolean {
                text: text.to_owned(),
            }),
        }
    }

    /// A flag of a reader, whose complaint is another one than [`Options::boolean`]'s.
    ///
    /// # Errors
    /// [`ConnectorError::NotANumber`], which is what Scala says of text that is not a flag.
    pub fn scala_boolean(&self, name: &str, default: bool) -> Result<bool, ConnectorError> {
        self.boolean(name, default).map_err(|e| match e {
            ConnectorError::NotABoolean { text } => ConnectorError::NotANumber { text },
            other => other,
        })
    }

    /// A number that must be positive, or `default`: the number of partitions of the generating
    /// sources.
    ///
    /// # Errors
    /// [`ConnectorError::NotANumber`], [`ConnectorError::OptionRange`].
    pub fn partitions(&self, name: &'static str) -> Result<Option<usize>, ConnectorError> {
        if !self.contains(name) {
            return Ok(None);
        }
        let value = self.int(name, 0)?;
        match usize::try_from(value) {
            Ok(positive) if positive > 0 => Ok(Some(positive)),
            _ => Err(ConnectorError::OptionRange {
                option: name,
                value: value.to_string(),
                requirement: "be positive",
            }),
        }
    }
}

fn parse_java<T: std::str::FromStr>(text: &str) -> Result<T, ConnectorError> {
    text.parse().map_err(|_| ConnectorError::NotANumber {
        text: text.to_owned(),
    })
}

/// Unit of a duration that has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DurationUnit {
    /// Milliseconds.
    Millis,
    /// Seconds.
    Seconds,
}

/// Reads a duration such as `7d`, `10min` or `250us` as whole units of `unit`, which is also what a
/// bare number counts. Fractions are cut off; the sign is kept.
///
/// # Errors
/// [`ConnectorError::NotADuration`].
pub fn parse_duration(text: &str, unit: DurationUnit) -> Result<i64, ConnectorError> {
    let text = text.trim().to_ascii_lowercase();
    let refused = || ConnectorError::NotADuration { text: text.clone() };
    let end = text
        .char_indices()
        .find(|(i, c)| !(c.is_ascii_digit() || (*i == 0 && *c == '-')))
        .map_or(text.len(), |(i, _)| i);
    let (number, suffix) = text.split_at(end);
    let number: i128 = number.parse::<i64>().map_err(|_| refused())?.into();
    let unit_micros = match unit {
        DurationUnit::Millis => 1_000,
        DurationUnit::Seconds => 1_000_000,
    };
    let micros = match suffix {
        "" => unit_micros,
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" | "min" => 60_000_000,
        "h" => 3_600_000_000,
        "d" => 86_400_000_000,
        _ => return Err(refused()),
    };
    let units = number * micros / unit_micros;
    Ok(i64::try_from(units).unwrap_or(if units < 0 { i64::MIN } else { i64::MAX }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_every_suffix_and_cut_off_fractions() {
        let seconds = |text| parse_duration(text, DurationUnit::Seconds);
        for (text, value) in [
            ("5", 5),
            ("1min", 60),
            ("1500ms", 1),
            ("-5s", -5),
            (" 2H ", 7200),
            ("7d", 604_800),
        ] {
            assert_eq!(seconds(text).unwrap(), value, "{text}");
        }
        assert_eq!(parse_duration("5", DurationUnit::Millis).unwrap(), 5);
        assert_eq!(
            parse_duration("9223372036854775807d", DurationUnit::Millis).unwrap(),
            i64::MAX
        );
        for text in ["", "abc", "1.5s", "5 s", "5x", "-", "99999999999999999999s"] {
            let error = seconds(text).unwrap_err();
            assert!(
                error.to_string().ends_with(&format!("time string: {text}")),
                "{error}"
            );
        }
    }

    #[test]
    fn bad_numbers_and_flags_are_named_as_java_names_them() {
        let options: Options = [("N", "1.5"), ("big", "99999999999"), ("flag", "yes")]
            .into_iter()
            .collect();
        assert_eq!(
            options.long("n", 1).unwrap_err().to_string(),
            "For input string: \"1.5\""
        );
        assert_eq!(
            options.int("big", 1).unwrap_err().to_string(),
            "For input string: \"99999999999\""
        );
        assert_eq!(options.long("big", 1).unwrap(), 99_999_999_999);
        assert_eq!(
            options.boolean("flag", true).unwrap_err().to_string(),
            "yes is not a boolean string."
        );
    }
}
