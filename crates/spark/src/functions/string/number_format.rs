//! `to_number` and `to_char`: numbers by a format of `9`, `0`, `.`, `,`, `$`, `S`, `MI` and `PR`.
//!
//! The format `[MI|S] [$] (0|9|G|,)* [.|D] (0|9)* [$] [PR|MI|S]` is checked when the call is resolved, which is also when
//! the precision and scale of `to_number`'s result are known. A run of digits that begins with `0` must be there in full and
//! is printed with zeros; one that begins with `9` may be shorter and is printed with blanks.
use std::sync::Arc;

use arrow::{array::ArrayRef, datatypes::DataType};
use datafusion::{common::ScalarValue, logical_expr::Volatility};

use crate::{
    cast::display_decimal,
    error::{Exception, Result, SparkError, quoted},
    functions::{
        Accepts, Batch, Call, Function, Kernel, PreparedKernel, Registry,
        rows::{Rows, with_args},
    },
    typed::TypedExpr,
    types::decimal::MAX_PRECISION,
};

pub(super) fn register(registry: &mut Registry) {
    let two = || [Accepts::STRING, Accepts::STRING];
    registry.add(Function::rewrite("to_number", two(), |call| {
        to_number_call(call, false)
    }));
    registry.add(Function::rewrite("try_to_number", two(), |call| {
        to_number_call(call, true)
    }));
    let any = [Accepts::Any, Accepts::STRING];
    registry.add(Function::rewrite("to_char", any, to_char_call).alias("to_varchar"));
}

/// One position of the digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// `9` or `0`; whether it must be filled.
    Digit {
        required: bool,
    },
    Comma,
}

/// Where the sign stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// There is none: only numbers that are not negative.
    None,
    /// `S`: `+` or `-`; or `MI`: ` ` or `-`.
    Front {
        plus: bool,
    },
    Back {
        plus: bool,
    },
    /// `PR`: negative numbers between angle brackets.
    Brackets,
}

#[derive(Debug)]
struct NumberFormat {
    text: String,
    currency: bool,
    whole: Vec<Place>,
    point: bool,
    fraction: usize,
    sign: Sign,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Digits,
    Comma,
    Point,
    Dollar,
    Sign,
    Minus,
    Brackets,
    Other(char),
}

impl Token {
    fn sql(self) -> String {
        match self {
            Self::Digits => "digit sequence".into(),
            Self::Comma => ", or G".into(),
            Self::Point => ". or D".into(),
            Self::Dollar => "$".into(),
            Self::Sign => "S".into(),
            Self::Minus => "MI".into(),
            Self::Brackets => "PR".into(),
            // The quotes are Spark's.
            Self::Other(c) => format!("character '{c}''"),
        }
    }
}

fn invalid(kind: &str, format: &str, more: &[(&str, &str)]) -> SparkError {
    let shown = format!("'{format}'");
    let mut parameters = vec![("format", shown.as_str())];
    parameters.extend_from_slice(more);
    SparkError::analysis(&format!("INVALID_FORMAT.{kind}"), &parameters)
}

impl NumberFormat {
    fn parse(format: &str) -> Result<Self> {
        let text = format.to_uppercase();
        if text.is_empty() {
            return Err(invalid("EMPTY", "", &[]));
        }
        let tokens = tokens(&text);
        Self::check(&text, &tokens)?;
        let mut parsed = Self {
            text: text.clone(),
            currency: false,
            whole: vec![],
            point: false,
            fraction: 0,
            sign: Sign::None,
        };
        for (token, part) in &tokens {
            let begun = parsed.point || !parsed.whole.is_empty();
            match token {
                Token::Digits if parsed.point => parsed.fraction += part.len(),
                Token::Digits => {
                    let required = part.starts_with('0');
                    parsed
                        .whole
                        .extend(part.chars().map(|_| Place::Digit { required }));
                }
                Token::Comma => parsed.whole.push(Place::Comma),
                Token::Point => parsed.point = true,
                Token::Dollar => parsed.currency = true,
                Token::Sign | Token::Minus => {
                    let plus = *token == Token::Sign;
                    parsed.sign = if begun {
                        Sign::Back { plus }
                    } else {
                        Sign::Front { plus }
                    };
                }
                Token::Brackets => parsed.sign = Sign::Brackets,
                Token::Other(_) => {}
            }
        }
        Ok(parsed)
    }

