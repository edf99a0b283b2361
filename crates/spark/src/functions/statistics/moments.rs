//! Central moments of one value: `stddev`, `variance`, `skewness`, `kurtosis`.
use std::sync::Arc;

use arrow::datatypes::DataType;

use super::running::Running;
use crate::functions::{Accepts, Function, Parameters, Registry, aggregate_of_kernel};

/// Count, mean, and sums of the second, third and fourth powers of the distances from the mean.
type State = [f64; 5];

pub(super) fn register(registry: &mut Registry) {
    registry.add(Function::aggregate(
        "product",
        Parameters::fixed([Accepts::DOUBLE]),
        |call| {
            let kernel = Running {
                result: "product",
                update: |[product, rows]: &mut [f64; 2], [value]: [f64; 1]| {
                    *product = if *rows == 0.0 {
                        value
                    } else {
                        *product * value
                    };
                    *rows += 1.0;
                },
                merge: |[product, rows], [other, others]| {
                    if *others > 0.0 {
                        *product = if *rows == 0.0 {
                            *other
                        } else {
                            *product * other
                        };
                        *rows += others;
                    }
                },
                finish: |[product, rows]| (*rows > 0.0).then_some(*product),
            };
            aggregate_of_kernel(call, Arc::new(kernel), DataType::Float64, true)
        },
    ));
    type Finish = fn(&State) -> Option<f64>;
    let sample: Finish = |[n, _, m2, ..]| (*n > 1.0).then(|| m2 / (n - 1.0));
    let population: Finish = |[n, _, m2, ..]| (*n > 0.0).then(|| m2 / n);
    for (name, aliases, finish) in [
        (
            "stddev_samp",
            &["stddev", "std"][..],
            (|s| variance_of(s, 1.0).map(f64::sqrt)) as Finish,
        ),
        ("stddev_pop", &[], |s| variance_of(s, 0.0).map(f64::sqrt)),
        ("var_samp", &["variance"], sample),
        ("var_pop", &[], population),
        ("skewness", &[], |[n, _, m2, m3, _]| {
            (*n > 0.0 && *m2 != 0.0).then(|| n.sqrt() * m3 / (m2 * m2 * m2).sqrt())
        }),
        ("kurtosis", &[], |[n, _, m2, _, m4]| {
            (*n > 0.0 && *m2 != 0.0).then(|| n * m4 / (m2 * m2) - 3.0)
        }),
    ] {
        let kernel = Running {
            result: name,
            update,
            merge,
            finish,
        };
        let mut function =
            Function::aggregate(name, Parameters::fixed([Accepts::DOUBLE]), move |call| {
                aggregate_of_kernel(call, Arc::new(kernel), DataType::Float64, true)
            });
        for alias in aliases {
            function = function.alias(alias);
        }
        registry.add(function);
    }
}

fn variance_of([n, _, m2, ..]: &State, freedom: f64) -> Option<f64> {
    (*n > freedom).then(|| m2 / (n - freedom))
}

fn update(state: &mut State, [value]: [f64; 1]) {
    let [n, mean, m2, m3, m4] = *state;
    let count = n + 1.0;
    let delta = value - mean;
    let delta_n = delta / count;
    let new_m2 = m2 + delta * (delta - delta_n);
    let (delta2, delta_n2) = (delta * delta, delta_n * delta_n);
    let new_m3 = m3 - 3.0 * delta_n * new_m2 + delta * (delta2 - delta_n2);
    let new_m4 = m4 - 4.0 * delta_n * new_m3 - 6.0 * delta_n2 * new_m2
        + delta * (delta * delta2 - delta_n * delta_n2);
    *state = [count, mean + delta_n, new_m2, new_m3, new_m4];
}

fn merge(state: &mut State, other: &State) {
    let ([n1, mean, m2, m3, m4], [n2, mean2, o2, o3, o4]) = (*state, *other);
    let n = n1 + n2;
    if n2 == 0.0 {
        return;
    }
    let delta = mean2 - mean;
    let delta_n = if n == 0.0 { 0.0 } else { delta / n };
    let new_m2 = m2 + o2 + delta * delta_n * n1 * n2;
    let new_m3 = m3
        + o3
        + delta_n * delta_n * delta * n1 * n2 * (n1 - n2)
        + 3.0 * delta_n * (n1 * o2 - n2 * m2);
    let new_m4 = m4
        + o4
        + delta_n * delta_n * delta_n * delta * n1 * n2 * (n1 * n1 - n1 * n2 + n2 * n2)
        + 6.0 * delta_n * delta_n * (n1 * n1 * o2 + n2 * n2 * m2)
        + 4.0 * delta_n * (n1 * o3 - n2 * m3);
    *state = [n, mean + delta_n * n2, new_m2, new_m3, new_m4];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_halves_have_the_moments_of_the_whole() {
        let values = [-10.0, -20.0, 100.0, 1000.0, 3.0];
        let mut whole = [0.0; 5];
        values.iter().for_each(|v| update(&mut whole, [*v]));
        for cut in 0..=values.len() {
            let (mut left, mut right) = ([0.0; 5], [0.0; 5]);
            values
                .iter()
                .take(cut)
                .for_each(|v| update(&mut left, [*v]));
            values
                .iter()
                .skip(cut)
                .for_each(|v| update(&mut right, [*v]));
            merge(&mut left, &right);
            for (a, b) in left.iter().zip(&whole) {
                assert!(
                    (a - b).abs() <= b.abs() * 1e-12,
                    "cut {cut}: {left:?} {whole:?}"
                );
            }
        }
    }
}
