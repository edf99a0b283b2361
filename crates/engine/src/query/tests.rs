//! Queries end to end inside the engine: a memory stream in, recorded batches out, real checkpoints in a folder.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray},
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
    util::pretty::pretty_format_batches,
};
use async_trait::async_trait;
use datafusion::{
    execution::SendableRecordBatchStream,
    functions_aggregate::expr_fn::{count, sum},
    logical_expr::{
        ExprFunctionExt, Extension, JoinType, LogicalPlan, LogicalPlanBuilder, col, lit,
    },
    prelude::SessionContext,
};
use futures::TryStreamExt;
use millstream_checkpoint::{FaultAction, FaultPoint, Faults};

mod repartition;

use super::*;
use crate::{
    BoxError, EngineError,
    plan::{OutputMode, StreamTable, WatermarkNode},
    sink::{BatchWriter, CommitMessage, Sink, SinkBatch},
    source::MemoryStream,
    time::SystemClock,
};

/// Keeps every committed batch as sorted text lines.
#[derive(Debug, Default, Clone)]
struct Recorder {
    pending: Arc<Mutex<BTreeMap<u64, Vec<RecordBatch>>>>,
    committed: Arc<Mutex<BTreeMap<u64, Vec<String>>>>,
}

#[async_trait]
impl Sink for Recorder {
    fn description(&self) -> String {
        "Recorder".to_string()
    }

    async fn begin(&self, batch: &SinkBatch) -> Result<Arc<dyn BatchWriter>, BoxError> {
        self.pending.lock().unwrap().insert(batch.batch_id, vec![]);
        Ok(Arc::new(RecorderBatch {
            batch_id: batch.batch_id,
            recorder: self.clone(),
        }))
    }

    async fn commit(&self, batch: &SinkBatch, _: Vec<CommitMessage>) -> Result<(), BoxError> {
        let rows = self
            .pending
            .lock()
            .unwrap()
            .remove(&batch.batch_id)
            .unwrap_or_default();
        self.committed
            .lock()
            .unwrap()
            .insert(batch.batch_id, lines(&rows));
        Ok(())
    }
}

#[derive(Debug)]
struct RecorderBatch {
    batch_id: u64,
    recorder: Recorder,
}

#[async_trait]
impl BatchWriter for RecorderBatch {
    async fn write(
        &self,
        _: usize,
        rows: SendableRecordBatchStream,
    ) -> Result<CommitMessage, BoxError> {
        let rows: Vec<_> = rows.try_collect().await?;
        self.recorder
            .pending
            .lock()
            .unwrap()
            .entry(self.batch_id)
            .or_default()
            .extend(rows);
        Ok(CommitMessage::default())
    }
}

fn lines(rows: &[RecordBatch]) -> Vec<String> {
    let text = pretty_format_batches(rows).unwrap().to_string();
    let mut lines: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with('|'))
        .skip(1)
        .map(|line| {
            line.trim_matches('|')
                .split('|')
                .map(str::trim)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    lines.sort();
    lines
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new(
            "at",
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            true,
        ),
        Field::new("word", DataType::Utf8, true),
        Field::new("n", DataType::Int64, true),
    ]))
}

/// Rows of (seconds, word, n).
fn rows(of: &[(i64, &str, i64)]) -> RecordBatch {
    let at: ArrayRef = Arc::new(
        TimestampMicrosecondArray::from_iter_values(of.iter().map(|row| row.0 * 1_000_000))
            .with_timezone("UTC"),
    );
    let word: ArrayRef = Arc::new(StringArray::from_iter_values(of.iter().map(|row| row.1)));
    let n: ArrayRef = Arc::new(Int64Array::from_iter_values(of.iter().map(|row| row.2)));
    RecordBatch::try_new(schema(), vec![at, word, n]).unwrap()
}

struct Bench {
    stream: MemoryStream,
    recorder: Recorder,
    folder: tempfile::TempDir,
    partitions: usize,
    mode: OutputMode,
    faults: Faults,
    /// What else differs from the defaults.
    settings: QuerySettings,
}

impl Bench {
    fn new(mode: OutputMode, partitions: usize) -> Self {
        Self {
            stream: MemoryStream::new(schema()),
            recorder: Recorder::default(),
            folder: tempfile::tempdir().unwrap(),
            partitions,
            mode,
            faults: Faults::none(),
            settings: QuerySettings::default(),
        }
    }

    fn scan(&self) -> LogicalPlanBuilder {
        LogicalPlanBuilder::from(
            StreamTable::new(Arc::new(self.stream.clone()))
                .scan_plan()
                .unwrap(),
        )
    }

