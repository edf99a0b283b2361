//! `+ - * / % div`, with ANSI overflow and division by zero.
//!
//! Operands are first brought to one type: whole numbers to the wider of the two, FLOAT with whole numbers to DOUBLE,
//! whole numbers with DECIMAL to the decimal that holds them, text to BIGINT or DOUBLE. `/` divides DOUBLEs or DECIMALs,
//! `div` gives BIGINT. Dates, timestamps and intervals go their own way, in `interval.rs`; decimals in `decimal.rs`.
use std::sync::Arc;

use arrow::{
    array::{ArrayRef, ArrowPrimitiveType, AsArray, Datum, PrimitiveArray},
    compute::kernels::numeric,
    datatypes::{DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type},
};
use datafusion::{common::ScalarValue, logical_expr::Volatility};

use super::{decimal, interval};
use crate::{
    cast::coerce,
    coercion,
    error::{Result, SparkError, arithmetic_overflow, divide_by_zero, quoted, remainder_by_zero},
    functions::{Accepts, Batch, Call, Function, Kernel, Parameters, Registry},
    typed::TypedExpr,
    types::{
        self, decimal::DecimalOp, is_decimal, is_floating, is_integral, is_interval, is_numeric,
    },
};

/// A binary operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    IntegralDivide,
}

impl Operator {
    pub(super) fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
            Self::IntegralDivide => "div",
        }
    }

    /// The function that tolerates overflow.
    pub(super) fn tolerant(self) -> &'static str {
        match self {
            Self::Add => "try_add",
            Self::Subtract => "try_subtract",
            Self::Multiply => "try_multiply",
            Self::Divide | Self::IntegralDivide => "try_divide",
            Self::Remainder => "try_mod",
        }
    }

    fn decimal(self) -> DecimalOp {
        match self {
            Self::Add | Self::Subtract => DecimalOp::AddSubtract,
            Self::Multiply => DecimalOp::Multiply,
            Self::Divide => DecimalOp::Divide,
            Self::Remainder => DecimalOp::Remainder,
            Self::IntegralDivide => DecimalOp::IntegralDivide,
        }
    }

    /// Whether zero on the right has no result: Spark makes such results nullable.
    fn divides(self) -> bool {
        matches!(self, Self::Divide | Self::Remainder | Self::IntegralDivide)
    }

    /// What `BINARY_OP_WRONG_TYPE` says the operator takes.
    fn takes(self) -> &'static str {
        match self {
            Self::Add | Self::Subtract => {
                "(\"NUMERIC\" or \"INTERVAL DAY TO SECOND\" or \"INTERVAL YEAR TO MONTH\" or \"INTERVAL\")"
            }
            Self::Multiply | Self::Remainder => "\"NUMERIC\"",
            Self::Divide => "(\"DOUBLE\" or \"DECIMAL\")",
            Self::IntegralDivide => {
                "(\"BIGINT\" or \"DECIMAL\" or \"INTERVAL YEAR TO MONTH\" or \"INTERVAL DAY TO SECOND\")"
            }
        }
    }
}

pub(super) fn register(registry: &mut Registry) {
    let two = || Parameters::fixed([Accepts::Any, Accepts::Any]);
    let binary = |name: &'static str, operator: Operator| {
        Function::rewrite(name, two(), move |call| operate(call, operator))
    };
    registry.add(binary("+", Operator::Add));
    registry.add(binary("*", Operator::Multiply));
    registry.add(binary("/", Operator::Divide));
    registry.add(binary("%", Operator::Remainder));
    registry.add(binary("div", Operator::IntegralDivide));
    registry.add(Function::rewrite("mod", two(), |call| {
        Ok(operate(call, Operator::Remainder)?.named(call.name()))
    }));
    let one_or_two = Parameters::fixed([Accepts::Any]).optional([Accepts::Any]);
    registry.add(Function::rewrite("-", one_or_two, |call| {
        if call.args.len() == 1 {
            negate(call)
        } else {
            operate(call, Operator::Subtract)
        }
    }));
    registry.add(Function::rewrite(
        "negative",
        Parameters::fixed([Accepts::Any]),
        |call| Ok(negate(call)?.named(call.name())),
    ));
    registry.add(Function::rewrite(
        "positive",
        Parameters::fixed([Accepts::Any]),
        |call| {
            let arg = numeric_or_interval(call, call.arg(0)?.clone())?;
            let name = format!("(+ {})", call.arg(0)?.name);
            Ok(arg.named(name))
        },
    ));
}

