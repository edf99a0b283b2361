//! Operations: what an `ExecutePlan` started, from its request to its release.
//!
//! An [`Execution`] is one operation of a session: a task that produces responses into a [`ResponseBuffer`], and the
//! clients' attachments that read them. The two know nothing of each other: a connection may break and come back
//! (`ReattachExecute`), the task goes on.
//!
//! An operation ends in one of four ways: its task finished (`ResultComplete` is its last response), it failed, it
//! was interrupted (`OPERATION_CANCELED`), or nobody was attached for longer than [`DETACHED_TIMEOUT_MS`] and it was
//! abandoned. It is forgotten when the client releases it; a tombstone then tells late requests what became of it.
mod buffer;
mod registry;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::{Stream, stream};
use millstream_engine::time::ClockRef;
use spark_connect_proto::{
    ExecutePlanResponse, execute_plan_response::ResponseType,
    get_status_response::operation_status::OperationState,
};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use uuid::Uuid;

pub use self::{
    buffer::{AttachmentId, CursorError, Next, ResponseBuffer},
    registry::{Executions, Interrupt},
};
use crate::error;
use millstream_spark::{
    conf::{RuntimeConf, parse_bytes, parse_duration_ms},
    error::SparkError,
};

/// An operation without a client is given up after this time, in milliseconds.
pub const DETACHED_TIMEOUT_MS: i64 = 5 * 60 * 1000;

/// Bytes of sent responses that are kept for a client that comes back.
const RETRY_BYTES_MAX: usize = 10 << 20;

/// The task that produces waits while this many bytes were not sent yet.
const UNSENT_BYTES_MAX: usize = 64 << 20;

/// Spark's default age of a connection, in milliseconds, and its default size, in bytes.
const STREAM_DURATION_MS: i64 = 2 * 60 * 1000;
const STREAM_BYTES: i64 = 1 << 30;

/// How long, and for how many bytes, one connection carries responses before the client is asked to come back.
#[derive(Debug, Clone, Copy)]
pub struct StreamLimits {
    /// Age of the connection.
    pub duration: Option<Duration>,
    /// Bytes sent on the connection.
    pub bytes_max: Option<usize>,
}

impl StreamLimits {
    /// A connection that carries all.
    pub const NONE: Self = Self {
        duration: None,
        bytes_max: None,
    };

    /// What the session's configuration says.
    pub fn of(conf: &RuntimeConf) -> Self {
        let key = |name: &str| {
            conf.get_with_default(&format!("spark.connect.execute.reattachable.{name}"), None)
        };
        let duration_ms = key("senderMaxStreamDuration").and_then(|text| parse_duration_ms(&text));
        let bytes = key("senderMaxStreamSize").and_then(|text| parse_bytes(&text));
        let positive = |number: i64| u64::try_from(number).ok().filter(|number| *number > 0);
        let duration_ms = positive(duration_ms.unwrap_or(STREAM_DURATION_MS));
        let bytes = positive(bytes.unwrap_or(STREAM_BYTES));
        Self {
            duration: duration_ms.map(Duration::from_millis),
            bytes_max: bytes.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
        }
    }
}

/// The ids that every response of an operation carries.
#[derive(Debug, Clone)]
pub struct ResponseIds {
    /// The client's session id.
    pub session_id: String,
    /// The id that the server gave to the session.
    pub server_side_session_id: String,
    /// The operation.
    pub operation_id: String,
}

/// What the client said about an operation when it started it.
#[derive(Debug, Clone)]
pub struct OperationRequest {
    /// Id of the operation, chosen by the client or made up for it.
    pub operation_id: String,
    /// Tags that `Interrupt` can name.
    pub tags: Vec<String>,
    /// Whether the client may come back for the responses.
    pub reattachable: bool,
    /// Hash of the plan, by which a repeated request is told from another one under the same id.
    pub plan_hash: u64,
}

#[derive(Debug)]
struct Shared {
    buffer: ResponseBuffer,
    state: OperationState,
    /// When the last client left, in milliseconds since the epoch; `None` while one is attached.
    detached_at_ms: Option<i64>,
}

/// One operation.
#[derive(Debug)]
pub struct Execution {
    request: OperationRequest,
    ids: ResponseIds,
    clock: ClockRef,
    cancel: CancellationToken,
    /// The task ended; nothing of it runs any more.
    finished: AtomicBool,

    shared: Mutex<Shared>,
    /// Something changed that a reader waits for.
    readable: Notify,
    /// Something was sent or released, so that the producer may go on.
    writable: Notify,
}

impl Execution {
    fn new(request: OperationRequest, ids: ResponseIds, clock: ClockRef) -> Self {
        let shared = Shared {
            buffer: ResponseBuffer::new(RETRY_BYTES_MAX),
            state: OperationState::Running,
            detached_at_ms: Some(clock.now_ms()),
        };
        Self {
            request,
            ids,
            clock,
            cancel: CancellationToken::new(),
            finished: AtomicBool::new(false),
            shared: Mutex::new(shared),
            readable: Notify::new(),
            writable: Notify::new(),
        }
    }

    /// Id of the operation.
    pub fn operation_id(&self) -> &str {
        &self.request.operation_id
    }

    /// What the client asked for.
    pub fn request(&self) -> &OperationRequest {
        &self.request
    }

    /// Cancelled when the operation is interrupted, abandoned or released before its end.
    pub fn cancellation(&self) -> &CancellationToken {
        &self.cancel
    }

    /// Where the operation stands.
    pub fn state(&self) -> OperationState {
        self.lock().state
    }

