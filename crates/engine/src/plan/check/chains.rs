//! Step 3: whether a stateful operator could take the rows of another one for late.
//!
//! An aggregation that puts out a group again and again (update, complete) puts out rows older than the watermark, which
//! a stateful operator above it would drop. In append mode rows leave an operator in time.
use datafusion::{
    common::Result,
    logical_expr::{Extension, LogicalPlan},
};

use super::{
    UnsupportedOperation, Verdict, is_streaming,
    modes::{inputs_of, keys_of},
};
use crate::{
    operator::deduplicate::DeduplicateNode, plan::OutputMode, time::event_time::is_event_time,
};

pub(super) fn check(plan: &LogicalPlan, mode: OutputMode) -> Result<Verdict> {
    if mode == OutputMode::Append {
        return Ok(Ok(()));
    }
    Ok(if chained(plan, false)? {
        Err(UnsupportedOperation::GlobalWatermark)
    } else {
        Ok(())
    })
}

/// Whether there is an aggregation below a stateful operator; `below` tells that one was passed on the way.
fn chained(plan: &LogicalPlan, below: bool) -> Result<bool> {
    let aggregates = keys_of(plan)?.is_some();
    if below && aggregates {
        return Ok(true);
    }
    let below = below || aggregates || drops_late_rows(plan)?;
    for input in inputs_of(plan) {
        if chained(input, below)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Joins of streams and deduplication by event time; deduplication by other columns drops no late rows.
fn drops_late_rows(plan: &LogicalPlan) -> Result<bool> {
    Ok(match plan {
        LogicalPlan::Join(join) => is_streaming(&join.left)? && is_streaming(&join.right)?,
        LogicalPlan::Extension(Extension { node }) => {
            match node.as_any().downcast_ref::<DeduplicateNode>() {
                Some(duplicates) => {
                    let schema = duplicates.input().schema();
                    let mut keys = duplicates.keys().iter();
                    duplicates.within_watermark() || keys.any(|key| is_event_time(schema, key))
                }
                None => false,
            }
        }
        _ => false,
    })
}