    /// Spark's checks, in its order.
    fn check(text: &str, tokens: &[(Token, String)]) -> Result<()> {
        let kinds: Vec<Token> = tokens.iter().map(|(t, _)| *t).collect();
        let first = |wanted: Token| kinds.iter().position(|t| *t == wanted);
        let Some(digits) = first(Token::Digits) else {
            return Err(invalid("WRONG_NUM_DIGIT", text, &[]));
        };
        if first(Token::Dollar).is_some_and(|dollar| dollar > digits) {
            return Err(invalid("CUR_MUST_BEFORE_DIGIT", text, &[]));
        }
        let point = first(Token::Point).unwrap_or(kinds.len());
        if first(Token::Dollar).is_some_and(|dollar| dollar > point) {
            return Err(invalid("CUR_MUST_BEFORE_DEC", text, &[]));
        }
        let digits_at = |at: Option<usize>| at.and_then(|i| kinds.get(i)) == Some(&Token::Digits);
        for (at, _) in kinds
            .iter()
            .enumerate()
            .filter(|(_, t)| **t == Token::Comma)
        {
            if at > point {
                return Err(invalid("THOUSANDS_SEPS_MUST_BEFORE_DEC", text, &[]));
            }
            if !digits_at(at.checked_sub(1)) || !digits_at(Some(at + 1)) {
                return Err(invalid("CONT_THOUSANDS_SEPS", text, &[]));
            }
        }
        let single = [
            Token::Point,
            Token::Sign,
            Token::Minus,
            Token::Dollar,
            Token::Brackets,
        ];
        for token in single {
            if kinds.iter().filter(|t| **t == token).count() > 1 {
                return Err(invalid("WRONG_NUM_TOKEN", text, &[("token", &token.sql())]));
            }
        }
        let mut reached = 0;
        for (at, token) in kinds.iter().enumerate() {
            let rank = match token {
                Token::Sign | Token::Minus if at == 0 => 1,
                Token::Dollar => 2,
                Token::Digits | Token::Comma if at < point => 3,
                Token::Point => 4,
                Token::Digits => 5,
                Token::Sign | Token::Minus | Token::Brackets if reached < 6 => 6,
                _ => 0,
            };
            if rank < reached || rank == 0 {
                return Err(invalid(
                    "UNEXPECTED_TOKEN",
                    text,
                    &[("token", &token.sql())],
                ));
            }
            reached = rank;
        }
        Ok(())
    }

    fn whole_digits(&self) -> usize {
        self.whole.iter().filter(|p| **p != Place::Comma).count()
    }

    fn decimal_type(&self) -> (u8, i8) {
        let max = usize::from(MAX_PRECISION);
        let precision = (self.whole_digits() + self.fraction).min(max);
        let scale = self.fraction.min(max);
        (
            u8::try_from(precision).unwrap_or(MAX_PRECISION),
            i8::try_from(scale).unwrap_or(38),
        )
    }

    /// The number in `text`, unscaled; `None` if it does not match.
    fn read(&self, text: &str) -> Option<i128> {
        let mut rest = text;
        let mut negative = false;
        match self.sign {
            Sign::Front { plus } => {
                if let Some(tail) = rest.strip_prefix('-') {
                    (negative, rest) = (true, tail);
                } else if plus {
                    rest = rest.strip_prefix('+').unwrap_or(rest);
                }
            }
            Sign::Back { plus } => {
                if let Some(head) = rest.strip_suffix('-') {
                    (negative, rest) = (true, head);
                } else if plus {
                    rest = rest.strip_suffix('+').unwrap_or(rest);
                }
            }
            Sign::Brackets => {
                if let Some(inner) = rest.strip_prefix('<') {
                    (negative, rest) = (true, inner.strip_suffix('>')?);
                }
            }
            Sign::None => {}
        }
        if self.currency {
            rest = rest.strip_prefix('$')?;
        }
        // Blanks may stand for digits anywhere.
        let rest: String = rest.chars().filter(|c| *c != ' ').collect();
        let (whole, fraction) = match rest.split_once('.') {
            Some((w, f)) if self.point => (w, f),
            Some(_) => return None,
            None => (rest.as_str(), ""),
        };
        let digits = self.whole_part(whole)?;
        let plain = fraction.len() <= self.fraction && fraction.bytes().all(|b| b.is_ascii_digit());
        if !plain || (digits.is_empty() && fraction.is_empty()) {
            return None;
        }
        let all = format!("{digits}{fraction:0<width$}", width = self.fraction);
        let value: i128 = all.parse().ok()?;
        Some(if negative { -value } else { value })
    }

