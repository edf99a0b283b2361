//! Checkpoints that Spark 4.3.0 wrote, read and written again.
//!
//! `fixtures/spark-4.3.0/generate.py` made them and says which query each one is of. They stay as
//! they are: whatever a later release writes, it must go on reading these.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::{
    fs,
    num::NonZeroU64,
    path::{Path, PathBuf},
    sync::Arc,
};

use millstream_checkpoint::{
    CheckpointDir, CommitMetadata, CompactEntry, CompactLog, CompactLogOptions, Faults, FileEntry,
    LogEntry, NextBatch, OffsetSeq, SinkLog, SourceLog, StorageRef,
    storage::{LocalStorage, open, subdir},
};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/spark-4.3.0")
}

fn fixture(name: &str) -> StorageRef {
    Arc::new(LocalStorage::new(fixtures().join(name)).unwrap())
}

/// A copy in memory, to write into.
async fn copy(name: &str) -> CheckpointDir {
    let copy = open(&format!(
        "memory://copy-of-{name}/{:?}",
        std::thread::current().id()
    ))
    .unwrap();
    let original = fixture(name);
    copy.put("metadata", original.get("metadata").await.unwrap())
        .await
        .unwrap();
    for folder in ["offsets", "commits"] {
        for file in original.list(folder).await.unwrap() {
            let path = format!("{folder}/{}", file.name);
            copy.put(&path, original.get(&path).await.unwrap())
                .await
                .unwrap();
        }
    }
    CheckpointDir::new(copy, Faults::none())
}

/// The texts of the files `*/<folder>/*`, with their paths.
fn texts(folder: &str) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    for checkpoint in fs::read_dir(fixtures()).unwrap() {
        let folder = checkpoint.unwrap().path().join(folder);
        for file in fs::read_dir(folder).into_iter().flatten() {
            let path = file.unwrap().path();
            texts.push((
                path.display().to_string(),
                fs::read_to_string(&path).unwrap(),
            ));
        }
    }
    texts.sort();
    texts
}

/// How many of the records are of version 1, all of which must be written as they were.
fn written_as_read<T: LogEntry>(folder: &str) -> usize {
    let mut same = 0;
    for (path, text) in texts(folder) {
        let record = T::decode(&text).unwrap_or_else(|e| panic!("{path}: {e}"));
        if text.starts_with("v1") {
            assert_eq!(record.encode().unwrap(), text, "{path}");
            same += 1;
        }
    }
    same
}

#[test]
fn offset_records_are_written_as_spark_wrote_them() {
    assert!(written_as_read::<OffsetSeq>("offsets") > 20);
}

#[test]
fn commit_records_are_written_as_spark_wrote_them() {
    assert!(written_as_read::<CommitMetadata>("commits") > 20);
}

#[tokio::test]
async fn metadata_is_written_as_spark_wrote_it() {
    for name in [
        "rate",
        "files",
        "windowed",
        "offsets-v2",
        "commits-v2",
        "commits-v3",
    ] {
        let text = fixture(name).get("metadata").await.unwrap();
        let metadata = copy(name).await.metadata().await.unwrap().unwrap();
        assert_eq!(metadata.encode(), text, "{name}");
    }
}

