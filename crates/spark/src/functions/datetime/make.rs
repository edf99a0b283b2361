//! Dates, timestamps and intervals put together from numbers.
//!
//! ANSI mode refuses a field out of its range with the words of `java.time`; otherwise, and in the `try_` forms, the
//! result is NULL. A zone that does not exist is always an error.
use arrow::{
    array::{ArrayRef, Decimal128Array},
    datatypes::{
        DataType, Date32Type, DurationMicrosecondType, IntervalMonthDayNano,
        IntervalMonthDayNanoType, IntervalYearMonthType, Time64MicrosecondType,
        TimestampMicrosecondType,
    },
};
use datafusion::{common::ScalarValue, logical_expr::Volatility};
use millstream_connectors::datetime::{
    MICROS_PER_DAY, MICROS_PER_SECOND, Zone, days_from_civil, days_in_month,
};

use super::{
    instant,
    pattern::{Zones, fails},
};
use crate::{
    error::{Exception, Result, SparkError, arithmetic_overflow},
    functions::{
        Accepts, Batch, Call, Function, Kernel, Parameters, Registry, Returns,
        rows::{Rows, with_args, with_defaults},
        wrong_num_args,
    },
    typed::TypedExpr,
    types::{CALENDAR, DAY_TIME, TIME, TIMESTAMP_NTZ, YEAR_MONTH, is_timestamp, timestamp},
};

