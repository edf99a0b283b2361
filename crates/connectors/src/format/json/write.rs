//! Rows to JSON lines: `df.write.json` and `to_json`.
use std::fmt::Write as _;

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, StringBuilder},
    datatypes::{
        DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, Int8Type, Int16Type,
        Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
    },
};
use base64::Engine;

use super::{normalize::push_escaped, options::JsonWriteOptions};
use crate::{
    format::{
        FormatError, FormatSettings, FormatWriter, Options, input::Compressor, interval::spelled,
        number::push_decimal, spark_type::sql_name,
    },
    text::{write_double, write_float},
};

/// `to_json(column, options)`.
#[derive(Debug)]
pub struct JsonTexts {
    options: JsonWriteOptions,
}

impl JsonTexts {
    /// # Errors
    /// If an option's value is not allowed.
    pub fn new(options: &Options, settings: &FormatSettings) -> Result<Self, FormatError> {
        let options = JsonWriteOptions::new(options, settings)?;
        options.temporal.check()?;
        Ok(Self { options })
    }

    /// The JSON text of every row; NULL rows stay NULL.
    ///
    /// # Errors
    /// If a value cannot be printed, e.g. by a date pattern with hours.
    pub fn format(&self, array: &ArrayRef) -> Result<ArrayRef, FormatError> {
        self.options.temporal.check_types([array.data_type()])?;
        let field = Field::new("value", array.data_type().clone(), true);
        let array = spelled(array, &field)?;
        let mut texts = StringBuilder::with_capacity(array.len(), array.len() * 32);
        let mut text = String::new();
        for row in 0..array.len() {
            if array.is_null(row) {
                texts.append_null();
                continue;
            }
            text.clear();
            push_value(array.as_ref(), row, &self.options, &mut text)?;
            match self.options.pretty {
                true => texts.append_value(pretty(&text)),
                false => texts.append_value(&text),
            }
        }
        Ok(std::sync::Arc::new(texts.finish()))
    }
}

/// One JSON file being written.
pub(super) struct JsonFile {
    options: JsonWriteOptions,
    out: Compressor,
    text: String,
    written: u64,
}

/// Text is handed to the sink in pieces of about this many bytes.
const FLUSH_SIZE: usize = 1 << 18;

impl JsonFile {
    pub(super) fn new(options: JsonWriteOptions, mut out: Compressor) -> Result<Self, FormatError> {
        let mark = options.encoding.byte_order_mark();
        out.write(mark)?;
        Ok(Self {
            options,
            out,
            text: String::new(),
            written: mark.len() as u64,
        })
    }

    fn flush(&mut self) -> Result<(), FormatError> {
        let bytes = match self.options.encoding {
            crate::format::Encoding::Utf8 => std::mem::take(&mut self.text).into_bytes(),
            encoding => encoding.encode(&std::mem::take(&mut self.text)),
        };
        self.written += bytes.len() as u64;
        self.out.write(&bytes)
    }
}

impl FormatWriter for JsonFile {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), FormatError> {
        let schema = batch.schema();
        let names: Vec<String> = schema.fields().iter().map(|f| quoted(f.name())).collect();
        let columns = batch.columns().iter().zip(schema.fields());
        let columns = columns
            .map(|(column, field)| spelled(column, field))
            .collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            let start = self.text.len();
            push_fields(&names, &columns, row, &self.options, &mut self.text)?;
            if self.options.pretty {
                let text = pretty(self.text.get(start..).unwrap_or_default());
                self.text.truncate(start);
                self.text.push_str(&text);
            }
            self.text.push_str(&self.options.line_separator);
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

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    push_string(text, &mut out);
    out
}

fn push_string(text: &str, out: &mut String) {
    out.push('"');
    let special = |b: &u8| *b < b' ' || *b == b'"' || *b == b'\\';
    if text.as_bytes().iter().any(special) {
        text.chars().for_each(|c| push_escaped(c, out));
    } else {
        out.push_str(text);
    }
    out.push('"');
}

