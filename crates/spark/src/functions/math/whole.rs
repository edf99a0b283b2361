//! Functions with whole results: `factorial`, `width_bucket`.
use arrow::{
    array::ArrayRef,
    datatypes::{DataType, DurationMicrosecondType, Float64Type, Int64Type, IntervalYearMonthType},
};

use crate::{
    error::Result,
    functions::{Accepts, Batch, Function, Registry, Returns, rows::Rows},
};

pub(super) fn register(registry: &mut Registry) {
    let long = || Returns::Nullable(DataType::Int64);
    registry.add(Function::scalar(
        "factorial",
        [Accepts::INT],
        long(),
        factorial,
    ));
    let value = || Accepts::one_of([Accepts::DOUBLE, Accepts::YEAR_MONTH, Accepts::DAY_TIME]);
    let parameters = [value(), value(), value(), Accepts::LONG];
    registry.add(Function::scalar(
        "width_bucket",
        parameters,
        long(),
        width_bucket,
    ));
}

/// NULL beyond 20, where BIGINT ends.
fn factorial(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let numbers = rows.ints(0)?;
    rows.numbers::<Int64Type>(|row| {
        let n = i64::from(numbers.value(row));
        Ok((0..=20).contains(&n).then(|| (1..=n).product()))
    })
}

fn width_bucket(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let counts = rows.longs(3)?;
    let as_doubles = |index: usize| -> Result<Vec<f64>> {
        Ok(match rows.array(index)?.data_type() {
            DataType::Interval(_) => {
                let values = rows.primitive::<IntervalYearMonthType>(index)?;
                values.values().iter().map(|v| f64::from(*v)).collect()
            }
            DataType::Duration(_) => {
                let values = rows.primitive::<DurationMicrosecondType>(index)?;
                values.values().iter().map(|v| *v as f64).collect()
            }
            _ => rows.primitive::<Float64Type>(index)?.values().to_vec(),
        })
    };
    let (values, lows, highs) = (as_doubles(0)?, as_doubles(1)?, as_doubles(2)?);
    let at = |values: &[f64], row: usize| values.get(row).copied().unwrap_or(f64::NAN);
    rows.numbers::<Int64Type>(|row| {
        Ok(bucket(
            at(&values, row),
            at(&lows, row),
            at(&highs, row),
            counts.value(row),
        ))
    })
}

/// 0 before the first bucket, `count + 1` behind the last one; the bounds may run backwards.
fn bucket(value: f64, low: f64, high: f64, count: i64) -> Option<i64> {
    let fits = count > 0
        && count < i64::MAX
        && !value.is_nan()
        && low.is_finite()
        && high.is_finite()
        && low != high;
    if !fits {
        return None;
    }
    let (lower, upper) = (low.min(high), low.max(high));
    Some(if low < high {
        if value < lower {
            0
        } else if value >= upper {
            count + 1
        } else {
            (count as f64 * (value - lower) / (upper - lower)) as i64 + 1
        }
    } else if value > upper {
        0
    } else if value <= lower {
        count + 1
    } else {
        (count as f64 * (upper - value) / (upper - lower)) as i64 + 1
    })
}
