//! Constants: from the wire to values, and as the text Spark gives them.
use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, MapArray, StructArray},
    buffer::OffsetBuffer,
    datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, Fields, IntervalMonthDayNano},
};
use datafusion::common::ScalarValue;
use millstream_connectors::datetime::{
    date_to_string, timestamp_ntz_to_string, timestamp_to_string,
};
use spark_connect_proto::{
    DataType as ProtoType,
    data_type::Kind,
    expression::{
        Literal,
        literal::{self as wire, LiteralType},
    },
};

use crate::{
    cast::display_decimal,
    error::{Result, SparkError},
    functions::EvalContext,
    interval::{day_time_sql, year_month_sql},
    typed::TypedExpr,
    types::{INTERVAL_FIELDS, MAP_FIELDS, data_type_from_proto, interval_fields, map_fields},
};

/// A constant of a plan.
pub fn typed_literal(literal: &Literal, context: &EvalContext) -> Result<TypedExpr> {
    let value = scalar(literal)?;
    let name = interval_name(literal).map_or_else(|| literal_name(&value, context), Ok)?;
    let mut typed = TypedExpr::literal(value, name);
    if let Some(fields) = literal.data_type.as_ref().and_then(interval_fields) {
        typed.metadata.insert(INTERVAL_FIELDS.to_string(), fields);
    }
    Ok(typed)
}

/// The text of an interval constant shows the fields it was declared with.
fn interval_name(literal: &Literal) -> Option<String> {
    match (
        &literal.literal_type,
        literal.data_type.as_ref().and_then(|t| t.kind.as_ref()),
    ) {
        (Some(LiteralType::DayTimeInterval(v)), Some(Kind::DayTimeInterval(t))) => Some(
            day_time_sql(*v, t.start_field.unwrap_or(0), t.end_field.unwrap_or(3)),
        ),
        (Some(LiteralType::YearMonthInterval(v)), Some(Kind::YearMonthInterval(t))) => Some(
            year_month_sql(*v, t.start_field.unwrap_or(0), t.end_field.unwrap_or(1)),
        ),
        _ => None,
    }
}

/// A constant as Spark names a column made of it.
pub fn literal_name(value: &ScalarValue, context: &EvalContext) -> Result<String> {
    if value.is_null() {
        return Ok("NULL".to_string());
    }
    let mut text = String::new();
    Ok(match value {
        ScalarValue::Utf8(Some(t)) => t.clone(),
        ScalarValue::Boolean(Some(v)) => v.to_string(),
        ScalarValue::Int8(Some(v)) => v.to_string(),
        ScalarValue::Int16(Some(v)) => v.to_string(),
        ScalarValue::Int32(Some(v)) => v.to_string(),
        ScalarValue::Int64(Some(v)) => v.to_string(),
        ScalarValue::Float32(Some(v)) => float_text(*v),
        ScalarValue::Float64(Some(v)) => double_text(*v),
        ScalarValue::Decimal128(Some(v), _, s) => display_decimal(*v, *s),
        ScalarValue::Date32(Some(v)) => {
            date_to_string(*v, &mut text);
            format!("DATE '{text}'")
        }
        ScalarValue::TimestampMicrosecond(Some(v), Some(_)) => {
            timestamp_to_string(*v, &context.zone()?, &mut text);
            format!("TIMESTAMP '{text}'")
        }
        ScalarValue::TimestampMicrosecond(Some(v), None) => {
            timestamp_ntz_to_string(*v, &mut text);
            format!("TIMESTAMP_NTZ '{text}'")
        }
        ScalarValue::DurationMicrosecond(Some(v)) => day_time_sql(*v, 0, 3),
        ScalarValue::IntervalYearMonth(Some(v)) => year_month_sql(*v, 0, 1),
        ScalarValue::Binary(Some(bytes)) => {
            let hex: String = bytes.iter().map(|b| format!("{b:02X}")).collect();
            format!("X'{hex}'")
        }
        other => nested_name(other, context)?,
    })
}

