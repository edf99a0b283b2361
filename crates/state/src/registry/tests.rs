use std::{
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::Duration,
};

use futures::{FutureExt, executor::block_on, future::join, poll};
use millstream_checkpoint::fault::{FaultAction, FaultPoint, Faults};

use super::*;
use crate::{
    StateError, StateLogOptions,
    testing::{
        Kind, MemoryStorage, counts, counts_by_user, counts_by_window, options, provider, rows,
        users,
    },
};

fn registry(storage: &Arc<MemoryStorage>, options: StateLogOptions) -> StateRegistry {
    StateRegistry::new(Arc::new(provider(storage, options)))
}

fn id() -> StateStoreId {
    StateStoreId::new(0, 0)
}

async fn run_batch(registry: &StateRegistry, version: u64, user: &str, count: i64) {
    let mut store = registry
        .checkout(&id(), &counts_by_user(), version)
        .await
        .unwrap();
    store.put(&users(&[user]), &counts(&[count])).unwrap();
    assert_eq!(store.commit().await.unwrap().version, version + 1);
}

#[test]
fn a_store_that_stands_at_the_asked_version_is_not_loaded_again() {
    block_on(async {
        let storage: Arc<MemoryStorage> = Arc::default();
        let registry = registry(&storage, options());
        run_batch(&registry, 0, "a", 1).await;
        storage.remove("0/0/1.delta");
        run_batch(&registry, 1, "b", 2).await;
        assert_eq!(registry.metrics(), RegistryMetrics { hits: 1, misses: 1 });
        let store = registry
            .checkout(&id(), &counts_by_user(), 2)
            .await
            .unwrap();
        assert_eq!(rows(&store.scan().unwrap()), ["a|1", "b|2"]);
    });
}

#[test]
fn an_abandoned_batch_leaves_the_committed_version() {
    block_on(async {
        let registry = registry(&Arc::default(), options());
        run_batch(&registry, 0, "a", 1).await;
        let mut store = registry
            .checkout(&id(), &counts_by_user(), 1)
            .await
            .unwrap();
        store.put(&users(&["a", "b"]), &counts(&[7, 7])).unwrap();
        drop(store);
        let store = registry
            .checkout(&id(), &counts_by_user(), 1)
            .await
            .unwrap();
        assert!(!store.has_changes());
        assert_eq!(rows(&store.scan().unwrap()), ["a|1"]);
        assert_eq!(registry.metrics().hits, 2, "no reload");
    });
}

#[test]
fn a_commit_that_fails_after_the_write_is_run_again_from_memory() {
    block_on(async {
        let storage: Arc<MemoryStorage> = Arc::default();
        let faults = Faults::new();
        let registry = registry(
            &storage,
            StateLogOptions {
                faults: faults.clone(),
                ..options()
            },
        );
        run_batch(&registry, 0, "a", 1).await;
        faults.arm(FaultPoint::MidStateCommit, 1, FaultAction::Fail);
        let mut store = registry
            .checkout(&id(), &counts_by_user(), 1)
            .await
            .unwrap();
        store.put(&users(&["a"]), &counts(&[7])).unwrap();
        assert!(store.commit().await.is_err());
        drop(store);
        assert!(
            storage.names().contains(&"0/0/2.delta".to_owned()),
            "durable already"
        );
        run_batch(&registry, 1, "a", 8).await;
        let store = registry
            .checkout(&id(), &counts_by_user(), 2)
            .await
            .unwrap();
        assert_eq!(rows(&store.scan().unwrap()), ["a|8"]);
    });
}

#[test]
fn an_older_version_is_loaded_from_files() {
    block_on(async {
        let registry = registry(&Arc::default(), options());
        run_batch(&registry, 0, "a", 1).await;
        run_batch(&registry, 1, "b", 2).await;
        let store = registry
            .checkout(&id(), &counts_by_user(), 1)
            .await
            .unwrap();
        assert_eq!(
            (store.version(), rows(&store.scan().unwrap())),
            (1, vec!["a|1".to_owned()])
        );
        assert_eq!(registry.metrics(), RegistryMetrics { hits: 1, misses: 2 });
    });
}

#[test]
fn another_schema_is_checked_against_the_files() {
    block_on(async {
        let registry = registry(&Arc::default(), options());
        run_batch(&registry, 0, "a", 1).await;
        let error = registry
            .checkout(&id(), &counts_by_window(), 1)
            .await
            .unwrap_err();
        assert!(
            matches!(error, StateError::KeySchemaMismatch { .. }),
            "{error}"
        );
        run_batch(&registry, 1, "b", 2).await;
    });
}

#[test]
fn the_second_owner_waits_for_the_first() {
    block_on(async {
        let registry = registry(&Arc::default(), options());
        let first = registry
            .checkout(&id(), &counts_by_user(), 0)
            .await
            .unwrap();
        let (id, schema) = (id(), counts_by_user());
        let second = registry.checkout(&id, &schema, 0).fuse();
        futures::pin_mut!(second);
        assert!(matches!(poll!(&mut second), Poll::Pending));
        let other = registry
            .checkout(&StateStoreId::new(0, 1), &counts_by_user(), 0)
            .await;
        assert!(other.is_ok(), "other partitions do not wait");
        drop(first);
        assert!(second.await.is_ok());
    });
}

