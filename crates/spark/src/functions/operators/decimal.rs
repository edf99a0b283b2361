//! Decimal arithmetic: exact, then rounded half up to the result's scale.
use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, Decimal128Array, Int64Array},
    datatypes::{DataType, Decimal128Type, i256},
};

use super::arithmetic::Operator;
use crate::{
    cast::{decimal_out_of_range, display_decimal, fits_decimal},
    error::{Result, SparkError, arithmetic_overflow, divide_by_zero, remainder_by_zero},
    functions::Batch,
};

pub(super) fn kernel(operator: Operator) -> fn(&Batch<'_>) -> Result<ArrayRef> {
    match operator {
        Operator::Add => |b| compute(b, |l, r, s| exact_add(l, r, s, false), divide_by_zero),
        Operator::Subtract => |b| compute(b, |l, r, s| exact_add(l, r, s, true), divide_by_zero),
        Operator::Multiply => |b| compute(b, multiply, divide_by_zero),
        Operator::Divide => |b| compute(b, divide, divide_by_zero),
        Operator::Remainder => |b| compute(b, remainder, remainder_by_zero),
        Operator::IntegralDivide => integral_divide,
    }
}

/// Scales of the operands and of the result.
#[derive(Debug, Clone, Copy)]
struct Scales {
    left: i8,
    right: i8,
    result: i8,
}

/// `None`: the divisor is zero.
type Exact = Option<i256>;

fn scale_of(data_type: &DataType) -> i8 {
    match data_type {
        DataType::Decimal128(_, s) => *s,
        _ => 0,
    }
}

fn compute(
    batch: &Batch<'_>,
    op: fn(i256, i256, Scales) -> Exact,
    by_zero: fn() -> SparkError,
) -> Result<ArrayRef> {
    let (left, right) = (
        batch.primitive::<Decimal128Type>(0)?,
        batch.primitive::<Decimal128Type>(1)?,
    );
    let DataType::Decimal128(p, s) = batch.return_type() else {
        return Err(SparkError::internal("decimal arithmetic gives decimals"));
    };
    let scales = Scales {
        left: left.scale(),
        right: right.scale(),
        result: *s,
    };
    let ansi = batch.context().ansi;
    let mut values: Vec<Option<i128>> = Vec::with_capacity(batch.len());
    for (l, r) in left.iter().zip(right.iter()) {
        let (Some(l), Some(r)) = (l, r) else {
            values.push(None);
            continue;
        };
        let Some(exact) = op(i256::from_i128(l), i256::from_i128(r), scales) else {
            if ansi {
                return Err(by_zero());
            }
            values.push(None);
            continue;
        };
        match exact.to_i128().filter(|v| fits_decimal(*v, *p)) {
            Some(value) => values.push(Some(value)),
            None if ansi => {
                return Err(decimal_out_of_range(&shown(exact, *s), *p, *s));
            }
            None => values.push(None),
        }
    }
    Ok(Arc::new(
        Decimal128Array::from(values).with_precision_and_scale(*p, *s)?,
    ))
}

/// A value that does not fit, with the 38 digits that Java would have computed.
pub(crate) fn shown(value: i256, scale: i8) -> String {
    let excess = value.wrapping_abs().to_string().len().saturating_sub(38) as i32;
    if excess == 0 {
        return value
            .to_i128()
            .map_or_else(|| value.to_string(), |v| display_decimal(v, scale));
    }
    // The digits beyond the 38th are rounded away, those of the fraction first.
    let kept = (i32::from(scale) - excess).max(0);
    let rounded = half_up(value, power(excess));
    let whole = rounded
        .wrapping_mul(power((excess - i32::from(scale)).max(0)))
        .to_string();
    let point = whole.len().saturating_sub(kept as usize);
    match (kept, whole.get(..point), whole.get(point..)) {
        (1.., Some(digits), Some(fraction)) => format!("{digits}.{fraction}"),
        _ => whole,
    }
}

