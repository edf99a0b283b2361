//! Which column carries event time.
//!
//! `withWatermark` tags the field of its column with the delay threshold. The tag is field metadata, so it travels through
//! projections and aliases, and a stateful operator finds its event-time key by looking at the fields of its keys. A
//! time window of a tagged column is tagged too, and stands for its end.
use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::common::{Column, DFSchema};

/// Metadata key of the delay threshold, in milliseconds; the name is Spark's and stands in its schemas.
pub const DELAY_KEY: &str = "spark.watermarkDelayMs";
/// Metadata key that marks a column as a time window.
pub const TIME_WINDOW_KEY: &str = "spark.timeWindow";
/// Metadata key that marks a column as a session window.
pub const SESSION_WINDOW_KEY: &str = "spark.sessionWindow";

/// The delay threshold in milliseconds, if the field carries event time.
pub fn delay_ms(field: &Field) -> Option<i64> {
    field
        .metadata()
        .get(DELAY_KEY)
        .and_then(|delay| delay.parse().ok())
}

/// Whether the column is there and carries event time.
pub fn is_event_time(schema: &DFSchema, column: &Column) -> bool {
    schema
        .maybe_index_of_column(column)
        .is_some_and(|index| delay_ms(schema.field(index)).is_some())
}

/// Whether the field is a time window: a struct of two timestamps, `start` and `end`.
pub fn is_window(field: &Field) -> bool {
    match field.data_type() {
        DataType::Struct(fields) => match fields.as_ref() {
            [start, end] => {
                start.name() == "start"
                    && end.name() == "end"
                    && is_timestamp(start)
                    && is_timestamp(end)
            }
            _ => false,
        },
        _ => false,
    }
}

/// Whether the field is a session window: rows with equal other keys share it if they are close in time.
pub fn is_session(field: &Field) -> bool {
    field.metadata().contains_key(SESSION_WINDOW_KEY)
}

/// Whether the field is a timestamp in microseconds, the unit of event time.
pub fn is_timestamp(field: &Field) -> bool {
    matches!(
        field.data_type(),
        DataType::Timestamp(TimeUnit::Microsecond, _)
    )
}
