//! The state log: the files that both providers write and load.
//!
//! A checkpoint's `state` folder holds, for every store, a delta for each version and a snapshot now and then
//! (`docs/formats/state.md`). It is the only durable form of state. What a provider keeps in memory or on the local
//! disk is derived from it, so a checkpoint written under one provider opens under the other.
//!
//! | module | owns |
//! |---|---|
//! | `files` | names, listing, retention |
//! | `load` | which files make up a version, and in which order they are replayed |
//! | `snapshot` | when a snapshot is due, and writing one piece by piece |
mod files;
mod load;
mod snapshot;

use arrow::array::RecordBatch;

pub(crate) use files::{Listing, StateLog, StoreFiles};
pub use files::{MonotonicClock, StateLogOptions};
pub(crate) use load::{FileContent, Loader, Replay};
pub(crate) use snapshot::{SnapshotProgress, SnapshotWriter};

/// What one commit changed: the content of a changelog file. To be applied in this order: evict, delete,
/// put.
#[derive(Debug, Clone)]
pub(crate) struct Changes {
    /// Everything with an event time up to this one is gone, except what `upserts` brings.
    pub(crate) evicted_through: Option<i64>,
    /// Keys removed one by one; storage key columns.
    pub(crate) tombstones: RecordBatch,
    /// Keys written, with their newest value, each once; storage entry columns.
    pub(crate) upserts: RecordBatch,
}
