//! Sliding windows: a row belongs to every window that its time lies in.
//!
//! ```text
//!   alone            rows ─► SlidingWindowsExec ─► rows × windows
//!
//!   below an         rows ─► Partial, by pane ─► SlidingWindowsExec ─► PartialReduce, by window ─► …
//!   aggregation      one row per key and pane      panes × windows        one row per key and window
//! ```
//!
//! Grouped by a sliding window, a row would have to be aggregated once for each of its windows. Instead it is aggregated once, into
//! its pane (`time/windows.rs`), and the few panes of a batch are handed to their windows. What leaves the second
//! aggregation is what the first would have made of the multiplied rows, so exchange, state, late rows and figures are
//! those of any aggregation (`operator/aggregate`).
//!
//! Panes change the order in which values are added up. So they are used only where no order can be seen in the result (counts, extremes,
//! whole and decimal sums); a sum of fractions, a first or a list takes the long way.
//!
//! The operator keeps no state.
mod exec;
mod node;
mod pane;

pub use exec::SlidingWindowsExec;
pub use node::SlidingWindowsNode;
pub(in crate::operator) use pane::share_panes;
