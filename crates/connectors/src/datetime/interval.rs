//! ANSI intervals as text: `INTERVAL '1 02:03:04.5' DAY TO SECOND`, `INTERVAL '1-2' YEAR TO MONTH`.
//!
//! Only the full ranges are known here: an Arrow type does not say which fields an interval was declared
//! with.
use std::fmt::Write;

use super::calendar::{MICROS_PER_DAY, MICROS_PER_SECOND};

/// Months of a year-month interval text: `y-m`, signed, with or without the `INTERVAL '…' YEAR TO MONTH`
/// around it.
pub fn string_to_year_month(text: &str) -> Option<i32> {
    let (body, outer) = unwrap_literal(text.trim(), "YEAR TO MONTH")?;
    let (sign, body) = signed(body);
    let (years, months) = body.split_once('-')?;
    let (years, months) = (number(years, 9)?, number(months, 2)?);
    if months > 11 {
        return None;
    }
    i32::try_from(sign * outer * (years * 12 + months)).ok()
}

/// Microseconds of a day-time interval text: `d h:m:s.f`, signed, with or without the literal around it.
pub fn string_to_day_time(text: &str) -> Option<i64> {
    let (body, outer) = unwrap_literal(text.trim(), "DAY TO SECOND")?;
    let (sign, body) = signed(body);
    let (days, time) = body.split_once(' ')?;
    let mut parts = time.splitn(3, ':');
    let (hours, minutes) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let (seconds, fraction) = match parts.next()?.split_once('.') {
        Some((s, f)) if f.len() <= 9 => {
            (s, format!("{f:0<6}").get(..6).and_then(|f| number(f, 6))?)
        }
        Some(_) => return None,
        None => {
            return finish(
                sign * outer,
                number(days, 9)?,
                hours,
                minutes,
                number(parts_end(time)?, 2)?,
                0,
            );
        }
    };
    finish(
        sign * outer,
        number(days, 9)?,
        hours,
        minutes,
        number(seconds, 2)?,
        fraction,
    )
}

fn parts_end(time: &str) -> Option<&str> {
    time.rsplit(':').next()
}

fn finish(sign: i64, days: i64, h: i64, m: i64, s: i64, micros: i64) -> Option<i64> {
    if h > 23 || m > 59 || s > 59 {
        return None;
    }
    let whole = days.checked_mul(MICROS_PER_DAY)?;
    let time = (h * 3600 + m * 60 + s) * MICROS_PER_SECOND + micros;
    whole.checked_add(time).map(|v| sign * v)
}

fn number(text: &str, digits_max: usize) -> Option<i64> {
    (!text.is_empty() && text.len() <= digits_max && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

fn signed(text: &str) -> (i64, &str) {
    match text.as_bytes().first() {
        Some(b'-') => (-1, text.get(1..).unwrap_or_default()),
        Some(b'+') => (1, text.get(1..).unwrap_or_default()),
        _ => (1, text),
    }
}

/// What stands between the quotes of a literal and the literal's sign; the text itself when it is none.
fn unwrap_literal<'a>(text: &'a str, unit: &str) -> Option<(&'a str, i64)> {
    let starts = text
        .get(..8)
        .is_some_and(|head| head.eq_ignore_ascii_case("interval"));
    if !starts {
        return Some((text, 1));
    }
    let rest = text.get(8..)?.trim_start();
    let (sign, rest) = signed(rest);
    let (body, tail) = rest.strip_prefix('\'')?.split_once('\'')?;
    let tail = tail.split_whitespace().collect::<Vec<_>>().join(" ");
    tail.eq_ignore_ascii_case(unit).then_some((body, sign))
}

/// `INTERVAL 'y-m' YEAR TO MONTH`.
pub fn year_month_to_string(months: i32, out: &mut String) {
    let sign = if months < 0 { "-" } else { "" };
    let abs = i64::from(months).abs();
    let _ = write!(
        out,
        "INTERVAL '{sign}{}-{}' YEAR TO MONTH",
        abs / 12,
        abs % 12
    );
}

/// `INTERVAL 'd hh:mm:ss.f' DAY TO SECOND`, trailing zeros of the fraction dropped.
pub fn day_time_to_string(micros: i64, out: &mut String) {
    let sign = if micros < 0 { "-" } else { "" };
    let abs = micros.unsigned_abs();
    let (day, second) = (
        MICROS_PER_DAY.unsigned_abs(),
        MICROS_PER_SECOND.unsigned_abs(),
    );
    let (days, of_day) = (abs / day, abs % day);
    let s = of_day / second;
    let _ = write!(
        out,
        "INTERVAL '{sign}{days} {:02}:{:02}:{:02}",
        s / 3600,
        s / 60 % 60,
        s % 60
    );
    if of_day % second != 0 {
        let digits = format!("{:06}", of_day % second);
        let _ = write!(out, ".{}", digits.trim_end_matches('0'));
    }
    out.push_str("' DAY TO SECOND");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_read_what_they_print() {
        for micros in [
            0,
            1,
            -1,
            93_784_500_000,
            -93_784_000_001,
            123_456 * MICROS_PER_DAY,
        ] {
            let mut text = String::new();
            day_time_to_string(micros, &mut text);
            assert_eq!(string_to_day_time(&text), Some(micros), "{text}");
        }
        for months in [0, 11, 12, -13, 24247] {
            let mut text = String::new();
            year_month_to_string(months, &mut text);
            assert_eq!(string_to_year_month(&text), Some(months), "{text}");
        }
        assert_eq!(string_to_day_time("1 02:03:04.5"), Some(93_784_500_000));
        assert_eq!(string_to_day_time("1 day"), None);
        assert_eq!(string_to_year_month("2020-13"), None);
    }
}
