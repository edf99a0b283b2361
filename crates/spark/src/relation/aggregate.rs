//! `GROUP BY`, grouping sets, and global aggregation.
//!
//! ```text
//!   Projection: the select list, over keys and aggregates
//!     Aggregate: keys, aggregates
//!       Projection: *, computed keys         only if a key is more than a column
//! ```
//!
//! The select list is resolved against the input, and then taken apart: what equals a grouping expression becomes its key,
//! every aggregate function becomes a column of the aggregation, and a column that is left is an error.
use std::{collections::HashSet, sync::Arc};

use arrow::datatypes::DataType;
use datafusion::{
    common::{
        Column,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    logical_expr::{Aggregate as AggregateNode, Expr, GroupingSet, LogicalPlan, lit},
};
use spark_connect_proto::{Aggregate, aggregate::GroupType, expression::ExprType};

use super::{
    grouping::Key,
    input,
    project::{Below, aliased_expr, compute_windows, projection_of},
    session::merged_sessions,
};
use crate::{
    error::{Result, SparkError, quoted},
    expression::{Expressions, SelectItem},
    planner::Planner,
    scope::Resolved,
    typed::TypedExpr,
};

/// An aggregation that can still be given more aggregates.
#[derive(Debug, Clone)]
pub(crate) struct AggregateParts {
    input: LogicalPlan,
    keys: Vec<Key>,
    /// Indexes of the keys of each grouping set; `None` for a plain grouping.
    sets: Option<Vec<Vec<usize>>>,
    aggregates: Vec<(Expr, Column)>,
    /// Names of input columns, for messages.
    names: Vec<(Column, String)>,
}

impl Planner<'_> {
    pub(super) fn aggregate(&self, node: &Aggregate) -> Result<Resolved> {
        let rows = self.relation(input(&node.input, "Aggregate")?)?;
        match node.group_type() {
            GroupType::Unspecified => self.sql_group_by(rows, node),
            GroupType::Pivot => self.pivot(rows, node),
            _ => self.dataframe_group_by(rows, node),
        }
    }

    /// Keys come first in the output.
    fn dataframe_group_by(&self, rows: Resolved, node: &Aggregate) -> Result<Resolved> {
        let (keys, sets, items, windows) = {
            let scope = Expressions::new(self, vec![&rows]);
            let keys = self.keys(&scope, &node.grouping_expressions)?;
            let sets = self.grouping_sets(&scope, node, &keys)?;
            let items = scope.select_list(&node.aggregate_expressions)?;
            (keys, sets, items, scope.take_windows())
        };
        let mut all: Vec<SelectItem> = keys
            .iter()
            .map(|k| SelectItem::Column {
                name: k.name.clone(),
                value: k.value.clone(),
                aliased: k.aliased,
            })
            .collect();
        all.extend(items);
        let rows = self.with_windows(rows, windows)?;
        self.build_aggregate(rows, keys, sets, all)
    }

    /// The output is the select list alone; keys may be ordinals, aliases of it, or ALL.
    fn sql_group_by(&self, rows: Resolved, node: &Aggregate) -> Result<Resolved> {
        let (keys, sets, items, windows) = {
            let scope = Expressions::new(self, vec![&rows]);
            // A time window among the keys names a column for the list.
            for expression in &node.grouping_expressions {
                if let Some(ExprType::UnresolvedFunction(call)) = &expression.expr_type {
                    let window = call.function_name.to_ascii_lowercase().ends_with("window");
                    match scope.value(expression) {
                        // Anything else may be an alias of the list.
                        Err(error) if window && !error.is("UNRESOLVED_COLUMN") => {
                            return Err(error);
                        }
                        _ => {}
                    }
                }
            }
            let items = scope.select_list(&node.aggregate_expressions)?;
            let keys = self.sql_keys(&scope, &rows, &node.grouping_expressions, &items)?;
            // The sets name the keys, windows among them: the same calls must be the same columns.
            let sets = self.grouping_sets(&scope, node, &keys)?;
            (keys, sets, items, scope.take_windows())
        };
        let rows = self.with_windows(rows, windows)?;
        self.build_aggregate(rows, keys, sets, items)
    }

    /// An aggregation without keys.
    pub(super) fn global_aggregate(
        &self,
        rows: Resolved,
        items: Vec<SelectItem>,
    ) -> Result<Resolved> {
        self.build_aggregate(rows, vec![], None, items)
    }

    pub(super) fn build_aggregate(
        &self,
        rows: Resolved,
        mut keys: Vec<Key>,
        sets: Option<Vec<Vec<usize>>>,
        mut items: Vec<SelectItem>,
    ) -> Result<Resolved> {
        let computed = sets.is_some() || keys.iter().any(|k| k.value.as_column().is_none());
        let mut input = rows.plan.clone();
        if sets.is_some() {
            // A key that is NULL in some sets is another column than the one aggregates read.
            for key in &mut keys {
                key.column = self.ids.column(&key.name);
            }
        }
        if computed {
            let mut columns: Vec<Expr> = input
                .schema()
                .columns()
                .into_iter()
                .map(Expr::Column)
                .collect();
            let mut present: HashSet<Column> = input.schema().columns().into_iter().collect();
            for key in &keys {
                if present.insert(key.column.clone()) {
                    columns.push(aliased_expr(
                        key.value.expr.clone(),
                        &key.column,
                        &key.value.metadata,
                    ));
                }
            }
            input = projection_of(columns, input)?;
        }
        // On a stream, sessions go on from batch to batch: they are the engine's business.
        if !rows.is_streaming {
            input = merged_sessions(input, &keys, sets.is_some())?;
        }
        let names = rows
            .all_attributes()
            .map(|a| (a.column.clone(), a.name.clone()))
            .collect();
        let nullable_keys = sets.is_some();
        let mut parts = AggregateParts {
            input,
            keys,
            sets,
            aggregates: vec![],
            names,
        };
        let outside = HashSet::new();
        for item in &mut items {
            let value = match item {
                SelectItem::Column { value, .. } => value,
                SelectItem::Generator { generator, .. } => &mut generator.input,
            };
            let before = value.expr.clone();
            value.expr = parts.rewrite_item(value, &outside, self)?;
            if nullable_keys && value.expr != before && !super::project::has_aggregate(&before) {
                value.nullable = true;
            }
        }
        let below_aggregate = parts.plan()?;
        let mut over = rows.derive(below_aggregate.clone(), rows.output.clone());
        over.plan = below_aggregate;
        let (plan, columns) = self.generate(&over, items)?;
        let (plan, columns) = compute_windows(plan, columns)?;
        let generated = plan != over.plan;
        let (projection, output) = self.outputs(columns);
        let projected = projection_of(projection.clone(), plan.clone())?;
        let mut resolved = rows.derive(projected, output);
        if !generated {
            resolved.below = Some(Arc::new(Below {
                input: rows,
                plan,
                projection,
                aggregate: Some(parts),
                filters: vec![],
            }));
        }
        Ok(resolved)
    }
}

