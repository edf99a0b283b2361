//! The micro-batch loop of one run.
//!
//! ```text
//!   open: plan, checkpoint, recovery ──► trigger ──► construct ──► execute ──► trigger ──► …
//!                                           ▲             │ nothing to do        │
//!                                           └─────────────┴──────────────────────┘
//! ```
//!
//! The loop is cancelled between batches, while it waits, and while a batch's plan runs; never in the middle of a write
//! to the checkpoint. Whatever it leaves undone, the next run finds in the logs.
use std::sync::Arc;

use millstream_checkpoint::{
    CheckpointDir, NextBatch,
    storage::{self, Hold},
};
use millstream_state::StateRegistry;

use super::{
    QueryFailure, QuerySettings, QuerySpec, StreamingQueryEvent, StreamingQueryManager, Trigger,
    construct::{Batch, Limits, Position},
    execute::Stopwatch,
    maintenance::Maintenance,
    operators::{Comparison, compare, record_partitions},
    progress::StreamingQueryProgress,
    repartition::{Repartition, begun, undone},
    shared::{Lifecycle, Shared},
    state::{discard_local, open_state},
};
use crate::{
    EngineError,
    plan::{StreamingPlan, check_at_run},
    source::{Source, SourceContext},
    time::WatermarkTracker,
};

/// A run that has not been opened yet.
pub(super) struct Run {
    spec: QuerySpec,
    dir: CheckpointDir,
    shared: Arc<Shared>,
    manager: StreamingQueryManager,
}

/// A run with everything open.
pub(super) struct OpenRun {
    pub spec: QuerySpec,
    pub settings: QuerySettings,
    pub dir: CheckpointDir,
    pub shared: Arc<Shared>,
    pub manager: StreamingQueryManager,
    pub plan: StreamingPlan,
    pub sources: Vec<Arc<dyn Source>>,
    pub state: Arc<StateRegistry>,
    pub watermark: WatermarkTracker,
    pub position: Position,
    /// What an operator computes otherwise than its state, if the stores are to notice; see `operators.rs`.
    pub changed: Option<Comparison>,
    /// Whether state gets another number of partitions first.
    pub repartition: Repartition,
    /// Start of the last trigger that ran a batch, for input rates.
    pub last_trigger_ms: Option<i64>,
    last_idle_event_ms: Option<i64>,
    pub maintenance: Maintenance,
    /// Keeps tools from changing the checkpoint meanwhile.
    _hold: Hold,
}

impl Run {
    pub fn new(
        spec: QuerySpec,
        dir: CheckpointDir,
        shared: Arc<Shared>,
        manager: StreamingQueryManager,
    ) -> Self {
        Self {
            spec,
            dir,
            shared,
            manager,
        }
    }

    /// Runs to the end, whatever it is.
    pub async fn execute(self) -> Lifecycle {
        let shared = Arc::clone(&self.shared);
        let clock = Arc::clone(&self.spec.clock);
        let plan = self.spec.plan.display_indent().to_string();
        let checkpoint = self.spec.checkpoint.clone();
        let settings = self.spec.settings.clone();
        let mut offsets = (vec![], vec![]);
        let ended = match self.open().await {
            Ok(mut run) => {
                let ended = run.run().await;
                run.close().await;
                offsets = (
                    run.describe(&run.position.committed),
                    run.describe(&run.position.available),
                );
                ended
            }
            Err(error) => Err(error),
        };
        match ended {
            Ok(()) => {
                if checkpoint.temporary {
                    discard(&checkpoint.url).await;
                    discard_local(&settings, shared.id);
                }
                Lifecycle::Stopped
            }
            Err(error) => {
                tracing::error!(id = %shared.id, run_id = %shared.run_id, %error, "query terminated with error");
                Lifecycle::Failed(Arc::new(QueryFailure {
                    id: shared.id,
                    run_id: shared.run_id,
                    name: shared.name.clone(),
                    error,
                    committed_offsets: offsets.0,
                    available_offsets: offsets.1,
                    plan,
                    timestamp_ms: clock.now_ms(),
                }))
            }
        }
    }

