//! Parquet, with Spark's schema in the footer.
//!
//! Reading prefers the schema that Spark leaves under `org.apache.spark.sql.parquet.row.metadata`, because
//! it knows intervals, narrow integers and NTZ timestamps from what they are stored as. Columns are matched by
//! name; only the wanted root columns are decoded. INT96 and coarser or finer timestamps become microseconds.
//!
//! Writing leaves the same footer entry. Timestamps are written as INT64 microseconds whatever
//! `spark.sql.parquet.outputTimestampType` says: every reader of INT96 understands them, and INT96 is
//! deprecated by the format itself.
use std::{fs::File, io::Write, sync::Arc};

use ::parquet::{
    arrow::{
        ArrowWriter, ProjectionMask,
        arrow_reader::{
            ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
            ParquetRecordBatchReaderBuilder,
        },
        arrow_writer::ArrowWriterOptions,
    },
    basic::{Compression, GzipLevel, Type as PhysicalType, ZstdLevel},
    errors::ParquetError,
    file::{metadata::KeyValue, properties::WriterProperties, reader::ChunkReader},
};
use arrow::{
    array::{Array, ArrayRef, AsArray, PrimitiveArray, RecordBatch},
    datatypes::{
        DataType, DurationMicrosecondType, Field, Fields, Int32Type, Int64Type, IntervalUnit,
        IntervalYearMonthType, Schema, SchemaRef, TimeUnit,
    },
};
use async_trait::async_trait;
use datafusion::{
    execution::SendableRecordBatchStream, physical_plan::stream::RecordBatchStreamAdapter,
};

use super::{
    Direction, FileFormat, FileLocation, FileRef, FormatError, FormatScan, FormatSettings,
    FormatWriter, Options, ParquetTimestamps,
    adapt::{adapt_batch, find, merge, nullable, spark_fields},
    input::read_raw,
    spark_type::{schema_from_json, schema_to_json, timestamp_type},
};

/// Footer entry that holds Spark's schema.
const ROW_METADATA: &str = "org.apache.spark.sql.parquet.row.metadata";
/// Footer entry that names the writer's Spark version; readers decide about calendars by it.
const SPARK_VERSION: (&str, &str) = ("org.apache.spark.version", "4.3.0");

/// The `parquet` format.
#[derive(Debug)]
pub struct ParquetFormat {
    compression: Compression,
    suffix: &'static str,
    merge_schema: bool,
    case_sensitive: bool,
}

impl ParquetFormat {
    /// # Errors
    /// If the codec is not available.
    pub fn new(options: &Options, settings: &FormatSettings) -> Result<Self, FormatError> {
        let codec = options
            .get("compression")
            .or_else(|| options.get("parquet.compression"))
            .unwrap_or(&settings.parquet_codec);
        let (compression, suffix) = codec_of(codec)?;
        for name in ["datetimeRebaseMode", "int96RebaseMode"] {
            if let Some(mode) = options
                .get(name)
                .filter(|mode| !mode.eq_ignore_ascii_case("corrected"))
            {
                tracing::warn!(
                    option = name,
                    mode,
                    "no effect: dates are read in the proleptic calendar"
                );
            }
        }
        if settings.parquet_timestamps == ParquetTimestamps::Int96 {
            tracing::debug!("timestamps are written as INT64 microseconds, not as INT96");
        }
        Ok(Self {
            compression,
            suffix,
            merge_schema: options.flag("mergeSchema", settings.parquet_merge_schema)?,
            case_sensitive: settings.case_sensitive,
        })
    }
}

