//! Spark's dates and times as text: Java `DateTimeFormatter` patterns, and the pattern-less casts between
//! strings and dates, timestamps and intervals.
mod pattern;

pub use pattern::{JavaPattern, PatternError};
