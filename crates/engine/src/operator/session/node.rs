//! The logical side of an aggregation by session.
use std::{cmp::Ordering, fmt, sync::Arc};

use arrow::datatypes::Field;
use datafusion::{
    common::{DFSchema, DFSchemaRef, Result, internal_err, not_impl_err},
    logical_expr::{
        Aggregate, Expr, Extension, LogicalPlan, LogicalPlanBuilder, UserDefinedLogicalNodeCore,
    },
    physical_plan::ExecutionPlan,
};

use super::{SessionAggregateExec, exec::Sessions};
use crate::{
    operator::{
        aggregate::{keys::Key, partial::partial, results_of},
        exchange::ExchangeExec,
    },
    plan::{Lowering, OutputMode, PlannedNode},
    time::event_time::is_session,
};

/// An aggregation by session. Its output is the other keys, start and end of the session, then the aggregates.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SessionAggregateNode {
    input: LogicalPlan,
    /// The other keys, then start and end of each row's own session.
    keys: Vec<Expr>,
    aggregates: Vec<Expr>,
    /// Whether the sessions carry event time.
    watermarked: bool,
    output_mode: OutputMode,
    operator_id: u32,
    partitions: usize,
    schema: DFSchemaRef,
}

/// Which grouping expression of an aggregation is a session.
pub(crate) fn session_key(aggregate: &Aggregate) -> Result<Option<usize>> {
    let mut keys = aggregate
        .schema
        .fields()
        .iter()
        .take(aggregate.group_expr_len()?);
    let session = keys.position(|field| is_session(field));
    match aggregate.group_expr.first() {
        // Spark has no answer either: it fails on the NULL session of the sets without one.
        Some(Expr::GroupingSet(_)) if session.is_some() => {
            not_impl_err!(
                "a session window cannot be part of ROLLUP, CUBE or GROUPING SETS on a stream"
            )
        }
        _ => Ok(session),
    }
}

impl SessionAggregateNode {
    /// Replaces a plan's aggregation, whose grouping expression `session` is a session: the node, under a projection that
    /// restores the aggregation's own columns.
    pub fn replace(
        aggregate: &Aggregate,
        session: usize,
        output_mode: OutputMode,
        operator_id: u32,
        partitions: usize,
    ) -> Result<LogicalPlan> {
        let all = Key::all_of(aggregate)?;
        let mut output: Vec<Expr> = all
            .iter()
            .enumerate()
            .map(|(index, key)| key.output(aggregate, index))
            .collect();
        let Some(own) = all.get(session) else {
            return internal_err!("there is no grouping expression {session}");
        };
        let others = all
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != session);
        let parts = others
            .flat_map(|(_, key)| &key.parts)
            .chain(&own.parts)
            .cloned();
        let (keys, mut fields): (Vec<Expr>, Vec<_>) = parts
            .map(|(expr, field)| (expr, (None, Arc::new(field))))
            .unzip();
        let (aggregates, results) = results_of(aggregate)?;
        fields.extend(aggregates);
        output.extend(results);
        let node = Self {
            input: aggregate.input.as_ref().clone(),
            keys,
            aggregates: aggregate.aggr_expr.clone(),
            watermarked: own.event_time.is_some(),
            output_mode,
            operator_id,
            partitions,
            schema: Arc::new(DFSchema::new_with_metadata(fields, Default::default())?),
        };
        let node = LogicalPlan::Extension(Extension {
            node: Arc::new(node),
        });
        LogicalPlanBuilder::from(node).project(output)?.build()
    }

    /// What its state is made of.
    pub fn parts(&self) -> Vec<(&'static str, Expr)> {
        let others = self.keys.len().saturating_sub(Sessions::COLUMNS);
        let keys = self.keys.iter().enumerate().map(|(index, key)| {
            let what = match index {
                other if other < others => "grouping key",
                start if start == others => "session start",
                _ => "session end",
            };
            (what, key.clone())
        });
        let aggregates = self.aggregates.iter();
        keys.chain(aggregates.map(|call| ("aggregate", call.clone())))
            .collect()
    }

    /// Id of the operator, stable across restarts.
    pub fn operator_id(&self) -> u32 {
        self.operator_id
    }
}

impl PartialOrd for SessionAggregateNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self.operator_id, &self.keys, &self.aggregates)
            .partial_cmp(&(other.operator_id, &other.keys, &other.aggregates))
            .filter(|order| *order != Ordering::Equal || self == other)
    }
}

impl UserDefinedLogicalNodeCore for SessionAggregateNode {
    fn name(&self) -> &str {
        "SessionAggregate"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.keys.iter().chain(&self.aggregates).cloned().collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let list = |exprs: &[Expr]| {
            let texts: Vec<_> = exprs.iter().map(ToString::to_string).collect();
            texts.join(", ")
        };
        write!(
            f,
            "SessionAggregate: keys=[{}], aggregates=[{}], operator={}, mode={}",
            list(&self.keys),
            list(&self.aggregates),
            self.operator_id,
            self.output_mode
        )
    }

    fn with_exprs_and_inputs(
        &self,
        mut exprs: Vec<Expr>,
        mut inputs: Vec<LogicalPlan>,
    ) -> Result<Self> {
        let (Some(input), true) = (inputs.pop(), inputs.is_empty()) else {
            return internal_err!("an aggregation by session has one input");
        };
        if exprs.len() != self.keys.len() + self.aggregates.len() {
            return internal_err!("an aggregation by session has {} expressions", exprs.len());
        }
        let aggregates = exprs.split_off(self.keys.len());
        Ok(Self {
            input,
            keys: exprs,
            aggregates,
            ..self.clone()
        })
    }

    /// Every expression of the node counts, whichever of its columns are read above: state has them all.
    fn necessary_children_exprs(&self, _: &[usize]) -> Option<Vec<Vec<usize>>> {
        let schema = self.input.schema();
        let mut needed: Vec<usize> = self
            .keys
            .iter()
            .chain(&self.aggregates)
            .flat_map(|expr| expr.column_refs().into_iter().cloned().collect::<Vec<_>>())
            .map(|column| schema.index_of_column(&column))
            .collect::<Result<_>>()
            .ok()?;
        needed.sort_unstable();
        needed.dedup();
        Some(vec![needed])
    }
}

impl PlannedNode for SessionAggregateNode {
    /// Partial aggregation, exchange by the keys that are not the session, merge with state.
    fn plan(&self, lowering: &Lowering<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let output = self.output();
        let keys: Vec<(&Expr, &str)> = self
            .keys
            .iter()
            .zip(output.fields())
            .map(|(key, field)| (key, Field::name(field).as_str()))
            .collect();
        let partial = partial(lowering, &keys, None, &self.aggregates)?;
        let others = self.keys.len().saturating_sub(Sessions::COLUMNS);
        let exchange = Arc::new(ExchangeExec::new(partial.plan, others, self.partitions));
        let sessions = Sessions {
            keys: others,
            watermarked: self.watermarked,
            output_mode: self.output_mode,
            operator_id: self.operator_id,
        };
        Ok(Arc::new(SessionAggregateExec::try_new(
            exchange,
            sessions,
            partial.functions,
            output,
        )?))
    }
}
