//! Aggregate functions, and the adapter for writing more.
//!
//! An [`AggregateKernel`] is a `GroupsAccumulator` with a known state: that one implementation serves grouped aggregation,
//! global aggregation, window frames, DISTINCT, and streaming state (whose columns are the state's). Where DataFusion has
//! the function with Spark's meaning, it is taken as it is.
mod adapter;
mod average;
mod distinct;
mod extreme;
mod group_values;
mod sum;

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::{
    functions_aggregate::{
        count::count_udaf,
        first_last::{first_value_udaf, last_value_udaf},
        min_max::{max_udaf, min_udaf},
    },
    logical_expr::{AggregateUDF, Expr, lit, when},
};

use super::{Accepts, Call, Function, Parameters, Registry, constructors::named_struct};
use crate::{
    error::{Result, SparkError},
    typed::TypedExpr,
    types::{is_decimal, is_floating, is_integral, list},
};

pub use adapter::{AggregateKernel, aggregate_of_kernel};

/// Marker of `grouping(key)`; see `relation/aggregate.rs`.
pub(crate) const GROUPING: &str = "spark_grouping";
/// Marker of `grouping_id(…)`.
pub(crate) const GROUPING_ID: &str = "spark_grouping_id";

pub(super) fn register(registry: &mut Registry) {
    registry.add(Function::aggregate(
        "count",
        Parameters::variadic(0, Accepts::Any),
        count,
    ));
    let summable = || Parameters::fixed([Accepts::Summable]);
    registry.add(Function::aggregate("sum", summable(), |call| {
        sum::build(call, false)
    }));
    registry.add(Function::aggregate("try_sum", summable(), |call| {
        sum::build(call, true)
    }));
    registry.add(
        Function::aggregate("avg", summable(), |call| average::build(call, false))
            .alias("mean")
            .shown_as("avg"),
    );
    registry.add(Function::aggregate("try_avg", summable(), |call| {
        average::build(call, true)
    }));
    for (largest, name, udaf) in [(false, "min", min_udaf()), (true, "max", max_udaf())] {
        registry.add(Function::aggregate(
            name,
            Parameters::fixed([Accepts::Any]),
            move |call| extreme(call, Arc::clone(&udaf), largest),
        ));
    }
    for (name, aliases, udaf) in [
        (
            "first",
            &["first_value", "any_value"][..],
            first_value_udaf(),
        ),
        ("last", &["last_value"][..], last_value_udaf()),
    ] {
        let parameters = Parameters::fixed([Accepts::Any]).optional([Accepts::BOOLEAN]);
        let mut function = Function::aggregate(name, parameters, move |call| {
            first_or_last(call, Arc::clone(&udaf))
        });
        for alias in aliases {
            function = function.alias(alias);
        }
        registry.add(function);
    }
    for (name, distinct) in [("collect_list", false), ("collect_set", true)] {
        let mut function =
            Function::aggregate(name, Parameters::fixed([Accepts::Any]), move |call| {
                collect(call, distinct)
            });
        if !distinct {
            function = function.alias("array_agg");
        }
        registry.add(function);
    }
    registry.add(Function::aggregate(
        "grouping",
        Parameters::fixed([Accepts::Any]),
        |call| call.aggregate(marker(GROUPING), DataType::Int8, false),
    ));
    registry.add(Function::aggregate(
        "grouping_id",
        Parameters::variadic(0, Accepts::Any),
        |call| call.aggregate(marker(GROUPING_ID), DataType::Int64, false),
    ));
}

/// An aggregate that only stands for something until the aggregation is built.
fn marker(name: &'static str) -> Arc<AggregateUDF> {
    use datafusion::logical_expr::{Volatility, create_udaf};
    Arc::new(create_udaf(
        name,
        vec![],
        Arc::new(DataType::Int64),
        Volatility::Immutable,
        Arc::new(move |_| {
            Err(datafusion::error::DataFusionError::from(
                SparkError::analysis("UNSUPPORTED_GROUPING_EXPRESSION", &[]),
            ))
        }),
        Arc::new(vec![]),
    ))
}

