//! Filters and sorts that name columns their input does not output.
//!
//! `SELECT a FROM t ORDER BY b` and `SELECT k FROM t GROUP BY k HAVING count(*) > 1` are legal: the projection below is
//! widened by what is missing, and what was added is hidden above.
use std::{collections::HashSet, sync::Arc};

use datafusion::{
    common::Column,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder},
};

use super::project::{Below, has_aggregate, projection_of};
use crate::{
    error::Result,
    planner::Planner,
    scope::{Attribute, Resolved},
    typed::TypedExpr,
};

impl Planner<'_> {
    /// Makes `values`, resolved against `input` and what is below it, computable over the returned relation.
    pub(super) fn reach_below(
        &self,
        input: Resolved,
        values: Vec<TypedExpr>,
    ) -> Result<(Resolved, Vec<TypedExpr>)> {
        let here: HashSet<Column> = input.all_attributes().map(|a| a.column.clone()).collect();
        let satisfied = values.iter().all(|v| {
            !has_aggregate(&v.expr) && v.expr.column_refs().into_iter().all(|c| here.contains(c))
        });
        let Some(below) = input.below.clone() else {
            return Ok((input, values));
        };
        if satisfied {
            return Ok((input, values));
        }
        let mut below = below.as_ref().clone();
        let mut values = values;
        if let Some(aggregate) = &mut below.aggregate {
            for value in &mut values {
                value.expr = aggregate.rewrite(value.expr.clone(), &here, self)?;
            }
            below.plan = aggregate.plan()?;
        }
        let mut added: Vec<Column> = vec![];
        for value in &values {
            for column in value.expr.column_refs() {
                if !here.contains(column) && !added.contains(column) {
                    added.push(column.clone());
                }
            }
        }
        below
            .projection
            .extend(added.iter().cloned().map(Expr::Column));
        let plan = rebuild(&below)?;
        let mut widened = input;
        widened.plan = plan;
        widened
            .hidden
            .extend(added.into_iter().map(|column| hidden(&below.input, column)));
        widened.below = Some(Arc::new(below));
        Ok((widened, values))
    }
}

fn rebuild(below: &Below) -> Result<LogicalPlan> {
    let mut plan =
        LogicalPlanBuilder::from(projection_of(below.projection.clone(), below.plan.clone())?);
    for filter in &below.filters {
        plan = plan.filter(filter.clone())?;
    }
    Ok(plan.build()?)
}

/// An added column: found again only by those that know it.
fn hidden(input: &Resolved, column: Column) -> Attribute {
    match input.all_attributes().find(|a| a.column == column) {
        Some(attribute) => attribute.clone(),
        None => Attribute {
            name: column.name.clone(),
            column,
            data_type: arrow::datatypes::DataType::Null,
            nullable: true,
            metadata: Default::default(),
            qualifier: vec![],
        },
    }
}
