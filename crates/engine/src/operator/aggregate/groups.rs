//! Numbering the groups of a batch, and the batches that groups travel in: key columns, then state columns.
use std::sync::Arc;

use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    datatypes::{Schema, SchemaRef},
};
use datafusion::{
    common::{Result, internal_datafusion_err},
    logical_expr::EmitTo,
    physical_plan::aggregates::{
        group_values::{GroupValues, new_group_values},
        order::GroupOrdering,
    },
};

use super::accumulators::Aggregates;

/// Numbers the groups of a batch.
pub(in crate::operator) struct Groups {
    values: Box<dyn GroupValues>,
    numbers: Vec<usize>,
    /// An aggregation without keys has one group.
    keyless: Option<usize>,
}

impl Groups {
    /// No groups, of these key columns.
    pub fn try_new(key: &SchemaRef) -> Result<Self> {
        let keyless = key.fields().is_empty().then_some(0);
        let values = new_group_values(Arc::clone(key), &GroupOrdering::None)?;
        Ok(Self {
            values,
            numbers: vec![],
            keyless,
        })
    }

    /// Groups so far.
    pub fn len(&self) -> usize {
        self.keyless.unwrap_or_else(|| self.values.len())
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        self.values.size()
    }

    /// Numbers the rows.
    pub fn assign(&mut self, keys: &RecordBatch) -> Result<()> {
        if let Some(groups) = &mut self.keyless {
            self.numbers = vec![0; keys.num_rows()];
            *groups = 1;
            return Ok(());
        }
        self.values.intern(keys.columns(), &mut self.numbers)
    }

    /// The groups of the rows of the last call of `assign`.
    pub fn of_rows(&self) -> &[usize] {
        &self.numbers
    }

    /// The keys of all groups, by number.
    pub fn into_keys(mut self, key: &SchemaRef) -> Result<RecordBatch> {
        let rows = RecordBatchOptions::new().with_row_count(Some(self.len()));
        let columns = match self.keyless {
            Some(_) => vec![],
            None if self.values.is_empty() => return Ok(RecordBatch::new_empty(Arc::clone(key))),
            None => self.values.emit(EmitTo::All)?,
        };
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(key),
            columns,
            &rows,
        )?)
    }
}

/// Keys and states to keys and results.
pub(in crate::operator) fn finish(
    aggregates: &Aggregates,
    schema: &SchemaRef,
    keys: usize,
    group: &RecordBatch,
) -> Result<RecordBatch> {
    let states = project(group, aggregates.state_schema(), keys..group.num_columns())?;
    let mut columns = group.columns().get(..keys).unwrap_or_default().to_vec();
    columns.extend(aggregates.evaluate(&states)?);
    let rows = RecordBatchOptions::new().with_row_count(Some(group.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns,
        &rows,
    )?)
}

/// Some columns of a batch, under the names of `schema`.
pub(in crate::operator) fn project(
    rows: &RecordBatch,
    schema: &SchemaRef,
    columns: std::ops::Range<usize>,
) -> Result<RecordBatch> {
    let columns = rows
        .columns()
        .get(columns)
        .ok_or_else(|| internal_datafusion_err!("a batch of groups has too few columns"))?;
    let count = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns.to_vec(),
        &count,
    )?)
}

/// The columns of both, side by side.
pub(in crate::operator) fn beside(keys: &RecordBatch, states: &RecordBatch) -> Result<RecordBatch> {
    let fields: Vec<_> = keys
        .schema()
        .fields()
        .iter()
        .chain(states.schema().fields())
        .cloned()
        .collect();
    let columns = keys
        .columns()
        .iter()
        .chain(states.columns())
        .cloned()
        .collect();
    let rows = RecordBatchOptions::new().with_row_count(Some(keys.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        Arc::new(Schema::new(fields)),
        columns,
        &rows,
    )?)
}

/// A batch in pieces of at most `size` rows.
pub(in crate::operator) fn slices(rows: &RecordBatch, size: usize) -> Vec<RecordBatch> {
    (0..rows.num_rows())
        .step_by(size.max(1))
        .map(|at| rows.slice(at, size.min(rows.num_rows() - at)))
        .collect()
}
