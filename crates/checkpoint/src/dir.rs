//! The checkpoint directory: the only code that spells a path below a checkpoint location.
//!
//! ```text
//! <checkpoint location>/
//!   metadata        the query's id                                    [`StreamMetadata`]
//!   offsets/<N>     intent of batch N, before it runs                 [`OffsetSeq`]
//!   commits/<N>     batch N is done                                   [`CommitMetadata`]
//!   sources/<i>/…   what source i keeps for itself (plan position i)  [`crate::SourceLog`] and others
//!   state/…         versions of the state stores                      the state crate
//! ```
//!
//! `metadata` is written first. Logs without it are refused: a query that made itself a new id
//! there would write its output a second time.
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use crate::{
    BatchId, BatchLog, CheckpointError, CommitMetadata, NextBatch, OffsetSeq, OperatorLog,
    StreamMetadata,
    fault::Faults,
    recovery::{Seen, decide},
    storage::{StorageError, StorageRef, subdir},
};

const METADATA: &str = "metadata";
const OFFSETS: &str = "offsets";
const COMMITS: &str = "commits";
const SOURCES: &str = "sources";
const STATE: &str = "state";

/// One query's checkpoint location. Cheap to clone; clones share the logs and what these remember.
#[derive(Debug, Clone)]
pub struct CheckpointDir {
    root: StorageRef,
    faults: Faults,
    offsets: Arc<BatchLog<OffsetSeq>>,
    commits: Arc<BatchLog<CommitMetadata>>,
}

impl CheckpointDir {
    /// The checkpoint in the root of `root`. Nothing is read or written yet. Production passes
    /// [`Faults::none`].
    pub fn new(root: StorageRef, faults: Faults) -> Self {
        let offsets = BatchLog::new(subdir(&root, OFFSETS), root.url(), faults.clone());
        let commits = BatchLog::new(subdir(&root, COMMITS), root.url(), faults.clone());
        Self {
            offsets: Arc::new(offsets),
            commits: Arc::new(commits),
            root,
            faults,
        }
    }

    /// The checkpoint location, as a URL.
    pub fn location(&self) -> &str {
        self.root.url()
    }

    /// The checkpoint location itself.
    pub fn storage(&self) -> &StorageRef {
        &self.root
    }

    /// The fault points of this query.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// `offsets/`
    pub fn offsets(&self) -> &BatchLog<OffsetSeq> {
        &self.offsets
    }

    /// `commits/`
    pub fn commits(&self) -> &BatchLog<CommitMetadata> {
        &self.commits
    }

    /// `sources/<index>/`: the place of the source at plan position `index`.
    pub fn source(&self, index: usize) -> StorageRef {
        subdir(&self.root, &format!("{SOURCES}/{index}"))
    }

    /// `state/`
    pub fn state(&self) -> StorageRef {
        subdir(&self.root, STATE)
    }

    /// `state/<id>/_metadata/` of the stateful operators.
    pub fn operators(&self) -> OperatorLog {
        OperatorLog::new(self.state())
    }

