//! Batch writes of files: save modes, overwritten partitions, and what a write that fails leaves.
use std::{fs, path::PathBuf};

use arrow::array::{Int64Array, RecordBatch, StringArray};
use tempfile::{TempDir, tempdir};

use super::*;
use crate::batches::lazily;

fn rows(values: &[(i64, &str)]) -> RecordBatch {
    let (v, k): (Vec<_>, Vec<_>) = values.iter().copied().unzip();
    RecordBatch::try_from_iter([
        ("v", Arc::new(Int64Array::from(v)) as _),
        ("k", Arc::new(StringArray::from(k)) as _),
    ])
    .unwrap()
}

struct Target {
    dir: TempDir,
    request: BatchWriteRequest,
}

impl Target {
    fn new() -> Self {
        let dir = tempdir().unwrap();
        let request = BatchWriteRequest {
            format: "json".into(),
            options: Options::new(),
            path: Some(dir.path().join("out").to_str().unwrap().to_owned()),
            partition_by: vec![],
            mode: SaveMode::default(),
            settings: ConnectorSettings::default(),
        };
        Self { dir, request }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    async fn write(
        &mut self,
        mode: SaveMode,
        tasks: &[&[(i64, &str)]],
    ) -> Result<u64, ConnectorError> {
        self.request.mode = mode;
        let streams = tasks.iter().map(|task| {
            let batch = rows(task);
            lazily(batch.schema(), [Ok(batch)].into_iter())
        });
        write_batch_files(&self.request, rows(&[]).schema(), streams.collect()).await
    }

    /// Directories and names without the job's id.
    fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut pending = vec![self.path()];
        while let Some(dir) = pending.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                let name = path
                    .strip_prefix(self.path())
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                match path.is_dir() {
                    true => pending.push(path),
                    false => names.push(without_id(&name)),
                }
            }
        }
        names.sort_unstable();
        names
    }
}

fn without_id(name: &str) -> String {
    let id = regex::Regex::new("[0-9a-f]{8}-[0-9a-f-]{27}").unwrap();
    id.replace(name, "ID").into_owned()
}

#[tokio::test]
async fn modes_decide_what_happens_to_what_is_there() {
    let mut target = Target::new();
    assert_eq!(
        target
            .write(SaveMode::ErrorIfExists, &[&[], &[(1, "a"), (2, "b")]])
            .await
            .unwrap(),
        2
    );
    let first = [
        "_SUCCESS",
        "part-00000-ID-c000.json",
        "part-00001-ID-c000.json",
    ];
    assert_eq!(target.names(), first);
    let error = target
        .write(SaveMode::ErrorIfExists, &[&[(1, "a")]])
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "Path file:{} already exists. Set mode as \"overwrite\" to overwrite the existing path.",
            target.path().display()
        )
    );
    assert_eq!(
        target
            .write(SaveMode::Ignore, &[&[(1, "a")]])
            .await
            .unwrap(),
        0
    );
    assert_eq!(target.names(), first);
    target
        .write(SaveMode::Append, &[&[(3, "c")]])
        .await
        .unwrap();
    assert_eq!(target.names().len(), 4);
    target
        .write(SaveMode::Overwrite, &[&[(4, "d")]])
        .await
        .unwrap();
    assert_eq!(target.names(), ["_SUCCESS", "part-00000-ID-c000.json"]);
    assert_eq!(
        "ErrorIfExists".parse::<SaveMode>().unwrap(),
        SaveMode::ErrorIfExists
    );
    assert_eq!(
        "foo".parse::<SaveMode>().unwrap_err().error_class(),
        Some("INVALID_SAVE_MODE")
    );
}

#[tokio::test]
async fn overwriting_removes_partitions_all_or_only_those_written() {
    let mut target = Target::new();
    target.request.partition_by = vec!["k".into()];
    target
        .write(SaveMode::Overwrite, &[&[(1, "a"), (2, "b")]])
        .await
        .unwrap();
    let a_and_b = [
        "_SUCCESS",
        "k=a/part-00000-ID.c000.json",
        "k=b/part-00000-ID.c000.json",
    ];
    assert_eq!(target.names(), a_and_b);
    let b = fs::read_dir(target.path().join("k=b"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    target
        .request
        .options
        .insert("partitionOverwriteMode", "dynamic");
    target
        .write(SaveMode::Overwrite, &[&[(3, "a")]])
        .await
        .unwrap();
    assert_eq!(
        target.names(),
        a_and_b,
        "the mark of the write before stays"
    );
    assert!(b.exists());
    target
        .request
        .options
        .insert("partitionOverwriteMode", "static");
    target
        .write(SaveMode::Overwrite, &[&[(3, "a")]])
        .await
        .unwrap();
    assert_eq!(target.names(), ["_SUCCESS", "k=a/part-00000-ID.c000.json"]);
    assert!(!b.exists());
}

#[tokio::test]
async fn a_write_that_fails_leaves_the_old_content() {
    let mut target = Target::new();
    target
        .write(SaveMode::Overwrite, &[&[(1, "a")]])
        .await
        .unwrap();
    let before = target.names();
    let batch = rows(&[(2, "b")]);
    let failure = datafusion::error::DataFusionError::Execution("boom".into());
    let fine = lazily(batch.schema(), [Ok(batch.clone())].into_iter());
    let failing = lazily(
        batch.schema(),
        [Ok(batch.clone()), Err(failure)].into_iter(),
    );
    let written = write_batch_files(&target.request, batch.schema(), vec![fine, failing]).await;
    assert!(written.unwrap_err().to_string().contains("boom"));
    assert_eq!(target.names(), before);
}

#[tokio::test]
async fn files_end_after_their_number_of_records() {
    let mut target = Target::new();
    target.request.options.insert("maxRecordsPerFile", "4");
    let ten: Vec<_> = (0..10).map(|i| (i, "x")).collect();
    target.write(SaveMode::Append, &[&ten]).await.unwrap();
    assert_eq!(
        target.names(),
        [
            "_SUCCESS",
            "part-00000-ID-c000.json",
            "part-00000-ID-c001.json",
            "part-00000-ID-c002.json"
        ]
    );
}

#[tokio::test]
async fn many_partitions_need_few_open_files() {
    let mut target = Target::new();
    target.request.partition_by = vec!["k".into()];
    let keys: Vec<String> = (0..300).map(|i| i.to_string()).collect();
    let rows: Vec<_> = keys.iter().map(|key| (1, key.as_str())).collect();
    assert_eq!(
        target
            .write(SaveMode::Append, &[&rows, &rows])
            .await
            .unwrap(),
        600
    );
    assert_eq!(target.names().len(), 601);
}

#[tokio::test]
async fn wrong_partition_columns_are_refused_in_sparks_words() {
    let mut target = Target::new();
    target.request.partition_by = vec!["zz".into()];
    let error = target.write(SaveMode::Append, &[]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Partition column `zz` not found in schema struct<v:bigint,k:string>."
    );
    assert!(!target.path().exists());
}
