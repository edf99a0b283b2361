//! The ways Spark prints a type.
use arrow::datatypes::{DataType, Field};

use super::{
    CALENDAR, DAY_TIME, TIME, TIMESTAMP_NTZ, YEAR_MONTH, interval_fields::interval_name, map_fields,
};

/// `simpleString`: `array<int>`, `struct<a:bigint>`; what `df.dtypes` shows.
pub fn simple_string(data_type: &DataType) -> String {
    match data_type {
        DataType::List(item) => format!("array<{}>", simple_string(item.data_type())),
        DataType::Map(_, _) => match map_fields(data_type) {
            Some((k, v)) => {
                format!(
                    "map<{},{}>",
                    simple_string(k.data_type()),
                    simple_string(v.data_type())
                )
            }
            None => "map".to_string(),
        },
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|f| format!("{}:{}", f.name(), field_simple_string(f)))
                .collect();
            format!("struct<{}>", fields.join(","))
        }
        other => sql_name(other).to_ascii_lowercase(),
    }
}

/// `simpleString` of a column's type.
pub fn field_simple_string(field: &Field) -> String {
    interval_name(field).unwrap_or_else(|| simple_string(field.data_type()))
}

/// Upper-case SQL text: `ARRAY<INT>`, `STRUCT<a: BIGINT NOT NULL>`; what messages show and what DDL accepts.
pub fn sql_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "VOID".into(),
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INT".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::Float32 => "FLOAT".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Decimal128(p, s) => format!("DECIMAL({p},{s})"),
        DataType::Utf8 => "STRING".into(),
        DataType::Binary => "BINARY".into(),
        DataType::Date32 => "DATE".into(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP".into(),
        t if *t == TIMESTAMP_NTZ => "TIMESTAMP_NTZ".into(),
        t if *t == TIME => "TIME(6)".into(),
        t if *t == DAY_TIME => "INTERVAL DAY TO SECOND".into(),
        t if *t == YEAR_MONTH => "INTERVAL YEAR TO MONTH".into(),
        t if *t == CALENDAR => "INTERVAL".into(),
        DataType::List(item) => format!("ARRAY<{}>", sql_name(item.data_type())),
        DataType::Map(_, _) => match map_fields(data_type) {
            Some((k, v)) => format!(
                "MAP<{}, {}>",
                sql_name(k.data_type()),
                sql_name(v.data_type())
            ),
            None => "MAP".into(),
        },
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|f| {
                    let not_null = if f.is_nullable() { "" } else { " NOT NULL" };
                    format!(
                        "{}: {}{not_null}",
                        quote_if_needed(f.name()),
                        sql_name(f.data_type())
                    )
                })
                .collect();
            format!("STRUCT<{}>", fields.join(", "))
        }
        other => other.to_string().to_ascii_uppercase(),
    }
}

/// `typeName`: `integer`, `long`, `array`; what `printSchema` and StructType JSON show.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Int8 => "byte".into(),
        DataType::Int16 => "short".into(),
        DataType::Int32 => "integer".into(),
        DataType::Int64 => "long".into(),
        DataType::List(_) => "array".into(),
        DataType::Map(_, _) => "map".into(),
        DataType::Struct(_) => "struct".into(),
        other => simple_string(other),
    }
}

/// `name` in backquotes unless it is a plain identifier.
pub(crate) fn quote_if_needed(name: &str) -> String {
    let plain = !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.chars().all(|c| c.is_ascii_digit());
    if plain {
        name.to_string()
    } else {
        crate::error::quoted_id(name)
    }
}
