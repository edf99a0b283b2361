//! Damaged files: an error that names them, or an older snapshot; never wrong data.
use std::sync::Arc;

use futures::executor::block_on;

use crate::{
    Result, StateError, StateLogOptions, StateStore, StateStoreId,
    testing::{
        Kind, MemoryStorage, counts, counts_by_window, every_provider, options, rows, windows,
    },
};

every_provider!(
    a_damaged_delta_is_an_error_that_names_it,
    a_damaged_snapshot_falls_back_to_an_older_one,
    a_damaged_snapshot_without_older_files_is_an_error_that_names_it,
    missing_files_are_named,
    files_of_another_version_store_or_history_are_refused,
);

/// Versions 1..=4 with snapshots of 2 and 4.
fn checkpoint(kind: Kind) -> Arc<MemoryStorage> {
    let storage = Arc::default();
    let options = StateLogOptions {
        min_deltas_for_snapshot: 2,
        ..options()
    };
    let provider = kind.provider(&storage, options);
    let id = StateStoreId::new(3, 5);
    let mut store = block_on(provider.open(&id, &counts_by_window(), 0)).unwrap();
    for batch in 1..=4 {
        let keys = windows(&[(batch, "a"), (batch, "b"), (1, "c")]);
        store
            .put(&keys, &counts(&[batch, batch * 10, batch * 100]))
            .unwrap();
        store.delete(&windows(&[(batch - 1, "a")])).unwrap();
        store.evict(batch - 3).unwrap();
        block_on(store.commit()).unwrap();
        if let Some(task) = store.capture_snapshot() {
            block_on(task.write()).unwrap();
        }
    }
    storage
}

fn load(kind: Kind, storage: &Arc<MemoryStorage>, version: u64) -> Result<Box<dyn StateStore>> {
    let provider = kind.provider(storage, options());
    block_on(provider.open(&StateStoreId::new(3, 5), &counts_by_window(), version))
}

fn state(kind: Kind, storage: &Arc<MemoryStorage>, version: u64) -> Vec<String> {
    rows(&load(kind, storage, version).unwrap().scan().unwrap())
}

/// All one-byte flips and truncations of some length of a file; fewer where each costs a tree on disk.
fn damages(kind: Kind, bytes: &[u8]) -> impl Iterator<Item = (String, Vec<u8>)> {
    let header = 0..100;
    let thinned =
        move |at: &usize| kind == Kind::Columnar || header.contains(at) || at.is_multiple_of(9);
    let flips = (0..bytes.len()).filter(thinned).map(|at| {
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 1 << (at % 8);
        (format!("byte {at} flipped"), damaged)
    });
    let cuts = (0..bytes.len())
        .step_by(7)
        .map(|len| (format!("cut to {len}"), bytes[..len].into()));
    flips.chain(cuts)
}

fn a_damaged_delta_is_an_error_that_names_it(kind: Kind) {
    let storage = checkpoint(kind);
    let file = "3/5/3.delta";
    let original = storage.read(file).unwrap();
    for (what, damaged) in damages(kind, &original) {
        storage.write(file, damaged);
        let error = load(kind, &storage, 3)
            .err()
            .unwrap_or_else(|| panic!("{what}: loaded"));
        let text = error.to_string();
        assert!(
            text.contains("memory:///state/3/5/3.delta"),
            "{what}: {text}"
        );
        match error {
            StateError::CorruptFile { version, .. } => assert_eq!(version, 3),
            StateError::UnsupportedFormat { .. } => {
                assert!(what.starts_with("byte 4 ") || what.starts_with("byte 5 "))
            }
            other => panic!("{what}: {other}"),
        }
        assert!(
            text.contains("rewind") || text.contains("release"),
            "{what}: {text}"
        );
    }
}

fn a_damaged_snapshot_falls_back_to_an_older_one(kind: Kind) {
    let storage = checkpoint(kind);
    let expected = state(kind, &storage, 4);
    let file = "3/5/4.snapshot";
    let original = storage.read(file).unwrap();
    for (what, damaged) in damages(kind, &original) {
        storage.write(file, damaged);
        match load(kind, &storage, 4) {
            Ok(store) => assert_eq!(rows(&store.scan().unwrap()), expected, "{what}"),
            // A newer release's file is not damage: falling back would hide it.
            Err(StateError::UnsupportedFormat { .. }) => {
                assert!(
                    what.starts_with("byte 4 ") || what.starts_with("byte 5 "),
                    "{what}"
                );
            }
            Err(error) => panic!("{what}: {error}"),
        }
    }
}

fn a_damaged_snapshot_without_older_files_is_an_error_that_names_it(kind: Kind) {
    let storage = checkpoint(kind);
    for name in ["1.delta", "2.delta", "2.snapshot", "3.delta"] {
        storage.remove(&format!("3/5/{name}"));
    }
    assert!(load(kind, &storage, 4).is_ok());
    let mut damaged = storage.read("3/5/4.snapshot").unwrap().to_vec();
    damaged[200] ^= 1;
    storage.write("3/5/4.snapshot", damaged);
    if kind != Kind::Columnar {
        // What the local folder stands for is vouched for by the delta of 4.
        assert!(load(kind, &storage, 4).is_ok());
        storage.lose_local_folder();
    }
    let error = load(kind, &storage, 4).err().unwrap().to_string();
    assert!(
        error.contains("4.snapshot") && error.contains("checksum"),
        "{error}"
    );
}

fn missing_files_are_named(kind: Kind) {
    let storage = checkpoint(kind);
    let missing = |version| match load(kind, &storage, version).err().unwrap() {
        StateError::MissingFile {
            path,
            version: asked,
            ..
        } => {
            assert_eq!(asked, version);
            path
        }
        other => panic!("{other}"),
    };
    assert_eq!(missing(9), "memory:///state/3/5/9.delta");
    storage.remove("3/5/3.delta");
    assert_eq!(missing(3), "memory:///state/3/5/3.delta");
    assert!(
        load(kind, &storage, 4).is_ok(),
        "the snapshot of 4 does not need it"
    );
    storage.remove("3/5/2.delta");
    storage.remove("3/5/2.snapshot");
    assert_eq!(missing(2), "memory:///state/3/5/2.delta");
}

fn files_of_another_version_store_or_history_are_refused(kind: Kind) {
    let storage = checkpoint(kind);
    let third = storage.read("3/5/3.delta").unwrap();
    let swap = |bytes: bytes::Bytes, expected: &str| {
        storage.write("3/5/3.delta", bytes);
        let error = load(kind, &storage, 3).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    };
    swap(storage.read("3/5/1.delta").unwrap(), "version 1");
    swap(storage.read("3/5/2.snapshot").unwrap(), "kind 2");
    let elsewhere: Arc<MemoryStorage> = Arc::default();
    let provider = kind.provider(&elsewhere, options());
    let foreign = StateStoreId::new(3, 6);
    let mut store = block_on(provider.open(&foreign, &counts_by_window(), 0)).unwrap();
    for _ in 0..3 {
        block_on(store.commit()).unwrap();
    }
    swap(elsewhere.read("3/6/3.delta").unwrap(), "another store");
    let mut store =
        block_on(provider.open(&StateStoreId::new(3, 5), &counts_by_window(), 0)).unwrap();
    for _ in 0..3 {
        block_on(store.commit()).unwrap();
    }
    swap(elsewhere.read("3/5/3.delta").unwrap(), "does not continue");
    storage.write("3/5/3.delta", third);
    assert!(load(kind, &storage, 3).is_ok());
}
