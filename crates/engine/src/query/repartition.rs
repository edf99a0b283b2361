//! Giving the state of a query another number of partitions, between two batches.
//!
//! A checkpoint pins the number of its state partitions, as Spark's do. If the user says so
//! (`spark.millstream.checkpoint.repartitionState`) a run begins by lifting that: in a batch of its own, which reads
//! nothing, puts nothing out, and whose record in the offset log has the new number where the record before it has the old
//! one.
//!
//! ```text
//!   offsets/N        conf: 2 partitions   ─►  commits/N
//!   offsets/N+1      conf: 7 partitions   ─►  state N+2, in 7 partitions  ─►  commits/N+1
//!                    intent                   moved                           done
//! ```
//!
//! # Crash
//!
//! From the record on, the state is in seven partitions, or about to be. Every later run finds the record, and finishes what
//! it says before anything else, whatever the settings are by then: a batch that was begun is run again as recorded. State
//! N+1 is not touched, so this can be done over and over. A batch that was recorded under the old number and not
//! committed goes first, under the old number.
//!
//! # What other batches see of it
//!
//! A number that is missing between two batches, and nothing else. The record says where the sources stand; the watermark
//! that makes rows late in the next batch is that of the batch before, so the record repeats it, and its commit hands on the
//! one that the batch before computed.
use millstream_checkpoint::{
    CommitMetadata, FaultPoint, NextBatch, OffsetSeq, OffsetSeqMetadata, STATE_PARTITIONS,
};
use millstream_state::{PartitionedStore, Repartitioned, StateError, StateStoreId};

use super::{operators::record_partitions, run::OpenRun};
use crate::{EngineError, plan::StreamingPlan};

/// What a run has to do about the number of state partitions before its next new batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Repartition {
    /// The next batch is recorded, and moves state from this many partitions to the number that is pinned now.
    pub begun_from: Option<usize>,
    /// The number that the user wants.
    pub wanted: Option<usize>,
}

/// The old number of partitions, if the batch to be run again is one that changes it.
///
/// # Errors
/// If it also reads something, which no run has recorded.
pub(super) fn begun(next: &NextBatch) -> Result<Option<usize>, EngineError> {
    let NextBatch::Rerun {
        batch_id,
        offsets,
        previous: Some(previous),
        ..
    } = next
    else {
        return Ok(None);
    };
    let Some((from, to)) = offsets.repartitions(previous) else {
        return Ok(None);
    };
    let refused = |value: usize, reason: String| EngineError::PinnedSetting {
        key: STATE_PARTITIONS.to_string(),
        value: value.to_string(),
        reason,
    };
    if from == 0 {
        return Err(refused(from, "there must be one at least".to_string()));
    }
    if offsets.offsets != previous.offsets {
        return Err(refused(
            to,
            format!(
                "the batch before batch {batch_id} has {from}, and a batch that changes it reads nothing"
            ),
        ));
    }
    Ok(Some(from))
}

/// The restart as it would be without the record of the batch that changes the number of partitions.
pub(super) fn undone(next: NextBatch) -> NextBatch {
    match next {
        NextBatch::Rerun {
            batch_id,
            previous: Some(previous),
            watermark_ms,
            ..
        } => NextBatch::Fresh {
            batch_id,
            previous,
            before_previous: None,
            watermark_ms,
        },
        other => other,
    }
}

impl OpenRun {
    /// Brings state into as many partitions as is recorded, and then as many as is wanted; does nothing while a batch waits
    /// to be run again. May leave off when the run is cancelled.
    pub(super) async fn repartition(&mut self) -> Result<(), EngineError> {
        if self.position.rerun.is_some() {
            return Ok(());
        }
        if let Some(from) = self.repartition.begun_from.take() {
            self.finish_repartition(from).await?;
        }
        let wanted = self.repartition.wanted.take();
        let wanted = wanted.filter(|wanted| *wanted != self.settings.state_partitions);
        let Some(to) = wanted.filter(|_| !self.shared.cancel.is_cancelled()) else {
            return Ok(());
        };
        if self.plan.operators.is_empty() || self.position.batch_id == 0 {
            // There is no state: the number means nothing, or is not pinned yet.
            return Ok(());
        }
        let from = self.begin_repartition(to).await?;
        self.finish_repartition(from).await
    }

    /// Records the batch; returns the number of partitions so far.
    async fn begin_repartition(&mut self, to: usize) -> Result<usize, EngineError> {
        let from = self.settings.state_partitions;
        let batch_id = self.position.batch_id;
        let plan = self.plan_in(to).await?;
        let stores = stores(&self.plan, &plan)?;
        let provider = self.state.provider();
        provider.check_repartition(&stores, batch_id).await?;
        if let Some(changed) = &self.changed {
            return Err(changed.refusal());
        }
        let mut settings = self.settings.clone();
        settings.state_partitions = to;
        let record = OffsetSeq {
            metadata: OffsetSeqMetadata {
                batch_watermark_ms: self.position.late_ms,
                batch_timestamp_ms: self.spec.clock.now_ms(),
                conf: settings.record(),
            },
            offsets: self
                .position
                .committed
                .iter()
                .map(|at| at.as_ref().map(|at| at.json().to_string()))
                .collect(),
        };
        self.dir.offsets().add(batch_id, &record).await?;
        (self.settings, self.plan) = (settings, plan);
        self.release_previous().await?;
        Ok(from)
    }

