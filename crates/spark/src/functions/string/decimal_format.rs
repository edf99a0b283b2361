//! `format_number`: Java's `DecimalFormat` in the US locale.
//!
//! The format is a number of decimals, which means `#,###,###,###,###,###,##0.000…`, or a pattern: a prefix, `#` and `0`
//! with `,` for grouping, a fraction of `0` and `#`, and a suffix, where `%` multiplies by 100. Rounding is half-even on
//! the exact value.
use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{DataType, Float32Type, Float64Type, Int64Type},
};

use crate::{
    cast::display_decimal,
    error::Result,
    functions::{Accepts, Batch, Function, Registry, Returns, rows::Rows},
    types::is_integral,
};

pub(super) fn register(registry: &mut Registry) {
    let format = Accepts::one_of([Accepts::INT, Accepts::STRING]);
    registry.add(Function::scalar(
        "format_number",
        [Accepts::Numeric, format],
        Returns::Nullable(DataType::Utf8),
        format_number,
    ));
}

fn format_number(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let numbers = rows.array(0)?;
    let wide = match numbers.data_type() {
        t if is_integral(t) => arrow::compute::cast(numbers, &DataType::Int64)?,
        _ => numbers.clone(),
    };
    if *rows.array(1)?.data_type() == DataType::Int32 {
        let decimals = rows.ints(1)?;
        return rows.text(|row| {
            let Ok(decimals) = usize::try_from(decimals.value(row)) else { return Ok(None) };
            let pattern = Pattern::with_decimals(decimals);
            Ok(Some(pattern.format(&wide, row)))
        });
    }
    let patterns = rows.strings(1)?;
    let mut parsed: Option<(&str, Pattern)> = None;
    rows.text(|row| {
        let text = patterns.value(row);
        if parsed.as_ref().is_none_or(|(of, _)| *of != text) {
            parsed = Some((text, Pattern::parse(text)));
        }
        Ok(parsed.as_ref().map(|(_, p)| p.format(&wide, row)))
    })
}

#[derive(Debug, Default)]
struct Pattern {
    prefix: String,
    suffix: String,
    whole_min: usize,
    fraction_min: usize,
    fraction_max: usize,
    /// Digits between commas; 0: none.
    group: usize,
    /// Digits to move the point right by: 2 for percent, 3 for per mille.
    shift: i8,
}

impl Pattern {
    fn with_decimals(decimals: usize) -> Self {
        Self { whole_min: 1, fraction_min: decimals, fraction_max: decimals, group: 3, ..Self::default() }
    }

    fn parse(text: &str) -> Self {
        if text.is_empty() {
            return Self::with_decimals(0);
        }
        let positive = text.split(';').next().unwrap_or_default();
        let is_digit = |c: char| matches!(c, '#' | '0' | ',' | '.');
        let start = positive.find(is_digit).unwrap_or(positive.len());
        let (prefix, rest) = positive.split_at(start);
        let end = rest.find(|c| !is_digit(c)).unwrap_or(rest.len());
        let (digits, suffix) = rest.split_at(end);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let zeros = |part: &str| part.matches('0').count();
        let percent = |part: &str| match part {
            p if p.contains('%') => 2,
            p if p.contains('\u{2030}') => 3,
            _ => 0,
        };
        Self {
            prefix: prefix.replace('\'', ""),
            suffix: suffix.replace('\'', ""),
            whole_min: zeros(whole),
            fraction_min: zeros(fraction),
            fraction_max: fraction.len(),
            group: whole.rfind(',').map_or(0, |at| whole.len() - at - 1),
            shift: percent(prefix).max(percent(suffix)),
        }
    }

    fn format(&self, numbers: &ArrayRef, row: usize) -> String {
        let (negative, digits) = match numbers.data_type() {
            DataType::Float32 => {
                let value = numbers.as_primitive::<Float32Type>().value(row);
                self.float(f64::from(value))
            }
            DataType::Float64 => self.float(numbers.as_primitive::<Float64Type>().value(row)),
            DataType::Decimal128(_, scale) => {
                let value = numbers
                    .as_primitive::<arrow::datatypes::Decimal128Type>()
                    .value(row);
                (value < 0, self.exact(value.unsigned_abs(), *scale))
            }
            _ => {
                let value = numbers.as_primitive::<Int64Type>().value(row);
                (value < 0, self.exact(value.unsigned_abs().into(), 0))
            }
        };
        if digits == "NaN" {
            return digits;
        }
        let sign = if negative { "-" } else { "" };
        format!("{sign}{}{}{}", self.prefix, self.grouped(&digits), self.suffix)
    }

    fn float(&self, value: f64) -> (bool, String) {
        if value.is_nan() {
            return (false, "NaN".into());
        }
        let negative = value.is_sign_negative();
        if value.is_infinite() {
            return (negative, "\u{221e}".into());
        }
        // Rust prints the exact value, rounded half-even.
        let scaled = value.abs() * 10_f64.powi(self.shift.into());
        (negative, format!("{scaled:.*}", self.fraction_max))
    }

    fn exact(&self, value: u128, scale: i8) -> String {
        let scale = scale - self.shift;
        let value = match u32::try_from(-i32::from(scale)) {
            Ok(up) => value.saturating_mul(10_u128.saturating_pow(up)),
            Err(_) => value,
        };
        let scale = u32::try_from(scale).unwrap_or(0);
        let kept = u32::try_from(self.fraction_max).unwrap_or(u32::MAX);
        let (value, scale) = match scale.checked_sub(kept) {
            Some(drop) if drop > 0 => (half_even(value, drop), kept),
            _ => (value, scale),
        };
        let unscaled = i128::try_from(value).unwrap_or(i128::MAX);
        let mut text = display_decimal(unscaled, i8::try_from(scale).unwrap_or(i8::MAX));
        if kept > scale {
            if scale == 0 {
                text.push('.');
            }
            text.push_str(&"0".repeat((kept - scale) as usize));
        }
        text
    }

    /// Digits with commas, and optional zeros gone.
    fn grouped(&self, digits: &str) -> String {
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let whole = whole.trim_start_matches('0');
        let whole = format!("{whole:0>width$}", width = self.whole_min);
        let optional = fraction.get(self.fraction_min..).unwrap_or_default().trim_end_matches('0');
        let fraction_length = fraction.len().min(self.fraction_min) + optional.len();
        let fraction = fraction.get(..fraction_length).unwrap_or_default();
        let mut out = String::new();
        let count = whole.chars().count();
        for (at, c) in whole.chars().enumerate() {
            if self.group > 0 && at > 0 && (count - at) % self.group == 0 && c.is_ascii_digit() {
                out.push(',');
            }
            out.push(c);
        }
        if out.is_empty() && fraction.is_empty() {
            out.push('0');
        }
        if !fraction.is_empty() {
            out.push('.');
            out.push_str(fraction);
        }
        out
    }
}

/// `value` without its last `drop` digits, rounded half-even.
fn half_even(value: u128, drop: u32) -> u128 {
    let Some(divisor) = 10_u128.checked_pow(drop) else { return 0 };
    let (quotient, rest) = (value / divisor, value % divisor);
    let up = match (rest * 2).cmp(&divisor) {
        std::cmp::Ordering::Greater => true,
        std::cmp::Ordering::Equal => quotient % 2 == 1,
        std::cmp::Ordering::Less => false,
    };
    quotient + u128::from(up)
}
