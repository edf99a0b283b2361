//! What a micro-batch costs beside its work: one row per batch through a stateful count, with the checkpoint in memory (the
//! engine's own share) and on local disk (what a user sees).
//!
//! `cargo bench -p millstream-engine --bench micro_batch`
#![allow(clippy::unwrap_used)]
use std::{sync::Arc, time::Instant};

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch},
    datatypes::{DataType, Field, Schema},
};
use async_trait::async_trait;
use datafusion::{
    execution::SendableRecordBatchStream,
    functions_aggregate::expr_fn::count,
    logical_expr::{LogicalPlanBuilder, col, lit},
    prelude::SessionContext,
};
use futures::StreamExt;
use millstream_checkpoint::Faults;
use millstream_engine::{
    BoxError,
    plan::{OutputMode, StreamTable},
    query::{CheckpointLocation, QuerySettings, QuerySpec, StreamingQueryManager, Trigger},
    sink::{BatchWriter, CommitMessage, Sink, SinkBatch},
    source::MemoryStream,
    time::SystemClock,
};

/// Drops all rows.
#[derive(Debug)]
struct Nowhere;

#[async_trait]
impl Sink for Nowhere {
    fn description(&self) -> String {
        "Nowhere".to_string()
    }

    async fn begin(&self, _: &SinkBatch) -> Result<Arc<dyn BatchWriter>, BoxError> {
        Ok(Arc::new(Nowhere))
    }

    async fn commit(&self, _: &SinkBatch, _: Vec<CommitMessage>) -> Result<(), BoxError> {
        Ok(())
    }
}

#[async_trait]
impl BatchWriter for Nowhere {
    async fn write(
        &self,
        _: usize,
        mut rows: SendableRecordBatchStream,
    ) -> Result<CommitMessage, BoxError> {
        while let Some(batch) = rows.next().await {
            batch?;
        }
        Ok(CommitMessage::default())
    }
}

async fn run(checkpoint: &str, batches: usize) -> Vec<u128> {
    let schema = Arc::new(Schema::new(vec![Field::new("key", DataType::Int64, true)]));
    let stream = MemoryStream::new(Arc::clone(&schema));
    let plan = LogicalPlanBuilder::from(
        StreamTable::new(Arc::new(stream.clone()))
            .scan_plan()
            .unwrap(),
    )
    .aggregate([col("key")], [count(lit(1))])
    .unwrap()
    .build()
    .unwrap();
    let manager = StreamingQueryManager::new(tokio::runtime::Handle::current(), Arc::default());
    let query = manager
        .start(QuerySpec {
            name: None,
            schema: Arc::new(Schema::clone(plan.schema().as_arrow())),
            plan,
            session: SessionContext::new().state(),
            sink: Arc::new(Nowhere),
            output_mode: OutputMode::Update,
            trigger: Trigger::default(),
            checkpoint: CheckpointLocation {
                url: checkpoint.to_string(),
                temporary: false,
            },
            // No pause between two looks for data: the measure is the batch, not the wait for it.
            settings: QuerySettings {
                polling_delay_ms: 0,
                ..Default::default()
            },
            clock: Arc::new(SystemClock),
            faults: Faults::none(),
            stop_active_run: true,
        })
        .await
        .unwrap();
    let mut micros = vec![];
    for number in 0..batches {
        let key: ArrayRef = Arc::new(Int64Array::from(vec![number as i64 % 10]));
        let rows = RecordBatch::try_new(Arc::clone(&schema), vec![key]).unwrap();
        let began = Instant::now();
        stream.add(rows);
        query.process_all_available().await.unwrap();
        micros.push(began.elapsed().as_micros());
    }
    query.stop().await;
    micros.sort_unstable();
    micros
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (name, url) in [
        ("checkpoint in memory", "memory:///bench".to_string()),
        (
            "checkpoint on disk",
            folder.path().to_string_lossy().into_owned(),
        ),
    ] {
        let micros = runtime.block_on(run(&url, 1000));
        let at = |share: usize| micros[micros.len() * share / 100];
        println!(
            "{name}: median {} us, p99 {} us from row to committed batch",
            at(50),
            at(99)
        );
    }
}
