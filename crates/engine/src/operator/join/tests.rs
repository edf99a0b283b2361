//! Joins against a model: whatever the batches, pairs are those of a join of all rows that were not late, and rows without a
//! match come out once the watermark has passed everything.
use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arrow::{
    array::{ArrayRef, AsArray, Int64Array, RecordBatch, TimestampMicrosecondArray},
    datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit},
};
use datafusion::{
    common::{JoinType, ScalarValue},
    execution::TaskContext,
    logical_expr::{Extension, LogicalPlan, LogicalPlanBuilder, col, lit},
    physical_plan::{ExecutionPlanProperties, collect_partitioned},
    prelude::{SessionConfig, SessionContext},
};
use millstream_checkpoint::{Faults, storage};
use millstream_state::{ColumnarLogProvider, MonotonicClock, StateLogOptions, StateRegistry};
use proptest::prelude::*;

use crate::{
    batch::{BatchContext, Observations},
    plan::{OutputMode, StreamTable, StreamingPlan, WatermarkNode},
    source::{MemoryStream, Source},
    time::BatchWatermarks,
};

const RANGE_S: i64 = 5;
const DELAY_S: i64 = 4;

/// A row: key and event time in seconds, both possibly NULL.
#[derive(Debug, Clone, Copy)]
struct Event {
    key: Option<i64>,
    at: Option<i64>,
}

/// Rows that arrive together, and whether a batch without rows follows when they move the watermark.
#[derive(Debug, Clone)]
struct Arrival {
    sides: [Vec<Event>; 2],
    clean_up: bool,
}

/// Numbers of a left and a right row.
type Pair = (Option<i64>, Option<i64>);

fn schema(prefix: &str) -> SchemaRef {
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new(format!("{prefix}t"), instant, true),
        Field::new(format!("{prefix}k"), DataType::Int64, true),
        Field::new(format!("{prefix}n"), DataType::Int64, false),
    ]))
}

fn rows(prefix: &str, events: &[Event], from: i64) -> RecordBatch {
    let at: TimestampMicrosecondArray = events
        .iter()
        .map(|event| event.at.map(|at| at * 1_000_000))
        .collect();
    let key: Int64Array = events.iter().map(|event| event.key).collect();
    let numbers = Int64Array::from_iter_values(from..from + events.len() as i64);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(at.with_timezone("UTC")),
        Arc::new(key),
        Arc::new(numbers),
    ];
    RecordBatch::try_new(schema(prefix), columns).unwrap()
}

/// A join of two memory streams, run batch by batch.
struct Bench {
    plan: StreamingPlan,
    streams: [MemoryStream; 2],
    state: Arc<StateRegistry>,
    batch_id: u64,
    late_ms: i64,
    watermark_ms: i64,
    highest: [Option<i64>; 2],
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn new(join_type: JoinType, partitions: usize) -> Self {
        let streams = ["l", "r"].map(|prefix| MemoryStream::new(schema(prefix)));
        let [left, right] = [0, 1].map(|side: usize| {
            let table = StreamTable::new(Arc::new(streams[side].clone()));
            let scan = table.scan_plan().unwrap();
            let at = scan.schema().columns()[0].clone();
            let watermark = WatermarkNode::try_new(scan, at, DELAY_S * 1000).unwrap();
            LogicalPlan::Extension(Extension {
                node: Arc::new(watermark),
            })
        });
        let wait = lit(ScalarValue::DurationMicrosecond(Some(RANGE_S * 1_000_000)));
        let condition = col("lk")
            .eq(col("rk"))
            .and(col("rt").gt_eq(col("lt")))
            .and(col("rt").lt_eq(col("lt") + wait));
        let columns = match join_type {
            JoinType::LeftSemi => vec![col("ln")],
            _ => vec![col("ln"), col("rn")],
        };
        let plan = LogicalPlanBuilder::from(left)
            .join_on(right, join_type, [condition])
            .and_then(|join| join.project(columns))
            .and_then(LogicalPlanBuilder::build)
            .unwrap();
        let session = SessionContext::new().state();
        let plan = StreamingPlan::build(plan, &session, OutputMode::Append, 1, partitions);
        let folder = tempfile::tempdir().unwrap();
        let files = storage::open(folder.path().to_str().unwrap()).unwrap();
        let options = StateLogOptions::new(MonotonicClock::new(|| Duration::ZERO));
        let provider = ColumnarLogProvider::new(files, options);
        Self {
            plan: plan.await.unwrap(),
            streams,
            state: Arc::new(StateRegistry::new(Arc::new(provider))),
            batch_id: 0,
            late_ms: 0,
            watermark_ms: 0,
            highest: [None; 2],
            _folder: folder,
        }
    }