fn nested_name(value: &ScalarValue, context: &EvalContext) -> Result<String> {
    let parts = |array: &dyn Array| -> Result<Vec<String>> {
        (0..array.len())
            .map(|i| literal_sql(&ScalarValue::try_from_array(array, i)?, context))
            .collect()
    };
    Ok(match value {
        ScalarValue::List(list) => {
            let parts = parts(&list.value(0))?;
            format!("ARRAY({})", parts.join(", "))
        }
        ScalarValue::Map(map) => {
            let entries = map.value(0);
            let (keys, values) = (parts(entries.column(0))?, parts(entries.column(1))?);
            let pairs: Vec<String> = keys
                .into_iter()
                .zip(values)
                .map(|(k, v)| format!("{k}, {v}"))
                .collect();
            format!("MAP({})", pairs.join(", "))
        }
        ScalarValue::Struct(fields) => {
            let pairs = fields
                .column_names()
                .iter()
                .zip(fields.columns())
                .map(|(name, column)| {
                    let value = literal_sql(&ScalarValue::try_from_array(column, 0)?, context)?;
                    Ok(format!("'{name}', {value}"))
                })
                .collect::<Result<Vec<_>>>()?;
            format!("NAMED_STRUCT({})", pairs.join(", "))
        }
        other => {
            let array = other.to_array()?;
            let text =
                crate::cast::display_strings(&array, crate::cast::ToStringStyle::Cast, context)?;
            if text.is_empty() || text.is_null(0) {
                "NULL".into()
            } else {
                text.value(0).to_string()
            }
        }
    })
}

/// A constant as SQL text: strings in quotes, typed suffixes.
pub fn literal_sql(value: &ScalarValue, context: &EvalContext) -> Result<String> {
    let plain = literal_name(value, context)?;
    Ok(match value {
        _ if value.is_null() => plain,
        ScalarValue::Utf8(_) => format!("'{}'", plain.replace('\\', "\\\\").replace('\'', "\\'")),
        ScalarValue::Int8(_) => format!("{plain}Y"),
        ScalarValue::Int16(_) => format!("{plain}S"),
        ScalarValue::Int64(_) => format!("{plain}L"),
        ScalarValue::Float64(_) => format!("{plain}D"),
        ScalarValue::Float32(_) => format!("CAST({plain} AS FLOAT)"),
        ScalarValue::Decimal128(_, _, _) => format!("{plain}BD"),
        _ => plain,
    })
}

/// Java's `Double.toString`.
pub fn double_text(value: f64) -> String {
    let mut out = String::new();
    millstream_connectors::text::write_double(&mut out, value);
    out
}

/// Java's `Float.toString`.
pub fn float_text(value: f32) -> String {
    let mut out = String::new();
    millstream_connectors::text::write_float(&mut out, value);
    out
}

/// The value of a constant.
pub fn scalar(literal: &Literal) -> Result<ScalarValue> {
    let declared = literal
        .data_type
        .as_ref()
        .map(data_type_from_proto)
        .transpose()?;
    let Some(value) = &literal.literal_type else {
        return Err(SparkError::analysis(
            "CONNECT_INVALID_PLAN.INVALID_ONE_OF_FIELD_NOT_SET",
            &[
                ("fullName", "spark.connect.Expression.Literal"),
                ("name", "literal_type"),
            ],
        ));
    };
    value_of(value, declared.as_ref())
}

