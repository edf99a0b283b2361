//! Which casts there are, and which of them may give NULL.
use arrow::datatypes::{DataType, Field};

use super::EvalMode;
use crate::types::{
    CALENDAR, DAY_TIME, TIME, YEAR_MONTH, decimal, is_ansi_interval, is_atomic, is_datetime,
    is_decimal, is_floating, is_integral, is_interval, is_numeric, is_timestamp, map_fields,
    same_type,
};

/// Whether a value of `from` can be cast to `to` at all.
pub fn can_cast(from: &DataType, to: &DataType, mode: EvalMode) -> bool {
    if same_type(from, to) {
        return true;
    }
    match (from, to) {
        (DataType::Null, _) | (_, DataType::Utf8) => true,
        (DataType::List(a), DataType::List(b)) => {
            part_fits(a, b, mode) && can_cast(a.data_type(), b.data_type(), mode)
        }
        (DataType::Map(_, _), DataType::Map(_, _)) => match (map_fields(from), map_fields(to)) {
            (Some((ka, va)), Some((kb, vb))) => {
                can_cast(ka.data_type(), kb.data_type(), mode)
                    && (mode == EvalMode::Ansi || !may_null(ka.data_type(), kb.data_type(), mode))
                    && can_cast(va.data_type(), vb.data_type(), mode)
                    && part_fits(va, vb, mode)
            }
            _ => false,
        },
        (DataType::Struct(a), DataType::Struct(b)) => {
            a.len() == b.len()
                && a.iter().zip(b).all(|(x, y)| {
                    can_cast(x.data_type(), y.data_type(), mode) && part_fits(x, y, mode)
                })
        }
        _ => can_cast_atomic(from, to, mode),
    }
}

/// Under ANSI rules a part that cannot be converted is an error, not a NULL.
fn part_fits(from: &Field, to: &Field, mode: EvalMode) -> bool {
    let forced = mode != EvalMode::Ansi && may_null(from.data_type(), to.data_type(), mode);
    fits(from.is_nullable() || forced, to.is_nullable())
}

fn fits(may_be_null: bool, takes_null: bool) -> bool {
    !may_be_null || takes_null
}

fn can_cast_atomic(from: &DataType, to: &DataType, mode: EvalMode) -> bool {
    // TRY_CAST follows the ANSI table.
    let legacy = mode == EvalMode::Legacy;
    match (from, to) {
        (DataType::Utf8, t) => {
            matches!(t, DataType::Binary | DataType::Boolean | DataType::Date32)
                || *t == TIME
                || is_numeric(t)
                || matches!(t, DataType::Timestamp(_, _))
                || is_interval(t)
        }
        (DataType::Boolean, t) => is_numeric(t) || (legacy && is_timestamp(t)),
        (f, DataType::Boolean) => {
            is_numeric(f) || (legacy && (is_timestamp(f) || *f == DataType::Date32))
        }
        (f, t) if is_numeric(f) && is_numeric(t) => true,
        (f, t) if is_numeric(f) && is_timestamp(t) => true,
        (f, t) if is_timestamp(f) && is_numeric(t) => true,
        (DataType::Date32, t) if is_numeric(t) => legacy,
        (f, t) if is_datetime(f) && is_datetime(t) => true,
        (f, t) if is_datetime(f) && *t == TIME => matches!(f, DataType::Timestamp(_, None)),
        (f, DataType::Binary) if is_integral(f) => legacy,
        (f, t) if is_integral(f) && is_ansi_interval(t) => true,
        (f, t) if is_ansi_interval(f) && (is_integral(t) || is_decimal(t)) => true,
        (f, t) if *f == CALENDAR || *t == CALENDAR => false,
        _ => false,
    }
}

/// Whether a non-NULL value of `from` may become NULL (or fail) as a `to`.
pub(crate) fn may_null(from: &DataType, to: &DataType, mode: EvalMode) -> bool {
    if mode == EvalMode::Try && !same_type(from, to) && !can_up_cast(from, to) {
        return true;
    }
    match (from, to) {
        (DataType::Null, _) => false,
        (f, t) if same_type(f, t) => false,
        (DataType::Utf8, DataType::Binary) => false,
        (DataType::Utf8, _) => true,
        (_, DataType::Utf8) => false,
        (f, DataType::Int8 | DataType::Int16 | DataType::Int32) if is_timestamp(f) => true,
        (f, t) if is_floating(f) && is_timestamp(t) => true,
        (f, DataType::Date32) => !matches!(f, DataType::Timestamp(_, Some(_))),
        (DataType::Date32, t) => !is_timestamp(t),
        (_, t) if *t == CALENDAR => true,
        // Losing fraction digits is rounding; only whole digits can be too many.
        (DataType::Decimal128(p1, s1), DataType::Decimal128(p, s))
            if i32::from(*p) - i32::from(*s) > i32::from(*p1) - i32::from(*s1) =>
        {
            false
        }
        (f, DataType::Decimal128(p, s)) => !decimal_holds(f, (*p, *s)),
        (f, t) if is_integral(t) => is_floating(f) || is_decimal(f),
        _ => false,
    }
}