type KernelFn = fn(&Batch<'_>) -> Result<ArrayRef>;

/// Seconds of a timestamp, and of an interval.
const TIMESTAMP_SECONDS: DataType = DataType::Decimal128(16, 6);
const INTERVAL_SECONDS: DataType = DataType::Decimal128(18, 6);

pub(super) fn register(registry: &mut Registry) {
    let parameters = [Accepts::INT, Accepts::INT, Accepts::INT];
    let date = Returns::With(|call| {
        Ok((
            DataType::Date32,
            call.any_nullable() || !call.context.eval.ansi,
        ))
    });
    registry.add(Function::scalar("make_date", parameters, date, make_date));
    let mut add = |name, to: DataType, tolerant, kernel: KernelFn| {
        let parameters = Parameters::variadic(0, Accepts::Any);
        registry.add(Function::rewrite(name, parameters, move |call| {
            make_timestamp_call(call, name, &to, tolerant, kernel)
        }));
    };
    add("make_timestamp", timestamp(), false, make_timestamp);
    add("make_timestamp_ltz", timestamp(), false, make_timestamp);
    add("make_timestamp_ntz", TIMESTAMP_NTZ, false, make_timestamp);
    add("try_make_timestamp", timestamp(), true, try_make_timestamp);
    add(
        "try_make_timestamp_ltz",
        timestamp(),
        true,
        try_make_timestamp,
    );
    add(
        "try_make_timestamp_ntz",
        TIMESTAMP_NTZ,
        true,
        try_make_timestamp,
    );

    let calendar = || {
        let seconds = Accepts::Type(INTERVAL_SECONDS);
        let [a, b, c, d, e, f] = [(); 6].map(|()| Accepts::INT);
        Parameters::none().optional([a, b, c, d, e, f, seconds])
    };
    registry.add(Function::rewrite("make_interval", calendar(), |call| {
        let nullable = !call.context.eval.ansi || call.any_nullable();
        Ok(interval_call(
            call,
            "make_interval",
            7,
            CALENDAR,
            nullable,
            make_interval,
        ))
    }));
    registry.add(Function::rewrite("try_make_interval", calendar(), |call| {
        Ok(interval_call(
            call,
            "try_make_interval",
            7,
            CALENDAR,
            true,
            try_make_interval,
        ))
    }));
    let seconds = Accepts::Type(INTERVAL_SECONDS);
    let parameters =
        Parameters::none().optional([Accepts::INT, Accepts::INT, Accepts::INT, seconds]);
    registry.add(Function::rewrite("make_dt_interval", parameters, |call| {
        let nullable = call.any_nullable();
        Ok(interval_call(
            call,
            "make_dt_interval",
            4,
            DAY_TIME,
            nullable,
            make_dt_interval,
        ))
    }));
    let parameters = Parameters::none().optional([Accepts::INT, Accepts::INT]);
    registry.add(Function::rewrite("make_ym_interval", parameters, |call| {
        let call = with_defaults(call, 2, [TypedExpr::int(0), TypedExpr::int(0)]);
        let (kernel, nullable) = (Kernel::Plain(make_ym_interval), call.any_nullable());
        Ok(call.kernel_with(
            "make_ym_interval",
            kernel,
            YEAR_MONTH,
            nullable,
            Volatility::Immutable,
        ))
    }));
}

/// Fields as numbers, or a DATE and a TIME; for an instant perhaps with a zone.
fn make_timestamp_call(
    call: &Call<'_>,
    name: &'static str,
    to: &DataType,
    tolerant: bool,
    kernel: KernelFn,
) -> Result<TypedExpr> {
    let count = call.args.len();
    let parameters = match count {
        2 | 3 => Parameters::fixed([Accepts::DATE, Accepts::Type(TIME)]),
        _ => {
            let [a, b, c, d, e] = [(); 5].map(|()| Accepts::INT);
            Parameters::fixed([a, b, c, d, e, Accepts::Type(TIMESTAMP_SECONDS)])
        }
    };
    let parameters = match (count, is_timestamp(to)) {
        (2 | 6, _) => parameters,
        (3 | 7, true) => parameters.optional([Accepts::STRING]),
        (_, true) => return Err(wrong_num_args(call.called, "[2, 3, 6, 7]", count)),
        (_, false) => return Err(wrong_num_args(call.called, "[2, 6]", count)),
    };
    let mut call = with_args(call, call.args.clone());
    call.check_arguments(&parameters)?;
    let shown = match tolerant {
        // Spark prints the tolerant forms without their zone.
        true => {
            let fields = call.args.iter().take(if count > 3 { 6 } else { 2 });
            let names: Vec<&str> = fields.map(|a| a.name.as_str()).collect();
            format!("{}({})", call.shown, names.join(", "))
        }
        false => call.name(),
    };
    let nullable = tolerant || !call.context.eval.ansi || call.any_nullable();
    let kernel = Kernel::Plain(kernel);
    Ok(call
        .kernel_with(name, kernel, to.clone(), nullable, Volatility::Immutable)
        .named(shown))
}

fn interval_call(
    call: &Call<'_>,
    name: &'static str,
    count: usize,
    to: DataType,
    nullable: bool,
    kernel: KernelFn,
) -> TypedExpr {
    let mut defaults = vec![TypedExpr::int(0); count.saturating_sub(1)];
    let zero = ScalarValue::Decimal128(Some(0), 18, 6);
    defaults.push(TypedExpr::literal(zero, "0.000000"));
    let call = with_defaults(call, count, defaults);
    call.kernel_with(
        name,
        Kernel::Plain(kernel),
        to,
        nullable,
        Volatility::Immutable,
    )
}

/// A field that `java.time` refuses.
fn out_of_bounds(message: String) -> SparkError {
    SparkError::new(
        Exception::DateTime,
        "DATETIME_FIELD_OUT_OF_BOUNDS.WITHOUT_SUGGESTION",
        &[("rangeMessage", &message)],
    )
}

fn in_range(field: &str, value: i64, low: i64, high: i64, shown: &str) -> Result<i64> {
    match (low..=high).contains(&value) {
        true => Ok(value),
        false => Err(out_of_bounds(format!(
            "Invalid value for {field} (valid values {shown}): {value}"
        ))),
    }
}

/// Days since the epoch of a date that may not exist.
fn date_of(year: i32, month: i32, day: i32) -> Result<i64> {
    const MONTHS: [&str; 12] = [
        "JANUARY",
        "FEBRUARY",
        "MARCH",
        "APRIL",
        "MAY",
        "JUNE",
        "JULY",
        "AUGUST",
        "SEPTEMBER",
        "OCTOBER",
        "NOVEMBER",
        "DECEMBER",
    ];
    let years = "-999999999 - 999999999";
    let year = in_range("Year", i64::from(year), -999_999_999, 999_999_999, years)?;
    let month = in_range("MonthOfYear", i64::from(month), 1, 12, "1 - 12")? as u32;
    let day = in_range("DayOfMonth", i64::from(day), 1, 31, "1 - 28/31")? as u32;
    if day <= days_in_month(year, month) {
        return Ok(days_from_civil(year, month, day));
    }
    Err(out_of_bounds(match day {
        29 => format!("Invalid date 'February 29' as '{year}' is not a leap year"),
        _ => {
            let name = MONTHS.get(month as usize - 1).copied().unwrap_or_default();
            format!("Invalid date '{name} {day}'")
        }
    }))
}

/// The value, or NULL where errors of the fields' ranges are NULL.
fn or_null<T>(value: Result<T>, fails: bool) -> Result<Option<T>> {
    match value {
        Ok(value) => Ok(Some(value)),
        Err(error) if fails => Err(error),
        Err(_) => Ok(None),
    }
}

fn make_date(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (years, months, days) = (rows.ints(0)?, rows.ints(1)?, rows.ints(2)?);
    let fails = fails(batch.context(), false);
    rows.numbers::<Date32Type>(|row| {
        let date = date_of(years.value(row), months.value(row), days.value(row))
            .and_then(|days| i32::try_from(days).map_err(|_| arithmetic_overflow("overflow", "")));
        or_null(date, fails)
    })
}

fn make_timestamp(batch: &Batch<'_>) -> Result<ArrayRef> {
    timestamps(batch, false)
}

fn try_make_timestamp(batch: &Batch<'_>) -> Result<ArrayRef> {
    timestamps(batch, true)
}

fn timestamps(batch: &Batch<'_>, tolerant: bool) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let from_parts = batch.arity() <= 3;
    let session = match is_timestamp(batch.return_type()) {
        true => batch.context().zone()?,
        false => Zone::UTC,
    };
    let ids = match batch.arity() {
        3 => Some(rows.strings(2)?),
        7 => Some(rows.strings(6)?),
        _ => None,
    };
    let fails = fails(batch.context(), tolerant);
    let mut zones = Zones::new();
    let local = local_times(&rows, from_parts)?;
    rows.numbers::<TimestampMicrosecondType>(|row| {
        let zone = match ids {
            Some(ids) => zones.get(ids.value(row))?,
            None => session,
        };
        let micros = local(row).and_then(|(days, of_day)| {
            instant(days, of_day, &zone).ok_or_else(|| arithmetic_overflow("long overflow", ""))
        });
        or_null(micros, fails)
    })
}

type LocalTime<'a> = Box<dyn Fn(usize) -> Result<(i64, i64)> + 'a>;

/// Days and microseconds of the day, by row.
fn local_times(rows: &Rows, from_parts: bool) -> Result<LocalTime<'_>> {
    if from_parts {
        let dates = rows.primitive::<Date32Type>(0)?;
        let times = rows.primitive::<Time64MicrosecondType>(1)?;
        return Ok(Box::new(|row| {
            Ok((i64::from(dates.value(row)), times.value(row)))
        }));
    }
    let (years, months, days) = (rows.ints(0)?, rows.ints(1)?, rows.ints(2)?);
    let (hours, minutes, seconds) = (rows.ints(3)?, rows.ints(4)?, rows.decimals(5)?);
    Ok(Box::new(|row| {
        let micros = micros_of_minute(seconds, row)?;
        let days = date_of(years.value(row), months.value(row), days.value(row))?;
        let hour = in_range("HourOfDay", i64::from(hours.value(row)), 0, 23, "0 - 23")?;
        let minute = in_range(
            "MinuteOfHour",
            i64::from(minutes.value(row)),
            0,
            59,
            "0 - 59",
        )?;
        let second = micros.div_euclid(MICROS_PER_SECOND);
        if second != 60 {
            in_range("SecondOfMinute", second, 0, 59, "0 - 59")?;
        }
        let of_day = (hour * 60 + minute) * 60 * MICROS_PER_SECOND + micros;
        Ok((days + of_day / MICROS_PER_DAY, of_day % MICROS_PER_DAY))
    }))
}