fn codec_of(name: &str) -> Result<(Compression, &'static str), FormatError> {
    Ok(match name.to_ascii_lowercase().as_str() {
        "none" | "uncompressed" => (Compression::UNCOMPRESSED, ""),
        "snappy" => (Compression::SNAPPY, ".snappy"),
        "gzip" => (Compression::GZIP(GzipLevel::default()), ".gz"),
        "zstd" => (Compression::ZSTD(ZstdLevel::default()), ".zstd"),
        "lz4" => (Compression::LZ4, ".lz4hadoop"),
        "lz4_raw" => (Compression::LZ4_RAW, ".lz4raw"),
        "brotli" => (
            Compression::BROTLI(::parquet::basic::BrotliLevel::default()),
            ".br",
        ),
        _ => {
            return Err(FormatError::UnknownCodec {
                codec: name.to_owned(),
                available: "brotli, gzip, lz4, lz4_raw, none, snappy, uncompressed, zstd"
                    .to_owned(),
            });
        }
    })
}

fn failed(error: ParquetError) -> FormatError {
    FormatError::corrupt(error)
}

/// A file whose columns cannot be told has no footer.
fn of_footer<T>(read: Result<T, FormatError>) -> Result<T, FormatError> {
    read.map_err(|error| FormatError::Footer {
        reason: error.to_string(),
    })
}

/// The footer, with timestamps of 12 bytes asked for as microseconds.
fn footer(reader: &impl ChunkReader) -> Result<ArrowReaderMetadata, FormatError> {
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let metadata = ArrowReaderMetadata::load(reader, options.clone()).map_err(failed)?;
    let schema = metadata.schema();
    let leaves = metadata.parquet_schema();
    let has_int96 = leaves
        .columns()
        .iter()
        .any(|c| c.physical_type() == PhysicalType::INT96);
    if !has_int96 {
        return Ok(metadata);
    }
    let mut leaf = 0;
    let is_int96 = |leaf: usize| {
        leaves
            .columns()
            .get(leaf)
            .is_some_and(|c| c.physical_type() == PhysicalType::INT96)
    };
    let fields: Fields = schema
        .fields()
        .iter()
        .map(|f| in_micros(f, &mut leaf, &is_int96))
        .collect();
    let options = options.with_schema(Arc::new(Schema::new(fields)));
    ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options).map_err(failed)
}

/// A field with microseconds in UTC where the file has INT96. Leaves are counted in file order.
fn in_micros(
    field: &Arc<Field>,
    leaf: &mut usize,
    is_int96: &impl Fn(usize) -> bool,
) -> Arc<Field> {
    let data_type = match field.data_type() {
        DataType::Struct(fields) => DataType::Struct(
            fields
                .iter()
                .map(|f| in_micros(f, leaf, is_int96))
                .collect(),
        ),
        DataType::List(item) => DataType::List(in_micros(item, leaf, is_int96)),
        DataType::Map(entries, sorted) => {
            DataType::Map(in_micros(entries, leaf, is_int96), *sorted)
        }
        other => {
            let int96 = is_int96(*leaf);
            *leaf += 1;
            if int96 {
                timestamp_type()
            } else {
                other.clone()
            }
        }
    };
    Arc::new(field.as_ref().clone().with_data_type(data_type))
}

/// The schema a file has for Spark.
fn schema_of(metadata: &ArrowReaderMetadata) -> Result<Fields, FormatError> {
    let entries = metadata.metadata().file_metadata().key_value_metadata();
    let recorded = entries
        .and_then(|entries| entries.iter().find(|entry| entry.key == ROW_METADATA))
        .and_then(|entry| serde_json::from_str(entry.value.as_deref()?).ok())
        .and_then(|json| schema_from_json(&json));
    match recorded {
        Some(schema) => Ok(nullable(schema.fields())),
        None => spark_fields(metadata.schema().fields()),
    }
}

