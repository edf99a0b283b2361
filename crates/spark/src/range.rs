//! `range(start, end, step)` as a table that counts while it is read.
use std::sync::Arc;

use arrow::{array::Int64Array, datatypes::SchemaRef, record_batch::RecordBatch};
use datafusion::{
    catalog::streaming::StreamingTable,
    common::DataFusionError,
    datasource::provider_as_source,
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder},
    physical_plan::{stream::RecordBatchStreamAdapter, streaming::PartitionStream},
};

use crate::error::Result;

/// Rows of one batch.
const BATCH_ROWS: usize = 8192;

/// A part of a range.
#[derive(Debug)]
struct RangePartition {
    schema: SchemaRef,
    start: i64,
    step: i64,
    count: usize,
}

impl PartitionStream for RangePartition {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (schema, start, step, count) =
            (Arc::clone(&self.schema), self.start, self.step, self.count);
        let batches = (0..count.div_ceil(BATCH_ROWS)).map(move |batch| {
            let from = batch * BATCH_ROWS;
            let to = (from + BATCH_ROWS).min(count);
            // Wrapping: the last value fits, what lies beyond is never reached.
            let values = (from..to).map(|i| start.wrapping_add((i as i64).wrapping_mul(step)));
            let column = Arc::new(Int64Array::from_iter_values(values));
            RecordBatch::try_new(Arc::clone(&schema), vec![column]).map_err(DataFusionError::from)
        });
        let stream = futures::stream::iter(batches);
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            stream,
        ))
    }
}

/// A scan of `count` numbers in `partitions` parts.
pub(crate) fn scan(
    schema: SchemaRef,
    start: i64,
    step: i64,
    count: usize,
    partitions: Option<i32>,
) -> Result<LogicalPlan> {
    let wanted = partitions
        .and_then(|p| usize::try_from(p).ok())
        .unwrap_or(1)
        .clamp(1, 256);
    let size = count.div_ceil(wanted).max(1);
    let parts: Vec<Arc<dyn PartitionStream>> = (0..wanted)
        .map(|part| {
            let from = (part * size).min(count);
            let partition = RangePartition {
                schema: Arc::clone(&schema),
                start: start.wrapping_add((from as i64).wrapping_mul(step)),
                step,
                count: size.min(count - from),
            };
            Arc::new(partition) as Arc<dyn PartitionStream>
        })
        .collect();
    let columns = schema
        .fields()
        .iter()
        .map(|f| Expr::Column(datafusion::common::Column::new_unqualified(f.name())))
        .collect();
    let table = StreamingTable::try_new(schema, parts)?;
    let scan =
        LogicalPlanBuilder::scan("range", provider_as_source(Arc::new(table)), None)?.build()?;
    crate::relation::unqualified(scan, columns)
}
