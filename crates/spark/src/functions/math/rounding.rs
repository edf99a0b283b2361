//! Rounding.
//!
//! `round` and `bround` keep their argument's type; `ceil` and `floor` give BIGINT, or DECIMAL when there is a scale. A
//! double is rounded as the decimal that it prints as: `round(1.005, 2)` is 1.01.
use std::sync::Arc;

use arrow::{
    array::ArrayRef,
    datatypes::{
        ArrowPrimitiveType, DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
        Int64Type,
    },
};
use datafusion::common::ScalarValue;

use crate::{
    cast::coerce,
    error::{Result, SparkError, arithmetic_overflow, quoted, quoted_id},
    functions::{
        Accepts, Batch, Call, Function, Parameters, PreparedKernel, Registry,
        rows::{Rows, with_args, with_defaults},
    },
    typed::TypedExpr,
    types::{decimal, is_integral},
};

pub(super) fn register(registry: &mut Registry) {
    let parameters = || Parameters::fixed([Accepts::Numeric]).optional([Accepts::INT]);
    let mut add = |name: &'static str, mode: Mode| {
        registry.add(Function::rewrite(
            name,
            parameters(),
            move |call| match call.args.len() {
                1 if mode.is_whole() => whole_call(call, mode),
                _ => scaled_call(call, mode),
            },
        ));
    };
    add("round", Mode::HalfUp);
    add("bround", Mode::HalfEven);
    add("ceil", Mode::Ceiling);
    add("ceiling", Mode::Ceiling);
    add("floor", Mode::Floor);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    HalfUp,
    HalfEven,
    Ceiling,
    Floor,
}

impl Mode {
    fn is_whole(self) -> bool {
        matches!(self, Self::Ceiling | Self::Floor)
    }

    /// `value / divisor`, rounded. The divisor is positive.
    fn divide(self, value: i128, divisor: i128) -> i128 {
        let (quotient, rest) = (value.div_euclid(divisor), value.rem_euclid(divisor));
        match self {
            Self::HalfUp if value < 0 => -Self::HalfUp.divide(-value, divisor),
            Self::HalfUp => quotient + i128::from(rest >= divisor - rest),
            Self::Floor => quotient,
            Self::Ceiling => quotient + i128::from(rest > 0),
            Self::HalfEven => {
                let up = match rest.cmp(&(divisor - rest)) {
                    std::cmp::Ordering::Greater => true,
                    std::cmp::Ordering::Equal => quotient % 2 != 0,
                    std::cmp::Ordering::Less => false,
                };
                quotient + i128::from(up)
            }
        }
    }

    /// `value` of scale `from`, rounded to scale `to` and held at scale `max(to, 0)`.
    fn rescale(self, value: i128, from: i32, to: i32) -> Option<i128> {
        if to >= from {
            return value.checked_mul(power_of_ten(u32::try_from(to - from).ok()?)?);
        }
        let drop = u32::try_from(from - to).ok()?;
        let rounded = match power_of_ten(drop) {
            Some(divisor) => self.divide(value, divisor),
            // More digits go than there are.
            None => match self {
                Self::Ceiling if value > 0 => 1,
                Self::Floor if value < 0 => -1,
                _ => 0,
            },
        };
        match u32::try_from(-to) {
            Ok(zeros) => rounded.checked_mul(power_of_ten(zeros)?),
            Err(_) => Some(rounded),
        }
    }
}

/// `ceil(x)`, `floor(x)`.
fn whole_call(call: &Call<'_>, mode: Mode) -> Result<TypedExpr> {
    let arg = call.arg(0)?;
    let (input, output) = match &arg.data_type {
        DataType::Decimal128(p, s) => {
            let (p, s) = decimal::bounded(i32::from(*p) - i32::from(*s) + 1, 0);
            (arg.data_type.clone(), DataType::Decimal128(p, s))
        }
        t if is_integral(t) => (DataType::Int64, DataType::Int64),
        _ => (DataType::Float64, DataType::Int64),
    };
    let arg = coerce(arg.clone(), &input, &call.context.eval)?;
    let name = match call.called {
        "ceil" => "CEIL",
        "floor" => "FLOOR",
        other => other,
    };
    let name = format!("{name}({})", arg.name);
    let typed = with_args(call, vec![arg]).kernel(Arc::new(Round { mode, scale: 0 }), output, true);
    Ok(typed.named(name))
}

