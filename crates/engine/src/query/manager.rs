//! The queries of a session.
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use millstream_checkpoint::{CheckpointDir, storage};
use tokio::{runtime::Handle, sync::watch};
use uuid::Uuid;

use super::{
    ListenerId, QueryFailure, QuerySpec, StreamingQuery, StreamingQueryEvent,
    StreamingQueryListener,
    run::Run,
    shared::{Lifecycle, Shared},
};
use crate::{EngineError, plan};

/// The runs of all sessions of a process by query id, so that no checkpoint has two writers.
#[derive(Debug, Default)]
pub struct ActiveQueries(Mutex<HashMap<Uuid, StreamingQuery>>);

/// What [`StreamingQueryManager::await_any_termination`] saw.
#[derive(Debug, Clone)]
pub enum AnyTermination {
    /// A query ended, or had ended before, without a failure.
    Terminated,
    /// The time was up.
    TimedOut,
}

/// Starts queries and knows which of a session run.
#[derive(Clone)]
pub struct StreamingQueryManager {
    inner: Arc<Inner>,
}

struct Inner {
    runtime: Handle,
    active_everywhere: Arc<ActiveQueries>,
    queries: Mutex<BTreeMap<Uuid, StreamingQuery>>,
    listeners: Mutex<BTreeMap<ListenerId, Arc<dyn StreamingQueryListener>>>,
    next_listener: AtomicU64,
    /// The last termination since the last reset.
    terminated: watch::Sender<Option<Lifecycle>>,
}

impl std::fmt::Debug for StreamingQueryManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamingQueryManager")
            .field("active", &self.active().len())
            .finish()
    }
}

