//! Step 1: whether the output mode fits the query as a whole.
//!
//! Spark looks at one aggregation only: the first that a reader of the plan meets, from the top and from the left.
use datafusion::{
    common::Result,
    logical_expr::{Aggregate, Distinct, LogicalPlan},
};

use super::{UnsupportedOperation, Verdict, is_streaming};
use crate::{
    plan::{OutputMode, operation::operation_of},
    time::event_time::{delay_ms, is_session},
};

/// What an aggregation by session is called.
pub(super) const SESSIONS: &str = "session window streaming aggregations";

pub(super) fn check(plan: &LogicalPlan, mode: OutputMode) -> Result<Verdict> {
    let operation = match (mode, topmost_aggregation(plan)?) {
        (OutputMode::Append, Some(keys)) if !keys.event_time => {
            "streaming aggregations without watermark"
        }
        (OutputMode::Update, Some(keys)) if keys.session => SESSIONS,
        (OutputMode::Complete, None) => "no streaming aggregations",
        _ => return Ok(Ok(())),
    };
    Ok(Err(UnsupportedOperation::OutputMode { mode, operation }))
}

/// What the keys of an aggregation carry.
pub(super) struct Keys {
    /// How many there are.
    pub width: usize,
    /// Whether one carries event time.
    pub event_time: bool,
    /// Whether one is a session.
    pub session: bool,
}

impl Keys {
    fn of(aggregate: &Aggregate) -> Self {
        let width = aggregate.schema.fields().len() - aggregate.aggr_expr.len();
        let keys = || aggregate.schema.fields().iter().take(width);
        Self {
            width,
            event_time: keys().any(|key| delay_ms(key).is_some()),
            session: keys().any(|key| is_session(key)),
        }
    }
}

/// The keys of an aggregation of a stream, which `SELECT DISTINCT` is one of.
pub(super) fn keys_of(plan: &LogicalPlan) -> Result<Option<Keys>> {
    Ok(match plan {
        LogicalPlan::Aggregate(aggregate) if is_streaming(&aggregate.input)? => {
            Some(Keys::of(aggregate))
        }
        LogicalPlan::Distinct(Distinct::All(input)) if is_streaming(input)? => {
            let fields = input.schema().fields();
            Some(Keys {
                width: fields.len(),
                event_time: fields.iter().any(|key| delay_ms(key).is_some()),
                session: false,
            })
        }
        _ => None,
    })
}

fn topmost_aggregation(plan: &LogicalPlan) -> Result<Option<Keys>> {
    if let Some(keys) = keys_of(plan)? {
        return Ok(Some(keys));
    }
    for input in inputs_of(plan) {
        if let Some(keys) = topmost_aggregation(input)? {
            return Ok(Some(keys));
        }
    }
    Ok(None)
}

/// Whether there is an aggregation of a stream in the plan.
pub(super) fn aggregates(plan: &LogicalPlan) -> Result<bool> {
    Ok(topmost_aggregation(plan)?.is_some())
}

/// The inputs as the user wrote them: those of an operation are its operands.
pub(super) fn inputs_of(plan: &LogicalPlan) -> Vec<&LogicalPlan> {
    match operation_of(plan) {
        Some((_, operands)) => operands,
        None => plan.inputs(),
    }
}
