//! `percentile`, `percentile_approx`, `percentile_cont`, `percentile_disc`, `median`, `mode`: answers that need all values of a group.
//!
//! They are the group's values, collected by `collect_list`, and a function of that array. The state therefore grows with
//! the rows of a group. `percentile_approx` is exact here, which is within any accuracy that is asked for.
use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, ListArray, UInt64Array, make_comparator},
    buffer::OffsetBuffer,
    compute::{SortOptions, take},
    datatypes::{DataType, Float64Type, Int64Type},
    row::{RowConverter, SortField},
};

use datafusion::common::ScalarValue;

use crate::{
    cast::coerce,
    error::{Result, SparkError, quoted, quoted_id},
    functions::{
        Accepts, Batch, Call, Function, Parameters, PreparedKernel, Registry, Resolution,
        rows::with_args,
    },
    typed::TypedExpr,
    types::list,
};

pub(super) fn register(registry: &mut Registry) {
    let exact = Parameters::fixed([Accepts::Numeric, Accepts::Any]).optional([Accepts::Integral]);
    registry.add(Function::aggregate("percentile", exact, percentile));
    registry.add(Function::aggregate(
        "median",
        Parameters::fixed([Accepts::Numeric]),
        |call| {
            let values = collected(
                call,
                coerce(call.arg(0)?.clone(), &DataType::Float64, &call.context.eval)?,
            )?;
            let kernel = Percentile {
                at: vec![0.5],
                rank: false,
                many: false,
                descending: false,
            };
            Ok(over(call, values, kernel, DataType::Float64).named(call.name()))
        },
    ));
    let values = Accepts::one_of([
        Accepts::Numeric,
        Accepts::DATE,
        Accepts::timestamp(),
        Accepts::TIMESTAMP_NTZ,
        Accepts::YEAR_MONTH,
        Accepts::DAY_TIME,
    ]);
    let approximate = Parameters::fixed([values, Accepts::Any]).optional([Accepts::Integral]);
    registry.add(
        Function::aggregate("percentile_approx", approximate, approximate_call)
            .alias("approx_percentile"),
    );
    let parameters = Parameters::none().optional([Accepts::Any, Accepts::BOOLEAN]);
    registry.add(Function::aggregate("mode", parameters, mode_call));
    for (name, rank) in [("percentile_cont", false), ("percentile_disc", true)] {
        registry.add(Function::aggregate(
            name,
            Parameters::fixed([Accepts::Any]),
            move |call| within_group(call, rank),
        ));
    }
}

/// `mode(value[, deterministic])`, `mode() WITHIN GROUP (ORDER BY value)`.
fn mode_call(call: &Call<'_>) -> Result<TypedExpr> {
    let (value, tie, name) = match (call.args.as_slice(), call.within_group.as_slice()) {
        ([], [order]) => {
            let tie = match order.sort.asc {
                true => Tie::Smallest,
                false => Tie::Largest,
            };
            (order.value.clone(), tie, None)
        }
        ([], _) => return Err(crate::functions::wrong_num_args(call.called, "[1, 2]", 0)),
        ([value, ..], _) => {
            let deterministic = match call.args.get(1) {
                Some(_) => call.constant(1, "deterministic")?,
                None => ScalarValue::Boolean(Some(false)),
            };
            let tie = match deterministic {
                ScalarValue::Boolean(Some(true)) => Tie::Smallest,
                ScalarValue::Boolean(Some(false)) => Tie::First,
                _ => {
                    let parameters = [("exprName", "deterministic")];
                    return Err(call.mismatch("UNEXPECTED_NULL", &parameters));
                }
            };
            let mut shown = with_args(call, vec![value.clone()]);
            shown.filter.clone_from(&call.filter);
            let name = (tie == Tie::First).then(|| shown.name());
            (value.clone(), tie, name)
        }
    };
    // Spark writes the smallest of equally frequent values as the last of a descending order.
    let name = name.unwrap_or_else(|| {
        let descending = if tie == Tie::Smallest { " DESC" } else { "" };
        format!("mode() WITHIN GROUP (ORDER BY {}{descending})", value.name)
    });
    let data_type = value.data_type.clone();
    let values = collected(call, value)?;
    Ok(over(call, values, Mode { tie }, data_type).named(name))
}

