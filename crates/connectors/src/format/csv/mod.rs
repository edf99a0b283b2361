//! CSV: a record a line, or anywhere between line ends outside quotes (`multiLine`).
//!
//! A file is cut into lines first, and each line into values ([`tokens`]), because that is what Spark does
//! without `multiLine`: an open quote ends with its line. Values are converted only for the columns a query
//! wants; if no column is wanted records are only counted. A record with too few or too many values is
//! malformed, but only if all columns (or the corrupt-record column) are wanted: this is Spark's column
//! pruning, and it decides what `DROPMALFORMED` drops.
use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanBufferBuilder, RecordBatch, StructArray},
    buffer::NullBuffer,
    datatypes::{DataType, Schema, SchemaRef},
};
use async_trait::async_trait;
use datafusion::{
    execution::SendableRecordBatchStream, physical_plan::stream::RecordBatchStreamAdapter,
};

mod convert;
mod infer;
mod options;
mod records;
mod tokens;
mod write;

pub use options::CsvOptions;
pub use write::CsvTexts;

use self::{
    infer::Inferred, options::CsvWriteOptions, records::CsvRecords, tokens::Tokens, write::CsvFile,
};
use super::{
    Direction, Encoding, FileFormat, FileRef, FormatError, FormatScan, FormatSettings,
    FormatWriter, Options, ParseMode,
    input::{Chunks, Compressor},
    json::{check_ratio, corrupt_column},
    lines::{Lines, Separator},
};

/// The `csv` format.
#[derive(Debug)]
pub struct CsvFormat {
    read: CsvOptions,
    write: CsvWriteOptions,
}

impl CsvFormat {
    /// # Errors
    /// If an option's value is not allowed.
    pub fn new(options: &Options, settings: &FormatSettings) -> Result<Self, FormatError> {
        Ok(Self {
            read: CsvOptions::new(options, settings)?,
            write: CsvWriteOptions::new(options, settings)?,
        })
    }

    /// Hands every record of a file to `each`, header included, until it answers `false`.
    async fn records(
        &self,
        file: &FileRef,
        mut each: impl FnMut(&[u8], &Tokens) -> Result<bool, FormatError> + Send,
    ) -> Result<(), FormatError> {
        let mut input = Input::new(file, &self.read);
        let mut tokens = Tokens::default();
        while input.fill().await? {
            let text = input.text();
            let mut done = 0;
            while let Some(rest) = text.get(done..).filter(|rest| !rest.is_empty()) {
                let (length, record) = input.next(rest, &self.read, &mut tokens)?;
                done += length;
                if let Some(record) = record {
                    let record = rest.get(record).unwrap_or_default();
                    if !self.read.multi_line {
                        cut(&mut tokens, record, &self.read)?;
                    }
                    if !each(record, &tokens)? {
                        return Ok(());
                    }
                }
            }
            input.consume(done);
        }
        Ok(())
    }

    async fn infer_types(
        &self,
        file: &FileRef,
        header: &[u8],
        types: &mut [Inferred],
        seen: &mut u64,
    ) -> Result<(), FormatError> {
        let ratio = self.read.sampling_ratio;
        self.records(file, |record, tokens| {
            // Spark leaves out every record that reads like the header.
            if self.read.header && record == header {
                return Ok(true);
            }
            *seen += 1;
            let quota = |records: u64| (records as f64 * ratio).floor();
            if ratio < 1.0 && quota(*seen) == quota(*seen - 1) {
                return Ok(true);
            }
            for (index, inferred) in types.iter_mut().enumerate() {
                let Some(token) = tokens.get(index) else {
                    break;
                };
                *inferred = inferred.with(tokens.text(record, token), &self.read);
            }
            Ok(true)
        })
        .await
    }
}

/// The columns of one CSV record, named `_c0`, `_c1`, ….
///
/// # Errors
/// If an option's value is not allowed, or the record is longer than the options allow.
pub fn infer_record(
    record: &str,
    options: &Options,
    settings: &FormatSettings,
) -> Result<Schema, FormatError> {
    let mut options = CsvOptions::new(options, settings)?;
    options.temporal.check([&DataType::Date32])?;
    options.header = false;
    let mut tokens = Tokens::default();
    cut(&mut tokens, record.as_bytes(), &options)?;
    let mut types = vec![];
    for token in (0..tokens.len()).filter_map(|index| tokens.get(index)) {
        types.push(Inferred::Null.with(tokens.text(record.as_bytes(), token), &options));
    }
    let names = infer::names(&vec![None; types.len()], &options);
    Ok(infer::schema(names, &types))
}

