//! Rows as text: reading those that a scenario adds, printing those that come out.
use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch, StringArray},
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType, SchemaRef},
    util::display::{ArrayFormatter, FormatOptions},
};

/// Lines of comma-separated values as a batch of `schema`.
pub(super) fn read(lines: &[String], schema: &SchemaRef) -> Result<RecordBatch, String> {
    let rows: Vec<Vec<&str>> = lines
        .iter()
        .map(|line| line.split(',').map(str::trim).collect())
        .collect();
    let width = schema.fields().len();
    if let Some(row) = rows.iter().find(|row| row.len() != width) {
        return Err(format!("expected {width} values, found {row:?}"));
    }
    let columns = schema
        .fields()
        .iter()
        .enumerate()
        .map(|(index, field)| {
            let texts: StringArray = rows
                .iter()
                .map(|row| {
                    row.get(index)
                        .filter(|text| **text != "NULL")
                        .map(|text| complete(text, field.data_type()))
                })
                .collect();
            let strict = CastOptions {
                safe: false,
                ..Default::default()
            };
            cast_with_options(&texts, field.data_type(), &strict).map_err(|error| error.to_string())
        })
        .collect::<Result<Vec<ArrayRef>, String>>()?;
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(|error| error.to_string())
}

/// A time of day is one of the first day of the epoch.
fn complete(text: &str, data_type: &DataType) -> String {
    match data_type {
        DataType::Timestamp(..) if !text.contains('-') => format!("1970-01-01 {text}"),
        _ => text.to_string(),
    }
}

/// One line per row, values separated by `, `; timestamps of the first day of the epoch without their date.
pub(super) fn print(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default()
        .with_null("NULL")
        .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
        .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f"));
    let mut lines = vec![];
    for batch in batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .filter_map(|column| ArrayFormatter::try_new(column, &options).ok())
            .collect();
        for row in 0..batch.num_rows() {
            let values: Vec<_> = columns
                .iter()
                .map(|column| column.value(row).to_string())
                .collect();
            lines.push(values.join(", ").replace("1970-01-01 ", ""));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{Field, Schema, TimeUnit};

    use super::*;

    #[test]
    fn rows_read_are_the_rows_printed() {
        let schema = Arc::new(Schema::new(vec![
            Field::new(
                "at",
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
                true,
            ),
            Field::new("word", DataType::Utf8, true),
            Field::new("n", DataType::Int64, true),
        ]));
        let lines = ["00:00:01, a, 1".to_string(), "NULL, b, NULL".to_string()];
        assert_eq!(print(&[read(&lines, &schema).unwrap()]), lines);
    }

    #[test]
    fn a_value_that_does_not_fit_is_refused() {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        assert!(read(&["x".to_string()], &schema).is_err());
        assert!(read(&["1, 2".to_string()], &schema).is_err());
    }
}
