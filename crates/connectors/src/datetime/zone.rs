//! Time zones: regions of the IANA database and fixed offsets, under the names Java's `ZoneId` accepts.
use std::{collections::HashMap, fmt, str::FromStr, sync::OnceLock};

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::{OffsetComponents, TZ_VARIANTS, Tz};

use super::calendar::{
    MICROS_PER_SECOND, civil_from_days, days_from_civil, leap_year, micros_of, weekday,
};

/// A time zone: a region, or a fixed offset with the prefix it was written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Zone {
    /// A region, e.g. `Europe/Paris`.
    Region(Tz),
    /// A fixed offset, e.g. `+05:30`, `Z` or `UTC+01:00`.
    Fixed {
        /// Seconds east of Greenwich.
        seconds: i32,
        /// `""`, `"UTC"`, `"GMT"` or `"UT"`.
        prefix: &'static str,
    },
}

/// Java's `ZoneId.SHORT_IDS`.
const SHORT_IDS: [(&str, &str); 28] = [
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
    ("IET", "America/Indiana/Indianapolis"),
    ("IST", "Asia/Kolkata"),
    ("JST", "Asia/Tokyo"),
    ("MIT", "Pacific/Apia"),
    ("NET", "Asia/Yerevan"),
    ("NST", "Pacific/Auckland"),
    ("PLT", "Asia/Karachi"),
    ("PNT", "America/Phoenix"),
    ("PRT", "America/Puerto_Rico"),
    ("PST", "America/Los_Angeles"),
    ("SST", "Pacific/Guadalcanal"),
    ("VST", "Asia/Ho_Chi_Minh"),
    ("EST", "-05:00"),
    ("MST", "-07:00"),
    ("HST", "-10:00"),
];

/// Largest offset Java knows, 18 hours.
const OFFSET_MAX: i32 = 18 * 3600;
/// Years whose rules the database lists one by one; later years repeat a 28-year cycle.
const LISTED_YEARS_END: i64 = 2095;

impl Zone {
    /// Coordinated Universal Time, the region `UTC`.
    pub const UTC: Self = Self::Region(Tz::UTC);

    /// The zone of a name, as Spark's `spark.sql.session.timeZone` and timestamp strings accept it:
    /// a region, a short id such as `PST`, `Z`, `+5`, `+5:30`, `+05:30`, `-0800`, `UTC+2`, `GMT-03:00`.
    pub fn parse(name: &str) -> Option<Self> {
        let padded = pad_offset(name);
        let name = padded.as_deref().unwrap_or(name);
        let name = SHORT_IDS
            .iter()
            .find(|(short, _)| *short == name)
            .map_or(name, |(_, id)| id);
        match name {
            "Z" => {
                return Some(Self::Fixed {
                    seconds: 0,
                    prefix: "",
                });
            }
            "UTC" => return Some(Self::UTC),
            "UT" => {
                return Some(Self::Fixed {
                    seconds: 0,
                    prefix: "UT",
                });
            }
            _ => {}
        }
        if name.starts_with(['+', '-']) {
            return Some(Self::Fixed {
                seconds: offset_seconds(name)?,
                prefix: "",
            });
        }
        for prefix in ["UTC", "GMT", "UT"] {
            if let Some(rest) = name.strip_prefix(prefix)
                && rest.starts_with(['+', '-'])
            {
                return Some(Self::Fixed {
                    seconds: offset_seconds(rest)?,
                    prefix,
                });
            }
        }
        Tz::from_str(name)
            .ok()
            .filter(|tz| !matches!(tz.name(), "EST" | "MST" | "HST"))
            .map(Self::Region)
    }

    /// Seconds east of Greenwich at an instant (seconds since the epoch).
    pub fn offset_at(&self, utc_seconds: i64) -> i32 {
        match self {
            Self::Region(Tz::UTC) => 0,
            Self::Region(tz) => region_offset(*tz, utc_seconds).0,
            Self::Fixed { seconds, .. } => *seconds,
        }
    }

