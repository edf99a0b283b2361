//! The handle of a query: for everybody but its loop.
use std::{sync::Arc, time::Duration};

use uuid::Uuid;

use super::{
    QueryFailure, StreamingQueryProgress, StreamingQueryStatus,
    shared::{Lifecycle, Shared},
};

/// A run of a streaming query. Clones are handles to the same run; dropping them does not end it.
#[derive(Debug, Clone)]
pub struct StreamingQuery {
    shared: Arc<Shared>,
}

impl StreamingQuery {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Id of the query: stays the same as long as its checkpoint does.
    pub fn id(&self) -> Uuid {
        self.shared.id
    }

    /// Id of this run.
    pub fn run_id(&self) -> Uuid {
        self.shared.run_id
    }

    /// Name, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.shared.name.as_deref()
    }

    /// Whether the run has not ended.
    pub fn is_active(&self) -> bool {
        self.shared.is_running()
    }

    /// What it is doing.
    pub fn status(&self) -> StreamingQueryStatus {
        self.shared.status()
    }

    /// The latest reports, oldest first.
    pub fn recent_progress(&self) -> Vec<Arc<StreamingQueryProgress>> {
        self.shared.recent_progress()
    }

    /// The latest report.
    pub fn last_progress(&self) -> Option<Arc<StreamingQueryProgress>> {
        self.shared.last_progress()
    }

    /// Why the run failed, if it did.
    pub fn exception(&self) -> Option<Arc<QueryFailure>> {
        match self.shared.lifecycle() {
            Lifecycle::Failed(failure) => Some(failure),
            _ => None,
        }
    }

    /// The physical plan of the batches; with `extended` the logical one too.
    pub fn explain(&self, extended: bool) -> String {
        self.shared
            .plan(extended)
            .unwrap_or_else(|| "No physical plan. Waiting for data.".to_string())
    }

    /// Ends the run: what a batch has not committed is abandoned, and done again by the next run. Returns when the run has
    /// let go of its checkpoint.
    pub async fn stop(&self) {
        self.shared.cancel.cancel();
        self.shared.ended().await;
    }

    /// Waits for the end of the run, or for the time-out: then `Ok(false)`.
    ///
    /// # Errors
    /// The failure that ended the run.
    pub async fn await_termination(
        &self,
        timeout: Option<Duration>,
    ) -> Result<bool, Arc<QueryFailure>> {
        let ended = match timeout {
            None => self.shared.ended().await,
            Some(timeout) => match tokio::time::timeout(timeout, self.shared.ended()).await {
                Ok(ended) => ended,
                Err(_) => return Ok(false),
            },
        };
        match ended {
            Lifecycle::Failed(failure) => Err(failure),
            _ => Ok(true),
        }
    }

    /// Waits until everything that was there at the time of the call is processed.
    ///
    /// # Errors
    /// The failure that ended the run.
    pub async fn process_all_available(&self) -> Result<(), Arc<QueryFailure>> {
        match self.shared.idle().await {
            Lifecycle::Failed(failure) => Err(failure),
            _ => Ok(()),
        }
    }
}
