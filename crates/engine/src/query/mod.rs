//! The life of a streaming query.
//!
//! | module | owns |
//! |---|---|
//! | [`manager`](StreamingQueryManager) | the queries of a session: start, names, awaiting any, listeners |
//! | [`handle`](StreamingQuery) | what everybody but the loop sees of a query |
//! | `run` | the micro-batch loop of one run: recovery, triggers, batches, the end |
//! | `construct` | deciding whether there is a next batch, and recording it |
//! | `execute` | running a recorded batch and committing it |
//! | `maintenance` | snapshots and deletion of old state beside the batches |
//! | `repartition` | giving state another number of partitions |
//! | `state` | which state store provider, and its local folder |
//! | `trigger` | when batches start |
//! | `progress` | what is reported of each |
//!
//! A query has an id, which its checkpoint keeps, and every start of it is a run with an id of its own. One task, the loop,
//! owns the run's logs, sources and sink. Handles send it wishes (stop, tell me when idle) and read snapshots that it
//! publishes, so nobody ever waits for a batch to learn how a query is doing.
mod construct;
mod execute;
mod handle;
mod listener;
mod maintenance;
mod manager;
mod operators;
mod output;
mod progress;
mod rehearsal;
mod repartition;
mod run;
mod settings;
mod shared;
mod spec;
mod state;
mod trigger;

pub use handle::StreamingQuery;
pub use listener::{ListenerId, StreamingQueryEvent, StreamingQueryListener};
pub use manager::{ActiveQueries, AnyTermination, StreamingQueryManager};
pub use progress::{
    EventTimeProgress, SinkProgress, SourceProgress, StateOperatorProgress, StreamingQueryProgress,
};
pub use rehearsal::{RestartReport, rehearse};
pub use settings::QuerySettings;
pub use shared::{QueryFailure, StreamingQueryStatus};
pub use spec::{CheckpointLocation, QuerySpec};
pub use state::{LocalStateSettings, StateProvider, UnknownStateProvider};
pub use trigger::Trigger;

#[cfg(test)]
mod tests;
