//! Values of typed literals that a cast from text does not know: `TIME '12:30'`, `DATE 'tomorrow'`.
//!
//! Dates that name themselves are left to functions, which run on the query's clock.

use millstream_connectors::datetime::Zone;

/// Dates that name themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Special {
    Epoch,
    Now,
    Today,
    Tomorrow,
    Yesterday,
}

impl Special {
    /// Reads a special value; a date may not carry a zone, and a timestamp's is of no effect
    /// except to refuse `now`, which is an instant already.
    pub fn parse(text: &str, date: bool) -> Option<Self> {
        let lower = text.trim().to_ascii_lowercase();
        let (name, zone) = match lower.split_once(' ') {
            Some((name, zone)) => (name, Some(zone)),
            None => (lower.as_str(), None),
        };
        let zone_fits = match zone {
            None => true,
            Some(zone) => {
                !date && name == "epoch" && Zone::parse(&zone.to_ascii_uppercase()).is_some()
            }
        };
        let special = match name {
            "epoch" => Self::Epoch,
            "now" => Self::Now,
            "today" => Self::Today,
            "tomorrow" => Self::Tomorrow,
            "yesterday" => Self::Yesterday,
            _ => return None,
        };
        zone_fits.then_some(special)
    }
}

/// Nanoseconds since midnight, and how many digits of them were written (at least 6).
pub(super) fn parse_time(text: &str) -> Option<(i64, i32)> {
    let text = text.trim();
    let upper = text.to_ascii_uppercase();
    let (clock, half) = match upper
        .strip_suffix("AM")
        .or_else(|| upper.strip_suffix("PM"))
    {
        Some(clock) => (clock.trim_end(), Some(upper.ends_with("PM"))),
        None => (upper.as_str(), None),
    };
    let (mut time, rest) = clock_prefix(clock)?;
    if !rest.is_empty() || time.fields < 2 {
        return None;
    }
    if let Some(afternoon) = half {
        if !(1..=12).contains(&time.hour) {
            return None;
        }
        time.hour = time.hour % 12 + if afternoon { 12 } else { 0 };
    }
    let seconds =
        i64::from(time.hour) * 3_600 + i64::from(time.minute) * 60 + i64::from(time.second);
    let precision = i32::try_from(time.fraction_digits.clamp(6, 9)).ok()?;
    Some((seconds * 1_000_000_000 + i64::from(time.nanos), precision))
}

#[derive(Default)]
struct Clock {
    hour: u32,
    minute: u32,
    second: u32,
    nanos: u32,
    fields: usize,
    fraction_digits: usize,
}

/// `h[h][:m[m][:s[s][.n…]]]` at the start of the text, and what follows.
fn clock_prefix(text: &str) -> Option<(Clock, &str)> {
    let mut clock = Clock::default();
    let mut rest = text;
    for index in 0..3 {
        let field = if index == 0 {
            Some(rest)
        } else {
            rest.strip_prefix(':')
        };
        let Some(field) = field else { break };
        let (value, after) = digits(field, 1..=2)?;
        let value = u32::try_from(value).ok()?;
        let (slot, max) = match index {
            0 => (&mut clock.hour, 23),
            1 => (&mut clock.minute, 59),
            _ => (&mut clock.second, 59),
        };
        *slot = value;
        if value > max {
            return None;
        }
        rest = after;
        clock.fields += 1;
    }
    if let Some(fraction) = rest.strip_prefix('.').filter(|_| clock.fields == 3) {
        let count = fraction.bytes().take_while(u8::is_ascii_digit).count();
        let nanos = fraction.get(..count.min(9)).unwrap_or("");
        clock.nanos = format!("{nanos:0<9}").parse().ok()?;
        clock.fraction_digits = count;
        rest = fraction.get(count..).unwrap_or("");
    }
    Some((clock, rest))
}

/// A number with as many digits as the range allows.
fn digits(text: &str, length: std::ops::RangeInclusive<usize>) -> Option<(u64, &str)> {
    let count = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at_checked(count)?;
    let value = number.parse().ok().filter(|_| length.contains(&count))?;
    Some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_epoch_may_have_a_zone() {
        assert_eq!(Special::parse(" Tomorrow ", true), Some(Special::Tomorrow));
        assert_eq!(Special::parse("epoch UTC", false), Some(Special::Epoch));
        assert_eq!(Special::parse("epoch UTC", true), None);
        assert_eq!(Special::parse("now UTC", false), None);
        assert_eq!(Special::parse("soon", false), None);
    }

    #[test]
    fn times_read_as_in_spark() {
        assert_eq!(parse_time("1:2:3.5"), Some((3_723_500_000_000, 6)));
        assert_eq!(parse_time("12:30 pm"), Some((45_000_000_000_000, 6)));
        assert_eq!(
            parse_time("12:30:15.123456789"),
            Some((45_015_123_456_789, 9))
        );
        for invalid in ["12", "25:00", "12:30:61", "13:00 AM"] {
            assert_eq!(parse_time(invalid), None, "{invalid}");
        }
    }
}
