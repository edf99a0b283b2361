//! The noop sink: runs a query and drops its rows. For measurements.
//!
//! | question | answer |
//! |---|---|
//! | output modes | all |
//! | checkpoint location | may be left out |
//! | delivery | none, so none is repeated |
use async_trait::async_trait;
use datafusion::execution::SendableRecordBatchStream;
use futures::TryStreamExt;
use millstream_engine::{
    BoxError,
    sink::{BatchWriter, CommitMessage, Sink, SinkBatch},
};
use std::sync::Arc;

/// Drops rows.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoopSink;

#[async_trait]
impl Sink for NoopSink {
    fn description(&self) -> String {
        "NoopTable".to_owned()
    }

    async fn begin(&self, _batch: &SinkBatch) -> Result<Arc<dyn BatchWriter>, BoxError> {
        Ok(Arc::new(*self))
    }

    async fn commit(
        &self,
        _batch: &SinkBatch,
        _messages: Vec<CommitMessage>,
    ) -> Result<(), BoxError> {
        Ok(())
    }
}

#[async_trait]
impl BatchWriter for NoopSink {
    async fn write(
        &self,
        _partition: usize,
        mut rows: SendableRecordBatchStream,
    ) -> Result<CommitMessage, BoxError> {
        let mut message = CommitMessage::default();
        while let Some(batch) = rows.try_next().await? {
            message.rows += batch.num_rows() as u64;
        }
        Ok(message)
    }
}
