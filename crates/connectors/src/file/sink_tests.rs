use std::{collections::BTreeMap, fs, path::Path, path::PathBuf};

use arrow::{
    array::{AsArray, Int64Array, RecordBatch, StringArray},
    datatypes::Int64Type,
};
use datafusion::prelude::SessionContext;
use millstream_checkpoint::{FaultAction, Faults};
use millstream_engine::{plan::OutputMode, source::Source, time::ManualClock};
use tempfile::{TempDir, tempdir};

use super::*;
use crate::{
    batches::lazily,
    console::ConsoleOutput,
    file::{BatchReadRequest, FileTable},
    memory::MemoryTables,
    options::Options,
    registry::{self, SourceRequest},
    scan_test::{context, read},
};

fn rows(values: &[(i64, &str)]) -> RecordBatch {
    let (v, k): (Vec<_>, Vec<_>) = values.iter().copied().unzip();
    let v = Int64Array::from(v);
    RecordBatch::try_from_iter_with_nullable([
        ("v", Arc::new(v) as _, true),
        ("k", Arc::new(StringArray::from(k)) as _, true),
    ])
    .unwrap()
}

struct Output {
    dir: TempDir,
    options: Options,
    partition_by: Vec<String>,
    settings: ConnectorSettings,
}

impl Output {
    fn new() -> Self {
        let settings = ConnectorSettings::default();
        Self {
            dir: tempdir().unwrap(),
            options: Options::new(),
            partition_by: vec![],
            settings,
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("out p")
    }

    fn request(&self) -> SinkRequest {
        SinkRequest {
            options: self.options.clone(),
            path: Some(self.path().to_str().unwrap().to_owned()),
            partition_by: self.partition_by.clone(),
            schema: rows(&[]).schema(),
            output_mode: OutputMode::Append,
            query_name: None,
            settings: self.settings.clone(),
            memory_tables: MemoryTables::default(),
            console: ConsoleOutput::default(),
            clock: Arc::new(ManualClock::new(1_000)),
        }
    }

    async fn sink(&self) -> Arc<dyn Sink> {
        registry::sink("json", &self.request()).await.unwrap()
    }

    /// Files by path below the output: contents of data files, the log with times and names
    /// replaced.
    fn files(&self) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        collect(&self.path(), &self.path(), &mut files);
        files
    }

    fn data(&self) -> Vec<String> {
        let files = self.files();
        files
            .into_iter()
            .filter(|(name, _)| name.contains("part-"))
            .map(|(_, text)| text)
            .collect()
    }

    /// What a reader that honours the log sees.
    async fn visible(&self) -> Vec<i64> {
        let request = BatchReadRequest {
            format: "json".into(),
            options: Options::new(),
            paths: vec![self.path().to_str().unwrap().to_owned()],
            user_schema: Some(rows(&[]).schema()),
            settings: self.settings.clone(),
            clock: Arc::new(ManualClock::new(0)),
        };
        let table = FileTable::resolve(&request).await.unwrap();
        let frame = SessionContext::new().read_table(Arc::new(table)).unwrap();
        let batches = frame.collect().await.unwrap();
        let values = |batch: &RecordBatch| {
            batch
                .column(0)
                .as_primitive::<Int64Type>()
                .values()
                .to_vec()
        };
        let mut values: Vec<_> = batches.iter().flat_map(values).collect();
        values.sort_unstable();
        values
    }
}

fn collect(root: &Path, dir: &Path, files: &mut BTreeMap<String, String>) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            let name = path
                .strip_prefix(root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            files.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
}

fn batch(batch_id: u64, faults: &Faults) -> SinkBatch {
    SinkBatch {
        batch_id,
        query_id: Uuid::from_u128(0x1234_5678_9abc_4def_8123_4567_89ab_cdef),
        schema: rows(&[]).schema(),
        output_mode: OutputMode::Append,
        faults: faults.clone(),
    }
}

async fn write(sink: &dyn Sink, batch: &SinkBatch, tasks: &[RecordBatch]) -> Result<(), BoxError> {
    let writer = sink.begin(batch).await?;
    let mut messages = Vec::new();
    for (task, rows) in tasks.iter().enumerate() {
        let stream = lazily(rows.schema(), [Ok(rows.clone())].into_iter());
        messages.push(writer.write(task, stream).await?);
    }
    sink.commit(batch, messages).await
}

