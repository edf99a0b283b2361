//! `ORDER BY`, `SORT BY`, and partitioning.
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, Partitioning};
use spark_connect_proto::{
    Expression, Repartition, RepartitionByExpression, Sort,
    expression::{ExprType, literal::LiteralType},
};

use super::{aggregate::has_grouping_call, input};
use crate::{
    error::{Result, SparkError},
    expression::Expressions,
    planner::Planner,
    scope::Resolved,
    typed::TypedExpr,
};

impl Planner<'_> {
    pub(super) fn sort(&self, node: &Sort) -> Result<Resolved> {
        let rows = self.relation(input(&node.input, "Sort")?)?;
        let mut sorts = vec![];
        let mut values: Vec<TypedExpr> = vec![];
        {
            let below = rows.below.clone();
            let scope =
                Expressions::new(self, vec![&rows]).with_below(below.as_ref().map(|b| &b.input));
            for order in &node.order {
                if let Some(all) = self.order_by_all(&rows, order)? {
                    for (sort, value) in all {
                        sorts.push(sort);
                        values.push(value);
                    }
                    continue;
                }
                let expression = Expression {
                    common: None,
                    expr_type: Some(ExprType::SortOrder(Box::new(order.clone()))),
                };
                let (mut sort, name) = scope.named_sort(&expression)?;
                let child = order.child.as_deref();
                if let Some(column) = child.and_then(ordinal_of) {
                    let attribute = usize::try_from(column - 1)
                        .ok()
                        .and_then(|i| rows.output.get(i))
                        .ok_or_else(|| {
                            SparkError::analysis(
                                "ORDER_BY_POS_OUT_OF_RANGE",
                                &[
                                    ("index", &column.to_string()),
                                    ("size", &rows.output.len().to_string()),
                                ],
                            )
                        })?;
                    sort.expr = Expr::Column(attribute.column.clone());
                }
                let mut value = TypedExpr::null().named(name);
                value.expr = sort.expr.clone();
                values.push(value);
                sorts.push(sort);
            }
        }
        let over_aggregate = rows.below.as_ref().is_some_and(|b| b.aggregate.is_some());
        if !over_aggregate && values.iter().any(|v| has_grouping_call(&v.expr)) {
            return Err(SparkError::analysis("UNSUPPORTED_GROUPING_EXPRESSION", &[]));
        }
        if let Some(value) = values.iter().find(|v| v.has_aggregate() && !over_aggregate) {
            return Err(SparkError::analysis(
                "UNSUPPORTED_EXPR_FOR_OPERATOR",
                &[("invalidExprSqls", &value.sql()), ("operator", "Sort")],
            ));
        }
        let (rows, values) = self.reach_below(rows, values)?;
        for (sort, value) in sorts.iter_mut().zip(values) {
            sort.expr = value.expr;
        }
        let plan = LogicalPlanBuilder::from(rows.plan.clone())
            .sort(sorts)?
            .build()?;
        Ok(rows.with_plan(plan))
    }

    /// `ORDER BY ALL`: every column.
    #[allow(clippy::type_complexity, reason = "a list that lives for one loop")]
    fn order_by_all(
        &self,
        rows: &Resolved,
        order: &spark_connect_proto::expression::SortOrder,
    ) -> Result<Option<Vec<(datafusion::logical_expr::expr::Sort, TypedExpr)>>> {
        let Some(ExprType::UnresolvedAttribute(attribute)) =
            order.child.as_deref().and_then(|c| c.expr_type.as_ref())
        else {
            return Ok(None);
        };
        let is_all = attribute.unparsed_identifier.eq_ignore_ascii_case("all")
            && !rows.output.iter().any(|a| self.names.same(&a.name, "all"));
        if !is_all || attribute.plan_id.is_some() {
            return Ok(None);
        }
        use spark_connect_proto::expression::sort_order::{NullOrdering, SortDirection};
        let ascending = order.direction() != SortDirection::Descending;
        let nulls_first = match order.null_ordering() {
            NullOrdering::SortNullsFirst => true,
            NullOrdering::SortNullsLast => false,
            NullOrdering::SortNullsUnspecified => ascending,
        };
        let all = rows
            .output
            .iter()
            .map(|a| {
                let value = a.reference();
                (
                    datafusion::logical_expr::expr::Sort::new(
                        value.expr.clone(),
                        ascending,
                        nulls_first,
                    ),
                    value,
                )
            })
            .collect();
        Ok(Some(all))
    }

    pub(super) fn repartition(&self, node: &Repartition) -> Result<Resolved> {
        let rows = self.relation(input(&node.input, "Repartition")?)?;
        let count = partitions(node.num_partitions)?;
        // Fewer partitions without a shuffle is a hint; how many threads run is the engine's to say.
        if node.shuffle == Some(false) {
            return Ok(rows);
        }
        let plan = LogicalPlanBuilder::from(rows.plan.clone())
            .repartition(Partitioning::RoundRobinBatch(count))?
            .build()?;
        Ok(rows.with_plan(plan))
    }

    pub(super) fn repartition_by_expression(
        &self,
        node: &RepartitionByExpression,
    ) -> Result<Resolved> {
        let rows = self.relation(input(&node.input, "RepartitionByExpression")?)?;
        let default = self
            .context
            .conf
            .integer("spark.sql.shuffle.partitions")
            .unwrap_or(200);
        let count = partitions(node.num_partitions.unwrap_or(default as i32))?;
        let scope = Expressions::new(self, vec![&rows]);
        let keys = node
            .partition_exprs
            .iter()
            .map(|e| Ok(scope.value(e)?.expr))
            .collect::<Result<Vec<Expr>>>()?;
        let scheme = if keys.is_empty() {
            Partitioning::RoundRobinBatch(count)
        } else {
            Partitioning::Hash(keys, count)
        };
        let plan = LogicalPlanBuilder::from(rows.plan.clone())
            .repartition(scheme)?
            .build()?;
        Ok(rows.with_plan(plan))
    }
}

/// A whole number as a sort key means the column of that position.
fn ordinal_of(expression: &Expression) -> Option<i32> {
    match &expression.expr_type {
        Some(ExprType::Literal(literal)) => match &literal.literal_type {
            Some(LiteralType::Integer(v)) => Some(*v),
            _ => None,
        },
        _ => None,
    }
}

fn partitions(count: i32) -> Result<usize> {
    match usize::try_from(count) {
        Ok(n) if n > 0 => Ok(n),
        _ => Err(SparkError::plain(
            crate::error::Exception::IllegalArgument,
            format!("requirement failed: Number of partitions ({count}) must be positive."),
        )),
    }
}
