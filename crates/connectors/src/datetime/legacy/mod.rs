//! Spark 2's date patterns: Java's `SimpleDateFormat`, as `spark.sql.legacy.timeParserPolicy=LEGACY` brings it back.
//!
//! The letters look like those of [`JavaPattern`](super::JavaPattern) and mean less. A number takes as many digits as there
//! are, unless another number follows at once; blanks before a field are skipped; names come in any case, long or short;
//! what is left of the text when the pattern ends does not matter; a fraction is a whole number of milliseconds. But values
//! must exist (`lenient` is off): 30 February, hour 25 and a Tuesday that is a Monday are refused, and so are local times
//! that a change of clocks left out.
//!
//! Calendars: Java's is Julian before 15 October 1582, and Spark carries year, month and day over to the proleptic one. So
//! fields are all that counts here.
//!
//! - `pattern`: the letters.
//! - `read`, `print`: one pass over the items of a pattern.
mod pattern;
mod print;
mod read;

pub use pattern::{LegacyPattern, LegacyPatternError};

#[cfg(test)]
mod tests;
