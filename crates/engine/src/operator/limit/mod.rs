//! The limit of a stream: the first rows in the life of a query, not of a batch.
//!
//! ```text
//!   rows, any number of partitions ─► GlobalLimitExec ─► one partition
//!                                        │     ▲
//!                                        ▼     │
//!                                   state store: how many went through
//! ```
//!
//! Which rows these are is decided by the order in which a batch's partitions are numbered, and within a partition by
//! arrival. All partitions are read to their end, at the same time, also when the limit is reached: operators below must
//! commit their state, and watermarks below must see every row.
//!
//! # State
//!
//! One default store with one entry. Key: no columns; value: `rows`, a bigint. A batch that lets nothing through does not
//! write it.
//!
//! # Crash
//!
//! As for every operator: the count is durable before the first row leaves, and a batch that is run again starts from the
//! count it started from.
mod exec;
mod node;

pub use exec::GlobalLimitExec;
pub use node::GlobalLimitNode;
