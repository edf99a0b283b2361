//! From the columns of a store to the structs `key` and `value` under the names that Spark gives them.
//!
//! The engine labels a key column `<name>#<anything>`, the bounds of a window `<name>#<anything>.start` and `.end`, and a
//! column of an aggregate's buffer `<call>[<part>]`.
use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, StructArray},
    datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef},
    error::ArrowError,
};
use millstream_state::StateSchema;

/// How a store's columns come out.
#[derive(Debug, Clone)]
pub(super) struct StateColumns {
    key: Vec<Column>,
    value: Vec<Column>,
    key_columns: usize,
}

/// A column of the output, from one stored column or several.
#[derive(Debug, Clone)]
struct Column {
    field: FieldRef,
    stored: Vec<usize>,
}

impl StateColumns {
    pub(super) fn new(schema: &StateSchema) -> Self {
        let key_columns = schema.key.fields().len();
        Self {
            key: keys(&schema.key),
            value: values(&schema.value, key_columns),
            key_columns,
        }
    }

    fn structs(&self) -> [FieldRef; 2] {
        let structure = |name: &str, columns: &[Column]| {
            let fields: Fields = columns.iter().map(|c| Arc::clone(&c.field)).collect();
            Arc::new(Field::new(name, DataType::Struct(fields), true))
        };
        [structure("key", &self.key), structure("value", &self.value)]
    }

    /// Columns of the state of a batch.
    pub(super) fn state_schema(&self) -> SchemaRef {
        let [key, value] = self.structs();
        let partition = Arc::new(Field::new("partition_id", DataType::Int32, true));
        Arc::new(Schema::new(vec![key, value, partition]))
    }

    /// Columns of the change feed.
    pub(super) fn change_schema(&self) -> SchemaRef {
        let [key, value] = self.structs();
        let batch = Arc::new(Field::new("batch_id", DataType::Int64, true));
        let change = Arc::new(Field::new("change_type", DataType::Utf8, true));
        let partition = Arc::new(Field::new("partition_id", DataType::Int32, true));
        Arc::new(Schema::new(vec![batch, change, key, value, partition]))
    }

    /// Entries of a partition as rows of the state.
    pub(super) fn state(
        &self,
        entries: &RecordBatch,
        partition: u32,
    ) -> Result<RecordBatch, ArrowError> {
        let [key, value] = self.both(entries)?;
        RecordBatch::try_new(
            self.state_schema(),
            vec![key, value, part(entries, partition)],
        )
    }

    /// Entries of a partition as rows of the change feed; those that were removed have no value.
    pub(super) fn changes(
        &self,
        entries: &RecordBatch,
        partition: u32,
        batch_id: u64,
        removed: bool,
    ) -> Result<RecordBatch, ArrowError> {
        let rows = entries.num_rows();
        let [key, value] = self.both(entries)?;
        let value = match removed {
            true => arrow::array::new_null_array(value.data_type(), rows),
            false => value,
        };
        let batch = i64::try_from(batch_id).unwrap_or(i64::MAX);
        let change = if removed { "delete" } else { "update" };
        RecordBatch::try_new(
            self.change_schema(),
            vec![
                Arc::new(Int64Array::from(vec![batch; rows])),
                Arc::new(StringArray::from(vec![change; rows])),
                key,
                value,
                part(entries, partition),
            ],
        )
    }

    fn both(&self, entries: &RecordBatch) -> Result<[ArrayRef; 2], ArrowError> {
        Ok([gather(&self.key, entries)?, gather(&self.value, entries)?])
    }

    /// Number of key columns of an entry.
    pub(super) fn key_columns(&self) -> usize {
        self.key_columns
    }
}

fn part(entries: &RecordBatch, partition: u32) -> ArrayRef {
    let partition = i32::try_from(partition).unwrap_or(i32::MAX);
    Arc::new(Int32Array::from(vec![partition; entries.num_rows()]))
}

