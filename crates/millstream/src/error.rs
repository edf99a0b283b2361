//! What can go wrong between `read_stream` and the end of a query.
use std::sync::Arc;

use datafusion::error::DataFusionError;
use millstream_connectors::ConnectorError;
use millstream_engine::{EngineError, query::QueryFailure};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The plan is wrong.
    #[error(transparent)]
    Plan(#[from] DataFusionError),
    /// A source or sink is unknown, or its options are wrong.
    #[error(transparent)]
    Connector(#[from] ConnectorError),
    /// The query cannot start.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The query ended with a failure.
    #[error("query {} (run {}) failed: {}", .0.id, .0.run_id, .0.error)]
    Query(Arc<QueryFailure>),
    /// A delay is no interval.
    #[error(
        "the watermark delay {text:?} is not an interval such as \"10 minutes\", or is negative"
    )]
    Delay {
        /// The text as given.
        text: String,
    },
    /// The sink needs a place for its checkpoint.
    #[error(
        "the {format} sink needs the option checkpointLocation: what it has written must be known after a restart"
    )]
    CheckpointLocationRequired {
        /// Format of the sink.
        format: String,
    },
    /// The checkpoint cannot be continued by this sink.
    #[error(
        "the {format} sink cannot continue from the checkpoint {location}: it forgets its rows when the program ends"
    )]
    NotRecoverable {
        /// Format of the sink.
        format: String,
        /// The checkpoint.
        location: String,
    },
    /// A temporary checkpoint cannot be made.
    #[error("cannot create a folder for a temporary checkpoint: {0}")]
    TemporaryCheckpoint(#[source] std::io::Error),
    /// Queries need a runtime to live on.
    #[error("streaming queries run on tokio: call from within a runtime")]
    NoRuntime,
}

impl From<Arc<QueryFailure>> for Error {
    fn from(failure: Arc<QueryFailure>) -> Self {
        Self::Query(failure)
    }
}
