use std::{
    fs::{self, File},
    path::PathBuf,
    time::{Duration, UNIX_EPOCH},
};

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::{DataType, Field, Int64Type, Schema, TimestampMicrosecondType},
    util::pretty::pretty_format_batches,
};
use millstream_engine::{source::SourceDefinition, time::ManualClock};
use tempfile::{TempDir, tempdir};

use super::*;
use crate::{
    options::Options,
    registry::{self, SourceRequest},
    scan_test::{context, read},
    settings::ConnectorSettings,
};

const T: u64 = 1_700_000_000;

/// A directory of inputs and a log that outlives the source.
struct Setup {
    dir: TempDir,
    settings: ConnectorSettings,
}

impl Setup {
    fn new() -> Self {
        let dir = tempdir().unwrap();
        fs::create_dir(dir.path().join("in")).unwrap();
        Self {
            dir,
            settings: ConnectorSettings::default(),
        }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    fn text(&self, below: &str) -> String {
        self.path(below).to_str().unwrap().to_owned()
    }

    /// Writes `{"v":value}` to a file of the given time.
    fn add(&self, file: &str, value: i64, second: u64) {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("{{\"v\":{value}}}\n")).unwrap();
        let time = UNIX_EPOCH + Duration::from_secs(second);
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(time)
            .unwrap();
    }

    fn request(&self, below: &str, options: &[(&str, &str)]) -> SourceRequest {
        let schema = Schema::new(vec![Field::new("v", DataType::Int64, false)]);
        SourceRequest {
            format: "JSON".into(),
            options: options.iter().copied().collect::<Options>(),
            paths: vec![self.text(below)],
            user_schema: Some(Arc::new(schema)),
            settings: self.settings.clone(),
        }
    }

    async fn definition(&self, below: &str, options: &[(&str, &str)]) -> Arc<dyn SourceDefinition> {
        registry::source(&self.request(below, options))
            .await
            .unwrap()
    }

    async fn source(&self, below: &str, options: &[(&str, &str)]) -> Arc<dyn Source> {
        self.try_source(below, options).await.unwrap()
    }

    async fn try_source(
        &self,
        below: &str,
        options: &[(&str, &str)],
    ) -> Result<Arc<dyn Source>, BoxError> {
        let definition = self.definition(below, options).await;
        definition
            .create(context(&self.path("log"), &ManualClock::new(0)))
            .await
    }

    fn log(&self, record: &str) -> String {
        let text = fs::read_to_string(self.path("log").join(record)).unwrap();
        text.replace(&self.text("in"), "IN")
    }
}

async fn latest(source: &dyn Source) -> Option<String> {
    let offset = source
        .latest_offset(None, source.read_limit())
        .await
        .unwrap();
    offset.map(|offset| offset.json().to_owned())
}

fn at(record: i64) -> Offset {
    Offset::new(format!("{{\"logOffset\":{record}}}"))
}

async fn batch(source: &dyn Source, start: i64, end: i64) -> RecordBatch {
    let partitions = source.plan_batch(Some(&at(start)), &at(end)).await.unwrap();
    read(&partitions, &source.schema()).await
}

async fn values(source: &dyn Source, start: i64, end: i64) -> Vec<i64> {
    let batch = batch(source, start, end).await;
    let mut values = batch
        .column(0)
        .as_primitive::<Int64Type>()
        .values()
        .to_vec();
    values.sort_unstable();
    values
}

/// Takes batches until nothing is left, and gives the values of each.
async fn drain(source: &dyn Source) -> Vec<Vec<i64>> {
    let mut batches = Vec::new();
    let mut end = -1;
    loop {
        let Some(offset) = latest(source).await else {
            return batches;
        };
        let next = record(&Offset::new(offset)).unwrap();
        if next == end {
            return batches;
        }
        batches.push(values(source, end, next).await);
        end = next;
    }
}

