//! The session time zone.
use std::str::FromStr;

use arrow::array::timezone::Tz;
use millstream_connectors::datetime::Zone;

use crate::error::{Exception, Result, SparkError};

/// A zone from an id such as `Europe/Paris`, `UTC`, `+01:00`, `GMT+8` or `Z`.
pub fn parse_time_zone(id: &str) -> Result<Zone> {
    Zone::parse(id.trim()).ok_or_else(|| {
        SparkError::new(
            Exception::DateTime,
            "INVALID_TIMEZONE",
            &[("timeZone", &crate::error::quoted_id(id))],
        )
    })
}

/// A zone in Arrow's form, for the kernels that take one.
pub fn arrow_zone(zone: &Zone) -> Result<Tz> {
    let id = arrow_zone_id(zone);
    Tz::from_str(&id).map_err(SparkError::from)
}

/// The id Arrow knows a zone by: a region, or an offset such as `+01:00`.
pub fn arrow_zone_id(zone: &Zone) -> String {
    match zone {
        Zone::Region(tz) => tz.name().to_string(),
        Zone::Fixed { seconds, .. } => {
            let (sign, abs) = if *seconds < 0 {
                ('-', -seconds)
            } else {
                ('+', *seconds)
            };
            format!("{sign}{:02}:{:02}", abs / 3600, abs / 60 % 60)
        }
    }
}

/// The zone of this machine: `TZ`, or the link of `/etc/localtime`; `Etc/UTC` where neither says.
pub(super) fn local_zone() -> String {
    let from_link = || {
        let target = std::fs::read_link("/etc/localtime").ok()?;
        let text = target.to_str()?;
        let (_, id) = text.split_once("zoneinfo/")?;
        Some(id.trim_start_matches("posix/").to_string())
    };
    std::env::var("TZ")
        .ok()
        .map(|id| id.trim_start_matches(':').to_string())
        .or_else(from_link)
        .filter(|id| parse_time_zone(id).is_ok())
        .unwrap_or_else(|| "Etc/UTC".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn javas_ids_are_understood_and_known_to_arrow() {
        for id in [
            "UTC",
            "Z",
            "Europe/Paris",
            "+01:00",
            "GMT+8",
            "UTC-08:30",
            "Etc/UTC",
        ] {
            arrow_zone(&parse_time_zone(id).unwrap()).unwrap();
        }
        assert_eq!(
            parse_time_zone("Mars/Base").unwrap_err().class,
            "INVALID_TIMEZONE"
        );
    }
}
