//! The logical side of a watermark.
use std::{
    cmp::Ordering,
    collections::HashSet,
    fmt,
    sync::{
        Arc,
        atomic::{self, AtomicU64},
    },
};

use arrow::datatypes::Field;
use datafusion::{
    common::{Column, DFSchema, DFSchemaRef, Result, internal_err, plan_err},
    logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore},
    physical_plan::ExecutionPlan,
};

use super::WatermarkExec;
use crate::{
    plan::{Lowering, PlannedNode},
    time::event_time::{DELAY_KEY, is_timestamp, is_window},
};

/// Identity of a `withWatermark`. A plan that is used twice, as that of a view, has two nodes of one declaration, and one
/// watermark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Declaration(u64);

impl Declaration {
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, atomic::Ordering::Relaxed))
    }
}

/// `withWatermark(column, delay)` over an input.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WatermarkNode {
    input: LogicalPlan,
    event_time: Column,
    delay_ms: i64,
    declaration: Declaration,
    node_id: u32,
    schema: DFSchemaRef,
}

impl WatermarkNode {
    /// Tags `event_time`, a microsecond timestamp or a time window, with a delay threshold in milliseconds.
    pub fn try_new(input: LogicalPlan, event_time: Column, delay_ms: i64) -> Result<Self> {
        let index = input.schema().index_of_column(&event_time)?;
        let field = input.schema().field(index);
        if !is_timestamp(field) && !is_window(field) {
            return plan_err!(
                "event time column {event_time} must be a timestamp in microseconds or a time window, not {}",
                field.data_type()
            );
        }
        let schema = tagged(input.schema(), index, delay_ms)?;
        Ok(Self {
            input,
            event_time,
            delay_ms,
            declaration: Declaration::next(),
            node_id: 0,
            schema,
        })
    }

    /// The same watermark over another input.
    pub(crate) fn over(&self, input: LogicalPlan, event_time: Column) -> Result<Self> {
        Ok(Self {
            declaration: self.declaration,
            node_id: self.node_id,
            ..Self::try_new(input, event_time, self.delay_ms)?
        })
    }

    /// Which `withWatermark` it is.
    pub fn declaration(&self) -> Declaration {
        self.declaration
    }

    /// The same node under the id that its measurements are reported by.
    pub fn with_node_id(&self, node_id: u32) -> Self {
        Self {
            node_id,
            ..self.clone()
        }
    }

    /// Id of the node within its query, counted over the plan from the top.
    pub fn node_id(&self) -> u32 {
        self.node_id
    }

    /// What it measures.
    pub fn input(&self) -> &LogicalPlan {
        &self.input
    }

    /// The event-time column.
    pub fn event_time(&self) -> &Column {
        &self.event_time
    }

    /// The delay threshold in milliseconds.
    pub fn delay_ms(&self) -> i64 {
        self.delay_ms
    }
}

/// `schema` with column `index` tagged, and no other column tagged by an earlier watermark of the same column.
fn tagged(schema: &DFSchema, index: usize, delay_ms: i64) -> Result<DFSchemaRef> {
    let fields = schema
        .iter()
        .enumerate()
        .map(|(at, (qualifier, field))| {
            let field = if at == index {
                let mut metadata = field.metadata().clone();
                metadata.insert(DELAY_KEY.to_string(), delay_ms.to_string());
                Arc::new(Field::clone(field).with_metadata(metadata))
            } else {
                Arc::clone(field)
            };
            (qualifier.cloned(), field)
        })
        .collect();
    Ok(Arc::new(DFSchema::new_with_metadata(
        fields,
        schema.metadata().clone(),
    )?))
}

impl PartialOrd for WatermarkNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (&self.event_time, self.delay_ms, self.node_id)
            .partial_cmp(&(&other.event_time, other.delay_ms, other.node_id))
            .filter(|order| *order != Ordering::Equal || self == other)
    }
}

impl UserDefinedLogicalNodeCore for WatermarkNode {
    fn name(&self) -> &str {
        "EventTimeWatermark"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![Expr::Column(self.event_time.clone())]
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        HashSet::from([self.event_time.name.clone()])
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "EventTimeWatermark: {}, delay={}ms",
            self.event_time, self.delay_ms
        )
    }

    fn with_exprs_and_inputs(
        &self,
        exprs: Vec<Expr>,
        mut inputs: Vec<LogicalPlan>,
    ) -> Result<Self> {
        let (Some(input), true) = (inputs.pop(), inputs.is_empty()) else {
            return internal_err!("a watermark has one input");
        };
        let event_time = match exprs.into_iter().next() {
            Some(Expr::Column(column)) => column,
            _ => self.event_time.clone(),
        };
        self.over(input, event_time)
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let event_time = self.input.schema().index_of_column(&self.event_time).ok()?;
        let mut needed = output_columns.to_vec();
        needed.push(event_time);
        needed.sort_unstable();
        needed.dedup();
        Some(vec![needed])
    }
}

impl PlannedNode for WatermarkNode {
    fn plan(&self, lowering: &Lowering<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = lowering.inputs()?;
        let event_time = self.schema.index_of_column(&self.event_time)?;
        Ok(Arc::new(WatermarkExec::new(
            input,
            self.output(),
            event_time,
            self.node_id,
            self.delay_ms,
        )))
    }
}
