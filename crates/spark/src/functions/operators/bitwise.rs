//! `& | ^ ~ << >> >>>`.
use arrow::datatypes::DataType;
use datafusion::logical_expr::{Expr, Operator, Volatility, binary_expr};

use super::arithmetic::{infix, reduced};
use crate::{
    cast::coerce,
    coercion,
    error::{Result, SparkError, quoted},
    functions::{Accepts, Batch, Call, Function, Kernel, Parameters, Registry},
    typed::TypedExpr,
    types::is_integral,
};
use arrow::{
    array::{ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray},
    datatypes::{Int32Type, Int64Type},
};
use std::sync::Arc;

pub(super) fn register(registry: &mut Registry) {
    for (name, operator) in [
        ("&", Operator::BitwiseAnd),
        ("|", Operator::BitwiseOr),
        ("^", Operator::BitwiseXor),
    ] {
        let parameters = Parameters::fixed([Accepts::Any, Accepts::Any]);
        registry.add(Function::rewrite(name, parameters, move |call| {
            binary(call, name, operator)
        }));
    }
    registry.add(Function::rewrite(
        "~",
        Parameters::fixed([Accepts::Integral]),
        |call| {
            let value = call.arg(0)?;
            let minus_one = coerce(TypedExpr::int(-1), &value.data_type, &call.context.eval)?;
            let expr = binary_expr(value.expr.clone(), Operator::BitwiseXor, minus_one.expr);
            let name = format!("~{}", value.name);
            Ok(call
                .result(expr, value.data_type.clone(), value.nullable)
                .named(name))
        },
    ));
    for (name, symbol) in [
        ("shiftleft", "<<"),
        ("shiftright", ">>"),
        ("shiftrightunsigned", ">>>"),
    ] {
        let value = Accepts::one_of([Accepts::INT, Accepts::LONG]);
        let parameters = Parameters::fixed([value, Accepts::INT]);
        registry.add(Function::rewrite(name, parameters, move |call| {
            shift(call, name, symbol)
        }));
    }
}

fn binary(call: &Call<'_>, symbol: &str, operator: Operator) -> Result<TypedExpr> {
    let (left, right) = (call.arg(0)?.clone(), call.arg(1)?.clone());
    let name = infix(call, symbol)?;
    let context = &call.context.eval;
    let common = coercion::tightest(&left.data_type, &right.data_type, context.ansi)
        .or_else(|| coercion::with_string(&left.data_type, &right.data_type));
    let Some(common) = common.filter(is_integral) else {
        if left.data_type != right.data_type {
            return Err(SparkError::analysis(
                "DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES",
                &[
                    ("sqlExpr", &quoted(&name)),
                    ("left", &left.type_sql()),
                    ("right", &right.type_sql()),
                ],
            ));
        }
        return Err(SparkError::analysis(
            "DATATYPE_MISMATCH.BINARY_OP_WRONG_TYPE",
            &[
                ("sqlExpr", &quoted(&name)),
                ("inputType", "\"INTEGRAL\""),
                ("actualDataType", &left.type_sql()),
            ],
        ));
    };
    let (left, right) = (
        coerce(left, &common, context)?,
        coerce(right, &common, context)?,
    );
    let nullable = left.nullable || right.nullable;
    let expr: Expr = binary_expr(left.expr, operator, right.expr);
    Ok(call.result(expr, common, nullable).named(name))
}

fn shift(call: &Call<'_>, id: &'static str, symbol: &str) -> Result<TypedExpr> {
    let name = infix(call, symbol)?;
    let (value, distance) = (call.arg(0)?.clone(), call.arg(1)?.clone());
    let data_type = if value.data_type == DataType::Int64 {
        DataType::Int64
    } else {
        DataType::Int32
    };
    let value = coerce(value, &data_type, &call.context.eval)?;
    let nullable = value.nullable || distance.nullable;
    let body: fn(&Batch<'_>) -> Result<ArrayRef> = match id {
        "shiftleft" => |b| by_rows(b, i32::wrapping_shl, i64::wrapping_shl),
        "shiftright" => |b| by_rows(b, i32::wrapping_shr, i64::wrapping_shr),
        _ => |b| {
            by_rows(
                b,
                |v, n| (v as u32).wrapping_shr(n) as i32,
                |v, n| (v as u64).wrapping_shr(n) as i64,
            )
        },
    };
    let inner = Call {
        args: vec![value, distance],
        ..reduced(call)
    };
    let typed = inner.kernel_with(
        id,
        Kernel::Plain(body),
        data_type,
        nullable,
        Volatility::Immutable,
    );
    Ok(typed.named(name))
}

fn by_rows(
    batch: &Batch<'_>,
    int: fn(i32, u32) -> i32,
    long: fn(i64, u32) -> i64,
) -> Result<ArrayRef> {
    let distances = batch.primitive::<Int32Type>(1)?;
    let values = batch.array(0)?;
    if *batch.return_type() == DataType::Int32 {
        return Ok(zip::<Int32Type>(values.as_primitive(), &distances, int));
    }
    Ok(zip::<Int64Type>(values.as_primitive(), &distances, long))
}

fn zip<T: ArrowPrimitiveType>(
    values: &PrimitiveArray<T>,
    distances: &PrimitiveArray<Int32Type>,
    op: fn(T::Native, u32) -> T::Native,
) -> ArrayRef {
    let shifted: PrimitiveArray<T> = values
        .iter()
        .zip(distances.iter())
        .map(|(v, n)| Some(op(v?, n? as u32)))
        .collect();
    Arc::new(shifted)
}