    /// What `metadata` says, or `None` for a new checkpoint.
    ///
    /// # Errors
    /// When the file cannot be read or does not hold an id.
    pub async fn metadata(&self) -> Result<Option<StreamMetadata>, CheckpointError> {
        match self.root.get(METADATA).await {
            Ok(bytes) => {
                let metadata = StreamMetadata::decode(&bytes).map_err(|reason| {
                    CheckpointError::MalformedMetadata {
                        path: format!("{}/{METADATA}", self.location()),
                        reason,
                    }
                })?;
                Ok(Some(metadata))
            }
            Err(StorageError::NotFound { .. }) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// What `metadata` says; a new checkpoint gets one with the id `new_id`.
    ///
    /// `verify` is `spark.sql.streaming.checkpoint.verifyMetadataExists.enabled`: whether logs
    /// without `metadata` are an error.
    ///
    /// # Errors
    /// [`CheckpointError::MissingMetadata`], or as [`Self::metadata`].
    pub async fn metadata_or_create(
        &self,
        new_id: Uuid,
        verify: bool,
    ) -> Result<StreamMetadata, CheckpointError> {
        if let Some(metadata) = self.metadata().await? {
            return Ok(metadata);
        }
        if verify
            && (self.offsets.latest_id().await?.is_some()
                || self.commits.latest_id().await?.is_some())
        {
            return Err(CheckpointError::MissingMetadata {
                location: self.location().to_owned(),
            });
        }
        let metadata = StreamMetadata { id: new_id };
        match self
            .root
            .put_new(METADATA, Bytes::from(metadata.encode()))
            .await
        {
            Ok(()) => Ok(metadata),
            // Another run of the query started in the same moment, or our own write went through
            // without an answer. The file decides; which run goes on is for the offset log to say.
            Err(e @ (StorageError::AlreadyExists { .. } | StorageError::Indeterminate { .. })) => {
                self.metadata().await?.ok_or(CheckpointError::Storage(e))
            }
            Err(e) => Err(e.into()),
        }
    }

    /// Reads both logs and decides which batch runs next.
    ///
    /// # Errors
    /// When a record is damaged or missing, or the logs contradict each other.
    pub async fn recover(&self) -> Result<NextBatch, CheckpointError> {
        let (offset_ids, commit_ids) = futures::try_join!(self.offsets.ids(), self.commits.ids())?;
        let latest = offset_ids.last().copied();
        let read = async |id: Option<BatchId>| match id {
            Some(id) => self.offsets.get(id).await,
            None => Ok(None),
        };
        let (previous_offsets, latest_offsets, latest_commit) = futures::try_join!(
            read(latest.and_then(|id| id.checked_sub(1))),
            async { Ok(self.offsets.latest().await?.map(|(_, record)| record)) },
            async { Ok(self.commits.latest().await?.map(|(_, record)| record)) },
        )?;
        decide(
            self.location(),
            Seen {
                offset_ids,
                commit_ids,
                latest_offsets,
                previous_offsets,
                latest_commit,
            },
        )
    }

    /// In how many partitions the state is that batch `batch_id` left; `None` if no record says so.
    ///
    /// # Errors
    /// When the record cannot be read or is damaged.
    pub async fn state_partitions(
        &self,
        batch_id: BatchId,
    ) -> Result<Option<usize>, CheckpointError> {
        let record = self.offsets.get(batch_id).await?;
        Ok(record.and_then(|record| record.state_partitions()))
    }

    /// Deletes the records that nobody needs once batch `batch_id` is in the offset log: all but
    /// the last `min_batches_to_retain` before it (`spark.sql.streaming.minBatchesToRetain`).
    ///
    /// # Errors
    /// When the storage fails. The query can go on; the next purge takes what is left.
    pub async fn purge(
        &self,
        batch_id: BatchId,
        min_batches_to_retain: u64,
    ) -> Result<(), CheckpointError> {
        // A re-run of `batch_id` starts at the end of the batch before it, whatever the setting
        // says.
        let below = batch_id.saturating_sub(min_batches_to_retain.max(1));
        self.offsets.purge(below).await?;
        self.commits.purge(below).await
    }

    /// Makes `batch_id` the latest batch, and a done one: the records after it are deleted. The
    /// query must not be running. State and sources go back by themselves, as far as they keep the
    /// version.
    ///
    /// Commits go first, latest first: a crash on the way leaves a checkpoint that re-runs a batch.
    ///
    /// # Errors
    /// [`CheckpointError::MissingRecord`] when `batch_id` is not in both logs: then it cannot be
    /// gone back to, and nothing is deleted.
    pub async fn rewind(&self, batch_id: BatchId) -> Result<(), CheckpointError> {
        let needed = |log: &str| CheckpointError::MissingRecord {
            path: format!("{}/{log}/{batch_id}", self.location()),
            needed_for: format!("going back to batch {batch_id}"),
        };
        if self.offsets.get(batch_id).await?.is_none() {
            return Err(needed(OFFSETS));
        }
        if self.commits.get(batch_id).await?.is_none() {
            return Err(needed(COMMITS));
        }
        self.commits.purge_after(batch_id).await?;
        self.offsets.purge_after(batch_id).await
    }
}

#[cfg(test)]
mod tests;
