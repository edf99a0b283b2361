//! `pivot`: values of a column become columns.
//!
//! Two aggregations: by the keys and the pivot column, and then by the keys alone, which takes the one value there is for
//! each pivot value. A combination without rows is NULL, also for `count`.
use datafusion::{
    common::Column,
    functions_aggregate::first_last::first_value_udaf,
    logical_expr::{Expr, LogicalPlanBuilder, expr::AggregateFunction, expr::NullTreatment, lit},
};
use spark_connect_proto::{
    Aggregate, Expression,
    expression::{ExprType, literal::LiteralType},
};

use crate::{
    cast::coerce,
    error::{Exception, Result, SparkError, quoted},
    expression::{Expressions, SelectItem},
    literal::{literal_name, typed_literal},
    planner::Planner,
    scope::{Attribute, Resolved, columns_of},
    typed::TypedExpr,
    types::sql_name,
};

impl Planner<'_> {
    pub(super) fn pivot(&self, rows: Resolved, node: &Aggregate) -> Result<Resolved> {
        let pivot = node.pivot.as_ref().ok_or_else(|| {
            SparkError::new(
                Exception::InvalidPlan,
                "CONNECT_INVALID_PLAN.AGGREGATE_WITH_PIVOT_REQUIRES_PIVOT",
                &[],
            )
        })?;
        // Spark's analyzer does not expand stars of a pivot.
        if node.aggregate_expressions.iter().any(has_star) {
            return Err(SparkError::analysis(
                "INVALID_USAGE_OF_STAR_OR_REGEX",
                &[("elem", "'*'"), ("prettyName", "Pivot")],
            ));
        }
        let names = remaining_columns(&node.grouping_expressions);
        let (mut keys, items, column, windows) = {
            let scope = Expressions::new(self, vec![&rows]);
            let column = pivot
                .col
                .as_ref()
                .ok_or_else(|| crate::expression::not_set("Pivot", "col"))?;
            let column = scope.value(column)?;
            let items = scope.select_list(&node.aggregate_expressions)?;
            let keys = match &names {
                Some(_) => self.keys_of(unused(&rows, &items, &column))?,
                None => self.keys(&scope, &node.grouping_expressions)?,
            };
            (keys, items, column, scope.take_windows())
        };
        let rows = self.with_windows(rows, windows)?;
        let values = if pivot.values.is_empty() {
            if rows.is_streaming {
                return Err(SparkError::analysis("_LEGACY_ERROR_TEMP_3063", &[]));
            }
            self.pivot_values(&rows, &column)?
        } else {
            let literals = pivot
                .values
                .iter()
                .map(|v| typed_literal(v, &self.context.eval));
            let mut values = vec![];
            for (index, literal) in literals.enumerate() {
                let literal = literal?;
                let given = names.as_ref().and_then(|n| n.get(index).cloned().flatten());
                let value = coerce(literal.clone(), &column.data_type, &self.context.eval)
                    .map_err(|_| {
                        SparkError::analysis(
                            "PIVOT_VALUE_DATA_TYPE_MISMATCH",
                            &[
                                ("value", &literal.name),
                                ("valueType", &quoted(sql_name(&literal.data_type))),
                                ("pivotType", &quoted(sql_name(&column.data_type))),
                            ],
                        )
                    })?;
                let own = match literal.as_literal() {
                    Some(value) if value.is_null() => "null".to_string(),
                    _ => literal.name,
                };
                values.push((value, given.unwrap_or(own)));
            }
            values
        };
        // First aggregation: by keys and pivot column.
        let key_count = keys.len();
        let pivot_name = column.name.clone();
        let mut all: Vec<SelectItem> = keys
            .iter()
            .map(|k| SelectItem::Column {
                name: k.name.clone(),
                value: k.value.clone(),
                aliased: k.aliased,
            })
            .collect();
        let item = SelectItem::Column {
            name: pivot_name.clone(),
            value: column.clone(),
            aliased: true,
        };
        let mut pivot_keys = self.keys_of(vec![item.clone()])?;
        keys.append(&mut pivot_keys);
        all.push(item);
        all.extend(items);
        let grouped = self.build_aggregate(rows, keys, None, all)?;
        self.spread(grouped, key_count, &values)
    }

    fn keys_of(&self, items: Vec<SelectItem>) -> Result<Vec<super::grouping::Key>> {
        items
            .into_iter()
            .filter_map(|item| match item {
                SelectItem::Column {
                    name,
                    value,
                    aliased,
                } => Some((name, value, aliased)),
                SelectItem::Generator { .. } => None,
            })
            .map(|(name, value, aliased)| self.key(name, value, aliased))
            .collect()
    }

    /// The distinct values of the pivot column, in order.
    fn pivot_values(
        &self,
        rows: &Resolved,
        column: &TypedExpr,
    ) -> Result<Vec<(TypedExpr, String)>> {
        let limit = self
            .context
            .conf
            .integer("spark.sql.pivotMaxValues")
            .unwrap_or(10_000);
        let fetch = usize::try_from(limit).unwrap_or(0);
        let name = self.ids.column(&column.name);
        let plan = LogicalPlanBuilder::from(rows.plan.clone())
            .project([column.expr.clone().alias(name.name())])?
            .distinct()?
            .sort([Expr::Column(name.clone()).sort(true, true)])?
            .limit(0, Some(fetch.saturating_add(1)))?
            .build()?;
        let attribute = crate::scope::Attribute {
            column: name,
            ..self.fresh(&column.name, column.data_type.clone(), column.nullable)
        };
        let distinct = rows.derive(plan, vec![attribute]);
        let mut values = vec![];
        for batch in self.catalog.collect(&distinct)? {
            for row in 0..batch.num_rows() {
                let value = datafusion::common::ScalarValue::try_from_array(batch.column(0), row)?;
                let name = if value.is_null() {
                    "null".to_string()
                } else {
                    literal_name(&value, &self.context.eval)?
                };
                values.push((TypedExpr::literal(value, &name), name));
            }
        }
        if values.len() > fetch {
            return Err(SparkError::analysis(
                "_LEGACY_ERROR_TEMP_1324",
                &[
                    ("pivotColumn", &column.name),
                    ("maxValues", &limit.to_string()),
                    ("key", "spark.sql.pivotMaxValues"),
                ],
            ));
        }
        Ok(values)
    }

    fn spread(
        &self,
        grouped: Resolved,
        key_count: usize,
        values: &[(TypedExpr, String)],
    ) -> Result<Resolved> {
        let (keys, rest) = grouped.output.split_at(key_count);
        let Some((pivot, aggregates)) = rest.split_first() else {
            return Err(SparkError::internal("a pivot without its column"));
        };
        let group = columns_of(keys.iter()).into_iter();
        let mut group: Vec<Expr> = group.map(Expr::Column).collect();
        let mut calls = vec![];
        let mut columns = vec![];
        for (value, name) in values {
            for aggregate in aggregates {
                let label = if aggregates.len() == 1 {
                    name.clone()
                } else {
                    format!("{name}_{}", aggregate.name)
                };
                let column = self.ids.column(&label);
                let same = datafusion::logical_expr::binary_expr(
                    Expr::Column(pivot.column.clone()),
                    datafusion::logical_expr::Operator::IsNotDistinctFrom,
                    value.expr.clone(),
                );
                let call = AggregateFunction::new_udf(
                    first_value_udaf(),
                    vec![Expr::Column(aggregate.column.clone())],
                    false,
                    Some(Box::new(same)),
                    vec![],
                    Some(NullTreatment::RespectNulls),
                );
                calls.push(Expr::AggregateFunction(call).alias(column.name()));
                columns.push((label, column, aggregate.clone()));
            }
        }
        if group.is_empty() {
            // A global pivot still has exactly one row.
            group = vec![];
        }
        let plan = if calls.is_empty() {
            LogicalPlanBuilder::from(grouped.plan.clone()).aggregate(
                group,
                vec![datafusion::functions_aggregate::expr_fn::count(lit(1_i64)).alias("one#")],
            )?
        } else {
            LogicalPlanBuilder::from(grouped.plan.clone()).aggregate(group, calls)?
        };
        let mut output: Vec<crate::scope::Attribute> = keys.to_vec();
        output.extend(
            columns
                .into_iter()
                .map(
                    |(name, column, aggregate): (String, Column, _)| crate::scope::Attribute {
                        name,
                        column,
                        nullable: true,
                        qualifier: vec![],
                        ..aggregate
                    },
                ),
        );
        Ok(grouped.derive(plan.build()?, output))
    }
}