/// `percentile_cont(p) WITHIN GROUP (ORDER BY value)`; with `rank`, `percentile_disc`.
fn within_group(call: &Call<'_>, rank: bool) -> Result<TypedExpr> {
    let refused = |subclass: &str, parameters: &[(&str, &str)]| {
        let function = quoted_id(call.called);
        let mut all = vec![("funcName", function.as_str())];
        all.extend_from_slice(parameters);
        SparkError::analysis(&format!("INVALID_WITHIN_GROUP_EXPRESSION.{subclass}"), &all)
    };
    let order = match call.within_group.as_slice() {
        [order] => order,
        [] => return Err(refused("WITHIN_GROUP_MISSING", &[])),
        many => {
            let count = many.len().to_string();
            let parameters = [("expectedNum", "1"), ("actualNum", count.as_str())];
            return Err(refused("WRONG_NUM_ORDERINGS", &parameters));
        }
    };
    let percentage = call.arg(0)?.clone();
    let name = format!(
        "{}({}) WITHIN GROUP (ORDER BY {}{})",
        call.shown,
        percentage.name,
        order.value.name,
        if order.sort.asc { "" } else { " DESC" }
    );
    let checked = with_args(call, vec![order.value.clone(), percentage]);
    let (at, many) = percentages(&checked)?;
    let value = coerce(order.value.clone(), &DataType::Float64, &call.context.eval)?;
    let kernel = Percentile {
        at,
        rank,
        many,
        descending: !order.sort.asc,
    };
    let data_type = match many {
        true => list(DataType::Float64, false),
        false => DataType::Float64,
    };
    Ok(over(call, collected(call, value)?, kernel, data_type).named(name))
}

/// The group's values that are not NULL.
pub(super) fn collected(call: &Call<'_>, value: TypedExpr) -> Result<TypedExpr> {
    let mut inner = Call::new("collect_list", vec![value], call.context);
    inner.distinct = call.distinct;
    inner.filter.clone_from(&call.filter);
    inner.place.clone_from(&call.place);
    match Registry::builtin().call(inner)? {
        Resolution::Value(values) => Ok(values),
        _ => Err(SparkError::internal("collect_list is a value")),
    }
}

pub(super) fn over(
    call: &Call<'_>,
    values: TypedExpr,
    kernel: impl PreparedKernel + 'static,
    data_type: DataType,
) -> TypedExpr {
    let inner = Call::new(call.called, vec![values], call.context);
    inner.kernel(Arc::new(kernel), data_type, true)
}

/// The percentages of argument 1, and whether they are an array.
fn percentages(call: &Call<'_>) -> Result<(Vec<f64>, bool)> {
    let arg = call.arg(1)?;
    if !arg.is_foldable() {
        let kind = if matches!(arg.data_type, DataType::List(_)) {
            "ARRAY<DOUBLE>"
        } else {
            "DOUBLE"
        };
        return Err(call.mismatch(
            "NON_FOLDABLE_INPUT",
            &[
                ("inputName", "`percentage`"),
                ("inputType", &quoted(kind)),
                ("inputExpr", &arg.sql()),
            ],
        ));
    }
    let many = match &arg.data_type {
        DataType::List(item) => Some(item.is_nullable()),
        _ => None,
    };
    let target = many.map_or(DataType::Float64, |nullable| {
        list(DataType::Float64, nullable)
    });
    let folded =
        crate::fold::fold(&coerce(arg.clone(), &target, &call.context.eval)?.expr)?.to_array()?;
    let values = if many.is_some() {
        Arc::clone(folded.as_list::<i32>().values())
    } else {
        folded
    };
    let values = values.as_primitive::<Float64Type>();
    if values.null_count() > 0 {
        return Err(call.mismatch("UNEXPECTED_NULL", &[("exprName", "percentage")]));
    }
    let at = values.values().to_vec();
    if let Some(wrong) = at.iter().find(|p| !(0.0..=1.0).contains(*p)) {
        let shown = match many {
            None => format!("{wrong:?}D"),
            Some(_) => at
                .iter()
                .map(|p| format!("{p:?}"))
                .collect::<Vec<_>>()
                .join(","),
        };
        return Err(call.mismatch(
            "VALUE_OUT_OF_RANGE",
            &[
                ("exprName", "percentage"),
                ("valueRange", "[0.0, 1.0]"),
                ("currentValue", &shown),
            ],
        ));
    }
    Ok((at, many.is_some()))
}