/// An object of the columns' values at a row.
fn push_fields(
    names: &[String],
    columns: &[ArrayRef],
    row: usize,
    options: &JsonWriteOptions,
    out: &mut String,
) -> Result<(), FormatError> {
    out.push('{');
    let mut first = true;
    for (name, column) in names.iter().zip(columns) {
        let null = column.is_null(row) || *column.data_type() == DataType::Null;
        if null && options.ignore_null_fields {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.push(',');
        }
        out.push_str(name);
        out.push(':');
        push_value(column.as_ref(), row, options, out)?;
    }
    out.push('}');
    Ok(())
}

fn push_value(
    array: &dyn Array,
    row: usize,
    options: &JsonWriteOptions,
    out: &mut String,
) -> Result<(), FormatError> {
    if array.is_null(row) {
        out.push_str("null");
        return Ok(());
    }
    match array.data_type() {
        DataType::Null => out.push_str("null"),
        DataType::Utf8 => push_string(array.as_string::<i32>().value(row), out),
        DataType::LargeUtf8 => push_string(array.as_string::<i64>().value(row), out),
        DataType::Utf8View => push_string(array.as_string_view().value(row), out),
        DataType::Struct(fields) => {
            let names: Vec<String> = fields.iter().map(|f| quoted(f.name())).collect();
            push_fields(&names, array.as_struct().columns(), row, options, out)?;
        }
        DataType::List(_) => {
            push_elements(array.as_list::<i32>().value(row).as_ref(), options, out)?
        }
        DataType::LargeList(_) => {
            push_elements(array.as_list::<i64>().value(row).as_ref(), options, out)?;
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            out.push('{');
            for index in 0..entries.len() {
                if index > 0 {
                    out.push(',');
                }
                push_string(&map_key(keys.as_ref(), index)?, out);
                out.push(':');
                push_value(values.as_ref(), index, options, out)?;
            }
            out.push('}');
        }
        _ => push_scalar(array, row, options, out)?,
    }
    Ok(())
}

fn push_elements(
    array: &dyn Array,
    options: &JsonWriteOptions,
    out: &mut String,
) -> Result<(), FormatError> {
    out.push('[');
    for index in 0..array.len() {
        if index > 0 {
            out.push(',');
        }
        push_value(array, index, options, out)?;
    }
    out.push(']');
    Ok(())
}

fn push_scalar(
    array: &dyn Array,
    row: usize,
    options: &JsonWriteOptions,
    out: &mut String,
) -> Result<(), FormatError> {
    let temporal = &options.temporal;
    match array.data_type() {
        DataType::Boolean => out.push_str(if array.as_boolean().value(row) {
            "true"
        } else {
            "false"
        }),
        DataType::Int8 => push_integer(array.as_primitive::<Int8Type>().value(row), out),
        DataType::Int16 => push_integer(array.as_primitive::<Int16Type>().value(row), out),
        DataType::Int32 => push_integer(array.as_primitive::<Int32Type>().value(row), out),
        DataType::Int64 => push_integer(array.as_primitive::<Int64Type>().value(row), out),
        DataType::Float32 => {
            let value = array.as_primitive::<Float32Type>().value(row);
            quote_unless(value.is_finite(), out, |out| write_float(out, value));
        }
        DataType::Float64 => {
            let value = array.as_primitive::<Float64Type>().value(row);
            quote_unless(value.is_finite(), out, |out| write_double(out, value));
        }
        DataType::Decimal128(_, scale) => {
            push_decimal(
                array.as_primitive::<Decimal128Type>().value(row),
                *scale,
                out,
            );
        }
        DataType::Binary => push_base64(array.as_binary::<i32>().value(row), out),
        DataType::LargeBinary => push_base64(array.as_binary::<i64>().value(row), out),
        DataType::BinaryView => push_base64(array.as_binary_view().value(row), out),
        DataType::Date32 => {
            out.push('"');
            temporal.push_date(array.as_primitive::<Date32Type>().value(row), out)?;
            out.push('"');
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            out.push('"');
            match zone {
                Some(_) => temporal.push_timestamp(micros, out)?,
                None => temporal.push_timestamp_ntz(micros, out)?,
            }
            out.push('"');
        }
        other => {
            return Err(FormatError::Unsupported {
                feature: format!("{} in JSON", sql_name(other)),
            });
        }
    }
    Ok(())
}

