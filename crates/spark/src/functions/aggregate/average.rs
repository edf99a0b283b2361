//! `avg`: DOUBLE, for decimals four more digits on either side of the point, for intervals an interval.
use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, DurationMicrosecondArray,
        Int64Array, IntervalYearMonthArray,
    },
    datatypes::{
        DataType, Decimal128Type, DurationMicrosecondType, Field, Int64Type, IntervalYearMonthType,
        i256,
    },
};
use datafusion::{
    common::Result as DfResult,
    functions_aggregate::average::avg_udaf,
    logical_expr::{EmitTo, GroupsAccumulator},
};

use super::{AggregateKernel, aggregate_of_kernel, sum_type};
use crate::{
    cast::{decimal_out_of_range, display_decimal, fits_decimal},
    error::Result,
    functions::{Batch, Call, PreparedKernel, operators::shown_decimal},
    typed::TypedExpr,
    types::{decimal, is_ansi_interval},
};

pub(super) fn build(call: &Call<'_>, tolerant: bool) -> Result<TypedExpr> {
    let arg = call.arg(0)?;
    let mut inner = Call::new(call.called, vec![arg.clone()], call.context);
    inner.shown.clone_from(&call.shown);
    inner.distinct = call.distinct;
    inner.filter.clone_from(&call.filter);
    inner.place.clone_from(&call.place);
    inner.windowed = call.windowed;
    if is_ansi_interval(&arg.data_type) {
        return of_intervals(call, inner);
    }
    let DataType::Decimal128(p, s) = arg.data_type else {
        inner.args = vec![call.cast(0, &DataType::Float64)?.named(arg.name.clone())];
        return inner.aggregate(avg_udaf(), DataType::Float64, true);
    };
    let sum = sum_type(&arg.data_type);
    let (rp, rs) = decimal::bounded(i32::from(p) + 4, i32::from(s) + 4);
    let result = DataType::Decimal128(rp, rs);
    let exact = call.context.eval.ansi && !tolerant;
    let kernel = Average {
        sum,
        scale: s,
        result: (rp, rs),
        exact,
    };
    aggregate_of_kernel(&inner, Arc::new(kernel), result, true)
}

/// Intervals are averaged as whole numbers of microseconds or months. Their fields become those of the widest type.
fn of_intervals(call: &Call<'_>, mut inner: Call<'_>) -> Result<TypedExpr> {
    let arg = call.arg(0)?.clone();
    let (name, interval) = (inner.name(), arg.data_type.clone());
    let whole = DataType::Decimal128(19, 0);
    let counted = Call::new(call.called, vec![arg.clone()], call.context);
    let counted = counted.kernel(Arc::new(IntervalAsNumber), whole.clone(), arg.nullable);
    inner.args = vec![counted.named(arg.name)];
    let kernel = Average {
        sum: DataType::Decimal128(38, 0),
        scale: 0,
        result: (19, 0),
        exact: true,
    };
    let average = aggregate_of_kernel(&inner, Arc::new(kernel), whole, true)?;
    let outer = Call::new(call.called, vec![average], call.context);
    Ok(outer
        .kernel(Arc::new(NumberAsInterval), interval, true)
        .named(name))
}

#[derive(Debug)]
struct IntervalAsNumber;

impl PreparedKernel for IntervalAsNumber {
    fn fingerprint(&self) -> String {
        "number of an interval".to_string()
    }

    fn evaluate(&self, batch: &Batch<'_>) -> Result<ArrayRef> {
        let values = batch.array(0)?;
        let numbers: Decimal128Array = match values.data_type() {
            DataType::Interval(_) => {
                let months = values.as_primitive::<IntervalYearMonthType>();
                months.iter().map(|m| m.map(i128::from)).collect()
            }
            _ => {
                let micros = values.as_primitive::<DurationMicrosecondType>();
                micros.iter().map(|m| m.map(i128::from)).collect()
            }
        };
        Ok(Arc::new(numbers.with_precision_and_scale(19, 0)?))
    }
}

#[derive(Debug)]
struct NumberAsInterval;

impl PreparedKernel for NumberAsInterval {
    fn fingerprint(&self) -> String {
        "interval of a number".to_string()
    }

    fn evaluate(&self, batch: &Batch<'_>) -> Result<ArrayRef> {
        let numbers = batch.array(0)?;
        let numbers = numbers.as_primitive::<Decimal128Type>().iter();
        // An average lies between the values averaged, so it fits their type.
        Ok(match batch.return_type() {
            DataType::Interval(_) => {
                let months = numbers.map(|n| n.and_then(|n| i32::try_from(n).ok()));
                Arc::new(months.collect::<IntervalYearMonthArray>())
            }
            _ => {
                let micros = numbers.map(|n| n.and_then(|n| i64::try_from(n).ok()));
                Arc::new(micros.collect::<DurationMicrosecondArray>())
            }
        })
    }
}

#[derive(Debug, Clone)]
struct Average {
    sum: DataType,
    scale: i8,
    result: (u8, i8),
    exact: bool,
}

impl AggregateKernel for Average {
    fn fingerprint(&self) -> String {
        format!("{self:?}")
    }

    fn ordered(&self) -> bool {
        false
    }

    fn state(&self) -> Vec<Field> {
        vec![
            Field::new("sum", self.sum.clone(), true),
            Field::new("count", DataType::Int64, false),
        ]
    }

    fn groups(&self) -> Box<dyn GroupsAccumulator> {
        Box::new(Groups {
            kernel: self.clone(),
            sums: vec![],
            counts: vec![],
        })
    }
}

/// Digits after the point that Spark divides decimals to before it rounds to the result's.
const QUOTIENT_SCALE: i8 = 39;

