//! `to_json`.
use std::sync::Arc;

use arrow::{
    array::{ArrayRef, new_null_array},
    datatypes::DataType,
};
use millstream_connectors::format::json::JsonTexts;

use super::{format_error, format_settings, options_of};
use crate::{
    error::{Result, quoted},
    functions::{
        Accepts, Batch, Call, Function, Parameters, PreparedKernel, Registry, rows::with_args,
    },
    typed::TypedExpr,
    types::sql_name,
};

pub(super) fn register(registry: &mut Registry) {
    let parameters = Parameters::fixed([Accepts::Any]).optional([Accepts::Any]);
    registry.add(Function::rewrite("to_json", parameters, to_json));
}

/// Prints as `to_json(value)`.
fn to_json(call: &Call<'_>) -> Result<TypedExpr> {
    let value = call.arg(0)?.clone();
    let options = options_of(call, 1)?;
    let short = with_args(call, vec![value.clone()]);
    let prints = matches!(
        value.data_type,
        DataType::Struct(_) | DataType::List(_) | DataType::Map(_, _) | DataType::Null
    );
    if !prints {
        let schema = quoted(sql_name(&value.data_type));
        return Err(short.mismatch("INVALID_JSON_SCHEMA", &[("schema", &schema)]));
    }
    let texts = JsonTexts::new(&options, &format_settings(call)?)
        .map_err(|e| format_error(e, "to_json"))?;
    let options = format!("{options:?}");
    Ok(short.kernel(Arc::new(ToJson { texts, options }), DataType::Utf8, true))
}

#[derive(Debug)]
struct ToJson {
    texts: JsonTexts,
    options: String,
}

impl PreparedKernel for ToJson {
    fn fingerprint(&self) -> String {
        self.options.clone()
    }

    fn evaluate(&self, batch: &Batch<'_>) -> Result<ArrayRef> {
        let values = batch.array(0)?;
        if *values.data_type() == DataType::Null {
            return Ok(new_null_array(&DataType::Utf8, batch.len()));
        }
        self.texts
            .format(&values)
            .map_err(|e| format_error(e, "to_json"))
    }
}
