//! The source and its partitions.
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::execution::SendableRecordBatchStream;
use millstream_engine::{
    BoxError,
    source::{
        InputPartition, Offset, ReadLimit, ScanRequest, Source, SourceContext, SourceDefinition,
    },
};
use serde::{Deserialize, Serialize};

use super::RateMicroBatchOptions;
use crate::{
    error::ConnectorError,
    rate::{self, generate, stripe},
};

/// `format("rate-micro-batch")`.
#[derive(Debug)]
pub struct RateMicroBatchDefinition {
    options: RateMicroBatchOptions,
}

impl RateMicroBatchDefinition {
    /// A source with these options.
    pub fn new(options: RateMicroBatchOptions) -> Self {
        Self { options }
    }
}

#[async_trait]
impl SourceDefinition for RateMicroBatchDefinition {
    fn format(&self) -> &str {
        "rate-micro-batch"
    }

    fn schema(&self) -> SchemaRef {
        rate::schema()
    }

    async fn create(&self, context: SourceContext) -> Result<Arc<dyn Source>, BoxError> {
        Ok(Arc::new(RateMicroBatchSource {
            partitions: self
                .options
                .num_partitions
                .unwrap_or(context.parallelism)
                .max(1),
            options: self.options.clone(),
            available_now: Mutex::new(AvailableNow::No),
        }))
    }
}

/// A position: the next value, and the time of the batch that will have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    offset: i64,
    timestamp: i64,
}

impl Position {
    fn parse(offset: &Offset) -> Result<Self, ConnectorError> {
        serde_json::from_str(offset.json()).map_err(|_| ConnectorError::ForeignOffset {
            format: "rate-micro-batch",
            offset: offset.json().to_owned(),
        })
    }

    fn to_offset(self) -> Offset {
        Offset::new(format!(
            "{{\"offset\":{},\"timestamp\":{}}}",
            self.offset, self.timestamp
        ))
    }
}

/// Whether the run ends with what is available now.
#[derive(Debug, Clone, Copy)]
enum AvailableNow {
    No,
    Asked,
    EndsAt(Position),
}

#[derive(Debug)]
struct RateMicroBatchSource {
    options: RateMicroBatchOptions,
    partitions: usize,
    available_now: Mutex<AvailableNow>,
}

impl RateMicroBatchSource {
    fn first(&self) -> Position {
        Position {
            offset: 0,
            timestamp: self.options.start_timestamp_ms,
        }
    }

    fn after(&self, start: Position) -> Position {
        Position {
            offset: start.offset.saturating_add(self.options.rows_per_batch),
            timestamp: start
                .timestamp
                .saturating_add(self.options.advance_ms.into()),
        }
    }
}

#[async_trait]
impl Source for RateMicroBatchSource {
    fn schema(&self) -> SchemaRef {
        rate::schema()
    }

    fn description(&self) -> String {
        let options = &self.options;
        format!(
            "RatePerMicroBatchStream[rowsPerBatch={}, numPartitions={}, startTimestamp={}, advanceMsPerBatch={}]",
            options.rows_per_batch, self.partitions, options.start_timestamp_ms, options.advance_ms
        )
    }

    fn read_limit(&self) -> ReadLimit {
        ReadLimit::MaxRows(self.options.rows_per_batch.unsigned_abs())
    }

    async fn initial_offset(&self) -> Result<Option<Offset>, BoxError> {
        Ok(Some(self.first().to_offset()))
    }

    /// The limit is the source's own: every batch has `rowsPerBatch` rows, also with the trigger
    /// that ignores limits.
    async fn latest_offset(
        &self,
        start: Option<&Offset>,
        _limit: ReadLimit,
    ) -> Result<Option<Offset>, BoxError> {
        let start = start.map_or(Ok(self.first()), Position::parse)?;
        let mut available_now = self
            .available_now
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let end = match *available_now {
            AvailableNow::No => self.after(start),
            AvailableNow::Asked => {
                let end = self.after(start);
                *available_now = AvailableNow::EndsAt(end);
                end
            }
            AvailableNow::EndsAt(end) => end,
        };
        Ok(Some(end.to_offset()))
    }

    async fn plan_batch(
        &self,
        start: Option<&Offset>,
        end: &Offset,
    ) -> Result<Vec<Arc<dyn InputPartition>>, BoxError> {
        let start = start.map_or(Ok(self.first()), Position::parse)?;
        let end = Position::parse(end)?;
        if start.timestamp > end.timestamp {
            let error = ConnectorError::RateTimestamps {
                from: start.timestamp,
                to: end.timestamp,
            };
            return Err(error.into());
        }
        if start.offset >= end.offset {
            return Ok(vec![]);
        }
        let partition = |index| -> Arc<dyn InputPartition> {
            let values = start.offset..end.offset;
            Arc::new(Partition {
                index,
                step: self.partitions,
                values,
                time_ms: start.timestamp,
            })
        };
        Ok((0..self.partitions).map(partition).collect())
    }