fn cut(tokens: &mut Tokens, record: &[u8], options: &CsvOptions) -> Result<(), FormatError> {
    tokens
        .cut(record, &options.dialect)
        .map_err(|e| FormatError::corrupt(e.0))
}

#[async_trait]
impl FileFormat for CsvFormat {
    fn name(&self) -> &'static str {
        "csv"
    }

    async fn infer_schema(&self, files: &[FileRef]) -> Result<SchemaRef, FormatError> {
        if files.is_empty() {
            return Err(FormatError::UnableToInferSchema {
                format: "CSV".to_owned(),
            });
        }
        let inferred = self.read.infer_schema.then_some(&DataType::Date32);
        self.read.temporal.check(inferred)?;
        check_ratio(self.read.sampling_ratio)?;
        let mut first: Option<(Vec<u8>, Vec<Option<String>>)> = None;
        for file in files {
            let read = self.records(file, |record, tokens| {
                let values =
                    (0..tokens.len())
                        .filter_map(|i| tokens.get(i))
                        .map(|token| match token {
                            tokens::Token::Missing => None,
                            token => Some(
                                String::from_utf8_lossy(tokens.text(record, token)).into_owned(),
                            ),
                        });
                first = Some((record.to_vec(), values.collect()));
                Ok(false)
            });
            read.await.map_err(|e| e.in_file(&file.url))?;
            if first.is_some() {
                break;
            }
        }
        let Some((header, first)) = first else {
            return Ok(Arc::new(Schema::empty()));
        };
        let names = infer::names(&first, &self.read);
        let mut types = vec![];
        if self.read.infer_schema {
            types = vec![Inferred::Null; names.len()];
            let mut seen = 0;
            for file in files {
                let read = self.infer_types(file, &header, &mut types, &mut seen);
                read.await.map_err(|e| e.in_file(&file.url))?;
            }
        }
        Ok(Arc::new(infer::schema(names, &types)))
    }

    fn check_schema(&self, schema: &SchemaRef, direction: Direction) -> Result<(), FormatError> {
        if direction == Direction::Read {
            corrupt_column(
                schema.fields(),
                &self.read.corrupt_column,
                self.read.case_sensitive,
            )?;
        }
        let strings = |t: &DataType| {
            matches!(
                t,
                DataType::LargeUtf8
                    | DataType::Utf8View
                    | DataType::LargeBinary
                    | DataType::BinaryView
            )
        };
        let holds =
            |t: &DataType| convert::supported(t) || (direction == Direction::Write && strings(t));
        match schema.fields().iter().find(|f| !holds(f.data_type())) {
            Some(field) => Err(convert::unsupported(field.name(), field.data_type())),
            None => Ok(()),
        }
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
        let options = &self.read;
        super::refuse_only_corrupt(
            &scan.data_schema,
            &schema,
            &options.corrupt_column,
            options.case_sensitive,
        )?;
        let reader = CsvReader {
            input: Input::new(file, options),
            records: CsvRecords::new(&scan.data_schema, &scan.projection, options.clone())?,
            tokens: Tokens::default(),
            header_pending: options.header,
            data_schema: Arc::clone(&scan.data_schema),
            options: options.clone(),
            url: file.url.clone(),
            batch_size: scan.batch_size.max(1),
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
        format!(".csv{}", self.write.codec.suffix())
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
        Ok(Box::new(CsvFile::new(self.write.clone(), &schema, out)?))
    }
}

/// The text of a file: lines in pieces, or everything at once when records may span lines or the bytes
/// must be converted first.
enum Input {
    Lines(Lines),
    Whole(Whole),
}

/// A file as one UTF-8 text.
struct Whole {
    chunks: Chunks,
    encoding: Encoding,
    /// The `lineSep` option.
    separator: Option<Vec<u8>>,
    text: Vec<u8>,
    /// What ends records outside quotes.
    newline: Vec<u8>,
    read: bool,
    done: usize,
}

