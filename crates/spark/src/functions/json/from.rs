//! `from_json`.
use std::sync::Arc;

use arrow::{array::ArrayRef, datatypes::DataType};
use millstream_connectors::format::json::JsonRows;

use super::{format_error, format_settings, options_of, schema_argument};
use crate::{
    error::{Result, quoted},
    functions::{
        Accepts, Batch, Call, Function, Parameters, PreparedKernel, Registry, rows::with_args,
    },
    typed::TypedExpr,
    types::sql_name,
};

pub(super) fn register(registry: &mut Registry) {
    let parameters = Parameters::fixed([Accepts::Any, Accepts::Any]).optional([Accepts::Any]);
    registry.add(Function::rewrite("from_json", parameters, from_json));
}

/// Prints as `from_json(text)`, or as `entries` if it makes a map.
fn from_json(call: &Call<'_>) -> Result<TypedExpr> {
    let text = call.arg(0)?.clone();
    let data_type = schema_argument(call, 1)?;
    let options = options_of(call, 2)?;
    let name = match data_type {
        DataType::Map(_, _) => "entries".to_string(),
        _ => format!("from_json({})", text.name),
    };
    let mut short = with_args(call, vec![text.clone()]);
    let parses = matches!(
        data_type,
        DataType::Struct(_) | DataType::List(_) | DataType::Map(_, _)
    );
    if !parses {
        let schema = quoted(sql_name(&data_type));
        return Err(short.mismatch("INVALID_JSON_SCHEMA", &[("schema", &schema)]));
    }
    match text.data_type {
        DataType::Utf8 => {}
        DataType::Null => {
            let text = crate::cast::coerce(text, &DataType::Utf8, &call.context.eval)?;
            short = with_args(call, vec![text]);
        }
        _ => return Err(short.unexpected_type(0, &Accepts::STRING.sql())),
    }
    let rows = JsonRows::new(&data_type, &options, &format_settings(call)?)
        .map_err(|e| format_error(e, "from_json"))?;
    let data_type = rows.data_type().clone();
    let options = format!("{options:?}");
    Ok(short
        .kernel(Arc::new(FromJson { rows, options }), data_type, true)
        .named(name))
}

#[derive(Debug)]
struct FromJson {
    rows: JsonRows,
    options: String,
}

impl PreparedKernel for FromJson {
    fn fingerprint(&self) -> String {
        self.options.clone()
    }

    fn evaluate(&self, batch: &Batch<'_>) -> Result<ArrayRef> {
        self.rows
            .parse(&batch.array(0)?)
            .map_err(|e| format_error(e, "from_json"))
    }
}
