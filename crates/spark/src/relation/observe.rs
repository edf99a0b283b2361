//! `observe(name, metrics…)`: aggregates over the rows that pass, reported beside the result.
//!
//! The metrics are resolved as the select list of a global aggregation; what that plans is taken apart into its calls and
//! the expressions over them, which is what the engine's node wants.
use std::sync::Arc;

use datafusion::logical_expr::{Extension, LogicalPlan};
use millstream_engine::plan::ObserveNode;
use spark_connect_proto::CollectMetrics;

use super::input;
use crate::{
    error::{Result, SparkError, quoted},
    expression::{Expressions, SelectItem},
    planner::Planner,
    scope::Resolved,
};

impl Planner<'_> {
    pub(super) fn collect_metrics(&self, node: &CollectMetrics) -> Result<Resolved> {
        let rows = self.relation(input(&node.input, "CollectMetrics")?)?;
        let items = Expressions::new(self, vec![&rows]).select_list(&node.metrics)?;
        for item in &items {
            if let SelectItem::Column { value, .. } = item
                && value.has_window()
            {
                return Err(SparkError::analysis(
                    "INVALID_OBSERVED_METRICS.WINDOW_EXPRESSIONS_UNSUPPORTED",
                    &[("expr", &quoted(value.sql()))],
                ));
            }
        }
        let metrics = self.global_aggregate(rows.clone(), items)?;
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
