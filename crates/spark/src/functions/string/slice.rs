//! Parts of texts.
use std::borrow::Cow;

use arrow::{array::ArrayRef, datatypes::DataType};

use super::{char_count, chars_between};
use crate::{
    error::{Exception, Result, SparkError},
    functions::{
        Accepts, Batch, Function, Kernel, Parameters, Registry, Returns,
        rows::{Rows, with_defaults},
    },
    typed::TypedExpr,
};
use datafusion::logical_expr::Volatility;

pub(super) fn register(registry: &mut Registry) {
    let either = Accepts::string_or_binary;
    let slice = Parameters::fixed([either(), Accepts::INT]).optional([Accepts::INT]);
    registry.add(
        Function::rewrite("substring", slice, |call| {
            let call = with_defaults(call, 3, [TypedExpr::int(i32::MAX)]);
            let returns = (call.arg(0)?.data_type.clone(), call.any_nullable());
            let kernel = Kernel::Plain(substring);
            Ok(call.kernel_with(
                "substring",
                kernel,
                returns.0,
                returns.1,
                Volatility::Immutable,
            ))
        })
        .alias("substr"),
    );
    let left = [either(), Accepts::INT];
    registry.add(Function::scalar(
        "left",
        left,
        Returns::Argument(0),
        left_part,
    ));
    let right = [Accepts::STRING, Accepts::INT];
    registry.add(Function::scalar(
        "right",
        right,
        Returns::Nullable(DataType::Utf8),
        right_part,
    ));
    let text = || Returns::Type(DataType::Utf8);
    let by_count = || [Accepts::STRING, Accepts::STRING, Accepts::INT];
    registry.add(Function::scalar(
        "substring_index",
        by_count(),
        text(),
        substring_index,
    ));
    let part = Returns::Nullable(DataType::Utf8);
    registry.add(Function::scalar("split_part", by_count(), part, split_part));
    let overlay_at = Parameters::fixed([either(), either(), Accepts::INT]).optional([Accepts::INT]);
    registry.add(Function::rewrite("overlay", overlay_at, |call| {
        let call = with_defaults(call, 4, [TypedExpr::int(-1)]);
        let returns = (call.arg(0)?.data_type.clone(), call.any_nullable());
        let kernel = Kernel::Plain(overlay);
        Ok(call.kernel_with(
            "overlay",
            kernel,
            returns.0,
            returns.1,
            Volatility::Immutable,
        ))
    }));
}

/// The range of `length` items from 1-based position `start` in `count` items. Position 0 is the first, negative ones
/// count from the end, and what lies before the first item uses up length.
fn range(count: usize, start: i32, length: i32) -> (usize, usize) {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let start = match i64::from(start) {
        s if s > 0 => s - 1,
        s if s < 0 => count + s,
        _ => 0,
    };
    let end = (start + i64::from(length)).clamp(0, count);
    let start = start.clamp(0, count);
    let at = |v: i64| usize::try_from(v).unwrap_or(0);
    (at(start), at(end.max(start)))
}

/// `substring(text, start, length)`.
fn slice_text(text: &str, start: i32, length: i32) -> &str {
    // Counting from the front needs no total.
    let count = if start < 0 {
        char_count(text)
    } else {
        text.len()
    };
    let (from, to) = range(count, start, length);
    chars_between(text, from, to)
}

fn slice_bytes(bytes: &[u8], start: i32, length: i32) -> &[u8] {
    let (from, to) = range(bytes.len(), start, length);
    bytes.get(from..to).unwrap_or_default()
}

fn substring(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (starts, lengths) = (rows.ints(1)?, rows.ints(2)?);
    if rows.is_binary(0) {
        let bytes = rows.binaries(0)?;
        return rows.bytes(|row| {
            Ok(Some(slice_bytes(
                bytes.value(row),
                starts.value(row),
                lengths.value(row),
            )))
        });
    }
    let texts = rows.strings(0)?;
    rows.text(|row| {
        Ok(Some(slice_text(
            texts.value(row),
            starts.value(row),
            lengths.value(row),
        )))
    })
}

fn left_part(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let lengths = rows.ints(1)?;
    if rows.is_binary(0) {
        let bytes = rows.binaries(0)?;
        return rows.bytes(|row| Ok(Some(slice_bytes(bytes.value(row), 1, lengths.value(row)))));
    }
    let texts = rows.strings(0)?;
    rows.text(|row| Ok(Some(slice_text(texts.value(row), 1, lengths.value(row)))))
}

