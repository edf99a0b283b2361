//! How Spark calls each error: class, message parameters and exception type.
use super::ConnectorError;
use crate::format::FormatError;

impl ConnectorError {
    /// Spark's error class, if it has one for this error.
    pub fn error_class(&self) -> Option<&'static str> {
        Some(match self {
            Self::DataSourceNotFound { .. } => "DATA_SOURCE_NOT_FOUND",
            Self::KafkaNotEnabled { .. } => "KAFKA_DATA_SOURCE_NOT_ENABLED",
            Self::AvroNotEnabled { .. } => "AVRO_DATA_SOURCE_NOT_ENABLED",
            Self::NotStreamable { .. } => "_LEGACY_ERROR_TEMP_2049",
            Self::NotBatchReadable { .. } => "_LEGACY_ERROR_TEMP_1135",
            Self::OutputMode { .. } => "STREAMING_OUTPUT_MODE.UNSUPPORTED_DATASOURCE",
            Self::UserSchema { .. } => "_LEGACY_ERROR_TEMP_2242",
            Self::SchemaRequired => "_LEGACY_ERROR_TEMP_2048",
            Self::PathRequired => "_LEGACY_ERROR_TEMP_2047",
            Self::PathGivenTwice { .. } => "_LEGACY_ERROR_TEMP_1188",
            Self::PathNotFound { .. } => "PATH_NOT_FOUND",
            Self::PathExists { .. } => "PATH_ALREADY_EXISTS",
            Self::SaveMode { .. } => "INVALID_SAVE_MODE",
            Self::SocketHost => "_LEGACY_ERROR_TEMP_1295",
            Self::SocketPort => "_LEGACY_ERROR_TEMP_1296",
            Self::SocketIncludeTimestamp => "_LEGACY_ERROR_TEMP_1297",
            Self::ConflictingDirectories { .. } => "CONFLICTING_DIRECTORY_STRUCTURES",
            Self::ConflictingPartitionColumns { .. } => "CONFLICTING_PARTITION_COLUMN_NAMES",
            Self::EmptyPartitionValue { .. } => "EMPTY_PARTITION_COLUMN_VALUE",
            Self::PartitionValue { .. } => "INVALID_PARTITION_VALUE",
            Self::AllPartitionColumns => "ALL_PARTITION_COLUMNS_NOT_ALLOWED",
            Self::PartitionColumnNotFound { .. } => "_LEGACY_ERROR_TEMP_1196",
            Self::PartitionColumnNotInSchema { .. } => "_LEGACY_ERROR_TEMP_1155",
            Self::PartitionColumnType { .. } => "INVALID_PARTITION_COLUMN_DATA_TYPE",
            Self::QueryNameRequired => "_LEGACY_ERROR_TEMP_1194",
            Self::RateTimestamps { .. } => {
                "MALFORMED_STATE_IN_RATE_PER_MICRO_BATCH_SOURCE.INVALID_TIMESTAMP"
            }
            Self::RampUp { .. } => "INCORRECT_RAMP_UP_RATE",
            Self::EndOffset { .. } => "INCORRECT_END_OFFSET",
            Self::Format(e) => e.error_class(),
            Self::State(e) => return e.error_class(),
            Self::Unsupported { .. } => "UNSUPPORTED_FEATURE",
            _ => return None,
        })
    }

    /// Parameters of the class's message template.
    pub fn message_parameters(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::DataSourceNotFound { provider }
            | Self::KafkaNotEnabled { provider }
            | Self::AvroNotEnabled { provider } => vec![("provider", provider.clone())],
            Self::NotStreamable {
                class_name,
                operator,
            } => {
                vec![
                    ("className", class_name.clone()),
                    ("operator", (*operator).to_owned()),
                ]
            }
            Self::NotBatchReadable { class_name } => vec![("className", class_name.clone())],
            Self::OutputMode {
                output_mode,
                class_name,
            } => {
                vec![
                    ("className", class_name.clone()),
                    ("outputMode", output_mode.clone()),
                ]
            }
            Self::UserSchema { provider } => vec![("provider", (*provider).to_owned())],
            Self::PathGivenTwice { method } => vec![
                ("method", (*method).to_owned()),
                (
                    "config",
                    "spark.sql.legacy.pathOptionBehavior.enabled".to_owned(),
                ),
            ],
            Self::PathNotFound { path } => vec![("path", path.clone())],
            Self::PathExists { path } => vec![("outputPath", path.clone())],
            Self::SaveMode { mode } => vec![("mode", format!("\"{mode}\""))],
            Self::ConflictingDirectories { paths } => {
                vec![("discoveredBasePaths", paths.clone())]
            }
            Self::ConflictingPartitionColumns { columns, paths } => {
                vec![
                    ("distinctPartColLists", columns.clone()),
                    ("suspiciousPaths", paths.clone()),
                ]
            }
            Self::EmptyPartitionValue { segment } => vec![("columnSpec", segment.clone())],
            Self::PartitionValue {
                value,
                data_type,
                column,
            } => vec![
                ("value", value.clone()),
                ("dataType", format!("\"{data_type}\"")),
                ("columnName", format!("`{column}`")),
            ],
            Self::PartitionColumnNotFound { column, columns } => vec![
                ("columnType", "Partition".to_owned()),
                ("columnName", column.clone()),
                ("validColumnNames", columns.clone()),
            ],
            Self::PartitionColumnNotInSchema { column, schema } => {
                vec![("col", column.clone()), ("schemaCatalog", schema.clone())]
            }
            Self::PartitionColumnType { data_type } => vec![("type", format!("\"{data_type}\""))],
            Self::RampUp {
                rows_per_second,
                max_seconds,
                ramp_up_seconds,
            } => vec![
                ("rowsPerSecond", rows_per_second.to_string()),
                ("maxSeconds", max_seconds.to_string()),
                ("rampUpTimeSeconds", ramp_up_seconds.to_string()),
            ],
            Self::EndOffset {
                rows_per_second,
                max_seconds,
                end_seconds,
            } => vec![
                ("rowsPerSecond", rows_per_second.to_string()),
                ("maxSeconds", max_seconds.to_string()),
                ("endSeconds", end_seconds.to_string()),
            ],
            Self::RateTimestamps { from, to } => {
                vec![
                    ("startTimestamp", from.to_string()),
                    ("endTimestamp", to.to_string()),
                ]
            }
            Self::Format(e) => e.message_parameters(),
            Self::State(e) => e.message_parameters(),
            _ => vec![],
        }
    }

    /// The JVM exception that Spark throws, which clients map to an exception of their language.
    pub fn exception(&self) -> &'static str {
        match self {
            Self::DataSourceNotFound { .. } => "org.apache.spark.SparkClassNotFoundException",
            Self::NotStreamable { .. } | Self::UserSchema { .. } | Self::Unsupported { .. } => {
                "org.apache.spark.SparkUnsupportedOperationException"
            }
            Self::SchemaRequired | Self::PathRequired | Self::NotABoolean { .. } => {
                "org.apache.spark.SparkIllegalArgumentException"
            }
            Self::NotANumber { .. } | Self::NotADuration { .. } => {
                "java.lang.NumberFormatException"
            }
            Self::SocketPortRange { .. }
            | Self::OptionRange { .. }
            | Self::OptionValue { .. }
            | Self::OptionNotAllowed { .. }
            | Self::BothFileLimits
            | Self::CleanSourceMode { .. }
            | Self::ArchiveDirRequired
            | Self::ArchiveDirInSource
            | Self::BadGlob { .. }
            | Self::BadPath { .. }
            | Self::WrongBasePath { .. }
            | Self::BasePathNotDirectory => "java.lang.IllegalArgumentException",
            Self::Format(FormatError::ReadFile { .. } | FormatError::FileNotFound { .. }) => {
                "org.apache.spark.SparkException"
            }
            Self::SocketConnect { .. } => "java.net.ConnectException",
            Self::Io { .. } | Self::ObjectStore(_) | Self::Storage(_) => "java.io.IOException",
            Self::ConflictingDirectories { .. }
            | Self::ConflictingPartitionColumns { .. }
            | Self::EmptyPartitionValue { .. }
            | Self::PartitionValue { .. }
            | Self::State(_)
            | Self::RampUp { .. }
            | Self::EndOffset { .. } => "org.apache.spark.SparkRuntimeException",
            Self::SocketRows { .. }
            | Self::ForeignOffset { .. }
            | Self::RateTimestamps { .. }
            | Self::CommitOrder { .. }
            | Self::CommitMessage { .. }
            | Self::Checkpoint(_)
            | Self::Arrow(_)
            | Self::Render(_)
            | Self::Query(_) => "org.apache.spark.SparkException",
            _ => "org.apache.spark.sql.AnalysisException",
        }
    }
}
