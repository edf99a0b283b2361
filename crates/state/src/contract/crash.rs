//! Failing puts, fault points, re-runs and stale files.
use std::sync::{Arc, atomic::Ordering};

use futures::executor::block_on;
use millstream_checkpoint::fault::{FaultAction, FaultPoint, Faults};

use crate::{
    StateError, StateLogOptions, StateSchema, StateStore, StateStoreId,
    testing::{
        Kind, MemoryStorage, counts, counts_by_user, counts_by_window, every_provider, options,
        rows, users, windows,
    },
};

every_provider!(
    whichever_write_fails_the_rerun_gives_the_same_state,
    a_failed_commit_can_be_tried_again_or_rolled_back,
    every_fault_point_fires_and_leaves_a_loadable_version,
    a_snapshot_that_fails_becomes_due_again,
    a_snapshot_shows_the_captured_version_whatever_the_store_does_meanwhile,
    a_snapshot_of_another_history_is_never_used,
    a_capture_of_another_history_is_not_written,
    retained_versions_load_after_old_files_are_removed,
    a_rewind_removes_all_that_is_newer,
);

fn open(
    kind: Kind,
    storage: &Arc<MemoryStorage>,
    options: StateLogOptions,
    schema: &StateSchema,
    version: u64,
) -> Box<dyn StateStore> {
    let provider = kind.provider(storage, options);
    block_on(provider.open(&StateStoreId::new(0, 0), schema, version)).unwrap()
}

fn every_version() -> StateLogOptions {
    StateLogOptions {
        min_deltas_for_snapshot: 1,
        ..options()
    }
}

/// Batch N of a small windowed count.
fn run_batch(store: &mut dyn StateStore, batch: i64) {
    let keys = windows(&[(batch, "a"), (batch, "b"), (batch / 2, "c")]);
    store.get(&keys).unwrap();
    store
        .put(&keys, &counts(&[batch, batch * 2, batch * 3]))
        .unwrap();
    store.evict(batch - 4).unwrap();
    store.delete(&windows(&[(batch - 1, "b")])).unwrap();
}

fn whichever_write_fails_the_rerun_gives_the_same_state(kind: Kind) {
    let expected = {
        let mut store = open(
            kind,
            &Arc::default(),
            every_version(),
            &counts_by_window(),
            0,
        );
        for batch in 0..10 {
            run_batch(store.as_mut(), batch);
            block_on(store.commit()).unwrap();
        }
        rows(&store.scan().unwrap())
    };
    for nth in 1..=40 {
        let storage: Arc<MemoryStorage> = Arc::default();
        storage.fail_in.store(nth, Ordering::Relaxed);
        let mut store = open(kind, &storage, every_version(), &counts_by_window(), 0);
        let mut batch = 0;
        while batch < 10 {
            run_batch(store.as_mut(), batch);
            let committed = match block_on(store.commit()) {
                Ok(_) => true,
                Err(error) => {
                    assert!(error.to_string().contains("the disk is full"), "{error}");
                    assert_eq!(store.version(), batch as u64);
                    false
                }
            };
            let snapshot = store.capture_snapshot().map(|task| block_on(task.write()));
            if !committed || matches!(snapshot, Some(Err(_))) {
                // The process dies here; the next one starts from what is durable.
                store = open(
                    kind,
                    &storage,
                    every_version(),
                    &counts_by_window(),
                    batch as u64,
                );
                continue;
            }
            batch += 1;
        }
        let failed = storage.fail_in.load(Ordering::Relaxed) == 0;
        assert_eq!(failed, nth <= 20, "put {nth}");
        let store = open(kind, &storage, every_version(), &counts_by_window(), 10);
        assert_eq!(rows(&store.scan().unwrap()), expected, "put {nth}");
    }
}

fn a_failed_commit_can_be_tried_again_or_rolled_back(kind: Kind) {
    let storage: Arc<MemoryStorage> = Arc::default();
    let mut store = open(kind, &storage, options(), &counts_by_user(), 0);
    store.put(&users(&["a"]), &counts(&[1])).unwrap();
    storage.fail_in.store(1, Ordering::Relaxed);
    assert!(block_on(store.commit()).is_err());
    assert_eq!(
        (store.version(), rows(&store.scan().unwrap())),
        (0, vec!["a|1".to_owned()])
    );
    assert_eq!(block_on(store.commit()).unwrap().version, 1);
    store.put(&users(&["b"]), &counts(&[2])).unwrap();
    storage.fail_in.store(1, Ordering::Relaxed);
    assert!(block_on(store.commit()).is_err());
    store.rollback();
    assert_eq!(rows(&store.scan().unwrap()), ["a|1"]);
}

