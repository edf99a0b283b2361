//! Columns of a self-describing file brought to the schema that a query expects: matched by name, missing
//! ones NULL, widened where Spark widens.
use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, ListArray, MapArray, PrimitiveArray, RecordBatch,
        RecordBatchOptions, StructArray, new_null_array,
    },
    compute::{CastOptions, cast_with_options},
    datatypes::{
        DataType, DurationMicrosecondType, Field, Fields, Int32Type, Int64Type, IntervalUnit,
        IntervalYearMonthType, SchemaRef, TimeUnit,
    },
};

use super::{
    FormatError,
    spark_type::{list_type, map_type, sql_name, timestamp_type},
};

/// Position of a field by name: exactly, or by letters alone when there is no such field.
///
/// # Errors
/// If more than one field has the name when case is ignored.
pub(crate) fn find(
    fields: &Fields,
    name: &str,
    case_sensitive: bool,
) -> Result<Option<usize>, FormatError> {
    if let Some(exact) = fields.iter().position(|f| f.name() == name) {
        return Ok(Some(exact));
    }
    if case_sensitive {
        return Ok(None);
    }
    let lower = name.to_lowercase();
    let mut found = fields
        .iter()
        .enumerate()
        .filter(|(_, f)| f.name().to_lowercase() == lower);
    match (found.next(), found.next()) {
        (Some(_), Some(_)) => Err(FormatError::DuplicateColumn { column: lower }),
        (found, _) => Ok(found.map(|(index, _)| index)),
    }
}

/// Refuses two columns of one name.
pub(crate) fn check_names(fields: &Fields, case_sensitive: bool) -> Result<(), FormatError> {
    let mut seen = std::collections::HashSet::new();
    for field in fields {
        let name = if case_sensitive {
            field.name().clone()
        } else {
            field.name().to_lowercase()
        };
        if !seen.insert(name.clone()) {
            return Err(FormatError::DuplicateColumn { column: name });
        }
    }
    Ok(())
}