/// Exactly 60 seconds are the next minute; 60 and a fraction are none.
fn micros_of_minute(seconds: &Decimal128Array, row: usize) -> Result<i64> {
    let micros =
        i64::try_from(seconds.value(row)).map_err(|_| arithmetic_overflow("overflow", ""))?;
    let fraction = micros.rem_euclid(MICROS_PER_SECOND);
    if micros.div_euclid(MICROS_PER_SECOND) == 60 && fraction != 0 {
        let shown = format!("60.{fraction:06}");
        return Err(SparkError::new(
            Exception::DateTime,
            "INVALID_FRACTION_OF_SECOND",
            &[("secAndMicros", shown.trim_end_matches('0'))],
        ));
    }
    Ok(micros)
}

/// Whether a kernel's seconds fit a BIGINT of microseconds.
fn whole_micros(seconds: &Decimal128Array, row: usize) -> Option<i64> {
    i64::try_from(seconds.value(row)).ok()
}

/// Microseconds of hours, minutes and (in microseconds) seconds.
fn clock_micros(hours: i32, minutes: i32, micros: i64) -> Option<i64> {
    let minutes = i64::from(hours) * 60 + i64::from(minutes);
    minutes
        .checked_mul(60 * MICROS_PER_SECOND)?
        .checked_add(micros)
}