    fn word_counts(&self) -> LogicalPlan {
        self.scan()
            .aggregate([col("word")], [count(lit(1)), sum(col("n"))])
            .unwrap()
            .build()
            .unwrap()
    }

    /// Sums by event time itself, under a watermark of 10 s.
    fn by_event_time(&self) -> LogicalPlan {
        let scan = self.scan().build().unwrap();
        let at = scan.schema().columns()[0].clone();
        let watermark = WatermarkNode::try_new(scan, at, 10_000).unwrap();
        LogicalPlanBuilder::from(LogicalPlan::Extension(Extension {
            node: Arc::new(watermark),
        }))
        .aggregate([col("at")], [sum(col("n"))])
        .unwrap()
        .build()
        .unwrap()
    }

    async fn start(&self, plan: LogicalPlan) -> Result<StreamingQuery, EngineError> {
        let manager = StreamingQueryManager::new(tokio::runtime::Handle::current(), Arc::default());
        let schema = Arc::new(Schema::clone(plan.schema().as_arrow()));
        manager
            .start(QuerySpec {
                name: None,
                plan,
                schema,
                session: SessionContext::new().state(),
                sink: Arc::new(self.recorder.clone()),
                output_mode: self.mode,
                trigger: Trigger::default(),
                checkpoint: CheckpointLocation {
                    url: self.folder.path().to_str().unwrap().to_string(),
                    temporary: false,
                },
                settings: QuerySettings {
                    parallelism: 2,
                    state_partitions: self.partitions,
                    ..self.settings.clone()
                },
                clock: Arc::new(SystemClock),
                faults: self.faults.clone(),
                stop_active_run: true,
            })
            .await
    }

