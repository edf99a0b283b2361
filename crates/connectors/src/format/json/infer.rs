//! Schema inference: the narrowest schema that all records fit.
use std::cmp::Ordering;

use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};

use super::{
    lexer::{Lexer, Malformed, Token},
    options::JsonOptions,
};
use crate::format::{
    FormatError, ParseMode, check_names,
    number::BigDecimal,
    spark_type::{list_type, timestamp_type},
};

/// A type being inferred; nulls and empty containers leave it open.
#[derive(Debug, Clone, PartialEq)]
enum Inferred {
    Null,
    Boolean,
    Long,
    Double,
    Decimal(i64, i64),
    String,
    Timestamp,
    TimestampNtz,
    Array(Box<Inferred>),
    /// Sorted by name.
    Struct(Vec<(String, Inferred)>),
}

/// Collects the schema of one record after another.
#[derive(Debug)]
pub(crate) struct Inference<'a> {
    options: &'a JsonOptions,
    root: Option<Inferred>,
    scratch: Vec<u8>,
    records: u64,
}

impl<'a> Inference<'a> {
    pub(crate) fn new(options: &'a JsonOptions) -> Self {
        Self {
            options,
            root: None,
            scratch: vec![],
            records: 0,
        }
    }

    /// Takes a record into account, or leaves it out as `samplingRatio` says.
    ///
    /// # Errors
    /// In `FAILFAST` mode, if the record is malformed.
    pub(crate) fn record(&mut self, text: &[u8]) -> Result<(), FormatError> {
        let ratio = self.options.infer.sampling_ratio;
        self.records += 1;
        let quota = |records: u64| (records as f64 * ratio).floor();
        if ratio < 1.0 && quota(self.records) == quota(self.records - 1) {
            return Ok(());
        }
        let lexer = Lexer::new(text, self.options.syntax, &mut self.scratch);
        let record = match infer_record(lexer, self.options) {
            Ok(record) => record,
            Err(malformed) => match self.options.mode {
                ParseMode::Permissive => Inferred::Struct(vec![(
                    self.options.corrupt_column.clone(),
                    Inferred::String,
                )]),
                ParseMode::DropMalformed => return Ok(()),
                ParseMode::FailFast => return Err(self.fail(text, malformed.at)),
            },
        };
        self.root = Some(match self.root.take() {
            None => record,
            Some(root) => self
                .merge_root(root, record)
                .map_err(|()| self.fail(text, 0))?,
        });
        Ok(())
    }

    fn fail(&self, text: &[u8], at: usize) -> FormatError {
        FormatError::MalformedRecord {
            record: String::from_utf8_lossy(text).into_owned(),
            reason: format!("not a JSON object at offset {at}"),
        }
    }

    /// The schema so far.
    ///
    /// # Errors
    /// If two fields have the same name.
    pub(crate) fn finish(mut self) -> Result<Schema, FormatError> {
        let empty = Inferred::Struct(vec![]);
        let root = match self.root.take() {
            None => empty,
            Some(record) => self
                .merge_root(empty, record)
                .map_err(|()| self.fail(b"", 0))?,
        };
        let fields = match close(root, self.options) {
            Some(DataType::Struct(fields)) => fields,
            _ => Fields::empty(),
        };
        check_names(&fields, self.options.case_sensitive)?;
        Ok(Schema::new(fields))
    }

    /// Merges at the root: arrays are their elements, and what is no object makes a corrupt record.
    fn merge_root(&self, left: Inferred, right: Inferred) -> Result<Inferred, ()> {
        Ok(match (left, right) {
            (Inferred::Array(left), right) => self.merge_root(*left, right)?,
            (left, Inferred::Array(right)) => self.merge_root(left, *right)?,
            (fields @ Inferred::Struct(_), Inferred::Null) => fields,
            (Inferred::Null, fields @ Inferred::Struct(_)) => fields,
            (Inferred::Struct(left), right @ Inferred::Struct(_)) => {
                merge(Inferred::Struct(left), right)
            }
            (Inferred::Struct(mut fields), _) | (_, Inferred::Struct(mut fields)) => {
                match self.options.mode {
                    ParseMode::FailFast => return Err(()),
                    ParseMode::DropMalformed => {}
                    ParseMode::Permissive => {
                        let name = &self.options.corrupt_column;
                        if fields.iter().all(|(n, _)| n != name) {
                            fields.push((name.clone(), Inferred::String));
                            fields.sort_by(|a, b| java_order(&a.0, &b.0));
                        }
                    }
                }
                Inferred::Struct(fields)
            }
            (left, right) => merge(left, right),
        })
    }
}

