//! Arrays as sets: `array_distinct`, `array_union`, `array_intersect`, `array_except`, `arrays_overlap`.
//!
//! Elements stay in the order in which they first appear; NULL equals NULL, NaN equals NaN, and zeros have no sign.
use std::{collections::HashSet, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, BooleanArray, ListArray},
    datatypes::DataType,
    row::{Row, RowConverter, Rows, SortField},
};
use datafusion::logical_expr::Volatility;

use super::elements::{
    Gathered, Spans, comparable, item_of, null_test, require_order, with_common_arrays,
};
use crate::{
    error::Result,
    functions::{Accepts, Batch, Function, Kernel, Parameters, Registry},
    types::list,
};

pub(super) fn register(registry: &mut Registry) {
    registry.add(Function::rewrite(
        "array_distinct",
        Parameters::fixed([Accepts::Array]),
        |call| {
            require_order(call, &item_of(call, 0)?.0)?;
            let arg = call.arg(0)?;
            let (data_type, nullable) = (arg.data_type.clone(), arg.nullable);
            Ok(call.kernel_with(
                "array_distinct",
                Kernel::Plain(distinct),
                data_type,
                nullable,
                Volatility::Immutable,
            ))
        },
    ));
    type Nullability = fn(bool, bool) -> bool;
    for (name, kernel, contains_null) in [
        (
            "array_union",
            union as fn(&Batch<'_>) -> Result<ArrayRef>,
            (|l, r| l || r) as Nullability,
        ),
        ("array_intersect", intersect, |l, r| l && r),
        ("array_except", except, |l, _| l),
    ] {
        registry.add(Function::rewrite(
            name,
            Parameters::fixed([Accepts::Any, Accepts::Any]),
            move |call| {
                let (call, element) = with_common_arrays(call)?;
                let nullable = contains_null(item_of(&call, 0)?.1, item_of(&call, 1)?.1);
                let data_type = list(element, nullable);
                let any = call.any_nullable();
                Ok(call.kernel_with(
                    name,
                    Kernel::Plain(kernel),
                    data_type,
                    any,
                    Volatility::Immutable,
                ))
            },
        ));
    }
    registry.add(Function::rewrite(
        "arrays_overlap",
        Parameters::fixed([Accepts::Any, Accepts::Any]),
        |call| {
            let (call, _) = with_common_arrays(call)?;
            let nullable = call.any_nullable() || item_of(&call, 0)?.1 || item_of(&call, 1)?.1;
            let kernel = Kernel::Plain(overlap);
            Ok(call.kernel_with(
                "arrays_overlap",
                kernel,
                DataType::Boolean,
                nullable,
                Volatility::Immutable,
            ))
        },
    ));
}

fn keys(converter: &RowConverter, lists: &ListArray) -> Result<Rows> {
    Ok(converter.convert_columns(&[comparable(lists.values())?])?)
}

fn converter(lists: &ListArray) -> Result<RowConverter> {
    Ok(RowConverter::new(vec![SortField::new(
        lists.values().data_type().clone(),
    )])?)
}

fn distinct(batch: &Batch<'_>) -> Result<ArrayRef> {
    let lists = batch.lists(0)?;
    let keys = keys(&converter(&lists)?, &lists)?;
    let mut out = Gathered::new(vec![Arc::clone(lists.values())], batch.len());
    for row in 0..batch.len() {
        let Some(span) = lists.span(row) else {
            out.end_null();
            continue;
        };
        let mut seen: HashSet<Row<'_>> = HashSet::new();
        for at in span.filter(|at| seen.insert(keys.row(*at))) {
            out.push(0, at);
        }
        out.end();
    }
    out.finish(batch.return_type())
}

/// How two arrays become one: which elements of the left and of the right are kept, besides repetitions.
fn combine(batch: &Batch<'_>, keep_left: Option<bool>, with_right: bool) -> Result<ArrayRef> {
    let (left, right) = (batch.lists(0)?, batch.lists(1)?);
    let converter = converter(&left)?;
    let (left_keys, right_keys) = (keys(&converter, &left)?, keys(&converter, &right)?);
    let mut out = Gathered::new(
        vec![Arc::clone(left.values()), Arc::clone(right.values())],
        batch.len(),
    );
    for row in 0..batch.len() {
        let (Some(a), Some(b)) = (left.span(row), right.span(row)) else {
            out.end_null();
            continue;
        };
        let others: HashSet<Row<'_>> = match keep_left {
            Some(_) => b.clone().map(|at| right_keys.row(at)).collect(),
            None => HashSet::new(),
        };
        let mut seen: HashSet<Row<'_>> = HashSet::new();
        for at in a {
            let key = left_keys.row(at);
            if keep_left.is_none_or(|wanted| others.contains(&key) == wanted) && seen.insert(key) {
                out.push(0, at);
            }
        }
        if with_right {
            for at in b.filter(|at| seen.insert(right_keys.row(*at))) {
                out.push(1, at);
            }
        }
        out.end();
    }
    out.finish(batch.return_type())
}

fn union(batch: &Batch<'_>) -> Result<ArrayRef> {
    combine(batch, None, true)
}

fn intersect(batch: &Batch<'_>) -> Result<ArrayRef> {
    combine(batch, Some(true), false)
}

fn except(batch: &Batch<'_>) -> Result<ArrayRef> {
    combine(batch, Some(false), false)
}

/// NULL if no element is in both, but one has a NULL and neither is empty.
fn overlap(batch: &Batch<'_>) -> Result<ArrayRef> {
    let (left, right) = (batch.lists(0)?, batch.lists(1)?);
    let converter = converter(&left)?;
    let (left_keys, right_keys) = (keys(&converter, &left)?, keys(&converter, &right)?);
    let (left_null, right_null) = (null_test(left.values()), null_test(right.values()));
    let flags: BooleanArray = (0..batch.len())
        .map(|row| {
            let (mut a, b) = (left.span(row)?, right.span(row)?);
            let unknown = !a.is_empty()
                && !b.is_empty()
                && (a.clone().any(&left_null) || b.clone().any(&right_null));
            let others: HashSet<Row<'_>> = b
                .filter(|at| !right_null(*at))
                .map(|at| right_keys.row(at))
                .collect();
            let met = a.any(|at| !left_null(at) && others.contains(&left_keys.row(at)));
            if met {
                Some(true)
            } else {
                (!unknown).then_some(false)
            }
        })
        .collect();
    Ok(Arc::new(flags))
}
