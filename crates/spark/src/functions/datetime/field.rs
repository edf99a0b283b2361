//! Fields of dates, timestamps and intervals: a function each, and `extract` for all of them.
use arrow::{
    array::ArrayRef,
    datatypes::{
        DataType, Date32Type, DurationMicrosecondType, Int8Type, Int32Type,
        IntervalMonthDayNanoType, IntervalYearMonthType, TimestampMicrosecondType,
    },
};
use datafusion::common::ScalarValue;
use millstream_connectors::{
    datetime::{MICROS_PER_DAY, MICROS_PER_SECOND, Zone, civil_from_days, days_from_civil},
    text::INTERVAL_FIELDS,
};

use super::weekday;
use crate::{
    error::{Result, SparkError, quoted, quoted_id},
    fold::fold,
    functions::{Accepts, Batch, Call, Function, Registry, Resolution, Returns, rows::Rows},
    typed::TypedExpr,
    types::{CALENDAR, DAY_TIME, YEAR_MONTH, is_interval, is_timestamp},
};

type KernelFn = fn(&Batch<'_>) -> Result<ArrayRef>;

/// SECOND of `extract`, with its fraction.
const SECOND_WITH_FRACTION: (u8, i8) = (8, 6);

pub(super) fn register(registry: &mut Registry) {
    for (name, kernel) in DATE_FIELDS {
        registry.add(date_field(name, kernel));
    }
    for (name, kernel) in TIME_FIELDS {
        registry.add(time_field(name, kernel));
    }
    let parameters = || [Accepts::Any, Accepts::Any];
    registry.add(Function::rewrite("extract", parameters(), |call| {
        extract(call, " FROM ")
    }));
    registry.add(Function::rewrite("datepart", parameters(), |call| {
        extract(call, " FROM ")
    }));
    registry.add(Function::rewrite("date_part", parameters(), |call| {
        extract(call, ", ")
    }));
}

const DATE_FIELDS: [(&str, KernelFn); 9] = [
    ("year", year),
    ("quarter", quarter),
    ("month", month),
    ("day", day),
    ("dayofmonth", day),
    ("dayofweek", day_of_week),
    ("weekday", day_of_week_from_monday),
    ("dayofyear", day_of_year),
    ("weekofyear", week_of_year),
];

const TIME_FIELDS: [(&str, KernelFn); 3] = [("hour", hour), ("minute", minute), ("second", second)];

fn date_field(name: &'static str, kernel: KernelFn) -> Function {
    Function::scalar(
        name,
        [Accepts::DATE],
        Returns::Type(DataType::Int32),
        kernel,
    )
}

fn time_field(name: &'static str, kernel: KernelFn) -> Function {
    Function::scalar(
        name,
        [Accepts::AnyTimestamp],
        Returns::Type(DataType::Int32),
        kernel,
    )
}

/// `extract(field FROM source)`, printed with `separator` between the two.
fn extract(call: &Call<'_>, separator: &str) -> Result<TypedExpr> {
    let (field, source) = (call.arg(0)?, call.arg(1)?);
    let shown = format!("{}({}{separator}{})", call.shown, field.name, source.name);
    if !field.is_foldable() {
        return Err(SparkError::analysis(
            "NON_FOLDABLE_ARGUMENT",
            &[
                ("funcName", &quoted_id(call.called)),
                ("paramName", &quoted_id("field")),
                ("paramType", &quoted("STRING")),
            ],
        ));
    }
    let name = match fold(&field.expr)? {
        ScalarValue::Utf8(Some(name)) => name,
        value if value.is_null() => {
            return Ok(TypedExpr::literal(ScalarValue::Float64(None), shown));
        }
        other => other.to_string(),
    };
    let function = match is_interval(&source.data_type) {
        true => interval_field(&name, source),
        false => datetime_field(&name),
    };
    let Some((called, function)) = function else {
        return Err(SparkError::analysis(
            "INVALID_EXTRACT_FIELD",
            &[("field", &quoted_id(&name)), ("expr", &source.sql())],
        ));
    };
    let mut inner = Call::new(called, vec![source.clone()], call.context);
    inner.place.clone_from(&call.place);
    match function.call(inner)? {
        Resolution::Value(typed) => Ok(typed.named(shown)),
        _ => Err(SparkError::internal(format!("{called} is not a value"))),
    }
}

/// The function of a field of a date or timestamp, and the name that messages call it by.
fn datetime_field(field: &str) -> Option<(&'static str, Function)> {
    let date = |name, kernel: KernelFn| Some((name, date_field(name, kernel)));
    let time = |name, kernel: KernelFn| Some((name, time_field(name, kernel)));
    match field.to_ascii_uppercase().as_str() {
        "YEAR" | "Y" | "YEARS" | "YR" | "YRS" => date("year", year),
        "YEAROFWEEK" => date("yearofweek", year_of_week),
        "QUARTER" | "QTR" => date("quarter", quarter),
        "MONTH" | "MON" | "MONS" | "MONTHS" => date("month", month),
        "WEEK" | "W" | "WEEKS" => date("weekofyear", week_of_year),
        "DAY" | "D" | "DAYS" => date("dayofmonth", day),
        "DAYOFWEEK" | "DOW" => date("dayofweek", day_of_week),
        "DAYOFWEEK_ISO" | "DOW_ISO" => date("dayofweek_iso", day_of_week_iso),
        "DOY" => date("dayofyear", day_of_year),
        "HOUR" | "H" | "HOURS" | "HR" | "HRS" => time("hour", hour),
        "MINUTE" | "M" | "MIN" | "MINS" | "MINUTES" => time("minute", minute),
        "SECOND" | "S" | "SEC" | "SECONDS" | "SECS" => {
            let (precision, scale) = SECOND_WITH_FRACTION;
            let returns = Returns::Type(DataType::Decimal128(precision, scale));
            let parameters = [Accepts::AnyTimestamp];
            let name = "secondwithfraction";
            Some((
                name,
                Function::scalar(name, parameters, returns, second_with_fraction),
            ))
        }
        _ => None,
    }
}

/// The function of a field of an interval; `None` where the interval has no such field.
fn interval_field(field: &str, source: &TypedExpr) -> Option<(&'static str, Function)> {
    let upper = field.to_ascii_uppercase();
    let (name, returns, kernel): (_, _, KernelFn) = match upper.as_str() {
        "YEAR" | "Y" | "YEARS" | "YR" | "YRS" => ("year", DataType::Int32, interval_years),
        "MONTH" | "MON" | "MONS" | "MONTHS" => ("month", DataType::Int8, interval_months),
        "DAY" | "D" | "DAYS" => ("day", DataType::Int32, interval_days),
        "HOUR" | "H" | "HOURS" | "HR" | "HRS" => ("hour", DataType::Int8, interval_hours),
        "MINUTE" | "M" | "MIN" | "MINS" | "MINUTES" => ("minute", DataType::Int8, interval_minutes),
        "SECOND" | "S" | "SEC" | "SECONDS" | "SECS" => {
            let (precision, scale) = SECOND_WITH_FRACTION;
            (
                "second",
                DataType::Decimal128(precision, scale),
                interval_seconds,
            )
        }
        _ => return None,
    };
    let fits = match &source.data_type {
        t if *t == YEAR_MONTH => matches!(name, "year" | "month") && declared(source, name),
        t if *t == DAY_TIME => !matches!(name, "year" | "month") && declared(source, name),
        _ => true,
    };
    let accepts = Accepts::Type(source.data_type.clone());
    fits.then(|| {
        (
            name,
            Function::scalar(kernel_name(name), [accepts], Returns::Type(returns), kernel),
        )
    })
}

/// Kernels are told apart by name; those of intervals share the fields' names with the ones of dates.
fn kernel_name(field: &str) -> &'static str {
    match field {
        "year" => "extractansiintervalyears",
        "month" => "extractansiintervalmonths",
        "day" => "extractansiintervaldays",
        "hour" => "extractansiintervalhours",
        "minute" => "extractansiintervalminutes",
        _ => "extractansiintervalseconds",
    }
}

