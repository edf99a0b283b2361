//! Telling others what queries do.
use std::sync::Arc;

use uuid::Uuid;

use super::{QueryFailure, StreamingQueryProgress};

/// Something that happened to a query.
#[derive(Debug, Clone)]
pub enum StreamingQueryEvent {
    /// A run began; sent before `start` returns.
    Started {
        /// Id of the query.
        id: Uuid,
        /// Id of the run.
        run_id: Uuid,
        /// Name of the query.
        name: Option<String>,
        /// Milliseconds since the epoch.
        timestamp_ms: i64,
    },
    /// A batch is done.
    Progress(Arc<StreamingQueryProgress>),
    /// There has been nothing to do for a while.
    Idle {
        /// Id of the query.
        id: Uuid,
        /// Id of the run.
        run_id: Uuid,
        /// Milliseconds since the epoch.
        timestamp_ms: i64,
    },
    /// The run is over.
    Terminated {
        /// Id of the query.
        id: Uuid,
        /// Id of the run.
        run_id: Uuid,
        /// Why, if it failed.
        failure: Option<Arc<QueryFailure>>,
    },
}

/// Receives the events of a session's queries, in order per query. It is called by the query loop and must not block.
pub trait StreamingQueryListener: Send + Sync {
    /// One event.
    fn on_event(&self, event: &StreamingQueryEvent);
}

/// Names a registered listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListenerId(pub(super) u64);
