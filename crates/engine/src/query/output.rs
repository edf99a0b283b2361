//! The plan's rows as the sink gets them.
use std::sync::Arc;

use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    compute::cast,
    datatypes::SchemaRef,
};
use datafusion::{
    error::DataFusionError, execution::SendableRecordBatchStream,
    physical_plan::stream::RecordBatchStreamAdapter,
};
use futures::TryStreamExt;

use crate::{batch::Observations, sink::SinkBatch};

/// The rows under the columns of the query's output, counted on the way.
pub(super) fn named(
    rows: SendableRecordBatchStream,
    batch: &SinkBatch,
    observations: Arc<Observations>,
) -> SendableRecordBatchStream {
    let schema = Arc::clone(&batch.schema);
    let renamed = rows.and_then(move |rows| {
        observations.add_output_rows(rows.num_rows());
        futures::future::ready(under(&schema, &rows))
    });
    Box::pin(RecordBatchStreamAdapter::new(
        Arc::clone(&batch.schema),
        renamed,
    ))
}

/// `rows` with the names of `schema`, and its word on which fields inside a column may be null: plans know that better than
/// programs promise.
fn under(schema: &SchemaRef, rows: &RecordBatch) -> Result<RecordBatch, DataFusionError> {
    let columns = rows
        .columns()
        .iter()
        .zip(schema.fields())
        .map(
            |(column, field)| match column.data_type() == field.data_type() {
                true => Ok(Arc::clone(column)),
                false => cast(column, field.data_type()),
            },
        )
        .collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns,
        &options,
    )?)
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{ArrayRef, Int64Array, StructArray},
        datatypes::{DataType, Field, Schema},
    };

    use super::*;

    fn window(nullable: bool) -> DataType {
        DataType::Struct(vec![Field::new("start", DataType::Int64, nullable)].into())
    }

    #[test]
    fn a_field_that_is_never_null_fits_a_column_where_it_may_be() {
        let DataType::Struct(fields) = window(false) else {
            unreachable!()
        };
        let start: ArrayRef = Arc::new(Int64Array::from(vec![7]));
        let column: ArrayRef = Arc::new(StructArray::new(fields, vec![start], None));
        let rows = RecordBatch::try_from_iter([("window#1", column)]).unwrap();
        let schema = Arc::new(Schema::new(vec![Field::new("window", window(true), true)]));
        let renamed = under(&schema, &rows).unwrap();
        assert_eq!(renamed.schema(), schema);
        assert_eq!(renamed.column(0).len(), 1);
    }
}