fn make_interval(batch: &Batch<'_>) -> Result<ArrayRef> {
    calendar_intervals(batch, false)
}

fn try_make_interval(batch: &Batch<'_>) -> Result<ArrayRef> {
    calendar_intervals(batch, true)
}

fn calendar_intervals(batch: &Batch<'_>, tolerant: bool) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (years, months, weeks) = (rows.ints(0)?, rows.ints(1)?, rows.ints(2)?);
    let (days, hours, minutes) = (rows.ints(3)?, rows.ints(4)?, rows.ints(5)?);
    let seconds = rows.decimals(6)?;
    let fails = fails(batch.context(), tolerant);
    rows.numbers::<IntervalMonthDayNanoType>(|row| {
        let months = years
            .value(row)
            .checked_mul(12)
            .and_then(|m| m.checked_add(months.value(row)));
        let days = weeks
            .value(row)
            .checked_mul(7)
            .and_then(|d| d.checked_add(days.value(row)));
        let nanos = whole_micros(seconds, row)
            .and_then(|s| clock_micros(hours.value(row), minutes.value(row), s))
            .and_then(|micros| micros.checked_mul(1000));
        match (months, days, nanos) {
            (Some(months), Some(days), Some(nanos)) => {
                Ok(Some(IntervalMonthDayNano::new(months, days, nanos)))
            }
            _ if fails => Err(arithmetic_overflow("overflow", "")),
            _ => Ok(None),
        }
    })
}

fn interval_overflow() -> SparkError {
    SparkError::arithmetic("INTERVAL_ARITHMETIC_OVERFLOW.WITHOUT_SUGGESTION", &[])
}

fn make_dt_interval(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (days, hours, minutes) = (rows.ints(0)?, rows.ints(1)?, rows.ints(2)?);
    let seconds = rows.decimals(3)?;
    rows.numbers::<DurationMicrosecondType>(|row| {
        let of_days = i64::from(days.value(row)).checked_mul(MICROS_PER_DAY);
        let of_clock = whole_micros(seconds, row)
            .and_then(|s| clock_micros(hours.value(row), minutes.value(row), s));
        let total = of_days.zip(of_clock).and_then(|(d, c)| d.checked_add(c));
        total.map(Some).ok_or_else(interval_overflow)
    })
}

fn make_ym_interval(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (years, months) = (rows.ints(0)?, rows.ints(1)?);
    rows.numbers::<IntervalYearMonthType>(|row| {
        let total = years
            .value(row)
            .checked_mul(12)
            .and_then(|m| m.checked_add(months.value(row)));
        total.map(Some).ok_or_else(interval_overflow)
    })
}
