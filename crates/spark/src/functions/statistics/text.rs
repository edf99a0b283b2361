//! `listagg(value[, delimiter]) [WITHIN GROUP (ORDER BY …)]`: the values of a group as one text.
//!
//! The values are collected with what they are sorted by, and sorted and joined at the end. NULLs are left out; a group
//! without values gives NULL. Without an order the values come as the rows do.
use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryBuilder, StringBuilder},
    compute::{SortColumn, SortOptions, lexsort_to_indices, take},
    datatypes::DataType,
};
use datafusion::{
    common::ScalarValue,
    logical_expr::{lit, when},
};

use super::percentiles::{collected, over};
use crate::{
    error::{Result, SparkError, quoted, quoted_id},
    functions::{
        Accepts, Batch, Call, Function, Ordering, Parameters, PreparedKernel, Registry,
        named_struct,
    },
    literal::null_of,
    typed::TypedExpr,
};

pub(super) fn register(registry: &mut Registry) {
    let text = || Accepts::one_of([Accepts::STRING, Accepts::BINARY]);
    let parameters = Parameters::fixed([text()]).optional([Accepts::Any]);
    registry.add(Function::aggregate("listagg", parameters, call).alias("string_agg"));
}

fn call(call: &Call<'_>) -> Result<TypedExpr> {
    let value = call.arg(0)?.clone();
    let delimiter = match call.args.get(1) {
        Some(_) => match call.constant(1, "delimiter")? {
            ScalarValue::Utf8(Some(text)) => text.into_bytes(),
            ScalarValue::Binary(Some(bytes)) => bytes,
            other if other.is_null() => vec![],
            _ => return Err(call.unexpected_type(1, &value.type_sql())),
        },
        None => vec![],
    };
    let orders = &call.within_group;
    if call.distinct
        && let Some(other) = orders.iter().find(|o| o.value.expr != value.expr)
    {
        return Err(SparkError::analysis(
            "INVALID_WITHIN_GROUP_EXPRESSION.MISMATCH_WITH_DISTINCT_INPUT",
            &[
                ("funcName", &quoted_id(call.called)),
                ("funcArg", &value.sql()),
                ("orderingExpr", &quoted(&other.value.name)),
            ],
        ));
    }
    let data_type = value.data_type.clone();
    let entries = collected(call, entry(value, orders)?)?;
    let kernel = Joined {
        delimiter,
        orders: orders
            .iter()
            .map(|o| SortOptions {
                descending: !o.sort.asc,
                nulls_first: o.sort.nulls_first,
            })
            .collect(),
    };
    Ok(over(call, entries, kernel, data_type).named(shown(call)))
}

/// `listagg(k, NULL) WITHIN GROUP (ORDER BY i DESC NULLS LAST)`
fn shown(call: &Call<'_>) -> String {
    let mut written = Call::new(call.called, call.args.clone(), call.context);
    written.shown.clone_from(&call.shown);
    written.distinct = call.distinct;
    if written.args.len() == 1 {
        written
            .args
            .push(TypedExpr::literal(ScalarValue::Null, "NULL"));
    }
    let mut name = written.name();
    if !call.within_group.is_empty() {
        let orders: Vec<String> = call
            .within_group
            .iter()
            .map(|o| {
                let direction = if o.sort.asc { "ASC" } else { "DESC" };
                let nulls = if o.sort.nulls_first { "FIRST" } else { "LAST" };
                format!("{} {direction} NULLS {nulls}", o.value.name)
            })
            .collect();
        name = format!("{name} WITHIN GROUP (ORDER BY {})", orders.join(", "));
    }
    match &call.filter {
        Some(filter) => format!("{name} FILTER (WHERE {})", filter.name),
        None => name,
    }
}

/// The value beside what it is sorted by; NULL, and so left out, where the value is NULL.
fn entry(value: TypedExpr, orders: &[Ordering]) -> Result<TypedExpr> {
    let present = value.expr.clone().is_not_null();
    let mut fields = vec![("value".to_string(), value)];
    for (index, order) in orders.iter().enumerate() {
        fields.push((format!("order{index}"), order.value.clone()));
    }
    let mut entry = named_struct(fields);
    let null = lit(null_of(&entry.data_type)?);
    entry.expr = when(present, entry.expr).otherwise(null)?;
    entry.nullable = true;
    Ok(entry)
}

#[derive(Debug)]
struct Joined {
    delimiter: Vec<u8>,
    orders: Vec<SortOptions>,
}

impl Joined {
    /// The values of a group, in order.
    fn values(&self, entries: &ArrayRef) -> Result<ArrayRef> {
        let entries = entries.as_struct();
        let Some((values, keys)) = entries.columns().split_first() else {
            return Err(SparkError::internal("an entry has a value"));
        };
        if keys.is_empty() {
            return Ok(Arc::clone(values));
        }
        let columns: Vec<SortColumn> = keys
            .iter()
            .zip(&self.orders)
            .map(|(key, options)| SortColumn {
                values: Arc::clone(key),
                options: Some(*options),
            })
            .collect();
        Ok(take(values, &lexsort_to_indices(&columns, None)?, None)?)
    }
}

impl PreparedKernel for Joined {
    fn fingerprint(&self) -> String {
        format!("{self:?}")
    }

    fn evaluate(&self, batch: &Batch<'_>) -> Result<ArrayRef> {
        let lists = batch.lists(0)?;
        let is_text = *batch.return_type() == DataType::Utf8;
        let mut texts = StringBuilder::new();
        let mut bytes = BinaryBuilder::new();
        for row in 0..batch.len() {
            let values = self.values(&lists.value(row))?;
            let parts: Vec<&[u8]> = match values.data_type() {
                DataType::Utf8 => values
                    .as_string::<i32>()
                    .iter()
                    .flatten()
                    .map(str::as_bytes)
                    .collect(),
                _ => values.as_binary::<i32>().iter().flatten().collect(),
            };
            let joined = (!parts.is_empty()).then(|| parts.join(self.delimiter.as_slice()));
            match (joined, is_text) {
                (Some(joined), true) => texts.append_value(String::from_utf8_lossy(&joined)),
                (Some(joined), false) => bytes.append_value(joined),
                (None, true) => texts.append_null(),
                (None, false) => bytes.append_null(),
            }
        }
        Ok(match is_text {
            true => Arc::new(texts.finish()),
            false => Arc::new(bytes.finish()),
        })
    }
}
