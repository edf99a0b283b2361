//! Queries inside expressions: scalar, `IN` and `EXISTS`.
use std::{cell::RefCell, sync::Arc};

use arrow::datatypes::DataType;
use datafusion::{
    common::{
        Column, Spans,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{
        Expr, Subquery,
        expr::{Exists, InSubquery},
    },
};
use spark_connect_proto::{SubqueryExpression, subquery_expression::SubqueryType};

use super::Expressions;
use crate::{
    cast::coerce,
    coercion,
    error::{Result, SparkError},
    planner::Planner,
    scope::Resolved,
    typed::TypedExpr,
};

/// The query around a subquery, as the subquery sees it.
pub(crate) struct OuterScope<'a> {
    expressions: &'a Expressions<'a>,
    used: RefCell<Vec<Expr>>,
}

impl<'a> OuterScope<'a> {
    pub(crate) fn new(expressions: &'a Expressions<'a>) -> Self {
        Self {
            expressions,
            used: RefCell::default(),
        }
    }

    pub(super) fn find(&self, parts: &[String]) -> Result<Option<TypedExpr>> {
        self.expressions
            .find(parts)?
            .map(|v| self.outer(v))
            .transpose()
    }

    pub(super) fn find_in_plan(&self, parts: &[String], plan_id: i64) -> Result<Option<TypedExpr>> {
        let found = self.expressions.plan_attribute(parts, plan_id).ok();
        found.map(|v| self.outer(v)).transpose()
    }

    /// Marks the columns of a value as the outer query's.
    fn outer(&self, value: TypedExpr) -> Result<TypedExpr> {
        let fields = self
            .expressions
            .inputs
            .iter()
            .flat_map(|r| r.all_attributes());
        let fields: Vec<(Column, arrow::datatypes::FieldRef)> =
            fields.map(|a| (a.column.clone(), a.field())).collect();
        let mut value = value;
        value.expr = value
            .expr
            .transform(|e| {
                let Expr::Column(column) = &e else {
                    return Ok(Transformed::no(e));
                };
                let Some((_, field)) = fields.iter().find(|(c, _)| c == column) else {
                    return Ok(Transformed::no(e));
                };
                let field = field.as_ref().clone().with_name(column.name());
                Ok(Transformed::yes(Expr::OuterReferenceColumn(
                    Arc::new(field),
                    column.clone(),
                )))
            })?
            .data;
        let mut used = self.used.borrow_mut();
        value.expr.apply(|e| {
            if matches!(e, Expr::OuterReferenceColumn(_, _)) && !used.contains(e) {
                used.push(e.clone());
            }
            Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
        })?;
        Ok(value)
    }

    pub(crate) fn into_used(self) -> Vec<Expr> {
        self.used.into_inner()
    }
}

