//! What may run as a stream, and in which output mode.
//!
//! The check runs before anything is opened, on the plan as the user wrote it, in Spark's order; the first objection is
//! the answer.
//!
//! | step | asks | file |
//! |---|---|---|
//! | 1 | does the mode fit the query: its topmost aggregation, or that there is none? | `modes.rs` |
//! | 2 | is every node supported? Children before parents, the left side of a join before the right | `operations.rs`, `joins.rs` |
//! | 3 | can a stateful operator take another's rows for late ones? | `chains.rs` |
//! | 4 | has this release built it? | `not_built.rs` |
//!
//! What Spark finds out only when it plans the first batch is `at_run.rs`.
//!
//! The rules, row by row (a dash: no objection of its own):
//!
//! | operation | append | update | complete |
//! |---|---|---|---|
//! | the query has no aggregation | – | – | mode: no streaming aggregations |
//! | topmost aggregation without event time among its keys | mode: without watermark | – | – |
//! | topmost aggregation by session | – | mode: session window | – |
//! | distinct aggregate, analytic function, `sample`, `offset`, row number in an expression | no | no | no |
//! | sort | no | no | only of aggregates |
//! | limit | – | no | – |
//! | union with a table, intersect, except of a stream | no | no | no |
//! | join of a stream and a table | `joins.rs` | same | same |
//! | join of two streams | `joins.rs` | inner, semi | no |
//! | `dropDuplicatesWithinWatermark` without a watermark | no | no | no |
//! | aggregation below another, a join or event-time deduplication | – | global watermark | global watermark |
use datafusion::{
    common::{Result, tree_node::TreeNode},
    logical_expr::LogicalPlan,
};

use super::OutputMode;
use crate::source::StreamTable;

mod at_run;
mod chains;
mod error;
mod joins;
mod modes;
mod not_built;
mod operations;
#[cfg(test)]
mod tests;

pub(crate) use at_run::check_at_run;
pub use error::{StaticJoin, UnsupportedOperation};

/// Answer of a rule: no objection, or why not.
pub(crate) type Verdict = std::result::Result<(), UnsupportedOperation>;

/// What is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checks {
    /// Whether Spark's rules are applied at all (`spark.sql.streaming.unsupportedOperationCheck`).
    pub operations: bool,
    /// Whether chained operators that may lose rows are refused rather than warned of
    /// (`spark.sql.streaming.statefulOperator.checkCorrectness.enabled`).
    pub correctness: bool,
    /// Whether the query asks for state encoded as Avro, which Spark has for `transformWithState` alone
    /// (`spark.sql.streaming.stateStore.encodingFormat`).
    pub avro_state: bool,
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            operations: true,
            correctness: true,
            avro_state: false,
        }
    }
}

/// Whether the plan reads a stream.
pub fn is_streaming(plan: &LogicalPlan) -> Result<bool> {
    plan.exists(|plan| {
        Ok(matches!(plan, LogicalPlan::TableScan(scan) if StreamTable::of(&scan.source).is_some()))
    })
}

/// Checks a plan against an output mode.
///
/// # Errors
/// The outer error is DataFusion's, from walking the plan; the inner one is the first objection.
pub fn check(plan: &LogicalPlan, mode: OutputMode, checks: Checks) -> Result<Verdict> {
    if !is_streaming(plan)? {
        return Ok(Err(UnsupportedOperation::NoStreamingSource));
    }
    if checks.operations
        && let Err(objection) = by_rules(plan, mode, checks)?
    {
        return Ok(Err(objection));
    }
    not_built::check(plan)
}

fn by_rules(plan: &LogicalPlan, mode: OutputMode, checks: Checks) -> Result<Verdict> {
    if let Err(objection) = modes::check(plan, mode)? {
        return Ok(Err(objection));
    }
    if let Err(objection) = operations::check(plan, mode)? {
        return Ok(Err(objection));
    }
    if checks.avro_state
        && let Some(operator) = operations::first_with_state(plan)?
    {
        return Ok(Err(UnsupportedOperation::AvroState { operator }));
    }
    match chains::check(plan, mode)? {
        Err(objection) if !checks.correctness => {
            tracing::warn!(%objection, "not refused: the check is off");
            Ok(Ok(()))
        }
        verdict => Ok(verdict),
    }
}
