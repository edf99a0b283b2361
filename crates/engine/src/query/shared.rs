//! What the loop publishes and its handles read, and the wishes that go the other way.
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::StreamingQueryProgress;
use crate::EngineError;

/// What a query is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamingQueryStatus {
    /// In words.
    pub message: String,
    /// Whether the last look found new data.
    pub is_data_available: bool,
    /// Whether a trigger is being worked on.
    pub is_trigger_active: bool,
}

/// How a query ended that failed.
#[derive(Debug)]
pub struct QueryFailure {
    /// Id of the query.
    pub id: Uuid,
    /// Id of the run.
    pub run_id: Uuid,
    /// Name of the query.
    pub name: Option<String>,
    /// The cause.
    pub error: EngineError,
    /// End of the last committed batch per source, by description.
    pub committed_offsets: Vec<(String, Option<String>)>,
    /// End of the batch being worked on per source, by description.
    pub available_offsets: Vec<(String, Option<String>)>,
    /// The plan, as text.
    pub plan: String,
    /// Milliseconds since the epoch.
    pub timestamp_ms: i64,
}

impl QueryFailure {
    /// The failure of a run whose loop panicked.
    pub(super) fn of_panic(shared: &Shared, message: String) -> Self {
        Self {
            id: shared.id,
            run_id: shared.run_id,
            name: shared.name.clone(),
            error: EngineError::Task { message },
            committed_offsets: vec![],
            available_offsets: vec![],
            plan: String::new(),
            timestamp_ms: 0,
        }
    }
}

/// How far a run has got.
#[derive(Debug, Clone)]
pub(super) enum Lifecycle {
    Running,
    Stopped,
    Failed(Arc<QueryFailure>),
}

/// The meeting point of a run's loop and its handles.
#[derive(Debug)]
pub(super) struct Shared {
    pub id: Uuid,
    pub run_id: Uuid,
    pub name: Option<String>,
    /// Wish: end the run.
    pub cancel: CancellationToken,
    lifecycle: watch::Sender<Lifecycle>,
    /// Counts the wishes to be told of idleness; `idle` answers with the count that was seen before the look for data.
    asked: AtomicU64,
    idle: watch::Sender<u64>,
    snapshot: Mutex<Snapshot>,
}

#[derive(Debug)]
struct Snapshot {
    status: StreamingQueryStatus,
    recent: VecDeque<Arc<StreamingQueryProgress>>,
    recent_max: usize,
    plan: Option<(String, String)>,
}

impl Shared {
    pub fn new(id: Uuid, run_id: Uuid, name: Option<String>, recent_max: usize) -> Self {
        let status = StreamingQueryStatus {
            message: "Initializing StreamExecution".to_string(),
            is_data_available: false,
            is_trigger_active: false,
        };
        Self {
            id,
            run_id,
            name,
            cancel: CancellationToken::new(),
            lifecycle: watch::Sender::new(Lifecycle::Running),
            asked: AtomicU64::new(0),
            idle: watch::Sender::new(0),
            snapshot: Mutex::new(Snapshot {
                status,
                recent: VecDeque::new(),
                recent_max,
                plan: None,
            }),
        }
    }

    /// A panic elsewhere leaves the snapshot consistent: it is changed by single assignments.
    fn snapshot(&self) -> MutexGuard<'_, Snapshot> {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn lifecycle(&self) -> Lifecycle {
        self.lifecycle.borrow().clone()
    }

    pub fn is_running(&self) -> bool {
        matches!(*self.lifecycle.borrow(), Lifecycle::Running)
    }

    /// Returns how the run ended, once it has.
    pub async fn ended(&self) -> Lifecycle {
        let mut changes = self.lifecycle.subscribe();
        let ended = changes
            .wait_for(|lifecycle| !matches!(lifecycle, Lifecycle::Running))
            .await;
        // The sender lives in `self`, so waiting cannot fail.
        ended
            .map(|lifecycle| lifecycle.clone())
            .unwrap_or(Lifecycle::Stopped)
    }

    pub fn end(&self, lifecycle: Lifecycle) {
        let message = match &lifecycle {
            Lifecycle::Failed(failure) => format!("Terminated with exception: {}", failure.error),
            _ => "Stopped".to_string(),
        };
        self.set_status(|status| {
            *status = StreamingQueryStatus {
                message,
                is_data_available: false,
                is_trigger_active: false,
            };
        });
        self.lifecycle.send_replace(lifecycle);
    }

    /// Returns once the loop has looked for data after this call and found none, or has ended.
    pub async fn idle(&self) -> Lifecycle {
        let wish = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
        let mut answers = self.idle.subscribe();
        tokio::select! {
            _ = answers.wait_for(|answer| *answer >= wish) => self.lifecycle(),
            ended = self.ended() => ended,
        }
    }

    /// The wishes so far; to be passed to [`Shared::answer_idle`] if no data is found from here on.
    pub fn idle_wishes(&self) -> u64 {
        self.asked.load(Ordering::Acquire)
    }

    pub fn answer_idle(&self, wishes: u64) {
        self.idle.send_if_modified(|answer| {
            let newer = wishes > *answer;
            *answer = wishes.max(*answer);
            newer
        });
    }

    pub fn status(&self) -> StreamingQueryStatus {
        self.snapshot().status.clone()
    }

    pub fn set_status(&self, change: impl FnOnce(&mut StreamingQueryStatus)) {
        change(&mut self.snapshot().status);
    }

    pub fn set_message(&self, message: impl Into<String>) {
        self.set_status(|status| status.message = message.into());
    }

    pub fn recent_progress(&self) -> Vec<Arc<StreamingQueryProgress>> {
        self.snapshot().recent.iter().cloned().collect()
    }

    pub fn last_progress(&self) -> Option<Arc<StreamingQueryProgress>> {
        self.snapshot().recent.back().cloned()
    }

    pub fn add_progress(&self, progress: Arc<StreamingQueryProgress>) {
        let mut snapshot = self.snapshot();
        snapshot.recent.push_back(progress);
        // One fewer than the setting says, as Spark keeps them.
        while snapshot.recent.len() >= snapshot.recent_max && !snapshot.recent.is_empty() {
            snapshot.recent.pop_front();
        }
    }

    /// The plan of the last batch, simple or extended.
    pub fn plan(&self, extended: bool) -> Option<String> {
        let snapshot = self.snapshot();
        snapshot.plan.as_ref().map(|(simple, full)| {
            if extended {
                full.clone()
            } else {
                simple.clone()
            }
        })
    }

    pub fn set_plan(&self, plan: impl FnOnce() -> (String, String)) {
        let mut snapshot = self.snapshot();
        if snapshot.plan.is_none() {
            snapshot.plan = Some(plan());
        }
    }
}
