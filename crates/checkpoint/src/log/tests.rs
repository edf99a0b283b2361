//! A log of batches is a map: also for a second writer, after lost answers, and with a crash around any write.
use proptest::prelude::*;

use super::*;
use crate::{
    CommitMetadata, FaultAction, OffsetSeq,
    storage::{FaultyStorage, LocalStorage, Storage},
};

fn offsets(n: u64) -> OffsetSeq {
    OffsetSeq {
        offsets: vec![Some(n.to_string())],
        ..OffsetSeq::default()
    }
}

fn commit(ms: i64) -> CommitMetadata {
    CommitMetadata {
        next_batch_watermark_ms: ms,
    }
}

fn memory(name: &str) -> StorageRef {
    crate::storage::open(&format!("memory://log-{name}/offsets")).unwrap()
}

fn log<T: LogEntry>(storage: &StorageRef) -> BatchLog<T> {
    BatchLog::new(storage.clone(), "memory:///ck", Faults::none())
}

#[tokio::test]
async fn records_are_found_again_by_another_run() {
    let storage = memory("again");
    let first = log(&storage);
    assert_eq!(first.latest().await.unwrap(), None);
    for id in 0..12 {
        first.add(id, &offsets(id)).await.unwrap();
    }
    let second = log::<OffsetSeq>(&storage);
    assert_eq!(second.latest().await.unwrap(), Some((11, offsets(11))));
    assert_eq!(second.get(3).await.unwrap(), Some(offsets(3)));
    assert_eq!(second.get(12).await.unwrap(), None);
    assert_eq!(second.ids().await.unwrap(), (0..12).collect::<Vec<_>>());
}

#[tokio::test]
async fn second_writer_of_a_batch_is_told_and_changes_nothing() {
    let storage = memory("conflict");
    log(&storage).add(7, &offsets(1)).await.unwrap();
    let error = log(&storage).add(7, &offsets(2)).await.unwrap_err();
    assert_eq!(error.error_class(), Some("CONCURRENT_STREAM_LOG_UPDATE"));
    assert_eq!(error.message_parameters(), [("batchId", "7".to_owned())]);
    assert_eq!(log(&storage).get(7).await.unwrap(), Some(offsets(1)));
}

#[tokio::test]
async fn latest_after_add_does_no_io() {
    let faults = Faults::new();
    let storage = FaultyStorage::wrap(memory("cached"), faults.clone(), "");
    let log = log(&storage);
    for id in 0..3 {
        log.add(id, &offsets(id)).await.unwrap();
    }
    faults.arm(FaultPoint::FailedGet, 1, FaultAction::Fail);
    assert_eq!(log.latest().await.unwrap(), Some((2, offsets(2))));
    assert_eq!(log.get(1).await.unwrap(), Some(offsets(1)));
    assert!(log.get(0).await.is_err(), "the third last is read");
}

#[tokio::test]
async fn names_that_are_not_batch_numbers_are_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let local = LocalStorage::new(dir.path()).unwrap();
    local.put("3", "v1\n{}".into()).await.unwrap();
    for name in [
        "abc",
        "007",
        "+4",
        "-1",
        "4.tmp",
        "5.compact",
        "99999999999999999999",
    ] {
        local.put(name, "junk".into()).await.unwrap();
    }
    std::fs::write(dir.path().join(".8.crc"), "crc").unwrap();
    std::fs::create_dir(dir.path().join("9")).unwrap();
    let storage: StorageRef = std::sync::Arc::new(local);
    assert_eq!(log::<CommitMetadata>(&storage).ids().await.unwrap(), [3]);
}

#[tokio::test]
async fn damaged_record_is_reported_with_its_file_and_a_way_out() {
    let storage = memory("damaged");
    storage.put("4", "v1\n{\"batchWat".into()).await.unwrap();
    let error = log::<OffsetSeq>(&storage)
        .latest()
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("memory://log-damaged/offsets/4"), "{error}");
    assert!(error.contains("rewind"), "{error}");

    storage.put("5", "v9\n{}".into()).await.unwrap();
    let error = log::<OffsetSeq>(&storage).latest().await.unwrap_err();
    assert_eq!(
        error.error_class(),
        Some("INVALID_LOG_VERSION.MAX_SUPPORTED_VERSION")
    );
    assert_eq!(
        error.message_parameters(),
        [
            ("maxSupportedVersion", "2".to_owned()),
            ("version", "9".to_owned())
        ]
    );

    storage
        .put("6", Bytes::from_static(b"v1\n\xff\xfe"))
        .await
        .unwrap();
    let error = log::<OffsetSeq>(&storage)
        .get(6)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("UTF-8"), "{error}");

    storage.put("7", "hello".into()).await.unwrap();
    let error = log::<CommitMetadata>(&storage).get(7).await.unwrap_err();
    assert_eq!(error.error_class(), Some("MALFORMED_LOG_FILE"));
    assert_eq!(error.message_parameters(), [("text", "hello".to_owned())]);
    assert!(error.to_string().contains("delete it"), "{error}");
}

#[tokio::test]
async fn purge_keeps_the_threshold_and_what_is_above() {
    let storage = memory("purge");
    let log = log(&storage);
    for id in 0..10 {
        log.add(id, &offsets(id)).await.unwrap();
    }
    log.purge(6).await.unwrap();
    assert_eq!(log.ids().await.unwrap(), [6, 7, 8, 9]);
    log.purge(8).await.unwrap();
    assert_eq!(log.ids().await.unwrap(), [8, 9]);
    log.purge(3).await.unwrap();
    assert_eq!(log.latest().await.unwrap(), Some((9, offsets(9))));
}

