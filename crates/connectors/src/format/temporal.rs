//! How a reader or writer turns dates and timestamps to text and back, decided once from its options.
use arrow::datatypes::DataType;

use crate::datetime::{
    JavaPattern, PatternError, Zone, string_to_date, string_to_timestamp, string_to_timestamp_ntz,
};

use super::{FormatError, FormatSettings, Options, TimeParserPolicy};

/// Patterns for reading; without one, the shapes of `CAST` are accepted.
#[derive(Debug, Clone)]
pub(crate) struct TemporalReader {
    pub zone: Zone,
    timestamp: Option<JavaPattern>,
    timestamp_ntz: Option<JavaPattern>,
    date: Option<JavaPattern>,
    /// Whether a text the pattern cannot read is tried as `CAST` would.
    timestamp_fallback: bool,
    date_fallback: bool,
    /// What is wrong with a pattern; a writer may accept what a reader refuses.
    error: Option<PatternError>,
    policy: TimeParserPolicy,
}

impl TemporalReader {
    /// Reads `timeZone`, `timestampFormat`, `timestampNTZFormat`, `dateFormat` and
    /// `enableDateTimeParsingFallback`. `default_date` is the pattern used when there is no `dateFormat`.
    pub(crate) fn new(
        options: &Options,
        settings: &FormatSettings,
        default_date: Option<&str>,
    ) -> Result<Self, FormatError> {
        let mut error = None;
        let mut pattern = |text: Option<&str>| {
            let compiled = text.map(JavaPattern::for_parsing).transpose();
            compiled.unwrap_or_else(|e| {
                error.get_or_insert(e);
                None
            })
        };
        let fallback = match options.get("enableDateTimeParsingFallback") {
            Some(_) => Some(options.flag("enableDateTimeParsingFallback", false)?),
            None => None,
        };
        let timestamp = pattern(options.get("timestampFormat"));
        let date = pattern(options.get("dateFormat").or(default_date));
        let timestamp_ntz = pattern(options.get("timestampNTZFormat"));
        Ok(Self {
            zone: zone(options, settings)?,
            timestamp_fallback: fallback.unwrap_or(options.get("timestampFormat").is_none()),
            date_fallback: fallback.unwrap_or(options.get("dateFormat").is_none()),
            timestamp,
            timestamp_ntz,
            date,
            error,
            policy: settings.time_parser_policy,
        })
    }

    /// Whether all patterns can be used, and columns of these types be read.
    pub(crate) fn check<'a>(
        &self,
        types: impl IntoIterator<Item = &'a DataType>,
    ) -> Result<(), FormatError> {
        check_policy(self.policy, types)?;
        self.error.clone().map_or(Ok(()), |e| Err(e.into()))
    }

    /// Microseconds of a timestamp text.
    pub(crate) fn timestamp(&self, text: &[u8]) -> Option<i64> {
        let text_str = || std::str::from_utf8(text).ok();
        match &self.timestamp {
            None => string_to_timestamp(text, &self.zone),
            Some(pattern) => pattern
                .parse_timestamp(text_str()?, &self.zone)
                .or_else(|| {
                    self.timestamp_fallback
                        .then(|| string_to_timestamp(&without_gmt(text), &self.zone))
                        .flatten()
                }),
        }
    }

    /// Whether a text is a timestamp by the pattern or shape alone, for inference.
    pub(crate) fn is_timestamp(&self, text: &str) -> bool {
        match &self.timestamp {
            None => string_to_timestamp(text.as_bytes(), &self.zone).is_some(),
            Some(pattern) => pattern.parse_timestamp(text, &self.zone).is_some(),
        }
    }

    /// Microseconds of a timestamp text without a zone.
    pub(crate) fn timestamp_ntz(&self, text: &[u8]) -> Option<i64> {
        match &self.timestamp_ntz {
            None => string_to_timestamp_ntz(text, false),
            Some(pattern) => pattern.parse_timestamp_ntz(std::str::from_utf8(text).ok()?, false),
        }
    }

    /// Days of a date text by the pattern or shape alone, for inference and for readers with no fallback.
    pub(crate) fn strict_date(&self, text: &[u8]) -> Option<i32> {
        match &self.date {
            None => string_to_date(text),
            Some(pattern) => pattern.parse_date(std::str::from_utf8(text).ok()?),
        }
    }

    /// Days of a date text.
    pub(crate) fn date(&self, text: &[u8]) -> Option<i32> {
        self.strict_date(text).or_else(|| {
            self.date_fallback
                .then(|| string_to_date(&without_gmt(text)))
                .flatten()
        })
    }

    /// [`TemporalReader::date`], and if dates without a pattern are allowed, a number of days.
    pub(crate) fn date_or_days(&self, text: &[u8]) -> Option<i32> {
        self.date(text).or_else(|| {
            let days = std::str::from_utf8(text).ok()?.parse().ok()?;
            self.date_fallback.then(|| from_julian_days(days))
        })
    }
}

/// The `timeZone` option, or the session's zone.
pub(crate) fn zone(options: &Options, settings: &FormatSettings) -> Result<Zone, FormatError> {
    let Some(name) = options.get("timeZone") else {
        return Ok(settings.time_zone);
    };
    Zone::parse(name).ok_or_else(|| FormatError::InvalidOption {
        option: "timeZone".to_owned(),
        value: name.to_owned(),
        reason: "not a time zone".to_owned(),
        class: Some("INVALID_TIMEZONE"),
    })
}