impl Input {
    fn new(file: &FileRef, options: &CsvOptions) -> Self {
        let chunks = Chunks::new(file.clone());
        let separator = options.line_separator.clone();
        let utf8 = matches!(options.encoding, Encoding::Utf8 | Encoding::Ascii);
        if utf8 && !options.multi_line {
            return Self::Lines(Lines::new(chunks, Separator::new(separator.as_deref())));
        }
        Self::Whole(Whole {
            chunks,
            encoding: options.encoding,
            separator,
            text: vec![],
            newline: vec![],
            read: false,
            done: 0,
        })
    }

    async fn fill(&mut self) -> Result<bool, FormatError> {
        match self {
            Self::Lines(lines) => lines.fill().await,
            Self::Whole(whole) => {
                if !whole.read {
                    whole.read = true;
                    whole.text = whole.encoding.decode(&whole.chunks.read_all().await?);
                    let mark = whole.text.starts_with(b"\xef\xbb\xbf");
                    whole.done = if mark { 3 } else { 0 };
                    whole.newline = match &whole.separator {
                        Some(separator) => whole.encoding.decode(separator),
                        None => line_end(&whole.text),
                    };
                }
                Ok(whole.done < whole.text.len())
            }
        }
    }

    fn text(&self) -> &[u8] {
        match self {
            Self::Lines(lines) => lines.region(),
            Self::Whole(whole) => whole.text.get(whole.done..).unwrap_or_default(),
        }
    }

    fn consume(&mut self, length: usize) {
        match self {
            Self::Lines(lines) => lines.consume(length),
            Self::Whole(whole) => whole.done += length,
        }
    }

    /// Length of the first record of `rest` with its end, and where the record is unless it is left out
    /// (blank lines and comments). With `multiLine` it is cut as well.
    fn next(
        &self,
        rest: &[u8],
        options: &CsvOptions,
        tokens: &mut Tokens,
    ) -> Result<(usize, Option<std::ops::Range<usize>>), FormatError> {
        let comment = |text: &[u8]| {
            options
                .dialect
                .comment
                .is_some_and(|c| text.first() == Some(&c))
        };
        match self {
            Self::Whole(whole) if options.multi_line => {
                let newline = &whole.newline;
                if rest.starts_with(newline) {
                    return Ok((newline.len(), None));
                }
                if comment(rest) {
                    let end = memchr::memmem::find(rest, newline)
                        .map_or(rest.len(), |at| at + newline.len());
                    return Ok((end, None));
                }
                let cut = tokens.cut_next(rest, &options.dialect, Some(newline));
                let length = cut.map_err(|e| FormatError::corrupt(e.0))?;
                let end = rest
                    .get(..length)
                    .and_then(|r| r.strip_suffix(newline.as_slice()));
                Ok((length, Some(0..end.map_or(length, <[u8]>::len))))
            }
            _ => {
                let (length, end) = match self {
                    Self::Lines(lines) => lines.separator().split(rest),
                    Self::Whole(whole) => match &whole.separator {
                        Some(_) => Separator::Bytes(whole.newline.clone()).split(rest),
                        None => Separator::Newline.split(rest),
                    },
                };
                let line = rest.get(..length).unwrap_or_default();
                let skipped = line.iter().all(|b| *b <= b' ') || comment(line);
                Ok((length + end, (!skipped).then_some(0..length)))
            }
        }
    }
}

/// What ends lines in a text: its first line end.
fn line_end(text: &[u8]) -> Vec<u8> {
    match memchr::memchr2(b'\n', b'\r', text) {
        Some(at) if text.get(at..at + 2) == Some(b"\r\n") => b"\r\n".to_vec(),
        Some(at) if text.get(at) == Some(&b'\r') => b"\r".to_vec(),
        _ => b"\n".to_vec(),
    }
}

/// One file being read.
struct CsvReader {
    input: Input,
    records: CsvRecords,
    tokens: Tokens,
    header_pending: bool,
    data_schema: SchemaRef,
    options: CsvOptions,
    url: String,
    batch_size: usize,
}

impl CsvReader {
    async fn next(&mut self) -> Result<Option<RecordBatch>, FormatError> {
        while self.records.rows() < self.batch_size && self.input.fill().await? {
            let done = self.region()?;
            self.input.consume(done);
        }
        match self.records.rows() {
            0 => Ok(None),
            _ => Ok(Some(self.records.take()?)),
        }
    }

