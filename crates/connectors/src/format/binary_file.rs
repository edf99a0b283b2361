//! The binaryFile format: a file is a row of path, modification time, length and content.
use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BinaryArray, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
        TimestampMicrosecondArray,
    },
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use async_trait::async_trait;
use datafusion::{
    execution::SendableRecordBatchStream, physical_plan::stream::RecordBatchStreamAdapter,
};

use super::{
    Direction, FileFormat, FileRef, FormatError, FormatScan, FormatWriter,
    input::read_raw,
    spark_type::{TIMESTAMP_ZONE, timestamp_type},
};

/// The `binaryFile` format; it only reads.
#[derive(Debug)]
pub struct BinaryFileFormat;

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("path", DataType::Utf8, true),
        Field::new("modificationTime", timestamp_type(), true),
        Field::new("length", DataType::Int64, true),
        Field::new("content", DataType::Binary, true),
    ])
}

#[async_trait]
impl FileFormat for BinaryFileFormat {
    fn name(&self) -> &'static str {
        "binaryFile"
    }

    async fn infer_schema(&self, _files: &[FileRef]) -> Result<SchemaRef, FormatError> {
        Ok(Arc::new(schema()))
    }

    fn check_schema(&self, _schema: &SchemaRef, direction: Direction) -> Result<(), FormatError> {
        match direction {
            Direction::Read => Ok(()),
            Direction::Write => Err(FormatError::Unsupported {
                feature: "writing binaryFile".to_owned(),
            }),
        }
    }

    fn open(
        &self,
        file: &FileRef,
        scan: &FormatScan,
    ) -> Result<SendableRecordBatchStream, FormatError> {
        let schema = scan.output_schema()?;
        let (wanted, file) = (Arc::clone(&schema), file.clone());
        let row = async move {
            let batch = row(&file, &wanted).await;
            batch.map_err(|e| e.in_file(&file.url).into())
        };
        let rows = futures::stream::once(row);
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    fn extension(&self) -> String {
        String::new()
    }

    fn writer(
        &self,
        schema: SchemaRef,
        _out: Box<dyn std::io::Write + Send>,
    ) -> Result<Box<dyn FormatWriter>, FormatError> {
        self.check_schema(&schema, Direction::Write)?;
        Err(FormatError::Unsupported {
            feature: "writing binaryFile".to_owned(),
        })
    }
}

/// The row of one file; its content is read only if wanted.
async fn row(file: &FileRef, schema: &SchemaRef) -> Result<RecordBatch, FormatError> {
    let mut columns: Vec<ArrayRef> = vec![];
    for field in schema.fields() {
        columns.push(match field.name().to_ascii_lowercase().as_str() {
            "path" => Arc::new(StringArray::from(vec![file.url.as_str()])),
            "modificationtime" => {
                let micros = file.modified_ms.saturating_mul(1000);
                let array = TimestampMicrosecondArray::from(vec![micros]);
                Arc::new(array.with_timezone(TIMESTAMP_ZONE))
            }
            "length" => Arc::new(Int64Array::from(vec![
                i64::try_from(file.size).unwrap_or(i64::MAX),
            ])),
            "content" => Arc::new(BinaryArray::from(vec![read_raw(file).await?.as_ref()])),
            other => {
                let feature = format!("column {other} of a binaryFile");
                return Err(FormatError::Unsupported { feature });
            }
        });
    }
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns,
        &options,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{
        FormatSettings,
        json::tests::{file_of, printed, read},
    };

    #[test]
    fn a_file_is_a_row() {
        let (_guard, file) = file_of(b"abc");
        let batches = read(
            &BinaryFileFormat,
            &file,
            Arc::new(schema()),
            Some(&["length", "content"]),
            1,
        )
        .unwrap();
        assert_eq!(
            printed(&batches, &FormatSettings::default()),
            [r#"{"length":3,"content":"YWJj"}"#]
        );
    }
}
