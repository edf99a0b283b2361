//! What the tests of sources share: contexts in temporary folders, and partitions read to the end.
use std::{path::Path, sync::Arc};

use arrow::{array::RecordBatch, compute::concat_batches, datatypes::SchemaRef};
use futures::TryStreamExt;
use millstream_checkpoint::storage::{LocalStorage, StorageRef};
use millstream_engine::{
    source::{InputPartition, ScanRequest, SourceContext},
    time::{ClockRef, ManualClock},
};

/// A context whose log is the folder `dir`.
pub(crate) fn context(dir: &Path, clock: &ManualClock) -> SourceContext {
    let log: StorageRef = Arc::new(LocalStorage::new(dir).unwrap());
    let clock: ClockRef = Arc::new(clock.clone());
    SourceContext {
        log,
        clock,
        parallelism: 2,
        faults: millstream_checkpoint::Faults::none(),
    }
}

/// All columns of all partitions, in the order of the partitions.
pub(crate) async fn read(
    partitions: &[Arc<dyn InputPartition>],
    schema: &SchemaRef,
) -> RecordBatch {
    let all = (0..schema.fields().len()).collect();
    read_columns(partitions, schema, all).await
}

/// Some columns of all partitions.
pub(crate) async fn read_columns(
    partitions: &[Arc<dyn InputPartition>],
    schema: &SchemaRef,
    projection: Vec<usize>,
) -> RecordBatch {
    let schema = Arc::new(schema.project(&projection).unwrap());
    let request = ScanRequest {
        projection,
        schema: Arc::clone(&schema),
        filters: vec![],
        batch_size: 3,
    };
    let mut batches = Vec::new();
    for partition in partitions {
        let stream = partition.open(&request).unwrap();
        batches.extend(stream.try_collect::<Vec<_>>().await.unwrap());
    }
    assert!(
        batches
            .iter()
            .all(|batch| batch.schema() == schema && batch.num_rows() <= 3)
    );
    concat_batches(&schema, &batches).unwrap()
}
