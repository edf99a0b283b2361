//! `writeStream….toTable(name)`: a stream into a saved table.
//!
//! The table is made if there is none of that name. Its files are then written by the file sink of its format, whose log
//! makes them exactly once; reading the table, in a batch or as a stream, goes by that log.
use arrow::datatypes::Schema;
use spark_connect_proto::{
    WriteStreamOperationStart, write_stream_operation_start::SinkDestination,
};

use super::{Session, lock, tables};
use crate::{
    error::{Result, SparkError},
    scope::Resolved,
    sql::parse_multipart_identifier,
};

/// The request with the table's folder, format and partitioning in place of its name.
pub(super) fn into_table(
    session: &Session,
    start: &WriteStreamOperationStart,
    rows: &Resolved,
) -> Result<WriteStreamOperationStart> {
    let Some(SinkDestination::TableName(table)) = &start.sink_destination else {
        return Ok(start.clone());
    };
    if !rows.is_streaming {
        return Err(SparkError::analysis("WRITE_STREAM_NOT_ALLOWED", &[]));
    }
    let parts = parse_multipart_identifier(table)?;
    let name = parts.last().cloned().unwrap_or_default();
    if let [_] = parts.as_slice()
        && lock(&session.inner.views).contains_key(&name.to_ascii_lowercase())
    {
        return Err(SparkError::analysis(
            "_LEGACY_ERROR_TEMP_1191",
            &[("viewName", table)],
        ));
    }
    let format = tables::format_of(session, Some(start.format.as_str()));
    let saved = match session.environment().saved_table(&name) {
        Some(saved) if saved.format.eq_ignore_ascii_case(&format) => saved,
        Some(saved) => {
            return Err(SparkError::analysis(
                "_LEGACY_ERROR_TEMP_1192",
                &[
                    ("source", &format),
                    ("tableName", table),
                    ("provider", &saved.format),
                ],
            ));
        }
        None => {
            let new = tables::NewTable {
                name: &name,
                format: &format,
                schema: Schema::new(rows.fields()),
                location: start.options.get("path").cloned(),
                options: start.options.clone(),
                partition_by: start.partitioning_column_names.clone(),
            };
            tables::create(session, new)?
        }
    };
    let mut options = start.options.clone();
    options.retain(|key, _| !key.eq_ignore_ascii_case("path"));
    for (key, value) in &saved.options {
        options.entry(key.clone()).or_insert_with(|| value.clone());
    }
    Ok(WriteStreamOperationStart {
        format: saved.format,
        options,
        partitioning_column_names: saved.partition_by,
        sink_destination: Some(SinkDestination::Path(saved.location)),
        ..start.clone()
    })
}