/// Rounded half away from zero; the divisor is positive.
fn divide_half_up(dividend: i256, divisor: i256) -> i256 {
    let quotient = dividend.wrapping_div(divisor);
    let rest = dividend.wrapping_rem(divisor).wrapping_abs();
    let away = if dividend.is_negative() {
        i256::MINUS_ONE
    } else {
        i256::ONE
    };
    match rest.wrapping_mul(i256::from_i128(2)) >= divisor {
        true => quotient.wrapping_add(away),
        false => quotient,
    }
}

struct Groups {
    kernel: Average,
    /// `None`: the sum did not fit.
    sums: Vec<Option<i128>>,
    counts: Vec<i64>,
}

impl Groups {
    fn grow(&mut self, total: usize) {
        self.sums.resize(total.max(self.sums.len()), Some(0));
        self.counts.resize(total.max(self.counts.len()), 0);
    }

    /// A quotient that does not fit, as Spark words it: with the digits it divides to. `rounded` stands in for what is
    /// too large even for that.
    fn quotient_text(&self, sum: i256, count: i256, rounded: (i256, i8)) -> String {
        let digits = i32::from(QUOTIENT_SCALE) - i32::from(self.kernel.scale);
        let wide = i256::from_i128(10)
            .checked_pow(digits.unsigned_abs())
            .and_then(|factor| sum.checked_mul(factor));
        match wide {
            Some(wide) => {
                let quotient = divide_half_up(wide, count);
                let sign = if quotient.is_negative() { "-" } else { "" };
                let fraction = usize::from(QUOTIENT_SCALE.unsigned_abs());
                let digits = format!("{:0>1$}", quotient.wrapping_abs().to_string(), fraction + 1);
                let (whole, fraction) = digits.split_at(digits.len() - fraction);
                format!("{sign}{whole}.{fraction}")
            }
            None => shown_decimal(rounded.0, rounded.1),
        }
    }

    fn add(&mut self, group: usize, sum: Option<i128>, count: i64) -> DfResult<()> {
        let DataType::Decimal128(p, s) = self.kernel.sum else {
            return datafusion::common::internal_err!("a decimal average sums decimals");
        };
        let (Some(total), Some(counted)) = (self.sums.get_mut(group), self.counts.get_mut(group))
        else {
            return datafusion::common::internal_err!("group {group} was not announced");
        };
        *counted += count;
        let next = total
            .zip(sum)
            .and_then(|(a, b)| a.checked_add(b))
            .filter(|v| fits_decimal(*v, p));
        if next.is_none() && self.kernel.exact {
            let shown = sum.map(|v| display_decimal(v, s)).unwrap_or_default();
            return Err(decimal_out_of_range(&shown, p, s).into());
        }
        *total = next;
        Ok(())
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
        self.grow(total);
        let Some(values) = values.first() else {
            return Ok(());
        };
        for (row, (value, group)) in values
            .as_primitive::<Decimal128Type>()
            .iter()
            .zip(group_indices)
            .enumerate()
        {
            let wanted = filter.is_none_or(|f| f.is_valid(row) && f.value(row));
            if let Some(value) = value
                && wanted
            {
                self.add(*group, Some(value), 1)?;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> DfResult<ArrayRef> {
        let sums = emit_to.take_needed(&mut self.sums);
        let counts = emit_to.take_needed(&mut self.counts);
        let (p, s) = self.kernel.result;
        let shift = i32::from(s) - i32::from(self.kernel.scale);
        let factor = i256::from_i128(10).wrapping_pow(shift.unsigned_abs());
        let mut values: Vec<Option<i128>> = Vec::with_capacity(sums.len());
        for (sum, count) in sums.into_iter().zip(counts) {
            let (Some(sum), true) = (sum, count > 0) else {
                values.push(None);
                continue;
            };
            let (sum, count) = (i256::from_i128(sum), i256::from_i128(i128::from(count)));
            let rounded = match shift >= 0 {
                true => divide_half_up(sum.wrapping_mul(factor), count),
                false => divide_half_up(sum, count.wrapping_mul(factor)),
            };
            match rounded.to_i128().filter(|v| fits_decimal(*v, p)) {
                None if self.kernel.exact => {
                    let shown = self.quotient_text(sum, count, (rounded, s));
                    return Err(decimal_out_of_range(&shown, p, s).into());
                }
                value => values.push(value),
            }
        }
        Ok(Arc::new(
            Decimal128Array::from(values).with_precision_and_scale(p, s)?,
        ))
    }

    fn state(&mut self, emit_to: EmitTo) -> DfResult<Vec<ArrayRef>> {
        let sums = emit_to.take_needed(&mut self.sums);
        let counts = emit_to.take_needed(&mut self.counts);
        let sums = Decimal128Array::from(sums).with_data_type(self.kernel.sum.clone());
        Ok(vec![Arc::new(sums), Arc::new(Int64Array::from(counts))])
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total: usize,
    ) -> DfResult<()> {
        self.grow(total);
        let [sums, counts] = values else {
            return datafusion::common::internal_err!("the state of an average has two columns");
        };
        let (sums, counts) = (
            sums.as_primitive::<Decimal128Type>(),
            counts.as_primitive::<Int64Type>(),
        );
        for (row, group) in group_indices.iter().enumerate() {
            let count = if counts.is_valid(row) {
                counts.value(row)
            } else {
                0
            };
            if count > 0 {
                self.add(*group, sums.is_valid(row).then(|| sums.value(row)), count)?;
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
        let mut one = Groups {
            kernel: self.kernel.clone(),
            sums: vec![],
            counts: vec![],
        };
        let groups: Vec<usize> = (0..rows).collect();
        one.update_batch(values, &groups, filter, rows)?;
        one.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<Option<i128>>() + self.counts.capacity() * 8
    }
}