/// Refuses two columns, or two fields of a struct at any depth, of one name.
pub(crate) fn check_all_names(fields: &Fields, case_sensitive: bool) -> Result<(), FormatError> {
    check_names(fields, case_sensitive)?;
    for field in fields {
        match field.data_type() {
            DataType::Struct(inner) => check_all_names(inner, case_sensitive)?,
            DataType::List(inner) | DataType::Map(inner, _) => {
                check_all_names(&Fields::from(vec![Arc::clone(inner)]), case_sensitive)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// A batch of a file as a batch of the wanted schema.
pub(crate) fn adapt_batch(
    batch: &RecordBatch,
    schema: &SchemaRef,
    case_sensitive: bool,
) -> Result<RecordBatch, FormatError> {
    let stored = batch.schema();
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let column = match find(stored.fields(), field.name(), case_sensitive)? {
            Some(index) => adapt(batch.column(index), field, case_sensitive)?,
            None => new_null_array(field.data_type(), batch.num_rows()),
        };
        columns.push(column);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns,
        &options,
    )?)
}

/// A column as a column of the wanted type.
fn adapt(array: &ArrayRef, wanted: &Field, case_sensitive: bool) -> Result<ArrayRef, FormatError> {
    let target = wanted.data_type();
    if array.data_type() == target {
        return Ok(Arc::clone(array));
    }
    match (array.data_type(), target) {
        (DataType::Struct(stored), DataType::Struct(fields)) => {
            let array = array.as_struct();
            let mut columns = vec![];
            for field in fields {
                columns.push(match find(stored, field.name(), case_sensitive)? {
                    Some(index) => adapt(array.column(index), field, case_sensitive)?,
                    None => new_null_array(field.data_type(), array.len()),
                });
            }
            let nulls = array.nulls().cloned();
            Ok(Arc::new(StructArray::try_new_with_length(
                fields.clone(),
                columns,
                nulls,
                array.len(),
            )?))
        }
        (DataType::List(_), DataType::List(item)) => {
            let array = array.as_list::<i32>();
            let values = adapt(array.values(), item, case_sensitive)?;
            let (offsets, nulls) = (array.offsets().clone(), array.nulls().cloned());
            Ok(Arc::new(ListArray::try_new(
                Arc::clone(item),
                offsets,
                values,
                nulls,
            )?))
        }
        (DataType::Map(..), DataType::Map(entries, sorted)) => {
            let array = array.as_map();
            let DataType::Struct(fields) = entries.data_type() else {
                return Err(mismatch(array, wanted));
            };
            let [key, value] = fields.as_ref() else {
                return Err(mismatch(array, wanted));
            };
            let columns = vec![
                adapt(array.keys(), key, case_sensitive)?,
                adapt(array.values(), value, case_sensitive)?,
            ];
            let inner = StructArray::try_new(fields.clone(), columns, None)?;
            let (offsets, nulls) = (array.offsets().clone(), array.nulls().cloned());
            let map = MapArray::try_new(Arc::clone(entries), offsets, inner, nulls, *sorted)?;
            Ok(Arc::new(map))
        }
        // Intervals are stored as plain integers.
        (DataType::Int64, DataType::Duration(TimeUnit::Microsecond)) => {
            let array = array.as_primitive::<Int64Type>();
            let values = array.values().clone();
            Ok(Arc::new(PrimitiveArray::<DurationMicrosecondType>::new(
                values,
                array.nulls().cloned(),
            )))
        }
        (DataType::Int32, DataType::Interval(IntervalUnit::YearMonth)) => {
            let array = array.as_primitive::<Int32Type>();
            let values = array.values().clone();
            Ok(Arc::new(PrimitiveArray::<IntervalYearMonthType>::new(
                values,
                array.nulls().cloned(),
            )))
        }
        (stored, target) if widens(stored, target) => {
            let options = CastOptions {
                safe: false,
                ..Default::default()
            };
            Ok(cast_with_options(array, target, &options)?)
        }
        _ => Err(mismatch(array, wanted)),
    }
}

/// Conversions that lose nothing, the ones Spark's readers make.
fn widens(stored: &DataType, target: &DataType) -> bool {
    use DataType::{
        Binary, BinaryView, Date32, Decimal128, FixedSizeBinary, Float32, Float64, Int8, Int16,
        Int32, Int64, LargeBinary, LargeUtf8, Null, Timestamp, UInt8, UInt16, UInt32, UInt64, Utf8,
        Utf8View,
    };
    match (stored, target) {
        (Null, _) => true,
        (Int8 | Int16 | Int32 | UInt8 | UInt16, Int64)
        | (Int8 | Int16 | UInt8 | UInt16, Int32)
        | (Int8 | UInt8, Int16)
        | (UInt32, Int64)
        // Narrow integers are stored in 32 bits, and Spark cuts them off without a word.
        | (Int32, Int8 | Int16)
        | (Int8 | Int16 | Int32 | Float32, Float64)
        | (UInt64, Decimal128(20, 0))
        | (Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView, Utf8)
        | (Utf8 | LargeUtf8 | Utf8View | LargeBinary | BinaryView | FixedSizeBinary(_), Binary)
        | (Date32, Timestamp(TimeUnit::Microsecond, None)) => true,
        (Int8 | Int16 | Int32, Decimal128(p, s)) => i16::from(*p) - i16::from(*s) >= 10,
        (Int64, Decimal128(p, s)) => i16::from(*p) - i16::from(*s) >= 20,
        (Decimal128(p1, s1), Decimal128(p2, s2)) => {
            s2 >= s1 && i16::from(*p2) - i16::from(*s2) >= i16::from(*p1) - i16::from(*s1)
        }
        (Timestamp(_, zone), Timestamp(TimeUnit::Microsecond, wanted)) => zone.is_some() == wanted.is_some(),
        _ => false,
    }
}

fn mismatch(array: &dyn Array, wanted: &Field) -> FormatError {
    FormatError::ColumnType {
        column: wanted.name().clone(),
        stored: physical_type(array.data_type()),
        requested: sql_name(wanted.data_type()).to_lowercase(),
    }
}

/// The name of the Parquet type that values of a type are stored in, which is how Spark names what a file has.
fn physical_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOLEAN",
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Date32 => "INT32",
        DataType::Int64 | DataType::Timestamp(_, _) => "INT64",
        DataType::Float32 => "FLOAT",
        DataType::Float64 => "DOUBLE",
        DataType::Utf8 | DataType::Utf8View | DataType::Binary | DataType::BinaryView => "BINARY",
        DataType::Decimal128(..=9, _) => "INT32",
        DataType::Decimal128(..=18, _) => "INT64",
        DataType::Decimal128(_, _) => "FIXED_LEN_BYTE_ARRAY",
        other => return sql_name(other),
    }
    .to_owned()
}

