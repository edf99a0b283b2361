//! Calendar intervals as text (`10 minutes`, `interval 1 day 2 hours`) and ANSI intervals as SQL.
//!
//! The calendar syntax is what window durations, watermark delays and processing-time triggers are written in: an
//! optional word `interval`, then pairs of a signed number and a unit. Only seconds take a fraction.
use arrow::datatypes::IntervalMonthDayNano;

/// Months, days and microseconds: parts that have no fixed length relative to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CalendarInterval {
    /// Whole months.
    pub months: i32,
    /// Whole days.
    pub days: i32,
    /// Microseconds.
    pub micros: i64,
}

impl CalendarInterval {
    /// Parses the calendar syntax; `None` if it is something else or too large.
    pub fn parse(text: &str) -> Option<Self> {
        let lower = text.trim().to_ascii_lowercase();
        let mut rest = lower.as_str();
        if let Some(tail) = rest.strip_prefix("interval") {
            if !tail.starts_with(|c: char| c.is_whitespace()) {
                return None;
            }
            rest = tail.trim_start();
        }
        if rest.is_empty() {
            return None;
        }
        let mut total = Self::default();
        while !rest.is_empty() {
            rest = total.take_pair(rest)?.trim_start();
        }
        Some(total)
    }

    /// Adds the first `number unit` of `text`; gives back what follows.
    fn take_pair<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let (negative, text) = match text.as_bytes().first()? {
            b'-' => (true, text.get(1..)?.trim_start()),
            b'+' => (false, text.get(1..)?.trim_start()),
            _ => (false, text),
        };
        let end = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (digits, mut text) = text.split_at(end);
        let mut fraction_ns = None;
        if let Some(tail) = text.strip_prefix('.') {
            let end = tail
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(tail.len());
            let (fraction, tail) = tail.split_at(end);
            if fraction.len() > 9 || (digits.is_empty() && fraction.is_empty()) {
                return None;
            }
            fraction_ns = Some(format!("{fraction:0<9}").parse::<i64>().ok()?);
            text = tail;
        } else if digits.is_empty() {
            return None;
        }
        let number: i64 = if digits.is_empty() {
            0
        } else {
            digits.parse().ok()?
        };
        let number = if negative { -number } else { number };
        if !text.starts_with(|c: char| c.is_whitespace()) {
            return None;
        }
        let text = text.trim_start();
        let end = text
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(text.len());
        let (unit, rest) = text.split_at(end);
        if !rest.is_empty()
            && !rest.starts_with(|c: char| c.is_whitespace() || c == '-' || c == '+')
        {
            return None;
        }
        let unit = unit.strip_suffix('s').unwrap_or(unit);
        if fraction_ns.is_some() && unit != "second" {
            return None;
        }
        self.add(number, unit)?;
        let fraction_us = fraction_ns.unwrap_or(0) / 1000;
        let fraction_us = if negative { -fraction_us } else { fraction_us };
        self.micros = self.micros.checked_add(fraction_us)?;
        Some(rest)
    }

    fn add(&mut self, number: i64, unit: &str) -> Option<()> {
        let small = |factor: i64| i32::try_from(number.checked_mul(factor)?).ok();
        let micros = |factor: i64| number.checked_mul(factor);
        match unit {
            "year" => self.months = self.months.checked_add(small(12)?)?,
            "month" => self.months = self.months.checked_add(small(1)?)?,
            "week" => self.days = self.days.checked_add(small(7)?)?,
            "day" => self.days = self.days.checked_add(small(1)?)?,
            "hour" => self.micros = self.micros.checked_add(micros(3_600_000_000)?)?,
            "minute" => self.micros = self.micros.checked_add(micros(60_000_000)?)?,
            "second" => self.micros = self.micros.checked_add(micros(1_000_000)?)?,
            "millisecond" => self.micros = self.micros.checked_add(micros(1000)?)?,
            "microsecond" => self.micros = self.micros.checked_add(number)?,
            _ => return None,
        }
        Some(())
    }

    /// Microseconds, a day being 24 hours; `None` if there are months or it is too large.
    pub fn fixed_micros(&self) -> Option<i64> {
        if self.months != 0 {
            return None;
        }
        i64::from(self.days)
            .checked_mul(86_400_000_000)?
            .checked_add(self.micros)
    }

    /// Milliseconds, a day being 24 hours and a month 31 days: how watermark delays are counted.
    pub fn millis_31_day_months(&self) -> Option<i64> {
        let days = i64::from(self.months)
            .checked_mul(31)?
            .checked_add(i64::from(self.days))?;
        days.checked_mul(86_400_000)?
            .checked_add(self.micros.div_euclid(1000))
    }

    /// Whether any part is below zero as Spark counts it (months of 31 days).
    pub fn is_negative(&self) -> bool {
        self.millis_31_day_months().is_none_or(|ms| ms < 0)
    }
}

