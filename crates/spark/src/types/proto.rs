//! Types on the wire.
use arrow::datatypes::{DataType, Field, Fields};
use spark_connect_proto::{DataType as ProtoType, data_type as wire, data_type::Kind};

use super::{
    CALENDAR, DAY_TIME, Metadata, TIME, TIMESTAMP_NTZ, YEAR_MONTH,
    interval_fields::{INTERVAL_FIELDS, fields_of, fields_text},
    json::{metadata_from_json, metadata_to_json},
    list, map, map_fields, timestamp,
};
use crate::error::{Result, SparkError};

/// A schema as the struct type clients expect from `AnalyzePlan.schema`.
pub fn schema_to_proto(fields: &Fields) -> ProtoType {
    data_type_to_proto(&DataType::Struct(fields.clone()))
}

/// An Arrow type on the wire. Types that Spark does not have become VOID; plans do not contain any.
pub fn data_type_to_proto(data_type: &DataType) -> ProtoType {
    let kind = match data_type {
        DataType::Boolean => Kind::Boolean(wire::Boolean::default()),
        DataType::Int8 => Kind::Byte(wire::Byte::default()),
        DataType::Int16 => Kind::Short(wire::Short::default()),
        DataType::Int32 => Kind::Integer(wire::Integer::default()),
        DataType::Int64 => Kind::Long(wire::Long::default()),
        DataType::Float32 => Kind::Float(wire::Float::default()),
        DataType::Float64 => Kind::Double(wire::Double::default()),
        DataType::Decimal128(p, s) => Kind::Decimal(wire::Decimal {
            precision: Some(i32::from(*p)),
            scale: Some(i32::from(*s)),
            ..Default::default()
        }),
        DataType::Utf8 => Kind::String(wire::String {
            collation: "UTF8_BINARY".to_string(),
            ..Default::default()
        }),
        DataType::Binary => Kind::Binary(wire::Binary::default()),
        DataType::Date32 => Kind::Date(wire::Date::default()),
        DataType::Timestamp(_, Some(_)) => Kind::Timestamp(wire::Timestamp::default()),
        DataType::Timestamp(_, None) => Kind::TimestampNtz(wire::TimestampNtz::default()),
        t if *t == TIME => Kind::Time(wire::Time {
            precision: Some(6),
            ..Default::default()
        }),
        t if *t == DAY_TIME => Kind::DayTimeInterval(wire::DayTimeInterval {
            start_field: Some(0),
            end_field: Some(3),
            ..Default::default()
        }),
        t if *t == YEAR_MONTH => Kind::YearMonthInterval(wire::YearMonthInterval {
            start_field: Some(0),
            end_field: Some(1),
            ..Default::default()
        }),
        t if *t == CALENDAR => Kind::CalendarInterval(wire::CalendarInterval::default()),
        DataType::List(item) => Kind::Array(Box::new(wire::Array {
            element_type: Some(Box::new(data_type_to_proto(item.data_type()))),
            contains_null: item.is_nullable(),
            ..Default::default()
        })),
        DataType::Map(_, _) => match map_fields(data_type) {
            Some((k, v)) => Kind::Map(Box::new(wire::Map {
                key_type: Some(Box::new(data_type_to_proto(k.data_type()))),
                value_type: Some(Box::new(data_type_to_proto(v.data_type()))),
                value_contains_null: v.is_nullable(),
                ..Default::default()
            })),
            None => Kind::Null(wire::Null::default()),
        },
        DataType::Struct(fields) => Kind::Struct(wire::Struct {
            fields: fields.iter().map(|f| field_to_proto(f)).collect(),
            ..Default::default()
        }),
        _ => Kind::Null(wire::Null::default()),
    };
    ProtoType { kind: Some(kind) }
}

fn field_to_proto(field: &Field) -> wire::StructField {
    let metadata: Metadata = field
        .metadata()
        .iter()
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    let shown = metadata.keys().any(|k| k != INTERVAL_FIELDS);
    wire::StructField {
        name: field.name().clone(),
        data_type: Some(with_fields(data_type_to_proto(field.data_type()), field)),
        nullable: field.is_nullable(),
        metadata: shown.then(|| metadata_to_json(&metadata).to_string()),
    }
}

/// The type with the interval fields of `field`.
fn with_fields(mut data_type: ProtoType, field: &Field) -> ProtoType {
    let text = field.metadata().get(INTERVAL_FIELDS).map(String::as_str);
    if let Some((start, end)) = fields_of(field.data_type(), text) {
        match &mut data_type.kind {
            Some(Kind::DayTimeInterval(t)) => {
                (t.start_field, t.end_field) = (Some(start), Some(end));
            }
            Some(Kind::YearMonthInterval(t)) => {
                (t.start_field, t.end_field) = (Some(start), Some(end));
            }
            _ => {}
        }
    }
    data_type
}

/// The text of a type's interval fields, where it does not have all.
pub(crate) fn interval_fields(data_type: &ProtoType) -> Option<String> {
    let (to, start, end) = match data_type.kind.as_ref()? {
        Kind::DayTimeInterval(t) => (DAY_TIME, t.start_field, t.end_field),
        Kind::YearMonthInterval(t) => (YEAR_MONTH, t.start_field, t.end_field),
        _ => return None,
    };
    // One field given stands for both.
    let (start, end) = (start?, end.or(start)?);
    fields_text(&to, start, end)
}

