//! `ignoreMissingFiles` and `ignoreCorruptFiles`: a file that cannot be read ends early instead of failing
//! the query. Rows read before the failure stay, as in Spark; every file given up on is logged.
use std::{io::Write, sync::Arc};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::{
    error::DataFusionError, execution::SendableRecordBatchStream,
    physical_plan::stream::RecordBatchStreamAdapter,
};
use futures::StreamExt;

use super::{Direction, FileFormat, FileRef, FormatError, FormatScan, FormatWriter};

/// A format that gives up on files instead of failing.
#[derive(Debug)]
pub(super) struct Tolerant {
    pub(super) inner: Arc<dyn FileFormat>,
    pub(super) missing: bool,
    pub(super) corrupt: bool,
}

impl Tolerant {
    fn forgives(missing: bool, corrupt: bool, error: &FormatError) -> bool {
        match error {
            FormatError::FileNotFound { .. } => missing,
            FormatError::ReadFile { .. } => corrupt,
            _ => false,
        }
    }
}

#[async_trait]
impl FileFormat for Tolerant {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn infer_schema(&self, files: &[FileRef]) -> Result<SchemaRef, FormatError> {
        let mut readable = vec![];
        for file in files {
            match self.inner.infer_schema(std::slice::from_ref(file)).await {
                Err(e) if Self::forgives(self.missing, self.corrupt, &e) => {
                    tracing::warn!(file = file.url, error = %e, "skipped a file");
                }
                _ => readable.push(file.clone()),
            }
        }
        self.inner.infer_schema(&readable).await
    }

    fn check_schema(&self, schema: &SchemaRef, direction: Direction) -> Result<(), FormatError> {
        self.inner.check_schema(schema, direction)
    }

    fn open(
        &self,
        file: &FileRef,
        scan: &FormatScan,
    ) -> Result<SendableRecordBatchStream, FormatError> {
        let (missing, corrupt) = (self.missing, self.corrupt);
        let url = file.url.clone();
        let batches = self.inner.open(file, scan)?;
        let schema = scan.output_schema()?;
        let batches = batches.scan((), move |(), batch| {
            let forgiven = match &batch {
                Err(DataFusionError::External(e)) => e
                    .downcast_ref::<FormatError>()
                    .filter(|e| Self::forgives(missing, corrupt, e)),
                _ => None,
            };
            if let Some(error) = forgiven {
                tracing::warn!(file = url, %error, "gave up on a file");
                return futures::future::ready(None);
            }
            futures::future::ready(Some(batch))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }

    fn extension(&self) -> String {
        self.inner.extension()
    }

    fn writer(
        &self,
        schema: SchemaRef,
        out: Box<dyn Write + Send>,
    ) -> Result<Box<dyn FormatWriter>, FormatError> {
        self.inner.writer(schema, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{
        FormatSettings, Options, file_format,
        json::tests::{file_of, printed, read},
        spark_type::schema_from_json,
    };

    fn rows(options: &[(&str, &str)], file: &FileRef) -> Result<Vec<String>, String> {
        let options: Options = options.iter().copied().collect();
        let format = file_format("json", &options, &FormatSettings::default()).unwrap();
        let json = serde_json::json!({"fields": [{"name": "n", "type": "long"}]});
        let schema = Arc::new(schema_from_json(&json).unwrap());
        Ok(printed(
            &read(format.as_ref(), file, schema, None, 1)?,
            &FormatSettings::default(),
        ))
    }

    #[test]
    fn a_vanished_file_is_empty_only_if_asked_for() {
        let (guard, file) = file_of(b"{\"n\":1}");
        drop(guard);
        assert!(rows(&[], &file).is_err());
        assert!(rows(&[("ignoreCorruptFiles", "true")], &file).is_err());
        assert_eq!(rows(&[("ignoreMissingFiles", "true")], &file), Ok(vec![]));
    }

    #[test]
    fn a_corrupt_file_keeps_the_rows_before_the_damage() {
        let (_guard, file) = file_of(b"{\"n\":1}\nbad\n{\"n\":2}");
        let asked = [("mode", "FAILFAST"), ("ignoreCorruptFiles", "true")];
        assert!(rows(&asked[..1], &file).is_err());
        assert_eq!(rows(&asked, &file), Ok(vec![r#"{"n":1}"#.to_owned()]));
    }
}