/// Whether an interval was declared with the field.
fn declared(source: &TypedExpr, field: &str) -> bool {
    const ORDER: [&str; 6] = ["year", "month", "day", "hour", "minute", "second"];
    let Some(fields) = source.metadata.get(INTERVAL_FIELDS) else {
        return true;
    };
    let fields = fields.to_ascii_lowercase();
    let (start, end) = fields.split_once(" to ").unwrap_or((&fields, &fields));
    let place = |name: &str| ORDER.iter().position(|o| *o == name.trim());
    match (place(start), place(end), place(field)) {
        (Some(start), Some(end), Some(field)) => (start..=end).contains(&field),
        _ => true,
    }
}

fn of_dates(batch: &Batch<'_>, field: fn(i64) -> i64) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let dates = rows.primitive::<Date32Type>(0)?;
    rows.numbers::<Int32Type>(|row| Ok(i32::try_from(field(i64::from(dates.value(row)))).ok()))
}

fn year(batch: &Batch<'_>) -> Result<ArrayRef> {
    of_dates(batch, |days| civil_from_days(days).0)
}

fn quarter(batch: &Batch<'_>) -> Result<ArrayRef> {
    of_dates(batch, |days| {
        (i64::from(civil_from_days(days).1) - 1) / 3 + 1
    })
}

