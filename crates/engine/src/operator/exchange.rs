//! The exchange in front of a stateful operator: rows go to the state partition that owns their key.
//!
//! The owner is `pmod(murmur3(key columns, 42), partitions)`, Spark's own rule. DataFusion's repartitioning is not used
//! because its hash may change between releases, and state that was written under one placement must be found under it for
//! ever.
//!
//! All inputs are drained at the same time, each into a queue per output; the queues are unbounded since what sits behind an
//! exchange holds a batch's keys in memory anyway. An output reads its queues one after the other, in the order of the
//! inputs: which row of a key is the first does not depend on which input was faster, so a batch that is run again
//! says the same.
use std::{
    fmt,
    sync::{Arc, Mutex},
};

use arrow::{
    array::{RecordBatch, UInt32Array},
    compute::take_record_batch,
};
use datafusion::{
    common::{
        Result, internal_datafusion_err, internal_err, runtime::SpawnedTask,
        tree_node::TreeNodeRecursion,
    },
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
        PlanProperties, stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt, stream};
use millstream_state::hash::{murmur3_hash, partition_of};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The seed of Spark's partitioning hash.
const SEED: i32 = 42;

/// Routes rows to state partitions by the first `keys` columns.
#[derive(Debug)]
pub struct ExchangeExec {
    input: Arc<dyn ExecutionPlan>,
    keys: usize,
    properties: Arc<PlanProperties>,
    /// One batch's queues; a reset plan begins with new ones.
    run: Mutex<Run>,
}

type Rows = Result<RecordBatch>;

#[derive(Debug, Default)]
enum Run {
    #[default]
    NotStarted,
    /// The queues of each output until they are taken, by input, and the tasks that fill them.
    Started {
        outputs: Vec<Option<Vec<UnboundedReceiver<Rows>>>>,
        tasks: Arc<Vec<SpawnedTask<()>>>,
    },
}

impl ExchangeExec {
    /// An exchange into `partitions` partitions. Without keys all rows go to the first.
    pub fn new(input: Arc<dyn ExecutionPlan>, keys: usize, partitions: usize) -> Self {
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            Partitioning::UnknownPartitioning(partitions),
            input.pipeline_behavior(),
            input.boundedness(),
        ));
        Self {
            input,
            keys,
            properties,
            run: Mutex::default(),
        }
    }

    fn partitions(&self) -> usize {
        self.properties.partitioning.partition_count()
    }

    /// Starts one task per input partition.
    fn start(&self, context: &Arc<TaskContext>) -> Result<Run> {
        let mut outputs: Vec<_> = (0..self.partitions()).map(|_| Some(vec![])).collect();
        let mut tasks = vec![];
        for partition in 0..self.input.output_partitioning().partition_count() {
            let rows = self.input.execute(partition, Arc::clone(context))?;
            let mut senders = Vec::with_capacity(outputs.len());
            for queues in outputs.iter_mut().flatten() {
                let (sender, receiver) = unbounded_channel();
                senders.push(sender);
                queues.push(receiver);
            }
            tasks.push(SpawnedTask::spawn(route(rows, self.keys, senders)));
        }
        Ok(Run::Started {
            outputs,
            tasks: Arc::new(tasks),
        })
    }
}

/// Sends every row of an input to its owner; an error goes to all, so that no output ends as if it were complete.
async fn route(
    mut rows: SendableRecordBatchStream,
    keys: usize,
    outputs: Vec<UnboundedSender<Rows>>,
) {
    while let Some(batch) = rows.next().await {
        let routed = batch.and_then(|batch| split(&batch, keys, outputs.len()));
        match routed {
            Ok(parts) => {
                for (partition, part) in parts {
                    if let Some(output) = outputs.get(partition) {
                        // A receiver that is gone belongs to a batch that is being abandoned.
                        let _ = output.send(Ok(part));
                    }
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for output in &outputs {
                    let _ = output.send(Err(datafusion::error::DataFusionError::Shared(
                        Arc::clone(&error),
                    )));
                }
                return;
            }
        }
    }
}

/// The rows of each partition that has any.
fn split(batch: &RecordBatch, keys: usize, partitions: usize) -> Result<Vec<(usize, RecordBatch)>> {
    if keys == 0 || partitions == 1 {
        return Ok(vec![(0, batch.clone())]);
    }
    let columns = batch
        .columns()
        .get(..keys)
        .ok_or_else(|| internal_datafusion_err!("an exchange has more keys than columns"))?;
    let mut owners = vec![Vec::<u32>::new(); partitions];
    for (row, hash) in murmur3_hash(columns, batch.num_rows(), SEED)
        .map_err(crate::batch::external)?
        .into_iter()
        .enumerate()
    {
        if let Some(rows) = owners.get_mut(partition_of(hash, partitions as u32) as usize) {
            rows.push(row as u32);
        }
    }
    owners
        .into_iter()
        .enumerate()
        .filter(|(_, rows)| !rows.is_empty())
        .map(|(partition, rows)| {
            Ok((
                partition,
                take_record_batch(batch, &UInt32Array::from(rows))?,
            ))
        })
        .collect()
}

/// The only child of a unary operator.
pub(crate) fn only_child(children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
    match <[_; 1]>::try_from(children) {
        Ok([child]) => Ok(child),
        Err(children) => internal_err!("expected one child, got {}", children.len()),
    }
}

impl DisplayAs for ExchangeExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "ExchangeExec: murmur3 of {} keys into {} partitions",
            self.keys,
            self.partitions()
        )
    }
}

impl ExecutionPlan for ExchangeExec {
    fn name(&self) -> &str {
        "ExchangeExec"
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
            self.keys,
            self.partitions(),
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
        let mut run = self
            .run
            .lock()
            .map_err(|_| internal_datafusion_err!("an exchange was poisoned"))?;
        if matches!(*run, Run::NotStarted) {
            *run = self.start(&context)?;
        }
        let Run::Started { outputs, tasks } = &mut *run else {
            return internal_err!("an exchange did not start");
        };
        let Some(queues) = outputs.get_mut(partition).and_then(Option::take) else {
            return internal_err!(
                "partition {partition} of an exchange was executed twice in one batch"
            );
        };
        // The tasks live as long as any output: dropping them all abandons the batch.
        let tasks = Arc::clone(tasks);
        let rows = stream::iter(queues).flat_map(move |queue| {
            let tasks = Arc::clone(&tasks);
            stream::unfold((queue, tasks), |(mut queue, tasks)| async move {
                queue.recv().await.map(|rows| (rows, (queue, tasks)))
            })
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}