    fn region(&mut self) -> Result<usize, FormatError> {
        let text = self.input.text();
        let mut done = 0;
        while self.records.rows() < self.batch_size {
            let Some(rest) = text.get(done..).filter(|rest| !rest.is_empty()) else {
                break;
            };
            let (length, record) = self.input.next(rest, &self.options, &mut self.tokens)?;
            done += length;
            let Some(record) = record.and_then(|range| rest.get(range)) else {
                continue;
            };
            if std::mem::take(&mut self.header_pending) {
                if !self.options.enforce_schema {
                    cut(&mut self.tokens, record, &self.options)?;
                    self.check_header(record)?;
                }
            } else if self.options.multi_line {
                self.records.tokens(record, &self.tokens)?;
            } else {
                self.records.record(record)?;
            }
        }
        Ok(done)
    }

    /// Without `enforceSchema`, the header must name the schema's columns.
    fn check_header(&self, record: &[u8]) -> Result<(), FormatError> {
        let corrupt = &self.options.corrupt_column;
        let names: Vec<&str> = self
            .data_schema
            .fields()
            .iter()
            .map(|f| f.name().as_str())
            .filter(|name| !name.eq_ignore_ascii_case(corrupt))
            .collect();
        let same = |a: &str, b: &str| match self.options.case_sensitive {
            true => a == b,
            false => a.to_lowercase() == b.to_lowercase(),
        };
        let header: Vec<String> = (0..self.tokens.len())
            .filter_map(|index| self.tokens.get(index))
            .map(|token| String::from_utf8_lossy(self.tokens.text(record, token)).into_owned())
            .collect();
        let conforms = header.len() == names.len()
            && header
                .iter()
                .zip(&names)
                .all(|(header, name)| same(header, name));
        if conforms {
            return Ok(());
        }
        Err(FormatError::corrupt(format!(
            "CSV header does not conform to the schema: header {}, schema {}",
            header.join(", "),
            names.join(", ")
        )))
    }
}

/// `from_csv(column, schema, options)`.
#[derive(Debug)]
pub struct CsvRows {
    schema: SchemaRef,
    options: CsvOptions,
}

impl CsvRows {
    /// # Errors
    /// If an option's value is not allowed, the mode is `DROPMALFORMED`, or a type cannot be parsed.
    pub fn new(
        schema: &Schema,
        options: &Options,
        settings: &FormatSettings,
    ) -> Result<Self, FormatError> {
        let options = CsvOptions::new(options, settings)?;
        options
            .temporal
            .check(schema.fields().iter().map(|field| field.data_type()))?;
        if options.mode == ParseMode::DropMalformed {
            return Err(FormatError::InvalidOption {
                option: "mode".to_owned(),
                value: "DROPMALFORMED".to_owned(),
                reason: "the function `from_csv` supports the modes PERMISSIVE and FAILFAST"
                    .to_owned(),
                class: Some("PARSE_MODE_UNSUPPORTED"),
            });
        }
        let fields = schema
            .fields()
            .iter()
            .map(|f| Arc::new(f.as_ref().clone().with_nullable(true)));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Ok(Self { schema, options })
    }

    /// The type of the result.
    pub fn data_type(&self) -> DataType {
        DataType::Struct(self.schema.fields().clone())
    }

    /// Parses every text of a `Utf8` array. A NULL text is NULL.
    ///
    /// # Errors
    /// In `FAILFAST` mode, the first malformed text.
    pub fn parse(&self, texts: &dyn Array) -> Result<ArrayRef, FormatError> {
        let texts = arrow::compute::cast(texts, &DataType::Utf8)?;
        let projection: Vec<usize> = (0..self.schema.fields().len()).collect();
        let mut records = CsvRecords::new(&self.schema, &projection, self.options.clone())?;
        let mut valid = BooleanBufferBuilder::new(texts.len());
        for text in texts.as_string::<i32>() {
            valid.append(text.is_some());
            match text {
                // There is nothing in an empty text to be malformed.
                Some("") | None => records.null(),
                Some(text) => records.record(text.as_bytes())?,
            }
        }
        let batch = records.take()?;
        let nulls = NullBuffer::new(valid.finish());
        let nulls = (nulls.null_count() > 0).then_some(nulls);
        let rows = batch.num_rows();
        let fields = self.schema.fields().clone();
        let columns = batch.columns().to_vec();
        Ok(Arc::new(StructArray::try_new_with_length(
            fields, columns, nulls, rows,
        )?))
    }
}

#[cfg(test)]
pub(crate) mod tests;
