//! From an [`AggregateKernel`] to DataFusion's `AggregateUDF`.
use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
};

use arrow::{
    array::{Array, ArrayRef},
    datatypes::{DataType, Field, FieldRef},
};
use datafusion::{
    common::{Result as DfResult, ScalarValue},
    logical_expr::{
        Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature,
        Volatility,
        function::{AccumulatorArgs, StateFieldsArgs},
        utils::AggregateOrderSensitivity,
    },
};

use super::distinct::DistinctAccumulator;
use crate::{
    error::{QueryContext, Result},
    functions::Call,
    typed::TypedExpr,
    types::relabel,
};

/// An aggregate function over values of known types.
pub trait AggregateKernel: fmt::Debug + Send + Sync {
    /// Text that is equal for kernels that compute the same.
    fn fingerprint(&self) -> String;
    /// Whether the result may depend on the order of the values. Rounding counts only where values are fractions.
    fn ordered(&self) -> bool {
        true
    }
    /// Columns of the state of one group.
    fn state(&self) -> Vec<Field>;
    /// Accumulators for any number of groups.
    fn groups(&self) -> Box<dyn GroupsAccumulator>;
}

/// The aggregate over the call's arguments.
pub fn aggregate_of_kernel(
    call: &Call<'_>,
    kernel: Arc<dyn AggregateKernel>,
    data_type: DataType,
    nullable: bool,
) -> Result<TypedExpr> {
    let udaf = KernelUdaf {
        name: call.called.to_string(),
        fingerprint: kernel.fingerprint(),
        kernel,
        returns: Arc::new(Field::new(call.called, data_type.clone(), nullable)),
        place: call.place.clone(),
        signature: Signature::user_defined(Volatility::Immutable),
    };
    call.aggregate(Arc::new(AggregateUDF::from(udaf)), data_type, nullable)
}

struct KernelUdaf {
    name: String,
    kernel: Arc<dyn AggregateKernel>,
    returns: FieldRef,
    fingerprint: String,
    place: Option<QueryContext>,
    signature: Signature,
}

impl KernelUdaf {
    fn identity(&self) -> (&str, &str, &FieldRef) {
        (&self.name, &self.fingerprint, &self.returns)
    }
}

impl fmt::Debug for KernelUdaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KernelUdaf")
            .field("name", &self.name)
            .field("kernel", &self.kernel)
            .finish()
    }
}

impl PartialEq for KernelUdaf {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for KernelUdaf {}

impl Hash for KernelUdaf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl AggregateUDFImpl for KernelUdaf {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> DfResult<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, _: &[DataType]) -> DfResult<DataType> {
        Ok(self.returns.data_type().clone())
    }

    fn return_field(&self, _: &[FieldRef]) -> DfResult<FieldRef> {
        Ok(Arc::clone(&self.returns))
    }

    fn is_nullable(&self) -> bool {
        self.returns.is_nullable()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        match self.kernel.ordered() {
            true => AggregateOrderSensitivity::HardRequirement,
            false => AggregateOrderSensitivity::Insensitive,
        }
    }

    fn default_value(&self, data_type: &DataType) -> DfResult<ScalarValue> {
        if self.returns.is_nullable() {
            return ScalarValue::try_from(data_type);
        }
        // The value of an empty group, for subqueries without rows.
        let mut empty = Single::new(Arc::clone(&self.kernel), Arc::clone(&self.returns));
        empty.evaluate()
    }