    /// Opens the plan, the sources and the state as the checkpoint says.
    async fn open(self) -> Result<OpenRun, EngineError> {
        let Self {
            spec,
            dir,
            shared,
            manager,
        } = self;
        shared.set_message("Initializing sources");
        let hold = dir.storage().hold(false)?;
        let next = dir.recover().await?;
        let repartition = Repartition {
            begun_from: begun(&next)?,
            wanted: (spec.settings.repartition_state).then_some(spec.settings.state_partitions),
        };
        let pinned = match &next {
            NextBatch::First => None,
            NextBatch::Rerun { offsets, .. } => Some(offsets),
            NextBatch::Fresh { previous, .. } => Some(previous),
        };
        let settings = match pinned {
            None => spec.settings.clone(),
            Some(record) => spec.settings.clone().pinned_by(&record.metadata)?,
        };
        check_at_run(&spec.plan, spec.output_mode).map_err(EngineError::Plan)??;
        let mut plan = StreamingPlan::build(
            spec.plan.clone(),
            &spec.session,
            spec.output_mode,
            settings.parallelism,
            settings.state_partitions,
        )
        .await
        .map_err(EngineError::Plan)?;
        if !settings.multiple_operators {
            plan.watermark_flow = plan.watermark_flow.undivided();
        }
        if let Some(record) = pinned {
            record.check_sources(plan.sources.len())?;
        }
        let changed = check_operators(&dir, &next, &plan, &settings).await?;
        let sources = create_sources(&plan, &dir, &spec, settings.parallelism).await?;
        let state = Arc::new(open_state(&dir, &settings, &spec, shared.id)?);
        let next = match repartition.begun_from {
            Some(_) => undone(next),
            None => next,
        };
        let position = Position::recovered(next, &sources).await?;
        let watermark = WatermarkTracker::new(
            settings.watermark_policy,
            plan.watermark_delays_ms.clone(),
            position.watermark_ms,
        )
        .of_nodes(plan.watermark_nodes.clone());
        Ok(OpenRun {
            spec,
            settings,
            dir,
            shared,
            manager,
            plan,
            sources,
            state,
            watermark,
            position,
            changed,
            repartition,
            last_trigger_ms: None,
            last_idle_event_ms: None,
            maintenance: Maintenance::default(),
            _hold: hold,
        })
    }
}

/// Refuses operators that do not fit the state, and writes down those that nothing is known of.
async fn check_operators(
    dir: &CheckpointDir,
    next: &NextBatch,
    plan: &StreamingPlan,
    settings: &QuerySettings,
) -> Result<Option<Comparison>, EngineError> {
    let comparison = compare(dir, next, plan).await?;
    let allowed = settings.allow_changed_operators;
    let changes = comparison.changes();
    if !changes.is_empty() && allowed {
        tracing::warn!(
            ?changes,
            "going on with the state of other operations, as the conf allows"
        );
    }
    if comparison.unnoticed() && !allowed {
        return Err(comparison.refusal());
    }
    comparison.record(dir, allowed).await?;
    record_partitions(dir, plan).await?;
    Ok((!changes.is_empty() && !allowed).then_some(comparison))
}

async fn create_sources(
    plan: &StreamingPlan,
    dir: &CheckpointDir,
    spec: &QuerySpec,
    parallelism: usize,
) -> Result<Vec<Arc<dyn Source>>, EngineError> {
    let mut sources = vec![];
    for (index, table) in plan.sources.iter().enumerate() {
        let context = SourceContext {
            log: dir.source(index),
            clock: Arc::clone(&spec.clock),
            parallelism,
            faults: spec.faults.clone(),
        };
        let definition = table.definition();
        let source = definition
            .create(context)
            .await
            .map_err(|source| EngineError::Source {
                description: definition.format().to_string(),
                source,
            })?;
        sources.push(source);
    }
    Ok(sources)
}

/// Throws a temporary checkpoint away; what cannot be deleted is only litter.
async fn discard(url: &str) {
    let deleted = match storage::open(url) {
        Ok(root) => root.delete_dir("").await,
        Err(error) => Err(error),
    };
    if let Err(error) = deleted {
        tracing::warn!(url, %error, "cannot delete the temporary checkpoint");
    }
}

/// What a trigger came to.
enum Tick {
    Ran,
    NothingToDo,
}

