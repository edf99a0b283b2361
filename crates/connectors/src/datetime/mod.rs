//! Spark's dates and times as text: Java `DateTimeFormatter` patterns, and the pattern-less casts between
//! strings and dates, timestamps and intervals.
//!
//! Instants are microseconds since 1970-01-01T00:00:00Z in an `i64`, dates are days in an `i32`, and the
//! calendar is the proleptic Gregorian one everywhere, as in Spark 3 and later. Nothing here reads the
//! clock except [`string_to_timestamp`] for a text that is a time of day alone, which Spark places on the
//! current date.
//!
//! - [`Zone`]: a region or a fixed offset, with Java's names and its answers at gaps and overlaps.
//! - [`string_to_date`], [`string_to_timestamp`], [`string_to_timestamp_ntz`]: `CAST(string AS …)`.
//! - [`LegacyPattern`]: the same under `spark.sql.legacy.timeParserPolicy=LEGACY`.
//! - [`JavaPattern`]: `timestampFormat`, `dateFormat`, `to_timestamp(…, fmt)`, `date_format`.
//!
//! The zone name tables under `data/` were printed by a Java 17 runtime; they are what `z` and `zzzz` show.
mod calendar;
mod cast;
mod fields;
mod format;
mod interval;
mod legacy;
mod parse;
mod pattern;
mod zone;
mod zone_names;

pub use calendar::{
    MICROS_PER_DAY, MICROS_PER_SECOND, civil_from_days, days_from_civil, days_in_month,
};
pub use cast::{
    date_to_string, string_to_date, string_to_timestamp, string_to_timestamp_at,
    string_to_timestamp_ntz, timestamp_ntz_to_string, timestamp_to_string,
};
pub use interval::{
    day_time_to_string, string_to_day_time, string_to_year_month, year_month_to_string,
};
pub use legacy::{LegacyPattern, LegacyPatternError};
pub use pattern::{JavaPattern, PatternError, Reason};
pub use zone::Zone;

#[cfg(test)]
mod tests;