    async fn commit(&self, _end: &Offset) -> Result<(), BoxError> {
        Ok(())
    }

    async fn prepare_for_available_now(&self) -> Result<bool, BoxError> {
        *self
            .available_now
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = AvailableNow::Asked;
        Ok(true)
    }
}

#[derive(Debug)]
struct Partition {
    index: usize,
    step: usize,
    values: std::ops::Range<i64>,
    time_ms: i64,
}

impl InputPartition for Partition {
    fn open(&self, request: &ScanRequest) -> Result<SendableRecordBatchStream, BoxError> {
        let micros = self.time_ms.saturating_mul(1000);
        let numbers = stripe(self.values.clone(), self.index, self.step);
        Ok(generate(request, numbers, move |_| micros))
    }
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::AsArray,
        datatypes::{Int64Type, TimestampMicrosecondType},
    };
    use millstream_engine::time::ManualClock;
    use tempfile::tempdir;

    use super::*;
    use crate::{
        options::Options,
        scan_test::{context, read},
    };

    async fn source(options: &[(&str, &str)]) -> Arc<dyn Source> {
        let options: Options = options.iter().copied().collect();
        let options = RateMicroBatchOptions::parse(&options).unwrap();
        let dir = tempdir().unwrap();
        let context = context(dir.path(), &ManualClock::new(0));
        RateMicroBatchDefinition::new(options)
            .create(context)
            .await
            .unwrap()
    }

    async fn next(source: &dyn Source, start: &Offset) -> Offset {
        let limit = source.read_limit();
        source
            .latest_offset(Some(start), limit)
            .await
            .unwrap()
            .unwrap()
    }

    #[tokio::test]
    async fn every_batch_has_its_rows_and_one_timestamp() {
        let source = source(&[
            ("rowsPerBatch", "5"),
            ("numPartitions", "2"),
            ("startTimestamp", "1000"),
            ("advanceMillisPerBatch", "50"),
        ])
        .await;
        let start = source.initial_offset().await.unwrap().unwrap();
        assert_eq!(start.json(), r#"{"offset":0,"timestamp":1000}"#);
        let first = next(source.as_ref(), &start).await;
        let second = next(source.as_ref(), &first).await;
        assert_eq!(second.json(), r#"{"offset":10,"timestamp":1100}"#);
        let partitions = source.plan_batch(Some(&first), &second).await.unwrap();
        let batch = read(&partitions, &source.schema()).await;
        let values = batch
            .column(1)
            .as_primitive::<Int64Type>()
            .values()
            .to_vec();
        assert_eq!(values, [5, 7, 9, 6, 8]);
        let times = batch.column(0).as_primitive::<TimestampMicrosecondType>();
        assert!(times.values().iter().all(|micros| *micros == 1_050_000));
    }

    #[tokio::test]
    async fn available_now_is_one_batch() {
        let source = source(&[("rowsPerBatch", "5")]).await;
        assert!(source.prepare_for_available_now().await.unwrap());
        let start = Offset::new(r#"{"offset":5,"timestamp":1000}"#);
        let end = next(source.as_ref(), &start).await;
        assert_eq!(end.json(), r#"{"offset":10,"timestamp":2000}"#);
        assert_eq!(next(source.as_ref(), &end).await, end);
    }

    #[tokio::test]
    async fn a_range_that_runs_backwards_in_time_is_refused() {
        let source = source(&[("rowsPerBatch", "5"), ("startTimestamp", "9000")]).await;
        let end = Offset::new(r#"{"offset":5,"timestamp":2000}"#);
        let error = source.plan_batch(None, &end).await.unwrap_err();
        assert!(error.to_string().contains("9000"), "{error}");
    }

    #[test]
    fn bad_options_are_refused_in_sparks_words() {
        for (options, text) in [
            (
                vec![],
                "Invalid value '0'. The option 'rowsPerBatch' must be positive",
            ),
            (
                vec![("rowsPerBatch", "1"), ("startTimestamp", "-1")],
                "Invalid value '-1'. The option 'startTimestamp' must be non-negative",
            ),
            (
                vec![("rowsPerBatch", "1"), ("advanceMillisPerBatch", "-1")],
                "Invalid value '-1'. The option 'advanceMillisPerBatch' must be non-negative",
            ),
        ] {
            let options: Options = options.into_iter().collect();
            assert_eq!(
                RateMicroBatchOptions::parse(&options)
                    .unwrap_err()
                    .to_string(),
                text
            );
        }
    }
}