    /// Whether its task still runs.
    pub fn is_running(&self) -> bool {
        !self.finished.load(Ordering::Acquire)
    }

    /// Appends a response. Waits while the client lags too far behind; an error means that nobody wants it any more.
    pub async fn respond(&self, response: ResponseType) -> Result<(), SparkError> {
        self.push(ExecutePlanResponse {
            response_type: Some(response),
            ..Default::default()
        })
        .await
    }

    /// Like [`respond`](Self::respond), for responses that are no variant of `ResponseType` (schema, metrics); the
    /// ids are filled in.
    pub async fn push(&self, mut response: ExecutePlanResponse) -> Result<(), SparkError> {
        response.session_id.clone_from(&self.ids.session_id);
        response
            .server_side_session_id
            .clone_from(&self.ids.server_side_session_id);
        response.operation_id.clone_from(&self.ids.operation_id);
        response.response_id = Uuid::new_v4().to_string();
        loop {
            let writable = self.writable.notified();
            if self.lock().buffer.unsent_bytes() < UNSENT_BYTES_MAX {
                break;
            }
            tokio::select! {
                () = writable => {}
                () = self.cancel.cancelled() => return Err(error::operation_canceled()),
            }
        }
        self.lock().buffer.push(response);
        self.readable.notify_waiters();
        Ok(())
    }

    /// Marks the end of the operation. The caller is its task, and does nothing for it afterwards.
    pub fn finish(&self, outcome: Result<(), Status>) {
        let mut shared = self.lock();
        match outcome {
            Ok(()) => {
                shared.buffer.complete();
                shared.state = OperationState::Succeeded;
            }
            Err(status) => {
                shared.buffer.fail(status);
                shared.state = match shared.state {
                    OperationState::Terminating => OperationState::Cancelled,
                    _ => OperationState::Failed,
                };
            }
        }
        drop(shared);
        self.finished.store(true, Ordering::Release);
        self.readable.notify_waiters();
    }

    /// Asks the operation to stop; false if it had ended.
    pub fn interrupt(&self) -> bool {
        let mut shared = self.lock();
        if shared.buffer.ended() || shared.state == OperationState::Terminating {
            return false;
        }
        shared.state = OperationState::Terminating;
        drop(shared);
        self.cancel.cancel();
        true
    }

    /// The client does not need the responses up to `response_id` again.
    pub fn release_until(&self, response_id: &str) {
        self.lock().buffer.release_until(response_id);
        self.writable.notify_waiters();
    }

    /// A stream of the responses after `after`, which takes over from the stream before it.
    pub fn attach(
        self: &Arc<Self>,
        after: Option<&str>,
        limits: StreamLimits,
    ) -> Result<impl Stream<Item = Result<ExecutePlanResponse, Status>> + Send + use<>, SparkError>
    {
        let mut shared = self.lock();
        let reader = shared.buffer.attach(after).map_err(|error| match error {
            CursorError::NotFound => error::cursor_not_found(after.unwrap_or_default()),
            CursorError::Released { index } => {
                error::cursor_not_available(after.unwrap_or_default(), index)
            }
        })?;
        shared.detached_at_ms = None;
        drop(shared);
        self.readable.notify_waiters();
        let deadline = limits.duration.map(|duration| Instant::now() + duration);
        let bytes_left = limits.bytes_max.unwrap_or(usize::MAX);
        let attachment = Attachment {
            execution: Arc::clone(self),
            reader,
            deadline,
            bytes_left,
        };
        Ok(stream::unfold(Some(attachment), |attachment| async move {
            let mut attachment = attachment?;
            let item = attachment.next().await?;
            let rest = item.is_ok().then_some(attachment);
            Some((item, rest))
        }))
    }

    /// Whether nobody was attached for the whole timeout, as of `now_ms`.
    fn is_abandoned(&self, now_ms: i64, timeout_ms: i64) -> bool {
        self.lock()
            .detached_at_ms
            .is_some_and(|since_ms| now_ms - since_ms >= timeout_ms)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection that reads an operation's responses.
struct Attachment {
    execution: Arc<Execution>,
    reader: AttachmentId,
    deadline: Option<Instant>,
    bytes_left: usize,
}

impl Attachment {
    /// The next response; `None` ends the connection, after the last response or because a limit is reached.
    async fn next(&mut self) -> Option<Result<ExecutePlanResponse, Status>> {
        loop {
            if self.bytes_left == 0 {
                return None;
            }
            let readable = self.execution.readable.notified();
            let next = self.execution.lock().buffer.next(self.reader);
            match next {
                Next::Response(response) => {
                    let bytes = prost::Message::encoded_len(response.as_ref());
                    self.bytes_left = self.bytes_left.saturating_sub(bytes);
                    self.execution.writable.notify_waiters();
                    return Some(Ok(*response));
                }
                Next::Complete => return None,
                Next::Failed(status) => return Some(Err(*status)),
                Next::Superseded => {
                    return Some(Err(error::to_status(&error::cursor_disconnected(), None)));
                }
                Next::Released { index } => {
                    return Some(Err(error::to_status(
                        &error::cursor_not_available("", index),
                        None,
                    )));
                }
                Next::Pending => match self.deadline {
                    None => readable.await,
                    Some(deadline) => tokio::time::timeout_at(deadline, readable).await.ok()?,
                },
            }
        }
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let execution = &self.execution;
        let mut shared = execution.lock();
        if shared.buffer.is_current(self.reader) {
            shared.detached_at_ms = Some(execution.clock.now_ms());
            if !execution.request.reattachable {
                drop(shared);
                execution.interrupt();
            }
        }
    }
}
