//! `from_csv`, `to_csv` and `schema_of_csv`: the CSV format over columns.
use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray},
    datatypes::{DataType, Schema},
};
use datafusion::{common::ScalarValue, logical_expr::lit};
use millstream_connectors::format::csv::{CsvRows, CsvTexts, infer_record};

use super::{
    Accepts, Batch, Call, Function, Parameters, PreparedKernel, Registry,
    json::{format_error, format_settings, options_of, schema_argument},
    rows::with_args,
};
use crate::{
    error::{Result, SparkError, quoted, quoted_id},
    typed::TypedExpr,
    types::sql_name,
};

/// Adds the family.
pub(super) fn register(registry: &mut Registry) {
    let parameters = Parameters::fixed([Accepts::STRING, Accepts::Any]).optional([Accepts::Any]);
    registry.add(Function::rewrite("from_csv", parameters, from_csv));
    let parameters = || Parameters::fixed([Accepts::Any]).optional([Accepts::Any]);
    registry.add(Function::rewrite("to_csv", parameters(), to_csv));
    registry.add(Function::rewrite(
        "schema_of_csv",
        parameters(),
        schema_of_csv,
    ));
}

/// The columns of a constant record as a DDL text; prints as `schema_of_csv(text)`.
fn schema_of_csv(call: &Call<'_>) -> Result<TypedExpr> {
    let options = options_of(call, 1)?;
    let short = with_args(call, vec![call.arg(0)?.clone()]);
    let text = match short.constant(0, "csv")? {
        ScalarValue::Utf8(Some(text)) => text,
        ScalarValue::Utf8(None) | ScalarValue::Null => {
            return Err(short.mismatch("UNEXPECTED_NULL", &[("exprName", "csv")]));
        }
        _ => return Err(short.unexpected_type(0, &Accepts::STRING.sql())),
    };
    let schema = infer_record(&text, &options, &format_settings(call)?)
        .map_err(|e| format_error(e, "schema_of_csv"))?;
    let ddl = sql_name(&DataType::Struct(schema.fields().clone()));
    Ok(short.result(lit(ddl), DataType::Utf8, false))
}

/// Prints as `from_csv(text)`.
fn from_csv(call: &Call<'_>) -> Result<TypedExpr> {
    let text = call.arg(0)?.clone();
    let data_type = schema_argument(call, 1)?;
    let options = options_of(call, 2)?;
    let DataType::Struct(fields) = &data_type else {
        return Err(SparkError::analysis(
            "INVALID_SCHEMA.NON_STRUCT_TYPE",
            &[
                ("inputSchema", &call.arg(1)?.sql()),
                ("dataType", &quoted(sql_name(&data_type))),
            ],
        ));
    };
    if let Some(nested) = fields.iter().find(|f| f.data_type().is_nested()) {
        let nested = quoted(sql_name(nested.data_type()));
        return Err(SparkError::analysis(
            "UNSUPPORTED_DATATYPE",
            &[("typeName", &nested)],
        ));
    }
    let rows = CsvRows::new(
        &Schema::new(fields.clone()),
        &options,
        &format_settings(call)?,
    )
    .map_err(|e| format_error(e, "from_csv"))?;
    let (data_type, options) = (rows.data_type(), format!("{options:?}"));
    let nullable = text.nullable;
    let short = with_args(call, vec![text]);
    Ok(short.kernel(Arc::new(FromCsv { rows, options }), data_type, nullable))
}

#[derive(Debug)]
struct FromCsv {
    rows: CsvRows,
    options: String,
}

impl PreparedKernel for FromCsv {
    fn fingerprint(&self) -> String {
        self.options.clone()
    }

    fn evaluate(&self, batch: &Batch<'_>) -> Result<ArrayRef> {
        self.rows
            .parse(&batch.array(0)?)
            .map_err(|e| format_error(e, "from_csv"))
    }
}

/// Prints as `to_csv(value)`.
fn to_csv(call: &Call<'_>) -> Result<TypedExpr> {
    let value = call.arg(0)?.clone();
    let options = options_of(call, 1)?;
    let short = with_args(call, vec![value.clone()]);
    match value.data_type {
        DataType::Struct(_) => {}
        DataType::Null => {
            let null = lit(ScalarValue::Utf8(None));
            return Ok(short.result(null, DataType::Utf8, true));
        }
        other => {
            return Err(short.mismatch(
                "UNSUPPORTED_INPUT_TYPE",
                &[
                    ("functionName", &quoted_id("to_csv")),
                    ("dataType", &quoted(sql_name(&other))),
                ],
            ));
        }
    }
    let texts =
        CsvTexts::new(&options, &format_settings(call)?).map_err(|e| format_error(e, "to_csv"))?;
    let options = format!("{options:?}");
    Ok(short.kernel(Arc::new(ToCsv { texts, options }), DataType::Utf8, true))
}

#[derive(Debug)]
struct ToCsv {
    texts: CsvTexts,
    options: String,
}

impl PreparedKernel for ToCsv {
    fn fingerprint(&self) -> String {
        self.options.clone()
    }

    fn evaluate(&self, batch: &Batch<'_>) -> Result<ArrayRef> {
        let rows = batch.array(0)?;
        self.texts
            .format(rows.as_struct())
            .map_err(|e| format_error(e, "to_csv"))
    }
}
