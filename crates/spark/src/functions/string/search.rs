//! Texts in texts.
use std::{borrow::Cow, collections::HashMap};

use arrow::{
    array::ArrayRef,
    datatypes::{DataType, Int32Type},
};
use datafusion::logical_expr::Volatility;

use super::{char_count, offset_of};
use crate::{
    error::Result,
    functions::{
        Accepts, Batch, Call, Function, Kernel, Parameters, Registry, Returns,
        rows::{Rows, with_defaults},
    },
    typed::TypedExpr,
};

pub(super) fn register(registry: &mut Registry) {
    let either = || [Accepts::string_or_binary(), Accepts::string_or_binary()];
    registry.add(Function::scalar(
        "contains",
        either(),
        Returns::With(found),
        contains,
    ));
    registry.add(Function::scalar(
        "startswith",
        either(),
        Returns::With(found),
        startswith,
    ));
    registry.add(Function::scalar(
        "endswith",
        either(),
        Returns::With(found),
        endswith,
    ));
    let int = || Returns::Type(DataType::Int32);
    let two = || [Accepts::STRING, Accepts::STRING];
    registry.add(Function::scalar("instr", two(), int(), instr));
    registry.add(Function::scalar("find_in_set", two(), int(), find_in_set));
    let locate_from = Parameters::fixed(two()).optional([Accepts::INT]);
    registry.add(
        Function::rewrite("locate", locate_from, |call| {
            let call = with_defaults(call, 3, [TypedExpr::int(1)]);
            let nullable = call.arg(0)?.nullable || call.arg(1)?.nullable;
            let kernel = Kernel::Plain(locate);
            Ok(call.kernel_with(
                "locate",
                kernel,
                DataType::Int32,
                nullable,
                Volatility::Immutable,
            ))
        })
        .alias("position"),
    );
    let replacement = Parameters::fixed(two()).optional([Accepts::STRING]);
    registry.add(Function::rewrite("replace", replacement, |call| {
        let call = with_defaults(call, 3, [TypedExpr::string("")]);
        let nullable = call.any_nullable();
        let kernel = Kernel::Plain(replace);
        Ok(call.kernel_with(
            "replace",
            kernel,
            DataType::Utf8,
            nullable,
            Volatility::Immutable,
        ))
    }));
    let three = [Accepts::STRING, Accepts::STRING, Accepts::STRING];
    registry.add(Function::scalar(
        "translate",
        three,
        Returns::Type(DataType::Utf8),
        translate,
    ));
}

/// Spark says of bytes that the answer may always be NULL.
fn found(call: &Call<'_>) -> Result<(DataType, bool)> {
    let binary = call.arg(0)?.data_type == DataType::Binary;
    Ok((DataType::Boolean, binary || call.any_nullable()))
}

fn test(batch: &Batch<'_>, holds: fn(&[u8], &[u8]) -> bool) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    if rows.is_binary(0) && rows.is_binary(1) {
        let (whole, part) = (rows.binaries(0)?, rows.binaries(1)?);
        return rows.flags(|row| Ok(Some(holds(whole.value(row), part.value(row)))));
    }
    let (whole, part) = (rows.array(0)?, rows.array(1)?);
    let (whole, part) = (as_text(whole)?, as_text(part)?);
    rows.flags(|row| {
        Ok(Some(holds(
            whole.value(row).as_bytes(),
            part.value(row).as_bytes(),
        )))
    })
}

/// One operand may have come as BINARY beside a STRING.
fn as_text(array: &ArrayRef) -> Result<arrow::array::StringArray> {
    use arrow::array::AsArray;
    let text = arrow::compute::cast(array, &DataType::Utf8)?;
    Ok(text.as_string::<i32>().clone())
}

fn contains(batch: &Batch<'_>) -> Result<ArrayRef> {
    test(batch, |whole, part| {
        memchr::memmem::find(whole, part).is_some()
    })
}

fn startswith(batch: &Batch<'_>) -> Result<ArrayRef> {
    test(batch, |whole, part| whole.starts_with(part))
}

fn endswith(batch: &Batch<'_>) -> Result<ArrayRef> {
    test(batch, |whole, part| whole.ends_with(part))
}

/// 1-based character position of the byte offset.
fn position(text: &str, offset: usize) -> i32 {
    let before = char_count(text.get(..offset).unwrap_or_default());
    i32::try_from(before + 1).unwrap_or(i32::MAX)
}

fn instr(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (texts, parts) = (rows.strings(0)?, rows.strings(1)?);
    rows.numbers::<Int32Type>(|row| {
        let text = texts.value(row);
        Ok(Some(
            text.find(parts.value(row))
                .map_or(0, |at| position(text, at)),
        ))
    })
}

/// `locate(part, text, start)`: a NULL start is "not found", and an empty part is found at once.
fn locate(batch: &Batch<'_>) -> Result<ArrayRef> {
    use arrow::array::Array;
    let rows = Rows::requiring(batch, 2)?;
    let (parts, texts, starts) = (rows.strings(0)?, rows.strings(1)?, rows.ints(2)?);
    rows.numbers::<Int32Type>(|row| {
        let (part, text) = (parts.value(row), texts.value(row));
        if starts.is_null(row) || starts.value(row) < 1 {
            return Ok(Some(0));
        }
        if part.is_empty() {
            return Ok(Some(1));
        }
        let skip = usize::try_from(starts.value(row) - 1).unwrap_or(0);
        let from = offset_of(text, skip);
        let found = text.get(from..).and_then(|rest| rest.find(part));
        Ok(Some(found.map_or(0, |at| position(text, from + at))))
    })
}

fn find_in_set(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (words, sets) = (rows.strings(0)?, rows.strings(1)?);
    rows.numbers::<Int32Type>(|row| {
        let word = words.value(row);
        let found = match word.contains(',') {
            true => None,
            false => sets.value(row).split(',').position(|w| w == word),
        };
        Ok(Some(
            found.map_or(0, |at| i32::try_from(at + 1).unwrap_or(i32::MAX)),
        ))
    })
}

fn replace(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (texts, from, to) = (rows.strings(0)?, rows.strings(1)?, rows.strings(2)?);
    rows.text(|row| {
        let (text, from) = (texts.value(row), from.value(row));
        Ok(Some(if from.is_empty() || !text.contains(from) {
            Cow::Borrowed(text)
        } else {
            Cow::Owned(text.replace(from, to.value(row)))
        }))
    })
}

/// The first mention of a character decides; one without a counterpart is dropped.
fn translate(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (texts, from, to) = (rows.strings(0)?, rows.strings(1)?, rows.strings(2)?);
    let mut table: HashMap<char, Option<char>> = HashMap::new();
    let mut table_of = None;
    rows.text(|row| {
        let key = (from.value(row), to.value(row));
        if table_of != Some(key) {
            table.clear();
            let mut new = key.1.chars();
            for c in key.0.chars() {
                let counterpart = new.next();
                table.entry(c).or_insert(counterpart);
            }
            table_of = Some(key);
        }
        let text = texts.value(row).chars();
        let text: String = text
            .filter_map(|c| table.get(&c).copied().unwrap_or(Some(c)))
            .collect();
        Ok(Some(text))
    })
}
