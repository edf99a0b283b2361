//! The folder of a checkpoint: its id, recovery from the files that are there, purging, and going back to an earlier batch.
use super::*;
use crate::{FaultAction, FaultPoint, storage::open};

fn checkpoint(name: &str) -> CheckpointDir {
    CheckpointDir::new(
        open(&format!("memory://dir-{name}/ck")).unwrap(),
        Faults::none(),
    )
}

fn offsets(n: u64) -> OffsetSeq {
    OffsetSeq {
        offsets: vec![Some(n.to_string())],
        ..OffsetSeq::default()
    }
}

async fn run(checkpoint: &CheckpointDir, batches: impl IntoIterator<Item = u64>) {
    for id in batches {
        checkpoint.offsets().add(id, &offsets(id)).await.unwrap();
        checkpoint
            .commits()
            .add(id, &CommitMetadata::default())
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn query_keeps_the_id_it_got_first() {
    let first = Uuid::from_u128(1);
    let checkpoint = checkpoint("id");
    assert_eq!(checkpoint.metadata().await.unwrap(), None);
    assert_eq!(
        checkpoint.metadata_or_create(first, true).await.unwrap().id,
        first
    );
    let again = checkpoint
        .metadata_or_create(Uuid::from_u128(2), true)
        .await
        .unwrap();
    assert_eq!(again.id, first);
}

#[tokio::test]
async fn logs_without_metadata_are_refused_unless_the_check_is_off() {
    let checkpoint = checkpoint("no-metadata");
    checkpoint
        .commits()
        .add(0, &CommitMetadata::default())
        .await
        .unwrap();
    let error = checkpoint
        .metadata_or_create(Uuid::from_u128(1), true)
        .await
        .unwrap_err();
    assert_eq!(
        error.error_class(),
        Some("STREAMING_CHECKPOINT_MISSING_METADATA_FILE")
    );
    assert_eq!(
        error.message_parameters(),
        [(
            "checkpointLocation",
            "memory://dir-no-metadata/ck".to_owned()
        )]
    );
    let made = checkpoint
        .metadata_or_create(Uuid::from_u128(1), false)
        .await
        .unwrap();
    assert_eq!(made.id, Uuid::from_u128(1));
}

#[tokio::test]
async fn garbled_metadata_is_refused_with_its_path() {
    let checkpoint = checkpoint("garbled");
    checkpoint
        .storage()
        .put("metadata", "{nope".into())
        .await
        .unwrap();
    let error = checkpoint
        .metadata_or_create(Uuid::from_u128(1), true)
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("memory://dir-garbled/ck/metadata"),
        "{error}"
    );
}

#[tokio::test]
async fn recovery_follows_the_files() {
    let checkpoint = checkpoint("recover");
    assert_eq!(checkpoint.recover().await.unwrap(), NextBatch::First);
    run(&checkpoint, 0..3).await;
    assert_eq!(checkpoint.recover().await.unwrap().batch_id(), 3);
    checkpoint.offsets().add(3, &offsets(3)).await.unwrap();
    let next = checkpoint.recover().await.unwrap();
    assert!(
        matches!(&next, NextBatch::Rerun { batch_id: 3, offsets: record, previous: Some(from), .. }
            if *record == offsets(3) && *from == offsets(2)),
        "{next:?}"
    );
}

#[tokio::test]
async fn purge_keeps_as_many_batches_as_spark_does() {
    let checkpoint = checkpoint("purge");
    for id in 0..34 {
        checkpoint.offsets().add(id, &offsets(id)).await.unwrap();
        checkpoint.purge(id, 4).await.unwrap();
        checkpoint
            .commits()
            .add(id, &CommitMetadata::default())
            .await
            .unwrap();
    }
    // Seen in Spark's folders with minBatchesToRetain=4 after batch 33.
    let kept: Vec<u64> = (29..34).collect();
    assert_eq!(checkpoint.offsets().ids().await.unwrap(), kept);
    assert_eq!(checkpoint.commits().ids().await.unwrap(), kept);
}

#[tokio::test]
async fn retaining_nothing_still_leaves_a_checkpoint_that_can_be_resumed() {
    let checkpoint = checkpoint("purge-all");
    for id in 0..5 {
        checkpoint.offsets().add(id, &offsets(id)).await.unwrap();
        checkpoint.purge(id, 0).await.unwrap();
        assert_eq!(checkpoint.recover().await.unwrap().batch_id(), id);
        checkpoint
            .commits()
            .add(id, &CommitMetadata::default())
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn rewind_makes_an_earlier_batch_the_latest() {
    let checkpoint = checkpoint("rewind");
    run(&checkpoint, 0..8).await;
    checkpoint.offsets().add(8, &offsets(8)).await.unwrap();
    checkpoint.rewind(4).await.unwrap();
    let next = checkpoint.recover().await.unwrap();
    assert!(
        matches!(&next, NextBatch::Fresh { batch_id: 5, previous, .. }
        if *previous == offsets(4)),
        "{next:?}"
    );
    run(&checkpoint, 5..7).await;
}

#[tokio::test]
async fn rewind_to_a_batch_that_is_not_there_deletes_nothing() {
    let checkpoint = checkpoint("rewind-missing");
    run(&checkpoint, 0..3).await;
    checkpoint.offsets().add(3, &offsets(3)).await.unwrap();
    for batch_id in [3, 9] {
        let error = checkpoint.rewind(batch_id).await.unwrap_err();
        assert!(
            error
                .to_string()
                .contains(&format!("/{batch_id} does not exist")),
            "{error}"
        );
    }
    assert_eq!(checkpoint.recover().await.unwrap().batch_id(), 3);
}

/// A rewind that dies after any of its deletions leaves a checkpoint that can be resumed.
#[tokio::test]
async fn rewind_can_be_cut_off_anywhere() {
    for deletion in 1..=6 {
        let faults = Faults::new();
        let root = open(&format!("memory://dir-rewind-cut-{deletion}/ck")).unwrap();
        let checkpoint = CheckpointDir::new(root, faults.clone());
        run(&checkpoint, 0..6).await;
        faults.arm(FaultPoint::MidPurge, deletion, FaultAction::Fail);
        assert!(checkpoint.rewind(2).await.unwrap_err().is_injected());
        let next = checkpoint.recover().await.unwrap();
        assert!(
            (3..=5).contains(&next.batch_id()),
            "deletion {deletion}: {next:?}"
        );
    }
}

#[tokio::test]
async fn folders_lie_where_spark_has_them() {
    let checkpoint = checkpoint("layout");
    run(&checkpoint, 0..1).await;
    checkpoint
        .source(1)
        .put_new("0", Bytes::new())
        .await
        .unwrap();
    checkpoint
        .state()
        .put_new("0/1/x", Bytes::new())
        .await
        .unwrap();
    let root = checkpoint.storage();
    for path in ["offsets/0", "commits/0", "sources/1/0", "state/0/1/x"] {
        assert!(root.exists(path).await.unwrap(), "{path}");
    }
    assert_eq!(
        checkpoint.source(1).url(),
        "memory://dir-layout/ck/sources/1"
    );
}
