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
    registry.add(Function::scalar("initcap", [Accepts::STRING], text(), initcap));
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
                out.extend(c.to_uppercase());
            } else {
                out.push(c);
            }
            starts = c == ' ';
        }
        Ok(Some(out))
    })
}
