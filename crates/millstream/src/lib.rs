//! Structured Streaming for DataFusion: streams are read into `DataFrame`s and written from them.
//!
//! There is no DataFrame API of our own. A [`SessionContext`](datafusion::prelude::SessionContext) and its
//! [`DataFrame`](datafusion::prelude::DataFrame)s get three verbs from two traits: [`StreamingContext::read_stream`],
//! [`StreamingFrame::with_watermark`] and [`StreamingFrame::write_stream`]. What lies between them is DataFusion.
//!
//! ```
//! use datafusion::prelude::*;
//! use millstream::prelude::*;
//!
//! # #[tokio::main]
//! # async fn main() -> millstream::Result<()> {
//! let ctx = SessionContext::new();
//! let ticks = ctx.read_stream("rate-micro-batch").option("rowsPerBatch", 10).load().await?;
//! let query = ticks
//!     .filter(col("value").lt(lit(3)))?
//!     .write_stream()
//!     .format("memory")
//!     .query_name("small")
//!     .trigger(Trigger::Once)
//!     .start()
//!     .await?;
//! query.await_termination(None).await?;
//! assert_eq!(ctx.table("small").await?.count().await?, 3);
//! # Ok(())
//! # }
//! ```
//!
//! A query runs on the tokio runtime on which it is started, which must be a multi-threaded one for plans to use more
//! than one core. Where it stands is in its checkpoint: a program that starts the same query with the same
//! `checkpointLocation` goes on where it stopped, or where it was killed.
//!
//! Spark programs need none of this: the `millstream` binary of this crate runs them as they are.
mod error;
mod foreach;
mod foreach_batch;
mod frame;
mod reader;
mod streams;
mod writer;

pub use millstream_checkpoint as checkpoint;
pub use millstream_connectors as connectors;
pub use millstream_engine as engine;
pub use millstream_spark as spark;

pub use error::{Error, Result};
pub use foreach::ForeachWriter;
pub use foreach_batch::ForeachBatch;
pub use frame::StreamingFrame;
pub use millstream_engine::{
    plan::OutputMode,
    query::{
        StreamingQuery, StreamingQueryEvent, StreamingQueryListener, StreamingQueryManager,
        StreamingQueryProgress, StreamingQueryStatus, Trigger,
    },
};
pub use reader::DataStreamReader;
pub use streams::StreamingContext;
pub use writer::DataStreamWriter;

/// What a program imports.
pub mod prelude {
    pub use crate::{
        ForeachBatch, ForeachWriter, OutputMode, StreamingContext, StreamingFrame, StreamingQuery,
        Trigger,
    };
}