impl OpenRun {
    async fn run(&mut self) -> Result<(), EngineError> {
        let limits = self.limits().await?;
        self.repartition().await?;
        if self.shared.cancel.is_cancelled() {
            return Ok(());
        }
        loop {
            let triggered_ms = self.spec.clock.now_ms();
            let tick = self.trigger(triggered_ms, limits).await?;
            // The batch that had to be run again first is done.
            self.repartition().await?;
            if self.shared.cancel.is_cancelled() {
                return Ok(());
            }
            match (self.spec.trigger, tick) {
                (Trigger::Once, _) | (Trigger::AvailableNow, Tick::NothingToDo) => return Ok(()),
                (Trigger::AvailableNow, Tick::Ran) if limits == Limits::Single => return Ok(()),
                (Trigger::AvailableNow, Tick::Ran) => {}
                (trigger, tick) => {
                    let ended = match tick {
                        Tick::Ran => false,
                        Tick::NothingToDo => {
                            let now_ms = self.spec.clock.now_ms();
                            self.wait_until(now_ms + self.settings.polling_delay_ms)
                                .await
                        }
                    };
                    self.shared.set_message("Waiting for next trigger");
                    if ended || self.wait_until(trigger.next_ms(triggered_ms)).await {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// How much a batch may take, by trigger.
    async fn limits(&mut self) -> Result<Limits, EngineError> {
        match self.spec.trigger {
            Trigger::ProcessingTime { .. } => Ok(Limits::OfSource),
            Trigger::Once => Ok(Limits::Single),
            Trigger::AvailableNow => {
                for source in &self.sources {
                    let bounded = source.prepare_for_available_now().await;
                    if !bounded.map_err(|error| source_error(source, error))? {
                        tracing::warn!(
                            source = source.description(),
                            "the source cannot tell what is available now: running one batch with everything"
                        );
                        return Ok(Limits::Single);
                    }
                }
                Ok(Limits::OfSource)
            }
        }
    }

    /// Waits; true if the run is to end.
    async fn wait_until(&self, at_ms: i64) -> bool {
        // Even a loop that never waits lets others run.
        tokio::task::yield_now().await;
        if at_ms > self.spec.clock.now_ms() {
            tokio::select! {
                biased;
                () = self.shared.cancel.cancelled() => {}
                () = self.spec.clock.sleep_until(at_ms) => {}
            }
        }
        self.shared.cancel.is_cancelled()
    }

    async fn trigger(&mut self, triggered_ms: i64, limits: Limits) -> Result<Tick, EngineError> {
        let wishes = self.shared.idle_wishes();
        self.shared
            .set_status(|status| status.is_trigger_active = true);
        let mut watch = Stopwatch::start();
        let batch = match self.position.rerun.take() {
            Some(record) => Some(Batch::recorded(self.position.batch_id, record)),
            None => self.construct(triggered_ms, limits, &mut watch).await?,
        };
        let tick = match batch {
            Some(batch) => {
                let done = self.execute(batch, triggered_ms, watch).await?;
                if done { Tick::Ran } else { Tick::NothingToDo }
            }
            None => {
                self.shared.set_message("Waiting for data to arrive");
                self.report_idle(triggered_ms, watch);
                self.shared.answer_idle(wishes);
                Tick::NothingToDo
            }
        };
        self.shared
            .set_status(|status| status.is_trigger_active = false);
        Ok(tick)
    }

    /// Tells, at most once an interval, that there is nothing to do.
    fn report_idle(&mut self, now_ms: i64, watch: Stopwatch) {
        let due = self
            .last_idle_event_ms
            .is_none_or(|last| now_ms - last >= self.settings.idle_event_interval_ms);
        if !due {
            return;
        }
        let progress: StreamingQueryProgress = self.idle_progress(now_ms, watch);
        self.shared.add_progress(Arc::new(progress));
        if self.last_idle_event_ms.is_some() {
            self.manager.publish(&StreamingQueryEvent::Idle {
                id: self.shared.id,
                run_id: self.shared.run_id,
                timestamp_ms: now_ms,
            });
        }
        self.last_idle_event_ms = Some(now_ms);
    }

    /// A batch ran: idleness begins anew.
    pub fn reset_idle(&mut self, now_ms: i64) {
        self.last_idle_event_ms = Some(now_ms);
    }

    /// Begins a round of maintenance if one is due.
    pub fn maintain_state(&mut self) {
        let newest = self.position.batch_id;
        let due = newest.is_multiple_of(self.settings.min_deltas_for_snapshot.max(1));
        if due && !self.plan.operators.is_empty() {
            let operators = self.plan.operators.iter();
            let partitions = operators
                .filter_map(|operator| Some((operator.id, operator.partitions.try_into().ok()?)))
                .collect();
            self.maintenance.begin(&self.state, partitions, newest);
        }
    }

    async fn close(&mut self) {
        // The next run must not meet a file that appears late.
        self.maintenance.end().await;
        for source in &self.sources {
            source.stop().await;
        }
    }

    fn describe(&self, offsets: &[Option<crate::source::Offset>]) -> Vec<(String, Option<String>)> {
        let texts = offsets
            .iter()
            .map(|offset| offset.as_ref().map(|offset| offset.json().to_string()));
        self.sources
            .iter()
            .map(|source| source.description())
            .zip(texts)
            .collect()
    }
}

pub(super) fn source_error(source: &Arc<dyn Source>, error: crate::BoxError) -> EngineError {
    EngineError::Source {
        description: source.description(),
        source: error,
    }
}
