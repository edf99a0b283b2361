//! The logical side of a streaming aggregation.
use std::{cmp::Ordering, fmt, sync::Arc};

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::{
    common::{Column, DFSchema, DFSchemaRef, Result, TableReference, internal_err},
    logical_expr::{
        Aggregate, Expr, LogicalPlan, LogicalPlanBuilder, UserDefinedLogicalNodeCore, lit,
    },
    physical_plan::ExecutionPlan,
};

use super::{
    StateAggregateExec,
    keys::Key,
    partial::{partial, reduce},
    sets::{SET_KEY, over_parts, set_number, sets_of},
};
use crate::{
    operator::{
        exchange::ExchangeExec,
        sliding::{SlidingWindowsExec, share_panes},
    },
    plan::{Lowering, OutputMode, PlannedNode},
    time::WindowGrid,
};

/// An aggregation whose groups are kept in state. Its output is its keys, windows taken apart, then its aggregates.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StatefulAggregateNode {
    input: LogicalPlan,
    keys: Vec<Expr>,
    /// The grouping sets, if there are several: which keys each leaves out. The number of the set is one more key.
    sets: Option<Vec<Vec<bool>>>,
    /// Which of the keys is a pane, to be replaced by start and end of its windows, and what these are.
    panes: Option<(usize, WindowGrid)>,
    aggregates: Vec<Expr>,
    /// Which key evicts, if one carries event time.
    event_time: Option<usize>,
    output_mode: OutputMode,
    operator_id: u32,
    partitions: usize,
    schema: DFSchemaRef,
}

impl StatefulAggregateNode {
    /// Replaces a plan's aggregation: the node, under a projection that restores the aggregation's own columns.
    pub fn replace(
        aggregate: &Aggregate,
        output_mode: OutputMode,
        operator_id: u32,
        partitions: usize,
    ) -> Result<LogicalPlan> {
        let keys = Key::all_of(aggregate)?;
        let sets = sets_of(aggregate)?;
        let shared = match sets {
            Some(_) => None,
            None => share_panes(aggregate)?,
        };
        let mut panes = None;
        let mut event_time = None;
        let mut parts: Vec<(Expr, Field)> = vec![];
        let mut output = vec![];
        for (index, key) in keys.iter().enumerate() {
            event_time = event_time.or(key.event_time.map(|part| parts.len() + part));
            output.push(key.output(aggregate, index));
            if let Some(shared) = shared.as_ref().filter(|shared| shared.key == index) {
                panes = Some((parts.len(), shared));
            }
            parts.extend(key.parts.iter().cloned());
        }
        if sets.is_some() {
            output.push(set_number(aggregate, &keys));
        }
        let (mut exprs, mut fields): (Vec<_>, Vec<_>) = parts
            .into_iter()
            .map(|(expr, field)| match sets {
                Some(_) => (expr, (None, Arc::new(field.with_nullable(true)))),
                None => (expr, (None, Arc::new(field))),
            })
            .unzip();
        if sets.is_some() {
            fields.push((None, Arc::new(Field::new(SET_KEY, DataType::Int64, false))));
        }
        let (aggregates, results) = results_of(aggregate)?;
        fields.extend(aggregates);
        output.extend(results);
        if let Some((key, shared)) = panes {
            // A window's start and end are grouped by after its panes.
            exprs.splice(key..=key + 1, [shared.pane.clone()]);
        }
        let node = Self {
            input: match panes {
                Some((_, shared)) => shared.input.clone(),
                None => aggregate.input.as_ref().clone(),
            },
            keys: exprs,
            panes: panes.map(|(key, shared)| (key, shared.grid)),
            sets: sets.map(|sets| over_parts(&sets, &keys)),
            aggregates: aggregate.aggr_expr.clone(),
            event_time,
            output_mode,
            operator_id,
            partitions,
            schema: Arc::new(DFSchema::new_with_metadata(fields, Default::default())?),
        };
        let node = LogicalPlan::Extension(datafusion::logical_expr::Extension {
            node: Arc::new(node),
        });
        LogicalPlanBuilder::from(node).project(output)?.build()
    }

    /// What its state is made of.
    pub fn parts(&self) -> Vec<(&'static str, Expr)> {
        let keys = self.keys.iter().map(|key| ("grouping key", key.clone()));
        let sets = self.sets.iter();
        let sets = sets.map(|sets| ("grouping sets", lit(format!("{sets:?}"))));
        let aggregates = self.aggregates.iter();
        keys.chain(sets)
            .chain(aggregates.map(|call| ("aggregate", call.clone())))
            .collect()
    }

    /// Id of the operator, stable across restarts.
    pub fn operator_id(&self) -> u32 {
        self.operator_id
    }
}

/// A column of a node's output.
type QualifiedField = (Option<TableReference>, FieldRef);

/// The columns of an aggregation's results in a node's output, and what restores their names.
pub(in crate::operator) fn results_of(
    aggregate: &Aggregate,
) -> Result<(Vec<QualifiedField>, Vec<Expr>)> {
    let first = aggregate
        .schema
        .fields()
        .len()
        .saturating_sub(aggregate.aggr_expr.len());
    let results = (0..aggregate.aggr_expr.len()).map(|index| {
        let (qualifier, field) = aggregate.schema.qualified_field(first + index);
        let name = format!("aggregate#{index}");
        let result = Expr::Column(Column::new_unqualified(name.clone()))
            .alias_qualified(qualifier.cloned(), field.name().clone());
        let field = Arc::new(Field::clone(field).with_name(name));
        ((None, field), result)
    });
    Ok(results.unzip())
}

impl PartialOrd for StatefulAggregateNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self.operator_id, &self.keys, &self.aggregates)
            .partial_cmp(&(other.operator_id, &other.keys, &other.aggregates))
            .filter(|order| *order != Ordering::Equal || self == other)
    }
}

impl UserDefinedLogicalNodeCore for StatefulAggregateNode {
    fn name(&self) -> &str {
        "StatefulAggregate"
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
            exprs
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        };
        write!(
            f,
            "StatefulAggregate: keys=[{}]{}, aggregates=[{}], operator={}, mode={}",
            list(&self.keys),
            if self.panes.is_some() { " by pane" } else { "" },
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
            return internal_err!("a streaming aggregation has one input");
        };
        if exprs.len() != self.keys.len() + self.aggregates.len() {
            return internal_err!("a streaming aggregation has {} expressions", exprs.len());
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

impl PlannedNode for StatefulAggregateNode {
    /// Partial aggregation, exchange by key, merge with state.
    fn plan(&self, lowering: &Lowering<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let output = self.output();
        let names: Vec<String> = (0..self.keys.len())
            .map(|index| format!("key#{index}"))
            .collect();
        let keys: Vec<_> = self
            .keys
            .iter()
            .zip(names.iter().map(String::as_str))
            .collect();
        let mut partial = partial(lowering, &keys, self.sets.as_deref(), &self.aggregates)?;
        let width =
            self.keys.len() + usize::from(self.sets.is_some()) + usize::from(self.panes.is_some());
        if let Some((pane, grid)) = self.panes {
            let bounds = ["window.start", "window.end"];
            let windows = SlidingWindowsExec::try_new(partial.plan, pane, grid, bounds)?;
            partial.plan = reduce(Arc::new(windows), width, &partial.functions)?;
        }
        let exchange = Arc::new(ExchangeExec::new(partial.plan, width, self.partitions));
        Ok(Arc::new(StateAggregateExec::try_new(
            exchange,
            width,
            partial.functions,
            self.event_time,
            self.output_mode,
            self.operator_id,
            output,
        )?))
    }
}
