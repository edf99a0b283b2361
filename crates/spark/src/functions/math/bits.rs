//! Bits and digits.
use arrow::{
    array::{ArrayRef, AsArray},
    datatypes::{DataType, Int8Type, Int32Type, Int64Type},
};

use crate::{
    error::{Result, SparkError, arithmetic_overflow, quoted_id},
    functions::{Accepts, Batch, Function, Registry, Returns, rows::Rows},
};

pub(super) fn register(registry: &mut Registry) {
    let counted = Accepts::one_of([Accepts::Integral, Accepts::BOOLEAN]);
    registry.add(Function::scalar(
        "bit_count",
        [counted],
        Returns::Type(DataType::Int32),
        bit_count,
    ));
    let bit = || Returns::Type(DataType::Int8);
    let parameters = || [Accepts::Integral, Accepts::INT];
    registry.add(Function::scalar("bit_get", parameters(), bit(), bit_get).alias("getbit"));
    registry.add(Function::scalar(
        "bin",
        [Accepts::LONG],
        Returns::Type(DataType::Utf8),
        bin,
    ));
    registry.add(Function::scalar(
        "conv",
        [Accepts::STRING, Accepts::INT, Accepts::INT],
        Returns::Nullable(DataType::Utf8),
        conv,
    ));
}

/// Negative numbers count as 64 bits, whatever their type.
fn bit_count(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let wide = arrow::compute::cast(rows.array(0)?, &DataType::Int64)?;
    let wide = wide.as_primitive::<Int64Type>();
    rows.numbers::<Int32Type>(|row| Ok(i32::try_from(wide.value(row).count_ones()).ok()))
}

fn bit_get(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let width = match rows.array(0)?.data_type() {
        DataType::Int8 => 8,
        DataType::Int16 => 16,
        DataType::Int32 => 32,
        _ => 64,
    };
    let wide = arrow::compute::cast(rows.array(0)?, &DataType::Int64)?;
    let wide = wide.as_primitive::<Int64Type>();
    let positions = rows.ints(1)?;
    rows.numbers::<Int8Type>(|row| {
        let position = positions.value(row);
        if !(0..width).contains(&position) {
            return Err(SparkError::illegal_argument(
                "INVALID_PARAMETER_VALUE.BIT_POSITION_RANGE",
                &[
                    ("functionName", &quoted_id("bit_get")),
                    ("parameter", &quoted_id("pos")),
                    ("upper", &width.to_string()),
                    ("invalidValue", &position.to_string()),
                ],
            ));
        }
        Ok(Some(i8::from(wide.value(row) >> position & 1 == 1)))
    })
}

fn bin(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let values = rows.longs(0)?;
    rows.text(|row| Ok(Some(format!("{:b}", values.value(row)))))
}

fn conv(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (texts, from, to) = (rows.strings(0)?, rows.ints(1)?, rows.ints(2)?);
    rows.text(|row| {
        let (from, to) = (from.value(row), to.value(row));
        if !(2..=36).contains(&from) || !(2..=36).contains(&to.saturating_abs()) {
            return Ok(None);
        }
        convert(
            texts.value(row).trim_matches(' '),
            from.unsigned_abs(),
            to,
            batch.context().ansi,
        )
    })
}

/// An unsigned 64-bit number from one base to another; a negative base prints it as signed.
fn convert(text: &str, from: u32, to: i32, ansi: bool) -> Result<Option<String>> {
    if text.is_empty() {
        return Ok(None);
    }
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let mut value: u64 = 0;
    // What is not a digit of the base ends the number.
    for digit in digits.chars().map_while(|c| c.to_digit(from)) {
        let next = value
            .checked_mul(from.into())
            .and_then(|v| v.checked_add(digit.into()));
        value = match next {
            Some(next) => next,
            None if ansi => return Err(arithmetic_overflow("Overflow in function conv()", "")),
            None => {
                value = u64::MAX;
                break;
            }
        };
    }
    let mut shows_minus = false;
    if negative && to > 0 {
        value = if value > i64::MAX as u64 {
            u64::MAX
        } else {
            value.wrapping_neg()
        };
    } else if to < 0 {
        let signed = value as i64;
        shows_minus = negative || signed < 0;
        value = if negative {
            value
        } else {
            signed.unsigned_abs()
        };
    }
    let base = u64::from(to.unsigned_abs());
    let mut out = vec![];
    loop {
        let digit = u32::try_from(value % base).unwrap_or(0);
        out.extend(char::from_digit(digit, 36).map(|c| c.to_ascii_uppercase()));
        value /= base;
        if value == 0 {
            break;
        }
    }
    if shows_minus {
        out.push('-');
    }
    Ok(Some(out.iter().rev().collect()))
}