    /// Runs a batch of these rows, numbered by side from `from`.
    async fn run(&mut self, events: [&[Event]; 2], from: [i64; 2]) -> Vec<Pair> {
        let mut inputs = vec![];
        for (side, prefix) in ["l", "r"].iter().enumerate() {
            let end = self.streams[side].add(rows(prefix, events[side], from[side]));
            let before = end.json().parse::<i64>().unwrap() - 1;
            let start = (before >= 0).then(|| crate::source::Offset::new(before.to_string()));
            let planned = self.streams[side].plan_batch(start.as_ref(), &end).await;
            inputs.push(vec![planned.unwrap()]);
            let seen = events[side].iter().filter_map(|event| event.at).max();
            self.highest[side] = self.highest[side].max(seen);
        }
        let watermarks = BatchWatermarks {
            late_ms: self.late_ms,
            eviction_ms: self.watermark_ms,
        };
        let context = BatchContext {
            batch_id: self.batch_id,
            watermarks: self.plan.watermark_flow.in_batch(watermarks),
            inputs,
            state: Arc::clone(&self.state),
            observations: Arc::new(Observations::new(2)),
            faults: Faults::none(),
        };
        let config = SessionConfig::new().with_extension(Arc::new(context));
        let context = Arc::new(TaskContext::default().with_session_config(config));
        let plan = self.plan.physical().await.unwrap();
        assert!(plan.output_partitioning().partition_count() > 0);
        let output = collect_partitioned(plan, context).await.unwrap();
        self.batch_id += 1;
        self.late_ms = self.watermark_ms;
        if let [Some(left), Some(right)] = self.highest {
            let reached = left.min(right) * 1000 - DELAY_S * 1000;
            self.watermark_ms = self.watermark_ms.max(reached);
        }
        output.iter().flatten().flat_map(pairs).collect()
    }
}

fn pairs(rows: &RecordBatch) -> Vec<Pair> {
    let column = |index: usize| -> Vec<Option<i64>> {
        match rows.columns().get(index) {
            Some(numbers) => numbers.as_primitive::<Int64Type>().iter().collect(),
            None => vec![None; rows.num_rows()],
        }
    };
    column(0).into_iter().zip(column(1)).collect()
}

fn matches(left: &Event, right: &Event, null_finds_null: bool) -> bool {
    let (Some(lt), Some(rt)) = (left.at, right.at) else {
        return false;
    };
    let same = left.key == right.key && (left.key.is_some() || null_finds_null);
    same && (lt..=lt + RANGE_S).contains(&rt)
}

/// What a join of all rows at once gives; rows without event time wait for ever.
fn joined(
    join_type: JoinType,
    left: &BTreeMap<i64, Event>,
    right: &BTreeMap<i64, Event>,
) -> Vec<Pair> {
    let full = join_type == JoinType::Full;
    let mut out: Vec<Pair> = vec![];
    let mut found = [vec![], vec![]];
    for (l, left) in left {
        for (r, right) in right {
            if matches(left, right, full) {
                out.push((Some(*l), Some(*r)));
                found[0].push(*l);
                found[1].push(*r);
            }
        }
    }
    if join_type == JoinType::LeftSemi {
        found[0].dedup();
        return found[0].iter().map(|l| (Some(*l), None)).collect();
    }
    let alone = |side: usize, rows: &BTreeMap<i64, Event>| -> Vec<i64> {
        let timed = rows.iter().filter(|(_, event)| event.at.is_some());
        let alone = timed.filter(|(n, _)| !found[side].contains(n));
        alone.map(|(n, _)| *n).collect()
    };
    if matches!(join_type, JoinType::Left | JoinType::Full) {
        out.extend(alone(0, left).into_iter().map(|l| (Some(l), None)));
    }
    if matches!(join_type, JoinType::Right | JoinType::Full) {
        out.extend(alone(1, right).into_iter().map(|r| (None, Some(r))));
    }
    out.sort_unstable();
    out
}

async fn check(join_type: JoinType, partitions: usize, arrivals: &[Arrival]) {
    let mut bench = Bench::new(join_type, partitions).await;
    let mut taken = [BTreeMap::new(), BTreeMap::new()];
    let mut from = [0, 0];
    let mut output = vec![];
    for arrival in arrivals {
        for side in 0..2 {
            for (index, event) in arrival.sides[side].iter().enumerate() {
                if event.at.is_none_or(|at| at * 1000 > bench.late_ms) {
                    taken[side].insert(from[side] + index as i64, *event);
                }
            }
        }
        let sides = [arrival.sides[0].as_slice(), arrival.sides[1].as_slice()];
        let before = bench.watermark_ms;
        output.extend(bench.run(sides, from).await);
        for (from, side) in from.iter_mut().zip(sides) {
            *from += side.len() as i64;
        }
        if arrival.clean_up && bench.watermark_ms > before {
            output.extend(bench.run([&[], &[]], from).await);
        }
    }
    bench.watermark_ms = i64::MAX / 2000;
    output.extend(bench.run([&[], &[]], from).await);
    output.sort_unstable();
    assert_eq!(
        output,
        joined(join_type, &taken[0], &taken[1]),
        "{join_type}"
    );
}

fn event() -> impl Strategy<Value = Event> {
    let key = prop_oneof![8 => (0..3_i64).prop_map(Some), 1 => Just(None)];
    let at = prop_oneof![12 => (1..60_i64).prop_map(Some), 1 => Just(None)];
    (key, at).prop_map(|(key, at)| Event { key, at })
}

fn arrival() -> impl Strategy<Value = Arrival> {
    let side = || prop::collection::vec(event(), 0..8);
    (side(), side(), any::<bool>()).prop_map(|(left, right, clean_up)| Arrival {
        sides: [left, right],
        clean_up,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 10))]

    #[test]
    fn batches_give_what_a_join_of_all_rows_in_time_gives(
        arrivals in prop::collection::vec(arrival(), 1..7),
        partitions in 1..4_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for join_type in [
            JoinType::Inner, JoinType::Left, JoinType::Right, JoinType::Full, JoinType::LeftSemi,
        ] {
            runtime.block_on(check(join_type, partitions, &arrivals));
        }
    }
}
