//! The physical side of a watermark: a pass-through that measures.
use std::{fmt, sync::Arc};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::{max, min},
    datatypes::{DataType, SchemaRef, TimestampMicrosecondType},
};
use datafusion::{
    common::{Result, internal_datafusion_err, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::PhysicalExpr,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
        stream::RecordBatchStreamAdapter,
    },
};
use futures::StreamExt;

use crate::{
    batch::{BatchContext, Observations},
    operator::exchange::only_child,
    time::EventTimeStats,
};

/// Measures the event times of its input.
#[derive(Debug, Clone)]
pub struct WatermarkExec {
    input: Arc<dyn ExecutionPlan>,
    event_time: usize,
    node_id: u32,
    delay_ms: i64,
    properties: Arc<PlanProperties>,
}

impl WatermarkExec {
    /// Measures column `event_time` and gives its output `schema`, which differs from the input's in metadata only.
    pub fn new(
        input: Arc<dyn ExecutionPlan>,
        schema: SchemaRef,
        event_time: usize,
        node_id: u32,
        delay_ms: i64,
    ) -> Self {
        let properties = Arc::new(PlanProperties::new(
            datafusion::physical_expr::EquivalenceProperties::new(schema),
            input.output_partitioning().clone(),
            input.pipeline_behavior(),
            input.boundedness(),
        ));
        Self {
            input,
            event_time,
            node_id,
            delay_ms,
            properties,
        }
    }
}

impl DisplayAs for WatermarkExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let schema = self.schema();
        let name = schema
            .fields()
            .get(self.event_time)
            .map_or("", |field| field.name());
        write!(
            f,
            "WatermarkExec: eventTime={name}, delay={}ms",
            self.delay_ms
        )
    }
}

impl ExecutionPlan for WatermarkExec {
    fn name(&self) -> &str {
        "WatermarkExec"
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
        let input = only_child(children)?;
        Ok(Arc::new(Self::new(
            input,
            self.schema(),
            self.event_time,
            self.node_id,
            self.delay_ms,
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
        let batch = BatchContext::of(&context)?;
        let mut meter = Meter {
            node_id: self.node_id,
            event_time: self.event_time,
            seen: EventTimeStats::default(),
            observations: Arc::clone(&batch.observations),
        };
        let schema = self.schema();
        let rows = self.input.execute(partition, context)?.map(move |rows| {
            let rows = rows?;
            meter.measure(&rows)?;
            // The columns are the input's, the metadata is ours.
            Ok(RecordBatch::try_new_with_options(
                Arc::clone(&schema),
                rows.columns().to_vec(),
                &arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.num_rows())),
            )?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}

/// Gathers one partition's event times and hands them over when the partition is drained or dropped.
struct Meter {
    node_id: u32,
    event_time: usize,
    seen: EventTimeStats,
    observations: Arc<Observations>,
}

impl Meter {
    fn measure(&mut self, rows: &RecordBatch) -> Result<()> {
        let column = rows
            .columns()
            .get(self.event_time)
            .ok_or_else(|| internal_datafusion_err!("event time column is missing from a batch"))?;
        // A window stands for its end.
        let instants = match column.data_type() {
            DataType::Struct(_) => column.as_struct().column(1),
            _ => column,
        };
        let Some(instants) = instants.as_primitive_opt::<TimestampMicrosecondType>() else {
            return Err(internal_datafusion_err!(
                "event time is not in microseconds"
            ));
        };
        let nulls = instants.null_count();
        if instants.is_empty() {
            return Ok(());
        }
        // Spark's reading of a NULL event time is the epoch: it shows in the statistics and moves nothing.
        let epoch = (nulls > 0).then_some(0);
        let total = instants
            .iter()
            .flatten()
            .map(|micros| i128::from(micros.div_euclid(1000)))
            .sum();
        let millis = |micros: Option<i64>| micros.map(|micros| micros.div_euclid(1000));
        self.seen.merge(&EventTimeStats {
            count: instants.len() as u64,
            max_ms: millis(max(instants)).max(epoch).unwrap_or_default(),
            min_ms: millis(min(instants))
                .into_iter()
                .chain(epoch)
                .min()
                .unwrap_or_default(),
            sum_ms: total,
        });
        Ok(())
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if self.seen.count > 0 {
            self.observations.merge_event_times(self.node_id, self.seen);
        }
    }
}
