//! Deciding whether there is a next batch, and recording it.
//!
//! A batch exists from the moment its record stands in the offset log: the range of every source, the watermark, the time and
//! the pinned settings. There is one if a source has something new, or if the watermark moved since the last batch
//! of this run and a stateful operator would act on that.
use millstream_checkpoint::{NextBatch, OffsetSeq, OffsetSeqMetadata};

use super::{
    execute::Stopwatch,
    run::{OpenRun, source_error},
};
use crate::{
    EngineError,
    plan::UnsupportedOperation,
    source::{Offset, ReadLimit, Source},
};

/// How much a batch may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limits {
    /// What the options of the sources allow.
    OfSource,
    /// Everything, and there is only one batch.
    Single,
}

/// Where a run stands in its logs.
#[derive(Debug)]
pub(super) struct Position {
    /// The batch that is next.
    pub batch_id: u64,
    /// Where it starts, by source.
    pub committed: Vec<Option<Offset>>,
    /// The furthest that is recorded, by source.
    pub available: Vec<Option<Offset>>,
    /// Watermark for the next batch, as recovered.
    pub watermark_ms: i64,
    /// Watermark of the batch before: what is at or below it is late.
    pub late_ms: i64,
    /// Watermark of the last batch that this run executed.
    pub executed_watermark_ms: Option<i64>,
    /// A recorded batch that has to be run again.
    pub rerun: Option<OffsetSeq>,
    /// Whether the sources have been told that the batch before is done.
    pub sources_committed: bool,
}

/// A recorded batch.
#[derive(Debug)]
pub(super) struct Batch {
    pub batch_id: u64,
    pub record: OffsetSeq,
    /// Whether it has anything to read.
    pub has_data: bool,
}

impl Batch {
    /// The batch of a record that is being run again.
    pub fn recorded(batch_id: u64, record: OffsetSeq) -> Self {
        Self {
            batch_id,
            record,
            has_data: true,
        }
    }

    /// Where it ends, by source.
    pub fn ends(&self) -> Vec<Option<Offset>> {
        offsets(&self.record)
    }
}

fn offsets(record: &OffsetSeq) -> Vec<Option<Offset>> {
    record
        .offsets
        .iter()
        .map(|offset| offset.as_deref().map(Offset::new))
        .collect()
}

/// Tells every source where its records end.
async fn resume(
    next: &NextBatch,
    sources: &[std::sync::Arc<dyn Source>],
) -> Result<(), EngineError> {
    let (NextBatch::Rerun {
        offsets: latest, ..
    }
    | NextBatch::Fresh {
        previous: latest, ..
    }) = next
    else {
        return Ok(());
    };
    for (source, end) in sources.iter().zip(offsets(latest)) {
        if let Some(end) = end {
            let resumed = source.resume(&end).await;
            resumed.map_err(|error| source_error(source, error))?;
        }
    }
    Ok(())
}

impl Position {
    /// The position that recovery found.
    pub async fn recovered(
        next: NextBatch,
        sources: &[std::sync::Arc<dyn Source>],
    ) -> Result<Self, EngineError> {
        let mut initial = vec![];
        for source in sources {
            initial.push(
                source
                    .initial_offset()
                    .await
                    .map_err(|error| source_error(source, error))?,
            );
        }
        resume(&next, sources).await?;
        let from = |record: Option<&OffsetSeq>| record.map_or_else(|| initial.clone(), offsets);
        let position = match next {
            NextBatch::First => Self::at(0, initial.clone()),
            NextBatch::Rerun {
                batch_id,
                offsets: record,
                previous,
                ..
            } => Self {
                available: offsets(&record),
                watermark_ms: record.metadata.batch_watermark_ms,
                late_ms: previous
                    .as_ref()
                    .map_or(0, |previous| previous.metadata.batch_watermark_ms),
                rerun: Some(record),
                sources_committed: true,
                ..Self::at(batch_id, from(previous.as_ref()))
            },
            NextBatch::Fresh {
                batch_id,
                previous,
                watermark_ms,
                ..
            } => Self {
                watermark_ms,
                late_ms: previous.metadata.batch_watermark_ms,
                ..Self::at(batch_id, offsets(&previous))
            },
        };
        Ok(position)
    }

