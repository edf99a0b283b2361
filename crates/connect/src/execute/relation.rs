//! A query: resolve the relation, run it, send schema and rows.
use std::sync::Arc;

use futures::StreamExt;
use millstream_spark::error::SparkError;
use spark_connect_proto::{
    ExecutePlanResponse, Relation, ResultChunkingOptions, execute_plan_response::ResponseType,
};

use crate::{arrow_batches::ArrowBatches, execution::Execution, sessions::Session};

pub(super) async fn execute(
    session: &Arc<Session>,
    execution: &Execution,
    relation: &Relation,
    chunking: Option<&ResultChunkingOptions>,
) -> Result<(), SparkError> {
    let spark = session.spark();
    let resolved = spark.resolve(relation).await?;
    let schema = spark.schema(&resolved);
    execution
        .push(ExecutePlanResponse {
            schema: Some(schema),
            ..Default::default()
        })
        .await?;

    let mut rows = spark.execute(&resolved).await?;
    let mut batches = ArrowBatches::new(&rows.schema(), chunking);
    while let Some(batch) = rows.next().await {
        for response in batches.push(&batch?)? {
            execution
                .respond(ResponseType::ArrowBatch(response))
                .await?;
        }
    }
    for response in batches.finish()? {
        execution
            .respond(ResponseType::ArrowBatch(response))
            .await?;
    }
    Ok(())
}
