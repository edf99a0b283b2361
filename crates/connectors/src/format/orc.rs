//! ORC, through `orc-rust`.
//!
//! A timestamp without a zone is a wall clock in ORC; Spark reads and writes a TIMESTAMP as one in the
//! machine's zone, and so it is done here. Writing covers the primitive types that the library's writer encodes; schemas with
//! decimals or nested columns are refused before anything is written.
use std::{fs::File, io::Write, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, PrimitiveArray, RecordBatch},
    datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType},
};
use async_trait::async_trait;
use datafusion::{
    execution::SendableRecordBatchStream, physical_plan::stream::RecordBatchStreamAdapter,
};
use orc_rust::{
    ArrowReader, ArrowReaderBuilder, ArrowWriterBuilder, TimestampPrecision,
    compression::CompressionType, projection::ProjectionMask, reader::ChunkReader,
};

use super::{
    Direction, FileFormat, FileLocation, FileRef, FormatError, FormatScan, FormatSettings,
    FormatWriter, Options,
    adapt::{adapt_batch, find, merge, spark_fields},
    input::read_raw,
    spark_type::{field_sql_name, timestamp_type},
};
use crate::datetime::Zone;

/// The `orc` format.
#[derive(Debug)]
pub struct OrcFormat {
    compression: Option<CompressionType>,
    suffix: &'static str,
    merge_schema: bool,
    case_sensitive: bool,
    zone: Zone,
}

impl OrcFormat {
    /// # Errors
    /// If the codec is not available.
    pub fn new(options: &Options, settings: &FormatSettings) -> Result<Self, FormatError> {
        let codec = options
            .get("compression")
            .or_else(|| options.get("orc.compress"))
            .unwrap_or(&settings.orc_codec);
        let (compression, suffix) = match codec.to_ascii_lowercase().as_str() {
            "none" | "uncompressed" => (None, ""),
            "zlib" => (Some(CompressionType::Zlib), ".zlib"),
            "snappy" => (Some(CompressionType::Snappy), ".snappy"),
            "zstd" => (Some(CompressionType::Zstd), ".zstd"),
            "lz4" => (Some(CompressionType::Lz4), ".lz4"),
            _ => {
                return Err(FormatError::UnknownCodec {
                    codec: codec.to_owned(),
                    available: "lz4, none, snappy, uncompressed, zlib, zstd".to_owned(),
                });
            }
        };
        Ok(Self {
            compression,
            suffix,
            merge_schema: options.flag("mergeSchema", settings.orc_merge_schema)?,
            case_sensitive: settings.case_sensitive,
            zone: settings.system_time_zone,
        })
    }
}

fn builder<R: ChunkReader>(input: R) -> Result<ArrowReaderBuilder<R>, FormatError> {
    let builder = ArrowReaderBuilder::try_new(input).map_err(FormatError::corrupt)?;
    Ok(builder.with_timestamp_precision(TimestampPrecision::Microsecond))
}

/// A file whose columns cannot be told has no footer.
fn of_footer<T>(read: Result<T, FormatError>) -> Result<T, FormatError> {
    read.map_err(|error| FormatError::Footer {
        reason: error.to_string(),
    })
}

/// A file's columns as Spark sees them: a timestamp without a zone is a TIMESTAMP.
fn schema_of<R: ChunkReader>(builder: &ArrowReaderBuilder<R>) -> Result<Fields, FormatError> {
    let fields = spark_fields(builder.schema().fields())?;
    Ok(fields
        .iter()
        .map(|f| match f.data_type() {
            DataType::Timestamp(_, None) => Arc::new(Field::new(f.name(), timestamp_type(), true)),
            _ => Arc::clone(f),
        })
        .collect())
}

