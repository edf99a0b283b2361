//! The memory sink: keeps a query's output in a table of the driver, under the query's name.
//!
//! | question | answer |
//! |---|---|
//! | output modes | all; append and update add rows, complete replaces them |
//! | checkpoint location | may be left out |
//! | delivery | exactly once as long as the process lives: a batch that runs again is ignored |
//! | restart | only in complete mode; the table starts empty, and only complete mode fills it again |
//!
//! Readers see whole batches: a commit replaces the table's list of batches in one step.
mod table;

use std::sync::Arc;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use async_trait::async_trait;
use datafusion::execution::SendableRecordBatchStream;
use futures::TryStreamExt;
use millstream_engine::{
    BoxError,
    sink::{BatchWriter, CommitMessage, Sink, SinkBatch},
};

pub use table::{MemoryTable, MemoryTables, NumberedMemoryTable};

use crate::{batches, error::ConnectorError};

/// Fills a [`MemoryTable`].
#[derive(Debug)]
pub struct MemorySink {
    table: Arc<MemoryTable>,
}

impl MemorySink {
    /// A sink that fills `table`.
    pub fn new(table: Arc<MemoryTable>) -> Self {
        Self { table }
    }
}

#[async_trait]
impl Sink for MemorySink {
    fn description(&self) -> String {
        "MemorySink".to_owned()
    }

    async fn begin(&self, _batch: &SinkBatch) -> Result<Arc<dyn BatchWriter>, BoxError> {
        Ok(Arc::new(MemoryWriter {
            schema: self.table.table_schema(),
        }))
    }

    async fn commit(
        &self,
        batch: &SinkBatch,
        messages: Vec<CommitMessage>,
    ) -> Result<(), BoxError> {
        let rows = decode_all("memory", &messages)?;
        self.table
            .add_batch(batch.batch_id, batch.output_mode, rows);
        Ok(())
    }
}

/// The rows of all messages, in the order of the messages.
pub(crate) fn decode_all(
    sink: &'static str,
    messages: &[CommitMessage],
) -> Result<Vec<RecordBatch>, ConnectorError> {
    let mut rows = Vec::new();
    for message in messages {
        rows.extend(batches::decode(&message.payload).map_err(|e| {
            ConnectorError::CommitMessage {
                sink,
                reason: e.to_string(),
            }
        })?);
    }
    Ok(rows)
}

#[derive(Debug)]
struct MemoryWriter {
    schema: SchemaRef,
}

#[async_trait]
impl BatchWriter for MemoryWriter {
    async fn write(
        &self,
        _partition: usize,
        mut rows: SendableRecordBatchStream,
    ) -> Result<CommitMessage, BoxError> {
        let mut kept = Vec::new();
        let mut count = 0;
        while let Some(batch) = rows.try_next().await? {
            count += batch.num_rows() as u64;
            kept.push(batches::with_schema(&batch, &self.schema)?);
        }
        Ok(CommitMessage {
            rows: count,
            payload: batches::encode(&self.schema, &kept)?,
        })
    }
}

#[cfg(test)]
mod tests;
