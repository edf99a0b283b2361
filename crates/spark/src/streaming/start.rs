//! `writeStream…start()`.
use std::{path::PathBuf, sync::Arc};

use arrow::datatypes::SchemaRef;
use datafusion::{execution::SessionState, logical_expr::LogicalPlan};
use millstream_checkpoint::{CheckpointDir, Faults, storage};
use millstream_connectors::{
    console::ConsoleOutput,
    memory::MemoryTables,
    options::Options,
    registry::{self, SinkRequest},
    settings::ConnectorSettings,
};
use millstream_engine::{
    plan::{OutputMode, check, is_streaming},
    query::{CheckpointLocation, QuerySpec, StreamingQuery, StreamingQueryManager},
    sink::Sink,
    time::ClockRef,
};
use spark_connect_proto::{
    WriteStreamOperationStart, write_stream_operation_start::SinkDestination,
};
use uuid::Uuid;

use super::{Rehearsal, pinned::settings, trigger::trigger};
use crate::{
    conf::RuntimeConf,
    error::{Result, SparkError},
};

/// What queries need of the process.
#[derive(Debug, Clone)]
pub struct StreamingEnvironment {
    /// Threads that run plans.
    pub parallelism: usize,
    /// Processing time.
    pub clock: ClockRef,
    /// Fault points, for tests of crashes.
    pub faults: Faults,
    /// Where the console sink prints.
    pub console: ConsoleOutput,
    /// Folder for checkpoints that nobody asked to keep.
    pub temporary: PathBuf,
    /// Instead of starting queries, what would happen to a checkpoint is found out; nothing that is done has an effect.
    pub rehearsal: Option<Rehearsal>,
}

/// The query that is to be written, resolved.
#[derive(Debug)]
pub struct StreamingInput {
    /// Its plan.
    pub plan: LogicalPlan,
    /// Its columns under the names that users see.
    pub schema: SchemaRef,
    /// The session that plans it.
    pub session: SessionState,
    /// Threads that the query may keep busy.
    pub parallelism: usize,
    /// Confs as they are at the start: later changes do not reach a running query.
    pub conf: RuntimeConf,
    /// The same, as connectors know them.
    pub connectors: ConnectorSettings,
    /// Tables of the session's memory sinks.
    pub memory_tables: MemoryTables,
}

/// Checks the request and starts the query.
///
/// # Errors
/// Whatever is wrong with the request, in Spark's words.
pub async fn start(
    request: &WriteStreamOperationStart,
    input: StreamingInput,
    environment: &StreamingEnvironment,
    manager: &StreamingQueryManager,
) -> Result<StreamingQuery> {
    if !is_streaming(&input.plan)? {
        return Err(SparkError::analysis("WRITE_STREAM_NOT_ALLOWED", &[]));
    }
    let output_mode = output_mode(&request.output_mode)?;
    let trigger = trigger(request.trigger.as_ref())?;
    let name = Some(request.query_name.clone()).filter(|name| !name.is_empty());
    let format = sink_format(request, &input.conf)?;
    let options = Options::from_iter(
        request
            .options
            .iter()
            .map(|(key, value)| (key.clone(), value.clone())),
    );
    // Spark makes the sink before it checks the plan, and opens the checkpoint after.
    let sink = sink(
        request,
        &format,
        &options,
        output_mode,
        name.as_deref(),
        &input,
        environment,
    )
    .await?;
    let checkpoint =
        checkpoint_location(&format, &options, name.as_deref(), &input.conf, environment)?;
    let settings = settings(&input.conf, input.parallelism)?;
    let checked = async {
        check(&input.plan, output_mode, settings.checks)??;
        refuse_forgotten_output(&format, output_mode, &checkpoint).await
    };
    if let Err(refusal) = checked.await {
        return match &environment.rehearsal {
            Some(rehearsal) => {
                rehearsal
                    .instead_of_refusal(name, &checkpoint, refusal)
                    .await
            }
            None => Err(refusal),
        };
    }
    let spec = QuerySpec {
        name,
        plan: input.plan,
        schema: input.schema,
        session: input.session,
        sink,
        output_mode,
        trigger,
        checkpoint,
        settings,
        clock: Arc::clone(&environment.clock),
        faults: environment.faults.clone(),
        stop_active_run: input
            .conf
            .get_option("spark.sql.streaming.stopActiveRunOnRestart")
            .is_none_or(|value| value.trim().eq_ignore_ascii_case("true")),
    };
    if let Some(rehearsal) = &environment.rehearsal {
        return rehearsal.instead_of_start(spec, manager).await;
    }
    Ok(manager.start(spec).await?)
}

