//! Types of configuration values.
use crate::error::{Exception, Result, SparkError};

/// Type of a key's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfType {
    /// Any text.
    Text,
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer,
    /// A number.
    Double,
    /// A duration such as `10s`; without a unit, milliseconds.
    Duration,
    /// A size such as `64m`; without a unit, bytes.
    Bytes,
    /// A time zone id.
    TimeZone,
}

impl ConfType {
    /// Refuses what is not a value of this type, in Spark's words.
    pub fn check(self, key: &str, value: &str) -> Result<()> {
        let value = value.trim();
        let ok = match self {
            Self::Text => true,
            Self::Boolean => {
                value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false")
            }
            Self::Integer => value.parse::<i64>().is_ok(),
            Self::Double => value.parse::<f64>().is_ok(),
            Self::Duration => parse_duration_ms(value).is_some(),
            Self::Bytes => parse_bytes(value).is_some(),
            Self::TimeZone => super::parse_time_zone(value).is_ok(),
        };
        if ok {
            return Ok(());
        }
        let (condition, word) = match self {
            Self::TimeZone => {
                return Err(SparkError::new(
                    Exception::IllegalArgument,
                    "INVALID_CONF_VALUE.TIME_ZONE",
                    &[("confName", key), ("confValue", value)],
                ));
            }
            Self::Boolean => ("INVALID_CONF_VALUE.TYPE_MISMATCH", "boolean"),
            Self::Integer => ("INVALID_CONF_VALUE.TYPE_MISMATCH", "int"),
            Self::Double => ("INVALID_CONF_VALUE.TYPE_MISMATCH", "double"),
            _ => ("INVALID_CONF_VALUE.TYPE_MISMATCH", "duration or size"),
        };
        Err(SparkError::new(
            Exception::IllegalArgument,
            condition,
            &[("confName", key), ("confValue", value), ("confType", word)],
        ))
    }
}

/// Milliseconds of a duration such as `10s`, `1 minute` is not one (Spark's conf syntax has no blanks).
pub fn parse_duration_ms(text: &str) -> Option<i64> {
    let text = text.trim().to_ascii_lowercase();
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '-')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: i64 = number.parse().ok()?;
    let factor = match unit {
        "" | "ms" => 1,
        "us" => return Some(number / 1000),
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// Bytes of a size such as `64m`.
pub fn parse_bytes(text: &str) -> Option<i64> {
    let text = text.trim().to_ascii_lowercase();
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '-')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: i64 = number.parse().ok()?;
    let shift = match unit {
        "" | "b" => 0,
        "k" | "kb" => 10,
        "m" | "mb" => 20,
        "g" | "gb" => 30,
        "t" | "tb" => 40,
        "p" | "pb" => 50,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}