fn power(exponent: i32) -> i256 {
    i256::from_i128(10).wrapping_pow(exponent.unsigned_abs())
}

/// `value` of scale `from` at scale `to`, halves away from zero.
fn rescale(value: i256, from: i32, to: i32) -> i256 {
    if to >= from {
        return value.wrapping_mul(power(to - from));
    }
    half_up(value, power(from - to))
}

fn half_up(value: i256, divisor: i256) -> i256 {
    let quotient = value.wrapping_div(divisor);
    let rest = value.wrapping_rem(divisor).wrapping_abs();
    let two = i256::from_i128(2);
    if rest.wrapping_mul(two) >= divisor.wrapping_abs() {
        let away = if value.is_negative() == divisor.is_negative() {
            i256::ONE
        } else {
            i256::MINUS_ONE
        };
        quotient.wrapping_add(away)
    } else {
        quotient
    }
}

fn exact_add(left: i256, right: i256, scales: Scales, subtract: bool) -> Exact {
    let common = i32::from(scales.left.max(scales.right));
    let (l, r) = (
        rescale(left, i32::from(scales.left), common),
        rescale(right, i32::from(scales.right), common),
    );
    let sum = if subtract {
        l.wrapping_sub(r)
    } else {
        l.wrapping_add(r)
    };
    Some(rescale(sum, common, i32::from(scales.result)))
}

fn multiply(left: i256, right: i256, scales: Scales) -> Exact {
    let scale = i32::from(scales.left) + i32::from(scales.right);
    Some(rescale(
        left.wrapping_mul(right),
        scale,
        i32::from(scales.result),
    ))
}

fn divide(left: i256, right: i256, scales: Scales) -> Exact {
    if right == i256::ZERO {
        return None;
    }
    // left / 10^l ÷ right / 10^r at the result's scale.
    let shift = i32::from(scales.result) + i32::from(scales.right) - i32::from(scales.left);
    Some(if shift >= 0 {
        half_up(left.wrapping_mul(power(shift)), right)
    } else {
        half_up(left, right.wrapping_mul(power(shift)))
    })
}

fn remainder(left: i256, right: i256, scales: Scales) -> Exact {
    if right == i256::ZERO {
        return None;
    }
    let common = i32::from(scales.left.max(scales.right));
    let (l, r) = (
        rescale(left, i32::from(scales.left), common),
        rescale(right, i32::from(scales.right), common),
    );
    Some(rescale(l.wrapping_rem(r), common, i32::from(scales.result)))
}

fn integral_divide(batch: &Batch<'_>) -> Result<ArrayRef> {
    let (left, right) = (
        batch.primitive::<Decimal128Type>(0)?,
        batch.primitive::<Decimal128Type>(1)?,
    );
    let (ls, rs) = (scale_of(left.data_type()), scale_of(right.data_type()));
    let common = i32::from(ls.max(rs));
    let ansi = batch.context().ansi;
    let mut values: Vec<Option<i64>> = Vec::with_capacity(batch.len());
    for (l, r) in left.iter().zip(right.iter()) {
        values.push(match (l, r) {
            (Some(_), Some(0)) if ansi => return Err(divide_by_zero()),
            (Some(_), Some(0)) => None,
            (Some(l), Some(r)) => {
                let l = rescale(i256::from_i128(l), i32::from(ls), common);
                let r = rescale(i256::from_i128(r), i32::from(rs), common);
                match l
                    .wrapping_div(r)
                    .to_i128()
                    .and_then(|v| i64::try_from(v).ok())
                {
                    Some(v) => Some(v),
                    None if ansi => {
                        return Err(arithmetic_overflow(
                            "Overflow in integral divide",
                            "try_divide",
                        ));
                    }
                    None => None,
                }
            }
            _ => None,
        });
    }
    Ok(Arc::new(Int64Array::from(values)))
}
