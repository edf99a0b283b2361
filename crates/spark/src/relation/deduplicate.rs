//! `distinct()` and `dropDuplicates(…)`.
use std::sync::Arc;

use datafusion::{
    functions_aggregate::first_last::first_value_udaf,
    logical_expr::{Distinct, Expr, LogicalPlan, LogicalPlanBuilder, expr::AggregateFunction},
};
use spark_connect_proto::Deduplicate;

use super::input;
use crate::{
    error::{Result, SparkError},
    planner::Planner,
    scope::{Attribute, Resolved},
};

impl Planner<'_> {
    pub(super) fn deduplicate(&self, node: &Deduplicate) -> Result<Resolved> {
        let rows = self.relation(input(&node.input, "Deduplicate")?)?;
        let all = node.all_columns_as_keys();
        if all && !node.column_names.is_empty() {
            return Err(SparkError::analysis(
                "CONNECT_INVALID_PLAN.DEDUPLICATE_ALL_COLUMNS_AND_SUBSET",
                &[],
            ));
        }
        if !all && node.column_names.is_empty() {
            return Err(SparkError::analysis(
                "CONNECT_INVALID_PLAN.DEDUPLICATE_REQUIRES_COLUMNS_OR_ALL",
                &[],
            ));
        }
        let keys = if all {
            rows.output.clone()
        } else {
            self.dedup_keys(&rows, &node.column_names)?
        };
        if node.within_watermark() {
            return self.deduplicate_within_watermark(rows, keys);
        }
        let plan = if keys.len() == rows.output.len() {
            let columns = rows.output.iter().map(|a| Expr::Column(a.column.clone()));
            let only = LogicalPlanBuilder::from(rows.plan.clone())
                .project(columns)?
                .build()?;
            LogicalPlan::Distinct(Distinct::All(Arc::new(only)))
        } else if rows.is_streaming {
            self.streaming_dedup(&rows, &keys)?
        } else {
            first_of_each(&rows, &keys)?
        };
        let mut deduplicated = rows.derive(plan, rows.output.clone());
        deduplicated.hidden.clear();
        Ok(deduplicated)
    }

    fn dedup_keys(&self, rows: &Resolved, names: &[String]) -> Result<Vec<Attribute>> {
        let mut keys: Vec<Attribute> = vec![];
        for name in names {
            let found: Vec<&Attribute> = rows
                .output
                .iter()
                .filter(|a| self.names.same(&a.name, name))
                .collect();
            if found.is_empty() {
                let all: Vec<&str> = rows.output.iter().map(|a| a.name.as_str()).collect();
                return Err(SparkError::analysis(
                    "UNRESOLVED_COLUMN_AMONG_FIELD_NAMES",
                    &[("colName", name), ("fieldNames", &all.join(", "))],
                ));
            }
            for attribute in found {
                if !keys.iter().any(|k| k.column == attribute.column) {
                    keys.push(attribute.clone());
                }
            }
        }
        Ok(keys)
    }

    /// A stream keeps what it has seen: the engine takes `DISTINCT ON` over a stream for its own operator.
    fn streaming_dedup(&self, rows: &Resolved, keys: &[Attribute]) -> Result<LogicalPlan> {
        let on = keys
            .iter()
            .map(|k| Expr::Column(k.column.clone()))
            .collect();
        let select = rows
            .output
            .iter()
            .map(|a| Expr::Column(a.column.clone()))
            .collect();
        Ok(LogicalPlanBuilder::from(rows.plan.clone())
            .distinct_on(on, select, None)?
            .build()?)
    }

    fn deduplicate_within_watermark(
        &self,
        rows: Resolved,
        keys: Vec<Attribute>,
    ) -> Result<Resolved> {
        if !rows.is_streaming {
            return Err(SparkError::streaming_unsupported(
                "dropDuplicatesWithinWatermark is not supported with batch DataFrames/DataSets",
            ));
        }
        let plan = super::watermark::within_watermark(&rows, &keys)?;
        Ok(rows.with_plan(plan))
    }
}

/// One row for each key, as the plan meets them.
fn first_of_each(rows: &Resolved, keys: &[Attribute]) -> Result<LogicalPlan> {
    let group: Vec<Expr> = keys
        .iter()
        .map(|k| Expr::Column(k.column.clone()))
        .collect();
    let mut first = vec![];
    let mut output = vec![];
    for (index, attribute) in rows.output.iter().enumerate() {
        let column = Expr::Column(attribute.column.clone());
        if keys.iter().any(|k| k.column == attribute.column) {
            output.push(column);
            continue;
        }
        let name = format!("first#{index}");
        let call =
            AggregateFunction::new_udf(first_value_udaf(), vec![column], false, None, vec![], None);
        first.push(Expr::AggregateFunction(call).alias(&name));
        let value = Expr::Column(datafusion::common::Column::new_unqualified(name));
        output.push(value.alias(attribute.column.name()));
    }
    Ok(LogicalPlanBuilder::from(rows.plan.clone())
        .aggregate(group, first)?
        .project(output)?
        .build()?)
}
