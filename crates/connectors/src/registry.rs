//! From the name in `format("…")` to a connector, and what is to be known about a format before
//! that.
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use millstream_engine::{plan::OutputMode, sink::Sink, source::SourceDefinition, time::ClockRef};

use crate::{
    console::{self, ConsoleOptions, ConsoleOutput, ConsoleSink, TableText},
    error::ConnectorError,
    file::{FileDefinition, FileSink},
    memory::{MemorySink, MemoryTables},
    noop::NoopSink,
    options::Options,
    rate::{RateDefinition, RateOptions},
    rate_micro_batch::{RateMicroBatchDefinition, RateMicroBatchOptions},
    settings::ConnectorSettings,
    socket::{SocketDefinition, SocketOptions},
    unwritable::UnwritableSink,
};

/// What `readStream…load()` says.
#[derive(Debug, Clone)]
pub struct SourceRequest {
    /// Format name, in any case.
    pub format: String,
    /// Options as given.
    pub options: Options,
    /// Paths given to `load`.
    pub paths: Vec<String>,
    /// Schema given by the user.
    pub user_schema: Option<SchemaRef>,
    /// What the session decides.
    pub settings: ConnectorSettings,
}

/// What `writeStream…start()` says.
#[derive(Debug, Clone)]
pub struct SinkRequest {
    /// Options as given.
    pub options: Options,
    /// Path given to `start`.
    pub path: Option<String>,
    /// Names given to `partitionBy`.
    pub partition_by: Vec<String>,
    /// Columns of the query's result.
    pub schema: SchemaRef,
    /// Output mode of the query.
    pub output_mode: OutputMode,
    /// Name of the query.
    pub query_name: Option<String>,
    /// What the session decides.
    pub settings: ConnectorSettings,
    /// The session's memory tables.
    pub memory_tables: MemoryTables,
    /// Where the console sink prints.
    pub console: ConsoleOutput,
    /// The time, for the retention of file sinks.
    pub clock: ClockRef,
}

/// What a format can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Socket,
    Rate,
    RateMicroBatch,
    Console,
    Memory,
    Noop,
    File(&'static str),
}

/// Formats of files, as users may name them.
const FILE_FORMATS: [&str; 6] = ["json", "csv", "text", "parquet", "orc", "binaryfile"];

fn find(format: &str) -> Result<Format, ConnectorError> {
    let name = format.to_ascii_lowercase();
    if let Some(file) = FILE_FORMATS.into_iter().find(|known| *known == name) {
        return Ok(Format::File(file));
    }
    let provider = format.to_owned();
    match name.as_str() {
        "socket" => Ok(Format::Socket),
        "rate" => Ok(Format::Rate),
        "rate-micro-batch" => Ok(Format::RateMicroBatch),
        "console" => Ok(Format::Console),
        "memory" => Ok(Format::Memory),
        "noop" => Ok(Format::Noop),
        "kafka" => Err(ConnectorError::KafkaNotEnabled { provider }),
        "avro" => Err(ConnectorError::AvroNotEnabled { provider }),
        "xml" => Err(ConnectorError::Unsupported {
            feature: "the data source xml".to_owned(),
        }),
        _ => Err(ConnectorError::DataSourceNotFound { provider }),
    }
}

/// Whether the format exists at all, as a source or a sink, streaming or not.
///
/// # Errors
/// [`ConnectorError::DataSourceNotFound`] and its kin.
pub fn check_format(format: &str) -> Result<(), ConnectorError> {
    if is_batch_only(format) {
        Ok(())
    } else {
        find(format).map(drop)
    }
}

/// Formats that Spark has for batch queries only.
fn is_batch_only(format: &str) -> bool {
    matches!(
        format.to_ascii_lowercase().as_str(),
        "jdbc" | "statestore" | "state-metadata"
    )
}

/// Whether the format reads the state of a checkpoint: in batch, by [`crate::statestore::table`].
pub fn is_state_format(format: &str) -> bool {
    matches!(
        format.to_ascii_lowercase().as_str(),
        "statestore" | "state-metadata"
    )
}

/// Whether the format is one of files: readable in batch, with paths.
pub fn is_file_format(format: &str) -> bool {
    matches!(find(format), Ok(Format::File(_)))
}

