//! A query: resolve the relation, run it, send schema and rows.
use futures::StreamExt;
use millstream_spark::{error::SparkError, session::Session};
use spark_connect_proto::{
    ExecutePlanResponse, Relation, ResultChunkingOptions, execute_plan_response::ResponseType,
};

use crate::{arrow_batches::ArrowBatches, execution::Execution};

pub(super) async fn execute(
    spark: &Session,
    execution: &Execution,
    relation: &Relation,
    chunking: Option<&ResultChunkingOptions>,
) -> Result<(), SparkError> {
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
