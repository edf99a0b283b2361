//! The operator against a model: over random batches with late rows, what it puts out is the sessions of the rows that were not
//! late, whatever the order in which they came.
use std::{collections::BTreeMap, future::Future, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray, Int64Array, RecordBatch, TimestampMicrosecondArray},
    datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit},
};
use datafusion::{
    catalog::memory::MemorySourceConfig,
    execution::TaskContext,
    functions_aggregate::{count::count_udaf, sum::sum_udaf},
    physical_expr::{
        aggregate::{AggregateExprBuilder, AggregateFunctionExpr},
        expressions::Column,
    },
    prelude::SessionConfig,
};
use futures::TryStreamExt;
use millstream_checkpoint::{CheckpointDir, Faults};
use millstream_state::{ColumnarLogProvider, MonotonicClock, StateLogOptions, StateRegistry};
use proptest::prelude::*;

use super::{SessionAggregateExec, exec::Sessions};
use crate::{
    batch::{BatchContext, Observations},
    operator::OperatorMetrics,
    plan::OutputMode,
    time::BatchWatermarks,
};

const MS: i64 = 1000;

/// A row: its key, its time and its gap in milliseconds, and a value.
type Row = (i64, i64, i64, i64);
/// A session: its key, its start and end in milliseconds, its rows and the sum of their values.
type Out = (i64, i64, i64, i64, i64);

fn time(name: &str) -> Field {
    Field::new(
        name,
        DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        true,
    )
}

/// Partial groups: key, start, end, then the states of count and sum.
fn input_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Int64, true),
        time("start"),
        time("end"),
        Field::new("n[count]", DataType::Int64, true),
        Field::new("s[sum]", DataType::Int64, true),
    ]))
}

fn functions() -> Vec<Arc<AggregateFunctionExpr>> {
    let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, true)]));
    let call = |udaf, name: &str| {
        let call = AggregateExprBuilder::new(udaf, vec![Arc::new(Column::new("v", 0))]);
        Arc::new(
            call.schema(Arc::clone(&schema))
                .alias(name)
                .build()
                .unwrap(),
        )
    };
    vec![call(count_udaf(), "n"), call(sum_udaf(), "s")]
}

fn partial_groups(rows: &[Row]) -> RecordBatch {
    let ints = |of: &dyn Fn(&Row) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(rows.iter().map(of)))
    };
    let times = |of: &dyn Fn(&Row) -> i64| -> ArrayRef {
        let times = rows.iter().map(|row| of(row) * MS);
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
    };
    let columns = vec![
        ints(&|row| row.0),
        times(&|row| row.1),
        times(&|row| row.1 + row.2),
        ints(&|_| 1),
        ints(&|row| row.3),
    ];
    RecordBatch::try_new(input_schema(), columns).unwrap()
}

fn sessions_in(batch: &RecordBatch) -> Vec<Out> {
    let ints = |index: usize| {
        batch
            .column(index)
            .as_primitive::<Int64Type>()
            .values()
            .to_vec()
    };
    let times = |index: usize| {
        let times = batch
            .column(index)
            .as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
        times.values().iter().map(|us| us / MS).collect::<Vec<_>>()
    };
    (0..batch.num_rows())
        .map(|row| {
            (
                ints(0)[row],
                times(1)[row],
                times(2)[row],
                ints(3)[row],
                ints(4)[row],
            )
        })
        .collect()
}

/// The operator, one partition of it, batch after batch.
struct Operator {
    registry: Arc<StateRegistry>,
    mode: OutputMode,
    batch_id: u64,
    _folder: tempfile::TempDir,
    url: String,
}

impl Operator {
    fn new(mode: OutputMode) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = folder.path().to_str().unwrap().to_string();
        Self {
            registry: registry(&url),
            mode,
            batch_id: 0,
            _folder: folder,
            url,
        }
    }

    /// As after a restart: state is loaded from its files.
    fn restart(&mut self) {
        self.registry = registry(&self.url);
    }

    async fn run(
        &mut self,
        rows: &[Row],
        watermarks: BatchWatermarks,
    ) -> (Vec<Out>, OperatorMetrics) {
        let observations = Arc::new(Observations::new(0));
        let context = BatchContext {
            batch_id: self.batch_id,
            watermarks: vec![watermarks],
            inputs: vec![],
            state: Arc::clone(&self.registry),
            observations: Arc::clone(&observations),
            faults: Faults::none(),
        };
        self.batch_id += 1;
        let sessions = Sessions {
            keys: 1,
            watermarked: true,
            output_mode: self.mode,
            operator_id: 0,
        };
        let groups = partial_groups(rows);
        let input =
            MemorySourceConfig::try_new_exec(&[vec![groups]], input_schema(), None).unwrap();
        let mut output = input_schema().fields().to_vec();
        output.truncate(3);
        output.extend(["n", "s"].map(|name| Arc::new(Field::new(name, DataType::Int64, true))));
        let exec = SessionAggregateExec::try_new(
            input,
            sessions,
            functions(),
            Arc::new(Schema::new(output)),
        )
        .unwrap();
        let config = SessionConfig::new().with_extension(Arc::new(context));
        let context = Arc::new(TaskContext::default().with_session_config(config));
        let exec: Arc<dyn datafusion::physical_plan::ExecutionPlan> = Arc::new(exec);
        let batches: Vec<RecordBatch> = exec
            .execute(0, context)
            .unwrap()
            .try_collect()
            .await
            .unwrap();
        let mut sessions: Vec<_> = batches.iter().flat_map(sessions_in).collect();
        sessions.sort_unstable();
        (sessions, observations.operators().remove(&0).unwrap())
    }
}

