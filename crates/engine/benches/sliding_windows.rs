//! What a sliding window costs beside a tumbling one: batches of a million rows, a thousand keys, counts and a maximum.
//!
//! `cargo bench -p millstream-engine --bench sliding_windows`
//!
//! Three queries: windows of ten minutes; the same every minute, by pane; and the same with a sum of fractions, which goes
//! the long way, every row ten times. The second should be near the first, the third far from both.
#![allow(clippy::unwrap_used)]
use std::{sync::Arc, time::Instant};

use arrow::{
    array::{ArrayRef, Float64Array, Int64Array, RecordBatch, TimestampMicrosecondArray},
    datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit},
};
use async_trait::async_trait;
use datafusion::{
    common::Column,
    execution::SendableRecordBatchStream,
    functions_aggregate::expr_fn::{count, max, sum},
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, col, lit},
    prelude::SessionContext,
};
use futures::StreamExt;
use millstream_checkpoint::Faults;
use millstream_engine::{
    BoxError,
    plan::{OutputMode, SlidingWindowsNode, StreamTable},
    query::{CheckpointLocation, QuerySettings, QuerySpec, StreamingQueryManager, Trigger},
    sink::{BatchWriter, CommitMessage, Sink, SinkBatch},
    source::MemoryStream,
    time::{SystemClock, WindowGrid, event_time::TIME_WINDOW_KEY},
};

const ROWS: i64 = 1_000_000;
const KEYS: i64 = 1_000;
const BATCHES: usize = 5;
const MINUTE: i64 = 60_000_000;

/// Drops all rows.
#[derive(Debug)]
struct Nowhere;

#[async_trait]
impl Sink for Nowhere {
    fn description(&self) -> String {
        "Nowhere".to_string()
    }

    async fn begin(&self, _: &SinkBatch) -> Result<Arc<dyn BatchWriter>, BoxError> {
        Ok(Arc::new(Nowhere))
    }

    async fn commit(&self, _: &SinkBatch, _: Vec<CommitMessage>) -> Result<(), BoxError> {
        Ok(())
    }
}

#[async_trait]
impl BatchWriter for Nowhere {
    async fn write(
        &self,
        _: usize,
        mut rows: SendableRecordBatchStream,
    ) -> Result<CommitMessage, BoxError> {
        while let Some(batch) = rows.next().await {
            batch?;
        }
        Ok(CommitMessage::default())
    }
}

fn time() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("at", time(), true),
        Field::new("key", DataType::Int64, true),
        Field::new("n", DataType::Int64, true),
        Field::new("x", DataType::Float64, true),
    ]))
}

/// An hour of rows, in the order of their times.
fn rows() -> RecordBatch {
    let at = (0..ROWS).map(|row| row * 60 * MINUTE / ROWS);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from_iter_values(at).with_timezone("UTC")),
        Arc::new(Int64Array::from_iter_values(
            (0..ROWS).map(|row| row * 7919 % KEYS),
        )),
        Arc::new(Int64Array::from_iter_values(0..ROWS)),
        Arc::new(Float64Array::from_iter_values(
            (0..ROWS).map(|row| row as f64 / 7.0),
        )),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// Groups the stream by key and by windows of ten minutes that start every `slide_minutes`.
fn plan(stream: &MemoryStream, slide_minutes: i64, aggregates: Vec<Expr>) -> LogicalPlan {
    let scan = StreamTable::new(Arc::new(stream.clone()))
        .scan_plan()
        .unwrap();
    let bounds = Fields::from(vec![
        Field::new("start", time(), true),
        Field::new("end", time(), true),
    ]);
    let marked = [(TIME_WINDOW_KEY.to_string(), "true".to_string())];
    let window = Field::new("window", DataType::Struct(bounds), false)
        .with_metadata(marked.into_iter().collect());
    let grid = WindowGrid {
        duration: 10 * MINUTE,
        slide: slide_minutes * MINUTE,
        offset: 0,
    };
    let names = ["window_start", "window_end"].map(Column::new_unqualified);
    let windows = SlidingWindowsNode::over(scan, col("at"), grid, names, Arc::new(window)).unwrap();
    LogicalPlanBuilder::from(windows)
        .aggregate([col("window"), col("key")], aggregates)
        .unwrap()
        .build()
        .unwrap()
}

/// Milliseconds of a batch, the median.
async fn run(name: &str, slide_minutes: i64, aggregates: Vec<Expr>) -> u128 {
    let stream = MemoryStream::new(schema());
    let plan = plan(&stream, slide_minutes, aggregates);
    let manager = StreamingQueryManager::new(tokio::runtime::Handle::current(), Arc::default());
    let query = manager
        .start(QuerySpec {
            name: None,
            schema: Arc::new(Schema::clone(plan.schema().as_arrow())),
            plan,
            session: SessionContext::new().state(),
            sink: Arc::new(Nowhere),
            output_mode: OutputMode::Update,
            trigger: Trigger::default(),
            checkpoint: CheckpointLocation {
                url: format!("memory:///{name}"),
                temporary: false,
            },
            settings: QuerySettings {
                polling_delay_ms: 0,
                ..Default::default()
            },
            clock: Arc::new(SystemClock),
            faults: Faults::none(),
            stop_active_run: true,
        })
        .await
        .unwrap();
    let rows = rows();
    let mut millis = vec![];
    for _ in 0..BATCHES {
        let began = Instant::now();
        stream.add(rows.clone());
        query.process_all_available().await.unwrap();
        millis.push(began.elapsed().as_millis());
    }
    query.stop().await;
    millis.sort_unstable();
    millis[BATCHES / 2]
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let whole = || vec![count(lit(1)), max(col("n"))];
    let fractions = || vec![count(lit(1)), max(col("n")), sum(col("x"))];
    for (name, slide_minutes, aggregates) in [
        ("tumbling", 10, whole()),
        ("sliding", 1, whole()),
        ("sliding-fractions", 1, fractions()),
    ] {
        let millis = runtime.block_on(run(name, slide_minutes, aggregates));
        let rate = ROWS as u128 / millis.max(1) / 1000;
        println!("{name}: {millis} ms for {ROWS} rows, {rate} M rows/s");
    }
}
