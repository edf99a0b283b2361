//! Common types: what operands of different types are cast to before they meet.
//!
//! Two tables, as in Spark: ANSI (the default) promotes text to the other operand's type, and the legacy one promotes
//! towards text. Both first try the *tightest* common type, which loses nothing, and then wider ones.
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};

use crate::{
    cast::{EvalMode, can_cast, coerce},
    error::Result,
    functions::EvalContext,
    typed::TypedExpr,
    types::{
        self, CALENDAR, as_nullable, decimal, is_ansi_interval, is_atomic, is_datetime, is_decimal,
        is_floating, is_integral, is_numeric, is_timestamp, map_fields, same_type,
    },
};

/// The type both convert to without loss.
pub fn tightest(a: &DataType, b: &DataType, ansi: bool) -> Option<DataType> {
    if same_type(a, b) {
        return Some(merge_nullability(a, b));
    }
    match (a, b) {
        (DataType::Null, t) | (t, DataType::Null) => Some(t.clone()),
        (i, d @ DataType::Decimal128(_, _)) | (d @ DataType::Decimal128(_, _), i)
            if is_integral(i) =>
        {
            crate::cast::can_up_cast(i, d).then(|| d.clone())
        }
        (x, y) if is_numeric(x) && is_numeric(y) && !is_decimal(x) && !is_decimal(y) => {
            Some(wider_number(x, y, ansi))
        }
        (x, y) if is_datetime(x) && is_datetime(y) => {
            let instant = is_timestamp(x) || is_timestamp(y);
            Some(if instant {
                types::timestamp()
            } else {
                types::TIMESTAMP_NTZ
            })
        }
        _ => complex(a, b, &|x, y| tightest(x, y, ansi)),
    }
}

fn wider_number(a: &DataType, b: &DataType, ansi: bool) -> DataType {
    const ORDER: [DataType; 6] = [
        DataType::Int8,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::Float32,
        DataType::Float64,
    ];
    let wider = ORDER
        .iter()
        .rev()
        .find(|t| *t == a || *t == b)
        .cloned()
        .unwrap_or(DataType::Float64);
    // A FLOAT cannot hold every whole number.
    if ansi && wider == DataType::Float32 {
        DataType::Float64
    } else {
        wider
    }
}

/// The type both convert to, text and precision considered.
pub fn wider(a: &DataType, b: &DataType, ansi: bool) -> Option<DataType> {
    tightest(a, b, ansi)
        .or_else(|| wider_decimal(a, b))
        .or_else(|| {
            if ansi {
                with_string(a, b)
            } else {
                legacy_with_string(a, b)
            }
        })
        .or_else(|| complex(a, b, &|x, y| wider(x, y, ansi)))
}

/// The type all convert to; VOID for none.
pub fn wider_of<'a>(types: impl IntoIterator<Item = &'a DataType>, ansi: bool) -> Option<DataType> {
    types
        .into_iter()
        .try_fold(DataType::Null, |found, next| wider(&found, next, ansi))
}

fn wider_decimal(a: &DataType, b: &DataType) -> Option<DataType> {
    let decimal_type = |(p, s): (u8, i8)| DataType::Decimal128(p, s);
    match (a, b) {
        (DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2)) => {
            Some(decimal_type(decimal::wider((*p1, *s1), (*p2, *s2))))
        }
        (i, DataType::Decimal128(p, s)) | (DataType::Decimal128(p, s), i) if is_integral(i) => {
            Some(decimal_type(decimal::wider(
                decimal::for_type(i)?,
                (*p, *s),
            )))
        }
        (f, d) | (d, f) if is_floating(f) && is_decimal(d) => Some(DataType::Float64),
        _ => None,
    }
}

/// ANSI: text becomes what the other operand is.
pub fn with_string(a: &DataType, b: &DataType) -> Option<DataType> {
    match (a, b) {
        (DataType::Utf8, t) | (t, DataType::Utf8) => match t {
            DataType::Utf8 | DataType::Null => Some(DataType::Utf8),
            t if is_integral(t) => Some(DataType::Int64),
            t if is_floating(t) || is_decimal(t) => Some(DataType::Float64),
            t if is_ansi_interval(t) || *t == CALENDAR => None,
            t => is_atomic(t).then(|| t.clone()),
        },
        _ => None,
    }
}

fn legacy_with_string(a: &DataType, b: &DataType) -> Option<DataType> {
    match (a, b) {
        (DataType::Utf8, t) | (t, DataType::Utf8) => (is_atomic(t)
            && !matches!(t, DataType::Binary | DataType::Boolean))
        .then_some(DataType::Utf8),
        _ => None,
    }
}

