//! `map_filter`, `map_zip_with`, `transform_keys`, `transform_values`.
use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, MapArray, UInt64Array},
    compute::take,
    row::{Row, RowConverter, SortField},
};
use datafusion::logical_expr::LambdaArgument;

use super::{
    elements::{Gathered, Spans, comparable},
    lambdas::{evaluate, lambda_at, predicate},
    maps::{Maps, assembled, fields, last_wins},
};
use crate::{
    cast::coerce,
    coercion,
    error::{Result, SparkError, quoted_id},
    functions::{
        Accepts, Batch, Call, Function, HigherOrderKernel, Parameters, Registry, higher_order,
        rows::with_args,
    },
    typed::TypedExpr,
    types::{map, relabel},
};

pub(super) fn register(registry: &mut Registry) {
    let one = || Parameters::fixed([Accepts::Map, Accepts::Any]);
    registry.add(Function::rewrite("map_filter", one(), |call| {
        let (key, value) = fields(call, 0)?;
        let lambda = predicate(call, call.bind(0, &[key, value])?)?;
        let (data_type, nullable) = (call.arg(0)?.data_type.clone(), call.arg(0)?.nullable);
        Ok(higher_order(
            call,
            filter,
            vec![lambda],
            data_type,
            nullable,
        ))
    }));
    registry.add(Function::rewrite("transform_values", one(), |call| {
        let (key, value) = fields(call, 0)?;
        let lambda = call.bind(0, &[key.clone(), value])?;
        let data_type = map(key.0, lambda.body.data_type.clone(), lambda.body.nullable);
        Ok(higher_order(
            call,
            transform_values,
            vec![lambda],
            data_type,
            call.arg(0)?.nullable,
        ))
    }));
    registry.add(Function::rewrite("transform_keys", one(), |call| {
        let (key, value) = fields(call, 0)?;
        let lambda = call.bind(0, &[key, value.clone()])?;
        let data_type = map(lambda.body.data_type.clone(), value.0, value.1);
        let kernel: HigherOrderKernel = if last_wins(call) {
            transform_keys_last
        } else {
            transform_keys
        };
        Ok(higher_order(
            call,
            kernel,
            vec![lambda],
            data_type,
            call.arg(0)?.nullable,
        ))
    }));
    let two = Parameters::fixed([Accepts::Map, Accepts::Map, Accepts::Any]);
    registry.add(Function::rewrite("map_zip_with", two, zip_call));
}

/// The lambda's value for every entry of every map, and where the entries are.
fn per_entry(maps: &MapArray, lambdas: &[LambdaArgument]) -> Result<(ArrayRef, UInt64Array)> {
    let (mut picks, mut owners) = (vec![], vec![]);
    for row in 0..maps.len() {
        let span = maps.span(row).unwrap_or(0..0);
        owners.extend(std::iter::repeat_n(row as u64, span.len()));
        picks.extend(span.map(|at| at as u64));
    }
    let picks = UInt64Array::from(picks);
    let parameters = [
        take(maps.keys(), &picks, None)?,
        take(maps.values(), &picks, None)?,
    ];
    Ok((
        evaluate(lambda_at(lambdas, 0)?, &parameters, &owners)?,
        picks,
    ))
}

fn filter(batch: &Batch<'_>, lambdas: &[LambdaArgument]) -> Result<ArrayRef> {
    let maps = batch.maps(0)?;
    let (flags, _) = per_entry(&maps, lambdas)?;
    let flags = flags.as_boolean();
    let mut kept: Vec<u64> = vec![];
    let (mut lengths, mut valid, mut next) = (vec![], vec![], 0);
    for row in 0..batch.len() {
        let before = kept.len();
        for at in maps.span(row).unwrap_or(0..0) {
            if flags.is_valid(next) && flags.value(next) {
                kept.push(at as u64);
            }
            next += 1;
        }
        lengths.push(kept.len() - before);
        valid.push(maps.is_valid(row));
    }
    let kept = UInt64Array::from(kept);
    let (keys, values) = (
        take(maps.keys(), &kept, None)?,
        take(maps.values(), &kept, None)?,
    );
    assembled(batch.return_type(), keys, values, lengths, valid)
}

fn transform_values(batch: &Batch<'_>, lambdas: &[LambdaArgument]) -> Result<ArrayRef> {
    let maps = batch.maps(0)?;
    let (values, picks) = per_entry(&maps, lambdas)?;
    let keys = take(maps.keys(), &picks, None)?;
    let lengths = (0..batch.len())
        .map(|row| maps.span(row).map_or(0, |s| s.len()))
        .collect();
    let valid = (0..batch.len()).map(|row| maps.is_valid(row)).collect();
    assembled(batch.return_type(), keys, values, lengths, valid)
}