/// Whether a frequency is the constant 1, which PySpark sends for none.
fn counts_once(frequency: &TypedExpr) -> Result<bool> {
    if !frequency.is_foldable() || !crate::types::is_integral(&frequency.data_type) {
        return Ok(false);
    }
    let value = crate::fold::fold(&frequency.expr)?.cast_to(&DataType::Int64)?;
    Ok(value == ScalarValue::Int64(Some(1)))
}

fn percentile(call: &Call<'_>) -> Result<TypedExpr> {
    let (at, many) = percentages(call)?;
    let mut shown = Call::new(call.called, call.args.clone(), call.context);
    shown.shown.clone_from(&call.shown);
    shown.distinct = call.distinct;
    shown.filter.clone_from(&call.filter);
    match call.args.get(2) {
        None => shown.args.push(TypedExpr::int(1)),
        Some(frequency) if counts_once(frequency)? => {}
        Some(_) => {
            return Err(SparkError::unsupported(format!(
                "{} with a frequency",
                quoted_id(call.called)
            )));
        }
    }
    let value = coerce(call.arg(0)?.clone(), &DataType::Float64, &call.context.eval)?;
    let values = collected(call, value)?;
    let data_type = if many {
        list(DataType::Float64, false)
    } else {
        DataType::Float64
    };
    Ok(over(
        call,
        values,
        Percentile {
            at,
            rank: false,
            many,
            descending: false,
        },
        data_type,
    )
    .named(shown.name()))
}

fn approximate_call(call: &Call<'_>) -> Result<TypedExpr> {
    let (at, many) = percentages(call)?;
    let mut shown = Call::new(call.called, call.args.clone(), call.context);
    shown.shown.clone_from(&call.shown);
    shown.distinct = call.distinct;
    shown.filter.clone_from(&call.filter);
    if call.args.len() > 2 {
        let accuracy = call
            .constant(2, "accuracy")?
            .cast_to(&DataType::Int64)?
            .to_array()?;
        let accuracy = accuracy.as_primitive::<Int64Type>();
        if accuracy.is_null(0) {
            return Err(call.mismatch("UNEXPECTED_NULL", &[("exprName", "accuracy")]));
        }
        if !(1..=i64::from(i32::MAX)).contains(&accuracy.value(0)) {
            let shown = format!("{}L", accuracy.value(0));
            return Err(call.mismatch(
                "VALUE_OUT_OF_RANGE",
                &[
                    ("exprName", "accuracy"),
                    ("valueRange", "(0, 2147483647]"),
                    ("currentValue", &shown),
                ],
            ));
        }
    } else {
        shown.args.push(TypedExpr::int(10_000));
    }
    let element = call.arg(0)?.data_type.clone();
    let values = collected(call, call.arg(0)?.clone())?;
    let data_type = if many { list(element, false) } else { element };
    Ok(over(
        call,
        values,
        Percentile {
            at,
            rank: true,
            many,
            descending: false,
        },
        data_type,
    )
    .named(shown.name()))
}

/// Percentiles of arrays: interpolated DOUBLEs, or with `rank` one of the values.
#[derive(Debug)]
struct Percentile {
    at: Vec<f64>,
    rank: bool,
    many: bool,
    /// Whether the first value is the largest.
    descending: bool,
}

impl PreparedKernel for Percentile {
    fn fingerprint(&self) -> String {
        let Self {
            at,
            rank,
            many,
            descending,
        } = self;
        format!("{at:?} rank={rank} many={many} descending={descending}")
    }

