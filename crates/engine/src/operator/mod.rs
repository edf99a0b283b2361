//! Operators that exist only in streaming plans.
//!
//! Each has a folder: its logical node, its physical `Exec`, and for stateful ones the layout of its state. An operator is
//! described by plain values, takes its children and its ids by constructor, and finds the running batch in the
//! [`BatchContext`](crate::batch::BatchContext).
pub mod aggregate;
pub mod exchange;
mod metrics;
pub mod watermark;

pub use metrics::OperatorMetrics;
