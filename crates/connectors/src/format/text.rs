//! The text format: a line, or with `wholetext` a file, is a row of one string column.
use std::sync::Arc;

use arrow::{
    array::{Array, AsArray, RecordBatch, RecordBatchOptions},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use async_trait::async_trait;
use datafusion::{
    execution::SendableRecordBatchStream, physical_plan::stream::RecordBatchStreamAdapter,
};

use super::{
    Direction, Encoding, FileFormat, FileRef, FormatError, FormatScan, FormatSettings,
    FormatWriter, Options,
    column::Column,
    input::{Chunks, Codec, Compressor},
    json::line_separator,
    lines::{Lines, Separator},
    spark_type::field_sql_name,
};

/// The `text` format.
#[derive(Debug)]
pub struct TextFormat {
    whole_text: bool,
    line_separator: Option<Vec<u8>>,
    codec: Codec,
}

impl TextFormat {
    /// # Errors
    /// If an option's value is not allowed.
    pub fn new(options: &Options, _settings: &FormatSettings) -> Result<Self, FormatError> {
        Ok(Self {
            whole_text: options.flag("wholetext", false)?,
            line_separator: line_separator(options, Encoding::Utf8)?,
            codec: Codec::from_options(options)?,
        })
    }
}

#[async_trait]
impl FileFormat for TextFormat {
    fn name(&self) -> &'static str {
        "text"
    }

    async fn infer_schema(&self, _files: &[FileRef]) -> Result<SchemaRef, FormatError> {
        Ok(Arc::new(Schema::new(vec![Field::new(
            "value",
            DataType::Utf8,
            true,
        )])))
    }

    fn check_schema(&self, schema: &SchemaRef, _direction: Direction) -> Result<(), FormatError> {
        // Spark looks at the types before it counts the columns.
        let is_text =
            |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let fields = schema.fields();
        if let Some(field) = fields.iter().find(|field| !is_text(field.data_type())) {
            return Err(FormatError::UnsupportedType {
                format: "Text".to_owned(),
                column: field.name().clone(),
                data_type: field_sql_name(field),
            });
        }
        match fields.len() {
            1 => Ok(()),
            columns => Err(FormatError::TextColumns { columns }),
        }
    }

    fn open(
        &self,
        file: &FileRef,
        scan: &FormatScan,
    ) -> Result<SendableRecordBatchStream, FormatError> {
        self.check_schema(&scan.data_schema, Direction::Read)?;
        let schema = scan.output_schema()?;
        let chunks = Chunks::new(file.clone());
        let reader = TextReader {
            lines: Lines::new(chunks, Separator::new(self.line_separator.as_deref())),
            whole: self.whole_text.then(|| Chunks::new(file.clone())),
            whole_text: self.whole_text,
            columns: schema.fields().len(),
            schema: Arc::clone(&schema),
            batch_size: scan.batch_size.max(1),
        };
        let batches = futures::stream::try_unfold(reader, |mut reader| async move {
            match reader.next().await {
                Ok(Some(batch)) => Ok(Some((batch, reader))),
                Ok(None) => Ok(None),
                Err(e) => Err(e.in_file(reader.lines.url()).into()),
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }

    fn extension(&self) -> String {
        format!(".txt{}", self.codec.suffix())
    }

    fn writer(
        &self,
        schema: SchemaRef,
        out: Box<dyn std::io::Write + Send>,
    ) -> Result<Box<dyn FormatWriter>, FormatError> {
        self.check_schema(&schema, Direction::Write)?;
        Ok(Box::new(TextFile {
            out: Compressor::new(self.codec, out)?,
            separator: self
                .line_separator
                .clone()
                .unwrap_or_else(|| b"\n".to_vec()),
            written: 0,
        }))
    }
}

struct TextReader {
    lines: Lines,
    /// The file, until it has been read, when it is one row.
    whole: Option<Chunks>,
    whole_text: bool,
    /// How many columns are wanted: one, or none to count rows.
    columns: usize,
    schema: SchemaRef,
    batch_size: usize,
}

impl TextReader {
    async fn next(&mut self) -> Result<Option<RecordBatch>, FormatError> {
        let mut column = Column::new(&DataType::Utf8)?;
        if self.whole_text {
            let Some(mut chunks) = self.whole.take() else {
                return Ok(None);
            };
            let text = chunks.read_all().await?;
            push(&mut column, &text);
        } else {
            while column.len() < self.batch_size && self.lines.fill().await? {
                let region = self.lines.region();
                let mut done = 0;
                while column.len() < self.batch_size && done < region.len() {
                    let rest = region.get(done..).unwrap_or_default();
                    let (length, end) = self.lines.separator().split(rest);
                    push(&mut column, rest.get(..length).unwrap_or_default());
                    done += length + end;
                }
                self.lines.consume(done);
            }
        }
        let rows = column.len();
        if rows == 0 {
            return Ok(None);
        }
        let arrays = (0..self.columns)
            .map(|_| column.take())
            .collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(Some(RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            arrays,
            &options,
        )?))
    }
}

/// Appends a string; Arrow holds only UTF-8, so other bytes become U+FFFD.
fn push(column: &mut Column, text: &[u8]) {
    if let Column::Utf8(column) = column {
        column.push(String::from_utf8_lossy(text).as_bytes());
    }
}

struct TextFile {
    out: Compressor,
    separator: Vec<u8>,
    written: u64,
}

impl TextFile {
    fn lines<'a>(
        &mut self,
        values: impl Iterator<Item = Option<&'a str>>,
    ) -> Result<(), FormatError> {
        for value in values {
            let value = value.unwrap_or_default().as_bytes();
            self.out.write(value)?;
            self.out.write(&self.separator)?;
            self.written += (value.len() + self.separator.len()) as u64;
        }
        Ok(())
    }
}

impl FormatWriter for TextFile {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), FormatError> {
        let column = batch.column(0);
        match column.data_type() {
            DataType::LargeUtf8 => self.lines(column.as_string::<i64>().iter()),
            DataType::Utf8View => self.lines(column.as_string_view().iter()),
            _ => self.lines(column.as_string::<i32>().iter()),
        }
    }

    fn bytes_written(&self) -> u64 {
        self.written
    }

    fn finish(self: Box<Self>) -> Result<(), FormatError> {
        self.out.finish()
    }
}
