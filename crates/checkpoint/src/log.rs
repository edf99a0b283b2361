//! A batch log: numbered, write-once records, one file a batch, in one folder.
//!
//! `offsets/` and `commits/` are batch logs. File `N` is the record of batch `N`; it is written
//! once, exclusively, and never changed. That exclusiveness is what keeps two runs of one query
//! apart: both may plan batch N, one of them records it, the other gets
//! [`CheckpointError::ConcurrentUpdate`].
//!
//! # Reading
//!
//! Names that are not plain decimal numbers are not records and are ignored, as are hidden files.
//! The log has one writer, so what it wrote last is kept in memory: [`BatchLog::latest`] after
//! [`BatchLog::add`] does no I/O. Another process's writes are noticed when adding, where it
//! matters.
//!
//! # On a crash
//!
//! A record is there, whole, or not there: see [`crate::storage`]. When the storage cannot tell
//! whether a write took effect, the log reads the file back: equal bytes mean that it did.
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use crate::{
    BatchId, CheckpointError, LogKind,
    entry::{LogEntry, as_text},
    fault::{FaultPoint, Faults},
    storage::{StorageError, StorageRef},
};

/// Records kept in memory: the engine looks at the latest batch and the one before it.
const CACHED_RECORDS: usize = 2;

/// Purging up to this many batches asks for each file by name; beyond that, listing is cheaper.
const PURGED_BLINDLY_MAX: u64 = 3;

/// A folder of records of type `T`, one per batch.
#[derive(Debug)]
pub struct BatchLog<T> {
    storage: StorageRef,
    /// The checkpoint location, for messages about the log as a whole.
    location: String,
    faults: Faults,
    memory: Mutex<Memory<T>>,
}

#[derive(Debug)]
struct Memory<T> {
    /// The last records written or read as latest, oldest first.
    recent: VecDeque<(BatchId, T)>,
    /// The latest batch, once known; `Some(None)` is a log known to be empty.
    latest: Option<Option<BatchId>>,
    /// All batches below this one are purged already.
    purged_below: BatchId,
}

impl<T> Memory<T> {
    fn remember(&mut self, batch_id: BatchId, entry: T) {
        self.recent.retain(|(id, _)| *id != batch_id);
        self.recent.push_back((batch_id, entry));
        if self.recent.len() > CACHED_RECORDS {
            self.recent.pop_front();
        }
    }
}

impl<T: LogEntry> BatchLog<T> {
    /// The log in the root of `storage`. `location` is the checkpoint location it is part of.
    pub fn new(storage: StorageRef, location: &str, faults: Faults) -> Self {
        Self {
            storage,
            location: location.to_owned(),
            faults,
            memory: Mutex::new(Memory {
                recent: VecDeque::new(),
                latest: None,
                purged_below: 0,
            }),
        }
    }

    /// The folder, as a URL.
    pub fn url(&self) -> &str {
        self.storage.url()
    }

    /// Records batch `batch_id`. When this returns, the record is durable.
    ///
    /// # Errors
    /// [`CheckpointError::ConcurrentUpdate`] when the batch has a record already;
    /// [`CheckpointError::LogWriteFailed`] when the storage fails.
    pub async fn add(&self, batch_id: BatchId, entry: &T) -> Result<(), CheckpointError> {
        let (before, after) = fault_points::<T>();
        if let Some(point) = before {
            self.faults.hit(point)?;
        }
        let text = entry.encode().map_err(|e| CheckpointError::Unrecordable {
            log: self.url().to_owned(),
            batch_id,
            reason: e.to_string(),
        })?;
        if let Err(e) = self.put_new(batch_id, Bytes::from(text)).await {
            // Somebody else's record is there, or ours may be: look again.
            self.memory().latest = None;
            return Err(e);
        }
        {
            let mut memory = self.memory();
            memory.remember(batch_id, entry.clone());
            if memory
                .latest
                .is_none_or(|latest| latest.is_none_or(|id| id < batch_id))
            {
                memory.latest = Some(Some(batch_id));
            }
            memory.purged_below = memory.purged_below.min(batch_id);
        }
        if let Some(point) = after {
            self.faults.hit(point)?;
        }
        Ok(())
    }

    async fn put_new(&self, batch_id: BatchId, bytes: Bytes) -> Result<(), CheckpointError> {
        put_once(&self.storage, &batch_id.to_string(), bytes)
            .await
            .map_err(|e| match e {
                PutOnce::Taken => CheckpointError::ConcurrentUpdate {
                    log: self.url().to_owned(),
                    batch_id,
                },
                PutOnce::Failed(source) => CheckpointError::LogWriteFailed {
                    log: T::KIND,
                    batch_id,
                    location: self.location.clone(),
                    source,
                },
            })
    }