fn infer_record(mut lexer: Lexer<'_>, options: &JsonOptions) -> Result<Inferred, Malformed> {
    lexer.skip_byte_order_mark();
    if lexer.skip_blanks()?.is_none() {
        return Ok(Inferred::Null);
    }
    let token = lexer.value()?;
    infer_value(&mut lexer, token, options, 0)
}

fn infer_value(
    lexer: &mut Lexer<'_>,
    token: Token,
    options: &JsonOptions,
    depth: usize,
) -> Result<Inferred, Malformed> {
    const DEPTH_MAX: usize = 500;
    if depth > DEPTH_MAX {
        return Err(Malformed {
            at: lexer.position(),
            after_name: false,
        });
    }
    let infer = &options.infer;
    Ok(match token {
        Token::Null => Inferred::Null,
        Token::True
        | Token::False
        | Token::Integer(..)
        | Token::Float(..)
        | Token::NonNumeric(..)
            if infer.primitives_as_string =>
        {
            Inferred::String
        }
        Token::True | Token::False => Inferred::Boolean,
        Token::Integer(start, end) => infer_integer(lexer.span(start, end)),
        Token::Float(start, end) if infer.prefers_decimal => {
            BigDecimal::parse(lexer.span(start, end)).map_or(Inferred::Double, |d| decimal(&d))
        }
        Token::NonNumeric(..) if infer.prefers_decimal => {
            return Err(Malformed {
                at: lexer.position(),
                after_name: false,
            });
        }
        Token::Float(..) | Token::NonNumeric(..) => Inferred::Double,
        Token::String => {
            let text = lexer.string()?;
            infer_string(lexer.content(text), options)
        }
        Token::Object => {
            let mut fields = vec![];
            while let Some(name) = lexer.next_name(fields.is_empty())? {
                let name = String::from_utf8_lossy(lexer.content(name)).into_owned();
                let token = lexer.value()?;
                fields.push((name, infer_value(lexer, token, options, depth + 1)?));
            }
            fields.sort_by(|a, b| java_order(&a.0, &b.0));
            Inferred::Struct(fields)
        }
        Token::Array => {
            let (mut element, mut first) = (Inferred::Null, true);
            while lexer.next_element(first)? {
                first = false;
                let token = lexer.value()?;
                element = merge(element, infer_value(lexer, token, options, depth + 1)?);
            }
            Inferred::Array(Box::new(element))
        }
    })
}

fn infer_integer(text: &[u8]) -> Inferred {
    if super::convert::parse_i64(text).is_some() {
        return Inferred::Long;
    }
    match BigDecimal::parse(text) {
        Some(value) if value.precision() <= 38 => Inferred::Decimal(value.precision(), 0),
        _ => Inferred::Double,
    }
}

fn decimal(value: &BigDecimal) -> Inferred {
    let (precision, scale) = (value.precision(), value.scale());
    // Spark fails on a negative scale; the digits fit an integral decimal just as well.
    let (precision, scale) = if scale < 0 {
        (precision - scale, 0)
    } else {
        (precision, scale)
    };
    let precision = precision.max(scale);
    if precision <= 38 {
        Inferred::Decimal(precision, scale)
    } else {
        Inferred::Double
    }
}

