//! Starting streaming queries: what `writeStream…start()` says, turned into a query of the engine.
//!
//! Everything that is wrong with the request itself is found before the query starts: its trigger, output mode, sink,
//! checkpoint location. What the engine refuses or fails with later is put into Spark's words by
//! [`query_error`](failure::query_error).
pub mod failure;
mod pinned;
mod rehearsal;
mod start;
mod state_store;
mod trigger;

pub use failure::query_error;
pub use rehearsal::{Rehearsal, Rehearsed};
pub use start::{StreamingEnvironment, StreamingInput, start};
pub use trigger::parse_interval_ms;
