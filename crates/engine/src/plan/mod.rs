//! From a logical plan with streaming leaves to a physical plan that runs once per micro-batch.
mod batch_time;
mod build_side;
mod check;
mod description;
mod extension;
mod fresh;
mod operation;
mod output_mode;
mod rewrite;
mod streaming;

pub use batch_time::{BatchTime, batch_time, uses_batch_time};
pub(crate) use check::check_at_run;
pub use check::{Checks, StaticJoin, UnsupportedOperation, check, is_streaming};
pub use extension::StreamingQueryPlanner;
pub(crate) use extension::{AggregateCall, Lowering, PlannedNode};
pub use operation::{Operation, OperationNode};
pub use output_mode::{OutputMode, UnknownOutputMode};
pub use rewrite::StatefulOperator;
pub use streaming::StreamingPlan;

pub use crate::{
    operator::{
        deduplicate::DeduplicateNode, observe::ObserveNode, sliding::SlidingWindowsNode,
        watermark::WatermarkNode,
    },
    source::StreamTable,
};
