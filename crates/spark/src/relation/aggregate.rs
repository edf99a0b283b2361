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
        let asks = |item: &SelectItem| matches!(item, SelectItem::Column { value, .. } if has_grouping_call(&value.expr));
        if sets.is_none() && items.iter().any(asks) {
            return Err(SparkError::analysis("UNSUPPORTED_GROUPING_EXPRESSION", &[]));
        }
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
                    if let Some(call) = self.grouping_call(&e)? {
                        return Ok(Transformed::new(call, true, TreeNodeRecursion::Jump));
                    }
                    let column = Expr::Column(self.aggregate_column(e, planner));
                    Ok(Transformed::new(column, true, TreeNodeRecursion::Jump))
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

    /// `grouping(key)` and `grouping_id(…)` in terms of DataFusion's id of the grouping set; `None` for other functions.
    fn grouping_call(&self, call: &Expr) -> Result<Option<Expr>> {
        let Expr::AggregateFunction(call) = call else {
            return Ok(None);
        };
        let name = call.func.name();
        if !GROUPING_CALLS.contains(&name) {
            return Ok(None);
        }
        if self.sets.is_none() {
            return Err(SparkError::analysis("UNSUPPORTED_GROUPING_EXPRESSION", &[]));
        }
        let id = Expr::Column(Column::new_unqualified(AggregateNode::INTERNAL_GROUPING_ID));
        let id = datafusion::logical_expr::cast(id, DataType::Int64);
        let keys = || self.keys.iter().map(|key| &key.value.expr);
        let arguments = &call.params.args;
        if name == crate::functions::GROUPING_ID {
            if !arguments.is_empty() && !keys().eq(arguments) {
                return Err(SparkError::analysis(
                    "GROUPING_ID_COLUMN_MISMATCH",
                    &[
                        ("groupingIdColumn", &told(arguments.iter())),
                        ("groupByColumns", &told(keys())),
                    ],
                ));
            }
            return Ok(Some(id));
        }
        let index = keys().position(|key| arguments.first() == Some(key));
        let index = index.ok_or_else(|| {
            SparkError::analysis(
                "GROUPING_COLUMN_MISMATCH",
                &[
                    ("grouping", &told(arguments.iter())),
                    ("groupingColumns", &told(keys())),
                ],
            )
        })?;
        let shift = lit((self.keys.len() - 1 - index) as i64);
        let operator = datafusion::logical_expr::Operator::BitwiseShiftRight;
        let shifted = datafusion::logical_expr::binary_expr(id, operator, shift);
        let operator = datafusion::logical_expr::Operator::BitwiseAnd;
        let bit = datafusion::logical_expr::binary_expr(shifted, operator, lit(1_i64));
        Ok(Some(datafusion::logical_expr::cast(bit, DataType::Int8)))
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

const GROUPING_CALLS: [&str; 2] = [crate::functions::GROUPING, crate::functions::GROUPING_ID];

/// Whether an expression asks which keys a row is grouped by.
pub(super) fn has_grouping_call(expr: &Expr) -> bool {
    let is_one = |e: &Expr| matches!(e, Expr::AggregateFunction(call) if GROUPING_CALLS.contains(&call.func.name()));
    expr.exists(|e| Ok(is_one(e))).unwrap_or(false)
}

/// Expressions as the messages about groupings show them: columns with their ids, whose generation is left out.
fn told<'e>(expressions: impl Iterator<Item = &'e Expr>) -> String {
    let shown = expressions.map(|expression| match expression {
        Expr::Column(column) => match column.name.split_once('#') {
            Some((name, id)) => {
                format!("{name}#{}", id.split_once('.').map_or(id, |(_, id)| id))
            }
            None => column.name.clone(),
        },
        other => other.to_string(),
    });
    shown.collect::<Vec<_>>().join(",")
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
