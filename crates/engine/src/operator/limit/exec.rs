//! The physical side of a limit over the life of a query: many partitions in, one out.
use std::{fmt, sync::Arc, time::Instant};

use arrow::{
    array::{AsArray, Int64Array, RecordBatch, RecordBatchOptions},
    datatypes::{DataType, Field, Int64Type, Schema},
};
use datafusion::{
    common::{
        Result, internal_datafusion_err, internal_err, runtime::SpawnedTask,
        tree_node::TreeNodeRecursion,
    },
    execution::{
        SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
        PlanProperties, stream::RecordBatchStreamAdapter,
    },
};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use millstream_state::{DEFAULT_STORE, StateSchema, StateStoreGuard, StateStoreId};

use crate::{
    batch::{BatchContext, external},
    operator::{KeepsState, OperatorMetrics, OperatorStore, exchange::only_child},
};

/// Lets rows through until the query has put out as many as the limit says.
#[derive(Debug, Clone)]
pub struct GlobalLimitExec {
    input: Arc<dyn ExecutionPlan>,
    rows: usize,
    operator_id: u32,
    properties: Arc<PlanProperties>,
}

impl GlobalLimitExec {
    /// A limit of `rows` over all partitions of `input`.
    pub fn new(input: Arc<dyn ExecutionPlan>, rows: usize, operator_id: u32) -> Self {
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            Partitioning::UnknownPartitioning(1),
            input.pipeline_behavior(),
            input.boundedness(),
        ));
        Self {
            input,
            rows,
            operator_id,
            properties,
        }
    }
}

impl KeepsState for GlobalLimitExec {
    fn stores(&self) -> Vec<OperatorStore> {
        vec![OperatorStore {
            operator_id: self.operator_id,
            name: DEFAULT_STORE,
            schema: state_schema(),
            placed_by: 0,
        }]
    }
}

impl DisplayAs for GlobalLimitExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "GlobalLimitExec: operator={}, rows={}",
            self.operator_id, self.rows
        )
    }
}