/// A panic elsewhere leaves the maps consistent: they are changed by single calls.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl StreamingQueryManager {
    /// A manager whose queries run on `runtime`.
    pub fn new(runtime: Handle, active_everywhere: Arc<ActiveQueries>) -> Self {
        Self {
            inner: Arc::new(Inner {
                runtime,
                active_everywhere,
                queries: Mutex::default(),
                listeners: Mutex::default(),
                next_listener: AtomicU64::new(0),
                terminated: watch::Sender::new(None),
            }),
        }
    }

    /// Starts a query. What is wrong with the query as such is found here; what goes wrong while it runs, the first
    /// batch included, ends the run.
    ///
    /// # Errors
    /// An unsupported plan, a name or checkpoint in use, a checkpoint that cannot be opened.
    pub async fn start(&self, spec: QuerySpec) -> Result<StreamingQuery, EngineError> {
        plan::check(&spec.plan, spec.output_mode, spec.settings.checks)
            .map_err(EngineError::Plan)??;
        if let Some(name) = &spec.name
            && self.active().iter().any(|query| query.name() == Some(name))
        {
            return Err(EngineError::NameInUse { name: name.clone() });
        }
        let root = storage::open(&spec.checkpoint.url)?;
        let dir = CheckpointDir::new(root, spec.faults.clone());
        let id = dir.metadata_or_create(Uuid::new_v4(), true).await?.id;
        self.make_way(id, spec.stop_active_run).await?;
        let shared = Arc::new(Shared::new(
            id,
            Uuid::new_v4(),
            spec.name.clone(),
            spec.settings.recent_progress,
        ));
        let query = StreamingQuery::new(Arc::clone(&shared));
        lock(&self.inner.queries).insert(shared.run_id, query.clone());
        lock(&self.inner.active_everywhere.0).insert(id, query.clone());
        self.publish(&StreamingQueryEvent::Started {
            id,
            run_id: shared.run_id,
            name: spec.name.clone(),
            timestamp_ms: spec.clock.now_ms(),
        });
        let manager = self.clone();
        self.inner.runtime.spawn(async move {
            let run = Run::new(spec, dir, Arc::clone(&shared), manager.clone());
            // A panic in the loop is a failure of the query, not of the process.
            let ended = match tokio::spawn(run.execute()).await {
                Ok(ended) => ended,
                Err(panic) => {
                    Lifecycle::Failed(Arc::new(QueryFailure::of_panic(&shared, panic.to_string())))
                }
            };
            manager.ended(&shared, ended);
        });
        Ok(query)
    }

    /// Sees to it that no run of the query is active.
    async fn make_way(&self, id: Uuid, stop_active_run: bool) -> Result<(), EngineError> {
        let active = lock(&self.inner.active_everywhere.0).get(&id).cloned();
        let Some(active) = active.filter(StreamingQuery::is_active) else {
            return Ok(());
        };
        if !stop_active_run {
            return Err(EngineError::AlreadyActive { id });
        }
        tracing::warn!(%id, run_id = %active.run_id(), "stopping the active run of a query that is started again");
        active.stop().await;
        Ok(())
    }

    fn ended(&self, shared: &Arc<Shared>, ended: Lifecycle) {
        {
            let mut everywhere = lock(&self.inner.active_everywhere.0);
            if everywhere
                .get(&shared.id)
                .is_some_and(|query| query.run_id() == shared.run_id)
            {
                everywhere.remove(&shared.id);
            }
        }
        lock(&self.inner.queries).remove(&shared.run_id);
        let failure = match &ended {
            Lifecycle::Failed(failure) => Some(Arc::clone(failure)),
            _ => None,
        };
        // Listeners hear of the end before those who wait for it go on, as with Spark.
        self.publish(&StreamingQueryEvent::Terminated {
            id: shared.id,
            run_id: shared.run_id,
            failure,
        });
        shared.end(ended.clone());
        self.inner.terminated.send_modify(|last| {
            // A failure stays until it is reset; awaiting must not miss it.
            if !matches!(last, Some(Lifecycle::Failed(_))) {
                *last = Some(ended);
            }
        });
    }

    /// The queries that run.
    pub fn active(&self) -> Vec<StreamingQuery> {
        lock(&self.inner.queries)
            .values()
            .filter(|query| query.is_active())
            .cloned()
            .collect()
    }

    /// The active query with an id.
    pub fn get(&self, id: Uuid) -> Option<StreamingQuery> {
        self.active().into_iter().find(|query| query.id() == id)
    }

    /// Waits until any query of the session has ended since the last [`StreamingQueryManager::reset_terminated`].
    ///
    /// # Errors
    /// The failure of that query.
    pub async fn await_any_termination(
        &self,
        timeout: Option<Duration>,
    ) -> Result<AnyTermination, Arc<QueryFailure>> {
        let mut changes = self.inner.terminated.subscribe();
        let ended = changes.wait_for(Option::is_some);
        let ended = match timeout {
            None => ended.await,
            Some(timeout) => match tokio::time::timeout(timeout, ended).await {
                Ok(ended) => ended,
                Err(_) => return Ok(AnyTermination::TimedOut),
            },
        };
        match ended.ok().and_then(|ended| ended.clone()) {
            Some(Lifecycle::Failed(failure)) => Err(failure),
            _ => Ok(AnyTermination::Terminated),
        }
    }

    /// Forgets past terminations.
    pub fn reset_terminated(&self) {
        self.inner.terminated.send_replace(None);
    }

    /// Stops all queries of the session.
    pub async fn stop_all(&self) {
        let active = self.active();
        futures::future::join_all(active.iter().map(StreamingQuery::stop)).await;
    }

    /// Adds a listener.
    pub fn add_listener(&self, listener: Arc<dyn StreamingQueryListener>) -> ListenerId {
        let id = ListenerId(self.inner.next_listener.fetch_add(1, Ordering::Relaxed));
        lock(&self.inner.listeners).insert(id, listener);
        id
    }

    /// Removes a listener.
    pub fn remove_listener(&self, id: ListenerId) {
        lock(&self.inner.listeners).remove(&id);
    }

    pub(super) fn publish(&self, event: &StreamingQueryEvent) {
        let listeners: Vec<_> = lock(&self.inner.listeners).values().cloned().collect();
        for listener in listeners {
            listener.on_event(event);
        }
    }
}
