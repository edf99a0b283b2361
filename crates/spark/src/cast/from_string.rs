//! Text as values.
use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, ArrowPrimitiveType, BooleanArray, Decimal128Array,
        DurationMicrosecondArray, IntervalMonthDayNanoArray, IntervalYearMonthArray,
        PrimitiveArray, StringArray, Time64MicrosecondArray,
    },
    datatypes::{
        DataType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
        TimestampMicrosecondType,
    },
};
use millstream_connectors::datetime::{
    string_to_date, string_to_day_time, string_to_timestamp, string_to_timestamp_ntz,
    string_to_year_month,
};

use super::{EvalMode, error, kernel::unknown, numeric::decimal_from_text};
use crate::{
    error::Result,
    functions::EvalContext,
    types::{CALENDAR, DAY_TIME, TIME, YEAR_MONTH},
};

pub(super) fn cast_from_string(
    text: &StringArray,
    to: &DataType,
    eval: EvalMode,
    context: &EvalContext,
) -> Result<ArrayRef> {
    let exact = eval != EvalMode::Legacy;
    Ok(match to {
        DataType::Boolean => {
            let values: BooleanArray = parsed(text, to, eval, parse_boolean)?.into_iter().collect();
            Arc::new(values)
        }
        DataType::Int8 => {
            integers::<Int8Type>(text, to, eval, |t| parse_integer(t, exact)?.try_into().ok())?
        }
        DataType::Int16 => {
            integers::<Int16Type>(text, to, eval, |t| parse_integer(t, exact)?.try_into().ok())?
        }
        DataType::Int32 => {
            integers::<Int32Type>(text, to, eval, |t| parse_integer(t, exact)?.try_into().ok())?
        }
        DataType::Int64 => integers::<Int64Type>(text, to, eval, |t| parse_integer(t, exact))?,
        DataType::Float32 => integers::<Float32Type>(text, to, eval, parse_float)?,
        DataType::Float64 => integers::<Float64Type>(text, to, eval, parse_double)?,
        DataType::Decimal128(p, s) => decimals(text, to, (*p, *s), eval)?,
        DataType::Date32 => {
            integers::<Date32Type>(text, to, eval, |t| string_to_date(t.as_bytes()))?
        }
        DataType::Timestamp(_, Some(zone)) => {
            let session = context.zone()?;
            let values = parsed(text, to, eval, |t| {
                string_to_timestamp(t.as_bytes(), &session)
            })?;
            let array: PrimitiveArray<TimestampMicrosecondType> = values.into_iter().collect();
            Arc::new(array.with_timezone(Arc::clone(zone)))
        }
        DataType::Timestamp(_, None) => {
            integers::<TimestampMicrosecondType>(text, to, eval, |t| {
                string_to_timestamp_ntz(t.as_bytes(), true)
            })?
        }
        t if *t == TIME => {
            let values: Time64MicrosecondArray =
                parsed(text, to, eval, parse_time)?.into_iter().collect();
            Arc::new(values)
        }
        t if *t == DAY_TIME => {
            let values: DurationMicrosecondArray = parsed(text, to, eval, string_to_day_time)?
                .into_iter()
                .collect();
            Arc::new(values)
        }
        t if *t == YEAR_MONTH => {
            let values: IntervalYearMonthArray = parsed(text, to, eval, string_to_year_month)?
                .into_iter()
                .collect();
            Arc::new(values)
        }
        t if *t == CALENDAR => {
            let values: IntervalMonthDayNanoArray =
                parsed(text, to, eval, crate::interval::parse_calendar_interval)?
                    .into_iter()
                    .collect();
            Arc::new(values)
        }
        other => return Err(unknown(&DataType::Utf8, other)),
    })
}

