//! `json_array_length`, `json_object_keys`, `json_tuple`.
use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, ListArray, ListBuilder, StringBuilder, StructArray},
    buffer::OffsetBuffer,
    datatypes::{DataType, Field, Fields, Int32Type},
};
use datafusion::logical_expr::Volatility;

use super::{
    cursor::{Cursor, Kind, Leniency, Malformed},
    only_strings,
};
use crate::{
    error::{Result, quoted_id},
    functions::{
        Accepts, Batch, Call, Function, Generator, GeneratorKind, Kernel, Parameters, Registry,
        Resolution, rows::Rows,
    },
    types,
};

pub(super) fn register(registry: &mut Registry) {
    registry.add(Function::rewrite(
        "json_array_length",
        [Accepts::Any],
        |call| {
            let (kernel, count) = (Kernel::Plain(json_array_length), DataType::Int32);
            let call = only_strings(call)?;
            Ok(call.kernel_with(
                "json_array_length",
                kernel,
                count,
                true,
                Volatility::Immutable,
            ))
        },
    ));
    registry.add(Function::rewrite(
        "json_object_keys",
        [Accepts::Any],
        |call| {
            let (kernel, keys) = (
                Kernel::Plain(json_object_keys),
                types::list(DataType::Utf8, true),
            );
            let call = only_strings(call)?;
            Ok(call.kernel_with(
                "json_object_keys",
                kernel,
                keys,
                true,
                Volatility::Immutable,
            ))
        },
    ));
    registry.add(Function::special(
        "json_tuple",
        Parameters::variadic(2, Accepts::Any),
        tuple_call,
    ));
}

fn json_array_length(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let texts = rows.strings(0)?;
    rows.numbers::<Int32Type>(|row| Ok(array_length(texts.value(row)).ok().flatten()))
}

fn array_length(text: &str) -> std::result::Result<Option<i32>, Malformed> {
    let mut cursor = Cursor::new(text, Leniency::default());
    if cursor.kind()? != Kind::Array {
        return Ok(None);
    }
    let mut count = 0;
    cursor.elements(|c| {
        count += 1;
        c.skip()
    })?;
    Ok(Some(count))
}

fn json_object_keys(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let texts = rows.strings(0)?;
    let mut out = ListBuilder::new(StringBuilder::new());
    for row in 0..batch.len() {
        let keys = if rows.counts(row) {
            object_keys(texts.value(row))
        } else {
            Err(Malformed)
        };
        match keys {
            Ok(Some(keys)) => {
                keys.iter().for_each(|key| out.values().append_value(key));
                out.append(true);
            }
            _ => out.append_null(),
        }
    }
    Ok(Arc::new(out.finish()))
}

fn object_keys(text: &str) -> std::result::Result<Option<Vec<String>>, Malformed> {
    let mut cursor = Cursor::new(text, Leniency::default());
    if cursor.kind()? != Kind::Object {
        return Ok(None);
    }
    let mut keys = vec![];
    cursor.fields(|c, name| {
        keys.push(name.to_string());
        c.skip()
    })?;
    Ok(Some(keys))
}

/// One row of the named fields: a generator, so that it makes several columns.
fn tuple_call(call: &Call<'_>) -> Result<Resolution> {
    if call.args.iter().any(|a| a.data_type != DataType::Utf8) {
        let function = quoted_id(call.called);
        return Err(call.mismatch("NON_STRING_TYPE", &[("funcName", &function)]));
    }
    let columns: Vec<(String, DataType, bool)> = (0..call.args.len() - 1)
        .map(|i| (format!("c{i}"), DataType::Utf8, true))
        .collect();
    let row = types::structure(columns.clone());
    let rows = types::list(row, false);
    let kernel = Kernel::Plain(json_tuple);
    let input = call.kernel_with("json_tuple", kernel, rows, false, Volatility::Immutable);
    let name = call.name();
    let kind = GeneratorKind::Inline;
    Ok(Resolution::Generator(Generator {
        kind,
        input,
        position: false,
        outer: false,
        columns,
        name,
    }))
}

fn json_tuple(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::requiring(batch, 1)?;
    let texts = rows.strings(0)?;
    let wanted = batch.arity() - 1;
    let mut columns: Vec<StringBuilder> = (0..wanted).map(|_| StringBuilder::new()).collect();
    for row in 0..batch.len() {
        let mut names = Vec::with_capacity(wanted);
        for index in 1..=wanted {
            let array = rows.strings(index)?;
            names.push(array.is_valid(row).then(|| array.value(row)));
        }
        let values = match rows.counts(row) {
            true => fields(texts.value(row), &names).unwrap_or_default(),
            false => vec![],
        };
        let values = values.into_iter().chain(std::iter::repeat(None));
        for (column, value) in columns.iter_mut().zip(values) {
            column.append_option(value);
        }
    }
    let columns: Vec<ArrayRef> = columns
        .iter_mut()
        .map(|c| Arc::new(c.finish()) as ArrayRef)
        .collect();
    let fields: Fields = (0..wanted)
        .map(|i| Field::new(format!("c{i}"), DataType::Utf8, true))
        .collect();
    let inner = StructArray::try_new(fields, columns, None)?;
    let item = types::list_item(inner.data_type().clone(), false);
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(1, batch.len()));
    Ok(Arc::new(ListArray::try_new(
        item,
        offsets,
        Arc::new(inner),
        None,
    )?))
}

fn fields(
    text: &str,
    names: &[Option<&str>],
) -> std::result::Result<Vec<Option<String>>, Malformed> {
    let mut cursor = Cursor::new(text, Leniency::default());
    let mut values = vec![None; names.len()];
    if cursor.kind()? != Kind::Object {
        return Ok(values);
    }
    cursor.fields(|c, name| {
        if !names.contains(&Some(name)) {
            return c.skip();
        }
        let mut value = String::new();
        let found = match c.kind()? {
            Kind::Null => {
                c.skip()?;
                None
            }
            Kind::String => {
                c.string(&mut value)?;
                Some(value)
            }
            _ => {
                c.copy(&mut value)?;
                Some(value)
            }
        };
        for (slot, wanted) in values.iter_mut().zip(names) {
            if *wanted == Some(name) && found.is_some() {
                slot.clone_from(&found);
            }
        }
        Ok(())
    })?;
    Ok(values)
}
