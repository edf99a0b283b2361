//! Reading files: the data columns from the format, partition columns from the path, `_metadata`
//! from the listing.
//!
//! Files are packed into partitions as Spark packs them, by size, each counted with what it costs
//! to open one. A file is never split: formats read whole files.
use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions, StructArray},
    datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit},
};
use datafusion::{
    common::ScalarValue, error::DataFusionError, execution::SendableRecordBatchStream,
    physical_plan::stream::RecordBatchStreamAdapter,
};
use futures::{StreamExt, TryStreamExt, stream};
use millstream_engine::{
    BoxError,
    source::{InputPartition, ScanRequest},
};

use super::{
    admission::NewFile,
    filter::{RowConditions, RowFilter},
    location::{FileSystem, name_of, parent_of},
    options::Tolerance,
    partition_values::{ValueRules, values_of},
};
use crate::{
    error::ConnectorError,
    format::{FileFormat, FileRef, FormatError, FormatScan},
};

/// Name of the column that tells where a row comes from.
pub const METADATA_COLUMN: &str = "_metadata";

/// The `_metadata` column: a struct that is never null.
pub fn metadata_field() -> Field {
    let marks = [
        ("__metadata_col", METADATA_COLUMN),
        ("__file_source_metadata_col", "true"),
    ];
    let marks: HashMap<_, _> = marks.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    Field::new(METADATA_COLUMN, DataType::Struct(metadata_fields()), false).with_metadata(marks)
}

fn metadata_fields() -> Fields {
    let timestamp = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Fields::from(vec![
        Field::new("file_path", DataType::Utf8, false),
        Field::new("file_name", DataType::Utf8, false),
        Field::new("file_size", DataType::Int64, false),
        Field::new("file_block_start", DataType::Int64, false),
        Field::new("file_block_length", DataType::Int64, false),
        Field::new("file_modification_time", timestamp, false),
    ])
}

/// How files are read, whichever they are.
#[derive(Debug, Clone)]
pub(super) struct FileReading {
    pub format: Arc<dyn FileFormat>,
    pub fs: FileSystem,
    /// Columns in the files.
    pub data_schema: SchemaRef,
    /// Columns in the paths.
    pub partition_columns: Vec<Field>,
    pub rules: ValueRules,
    pub tolerance: Tolerance,
    /// Whether rows have the `_metadata` column, as their last one.
    pub with_metadata: bool,
}

impl FileReading {
    /// Columns of a row: those of the files, of the paths, and `_metadata` if it is asked for.
    pub(super) fn schema(&self) -> SchemaRef {
        let mut fields: Vec<_> = self.data_schema.fields().iter().cloned().collect();
        fields.extend(self.partition_columns.iter().cloned().map(Arc::new));
        if self.with_metadata {
            fields.push(Arc::new(metadata_field()));
        }
        Arc::new(Schema::new(fields))
    }

    /// A file with the values that its path gives it.
    pub(super) fn plan(
        &self,
        file: NewFile,
        bases: &[String],
    ) -> Result<PlannedFile, ConnectorError> {
        let columns = &self.partition_columns;
        let values = values_of(parent_of(&file.path), bases, columns, self.rules)?;
        Ok(PlannedFile {
            file: FileRef {
                location: self.fs.file(&file.path),
                url: self.fs.url(&file.path),
                size: file.size,
                modified_ms: file.modified_ms,
            },
            values,
        })
    }

    /// What output column `column` is made of.
    fn origin(&self, column: usize) -> Origin {
        let data = self.data_schema.fields().len();
        match column.checked_sub(data) {
            None => Origin::Data(column),
            Some(partition) if partition < self.partition_columns.len() => {
                Origin::Partition(partition)
            }
            Some(_) => Origin::Metadata,
        }
    }

