//! Running a recorded batch and committing it.
//!
//! ```text
//!   plan partitions ─► plan, fresh ─► writers, one a partition ─► sink commit ─► commit log ─► progress
//!                                        └ state is committed as each partition ends
//! ```
//!
//! If any part fails the batch is abandoned: the writers' tasks are ended and awaited, the sink is told, and the record in the
//! offset log stays for the next run.
use std::{
    collections::BTreeMap,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use datafusion::{
    error::DataFusionError,
    execution::TaskContext,
    physical_plan::{ExecutionPlan, ExecutionPlanProperties},
};
use millstream_checkpoint::{CommitMetadata, FaultPoint};
use serde_json::value::RawValue;
use tokio::task::JoinSet;

use super::{
    StateProvider, StreamingQueryEvent,
    construct::Batch,
    output::named,
    progress::{
        EventTimeProgress, SinkProgress, SourceProgress, StateOperatorProgress,
        StreamingQueryProgress, iso, per_second, raw, row_json,
    },
    run::{OpenRun, source_error},
};
use crate::{
    BoxError, EngineError,
    batch::{BatchContext, Observations},
    operator::observe::ObservedMetrics,
    sink::{CommitMessage, SinkBatch},
    source::{InputPartition, Offset},
    time::BatchWatermarks,
};

/// Times of a trigger by phase.
#[derive(Debug)]
pub(super) struct Stopwatch {
    started: Instant,
    phases: BTreeMap<&'static str, Duration>,
}

impl Stopwatch {
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
            phases: BTreeMap::new(),
        }
    }

    /// Adds the time that `work` takes to a phase.
    pub async fn time_async<T>(&mut self, phase: &'static str, work: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let done = work.await;
        *self.phases.entry(phase).or_default() += began.elapsed();
        done
    }

    fn elapsed_ms(&self) -> i64 {
        millis(self.started.elapsed())
    }

    fn durations(&self) -> BTreeMap<&'static str, i64> {
        let mut durations: BTreeMap<_, _> = self
            .phases
            .iter()
            .map(|(phase, spent)| (*phase, millis(*spent)))
            .collect();
        durations.insert("triggerExecution", self.elapsed_ms());
        durations
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

type Inputs = Vec<Vec<Vec<Arc<dyn InputPartition>>>>;

impl OpenRun {
    /// Runs and commits a batch; false if the run was cancelled before the batch was done.
    pub(super) async fn execute(
        &mut self,
        batch: Batch,
        triggered_ms: i64,
        mut watch: Stopwatch,
    ) -> Result<bool, EngineError> {
        self.shared.set_message(if batch.has_data {
            "Processing new data"
        } else {
            "No new data but cleaning up state"
        });
        let ends = batch.ends();
        let inputs = watch
            .time_async("getBatch", self.plan_inputs(&ends))
            .await?;
        let watermarks = BatchWatermarks {
            late_ms: self.position.late_ms,
            eviction_ms: batch.record.metadata.batch_watermark_ms,
        };
        let observations = Arc::new(Observations::new(self.sources.len()));
        let context = self.context(&batch, inputs, watermarks, &observations);
        let physical = watch
            .time_async("queryPlanning", self.physical(&batch))
            .await?;
        let sink_batch = SinkBatch {
            batch_id: batch.batch_id,
            query_id: self.shared.id,
            schema: Arc::clone(&self.spec.schema),
            output_mode: self.spec.output_mode,
            faults: self.spec.faults.clone(),
        };
        let cancel = self.shared.cancel.clone();
        let mut tasks = JoinSet::new();
        let written = watch
            .time_async("addBatch", async {
                tokio::select! {
                    biased;
                    written = self.write(physical, context, &sink_batch, &mut tasks) => Some(written),
                    () = cancel.cancelled() => None,
                }
            })
            .await;
        // Whoever runs this batch again must not meet a task of this run that still writes.
        tasks.shutdown().await;
        let messages = match written {
            Some(Ok(messages)) => messages,
            abandoned => {
                self.spec.sink.abort(&sink_batch).await;
                return abandoned.map_or(Ok(false), |failed| failed.map(|_| false));
            }
        };
        self.check_state(&batch, &observations)?;
        if let Some(changed) = &self.changed {
            // The stores have not noticed; what they now hold of this batch is written again when it is run again.
            return Err(changed.refusal());
        }
        watch
            .time_async("addBatch", self.commit_sink(&sink_batch, messages))
            .await?;
        self.watermark.advance(observations.event_times());
        let commit = CommitMetadata {
            next_batch_watermark_ms: self.watermark.current_ms(),
        };
        watch
            .time_async(
                "commitOffsets",
                self.dir.commits().add(batch.batch_id, &commit),
            )
            .await?;
        self.finish(batch, ends, watermarks, triggered_ms, watch, &observations)
            .await;
        Ok(true)
    }

