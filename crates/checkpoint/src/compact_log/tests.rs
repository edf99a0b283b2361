//! Compacted logs: what every record holds, what readers make of damage and holes, and when superseded records go.
use proptest::prelude::*;

use super::*;
use crate::{FaultAction, FileEntry, SinkFileStatus, SinkLog, SourceLog, storage::FaultyStorage};

fn storage(name: &str) -> StorageRef {
    crate::storage::open(&format!("memory://compact-{name}/log")).unwrap()
}

fn every(interval: u64) -> CompactLogOptions {
    let compact_interval = NonZeroU64::new(interval).unwrap();
    CompactLogOptions {
        compact_interval,
        ..CompactLogOptions::default()
    }
}

async fn open<T: CompactEntry>(storage: &StorageRef, options: CompactLogOptions) -> CompactLog<T> {
    CompactLog::open(storage.clone(), options, Faults::none())
        .await
        .unwrap()
}

fn file(batch_id: BatchId) -> FileEntry {
    FileEntry {
        path: format!("file:///in/{batch_id}.json"),
        timestamp: 5,
        batch_id,
    }
}

fn output(name: u64, modified_ms: i64) -> SinkFileStatus {
    SinkFileStatus::added(format!("file:///out/{name}.json"), 16, modified_ms)
}

async fn add_files(log: &SourceLog, ids: impl IntoIterator<Item = BatchId>) {
    for id in ids {
        log.add(id, vec![file(id)], 0).await.unwrap();
    }
}

async fn names(storage: &StorageRef) -> Vec<String> {
    let mut names: Vec<_> = storage
        .list("")
        .await
        .unwrap()
        .into_iter()
        .map(|file| file.name)
        .collect();
    names.sort_by_key(|name| {
        name.trim_end_matches(COMPACT_SUFFIX)
            .parse::<u64>()
            .unwrap()
    });
    names
}

async fn paths(log: &SourceLog) -> Vec<BatchId> {
    log.all_files(0)
        .await
        .unwrap()
        .into_iter()
        .map(|file| file.batch_id)
        .collect()
}

