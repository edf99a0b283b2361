//! Arrow types under Spark's names, and Spark's schema JSON.
//!
//! The JSON form stands in the footers of Parquet files that Spark writes
//! (`org.apache.spark.sql.parquet.row.metadata`) and in streaming source logs.
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, IntervalUnit, Schema, TimeUnit};
use serde_json::{Map, Value, json};

use crate::text::INTERVAL_FIELDS;

/// The zone every TIMESTAMP column is labelled with.
pub const TIMESTAMP_ZONE: &str = "UTC";

/// The Arrow type of a TIMESTAMP.
pub fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(TIMESTAMP_ZONE.into()))
}

/// A map type with the field names that arrays in this tree use.
pub fn map_type(key: DataType, value: DataType, value_nullable: bool) -> DataType {
    let entries = Fields::from(vec![
        Field::new("key", key, false),
        Field::new("value", value, value_nullable),
    ]);
    DataType::Map(
        Arc::new(Field::new("entries", DataType::Struct(entries), false)),
        false,
    )
}

/// A list type with the field name that arrays in this tree use.
pub fn list_type(element: DataType, nullable: bool) -> DataType {
    DataType::List(Arc::new(Field::new("item", element, nullable)))
}

/// Spark's name of a column's type; unlike the type alone, a column knows the units of its intervals.
pub fn field_sql_name(field: &Field) -> String {
    match (field.data_type(), field.metadata().get(INTERVAL_FIELDS)) {
        (DataType::Duration(_) | DataType::Interval(IntervalUnit::YearMonth), Some(units)) => {
            format!("INTERVAL {}", units.to_uppercase())
        }
        (data_type, _) => sql_name(data_type),
    }
}

/// Spark's SQL name of a type, as its messages print it.
pub fn sql_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "VOID".to_owned(),
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Int8 => "TINYINT".to_owned(),
        DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int32 => "INT".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::Float32 => "FLOAT".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Decimal128(p, s) => format!("DECIMAL({p},{s})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "STRING".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BINARY".to_owned(),
        DataType::Date32 => "DATE".to_owned(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP".to_owned(),
        DataType::Timestamp(_, None) => "TIMESTAMP_NTZ".to_owned(),
        DataType::Interval(IntervalUnit::YearMonth) => "INTERVAL YEAR TO MONTH".to_owned(),
        DataType::Duration(_) => "INTERVAL DAY TO SECOND".to_owned(),
        DataType::List(item) => format!("ARRAY<{}>", sql_name(item.data_type())),
        DataType::Struct(fields) => {
            let fields = fields
                .iter()
                .map(|f| format!("{}: {}", f.name(), sql_name(f.data_type())));
            format!("STRUCT<{}>", fields.collect::<Vec<_>>().join(", "))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => {
                let names: Vec<_> = fields.iter().map(|f| sql_name(f.data_type())).collect();
                format!("MAP<{}>", names.join(", "))
            }
            other => other.to_string(),
        },
        other => other.to_string().to_uppercase(),
    }
}

/// Spark's schema JSON.
pub fn schema_to_json(schema: &Schema) -> Value {
    struct_to_json(schema.fields())
}

fn struct_to_json(fields: &Fields) -> Value {
    let fields: Vec<Value> = fields
        .iter()
        .map(|field| {
            let metadata: Map<String, Value> = field
                .metadata()
                .iter()
                .map(|(key, text)| {
                    (
                        key.clone(),
                        serde_json::from_str(text).unwrap_or(Value::String(text.clone())),
                    )
                })
                .collect();
            json!({
                "name": field.name(),
                "type": type_to_json(field.data_type()),
                "nullable": field.is_nullable(),
                "metadata": metadata,
            })
        })
        .collect();
    json!({ "type": "struct", "fields": fields })
}

