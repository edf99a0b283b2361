//! Numbers as Java writes and reads them.
use std::fmt::Write;

/// Appends a decimal as `BigDecimal.toString` prints it, in scientific notation when it is very small.
pub(crate) fn push_decimal(unscaled: i128, scale: i8, out: &mut String) {
    let digits = unscaled.unsigned_abs().to_string();
    let scale = i64::from(scale);
    let adjusted = i64::try_from(digits.len()).unwrap_or(0) - 1 - scale;
    if unscaled < 0 {
        out.push('-');
    }
    if scale >= 0 && adjusted >= -6 {
        push_plain(&digits, usize::try_from(scale).unwrap_or(0), out);
        return;
    }
    let (head, tail) = digits.split_at(1);
    out.push_str(head);
    if !tail.is_empty() {
        let _ = write!(out, ".{tail}");
    }
    let _ = write!(out, "E{adjusted:+}");
}

fn push_plain(digits: &str, scale: usize, out: &mut String) {
    if scale == 0 {
        out.push_str(digits);
        return;
    }
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    let _ = write!(out, "{whole}.{fraction}");
}

/// A `BigDecimal` text taken apart: its digits without leading zeros, and its scale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BigDecimal {
    negative: bool,
    digits: Vec<u8>,
    scale: i64,
}

impl BigDecimal {
    /// `new BigDecimal(text)`: `[+-]digits[.digits][e[+-]digits]`, no blanks.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let (negative, rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let exponent_at = rest.iter().position(|b| matches!(b, b'e' | b'E'));
        let (mantissa, exponent) = match exponent_at {
            None => (rest, 0),
            Some(at) => {
                let text = std::str::from_utf8(rest.get(at + 1..)?).ok()?;
                let exponent: i64 = text.parse::<i32>().ok()?.into();
                (rest.get(..at)?, exponent)
            }
        };
        let mut digits = Vec::with_capacity(mantissa.len());
        let (mut fraction, mut point, mut any) = (0_i64, false, false);
        for byte in mantissa {
            match byte {
                b'0'..=b'9' => {
                    any = true;
                    fraction += i64::from(point);
                    if !(digits.is_empty() && *byte == b'0') {
                        digits.push(byte - b'0');
                    }
                }
                b'.' if !point => point = true,
                _ => return None,
            }
        }
        any.then_some(Self {
            negative,
            digits,
            scale: fraction - exponent,
        })
    }

    /// Java's `precision()`: at least 1.
    pub(crate) fn precision(&self) -> i64 {
        i64::try_from(self.digits.len()).unwrap_or(i64::MAX).max(1)
    }

    /// Java's `scale()`; negative for `1e5`.
    pub(crate) fn scale(&self) -> i64 {
        self.scale
    }

    /// The unscaled value at a scale, rounded half up; `None` if it needs more digits than `precision`.
    pub(crate) fn to_unscaled(&self, precision: u8, scale: i8) -> Option<i128> {
        let shift = i64::from(scale) - self.scale;
        let length = i64::try_from(self.digits.len()).ok()?;
        if self.digits.is_empty() {
            return Some(0);
        }
        let kept = length + shift;
        if kept > 39 {
            return None;
        }
        let mut value = 0_i128;
        for index in 0..kept.max(0) {
            let digit = usize::try_from(index)
                .ok()
                .and_then(|i| self.digits.get(i))
                .copied();
            value = value
                .checked_mul(10)?
                .checked_add(i128::from(digit.unwrap_or(0)))?;
        }
        if kept >= 0 && kept < length {
            let first_dropped = usize::try_from(kept)
                .ok()
                .and_then(|i| self.digits.get(i))
                .copied();
            value += i128::from(first_dropped.unwrap_or(0) >= 5);
        }
        let limit = 10_i128.checked_pow(u32::from(precision))?;
        (value < limit).then_some(if self.negative { -value } else { value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{write_double, write_float};

    fn double(value: f64) -> String {
        let mut out = String::new();
        write_double(&mut out, value);
        out
    }

    #[test]
    fn doubles_look_like_javas() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (100.0, "100.0"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (1.5e10, "1.5E10"),
            (0.001, "0.001"),
            (0.00012, "1.2E-4"),
            (123.456, "123.456"),
            (1e18, "1.0E18"),
            (1_234_567_890_123_456_789.0, "1.23456789012345677E18"),
            (5e-324, "4.9E-324"),
            (f64::MIN_POSITIVE, "2.2250738585072014E-308"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(double(value), text);
        }
    }

    #[test]
    fn floats_keep_java_17s_extra_digit() {
        let float = |value: f32| {
            let mut out = String::new();
            write_float(&mut out, value);
            out
        };
        assert_eq!(float(2_147_483_648.0), "2.14748365E9");
        assert_eq!(float(123_456_792.0), "1.23456792E8");
        assert_eq!(float(16_777_216.0), "1.6777216E7");
        assert_eq!(float(0.1), "0.1");
    }

    #[test]
    fn decimals_round_half_up_and_refuse_what_does_not_fit() {
        let unscaled = |text: &str, p, s| BigDecimal::parse(text.as_bytes())?.to_unscaled(p, s);
        assert_eq!(unscaled("1.005", 10, 2), Some(101));
        assert_eq!(unscaled("-1.5", 3, 0), Some(-2));
        assert_eq!(unscaled("0.5", 3, 0), Some(1));
        assert_eq!(unscaled("0.05", 3, 0), Some(0));
        assert_eq!(unscaled("999.5", 3, 0), None);
        assert_eq!(unscaled("1e400", 38, 0), None);
        assert_eq!(unscaled("1e-400", 38, 18), Some(0));
        assert_eq!(unscaled(".5", 3, 1), Some(5));
        assert_eq!(unscaled("5.", 3, 1), Some(50));
        for text in ["", ".", "1d", " 1", "1e", "0x1", "1.2.3"] {
            assert_eq!(BigDecimal::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn small_decimals_print_scientific_like_big_decimal() {
        let text = |unscaled, scale| {
            let mut out = String::new();
            push_decimal(unscaled, scale, &mut out);
            out
        };
        assert_eq!(text(0, 18), "0E-18");
        assert_eq!(text(10_000_000_000, 18), "1.0000000000E-8");
        assert_eq!(text(-150, 2), "-1.50");
        assert_eq!(text(5, 0), "5");
    }
}
