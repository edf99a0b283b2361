//! `AND`, `OR`, `NOT`: three-valued.
use arrow::datatypes::DataType;

use super::arithmetic::infix;
use crate::{
    cast::coerce,
    error::{Result, SparkError, quoted},
    functions::{Accepts, Call, Function, Parameters, Registry},
    typed::TypedExpr,
};

pub(super) fn register(registry: &mut Registry) {
    let two = || Parameters::fixed([Accepts::Any, Accepts::Any]);
    registry.add(Function::rewrite("and", two(), |call| {
        let (left, right) = operands(call, "AND")?;
        let nullable = left.nullable || right.nullable;
        Ok(call
            .result(left.expr.and(right.expr), DataType::Boolean, nullable)
            .named(infix(call, "AND")?))
    }));
    registry.add(Function::rewrite("or", two(), |call| {
        let (left, right) = operands(call, "OR")?;
        let nullable = left.nullable || right.nullable;
        Ok(call
            .result(left.expr.or(right.expr), DataType::Boolean, nullable)
            .named(infix(call, "OR")?))
    }));
    for name in ["not", "!"] {
        registry.add(Function::rewrite(
            name,
            Parameters::fixed([Accepts::Any]),
            negation,
        ));
    }
}

fn operands(call: &Call<'_>, symbol: &str) -> Result<(TypedExpr, TypedExpr)> {
    let (left, right) = (call.arg(0)?, call.arg(1)?);
    let takes = |t: &DataType| matches!(t, DataType::Boolean | DataType::Null);
    let text = |t: &DataType| *t == DataType::Utf8;
    let name = infix(call, symbol)?;
    let (l, r) = (&left.data_type, &right.data_type);
    let fits = (takes(l) && (takes(r) || text(r))) || (text(l) && takes(r));
    if !fits {
        if l == r {
            return Err(SparkError::analysis(
                "DATATYPE_MISMATCH.BINARY_OP_WRONG_TYPE",
                &[
                    ("sqlExpr", &quoted(&name)),
                    ("inputType", "\"BOOLEAN\""),
                    ("actualDataType", &left.type_sql()),
                ],
            ));
        }
        return Err(SparkError::analysis(
            "DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES",
            &[
                ("sqlExpr", &quoted(&name)),
                ("left", &left.type_sql()),
                ("right", &right.type_sql()),
            ],
        ));
    }
    let context = &call.context.eval;
    Ok((
        coerce(left.clone(), &DataType::Boolean, context)?,
        coerce(right.clone(), &DataType::Boolean, context)?,
    ))
}

fn negation(call: &Call<'_>) -> Result<TypedExpr> {
    let arg = call.arg(0)?;
    let name = format!("(NOT {})", arg.name);
    if !matches!(
        arg.data_type,
        DataType::Boolean | DataType::Null | DataType::Utf8
    ) {
        return Err(SparkError::analysis(
            "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE",
            &[
                ("sqlExpr", &quoted(&name)),
                ("paramIndex", "first"),
                ("requiredType", "\"BOOLEAN\""),
                ("inputSql", &arg.sql()),
                ("inputType", &arg.type_sql()),
            ],
        ));
    }
    let value = coerce(arg.clone(), &DataType::Boolean, &call.context.eval)?;
    let nullable = value.nullable;
    Ok(call
        .result(
            datafusion::logical_expr::not(value.expr),
            DataType::Boolean,
            nullable,
        )
        .named(name))
}
