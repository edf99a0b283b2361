//! The source and its partitions.
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray},
    datatypes::SchemaRef,
    error::ArrowError,
};
use async_trait::async_trait;
use bytes::Bytes;
use datafusion::execution::SendableRecordBatchStream;
use millstream_checkpoint::storage::{StorageError, StorageRef};
use millstream_engine::{
    BoxError,
    source::{
        InputPartition, Offset, ReadLimit, ScanRequest, Source, SourceContext, SourceDefinition,
    },
    time::ClockRef,
};

use super::{
    RateOptions,
    schedule::{Schedule, Values},
    schema,
};
use crate::{batches::lazily, error::ConnectorError};

/// `sources/<i>/0`: when the first run created the source.
const START_TIME_FILE: &str = "0";

/// `format("rate")`.
#[derive(Debug)]
pub struct RateDefinition {
    options: RateOptions,
}

impl RateDefinition {
    /// A rate source with these options.
    pub fn new(options: RateOptions) -> Self {
        Self { options }
    }
}

#[async_trait]
impl SourceDefinition for RateDefinition {
    fn format(&self) -> &str {
        "rate"
    }

    fn schema(&self) -> SchemaRef {
        schema()
    }

    async fn create(&self, context: SourceContext) -> Result<Arc<dyn Source>, BoxError> {
        let schedule = Schedule::new(&self.options)?;
        let start_ms = start_time(&context).await?;
        Ok(Arc::new(RateSource {
            options: self.options.clone(),
            schedule,
            partitions: self
                .options
                .num_partitions
                .unwrap_or(context.parallelism)
                .max(1),
            clock: context.clock,
            start_ms,
            last_ms: AtomicI64::new(start_ms),
            reported: AtomicI64::new(UNREPORTED),
        }))
    }
}

/// The time in the log, or now, which is written there.
async fn start_time(context: &SourceContext) -> Result<i64, ConnectorError> {
    if let Some(start_ms) = read_start_time(&context.log).await? {
        return Ok(start_ms);
    }
    let start_ms = context.clock.now_ms();
    let text = Bytes::from(format!("v1\n{start_ms}"));
    context.log.put_new(START_TIME_FILE, text).await?;
    Ok(start_ms)
}

