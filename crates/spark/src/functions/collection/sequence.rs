//! `sequence`: numbers, dates and timestamps from a start to a stop, both included.
//!
//! Steps of months, and of days of calendar intervals, are taken on the wall clock of the session time zone, and always from
//! the start: from January 31st by months comes February 28th and then March 31st.
use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, ListArray},
    buffer::{NullBuffer, OffsetBuffer},
    compute::cast as arrow_cast,
    datatypes::{
        DataType, Date32Type, DurationMicrosecondType, Int64Type, IntervalMonthDayNanoType,
        IntervalYearMonthType, TimestampMicrosecondType,
    },
};
use datafusion::logical_expr::Volatility;
use millstream_connectors::datetime::{
    MICROS_PER_DAY, Zone, civil_from_days, days_from_civil, days_in_month,
};

use crate::{
    cast::coerce,
    coercion,
    error::{Exception, Result, SparkError},
    functions::{Accepts, Batch, Call, Function, Kernel, Parameters, Registry, rows::with_args},
    typed::TypedExpr,
    types::{is_datetime, is_integral, is_interval, is_timestamp, list},
};

pub(super) fn register(registry: &mut Registry) {
    let parameters = Parameters::fixed([Accepts::Any, Accepts::Any]).optional([Accepts::Any]);
    registry.add(Function::rewrite("sequence", parameters, sequence_call));
}

fn sequence_call(call: &Call<'_>) -> Result<TypedExpr> {
    let context = &call.context.eval;
    let (start, stop) = (call.arg(0)?, call.arg(1)?);
    let step = call.args.get(2);
    let common = coercion::wider(&start.data_type, &stop.data_type, context.ansi);
    let common = match (common, step) {
        (Some(t), Some(s)) if is_integral(&t) => coercion::wider(&t, &s.data_type, context.ansi),
        (t, _) => t,
    };
    let common = common
        .filter(|t| match step {
            Some(s) if is_datetime(t) => is_interval(&s.data_type),
            _ => is_integral(t) || is_datetime(t),
        })
        .ok_or_else(|| wrong_types(call))?;
    let mut args = vec![
        coerce(start.clone(), &common, context)?,
        coerce(stop.clone(), &common, context)?,
    ];
    if let Some(step) = step {
        let to = if is_integral(&common) {
            &common
        } else {
            &step.data_type
        };
        args.push(coerce(step.clone(), to, context)?);
    }
    let call = with_args(call, args);
    let kernel = Kernel::Plain(if is_integral(&common) { numbers } else { times });
    let nullable = call.any_nullable();
    Ok(call.kernel_with(
        "sequence",
        kernel,
        list(common, false),
        nullable,
        Volatility::Immutable,
    ))
}

fn wrong_types(call: &Call<'_>) -> SparkError {
    call.mismatch(
        "SEQUENCE_WRONG_INPUT_TYPES",
        &[
            ("functionName", "`sequence`"),
            (
                "startType",
                "(\"TIMESTAMP\" or \"TIMESTAMP_NTZ\" or \"DATE\")",
            ),
            (
                "stepType",
                "(\"INTERVAL\" or \"INTERVAL YEAR TO MONTH\" or \"INTERVAL DAY TO SECOND\")",
            ),
            ("otherStartType", "\"INTEGRAL\""),
        ],
    )
}

/// Longest array that Spark makes.
const MAX_LENGTH: i128 = 2_147_483_632;

/// Checks that `step` leads from `start` to `stop`; how many elements there are at most.
fn bounded(start: i64, stop: i64, step: i64) -> Result<i128> {
    if !(step > 0 && start <= stop || step < 0 && start >= stop || step == 0 && start == stop) {
        let message =
            format!("requirement failed: Illegal sequence boundaries: {start} to {stop} by {step}");
        return Err(SparkError::plain(Exception::IllegalArgument, message));
    }
    let length = if step == 0 {
        1
    } else {
        1 + (i128::from(stop) - i128::from(start)) / i128::from(step)
    };
    if length > MAX_LENGTH {
        return Err(SparkError::runtime(
            "COLLECTION_SIZE_LIMIT_EXCEEDED.PARAMETER",
            &[
                ("numberOfElements", &length.to_string()),
                ("maxRoundedArrayLength", &MAX_LENGTH.to_string()),
                ("functionName", "`sequence`"),
                ("parameter", "`start`, `stop`, `step`"),
            ],
        ));
    }
    Ok(length)
}

fn finished(
    batch: &Batch<'_>,
    values: Vec<i64>,
    lengths: Vec<usize>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    let DataType::List(item) = batch.return_type() else {
        return Err(SparkError::internal("a sequence is an array"));
    };
    let values: ArrayRef = Arc::new(Int64Array::from(values));
    let values = match item.data_type() {
        DataType::Date32 => arrow_cast(&arrow_cast(&values, &DataType::Int32)?, &DataType::Date32)?,
        other => arrow_cast(&values, other)?,
    };
    Ok(Arc::new(ListArray::try_new(
        Arc::clone(item),
        OffsetBuffer::from_lengths(lengths),
        values,
        nulls,
    )?))
}

