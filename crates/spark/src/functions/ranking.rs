//! Window functions proper: ranks and neighbours.
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::{
    functions_window::{
        cume_dist::cume_dist_udwf,
        lead_lag::{lag_udwf, lead_udwf},
        nth_value::nth_value_udwf,
        ntile::ntile_udwf,
        rank::{dense_rank_udwf, percent_rank_udwf, rank_udwf},
        row_number::row_number_udwf,
    },
    logical_expr::{WindowUDF, lit},
};

use super::{Accepts, Call, Function, Parameters, Registry, Resolution, WindowCall};
use crate::{cast::coerce, error::Result, typed::TypedExpr};
use datafusion::{common::ScalarValue, logical_expr::WindowFunctionDefinition};

const RUNNING: &str = "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW";

pub(super) fn register(registry: &mut Registry) {
    for (name, udwf, whole) in [
        ("row_number", row_number_udwf(), true),
        ("rank", rank_udwf(), true),
        ("dense_rank", dense_rank_udwf(), true),
        ("percent_rank", percent_rank_udwf(), false),
        ("cume_dist", cume_dist_udwf(), false),
    ] {
        // Ranks take the ORDER BY's expressions as arguments, and ignore them.
        let parameters = match name {
            "rank" | "dense_rank" | "percent_rank" => Parameters::variadic(0, Accepts::Any),
            _ => Parameters::none(),
        };
        registry.add(Function::special(name, parameters, move |call| {
            let (data_type, from) = if whole {
                (DataType::Int32, Some(DataType::UInt64))
            } else {
                (DataType::Float64, None)
            };
            Ok(Resolution::Window(WindowCall {
                function: WindowFunctionDefinition::WindowUDF(Arc::clone(&udwf)),
                args: vec![],
                data_type,
                nullable: false,
                name: call.name(),
                ignore_nulls: false,
                fixed_frame: Some(frame_text(name)),
                cast_from: from,
                default: None,
            }))
        }));
    }
    registry.add(Function::special(
        "ntile",
        Parameters::none().optional([Accepts::INT]),
        |call| {
            let buckets = match call.args.first() {
                Some(arg) => arg.clone(),
                None => TypedExpr::int(1),
            };
            let count = coerce(buckets, &DataType::Int64, &call.context.eval)?;
            Ok(Resolution::Window(WindowCall {
                function: WindowFunctionDefinition::WindowUDF(ntile_udwf()),
                args: vec![count.expr],
                data_type: DataType::Int32,
                nullable: false,
                name: if call.args.is_empty() {
                    "ntile(1)".into()
                } else {
                    call.name()
                },
                ignore_nulls: false,
                fixed_frame: Some(RUNNING.to_string()),
                cast_from: Some(DataType::UInt64),
                default: None,
            }))
        },
    ));
    for (name, udwf) in [("lag", lag_udwf()), ("lead", lead_udwf())] {
        let parameters = Parameters::fixed([Accepts::Any]).optional([Accepts::INT, Accepts::Any]);
        registry.add(Function::special(name, parameters, move |call| {
            neighbour(call, name, &udwf)
        }));
    }
    let parameters = Parameters::fixed([Accepts::Any, Accepts::INT]).optional([Accepts::BOOLEAN]);
    registry.add(Function::special("nth_value", parameters, |call| {
        let value = call.arg(0)?.clone();
        let position = call.cast(1, &DataType::Int64)?;
        let ignore = call.args.get(2).is_some()
            && call.constant(2, "ignoreNulls")? == ScalarValue::Boolean(Some(true));
        Ok(Resolution::Window(WindowCall {
            function: WindowFunctionDefinition::WindowUDF(nth_value_udwf()),
            args: vec![value.expr, position.expr],
            data_type: value.data_type,
            nullable: true,
            name: format!("nth_value({}, {})", call.arg(0)?.name, call.arg(1)?.name),
            ignore_nulls: ignore || call.ignore_nulls,
            fixed_frame: None,
            cast_from: None,
            default: None,
        }))
    }));
}

fn frame_text(name: &str) -> String {
    match name {
        "cume_dist" => "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW".to_string(),
        _ => RUNNING.to_string(),
    }
}

/// `lag(value[, offset[, default]])`.
fn neighbour(call: &Call<'_>, name: &str, udwf: &Arc<WindowUDF>) -> Result<Resolution> {
    let value = call.arg(0)?.clone();
    let offset = match call.args.get(1) {
        Some(_) => match call.constant(1, "offset")? {
            ScalarValue::Int32(Some(n)) => n,
            _ => 1,
        },
        None => 1,
    };
    let default = match call.args.get(2) {
        Some(arg) => coerce(arg.clone(), &value.data_type, &call.context.eval)?,
        None => TypedExpr::literal(crate::literal::null_of(&value.data_type)?, "NULL"),
    };
    let shown = format!("{name}({}, {offset}, {})", value.name, default.name);
    let nullable = default.nullable || value.nullable;
    let step = if name == "lag" { -offset } else { offset };
    let ignore_nulls = call.ignore_nulls;
    Ok(Resolution::Window(WindowCall {
        function: WindowFunctionDefinition::WindowUDF(Arc::clone(udwf)),
        args: vec![value.expr, lit(i64::from(offset)), default.expr],
        data_type: value.data_type,
        nullable,
        name: shown,
        ignore_nulls,
        fixed_frame: Some(format!(
            "ROWS BETWEEN {step} FOLLOWING AND {step} FOLLOWING"
        )),
        cast_from: None,
        default: None,
    }))
}