/// `(left op right)`, as Spark names it.
pub(super) fn infix(call: &Call<'_>, symbol: &str) -> Result<String> {
    Ok(format!(
        "({} {symbol} {})",
        call.arg(0)?.name,
        call.arg(1)?.name
    ))
}

fn operate(call: &Call<'_>, operator: Operator) -> Result<TypedExpr> {
    let (left, right) = (call.arg(0)?, call.arg(1)?);
    let name = infix(call, operator.symbol())?;
    if let Some(temporal) = interval::operate(call, operator, &name)? {
        return Ok(temporal);
    }
    let Some((left, right)) = operands(call, operator, left, right)? else {
        return Err(wrong_operands(call, operator, &name));
    };
    let (data_type, kernel) = match (&left.data_type, &right.data_type, operator) {
        (DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2), Operator::IntegralDivide) => {
            let _ = (p1, s1, p2, s2);
            (DataType::Int64, decimal::kernel(operator))
        }
        (DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2), _) => {
            let (p, s) = types::decimal::result(operator.decimal(), (*p1, *s1), (*p2, *s2));
            (DataType::Decimal128(p, s), decimal::kernel(operator))
        }
        (t, _, _) => (t.clone(), kernel(operator)),
    };
    let ansi = call.context.eval.ansi;
    let nullable =
        left.nullable || right.nullable || operator.divides() || (is_decimal(&data_type) && !ansi);
    let inner = Call {
        args: vec![left, right],
        ..reduced(call)
    };
    let typed = inner.kernel_with(
        operator.symbol(),
        Kernel::Plain(kernel),
        data_type,
        nullable,
        Volatility::Immutable,
    );
    Ok(typed.named(name))
}

/// The call without its arguments.
pub(super) fn reduced<'a>(call: &Call<'a>) -> Call<'a> {
    let mut inner = Call::new(call.called, vec![], call.context);
    inner.place.clone_from(&call.place);
    inner
}

/// The operands at the types they are computed with; `None` where there are none.
fn operands(
    call: &Call<'_>,
    operator: Operator,
    left: &TypedExpr,
    right: &TypedExpr,
) -> Result<Option<(TypedExpr, TypedExpr)>> {
    let context = &call.context.eval;
    let (mut l, mut r) = (left.data_type.clone(), right.data_type.clone());
    // Text is promoted by the other operand; two texts are no numbers (under ANSI rules).
    match (&l, &r) {
        (DataType::Utf8, DataType::Utf8) if context.ansi => return Ok(None),
        (DataType::Utf8, _) | (_, DataType::Utf8) if !context.ansi => {
            let double = |t: &DataType| {
                if *t == DataType::Utf8 {
                    DataType::Float64
                } else {
                    t.clone()
                }
            };
            (l, r) = (double(&l), double(&r));
        }
        (DataType::Utf8, _) | (_, DataType::Utf8) => {
            let Some(promoted) = coercion::with_string(&l, &r).filter(is_numeric_type) else {
                return Ok(None);
            };
            (l, r) = (promoted.clone(), promoted);
        }
        _ => {}
    }
    match (&l, &r) {
        (DataType::Null, DataType::Null) => (l, r) = (DataType::Float64, DataType::Float64),
        (DataType::Null, t) => l = t.clone(),
        (t, DataType::Null) => r = t.clone(),
        _ => {}
    }
    if !is_numeric(&l) || !is_numeric(&r) {
        return Ok(None);
    }
    let (l, r) = match operator {
        Operator::Divide if !is_decimal(&l) && !is_decimal(&r) => {
            (DataType::Float64, DataType::Float64)
        }
        Operator::IntegralDivide if is_integral(&l) && is_integral(&r) => {
            (DataType::Int64, DataType::Int64)
        }
        Operator::IntegralDivide if !is_decimal(&l) && !is_decimal(&r) => return Ok(None),
        _ if is_decimal(&l) != is_decimal(&r) => {
            if is_floating(&l) || is_floating(&r) {
                (DataType::Float64, DataType::Float64)
            } else {
                (decimal_operand(left, &l), decimal_operand(right, &r))
            }
        }
        _ if is_decimal(&l) => (l, r),
        _ => match coercion::tightest(&l, &r, context.ansi) {
            Some(common) => (common.clone(), common),
            None => return Ok(None),
        },
    };
    Ok(Some((
        coerce(left.clone(), &l, context)?,
        coerce(right.clone(), &r, context)?,
    )))
}