#[async_trait]
impl FileFormat for ParquetFormat {
    fn name(&self) -> &'static str {
        "parquet"
    }

    async fn infer_schema(&self, files: &[FileRef]) -> Result<SchemaRef, FormatError> {
        let mut fields: Option<Fields> = None;
        for file in files {
            let of_file = match &file.location {
                FileLocation::Local(path) => File::open(path)
                    .map_err(FormatError::io("open"))
                    .and_then(|local| schema_of(&of_footer(footer(&local))?)),
                FileLocation::Object { .. } => read_raw(file)
                    .await
                    .and_then(|bytes| schema_of(&of_footer(footer(&bytes))?)),
            };
            let of_file = of_file.map_err(|e| e.in_file(&file.url))?;
            let merged = match fields {
                None => of_file,
                Some(known) => merge(&known, &of_file, self.case_sensitive)?,
            };
            fields = Some(merged);
            if !self.merge_schema {
                break;
            }
        }
        let fields = fields.ok_or_else(|| FormatError::UnableToInferSchema {
            format: "Parquet".to_owned(),
        })?;
        Ok(Arc::new(Schema::new(fields)))
    }

    fn check_schema(&self, _schema: &SchemaRef, _direction: Direction) -> Result<(), FormatError> {
        Ok(())
    }

    fn open(
        &self,
        file: &FileRef,
        scan: &FormatScan,
    ) -> Result<SendableRecordBatchStream, FormatError> {
        let schema = scan.output_schema()?;
        let reader = ParquetReader {
            file: file.clone(),
            schema: Arc::clone(&schema),
            case_sensitive: self.case_sensitive,
            batch_size: scan.batch_size.max(1),
            batches: None,
        };
        let batches = futures::stream::try_unfold(reader, |mut reader| async move {
            match reader.next().await {
                Ok(Some(batch)) => Ok(Some((batch, reader))),
                Ok(None) => Ok(None),
                Err(e) => Err(e.in_file(&reader.file.url).into()),
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }

    fn extension(&self) -> String {
        format!("{}.parquet", self.suffix)
    }

    fn writer(
        &self,
        schema: SchemaRef,
        out: Box<dyn Write + Send>,
    ) -> Result<Box<dyn FormatWriter>, FormatError> {
        self.check_schema(&schema, Direction::Write)?;
        let stored = stored_fields(schema.fields())?;
        let row_metadata = schema_to_json(&schema).to_string();
        let properties = WriterProperties::builder()
            .set_compression(self.compression)
            .set_created_by("millstream".to_owned())
            .set_coerce_types(true)
            .set_key_value_metadata(Some(vec![
                KeyValue::new(ROW_METADATA.to_owned(), row_metadata),
                KeyValue::new(SPARK_VERSION.0.to_owned(), SPARK_VERSION.1.to_owned()),
            ]))
            .build();
        let options = ArrowWriterOptions::new()
            .with_properties(properties)
            .with_skip_arrow_metadata(true)
            .with_schema_root("spark_schema".to_owned());
        let stored = Arc::new(Schema::new(stored));
        let writer =
            ArrowWriter::try_new_with_options(out, Arc::clone(&stored), options).map_err(failed)?;
        Ok(Box::new(ParquetFile { writer, stored }))
    }
}

struct ParquetReader {
    file: FileRef,
    schema: SchemaRef,
    case_sensitive: bool,
    batch_size: usize,
    batches: Option<ParquetRecordBatchReader>,
}

impl ParquetReader {
    async fn next(&mut self) -> Result<Option<RecordBatch>, FormatError> {
        if self.batches.is_none() {
            let batches = match &self.file.location {
                FileLocation::Local(path) => {
                    let local = File::open(path).map_err(FormatError::io("open"))?;
                    self.start(local)?
                }
                FileLocation::Object { .. } => {
                    let bytes = read_raw(&self.file).await?;
                    self.start(bytes)?
                }
            };
            self.batches = Some(batches);
        }
        match self.batches.as_mut().and_then(Iterator::next) {
            None => Ok(None),
            Some(batch) => adapt_batch(&batch?, &self.schema, self.case_sensitive).map(Some),
        }
    }

    fn start<R: ChunkReader + 'static>(
        &self,
        input: R,
    ) -> Result<ParquetRecordBatchReader, FormatError> {
        let metadata = footer(&input)?;
        let stored = metadata.schema().fields().clone();
        let mut roots = vec![];
        for field in self.schema.fields() {
            roots.extend(find(&stored, field.name(), self.case_sensitive)?);
        }
        let mask = ProjectionMask::roots(metadata.parquet_schema(), roots);
        ParquetRecordBatchReaderBuilder::new_with_metadata(input, metadata)
            .with_projection(mask)
            .with_batch_size(self.batch_size)
            .build()
            .map_err(failed)
    }
}

struct ParquetFile {
    writer: ArrowWriter<Box<dyn Write + Send>>,
    stored: SchemaRef,
}

impl FormatWriter for ParquetFile {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), FormatError> {
        let columns = batch.columns().iter().zip(self.stored.fields());
        let columns = columns.map(|(column, field)| stored_column(column, field));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let batch = RecordBatch::try_new(Arc::clone(&self.stored), columns)?;
        self.writer.write(&batch).map_err(failed)
    }

    fn bytes_written(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }

    fn finish(self: Box<Self>) -> Result<(), FormatError> {
        let mut out = self.writer.into_inner().map_err(failed)?;
        out.flush().map_err(FormatError::io("finish"))
    }
}

