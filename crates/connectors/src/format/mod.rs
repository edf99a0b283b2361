//! File formats with Spark's exact reading and writing semantics: json, csv, text, parquet, orc, binaryFile.
//!
//! The streaming file source and sink, batch `spark.read`/`df.write` and the row functions
//! (`from_json`, `from_csv`, `to_json`, `to_csv`) all go through this module, so that a column means the same
//! wherever it was parsed.
//!
//! ## Values
//!
//! | Spark | Arrow |
//! |---|---|
//! | TIMESTAMP (local time zone) | `Timestamp(Microsecond, Some("UTC"))` |
//! | TIMESTAMP_NTZ | `Timestamp(Microsecond, None)` |
//! | DATE, DECIMAL | `Date32`, `Decimal128` |
//! | STRING, BINARY | `Utf8`, `Binary` |
//! | INTERVAL DAY TO SECOND / YEAR TO MONTH | `Duration(Microsecond)` / `Interval(YearMonth)` |
//! | STRUCT, ARRAY, MAP | `Struct`, `List`, `Map` |
//!
//! ## What this module does not do
//!
//! It lists no directories, knows no partition columns and commits nothing: the caller hands over files
//! ([`FileRef`]) and byte sinks, adds partition values and decides what a file's durability is. A format
//! leaves nothing behind on a crash except whatever the caller's byte sink has received.
use std::{fmt::Debug, io::Write, path::PathBuf, sync::Arc, time::UNIX_EPOCH};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use async_trait::async_trait;

use datafusion::execution::SendableRecordBatchStream;
use object_store::{ObjectStore, path::Path};

use crate::datetime::Zone;

pub mod binary_file;
pub mod csv;
pub mod json;
pub mod orc;
pub mod parquet;
pub mod spark_type;
pub mod text;

mod adapt;
mod column;
mod encoding;
mod error;
mod input;
mod interval;
mod lines;
mod number;
mod options;
mod parsed;
mod temporal;
mod tolerant;

pub use error::FormatError;
pub use options::Options;

pub(crate) use adapt::{check_all_names, check_names};
pub(crate) use encoding::Encoding;

/// Opens a format by its name, case-insensitively.
///
/// # Errors
/// If there is no such format or an option's value is not allowed.
pub fn file_format(
    name: &str,
    options: &Options,
    settings: &FormatSettings,
) -> Result<Arc<dyn FileFormat>, FormatError> {
    let inner: Arc<dyn FileFormat> = match name.to_ascii_lowercase().as_str() {
        "csv" => Arc::new(csv::CsvFormat::new(options, settings)?),
        "json" => Arc::new(json::JsonFormat::new(options, settings)?),
        "orc" => Arc::new(orc::OrcFormat::new(options, settings)?),
        "parquet" => Arc::new(parquet::ParquetFormat::new(options, settings)?),
        "binaryfile" => Arc::new(binary_file::BinaryFileFormat),
        "text" => Arc::new(text::TextFormat::new(options, settings)?),
        _ => {
            return Err(FormatError::UnknownFormat {
                name: name.to_owned(),
            });
        }
    };
    let missing = options.flag("ignoreMissingFiles", settings.ignore_missing_files)?;
    let corrupt = options.flag("ignoreCorruptFiles", settings.ignore_corrupt_files)?;
    if missing || corrupt {
        return Ok(Arc::new(tolerant::Tolerant {
            inner,
            missing,
            corrupt,
        }));
    }
    Ok(inner)
}

