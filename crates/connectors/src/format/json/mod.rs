//! JSON: one record a line, or one a file (`multiLine`), with Spark's coercions and parse modes.
//!
//! ## Three tiers
//!
//! Parsing JSON is what a streaming job spends its time on, so records go to the fastest parser that can
//! handle them, and only to what the query needs of them:
//!
//! | tier | module | handles | falls through on |
//! |---|---|---|---|
//! | 1 layout | [`layout`] | a record that consists of the same keys as the one before | any other byte |
//! | 2 scan | [`scan`] | flat records, keys in any order; skips what is not wanted | wanted nested values, wanted strings with escapes, anything malformed |
//! | 3 general | [`convert`] | every record and schema | nothing: it also decides what malformed means |
//!
//! The first two never report an error: whatever surprises them goes to tier 3, which alone knows Spark's
//! rules for bad records. They still look at the whole record, up to its closing brace, because a broken
//! field makes a record malformed whether or not the field is wanted. A property test holds all three to the
//! same rows.
//!
//! Files are read a megabyte at a time ([`crate::format::lines`]), lines are parsed where they lie, and
//! values go straight to the columns.
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use datafusion::{
    execution::SendableRecordBatchStream, physical_plan::stream::RecordBatchStreamAdapter,
};

mod convert;
mod infer;
mod layout;
mod lexer;
mod normalize;
mod options;
mod records;
mod rows;
mod scan;
mod write;

pub use options::JsonOptions;
pub use records::Tiers;
pub use rows::JsonRows;
pub use write::JsonTexts;

pub(crate) use options::{check_ratio, line_separator};
pub(crate) use records::corrupt_column;

use self::{
    infer::Inference, options::JsonWriteOptions, records::Records, scan::Clean, write::JsonFile,
};
use super::{
    Direction, FileFormat, FileRef, FormatError, FormatScan, FormatSettings, FormatWriter, Options,
    input::{Chunks, Compressor},
    lines::{Lines, Separator},
};

/// The `json` format.
#[derive(Debug)]
pub struct JsonFormat {
    read: JsonOptions,
    write: JsonWriteOptions,
    tiers: Tiers,
}

impl JsonFormat {
    /// # Errors
    /// If an option's value is not allowed.
    pub fn new(options: &Options, settings: &FormatSettings) -> Result<Self, FormatError> {
        Ok(Self {
            read: JsonOptions::new(options, settings)?,
            write: JsonWriteOptions::new(options, settings)?,
            tiers: Tiers::ALL,
        })
    }

    /// The same format with some tiers switched off; for measurements and tests.
    pub fn with_tiers(mut self, tiers: Tiers) -> Self {
        self.tiers = tiers;
        self
    }

    fn separator(&self) -> Separator {
        Separator::new(self.read.line_separator.as_deref())
    }

    async fn infer_file(
        &self,
        file: &FileRef,
        inference: &mut Inference<'_>,
    ) -> Result<(), FormatError> {
        let chunks = Chunks::new(file.clone());
        if self.read.multi_line {
            let text = whole(chunks, &self.read).await?;
            return inference.record(&text);
        }
        let mut lines = Lines::new(chunks, self.separator());
        while lines.fill().await? {
            let mut done = 0;
            let region = lines.region();
            while let Some(rest) = region.get(done..).filter(|rest| !rest.is_empty()) {
                let (length, end) = lines.separator().split(rest);
                let line = rest.get(..length).unwrap_or_default();
                if !line.is_empty() {
                    match self.read.encoding {
                        super::Encoding::Utf8 => inference.record(line)?,
                        encoding => inference.record(&encoding.decode(line))?,
                    }
                }
                done += length + end;
            }
            lines.consume(done);
        }
        Ok(())
    }
}

