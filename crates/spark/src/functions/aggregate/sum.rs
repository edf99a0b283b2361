//! `sum`: BIGINT for whole numbers, DOUBLE for floating ones, ten more digits for decimals.
//!
//! An overflow is an error under ANSI rules, NULL for `try_sum`, and otherwise wraps (BIGINT) or is NULL (DECIMAL). The
//! state is the sum so far and whether there was a value; an overflowed sum stays overflowed.
use std::{marker::PhantomData, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray},
    datatypes::{
        DataType, Decimal128Type, DurationMicrosecondType, Field, Float64Type, Int64Type,
        IntervalYearMonthType,
    },
};
use datafusion::{
    common::Result as DfResult,
    logical_expr::{EmitTo, GroupsAccumulator},
};

use super::{AggregateKernel, aggregate_of_kernel, sum_type};
use crate::{
    cast::{decimal_out_of_range, display_decimal, fits_decimal},
    error::{Result, SparkError, arithmetic_overflow},
    functions::Call,
    typed::TypedExpr,
};

pub(super) fn build(call: &Call<'_>, tolerant: bool) -> Result<TypedExpr> {
    let data_type = sum_type(&call.arg(0)?.data_type);
    let mut inner = Call::new(call.called, vec![call.arg(0)?.clone()], call.context);
    // A decimal keeps its own precision on the way in: only the sum has more digits.
    if !matches!(data_type, DataType::Decimal128(_, _)) {
        inner.args = vec![call.cast(0, &data_type)?.named(call.arg(0)?.name.clone())];
    }
    inner.shown.clone_from(&call.shown);
    inner.distinct = call.distinct;
    inner.filter.clone_from(&call.filter);
    inner.place.clone_from(&call.place);
    inner.windowed = call.windowed;
    let overflow = match (tolerant, call.context.eval.ansi) {
        (true, _) => Overflow::Null,
        (false, true) => Overflow::Error,
        (false, false) => Overflow::Wrap,
    };
    let kernel = Sum {
        data_type: data_type.clone(),
        overflow,
    };
    aggregate_of_kernel(&inner, Arc::new(kernel), data_type, true)
}

/// What becomes of a sum that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overflow {
    Error,
    Null,
    Wrap,
}

#[derive(Debug)]
struct Sum {
    data_type: DataType,
    overflow: Overflow,
}

impl AggregateKernel for Sum {
    fn fingerprint(&self) -> String {
        format!("{:?}", self.overflow)
    }

    fn ordered(&self) -> bool {
        false
    }

    fn state(&self) -> Vec<Field> {
        vec![
            Field::new("sum", self.data_type.clone(), true),
            Field::new("overflowed", DataType::Boolean, false),
        ]
    }

    fn groups(&self) -> Box<dyn GroupsAccumulator> {
        let (data_type, overflow) = (self.data_type.clone(), self.overflow);
        match &self.data_type {
            DataType::Int64 => Box::new(Groups::<Int64Type>::new(data_type, overflow)),
            DataType::Decimal128(_, _) => {
                Box::new(Groups::<Decimal128Type>::new(data_type, overflow))
            }
            DataType::Duration(_) => {
                Box::new(Groups::<DurationMicrosecondType>::new(data_type, overflow))
            }
            DataType::Interval(_) => {
                Box::new(Groups::<IntervalYearMonthType>::new(data_type, overflow))
            }
            _ => Box::new(Groups::<Float64Type>::new(data_type, overflow)),
        }
    }
}

/// Addition that knows when it does not fit.
pub(super) trait Addable: ArrowPrimitiveType {
    /// The sum; `Err` with the wrapped value if it does not fit a `data_type`.
    fn add(
        a: Self::Native,
        b: Self::Native,
        data_type: &DataType,
    ) -> std::result::Result<Self::Native, Self::Native>;
    /// The error for a sum that does not fit.
    fn overflow(value: Self::Native, data_type: &DataType) -> SparkError {
        let _ = (value, data_type);
        arithmetic_overflow("overflow", "try_add")
    }
}

impl Addable for Int64Type {
    fn add(a: i64, b: i64, _: &DataType) -> std::result::Result<i64, i64> {
        a.checked_add(b).ok_or_else(|| a.wrapping_add(b))
    }
}

impl Addable for DurationMicrosecondType {
    fn add(a: i64, b: i64, _: &DataType) -> std::result::Result<i64, i64> {
        a.checked_add(b).ok_or_else(|| a.wrapping_add(b))
    }
}

impl Addable for IntervalYearMonthType {
    fn add(a: i32, b: i32, _: &DataType) -> std::result::Result<i32, i32> {
        a.checked_add(b).ok_or_else(|| a.wrapping_add(b))
    }
}

impl Addable for Float64Type {
    fn add(a: f64, b: f64, _: &DataType) -> std::result::Result<f64, f64> {
        Ok(a + b)
    }
}

