//! Handing rows to the windows that their time lies in.
use std::{fmt, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray, PrimitiveArray, RecordBatch, RecordBatchOptions, UInt32Array},
    compute::take,
    datatypes::{DataType, Field, Schema, SchemaRef, TimestampMicrosecondType},
};
use datafusion::{
    common::{Result, exec_datafusion_err, internal_datafusion_err, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt, stream};

use crate::{
    operator::{aggregate::groups::slices, exchange::only_child},
    time::WindowGrid,
};

/// Replaces a time column by start and end of each window that the time lies in; a row without a time goes.
#[derive(Debug, Clone)]
pub struct SlidingWindowsExec {
    input: Arc<dyn ExecutionPlan>,
    column: usize,
    grid: WindowGrid,
    properties: Arc<PlanProperties>,
}

impl SlidingWindowsExec {
    /// Puts the operator over `input`, whose column `column` is a timestamp in microseconds; the columns that take its
    /// place are called `bounds`.
    pub fn try_new(
        input: Arc<dyn ExecutionPlan>,
        column: usize,
        grid: WindowGrid,
        bounds: [&str; 2],
    ) -> Result<Self> {
        let schema = replaced(&input.schema(), column, bounds)?;
        Ok(Self::with_schema(input, column, grid, schema))
    }

    fn with_schema(
        input: Arc<dyn ExecutionPlan>,
        column: usize,
        grid: WindowGrid,
        schema: SchemaRef,
    ) -> Self {
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(schema),
            datafusion::physical_plan::Partitioning::UnknownPartitioning(
                input.output_partitioning().partition_count(),
            ),
            input.pipeline_behavior(),
            input.boundedness(),
        ));
        Self {
            input,
            column,
            grid,
            properties,
        }
    }
}

/// The columns, with two in place of one.
fn replaced(schema: &Schema, column: usize, bounds: [&str; 2]) -> Result<SchemaRef> {
    let mut fields = schema.fields().to_vec();
    let time = fields.get(column).map(|field| field.data_type().clone());
    let Some(time @ DataType::Timestamp(_, _)) = time else {
        return Err(internal_datafusion_err!("column {column} is no timestamp"));
    };
    let bound = |name| Arc::new(Field::new(name, time.clone(), true));
    fields.splice(column..=column, bounds.map(bound));
    Ok(Arc::new(Schema::new(fields)))
}

/// The rows of a batch, each once per window, latest window first.
fn expand(
    rows: &RecordBatch,
    column: usize,
    grid: WindowGrid,
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let times = rows
        .columns()
        .get(column)
        .and_then(|times| times.as_primitive_opt::<TimestampMicrosecondType>())
        .ok_or_else(|| internal_datafusion_err!("column {column} is no time in microseconds"))?;
    let (mut of_rows, mut starts, mut ends) = (vec![], vec![], vec![]);
    for (row, time) in times.iter().enumerate() {
        let Some(time) = time else { continue };
        let windows = grid
            .starts(time)
            .ok_or_else(|| exec_datafusion_err!("a window of time {time} is out of range"))?;
        for start in windows {
            of_rows.push(row as u32);
            starts.push(start);
            ends.push(start.saturating_add(grid.duration));
        }
    }
    let count = RecordBatchOptions::new().with_row_count(Some(of_rows.len()));
    let of_rows = UInt32Array::from(of_rows);
    let bound = |values: Vec<i64>| -> ArrayRef {
        let values: PrimitiveArray<TimestampMicrosecondType> = values.into();
        Arc::new(values.with_timezone_opt(times.timezone()))
    };
    let mut columns = rows
        .columns()
        .iter()
        .map(|column| Ok(take(column, &of_rows, None)?))
        .collect::<Result<Vec<_>>>()?;
    columns.splice(column..=column, [bound(starts), bound(ends)]);
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns,
        &count,
    )?)
}

impl DisplayAs for SlidingWindowsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let WindowGrid {
            duration,
            slide,
            offset,
        } = self.grid;
        write!(
            f,
            "SlidingWindowsExec: column={}, duration={duration}, slide={slide}, offset={offset}",
            self.column
        )
    }
}

impl ExecutionPlan for SlidingWindowsExec {
    fn name(&self) -> &str {
        "SlidingWindowsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::with_schema(
            only_child(children)?,
            self.column,
            self.grid,
            self.schema(),
        )))
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, Arc::clone(&context))?;
        let (column, grid, schema) = (self.column, self.grid, self.schema());
        // A piece at a time, so that what comes out is no larger than any other batch.
        let overlap = usize::try_from(grid.overlap()).unwrap_or(usize::MAX);
        let piece = (context.session_config().batch_size() / overlap.max(1)).max(1);
        let expanded = input.flat_map(move |rows| {
            let schema = Arc::clone(&schema);
            let (pieces, failed) = match rows {
                Ok(rows) => (slices(&rows, piece), None),
                Err(error) => (vec![], Some(Err(error))),
            };
            let pieces = pieces.into_iter();
            stream::iter(pieces.map(move |rows| expand(&rows, column, grid, &schema)))
                .chain(stream::iter(failed))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.schema(),
            expanded,
        )))
    }
}
