//! CSV values to columns.
use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

use super::options::CsvOptions;
use crate::{
    datetime::{string_to_day_time, string_to_year_month},
    format::{
        FormatError,
        column::Column,
        number::BigDecimal,
        parsed::{Bad, Parsed},
        spark_type::sql_name,
    },
};

/// Whether CSV can hold a type.
pub(super) fn supported(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Boolean
            | DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Float32
            | DataType::Float64
            | DataType::Decimal128(..)
            | DataType::Utf8
            | DataType::Binary
            | DataType::Date32
            | DataType::Timestamp(TimeUnit::Microsecond, _)
            | DataType::Interval(IntervalUnit::YearMonth)
            | DataType::Duration(TimeUnit::Microsecond)
    )
}

/// The error for a column that CSV cannot hold.
pub(super) fn unsupported(column: &str, data_type: &DataType) -> FormatError {
    FormatError::UnsupportedType {
        format: "CSV".to_owned(),
        column: column.to_owned(),
        data_type: sql_name(data_type),
    }
}

/// Appends the value of a text that is not null.
pub(super) fn push(
    text: &[u8],
    data_type: &DataType,
    options: &CsvOptions,
    column: &mut Column,
) -> Result<(), Bad> {
    if let Column::Utf8(column) = column {
        match std::str::from_utf8(text) {
            Ok(_) => column.push(text),
            Err(_) => column.push(String::from_utf8_lossy(text).as_bytes()),
        }
        return Ok(());
    }
    let bad = || {
        Bad::new(format!(
            "cannot parse {:?} as {}",
            String::from_utf8_lossy(text),
            sql_name(data_type)
        ))
    };
    parse(text, data_type, options)
        .ok_or_else(bad)?
        .push(column)
}

fn parse(text: &[u8], data_type: &DataType, options: &CsvOptions) -> Option<Parsed> {
    let string = || std::str::from_utf8(text).ok();
    Some(match data_type {
        DataType::Boolean => {
            if text.eq_ignore_ascii_case(b"true") {
                Parsed::Boolean(true)
            } else if text.eq_ignore_ascii_case(b"false") {
                Parsed::Boolean(false)
            } else {
                return None;
            }
        }
        DataType::Int8 => Parsed::Int8(string()?.parse().ok()?),
        DataType::Int16 => Parsed::Int16(string()?.parse().ok()?),
        DataType::Int32 => Parsed::Int32(string()?.parse().ok()?),
        DataType::Int64 => Parsed::Int64(string()?.parse().ok()?),
        DataType::Float32 => match special(text, options) {
            Some(value) => Parsed::Float32(value as f32),
            None => Parsed::Float32(java_number(string()?)?.parse().ok()?),
        },
        DataType::Float64 => match special(text, options) {
            Some(value) => Parsed::Float64(value),
            None => Parsed::Float64(java_number(string()?)?.parse().ok()?),
        },
        DataType::Decimal128(precision, scale) => {
            let plain: Vec<u8> = text.iter().copied().filter(|b| *b != b',').collect();
            Parsed::Decimal(BigDecimal::parse(&plain)?.to_unscaled(*precision, *scale)?)
        }
        DataType::Date32 => Parsed::Int32(options.temporal.date(text)?),
        DataType::Timestamp(_, Some(_)) => Parsed::Int64(options.temporal.timestamp(text)?),
        DataType::Timestamp(_, None) => Parsed::Int64(options.temporal.timestamp_ntz(text)?),
        DataType::Binary => Parsed::Binary(text.to_vec()),
        DataType::Interval(_) => Parsed::Int32(string_to_year_month(string()?)?),
        DataType::Duration(_) => Parsed::Int64(string_to_day_time(string()?)?),
        _ => return None,
    })
}

/// The texts that options give to values that are no numbers.
pub(super) fn special(text: &[u8], options: &CsvOptions) -> Option<f64> {
    if text == options.nan_value.as_bytes() {
        Some(f64::NAN)
    } else if text == options.negative_infinity.as_bytes() {
        Some(f64::NEG_INFINITY)
    } else if text == options.positive_infinity.as_bytes() {
        Some(f64::INFINITY)
    } else {
        None
    }
}

/// What `Double.parseDouble` takes, as Rust takes it: blanks around it, a `d` or `f` behind it, `NaN` and
/// `Infinity` spelt exactly so.
pub(super) fn java_number(text: &str) -> Option<&str> {
    let text = text.trim_matches(|c: char| c <= ' ');
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    match unsigned {
        "Infinity" | "NaN" => return Some(text),
        _ => {}
    }
    let digits = unsigned.trim_end_matches(['d', 'D', 'f', 'F']);
    let plain = unsigned.len() - digits.len() <= 1
        && digits
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'))
        && digits
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_digit() || b == b'.');
    plain.then(|| text.get(..text.len() - (unsigned.len() - digits.len())))?
}
