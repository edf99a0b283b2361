//! `histogram_numeric(value, bins)`: Hive's streaming histogram.
//!
//! Every value becomes a bin of its own until there are too many; then the two closest become one at their weighted mean.
//! Of several closest pairs one is drawn, with the generator and seed that Spark uses, so that the bins are Spark's for
//! rows in the same order. The values of a group are collected first, as for percentiles.
use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array, ListArray, StructArray},
    buffer::OffsetBuffer,
    compute::cast,
    datatypes::{DataType, Field, Float64Type},
};
use datafusion::common::ScalarValue;

use super::{
    java_random::JavaRandom,
    percentiles::{collected, over},
};
use crate::{
    cast::coerce,
    error::{Result, SparkError},
    functions::{
        Accepts, Batch, Call, Function, Parameters, PreparedKernel, Registry, rows::with_args,
    },
    typed::TypedExpr,
    types::list,
};

pub(super) fn register(registry: &mut Registry) {
    let values = Accepts::one_of([
        Accepts::Numeric,
        Accepts::DATE,
        Accepts::timestamp(),
        Accepts::TIMESTAMP_NTZ,
        Accepts::YEAR_MONTH,
        Accepts::DAY_TIME,
    ]);
    let parameters = Parameters::fixed([values, Accepts::Integral]);
    registry.add(Function::aggregate("histogram_numeric", parameters, call));
}

fn call(call: &Call<'_>) -> Result<TypedExpr> {
    let bins = match call.constant(1, "nb")?.cast_to(&DataType::Int32)? {
        ScalarValue::Int32(Some(bins)) => bins,
        _ => return Err(call.mismatch("UNEXPECTED_NULL", &[("exprName", "nb")])),
    };
    let bins = usize::try_from(bins).ok().filter(|bins| *bins >= 2);
    let bins = bins.ok_or_else(|| {
        let shown = call.arg(1).map(|a| a.name.clone()).unwrap_or_default();
        call.mismatch(
            "VALUE_OUT_OF_RANGE",
            &[
                ("exprName", "nb"),
                ("valueRange", "[2, 2147483647]"),
                ("currentValue", &shown),
            ],
        )
    })?;
    let value = call.arg(0)?.clone();
    let x = value.data_type.clone();
    let as_number = with_args(call, vec![value.clone()]).kernel(
        Arc::new(AsDouble),
        DataType::Float64,
        value.nullable,
    );
    let as_number = coerce(as_number, &DataType::Float64, &call.context.eval)?;
    let values = collected(call, as_number)?;
    let fields = vec![
        Field::new("x", x, true),
        Field::new("y", DataType::Float64, true),
    ];
    let data_type = list(DataType::Struct(fields.into()), true);
    Ok(over(call, values, Histogram { bins }, data_type).named(call.name()))
}

/// A value as the number behind it: days, months, microseconds.
#[derive(Debug)]
struct AsDouble;

impl PreparedKernel for AsDouble {
    fn fingerprint(&self) -> String {
        "as double".to_string()
    }

    fn evaluate(&self, batch: &Batch<'_>) -> Result<ArrayRef> {
        let values = batch.array(0)?;
        let whole = match whole_type(values.data_type()) {
            Some(whole) => cast(&values, &whole)?,
            None => values,
        };
        Ok(cast(&whole, &DataType::Float64)?)
    }
}

/// The whole number that stands for a date, time or interval.
fn whole_type(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Date32 | DataType::Interval(_) => Some(DataType::Int32),
        DataType::Timestamp(_, _) | DataType::Duration(_) => Some(DataType::Int64),
        _ => None,
    }
}

#[derive(Debug)]
struct Histogram {
    bins: usize,
}

impl PreparedKernel for Histogram {
    fn fingerprint(&self) -> String {
        self.bins.to_string()
    }

    fn evaluate(&self, batch: &Batch<'_>) -> Result<ArrayRef> {
        let lists = batch.lists(0)?;
        let (mut x, mut y, mut lengths, mut valid) = (vec![], vec![], vec![], vec![]);
        for row in 0..batch.len() {
            let values = lists.value(row);
            let mut bins = Bins::new(self.bins);
            values
                .as_primitive::<Float64Type>()
                .iter()
                .flatten()
                .for_each(|value| bins.add(value));
            valid.push(!bins.bins.is_empty());
            lengths.push(bins.bins.len());
            for (at, height) in bins.bins {
                x.push(at);
                y.push(height);
            }
        }
        let DataType::List(item) = batch.return_type() else {
            return Err(SparkError::internal("a histogram is an array"));
        };
        let DataType::Struct(fields) = item.data_type() else {
            return Err(SparkError::internal("a bin is a struct"));
        };
        let x: ArrayRef = Arc::new(Float64Array::from(x));
        let x = match fields.first().map(|f| f.data_type()) {
            Some(DataType::Float64) | None => x,
            Some(other) => match whole_type(other) {
                Some(whole) => cast(&cast(&x, &whole)?, other)?,
                None => cast(&x, other)?,
            },
        };
        let bins = StructArray::try_new(
            fields.clone(),
            vec![x, Arc::new(Float64Array::from(y))],
            None,
        )?;
        Ok(Arc::new(ListArray::try_new(
            Arc::clone(item),
            OffsetBuffer::from_lengths(lengths),
            Arc::new(bins),
            Some(valid.into()),
        )?))
    }
}

/// Bins by place, with their heights.
struct Bins {
    max: usize,
    bins: Vec<(f64, f64)>,
    random: JavaRandom,
}

impl Bins {
    fn new(max: usize) -> Self {
        const SEED: i64 = 31183;
        Self {
            max,
            bins: vec![],
            random: JavaRandom::new(SEED),
        }
    }

    fn add(&mut self, value: f64) {
        let at = self.bins.partition_point(|(x, _)| *x < value);
        match self.bins.get_mut(at) {
            Some((x, height)) if *x == value => *height += 1.0,
            _ => {
                self.bins.insert(at, (value, 1.0));
                if self.bins.len() > self.max {
                    self.merge_closest();
                }
            }
        }
    }

    fn merge_closest(&mut self) {
        let (mut closest, mut smallest, mut ties) = (0, f64::INFINITY, 1.0);
        for (at, pair) in self.bins.windows(2).enumerate() {
            let [(left, _), (right, _)] = pair else {
                continue;
            };
            let distance = right - left;
            if at == 0 || distance < smallest {
                (closest, smallest, ties) = (at, distance, 1.0);
            } else if distance == smallest {
                ties += 1.0;
                if self.random.double() <= 1.0 / ties {
                    closest = at;
                }
            }
        }
        if closest + 1 < self.bins.len() {
            let (x, height) = self.bins.remove(closest + 1);
            if let Some(kept) = self.bins.get_mut(closest) {
                let total = kept.1 + height;
                kept.0 = kept.0 * (kept.1 / total) + x / total * height;
                kept.1 = total;
            }
        }
    }
}