fn is_numeric_type(data_type: &DataType) -> bool {
    is_numeric(data_type)
}

/// The decimal a whole number becomes beside a decimal: a constant takes only the digits it has.
fn decimal_operand(value: &TypedExpr, data_type: &DataType) -> DataType {
    if is_decimal(data_type) {
        return data_type.clone();
    }
    let digits = match value.as_literal() {
        Some(ScalarValue::Int8(Some(v))) => Some(u64::from(v.unsigned_abs())),
        Some(ScalarValue::Int16(Some(v))) => Some(u64::from(v.unsigned_abs())),
        Some(ScalarValue::Int32(Some(v))) => Some(u64::from(v.unsigned_abs())),
        Some(ScalarValue::Int64(Some(v))) => Some(v.unsigned_abs()),
        _ => None,
    };
    let (p, s) = match digits {
        Some(v) => (v.checked_ilog10().map_or(1, |d| d as u8 + 1), 0),
        None => types::decimal::for_type(data_type).unwrap_or((38, 18)),
    };
    DataType::Decimal128(p, s)
}

fn wrong_operands(call: &Call<'_>, operator: Operator, name: &str) -> SparkError {
    let (Ok(left), Ok(right)) = (call.arg(0), call.arg(1)) else {
        return SparkError::internal("an operator without operands");
    };
    if left.data_type == right.data_type {
        return SparkError::analysis(
            "DATATYPE_MISMATCH.BINARY_OP_WRONG_TYPE",
            &[
                ("sqlExpr", &quoted(name)),
                ("inputType", operator.takes()),
                ("actualDataType", &left.type_sql()),
            ],
        );
    }
    SparkError::analysis(
        "DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES",
        &[
            ("sqlExpr", &quoted(name)),
            ("left", &left.type_sql()),
            ("right", &right.type_sql()),
        ],
    )
}

fn numeric_or_interval(call: &Call<'_>, value: TypedExpr) -> Result<TypedExpr> {
    match &value.data_type {
        t if is_numeric(t) || is_interval(t) => Ok(value),
        DataType::Null | DataType::Utf8 => coerce(value, &DataType::Float64, &call.context.eval),
        _ => Err(call.unexpected_type(
            0,
            "(\"NUMERIC\" or \"INTERVAL DAY TO SECOND\" or \"INTERVAL YEAR TO MONTH\" or \"INTERVAL\")",
        )),
    }
}

