//! From the columns of a store to the structs `key` and `value` under the names that Spark gives them.
//!
//! The engine labels a key column `<name>#<anything>`, the bounds of a window `<name>#<anything>.start` and `.end`, and a
//! column of an aggregate's buffer `<call>[<part>]`. Of a row that a join keeps, columns that the key has are not stored
//! again; the key says which they are: `<name>#<column of the row>.<its name>`.
use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, StructArray},
    datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef},
    error::ArrowError,
};
use millstream_state::StateSchema;

use super::types::spark_type;

/// Names in a join's state of what is no column of a row.
const MATCHED: &str = "matched#state";
const EVENT_TIME: &str = "event_time";

/// How a store's columns come out.
#[derive(Debug, Clone)]
pub(super) struct StateColumns {
    key: Vec<Column>,
    value: Vec<Column>,
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
        }
    }

    /// One side of a join: the join key, and the rows as they came in. `None` for state that does not say what its key has
    /// of a row.
    pub(super) fn of_join(schema: &StateSchema) -> Option<Self> {
        let lead = schema.key.fields().len().checked_sub(1)?;
        let joined = schema.key.project(&Vec::from_iter(0..lead)).ok()?;
        let mut row: Vec<(usize, Column)> = vec![];
        for (stored, field) in joined.fields().iter().enumerate() {
            let (_, of_row) = field.name().split_once('#')?;
            if let Some((index, name)) = of_row.split_once('.')
                && let Ok(index) = index.parse()
            {
                let field = Field::new(label(name), spark_type(field.data_type()), true);
                let column = Column {
                    field: Arc::new(field),
                    stored: vec![stored],
                };
                row.push((index, column));
            }
        }
        let mut free = (0..).filter(|index| !row.iter().any(|(taken, _)| taken == index));
        let mut rest = vec![];
        for (index, field) in schema.value.fields().iter().enumerate() {
            if index == 0 && field.name() == MATCHED {
                continue;
            }
            let stored = lead + 1 + index;
            let field = Field::new(label(field.name()), spark_type(field.data_type()), true);
            let column = Column {
                field: Arc::new(field),
                stored: vec![stored],
            };
            rest.push((free.next()?, column));
        }
        row.extend(rest);
        row.sort_by_key(|(index, _)| *index);
        let mut key = keys(&joined);
        key.retain(|column| column.field.name() != EVENT_TIME);
        Some(Self {
            key,
            value: row.into_iter().map(|(_, column)| column).collect(),
        })
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
                let bound = |name: &str, field: &Field| {
                    Field::new(name, spark_type(field.data_type()), true)
                };
                let bounds = vec![bound("start", field), bound("end", end)].into();
                let window = Field::new(label(name), DataType::Struct(bounds), true);
                (window, vec![index, *at])
            }
            _ => {
                let name = label(field.name());
                (
                    Field::new(name, spark_type(field.data_type()), true),
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
        let field = Field::new(
            part.unwrap_or(label(name)),
            spark_type(field.data_type()),
            true,
        );
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
    use arrow::array::{AsArray, Float64Array, StringViewArray, UInt64Array};

    use super::*;

    #[test]
    fn a_row_of_a_join_is_put_together_again() {
        let field = |name: &str, data_type| Field::new(name, data_type, true);
        let key = Schema::new(vec![
            field("field0#1.k#7", DataType::Utf8),
            field("field1#.start", DataType::Int64),
            field("field1#.end", DataType::Int64),
            field("event_time#0.t", DataType::Int64),
            field("sequence", DataType::Int64),
        ]);
        let value = Schema::new(vec![
            field("matched#state", DataType::Boolean),
            field("w", DataType::Int32),
            field("matched", DataType::Boolean),
        ]);
        let state = StateSchema::new(Arc::new(key), Arc::new(value));
        let columns = StateColumns::of_join(&state).unwrap();
        let names = |columns: &[Column]| -> Vec<(String, Vec<usize>)> {
            let named = |c: &Column| (c.field.name().clone(), c.stored.clone());
            columns.iter().map(named).collect()
        };
        let expected = [("field0", vec![0]), ("field1", vec![1, 2])];
        assert_eq!(
            names(&columns.key),
            expected.map(|(n, s)| (n.to_owned(), s))
        );
        let expected = [
            ("t", vec![3]),
            ("k", vec![0]),
            ("w", vec![6]),
            ("matched", vec![7]),
        ];
        assert_eq!(
            names(&columns.value),
            expected.map(|(n, s)| (n.to_owned(), s))
        );
        let unnamed = Schema::new(vec![
            field("key", DataType::Utf8),
            field("sequence", DataType::Int64),
        ]);
        let state = StateSchema::new(Arc::new(unnamed), Arc::new(Schema::empty()));
        assert!(StateColumns::of_join(&state).is_none());
    }

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
        let names = |index: usize| match schema.field(index).data_type() {
            DataType::Struct(fields) => fields.iter().map(|f| f.name().clone()).collect(),
            _ => vec![],
        };
        assert_eq!(names(0), ["window", "user"]);
        assert_eq!(names(1), ["count", "max"]);
    }

    #[test]
    fn an_average_is_counted_in_a_type_that_spark_has() {
        let key = Schema::new(vec![Field::new("user#k0", DataType::Utf8View, true)]);
        let value = Schema::new(vec![
            Field::new("aggregate#0[count]", DataType::UInt64, true),
            Field::new("aggregate#0[sum]", DataType::Float64, true),
        ]);
        let stored = vec![
            Arc::new(StringViewArray::from(vec!["a", "b"])) as ArrayRef,
            Arc::new(UInt64Array::from(vec![Some(3), None])),
            Arc::new(Float64Array::from(vec![1.5, 0.0])),
        ];
        let all = [key.fields(), value.fields()];
        let all: Fields = all.into_iter().flatten().cloned().collect();
        let entries = RecordBatch::try_new(Arc::new(Schema::new(all)), stored).unwrap();
        let columns = StateColumns::new(&StateSchema::new(Arc::new(key), Arc::new(value)));
        let rows = columns.state(&entries, 0).unwrap();
        let column = |structure: usize, index: usize| {
            let structure = rows.column(structure).as_struct();
            Arc::clone(structure.column(index))
        };
        let counts: ArrayRef = Arc::new(Int64Array::from(vec![Some(3), None]));
        assert_eq!(&column(1, 0), &counts);
        let users: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
        assert_eq!(&column(0, 0), &users);
    }
}
