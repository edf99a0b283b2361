//! Rows that are in memory or made on the spot, as the streams and messages of the source and sink
//! contracts.
use std::sync::Arc;

use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
    error::ArrowError,
    ipc::{reader::StreamReader, writer::StreamWriter},
};
use bytes::Bytes;
use datafusion::{
    error::DataFusionError, execution::SendableRecordBatchStream,
    physical_plan::stream::RecordBatchStreamAdapter,
};
use futures::stream;
use millstream_engine::{
    BoxError,
    source::{InputPartition, ScanRequest},
};

/// A stream of batches that are computed when they are asked for.
pub(crate) fn lazily(
    schema: SchemaRef,
    batches: impl Iterator<Item = Result<RecordBatch, DataFusionError>> + Send + 'static,
) -> SendableRecordBatchStream {
    Box::pin(RecordBatchStreamAdapter::new(schema, stream::iter(batches)))
}

/// Input rows that are in memory.
#[derive(Debug)]
pub(crate) struct RowsPartition {
    pub(crate) rows: RecordBatch,
}

impl InputPartition for RowsPartition {
    fn open(&self, request: &ScanRequest) -> Result<SendableRecordBatchStream, BoxError> {
        let rows = self.rows.project(&request.projection)?;
        let step = request.batch_size.max(1);
        let starts = (0..rows.num_rows()).step_by(step);
        let slices =
            starts.map(move |start| Ok(rows.slice(start, step.min(rows.num_rows() - start))));
        Ok(lazily(request.schema.clone(), slices))
    }
}

/// Batches as an Arrow IPC stream: what a task sends to the commit.
pub(crate) fn encode(schema: &Schema, batches: &[RecordBatch]) -> Result<Bytes, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), schema)?;
    for batch in batches {
        writer.write(batch)?;
    }
    Ok(writer.into_inner()?.into())
}

/// Reads what [`encode`] wrote.
pub(crate) fn decode(bytes: &Bytes) -> Result<Vec<RecordBatch>, ArrowError> {
    StreamReader::try_new(bytes.as_ref(), None)?.collect()
}

/// The batch under another schema of the same column types: plans differ in nullability and
/// metadata.
pub(crate) fn with_schema(
    batch: &RecordBatch,
    schema: &SchemaRef,
) -> Result<RecordBatch, ArrowError> {
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), batch.columns().to_vec(), &options)
}
