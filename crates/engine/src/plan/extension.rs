//! Turns the engine's logical nodes into operators.
//!
//! Every node of the engine is a [`PlannedNode`]: it knows its own operator. This file knows the list of them, and gives
//! them what they need from DataFusion's planner.
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::{
    catalog::Session,
    common::{DFSchema, Result, internal_err},
    execution::context::QueryPlanner,
    logical_expr::{
        Expr, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
        physical_planning_context::PhysicalPlanningContext,
    },
    physical_expr::{
        PhysicalExpr,
        aggregate::{AggregateFunctionExpr, LoweredAggregateBuilder},
    },
    physical_plan::ExecutionPlan,
    physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner},
};

use crate::operator::{
    aggregate::StatefulAggregateNode, deduplicate::StatefulDeduplicateNode, gather::GatherNode,
    join::StreamJoinNode, limit::GlobalLimitNode, observe::ObserveNode,
    session::SessionAggregateNode, sliding::SlidingWindowsNode, watermark::WatermarkNode,
};

/// A logical node of the engine that knows its operator.
pub(crate) trait PlannedNode: UserDefinedLogicalNodeCore {
    /// The operator, over the inputs that `lowering` holds.
    fn plan(&self, lowering: &Lowering<'_>) -> Result<Arc<dyn ExecutionPlan>>;

    /// The columns of its output.
    fn output(&self) -> SchemaRef {
        Arc::new(Schema::clone(
            UserDefinedLogicalNodeCore::schema(self).as_arrow(),
        ))
    }
}

/// What a node is planned from: its planned inputs, and DataFusion's planner for its expressions.
pub(crate) struct Lowering<'a> {
    planner: &'a dyn PhysicalPlanner,
    session: &'a dyn Session,
    context: &'a PhysicalPlanningContext,
    logical: &'a [&'a LogicalPlan],
    physical: &'a [Arc<dyn ExecutionPlan>],
}

impl Lowering<'_> {
    /// The node's inputs, of which there must be `N`.
    pub fn inputs<const N: usize>(&self) -> Result<[Arc<dyn ExecutionPlan>; N]> {
        match <[_; N]>::try_from(self.physical.to_vec()) {
            Ok(inputs) => Ok(inputs),
            Err(inputs) => internal_err!("expected {N} inputs, got {}", inputs.len()),
        }
    }

    /// An expression over the columns of input `input`.
    pub fn expr(&self, expr: &Expr, input: usize) -> Result<Arc<dyn PhysicalExpr>> {
        let Some(logical) = self.logical.get(input) else {
            return internal_err!("there is no input {input}");
        };
        self.planner
            .create_physical_expr(expr, logical.schema(), self.session, self.context)
    }

    /// An expression over columns that are no single input's.
    pub fn expr_over(&self, expr: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
        self.planner
            .create_physical_expr(expr, schema, self.session, self.context)
    }

    /// An aggregate call over the columns of input `input`, and its filter.
    pub fn aggregate(&self, call: &Expr, input: usize) -> Result<AggregateCall> {
        let (Some(logical), Some(physical)) = (self.logical.get(input), self.physical.get(input))
        else {
            return internal_err!("there is no input {input}");
        };
        let lowered = LoweredAggregateBuilder::new(
            call,
            logical.schema(),
            &physical.schema(),
            self.session.execution_props(),
            self.context,
        )
        .build()?;
        Ok((lowered.aggregate, lowered.filter))
    }
}

/// An aggregate function, and which rows it wants.
pub(crate) type AggregateCall = (Arc<AggregateFunctionExpr>, Option<Arc<dyn PhysicalExpr>>);

/// DataFusion's planner, knowing the engine's nodes. Plans over tables need it for [`ObserveNode`].
#[derive(Debug)]
pub struct StreamingQueryPlanner;

#[async_trait]
impl QueryPlanner for StreamingQueryPlanner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let planner =
            DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(StreamingExtensions)]);
        planner.create_physical_plan(plan, session).await
    }
}

struct StreamingExtensions;

#[async_trait]
impl ExtensionPlanner for StreamingExtensions {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        logical: &[&LogicalPlan],
        physical: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let lowering = Lowering {
            planner,
            session,
            context,
            logical,
            physical,
        };
        // One line per node.
        planned::<WatermarkNode>(node, &lowering)
            .or_else(|| planned::<StatefulAggregateNode>(node, &lowering))
            .or_else(|| planned::<StatefulDeduplicateNode>(node, &lowering))
            .or_else(|| planned::<GlobalLimitNode>(node, &lowering))
            .or_else(|| planned::<StreamJoinNode>(node, &lowering))
            .or_else(|| planned::<GatherNode>(node, &lowering))
            .or_else(|| planned::<SessionAggregateNode>(node, &lowering))
            .or_else(|| planned::<SlidingWindowsNode>(node, &lowering))
            .or_else(|| planned::<ObserveNode>(node, &lowering))
            .transpose()
    }
}

/// The operator of `node`, if it is an `N`.
fn planned<N: PlannedNode + 'static>(
    node: &dyn UserDefinedLogicalNode,
    lowering: &Lowering<'_>,
) -> Option<Result<Arc<dyn ExecutionPlan>>> {
    node.as_any()
        .downcast_ref::<N>()
        .map(|node| node.plan(lowering))
}
