//! Errors on the wire: how a client learns what went wrong.
//!
//! Every failure is gRPC status `INTERNAL` with a `google.rpc.ErrorInfo` in its details: the JVM class names by which
//! PySpark picks its exception, Spark's error condition, SQLSTATE and message parameters. All of it travels in
//! HTTP/2 headers, twice in the case of the message, and clients give up on headers of more than 8 KiB. So the status
//! carries what fits:
//!
//! - the message, cut to [`MESSAGE_CHARS_MAX`] characters and [`MESSAGE_HEADER_BYTES_MAX`] encoded bytes,
//! - the parameters, if all metadata stay within [`METADATA_BYTES_MAX`].
//!
//! If something was left out, or if there is a query context, the whole error is kept in the session's
//! [`ErrorStore`] and the status names its `errorId`, with which the client calls `FetchErrorDetails`.
use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use millstream_spark::error::{Exception, QueryContext, SparkError};
use spark_connect_proto::fetch_error_details_response as details;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use uuid::Uuid;

/// Characters of the message in a status.
const MESSAGE_CHARS_MAX: usize = 2048;

/// Bytes of the message in a status, encoded for a header.
const MESSAGE_HEADER_BYTES_MAX: usize = 3 * 1024;

/// Bytes of all `ErrorInfo` metadata together.
const METADATA_BYTES_MAX: usize = 1024;

/// Errors per session whose details can be fetched.
const STORED_ERRORS_MAX: usize = 20;

/// Root of every JVM class hierarchy; Spark lists it, and so do we.
const JAVA_OBJECT: &str = "java.lang.Object";

/// Whole errors, until the client fetched them or newer ones took their place.
#[derive(Debug, Default)]
pub struct ErrorStore {
    errors: Mutex<StoredErrors>,
}

#[derive(Debug, Default)]
struct StoredErrors {
    by_id: HashMap<String, SparkError>,
    oldest_first: VecDeque<String>,
}

impl ErrorStore {
    /// The status for `error`; what does not fit is stored.
    pub fn status(&self, error: SparkError) -> Status {
        if fits(&error) {
            return to_status(&error, None);
        }
        let error_id = Uuid::new_v4().to_string();
        let status = to_status(&error, Some(&error_id));
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        errors.by_id.insert(error_id.clone(), error);
        errors.oldest_first.push_back(error_id);
        while errors.oldest_first.len() > STORED_ERRORS_MAX
            && let Some(oldest) = errors.oldest_first.pop_front()
        {
            errors.by_id.remove(&oldest);
        }
        status
    }

    /// The stored error, which is forgotten.
    pub fn take(&self, error_id: &str) -> Option<SparkError> {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        errors.oldest_first.retain(|id| id != error_id);
        errors.by_id.remove(error_id)
    }
}

/// The details of an error as `FetchErrorDetails` answers them.
pub fn to_details(error: &SparkError) -> details::Error {
    details::Error {
        error_type_hierarchy: hierarchy(error),
        message: error.message.clone(),
        stack_trace: vec![],
        cause_idx: None,
        spark_throwable: Some(details::SparkThrowable {
            error_class: (!error.class.is_empty()).then(|| error.class.clone()),
            message_parameters: error
                .message_parameters
                .iter()
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect(),
            query_contexts: error.query_context.iter().map(to_query_context).collect(),
            sql_state: error.sql_state.clone(),
            breaking_change_info: None,
        }),
    }
}

/// The status for `error`, as much as fits; `error_id` tells the client where the rest is.
pub fn to_status(error: &SparkError, error_id: Option<&str>) -> Status {
    let mut metadata = essential_metadata(error);
    let parameters = parameters_json(error);
    if size(&metadata) + parameters.len() <= METADATA_BYTES_MAX {
        metadata.insert("messageParameters".to_string(), parameters);
    }
    if let Some(id) = error_id {
        metadata.insert("errorId".to_string(), id.to_string());
    }
    let mut info = ErrorDetails::new();
    info.set_error_info(error.exception.class_name(), "org.apache.spark", metadata);
    Status::with_error_details(Code::Internal, abbreviated(&error.message), info)
}

