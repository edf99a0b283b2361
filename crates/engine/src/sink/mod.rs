//! Sinks: where a batch's rows go, and the contract that makes delivery idempotent.
//!
//! For every batch the query loop asks the sink for a [`BatchWriter`], which each partition of the plan feeds; every
//! partition yields a [`CommitMessage`], and the driver commits them all at once under the batch's number. A message is
//! bytes, so that a writer may run in another process than the commit.
use std::{fmt::Debug, sync::Arc};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use bytes::Bytes;
use datafusion::execution::SendableRecordBatchStream;
use millstream_checkpoint::Faults;
use uuid::Uuid;

use crate::{BoxError, plan::OutputMode};

/// The batch that a sink is about to take.
#[derive(Debug, Clone)]
pub struct SinkBatch {
    /// Number of the batch; a re-run has the same one.
    pub batch_id: u64,
    /// Stable id of the query.
    pub query_id: Uuid,
    /// Columns of the rows, under their output names.
    pub schema: SchemaRef,
    /// How the rows are to be understood.
    pub output_mode: OutputMode,
    /// The query's fault points.
    pub faults: Faults,
}

/// What a partition's writer hands to the commit.
#[derive(Debug, Clone, Default)]
pub struct CommitMessage {
    /// Rows written.
    pub rows: u64,
    /// Whatever the sink needs to commit them, in its own encoding.
    pub payload: Bytes,
}

/// A sink. Contract:
///
/// 1. For one batch: `begin`, then any number of concurrent [`BatchWriter::write`] calls, then `commit` or `abort`.
/// 2. `commit` is idempotent per `(query_id, batch_id)`: after a crash the loop re-runs the batch, with the same rows,
///    and the sink must end up as if it had run once; or the sink documents that it only delivers at least once.
/// 3. Nothing that a reader of the target takes for output appears before `commit`.
#[async_trait]
pub trait Sink: Debug + Send + Sync {
    /// What progress reports show, e.g. `MemorySink`.
    fn description(&self) -> String;
    /// Whether the number of rows written is known (`numOutputRows` is -1 otherwise).
    fn counts_rows(&self) -> bool {
        true
    }
    /// Opens batch `batch`.
    async fn begin(&self, batch: &SinkBatch) -> Result<Arc<dyn BatchWriter>, BoxError>;
    /// Makes the batch's rows visible.
    async fn commit(&self, batch: &SinkBatch, messages: Vec<CommitMessage>)
    -> Result<(), BoxError>;
    /// Forgets what the writers left, as far as possible.
    async fn abort(&self, batch: &SinkBatch) {
        let _ = batch;
    }
    /// Sink-specific metrics for progress reports.
    fn metrics(&self) -> Vec<(String, String)> {
        vec![]
    }
}

/// Writes the partitions of one batch.
#[async_trait]
pub trait BatchWriter: Debug + Send + Sync {
    /// Writes all rows of one partition. The stream must be drained even if the sink drops the rows: state is
    /// written as the rows are pulled.
    async fn write(
        &self,
        partition: usize,
        rows: SendableRecordBatchStream,
    ) -> Result<CommitMessage, BoxError>;
}
