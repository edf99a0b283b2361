use std::sync::Arc;

use datafusion::arrow::{
    array::{ArrayRef, Int64Array, RecordBatch},
    datatypes::{DataType, Field, Schema},
};
use millstream_checkpoint::{
    CommitMetadata, OffsetSeq, OperatorInfo, OperatorMetadata, STATE_PARTITIONS, StateStoreInfo,
};
use millstream_engine::query::RestartReport;
use millstream_spark::streaming::Rehearsed;
use millstream_state::{PartitionedStore, StateSchema, StateStoreId, StateStoreProvider};

use super::{state::provider, *};

fn column(name: &str) -> Arc<Schema> {
    Arc::new(Schema::new(vec![Field::new(name, DataType::Int64, true)]))
}

fn counts() -> StateSchema {
    StateSchema::new(column("k"), column("n"))
}

fn record(offset: i64, partitions: &str) -> OffsetSeq {
    let mut record = OffsetSeq {
        offsets: vec![Some(format!("{{\"logOffset\":{offset}}}"))],
        ..Default::default()
    };
    let conf = &mut record.metadata.conf;
    conf.insert(STATE_PARTITIONS.to_string(), partitions.to_string());
    record
}

/// Three committed batches of a query with one store of one key more a batch.
async fn checkpoint(folder: &tempfile::TempDir) -> CheckpointDir {
    let root = storage::open(folder.path().to_str().unwrap()).unwrap();
    let dir = CheckpointDir::new(root, Faults::none());
    dir.metadata_or_create(
        "00000000-0000-0000-0000-000000000000".parse().unwrap(),
        true,
    )
    .await
    .unwrap();
    let schema = counts();
    let provider = provider(&dir);
    let id = StateStoreId::new(0, 0);
    let mut store = provider.open(&id, &schema, 0).await.unwrap();
    for batch in 0..3_i64 {
        let mut record = record(batch, "1");
        record.metadata.batch_watermark_ms = batch * 1000;
        dir.offsets().add(batch as u64, &record).await.unwrap();
        let one = |schema: Arc<Schema>| {
            let values: ArrayRef = Arc::new(Int64Array::from(vec![batch]));
            RecordBatch::try_new(schema, vec![values]).unwrap()
        };
        store.put(&one(column("k")), &one(column("n"))).unwrap();
        store.commit().await.unwrap();
        let commit = CommitMetadata {
            next_batch_watermark_ms: (batch + 1) * 1000,
        };
        dir.commits().add(batch as u64, &commit).await.unwrap();
    }
    dir
}

/// The same, with a fourth batch that moves state from one partition to two.
async fn moved(folder: &tempfile::TempDir) -> CheckpointDir {
    let dir = checkpoint(folder).await;
    dir.offsets().add(3, &record(2, "2")).await.unwrap();
    let store = PartitionedStore {
        operator_id: 0,
        store_name: "default".to_string(),
        schema: counts(),
        placed_by: 1,
        from: 1,
        to: 2,
    };
    let move_of_state = provider(&dir);
    let done = move_of_state.repartition(&store, 3, &|| false).await;
    done.unwrap();
    let commit = CommitMetadata {
        next_batch_watermark_ms: 3000,
    };
    dir.commits().add(3, &commit).await.unwrap();
    dir
}

#[tokio::test]
async fn a_move_of_state_is_told_and_gone_back_over() {
    let folder = tempfile::tempdir().unwrap();
    moved(&folder).await;
    let location = folder.path().to_str().unwrap();
    let arguments = ShowArguments {
        dir: location.to_string(),
        batches: 1,
    };
    let text = show::show(&arguments).await.unwrap();
    assert!(text.contains("partitions=2\n"), "{text}");
    assert!(
        text.contains("state moved from 1 to 2 partitions"),
        "{text}"
    );
    let text = state::show(location).await.unwrap();
    assert!(text.ends_with("2 stores, 3 rows\n"), "{text}");
    // Begun and not finished: the second partition does not count yet.
    let commit = folder.path().join("commits/3");
    let bytes = std::fs::read(&commit).unwrap();
    std::fs::remove_file(&commit).unwrap();
    let text = show::show(&arguments).await.unwrap();
    let again = "batch 3 again, which moves state from 1 to 2 partitions";
    assert!(text.contains(again), "{text}");
    let text = state::show(location).await.unwrap();
    assert!(
        text.contains("1 stores of partitions that state was in"),
        "{text}"
    );
    std::fs::write(&commit, bytes).unwrap();
    // To the move itself, and to before it.
    rewind::rewind(&to(&folder, 3)).await.unwrap();
    assert!(folder.path().join("state/0/1/4.snapshot").exists());
    rewind::rewind(&to(&folder, 2)).await.unwrap();
    assert!(!folder.path().join("state/0/1/4.snapshot").exists());
    let text = state::show(location).await.unwrap();
    assert!(text.ends_with("1 stores, 3 rows\n"), "{text}");
}

