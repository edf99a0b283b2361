//! Dates, timestamps and intervals as each other and as numbers.
use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, PrimitiveArray,
        TimestampMicrosecondArray,
    },
    datatypes::{
        DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float64Type, Int32Type,
        Int64Type, IntervalYearMonthType, TimestampMicrosecondType,
    },
};
use millstream_connectors::datetime::{MICROS_PER_DAY, MICROS_PER_SECOND};

use super::{
    EvalMode, cast_array, error,
    kernel::unknown,
    numeric::{decimal_text, rescale_value},
};
use crate::{
    error::{Result, SparkError, arithmetic_overflow},
    functions::EvalContext,
    types::{DAY_TIME, YEAR_MONTH, is_integral, is_numeric},
};

pub(super) fn cast_temporal(
    array: &ArrayRef,
    to: &DataType,
    eval: EvalMode,
    context: &EvalContext,
) -> Result<ArrayRef> {
    match (array.data_type(), to) {
        (DataType::Timestamp(_, Some(_)), DataType::Timestamp(_, None)) => {
            let zone = context.zone()?;
            let local =
                micros(array).unary::<_, TimestampMicrosecondType>(|v| zone.to_local_micros(v));
            Ok(Arc::new(local))
        }
        (DataType::Timestamp(_, None), DataType::Timestamp(_, Some(_))) => {
            let zone = context.zone()?;
            let instants = micros(array)
                .iter()
                .map(|v| v.and_then(|v| instant(v, &zone)));
            Ok(stamp(instants.collect(), to))
        }
        (DataType::Timestamp(_, zone), DataType::Date32) => {
            let session = match zone {
                Some(_) => Some(context.zone()?),
                None => None,
            };
            let days = micros(array).unary::<_, Date32Type>(|v| {
                let local = session.as_ref().map_or(v, |z| z.to_local_micros(v));
                local.div_euclid(MICROS_PER_DAY) as i32
            });
            Ok(Arc::new(days))
        }
        (DataType::Date32, DataType::Timestamp(_, Some(_))) => {
            let zone = context.zone()?;
            let days = array.as_primitive::<Date32Type>();
            let instants = days
                .iter()
                .map(|d| d.and_then(|d| zone.instant_of(i64::from(d), 0, 0)));
            Ok(stamp(instants.collect(), to))
        }
        (DataType::Date32, DataType::Timestamp(_, None)) => {
            let days = array.as_primitive::<Date32Type>();
            Ok(Arc::new(days.unary::<_, TimestampMicrosecondType>(|d| {
                i64::from(d) * MICROS_PER_DAY
            })))
        }
        (DataType::Timestamp(_, Some(_)), t) if is_numeric(t) || *t == DataType::Boolean => {
            timestamp_to_number(array, to, eval, context)
        }
        (f, DataType::Timestamp(_, Some(_))) if is_numeric(f) || *f == DataType::Boolean => {
            number_to_timestamp(array, to, eval)
        }
        // Dates have no number: ANSI refuses the cast, legacy mode gives NULL.
        (DataType::Date32, t) if is_numeric(t) || *t == DataType::Boolean => {
            Ok(arrow::array::new_null_array(to, array.len()))
        }
        (f, t) => Err(unknown(f, t)),
    }
}

fn micros(array: &ArrayRef) -> &TimestampMicrosecondArray {
    array.as_primitive::<TimestampMicrosecondType>()
}

fn instant(local: i64, zone: &millstream_connectors::datetime::Zone) -> Option<i64> {
    let in_day = local.rem_euclid(MICROS_PER_DAY);
    let (seconds, micros) = (in_day / MICROS_PER_SECOND, in_day % MICROS_PER_SECOND);
    zone.instant_of(local.div_euclid(MICROS_PER_DAY), seconds, micros)
}

fn stamp(values: TimestampMicrosecondArray, to: &DataType) -> ArrayRef {
    match to {
        DataType::Timestamp(_, Some(zone)) => Arc::new(values.with_timezone(Arc::clone(zone))),
        _ => Arc::new(values),
    }
}

fn timestamp_to_number(
    array: &ArrayRef,
    to: &DataType,
    eval: EvalMode,
    context: &EvalContext,
) -> Result<ArrayRef> {
    let instants = micros(array);
    match to {
        DataType::Float32 | DataType::Float64 => {
            let seconds: ArrayRef =
                Arc::new(instants.unary::<_, Float64Type>(|v| v as f64 / MICROS_PER_SECOND as f64));
            cast_array(&seconds, to, eval, context)
        }
        DataType::Decimal128(_, _) => {
            let exact = instants.unary::<_, Decimal128Type>(i128::from);
            let exact: ArrayRef = Arc::new(exact.with_precision_and_scale(20, 6)?);
            cast_array(&exact, to, eval, context)
        }
        DataType::Boolean => {
            let values = instants.values().iter().map(|v| *v != 0).collect();
            Ok(Arc::new(BooleanArray::new(
                values,
                instants.nulls().cloned(),
            )))
        }
        _ => {
            let seconds = instants.unary::<_, Int64Type>(|v| v.div_euclid(MICROS_PER_SECOND));
            let seconds: ArrayRef = Arc::new(seconds);
            cast_array(&seconds, to, eval, context)
        }
    }
}