impl AggregateParts {
    /// The aggregation node.
    pub(crate) fn plan(&self) -> Result<LogicalPlan> {
        let column = |key: &Key| Expr::Column(key.column.clone());
        let mut seen: HashSet<&Column> = HashSet::new();
        let keys: Vec<Expr> = self
            .keys
            .iter()
            .filter(|k| seen.insert(&k.column))
            .map(column)
            .collect();
        let group = match &self.sets {
            None => keys,
            Some(sets) => {
                let set = |members: &Vec<usize>| {
                    members
                        .iter()
                        .filter_map(|i| self.keys.get(*i))
                        .map(column)
                        .collect::<Vec<_>>()
                };
                vec![Expr::GroupingSet(GroupingSet::GroupingSets(
                    sets.iter().map(set).collect(),
                ))]
            }
        };
        let aggregates = self.calls();
        if group.is_empty() && aggregates.is_empty() {
            // `SELECT 1 … GROUP BY ()`: one row.
            let one = datafusion::functions_aggregate::expr_fn::count(lit(1_i64)).alias("one#");
            return Ok(LogicalPlan::Aggregate(AggregateNode::try_new(
                Arc::new(self.input.clone()),
                group,
                vec![one],
            )?));
        }
        let node = AggregateNode::try_new(Arc::new(self.input.clone()), group, aggregates)?;
        Ok(LogicalPlan::Aggregate(node))
    }

    /// The aggregate functions under the names of their columns.
    pub(crate) fn calls(&self) -> Vec<Expr> {
        self.aggregates
            .iter()
            .map(|(expr, column)| expr.clone().alias(column.name()))
            .collect()
    }

    /// An expression over the input as one over the aggregation; columns in `known` are left alone.
    pub(crate) fn rewrite(
        &mut self,
        expr: Expr,
        known: &HashSet<Column>,
        planner: &Planner<'_>,
    ) -> Result<Expr> {
        let mut value = TypedExpr::null();
        value.expr = expr;
        self.rewrite_item(&value, known, planner)
    }

