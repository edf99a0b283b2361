//! Arrays out of arrays: elements sorted, removed, added, cut, joined and zipped.
use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, StructArray, make_comparator},
    compute::SortOptions,
    datatypes::{DataType, Int32Type},
};
use datafusion::{common::ScalarValue, logical_expr::Volatility};
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::elements::{
    Gathered, Spans, comparable, item_of, null_test, require_order, with_common_element,
};
use crate::{
    error::{Result, SparkError},
    functions::{
        Accepts, Batch, Call, Function, Kernel, Parameters, PreparedKernel, Registry, Returns,
        rows::with_defaults,
    },
    typed::TypedExpr,
    types::{list, structure},
};

pub(super) fn register(registry: &mut Registry) {
    let sortable = Parameters::fixed([Accepts::Array]).optional([Accepts::BOOLEAN]);
    registry.add(Function::rewrite("sort_array", sortable, |call| {
        require_order(call, &item_of(call, 0)?.0).map_err(|_| {
            let array = call.arg(0).map(TypedExpr::type_sql).unwrap_or_default();
            call.mismatch(
                "INVALID_ORDERING_TYPE",
                &[("functionName", "`sort_array`"), ("dataType", &array)],
            )
        })?;
        same_array(&with_defaults(call, 2, [TypedExpr::boolean(true)]), sort)
    }));
    registry.add(Function::rewrite(
        "array_remove",
        Parameters::fixed([Accepts::Array, Accepts::Any]),
        |call| {
            let (call, element) = with_common_element(call, 1)?;
            require_order(&call, &element)?;
            let data_type = call.arg(0)?.data_type.clone();
            Ok(plain(&call, remove, data_type, call.any_nullable()))
        },
    ));
    for (name, kernel) in [
        ("array_append", append as fn(&Batch<'_>) -> Result<ArrayRef>),
        ("array_prepend", prepend),
    ] {
        registry.add(Function::rewrite(
            name,
            Parameters::fixed([Accepts::Array, Accepts::Any]),
            move |call| {
                let (call, element) = with_common_element(call, 1)?;
                let contains_null = item_of(&call, 0)?.1 || call.arg(1)?.nullable;
                Ok(plain(
                    &call,
                    kernel,
                    list(element, contains_null),
                    call.arg(0)?.nullable,
                ))
            },
        ));
    }
    let insertable = Parameters::fixed([Accepts::Array, Accepts::Any, Accepts::Any]);
    registry.add(Function::rewrite("array_insert", insertable, insert_call));
    registry.add(Function::rewrite(
        "array_compact",
        Parameters::fixed([Accepts::Array]),
        |call| {
            let element = item_of(call, 0)?.0;
            Ok(plain(
                call,
                compact,
                list(element, false),
                call.arg(0)?.nullable,
            ))
        },
    ));
    registry.add(Function::rewrite(
        "array_repeat",
        Parameters::fixed([Accepts::Any, Accepts::INT]),
        |call| {
            let (value, count) = (call.arg(0)?, call.arg(1)?);
            Ok(plain(
                call,
                repeat,
                list(value.data_type.clone(), value.nullable),
                count.nullable,
            ))
        },
    ));
    registry.add(Function::rewrite(
        "arrays_zip",
        Parameters::variadic(0, Accepts::Array),
        zip_call,
    ));
    registry.add(Function::rewrite(
        "flatten",
        Parameters::fixed([Accepts::Any]),
        |call| {
            let inner = match &call.arg(0)?.data_type {
                DataType::List(outer) if matches!(outer.data_type(), DataType::List(_)) => {
                    Some((outer.data_type().clone(), outer.is_nullable()))
                }
                _ => None,
            };
            let (data_type, contains_null) =
                inner.ok_or_else(|| call.unexpected_type(0, "\"ARRAY\" of \"ARRAY\""))?;
            Ok(plain(
                call,
                flatten,
                data_type,
                contains_null || call.arg(0)?.nullable,
            ))
        },
    ));
    registry.add(Function::scalar(
        "slice",
        [Accepts::Array, Accepts::INT, Accepts::INT],
        Returns::With(|call| Ok((call.arg(0)?.data_type.clone(), call.any_nullable()))),
        slice,
    ));
    let shuffled = Parameters::fixed([Accepts::Array]).optional([Accepts::LONG]);
    registry.add(Function::rewrite("shuffle", shuffled, shuffle_call));
}

fn plain(
    call: &Call<'_>,
    kernel: fn(&Batch<'_>) -> Result<ArrayRef>,
    data_type: DataType,
    nullable: bool,
) -> TypedExpr {
    call.kernel_with(
        call.called,
        Kernel::Plain(kernel),
        data_type,
        nullable,
        Volatility::Immutable,
    )
}

fn same_array(call: &Call<'_>, kernel: fn(&Batch<'_>) -> Result<ArrayRef>) -> Result<TypedExpr> {
    let array = call.arg(0)?;
    Ok(plain(call, kernel, array.data_type.clone(), array.nullable))
}

/// The arrays of argument 0 with the elements that `choose` puts out for each row.
fn gathered(
    batch: &Batch<'_>,
    mut choose: impl FnMut(usize, std::ops::Range<usize>, &mut Gathered) -> Result<bool>,
    more: Option<ArrayRef>,
) -> Result<ArrayRef> {
    let lists = batch.lists(0)?;
    let mut sources = vec![Arc::clone(lists.values())];
    sources.extend(more);
    let mut out = Gathered::new(sources, batch.len());
    for row in 0..batch.len() {
        let present = match lists.span(row) {
            Some(span) => choose(row, span, &mut out)?,
            None => false,
        };
        if present { out.end() } else { out.end_null() }
    }
    out.finish(batch.return_type())
}

/// NULLs come first, and last in descending order. Without an order (a NULL flag) NULL comes out.
fn sort(batch: &Batch<'_>) -> Result<ArrayRef> {
    let values = comparable(batch.lists(0)?.values())?;
    let compare = make_comparator(&values, &values, SortOptions::default())?;
    let ascending: BooleanArray = batch.booleans(1)?;
    let step = |row: usize, span: std::ops::Range<usize>, out: &mut Gathered| {
        if ascending.is_null(row) {
            return Ok(false);
        }
        let mut order: Vec<usize> = span.collect();
        match ascending.value(row) {
            true => order.sort_by(|a, b| compare(*a, *b)),
            false => order.sort_by(|a, b| compare(*b, *a)),
        }
        order.into_iter().for_each(|at| out.push(0, at));
        Ok(true)
    };
    gathered(batch, step, None)
}

fn remove(batch: &Batch<'_>) -> Result<ArrayRef> {
    let (values, unwanted) = (
        comparable(batch.lists(0)?.values())?,
        comparable(&batch.array(1)?)?,
    );
    let (is_null, unwanted_null) = (null_test(&values), null_test(&unwanted));
    let compare = make_comparator(&values, &unwanted, SortOptions::default())?;
    let step = |row: usize, span: std::ops::Range<usize>, out: &mut Gathered| {
        if unwanted_null(row) {
            return Ok(false);
        }
        for at in span.filter(|at| is_null(*at) || !compare(*at, row).is_eq()) {
            out.push(0, at);
        }
        Ok(true)
    };
    gathered(batch, step, None)
}

fn append(batch: &Batch<'_>) -> Result<ArrayRef> {
    let step = |row: usize, span: std::ops::Range<usize>, out: &mut Gathered| {
        out.extend(0, span);
        out.push(1, row);
        Ok(true)
    };
    gathered(batch, step, Some(batch.array(1)?))
}

fn prepend(batch: &Batch<'_>) -> Result<ArrayRef> {
    let step = |row: usize, span: std::ops::Range<usize>, out: &mut Gathered| {
        out.push(1, row);
        out.extend(0, span);
        Ok(true)
    };
    gathered(batch, step, Some(batch.array(1)?))
}

fn insert_call(call: &Call<'_>) -> Result<TypedExpr> {
    let at = call.arg(1)?;
    if !crate::types::is_integral(&at.data_type) || at.data_type == DataType::Int64 {
        return Err(call.unexpected_type(1, "\"INT\""));
    }
    let at = crate::cast::coerce(at.clone(), &DataType::Int32, &call.context.eval)?;
    let (mut call, element) = with_common_element(call, 2)?;
    if let Some(slot) = call.args.get_mut(1) {
        *slot = at;
    }
    let nullable = call.arg(0)?.nullable || call.arg(1)?.nullable;
    // A place beyond the end is reached through NULLs.
    Ok(plain(&call, insert, list(element, true), nullable))
}

/// Longest array that Spark makes.
const MAX_LENGTH: usize = 2_147_483_632;

fn check_length(length: usize, function: &str) -> Result<()> {
    if length <= MAX_LENGTH {
        return Ok(());
    }
    Err(SparkError::runtime(
        "COLLECTION_SIZE_LIMIT_EXCEEDED.PARAMETER",
        &[
            ("numberOfElements", &length.to_string()),
            ("maxRoundedArrayLength", &MAX_LENGTH.to_string()),
            ("functionName", &crate::error::quoted_id(function)),
            ("parameter", "`count`"),
        ],
    ))
}

fn insert(batch: &Batch<'_>) -> Result<ArrayRef> {
    let places = batch.primitive::<Int32Type>(1)?;
    let step = |row: usize, span: std::ops::Range<usize>, out: &mut Gathered| {
        if places.is_null(row) {
            return Ok(false);
        }
        let place = i64::from(places.value(row));
        let length = span.len() as i64;
        if place == 0 {
            return Err(SparkError::runtime("INVALID_INDEX_OF_ZERO", &[]));
        }
        check_length(place.unsigned_abs() as usize, "array_insert")?;
        let after = if place > 0 {
            place - 1
        } else {
            length + place + 1
        };
        if after > length {
            out.extend(0, span);
            (length..after).for_each(|_| out.push_null());
            out.push(1, row);
        } else if after < 0 {
            out.push(1, row);
            (after..0).for_each(|_| out.push_null());
            out.extend(0, span);
        } else {
            let cut = span.start + after as usize;
            out.extend(0, span.start..cut);
            out.push(1, row);
            out.extend(0, cut..span.end);
        }
        Ok(true)
    };
    gathered(batch, step, Some(batch.array(2)?))
}

fn compact(batch: &Batch<'_>) -> Result<ArrayRef> {
    let is_null = null_test(batch.lists(0)?.values());
    let step = |_: usize, span: std::ops::Range<usize>, out: &mut Gathered| {
        span.filter(|at| !is_null(*at))
            .for_each(|at| out.push(0, at));
        Ok(true)
    };
    gathered(batch, step, None)
}

fn repeat(batch: &Batch<'_>) -> Result<ArrayRef> {
    let counts = batch.primitive::<Int32Type>(1)?;
    let mut out = Gathered::new(vec![batch.array(0)?], batch.len());
    for row in 0..batch.len() {
        if counts.is_null(row) {
            out.end_null();
            continue;
        }
        let count = usize::try_from(counts.value(row)).unwrap_or(0);
        check_length(count, "array_repeat")?;
        (0..count).for_each(|_| out.push(0, row));
        out.end();
    }
    out.finish(batch.return_type())
}

/// Fields are named as the columns; others by their place from zero.
fn zip_call(call: &Call<'_>) -> Result<TypedExpr> {
    let mut fields = vec![];
    for (index, arg) in call.args.iter().enumerate() {
        let own = arg
            .output_name
            .clone()
            .or_else(|| arg.as_column().map(|_| arg.name.clone()));
        fields.push((
            own.unwrap_or_else(|| index.to_string()),
            item_of(call, index)?.0,
            true,
        ));
    }
    Ok(plain(
        call,
        zip,
        list(structure(fields), false),
        call.any_nullable(),
    ))
}

/// As long as the longest array; the others are filled with NULLs.
fn zip(batch: &Batch<'_>) -> Result<ArrayRef> {
    let DataType::List(item) = batch.return_type() else {
        return Err(SparkError::internal("zipped arrays are an array"));
    };
    let DataType::Struct(fields) = item.data_type() else {
        return Err(SparkError::internal("zipped elements are structs"));
    };
    let lists = (0..batch.arity())
        .map(|i| batch.lists(i))
        .collect::<Result<Vec<ListArray>>>()?;
    let longest: Vec<Option<usize>> = (0..batch.len())
        .map(|row| {
            let lengths: Option<Vec<usize>> =
                lists.iter().map(|l| Some(l.span(row)?.len())).collect();
            lengths.map(|l| l.into_iter().max().unwrap_or(0))
        })
        .collect();
    let mut columns = vec![];
    for (list, field) in lists.iter().zip(fields) {
        let mut column = Gathered::new(vec![Arc::clone(list.values())], batch.len());
        for (row, length) in longest.iter().enumerate() {
            let (Some(length), Some(span)) = (length, list.span(row)) else {
                continue;
            };
            let missing = length - span.len();
            column.extend(0, span);
            (0..missing).for_each(|_| column.push_null());
        }
        columns.push(column.parts(field.data_type())?.0);
    }
    let total = longest.iter().flatten().sum();
    let structs = StructArray::try_new_with_length(fields.clone(), columns, None, total)?;
    let mut out = Gathered::new(vec![Arc::new(structs)], batch.len());
    let mut start = 0;
    for length in longest {
        match length {
            Some(length) => {
                out.extend(0, start..start + length);
                start += length;
                out.end();
            }
            None => out.end_null(),
        }
    }
    out.finish(batch.return_type())
}

/// NULL if one of the arrays is.
fn flatten(batch: &Batch<'_>) -> Result<ArrayRef> {
    let outer = batch.lists(0)?;
    let inner = outer.values().as_list::<i32>();
    let mut out = Gathered::new(vec![Arc::clone(inner.values())], batch.len());
    for row in 0..batch.len() {
        let spans: Option<Vec<_>> = outer
            .span(row)
            .and_then(|s| s.map(|at| inner.span(at)).collect());
        match spans {
            Some(spans) => {
                spans.into_iter().for_each(|s| out.extend(0, s));
                out.end();
            }
            None => out.end_null(),
        }
    }
    out.finish(batch.return_type())
}

fn slice(batch: &Batch<'_>) -> Result<ArrayRef> {
    let (starts, lengths) = (
        batch.primitive::<Int32Type>(1)?,
        batch.primitive::<Int32Type>(2)?,
    );
    let step = |row: usize, span: std::ops::Range<usize>, out: &mut Gathered| {
        if starts.is_null(row) || lengths.is_null(row) {
            return Ok(false);
        }
        let (start, length) = (i64::from(starts.value(row)), i64::from(lengths.value(row)));
        if start == 0 {
            return Err(SparkError::runtime(
                "INVALID_PARAMETER_VALUE.START",
                &[("parameter", "`start`"), ("functionName", "`slice`")],
            ));
        }
        if length < 0 {
            return Err(SparkError::runtime(
                "INVALID_PARAMETER_VALUE.LENGTH",
                &[
                    ("parameter", "`length`"),
                    ("functionName", "`slice`"),
                    ("length", &length.to_string()),
                ],
            ));
        }
        let from = if start > 0 {
            start - 1
        } else {
            span.len() as i64 + start
        };
        if let Ok(from) = usize::try_from(from) {
            let from = (span.start + from).min(span.end);
            out.extend(0, from..(from + length as usize).min(span.end));
        }
        Ok(true)
    };
    gathered(batch, step, None)
}

/// Without a seed the order differs with every evaluation.
fn shuffle_call(call: &Call<'_>) -> Result<TypedExpr> {
    let seed = match call.args.get(1) {
        Some(_) => match call.constant(1, "seed")? {
            ScalarValue::Int64(seed) => seed,
            _ => None,
        },
        None => None,
    };
    let array = call.arg(0)?;
    let kernel = Kernel::Prepared(Arc::new(Shuffle { seed }));
    let (data_type, nullable) = (array.data_type.clone(), array.nullable);
    Ok(call.kernel_with("shuffle", kernel, data_type, nullable, Volatility::Volatile))
}

#[derive(Debug)]
struct Shuffle {
    seed: Option<i64>,
}

impl PreparedKernel for Shuffle {
    fn fingerprint(&self) -> String {
        format!("{:?}", self.seed)
    }

    fn evaluate(&self, batch: &Batch<'_>) -> Result<ArrayRef> {
        let mut random = match self.seed {
            Some(seed) => StdRng::seed_from_u64(seed as u64),
            None => StdRng::from_rng(&mut rand::rng()),
        };
        let step = |_: usize, span: std::ops::Range<usize>, out: &mut Gathered| {
            let mut order: Vec<usize> = span.collect();
            order.shuffle(&mut random);
            order.into_iter().for_each(|at| out.push(0, at));
            Ok(true)
        };
        gathered(batch, step, None)
    }
}
