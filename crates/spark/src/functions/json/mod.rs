//! Functions of JSON text.
//!
//! Whole documents to and from columns (`from_json`, `to_json`) are the work of the JSON format, so that a text means the
//! same in a file and in a column. The functions that look for parts of a text are here; they walk over the bytes with a
//! [`cursor`] and never build a tree.
pub(super) mod cursor;
mod from;
mod options;
mod parts;
mod path;
mod schema;
mod to;

use arrow::datatypes::DataType;

use super::{Accepts, Call, Registry, rows::with_args};
use crate::{cast::coerce, error::Result};

pub(super) use options::{format_error, format_settings, options_of};
pub(super) use schema::schema_argument;

/// Adds the family.
pub(super) fn register(registry: &mut Registry) {
    from::register(registry);
    to::register(registry);
    path::register(registry);
    parts::register(registry);
    schema::register(registry);
}

/// The call, if all its arguments are text as they are: nothing is cast to it.
fn only_strings<'a>(call: &Call<'a>) -> Result<Call<'a>> {
    let mut args = vec![];
    for (index, arg) in call.args.iter().enumerate() {
        if !matches!(arg.data_type, DataType::Utf8 | DataType::Null) {
            return Err(call.unexpected_type(index, &Accepts::STRING.sql()));
        }
        args.push(coerce(arg.clone(), &DataType::Utf8, &call.context.eval)?);
    }
    Ok(with_args(call, args))
}