fn output_mode(text: &str) -> Result<OutputMode> {
    if text.is_empty() {
        return Ok(OutputMode::default());
    }
    text.parse().map_err(|_| {
        SparkError::illegal_argument("STREAMING_OUTPUT_MODE.INVALID", &[("outputMode", text)])
    })
}

fn sink_format(request: &WriteStreamOperationStart, conf: &RuntimeConf) -> Result<String> {
    if request.foreach_writer.is_some() || request.format.eq_ignore_ascii_case("foreach") {
        return Err(SparkError::unsupported(
            "the foreach sink with functions of a client",
        ));
    }
    if request.foreach_batch.is_some() || request.format.eq_ignore_ascii_case("foreachBatch") {
        return Err(SparkError::unsupported(
            "the foreachBatch sink with functions of a client",
        ));
    }
    if !request.clustering_column_names.is_empty() {
        return Err(SparkError::unsupported("clusterBy of a streaming query"));
    }
    match request.format.as_str() {
        "" => Ok(conf
            .get_option("spark.sql.sources.default")
            .unwrap_or_else(|| "parquet".to_string())),
        format => Ok(format.to_string()),
    }
}

async fn sink(
    request: &WriteStreamOperationStart,
    format: &str,
    options: &Options,
    output_mode: OutputMode,
    query_name: Option<&str>,
    input: &StreamingInput,
    environment: &StreamingEnvironment,
) -> Result<Arc<dyn Sink>> {
    let path = match &request.sink_destination {
        Some(SinkDestination::Path(path)) => Some(path.clone()),
        _ => None,
    };
    let request = SinkRequest {
        options: options.clone(),
        path,
        partition_by: request.partitioning_column_names.clone(),
        schema: Arc::clone(&input.schema),
        output_mode,
        query_name: query_name.map(str::to_string),
        settings: input.connectors.clone(),
        memory_tables: input.memory_tables.clone(),
        console: environment.console.clone(),
        clock: Arc::clone(&environment.clock),
    };
    Ok(registry::sink(format, &request).await?)
}

/// The checkpoint location: the option, else a folder below the conf's, else a temporary one where the sink allows it.
fn checkpoint_location(
    format: &str,
    options: &Options,
    name: Option<&str>,
    conf: &RuntimeConf,
    environment: &StreamingEnvironment,
) -> Result<CheckpointLocation> {
    const CONF: &str = "spark.sql.streaming.checkpointLocation";
    if let Some(url) = options.get("checkpointLocation") {
        return Ok(CheckpointLocation {
            url: url.to_string(),
            temporary: false,
        });
    }
    if let Some(root) = conf.get_option(CONF) {
        let folder = name.map_or_else(|| Uuid::new_v4().to_string(), str::to_string);
        return Ok(CheckpointLocation {
            url: format!("{}/{folder}", root.trim_end_matches('/')),
            temporary: false,
        });
    }
    if registry::needs_checkpoint_location(format)? {
        return Err(SparkError::analysis(
            "_LEGACY_ERROR_TEMP_1298",
            &[("config", CONF)],
        ));
    }
    let folder = environment
        .temporary
        .join(format!("temporary-{}", Uuid::new_v4()));
    Ok(CheckpointLocation {
        url: folder.to_string_lossy().into_owned(),
        temporary: true,
    })
}

/// A sink that keeps its output in memory cannot go on where another run stopped, unless every batch brings it all.
async fn refuse_forgotten_output(
    format: &str,
    output_mode: OutputMode,
    checkpoint: &CheckpointLocation,
) -> Result<()> {
    if registry::recovers(format, output_mode)? {
        return Ok(());
    }
    let root = storage::open(&checkpoint.url).map_err(millstream_engine::EngineError::Storage)?;
    let dir = CheckpointDir::new(root, Faults::none());
    let begun = dir
        .offsets()
        .latest_id()
        .await
        .map_err(millstream_engine::EngineError::Checkpoint)?;
    if begun.is_none() {
        return Ok(());
    }
    let path = format!("{}/offsets", checkpoint.url);
    Err(SparkError::analysis(
        "_LEGACY_ERROR_TEMP_1299",
        &[("checkpointPath", &path)],
    ))
}