    fn accumulator(&self, args: AccumulatorArgs) -> DfResult<Box<dyn Accumulator>> {
        let single = Single::new(Arc::clone(&self.kernel), Arc::clone(&self.returns));
        if args.is_distinct {
            let types = args
                .expr_fields
                .iter()
                .map(|f| f.data_type().clone())
                .collect();
            return Ok(Box::new(DistinctAccumulator::try_new(
                types,
                Box::new(single),
            )?));
        }
        Ok(Box::new(single))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> DfResult<Box<dyn Accumulator>> {
        let _ = args;
        Ok(Box::new(Sliding {
            kernel: Arc::clone(&self.kernel),
            returns: Arc::clone(&self.returns),
            rows: vec![],
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> DfResult<Vec<FieldRef>> {
        if args.is_distinct {
            return Ok(DistinctAccumulator::state_fields(
                args.name,
                args.input_fields,
            ));
        }
        let named = |(i, f): (usize, Field)| {
            let name = format!("{}[{i}]", args.name);
            Arc::new(f.with_name(name).with_nullable(true))
        };
        Ok(self
            .kernel
            .state()
            .into_iter()
            .enumerate()
            .map(named)
            .collect())
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(
        &self,
        _: AccumulatorArgs,
    ) -> DfResult<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Placed {
            inner: self.kernel.groups(),
            place: self.place.clone(),
            returns: Arc::clone(&self.returns),
        }))
    }
}

/// Adds the place in the program to errors, and labels to results.
struct Placed {
    inner: Box<dyn GroupsAccumulator>,
    place: Option<QueryContext>,
    returns: FieldRef,
}

impl Placed {
    fn placed<T>(&self, result: DfResult<T>) -> DfResult<T> {
        match (&self.place, result) {
            (Some(place), Err(error)) => Err(crate::error::SparkError::from(error)
                .with_context(place.clone())
                .into()),
            (_, result) => result,
        }
    }
}

impl GroupsAccumulator for Placed {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&arrow::array::BooleanArray>,
        total: usize,
    ) -> DfResult<()> {
        let result = self
            .inner
            .update_batch(values, group_indices, filter, total);
        self.placed(result)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> DfResult<ArrayRef> {
        let result = self.inner.evaluate(emit_to);
        let array = self.placed(result)?;
        Ok(relabel(&array, self.returns.data_type())?)
    }

    fn state(&mut self, emit_to: EmitTo) -> DfResult<Vec<ArrayRef>> {
        self.inner.state(emit_to)
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total: usize,
    ) -> DfResult<()> {
        let result = self.inner.merge_batch(values, group_indices, total);
        self.placed(result)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&arrow::array::BooleanArray>,
    ) -> DfResult<Vec<ArrayRef>> {
        self.inner.convert_to_state(values, filter)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }
}

/// One group.
struct Single {
    kernel: Arc<dyn AggregateKernel>,
    /// Accumulators need not be shareable, but DataFusion's contract for one group asks for it.
    groups: Mutex<Box<dyn GroupsAccumulator>>,
    returns: FieldRef,
    started: bool,
}

impl fmt::Debug for Single {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Single")
            .field("kernel", &self.kernel)
            .finish()
    }
}

impl Single {
    fn new(kernel: Arc<dyn AggregateKernel>, returns: FieldRef) -> Self {
        let groups = Mutex::new(kernel.groups());
        Self {
            kernel,
            groups,
            returns,
            started: false,
        }
    }

    fn groups(&mut self) -> &mut Box<dyn GroupsAccumulator> {
        self.groups
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the group exist though no row came.
    fn start(&mut self) -> DfResult<()> {
        if !self.started {
            let state: Vec<ArrayRef> = self
                .kernel
                .state()
                .iter()
                .map(|f| arrow::array::new_empty_array(f.data_type()))
                .collect();
            self.groups().merge_batch(&state, &[], 1)?;
            self.started = true;
        }
        Ok(())
    }
}

impl Accumulator for Single {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        let rows = values.first().map_or(0, |v| v.len());
        self.started = true;
        self.groups().update_batch(values, &vec![0; rows], None, 1)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DfResult<()> {
        let rows = states.first().map_or(0, |v| v.len());
        self.started = true;
        self.groups().merge_batch(states, &vec![0; rows], 1)
    }

    fn evaluate(&mut self) -> DfResult<ScalarValue> {
        self.start()?;
        // Evaluating consumes the groups, but a window frame asks again and again.
        let state = self.groups().state(EmitTo::All)?;
        let fresh = self.kernel.groups();
        *self.groups() = fresh;
        self.groups().merge_batch(&state, &[0], 1)?;
        let mut last = self.kernel.groups();
        last.merge_batch(&state, &[0], 1)?;
        let result = relabel(&last.evaluate(EmitTo::All)?, self.returns.data_type())?;
        ScalarValue::try_from_array(&result, 0)
    }

    fn state(&mut self) -> DfResult<Vec<ScalarValue>> {
        self.start()?;
        let state = self.groups().state(EmitTo::All)?;
        let fresh = self.kernel.groups();
        *self.groups() = fresh;
        self.started = false;
        state
            .iter()
            .map(|a| ScalarValue::try_from_array(a, 0))
            .collect()
    }

    fn size(&self) -> usize {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        size_of_val(self) + groups.size()
    }
}

/// A moving window frame: its rows are kept, and aggregated again for every result.
#[derive(Debug)]
struct Sliding {
    kernel: Arc<dyn AggregateKernel>,
    returns: FieldRef,
    rows: Vec<Vec<ArrayRef>>,
}

impl Accumulator for Sliding {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        self.rows.push(values.to_vec());
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        let mut drop = values.first().map_or(0, |v| v.len());
        while drop > 0 {
            let Some(first) = self.rows.first_mut() else {
                break;
            };
            let here = first.first().map_or(0, |v| v.len());
            if here <= drop {
                drop -= here;
                self.rows.remove(0);
            } else {
                for column in first.iter_mut() {
                    *column = column.slice(drop, here - drop);
                }
                drop = 0;
            }
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> DfResult<ScalarValue> {
        let mut single = Single::new(Arc::clone(&self.kernel), Arc::clone(&self.returns));
        for rows in &self.rows {
            single.update_batch(rows)?;
        }
        single.evaluate()
    }

    fn state(&mut self) -> DfResult<Vec<ScalarValue>> {
        let mut single = Single::new(Arc::clone(&self.kernel), Arc::clone(&self.returns));
        for rows in &self.rows {
            single.update_batch(rows)?;
        }
        single.state()
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> DfResult<()> {
        datafusion::common::internal_err!("a window frame has no partial state")
    }

    fn size(&self) -> usize {
        let bytes = |a: &ArrayRef| a.get_array_memory_size();
        size_of_val(self) + self.rows.iter().flatten().map(bytes).sum::<usize>()
    }
}
