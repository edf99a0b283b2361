//! The physical side of a streaming aggregation: one state partition per plan partition.
use std::{fmt, sync::Arc, time::Instant};

use arrow::{
    array::{ArrayRef, AsArray, BooleanArray, RecordBatch},
    compute::{concat, filter_record_batch},
    datatypes::{Field, Schema, SchemaRef, TimestampMicrosecondType},
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

use super::{
    accumulators::Aggregates,
    groups::{Groups, beside, finish, project, slices},
};
use crate::{
    batch::{BatchContext, external},
    operator::{KeepsState, OperatorMetrics, OperatorStore, exchange::only_child},
    plan::OutputMode,
    time::BatchWatermarks,
};

/// Merges the partial groups of a batch into state and puts out groups by output mode.
#[derive(Debug, Clone)]
pub struct StateAggregateExec {
    /// Partial groups: key columns, then state columns.
    input: Arc<dyn ExecutionPlan>,
    aggregates: Aggregates,
    state: StateSchema,
    output_mode: OutputMode,
    operator_id: u32,
    properties: Arc<PlanProperties>,
}

impl StateAggregateExec {
    /// Puts the aggregation over `input`, whose first `keys` columns are the key, of which column `event_time` evicts.
    pub fn try_new(
        input: Arc<dyn ExecutionPlan>,
        keys: usize,
        functions: Vec<Arc<AggregateFunctionExpr>>,
        event_time: Option<usize>,
        output_mode: OutputMode,
        operator_id: u32,
        schema: SchemaRef,
    ) -> Result<Self> {
        let aggregates = Aggregates::try_new(functions)?;
        // Under the output's names, which readers of state files see.
        let key_fields = input.schema();
        let key_fields: Vec<Field> = key_fields
            .fields()
            .iter()
            .take(keys)
            .zip(schema.fields())
            .map(
                |(field, named)| match field.data_type() == named.data_type() {
                    true => Field::clone(field).with_name(named.name()),
                    false => Field::clone(field),
                },
            )
            .collect();
        let mut state = StateSchema::new(
            Arc::new(Schema::new(key_fields)),
            Arc::clone(aggregates.state_schema()),
        );
        // Complete mode keeps everything, so there is nothing to evict by.
        if let (Some(column), false) = (event_time, output_mode == OutputMode::Complete) {
            state = state.with_event_time(column);
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
            output_mode,
            operator_id,
            properties,
        })
    }
}

impl KeepsState for StateAggregateExec {
    fn stores(&self) -> Vec<OperatorStore> {
        vec![OperatorStore {
            operator_id: self.operator_id,
            name: DEFAULT_STORE,
            schema: self.state.clone(),
            placed_by: self.state.key.fields().len(),
        }]
    }
}

impl DisplayAs for StateAggregateExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let functions: Vec<_> = self
            .aggregates
            .functions()
            .iter()
            .map(|function| function.name())
            .collect();
        write!(
            f,
            "StateAggregateExec: operator={}, mode={}, keys={}, aggregates=[{}]",
            self.operator_id,
            self.output_mode,
            self.state.key.fields().len(),
            functions.join(", ")
        )
    }
}

