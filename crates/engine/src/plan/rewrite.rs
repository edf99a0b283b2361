//! From the plan as it was written to the plan of a stream: sources, watermarks and stateful operators get their numbers.
//!
//! The walk goes from the sources up. What a node turns into is one arm of [`Rewrite::node`]; an operator that keeps
//! state takes its number from [`Rewrite::stateful`], which also finds out where its watermark comes from.
use std::sync::Arc;

use datafusion::{
    common::{
        DataFusionError, Result,
        tree_node::{Transformed, TreeNode},
    },
    datasource::provider_as_source,
    logical_expr::{Aggregate, Distinct, Expr, Extension, Join, Limit, LogicalPlan},
};

use super::{OutputMode, UnsupportedOperation, is_streaming};
use crate::{
    operator::{
        self,
        aggregate::StatefulAggregateNode,
        deduplicate::DeduplicateNode,
        gather::GatherNode,
        join::{UnnumberedJoin, gather_conditions, joins_streams},
        limit::GlobalLimitNode,
        session::{SessionAggregateNode, session_key},
        watermark::{Declaration, WatermarkNode},
    },
    source::StreamTable,
    time::{OperatorFlow, WatermarkFlow, WatermarkInput},
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

/// What an operator says of itself when it asks for its number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stateful<'a> {
    /// Name in progress reports.
    pub name: &'static str,
    /// Its inputs, already rewritten.
    pub inputs: &'a [&'a LogicalPlan],
    /// Number of state partitions.
    pub partitions: usize,
    /// Whether a moved watermark gives it something to do without new rows.
    pub acts_on_watermark: bool,
    /// By how much its output may be behind its watermark, in milliseconds.
    pub held_back_ms: i64,
    /// What the watermark of its output never passes, in milliseconds.
    pub at_most_ms: Option<i64>,
}

/// The numbering of what a plan contains.
pub(super) struct Rewrite {
    parallelism: usize,
    partitions: usize,
    output_mode: OutputMode,
    /// Sources by index.
    pub sources: Vec<StreamTable>,
    /// Delay threshold of each watermark, in milliseconds.
    pub delays: Vec<i64>,
    /// The watermark of each watermark node.
    pub watermark_nodes: Vec<usize>,
    /// What told each watermark.
    declarations: Vec<Declaration>,
    /// Stateful operators by id.
    pub operators: Vec<StatefulOperator>,
    /// Whether there is a watermark above a watermark.
    pub redefines_watermark: bool,
    flows: Vec<OperatorFlow>,
}

impl Rewrite {
    /// Nothing is numbered yet.
    pub fn new(output_mode: OutputMode, parallelism: usize, partitions: usize) -> Self {
        Self {
            parallelism,
            partitions,
            output_mode,
            sources: vec![],
            delays: vec![],
            watermark_nodes: vec![],
            declarations: vec![],
            operators: vec![],
            redefines_watermark: false,
            flows: vec![],
        }
    }

    /// How the watermark passes the operators.
    pub fn flow(&self) -> WatermarkFlow {
        WatermarkFlow::new(self.flows.clone())
    }

    /// Rewrites a plan.
    pub fn plan(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let plan = gather_conditions(plan)?;
        Ok(plan.transform_up(|plan| self.node(plan))?.data)
    }

    fn node(&mut self, plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        let rewritten = match &plan {
            LogicalPlan::TableScan(_) => self.source(&plan),
            LogicalPlan::Extension(Extension { node }) => {
                let node = node.as_any();
                if let Some(watermark) = node.downcast_ref::<WatermarkNode>() {
                    Some(self.watermark(watermark)?)
                } else if let Some(duplicates) = node.downcast_ref::<DeduplicateNode>() {
                    Some(self.deduplicate(duplicates)?)
                } else {
                    None
                }
            }
            LogicalPlan::Aggregate(aggregate) if is_streaming(&aggregate.input)? => {
                Some(match session_key(aggregate)? {
                    Some(session) => self.session(aggregate, session)?,
                    None => self.aggregate(aggregate)?,
                })
            }
            LogicalPlan::Distinct(Distinct::All(input)) if is_streaming(input)? => {
                Some(self.distinct(input)?)
            }
            LogicalPlan::Limit(limit) if is_streaming(&limit.input)? => self.limit(limit)?,
            LogicalPlan::Join(join) if joins_streams(join)? => Some(self.join(join)?),
            _ => None,
        };
        Ok(match rewritten {
            Some(plan) => Transformed::yes(plan),
            None => Transformed::no(plan),
        })
    }

