//! Kernels that work row by row: the arguments as arrays, once, and builders that skip rows with a NULL argument.
use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, ArrowPrimitiveType, BinaryArray, BinaryBuilder, BooleanArray,
        BooleanBuilder, Decimal128Array, Int32Array, Int64Array, ListArray, PrimitiveArray,
        PrimitiveBuilder, StringArray, StringBuilder,
    },
    buffer::NullBuffer,
    datatypes::{DataType, Decimal128Type, Int32Type, Int64Type},
};

use super::{Batch, Call};
use crate::{
    error::{Result, SparkError},
    typed::TypedExpr,
};

/// The arguments of one evaluation as arrays.
pub(super) struct Rows {
    arrays: Vec<ArrayRef>,
    nulls: Option<NullBuffer>,
    len: usize,
}

impl Rows {
    /// All arguments of `batch`; a row counts where none of them is NULL.
    pub(super) fn new(batch: &Batch<'_>) -> Result<Self> {
        Self::requiring(batch, batch.arity())
    }

    /// All arguments of `batch`; a row counts where none of the first `required` is NULL.
    pub(super) fn requiring(batch: &Batch<'_>, required: usize) -> Result<Self> {
        let arrays = batch.arrays()?;
        let nulls = arrays.iter().take(required).fold(None, |nulls, array| {
            NullBuffer::union(nulls.as_ref(), array.logical_nulls().as_ref())
        });
        Ok(Self {
            arrays,
            nulls,
            len: batch.len(),
        })
    }

    /// Argument `index`.
    pub(super) fn array(&self, index: usize) -> Result<&ArrayRef> {
        self.arrays
            .get(index)
            .ok_or_else(|| SparkError::internal(format!("a kernel asked for argument {index}")))
    }

    fn typed<T: Array + 'static>(&self, index: usize) -> Result<&T> {
        let array = self.array(index)?;
        array.as_any().downcast_ref::<T>().ok_or_else(|| {
            SparkError::internal(format!(
                "argument {index} is {}, not {}",
                array.data_type(),
                std::any::type_name::<T>()
            ))
        })
    }

    /// Argument `index`, a STRING.
    pub(super) fn strings(&self, index: usize) -> Result<&StringArray> {
        self.typed(index)
    }

    /// Argument `index`, a BINARY.
    pub(super) fn binaries(&self, index: usize) -> Result<&BinaryArray> {
        self.typed(index)
    }

    /// Argument `index`, a BOOLEAN.
    pub(super) fn booleans(&self, index: usize) -> Result<&BooleanArray> {
        self.typed(index)
    }

    /// Argument `index`, an INT.
    pub(super) fn ints(&self, index: usize) -> Result<&Int32Array> {
        self.typed::<PrimitiveArray<Int32Type>>(index)
    }

    /// Argument `index`, a BIGINT.
    pub(super) fn longs(&self, index: usize) -> Result<&Int64Array> {
        self.typed::<PrimitiveArray<Int64Type>>(index)
    }

    /// Argument `index`, a DECIMAL.
    pub(super) fn decimals(&self, index: usize) -> Result<&Decimal128Array> {
        self.typed::<PrimitiveArray<Decimal128Type>>(index)
    }

    /// Argument `index`, a number, date, timestamp or interval.
    pub(super) fn primitive<T: ArrowPrimitiveType>(
        &self,
        index: usize,
    ) -> Result<&PrimitiveArray<T>> {
        self.typed(index)
    }

    /// Argument `index`, an ARRAY.
    pub(super) fn lists(&self, index: usize) -> Result<&ListArray> {
        self.typed(index)
    }

    /// Whether argument `index` is BINARY.
    pub(super) fn is_binary(&self, index: usize) -> bool {
        self.arrays
            .get(index)
            .is_some_and(|a| *a.data_type() == DataType::Binary)
    }

    /// Whether row `row` counts.
    pub(super) fn counts(&self, row: usize) -> bool {
        self.nulls.as_ref().is_none_or(|n| n.is_valid(row))
    }

    fn evaluate<T>(
        &self,
        mut value: impl FnMut(usize) -> Result<Option<T>>,
        mut push: impl FnMut(Option<T>),
    ) -> Result<()> {
        for row in 0..self.len {
            push(if self.counts(row) { value(row)? } else { None });
        }
        Ok(())
    }

    /// A STRING a row.
    pub(super) fn text<S: AsRef<str>>(
        &self,
        value: impl FnMut(usize) -> Result<Option<S>>,
    ) -> Result<ArrayRef> {
        let mut out = StringBuilder::with_capacity(self.len, self.len * 16);
        self.evaluate(value, |v| out.append_option(v))?;
        Ok(Arc::new(out.finish()))
    }

    /// A BINARY a row.
    pub(super) fn bytes<B: AsRef<[u8]>>(
        &self,
        value: impl FnMut(usize) -> Result<Option<B>>,
    ) -> Result<ArrayRef> {
        let mut out = BinaryBuilder::with_capacity(self.len, self.len * 16);
        self.evaluate(value, |v| out.append_option(v))?;
        Ok(Arc::new(out.finish()))
    }

    /// A BOOLEAN a row.
    pub(super) fn flags(
        &self,
        value: impl FnMut(usize) -> Result<Option<bool>>,
    ) -> Result<ArrayRef> {
        let mut out = BooleanBuilder::with_capacity(self.len);
        self.evaluate(value, |v| out.append_option(v))?;
        Ok(Arc::new(out.finish()))
    }

    /// A number a row.
    pub(super) fn numbers<T: ArrowPrimitiveType>(
        &self,
        value: impl FnMut(usize) -> Result<Option<T::Native>>,
    ) -> Result<ArrayRef> {
        Ok(Arc::new(self.collect::<T>(value)?))
    }

    /// A DECIMAL of `(precision, scale)` a row.
    pub(super) fn decimal_values(
        &self,
        (precision, scale): (u8, i8),
        value: impl FnMut(usize) -> Result<Option<i128>>,
    ) -> Result<ArrayRef> {
        let values = self.collect::<Decimal128Type>(value)?;
        Ok(Arc::new(values.with_precision_and_scale(precision, scale)?))
    }

    fn collect<T: ArrowPrimitiveType>(
        &self,
        value: impl FnMut(usize) -> Result<Option<T::Native>>,
    ) -> Result<PrimitiveArray<T>> {
        let mut out = PrimitiveBuilder::<T>::with_capacity(self.len);
        self.evaluate(value, |v| out.append_option(v))?;
        Ok(out.finish())
    }
}

/// `call` with `defaults` for the arguments it leaves out: Spark prints them as if they had been written.
pub(super) fn with_defaults<'a>(
    call: &Call<'a>,
    count: usize,
    defaults: impl IntoIterator<Item = TypedExpr>,
) -> Call<'a> {
    let mut args = call.args.clone();
    let missing = count.saturating_sub(args.len());
    let defaults: Vec<TypedExpr> = defaults.into_iter().collect();
    let skipped = defaults.len().saturating_sub(missing);
    args.extend(defaults.into_iter().skip(skipped));
    with_args(call, args)
}

/// `call` with other arguments.
pub(super) fn with_args<'a>(call: &Call<'a>, args: Vec<TypedExpr>) -> Call<'a> {
    let mut changed = Call::new(call.called, args, call.context);
    changed.shown.clone_from(&call.shown);
    changed.place.clone_from(&call.place);
    changed
}
