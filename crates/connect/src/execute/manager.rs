//! What a client asks of `spark.streams`.
use std::sync::Arc;

use millstream_engine::query::{AnyTermination, StreamingQuery};
use millstream_spark::{
    error::{Exception, SparkError},
    streaming::query_error,
};
use spark_connect_proto::{
    StreamingQueryInstanceId, StreamingQueryManagerCommand, StreamingQueryManagerCommandResult,
    execute_plan_response::ResponseType,
    streaming_query_manager_command::Command,
    streaming_query_manager_command_result::{
        ActiveResult, AwaitAnyTerminationResult, ListStreamingQueryListenerResult, ResultType,
        StreamingQueryInstance,
    },
};
use uuid::Uuid;

use super::streaming_query::timeout;
use crate::{error, execution::Execution, sessions::Session};

pub(super) async fn command(
    session: &Arc<Session>,
    execution: &Execution,
    command: &StreamingQueryManagerCommand,
) -> Result<(), SparkError> {
    let Some(wanted) = &command.command else {
        return Err(error::one_of_not_set(
            "spark.connect.StreamingQueryManagerCommand",
            "command",
        ));
    };
    let result_type = answer(session, wanted).await?;
    let result = StreamingQueryManagerCommandResult { result_type };
    execution
        .respond(ResponseType::StreamingQueryManagerCommandResult(result))
        .await
}

async fn answer(
    session: &Arc<Session>,
    command: &Command,
) -> Result<Option<ResultType>, SparkError> {
    let streams = session.spark().streams();
    Ok(match command {
        Command::Active(_) => {
            let active_queries = streams.active().iter().map(instance).collect();
            Some(ResultType::Active(ActiveResult { active_queries }))
        }
        Command::GetQuery(id) => {
            let id = Uuid::parse_str(id).map_err(|_| {
                let message = format!("Invalid UUID string: {id}");
                SparkError::plain(Exception::IllegalArgument, message)
            })?;
            let query = streams.get(id);
            query.as_ref().map(instance).map(ResultType::Query)
        }
        Command::AwaitAnyTermination(wait) => {
            let ended = streams
                .await_any_termination(timeout(wait.timeout_ms))
                .await;
            let ended = ended.map_err(|failure| query_error(&failure))?;
            let terminated = matches!(ended, AnyTermination::Terminated);
            Some(ResultType::AwaitAnyTermination(AwaitAnyTerminationResult {
                terminated,
            }))
        }
        Command::ResetTerminated(_) => {
            streams.reset_terminated();
            Some(ResultType::ResetTerminated(true))
        }
        Command::AddListener(_) | Command::RemoveListener(_) => {
            return Err(SparkError::unsupported(
                "streaming query listeners that run in the server",
            ));
        }
        // None can have been added.
        Command::ListListeners(_) => Some(ResultType::ListListeners(
            ListStreamingQueryListenerResult::default(),
        )),
    })
}

fn instance(query: &StreamingQuery) -> StreamingQueryInstance {
    StreamingQueryInstance {
        id: Some(StreamingQueryInstanceId {
            id: query.id().to_string(),
            run_id: query.run_id().to_string(),
        }),
        name: query.name().map(str::to_string),
    }
}
