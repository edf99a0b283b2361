//! The rate source: rows made by the clock, `rowsPerSecond` of them, for trying things out.
//!
//! | question | answer |
//! |---|---|
//! | schema | `timestamp timestamp, value long` |
//! | offset | whole seconds since the source was created, e.g. `3` |
//! | replay | yes: rows follow from the offsets and the start time in `sources/<i>/0` |
//! | available now | no notion of it; one batch |
//!
//! `value` counts from 0 without gaps, `timestamp` spreads a batch's rows evenly over its seconds.
//! The first batch of a query is empty, because no second has passed.
//!
//! # On a crash
//!
//! `sources/<i>/0` holds `v1` and the milliseconds since the epoch when the first run created the
//! source. It is written once, before the first offset; a later run counts its seconds from there.
mod options;
mod schedule;
mod source;

pub use options::RateOptions;
pub use source::RateDefinition;
pub(crate) use source::{generate, stripe};

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// Columns of the generating sources.
pub(crate) fn schema() -> SchemaRef {
    let timestamp = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("timestamp", timestamp, true),
        Field::new("value", DataType::Int64, true),
    ]))
}
