//! The logical side of a streaming aggregation.
use std::{cmp::Ordering, fmt, sync::Arc};

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::{
    common::{Column, DFSchema, DFSchemaRef, Result, internal_err},
    logical_expr::{
        Aggregate, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, UserDefinedLogicalNodeCore,
    },
    physical_plan::{
        ExecutionPlan,
        aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy},
    },
};

use super::{
    StateAggregateExec,
    window_key::{join_window, window_part},
};
use crate::{
    operator::exchange::ExchangeExec,
    plan::{Lowering, OutputMode, PlannedNode},
    time::event_time::{delay_ms, is_window},
};

/// An aggregation whose groups are kept in state. Its output is its keys, windows taken apart, then its aggregates.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StatefulAggregateNode {
    input: LogicalPlan,
    keys: Vec<Expr>,
    aggregates: Vec<Expr>,
    /// Which key evicts, if one carries event time.
    event_time: Option<usize>,
    output_mode: OutputMode,
    operator_id: u32,
    partitions: usize,
    schema: DFSchemaRef,
}

/// The keys that stand for one grouping expression.
struct Key {
    parts: Vec<(Expr, Field)>,
    event_time: Option<usize>,
    /// The window that the parts are put together to; otherwise there is one part.
    window: Option<FieldRef>,
}

impl StatefulAggregateNode {
    /// Replaces a plan's aggregation: the node, under a projection that restores the aggregation's own columns.
    pub fn replace(
        aggregate: &Aggregate,
        output_mode: OutputMode,
        operator_id: u32,
        partitions: usize,
    ) -> Result<LogicalPlan> {
        let mut parts: Vec<(Expr, Field)> = vec![];
        let mut event_time = None;
        let mut output = vec![];
        for (index, group) in aggregate.group_expr.iter().enumerate() {
            let (qualifier, field) = aggregate.schema.qualified_field(index);
            let key = Key::of(group, field, index, aggregate.input.schema())?;
            event_time = event_time.or(key.event_time.map(|part| parts.len() + part));
            let metadata = field.metadata().clone().into();
            output.push(key.whole().alias_qualified_with_metadata(
                qualifier.cloned(),
                field.name().clone(),
                Some(metadata),
            ));
            parts.extend(key.parts);
        }
        let (keys, mut fields): (Vec<_>, Vec<_>) = parts
            .into_iter()
            .map(|(expr, field)| (expr, (None, Arc::new(field))))
            .unzip();
        for (index, _) in aggregate.aggr_expr.iter().enumerate() {
            let (qualifier, field) = aggregate
                .schema
                .qualified_field(aggregate.group_expr.len() + index);
            let name = format!("aggregate#{index}");
            fields.push((None, Arc::new(Field::clone(field).with_name(&name))));
            output.push(
                Expr::Column(Column::new_unqualified(name))
                    .alias_qualified(qualifier.cloned(), field.name().clone()),
            );
        }
        let node = Self {
            input: aggregate.input.as_ref().clone(),
            keys,
            aggregates: aggregate.aggr_expr.clone(),
            event_time,
            output_mode,
            operator_id,
            partitions: if aggregate.group_expr.is_empty() {
                1
            } else {
                partitions
            },
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
        let aggregates = self.aggregates.iter();
        keys.chain(aggregates.map(|call| ("aggregate", call.clone())))
            .collect()
    }

    /// Id of the operator, stable across restarts.
    pub fn operator_id(&self) -> u32 {
        self.operator_id
    }
}

impl Key {
    fn of(group: &Expr, field: &Field, index: usize, input: &DFSchema) -> Result<Self> {
        let tagged = delay_ms(field).is_some();
        let (_, typed) = group.to_field(input)?;
        let DataType::Struct(bounds) = field.data_type() else {
            return Ok(Self::column(group, &typed, index, tagged));
        };
        if !is_window(field) {
            return Ok(Self::column(group, &typed, index, false));
        }
        let part = |bound: &FieldRef| {
            let name = format!("key#{index}.{}", bound.name());
            let part = Field::new(name, bound.data_type().clone(), true);
            (window_part(group.clone(), bound.name()), part)
        };
        Ok(Self {
            parts: bounds.iter().map(part).collect(),
            // A window stands for its end.
            event_time: tagged.then_some(1),
            window: Some(Arc::new(field.clone())),
        })
    }

    fn column(group: &Expr, typed: &Field, index: usize, tagged: bool) -> Self {
        let field = typed.clone().with_name(format!("key#{index}"));
        Self {
            parts: vec![(group.clone(), field)],
            event_time: tagged.then_some(0),
            window: None,
        }
    }

    /// The grouping expression's value, from the columns of its parts.
    fn whole(&self) -> Expr {
        let part = |index: usize| {
            let name = self.parts.get(index).map(|(_, field)| field.name().clone());
            Expr::Column(Column::new_unqualified(name.unwrap_or_default()))
        };
        match &self.window {
            Some(window) => join_window(part(0), part(1), Arc::clone(window)),
            None => part(0),
        }
    }
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
            "StatefulAggregate: keys=[{}], aggregates=[{}], operator={}, mode={}",
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
        let [input] = lowering.inputs()?;
        let output = self.output();
        let named = self
            .keys
            .iter()
            .zip(output.fields())
            .map(|(key, field)| Ok((lowering.expr(key, 0)?, field.name().clone())))
            .collect::<Result<Vec<_>>>()?;
        let calls = self
            .aggregates
            .iter()
            .map(|call| lowering.aggregate(call, 0))
            .collect::<Result<Vec<_>>>()?;
        let (functions, filters): (Vec<_>, Vec<_>) = calls.into_iter().unzip();
        let schema = input.schema();
        let partial = AggregateExec::try_new(
            AggregateMode::Partial,
            PhysicalGroupBy::new_single(named),
            functions.clone(),
            filters,
            input,
            schema,
        )?;
        let width = self.keys.len();
        let exchange = Arc::new(ExchangeExec::new(Arc::new(partial), width, self.partitions));
        Ok(Arc::new(StateAggregateExec::try_new(
            exchange,
            width,
            functions,
            self.event_time,
            self.output_mode,
            self.operator_id,
            output,
        )?))
    }
}
