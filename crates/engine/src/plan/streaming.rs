//! Building the plan of a run: once, from the logical plan as it was written.
//!
//! 1. Streaming leaves become sources, numbered as a reader meets them; one relation used twice is one source.
//! 2. Watermarks get the ids under which they report; aggregations over streams become stateful operators, numbered from
//!    the sources up, so that an operator keeps its id when something is added above it.
//! 3. The time of the batch is bound to the run's cell.
//! 4. DataFusion optimises and plans the rest, under settings that suit plans which run many times: no dynamic filters
//!    (they cannot be reset), no round-robin repartitioning (it costs more than a small batch), no repartitioned joins.
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::{
    common::{
        Result,
        tree_node::{Transformed, TreeNode},
    },
    datasource::provider_as_source,
    execution::{SessionState, SessionStateBuilder},
    logical_expr::{Extension, LogicalPlan},
    physical_optimizer::optimizer::PhysicalOptimizer,
    physical_plan::{ExecutionPlan, displayable},
};

use super::{
    BatchTime, OutputMode, batch_time::bind_batch_time, build_side::StaticBuildSide,
    extension::StreamingQueryPlanner, unsupported::is_streaming,
};
use crate::{
    operator::{aggregate::StatefulAggregateNode, watermark::WatermarkNode},
    source::StreamTable,
};

/// A stateful operator of a plan, as the query loop needs to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatefulOperator {
    /// Stable id.
    pub id: u32,
    /// Name in progress reports, e.g. `stateStoreSave`.
    pub name: &'static str,
    /// Number of state partitions.
    pub partitions: usize,
    /// Whether a moved watermark gives it something to do without new rows.
    pub acts_on_watermark: bool,
}

/// The plan of a run.
#[derive(Debug)]
pub struct StreamingPlan {
    /// Sources by index.
    pub sources: Vec<StreamTable>,
    /// Delay threshold of each watermark node, in milliseconds.
    pub watermark_delays_ms: Vec<i64>,
    /// Stateful operators by id.
    pub operators: Vec<StatefulOperator>,
    /// The time of the batch that runs next.
    pub batch_time: BatchTime,
    optimized: LogicalPlan,
    physical: Arc<dyn ExecutionPlan>,
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
        let mut rewrite = Rewrite {
            parallelism,
            partitions,
            output_mode,
            sources: vec![],
            delays: vec![],
            operators: vec![],
        };
        let batch_time = BatchTime::default();
        let plan = rewrite.rewrite(plan)?;
        let plan = bind_batch_time(plan, &batch_time)?;
        let session = streaming_session(session, parallelism);
        let optimized = session.optimize(&plan)?;
        let physical = session
            .query_planner()
            .create_physical_plan(&optimized, &session)
            .await?;
        Ok(Self {
            sources: rewrite.sources,
            watermark_delays_ms: rewrite.delays,
            operators: rewrite.operators,
            batch_time,
            optimized,
            physical,
        })
    }

    /// The physical plan, fresh: whatever a batch left in its operators is gone.
    pub fn physical(&self) -> Result<Arc<dyn ExecutionPlan>> {
        datafusion::physical_plan::execution_plan::reset_plan_states(Arc::clone(&self.physical))
    }

    /// Columns of the plan's output, under its own names.
    pub fn schema(&self) -> SchemaRef {
        self.physical.schema()
    }

    /// The plans as text.
    pub fn explain(&self, extended: bool) -> String {
        let physical = displayable(self.physical.as_ref())
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

/// The numbering of what a plan contains.
struct Rewrite {
    parallelism: usize,
    partitions: usize,
    output_mode: OutputMode,
    sources: Vec<StreamTable>,
    delays: Vec<i64>,
    operators: Vec<StatefulOperator>,
}

impl Rewrite {
    fn rewrite(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        Ok(plan.transform_up(|plan| self.rewrite_node(plan))?.data)
    }

    fn rewrite_node(&mut self, plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        match plan {
            LogicalPlan::TableScan(mut scan) => match StreamTable::of(&scan.source) {
                Some(table) => {
                    let bound = table.bound(self.source_index(&table), self.parallelism);
                    scan.source = provider_as_source(Arc::new(bound));
                    Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
                }
                None => Ok(Transformed::no(LogicalPlan::TableScan(scan))),
            },
            LogicalPlan::Extension(Extension { node }) => {
                match node.as_any().downcast_ref::<WatermarkNode>() {
                    Some(watermark) => {
                        let numbered = watermark.with_node_id(self.delays.len() as u32);
                        self.delays.push(watermark.delay_ms());
                        Ok(Transformed::yes(LogicalPlan::Extension(Extension {
                            node: Arc::new(numbered),
                        })))
                    }
                    None => Ok(Transformed::no(LogicalPlan::Extension(Extension { node }))),
                }
            }
            LogicalPlan::Aggregate(aggregate) if is_streaming(&aggregate.input)? => {
                let id = self.operators.len() as u32;
                let replaced = StatefulAggregateNode::replace(
                    &aggregate,
                    self.output_mode,
                    id,
                    self.partitions,
                )?;
                let keyed = !aggregate.group_expr.is_empty();
                self.operators.push(StatefulOperator {
                    id,
                    name: "stateStoreSave",
                    partitions: if keyed { self.partitions } else { 1 },
                    // Spark asks whether there is a watermark, not whether a key carries it.
                    acts_on_watermark: !self.delays.is_empty()
                        && self.output_mode != OutputMode::Complete,
                });
                Ok(Transformed::yes(replaced))
            }
            other => Ok(Transformed::no(other)),
        }
    }

    fn source_index(&mut self, table: &StreamTable) -> usize {
        let known = self
            .sources
            .iter()
            .position(|source| source.relation() == table.relation());
        known.unwrap_or_else(|| {
            self.sources.push(table.clone());
            self.sources.len() - 1
        })
    }
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
