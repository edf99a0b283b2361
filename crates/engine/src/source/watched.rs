//! Tables beside a stream whose rows may change while the query runs.
//!
//! The plan of a run is made once: which files a table has, or which rows, is decided as it is made, and a join keeps
//! what it has built of them. Spark plans every batch anew, so that its batches see what a table has become. A
//! [`WatchedTable`] can be asked whether it is what it was: only if it is not is the plan made again.
use std::{any::Any, fmt, sync::Arc};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{Result, tree_node::TreeNodeRecursion},
    datasource::{TableType, source_as_provider},
    error::DataFusionError,
    logical_expr::{Expr, LogicalPlan, TableProviderFilterPushDown},
    physical_plan::{ExecutionPlan, Statistics},
};

use crate::BoxError;

/// Tells one content of a table from another.
#[async_trait]
pub trait TableWatch: fmt::Debug + Send + Sync {
    /// A number that is another one as soon as a plan made now would read other rows, or fail to. It is asked for before
    /// every batch, so it costs far less than reading the table. A change that it does not show is not seen by the
    /// query.
    ///
    /// # Errors
    /// When it cannot be found out. A table that is gone is no error: reading it is.
    async fn stamp(&self) -> Result<u64, BoxError>;
}

/// A table that can be asked whether it has changed; else it is the table inside.
#[derive(Debug, Clone)]
pub struct WatchedTable {
    table: Arc<dyn TableProvider>,
    watch: Arc<dyn TableWatch>,
}

impl WatchedTable {
    /// `table`, of which `watch` knows when it changes.
    pub fn new(table: Arc<dyn TableProvider>, watch: Arc<dyn TableWatch>) -> Self {
        Self { table, watch }
    }

    /// The table inside.
    pub fn table(&self) -> &Arc<dyn TableProvider> {
        &self.table
    }

    /// What tells whether one of the tables that a plan reads has changed.
    pub(crate) fn watches(plan: &LogicalPlan) -> Result<Vec<Arc<dyn TableWatch>>> {
        let mut watches = vec![];
        plan.apply_with_subqueries(|plan| {
            if let LogicalPlan::TableScan(scan) = plan
                && let Ok(provider) = source_as_provider(&scan.source)
            {
                let any: &dyn Any = provider.as_ref();
                let watched = any.downcast_ref::<Self>();
                watches.extend(watched.map(|table| Arc::clone(&table.watch)));
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(watches)
    }
}

/// The stamps of several tables.
pub(crate) async fn stamps(watches: &[Arc<dyn TableWatch>]) -> Result<Vec<u64>> {
    let stamps = watches.iter().map(|watch| watch.stamp());
    futures::future::try_join_all(stamps)
        .await
        .map_err(DataFusionError::External)
}

#[async_trait]
impl TableProvider for WatchedTable {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn table_type(&self) -> TableType {
        self.table.table_type()
    }

    fn statistics(&self) -> Option<Statistics> {
        self.table.statistics()
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        self.table.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.table.scan(session, projection, filters, limit).await
    }
}