    fn at(batch_id: u64, committed: Vec<Option<Offset>>) -> Self {
        Self {
            batch_id,
            available: committed.clone(),
            committed,
            watermark_ms: 0,
            late_ms: 0,
            executed_watermark_ms: None,
            rerun: None,
            sources_committed: batch_id == 0,
        }
    }
}

impl OpenRun {
    /// The next batch, recorded; `None` if there is nothing to do.
    pub(super) async fn construct(
        &mut self,
        triggered_ms: i64,
        limits: Limits,
        watch: &mut Stopwatch,
    ) -> Result<Option<Batch>, EngineError> {
        let ends = watch
            .time_async("latestOffset", self.latest_offsets(limits))
            .await?;
        // The first batch takes note of where its sources begin, rows or not.
        let first = self.position.batch_id == 0;
        let has_data = ends
            .iter()
            .zip(&self.position.committed)
            .any(|(end, start)| end.is_some() && (first || end != start));
        self.shared
            .set_status(|status| status.is_data_available = has_data);
        let watermark_ms = self.watermark.current_ms();
        if self.settings.multiple_operators && self.plan.redefines_watermark && watermark_ms > 0 {
            return Err(UnsupportedOperation::RedefinedWatermark.into());
        }
        let clean_up = self.settings.no_data_batches && self.would_act_on(watermark_ms);
        if (!has_data && !clean_up) || self.shared.cancel.is_cancelled() {
            return Ok(None);
        }
        let record = OffsetSeq {
            metadata: OffsetSeqMetadata {
                batch_watermark_ms: watermark_ms,
                batch_timestamp_ms: triggered_ms,
                conf: self.settings.record(),
            },
            offsets: ends
                .iter()
                .map(|end| end.as_ref().map(|end| end.json().to_string()))
                .collect(),
        };
        let batch_id = self.position.batch_id;
        self.shared.set_message("Writing offsets to log");
        watch
            .time_async("walCommit", self.dir.offsets().add(batch_id, &record))
            .await?;
        self.position.available = ends;
        watch
            .time_async("commitOffsets", self.release_previous())
            .await?;
        Ok(Some(Batch {
            batch_id,
            record,
            has_data,
        }))
    }

    /// Whether a batch without new rows is worth running: an operator acts on its watermark, and that moved since the last
    /// batch of this run. A run that has not executed a batch yet waits for data.
    fn would_act_on(&self, watermark_ms: i64) -> bool {
        let Some(executed_ms) = self.position.executed_watermark_ms else {
            return false;
        };
        let flow = &self.plan.watermark_flow;
        let moved = flow.at(watermark_ms).into_iter().zip(flow.at(executed_ms));
        self.plan
            .operators
            .iter()
            .zip(moved)
            .any(|(operator, (now, before))| operator.acts_on_watermark && now > before)
    }

    async fn latest_offsets(&self, limits: Limits) -> Result<Vec<Option<Offset>>, EngineError> {
        let mut ends = vec![];
        for (source, start) in self.sources.iter().zip(&self.position.committed) {
            self.shared
                .set_message(format!("Getting offsets from {}", source.description()));
            let limit = match limits {
                Limits::OfSource => source.read_limit(),
                Limits::Single => ReadLimit::AllAvailable,
            };
            let end = source.latest_offset(start.as_ref(), limit).await;
            // A source that has nothing stays where it is.
            ends.push(
                end.map_err(|error| source_error(source, error))?
                    .or_else(|| start.clone()),
            );
        }
        Ok(ends)
    }

    /// The batch before is done for good: its sources may forget what it read, and records that nobody can need any more go.
    pub(super) async fn release_previous(&mut self) -> Result<(), EngineError> {
        if self.position.sources_committed {
            return Ok(());
        }
        self.dir
            .faults()
            .hit(millstream_checkpoint::FaultPoint::SourceCommit)?;
        for (source, end) in self.sources.iter().zip(&self.position.committed) {
            if let Some(end) = end {
                source
                    .commit(end)
                    .await
                    .map_err(|error| source_error(source, error))?;
            }
        }
        self.position.sources_committed = true;
        let retain = self.settings.min_batches_to_retain;
        if self.position.batch_id <= retain {
            return Ok(());
        }
        match self.dir.purge(self.position.batch_id, retain).await {
            Err(error) if error.is_injected() => Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, "cannot delete old records of the checkpoint, will be tried again");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}
