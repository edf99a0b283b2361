//! Functions whose lambda depends on its own earlier results: `aggregate` and `array_sort`.
//!
//! All arrays of a batch advance together, one step at a time, so that a lambda is evaluated once per step and not once per
//! element.
use std::{ops::Range, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, UInt64Array, make_comparator, new_null_array},
    compute::{SortOptions, interleave, take},
    datatypes::{DataType, Int32Type},
};
use datafusion::logical_expr::{LambdaArgument, Volatility};

use super::{
    elements::{Gathered, Spans, comparable, item_of, require_order},
    lambdas::{call_text, evaluate, lambda_at, renamed, wrong_body},
};
use crate::{
    error::{Exception, Result, SparkError, quoted},
    functions::{Accepts, Batch, Call, Function, Kernel, Parameters, Registry, higher_order},
    typed::TypedExpr,
    types::{as_nullable, relabel, same_type},
};

pub(super) fn register(registry: &mut Registry) {
    let parameters =
        Parameters::fixed([Accepts::Array, Accepts::Any, Accepts::Any]).optional([Accepts::Any]);
    registry.add(Function::rewrite("aggregate", parameters, aggregate_call).alias("reduce"));
    let parameters = Parameters::fixed([Accepts::Array]).optional([Accepts::Any]);
    registry.add(Function::rewrite("array_sort", parameters, sort_call));
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

/// How Spark shows the order that is not written.
const DEFAULT_ORDER: &str = "lambdafunction((IF(((namedlambdavariable() IS NULL) AND (namedlambdavariable() IS NULL)), 0, \
    (IF((namedlambdavariable() IS NULL), 1, (IF((namedlambdavariable() IS NULL), -1, \
    (IF((namedlambdavariable() < namedlambdavariable()), -1, (IF((namedlambdavariable() > namedlambdavariable()), 1, \
    0)))))))))), namedlambdavariable(), namedlambdavariable())";

fn sort_call(call: &Call<'_>) -> Result<TypedExpr> {
    let array = call.arg(0)?;
    let (data_type, nullable) = (array.data_type.clone(), array.nullable);
    let element = item_of(call, 0)?;
    if call.lambdas.is_empty() {
        require_order(call, &element.0)?;
        let name = format!("{}({}, {DEFAULT_ORDER})", call.shown, array.name);
        let kernel = Kernel::Plain(sort);
        return Ok(call
            .kernel_with(
                "array_sort",
                kernel,
                data_type,
                nullable,
                Volatility::Immutable,
            )
            .named(name));
    }
    let comparator = call.bind(0, &[element.clone(), element])?;
    if comparator.body.data_type != DataType::Int32 {
        return Err(SparkError::analysis(
            "DATATYPE_MISMATCH.UNEXPECTED_RETURN_TYPE",
            &[
                ("sqlExpr", &quoted(call_text(call, &[&comparator]))),
                ("functionName", "`lambdafunction`"),
                ("expectedType", "\"INT\""),
                ("actualType", &comparator.body.type_sql()),
            ],
        ));
    }
    let typed = higher_order(call, sort_by, vec![comparator.clone()], data_type, nullable);
    Ok(renamed(typed, call, &[&comparator]))
}

/// Smallest first, NULLs last.
fn sort(batch: &Batch<'_>) -> Result<ArrayRef> {
    let lists = batch.lists(0)?;
    let values = comparable(lists.values())?;
    let compare = make_comparator(
        &values,
        &values,
        SortOptions {
            descending: false,
            nulls_first: false,
        },
    )?;
    let orders = (0..batch.len()).map(|row| {
        let mut order: Vec<usize> = lists.span(row)?.collect();
        order.sort_by(|a, b| compare(*a, *b));
        Some(order)
    });
    arranged(batch, orders)
}

fn arranged(
    batch: &Batch<'_>,
    orders: impl Iterator<Item = Option<Vec<usize>>>,
) -> Result<ArrayRef> {
    let mut out = Gathered::new(vec![Arc::clone(batch.lists(0)?.values())], batch.len());
    for order in orders {
        match order {
            Some(order) => {
                order.into_iter().for_each(|at| out.push(0, at));
                out.end();
            }
            None => out.end_null(),
        }
    }
    out.finish(batch.return_type())
}

/// Two sorted stretches of one row's order that become one.
struct Merge {
    row: usize,
    left: Range<usize>,
    right: Range<usize>,
    merged: Vec<usize>,
}

/// A stable merge sort of all arrays in step: each round asks the comparator once for every merge under way.
fn sort_by(batch: &Batch<'_>, lambdas: &[LambdaArgument]) -> Result<ArrayRef> {
    let lists = batch.lists(0)?;
    let comparator = lambda_at(lambdas, 0)?;
    let mut orders: Vec<Option<Vec<usize>>> = (0..batch.len())
        .map(|row| lists.span(row).map(Iterator::collect))
        .collect();
    let longest = orders.iter().flatten().map(Vec::len).max().unwrap_or(0);
    let mut width = 1;
    while width < longest {
        let mut merges = vec![];
        for (row, order) in orders.iter().enumerate() {
            let length = order.as_ref().map_or(0, Vec::len);
            for start in (0..length).step_by(width * 2) {
                let middle = (start + width).min(length);
                let end = (middle + width).min(length);
                merges.push(Merge {
                    row,
                    left: start..middle,
                    right: middle..end,
                    merged: vec![],
                });
            }
        }
        merge_all(&mut merges, &orders, lists.values(), comparator)?;
        let mut next: Vec<Option<Vec<usize>>> =
            orders.iter().map(|o| o.as_ref().map(|_| vec![])).collect();
        for merge in merges {
            if let Some(Some(order)) = next.get_mut(merge.row) {
                order.extend(merge.merged);
            }
        }
        orders = next;
        width *= 2;
    }
    arranged(batch, orders.into_iter())
}

fn merge_all(
    merges: &mut [Merge],
    orders: &[Option<Vec<usize>>],
    values: &ArrayRef,
    comparator: &LambdaArgument,
) -> Result<()> {
    let element = |row: usize, at: usize| orders.get(row)?.as_ref()?.get(at).copied();
    loop {
        let (mut pairs, mut owners, mut asked) = ((vec![], vec![]), vec![], vec![]);
        for (index, merge) in merges.iter_mut().enumerate() {
            if !merge.left.is_empty() && !merge.right.is_empty() {
                let (a, b) = (
                    element(merge.row, merge.left.start),
                    element(merge.row, merge.right.start),
                );
                pairs.0.push(a.map(|at| at as u64));
                pairs.1.push(b.map(|at| at as u64));
                owners.push(merge.row as u64);
                asked.push(index);
            } else {
                let rest = merge.left.by_ref().chain(merge.right.by_ref());
                merge
                    .merged
                    .extend(rest.filter_map(|at| element(merge.row, at)));
            }
        }
        if asked.is_empty() {
            return Ok(());
        }
        let left = take(values, &UInt64Array::from(pairs.0), None)?;
        let right = take(values, &UInt64Array::from(pairs.1), None)?;
        let answers = evaluate(
            comparator,
            &[Arc::clone(&left), Arc::clone(&right)],
            &owners,
        )?;
        let answers = answers.as_primitive::<Int32Type>();
        for (at, index) in asked.into_iter().enumerate() {
            if answers.is_null(at) {
                return Err(undecided(&left.slice(at, 1), &right.slice(at, 1)));
            }
            let Some(merge) = merges.get_mut(index) else {
                continue;
            };
            let side = if answers.value(at) <= 0 {
                &mut merge.left
            } else {
                &mut merge.right
            };
            let next = side.next().and_then(|at| element(merge.row, at));
            merge.merged.extend(next);
        }
    }
}

/// A comparator must decide.
fn undecided(left: &ArrayRef, right: &ArrayRef) -> SparkError {
    let text = |value: &ArrayRef| {
        crate::cast::display_strings(value, crate::cast::ToStringStyle::Cast, &Default::default())
            .ok()
            .filter(|t| t.is_valid(0))
            .map_or_else(|| "NULL".to_string(), |t| t.value(0).to_string())
    };
    let (first, second) = (text(left), text(right));
    let message = format!(
        "[COMPARATOR_RETURNS_NULL] The comparator has returned a NULL for a comparison between {first} and {second}. It \
         should return a positive integer for \"greater than\", 0 for \"equal\" and a negative integer for \"less than\". To \
         revert to deprecated behavior where NULL is treated as 0 (equal), you must set \
         \"spark.sql.legacy.allowNullComparisonResultInArraySort\" to \"true\". SQLSTATE: 22004"
    );
    let parameters = [
        ("firstValue", first.as_str()),
        ("secondValue", second.as_str()),
    ];
    SparkError::worded(
        Exception::Spark,
        "COMPARATOR_RETURNS_NULL",
        Some("22004"),
        &parameters,
        message,
    )
}
