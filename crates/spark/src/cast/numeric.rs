//! Numbers as other numbers.
use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, Decimal128Array,
        PrimitiveArray,
    },
    datatypes::{
        DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
        Int64Type,
    },
};

use super::{EvalMode, error, kernel::unknown};
use crate::{
    error::{Result, SparkError},
    types::{is_integral, is_numeric},
};

pub(super) fn cast_numeric(array: &ArrayRef, to: &DataType, eval: EvalMode) -> Result<ArrayRef> {
    match (array.data_type(), to) {
        (DataType::Boolean, DataType::Decimal128(p, s)) => {
            let ones = arrow::compute::cast(array, &DataType::Int32)?;
            integers_to_decimal(&ones, (*p, *s), eval)
        }
        (DataType::Boolean, _) => Ok(arrow::compute::cast(array, to)?),
        (_, DataType::Boolean) => to_boolean(array),
        (f, t) if is_integral(f) && is_integral(t) => narrow(array, to, eval),
        (f, DataType::Decimal128(p, s)) if is_integral(f) => {
            integers_to_decimal(array, (*p, *s), eval)
        }
        (DataType::Float32 | DataType::Float64, DataType::Decimal128(p, s)) => {
            floats_to_decimal(array, (*p, *s), eval)
        }
        (DataType::Float32 | DataType::Float64, t) if is_integral(t) => {
            floats_to_integers(array, to, eval)
        }
        (DataType::Float64, DataType::Float32) => {
            let values = array
                .as_primitive::<Float64Type>()
                .unary::<_, Float32Type>(|v| v as f32);
            Ok(Arc::new(values))
        }
        (DataType::Decimal128(_, s), DataType::Decimal128(p2, s2)) => {
            rescale(array.as_primitive(), *s, (*p2, *s2), eval)
        }
        (DataType::Decimal128(_, s), t) if is_integral(t) => {
            decimals_to_integers(array, *s, to, eval)
        }
        (DataType::Decimal128(_, s), DataType::Float32 | DataType::Float64) => {
            decimals_to_floats(array.as_primitive(), *s, to)
        }
        (f, DataType::Binary) if is_integral(f) => big_endian(array),
        (f, t) => Err(unknown(f, t)),
    }
}

fn to_boolean(array: &ArrayRef) -> Result<ArrayRef> {
    if !is_numeric(array.data_type()) {
        return Err(unknown(array.data_type(), &DataType::Boolean));
    }
    let nulls = array.nulls().cloned();
    let values = match array.data_type() {
        DataType::Decimal128(_, _) => array
            .as_primitive::<Decimal128Type>()
            .values()
            .iter()
            .map(|v| *v != 0)
            .collect(),
        _ => {
            let doubles = arrow::compute::cast(array, &DataType::Float64)?;
            doubles
                .as_primitive::<Float64Type>()
                .values()
                .iter()
                .map(|v| *v != 0.0)
                .collect()
        }
    };
    Ok(Arc::new(BooleanArray::new(values, nulls)))
}

/// Runs `$body` with `$T` the Arrow type of the whole number type `$to`.
macro_rules! for_integral {
    ($to:expr, $T:ident => $body:expr) => {
        match $to {
            DataType::Int8 => {
                type $T = Int8Type;
                $body
            }
            DataType::Int16 => {
                type $T = Int16Type;
                $body
            }
            DataType::Int32 => {
                type $T = Int32Type;
                $body
            }
            _ => {
                type $T = Int64Type;
                $body
            }
        }
    };
}

/// The value as a literal of its type: `300`, `300L`, `1S`.
fn literal(value: i64, data_type: &DataType) -> String {
    match data_type {
        DataType::Int8 => format!("{value}Y"),
        DataType::Int16 => format!("{value}S"),
        DataType::Int64 => format!("{value}L"),
        _ => value.to_string(),
    }
}

fn narrow(array: &ArrayRef, to: &DataType, eval: EvalMode) -> Result<ArrayRef> {
    let from = array.data_type().clone();
    let wide = arrow::compute::cast(array, &DataType::Int64)?;
    let wide = wide.as_primitive::<Int64Type>();
    for_integral!(to, T => {
        type N = <T as ArrowPrimitiveType>::Native;
        collect::<T, _>(wide.iter(), |v| match N::try_from(v) {
            Ok(n) => Ok(Some(n)),
            Err(_) => match eval {
                EvalMode::Ansi => Err(error::overflow(&literal(v, &from), &from, to)),
                EvalMode::Legacy => Ok(Some(v as N)),
                EvalMode::Try => Ok(None),
            },
        })
    })
}

fn collect<T: ArrowPrimitiveType, V>(
    values: impl Iterator<Item = Option<V>>,
    convert: impl Fn(V) -> Result<Option<T::Native>>,
) -> Result<ArrayRef> {
    let converted: Vec<Option<T::Native>> = values
        .map(|v| v.map_or(Ok(None), &convert))
        .collect::<Result<_>>()?;
    Ok(Arc::new(
        converted.into_iter().collect::<PrimitiveArray<T>>(),
    ))
}