#[tokio::test]
async fn purge_after_forgets_what_it_deleted() {
    let storage = memory("purge-after");
    let log = log(&storage);
    for id in 0..6 {
        log.add(id, &offsets(id)).await.unwrap();
    }
    log.purge_after(3).await.unwrap();
    assert_eq!(log.latest().await.unwrap(), Some((3, offsets(3))));
    assert_eq!(log.get(5).await.unwrap(), None);
    log.add(4, &offsets(40)).await.unwrap();
    assert_eq!(log.latest().await.unwrap(), Some((4, offsets(40))));
}

#[tokio::test]
async fn purge_after_that_dies_half_way_leaves_no_gap() {
    let storage = memory("purge-after-crash");
    let faults = Faults::new();
    let log = BatchLog::new(storage.clone(), "memory:///ck", faults.clone());
    for id in 0..6 {
        log.add(id, &commit(0)).await.unwrap();
    }
    faults.arm(FaultPoint::MidPurge, 2, FaultAction::Fail);
    assert!(log.purge_after(1).await.unwrap_err().is_injected());
    assert_eq!(log.ids().await.unwrap(), [0, 1, 2, 3]);
}

#[tokio::test]
async fn lost_answer_to_a_write_is_resolved_by_looking() {
    let faults = Faults::new();
    let inner = memory("lost");
    let storage = FaultyStorage::wrap(inner.clone(), faults.clone(), "");
    let log = log(&storage);

    faults.arm(FaultPoint::PutDoneButError, 1, FaultAction::Fail);
    log.add(0, &offsets(0)).await.unwrap();

    faults.arm(FaultPoint::PutLostAndError, 1, FaultAction::Fail);
    let error = log.add(1, &offsets(1)).await.unwrap_err();
    assert!(error.is_indeterminate(), "{error}");
    assert_eq!(
        error.error_class(),
        Some("STREAMING_CHECKPOINT_LOG_WRITE_FAILURE.OFFSET_LOG")
    );

    inner.put_new("2", "v1\n{}\n9".into()).await.unwrap();
    faults.arm(FaultPoint::PutLostAndError, 1, FaultAction::Fail);
    let error = log.add(2, &offsets(2)).await.unwrap_err();
    assert!(
        matches!(error, CheckpointError::ConcurrentUpdate { batch_id: 2, .. }),
        "{error}"
    );
    assert_eq!(faults.fired().len(), 3);
}

#[tokio::test]
async fn failed_write_names_log_batch_and_location() {
    let faults = Faults::new();
    faults.arm(FaultPoint::FailedPut, 1, FaultAction::Fail);
    let storage = FaultyStorage::wrap(memory("failed"), faults, "");
    let log = log::<CommitMetadata>(&storage);
    let error = log.add(3, &commit(1)).await.unwrap_err();
    assert_eq!(
        error.error_class(),
        Some("STREAMING_CHECKPOINT_LOG_WRITE_FAILURE.COMMIT_LOG")
    );
    assert_eq!(
        error.message_parameters(),
        [
            ("batchId", "3".to_owned()),
            ("checkpointLocation", "memory:///ck".to_owned())
        ]
    );
    assert_eq!(
        log.latest().await.unwrap(),
        None,
        "a failed record is not remembered"
    );
}

#[tokio::test]
async fn fault_points_around_a_write_see_it_absent_and_present() {
    for (point, there) in [
        (FaultPoint::BeforeOffsetWrite, None),
        (FaultPoint::AfterOffsetWrite, Some(offsets(0))),
    ] {
        let storage = memory(point.name());
        let faults = Faults::new();
        faults.arm(point, 1, FaultAction::Fail);
        let armed = BatchLog::new(storage.clone(), "memory:///ck", faults.clone());
        assert!(armed.add(0, &offsets(0)).await.unwrap_err().is_injected());
        assert_eq!(faults.fired(), [point]);
        assert_eq!(log(&storage).get(0).await.unwrap(), there, "{point}");
    }
}

proptest! {
    /// Whatever is added, purged and rewound, the log holds what a map would.
    #[test]
    fn log_behaves_like_a_map(steps in prop::collection::vec((0u8..4, 0u64..12), 1..40), seed: u64) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let storage = memory(&format!("model-{seed}"));
            storage.delete_dir("").await.unwrap();
            let mut log = log(&storage);
            let mut model = std::collections::BTreeMap::new();
            for (step, n) in steps {
                match step {
                    0 => {
                        let next = model.last_key_value().map_or(0, |(id, _)| *id + 1);
                        log.add(next, &offsets(n)).await.unwrap();
                        model.insert(next, offsets(n));
                    }
                    1 => {
                        log.purge(n).await.unwrap();
                        model.retain(|id, _| *id >= n);
                    }
                    2 => {
                        log.purge_after(n).await.unwrap();
                        model.retain(|id, _| *id <= n);
                    }
                    _ => log = BatchLog::new(storage.clone(), "memory:///ck", Faults::none()),
                }
                let latest = log.latest().await.unwrap();
                assert_eq!(latest, model.last_key_value().map(|(id, entry)| (*id, entry.clone())));
            }
            for (id, entry) in &model {
                assert_eq!(log.get(*id).await.unwrap().as_ref(), Some(entry));
            }
            assert!(log.ids().await.unwrap().iter().eq(model.keys()));
        });
    }
}