/// What the operands of a comparison are cast to.
pub fn for_comparison(a: &DataType, b: &DataType, ansi: bool) -> Option<DataType> {
    if ansi {
        return tightest(a, b, ansi)
            .or_else(|| wider_decimal(a, b))
            .or_else(|| with_string(a, b))
            .or_else(|| complex(a, b, &|x, y| for_comparison(x, y, ansi)));
    }
    tightest(a, b, ansi)
        .or_else(|| wider_decimal(a, b))
        .or_else(|| match (a, b) {
            (DataType::Utf8, t) | (t, DataType::Utf8) => match t {
                DataType::Decimal128(_, _) => Some(DataType::Float64),
                t if *t == CALENDAR => None,
                t => is_atomic(t).then(|| t.clone()),
            },
            _ => complex(a, b, &|x, y| for_comparison(x, y, ansi)),
        })
}

/// Arrays, maps and structs have a common type if their parts have.
fn complex(
    a: &DataType,
    b: &DataType,
    common: &dyn Fn(&DataType, &DataType) -> Option<DataType>,
) -> Option<DataType> {
    let forced = |from: &DataType, to: &DataType| {
        !same_type(from, to) && crate::cast::cast_may_null(from, to)
    };
    match (a, b) {
        (DataType::List(x), DataType::List(y)) => {
            let item = common(x.data_type(), y.data_type())?;
            let nullable = x.is_nullable()
                || y.is_nullable()
                || forced(x.data_type(), &item)
                || forced(y.data_type(), &item);
            Some(types::list(item, nullable))
        }
        (DataType::Map(_, _), DataType::Map(_, _)) => {
            let ((ka, va), (kb, vb)) = (map_fields(a)?, map_fields(b)?);
            let key = common(ka.data_type(), kb.data_type())?;
            if forced(ka.data_type(), &key) || forced(kb.data_type(), &key) {
                return None;
            }
            let value = common(va.data_type(), vb.data_type())?;
            let nullable = va.is_nullable()
                || vb.is_nullable()
                || forced(va.data_type(), &value)
                || forced(vb.data_type(), &value);
            Some(types::map(key, value, nullable))
        }
        (DataType::Struct(x), DataType::Struct(y)) if x.len() == y.len() => {
            let fields = x
                .iter()
                .zip(y)
                .map(|(l, r)| {
                    if !l.name().eq_ignore_ascii_case(r.name()) {
                        return None;
                    }
                    let t = common(l.data_type(), r.data_type())?;
                    let nullable = l.is_nullable()
                        || r.is_nullable()
                        || forced(l.data_type(), &t)
                        || forced(r.data_type(), &t);
                    Some(Arc::new(Field::new(l.name(), t, nullable)))
                })
                .collect::<Option<Vec<_>>>()?;
            Some(DataType::Struct(fields.into()))
        }
        _ => None,
    }
}

/// Of two equal types, the one with every part nullable that is so in either.
fn merge_nullability(a: &DataType, b: &DataType) -> DataType {
    if a == b {
        return a.clone();
    }
    complex(a, b, &|x, y| Some(merge_nullability(x, y))).unwrap_or_else(|| {
        if a.is_nested() {
            as_nullable(a)
        } else {
            a.clone()
        }
    })
}

/// Casts all to their common type; `None` if they have none.
pub fn unify(
    values: Vec<TypedExpr>,
    context: &Arc<EvalContext>,
) -> Result<Option<(Vec<TypedExpr>, DataType)>> {
    let Some(common) = wider_of(values.iter().map(|v| &v.data_type), context.ansi) else {
        return Ok(None);
    };
    let mode = if context.ansi {
        EvalMode::Ansi
    } else {
        EvalMode::Legacy
    };
    if values
        .iter()
        .any(|v| !can_cast(&v.data_type, &common, mode))
    {
        return Ok(None);
    }
    let values = values
        .into_iter()
        .map(|v| coerce(v, &common, context))
        .collect::<Result<_>>()?;
    Ok(Some((values, common)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ansi_promotes_text_to_the_other_type() {
        for (a, b, expected) in [
            (DataType::Int32, DataType::Utf8, Some(DataType::Int64)),
            (DataType::Float32, DataType::Utf8, Some(DataType::Float64)),
            (DataType::Date32, DataType::Utf8, Some(DataType::Date32)),
            (DataType::Boolean, DataType::Int32, None),
            (DataType::Int32, DataType::Float32, Some(DataType::Float64)),
            (
                DataType::Int64,
                DataType::Decimal128(2, 1),
                Some(DataType::Decimal128(21, 1)),
            ),
            (
                DataType::Date32,
                types::TIMESTAMP_NTZ,
                Some(types::TIMESTAMP_NTZ),
            ),
        ] {
            assert_eq!(wider(&a, &b, true), expected, "{a} {b}");
            assert_eq!(wider(&b, &a, true), expected, "{b} {a}");
        }
    }

    #[test]
    fn parts_are_widened_together() {
        let a = types::list(DataType::Int32, false);
        let b = types::list(DataType::Null, true);
        assert_eq!(
            wider(&a, &b, true),
            Some(types::list(DataType::Int32, true))
        );
    }
}