#[async_trait]
impl FileFormat for OrcFormat {
    fn name(&self) -> &'static str {
        "orc"
    }

    async fn infer_schema(&self, files: &[FileRef]) -> Result<SchemaRef, FormatError> {
        let mut fields: Option<Fields> = None;
        for file in files {
            let of_file = match &file.location {
                FileLocation::Local(path) => File::open(path)
                    .map_err(FormatError::io("open"))
                    .and_then(|local| schema_of(&of_footer(builder(local))?)),
                FileLocation::Object { .. } => read_raw(file)
                    .await
                    .and_then(|bytes| schema_of(&of_footer(builder(bytes))?)),
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
            format: "ORC".to_owned(),
        })?;
        Ok(Arc::new(Schema::new(fields)))
    }

    fn check_schema(&self, schema: &SchemaRef, direction: Direction) -> Result<(), FormatError> {
        if direction == Direction::Read {
            return Ok(());
        }
        for field in schema.fields() {
            let data_type = field.data_type();
            if *data_type == DataType::Null {
                return Err(FormatError::UnsupportedType {
                    format: "ORC".to_owned(),
                    column: field.name().clone(),
                    data_type: field_sql_name(field),
                });
            }
            let encoded = matches!(
                data_type,
                DataType::Boolean
                    | DataType::Int8
                    | DataType::Int16
                    | DataType::Int32
                    | DataType::Int64
                    | DataType::Float32
                    | DataType::Float64
                    | DataType::Utf8
                    | DataType::Binary
                    | DataType::Date32
                    | DataType::Timestamp(TimeUnit::Microsecond, _)
            );
            if !encoded {
                let column = field.name();
                let feature = format!(
                    "writing column {column} of type {} to ORC",
                    field_sql_name(field)
                );
                return Err(FormatError::Unsupported { feature });
            }
        }
        Ok(())
    }

    fn open(
        &self,
        file: &FileRef,
        scan: &FormatScan,
    ) -> Result<SendableRecordBatchStream, FormatError> {
        let schema = scan.output_schema()?;
        let reader = OrcReader {
            file: file.clone(),
            schema: Arc::clone(&schema),
            case_sensitive: self.case_sensitive,
            zone: self.zone,
            batch_size: scan.batch_size.max(1),
            batches: None,
            uncounted: 0,
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
        format!("{}.orc", self.suffix)
    }

    fn writer(
        &self,
        schema: SchemaRef,
        out: Box<dyn Write + Send>,
    ) -> Result<Box<dyn FormatWriter>, FormatError> {
        self.check_schema(&schema, Direction::Write)?;
        // A TIMESTAMP is stored as the wall clock of the session's zone, which is what readers undo.
        let stored: Fields = schema
            .fields()
            .iter()
            .map(|f| match f.data_type() {
                DataType::Timestamp(unit, Some(_)) => Arc::new(
                    f.as_ref()
                        .clone()
                        .with_data_type(DataType::Timestamp(*unit, None)),
                ),
                _ => Arc::clone(f),
            })
            .collect();
        let stored = Arc::new(Schema::new(stored));
        Ok(Box::new(OrcFile {
            out,
            compression: self.compression,
            stored,
            zone: self.zone,
            batches: vec![],
            bytes: 0,
        }))
    }
}

struct OrcReader {
    file: FileRef,
    schema: SchemaRef,
    case_sensitive: bool,
    zone: Zone,
    batch_size: usize,
    batches: Option<Box<dyn Iterator<Item = Result<RecordBatch, arrow::error::ArrowError>> + Send>>,
    /// Rows to report when no column of the file is wanted.
    uncounted: u64,
}

impl OrcReader {
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
        if self.uncounted > 0 {
            let rows = self.uncounted.min(self.batch_size as u64);
            self.uncounted -= rows;
            let options =
                arrow::array::RecordBatchOptions::new().with_row_count(usize::try_from(rows).ok());
            let empty = Arc::new(Schema::empty());
            let batch = RecordBatch::try_new_with_options(empty, vec![], &options)?;
            return adapt_batch(&batch, &self.schema, self.case_sensitive).map(Some);
        }
        match self.batches.as_mut().and_then(Iterator::next) {
            None => Ok(None),
            Some(batch) => {
                let batch = self.in_zone(batch?)?;
                adapt_batch(&batch, &self.schema, self.case_sensitive).map(Some)
            }
        }
    }

    fn start<R: ChunkReader + Send + 'static>(
        &mut self,
        input: R,
    ) -> Result<
        Box<dyn Iterator<Item = Result<RecordBatch, arrow::error::ArrowError>> + Send>,
        FormatError,
    > {
        let builder = builder(input)?;
        let stored = builder.schema().fields().clone();
        let mut names = vec![];
        for field in self.schema.fields() {
            if let Some(index) = find(&stored, field.name(), self.case_sensitive)? {
                names.push(stored[index].name().clone());
            }
        }
        if names.is_empty() {
            self.uncounted = builder.file_metadata().number_of_rows();
            return Ok(Box::new(std::iter::empty()));
        }
        let mask = ProjectionMask::named_roots(builder.file_metadata().root_data_type(), &names);
        let reader: ArrowReader<R> = builder
            .with_projection(mask)
            .with_batch_size(self.batch_size)
            .build();
        Ok(Box::new(reader))
    }

    /// Wall clocks become instants where a TIMESTAMP is wanted.
    fn in_zone(&self, batch: RecordBatch) -> Result<RecordBatch, FormatError> {
        let mut fields = vec![];
        let mut columns = vec![];
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            let wanted = find(self.schema.fields(), field.name(), self.case_sensitive)?;
            let instant = wanted
                .and_then(|i| self.schema.fields().get(i))
                .is_some_and(|f| matches!(f.data_type(), DataType::Timestamp(_, Some(_))));
            if instant && matches!(field.data_type(), DataType::Timestamp(_, None)) {
                let array = column.as_primitive::<TimestampMicrosecondType>();
                columns.push(self.to_instants(array));
                fields.push(Arc::new(
                    field.as_ref().clone().with_data_type(timestamp_type()),
                ));
            } else {
                columns.push(Arc::clone(column));
                fields.push(Arc::clone(field));
            }
        }
        Ok(RecordBatch::try_new(
            Arc::new(Schema::new(fields)),
            columns,
        )?)
    }

    fn to_instants(&self, array: &PrimitiveArray<TimestampMicrosecondType>) -> ArrayRef {
        let instants = array.unary_opt::<_, TimestampMicrosecondType>(|micros| {
            let seconds = micros.div_euclid(1_000_000);
            let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
            self.zone
                .instant_of(days, of_day, micros.rem_euclid(1_000_000))
        });
        Arc::new(instants.with_timezone("UTC"))
    }
}