fn push_integer(value: impl std::fmt::Display, out: &mut String) {
    let _ = write!(out, "{value}");
}

fn quote_unless(bare: bool, out: &mut String, push: impl FnOnce(&mut String)) {
    let quote = if bare { "" } else { "\"" };
    out.push_str(quote);
    push(out);
    out.push_str(quote);
}

fn push_base64(value: &[u8], out: &mut String) {
    out.push('"');
    base64::engine::general_purpose::STANDARD.encode_string(value, out);
    out.push('"');
}

/// A map key as Spark prints it: the stored number for dates and timestamps.
fn map_key(keys: &dyn Array, index: usize) -> Result<String, FormatError> {
    let mut out = String::new();
    match keys.data_type() {
        DataType::Utf8 => out.push_str(keys.as_string::<i32>().value(index)),
        DataType::Boolean => push_integer(keys.as_boolean().value(index), &mut out),
        DataType::Int8 => push_integer(keys.as_primitive::<Int8Type>().value(index), &mut out),
        DataType::Int16 => push_integer(keys.as_primitive::<Int16Type>().value(index), &mut out),
        DataType::Int32 => push_integer(keys.as_primitive::<Int32Type>().value(index), &mut out),
        DataType::Int64 => push_integer(keys.as_primitive::<Int64Type>().value(index), &mut out),
        DataType::Float32 => write_float(&mut out, keys.as_primitive::<Float32Type>().value(index)),
        DataType::Float64 => {
            write_double(&mut out, keys.as_primitive::<Float64Type>().value(index))
        }
        DataType::Date32 => push_integer(keys.as_primitive::<Date32Type>().value(index), &mut out),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            push_integer(
                keys.as_primitive::<TimestampMicrosecondType>().value(index),
                &mut out,
            );
        }
        DataType::Decimal128(_, scale) => {
            push_decimal(
                keys.as_primitive::<Decimal128Type>().value(index),
                *scale,
                &mut out,
            );
        }
        other => {
            let feature = format!("a map with keys of type {} in JSON", sql_name(other));
            return Err(FormatError::Unsupported { feature });
        }
    }
    Ok(out)
}

/// Spreads a JSON text over lines as Jackson's default printer does.
fn pretty(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    // Open levels: whether an object, and whether anything is in it.
    let mut levels: Vec<(bool, bool)> = vec![];
    let (mut in_string, mut escaped) = (false, false);
    for c in text.chars() {
        if in_string {
            out.push(c);
            (in_string, escaped) = (c != '"' || escaped, c == '\\' && !escaped);
            continue;
        }
        if !matches!(c, '}' | ']' | ',' | ':')
            && let Some(level) = levels.last_mut()
            && !std::mem::replace(&mut level.1, true)
        {
            let object = level.0;
            separate(object, levels.iter().filter(|l| l.0).count(), &mut out);
        }
        match c {
            '{' | '[' => {
                out.push(c);
                levels.push((c == '{', false));
            }
            '}' | ']' => {
                if let Some((object, filled)) = levels.pop() {
                    match filled {
                        true => separate(object, levels.iter().filter(|l| l.0).count(), &mut out),
                        false => out.push(' '),
                    }
                }
                out.push(c);
            }
            ',' => {
                out.push(',');
                let object = levels.last().is_some_and(|l| l.0);
                separate(object, levels.iter().filter(|l| l.0).count(), &mut out);
            }
            ':' => out.push_str(" : "),
            _ => {
                in_string = c == '"';
                out.push(c);
            }
        }
    }
    out
}

/// What stands between the members of an object (a new line) or array (a blank).
fn separate(object: bool, depth: usize, out: &mut String) {
    if object {
        out.push('\n');
        (0..depth).for_each(|_| out.push_str("  "));
    } else {
        out.push(' ');
    }
}