fn every_fault_point_fires_and_leaves_a_loadable_version(kind: Kind) {
    let points = [
        (FaultPoint::BeforeStateCommit, 0),
        (FaultPoint::MidStateCommit, 1),
        (FaultPoint::AfterStateCommit, 1),
    ];
    for (point, durable) in points {
        let storage = Arc::default();
        let faults = Faults::new();
        faults.arm(point, 1, FaultAction::Fail);
        let options = StateLogOptions {
            faults: faults.clone(),
            ..options()
        };
        let mut store = open(kind, &storage, options.clone(), &counts_by_user(), 0);
        store.put(&users(&["a"]), &counts(&[1])).unwrap();
        let error = block_on(store.commit()).unwrap_err();
        assert!(matches!(error, StateError::Storage { .. }), "{error}");
        assert_eq!(faults.fired(), [point]);
        let provider = kind.provider(&storage, options.clone());
        let versions = block_on(provider.versions(&StateStoreId::new(0, 0))).unwrap();
        assert_eq!(versions.len(), durable, "{point}");
        let mut again = open(kind, &storage, options, &counts_by_user(), 0);
        again.put(&users(&["a"]), &counts(&[1])).unwrap();
        block_on(again.commit()).unwrap();
        assert_eq!(rows(&again.scan().unwrap()), ["a|1"]);
    }
}

fn a_snapshot_that_fails_becomes_due_again(kind: Kind) {
    let storage = Arc::default();
    let faults = Faults::new();
    faults.arm(FaultPoint::SnapshotWrite, 1, FaultAction::Fail);
    let options = StateLogOptions {
        faults: faults.clone(),
        ..every_version()
    };
    let mut store = open(kind, &storage, options, &counts_by_user(), 0);
    store.put(&users(&["a"]), &counts(&[1])).unwrap();
    assert!(store.capture_snapshot().is_none(), "uncommitted changes");
    block_on(store.commit()).unwrap();
    let task = store.capture_snapshot().unwrap();
    assert!(store.capture_snapshot().is_none(), "one at a time");
    assert!(block_on(task.write()).is_err());
    assert_eq!(faults.fired(), [FaultPoint::SnapshotWrite]);
    assert!(block_on(store.capture_snapshot().unwrap().write()).unwrap() > 0);
    assert_eq!(store.metrics().last_snapshot_version, Some(1));
    assert!(storage.names().contains(&"0/0/1.snapshot".to_owned()));
}

fn a_snapshot_shows_the_captured_version_whatever_the_store_does_meanwhile(kind: Kind) {
    let storage = Arc::default();
    let mut store = open(kind, &storage, every_version(), &counts_by_user(), 0);
    store.put(&users(&["a", "b"]), &counts(&[1, 2])).unwrap();
    block_on(store.commit()).unwrap();
    let task = store.capture_snapshot().unwrap();
    store.put(&users(&["a", "c"]), &counts(&[9, 9])).unwrap();
    store.delete(&users(&["b"])).unwrap();
    block_on(store.commit()).unwrap();
    block_on(task.write()).unwrap();
    storage.remove("0/0/1.delta");
    let store = open(kind, &storage, every_version(), &counts_by_user(), 1);
    assert_eq!(rows(&store.scan().unwrap()), ["a|1", "b|2"]);
}

fn a_snapshot_of_another_history_is_never_used(kind: Kind) {
    let storage: Arc<MemoryStorage> = Arc::default();
    let mut store = open(kind, &storage, every_version(), &counts_by_user(), 0);
    for count in 1..=2 {
        store.put(&users(&["a"]), &counts(&[count])).unwrap();
        block_on(store.commit()).unwrap();
    }
    block_on(store.capture_snapshot().unwrap().write()).unwrap();
    let stale = storage.read("0/0/2.snapshot").unwrap();
    // The second batch runs again and makes something else, e.g. because it draws random numbers.
    let mut store = open(kind, &storage, every_version(), &counts_by_user(), 1);
    store.put(&users(&["a"]), &counts(&[77])).unwrap();
    block_on(store.commit()).unwrap();
    assert!(
        !storage.names().contains(&"0/0/2.snapshot".to_owned()),
        "it was superseded"
    );
    // A writer of the old history finishes late.
    storage.write("0/0/2.snapshot", stale);
    store.put(&users(&["b"]), &counts(&[1])).unwrap();
    block_on(store.commit()).unwrap();
    for (version, expected) in [(2, vec!["a|77"]), (3, vec!["a|77", "b|1"])] {
        let store = open(kind, &storage, every_version(), &counts_by_user(), version);
        assert_eq!(rows(&store.scan().unwrap()), expected);
    }
}

