//! Arithmetic of dates, timestamps and intervals.
//!
//! | expression | result |
//! |---|---|
//! | `date ± whole number`, `date ± interval of days` | DATE |
//! | `date ± finer day-time interval` | TIMESTAMP |
//! | `date ± year-month interval` | DATE |
//! | `timestamp ± interval` | the timestamp's type |
//! | `date − date`, `timestamp − timestamp` (either side a date) | day-time interval |
//! | `interval ± interval` of one kind | that kind |
//! | `interval × ÷ number` | the interval's kind |
//!
//! Months, and days of calendar intervals, are added on the wall clock of the session time zone; a day-time interval is a
//! length of time.
use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray},
    datatypes::{
        DataType, Date32Type, DurationMicrosecondType, Float64Type, Int32Type,
        IntervalMonthDayNanoType, IntervalYearMonthType, TimestampMicrosecondType,
    },
};
use datafusion::logical_expr::Volatility;
use millstream_connectors::datetime::{
    MICROS_PER_DAY, Zone, civil_from_days, days_from_civil, days_in_month,
};

use super::arithmetic::{Operator, datum, reduced};
use crate::{
    cast::coerce,
    error::{Exception, Result, SparkError, arithmetic_overflow},
    functions::{Batch, Call, Kernel},
    typed::TypedExpr,
    types::{
        CALENDAR, DAY_TIME, INTERVAL_FIELDS, Metadata, YEAR_MONTH, fields_of, fields_text,
        is_ansi_interval, is_datetime, is_integral, is_interval, is_numeric, is_timestamp,
        timestamp,
    },
};

/// The result where one side is a date, timestamp or interval; `None` where none is.
pub(super) fn operate(
    call: &Call<'_>,
    operator: Operator,
    name: &str,
) -> Result<Option<TypedExpr>> {
    let (left, right) = (call.arg(0)?, call.arg(1)?);
    let (l, r) = (&left.data_type, &right.data_type);
    if !is_datetime(l) && !is_datetime(r) && !is_interval(l) && !is_interval(r) {
        return Ok(None);
    }
    match operator {
        Operator::Add if is_datetime(r) && !is_datetime(l) => {
            shift(call, right.clone(), left.clone(), false)
        }
        Operator::Add if is_datetime(l) && !is_datetime(r) => {
            shift(call, left.clone(), right.clone(), false)
        }
        Operator::Subtract if is_datetime(l) && is_datetime(r) => difference(call, name).map(Some),
        Operator::Subtract if is_datetime(l) && *r == DataType::Utf8 => {
            difference(call, name).map(Some)
        }
        Operator::Subtract if is_datetime(r) && *l == DataType::Utf8 => {
            difference(call, name).map(Some)
        }
        Operator::Subtract if is_datetime(l) => shift(call, left.clone(), right.clone(), true),
        Operator::Add | Operator::Subtract
            if is_interval(l) && (l == r || *r == DataType::Null) =>
        {
            sum(call, operator, name).map(Some)
        }
        Operator::Multiply if is_interval(l) && is_scale(r) => {
            scaled(call, left.clone(), right.clone(), false, name).map(Some)
        }
        Operator::Multiply if is_interval(r) && is_scale(l) => {
            let name = format!("({} * {})", right.name, left.name);
            scaled(call, right.clone(), left.clone(), false, &name).map(Some)
        }
        Operator::Divide if is_interval(l) && is_scale(r) => {
            scaled(call, left.clone(), right.clone(), true, name).map(Some)
        }
        _ => Ok(None),
    }
}

fn is_scale(data_type: &DataType) -> bool {
    is_numeric(data_type) || matches!(data_type, DataType::Utf8 | DataType::Null)
}