    /// A streaming leaf under its index.
    fn source(&mut self, plan: &LogicalPlan) -> Option<LogicalPlan> {
        let LogicalPlan::TableScan(scan) = plan else {
            return None;
        };
        let table = StreamTable::of(&scan.source)?;
        let bound = table.bound(self.source_index(&table), self.parallelism);
        let mut scan = scan.clone();
        scan.source = provider_as_source(Arc::new(bound));
        Some(LogicalPlan::TableScan(scan))
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

    fn watermark(&mut self, watermark: &WatermarkNode) -> Result<LogicalPlan> {
        self.redefines_watermark |= watermark.input().exists(|plan| {
            Ok(matches!(plan, LogicalPlan::Extension(Extension { node }) if node.as_any().is::<WatermarkNode>()))
        })?;
        let numbered = watermark.with_node_id(self.watermark_nodes.len() as u32);
        let declaration = watermark.declaration();
        let known = self.declarations.iter().position(|of| *of == declaration);
        self.watermark_nodes.push(known.unwrap_or_else(|| {
            self.declarations.push(declaration);
            self.delays.push(watermark.delay_ms());
            self.delays.len() - 1
        }));
        Ok(LogicalPlan::Extension(Extension {
            node: Arc::new(numbered),
        }))
    }

    fn aggregate(&mut self, aggregate: &Aggregate) -> Result<LogicalPlan> {
        let partitions = match aggregate.group_expr.is_empty() {
            true => 1,
            false => self.partitions,
        };
        let id = self.stateful(Stateful {
            name: "stateStoreSave",
            inputs: &[aggregate.input.as_ref()],
            partitions,
            // Spark asks whether there is a watermark, not whether a key carries it.
            acts_on_watermark: !self.delays.is_empty() && self.output_mode != OutputMode::Complete,
            held_back_ms: 0,
            at_most_ms: None,
        })?;
        StatefulAggregateNode::replace(aggregate, self.output_mode, id, partitions)
    }

    /// `SELECT DISTINCT` is a grouping without aggregates; `dropDuplicates` is a node of its own.
    fn distinct(&mut self, input: &Arc<LogicalPlan>) -> Result<LogicalPlan> {
        let columns = input.schema().columns();
        let keys = columns.into_iter().map(Expr::Column).collect();
        self.aggregate(&Aggregate::try_new(Arc::clone(input), keys, vec![])?)
    }

    fn deduplicate(&mut self, duplicates: &DeduplicateNode) -> Result<LogicalPlan> {
        let partitions = self.partitions;
        let id = self.stateful(Stateful {
            name: duplicates.operator_name(),
            inputs: &[duplicates.input()],
            partitions,
            // As for aggregations: whether a key carries the watermark is not asked.
            acts_on_watermark: !self.delays.is_empty(),
            held_back_ms: 0,
            at_most_ms: None,
        })?;
        duplicates.replace(id, partitions)
    }

    /// A limit counts over the life of the query where rows are appended: in append mode, and in complete mode below the
    /// aggregation. Elsewhere it is one over a batch's result.
    fn limit(&mut self, limit: &Limit) -> Result<Option<LogicalPlan>> {
        let appended = match self.output_mode {
            OutputMode::Append => true,
            OutputMode::Complete => !limit.input.exists(|plan| Ok(is_aggregation(plan)))?,
            OutputMode::Update => false,
        };
        let Some(rows) = GlobalLimitNode::rows_of(limit)?.filter(|_| appended) else {
            return Ok(over_all_rows(limit));
        };
        if let Some(combined) = GlobalLimitNode::combine(&limit.input, rows) {
            return Ok(Some(combined));
        }
        let id = self.stateful(Stateful {
            name: "globalLimit",
            inputs: &[limit.input.as_ref()],
            partitions: 1,
            acts_on_watermark: false,
            held_back_ms: 0,
            at_most_ms: None,
        })?;
        Ok(Some(GlobalLimitNode::replace(&limit.input, rows, id)))
    }

    fn join(&mut self, join: &Join) -> Result<LogicalPlan> {
        let unnumbered = UnnumberedJoin::of(join)?;
        let bounds = unnumbered.bounds();
        let id = self.stateful(Stateful {
            name: "symmetricHashJoin",
            inputs: &[join.left.as_ref(), join.right.as_ref()],
            partitions: self.partitions,
            acts_on_watermark: bounds.is_bounded(),
            held_back_ms: bounds.held_back_ms(),
            at_most_ms: bounds.at_most_ms(),
        })?;
        Ok(unnumbered.numbered(id, self.partitions))
    }

    fn session(&mut self, aggregate: &Aggregate, session: usize) -> Result<LogicalPlan> {
        if aggregate.group_expr.len() == 1 {
            let refused = Box::new(UnsupportedOperation::GlobalSession);
            return Err(DataFusionError::External(refused));
        }
        let id = self.stateful(Stateful {
            name: "sessionWindowStateStoreSaveExec",
            inputs: &[aggregate.input.as_ref()],
            partitions: self.partitions,
            acts_on_watermark: !self.delays.is_empty() && self.output_mode != OutputMode::Complete,
            held_back_ms: 0,
            at_most_ms: None,
        })?;
        SessionAggregateNode::replace(aggregate, session, self.output_mode, id, self.partitions)
    }

    /// Numbers a stateful operator.
    fn stateful(&mut self, operator: Stateful<'_>) -> Result<u32> {
        let id = self.operators.len() as u32;
        let mut inputs = vec![];
        for input in operator.inputs {
            inputs.extend(watermark_inputs(input)?);
        }
        self.flows.push(OperatorFlow {
            inputs,
            held_back_ms: operator.held_back_ms,
            at_most_ms: operator.at_most_ms,
        });
        self.operators.push(StatefulOperator {
            id,
            name: operator.name,
            partitions: operator.partitions,
            acts_on_watermark: operator.acts_on_watermark,
        });
        Ok(id)
    }
}

/// A limit of one batch's rows, which reads all of them: what keeps state below must be read to its end.
fn over_all_rows(limit: &Limit) -> Option<LogicalPlan> {
    let sorted = matches!(limit.input.as_ref(), LogicalPlan::Sort(_));
    (!sorted).then(|| {
        let input = Arc::new(GatherNode::over(limit.input.as_ref().clone()));
        LogicalPlan::Limit(Limit {
            input,
            ..limit.clone()
        })
    })
}

/// Whether a rewritten plan is a streaming aggregation.
fn is_aggregation(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Extension(Extension { node }) => {
            let node = node.as_any();
            node.is::<StatefulAggregateNode>() || node.is::<SessionAggregateNode>()
        }
        _ => false,
    }
}

/// The nearest watermark nodes and stateful operators of a plan, on every branch that has one.
fn watermark_inputs(plan: &LogicalPlan) -> Result<Vec<WatermarkInput>> {
    if let LogicalPlan::Extension(Extension { node }) = plan {
        if node.as_any().is::<WatermarkNode>() {
            return Ok(vec![WatermarkInput::Origin]);
        }
        if let Some(id) = operator::id_of(node.as_ref()) {
            return Ok(vec![WatermarkInput::Operator(id)]);
        }
    }
    let mut found = vec![];
    for input in plan.inputs() {
        found.extend(watermark_inputs(input)?);
    }
    Ok(found)
}