/// The output modes in which the sink works.
///
/// # Errors
/// If there is no such sink.
pub fn output_modes(format: &str) -> Result<&'static [OutputMode], ConnectorError> {
    Ok(match sink_format(format)? {
        Format::File(_) => &[OutputMode::Append],
        _ => &[OutputMode::Append, OutputMode::Update, OutputMode::Complete],
    })
}

/// Whether a query to this sink must say where its checkpoint is. Others may keep it in a temporary
/// folder.
///
/// # Errors
/// If there is no such sink.
pub fn needs_checkpoint_location(format: &str) -> Result<bool, ConnectorError> {
    Ok(matches!(sink_format(format)?, Format::File(_)))
}

/// Whether a query to this sink can go on from an existing checkpoint. The memory sink only can
/// when every batch brings the whole result.
///
/// # Errors
/// If there is no such sink.
pub fn recovers(format: &str, mode: OutputMode) -> Result<bool, ConnectorError> {
    let forgets = matches!(sink_format(format)?, Format::Memory);
    Ok(!forgets || mode == OutputMode::Complete)
}

fn sink_format(format: &str) -> Result<Format, ConnectorError> {
    let refused = || ConnectorError::NotStreamable {
        class_name: format.to_owned(),
        operator: "writing",
    };
    if is_batch_only(format) {
        return Err(refused());
    }
    match find(format)? {
        Format::Socket | Format::Rate | Format::RateMicroBatch | Format::File("binaryfile") => {
            Err(refused())
        }
        sink => Ok(sink),
    }
}

/// Describes a streaming source. Nothing is opened, except that files may be looked at for their
/// schema.
///
/// # Errors
/// If there is no such source, or its options are wrong.
pub async fn source(request: &SourceRequest) -> Result<Arc<dyn SourceDefinition>, ConnectorError> {
    let format = request.format.as_str();
    let refused = || ConnectorError::NotStreamable {
        class_name: format.to_owned(),
        operator: "reading",
    };
    if is_batch_only(format) {
        return Err(refused());
    }
    let options = &request.options;
    Ok(match find(format)? {
        Format::Socket => {
            refuse_schema(request, "TextSocketSourceProvider")?;
            Arc::new(SocketDefinition::new(SocketOptions::parse(options)?))
        }
        Format::Rate => {
            refuse_schema(request, "RateStreamProvider")?;
            Arc::new(RateDefinition::new(RateOptions::parse(options)?))
        }
        Format::RateMicroBatch => {
            refuse_schema(request, "RatePerMicroBatchProvider")?;
            Arc::new(RateMicroBatchDefinition::new(RateMicroBatchOptions::parse(
                options,
            )?))
        }
        Format::Memory => {
            // The memory source of Spark exists in its own tests only.
            return Err(ConnectorError::DataSourceNotFound {
                provider: format.to_owned(),
            });
        }
        Format::Console | Format::Noop => return Err(refused()),
        Format::File(_) => Arc::new(FileDefinition::resolve(request).await?),
    })
}

fn refuse_schema(request: &SourceRequest, provider: &'static str) -> Result<(), ConnectorError> {
    match request.user_schema {
        Some(_) => Err(ConnectorError::UserSchema { provider }),
        None => Ok(()),
    }
}

/// Makes a streaming sink.
///
/// # Errors
/// If there is no such sink, it does not take the output mode, or its options are wrong.
pub async fn sink(format: &str, request: &SinkRequest) -> Result<Arc<dyn Sink>, ConnectorError> {
    if !output_modes(format)?.contains(&request.output_mode) {
        return Err(ConnectorError::OutputMode {
            output_mode: request.output_mode.to_string(),
            class_name: format.to_owned(),
        });
    }
    check_partition_columns(request)?;
    Ok(match sink_format(format)? {
        Format::Console => console(request),
        Format::Memory => {
            let name = request
                .query_name
                .as_deref()
                .ok_or(ConnectorError::QueryNameRequired)?;
            let table = request
                .memory_tables
                .create(name, Arc::clone(&request.schema));
            Arc::new(MemorySink::new(table))
        }
        Format::File(_) => FileSink::open(format, request)?,
        _ => Arc::new(NoopSink),
    })
}

