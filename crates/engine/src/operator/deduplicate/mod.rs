//! Streaming deduplication: of the rows that share a key, the first to arrive goes through, once in the life of a query.
//!
//! ```text
//!   rows ─► ProjectionExec ─► ExchangeExec ─► StateDeduplicateExec ─► first arrivals
//!           key columns first     by key          │        ▲
//!                                                 ▼        │
//!                                             state store: the keys seen
//! ```
//!
//! A partition works in batches of a good size: the keys of a batch are looked up at once, of those that are not known the
//! first row of each key stays, and these keys are written.
//!
//! # State
//!
//! One default store per state partition. A time window among the key columns is two of them, start and end.
//!
//! | operator | key | value | evicts |
//! |---|---|---|---|
//! | `dedupe` | the key columns | none | by the event time among them; without one it keeps keys for ever |
//! | `dedupeWithinWatermark` | the key columns, then `expiresAtMicros` | none | by `expiresAtMicros` |
//!
//! `expiresAtMicros` is the event time of the key's first row plus the delay threshold; later duplicates do not
//! move it. It stands behind the key so that one ordered index serves eviction, and is left out of look-ups, which go by the
//! columns before it. A NULL event time counts as the epoch there, and as never among the keys of `dedupe`.
//!
//! # Late rows
//!
//! If the input has an event-time column, in the key or not, rows at or below the previous batch's watermark are dropped before
//! anything else. A column that nobody above reads does not count: the optimizer removes it, here as in Spark.
//!
//! # Crash
//!
//! State is committed before the first row of a partition is handed on. A batch that dies earlier leaves its version as
//! it was; one that dies later is run again from the same version and overwrites what it wrote with the same.
mod exec;
mod node;
mod seen;
#[cfg(test)]
mod tests;

pub use exec::StateDeduplicateExec;
pub use node::{DeduplicateNode, StatefulDeduplicateNode};
