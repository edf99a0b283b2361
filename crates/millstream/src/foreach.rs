//! `foreach`: rows handed to code of the program, partition by partition.
//!
//! A batch's partitions are written side by side, each by a copy of the program's writer: `open`, `process` for the
//! rows as they come, `close`. Rows go out before the batch is committed, and after a crash or a failure the batch runs
//! again: delivery is at least once. A writer that wants exactly once remembers, in the system it writes to, which
//! (partition, batch) it has finished, and answers `false` when that one is opened again.
use std::{fmt, sync::Arc};

use async_trait::async_trait;
use datafusion::{
    arrow::{array::RecordBatch, error::ArrowError},
    execution::SendableRecordBatchStream,
};
use futures::TryStreamExt;
use millstream_engine::{
    BoxError,
    sink::{BatchWriter, CommitMessage, Sink, SinkBatch},
};

/// Writes rows wherever the program wants. Contract:
///
/// 1. Every partition of every batch gets a clone of the writer that was given to `foreach`.
/// 2. `open`, then `process` any number of times, then `close`, once each and from one task.
/// 3. When `open` answers `false` the partition's rows are skipped. `close` is called nevertheless.
/// 4. An error of `open` or `process` fails the batch, and with it the query, after `close` was told of it.
#[async_trait]
pub trait ForeachWriter: Clone + Send + Sync + 'static {
    /// A partition of a batch begins. `true` asks for its rows.
    ///
    /// # Errors
    /// Whatever keeps the rows from being written.
    async fn open(&mut self, partition: usize, batch_id: u64) -> Result<bool, BoxError> {
        let _ = (partition, batch_id);
        Ok(true)
    }

    /// Writes some rows.
    ///
    /// # Errors
    /// They could not be written.
    async fn process(&mut self, rows: RecordBatch) -> Result<(), BoxError>;

    /// The partition is at its end, or has failed.
    async fn close(&mut self, error: Option<&BoxError>) {
        let _ = error;
    }
}

/// The sink of `foreach`.
pub(crate) struct ForeachSink<W>(Arc<W>);

impl<W> ForeachSink<W> {
    pub fn new(writer: W) -> Self {
        Self(Arc::new(writer))
    }
}

impl<W> fmt::Debug for ForeachSink<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ForeachSink")
    }
}

#[async_trait]
impl<W: ForeachWriter> Sink for ForeachSink<W> {
    fn description(&self) -> String {
        "ForeachWriterTable".to_string()
    }

    async fn begin(&self, batch: &SinkBatch) -> Result<Arc<dyn BatchWriter>, BoxError> {
        Ok(Arc::new(ForeachBatchWriter {
            writer: Arc::clone(&self.0),
            batch: batch.clone(),
        }))
    }

    async fn commit(
        &self,
        _batch: &SinkBatch,
        _messages: Vec<CommitMessage>,
    ) -> Result<(), BoxError> {
        Ok(())
    }
}

struct ForeachBatchWriter<W> {
    writer: Arc<W>,
    batch: SinkBatch,
}

impl<W> fmt::Debug for ForeachBatchWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForeachBatchWriter")
            .field("batch", &self.batch)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl<W: ForeachWriter> BatchWriter for ForeachBatchWriter<W> {
    async fn write(
        &self,
        partition: usize,
        rows: SendableRecordBatchStream,
    ) -> Result<CommitMessage, BoxError> {
        let mut writer = W::clone(&self.writer);
        let written = feed(&mut writer, partition, &self.batch, rows).await;
        writer.close(written.as_ref().err()).await;
        Ok(CommitMessage {
            rows: written?,
            ..CommitMessage::default()
        })
    }
}

async fn feed<W: ForeachWriter>(
    writer: &mut W,
    partition: usize,
    batch: &SinkBatch,
    mut rows: SendableRecordBatchStream,
) -> Result<u64, BoxError> {
    let wanted = writer.open(partition, batch.batch_id).await?;
    let mut count = 0;
    // Drained in any case: state is written as rows are pulled.
    while let Some(some) = rows.try_next().await? {
        if wanted && some.num_rows() > 0 {
            count += some.num_rows() as u64;
            writer.process(renamed(some, batch)?).await?;
        }
    }
    Ok(count)
}

/// The rows under the names that the query gives its columns.
pub(crate) fn renamed(rows: RecordBatch, batch: &SinkBatch) -> Result<RecordBatch, ArrowError> {
    rows.with_schema(Arc::clone(&batch.schema))
}
