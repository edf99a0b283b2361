//! Rows to CSV: `df.write.csv` and `to_csv`.
use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, StringBuilder, StructArray},
    datatypes::{
        DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type,
        Int32Type, Int64Type, SchemaRef, TimeUnit, TimestampMicrosecondType,
    },
};
use std::fmt::Write as _;

use super::{convert::unsupported, options::CsvWriteOptions};
use crate::{
    format::{
        Encoding, FormatError, FormatSettings, FormatWriter, Options, input::Compressor,
        interval::spelled, number::push_decimal,
    },
    text::{write_double, write_float},
};

/// `to_csv(column, options)`.
#[derive(Debug)]
pub struct CsvTexts {
    options: CsvWriteOptions,
}

impl CsvTexts {
    /// # Errors
    /// If an option's value is not allowed.
    pub fn new(options: &Options, settings: &FormatSettings) -> Result<Self, FormatError> {
        let options = CsvWriteOptions::new(options, settings)?;
        options.temporal.check()?;
        Ok(Self { options })
    }

    /// The CSV text of every row of a struct array; NULL rows stay NULL.
    ///
    /// # Errors
    /// If a column has a type that CSV cannot hold.
    pub fn format(&self, rows: &StructArray) -> Result<ArrayRef, FormatError> {
        self.options.temporal.check_types([rows.data_type()])?;
        let mut texts = StringBuilder::with_capacity(rows.len(), rows.len() * 32);
        let (mut text, mut value) = (String::new(), String::new());
        let columns = rows.columns().iter().zip(rows.fields());
        let columns = columns
            .map(|(column, field)| spelled(column, field))
            .collect::<Result<Vec<_>, _>>()?;
        for row in 0..rows.len() {
            if rows.is_null(row) {
                texts.append_null();
                continue;
            }
            text.clear();
            push_row(&columns, row, &self.options, &mut value, &mut text)?;
            texts.append_value(&text);
        }
        Ok(std::sync::Arc::new(texts.finish()))
    }
}

/// One CSV file being written.
pub(super) struct CsvFile {
    options: CsvWriteOptions,
    out: Compressor,
    text: String,
    value: String,
    written: u64,
}

/// Text is handed to the sink in pieces of about this many bytes.
const FLUSH_SIZE: usize = 1 << 18;

impl CsvFile {
    pub(super) fn new(
        options: CsvWriteOptions,
        schema: &SchemaRef,
        mut out: Compressor,
    ) -> Result<Self, FormatError> {
        let mark = options.encoding.byte_order_mark();
        out.write(mark)?;
        let mut text = String::new();
        if options.header {
            for (index, field) in schema.fields().iter().enumerate() {
                if index > 0 {
                    text.push_str(&options.delimiter);
                }
                push_quoted(field.name(), &options, &mut text);
            }
            text.push_str(&options.line_separator);
        }
        Ok(Self {
            options,
            out,
            text,
            value: String::new(),
            written: mark.len() as u64,
        })
    }

    fn flush(&mut self) -> Result<(), FormatError> {
        let text = std::mem::take(&mut self.text);
        let bytes = match self.options.encoding {
            Encoding::Utf8 => text.into_bytes(),
            encoding => encoding.encode(&text),
        };
        self.written += bytes.len() as u64;
        self.out.write(&bytes)
    }
}

