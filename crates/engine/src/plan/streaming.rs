//! Building the plan of a run: once, from the logical plan as it was written.
//!
//! 1. Streaming leaves become sources, numbered as a reader meets them; one relation used twice is one source.
//! 2. Watermarks get the ids under which they report; aggregations over streams become stateful operators, numbered from
//!    the sources up, so that an operator keeps its id when something is added above it.
//! 3. The time of the batch is bound to the run's cell.
//! 4. DataFusion optimises and plans the rest, under settings that suit plans which run many times: no dynamic filters
//!    (they cannot be reset), no round-robin repartitioning (it costs more than a small batch), no repartitioned joins.
//!
//! Once, but for tables that change while the query runs: then the last step is made again, with what they are now. What it
//! numbers, it numbers in the logical plan, which stays.
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::{
    common::{
        Result,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    execution::{SessionState, SessionStateBuilder},
    logical_expr::{Extension, LogicalPlan},
    physical_optimizer::optimizer::PhysicalOptimizer,
    physical_plan::{ExecutionPlan, displayable},
};
use millstream_checkpoint::OperatorFact;

use super::{
    BatchTime, OutputMode,
    batch_time::bind_batch_time,
    build_side::StaticBuildSide,
    description::describe,
    extension::StreamingQueryPlanner,
    fresh::RunPlan,
    operation::without_brackets,
    rewrite::{Rewrite, StatefulOperator},
};
use crate::{
    operator::{self, OperatorStore, stores_of},
    source::{StreamTable, TableWatch, WatchedTable, stamps},
    time::WatermarkFlow,
};

/// The plan of a run.
#[derive(Debug)]
pub struct StreamingPlan {
    /// Sources by index.
    pub sources: Vec<StreamTable>,
    /// Delay threshold of each watermark, in milliseconds.
    pub watermark_delays_ms: Vec<i64>,
    /// The watermark of each watermark node.
    pub watermark_nodes: Vec<usize>,
    /// Stateful operators by id.
    pub operators: Vec<StatefulOperator>,
    /// Their ids as progress tells them: each before its inputs, a left input before a right one.
    pub told_order: Vec<u32>,
    /// What each stateful operator computes, by id.
    pub descriptions: Vec<(u32, Vec<OperatorFact>)>,
    /// How the watermark passes the stateful operators.
    pub watermark_flow: WatermarkFlow,
    /// Whether there is a watermark above a watermark; that fails as soon as the query has one.
    pub redefines_watermark: bool,
    /// The time of the batch that runs next.
    pub batch_time: BatchTime,
    optimized: LogicalPlan,
    session: SessionState,
    /// Of the tables beside the streams.
    tables: Vec<Arc<dyn TableWatch>>,
    physical: RunPlan,
}

impl StreamingPlan {
    /// Plans `plan` for `parallelism` threads and `partitions` state partitions.
    pub async fn build(
        plan: LogicalPlan,
        session: &SessionState,
        output_mode: OutputMode,
        parallelism: usize,
        partitions: usize,
    ) -> Result<Self> {
        let mut rewrite = Rewrite::new(output_mode, parallelism, partitions);
        let batch_time = BatchTime::default();
        let plan = rewrite.plan(without_brackets(plan)?)?;
        let descriptions = describe(&plan)?;
        let told_order = stateful_from_the_top(&plan)?;
        let plan = bind_batch_time(plan, &batch_time)?;
        let session = streaming_session(session, parallelism);
        let optimized = session.optimize(&plan)?;
        let tables = WatchedTable::watches(&optimized)?;
        // Asked first: a change while the plan is made shows in the next batch.
        let stamps = stamps(&tables).await?;
        let physical = physical(&optimized, &session).await?;
        Ok(Self {
            watermark_flow: rewrite.flow(),
            redefines_watermark: rewrite.redefines_watermark,
            sources: rewrite.sources,
            watermark_delays_ms: rewrite.delays,
            watermark_nodes: rewrite.watermark_nodes,
            operators: rewrite.operators,
            told_order,
            descriptions,
            batch_time,
            optimized,
            session,
            tables,
            physical: RunPlan::new(physical, stamps),
        })
    }

    /// The physical plan for a batch: whatever another batch left in its operators is gone, but for built tables; these
    /// too if a table is not what it was.
    pub async fn physical(&self) -> Result<Arc<dyn ExecutionPlan>> {
        let stamps = stamps(&self.tables).await?;
        if !self.physical.is_of(&stamps) {
            let plan = physical(&self.optimized, &self.session).await?;
            self.physical.replace(plan, stamps);
        }
        self.physical.for_batch()
    }

    /// The stores of the stateful operators.
    pub(crate) fn stores(&self) -> Result<Vec<OperatorStore>> {
        stores_of(&self.physical.plan())
    }

    /// Columns of the plan's output, under its own names.
    pub fn schema(&self) -> SchemaRef {
        self.physical.plan().schema()
    }

    /// The plans as text.
    pub fn explain(&self, extended: bool) -> String {
        let physical = displayable(self.physical.plan().as_ref())
            .indent(extended)
            .to_string();
        if extended {
            format!(
                "== Optimized Logical Plan ==\n{}\n\n== Physical Plan ==\n{physical}",
                self.optimized.display_indent()
            )
        } else {
            format!("== Physical Plan ==\n{physical}")
        }
    }
}

async fn physical(
    optimized: &LogicalPlan,
    session: &SessionState,
) -> Result<Arc<dyn ExecutionPlan>> {
    let planner = session.query_planner();
    planner.create_physical_plan(optimized, session).await
}

/// Ids of the stateful operators of a rewritten plan, each before its inputs.
fn stateful_from_the_top(plan: &LogicalPlan) -> Result<Vec<u32>> {
    let mut ids = vec![];
    plan.apply(|plan| {
        if let LogicalPlan::Extension(Extension { node }) = plan {
            ids.extend(operator::id_of(node.as_ref()));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(ids)
}

/// The session, with the planner and the settings of streaming plans.
fn streaming_session(session: &SessionState, parallelism: usize) -> SessionState {
    let mut config = session.config().clone().with_target_partitions(parallelism);
    let optimizer = &mut config.options_mut().optimizer;
    optimizer.enable_dynamic_filter_pushdown = false;
    optimizer.enable_round_robin_repartition = false;
    optimizer.repartition_joins = false;
    let mut rules = PhysicalOptimizer::new().rules;
    rules.insert(0, Arc::new(StaticBuildSide));
    SessionStateBuilder::new_from_existing(session.clone())
        .with_config(config)
        .with_query_planner(Arc::new(StreamingQueryPlanner))
        .with_physical_optimizer_rules(rules)
        .build()
}