fn floats_to_integers(array: &ArrayRef, to: &DataType, eval: EvalMode) -> Result<ArrayRef> {
    let from = array.data_type().clone();
    let suffix = if from == DataType::Float32 { "" } else { "D" };
    let doubles = arrow::compute::cast(array, &DataType::Float64)?;
    let doubles = doubles.as_primitive::<Float64Type>();
    for_integral!(to, T => {
        type N = <T as ArrowPrimitiveType>::Native;
        // Java checks against the bounds rounded to double: the upper one is exclusive for BIGINT.
        let (low, high) = (N::MIN as f64, N::MAX as f64);
        collect::<T, _>(doubles.iter(), |v| {
            let fits = v.floor() <= high && v.ceil() >= low;
            match eval {
                _ if fits => Ok(Some(v as N)),
                EvalMode::Ansi => {
                    let text = format!("{}{suffix}", crate::literal::double_text(v));
                    Err(error::overflow(&text, &from, to))
                }
                EvalMode::Try => Ok(None),
                // Java narrows through INT, or saturates BIGINT.
                EvalMode::Legacy if *to == DataType::Int64 => Ok(Some(v as N)),
                EvalMode::Legacy => Ok(Some((v as i32) as N)),
            }
        })
    })
}

/// Whether `value` has at most `precision` digits.
pub(crate) fn fits_decimal(value: i128, precision: u8) -> bool {
    10_u128
        .checked_pow(u32::from(precision))
        .is_some_and(|limit| value.unsigned_abs() < limit)
}

pub(crate) fn power_of_ten(exponent: u32) -> Option<i128> {
    10_i128.checked_pow(exponent)
}

/// `value / divisor`, halves away from zero.
pub(crate) fn divide_half_up(value: i128, divisor: i128) -> i128 {
    let (quotient, rest) = (value / divisor, value % divisor);
    if rest.unsigned_abs() * 2 >= divisor.unsigned_abs() {
        quotient + if (value < 0) == (divisor < 0) { 1 } else { -1 }
    } else {
        quotient
    }
}

/// `value` of scale `from` at scale `to`, rounded half up; `None` if it does not fit 128 bits.
pub(crate) fn rescale_value(value: i128, from: i8, to: i8) -> Option<i128> {
    let shift = i32::from(to) - i32::from(from);
    if shift >= 0 {
        value.checked_mul(power_of_ten(shift.unsigned_abs())?)
    } else {
        match power_of_ten(shift.unsigned_abs()) {
            Some(divisor) => Some(divide_half_up(value, divisor)),
            None => Some(0),
        }
    }
}

/// `unscaled` of `scale` as Java prints a BigDecimal without exponent.
pub(crate) fn decimal_text(unscaled: i128, scale: i8) -> String {
    let scale = usize::try_from(scale.max(0)).unwrap_or(0);
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if unscaled < 0 { "-" } else { "" };
    if fraction.is_empty() {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction}")
    }
}

fn decimal_or(
    value: Option<i128>,
    (p, s): (u8, i8),
    eval: EvalMode,
    text: impl FnOnce() -> String,
) -> Result<Option<i128>> {
    match value {
        Some(v) if fits_decimal(v, p) => Ok(Some(v)),
        _ if eval == EvalMode::Ansi => Err(error::decimal_out_of_range(&text(), p, s)),
        _ => Ok(None),
    }
}

fn decimals(values: Vec<Option<i128>>, (p, s): (u8, i8)) -> Result<ArrayRef> {
    Ok(Arc::new(
        Decimal128Array::from(values).with_precision_and_scale(p, s)?,
    ))
}

fn integers_to_decimal(array: &ArrayRef, to: (u8, i8), eval: EvalMode) -> Result<ArrayRef> {
    let wide = arrow::compute::cast(array, &DataType::Int64)?;
    let values = wide
        .as_primitive::<Int64Type>()
        .iter()
        .map(|v| match v {
            None => Ok(None),
            Some(v) => decimal_or(rescale_value(i128::from(v), 0, to.1), to, eval, || {
                v.to_string()
            }),
        })
        .collect::<Result<Vec<_>>>()?;
    decimals(values, to)
}

fn rescale(array: &Decimal128Array, from: i8, to: (u8, i8), eval: EvalMode) -> Result<ArrayRef> {
    let values = array
        .iter()
        .map(|v| match v {
            None => Ok(None),
            Some(v) => decimal_or(rescale_value(v, from, to.1), to, eval, || {
                decimal_text(v, from)
            }),
        })
        .collect::<Result<Vec<_>>>()?;
    decimals(values, to)
}

