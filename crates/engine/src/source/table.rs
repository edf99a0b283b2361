//! The streaming leaf of a logical plan: a table whose rows arrive batch by batch.
use std::{
    any::Any,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{DFSchema, Result, stats::Precision},
    datasource::{TableType, provider_as_source},
    logical_expr::{
        Expr, LogicalPlan, LogicalPlanBuilder, TableProviderFilterPushDown, TableSource,
    },
    physical_plan::{ExecutionPlan, Statistics},
};

use super::{
    SourceDefinition,
    scan::{ScanOf, StreamScanExec},
};

/// Identity of a streaming relation: two loads of one path are two relations, one relation used twice is one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelationId(u64);

impl RelationId {
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A streaming relation in a plan. Before a run it only stands for its definition; [`StreamTable::bound`] gives it the
/// source index under which the batches of a run deliver its input.
#[derive(Clone)]
pub struct StreamTable {
    relation: RelationId,
    definition: Arc<dyn SourceDefinition>,
    binding: Option<Binding>,
}

#[derive(Debug, Clone, Copy)]
struct Binding {
    source: usize,
    partitions: usize,
}

impl StreamTable {
    /// A new relation over a source definition.
    pub fn new(definition: Arc<dyn SourceDefinition>) -> Self {
        Self {
            relation: RelationId::next(),
            definition,
            binding: None,
        }
    }

    /// A plan that scans this relation.
    pub fn scan_plan(self) -> Result<LogicalPlan> {
        let name = self.definition.format().to_string();
        LogicalPlanBuilder::scan(name, provider_as_source(Arc::new(self)), None)?.build()
    }

    /// The streaming relation behind a table source, if it is one.
    pub fn of(source: &Arc<dyn TableSource>) -> Option<Self> {
        let provider = datafusion::datasource::source_as_provider(source).ok()?;
        let any: &dyn Any = provider.as_ref();
        any.downcast_ref::<Self>().cloned()
    }

    /// Which relation this is.
    pub fn relation(&self) -> RelationId {
        self.relation
    }

    /// What it reads.
    pub fn definition(&self) -> &Arc<dyn SourceDefinition> {
        &self.definition
    }

    /// The same relation as source number `source` of a run, scanned by `partitions` partitions.
    pub fn bound(&self, source: usize, partitions: usize) -> Self {
        Self {
            binding: Some(Binding { source, partitions }),
            ..self.clone()
        }
    }
}

impl fmt::Debug for StreamTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamTable")
            .field("format", &self.definition.format())
            .field("relation", &self.relation)
            .field("binding", &self.binding)
            .finish()
    }
}

#[async_trait]
impl TableProvider for StreamTable {
    fn schema(&self) -> SchemaRef {
        self.definition.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// A stream is never the build side of a join: what it brings is not known, what a table holds is.
    fn statistics(&self) -> Option<Statistics> {
        Some(huge(&self.schema()))
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|filter| self.definition.applies(filter))
            .collect())
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(binding) = self.binding else {
            return datafusion::common::plan_err!(
                "queries with streaming sources must be executed with writeStream.start()"
            );
        };
        let projection = match projection {
            Some(columns) => columns.clone(),
            None => (0..self.schema().fields().len()).collect(),
        };
        let columns = DFSchema::try_from(self.schema())?;
        let filters = filters
            .iter()
            .map(|filter| session.create_physical_expr(filter.clone(), &columns))
            .collect::<Result<_>>()?;
        let scan = ScanOf {
            format: self.definition.format().to_string(),
            source: binding.source,
            projection,
            filters,
        };
        let exec = StreamScanExec::try_new(scan, &self.schema(), binding.partitions)?;
        Ok(Arc::new(exec))
    }
}

/// Statistics that make the optimizer take everything else for smaller.
pub(super) fn huge(schema: &SchemaRef) -> Statistics {
    let mut statistics = Statistics::new_unknown(schema);
    statistics.num_rows = Precision::Inexact(usize::MAX >> 16);
    statistics.total_byte_size = Precision::Inexact(usize::MAX >> 8);
    statistics
}
