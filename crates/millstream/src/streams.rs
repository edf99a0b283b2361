//! A context's streaming side: its queries and the tables of its memory sinks.
//!
//! It hangs on the `SessionConfig` as an extension, added when the context is first used for streaming, so that the
//! `DataFrame`s made from then on carry it to [`write_stream`](crate::StreamingFrame::write_stream).
use std::sync::{Arc, LazyLock};

use datafusion::{execution::context::SessionState, prelude::SessionContext};
use millstream_connectors::{memory::MemoryTables, settings::ConnectorSettings};
use millstream_engine::query::{ActiveQueries, StreamingQueryManager};
use tokio::runtime::Handle;

use crate::{DataStreamReader, Error, Result};

/// The queries of the whole process, so that no checkpoint has two writers.
static ACTIVE: LazyLock<Arc<ActiveQueries>> = LazyLock::new(Arc::default);

/// The streaming side of one context.
#[derive(Debug)]
pub(crate) struct Streams {
    pub manager: StreamingQueryManager,
    pub memory_tables: MemoryTables,
}

impl Streams {
    fn on_this_runtime() -> Result<Self> {
        let runtime = Handle::try_current().map_err(|_| Error::NoRuntime)?;
        Ok(Self {
            manager: StreamingQueryManager::new(runtime, Arc::clone(&ACTIVE)),
            memory_tables: MemoryTables::default(),
        })
    }

    /// Those of `context`, made now if need be.
    pub fn of(context: &SessionContext) -> Result<Arc<Self>> {
        let state = context.state_ref();
        let mut state = state.write();
        match state.config().get_extension::<Self>() {
            Some(streams) => Ok(streams),
            None => {
                let streams = Arc::new(Self::on_this_runtime()?);
                state.config_mut().set_extension(Arc::clone(&streams));
                Ok(streams)
            }
        }
    }

    /// Those of the context that a `DataFrame` was made in. Without a streaming source in it there may be none.
    pub fn of_frame(state: &SessionState) -> Result<Arc<Self>> {
        match state.config().get_extension::<Self>() {
            Some(streams) => Ok(streams),
            None => Self::on_this_runtime().map(Arc::new),
        }
    }
}

/// What connectors get to know from a DataFusion session.
pub(crate) fn settings(state: &SessionState) -> ConnectorSettings {
    ConnectorSettings {
        parallelism: parallelism(state),
        ..Default::default()
    }
}

/// Threads that a batch may use: DataFusion's `target_partitions`.
pub(crate) fn parallelism(state: &SessionState) -> usize {
    state.config().target_partitions().max(1)
}

/// Streaming for a [`SessionContext`].
pub trait StreamingContext {
    /// Starts to describe a stream: `ctx.read_stream("json").option("path", "in").load()`.
    fn read_stream(&self, format: impl Into<String>) -> DataStreamReader;

    /// The context's queries: which are active, waiting for any to end, listeners.
    ///
    /// # Errors
    /// [`Error::NoRuntime`] if the context was not used for streaming before and there is no runtime here.
    fn streams(&self) -> Result<StreamingQueryManager>;
}

impl StreamingContext for SessionContext {
    fn read_stream(&self, format: impl Into<String>) -> DataStreamReader {
        DataStreamReader::new(self.clone(), format.into())
    }

    fn streams(&self) -> Result<StreamingQueryManager> {
        Ok(Streams::of(self)?.manager.clone())
    }
}
