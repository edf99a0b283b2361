//! StructType JSON, as in `df.schema.json()`, checkpoints and `from_json` schemas.

use arrow::datatypes::{DataType, Field, Fields, Schema};
use serde_json::{Map, Value, json};

use super::{
    CALENDAR, Metadata, TIME, TIMESTAMP_NTZ,
    interval_fields::{INTERVAL_FIELDS, fields_of, interval_name},
    list, map, map_fields, timestamp, type_name,
};
use crate::{
    error::{Result, SparkError, quoted},
    types::{DAY_TIME, YEAR_MONTH},
};

/// The schema as compact StructType JSON.
pub fn schema_to_json(fields: &Fields) -> String {
    data_type_to_json(&DataType::Struct(fields.clone())).to_string()
}

/// A type in StructType JSON: a string, or an object for types with parts.
pub fn data_type_to_json(data_type: &DataType) -> Value {
    match data_type {
        DataType::Struct(fields) => {
            let fields: Vec<Value> = fields.iter().map(|f| field_to_json(f)).collect();
            json!({"type": "struct", "fields": fields})
        }
        DataType::List(item) => json!({
            "type": "array",
            "elementType": data_type_to_json(item.data_type()),
            "containsNull": item.is_nullable(),
        }),
        DataType::Map(_, _) => match map_fields(data_type) {
            Some((k, v)) => json!({
                "type": "map",
                "keyType": data_type_to_json(k.data_type()),
                "valueType": data_type_to_json(v.data_type()),
                "valueContainsNull": v.is_nullable(),
            }),
            None => Value::String("map".into()),
        },
        other => Value::String(type_name(other)),
    }
}

fn field_to_json(field: &Field) -> Value {
    let metadata: Metadata = field
        .metadata()
        .iter()
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    let data_type = match interval_name(field) {
        Some(name) => Value::String(name),
        None => data_type_to_json(field.data_type()),
    };
    json!({
        "name": field.name(),
        "type": data_type,
        "nullable": field.is_nullable(),
        "metadata": metadata_to_json(&metadata),
    })
}

/// Metadata as a JSON object.
pub(crate) fn metadata_to_json(metadata: &Metadata) -> Value {
    let pairs: Map<String, Value> = metadata
        .iter()
        .filter(|(k, _)| k.as_str() != INTERVAL_FIELDS)
        .map(|(k, v)| {
            (
                k.clone(),
                serde_json::from_str(v).unwrap_or_else(|_| Value::String(v.clone())),
            )
        })
        .collect();
    Value::Object(pairs)
}

/// Metadata from the text of a JSON object.
pub(crate) fn metadata_from_json(text: &str) -> Metadata {
    match serde_json::from_str(text) {
        Ok(Value::Object(pairs)) => pairs.into_iter().map(|(k, v)| (k, v.to_string())).collect(),
        _ => Metadata::new(),
    }
}

/// A schema from StructType JSON.
pub fn schema_from_json(text: &str) -> Result<Schema> {
    match data_type_from_json(text)? {
        DataType::Struct(fields) => Ok(Schema::new(fields)),
        other => Err(SparkError::analysis(
            "INVALID_SCHEMA.NON_STRUCT_TYPE",
            &[
                ("inputSchema", &quoted(text)),
                ("dataType", &quoted(super::sql_name(&other))),
            ],
        )),
    }
}

/// A type from StructType JSON.
pub fn data_type_from_json(text: &str) -> Result<DataType> {
    let value: Value = serde_json::from_str(text).map_err(|error| bad(text, &error.to_string()))?;
    from_value(&value, text)
}

fn bad(text: &str, why: &str) -> SparkError {
    SparkError::analysis(
        "INVALID_SCHEMA.PARSE_ERROR",
        &[("inputSchema", &quoted(text)), ("reason", why)],
    )
}

