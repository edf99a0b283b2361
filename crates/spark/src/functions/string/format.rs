//! `format_string`: Java's `Formatter` in the English locale.
//!
//! A specifier is `%[argument$][flags][width][.precision]conversion`. The conversions of numbers, text, booleans,
//! characters and hash codes are done; those of dates (`%t…`) are refused, because Spark hands over days and microseconds,
//! which Java's formatter prints as something else than was meant. Decimals print with `%s` only, as in Spark.
use std::fmt::Write as _;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type},
};

use crate::{
    error::{Exception, Result, SparkError},
    functions::{Accepts, Batch, EvalContext, Function, Parameters, Registry, Returns, rows::Rows},
    literal::{double_text, float_text},
};

pub(super) fn register(registry: &mut Registry) {
    let parameters = Parameters::fixed([Accepts::STRING]).then_any(Accepts::Any);
    let returns = Returns::With(|call| Ok((DataType::Utf8, call.arg(0)?.nullable)));
    registry
        .add(Function::scalar("format_string", parameters, returns, format_string).alias("printf"));
}

/// A value as the formatter sees it.
enum Argument {
    Null,
    Boolean(bool),
    /// Value, and size in bits for unsigned conversions.
    Integer(i64, u32),
    Float(f64, String),
    /// Anything else: its text, and Java's class for messages.
    Text(String, &'static str),
}

impl Argument {
    fn text(&self) -> String {
        match self {
            Self::Null => "null".into(),
            Self::Boolean(v) => v.to_string(),
            Self::Integer(v, _) => v.to_string(),
            Self::Float(_, text) | Self::Text(text, _) => text.clone(),
        }
    }

    fn class(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean(_) => "java.lang.Boolean",
            Self::Integer(_, 8) => "java.lang.Byte",
            Self::Integer(_, 16) => "java.lang.Short",
            Self::Integer(_, 32) => "java.lang.Integer",
            Self::Integer(_, _) => "java.lang.Long",
            Self::Float(_, _) => "java.lang.Double",
            Self::Text(_, class) => class,
        }
    }

    /// Java's `hashCode`.
    fn hash(&self) -> i32 {
        let of_long = |v: i64| (v ^ (v >> 32)) as i32;
        match self {
            Self::Null => 0,
            Self::Boolean(v) => {
                if *v {
                    1231
                } else {
                    1237
                }
            }
            Self::Integer(v, 64) => of_long(*v),
            Self::Integer(v, _) => *v as i32,
            Self::Float(v, _) => of_long(v.to_bits() as i64),
            Self::Text(text, _) => spark_text_hash(text),
        }
    }
}

/// Spark's strings hash with Murmur3.
fn spark_text_hash(text: &str) -> i32 {
    let array: ArrayRef = std::sync::Arc::new(arrow::array::StringArray::from(vec![text]));
    let hashes =
        millstream_state::hash::murmur3_hash(&[array], 1, millstream_state::hash::SPARK_SEED);
    hashes
        .ok()
        .and_then(|h| h.first().copied())
        .unwrap_or_default()
}

fn argument(array: &ArrayRef, row: usize, context: &EvalContext) -> Result<Argument> {
    if array.is_null(row) || *array.data_type() == DataType::Null {
        return Ok(Argument::Null);
    }
    Ok(match array.data_type() {
        DataType::Boolean => Argument::Boolean(array.as_boolean().value(row)),
        DataType::Int8 => Argument::Integer(array.as_primitive::<Int8Type>().value(row).into(), 8),
        DataType::Int16 => {
            Argument::Integer(array.as_primitive::<Int16Type>().value(row).into(), 16)
        }
        DataType::Int32 => {
            Argument::Integer(array.as_primitive::<Int32Type>().value(row).into(), 32)
        }
        DataType::Int64 => Argument::Integer(array.as_primitive::<Int64Type>().value(row), 64),
        DataType::Float32 => {
            let value = array.as_primitive::<Float32Type>().value(row);
            let text = float_text(value);
            // The formatter works on the digits that are printed.
            Argument::Float(text.parse().unwrap_or(f64::from(value)), text)
        }
        DataType::Float64 => {
            let value = array.as_primitive::<Float64Type>().value(row);
            Argument::Float(value, double_text(value))
        }
        DataType::Date32 => {
            let days = arrow::compute::cast(&array.slice(row, 1), &DataType::Int32)?;
            Argument::Integer(days.as_primitive::<Int32Type>().value(0).into(), 32)
        }
        DataType::Timestamp(_, _) | DataType::Duration(_) => {
            let micros = arrow::compute::cast(&array.slice(row, 1), &DataType::Int64)?;
            Argument::Integer(micros.as_primitive::<Int64Type>().value(0), 64)
        }
        DataType::Utf8 => Argument::Text(
            array.as_string::<i32>().value(row).to_string(),
            "org.apache.spark.unsafe.types.UTF8String",
        ),
        data_type => {
            let one = array.slice(row, 1);
            let style = crate::cast::ToStringStyle::Cast;
            let text = crate::cast::display_strings(&one, style, context)?
                .value(0)
                .to_string();
            let (text, class) = match data_type {
                DataType::Decimal128(_, _) => (text, "org.apache.spark.sql.types.Decimal"),
                DataType::List(_) => {
                    let text = text.replace(", ", ",");
                    (text, "org.apache.spark.sql.catalyst.util.GenericArrayData")
                }
                _ => (text, "org.apache.spark.sql.catalyst.InternalRow"),
            };
            Argument::Text(text, class)
        }
    })
}

