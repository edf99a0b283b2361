//! `max_by` and `min_by`: the value that stands beside the largest or smallest other value. Of equal ones the later row's,
//! and so in a stream the later batch's.
use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, BooleanArray},
    datatypes::{DataType, Field},
    row::{OwnedRow, RowConverter, SortField},
};
use datafusion::{
    common::{Result as DfResult, ScalarValue},
    logical_expr::{EmitTo, GroupsAccumulator},
};

use crate::functions::{
    Accepts, AggregateKernel, Function, Parameters, Registry, aggregate_of_kernel,
};

pub(super) fn register(registry: &mut Registry) {
    for (name, largest) in [("max_by", true), ("min_by", false)] {
        registry.add(Function::aggregate(
            name,
            Parameters::fixed([Accepts::Any, Accepts::Any]),
            move |call| {
                let (value, order) = (
                    call.arg(0)?.data_type.clone(),
                    call.arg(1)?.data_type.clone(),
                );
                if !crate::types::is_orderable(&order) {
                    return Err(call.mismatch(
                        "INVALID_ORDERING_TYPE",
                        &[
                            ("functionName", &crate::error::quoted_id(name)),
                            ("dataType", &call.arg(1)?.type_sql()),
                        ],
                    ));
                }
                let kernel = ByOrder {
                    value: value.clone(),
                    order,
                    largest,
                };
                aggregate_of_kernel(call, Arc::new(kernel), value, true)
            },
        ));
    }
}

#[derive(Debug, Clone)]
struct ByOrder {
    value: DataType,
    order: DataType,
    largest: bool,
}

impl AggregateKernel for ByOrder {
    fn fingerprint(&self) -> String {
        format!("largest={}", self.largest)
    }

    fn state(&self) -> Vec<Field> {
        vec![
            Field::new("value", self.value.clone(), true),
            Field::new("order", self.order.clone(), true),
        ]
    }

    fn groups(&self) -> Box<dyn GroupsAccumulator> {
        Box::new(Groups {
            kernel: self.clone(),
            converter: None,
            best: vec![],
        })
    }
}

/// The best row so far: its order as comparable bytes, its value, its order.
type Best = (OwnedRow, ScalarValue, ScalarValue);

struct Groups {
    kernel: ByOrder,
    /// Made with the first rows; rows are comparable with those of the same converter only.
    converter: Option<RowConverter>,
    best: Vec<Option<Best>>,
}

impl Groups {
    fn columns(&mut self, emit_to: EmitTo) -> DfResult<(ArrayRef, ArrayRef)> {
        let best = emit_to.take_needed(&mut self.best);
        if best.is_empty() {
            let empty = arrow::array::new_empty_array;
            return Ok((empty(&self.kernel.value), empty(&self.kernel.order)));
        }
        let null = (
            ScalarValue::try_from(&self.kernel.value)?,
            ScalarValue::try_from(&self.kernel.order)?,
        );
        let (values, orders): (Vec<_>, Vec<_>) = best
            .into_iter()
            .map(|b| b.map_or_else(|| null.clone(), |(_, v, o)| (v, o)))
            .unzip();
        Ok((
            ScalarValue::iter_to_array(values)?,
            ScalarValue::iter_to_array(orders)?,
        ))
    }
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> DfResult<()> {
        self.best.resize(total.max(self.best.len()), None);
        let [value, order] = values else {
            return datafusion::common::internal_err!("a value and an order are needed");
        };
        let converter = match &mut self.converter {
            Some(converter) => converter,
            none => none.insert(RowConverter::new(vec![SortField::new(
                order.data_type().clone(),
            )])?),
        };
        let rows = converter.convert_columns(std::slice::from_ref(order))?;
        let nulls = order.logical_nulls();
        for (row, group) in group_indices.iter().enumerate() {
            let wanted = filter.is_none_or(|f| f.is_valid(row) && f.value(row));
            if !wanted || nulls.as_ref().is_some_and(|n| n.is_null(row)) {
                continue;
            }
            let Some(slot) = self.best.get_mut(*group) else {
                continue;
            };
            let here = rows.row(row);
            let better = slot
                .as_ref()
                .is_none_or(|(best, ..)| match self.kernel.largest {
                    true => here >= best.row(),
                    false => here <= best.row(),
                });
            if better {
                let scalar = |a: &ArrayRef| ScalarValue::try_from_array(a, row);
                *slot = Some((here.owned(), scalar(value)?, scalar(order)?));
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> DfResult<ArrayRef> {
        Ok(self.columns(emit_to)?.0)
    }

    fn state(&mut self, emit_to: EmitTo) -> DfResult<Vec<ArrayRef>> {
        let (value, order) = self.columns(emit_to)?;
        Ok(vec![value, order])
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total: usize,
    ) -> DfResult<()> {
        self.update_batch(values, group_indices, None, total)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> DfResult<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |v| v.len());
        let mut one = Groups {
            kernel: self.kernel.clone(),
            converter: None,
            best: vec![],
        };
        let groups: Vec<usize> = (0..rows).collect();
        one.update_batch(values, &groups, filter, rows)?;
        one.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.best.capacity() * size_of::<Option<Best>>()
    }
}
