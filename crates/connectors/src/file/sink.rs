//! The file sink: Spark's protocol for output that appears exactly once.
//!
//! ```text
//! out/part-00000-<uuid>-c000.json     data, from the tasks
//! out/_spark_metadata/0               the files of batch 0
//! out/_spark_metadata/9.compact       the files of the batches 0 to 9
//! ```
//!
//! The log entry is the commit. Who reads the directory through the log (Spark, this engine) sees a
//! batch's files once its entry is there, and no others.
//!
//! # On a crash
//!
//! | the query dies | left behind | the batch, run again |
//! |---|---|---|
//! | while tasks write | hidden files | writes and names its files as before: hidden files are overwritten |
//! | while files are renamed | some files without an entry | renames the same names over them |
//! | before the entry is written | all files without an entry | as above, then the entry |
//! | after the entry is written | nothing | is skipped |
//!
//! The names of a batch's files follow from query, batch and task. So also a reader who knows
//! nothing of the log does not see rows twice, unless the batch ran with fewer tasks the second
//! time.
//!
//! A new query that writes to the output of an old one skips the batches whose numbers are in the
//! log already: use a new directory for a new checkpoint.
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use bytes::Bytes;
use datafusion::execution::SendableRecordBatchStream;
use millstream_checkpoint::{FaultPoint, SinkFileStatus, SinkLog, storage};
use millstream_engine::{
    BoxError,
    sink::{BatchWriter, CommitMessage, Sink, SinkBatch},
    time::ClockRef,
};
use tokio::sync::{Mutex, OnceCell};
use uuid::Uuid;

use super::{
    definition::single_path,
    location::Location,
    writer::{WritePlan, WrittenFile, partition_columns},
};
use crate::{
    error::ConnectorError,
    format::{Direction, FileFormat, file_format},
    noop::NoopSink,
    options::{DurationUnit, parse_duration},
    registry::SinkRequest,
    settings::ConnectorSettings,
    unwritable::UnwritableSink,
};

/// The folder of the log, below the output.
pub(super) const METADATA_DIR: &str = "_spark_metadata";

/// Writes batches to files.
#[derive(Debug)]
pub struct FileSink {
    plan: Arc<WritePlan>,
    settings: ConnectorSettings,
    /// Age at which files leave the log, in milliseconds.
    retention_ms: Option<i64>,
    clock: ClockRef,
    log: OnceCell<SinkLog>,
    /// Files written for the batch that is open.
    written: Arc<Mutex<Vec<WrittenFile>>>,
}

impl FileSink {
    /// Checks what `start()` says. Wrong options of the format are only met by the first batch.
    ///
    /// # Errors
    /// If the path is missing, or options of the sink or partition columns are wrong.
    pub fn open(format: &str, request: &SinkRequest) -> Result<Arc<dyn Sink>, ConnectorError> {
        match file_format(format, &request.options, &request.settings.format) {
            Ok(format) => Ok(Arc::new(Self::with_format(request, format)?)),
            Err(error) => {
                schema_columns(&request.schema, request)?;
                let description = description(&location(request)?);
                Ok(Arc::new(UnwritableSink::new(
                    description,
                    false,
                    error.into(),
                )))
            }
        }
    }

    pub(super) fn with_format(
        request: &SinkRequest,
        format: Arc<dyn FileFormat>,
    ) -> Result<Self, ConnectorError> {
        let SinkRequest {
            options,
            settings,
            schema,
            ..
        } = request;
        let location = location(request)?;
        let columns = schema_columns(schema, request)?;
        let plan = WritePlan::new(
            location,
            format,
            schema,
            columns,
            settings.format.time_zone,
            records_max(request)?,
        )?;
        let retention = options.get("retention");
        let retention_ms = retention
            .map(|text| parse_duration(text, DurationUnit::Millis))
            .transpose()?;
        Ok(Self {
            plan: Arc::new(plan),
            settings: settings.clone(),
            retention_ms,
            clock: Arc::clone(&request.clock),
            log: OnceCell::new(),
            written: Arc::default(),
        })
    }

    async fn log(&self, batch: &SinkBatch) -> Result<&SinkLog, ConnectorError> {
        let open = || async {
            let storage = storage::open(&self.plan.location.child(METADATA_DIR).url())?;
            let options = self
                .settings
                .log_options(self.settings.sink_log, self.retention_ms);
            Ok::<_, ConnectorError>(SinkLog::open(storage, options, batch.faults.clone()).await?)
        };
        self.log.get_or_try_init(open).await
    }