fn format_string(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::requiring(batch, 1)?;
    let formats = rows.strings(0)?;
    let mut parsed: Option<(String, Vec<Piece>)> = None;
    rows.text(|row| {
        let format = formats.value(row);
        if parsed.as_ref().is_none_or(|(of, _)| of != format) {
            parsed = Some((format.to_string(), parse(format)?));
        }
        let pieces = parsed
            .as_ref()
            .map(|(_, p)| p.as_slice())
            .unwrap_or_default();
        let arguments: Vec<Argument> = (1..batch.arity())
            .map(|i| argument(rows.array(i)?, row, batch.context()))
            .collect::<Result<_>>()?;
        print(pieces, &arguments).map(Some)
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Next,
    Previous,
    Number(usize),
}

#[derive(Debug, Clone)]
struct Specifier {
    source: String,
    which: Which,
    flags: String,
    width: Option<usize>,
    precision: Option<usize>,
    conversion: char,
}

impl Specifier {
    fn has(&self, flag: char) -> bool {
        self.flags.contains(flag)
    }
}

#[derive(Debug, Clone)]
enum Piece {
    Text(String),
    Specifier(Specifier),
}

fn wrong(message: impl Into<String>) -> SparkError {
    SparkError::plain(Exception::IllegalArgument, message)
}

fn parse(format: &str) -> Result<Vec<Piece>> {
    let mut pieces = vec![];
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        let (text, tail) = rest.split_at(at);
        if !text.is_empty() {
            pieces.push(Piece::Text(text.to_string()));
        }
        let (specifier, length) = specifier(tail)?;
        pieces.push(Piece::Specifier(specifier));
        rest = tail.get(length..).unwrap_or_default();
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_string()));
    }
    Ok(pieces)
}

/// The specifier `text` begins with, and its length.
fn specifier(text: &str) -> Result<(Specifier, usize)> {
    let bytes = text.as_bytes();
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
    let number = |from: usize| {
        let mut to = from;
        while byte(to).is_ascii_digit() {
            to += 1;
        }
        let value = text.get(from..to).and_then(|t| t.parse::<usize>().ok());
        (value, to)
    };
    let mut at = 1;
    let mut which = Which::Next;
    if byte(at) == b'<' {
        which = Which::Previous;
        at += 1;
    } else if let (Some(n), end) = number(at)
        && byte(end) == b'$'
    {
        which = Which::Number(n);
        at = end + 1;
    }
    let flags_from = at;
    while matches!(byte(at), b'-' | b'#' | b'+' | b' ' | b'0' | b',' | b'(') {
        at += 1;
    }
    let flags = text.get(flags_from..at).unwrap_or_default().to_string();
    let (width, end) = number(at);
    at = end;
    let mut precision = None;
    if byte(at) == b'.' {
        (precision, at) = number(at + 1);
        if precision.is_none() {
            return Err(wrong("Conversion = '%'"));
        }
    }
    let Some(conversion) = text.get(at..).and_then(|t| t.chars().next()) else {
        return Err(wrong("Conversion = '%'"));
    };
    if !"bBhHsScCdoxXeEfgGaA%n".contains(conversion) {
        return Err(match conversion {
            't' | 'T' => SparkError::unsupported("a date conversion (%t) in format_string"),
            other => wrong(format!("Conversion = '{other}'")),
        });
    }
    let end = at + conversion.len_utf8();
    let source = text.get(..end).unwrap_or_default().to_string();
    Ok((
        Specifier {
            source,
            which,
            flags,
            width,
            precision,
            conversion,
        },
        end,
    ))
}

