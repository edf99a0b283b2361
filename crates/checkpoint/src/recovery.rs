//! Where to go on: from what the two logs hold, which batch runs next, and from where.
//!
//! The decision is a function of plain values; [`crate::CheckpointDir::recover`] reads them.
//!
//! | latest offsets | latest commit | next |
//! |---|---|---|
//! | none | none | batch 0 |
//! | N | N | batch N+1, new, from the end of N, under the later of the two watermarks |
//! | N | below N, or none | batch N again, exactly as recorded, from the end of N−1 |
//! | N, but N−1 is gone | any | error: nobody knows where N starts |
//! | below C, or none | C | error: a batch is done that was never begun |
//!
//! The third row holds however far the commits lag behind. A normal crash leaves them one behind;
//! more means that commits were deleted or that Spark's asynchronous progress tracking wrote only
//! some of them, and re-running the latest recorded batch is right then, too. Batches between two
//! records that are both absent (a hole further back) concern nobody.
//!
//! A watermark never goes back: an earlier batch may have recorded a higher one than its commit
//! did.
use crate::{BatchId, CheckpointError, CommitMetadata, OffsetSeq};

/// What a restart found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    /// Batches in the offset log, ascending.
    pub offset_ids: Vec<BatchId>,
    /// Batches in the commit log, ascending.
    pub commit_ids: Vec<BatchId>,
    /// The record of the latest batch in the offset log.
    pub latest_offsets: Option<OffsetSeq>,
    /// The record of the batch right before that one, if it is there.
    pub previous_offsets: Option<OffsetSeq>,
    /// The record of the latest batch in the commit log.
    pub latest_commit: Option<CommitMetadata>,
}

/// The batch a query starts with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextBatch {
    /// Nothing was ever recorded: batch 0, from the initial offsets of the sources.
    First,
    /// A recorded batch whose end nobody recorded.
    Rerun {
        /// The batch.
        batch_id: BatchId,
        /// Its record: run it as this says.
        offsets: OffsetSeq,
        /// Where it starts: the end of the batch before it. `None` for batch 0, which starts at the
        /// initial offsets.
        previous: Option<OffsetSeq>,
        /// The latest batch that is done. More than one behind `batch_id` is worth a warning.
        last_committed: Option<BatchId>,
        /// The watermark that the batch before it left, milliseconds since the epoch. The batch itself
        /// runs under the one of its record.
        watermark_ms: i64,
    },
    /// A batch yet to be constructed.
    Fresh {
        /// The batch.
        batch_id: BatchId,
        /// Where it starts, and the confs that stay pinned.
        previous: OffsetSeq,
        /// Where the batch before it starts: some sources want to see their last batch again.
        /// `None` if that one was batch 0.
        before_previous: Option<OffsetSeq>,
        /// The watermark it runs under, milliseconds since the epoch.
        watermark_ms: i64,
    },
}

impl NextBatch {
    /// The number of the batch.
    pub fn batch_id(&self) -> BatchId {
        match self {
            NextBatch::First => 0,
            NextBatch::Rerun { batch_id, .. } | NextBatch::Fresh { batch_id, .. } => *batch_id,
        }
    }
}

