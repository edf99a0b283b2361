//! `concat`, of text, binary or arrays.
use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryArray, StringArray},
    datatypes::DataType,
};
use datafusion::logical_expr::Volatility;

use super::{Accepts, Batch, Call, Function, Kernel, Parameters, Registry};
use crate::{
    cast::coerce,
    coercion,
    error::{Result, SparkError},
    typed::TypedExpr,
};

pub(super) fn register(registry: &mut Registry) {
    registry.add(Function::rewrite(
        "concat",
        Parameters::variadic(0, Accepts::Any),
        concat,
    ));
}

/// Text, binary or arrays, one after the other; NULL if any is.
fn concat(call: &Call<'_>) -> Result<TypedExpr> {
    let context = &call.context.eval;
    let types: Vec<&DataType> = call.args.iter().map(|a| &a.data_type).collect();
    let all_binary = !types.is_empty() && types.iter().all(|t| **t == DataType::Binary);
    let any_list = types.iter().any(|t| matches!(t, DataType::List(_)));
    if any_list {
        return concat_arrays(call);
    }
    let target = if all_binary {
        DataType::Binary
    } else {
        DataType::Utf8
    };
    let args = call
        .args
        .iter()
        .enumerate()
        .map(|(i, a)| match &a.data_type {
            t if crate::types::is_atomic(t) || matches!(t, DataType::Null) => {
                Ok(coerce(a.clone(), &target, context)?)
            }
            _ => Err(call.unexpected_type(i, "(\"STRING\" or \"BINARY\" or \"ARRAY\")")),
        })
        .collect::<Result<Vec<TypedExpr>>>()?;
    let name = call.name();
    let mut inner = Call::new("concat", args, call.context);
    inner.place.clone_from(&call.place);
    let nullable = inner.any_nullable();
    let kernel = Kernel::Plain(concat_kernel);
    Ok(inner
        .kernel_with("concat", kernel, target, nullable, Volatility::Immutable)
        .named(name))
}

fn concat_arrays(call: &Call<'_>) -> Result<TypedExpr> {
    let Some((args, common)) = coercion::unify(call.args.clone(), &call.context.eval)?
        .filter(|(_, t)| matches!(t, DataType::List(_)))
    else {
        let types: Vec<String> = call.args.iter().map(TypedExpr::type_sql).collect();
        return Err(call.mismatch(
            "DATA_DIFF_TYPES",
            &[
                ("functionName", "`concat`"),
                ("dataType", &format!("({})", types.join(" or "))),
            ],
        ));
    };
    let name = call.name();
    let inner = Call::new("concat_arrays", args, call.context);
    let nullable = inner.any_nullable();
    let kernel = Kernel::Plain(concat_arrays_kernel);
    Ok(inner
        .kernel_with(
            "concat_arrays",
            kernel,
            common,
            nullable,
            Volatility::Immutable,
        )
        .named(name))
}

fn concat_kernel(batch: &Batch<'_>) -> Result<ArrayRef> {
    let nulls = batch.validity()?;
    let arrays = batch.arrays()?;
    let present = |row: usize| nulls.as_ref().is_none_or(|n| n.is_valid(row));
    if *batch.return_type() == DataType::Binary {
        let joined: BinaryArray = (0..batch.len())
            .map(|row| {
                present(row).then(|| {
                    arrays
                        .iter()
                        .flat_map(|a| a.as_binary::<i32>().value(row).iter().copied())
                        .collect::<Vec<u8>>()
                })
            })
            .collect();
        return Ok(Arc::new(joined));
    }
    let mut builder = arrow::array::StringBuilder::with_capacity(batch.len(), batch.len() * 16);
    let mut text = String::new();
    let columns: Vec<&StringArray> = arrays.iter().map(|a| a.as_string::<i32>()).collect();
    for row in 0..batch.len() {
        if !present(row) {
            builder.append_null();
            continue;
        }
        text.clear();
        for column in &columns {
            text.push_str(column.value(row));
        }
        builder.append_value(&text);
    }
    Ok(Arc::new(builder.finish()))
}

fn concat_arrays_kernel(batch: &Batch<'_>) -> Result<ArrayRef> {
    let DataType::List(item) = batch.return_type() else {
        return Err(SparkError::internal("arrays join into an array"));
    };
    let nulls = batch.validity()?;
    let lists = (0..batch.arity())
        .map(|i| batch.lists(i))
        .collect::<Result<Vec<_>>>()?;
    let mut picks: Vec<(usize, usize)> = vec![];
    let mut lengths = Vec::with_capacity(batch.len());
    for row in 0..batch.len() {
        let before = picks.len();
        if nulls.as_ref().is_none_or(|n| n.is_valid(row)) {
            for (index, list) in lists.iter().enumerate() {
                let offsets = list.value_offsets();
                if let (Some(start), Some(end)) = (offsets.get(row), offsets.get(row + 1)) {
                    picks.extend((*start as usize..*end as usize).map(|at| (index, at)));
                }
            }
        }
        lengths.push(picks.len() - before);
    }
    let values = lists
        .iter()
        .map(|l| crate::types::relabel(l.values(), item.data_type()))
        .collect::<Result<Vec<_>>>()?;
    let refs: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
    let values = if picks.is_empty() {
        arrow::array::new_empty_array(item.data_type())
    } else {
        arrow::compute::interleave(&refs, &picks)?
    };
    let offsets = arrow::buffer::OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(arrow::array::ListArray::try_new(
        Arc::clone(item),
        offsets,
        values,
        nulls,
    )?))
}
