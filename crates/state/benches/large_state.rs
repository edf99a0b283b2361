//! Many distinct keys: what a batch costs as state grows, on each provider. Plain program, prints a table:
//! `cargo bench -p millstream-state --bench large_state [-- [columnar|lsm] [keys] [rows a batch]]`; 10 M keys in batches of
//! 100 k by default. Half of a batch's keys are new until all are there, half are met again. Files go to a temporary
//! folder, so the disk is part of what is measured; memory is the process's.
use std::{fs, hint::black_box, path::Path, sync::Arc, time::Instant};

use arrow::{
    array::{Float64Array, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
};
use millstream_checkpoint::storage;
use millstream_state::{
    ColumnarLogProvider, LsmOptions, LsmProvider, MonotonicClock, StateLogOptions, StateRegistry,
    StateSchema, StateStoreId, StateStoreProviderRef,
};

type Error = Box<dyn std::error::Error>;

fn schema() -> StateSchema {
    let key = Schema::new(vec![Field::new("user", DataType::Utf8, true)]);
    let value = Schema::new(vec![
        Field::new("count", DataType::Int64, true),
        Field::new("sum", DataType::Float64, true),
    ]);
    StateSchema::new(Arc::new(key), Arc::new(value))
}

/// splitmix64's finalizer: spreads consecutive numbers.
fn spread(number: u64) -> u64 {
    let mut x = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Resident memory of the process in megabytes; 0 where the system does not say.
fn resident_mb() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1);
    pages
        .and_then(|pages| pages.parse::<u64>().ok())
        .unwrap_or(0)
        * 4096
        / 1_000_000
}

fn provider(name: &str, folder: &Path) -> Result<StateStoreProviderRef, Error> {
    let state = folder.join("state");
    let state = storage::open(state.to_str().ok_or("the temporary folder has no name")?)?;
    let start = Instant::now();
    let log = StateLogOptions::new(MonotonicClock::new(move || start.elapsed()));
    Ok(match name {
        "columnar" => Arc::new(ColumnarLogProvider::new(state, log)),
        "lsm" => {
            let options = LsmOptions {
                buffer_bytes: 64 << 20,
                cache_bytes: 64 << 20,
                ..LsmOptions::new(log, folder.join("local"))
            };
            Arc::new(LsmProvider::try_new(state, options)?)
        }
        other => return Err(format!("there is no provider {other}").into()),
    })
}

/// Median and largest of some times, in milliseconds.
fn summary(times: &mut [f64]) -> (f64, f64) {
    times.sort_unstable_by(f64::total_cmp);
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    (median, times.last().copied().unwrap_or_default())
}

async fn run(name: &str, keys: u64, rows: u64) -> Result<(), Error> {
    let folder = tempfile::tempdir()?;
    let registry = StateRegistry::new(provider(name, folder.path())?);
    let (id, schema) = (StateStoreId::new(0, 0), schema());
    let batches = 2 * keys / rows;
    let (mut added, mut version) = (0_u64, 0);
    let (mut batch_ms, mut commit_ms) = (Vec::new(), Vec::new());
    println!("{name}, {keys} keys, {rows} rows a batch");
    println!("      keys    Mrows/s   batch ms (max)     commit ms (max)    store MB   process MB");
    for batch in 0..batches {
        let fresh = (rows / 2).min(keys - added);
        let ids = (0..rows).map(|row| match row < fresh {
            true => added + row,
            false => spread(batch * rows + row) % (added + fresh).max(1),
        });
        let users = ids.map(|id| format!("user-{:016x}", spread(id)));
        let users = StringArray::from_iter_values(users);
        let counts = Int64Array::from_iter_values((0..rows).map(|row| (row + batch) as i64));
        let sums = Float64Array::from_iter_values((0..rows).map(|row| row as f64 * 0.25));
        let asked = RecordBatch::try_new(Arc::clone(&schema.key), vec![Arc::new(users)])?;
        let columns: Vec<arrow::array::ArrayRef> = vec![Arc::new(counts), Arc::new(sums)];
        let values = RecordBatch::try_new(Arc::clone(&schema.value), columns)?;

        let started = Instant::now();
        let mut store = registry.checkout(&id, &schema, version).await?;
        black_box(store.get(&asked)?);
        store.put(&asked, &values)?;
        let committing = Instant::now();
        version = store.commit().await?.version;
        commit_ms.push(committing.elapsed().as_secs_f64() * 1e3);
        drop(store);
        batch_ms.push(started.elapsed().as_secs_f64() * 1e3);
        added += fresh;
        if version % 10 == 0 {
            registry.maintain().await;
        }
        if (batch + 1) % (batches / 10).max(1) == 0 {
            let total_ms: f64 = batch_ms.iter().sum();
            let speed = batch_ms.len() as f64 * rows as f64 / total_ms / 1e3;
            let (batch, batch_max) = summary(&mut batch_ms);
            let (commit, commit_max) = summary(&mut commit_ms);
            let metrics = registry.store_metrics();
            let (keys, memory) = metrics.first().map_or((0, 0), |(_, metrics)| {
                (metrics.num_keys, metrics.memory_bytes / 1_000_000)
            });
            println!(
                "{keys:>10} {speed:>10.2} {batch:>10.1} ({batch_max:>7.1}) {commit:>9.1} ({commit_max:>7.1}) {memory:>9} {:>12}",
                resident_mb()
            );
            (batch_ms, commit_ms) = (Vec::new(), Vec::new());
        }
    }
    registry.unload();
    let started = Instant::now();
    let store = registry.checkout(&id, &schema, version).await?;
    println!(
        "opened again with {} keys in {:.1} s",
        store.metrics().num_keys,
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let (names, numbers): (Vec<&String>, Vec<&String>) =
        arguments.iter().partition(|a| a.parse::<u64>().is_err());
    let number = |index: usize, default: u64| -> Result<u64, Error> {
        Ok(numbers
            .get(index)
            .map_or(Ok(default), |text| text.parse())?)
    };
    let (keys, rows) = (number(0, 10_000_000)?, number(1, 100_000)?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    for name in ["columnar", "lsm"] {
        if names.is_empty() || names.iter().any(|wanted| *wanted == name) {
            runtime.block_on(run(name, keys, rows))?;
        }
    }
    Ok(())
}
