//! Streaming aggregation by session: `groupBy(keys…, session_window(time, gap)).agg(…)`.
//!
//! ```text
//!   rows ─► AggregateExec(Partial) ─► ExchangeExec ─► SessionAggregateExec ─► sessions, by output mode
//!           one row per key, time       by key,         │          ▲
//!           and end of its own          not session     ▼          │
//!           session                          state store: key, session ─► accumulator state
//! ```
//!
//! A row opens a session of its own, from its time to its time plus the gap. The sessions of a key that overlap or touch are
//! one (`time/sessions.rs`). A batch reads the sessions that its keys have in state, puts its own among them
//! in the order of their starts, merges, and writes those that changed. Accumulator state is merged in that order, so
//! that first and last follow event time.
//!
//! # State
//!
//! One default store per state partition. Key: the other grouping columns, then start and end of the session; value: the state
//! columns of the aggregates. The other columns are the store's prefix, so that a batch finds the sessions of a key without
//! looking at any other key's; the end is its event-time column. A session that grows is another entry: the old one is
//! deleted in the same commit.
//!
//! # Output modes
//!
//! | mode | rows out | late rows | eviction |
//! |---|---|---|---|
//! | append | sessions that end at or before the watermark, once and final | dropped | is the output |
//! | complete | all sessions | dropped, as in Spark | none |
//!
//! Update mode is refused before a query starts: sessions that merge would have to be taken back.
//!
//! A row is late by the end of its own session: one that could still extend an open session, or open one that the
//! watermark has not passed, is taken, however old the session it joins.
//!
//! # Crash
//!
//! As any stateful operator: state is committed before the first row of a partition is handed on.
mod exec;
mod merge;
mod node;
#[cfg(test)]
mod tests;

pub use exec::SessionAggregateExec;
pub use node::SessionAggregateNode;
pub(crate) use node::session_key;
