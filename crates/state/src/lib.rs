//! Keyed state of stateful operators: versioned, columnar, durable.
//!
//! A query keeps state per (operator, partition, store). Micro-batch N reads version N and its commit
//! writes version N+1; every version of the last hundred batches can be loaded again. The contract is
//! [`StateStore`]: Arrow batches of keys in, Arrow batches of values out.
//!
//! Two providers keep what the same files say. The columnar log ([`ColumnarLogProvider`], the default) holds all state in
//! memory: the batch of keys that a commit changed is at once the piece of memory that look-ups read and the changelog
//! file on disk. The LSM tree ([`LsmProvider`]) holds a bounded part in memory and the rest on the local disk.
//!
//! ```text
//!   key ──encode──► hash index ──► slot ──► (segment, row)
//!                                              │
//!        segments: immutable RecordBatches, one per commit until they are merged
//!        ┌──────────┐┌────┐┌────┐
//!        │ snapshot ││ +1 ││ +2 │ ...   == 40.snapshot, 41.delta, 42.delta
//!        └──────────┘└────┘└────┘
//! ```
//!
//! | module | owns |
//! |---|---|
//! | [`store`] | the contract |
//! | [`registry`] | which stores are loaded in this process, one owner at a time, maintenance |
//! | `log` | the files of a checkpoint's `state` folder: names, retention, loading |
//! | `columnar` | the columnar log: index, segments, undo, compaction |
//! | `lsm` | the LSM tree: local folder, write buffer, snapshots |
//! | `repartition` | moving rows to another number of partitions |
//! | `reader` | state of a checkpoint, read from outside its query |
//! | `format` | bytes of these files (`docs/formats/state.md`) |
//! | `schema` | types that state can hold and how they are compared |
//! | [`hash`] | Spark's `hash()` and `xxhash64()`, which place keys in partitions |
mod columnar;
mod columns;
#[cfg(test)]
mod contract;
mod error;
mod format;
pub mod hash;
mod log;
mod lsm;
mod reader;
pub mod registry;
mod repartition;
mod schema;
pub mod store;
#[cfg(test)]
mod testing;

pub use columnar::ColumnarLogProvider;
pub use error::StateError;
pub use format::StateCompression;
pub use log::{MonotonicClock, StateLogOptions};
pub use lsm::{LsmOptions, LsmProvider};
pub use reader::{StateChanges, StateReader};
pub use registry::{MaintenanceSummary, RegistryMetrics, StateRegistry, StateStoreGuard};
pub use repartition::{PartitionedStore, Repartitioned};
pub use store::{
    CommitSummary, CompactionTask, DEFAULT_STORE, FoundEntries, PrefixMatches, Result,
    SnapshotTask, StateLookup, StateMetrics, StateSchema, StateStore, StateStoreId,
    StateStoreProvider, StateStoreProviderRef,
};