    /// Digits before the point. Groups are compared from the right: the first ones may be missing, and the first that is
    /// there may be short, where the format does not ask for zeros.
    fn whole_part(&self, text: &str) -> Option<String> {
        let groups: Vec<&str> = text.split(',').collect();
        let places: Vec<&[Place]> = self.whole.split(|p| *p == Place::Comma).collect();
        let missing = places.len().checked_sub(groups.len())?;
        let required = |places: &[Place]| places.contains(&Place::Digit { required: true });
        let (left_out, present) = places.split_at_checked(missing)?;
        if left_out.iter().any(|p| required(p)) {
            return None;
        }
        for (at, (group, places)) in groups.iter().zip(present).enumerate() {
            let exact = required(places) || at > 0;
            let length = group.len();
            let fits = if exact {
                length == places.len()
            } else {
                length <= places.len()
            };
            if !fits || !group.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
        }
        Some(groups.concat())
    }

    /// `value` of `scale` by this format, `#` in all places if it does not fit.
    fn write(&self, value: i128, scale: i8) -> String {
        let text = display_decimal(value, scale);
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let whole = whole.trim_start_matches('-').trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');
        let fits = whole.len() <= self.whole_digits() && fraction.len() <= self.fraction;
        let negative = value < 0;
        let mut out = String::new();
        match (self.sign, negative) {
            (Sign::Front { .. }, true) => out.push('-'),
            (Sign::Front { plus: true }, false) => out.push('+'),
            (Sign::Brackets, true) => out.push('<'),
            _ => {}
        }
        if self.currency {
            out.push('$');
        }
        if fits {
            self.write_whole(whole, &mut out);
        } else {
            out.extend(
                self.whole
                    .iter()
                    .map(|p| if *p == Place::Comma { ',' } else { '#' }),
            );
        }
        if self.point {
            if out.ends_with(' ') {
                out.pop();
                out.push('0');
            }
            out.push('.');
            let filler = if fits { '0' } else { '#' };
            out.push_str(if fits { fraction } else { "" });
            let printed = if fits { fraction.len() } else { 0 };
            out.extend(std::iter::repeat_n(filler, self.fraction - printed));
        }
        out.push_str(match (self.sign, negative) {
            (Sign::Back { .. }, true) => "-",
            (Sign::Back { plus: true }, false) => "+",
            (Sign::Back { plus: false }, false) => " ",
            (Sign::Brackets, true) => ">",
            (Sign::Brackets, false) => "  ",
            _ => "",
        });
        if self.sign == (Sign::Front { plus: false }) && !negative {
            out.insert(0, ' ');
        }
        out
    }

    fn write_whole(&self, whole: &str, out: &mut String) {
        let mut missing = self.whole_digits() - whole.len();
        let mut digits = whole.chars();
        let mut begun = false;
        for place in &self.whole {
            match place {
                Place::Comma if begun => out.push(','),
                Place::Digit { required } if missing == 0 || *required => {
                    begun = true;
                    match missing {
                        0 => out.extend(digits.next()),
                        _ => {
                            missing -= 1;
                            out.push('0');
                        }
                    }
                }
                _ => {
                    missing -= usize::from(*place != Place::Comma);
                    // A sign stays next to the digits.
                    let at = out.len() - usize::from(out.ends_with(['+', '-', '<']));
                    out.insert(at, ' ');
                }
            }
        }
    }
}

fn tokens(text: &str) -> Vec<(Token, String)> {
    let mut found = vec![];
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (token, length) = match c {
            '0' | '9' => {
                // A sequence ends where it no longer matters what it began with.
                let end = rest.find(|c| !matches!(c, '0' | '9')).unwrap_or(rest.len());
                (Token::Digits, end)
            }
            ',' | 'G' => (Token::Comma, 1),
            '.' | 'D' => (Token::Point, 1),
            '$' => (Token::Dollar, 1),
            'S' => (Token::Sign, 1),
            _ if rest.starts_with("MI") => (Token::Minus, 2),
            _ if rest.starts_with("PR") => (Token::Brackets, 2),
            other => (Token::Other(other), other.len_utf8()),
        };
        let (part, tail) = rest.split_at(length);
        found.push((token, part.to_string()));
        rest = tail;
    }
    found
}

fn constant_format(call: &Call<'_>) -> Result<Option<NumberFormat>> {
    match call.constant(1, "format")? {
        ScalarValue::Utf8(Some(text)) => NumberFormat::parse(&text).map(Some),
        _ => Ok(None),
    }
}

fn to_number_call(call: &Call<'_>, tolerant: bool) -> Result<TypedExpr> {
    let Some(format) = constant_format(call)? else {
        let data_type = DataType::Decimal128(10, 0);
        let null = ScalarValue::try_from(&data_type)?;
        return Ok(call.result(datafusion::logical_expr::lit(null), data_type, true));
    };
    let (precision, scale) = format.decimal_type();
    let nullable = tolerant || call.arg(0)?.nullable;
    let kernel = Arc::new(ToNumber { format, tolerant });
    Ok(call.kernel(kernel, DataType::Decimal128(precision, scale), nullable))
}