#[tokio::test]
async fn every_third_record_holds_all_before_it() {
    let storage = storage("third");
    let log = open(&storage, every(3)).await;
    add_files(&log, 0..7).await;
    assert_eq!(
        names(&storage).await,
        ["0", "1", "2.compact", "3", "4", "5.compact", "6"]
    );
    let compacted = storage.get("5.compact").await.unwrap();
    let text = std::str::from_utf8(&compacted).unwrap();
    assert_eq!(text.lines().count(), 7);
    assert!(
        text.starts_with("v1\n{\"path\":\"file:///in/0.json\",\"timestamp\":5,\"batchId\":0}\n")
    );
    assert_eq!(paths(&log).await, [0, 1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn reading_all_costs_the_latest_compacted_record_and_those_after_it() {
    let inner = storage("cost");
    add_files(&open(&inner, every(10)).await, 0..23).await;
    let faults = Faults::new();
    // 19.compact, 20, 21, 22; the fifth read would fail.
    faults.arm(FaultPoint::FailedGet, 5, FaultAction::Fail);
    let log = open::<FileEntry>(&FaultyStorage::wrap(inner, faults.clone(), ""), every(10)).await;
    assert_eq!(log.all_files(0).await.unwrap().len(), 23);
    assert!(faults.fired().is_empty());
}

#[tokio::test]
async fn second_writer_of_a_batch_is_told() {
    let storage = storage("conflict");
    let (one, two): (SourceLog, SourceLog) = (
        open(&storage, every(3)).await,
        open(&storage, every(3)).await,
    );
    add_files(&one, 0..2).await;
    let error = two.add(0, vec![file(0)], 0).await.unwrap_err();
    assert!(
        matches!(error, CheckpointError::ConcurrentUpdate { batch_id: 0, .. }),
        "{error}"
    );
    let error = one.add(1, vec![file(1)], 0).await.unwrap_err();
    assert_eq!(error.error_class(), Some("CONCURRENT_STREAM_LOG_UPDATE"));
}

#[tokio::test]
async fn changed_interval_takes_effect_where_the_files_allow() {
    let storage = storage("interval");
    add_files(&open(&storage, every(4)).await, 0..6).await;
    let log = open(&storage, every(2)).await;
    add_files(&log, 6..10).await;
    assert_eq!(
        names(&storage).await,
        [
            "0",
            "1",
            "2",
            "3.compact",
            "4",
            "5",
            "6",
            "7.compact",
            "8",
            "9.compact"
        ]
    );
    assert_eq!(paths(&log).await, (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn log_that_starts_late_starts_compacted() {
    let storage = storage("late");
    let log = open(&storage, every(10)).await;
    add_files(&log, 13..30).await;
    // As Spark goes on from a lone 13.compact with the same setting.
    let compacts: Vec<_> = names(&storage)
        .await
        .into_iter()
        .filter(|name| name.ends_with(".compact"))
        .collect();
    assert_eq!(compacts, ["13.compact", "27.compact"]);
    assert_eq!(paths(&log).await, (13..30).collect::<Vec<_>>());
}

#[tokio::test]
async fn hole_in_the_batches_is_bridged_by_a_compacted_record() {
    let storage = storage("hole");
    let log = open(&storage, every(10)).await;
    add_files(&log, (0..12).chain(20..33)).await;
    let expected: Vec<_> = (0..12).chain(20..33).collect();
    assert_eq!(paths(&log).await, expected);
    assert_eq!(paths(&open(&storage, every(10)).await).await, expected);
}

#[tokio::test]
async fn missing_record_is_named_with_what_needs_it() {
    let storage = storage("missing");
    add_files(&open(&storage, every(10)).await, 0..13).await;
    storage.delete("9.compact").await.unwrap();
    for id in 0..9 {
        storage.delete(&id.to_string()).await.unwrap();
    }
    let error = open::<FileEntry>(&storage, every(10))
        .await
        .all_files(0)
        .await
        .unwrap_err();
    assert_eq!(error.error_class(), Some("BATCH_METADATA_NOT_FOUND"));
    let text = error.to_string();
    assert!(
        text.contains("log/9.compact") && text.contains("batch 12"),
        "{text}"
    );
}

#[tokio::test]
async fn damaged_record_is_named_with_its_line() {
    let storage = storage("damaged");
    storage
        .put(
            "0",
            "v1\n{\"path\":\"a\",\"timestamp\":1,\"batchId\":0}\n{nope".into(),
        )
        .await
        .unwrap();
    let log = open::<FileEntry>(&storage, every(10)).await;
    let error = log.all_files(0).await.unwrap_err().to_string();
    assert!(
        error.contains("log/0") && error.contains("line 3"),
        "{error}"
    );
    storage.put("0", "v2\n".into()).await.unwrap();
    let error = log.all_files(0).await.unwrap_err();
    assert_eq!(
        error.error_class(),
        Some("INVALID_LOG_VERSION.MAX_SUPPORTED_VERSION")
    );
    storage.put("0", Bytes::new()).await.unwrap();
    assert!(
        log.all_files(0)
            .await
            .unwrap_err()
            .to_string()
            .contains("empty")
    );
}

#[tokio::test]
async fn superseded_records_are_deleted_when_old_enough_and_out_of_retention() {
    let storage = storage("cleanup");
    let options = CompactLogOptions {
        min_batches_to_retain: 4,
        ..every(3)
    };
    let log = open(&storage, options).await;
    let now = storage_now(&storage).await;
    for id in 0..34 {
        log.add(id, vec![file(id)], now).await.unwrap();
    }
    assert_eq!(
        names(&storage).await.len(),
        34,
        "nothing is older than the delay"
    );
    log.add(34, vec![file(34)], now + options.cleanup_delay_ms + 60_000)
        .await
        .unwrap();
    // Spark keeps the same for batch 33; 34 moves neither bound.
    assert_eq!(
        names(&storage).await,
        ["29.compact", "30", "31", "32.compact", "33", "34"]
    );
    assert_eq!(paths(&log).await, (0..35).collect::<Vec<_>>());
}

async fn storage_now(storage: &StorageRef) -> i64 {
    storage.put("probe", Bytes::new()).await.unwrap();
    let now = storage.list("").await.unwrap()[0].modified_ms;
    storage.delete("probe").await.unwrap();
    now
}

#[tokio::test]
async fn deletion_can_be_switched_off() {
    let storage = storage("keep");
    let options = CompactLogOptions {
        min_batches_to_retain: 1,
        cleanup_delay_ms: 0,
        deletion: false,
        ..every(2)
    };
    let log = open(&storage, options).await;
    for id in 0..9 {
        log.add(id, vec![file(id)], i64::MAX).await.unwrap();
    }
    assert_eq!(names(&storage).await.len(), 9);
}

#[tokio::test]
async fn entries_out_of_retention_vanish_at_the_next_compaction_and_from_reads() {
    let storage = storage("retention");
    let options = CompactLogOptions {
        retention_ms: Some(100),
        ..every(3)
    };
    let log: SinkLog = open(&storage, options).await;
    for id in 0..4 {
        let ms = id as i64 * 60;
        log.add(id, vec![output(id, ms)], ms).await.unwrap();
    }
    let compacted = storage.get("2.compact").await.unwrap();
    let text = std::str::from_utf8(&compacted).unwrap();
    assert!(
        !text.contains("/0.json") && text.contains("/1.json") && text.contains("/2.json"),
        "{text}"
    );
    assert_eq!(
        log.all_files(180).await.unwrap(),
        [output(2, 120), output(3, 180)]
    );
    assert_eq!(log.all_files(281).await.unwrap(), []);
}

#[tokio::test]
async fn deleted_output_is_not_visible_and_leaves_with_compaction() {
    let storage = storage("deleted");
    let log: SinkLog = open(&storage, every(3)).await;
    log.add(0, vec![output(0, 1), output(1, 1)], 0)
        .await
        .unwrap();
    let gone = SinkFileStatus {
        action: "delete".into(),
        ..output(0, 1)
    };
    log.add(1, vec![gone], 0).await.unwrap();
    assert_eq!(log.all_files(0).await.unwrap(), [output(1, 1)]);
    log.add(2, vec![output(2, 1)], 0).await.unwrap();
    let compacted = storage.get("2.compact").await.unwrap();
    assert!(!std::str::from_utf8(&compacted).unwrap().contains("/0.json"));
    assert_eq!(
        log.all_files(0).await.unwrap(),
        [output(1, 1), output(2, 1)]
    );
}

#[tokio::test]
async fn batch_without_files_is_recorded_all_the_same() {
    let storage = storage("empty-batch");
    let log: SinkLog = open(&storage, every(3)).await;
    log.add(0, vec![], 0).await.unwrap();
    assert_eq!(storage.get("0").await.unwrap(), "v1");
    assert_eq!(log.latest_id().await, Some(0));
    assert_eq!(log.all_files(0).await.unwrap(), []);
}

#[tokio::test]
async fn files_of_a_range_come_from_records_or_from_what_superseded_them() {
    let storage = storage("range");
    add_files(&open(&storage, every(5)).await, 0..8).await;
    for id in 0..4 {
        storage.delete(&id.to_string()).await.unwrap();
    }
    let log: SourceLog = open(&storage, every(5)).await;
    assert_eq!(
        log.files(2, 6).await.unwrap(),
        [file(2), file(3), file(4), file(5), file(6)]
    );
    assert_eq!(log.files(4, 4).await.unwrap(), [file(4)]);
    assert_eq!(log.files(7, 6).await.unwrap(), []);
    let error = log.files(7, 8).await.unwrap_err();
    assert!(
        matches!(&error, CheckpointError::MissingRecord { path, .. } if path.ends_with("/8")),
        "{error}"
    );
}

#[tokio::test]
async fn files_just_recorded_are_served_from_memory() {
    let faults = Faults::new();
    let storage = FaultyStorage::wrap(storage("recent"), faults.clone(), "");
    let log = open(&storage, every(2)).await;
    add_files(&log, 0..2).await;
    faults.arm(FaultPoint::FailedGet, 1, FaultAction::Fail);
    assert_eq!(log.files(0, 1).await.unwrap(), [file(0), file(1)]);
}

#[tokio::test]
async fn reader_sees_what_a_writer_elsewhere_adds() {
    let storage = storage("reader");
    let reader: SourceLog = open(&storage, every(2)).await;
    assert!(paths(&reader).await.is_empty());
    add_files(&open(&storage, every(2)).await, 0..3).await;
    assert_eq!(reader.latest_id().await, None);
    assert_eq!(paths(&reader).await, [0, 1, 2]);
    assert_eq!(reader.latest_id().await, Some(2));
}

#[tokio::test]
async fn fault_points_of_a_source_log_surround_the_write() {
    for (point, there) in [
        (FaultPoint::BeforeSourceLogWrite, None),
        (FaultPoint::AfterSourceLogWrite, Some(0)),
    ] {
        let storage = storage(point.name());
        let faults = Faults::new();
        faults.arm(point, 1, FaultAction::Fail);
        let log: SourceLog = CompactLog::open(storage.clone(), every(2), faults)
            .await
            .unwrap();
        assert!(
            log.add(0, vec![file(0)], 0)
                .await
                .unwrap_err()
                .is_injected()
        );
        assert_eq!(
            open::<FileEntry>(&storage, every(2))
                .await
                .latest_id()
                .await,
            there
        );
    }
}

proptest! {
    /// Whatever the intervals of successive runs and the clean-up, no entry is lost or doubled.
    #[test]
    fn all_files_are_all_that_were_added(
        runs in prop::collection::vec((1u64..7, 1u64..9), 1..5),
        retained in 1u64..6,
        seed: u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let storage = storage(&format!("model-{seed}"));
            storage.delete_dir("").await.unwrap();
            let mut next = 0;
            for (interval, batches) in runs {
                let options = CompactLogOptions {
                    min_batches_to_retain: retained,
                    cleanup_delay_ms: 0,
                    ..every(interval)
                };
                let log: SourceLog = open(&storage, options).await;
                for _ in 0..batches {
                    log.add(next, vec![file(next)], i64::MAX).await.unwrap();
                    next += 1;
                }
                let all = log.all_files(0).await.unwrap();
                assert_eq!(all, (0..next).map(file).collect::<Vec<_>>());
                let last = next.saturating_sub(retained);
                let tail = log.files(last, next - 1).await.unwrap();
                assert_eq!(tail, (last..next).map(file).collect::<Vec<_>>());
            }
        });
    }
}
