//! `distinct()` and `dropDuplicates(…)`.
//!
//! Over a batch they are DataFusion's distinct, or the first row of each group. Over a stream they are the engine's node, which
//! knows the keys of earlier batches. SQL's `SELECT DISTINCT` and the set operations do not come here: to Spark they
//! are groupings, in a stream too.
use std::sync::Arc;

use datafusion::{
    functions_aggregate::first_last::first_value_udaf,
    logical_expr::{
        Distinct, Expr, Extension, LogicalPlan, LogicalPlanBuilder, expr::AggregateFunction,
    },
};
use millstream_engine::plan::DeduplicateNode;
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
        // Clients say yes or no; what says nothing is SQL's `DISTINCT`.
        let within_watermark = node.within_watermark();
        let grouped = rows.is_streaming && node.within_watermark.is_none();
        if within_watermark && !rows.is_streaming {
            return Err(SparkError::streaming_unsupported(
                "dropDuplicatesWithinWatermark is not supported with batch DataFrames/DataSets",
            ));
        }
        let plan = if grouped {
            let columns = keys.into_iter().map(|key| Expr::Column(key.column));
            groups_of(rows.plan.clone(), columns.collect())?
        } else if rows.is_streaming {
            streaming_deduplication(&rows, keys, within_watermark)?
        } else if keys.len() == rows.output.len() {
            let columns = rows.output.iter().map(|a| Expr::Column(a.column.clone()));
            let only = LogicalPlanBuilder::from(rows.plan.clone())
                .project(columns)?
                .build()?;
            LogicalPlan::Distinct(Distinct::All(Arc::new(only)))
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
}

/// The groups of a stream by these columns: what SQL calls distinct rows.
pub(super) fn groups_of(rows: LogicalPlan, columns: Vec<Expr>) -> Result<LogicalPlan> {
    let none: Vec<Expr> = vec![];
    Ok(LogicalPlanBuilder::from(rows)
        .aggregate(columns, none)?
        .build()?)
}

/// A stream keeps the keys that it has seen.
fn streaming_deduplication(
    rows: &Resolved,
    keys: Vec<Attribute>,
    within_watermark: bool,
) -> Result<LogicalPlan> {
    let keys = keys.into_iter().map(|key| key.column).collect();
    let node = DeduplicateNode::try_new(rows.plan.clone(), keys, within_watermark)?;
    Ok(LogicalPlan::Extension(Extension {
        node: Arc::new(node),
    }))
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
