//! What a micro-batch pays for state, by shape of the workload. Plain program, prints a table:
//! `cargo bench -p millstream-state --bench columnar_log [-- <name part>]`. Storage is memory, so what is measured is
//! CPU; medians of many rounds, and the kernel's count of CPU time for single long runs, so that a busy machine
//! disturbs little.
use std::{collections::HashMap, hint::black_box, sync::Arc, sync::Mutex, time::Instant};

use arrow::{
    array::{
        ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    },
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
};
use async_trait::async_trait;
use bytes::Bytes;
use futures::executor::block_on;
use millstream_checkpoint::storage::{FileMeta, Storage, StorageError};
use millstream_state::{
    ColumnarLogProvider, MonotonicClock, StateCompression, StateLogOptions, StateSchema,
    StateStore, StateStoreId, StateStoreProvider, hash,
};

type Error = Box<dyn std::error::Error>;
type Workload = fn() -> Result<(), Error>;

#[derive(Debug, Default)]
struct MemoryStorage(Mutex<HashMap<String, Bytes>>);

impl MemoryStorage {
    fn files(&self) -> std::sync::MutexGuard<'_, HashMap<String, Bytes>> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    fn url(&self) -> &str {
        "memory:///"
    }
    async fn put_new(&self, path: &str, bytes: Bytes) -> Result<(), StorageError> {
        self.put(path, bytes).await
    }
    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StorageError> {
        self.files().insert(path.to_owned(), bytes);
        Ok(())
    }
    async fn get(&self, path: &str) -> Result<Bytes, StorageError> {
        let file = self.files().get(path).cloned();
        file.ok_or_else(|| StorageError::NotFound {
            path: path.to_owned(),
        })
    }
    async fn exists(&self, path: &str) -> Result<bool, StorageError> {
        Ok(self.files().contains_key(path))
    }
    async fn list(&self, dir: &str) -> Result<Vec<FileMeta>, StorageError> {
        let files = self.files();
        let files = files.iter().filter_map(|(path, bytes)| {
            let (parent, name) = path.rsplit_once('/')?;
            let size = bytes.len() as u64;
            (parent == dir).then(|| FileMeta {
                name: name.to_owned(),
                size,
                modified_ms: 0,
            })
        });
        Ok(files.collect())
    }
    async fn list_dirs(&self, _dir: &str) -> Result<Vec<String>, StorageError> {
        Ok(Vec::new())
    }
    async fn delete(&self, path: &str) -> Result<(), StorageError> {
        self.files().remove(path);
        Ok(())
    }
    async fn delete_dir(&self, _dir: &str) -> Result<(), StorageError> {
        Ok(())
    }
}

fn schema() -> StateSchema {
    let window = DataType::Timestamp(TimeUnit::Microsecond, None);
    let key = Schema::new(vec![
        Field::new("window", window, true),
        Field::new("user", DataType::Utf8, true),
    ]);
    let value = Schema::new(vec![
        Field::new("count", DataType::Int64, true),
        Field::new("sum", DataType::Float64, true),
        Field::new("max", DataType::Int64, true),
        Field::new("avg_sum", DataType::Float64, true),
        Field::new("avg_count", DataType::Int64, true),
    ]);
    StateSchema::new(Arc::new(key), Arc::new(value)).with_event_time(0)
}

fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch, Error> {
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

fn keys(schema: &StateSchema, ids: &[(i64, u64)]) -> Result<RecordBatch, Error> {
    let windows = TimestampMicrosecondArray::from_iter_values(ids.iter().map(|(w, _)| *w));
    let users = StringArray::from_iter_values(ids.iter().map(|(_, u)| format!("user-{u:012}")));
    batch(&schema.key, vec![Arc::new(windows), Arc::new(users)])
}

fn values(schema: &StateSchema, rows: usize, round: i64) -> Result<RecordBatch, Error> {
    let ints = || -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(
            (0..rows as i64).map(|i| i + round),
        ))
    };
    let floats = || -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(
            (0..rows).map(|i| i as f64 * 0.25 + round as f64),
        ))
    };
    batch(
        &schema.value,
        vec![ints(), floats(), ints(), floats(), ints()],
    )
}

/// splitmix64: the same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % bound
    }
}

/// Nanoseconds that this thread has spent on a CPU.
fn cpu_time() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    stat.split_whitespace().next()?.parse().ok()
}

struct Bench {
    schema: StateSchema,
    provider: ColumnarLogProvider,
    store: Box<dyn StateStore>,
    random: Random,
    /// Microseconds of every round, by what was done.
    times: Vec<(&'static str, Vec<f64>)>,
}

impl Bench {
    fn new() -> Result<Self, Error> {
        let start = Instant::now();
        let mut options = StateLogOptions::new(MonotonicClock::new(move || start.elapsed()));
        options.compression = StateCompression::Zstd;
        let provider = ColumnarLogProvider::new(Arc::new(MemoryStorage::default()), options);
        let schema = schema();
        let store = block_on(provider.open(&StateStoreId::new(0, 0), &schema, 0))?;
        Ok(Self {
            schema,
            provider,
            store,
            random: Random(1),
            times: Vec::new(),
        })
    }

    fn timed<T>(&mut self, what: &'static str, run: impl FnOnce(&mut Self) -> T) -> T {
        let (cpu_start, start) = (cpu_time(), Instant::now());
        let result = run(self);
        let mut micros = start.elapsed().as_secs_f64() * 1e6;
        // The kernel counts in ticks of milliseconds, so only long runs can go by it.
        if let (Some(from), Some(to)) = (cpu_start, cpu_time().filter(|_| micros > 50e3)) {
            micros = (to - from) as f64 / 1e3;
        }
        match self.times.iter_mut().find(|(name, _)| *name == what) {
            Some((_, times)) => times.push(micros),
            None => self.times.push((what, vec![micros])),
        }
        result
    }