fn console(request: &SinkRequest) -> Arc<dyn Sink> {
    let options = match ConsoleOptions::parse(&request.options) {
        Ok(options) => options,
        Err(error) => {
            let description = console::DESCRIPTION.to_owned();
            return Arc::new(UnwritableSink::new(description, true, error));
        }
    };
    let table = TableText {
        num_rows: options.num_rows,
        truncate: match options.truncate {
            true => ConsoleOptions::CELL_LENGTH_MAX,
            false => 0,
        },
        vertical: false,
        zone: request.settings.format.time_zone,
    };
    let schema = Arc::clone(&request.schema);
    Arc::new(ConsoleSink::new(schema, table, request.console.clone()))
}

fn check_partition_columns(request: &SinkRequest) -> Result<(), ConnectorError> {
    let case_sensitive = request.settings.format.case_sensitive;
    for column in &request.partition_by {
        let same = |name: &str| {
            if case_sensitive {
                name == column
            } else {
                name.eq_ignore_ascii_case(column)
            }
        };
        if !request
            .schema
            .fields()
            .iter()
            .any(|field| same(field.name()))
        {
            let names: Vec<_> = request
                .schema
                .fields()
                .iter()
                .map(|field| field.name().as_str())
                .collect();
            return Err(ConnectorError::PartitionColumnNotFound {
                column: column.clone(),
                columns: names.join(", "),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refused(format: &str, user_schema: Option<SchemaRef>) -> ConnectorError {
        let request = SourceRequest {
            format: format.to_owned(),
            options: Options::new(),
            paths: vec![],
            user_schema,
            settings: ConnectorSettings::default(),
        };
        source(&request).await.map(drop).unwrap_err()
    }

    #[tokio::test]
    async fn formats_that_cannot_be_read_as_streams_are_refused_in_sparks_words() {
        for (format, class, exception) in [
            (
                "nosuch",
                "DATA_SOURCE_NOT_FOUND",
                "org.apache.spark.SparkClassNotFoundException",
            ),
            (
                "memory",
                "DATA_SOURCE_NOT_FOUND",
                "org.apache.spark.SparkClassNotFoundException",
            ),
            (
                "jdbc",
                "_LEGACY_ERROR_TEMP_2049",
                "org.apache.spark.SparkUnsupportedOperationException",
            ),
            (
                "console",
                "_LEGACY_ERROR_TEMP_2049",
                "org.apache.spark.SparkUnsupportedOperationException",
            ),
            (
                "Kafka",
                "KAFKA_DATA_SOURCE_NOT_ENABLED",
                "org.apache.spark.sql.AnalysisException",
            ),
            (
                "avro",
                "AVRO_DATA_SOURCE_NOT_ENABLED",
                "org.apache.spark.sql.AnalysisException",
            ),
        ] {
            let error = refused(format, None).await;
            assert_eq!(error.error_class(), Some(class), "{format}");
            assert_eq!(error.exception(), exception, "{format}");
            assert!(error.to_string().contains(format), "{error}");
        }
        let schema = Arc::new(arrow::datatypes::Schema::empty());
        assert_eq!(
            refused("rate", Some(schema)).await.to_string(),
            "RateStreamProvider source does not support user-specified schema."
        );
    }

    #[test]
    fn sinks_say_what_they_need() {
        use OutputMode::{Append, Complete, Update};
        assert_eq!(output_modes("Parquet").unwrap(), [Append]);
        assert_eq!(output_modes("console").unwrap(), [Append, Update, Complete]);
        assert!(needs_checkpoint_location("csv").unwrap());
        assert!(!needs_checkpoint_location("memory").unwrap());
        assert!(!recovers("memory", Append).unwrap());
        assert!(recovers("memory", Complete).unwrap() && recovers("noop", Append).unwrap());
        for format in ["rate", "jdbc", "binaryFile"] {
            let error = output_modes(format).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("Data source {format} does not support streamed writing.")
            );
        }
        assert!(check_format("jdbc").is_ok() && check_format("delta").is_err());
        assert!(is_file_format("JSON") && !is_file_format("rate"));
        assert!(is_state_format("stateStore") && !is_state_format("jdbc"));
    }
}