/// Decides which batch runs next. `location` is for messages.
///
/// # Errors
/// When the logs contradict each other; see the module documentation.
pub fn decide(location: &str, seen: Seen) -> Result<NextBatch, CheckpointError> {
    let latest = seen.offset_ids.last().copied();
    let committed = seen.commit_ids.last().copied();
    if let Some(commit) = committed.filter(|commit| latest.is_none_or(|latest| *commit > latest)) {
        return Err(CheckpointError::CommitWithoutOffsets {
            location: location.to_owned(),
            commit,
            latest_offset: latest,
        });
    }
    let Some(batch_id) = latest else {
        return Ok(NextBatch::First);
    };
    let record = |log: &str, id: BatchId| CheckpointError::MissingRecord {
        path: format!("{location}/{log}/{id}"),
        needed_for: "the restart".into(),
    };
    let offsets = seen
        .latest_offsets
        .ok_or_else(|| record("offsets", batch_id))?;
    let previous = match batch_id.checked_sub(1) {
        None => None,
        Some(id) => match seen.previous_offsets {
            Some(previous) => Some(previous),
            None => {
                return Err(CheckpointError::MissingPreviousOffsets {
                    location: location.to_owned(),
                    batch_id,
                    previous: id,
                });
            }
        },
    };
    if committed != Some(batch_id) {
        let before = previous
            .as_ref()
            .map_or(0, |previous| previous.metadata.batch_watermark_ms);
        let left = seen
            .latest_commit
            .map_or(0, |commit| commit.next_batch_watermark_ms);
        return Ok(NextBatch::Rerun {
            batch_id,
            offsets,
            previous,
            last_committed: committed,
            watermark_ms: before.max(left),
        });
    }
    let commit = seen
        .latest_commit
        .ok_or_else(|| record("commits", batch_id))?;
    Ok(NextBatch::Fresh {
        batch_id: batch_id + 1,
        watermark_ms: offsets
            .metadata
            .batch_watermark_ms
            .max(commit.next_batch_watermark_ms),
        previous: offsets,
        before_previous: previous,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn offsets(id: BatchId) -> OffsetSeq {
        let mut record = OffsetSeq {
            offsets: vec![Some(id.to_string())],
            ..OffsetSeq::default()
        };
        record.metadata.batch_watermark_ms = 100;
        record
    }

    /// What a restart sees of two folders with these files.
    fn seen(offset_ids: &[BatchId], commit_ids: &[BatchId], watermark_ms: i64) -> Seen {
        let latest = offset_ids.last().copied();
        let previous = latest
            .and_then(|id| id.checked_sub(1))
            .filter(|id| offset_ids.contains(id));
        Seen {
            offset_ids: offset_ids.to_vec(),
            commit_ids: commit_ids.to_vec(),
            latest_offsets: latest.map(offsets),
            previous_offsets: previous.map(offsets),
            latest_commit: commit_ids.last().map(|_| CommitMetadata {
                next_batch_watermark_ms: watermark_ms,
            }),
        }
    }

    fn decided(
        offset_ids: &[BatchId],
        commit_ids: &[BatchId],
    ) -> Result<NextBatch, CheckpointError> {
        decide("file:///ck", seen(offset_ids, commit_ids, 700))
    }

    #[test]
    fn empty_checkpoint_starts_with_batch_0() {
        assert_eq!(decided(&[], &[]).unwrap(), NextBatch::First);
    }

    #[test]
    fn committed_batch_is_followed_by_a_fresh_one() {
        let next = decided(&[3, 4, 5], &[3, 4, 5]).unwrap();
        let expected = NextBatch::Fresh {
            batch_id: 6,
            previous: offsets(5),
            before_previous: Some(offsets(4)),
            watermark_ms: 700,
        };
        assert_eq!(next, expected);
        assert_eq!(decided(&[0], &[0]).unwrap().batch_id(), 1);
    }

    #[test]
    fn watermark_never_goes_back() {
        let next = decide("file:///ck", seen(&[0], &[0], 30)).unwrap();
        assert!(
            matches!(
                next,
                NextBatch::Fresh {
                    watermark_ms: 100,
                    ..
                }
            ),
            "{next:?}"
        );
    }

    #[test]
    fn uncommitted_batch_is_run_again_as_recorded() {
        let next = decided(&[4, 5], &[3, 4]).unwrap();
        let expected = NextBatch::Rerun {
            batch_id: 5,
            offsets: offsets(5),
            previous: Some(offsets(4)),
            last_committed: Some(4),
            watermark_ms: 700,
        };
        assert_eq!(next, expected);
        assert!(matches!(
            decided(&[0], &[]).unwrap(),
            NextBatch::Rerun {
                batch_id: 0,
                previous: None,
                last_committed: None,
                watermark_ms: 0,
                ..
            }
        ));
        // Commits that say less, or nothing, do not take the watermark back.
        for (commits, next_ms) in [(&[3, 4][..], 30), (&[], 700)] {
            let next = decide("file:///ck", seen(&[4, 5], commits, next_ms)).unwrap();
            assert!(
                matches!(
                    next,
                    NextBatch::Rerun {
                        watermark_ms: 100,
                        ..
                    }
                ),
                "{next:?}"
            );
        }
    }

    #[test]
    fn commits_far_behind_or_gone_still_re_run_the_latest_batch() {
        for commits in [&[0, 1, 2][..], &[]] {
            let next = decided(&[0, 1, 2, 3, 4, 5], commits).unwrap();
            assert!(
                matches!(&next, NextBatch::Rerun { batch_id: 5, last_committed, .. }
                    if *last_committed == commits.last().copied()),
                "{next:?}"
            );
        }
    }

    #[test]
    fn hole_further_back_is_ignored() {
        assert_eq!(decided(&[0, 1, 4, 5], &[0, 5]).unwrap().batch_id(), 6);
    }

    #[test]
    fn missing_previous_offsets_are_an_error_with_or_without_a_commit() {
        for commits in [&[11, 12][..], &[11]] {
            let error = decided(&[10, 12], commits).unwrap_err();
            assert!(
                matches!(
                    error,
                    CheckpointError::MissingPreviousOffsets {
                        batch_id: 12,
                        previous: 11,
                        ..
                    }
                ),
                "{error}"
            );
        }
    }

    #[test]
    fn commit_without_offsets_is_an_error() {
        let error = decided(&[10, 11], &[10, 11, 12]).unwrap_err();
        assert_eq!(error.error_class(), Some("CONCURRENT_STREAM_LOG_UPDATE"));
        assert_eq!(error.message_parameters(), [("batchId", "11".to_owned())]);
        let error = decided(&[], &[0, 1]).unwrap_err();
        assert!(error.to_string().contains("no offsets at all"), "{error}");
    }

    proptest! {
        /// Any two sets of files are decided, and no decision runs a batch that is done or skips
        /// one that was begun.
        #[test]
        fn every_pair_of_logs_is_decided_soundly(
            offset_ids in prop::collection::btree_set(0u64..12, 0..12),
            commit_ids in prop::collection::btree_set(0u64..12, 0..12),
        ) {
            let offset_ids: Vec<_> = offset_ids.into_iter().collect();
            let commit_ids: Vec<_> = commit_ids.into_iter().collect();
            let latest = offset_ids.last().copied();
            let committed = commit_ids.last().copied();
            match decided(&offset_ids, &commit_ids) {
                Ok(NextBatch::First) => {
                    prop_assert!(offset_ids.is_empty() && commit_ids.is_empty());
                }
                Ok(NextBatch::Rerun { batch_id, offsets: record, previous, .. }) => {
                    prop_assert_eq!(Some(batch_id), latest);
                    prop_assert!(committed.is_none_or(|commit| commit < batch_id));
                    prop_assert_eq!(record, offsets(batch_id));
                    prop_assert_eq!(previous, batch_id.checked_sub(1).map(offsets));
                }
                Ok(NextBatch::Fresh { batch_id, previous, .. }) => {
                    prop_assert_eq!(latest.map(|id| id + 1), Some(batch_id));
                    prop_assert_eq!(committed, latest);
                    prop_assert_eq!(previous, offsets(batch_id - 1));
                }
                Err(CheckpointError::CommitWithoutOffsets { .. }) => {
                    prop_assert!(committed > latest);
                }
                Err(CheckpointError::MissingPreviousOffsets { previous, .. }) => {
                    prop_assert!(!offset_ids.contains(&previous));
                }
                Err(e) => prop_assert!(false, "{}", e),
            }
        }
    }
}
