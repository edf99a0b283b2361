//! What a streaming `DataFrame` can do that others cannot.
use std::sync::Arc;

use datafusion::{
    common::Column,
    logical_expr::{Extension, LogicalPlan},
    prelude::DataFrame,
};
use millstream_engine::plan::{self, WatermarkNode};
use millstream_spark::interval::CalendarInterval;

use crate::{DataStreamWriter, Error, Result};

/// Streaming for a [`DataFrame`].
pub trait StreamingFrame: Sized {
    /// Whether rows arrive over time.
    ///
    /// # Errors
    /// The plan cannot be walked.
    fn is_streaming(&self) -> Result<bool>;

    /// Declares `event_time` the time at which a row happened, and how late a row may come: once the stream has seen
    /// an event, what happened more than `delay` before it is complete. Later rows are dropped by the operators that
    /// have emitted or forgotten their groups by then.
    ///
    /// # Errors
    /// There is no such column, it is no microsecond timestamp, or `delay` is no interval such as `10 minutes`.
    fn with_watermark(self, event_time: &str, delay: &str) -> Result<Self>;

    /// Starts to describe a query that writes this stream.
    fn write_stream(self) -> DataStreamWriter;
}

impl StreamingFrame for DataFrame {
    fn is_streaming(&self) -> Result<bool> {
        Ok(plan::is_streaming(self.logical_plan())?)
    }

    fn with_watermark(self, event_time: &str, delay: &str) -> Result<Self> {
        let delay_ms = CalendarInterval::parse(delay)
            .filter(|interval| !interval.is_negative())
            .and_then(|interval| interval.millis_31_day_months())
            .ok_or_else(|| Error::Delay {
                text: delay.to_string(),
            })?;
        let (state, input) = self.into_parts();
        let (qualifier, field) = input
            .schema()
            .qualified_field_with_unqualified_name(event_time)?;
        let column = Column::new(qualifier.cloned(), field.name());
        let node = Arc::new(WatermarkNode::try_new(input, column, delay_ms)?);
        Ok(DataFrame::new(
            state,
            LogicalPlan::Extension(Extension { node }),
        ))
    }

    fn write_stream(self) -> DataStreamWriter {
        DataStreamWriter::new(self)
    }
}
