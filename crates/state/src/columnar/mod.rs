//! The columnar log.
mod arena;
mod buckets;
mod compaction;
mod index;
mod keys;
mod load;
mod prefix;
mod provider;
mod segment;
mod snapshot;
pub(crate) mod state;
mod store;

pub use provider::{ColumnarLogOptions, ColumnarLogProvider, MonotonicClock};
