//! Dates, times and timestamps as Spark reads them in literals.
//!
//! Spark is lenient where ISO 8601 is not (`2020-1-5`, a year alone, text after a date) and strict
//! where one would not expect it (a zone needs seconds before it). A timestamp that gives only a
//! time would mean today's; the parser has no clock, so it is refused. `'now'` and its like are
//! left to functions, which run on the query's clock.

use std::str::FromStr;

use chrono::{
    DateTime, FixedOffset, LocalResult, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Utc,
};
use chrono_tz::Tz;

/// A time zone by name or by offset.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Zone {
    Region(Tz),
    Offset(FixedOffset),
}

impl Default for Zone {
    fn default() -> Self {
        Self::Region(Tz::UTC)
    }
}

/// Three-letter zones that Java still knows.
const SHORT_ZONES: &[(&str, &str)] = &[
    ("ACT", "Australia/Darwin"),
    ("AET", "Australia/Sydney"),
    ("AGT", "America/Argentina/Buenos_Aires"),
    ("ART", "Africa/Cairo"),
    ("AST", "America/Anchorage"),
    ("BET", "America/Sao_Paulo"),
    ("BST", "Asia/Dhaka"),
    ("CAT", "Africa/Harare"),
    ("CNT", "America/St_Johns"),
    ("CST", "America/Chicago"),
    ("CTT", "Asia/Shanghai"),
    ("EAT", "Africa/Addis_Ababa"),
    ("ECT", "Europe/Paris"),
    ("EST", "-05:00"),
    ("HST", "-10:00"),
    ("IET", "America/Indiana/Indianapolis"),
    ("IST", "Asia/Kolkata"),
    ("JST", "Asia/Tokyo"),
    ("MIT", "Pacific/Apia"),
    ("MST", "-07:00"),
    ("NET", "Asia/Yerevan"),
    ("NST", "Pacific/Auckland"),
    ("PLT", "Asia/Karachi"),
    ("PNT", "America/Phoenix"),
    ("PRT", "America/Puerto_Rico"),
    ("PST", "America/Los_Angeles"),
    ("SST", "Pacific/Guadalcanal"),
    ("VST", "Asia/Ho_Chi_Minh"),
];

impl Zone {
    /// Reads `Z`, `+2`, `-08:00`, `UTC+3`, `Europe/Berlin` or `PST`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if matches!(text, "Z" | "z") {
            return Some(Self::default());
        }
        let short = SHORT_ZONES.iter().find(|(short, _)| *short == text);
        let text = short.map_or(text, |(_, zone)| *zone);
        let offset = ["UTC", "GMT", "UT"]
            .iter()
            .find_map(|prefix| text.strip_prefix(prefix))
            .filter(|rest| rest.starts_with(['+', '-']))
            .unwrap_or(text);
        if offset.starts_with(['+', '-']) {
            return offset_seconds(offset)
                .and_then(FixedOffset::east_opt)
                .map(Self::Offset);
        }
        Tz::from_str(text).ok().map(Self::Region)
    }

    /// The instant of a wall clock: the earlier one when clocks go back, and shifted by the gap
    /// when they go forward.
    fn instant(&self, local: NaiveDateTime) -> Option<DateTime<Utc>> {
        match self {
            Self::Offset(offset) => offset
                .from_local_datetime(&local)
                .earliest()
                .map(|t| t.to_utc()),
            Self::Region(zone) => match zone.from_local_datetime(&local) {
                LocalResult::Single(instant) => Some(instant.to_utc()),
                LocalResult::Ambiguous(earlier, _) => Some(earlier.to_utc()),
                LocalResult::None => {
                    // The offset in force before the gap gives the wall clock after it.
                    let before = local.checked_sub_signed(TimeDelta::days(1))?;
                    let reference = zone.from_local_datetime(&before).earliest()?.to_utc();
                    reference.checked_add_signed(TimeDelta::days(1))
                }
            },
        }
    }
}