fn fits(error: &SparkError) -> bool {
    error.query_context.is_none()
        && abbreviated(&error.message).len() == error.message.len()
        && size(&essential_metadata(error)) + parameters_json(error).len() <= METADATA_BYTES_MAX
}

fn essential_metadata(error: &SparkError) -> HashMap<String, String> {
    let classes = serde_json::Value::from(hierarchy(error)).to_string();
    let mut metadata = HashMap::from([("classes".to_string(), classes)]);
    if !error.class.is_empty() {
        metadata.insert("errorClass".to_string(), error.class.clone());
    }
    if let Some(state) = &error.sql_state {
        metadata.insert("sqlState".to_string(), state.clone());
    }
    metadata
}

fn size(metadata: &HashMap<String, String>) -> usize {
    metadata
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum()
}

fn parameters_json(error: &SparkError) -> String {
    let parameters = error
        .message_parameters
        .iter()
        .map(|(key, value)| (key.clone(), value.clone().into()));
    serde_json::Value::Object(parameters.collect()).to_string()
}

fn hierarchy(error: &SparkError) -> Vec<String> {
    error
        .exception
        .hierarchy()
        .iter()
        .chain(&[JAVA_OBJECT])
        .map(|class| class.to_string())
        .collect()
}

/// The longest start of `message` that fits a status, on a character boundary.
fn abbreviated(message: &str) -> String {
    let mut bytes = 0;
    let fitting = message
        .char_indices()
        .take(MESSAGE_CHARS_MAX)
        .take_while(|(_, character)| {
            bytes += header_bytes(*character);
            bytes <= MESSAGE_HEADER_BYTES_MAX
        });
    let kept = fitting
        .last()
        .map_or(0, |(start, character)| start + character.len_utf8());
    if kept == message.len() {
        return message.to_string();
    }
    // Room for the mark that something is missing.
    let mut text: String = message.get(..kept).unwrap_or_default().to_string();
    text.truncate(text.floor_char_boundary(text.len().saturating_sub(3)));
    text.push_str("...");
    text
}

/// Bytes of a character in a percent-encoded header.
fn header_bytes(character: char) -> usize {
    match character {
        ' ' | '"' | '#' | '%' | '<' | '>' | '`' | '?' | '{' | '}' => 3,
        graphic if graphic.is_ascii_graphic() => 1,
        other => 3 * other.len_utf8(),
    }
}

fn to_query_context(context: &QueryContext) -> details::QueryContext {
    let summary = context.summary();
    match context {
        QueryContext::Sql { text, start, stop } => details::QueryContext {
            context_type: details::query_context::ContextType::Sql.into(),
            start_index: i32::try_from(*start).unwrap_or(i32::MAX),
            // Spark's index is that of the last character.
            stop_index: i32::try_from(stop.saturating_sub(1)).unwrap_or(i32::MAX),
            fragment: text.get(*start..*stop).unwrap_or_default().to_string(),
            summary,
            ..Default::default()
        },
        QueryContext::DataFrame {
            fragment,
            call_site,
        } => details::QueryContext {
            context_type: details::query_context::ContextType::Dataframe.into(),
            fragment: fragment.clone(),
            call_site: call_site.clone(),
            summary,
            ..Default::default()
        },
    }
}

fn handle(condition: &str, handle: &str) -> SparkError {
    SparkError::new(
        Exception::SparkSql,
        &format!("INVALID_HANDLE.{condition}"),
        &[("handle", handle)],
    )
}

