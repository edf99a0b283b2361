//! Times of day and intervals as text. Dates and timestamps are [`crate::datetime`]'s.
use std::fmt::Write;

use crate::datetime::{MICROS_PER_DAY, MICROS_PER_SECOND};

const MICROS_PER_MINUTE: i64 = 60 * MICROS_PER_SECOND;
const MICROS_PER_HOUR: i64 = 60 * MICROS_PER_MINUTE;

/// Appends a time of day, given as microseconds since midnight.
pub(super) fn write_time(out: &mut String, micros: i64) {
    let seconds = micros.div_euclid(MICROS_PER_SECOND);
    let _ = write!(
        out,
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    write_fraction(out, micros.rem_euclid(MICROS_PER_SECOND));
}

/// The digits after the point, without trailing zeros and without the point if there are none.
fn write_fraction(out: &mut String, micros: i64) {
    if micros != 0 {
        let digits = format!("{micros:06}");
        out.push('.');
        out.push_str(digits.trim_end_matches('0'));
    }
}

/// The fields that a day-time interval shows, largest and smallest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DayTimeField {
    Day,
    Hour,
    Minute,
    Second,
}

impl DayTimeField {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "day" => Some(Self::Day),
            "hour" => Some(Self::Hour),
            "minute" => Some(Self::Minute),
            "second" => Some(Self::Second),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Day => "DAY",
            Self::Hour => "HOUR",
            Self::Minute => "MINUTE",
            Self::Second => "SECOND",
        }
    }

    /// Reads `day to second`, `hour`, ….
    pub(super) fn parse_range(text: &str) -> Option<(Self, Self)> {
        match text.split_once(" to ") {
            Some((start, end)) => Some((Self::parse(start)?, Self::parse(end)?)),
            None => Self::parse(text).map(|field| (field, field)),
        }
    }
}

/// Appends a day-time interval of `micros`, showing the fields from `start` to `end`.
pub(super) fn write_day_time(
    out: &mut String,
    micros: i64,
    (start, end): (DayTimeField, DayTimeField),
) {
    let sign = if micros < 0 { "-" } else { "" };
    let total = i128::from(micros).unsigned_abs();
    let per = |unit: i64| u128::from(unit.unsigned_abs());
    let _ = write!(out, "INTERVAL '{sign}");
    let shows = |field| start <= field && field <= end;
    if shows(DayTimeField::Day) {
        let _ = write!(out, "{}", total / per(MICROS_PER_DAY));
    }
    // The first field takes everything above it: 90 minutes are 90, not 30.
    for (field, unit, modulus) in [
        (DayTimeField::Hour, MICROS_PER_HOUR, 24),
        (DayTimeField::Minute, MICROS_PER_MINUTE, 60),
        (DayTimeField::Second, MICROS_PER_SECOND, 60),
    ] {
        if !shows(field) {
            continue;
        }
        let value = total / per(unit);
        let value = if field == start {
            value
        } else {
            value % modulus
        };
        if field != start {
            out.push(if field == DayTimeField::Hour {
                ' '
            } else {
                ':'
            });
        }
        let _ = write!(out, "{value:02}");
        if field == DayTimeField::Second {
            let fraction = total % per(MICROS_PER_SECOND);
            write_fraction(out, i64::try_from(fraction).unwrap_or_default());
        }
    }
    let _ = write!(out, "' {}", start.name());
    if start != end {
        let _ = write!(out, " TO {}", end.name());
    }
}

/// Appends a year-month interval; `fields` is `year`, `month` or `year to month`.
pub(super) fn write_year_month(out: &mut String, months: i32, fields: &str) {
    let sign = if months < 0 { "-" } else { "" };
    let total = months.unsigned_abs();
    let _ = match fields {
        "year" => write!(out, "INTERVAL '{sign}{}' YEAR", total / 12),
        "month" => write!(out, "INTERVAL '{sign}{total}' MONTH"),
        _ => write!(
            out,
            "INTERVAL '{sign}{}-{}' YEAR TO MONTH",
            total / 12,
            total % 12
        ),
    };
}

/// Appends a calendar interval: every part that is not zero, each with its own sign.
pub(super) fn write_calendar_interval(out: &mut String, months: i32, days: i32, micros: i64) {
    let begin = out.len();
    let mut part = |value: i64, unit: &str| {
        if value != 0 {
            let _ = write!(out, "{value} {unit} ");
        }
    };
    part(i64::from(months / 12), "years");
    part(i64::from(months % 12), "months");
    part(i64::from(days), "days");
    part(micros / MICROS_PER_HOUR, "hours");
    part(micros % MICROS_PER_HOUR / MICROS_PER_MINUTE, "minutes");
    let rest = micros % MICROS_PER_MINUTE;
    if rest != 0 {
        let sign = if rest < 0 { "-" } else { "" };
        let _ = write!(out, "{sign}{}", (rest / MICROS_PER_SECOND).abs());
        write_fraction(out, (rest % MICROS_PER_SECOND).abs());
        out.push_str(" seconds ");
    }
    if out.len() == begin {
        out.push_str("0 seconds ");
    }
    out.pop();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn day_time_intervals_show_their_fields() {
        let day = MICROS_PER_DAY + 2 * MICROS_PER_HOUR + 3 * MICROS_PER_MINUTE + 4_567_000;
        for (micros, fields, text) in [
            (
                day,
                "day to second",
                "INTERVAL '1 02:03:04.567' DAY TO SECOND",
            ),
            (
                -day,
                "day to second",
                "INTERVAL '-1 02:03:04.567' DAY TO SECOND",
            ),
            (MICROS_PER_DAY, "day", "INTERVAL '1' DAY"),
            (90 * MICROS_PER_MINUTE, "minute", "INTERVAL '90' MINUTE"),
            (
                150 * MICROS_PER_SECOND,
                "minute to second",
                "INTERVAL '02:30' MINUTE TO SECOND",
            ),
            (
                241 * MICROS_PER_HOUR,
                "day to hour",
                "INTERVAL '10 01' DAY TO HOUR",
            ),
            (1_500_000, "second", "INTERVAL '01.5' SECOND"),
            (0, "second", "INTERVAL '00' SECOND"),
            (5 * MICROS_PER_HOUR, "hour", "INTERVAL '05' HOUR"),
            (i64::MIN, "day", "INTERVAL '-106751991' DAY"),
        ] {
            let mut out = String::new();
            write_day_time(&mut out, micros, DayTimeField::parse_range(fields).unwrap());
            assert_eq!(out, text);
        }
    }

    #[test]
    fn other_intervals_keep_their_signs() {
        let mut out = String::new();
        write_year_month(&mut out, -15, "year to month");
        out.push('|');
        write_year_month(&mut out, 14, "month");
        out.push('|');
        write_calendar_interval(&mut out, 14, 25, 18_367_500_000);
        out.push('|');
        write_calendar_interval(&mut out, -12, -4, -7_000_001);
        out.push('|');
        write_calendar_interval(&mut out, 0, 0, 0);
        assert_eq!(
            out,
            "INTERVAL '-1-3' YEAR TO MONTH|INTERVAL '14' MONTH|\
             1 years 2 months 25 days 5 hours 6 minutes 7.5 seconds|\
             -1 years -4 days -7.000001 seconds|0 seconds"
        );
    }
}
