//! The physical side of a deduplication: one state partition per plan partition.
use std::{fmt, sync::Arc, time::Instant};

use arrow::{
    array::{BooleanArray, RecordBatch},
    compute::{BatchCoalescer, filter_record_batch},
    datatypes::{Schema, SchemaRef},
};
use datafusion::{
    common::{Result, tree_node::TreeNodeRecursion},
    execution::{
        SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use millstream_state::{DEFAULT_STORE, StateStoreGuard, StateStoreId};

use super::seen::{Expiry, Seen, event_times};
use crate::{
    batch::{BatchContext, external},
    operator::{KeepsState, OperatorMetrics, OperatorStore, exchange::only_child},
    time::BatchWatermarks,
};

/// Which of the input's columns matter to a deduplication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Columns {
    /// Number of leading columns that are the key.
    pub keys: usize,
    /// The column by which rows are late.
    pub event_time: Option<usize>,
}

/// Lets the first row of each key through and keeps the keys in state.
#[derive(Debug, Clone)]
pub struct StateDeduplicateExec {
    /// Rows, key columns first, in the partition that owns their key.
    input: Arc<dyn ExecutionPlan>,
    columns: Columns,
    key: SchemaRef,
    expiry: Expiry,
    operator_id: u32,
    properties: Arc<PlanProperties>,
}

impl StateDeduplicateExec {
    /// Puts the operator over `input`; its output `schema` differs from the input's in metadata only.
    pub(super) fn try_new(
        input: Arc<dyn ExecutionPlan>,
        schema: SchemaRef,
        columns: Columns,
        expiry: Expiry,
        operator_id: u32,
    ) -> Result<Self> {
        let key_fields: Vec<_> = schema.fields().iter().take(columns.keys).cloned().collect();
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(schema),
            input.output_partitioning().clone(),
            input.pipeline_behavior(),
            input.boundedness(),
        ));
        Ok(Self {
            input,
            columns,
            key: Arc::new(Schema::new(key_fields)),
            expiry,
            operator_id,
            properties,
        })
    }
}

impl KeepsState for StateDeduplicateExec {
    fn stores(&self) -> Vec<OperatorStore> {
        vec![OperatorStore {
            operator_id: self.operator_id,
            name: DEFAULT_STORE,
            schema: self.expiry.state(&self.key),
            placed_by: self.columns.keys,
        }]
    }
}

impl DisplayAs for StateDeduplicateExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "StateDeduplicateExec: operator={}, keys={}, expiry=",
            self.operator_id, self.columns.keys
        )?;
        match self.expiry {
            Expiry::Never => f.write_str("never"),
            Expiry::OfKey { .. } => f.write_str("event time of the key"),
            Expiry::AfterDelay { delay_ms, .. } => write!(f, "{delay_ms}ms after the first row"),
        }
    }
}

impl ExecutionPlan for StateDeduplicateExec {
    fn name(&self) -> &str {
        "StateDeduplicateExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self {
            input: only_child(children)?,
            ..self.as_ref().clone()
        }))
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let batch = BatchContext::of(&context)?;
        let input = self.input.execute(partition, Arc::clone(&context))?;
        let memory = MemoryConsumer::new(format!(
            "StateDeduplicate[{}, {partition}]",
            self.operator_id
        ))
        .register(context.memory_pool());
        let run = PartitionRun {
            seen: Seen::try_new(Arc::clone(&self.key), self.expiry)?,
            schema: self.schema(),
            columns: self.columns,
            expiry: self.expiry,
            id: StateStoreId::new(self.operator_id, partition as u32),
            batch,
            memory,
            batch_size: context.session_config().batch_size(),
            metrics: OperatorMetrics::default(),
            duplicates: 0,
            arrived: vec![],
        };
        let rows = stream::once(run.update(input)).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}

/// One partition of the operator in one batch.
struct PartitionRun {
    seen: Seen,
    schema: SchemaRef,
    columns: Columns,
    expiry: Expiry,
    id: StateStoreId,
    batch: Arc<BatchContext>,
    memory: MemoryReservation,
    batch_size: usize,
    metrics: OperatorMetrics,
    duplicates: u64,
    /// First arrivals, held until state is durable.
    arrived: Vec<RecordBatch>,
}

