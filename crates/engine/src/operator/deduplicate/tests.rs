//! The operator against a model: random batches with late rows, NULLs and restarts; the model goes row by row.
use std::{collections::HashMap, sync::Arc, time::Duration};

use arrow::{
    array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray},
    datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit},
};
use datafusion::{
    datasource::memory::MemorySourceConfig,
    execution::{TaskContext, config::SessionConfig},
    physical_plan::collect,
};
use millstream_checkpoint::{
    Faults,
    storage::{ObjectStorage, StorageRef},
};
use millstream_state::{ColumnarLogProvider, MonotonicClock, StateLogOptions, StateRegistry};
use object_store::{memory::InMemory, path::Path};
use proptest::prelude::*;

use super::{StateDeduplicateExec, exec::Columns, seen::Expiry};
use crate::{
    batch::{BatchContext, Observations},
    operator::OperatorMetrics,
    time::BatchWatermarks,
};

const SECOND_US: i64 = 1_000_000;
const DELAY_S: i64 = 3;
const EXPIRIES: [Expiry; 3] = [
    Expiry::Never,
    Expiry::OfKey { column: 1 },
    Expiry::AfterDelay {
        column: 1,
        delay_ms: DELAY_S * 1000,
    },
];

/// Key and event time in seconds.
type Row = (Option<u8>, Option<i64>);

#[derive(Debug, Clone)]
struct Batch {
    /// Rows in the pieces in which they arrive.
    pieces: Vec<Vec<Row>>,
    /// By how much the watermark has moved, in seconds.
    moved_s: i64,
    /// Whether the batch runs twice, as after a crash, from state as it is on disk.
    twice: bool,
}

fn batches() -> impl Strategy<Value = Vec<Batch>> {
    let row = (
        proptest::option::weighted(0.9, 0..4_u8),
        proptest::option::weighted(0.9, 0..20_i64),
    );
    let pieces = proptest::collection::vec(proptest::collection::vec(row, 0..6), 0..4);
    let batch = (pieces, 0..6_i64, any::<bool>()).prop_map(|(pieces, moved_s, twice)| Batch {
        pieces,
        moved_s,
        twice,
    });
    proptest::collection::vec(batch, 1..6)
}

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("word", DataType::Utf8, true),
        Field::new("at", time, true),
        Field::new("id", DataType::Int64, false),
    ]))
}

/// The pieces as record batches; a row's id is its number in the batch.
fn records(pieces: &[Vec<Row>]) -> Vec<RecordBatch> {
    let mut next = 0;
    let mut record = |rows: &Vec<Row>| {
        let word: StringArray = rows
            .iter()
            .map(|(key, _)| key.map(|key| key.to_string()))
            .collect();
        let at: TimestampMicrosecondArray = rows
            .iter()
            .map(|(_, at)| at.map(|at| at * SECOND_US))
            .collect();
        let ids = Int64Array::from_iter_values(next..next + rows.len() as i64);
        next += rows.len() as i64;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(word),
            Arc::new(at.with_timezone("UTC")),
            Arc::new(ids),
        ];
        RecordBatch::try_new(schema(), columns).unwrap()
    };
    pieces.iter().map(&mut record).collect()
}

fn registry(storage: &StorageRef) -> Arc<StateRegistry> {
    let mut options = StateLogOptions::new(MonotonicClock::new(|| Duration::ZERO));
    options.min_deltas_for_snapshot = 2;
    let provider = ColumnarLogProvider::new(Arc::clone(storage), options);
    Arc::new(StateRegistry::new(Arc::new(provider)))
}

/// Runs the operator over one batch: the ids that went through, and its figures.
async fn run(
    expiry: Expiry,
    batch_id: u64,
    pieces: &[Vec<Row>],
    watermarks: BatchWatermarks,
    state: Arc<StateRegistry>,
) -> (Vec<i64>, OperatorMetrics) {
    let keys = match expiry {
        Expiry::OfKey { .. } => 2,
        _ => 1,
    };
    let input = MemorySourceConfig::try_new_exec(&[records(pieces)], schema(), None).unwrap();
    let columns = Columns {
        keys,
        event_time: Some(1),
    };
    let exec = StateDeduplicateExec::try_new(input, schema(), columns, expiry, 0).unwrap();
    let observations = Arc::new(Observations::default());
    let context = BatchContext {
        batch_id,
        watermarks: vec![watermarks],
        inputs: vec![],
        state,
        observations: Arc::clone(&observations),
        faults: Faults::none(),
    };
    // Small, so that a batch of rows is several of the operator's.
    let config = SessionConfig::new()
        .with_batch_size(4)
        .with_extension(Arc::new(context));
    let task = Arc::new(TaskContext::default().with_session_config(config));
    let rows = collect(Arc::new(exec), task).await.unwrap();
    let ids = rows.iter().flat_map(|rows| {
        let ids = rows.column(2).as_primitive::<Int64Type>();
        ids.values().to_vec()
    });
    let metrics = observations.operators().remove(&0).unwrap();
    (ids.collect(), metrics)
}