/// Spark 1 wrote `2015-01-01GMT+01:00`; the letters are dropped before the text is tried again.
fn without_gmt(text: &[u8]) -> Vec<u8> {
    let at = text.windows(3).position(|w| w == b"GMT");
    match at {
        Some(at) if text.len() > at + 3 => {
            let (head, tail) = text.split_at(at);
            [head, tail.get(3..).unwrap_or_default()].concat()
        }
        _ => text.to_vec(),
    }
}

/// Days counted in the hybrid calendar, as Spark 1 stored them: before 1582-10-15 they are Julian.
fn from_julian_days(days: i32) -> i32 {
    const GREGORIAN_START: i64 = -141_427;
    let days = i64::from(days);
    if days >= GREGORIAN_START {
        return i32::try_from(days).unwrap_or(i32::MAX);
    }
    // Civil date in the Julian calendar, counted from 1 March of year 0 (day -719470 of the epoch).
    let shifted = days + 719_470;
    let cycle = shifted.div_euclid(1461);
    let of_cycle = shifted.rem_euclid(1461);
    let year_of_cycle = (of_cycle - of_cycle / 1460) / 365;
    let day_of_year = of_cycle - 365 * year_of_cycle;
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = cycle * 4 + year_of_cycle + i64::from(month <= 2);
    let (month, day) = (
        u32::try_from(month).unwrap_or(1),
        u32::try_from(day).unwrap_or(1),
    );
    i32::try_from(crate::datetime::days_from_civil(year, month, day)).unwrap_or(i32::MIN)
}

/// In files the time parser policy stands for another of Java's classes than in functions, and one that is not built.
fn check_policy<'a>(
    policy: TimeParserPolicy,
    types: impl IntoIterator<Item = &'a DataType>,
) -> Result<(), FormatError> {
    let name = match policy {
        TimeParserPolicy::Corrected => return Ok(()),
        TimeParserPolicy::Legacy => "LEGACY",
        TimeParserPolicy::Exception => "EXCEPTION",
    };
    match types.into_iter().any(holds_time) {
        false => Ok(()),
        true => Err(FormatError::Unsupported {
            feature: format!(
                "dates and timestamps of text formats under spark.sql.legacy.timeParserPolicy={name}"
            ),
        }),
    }
}

fn holds_time(data_type: &DataType) -> bool {
    match data_type {
        DataType::Date32 | DataType::Timestamp(..) => true,
        DataType::List(field) | DataType::Map(field, _) => holds_time(field.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| holds_time(field.data_type())),
        _ => false,
    }
}

/// Spark documents `[XXX]`, but without the option it prints the seconds of an offset too.
const DEFAULT_TIMESTAMP: &str = "yyyy-MM-dd'T'HH:mm:ss[.SSS][XXXXX]";

/// Patterns for writing.
#[derive(Debug, Clone)]
pub(crate) struct TemporalWriter {
    zone: Zone,
    timestamp: Result<JavaPattern, PatternError>,
    timestamp_ntz: Result<JavaPattern, PatternError>,
    date: Result<JavaPattern, PatternError>,
    policy: TimeParserPolicy,
}

impl TemporalWriter {
    /// Reads the same options as [`TemporalReader::new`], with Spark's defaults for writing.
    pub(crate) fn new(options: &Options, settings: &FormatSettings) -> Result<Self, FormatError> {
        let pattern =
            |name, default| JavaPattern::for_formatting(options.get(name).unwrap_or(default));
        Ok(Self {
            zone: zone(options, settings)?,
            timestamp: pattern("timestampFormat", DEFAULT_TIMESTAMP),
            timestamp_ntz: pattern("timestampNTZFormat", "yyyy-MM-dd'T'HH:mm:ss[.SSS]"),
            date: pattern("dateFormat", "yyyy-MM-dd"),
            policy: settings.time_parser_policy,
        })
    }

    /// Whether all patterns can be used.
    pub(crate) fn check(&self) -> Result<(), FormatError> {
        for pattern in [&self.timestamp, &self.timestamp_ntz, &self.date] {
            pattern.as_ref().map_err(Clone::clone)?;
        }
        Ok(())
    }

    /// Whether columns of these types can be written.
    pub(crate) fn check_types<'a>(
        &self,
        types: impl IntoIterator<Item = &'a DataType>,
    ) -> Result<(), FormatError> {
        check_policy(self.policy, types)
    }

    pub(crate) fn push_timestamp(&self, micros: i64, out: &mut String) -> Result<(), FormatError> {
        Ok(self
            .timestamp
            .as_ref()
            .map_err(Clone::clone)?
            .format_timestamp(micros, &self.zone, out)?)
    }

    pub(crate) fn push_timestamp_ntz(
        &self,
        micros: i64,
        out: &mut String,
    ) -> Result<(), FormatError> {
        Ok(self
            .timestamp_ntz
            .as_ref()
            .map_err(Clone::clone)?
            .format_timestamp_ntz(micros, out)?)
    }

    pub(crate) fn push_date(&self, days: i32, out: &mut String) -> Result<(), FormatError> {
        Ok(self
            .date
            .as_ref()
            .map_err(Clone::clone)?
            .format_date(days, out)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hybrid_days_keep_their_civil_date() {
        assert_eq!(from_julian_days(0), 0);
        assert_eq!(from_julian_days(-141_427), -141_427);
        // 1582-10-04 (Julian) is the day before; the proleptic calendar has it ten days earlier.
        assert_eq!(from_julian_days(-141_428), -141_438);
    }
}