    /// The record of a batch, or `None` if there is none.
    ///
    /// # Errors
    /// When the file cannot be read or is not a record.
    pub async fn get(&self, batch_id: BatchId) -> Result<Option<T>, CheckpointError> {
        if let Some((_, entry)) = self.memory().recent.iter().find(|(id, _)| *id == batch_id) {
            return Ok(Some(entry.clone()));
        }
        let name = batch_id.to_string();
        let bytes = match self.storage.get(&name).await {
            Ok(bytes) => bytes,
            Err(StorageError::NotFound { .. }) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let entry = as_text(&bytes)
            .and_then(T::decode)
            .map_err(|e| e.in_file(T::KIND, format!("{}/{name}", self.url())))?;
        Ok(Some(entry))
    }

    /// The latest batch and its record.
    ///
    /// # Errors
    /// When the folder cannot be listed, or the latest record cannot be read.
    pub async fn latest(&self) -> Result<Option<(BatchId, T)>, CheckpointError> {
        let Some(batch_id) = self.latest_id().await? else {
            return Ok(None);
        };
        let Some(entry) = self.get(batch_id).await? else {
            return Err(CheckpointError::MissingRecord {
                path: format!("{}/{batch_id}", self.url()),
                needed_for: "the restart".into(),
            });
        };
        self.memory().remember(batch_id, entry.clone());
        Ok(Some((batch_id, entry)))
    }

    /// The latest batch, without reading its record.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub async fn latest_id(&self) -> Result<Option<BatchId>, CheckpointError> {
        let known = self.memory().latest;
        if let Some(latest) = known {
            return Ok(latest);
        }
        Ok(self.ids().await?.last().copied())
    }

    /// The batches that have a record, ascending. Always lists.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub async fn ids(&self) -> Result<Vec<BatchId>, CheckpointError> {
        let files = self.storage.list("").await?;
        let mut ids: Vec<_> = files
            .iter()
            .filter_map(|file| batch_id(&file.name))
            .collect();
        ids.sort_unstable();
        self.memory().latest = Some(ids.last().copied());
        Ok(ids)
    }

    /// Deletes the records of all batches below `below`.
    ///
    /// # Errors
    /// When the storage fails; what was deleted stays deleted.
    pub async fn purge(&self, below: BatchId) -> Result<(), CheckpointError> {
        let from = self.memory().purged_below;
        if from >= below {
            return Ok(());
        }
        let doomed: Vec<BatchId> = if below - from <= PURGED_BLINDLY_MAX {
            (from..below).collect()
        } else {
            self.ids()
                .await?
                .into_iter()
                .filter(|id| *id < below)
                .collect()
        };
        self.delete(doomed).await?;
        let mut memory = self.memory();
        memory.purged_below = below;
        if memory.latest.flatten().is_some_and(|latest| latest < below) {
            memory.latest = None;
        }
        Ok(())
    }

    /// Deletes the records of all batches above `batch_id`, the latest first, so that a crash in
    /// the middle leaves a shorter log and no gap.
    ///
    /// # Errors
    /// When the storage fails; what was deleted stays deleted.
    pub async fn purge_after(&self, batch_id: BatchId) -> Result<(), CheckpointError> {
        let ids = self.ids().await?;
        self.memory().latest = None;
        self.delete(ids.into_iter().rev().take_while(|id| *id > batch_id))
            .await
    }

    async fn delete(&self, ids: impl IntoIterator<Item = BatchId>) -> Result<(), CheckpointError> {
        for id in ids {
            self.storage.delete(&id.to_string()).await?;
            self.memory().recent.retain(|(recent, _)| *recent != id);
            self.faults.hit(FaultPoint::MidPurge)?;
        }
        Ok(())
    }

    fn memory(&self) -> MutexGuard<'_, Memory<T>> {
        // Every change is a single assignment: a panic elsewhere cannot leave it half done.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a record was not written.
pub(crate) enum PutOnce {
    /// There is one under that name.
    Taken,
    /// The storage failed; [`StorageError::Indeterminate`] if the record may arrive yet.
    Failed(StorageError),
}

/// Writes a record that must not exist, and finds out what became of it when the answer is lost.
pub(crate) async fn put_once(
    storage: &StorageRef,
    name: &str,
    bytes: Bytes,
) -> Result<(), PutOnce> {
    match storage.put_new(name, bytes.clone()).await {
        Ok(()) => Ok(()),
        Err(StorageError::AlreadyExists { .. }) => Err(PutOnce::Taken),
        Err(e @ StorageError::Indeterminate { .. }) => match storage.get(name).await {
            Ok(there) if there == bytes => {
                tracing::warn!(log = storage.url(), name, error = %e,
                    "the storage lost the answer to a write that took effect");
                Ok(())
            }
            Ok(_) => Err(PutOnce::Taken),
            // Not there now, but it may still arrive: only a restart can tell.
            Err(_) => Err(PutOnce::Failed(e)),
        },
        Err(e) => Err(PutOnce::Failed(e)),
    }
}

/// The batch that a file name stands for. `007` or `+7` is not how batch 7 is spelt.
pub(crate) fn batch_id(name: &str) -> Option<BatchId> {
    let id: BatchId = name.parse().ok()?;
    (i64::try_from(id).is_ok() && id.to_string() == name).then_some(id)
}

const fn fault_points<T: LogEntry>() -> (Option<FaultPoint>, Option<FaultPoint>) {
    match T::KIND {
        LogKind::Offsets => (
            Some(FaultPoint::BeforeOffsetWrite),
            Some(FaultPoint::AfterOffsetWrite),
        ),
        LogKind::Commits => (
            Some(FaultPoint::BeforeCommitLog),
            Some(FaultPoint::AfterCommitLog),
        ),
        LogKind::Files => (None, None),
    }
}

#[cfg(test)]
mod tests;
