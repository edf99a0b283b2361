//! Streaming queries: starting one, and everything a client asks of its handle.
use std::{sync::Arc, time::Duration};

use millstream_engine::query::{StreamingQuery, StreamingQueryProgress};
use millstream_spark::{
    error::SparkError,
    streaming::{failure::cause_of, query_error},
};
use spark_connect_proto::{
    StreamingQueryCommand, StreamingQueryCommandResult, StreamingQueryInstanceId,
    WriteStreamOperationStart, WriteStreamOperationStartResult,
    execute_plan_response::ResponseType,
    streaming_query_command::Command,
    streaming_query_command_result::{
        AwaitTerminationResult, ExceptionResult, ExplainResult, RecentProgressResult, ResultType,
        StatusResult,
    },
};

use super::listener_bus::started_json;
use crate::{error, execution::Execution, sessions::Session};

/// Starts a query. What is wrong with it as such fails here; what goes wrong later ends the query.
pub(super) async fn start(
    session: &Arc<Session>,
    execution: &Execution,
    start: &WriteStreamOperationStart,
) -> Result<(), SparkError> {
    for (function, name) in [
        (&start.foreach_batch, "foreachBatch"),
        (&start.foreach_writer, "foreach"),
    ] {
        if function.is_some() {
            return Err(SparkError::unsupported(format!(
                "{name}: running Python functions on streaming output"
            )));
        }
    }
    let query = session.spark().start_query(start).await?;
    session.queries().add(query.clone());
    let (id, run_id) = (query.id().to_string(), query.run_id().to_string());
    let event = session.listener_bus().is_open().then(|| {
        started_json(
            &id,
            &run_id,
            query.name(),
            chrono::Utc::now().timestamp_millis(),
        )
    });
    let result = WriteStreamOperationStartResult {
        query_id: Some(StreamingQueryInstanceId { id, run_id }),
        name: query.name().unwrap_or_default().to_string(),
        query_started_event_json: event,
    };
    execution
        .respond(ResponseType::WriteStreamOperationStartResult(result))
        .await
}

/// A call on a query's handle.
pub(super) async fn command(
    session: &Arc<Session>,
    execution: &Execution,
    command: &StreamingQueryCommand,
) -> Result<(), SparkError> {
    const FULL_NAME: &str = "spark.connect.StreamingQueryCommand";
    let instance = command
        .query_id
        .as_ref()
        .ok_or_else(|| error::one_of_not_set(FULL_NAME, "query_id"))?;
    let query = session.queries().find(instance)?;
    let wanted = command
        .command
        .as_ref()
        .ok_or_else(|| error::one_of_not_set(FULL_NAME, "command"))?;
    let result = StreamingQueryCommandResult {
        query_id: Some(instance.clone()),
        result_type: answer(&query, wanted).await?,
    };
    execution
        .respond(ResponseType::StreamingQueryCommandResult(result))
        .await
}

async fn answer(
    query: &StreamingQuery,
    command: &Command,
) -> Result<Option<ResultType>, SparkError> {
    Ok(match command {
        Command::Status(_) => Some(ResultType::Status(status(query))),
        Command::LastProgress(_) => Some(progress(query.last_progress().as_slice())),
        Command::RecentProgress(_) => Some(progress(&query.recent_progress())),
        Command::Stop(_) => {
            query.stop().await;
            None
        }
        Command::ProcessAllAvailable(_) => {
            query
                .process_all_available()
                .await
                .map_err(|failure| query_error(&failure))?;
            None
        }
        Command::Explain(explain) => Some(ResultType::Explain(ExplainResult {
            result: query.explain(explain.extended),
        })),
        Command::Exception(_) => Some(ResultType::Exception(match query.exception() {
            Some(failure) => exception_result(&query_error(&failure)),
            None => ExceptionResult::default(),
        })),
        Command::AwaitTermination(wait) => {
            let terminated = query
                .await_termination(timeout(wait.timeout_ms))
                .await
                .map_err(|failure| query_error(&failure))?;
            Some(ResultType::AwaitTermination(AwaitTerminationResult {
                terminated,
            }))
        }
    })
}

fn status(query: &StreamingQuery) -> StatusResult {
    let status = query.status();
    // The engine words its own errors; clients know the cause by Spark's words.
    let status_message = match query.exception() {
        Some(failure) => format!(
            "Terminated with exception: {}",
            cause_of(&failure.error).message
        ),
        None => status.message,
    };
    StatusResult {
        status_message,
        is_data_available: status.is_data_available,
        is_trigger_active: status.is_trigger_active,
        is_active: query.is_active(),
    }
}

/// The reports, oldest first; a client that asks for the last one takes it from the end.
fn progress(reports: &[Arc<StreamingQueryProgress>]) -> ResultType {
    let recent_progress_json = reports.iter().map(|report| report.json()).collect();
    ResultType::RecentProgress(RecentProgressResult {
        recent_progress_json,
    })
}

/// `exception()` of the client takes what follows the first `": "` for the message.
fn exception_result(error: &SparkError) -> ExceptionResult {
    ExceptionResult {
        exception_message: Some(format!(
            "{}: {}",
            error.exception.class_name(),
            error.message
        )),
        error_class: (!error.class.is_empty()).then(|| error.class.clone()),
        stack_trace: Some(String::new()),
    }
}

/// A client's timeout. Negative ones are over at once.
pub(super) fn timeout(timeout_ms: Option<i64>) -> Option<Duration> {
    timeout_ms.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
}
