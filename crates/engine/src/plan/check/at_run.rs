//! What Spark finds out only when it plans a query's first batch: the query starts, and fails.
//!
//! What a join of two streams lacks, equalities or a single event time, its operator says itself when it is planned, and so
//! does a deduplication of its event time: by then filters above a join are part of its condition, and columns that nobody
//! reads are gone.
use datafusion::{common::Result, logical_expr::LogicalPlan};

use super::{
    UnsupportedOperation as No, Verdict, is_streaming,
    modes::{Keys, SESSIONS, inputs_of, keys_of},
};
use crate::{
    plan::{
        OutputMode,
        operation::{Operation, operation_of},
    },
    time::event_time::delay_ms,
};

/// Checks a plan that [`super::check`] has let pass.
pub(crate) fn check_at_run(plan: &LogicalPlan, mode: OutputMode) -> Result<Verdict> {
    for input in inputs_of(plan) {
        if let Err(objection) = check_at_run(input, mode)? {
            return Ok(Err(objection));
        }
    }
    if !is_streaming(plan)? {
        return Ok(Ok(()));
    }
    node(plan, mode)
}

fn carries_event_time(plan: &LogicalPlan) -> bool {
    let mut fields = plan.schema().fields().iter();
    fields.any(|field| delay_ms(field).is_some())
}

fn node(plan: &LogicalPlan, mode: OutputMode) -> Result<Verdict> {
    if let Some((Operation::Except, _)) = operation_of(plan) {
        // Spark groups what is left over, and a grouping without event time never ends in append mode.
        return Ok(match mode {
            OutputMode::Append if !carries_event_time(plan) => Err(No::NeverDone),
            _ => Ok(()),
        });
    }
    Ok(match keys_of(plan)? {
        Some(keys) => aggregation(&keys, mode),
        None => Ok(()),
    })
}

fn aggregation(keys: &Keys, mode: OutputMode) -> Verdict {
    match mode {
        _ if keys.session && keys.width == 1 => Err(No::GlobalSession),
        OutputMode::Append if !keys.event_time => Err(No::NeverDone),
        OutputMode::Update if keys.session => Err(No::OutputMode {
            mode,
            operation: SESSIONS,
        }),
        _ => Ok(()),
    }
}
