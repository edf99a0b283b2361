//! `pmod`: the remainder without the divisor's sign.
use std::sync::Arc;

use arrow::{
    array::ArrayRef,
    datatypes::{
        ArrowPrimitiveType, DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
        Int64Type,
    },
};

use crate::{
    cast::{coerce, rescale_value},
    coercion,
    error::{Result, SparkError},
    functions::{
        Accepts, Batch, Call, Function, PreparedKernel, Registry,
        rows::{Rows, with_args},
    },
    typed::TypedExpr,
    types::{
        decimal::{self, DecimalOp},
        is_decimal, is_floating, is_numeric,
    },
};

pub(super) fn register(registry: &mut Registry) {
    registry.add(Function::rewrite(
        "pmod",
        [Accepts::Any, Accepts::Any],
        |call| {
            let (call, data_type) = numeric_operands(call, DecimalOp::Remainder)?;
            Ok(call.kernel(Arc::new(Remainder), data_type, true))
        },
    ));
}

#[derive(Debug)]
struct Remainder;

impl PreparedKernel for Remainder {
    fn fingerprint(&self) -> String {
        "pmod".to_string()
    }

    fn evaluate(&self, batch: &Batch<'_>) -> Result<ArrayRef> {
        let rows = Rows::new(batch)?;
        let ansi = batch.context().ansi;
        match batch.return_type() {
            DataType::Int8 => self.numbers::<Int8Type>(&rows, ansi, |a, b| a.wrapping_rem(b)),
            DataType::Int16 => self.numbers::<Int16Type>(&rows, ansi, |a, b| a.wrapping_rem(b)),
            DataType::Int32 => self.numbers::<Int32Type>(&rows, ansi, |a, b| a.wrapping_rem(b)),
            DataType::Int64 => self.numbers::<Int64Type>(&rows, ansi, |a, b| a.wrapping_rem(b)),
            DataType::Float32 => self.numbers::<Float32Type>(&rows, ansi, |a, b| a % b),
            DataType::Float64 => self.numbers::<Float64Type>(&rows, ansi, |a, b| a % b),
            DataType::Decimal128(p, s) => self.decimals(&rows, (*p, *s), ansi),
            other => Err(SparkError::internal(format!("no remainder of {other}"))),
        }
    }
}

impl Remainder {
    fn divide<V: Copy + PartialOrd + Default + std::ops::Add<Output = V>>(
        &self,
        (a, b): (V, V),
        ansi: bool,
        rest: impl Fn(V, V) -> V,
    ) -> Result<Option<V>> {
        let zero = V::default();
        if b == zero {
            return if ansi { Err(by_zero()) } else { Ok(None) };
        }
        let r = rest(a, b);
        Ok(Some(if r < zero { rest(r + b, b) } else { r }))
    }

    fn numbers<T: ArrowPrimitiveType>(
        &self,
        rows: &Rows,
        ansi: bool,
        rest: fn(T::Native, T::Native) -> T::Native,
    ) -> Result<ArrayRef>
    where
        T::Native: std::ops::Add<Output = T::Native>,
    {
        let (a, b) = (rows.primitive::<T>(0)?, rows.primitive::<T>(1)?);
        rows.numbers::<T>(|row| self.divide((a.value(row), b.value(row)), ansi, rest))
    }

    fn decimals(&self, rows: &Rows, (p, s): (u8, i8), ansi: bool) -> Result<ArrayRef> {
        let (a, b) = (rows.decimals(0)?, rows.decimals(1)?);
        let scale = a.scale().max(b.scale());
        rows.decimal_values((p, s), |row| {
            let left = rescale_value(a.value(row), a.scale(), scale);
            let right = rescale_value(b.value(row), b.scale(), scale);
            let (Some(left), Some(right)) = (left, right) else {
                return Ok(None);
            };
            let rest = self.divide((left, right), ansi, |a, b| a.wrapping_rem(b))?;
            Ok(rest.and_then(|r| rescale_value(r, scale, s)))
        })
    }
}

fn by_zero() -> SparkError {
    SparkError::arithmetic(
        "REMAINDER_BY_ZERO",
        &[("config", "\"spark.sql.ansi.enabled\"")],
    )
}

/// The call with both operands of one numeric type (decimals keep their own), and the type of the result.
fn numeric_operands<'a>(call: &Call<'a>, op: DecimalOp) -> Result<(Call<'a>, DataType)> {
    let (left, right) = (call.arg(0)?, call.arg(1)?);
    let ansi = call.context.eval.ansi;
    let decimals = is_decimal(&left.data_type) || is_decimal(&right.data_type);
    let floats = is_floating(&left.data_type) || is_floating(&right.data_type);
    let both = is_numeric(&left.data_type) && is_numeric(&right.data_type);
    if decimals && both && !floats {
        let (l, r) = (decimal_of(left), decimal_of(right));
        let (p, s) = decimal::result(op, l, r);
        let to = |(p, s): (u8, i8)| DataType::Decimal128(p, s);
        let args = vec![
            coerce(left.clone(), &to(l), &call.context.eval)?,
            coerce(right.clone(), &to(r), &call.context.eval)?,
        ];
        return Ok((with_args(call, args), DataType::Decimal128(p, s)));
    }
    let common = match (&left.data_type, &right.data_type) {
        (DataType::Null, DataType::Null) => Some(DataType::Float64),
        (DataType::Utf8, DataType::Utf8) => Some(DataType::Float64),
        (a, b) if !ansi && (*a == DataType::Utf8 || *b == DataType::Utf8) => {
            Some(DataType::Float64)
        }
        (a, b) => coercion::wider(a, b, ansi),
    };
    let Some(common) = common.filter(is_numeric) else {
        let (left, right) = (left.type_sql(), right.type_sql());
        let parameters = [("left", left.as_str()), ("right", right.as_str())];
        return Err(call.mismatch("BINARY_OP_DIFF_TYPES", &parameters));
    };
    let args: Result<Vec<TypedExpr>> = call
        .args
        .iter()
        .map(|a| coerce(a.clone(), &common, &call.context.eval))
        .collect();
    let result = match &common {
        DataType::Decimal128(p, s) => {
            let (p, s) = decimal::result(op, (*p, *s), (*p, *s));
            DataType::Decimal128(p, s)
        }
        other => other.clone(),
    };
    Ok((with_args(call, args?), result))
}

/// A whole constant takes as many digits as it has; a column of whole numbers, as many as its type may need.
fn decimal_of(operand: &TypedExpr) -> (u8, i8) {
    use datafusion::common::ScalarValue;
    let literal = match operand.as_literal() {
        Some(ScalarValue::Int8(Some(v))) => Some(i64::from(*v)),
        Some(ScalarValue::Int16(Some(v))) => Some(i64::from(*v)),
        Some(ScalarValue::Int32(Some(v))) => Some(i64::from(*v)),
        Some(ScalarValue::Int64(Some(v))) => Some(*v),
        _ => None,
    };
    match literal {
        Some(value) => {
            let digits = value.unsigned_abs().to_string().len();
            (u8::try_from(digits).unwrap_or(20), 0)
        }
        None => decimal::for_type(&operand.data_type).unwrap_or((10, 0)),
    }
}
