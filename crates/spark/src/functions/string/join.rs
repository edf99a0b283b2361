//! Texts put together, picked, turned around and taken apart.
use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, ListArray, ListBuilder, StringBuilder, UInt32Array},
    buffer::OffsetBuffer,
    compute::take,
    datatypes::DataType,
};
use datafusion::logical_expr::Volatility;

use crate::{
    error::{Exception, Result, SparkError},
    functions::{
        Accepts, Batch, Call, Function, Kernel, Parameters, Registry, Returns,
        rows::{Rows, with_args, with_defaults},
    },
    typed::TypedExpr,
    types,
};

pub(super) fn register(registry: &mut Registry) {
    let piece = Accepts::one_of([Accepts::STRING, Accepts::ArrayOf(Box::new(Accepts::STRING))]);
    let pieces = Parameters::fixed([Accepts::STRING]).then_any(piece);
    let separator = Returns::With(|call| Ok((DataType::Utf8, call.arg(0)?.nullable)));
    registry.add(Function::scalar("concat_ws", pieces, separator, concat_ws));
    let choices = Parameters::fixed([Accepts::INT, Accepts::Any]).then_any(Accepts::Any);
    registry.add(Function::rewrite("elt", choices, elt_call));
    let turned = Accepts::one_of([Accepts::STRING, Accepts::BINARY, Accepts::Array]);
    registry.add(Function::scalar(
        "reverse",
        [turned],
        Returns::Argument(0),
        reverse,
    ));
    let text = Parameters::fixed([Accepts::STRING]).optional([Accepts::STRING, Accepts::STRING]);
    registry.add(Function::rewrite("sentences", text, |call| {
        let call = with_defaults(call, 3, [TypedExpr::string(""), TypedExpr::string("")]);
        let words = types::list(types::list(DataType::Utf8, false), false);
        let kernel = Kernel::Plain(sentences);
        Ok(call.kernel_with("sentences", kernel, words, true, Volatility::Immutable))
    }));
}

/// NULL pieces and NULL elements are left out.
fn concat_ws(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::requiring(batch, 1)?;
    let separators = rows.strings(0)?;
    rows.text(|row| {
        let separator = separators.value(row);
        let mut out = String::new();
        let mut first = true;
        let mut push = |piece: &str| {
            if !first {
                out.push_str(separator);
            }
            first = false;
            out.push_str(piece);
        };
        for index in 1..batch.arity() {
            let array = rows.array(index)?;
            if array.is_null(row) {
                continue;
            }
            match array.data_type() {
                DataType::List(_) => {
                    let elements = array.as_list::<i32>().value(row);
                    elements
                        .as_string::<i32>()
                        .iter()
                        .flatten()
                        .for_each(&mut push);
                }
                _ => push(array.as_string::<i32>().value(row)),
            }
        }
        Ok(Some(out))
    })
}

/// All choices are BINARY, or all become STRING.
fn elt_call(call: &Call<'_>) -> Result<TypedExpr> {
    let choices = call.args.get(1..).unwrap_or_default();
    let binary = choices
        .iter()
        .all(|c| matches!(c.data_type, DataType::Binary | DataType::Null));
    let data_type = match binary && choices.iter().any(|c| c.data_type == DataType::Binary) {
        true => DataType::Binary,
        false => DataType::Utf8,
    };
    let mut args = vec![call.arg(0)?.clone()];
    for choice in choices {
        args.push(crate::cast::coerce(
            choice.clone(),
            &data_type,
            &call.context.eval,
        )?);
    }
    let call = with_args(call, args);
    Ok(call.kernel_with(
        "elt",
        Kernel::Plain(elt),
        data_type,
        true,
        Volatility::Immutable,
    ))
}

