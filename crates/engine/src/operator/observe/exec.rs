//! The physical side of observed metrics: a pass-through that aggregates.
use std::{fmt, sync::Arc};

use arrow::array::RecordBatch;
use datafusion::{
    common::{Result, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::PhysicalExpr,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt, future::ready, stream};

use super::{ObservedMetrics, Observer, metrics::Gathered};
use crate::operator::exchange::only_child;

/// Aggregates what passes.
#[derive(Debug, Clone)]
pub struct ObserveExec {
    input: Arc<dyn ExecutionPlan>,
    observer: Arc<Observer>,
}

impl ObserveExec {
    /// Lets `observer` see the rows of `input`.
    pub(super) fn new(input: Arc<dyn ExecutionPlan>, observer: Arc<Observer>) -> Self {
        Self { input, observer }
    }
}

impl DisplayAs for ObserveExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "ObserveExec: {}", self.observer.name)
    }
}

impl ExecutionPlan for ObserveExec {
    fn name(&self) -> &str {
        "ObserveExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
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
        let observer = Arc::clone(&self.observer);
        Ok(Arc::new(Self::new(only_child(children)?, observer)))
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
        let collector = context.session_config().get_extension::<ObservedMetrics>();
        if let Some(collector) = &collector {
            collector.begin(&self.observer)?;
        }
        let rows = self.input.execute(partition, context)?;
        let Some(collector) = collector else {
            return Ok(rows);
        };
        let schema = rows.schema();
        let mut watch = Watch {
            gathered: Some(self.observer.start()?),
            observer: Arc::clone(&self.observer),
            collector,
        };
        // The end is an item of its own: whoever has seen the stream end finds the partition reported.
        let rows = rows.map(Some).chain(stream::iter([None]));
        let rows = rows.filter_map(move |rows| {
            ready(match rows {
                Some(rows) => Some(rows.and_then(|rows| watch.see(rows))),
                None => watch.report().err().map(Err),
            })
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}

/// The aggregates of one partition, until they are reported.
struct Watch {
    gathered: Option<Gathered>,
    observer: Arc<Observer>,
    collector: Arc<ObservedMetrics>,
}

impl Watch {
    fn see(&mut self, rows: RecordBatch) -> Result<RecordBatch> {
        if let Some(gathered) = &mut self.gathered {
            self.observer.update(gathered, &rows)?;
        }
        Ok(rows)
    }

    fn report(&mut self) -> Result<()> {
        match self.gathered.take() {
            Some(gathered) => self.collector.merge(&self.observer, gathered),
            None => Ok(()),
        }
    }
}

/// A reader that has enough drops the stream before its end.
impl Drop for Watch {
    fn drop(&mut self) {
        if let Err(error) = self.report() {
            tracing::warn!(name = self.observer.name, %error, "observed metrics are incomplete");
        }
    }
}
