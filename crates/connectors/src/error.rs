//! What is wrong with a source, a sink or their options, in Spark's words.
//!
//! Texts, error classes and exception types are those of Spark 4.3, so that a program that looks at
//! them finds what it expects. Where Spark has no error class, as for most bad option values, there
//! is none here.
mod spark;

use millstream_checkpoint::{CheckpointError, storage::StorageError};

use crate::{format::FormatError, statestore::StateDataError, text::RenderError};

/// Failure of a connector.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectorError {
    /// No format has this name.
    #[error(
        "Failed to find the data source: {provider}. Make sure the provider name is correct and the package is \
         properly registered and compatible with your Spark version."
    )]
    DataSourceNotFound {
        /// The name as given.
        provider: String,
    },
    /// Kafka support is not part of this build.
    #[error(
        "Failed to find data source: {provider}. Please deploy the application as per the deployment section of \
         Structured Streaming + Kafka Integration Guide."
    )]
    KafkaNotEnabled {
        /// The name as given.
        provider: String,
    },
    /// Avro support is not part of this build.
    #[error(
        "Failed to find data source: {provider}. Avro is built-in but external data source module since Spark 2.4. \
         Please deploy the application as per the deployment section of Apache Avro Data Source Guide."
    )]
    AvroNotEnabled {
        /// The name as given.
        provider: String,
    },
    /// Spark has it, Millstream does not.
    #[error("{feature} is not supported by Millstream")]
    Unsupported {
        /// What was asked for.
        feature: String,
    },
    /// The format exists, but not for streams.
    #[error("Data source {class_name} does not support streamed {operator}.")]
    NotStreamable {
        /// The format.
        class_name: String,
        /// `reading` or `writing`.
        operator: &'static str,
    },
    /// The format exists, but not for batch queries.
    #[error("{class_name} is not a valid Spark SQL Data Source.")]
    NotBatchReadable {
        /// The format.
        class_name: String,
    },
    /// The sink cannot take results of this output mode.
    #[error(
        "Invalid streaming output mode: {output_mode}. This output mode is not supported in Data Source {class_name}."
    )]
    OutputMode {
        /// The mode, lower case.
        output_mode: String,
        /// The format.
        class_name: String,
    },
    /// A source with a fixed schema was given another.
    #[error("{provider} source does not support user-specified schema.")]
    UserSchema {
        /// Name of the source as Spark prints it.
        provider: &'static str,
    },
    /// A file stream without a schema.
    #[error(
        "Schema must be specified when creating a streaming source DataFrame. If some files already exist in the \
         directory, then depending on the file format you may be able to create a static DataFrame on that directory \
         with 'spark.read.load(directory)' and infer schema from it."
    )]
    SchemaRequired,
    /// A file source or sink without a path.
    #[error("'path' is not specified.")]
    PathRequired,
    /// The path was given twice.
    #[error(
        "There is a 'path' option set and {method}() is called with a path parameter. Either remove the path option, \
         or call {method}() without the parameter. To ignore this check, set \
         'spark.sql.legacy.pathOptionBehavior.enabled' to 'true'."
    )]
    PathGivenTwice {
        /// `load`, `start` or `save`.
        method: &'static str,
    },
    /// Nothing is there.
    #[error("Path does not exist: {path}.")]
    PathNotFound {
        /// The path.
        path: String,
    },
    /// A batch write would mix with what is there.
    #[error(
        "Path {path} already exists. Set mode as \"overwrite\" to overwrite the existing path."
    )]
    PathExists {
        /// The path.
        path: String,
    },
    /// A save mode that does not exist.
    #[error(
        "The specified save mode \"{mode}\" is invalid. Valid save modes include \"append\", \"overwrite\", \
         \"ignore\", \"error\", \"errorifexists\", and \"default\"."
    )]
    SaveMode {
        /// The text as given.
        mode: String,
    },
    /// The socket source has no host.
    #[error("Set a host to read from with option(\"host\", ...).")]
    SocketHost,
    /// The socket source has no port.
    #[error("Set a port to read from with option(\"port\", ...).")]
    SocketPort,
    /// A flag of the socket source is not a flag.
    #[error("IncludeTimestamp must be set to either \"true\" or \"false\".")]
    SocketIncludeTimestamp,
    /// A port that no machine has.
    #[error("port out of range:{port}")]
    SocketPortRange {
        /// The port as given.
        port: i32,
    },
    /// The socket source found nobody to talk to.
    #[error("cannot connect to {host}:{port}: {reason}")]
    SocketConnect {
        /// Host as given.
        host: String,
        /// Port.
        port: u16,
        /// The operating system's answer.
        reason: String,
    },
    /// The socket source is asked for rows that it no longer, or never, had.
    #[error(
        "the socket source has rows {first} to {last} and is asked for rows {from} to {to}; a socket cannot be read again"
    )]
    SocketRows {
        /// First row in memory.
        first: i64,
        /// Last row in memory.
        last: i64,
        /// First row wanted.
        from: i64,
        /// Last row wanted.
        to: i64,
    },
    /// An option that should be a number is not.
    #[error("For input string: \"{text}\"")]
    NotANumber {
        /// The value as given.
        text: String,
    },
    /// An option that should be a flag is not.
    #[error("{text} is not a boolean string.")]
    NotABoolean {
        /// The value as given.
        text: String,
    },
    /// An option that should be a duration is not.
    #[error(
        "Time must be specified as seconds (s), milliseconds (ms), microseconds (us), minutes (m or min), hour (h), \
         or day (d). E.g. 50s, 100ms, or 250us.\nFailed to parse time string: {text}"
    )]
    NotADuration {
        /// The value as given, trimmed and in lower case.
        text: String,
    },
    /// A number is out of the option's range.
    #[error("Invalid value '{value}'. The option '{option}' must {requirement}")]
    OptionRange {
        /// Option name.
        option: &'static str,
        /// The number.
        value: String,
        /// What it must be, such as `be positive`.
        requirement: &'static str,
    },
    /// A value that an option of the file source does not take.
    #[error("Invalid value '{value}' for option '{option}', must be {requirement}")]
    OptionValue {
        /// Option name.
        option: &'static str,
        /// Value as given.
        value: String,
        /// What it must be.
        requirement: &'static str,
    },
    /// An option that exists elsewhere.
    #[error("option '{option}' is not allowed in file stream sources")]
    OptionNotAllowed {
        /// Option name, lower case.
        option: &'static str,
    },
    /// Two limits on one batch.
    #[error(
        "Options 'maxFilesPerTrigger' and 'maxBytesPerTrigger' can't be both set at the same time"
    )]
    BothFileLimits,
    /// An unknown way to clean up.
    #[error(
        "Invalid mode for clean source option Some({value}). Must be one of ARCHIVE,DELETE,OFF"
    )]
    CleanSourceMode {
        /// The value as given.
        value: String,
    },
    /// `cleanSource = archive` without a place to archive to.
    #[error("Archive mode must be used with 'sourceArchiveDir' option.")]
    ArchiveDirRequired,
    /// Archived files would be read again.
    #[error(
        "requirement failed: Base archive path cannot be set to the path where archived path can possibly match with \
         source pattern. Ensure the base archive path doesn't match with source pattern in depth, where the depth is \
         minimum of depth on both paths."
    )]
    ArchiveDirInSource,
    /// A glob that cannot be understood.
    #[error("invalid pattern '{pattern}': {reason}")]
    BadGlob {
        /// The pattern as given.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Data files at different depths below the base path.
    #[error(
        "Conflicting directory structures detected.\nSuspicious paths:\n{paths}\nIf provided paths are partition \
         directories, please set \"basePath\" in the options of the data source to specify the root directory of the \
         table.\nIf there are multiple root directories, please load them separately and then union them."
    )]
    ConflictingDirectories {
        /// The base paths found, one a line.
        paths: String,
    },
    /// Directories of one level with different column names.
    #[error(
        "Conflicting partition column names detected:\n{columns}\nFor partitioned table directories, data files should \
         only live in leaf directories.\nAnd directories at the same level should have the same partition column \
         name.\nPlease check the following directories for unexpected files or inconsistent partition column \
         names:\n{paths}"
    )]
    ConflictingPartitionColumns {
        /// The lists of column names found.
        columns: String,
        /// The directories.
        paths: String,
    },
    /// A directory such as `k=`.
    #[error(
        "Found an empty partition column value in the path segment '{segment}'. Each partition directory must have a \
         non-empty value after the '=' sign (e.g., 'col=value')."
    )]
    EmptyPartitionValue {
        /// The directory.
        segment: String,
    },
    /// A directory's value is not of the column's type.
    #[error(
        "Failed to cast value `{value}` to data type \"{data_type}\" for partition column `{column}`."
    )]
    PartitionValue {
        /// Value in the path.
        value: String,
        /// Type wanted.
        data_type: String,
        /// Column.
        column: String,
    },
    /// `basePath` is not a directory above the path read.
    #[error("Wrong basePath {base_path} for the root path: {path}")]
    WrongBasePath {
        /// The option.
        base_path: String,
        /// The path read.
        path: String,
    },
    /// `basePath` names a file.
    #[error("Option 'basePath' must be a directory")]
    BasePathNotDirectory,
    /// Every column is a partition column; nothing is left for the files.
    #[error("Cannot use all columns for partition columns.")]
    AllPartitionColumns,
    /// A partition column that the stream does not have.
    #[error("Partition column {column} not found in existing columns ({columns}).")]
    PartitionColumnNotFound {
        /// Name as given.
        column: String,
        /// Names there are.
        columns: String,
    },
    /// A partition column that the rows of a batch query do not have.
    #[error("Partition column `{column}` not found in schema {schema}.")]
    PartitionColumnNotInSchema {
        /// Name as given.
        column: String,
        /// The columns there are, as Spark prints a schema.
        schema: String,
    },
    /// A partition column whose values cannot name a directory.
    #[error("Cannot use \"{data_type}\" for partition column.")]
    PartitionColumnType {
        /// Spark's name of the type.
        data_type: String,
    },
    /// The memory sink's table has no name.
    #[error("queryName must be specified for memory sink.")]
    QueryNameRequired,
    /// The rate source would leave the range of a long while it ramps up.
    #[error(
        "Max offset with {rows_per_second} rowsPerSecond is {max_seconds}, but 'rampUpTimeSeconds' is \
         {ramp_up_seconds}."
    )]
    RampUp {
        /// `rowsPerSecond`.
        rows_per_second: i64,
        /// Seconds until the values overflow.
        max_seconds: i64,
        /// `rampUpTime` in seconds.
        ramp_up_seconds: i64,
    },
    /// The rate source has left the range of a long.
    #[error(
        "Max offset with {rows_per_second} rowsPerSecond is {max_seconds}, but it's {end_seconds} now."
    )]
    EndOffset {
        /// `rowsPerSecond`.
        rows_per_second: i64,
        /// Seconds until the values overflow.
        max_seconds: i64,
        /// Where the stream is.
        end_seconds: i64,
    },
    /// An offset that this kind of source did not write: the checkpoint belongs to another query.
    #[error("the {format} source cannot read the offset {offset} of the checkpoint")]
    ForeignOffset {
        /// The source.
        format: &'static str,
        /// The text found.
        offset: String,
    },
    /// `startTimestamp` was raised before the first batch was done.
    #[error(
        "Malformed state in RatePerMicroBatch source. The timestamp value is invalid: startTimestamp should less than \
         or equal to the endTimestamp, but startTimestamp({from}) > endTimestamp({to}).\nThis could happen when the \
         streaming query is restarted with a newer `startingTimestamp` and reprocess the first batch (i.e. batch 0). \
         Please consider using a new checkpoint location."
    )]
    RateTimestamps {
        /// Start.
        from: i64,
        /// End.
        to: i64,
    },
    /// Committed offsets must grow.
    #[error("Offsets committed out of order: {last} followed by {end}")]
    CommitOrder {
        /// Last one.
        last: i64,
        /// The one that came after it.
        end: i64,
    },
    /// A message of a task is not what the sink's writers send.
    #[error("the {sink} sink cannot read the commit message of a task: {reason}")]
    CommitMessage {
        /// The sink.
        sink: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A name in a path or URL that the file system cannot have.
    #[error("cannot use the path {path}: {reason}")]
    BadPath {
        /// The path.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file system failed.
    #[error("cannot {operation} {path}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The file or directory.
        path: String,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// The object store failed.
    #[error(transparent)]
    ObjectStore(#[from] object_store::Error),
    /// A format refused its options or a schema, or a file was unreadable.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A source's or sink's own log failed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The durable layer failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A column has no text form.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// An Arrow kernel failed.
    #[error(transparent)]
    Arrow(#[from] arrow::error::ArrowError),
    /// The state of a checkpoint cannot be read.
    #[error(transparent)]
    State(#[from] StateDataError),
    /// The query that feeds the sink failed.
    #[error(transparent)]
    Query(#[from] datafusion::error::DataFusionError),
}

impl ConnectorError {
    pub(crate) fn io(
        operation: &'static str,
        path: impl Into<String>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            operation,
            path,
            source,
        }
    }
}
