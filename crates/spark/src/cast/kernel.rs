//! Casts whole arrays.
use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray, new_null_array},
    datatypes::DataType,
};
use datafusion::logical_expr::ScalarUDF;

use super::{CastMode, EvalMode, from_string, kernel_udf, numeric, rules, temporal, to_string};
use crate::{
    error::{Result, SparkError},
    functions::{Batch, EvalContext, PreparedKernel},
    types::{is_interval, is_numeric, map_fields, relabel, same_type},
};

#[derive(Debug)]
struct CastKernel {
    from: DataType,
    to: DataType,
    eval: EvalMode,
    /// Fields that an interval shows as text.
    fields: Option<String>,
}

impl PreparedKernel for CastKernel {
    fn fingerprint(&self) -> String {
        format!(
            "{:?} {} -> {} {:?}",
            self.eval, self.from, self.to, self.fields
        )
    }

    fn evaluate(&self, batch: &Batch<'_>) -> Result<ArrayRef> {
        if let (Some(fields), DataType::Utf8) = (&self.fields, &self.to) {
            return to_string::interval_to_string(&batch.array(0)?, fields, batch.context());
        }
        cast_array(&batch.array(0)?, &self.to, self.eval, batch.context())
    }
}

pub(super) fn udf(
    from: &DataType,
    to: &DataType,
    nullable: bool,
    mode: &CastMode,
    fields: Option<String>,
) -> ScalarUDF {
    let kernel = CastKernel {
        from: from.clone(),
        to: to.clone(),
        eval: mode.eval,
        fields,
    };
    kernel_udf(Arc::new(kernel), (from, to), nullable, mode)
}

/// `array` cast to `to` by Spark's rules.
pub(crate) fn cast_array(
    array: &ArrayRef,
    to: &DataType,
    eval: EvalMode,
    context: &EvalContext,
) -> Result<ArrayRef> {
    let from = array.data_type();
    if same_type(from, to) {
        return relabel(array, to);
    }
    if rules::is_arrows_own(from, to) {
        return Ok(arrow::compute::cast(array, to)?);
    }
    match (from, to) {
        (DataType::Null, _) => Ok(new_null_array(to, array.len())),
        (_, DataType::Utf8) => to_string::cast_to_string(array, context),
        (DataType::List(_), DataType::List(item)) => {
            let list = array.as_list::<i32>();
            let values = cast_array(list.values(), item.data_type(), eval, context)?;
            let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
            Ok(Arc::new(ListArray::try_new(
                Arc::clone(item),
                offsets,
                values,
                nulls,
            )?))
        }
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let from = array.as_struct();
            let columns: Vec<ArrayRef> = from
                .columns()
                .iter()
                .zip(fields)
                .map(|(c, f)| cast_array(c, f.data_type(), eval, context))
                .collect::<Result<_>>()?;
            let nulls = from.nulls().cloned();
            Ok(Arc::new(StructArray::try_new_with_length(
                fields.clone(),
                columns,
                nulls,
                from.len(),
            )?))
        }
        (DataType::Map(_, _), DataType::Map(entries, sorted)) => {
            let (Some((k, v)), DataType::Struct(fields)) = (map_fields(to), entries.data_type())
            else {
                return Err(unknown(from, to));
            };
            let map = array.as_map();
            let keys = cast_array(map.keys(), k.data_type(), eval, context)?;
            let values = cast_array(map.values(), v.data_type(), eval, context)?;
            let inner = StructArray::try_new(fields.clone(), vec![keys, values], None)?;
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            Ok(Arc::new(MapArray::try_new(
                Arc::clone(entries),
                offsets,
                inner,
                nulls,
                *sorted,
            )?))
        }
        (DataType::Utf8, _) => from_string::cast_from_string(array.as_string(), to, eval, context),
        (DataType::Timestamp(_, _) | DataType::Date32, _)
        | (_, DataType::Timestamp(_, _) | DataType::Date32) => {
            temporal::cast_temporal(array, to, eval, context)
        }
        (f, t) if is_interval(f) || is_interval(t) => temporal::cast_interval(array, to, eval),
        (f, t)
            if (is_numeric(f) || *f == DataType::Boolean)
                && (is_numeric(t) || matches!(t, DataType::Boolean | DataType::Binary)) =>
        {
            numeric::cast_numeric(array, to, eval)
        }
        (f, t) => Err(unknown(f, t)),
    }
}

pub(super) fn unknown(from: &DataType, to: &DataType) -> SparkError {
    SparkError::internal(format!("no cast from {from} to {to}"))
}
