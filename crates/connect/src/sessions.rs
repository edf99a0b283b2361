//! Sessions: what a client finds again under its session id.
//!
//! A session comes into being with the first request that names its id, and ends when the client releases it or when
//! nobody used it for [`IDLE_TIMEOUT_MS`]. A session in which an operation or a streaming query runs is in use,
//! however long ago the last request was. Its id stays reserved for a while (a tombstone), so that a late request is
//! told `SESSION_CLOSED` instead of silently getting an empty session.
//!
//! Clients check that a session stays the one they know by its server-side id, which is made up when the session is
//! created: after a restart of the server it differs, and the client is told `SESSION_CHANGED`.
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use millstream_engine::time::ClockRef;
use millstream_spark::{
    error::SparkError,
    session::{self as spark_session, Environment},
};

use tokio_util::sync::CancellationToken;
use tonic::Status;
use uuid::Uuid;

use crate::{
    artifacts::Artifacts,
    error::{self, ErrorStore},
    execute::{listener_bus::ListenerBus, queries::Queries},
    execution::{Executions, ResponseIds},
};

/// A session that is not used for this time is closed, in milliseconds.
pub const IDLE_TIMEOUT_MS: i64 = 60 * 60 * 1000;

/// How often idle sessions and abandoned operations are looked for.
pub const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(30);

/// Closed sessions that are remembered.
const TOMBSTONES_MAX: usize = 1000;

/// What identifies a session.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SessionKey {
    /// The user as the client names itself; may be empty.
    pub user_id: String,
    /// The client's id, a UUID.
    pub session_id: String,
}

/// One session.
#[derive(Debug)]
pub struct Session {
    key: SessionKey,
    server_side_session_id: String,
    spark: spark_session::Session,
    executions: Executions,
    artifacts: Arc<Artifacts>,
    errors: ErrorStore,
    queries: Queries,
    listener_bus: ListenerBus,
    closed: CancellationToken,

    last_used_ms: AtomicI64,
}

impl Session {
    fn new(
        key: SessionKey,
        spark: spark_session::Session,
        artifacts: Artifacts,
        clock: ClockRef,
    ) -> Arc<Self> {
        let artifacts = Arc::new(artifacts);
        let uploaded = Arc::clone(&artifacts);
        spark.set_cached_local(Arc::new(move |hash| uploaded.cached(hash)));
        Arc::new(Self {
            key,
            server_side_session_id: Uuid::new_v4().to_string(),
            spark,
            last_used_ms: AtomicI64::new(clock.now_ms()),
            executions: Executions::new(clock),
            artifacts,
            errors: ErrorStore::default(),
            queries: Queries::default(),
            listener_bus: ListenerBus::default(),
            closed: CancellationToken::new(),
        })
    }

    /// The client's id.
    pub fn session_id(&self) -> &str {
        &self.key.session_id
    }

    /// The server's id.
    pub fn server_side_session_id(&self) -> &str {
        &self.server_side_session_id
    }

    /// Spark's side: confs, views, plans, queries.
    pub fn spark(&self) -> &spark_session::Session {
        &self.spark
    }

    /// The session's operations.
    pub fn executions(&self) -> &Executions {
        &self.executions
    }

    /// What was uploaded.
    pub fn artifacts(&self) -> &Artifacts {
        &self.artifacts
    }

    /// Errors whose details the client may fetch.
    pub fn errors(&self) -> &ErrorStore {
        &self.errors
    }

    /// The streaming queries that the client may ask about.
    pub fn queries(&self) -> &Queries {
        &self.queries
    }

    /// Where the client's listeners get their events from.
    pub fn listener_bus(&self) -> &ListenerBus {
        &self.listener_bus
    }

    /// Cancelled when the session is closed.
    pub fn closed(&self) -> &CancellationToken {
        &self.closed
    }

    /// The status for an error that occurred in this session.
    pub fn status(&self, error: SparkError) -> Status {
        self.errors.status(error)
    }

    /// The ids that responses of an operation carry.
    pub fn response_ids(&self, operation_id: &str) -> ResponseIds {
        ResponseIds {
            session_id: self.key.session_id.clone(),
            server_side_session_id: self.server_side_session_id.clone(),
            operation_id: operation_id.to_string(),
        }
    }

    fn is_in_use(&self) -> bool {
        self.executions.any_running() || !self.spark.streams().active().is_empty()
    }

    /// Interrupts the operations and stops the queries.
    async fn close(&self) {
        self.closed.cancel();
        self.executions.release_all();
        self.spark.streams().stop_all().await;
    }
}

#[derive(Debug, Default)]
struct Registry {
    open: HashMap<SessionKey, Arc<Session>>,
    closed: HashSet<SessionKey>,
    /// The closed sessions, oldest first.
    closing_order: VecDeque<SessionKey>,
}

