//! Session time zones.
use std::str::FromStr;

use chrono::{FixedOffset, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;

/// A time zone as `spark.sql.session.timeZone` may name it: a region, or a fixed offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// A region with its history of offsets, such as `Europe/Berlin`.
    Region(Tz),
    /// A fixed offset, such as `+05:30` or `GMT+3`.
    Offset(FixedOffset),
}

/// Text that names no time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot resolve the given timezone: {text}")]
pub struct UnknownZone {
    /// The text.
    pub text: String,
}

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self::Region(Tz::UTC);

    /// Seconds that clocks of the zone are ahead of UTC at the instant `utc`.
    pub(super) fn offset_seconds(&self, utc: NaiveDateTime) -> i64 {
        let offset = match self {
            Self::Region(Tz::UTC) => return 0,
            Self::Region(zone) => zone.offset_from_utc_datetime(&utc).fix(),
            Self::Offset(offset) => *offset,
        };
        i64::from(offset.local_minus_utc())
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::UTC
    }
}

impl From<Tz> for Zone {
    fn from(region: Tz) -> Self {
        Self::Region(region)
    }
}

impl FromStr for Zone {
    type Err = UnknownZone;

    fn from_str(text: &str) -> Result<Self, UnknownZone> {
        if text == "Z" {
            return Ok(Self::UTC);
        }
        if let Ok(region) = text.parse::<Tz>() {
            return Ok(Self::Region(region));
        }
        let offset = ["UTC", "GMT", "UT"]
            .into_iter()
            .find_map(|prefix| text.strip_prefix(prefix))
            .unwrap_or(text);
        parse_offset(offset)
            .map(Self::Offset)
            .ok_or_else(|| UnknownZone {
                text: text.to_owned(),
            })
    }
}

/// `+h`, `+hh`, `+h:mm`, `+hh:mm` or `+hh:mm:ss`, with either sign, up to 18 hours.
fn parse_offset(text: &str) -> Option<FixedOffset> {
    const SECONDS_MAX: i32 = 18 * 3600;
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let mut seconds = 0;
    let mut unit = 3600;
    for (i, part) in rest.split(':').enumerate() {
        let short_hour = i == 0 && part.len() == 1;
        let digits = part.bytes().all(|byte| byte.is_ascii_digit());
        if i > 2 || !digits || !(part.len() == 2 || short_hour) {
            return None;
        }
        let value: i32 = part.parse().ok()?;
        if i > 0 && value > 59 {
            return None;
        }
        seconds += value * unit;
        unit /= 60;
    }
    (seconds <= SECONDS_MAX)
        .then(|| FixedOffset::east_opt(sign * seconds))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_and_offsets_are_zones() {
        let offset = |text: &str| match text.parse().unwrap() {
            Zone::Offset(offset) => offset.local_minus_utc(),
            Zone::Region(_) => panic!("{text} is no offset"),
        };
        assert_eq!(offset("+05:30"), 19_800);
        assert_eq!(offset("GMT+3"), 10_800);
        assert_eq!(offset("UTC-08:00"), -28_800);
        assert_eq!(offset("+1:00:30"), 3_630);
        assert_eq!("Asia/Kolkata".parse(), Ok(Zone::Region(Tz::Asia__Kolkata)));
        assert_eq!("Z".parse(), Ok(Zone::UTC));
        for text in [
            "",
            "Mars/Olympus",
            "+",
            "+5:3",
            "+25:00",
            "5",
            "+05:60",
            "+é",
            "GMT5",
        ] {
            assert_eq!(text.parse::<Zone>(), Err(UnknownZone { text: text.into() }));
        }
    }
}
