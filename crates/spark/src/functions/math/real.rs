//! Functions of doubles.
use std::{
    f64::consts::{E, PI},
    sync::Arc,
};

use arrow::{
    array::ArrayRef,
    datatypes::{DataType, Float64Type},
};
use datafusion::{common::ScalarValue, logical_expr::lit};

use super::hyperbolic;
use crate::{
    error::Result,
    functions::{
        Accepts, Batch, Call, Function, Parameters, PreparedKernel, Registry, Returns,
        rows::{Rows, with_args},
    },
    typed::TypedExpr,
};

pub(super) fn register(registry: &mut Registry) {
    for (name, compute) in UNARY {
        unary(registry, name, &name.to_uppercase(), *compute);
    }
    // These two print as they are called.
    unary(registry, "ln", "ln", |x| positive(x, libm::log));
    unary(registry, "rint", "rint", |x| Some(x.round_ties_even()));
    for (name, shown, compute) in BINARY {
        let kernel = Arc::new(Binary {
            name,
            compute: *compute,
        });
        registry.add(Function::rewrite(
            name,
            [Accepts::DOUBLE, Accepts::DOUBLE],
            move |call| {
                let kernel: Arc<dyn PreparedKernel> = Arc::<Binary>::clone(&kernel);
                let typed = call.kernel(kernel, DataType::Float64, call.any_nullable());
                let name = typed.name.replacen(call.called, shown, 1);
                Ok(typed.named(name))
            },
        ));
    }
    let base = Parameters::fixed([Accepts::DOUBLE]).optional([Accepts::DOUBLE]);
    registry.add(Function::rewrite("log", base, log_call));
    let constant = |value: f64, shown: &'static str| {
        move |_: &Call<'_>| {
            Ok(TypedExpr::new(
                lit(ScalarValue::Float64(Some(value))),
                DataType::Float64,
                false,
                shown,
            ))
        }
    };
    registry.add(Function::rewrite(
        "e",
        Parameters::none(),
        constant(E, "E()"),
    ));
    registry.add(Function::rewrite(
        "pi",
        Parameters::none(),
        constant(PI, "PI()"),
    ));
    let flag = Returns::NotNull(DataType::Boolean);
    let number = Accepts::one_of([Accepts::DOUBLE, Accepts::Type(DataType::Float32)]);
    registry.add(Function::scalar("isnan", [number], flag, isnan));
    registry.add(Function::rewrite(
        "nanvl",
        [Accepts::DOUBLE, Accepts::DOUBLE],
        nanvl_call,
    ));
}

fn positive(x: f64, f: fn(f64) -> f64) -> Option<f64> {
    above(x, 0.0, f)
}

/// Logarithms are NULL where they are not defined; NaN stays NaN.
fn above(x: f64, limit: f64, f: fn(f64) -> f64) -> Option<f64> {
    if x <= limit { None } else { Some(f(x)) }
}

type Compute = fn(f64) -> Option<f64>;

const UNARY: &[(&str, Compute)] = &[
    ("sqrt", |x| Some(x.sqrt())),
    ("cbrt", |x| Some(libm::cbrt(x))),
    ("exp", |x| Some(libm::exp(x))),
    ("expm1", |x| Some(libm::expm1(x))),
    ("log10", |x| positive(x, libm::log10)),
    ("log2", |x| positive(x, |x| libm::log(x) / libm::log(2.0))),
    ("log1p", |x| above(x, -1.0, libm::log1p)),
    ("sin", |x| Some(libm::sin(x))),
    ("cos", |x| Some(libm::cos(x))),
    ("tan", |x| Some(libm::tan(x))),
    ("cot", |x| Some(1.0 / libm::tan(x))),
    ("sec", |x| Some(1.0 / libm::cos(x))),
    ("csc", |x| Some(1.0 / libm::sin(x))),
    ("asin", |x| Some(libm::asin(x))),
    ("acos", |x| Some(libm::acos(x))),
    ("atan", |x| Some(libm::atan(x))),
    ("sinh", |x| Some(hyperbolic::sinh(x))),
    ("cosh", |x| Some(hyperbolic::cosh(x))),
    ("tanh", |x| Some(hyperbolic::tanh(x))),
    ("asinh", |x| Some(libm::asinh(x))),
    ("acosh", |x| Some(libm::acosh(x))),
    ("atanh", |x| Some(0.5 * (libm::log1p(x) - libm::log1p(-x)))),
    ("degrees", |x| Some(x * (180.0 / PI))),
    ("radians", |x| Some(x * (PI / 180.0))),
];

type Compute2 = fn(f64, f64) -> f64;

/// Name, name that is printed, function.
const BINARY: &[(&str, &str, Compute2)] = &[
    ("pow", "pow", libm::pow),
    ("power", "POWER", libm::pow),
    ("atan2", "ATAN2", |y, x| libm::atan2(y + 0.0, x + 0.0)),
    ("hypot", "HYPOT", libm::hypot),
];

