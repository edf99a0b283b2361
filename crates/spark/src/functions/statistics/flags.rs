//! Aggregates of conditions and bits, and approximate counts.
use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, Int64Array},
    datatypes::DataType,
};
use datafusion::{
    common::ScalarValue,
    functions_aggregate::{
        approx_distinct::approx_distinct_udaf,
        bit_and_or_xor::{bit_and_udaf, bit_or_udaf, bit_xor_udaf},
        bool_and_or::{bool_and_udaf, bool_or_udaf},
        count::count_udaf,
    },
    logical_expr::{Cast, Expr, Volatility, lit, when},
};
use millstream_state::hash::{SPARK_SEED, xxhash64};

use crate::{
    error::{Result, SparkError},
    functions::{Accepts, Batch, Call, Function, Kernel, Parameters, Registry},
    typed::TypedExpr,
    types::{is_integral, is_timestamp},
};

pub(super) fn register(registry: &mut Registry) {
    let condition = || Parameters::fixed([Accepts::BOOLEAN]);
    registry.add(Function::aggregate("count_if", condition(), |call| {
        let null = lit(ScalarValue::Int64(None));
        let counted = when(call.arg(0)?.expr.clone(), lit(1_i64)).otherwise(null)?;
        call.aggregate_of(count_udaf(), vec![counted], DataType::Int64, false)
    }));
    for (name, aliases, udaf) in [
        ("bool_and", &["every"][..], bool_and_udaf()),
        ("bool_or", &["some", "any"][..], bool_or_udaf()),
    ] {
        let mut function = Function::aggregate(name, condition(), move |call| {
            call.aggregate(Arc::clone(&udaf), DataType::Boolean, true)
        });
        for alias in aliases {
            function = function.alias(alias);
        }
        registry.add(function);
    }
    for (name, udaf) in [
        ("bit_and", bit_and_udaf()),
        ("bit_or", bit_or_udaf()),
        ("bit_xor", bit_xor_udaf()),
    ] {
        registry.add(Function::aggregate(
            name,
            Parameters::fixed([Accepts::Any]),
            move |call| {
                // No implicit casts, not even of text.
                if !crate::types::is_integral(&call.arg(0)?.data_type) {
                    return Err(call.unexpected_type(0, "\"INTEGRAL\""));
                }
                let data_type = call.arg(0)?.data_type.clone();
                call.aggregate(Arc::clone(&udaf), data_type, true)
            },
        ));
    }
    let counted = Parameters::fixed([Accepts::Any]).optional([Accepts::DOUBLE]);
    registry.add(Function::aggregate(
        "approx_count_distinct",
        counted,
        approx_count_distinct,
    ));
}

/// What the sketch counts: the value itself, or its hash where DataFusion knows no sketch of the type or tells values
/// apart that are equal for Spark, as 0.0 and -0.0.
fn sketched(call: &Call<'_>) -> Result<Expr> {
    let value = call.arg(0)?;
    let as_it_is = is_integral(&value.data_type)
        || is_timestamp(&value.data_type)
        || matches!(
            value.data_type,
            DataType::Utf8 | DataType::Binary | DataType::Date32
        );
    if as_it_is {
        return Ok(value.expr.clone());
    }
    let hashed = Call::new(call.called, vec![value.clone()], call.context).kernel_with(
        "sketched_hash",
        Kernel::Plain(hash_of_present),
        DataType::Int64,
        true,
        Volatility::Immutable,
    );
    Ok(hashed.expr)
}

/// The hash that Spark's own sketch takes of a value; NULL of NULL.
fn hash_of_present(batch: &Batch<'_>) -> Result<ArrayRef> {
    let value = batch.array(0)?;
    let hashes = xxhash64(&[Arc::clone(&value)], batch.len(), SPARK_SEED.into())
        .map_err(SparkError::internal)?;
    let nulls = value.logical_nulls();
    Ok(Arc::new(Int64Array::try_new(hashes.into(), nulls)?))
}

/// The sketch has a fixed size, of an error around 0.8 %; a larger error that is asked for is met as well.
fn approx_count_distinct(call: &Call<'_>) -> Result<TypedExpr> {
    if call.args.len() > 1 {
        match call.constant(1, "relativeSD")? {
            ScalarValue::Float64(Some(error)) if error < 0.008 => {
                tracing::warn!(error, "approx_count_distinct has a relative error of 0.008");
            }
            _ => {}
        }
    }
    let args = vec![sketched(call)?];
    let mut typed = call.aggregate_of(approx_distinct_udaf(), args, DataType::Int64, false)?;
    // Spark leaves the error out of the name.
    let mut shown = Call::new(call.called, vec![call.arg(0)?.clone()], call.context);
    shown.shown.clone_from(&call.shown);
    shown.distinct = call.distinct;
    shown.filter.clone_from(&call.filter);
    typed.name = shown.name();
    typed.expr = Expr::Cast(Cast::new(Box::new(typed.expr), DataType::Int64));
    Ok(typed)
}
