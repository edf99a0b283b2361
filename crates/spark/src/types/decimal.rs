//! Spark's rules for the precision and scale of decimals.
use arrow::datatypes::DataType;

/// Most digits a decimal can have.
pub const MAX_PRECISION: u8 = 38;
/// Fraction digits that survive when a result has to be cut to fit.
const MIN_ADJUSTED_SCALE: i32 = 6;

/// Precision and scale of the decimal that holds every value of `data_type` (floating types: as Spark approximates).
pub fn for_type(data_type: &DataType) -> Option<(u8, i8)> {
    Some(match data_type {
        DataType::Int8 => (3, 0),
        DataType::Int16 => (5, 0),
        DataType::Int32 => (10, 0),
        DataType::Int64 => (20, 0),
        DataType::Float32 => (14, 7),
        DataType::Float64 => (30, 15),
        DataType::Decimal128(p, s) => (*p, *s),
        _ => return None,
    })
}

/// Cuts `precision` and `scale` to what fits, keeping at least six fraction digits where there were that many.
pub fn adjust(precision: i32, scale: i32) -> (u8, i8) {
    let max = i32::from(MAX_PRECISION);
    if precision <= max {
        return (precision as u8, scale as i8);
    }
    let int_digits = precision - scale;
    let min_scale = scale.min(MIN_ADJUSTED_SCALE);
    let adjusted = (max - int_digits).max(min_scale);
    (MAX_PRECISION, adjusted as i8)
}

/// Cuts both to the maximum, without regard to fraction digits.
pub fn bounded(precision: i32, scale: i32) -> (u8, i8) {
    let max = i32::from(MAX_PRECISION);
    (precision.min(max) as u8, scale.min(max) as i8)
}

/// The decimal both of `a` and `b` widen to.
pub fn wider(a: (u8, i8), b: (u8, i8)) -> (u8, i8) {
    let (p1, s1, p2, s2) = (
        i32::from(a.0),
        i32::from(a.1),
        i32::from(b.0),
        i32::from(b.1),
    );
    let scale = s1.max(s2);
    let range = (p1 - s1).max(p2 - s2);
    bounded_wider(range, scale)
}

fn bounded_wider(range: i32, scale: i32) -> (u8, i8) {
    let max = i32::from(MAX_PRECISION);
    if range + scale <= max {
        return ((range + scale) as u8, scale as i8);
    }
    // Whole digits win over fraction digits.
    (MAX_PRECISION, (max - range).max(0) as i8)
}

/// Operators whose result precision Spark defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecimalOp {
    /// `+` and `-`
    AddSubtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`, `pmod`
    Remainder,
    /// `div`
    IntegralDivide,
}

/// Type of the result of `op`.
pub fn result(op: DecimalOp, a: (u8, i8), b: (u8, i8)) -> (u8, i8) {
    let (p1, s1, p2, s2) = (
        i32::from(a.0),
        i32::from(a.1),
        i32::from(b.0),
        i32::from(b.1),
    );
    match op {
        DecimalOp::AddSubtract => {
            let scale = s1.max(s2);
            adjust((p1 - s1).max(p2 - s2) + scale + 1, scale)
        }
        DecimalOp::Multiply => adjust(p1 + p2 + 1, s1 + s2),
        DecimalOp::Divide => {
            let scale = MIN_ADJUSTED_SCALE.max(s1 + p2 + 1);
            adjust(p1 - s1 + s2 + scale, scale)
        }
        DecimalOp::Remainder => {
            let scale = s1.max(s2);
            adjust((p1 - s1).min(p2 - s2) + scale, scale)
        }
        DecimalOp::IntegralDivide => bounded((p1 - s1 + s2).max(1), 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_follow_sparks_table() {
        for (op, a, b, expected) in [
            (DecimalOp::AddSubtract, (2, 1), (3, 1), (4, 1)),
            (DecimalOp::Multiply, (2, 1), (2, 1), (5, 2)),
            (DecimalOp::Multiply, (38, 10), (38, 10), (38, 6)),
            (DecimalOp::Divide, (2, 1), (2, 1), (8, 6)),
            (DecimalOp::Divide, (10, 0), (10, 0), (21, 11)),
        ] {
            assert_eq!(result(op, a, b), expected, "{op:?} {a:?} {b:?}");
        }
    }
}