fn print(pieces: &[Piece], arguments: &[Argument]) -> Result<String> {
    let mut out = String::new();
    let (mut next, mut previous) = (0, None);
    for piece in pieces {
        let specifier = match piece {
            Piece::Text(text) => {
                out.push_str(text);
                continue;
            }
            Piece::Specifier(specifier) => specifier,
        };
        match specifier.conversion {
            'n' => out.push('\n'),
            '%' => pad(&mut out, "%", specifier),
            _ => {
                let index = match specifier.which {
                    Which::Next => {
                        next += 1;
                        Some(next - 1)
                    }
                    Which::Previous => previous,
                    Which::Number(n) => n.checked_sub(1),
                };
                let missing = || wrong(format!("Format specifier '{}'", specifier.source));
                let value = index.and_then(|i| arguments.get(i)).ok_or_else(missing)?;
                previous = index;
                let mut text = convert(specifier, value)?;
                if specifier.conversion.is_ascii_uppercase() {
                    text = text.to_uppercase();
                }
                pad(&mut out, &text, specifier);
            }
        }
    }
    Ok(out)
}

fn pad(out: &mut String, text: &str, specifier: &Specifier) {
    let missing = specifier
        .width
        .unwrap_or(0)
        .saturating_sub(text.chars().count());
    let blanks = " ".repeat(missing);
    match specifier.has('-') {
        true => out.extend([text, &blanks]),
        false => out.extend([blanks.as_str(), text]),
    }
}

fn convert(specifier: &Specifier, value: &Argument) -> Result<String> {
    let cut = |text: String| match specifier.precision {
        Some(n) => text.chars().take(n).collect(),
        None => text,
    };
    let mismatch = || wrong(format!("{} != {}", specifier.conversion, value.class()));
    Ok(match (specifier.conversion.to_ascii_lowercase(), value) {
        ('b', Argument::Null) => cut("false".into()),
        ('b', Argument::Boolean(v)) => cut(v.to_string()),
        ('b', _) => cut("true".into()),
        (_, Argument::Null) => cut("null".into()),
        ('s', _) => cut(value.text()),
        ('h', _) => cut(format!("{:x}", value.hash())),
        ('c', Argument::Integer(v, bits)) if *bits < 64 => {
            let c = u32::try_from(*v).ok().and_then(char::from_u32);
            c.map(String::from)
                .ok_or_else(|| wrong(format!("Code point = 0x{v:x}")))?
        }
        ('d', Argument::Integer(v, _)) => {
            let digits = v.unsigned_abs().to_string();
            signed(specifier, *v < 0, &digits)
        }
        (radix @ ('o' | 'x'), Argument::Integer(v, bits)) => unsigned(specifier, radix, *v, *bits),
        ('e' | 'f' | 'g', Argument::Float(v, _)) => float(specifier, *v),
        ('a', Argument::Float(v, _)) => hexadecimal(*v),
        _ => return Err(mismatch()),
    })
}

/// Sign, grouping and zeros around the digits of a number.
fn signed(specifier: &Specifier, negative: bool, digits: &str) -> String {
    let mut text = match specifier.has(',') {
        true => grouped(digits),
        false => digits.to_string(),
    };
    let (before, after) = match (negative, specifier.has('(')) {
        (true, true) => ("(", ")"),
        (true, false) => ("-", ""),
        (false, _) if specifier.has('+') => ("+", ""),
        (false, _) if specifier.has(' ') => (" ", ""),
        _ => ("", ""),
    };
    if specifier.has('0') {
        let used = before.len() + text.chars().count() + after.len();
        let zeros = specifier.width.unwrap_or(0).saturating_sub(used);
        text.insert_str(0, &"0".repeat(zeros));
    }
    format!("{before}{text}{after}")
}

