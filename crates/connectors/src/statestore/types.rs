//! The types that columns of a state come out with.
//!
//! An aggregate's buffer has the types that suit its accumulator, a count without a sign for one. Spark has no such type,
//! and no client could be told of it.
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};

/// The type that Spark has for values of a stored column. Counts become `bigint`, as in Spark's own buffers, although half
/// of an unsigned number's range is out of its reach: no state counts that far.
pub(super) fn spark_type(stored: &DataType) -> DataType {
    match stored {
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        DataType::Dictionary(_, value) => spark_type(value),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            DataType::List(spark_field(item))
        }
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(spark_field).collect()),
        DataType::Map(entries, sorted) => DataType::Map(spark_field(entries), *sorted),
        other => other.clone(),
    }
}

fn spark_field(stored: &FieldRef) -> FieldRef {
    let data_type = spark_type(stored.data_type());
    Arc::new(stored.as_ref().clone().with_data_type(data_type))
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;

    use super::*;

    #[test]
    fn types_within_types_are_sparks_too() {
        let list = |item| DataType::List(Arc::new(Field::new("item", item, true)));
        let structure = |of| DataType::Struct(vec![Field::new("n", of, true)].into());
        assert_eq!(
            spark_type(&list(structure(DataType::UInt64))),
            list(structure(DataType::Int64))
        );
        assert_eq!(spark_type(&list(DataType::Utf8)), list(DataType::Utf8));
    }
}