fn kernel(
    call: &Call<'_>,
    name: &'static str,
    args: Vec<TypedExpr>,
    body: fn(&Batch<'_>) -> Result<ArrayRef>,
    data_type: DataType,
) -> TypedExpr {
    let nullable = args.iter().any(|a| a.nullable);
    let inner = Call {
        args,
        ..reduced(call)
    };
    inner.kernel_with(
        name,
        Kernel::Plain(body),
        data_type,
        nullable,
        Volatility::Immutable,
    )
}

/// The fields of a sum: from the first to the last of either side.
fn joint_fields(left: &TypedExpr, right: &TypedExpr) -> Metadata {
    let mut metadata = Metadata::new();
    let own = |value: &TypedExpr| fields_of(&value.data_type, fields(value));
    if let Some(((a, b), (c, d))) = own(left).zip(own(right))
        && let Some(text) = fields_text(&left.data_type, a.min(c), b.max(d))
    {
        metadata.insert(INTERVAL_FIELDS.to_string(), text);
    }
    metadata
}

/// Fields an interval was declared with: 0 day … 3 second.
fn fields(value: &TypedExpr) -> Option<&str> {
    value.metadata.get(INTERVAL_FIELDS).map(String::as_str)
}

/// `datetime ± amount`.
fn shift(
    call: &Call<'_>,
    when: TypedExpr,
    amount: TypedExpr,
    back: bool,
) -> Result<Option<TypedExpr>> {
    let sign = if back { "-" } else { "+" };
    let plain = format!("{} {sign} {}", when.name, amount.name);
    let context = &call.context.eval;
    let (date, data_type) = (when.data_type == DataType::Date32, when.data_type.clone());
    Ok(Some(match &amount.data_type {
        t if date && (is_integral(t) || matches!(t, DataType::Utf8 | DataType::Null)) => {
            let function = if back { "date_sub" } else { "date_add" };
            let name = format!("{function}({}, {})", when.name, amount.name);
            let amount = coerce(amount, &DataType::Int32, context)?;
            let body = if back { subtract_days } else { add_days };
            kernel(call, function, vec![when, amount], body, DataType::Date32).named(name)
        }
        t if date && *t == DAY_TIME && fields(&amount) == Some("day") => {
            let function = if back { "date_sub" } else { "date_add" };
            let name = format!(
                "{function}({}, extractansiintervaldays({}))",
                when.name, amount.name
            );
            let body = if back {
                subtract_whole_days
            } else {
                add_whole_days
            };
            kernel(
                call,
                "date_add_interval",
                vec![when, amount],
                body,
                DataType::Date32,
            )
            .named(name)
        }
        t if *t == DAY_TIME => {
            let (when, data_type) = if date {
                (coerce(when, &timestamp(), context)?, timestamp())
            } else {
                (when, data_type)
            };
            let (id, body): (_, fn(&Batch<'_>) -> Result<ArrayRef>) = if back {
                ("time_sub", subtract_duration)
            } else {
                ("time_add", add_duration)
            };
            kernel(call, id, vec![when, amount], body, data_type).named(plain)
        }
        t if *t == YEAR_MONTH => {
            let (id, body): (_, fn(&Batch<'_>) -> Result<ArrayRef>) = if back {
                ("months_sub", subtract_months)
            } else {
                ("months_add", add_months)
            };
            kernel(call, id, vec![when, amount], body, data_type).named(plain)
        }
        t if *t == CALENDAR => {
            let (id, body): (_, fn(&Batch<'_>) -> Result<ArrayRef>) = if back {
                ("interval_sub", subtract_calendar)
            } else {
                ("interval_add", add_calendar)
            };
            let typed = kernel(call, id, vec![when, amount], body, data_type);
            typed.named(plain)
        }
        _ => return Ok(None),
    }))
}

/// `time + calendar interval` for session windows: NULL if either is.
pub(crate) fn add_calendar_interval(call: &Call<'_>) -> Result<TypedExpr> {
    let (time, gap) = (call.arg(0)?.clone(), call.arg(1)?.clone());
    let data_type = time.data_type.clone();
    Ok(kernel(
        call,
        "interval_add",
        vec![time, gap],
        add_calendar,
        data_type,
    ))
}

/// `a − b` of dates and timestamps.
fn difference(call: &Call<'_>, name: &str) -> Result<TypedExpr> {
    let context = &call.context.eval;
    let (left, right) = (call.arg(0)?.clone(), call.arg(1)?.clone());
    let mut metadata = Metadata::new();
    let dates = left.data_type == DataType::Date32 && right.data_type == DataType::Date32;
    let mut typed = if dates {
        metadata.insert(INTERVAL_FIELDS.to_string(), "day".to_string());
        kernel(
            call,
            "subtract_dates",
            vec![left, right],
            subtract_dates,
            DAY_TIME,
        )
    } else {
        let instant = is_timestamp(&left.data_type) || is_timestamp(&right.data_type);
        let common =
            if instant || left.data_type == DataType::Utf8 || right.data_type == DataType::Utf8 {
                timestamp()
            } else {
                crate::types::TIMESTAMP_NTZ
            };
        let (left, right) = (
            coerce(left, &common, context)?,
            coerce(right, &common, context)?,
        );
        kernel(
            call,
            "subtract_timestamps",
            vec![left, right],
            subtract_timestamps,
            DAY_TIME,
        )
    };
    typed.metadata = metadata;
    Ok(typed.named(name))
}

fn sum(call: &Call<'_>, operator: Operator, name: &str) -> Result<TypedExpr> {
    let (left, right) = (call.arg(0)?.clone(), call.arg(1)?.clone());
    let data_type = left.data_type.clone();
    let right = coerce(right, &data_type, &call.context.eval)?;
    let metadata = joint_fields(&left, &right);
    let (id, body): (_, fn(&Batch<'_>) -> Result<ArrayRef>) = if operator == Operator::Add {
        ("+", add)
    } else {
        ("-", subtract)
    };
    let mut typed = kernel(call, id, vec![left, right], body, data_type);
    typed.metadata = metadata;
    Ok(typed.named(name))
}

fn scaled(
    call: &Call<'_>,
    interval: TypedExpr,
    factor: TypedExpr,
    divide: bool,
    name: &str,
) -> Result<TypedExpr> {
    let data_type = interval.data_type.clone();
    if !is_ansi_interval(&data_type) {
        return Err(SparkError::unsupported("multiplying calendar intervals"));
    }
    let factor = coerce(factor, &DataType::Float64, &call.context.eval)?;
    let (id, body): (_, fn(&Batch<'_>) -> Result<ArrayRef>) = if divide {
        ("/", divide_interval)
    } else {
        ("*", multiply_interval)
    };
    Ok(kernel(call, id, vec![interval, factor], body, data_type).named(name))
}

fn add(batch: &Batch<'_>) -> Result<ArrayRef> {
    let (l, r) = (datum(batch, 0)?, datum(batch, 1)?);
    arrow::compute::kernels::numeric::add(l.as_ref(), r.as_ref()).map_err(|_| interval_overflow())
}

fn subtract(batch: &Batch<'_>) -> Result<ArrayRef> {
    let (l, r) = (datum(batch, 0)?, datum(batch, 1)?);
    arrow::compute::kernels::numeric::sub(l.as_ref(), r.as_ref()).map_err(|_| interval_overflow())
}

fn interval_overflow() -> SparkError {
    SparkError::arithmetic("INTERVAL_ARITHMETIC_OVERFLOW.WITHOUT_SUGGESTION", &[])
}

fn multiply_interval(batch: &Batch<'_>) -> Result<ArrayRef> {
    scale_by(batch, |value, factor| Ok(value * factor))
}

fn divide_interval(batch: &Batch<'_>) -> Result<ArrayRef> {
    scale_by(batch, |value, divisor| {
        if divisor == 0.0 {
            Err(interval_by_zero())
        } else {
            Ok(value / divisor)
        }
    })
}

fn interval_by_zero() -> SparkError {
    SparkError::arithmetic("INTERVAL_DIVIDED_BY_ZERO", &[])
}

/// Rounded half up, as Spark rounds.
fn scale_by(batch: &Batch<'_>, op: fn(f64, f64) -> Result<f64>) -> Result<ArrayRef> {
    let factors: PrimitiveArray<Float64Type> = batch.primitive(1)?;
    if *batch.return_type() == YEAR_MONTH {
        let months: PrimitiveArray<IntervalYearMonthType> = batch.primitive(0)?;
        return pairs::<IntervalYearMonthType, _, _>(months.iter(), factors.iter(), |m, f| {
            let exact = op(f64::from(m), f)?.round();
            if exact.abs() > f64::from(i32::MAX) {
                Err(interval_overflow())
            } else {
                Ok(exact as i32)
            }
        });
    }
    let micros: PrimitiveArray<DurationMicrosecondType> = batch.primitive(0)?;
    pairs::<DurationMicrosecondType, _, _>(micros.iter(), factors.iter(), |m, f| {
        let exact = op(m as f64, f)?.round();
        if exact.abs() >= i64::MAX as f64 {
            Err(interval_overflow())
        } else {
            Ok(exact as i64)
        }
    })
}

fn pairs<T: ArrowPrimitiveType, A, B>(
    left: impl Iterator<Item = Option<A>>,
    right: impl Iterator<Item = Option<B>>,
    op: impl Fn(A, B) -> Result<T::Native>,
) -> Result<ArrayRef> {
    let values: Vec<Option<T::Native>> = left
        .zip(right)
        .map(|(l, r)| match (l, r) {
            (Some(l), Some(r)) => op(l, r).map(Some),
            _ => Ok(None),
        })
        .collect::<Result<_>>()?;
    Ok(Arc::new(values.into_iter().collect::<PrimitiveArray<T>>()))
}

fn date_overflow() -> SparkError {
    arithmetic_overflow("integer overflow", "")
}

fn time_overflow() -> SparkError {
    SparkError::new(
        Exception::Arithmetic,
        "DATETIME_OVERFLOW",
        &[("operation", "add an interval to a timestamp")],
    )
}

fn days_by(batch: &Batch<'_>, sign: i32) -> Result<ArrayRef> {
    let (dates, days) = (
        batch.primitive::<Date32Type>(0)?,
        batch.primitive::<Int32Type>(1)?,
    );
    pairs::<Date32Type, _, _>(dates.iter(), days.iter(), |d, n| {
        n.checked_mul(sign)
            .and_then(|n| d.checked_add(n))
            .ok_or_else(date_overflow)
    })
}

fn add_days(batch: &Batch<'_>) -> Result<ArrayRef> {
    days_by(batch, 1)
}

fn subtract_days(batch: &Batch<'_>) -> Result<ArrayRef> {
    days_by(batch, -1)
}

fn whole_days_by(batch: &Batch<'_>, sign: i64) -> Result<ArrayRef> {
    let (dates, lengths) = (
        batch.primitive::<Date32Type>(0)?,
        batch.primitive::<DurationMicrosecondType>(1)?,
    );
    pairs::<Date32Type, _, _>(dates.iter(), lengths.iter(), |d, n| {
        let days = i32::try_from(n / MICROS_PER_DAY * sign).map_err(|_| date_overflow())?;
        d.checked_add(days).ok_or_else(date_overflow)
    })
}

fn add_whole_days(batch: &Batch<'_>) -> Result<ArrayRef> {
    whole_days_by(batch, 1)
}

fn subtract_whole_days(batch: &Batch<'_>) -> Result<ArrayRef> {
    whole_days_by(batch, -1)
}

fn stamped(values: ArrayRef, batch: &Batch<'_>) -> Result<ArrayRef> {
    crate::types::relabel(&values, batch.return_type())
}

fn duration_by(batch: &Batch<'_>, sign: i64) -> Result<ArrayRef> {
    let times = batch.array(0)?;
    let times = times.as_primitive::<TimestampMicrosecondType>();
    let lengths = batch.primitive::<DurationMicrosecondType>(1)?;
    // Whole days of a day-time interval are 24 hours each.
    let shifted = pairs::<TimestampMicrosecondType, _, _>(times.iter(), lengths.iter(), |t, n| {
        n.checked_mul(sign)
            .and_then(|n| t.checked_add(n))
            .ok_or_else(time_overflow)
    })?;
    stamped(shifted, batch)
}

fn add_duration(batch: &Batch<'_>) -> Result<ArrayRef> {
    duration_by(batch, 1)
}

fn subtract_duration(batch: &Batch<'_>) -> Result<ArrayRef> {
    duration_by(batch, -1)
}

/// A date some months later, on the last day of the month if there is no such day.
fn plus_months(days: i64, months: i64) -> i64 {
    let (year, month, day) = civil_from_days(days);
    let total = year * 12 + i64::from(month) - 1 + months;
    let (year, month) = (total.div_euclid(12), total.rem_euclid(12) as u32 + 1);
    days_from_civil(year, month, day.min(days_in_month(year, month)))
}

fn months_by(batch: &Batch<'_>, sign: i64) -> Result<ArrayRef> {
    let months = batch.primitive::<IntervalYearMonthType>(1)?;
    if *batch.return_type() == DataType::Date32 {
        let dates = batch.primitive::<Date32Type>(0)?;
        return pairs::<Date32Type, _, _>(dates.iter(), months.iter(), |d, m| {
            i32::try_from(plus_months(i64::from(d), i64::from(m) * sign))
                .map_err(|_| date_overflow())
        });
    }
    let zone = clock(batch)?;
    let times = batch.array(0)?;
    let times = times.as_primitive::<TimestampMicrosecondType>();
    let shifted = pairs::<TimestampMicrosecondType, _, _>(times.iter(), months.iter(), |t, m| {
        on_wall_clock(t, &zone, i64::from(m) * sign, 0, 0).ok_or_else(time_overflow)
    })?;
    stamped(shifted, batch)
}

fn add_months(batch: &Batch<'_>) -> Result<ArrayRef> {
    months_by(batch, 1)
}

fn subtract_months(batch: &Batch<'_>) -> Result<ArrayRef> {
    months_by(batch, -1)
}

/// The zone whose wall clock counts: the session's for instants, none for local times.
fn clock(batch: &Batch<'_>) -> Result<Zone> {
    if is_timestamp(batch.return_type()) {
        batch.context().zone()
    } else {
        Ok(Zone::UTC)
    }
}

fn on_wall_clock(time: i64, zone: &Zone, months: i64, days: i64, micros: i64) -> Option<i64> {
    let local = zone.to_local_micros(time);
    let day = plus_months(local.div_euclid(MICROS_PER_DAY), months).checked_add(days)?;
    let in_day = local.rem_euclid(MICROS_PER_DAY);
    let moved = zone.instant_of(day, in_day / 1_000_000, in_day % 1_000_000)?;
    moved.checked_add(micros)
}

fn calendar_by(batch: &Batch<'_>, sign: i64) -> Result<ArrayRef> {
    let intervals = batch.primitive::<IntervalMonthDayNanoType>(1)?;
    if *batch.return_type() == DataType::Date32 {
        let dates = batch.primitive::<Date32Type>(0)?;
        return pairs::<Date32Type, _, _>(dates.iter(), intervals.iter(), |d, i| {
            if i.nanoseconds != 0 && batch.context().ansi {
                return Err(SparkError::new(
                    Exception::IllegalArgument,
                    "INVALID_INTERVAL_WITH_MICROSECONDS_ADDITION",
                    &[("ansiConfig", "\"spark.sql.ansi.enabled\"")],
                ));
            }
            let moved =
                plus_months(i64::from(d), i64::from(i.months) * sign) + i64::from(i.days) * sign;
            i32::try_from(moved).map_err(|_| date_overflow())
        });
    }
    let zone = clock(batch)?;
    let times = batch.array(0)?;
    let times = times.as_primitive::<TimestampMicrosecondType>();
    let shifted =
        pairs::<TimestampMicrosecondType, _, _>(times.iter(), intervals.iter(), |t, i| {
            let micros = i.nanoseconds / 1000 * sign;
            on_wall_clock(
                t,
                &zone,
                i64::from(i.months) * sign,
                i64::from(i.days) * sign,
                micros,
            )
            .ok_or_else(time_overflow)
        })?;
    stamped(shifted, batch)
}

fn add_calendar(batch: &Batch<'_>) -> Result<ArrayRef> {
    calendar_by(batch, 1)
}

fn subtract_calendar(batch: &Batch<'_>) -> Result<ArrayRef> {
    calendar_by(batch, -1)
}

fn subtract_dates(batch: &Batch<'_>) -> Result<ArrayRef> {
    let (l, r) = (
        batch.primitive::<Date32Type>(0)?,
        batch.primitive::<Date32Type>(1)?,
    );
    pairs::<DurationMicrosecondType, _, _>(l.iter(), r.iter(), |l, r| {
        (i64::from(l) - i64::from(r))
            .checked_mul(MICROS_PER_DAY)
            .ok_or_else(interval_overflow)
    })
}

/// The difference on the wall clock of the session time zone.
fn subtract_timestamps(batch: &Batch<'_>) -> Result<ArrayRef> {
    let (left, right) = (batch.array(0)?, batch.array(1)?);
    let zone = if is_timestamp(left.data_type()) {
        batch.context().zone()?
    } else {
        Zone::UTC
    };
    let (l, r) = (
        left.as_primitive::<TimestampMicrosecondType>(),
        right.as_primitive::<TimestampMicrosecondType>(),
    );
    pairs::<DurationMicrosecondType, _, _>(l.iter(), r.iter(), |l, r| {
        zone.to_local_micros(l)
            .checked_sub(zone.to_local_micros(r))
            .ok_or_else(interval_overflow)
    })
}
