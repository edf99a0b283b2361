//! Tier 3: any record into any schema, with every coercion rule of Spark's JSON reader.
//!
//! A value that cannot become the requested type makes its record malformed but spares what is around it:
//! the field is NULL, its siblings keep their values, and so on outwards; an array or map with such an
//! element is NULL as a whole, unless the element is a struct, which is kept in part. What is not JSON at
//! all makes the whole record NULL.
use arrow::datatypes::{DataType, Fields, IntervalUnit, TimeUnit};
use base64::Engine;

use super::{
    lexer::{Lexer, Malformed, Text, Token},
    normalize::push_normalized,
    options::JsonOptions,
};
use crate::{
    datetime::{string_to_day_time, string_to_year_month},
    format::{
        FormatError,
        column::Column,
        number::BigDecimal,
        parsed::{Bad, Parsed},
    },
};

/// Why a value could not be converted.
#[derive(Debug)]
pub(super) enum Failure {
    /// The text is not JSON.
    Malformed(Malformed),
    /// The value does not fit its type; the tokenizer stands behind the value.
    Value(Bad),
}

impl From<Malformed> for Failure {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

type Converted = Result<(), Failure>;

/// Target of a struct: names and types of its fields.
#[derive(Debug)]
pub(super) struct Target {
    names: Vec<Box<[u8]>>,
    kinds: Vec<Kind>,
    /// Index by name, for structs too wide to search.
    index: Option<std::collections::HashMap<Box<[u8]>, usize>>,
}

/// Target of a value.
#[derive(Debug)]
pub(super) enum Kind {
    Null,
    Boolean,
    Int8,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    Decimal(u8, i8),
    String,
    Binary,
    Date,
    Timestamp,
    TimestampNtz,
    YearMonth,
    DayTime,
    Struct(Target),
    List(Box<Kind>),
    Map(Box<Kind>),
}

/// Structs of more fields look names up by hash.
const LINEAR_SEARCH_MAX: usize = 12;

impl Target {
    pub(super) fn new(fields: &Fields) -> Result<Self, FormatError> {
        let names: Vec<Box<[u8]>> = fields.iter().map(|f| f.name().as_bytes().into()).collect();
        let kinds = fields
            .iter()
            .map(|f| Kind::new(f.data_type()))
            .collect::<Result<_, _>>()?;
        let index = (names.len() > LINEAR_SEARCH_MAX).then(|| {
            names
                .iter()
                .cloned()
                .enumerate()
                .map(|(i, name)| (name, i))
                .collect()
        });
        Ok(Self {
            names,
            kinds,
            index,
        })
    }

    pub(super) fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// The field of a name; names are matched exactly.
    pub(super) fn find(&self, name: &[u8]) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(name).copied(),
            None => self.names.iter().rposition(|n| **n == *name),
        }
    }
}

impl Kind {
    pub(super) fn new(data_type: &DataType) -> Result<Self, FormatError> {
        Ok(match data_type {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Boolean,
            DataType::Int8 => Self::Int8,
            DataType::Int16 => Self::Int16,
            DataType::Int32 => Self::Int32,
            DataType::Int64 => Self::Int64,
            DataType::Float32 => Self::Float32,
            DataType::Float64 => Self::Float64,
            DataType::Decimal128(precision, scale) => Self::Decimal(*precision, *scale),
            DataType::Utf8 => Self::String,
            DataType::Binary => Self::Binary,
            DataType::Date32 => Self::Date,
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => Self::Timestamp,
            DataType::Timestamp(TimeUnit::Microsecond, None) => Self::TimestampNtz,
            DataType::Interval(IntervalUnit::YearMonth) => Self::YearMonth,
            DataType::Duration(TimeUnit::Microsecond) => Self::DayTime,
            DataType::Struct(fields) => Self::Struct(Target::new(fields)?),
            DataType::List(item) => Self::List(Box::new(Self::new(item.data_type())?)),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(fields) => match fields.as_ref() {
                    [key, value] if *key.data_type() == DataType::Utf8 => {
                        Self::Map(Box::new(Self::new(value.data_type())?))
                    }
                    _ => {
                        return Err(FormatError::Unsupported {
                            feature: format!("JSON objects as {data_type}: keys must be strings"),
                        });
                    }
                },
                _ => return Err(FormatError::corrupt("a map without entries")),
            },
            other => {
                return Err(FormatError::Unsupported {
                    feature: format!("JSON values as {other}"),
                });
            }
        })
    }
}

/// One record being converted.
pub(super) struct Converter<'a> {
    pub lexer: Lexer<'a>,
    pub options: &'a JsonOptions,
    /// First thing that was wrong with the record.
    pub bad: Option<Bad>,
}