fn count(call: &Call<'_>) -> Result<TypedExpr> {
    let name = call.name();
    let typed = match call.args.as_slice() {
        [] => {
            return Err(SparkError::analysis(
                "WRONG_NUM_ARGS.WITH_SUGGESTION",
                &[
                    ("functionName", "`count`"),
                    ("expectedNum", " >= 1"),
                    ("actualNum", "0"),
                    ("legacyNum", "0"),
                    (
                        "legacyConfKey",
                        "\"spark.sql.legacy.allowParameterlessCount\"",
                    ),
                    ("legacyConfValue", "\"true\""),
                ],
            ));
        }
        [one] => {
            // A value that is never NULL needs no look: rows are counted.
            let argument = if one.nullable || call.distinct {
                one.expr.clone()
            } else {
                lit(1_i64)
            };
            call.aggregate_of(count_udaf(), vec![argument], DataType::Int64, false)?
        }
        many => {
            let mut present: Option<Expr> = None;
            for arg in many {
                let here = arg.expr.clone().is_not_null();
                present = Some(match present {
                    Some(all) => all.and(here),
                    None => here,
                });
            }
            let fields = many
                .iter()
                .enumerate()
                .map(|(i, a)| (format!("c{i}"), a.clone()))
                .collect();
            let row = named_struct(fields);
            let null = lit(crate::literal::null_of(&row.data_type)?);
            let value = when(present.unwrap_or_else(|| lit(true)), row.expr).otherwise(null)?;
            call.aggregate_of(count_udaf(), vec![value], DataType::Int64, false)?
        }
    };
    Ok(typed.named(name))
}

fn extreme(call: &Call<'_>, udaf: Arc<AggregateUDF>, largest: bool) -> Result<TypedExpr> {
    let arg = call.arg(0)?;
    if !crate::types::is_orderable(&arg.data_type) {
        return Err(call.mismatch(
            "INVALID_ORDERING_TYPE",
            &[
                ("functionName", &crate::error::quoted_id(call.called)),
                ("dataType", &arg.type_sql()),
            ],
        ));
    }
    let data_type = arg.data_type.clone();
    if matches!(data_type, DataType::Struct(_) | DataType::List(_)) {
        let kernel = extreme::Extreme {
            value: data_type.clone(),
            largest,
        };
        return aggregate_of_kernel(call, Arc::new(kernel), data_type, true);
    }
    call.aggregate(udaf, data_type, true)
}

fn first_or_last(call: &Call<'_>, udaf: Arc<AggregateUDF>) -> Result<TypedExpr> {
    let arg = call.arg(0)?.clone();
    let ignore_nulls = match call.args.get(1) {
        Some(_) => match call.constant(1, "ignoreNulls")? {
            datafusion::common::ScalarValue::Boolean(Some(v)) => v,
            _ => false,
        },
        None => call.ignore_nulls,
    };
    let mut inner = Call::new(call.called, vec![arg.clone()], call.context);
    inner.shown.clone_from(&call.shown);
    inner.distinct = call.distinct;
    inner.filter.clone_from(&call.filter);
    inner.ignore_nulls = ignore_nulls;
    inner.place.clone_from(&call.place);
    inner.windowed = call.windowed;
    inner.aggregate(udaf, arg.data_type, true)
}

/// NULLs are left out; a group without values gives an empty array.
fn collect(call: &Call<'_>, distinct: bool) -> Result<TypedExpr> {
    let arg = call.arg(0)?;
    if distinct && matches!(arg.data_type, DataType::Map(_, _)) {
        return Err(call.mismatch(
            "UNSUPPORTED_INPUT_TYPE",
            &[
                ("functionName", "`collect_set`"),
                ("dataType", "\"MAP\" or \"COLLATED STRING\""),
            ],
        ));
    }
    let element = arg.data_type.clone();
    let data_type = list(element.clone(), false);
    let kernel = group_values::Collect { element, distinct };
    aggregate_of_kernel(call, Arc::new(kernel), data_type, false)
}

/// Type of the sum of values of a type.
pub(super) fn sum_type(data_type: &DataType) -> DataType {
    match data_type {
        t if is_integral(t) => DataType::Int64,
        DataType::Decimal128(p, s) => {
            let (p, s) = crate::types::decimal::bounded(i32::from(*p) + 10, i32::from(*s));
            DataType::Decimal128(p, s)
        }
        t if is_floating(t) || !is_decimal(t) && crate::types::is_numeric(t) => DataType::Float64,
        other => other.clone(),
    }
}