fn a_capture_of_another_history_is_not_written(kind: Kind) {
    let storage: Arc<MemoryStorage> = Arc::default();
    let mut first = open(kind, &storage, every_version(), &counts_by_user(), 0);
    first.put(&users(&["a"]), &counts(&[1])).unwrap();
    block_on(first.commit()).unwrap();
    let late = first.capture_snapshot().unwrap();
    let mut second = open(kind, &storage, every_version(), &counts_by_user(), 0);
    second.put(&users(&["a"]), &counts(&[2])).unwrap();
    block_on(second.commit()).unwrap();
    assert_eq!(block_on(late.write()).unwrap(), 0);
    assert!(!storage.names().contains(&"0/0/1.snapshot".to_owned()));
}

fn retained_versions_load_after_old_files_are_removed(kind: Kind) {
    let storage = Arc::default();
    let options = StateLogOptions {
        min_deltas_for_snapshot: 3,
        ..options()
    };
    let provider = kind.provider(&storage, options.clone());
    let id = StateStoreId::new(0, 0);
    let mut store = open(kind, &storage, options.clone(), &counts_by_user(), 0);
    for count in 1..=20 {
        store
            .put(&users(&["a", &format!("u{count}")]), &counts(&[count, 1]))
            .unwrap();
        block_on(store.commit()).unwrap();
        if let Some(task) = store.capture_snapshot() {
            block_on(task.write()).unwrap();
        }
    }
    assert!(block_on(provider.remove_obsolete(&id, 14)).unwrap() > 10);
    let versions = block_on(provider.versions(&id)).unwrap();
    assert_eq!(versions.first(), Some(&12));
    for version in 14..=20 {
        let store = open(kind, &storage, options.clone(), &counts_by_user(), version);
        assert_eq!(store.metrics().num_keys, 1 + version);
    }
}

fn a_rewind_removes_all_that_is_newer(kind: Kind) {
    let storage = Arc::default();
    let provider = kind.provider(&storage, every_version());
    let mut store = open(kind, &storage, every_version(), &counts_by_user(), 0);
    for count in 1..=5 {
        store.put(&users(&["a"]), &counts(&[count])).unwrap();
        block_on(store.commit()).unwrap();
        block_on(store.capture_snapshot().unwrap().write()).unwrap();
    }
    let id = StateStoreId::new(0, 0);
    assert_eq!(block_on(provider.remove_newer(&id, 3)).unwrap(), 4);
    assert_eq!(block_on(provider.versions(&id)).unwrap(), [1, 2, 3]);
    let named = StateStoreId::named(0, 7, "left");
    let mut other = block_on(provider.open(&named, &counts_by_user(), 0)).unwrap();
    block_on(other.commit()).unwrap();
    assert_eq!(block_on(provider.stores()).unwrap(), [id, named]);
    assert!(storage.names().contains(&"0/7/left/1.delta".to_owned()));
}

#[tokio::test]
async fn a_checkpoint_on_disk_opens_in_the_next_process() {
    use crate::StateStoreProvider;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let storage = || millstream_checkpoint::storage::open(path.to_str().unwrap()).unwrap();
    let id = StateStoreId::named(1, 2, "left");
    let provider = crate::ColumnarLogProvider::new(storage(), every_version());
    let mut store = provider.open(&id, &counts_by_user(), 0).await.unwrap();
    for count in 1..=3 {
        store.put(&users(&["a"]), &counts(&[count])).unwrap();
        store.commit().await.unwrap();
    }
    store.capture_snapshot().unwrap().write().await.unwrap();
    assert_eq!(provider.remove_obsolete(&id, 3).await.unwrap(), 2);

    let provider = crate::ColumnarLogProvider::new(storage(), every_version());
    assert_eq!(provider.stores().await.unwrap(), std::slice::from_ref(&id));
    assert_eq!(provider.versions(&id).await.unwrap(), [3]);
    let store = provider.open(&id, &counts_by_user(), 3).await.unwrap();
    assert_eq!(rows(&store.scan().unwrap()), ["a|3"]);
}
