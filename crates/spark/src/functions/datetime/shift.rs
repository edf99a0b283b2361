//! Dates some days or months away, and how far dates are apart.
use arrow::{
    array::ArrayRef,
    datatypes::{DataType, Date32Type, Float64Type, Int32Type, TimestampMicrosecondType},
};
use datafusion::logical_expr::Volatility;
use millstream_connectors::datetime::{civil_from_days, days_in_month};

use super::{plus_months, wall_clock, weekday};
use crate::{
    cast::{CastMode, EvalMode, cast, coerce},
    error::{Exception, Result, SparkError, arithmetic_overflow},
    functions::{
        Accepts, Batch, Call, Function, Kernel, Parameters, Registry, Returns,
        rows::{Rows, with_args, with_defaults},
    },
    typed::TypedExpr,
};

type KernelFn = fn(&Batch<'_>) -> Result<ArrayRef>;

pub(super) fn register(registry: &mut Registry) {
    let mut step = |name, alias: Option<&'static str>, kernel: KernelFn| {
        let function = Function::rewrite(name, [Accepts::DATE, Accepts::Any], move |call| {
            step_days(call, name, kernel)
        });
        registry.add(match alias {
            Some(alias) => function.alias(alias).shown_as(name),
            None => function,
        });
    };
    step("date_add", Some("dateadd"), date_add);
    step("date_sub", None, date_sub);
    let date = || Returns::Type(DataType::Date32);
    let int = Returns::Type(DataType::Int32);
    let dates = [Accepts::DATE, Accepts::DATE];
    registry.add(Function::scalar("datediff", dates, int, datediff).alias("date_diff"));
    let parameters = [Accepts::DATE, Accepts::INT];
    registry.add(Function::scalar(
        "add_months",
        parameters,
        date(),
        add_months,
    ));
    registry.add(Function::scalar(
        "last_day",
        [Accepts::DATE],
        date(),
        last_day,
    ));
    let nullable = Returns::Nullable(DataType::Date32);
    registry.add(Function::scalar(
        "next_day",
        [Accepts::DATE, Accepts::STRING],
        nullable,
        next_day,
    ));
    let parameters = Parameters::fixed([Accepts::timestamp(), Accepts::timestamp()])
        .optional([Accepts::BOOLEAN]);
    registry.add(Function::rewrite("months_between", parameters, |call| {
        let call = with_defaults(call, 3, [TypedExpr::boolean(true)]);
        let (kernel, nullable) = (Kernel::Plain(months_between), call.any_nullable());
        let double = DataType::Float64;
        Ok(call.kernel_with(
            "months_between",
            kernel,
            double,
            nullable,
            Volatility::Immutable,
        ))
    }));
}

/// `date_add` and `date_sub` take no wider numbers than INT, and of texts only constants.
fn step_days(call: &Call<'_>, name: &'static str, kernel: KernelFn) -> Result<TypedExpr> {
    let (date, days) = (call.arg(0)?.clone(), call.arg(1)?.clone());
    let days = match &days.data_type {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Null => {
            coerce(days, &DataType::Int32, &call.context.eval)?
        }
        DataType::Utf8 if call.context.eval.ansi => {
            coerce(days, &DataType::Int32, &call.context.eval)?
        }
        DataType::Utf8 if days.is_foldable() => constant_days(call, name, days)?,
        _ => return Err(call.unexpected_type(1, "(\"INT\" or \"SMALLINT\" or \"TINYINT\")")),
    };
    let call = with_args(call, vec![date, days]);
    let nullable = call.any_nullable();
    Ok(call.kernel_with(
        name,
        Kernel::Plain(kernel),
        DataType::Date32,
        nullable,
        Volatility::Immutable,
    ))
}

/// With ANSI mode off, a text that is no number is refused as soon as the plan is made.
fn constant_days(call: &Call<'_>, name: &str, days: TypedExpr) -> Result<TypedExpr> {
    let shown = days.name.clone();
    let mut mode = CastMode::implicit(&call.context.eval);
    mode.eval = EvalMode::Ansi;
    let typed = cast(days, &DataType::Int32, mode)?;
    let value = crate::fold::fold(&typed.expr).map_err(|_| {
        SparkError::analysis(
            "SECOND_FUNCTION_ARGUMENT_NOT_INTEGER",
            &[("functionName", name)],
        )
    })?;
    Ok(TypedExpr::literal(value, shown))
}

/// Days beyond the range of DATE wrap, in ANSI mode too.
fn days_by(batch: &Batch<'_>, step: fn(i32, i32) -> i32) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (dates, days) = (rows.primitive::<Date32Type>(0)?, rows.ints(1)?);
    rows.numbers::<Date32Type>(|row| Ok(Some(step(dates.value(row), days.value(row)))))
}