fn infer_string(text: &[u8], options: &JsonOptions) -> Inferred {
    let infer = &options.infer;
    if text.is_empty() {
        return Inferred::Null;
    }
    if infer.prefers_decimal {
        let plain: Vec<u8> = text.iter().copied().filter(|b| *b != b',').collect();
        let fits = |value: &BigDecimal| value.precision() <= 38 && value.scale() <= 38;
        if let Some(value) = BigDecimal::parse(&plain).filter(fits) {
            return decimal(&value);
        }
    }
    let temporal = &options.temporal;
    if infer.timestamps {
        if infer.timestamp_ntz && temporal.timestamp_ntz(text).is_some() {
            return Inferred::TimestampNtz;
        }
        if std::str::from_utf8(text).is_ok_and(|text| temporal.is_timestamp(text)) {
            return Inferred::Timestamp;
        }
    }
    Inferred::String
}

/// The narrowest type that holds both.
fn merge(left: Inferred, right: Inferred) -> Inferred {
    use Inferred::{Array, Decimal, Double, Long, Null, String, Struct, Timestamp, TimestampNtz};
    match (left, right) {
        (left, right) if left == right => left,
        (Null, other) | (other, Null) => other,
        (Long, Double) | (Double, Long) | (Double, Decimal(..)) | (Decimal(..), Double) => Double,
        (Long, Decimal(p, s)) | (Decimal(p, s), Long) if p - s >= 20 => Decimal(p, s),
        (Long, right @ Decimal(..)) => merge(Decimal(20, 0), right),
        (left @ Decimal(..), Long) => merge(left, Decimal(20, 0)),
        (Decimal(p1, s1), Decimal(p2, s2)) => {
            let scale = s1.max(s2);
            let precision = (p1 - s1).max(p2 - s2) + scale;
            if precision > 38 {
                Double
            } else {
                Decimal(precision, scale)
            }
        }
        (Timestamp, TimestampNtz) | (TimestampNtz, Timestamp) => Timestamp,
        (Array(left), Array(right)) => Array(Box::new(merge(*left, *right))),
        (Struct(left), Struct(right)) => Struct(merge_fields(left, right)),
        _ => String,
    }
}

fn merge_fields(
    left: Vec<(String, Inferred)>,
    right: Vec<(String, Inferred)>,
) -> Vec<(String, Inferred)> {
    let mut merged = Vec::with_capacity(left.len().max(right.len()));
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let order = java_order(&a.0, &b.0);
        let from_left = if order == Ordering::Greater {
            None
        } else {
            left.next()
        };
        let from_right = if order == Ordering::Less {
            None
        } else {
            right.next()
        };
        match (from_left, from_right) {
            (Some((name, a)), Some((_, b))) => merged.push((name, merge(a, b))),
            (one, other) => merged.extend(one.or(other)),
        }
    }
    merged.extend(left);
    merged.extend(right);
    merged
}

/// `String.compareTo`: by UTF-16 code units.
fn java_order(a: &str, b: &str) -> Ordering {
    a.encode_utf16().cmp(b.encode_utf16())
}

/// The final type; `None` for what is dropped: empty structs, nameless fields and, if asked for, columns
/// that are always null.
fn close(inferred: Inferred, options: &JsonOptions) -> Option<DataType> {
    Some(match inferred {
        Inferred::Null if options.infer.drop_field_if_all_null => return None,
        Inferred::Null | Inferred::String => DataType::Utf8,
        Inferred::Boolean => DataType::Boolean,
        Inferred::Long => DataType::Int64,
        Inferred::Double => DataType::Float64,
        Inferred::Decimal(precision, scale) => {
            DataType::Decimal128(u8::try_from(precision).ok()?, i8::try_from(scale).ok()?)
        }
        Inferred::Timestamp => timestamp_type(),
        Inferred::TimestampNtz => DataType::Timestamp(TimeUnit::Microsecond, None),
        Inferred::Array(element) => list_type(close(*element, options)?, true),
        Inferred::Struct(fields) => {
            let fields: Fields = fields
                .into_iter()
                .filter(|(name, _)| !name.is_empty())
                .filter_map(|(name, t)| Some(Field::new(name, close(t, options)?, true)))
                .collect();
            if fields.is_empty() {
                return None;
            }
            DataType::Struct(fields)
        }
    })
}