fn right_part(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (texts, lengths) = (rows.strings(0)?, rows.ints(1)?);
    rows.text(|row| {
        let length = lengths.value(row);
        Ok(Some(match length.checked_neg() {
            Some(start) if start < 0 => slice_text(texts.value(row), start, i32::MAX),
            _ => "",
        }))
    })
}

/// Everything before the `count`-th delimiter, or after the `-count`-th from the end.
fn substring_index(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (texts, delimiters, counts) = (rows.strings(0)?, rows.strings(1)?, rows.ints(2)?);
    rows.text(|row| {
        Ok(Some(before_or_after(
            texts.value(row),
            delimiters.value(row),
            counts.value(row),
        )))
    })
}

fn before_or_after<'t>(text: &'t str, delimiter: &str, count: i32) -> &'t str {
    if delimiter.is_empty() || count == 0 {
        return "";
    }
    let wanted = count.unsigned_abs();
    // The next search begins one character on, not behind the delimiter: found ones may overlap.
    if count > 0 {
        let mut from = 0;
        for n in 1..=wanted {
            let Some(at) = text.get(from..).and_then(|rest| rest.find(delimiter)) else {
                return text;
            };
            if n == wanted {
                return text.get(..from + at).unwrap_or_default();
            }
            let step = text
                .get(from + at..)
                .and_then(|r| r.chars().next())
                .map_or(1, char::len_utf8);
            from += at + step;
        }
        return text;
    }
    let mut to = text.len();
    for n in 1..=wanted {
        let Some(at) = text.get(..to).and_then(|head| head.rfind(delimiter)) else {
            return text;
        };
        if n == wanted {
            return text.get(at + delimiter.len()..).unwrap_or_default();
        }
        let end = at + delimiter.len();
        let last = text
            .get(..end)
            .and_then(|t| t.chars().next_back())
            .map_or(1, char::len_utf8);
        to = end - last;
    }
    text
}

fn split_part(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (texts, delimiters, indexes) = (rows.strings(0)?, rows.strings(1)?, rows.ints(2)?);
    rows.text(|row| {
        let (text, delimiter, index) =
            (texts.value(row), delimiters.value(row), indexes.value(row));
        if index == 0 {
            return Err(SparkError::new(
                Exception::Runtime,
                "INVALID_INDEX_OF_ZERO",
                &[],
            ));
        }
        let skip = usize::try_from(index.unsigned_abs() - 1).unwrap_or(usize::MAX);
        let part = if delimiter.is_empty() {
            (skip == 0).then_some(text)
        } else if index > 0 {
            text.split(delimiter).nth(skip)
        } else {
            let parts: Vec<&str> = text.split(delimiter).collect();
            parts.into_iter().rev().nth(skip)
        };
        Ok(Some(part.unwrap_or_default()))
    })
}

fn overlay(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (positions, lengths) = (rows.ints(2)?, rows.ints(3)?);
    // The tail begins behind what is replaced; a negative length means that of the replacement.
    let tail = |row: usize, replacement: usize| {
        let length = match lengths.value(row) {
            n if n >= 0 => n,
            _ => i32::try_from(replacement).unwrap_or(i32::MAX),
        };
        positions.value(row).saturating_add(length)
    };
    if rows.is_binary(0) {
        let (bytes, new) = (rows.binaries(0)?, rows.binaries(1)?);
        return rows.bytes(|row| {
            let (bytes, new) = (bytes.value(row), new.value(row));
            let head = slice_bytes(bytes, 1, positions.value(row).saturating_sub(1));
            let tail = slice_bytes(bytes, tail(row, new.len()), i32::MAX);
            Ok(Some([head, new, tail].concat()))
        });
    }
    let (texts, new) = (rows.strings(0)?, rows.strings(1)?);
    rows.text(|row| {
        let (text, new) = (texts.value(row), new.value(row));
        let head = slice_text(text, 1, positions.value(row).saturating_sub(1));
        let tail = slice_text(text, tail(row, char_count(new)), i32::MAX);
        Ok(Some(Cow::<str>::Owned([head, new, tail].concat())))
    })
}
