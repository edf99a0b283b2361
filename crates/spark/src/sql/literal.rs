//! Literals: numbers by suffix, and typed literals such as `DATE '2024-05-01'`.
//!
//! A minus sign before a number belongs to the number, so that the smallest integers can be
//! written. A number without suffix is an `int`, else a `bigint`, else a decimal; with a point a
//! decimal of just its digits; with an exponent a `double`.

use millstream_connectors::datetime::{
    Zone, string_to_date, string_to_timestamp, string_to_timestamp_ntz,
};
use spark_connect_proto::expression::cast::EvalMode;
use spark_connect_proto::expression::literal::{Decimal, LiteralType, Time};
use spark_connect_proto::{Expression, data_type};

use super::construct::{data_type, function, literal};
use super::datetime::{Special, parse_time};
use super::error::{ParseError, ParseErrorKind};
use super::function::cast;
use super::lexer::{NumberKind, Token};
use super::parser::{Parsed, Parser};

const DECIMAL_PRECISION_MAX: u64 = 38;

impl Parser<'_> {
    /// The number here; the cursor has passed its minus sign.
    pub fn number(&mut self, negative: bool) -> Parsed<Expression> {
        let Token::Number(kind) = *self.token(0) else {
            return Err(self.syntax_error());
        };
        let digits = self.source(0);
        let start = if negative {
            self.offset_of_sign()
        } else {
            self.offset()
        };
        self.advance();
        let suffix = match kind {
            NumberKind::BigDecimal => 2,
            NumberKind::Integer | NumberKind::Decimal | NumberKind::Exponent => 0,
            _ => 1,
        };
        let digits = digits.get(..digits.len() - suffix).unwrap_or(digits);
        let text = if negative {
            format!("-{digits}")
        } else {
            digits.to_owned()
        };
        let value = match kind {
            NumberKind::Integer => match (text.parse::<i32>(), text.parse::<i64>()) {
                (Ok(value), _) => LiteralType::Integer(value),
                (_, Ok(value)) => LiteralType::Long(value),
                _ => self.decimal(&text)?,
            },
            NumberKind::Decimal | NumberKind::BigDecimal => self.decimal(&text)?,
            sized => sized_number(sized, &text).map_err(|(type_name, min, max)| {
                let raw = text.clone();
                let kind = ParseErrorKind::NumericLiteralRange {
                    raw,
                    type_name,
                    min,
                    max,
                };
                self.error_since(start, kind)
            })?,
        };
        Ok(literal(value))
    }

    fn offset_of_sign(&self) -> usize {
        self.offset_behind().saturating_sub(1)
    }

    /// A decimal exactly as precise as its digits.
    fn decimal(&self, text: &str) -> Parsed<LiteralType> {
        let (value, digits, scale) = plain_decimal(text);
        let precision = digits.max(scale);
        if precision > DECIMAL_PRECISION_MAX {
            let kind = ParseErrorKind::DecimalPrecision { precision };
            return Err(ParseError::without_text(kind, self.text));
        }
        let (precision, scale) = (i32::try_from(precision).ok(), i32::try_from(scale).ok());
        Ok(LiteralType::Decimal(Decimal {
            value,
            precision,
            scale,
        }))
    }

    /// `DATE '…'` and its like; the cursor stands at the type's name.
    pub fn typed_literal(&mut self, literal_type: &str) -> Parsed<Expression> {
        if literal_type == "INTERVAL" {
            return self.interval_literal();
        }
        let start = self.offset();
        self.advance();
        let value = self.expect_string()?;
        let parsed = match literal_type {
            "DATE" => string_to_date(value.as_bytes())
                .map(|days| literal(LiteralType::Date(days)))
                .or_else(|| Special::parse(&value, true).map(special_date)),
            "TIMESTAMP" | "TIMESTAMP_LTZ" => {
                let zone = Zone::parse(&self.options.session_time_zone).unwrap_or(Zone::UTC);
                string_to_timestamp(value.as_bytes(), &zone)
                    .map(|micros| literal(LiteralType::Timestamp(micros)))
                    .or_else(|| Special::parse(&value, false).map(special_timestamp))
            }
            "TIMESTAMP_NTZ" => string_to_timestamp_ntz(value.as_bytes(), true)
                .map(|micros| literal(LiteralType::TimestampNtz(micros)))
                .or_else(|| Special::parse(&value, false).map(special_timestamp_ntz)),
            "TIME" => parse_time(&value).map(|(nano, precision)| {
                literal(LiteralType::Time(Time {
                    nano,
                    precision: Some(precision),
                }))
            }),
            "X" => hex(&value).map(|bytes| literal(LiteralType::Binary(bytes.into()))),
            _ => {
                let literal_type = literal_type.to_owned();
                let kind = ParseErrorKind::UnsupportedTypedLiteral { literal_type };
                return Err(self.error_since(start, kind));
            }
        };
        parsed.ok_or_else(|| {
            let literal_type = literal_type.to_owned();
            self.error_since(
                start,
                ParseErrorKind::InvalidTypedLiteral {
                    literal_type,
                    value,
                },
            )
        })
    }
}

