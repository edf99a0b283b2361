//! `write_stream`: from a streaming `DataFrame` to a running query.
use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{Schema, SchemaRef},
    execution::context::SessionState,
    prelude::DataFrame,
};
use millstream_checkpoint::{CheckpointDir, Faults, storage};
use millstream_connectors::{
    console::ConsoleOutput,
    options::Options,
    registry::{self, SinkRequest},
};
use millstream_engine::{
    EngineError,
    plan::OutputMode,
    query::{CheckpointLocation, QuerySettings, QuerySpec, StreamingQuery, Trigger},
    sink::Sink,
    time::SystemClock,
};

use crate::{
    Error, ForeachBatch, ForeachWriter, Result,
    foreach::ForeachSink,
    foreach_batch::ForeachBatchSink,
    streams::{Streams, parallelism, settings},
};

/// Name of the option that says where the query remembers.
const CHECKPOINT_LOCATION: &str = "checkpointLocation";

/// Where rows go.
#[derive(Debug)]
enum Target {
    /// A format and its options.
    Format(String),
    /// Code of the program.
    Program(Arc<dyn Sink>),
}

/// Describes a query. Options have Spark's names and meaning.
#[derive(Debug)]
pub struct DataStreamWriter {
    frame: DataFrame,
    target: Target,
    options: Options,
    path: Option<String>,
    partition_by: Vec<String>,
    output_mode: OutputMode,
    trigger: Trigger,
    name: Option<String>,
}

impl DataStreamWriter {
    pub(crate) fn new(frame: DataFrame) -> Self {
        Self {
            frame,
            target: Target::Format("parquet".to_string()),
            options: Options::new(),
            path: None,
            partition_by: vec![],
            output_mode: OutputMode::default(),
            trigger: Trigger::default(),
            name: None,
        }
    }

    /// Where rows go: `console`, `memory`, `noop`, or a format of files. Default `parquet`.
    pub fn format(mut self, format: impl Into<String>) -> Self {
        self.target = Target::Format(format.into());
        self
    }

