//! `foreach_batch`: each batch handed to code of the program as a `DataFrame`.
//!
//! The batch is complete before the function sees it, and is committed once the function has succeeded; after a crash
//! or a failure in between it runs again with the same rows and the same number. So delivery is at least once, and a
//! function that wants exactly once lets the batch's number decide what it has already done.
//!
//! Rows are kept in memory from the time the partitions have produced them until the function returns.
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use datafusion::{
    arrow::array::RecordBatch,
    datasource::MemTable,
    execution::{SendableRecordBatchStream, context::SessionState},
    prelude::{DataFrame, SessionContext},
};
use futures::TryStreamExt;
use millstream_engine::{
    BoxError,
    sink::{BatchWriter, CommitMessage, Sink, SinkBatch},
};

use crate::foreach::renamed;

/// What is done with every batch. Functions `|frame, batch_id| async { … }` are.
#[async_trait]
pub trait ForeachBatch: Send + Sync + 'static {
    /// Processes batch `batch_id`, whose rows are `batch`: a static table that can be read any number of times.
    ///
    /// # Errors
    /// What is returned ends the query; the batch runs again when it is started anew.
    async fn process(&self, batch: DataFrame, batch_id: u64) -> Result<(), BoxError>;
}

#[async_trait]
impl<F, Fut, E> ForeachBatch for F
where
    F: Fn(DataFrame, u64) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send,
    E: Into<BoxError>,
{
    async fn process(&self, batch: DataFrame, batch_id: u64) -> Result<(), BoxError> {
        self(batch, batch_id).await.map_err(Into::into)
    }
}

/// Rows by partition.
type Partitions = BTreeMap<usize, Vec<RecordBatch>>;

/// The sink of `foreach_batch`.
pub(crate) struct ForeachBatchSink<F> {
    function: F,
    /// The session of the query's `DataFrame`, whose tables and functions the batch's frame sees.
    session: SessionState,
    /// Rows that wait for their batch to be complete, by batch.
    waiting: Arc<Mutex<HashMap<u64, Partitions>>>,
}

impl<F> ForeachBatchSink<F> {
    pub fn new(function: F, session: SessionState) -> Self {
        Self {
            function,
            session,
            waiting: Arc::default(),
        }
    }
}

impl<F> fmt::Debug for ForeachBatchSink<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ForeachBatchSink")
    }
}

fn lock(waiting: &Mutex<HashMap<u64, Partitions>>) -> MutexGuard<'_, HashMap<u64, Partitions>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl<F: ForeachBatch> Sink for ForeachBatchSink<F> {
    fn description(&self) -> String {
        "ForeachBatchSink".to_string()
    }

    fn counts_rows(&self) -> bool {
        false
    }

    async fn begin(&self, batch: &SinkBatch) -> Result<Arc<dyn BatchWriter>, BoxError> {
        lock(&self.waiting).insert(batch.batch_id, Partitions::new());
        Ok(Arc::new(Collector {
            batch: batch.clone(),
            waiting: Arc::clone(&self.waiting),
        }))
    }

    async fn commit(
        &self,
        batch: &SinkBatch,
        _messages: Vec<CommitMessage>,
    ) -> Result<(), BoxError> {
        let partitions = lock(&self.waiting)
            .remove(&batch.batch_id)
            .unwrap_or_default();
        let mut partitions: Vec<_> = partitions.into_values().collect();
        if partitions.is_empty() {
            // A table without a partition cannot be read.
            partitions.push(vec![]);
        }
        let table = MemTable::try_new(Arc::clone(&batch.schema), partitions)?;
        let context = SessionContext::new_with_state(self.session.clone());
        let frame = context.read_table(Arc::new(table))?;
        self.function.process(frame, batch.batch_id).await
    }

    async fn abort(&self, batch: &SinkBatch) {
        lock(&self.waiting).remove(&batch.batch_id);
    }
}

#[derive(Debug)]
struct Collector {
    batch: SinkBatch,
    waiting: Arc<Mutex<HashMap<u64, Partitions>>>,
}

#[async_trait]
impl BatchWriter for Collector {
    async fn write(
        &self,
        partition: usize,
        mut rows: SendableRecordBatchStream,
    ) -> Result<CommitMessage, BoxError> {
        let (mut kept, mut count) = (vec![], 0);
        while let Some(some) = rows.try_next().await? {
            count += some.num_rows() as u64;
            kept.push(renamed(some, &self.batch)?);
        }
        if let Some(partitions) = lock(&self.waiting).get_mut(&self.batch.batch_id) {
            partitions.insert(partition, kept);
        }
        Ok(CommitMessage {
            rows: count,
            ..CommitMessage::default()
        })
    }
}
