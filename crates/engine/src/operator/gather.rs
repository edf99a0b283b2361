//! Reads everything before it lets anything through.
//!
//! A limit over the result of a stateful operator stops asking once it has enough rows. But a partition of state that is
//! not read to its end is not committed, and the batch fails. So the limit asks this operator, which has read
//! all partitions, at the same time, before it answers. Where there is a sort below the limit it has done the same.
use std::{cmp::Ordering, fmt, sync::Arc};

use arrow::array::RecordBatch;
use datafusion::{
    common::{
        DFSchemaRef, DataFusionError, Result, internal_err, runtime::SpawnedTask,
        tree_node::TreeNodeRecursion,
    },
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore},
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
        PlanProperties, stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt, TryStreamExt, stream};

use super::exchange::only_child;
use crate::plan::{Lowering, PlannedNode};

/// All rows of its input, in the order of its partitions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GatherNode {
    input: LogicalPlan,
}

impl GatherNode {
    /// `input`, read to its end by whoever reads a row of it.
    pub fn over(input: LogicalPlan) -> LogicalPlan {
        LogicalPlan::Extension(Extension {
            node: Arc::new(Self { input }),
        })
    }
}

impl PartialOrd for GatherNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for GatherNode {
    fn name(&self) -> &str {
        "Gather"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Gather")
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        match (inputs.pop(), inputs.is_empty()) {
            (Some(input), true) => Ok(Self { input }),
            _ => internal_err!("gathering has one input"),
        }
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![output_columns.to_vec()])
    }
}

impl PlannedNode for GatherNode {
    fn plan(&self, lowering: &Lowering<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = lowering.inputs()?;
        Ok(Arc::new(GatherExec::new(input)))
    }
}

/// The operator of a [`GatherNode`]: many partitions in, one out.
#[derive(Debug, Clone)]
pub struct GatherExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl GatherExec {
    fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            Partitioning::UnknownPartitioning(1),
            input.pipeline_behavior(),
            input.boundedness(),
        ));
        Self { input, properties }
    }
}

impl DisplayAs for GatherExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "GatherExec")
    }
}

impl ExecutionPlan for GatherExec {
    fn name(&self) -> &str {
        "GatherExec"
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
        Ok(Arc::new(Self::new(only_child(children)?)))
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
        if partition != 0 {
            return internal_err!("gathering has one partition, not {partition}");
        }
        let mut tasks = vec![];
        for partition in 0..self.input.output_partitioning().partition_count() {
            let rows = self.input.execute(partition, Arc::clone(&context))?;
            tasks.push(SpawnedTask::spawn(rows.try_collect::<Vec<_>>()));
        }
        let gathered = async move {
            let mut all: Vec<RecordBatch> = vec![];
            for task in tasks {
                let rows = task.join_unwind().await;
                all.extend(rows.map_err(|error| {
                    datafusion::common::internal_datafusion_err!("reading a partition: {error}")
                })??);
            }
            Ok::<_, DataFusionError>(stream::iter(all).map(Ok))
        };
        let rows = stream::once(gathered).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}