fn value_of(value: &LiteralType, declared: Option<&DataType>) -> Result<ScalarValue> {
    Ok(match value {
        LiteralType::Null(t) => {
            let data_type = match declared {
                Some(t) => t.clone(),
                None => data_type_from_proto(t)?,
            };
            ScalarValue::try_from(&data_type)?
        }
        LiteralType::Binary(v) => ScalarValue::Binary(Some(v.to_vec())),
        LiteralType::Boolean(v) => ScalarValue::Boolean(Some(*v)),
        LiteralType::Byte(v) => ScalarValue::Int8(Some(*v as i8)),
        LiteralType::Short(v) => ScalarValue::Int16(Some(*v as i16)),
        LiteralType::Integer(v) => ScalarValue::Int32(Some(*v)),
        LiteralType::Long(v) => ScalarValue::Int64(Some(*v)),
        LiteralType::Float(v) => ScalarValue::Float32(Some(*v)),
        LiteralType::Double(v) => ScalarValue::Float64(Some(*v)),
        LiteralType::Decimal(d) => decimal(d)?,
        LiteralType::String(v) => ScalarValue::Utf8(Some(v.clone())),
        LiteralType::Date(v) => ScalarValue::Date32(Some(*v)),
        LiteralType::Timestamp(v) => {
            ScalarValue::TimestampMicrosecond(Some(*v), Some("UTC".into()))
        }
        LiteralType::TimestampNtz(v) => ScalarValue::TimestampMicrosecond(Some(*v), None),
        LiteralType::CalendarInterval(v) => ScalarValue::IntervalMonthDayNano(Some(
            IntervalMonthDayNano::new(v.months, v.days, v.microseconds.saturating_mul(1000)),
        )),
        LiteralType::YearMonthInterval(v) => ScalarValue::IntervalYearMonth(Some(*v)),
        LiteralType::DayTimeInterval(v) => ScalarValue::DurationMicrosecond(Some(*v)),
        LiteralType::Time(t) => ScalarValue::Time64Microsecond(Some(t.nano / 1000)),
        LiteralType::Array(a) => array(a, declared)?,
        LiteralType::SpecializedArray(a) => specialized(a)?,
        LiteralType::Map(m) => map(m, declared)?,
        LiteralType::Struct(s) => structure(s, declared)?,
        LiteralType::TimestampNtzNanos(_) | LiteralType::TimestampLtzNanos(_) => {
            return Err(SparkError::unsupported("timestamps with nanoseconds"));
        }
    })
}

/// Clients send a precision and scale that need not be the value's: the larger of both counts, as for Spark.
fn decimal(value: &wire::Decimal) -> Result<ScalarValue> {
    let text = value.value.as_str();
    let refused = || {
        SparkError::analysis(
            "CONNECT_INVALID_PLAN.ASSERTION_FAILURE",
            &[("message", &format!("{text} is not a decimal"))],
        )
    };
    let (own_precision, own_scale) = decimal_shape(text).ok_or_else(refused)?;
    let scale = own_scale.max(value.scale.unwrap_or(0));
    let precision = own_precision.max(value.precision.unwrap_or(1)).max(scale);
    if precision > i32::from(DECIMAL128_MAX_PRECISION) {
        return Err(SparkError::analysis(
            "DECIMAL_PRECISION_EXCEEDS_MAX_PRECISION",
            &[
                ("precision", &precision.to_string()),
                ("maxPrecision", &DECIMAL128_MAX_PRECISION.to_string()),
            ],
        ));
    }
    let unscaled = crate::cast::decimal_from_text(text, scale as i8).ok_or_else(refused)?;
    Ok(ScalarValue::Decimal128(
        Some(unscaled),
        precision as u8,
        scale as i8,
    ))
}

/// Precision and scale of a decimal text (`1.20`, `1E-7`), neither below what the other takes; `1E+3` is 1000.
fn decimal_shape(text: &str) -> Option<(i32, i32)> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let fraction = mantissa.split_once('.').map_or(0, |(_, f)| f.len());
    let digits = mantissa
        .bytes()
        .filter(u8::is_ascii_digit)
        .skip_while(|b| *b == b'0')
        .count();
    let (digits, fraction) = (i32::try_from(digits).ok()?, i32::try_from(fraction).ok()?);
    let scale = fraction.checked_sub(exponent)?;
    // Zeros that the exponent adds are digits of the value.
    let added = scale.min(0).checked_neg()?;
    let precision = digits.max(1).checked_add(added)?;
    Some((precision.max(scale), scale.max(0)))
}

