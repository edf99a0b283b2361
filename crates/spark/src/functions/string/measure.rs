//! Numbers about texts.
use arrow::{
    array::{ArrayRef, Int32Array},
    datatypes::{DataType, Int32Type},
};

use super::char_count;
use crate::{
    error::Result,
    functions::{Accepts, Batch, Function, Parameters, Registry, Returns, rows::Rows},
};

pub(super) fn register(registry: &mut Registry) {
    let int = || Returns::Type(DataType::Int32);
    let either = Accepts::string_or_binary;
    registry.add(
        Function::scalar("length", [either()], int(), length)
            .alias("char_length")
            .alias("character_length")
            .alias("len"),
    );
    registry.add(Function::scalar(
        "octet_length",
        [either()],
        int(),
        octet_length,
    ));
    registry.add(Function::scalar(
        "bit_length",
        [either()],
        int(),
        bit_length,
    ));
    registry.add(Function::scalar("ascii", [Accepts::STRING], int(), ascii));
    let chr = |name| {
        Function::scalar(
            name,
            [Accepts::LONG],
            Returns::Type(DataType::Utf8),
            character,
        )
    };
    registry.add(chr("chr").alias("char"));
    let two = Parameters::fixed([Accepts::STRING, Accepts::STRING]).optional([Accepts::INT]);
    registry.add(Function::scalar("levenshtein", two, int(), levenshtein));
    let text = Returns::Type(DataType::Utf8);
    registry.add(Function::scalar(
        "soundex",
        [Accepts::STRING],
        text,
        soundex,
    ));
}

fn int(value: usize) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn length(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    if rows.is_binary(0) {
        return octet_length(batch);
    }
    let texts = rows.strings(0)?;
    rows.numbers::<Int32Type>(|row| Ok(Some(int(char_count(texts.value(row))))))
}

fn octet_length(batch: &Batch<'_>) -> Result<ArrayRef> {
    bytes_times(batch, 1)
}

fn bit_length(batch: &Batch<'_>) -> Result<ArrayRef> {
    bytes_times(batch, 8)
}

fn bytes_times(batch: &Batch<'_>, factor: usize) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    if rows.is_binary(0) {
        let bytes = rows.binaries(0)?;
        return rows.numbers::<Int32Type>(|row| Ok(Some(int(bytes.value(row).len() * factor))));
    }
    let texts = rows.strings(0)?;
    rows.numbers::<Int32Type>(|row| Ok(Some(int(texts.value(row).len() * factor))))
}

/// Code point of the first character.
fn ascii(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let texts = rows.strings(0)?;
    rows.numbers::<Int32Type>(|row| {
        let first = texts.value(row).chars().next();
        Ok(Some(first.map_or(0, |c| c as i32)))
    })
}

/// The Latin-1 character of the lowest byte; nothing for a negative number.
fn character(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let codes = rows.longs(0)?;
    rows.text(|row| {
        let code = codes.value(row);
        let lowest = u8::try_from(code & 0xFF).unwrap_or(0);
        Ok(Some(if code < 0 {
            String::new()
        } else {
            char::from(lowest).to_string()
        }))
    })
}

fn levenshtein(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (left, right) = (rows.strings(0)?, rows.strings(1)?);
    let threshold: Option<&Int32Array> = match batch.arity() {
        3 => Some(rows.ints(2)?),
        _ => None,
    };
    rows.numbers::<Int32Type>(|row| {
        let distance = int(crate::scope::levenshtein(left.value(row), right.value(row)));
        Ok(Some(match threshold {
            Some(limit) if distance > limit.value(row) => -1,
            _ => distance,
        }))
    })
}

fn soundex(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let texts = rows.strings(0)?;
    rows.text(|row| Ok(Some(soundex_of(texts.value(row)))))
}

/// The code, or the text itself where it does not begin with a letter.
fn soundex_of(text: &str) -> String {
    // 0: a vowel separates equal codes; 7: H and W do not.
    const CODES: &[u8; 26] = b"01230127022455012623017202";
    let code = |c: char| {
        let upper = c.to_ascii_uppercase();
        let index = usize::try_from(u32::from(upper))
            .unwrap_or(0)
            .wrapping_sub(usize::from(b'A'));
        CODES.get(index).copied()
    };
    let mut chars = text.chars();
    let Some((first, mut last)) = chars.next().and_then(|c| Some((c, code(c)?))) else {
        return text.to_string();
    };
    let mut out = String::with_capacity(4);
    out.push(first.to_ascii_uppercase());
    for c in chars {
        let Some(code) = code(c) else {
            last = b'0';
            continue;
        };
        if code == b'7' {
            continue;
        }
        if code != b'0' && code != last {
            out.push(char::from(code));
            if out.len() == 4 {
                break;
            }
        }
        last = code;
    }
    while out.len() < 4 {
        out.push('0');
    }
    out
}