fn number_to_timestamp(array: &ArrayRef, to: &DataType, eval: EvalMode) -> Result<ArrayRef> {
    let values: TimestampMicrosecondArray = match array.data_type() {
        DataType::Float32 | DataType::Float64 => {
            let seconds = arrow::compute::cast(array, &DataType::Float64)?;
            let convert = |v: f64| {
                if v.is_finite() {
                    return Ok(Some((v * MICROS_PER_SECOND as f64) as i64));
                }
                match eval {
                    EvalMode::Ansi => {
                        let text = crate::literal::double_text(v);
                        Err(error::invalid_input(&text, array.data_type(), to))
                    }
                    _ => Ok(None),
                }
            };
            let seconds = seconds.as_primitive::<Float64Type>();
            let values: Vec<Option<i64>> = seconds
                .iter()
                .map(|v| v.map_or(Ok(None), convert))
                .collect::<Result<_>>()?;
            values.into_iter().collect()
        }
        DataType::Decimal128(_, s) => {
            let s = *s;
            let seconds = array.as_primitive::<Decimal128Type>();
            let micros = |v: i128| {
                let text = || SparkError::internal(format!("{} seconds", decimal_text(v, s)));
                let exact = rescale_value(v, s, 6).ok_or_else(text)?;
                i64::try_from(exact).map_err(|_| arithmetic_overflow("long overflow", ""))
            };
            seconds
                .iter()
                .map(|v| v.map(micros).transpose())
                .collect::<Result<Vec<_>>>()?
                .into_iter()
                .collect()
        }
        _ => {
            let seconds = arrow::compute::cast(array, &DataType::Int64)?;
            seconds
                .as_primitive::<Int64Type>()
                .unary::<_, TimestampMicrosecondType>(|v| v.saturating_mul(MICROS_PER_SECOND))
        }
    };
    Ok(stamp(values, to))
}

/// Whole numbers count months or seconds.
pub(super) fn cast_interval(array: &ArrayRef, to: &DataType, eval: EvalMode) -> Result<ArrayRef> {
    let overflow = || arithmetic_overflow("overflow", "");
    match (array.data_type(), to) {
        (f, t) if is_integral(f) && *t == YEAR_MONTH => {
            let months = arrow::compute::cast(array, &DataType::Int64)?;
            let convert = |v: i64| i32::try_from(v).map_err(|_| overflow());
            let months = months.as_primitive::<Int64Type>();
            let values = months
                .iter()
                .map(|v| v.map(convert).transpose())
                .collect::<Result<Vec<_>>>()?;
            Ok(Arc::new(
                values
                    .into_iter()
                    .collect::<PrimitiveArray<IntervalYearMonthType>>(),
            ))
        }
        (f, t) if is_integral(f) && *t == DAY_TIME => {
            let seconds = arrow::compute::cast(array, &DataType::Int64)?;
            let convert = |v: i64| v.checked_mul(MICROS_PER_SECOND).ok_or_else(overflow);
            let seconds = seconds.as_primitive::<Int64Type>();
            let values = seconds
                .iter()
                .map(|v| v.map(convert).transpose())
                .collect::<Result<Vec<_>>>()?;
            Ok(Arc::new(
                values
                    .into_iter()
                    .collect::<PrimitiveArray<DurationMicrosecondType>>(),
            ))
        }
        (f, t) if *f == YEAR_MONTH && is_numeric(t) => {
            let months: ArrayRef = Arc::new(
                array
                    .as_primitive::<IntervalYearMonthType>()
                    .unary::<_, Int32Type>(|v| v),
            );
            super::numeric::cast_numeric(&months, to, eval)
        }
        (f, t) if *f == DAY_TIME && is_integral(t) => {
            let durations = array.as_primitive::<DurationMicrosecondType>();
            let seconds: ArrayRef =
                Arc::new(durations.unary::<_, Int64Type>(|v| v / MICROS_PER_SECOND));
            if *t == DataType::Int64 {
                return Ok(seconds);
            }
            super::numeric::cast_numeric(&seconds, to, eval)
        }
        (f, DataType::Decimal128(_, _)) if *f == DAY_TIME => {
            let durations = array.as_primitive::<DurationMicrosecondType>();
            let exact: Decimal128Array = durations
                .unary::<_, Decimal128Type>(i128::from)
                .with_precision_and_scale(20, 6)?;
            super::numeric::cast_numeric(&(Arc::new(exact) as ArrayRef), to, eval)
        }
        (f, t) => Err(unknown(f, t)),
    }
}
