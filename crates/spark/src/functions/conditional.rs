//! `CASE`, `if`, `coalesce` and their kin.
use arrow::datatypes::DataType;
use datafusion::logical_expr::{Expr, lit, when};

use super::{Accepts, Call, Function, Parameters, Registry, operators::equality};
use crate::{
    cast::coerce,
    coercion,
    error::{Result, SparkError, quoted},
    literal::null_of,
    typed::TypedExpr,
};

pub(super) fn register(registry: &mut Registry) {
    registry.add(Function::rewrite(
        "when",
        Parameters::variadic(2, Accepts::Any),
        case,
    ));
    let three = || Parameters::fixed([Accepts::Any, Accepts::Any, Accepts::Any]);
    registry.add(Function::rewrite("if", three(), |call| {
        let (condition, yes, no) = (call.arg(0)?, call.arg(1)?, call.arg(2)?);
        let name = format!("(IF({}, {}, {}))", condition.name, yes.name, no.name);
        choose(
            call,
            vec![(condition.clone(), yes.clone())],
            Some(no.clone()),
            &name,
        )
    }));
    registry.add(Function::rewrite(
        "coalesce",
        Parameters::variadic(1, Accepts::Any),
        |call| {
            let name = call.name();
            first_present(call, call.args.clone(), &name)
        },
    ));
    for name in ["nvl", "ifnull"] {
        let two = Parameters::fixed([Accepts::Any, Accepts::Any]);
        registry.add(Function::rewrite(name, two, |call| {
            let name = call.name();
            first_present(call, call.args.clone(), &name)
        }));
    }
    registry.add(Function::rewrite("nvl2", three(), |call| {
        let present = call.arg(0)?.expr.clone().is_not_null();
        let condition = TypedExpr::new(present, DataType::Boolean, false, "");
        let name = call.name();
        choose(
            call,
            vec![(condition, call.arg(1)?.clone())],
            Some(call.arg(2)?.clone()),
            &name,
        )
    }));
    let two = || Parameters::fixed([Accepts::Any, Accepts::Any]);
    registry.add(Function::rewrite("nullif", two(), |call| {
        let (value, other) = (call.arg(0)?.clone(), call.arg(1)?.clone());
        let condition = equality(call, value.clone(), other)?;
        let null = lit(null_of(&value.data_type)?);
        let data_type = value.data_type.clone();
        Ok(call.result(
            when(condition.expr, null).otherwise(value.expr)?,
            data_type,
            true,
        ))
    }));
    let one = || Parameters::fixed([Accepts::Any]);
    registry.add(Function::rewrite("isnull", one(), |call| {
        let arg = call.arg(0)?;
        let name = format!("({} IS NULL)", arg.name);
        Ok(call
            .result(arg.expr.clone().is_null(), DataType::Boolean, false)
            .named(name))
    }));
    registry.add(Function::rewrite("isnotnull", one(), |call| {
        let arg = call.arg(0)?;
        let name = format!("({} IS NOT NULL)", arg.name);
        Ok(call
            .result(arg.expr.clone().is_not_null(), DataType::Boolean, false)
            .named(name))
    }));
}

/// `when(condition, value, …[, otherwise])`.
fn case(call: &Call<'_>) -> Result<TypedExpr> {
    let mut args = call.args.clone();
    let otherwise = if args.len() % 2 == 1 {
        args.pop()
    } else {
        None
    };
    let mut branches = vec![];
    let mut name = String::from("CASE");
    let mut args = args.into_iter();
    while let (Some(condition), Some(value)) = (args.next(), args.next()) {
        name.push_str(&format!(" WHEN {} THEN {}", condition.name, value.name));
        branches.push((condition, value));
    }
    if let Some(value) = &otherwise {
        name.push_str(&format!(" ELSE {}", value.name));
    }
    name.push_str(" END");
    choose(call, branches, otherwise, &name)
}

fn choose(
    call: &Call<'_>,
    branches: Vec<(TypedExpr, TypedExpr)>,
    otherwise: Option<TypedExpr>,
    name: &str,
) -> Result<TypedExpr> {
    let context = &call.context.eval;
    let mut conditions = vec![];
    let mut values = vec![];
    for (index, (condition, value)) in branches.into_iter().enumerate() {
        let untyped = condition.data_type == DataType::Null && name.starts_with("(IF");
        if condition.data_type != DataType::Boolean && !untyped {
            let kind = if name.starts_with("(IF") { 0 } else { index };
            return Err(SparkError::analysis(
                "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE",
                &[
                    ("sqlExpr", &quoted(name)),
                    ("paramIndex", super::ordinal(kind)),
                    ("requiredType", "\"BOOLEAN\""),
                    ("inputSql", &condition.sql()),
                    ("inputType", &condition.type_sql()),
                ],
            ));
        }
        conditions.push(coerce(condition, &DataType::Boolean, context)?.expr);
        values.push(value);
    }
    let has_else = otherwise.is_some();
    values.extend(otherwise);
    let Some((mut values, common)) = coercion::unify(values.clone(), context)? else {
        let types: Vec<String> = values.iter().map(TypedExpr::type_sql).collect();
        let function = if name.starts_with("(IF") {
            "`if`"
        } else {
            "`casewhen`"
        };
        return Err(SparkError::analysis(
            "DATATYPE_MISMATCH.DATA_DIFF_TYPES",
            &[
                ("sqlExpr", &quoted(name)),
                ("functionName", function),
                ("dataType", &format!("[{}]", types.join(", "))),
            ],
        ));
    };
    // What comes after a branch that is always taken does not count.
    let certain = (!name.starts_with("(IF"))
        .then(|| conditions.iter().position(|c| *c == lit(true)))
        .flatten();
    let nullable = match certain {
        Some(last) => values.iter().take(last + 1).any(|v| v.nullable),
        None => !has_else || values.iter().any(|v| v.nullable),
    };
    let otherwise = if has_else { values.pop() } else { None };
    let mut pairs = conditions.into_iter().zip(values);
    let Some((condition, value)) = pairs.next() else {
        return Err(SparkError::internal("CASE without a branch"));
    };
    let mut builder = when(condition, value.expr);
    for (condition, value) in pairs {
        builder = builder.when(condition, value.expr);
    }
    let expr: Expr = match otherwise {
        Some(value) => builder.otherwise(value.expr)?,
        None => builder.otherwise(lit(null_of(&common)?))?,
    };
    Ok(call.result(expr, common, nullable).named(name))
}

fn first_present(call: &Call<'_>, values: Vec<TypedExpr>, name: &str) -> Result<TypedExpr> {
    let Some((values, common)) = coercion::unify(values.clone(), &call.context.eval)? else {
        let types: Vec<String> = values.iter().map(TypedExpr::type_sql).collect();
        return Err(SparkError::analysis(
            "DATATYPE_MISMATCH.DATA_DIFF_TYPES",
            &[
                ("sqlExpr", &quoted(name)),
                ("functionName", "`coalesce`"),
                ("dataType", &format!("({})", types.join(" or "))),
            ],
        ));
    };
    let nullable = values.iter().all(|v| v.nullable);
    let mut exprs: Vec<Expr> = values.into_iter().map(|v| v.expr).collect();
    let expr = match (exprs.len(), exprs.pop()) {
        (1, Some(only)) => only,
        (_, Some(last)) => {
            exprs.push(last);
            datafusion::functions::core::expr_fn::coalesce(exprs)
        }
        (_, None) => return Err(SparkError::internal("coalesce of nothing")),
    };
    Ok(call.result(expr, common, nullable).named(name))
}
