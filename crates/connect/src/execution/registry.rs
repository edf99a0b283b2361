//! The operations of one session, by id.
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use millstream_engine::time::ClockRef;
use millstream_spark::error::SparkError;
use spark_connect_proto::get_status_response::operation_status::OperationState;

use super::{DETACHED_TIMEOUT_MS, Execution, OperationRequest, ResponseIds};
use crate::error;

/// Operations whose end is remembered after they were forgotten.
const TOMBSTONES_MAX: usize = 10_000;

/// Which operations a client wants to interrupt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interrupt {
    /// All of the session.
    All,
    /// Those with this tag.
    Tag(String),
    /// This one.
    Operation(String),
}

/// What became of an operation that is no longer known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tombstone {
    /// The client released it.
    Released(OperationState),
    /// Nobody wanted it for too long.
    Abandoned,
}

#[derive(Debug, Default)]
struct Operations {
    known: HashMap<String, Arc<Execution>>,
    tombstones: HashMap<String, Tombstone>,
    /// The tombstones' ids, oldest first.
    burial_order: VecDeque<String>,
}

impl Operations {
    fn bury(&mut self, operation_id: String, tombstone: Tombstone) {
        if self
            .tombstones
            .insert(operation_id.clone(), tombstone)
            .is_none()
        {
            self.burial_order.push_back(operation_id);
        }
        while self.burial_order.len() > TOMBSTONES_MAX
            && let Some(oldest) = self.burial_order.pop_front()
        {
            self.tombstones.remove(&oldest);
        }
    }
}

/// The operations of one session.
#[derive(Debug)]
pub struct Executions {
    clock: ClockRef,
    operations: Mutex<Operations>,
}

impl Executions {
    /// No operations.
    pub fn new(clock: ClockRef) -> Self {
        Self {
            clock,
            operations: Mutex::default(),
        }
    }

    /// Registers a new operation. `Ok(Err(existing))`: a reattachable operation of that id runs the same plan: the
    /// client repeats a request whose answer it never saw.
    pub fn register(
        &self,
        request: OperationRequest,
        ids: ResponseIds,
    ) -> Result<Result<Arc<Execution>, Arc<Execution>>, SparkError> {
        let operation_id = request.operation_id.clone();
        let mut operations = self.lock();
        match operations.tombstones.get(&operation_id) {
            Some(Tombstone::Abandoned) => return Err(error::operation_abandoned(&operation_id)),
            Some(Tombstone::Released(_)) => {
                return Err(error::operation_already_exists(&operation_id));
            }
            None => {}
        }
        if let Some(existing) = operations.known.get(&operation_id) {
            let known = existing.request();
            if known.reattachable && request.reattachable && known.plan_hash == request.plan_hash {
                return Ok(Err(Arc::clone(existing)));
            }
            return Err(error::operation_already_exists(&operation_id));
        }
        let execution = Arc::new(Execution::new(request, ids, Arc::clone(&self.clock)));
        operations
            .known
            .insert(operation_id, Arc::clone(&execution));
        Ok(Ok(execution))
    }

    /// The operation to reattach to.
    pub fn find(&self, operation_id: &str) -> Result<Arc<Execution>, SparkError> {
        let operations = self.lock();
        match (
            operations.known.get(operation_id),
            operations.tombstones.get(operation_id),
        ) {
            (Some(execution), _) => Ok(Arc::clone(execution)),
            (None, Some(Tombstone::Abandoned)) => Err(error::operation_abandoned(operation_id)),
            (None, _) => Err(error::operation_not_found(operation_id)),
        }
    }

    /// Where an operation stands, or stood when it was forgotten.
    pub fn state(&self, operation_id: &str) -> OperationState {
        let operations = self.lock();
        match (
            operations.known.get(operation_id),
            operations.tombstones.get(operation_id),
        ) {
            (Some(execution), _) => execution.state(),
            (None, Some(Tombstone::Released(state))) => *state,
            (None, Some(Tombstone::Abandoned)) => OperationState::Cancelled,
            (None, None) => OperationState::Unknown,
        }
    }

    /// Ids of all operations that are not released.
    pub fn operation_ids(&self) -> Vec<String> {
        self.lock().known.keys().cloned().collect()
    }

