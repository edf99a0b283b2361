//! Running what an `ExecutePlan` asks for: the task behind an operation.
//!
//! [`run`] is the task. It decides by the kind of plan who does the work, turns the outcome into the operation's last
//! response, and stops where it stands when the operation is interrupted: dropping the work's future cancels the
//! DataFusion streams in it. A streaming query is not part of the operation that started it and goes on.
mod command;
mod compressed;
pub mod listener_bus;
mod manager;
pub mod queries;
mod relation;
mod streaming_query;

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc};

use futures::FutureExt;
use millstream_spark::error::SparkError;
use spark_connect_proto::{
    ExecutePlanResponse, Plan, ResultChunkingOptions,
    execute_plan_response::{ResponseType, ResultComplete},
    plan::OpType,
};

use crate::{error, execution::Execution, sessions::Session};

/// The task of an operation.
pub async fn run(
    session: Arc<Session>,
    execution: Arc<Execution>,
    plan: Plan,
    chunking: Option<ResultChunkingOptions>,
) {
    let work = AssertUnwindSafe(execute(&session, &execution, plan, chunking)).catch_unwind();
    let outcome = tokio::select! {
        biased;
        () = execution.cancellation().cancelled() => Err(error::operation_canceled()),
        outcome = work => outcome.unwrap_or_else(|panic| Err(panicked(panic.as_ref()))),
    };
    let outcome = match outcome {
        Ok(()) => {
            execution
                .respond(ResponseType::ResultComplete(ResultComplete {}))
                .await
        }
        failed => failed,
    };
    execution.finish(outcome.map_err(|error| session.status(error)));
}

async fn execute(
    session: &Arc<Session>,
    execution: &Execution,
    plan: Plan,
    chunking: Option<ResultChunkingOptions>,
) -> Result<(), SparkError> {
    let operation = match plan.op_type {
        Some(OpType::CompressedOperation(compressed)) => compressed::decompress(&compressed)?,
        Some(operation) => operation,
        None => return Err(error::one_of_not_set("spark.connect.Plan", "op_type")),
    };
    let (spark, observed) = session.spark().observing();
    match operation {
        OpType::Root(relation) => {
            relation::execute(&spark, execution, &relation, chunking.as_ref()).await?;
        }
        OpType::Command(command) => {
            command::execute(session, &spark, execution, &command).await?;
        }
        OpType::CompressedOperation(_) => {
            return Err(error::invalid_request(
                "a compressed plan inside a compressed plan",
            ));
        }
    }
    let observed_metrics = observed.take()?;
    if observed_metrics.is_empty() {
        return Ok(());
    }
    execution
        .push(ExecutePlanResponse {
            observed_metrics,
            ..Default::default()
        })
        .await
}

/// A bug of ours ends the operation that met it, not the server.
pub fn panicked(panic: &(dyn Any + Send)) -> SparkError {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(message, "an operation panicked");
    SparkError::internal(format_args!("an operation panicked: {message}"))
}