/// The columns that neither the aggregates nor the pivot column read.
fn unused(rows: &Resolved, items: &[SelectItem], pivot: &TypedExpr) -> Vec<SelectItem> {
    let mut used = pivot.expr.column_refs();
    for item in items {
        used.extend(match item {
            SelectItem::Column { value, .. } => value.expr.column_refs(),
            SelectItem::Generator { generator, .. } => generator.input.expr.column_refs(),
        });
    }
    let columns = rows.output.iter().filter(|a| !used.contains(&a.column));
    let item = |attribute: &Attribute| SelectItem::Column {
        name: attribute.name.clone(),
        value: attribute.reference(),
        aliased: false,
    };
    columns.map(item).collect()
}

/// Whether SQL left it open which columns stay as they are; if so, the names given to the listed values or columns.
pub(super) fn remaining_columns(expressions: &[Expression]) -> Option<Vec<Option<String>>> {
    let [expression] = expressions else {
        return None;
    };
    let Some(ExprType::UnresolvedFunction(function)) = &expression.expr_type else {
        return None;
    };
    let marked = function.is_internal == Some(true)
        && function.function_name == crate::sql::internal_function::REMAINING_COLUMNS;
    let name = |argument: &Expression| match &argument.expr_type {
        Some(ExprType::Literal(literal)) => match &literal.literal_type {
            Some(LiteralType::String(name)) => Some(name.clone()),
            _ => None,
        },
        _ => None,
    };
    marked.then(|| function.arguments.iter().map(name).collect())
}

fn has_star(expression: &Expression) -> bool {
    match &expression.expr_type {
        Some(ExprType::UnresolvedStar(_)) => true,
        Some(ExprType::Alias(alias)) => alias.expr.as_deref().is_some_and(has_star),
        Some(ExprType::UnresolvedFunction(function)) => function.arguments.iter().any(has_star),
        _ => false,
    }
}