/// The value of a number whose type is fixed, or that type's name and bounds.
fn sized_number(
    kind: NumberKind,
    text: &str,
) -> Result<LiteralType, (&'static str, String, String)> {
    let symmetric = |type_name, max: &str| (type_name, format!("-{max}"), max.to_owned());
    match kind {
        NumberKind::TinyInt => text
            .parse()
            .map(|value: i8| LiteralType::Byte(value.into()))
            .map_err(|_| ("tinyint", i8::MIN.to_string(), i8::MAX.to_string())),
        NumberKind::SmallInt => text
            .parse()
            .map(|value: i16| LiteralType::Short(value.into()))
            .map_err(|_| ("smallint", i16::MIN.to_string(), i16::MAX.to_string())),
        NumberKind::BigInt | NumberKind::Integer => text
            .parse()
            .map(LiteralType::Long)
            .map_err(|_| ("bigint", i64::MIN.to_string(), i64::MAX.to_string())),
        // The text is held against the largest float exactly, before it is rounded to one.
        NumberKind::Float => match (text.parse::<f64>(), text.parse::<f32>()) {
            (Ok(exact), Ok(value)) if exact.abs() <= f64::from(f32::MAX) => {
                Ok(LiteralType::Float(value))
            }
            _ => Err(symmetric("float", "3.4028234663852886E+38")),
        },
        _ => match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(LiteralType::Double(value)),
            _ => Err(symmetric("double", "1.7976931348623157E+308")),
        },
    }
}

/// A decimal without exponent, its significant digits and its scale.
fn plain_decimal(text: &str) -> (String, u64, u64) {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => ("-", unsigned),
        None => ("", text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().unwrap_or(i64::MAX)),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    // Beyond this, the precision is far out of range whatever the digits are.
    let exponent = exponent.clamp(-1_000, 1_000);
    let point = whole.len() as i64 + exponent;
    let mut digits = format!("{whole}{fraction}");
    if point < 0 {
        digits.insert_str(0, &"0".repeat(point.unsigned_abs() as usize));
    }
    let point = usize::try_from(point).unwrap_or(0);
    if digits.len() < point {
        digits.push_str(&"0".repeat(point - digits.len()));
    }
    let (whole, fraction) = digits.split_at_checked(point).unwrap_or((&digits, ""));
    let whole = whole.trim_start_matches('0');
    let significant = if whole.is_empty() {
        fraction.trim_start_matches('0').len().max(1)
    } else {
        whole.len() + fraction.len()
    };
    let shown_whole = if whole.is_empty() { "0" } else { whole };
    let point = if fraction.is_empty() { "" } else { "." };
    let value = format!("{sign}{shown_whole}{point}{fraction}");
    (value, significant as u64, fraction.len() as u64)
}

/// Bytes from hexadecimal digits; an odd count gets a leading zero.
fn hex(text: &str) -> Option<Vec<u8>> {
    let padded = if text.len() % 2 == 1 {
        format!("0{text}")
    } else {
        text.to_owned()
    };
    let nibble = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(nibble(*high)? << 4 | nibble(*low)?),
        _ => None,
    };
    padded.as_bytes().chunks(2).map(pair).collect()
}

/// The day a special date names, by the query's clock rather than the parser's.
fn special_date(special: Special) -> Expression {
    let today = || function("current_date", Vec::new());
    let shifted = |days| {
        function(
            "date_add",
            vec![today(), literal(LiteralType::Integer(days))],
        )
    };
    match special {
        Special::Epoch => literal(LiteralType::Date(0)),
        Special::Now | Special::Today => today(),
        Special::Tomorrow => shifted(1),
        Special::Yesterday => shifted(-1),
    }
}

fn special_timestamp(special: Special) -> Expression {
    let kind = data_type::Kind::Timestamp(Default::default());
    match special {
        Special::Epoch => literal(LiteralType::Timestamp(0)),
        Special::Now => function("current_timestamp", Vec::new()),
        day => cast(special_date(day), data_type(kind), EvalMode::Unspecified),
    }
}

fn special_timestamp_ntz(special: Special) -> Expression {
    let kind = data_type::Kind::TimestampNtz(Default::default());
    match special {
        Special::Epoch => literal(LiteralType::TimestampNtz(0)),
        Special::Now => function("localtimestamp", Vec::new()),
        day => cast(special_date(day), data_type(kind), EvalMode::Unspecified),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_their_digits() {
        let cases = [
            ("1.5", "1.5", 2, 1),
            ("1.50", "1.50", 3, 2),
            (".5", "0.5", 1, 1),
            ("0.05", "0.05", 1, 2),
            ("1.", "1", 1, 0),
            ("-007", "-7", 1, 0),
            ("1e5", "100000", 6, 0),
            ("1.5e-3", "0.0015", 2, 4),
            ("1.25e1", "12.5", 3, 1),
            ("0", "0", 1, 0),
        ];
        for (text, value, digits, scale) in cases {
            assert_eq!(
                plain_decimal(text),
                (value.to_owned(), digits, scale),
                "{text}"
            );
        }
    }

    #[test]
    fn hexadecimal_is_padded_and_checked() {
        assert_eq!(hex("1F0"), Some(vec![0x01, 0xf0]));
        assert_eq!(hex(""), Some(vec![]));
        assert_eq!(hex("zz"), None);
        assert_eq!(hex("é"), None);
    }
}