fn with_keys(batch: &Batch<'_>, lambdas: &[LambdaArgument], last_wins: bool) -> Result<ArrayRef> {
    let maps = batch.maps(0)?;
    let (keys, _) = per_entry(&maps, lambdas)?;
    let mut out = Maps::new(keys, Arc::clone(maps.values()), last_wins)?;
    let mut next = 0;
    for row in 0..batch.len() {
        let Some(span) = maps.span(row) else {
            out.end_null();
            continue;
        };
        for at in span {
            out.push(next, at)?;
            next += 1;
        }
        out.end();
    }
    out.finish(batch.return_type())
}

fn transform_keys(batch: &Batch<'_>, lambdas: &[LambdaArgument]) -> Result<ArrayRef> {
    with_keys(batch, lambdas, false)
}

fn transform_keys_last(batch: &Batch<'_>, lambdas: &[LambdaArgument]) -> Result<ArrayRef> {
    with_keys(batch, lambdas, true)
}

fn zip_call(call: &Call<'_>) -> Result<TypedExpr> {
    let ((k1, v1), (k2, v2)) = (fields(call, 0)?, fields(call, 1)?);
    let Some(key) = coercion::wider(&k1.0, &k2.0, call.context.eval.ansi) else {
        return Err(call.mismatch(
            "MAP_ZIP_WITH_DIFF_TYPES",
            &[
                ("functionName", &quoted_id(&call.shown)),
                (
                    "leftType",
                    &crate::error::quoted(crate::types::sql_name(&k1.0)),
                ),
                (
                    "rightType",
                    &crate::error::quoted(crate::types::sql_name(&k2.0)),
                ),
            ],
        ));
    };
    let context = &call.context.eval;
    let args = vec![
        coerce(
            call.arg(0)?.clone(),
            &map(key.clone(), v1.0.clone(), v1.1),
            context,
        )?,
        coerce(
            call.arg(1)?.clone(),
            &map(key.clone(), v2.0.clone(), v2.1),
            context,
        )?,
    ];
    let lambda = call.bind(0, &[(key.clone(), false), (v1.0, true), (v2.0, true)])?;
    let data_type = map(key, lambda.body.data_type.clone(), lambda.body.nullable);
    let inner = with_args(call, args);
    Ok(higher_order(
        &inner,
        zip_with,
        vec![lambda],
        data_type,
        call.any_nullable(),
    ))
}

/// Keys of the left map come first, then those that only the right map has.
fn zip_with(batch: &Batch<'_>, lambdas: &[LambdaArgument]) -> Result<ArrayRef> {
    let (left, right) = (batch.maps(0)?, batch.maps(1)?);
    let right_keys = relabel(right.keys(), left.keys().data_type())?;
    let converter = RowConverter::new(vec![SortField::new(left.keys().data_type().clone())])?;
    let a_rows = converter.convert_columns(&[comparable(left.keys())?])?;
    let b_rows = converter.convert_columns(&[comparable(&right_keys)?])?;
    let mut keys = Gathered::new(vec![Arc::clone(left.keys()), right_keys], batch.len());
    let (mut from_left, mut from_right): (Vec<Option<u64>>, Vec<Option<u64>>) = (vec![], vec![]);
    let (mut owners, mut lengths, mut valid) = (vec![], vec![], vec![]);
    for row in 0..batch.len() {
        let before = owners.len();
        if let (Some(a), Some(b)) = (left.span(row), right.span(row)) {
            let mut others: HashMap<Row<'_>, usize> =
                b.clone().map(|at| (b_rows.row(at), at)).collect();
            for at in a {
                keys.push(0, at);
                from_left.push(Some(at as u64));
                from_right.push(others.remove(&a_rows.row(at)).map(|at| at as u64));
                owners.push(row as u64);
            }
            for at in b.filter(|at| others.contains_key(&b_rows.row(*at))) {
                keys.push(1, at);
                from_left.push(None);
                from_right.push(Some(at as u64));
                owners.push(row as u64);
            }
            valid.push(true);
        } else {
            valid.push(false);
        }
        lengths.push(owners.len() - before);
    }
    let Some((key, _)) = crate::types::map_fields(batch.return_type()) else {
        return Err(SparkError::internal("zipped maps are a map"));
    };
    let keys = keys.parts(key.data_type())?.0;
    let parameters = [
        Arc::clone(&keys),
        take(left.values(), &UInt64Array::from(from_left), None)?,
        take(right.values(), &UInt64Array::from(from_right), None)?,
    ];
    let values = evaluate(lambda_at(lambdas, 0)?, &parameters, &owners)?;
    assembled(batch.return_type(), keys, values, lengths, valid)
}