/// What the session decides about reading and writing files; filled from its confs.
#[derive(Debug, Clone, PartialEq)]
pub struct FormatSettings {
    /// `spark.sql.session.timeZone`.
    pub time_zone: Zone,
    /// The machine's zone (Spark's JVM default, not the session's): ORC timestamps are wall clocks in it.
    pub system_time_zone: Zone,
    /// `spark.sql.caseSensitive`.
    pub case_sensitive: bool,
    /// `spark.sql.columnNameOfCorruptRecord`.
    pub column_name_of_corrupt_record: String,
    /// `spark.sql.timestampType = TIMESTAMP_NTZ`: what inference calls a timestamp without a zone.
    pub infer_timestamp_ntz: bool,
    /// `spark.sql.legacy.timeParserPolicy`.
    pub time_parser_policy: TimeParserPolicy,
    /// `spark.sql.json.enablePartialResults`.
    pub json_partial_results: bool,
    /// `spark.sql.jsonGenerator.ignoreNullFields`.
    pub json_ignore_null_fields: bool,
    /// `spark.sql.csv.parser.columnPruning.enabled`.
    pub csv_column_pruning: bool,
    /// `spark.sql.parquet.compression.codec`.
    pub parquet_codec: String,
    /// `spark.sql.parquet.outputTimestampType`.
    pub parquet_timestamps: ParquetTimestamps,
    /// `spark.sql.parquet.mergeSchema`.
    pub parquet_merge_schema: bool,
    /// `spark.sql.orc.compression.codec`.
    pub orc_codec: String,
    /// `spark.sql.orc.mergeSchema`.
    pub orc_merge_schema: bool,
    /// `spark.sql.files.ignoreMissingFiles`.
    pub ignore_missing_files: bool,
    /// `spark.sql.files.ignoreCorruptFiles`.
    pub ignore_corrupt_files: bool,
}

impl Default for FormatSettings {
    fn default() -> Self {
        Self {
            time_zone: Zone::UTC,
            system_time_zone: Zone::UTC,
            case_sensitive: false,
            column_name_of_corrupt_record: "_corrupt_record".to_owned(),
            infer_timestamp_ntz: false,
            time_parser_policy: TimeParserPolicy::Corrected,
            json_partial_results: true,
            json_ignore_null_fields: true,
            csv_column_pruning: true,
            parquet_codec: "snappy".to_owned(),
            parquet_timestamps: ParquetTimestamps::Int96,
            parquet_merge_schema: false,
            orc_codec: "zstd".to_owned(),
            orc_merge_schema: false,
            ignore_missing_files: false,
            ignore_corrupt_files: false,
        }
    }
}

/// What happens to malformed records: the `mode` option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParseMode {
    /// Keep what could be read, NULL for the rest, and the text in the corrupt-record column.
    Permissive,
    /// Leave them out.
    DropMalformed,
    /// Fail.
    FailFast,
}

impl ParseMode {
    /// Spark takes an unknown mode for the default and says so.
    pub(crate) fn from_options(options: &Options) -> Self {
        match options.get("mode").map(str::to_ascii_uppercase).as_deref() {
            None | Some("PERMISSIVE") => Self::Permissive,
            Some("DROPMALFORMED") => Self::DropMalformed,
            Some("FAILFAST") => Self::FailFast,
            Some(mode) => {
                tracing::warn!(mode, "not a valid parse mode, using PERMISSIVE");
                Self::Permissive
            }
        }
    }
}

/// A scan of the corrupt-record column alone parses nothing, so every record would look sound.
pub(crate) fn refuse_only_corrupt(
    data_schema: &SchemaRef,
    output: &SchemaRef,
    name: &str,
    case_sensitive: bool,
) -> Result<(), FormatError> {
    let declared = json::corrupt_column(data_schema.fields(), name, case_sensitive)?;
    let wanted = json::corrupt_column(output.fields(), name, case_sensitive)?;
    match (declared, wanted, output.fields().len()) {
        (Some(_), Some(_), 1) => Err(FormatError::OnlyCorruptRecordColumn),
        _ => Ok(()),
    }
}

/// `spark.sql.legacy.timeParserPolicy`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum TimeParserPolicy {
    /// Spark 2's behaviour; text formats refuse columns that would need it.
    Legacy,
    /// Fail where Spark 2 could read what cannot be read now; text formats refuse columns that would need it.
    Exception,
    /// Spark 3's answer.
    #[default]
    Corrected,
}

/// Physical type of timestamps in Parquet files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParquetTimestamps {
    /// 12 bytes: Julian day and nanoseconds.
    Int96,
    /// Microseconds since the epoch.
    Micros,
    /// Milliseconds since the epoch; finer digits are cut off.
    Millis,
}

/// One input file.
#[derive(Debug, Clone)]
pub struct FileRef {
    /// Where the bytes are.
    pub location: FileLocation,
    /// Name of the file in messages and in `_metadata.file_path`: a URL such as `file:///data/a.json`.
    pub url: String,
    /// Size in bytes as listed.
    pub size: u64,
    /// Last modification as listed, milliseconds since the epoch.
    pub modified_ms: i64,
}

