//! Observed metrics: aggregates over the rows that pass a point of the plan.
//!
//! ```text
//!   rows ─► ObserveExec ─► rows, unchanged
//!               │ as a partition ends: its accumulators
//!               ▼
//!        ObservedMetrics ─► one row per name, when the plan has run
//! ```
//!
//! The collector is an extension of DataFusion's task context: a micro-batch has one of its own, and so has a query over
//! tables. Without a collector rows pass and nobody counts. A partition reports when it is drained, or dropped by a
//! reader that has enough; what it then says is about the rows that passed.
//!
//! There is no state: a streaming metric is one of its batch.
mod exec;
mod metrics;
mod node;

pub use exec::ObserveExec;
pub use metrics::{ObservedMetrics, Observer};
pub use node::ObserveNode;