async fn run(sink: &dyn Sink, batch_id: u64, tasks: &[RecordBatch]) {
    write(sink, &batch(batch_id, &Faults::none()), tasks)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_batch_is_files_and_a_log_entry_as_spark_writes_it() {
    let output = Output::new();
    let sink = output.sink().await;
    assert_eq!(
        sink.description(),
        format!("FileSink[file:{}]", output.path().display())
    );
    run(
        sink.as_ref(),
        0,
        &[rows(&[(1, "a")]), rows(&[]), rows(&[(2, "b"), (3, "c")])],
    )
    .await;
    let files = output.files();
    let names: Vec<_> = files.keys().map(String::as_str).collect();
    let [log, first, third] = names[..] else {
        panic!("{names:?}")
    };
    assert_eq!(log, "_spark_metadata/0");
    assert!(
        first.starts_with("part-00000-") && first.ends_with("-c000.json"),
        "{first}"
    );
    assert!(
        third.starts_with("part-00002-"),
        "a task without rows writes no file: {third}"
    );
    assert_eq!(files[first], "{\"v\":1,\"k\":\"a\"}\n");
    let root = output.path().to_str().unwrap().replace(' ', "%20");
    let entry = |name: &str| {
        let path = output.path().join(name);
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        let time = chrono::DateTime::<chrono::Utc>::from(modified).timestamp_millis();
        format!(
            "{{\"path\":\"file://{root}/{name}\",\"size\":{},\"isDir\":false,\"modificationTime\":{time},\
             \"blockReplication\":1,\"blockSize\":33554432,\"action\":\"add\"}}",
            files[name].len()
        )
    };
    assert_eq!(
        files[log],
        format!("v1\n{}\n{}", entry(first), entry(third))
    );
    assert_eq!(output.visible().await, [1, 2, 3]);
}

#[tokio::test]
async fn a_batch_without_rows_still_leaves_a_file_of_the_first_task() {
    let output = Output::new();
    run(output.sink().await.as_ref(), 0, &[rows(&[]), rows(&[])]).await;
    assert_eq!(output.data(), [""]);
    assert!(output.visible().await.is_empty());
}

#[tokio::test]
async fn partitions_are_directories_with_hives_names() {
    let mut output = Output::new();
    output.partition_by = vec!["K".into()];
    let sink = output.sink().await;
    run(
        sink.as_ref(),
        0,
        &[rows(&[(1, "a:b c"), (2, ""), (3, "a:b c")])],
    )
    .await;
    let files = output.files();
    let named: Vec<_> = files
        .iter()
        .filter(|(name, _)| !name.starts_with('_'))
        .map(|(name, text)| (name.split('/').next().unwrap(), text.as_str()))
        .collect();
    assert_eq!(
        named,
        [
            ("k=__HIVE_DEFAULT_PARTITION__", "{\"v\":2}\n"),
            ("k=a%3Ab c", "{\"v\":1}\n{\"v\":3}\n"),
        ]
    );
    assert!(
        files
            .keys()
            .any(|name| name.contains("k=a%3Ab c/part-00000-") && name.ends_with(".c000.json"))
    );
    assert!(files["_spark_metadata/0"].contains("/out%20p/k=a%253Ab%20c/part-00000-"));
    assert_eq!(output.visible().await, [1, 2, 3]);
}

#[tokio::test]
async fn wherever_the_commit_dies_the_batch_appears_once() {
    use FaultPoint::{BeforeSinkCommit, MidSinkCommit};
    for point in [BeforeSinkCommit, MidSinkCommit] {
        let output = Output::new();
        run(output.sink().await.as_ref(), 0, &[rows(&[(1, "a")])]).await;
        let faults = Faults::new();
        faults.arm(point, 1, FaultAction::Fail);
        let dying = batch(1, &faults);
        let tasks = [rows(&[(2, "b")]), rows(&[(3, "c")])];
        let sink = output.sink().await;
        if point == BeforeSinkCommit {
            // The engine's point: tasks have written, the driver has not begun.
            let writer = sink.begin(&dying).await.unwrap();
            let stream = lazily(tasks[0].schema(), [Ok(tasks[0].clone())].into_iter());
            writer.write(0, stream).await.unwrap();
            assert_eq!(output.visible().await, [1]);
        } else {
            write(sink.as_ref(), &dying, &tasks).await.unwrap_err();
            assert_eq!(
                output.data().len(),
                3,
                "files are in place, without a log entry"
            );
        }
        assert_eq!(output.visible().await, [1], "{point}");

        let sink = output.sink().await;
        run(sink.as_ref(), 1, &tasks).await;
        assert_eq!(output.visible().await, [1, 2, 3], "{point}");
        assert_eq!(
            output.data().len(),
            3,
            "no file is there twice, log or not: {point}"
        );
        assert!(
            !output
                .files()
                .keys()
                .any(|name| name.ends_with(".inprogress"))
        );
        run(sink.as_ref(), 1, &tasks).await;
        assert_eq!(
            output.visible().await,
            [1, 2, 3],
            "already committed: {point}"
        );
    }
}

#[tokio::test]
async fn an_aborted_batch_leaves_nothing() {
    let output = Output::new();
    let sink = output.sink().await;
    let batch = batch(0, &Faults::none());
    let writer = sink.begin(&batch).await.unwrap();
    let one = rows(&[(1, "a")]);
    writer
        .write(0, lazily(one.schema(), [Ok(one.clone())].into_iter()))
        .await
        .unwrap();
    let failure = datafusion::error::DataFusionError::Execution("boom".into());
    let failing = lazily(one.schema(), [Ok(one.clone()), Err(failure)].into_iter());
    writer.write(1, failing).await.unwrap_err();
    sink.abort(&batch).await;
    assert!(output.files().is_empty(), "{:?}", output.files());
}

#[tokio::test]
async fn every_tenth_entry_holds_all_files() {
    let mut output = Output::new();
    output.settings.sink_log.compact_interval = 3.try_into().unwrap();
    let sink = output.sink().await;
    for i in 0..7 {
        run(sink.as_ref(), i, &[rows(&[(i as i64, "x")])]).await;
    }
    let files = output.files();
    assert_eq!(files["_spark_metadata/5.compact"].lines().count(), 7);
    assert_eq!(output.visible().await, [0, 1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn a_stream_over_the_output_follows_the_log_and_not_the_directory() {
    let output = Output::new();
    let sink = output.sink().await;
    run(sink.as_ref(), 0, &[rows(&[(1, "a")])]).await;
    fs::write(output.path().join("foreign.json"), "{\"v\":77}\n").unwrap();
    let request = SourceRequest {
        format: "json".into(),
        options: Options::new(),
        paths: vec![output.path().to_str().unwrap().to_owned()],
        user_schema: Some(rows(&[]).schema()),
        settings: ConnectorSettings::default(),
    };
    let definition = registry::source(&request).await.unwrap();
    let log = context(&output.dir.path().join("log"), &ManualClock::new(0));
    let source = definition.create(log).await.unwrap();
    let values = async |source: &dyn Source| {
        let limit = source.read_limit();
        let end = source.latest_offset(None, limit).await.unwrap().unwrap();
        let partitions = source.plan_batch(None, &end).await.unwrap();
        let batch = read(&partitions, &source.schema()).await;
        let mut values = batch
            .column(0)
            .as_primitive::<Int64Type>()
            .values()
            .to_vec();
        values.sort_unstable();
        values
    };
    assert_eq!(values(source.as_ref()).await, [1]);
    run(sink.as_ref(), 1, &[rows(&[(2, "b")])]).await;
    assert_eq!(values(source.as_ref()).await, [1, 2]);
}

#[tokio::test]
async fn wrong_requests_are_refused_in_sparks_words() {
    let output = Output::new();
    let refused = async |request: SinkRequest| {
        registry::sink("json", &request)
            .await
            .map(drop)
            .unwrap_err()
    };
    let error = refused(SinkRequest {
        path: None,
        ..output.request()
    })
    .await;
    assert_eq!(error.to_string(), "'path' is not specified.");
    let partition_by = vec!["v".to_owned(), "k".to_owned()];
    let error = refused(SinkRequest {
        partition_by,
        ..output.request()
    })
    .await;
    assert_eq!(
        error.error_class(),
        Some("ALL_PARTITION_COLUMNS_NOT_ALLOWED")
    );
    let partition_by = vec!["nope".to_owned()];
    let error = refused(SinkRequest {
        partition_by,
        ..output.request()
    })
    .await;
    assert_eq!(
        error.to_string(),
        "Partition column nope not found in existing columns (v, k)."
    );
    let output_mode = OutputMode::Update;
    let error = refused(SinkRequest {
        output_mode,
        ..output.request()
    })
    .await;
    assert_eq!(
        error.to_string(),
        "Invalid streaming output mode: update. This output mode is not supported in Data Source json."
    );
}