#[tokio::test]
async fn files_are_taken_oldest_first_and_recorded_as_spark_records_them() {
    let setup = Setup::new();
    setup.add("in/a.json", 1, T);
    setup.add("in/b.json", 2, T + 10);
    setup.add("in/c d%é.json", 3, T + 5);
    setup.add("in/_hidden.json", 9, T);
    let source = setup.source("in", &[]).await;
    assert_eq!(
        source.description(),
        format!("FileStreamSource[file:{}]", setup.text("in"))
    );
    assert!(source.schema().field(0).is_nullable());
    assert_eq!(latest(source.as_ref()).await.unwrap(), r#"{"logOffset":0}"#);
    assert_eq!(
        setup.log("0"),
        "v1\n\
         {\"path\":\"file://IN/a.json\",\"timestamp\":1700000000000,\"batchId\":0}\n\
         {\"path\":\"file://IN/c%20d%25é.json\",\"timestamp\":1700000005000,\"batchId\":0}\n\
         {\"path\":\"file://IN/b.json\",\"timestamp\":1700000010000,\"batchId\":0}"
    );
    assert_eq!(values(source.as_ref(), -1, 0).await, [1, 2, 3]);
    assert_eq!(
        latest(source.as_ref()).await.unwrap(),
        r#"{"logOffset":0}"#,
        "nothing new"
    );
    setup.add("in/e.json", 5, T);
    assert_eq!(latest(source.as_ref()).await.unwrap(), r#"{"logOffset":1}"#);
    assert_eq!(values(source.as_ref(), 0, 1).await, [5]);
}

#[tokio::test]
async fn an_empty_directory_has_no_offset() {
    let setup = Setup::new();
    let source = setup.source("in", &[]).await;
    assert_eq!(latest(source.as_ref()).await, None);
    setup.add("in/a.json", 1, T);
    assert_eq!(latest(source.as_ref()).await.unwrap(), r#"{"logOffset":0}"#);
}

#[tokio::test]
async fn a_restart_reads_the_same_batches_and_takes_no_file_twice() {
    let setup = Setup::new();
    for i in 0..7 {
        setup.add(&format!("in/{i}.json"), i, T + i as u64);
    }
    let options = [("maxFilesPerTrigger", "2")];
    let source = setup.source("in", &options).await;
    for record in 0..3 {
        latest(source.as_ref()).await;
        assert_eq!(
            values(source.as_ref(), record - 1, record).await,
            [2 * record, 2 * record + 1]
        );
    }
    drop(source);
    let source = setup.source("in", &options).await;
    // The last logged batch is planned before anything is listed.
    assert_eq!(values(source.as_ref(), 1, 2).await, [4, 5]);
    assert_eq!(latest(source.as_ref()).await.unwrap(), r#"{"logOffset":3}"#);
    assert_eq!(values(source.as_ref(), 2, 3).await, [6]);
    assert_eq!(latest(source.as_ref()).await.unwrap(), r#"{"logOffset":3}"#);
}

#[tokio::test]
async fn a_record_that_no_batch_has_read_becomes_part_of_the_next_one() {
    let setup = Setup::new();
    setup.add("in/a.json", 1, T);
    let source = setup.source("in", &[]).await;
    latest(source.as_ref()).await;
    // Killed between the record and the offset log.
    drop(source);
    setup.add("in/b.json", 2, T + 1);
    let source = setup.source("in", &[]).await;
    assert_eq!(latest(source.as_ref()).await.unwrap(), r#"{"logOffset":1}"#);
    assert_eq!(values(source.as_ref(), -1, 1).await, [1, 2]);
}

#[tokio::test]
async fn a_restart_over_another_directory_is_refused() {
    let setup = Setup::new();
    setup.add("in/k=1/a.json", 1, T);
    setup.add("in2/b.json", 2, T);
    latest(setup.source("in", &[]).await.as_ref()).await;
    let refusal = async |below: &str, options: &[(&str, &str)]| {
        let source = setup.source(below, options).await;
        let refused = source.resume(&at(0)).await;
        refused.err().map(|error| error.to_string())
    };
    let wrong = |base: &str| {
        Some(format!(
            "Wrong basePath {} for the root path: file:{}",
            setup.text(base),
            setup.text("in/k=1/a.json")
        ))
    };
    assert_eq!(refusal("in2", &[]).await, wrong("in2"));
    assert_eq!(refusal("in", &[]).await, None);
    assert_eq!(refusal("in/k=1", &[]).await, None, "where the files lie");
    assert_eq!(refusal("in2*", &[]).await, None, "Spark does not look");
    let base = setup.text("in2");
    assert_eq!(refusal("in2/*", &[("basePath", &base)]).await, wrong("in2"));
    assert!(!setup.path("log/1").exists());
}

#[tokio::test]
async fn a_record_that_the_offset_log_knows_must_be_there() {
    let mut setup = Setup::new();
    setup.settings.source_log.compact_interval = 3.try_into().unwrap();
    for i in 0..4 {
        setup.add(&format!("in/{i}.json"), i, T + i as u64);
    }
    let options = [("maxFilesPerTrigger", "1")];
    drain(setup.source("in", &options).await.as_ref()).await;
    let resumed = async |end: i64| {
        let source = setup.try_source("in", &options).await?;
        source.resume(&at(end)).await
    };
    fs::remove_file(setup.path("log/0")).unwrap();
    resumed(3).await.unwrap();
    fs::remove_file(setup.path("log/3")).unwrap();
    resumed(2).await.unwrap();
    let refusal = resumed(3).await.unwrap_err().to_string();
    assert!(
        refusal.contains("log/3 does not exist") && refusal.contains("restore it from a backup"),
        "{refusal}"
    );
    fs::remove_file(setup.path("log/2.compact")).unwrap();
    fs::remove_file(setup.path("log/1")).unwrap();
    let refusal = resumed(2).await.unwrap_err().to_string();
    assert!(refusal.contains("log/2.compact does not"), "{refusal}");
}

#[tokio::test]
async fn compacted_records_are_read_back() {
    let mut setup = Setup::new();
    setup.settings.source_log.compact_interval = 3.try_into().unwrap();
    for i in 0..8 {
        setup.add(&format!("in/{i}.json"), i, T + i as u64);
    }
    let options = [("maxFilesPerTrigger", "1")];
    let source = setup.source("in", &options).await;
    let batches = drain(source.as_ref()).await;
    assert_eq!(batches, (0..8).map(|i| vec![i]).collect::<Vec<_>>());
    assert!(setup.path("log/5.compact").exists());
    let source = setup.source("in", &options).await;
    assert_eq!(values(source.as_ref(), 3, 5).await, [4, 5]);
    assert_eq!(latest(source.as_ref()).await.unwrap(), r#"{"logOffset":7}"#);
}

#[tokio::test]
async fn limits_and_order_decide_what_a_batch_takes() {
    let setup = Setup::new();
    setup.add("in/a.json", 1, T + 20);
    setup.add("in/b.json", 2, T + 10);
    setup.add("in/c.json", 1_000_000_000, T);
    let taken = async |options: &[(&str, &str)]| {
        let _ = fs::remove_dir_all(setup.path("log"));
        let mut options = options.to_vec();
        options.push(("maxFileAge", "1d"));
        drain(setup.source("in", &options).await.as_ref()).await
    };
    assert_eq!(taken(&[]).await, [vec![1, 2, 1_000_000_000]]);
    assert_eq!(
        taken(&[("maxFilesPerTrigger", "2")]).await,
        [vec![2, 1_000_000_000], vec![1]]
    );
    assert_eq!(
        taken(&[("latestFirst", "true"), ("maxFilesPerTrigger", "1")]).await,
        [[1], [2], [1_000_000_000]]
    );
    assert_eq!(
        taken(&[("maxBytesPerTrigger", "1")]).await,
        [[1_000_000_000], [2], [1]]
    );
    assert_eq!(
        taken(&[("maxBytesPerTrigger", "17")]).await,
        [vec![1_000_000_000], vec![1, 2]],
        "17 and 8 bytes are too many, 8 and 8 are not"
    );
}

#[tokio::test]
async fn files_older_than_the_newest_seen_by_more_than_the_age_are_left() {
    let setup = Setup::new();
    setup.add("in/a.json", 1, T);
    let source = setup.source("in", &[("maxFileAge", "10s")]).await;
    latest(source.as_ref()).await;
    setup.add("in/late.json", 2, T - 11);
    setup.add("in/fine.json", 3, T - 10);
    latest(source.as_ref()).await;
    assert_eq!(values(source.as_ref(), 0, 1).await, [3]);
}

#[tokio::test]
async fn with_names_alone_a_second_file_of_a_name_is_left() {
    let setup = Setup::new();
    setup.add("in/k=1/a.json", 1, T);
    setup.add("in/k=2/a.json", 2, T + 1);
    let options = [
        ("fileNameOnly", "true"),
        ("maxFilesPerTrigger", "1"),
        ("maxCachedFiles", "0"),
    ];
    let source = setup.source("in", &options).await;
    assert_eq!(drain(source.as_ref()).await, [[1]]);
}

#[tokio::test]
async fn available_now_takes_a_name_once_but_for_files_of_one_batch() {
    let setup = Setup::new();
    for i in 0..3 {
        setup.add(&format!("in/d{i}/same.json"), i, T + i as u64);
    }
    let taken = async |limit: &str, available_now: bool| {
        let _ = fs::remove_dir_all(setup.path("log"));
        let options = [("fileNameOnly", "true"), ("maxFilesPerTrigger", limit)];
        let source = setup.source("in/*", &options).await;
        if available_now {
            source.prepare_for_available_now().await.unwrap();
        }
        drain(source.as_ref()).await
    };
    assert_eq!(taken("1", true).await, [[0]]);
    assert_eq!(taken("2", true).await, [[0, 1]]);
    assert_eq!(taken("3", true).await, [[0, 1, 2]]);
    // Spark 4.3 as well: what is left of a listing is not looked at again.
    assert_eq!(taken("1", false).await, [[0], [1], [2]]);
}

#[tokio::test]
async fn available_now_is_what_is_there_when_the_run_starts() {
    let setup = Setup::new();
    for i in 0..3 {
        setup.add(&format!("in/{i}.json"), i, T + i as u64);
    }
    let source = setup.source("in", &[("maxFilesPerTrigger", "2")]).await;
    assert!(source.prepare_for_available_now().await.unwrap());
    setup.add("in/later.json", 9, T);
    assert_eq!(drain(source.as_ref()).await, [vec![0, 1], vec![2]]);
}

#[tokio::test]
async fn directories_become_columns_and_the_listing_becomes_metadata() {
    let setup = Setup::new();
    setup.add("in/year=2024/k=a/x.json", 1, T);
    setup.add("in/year=2023/k=b%20c/x.json", 2, T + 1);
    setup.add("in/year=2025/k=__HIVE_DEFAULT_PARTITION__/x.json", 3, T + 2);
    setup.add("in/plain/x.json", 4, T);
    let source = setup.source("in", &[]).await;
    latest(source.as_ref()).await;
    let rows = pretty_format_batches(&[batch(source.as_ref(), -1, 0).await])
        .unwrap()
        .to_string();
    assert_eq!(
        rows,
        "+---+------+-----+\n\
         | v | year | k   |\n\
         +---+------+-----+\n\
         | 1 | 2024 | a   |\n\
         | 2 | 2023 | b c |\n\
         | 3 | 2025 |     |\n\
         +---+------+-----+"
    );

    let request = setup.request("in", &[]);
    let definition = FileDefinition::resolve(&request)
        .await
        .unwrap()
        .with_metadata_column();
    let log = context(&setup.path("other"), &ManualClock::new(0));
    let source = definition.create(log).await.unwrap();
    latest(source.as_ref()).await;
    let batch = batch(source.as_ref(), -1, 0).await;
    let metadata = batch.column(3).as_struct();
    let path = metadata.column(0).as_string::<i32>().value(1).to_owned();
    assert_eq!(
        path,
        format!("file:{}/year=2023/k=b%2520c/x.json", setup.text("in"))
    );
    assert_eq!(metadata.column(1).as_string::<i32>().value(1), "x.json");
    assert_eq!(
        metadata
            .column(2)
            .as_primitive::<Int64Type>()
            .values()
            .to_vec(),
        [8, 8, 8]
    );
    assert_eq!(
        metadata
            .column(5)
            .as_primitive::<TimestampMicrosecondType>()
            .value(1),
        1_700_000_001_000_000
    );
}

#[tokio::test]
async fn a_partition_column_that_the_user_declares_has_the_users_type() {
    let setup = Setup::new();
    setup.add("in/year=2024/x.json", 1, T);
    let mut request = setup.request("in", &[]);
    let fields = [("year", DataType::Utf8), ("v", DataType::Int64)];
    let fields: Vec<_> = fields
        .map(|(name, kind)| Field::new(name, kind, true))
        .into();
    request.user_schema = Some(Arc::new(Schema::new(fields)));
    let schema = registry::source(&request).await.unwrap().schema();
    let columns: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| (field.name().as_str(), field.data_type()))
        .collect();
    assert_eq!(
        columns,
        [("v", &DataType::Int64), ("year", &DataType::Utf8)]
    );
}

#[tokio::test]
async fn a_file_that_is_gone_fails_the_batch_by_name_unless_it_may_be_missing() {
    let setup = Setup::new();
    setup.add("in/a.json", 1, T);
    setup.add("in/b.json", 2, T);
    latest(setup.source("in", &[]).await.as_ref()).await;
    fs::remove_file(setup.path("in/a.json")).unwrap();
    let source = setup.source("in", &[]).await;
    let partitions = source.plan_batch(None, &at(0)).await.unwrap();
    let request = millstream_engine::source::ScanRequest {
        projection: vec![0],
        schema: source.schema(),
        filters: vec![],
        batch_size: 10,
    };
    let mut failures = Vec::new();
    for partition in partitions {
        use futures::TryStreamExt;
        let read = partition
            .open(&request)
            .unwrap()
            .try_collect::<Vec<_>>()
            .await;
        failures.extend(read.err().map(|e| e.to_string()));
    }
    assert_eq!(failures.len(), 1);
    assert!(failures[0].contains("in/a.json"), "{failures:?}");

    let source = setup.source("in", &[("ignoreMissingFiles", "true")]).await;
    assert_eq!(values(source.as_ref(), -1, 0).await, [2]);
}

#[tokio::test]
async fn files_are_cleaned_up_when_their_batch_is_committed() {
    let mut setup = Setup::new();
    setup.settings.cleaner_threads = 0;
    for i in 0..3 {
        setup.add(&format!("in/{i}.json"), i, T + i as u64);
    }
    let source = setup
        .source(
            "in",
            &[("cleanSource", "delete"), ("maxFilesPerTrigger", "1")],
        )
        .await;
    for record in 0..3 {
        latest(source.as_ref()).await;
        values(source.as_ref(), record - 1, record).await;
    }
    source.commit(&at(1)).await.unwrap();
    assert!(
        setup.path("in/0.json").exists(),
        "only the committed record is known to be done"
    );
    assert!(!setup.path("in/1.json").exists());
    source.commit(&at(2)).await.unwrap();
    assert!(!setup.path("in/2.json").exists());
    setup.add("in/1.json", 7, T);
    assert_eq!(
        latest(source.as_ref()).await.unwrap(),
        r#"{"logOffset":2}"#,
        "seen before"
    );
}

#[tokio::test]
async fn options_are_refused_when_they_are_looked_at() {
    let setup = Setup::new();
    let load =
        async |request: SourceRequest| registry::source(&request).await.map(drop).unwrap_err();
    let error = load(setup.request("nothing", &[])).await;
    assert_eq!(error.error_class(), Some("PATH_NOT_FOUND"));
    assert_eq!(
        error.to_string(),
        format!("Path does not exist: {}.", setup.text("nothing"))
    );
    let error = load(setup.request("in", &[("PATH", "x")])).await;
    assert_eq!(error.error_class(), Some("_LEGACY_ERROR_TEMP_1188"));
    let error = load(SourceRequest {
        paths: vec![],
        ..setup.request("in", &[])
    })
    .await;
    assert_eq!(error.error_class(), Some("_LEGACY_ERROR_TEMP_2047"));
    let error = load(SourceRequest {
        user_schema: None,
        ..setup.request("in", &[])
    })
    .await;
    assert_eq!(error.error_class(), Some("_LEGACY_ERROR_TEMP_2048"));
    setup.definition("nothing*", &[]).await;

    let both = [("maxFilesPerTrigger", "1"), ("maxBytesPerTrigger", "1")];
    let error = setup.try_source("in", &both).await.unwrap_err();
    assert!(error.to_string().contains("can't be both set"), "{error}");
}

#[tokio::test]
async fn schemas_are_inferred_only_where_the_session_allows_it() {
    let mut setup = Setup::new();
    setup.add("in/a.json", 1, T);
    let mut request = SourceRequest {
        user_schema: None,
        ..setup.request("in", &[])
    };
    request.format = "text".into();
    let schema = registry::source(&request).await.unwrap().schema();
    assert_eq!(schema.field(0).name(), "value");
    setup.settings.schema_inference = true;
    let request = SourceRequest {
        user_schema: None,
        ..setup.request("in", &[])
    };
    let schema = registry::source(&request).await.unwrap().schema();
    assert_eq!(schema.field(0).data_type(), &DataType::Int64);
}
