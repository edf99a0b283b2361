//! Streaming aggregation: `groupBy(keys…).agg(…)` whose groups live longer than a batch.
//!
//! ```text
//!   rows ─► AggregateExec(Partial) ─► ExchangeExec ─► StateAggregateExec ─► groups, by output mode
//!           one row per group seen     by key            │        ▲
//!           and input partition                          ▼        │
//!                                                   state store: key ─► accumulator state
//! ```
//!
//! A batch first aggregates what it brought (DataFusion's partial aggregation), so that the rest costs what the number
//! of *touched* groups costs. The state of those groups is read once, merged ahead of the batch's own partial
//! state (first and last depend on that order), and written back; all access is batched.
//!
//! # State
//!
//! One default store per state partition. Key: the grouping columns; value: the state columns of the
//! aggregates, in the order of the select list. A time window is two key columns, start and end, and end is the
//! store's event-time column, so that eviction drops whole windows. An aggregation without keys has one entry.
//!
//! Over grouping sets the number of the set is one more key column (`sets.rs`). Groups of a set that leaves event time out are
//! never late and never evicted.
//!
//! A sliding window is grouped by pane first and by window before the exchange (`operator/sliding`); a session window is an operator
//! of its own (`operator/session`).
//!
//! # Output modes
//!
//! | mode | rows out | late rows | eviction |
//! |---|---|---|---|
//! | update | groups that the batch touched | dropped | silent, after the output |
//! | append | groups that fall behind the watermark, once and final | dropped | is the output |
//! | complete | all groups | kept | none |
//!
//! Late means at or below the previous batch's watermark, evicted at or below the current one's.
//!
//! # Crash
//!
//! State is committed before the first row of a partition is handed on. A batch that dies earlier leaves its version as
//! it was; one that dies later is run again from the same version and overwrites what it wrote with the same.
pub(in crate::operator) mod accumulators;
mod exec;
pub(in crate::operator) mod groups;
pub(in crate::operator) mod keys;
mod node;
pub(in crate::operator) mod partial;
mod sets;
pub(crate) mod window_key;

pub use exec::StateAggregateExec;
pub(in crate::operator) use exec::micros_since;
pub use node::StatefulAggregateNode;
pub(in crate::operator) use node::results_of;
pub(in crate::operator) use window_key::{WINDOW_KEY, join_window};
