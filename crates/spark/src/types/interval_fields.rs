//! Which fields an interval shows: `INTERVAL DAY` and `INTERVAL DAY TO SECOND` are one Arrow type.
//!
//! The fields stand in the metadata of the Arrow field, under [`INTERVAL_FIELDS`], as text such as `day` or `hour to
//! second`; without them the widest range is meant. They are part of the type for users and so never shown as metadata.
use arrow::datatypes::{DataType, Field};
pub(crate) use millstream_connectors::text::INTERVAL_FIELDS;

use super::{DAY_TIME, YEAR_MONTH};

const DAY_TIME_FIELDS: [&str; 4] = ["day", "hour", "minute", "second"];
const YEAR_MONTH_FIELDS: [&str; 2] = ["year", "month"];

fn names(data_type: &DataType) -> Option<&'static [&'static str]> {
    match data_type {
        t if *t == DAY_TIME => Some(&DAY_TIME_FIELDS),
        t if *t == YEAR_MONTH => Some(&YEAR_MONTH_FIELDS),
        _ => None,
    }
}

/// The text for fields `start` to `end`; `None` for the widest range, or where there are no fields.
pub(crate) fn fields_text(data_type: &DataType, start: i32, end: i32) -> Option<String> {
    let names = names(data_type)?;
    let name = |i: i32| usize::try_from(i).ok().and_then(|i| names.get(i)).copied();
    let (first, last) = (name(start)?, name(end)?);
    if start == 0 && usize::try_from(end).is_ok_and(|e| e + 1 == names.len()) {
        return None;
    }
    Some(if start == end {
        first.to_string()
    } else {
        format!("{first} to {last}")
    })
}

/// Start and end of the fields that `text` names; the widest range without it.
pub(crate) fn fields_of(data_type: &DataType, text: Option<&str>) -> Option<(i32, i32)> {
    let names = names(data_type)?;
    let widest = (0, names.len() as i32 - 1);
    let Some(text) = text else {
        return Some(widest);
    };
    let index = |name: &str| names.iter().position(|n| *n == name).map(|i| i as i32);
    let (first, last) = text.split_once(" to ").unwrap_or((text, text));
    Some(index(first).zip(index(last)).unwrap_or(widest))
}

/// `interval day`, for a field of which only some fields are shown.
pub(crate) fn interval_name(field: &Field) -> Option<String> {
    names(field.data_type())?;
    field
        .metadata()
        .get(INTERVAL_FIELDS)
        .map(|text| format!("interval {text}"))
}