fn month(batch: &Batch<'_>) -> Result<ArrayRef> {
    of_dates(batch, |days| i64::from(civil_from_days(days).1))
}

fn day(batch: &Batch<'_>) -> Result<ArrayRef> {
    of_dates(batch, |days| i64::from(civil_from_days(days).2))
}

/// 1 for Sunday.
fn day_of_week(batch: &Batch<'_>) -> Result<ArrayRef> {
    of_dates(batch, |days| (weekday(days) + 1) % 7 + 1)
}

/// 0 for Monday.
fn day_of_week_from_monday(batch: &Batch<'_>) -> Result<ArrayRef> {
    of_dates(batch, weekday)
}

/// 1 for Monday.
fn day_of_week_iso(batch: &Batch<'_>) -> Result<ArrayRef> {
    of_dates(batch, |days| weekday(days) + 1)
}

fn day_of_year(batch: &Batch<'_>) -> Result<ArrayRef> {
    of_dates(batch, |days| {
        days - days_from_civil(civil_from_days(days).0, 1, 1) + 1
    })
}

/// The ISO week belongs to the year of its Thursday.
fn thursday(days: i64) -> i64 {
    days - weekday(days) + 3
}

fn week_of_year(batch: &Batch<'_>) -> Result<ArrayRef> {
    of_dates(batch, |days| {
        let thursday = thursday(days);
        (thursday - days_from_civil(civil_from_days(thursday).0, 1, 1)) / 7 + 1
    })
}

fn year_of_week(batch: &Batch<'_>) -> Result<ArrayRef> {
    of_dates(batch, |days| civil_from_days(thursday(days)).0)
}

/// Wall-clock microseconds of the day, by row.
fn micros_of_day(
    batch: &Batch<'_>,
    emit: impl FnOnce(&Rows, &dyn Fn(usize) -> i64) -> Result<ArrayRef>,
) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let times = rows.primitive::<TimestampMicrosecondType>(0)?;
    let zone = match is_timestamp(rows.array(0)?.data_type()) {
        true => batch.context().zone()?,
        false => Zone::UTC,
    };
    emit(&rows, &|row| {
        zone.to_local_micros(times.value(row))
            .rem_euclid(MICROS_PER_DAY)
    })
}

