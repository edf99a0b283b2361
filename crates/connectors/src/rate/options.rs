//! Options of the rate source: `rowsPerSecond` (1), `rampUpTime` (0s) and `numPartitions` (the
//! engine's threads).
use crate::{
    error::ConnectorError,
    options::{DurationUnit, Options, parse_duration},
};

/// How fast rows are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateOptions {
    /// Rows per second at full speed, at least 1.
    pub rows_per_second: i64,
    /// Whole seconds until full speed is reached.
    pub ramp_up_seconds: i64,
    /// Partitions of a batch, if the user says so.
    pub num_partitions: Option<usize>,
}

impl RateOptions {
    /// Reads the options.
    ///
    /// # Errors
    /// If one has a value that is not of its type or out of its range.
    pub fn parse(options: &Options) -> Result<Self, ConnectorError> {
        let out_of_range = |option, value: i64, requirement| ConnectorError::OptionRange {
            option,
            value: value.to_string(),
            requirement,
        };
        let rows_per_second = options.long("rowsPerSecond", 1)?;
        if rows_per_second <= 0 {
            return Err(out_of_range(
                "rowsPerSecond",
                rows_per_second,
                "be positive",
            ));
        }
        let ramp_up_seconds = match options.get("rampUpTime") {
            Some(text) => parse_duration(text, DurationUnit::Seconds)?,
            None => 0,
        };
        if ramp_up_seconds < 0 {
            return Err(out_of_range(
                "rampUpTime",
                ramp_up_seconds,
                "not be negative",
            ));
        }
        let num_partitions = options.partitions("numPartitions")?;
        Ok(Self {
            rows_per_second,
            ramp_up_seconds,
            num_partitions,
        })
    }
}
