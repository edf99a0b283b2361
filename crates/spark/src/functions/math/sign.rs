//! Signs.
use std::sync::Arc;

use arrow::{
    array::ArrayRef,
    datatypes::{
        ArrowPrimitiveType, DataType, DurationMicrosecondType, Float32Type, Float64Type, Int8Type,
        Int16Type, Int32Type, Int64Type, IntervalYearMonthType,
    },
};

use crate::{
    cast::coerce,
    error::{Result, SparkError, arithmetic_overflow},
    functions::{
        Accepts, Batch, Call, Function, PreparedKernel, Registry,
        rows::{Rows, with_args},
    },
    types::{INTERVAL_FIELDS, is_ansi_interval},
};

pub(super) fn register(registry: &mut Registry) {
    registry.add(Function::rewrite("abs", [Accepts::Any], |call| {
        let call = number_or_interval(call, &Accepts::Numeric)?;
        let arg = call.arg(0)?;
        let mut magnitude = call.kernel(Arc::new(Abs), arg.data_type.clone(), arg.nullable);
        if let Some(fields) = arg.metadata.get(INTERVAL_FIELDS) {
            let fields = (INTERVAL_FIELDS.to_string(), fields.clone());
            magnitude.metadata.extend([fields]);
        }
        Ok(magnitude)
    }));
    for (name, shown) in [("sign", "sign"), ("signum", "SIGNUM")] {
        registry.add(Function::rewrite(name, [Accepts::Any], move |call| {
            let call = number_or_interval(call, &Accepts::DOUBLE)?;
            let name = format!("{shown}({})", call.arg(0)?.name);
            Ok(call
                .kernel(Arc::new(Signum), DataType::Float64, true)
                .named(name))
        }));
    }
}

/// Intervals stay what they are, everything else becomes a number.
fn number_or_interval<'a>(call: &Call<'a>, number: &Accepts) -> Result<Call<'a>> {
    let arg = call.arg(0)?.clone();
    if is_ansi_interval(&arg.data_type) {
        return Ok(with_args(call, vec![arg]));
    }
    let Some(target) = number.implicit_cast(&arg.data_type, call.context.eval.ansi) else {
        let accepted = Accepts::one_of([number.clone(), Accepts::DAY_TIME, Accepts::YEAR_MONTH]);
        return Err(call.unexpected_type(0, &accepted.sql()));
    };
    Ok(with_args(
        call,
        vec![coerce(arg, &target, &call.context.eval)?],
    ))
}

#[derive(Debug)]
struct Abs;

impl PreparedKernel for Abs {
    fn fingerprint(&self) -> String {
        "abs".to_string()
    }

    fn evaluate(&self, batch: &Batch<'_>) -> Result<ArrayRef> {
        let rows = Rows::new(batch)?;
        let ansi = batch.context().ansi || is_ansi_interval(batch.return_type());
        match batch.return_type() {
            DataType::Int8 => integers::<Int8Type>(&rows, ansi),
            DataType::Int16 => integers::<Int16Type>(&rows, ansi),
            DataType::Int32 => integers::<Int32Type>(&rows, ansi),
            DataType::Int64 => integers::<Int64Type>(&rows, ansi),
            DataType::Duration(_) => integers::<DurationMicrosecondType>(&rows, ansi),
            DataType::Interval(_) => integers::<IntervalYearMonthType>(&rows, ansi),
            DataType::Float32 => {
                let values = rows.primitive::<Float32Type>(0)?;
                rows.numbers::<Float32Type>(|row| Ok(Some(values.value(row).abs())))
            }
            DataType::Float64 => {
                let values = rows.primitive::<Float64Type>(0)?;
                rows.numbers::<Float64Type>(|row| Ok(Some(values.value(row).abs())))
            }
            DataType::Decimal128(p, s) => {
                let values = rows.decimals(0)?;
                rows.decimal_values((*p, *s), |row| Ok(Some(values.value(row).abs())))
            }
            other => Err(SparkError::internal(format!(
                "no absolute value of {other}"
            ))),
        }
    }
}

/// The smallest number has no positive counterpart.
fn integers<T: ArrowPrimitiveType>(rows: &Rows, ansi: bool) -> Result<ArrayRef>
where
    T::Native: Magnitude,
{
    let values = rows.primitive::<T>(0)?;
    rows.numbers::<T>(|row| {
        let value = values.value(row);
        match value.magnitude() {
            Some(magnitude) => Ok(Some(magnitude)),
            None if ansi => Err(arithmetic_overflow("overflow", "")),
            None => Ok(Some(value)),
        }
    })
}

trait Magnitude: Copy {
    fn magnitude(self) -> Option<Self>;
}

macro_rules! magnitude {
    ($($t:ty),*) => {$(
        impl Magnitude for $t {
            fn magnitude(self) -> Option<Self> {
                self.checked_abs()
            }
        }
    )*};
}

magnitude!(i8, i16, i32, i64);

#[derive(Debug)]
struct Signum;

impl PreparedKernel for Signum {
    fn fingerprint(&self) -> String {
        "signum".to_string()
    }

    fn evaluate(&self, batch: &Batch<'_>) -> Result<ArrayRef> {
        let rows = Rows::new(batch)?;
        let signum = |v: f64| {
            if v == 0.0 || v.is_nan() {
                v
            } else {
                v.signum()
            }
        };
        match rows.array(0)?.data_type() {
            DataType::Duration(_) => {
                let values = rows.primitive::<DurationMicrosecondType>(0)?;
                rows.numbers::<Float64Type>(|row| Ok(Some(signum(values.value(row) as f64))))
            }
            DataType::Interval(_) => {
                let values = rows.primitive::<IntervalYearMonthType>(0)?;
                rows.numbers::<Float64Type>(|row| Ok(Some(signum(values.value(row).into()))))
            }
            _ => {
                let values = rows.primitive::<Float64Type>(0)?;
                rows.numbers::<Float64Type>(|row| Ok(Some(signum(values.value(row)))))
            }
        }
    }
}