fn negate(call: &Call<'_>) -> Result<TypedExpr> {
    let name = format!("(- {})", call.arg(0)?.name);
    let value = numeric_or_interval(call, call.arg(0)?.clone())?;
    let (data_type, nullable, metadata) = (
        value.data_type.clone(),
        value.nullable,
        value.metadata.clone(),
    );
    // Spark's overflow of a negation tells no place.
    let inner = Call {
        args: vec![value],
        place: None,
        ..reduced(call)
    };
    let mut typed = inner
        .kernel_with(
            "negative",
            Kernel::Plain(negate_kernel),
            data_type,
            nullable,
            Volatility::Immutable,
        )
        .named(name);
    typed.metadata = metadata;
    Ok(typed)
}

fn negate_kernel(batch: &Batch<'_>) -> Result<ArrayRef> {
    let array = batch.array(0)?;
    if !batch.context().ansi {
        return Ok(numeric::neg_wrapping(&array)?);
    }
    numeric::neg(&array).map_err(|_| arithmetic_overflow("overflow", ""))
}

/// An argument as arrow's kernels take it: a scalar where it is constant.
pub(super) fn datum(batch: &Batch<'_>, index: usize) -> Result<Box<dyn Datum>> {
    Ok(match batch.constant(index) {
        Some(value) if batch.arity() > 1 => Box::new(value.to_scalar()?),
        _ => Box::new(batch.array(index)?),
    })
}

fn kernel(operator: Operator) -> fn(&Batch<'_>) -> Result<ArrayRef> {
    match operator {
        Operator::Add => add,
        Operator::Subtract => subtract,
        Operator::Multiply => multiply,
        Operator::Divide => divide,
        Operator::Remainder => remainder,
        Operator::IntegralDivide => integral_divide,
    }
}

type ArrowKernel =
    fn(&dyn Datum, &dyn Datum) -> std::result::Result<ArrayRef, arrow::error::ArrowError>;

fn checked(
    batch: &Batch<'_>,
    operator: Operator,
    exact: ArrowKernel,
    wrapping: ArrowKernel,
) -> Result<ArrayRef> {
    let (left, right) = (datum(batch, 0)?, datum(batch, 1)?);
    let result = if batch.context().ansi {
        exact(left.as_ref(), right.as_ref()).map_err(|_| overflow(batch, operator))?
    } else {
        wrapping(left.as_ref(), right.as_ref())?
    };
    // Two constants in a batch of one row give a scalar of length one already.
    Ok(result)
}

fn add(batch: &Batch<'_>) -> Result<ArrayRef> {
    checked(batch, Operator::Add, numeric::add, numeric::add_wrapping)
}

fn subtract(batch: &Batch<'_>) -> Result<ArrayRef> {
    checked(
        batch,
        Operator::Subtract,
        numeric::sub,
        numeric::sub_wrapping,
    )
}

fn multiply(batch: &Batch<'_>) -> Result<ArrayRef> {
    checked(
        batch,
        Operator::Multiply,
        numeric::mul,
        numeric::mul_wrapping,
    )
}

fn overflow(batch: &Batch<'_>, operator: Operator) -> SparkError {
    match batch.return_type() {
        DataType::Int8 | DataType::Int16 => narrow_overflow(batch, operator),
        DataType::Int32 => arithmetic_overflow("overflow", operator.tolerant()),
        _ => arithmetic_overflow("overflow", operator.tolerant()),
    }
}

