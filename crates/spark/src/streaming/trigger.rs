//! The interval of a processing-time trigger, as text.
use millstream_engine::query::Trigger;
use spark_connect_proto::write_stream_operation_start::Trigger as Requested;

use crate::{
    error::{Exception, Result, SparkError},
    interval::CalendarInterval,
};

/// The trigger that was asked for; without one, batches follow each other as data arrives.
pub(super) fn trigger(requested: Option<&Requested>) -> Result<Trigger> {
    match requested {
        None => Ok(Trigger::default()),
        Some(Requested::ProcessingTimeInterval(text)) => Ok(Trigger::ProcessingTime {
            interval_ms: parse_interval_ms(text)?,
        }),
        Some(Requested::Once(_)) => Ok(Trigger::Once),
        Some(Requested::AvailableNow(_)) => Ok(Trigger::AvailableNow),
        // Spark's continuous execution takes few sources, and none of those that there are here.
        Some(Requested::ContinuousCheckpointInterval(text)) => {
            parse_interval_ms(text)?;
            Err(SparkError::streaming_unsupported(
                "Continuous processing does not support StreamingRelation operations.",
            ))
        }
        Some(_) => Err(SparkError::unsupported("the real-time trigger")),
    }
}

/// Milliseconds of an interval such as `1 minute`. Months and years have no fixed length and are refused.
pub fn parse_interval_ms(text: &str) -> Result<i64> {
    let interval = CalendarInterval::parse(text).ok_or_else(|| unreadable(text))?;
    if interval.months != 0 {
        return Err(SparkError::illegal_argument(
            "_LEGACY_ERROR_TEMP_3262",
            &[("interval", text)],
        ));
    }
    let millis = interval
        .fixed_micros()
        .map(|micros| micros.div_euclid(1000))
        .ok_or_else(|| unreadable(text))?;
    if millis < 0 {
        return Err(SparkError::plain(
            Exception::IllegalArgument,
            "requirement failed: the interval of trigger should not be negative",
        ));
    }
    Ok(millis)
}

/// Why an interval cannot be read: which word stands where a number or a unit should.
fn unreadable(text: &str) -> SparkError {
    const UNITS: [&str; 10] = [
        "year",
        "month",
        "week",
        "day",
        "hour",
        "minute",
        "second",
        "millisecond",
        "microsecond",
        "nanosecond",
    ];
    let lower = text.trim().to_ascii_lowercase();
    let mut words = lower
        .strip_prefix("interval ")
        .unwrap_or(&lower)
        .split_whitespace();
    let condition = |name: &str| format!("INVALID_INTERVAL_FORMAT.{name}");
    let refused = |class: String, key: &str, word: &str| {
        SparkError::illegal_argument(&class, &[("input", text), (key, word)])
    };
    while let Some(number) = words.next() {
        if number
            .trim_start_matches(['-', '+'])
            .parse::<f64>()
            .is_err()
        {
            return refused(condition("UNRECOGNIZED_NUMBER"), "number", number);
        }
        let Some(unit) = words.next() else {
            return refused(condition("MISSING_UNIT"), "word", number);
        };
        if !UNITS
            .iter()
            .any(|known| unit.strip_suffix('s').unwrap_or(unit) == *known)
        {
            return refused(condition("INVALID_UNIT"), "unit", unit);
        }
    }
    SparkError::illegal_argument(&condition("INPUT_IS_EMPTY"), &[("input", text)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_milliseconds() {
        for (text, millis) in [
            ("1 minute", 60_000),
            ("0 seconds", 0),
            ("interval 5 seconds", 5_000),
            ("1 week 2 days", 777_600_000),
        ] {
            assert_eq!(parse_interval_ms(text).unwrap(), millis, "{text}");
        }
    }

    /// Recorded from Spark 4.3.0.
    #[test]
    fn what_spark_4_3_refuses_is_refused_with_its_class() {
        for (text, class) in [
            ("bogus", "INVALID_INTERVAL_FORMAT.UNRECOGNIZED_NUMBER"),
            ("1 month", "_LEGACY_ERROR_TEMP_3262"),
            ("5", "INVALID_INTERVAL_FORMAT.MISSING_UNIT"),
            ("10 fortnights", "INVALID_INTERVAL_FORMAT.INVALID_UNIT"),
        ] {
            assert_eq!(parse_interval_ms(text).unwrap_err().class, class, "{text}");
        }
        let negative = parse_interval_ms("-1 second").unwrap_err();
        assert_eq!(
            negative.message,
            "requirement failed: the interval of trigger should not be negative"
        );
    }
}
