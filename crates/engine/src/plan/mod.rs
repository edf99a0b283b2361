//! From a logical plan with streaming leaves to a physical plan that runs once per micro-batch.
mod batch_time;
mod build_side;
mod extension;
mod output_mode;
mod rewrite;
mod streaming;
mod unsupported;

pub use batch_time::{BatchTime, batch_time, uses_batch_time};
pub(crate) use extension::{Lowering, PlannedNode};
pub use output_mode::{OutputMode, UnknownOutputMode};
pub use rewrite::StatefulOperator;
pub use streaming::StreamingPlan;
pub use unsupported::{UnsupportedOperation, check, is_streaming};

pub use crate::{
    operator::{deduplicate::DeduplicateNode, watermark::WatermarkNode},
    source::StreamTable,
};