    async fn has(&self, batch: &SinkBatch) -> Result<bool, ConnectorError> {
        let latest = self.log(batch).await?.latest_id().await;
        Ok(latest.is_some_and(|latest| batch.batch_id <= latest))
    }
}

fn location(request: &SinkRequest) -> Result<Location, ConnectorError> {
    let paths: Vec<_> = request.path.iter().cloned().collect();
    Location::parse(single_path(&request.options, &paths, "start")?)
}

fn description(location: &Location) -> String {
    format!("FileSink[{}]", location.hadoop_text())
}

fn schema_columns(
    schema: &SchemaRef,
    request: &SinkRequest,
) -> Result<Vec<(usize, String)>, ConnectorError> {
    let names: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    let missing = |column: &str| ConnectorError::PartitionColumnNotFound {
        column: column.to_owned(),
        columns: names.join(", "),
    };
    let case_sensitive = request.settings.format.case_sensitive;
    partition_columns(schema, &request.partition_by, case_sensitive, missing)
}

fn records_max(request: &SinkRequest) -> Result<u64, ConnectorError> {
    let session = i64::try_from(request.settings.file_records_max).unwrap_or(i64::MAX);
    let max = request.options.long("maxRecordsPerFile", session)?;
    Ok(u64::try_from(max).unwrap_or_default())
}

/// The part of a batch's file names that tells batches and queries apart.
fn job_id(batch: &SinkBatch) -> Uuid {
    let (high, low) = batch.query_id.as_u64_pair();
    // Spread over all bits, so that neighbouring batches of related queries do not meet.
    let mixed = batch
        .batch_id
        .wrapping_add(1)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let bits = (u128::from(high) << 64) | u128::from(low ^ mixed);
    uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
}

#[async_trait]
impl Sink for FileSink {
    fn description(&self) -> String {
        description(&self.plan.location)
    }

    fn counts_rows(&self) -> bool {
        false
    }

    async fn begin(&self, batch: &SinkBatch) -> Result<Arc<dyn BatchWriter>, BoxError> {
        let format = &self.plan.format;
        format
            .check_schema(&self.plan.data_schema, Direction::Write)
            .map_err(ConnectorError::from)?;
        self.written.lock().await.clear();
        if self.has(batch).await? {
            // The rows are still pulled: state is written as they pass.
            return Ok(Arc::new(NoopSink));
        }
        Ok(Arc::new(FileWriter {
            plan: Arc::clone(&self.plan),
            job: job_id(batch),
            written: Arc::clone(&self.written),
        }))
    }

    async fn commit(
        &self,
        batch: &SinkBatch,
        messages: Vec<CommitMessage>,
    ) -> Result<(), BoxError> {
        if self.has(batch).await? {
            tracing::info!(
                batch_id = batch.batch_id,
                "skipping a batch that is committed already"
            );
            return Ok(());
        }
        let mut files: Vec<WrittenFile> = Vec::new();
        for message in &messages {
            let parsed: Vec<WrittenFile> =
                serde_json::from_slice(&message.payload).map_err(|e| {
                    ConnectorError::CommitMessage {
                        sink: "file",
                        reason: e.to_string(),
                    }
                })?;
            files.extend(parsed);
        }
        let published = self.plan.publish(files).await?;
        batch.faults.hit(FaultPoint::MidSinkCommit)?;
        let fs = &self.plan.location.fs;
        let entries = published
            .into_iter()
            .map(|file| SinkFileStatus::added(fs.url(&file.path), file.size, file.modified_ms))
            .collect();
        self.log(batch)
            .await?
            .add(batch.batch_id, entries, self.clock.now_ms())
            .await?;
        Ok(())
    }

    async fn abort(&self, _batch: &SinkBatch) {
        let files = std::mem::take(&mut *self.written.lock().await);
        self.plan.discard(files).await;
    }
}

#[derive(Debug)]
struct FileWriter {
    plan: Arc<WritePlan>,
    job: Uuid,
    written: Arc<Mutex<Vec<WrittenFile>>>,
}

#[async_trait]
impl BatchWriter for FileWriter {
    async fn write(
        &self,
        partition: usize,
        rows: SendableRecordBatchStream,
    ) -> Result<CommitMessage, BoxError> {
        let (files, rows) = Arc::clone(&self.plan)
            .write_task(self.job, partition, rows)
            .await?;
        let payload = Bytes::from(serde_json::to_vec(&files)?);
        self.written.lock().await.extend(files);
        Ok(CommitMessage { rows, payload })
    }
}

#[cfg(test)]
#[path = "sink_tests.rs"]
mod tests;
