//! Moves there and back, interrupted anywhere, over what other histories left.
use std::sync::{Arc, atomic::Ordering};

use arrow::compute::take_record_batch;
use futures::executor::block_on;
use millstream_checkpoint::fault::{FaultAction, FaultPoint, Faults};

use super::*;
use crate::{
    StateLogOptions, StateStoreProviderRef,
    hash::{SPARK_SEED, murmur3_hash, partition_of},
    testing::{
        Kind, MemoryStorage, counts, counts_by_user, every_provider, options, project, rows, users,
    },
};

every_provider!(
    rows_are_moved_there_and_back,
    the_new_partitions_go_on_and_the_old_version_still_loads,
    an_interrupted_move_is_made_again_and_gives_the_same_files,
    whichever_write_fails_the_next_attempt_gives_the_same_rows,
    files_of_another_history_are_not_taken_for_new_partitions,
    a_store_of_many_rows_is_written_in_parts,
    a_store_without_key_columns_stays_in_its_partition,
    columns_that_did_not_place_the_rows_are_refused,
    what_cannot_be_moved_is_refused_before_anything_is_written,
    a_move_that_is_stopped_leaves_the_old_version,
    other_counts_and_other_histories_have_other_lineages,
);

const NAMES: [&str; 12] = [
    "ada", "bob", "cyd", "dan", "eve", "fay", "gus", "hal", "ivy", "jan", "kim", "lou",
];

fn store(from: u32, to: u32) -> PartitionedStore {
    PartitionedStore {
        operator_id: 0,
        store_name: "default".to_owned(),
        schema: counts_by_user(),
        placed_by: 1,
        from,
        to,
    }
}

fn go_on() -> impl Fn() -> bool + Send + Sync {
    || false
}

/// Makes the next version: every name counted up, each in its partition of `partitions`.
fn run_batch(provider: &StateStoreProviderRef, partitions: u32, version: u64) {
    let keys = users(&NAMES);
    let values: Vec<i64> = (0..NAMES.len() as i64)
        .map(|n| n * 100 + version as i64 + 1)
        .collect();
    let values = counts(&values);
    let hashes = murmur3_hash(keys.columns(), keys.num_rows(), SPARK_SEED).unwrap();
    for partition in 0..partitions {
        let own = (0..keys.num_rows() as u32)
            .filter(|row| partition_of(hashes[*row as usize], partitions) == partition)
            .collect::<Vec<_>>();
        let own = arrow::array::UInt32Array::from(own);
        let id = StateStoreId::new(0, partition);
        let mut store = block_on(provider.open(&id, &counts_by_user(), version)).unwrap();
        let keys = take_record_batch(&keys, &own).unwrap();
        let values = take_record_batch(&values, &own).unwrap();
        store.put(&keys, &values).unwrap();
        block_on(store.commit()).unwrap();
    }
}

/// All rows of a version, after a look at where they are.
fn all(provider: &StateStoreProviderRef, partitions: u32, version: u64) -> Vec<String> {
    let mut all = vec![];
    for partition in 0..partitions {
        let id = StateStoreId::new(0, partition);
        let store = block_on(provider.open(&id, &counts_by_user(), version)).unwrap();
        for piece in store.entries() {
            let piece = piece.unwrap();
            let keys = project(&piece, &[0]);
            let hashes = murmur3_hash(keys.columns(), keys.num_rows(), SPARK_SEED).unwrap();
            for hash in hashes {
                assert_eq!(partition_of(hash, partitions), partition);
            }
            all.extend(rows(&[piece]));
        }
    }
    all.sort_unstable();
    all
}

fn counted(version: i64) -> Vec<String> {
    let rows = NAMES.iter().enumerate();
    rows.map(|(n, name)| format!("{name}|{}", n as i64 * 100 + version))
        .collect()
}

fn moved(
    provider: &StateStoreProviderRef,
    from: u32,
    to: u32,
    version: u64,
) -> Result<Repartitioned> {
    block_on(provider.check_repartition(&[store(from, to)], version))?;
    block_on(provider.repartition(&store(from, to), version, &go_on()))
}

fn rows_are_moved_there_and_back(kind: Kind) {
    let storage: Arc<MemoryStorage> = Arc::default();
    let provider = kind.provider(&storage, options());
    run_batch(&provider, 2, 0);
    let mut version = 1;
    for (from, to) in [(2, 7), (7, 1), (1, 3), (3, 3), (3, 2)] {
        let done = moved(&provider, from, to, version).unwrap();
        assert_eq!(done, Repartitioned::Done { rows: 12 });
        version += 1;
        assert_eq!(all(&provider, to, version), counted(1), "{from} to {to}");
    }
    // The first version is still what it was, and every later one too.
    assert_eq!(all(&provider, 2, 1), counted(1));
    assert_eq!(all(&provider, 7, 2), counted(1));
}

