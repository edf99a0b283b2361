//! Comparisons. They are DataFusion's own, on operands of one type, so that sources and the optimizer see them.
use arrow::datatypes::DataType;
use datafusion::{
    common::ScalarValue,
    logical_expr::{Expr, Operator, binary_expr, lit},
};

use super::arithmetic::infix;
use crate::{
    cast::coerce,
    coercion,
    error::{Result, SparkError, quoted},
    functions::{Accepts, Call, Function, Parameters, Registry},
    typed::TypedExpr,
    types::is_orderable,
};

pub(super) fn register(registry: &mut Registry) {
    let two = || Parameters::fixed([Accepts::Any, Accepts::Any]);
    for (name, symbol, operator) in [
        ("==", "=", Operator::Eq),
        ("=", "=", Operator::Eq),
        ("<", "<", Operator::Lt),
        (">", ">", Operator::Gt),
        ("<=", "<=", Operator::LtEq),
        (">=", ">=", Operator::GtEq),
        ("<=>", "<=>", Operator::IsNotDistinctFrom),
    ] {
        registry.add(Function::rewrite(name, two(), move |call| {
            compare(call, symbol, operator)
        }));
    }
    for name in ["!=", "<>"] {
        registry.add(Function::rewrite(name, two(), |call| {
            let equal = compare(call, "=", Operator::Eq)?;
            let name = format!("(NOT {})", equal.name);
            let nullable = equal.nullable;
            Ok(call
                .result(not_equal(equal.expr), DataType::Boolean, nullable)
                .named(name))
        }));
    }
    registry.add(Function::rewrite("equal_null", two(), |call| {
        Ok(compare(call, "<=>", Operator::IsNotDistinctFrom)?.named(call.name()))
    }));
    let parameters = Parameters::variadic(2, Accepts::Any);
    registry.add(Function::rewrite("in", parameters, is_in));
    let parameters = Parameters::fixed([Accepts::Any, Accepts::Any, Accepts::Any]);
    registry.add(Function::rewrite("between", parameters, between));
}

/// `NOT (a = b)`, as the comparison it is.
fn not_equal(equal: Expr) -> Expr {
    match equal {
        Expr::BinaryExpr(b) if b.op == Operator::Eq => {
            binary_expr(*b.left, Operator::NotEq, *b.right)
        }
        other => datafusion::logical_expr::not(other),
    }
}

fn compare(call: &Call<'_>, symbol: &str, operator: Operator) -> Result<TypedExpr> {
    let name = infix(call, symbol)?;
    let compared = comparison(
        call,
        call.arg(0)?.clone(),
        call.arg(1)?.clone(),
        operator,
        symbol,
        &name,
    )?;
    Ok(compared.named(name))
}

fn comparison(
    call: &Call<'_>,
    left: TypedExpr,
    right: TypedExpr,
    operator: Operator,
    symbol: &str,
    name: &str,
) -> Result<TypedExpr> {
    let context = &call.context.eval;
    let Some(common) = coercion::for_comparison(&left.data_type, &right.data_type, context.ansi)
    else {
        return Err(SparkError::analysis(
            "DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES",
            &[
                ("sqlExpr", &quoted(name)),
                ("left", &left.type_sql()),
                ("right", &right.type_sql()),
            ],
        ));
    };
    let null_safe = operator == Operator::IsNotDistinctFrom;
    if !is_orderable(&common) {
        return Err(SparkError::analysis(
            "DATATYPE_MISMATCH.INVALID_ORDERING_TYPE",
            &[
                ("sqlExpr", &quoted(name)),
                ("functionName", &crate::error::quoted_id(symbol)),
                ("dataType", &left.type_sql()),
            ],
        ));
    }
    let nullable = !null_safe && (left.nullable || right.nullable);
    let expr = if common == DataType::Null {
        // Two NULLs without a type.
        lit(ScalarValue::Boolean(null_safe.then_some(true)))
    } else {
        let (l, r) = (
            coerce(left, &common, context)?,
            coerce(right, &common, context)?,
        );
        let nullable_now = !null_safe && (l.nullable || r.nullable);
        let typed = call.result(
            binary_expr(l.expr, operator, r.expr),
            DataType::Boolean,
            nullable_now,
        );
        return Ok(typed);
    };
    Ok(call.result(expr, DataType::Boolean, nullable))
}

/// `left = right` of values that have a common type.
pub(crate) fn equality(call: &Call<'_>, left: TypedExpr, right: TypedExpr) -> Result<TypedExpr> {
    let name = format!("({} = {})", left.name, right.name);
    comparison(call, left, right, Operator::Eq, "=", &name)
}

fn is_in(call: &Call<'_>) -> Result<TypedExpr> {
    let names: Vec<&str> = call.args.iter().skip(1).map(|a| a.name.as_str()).collect();
    let name = format!("({} IN ({}))", call.arg(0)?.name, names.join(", "));
    let Some((values, common)) = coercion::unify(call.args.clone(), &call.context.eval)? else {
        let types: Vec<String> = call.args.iter().map(TypedExpr::type_sql).collect();
        return Err(SparkError::analysis(
            "DATATYPE_MISMATCH.DATA_DIFF_TYPES",
            &[
                ("sqlExpr", &quoted(&name)),
                ("functionName", "`in`"),
                ("dataType", &format!("[{}]", types.join(", "))),
            ],
        ));
    };
    let nullable = values.iter().any(|v| v.nullable);
    let mut values = values.into_iter();
    let Some(value) = values.next() else {
        return Err(SparkError::internal("IN without a value"));
    };
    let expr = if common.is_nested() {
        let same = values.map(|v| binary_expr(value.expr.clone(), Operator::Eq, v.expr));
        same.reduce(|a, b| a.or(b)).unwrap_or_else(|| lit(false))
    } else if common == DataType::Null {
        lit(ScalarValue::Boolean(None))
    } else {
        value.expr.in_list(values.map(|v| v.expr).collect(), false)
    };
    Ok(call.result(expr, DataType::Boolean, nullable).named(name))
}

fn between(call: &Call<'_>) -> Result<TypedExpr> {
    let (value, low, high) = (call.arg(0)?, call.arg(1)?, call.arg(2)?);
    let at_least = format!("({} >= {})", value.name, low.name);
    let lower = comparison(
        call,
        value.clone(),
        low.clone(),
        Operator::GtEq,
        ">=",
        &at_least,
    )?;
    let at_most = format!("({} <= {})", value.name, high.name);
    let upper = comparison(
        call,
        value.clone(),
        high.clone(),
        Operator::LtEq,
        "<=",
        &at_most,
    )?;
    let nullable = lower.nullable || upper.nullable;
    Ok(call.result(lower.expr.and(upper.expr), DataType::Boolean, nullable))
}