    async fn physical(&self, batch: &Batch) -> Result<Arc<dyn ExecutionPlan>, EngineError> {
        self.plan
            .batch_time
            .set_ms(batch.record.metadata.batch_timestamp_ms);
        let physical = self.plan.physical().await.map_err(EngineError::Plan)?;
        self.shared
            .set_plan(|| (self.plan.explain(false), self.plan.explain(true)));
        Ok(physical)
    }

    /// What every source has to read, dealt out to the partitions of its scan.
    async fn plan_inputs(&self, ends: &[Option<Offset>]) -> Result<Inputs, EngineError> {
        let mut inputs = vec![];
        for ((source, start), end) in self.sources.iter().zip(&self.position.committed).zip(ends) {
            let mut dealt = vec![vec![]; self.settings.parallelism.max(1)];
            let end = end.as_ref().filter(|end| Some(*end) != start.as_ref());
            if let Some(end) = end {
                let planned = source.plan_batch(start.as_ref(), end).await;
                let lanes = dealt.len();
                for (index, part) in planned
                    .map_err(|error| source_error(source, error))?
                    .into_iter()
                    .enumerate()
                {
                    if let Some(lane) = dealt.get_mut(index % lanes) {
                        lane.push(part);
                    }
                }
            }
            inputs.push(dealt);
        }
        Ok(inputs)
    }

    fn context(
        &self,
        batch: &Batch,
        inputs: Inputs,
        watermarks: BatchWatermarks,
        observations: &Arc<Observations>,
    ) -> Arc<TaskContext> {
        let context = BatchContext {
            batch_id: batch.batch_id,
            watermarks: self.plan.watermark_flow.in_batch(watermarks),
            inputs,
            state: Arc::clone(&self.state),
            observations: Arc::clone(observations),
            faults: self.spec.faults.clone(),
        };
        let session = &self.spec.session;
        let config = session.config().clone();
        let config = config.with_extension(Arc::new(context));
        Arc::new(TaskContext::new(
            Some(format!("batch {}", batch.batch_id)),
            session.session_id().to_string(),
            config.with_extension(Arc::clone(&observations.observed)),
            Default::default(),
            Default::default(),
            Default::default(),
            Default::default(),
            Arc::clone(session.runtime_env()),
        ))
    }

    /// Runs the plan into the sink's writers, a task per partition.
    async fn write(
        &self,
        physical: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
        sink_batch: &SinkBatch,
        tasks: &mut JoinSet<(usize, Result<CommitMessage, BoxError>)>,
    ) -> Result<Vec<CommitMessage>, EngineError> {
        let batch_id = sink_batch.batch_id;
        let observations = BatchContext::of(&context)
            .map(|batch| Arc::clone(&batch.observations))
            .map_err(EngineError::Plan)?;
        let writer = self
            .spec
            .sink
            .begin(sink_batch)
            .await
            .map_err(|error| self.sink_error(error))?;
        for partition in 0..physical.output_partitioning().partition_count() {
            let rows = physical
                .execute(partition, Arc::clone(&context))
                .map_err(|source| EngineError::Execution { batch_id, source })?;
            let rows = named(rows, sink_batch, Arc::clone(&observations));
            let writer = Arc::clone(&writer);
            tasks.spawn(async move { (partition, writer.write(partition, rows).await) });
        }
        self.spec.faults.hit(FaultPoint::MidBatch)?;
        let mut messages = BTreeMap::new();
        while let Some(done) = tasks.join_next().await {
            let (partition, message) = done.map_err(|error| EngineError::Task {
                message: error.to_string(),
            })?;
            messages.insert(
                partition,
                message.map_err(|error| self.write_error(batch_id, error))?,
            );
        }
        Ok(messages.into_values().collect())
    }

    /// An error that a writer passed on from the plan is the plan's, not the sink's.
    fn write_error(&self, batch_id: u64, error: BoxError) -> EngineError {
        match error.downcast::<DataFusionError>() {
            Ok(source) => EngineError::Execution {
                batch_id,
                source: *source,
            },
            Err(error) => self.sink_error(error),
        }
    }