/// The Spark type of a stored type; every field nullable.
///
/// # Errors
/// If Spark has no such type.
pub(crate) fn spark_fields(fields: &Fields) -> Result<Fields, FormatError> {
    fields
        .iter()
        .map(|f| {
            Ok(Field::new(
                f.name(),
                spark_type(f.data_type(), f.name())?,
                true,
            ))
        })
        .collect()
}

fn spark_type(stored: &DataType, column: &str) -> Result<DataType, FormatError> {
    Ok(match stored {
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Timestamp(_, Some(_)) => timestamp_type(),
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Struct(fields) => DataType::Struct(spark_fields(fields)?),
        DataType::List(item) | DataType::LargeList(item) => {
            list_type(spark_type(item.data_type(), column)?, true)
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => map_type(
                spark_type(fields[0].data_type(), column)?,
                spark_type(fields[1].data_type(), column)?,
                true,
            ),
            _ => {
                return Err(FormatError::corrupt(format!(
                    "column {column}: a map without entries"
                )));
            }
        },
        DataType::Null
        | DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(..)
        | DataType::Date32 => stored.clone(),
        other => {
            return Err(FormatError::Unsupported {
                feature: format!("column {column} of type {other}"),
            });
        }
    })
}

/// One schema that holds the columns of both.
///
/// # Errors
/// If a column has two types.
pub(crate) fn merge(
    left: &Fields,
    right: &Fields,
    case_sensitive: bool,
) -> Result<Fields, FormatError> {
    let mut merged: Vec<Arc<Field>> = left.iter().cloned().collect();
    for field in right {
        match find(left, field.name(), case_sensitive)? {
            None => merged.push(Arc::clone(field)),
            Some(index) => {
                let known = &left[index];
                if known.data_type() == field.data_type() {
                    continue;
                }
                let (DataType::Struct(a), DataType::Struct(b)) =
                    (known.data_type(), field.data_type())
                else {
                    return Err(FormatError::MergeSchema {
                        column: field.name().clone(),
                        left: sql_name(known.data_type()),
                        right: sql_name(field.data_type()),
                    });
                };
                let inner = DataType::Struct(merge(a, b, case_sensitive)?);
                merged[index] = Arc::new(known.as_ref().clone().with_data_type(inner));
            }
        }
    }
    Ok(merged.into())
}

/// The same fields, all of them nullable at every depth: what Spark makes of a file's schema.
pub(crate) fn nullable(fields: &Fields) -> Fields {
    fields
        .iter()
        .map(|f| {
            let data_type = match f.data_type() {
                DataType::Struct(inner) => DataType::Struct(nullable(inner)),
                DataType::List(item) => match item.data_type() {
                    DataType::Struct(inner) => list_type(DataType::Struct(nullable(inner)), true),
                    other => list_type(other.clone(), true),
                },
                other => other.clone(),
            };
            Arc::new(
                f.as_ref()
                    .clone()
                    .with_data_type(data_type)
                    .with_nullable(true),
            )
        })
        .collect()
}