/// For casts of text to INTERVAL.
pub(crate) fn parse_calendar_interval(text: &str) -> Option<IntervalMonthDayNano> {
    let interval = CalendarInterval::parse(text)?;
    let nanos = interval.micros.checked_mul(1000)?;
    Some(IntervalMonthDayNano::new(
        interval.months,
        interval.days,
        nanos,
    ))
}

/// `INTERVAL '1 02:03:04.5' DAY TO SECOND`, from field `start` to `end` (0 day … 3 second).
pub fn day_time_sql(micros: i64, start: i32, end: i32) -> String {
    const NAMES: [&str; 4] = ["DAY", "HOUR", "MINUTE", "SECOND"];
    const UNITS: [u64; 4] = [86_400_000_000, 3_600_000_000, 60_000_000, 1_000_000];
    let (start, end) = (start.clamp(0, 3) as usize, end.clamp(0, 3) as usize);
    let sign = if micros < 0 { "-" } else { "" };
    let mut rest = micros.unsigned_abs();
    let mut body = String::new();
    for (index, unit) in UNITS.iter().enumerate().take(end + 1).skip(start) {
        let value = rest / unit;
        rest %= unit;
        let separator = match index {
            _ if index == start => "",
            1 => " ",
            _ => ":",
        };
        body.push_str(separator);
        body.push_str(&if index == 0 {
            value.to_string()
        } else {
            format!("{value:02}")
        });
    }
    if end == 3 && rest > 0 {
        let fraction = format!("{rest:06}");
        body.push('.');
        body.push_str(fraction.trim_end_matches('0'));
    }
    let names = |i: usize| NAMES.get(i).copied().unwrap_or("SECOND");
    let fields = if start == end {
        names(start).to_string()
    } else {
        format!("{} TO {}", names(start), names(end))
    };
    format!("INTERVAL '{sign}{body}' {fields}")
}

/// `INTERVAL '1-2' YEAR TO MONTH`, from field `start` to `end` (0 year, 1 month).
pub fn year_month_sql(months: i32, start: i32, end: i32) -> String {
    let sign = if months < 0 { "-" } else { "" };
    let abs = months.unsigned_abs();
    match (start, end) {
        (0, 0) => format!("INTERVAL '{sign}{}' YEAR", abs / 12),
        (1, 1) => format!("INTERVAL '{sign}{abs}' MONTH"),
        _ => format!("INTERVAL '{sign}{}-{}' YEAR TO MONTH", abs / 12, abs % 12),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calendar_syntax_is_understood() {
        for (text, expected) in [
            ("10 minutes", Some((0, 0, 600_000_000))),
            ("INTERVAL 1 day 2 hours", Some((0, 1, 7_200_000_000))),
            ("1 week", Some((0, 7, 0))),
            ("1 year -1 month", Some((11, 0, 0))),
            ("1.5 seconds", Some((0, 0, 1_500_000))),
            ("-1.5 second", Some((0, 0, -1_500_000))),
            ("1.5 minutes", None),
            ("10", None),
            ("minutes", None),
            ("", None),
            ("interval", None),
            ("1 fortnight", None),
            ("99999999999999999999 days", None),
        ] {
            let parsed = CalendarInterval::parse(text).map(|i| (i.months, i.days, i.micros));
            assert_eq!(parsed, expected, "{text}");
        }
    }

    #[test]
    fn ansi_intervals_print_their_fields() {
        assert_eq!(day_time_sql(900_000_000, 2, 2), "INTERVAL '15' MINUTE");
        assert_eq!(
            day_time_sql(-93_784_500_000, 0, 3),
            "INTERVAL '-1 02:03:04.5' DAY TO SECOND"
        );
        assert_eq!(year_month_sql(14, 0, 1), "INTERVAL '1-2' YEAR TO MONTH");
    }
}
