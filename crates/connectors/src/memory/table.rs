//! The tables that memory sinks fill, as DataFusion tables.
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    datatypes::{Field, Schema, SchemaRef},
};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    datasource::memory::MemorySourceConfig,
    error::Result,
    logical_expr::{Expr, TableType},
    physical_plan::ExecutionPlan,
};
use millstream_engine::{BoxError, plan::OutputMode, source::TableWatch};

/// The output of one query so far.
#[derive(Debug)]
pub struct MemoryTable {
    schema: SchemaRef,
    content: RwLock<Content>,
}

#[derive(Debug, Default)]
struct Content {
    latest_batch: Option<u64>,
    rows: Vec<RecordBatch>,
}

impl MemoryTable {
    /// An empty table.
    pub fn new(schema: SchemaRef) -> Self {
        Self {
            schema,
            content: RwLock::default(),
        }
    }

    /// Columns of the table.
    pub fn table_schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The rows of all batches committed so far.
    pub fn rows(&self) -> Vec<RecordBatch> {
        self.content
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .rows
            .clone()
    }

    /// Adds a batch's rows, or puts them in the place of all others in complete mode. A batch that
    /// is there already is ignored: the query loop runs a batch again when it does not know whether
    /// it was committed.
    pub(super) fn add_batch(&self, batch_id: u64, mode: OutputMode, mut rows: Vec<RecordBatch>) {
        let mut content = self.content.write().unwrap_or_else(PoisonError::into_inner);
        if content
            .latest_batch
            .is_some_and(|latest| batch_id <= latest)
        {
            tracing::debug!(batch_id, "the memory sink has this batch already");
            return;
        }
        content.latest_batch = Some(batch_id);
        rows.retain(|batch| batch.num_rows() > 0);
        match mode {
            OutputMode::Append | OutputMode::Update => content.rows.extend(rows),
            OutputMode::Complete => content.rows = rows,
        }
    }
}

/// Every batch that was added made it another table.
#[async_trait]
impl TableWatch for MemoryTable {
    async fn stamp(&self) -> Result<u64, BoxError> {
        let content = self.content.read().unwrap_or_else(PoisonError::into_inner);
        Ok(content.latest_batch.map_or(0, |latest| latest + 1))
    }
}

#[async_trait]
impl TableProvider for MemoryTable {
    fn schema(&self) -> SchemaRef {
        self.table_schema()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = MemorySourceConfig::try_new_exec(
            &[self.rows()],
            self.table_schema(),
            projection.cloned(),
        )?;
        Ok(plan)
    }
}

/// A memory table whose columns are named by their positions: two columns of a query may have one name, those of a
/// DataFusion table may not.
#[derive(Debug)]
pub struct NumberedMemoryTable {
    table: Arc<MemoryTable>,
    schema: SchemaRef,
}

impl NumberedMemoryTable {
    /// The same table.
    pub fn new(table: Arc<MemoryTable>) -> Self {
        let fields = table.schema.fields().iter().enumerate();
        let numbered = fields.map(|(i, field)| Field::clone(field).with_name(i.to_string()));
        let schema = Arc::new(Schema::new(numbered.collect::<Vec<_>>()));
        Self { table, schema }
    }
}

#[async_trait]
impl TableProvider for NumberedMemoryTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let numbered = |rows: RecordBatch| {
            let count = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
            let columns = rows.columns().to_vec();
            RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &count)
        };
        let rows = self.table.rows().into_iter().map(numbered);
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        let schema = Arc::clone(&self.schema);
        let plan = MemorySourceConfig::try_new_exec(&[rows], schema, projection.cloned())?;
        Ok(plan)
    }
}

/// The memory tables of a session, by query name. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct MemoryTables(Arc<RwLock<HashMap<String, Arc<MemoryTable>>>>);

impl MemoryTables {
    /// Starts an empty table under `name`. The table of an earlier query of that name goes away, as
    /// a view that is created again does.
    pub fn create(&self, name: &str, schema: SchemaRef) -> Arc<MemoryTable> {
        let table = Arc::new(MemoryTable::new(schema));
        let mut tables = self.0.write().unwrap_or_else(PoisonError::into_inner);
        tables.insert(name.to_ascii_lowercase(), Arc::clone(&table));
        table
    }

    /// The table under `name`, whatever its case.
    pub fn get(&self, name: &str) -> Option<Arc<MemoryTable>> {
        let tables = self.0.read().unwrap_or_else(PoisonError::into_inner);
        tables.get(&name.to_ascii_lowercase()).cloned()
    }
}