fn numbers(batch: &Batch<'_>) -> Result<ArrayRef> {
    let long = |i: usize| -> Result<Int64Array> {
        Ok(arrow_cast(&batch.array(i)?, &DataType::Int64)?
            .as_primitive::<Int64Type>()
            .clone())
    };
    let (starts, stops) = (long(0)?, long(1)?);
    let steps = if batch.arity() > 2 {
        Some(long(2)?)
    } else {
        None
    };
    let nulls = batch.validity()?;
    let (mut values, mut lengths) = (vec![], vec![]);
    for row in 0..batch.len() {
        let before = values.len();
        if nulls.as_ref().is_none_or(|n| n.is_valid(row)) {
            let (start, stop) = (starts.value(row), stops.value(row));
            let default = if start <= stop { 1 } else { -1 };
            let step = steps.as_ref().map_or(default, |s| s.value(row));
            let length = bounded(start, stop, step)?;
            let mut next = Some(start);
            for _ in 0..length {
                let Some(value) = next else { break };
                values.push(value);
                next = value.checked_add(step);
            }
        }
        lengths.push(values.len() - before);
    }
    finished(batch, values, lengths, nulls)
}

/// A step in time.
#[derive(Clone, Copy)]
struct Step {
    months: i64,
    days: i64,
    micros: i64,
}

impl Step {
    /// Length as Spark estimates it, a month being 28 days.
    fn estimate(self) -> Option<i64> {
        let days = self.months.checked_mul(28)?.checked_add(self.days)?;
        days.checked_mul(MICROS_PER_DAY)?.checked_add(self.micros)
    }

    /// The time that many steps after `start`.
    fn after(self, start: i64, count: i64, zone: &Zone) -> Option<i64> {
        let micros = self.micros.checked_mul(count)?;
        if self.months == 0 && self.days == 0 {
            return start.checked_add(micros);
        }
        let local = zone.to_local_micros(start);
        let (year, month, day) = civil_from_days(local.div_euclid(MICROS_PER_DAY));
        let total =
            (year * 12 + i64::from(month) - 1).checked_add(self.months.checked_mul(count)?)?;
        let (year, month) = (total.div_euclid(12), total.rem_euclid(12) as u32 + 1);
        let day = days_from_civil(year, month, day.min(days_in_month(year, month)));
        let day = day.checked_add(self.days.checked_mul(count)?)?;
        let in_day = local.rem_euclid(MICROS_PER_DAY);
        zone.instant_of(day, in_day / 1_000_000, in_day % 1_000_000)?
            .checked_add(micros)
    }
}

fn step_at(steps: &ArrayRef, row: usize, dates: bool) -> Result<Step> {
    let step = match steps.data_type() {
        DataType::Duration(_) => {
            let micros = steps.as_primitive::<DurationMicrosecondType>().value(row);
            // Of dates, whole days are counted; of timestamps, lengths of time.
            let days = if dates { micros / MICROS_PER_DAY } else { 0 };
            Step {
                months: 0,
                days,
                micros: micros - days * MICROS_PER_DAY,
            }
        }
        DataType::Interval(arrow::datatypes::IntervalUnit::YearMonth) => {
            let months = i64::from(steps.as_primitive::<IntervalYearMonthType>().value(row));
            Step {
                months,
                days: 0,
                micros: 0,
            }
        }
        _ => {
            let interval = steps.as_primitive::<IntervalMonthDayNanoType>().value(row);
            let micros = interval.nanoseconds / 1000;
            Step {
                months: i64::from(interval.months),
                days: i64::from(interval.days),
                micros,
            }
        }
    };
    if dates && step.micros != 0 {
        let message = match steps.data_type() {
            DataType::Duration(_) => {
                "sequence step must be an interval day to second of day granularity if start and end values are dates"
            }
            _ => {
                "sequence step must be an interval of day granularity if start and end values are dates"
            }
        };
        let class = "_LEGACY_ERROR_TEMP_3242";
        return Err(SparkError::worded(
            Exception::IllegalArgument,
            class,
            None,
            &[],
            message.to_string(),
        ));
    }
    Ok(step)
}

fn times(batch: &Batch<'_>) -> Result<ArrayRef> {
    let (starts, stops) = (batch.array(0)?, batch.array(1)?);
    let dates = *starts.data_type() == DataType::Date32;
    let zone = if is_timestamp(starts.data_type()) {
        batch.context().zone()?
    } else {
        Zone::UTC
    };
    let micros = |array: &ArrayRef, row: usize| match dates {
        true => i64::from(array.as_primitive::<Date32Type>().value(row)) * MICROS_PER_DAY,
        false => array.as_primitive::<TimestampMicrosecondType>().value(row),
    };
    let steps = if batch.arity() > 2 {
        Some(batch.array(2)?)
    } else {
        None
    };
    let nulls = batch.validity()?;
    let (mut values, mut lengths) = (vec![], vec![]);
    for row in 0..batch.len() {
        let before = values.len();
        if nulls.as_ref().is_none_or(|n| n.is_valid(row)) {
            let (start, stop) = (micros(&starts, row), micros(&stops, row));
            let step = match &steps {
                Some(steps) => step_at(steps, row, dates)?,
                None => Step {
                    months: 0,
                    days: if start <= stop { 1 } else { -1 },
                    micros: 0,
                },
            };
            let estimate = step.estimate().unwrap_or(0);
            bounded(start, stop, estimate)?;
            for count in 0.. {
                let Some(time) = step.after(start, count, &zone) else {
                    break;
                };
                let inside = if estimate >= 0 {
                    time <= stop
                } else {
                    time >= stop
                };
                if !inside || (estimate == 0 && count > 0) {
                    break;
                }
                values.push(if dates {
                    time.div_euclid(MICROS_PER_DAY)
                } else {
                    time
                });
            }
        }
        lengths.push(values.len() - before);
    }
    finished(batch, values, lengths, nulls)
}
