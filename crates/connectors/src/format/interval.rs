//! Intervals as the text that text formats hold.
//!
//! From which unit to which an interval goes stands in the metadata of its field, which an array does not carry; so
//! columns with intervals are spelled out before the rest of a writer sees them.
use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray},
    datatypes::{DataType, Field, FieldRef, Fields, IntervalUnit},
};

use super::FormatError;
use crate::{
    datetime::Zone,
    text::{Style, render},
};

/// The column with all intervals in it as text.
pub(crate) fn spelled(array: &ArrayRef, field: &Field) -> Result<ArrayRef, FormatError> {
    if !holds_interval(array.data_type()) {
        return Ok(Arc::clone(array));
    }
    let retyped = |field: &FieldRef, array: &ArrayRef| {
        let data_type = array.data_type().clone();
        Arc::new(field.as_ref().clone().with_data_type(data_type))
    };
    Ok(match array.data_type() {
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns().iter().zip(fields);
            let columns = columns
                .map(|(column, field)| spelled(column, field))
                .collect::<Result<Vec<_>, _>>()?;
            let fields = fields.iter().zip(&columns).map(|(f, c)| retyped(f, c));
            let fields: Fields = fields.collect();
            let nulls = array.nulls().cloned();
            Arc::new(StructArray::try_new(fields, columns, nulls)?)
        }
        DataType::List(item) => {
            let list = array.as_list::<i32>();
            let values = spelled(list.values(), item)?;
            let nulls = array.nulls().cloned();
            let item = retyped(item, &values);
            Arc::new(ListArray::try_new(
                item,
                list.offsets().clone(),
                values,
                nulls,
            )?)
        }
        DataType::Map(entries, sorted) => {
            let map = array.as_map();
            let values: ArrayRef = Arc::new(map.entries().clone());
            let values = spelled(&values, entries)?;
            let nulls = array.nulls().cloned();
            let entries = retyped(entries, &values);
            let offsets = map.offsets().clone();
            let values = values.as_struct().clone();
            Arc::new(MapArray::try_new(entries, offsets, values, nulls, *sorted)?)
        }
        _ => {
            let utc = Zone::Fixed {
                seconds: 0,
                prefix: "",
            };
            let text = render(array, field, &Style::cast(utc)).map_err(FormatError::corrupt)?;
            Arc::new(text)
        }
    })
}

fn holds_interval(data_type: &DataType) -> bool {
    match data_type {
        DataType::Duration(_) | DataType::Interval(IntervalUnit::YearMonth) => true,
        DataType::Struct(fields) => fields.iter().any(|f| holds_interval(f.data_type())),
        DataType::List(item) => holds_interval(item.data_type()),
        DataType::Map(entries, _) => holds_interval(entries.data_type()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::DurationMicrosecondArray;

    use super::*;
    use crate::text::INTERVAL_FIELDS;

    #[test]
    fn an_interval_inside_a_struct_is_spelled_with_its_own_fields() {
        let days = Field::new(
            "i",
            DataType::Duration(arrow::datatypes::TimeUnit::Microsecond),
            true,
        )
        .with_metadata([(INTERVAL_FIELDS.into(), "day".into())].into());
        let values: ArrayRef = Arc::new(DurationMicrosecondArray::from(vec![86_400_000_000]));
        let rows: ArrayRef = Arc::new(StructArray::from(vec![(Arc::new(days), values)]));
        let field = Field::new("row", rows.data_type().clone(), true);
        let spelled = spelled(&rows, &field).unwrap();
        let text = spelled.as_struct().column(0).as_string::<i32>().clone();
        assert_eq!(text.value(0), "INTERVAL '1' DAY");
    }
}