fn scaled_call(call: &Call<'_>, mode: Mode) -> Result<TypedExpr> {
    let call = with_defaults(call, 2, [TypedExpr::int(0)]);
    let Some(scale) = constant_scale(&call, mode)? else {
        let data_type = call.arg(0)?.data_type.clone();
        let null = datafusion::logical_expr::lit(ScalarValue::try_from(&data_type)?);
        return Ok(call.result(null, data_type, true));
    };
    let arg = call.arg(0)?.clone();
    let input = match (&arg.data_type, mode.is_whole()) {
        (t, true) => match decimal::for_type(t) {
            Some((p, s)) => DataType::Decimal128(p, s),
            None => t.clone(),
        },
        (t, false) => t.clone(),
    };
    let output = match &input {
        DataType::Decimal128(p, s) => {
            let (p, s) = decimal_type((*p, *s), scale);
            DataType::Decimal128(p, s)
        }
        other => other.clone(),
    };
    let name = call.name();
    let arg = coerce(arg, &input, &call.context.eval)?;
    let typed = with_args(&call, vec![arg]).kernel(Arc::new(Round { mode, scale }), output, true);
    Ok(typed.named(name))
}

/// The scale, which must be a constant.
fn constant_scale(call: &Call<'_>, mode: Mode) -> Result<Option<i32>> {
    if !mode.is_whole() {
        let ScalarValue::Int32(scale) = call.constant(1, "scale")? else {
            return Ok(None);
        };
        return Ok(scale);
    }
    let scale = match call.arg(1)?.is_foldable() {
        true => call.constant(1, "scale")?,
        false => ScalarValue::Null,
    };
    let ScalarValue::Int32(Some(scale)) = scale else {
        return Err(SparkError::analysis(
            "NON_FOLDABLE_ARGUMENT",
            &[
                ("funcName", &quoted_id(call.called)),
                ("paramName", &quoted_id("scale")),
                ("paramType", &quoted("INT")),
            ],
        ));
    };
    Ok(Some(scale))
}

/// Rounding may need one more whole digit: 9.9 becomes 10.
fn decimal_type((precision, scale): (u8, i8), to: i32) -> (u8, i8) {
    let whole = i32::from(precision) - i32::from(scale) + 1;
    if to < 0 {
        return decimal::bounded(whole.max(to.saturating_neg().saturating_add(1)), 0);
    }
    let scale = i32::from(scale).min(to);
    decimal::bounded(whole + scale, scale)
}

fn power_of_ten(exponent: u32) -> Option<i128> {
    10_i128.checked_pow(exponent)
}

#[derive(Debug)]
struct Round {
    mode: Mode,
    scale: i32,
}

impl PreparedKernel for Round {
    fn fingerprint(&self) -> String {
        format!("{:?} {}", self.mode, self.scale)
    }

