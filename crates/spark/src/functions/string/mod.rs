//! Functions of text and bytes.
//!
//! Positions and lengths count characters (Unicode code points) of a STRING and bytes of a BINARY; positions start
//! at 1. Most functions come in both forms and answer in the type of their first argument.
//!
//! | module | functions |
//! |---|---|
//! | `case` | `upper`, `lower`, `initcap` |
//! | `measure` | `length`, `ascii`, `levenshtein`, `soundex`, … |
//! | `slice` | `substring`, `left`, `right`, `split_part`, `overlay`, … |
//! | `pad` | `trim`, `lpad`, `repeat`, `space`, … |
//! | `search` | `instr`, `contains`, `replace`, `translate`, `find_in_set`, … |
//! | `join` | `concat_ws`, `elt`, `reverse`, `sentences` |
//! | `format` | `format_string`: Java's formatter |
//! | `decimal_format` | `format_number`: Java's `DecimalFormat` |
//! | `number_format` | `to_number`, `to_char` |
//! | `mask` | `mask`, `luhn_check`, `quote`, UTF-8 validation |
mod case;
mod decimal_format;
mod format;
mod join;
mod mask;
mod measure;
mod number_format;
mod pad;
mod search;
mod slice;

use super::Registry;

/// Adds the family.
pub(super) fn register(registry: &mut Registry) {
    case::register(registry);
    measure::register(registry);
    slice::register(registry);
    pad::register(registry);
    search::register(registry);
    join::register(registry);
    format::register(registry);
    decimal_format::register(registry);
    number_format::register(registry);
    mask::register(registry);
}

/// Byte offset of character `index`, or the length of `text` if it has fewer.
fn offset_of(text: &str, index: usize) -> usize {
    if text.is_ascii() {
        return index.min(text.len());
    }
    text.char_indices()
        .nth(index)
        .map_or(text.len(), |(at, _)| at)
}

/// Number of characters.
fn char_count(text: &str) -> usize {
    if text.is_ascii() {
        text.len()
    } else {
        text.chars().count()
    }
}

/// Characters `from..to` of `text`; what lies outside is left out.
fn chars_between(text: &str, from: usize, to: usize) -> &str {
    if from >= to {
        return "";
    }
    let start = offset_of(text, from);
    let rest = text.get(start..).unwrap_or_default();
    rest.get(..offset_of(rest, to - from)).unwrap_or_default()
}
