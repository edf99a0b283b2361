//! The scan of a streaming source: reads what the running batch assigned to its partitions.
use std::{fmt, sync::Arc};

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::{
    common::{Result, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, Statistics,
        execution_plan::{Boundedness, EmissionType},
        statistics::StatisticsArgs,
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt, TryStreamExt, stream};

use super::{ScanRequest, table::huge};
use crate::batch::{BatchContext, external};

/// Scans one source. Its rows are those that [`BatchContext::input`] holds for its partitions when it is executed; the node
/// itself keeps nothing between batches.
#[derive(Debug, Clone)]
pub struct StreamScanExec {
    of: ScanOf,
    properties: Arc<PlanProperties>,
}

/// What is scanned.
#[derive(Debug, Clone)]
pub(super) struct ScanOf {
    pub format: String,
    /// Index of the source.
    pub source: usize,
    /// Columns of the source that the scan returns.
    pub projection: Vec<usize>,
    /// Conditions that the source applies, over all its columns.
    pub filters: Vec<Arc<dyn PhysicalExpr>>,
}

impl StreamScanExec {
    pub(super) fn try_new(
        of: ScanOf,
        source_schema: &SchemaRef,
        partitions: usize,
    ) -> Result<Self> {
        let schema: Schema = source_schema.project(&of.projection)?;
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(Arc::new(schema)),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        Ok(Self { of, properties })
    }
}

impl DisplayAs for StreamScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let schema = self.schema();
        let columns: Vec<_> = schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        write!(
            f,
            "StreamScanExec: source={} {}, columns=[{}]",
            self.of.source,
            self.of.format,
            columns.join(", ")
        )?;
        if self.of.filters.is_empty() {
            return Ok(());
        }
        let filters: Vec<_> = self.of.filters.iter().map(ToString::to_string).collect();
        write!(f, ", filters=[{}]", filters.join(", "))
    }
}

impl ExecutionPlan for StreamScanExec {
    fn name(&self) -> &str {
        "StreamScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn apply_expressions(
        &self,
        apply: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for filter in &self.of.filters {
            if apply(filter)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let batch = BatchContext::of(&context)?;
        let source = self.of.source;
        let request = ScanRequest {
            projection: self.of.projection.clone(),
            schema: self.schema(),
            filters: self.of.filters.clone(),
            batch_size: context.session_config().batch_size(),
        };
        let parts = batch.input(source, partition).to_vec();
        let observations = Arc::clone(&batch.observations);
        let rows = stream::iter(parts)
            .map(move |part| part.open(&request).map_err(external))
            .try_flatten()
            .inspect_ok(move |rows| observations.add_source_rows(source, rows.num_rows()));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    fn statistics_from_inputs(
        &self,
        _: &[Arc<Statistics>],
        _: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        Ok(Arc::new(huge(&self.schema())))
    }
}
