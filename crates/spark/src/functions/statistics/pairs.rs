//! Moments of two values: `corr`, `covar_pop`, `covar_samp` and linear regression.
//!
//! A row counts if neither value is NULL. Of `regr_…(y, x)`, the first argument is the dependent variable.
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::{
    common::ScalarValue,
    functions_aggregate::count::count_udaf,
    logical_expr::{lit, when},
};

use super::running::Running;
use crate::functions::{Accepts, Function, Parameters, Registry, aggregate_of_kernel};

/// Count, means of the first and second value, sum of products of distances, sums of squares of distances.
type State = [f64; 6];

pub(super) fn register(registry: &mut Registry) {
    type Finish = fn(&State) -> Option<f64>;
    for (name, finish) in [
        (
            "covar_pop",
            (|[n, _, _, c, ..]| (*n > 0.0).then(|| c / n)) as Finish,
        ),
        ("covar_samp", |[n, _, _, c, ..]| {
            (*n > 1.0).then(|| c / (n - 1.0))
        }),
        ("corr", |[n, _, _, c, a, b]| {
            (*n > 1.0 && *a != 0.0 && *b != 0.0).then(|| c / (a * b).sqrt())
        }),
        ("regr_avgx", |[n, _, x, ..]| (*n > 0.0).then_some(*x)),
        ("regr_avgy", |[n, y, ..]| (*n > 0.0).then_some(*y)),
        ("regr_sxx", |[n, _, _, _, _, xx]| (*n > 0.0).then_some(*xx)),
        ("regr_syy", |[n, _, _, _, yy, _]| (*n > 0.0).then_some(*yy)),
        ("regr_sxy", |[n, _, _, c, ..]| (*n > 0.0).then_some(*c)),
        ("regr_slope", slope),
        ("regr_intercept", |state| {
            let [_, y, x, ..] = state;
            slope(state).map(|slope| y - slope * x)
        }),
        ("regr_r2", |[n, _, _, c, yy, xx]| {
            match (*n > 1.0, *xx == 0.0, *yy == 0.0) {
                (false, ..) | (_, true, _) => None,
                (_, _, true) => Some(1.0),
                _ => Some(c * c / xx / yy),
            }
        }),
    ] {
        let kernel = Running {
            result: name,
            update,
            merge,
            finish,
        };
        let two = Parameters::fixed([Accepts::DOUBLE, Accepts::DOUBLE]);
        registry.add(Function::aggregate(name, two, move |call| {
            aggregate_of_kernel(call, Arc::new(kernel), DataType::Float64, true)
        }));
    }
    let two = Parameters::fixed([Accepts::Numeric, Accepts::Numeric]);
    registry.add(Function::aggregate("regr_count", two, |call| {
        let (y, x) = (call.arg(0)?.expr.clone(), call.arg(1)?.expr.clone());
        let counted = when(y.is_not_null().and(x.is_not_null()), lit(1_i64))
            .otherwise(lit(ScalarValue::Int64(None)))?;
        call.aggregate_of(count_udaf(), vec![counted], DataType::Int64, false)
    }));
}

fn slope([n, _, _, c, _, xx]: &State) -> Option<f64> {
    (*n > 1.0 && *xx != 0.0).then(|| c / xx)
}

fn update(state: &mut State, [a, b]: [f64; 2]) {
    let [n, mean_a, mean_b, c, aa, bb] = *state;
    let count = n + 1.0;
    let (delta_a, delta_b) = (a - mean_a, b - mean_b);
    let (new_a, new_b) = (mean_a + delta_a / count, mean_b + delta_b / count);
    *state = [
        count,
        new_a,
        new_b,
        c + delta_a * (b - new_b),
        aa + delta_a * (a - new_a),
        bb + delta_b * (b - new_b),
    ];
}

fn merge(state: &mut State, other: &State) {
    let ([n1, a1, b1, c1, aa1, bb1], [n2, a2, b2, c2, aa2, bb2]) = (*state, *other);
    if n2 == 0.0 {
        return;
    }
    let n = n1 + n2;
    let (delta_a, delta_b) = (a2 - a1, b2 - b1);
    let (a_n, b_n) = (delta_a / n, delta_b / n);
    *state = [
        n,
        a1 + a_n * n2,
        b1 + b_n * n2,
        c1 + c2 + delta_a * b_n * n1 * n2,
        aa1 + aa2 + delta_a * a_n * n1 * n2,
        bb1 + bb2 + delta_b * b_n * n1 * n2,
    ];
}