impl FileRef {
    /// A local file, with size and time as the file system has them.
    ///
    /// # Errors
    /// If the file is not there.
    pub fn local(path: impl Into<PathBuf>) -> Result<Self, FormatError> {
        let path = path.into();
        let url = format!("file://{}", path.display());
        let metadata =
            std::fs::metadata(&path).map_err(|e| FormatError::io("stat")(e).in_file(&url))?;
        let modified = metadata
            .modified()
            .ok()
            .and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        let modified_ms = modified
            .and_then(|age| i64::try_from(age.as_millis()).ok())
            .unwrap_or(0);
        Ok(Self {
            location: FileLocation::Local(path),
            url,
            size: metadata.len(),
            modified_ms,
        })
    }
}

/// Where the bytes of a file are.
#[derive(Debug, Clone)]
pub enum FileLocation {
    /// On a file system; read with plain blocking reads.
    Local(PathBuf),
    /// In an object store.
    Object {
        /// The store.
        store: Arc<dyn ObjectStore>,
        /// Path inside it.
        path: Path,
    },
}

/// What a scan wants from each file.
#[derive(Debug, Clone)]
pub struct FormatScan {
    /// Columns the files are declared to have, without partition columns; the corrupt-record column, if the
    /// user declared it, is one of them.
    pub data_schema: SchemaRef,
    /// Indices into `data_schema`; the output has these columns in this order. Fields left out are not
    /// parsed, so a value of the wrong type in one of them does not make a record malformed (Spark's rule).
    pub projection: Vec<usize>,
    /// Rows per batch at most.
    pub batch_size: usize,
}

impl FormatScan {
    /// Schema of the batches the scan yields.
    ///
    /// # Errors
    /// If the projection names a column that is not there.
    pub fn output_schema(&self) -> Result<SchemaRef, FormatError> {
        Ok(Arc::new(self.data_schema.project(&self.projection)?))
    }
}

/// A file format with its options, ready to read and write.
///
/// Contract:
/// 1. An instance is immutable and may serve many files at once.
/// 2. `infer_schema` and `open` name the file in every error that a file causes.
/// 3. `open` yields batches of exactly [`FormatScan::output_schema`], in file order; an empty file yields no
///    rows. It does no work before the first poll.
/// 4. A schema that the format cannot hold is refused by `check_schema`, before anything is opened.
#[async_trait]
pub trait FileFormat: Debug + Send + Sync {
    /// Short name, as in `format("json")`.
    fn name(&self) -> &'static str;

    /// Schema of the files' rows. Text and binaryFile answer a constant; with no files, formats that must
    /// look inside give [`FormatError::UnableToInferSchema`].
    async fn infer_schema(&self, files: &[FileRef]) -> Result<SchemaRef, FormatError>;

    /// Whether the format can read (or write) rows of this schema.
    fn check_schema(&self, schema: &SchemaRef, direction: Direction) -> Result<(), FormatError>;

    /// Reads one file.
    ///
    /// # Errors
    /// Only for what is wrong with the request itself; everything about the file comes out of the stream.
    fn open(
        &self,
        file: &FileRef,
        scan: &FormatScan,
    ) -> Result<SendableRecordBatchStream, FormatError>;

    /// What a written file's name ends with: `.json`, `.csv.gz`, `.snappy.parquet`.
    fn extension(&self) -> String;

    /// Starts a file. The bytes go to `out`, compressed if the options say so; the caller owns its
    /// durability and name.
    fn writer(
        &self,
        schema: SchemaRef,
        out: Box<dyn Write + Send>,
    ) -> Result<Box<dyn FormatWriter>, FormatError>;
}

/// Which way a schema is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Files are read into it.
    Read,
    /// It is written to files.
    Write,
}

/// One file being written.
pub trait FormatWriter: Send {
    /// Appends the batch's rows.
    fn write(&mut self, batch: &RecordBatch) -> Result<(), FormatError>;

    /// Bytes handed to the sink so far; formats that buffer report less than they hold.
    fn bytes_written(&self) -> u64;

    /// Writes footers, flushes the sink and ends the file. A writer dropped without this leaves an
    /// incomplete file.
    fn finish(self: Box<Self>) -> Result<(), FormatError>;
}
