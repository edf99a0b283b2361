//! Why reading or writing a file failed, in Spark's vocabulary.
//!
//! Every variant knows the Spark error class it becomes at the edge and the parameters of that class's
//! message; nothing else in the tree translates format errors. An error met while a file is read is wrapped
//! once in [`FormatError::ReadFile`], so the path is always named and the cause stays reachable through
//! [`std::error::Error::source`].
use datafusion::error::DataFusionError;

/// Failure of a file format: a bad option, a bad file, or a bad record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// No format has this name.
    #[error("failed to find the data source: {name}")]
    UnknownFormat {
        /// The name as the user wrote it.
        name: String,
    },
    /// An option's value is not one of those allowed.
    #[error("invalid value '{value}' for option '{option}': {reason}")]
    InvalidOption {
        /// Option name as documented (camel case).
        option: String,
        /// Value as given.
        value: String,
        /// What would have been allowed.
        reason: String,
        /// Spark's error class, where Spark has one of its own for this option.
        class: Option<&'static str>,
    },
    /// The schema has a column of a type that the format cannot hold.
    #[error(
        "the {format} datasource doesn't support the column `{column}` of the type {data_type}"
    )]
    UnsupportedType {
        /// Format name as Spark prints it (`CSV`, `Text`, `JSON`).
        format: String,
        /// Column name.
        column: String,
        /// Spark's name of the type, upper case.
        data_type: String,
    },
    /// The text source reads and writes exactly one string column.
    #[error("the text data source supports only a single column, and you have {columns} columns")]
    TextColumns {
        /// How many columns the schema has.
        columns: usize,
    },
    /// The corrupt-record column must be a nullable string.
    #[error(
        "the type of the corrupt record column must be STRING: column `{column}` is {data_type}"
    )]
    CorruptRecordType {
        /// Column name.
        column: String,
        /// Type it was declared with.
        data_type: String,
    },
    /// A query that needs only the corrupt-record column would make every record look corrupt.
    #[error("queries from raw files are disallowed when they only need the corrupt record column")]
    OnlyCorruptRecordColumn,
    /// A schema could not be inferred, e.g. there are no files.
    #[error("unable to infer schema for {format}; it must be specified manually")]
    UnableToInferSchema {
        /// Format name.
        format: String,
    },
    /// Two columns of the same name.
    #[error("the column `{column}` already exists")]
    DuplicateColumn {
        /// Name that occurs twice.
        column: String,
    },
    /// Files disagree about a column's type.
    #[error(
        "failed to merge schemas: column `{column}` is {left} in one file and {right} in another"
    )]
    MergeSchema {
        /// Column name.
        column: String,
        /// Type in the files read first.
        left: String,
        /// Type in the other file.
        right: String,
    },
    /// A record that cannot be parsed, in `FAILFAST` mode.
    #[error("malformed records are detected in record parsing: {record}")]
    MalformedRecord {
        /// The partial row as Spark prints it, e.g. `[1,null]`.
        record: String,
        /// What is wrong with the record.
        reason: String,
    },
    /// A date, time or timestamp pattern that cannot be used.
    #[error(transparent)]
    Pattern(#[from] crate::datetime::PatternError),
    /// A file column has a type that cannot be read as the requested one.
    #[error("column `{column}` is stored as {stored} and cannot be read as {requested}")]
    ColumnType {
        /// Column name.
        column: String,
        /// Type in the file.
        stored: String,
        /// Type asked for.
        requested: String,
    },
    /// The file went away between listing and reading.
    #[error("file does not exist: {path}")]
    FileNotFound {
        /// The file.
        path: String,
    },
    /// A compressed file of a codec that is not built in.
    #[error("cannot read {path}: files with the extension '{extension}' are not supported")]
    UnsupportedCompression {
        /// The file.
        path: String,
        /// Its extension, with the dot.
        extension: String,
    },
    /// A compression codec name that the format does not know.
    #[error("codec [{codec}] is not available; available codecs are {available}")]
    UnknownCodec {
        /// Name as given.
        codec: String,
        /// Names that work.
        available: String,
    },
    /// The bytes of a record or file cannot be understood at all.
    #[error("{reason}")]
    Corrupt {
        /// What is wrong.
        reason: String,
    },
    /// The footer of a columnar file cannot be read, so its columns are unknown.
    #[error("could not read footer: {reason}")]
    Footer {
        /// What is wrong.
        reason: String,
    },
    /// Input or output failed.
    #[error("{operation}: {source}")]
    Io {
        /// What was attempted.
        operation: String,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// The object store answered with an error.
    #[error(transparent)]
    ObjectStore(#[from] object_store::Error),
    /// An Arrow kernel or a columnar format library failed.
    #[error("{0}")]
    Arrow(#[from] arrow::error::ArrowError),
    /// Something is not done by Millstream, and Spark would do it.
    #[error("{feature} is not supported")]
    Unsupported {
        /// What was asked for.
        feature: String,
    },
    /// Any failure while the named file was read.
    #[error("encountered error while reading file {path}: {source}")]
    ReadFile {
        /// The file.
        path: String,
        /// What happened: a [`FormatError`].
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl FormatError {
    /// Names the file that was being read when the error happened; a vanished file keeps its own variant.
    pub fn in_file(self, path: &str) -> Self {
        match self {
            Self::ReadFile { .. } | Self::FileNotFound { .. } => self,
            Self::ObjectStore(object_store::Error::NotFound { .. }) => Self::FileNotFound {
                path: path.to_owned(),
            },
            Self::Io { ref source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Self::FileNotFound {
                    path: path.to_owned(),
                }
            }
            source => Self::ReadFile {
                path: path.to_owned(),
                source: Box::new(source),
            },
        }
    }

    /// What happened while a file was read.
    pub fn cause(&self) -> Option<&Self> {
        match self {
            Self::ReadFile { source, .. } => source.downcast_ref(),
            _ => None,
        }
    }

    /// Spark's error class (condition) for this error.
    pub fn error_class(&self) -> &'static str {
        match self {
            Self::UnknownFormat { .. } => "DATA_SOURCE_NOT_FOUND",
            Self::InvalidOption { class, .. } => class.unwrap_or("INVALID_OPTIONS_VALUE"),
            Self::UnsupportedType { .. } => "UNSUPPORTED_DATA_TYPE_FOR_DATASOURCE",
            Self::TextColumns { .. } => "_LEGACY_ERROR_TEMP_1290",
            Self::CorruptRecordType { .. } => "INVALID_CORRUPT_RECORD_TYPE",
            Self::OnlyCorruptRecordColumn => "UNSUPPORTED_FEATURE.QUERY_ONLY_CORRUPT_RECORD_COLUMN",
            Self::UnableToInferSchema { .. } => "UNABLE_TO_INFER_SCHEMA",
            Self::DuplicateColumn { .. } => "COLUMN_ALREADY_EXISTS",
            Self::MergeSchema { .. } => "CANNOT_MERGE_SCHEMAS",
            Self::MalformedRecord { .. } => "MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION",
            Self::Pattern(e) => e.error_class(),
            Self::ColumnType { .. } => "FAILED_READ_FILE.PARQUET_COLUMN_DATA_TYPE_MISMATCH",
            Self::FileNotFound { .. } => "FAILED_READ_FILE.FILE_NOT_EXIST",
            Self::UnknownCodec { .. } => "CODEC_NOT_AVAILABLE.WITH_AVAILABLE_CODECS_SUGGESTION",
            Self::ReadFile { .. } => match self.cause() {
                Some(cause @ (Self::ColumnType { .. } | Self::Footer { .. })) => {
                    cause.error_class()
                }
                _ => "FAILED_READ_FILE.NO_HINT",
            },
            Self::Footer { .. } => "FAILED_READ_FILE.CANNOT_READ_FILE_FOOTER",
            Self::Unsupported { .. } | Self::UnsupportedCompression { .. } => "UNSUPPORTED_FEATURE",
            Self::Corrupt { .. } | Self::Io { .. } | Self::ObjectStore(_) | Self::Arrow(_) => {
                "FAILED_READ_FILE.NO_HINT"
            }
        }
    }

    /// Parameters of the class's message template, in template order.
    pub fn message_parameters(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::UnknownFormat { name } => vec![("provider", name.clone())],
            Self::InvalidOption {
                option,
                value,
                reason,
                ..
            } => {
                vec![
                    ("option", option.clone()),
                    ("value", value.clone()),
                    ("reason", reason.clone()),
                ]
            }
            Self::UnsupportedType {
                format,
                column,
                data_type,
            } => vec![
                ("columnName", format!("`{column}`")),
                ("columnType", format!("\"{data_type}\"")),
                ("format", format.clone()),
            ],
            Self::TextColumns { columns } => vec![("schemaSize", columns.to_string())],
            Self::CorruptRecordType { column, data_type } => vec![
                ("columnName", format!("`{column}`")),
                ("actualType", format!("\"{data_type}\"")),
            ],
            Self::UnableToInferSchema { format } => vec![("format", format.clone())],
            Self::DuplicateColumn { column } => vec![("columnName", format!("`{column}`"))],
            Self::MergeSchema { left, right, .. } => {
                vec![("left", left.clone()), ("right", right.clone())]
            }
            Self::MalformedRecord { record, .. } => {
                vec![
                    ("badRecord", record.clone()),
                    ("failFastMode", "FAILFAST".to_owned()),
                ]
            }
            Self::Pattern(e) => e.message_parameters(),
            Self::ColumnType {
                column,
                stored,
                requested,
            } => vec![
                ("column", format!("[{column}]")),
                ("expectedType", requested.clone()),
                ("actualType", stored.clone()),
            ],
            Self::FileNotFound { path } => vec![("path", path.clone())],
            Self::ReadFile { path, .. } => {
                let mut parameters = vec![("path", path.clone())];
                if let Some(cause @ Self::ColumnType { .. }) = self.cause() {
                    parameters.extend(cause.message_parameters());
                }
                parameters
            }
            Self::UnknownCodec { codec, available } => {
                vec![
                    ("codecName", codec.clone()),
                    ("availableCodecs", available.clone()),
                ]
            }
            Self::OnlyCorruptRecordColumn
            | Self::UnsupportedCompression { .. }
            | Self::Corrupt { .. }
            | Self::Footer { .. }
            | Self::Io { .. }
            | Self::ObjectStore(_)
            | Self::Arrow(_)
            | Self::Unsupported { .. } => vec![],
        }
    }

    pub(crate) fn io(operation: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let operation = operation.into();
        move |source| Self::Io { operation, source }
    }

    pub(crate) fn corrupt(reason: impl std::fmt::Display) -> Self {
        Self::Corrupt {
            reason: reason.to_string(),
        }
    }
}

impl From<FormatError> for DataFusionError {
    fn from(e: FormatError) -> Self {
        Self::External(Box::new(e))
    }
}