    /// Forgets an operation, and stops it if it still runs. False if it is not known.
    pub fn release(&self, operation_id: &str) -> bool {
        let mut operations = self.lock();
        let Some(execution) = operations.known.remove(operation_id) else {
            return false;
        };
        execution.interrupt();
        operations.bury(
            operation_id.to_string(),
            Tombstone::Released(execution.state()),
        );
        true
    }

    /// Interrupts what matches; the ids of the operations that were running.
    pub fn interrupt(&self, which: &Interrupt) -> Vec<String> {
        let operations = self.lock();
        let matching = operations.known.values().filter(|execution| match which {
            Interrupt::All => true,
            Interrupt::Tag(tag) => execution.request().tags.contains(tag),
            Interrupt::Operation(id) => execution.operation_id() == id,
        });
        matching
            .filter(|execution| execution.interrupt())
            .map(|execution| execution.operation_id().to_string())
            .collect()
    }

    /// Whether a task of the session runs.
    pub fn any_running(&self) -> bool {
        self.lock()
            .known
            .values()
            .any(|execution| execution.is_running())
    }

    /// Gives up the operations that no client was attached to for [`DETACHED_TIMEOUT_MS`].
    pub fn abandon_detached(&self) {
        let now_ms = self.clock.now_ms();
        let mut operations = self.lock();
        let abandoned: Vec<_> = operations
            .known
            .values()
            .filter(|execution| execution.is_abandoned(now_ms, DETACHED_TIMEOUT_MS))
            .cloned()
            .collect();
        for execution in abandoned {
            tracing::info!(
                operation_id = execution.operation_id(),
                "operation abandoned by its client"
            );
            execution.interrupt();
            operations.known.remove(execution.operation_id());
            operations.bury(execution.operation_id().to_string(), Tombstone::Abandoned);
        }
    }