/// One ORC file being written. The library's writer cannot move between threads, so rows wait here and are
/// encoded when the file ends.
struct OrcFile {
    out: Box<dyn Write + Send>,
    compression: Option<CompressionType>,
    stored: SchemaRef,
    zone: Zone,
    batches: Vec<RecordBatch>,
    bytes: u64,
}

impl FormatWriter for OrcFile {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), FormatError> {
        let columns = batch
            .columns()
            .iter()
            .map(|column| match column.data_type() {
                DataType::Timestamp(_, Some(_)) => {
                    let array = column.as_primitive::<TimestampMicrosecondType>();
                    let zone = self.zone;
                    let walls =
                        array.unary::<_, TimestampMicrosecondType>(|m| zone.to_local_micros(m));
                    Arc::new(walls.with_timezone_opt(None::<Arc<str>>)) as ArrayRef
                }
                _ => Arc::clone(column),
            });
        let batch = RecordBatch::try_new(Arc::clone(&self.stored), columns.collect())?;
        self.bytes += batch.get_array_memory_size() as u64;
        self.batches.push(batch);
        Ok(())
    }

    /// In-memory size of the rows.
    fn bytes_written(&self) -> u64 {
        self.bytes
    }

    fn finish(self: Box<Self>) -> Result<(), FormatError> {
        let mut builder = ArrowWriterBuilder::new(self.out, Arc::clone(&self.stored));
        if let Some(compression) = self.compression {
            builder = builder.with_compression(compression);
        }
        let mut writer = builder.try_build().map_err(FormatError::corrupt)?;
        for batch in &self.batches {
            writer.write(batch).map_err(FormatError::corrupt)?;
        }
        writer.close().map_err(FormatError::corrupt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{
        csv::tests::Kept,
        file_format,
        json::tests::{file_of, printed, read},
    };

    fn settings() -> FormatSettings {
        FormatSettings {
            time_zone: Zone::parse("America/Los_Angeles").unwrap(),
            ..Default::default()
        }
    }

    fn sparks_file() -> FileRef {
        let root = env!("CARGO_MANIFEST_DIR");
        FileRef::local(format!("{root}/tests/fixtures/spark-4.3.0/types.zstd.orc")).unwrap()
    }

    fn schema(format: &dyn FileFormat, file: &FileRef) -> SchemaRef {
        futures::executor::block_on(format.infer_schema(std::slice::from_ref(file))).unwrap()
    }

    const ROW: &str = r#"{"a":1,"b":2,"c":3,"d":4,"e":1.5,"f":2.25,"g":1.10,"h":true,"i":"str","j":"Ymlu","k":"2020-01-02","l":"2020-01-02T03:04:05.678-08:00","p":[1,null],"q":{"k":1},"r":{"x":1,"y":null},"s":null}"#;

    #[test]
    fn a_file_of_sparks_reads() {
        let format = file_format("orc", &Options::new(), &settings()).unwrap();
        let file = sparks_file();
        let schema = schema(format.as_ref(), &file);
        let names: Vec<&str> = schema
            .fields()
            .iter()
            .map(|f| f.name().as_str())
            .filter(|n| !["m", "n", "o"].contains(n))
            .collect();
        let batches = read(
            format.as_ref(),
            &file,
            Arc::clone(&schema),
            Some(&names),
            10,
        )
        .unwrap();
        assert_eq!(printed(&batches, &settings()), [ROW]);
        let none = read(format.as_ref(), &file, schema, Some(&[]), 10).unwrap();
        assert_eq!(none.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
    }

    #[test]
    fn primitives_are_written_and_read_back_and_others_are_refused() {
        let format = file_format("orc", &Options::new(), &settings()).unwrap();
        let file = sparks_file();
        let schema = schema(format.as_ref(), &file);
        let names = ["a", "b", "c", "d", "e", "f", "h", "i", "j", "k", "l", "s"];
        let batches = read(
            format.as_ref(),
            &file,
            Arc::clone(&schema),
            Some(&names),
            10,
        )
        .unwrap();
        for codec in ["none", "zlib", "snappy", "zstd", "lz4"] {
            let options: Options = [("compression", codec)].into_iter().collect();
            let format = file_format("orc", &options, &settings()).unwrap();
            let sink = Kept::default();
            let mut writer = format
                .writer(batches[0].schema(), Box::new(sink.clone()))
                .unwrap();
            writer.write(&batches[0]).unwrap();
            writer.finish().unwrap();
            let (_guard, file) = file_of(&sink.bytes());
            let back = read(format.as_ref(), &file, batches[0].schema(), None, 10).unwrap();
            assert_eq!(
                printed(&back, &settings()),
                printed(&batches, &settings()),
                "{codec}"
            );
        }
        let error = format
            .writer(schema, Box::new(Kept::default()))
            .err()
            .unwrap();
        assert!(error.to_string().contains("column g"), "{error}");
    }
}
