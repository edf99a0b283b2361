//! Streaming query listeners that live in the client.
//!
//! However many listeners a client has, it opens one operation for them. Its first response confirms that it listens;
//! after that every response carries events, as many as there were. The operation ends when the client removes its
//! last listener: what happened before is sent first, and only then the removal itself completes, since the client
//! then joins the thread that reads the events.
//!
//! `QueryStartedEvent` does not travel here: it belongs into the answer to the start, so that `onQueryStarted` has
//! returned before `start()` does.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millstream_engine::query::{StreamingQueryEvent, StreamingQueryListener};
use millstream_spark::{
    error::SparkError,
    streaming::{failure::cause_of, query_error},
};
use serde_json::json;
use spark_connect_proto::{
    StreamingQueryEventType, StreamingQueryListenerEvent, StreamingQueryListenerEventsResult,
    execute_plan_response::ResponseType,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{execution::Execution, sessions::Session};

/// Events that one response carries at most.
const EVENTS_PER_RESPONSE: usize = 256;

/// Whether the client listens, and how to end that.
#[derive(Debug, Default)]
pub struct ListenerBus {
    open: Mutex<Option<Open>>,
}

#[derive(Debug, Clone)]
struct Open {
    /// Cancelled when the client removed its last listener.
    removed: CancellationToken,
    /// Cancelled when the operation that sends the events is over.
    ended: CancellationToken,
}

impl ListenerBus {
    /// Whether the client listens.
    pub fn is_open(&self) -> bool {
        self.lock().is_some()
    }

    /// `None` if the client listens already.
    fn open(&self) -> Option<Open> {
        let mut open = self.lock();
        match open.as_ref() {
            Some(_) => None,
            None => {
                let new = Open {
                    removed: CancellationToken::new(),
                    ended: CancellationToken::new(),
                };
                Some(open.insert(new).clone())
            }
        }
    }

    /// Ends the event stream and waits for its last response.
    pub(super) async fn close(&self) {
        let open = self.lock().clone();
        if let Some(open) = open {
            open.removed.cancel();
            open.ended.cancelled().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends events for as long as the client listens.
pub(super) async fn listen(
    session: &Arc<Session>,
    execution: &Execution,
) -> Result<(), SparkError> {
    let Some(open) = session.listener_bus().open() else {
        tracing::warn!(
            session_id = session.session_id(),
            "the client listens already; the second stream is empty"
        );
        return Ok(());
    };
    // Dropped, and with it the listener, also when the operation is interrupted.
    let mut events = Registration::new(Arc::clone(session), open.clone());
    let added = StreamingQueryListenerEventsResult {
        events: vec![],
        listener_bus_listener_added: Some(true),
    };
    execution
        .respond(ResponseType::StreamingQueryListenerEventsResult(added))
        .await?;
    loop {
        let mut batch = vec![];
        tokio::select! {
            biased;
            _ = events.receiver.recv_many(&mut batch, EVENTS_PER_RESPONSE) => send(execution, &batch).await?,
            () = open.removed.cancelled() => break,
        }
    }
    events.unregister();
    let mut rest = vec![];
    while events
        .receiver
        .recv_many(&mut rest, EVENTS_PER_RESPONSE)
        .await
        > 0
    {
        send(execution, &rest).await?;
        rest.clear();
    }
    Ok(())
}

async fn send(execution: &Execution, events: &[StreamingQueryEvent]) -> Result<(), SparkError> {
    let events: Vec<_> = events.iter().filter_map(to_event).collect();
    if events.is_empty() {
        return Ok(());
    }
    let result = StreamingQueryListenerEventsResult {
        events,
        listener_bus_listener_added: None,
    };
    execution
        .respond(ResponseType::StreamingQueryListenerEventsResult(result))
        .await
}

/// A listener at the session's query manager, for as long as it lives.
struct Registration {
    session: Arc<Session>,
    listener: Option<millstream_engine::query::ListenerId>,
    receiver: mpsc::UnboundedReceiver<StreamingQueryEvent>,
    open: Open,
}

impl Registration {
    fn new(session: Arc<Session>, open: Open) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let listener = session
            .spark()
            .streams()
            .add_listener(Arc::new(Forwarder(sender)));
        Self {
            session,
            listener: Some(listener),
            receiver,
            open,
        }
    }

    fn unregister(&mut self) {
        if let Some(listener) = self.listener.take() {
            self.session.spark().streams().remove_listener(listener);
        }
        self.receiver.close();
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.unregister();
        *self.session.listener_bus().lock() = None;
        self.open.ended.cancel();
    }
}

struct Forwarder(mpsc::UnboundedSender<StreamingQueryEvent>);

impl StreamingQueryListener for Forwarder {
    fn on_event(&self, event: &StreamingQueryEvent) {
        // The receiver is gone if the client stopped listening in this moment.
        let _ = self.0.send(event.clone());
    }
}

/// The JSON of `QueryStartedEvent`.
pub(super) fn started_json(
    id: &str,
    run_id: &str,
    name: Option<&str>,
    timestamp_ms: i64,
) -> String {
    json!({ "id": id, "runId": run_id, "name": name, "timestamp": iso(timestamp_ms), "jobTags": [] }).to_string()
}

fn to_event(event: &StreamingQueryEvent) -> Option<StreamingQueryListenerEvent> {
    let (event_type, event_json) = match event {
        StreamingQueryEvent::Started { .. } => return None,
        StreamingQueryEvent::Progress(progress) => (
            StreamingQueryEventType::QueryProgressEvent,
            format!("{{\"progress\":{}}}", progress.json()),
        ),
        StreamingQueryEvent::Idle {
            id,
            run_id,
            timestamp_ms,
        } => (
            StreamingQueryEventType::QueryIdleEvent,
            json!({ "id": id, "runId": run_id, "timestamp": iso(*timestamp_ms) }).to_string(),
        ),
        StreamingQueryEvent::Terminated {
            id,
            run_id,
            failure,
        } => {
            let cause = failure.as_ref().map(|failure| cause_of(&failure.error));
            (
                StreamingQueryEventType::QueryTerminatedEvent,
                json!({
                    "id": id,
                    "runId": run_id,
                    "exception": failure.as_ref().map(|failure| query_error(failure).message.clone()),
                    "errorClassOnException": cause.map(|cause| cause.class.clone()).filter(|class| !class.is_empty()),
                })
                .to_string(),
            )
        }
    };
    Some(StreamingQueryListenerEvent {
        event_json,
        event_type: event_type.into(),
    })
}

fn iso(timestamp_ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(timestamp_ms)
        .unwrap_or_default()
        .to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}
