//! `aggregate`, whose lambda depends on its own earlier results.
//!
//! All arrays of a batch advance together, one step at a time, so that a lambda is evaluated once per step and not once per
//! element.
use arrow::{
    array::{Array, ArrayRef, UInt64Array, new_null_array},
    compute::{interleave, take},
};
use datafusion::logical_expr::LambdaArgument;

use super::{
    elements::{Spans, item_of},
    lambdas::{call_text, evaluate, lambda_at, wrong_body},
};
use crate::{
    error::{Result, quoted},
    functions::{Accepts, Batch, Call, Function, Parameters, Registry, higher_order},
    typed::TypedExpr,
    types::{as_nullable, relabel, same_type},
};

pub(super) fn register(registry: &mut Registry) {
    let parameters =
        Parameters::fixed([Accepts::Array, Accepts::Any, Accepts::Any]).optional([Accepts::Any]);
    registry.add(Function::rewrite("aggregate", parameters, aggregate_call).alias("reduce"));
}

fn aggregate_call(call: &Call<'_>) -> Result<TypedExpr> {
    let (array, zero) = (call.arg(0)?, call.arg(1)?);
    let accumulator = (as_nullable(&zero.data_type), true);
    let merge = call.bind(0, &[accumulator.clone(), item_of(call, 0)?])?;
    if !same_type(&merge.body.data_type, &accumulator.0) {
        let required = quoted(crate::types::sql_name(&zero.data_type));
        return Err(wrong_body(call, &[&merge], &merge, 2, &required));
    }
    if call.lambdas.len() > 1 {
        let finish = call.bind(1, &[accumulator])?;
        let data_type = finish.body.data_type.clone();
        let nullable = array.nullable || finish.body.nullable;
        return Ok(higher_order(
            call,
            aggregate,
            vec![merge, finish],
            data_type,
            nullable,
        ));
    }
    let name = call_text(call, &[&merge]);
    let identity = "lambdafunction(namedlambdavariable(), namedlambdavariable())";
    let name = format!("{}, {identity})", name.strip_suffix(')').unwrap_or(&name));
    Ok(higher_order(call, aggregate, vec![merge], accumulator.0, true).named(name))
}

/// Every row's accumulator lies in the array of the last step that the row took part in.
fn aggregate(batch: &Batch<'_>, lambdas: &[LambdaArgument]) -> Result<ArrayRef> {
    let lists = batch.lists(0)?;
    let accumulator = as_nullable(batch.array(1)?.data_type());
    let zero = relabel(&batch.array(1)?, &accumulator)?;
    let mut steps = vec![zero];
    let mut places: Vec<(usize, usize)> = (0..batch.len()).map(|row| (0, row)).collect();
    let mut active: Vec<usize> = (0..batch.len()).collect();
    for step in 0.. {
        active.retain(|row| lists.span(*row).is_some_and(|s| s.len() > step));
        let Some(last) = steps.last().filter(|_| !active.is_empty()) else {
            break;
        };
        let before = active
            .iter()
            .filter_map(|row| places.get(*row))
            .map(|p| p.1 as u64);
        let elements = active
            .iter()
            .filter_map(|row| lists.span(*row))
            .map(|s| (s.start + step) as u64);
        let owners: Vec<u64> = active.iter().map(|row| *row as u64).collect();
        let parameters = [
            take(last, &before.collect::<UInt64Array>(), None)?,
            take(lists.values(), &elements.collect::<UInt64Array>(), None)?,
        ];
        let next = relabel(
            &evaluate(lambda_at(lambdas, 0)?, &parameters, &owners)?,
            &accumulator,
        )?;
        for (at, row) in active.iter().enumerate() {
            if let Some(place) = places.get_mut(*row) {
                *place = (steps.len(), at);
            }
        }
        steps.push(next);
    }
    let nothing = steps.len();
    steps.push(new_null_array(&accumulator, 1));
    let present: Vec<usize> = (0..batch.len())
        .filter(|row| lists.is_valid(*row))
        .collect();
    let refs: Vec<&dyn Array> = steps.iter().map(AsRef::as_ref).collect();
    let Some(finish) = lambdas.get(1) else {
        for (row, place) in places.iter_mut().enumerate() {
            if lists.is_null(row) {
                *place = (nothing, 0);
            }
        }
        return Ok(interleave(&refs, &places)?);
    };
    let picks: Vec<(usize, usize)> = present
        .iter()
        .filter_map(|row| places.get(*row).copied())
        .collect();
    let owners: Vec<u64> = present.iter().map(|row| *row as u64).collect();
    let accumulated = if picks.is_empty() {
        arrow::array::new_empty_array(&accumulator)
    } else {
        interleave(&refs, &picks)?
    };
    let results = evaluate(finish, &[accumulated], &owners)?;
    let mut spread: Vec<Option<u64>> = vec![None; batch.len()];
    for (at, row) in present.into_iter().enumerate() {
        if let Some(slot) = spread.get_mut(row) {
            *slot = Some(at as u64);
        }
    }
    Ok(take(&results, &UInt64Array::from(spread), None)?)
}
