//! Columns on their way in and out of a store: checked against its schema, in the layout in which they are kept.
use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions},
    buffer::{NullBuffer, ScalarBuffer},
    datatypes::{DataType, Int64Type, Schema, SchemaRef, TimestampMicrosecondType},
};

use crate::{
    Result, StateError, StateStoreId,
    schema::{StorageSchema, conform, describe, same_types},
};

/// A batch that may have no columns at all.
pub(crate) fn batch_of(
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns,
        &options,
    )?)
}

/// Refuses values that are not the store's, or not as many as keys.
pub(crate) fn check_values(
    store: &StateStoreId,
    schema: &StorageSchema,
    keys: &RecordBatch,
    values: &RecordBatch,
) -> Result<()> {
    let wrong = |expected: String, found: String| StateError::WrongColumns {
        store: store.clone(),
        part: "value",
        expected,
        found,
    };
    if !same_types(&schema.value, values.schema_ref()) {
        let found = describe(values.schema_ref());
        return Err(wrong(describe(&schema.asked.value), found));
    }
    if keys.num_rows() != values.num_rows() {
        return Err(wrong(
            format!("{} rows, as many as keys", keys.num_rows()),
            format!("{} rows", values.num_rows()),
        ));
    }
    Ok(())
}

/// Values of an event-time column.
pub(crate) struct EventTimes {
    values: ScalarBuffer<i64>,
    nulls: Option<NullBuffer>,
}

impl EventTimes {
    pub(crate) fn of(column: &ArrayRef) -> Option<Self> {
        let values = match column.data_type() {
            DataType::Int64 => column.as_primitive::<Int64Type>().values().clone(),
            DataType::Timestamp(_, _) => column
                .as_primitive_opt::<TimestampMicrosecondType>()?
                .values()
                .clone(),
            _ => return None,
        };
        Some(Self {
            values,
            nulls: column.nulls().cloned(),
        })
    }

    pub(crate) fn get(&self, row: usize) -> Option<i64> {
        let valid = self.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
        valid.then(|| self.values.get(row).copied())?
    }
}

/// The columns of a caller's batch in the layout in which they are kept.
pub(crate) fn stored_columns(
    store: &StateStoreId,
    part: &'static str,
    batch: &RecordBatch,
    wanted: &Schema,
) -> Result<Vec<ArrayRef>> {
    if !same_types(wanted, batch.schema_ref()) {
        return Err(StateError::WrongColumns {
            store: store.clone(),
            part,
            expected: describe(wanted),
            found: describe(batch.schema_ref()),
        });
    }
    let columns = batch.columns().iter().zip(wanted.fields());
    columns
        .map(|(column, field)| conform(column, field.data_type()))
        .collect()
}

/// A kept batch in the layout that the operator asked for.
pub(crate) fn hand_out(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if batch.schema_ref() == schema {
        return Ok(batch);
    }
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns
        .map(|(c, f)| conform(c, f.data_type()))
        .collect::<Result<Vec<_>>>()?;
    batch_of(schema, columns, batch.num_rows())
}
