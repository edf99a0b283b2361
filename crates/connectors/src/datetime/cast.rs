//! Strings to dates and timestamps without a pattern, and back: Spark's `CAST`.
//!
//! The accepted shapes are `[+-]y{4,6}`, `…-[m]m`, `…-[m]m-[d]d`, then `T` or a blank and
//! `[h]h[:[m]m[:[s]s[.fraction]]]` and a zone; digits of the fraction beyond microseconds are cut off.
//! Leading and trailing white space and control characters are ignored.
use std::fmt::Write;

use super::{
    calendar::{MICROS_PER_DAY, MICROS_PER_SECOND, checked_days, civil_from_days, micros_of},
    zone::Zone,
};

/// `CAST(text AS DATE)`: days since the epoch. Whatever follows the day after a blank or `T` is ignored.
pub fn string_to_date(text: &[u8]) -> Option<i32> {
    let (start, end) = trimmed(text)?;
    let (negative, mut at) = match text.get(start) {
        Some(b'-') => (true, start + 1),
        Some(b'+') => (false, start + 1),
        _ => (false, start),
    };
    let mut segments = [1_i64, 1, 1];
    let (mut segment, mut value, mut digits) = (0_usize, 0_i64, 0_u32);
    let valid = |segment: usize, digits: u32| match segment {
        0 => (4..=7).contains(&digits),
        _ => (1..=2).contains(&digits),
    };
    while at < end {
        match text.get(at)? {
            b' ' | b'T' => break,
            b'-' if segment < 2 => {
                if !valid(segment, digits) {
                    return None;
                }
                *segments.get_mut(segment)? = value;
                (segment, value, digits) = (segment + 1, 0, 0);
            }
            digit @ b'0'..=b'9' if digits < 9 => {
                value = value * 10 + i64::from(digit - b'0');
                digits += 1;
            }
            _ => return None,
        }
        at += 1;
    }
    // A year or a month alone must be the whole text, trailing blanks included.
    if !valid(segment, digits) || (segment < 2 && at < text.len()) {
        return None;
    }
    *segments.get_mut(segment)? = value;
    let [year, month, day] = segments;
    let days = checked_days(if negative { -year } else { year }, month, day)?;
    i32::try_from(days).ok()
}

/// `CAST(text AS TIMESTAMP)` in a session zone: microseconds since the epoch. A time of day alone is placed
/// on the current date.
pub fn string_to_timestamp(text: &[u8], zone: &Zone) -> Option<i64> {
    string_to_timestamp_at(text, zone, || chrono::Utc::now().timestamp_micros())
}

/// [`string_to_timestamp`] with the clock given: `now` yields microseconds since the epoch and is asked
/// only for a time of day alone.
pub fn string_to_timestamp_at(text: &[u8], zone: &Zone, now: impl FnOnce() -> i64) -> Option<i64> {
    let parsed = TimestampText::parse(text)?;
    let zone = parsed.zone.as_ref().unwrap_or(zone);
    let days = match parsed.days {
        Some(days) => days,
        None => zone.to_local_micros(now()).div_euclid(MICROS_PER_DAY),
    };
    zone.instant_of(days, parsed.second_of_day, parsed.micros)
}

/// `CAST(text AS TIMESTAMP_NTZ)`: local microseconds. A zone in the text is ignored, or refused when
/// `allow_zone` is false; a time of day alone is not a timestamp.
pub fn string_to_timestamp_ntz(text: &[u8], allow_zone: bool) -> Option<i64> {
    let parsed = TimestampText::parse(text)?;
    if !allow_zone && parsed.zone.is_some() {
        return None;
    }
    micros_of(parsed.days?, parsed.second_of_day, parsed.micros)
}

/// Fields of a timestamp text, all of them valid.
struct TimestampText {
    /// Missing when the text is a time of day.
    days: Option<i64>,
    second_of_day: i64,
    micros: i64,
    zone: Option<Zone>,
}

/// Position in a timestamp text.
#[derive(Clone, Copy, PartialEq)]
enum Segment {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    Fraction,
}

