//! Options of the rate-micro-batch source: `rowsPerBatch` (required), `numPartitions` (the engine's
//! threads), `startTimestamp` (0) and `advanceMillisPerBatch` (1000).
use crate::{error::ConnectorError, options::Options};

/// What a batch consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateMicroBatchOptions {
    /// Rows of a batch, at least 1.
    pub rows_per_batch: i64,
    /// Partitions of a batch, if the user says so.
    pub num_partitions: Option<usize>,
    /// Timestamp of the first batch, milliseconds since the epoch.
    pub start_timestamp_ms: i64,
    /// Milliseconds from one batch to the next.
    pub advance_ms: i32,
}

impl RateMicroBatchOptions {
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
        let rows_per_batch = options.long("rowsPerBatch", 0)?;
        if rows_per_batch <= 0 {
            return Err(out_of_range("rowsPerBatch", rows_per_batch, "be positive"));
        }
        let num_partitions = options.partitions("numPartitions")?;
        let start_timestamp_ms = options.long("startTimestamp", 0)?;
        if start_timestamp_ms < 0 {
            return Err(out_of_range(
                "startTimestamp",
                start_timestamp_ms,
                "be non-negative",
            ));
        }
        let advance_ms = options.int("advanceMillisPerBatch", 1000)?;
        if advance_ms < 0 {
            return Err(out_of_range(
                "advanceMillisPerBatch",
                advance_ms.into(),
                "be non-negative",
            ));
        }
        Ok(Self {
            rows_per_batch,
            num_partitions,
            start_timestamp_ms,
            advance_ms,
        })
    }
}