fn of_times(batch: &Batch<'_>, field: fn(i64) -> i64) -> Result<ArrayRef> {
    micros_of_day(batch, |rows, micros| {
        rows.numbers::<Int32Type>(|row| Ok(i32::try_from(field(micros(row))).ok()))
    })
}

fn hour(batch: &Batch<'_>) -> Result<ArrayRef> {
    of_times(batch, |micros| micros / (3600 * MICROS_PER_SECOND))
}

fn minute(batch: &Batch<'_>) -> Result<ArrayRef> {
    of_times(batch, |micros| micros / (60 * MICROS_PER_SECOND) % 60)
}

fn second(batch: &Batch<'_>) -> Result<ArrayRef> {
    of_times(batch, |micros| micros / MICROS_PER_SECOND % 60)
}

fn second_with_fraction(batch: &Batch<'_>) -> Result<ArrayRef> {
    micros_of_day(batch, |rows, micros| {
        rows.decimal_values(SECOND_WITH_FRACTION, |row| {
            Ok(Some(i128::from(micros(row) % (60 * MICROS_PER_SECOND))))
        })
    })
}

/// Months, days and microseconds of an interval of any kind, by row; parts it does not have are 0.
fn interval_parts(
    batch: &Batch<'_>,
    emit: impl FnOnce(&Rows, &dyn Fn(usize) -> (i32, i64, i64)) -> Result<ArrayRef>,
) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    match rows.array(0)?.data_type() {
        t if *t == YEAR_MONTH => {
            let months = rows.primitive::<IntervalYearMonthType>(0)?;
            emit(&rows, &|row| (months.value(row), 0, 0))
        }
        t if *t == CALENDAR => {
            let intervals = rows.primitive::<IntervalMonthDayNanoType>(0)?;
            emit(&rows, &|row| {
                let interval = intervals.value(row);
                (
                    interval.months,
                    i64::from(interval.days),
                    interval.nanoseconds / 1000,
                )
            })
        }
        _ => {
            let micros = rows.primitive::<DurationMicrosecondType>(0)?;
            emit(&rows, &|row| {
                let value = micros.value(row);
                (0, value / MICROS_PER_DAY, value % MICROS_PER_DAY)
            })
        }
    }
}

fn interval_years(batch: &Batch<'_>) -> Result<ArrayRef> {
    interval_parts(batch, |rows, parts| {
        rows.numbers::<Int32Type>(|row| Ok(Some(parts(row).0 / 12)))
    })
}

fn interval_months(batch: &Batch<'_>) -> Result<ArrayRef> {
    interval_parts(batch, |rows, parts| {
        rows.numbers::<Int8Type>(|row| Ok(i8::try_from(parts(row).0 % 12).ok()))
    })
}

fn interval_days(batch: &Batch<'_>) -> Result<ArrayRef> {
    interval_parts(batch, |rows, parts| {
        rows.numbers::<Int32Type>(|row| Ok(i32::try_from(parts(row).1).ok()))
    })
}

/// A calendar interval may have more hours than a day has; those beyond whole days are meant.
fn interval_hours(batch: &Batch<'_>) -> Result<ArrayRef> {
    interval_parts(batch, |rows, parts| {
        rows.numbers::<Int8Type>(|row| {
            Ok(i8::try_from(parts(row).2 / (3600 * MICROS_PER_SECOND) % 24).ok())
        })
    })
}

fn interval_minutes(batch: &Batch<'_>) -> Result<ArrayRef> {
    interval_parts(batch, |rows, parts| {
        rows.numbers::<Int8Type>(|row| {
            Ok(i8::try_from(parts(row).2 / (60 * MICROS_PER_SECOND) % 60).ok())
        })
    })
}

fn interval_seconds(batch: &Batch<'_>) -> Result<ArrayRef> {
    interval_parts(batch, |rows, parts| {
        rows.decimal_values(SECOND_WITH_FRACTION, |row| {
            Ok(Some(i128::from(parts(row).2 % (60 * MICROS_PER_SECOND))))
        })
    })
}