fn registry(url: &str) -> Arc<StateRegistry> {
    let root = millstream_checkpoint::storage::open(url).unwrap();
    let dir = CheckpointDir::new(root, Faults::none());
    let options = StateLogOptions::new(MonotonicClock::new(|| std::time::Duration::ZERO));
    Arc::new(StateRegistry::new(Arc::new(ColumnarLogProvider::new(
        dir.state(),
        options,
    ))))
}

/// The rows of open sessions, and nothing else.
#[derive(Default)]
struct Model {
    open: BTreeMap<i64, Vec<Row>>,
    late: u64,
}

impl Model {
    fn add(&mut self, rows: &[Row], late_ms: i64) {
        for row in rows {
            match row.1 + row.2 > late_ms {
                true => self.open.entry(row.0).or_default().push(*row),
                false => self.late += 1,
            }
        }
    }

    /// Sessions by their definition: rows that overlap or touch, directly or through others.
    fn sessions(&self) -> Vec<(Out, Vec<Row>)> {
        let mut all = vec![];
        for (key, rows) in &self.open {
            let mut rest = rows.clone();
            while let Some(first) = rest.pop() {
                let mut own = vec![first];
                loop {
                    let near = |row: &Row| {
                        own.iter()
                            .any(|o| row.1 <= o.1 + o.2 && o.1 <= row.1 + row.2)
                    };
                    let (joins, others): (Vec<Row>, Vec<Row>) =
                        rest.iter().partition(|row| near(row));
                    rest = others;
                    if joins.is_empty() {
                        break;
                    }
                    own.extend(joins);
                }
                let start = own.iter().map(|row| row.1).min().unwrap();
                let end = own.iter().map(|row| row.1 + row.2).max().unwrap();
                let sum = own.iter().map(|row| row.3).sum();
                all.push(((*key, start, end, own.len() as i64, sum), own));
            }
        }
        all.sort();
        all
    }

    /// Sessions that end at or before the watermark; they are forgotten.
    fn close(&mut self, eviction_ms: i64) -> Vec<Out> {
        let mut closed = vec![];
        for (session, rows) in self.sessions() {
            if session.2 <= eviction_ms {
                closed.push(session);
                if let Some(open) = self.open.get_mut(&session.0) {
                    // Equal rows are one as well as another.
                    for row in rows {
                        let at = open.iter().position(|o| *o == row).unwrap();
                        open.swap_remove(at);
                    }
                }
            }
        }
        closed
    }
}

fn batches() -> impl Strategy<Value = Vec<(Vec<Row>, i64, bool)>> {
    let row = (0_i64..3, 0_i64..120, 1_i64..12, -5_i64..5);
    prop::collection::vec(
        (prop::collection::vec(row, 0..12), 0_i64..30, any::<bool>()),
        1..9,
    )
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 4))]

    #[test]
    fn sessions_of_random_batches_are_those_of_the_rows_that_were_not_late(batches in batches()) {
        block_on(async {
            let (mut operator, mut model) = (Operator::new(OutputMode::Append), Model::default());
            let (mut late_ms, mut dropped) = (0, 0);
            for (rows, advance_ms, restart) in batches {
                let eviction_ms = late_ms + advance_ms;
                model.add(&rows, late_ms);
                let watermarks = BatchWatermarks { late_ms, eviction_ms };
                let (sessions, metrics) = operator.run(&rows, watermarks).await;
                assert_eq!(sessions, model.close(eviction_ms));
                dropped += metrics.rows_dropped_by_watermark;
                assert_eq!(dropped, model.late);
                assert_eq!(metrics.rows_total, model.sessions().len() as u64);
                late_ms = eviction_ms;
                if restart {
                    operator.restart();
                }
            }
            let all = BatchWatermarks { late_ms, eviction_ms: 1_000 };
            assert_eq!(operator.run(&[], all).await.0, model.close(1_000));
            assert!(model.open.values().all(Vec::is_empty));
        });
    }

    #[test]
    fn complete_mode_shows_all_sessions_after_every_batch(batches in batches()) {
        block_on(async {
            let (mut operator, mut model) = (Operator::new(OutputMode::Complete), Model::default());
            for (rows, _, restart) in batches {
                model.add(&rows, 0);
                let shown = operator.run(&rows, BatchWatermarks::default()).await.0;
                let expected: Vec<Out> = model.sessions().into_iter().map(|(session, _)| session).collect();
                assert_eq!(shown, expected);
                if restart {
                    operator.restart();
                }
            }
        });
    }
}

#[test]
fn sessions_of_other_keys_and_far_from_the_batch_are_not_written_again() {
    block_on(async {
        let mut operator = Operator::new(OutputMode::Append);
        let none = BatchWatermarks::default();
        operator
            .run(&[(1, 0, 5, 1), (1, 100, 5, 1), (2, 0, 5, 1)], none)
            .await;
        let (_, metrics) = operator.run(&[(1, 4, 5, 1)], none).await;
        // Both sessions of the key are reported, as Spark does; nothing goes, since the start stays.
        assert_eq!(
            (
                metrics.rows_updated,
                metrics.rows_removed,
                metrics.rows_total
            ),
            (2, 0, 3)
        );
        let (_, metrics) = operator.run(&[(1, 96, 4, 1)], none).await;
        assert_eq!(
            (
                metrics.rows_updated,
                metrics.rows_removed,
                metrics.rows_total
            ),
            (2, 1, 3)
        );
    });
}
