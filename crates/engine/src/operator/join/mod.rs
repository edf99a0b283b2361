//! Joins of two streams: rows of both sides wait in state for rows of the other.
//!
//! ```text
//!   left  ─► keys apart ─► ExchangeExec ─┐
//!                          by key        ├─► SymmetricHashJoinExec ─► pairs, and rows without a match at last
//!   right ─► keys apart ─► ExchangeExec ─┘      │            ▲
//!                                               ▼            │
//!                                        state stores left, right: key, sequence ─► row
//! ```
//!
//! A batch's left rows look for matches in the right side's state and are stored; then its right rows look in the left side's
//! state, which has the new rows as well (a semi join takes them in the other order). A whole Arrow batch probes with one prefix
//! scan, the condition is evaluated on the columns that it reads (`pair.rs`), and rows are gathered for the pairs that it
//! accepts: an unmatched row costs a hash look-up.
//!
//! # What leaves state, and when
//!
//! What the condition says of time bounds how long a row must wait ([`StateBounds`]); without such a bound an inner join keeps
//! everything for ever. Rows are late by their own side's event time and the previous batch's watermark, and leave by the
//! current one. A row that a join preserves comes out with NULLs when it leaves without having found a match, or at once
//! if its own columns keep it from ever finding one. A semi join puts a left row out with its first match and forgets it.
//!
//! Rows whose NULLs keep them from matching do not get here where the join does not preserve them: the filter goes below
//! the join, and below the watermark. State itself finds NULL by NULL, as Spark's does: it shows in a full outer join,
//! which filters neither side, and there NULL keys match.
//!
//! # State
//!
//! Two stores per state partition, `left` and `right`; `layout.rs` has the columns. As a probe is a prefix scan and
//! eviction goes by an event-time column, both cost what they find.
//!
//! # Crash
//!
//! Both stores are committed before the first row of a partition is handed on. A crash between the two commits leaves one at
//! the new version; the batch, run again, opens both at the old one and writes the same.
mod bounds;
mod condition;
mod exec;
mod layout;
mod node;
mod pair;
mod run;
mod semi;
mod terms;

#[cfg(test)]
mod tests;

pub use bounds::{RangeBound, SideBound, StateBounds, bounds};
pub(crate) use condition::{gather_conditions, joins_streams};
pub use exec::SymmetricHashJoinExec;
pub use node::StreamJoinNode;
pub(crate) use node::UnnumberedJoin;