#[derive(Debug)]
struct ToNumber {
    format: NumberFormat,
    tolerant: bool,
}

impl PreparedKernel for ToNumber {
    fn fingerprint(&self) -> String {
        format!("{} {}", self.format.text, self.tolerant)
    }

    fn evaluate(&self, batch: &Batch<'_>) -> Result<ArrayRef> {
        let rows = Rows::requiring(batch, 1)?;
        let texts = rows.strings(0)?;
        rows.decimal_values(self.format.decimal_type(), |row| {
            let text = texts.value(row);
            match self.format.read(text) {
                Some(value) => Ok(Some(value)),
                None if self.tolerant => Ok(None),
                None => Err(SparkError::new(
                    Exception::IllegalArgument,
                    "INVALID_FORMAT.MISMATCH_INPUT",
                    &[
                        ("inputType", &quoted("STRING")),
                        ("input", text),
                        ("format", &self.format.text),
                    ],
                )),
            }
        })
    }
}

/// Dates and bytes go to the functions that are made for them.
fn to_char_call(call: &Call<'_>) -> Result<TypedExpr> {
    let value = call.arg(0)?.clone();
    let other = |name: &'static str, args: Vec<TypedExpr>| {
        let mut inner = Call::new(name, args, call.context);
        inner.place.clone_from(&call.place);
        match Registry::builtin().call(inner)? {
            crate::functions::Resolution::Value(typed) => Ok(typed),
            _ => Err(SparkError::internal(format!(
                "{name} is not a scalar function"
            ))),
        }
    };
    match &value.data_type {
        DataType::Date32 | DataType::Timestamp(_, _) => {
            return other("date_format", vec![value, call.arg(1)?.clone()]);
        }
        DataType::Binary => {
            let format = match call.constant(1, "format")? {
                ScalarValue::Utf8(Some(text)) => text.to_lowercase(),
                _ => String::new(),
            };
            let typed = match format.as_str() {
                "utf-8" => other("decode", vec![value, call.arg(1)?.clone()])?,
                "hex" => other("hex", vec![value])?,
                "base64" => {
                    let name = if call.called == "to_varchar" {
                        "to_varchar"
                    } else {
                        "base64"
                    };
                    let typed = other("base64", vec![value])?;
                    let shown = typed.name.replacen("base64", name, 1);
                    typed.named(shown)
                }
                _ => {
                    return Err(SparkError::analysis(
                        "INVALID_PARAMETER_VALUE.BINARY_FORMAT",
                        &[
                            ("parameter", &crate::error::quoted_id("format")),
                            ("functionName", &crate::error::quoted_id(call.called)),
                            ("invalidFormat", &format!("'{format}'")),
                        ],
                    ));
                }
            };
            return Ok(typed);
        }
        _ => {}
    }
    let typed = decimal_argument(call, value)?;
    let mut call = with_args(call, vec![typed, call.arg(1)?.clone()]);
    call.shown = "to_char".to_string();
    let Some(format) = constant_format(&call)? else {
        let null = ScalarValue::Utf8(None);
        return Ok(call.result(datafusion::logical_expr::lit(null), DataType::Utf8, true));
    };
    let nullable = call.arg(0)?.nullable;
    let kernel = Kernel::Prepared(Arc::new(ToChar { format }));
    Ok(call.kernel_with(
        "to_char",
        kernel,
        DataType::Utf8,
        nullable,
        Volatility::Immutable,
    ))
}

fn decimal_argument(call: &Call<'_>, value: TypedExpr) -> Result<TypedExpr> {
    let Some(target) = Accepts::Decimal.implicit_cast(&value.data_type, call.context.eval.ansi)
    else {
        return Err(call.unexpected_type(0, &quoted("DECIMAL")));
    };
    let name = value.name.clone();
    Ok(crate::cast::coerce(value, &target, &call.context.eval)?.named(name))
}

#[derive(Debug)]
struct ToChar {
    format: NumberFormat,
}

impl PreparedKernel for ToChar {
    fn fingerprint(&self) -> String {
        self.format.text.clone()
    }

    fn evaluate(&self, batch: &Batch<'_>) -> Result<ArrayRef> {
        let rows = Rows::requiring(batch, 1)?;
        let values = rows.decimals(0)?;
        let scale = values.scale();
        rows.text(|row| Ok(Some(self.format.write(values.value(row), scale))))
    }
}
