//! `collect_list` and `collect_set`: the values of each group.
use std::{collections::HashSet, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, new_empty_array},
    buffer::OffsetBuffer,
    compute::{concat, interleave},
    datatypes::{DataType, Field},
    row::{OwnedRow, RowConverter, SortField},
};
use datafusion::{
    common::Result,
    logical_expr::{EmitTo, GroupsAccumulator},
};

use super::AggregateKernel;
use crate::types::list_item;

#[derive(Debug)]
pub(super) struct Collect {
    pub element: DataType,
    pub distinct: bool,
}

impl AggregateKernel for Collect {
    fn fingerprint(&self) -> String {
        format!("distinct={}", self.distinct)
    }

    fn state(&self) -> Vec<Field> {
        vec![Field::new(
            "values",
            DataType::List(list_item(self.element.clone(), false)),
            false,
        )]
    }

    fn groups(&self) -> Box<dyn GroupsAccumulator> {
        Box::new(Groups {
            element: self.element.clone(),
            distinct: self.distinct,
            ..Default::default()
        })
    }
}

/// Values stay in the arrays they came in; a group is a list of places.
#[derive(Debug)]
struct Groups {
    element: DataType,
    distinct: bool,
    arrays: Vec<ArrayRef>,
    places: Vec<Vec<(usize, usize)>>,
    seen: Vec<HashSet<OwnedRow>>,
    bytes: usize,
}

impl Default for Groups {
    fn default() -> Self {
        Self {
            element: DataType::Null,
            distinct: false,
            arrays: vec![],
            places: vec![],
            seen: vec![],
            bytes: 0,
        }
    }
}

impl Groups {
    fn grow(&mut self, total: usize) {
        if self.places.len() < total {
            self.places.resize_with(total, Vec::new);
        }
        if self.distinct && self.seen.len() < total {
            self.seen.resize_with(total, HashSet::new);
        }
    }

    fn add(
        &mut self,
        values: &ArrayRef,
        groups: impl Iterator<Item = usize>,
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        let index = self.arrays.len();
        self.bytes += values.get_array_memory_size();
        self.arrays.push(Arc::clone(values));
        let rows = match self.distinct {
            true => {
                let converter = RowConverter::new(vec![SortField::new(self.element.clone())])?;
                Some(converter.convert_columns(std::slice::from_ref(values))?)
            }
            false => None,
        };
        for (row, group) in groups.enumerate() {
            let wanted = filter.is_none_or(|f| f.is_valid(row) && f.value(row));
            if !wanted || values.is_null(row) {
                continue;
            }
            if let (Some(rows), Some(seen)) = (&rows, self.seen.get_mut(group))
                && !seen.insert(rows.row(row).owned())
            {
                continue;
            }
            if let Some(places) = self.places.get_mut(group) {
                places.push((index, row));
            }
        }
        Ok(())
    }

    fn emit(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let emitted = emit_to.take_needed(&mut self.places);
        if self.distinct {
            emit_to.take_needed(&mut self.seen);
        }
        let lengths: Vec<usize> = emitted.iter().map(Vec::len).collect();
        let picks: Vec<(usize, usize)> = emitted.into_iter().flatten().collect();
        let arrays: Vec<&dyn Array> = self.arrays.iter().map(AsRef::as_ref).collect();
        let values = if picks.is_empty() {
            new_empty_array(&self.element)
        } else {
            interleave(&arrays, &picks)?
        };
        if self.places.is_empty() {
            self.arrays.clear();
            self.bytes = 0;
        }
        let item = list_item(self.element.clone(), false);
        Ok(Arc::new(ListArray::try_new(
            item,
            OffsetBuffer::from_lengths(lengths),
            values,
            None,
        )?))
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
        self.grow(total);
        match values.first() {
            Some(values) => self.add(&Arc::clone(values), group_indices.iter().copied(), filter),
            None => Ok(()),
        }
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
        self.grow(total);
        let Some(state) = values.first() else {
            return Ok(());
        };
        let lists = state.as_list::<i32>();
        let mut groups = vec![];
        let mut parts: Vec<ArrayRef> = vec![];
        for (row, group) in group_indices.iter().enumerate() {
            if lists.is_valid(row) {
                let part = lists.value(row);
                groups.extend(std::iter::repeat_n(*group, part.len()));
                parts.push(part);
            }
        }
        if parts.is_empty() {
            return Ok(());
        }
        let refs: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        let all = concat(&refs)?;
        self.add(&all, groups.into_iter(), None)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |v| v.len());
        let mut one = Groups {
            element: self.element.clone(),
            distinct: false,
            ..Default::default()
        };
        let groups: Vec<usize> = (0..rows).collect();
        one.update_batch(values, &groups, filter, rows)?;
        one.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.bytes
            + self
                .places
                .iter()
                .map(|p| p.capacity() * size_of::<(usize, usize)>())
                .sum::<usize>()
    }
}