impl PartitionRun {
    fn watermarks(&self) -> BatchWatermarks {
        self.batch.watermarks_of(self.id.operator_id)
    }

    /// Reads the input, writes and commits state; what arrived first streams out after that, so that a reader that wants
    /// only some rows (a limit) leaves nothing uncommitted.
    async fn update(
        mut self,
        mut input: SendableRecordBatchStream,
    ) -> Result<impl Stream<Item = Result<RecordBatch>>> {
        let registry = Arc::clone(&self.batch.state);
        let mut store = registry
            .checkout(&self.id, self.seen.state(), self.batch.batch_id)
            .await
            .map_err(external)?;
        // Behind an exchange rows come in crumbs; a look-up costs what a batch costs.
        let mut gathered = BatchCoalescer::new(Arc::clone(&self.schema), self.batch_size);
        while let Some(rows) = input.next().await {
            let rows = self.drop_late(rows?)?;
            gathered.push_batch(rows)?;
            while let Some(rows) = gathered.next_completed_batch() {
                self.take_first(rows, &mut store)?;
            }
        }
        gathered.finish_buffered_batch()?;
        while let Some(rows) = gathered.next_completed_batch() {
            self.take_first(rows, &mut store)?;
        }
        self.evict(&mut store)?;
        self.commit(store).await
    }

    /// The rows that are not late, late ones counted, under the operator's own schema.
    fn drop_late(&mut self, rows: RecordBatch) -> Result<RecordBatch> {
        let rows = rows.with_schema(Arc::clone(&self.schema))?;
        let Some(column) = self.columns.event_time else {
            return Ok(rows);
        };
        let late_us = self.watermarks().late_ms.saturating_mul(1000);
        // A row without event time is never late: there is nothing to compare.
        let keep: BooleanArray = event_times(&rows, column)?
            .iter()
            .map(|at| Some(at.is_none_or(|at| at > late_us)))
            .collect();
        let late = rows.num_rows() - keep.true_count();
        if late == 0 {
            return Ok(rows);
        }
        self.metrics.rows_dropped_by_watermark += late as u64;
        Ok(filter_record_batch(&rows, &keep)?)
    }

    fn take_first(&mut self, rows: RecordBatch, store: &mut StateStoreGuard) -> Result<()> {
        let started = Instant::now();
        let all = rows.num_rows();
        let first = self.seen.first_arrivals(rows, &mut **store)?;
        self.metrics.rows_updated += first.num_rows() as u64;
        self.duplicates += (all - first.num_rows()) as u64;
        self.metrics.updates_us += micros_since(started);
        if first.num_rows() > 0 {
            self.memory.try_grow(first.get_array_memory_size())?;
            self.arrived.push(first);
        }
        Ok(())
    }

    fn evict(&mut self, store: &mut StateStoreGuard) -> Result<()> {
        if self.expiry == Expiry::Never {
            return Ok(());
        }
        let started = Instant::now();
        let threshold = self.watermarks().eviction_ms.saturating_mul(1000);
        self.metrics.rows_removed = store.drop_expired(threshold).map_err(external)?;
        self.metrics.removals_us = micros_since(started);
        Ok(())
    }

    async fn commit(
        mut self,
        mut store: StateStoreGuard,
    ) -> Result<impl Stream<Item = Result<RecordBatch>>> {
        let started = Instant::now();
        store.commit().await.map_err(external)?;
        self.metrics.commit_us = micros_since(started);
        self.metrics.add_store(self.id.clone(), &store.metrics());
        self.metrics.partitions = 1;
        let count = |rows: u64| i64::try_from(rows).unwrap_or(i64::MAX);
        self.metrics.custom.extend([
            ("numDroppedDuplicateRows", count(self.duplicates)),
            // Eviction looks at what it evicts, and is done in one go.
            (
                "numRowsReadDuringEviction",
                count(self.metrics.rows_removed),
            ),
            ("numRowsIncrementallyRemoved", 0),
        ]);
        self.batch
            .observations
            .merge_operator(self.id.operator_id, self.metrics);
        // The reservation goes with the rows.
        let held = (self.arrived.into_iter(), self.memory);
        Ok(stream::unfold(held, |(mut rows, memory)| async move {
            let next = rows.next()?;
            Some((Ok(next), (rows, memory)))
        }))
    }
}

fn micros_since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}