/// `±h`, `±hh`, `±hhmm`, `±hh:mm` or `±hh:mm:ss`, at most 18 hours.
fn offset_seconds(text: &str) -> Option<i32> {
    let negative = text.starts_with('-');
    let body = text.get(1..)?;
    let parts: Vec<&str> = if body.contains(':') {
        body.split(':').collect()
    } else if body.len() > 2 {
        let (hours, rest) = body.split_at_checked(2)?;
        let (minutes, seconds) = rest.split_at_checked(2)?;
        if seconds.is_empty() {
            vec![hours, minutes]
        } else {
            vec![hours, minutes, seconds]
        }
    } else {
        vec![body]
    };
    let mut total = 0;
    for (part, unit) in parts.iter().zip([3_600, 60, 1]) {
        let digits = (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        let value = part.parse::<i32>().ok().filter(|_| digits)?;
        if unit != 3_600 && value > 59 {
            return None;
        }
        total += value * unit;
    }
    let within = parts.len() <= 3 && total <= 18 * 3_600;
    within.then_some(if negative { -total } else { total })
}

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

/// Days since the epoch; whatever follows a blank or a `T` after a full date does not matter.
pub(super) fn parse_date(text: &str) -> Option<i32> {
    let (date, rest) = date_prefix(text.trim())?;
    let tail = rest.text;
    let complete = tail.is_empty() || (rest.full && tail.starts_with([' ', 'T']));
    let days = date
        .signed_duration_since(NaiveDate::from_ymd_opt(1970, 1, 1)?)
        .num_days();
    complete
        .then_some(days)
        .and_then(|days| i32::try_from(days).ok())
}

/// Microseconds since the epoch; a zone in the text beats `session_zone`.
pub(super) fn parse_timestamp(text: &str, session_zone: &Zone) -> Option<i64> {
    let (local, zone) = timestamp_parts(text)?;
    let zone = match zone {
        Some(zone) => Zone::parse(zone)?,
        None => *session_zone,
    };
    zone.instant(local)
        .map(|instant| instant.timestamp_micros())
}

/// Microseconds of the wall clock; a zone must be a zone, but does not count.
pub(super) fn parse_timestamp_ntz(text: &str) -> Option<i64> {
    let (local, zone) = timestamp_parts(text)?;
    if let Some(zone) = zone {
        Zone::parse(zone)?;
    }
    Some(local.and_utc().timestamp_micros())
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

struct AfterDate<'a> {
    text: &'a str,
    /// Whether the date had all three fields.
    full: bool,
}

/// `[±]y…y[-m[m][-d[d]]]` at the start of the text.
fn date_prefix(text: &str) -> Option<(NaiveDate, AfterDate<'_>)> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (year, mut rest) = digits(unsigned, 4..=7)?;
    let year = i32::try_from(year).ok()?;
    let mut fields = [1u32, 1];
    let mut found = 0;
    for field in &mut fields {
        let Some(after_dash) = rest.strip_prefix('-') else {
            break;
        };
        let (value, after) = digits(after_dash, 1..=2)?;
        *field = u32::try_from(value).ok()?;
        rest = after;
        found += 1;
    }
    let [month, day] = fields;
    let date = NaiveDate::from_ymd_opt(if negative { -year } else { year }, month, day)?;
    Some((
        date,
        AfterDate {
            text: rest,
            full: found == 2,
        },
    ))
}

/// The wall clock and the zone's text.
fn timestamp_parts(text: &str) -> Option<(NaiveDateTime, Option<&str>)> {
    let (date, rest) = date_prefix(text.trim())?;
    if rest.text.is_empty() {
        return date.and_hms_opt(0, 0, 0).map(|local| (local, None));
    }
    let clock = rest.text.strip_prefix([' ', 'T']).filter(|_| rest.full)?;
    let (time, zone) = clock_prefix(clock)?;
    // Spark looks for a zone only after seconds.
    if !zone.is_empty() && time.fields < 3 {
        return None;
    }
    let micros = time.nanos / 1_000;
    let local = date.and_hms_micro_opt(time.hour, time.minute, time.second, micros)?;
    Some((local, Some(zone.trim()).filter(|zone| !zone.is_empty())))
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

    fn utc(text: &str) -> Option<String> {
        let micros = parse_timestamp(text, &Zone::default())?;
        let instant = DateTime::from_timestamp_micros(micros).unwrap();
        Some(instant.format("%Y-%m-%d %H:%M:%S%.f").to_string())
    }

    #[test]
    fn timestamps_read_as_in_spark() {
        let cases = [
            ("2020", Some("2020-01-01 00:00:00")),
            ("2020-01-02 3:4", Some("2020-01-02 03:04:00")),
            ("2020-01-02 03", Some("2020-01-02 03:00:00")),
            (
                "2020-01-02 03:04:05.123456789",
                Some("2020-01-02 03:04:05.123456"),
            ),
            ("2020-01-02 03:04:05Z", Some("2020-01-02 03:04:05")),
            (
                "2020-01-02 03:04:05 Europe/Berlin",
                Some("2020-01-02 02:04:05"),
            ),
            ("2020-01-02 03:04:05+2", Some("2020-01-02 01:04:05")),
            (
                "2020-01-02T03:04:05.1+0230",
                Some("2020-01-02 00:34:05.100"),
            ),
            ("2020-1-2T3:4:5.1 UTC+3", Some("2020-01-02 00:04:05.100")),
            ("2020-01-02 03:04:05 PST", Some("2020-01-02 11:04:05")),
            ("2020-01-02 03:04:05.", Some("2020-01-02 03:04:05")),
            ("2020-01-02T", None),
            ("2020-01-02 03:", None),
            ("2020-01-02 03:04Z", None),
            ("2020-01-02 24:00:00", None),
            ("2020-01-02 03:04:05 now", None),
            ("2020-01-02 03:04:05 +19:00", None),
            ("220-01-02 03:04:05", None),
            ("2020-01-02  03:04:05", None),
        ];
        for (text, expected) in cases {
            assert_eq!(utc(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn wall_clocks_in_a_gap_move_forward_and_in_an_overlap_come_early() {
        let zone = Zone::parse("Europe/Berlin").unwrap();
        let hour = |text| parse_timestamp(text, &zone).unwrap() / 3_600_000_000;
        assert_eq!(hour("2024-03-31 02:30:00"), hour("2024-03-31 01:30:00") + 1);
        assert_eq!(hour("2024-10-27 02:30:00"), hour("2024-10-27 01:30:00") + 1);
        assert_eq!(hour("2024-10-27 03:30:00"), hour("2024-10-27 02:30:00") + 2);
    }

    #[test]
    fn dates_read_as_in_spark() {
        assert_eq!(parse_date("1970-01-02"), Some(1));
        assert_eq!(parse_date("2020-1"), parse_date("2020-01-01"));
        assert_eq!(parse_date("2020-01-01 foo"), parse_date("2020"));
        assert_eq!(parse_date(" 2020-01-01T10 "), parse_date("2020"));
        for invalid in [
            "20200101",
            "2020-02-30",
            "2020-",
            "2020-01-01Z",
            "foo",
            "",
            "220-01-01",
        ] {
            assert_eq!(parse_date(invalid), None, "{invalid}");
        }
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
