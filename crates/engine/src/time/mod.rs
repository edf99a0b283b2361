//! Time: the [`Clock`] (processing time) and the watermark (event time).
mod clock;
pub mod event_time;
mod propagation;
mod sessions;
mod watermark;
mod windows;

pub use clock::{Clock, ClockRef, ManualClock, SystemClock};
pub use propagation::{OperatorFlow, WatermarkFlow, WatermarkInput};
pub use sessions::{Session, merge_sessions};
pub use watermark::{
    BatchWatermarks, EventTimeStats, UnknownWatermarkPolicy, WatermarkPolicy, WatermarkTracker,
};
pub use windows::WindowGrid;
pub(crate) use windows::span;