    fn evaluate(&self, batch: &Batch<'_>) -> Result<ArrayRef> {
        let rows = Rows::new(batch)?;
        let ansi = batch.context().ansi;
        match (rows.array(0)?.data_type(), batch.return_type()) {
            (DataType::Float64, DataType::Int64) => self.doubles_to_long(&rows, ansi),
            (DataType::Decimal128(_, from), DataType::Decimal128(p, s)) => {
                let values = rows.decimals(0)?;
                let to = self.scale.min(i32::from(*from));
                rows.decimal_values((*p, *s), |row| {
                    let value = self.mode.rescale(values.value(row), i32::from(*from), to);
                    Ok(value.filter(|v| crate::cast::fits_decimal(*v, *p)))
                })
            }
            (DataType::Int8, _) => self.integers::<Int8Type>(&rows, ansi),
            (DataType::Int16, _) => self.integers::<Int16Type>(&rows, ansi),
            (DataType::Int32, _) => self.integers::<Int32Type>(&rows, ansi),
            (DataType::Int64, _) => self.integers::<Int64Type>(&rows, ansi),
            (DataType::Float32, _) => {
                let values = rows.primitive::<Float32Type>(0)?;
                rows.numbers::<Float32Type>(|row| {
                    let value = values.value(row);
                    let text = || format!("{value:e}");
                    Ok(Some(if value.is_finite() {
                        self.printed(&text()).parse().unwrap_or(value)
                    } else {
                        value
                    }))
                })
            }
            _ => {
                let values = rows.primitive::<Float64Type>(0)?;
                rows.numbers::<Float64Type>(|row| {
                    let value = values.value(row);
                    let text = || format!("{value:e}");
                    Ok(Some(if value.is_finite() {
                        self.printed(&text()).parse().unwrap_or(value)
                    } else {
                        value
                    }))
                })
            }
        }
    }
}

impl Round {
    fn doubles_to_long(&self, rows: &Rows, ansi: bool) -> Result<ArrayRef> {
        let values = rows.primitive::<Float64Type>(0)?;
        rows.numbers::<Int64Type>(|row| {
            let value = values.value(row);
            let whole = if self.mode == Mode::Ceiling {
                value.ceil()
            } else {
                value.floor()
            };
            // Casting saturates, which is what Java does where it may not fail.
            let fits = whole.is_nan()
                || (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&whole);
            if ansi && !fits {
                return Err(arithmetic_overflow("overflow", ""));
            }
            Ok(Some(whole as i64))
        })
    }

    fn integers<T: ArrowPrimitiveType>(&self, rows: &Rows, ansi: bool) -> Result<ArrayRef>
    where
        T::Native: Into<i64> + TryFrom<i128> + Wrap,
    {
        let values = rows.primitive::<T>(0)?;
        rows.numbers::<T>(|row| {
            let value = values.value(row);
            if self.scale >= 0 {
                return Ok(Some(value));
            }
            let rounded = self
                .mode
                .rescale(i128::from(value.into()), 0, self.scale)
                .unwrap_or(0);
            match T::Native::try_from(rounded) {
                Ok(fits) => Ok(Some(fits)),
                Err(_) if ansi => Err(arithmetic_overflow("Overflow", "")),
                Err(_) => Ok(Some(T::Native::wrap(rounded))),
            }
        })
    }

    /// The digits of a number as `{:e}` prints it, rounded, as a decimal number.
    fn printed(&self, text: &str) -> String {
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
        let fraction = mantissa.split_once('.').map_or(0, |(_, f)| f.len());
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let from = i32::try_from(fraction).unwrap_or(0) - exponent;
        if self.scale >= from {
            return text.to_string();
        }
        let value: i128 = digits.parse().unwrap_or(0);
        let drop = u32::try_from(from - self.scale).unwrap_or(u32::MAX);
        let kept = power_of_ten(drop).map_or(0, |divisor| self.mode.divide(value, divisor));
        if kept == 0 && text.starts_with('-') {
            return "0".to_string();
        }
        format!("{kept}e{}", -self.scale)
    }
}

/// What Java's conversion to a smaller whole number leaves.
trait Wrap {
    fn wrap(value: i128) -> Self;
}

impl Wrap for i8 {
    fn wrap(value: i128) -> Self {
        value as i8
    }
}

impl Wrap for i16 {
    fn wrap(value: i128) -> Self {
        value as i16
    }
}

impl Wrap for i32 {
    fn wrap(value: i128) -> Self {
        value as i32
    }
}

impl Wrap for i64 {
    fn wrap(value: i128) -> Self {
        value as i64
    }
}