#[tokio::test]
async fn an_operator_has_the_partitions_of_the_batch_that_was_gone_back_to() {
    let folder = tempfile::tempdir().unwrap();
    let dir = moved(&folder).await;
    let metadata = OperatorMetadata {
        operator_info: OperatorInfo {
            operator_id: 0,
            operator_name: "stateStoreSave".to_string(),
        },
        state_store_info: vec![StateStoreInfo {
            store_name: "default".to_string(),
            num_cols_prefix_key: 0,
            num_partitions: 2,
        }],
    };
    dir.operators().write_metadata(&metadata).await.unwrap();
    let arguments = ShowArguments {
        dir: folder.path().to_str().unwrap().to_string(),
        batches: 1,
    };
    let text = show::show(&arguments).await.unwrap();
    assert!(text.contains("stateStoreSave, 2 partitions"), "{text}");
    rewind::rewind(&to(&folder, 2)).await.unwrap();
    let text = show::show(&arguments).await.unwrap();
    assert!(text.contains("stateStoreSave, 1 partitions"), "{text}");
}

fn to(folder: &tempfile::TempDir, batch: u64) -> RewindArguments {
    RewindArguments {
        dir: folder.path().to_str().unwrap().to_string(),
        to_batch: batch,
    }
}

#[tokio::test]
async fn show_tells_where_a_restart_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let dir = checkpoint(&folder).await;
    let arguments = ShowArguments {
        dir: folder.path().to_str().unwrap().to_string(),
        batches: 2,
    };
    let text = show::show(&arguments).await.unwrap();
    assert!(text.contains("next        batch 3, a new one"), "{text}");
    assert!(
        text.contains("watermark   1970-01-01T00:00:03.000Z"),
        "{text}"
    );
    assert!(text.contains("3 batches recorded"), "{text}");
    assert!(text.contains("{\"logOffset\":2}"), "{text}");
    assert!(!text.contains("{\"logOffset\":0}"), "{text}");
    std::fs::remove_file(folder.path().join("commits/2")).unwrap();
    let text = show::show(&arguments).await.unwrap();
    assert!(
        text.contains("batch 2 again: it was begun and not committed"),
        "{text}"
    );
    drop(dir);
}

#[tokio::test]
async fn state_counts_the_rows_of_the_newest_version() {
    let folder = tempfile::tempdir().unwrap();
    checkpoint(&folder).await;
    let text = state::show(folder.path().to_str().unwrap()).await.unwrap();
    assert!(text.contains("1 to 3"), "{text}");
    assert!(text.ends_with("1 stores, 3 rows\n"), "{text}");
}

#[tokio::test]
async fn rewind_leaves_the_checkpoint_as_the_batch_left_it() {
    let folder = tempfile::tempdir().unwrap();
    let dir = checkpoint(&folder).await;
    let text = rewind::rewind(&to(&folder, 1)).await.unwrap();
    assert!(text.contains("1 later ones are forgotten"), "{text}");
    assert!(text.contains("_spark_metadata"), "{text}");
    let again = CheckpointDir::new(Arc::clone(dir.storage()), Faults::none());
    assert_eq!(again.recover().await.unwrap().batch_id(), 2);
    let text = state::show(folder.path().to_str().unwrap()).await.unwrap();
    assert!(text.ends_with("1 stores, 2 rows\n"), "{text}");
}

#[tokio::test]
async fn rewind_refuses_what_cannot_be_gone_back_to_and_deletes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let dir = checkpoint(&folder).await;
    let refusal = |batch| {
        let arguments = to(&folder, batch);
        async move { rewind::rewind(&arguments).await.unwrap_err().to_string() }
    };
    assert!(refusal(7).await.contains("the latest one recorded is 2"));
    // A query holds its checkpoint.
    let running = dir.storage().hold(false).unwrap();
    assert!(refusal(1).await.contains("a query is running"));
    drop(running);
    // The state that batch 0 left.
    std::fs::remove_file(folder.path().join("state/0/0/1.delta")).unwrap();
    let text = refusal(0).await;
    assert!(text.contains("the state that it left is gone"), "{text}");
    std::fs::remove_file(folder.path().join("offsets/0")).unwrap();
    assert!(refusal(1).await.contains("the record of batch 0"));
    assert!(folder.path().join("commits/2").exists());
    let other = tempfile::tempdir().unwrap();
    let nowhere = rewind::rewind(&to(&other, 0)).await.unwrap_err();
    assert!(nowhere.to_string().contains("is not a checkpoint"));
}

#[test]
fn explain_ends_with_a_code_that_a_script_can_ask() {
    let query = |refusal: Option<&str>| Rehearsed {
        name: Some("counts".to_string()),
        report: RestartReport {
            statements: vec!["the next batch would be 3, a new one".to_string()],
            refusal: refusal.map(str::to_string),
        },
    };
    let (text, code) = explain::told(&[query(None)], &[], "file:///c");
    assert_eq!(code, 0);
    assert!(
        text.contains("counts, on file:///c\n  the next batch"),
        "{text}"
    );
    let (text, code) = explain::told(&[query(Some("count(1) became sum(v)"))], &[], "file:///c");
    assert_eq!(code, 1);
    assert!(text.contains("it would be refused: count(1)"), "{text}");
    let (text, code) = explain::told(
        &[],
        &["a batch of json, written to o".to_string()],
        "file:///c",
    );
    assert_eq!(code, 2);
    assert!(
        text.starts_with("left out: a batch of json, written to o\n"),
        "{text}"
    );
}

#[test]
fn sizes_and_moments_are_for_people() {
    assert_eq!(size(1023), "1023 B");
    assert_eq!(size(1536), "1.5 KiB");
    assert_eq!(size(3 << 20), "3.0 MiB");
    assert_eq!(moment(1_704_102_660_000), "2024-01-01T09:51:00.000Z");
}
