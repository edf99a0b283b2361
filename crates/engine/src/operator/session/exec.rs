//! The physical side of an aggregation by session: one state partition per plan partition.
use std::{fmt, sync::Arc, time::Instant};

use arrow::{
    array::{AsArray, BooleanArray, RecordBatch, UInt32Array},
    compute::{concat_batches, filter_record_batch, take_record_batch},
    datatypes::{Schema, SchemaRef, TimestampMicrosecondType},
};
use datafusion::{
    common::{Result, internal_datafusion_err, tree_node::TreeNodeRecursion},
    execution::{
        SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
    physical_expr::{EquivalenceProperties, PhysicalExpr, aggregate::AggregateFunctionExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt, TryStreamExt, stream};
use millstream_state::{DEFAULT_STORE, StateSchema, StateStoreGuard, StateStoreId};

use super::merge::Merge;
use crate::{
    batch::{BatchContext, external},
    operator::{
        KeepsState, OperatorMetrics, OperatorStore,
        aggregate::{
            accumulators::Aggregates,
            groups::{Groups, finish, project, slices},
            micros_since,
        },
        exchange::only_child,
    },
    plan::OutputMode,
    time::BatchWatermarks,
};

/// What an operator by session is, beside its functions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sessions {
    /// Number of leading key columns, the session not counted.
    pub keys: usize,
    /// Whether the sessions carry event time.
    pub watermarked: bool,
    /// What comes out.
    pub output_mode: OutputMode,
    /// Stable id.
    pub operator_id: u32,
}

impl Sessions {
    /// Start and end.
    pub const COLUMNS: usize = 2;

    /// Number of key columns in state.
    fn width(self) -> usize {
        self.keys + Self::COLUMNS
    }

    /// The column of the end.
    pub fn end(self) -> usize {
        self.keys + 1
    }
}

/// Merges the sessions of a batch with those in state and puts them out by output mode.
#[derive(Debug, Clone)]
pub struct SessionAggregateExec {
    /// Partial groups: key columns, start, end, then state columns.
    input: Arc<dyn ExecutionPlan>,
    aggregates: Aggregates,
    state: StateSchema,
    sessions: Sessions,
    properties: Arc<PlanProperties>,
}

impl SessionAggregateExec {
    pub(super) fn try_new(
        input: Arc<dyn ExecutionPlan>,
        sessions: Sessions,
        functions: Vec<Arc<AggregateFunctionExpr>>,
        schema: SchemaRef,
    ) -> Result<Self> {
        let aggregates = Aggregates::try_new(functions)?;
        let fields = input.schema();
        let key_fields: Vec<_> = fields
            .fields()
            .iter()
            .take(sessions.width())
            .cloned()
            .collect();
        let mut state = StateSchema::new(
            Arc::new(Schema::new(key_fields)),
            Arc::clone(aggregates.state_schema()),
        )
        .with_prefix(sessions.keys);
        // Complete mode keeps everything, so there is nothing to evict by.
        if sessions.watermarked && sessions.output_mode != OutputMode::Complete {
            state = state.with_event_time(sessions.end());
        }
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(schema),
            input.output_partitioning().clone(),
            input.pipeline_behavior(),
            input.boundedness(),
        ));
        Ok(Self {
            input,
            aggregates,
            state,
            sessions,
            properties,
        })
    }
}

impl KeepsState for SessionAggregateExec {
    fn stores(&self) -> Vec<OperatorStore> {
        // Sessions of a key merge, so they are together.
        vec![OperatorStore {
            operator_id: self.sessions.operator_id,
            name: DEFAULT_STORE,
            schema: self.state.clone(),
            placed_by: self.sessions.keys,
        }]
    }
}

impl DisplayAs for SessionAggregateExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let functions = self.aggregates.functions();
        let names: Vec<_> = functions.iter().map(|function| function.name()).collect();
        write!(
            f,
            "SessionAggregateExec: operator={}, mode={}, keys={}, aggregates=[{}]",
            self.sessions.operator_id,
            self.sessions.output_mode,
            self.sessions.keys,
            names.join(", ")
        )
    }
}

impl ExecutionPlan for SessionAggregateExec {
    fn name(&self) -> &str {
        "SessionAggregateExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
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
        let operator_id = self.sessions.operator_id;
        let memory = MemoryConsumer::new(format!("SessionAggregate[{operator_id}, {partition}]"))
            .register(context.memory_pool());
        let run = PartitionRun {
            exec: self.clone(),
            id: StateStoreId::new(operator_id, partition as u32),
            batch,
            memory,
            batch_size: context.session_config().batch_size(),
            metrics: OperatorMetrics::default(),
        };
        let rows = stream::once(run.update(input)).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}

/// One partition of the operator in one batch.
struct PartitionRun {
    exec: SessionAggregateExec,
    id: StateStoreId,
    batch: Arc<BatchContext>,
    memory: MemoryReservation,
    batch_size: usize,
    metrics: OperatorMetrics,
}

impl PartitionRun {
    fn watermarks(&self) -> BatchWatermarks {
        self.batch.watermarks_of(self.id.operator_id)
    }