fn date_add(batch: &Batch<'_>) -> Result<ArrayRef> {
    days_by(batch, i32::wrapping_add)
}

fn date_sub(batch: &Batch<'_>) -> Result<ArrayRef> {
    days_by(batch, i32::wrapping_sub)
}

fn datediff(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (ends, starts) = (
        rows.primitive::<Date32Type>(0)?,
        rows.primitive::<Date32Type>(1)?,
    );
    rows.numbers::<Int32Type>(|row| Ok(Some(ends.value(row).wrapping_sub(starts.value(row)))))
}

fn add_months(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (dates, months) = (rows.primitive::<Date32Type>(0)?, rows.ints(1)?);
    rows.numbers::<Date32Type>(|row| {
        plus_months(i64::from(dates.value(row)), i64::from(months.value(row)))
            .and_then(|days| i32::try_from(days).ok())
            .map(Some)
            .ok_or_else(|| arithmetic_overflow("overflow", ""))
    })
}

fn last_day(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let dates = rows.primitive::<Date32Type>(0)?;
    rows.numbers::<Date32Type>(|row| {
        let date = dates.value(row);
        let (year, month, day) = civil_from_days(i64::from(date));
        Ok(
            i32::try_from(days_in_month(year, month).saturating_sub(day))
                .ok()
                .map(|n| date.saturating_add(n)),
        )
    })
}

/// Days from Monday of a weekday's name.
fn weekday_of(name: &str) -> Option<i64> {
    Some(match name.trim().to_ascii_uppercase().as_str() {
        "MO" | "MON" | "MONDAY" => 0,
        "TU" | "TUE" | "TUESDAY" => 1,
        "WE" | "WED" | "WEDNESDAY" => 2,
        "TH" | "THU" | "THURSDAY" => 3,
        "FR" | "FRI" | "FRIDAY" => 4,
        "SA" | "SAT" | "SATURDAY" => 5,
        "SU" | "SUN" | "SUNDAY" => 6,
        _ => return None,
    })
}

/// The first such weekday after the date.
fn next_day(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (dates, names) = (rows.primitive::<Date32Type>(0)?, rows.strings(1)?);
    rows.numbers::<Date32Type>(|row| {
        let (date, name) = (i64::from(dates.value(row)), names.value(row));
        match weekday_of(name) {
            Some(wanted) => {
                let ahead = (wanted - weekday(date) - 1).rem_euclid(7) + 1;
                Ok(i32::try_from(date + ahead).ok())
            }
            None if batch.context().ansi => Err(SparkError::new(
                Exception::IllegalArgument,
                "ILLEGAL_DAY_OF_WEEK",
                &[("string", name)],
            )),
            None => Ok(None),
        }
    })
}

/// Whole months between the same days of the month or between last days; otherwise a month has 31 days.
fn months_between(batch: &Batch<'_>) -> Result<ArrayRef> {
    const SECONDS_PER_DAY: i64 = 86_400;
    let rows = Rows::new(batch)?;
    let (ends, starts) = (
        rows.primitive::<TimestampMicrosecondType>(0)?,
        rows.primitive::<TimestampMicrosecondType>(1)?,
    );
    let rounded = rows.booleans(2)?;
    let zone = batch.context().zone()?;
    rows.numbers::<Float64Type>(|row| {
        let (end, start) = (ends.value(row), starts.value(row));
        let (end_days, start_days) = (wall_clock(end, &zone).0, wall_clock(start, &zone).0);
        let (end_year, end_month, end_day) = civil_from_days(end_days);
        let (start_year, start_month, start_day) = civil_from_days(start_days);
        let months = (end_year - start_year) * 12 + i64::from(end_month) - i64::from(start_month);
        let last_days = end_day == days_in_month(end_year, end_month)
            && start_day == days_in_month(start_year, start_month);
        if end_day == start_day || last_days {
            return Ok(Some(months as f64));
        }
        // Time passed since midnight, which on the days that clocks change is not what the clock shows.
        let since_midnight = |micros: i64, days| {
            super::instant(days, 0, &zone).map_or(0, |midnight| (micros - midnight) / 1_000_000)
        };
        let days = i64::from(end_day) - i64::from(start_day);
        let seconds = days * SECONDS_PER_DAY + since_midnight(end, end_days)
            - since_midnight(start, start_days);
        let exact = months as f64 + seconds as f64 / (31 * SECONDS_PER_DAY) as f64;
        Ok(Some(match rounded.value(row) {
            true => (exact * 1e8 + 0.5).floor() / 1e8,
            false => exact,
        }))
    })
}