    /// Stops and forgets everything.
    pub fn release_all(&self) {
        for operation_id in self.operation_ids() {
            self.release(&operation_id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Operations> {
        self.operations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use millstream_engine::time::ManualClock;
    use spark_connect_proto::execute_plan_response::{ResponseType, ResultComplete};

    use super::*;
    use crate::execution::StreamLimits;

    const UNLIMITED: StreamLimits = StreamLimits {
        duration: None,
        bytes_max: None,
    };

    fn request(id: &str, tags: &[&str], plan_hash: u64) -> OperationRequest {
        OperationRequest {
            operation_id: id.to_string(),
            tags: tags.iter().map(|tag| tag.to_string()).collect(),
            reattachable: true,
            plan_hash,
        }
    }

    fn ids(operation_id: &str) -> ResponseIds {
        ResponseIds {
            session_id: "s".to_string(),
            server_side_session_id: "x".to_string(),
            operation_id: operation_id.to_string(),
        }
    }

    fn started(executions: &Executions, id: &str, tags: &[&str]) -> Arc<Execution> {
        executions
            .register(request(id, tags, 1), ids(id))
            .unwrap()
            .unwrap()
    }

    fn executions() -> (Executions, ManualClock) {
        let clock = ManualClock::new(0);
        (Executions::new(Arc::new(clock.clone())), clock)
    }

    #[test]
    fn the_same_request_twice_is_one_operation_and_another_plan_is_refused() {
        let (executions, _) = executions();
        let first = started(&executions, "op", &[]);
        let again = executions
            .register(request("op", &[], 1), ids("op"))
            .unwrap()
            .unwrap_err();
        assert!(Arc::ptr_eq(&first, &again));
        let other = executions
            .register(request("op", &[], 2), ids("op"))
            .unwrap_err();
        assert_eq!(other.class, "INVALID_HANDLE.OPERATION_ALREADY_EXISTS");
        executions.release("op");
        let released = executions
            .register(request("op", &[], 1), ids("op"))
            .unwrap_err();
        assert_eq!(released.class, "INVALID_HANDLE.OPERATION_ALREADY_EXISTS");
    }

    #[test]
    fn interrupt_stops_what_matches_and_runs() {
        let (executions, _) = executions();
        let a = started(&executions, "a", &["slow"]);
        let b = started(&executions, "b", &["slow", "big"]);
        let c = started(&executions, "c", &[]);
        b.finish(Ok(()));
        assert_eq!(
            executions.interrupt(&Interrupt::Tag("slow".to_string())),
            ["a"]
        );
        assert!(a.cancellation().is_cancelled());
        assert_eq!(
            executions.interrupt(&Interrupt::Operation("a".to_string())),
            Vec::<String>::new()
        );
        assert_eq!(executions.interrupt(&Interrupt::All), ["c"]);
        assert_eq!(a.state(), OperationState::Terminating);
        a.finish(Err(error::to_status(&error::operation_canceled(), None)));
        assert_eq!(executions.state("a"), OperationState::Cancelled);
        assert_eq!(executions.state("b"), OperationState::Succeeded);
        assert_eq!(executions.state("nobody"), OperationState::Unknown);
        drop(c);
    }

    #[tokio::test]
    async fn an_operation_without_a_client_is_abandoned_after_five_minutes() {
        let (executions, clock) = executions();
        let watched = started(&executions, "watched", &[]);
        let lonely = started(&executions, "lonely", &[]);
        let stream = watched.attach(None, UNLIMITED).unwrap();
        clock.advance(DETACHED_TIMEOUT_MS - 1);
        executions.abandon_detached();
        assert!(executions.find("lonely").is_ok());
        clock.advance(1);
        executions.abandon_detached();
        assert!(lonely.cancellation().is_cancelled());
        let error = executions.find("lonely").unwrap_err();
        assert_eq!(error.class, "INVALID_HANDLE.OPERATION_ABANDONED");
        assert!(executions.find("watched").is_ok());
        drop(stream);
        clock.advance(DETACHED_TIMEOUT_MS);
        executions.abandon_detached();
        assert!(executions.find("watched").is_err());
    }

    #[tokio::test]
    async fn a_broken_connection_continues_where_it_stopped_and_takes_over() {
        let (executions, _) = executions();
        let execution = started(&executions, "op", &[]);
        let mut first = Box::pin(execution.attach(None, UNLIMITED).unwrap());
        for _ in 0..2 {
            execution
                .respond(ResponseType::ResultComplete(ResultComplete {}))
                .await
                .unwrap();
        }
        let seen = first.next().await.unwrap().unwrap().response_id;
        let mut second = Box::pin(execution.attach(Some(&seen), UNLIMITED).unwrap());
        let superseded = first.next().await.unwrap().unwrap_err();
        assert!(
            superseded.message().contains("INVALID_CURSOR.DISCONNECTED"),
            "{superseded}"
        );
        assert_ne!(second.next().await.unwrap().unwrap().response_id, seen);
        execution.finish(Ok(()));
        assert!(second.next().await.is_none());
    }

    #[tokio::test]
    async fn a_connection_ends_at_its_byte_limit_and_the_next_one_has_the_rest() {
        let (executions, _) = executions();
        let execution = started(&executions, "op", &[]);
        for _ in 0..3 {
            execution
                .respond(ResponseType::ResultComplete(ResultComplete {}))
                .await
                .unwrap();
        }
        execution.finish(Ok(()));
        let limits = StreamLimits {
            duration: None,
            bytes_max: Some(1),
        };
        let (mut last, mut connections) = (None, 0);
        loop {
            let items: Vec<_> = execution
                .attach(last.as_deref(), limits)
                .unwrap()
                .collect()
                .await;
            let Some(Ok(response)) = items.last() else {
                break;
            };
            assert_eq!(items.len(), 1);
            last = Some(response.response_id.clone());
            connections += 1;
        }
        assert_eq!(connections, 3);
    }

    #[tokio::test]
    async fn a_producer_waits_for_a_slow_client_and_stops_waiting_when_interrupted() {
        use bytes::Bytes;
        use spark_connect_proto::execute_plan_response::ArrowBatch;
        let (executions, _) = executions();
        let execution = started(&executions, "op", &[]);
        let batch = || {
            ResponseType::ArrowBatch(ArrowBatch {
                data: Bytes::from(vec![0; 40 << 20]),
                ..Default::default()
            })
        };
        execution.respond(batch()).await.unwrap();
        execution.respond(batch()).await.unwrap();
        let blocked = tokio::time::timeout(
            std::time::Duration::from_millis(100),
            execution.respond(batch()),
        )
        .await;
        assert!(blocked.is_err());
        execution.interrupt();
        let error = execution.respond(batch()).await.unwrap_err();
        assert_eq!(error.class, "OPERATION_CANCELED");
    }
}