/// An error of a condition that the table of templates does not have.
pub(crate) fn worded(
    exception: Exception,
    condition: &str,
    sql_state: &str,
    parameters: &[(&str, &str)],
    text: &str,
) -> SparkError {
    let message = format!("[{condition}] {text} SQLSTATE: {sql_state}");
    SparkError::worded(exception, condition, Some(sql_state), parameters, message)
}

fn cursor(condition: &str, parameters: &[(&str, &str)], text: &str) -> SparkError {
    let text = format!("The cursor is invalid. {text}");
    let condition = format!("INVALID_CURSOR.{condition}");
    worded(Exception::SparkSql, &condition, "HY109", parameters, &text)
}

/// The id is no UUID.
pub fn handle_format(id: &str) -> SparkError {
    handle("FORMAT", id)
}

/// The session was released, or expired.
pub fn session_closed(session_id: &str) -> SparkError {
    handle("SESSION_CLOSED", session_id)
}

/// The session does not exist, and the request does not create one.
pub fn session_not_found(session_id: &str) -> SparkError {
    handle("SESSION_NOT_FOUND", session_id)
}

/// The client knew the session under another server-side id: the server was restarted in between.
pub fn session_changed(session_id: &str) -> SparkError {
    handle("SESSION_CHANGED", session_id)
}

/// No such operation.
pub fn operation_not_found(operation_id: &str) -> SparkError {
    handle("OPERATION_NOT_FOUND", operation_id)
}

/// An operation of that id exists, or existed.
pub fn operation_already_exists(operation_id: &str) -> SparkError {
    handle("OPERATION_ALREADY_EXISTS", operation_id)
}

/// Nobody was attached to the operation for too long.
pub fn operation_abandoned(operation_id: &str) -> SparkError {
    handle("OPERATION_ABANDONED", operation_id)
}

/// The operation was interrupted.
pub fn operation_canceled() -> SparkError {
    SparkError::new(Exception::SparkSql, "OPERATION_CANCELED", &[])
}

/// Another connection took over the operation's responses.
pub fn cursor_disconnected() -> SparkError {
    cursor(
        "DISCONNECTED",
        &[],
        "The cursor has been disconnected by the server.",
    )
}

/// The operation was not started as reattachable.
pub fn cursor_not_reattachable() -> SparkError {
    cursor("NOT_REATTACHABLE", &[], "The cursor is not reattachable.")
}

/// No response of that id.
pub fn cursor_not_found(response_id: &str) -> SparkError {
    let text = format!("The cursor position id {response_id} is not found.");
    cursor("POSITION_NOT_FOUND", &[("responseId", response_id)], &text)
}

/// The response after that id was released.
pub fn cursor_not_available(response_id: &str, index: u64) -> SparkError {
    let index = index.to_string();
    let text =
        format!("The cursor position id {response_id} is no longer available at index {index}.");
    cursor(
        "POSITION_NOT_AVAILABLE",
        &[("responseId", response_id), ("index", &index)],
        &text,
    )
}

/// A session cannot be cloned to that id.
pub fn clone_target(condition: &str, session_id: &str) -> SparkError {
    let text = match condition {
        "TARGET_SESSION_ID_FORMAT" => format!(
            "Target session ID {session_id} for clone operation must be an UUID string of the format \
             '00112233-4455-6677-8899-aabbccddeeff'."
        ),
        "TARGET_SESSION_ID_ALREADY_CLOSED" => format!(
            "Cannot clone session to target session ID {session_id} because a session with this ID was previously \
             closed."
        ),
        _ => format!(
            "Cannot clone session to target session ID {session_id} because a session with this ID already exists."
        ),
    };
    let condition = format!("INVALID_CLONE_SESSION_REQUEST.{condition}");
    let text = format!("Invalid session clone request. {text}");
    worded(
        Exception::SparkSql,
        &condition,
        "42K04",
        &[("targetSessionId", session_id)],
        &text,
    )
}