    /// Whether daylight saving time is in force at an instant.
    pub fn daylight_saving_at(&self, utc_seconds: i64) -> bool {
        match self {
            Self::Region(tz) => region_offset(*tz, utc_seconds).1,
            Self::Fixed { .. } => false,
        }
    }

    /// The instant of a local time, both in seconds since the epoch. In an overlap the earlier instant; a
    /// time in a gap is moved forward by the gap's length.
    pub fn local_to_utc(&self, local_seconds: i64) -> i64 {
        const DAY: i64 = 86_400;
        if let Self::Fixed { seconds, .. } = self {
            return local_seconds.saturating_sub(i64::from(*seconds));
        }
        let before = i64::from(self.offset_at(local_seconds.saturating_sub(DAY)));
        let after = i64::from(self.offset_at(local_seconds.saturating_add(DAY)));
        let early = local_seconds.saturating_sub(before);
        if before == after || i64::from(self.offset_at(early)) == before {
            return early;
        }
        let late = local_seconds.saturating_sub(after);
        if i64::from(self.offset_at(late)) == after {
            late
        } else {
            early
        }
    }

    /// Wall-clock microseconds of an instant; saturates at the ends of the range.
    pub fn to_local_micros(&self, micros: i64) -> i64 {
        let offset = self.offset_at(micros.div_euclid(MICROS_PER_SECOND));
        micros.saturating_add(i64::from(offset) * MICROS_PER_SECOND)
    }

    /// Wall clock of an instant: days since the epoch and microseconds of the day.
    pub(super) fn local_parts(&self, micros: i64) -> (i64, i64) {
        let utc = micros.div_euclid(MICROS_PER_SECOND);
        let local = utc.saturating_add(i64::from(self.offset_at(utc)));
        let of_second = micros.rem_euclid(MICROS_PER_SECOND);
        (
            local.div_euclid(86_400),
            local.rem_euclid(86_400) * MICROS_PER_SECOND + of_second,
        )
    }

    /// The instant of a wall-clock time given as days and microseconds of day; `None` when out of range.
    pub fn instant_of(&self, days: i64, second_of_day: i64, micros: i64) -> Option<i64> {
        let utc = self.local_to_utc(days.checked_mul(86_400)?.checked_add(second_of_day)?);
        micros_of(utc.div_euclid(86_400), utc.rem_euclid(86_400), micros)
    }
}

impl From<Tz> for Zone {
    fn from(tz: Tz) -> Self {
        Self::Region(tz)
    }
}

/// The id as Java prints it.
impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Region(tz) => f.write_str(tz.name()),
            Self::Fixed {
                seconds: 0,
                prefix: "",
            } => f.write_str("Z"),
            Self::Fixed { seconds: 0, prefix } => f.write_str(prefix),
            Self::Fixed { seconds, prefix } => {
                let sign = if *seconds < 0 { '-' } else { '+' };
                let abs = seconds.abs();
                write!(f, "{prefix}{sign}{:02}:{:02}", abs / 3600, abs / 60 % 60)?;
                if abs % 60 != 0 {
                    write!(f, ":{:02}", abs % 60)
                } else {
                    Ok(())
                }
            }
        }
    }
}

/// Offset in seconds and whether daylight saving is on.
fn region_offset(tz: Tz, utc_seconds: i64) -> (i32, bool) {
    // Before the first transition every zone is on local mean time, so the year 1 stands for all earlier.
    let seconds = listed_equivalent(utc_seconds).max(-62_135_596_800);
    let Some(instant) = DateTime::from_timestamp(seconds, 0) else {
        return (0, false);
    };
    let offset = tz.offset_from_utc_datetime(&instant.naive_utc());
    (
        offset.fix().local_minus_utc(),
        !offset.dst_offset().is_zero(),
    )
}

