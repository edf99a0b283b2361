//! Operators that exist only in streaming plans.
//!
//! Each has a folder: its logical node, its physical `Exec`, and for stateful ones the layout of its state. An operator is
//! described by plain values, takes its children and its ids by constructor, and finds the running batch in the
//! [`BatchContext`](crate::batch::BatchContext).
use datafusion::logical_expr::UserDefinedLogicalNode;

pub mod aggregate;
pub mod deduplicate;
pub mod exchange;
pub mod limit;
mod metrics;
pub mod watermark;

pub use metrics::OperatorMetrics;

/// The id of a stateful operator's logical node; `None` for nodes that keep no state.
pub(crate) fn id_of(node: &dyn UserDefinedLogicalNode) -> Option<u32> {
    let any = node.as_any();
    // One line per stateful node.
    any.downcast_ref::<aggregate::StatefulAggregateNode>()
        .map(|node| node.operator_id())
        .or_else(|| {
            any.downcast_ref::<deduplicate::StatefulDeduplicateNode>()
                .map(|node| node.operator_id())
        })
        .or_else(|| {
            any.downcast_ref::<limit::GlobalLimitNode>()
                .map(|node| node.operator_id())
        })
}