/// A request that breaks the protocol.
pub fn invalid_request(message: impl std::fmt::Display) -> SparkError {
    SparkError::plain(Exception::InvalidPlan, message.to_string())
}

/// A required `oneof` has no value.
pub fn one_of_not_set(full_name: &str, name: &str) -> SparkError {
    SparkError::new(
        Exception::InvalidPlan,
        "CONNECT_INVALID_PLAN.INVALID_ONE_OF_FIELD_NOT_SET",
        &[("fullName", full_name), ("name", name)],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(status: &Status) -> HashMap<String, String> {
        status.get_details_error_info().unwrap().metadata
    }

    /// Bytes of the two headers that carry a status.
    fn header_size(status: &Status) -> usize {
        let message: usize = status.message().chars().map(header_bytes).sum();
        message + status.details().len().div_ceil(3) * 4
    }

    #[test]
    fn a_small_error_travels_whole() {
        let store = ErrorStore::default();
        let status = store.status(operation_not_found("42"));
        assert_eq!(status.code(), Code::Internal);
        assert!(
            status
                .message()
                .starts_with("[INVALID_HANDLE.OPERATION_NOT_FOUND] The handle 42 is invalid.")
        );
        let info = info(&status);
        assert_eq!(info["errorClass"], "INVALID_HANDLE.OPERATION_NOT_FOUND");
        assert_eq!(info["messageParameters"], r#"{"handle":"42"}"#);
        assert!(info["classes"].starts_with(r#"["org.apache.spark.SparkSQLException","#));
        assert!(!info.contains_key("errorId"));
    }

    #[test]
    fn a_long_message_is_cut_to_what_headers_hold_and_can_be_fetched() {
        let store = ErrorStore::default();
        for text in [
            "x".repeat(100_000),
            "{ \"?\" }".repeat(10_000),
            "水".repeat(50_000),
        ] {
            let status = store.status(SparkError::internal(&text));
            assert!(
                header_size(&status) < 8 * 1024,
                "{} bytes",
                header_size(&status)
            );
            assert!(status.message().ends_with("..."));
            let whole = store.take(&info(&status)["errorId"]).unwrap();
            assert!(whole.message.contains(&text));
        }
    }

    #[test]
    fn parameters_that_do_not_fit_are_left_to_the_details() {
        let store = ErrorStore::default();
        let error = SparkError::new(
            Exception::SparkSql,
            "INVALID_HANDLE.FORMAT",
            &[("handle", &"h".repeat(1500))],
        );
        let status = store.status(error);
        let info = info(&status);
        assert!(!info.contains_key("messageParameters"));
        let details = to_details(&store.take(&info["errorId"]).unwrap());
        assert_eq!(
            details.spark_throwable.unwrap().message_parameters["handle"].len(),
            1500
        );
    }

    #[test]
    fn query_contexts_are_fetched_and_count_the_last_character() {
        let store = ErrorStore::default();
        let context = QueryContext::Sql {
            text: "select 1/0".to_string(),
            start: 7,
            stop: 10,
        };
        let error =
            SparkError::arithmetic("DIVIDE_BY_ZERO", &[("config", "c")]).with_context(context);
        let id = info(&store.status(error))["errorId"].clone();
        let throwable = to_details(&store.take(&id).unwrap())
            .spark_throwable
            .unwrap();
        let context = throwable.query_contexts.first().unwrap();
        assert_eq!(
            (
                context.start_index,
                context.stop_index,
                context.fragment.as_str()
            ),
            (7, 9, "1/0")
        );
    }

    #[test]
    fn only_the_newest_errors_are_kept() {
        let store = ErrorStore::default();
        let ids: Vec<_> = (0..30)
            .map(|_| info(&store.status(SparkError::internal("x".repeat(9999))))["errorId"].clone())
            .collect();
        let kept = ids.iter().filter(|id| store.take(id).is_some()).count();
        assert_eq!(kept, STORED_ERRORS_MAX);
    }
}