/// An instant in a listed year that has the same calendar, and so the same rules.
fn listed_equivalent(utc_seconds: i64) -> i64 {
    let days = utc_seconds.div_euclid(86_400);
    let (year, month, day) = civil_from_days(days);
    if year <= LISTED_YEARS_END {
        return utc_seconds;
    }
    let same_calendar = |y: &i64| {
        leap_year(*y) == leap_year(year)
            && weekday(days_from_civil(*y, 1, 1)) == weekday(days_from_civil(year, 1, 1))
    };
    let year = (LISTED_YEARS_END - 28..LISTED_YEARS_END)
        .rev()
        .find(same_calendar)
        .unwrap_or(LISTED_YEARS_END);
    days_from_civil(year, month, day) * 86_400 + utc_seconds.rem_euclid(86_400)
}

/// Spark 2 also took `+8:00` and `+08:0`; both are padded before the name is looked at.
fn pad_offset(name: &str) -> Option<String> {
    let sign = name.find(['+', '-'])?;
    let (head, tail) = name.split_at(sign + 1);
    let bytes = tail.as_bytes();
    let digit = |i: usize| bytes.get(i).is_some_and(u8::is_ascii_digit);
    let mut text = if digit(0) && bytes.get(1) == Some(&b':') {
        format!("{head}0{tail}")
    } else {
        name.to_owned()
    };
    let tail = text.get(sign + 1..)?.as_bytes();
    if let [b'0'..=b'9', b'0'..=b'9', b':', minute @ b'0'..=b'9'] = tail {
        let minute = char::from(*minute);
        text.pop();
        text.push('0');
        text.push(minute);
    }
    Some(text)
}

/// Java's `ZoneOffset.of`: `+h`, `+hh`, `+hhmm`, `+hh:mm`, `+hhmmss`, `+hh:mm:ss`.
fn offset_seconds(text: &str) -> Option<i32> {
    let (sign, digits) = match text.as_bytes() {
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let two = |a: u8, b: u8| {
        (a.is_ascii_digit() && b.is_ascii_digit())
            .then(|| i32::from(a - b'0') * 10 + i32::from(b - b'0'))
    };
    let (h, m, s) = match *digits {
        [h] => (two(b'0', h)?, 0, 0),
        [a, b] => (two(a, b)?, 0, 0),
        [a, b, c, d] | [a, b, b':', c, d] => (two(a, b)?, two(c, d)?, 0),
        [a, b, c, d, e, f] | [a, b, b':', c, d, b':', e, f] => (two(a, b)?, two(c, d)?, two(e, f)?),
        _ => return None,
    };
    let seconds = h * 3600 + m * 60 + s;
    (m < 60 && s < 60 && seconds <= OFFSET_MAX).then_some(sign * seconds)
}

/// Regions by lower-case name, for patterns, which ignore case.
pub(super) fn regions() -> &'static HashMap<String, Tz> {
    static REGIONS: OnceLock<HashMap<String, Tz>> = OnceLock::new();
    REGIONS.get_or_init(|| {
        TZ_VARIANTS
            .iter()
            .map(|tz| (tz.name().to_ascii_lowercase(), *tz))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_print_as_java_prints_them() {
        for (name, id) in [
            ("GMT+1", "GMT+01:00"),
            ("EST", "-05:00"),
            ("PST", "America/Los_Angeles"),
            ("Z", "Z"),
            ("+8:00", "+08:00"),
            ("+08:5", "+08:05"),
            ("UTC+2", "UTC+02:00"),
        ] {
            assert_eq!(
                Zone::parse(name).map(|z| z.to_string()).as_deref(),
                Some(id),
                "{name}"
            );
        }
        for name in ["foo", "+19:00", "z", "america/new_york", ""] {
            assert_eq!(Zone::parse(name), None, "{name}");
        }
    }

    #[test]
    fn a_far_year_follows_the_rules_of_its_calendar() {
        let zone = Zone::parse("America/New_York").unwrap();
        let summer = days_from_civil(2500, 7, 1) * 86_400;
        let winter = days_from_civil(2500, 12, 1) * 86_400;
        assert_eq!(
            (zone.offset_at(summer), zone.offset_at(winter)),
            (-4 * 3600, -5 * 3600)
        );
    }
}
