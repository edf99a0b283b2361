//! The physical side of a join between streams: one state partition per plan partition.
use std::{fmt, sync::Arc};

use arrow::datatypes::SchemaRef;
use datafusion::{
    common::{
        JoinType, Result, internal_datafusion_err, internal_err, tree_node::TreeNodeRecursion,
    },
    execution::{SendableRecordBatchStream, TaskContext, memory_pool::MemoryConsumer},
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{TryStreamExt, stream};

use super::{
    layout::SideLayout,
    pair::PairCondition,
    run::{PartitionRun, STORES},
};
use crate::{
    batch::BatchContext,
    operator::{KeepsState, OperatorStore},
};

/// Joins two streams, keeping the rows of both in state.
#[derive(Debug, Clone)]
pub struct SymmetricHashJoinExec {
    pub(super) sides: [JoinSide; 2],
    pub(super) join_type: JoinType,
    /// What a pair needs beside equal keys, over left and right columns.
    pub(super) pair: Option<PairCondition>,
    pub(super) operator_id: u32,
    properties: Arc<PlanProperties>,
}

/// One input of the join.
#[derive(Debug, Clone)]
pub struct JoinSide {
    input: Arc<dyn ExecutionPlan>,
    pub(super) layout: SideLayout,
    /// What a row needs by itself to have a match.
    pub(super) filter: Option<Arc<dyn PhysicalExpr>>,
}

impl JoinSide {
    pub(super) fn new(
        input: Arc<dyn ExecutionPlan>,
        layout: SideLayout,
        filter: Option<Arc<dyn PhysicalExpr>>,
    ) -> Self {
        Self {
            input,
            layout,
            filter,
        }
    }
}

impl SymmetricHashJoinExec {
    /// Joins `sides`, whose rows are with the state partition that owns their key.
    pub(super) fn try_new(
        sides: [JoinSide; 2],
        join_type: JoinType,
        pair: Option<Arc<dyn PhysicalExpr>>,
        operator_id: u32,
        schema: SchemaRef,
    ) -> Result<Self> {
        let [left, right] = &sides;
        if left.layout.key_types() != right.layout.key_types() {
            return internal_err!(
                "the keys of a join have types {:?} and {:?}: equal keys would be in different partitions",
                left.layout.key_types(),
                right.layout.key_types()
            );
        }
        let pair = pair
            .map(|pair| PairCondition::try_new(pair, left.layout.row(), right.layout.row()))
            .transpose()?;
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(schema),
            left.input.output_partitioning().clone(),
            left.input.pipeline_behavior(),
            left.input.boundedness(),
        ));
        Ok(Self {
            sides,
            join_type,
            pair,
            operator_id,
            properties,
        })
    }
}

impl KeepsState for SymmetricHashJoinExec {
    fn stores(&self) -> Vec<OperatorStore> {
        let sides = STORES.into_iter().zip(&self.sides);
        sides
            .map(|(name, side)| OperatorStore {
                operator_id: self.operator_id,
                name,
                schema: side.layout.state().clone(),
                placed_by: side.layout.keys(),
            })
            .collect()
    }
}

impl DisplayAs for SymmetricHashJoinExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let [left, right] = &self.sides;
        write!(
            f,
            "SymmetricHashJoinExec: operator={}, {}, keys={}, pair=[{}], evicts=[{:?}, {:?}]",
            self.operator_id,
            self.join_type,
            left.layout.keys(),
            self.pair
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            left.layout.eviction(),
            right.layout.eviction(),
        )
    }
}

impl ExecutionPlan for SymmetricHashJoinExec {
    fn name(&self) -> &str {
        "SymmetricHashJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.sides.iter().map(|side| &side.input).collect()
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false, false]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok(inputs) = <[_; 2]>::try_from(children) else {
            return internal_err!("a join has two children");
        };
        let mut join = self.as_ref().clone();
        for (side, input) in join.sides.iter_mut().zip(inputs) {
            side.input = input;
        }
        Ok(Arc::new(join))
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
        let batch = BatchContext::of(&context)?;
        let partition_id = u32::try_from(partition)
            .map_err(|_| internal_datafusion_err!("there is no state partition {partition}"))?;
        let [left, right] = &self.sides;
        let inputs = [
            left.input.execute(partition, Arc::clone(&context))?,
            right.input.execute(partition, Arc::clone(&context))?,
        ];
        let memory = MemoryConsumer::new(format!("StreamJoin[{}, {partition}]", self.operator_id))
            .register(context.memory_pool());
        let run = PartitionRun::new(self.clone(), partition_id, batch, memory);
        let rows = stream::once(run.join(inputs)).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}
