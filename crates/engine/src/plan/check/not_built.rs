//! Step 4: what Structured Streaming supports and this release has not built. Every arm that goes is a feature.
use datafusion::{
    common::Result,
    logical_expr::{Distinct, Expr, LogicalPlan},
};

use super::{
    UnsupportedOperation, Verdict, is_streaming,
    modes::{aggregates, inputs_of},
};
use crate::plan::OutputMode;

pub(super) fn check(plan: &LogicalPlan, mode: OutputMode) -> Result<Verdict> {
    if !is_streaming(plan)? {
        return Ok(Ok(()));
    }
    for input in inputs_of(plan) {
        if let Err(objection) = check(input, mode)? {
            return Ok(Err(objection));
        }
    }
    Ok(match missing(plan, mode)? {
        Some(operation) => Err(UnsupportedOperation::NotBuilt { operation }),
        None => Ok(()),
    })
}

fn missing(plan: &LogicalPlan, mode: OutputMode) -> Result<Option<&'static str>> {
    Ok(match plan {
        LogicalPlan::Distinct(Distinct::On(_)) => Some("DISTINCT ON"),
        LogicalPlan::Aggregate(aggregate)
            if aggregate
                .group_expr
                .iter()
                .any(|expr| matches!(expr, Expr::GroupingSet(_))) =>
        {
            Some("Aggregation over grouping sets")
        }
        LogicalPlan::Aggregate(aggregate)
            if mode != OutputMode::Append && aggregates(&aggregate.input)? =>
        {
            Some("More than one aggregation")
        }
        _ => None,
    })
}
