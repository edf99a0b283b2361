//! Signs.
use std::sync::Arc;

use arrow::{
    array::ArrayRef,
    datatypes::{
        ArrowPrimitiveType, DataType, DurationMicrosecondType, Float32Type,
        Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalYearMonthType,
    },
};

use crate::{
    error::{Result, SparkError, arithmetic_overflow},
    functions::{
        Accepts, Batch, Function, PreparedKernel, Registry,
        rows::{Rows, with_args},
    },
    types::is_ansi_interval,
};

pub(super) fn register(registry: &mut Registry) {
    let number_or_interval =
        Accepts::one_of([Accepts::Numeric, Accepts::DAY_TIME, Accepts::YEAR_MONTH]);
    registry.add(Function::rewrite("abs", [number_or_interval], |call| {
        let arg = call.arg(0)?;
        Ok(call.kernel(Arc::new(Abs), arg.data_type.clone(), arg.nullable))
    }));
    for (name, shown) in [("sign", "sign"), ("signum", "SIGNUM")] {
        let parameter = Accepts::one_of([Accepts::DOUBLE, Accepts::DAY_TIME, Accepts::YEAR_MONTH]);
        registry.add(Function::rewrite(name, [parameter], move |call| {
            let arg = call.arg(0)?.clone();
            let name = format!("{shown}({})", arg.name);
            let call = with_args(call, vec![arg]);
            Ok(call.kernel(Arc::new(Signum), DataType::Float64, true).named(name))
        }));
    }
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
            other => Err(SparkError::internal(format!("no absolute value of {other}"))),
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
        let signum = |v: f64| if v == 0.0 || v.is_nan() { v } else { v.signum() };
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
