//! Turns the engine's logical nodes into operators.
use std::sync::Arc;

use arrow::datatypes::Schema;
use async_trait::async_trait;
use datafusion::{
    catalog::Session,
    common::{DFSchema, Result, internal_datafusion_err},
    execution::context::QueryPlanner,
    logical_expr::{
        LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
        physical_planning_context::PhysicalPlanningContext,
    },
    physical_expr::{
        PhysicalExpr,
        aggregate::{AggregateFunctionExpr, LoweredAggregateBuilder},
    },
    physical_plan::{
        ExecutionPlan,
        aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy},
    },
    physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner},
};

use crate::operator::{
    aggregate::{StateAggregateExec, StatefulAggregateNode},
    exchange::ExchangeExec,
    watermark::{WatermarkExec, WatermarkNode},
};

/// DataFusion's planner, knowing the engine's nodes.
#[derive(Debug)]
pub(super) struct StreamingQueryPlanner;

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
        logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let ([logical], [physical]) = (logical_inputs, physical_inputs) else {
            return Ok(None);
        };
        if let Some(node) = node.as_any().downcast_ref::<WatermarkNode>() {
            return plan_watermark(node, Arc::clone(physical)).map(Some);
        }
        let Some(node) = node.as_any().downcast_ref::<StatefulAggregateNode>() else {
            return Ok(None);
        };
        let keys = node
            .keys()
            .iter()
            .map(|key| planner.create_physical_expr(key, logical.schema(), session, context))
            .collect::<Result<Vec<_>>>()?;
        let calls = node
            .aggregates()
            .iter()
            .map(|call| plan_aggregate(call, logical.schema(), physical, session, context))
            .collect::<Result<Vec<_>>>()?;
        stateful_aggregate(node, keys, calls, physical).map(Some)
    }
}

fn plan_watermark(
    node: &WatermarkNode,
    input: Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = UserDefinedLogicalNodeCore::schema(node);
    let event_time = schema.index_of_column(node.event_time())?;
    let output = Arc::new(Schema::clone(schema.as_arrow()));
    Ok(Arc::new(WatermarkExec::new(
        input,
        output,
        event_time,
        node.node_id(),
        node.delay_ms(),
    )))
}

type Call = (Arc<AggregateFunctionExpr>, Option<Arc<dyn PhysicalExpr>>);

fn plan_aggregate(
    call: &datafusion::logical_expr::Expr,
    logical: &DFSchema,
    physical: &Arc<dyn ExecutionPlan>,
    session: &dyn Session,
    context: &PhysicalPlanningContext,
) -> Result<Call> {
    let schema = physical.schema();
    let lowered =
        LoweredAggregateBuilder::new(call, logical, &schema, session.execution_props(), context)
            .build()?;
    Ok((lowered.aggregate, lowered.filter))
}

/// Partial aggregation, exchange by key, merge with state.
fn stateful_aggregate(
    node: &StatefulAggregateNode,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    calls: Vec<Call>,
    input: &Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let (functions, filters): (Vec<_>, Vec<_>) = calls.into_iter().unzip();
    let output = Arc::new(Schema::clone(
        UserDefinedLogicalNodeCore::schema(node).as_arrow(),
    ));
    let width = keys.len();
    let named = keys
        .into_iter()
        .enumerate()
        .map(|(index, key)| {
            let field = output.fields().get(index).ok_or_else(|| {
                internal_datafusion_err!("an aggregation has more keys than output columns")
            })?;
            Ok((key, field.name().clone()))
        })
        .collect::<Result<Vec<_>>>()?;
    let partial = AggregateExec::try_new(
        AggregateMode::Partial,
        PhysicalGroupBy::new_single(named),
        functions.clone(),
        filters,
        Arc::clone(input),
        input.schema(),
    )?;
    let exchange = Arc::new(ExchangeExec::new(
        Arc::new(partial),
        width,
        node.partitions(),
    ));
    Ok(Arc::new(StateAggregateExec::try_new(
        exchange,
        width,
        functions,
        node.event_time(),
        node.output_mode(),
        node.operator_id(),
        output,
    )?))
}