fn from_value(value: &Value, text: &str) -> Result<DataType> {
    match value {
        Value::String(name) => from_name(name, text),
        Value::Object(object) => {
            let part = |key: &str| {
                object
                    .get(key)
                    .ok_or_else(|| bad(text, &format!("no \"{key}\"")))
            };
            let flag = |key: &str| object.get(key).and_then(Value::as_bool).unwrap_or(true);
            match object.get("type").and_then(Value::as_str) {
                Some("struct") => {
                    let fields = part("fields")?
                        .as_array()
                        .map(Vec::as_slice)
                        .unwrap_or_default();
                    let fields: Vec<Field> = fields
                        .iter()
                        .map(|f| field_from_value(f, text))
                        .collect::<Result<_>>()?;
                    Ok(DataType::Struct(fields.into()))
                }
                Some("array") => Ok(list(
                    from_value(part("elementType")?, text)?,
                    flag("containsNull"),
                )),
                Some("map") => Ok(map(
                    from_value(part("keyType")?, text)?,
                    from_value(part("valueType")?, text)?,
                    flag("valueContainsNull"),
                )),
                Some("udt") => from_value(part("sqlType")?, text),
                other => Err(bad(text, &format!("unknown type {other:?}"))),
            }
        }
        other => Err(bad(text, &format!("{other} is not a type"))),
    }
}

fn field_from_value(value: &Value, text: &str) -> Result<Field> {
    let name = value
        .get("name")
        .and_then(Value::as_str)
        .ok_or_else(|| bad(text, "a field has no name"))?;
    let data_type = value
        .get("type")
        .ok_or_else(|| bad(text, "a field has no type"))?;
    let nullable = value
        .get("nullable")
        .and_then(Value::as_bool)
        .unwrap_or(true);
    let metadata = match value.get("metadata") {
        Some(Value::Object(pairs)) => pairs
            .iter()
            .map(|(k, v)| (k.clone(), v.to_string()))
            .collect(),
        _ => Default::default(),
    };
    let mut field =
        Field::new(name, from_value(data_type, text)?, nullable).with_metadata(metadata);
    if let Some(fields) = data_type.as_str().and_then(|t| t.strip_prefix("interval "))
        && fields_of(field.data_type(), Some(fields)) != fields_of(field.data_type(), None)
    {
        field
            .metadata_mut()
            .insert(INTERVAL_FIELDS.to_string(), fields.to_string());
    }
    Ok(field)
}

fn from_name(name: &str, text: &str) -> Result<DataType> {
    Ok(match name {
        "null" | "void" => DataType::Null,
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
        "timestamp" | "timestamp_ltz" => timestamp(),
        "timestamp_ntz" => TIMESTAMP_NTZ,
        "interval" | "calendarinterval" => CALENDAR,
        "decimal" => DataType::Decimal128(10, 0),
        _ if name.starts_with("time(") || name == "time" => TIME,
        _ if name.starts_with("varchar(")
            || name.starts_with("char(")
            || name.starts_with("string ") =>
        {
            DataType::Utf8
        }
        _ if name.starts_with("decimal(") => {
            decimal_from_name(name).ok_or_else(|| bad(text, name))?
        }
        _ if name.starts_with("interval year") || name.starts_with("interval month") => YEAR_MONTH,
        _ if name.starts_with("interval ") => DAY_TIME,
        _ => return Err(bad(text, &format!("unknown type \"{name}\""))),
    })
}

fn decimal_from_name(name: &str) -> Option<DataType> {
    let inner = name.strip_prefix("decimal(")?.strip_suffix(')')?;
    let (p, s) = inner.split_once(',')?;
    Some(DataType::Decimal128(
        p.trim().parse().ok()?,
        s.trim().parse().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_round_trips() {
        let text = concat!(
            r#"{"type":"struct","fields":[{"name":"a","type":"integer","nullable":true,"metadata":{}},"#,
            r#"{"name":"b","type":{"type":"array","elementType":"string","containsNull":false},"nullable":false,"#,
            r#""metadata":{"k":1}},{"name":"c","type":{"type":"map","keyType":"string","valueType":"decimal(10,2)","#,
            r#""valueContainsNull":true},"nullable":true,"metadata":{}},{"name":"d","type":"timestamp","nullable":true,"#,
            r#""metadata":{}}]}"#
        );
        let schema = schema_from_json(text).unwrap();
        assert_eq!(schema_to_json(schema.fields()), text);
    }

    #[test]
    fn unknown_type_is_refused() {
        assert_eq!(
            data_type_from_json("\"nope\"").unwrap_err().class,
            "INVALID_SCHEMA.PARSE_ERROR"
        );
    }
}
