//! Makes an array fit a type that differs in labels only.
use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, ListArray, MapArray, StructArray, cast::AsArray, make_array},
    datatypes::DataType,
};

use crate::error::{Result, SparkError};

/// `array` as a `data_type` that has the same layout: nullability and names of parts, metadata and time zone may
/// differ. Buffers are shared.
pub fn relabel(array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    if array.data_type() == data_type {
        return Ok(Arc::clone(array));
    }
    match (array.data_type(), data_type) {
        (DataType::List(_), DataType::List(item)) => {
            let from = array.as_list::<i32>();
            let values = relabel(from.values(), item.data_type())?;
            let (offsets, nulls) = (from.offsets().clone(), from.nulls().cloned());
            Ok(Arc::new(ListArray::try_new(
                Arc::clone(item),
                offsets,
                values,
                nulls,
            )?))
        }
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let from = array.as_struct();
            if from.num_columns() != fields.len() {
                return Err(mismatch(array, data_type));
            }
            let columns: Vec<ArrayRef> = from
                .columns()
                .iter()
                .zip(fields)
                .map(|(c, f)| relabel(c, f.data_type()))
                .collect::<Result<_>>()?;
            let length = from.len();
            let nulls = from.nulls().cloned();
            Ok(Arc::new(StructArray::try_new_with_length(
                fields.clone(),
                columns,
                nulls,
                length,
            )?))
        }
        (DataType::Map(_, _), DataType::Map(entries, sorted)) => {
            let from = array.as_map();
            let inner: ArrayRef = Arc::new(from.entries().clone());
            let inner = relabel(&inner, entries.data_type())?;
            let (offsets, nulls) = (from.offsets().clone(), from.nulls().cloned());
            let inner = inner.as_struct().clone();
            Ok(Arc::new(MapArray::try_new(
                Arc::clone(entries),
                offsets,
                inner,
                nulls,
                *sorted,
            )?))
        }
        (DataType::Timestamp(a, _), DataType::Timestamp(b, _)) if a == b => {
            let data = array
                .to_data()
                .into_builder()
                .data_type(data_type.clone())
                .build()?;
            Ok(make_array(data))
        }
        _ => Err(mismatch(array, data_type)),
    }
}

fn mismatch(array: &ArrayRef, data_type: &DataType) -> SparkError {
    SparkError::internal(format!(
        "an array of {} where {data_type} was promised",
        array.data_type()
    ))
}
