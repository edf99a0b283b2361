//! The aggregates of an operator, as columns: merging state into state, and state into results.
use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions},
    datatypes::{Field, Schema, SchemaRef},
};
use datafusion::{
    common::{Result, internal_datafusion_err},
    logical_expr::{EmitTo, GroupsAccumulator},
    physical_expr::aggregate::AggregateFunctionExpr,
};
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::GroupsAccumulatorAdapter;

/// The aggregate functions and the layout of their state columns.
#[derive(Debug, Clone)]
pub(in crate::operator) struct Aggregates {
    functions: Vec<Arc<AggregateFunctionExpr>>,
    /// Number of state columns of each function.
    widths: Vec<usize>,
    state: SchemaRef,
}

/// The name of a state column for those who read state files: `call[part]`, where the only column of `max` is called
/// `max` and not `value`.
fn state_label(function: &AggregateFunctionExpr, name: &str) -> String {
    match name.strip_suffix("[value]") {
        Some(call) => format!("{call}[{}]", function.fun().name()),
        None => name.to_string(),
    }
}

impl Aggregates {
    pub(in crate::operator) fn try_new(functions: Vec<Arc<AggregateFunctionExpr>>) -> Result<Self> {
        let mut fields = vec![];
        let mut widths = vec![];
        for function in &functions {
            let columns = function.state_fields()?;
            widths.push(columns.len());
            // State is a fact about the past: whatever a later release says of nullability, it must be readable.
            fields.extend(columns.iter().map(|field| {
                let label = state_label(function, field.name());
                Field::clone(field).with_name(label).with_nullable(true)
            }));
        }
        Ok(Self {
            functions,
            widths,
            state: Arc::new(Schema::new(fields)),
        })
    }

    /// The functions.
    pub(in crate::operator) fn functions(&self) -> &[Arc<AggregateFunctionExpr>] {
        &self.functions
    }

    /// State columns of all functions, in order.
    pub(in crate::operator) fn state_schema(&self) -> &SchemaRef {
        &self.state
    }

    /// Empty accumulators.
    pub(in crate::operator) fn start(&self) -> Result<Accumulators> {
        let accumulators = self.functions.iter().map(create).collect::<Result<_>>()?;
        Ok(Accumulators {
            accumulators,
            widths: self.widths.clone(),
            state: Arc::clone(&self.state),
            groups: 0,
        })
    }

    /// Results of one state row each.
    pub(in crate::operator) fn evaluate(&self, states: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let rows = states.num_rows();
        let mut accumulators = self.start()?;
        accumulators.merge(states.columns(), &(0..rows).collect::<Vec<_>>(), rows)?;
        accumulators.into_results()
    }
}

fn create(function: &Arc<AggregateFunctionExpr>) -> Result<Box<dyn GroupsAccumulator>> {
    if function.groups_accumulator_supported() {
        return function.create_groups_accumulator();
    }
    let function = Arc::clone(function);
    Ok(Box::new(GroupsAccumulatorAdapter::new(move || {
        function.create_accumulator()
    })))
}

/// Running accumulators of one partition in one batch.
pub(in crate::operator) struct Accumulators {
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
    widths: Vec<usize>,
    state: SchemaRef,
    groups: usize,
}

impl Accumulators {
    /// Merges state rows into groups. A group that no call has named before must be among `groups` now if it is below `total`:
    /// accumulators may take a group that they count for one that has values.
    pub(in crate::operator) fn merge(
        &mut self,
        states: &[ArrayRef],
        groups: &[usize],
        total: usize,
    ) -> Result<()> {
        self.groups = total;
        let mut rest = states;
        for (accumulator, width) in self.accumulators.iter_mut().zip(&self.widths) {
            let (own, after) = rest
                .split_at_checked(*width)
                .ok_or_else(|| internal_datafusion_err!("aggregate state has too few columns"))?;
            accumulator.merge_batch(own, groups, total)?;
            rest = after;
        }
        Ok(())
    }

    /// Bytes held.
    pub(in crate::operator) fn size(&self) -> usize {
        self.accumulators
            .iter()
            .map(|accumulator| accumulator.size())
            .sum()
    }

    /// State of all groups.
    pub(in crate::operator) fn into_states(mut self) -> Result<RecordBatch> {
        if self.groups == 0 {
            // An adapted accumulator without groups does not know how many columns it has.
            return Ok(RecordBatch::new_empty(self.state));
        }
        let mut columns = vec![];
        for accumulator in &mut self.accumulators {
            columns.extend(accumulator.state(EmitTo::All)?);
        }
        let rows = RecordBatchOptions::new().with_row_count(Some(self.groups));
        Ok(RecordBatch::try_new_with_options(
            self.state, columns, &rows,
        )?)
    }

    fn into_results(mut self) -> Result<Vec<ArrayRef>> {
        self.accumulators
            .iter_mut()
            .map(|accumulator| accumulator.evaluate(EmitTo::All))
            .collect()
    }
}
