//! Why a query could not be started or had to end.
use datafusion::error::DataFusionError;
use millstream_checkpoint::{CheckpointError, storage::StorageError};
use millstream_state::StateError;
use uuid::Uuid;

use crate::{BoxError, plan::UnsupportedOperation};

/// Error of the engine. Whoever reports it to a user finds the cause by variant, and inside the boxed ones by downcast.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The plan does not run as a stream, or not in this output mode.
    #[error(transparent)]
    Unsupported(#[from] UnsupportedOperation),
    /// The plan cannot be built.
    #[error("cannot plan the query: {0}")]
    Plan(#[source] DataFusionError),
    /// A batch failed while its plan ran.
    #[error("batch {batch_id} failed: {source}")]
    Execution {
        /// The batch.
        batch_id: u64,
        /// What an operator, a source's reader or a function said.
        #[source]
        source: DataFusionError,
    },
    /// A source failed.
    #[error("source {description}: {source}")]
    Source {
        /// The source, as progress reports show it.
        description: String,
        /// What it said.
        #[source]
        source: BoxError,
    },
    /// A sink failed.
    #[error("sink {description}: {source}")]
    Sink {
        /// The sink, as progress reports show it.
        description: String,
        /// What it said.
        #[source]
        source: BoxError,
    },
    /// The checkpoint's logs failed or contradict each other.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The durable layer failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// State could not be opened.
    #[error(transparent)]
    State(#[from] StateError),
    /// Part of a batch's output was never asked for, so part of its state was never written.
    #[error(
        "batch {batch_id}: only {committed} of {expected} state partitions of operator {operator_id} were committed; the sink \
         must read all rows of every partition"
    )]
    StateNotCommitted {
        /// The batch.
        batch_id: u64,
        /// The operator.
        operator_id: u32,
        /// Partitions that committed.
        committed: u64,
        /// Partitions that there are.
        expected: usize,
    },
    /// A restarted query has stateful operators, its checkpoint no state.
    #[error(
        "Cannot restart streaming query with stateful operators because the state directory is empty or missing.\n\
         Stateful operators in current batch: [{planned}].\nThis typically occurs when state files have been deleted or \
         the streaming query was previously run without stateful operators but restarted with stateful operators."
    )]
    MissingState {
        /// The operators of the plan.
        planned: String,
    },
    /// A restarted query has other stateful operators than its checkpoint.
    #[error("stateful operators in the checkpoint: [{stored}]; in the query: [{planned}]")]
    OtherOperators {
        /// Those of the checkpoint.
        stored: String,
        /// Those of the plan.
        planned: String,
    },
    /// A stateful operator of a restarted query computes something else than before.
    #[error(
        "the state of the checkpoint was made by other operations: {changes}. Its results would be wrong. Undo the change, \
         start with a new checkpoint location, or set spark.millstream.checkpoint.allowChangedOperators to true to go \
         on with the state as it is"
    )]
    ChangedOperators {
        /// What changed.
        changes: String,
    },
    /// It does, and its state has other columns.
    #[error(
        "the state of the checkpoint was made by other operations, and has other columns: {changes}. Undo the change, or \
         start with a new checkpoint location"
    )]
    ChangedState {
        /// What changed.
        changes: String,
    },
    /// An operator does not say which stores it has, and what places their rows.
    #[error(
        "the state of operator {operator_id} ({name}) cannot be moved to another number of partitions: it is not known \
         which key columns place its rows. Start the query without spark.millstream.checkpoint.repartitionState, and it \
         goes on with the number that it has"
    )]
    UnknownState {
        /// The operator.
        operator_id: u32,
        /// Its name in progress reports.
        name: &'static str,
    },
    /// State could not be moved to another number of partitions.
    #[error(
        "moving the state from {from} to {to} partitions in batch {batch_id} failed: {source}. The next start tries again; \
         going back to the batch before (millstream checkpoint rewind) keeps the state in {from} partitions"
    )]
    Repartition {
        /// The batch.
        batch_id: u64,
        /// Number of partitions so far.
        from: usize,
        /// Number of partitions wanted.
        to: usize,
        /// What failed.
        #[source]
        source: Box<StateError>,
    },
    /// Another active query has the name.
    #[error(
        "Cannot start query with name {name} as a query with that name is already active in this SparkSession"
    )]
    NameInUse {
        /// The name.
        name: String,
    },
    /// The checkpoint belongs to a query that runs, and must not be stopped.
    #[error(
        "Cannot start query with id {id} as another query with same id is already active. Perhaps you are attempting to \
         restart a query from checkpoint that is already active. You may stop the old query by setting the SQL configuration: \
         spark.conf.set(\"spark.sql.streaming.stopActiveRunOnRestart\", true) and retry."
    )]
    AlreadyActive {
        /// Id of the query.
        id: Uuid,
    },
    /// A setting in the checkpoint cannot be read.
    #[error("the checkpoint pins {key}={value}, which is not valid: {reason}")]
    PinnedSetting {
        /// Conf key.
        key: String,
        /// Its value in the offset log.
        value: String,
        /// Why it is refused.
        reason: String,
    },
    /// The engine is being torn down, or a task of it died.
    #[error("the query's task ended unexpectedly: {message}")]
    Task {
        /// What the runtime says.
        message: String,
    },
}