/// Commas between every three whole digits.
fn grouped(digits: &str) -> String {
    let whole = digits.find('.').unwrap_or(digits.len());
    let mut out = String::with_capacity(digits.len() + whole / 3);
    for (at, c) in digits.chars().enumerate() {
        if at > 0 && at < whole && (whole - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

fn unsigned(specifier: &Specifier, radix: char, value: i64, bits: u32) -> String {
    let mask = if bits >= 64 {
        u64::MAX
    } else {
        (1 << bits) - 1
    };
    let value = value as u64 & mask;
    let (prefix, digits) = match radix {
        'o' => ("0", format!("{value:o}")),
        _ => ("0x", format!("{value:x}")),
    };
    let prefix = if specifier.has('#') { prefix } else { "" };
    let mut text = digits;
    if specifier.has('0') {
        let zeros = specifier
            .width
            .unwrap_or(0)
            .saturating_sub(prefix.len() + text.len());
        text.insert_str(0, &"0".repeat(zeros));
    }
    format!("{prefix}{text}")
}

fn float(specifier: &Specifier, value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        let mut plain = specifier.clone();
        plain.flags.retain(|c| c != '0' && c != ',');
        return signed(&plain, value < 0.0, "Infinity");
    }
    let digits = Digits::of(value.abs());
    let precision = specifier.precision.unwrap_or(6);
    let text = match specifier.conversion.to_ascii_lowercase() {
        'f' => digits.fixed(precision),
        'e' => digits.scientific(precision),
        _ => digits.general(precision.max(1)),
    };
    signed(specifier, value.is_sign_negative(), &text)
}

/// The shortest decimal digits of a double: `0.d1d2d3… × 10^exponent`.
struct Digits {
    digits: Vec<u8>,
    exponent: i32,
}

impl Digits {
    fn of(value: f64) -> Self {
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let digits: Vec<u8> = mantissa
            .bytes()
            .filter(u8::is_ascii_digit)
            .map(|b| b - b'0')
            .collect();
        let exponent = exponent.parse().unwrap_or(0) + 1;
        Self { digits, exponent }
    }

    fn is_zero(&self) -> bool {
        self.digits.iter().all(|d| *d == 0)
    }

    /// The first `keep` digits, rounded half up; what is missing is 0.
    fn rounded(&self, keep: i32) -> Self {
        let Ok(count) = usize::try_from(keep) else {
            return Self {
                digits: vec![],
                exponent: self.exponent,
            };
        };
        let mut digits: Vec<u8> = self.digits.iter().copied().take(count).collect();
        let up = self.digits.get(count).is_some_and(|d| *d >= 5);
        let mut exponent = self.exponent;
        if up {
            let mut carry = true;
            for digit in digits.iter_mut().rev() {
                *digit = if *digit == 9 { 0 } else { *digit + 1 };
                carry = *digit == 0;
                if !carry {
                    break;
                }
            }
            if carry {
                digits.insert(0, 1);
                exponent += 1;
            }
        }
        Self { digits, exponent }
    }

    fn digit(&self, place: i32) -> char {
        let digit = usize::try_from(place)
            .ok()
            .and_then(|p| self.digits.get(p))
            .copied();
        char::from(b'0' + digit.unwrap_or(0))
    }

    fn fixed(&self, precision: usize) -> String {
        let precision = i32::try_from(precision).unwrap_or(i32::MAX);
        let r = self.rounded(self.exponent.saturating_add(precision));
        let mut out = String::new();
        if r.exponent <= 0 {
            out.push('0');
        }
        out.extend((0..r.exponent).map(|place| r.digit(place)));
        if precision > 0 {
            out.push('.');
            out.extend((0..precision).map(|place| r.digit(r.exponent + place)));
        }
        out
    }

    fn scientific(&self, precision: usize) -> String {
        let precision = i32::try_from(precision).unwrap_or(i32::MAX);
        let r = self.rounded(precision.saturating_add(1));
        let mut out = String::from(r.digit(0));
        if precision > 0 {
            out.push('.');
            out.extend((1..=precision).map(|place| r.digit(place)));
        }
        let exponent = if self.is_zero() { 0 } else { r.exponent - 1 };
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(out, "e{sign}{:02}", exponent.abs());
        out
    }

    fn general(&self, precision: usize) -> String {
        let digits = i32::try_from(precision).unwrap_or(i32::MAX);
        let r = self.rounded(digits);
        if self.is_zero() || (r.exponent > -4 && r.exponent <= digits) {
            let exponent = if self.is_zero() { 1 } else { r.exponent };
            return self.fixed(usize::try_from(digits - exponent).unwrap_or(0));
        }
        self.scientific(precision - 1)
    }
}

/// Java's `Double.toHexString`.
fn hexadecimal(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    let sign = if value.is_sign_negative() { "-" } else { "" };
    if value.is_infinite() {
        return format!("{sign}Infinity");
    }
    let bits = value.to_bits();
    let (exponent, fraction) = ((bits >> 52) & 0x7FF, bits & ((1 << 52) - 1));
    let digits = format!("{fraction:013x}");
    let digits = match digits.trim_end_matches('0') {
        "" => "0",
        kept => kept,
    };
    match (exponent, fraction) {
        (0, 0) => format!("{sign}0x0.0p0"),
        (0, _) => format!("{sign}0x0.{digits}p-1022"),
        (e, _) => format!("{sign}0x1.{digits}p{}", e as i64 - 1023),
    }
}
