//! Numbers as `java.lang.Double.toString` and `BigDecimal.toPlainString` write them.
use std::fmt::{Display, Write};

use super::shortest::Digits;

/// Appends a double as Java prints it: plain from 10^-3 up to 10^7, in scientific notation
/// elsewhere, always with a digit after the point.
///
/// ```
/// let mut text = String::new();
/// millstream_connectors::text::write_double(&mut text, 1e10);
/// assert_eq!(text, "1.0E10");
/// ```
pub fn write_double(out: &mut String, value: f64) {
    if value.is_finite() {
        write_digits(out, value.is_sign_negative(), &Digits::of_double(value));
    } else {
        out.push_str(not_finite(value));
    }
}

/// [`write_double`] for a float, with the digits that tell floats apart.
pub fn write_float(out: &mut String, value: f32) {
    if value.is_finite() {
        write_digits(out, value.is_sign_negative(), &Digits::of_float(value));
    } else {
        out.push_str(not_finite(f64::from(value)));
    }
}

fn not_finite(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

fn write_digits(out: &mut String, negative: bool, digits: &Digits) {
    let exponent = digits.exponent;
    let all: String = digits.digits.iter().map(|d| char::from(b'0' + d)).collect();
    if negative {
        out.push('-');
    }
    let plain = (-3..7).contains(&exponent);
    let point = match plain {
        true => usize::try_from(exponent + 1).unwrap_or(0),
        false => 1,
    };
    let (whole, fraction) = all.split_at(point.min(all.len()));
    let zeros = if plain { exponent } else { 0 };
    if whole.is_empty() {
        out.push('0');
    }
    out.push_str(whole);
    (whole.len()..point).for_each(|_| out.push('0'));
    out.push('.');
    (zeros..-1).for_each(|_| out.push('0'));
    out.push_str(if fraction.is_empty() { "0" } else { fraction });
    if !plain {
        let _ = write!(out, "E{exponent}");
    }
}

/// Appends an unscaled decimal with `scale` digits after the point.
pub(super) fn write_decimal(out: &mut String, unscaled: impl Display, scale: i8) {
    let text = unscaled.to_string();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.as_str()),
    };
    out.push_str(sign);
    let Ok(scale) = usize::try_from(scale) else {
        out.push_str(digits);
        if digits != "0" {
            out.extend(std::iter::repeat_n('0', usize::from(scale.unsigned_abs())));
        }
        return;
    };
    if scale == 0 {
        out.push_str(digits);
    } else if digits.len() > scale {
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        let _ = write!(out, "{whole}.{fraction}");
    } else {
        let _ = write!(out, "0.{digits:0>scale$}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn double(value: f64) -> String {
        let mut out = String::new();
        write_double(&mut out, value);
        out
    }

    fn float(value: f32) -> String {
        let mut out = String::new();
        write_float(&mut out, value);
        out
    }

    #[test]
    fn doubles_are_spelled_as_java_spells_them() {
        for (value, text) in [
            (1.0, "1.0"),
            (100.5, "100.5"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (12_345_678.0, "1.2345678E7"),
            (0.001, "0.001"),
            (0.000_999_9, "9.999E-4"),
            (1.2e-4, "1.2E-4"),
            (1.234567890123456e20, "1.234567890123456E20"),
            (-0.0, "-0.0"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
            (5e-324, "4.9E-324"),
            (1e-323, "1.0E-323"),
            (f64::MAX, "1.7976931348623157E308"),
            (0.1 + 0.2, "0.30000000000000004"),
            (9_007_199_254_740_992.0, "9.007199254740992E15"),
        ] {
            assert_eq!(double(value), text);
        }
    }

    #[test]
    fn floats_have_the_digits_of_floats() {
        for (value, text) in [
            (1.1, "1.1"),
            (16_777_216.0, "1.6777216E7"),
            (3.402_823_5e38, "3.4028235E38"),
            (1.4e-45, "1.4E-45"),
            (123_456.79, "123456.79"),
            (1e-4, "1.0E-4"),
            (2e23, "2.0E23"),
            (f32::MIN_POSITIVE, "1.17549435E-38"),
            (2_147_483_648.0, "2.14748365E9"),
        ] {
            assert_eq!(float(value), text);
        }
    }

    #[test]
    fn decimals_show_their_whole_scale() {
        for (unscaled, scale, text) in [
            (150_i128, 2, "1.50"),
            (1, 7, "0.0000001"),
            (0, 3, "0.000"),
            (-1, 6, "-0.000001"),
            (100, 0, "100"),
            (12, -2, "1200"),
        ] {
            let mut out = String::new();
            write_decimal(&mut out, unscaled, scale);
            assert_eq!(out, text);
        }
    }
}