    fn evaluate(&self, batch: &Batch<'_>) -> Result<ArrayRef> {
        let lists = batch.lists(0)?;
        let compare = make_comparator(lists.values(), lists.values(), SortOptions::default())?;
        let mut ranks: Vec<Option<u64>> = vec![];
        let mut interpolated: Vec<Option<f64>> = vec![];
        let mut valid = vec![];
        for row in 0..batch.len() {
            let offsets = lists.value_offsets();
            let start = offsets.get(row).map_or(0, |o| *o as usize);
            let end = offsets.get(row + 1).map_or(start, |o| *o as usize);
            let mut order: Vec<usize> = (start..end).collect();
            order.sort_by(|a, b| match self.descending {
                true => compare(*b, *a),
                false => compare(*a, *b),
            });
            valid.push(!order.is_empty());
            for p in &self.at {
                if self.rank {
                    let rank = ((p * order.len() as f64).ceil() as usize).max(1) - 1;
                    ranks.push(order.get(rank).map(|at| *at as u64));
                } else {
                    interpolated.push(between(lists.values(), &order, *p));
                }
            }
        }
        let values: ArrayRef = match self.rank {
            true => take(lists.values(), &UInt64Array::from(ranks), None)?,
            false => Arc::new(arrow::array::Float64Array::from(interpolated)),
        };
        let DataType::List(item) = batch.return_type() else {
            return Ok(values);
        };
        let kept: UInt64Array = (0..values.len() as u64)
            .filter(|at| {
                valid
                    .get(*at as usize / self.at.len().max(1))
                    .copied()
                    .unwrap_or(false)
            })
            .map(Some)
            .collect();
        let values = take(&values, &kept, None)?;
        let lengths = valid.iter().map(|v| if *v { self.at.len() } else { 0 });
        let offsets = OffsetBuffer::from_lengths(lengths);
        let values = crate::types::relabel(&values, item.data_type())?;
        Ok(Arc::new(ListArray::try_new(
            Arc::clone(item),
            offsets,
            values,
            Some(valid.into()),
        )?))
    }
}

/// The value at a share of the way from the first to the last.
fn between(values: &ArrayRef, order: &[usize], share: f64) -> Option<f64> {
    let values = values.as_primitive_opt::<Float64Type>()?;
    let place = order.len().checked_sub(1)? as f64 * share;
    let (lower, higher) = (place.floor(), place.ceil());
    let low = values.value(*order.get(lower as usize)?);
    let high = values.value(*order.get(higher as usize)?);
    if lower == higher || low == high {
        return Some(low);
    }
    Some((higher - place) * low + (place - lower) * high)
}

/// Which of equally frequent elements is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tie {
    First,
    Smallest,
    Largest,
}

/// The most frequent element of an array.
#[derive(Debug)]
struct Mode {
    tie: Tie,
}

impl PreparedKernel for Mode {
    fn fingerprint(&self) -> String {
        format!("{:?}", self.tie)
    }

    fn evaluate(&self, batch: &Batch<'_>) -> Result<ArrayRef> {
        let lists = batch.lists(0)?;
        let converter =
            RowConverter::new(vec![SortField::new(lists.values().data_type().clone())])?;
        let rows = converter.convert_columns(std::slice::from_ref(lists.values()))?;
        let mut picks: Vec<Option<u64>> = vec![];
        for row in 0..batch.len() {
            let offsets = lists.value_offsets();
            let start = offsets.get(row).map_or(0, |o| *o as usize);
            let end = offsets.get(row + 1).map_or(start, |o| *o as usize);
            let mut counts: HashMap<_, (u64, usize)> = HashMap::new();
            for at in start..end {
                counts.entry(rows.row(at)).or_insert((0, at)).0 += 1;
            }
            let best = counts
                .into_iter()
                .max_by(|(a, (m, first)), (b, (n, second))| {
                    m.cmp(n).then_with(|| match self.tie {
                        Tie::First => second.cmp(first),
                        Tie::Smallest => b.cmp(a),
                        Tie::Largest => a.cmp(b),
                    })
                });
            picks.push(best.map(|(_, (_, at))| at as u64));
        }
        Ok(take(lists.values(), &UInt64Array::from(picks), None)?)
    }
}