    /// Moves state to the partitions that the recorded batch says, and commits the batch.
    async fn finish_repartition(&mut self, from: usize) -> Result<(), EngineError> {
        let to = self.settings.state_partitions;
        let batch_id = self.position.batch_id;
        self.shared
            .set_message(format!("Moving state from {from} to {to} partitions"));
        self.dir.faults().hit(FaultPoint::BeforeRepartition)?;
        // Nobody else may have a store open, or write files of one.
        self.maintenance.end().await;
        self.state.unload();
        let stores = stores(&self.plan_in(from).await?, &self.plan)?;
        let provider = self.state.provider().clone();
        let cancel = self.shared.cancel.clone();
        let stop = move || cancel.is_cancelled();
        for store in &stores {
            let moved = provider.repartition(store, batch_id, &stop).await;
            match moved.map_err(|source| failed(batch_id, from, to, source))? {
                Repartitioned::Stopped => return Ok(()),
                Repartitioned::Done { rows } => tracing::info!(
                    operator = store.operator_id,
                    store = store.store_name,
                    rows,
                    from = store.from,
                    to = store.to,
                    "state has other partitions"
                ),
            }
        }
        self.dir.faults().hit(FaultPoint::AfterRepartition)?;
        record_partitions(&self.dir, &self.plan).await?;
        let commit = CommitMetadata {
            next_batch_watermark_ms: self.watermark.current_ms(),
        };
        self.dir.commits().add(batch_id, &commit).await?;
        self.position.batch_id += 1;
        self.position.sources_committed = false;
        for store in &stores {
            for partition in store.to..store.from {
                let (operator_id, name) = (store.operator_id, &store.store_name);
                provider.forget(&StateStoreId::named(operator_id, partition, name));
            }
        }
        Ok(())
    }

    /// The plan of the query for another number of state partitions.
    async fn plan_in(&self, partitions: usize) -> Result<StreamingPlan, EngineError> {
        let plan = StreamingPlan::build(
            self.spec.plan.clone(),
            &self.spec.session,
            self.spec.output_mode,
            self.settings.parallelism,
            partitions,
        );
        plan.await.map_err(EngineError::Plan)
    }
}

/// Every store, with its number of partitions under two plans of one query.
fn stores(from: &StreamingPlan, to: &StreamingPlan) -> Result<Vec<PartitionedStore>, EngineError> {
    let partitions = |plan: &StreamingPlan, id: u32| {
        let operator = plan.operators.iter().find(|operator| operator.id == id);
        operator.and_then(|operator| u32::try_from(operator.partitions).ok())
    };
    let mut stores = vec![];
    for operator in &to.operators {
        let before = stores.len();
        for store in to.stores().map_err(EngineError::Plan)? {
            if store.operator_id != operator.id {
                continue;
            }
            let counts = partitions(from, operator.id).zip(partitions(to, operator.id));
            let Some((from, to)) = counts else { continue };
            stores.push(PartitionedStore {
                operator_id: operator.id,
                store_name: store.name.to_string(),
                schema: store.schema,
                placed_by: store.placed_by,
                from,
                to,
            });
        }
        if stores.len() == before {
            // Going on would leave its state behind.
            return Err(EngineError::UnknownState {
                operator_id: operator.id,
                name: operator.name,
            });
        }
    }
    Ok(stores)
}

/// Columns of another type are the program's matter, and have Spark's error; everything else is said with a way out.
fn failed(batch_id: u64, from: usize, to: usize, source: StateError) -> EngineError {
    match source {
        StateError::KeySchemaMismatch { .. } | StateError::ValueSchemaMismatch { .. } => {
            EngineError::State(source)
        }
        source => EngineError::Repartition {
            batch_id,
            from,
            to,
            source: Box::new(source),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(partitions: &str, offset: &str) -> OffsetSeq {
        let mut record = OffsetSeq {
            offsets: vec![Some(offset.to_string())],
            ..Default::default()
        };
        let conf = &mut record.metadata.conf;
        conf.insert(STATE_PARTITIONS.to_string(), partitions.to_string());
        record
    }

    fn rerun(offsets: OffsetSeq, previous: OffsetSeq) -> NextBatch {
        NextBatch::Rerun {
            batch_id: 5,
            offsets,
            previous: Some(previous),
            last_committed: Some(4),
            watermark_ms: 700,
        }
    }

    #[test]
    fn a_record_with_another_number_and_the_same_offsets_is_a_repartition() {
        let same = rerun(record("2", "9"), record("2", "4"));
        assert_eq!(begun(&same).unwrap(), None);
        let moves = rerun(record("7", "4"), record("2", "4"));
        assert_eq!(begun(&moves).unwrap(), Some(2));
        let undone = undone(moves);
        let expected = NextBatch::Fresh {
            batch_id: 5,
            previous: record("2", "4"),
            before_previous: None,
            watermark_ms: 700,
        };
        assert_eq!(undone, expected);
        assert_eq!(begun(&undone).unwrap(), None);
    }

    #[test]
    fn a_record_that_also_reads_is_refused_with_both_numbers() {
        let reads = rerun(record("7", "9"), record("2", "4"));
        let error = begun(&reads).unwrap_err().to_string();
        assert!(error.contains("spark.sql.shuffle.partitions=7"), "{error}");
        assert!(error.contains("the batch before batch 5 has 2"), "{error}");
        let none = rerun(record("7", "4"), record("0", "4"));
        assert!(begun(&none).is_err());
    }
}