/// Fields as they are stored: intervals are integers, as in Spark's files.
fn stored_fields(fields: &Fields) -> Result<Fields, FormatError> {
    fields
        .iter()
        .map(|f| {
            let data_type = match f.data_type() {
                DataType::Interval(IntervalUnit::YearMonth) => DataType::Int32,
                DataType::Duration(TimeUnit::Microsecond) => DataType::Int64,
                nested if has_interval(nested) => {
                    let feature =
                        format!("an interval inside column {} of a Parquet file", f.name());
                    return Err(FormatError::Unsupported { feature });
                }
                other => other.clone(),
            };
            Ok(Arc::new(f.as_ref().clone().with_data_type(data_type)))
        })
        .collect()
}

fn has_interval(data_type: &DataType) -> bool {
    match data_type {
        DataType::Interval(_) | DataType::Duration(_) => true,
        DataType::Struct(fields) => fields.iter().any(|f| has_interval(f.data_type())),
        DataType::List(item) => has_interval(item.data_type()),
        DataType::Map(entries, _) => has_interval(entries.data_type()),
        _ => false,
    }
}

fn stored_column(column: &ArrayRef, field: &Field) -> Result<ArrayRef, FormatError> {
    let nulls = column.nulls().cloned();
    Ok(match (column.data_type(), field.data_type()) {
        (DataType::Interval(_), DataType::Int32) => {
            let values = column
                .as_primitive::<IntervalYearMonthType>()
                .values()
                .clone();
            Arc::new(PrimitiveArray::<Int32Type>::new(values, nulls))
        }
        (DataType::Duration(_), DataType::Int64) => {
            let values = column
                .as_primitive::<DurationMicrosecondType>()
                .values()
                .clone();
            Arc::new(PrimitiveArray::<Int64Type>::new(values, nulls))
        }
        (stored, wanted) if stored == wanted => Arc::clone(column),
        (_, wanted) => arrow::compute::cast(column, wanted)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        datetime::Zone,
        format::{
            csv::tests::Kept,
            file_format,
            json::tests::{file_of, printed, read},
        },
    };

    fn settings() -> FormatSettings {
        FormatSettings {
            time_zone: Zone::parse("America/Los_Angeles").unwrap(),
            ..Default::default()
        }
    }

    /// Every type, written by Spark 4.3.0.
    fn sparks_file() -> FileRef {
        let root = env!("CARGO_MANIFEST_DIR");
        FileRef::local(format!(
            "{root}/tests/fixtures/spark-4.3.0/types.snappy.parquet"
        ))
        .unwrap()
    }

    const ROW: &str = r#"{"a":1,"b":2,"c":3,"d":4,"e":1.5,"f":2.25,"g":1.10,"h":true,"i":"str","j":"Ymlu","k":"2020-01-02","l":"2020-01-02T03:04:05.678-08:00","m":"2020-01-02T03:04:05.678","n":"INTERVAL '1 02:03:04.5' DAY TO SECOND","o":"INTERVAL '1-2' YEAR TO MONTH","p":[1,null],"q":{"k":1},"r":{"x":1,"y":null},"s":null}"#;

    fn schema(format: &dyn FileFormat, file: &FileRef) -> SchemaRef {
        futures::executor::block_on(format.infer_schema(std::slice::from_ref(file))).unwrap()
    }

    #[test]
    fn a_file_of_sparks_reads_with_all_its_types() {
        let format = file_format("parquet", &Options::new(), &settings()).unwrap();
        let file = sparks_file();
        let batches = read(
            format.as_ref(),
            &file,
            schema(format.as_ref(), &file),
            None,
            10,
        )
        .unwrap();
        assert_eq!(printed(&batches, &settings()), [ROW]);
    }

    #[test]
    fn what_is_written_reads_back_with_all_its_types_in_every_codec() {
        let format = file_format("parquet", &Options::new(), &settings()).unwrap();
        let source = sparks_file();
        let schema = schema(format.as_ref(), &source);
        let batches = read(format.as_ref(), &source, Arc::clone(&schema), None, 10).unwrap();
        for codec in ["none", "snappy", "gzip", "zstd", "lz4", "lz4_raw", "brotli"] {
            let options: Options = [("compression", codec)].into_iter().collect();
            let format = file_format("parquet", &options, &settings()).unwrap();
            let sink = Kept::default();
            let mut writer = format
                .writer(Arc::clone(&schema), Box::new(sink.clone()))
                .unwrap();
            batches
                .iter()
                .for_each(|batch| writer.write(batch).unwrap());
            writer.finish().unwrap();
            let (_guard, file) = file_of(&sink.bytes());
            assert_eq!(*self::schema(format.as_ref(), &file), *schema, "{codec}");
            let back = read(format.as_ref(), &file, Arc::clone(&schema), None, 10).unwrap();
            assert_eq!(printed(&back, &settings()), [ROW], "{codec}");
        }
    }

    #[test]
    fn columns_are_found_by_name_and_missing_ones_are_null() {
        let format = file_format("parquet", &Options::new(), &settings()).unwrap();
        let wanted = Arc::new(Schema::new(vec![
            Field::new("new", DataType::Utf8, true),
            Field::new("C", DataType::Int64, true),
            Field::new("i", DataType::Utf8, true),
        ]));
        let batches = read(format.as_ref(), &sparks_file(), wanted, None, 10).unwrap();
        assert_eq!(
            printed(&batches, &settings()),
            [r#"{"new":null,"C":3,"i":"str"}"#]
        );
    }

    #[test]
    fn no_column_at_all_still_counts_rows() {
        let format = file_format("parquet", &Options::new(), &settings()).unwrap();
        let file = sparks_file();
        let batches = read(
            format.as_ref(),
            &file,
            schema(format.as_ref(), &file),
            Some(&[]),
            10,
        )
        .unwrap();
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
    }

    #[test]
    fn a_type_that_does_not_fit_is_an_error_that_names_column_and_file() {
        let format = file_format("parquet", &Options::new(), &settings()).unwrap();
        let wanted = Arc::new(Schema::new(vec![Field::new("i", DataType::Int32, true)]));
        let class = read(format.as_ref(), &sparks_file(), wanted, None, 10).unwrap_err();
        assert!(
            class.contains("PARQUET_COLUMN_DATA_TYPE_MISMATCH"),
            "{class}"
        );
    }

    #[test]
    fn bytes_that_are_no_parquet_file_are_an_error() {
        let (_guard, file) = file_of(b"PAR1 but not really");
        let format = file_format("parquet", &Options::new(), &settings()).unwrap();
        let error = futures::executor::block_on(format.infer_schema(std::slice::from_ref(&file)))
            .unwrap_err();
        assert!(error.to_string().contains(&file.url), "{error}");
    }
}
