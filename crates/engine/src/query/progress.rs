//! The report of a batch, field by field as Structured Streaming's users know it.
use std::collections::BTreeMap;

use arrow::{
    array::RecordBatch,
    json::{WriterBuilder, writer::LineDelimited},
};
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

/// One batch, or one look for data that found none.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamingQueryProgress {
    /// Id of the query.
    pub id: Uuid,
    /// Id of the run.
    pub run_id: Uuid,
    /// Name of the query.
    pub name: Option<String>,
    /// Start of the trigger, ISO 8601 in UTC with milliseconds.
    pub timestamp: String,
    /// Number of the batch.
    pub batch_id: u64,
    /// Milliseconds from trigger to end.
    pub batch_duration: i64,
    /// Rows read by all sources.
    pub num_input_rows: u64,
    /// Rows per second since the last trigger.
    pub input_rows_per_second: f64,
    /// Rows per second of batch duration.
    pub processed_rows_per_second: f64,
    /// Milliseconds by phase.
    pub duration_ms: BTreeMap<&'static str, i64>,
    /// Event time, for queries with a watermark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_time: Option<EventTimeProgress>,
    /// Stateful operators, the last of the plan first.
    pub state_operators: Vec<StateOperatorProgress>,
    /// Sources by index.
    pub sources: Vec<SourceProgress>,
    /// The sink.
    pub sink: SinkProgress,
    /// Metrics that the plan observed, by name, as JSON objects.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub observed_metrics: BTreeMap<String, Box<RawValue>>,
}

/// Event time of a batch, ISO 8601 in UTC. The statistics are there if the batch had rows.
#[derive(Debug, Clone, Default, Serialize)]
pub struct EventTimeProgress {
    /// Mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avg: Option<String>,
    /// Highest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<String>,
    /// Lowest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<String>,
    /// The watermark that the batch ran under.
    pub watermark: String,
}

/// A stateful operator in a batch.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StateOperatorProgress {
    /// Kind of operator.
    pub operator_name: &'static str,
    /// Keys in state.
    pub num_rows_total: u64,
    /// Keys written.
    pub num_rows_updated: u64,
    /// Time spent on that, milliseconds over all partitions.
    pub all_updates_time_ms: u64,
    /// Keys evicted.
    pub num_rows_removed: u64,
    /// Time spent on that, milliseconds over all partitions.
    pub all_removals_time_ms: u64,
    /// Time spent making state durable, milliseconds over all partitions.
    pub commit_time_ms: u64,
    /// Memory that state holds, bytes.
    pub memory_used_bytes: u64,
    /// Rows dropped because they were late, counted after partial aggregation.
    pub num_rows_dropped_by_watermark: u64,
    /// State partitions that the query has.
    pub num_shuffle_partitions: u64,
    /// State stores, one or more a partition.
    pub num_state_store_instances: u64,
    /// Figures of the operator's own and of its state stores.
    pub custom_metrics: BTreeMap<String, i64>,
}

/// A source in a batch. Offsets are JSON as the source writes it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceProgress {
    /// What it is.
    pub description: String,
    /// Where the batch starts.
    pub start_offset: Option<Box<RawValue>>,
    /// Where it ends.
    pub end_offset: Option<Box<RawValue>>,
    /// The newest there is.
    pub latest_offset: Option<Box<RawValue>>,
    /// Rows read.
    pub num_input_rows: u64,
    /// Rows per second since the last trigger.
    pub input_rows_per_second: f64,
    /// Rows per second of batch duration.
    pub processed_rows_per_second: f64,
    /// The source's own figures.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, String>,
}

/// The sink in a batch.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SinkProgress {
    /// What it is.
    pub description: String,
    /// Rows written; -1 if the sink does not know.
    pub num_output_rows: i64,
    /// The sink's own figures.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, String>,
}

impl StreamingQueryProgress {
    /// The report as one JSON object.
    pub fn json(&self) -> String {
        serde_json::to_string(self)
            .unwrap_or_else(|error| format!("{{\"error\":{:?}}}", error.to_string()))
    }
}

/// Milliseconds since the epoch as ISO 8601 in UTC.
pub(super) fn iso(at_ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(at_ms)
        .unwrap_or_default()
        .to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// An offset as a JSON value; text that is not JSON is quoted.
pub(super) fn raw(offset: &str) -> Option<Box<RawValue>> {
    RawValue::from_string(offset.to_string())
        .or_else(|_| RawValue::from_string(serde_json::Value::from(offset).to_string()))
        .ok()
}

/// A batch of one row as a JSON object, NULLs included.
pub(super) fn row_json(row: &RecordBatch) -> Option<Box<RawValue>> {
    let mut text = vec![];
    let mut writer = WriterBuilder::new()
        .with_explicit_nulls(true)
        .with_timestamp_format("%Y-%m-%d %H:%M:%S%.f".to_string())
        .with_timestamp_tz_format("%Y-%m-%d %H:%M:%S%.f".to_string())
        .build::<_, LineDelimited>(&mut text);
    let written = writer.write(row).and_then(|()| writer.finish());
    drop(writer);
    if let Err(error) = written {
        tracing::warn!(%error, "observed metrics have no JSON");
        return None;
    }
    let text = String::from_utf8(text).ok()?;
    RawValue::from_string(text.trim().to_string()).ok()
}

/// A rate in rows per second; without a duration there is none to speak of.
pub(super) fn per_second(rows: u64, duration_ms: i64) -> f64 {
    if duration_ms > 0 {
        rows as f64 * 1000.0 / duration_ms as f64
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    #[test]
    fn a_row_is_a_json_object_with_its_nulls() {
        let columns: [(&str, ArrayRef, bool); 2] = [
            ("n", Arc::new(Int64Array::from(vec![None])), true),
            ("top", Arc::new(StringArray::from(vec!["a\"b"])), true),
        ];
        let row = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        assert_eq!(row_json(&row).unwrap().get(), r#"{"n":null,"top":"a\"b"}"#);
    }
}
