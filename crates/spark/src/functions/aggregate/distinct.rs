//! DISTINCT for any aggregate: the values seen so far are the state.
use std::{collections::HashSet, fmt, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{DataType, Field, FieldRef},
    row::{OwnedRow, RowConverter, SortField},
};
use datafusion::{
    common::{Result, ScalarValue},
    logical_expr::Accumulator,
};

use crate::types::list_item;

pub(super) struct DistinctAccumulator {
    types: Vec<DataType>,
    converter: RowConverter,
    seen: HashSet<OwnedRow>,
    inner: Box<dyn Accumulator>,
}

impl fmt::Debug for DistinctAccumulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DistinctAccumulator")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl DistinctAccumulator {
    pub(super) fn try_new(types: Vec<DataType>, inner: Box<dyn Accumulator>) -> Result<Self> {
        let converter = RowConverter::new(types.iter().cloned().map(SortField::new).collect())?;
        Ok(Self {
            types,
            converter,
            seen: HashSet::new(),
            inner,
        })
    }

    pub(super) fn state_fields(name: &str, inputs: &[FieldRef]) -> Vec<FieldRef> {
        let field = |(i, f): (usize, &FieldRef)| {
            let item = list_item(f.data_type().clone(), true);
            Arc::new(Field::new(
                format!("{name}[distinct {i}]"),
                DataType::List(item),
                true,
            ))
        };
        inputs.iter().enumerate().map(field).collect()
    }

    fn columns(&self) -> Result<Vec<ArrayRef>> {
        if self.seen.is_empty() {
            return Ok(self
                .types
                .iter()
                .map(arrow::array::new_empty_array)
                .collect());
        }
        Ok(self
            .converter
            .convert_rows(self.seen.iter().map(OwnedRow::row))?)
    }
}

impl Accumulator for DistinctAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let rows = self.converter.convert_columns(values)?;
        for (index, row) in rows.iter().enumerate() {
            // Aggregates skip NULLs, and so does DISTINCT.
            if values.iter().all(|v| v.is_valid(index)) {
                self.seen.insert(row.owned());
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let rows = states.first().map_or(0, |s| s.len());
        for row in 0..rows {
            let values: Vec<ArrayRef> = states
                .iter()
                .map(|s| s.as_list::<i32>().value(row))
                .collect();
            self.update_batch(&values)?;
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let columns = self.columns()?;
        self.inner.update_batch(&columns)?;
        self.inner.evaluate()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let columns = self.columns()?;
        let list = |column: &ArrayRef| {
            let values: Vec<ScalarValue> = (0..column.len())
                .map(|i| ScalarValue::try_from_array(column, i))
                .collect::<Result<_>>()?;
            let array = ScalarValue::new_list(&values, column.data_type(), true);
            Ok(ScalarValue::List(array))
        };
        columns.iter().map(list).collect()
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.seen.capacity() * size_of::<OwnedRow>() + self.converter.size()
    }
}