impl Registry {
    fn bury(&mut self, key: SessionKey) {
        if self.closed.insert(key.clone()) {
            self.closing_order.push_back(key);
        }
        while self.closing_order.len() > TOMBSTONES_MAX
            && let Some(oldest) = self.closing_order.pop_front()
        {
            self.closed.remove(&oldest);
        }
    }
}

/// All sessions of the server.
#[derive(Debug)]
pub struct Sessions {
    environment: Arc<Environment>,
    clock: ClockRef,
    registry: Mutex<Registry>,
}

impl Sessions {
    /// No sessions.
    pub fn new(environment: Arc<Environment>, clock: ClockRef) -> Self {
        Self {
            environment,
            clock,
            registry: Mutex::default(),
        }
    }

    /// The session, created if need be. `observed` is the server-side id that the client saw last.
    pub fn get_or_create(
        &self,
        key: SessionKey,
        observed: Option<&str>,
    ) -> Result<Arc<Session>, SparkError> {
        check_uuid(&key.session_id)?;
        let mut registry = self.lock();
        if registry.closed.contains(&key) {
            return Err(error::session_closed(&key.session_id));
        }
        if let Some(session) = registry.open.get(&key) {
            check_observed(session, observed)?;
            session
                .last_used_ms
                .store(self.clock.now_ms(), Ordering::Relaxed);
            return Ok(Arc::clone(session));
        }
        if observed.is_some_and(|observed| !observed.is_empty()) {
            return Err(error::session_changed(&key.session_id));
        }
        let spark = spark_session::Session::new(
            Arc::clone(&self.environment),
            &key.session_id,
            &key.user_id,
        );
        let session = Session::new(
            key.clone(),
            spark,
            Artifacts::default(),
            Arc::clone(&self.clock),
        );
        registry.open.insert(key, Arc::clone(&session));
        Ok(session)
    }

    /// The session, which must exist.
    pub fn get(
        &self,
        key: &SessionKey,
        observed: Option<&str>,
    ) -> Result<Arc<Session>, SparkError> {
        check_uuid(&key.session_id)?;
        let registry = self.lock();
        if registry.closed.contains(key) {
            return Err(error::session_closed(&key.session_id));
        }
        let session = registry
            .open
            .get(key)
            .ok_or_else(|| error::session_not_found(&key.session_id))?;
        check_observed(session, observed)?;
        session
            .last_used_ms
            .store(self.clock.now_ms(), Ordering::Relaxed);
        Ok(Arc::clone(session))
    }

    /// A new session with the confs, views and functions of `source`.
    pub fn clone_session(
        &self,
        source: &Session,
        new_id: Option<&str>,
    ) -> Result<Arc<Session>, SparkError> {
        let session_id = new_id.map_or_else(|| Uuid::new_v4().to_string(), str::to_string);
        let key = SessionKey {
            user_id: source.key.user_id.clone(),
            session_id,
        };
        if Uuid::parse_str(&key.session_id).is_err() {
            return Err(error::clone_target(
                "TARGET_SESSION_ID_FORMAT",
                &key.session_id,
            ));
        }
        let mut registry = self.lock();
        if registry.closed.contains(&key) {
            return Err(error::clone_target(
                "TARGET_SESSION_ID_ALREADY_CLOSED",
                &key.session_id,
            ));
        }
        if registry.open.contains_key(&key) {
            return Err(error::clone_target(
                "TARGET_SESSION_ID_ALREADY_EXISTS",
                &key.session_id,
            ));
        }
        let spark = source.spark.clone_session(&key.session_id);
        let artifacts = source.artifacts.copy_cache();
        let session = Session::new(key.clone(), spark, artifacts, Arc::clone(&self.clock));
        registry.open.insert(key, Arc::clone(&session));
        Ok(session)
    }

    /// Closes the session; `None` if there is none. Unless `reconnect`, its id cannot be used again.
    pub async fn release(&self, key: &SessionKey, reconnect: bool) -> Option<Arc<Session>> {
        let session = {
            let mut registry = self.lock();
            let session = registry.open.remove(key)?;
            if !reconnect {
                registry.bury(key.clone());
            }
            session
        };
        session.close().await;
        Some(session)
    }

    /// Closes what is idle and abandons what is detached. To be called every [`MAINTENANCE_INTERVAL`].
    pub async fn maintain(&self) {
        let sessions: Vec<_> = self.lock().open.values().cloned().collect();
        for session in sessions {
            let now_ms = self.clock.now_ms();
            session.executions.abandon_detached();
            session.queries.expire(now_ms);
            let idle_ms = now_ms - session.last_used_ms.load(Ordering::Relaxed);
            if idle_ms >= IDLE_TIMEOUT_MS && !session.is_in_use() {
                tracing::info!(
                    session_id = session.session_id(),
                    idle_ms,
                    "session expired"
                );
                self.release(&session.key, false).await;
            }
        }
    }

