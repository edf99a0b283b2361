//! Upper and lower case.
use arrow::{array::ArrayRef, datatypes::DataType};

use crate::{
    error::Result,
    functions::{Accepts, Batch, Function, Registry, Returns, rows::Rows},
};

pub(super) fn register(registry: &mut Registry) {
    let text = || Returns::Type(DataType::Utf8);
    registry.add(Function::scalar("upper", [Accepts::STRING], text(), upper).alias("ucase"));
    registry.add(Function::scalar("lower", [Accepts::STRING], text(), lower).alias("lcase"));
    registry.add(Function::scalar(
        "initcap",
        [Accepts::STRING],
        text(),
        initcap,
    ));
}

fn upper(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let texts = rows.strings(0)?;
    rows.text(|row| Ok(Some(texts.value(row).to_uppercase())))
}

fn lower(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let texts = rows.strings(0)?;
    rows.text(|row| Ok(Some(texts.value(row).to_lowercase())))
}

/// Only blanks separate words: `o'neil` is one.
fn initcap(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let texts = rows.strings(0)?;
    rows.text(|row| {
        let lower = texts.value(row).to_lowercase();
        let mut out = String::with_capacity(lower.len());
        let mut starts = true;
        for c in lower.chars() {
            if starts {
                push_title_case(c, &mut out);
            } else {
                out.push(c);
            }
            starts = c == ' ';
        }
        Ok(Some(out))
    })
}

/// `ß` becomes `Ss`, and the digraphs have a form of their own.
fn push_title_case(c: char, out: &mut String) {
    let mut capital = false;
    for upper in c.to_uppercase() {
        match upper {
            'Ǆ' => out.push('ǅ'),
            'Ǉ' => out.push('ǈ'),
            'Ǌ' => out.push('ǋ'),
            'Ǳ' => out.push('ǲ'),
            other if capital => out.extend(other.to_lowercase()),
            other => out.push(other),
        }
        capital |= upper.is_uppercase();
    }
}