#[test]
fn maintenance_writes_due_snapshots_and_deletes_what_nobody_needs() {
    block_on(async {
        let storage: Arc<MemoryStorage> = Arc::default();
        let retain = StateLogOptions {
            min_versions_to_retain: 3,
            ..options()
        };
        let registry = registry(&storage, retain);
        for version in 0..9 {
            run_batch(&registry, version, "a", 1).await;
        }
        assert_eq!(
            registry.maintain().await,
            MaintenanceSummary::default(),
            "not due at 9"
        );
        run_batch(&registry, 9, "a", 1).await;
        let first = registry.maintain().await;
        assert_eq!(
            (first.snapshots, first.files_deleted),
            (1, 0),
            "version 7 needs all deltas"
        );
        for version in 10..25 {
            run_batch(&registry, version, "a", 1).await;
        }
        let second = registry.maintain().await;
        assert_eq!(
            (second.snapshots, second.files_deleted, second.failures),
            (1, 9, 0)
        );
        assert!(!storage.names().contains(&"0/0/9.delta".to_owned()));
        let metrics = registry.store_metrics();
        assert_eq!(metrics[0].1.last_snapshot_version, Some(25));
        assert!(
            registry
                .checkout(&id(), &counts_by_user(), 22)
                .await
                .is_ok()
        );
    });
}

#[test]
fn a_store_in_use_is_captured_when_it_comes_back() {
    block_on(async {
        let storage: Arc<MemoryStorage> = Arc::default();
        let registry = registry(&storage, options());
        for version in 0..10 {
            run_batch(&registry, version, "a", 1).await;
        }
        let mut store = registry
            .checkout(&id(), &counts_by_user(), 10)
            .await
            .unwrap();
        store.put(&users(&["a"]), &counts(&[99])).unwrap();
        assert_eq!(registry.maintain().await.snapshots, 0);
        drop(store);
        assert_eq!(registry.maintain().await.snapshots, 1);
        assert!(storage.names().contains(&"0/0/10.snapshot".to_owned()));
    });
}

#[test]
fn a_failing_snapshot_is_counted_and_tried_again() {
    block_on(async {
        let storage: Arc<MemoryStorage> = Arc::default();
        let registry = registry(&storage, options());
        for version in 0..10 {
            run_batch(&registry, version, "a", 1).await;
        }
        storage.fail_in.store(1, Ordering::Relaxed);
        assert_eq!(registry.maintain().await.failures, 1);
        assert_eq!(registry.maintain().await.snapshots, 1);
    });
}

#[test]
fn a_panicking_batch_gives_its_store_back() {
    let registry = Arc::new(registry(&Arc::default(), options()));
    block_on(run_batch(&registry, 0, "a", 1));
    let panicking = Arc::clone(&registry);
    let thread = std::thread::spawn(move || {
        let mut store = block_on(panicking.checkout(&id(), &counts_by_user(), 1)).unwrap();
        store.put(&users(&["b"]), &counts(&[2])).unwrap();
        panic!("in the middle of a batch");
    });
    assert!(thread.join().is_err());
    let store = block_on(registry.checkout(&id(), &counts_by_user(), 1)).unwrap();
    assert_eq!(rows(&store.scan().unwrap()), ["a|1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_and_maintenance_run_side_by_side() {
    let storage: Arc<MemoryStorage> = Arc::default();
    let every = StateLogOptions {
        min_deltas_for_snapshot: 1,
        min_versions_to_retain: 5,
        ..options()
    };
    let registry = Arc::new(registry(&storage, every));
    let batches = async {
        for version in 0..200 {
            run_batch(
                &registry,
                version,
                &format!("user-{}", version % 20),
                version as i64,
            )
            .await;
            tokio::task::yield_now().await;
        }
    };
    let maintained = Arc::clone(&registry);
    let maintenance = tokio::spawn(async move {
        let mut snapshots = 0;
        for _ in 0..100 {
            let summary = maintained.maintain().await;
            assert_eq!(summary.failures, 0);
            snapshots += summary.snapshots;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        snapshots
    });
    let (_, snapshots) = join(batches, maintenance).await;
    assert!(snapshots.unwrap() > 1);
    registry.unload();
    for version in 195..=200 {
        let store = registry
            .checkout(&id(), &counts_by_user(), version)
            .await
            .unwrap();
        assert_eq!(store.metrics().num_keys, 20);
    }
}

#[tokio::test]
async fn maintenance_compacts_local_trees() {
    let storage = Arc::default();
    let registry = StateRegistry::new(Kind::LsmSpilling.provider(&storage, options()));
    let id = StateStoreId::new(0, 0);
    let mut compactions = 0;
    for version in 0..30 {
        let mut store = registry
            .checkout(&id, &counts_by_user(), version)
            .await
            .unwrap();
        store
            .put(&users(&["a", &version.to_string()]), &counts(&[1, 2]))
            .unwrap();
        store.commit().await.unwrap();
        drop(store);
        compactions += registry.maintain().await.compactions;
    }
    assert!(compactions > 0);
    let store = registry.checkout(&id, &counts_by_user(), 30).await.unwrap();
    assert_eq!(store.metrics().num_keys, 31);
    assert!(store.metrics().segments < 8, "{:?}", store.metrics());
}