fn part_type(
    declared: Option<DataType>,
    old: &Option<ProtoType>,
    found: &[ScalarValue],
) -> Result<DataType> {
    if let Some(t) = declared {
        return Ok(t);
    }
    if let Some(t) = old {
        return data_type_from_proto(t);
    }
    Ok(found
        .iter()
        .map(ScalarValue::data_type)
        .find(|t| *t != DataType::Null)
        .unwrap_or(DataType::Null))
}

/// Parts are of the declared type; a part of another numeric type or an untyped NULL is converted.
fn parts(literals: &[Literal], declared: Option<&DataType>) -> Result<Vec<ScalarValue>> {
    literals
        .iter()
        .map(|l| match (&l.literal_type, declared) {
            (Some(value), Some(_)) if l.data_type.is_none() => value_of(value, declared),
            _ => scalar(l),
        })
        .collect()
}

fn typed(values: Vec<ScalarValue>, data_type: &DataType) -> Result<Vec<ScalarValue>> {
    values
        .into_iter()
        .map(|v| {
            if v.data_type() == *data_type {
                Ok(v)
            } else {
                Ok(v.cast_to(data_type)?)
            }
        })
        .collect()
}

fn to_array(values: Vec<ScalarValue>, data_type: &DataType) -> Result<ArrayRef> {
    if values.is_empty() {
        return Ok(arrow::array::new_empty_array(data_type));
    }
    Ok(ScalarValue::iter_to_array(typed(values, data_type)?)?)
}

fn array(value: &wire::Array, declared: Option<&DataType>) -> Result<ScalarValue> {
    let item = match declared {
        Some(DataType::List(item)) => Some(item),
        _ => None,
    };
    let values = parts(&value.elements, item.map(|i| i.data_type()))?;
    #[allow(deprecated, reason = "older clients only set this field")]
    let element = part_type(
        item.map(|i| i.data_type().clone()),
        &value.element_type,
        &values,
    )?;
    let nullable = item.map_or_else(
        || values.iter().any(ScalarValue::is_null),
        |i| i.is_nullable(),
    );
    Ok(ScalarValue::List(ScalarValue::new_list(
        &typed(values, &element)?,
        &element,
        nullable,
    )))
}

fn specialized(value: &wire::SpecializedArray) -> Result<ScalarValue> {
    use wire::specialized_array::ValueType;
    let (values, data_type): (Vec<ScalarValue>, DataType) = match &value.value_type {
        Some(ValueType::Bools(v)) => (
            v.values.iter().map(|x| Some(*x).into()).collect(),
            DataType::Boolean,
        ),
        Some(ValueType::Ints(v)) => (
            v.values.iter().map(|x| Some(*x).into()).collect(),
            DataType::Int32,
        ),
        Some(ValueType::Longs(v)) => (
            v.values.iter().map(|x| Some(*x).into()).collect(),
            DataType::Int64,
        ),
        Some(ValueType::Floats(v)) => (
            v.values.iter().map(|x| Some(*x).into()).collect(),
            DataType::Float32,
        ),
        Some(ValueType::Doubles(v)) => (
            v.values.iter().map(|x| Some(*x).into()).collect(),
            DataType::Float64,
        ),
        Some(ValueType::Strings(v)) => (
            v.values
                .iter()
                .map(|x| ScalarValue::from(x.as_str()))
                .collect(),
            DataType::Utf8,
        ),
        None => (vec![], DataType::Null),
    };
    Ok(ScalarValue::List(ScalarValue::new_list(
        &values, &data_type, false,
    )))
}