#[tokio::test]
async fn source_without_data_has_no_offset() {
    let latest = copy("windowed")
        .await
        .offsets()
        .latest()
        .await
        .unwrap()
        .unwrap()
        .1;
    assert_eq!(
        latest.offsets,
        [Some(r#"{"logOffset":2}"#.to_owned()), None]
    );
    latest.check_sources(2).unwrap();
    assert_eq!(latest.metadata.conf["spark.sql.shuffle.partitions"], "2");
}

#[tokio::test]
async fn finished_query_goes_on_with_the_next_batch_and_its_watermark() {
    for (name, expected, watermark) in [
        ("rate", 4, 0),
        ("files", 13, 0),
        ("windowed", 4, 1_704_067_380_000),
        ("offsets-v2", 2, 0),
        ("commits-v2", 2, 1_704_067_380_000),
        ("commits-v3", 1, 0),
    ] {
        let checkpoint = CheckpointDir::new(fixture(name), Faults::none());
        match checkpoint.recover().await.unwrap() {
            NextBatch::Fresh {
                batch_id,
                watermark_ms,
                ..
            } => {
                assert_eq!((batch_id, watermark_ms), (expected, watermark), "{name}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn query_that_died_before_its_commit_runs_the_batch_again() {
    let checkpoint = copy("files").await;
    checkpoint.storage().delete("commits/12").await.unwrap();
    let next = checkpoint.recover().await.unwrap();
    let NextBatch::Rerun {
        batch_id: 12,
        offsets,
        previous: Some(previous),
        last_committed,
        watermark_ms: _,
    } = next
    else {
        panic!("{next:?}")
    };
    assert_eq!(offsets.offsets, [Some(r#"{"logOffset":12}"#.to_owned())]);
    assert_eq!(previous.offsets, [Some(r#"{"logOffset":11}"#.to_owned())]);
    assert_eq!(last_committed, Some(11));
}

#[tokio::test]
async fn version_2_offsets_go_on_as_version_1() {
    let checkpoint = copy("offsets-v2").await;
    let latest = checkpoint.offsets().latest().await.unwrap().unwrap().1;
    assert_eq!(latest.offsets, [Some(r#"{"logOffset":1}"#.to_owned())]);
    let v2 = checkpoint.storage().get("offsets/1").await.unwrap();
    let v2 = std::str::from_utf8(&v2).unwrap();
    let v1 = v2
        .replacen("v2", "v1", 1)
        .replacen(r#","sourceMetadataInfo":{}"#, "", 1)
        .replacen("\n0:", "\n", 1);
    assert_eq!(latest.encode().unwrap(), v1);
}

fn every(interval: u64) -> CompactLogOptions {
    let compact_interval = NonZeroU64::new(interval).unwrap();
    CompactLogOptions {
        compact_interval,
        ..CompactLogOptions::default()
    }
}

/// Adds `batches` to an empty log, whose files must then be those of the fixture.
async fn adds_up_to<T: CompactEntry>(original: &StorageRef, batches: Vec<Vec<T>>) {
    let folder = tempfile::tempdir().unwrap();
    let ours: StorageRef = Arc::new(LocalStorage::new(folder.path()).unwrap());
    let log = CompactLog::open(ours.clone(), every(10), Faults::none())
        .await
        .unwrap();
    for (id, entries) in batches.into_iter().enumerate() {
        log.add(id as u64, entries, 0).await.unwrap();
    }
    let mut compared = 0;
    for file in original.list("").await.unwrap() {
        let expected = original.get(&file.name).await.unwrap();
        assert_eq!(
            ours.get(&file.name).await.unwrap(),
            expected,
            "{}",
            file.name
        );
        compared += 1;
    }
    assert_eq!(ours.list("").await.unwrap().len(), compared);
}

#[tokio::test]
async fn source_log_is_written_as_spark_wrote_it() {
    let original = subdir(&fixture("files"), "sources/0");
    let log = SourceLog::open(original.clone(), every(10), Faults::none())
        .await
        .unwrap();
    let all = log.all_files(0).await.unwrap();
    assert_eq!(all.len(), 13);
    assert_eq!(all, log.files(0, 12).await.unwrap());
    adds_up_to(&original, all.into_iter().map(|file| vec![file]).collect()).await;
}

#[tokio::test]
async fn sink_log_is_written_as_spark_wrote_it() {
    let original = subdir(&fixture("files-out"), "_spark_metadata");
    let log = SinkLog::open(original.clone(), every(10), Faults::none())
        .await
        .unwrap();
    let all = log.all_files(0).await.unwrap();
    assert_eq!(all.len(), 13);
    assert!(
        all.iter()
            .all(|file| file.path.starts_with("file:///") && file.size > 0)
    );
    adds_up_to(&original, all.into_iter().map(|file| vec![file]).collect()).await;
}

#[tokio::test]
async fn escaped_names_survive() {
    let original = subdir(&fixture("escaped"), "sources/0");
    let log = SourceLog::open(original.clone(), every(10), Faults::none())
        .await
        .unwrap();
    let all: Vec<FileEntry> = log.all_files(0).await.unwrap();
    assert!(
        all[0].path.ends_with("/odd%20names/a%20b%25c+ü.json"),
        "{}",
        all[0].path
    );
    adds_up_to(&original, vec![all]).await;
}

#[tokio::test]
async fn log_that_spark_cleaned_up_is_read_and_gone_on_with() {
    let original = subdir(&fixture("retained-out"), "_spark_metadata");
    let log = SinkLog::open(original.clone(), every(10), Faults::none())
        .await
        .unwrap();
    let names: Vec<_> = original
        .list("")
        .await
        .unwrap()
        .into_iter()
        .map(|f| f.name)
        .collect();
    assert!(!names.contains(&"0".to_owned()), "{names:?}");
    assert_eq!(log.latest_id().await, Some(12));
    assert_eq!(log.all_files(0).await.unwrap().len(), 13);

    let ours = open("memory://goes-on/_spark_metadata").unwrap();
    for name in names {
        ours.put(&name, original.get(&name).await.unwrap())
            .await
            .unwrap();
    }
    // The files on disk bind the interval to 3, whatever is asked for.
    let log = SinkLog::open(ours.clone(), every(10), Faults::none())
        .await
        .unwrap();
    for id in 13..16 {
        log.add(id, vec![], 0).await.unwrap();
    }
    for (name, there) in [
        ("13", true),
        ("14.compact", true),
        ("15", true),
        ("14", false),
    ] {
        assert_eq!(ours.exists(name).await.unwrap(), there, "{name}");
    }
}