    /// Closes all sessions, for the end of the server.
    pub async fn close_all(&self) {
        let open: Vec<_> = self.lock().open.keys().cloned().collect();
        futures::future::join_all(open.iter().map(|key| self.release(key, false))).await;
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check_uuid(id: &str) -> Result<(), SparkError> {
    match Uuid::parse_str(id) {
        Ok(_) => Ok(()),
        Err(_) => Err(error::handle_format(id)),
    }
}

fn check_observed(session: &Session, observed: Option<&str>) -> Result<(), SparkError> {
    match observed {
        Some(id) if !id.is_empty() && id != session.server_side_session_id => {
            Err(error::session_changed(&session.key.session_id))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use millstream_checkpoint::Faults;
    use millstream_connectors::console::ConsoleOutput;
    use millstream_engine::time::ManualClock;
    use millstream_spark::streaming::StreamingEnvironment;
    use spark_connect_proto::{
        Read, Relation, WriteStreamOperationStart,
        read::{DataSource, ReadType},
        relation::RelType,
    };
    use tokio::runtime::Handle;

    use super::*;
    use crate::execution::OperationRequest;

    fn sessions() -> (Sessions, ManualClock) {
        let clock = ManualClock::new(0);
        let streaming = StreamingEnvironment {
            parallelism: 1,
            clock: Arc::new(millstream_engine::time::SystemClock),
            faults: Faults::none(),
            console: ConsoleOutput::new(std::io::sink()),
            temporary: std::env::temp_dir(),
            rehearsal: None,
        };
        let environment = Environment::new(Arc::default(), Handle::current(), streaming);
        (
            Sessions::new(Arc::new(environment), Arc::new(clock.clone())),
            clock,
        )
    }

    fn key() -> SessionKey {
        SessionKey {
            user_id: "u".to_string(),
            session_id: Uuid::new_v4().to_string(),
        }
    }

    #[tokio::test]
    async fn a_session_that_nobody_uses_is_closed_after_an_hour_and_its_id_is_told_to_be() {
        let (sessions, clock) = sessions();
        let (idle, used) = (key(), key());
        sessions.get_or_create(idle.clone(), None).unwrap();
        sessions.get_or_create(used.clone(), None).unwrap();
        clock.advance(IDLE_TIMEOUT_MS - 1);
        sessions.maintain().await;
        sessions.get(&used, None).unwrap();
        clock.advance(1);
        sessions.maintain().await;
        let closed = sessions.get_or_create(idle, None).unwrap_err();
        assert_eq!(closed.class, "INVALID_HANDLE.SESSION_CLOSED");
        assert!(sessions.get(&used, None).is_ok());
    }

    #[tokio::test]
    async fn a_session_with_a_running_operation_does_not_expire() {
        let (sessions, clock) = sessions();
        let key = key();
        let session = sessions.get_or_create(key.clone(), None).unwrap();
        let operation = OperationRequest {
            operation_id: "op".to_string(),
            tags: vec![],
            reattachable: true,
            plan_hash: 0,
        };
        let execution = session
            .executions()
            .register(operation, session.response_ids("op"))
            .unwrap()
            .unwrap();
        let limits = crate::execution::StreamLimits::NONE;
        let _attached = execution.attach(None, limits).unwrap();
        clock.advance(IDLE_TIMEOUT_MS);
        sessions.maintain().await;
        assert!(sessions.get(&key, None).is_ok());
        execution.finish(Ok(()));
        clock.advance(IDLE_TIMEOUT_MS);
        sessions.maintain().await;
        assert!(sessions.get(&key, None).is_err());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_session_with_a_running_query_does_not_expire_and_takes_it_along_when_released() {
        let (sessions, clock) = sessions();
        let key = key();
        let session = sessions.get_or_create(key.clone(), None).unwrap();
        let source = DataSource {
            format: Some("rate".to_string()),
            ..Default::default()
        };
        let read = Read {
            is_streaming: true,
            read_type: Some(ReadType::DataSource(source)),
        };
        let input = Relation {
            rel_type: Some(RelType::Read(read)),
            ..Default::default()
        };
        let start = WriteStreamOperationStart {
            input: Some(input),
            format: "noop".to_string(),
            ..Default::default()
        };
        let query = session.spark().start_query(&start).await.unwrap();
        clock.advance(IDLE_TIMEOUT_MS);
        sessions.maintain().await;
        assert!(sessions.get(&key, None).is_ok());
        sessions.release(&key, false).await.unwrap();
        assert!(!query.is_active());
        assert!(session.closed().is_cancelled());
    }

    #[tokio::test]
    async fn only_the_newest_closed_sessions_are_remembered() {
        let (sessions, _) = sessions();
        let first = key();
        sessions.get_or_create(first.clone(), None).unwrap();
        sessions.release(&first, false).await;
        for _ in 0..TOMBSTONES_MAX {
            sessions.lock().bury(key());
        }
        assert!(sessions.get_or_create(first, None).is_ok());
    }
}