fn the_new_partitions_go_on_and_the_old_version_still_loads(kind: Kind) {
    let storage: Arc<MemoryStorage> = Arc::default();
    let log = || StateLogOptions {
        min_deltas_for_snapshot: 1,
        min_versions_to_retain: 2,
        ..options()
    };
    let provider = kind.provider(&storage, log());
    run_batch(&provider, 7, 0);
    run_batch(&provider, 7, 1);
    moved(&provider, 7, 2, 2).unwrap();
    let registry = crate::StateRegistry::new(Arc::clone(&provider));
    for version in 3..6 {
        run_batch(&provider, 2, version);
        assert_eq!(all(&provider, 2, version + 1), counted(version as i64 + 1));
        assert_eq!(all(&provider, 7, 2), counted(2));
        let partitions = [(0, 2)].into();
        let deleted = block_on(registry.remove_retired(&partitions, version + 1));
        // Versions down to `newest - 2` are retained: the last round lets go of version 2.
        assert_eq!(deleted.unwrap() > 0, version + 1 > 4, "{version}");
        if version + 1 > 4 {
            break;
        }
    }
    let left = block_on(provider.stores()).unwrap();
    assert_eq!(left, [StateStoreId::new(0, 0), StateStoreId::new(0, 1)]);
    // Back to seven, over folders that are there.
    moved(&provider, 2, 7, 5).unwrap();
    // On another machine.
    storage.lose_local_folder();
    let provider = kind.provider(&storage, log());
    assert_eq!(all(&provider, 7, 6), counted(5));
}

fn an_interrupted_move_is_made_again_and_gives_the_same_files(kind: Kind) {
    let straight: Arc<MemoryStorage> = Arc::default();
    let provider = kind.provider(&straight, options());
    run_batch(&provider, 2, 0);
    moved(&provider, 2, 7, 1).unwrap();
    for nth in 1..=7 {
        let storage: Arc<MemoryStorage> = Arc::default();
        run_batch(&kind.provider(&storage, options()), 2, 0);
        let faults = Faults::new();
        faults.arm(FaultPoint::MidRepartition, nth, FaultAction::Fail);
        let log = StateLogOptions {
            faults: faults.clone(),
            ..options()
        };
        let provider = kind.provider(&storage, log);
        moved(&provider, 2, 7, 1).unwrap_err();
        assert_eq!(faults.fired(), [FaultPoint::MidRepartition]);
        assert_eq!(all(&provider, 2, 1), counted(1));
        moved(&provider, 2, 7, 1).unwrap();
        assert_eq!(
            *storage.files.lock().unwrap(),
            *straight.files.lock().unwrap()
        );
    }
}

fn whichever_write_fails_the_next_attempt_gives_the_same_rows(kind: Kind) {
    for nth in 1..=9 {
        let storage: Arc<MemoryStorage> = Arc::default();
        let provider = kind.provider(&storage, options());
        run_batch(&provider, 7, 0);
        storage.fail_in.store(nth, Ordering::Relaxed);
        let failed = moved(&provider, 7, 3, 1).is_err();
        assert_eq!(failed, nth <= 3, "three files are written");
        storage.fail_in.store(0, Ordering::Relaxed);
        assert_eq!(all(&provider, 7, 1), counted(1));
        // Another number this time, as when the checkpoint was rewound meanwhile.
        moved(&provider, 7, 2, 1).unwrap();
        assert_eq!(all(&provider, 2, 2), counted(1));
        assert!(storage.read("0/2/2.snapshot").is_none());
    }
}

fn files_of_another_history_are_not_taken_for_new_partitions(kind: Kind) {
    let storage: Arc<MemoryStorage> = Arc::default();
    let provider = kind.provider(&storage, options());
    for version in 0..4 {
        run_batch(&provider, 2, version);
    }
    // Batches 1 to 3 are forgotten without anybody deleting their state.
    moved(&provider, 2, 3, 1).unwrap();
    assert_eq!(all(&provider, 3, 2), counted(1));
    for name in ["0/0/2.delta", "0/0/3.delta", "0/1/4.delta"] {
        assert!(storage.read(name).is_none(), "{name}");
    }
    // A file that comes back does not continue the new partition.
    let again: Arc<MemoryStorage> = Arc::default();
    let other = kind.provider(&again, options());
    for version in 0..3 {
        run_batch(&other, 2, version);
    }
    storage.write("0/0/3.delta", again.read("0/0/3.delta").unwrap());
    let id = StateStoreId::new(0, 0);
    assert!(block_on(provider.open(&id, &counts_by_user(), 3)).is_err());
}