    fn preload(&mut self, ids: &[(i64, u64)]) -> Result<(), Error> {
        for ids in ids.chunks(50_000) {
            let (keys, values) = (
                keys(&self.schema, ids)?,
                values(&self.schema, ids.len(), 0)?,
            );
            self.store.put(&keys, &values)?;
            block_on(self.store.commit())?;
        }
        Ok(())
    }

    fn batch(&mut self, ids: &[(i64, u64)], round: i64) -> Result<(), Error> {
        let (keys, values) = (
            keys(&self.schema, ids)?,
            values(&self.schema, ids.len(), round)?,
        );
        self.timed("get", |b| b.store.get(&keys).map(black_box))?;
        self.timed("put", |b| b.store.put(&keys, &values))?;
        self.timed("commit", |b| block_on(b.store.commit()))?;
        Ok(())
    }

    fn report(&mut self, name: &str, rows: usize) {
        let metrics = self.store.metrics();
        print!("{name:<44}");
        for (what, times) in &mut self.times {
            times.sort_unstable_by(f64::total_cmp);
            let each = times.get(times.len() / 2).copied().unwrap_or_default();
            print!(
                " {what} {each:>9.1} us ({:>6.1} ns/key)",
                each * 1e3 / rows as f64
            );
        }
        println!(
            "  | keys {} mem {:.1} MB ({:.0} B/key) segments {} garbage {}",
            metrics.num_keys,
            metrics.memory_bytes as f64 / 1e6,
            metrics.memory_bytes as f64 / metrics.num_keys.max(1) as f64,
            metrics.segments,
            metrics.garbage_rows,
        );
    }
}

fn random_touches(total: u64, touched: usize, rounds: usize) -> Result<(), Error> {
    let mut bench = Bench::new()?;
    bench.preload(&(0..total).map(|u| (0, u)).collect::<Vec<_>>())?;
    for round in 0..rounds {
        let ids: Vec<_> = (0..touched)
            .map(|_| (0, bench.random.below(total)))
            .collect();
        bench.batch(&ids, round as i64)?;
    }
    bench.report(&format!("{total} keys, {touched} touched"), touched);
    Ok(())
}

fn sliding_windows(per_window: u64, kept: i64, rounds: usize) -> Result<(), Error> {
    let mut bench = Bench::new()?;
    for round in 0..rounds as i64 {
        let ids: Vec<_> = (0..per_window).map(|u| (round, u)).collect();
        bench.batch(&ids, round)?;
        bench.timed("evict", |b| b.store.evict(round - kept).map(black_box))?;
    }
    bench.report(
        &format!("{per_window} keys a window, {kept} windows"),
        per_window as usize,
    );
    Ok(())
}

fn mass_eviction(total: u64) -> Result<(), Error> {
    let mut bench = Bench::new()?;
    bench.preload(&(0..total).map(|u| ((u % 10) as i64, u)).collect::<Vec<_>>())?;
    bench.timed("evict half", |b| b.store.evict(4).map(black_box))?;
    bench.timed("commit", |b| block_on(b.store.commit()))?;
    bench.timed("drop rest", |b| b.store.drop_expired(8))?;
    bench.timed("rollback", |b| b.store.rollback());
    bench.report(&format!("mass eviction of {total}"), total as usize / 2);
    Ok(())
}

fn snapshot_and_load(total: u64) -> Result<(), Error> {
    let mut bench = Bench::new()?;
    bench.preload(&(0..total).map(|u| (0, u)).collect::<Vec<_>>())?;
    let version = bench.store.version();
    let (id, schema) = (bench.store.id().clone(), bench.schema.clone());
    bench.timed("load deltas", |b| {
        block_on(b.provider.open(&id, &schema, version)).map(drop)
    })?;
    let task = bench
        .timed("capture", |b| b.store.capture_snapshot())
        .ok_or("no snapshot due")?;
    let bytes = bench.timed("write", |_| block_on(task.write()))?;
    bench.timed("load snapshot", |b| {
        block_on(b.provider.open(&id, &schema, version)).map(drop)
    })?;
    bench.report(
        &format!("{total} keys, snapshot of {bytes} B"),
        total as usize,
    );
    Ok(())
}

fn spark_hash(rows: usize) -> Result<(), Error> {
    let ids: Vec<_> = (0..rows as u64).map(|u| (0, u)).collect();
    let keys = keys(&schema(), &ids)?;
    let start = Instant::now();
    black_box(hash::murmur3_hash(keys.columns(), rows, hash::SPARK_SEED)?);
    let nanos = start.elapsed().as_secs_f64() * 1e9 / rows as f64;
    println!("murmur3 of (timestamp, string)               {nanos:.1} ns/row");
    Ok(())
}

fn main() -> Result<(), Error> {
    let wanted = std::env::args()
        .skip(1)
        .find(|arg| !arg.starts_with('-'))
        .unwrap_or_default();
    let benches: [(&str, Workload); 9] = [
        ("one key", || random_touches(1, 1, 20_000)),
        ("one of many", || random_touches(100_000, 1, 20_000)),
        ("hundred of many", || random_touches(100_000, 100, 2_000)),
        ("million", || random_touches(1_000_000, 50_000, 100)),
        ("tiny windows", || sliding_windows(1, 5_000, 20_000)),
        ("windows", || sliding_windows(10_000, 3, 200)),
        ("eviction", || mass_eviction(1_000_000)),
        ("load", || snapshot_and_load(1_000_000)),
        ("hash", || spark_hash(1_000_000)),
    ];
    for (name, run) in benches.iter().filter(|(name, _)| name.contains(&wanted)) {
        run().map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(())
}
