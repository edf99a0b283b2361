//! Looking into arrays: `size`, `array_contains`, `array_position`, `array_max`, `array_min`, `element_at`, `get`,
//! `array_join`.
use std::{cmp::Ordering, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, BooleanArray, Int32Array, Int64Array, StringBuilder, UInt64Array,
        make_comparator,
    },
    compute::{SortOptions, take},
    datatypes::{DataType, Int32Type},
};
use datafusion::{
    common::ScalarValue,
    logical_expr::{Expr, Volatility},
};

use super::elements::{Spans, comparable, item_of, null_test, require_order, with_common_element};
use crate::{
    cast::coerce,
    coercion,
    error::{Exception, Result, SparkError, quoted_id},
    functions::{
        Accepts, Batch, Call, Function, Kernel, Parameters, Registry, Returns, rows::with_args,
    },
    typed::TypedExpr,
    types::{is_integral, map_fields},
};

pub(super) fn register(registry: &mut Registry) {
    let array_or_map = || Parameters::fixed([Accepts::one_of([Accepts::Array, Accepts::Map])]);
    registry.add(Function::rewrite("size", array_or_map(), size_call).alias("cardinality"));
    registry.add(Function::scalar(
        "array_size",
        [Accepts::Array],
        Returns::Type(DataType::Int32),
        size,
    ));
    registry.add(Function::rewrite(
        "array_contains",
        Parameters::fixed([Accepts::Array, Accepts::Any]),
        |call| {
            refuse_void(call)?;
            let contains_null = item_of(call, 0)?.1;
            let (call, element) = with_common_element(call, 1)?;
            require_order(&call, &element)?;
            let nullable = contains_null || call.any_nullable();
            Ok(plain(&call, contains, DataType::Boolean, nullable))
        },
    ));
    registry.add(Function::rewrite(
        "array_position",
        Parameters::fixed([Accepts::Array, Accepts::Any]),
        |call| {
            let (call, element) = with_common_element(call, 1)?;
            require_order(&call, &element)?;
            Ok(plain(&call, position, DataType::Int64, call.any_nullable()))
        },
    ));
    for (name, kernel) in [
        ("array_max", array_max as fn(&Batch<'_>) -> Result<ArrayRef>),
        ("array_min", array_min),
    ] {
        registry.add(Function::rewrite(
            name,
            Parameters::fixed([Accepts::Array]),
            move |call| {
                let (element, _) = item_of(call, 0)?;
                require_order(call, &element)?;
                Ok(plain(call, kernel, element, true))
            },
        ));
    }
    for (name, tolerant) in [("element_at", false), ("try_element_at", true)] {
        registry.add(Function::rewrite(
            name,
            Parameters::fixed([Accepts::Any, Accepts::Any]),
            move |call| element_at_call(call, tolerant),
        ));
    }
    registry.add(Function::rewrite(
        "get",
        Parameters::fixed([Accepts::Array, Accepts::INT]),
        |call| {
            let element = item_of(call, 0)?.0;
            let nullable = nullable_at(call, true, 0)?;
            Ok(plain(call, get, element, nullable))
        },
    ));
    let joined = Parameters::fixed([Accepts::ArrayOf(Box::new(Accepts::STRING)), Accepts::STRING]);
    registry.add(Function::scalar(
        "array_join",
        joined.optional([Accepts::STRING]),
        Returns::Type(DataType::Utf8),
        join,
    ));
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

/// A value of type VOID is refused by some functions.
fn refuse_void(call: &Call<'_>) -> Result<()> {
    if call.args.iter().any(|a| a.data_type == DataType::Null) {
        return Err(call.mismatch("NULL_TYPE", &[("functionName", &quoted_id(&call.shown))]));
    }
    Ok(())
}

/// Without ANSI rules, `size(NULL)` is -1, as in Hive.
fn size_call(call: &Call<'_>) -> Result<TypedExpr> {
    let hive = !call.context.eval.ansi;
    let nullable = !hive && call.arg(0)?.nullable;
    let kernel = if hive { size_of_null } else { size };
    Ok(plain(call, kernel, DataType::Int32, nullable))
}

fn lengths(batch: &Batch<'_>) -> Result<Vec<Option<i32>>> {
    let array = batch.array(0)?;
    let spans: Box<dyn Spans> = match array.data_type() {
        DataType::Map(_, _) => Box::new(batch.maps(0)?),
        _ => Box::new(batch.lists(0)?),
    };
    Ok((0..batch.len())
        .map(|row| spans.span(row).and_then(|s| i32::try_from(s.len()).ok()))
        .collect())
}

fn size(batch: &Batch<'_>) -> Result<ArrayRef> {
    Ok(Arc::new(Int32Array::from(lengths(batch)?)))
}

fn size_of_null(batch: &Batch<'_>) -> Result<ArrayRef> {
    Ok(Arc::new(
        lengths(batch)?
            .into_iter()
            .map(|l| Some(l.unwrap_or(-1)))
            .collect::<Int32Array>(),
    ))
}

/// For each row, the first place at which the value is, counted from zero; the outer `None` where array or value is NULL.
fn found(batch: &Batch<'_>) -> Result<Vec<Option<Option<usize>>>> {
    let lists = batch.lists(0)?;
    let (values, wanted) = (comparable(lists.values())?, comparable(&batch.array(1)?)?);
    let (value_null, wanted_null) = (null_test(&values), null_test(&wanted));
    let compare = make_comparator(&values, &wanted, SortOptions::default())?;
    Ok((0..batch.len())
        .map(|row| {
            let mut span = lists.span(row).filter(|_| !wanted_null(row))?;
            Some(span.position_of(|at| !value_null(at) && compare(at, row).is_eq()))
        })
        .collect())
}

trait PositionOf {
    fn position_of(&mut self, test: impl Fn(usize) -> bool) -> Option<usize>;
}

impl PositionOf for std::ops::Range<usize> {
    fn position_of(&mut self, test: impl Fn(usize) -> bool) -> Option<usize> {
        let start = self.start;
        self.find(|at| test(*at)).map(|at| at - start)
    }
}

/// NULL if the value is not there but a NULL is.
fn contains(batch: &Batch<'_>) -> Result<ArrayRef> {
    let lists = batch.lists(0)?;
    let is_null = null_test(lists.values());
    let flags: BooleanArray = found(batch)?
        .into_iter()
        .enumerate()
        .map(|(row, place)| match place? {
            Some(_) => Some(true),
            None if lists.span(row)?.any(&is_null) => None,
            None => Some(false),
        })
        .collect();
    Ok(Arc::new(flags))
}

fn position(batch: &Batch<'_>) -> Result<ArrayRef> {
    let places: Int64Array = found(batch)?
        .into_iter()
        .map(|p| Some(p?.map_or(0, |at| at as i64 + 1)))
        .collect();
    Ok(Arc::new(places))
}

fn extreme(batch: &Batch<'_>, better: Ordering) -> Result<ArrayRef> {
    let lists = batch.lists(0)?;
    let values = comparable(lists.values())?;
    let is_null = null_test(&values);
    let compare = make_comparator(&values, &values, SortOptions::default())?;
    let best: UInt64Array = (0..batch.len())
        .map(|row| {
            lists
                .span(row)?
                .filter(|at| !is_null(*at))
                .reduce(|best, at| {
                    if compare(at, best) == better {
                        at
                    } else {
                        best
                    }
                })
        })
        .map(|at| at.map(|at| at as u64))
        .collect();
    Ok(take(lists.values(), &best, None)?)
}

fn array_max(batch: &Batch<'_>) -> Result<ArrayRef> {
    extreme(batch, Ordering::Greater)
}

fn array_min(batch: &Batch<'_>) -> Result<ArrayRef> {
    extreme(batch, Ordering::Less)
}

fn element_at_call(call: &Call<'_>, tolerant: bool) -> Result<TypedExpr> {
    let (value, key) = (call.arg(0)?, call.arg(1)?);
    if let Some((key_field, value_field)) = map_fields(&value.data_type) {
        let key_type = key_field.data_type().clone();
        let value_type = value_field.data_type().clone();
        let common = coercion::tightest(&key_type, &key.data_type, false)
            .filter(|t| crate::types::same_type(t, &key_type));
        let Some(common) = common else {
            return Err(call.mismatch(
                "MAP_FUNCTION_DIFF_TYPES",
                &[
                    ("functionName", &quoted_id(&call.shown)),
                    ("dataType", "\"MAP\""),
                    ("leftType", &value.type_sql()),
                    ("rightType", &key.type_sql()),
                ],
            ));
        };
        let key = coerce(key.clone(), &common, &call.context.eval)?;
        let call = with_args(call, vec![value.clone(), key]);
        return Ok(plain(&call, map_value, value_type, true));
    }
    let DataType::List(item) = &value.data_type else {
        return Err(call.unexpected_type(0, "(\"ARRAY\" or \"MAP\")"));
    };
    if !is_integral(&key.data_type) || key.data_type == DataType::Int64 {
        return Err(call.unexpected_type(1, "\"INT\""));
    }
    let element = item.data_type().clone();
    let nullable = nullable_at(call, tolerant || !call.context.eval.ansi, 1)?;
    let key = coerce(key.clone(), &DataType::Int32, &call.context.eval)?;
    let call = with_args(call, vec![value.clone(), key]);
    let strict = !tolerant && call.context.eval.ansi;
    Ok(plain(
        &call,
        if strict { element_at } else { try_element_at },
        element,
        nullable,
    ))
}

/// The value of each row's key in each row's map.
fn map_value(batch: &Batch<'_>) -> Result<ArrayRef> {
    let maps = batch.maps(0)?;
    let (keys, wanted) = (comparable(maps.keys())?, comparable(&batch.array(1)?)?);
    let wanted_null = null_test(&wanted);
    let compare = make_comparator(&keys, &wanted, SortOptions::default())?;
    let picks: UInt64Array = (0..batch.len())
        .map(|row| {
            let mut span = maps.span(row).filter(|_| !wanted_null(row))?;
            span.find(|entry| compare(*entry, row).is_eq())
                .map(|entry| entry as u64)
        })
        .collect();
    Ok(take(maps.values(), &picks, None)?)
}

/// Whether an element may be NULL. Spark looks into `array(…)` if the index is a constant, and gives up on other arrays.
fn nullable_at(call: &Call<'_>, tolerant: bool, base: i64) -> Result<bool> {
    let (array, index) = (call.arg(0)?, call.arg(1)?);
    let contains_null = item_of(call, 0)?.1;
    let constant = match index.as_literal() {
        Some(ScalarValue::Int32(Some(v))) => Some(i64::from(*v)),
        Some(ScalarValue::Int16(Some(v))) => Some(i64::from(*v)),
        Some(ScalarValue::Int8(Some(v))) => Some(i64::from(*v)),
        _ => None,
    };
    let Some(at) = constant else {
        return Ok(tolerant || array.nullable || contains_null || index.nullable);
    };
    let count = match &array.expr {
        Expr::ScalarFunction(f) if f.name() == "array" => f.args.len() as i64,
        _ => return Ok(true),
    };
    let inside = if base == 0 {
        (0..count).contains(&at)
    } else {
        at != 0 && at.abs() <= count
    };
    Ok(!inside || contains_null)
}

/// The elements of `lists` at the places that `place` gives for an index and a length.
fn pick(batch: &Batch<'_>, place: impl Fn(i64, i64) -> Result<Option<i64>>) -> Result<ArrayRef> {
    let lists = batch.lists(0)?;
    let indexes = batch.primitive::<Int32Type>(1)?;
    let mut picks: Vec<Option<u64>> = Vec::with_capacity(batch.len());
    for row in 0..batch.len() {
        let span = lists.span(row).filter(|_| indexes.is_valid(row));
        picks.push(match span {
            Some(span) => place(i64::from(indexes.value(row)), span.len() as i64)?
                .and_then(|at| u64::try_from(at).ok())
                .map(|at| span.start as u64 + at),
            None => None,
        });
    }
    Ok(take(lists.values(), &UInt64Array::from(picks), None)?)
}

/// Place of an index that counts from one, or from the end if negative.
fn from_one(index: i64, length: i64) -> Result<Option<i64>> {
    if index == 0 {
        return Err(SparkError::runtime("INVALID_INDEX_OF_ZERO", &[]));
    }
    let at = if index > 0 { index - 1 } else { length + index };
    Ok((0..length).contains(&at).then_some(at))
}

fn try_element_at(batch: &Batch<'_>) -> Result<ArrayRef> {
    pick(batch, from_one)
}

fn element_at(batch: &Batch<'_>) -> Result<ArrayRef> {
    pick(batch, |index, length| match from_one(index, length)? {
        Some(at) => Ok(Some(at)),
        None => Err(SparkError::new(
            Exception::ArrayIndexOutOfBounds,
            "INVALID_ARRAY_INDEX_IN_ELEMENT_AT",
            &[
                ("indexValue", &index.to_string()),
                ("arraySize", &length.to_string()),
            ],
        )),
    })
}

fn get(batch: &Batch<'_>) -> Result<ArrayRef> {
    pick(batch, |index, length| {
        Ok((0..length).contains(&index).then_some(index))
    })
}

/// NULL elements are left out, unless there is a replacement.
fn join(batch: &Batch<'_>) -> Result<ArrayRef> {
    let lists = batch.lists(0)?;
    let values = lists.values();
    let words = crate::types::relabel(values, &DataType::Utf8)?;
    let words = arrow::array::AsArray::as_string::<i32>(&words);
    let separators = batch.strings(1)?;
    let replacements = if batch.arity() > 2 {
        Some(batch.strings(2)?)
    } else {
        None
    };
    let mut out = StringBuilder::with_capacity(batch.len(), batch.len() * 16);
    let mut text = String::new();
    for row in 0..batch.len() {
        let missing = replacements.as_ref().is_some_and(|r| r.is_null(row));
        let Some(span) = lists
            .span(row)
            .filter(|_| separators.is_valid(row) && !missing)
        else {
            out.append_null();
            continue;
        };
        text.clear();
        let mut first = true;
        for at in span {
            let word = match (words.is_null(at), &replacements) {
                (false, _) => words.value(at),
                (true, Some(replacement)) => replacement.value(row),
                (true, None) => continue,
            };
            if !first {
                text.push_str(separators.value(row));
            }
            first = false;
            text.push_str(word);
        }
        out.append_value(&text);
    }
    Ok(Arc::new(out.finish()))
}
