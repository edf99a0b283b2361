//! Commands: streaming goes to the modules beside this one, all else to Spark's side of the session.
use std::sync::Arc;

use millstream_spark::{error::SparkError, session::CommandOutput};
use spark_connect_proto::{
    Command, GetResourcesCommandResult, MlCommand, MlCommandResult,
    StreamingQueryListenerBusCommand,
    command::CommandType,
    execute_plan_response::{ResponseType, SqlCommandResult},
    ml_command,
    streaming_query_listener_bus_command::Command as ListenerBusCommand,
};

use super::{listener_bus, manager, streaming_query};
use crate::{error, execution::Execution, sessions::Session};

pub(super) async fn execute(
    session: &Arc<Session>,
    spark: &millstream_spark::session::Session,
    execution: &Execution,
    command: &Command,
) -> Result<(), SparkError> {
    let Some(command_type) = &command.command_type else {
        return Err(error::one_of_not_set(
            "spark.connect.Command",
            "command_type",
        ));
    };
    match command_type {
        CommandType::WriteStreamOperationStart(start) => {
            streaming_query::start(session, execution, start).await
        }
        CommandType::StreamingQueryCommand(command) => {
            streaming_query::command(session, execution, command).await
        }
        CommandType::StreamingQueryManagerCommand(command) => {
            manager::command(session, execution, command).await
        }
        CommandType::StreamingQueryListenerBusCommand(command) => {
            listen(session, execution, command).await
        }
        CommandType::MlCommand(command) => {
            let result = ml(command)?;
            execution
                .respond(ResponseType::MlCommandResult(result))
                .await
        }
        CommandType::GetResourcesCommand(_) => {
            let none = GetResourcesCommandResult::default();
            execution
                .respond(ResponseType::GetResourcesCommandResult(none))
                .await
        }
        _ => batch(spark, execution, command).await,
    }
}

async fn listen(
    session: &Arc<Session>,
    execution: &Execution,
    command: &StreamingQueryListenerBusCommand,
) -> Result<(), SparkError> {
    match &command.command {
        Some(ListenerBusCommand::AddListenerBusListener(_)) => {
            listener_bus::listen(session, execution).await
        }
        Some(ListenerBusCommand::RemoveListenerBusListener(_)) => {
            session.listener_bus().close().await;
            Ok(())
        }
        None => Err(error::one_of_not_set(
            "spark.connect.StreamingQueryListenerBusCommand",
            "command",
        )),
    }
}

async fn batch(
    spark: &millstream_spark::session::Session,
    execution: &Execution,
    command: &Command,
) -> Result<(), SparkError> {
    match spark.command(command).await? {
        CommandOutput::Done => Ok(()),
        CommandOutput::Relation(relation) => {
            let result = SqlCommandResult {
                relation: Some(*relation),
            };
            execution
                .respond(ResponseType::SqlCommandResult(result))
                .await
        }
    }
}

/// Clients clear the cache of models when they end; there is none, so it is clear.
fn ml(command: &MlCommand) -> Result<MlCommandResult, SparkError> {
    match &command.command {
        Some(ml_command::Command::CleanCache(_) | ml_command::Command::Delete(_)) => {
            Ok(MlCommandResult::default())
        }
        _ => Err(SparkError::unsupported("pyspark.ml: machine learning")),
    }
}