    fn rewrite_item(
        &mut self,
        value: &TypedExpr,
        known: &HashSet<Column>,
        planner: &Planner<'_>,
    ) -> Result<Expr> {
        let mut failure = None;
        let mut not_grouped_call = None;
        let rewritten = value.expr.clone().transform_down(|e| {
            if let Some(key) = self.keys.iter().find(|k| k.value.expr == e) {
                let column = Expr::Column(key.column.clone());
                return Ok(Transformed::new(column, true, TreeNodeRecursion::Jump));
            }
            match e {
                Expr::AggregateFunction(_) => {
                    let column = match self.grouping_call(&e) {
                        Some(call) => {
                            return Ok(Transformed::new(call, true, TreeNodeRecursion::Jump));
                        }
                        None if is_grouping_call(&e) => {
                            let error =
                                SparkError::analysis("UNSUPPORTED_GROUPING_EXPRESSION", &[]);
                            return Err(error.into());
                        }
                        None => self.aggregate_column(e, planner),
                    };
                    Ok(Transformed::new(
                        Expr::Column(column),
                        true,
                        TreeNodeRecursion::Jump,
                    ))
                }
                // Spark computes the time of a window below the aggregation, where it is not grouped by.
                Expr::ScalarFunction(call) if call.func.name() == "window_time" => {
                    not_grouped_call.get_or_insert_with(|| value.name.clone());
                    Ok(Transformed::no(Expr::ScalarFunction(call)))
                }
                Expr::Column(column) if !known.contains(&column) => {
                    failure.get_or_insert(column.clone());
                    Ok(Transformed::no(Expr::Column(column)))
                }
                other => Ok(Transformed::no(other)),
            }
        })?;
        if let Some(call) = not_grouped_call {
            return Err(missing_aggregation(&call));
        }
        match failure {
            None => Ok(rewritten.data),
            Some(column) => Err(self.not_grouped(&column)),
        }
    }

    fn aggregate_column(&mut self, call: Expr, planner: &Planner<'_>) -> Column {
        if let Some((_, column)) = self.aggregates.iter().find(|(a, _)| *a == call) {
            return column.clone();
        }
        let column = planner.ids.column("aggregate");
        self.aggregates.push((call, column.clone()));
        column
    }

    /// `grouping(key)` and `grouping_id(…)` in terms of DataFusion's id of the grouping set.
    fn grouping_call(&self, call: &Expr) -> Option<Expr> {
        let Expr::AggregateFunction(call) = call else {
            return None;
        };
        let sets = self.sets.as_ref();
        let id = || Expr::Column(Column::new_unqualified(AggregateNode::INTERNAL_GROUPING_ID));
        let width = self.keys.len();
        let bit = |index: usize| {
            let shift = (width - 1 - index) as i64;
            let id = datafusion::logical_expr::cast(id(), DataType::Int64);
            datafusion::logical_expr::binary_expr(
                datafusion::logical_expr::binary_expr(
                    id,
                    datafusion::logical_expr::Operator::BitwiseShiftRight,
                    lit(shift),
                ),
                datafusion::logical_expr::Operator::BitwiseAnd,
                lit(1_i64),
            )
        };
        match call.func.name() {
            crate::functions::GROUPING if sets.is_some() => {
                let argument = call.params.args.first()?;
                let index = self.keys.iter().position(|k| k.value.expr == *argument)?;
                Some(datafusion::logical_expr::cast(bit(index), DataType::Int8))
            }
            crate::functions::GROUPING_ID if sets.is_some() => {
                Some(datafusion::logical_expr::cast(id(), DataType::Int64))
            }
            _ => None,
        }
    }

    fn not_grouped(&self, column: &Column) -> SparkError {
        let name = self
            .names
            .iter()
            .find(|(c, _)| c == column)
            .map_or(column.name(), |(_, n)| n);
        if self.keys.is_empty() && self.sets.is_none() {
            return SparkError::analysis("MISSING_GROUP_BY", &[]);
        }
        missing_aggregation(name)
    }
}

/// `grouping(…)` or `grouping_id(…)`, which only an aggregation over grouping sets gives a meaning.
fn is_grouping_call(call: &Expr) -> bool {
    matches!(call, Expr::AggregateFunction(call)
        if [crate::functions::GROUPING, crate::functions::GROUPING_ID].contains(&call.func.name()))
}

fn missing_aggregation(name: &str) -> SparkError {
    SparkError::analysis(
        "MISSING_AGGREGATION",
        &[
            ("expression", &quoted(name)),
            ("expressionAnyValue", &quoted(format!("any_value({name})"))),
        ],
    )
}