    /// Reads the input, writes and commits state; the output streams from what the batch decided.
    async fn update(
        mut self,
        input: SendableRecordBatchStream,
    ) -> Result<impl futures::Stream<Item = Result<RecordBatch>>> {
        let registry = Arc::clone(&self.batch.state);
        let mut store = registry
            .checkout(&self.id, &self.exec.state, self.batch.batch_id)
            .await
            .map_err(external)?;
        let parts = self.collect(input).await?;
        let started = Instant::now();
        if parts.num_rows() > 0 {
            self.merge(&parts, &mut store)?;
        }
        self.metrics.updates_us += micros_since(started);
        let sessions = self.output(&mut store)?;
        // What comes out is decided, and held in memory: state is durable before the first row leaves.
        let aggregates = self.exec.aggregates.clone();
        let schema = self.exec.schema();
        let (keys, batch_size) = (self.exec.sessions.width(), self.batch_size);
        self.commit(store).await?;
        let pieces: Vec<_> = sessions
            .iter()
            .flat_map(|rows| slices(rows, batch_size))
            .collect();
        Ok(stream::iter(pieces).map(move |piece| finish(&aggregates, &schema, keys, &piece)))
    }

    /// The batch's partial groups that are not late.
    async fn collect(&mut self, mut input: SendableRecordBatchStream) -> Result<RecordBatch> {
        let mut kept = vec![];
        let schema = input.schema();
        while let Some(rows) = input.next().await {
            let rows = self.drop_late(rows?)?;
            if rows.num_rows() > 0 {
                self.memory.try_grow(rows.get_array_memory_size())?;
                kept.push(rows);
            }
        }
        Ok(concat_batches(&schema, &kept)?)
    }

    /// The rows that are not late, late ones counted.
    fn drop_late(&mut self, rows: RecordBatch) -> Result<RecordBatch> {
        if !self.exec.sessions.watermarked {
            return Ok(rows);
        }
        let late_us = self.watermarks().late_ms.saturating_mul(1000);
        let ends = rows
            .columns()
            .get(self.exec.sessions.end())
            .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>())
            .ok_or_else(|| internal_datafusion_err!("the end of a session is not a timestamp"))?;
        let keep: BooleanArray = ends
            .iter()
            .map(|end| Some(end.is_some_and(|end| end > late_us)))
            .collect();
        let kept = keep.true_count();
        if kept == rows.num_rows() {
            return Ok(rows);
        }
        self.metrics.rows_dropped_by_watermark += (rows.num_rows() - kept) as u64;
        Ok(filter_record_batch(&rows, &keep)?)
    }

    /// Merges the batch's sessions with those that their keys have in state, and writes what that changed.
    fn merge(&mut self, parts: &RecordBatch, store: &mut StateStoreGuard) -> Result<()> {
        let (keys, width) = (self.exec.sessions.keys, self.exec.sessions.width());
        let schema = Arc::new(
            self.exec
                .state
                .key
                .project(&(0..keys).collect::<Vec<_>>())?,
        );
        let mut groups = Groups::try_new(&schema)?;
        groups.assign(&project(parts, &schema, 0..keys)?)?;
        let numbers: Vec<u32> = groups.of_rows().iter().map(|group| *group as u32).collect();
        let asked = groups.into_keys(&schema)?;
        let stored = store.prefix_scan(&asked).map_err(external)?;
        self.memory
            .try_grow(stored.entries.get_array_memory_size())?;
        let merge = Merge::of(parts, &numbers, &stored, keys)?;
        let merged = merge.apply(parts, &stored.entries, &self.exec.aggregates, keys)?;

        let outdated = project(&stored.entries, &self.exec.state.key, 0..width)?;
        let outdated = take_record_batch(&outdated, &UInt32Array::from(merge.outdated))?;
        store.delete(&outdated).map_err(external)?;
        let key = project(&merged, &self.exec.state.key, 0..width)?;
        let states = project(
            &merged,
            self.exec.aggregates.state_schema(),
            width..merged.num_columns(),
        )?;
        store.put(&key, &states).map_err(external)?;
        // Spark writes all sessions of a key that the batch has rows for, changed or not.
        self.metrics.rows_updated += merge.sessions;
        self.metrics.rows_removed += merge.removed;
        Ok(())
    }

    /// The sessions that the output mode puts out, as keys and states, after eviction.
    fn output(&mut self, store: &mut StateStoreGuard) -> Result<Vec<RecordBatch>> {
        let started = Instant::now();
        let threshold = self.watermarks().eviction_ms.saturating_mul(1000);
        let sessions = match self.exec.sessions.output_mode {
            OutputMode::Complete => store.scan().map_err(external)?,
            _ if self.exec.state.event_time.is_some() => {
                let evicted = store.evict(threshold).map_err(external)?;
                self.metrics.rows_removed += evicted
                    .iter()
                    .map(|rows| rows.num_rows() as u64)
                    .sum::<u64>();
                evicted
            }
            _ => vec![],
        };
        self.metrics.removals_us = micros_since(started);
        Ok(sessions)
    }

    async fn commit(mut self, mut store: StateStoreGuard) -> Result<()> {
        let started = Instant::now();
        store.commit().await.map_err(external)?;
        self.metrics.commit_us = micros_since(started);
        self.metrics.add_store(self.id.clone(), &store.metrics());
        self.metrics.partitions = 1;
        self.batch
            .observations
            .merge_operator(self.id.operator_id, self.metrics);
        Ok(())
    }
}
