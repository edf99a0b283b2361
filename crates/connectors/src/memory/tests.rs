use arrow::array::{Int64Array, RecordBatch};
use datafusion::prelude::SessionContext;
use millstream_checkpoint::Faults;
use millstream_engine::plan::OutputMode;
use uuid::Uuid;

use super::*;
use crate::batches::lazily;

fn rows(values: &[i64]) -> RecordBatch {
    RecordBatch::try_from_iter([("v", Arc::new(Int64Array::from(values.to_vec())) as _)]).unwrap()
}

async fn run(sink: &dyn Sink, batch_id: u64, mode: OutputMode, partitions: &[&[i64]]) {
    let batch = SinkBatch {
        batch_id,
        query_id: Uuid::nil(),
        schema: rows(&[]).schema(),
        output_mode: mode,
        faults: Faults::none(),
    };
    let writer = sink.begin(&batch).await.unwrap();
    let mut messages = Vec::new();
    for (i, values) in partitions.iter().enumerate() {
        let batch = rows(values);
        let stream = lazily(batch.schema(), [Ok(batch)].into_iter());
        messages.push(writer.write(i, stream).await.unwrap());
    }
    sink.commit(&batch, messages).await.unwrap();
}

async fn values(table: Arc<MemoryTable>) -> Vec<i64> {
    let batches = SessionContext::new()
        .read_table(table)
        .unwrap()
        .collect()
        .await
        .unwrap();
    let column = |batch: &RecordBatch| {
        let column = batch
            .column(0)
            .as_any()
            .downcast_ref::<Int64Array>()
            .unwrap()
            .clone();
        column.values().to_vec()
    };
    batches.iter().flat_map(column).collect()
}

#[tokio::test]
async fn append_adds_batches_and_a_batch_that_runs_again_adds_nothing() {
    let tables = MemoryTables::default();
    let sink = MemorySink::new(tables.create("Counts", rows(&[]).schema()));
    run(&sink, 0, OutputMode::Append, &[&[1, 2], &[]]).await;
    run(&sink, 1, OutputMode::Append, &[&[3]]).await;
    run(&sink, 1, OutputMode::Append, &[&[3]]).await;
    assert_eq!(values(tables.get("COUNTS").unwrap()).await, [1, 2, 3]);
}

#[tokio::test]
async fn complete_replaces_what_was_there() {
    let tables = MemoryTables::default();
    let sink = MemorySink::new(tables.create("t", rows(&[]).schema()));
    run(&sink, 0, OutputMode::Complete, &[&[1, 2]]).await;
    run(&sink, 1, OutputMode::Complete, &[&[9], &[8]]).await;
    assert_eq!(values(tables.get("t").unwrap()).await, [9, 8]);
}

#[tokio::test]
async fn a_new_query_of_the_same_name_starts_with_an_empty_table() {
    let tables = MemoryTables::default();
    let sink = MemorySink::new(tables.create("t", rows(&[]).schema()));
    run(&sink, 0, OutputMode::Append, &[&[1]]).await;
    tables.create("t", rows(&[]).schema());
    run(&sink, 1, OutputMode::Append, &[&[2]]).await;
    assert!(values(tables.get("t").unwrap()).await.is_empty());
}