fn parsed<T>(
    text: &StringArray,
    to: &DataType,
    eval: EvalMode,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<Option<T>>> {
    text.iter()
        .map(|value| match value {
            None => Ok(None),
            Some(t) => match parse(t) {
                None if eval != EvalMode::Try && crate::types::is_ansi_interval(to) => {
                    Err(error::invalid_interval(t, to))
                }
                None if eval == EvalMode::Ansi => Err(error::invalid_input(t, &DataType::Utf8, to)),
                found => Ok(found),
            },
        })
        .collect()
}

fn integers<T: ArrowPrimitiveType>(
    text: &StringArray,
    to: &DataType,
    eval: EvalMode,
    parse: impl Fn(&str) -> Option<T::Native>,
) -> Result<ArrayRef> {
    let values: PrimitiveArray<T> = parsed(text, to, eval, parse)?.into_iter().collect();
    Ok(Arc::new(values))
}

/// Java's `UTF8String.trimAll`: blanks and control characters at both ends.
fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ' || c == '\u{7f}')
}

fn parse_boolean(text: &str) -> Option<bool> {
    match trim(text).to_ascii_lowercase().as_str() {
        "t" | "true" | "y" | "yes" | "1" => Some(true),
        "f" | "false" | "n" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// A whole number. With ANSI off a fraction is allowed and cut off.
fn parse_integer(text: &str, exact: bool) -> Option<i64> {
    let text = trim(text);
    let (digits, fraction) = match text.split_once('.') {
        Some(_) if exact => return None,
        Some((digits, fraction)) => (digits, fraction),
        None => (text, ""),
    };
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    match digits {
        "" | "-" | "+" if text.contains('.') && !fraction.is_empty() => Some(0),
        _ => digits.parse().ok(),
    }
}

pub(super) fn parse_double(text: &str) -> Option<f64> {
    let text = trim(text);
    match text.to_ascii_lowercase().as_str() {
        "inf" | "+inf" | "infinity" | "+infinity" => return Some(f64::INFINITY),
        "-inf" | "-infinity" => return Some(f64::NEG_INFINITY),
        "nan" => return Some(f64::NAN),
        _ => {}
    }
    // Java takes a type suffix; Rust takes words that Java does not.
    let number = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
    let plain = number
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'+' | b'-' | b'e' | b'E'));
    plain.then(|| number.parse().ok()).flatten()
}

fn parse_float(text: &str) -> Option<f32> {
    let value = parse_double(text)?;
    if !value.is_finite() {
        return Some(value as f32);
    }
    trim(text)
        .trim_end_matches(['d', 'D', 'f', 'F'])
        .parse()
        .ok()
}

fn decimals(
    text: &StringArray,
    to: &DataType,
    (p, s): (u8, i8),
    eval: EvalMode,
) -> Result<ArrayRef> {
    let mut values: Vec<Option<i128>> = Vec::with_capacity(text.len());
    for value in text.iter() {
        let Some(t) = value else {
            values.push(None);
            continue;
        };
        let t = trim(t);
        let parsed = decimal_from_text(t, s);
        match parsed {
            Some(v) if super::numeric::fits_decimal(v, p) => values.push(Some(v)),
            _ if eval != EvalMode::Ansi => values.push(None),
            Some(_) => return Err(error::decimal_out_of_range(t, p, s)),
            None if super::numeric::looks_like_number(t) => {
                return Err(error::decimal_out_of_range(t, p, s));
            }
            None => return Err(error::invalid_input(t, &DataType::Utf8, to)),
        }
    }
    Ok(Arc::new(
        Decimal128Array::from(values).with_precision_and_scale(p, s)?,
    ))
}

/// `HH:mm[:ss[.SSSSSS]]`.
fn parse_time(text: &str) -> Option<i64> {
    let text = trim(text);
    let text = text.strip_prefix(['T', 't']).unwrap_or(text);
    let mut parts = text.split(':');
    let number = |t: &str, max: i64| {
        let ok = (1..=2).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_digit());
        ok.then(|| t.parse::<i64>().ok())
            .flatten()
            .filter(|v| *v <= max)
    };
    let (hours, minutes) = (number(parts.next()?, 23)?, number(parts.next()?, 59)?);
    let (seconds, micros) = match parts.next() {
        None => (0, 0),
        Some(rest) => match rest.split_once('.') {
            None => (number(rest, 59)?, 0),
            Some((s, f)) if (1..=6).contains(&f.len()) && f.bytes().all(|b| b.is_ascii_digit()) => {
                (number(s, 59)?, format!("{f:0<6}").parse().ok()?)
            }
            Some(_) => return None,
        },
    };
    if parts.next().is_some() {
        return None;
    }
    Some(((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + micros)
}