fn map(value: &wire::Map, declared: Option<&DataType>) -> Result<ScalarValue> {
    let fields = declared.and_then(map_fields);
    let keys = parts(&value.keys, fields.map(|(k, _)| k.data_type()))?;
    let values = parts(&value.values, fields.map(|(_, v)| v.data_type()))?;
    #[allow(deprecated, reason = "older clients only set these fields")]
    let (key_type, value_type) = (
        part_type(
            fields.map(|(k, _)| k.data_type().clone()),
            &value.key_type,
            &keys,
        )?,
        part_type(
            fields.map(|(_, v)| v.data_type().clone()),
            &value.value_type,
            &values,
        )?,
    );
    let nullable = fields.map_or_else(
        || values.iter().any(ScalarValue::is_null),
        |(_, v)| v.is_nullable(),
    );
    let count = keys.len();
    let (entries, k, v) = MAP_FIELDS;
    let fields: Fields = vec![
        Field::new(k, key_type.clone(), false),
        Field::new(v, value_type.clone(), nullable),
    ]
    .into();
    let columns = vec![to_array(keys, &key_type)?, to_array(values, &value_type)?];
    let inner = StructArray::try_new(fields.clone(), columns, None)?;
    let field = Arc::new(Field::new(entries, DataType::Struct(fields), false));
    let map = MapArray::try_new(
        field,
        OffsetBuffer::from_lengths([count]),
        inner,
        None,
        false,
    )?;
    Ok(ScalarValue::Map(Arc::new(map)))
}

fn structure(value: &wire::Struct, declared: Option<&DataType>) -> Result<ScalarValue> {
    #[allow(deprecated, reason = "older clients only set this field")]
    let old = value
        .struct_type
        .as_ref()
        .map(data_type_from_proto)
        .transpose()?;
    let Some(DataType::Struct(fields)) = declared.or(old.as_ref()) else {
        return Err(SparkError::analysis(
            "CONNECT_INVALID_PLAN.STRUCT_LITERAL_MISSING_DATA_TYPE",
            &[],
        ));
    };
    let mut columns = Vec::with_capacity(fields.len());
    for (element, field) in value.elements.iter().zip(fields) {
        let value = parts(std::slice::from_ref(element), Some(field.data_type()))?;
        columns.push(to_array(value, field.data_type())?);
    }
    Ok(ScalarValue::Struct(Arc::new(StructArray::try_new(
        fields.clone(),
        columns,
        None,
    )?)))
}

/// A NULL of a type, as a literal on the wire would be.
pub fn null_of(data_type: &DataType) -> Result<ScalarValue> {
    Ok(ScalarValue::try_from(data_type)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(value: &str, precision: i32, scale: i32) -> Result<ScalarValue> {
        decimal(&wire::Decimal {
            value: value.into(),
            precision: Some(precision),
            scale: Some(scale),
        })
    }

    #[test]
    fn decimals_keep_the_digits_they_have_and_the_size_they_were_sent_with() {
        for (text, unscaled, precision, scale) in [
            ("1.20", 120, 10, 2),
            ("-0.005", -5, 10, 3),
            ("1E-7", 1, 10, 7),
            ("0E-12", 0, 12, 12),
            ("1E+3", 1000, 10, 0),
            ("1.5E+12", 1_500_000_000_000, 13, 0),
            ("12345678901234.5", 123_456_789_012_345, 15, 1),
        ] {
            let expected = ScalarValue::Decimal128(Some(unscaled), precision, scale);
            assert_eq!(sent(text, 10, 0).unwrap(), expected, "{text}");
        }
        assert_eq!(
            sent("1.5", 4, 3).unwrap(),
            ScalarValue::Decimal128(Some(1500), 4, 3)
        );
    }

    #[test]
    fn decimals_that_are_none_or_too_long_are_refused() {
        assert!(sent("NaN", 10, 0).is_err());
        let error = sent("1E-39", 10, 0).unwrap_err();
        assert!(error.is("DECIMAL_PRECISION_EXCEEDS_MAX_PRECISION"));
    }
}
