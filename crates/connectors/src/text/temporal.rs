//! Dates, times and intervals as text.
//!
//! Arrow's range of dates is wider than chrono's, so the calendar is computed here, on the
//! proleptic Gregorian calendar that Spark uses; chrono is asked for zone offsets only.
use std::fmt::Write;

use chrono::{DateTime, NaiveDateTime};

use super::Zone;

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_MINUTE: i64 = 60 * MICROS_PER_SECOND;
const MICROS_PER_HOUR: i64 = 60 * MICROS_PER_MINUTE;
const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;

/// Appends a date, given as days since the epoch.
pub fn write_date(out: &mut String, days: i64) {
    let (year, month, day) = civil_date(days);
    write_year(out, year);
    let _ = write!(out, "-{month:02}-{day:02}");
}

/// Appends a time of day, given as microseconds since midnight.
pub fn write_time(out: &mut String, micros: i64) {
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

/// Appends a timestamp, given as microseconds since the epoch: in `zone`, or as it is when there is
/// none.
pub fn write_timestamp(out: &mut String, micros: i64, zone: Option<&Zone>) {
    let offset = zone.map_or(0, |zone| offset_micros(micros, zone));
    // A timestamp within an hour of the ends of the range cannot be shifted; it is shown in UTC.
    let local = micros.checked_add(offset).unwrap_or(micros);
    write_date(out, local.div_euclid(MICROS_PER_DAY));
    out.push(' ');
    write_time(out, local.rem_euclid(MICROS_PER_DAY));
}

fn offset_micros(micros: i64, zone: &Zone) -> i64 {
    let utc = DateTime::from_timestamp_micros(micros).map_or_else(
        || {
            if micros < 0 {
                NaiveDateTime::MIN
            } else {
                NaiveDateTime::MAX
            }
        },
        |instant| instant.naive_utc(),
    );
    zone.offset_seconds(utc) * MICROS_PER_SECOND
}

fn write_year(out: &mut String, year: i64) {
    let _ = match year {
        ..0 => write!(out, "-{:04}", year.unsigned_abs()),
        0..10_000 => write!(out, "{year:04}"),
        _ => write!(out, "+{year}"),
    };
}

/// The digits after the point, without trailing zeros and without the point if there are none.
fn write_fraction(out: &mut String, micros: i64) {
    if micros != 0 {
        let digits = format!("{micros:06}");
        out.push('.');
        out.push_str(digits.trim_end_matches('0'));
    }
}

/// Year, month and day of a day number. Years run from March to February here, which puts the leap
/// day last.
fn civil_date(days: i64) -> (i64, i64, i64) {
    const DAYS_PER_ERA: i64 = 146_097;
    let shifted = days + 719_468;
    let era = shifted.div_euclid(DAYS_PER_ERA);
    let day_of_era = shifted.rem_euclid(DAYS_PER_ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
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

    fn timestamp(micros: i64, zone: &str) -> String {
        let mut out = String::new();
        write_timestamp(&mut out, micros, Some(&zone.parse().unwrap()));
        out
    }

    #[test]
    fn dates_far_away_have_a_sign() {
        for (days, text) in [
            (0, "1970-01-01"),
            (19_782, "2024-02-29"),
            (-719_162, "0001-01-01"),
            (-719_163, "0000-12-31"),
            (-719_529, "-0001-12-31"),
            (2_932_896, "9999-12-31"),
            (2_932_897, "+10000-01-01"),
        ] {
            let mut out = String::new();
            write_date(&mut out, days);
            assert_eq!(out, text, "{days}");
        }
    }

    #[test]
    fn timestamps_are_shown_in_the_zone_they_are_asked_for() {
        let instant = 1_700_000_000_123_400;
        assert_eq!(timestamp(instant, "UTC"), "2023-11-14 22:13:20.1234");
        assert_eq!(
            timestamp(instant, "America/New_York"),
            "2023-11-14 17:13:20.1234"
        );
        assert_eq!(
            timestamp(instant, "Asia/Kolkata"),
            "2023-11-15 03:43:20.1234"
        );
        assert_eq!(timestamp(instant, "+05:30"), "2023-11-15 03:43:20.1234");
        assert_eq!(
            timestamp(-62_135_596_800_000_000, "America/New_York"),
            "0000-12-31 19:03:58"
        );
        assert_eq!(
            timestamp(-2_500_000_000_000_000, "Asia/Kolkata"),
            "1890-10-12 00:54:30"
        );
    }

    #[test]
    fn the_ends_of_the_range_do_not_overflow() {
        assert!(timestamp(i64::MAX, "Asia/Kolkata").starts_with("+294247-01-10"));
        assert!(timestamp(i64::MIN, "America/New_York").starts_with("-290308-12-21"));
    }

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
