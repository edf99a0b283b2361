//! `spark.read.format("json").load(paths)`: files as a DataFusion table.
//!
//! The files are those of its index: as they were listed when the table was described, until it is
//! told to look again. Filters on partition columns leave out whole files.
use std::{any::Any, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{DFSchema, ScalarValue, internal_datafusion_err},
    datasource::{TableType, provider_as_source},
    error::{DataFusionError, Result},
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::{
        Expr, LogicalPlan, LogicalPlanBuilder, TableProviderFilterPushDown, utils::conjunction,
    },
    physical_plan::{
        ExecutionPlan,
        streaming::{PartitionStream, StreamingTableExec},
    },
};
use millstream_engine::{
    source::{InputPartition, ScanRequest, WatchedTable},
    time::ClockRef,
};

use super::{
    definition::{bases, infer, nullable, partition_columns, split_schema, value_rules},
    filter::only_uses,
    index::{FileIndex, Paths, find, locations},
    location::Location,
    options::{ListingOptions, Tolerance},
    scan::{FilePartition, FileReading, PlannedFile, pack},
};
use crate::{
    error::ConnectorError,
    format::{Direction, FileFormat, check_all_names, file_format},
    options::Options,
    settings::ConnectorSettings,
};

/// What `spark.read…load()` says.
#[derive(Debug, Clone)]
pub struct BatchReadRequest {
    /// Format name, in any case.
    pub format: String,
    /// Options as given.
    pub options: Options,
    /// Paths given to `load`.
    pub paths: Vec<String>,
    /// Schema given by the user.
    pub user_schema: Option<SchemaRef>,
    /// What the session decides.
    pub settings: ConnectorSettings,
    /// The time, for sink logs with a retention.
    pub clock: ClockRef,
}

/// Files as a table.
#[derive(Debug, Clone)]
pub struct FileTable {
    reading: Arc<FileReading>,
    /// Shared by all clones.
    index: Arc<FileIndex>,
    settings: ConnectorSettings,
}

impl FileTable {
    /// Finds the files and their columns.
    ///
    /// # Errors
    /// If a path does not exist, the directories contradict each other or no schema can be
    /// inferred.
    pub async fn resolve(request: &BatchReadRequest) -> Result<Self, ConnectorError> {
        let format = file_format(&request.format, &request.options, &request.settings.format)?;
        Self::with_format(request, format).await
    }

    pub(super) async fn with_format(
        request: &BatchReadRequest,
        format: Arc<dyn FileFormat>,
    ) -> Result<Self, ConnectorError> {
        let BatchReadRequest {
            options, settings, ..
        } = request;
        let locations = locations(request)?;
        let Some(first) = locations.first() else {
            return Err(ConnectorError::PathRequired);
        };
        let listing = ListingOptions::parse(options)?;
        let (found, by_log) = find(&locations, &listing, request).await?;
        let rules = value_rules(settings);
        let base = listing
            .base_path
            .as_deref()
            .map(Location::parse)
            .transpose()?;
        let bases = bases(base.as_ref().map(|base| base.path.as_str()), &found.roots)?;
        let partitions = partition_columns(&found.files, &bases, first, &listing, rules)?;
        let schema = match &request.user_schema {
            Some(schema) => nullable(schema),
            None => infer(format.as_ref(), &first.fs, found.files.clone()).await?,
        };
        check_all_names(schema.fields(), settings.format.case_sensitive)?;
        let (data_schema, partition_columns) =
            split_schema(&schema, partitions, settings.format.case_sensitive);
        format.check_schema(&data_schema, Direction::Read)?;
        let reading = FileReading {
            format,
            fs: first.fs.clone(),
            data_schema,
            partition_columns,
            rules,
            tolerance: Tolerance::parse(options, settings)?,
            with_metadata: false,
        };
        let reading = Arc::new(reading);
        let paths = Paths {
            request: request.clone(),
            locations,
            listing,
            bases,
        };
        let index = FileIndex::new(paths, Arc::clone(&reading), found, by_log)?;
        Ok(Self {
            reading,
            index: Arc::new(index),
            settings: settings.clone(),
        })
    }

    /// The same files, as listed before, read as `request` says, which differs in its settings at
    /// most.
    ///
    /// # Errors
    /// If the settings contradict the options.
    pub fn read_as(&self, request: &BatchReadRequest) -> Result<Self, ConnectorError> {
        let BatchReadRequest {
            options, settings, ..
        } = request;
        let reading = FileReading {
            format: file_format(&request.format, options, &settings.format)?,
            rules: value_rules(settings),
            tolerance: Tolerance::parse(options, settings)?,
            ..self.reading.as_ref().clone()
        };
        Ok(Self {
            reading: Arc::new(reading),
            index: Arc::clone(&self.index),
            settings: settings.clone(),
        })
    }

    /// Whether the files are those of a file sink's log.
    pub fn is_output_of_a_sink(&self) -> bool {
        self.index.is_by_log()
    }

