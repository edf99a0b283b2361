//! Aggregates whose state is a few numbers per group.
use std::{fmt, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array},
    datatypes::{DataType, Field, Float64Type},
};
use datafusion::{
    common::Result,
    logical_expr::{EmitTo, GroupsAccumulator},
};

use crate::functions::AggregateKernel;

/// An aggregate of `N` numbers per group over rows of `A` DOUBLE arguments; rows with a NULL do not count.
#[derive(Clone, Copy)]
pub(super) struct Running<const N: usize, const A: usize> {
    /// Name of the result, which tells kernels apart.
    pub result: &'static str,
    /// Adds a row.
    pub update: fn(&mut [f64; N], [f64; A]),
    /// Adds another group's state.
    pub merge: fn(&mut [f64; N], &[f64; N]),
    /// The result; `None` is NULL.
    pub finish: fn(&[f64; N]) -> Option<f64>,
}

impl<const N: usize, const A: usize> fmt::Debug for Running<N, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("result", &self.result)
            .finish()
    }
}

impl<const N: usize, const A: usize> AggregateKernel for Running<N, A> {
    fn fingerprint(&self) -> String {
        self.result.to_string()
    }

    fn state(&self) -> Vec<Field> {
        (0..N)
            .map(|i| Field::new(format!("s{i}"), DataType::Float64, false))
            .collect()
    }

    fn groups(&self) -> Box<dyn GroupsAccumulator> {
        Box::new(Groups {
            kernel: *self,
            states: vec![],
        })
    }
}

struct Groups<const N: usize, const A: usize> {
    kernel: Running<N, A>,
    states: Vec<[f64; N]>,
}

fn doubles<const K: usize>(values: &[ArrayRef]) -> Result<[Float64Array; K]> {
    let columns: Vec<Float64Array> = values
        .iter()
        .filter_map(|v| v.as_primitive_opt::<Float64Type>().cloned())
        .collect();
    columns.try_into().map_err(|found: Vec<Float64Array>| {
        datafusion::common::internal_datafusion_err!(
            "{K} DOUBLE columns are needed, not {}",
            found.len()
        )
    })
}

impl<const N: usize, const A: usize> GroupsAccumulator for Groups<N, A> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.states.resize(total.max(self.states.len()), [0.0; N]);
        let columns: [Float64Array; A] = doubles(values)?;
        for (row, group) in group_indices.iter().enumerate() {
            let wanted = filter.is_none_or(|f| f.is_valid(row) && f.value(row));
            if !wanted || columns.iter().any(|c| c.is_null(row)) {
                continue;
            }
            if let Some(state) = self.states.get_mut(*group) {
                (self.kernel.update)(
                    state,
                    std::array::from_fn(|i| columns.get(i).map_or(0.0, |c| c.value(row))),
                );
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let states = emit_to.take_needed(&mut self.states);
        Ok(Arc::new(
            states
                .iter()
                .map(self.kernel.finish)
                .collect::<Float64Array>(),
        ))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let states = emit_to.take_needed(&mut self.states);
        let column = |i: usize| -> ArrayRef {
            Arc::new(
                states
                    .iter()
                    .filter_map(|s| s.get(i).copied())
                    .map(Some)
                    .collect::<Float64Array>(),
            )
        };
        Ok((0..N).map(column).collect())
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total: usize,
    ) -> Result<()> {
        self.states.resize(total.max(self.states.len()), [0.0; N]);
        let columns: [Float64Array; N] = doubles(values)?;
        for (row, group) in group_indices.iter().enumerate() {
            let other = std::array::from_fn(|i| columns.get(i).map_or(0.0, |c| c.value(row)));
            if let Some(state) = self.states.get_mut(*group) {
                (self.kernel.merge)(state, &other);
            }
        }
        Ok(())
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |v| v.len());
        let mut one = Groups {
            kernel: self.kernel,
            states: vec![],
        };
        let groups: Vec<usize> = (0..rows).collect();
        one.update_batch(values, &groups, filter, rows)?;
        one.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.states.capacity() * size_of::<[f64; N]>()
    }
}