    fn sink_error(&self, source: BoxError) -> EngineError {
        EngineError::Sink {
            description: self.spec.sink.description(),
            source,
        }
    }

    async fn commit_sink(
        &self,
        batch: &SinkBatch,
        messages: Vec<CommitMessage>,
    ) -> Result<(), EngineError> {
        self.spec.faults.hit(FaultPoint::BeforeSinkCommit)?;
        self.spec
            .sink
            .commit(batch, messages)
            .await
            .map_err(|error| self.sink_error(error))?;
        self.spec.faults.hit(FaultPoint::AfterSinkCommit)?;
        Ok(())
    }

    /// Every partition of every stateful operator must have committed its state.
    fn check_state(&self, batch: &Batch, observations: &Observations) -> Result<(), EngineError> {
        let reported = observations.operators();
        for operator in &self.plan.operators {
            let committed = reported
                .get(&operator.id)
                .map_or(0, |metrics| metrics.partitions);
            if committed != operator.partitions as u64 {
                return Err(EngineError::StateNotCommitted {
                    batch_id: batch.batch_id,
                    operator_id: operator.id,
                    committed,
                    expected: operator.partitions,
                });
            }
        }
        Ok(())
    }

    /// The batch is done: moves on and reports.
    async fn finish(
        &mut self,
        batch: Batch,
        ends: Vec<Option<Offset>>,
        watermarks: BatchWatermarks,
        triggered_ms: i64,
        watch: Stopwatch,
        observations: &Observations,
    ) {
        let progress = Arc::new(
            self.progress(
                &batch,
                &ends,
                watermarks,
                triggered_ms,
                &watch,
                observations,
            )
            .await,
        );
        self.position.batch_id = batch.batch_id + 1;
        self.position.committed = ends;
        self.position.sources_committed = false;
        self.position.late_ms = watermarks.eviction_ms;
        self.position.executed_watermark_ms = Some(watermarks.eviction_ms);
        self.last_trigger_ms = Some(triggered_ms);
        self.reset_idle(self.spec.clock.now_ms());
        self.shared.add_progress(Arc::clone(&progress));
        self.manager
            .publish(&StreamingQueryEvent::Progress(progress));
        self.maintain_state();
    }

    async fn progress(
        &self,
        batch: &Batch,
        ends: &[Option<Offset>],
        watermarks: BatchWatermarks,
        triggered_ms: i64,
        watch: &Stopwatch,
        observations: &Observations,
    ) -> StreamingQueryProgress {
        let batch_ms = watch.elapsed_ms();
        let since_ms = self.last_trigger_ms.map_or(0, |last| triggered_ms - last);
        let mut sources = vec![];
        for (index, rows) in observations.source_rows().into_iter().enumerate() {
            sources.extend(
                self.source_progress(index, ends, rows, since_ms, batch_ms)
                    .await,
            );
        }
        let rows: u64 = sources.iter().map(|source| source.num_input_rows).sum();
        let sink = &self.spec.sink;
        let output_rows = i64::try_from(observations.output_rows()).unwrap_or(i64::MAX);
        StreamingQueryProgress {
            id: self.shared.id,
            run_id: self.shared.run_id,
            name: self.shared.name.clone(),
            timestamp: iso(triggered_ms),
            batch_id: batch.batch_id,
            batch_duration: batch_ms,
            num_input_rows: rows,
            input_rows_per_second: per_second(rows, since_ms),
            processed_rows_per_second: per_second(rows, batch_ms),
            duration_ms: watch.durations(),
            event_time: self.event_time_progress(watermarks.eviction_ms, Some(observations)),
            state_operators: self.operator_progress(observations),
            sources,
            sink: SinkProgress {
                description: sink.description(),
                num_output_rows: if sink.counts_rows() { output_rows } else { -1 },
                metrics: sink.metrics().into_iter().collect(),
            },
            observed_metrics: observed(&observations.observed),
        }
    }

    async fn source_progress(
        &self,
        index: usize,
        ends: &[Option<Offset>],
        rows: u64,
        since_ms: i64,
        batch_ms: i64,
    ) -> Option<SourceProgress> {
        let source = self.sources.get(index)?;
        let json = |offset: Option<&Offset>| offset.and_then(|offset| raw(offset.json()));
        Some(SourceProgress {
            description: source.description(),
            // The first batch has no batch before it to start from.
            start_offset: json(
                self.position
                    .committed
                    .get(index)
                    .and_then(Option::as_ref)
                    .filter(|_| self.position.batch_id > 0),
            ),
            end_offset: json(ends.get(index).and_then(Option::as_ref)),
            latest_offset: json(source.report_latest_offset().await.as_ref()),
            num_input_rows: rows,
            input_rows_per_second: per_second(rows, since_ms),
            processed_rows_per_second: per_second(rows, batch_ms),
            metrics: source.metrics().into_iter().collect(),
        })
    }

