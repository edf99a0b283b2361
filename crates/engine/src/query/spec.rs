//! What it takes to start a query.
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::{execution::SessionState, logical_expr::LogicalPlan};
use millstream_checkpoint::Faults;

use super::{QuerySettings, Trigger};
use crate::{plan::OutputMode, sink::Sink, time::ClockRef};

/// Where a query keeps its checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointLocation {
    /// Path or URL.
    pub url: String,
    /// Whether it is thrown away when the query stops without a failure.
    pub temporary: bool,
}

/// A query that is ready to start.
#[derive(Debug)]
pub struct QuerySpec {
    /// Name, unique among the active queries of a session.
    pub name: Option<String>,
    /// The plan, as the user wrote it.
    pub plan: LogicalPlan,
    /// The columns as the sink is to see them: the plan's, under their output names.
    pub schema: SchemaRef,
    /// The DataFusion session that plans it.
    pub session: SessionState,
    /// Where rows go.
    pub sink: Arc<dyn Sink>,
    /// What they mean.
    pub output_mode: OutputMode,
    /// When batches start.
    pub trigger: Trigger,
    /// Where the query remembers.
    pub checkpoint: CheckpointLocation,
    /// Everything else.
    pub settings: QuerySettings,
    /// Processing time.
    pub clock: ClockRef,
    /// Fault points, for tests.
    pub faults: Faults,
    /// Whether a run of the same query that is active is stopped first; otherwise the start is refused.
    pub stop_active_run: bool,
}