impl ExecutionPlan for GlobalLimitExec {
    fn name(&self) -> &str {
        "GlobalLimitExec"
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
        Ok(Arc::new(Self::new(
            only_child(children)?,
            self.rows,
            self.operator_id,
        )))
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
        if partition != 0 {
            return internal_err!("a limit has one partition, not {partition}");
        }
        let batch = BatchContext::of(&context)?;
        let inputs = (0..self.input.output_partitioning().partition_count())
            .map(|partition| self.input.execute(partition, Arc::clone(&context)))
            .collect::<Result<Vec<_>>>()?;
        let run = Run {
            limit: self.rows as u64,
            id: StateStoreId::new(self.operator_id, 0),
            batch,
            context,
            metrics: OperatorMetrics::default(),
        };
        let rows = stream::once(run.update(inputs)).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}

/// The operator in one batch.
struct Run {
    limit: u64,
    id: StateStoreId,
    batch: Arc<BatchContext>,
    context: Arc<TaskContext>,
    metrics: OperatorMetrics,
}

/// The first rows of one input partition, and the memory they take.
struct Head {
    rows: Vec<RecordBatch>,
    memory: MemoryReservation,
}

impl Run {
    /// Reads all input, counts, commits the count; the rows stream out after that.
    async fn update(
        mut self,
        inputs: Vec<SendableRecordBatchStream>,
    ) -> Result<impl Stream<Item = Result<RecordBatch>>> {
        let registry = Arc::clone(&self.batch.state);
        let mut store = registry
            .checkout(&self.id, &state_schema(), self.batch.batch_id)
            .await
            .map_err(external)?;
        let before = counted(&mut store)?;
        let left = self.limit.saturating_sub(before);
        let tasks: Vec<_> = inputs
            .into_iter()
            .enumerate()
            .map(|(partition, rows)| {
                let name = format!("GlobalLimit[{}, {partition}]", self.id.operator_id);
                let memory = MemoryConsumer::new(name).register(self.context.memory_pool());
                SpawnedTask::spawn(head(rows, left, memory))
            })
            .collect();
        let mut heads = vec![];
        for task in tasks {
            let head = task.join().await;
            heads.push(head.map_err(|error| internal_datafusion_err!("{error}"))??);
        }
        let started = Instant::now();
        let taken = take(&mut heads, left);
        if taken > 0 {
            put_count(&mut store, before + taken)?;
            self.metrics.rows_updated = 1;
        }
        self.metrics.updates_us = micros_since(started);
        self.commit(store).await?;
        Ok(stream::iter(heads).flat_map(|Head { rows, memory }| {
            // The reservation goes with the rows.
            stream::iter(rows).map(move |rows| {
                let _held = &memory;
                Ok(rows)
            })
        }))
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

/// The first `limit` rows of a partition, which is read to its end.
async fn head(
    mut input: SendableRecordBatchStream,
    limit: u64,
    memory: MemoryReservation,
) -> Result<Head> {
    let mut head = Head {
        rows: vec![],
        memory,
    };
    let mut left = limit;
    while let Some(rows) = input.next().await {
        let rows = first_rows(rows?, left);
        left -= rows.num_rows() as u64;
        if rows.num_rows() > 0 {
            head.memory.try_grow(rows.get_array_memory_size())?;
            head.rows.push(rows);
        }
    }
    Ok(head)
}

/// Cuts the heads to `limit` rows over all of them, in partition order; returns how many are left.
fn take(heads: &mut [Head], limit: u64) -> u64 {
    let mut left = limit;
    for head in heads {
        for rows in &mut head.rows {
            *rows = first_rows(rows.clone(), left);
            left -= rows.num_rows() as u64;
        }
        head.rows.retain(|rows| rows.num_rows() > 0);
    }
    limit - left
}

fn first_rows(rows: RecordBatch, limit: u64) -> RecordBatch {
    match usize::try_from(limit) {
        Ok(limit) if limit < rows.num_rows() => rows.slice(0, limit),
        _ => rows,
    }
}

fn state_schema() -> StateSchema {
    let count = Field::new("rows", DataType::Int64, false);
    StateSchema::new(
        Arc::new(Schema::empty()),
        Arc::new(Schema::new(vec![count])),
    )
}

/// The key of the only entry.
fn only_key() -> Result<RecordBatch> {
    let one = RecordBatchOptions::new().with_row_count(Some(1));
    Ok(RecordBatch::try_new_with_options(
        state_schema().key,
        vec![],
        &one,
    )?)
}

/// Rows that went through in earlier batches.
fn counted(store: &mut StateStoreGuard) -> Result<u64> {
    let stored = store.get(&only_key()?).map_err(external)?;
    let counts = stored.values.column(0).as_primitive_opt::<Int64Type>();
    let count = counts.and_then(|counts| counts.iter().next().flatten());
    let count = count.unwrap_or(0);
    u64::try_from(count).map_err(|_| internal_datafusion_err!("a limit has counted {count} rows"))
}

fn put_count(store: &mut StateStoreGuard, rows: u64) -> Result<()> {
    let count = i64::try_from(rows)
        .map_err(|_| internal_datafusion_err!("a limit cannot count {rows} rows"))?;
    let value = RecordBatch::try_new(
        state_schema().value,
        vec![Arc::new(Int64Array::from(vec![count]))],
    )?;
    store.put(&only_key()?, &value).map_err(external)
}

fn micros_since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use arrow::array::ArrayRef;
    use datafusion::execution::memory_pool::{MemoryPool, UnboundedMemoryPool};

    use super::*;

    fn head_of(pieces: &[&[i64]]) -> Head {
        let pool: Arc<dyn MemoryPool> = Arc::new(UnboundedMemoryPool::default());
        let record = |values: &&[i64]| {
            let column: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
            RecordBatch::try_from_iter([("n", column)]).unwrap()
        };
        Head {
            rows: pieces.iter().map(record).collect(),
            memory: MemoryConsumer::new("test").register(&pool),
        }
    }

    fn values(heads: &[Head]) -> Vec<i64> {
        let rows = heads.iter().flat_map(|head| &head.rows);
        rows.flat_map(|rows| rows.column(0).as_primitive::<Int64Type>().values().to_vec())
            .collect()
    }

    #[test]
    fn the_first_rows_are_those_of_the_first_partitions() {
        let mut heads = [head_of(&[&[1, 2], &[3]]), head_of(&[]), head_of(&[&[4, 5]])];
        assert_eq!(take(&mut heads, 4), 4);
        assert_eq!(values(&heads), [1, 2, 3, 4]);
    }

    #[test]
    fn fewer_rows_than_the_limit_all_stay_and_a_limit_of_none_takes_none() {
        let mut heads = [head_of(&[&[1]]), head_of(&[&[2]])];
        assert_eq!(take(&mut heads, 9), 2);
        assert_eq!(values(&heads), [1, 2]);
        assert_eq!(take(&mut heads, 0), 0);
        assert!(heads.iter().all(|head| head.rows.is_empty()));
    }
}
