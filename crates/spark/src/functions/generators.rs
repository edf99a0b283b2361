//! `explode`, `posexplode`, `inline`, `stack`.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;

use super::{
    Accepts, Call, Function, Generator, GeneratorKind, Parameters, Registry, Resolution,
    constructors::named_struct,
};
use crate::{
    coercion,
    error::{Result, SparkError},
    typed::TypedExpr,
};

pub(super) fn register(registry: &mut Registry) {
    let one = || Parameters::fixed([Accepts::one_of([Accepts::Array, Accepts::Map])]);
    for (name, outer, position) in [
        ("explode", "explode_outer", false),
        ("posexplode", "posexplode_outer", true),
    ] {
        registry.add(
            Function::special(name, one(), move |call| {
                Ok(Resolution::Generator(Generator::explode(call, position)?))
            })
            .alias(outer),
        );
    }
    registry.add(
        Function::special("inline", Parameters::fixed([Accepts::Any]), |call| {
            Ok(Resolution::Generator(Generator::inline(call)?))
        })
        .alias("inline_outer"),
    );
    registry.add(Function::special(
        "stack",
        Parameters::variadic(2, Accepts::Any),
        |call| Ok(Resolution::Generator(stack(call)?)),
    ));
}

/// `stack(n, a, b, …)`: the values in n rows.
fn stack(call: &Call<'_>) -> Result<Generator> {
    let rows = match call.constant(0, "n")? {
        ScalarValue::Int32(Some(n)) if n > 0 => n as usize,
        _ => {
            return Err(call.mismatch(
                "VALUE_OUT_OF_RANGE",
                &[
                    ("exprName", "`n`"),
                    ("valueRange", "(0, 2147483647]"),
                    ("currentValue", &call.arg(0)?.name),
                ],
            ));
        }
    };
    let values: Vec<TypedExpr> = call.args.iter().skip(1).cloned().collect();
    let width = values.len().div_ceil(rows);
    let mut columns: Vec<Vec<TypedExpr>> = vec![];
    for column in 0..width {
        let cells: Vec<TypedExpr> = (0..rows)
            .map(|row| {
                values
                    .get(row * width + column)
                    .cloned()
                    .unwrap_or_else(TypedExpr::null)
            })
            .collect();
        let (cells, _) = coercion::unify(cells, &call.context.eval)?.ok_or_else(|| {
            call.mismatch(
                "STACK_COLUMN_DIFF_TYPES",
                &[
                    ("columnIndex", &column.to_string()),
                    ("leftParamIndex", &(column + 1).to_string()),
                    ("leftType", ""),
                    ("rightParamIndex", ""),
                    ("rightType", ""),
                ],
            )
        })?;
        columns.push(cells);
    }
    let structs: Vec<TypedExpr> = (0..rows)
        .map(|row| {
            let fields = columns
                .iter()
                .enumerate()
                .filter_map(|(i, cells)| {
                    let mut cell = cells.get(row)?.clone();
                    cell.nullable = true;
                    Some((format!("col{i}"), cell))
                })
                .collect();
            named_struct(fields)
        })
        .collect();
    let array = Call::new("array", structs, call.context);
    let Resolution::Value(input) = Registry::builtin().call(array)? else {
        return Err(SparkError::internal("array() is a value"));
    };
    let DataType::List(item) = &input.data_type else {
        return Err(SparkError::internal("array() is an array"));
    };
    let DataType::Struct(fields) = item.data_type() else {
        return Err(SparkError::internal("stacked rows are structs"));
    };
    let columns = fields
        .iter()
        .map(|f| (f.name().clone(), f.data_type().clone(), true))
        .collect();
    Ok(Generator {
        kind: GeneratorKind::Inline,
        input,
        position: false,
        outer: false,
        columns,
        name: call.name(),
    })
}