    fn batch(&self, id: u64) -> Vec<String> {
        self.recorder
            .committed
            .lock()
            .unwrap()
            .get(&id)
            .cloned()
            .unwrap_or_default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn update_mode_puts_out_touched_groups_and_state_survives_restarts() {
    for partitions in [1, 2, 7] {
        let bench = Bench::new(OutputMode::Update, partitions);
        let query = bench.start(bench.word_counts()).await.unwrap();
        bench
            .stream
            .add(rows(&[(1, "a", 1), (2, "b", 2), (3, "a", 3)]));
        query.process_all_available().await.unwrap();
        assert_eq!(bench.batch(0), ["a 2 4", "b 1 2"]);
        query.stop().await;
        let query = bench.start(bench.word_counts()).await.unwrap();
        bench.stream.add(rows(&[(4, "a", 10)]));
        query.process_all_available().await.unwrap();
        assert_eq!(bench.batch(1), ["a 3 14"]);
        query.stop().await;
        assert!(query.exception().is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_without_values_stays_null_beside_a_group_that_has_state() {
    let bench = Bench::new(OutputMode::Update, 1);
    let positive = lit(1_i64).lt(col("n"));
    let total = sum(col("n")).filter(positive).build().unwrap();
    let plan = bench
        .scan()
        .aggregate([col("word")], [total])
        .unwrap()
        .build()
        .unwrap();
    let query = bench.start(plan).await.unwrap();
    bench.stream.add(rows(&[(1, "a", 5)]));
    query.process_all_available().await.unwrap();
    bench.stream.add(rows(&[(2, "a", 6), (3, "b", 0)]));
    query.process_all_available().await.unwrap();
    assert_eq!(bench.batch(1), ["a 11", "b "]);
    query.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn complete_mode_puts_out_everything() {
    let bench = Bench::new(OutputMode::Complete, 3);
    let query = bench.start(bench.word_counts()).await.unwrap();
    bench.stream.add(rows(&[(1, "a", 1), (2, "b", 2)]));
    query.process_all_available().await.unwrap();
    bench.stream.add(rows(&[(3, "c", 3)]));
    query.process_all_available().await.unwrap();
    assert_eq!(bench.batch(1), ["a 1 1", "b 1 2", "c 1 3"]);
    query.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn append_mode_puts_out_groups_that_fell_behind_the_watermark_in_a_batch_without_data() {
    let bench = Bench::new(OutputMode::Append, 2);
    let query = bench.start(bench.by_event_time()).await.unwrap();
    bench
        .stream
        .add(rows(&[(10, "a", 1), (11, "b", 2), (30, "c", 3)]));
    query.process_all_available().await.unwrap();
    // Batch 0 runs under watermark 0; it moves to 20 s, so batch 1 has no data and evicts 10 s and 11 s.
    assert_eq!(bench.batch(0), Vec::<String>::new());
    assert_eq!(
        bench.batch(1),
        ["1970-01-01T00:00:10Z 1", "1970-01-01T00:00:11Z 2"]
    );
    // At the watermark is late: 20 s is dropped, 21 s is not.
    bench
        .stream
        .add(rows(&[(20, "late", 100), (21, "d", 4), (50, "e", 5)]));
    query.process_all_available().await.unwrap();
    assert_eq!(
        bench.batch(3),
        ["1970-01-01T00:00:21Z 4", "1970-01-01T00:00:30Z 3"]
    );
    let dropped: u64 = query
        .recent_progress()
        .iter()
        .flat_map(|progress| &progress.state_operators)
        .map(|operator| operator.num_rows_dropped_by_watermark)
        .sum();
    assert_eq!(dropped, 1);
    query.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_point_of_a_batch_changes_nothing() {
    let points = [
        FaultPoint::BeforeOffsetWrite,
        FaultPoint::AfterOffsetWrite,
        FaultPoint::MidBatch,
        FaultPoint::BeforeStateCommit,
        FaultPoint::MidStateCommit,
        FaultPoint::AfterStateCommit,
        FaultPoint::BeforeSinkCommit,
        FaultPoint::AfterSinkCommit,
        FaultPoint::BeforeCommitLog,
        FaultPoint::AfterCommitLog,
        FaultPoint::SourceCommit,
    ];
    for point in points {
        let mut bench = Bench::new(OutputMode::Update, 2);
        let query = bench.start(bench.word_counts()).await.unwrap();
        bench.stream.add(rows(&[(1, "a", 1), (2, "b", 2)]));
        query.process_all_available().await.unwrap();
        query.stop().await;
        bench.faults = Faults::new();
        bench.faults.arm(point, 1, FaultAction::Fail);
        let query = bench.start(bench.word_counts()).await.unwrap();
        bench.stream.add(rows(&[(3, "a", 5), (4, "c", 7)]));
        let failure = query.process_all_available().await;
        assert!(failure.is_err(), "{point} did not end the query");
        assert_eq!(bench.faults.fired(), [point]);
        bench.faults = Faults::none();
        let query = bench.start(bench.word_counts()).await.unwrap();
        bench.stream.add(rows(&[(5, "b", 1)]));
        query.process_all_available().await.unwrap();
        query.stop().await;
        let all: Vec<_> = bench
            .recorder
            .committed
            .lock()
            .unwrap()
            .values()
            .flatten()
            .cloned()
            .collect();
        let last = |word: &str| all.iter().rfind(|line| line.starts_with(word)).cloned();
        assert_eq!(last("a").as_deref(), Some("a 2 6"), "{point}");
        assert_eq!(last("b").as_deref(), Some("b 2 3"), "{point}");
        assert_eq!(last("c").as_deref(), Some("c 1 7"), "{point}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unsupported_mode_is_refused_at_start() {
    let bench = Bench::new(OutputMode::Append, 1);
    let error = bench.start(bench.word_counts()).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("streaming aggregations without watermark"),
        "{error}"
    );
    let bench = Bench::new(OutputMode::Complete, 1);
    let error = bench
        .start(bench.scan().build().unwrap())
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("no streaming aggregations"),
        "{error}"
    );
}

impl Bench {
    /// Words and what they mean, as a table.
    fn meanings(&self) -> LogicalPlanBuilder {
        let schema = Arc::new(Schema::new(vec![
            Field::new("key", DataType::Utf8, true),
            Field::new("meaning", DataType::Utf8, true),
        ]));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(["a", "b", "z"])),
            Arc::new(StringArray::from_iter_values(["first", "second", "last"])),
        ];
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
        let table = datafusion::datasource::MemTable::try_new(schema, vec![vec![batch]]).unwrap();
        let source = datafusion::datasource::provider_as_source(Arc::new(table));
        LogicalPlanBuilder::scan("meanings", source, None).unwrap()
    }

    fn joined(&self, how: JoinType) -> LogicalPlan {
        let table = self.meanings().build().unwrap();
        self.scan()
            .join(table, how, (vec!["word"], vec!["key"]), None)
            .unwrap()
            .project([col("word"), col("meaning")])
            .unwrap()
            .build()
            .unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_with_a_table_sees_every_batch_anew() {
    for (how, first, second) in [
        (
            JoinType::Inner,
            vec!["a first", "b second"],
            vec!["a first"],
        ),
        (
            JoinType::Left,
            vec!["a first", "b second", "c"],
            vec!["a first", "q"],
        ),
    ] {
        let bench = Bench::new(OutputMode::Append, 1);
        let query = bench.start(bench.joined(how)).await.unwrap();
        bench
            .stream
            .add(rows(&[(1, "a", 1), (2, "b", 2), (3, "c", 3)]));
        query.process_all_available().await.unwrap();
        bench.stream.add(rows(&[(4, "a", 1), (5, "q", 2)]));
        query.process_all_available().await.unwrap();
        let trimmed = |id| {
            bench
                .batch(id)
                .iter()
                .map(|line| line.trim().to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(trimmed(0), first);
        assert_eq!(trimmed(1), second);
        assert!(
            query.explain(false).contains("StreamScanExec"),
            "{}",
            query.explain(false)
        );
        query.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_that_preserves_the_table_is_refused() {
    let bench = Bench::new(OutputMode::Append, 1);
    let error = bench
        .start(bench.joined(JoinType::Right))
        .await
        .unwrap_err();
    assert!(error.to_string().starts_with("RightOuter join"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_union_reads_every_stream_and_one_relation_used_twice_is_one_source() {
    let bench = Bench::new(OutputMode::Append, 1);
    let scan = bench.scan().build().unwrap();
    let both = LogicalPlanBuilder::from(scan.clone())
        .project([col("word")])
        .unwrap()
        .union(
            LogicalPlanBuilder::from(scan)
                .project([col("word")])
                .unwrap()
                .build()
                .unwrap(),
        )
        .unwrap()
        .build()
        .unwrap();
    let query = bench.start(both).await.unwrap();
    bench.stream.add(rows(&[(1, "a", 1), (2, "b", 2)]));
    query.process_all_available().await.unwrap();
    assert_eq!(bench.batch(0), ["a", "a", "b", "b"]);
    assert_eq!(query.last_progress().unwrap().sources.len(), 1);
    query.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_of_a_batch_is_one_value_and_is_kept_when_the_batch_is_run_again() {
    let mut bench = Bench::new(OutputMode::Append, 1);
    let timed = |bench: &Bench| {
        bench
            .scan()
            .project([col("word"), crate::plan::batch_time().alias("now")])
            .unwrap()
            .build()
            .unwrap()
    };
    bench.faults = Faults::new();
    bench
        .faults
        .arm(FaultPoint::BeforeCommitLog, 1, FaultAction::Fail);
    let query = bench.start(timed(&bench)).await.unwrap();
    bench.stream.add(rows(&[(1, "a", 1), (2, "a", 2)]));
    assert!(query.process_all_available().await.is_err());
    let first = bench.batch(0);
    assert_eq!(first[0], first[1]);
    bench.faults = Faults::none();
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    let query = bench.start(timed(&bench)).await.unwrap();
    query.process_all_available().await.unwrap();
    assert_eq!(bench.batch(0), first);
    query.stop().await;
}

/// Runs a plan over one row more and tells how that ended.
async fn rerun(bench: &Bench, plan: LogicalPlan) -> Option<String> {
    let query = bench.start(plan).await.unwrap();
    bench.stream.add(rows(&[(9, "a", 100)]));
    let _ = query.process_all_available().await;
    query.stop().await;
    query.exception().map(|failure| failure.error.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_goes_on_under_other_names_and_filters_but_not_under_other_operations() {
    let bench = Bench::new(OutputMode::Update, 2);
    let grouped = |key: &str, of: datafusion::logical_expr::Expr| {
        let plan = bench.scan().filter(col("n").gt(lit(0_i64))).unwrap();
        let renamed = plan.project([col("word").alias("w"), col("n").alias("m")]);
        renamed
            .unwrap()
            .aggregate([col(key)], [of])
            .unwrap()
            .build()
            .unwrap()
    };
    let counted = bench.scan().aggregate([col("word")], [count(col("n"))]);
    let counted = counted.unwrap().build().unwrap();
    assert_eq!(rerun(&bench, counted.clone()).await, None);
    // The same count of the same column by the same key.
    assert_eq!(rerun(&bench, grouped("w", count(col("m")))).await, None);
    let changed = rerun(&bench, grouped("w", sum(col("m")))).await.unwrap();
    assert!(
        changed.contains("aggregate count(n) became sum(n)"),
        "{changed}"
    );
    let changed = rerun(&bench, grouped("m", count(col("m")))).await.unwrap();
    assert!(changed.contains("key"), "{changed}");
    let rows_only = bench.scan().build().unwrap();
    let gone = rerun(&bench, rows_only).await.unwrap();
    assert!(gone.contains("in the query: []"), "{gone}");
    assert_eq!(rerun(&bench, counted.clone()).await, None);
    std::fs::remove_dir_all(bench.folder.path().join("state")).unwrap();
    let lost = rerun(&bench, counted).await.unwrap();
    assert!(
        lost.contains("state directory is empty or missing"),
        "{lost}"
    );
}
