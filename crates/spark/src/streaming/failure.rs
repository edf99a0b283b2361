//! What the engine says, in Spark's words: errors of `start()`, and how a query ended.
use millstream_checkpoint::CheckpointError;
use millstream_connectors::ConnectorError;
use millstream_engine::{EngineError, plan::UnsupportedOperation, query::QueryFailure};

use crate::error::{Exception, SparkError};

impl From<ConnectorError> for SparkError {
    fn from(error: ConnectorError) -> Self {
        let exception = Exception::of_class(error.exception());
        of_parts(
            exception,
            error.error_class(),
            &error.message_parameters(),
            error.to_string(),
        )
    }
}

impl From<UnsupportedOperation> for SparkError {
    fn from(error: UnsupportedOperation) -> Self {
        match &error {
            UnsupportedOperation::NoStreamingSource => {
                Self::analysis("WRITE_STREAM_NOT_ALLOWED", &[])
            }
            UnsupportedOperation::OutputMode { mode, operation } => Self::analysis(
                "STREAMING_OUTPUT_MODE.UNSUPPORTED_OPERATION",
                &[("outputMode", &mode.to_string()), ("operation", operation)],
            ),
            UnsupportedOperation::NonTimeWindow {
                windows,
                columns,
                specifications,
            } => Self::analysis(
                "NON_TIME_WINDOW_NOT_SUPPORTED_IN_STREAMING",
                &[
                    ("windowFunc", windows),
                    ("columnName", columns),
                    ("windowSpec", specifications),
                ],
            ),
            UnsupportedOperation::RedefinedWatermark => Self::analysis(
                "_LEGACY_ERROR_TEMP_3076",
                &[(
                    "config",
                    "spark.sql.streaming.statefulOperator.allowMultiple",
                )],
            ),
            UnsupportedOperation::StreamJoinWithoutEquality => Self::worded(
                Exception::Analysis,
                "_LEGACY_ERROR_TEMP_1181",
                None,
                &[],
                error.to_string(),
            ),
            UnsupportedOperation::GlobalSession => Self::analysis("_LEGACY_ERROR_TEMP_3068", &[]),
            UnsupportedOperation::MultipleEventTimeColumns { columns } => {
                // Ids are shown without the generation of the name.
                let shown = |column: &String| match column.split_once('#') {
                    Some((name, id)) => {
                        format!("{name}#{}", id.split_once('.').map_or(id, |(_, id)| id))
                    }
                    None => column.clone(),
                };
                let columns: Vec<String> = columns.iter().map(shown).collect();
                Self::analysis(
                    "MULTIPLE_EVENT_TIME_COLUMNS",
                    &[("eventTimeCols", &format!("({})", columns.join(",")))],
                )
            }
            UnsupportedOperation::NeverDone => Self::analysis(
                "UNSUPPORTED_STREAMING_OPERATOR_WITHOUT_WATERMARK",
                &[
                    ("outputMode", "Append"),
                    ("statefulOperator", "aggregations"),
                ],
            ),
            UnsupportedOperation::NotBuilt { .. } => Self::unsupported(&error),
            _ => Self::streaming_unsupported(&error),
        }
    }
}

impl From<EngineError> for SparkError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Unsupported(operation) => operation.into(),
            EngineError::Plan(cause) => cause.into(),
            EngineError::NameInUse { .. } => {
                Self::plain(Exception::IllegalArgument, error.to_string())
            }
            EngineError::AlreadyActive { .. } => {
                Self::plain(Exception::IllegalState, error.to_string())
            }
            other => cause_of(&other),
        }
    }
}

/// The error at the bottom of a failed query, as Spark would have thrown it.
pub fn cause_of(error: &EngineError) -> SparkError {
    if let Some(found) = crate::error::find(error) {
        return found;
    }
    // Transparent variants hide what they hold from `source()`.
    match error {
        EngineError::Checkpoint(checkpoint) => return of_checkpoint(checkpoint),
        EngineError::State(state) => return of_state(state),
        EngineError::Unsupported(operation) => return operation.clone().into(),
        // Its message says more than its source's.
        EngineError::Repartition { .. } => {
            return SparkError::plain(Exception::Spark, error.to_string());
        }
        EngineError::MissingState { planned } => {
            return SparkError::runtime(
                "STREAMING_STATEFUL_OPERATOR_MISSING_STATE_DIRECTORY",
                &[("OpsInCurBatchSeq", planned)],
            );
        }
        EngineError::OtherOperators { stored, planned } => {
            return SparkError::runtime(
                "STREAMING_STATEFUL_OPERATOR_NOT_MATCH_IN_STATE_METADATA",
                &[("OpsInMetadataSeq", stored), ("OpsInCurBatchSeq", planned)],
            );
        }
        _ => {}
    }
    let mut current: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = current {
        if let Some(found) = of_layer(cause) {
            return found;
        }
        current = next_cause(cause);
    }
    SparkError::plain(Exception::Spark, error.to_string())
}