/// A type from the wire.
pub fn data_type_from_proto(data_type: &ProtoType) -> Result<DataType> {
    let Some(kind) = &data_type.kind else {
        return Err(SparkError::analysis(
            "CONNECT_INVALID_PLAN.INVALID_ONE_OF_FIELD_NOT_SET",
            &[("fullName", "spark.connect.DataType"), ("name", "kind")],
        ));
    };
    let part = |t: &Option<Box<ProtoType>>| match t {
        Some(t) => data_type_from_proto(t),
        None => Ok(DataType::Null),
    };
    Ok(match kind {
        Kind::Null(_) => DataType::Null,
        Kind::Binary(_) => DataType::Binary,
        Kind::Boolean(_) => DataType::Boolean,
        Kind::Byte(_) => DataType::Int8,
        Kind::Short(_) => DataType::Int16,
        Kind::Integer(_) => DataType::Int32,
        Kind::Long(_) => DataType::Int64,
        Kind::Float(_) => DataType::Float32,
        Kind::Double(_) => DataType::Float64,
        Kind::Decimal(d) => decimal(d.precision.unwrap_or(10), d.scale.unwrap_or(0))?,
        Kind::String(s) => match s.collation.as_str() {
            "" | "UTF8_BINARY" => DataType::Utf8,
            other => return Err(SparkError::unsupported(format!("the collation {other}"))),
        },
        Kind::Char(_) | Kind::VarChar(_) => DataType::Utf8,
        Kind::Date(_) => DataType::Date32,
        Kind::Timestamp(_) => timestamp(),
        Kind::TimestampNtz(_) => TIMESTAMP_NTZ,
        Kind::Time(_) => TIME,
        Kind::CalendarInterval(_) => CALENDAR,
        Kind::YearMonthInterval(_) => YEAR_MONTH,
        Kind::DayTimeInterval(_) => DAY_TIME,
        Kind::Array(a) => list(part(&a.element_type)?, a.contains_null),
        Kind::Map(m) => map(
            part(&m.key_type)?,
            part(&m.value_type)?,
            m.value_contains_null,
        ),
        Kind::Struct(s) => {
            let fields: Vec<Field> = s
                .fields
                .iter()
                .map(field_from_proto)
                .collect::<Result<_>>()?;
            DataType::Struct(fields.into())
        }
        Kind::Udt(udt) => part(&udt.sql_type)?,
        Kind::Unparsed(text) => {
            data_type_from_proto(&crate::sql::parse_data_type(&text.data_type_string)?)?
        }
        Kind::Variant(_) => return Err(not_supported("VARIANT")),
        Kind::Geometry(_) => return Err(not_supported("GEOMETRY")),
        Kind::Geography(_) => return Err(not_supported("GEOGRAPHY")),
        Kind::TimestampNtzNanos(_) | Kind::TimestampLtzNanos(_) => {
            return Err(not_supported("TIMESTAMP with nanoseconds"));
        }
    })
}

fn not_supported(name: &str) -> SparkError {
    SparkError::analysis(
        "UNSUPPORTED_DATATYPE",
        &[("typeName", &crate::error::quoted(name))],
    )
}

fn decimal(precision: i32, scale: i32) -> Result<DataType> {
    if !(1..=38).contains(&precision) {
        return Err(SparkError::analysis(
            "DECIMAL_PRECISION_EXCEEDS_MAX_PRECISION",
            &[
                ("precision", &precision.to_string()),
                ("maxPrecision", "38"),
            ],
        ));
    }
    Ok(DataType::Decimal128(
        precision as u8,
        scale.clamp(0, 38) as i8,
    ))
}

fn field_from_proto(field: &wire::StructField) -> Result<Field> {
    let data_type = match &field.data_type {
        Some(t) => data_type_from_proto(t)?,
        None => DataType::Null,
    };
    let mut metadata = field
        .metadata
        .as_deref()
        .map(metadata_from_json)
        .unwrap_or_default();
    if let Some(fields) = field.data_type.as_ref().and_then(interval_fields) {
        metadata.insert(INTERVAL_FIELDS.to_string(), fields);
    }
    Ok(Field::new(&field.name, data_type, field.nullable)
        .with_metadata(metadata.into_iter().collect()))
}

#[cfg(test)]
mod tests {
    use super::{super::structure, *};

    #[test]
    fn every_type_survives_the_wire() {
        let all = structure([
            ("a", DataType::Int8, true),
            ("b", DataType::Decimal128(20, 3), false),
            ("c", timestamp(), true),
            ("d", TIMESTAMP_NTZ, true),
            ("e", list(map(DataType::Utf8, DAY_TIME, false), true), true),
            ("f", YEAR_MONTH, true),
            ("g", CALENDAR, true),
            ("h", structure([("x", DataType::Null, true)]), true),
        ]);
        assert_eq!(
            data_type_from_proto(&data_type_to_proto(&all)).unwrap(),
            all
        );
    }
}
