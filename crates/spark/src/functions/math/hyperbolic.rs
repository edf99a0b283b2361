//! Hyperbolic functions by fdlibm's formulas; the `libm` crate's differ in the last bit.

/// Beyond this, `exp` overflows.
const EXP_MAX: f64 = 709.782_712_893_384;
/// From here on, the smaller of `exp(x)` and `exp(-x)` does not count.
const ONE_SIDED: f64 = 22.0;
const HALF_LN_2: f64 = std::f64::consts::LN_2 / 2.0;

pub(super) fn sinh(x: f64) -> f64 {
    let magnitude = x.abs();
    let half = 0.5_f64.copysign(x);
    if magnitude < ONE_SIDED {
        // 2^-28: the cube is below the last bit.
        if magnitude < 3.725_290_298_461_914e-9 {
            return x;
        }
        let t = libm::expm1(magnitude);
        return match magnitude < 1.0 {
            true => half * (2.0 * t - t * t / (t + 1.0)),
            false => half * (t + t / (t + 1.0)),
        };
    }
    if magnitude < EXP_MAX {
        return half * libm::exp(magnitude);
    }
    let root = libm::exp(0.5 * magnitude);
    half * root * root
}

pub(super) fn cosh(x: f64) -> f64 {
    let magnitude = x.abs();
    if magnitude < HALF_LN_2 {
        let t = libm::expm1(magnitude);
        let w = 1.0 + t;
        return 1.0 + t * t / (w + w);
    }
    if magnitude < ONE_SIDED {
        let t = libm::exp(magnitude);
        return 0.5 * t + 0.5 / t;
    }
    if magnitude < EXP_MAX {
        return 0.5 * libm::exp(magnitude);
    }
    let root = libm::exp(0.5 * magnitude);
    0.5 * root * root
}

pub(super) fn tanh(x: f64) -> f64 {
    let magnitude = x.abs();
    if x.is_nan() {
        return x;
    }
    let value = if magnitude >= ONE_SIDED {
        1.0
    } else if magnitude < f64::EPSILON / 8.0 {
        return x;
    } else if magnitude >= 1.0 {
        1.0 - 2.0 / (libm::expm1(2.0 * magnitude) + 2.0)
    } else {
        let t = libm::expm1(-2.0 * magnitude);
        -t / (t + 2.0)
    };
    value.copysign(x)
}