fn floats_to_decimal(array: &ArrayRef, to: (u8, i8), eval: EvalMode) -> Result<ArrayRef> {
    let doubles = arrow::compute::cast(array, &DataType::Float64)?;
    let single = array.data_type() == &DataType::Float32;
    let values = doubles
        .as_primitive::<Float64Type>()
        .iter()
        .map(|v| match v {
            None => Ok(None),
            // NaN and the infinities have no decimal, in any mode.
            Some(v) if !v.is_finite() => Ok(None),
            Some(v) => {
                // Java goes through the shortest text of the double.
                let text = crate::literal::double_text(v);
                let _ = single;
                decimal_or(decimal_from_text(&text, to.1), to, eval, || text.clone())
            }
        })
        .collect::<Result<Vec<_>>>()?;
    decimals(values, to)
}

fn decimals_to_integers(
    array: &ArrayRef,
    scale: i8,
    to: &DataType,
    eval: EvalMode,
) -> Result<ArrayRef> {
    let from = array.data_type().clone();
    let decimals = array.as_primitive::<Decimal128Type>();
    let divisor = power_of_ten(u32::from(scale.unsigned_abs()))
        .ok_or_else(|| SparkError::internal("a decimal scale beyond 38"))?;
    for_integral!(to, T => {
        type N = <T as ArrowPrimitiveType>::Native;
        collect::<T, _>(decimals.iter(), |v| {
            let whole = v / divisor;
            match N::try_from(whole) {
                Ok(n) => Ok(Some(n)),
                Err(_) => match eval {
                    EvalMode::Ansi => {
                        let text = format!("{}BD", decimal_text(v, scale));
                        Err(error::overflow(&text, &from, to))
                    }
                    EvalMode::Legacy => Ok(Some(whole as N)),
                    EvalMode::Try => Ok(None),
                },
            }
        })
    })
}

fn decimals_to_floats(array: &Decimal128Array, scale: i8, to: &DataType) -> Result<ArrayRef> {
    let doubles = array
        .iter()
        .map(|v| v.and_then(|v| decimal_text(v, scale).parse::<f64>().ok()));
    if *to == DataType::Float32 {
        let floats = array
            .iter()
            .map(|v| v.and_then(|v| decimal_text(v, scale).parse::<f32>().ok()));
        return Ok(Arc::new(floats.collect::<PrimitiveArray<Float32Type>>()));
    }
    Ok(Arc::new(doubles.collect::<PrimitiveArray<Float64Type>>()))
}

fn big_endian(array: &ArrayRef) -> Result<ArrayRef> {
    let width = array.data_type().primitive_width().unwrap_or(8);
    let wide = arrow::compute::cast(array, &DataType::Int64)?;
    let bytes: BinaryArray = wide
        .as_primitive::<Int64Type>()
        .iter()
        .map(|v| v.and_then(|v| v.to_be_bytes().get(8 - width..).map(<[u8]>::to_vec)))
        .collect();
    Ok(Arc::new(bytes))
}

/// Whether the text is a number at all (and only its size is the trouble).
pub(super) fn looks_like_number(text: &str) -> bool {
    super::from_string::parse_double(text).is_some_and(f64::is_finite)
}

/// The unscaled value of a decimal text (`12.5`, `1e3`) at `scale`, rounded half up; `None` if it is no number or does
/// not fit 128 bits.
pub(crate) fn decimal_from_text(text: &str, scale: i8) -> Option<i128> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (text.get(..at)?, text.get(at + 1..)?.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.as_bytes().first()? {
        b'-' => (true, mantissa.get(1..)?),
        b'+' => (false, mantissa.get(1..)?),
        _ => (false, mantissa),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    if !whole
        .bytes()
        .chain(fraction.bytes())
        .all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let all: String = [whole, fraction].concat();
    let all = all.trim_start_matches('0');
    // The value is `all` × 10^(exponent - fraction.len()); digits wanted: ×10^scale.
    let shift = exponent - i32::try_from(fraction.len()).ok()? + i32::from(scale);
    let magnitude = if shift >= 0 {
        let zeros = if all.is_empty() {
            0
        } else {
            shift.unsigned_abs()
        };
        if all.len() as u32 + zeros > 39 {
            return None;
        }
        let value: i128 = if all.is_empty() { 0 } else { all.parse().ok()? };
        value.checked_mul(power_of_ten(zeros)?)?
    } else {
        let cut = shift.unsigned_abs() as usize;
        if cut > all.len() {
            0
        } else {
            let (kept, dropped) = all.split_at(all.len() - cut);
            let value: i128 = if kept.is_empty() {
                0
            } else {
                kept.parse().ok()?
            };
            if dropped.as_bytes().first().is_some_and(|b| *b >= b'5') {
                value.checked_add(1)?
            } else {
                value
            }
        }
    };
    Some(if negative { -magnitude } else { magnitude })
}
