//! `distinct()` and `dropDuplicates(…)`.
//!
//! Over a batch they are DataFusion's distinct, or the first row of each group. Over a stream they are the engine's node, which
//! knows the keys of earlier batches. SQL's `SELECT DISTINCT` and the set operations do not come here: to Spark they
//! are groupings, in a stream too.
use std::sync::Arc;

use datafusion::{
    common::Column,
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
    scope::{Attribute, Resolved, columns_of},
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
            rows.columns()
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
            let columns = keys.into_iter().map(Expr::Column);
            groups_of(rows.plan.clone(), columns.collect())?
        } else if rows.is_streaming {
            streaming_deduplication(&rows, keys, within_watermark)?
        } else if keys.len() == rows.columns().len() {
            let only = LogicalPlanBuilder::from(rows.plan.clone())
                .project(keys.into_iter().map(Expr::Column))?
                .build()?;
            LogicalPlan::Distinct(Distinct::All(Arc::new(only)))
        } else {
            first_of_each(&rows, &keys)?
        };
        let mut deduplicated = rows.derive(plan, rows.output.clone());
        deduplicated.hidden.clear();
        Ok(deduplicated)
    }

    fn dedup_keys(&self, rows: &Resolved, names: &[String]) -> Result<Vec<Column>> {
        let mut keys: Vec<&Attribute> = vec![];
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
            keys.extend(found);
        }
        Ok(columns_of(keys.into_iter()))
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
    keys: Vec<Column>,
    within_watermark: bool,
) -> Result<LogicalPlan> {
    let node = DeduplicateNode::try_new(rows.plan.clone(), keys, within_watermark)?;
    Ok(LogicalPlan::Extension(Extension {
        node: Arc::new(node),
    }))
}

/// One row for each key, as the plan meets them.
fn first_of_each(rows: &Resolved, keys: &[Column]) -> Result<LogicalPlan> {
    let group: Vec<Expr> = keys.iter().cloned().map(Expr::Column).collect();
    let mut first = vec![];
    let mut output = vec![];
    for (index, column) in rows.columns().into_iter().enumerate() {
        if keys.contains(&column) {
            output.push(Expr::Column(column));
            continue;
        }
        let name = format!("first#{index}");
        let shown = column.name.clone();
        let args = vec![Expr::Column(column)];
        let call = AggregateFunction::new_udf(first_value_udaf(), args, false, None, vec![], None);
        first.push(Expr::AggregateFunction(call).alias(&name));
        output.push(Expr::Column(Column::new_unqualified(name)).alias(shown));
    }
    Ok(LogicalPlanBuilder::from(rows.plan.clone())
        .aggregate(group, first)?
        .project(output)?
        .build()?)
}