impl Addable for Decimal128Type {
    fn add(a: i128, b: i128, data_type: &DataType) -> std::result::Result<i128, i128> {
        let DataType::Decimal128(p, _) = data_type else {
            return Err(a);
        };
        match a.checked_add(b) {
            Some(sum) if fits_decimal(sum, *p) => Ok(sum),
            Some(sum) => Err(sum),
            None => Err(a),
        }
    }

    fn overflow(value: i128, data_type: &DataType) -> SparkError {
        match data_type {
            DataType::Decimal128(p, s) => decimal_out_of_range(&display_decimal(value, *s), *p, *s),
            _ => arithmetic_overflow("overflow", "try_add"),
        }
    }
}

struct Groups<T: Addable> {
    data_type: DataType,
    overflow: Overflow,
    sums: Vec<T::Native>,
    present: Vec<bool>,
    overflowed: Vec<bool>,
    kind: PhantomData<fn() -> T>,
}

impl<T: Addable> Groups<T> {
    fn new(data_type: DataType, overflow: Overflow) -> Self {
        Self {
            data_type,
            overflow,
            sums: vec![],
            present: vec![],
            overflowed: vec![],
            kind: PhantomData,
        }
    }

    fn grow(&mut self, total: usize) {
        self.sums
            .resize(total.max(self.sums.len()), T::default_value());
        self.present.resize(total.max(self.present.len()), false);
        self.overflowed
            .resize(total.max(self.overflowed.len()), false);
    }

    fn add(&mut self, group: usize, value: T::Native) -> DfResult<()> {
        let (Some(sum), Some(present)) = (self.sums.get_mut(group), self.present.get_mut(group))
        else {
            return datafusion::common::internal_err!("group {group} was not announced");
        };
        *present = true;
        match T::add(*sum, value, &self.data_type) {
            Ok(next) => *sum = next,
            Err(value) => match self.overflow {
                Overflow::Error => return Err(T::overflow(value, &self.data_type).into()),
                Overflow::Wrap if !matches!(self.data_type, DataType::Decimal128(_, _)) => {
                    *sum = value
                }
                _ => {
                    if let Some(flag) = self.overflowed.get_mut(group) {
                        *flag = true;
                    }
                }
            },
        }
        Ok(())
    }

    fn emit(&mut self, emit_to: EmitTo) -> (PrimitiveArray<T>, BooleanArray) {
        let sums = emit_to.take_needed(&mut self.sums);
        let present = emit_to.take_needed(&mut self.present);
        let overflowed = emit_to.take_needed(&mut self.overflowed);
        let values: PrimitiveArray<T> = sums
            .into_iter()
            .zip(present)
            .map(|(s, p)| p.then_some(s))
            .collect();
        (
            values.with_data_type(self.data_type.clone()),
            BooleanArray::from(overflowed),
        )
    }
}

impl<T: Addable> GroupsAccumulator for Groups<T>
where
    T::Native: Send,
{
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> DfResult<()> {
        self.grow(total);
        let Some(values) = values.first() else {
            return Ok(());
        };
        let values = values.as_primitive::<T>();
        if values.null_count() == 0 && filter.is_none() {
            for (value, group) in values.values().iter().zip(group_indices) {
                self.add(*group, *value)?;
            }
            return Ok(());
        }
        for (row, (value, group)) in values.iter().zip(group_indices).enumerate() {
            let wanted = filter.is_none_or(|f| f.is_valid(row) && f.value(row));
            if let Some(value) = value
                && wanted
            {
                self.add(*group, value)?;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> DfResult<ArrayRef> {
        let (sums, overflowed) = self.emit(emit_to);
        if overflowed.true_count() == 0 {
            return Ok(Arc::new(sums));
        }
        let nulled: PrimitiveArray<T> = sums
            .iter()
            .zip(overflowed.iter())
            .map(|(s, o)| if o == Some(true) { None } else { s })
            .collect();
        Ok(Arc::new(nulled.with_data_type(self.data_type.clone())))
    }

    fn state(&mut self, emit_to: EmitTo) -> DfResult<Vec<ArrayRef>> {
        let (sums, overflowed) = self.emit(emit_to);
        Ok(vec![Arc::new(sums), Arc::new(overflowed)])
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total: usize,
    ) -> DfResult<()> {
        self.grow(total);
        let [sums, overflowed] = values else {
            return datafusion::common::internal_err!("the state of a sum has two columns");
        };
        let (sums, overflowed) = (sums.as_primitive::<T>(), overflowed.as_boolean());
        for (row, group) in group_indices.iter().enumerate() {
            if overflowed.is_valid(row)
                && overflowed.value(row)
                && let Some(flag) = self.overflowed.get_mut(*group)
            {
                *flag = true;
            }
            if sums.is_valid(row) {
                self.add(*group, sums.value(row))?;
            }
        }
        Ok(())
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> DfResult<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |v| v.len());
        let mut one = Self::new(self.data_type.clone(), self.overflow);
        let groups: Vec<usize> = (0..rows).collect();
        one.update_batch(values, &groups, filter, rows)?;
        one.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<T::Native>() + self.present.capacity() * 2
    }
}
