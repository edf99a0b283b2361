//! Operators that exist only in streaming plans.
//!
//! Each has a folder: its logical node, its physical `Exec`, and for stateful ones the layout of its state. An operator is
//! described by plain values, takes its children and its ids by constructor, and finds the running batch in the
//! [`BatchContext`](crate::batch::BatchContext).
use datafusion::logical_expr::{Expr, UserDefinedLogicalNode};

pub mod aggregate;
pub mod deduplicate;
pub mod exchange;
pub mod gather;
pub mod join;
pub mod limit;
mod metrics;
pub mod observe;
pub mod session;
pub mod sliding;
mod stores;
pub mod watermark;

pub use metrics::OperatorMetrics;
pub(crate) use stores::{KeepsState, OperatorStore, stores_of};

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
        .or_else(|| {
            any.downcast_ref::<join::StreamJoinNode>()
                .map(|node| node.operator_id())
        })
        .or_else(|| {
            any.downcast_ref::<session::SessionAggregateNode>()
                .map(|node| node.operator_id())
        })
}

/// What a stateful operator computes with, part by part: a change to any of it gives its state another meaning.
pub(crate) fn parts_of(node: &dyn UserDefinedLogicalNode) -> Vec<(&'static str, Expr)> {
    let any = node.as_any();
    if let Some(aggregate) = any.downcast_ref::<aggregate::StatefulAggregateNode>() {
        return aggregate.parts();
    }
    if let Some(duplicates) = any.downcast_ref::<deduplicate::StatefulDeduplicateNode>() {
        return duplicates.parts();
    }
    if let Some(join) = any.downcast_ref::<join::StreamJoinNode>() {
        return join.parts();
    }
    if let Some(sessions) = any.downcast_ref::<session::SessionAggregateNode>() {
        return sessions.parts();
    }
    // A limit keeps a count, which goes on under any number.
    vec![]
}