impl ExecutionPlan for StateAggregateExec {
    fn name(&self) -> &str {
        "StateAggregateExec"
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
        let memory =
            MemoryConsumer::new(format!("StateAggregate[{}, {partition}]", self.operator_id))
                .register(context.memory_pool());
        let run = PartitionRun {
            exec: self.clone(),
            id: StateStoreId::new(self.operator_id, partition as u32),
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
    exec: StateAggregateExec,
    id: StateStoreId,
    batch: Arc<BatchContext>,
    memory: MemoryReservation,
    batch_size: usize,
    metrics: OperatorMetrics,
}

/// Groups touched by the batch, with their new state.
struct Touched {
    keys: RecordBatch,
    states: RecordBatch,
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
        let touched = self.merge(input, &mut store).await?;
        let started = Instant::now();
        store
            .put(&touched.keys, &touched.states)
            .map_err(external)?;
        self.metrics.rows_updated = touched.keys.num_rows() as u64;
        self.metrics.updates_us += micros_since(started);
        let groups = self.output(touched, &mut store)?;
        // What comes out is decided, and held in memory: state is durable before the first row leaves, so that a reader that
        // wants only some rows (a limit) leaves nothing uncommitted.
        let aggregates = self.exec.aggregates.clone();
        let schema = self.exec.schema();
        let keys = self.exec.state.key.fields().len();
        let batch_size = self.batch_size;
        self.commit(store).await?;
        let pieces: Vec<_> = groups
            .iter()
            .flat_map(|group| slices(group, batch_size))
            .collect();
        Ok(stream::iter(pieces).map(move |piece| finish(&aggregates, &schema, keys, &piece)))
    }

    /// Merges stored state, then the batch's own partial state, group by group. State is asked once, for all groups: a store
    /// on disk goes through its files in order, and the `put` that follows has no keys to look up.
    async fn merge(
        &mut self,
        mut input: SendableRecordBatchStream,
        store: &mut StateStoreGuard,
    ) -> Result<Touched> {
        let StateSchema {
            key, value: state, ..
        } = &self.exec.state.clone();
        let width = key.fields().len();
        let mut groups = Groups::try_new(key)?;
        let (mut parts, mut numbers, mut bytes) = (vec![], vec![], 0);
        while let Some(rows) = input.next().await {
            let rows = self.drop_late(rows?)?;
            if rows.num_rows() == 0 {
                continue;
            }
            let started = Instant::now();
            groups.assign(&project(&rows, key, 0..width)?)?;
            numbers.extend_from_slice(groups.of_rows());
            let part = project(&rows, state, width..rows.num_columns())?;
            bytes += slice_bytes(&part)? + size_of_val(groups.of_rows());
            parts.push(part);
            self.memory.try_resize(bytes + groups.size())?;
            self.metrics.updates_us += micros_since(started);
        }
        let started = Instant::now();
        let total = groups.len();
        let keys = groups.into_keys(key)?;
        let mut accumulators = self.exec.aggregates.start()?;
        if total > 0 {
            let stored = store.get(&keys).map_err(external)?;
            let found = stored.found.values().set_indices();
            let numbers: Vec<usize> = found.chain(numbers).collect();
            parts.insert(0, filter_record_batch(&stored.values, &stored.found)?);
            let states = concat_columns(state, &parts)?;
            parts.clear();
            accumulators.merge(&states, &numbers, total)?;
        }
        self.memory
            .try_resize(accumulators.size() + keys.get_array_memory_size())?;
        let states = accumulators.into_states()?;
        self.metrics.updates_us += micros_since(started);
        Ok(Touched { keys, states })
    }

    /// The rows that are not late, late ones counted.
    fn drop_late(&mut self, rows: RecordBatch) -> Result<RecordBatch> {
        let Some(event_time) = self.exec.state.event_time else {
            return Ok(rows);
        };
        let late_us = self.watermarks().late_ms.saturating_mul(1000);
        let times = rows
            .columns()
            .get(event_time)
            .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>())
            .ok_or_else(|| {
                internal_datafusion_err!("event-time key is not a timestamp in microseconds")
            })?;
        // A group without event time is never late: there is nothing to compare.
        let keep: BooleanArray = times
            .iter()
            .map(|at| Some(at.is_none_or(|at| at > late_us)))
            .collect();
        let kept = keep.true_count();
        if kept == rows.num_rows() {
            return Ok(rows);
        }
        self.metrics.rows_dropped_by_watermark += (rows.num_rows() - kept) as u64;
        Ok(filter_record_batch(&rows, &keep)?)
    }

    /// The groups that the output mode puts out, as keys and states, after eviction.
    fn output(
        &mut self,
        touched: Touched,
        store: &mut StateStoreGuard,
    ) -> Result<Vec<RecordBatch>> {
        let started = Instant::now();
        let threshold = self.watermarks().eviction_ms.saturating_mul(1000);
        let evicts = self.exec.state.event_time.is_some();
        let groups = match self.exec.output_mode {
            OutputMode::Complete => store.scan().map_err(external)?,
            OutputMode::Append if evicts => {
                let evicted = store.evict(threshold).map_err(external)?;
                self.metrics.rows_removed = evicted.iter().map(|rows| rows.num_rows() as u64).sum();
                evicted
            }
            OutputMode::Append => vec![],
            OutputMode::Update => {
                if evicts {
                    self.metrics.rows_removed = store.drop_expired(threshold).map_err(external)?;
                }
                vec![beside(&touched.keys, &touched.states)?]
            }
        };
        self.metrics.removals_us = micros_since(started);
        Ok(groups)
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

/// Bytes that a batch refers to; it may share its arrays with others.
fn slice_bytes(rows: &RecordBatch) -> Result<usize> {
    let columns = rows.columns().iter();
    let bytes = columns.map(|column| column.to_data().get_slice_memory_size());
    Ok(bytes.sum::<Result<usize, _>>()?)
}

/// The columns of all batches, one behind the other.
fn concat_columns(schema: &SchemaRef, parts: &[RecordBatch]) -> Result<Vec<ArrayRef>> {
    let columns = (0..schema.fields().len()).map(|column| {
        let arrays: Vec<_> = parts
            .iter()
            .map(|part| part.column(column).as_ref())
            .collect();
        Ok(concat(&arrays)?)
    });
    columns.collect()
}

pub(in crate::operator) fn micros_since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}
