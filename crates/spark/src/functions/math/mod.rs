//! Mathematical functions; those that have an operator as well (`mod`, `negative`) are with the operators.
//!
//! Spark computes transcendental functions with Java's `StrictMath`, which is fdlibm, bit for bit the same on every
//! machine. So does this: the `libm` crate is a port of the same code, and the standard library's functions are not used
//! where they could differ in the last bit.
//!
//! | module | functions |
//! |---|---|
//! | `real`, `hyperbolic` | functions of one or two doubles: `sqrt`, `exp`, `log`, `sin`, `pow`, … |
//! | `rounding` | `ceil`, `floor`, `round`, `bround` |
//! | `sign` | `abs`, `sign` |
//! | `remainder` | `pmod` |
//! | `tolerant` | `try_add`, `try_subtract`, `try_multiply`, `try_divide`, `try_mod` |
//! | `bits` | `bit_count`, `bit_get`, `bin`, `conv` |
//! | `extremes` | `greatest`, `least` |
//! | `whole` | `factorial`, `width_bucket` |
//! | `random` | `rand`, `randn` |
mod bits;
mod extremes;
mod hyperbolic;
mod random;
mod real;
mod remainder;
mod rounding;
mod sign;
mod tolerant;
mod whole;

use super::Registry;

/// Adds the family.
pub(super) fn register(registry: &mut Registry) {
    real::register(registry);
    rounding::register(registry);
    sign::register(registry);
    remainder::register(registry);
    tolerant::register(registry);
    bits::register(registry);
    extremes::register(registry);
    whole::register(registry);
    random::register(registry);
}