/// What a deduplication is, in one row's words.
#[derive(Debug, Default)]
struct Model {
    /// Keys, and the second at which each expires.
    seen: HashMap<(Option<u8>, Option<i64>), Option<i64>>,
}

impl Model {
    /// The ids that go through, how many are late and how many keys expire.
    fn run(
        &mut self,
        expiry: Expiry,
        rows: &[Row],
        late_s: i64,
        eviction_s: i64,
    ) -> (Vec<i64>, u64, u64) {
        let (mut through, mut late) = (vec![], 0);
        for (id, (key, at)) in rows.iter().enumerate() {
            if at.is_some_and(|at| at <= late_s) {
                late += 1;
                continue;
            }
            let (key, expires) = match expiry {
                Expiry::Never => ((*key, None), None),
                Expiry::OfKey { .. } => ((*key, *at), *at),
                Expiry::AfterDelay { .. } => ((*key, None), Some(at.unwrap_or(0) + DELAY_S)),
            };
            self.seen.entry(key).or_insert_with(|| {
                through.push(id as i64);
                expires
            });
        }
        let before = self.seen.len();
        self.seen
            .retain(|_, expires| expires.is_none_or(|at| at > eviction_s));
        (through, late, (before - self.seen.len()) as u64)
    }
}

async fn agrees_with_the_model(expiry: Expiry, batches: &[Batch]) {
    let store = Arc::new(InMemory::new());
    let storage: StorageRef =
        Arc::new(ObjectStorage::new(store, Path::from("state"), "memory:///"));
    let mut state = registry(&storage);
    let mut model = Model::default();
    let (mut late_s, mut eviction_s) = (0, 0);
    for (batch_id, batch) in batches.iter().enumerate() {
        eviction_s += batch.moved_s;
        let rows = batch.pieces.concat();
        let (through, late, removed) = model.run(expiry, &rows, late_s, eviction_s);
        let watermarks = BatchWatermarks {
            late_ms: late_s * 1000,
            eviction_ms: eviction_s * 1000,
        };
        for _ in 0..=usize::from(batch.twice) {
            let id = batch_id as u64;
            let (ids, metrics) =
                run(expiry, id, &batch.pieces, watermarks, Arc::clone(&state)).await;
            assert_eq!(ids, through, "{expiry:?}, batch {batch_id}");
            let duplicates = rows.len() as i64 - late as i64 - through.len() as i64;
            assert_eq!(metrics.custom["numDroppedDuplicateRows"], duplicates);
            assert_eq!(metrics.rows_updated, through.len() as u64);
            assert_eq!(metrics.rows_dropped_by_watermark, late);
            assert_eq!(metrics.rows_removed, removed);
            assert_eq!(metrics.rows_total, model.seen.len() as u64);
            state = match batch.twice {
                true => registry(&storage),
                false => state,
            };
        }
        late_s = eviction_s;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 4))]

    #[test]
    fn random_batches_give_what_a_map_of_seen_keys_gives(batches in batches()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for expiry in EXPIRIES {
            runtime.block_on(agrees_with_the_model(expiry, &batches));
        }
    }
}

#[tokio::test]
async fn zeros_of_either_sign_in_one_batch_are_one_key() {
    use arrow::array::Float64Array;

    use super::seen::Seen;

    let schema = Arc::new(Schema::new(vec![Field::new("d", DataType::Float64, true)]));
    let values = Float64Array::from(vec![
        Some(-0.0),
        Some(0.0),
        Some(f64::NAN),
        Some(-f64::NAN),
        None,
    ]);
    let rows = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(values)]).unwrap();
    let store = Arc::new(InMemory::new());
    let storage: StorageRef =
        Arc::new(ObjectStorage::new(store, Path::from("state"), "memory:///"));
    let registry = registry(&storage);
    let mut seen = Seen::try_new(schema, Expiry::Never).unwrap();
    let id = millstream_state::StateStoreId::new(0, 0);
    let mut store = registry.checkout(&id, seen.state(), 0).await.unwrap();
    let first = seen.first_arrivals(rows, &mut *store).unwrap();
    let first = first
        .column(0)
        .as_primitive::<arrow::datatypes::Float64Type>();
    assert_eq!(first.len(), 3);
    assert!(
        first.value(0).is_sign_negative(),
        "the row that arrived first, as it was"
    );
}