impl FormatWriter for CsvFile {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), FormatError> {
        let columns = batch.columns().iter().zip(batch.schema_ref().fields());
        let columns = columns
            .map(|(column, field)| spelled(column, field))
            .collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            let start = self.text.len();
            push_row(
                &columns,
                row,
                &self.options,
                &mut self.value,
                &mut self.text,
            )?;
            // Univocity leaves out lines with nothing in them.
            if self.text.len() > start {
                self.text.push_str(&self.options.line_separator);
            }
            if self.text.len() >= FLUSH_SIZE {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn bytes_written(&self) -> u64 {
        self.written + self.text.len() as u64
    }

    fn finish(mut self: Box<Self>) -> Result<(), FormatError> {
        self.flush()?;
        self.out.finish()
    }
}

fn push_row(
    columns: &[ArrayRef],
    row: usize,
    options: &CsvWriteOptions,
    value: &mut String,
    out: &mut String,
) -> Result<(), FormatError> {
    for (index, column) in columns.iter().enumerate() {
        if index > 0 {
            out.push_str(&options.delimiter);
        }
        if column.is_null(row) {
            push_marker(&options.null_value, options, out);
            continue;
        }
        value.clear();
        push_value(column.as_ref(), row, options, value)?;
        push_quoted(value, options, out);
    }
    Ok(())
}

/// What stands for NULL or the empty string, written as it is.
fn push_marker(marker: &str, options: &CsvWriteOptions, out: &mut String) {
    let bare = marker.is_empty() || marker.starts_with(options.quote) || !options.quote_all;
    match options.quote_all && (marker.is_empty() || !bare) {
        true => {
            out.push(options.quote);
            out.push_str(marker);
            out.push(options.quote);
        }
        false => out.push_str(marker),
    }
}

/// Appends a value, trimmed, and quoted and escaped where it must be.
fn push_quoted(value: &str, options: &CsvWriteOptions, out: &mut String) {
    let needs = |c: char| matches!(c, '\n' | '\r') || (c == options.quote && options.escape_quotes);
    let first = value.chars().next();
    let quoted = options.quote_all
        || value.contains(&options.delimiter)
        || value.chars().any(needs)
        || (options.quote != '\0' && first == Some(options.quote))
        || trimmed(value, options).starts_with(options.comment);
    let value = trimmed(value, options);
    if value.is_empty() {
        return push_marker(&options.empty_value, options, out);
    }
    if !quoted {
        out.push_str(value);
        return;
    }
    out.push(options.quote);
    for c in value.chars() {
        if c == options.quote {
            out.push(options.escape);
        } else if c == options.escape
            && let Some(escape) = options.escape_of_escape
        {
            out.push(escape);
        }
        match c {
            '\n' => out.push_str(&options.line_separator),
            c => out.push(c),
        }
    }
    out.push(options.quote);
}

fn trimmed<'a>(value: &'a str, options: &CsvWriteOptions) -> &'a str {
    let blank = |c: char| c <= ' ';
    let value = if options.trim_leading {
        value.trim_start_matches(blank)
    } else {
        value
    };
    if options.trim_trailing {
        value.trim_end_matches(blank)
    } else {
        value
    }
}

fn push_value(
    array: &dyn Array,
    row: usize,
    options: &CsvWriteOptions,
    out: &mut String,
) -> Result<(), FormatError> {
    let temporal = &options.temporal;
    match array.data_type() {
        DataType::Utf8 => out.push_str(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => out.push_str(array.as_string::<i64>().value(row)),
        DataType::Utf8View => out.push_str(array.as_string_view().value(row)),
        DataType::Boolean => out.push_str(if array.as_boolean().value(row) {
            "true"
        } else {
            "false"
        }),
        DataType::Int8 => push_display(array.as_primitive::<Int8Type>().value(row), out),
        DataType::Int16 => push_display(array.as_primitive::<Int16Type>().value(row), out),
        DataType::Int32 => push_display(array.as_primitive::<Int32Type>().value(row), out),
        DataType::Int64 => push_display(array.as_primitive::<Int64Type>().value(row), out),
        DataType::Float32 => write_float(out, array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => write_double(out, array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(_, scale) => {
            push_decimal(
                array.as_primitive::<Decimal128Type>().value(row),
                *scale,
                out,
            );
        }
        DataType::Binary => push_hex(array.as_binary::<i32>().value(row), out),
        DataType::LargeBinary => push_hex(array.as_binary::<i64>().value(row), out),
        DataType::BinaryView => push_hex(array.as_binary_view().value(row), out),
        DataType::Date32 => {
            temporal.push_date(array.as_primitive::<Date32Type>().value(row), out)?;
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            match zone {
                Some(_) => temporal.push_timestamp(micros, out)?,
                None => temporal.push_timestamp_ntz(micros, out)?,
            }
        }
        other => return Err(unsupported("", other)),
    }
    Ok(())
}

fn push_display(value: impl std::fmt::Display, out: &mut String) {
    let _ = write!(out, "{value}");
}

/// `[62 69 6E]`.
fn push_hex(value: &[u8], out: &mut String) {
    out.push('[');
    for (index, byte) in value.iter().enumerate() {
        let _ = write!(out, "{}{byte:02X}", if index > 0 { " " } else { "" });
    }
    out.push(']');
}
