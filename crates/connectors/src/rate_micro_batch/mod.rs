//! The rate-micro-batch source: the same number of rows in every micro-batch, whatever the clock
//! says.
//!
//! | question | answer |
//! |---|---|
//! | schema | `timestamp timestamp, value long` |
//! | offset | `{"offset":3,"timestamp":1000}`: the next value and its batch's time in milliseconds |
//! | replay | yes: rows follow from the offsets |
//! | available now | yes: one batch |
//!
//! Batch N has the values from N × `rowsPerBatch` on, all of them with the timestamp
//! `startTimestamp` + N × `advanceMillisPerBatch`.
mod options;
mod source;

pub use options::RateMicroBatchOptions;
pub use source::RateMicroBatchDefinition;