#[async_trait]
impl FileFormat for JsonFormat {
    fn name(&self) -> &'static str {
        "json"
    }

    async fn infer_schema(&self, files: &[FileRef]) -> Result<SchemaRef, FormatError> {
        if files.is_empty() {
            return Err(FormatError::UnableToInferSchema {
                format: "JSON".to_owned(),
            });
        }
        self.read.temporal.check([])?;
        check_ratio(self.read.infer.sampling_ratio)?;
        let mut inference = Inference::new(&self.read);
        for file in files {
            self.infer_file(file, &mut inference)
                .await
                .map_err(|e| e.in_file(&file.url))?;
        }
        Ok(Arc::new(inference.finish()?))
    }

    fn check_schema(&self, schema: &SchemaRef, direction: Direction) -> Result<(), FormatError> {
        if direction == Direction::Read {
            corrupt_column(
                schema.fields(),
                &self.read.corrupt_column,
                self.read.case_sensitive,
            )?;
        }
        for field in schema.fields() {
            convert::Kind::new(field.data_type()).or_else(|e| match direction {
                // Maps of any key can be written, not read.
                Direction::Write if matches!(field.data_type(), DataType::Map(..)) => {
                    Ok(convert::Kind::Null)
                }
                _ => Err(e),
            })?;
        }
        Ok(())
    }

    fn open(
        &self,
        file: &FileRef,
        scan: &FormatScan,
    ) -> Result<SendableRecordBatchStream, FormatError> {
        let schema = scan.output_schema()?;
        self.read
            .temporal
            .check(schema.fields().iter().map(|field| field.data_type()))?;
        super::refuse_only_corrupt(
            &scan.data_schema,
            &schema,
            &self.read.corrupt_column,
            self.read.case_sensitive,
        )?;
        let records = Records::new(Arc::clone(&schema), self.read.clone(), true, self.tiers)?;
        let reader = JsonReader {
            records,
            lines: Lines::new(Chunks::new(file.clone()), self.separator()),
            url: file.url.clone(),
            options: self.read.clone(),
            batch_size: scan.batch_size.max(1),
            whole: self.read.multi_line.then(|| Chunks::new(file.clone())),
        };
        let batches = futures::stream::try_unfold(reader, |mut reader| async move {
            match reader.next().await {
                Ok(Some(batch)) => Ok(Some((batch, reader))),
                Ok(None) => Ok(None),
                Err(e) => Err(e.in_file(&reader.url).into()),
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }

    fn extension(&self) -> String {
        format!(".json{}", self.write.codec.suffix())
    }

    fn writer(
        &self,
        schema: SchemaRef,
        out: Box<dyn std::io::Write + Send>,
    ) -> Result<Box<dyn FormatWriter>, FormatError> {
        self.check_schema(&schema, Direction::Write)?;
        self.write.temporal.check()?;
        self.write
            .temporal
            .check_types(schema.fields().iter().map(|field| field.data_type()))?;
        let out = Compressor::new(self.write.codec, out)?;
        Ok(Box::new(JsonFile::new(self.write.clone(), out)?))
    }
}

/// A file as one UTF-8 text.
async fn whole(mut chunks: Chunks, options: &JsonOptions) -> Result<Vec<u8>, FormatError> {
    let bytes = chunks.read_all().await?;
    Ok(match options.encoding {
        super::Encoding::Utf8 => bytes,
        encoding => encoding.decode(&bytes),
    })
}

/// One file being read.
struct JsonReader {
    records: Records,
    lines: Lines,
    url: String,
    options: JsonOptions,
    batch_size: usize,
    /// The file, until it has been read, when it is one record.
    whole: Option<Chunks>,
}

/// A batch ends at this many bytes of input even if it has fewer rows, so that offsets stay in range.
const BATCH_BYTES_MAX: usize = 256 << 20;

impl JsonReader {
    async fn next(&mut self) -> Result<Option<arrow::array::RecordBatch>, FormatError> {
        if self.options.multi_line {
            let Some(chunks) = self.whole.take() else {
                return Ok(None);
            };
            let text = whole(chunks, &self.options).await?;
            self.records.record(&text, Clean::of(&text))?;
            return Ok(Some(self.records.take()?).filter(|batch| batch.num_rows() > 0));
        }
        let mut bytes = 0;
        while self.records.rows() < self.batch_size
            && bytes < BATCH_BYTES_MAX
            && self.lines.fill().await?
        {
            let done = self.region()?;
            self.lines.consume(done);
            bytes += done;
        }
        Ok(match self.records.rows() {
            0 => None,
            _ => Some(self.records.take()?),
        })
    }

    /// Parses lines of the region until the batch is full; how many bytes are done.
    fn region(&mut self) -> Result<usize, FormatError> {
        let region = self.lines.region();
        let mut done = 0;
        while self.records.rows() < self.batch_size {
            let Some(rest) = region.get(done..).filter(|rest| !rest.is_empty()) else {
                break;
            };
            let (length, end) = self.lines.separator().split(rest);
            let line = rest.get(..length).unwrap_or_default();
            done += length + end;
            if line.is_empty() {
                continue;
            }
            match self.options.encoding {
                super::Encoding::Utf8 => self.records.record(line, Clean::of(line))?,
                encoding => {
                    let line = encoding.decode(line);
                    self.records.record(&line, Clean::of(&line))?;
                }
            }
        }
        Ok(done)
    }
}

#[cfg(test)]
pub(crate) mod tests;