async fn read_start_time(log: &StorageRef) -> Result<Option<i64>, ConnectorError> {
    let bytes = match log.get(START_TIME_FILE).await {
        Ok(bytes) => bytes,
        Err(StorageError::NotFound { .. }) => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    let text = String::from_utf8_lossy(&bytes);
    let start_ms = text
        .strip_prefix("v1\n")
        .and_then(|number| number.trim_end().parse().ok());
    match start_ms {
        Some(start_ms) => Ok(Some(start_ms)),
        None => Err(ConnectorError::ForeignOffset {
            format: "rate",
            offset: text.into_owned(),
        }),
    }
}

/// No offset was asked for in this run.
const UNREPORTED: i64 = -1;

#[derive(Debug)]
struct RateSource {
    options: RateOptions,
    schedule: Schedule,
    partitions: usize,
    clock: ClockRef,
    /// When second 0 began.
    start_ms: i64,
    /// The latest time seen: a clock that is set back does not move offsets back.
    last_ms: AtomicI64,
    /// The latest offset given out, for progress.
    reported: AtomicI64,
}

fn seconds(offset: &Offset) -> Result<i64, ConnectorError> {
    offset
        .json()
        .trim()
        .parse()
        .ok()
        .filter(|seconds| *seconds >= 0)
        .ok_or_else(|| ConnectorError::ForeignOffset {
            format: "rate",
            offset: offset.json().to_owned(),
        })
}

#[async_trait]
impl Source for RateSource {
    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn description(&self) -> String {
        let partitions = self
            .options
            .num_partitions
            .map_or("default".to_owned(), |n| n.to_string());
        // The bracket that does not close is Spark's.
        format!(
            "RateStreamV2[rowsPerSecond={}, rampUpTimeSeconds={}, numPartitions={partitions}",
            self.options.rows_per_second, self.options.ramp_up_seconds
        )
    }

    async fn initial_offset(&self) -> Result<Option<Offset>, BoxError> {
        Ok(Some(Offset::new("0")))
    }

    async fn latest_offset(
        &self,
        _start: Option<&Offset>,
        _limit: ReadLimit,
    ) -> Result<Option<Offset>, BoxError> {
        let now_ms = self.clock.now_ms();
        let last_ms = self
            .last_ms
            .fetch_max(now_ms, Ordering::Relaxed)
            .max(now_ms);
        let seconds = (last_ms - self.start_ms) / 1000;
        self.reported.store(seconds, Ordering::Relaxed);
        Ok(Some(Offset::new(seconds.to_string())))
    }

    async fn plan_batch(
        &self,
        start: Option<&Offset>,
        end: &Offset,
    ) -> Result<Vec<Arc<dyn InputPartition>>, BoxError> {
        let start_seconds = start.map_or(Ok(0), seconds)?;
        let end_seconds = seconds(end)?;
        let values = self.schedule.values(start_seconds, end_seconds)?;
        // A range that an earlier run logged may end after this machine's clock.
        let end_ms = self
            .start_ms
            .saturating_add(end_seconds.saturating_mul(1000));
        self.last_ms.fetch_max(end_ms, Ordering::Relaxed);
        if values.start >= values.end {
            return Ok(vec![]);
        }
        let start_ms = self.start_ms + start_seconds * 1000;
        let partition = |index| -> Arc<dyn InputPartition> {
            Arc::new(RatePartition {
                index,
                step: self.partitions,
                values,
                start_ms,
            })
        };
        Ok((0..self.partitions).map(partition).collect())
    }

    async fn commit(&self, _end: &Offset) -> Result<(), BoxError> {
        Ok(())
    }

    async fn report_latest_offset(&self) -> Option<Offset> {
        let seconds = self.reported.load(Ordering::Relaxed);
        (seconds != UNREPORTED).then(|| Offset::new(seconds.to_string()))
    }
}

/// Every `step`-th value of a batch, from `index` on.
#[derive(Debug)]
struct RatePartition {
    index: usize,
    step: usize,
    values: Values,
    start_ms: i64,
}

impl InputPartition for RatePartition {
    fn open(&self, request: &ScanRequest) -> Result<SendableRecordBatchStream, BoxError> {
        let (values, start_ms) = (self.values, self.start_ms);
        let micros = move |value| (start_ms + values.delay_ms(value)) * 1000;
        let numbers = stripe(values.start..values.end, self.index, self.step);
        Ok(generate(request, numbers, micros))
    }
}

/// Every `step`-th number of `range`, from the `index`-th on.
pub(crate) fn stripe(
    range: std::ops::Range<i64>,
    index: usize,
    step: usize,
) -> impl Iterator<Item = i64> + Send + 'static {
    range.skip(index).step_by(step.max(1))
}

/// The rows of a generating source: numbers, and a timestamp for each.
pub(crate) fn generate(
    request: &ScanRequest,
    mut numbers: impl Iterator<Item = i64> + Send + 'static,
    micros: impl Fn(i64) -> i64 + Send + 'static,
) -> SendableRecordBatchStream {
    let ScanRequest {
        projection,
        schema,
        batch_size,
        ..
    } = request.clone();
    let output = Arc::clone(&schema);
    let batches = std::iter::from_fn(move || {
        let values: Vec<i64> = numbers.by_ref().take(batch_size.max(1)).collect();
        if values.is_empty() {
            return None;
        }
        let batch = assemble(&projection, &output, values, &micros);
        Some(batch.map_err(Into::into))
    });
    lazily(schema, batches)
}

fn assemble(
    projection: &[usize],
    schema: &SchemaRef,
    values: Vec<i64>,
    micros: &impl Fn(i64) -> i64,
) -> Result<RecordBatch, ArrowError> {
    const TIMESTAMP: usize = 0;
    let count = values.len();
    let columns = projection.iter().map(|column| -> ArrayRef {
        if *column == TIMESTAMP {
            let times = values.iter().map(|value| micros(*value));
            Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
        } else {
            Arc::new(Int64Array::from(values.clone()))
        }
    });
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns.collect(), &options)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