fn a_store_of_many_rows_is_written_in_parts(kind: Kind) {
    let storage: Arc<MemoryStorage> = Arc::default();
    let log = StateLogOptions {
        snapshot_file_bytes: 64,
        ..options()
    };
    let provider = kind.provider(&storage, log);
    run_batch(&provider, 7, 0);
    moved(&provider, 7, 1, 1).unwrap();
    assert!(storage.read("0/0/2.1.part").is_some());
    assert_eq!(all(&provider, 1, 2), counted(1));
    // The parts of an attempt that got further do not survive the next one.
    storage.write("0/0/2.99.part", "left over");
    moved(&provider, 7, 1, 1).unwrap();
    assert!(storage.read("0/0/2.99.part").is_none());
    moved(&provider, 1, 7, 2).unwrap();
    assert_eq!(all(&provider, 7, 3), counted(1));
}

fn a_store_without_key_columns_stays_in_its_partition(kind: Kind) {
    let provider = kind.provider(&Arc::default(), options());
    run_batch(&provider, 1, 0);
    let single = PartitionedStore {
        placed_by: 0,
        ..store(1, 1)
    };
    let done = block_on(provider.repartition(&single, 1, &go_on()));
    assert_eq!(done.unwrap(), Repartitioned::Done { rows: 12 });
    assert_eq!(all(&provider, 1, 2), counted(1));
}

fn columns_that_did_not_place_the_rows_are_refused(kind: Kind) {
    let storage: Arc<MemoryStorage> = Arc::default();
    let provider = kind.provider(&storage, options());
    run_batch(&provider, 2, 0);
    for placed_by in [0, 2] {
        let wrong = PartitionedStore {
            placed_by,
            ..store(2, 7)
        };
        let error = block_on(provider.repartition(&wrong, 1, &go_on())).unwrap_err();
        assert!(matches!(error, StateError::MisplacedRow { .. }), "{error}");
        assert_eq!(all(&provider, 2, 1), counted(1));
    }
    let beyond = PartitionedStore {
        placed_by: 3,
        ..store(2, 7)
    };
    let error = block_on(provider.repartition(&beyond, 1, &go_on())).unwrap_err();
    assert!(matches!(error, StateError::InvalidSchema { .. }), "{error}");
}

fn what_cannot_be_moved_is_refused_before_anything_is_written(kind: Kind) {
    let storage: Arc<MemoryStorage> = Arc::default();
    let provider = kind.provider(&storage, options());
    run_batch(&provider, 2, 0);
    let check = |store: PartitionedStore, version| {
        block_on(provider.check_repartition(&[store], version)).unwrap_err()
    };
    let named = PartitionedStore {
        store_name: "left".to_owned(),
        ..store(2, 7)
    };
    let error = check(named, 1);
    assert!(matches!(error, StateError::UnknownStore { .. }), "{error}");
    assert!(error.to_string().contains("with the number that it has"));
    let error = check(store(2, 7), 2);
    assert!(matches!(error, StateError::MissingFile { .. }), "{error}");
    let mut other = store(2, 7);
    std::mem::swap(&mut other.schema.key, &mut other.schema.value);
    let error = check(other, 1);
    assert!(
        matches!(error, StateError::KeySchemaMismatch { .. }),
        "{error}"
    );
    let mut bytes = storage.read("0/1/1.delta").unwrap().to_vec();
    bytes[100] ^= 1;
    storage.write("0/1/1.delta", bytes);
    let error = check(store(2, 7), 1);
    assert!(matches!(error, StateError::CorruptFile { .. }), "{error}");
    assert_eq!(storage.names(), ["0/0/1.delta", "0/1/1.delta"]);
}

fn a_move_that_is_stopped_leaves_the_old_version(kind: Kind) {
    let storage: Arc<MemoryStorage> = Arc::default();
    let provider = kind.provider(&storage, options());
    run_batch(&provider, 2, 0);
    let stopped = block_on(provider.repartition(&store(2, 7), 1, &|| true)).unwrap();
    assert_eq!(stopped, Repartitioned::Stopped);
    assert_eq!(storage.names(), ["0/0/1.delta", "0/1/1.delta"]);
    assert_eq!(all(&provider, 2, 1), counted(1));
}

fn other_counts_and_other_histories_have_other_lineages(kind: Kind) {
    let lineage = |batches: u64, store: &PartitionedStore| {
        let storage: Arc<MemoryStorage> = Arc::default();
        let provider = kind.provider(&storage, options());
        for version in 0..batches {
            run_batch(&provider, 2, version);
        }
        let log = StateLog::new(storage, options());
        block_on(super::lineage(&log, store, batches)).unwrap()
    };
    let first = lineage(1, &store(2, 7));
    assert_eq!(first, lineage(1, &store(2, 7)));
    assert_ne!(first, lineage(1, &store(2, 3)));
    assert_ne!(first, lineage(2, &store(2, 7)));
}