/// The error of a layer below, if this is one.
pub(crate) fn of_layer(cause: &(dyn std::error::Error + 'static)) -> Option<SparkError> {
    if let Some(connector) = cause.downcast_ref::<ConnectorError>() {
        if let ConnectorError::Query(_) = connector {
            // What a sink was fed failed, not the sink.
            return None;
        }
        return Some(of_parts(
            Exception::of_class(connector.exception()),
            connector.error_class(),
            &connector.message_parameters(),
            connector.to_string(),
        ));
    }
    if let Some(format) = cause.downcast_ref::<millstream_connectors::format::FormatError>() {
        return Some(of_parts(
            Exception::Spark,
            Some(format.error_class()),
            &format.message_parameters(),
            format.to_string(),
        ));
    }
    if let Some(operation) = cause.downcast_ref::<UnsupportedOperation>() {
        return Some(operation.clone().into());
    }
    if let Some(checkpoint) = cause.downcast_ref::<millstream_checkpoint::CheckpointError>() {
        return Some(of_checkpoint(checkpoint));
    }
    cause
        .downcast_ref::<millstream_state::StateError>()
        .map(of_state)
}

/// What is inside an error. `source()` of DataFusion's and Arrow's wrappers skips it.
pub(crate) fn next_cause<'a>(
    cause: &'a (dyn std::error::Error + 'static),
) -> Option<&'a (dyn std::error::Error + 'static)> {
    use datafusion::common::DataFusionError;
    if let Some(ConnectorError::Query(inner)) = cause.downcast_ref() {
        return Some(inner);
    }
    match cause.downcast_ref::<DataFusionError>() {
        Some(DataFusionError::External(inner)) => Some(inner.as_ref()),
        Some(DataFusionError::Shared(inner)) => Some(inner.as_ref()),
        Some(DataFusionError::Context(_, inner)) => Some(inner.as_ref()),
        Some(DataFusionError::ArrowError(inner, _)) => Some(inner.as_ref()),
        _ => match cause.downcast_ref::<arrow::error::ArrowError>() {
            Some(arrow::error::ArrowError::ExternalError(inner)) => Some(inner.as_ref()),
            _ => cause.source(),
        },
    }
}

fn of_parts(
    exception: Exception,
    class: Option<&str>,
    parameters: &[(&'static str, String)],
    message: String,
) -> SparkError {
    let parameters: Vec<_> = parameters
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .collect();
    match class {
        Some(class) if SparkError::knows(class) => SparkError::new(exception, class, &parameters),
        // A condition without a template of ours: the layer below has worded it.
        Some(class) if class.starts_with("_LEGACY") => {
            SparkError::worded(exception, class, None, &parameters, message)
        }
        Some(class) => {
            let message = format!("[{class}] {message}");
            SparkError::worded(exception, class, None, &parameters, message)
        }
        None => SparkError::plain(exception, message),
    }
}

fn of_checkpoint(error: &millstream_checkpoint::CheckpointError) -> SparkError {
    let exception = match error.error_class() {
        Some("STREAMING_CHECKPOINT_MISSING_METADATA_FILE") => Exception::Runtime,
        _ => Exception::Spark,
    };
    let message = match error {
        // Spark asserts it.
        CheckpointError::SourceCountMismatch { .. } => format!("assertion failed: {error}"),
        _ => error.to_string(),
    };
    of_parts(
        exception,
        error.error_class(),
        &error.message_parameters(),
        message,
    )
}

fn of_state(error: &millstream_state::StateError) -> SparkError {
    use millstream_state::StateError;
    let schema = |class: &str, expected: &str, found: &str, key: bool| {
        let (stored, new) = if key {
            ("storedKeySchema", "newKeySchema")
        } else {
            ("storedValueSchema", "newValueSchema")
        };
        SparkError::new(
            Exception::Unsupported,
            class,
            &[(stored, found), (new, expected)],
        )
    };
    match error {
        StateError::KeySchemaMismatch {
            expected, found, ..
        } => schema(
            "STATE_STORE_KEY_SCHEMA_NOT_COMPATIBLE",
            expected,
            found,
            true,
        ),
        StateError::ValueSchemaMismatch {
            expected, found, ..
        } => schema(
            "STATE_STORE_VALUE_SCHEMA_NOT_COMPATIBLE",
            expected,
            found,
            false,
        ),
        other => SparkError::plain(Exception::Spark, other.to_string()),
    }
}

/// A failed query as `StreamingQueryException`: its cause, and where it stood.
pub fn query_error(failure: &QueryFailure) -> SparkError {
    let cause = cause_of(&failure.error);
    let message = format!(
        "[STREAM_FAILED] Query [id = {}, runId = {}] terminated with exception: {} SQLSTATE: XXKST\n{}",
        failure.id,
        failure.run_id,
        cause.message,
        describe(failure)
    );
    SparkError::worded(
        Exception::StreamingQuery,
        "STREAM_FAILED",
        Some("XXKST"),
        &[
            ("id", &failure.id.to_string()),
            ("runId", &failure.run_id.to_string()),
            ("message", &cause.message),
        ],
        message,
    )
}

fn describe(failure: &QueryFailure) -> String {
    let offsets = |of: &[(String, Option<String>)]| {
        let shown: Vec<_> = of
            .iter()
            .filter_map(|(source, at)| at.as_ref().map(|at| format!("{source}: {at}")))
            .collect();
        format!("{{{}}}", shown.join(", "))
    };
    format!(
        "=== Streaming Query ===\nIdentifier: {} [id = {}, runId = {}]\nCurrent Committed Offsets: {}\n\
         Current Available Offsets: {}\n\nCurrent State: ACTIVE\nThread State: RUNNABLE\n\nLogical Plan:\n{}\n",
        failure.name.as_deref().unwrap_or_default(),
        failure.id,
        failure.run_id,
        offsets(&failure.committed_offsets),
        offsets(&failure.available_offsets),
        failure.plan
    )
    .replace("Identifier:  [", "Identifier: [")
}
