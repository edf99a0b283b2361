//! Step 4: what Structured Streaming supports and this release has not built. Every arm that goes is a feature.
use datafusion::{
    common::Result,
    logical_expr::{Distinct, Expr, LogicalPlan},
};

use super::{
    UnsupportedOperation, Verdict, is_streaming,
    modes::{inputs_of, keys_of},
};

pub(super) fn check(plan: &LogicalPlan) -> Result<Verdict> {
    if !is_streaming(plan)? {
        return Ok(Ok(()));
    }
    for input in inputs_of(plan) {
        if let Err(objection) = check(input)? {
            return Ok(Err(objection));
        }
    }
    Ok(match missing(plan)? {
        Some(operation) => Err(UnsupportedOperation::NotBuilt { operation }),
        None => Ok(()),
    })
}

fn missing(plan: &LogicalPlan) -> Result<Option<&'static str>> {
    Ok(match plan {
        LogicalPlan::Distinct(Distinct::On(_)) => Some("DISTINCT ON"),
        LogicalPlan::Aggregate(aggregate)
            if aggregate
                .group_expr
                .iter()
                .any(|expr| matches!(expr, Expr::GroupingSet(_)))
                && keys_of(plan)?.is_some_and(|keys| keys.session) =>
        {
            // Spark fails on the NULL session of the sets without it.
            Some("A session window among grouping sets")
        }
        _ => None,
    })
}