impl TimestampText {
    fn parse(text: &[u8]) -> Option<Self> {
        let (start, end) = trimmed(text)?;
        let body = text.get(start..end)?;
        let mut scan = Scanner { body, at: 0 };
        let sign = match body.first()? {
            b'-' => Some(-1),
            b'+' => Some(1),
            _ => None,
        };
        scan.at += usize::from(sign.is_some());
        // A leading `T` marks a time only when nothing was trimmed or signed before it.
        let mut only_time = false;
        let mut segment = Segment::Year;
        if start == 0 && body.first() == Some(&b'T') {
            (only_time, segment) = (true, Segment::Hour);
            scan.at += 1;
        }
        let mut values = [1_i64, 1, 1, 0, 0, 0, 0];
        let mut zone = None;
        loop {
            let (value, digits) = scan.digits(segment == Segment::Fraction);
            let next = scan.body.get(scan.at).copied();
            if segment == Segment::Year && next == Some(b':') && sign.is_none() {
                (only_time, segment) = (true, Segment::Hour);
            }
            let valid = match segment {
                Segment::Year => (4..=6).contains(&digits),
                Segment::Fraction => true,
                _ => (1..=2).contains(&digits),
            };
            if !valid {
                return None;
            }
            *values.get_mut(segment as usize)? = value;
            let Some(byte) = next else { break };
            segment = match (segment, byte) {
                (Segment::Year, b'-') => Segment::Month,
                (Segment::Month, b'-') => Segment::Day,
                (Segment::Day, b' ' | b'T') => Segment::Hour,
                (Segment::Hour, b':') => Segment::Minute,
                (Segment::Minute, b':') => Segment::Second,
                (Segment::Second, b'.') => Segment::Fraction,
                (Segment::Second | Segment::Fraction, _) => {
                    let name = std::str::from_utf8(scan.body.get(scan.at..)?).ok()?;
                    zone = Some(Zone::parse(name.trim())?);
                    break;
                }
                _ => return None,
            };
            scan.at += 1;
        }
        let [year, month, day, hour, minute, second, micros] = values;
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let days = match only_time {
            true => None,
            false => Some(checked_days(year * sign.unwrap_or(1), month, day)?),
        };
        Some(Self {
            days,
            second_of_day: hour * 3600 + minute * 60 + second,
            micros,
            zone,
        })
    }
}

struct Scanner<'a> {
    body: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    /// Value and number of the digits here. A fraction counts six digits, padded or cut off.
    fn digits(&mut self, fraction: bool) -> (i64, u32) {
        let (mut value, mut count) = (0_i64, 0_u32);
        while let Some(digit @ b'0'..=b'9') = self.body.get(self.at) {
            if count < 6 {
                value = value * 10 + i64::from(digit - b'0');
            }
            count += 1;
            self.at += 1;
        }
        if fraction {
            value *= 10_i64.pow(6 - count.min(6));
        }
        (value, count)
    }
}

/// Bounds of the text without white space and control characters; `None` when nothing is left.
fn trimmed(text: &[u8]) -> Option<(usize, usize)> {
    let ignored = |byte: &u8| *byte <= b' ' || *byte == 0x7f;
    let start = text.iter().position(|b| !ignored(b))?;
    let end = text.iter().rposition(|b| !ignored(b))? + 1;
    Some((start, end))
}

/// `CAST(date AS STRING)`.
pub fn date_to_string(days: i32, out: &mut String) {
    let (year, month, day) = civil_from_days(i64::from(days));
    push_year(year, out);
    let _ = write!(out, "-{month:02}-{day:02}");
}

/// `CAST(timestamp AS STRING)` in a session zone; trailing zeros of the fraction are dropped.
pub fn timestamp_to_string(micros: i64, zone: &Zone, out: &mut String) {
    timestamp_ntz_to_string(zone.to_local_micros(micros), out);
}

/// `CAST(timestamp_ntz AS STRING)`.
pub fn timestamp_ntz_to_string(micros: i64, out: &mut String) {
    let (year, month, day) = civil_from_days(micros.div_euclid(MICROS_PER_DAY));
    let of_day = micros.rem_euclid(MICROS_PER_DAY);
    let seconds = of_day / MICROS_PER_SECOND;
    push_year(year, out);
    let _ = write!(
        out,
        "-{month:02}-{day:02} {:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    let fraction = of_day % MICROS_PER_SECOND;
    if fraction != 0 {
        let digits = format!("{fraction:06}");
        out.push('.');
        out.push_str(digits.trim_end_matches('0'));
    }
}

/// Four digits at least; a plus sign from 10000 on.
fn push_year(year: i64, out: &mut String) {
    let _ = match year {
        ..0 => write!(out, "-{:04}", -year),
        0..=9999 => write!(out, "{year:04}"),
        _ => write!(out, "+{year}"),
    };
}