fn unary(registry: &mut Registry, name: &'static str, shown: &str, compute: Compute) {
    let kernel = Arc::new(Unary { name, compute });
    let shown = shown.to_string();
    registry.add(Function::rewrite(name, [Accepts::DOUBLE], move |call| {
        let kernel: Arc<dyn PreparedKernel> = Arc::<Unary>::clone(&kernel);
        let typed = call.kernel(kernel, DataType::Float64, true);
        Ok(typed.named(format!("{shown}({})", call.arg(0)?.name)))
    }));
}

#[derive(Debug)]
struct Unary {
    name: &'static str,
    compute: Compute,
}

impl PreparedKernel for Unary {
    fn fingerprint(&self) -> String {
        self.name.to_string()
    }

    fn evaluate(&self, batch: &Batch<'_>) -> Result<ArrayRef> {
        let rows = Rows::new(batch)?;
        let values = rows.primitive::<Float64Type>(0)?;
        rows.numbers::<Float64Type>(|row| Ok((self.compute)(values.value(row))))
    }
}

#[derive(Debug)]
struct Binary {
    name: &'static str,
    compute: Compute2,
}

impl PreparedKernel for Binary {
    fn fingerprint(&self) -> String {
        self.name.to_string()
    }

    fn evaluate(&self, batch: &Batch<'_>) -> Result<ArrayRef> {
        let rows = Rows::new(batch)?;
        let (a, b) = (
            rows.primitive::<Float64Type>(0)?,
            rows.primitive::<Float64Type>(1)?,
        );
        rows.numbers::<Float64Type>(|row| Ok(Some((self.compute)(a.value(row), b.value(row)))))
    }
}

/// `log(x)` is natural, `log(base, x)` is not.
fn log_call(call: &Call<'_>) -> Result<TypedExpr> {
    let call = match call.args.as_slice() {
        [x] => {
            let e = TypedExpr::new(
                lit(ScalarValue::Float64(Some(E))),
                DataType::Float64,
                false,
                "E()",
            );
            with_args(call, vec![e, x.clone()])
        }
        args => with_args(call, args.to_vec()),
    };
    let typed = call.kernel(Arc::new(Logarithm), DataType::Float64, true);
    let name = format!("LOG({}, {})", call.arg(0)?.name, call.arg(1)?.name);
    Ok(typed.named(name))
}

#[derive(Debug)]
struct Logarithm;

impl PreparedKernel for Logarithm {
    fn fingerprint(&self) -> String {
        "log".to_string()
    }

    fn evaluate(&self, batch: &Batch<'_>) -> Result<ArrayRef> {
        let rows = Rows::new(batch)?;
        let (bases, values) = (
            rows.primitive::<Float64Type>(0)?,
            rows.primitive::<Float64Type>(1)?,
        );
        rows.numbers::<Float64Type>(|row| {
            let (base, x) = (bases.value(row), values.value(row));
            let undefined = base <= 0.0 || x <= 0.0;
            Ok((!undefined).then(|| libm::log(x) / libm::log(base)))
        })
    }
}

fn isnan(batch: &Batch<'_>) -> Result<ArrayRef> {
    use arrow::{array::Array, datatypes::Float32Type};
    let rows = Rows::requiring(batch, 0)?;
    let array = rows.array(0)?;
    if *array.data_type() == DataType::Float32 {
        let values = rows.primitive::<Float32Type>(0)?;
        return rows.flags(|row| Ok(Some(values.is_valid(row) && values.value(row).is_nan())));
    }
    let values = rows.primitive::<Float64Type>(0)?;
    rows.flags(|row| Ok(Some(values.is_valid(row) && values.value(row).is_nan())))
}

/// `nanvl(a, b)`: b where a is NaN.
fn nanvl_call(call: &Call<'_>) -> Result<TypedExpr> {
    Ok(call.kernel(Arc::new(NanVl), DataType::Float64, call.any_nullable()))
}

#[derive(Debug)]
struct NanVl;

impl PreparedKernel for NanVl {
    fn fingerprint(&self) -> String {
        "nanvl".to_string()
    }

    fn evaluate(&self, batch: &Batch<'_>) -> Result<ArrayRef> {
        use arrow::array::Array;
        let rows = Rows::requiring(batch, 1)?;
        let (a, b) = (
            rows.primitive::<Float64Type>(0)?,
            rows.primitive::<Float64Type>(1)?,
        );
        rows.numbers::<Float64Type>(|row| {
            let value = a.value(row);
            Ok(match value.is_nan() {
                true => b.is_valid(row).then(|| b.value(row)),
                false => Some(value),
            })
        })
    }
}
