//! `min` and `max` of structs and arrays: Spark's order has NULL fields before all others.
use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, BooleanArray, UInt64Array, new_empty_array},
    compute::take,
    datatypes::{DataType, Field},
    row::{OwnedRow, RowConverter, SortField},
};
use datafusion::{
    common::Result,
    logical_expr::{EmitTo, GroupsAccumulator},
};

use super::AggregateKernel;

#[derive(Debug, Clone)]
pub(super) struct Extreme {
    pub value: DataType,
    pub largest: bool,
}

impl AggregateKernel for Extreme {
    fn fingerprint(&self) -> String {
        format!("largest={}", self.largest)
    }

    fn ordered(&self) -> bool {
        false
    }

    fn state(&self) -> Vec<Field> {
        vec![Field::new("value", self.value.clone(), true)]
    }

    fn groups(&self) -> Box<dyn GroupsAccumulator> {
        Box::new(Groups {
            kernel: self.clone(),
            converter: None,
            best: vec![],
        })
    }
}

/// The best value of each group, as comparable bytes.
struct Groups {
    kernel: Extreme,
    /// Made with the first rows; rows are comparable with those of the same converter only.
    converter: Option<RowConverter>,
    best: Vec<Option<OwnedRow>>,
}

impl Groups {
    fn converter(&mut self) -> Result<&mut RowConverter> {
        if self.converter.is_none() {
            let field = SortField::new(self.kernel.value.clone());
            self.converter = Some(RowConverter::new(vec![field])?);
        }
        self.converter.as_mut().ok_or_else(|| {
            datafusion::common::internal_datafusion_err!("a row converter was not kept")
        })
    }

    fn add(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        if self.best.len() < total {
            self.best.resize(total, None);
        }
        let rows = self.converter()?.convert_columns(values)?;
        let nulls = values.first().and_then(|v| v.logical_nulls());
        for (row, group) in group_indices.iter().enumerate() {
            let wanted = filter.is_none_or(|f| f.is_valid(row) && f.value(row));
            if !wanted || nulls.as_ref().is_some_and(|n| n.is_null(row)) {
                continue;
            }
            let Some(best) = self.best.get_mut(*group) else {
                continue;
            };
            let here = rows.row(row);
            let better = best.as_ref().is_none_or(|best| match self.kernel.largest {
                true => here > best.row(),
                false => here < best.row(),
            });
            if better {
                *best = Some(here.owned());
            }
        }
        Ok(())
    }

    fn emit(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let best = emit_to.take_needed(&mut self.best);
        let found = best.iter().flatten().map(OwnedRow::row);
        let mut columns = self.converter()?.convert_rows(found)?;
        let values = columns
            .pop()
            .unwrap_or_else(|| new_empty_array(&self.kernel.value));
        let mut next = 0_u64;
        let places: UInt64Array = best
            .iter()
            .map(|b| {
                b.as_ref().map(|_| {
                    next += 1;
                    next - 1
                })
            })
            .collect();
        Ok(take(&values, &places, None)?)
    }
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.add(values, group_indices, filter, total)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.emit(emit_to)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.emit(emit_to)?])
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total: usize,
    ) -> Result<()> {
        self.add(values, group_indices, None, total)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let Some(values) = values.first() else {
            return Ok(vec![]);
        };
        let Some(filter) = filter else {
            return Ok(vec![Arc::clone(values)]);
        };
        let dropped = arrow::compute::is_null(values)?;
        let kept = arrow::compute::prep_null_mask_filter(filter);
        let drop = arrow::compute::or(&dropped, &arrow::compute::not(&kept)?)?;
        let places: UInt64Array = (0..values.len())
            .map(|row| (!drop.value(row)).then_some(row as u64))
            .collect();
        Ok(vec![take(values, &places, None)?])
    }

    fn size(&self) -> usize {
        let bytes: usize = self
            .best
            .iter()
            .flatten()
            .map(|row| row.as_ref().len())
            .sum();
        bytes + self.best.capacity() * size_of::<Option<OwnedRow>>()
    }
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{AsArray, Int32Array, StructArray},
        datatypes::Int32Type,
    };

    use super::*;

    fn structs(values: &[Option<i32>]) -> ArrayRef {
        let field = Arc::new(Field::new("i", DataType::Int32, true));
        let values: ArrayRef = Arc::new(Int32Array::from(values.to_vec()));
        Arc::new(StructArray::from(vec![(field, values)]))
    }

    fn extreme(largest: bool, batches: &[ArrayRef]) -> Vec<Option<i32>> {
        let value = structs(&[]).data_type().clone();
        let mut groups = Extreme { value, largest }.groups();
        for batch in batches {
            let indices: Vec<usize> = (0..batch.len()).map(|row| row % 2).collect();
            let values = std::slice::from_ref(batch);
            groups.update_batch(values, &indices, None, 3).unwrap();
        }
        let best = groups.evaluate(EmitTo::All).unwrap();
        assert!(best.is_null(2), "a group without rows");
        let fields = best.as_struct().column(0).as_primitive::<Int32Type>();
        (0..2)
            .map(|g| fields.is_valid(g).then(|| fields.value(g)))
            .collect()
    }

    #[test]
    fn null_fields_are_least() {
        let batches = [
            structs(&[Some(4), Some(1), None, Some(2)]),
            structs(&[Some(3)]),
        ];
        assert_eq!(extreme(false, &batches), [None, Some(1)]);
        assert_eq!(extreme(true, &batches), [Some(4), Some(2)]);
    }
}