impl Expressions<'_> {
    pub(super) fn subquery(&self, subquery: &SubqueryExpression) -> Result<TypedExpr> {
        let relation = self.planner().reference(subquery.plan_id).ok_or_else(|| {
            SparkError::analysis("CONNECT_INVALID_PLAN.INVALID_WITH_RELATION_REFERENCE", &[])
        })?;
        let inner = Planner::inside(self.planner(), OuterScope::new(self));
        let resolved = inner.relation(&relation)?;
        if resolved.is_streaming {
            return Err(SparkError::analysis(
                "INVALID_SUBQUERY_EXPRESSION.STREAMING_QUERY",
                &[],
            ));
        }
        let used = inner.outer.map(OuterScope::into_used).unwrap_or_default();
        match subquery.subquery_type() {
            SubqueryType::Scalar => self.scalar(resolved, used),
            SubqueryType::Exists => {
                if !self.is_predicate {
                    return self.exists_value(resolved, used);
                }
                let subquery = plan_of(&resolved, used)?;
                let expr = Expr::Exists(Exists {
                    subquery,
                    negated: false,
                });
                Ok(TypedExpr::new(expr, DataType::Boolean, false, "exists()"))
            }
            SubqueryType::In => self.is_in(resolved, used, subquery),
            SubqueryType::TableArg | SubqueryType::Unknown => {
                Err(SparkError::unsupported("a table argument"))
            }
        }
    }

    /// `EXISTS` as a value: whether a row was counted.
    fn exists_value(&self, resolved: Resolved, used: Vec<Expr>) -> Result<TypedExpr> {
        let column = self.planner().ids.column("exists");
        let one = datafusion::logical_expr::lit(1_i64);
        let count = datafusion::functions_aggregate::expr_fn::count(one).alias(column.name());
        let plan = datafusion::logical_expr::LogicalPlanBuilder::from(resolved.plan)
            .aggregate(Vec::<Expr>::new(), [count])?
            .build()?;
        let subquery = Subquery {
            subquery: Arc::new(plan),
            outer_ref_columns: used,
            spans: Spans::new(),
        };
        let expr = Expr::ScalarSubquery(subquery).gt(datafusion::logical_expr::lit(0_i64));
        Ok(TypedExpr::new(expr, DataType::Boolean, false, "exists()"))
    }

    fn scalar(&self, resolved: Resolved, used: Vec<Expr>) -> Result<TypedExpr> {
        let [column] = resolved.output.as_slice() else {
            return Err(SparkError::analysis(
                "INVALID_SUBQUERY_EXPRESSION.SCALAR_SUBQUERY_RETURN_MORE_THAN_ONE_OUTPUT_COLUMN",
                &[("number", &resolved.output.len().to_string())],
            ));
        };
        let data_type = column.data_type.clone();
        let expr = Expr::ScalarSubquery(plan_of(&resolved, used)?);
        Ok(TypedExpr::new(expr, data_type, true, "scalarsubquery()"))
    }

    fn is_in(
        &self,
        resolved: Resolved,
        used: Vec<Expr>,
        subquery: &SubqueryExpression,
    ) -> Result<TypedExpr> {
        let values = subquery
            .in_subquery_values
            .iter()
            .map(|v| self.value(v))
            .collect::<Result<Vec<_>>>()?;
        if values.len() != resolved.output.len() {
            let right: Vec<String> = resolved
                .output
                .iter()
                .map(|a| crate::error::quoted(a.qualified_name()))
                .collect();
            let left: Vec<String> = values.iter().map(TypedExpr::sql).collect();
            return Err(SparkError::analysis(
                "DATATYPE_MISMATCH.IN_SUBQUERY_LENGTH_MISMATCH",
                &[
                    ("sqlExpr", "\"in()\""),
                    ("leftLength", &values.len().to_string()),
                    ("rightLength", &resolved.output.len().to_string()),
                    ("leftColumns", &left.join(", ")),
                    ("rightColumns", &right.join(", ")),
                ],
            ));
        }
        let context = &self.planner().context.eval;
        let ([value], [column]) = (values.as_slice(), resolved.output.as_slice()) else {
            return Err(SparkError::unsupported(
                "IN with several columns and a subquery",
            ));
        };
        let common = coercion::for_comparison(&value.data_type, &column.data_type, context.ansi)
            .ok_or_else(|| {
                SparkError::analysis(
                    "DATATYPE_MISMATCH.IN_SUBQUERY_DATA_TYPE_MISMATCH",
                    &[
                        ("sqlExpr", "\"in()\""),
                        (
                            "mismatchedColumns",
                            &format!("{}, {}", value.sql(), column.qualified_name()),
                        ),
                        ("leftType", &value.type_sql()),
                        (
                            "rightType",
                            &crate::error::quoted(crate::types::sql_name(&column.data_type)),
                        ),
                    ],
                )
            })?;
        let name = format!("({} IN (listquery()))", value.name);
        let nullable = value.nullable || column.nullable;
        let right = coerce(column.reference(), &common, context)?;
        let column = self.planner().ids.column(&column.name);
        let plan = datafusion::logical_expr::LogicalPlanBuilder::from(resolved.plan)
            .project([right.expr.alias(column.name())])?
            .build()?;
        let left = coerce(value.clone(), &common, context)?;
        let expr = Expr::InSubquery(InSubquery {
            expr: Box::new(left.expr),
            subquery: Subquery {
                subquery: Arc::new(plan),
                outer_ref_columns: used,
                spans: Spans::new(),
            },
            negated: false,
        });
        Ok(TypedExpr::new(expr, DataType::Boolean, nullable, name))
    }
}

fn plan_of(resolved: &Resolved, used: Vec<Expr>) -> Result<Subquery> {
    let columns = resolved.columns().into_iter().map(Expr::Column);
    let plan = datafusion::logical_expr::LogicalPlanBuilder::from(resolved.plan.clone())
        .project(columns)?
        .build()?;
    Ok(Subquery {
        subquery: Arc::new(plan),
        outer_ref_columns: used,
        spans: Spans::new(),
    })
}