    /// Whether a failure to read one file only ends that file.
    fn tolerates(&self, error: &DataFusionError) -> bool {
        let DataFusionError::External(cause) = error.find_root() else {
            return false;
        };
        match cause.downcast_ref::<FormatError>() {
            Some(FormatError::FileNotFound { path }) if self.tolerance.missing => {
                tracing::warn!(path, "the file went away before it was read: skipped");
                true
            }
            Some(FormatError::ReadFile { path, source })
                if self.tolerance.corrupt
                    // A record that is malformed in FAILFAST mode is the user's wish to fail.
                    && !matches!(
                        source.downcast_ref(),
                        Some(FormatError::MalformedRecord { .. })
                    ) =>
            {
                tracing::warn!(path, error = %source, "skipped the rest of a corrupt file");
                true
            }
            _ => false,
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Origin {
    Data(usize),
    Partition(usize),
    Metadata,
}

/// A file to read.
#[derive(Debug, Clone)]
pub(super) struct PlannedFile {
    pub file: FileRef,
    /// Values of the partition columns.
    pub values: Vec<ScalarValue>,
}

impl PlannedFile {
    /// The `_metadata` of the file's rows.
    fn metadata(&self) -> Result<ScalarValue, DataFusionError> {
        // Here URLs of local files have one slash, elsewhere three. Spark is like that.
        let url = &self.file.url;
        let path = url
            .strip_prefix("file://")
            .map_or_else(|| url.clone(), |p| format!("file:{p}"));
        let size = i64::try_from(self.file.size).unwrap_or(i64::MAX);
        let modified = self.file.modified_ms.saturating_mul(1000);
        let values = [
            ScalarValue::from(path),
            ScalarValue::from(name_of(url)),
            ScalarValue::from(size),
            ScalarValue::from(0_i64),
            ScalarValue::from(size),
            ScalarValue::TimestampMicrosecond(Some(modified), Some("UTC".into())),
        ];
        let arrays = values
            .iter()
            .map(ScalarValue::to_array)
            .collect::<Result<Vec<_>, _>>()?;
        let row = StructArray::try_new(metadata_fields(), arrays, None)?;
        Ok(ScalarValue::Struct(Arc::new(row)))
    }
}

/// Some files, read one after the other.
#[derive(Debug)]
pub(super) struct FilePartition {
    pub reading: Arc<FileReading>,
    pub files: Vec<PlannedFile>,
}

impl InputPartition for FilePartition {
    fn open(&self, request: &ScanRequest) -> Result<SendableRecordBatchStream, BoxError> {
        let reading = &self.reading;
        let data = reading.data_schema.fields().len();
        let partitions = data..data + reading.partition_columns.len();
        // Columns that only conditions read come behind those that are returned.
        let mut read = request.projection.clone();
        let filter = RowFilter::new(
            &request.filters,
            RowConditions::of(reading.format.name()),
            partitions,
            &mut read,
        )?;
        let mut files = Vec::with_capacity(self.files.len());
        for file in &self.files {
            if filter.admits(&reading.partition_columns, &file.values)? {
                files.push(file.clone());
            }
        }
        let mut projection = Vec::new();
        let mut origins = Vec::with_capacity(read.len());
        for column in &read {
            let mut origin = reading.origin(*column);
            if let Origin::Data(in_file) = origin {
                origin = Origin::Data(projection.len());
                projection.push(in_file);
            }
            origins.push(origin);
        }
        let scan = FormatScan {
            data_schema: Arc::clone(&self.reading.data_schema),
            projection,
            batch_size: request.batch_size.max(1),
        };
        let rows = Arc::new(Rows {
            reading: Arc::clone(&self.reading),
            scan,
            origins,
            filter,
            returned: request.projection.len(),
            read: Arc::new(reading.schema().project(&read)?),
            schema: Arc::clone(&request.schema),
        });
        let batches = stream::iter(files)
            .map(move |file| Arc::clone(&rows).read(file))
            .flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&request.schema),
            batches,
        )))
    }
}

type Batches = stream::BoxStream<'static, Result<RecordBatch, DataFusionError>>;

/// A scan over files.
#[derive(Debug)]
struct Rows {
    reading: Arc<FileReading>,
    scan: FormatScan,
    origins: Vec<Origin>,
    filter: RowFilter,
    /// How many of the columns read are returned; the others are for the conditions.
    returned: usize,
    read: SchemaRef,
    schema: SchemaRef,
}

impl Rows {
    fn read(self: Arc<Self>, file: PlannedFile) -> Batches {
        let opened = self.reading.format.open(&file.file, &self.scan);
        let batches = match opened {
            Ok(batches) => batches,
            Err(e) => return stream::once(async { Err(e.into()) }).boxed(),
        };
        let rows = Arc::clone(&self);
        let batches =
            batches.and_then(move |batch| futures::future::ready(rows.complete(&batch, &file)));
        // A tolerated failure ends this file's rows, and the next file follows.
        let rows = self;
        batches
            .scan((), move |(), batch| {
                let ends = batch.as_ref().is_err_and(|e| rows.reading.tolerates(e));
                futures::future::ready((!ends).then_some(batch))
            })
            .boxed()
    }

    /// Adds the columns that are not in the file.
    fn complete(
        &self,
        batch: &RecordBatch,
        file: &PlannedFile,
    ) -> Result<RecordBatch, DataFusionError> {
        let count = batch.num_rows();
        let column = |origin: &Origin| -> Result<ArrayRef, DataFusionError> {
            match *origin {
                Origin::Data(i) => Ok(Arc::clone(batch.column(i))),
                Origin::Partition(i) => match file.values.get(i) {
                    Some(value) => value.to_array_of_size(count),
                    None => ScalarValue::Null.to_array_of_size(count),
                },
                Origin::Metadata => file.metadata()?.to_array_of_size(count),
            }
        };
        let columns = self
            .origins
            .iter()
            .map(column)
            .collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.read), columns, &options)?;
        let rows = self.filter.apply(rows)?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let columns = rows.columns().get(..self.returned).unwrap_or_default();
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            columns.to_vec(),
            &options,
        )?)
    }
}

/// Deals files out to partitions of about equal cost, large files first.
pub(super) fn pack(
    mut files: Vec<PlannedFile>,
    parallelism: usize,
    partition_bytes_max: u64,
    open_cost_bytes: u64,
) -> Vec<Vec<PlannedFile>> {
    let cost = |file: &PlannedFile| file.file.size.saturating_add(open_cost_bytes);
    let total = files.iter().map(cost).fold(0, u64::saturating_add);
    let share = total / (parallelism.max(1) as u64);
    let bytes_max = partition_bytes_max.min(open_cost_bytes.max(share));
    files.sort_by_key(|file| std::cmp::Reverse(file.file.size));
    let mut partitions = Vec::new();
    let mut open: Vec<PlannedFile> = Vec::new();
    let mut bytes: u64 = 0;
    for file in files {
        if !open.is_empty() && bytes.saturating_add(file.file.size) > bytes_max {
            partitions.push(std::mem::take(&mut open));
            bytes = 0;
        }
        bytes = bytes.saturating_add(cost(&file));
        open.push(file);
    }
    if !open.is_empty() {
        partitions.push(open);
    }
    partitions
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