/// TINYINT and SMALLINT name the operands.
fn narrow_overflow(batch: &Batch<'_>, operator: Operator) -> SparkError {
    let row = |index: usize| {
        batch
            .array(index)
            .and_then(|a| Ok(arrow::compute::cast(&a, &DataType::Int64)?))
    };
    let (Ok(left), Ok(right)) = (row(0), row(1)) else {
        return arithmetic_overflow("overflow", operator.tolerant());
    };
    let (left, right) = (
        left.as_primitive::<Int64Type>(),
        right.as_primitive::<Int64Type>(),
    );
    let (low, high) = match batch.return_type() {
        DataType::Int8 => (i64::from(i8::MIN), i64::from(i8::MAX)),
        _ => (i64::from(i16::MIN), i64::from(i16::MAX)),
    };
    // Spark writes both types with the suffix of SMALLINT.
    let suffix = "S";
    let guilty = left.iter().zip(right.iter()).find_map(|(l, r)| {
        let (l, r) = (l?, r?);
        let exact = match operator {
            Operator::Add => l + r,
            Operator::Subtract => l - r,
            _ => l * r,
        };
        (!(low..=high).contains(&exact)).then_some((l, r))
    });
    let (l, r) = guilty.unwrap_or((0, 0));
    SparkError::arithmetic(
        "BINARY_ARITHMETIC_OVERFLOW",
        &[
            ("value1", &format!("{l}{suffix}")),
            ("symbol", operator.symbol()),
            ("value2", &format!("{r}{suffix}")),
            (
                "functionName",
                &crate::error::quoted_id(operator.tolerant()),
            ),
        ],
    )
}

/// Applies `op` to rows where both sides are there; a zero on the right is an error, or NULL.
fn by_rows<T: ArrowPrimitiveType>(
    batch: &Batch<'_>,
    is_zero: impl Fn(T::Native) -> bool,
    by_zero: fn() -> SparkError,
    op: impl Fn(T::Native, T::Native) -> Result<T::Native>,
) -> Result<ArrayRef> {
    let (left, right): (PrimitiveArray<T>, PrimitiveArray<T>) =
        (batch.primitive(0)?, batch.primitive(1)?);
    let ansi = batch.context().ansi;
    let mut values: Vec<Option<T::Native>> = Vec::with_capacity(left.len());
    for (l, r) in left.iter().zip(right.iter()) {
        values.push(match (l, r) {
            (Some(_), Some(r)) if is_zero(r) && ansi => return Err(by_zero()),
            (Some(l), Some(r)) if !is_zero(r) => Some(op(l, r)?),
            _ => None,
        });
    }
    Ok(Arc::new(values.into_iter().collect::<PrimitiveArray<T>>()))
}

fn divide(batch: &Batch<'_>) -> Result<ArrayRef> {
    by_rows::<Float64Type>(batch, |r| r == 0.0, divide_by_zero, |l, r| Ok(l / r))
}

fn integral_divide(batch: &Batch<'_>) -> Result<ArrayRef> {
    let ansi = batch.context().ansi;
    by_rows::<Int64Type>(
        batch,
        |r| r == 0,
        divide_by_zero,
        move |l, r| match l.checked_div(r) {
            Some(v) => Ok(v),
            None if ansi => Err(arithmetic_overflow(
                "Overflow in integral divide",
                "try_divide",
            )),
            None => Ok(l.wrapping_div(r)),
        },
    )
}

fn remainder(batch: &Batch<'_>) -> Result<ArrayRef> {
    match batch.return_type() {
        DataType::Int8 => by_rows::<Int8Type>(
            batch,
            |r| r == 0,
            remainder_by_zero,
            |l, r| Ok(l.wrapping_rem(r)),
        ),
        DataType::Int16 => by_rows::<Int16Type>(
            batch,
            |r| r == 0,
            remainder_by_zero,
            |l, r| Ok(l.wrapping_rem(r)),
        ),
        DataType::Int32 => by_rows::<Int32Type>(
            batch,
            |r| r == 0,
            remainder_by_zero,
            |l, r| Ok(l.wrapping_rem(r)),
        ),
        DataType::Int64 => by_rows::<Int64Type>(
            batch,
            |r| r == 0,
            remainder_by_zero,
            |l, r| Ok(l.wrapping_rem(r)),
        ),
        DataType::Float32 => {
            by_rows::<Float32Type>(batch, |r| r == 0.0, remainder_by_zero, |l, r| Ok(l % r))
        }
        DataType::Float64 => {
            by_rows::<Float64Type>(batch, |r| r == 0.0, remainder_by_zero, |l, r| Ok(l % r))
        }
        other => Err(SparkError::internal(format!("% of {other}"))),
    }
}
