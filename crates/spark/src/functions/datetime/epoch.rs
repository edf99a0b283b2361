//! Dates and timestamps as numbers since 1970-01-01T00:00:00Z, and back.
use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{
        DataType, Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type,
        TimestampMicrosecondType,
    },
};
use datafusion::logical_expr::Volatility;
use millstream_connectors::datetime::MICROS_PER_SECOND;

use super::uncast;
use crate::{
    cast::{EvalMode, cast_array},
    error::{Exception, Result, SparkError},
    functions::{
        Accepts, Batch, Call, Function, Kernel, Registry, Returns,
        rows::{Rows, with_args},
    },
    typed::TypedExpr,
    types::{is_floating, timestamp},
};

type KernelFn = fn(&Batch<'_>) -> Result<ArrayRef>;

pub(super) fn register(registry: &mut Registry) {
    let mut strict = |name, accepts: Accepts, required, to: DataType, kernel: KernelFn| {
        registry.add(Function::rewrite(name, [Accepts::Any], move |call| {
            convert(call, name, &accepts, required, &to, kernel)
        }));
    };
    const ANY_TIMESTAMP: &str = "(\"(TIMESTAMP OR TIMESTAMP WITHOUT TIME ZONE)\" or \
                                 \"(TIMESTAMP_LTZ(P) OR TIMESTAMP_NTZ(P) WITH P IN [7, 9])\")";
    let instant = || Accepts::AnyTimestamp;
    strict(
        "timestamp_seconds",
        Accepts::Numeric,
        "\"NUMERIC\"",
        timestamp(),
        timestamp_seconds,
    );
    strict(
        "timestamp_millis",
        Accepts::Integral,
        "\"INTEGRAL\"",
        timestamp(),
        timestamp_millis,
    );
    strict(
        "timestamp_micros",
        Accepts::Integral,
        "\"INTEGRAL\"",
        timestamp(),
        timestamp_micros,
    );
    strict(
        "unix_seconds",
        instant(),
        ANY_TIMESTAMP,
        DataType::Int64,
        unix_seconds,
    );
    strict(
        "unix_millis",
        instant(),
        ANY_TIMESTAMP,
        DataType::Int64,
        unix_millis,
    );
    strict(
        "unix_micros",
        instant(),
        ANY_TIMESTAMP,
        DataType::Int64,
        unix_micros,
    );
    strict(
        "unix_date",
        Accepts::DATE,
        "\"DATE\"",
        DataType::Int32,
        unix_date,
    );
    let date = Returns::Type(DataType::Date32);
    registry.add(Function::scalar(
        "date_from_unix_date",
        [Accepts::INT],
        date,
        date_from_unix_date,
    ));
}

/// A number that is not finite is no timestamp, so that of a DOUBLE may be NULL.
fn convert(
    call: &Call<'_>,
    name: &'static str,
    accepts: &Accepts,
    required: &str,
    to: &DataType,
    kernel: KernelFn,
) -> Result<TypedExpr> {
    let value = uncast(call, 0, accepts, required)?;
    let nullable = value.nullable || is_floating(&value.data_type);
    let call = with_args(call, vec![value]);
    Ok(call.kernel_with(
        name,
        Kernel::Plain(kernel),
        to.clone(),
        nullable,
        Volatility::Immutable,
    ))
}

/// A whole number as microseconds; `unit` is for the message.
fn scaled(batch: &Batch<'_>, factor: i64, unit: &str) -> Result<ArrayRef> {
    let values = cast_array(
        &batch.array(0)?,
        &DataType::Int64,
        EvalMode::Legacy,
        batch.context(),
    )?;
    let values = values.as_primitive::<Int64Type>();
    Rows::new(batch)?.numbers::<TimestampMicrosecondType>(|row| {
        let value = values.value(row);
        value.checked_mul(factor).map(Some).ok_or_else(|| {
            let operation = format!("create a TIMESTAMP from {value}L {unit} since the epoch");
            SparkError::new(
                Exception::Arithmetic,
                "DATETIME_OVERFLOW",
                &[("operation", &operation)],
            )
        })
    })
}

fn timestamp_seconds(batch: &Batch<'_>) -> Result<ArrayRef> {
    let values = batch.array(0)?;
    match values.data_type() {
        DataType::Decimal128(_, scale) => {
            let scale = i32::from(*scale);
            let values = values.as_primitive::<Decimal128Type>();
            Rows::new(batch)?.numbers::<TimestampMicrosecondType>(|row| {
                exact_micros(values.value(row), scale).map(Some)
            })
        }
        t if is_floating(t) => {
            let values = arrow::compute::cast(&values, &DataType::Float64)?;
            let values = values.as_primitive::<Float64Type>();
            Rows::new(batch)?.numbers::<TimestampMicrosecondType>(|row| {
                let value = values.value(row);
                // The cast saturates, as Java's does.
                Ok(value
                    .is_finite()
                    .then_some((value * MICROS_PER_SECOND as f64) as i64))
            })
        }
        _ => scaled(batch, MICROS_PER_SECOND, "seconds"),
    }
}

/// Microseconds of decimal seconds, without rounding.
fn exact_micros(unscaled: i128, scale: i32) -> Result<i64> {
    let arithmetic = |message: &str| SparkError::plain(Exception::Arithmetic, message);
    let power = u32::try_from((6 - scale).abs()).unwrap_or(u32::MAX);
    let factor = 10_i128
        .checked_pow(power)
        .ok_or_else(|| arithmetic("Overflow"))?;
    let micros = if scale <= 6 {
        unscaled
            .checked_mul(factor)
            .ok_or_else(|| arithmetic("Overflow"))?
    } else if unscaled % factor == 0 {
        unscaled / factor
    } else {
        return Err(arithmetic("Rounding necessary"));
    };
    i64::try_from(micros).map_err(|_| arithmetic("Overflow"))
}

fn timestamp_millis(batch: &Batch<'_>) -> Result<ArrayRef> {
    scaled(batch, 1000, "milliseconds")
}

fn timestamp_micros(batch: &Batch<'_>) -> Result<ArrayRef> {
    scaled(batch, 1, "microseconds")
}

/// Whole units since the epoch, rounded down.
fn units(batch: &Batch<'_>, micros: i64) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let instants = rows.primitive::<TimestampMicrosecondType>(0)?;
    rows.numbers::<Int64Type>(|row| Ok(Some(instants.value(row).div_euclid(micros))))
}

fn unix_seconds(batch: &Batch<'_>) -> Result<ArrayRef> {
    units(batch, MICROS_PER_SECOND)
}

fn unix_millis(batch: &Batch<'_>) -> Result<ArrayRef> {
    units(batch, 1000)
}

fn unix_micros(batch: &Batch<'_>) -> Result<ArrayRef> {
    units(batch, 1)
}

fn unix_date(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let dates = rows.primitive::<Date32Type>(0)?;
    rows.numbers::<Int32Type>(|row| Ok(Some(dates.value(row))))
}

fn date_from_unix_date(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let days = rows.ints(0)?;
    rows.numbers::<Date32Type>(|row| Ok(Some(days.value(row))))
}