fn decimal_holds(from: &DataType, to: (u8, i8)) -> bool {
    let wider = |(p, s): (u8, i8)| {
        i32::from(to.0) - i32::from(to.1) >= i32::from(p) - i32::from(s) && to.1 >= s
    };
    match from {
        DataType::Boolean => wider((1, 0)),
        f if is_integral(f) || is_decimal(f) => decimal::for_type(f).is_some_and(wider),
        _ => false,
    }
}

/// Casts that Spark inserts without asking where no precision can be lost.
pub fn can_up_cast(from: &DataType, to: &DataType) -> bool {
    if same_type(from, to) {
        return true;
    }
    match (from, to) {
        (DataType::Null, _) => true,
        (f, DataType::Decimal128(p, s)) if is_integral(f) || is_decimal(f) => {
            decimal_holds(f, (*p, *s))
        }
        (DataType::Decimal128(p, s), t) if is_integral(t) => {
            decimal::for_type(t).is_some_and(|(tp, _)| *s == 0 && *p < tp)
        }
        (f, t) if is_numeric(f) && is_numeric(t) && !is_decimal(f) && !is_decimal(t) => {
            rank(f) < rank(t)
        }
        (DataType::Date32, DataType::Timestamp(_, _)) => true,
        (DataType::Timestamp(_, None), t) => is_timestamp(t),
        (f, DataType::Timestamp(_, None)) if is_timestamp(f) => true,
        (f, DataType::Utf8) => is_atomic(f) || *f == CALENDAR,
        (DataType::List(a), DataType::List(b)) => {
            fits(a.is_nullable(), b.is_nullable()) && can_up_cast(a.data_type(), b.data_type())
        }
        (DataType::Struct(a), DataType::Struct(b)) => {
            a.len() == b.len()
                && a.iter().zip(b).all(|(x, y)| {
                    fits(x.is_nullable(), y.is_nullable())
                        && can_up_cast(x.data_type(), y.data_type())
                })
        }
        (DataType::Map(_, _), DataType::Map(_, _)) => match (map_fields(from), map_fields(to)) {
            (Some((ka, va)), Some((kb, vb))) => {
                fits(va.is_nullable(), vb.is_nullable())
                    && can_up_cast(ka.data_type(), kb.data_type())
                    && can_up_cast(va.data_type(), vb.data_type())
            }
            _ => false,
        },
        _ => false,
    }
}

fn rank(data_type: &DataType) -> u8 {
    match data_type {
        DataType::Int8 => 1,
        DataType::Int16 => 2,
        DataType::Int32 => 3,
        DataType::Int64 => 4,
        DataType::Float32 => 5,
        DataType::Float64 => 6,
        _ => 0,
    }
}

/// ANSI store assignment: what a value may be cast to when it is stored or passed to a function.
pub fn can_store_assign(from: &DataType, to: &DataType) -> bool {
    if same_type(from, to) {
        return true;
    }
    match (from, to) {
        (DataType::Null, _) => true,
        (f, t) if is_numeric(f) && is_numeric(t) => true,
        (f, DataType::Utf8) => is_atomic(f) || *f == CALENDAR,
        (f, t) if is_datetime(f) && is_datetime(t) => true,
        (DataType::List(a), DataType::List(b)) => {
            fits(a.is_nullable(), b.is_nullable()) && can_store_assign(a.data_type(), b.data_type())
        }
        (DataType::Struct(a), DataType::Struct(b)) => {
            a.len() == b.len()
                && a.iter().zip(b).all(|(x, y)| {
                    fits(x.is_nullable(), y.is_nullable())
                        && can_store_assign(x.data_type(), y.data_type())
                })
        }
        (DataType::Map(_, _), DataType::Map(_, _)) => match (map_fields(from), map_fields(to)) {
            (Some((ka, va)), Some((kb, vb))) => {
                fits(va.is_nullable(), vb.is_nullable())
                    && can_store_assign(ka.data_type(), kb.data_type())
                    && can_store_assign(va.data_type(), vb.data_type())
            }
            _ => false,
        },
        _ => false,
    }
}

/// Casts for which Arrow's kernel does exactly what Spark does: they cannot fail, round or print.
pub(super) fn is_arrows_own(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (f, t) if is_integral(f) && is_integral(t) => rank(f) < rank(t),
        (f, t) if is_integral(f) && is_floating(t) => true,
        (DataType::Float32, DataType::Float64) => true,
        (f, DataType::Decimal128(p, s)) if is_integral(f) => decimal_holds(f, (*p, *s)),
        (DataType::Decimal128(_, _), DataType::Decimal128(p, s)) => decimal_holds(from, (*p, *s)),
        (DataType::Utf8, DataType::Binary) => true,
        _ => {
            *from == DataType::Null
                && !matches!(to, DataType::Struct(_))
                && *to != DAY_TIME
                && *to != YEAR_MONTH
        }
    }
}
