//! Partitions one after the other.
//!
//! DataFusion merges partitions as their batches come. Spark hands out the rows of the first partition, then those of the
//! second: a table that was created in some order is shown in that order, and a union shows its first side first. All
//! partitions run at once here too; what they give before it is their turn waits in small buffers.
use std::{any::Any, fmt, sync::Arc};

use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        internal_err,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
        PlanProperties, ReplaceChildrenOptions,
        coalesce_partitions::CoalescePartitionsExec,
        stream::{RecordBatchReceiverStream, RecordBatchStreamAdapter},
    },
};
use futures::{StreamExt, future, stream};

/// Batches of a partition that wait for their turn.
const WAITING_BATCHES: usize = 4;

/// Replaces every merge of partitions, and merges what a plan leaves apart.
#[derive(Debug)]
pub(super) struct MergeInOrder;

impl PhysicalOptimizerRule for MergeInOrder {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = plan
            .transform_up(|plan| {
                let any: &dyn Any = plan.as_ref();
                match any.downcast_ref::<CoalescePartitionsExec>() {
                    Some(merge) => {
                        let input = Arc::clone(merge.input());
                        let merge: Arc<dyn ExecutionPlan> =
                            Arc::new(InOrderExec::new(input, merge.fetch()));
                        Ok(Transformed::yes(merge))
                    }
                    None => Ok(Transformed::no(plan)),
                }
            })?
            .data;
        if plan.output_partitioning().partition_count() > 1 {
            return Ok(Arc::new(InOrderExec::new(plan, None)));
        }
        Ok(plan)
    }

    fn name(&self) -> &str {
        "merge_in_order"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Merges partitions, first things first.
#[derive(Debug, Clone)]
struct InOrderExec {
    input: Arc<dyn ExecutionPlan>,
    fetch: Option<usize>,
    properties: Arc<PlanProperties>,
}

impl InOrderExec {
    fn new(input: Arc<dyn ExecutionPlan>, fetch: Option<usize>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            Partitioning::UnknownPartitioning(1),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        Self {
            input,
            fetch,
            properties: Arc::new(properties),
        }
    }
}

impl DisplayAs for InOrderExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fetch {
            Some(fetch) => write!(f, "InOrderExec: fetch={fetch}"),
            None => write!(f, "InOrderExec"),
        }
    }
}

impl ExecutionPlan for InOrderExec {
    fn name(&self) -> &str {
        "InOrderExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(Self::new(input, self.fetch))),
            _ => internal_err!("InOrderExec has one input"),
        }
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(Self::new(input, self.fetch))),
            _ => internal_err!("InOrderExec has one input"),
        }
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("InOrderExec has one partition, not {partition}");
        }
        let count = self.input.output_partitioning().partition_count();
        let parts: Vec<SendableRecordBatchStream> = if count == 1 {
            vec![self.input.execute(0, context)?]
        } else {
            (0..count)
                .map(|part| {
                    let mut builder =
                        RecordBatchReceiverStream::builder(self.schema(), WAITING_BATCHES);
                    let (input, context, out) =
                        (Arc::clone(&self.input), Arc::clone(&context), builder.tx());
                    builder.spawn(async move {
                        let mut rows = input.execute(part, context)?;
                        while let Some(batch) = rows.next().await {
                            // Nobody waits any more: a limit was reached, or the query was cancelled.
                            if out.send(batch).await.is_err() {
                                break;
                            }
                        }
                        Ok(())
                    });
                    builder.build()
                })
                .collect()
        };
        let mut left = self.fetch.unwrap_or(usize::MAX);
        let rows = stream::iter(parts).flatten().map(move |batch| {
            batch.map(|batch| {
                let wanted = left.min(batch.num_rows());
                left -= wanted;
                batch.slice(0, wanted)
            })
        });
        let rows = match self.fetch {
            Some(_) => rows
                .take_while(|batch| future::ready(!matches!(batch, Ok(b) if b.num_rows() == 0)))
                .boxed(),
            None => rows.boxed(),
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    fn fetch(&self) -> Option<usize> {
        self.fetch
    }
}
