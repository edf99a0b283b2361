//! The keys seen so far: which rows are first arrivals, and when a key is forgotten.
use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, Int64Array, RecordBatch,
        RecordBatchOptions,
    },
    compute::filter_record_batch,
    datatypes::{
        DataType, Field, Float32Type, Float64Type, Schema, SchemaRef, TimestampMicrosecondType,
    },
};
use datafusion::{
    common::{Result, internal_datafusion_err},
    physical_plan::aggregates::{
        group_values::{GroupValues, new_group_values},
        order::GroupOrdering,
    },
};
use millstream_state::{StateSchema, StateStore};

use crate::batch::external;

/// When a key is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expiry {
    /// Never.
    Never,
    /// When the watermark has reached the event time among its columns.
    OfKey {
        /// Index of the event-time column in the key.
        column: usize,
    },
    /// When the watermark has reached its first row's event time plus a delay.
    AfterDelay {
        /// Index of the event-time column in the input.
        column: usize,
        /// The delay in milliseconds.
        delay_ms: i64,
    },
}

impl Expiry {
    /// The layout of the state for keys of these columns.
    pub(super) fn state(self, key: &SchemaRef) -> StateSchema {
        let nothing = Arc::new(Schema::empty());
        match self {
            Self::Never => StateSchema::new(Arc::clone(key), nothing),
            Self::OfKey { column } => {
                StateSchema::new(Arc::clone(key), nothing).with_event_time(column)
            }
            Self::AfterDelay { .. } => {
                let width = key.fields().len();
                let expires = Arc::new(Field::new("expiresAtMicros", DataType::Int64, false));
                let fields: Vec<_> = key.fields().iter().cloned().chain([expires]).collect();
                StateSchema::new(Arc::new(Schema::new(fields)), nothing)
                    .with_prefix(width)
                    .with_event_time(width)
            }
        }
    }
}

/// The event times of a column, in microseconds; a window stands for its end.
pub(super) fn event_times(rows: &RecordBatch, column: usize) -> Result<Int64Array> {
    let missing = || internal_datafusion_err!("column {column} holds no event time");
    let column = rows.columns().get(column).ok_or_else(missing)?;
    let (instants, outer) = match column.as_struct_opt() {
        Some(window) => (window.columns().get(1).ok_or_else(missing)?, window.nulls()),
        None => (column, None),
    };
    let instants = instants
        .as_primitive_opt::<TimestampMicrosecondType>()
        .ok_or_else(missing)?;
    let nulls = arrow::buffer::NullBuffer::union(instants.nulls(), outer);
    Ok(Int64Array::new(instants.values().clone(), nulls))
}

/// Tells first arrivals from duplicates.
pub(super) struct Seen {
    key: SchemaRef,
    expiry: Expiry,
    state: StateSchema,
    /// The keys of one batch of rows.
    batch: Box<dyn GroupValues>,
    numbers: Vec<usize>,
}

impl Seen {
    pub(super) fn try_new(key: SchemaRef, expiry: Expiry) -> Result<Self> {
        let batch = new_group_values(Arc::clone(&key), &GroupOrdering::None)?;
        Ok(Self {
            state: expiry.state(&key),
            key,
            expiry,
            batch,
            numbers: vec![],
        })
    }

    /// The layout of the state.
    pub(super) fn state(&self) -> &StateSchema {
        &self.state
    }

    /// The rows whose key has not been seen, the first of each, in order; their keys are known from now on.
    pub(super) fn first_arrivals(
        &mut self,
        rows: RecordBatch,
        store: &mut dyn StateStore,
    ) -> Result<RecordBatch> {
        let keys = self.keys_of(&rows)?;
        let Expiry::AfterDelay { column, delay_ms } = self.expiry else {
            let first = store.put_absent(&keys, &self.nothing(keys.num_rows())?);
            return kept(rows, &first.map_err(external)?);
        };
        // The key in the store has the time of its expiry behind it, so what is known is asked by prefix.
        let unknown = unknown(&keys, store)?;
        let (rows, keys) = (kept(rows, &unknown)?, kept(keys, &unknown)?);
        if rows.num_rows() == 0 {
            return Ok(rows);
        }
        let first = self.first_of_each(&keys)?;
        let (rows, keys) = (kept(rows, &first)?, kept(keys, &first)?);
        let expires = event_times(&rows, column)?;
        let delay_us = delay_ms.saturating_mul(1000);
        let expires: Int64Array = expires
            .iter()
            .map(|at| Some(at.unwrap_or(0).saturating_add(delay_us)))
            .collect();
        let mut columns = keys.columns().to_vec();
        columns.push(Arc::new(expires) as ArrayRef);
        let entries = RecordBatch::try_new(Arc::clone(&self.state.key), columns)?;
        store
            .put(&entries, &self.nothing(rows.num_rows())?)
            .map_err(external)?;
        Ok(rows)
    }

    /// The values of that many keys.
    fn nothing(&self, keys: usize) -> Result<RecordBatch> {
        let value = Arc::clone(&self.state.value);
        let keys = RecordBatchOptions::new().with_row_count(Some(keys));
        Ok(RecordBatch::try_new_with_options(value, vec![], &keys)?)
    }

    fn keys_of(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let columns = rows.columns().get(..self.key.fields().len());
        let columns = columns.ok_or_else(|| internal_datafusion_err!("rows without their key"))?;
        let columns = columns.iter().map(canonical).collect();
        Ok(RecordBatch::try_new(Arc::clone(&self.key), columns)?)
    }

    /// Which rows are the first of their key among these.
    fn first_of_each(&mut self, keys: &RecordBatch) -> Result<BooleanArray> {
        self.batch.clear_shrink(keys.num_rows());
        self.batch.intern(keys.columns(), &mut self.numbers)?;
        let mut met = vec![false; self.batch.len()];
        let first = self.numbers.iter().map(|number| {
            met.get_mut(*number)
                .is_some_and(|met| !std::mem::replace(met, true))
        });
        Ok(BooleanArray::from_iter(first.map(Some)))
    }
}

/// Which keys no entry of the store begins with.
fn unknown(keys: &RecordBatch, store: &mut dyn StateStore) -> Result<BooleanArray> {
    let mut unknown = BooleanBufferBuilder::new(keys.num_rows());
    unknown.append_n(keys.num_rows(), true);
    let known = store.prefix_scan(keys).map_err(external)?.asked;
    for row in known.values() {
        unknown.set_bit(*row as usize, false);
    }
    Ok(BooleanArray::new(unknown.finish(), None))
}

/// Equal floating-point keys with equal bits: one zero, one NaN.
fn canonical(column: &ArrayRef) -> ArrayRef {
    if let Some(floats) = column.as_primitive_opt::<Float64Type>() {
        let one = |x: f64| if x.is_nan() { f64::NAN } else { x + 0.0 };
        return Arc::new(floats.unary::<_, Float64Type>(one));
    }
    if let Some(floats) = column.as_primitive_opt::<Float32Type>() {
        let one = |x: f32| if x.is_nan() { f32::NAN } else { x + 0.0 };
        return Arc::new(floats.unary::<_, Float32Type>(one));
    }
    Arc::clone(column)
}

/// The rows that a mask keeps.
fn kept(rows: RecordBatch, mask: &BooleanArray) -> Result<RecordBatch> {
    match mask.true_count() == rows.num_rows() {
        true => Ok(rows),
        false => Ok(filter_record_batch(&rows, mask)?),
    }
}
