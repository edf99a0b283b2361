//! Texts made longer or shorter at their ends.
use arrow::{array::ArrayRef, datatypes::DataType};
use datafusion::{common::ScalarValue, logical_expr::Volatility};

use super::{char_count, chars_between};
use crate::{
    error::Result,
    functions::{
        Accepts, Batch, Call, Function, Kernel, Parameters, Registry, Returns,
        rows::{Rows, with_args, with_defaults},
    },
    typed::TypedExpr,
};

pub(super) fn register(registry: &mut Registry) {
    let trim_parameters = || Parameters::fixed([Accepts::STRING]).optional([Accepts::STRING]);
    let mut trim = |name: &'static str, kernel: fn(&Batch<'_>) -> Result<ArrayRef>| {
        registry.add(Function::rewrite(name, trim_parameters(), move |call| {
            trim_call(call, name, kernel)
        }));
    };
    trim("trim", trim_both);
    trim("ltrim", trim_start);
    trim("rtrim", trim_end);
    registry.add(Function::scalar(
        "btrim",
        trim_parameters(),
        Returns::Type(DataType::Utf8),
        btrim,
    ));
    let either = Accepts::string_or_binary;
    let mut pad = |name: &'static str, kernel: fn(&Batch<'_>) -> Result<ArrayRef>| {
        let parameters = Parameters::fixed([either(), Accepts::INT]).optional([either()]);
        registry.add(Function::rewrite(name, parameters, move |call| {
            let data_type = call.arg(0)?.data_type.clone();
            let filler = match data_type {
                DataType::Binary => TypedExpr::literal(ScalarValue::Binary(Some(vec![0])), "X'00'"),
                _ => TypedExpr::string(" "),
            };
            let call = with_defaults(call, 3, [filler]);
            let nullable = call.any_nullable();
            Ok(call.kernel_with(
                name,
                Kernel::Plain(kernel),
                data_type,
                nullable,
                Volatility::Immutable,
            ))
        }));
    };
    pad("lpad", lpad);
    pad("rpad", rpad);
    let text = || Returns::Type(DataType::Utf8);
    registry.add(Function::scalar(
        "repeat",
        [Accepts::STRING, Accepts::INT],
        text(),
        repeat,
    ));
    registry.add(Function::scalar("space", [Accepts::INT], text(), space));
}

/// With two arguments the characters come first, and the call prints as the SQL construct.
fn trim_call(
    call: &Call<'_>,
    name: &'static str,
    kernel: fn(&Batch<'_>) -> Result<ArrayRef>,
) -> Result<TypedExpr> {
    let nullable = call.any_nullable();
    let (args, shown) = match call.args.as_slice() {
        [characters, text] => {
            let side = match name {
                "ltrim" => "LEADING",
                "rtrim" => "TRAILING",
                _ => "BOTH",
            };
            let shown = format!("TRIM({side} {} FROM {})", characters.name, text.name);
            (vec![text.clone(), characters.clone()], shown)
        }
        args => (args.to_vec(), call.name()),
    };
    let swapped = with_args(call, args);
    let kernel = Kernel::Plain(kernel);
    let typed = swapped.kernel_with(
        name,
        kernel,
        DataType::Utf8,
        nullable,
        Volatility::Immutable,
    );
    Ok(typed.named(shown))
}

fn trim_both(batch: &Batch<'_>) -> Result<ArrayRef> {
    trimmed(batch, true, true)
}

fn trim_start(batch: &Batch<'_>) -> Result<ArrayRef> {
    trimmed(batch, true, false)
}

fn trim_end(batch: &Batch<'_>) -> Result<ArrayRef> {
    trimmed(batch, false, true)
}

fn btrim(batch: &Batch<'_>) -> Result<ArrayRef> {
    trimmed(batch, true, true)
}

/// Without characters only blanks go, not tabs.
fn trimmed(batch: &Batch<'_>, start: bool, end: bool) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let texts = rows.strings(0)?;
    let characters = if batch.arity() > 1 {
        Some(rows.strings(1)?)
    } else {
        None
    };
    rows.text(|row| {
        let set = characters.map_or(" ", |c| c.value(row));
        let mut text = texts.value(row);
        if start {
            text = text.trim_start_matches(|c| set.contains(c));
        }
        if end {
            text = text.trim_end_matches(|c| set.contains(c));
        }
        Ok(Some(text))
    })
}

fn lpad(batch: &Batch<'_>) -> Result<ArrayRef> {
    padded(batch, true)
}

fn rpad(batch: &Batch<'_>) -> Result<ArrayRef> {
    padded(batch, false)
}

fn padded(batch: &Batch<'_>, left: bool) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let lengths = rows.ints(1)?;
    let wanted = |row: usize| usize::try_from(lengths.value(row)).unwrap_or(0);
    if rows.is_binary(0) {
        let (bytes, fillers) = (rows.binaries(0)?, rows.binaries(2)?);
        return rows.bytes(|row| {
            let (bytes, filler, wanted) = (bytes.value(row), fillers.value(row), wanted(row));
            let kept = bytes.get(..wanted).unwrap_or(bytes);
            let missing = wanted.saturating_sub(bytes.len());
            let padding: Vec<u8> = filler.iter().copied().cycle().take(missing).collect();
            Ok(Some(if left {
                [&padding, kept].concat()
            } else {
                [kept, &padding].concat()
            }))
        });
    }
    let (texts, fillers) = (rows.strings(0)?, rows.strings(2)?);
    rows.text(|row| {
        let (text, filler, wanted) = (texts.value(row), fillers.value(row), wanted(row));
        let count = char_count(text);
        if count >= wanted {
            return Ok(Some(chars_between(text, 0, wanted).to_string()));
        }
        let padding: String = filler.chars().cycle().take(wanted - count).collect();
        Ok(Some(if left {
            padding + text
        } else {
            format!("{text}{padding}")
        }))
    })
}

fn repeat(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (texts, counts) = (rows.strings(0)?, rows.ints(1)?);
    rows.text(|row| {
        let count = usize::try_from(counts.value(row)).unwrap_or(0);
        Ok(Some(texts.value(row).repeat(count)))
    })
}

fn space(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let counts = rows.ints(0)?;
    rows.text(|row| {
        Ok(Some(
            " ".repeat(usize::try_from(counts.value(row)).unwrap_or(0)),
        ))
    })
}