fn elt(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::requiring(batch, 1)?;
    let indexes = rows.ints(0)?;
    let pick = |row: usize| -> Result<Option<usize>> {
        let index = indexes.value(row);
        let choices = batch.arity() - 1;
        let inside = usize::try_from(index)
            .ok()
            .filter(|i| (1..=choices).contains(i));
        match inside {
            Some(i) => Ok(Some(i).filter(|i| rows.array(*i).is_ok_and(|a| a.is_valid(row)))),
            None if batch.context().ansi => Err(SparkError::new(
                Exception::ArrayIndexOutOfBounds,
                "INVALID_ARRAY_INDEX",
                &[
                    ("indexValue", &index.to_string()),
                    ("arraySize", &choices.to_string()),
                ],
            )),
            None => Ok(None),
        }
    };
    if *batch.return_type() == DataType::Binary {
        return rows.bytes(|row| match pick(row)? {
            Some(index) => Ok(Some(rows.binaries(index)?.value(row))),
            None => Ok(None),
        });
    }
    rows.text(|row| match pick(row)? {
        Some(index) => Ok(Some(rows.strings(index)?.value(row))),
        None => Ok(None),
    })
}

fn reverse(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    match rows.array(0)?.data_type() {
        DataType::List(_) => reverse_lists(rows.lists(0)?),
        DataType::Binary => {
            let bytes = rows.binaries(0)?;
            rows.bytes(|row| {
                Ok(Some(
                    bytes.value(row).iter().rev().copied().collect::<Vec<u8>>(),
                ))
            })
        }
        _ => {
            let texts = rows.strings(0)?;
            rows.text(|row| Ok(Some(texts.value(row).chars().rev().collect::<String>())))
        }
    }
}

fn reverse_lists(lists: &ListArray) -> Result<ArrayRef> {
    let DataType::List(item) = lists.data_type() else {
        return Err(SparkError::internal(
            "reverse of something that is no array",
        ));
    };
    let mut picked: Vec<u32> = Vec::with_capacity(lists.values().len());
    let mut lengths = Vec::with_capacity(lists.len());
    for window in lists.value_offsets().windows(2) {
        let [from, to] = window else { continue };
        lengths.push(usize::try_from(to - from).unwrap_or(0));
        picked.extend((*from..*to).rev().filter_map(|i| u32::try_from(i).ok()));
    }
    let values = take(lists.values(), &UInt32Array::from(picked), None)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    let lists = ListArray::try_new(Arc::clone(item), offsets, values, lists.nulls().cloned())?;
    Ok(Arc::new(lists))
}

/// Words of sentences. Sentences end with `.`, `!` or `?` before a blank or the end; words are runs of letters and digits,
/// apostrophes inside included. Java's boundary analysis also knows abbreviations and other scripts.
fn sentences(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::requiring(batch, 1)?;
    let texts = rows.strings(0)?;
    let mut out = ListBuilder::new(
        ListBuilder::new(StringBuilder::new()).with_field(types::list_item(DataType::Utf8, false)),
    )
    .with_field(types::list_item(types::list(DataType::Utf8, false), false));
    for row in 0..batch.len() {
        if !rows.counts(row) {
            out.append_null();
            continue;
        }
        for sentence in split_sentences(texts.value(row)) {
            for word in words(sentence) {
                out.values().values().append_value(word);
            }
            out.values().append(true);
        }
        out.append(true);
    }
    Ok(Arc::new(out.finish()))
}

fn split_sentences(text: &str) -> Vec<&str> {
    let mut sentences = vec![];
    let mut start = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let ends = matches!(c, '.' | '!' | '?')
            && chars.peek().is_none_or(|(_, next)| next.is_whitespace());
        if ends {
            sentences.extend(text.get(start..at));
            start = at + c.len_utf8();
        }
    }
    sentences.extend(text.get(start..));
    sentences.retain(|s| s.chars().any(char::is_alphanumeric));
    sentences
}

fn words(sentence: &str) -> impl Iterator<Item = &str> {
    let part = |c: char| c.is_alphanumeric() || c == '\'' || c == '_';
    sentence
        .split(move |c| !part(c))
        .map(|w| w.trim_matches('\''))
        .filter(|w| !w.is_empty())
}