fn gather(columns: &[Column], entries: &RecordBatch) -> Result<ArrayRef, ArrowError> {
    let mut fields = Vec::with_capacity(columns.len());
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
    for Column { field, stored } in columns {
        let parts = stored
            .iter()
            .filter_map(|index| entries.columns().get(*index));
        let parts: Vec<ArrayRef> = parts.cloned().collect();
        let array = match (field.data_type(), parts.as_slice()) {
            (DataType::Struct(bounds), [_, _]) => {
                Arc::new(StructArray::try_new(bounds.clone(), parts, None)?) as ArrayRef
            }
            (data_type, [only]) => arrow::compute::cast(only, data_type)?,
            (data_type, _) => arrow::array::new_null_array(data_type, entries.num_rows()),
        };
        fields.push(Arc::clone(field));
        arrays.push(array);
    }
    let rows = entries.num_rows();
    let structure = StructArray::try_new_with_length(fields.into(), arrays, None, rows)?;
    Ok(Arc::new(structure))
}

fn keys(schema: &Schema) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    let mut fields = schema.fields().iter().enumerate().peekable();
    while let Some((index, field)) = fields.next() {
        let window = field.name().strip_suffix(".start");
        let end = fields.peek().filter(|(_, next)| {
            window.is_some_and(|name| next.name().strip_suffix(".end") == Some(name))
        });
        let (field, stored) = match (window, end) {
            (Some(name), Some((at, end))) => {
                let bound =
                    |name: &str, field: &Field| Field::new(name, field.data_type().clone(), true);
                let bounds = vec![bound("start", field), bound("end", end)].into();
                let window = Field::new(label(name), DataType::Struct(bounds), true);
                (window, vec![index, *at])
            }
            _ => {
                let name = label(field.name());
                (
                    Field::new(name, field.data_type().clone(), true),
                    vec![index],
                )
            }
        };
        if stored.len() > 1 {
            fields.next();
        }
        columns.push(Column {
            field: Arc::new(field),
            stored,
        });
    }
    columns
}

fn label(name: &str) -> &str {
    name.split_once('#').map_or(name, |(label, _)| label)
}

fn values(schema: &Schema, first: usize) -> Vec<Column> {
    let columns = schema.fields().iter().enumerate().map(|(index, field)| {
        let name = field.name();
        let part = name
            .strip_suffix(']')
            .and_then(|name| name.rsplit_once('['))
            .map(|(_, part)| part);
        let field = Field::new(part.unwrap_or(label(name)), field.data_type().clone(), true);
        Column {
            field: Arc::new(field),
            stored: vec![first + index],
        }
    });
    let columns: Vec<Column> = columns.collect();
    match columns.is_empty() {
        false => columns,
        // Spark's set of keys has a value all the same.
        true => vec![Column {
            field: Arc::new(Field::new("__dummy__", DataType::Null, true)),
            stored: vec![],
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_become_the_names_that_users_know() {
        let time = DataType::Int64;
        let key = Schema::new(vec![
            Field::new("window#k0.start", time.clone(), true),
            Field::new("window#k0.end", time, true),
            Field::new("user#k1", DataType::Utf8, true),
        ]);
        let value = Schema::new(vec![
            Field::new("aggregate#0[count]", DataType::Int64, true),
            Field::new("aggregate#1[max]", DataType::Int64, true),
        ]);
        let columns = StateColumns::new(&StateSchema::new(Arc::new(key), Arc::new(value)));
        let schema = columns.state_schema();
        assert_eq!(columns.key_columns(), 3);
        let names = |index: usize| match schema.field(index).data_type() {
            DataType::Struct(fields) => fields.iter().map(|f| f.name().clone()).collect(),
            _ => vec![],
        };
        assert_eq!(names(0), ["window", "user"]);
        assert_eq!(names(1), ["count", "max"]);
    }
}
