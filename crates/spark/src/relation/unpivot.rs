//! `unpivot` (melt): columns become rows of name and value.
use datafusion::logical_expr::{Expr, LogicalPlan, Union};
use spark_connect_proto::Unpivot;
use std::sync::Arc;

use super::{input, project::aliased_expr};
use crate::{
    cast::coerce,
    coercion,
    error::{Result, SparkError, quoted},
    expression::{Expressions, SelectItem},
    planner::Planner,
    scope::{Attribute, Resolved},
    typed::TypedExpr,
    types::sql_name,
};

impl Planner<'_> {
    pub(super) fn unpivot(&self, node: &Unpivot) -> Result<Resolved> {
        let rows = self.relation(input(&node.input, "Unpivot")?)?;
        let (ids, values) = {
            let scope = Expressions::new(self, vec![&rows]);
            let columns = |expressions: &[spark_connect_proto::Expression]| -> Result<Vec<(String, TypedExpr)>> {
                let mut all = vec![];
                for expression in expressions {
                    for item in scope.items(expression)? {
                        if let SelectItem::Column { name, value, .. } = item {
                            all.push((name, value));
                        }
                    }
                }
                Ok(all)
            };
            let names = super::pivot::remaining_columns(&node.ids);
            let mut ids = match names {
                Some(_) => vec![],
                None => columns(&node.ids)?,
            };
            let mut values = match &node.values {
                Some(values) => columns(&values.values)?,
                None => rows
                    .output
                    .iter()
                    .filter(|a| !ids.iter().any(|(_, id)| id.as_column() == Some(&a.column)))
                    .map(|a| (a.name.clone(), a.reference()))
                    .collect(),
            };
            if let Some(names) = names {
                let used = |a: &&Attribute| {
                    !values
                        .iter()
                        .any(|(_, value)| value.as_column() == Some(&a.column))
                };
                let others = rows.output.iter().filter(used);
                ids.extend(others.map(|a| (a.name.clone(), a.reference())));
                for ((name, _), given) in values.iter_mut().zip(names) {
                    *name = given.unwrap_or_else(|| std::mem::take(name));
                }
            }
            (ids, values)
        };
        if values.is_empty() {
            return Err(SparkError::analysis("UNPIVOT_REQUIRES_VALUE_COLUMNS", &[]));
        }
        let context = &self.context.eval;
        let common = coercion::wider_of(values.iter().map(|(_, v)| &v.data_type), context.ansi)
            .ok_or_else(|| {
                let types: Vec<String> = values
                    .iter()
                    .map(|(n, v)| {
                        format!(
                            "{} ({})",
                            quoted(sql_name(&v.data_type)),
                            crate::error::quoted_id(n)
                        )
                    })
                    .collect();
                SparkError::analysis(
                    "UNPIVOT_VALUE_DATA_TYPE_MISMATCH",
                    &[("types", &types.join(", "))],
                )
            })?;
        let nullable = values.iter().any(|(_, v)| v.nullable);
        let mut output: Vec<Attribute> = ids
            .iter()
            .map(|(name, value)| self.fresh(name, value.data_type.clone(), value.nullable))
            .collect();
        output.push(self.fresh(
            &node.variable_column_name,
            arrow::datatypes::DataType::Utf8,
            false,
        ));
        output.push(self.fresh(&node.value_column_name, common.clone(), nullable));
        let mut branches = vec![];
        for (name, value) in values {
            let value = coerce(value, &common, context)?;
            let mut row: Vec<Expr> = ids.iter().map(|(_, v)| v.expr.clone()).collect();
            row.push(datafusion::logical_expr::lit(name));
            row.push(value.expr);
            let columns = row
                .into_iter()
                .zip(&output)
                .map(|(e, a)| aliased_expr(e, &a.column, &a.metadata))
                .collect();
            branches.push(Arc::new(super::project::projection_of(
                columns,
                rows.plan.clone(),
            )?));
        }
        let plan = match <[Arc<LogicalPlan>; 1]>::try_from(branches) {
            Ok([only]) => only.as_ref().clone(),
            Err(branches) => LogicalPlan::Union(Union::try_new_with_loose_types(branches)?),
        };
        Ok(rows.derive(plan, output))
    }

    /// A new column.
    pub(crate) fn fresh(
        &self,
        name: &str,
        data_type: arrow::datatypes::DataType,
        nullable: bool,
    ) -> Attribute {
        Attribute {
            name: name.to_string(),
            column: self.ids.column(name),
            data_type,
            nullable,
            metadata: Default::default(),
            qualifier: vec![],
        }
    }
}
