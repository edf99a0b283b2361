//! `observe(name, metrics…)`: aggregates over the rows that pass, reported beside the result.
//!
//! The metrics are resolved as the select list of a global aggregation; what that plans is taken apart into its calls and
//! the expressions over them, which is what the engine's node wants.
use std::sync::Arc;

use datafusion::{
    common::tree_node::{TreeNode, TreeNodeRecursion},
    logical_expr::{Expr, Extension, LogicalPlan},
};
use millstream_engine::plan::ObserveNode;
use spark_connect_proto::CollectMetrics;

use super::input;
use crate::{
    error::{Result, SparkError, quoted},
    expression::{Expressions, SelectItem},
    planner::Planner,
    scope::Resolved,
    typed::TypedExpr,
    types::quote_if_needed,
};

impl Planner<'_> {
    pub(super) fn collect_metrics(&self, node: &CollectMetrics) -> Result<Resolved> {
        let rows = self.relation(input(&node.input, "CollectMetrics")?)?;
        if node.name.is_empty() {
            return Err(SparkError::analysis(
                "INVALID_OBSERVED_METRICS.MISSING_NAME",
                &[("operator", "CollectMetrics")],
            ));
        }
        let items = Expressions::new(self, vec![&rows]).select_list(&node.metrics)?;
        items.iter().try_for_each(check_metric)?;
        let metrics = self.global_aggregate(rows.clone(), items)?;
        if !self.observes_once(&node.name, &metrics) {
            return Err(SparkError::analysis(
                "DUPLICATED_METRICS_NAME",
                &[("metricName", &node.name)],
            ));
        }
        let parts = metrics.below.as_ref();
        let Some((below, parts)) = parts.and_then(|b| Some((b, b.aggregate.as_ref()?))) else {
            return Err(SparkError::unsupported(
                "observe() with a metric that makes several rows",
            ));
        };
        let fields = metrics.fields();
        let observed = ObserveNode::try_new(
            rows.plan.clone(),
            node.name.clone(),
            parts.calls(),
            below.projection.clone(),
            fields,
        )?;
        Ok(rows.with_plan(LogicalPlan::Extension(Extension {
            node: Arc::new(observed),
        })))
    }
}

/// Outside of aggregate functions, which are plain ones, a metric is a constant.
fn check_metric(item: &SelectItem) -> Result<()> {
    let SelectItem::Column {
        name,
        value,
        aliased,
    } = item
    else {
        return Ok(());
    };
    let Some(wrong) = wrong_part(value)? else {
        return Ok(());
    };
    let shown = match value.as_column() {
        Some(_) if !aliased => value.name.clone(),
        _ => format!("{} AS {}", value.name, quote_if_needed(name)),
    };
    Err(SparkError::analysis(
        &format!("INVALID_OBSERVED_METRICS.{wrong}"),
        &[("expr", &quoted(shown))],
    ))
}

/// What of a metric is not allowed.
fn wrong_part(value: &TypedExpr) -> Result<Option<&'static str>> {
    if value.has_window() {
        return Ok(Some("WINDOW_EXPRESSIONS_UNSUPPORTED"));
    }
    if !value.is_deterministic() {
        return Ok(Some("NON_AGGREGATE_FUNC_ARG_IS_NON_DETERMINISTIC"));
    }
    let mut wrong = None;
    value.expr.apply(|part| {
        Ok(match part {
            Expr::AggregateFunction(call) if call.params.distinct => {
                wrong = Some("AGGREGATE_EXPRESSION_WITH_DISTINCT_UNSUPPORTED");
                TreeNodeRecursion::Stop
            }
            Expr::AggregateFunction(call) if call.params.filter.is_some() => {
                wrong = Some("AGGREGATE_EXPRESSION_WITH_FILTER_UNSUPPORTED");
                TreeNodeRecursion::Stop
            }
            Expr::AggregateFunction(_) => TreeNodeRecursion::Jump,
            Expr::Column(_) => {
                wrong = Some("NON_AGGREGATE_FUNC_ARG_IS_ATTRIBUTE");
                TreeNodeRecursion::Stop
            }
            _ => TreeNodeRecursion::Continue,
        })
    })?;
    Ok(wrong)
}