fn type_to_json(data_type: &DataType) -> Value {
    let name = match data_type {
        DataType::Null => "void",
        DataType::Boolean => "boolean",
        DataType::Int8 => "byte",
        DataType::Int16 => "short",
        DataType::Int32 => "integer",
        DataType::Int64 => "long",
        DataType::Float32 => "float",
        DataType::Float64 => "double",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "binary",
        DataType::Date32 => "date",
        DataType::Timestamp(_, Some(_)) => "timestamp",
        DataType::Timestamp(_, None) => "timestamp_ntz",
        DataType::Interval(IntervalUnit::YearMonth) => "interval year to month",
        DataType::Duration(_) => "interval day to second",
        DataType::Decimal128(p, s) => return json!(format!("decimal({p},{s})")),
        DataType::Struct(fields) => return struct_to_json(fields),
        DataType::List(item) => {
            return json!({
                "type": "array",
                "elementType": type_to_json(item.data_type()),
                "containsNull": item.is_nullable(),
            });
        }
        DataType::Map(entries, _) => {
            if let DataType::Struct(fields) = entries.data_type()
                && let [key, value] = fields.as_ref()
            {
                return json!({
                    "type": "map",
                    "keyType": type_to_json(key.data_type()),
                    "valueType": type_to_json(value.data_type()),
                    "valueContainsNull": value.is_nullable(),
                });
            }
            "map"
        }
        _ => "string",
    };
    json!(name)
}

/// A schema from Spark's schema JSON; `None` if it has a type that is not known here.
pub fn schema_from_json(json: &Value) -> Option<Schema> {
    Some(Schema::new(struct_from_json(json)?))
}

fn struct_from_json(json: &Value) -> Option<Fields> {
    let fields = json.get("fields")?.as_array()?;
    fields
        .iter()
        .map(|field| {
            let data_type = type_from_json(field.get("type")?)?;
            let nullable = field
                .get("nullable")
                .and_then(Value::as_bool)
                .unwrap_or(true);
            Some(Field::new(
                field.get("name")?.as_str()?,
                data_type,
                nullable,
            ))
        })
        .collect()
}

fn type_from_json(json: &Value) -> Option<DataType> {
    let Some(name) = json.as_str() else {
        return match json.get("type")?.as_str()? {
            "struct" => Some(DataType::Struct(struct_from_json(json)?)),
            "array" => {
                let nullable = json
                    .get("containsNull")
                    .and_then(Value::as_bool)
                    .unwrap_or(true);
                Some(list_type(
                    type_from_json(json.get("elementType")?)?,
                    nullable,
                ))
            }
            "map" => {
                let nullable = json
                    .get("valueContainsNull")
                    .and_then(Value::as_bool)
                    .unwrap_or(true);
                let key = type_from_json(json.get("keyType")?)?;
                Some(map_type(
                    key,
                    type_from_json(json.get("valueType")?)?,
                    nullable,
                ))
            }
            _ => None,
        };
    };
    Some(match name {
        "void" | "null" => DataType::Null,
        "boolean" => DataType::Boolean,
        "byte" | "tinyint" => DataType::Int8,
        "short" | "smallint" => DataType::Int16,
        "integer" | "int" => DataType::Int32,
        "long" | "bigint" => DataType::Int64,
        "float" => DataType::Float32,
        "double" => DataType::Float64,
        "string" => DataType::Utf8,
        "binary" => DataType::Binary,
        "date" => DataType::Date32,
        "timestamp" | "timestamp_ltz" => timestamp_type(),
        "timestamp_ntz" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "decimal" => DataType::Decimal128(10, 0),
        _ if name.starts_with("interval") => {
            if name.contains("year") || name.contains("month") {
                DataType::Interval(IntervalUnit::YearMonth)
            } else {
                DataType::Duration(TimeUnit::Microsecond)
            }
        }
        _ if name.starts_with("varchar(")
            || name.starts_with("char(")
            || name.starts_with("string ") =>
        {
            DataType::Utf8
        }
        _ => {
            let (precision, scale) = name
                .strip_prefix("decimal(")?
                .strip_suffix(')')?
                .split_once(',')?;
            DataType::Decimal128(precision.trim().parse().ok()?, scale.trim().parse().ok()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_survives_the_round_trip_through_its_json() {
        let text = r#"{"type":"struct","fields":[
            {"name":"a","type":"decimal(10,2)","nullable":false,"metadata":{}},
            {"name":"b","type":{"type":"map","keyType":"string","valueType":{"type":"array","elementType":"timestamp","containsNull":true},"valueContainsNull":false},"nullable":true,"metadata":{}}]}"#;
        let json: Value = serde_json::from_str(text).unwrap();
        let schema = schema_from_json(&json).unwrap();
        assert_eq!(schema_to_json(&schema), json);
        assert_eq!(
            sql_name(schema.field(1).data_type()),
            "MAP<STRING, ARRAY<TIMESTAMP>>"
        );
    }
}