impl Converter<'_> {
    /// Fields of an object that has been entered, into one new row of `columns`. `row` is the row's
    /// number. Fields that are missing are left for the caller to pad.
    pub(super) fn object(
        &mut self,
        target: &Target,
        columns: &mut [Column],
        row: usize,
        root: bool,
    ) -> Converted {
        let mut first = true;
        loop {
            let Some(name) = self.lexer.next_name(first)? else {
                return Ok(());
            };
            first = false;
            let Some(index) = target.find(self.lexer.content(name)) else {
                let token = self.value_of_field()?;
                self.lexer.skip_rest(token)?;
                continue;
            };
            let (Some(kind), Some(column)) = (target.kinds.get(index), columns.get_mut(index))
            else {
                return Err(Failure::Value(Bad::new("a field without a column")));
            };
            let token = self.value_of_field()?;
            match self.field(token, kind, column, row) {
                Ok(()) => {}
                Err(Failure::Value(bad)) if self.options.partial_results => self.note(bad),
                Err(Failure::Value(bad)) if root => {
                    self.note(bad);
                    if matches!(kind, Kind::Struct(_) | Kind::Map(_)) && token == Token::Object {
                        // Without partial results nothing behind a broken object is read.
                        return Ok(());
                    }
                }
                Err(Failure::Malformed(Malformed {
                    after_name: true, ..
                })) if root => {
                    // Jackson loses its place here and readers see the end of the object.
                    self.note(Bad::new("not a JSON value"));
                    return Ok(());
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// The token of a field's value; failing here is told apart from failing anywhere else.
    fn value_of_field(&mut self) -> Result<Token, Failure> {
        self.lexer.value().map_err(|m| {
            Failure::Malformed(Malformed {
                after_name: true,
                ..m
            })
        })
    }

    fn note(&mut self, bad: Bad) {
        self.bad.get_or_insert(bad);
    }

    /// One field; a repeated name replaces the earlier value, unless its own value is bad.
    fn field(&mut self, token: Token, kind: &Kind, column: &mut Column, row: usize) -> Converted {
        if column.len() <= row {
            return self.value(token, kind, column);
        }
        let mut single = column.like();
        self.value(token, kind, &mut single)?;
        column.truncate(row);
        column.append(&single);
        Ok(())
    }

    /// Appends one value to a column, or nothing if it fails.
    pub(super) fn value(&mut self, token: Token, kind: &Kind, column: &mut Column) -> Converted {
        if token == Token::Null {
            column.push_null();
            return Ok(());
        }
        match (kind, token) {
            (Kind::Null, _) => {
                self.lexer.skip_rest(token)?;
                column.push_null();
                Ok(())
            }
            (Kind::Struct(target), Token::Object) => self.structure(target, column),
            (Kind::List(item), Token::Array) => self.list(item, column),
            (Kind::Map(value), Token::Object) => self.map(value, column),
            (Kind::String, _) => self.string(token, column),
            (_, Token::String) => {
                let text = self.lexer.string()?;
                if matches!(kind, Kind::Binary) {
                    self.base64_in_step(text)?;
                }
                let parsed = self.parse_text(text, kind);
                parsed.and_then(|v| v.push(column)).map_err(Failure::Value)
            }
            _ => {
                let parsed = self.parse_scalar(token, kind);
                if parsed.is_err() {
                    self.lexer.skip_rest(token)?;
                }
                parsed.and_then(|v| v.push(column)).map_err(Failure::Value)
            }
        }
    }

    fn structure(&mut self, target: &Target, column: &mut Column) -> Converted {
        let row = column.len();
        let Column::Struct(_, children, _) = column else {
            return Err(Failure::Value(Bad::new("a struct without columns")));
        };
        let result = self.object(target, children, row, false);
        if result.is_err() {
            column.truncate(row);
            return result;
        }
        children
            .iter_mut()
            .filter(|child| child.len() <= row)
            .for_each(Column::push_null);
        column.close_row();
        Ok(())
    }

    fn list(&mut self, item: &Kind, column: &mut Column) -> Converted {
        let row = column.len();
        let Column::List(_, child, _) = column else {
            return Err(Failure::Value(Bad::new("a list without elements")));
        };
        let mut first = true;
        let result = loop {
            match self.lexer.next_element(first) {
                Ok(false) => break Ok(()),
                Ok(true) => first = false,
                Err(malformed) => break Err(malformed.into()),
            }
            let element = self.lexer.value().map_err(Failure::from);
            match element.and_then(|token| self.value(token, item, child)) {
                Ok(()) => {}
                Err(Failure::Value(bad)) => {
                    // The elements behind the bad one must still be JSON.
                    break match self.lexer.skip_elements(false) {
                        Ok(()) => Err(Failure::Value(bad)),
                        Err(malformed) => Err(malformed.into()),
                    };
                }
                Err(failure) => break Err(failure),
            }
        };
        match result {
            Ok(()) => column.close_row(),
            Err(_) => column.truncate(row),
        }
        result
    }

    fn map(&mut self, kind: &Kind, column: &mut Column) -> Converted {
        let row = column.len();
        let Column::Map(_, keys, values, _) = column else {
            return Err(Failure::Value(Bad::new("a map without entries")));
        };
        let mut bad = None;
        let mut first = true;
        let result = loop {
            match self.lexer.next_name(first) {
                Ok(None) => break Ok(()),
                Ok(Some(name)) => {
                    if let Column::Utf8(keys) = keys.as_mut() {
                        keys.push(self.lexer.content(name));
                    }
                }
                Err(malformed) => break Err(malformed.into()),
            }
            first = false;
            match self
                .value_of_field()
                .and_then(|token| self.value(token, kind, values))
            {
                Ok(()) => {}
                Err(Failure::Value(b)) => {
                    bad.get_or_insert(b);
                    keys.truncate(values.len());
                }
                Err(failure) => break Err(failure),
            }
        };
        let result = result.and_then(|()| bad.map_or(Ok(()), |b| Err(Failure::Value(b))));
        match result {
            Ok(()) => column.close_row(),
            Err(_) => column.truncate(row),
        }
        result
    }

    /// Any value as a string: strings as they are, anything else as its JSON text.
    fn string(&mut self, token: Token, column: &mut Column) -> Converted {
        let Column::Utf8(bytes) = column else {
            return Err(Failure::Value(Bad::new("a string without a column")));
        };
        if token == Token::String {
            let text = self.lexer.string()?;
            bytes.push(self.lexer.content(text));
            return Ok(());
        }
        let start = match token {
            Token::Integer(start, _) | Token::Float(start, _) | Token::NonNumeric(start, _) => {
                start
            }
            Token::True => self.lexer.position() - 4,
            Token::False => self.lexer.position() - 5,
            _ => self.lexer.position() - 1,
        };
        if self.options.exact_strings {
            self.lexer.skip_rest(token)?;
            bytes.push(self.lexer.span(start, self.lexer.position()));
            return Ok(());
        }
        let mut text = String::new();
        push_normalized(&mut self.lexer, token, &mut text)?;
        bytes.push(text.as_bytes());
        Ok(())
    }

    /// A JSON string as a value of another type.
    fn parse_text(&self, text: Text, kind: &Kind) -> Result<Parsed, Bad> {
        let text = self.lexer.content(text);
        let bad = || {
            Bad::new(format!(
                "cannot parse {:?} as {kind:?}",
                String::from_utf8_lossy(text)
            ))
        };
        if text.is_empty() && !matches!(kind, Kind::Binary) {
            return Err(bad());
        }
        let temporal = &self.options.temporal;
        let value = match kind {
            Kind::Float32 => self.special(text).map(|v| Parsed::Float32(v as f32)),
            Kind::Float64 => self.special(text).map(Parsed::Float64),
            Kind::Decimal(precision, scale) => {
                let plain: Vec<u8> = text.iter().copied().filter(|b| *b != b',').collect();
                let decimal = BigDecimal::parse(&plain);
                decimal
                    .and_then(|d| d.to_unscaled(*precision, *scale))
                    .map(Parsed::Decimal)
            }
            Kind::Date => temporal.date_or_days(text).map(Parsed::Int32),
            Kind::Timestamp => temporal.timestamp(text).map(Parsed::Int64),
            Kind::TimestampNtz => temporal.timestamp_ntz(text).map(Parsed::Int64),
            Kind::Binary => from_base64(text).map(Parsed::Binary),
            Kind::YearMonth => utf8(text).and_then(string_to_year_month).map(Parsed::Int32),
            Kind::DayTime => utf8(text).and_then(string_to_day_time).map(Parsed::Int64),
            _ => None,
        };
        value.ok_or_else(bad)
    }

    /// Jackson decodes base64 before it has found the string's end. Where that runs over the closing quote,
    /// or into the middle of a character, it cannot find its way back and the record is lost.
    fn base64_in_step(&self, text: Text) -> Result<(), Malformed> {
        let bytes = self.options.exact_strings && matches!(text, Text::Span(..));
        let text = self.lexer.content(text);
        let alphabet = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
        let length = text.iter().take_while(alphabet).count();
        let cut_short = length == text.len() && length % 4 == 1;
        let in_character = bytes && text.get(length).is_some_and(|b| !b.is_ascii());
        match cut_short || in_character {
            true => Err(Malformed {
                at: self.lexer.position(),
                after_name: false,
            }),
            false => Ok(()),
        }
    }

    /// The strings that stand for floating-point values.
    fn special(&self, text: &[u8]) -> Option<f64> {
        if !self.options.syntax.non_numeric {
            return None;
        }
        match text {
            b"NaN" => Some(f64::NAN),
            b"+INF" | b"+Infinity" | b"Infinity" => Some(f64::INFINITY),
            b"-INF" | b"-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        }
    }

    /// A number or boolean.
    fn parse_scalar(&self, token: Token, kind: &Kind) -> Result<Parsed, Bad> {
        let value = match (kind, token) {
            (Kind::Boolean, Token::True) => Some(Parsed::Boolean(true)),
            (Kind::Boolean, Token::False) => Some(Parsed::Boolean(false)),
            (_, Token::Integer(start, end)) => {
                let text = self.lexer.span(start, end);
                from_integer(text, kind)
            }
            (_, Token::Float(start, end)) => from_float(self.lexer.span(start, end), kind),
            (Kind::Float32 | Kind::Float64, Token::NonNumeric(start, end)) => {
                let value = non_numeric(self.lexer.span(start, end));
                Some(match kind {
                    Kind::Float32 => Parsed::Float32(value as f32),
                    _ => Parsed::Float64(value),
                })
            }
            _ => None,
        };
        value.ok_or_else(|| Bad::new(format!("cannot parse {token:?} as {kind:?}")))
    }
}

/// An integer text as a number of some type.
pub(super) fn from_integer(text: &[u8], kind: &Kind) -> Option<Parsed> {
    match kind {
        Kind::Float32 => float_of_integer(text).map(|v| Parsed::Float32(v as f32)),
        Kind::Float64 => float_of_integer(text).map(Parsed::Float64),
        Kind::Decimal(precision, scale) => BigDecimal::parse(text)?
            .to_unscaled(*precision, *scale)
            .map(Parsed::Decimal),
        _ => {
            let value = parse_i64(text)?;
            match kind {
                // Jackson takes unsigned bytes too, and keeps their bits.
                Kind::Int8 => (-128..=255)
                    .contains(&value)
                    .then_some(Parsed::Int8(value as i8)),
                Kind::Int16 => i16::try_from(value).ok().map(Parsed::Int16),
                Kind::Int32 => i32::try_from(value).ok().map(Parsed::Int32),
                Kind::Int64 => Some(Parsed::Int64(value)),
                // Seconds; Spark multiplies without a check.
                Kind::Timestamp => Some(Parsed::Int64(value.wrapping_mul(1_000_000))),
                _ => None,
            }
        }
    }
}

pub(super) fn from_float(text: &[u8], kind: &Kind) -> Option<Parsed> {
    match kind {
        Kind::Float32 => utf8(text)?.parse().ok().map(Parsed::Float32),
        Kind::Float64 => utf8(text)?.parse().ok().map(Parsed::Float64),
        Kind::Decimal(precision, scale) => BigDecimal::parse(text)?
            .to_unscaled(*precision, *scale)
            .map(Parsed::Decimal),
        _ => None,
    }
}

/// A double of an integer: there is no negative zero.
fn float_of_integer(text: &[u8]) -> Option<f64> {
    match parse_i64(text) {
        Some(value) => Some(value as f64),
        None => utf8(text)?.parse().ok(),
    }
}

pub(super) fn non_numeric(text: &[u8]) -> f64 {
    match text.first() {
        Some(b'N') => f64::NAN,
        Some(b'-') => f64::NEG_INFINITY,
        _ => f64::INFINITY,
    }
}

/// An optional minus sign and digits, within 64 bits.
pub(super) fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value = 0_i64;
    if digits.len() <= 18 {
        for digit in digits {
            value = value * 10 - i64::from(digit.wrapping_sub(b'0'));
        }
    } else {
        for digit in digits {
            value = value
                .checked_mul(10)?
                .checked_sub(i64::from(digit.wrapping_sub(b'0')))?;
        }
    }
    if negative {
        Some(value)
    } else {
        value.checked_neg()
    }
}

/// MIME base64 without line breaks, padding required.
fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

fn utf8(text: &[u8]) -> Option<&str> {
    std::str::from_utf8(text).ok()
}
