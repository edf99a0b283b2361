//! From a logical plan with streaming leaves to a physical plan that runs once per micro-batch.
mod batch_time;
mod build_side;
mod extension;
mod output_mode;
mod streaming;
mod unsupported;

pub use batch_time::{BatchTime, batch_time, uses_batch_time};
pub use output_mode::{OutputMode, UnknownOutputMode};
pub use streaming::{StatefulOperator, StreamingPlan};
pub use unsupported::{UnsupportedOperation, check, is_streaming};

pub use crate::{operator::watermark::WatermarkNode, source::StreamTable};
