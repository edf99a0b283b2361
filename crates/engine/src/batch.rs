//! What a running batch gives to the operators of its plan.
//!
//! The physical plan of a query is built once; what changes from batch to batch reaches its operators through a
//! [`BatchContext`], an extension of DataFusion's `TaskContext`. Operators hold no pointers into the driver, so a plan can
//! run wherever a batch context can be made.
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use datafusion::{
    common::{DataFusionError, Result, internal_datafusion_err},
    execution::TaskContext,
};
use millstream_checkpoint::Faults;
use millstream_state::StateRegistry;

use crate::{
    operator::{OperatorMetrics, observe::ObservedMetrics},
    source::InputPartition,
    time::{BatchWatermarks, EventTimeStats},
};

/// The batch that is being run.
#[derive(Debug)]
pub struct BatchContext {
    /// Number of the batch; also the version of state that it reads. It writes the next one.
    pub batch_id: u64,
    /// What counts as late and what is evicted, by stateful operator.
    pub watermarks: Vec<BatchWatermarks>,
    /// Input of every source, by source index, spread over the partitions of its scan.
    pub inputs: Vec<Vec<Vec<Arc<dyn InputPartition>>>>,
    /// The process's state stores for this query.
    pub state: Arc<StateRegistry>,
    /// What the operators report back.
    pub observations: Arc<Observations>,
    /// The query's fault points.
    pub faults: Faults,
}

impl BatchContext {
    /// The batch that `context` belongs to.
    pub fn of(context: &TaskContext) -> Result<Arc<Self>> {
        context
            .session_config()
            .get_extension::<Self>()
            .ok_or_else(|| {
                internal_datafusion_err!("a streaming operator ran outside a micro-batch")
            })
    }

    /// What counts as late and what is evicted in stateful operator `operator`.
    pub fn watermarks_of(&self, operator: u32) -> BatchWatermarks {
        self.watermarks
            .get(operator as usize)
            .copied()
            .unwrap_or_default()
    }

    /// The input partitions that partition `partition` of source `source`'s scan reads.
    pub fn input(&self, source: usize, partition: usize) -> &[Arc<dyn InputPartition>] {
        self.inputs
            .get(source)
            .and_then(|partitions| partitions.get(partition))
            .map_or(&[], Vec::as_slice)
    }
}

/// What operators saw while a batch ran: the raw material of progress and of the next watermark.
#[derive(Debug, Default)]
pub struct Observations {
    source_rows: Vec<AtomicU64>,
    output_rows: AtomicU64,
    event_times: Mutex<BTreeMap<u32, EventTimeStats>>,
    operators: Mutex<BTreeMap<u32, OperatorMetrics>>,
    /// What the plan's own metrics saw.
    pub observed: Arc<ObservedMetrics>,
}

impl Observations {
    /// For a query with `sources` sources.
    pub fn new(sources: usize) -> Self {
        Self {
            source_rows: (0..sources).map(|_| AtomicU64::new(0)).collect(),
            ..Self::default()
        }
    }

    /// Counts rows that source `source` delivered.
    pub fn add_source_rows(&self, source: usize, rows: usize) {
        if let Some(counter) = self.source_rows.get(source) {
            counter.fetch_add(rows as u64, Ordering::Relaxed);
        }
    }

    /// Rows per source.
    pub fn source_rows(&self) -> Vec<u64> {
        self.source_rows
            .iter()
            .map(|rows| rows.load(Ordering::Relaxed))
            .collect()
    }

    /// Counts rows on their way to the sink.
    pub fn add_output_rows(&self, rows: usize) {
        self.output_rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// Rows that reached the sink.
    pub fn output_rows(&self) -> u64 {
        self.output_rows.load(Ordering::Relaxed)
    }

    /// Adds what one partition of watermark node `node` saw.
    pub fn merge_event_times(&self, node: u32, seen: EventTimeStats) {
        if let Ok(mut all) = self.event_times.lock() {
            all.entry(node).or_default().merge(&seen);
        }
    }

    /// Event times per watermark node; nodes that saw no row are missing.
    pub fn event_times(&self) -> BTreeMap<u32, EventTimeStats> {
        self.event_times
            .lock()
            .map(|all| all.clone())
            .unwrap_or_default()
    }

    /// Adds what one partition of stateful operator `operator` did. It must come after the partition's state is committed:
    /// the driver counts these reports to know that no partition was left out.
    pub fn merge_operator(&self, operator: u32, partition: OperatorMetrics) {
        if let Ok(mut all) = self.operators.lock() {
            all.entry(operator).or_default().merge(&partition);
        }
    }

    /// What each stateful operator did.
    pub fn operators(&self) -> BTreeMap<u32, OperatorMetrics> {
        self.operators
            .lock()
            .map(|all| all.clone())
            .unwrap_or_default()
    }
}

/// Wraps any error for DataFusion, keeping it reachable by downcast.
pub(crate) fn external<E: Into<crate::BoxError>>(error: E) -> DataFusionError {
    DataFusionError::External(error.into())
}
