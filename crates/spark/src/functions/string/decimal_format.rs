//! `format_number`: Java's `DecimalFormat` in the US locale.
//!
//! The format is a number of decimals, which means `#,###,###,###,###,###,##0.000…`, or a pattern: a prefix, `#` and `0`
//! with `,` for grouping, a fraction of `0` and `#`, and a suffix, where `%` multiplies by 100. After `;` come prefix and
//! suffix of negative numbers. `0.00E0` prints an exponent; engineering notation (`##0.00E0`) is refused. Rounding is
//! half-even on the exact value.
use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{DataType, Float32Type, Float64Type, Int64Type},
};

use crate::{
    cast::display_decimal,
    error::{Result, SparkError},
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
            let Ok(decimals) = usize::try_from(decimals.value(row)) else {
                return Ok(None);
            };
            let pattern = Pattern::with_decimals(decimals);
            Ok(Some(pattern.format(&wide, row)))
        });
    }
    let patterns = rows.strings(1)?;
    let mut parsed: Option<(&str, Pattern)> = None;
    rows.text(|row| {
        let text = patterns.value(row);
        if parsed.as_ref().is_none_or(|(of, _)| *of != text) {
            parsed = Some((text, Pattern::parse(text)?));
        }
        Ok(parsed.as_ref().map(|(_, p)| p.format(&wide, row)))
    })
}

#[derive(Debug, Default)]
struct Pattern {
    prefix: String,
    suffix: String,
    /// Around negative numbers; `None`: a minus sign before the prefix.
    negative: Option<(String, String)>,
    /// Least digits of the exponent; 0: there is none.
    exponent_min: usize,
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
        Self {
            whole_min: 1,
            fraction_min: decimals,
            fraction_max: decimals,
            group: 3,
            ..Self::default()
        }
    }

    fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Ok(Self::with_decimals(0));
        }
        let (positive, negative) = match text.split_once(';') {
            Some((positive, negative)) => (positive, Some(negative)),
            None => (text, None),
        };
        let (prefix, digits, suffix) = split(positive);
        let negative = negative
            .map(split)
            .map(|(prefix, _, suffix)| (prefix.replace('\'', ""), suffix.replace('\'', "")))
            .filter(|(p, s)| (p.as_str(), s.as_str()) != (prefix, suffix));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let exponent = suffix.strip_prefix('E').filter(|e| e.starts_with('0'));
        let exponent_min = exponent.map_or(0, |e| e.len() - e.trim_start_matches('0').len());
        if exponent_min > 0 && whole.contains('#') {
            return Err(SparkError::unsupported(format!(
                "engineering notation in the number format '{text}'"
            )));
        }
        let suffix = suffix.get(
            if exponent_min > 0 {
                exponent_min + 1
            } else {
                0
            }..,
        );
        let suffix = suffix.unwrap_or_default();
        let zeros = |part: &str| part.matches('0').count();
        let percent = |part: &str| match part {
            p if p.contains('%') => 2,
            p if p.contains('\u{2030}') => 3,
            _ => 0,
        };
        let group = whole.rfind(',').map_or(0, |at| whole.len() - at - 1);
        let (mut whole_min, mut fraction_min) = (zeros(whole), zeros(fraction));
        // A pattern of `#` alone still asks for a digit beside the point.
        if whole_min + fraction_min == 0 && digits.contains('.') {
            whole_min = usize::from(!whole.is_empty());
            fraction_min = usize::from(whole.is_empty());
        }
        Ok(Self {
            prefix: prefix.replace('\'', ""),
            suffix: suffix.replace('\'', ""),
            negative,
            exponent_min,
            whole_min,
            fraction_min,
            fraction_max: fraction.len(),
            group,
            shift: percent(prefix).max(percent(suffix)),
        })
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
        let body = self.grouped(&digits);
        match (negative, &self.negative) {
            (true, Some((prefix, suffix))) => format!("{prefix}{body}{suffix}"),
            (true, None) => format!("-{}{body}{}", self.prefix, self.suffix),
            (false, _) => format!("{}{body}{}", self.prefix, self.suffix),
        }
    }

    fn float(&self, value: f64) -> (bool, String) {
        if value.is_nan() {
            return (false, "NaN".into());
        }
        let negative = value.is_sign_negative();
        if value.is_infinite() {
            return (negative, "\u{221e}".into());
        }
        if self.exponent_min > 0 {
            return (negative, self.scientific(value.abs()));
        }
        // Rust prints the exact value, rounded half-even.
        let scaled = value.abs() * 10_f64.powi(self.shift.into());
        (negative, format!("{scaled:.*}", self.fraction_max))
    }

    /// As many whole digits as the pattern has zeros before its point.
    fn scientific(&self, value: f64) -> String {
        let whole = self.whole_min.max(1);
        let digits = whole - 1 + self.fraction_max;
        let text = format!("{value:.digits$e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let figures: String = mantissa.chars().filter(char::is_ascii_digit).collect();
        let (before, after) = figures.split_at_checked(whole).unwrap_or((&figures, ""));
        let shift = i64::try_from(whole - 1).unwrap_or(0);
        let exponent = exponent.parse::<i64>().unwrap_or(0) - if value == 0.0 { 0 } else { shift };
        let kept = after.trim_end_matches('0').len().max(self.fraction_min);
        let after = after.get(..kept).unwrap_or(after);
        let point = if after.is_empty() { "" } else { "." };
        let sign = if exponent < 0 { "-" } else { "" };
        let width = self.exponent_min;
        format!(
            "{before}{point}{after}E{sign}{:0width$}",
            exponent.unsigned_abs()
        )
    }

    fn exact(&self, value: u128, scale: i8) -> String {
        if self.exponent_min > 0 {
            return self.scientific(value as f64 / 10_f64.powi(scale.into()));
        }
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
        if self.exponent_min > 0 {
            return digits.to_string();
        }
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let whole = whole.trim_start_matches('0');
        let whole = format!("{whole:0>width$}", width = self.whole_min);
        let optional = fraction
            .get(self.fraction_min..)
            .unwrap_or_default()
            .trim_end_matches('0');
        let fraction_length = fraction.len().min(self.fraction_min) + optional.len();
        let fraction = fraction.get(..fraction_length).unwrap_or_default();
        let mut out = String::new();
        let count = whole.chars().count();
        for (at, c) in whole.chars().enumerate() {
            if self.group > 0
                && at > 0
                && (count - at).is_multiple_of(self.group)
                && c.is_ascii_digit()
            {
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

/// Prefix, digits and suffix of a pattern.
fn split(pattern: &str) -> (&str, &str, &str) {
    let is_digit = |c: char| matches!(c, '#' | '0' | ',' | '.');
    let start = pattern.find(is_digit).unwrap_or(pattern.len());
    let (prefix, rest) = pattern.split_at(start);
    let end = rest.find(|c| !is_digit(c)).unwrap_or(rest.len());
    let (digits, suffix) = rest.split_at(end);
    (prefix, digits, suffix)
}

/// `value` without its last `drop` digits, rounded half-even.
fn half_even(value: u128, drop: u32) -> u128 {
    let Some(divisor) = 10_u128.checked_pow(drop) else {
        return 0;
    };
    let (quotient, rest) = (value / divisor, value % divisor);
    let up = match (rest * 2).cmp(&divisor) {
        std::cmp::Ordering::Greater => true,
        std::cmp::Ordering::Equal => quotient % 2 == 1,
        std::cmp::Ordering::Less => false,
    };
    quotient + u128::from(up)
}