    /// Lists the files anew, for all clones and for the queries that read them.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub async fn refresh(&self) -> Result<(), ConnectorError> {
        self.index.refresh().await
    }

    /// The same files, with the `_metadata` column as the last one.
    #[must_use]
    pub fn with_metadata_column(mut self) -> Self {
        let reading = FileReading {
            with_metadata: true,
            ..self.reading.as_ref().clone()
        };
        self.reading = Arc::new(reading);
        self
    }

    /// URLs of the files, in no order.
    pub fn input_files(&self) -> Vec<String> {
        let files = self.index.files();
        files.iter().map(|file| file.file.url.clone()).collect()
    }

    /// The table behind a provider, if it is one of files.
    pub fn of(provider: &Arc<dyn TableProvider>) -> Option<&Self> {
        let watched: &dyn Any = provider.as_ref();
        let inside: &dyn Any = watched.downcast_ref::<WatchedTable>()?.table().as_ref();
        inside.downcast_ref()
    }

    /// A plan that scans the table under `name`.
    ///
    /// # Errors
    /// If DataFusion refuses the schema.
    pub fn into_plan(self, name: &str) -> Result<LogicalPlan> {
        let watch = Arc::clone(&self.index);
        let watched = WatchedTable::new(Arc::new(self), watch);
        LogicalPlanBuilder::scan(name, provider_as_source(Arc::new(watched)), None)?.build()
    }

    /// The files whose partition values may satisfy the filters.
    fn pruned(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<PlannedFile>> {
        let files = self.index.files();
        let columns = &self.reading.partition_columns;
        let schema = Arc::new(Schema::new(columns.clone()));
        let usable = filters
            .iter()
            .filter(|filter| only_uses(filter, columns))
            .cloned();
        let Some(filter) = conjunction(usable) else {
            return Ok(files.to_vec());
        };
        let filter =
            state.create_physical_expr(filter, &DFSchema::try_from(Arc::clone(&schema))?)?;
        let values = partition_batch(&schema, &files)?;
        let verdicts = filter.evaluate(&values)?.into_array(files.len())?;
        let verdicts: &BooleanArray = verdicts
            .as_boolean_opt()
            .ok_or_else(|| internal_datafusion_err!("a filter is not a boolean"))?;
        let kept = files
            .iter()
            .zip(verdicts)
            .filter(|(_, verdict)| *verdict == Some(true));
        Ok(kept.map(|(file, _)| file.clone()).collect())
    }
}

/// The partition values of all files, a row each.
fn partition_batch(schema: &SchemaRef, files: &[PlannedFile]) -> Result<RecordBatch> {
    let column = |(i, field): (usize, &Arc<Field>)| -> Result<ArrayRef> {
        if matches!(field.data_type(), DataType::Null) || files.is_empty() {
            return Ok(arrow::array::new_null_array(field.data_type(), files.len()));
        }
        let null = ScalarValue::Null;
        ScalarValue::iter_to_array(
            files
                .iter()
                .map(|file| file.values.get(i).unwrap_or(&null).clone()),
        )
    };
    let columns = schema
        .fields()
        .iter()
        .enumerate()
        .map(column)
        .collect::<Result<_>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(files.len()));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns,
        &options,
    )?)
}

#[async_trait]
impl TableProvider for FileTable {
    fn schema(&self) -> SchemaRef {
        self.reading.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let columns = &self.reading.partition_columns;
        let verdict = |filter: &&Expr| match only_uses(filter, columns) {
            // Evaluated again above the scan: what is left out here is left out for certain.
            true => TableProviderFilterPushDown::Inexact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(verdict).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = self.reading.schema().fields().len();
        let projection = projection
            .cloned()
            .unwrap_or_else(|| (0..columns).collect());
        let schema = Arc::new(self.reading.schema().project(&projection)?);
        let settings = &self.settings;
        let partitions = pack(
            self.pruned(state, filters)?,
            settings.parallelism,
            settings.partition_bytes_max,
            settings.open_cost_bytes,
        );
        let stream = |files| -> Arc<dyn PartitionStream> {
            Arc::new(TablePartition {
                partition: FilePartition {
                    reading: Arc::clone(&self.reading),
                    files,
                },
                projection: projection.clone(),
                schema: Arc::clone(&schema),
            })
        };
        // A plan needs a partition, also when there is no file.
        let partitions = if partitions.is_empty() {
            vec![vec![]]
        } else {
            partitions
        };
        let streams = partitions.into_iter().map(stream).collect();
        let plan =
            StreamingTableExec::try_new(Arc::clone(&schema), streams, None, [], false, limit)?;
        Ok(Arc::new(plan))
    }
}

/// One partition of a scan.
#[derive(Debug)]
struct TablePartition {
    partition: FilePartition,
    projection: Vec<usize>,
    schema: SchemaRef,
}

impl PartitionStream for TablePartition {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let request = ScanRequest {
            projection: self.projection.clone(),
            schema: Arc::clone(&self.schema),
            filters: vec![],
            batch_size: context.session_config().batch_size(),
        };
        match self.partition.open(&request) {
            Ok(stream) => stream,
            Err(e) => {
                let error = Err(DataFusionError::External(e));
                crate::batches::lazily(Arc::clone(&self.schema), std::iter::once(error))
            }
        }
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
