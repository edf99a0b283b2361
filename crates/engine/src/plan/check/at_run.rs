//! What Spark finds out only when it plans a query's first batch: the query starts, and fails.
//!
//! What a join of two streams lacks, equalities or a single event time, its operator says itself when it is planned: by then
//! filters above it are part of its condition, and columns that nobody reads are gone.
use datafusion::{
    common::{DFSchema, Result},
    logical_expr::{Extension, LogicalPlan},
};

use super::{
    UnsupportedOperation as No, Verdict, is_streaming,
    modes::{Keys, SESSIONS, inputs_of, keys_of},
};
use crate::{
    operator::deduplicate::DeduplicateNode,
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
    Ok(match plan {
        LogicalPlan::Extension(Extension { node }) => {
            match node.as_any().downcast_ref::<DeduplicateNode>() {
                Some(duplicates) => one_event_time(duplicates.input().schema()),
                None => Ok(()),
            }
        }
        plan => match keys_of(plan)? {
            Some(keys) => aggregation(&keys, mode),
            None => Ok(()),
        },
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

/// An operator that looks for event time among all columns of its input must find one at most.
fn one_event_time(schema: &DFSchema) -> Verdict {
    let found: Vec<String> = schema
        .fields()
        .iter()
        .filter_map(|field| delay_ms(field).map(|delay| format!("{}-T{delay}ms", field.name())))
        .collect();
    match found.len() {
        0 | 1 => Ok(()),
        _ => Err(No::MultipleEventTimeColumns { columns: found }),
    }
}