    /// Hands every batch to `function`, as a static `DataFrame` and the batch's number. At least once: a batch that was
    /// not committed comes again, with the same rows and number.
    ///
    /// ```
    /// # use datafusion::error::DataFusionError;
    /// # use datafusion::prelude::*;
    /// # use millstream::prelude::*;
    /// # #[tokio::main]
    /// # async fn main() -> millstream::Result<()> {
    /// # let ctx = SessionContext::new();
    /// # let ticks = ctx.read_stream("rate-micro-batch").option("rowsPerBatch", 4).load().await?;
    /// let query = ticks
    ///     .write_stream()
    ///     .foreach_batch(|batch: DataFrame, batch_id| async move {
    ///         println!("batch {batch_id}: {} rows", batch.count().await?);
    ///         Ok::<_, DataFusionError>(())
    ///     })
    ///     .trigger(Trigger::Once)
    ///     .start()
    ///     .await?;
    /// # query.await_termination(None).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn foreach_batch(mut self, function: impl ForeachBatch) -> Self {
        let (session, _) = self.frame.clone().into_parts();
        self.target = Target::Program(Arc::new(ForeachBatchSink::new(function, session)));
        self
    }

    /// Hands the rows of every partition of every batch to a clone of `writer`. At least once.
    pub fn foreach(mut self, writer: impl ForeachWriter) -> Self {
        self.target = Target::Program(Arc::new(ForeachSink::new(writer)));
        self
    }

    /// Sets an option of the sink, or `checkpointLocation`.
    pub fn option(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.options.insert(name, value.to_string());
        self
    }

    /// The folder to write to, for sinks of files.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Columns that become folders, for sinks of files.
    pub fn partition_by<N: Into<String>>(mut self, columns: impl IntoIterator<Item = N>) -> Self {
        self.partition_by = columns.into_iter().map(Into::into).collect();
        self
    }

    /// What a batch's rows mean. Default [`OutputMode::Append`].
    pub fn output_mode(mut self, mode: OutputMode) -> Self {
        self.output_mode = mode;
        self
    }

    /// When batches start. Default: as soon as there are rows.
    pub fn trigger(mut self, trigger: Trigger) -> Self {
        self.trigger = trigger;
        self
    }

    /// A name, unique among the context's active queries; of the table, for the memory sink.
    pub fn query_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Starts the query.
    ///
    /// # Errors
    /// The plan cannot run as a stream or in this output mode, the sink refuses, the name or the checkpoint is in use,
    /// or the checkpoint cannot be opened. What goes wrong later ends the query, see [`StreamingQuery::exception`].
    pub async fn start(self) -> Result<StreamingQuery> {
        let sink = self.sink().await?;
        let checkpoint = self.checkpoint().await?;
        let (mut state, plan) = self.frame.into_parts();
        // States that are built from this one share its catalogs; they must not put a new, empty default in.
        let config = state
            .config()
            .clone()
            .with_create_default_catalog_and_schema(false);
        *state.config_mut() = config;
        let streams = Streams::of_frame(&state)?;
        let parallelism = parallelism(&state);
        let spec = QuerySpec {
            name: self.name,
            schema: Arc::new(Schema::clone(plan.schema().as_arrow())),
            plan,
            sink,
            output_mode: self.output_mode,
            trigger: self.trigger,
            checkpoint,
            settings: QuerySettings {
                parallelism,
                state_partitions: parallelism,
                ..Default::default()
            },
            session: state,
            clock: Arc::new(SystemClock),
            faults: Faults::none(),
            stop_active_run: true,
        };
        Ok(streams.manager.start(spec).await?)
    }

    async fn sink(&self) -> Result<Arc<dyn Sink>> {
        let format = match &self.target {
            Target::Format(format) => format,
            Target::Program(sink) => return Ok(Arc::clone(sink)),
        };
        let (state, plan) = self.frame.clone().into_parts();
        let streams = Streams::of_frame(&state)?;
        let schema: SchemaRef = Arc::new(Schema::clone(plan.schema().as_arrow()));
        let request = SinkRequest {
            options: self.options.clone(),
            path: self.path.clone(),
            partition_by: self.partition_by.clone(),
            schema,
            output_mode: self.output_mode,
            query_name: self.name.clone(),
            settings: settings(&state),
            memory_tables: streams.memory_tables.clone(),
            console: ConsoleOutput::default(),
            clock: Arc::new(SystemClock),
        };
        let sink = registry::sink(format, &request).await?;
        if format.eq_ignore_ascii_case("memory") {
            self.publish_memory_table(&state, &streams)?;
        }
        Ok(sink)
    }

    /// Makes the memory sink's table one of the context.
    fn publish_memory_table(&self, state: &SessionState, streams: &Streams) -> Result<()> {
        let table = self
            .name
            .as_deref()
            .and_then(|name| streams.memory_tables.get(name));
        if let Some(table) = table {
            let name = self.name.as_deref().unwrap_or_default();
            let schema = state.schema_for_ref(name)?;
            schema.deregister_table(name)?;
            schema.register_table(name.to_string(), table)?;
        }
        Ok(())
    }

    async fn checkpoint(&self) -> Result<CheckpointLocation> {
        if let Some(url) = self.options.get(CHECKPOINT_LOCATION) {
            let location = CheckpointLocation {
                url: url.to_string(),
                temporary: false,
            };
            self.refuse_forgotten_rows(&location).await?;
            return Ok(location);
        }
        if let Target::Format(format) = &self.target
            && registry::needs_checkpoint_location(format)?
        {
            return Err(Error::CheckpointLocationRequired {
                format: format.clone(),
            });
        }
        // The engine deletes the folder when the query stops.
        let folder = tempfile::Builder::new()
            .prefix("millstream-checkpoint-")
            .tempdir()
            .map_err(Error::TemporaryCheckpoint)?
            .keep();
        Ok(CheckpointLocation {
            url: folder.display().to_string(),
            temporary: true,
        })
    }

    /// A sink that starts empty must not continue a query of which it has lost the output.
    async fn refuse_forgotten_rows(&self, location: &CheckpointLocation) -> Result<()> {
        let Target::Format(format) = &self.target else {
            return Ok(());
        };
        if registry::recovers(format, self.output_mode)? {
            return Ok(());
        }
        let root = storage::open(&location.url).map_err(EngineError::Storage)?;
        let begun = CheckpointDir::new(root, Faults::none())
            .offsets()
            .latest_id()
            .await;
        match begun.map_err(EngineError::Checkpoint)? {
            None => Ok(()),
            Some(_) => Err(Error::NotRecoverable {
                format: format.clone(),
                location: location.url.clone(),
            }),
        }
    }
}