    fn event_time_progress(
        &self,
        watermark_ms: i64,
        seen: Option<&Observations>,
    ) -> Option<EventTimeProgress> {
        if self.plan.watermark_delays_ms.is_empty() {
            return None;
        }
        // Of several watermarks the first that saw a row is reported, as Spark does.
        let all = seen
            .and_then(|seen| seen.event_times().into_values().find(|seen| seen.count > 0))
            .unwrap_or_default();
        let shown = |at_ms: i64| (all.count > 0).then(|| iso(at_ms));
        Some(EventTimeProgress {
            avg: shown(all.avg_ms()),
            max: shown(all.max_ms),
            min: shown(all.min_ms),
            watermark: iso(watermark_ms),
        })
    }

    fn operator_progress(&self, observations: &Observations) -> Vec<StateOperatorProgress> {
        let reported = observations.operators();
        let settings = &self.settings;
        let counted = settings.total_rows || settings.state_provider != StateProvider::Lsm;
        let of = |operator: &crate::plan::StatefulOperator| {
            let metrics = reported.get(&operator.id).cloned().unwrap_or_default();
            StateOperatorProgress {
                operator_name: operator.name,
                num_rows_total: if counted { metrics.rows_total } else { 0 },
                num_rows_updated: metrics.rows_updated,
                all_updates_time_ms: metrics.updates_us / 1000,
                num_rows_removed: metrics.rows_removed,
                all_removals_time_ms: metrics.removals_us / 1000,
                commit_time_ms: metrics.commit_us / 1000,
                memory_used_bytes: metrics.memory_bytes,
                num_rows_dropped_by_watermark: metrics.rows_dropped_by_watermark,
                // The query's, also where an operator has a single one.
                num_shuffle_partitions: self.settings.state_partitions as u64,
                num_state_store_instances: metrics.stores(),
                custom_metrics: metrics.named(self.settings.reported_stores),
            }
        };
        let from_the_top = self.plan.told_order.iter();
        from_the_top
            .filter_map(|id| self.plan.operators.get(*id as usize))
            .map(of)
            .collect()
    }

    /// The report of a trigger that found nothing to do.
    pub(super) fn idle_progress(&self, now_ms: i64, watch: Stopwatch) -> StreamingQueryProgress {
        let sources = self.sources.iter().zip(&self.position.committed);
        let offset = |at: &Option<Offset>| at.as_ref().and_then(|at| raw(at.json()));
        StreamingQueryProgress {
            id: self.shared.id,
            run_id: self.shared.run_id,
            name: self.shared.name.clone(),
            timestamp: iso(now_ms),
            batch_id: self.position.batch_id,
            batch_duration: watch.elapsed_ms(),
            num_input_rows: 0,
            input_rows_per_second: 0.0,
            processed_rows_per_second: 0.0,
            duration_ms: watch.durations(),
            event_time: self.event_time_progress(self.watermark.current_ms(), None),
            state_operators: vec![],
            sources: sources
                .map(|(source, at)| SourceProgress {
                    description: source.description(),
                    start_offset: offset(at),
                    end_offset: offset(at),
                    latest_offset: offset(at),
                    num_input_rows: 0,
                    input_rows_per_second: 0.0,
                    processed_rows_per_second: 0.0,
                    metrics: BTreeMap::new(),
                })
                .collect(),
            sink: SinkProgress {
                description: self.spec.sink.description(),
                num_output_rows: if self.spec.sink.counts_rows() { 0 } else { -1 },
                metrics: BTreeMap::new(),
            },
            observed_metrics: BTreeMap::new(),
        }
    }
}

/// The plan's own metrics. A report without them is better than a query that ends after its batch is done.
fn observed(metrics: &ObservedMetrics) -> BTreeMap<String, Box<RawValue>> {
    let rows = metrics.take().unwrap_or_else(|error| {
        tracing::warn!(%error, "observed metrics are missing from a report");
        BTreeMap::new()
    });
    let rows = rows.into_iter();
    rows.filter_map(|(name, row)| Some((name, row_json(&row)?)))
        .collect()
}
