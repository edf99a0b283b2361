//! A log of files that is read as a whole: Spark's compactible log.
//!
//! The file source (`sources/<i>/`) and the file sink (`_spark_metadata/`) record the files of each
//! batch, and a restart or a reader needs all of them. So that this does not open one file per
//! batch ever run, every `interval`-th record is cumulative:
//!
//! ```text
//! 0  1  …  8  9.compact  10  11  …  18  19.compact  20          interval 10
//!             └ 0…9                     └ 0…19
//! ```
//!
//! A record is a version line and one JSON object a line. To read everything takes one listing, the
//! latest `.compact` and the plain records after it.
//!
//! # The interval
//!
//! Batch N is compacted when `(N + 1) % interval == 0`. The interval is a setting, yet files on
//! disk bind it: with two or more compacted records it is their distance; with one, at `C`, it is a
//! divisor of `C + 1`, the smallest that is not below the setting. A log whose first record is not
//! 0 (a query that went on with a new output folder) begins with a compacted record, which
//! satisfies this rule and so can be read and continued by Spark, whose own log breaks at its next
//! compaction there.
//!
//! # On a crash
//!
//! A compacted record is written like any other, in one piece; the records it replaces are deleted
//! later, when they are older than the clean-up delay, and never those of the last
//! `min_batches_to_retain` batches. A reader that finds a record deleted under its hands lists
//! again.
mod index;

use std::{fmt, num::NonZeroU64, ops::RangeInclusive};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::Mutex;

use self::index::{Index, interval, is_compaction};
use crate::{
    BatchId, CheckpointError, FaultPoint, Faults, LogKind,
    entry::{EntryError, as_text, split_version},
    log::{PutOnce, batch_id, put_once},
    storage::{StorageError, StorageRef},
};

const VERSION: u32 = 1;
const COMPACT_SUFFIX: &str = ".compact";

/// Records read at the same time: on an object store each one is a round trip.
const CONCURRENT_READS: usize = 16;

/// Listings a reader makes before it believes that a record is really gone.
const READ_ATTEMPTS: usize = 3;

/// Batches whose entries stay in memory, for a source that plans the batch it just recorded.
const CACHED_BATCHES: usize = 2;

/// Who needs the record of a single batch, in messages.
const BATCH_INPUT: &str = "the batch that reads its files";

/// What a compactible log holds.
pub trait CompactEntry:
    Serialize + DeserializeOwned + Clone + fmt::Debug + PartialEq + Send + Sync + 'static
{
    /// The fault points around writing a record, if it has its own.
    const WRITE_POINTS: Option<(FaultPoint, FaultPoint)> = None;

    /// Whether [`Self::retain_visible`] may have something to do for these lines. Where not,
    /// compaction copies the lines of earlier records unread: they are most of the log.
    fn may_hide(_lines: &str, _retention_ms: Option<i64>) -> bool {
        false
    }

    /// Drops the entries that are no longer visible. `retention_ms` is the age that entries may
    /// reach, `now_ms` the time it is counted from.
    fn retain_visible(_entries: &mut Vec<Self>, _retention_ms: Option<i64>, _now_ms: i64) {}
}

/// Settings of a compactible log, with Spark's defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactLogOptions {
    /// Every how many batches a record is cumulative, where the files on disk leave the choice.
    pub compact_interval: NonZeroU64,
    /// Age, in milliseconds, at which a superseded record may be deleted.
    pub cleanup_delay_ms: i64,
    /// Whether superseded records are deleted at all.
    pub deletion: bool,
    /// Batches whose records stay readable one by one.
    pub min_batches_to_retain: u64,
    /// Age, in milliseconds, at which an entry stops being visible. `None` is never.
    pub retention_ms: Option<i64>,
}

impl Default for CompactLogOptions {
    fn default() -> Self {
        Self {
            compact_interval: NonZeroU64::new(10).unwrap_or(NonZeroU64::MIN),
            cleanup_delay_ms: 10 * 60 * 1000,
            deletion: true,
            min_batches_to_retain: 100,
            retention_ms: None,
        }
    }
}

/// A compactible log of `T`, one per folder. It has one writer and any number of readers.
#[derive(Debug)]
pub struct CompactLog<T> {
    storage: StorageRef,
    options: CompactLogOptions,
    faults: Faults,
    /// Held over a whole `add`: records are written one after the other.
    index: Mutex<Index<T>>,
}

impl<T: CompactEntry> CompactLog<T> {
    /// Opens the log in the root of `storage`, which may be empty. Lists it once.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub async fn open(
        storage: StorageRef,
        options: CompactLogOptions,
        faults: Faults,
    ) -> Result<Self, CheckpointError> {
        let index = Mutex::new(Index::new(options.compact_interval));
        let log = Self {
            storage,
            options,
            faults,
            index,
        };
        log.refresh().await?;
        Ok(log)
    }

    /// The folder, as a URL.
    pub fn url(&self) -> &str {
        self.storage.url()
    }

    /// Looks again at what is on disk, for a reader of a log that another process writes.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub async fn refresh(&self) -> Result<(), CheckpointError> {
        self.list_into(&mut *self.index.lock().await).await
    }

    async fn list_into(&self, index: &mut Index<T>) -> Result<(), CheckpointError> {
        let files = self.storage.list("").await?;
        index.read_listing(&files, self.options.compact_interval);
        Ok(())
    }

    /// The latest batch with a record, as of the last [`Self::add`] or [`Self::refresh`]. A sink
    /// skips the batches up to it.
    pub async fn latest_id(&self) -> Option<BatchId> {
        self.index.lock().await.latest()
    }

    /// Where the record of a batch is, or should be.
    pub(crate) async fn path_of(&self, batch_id: BatchId) -> String {
        let name = self.index.lock().await.file_name(batch_id);
        format!("{}/{name}", self.url())
    }

    /// Records the files of a batch. When this returns, the record is durable. `now_ms` is the
    /// present in milliseconds since the epoch: retention and clean-up count from it.
    ///
    /// # Errors
    /// [`CheckpointError::ConcurrentUpdate`] when this or a later batch has a record already;
    /// [`CheckpointError::MissingRecord`] when an earlier record is gone that compaction needs.
    pub async fn add(
        &self,
        batch_id: BatchId,
        entries: Vec<T>,
        now_ms: i64,
    ) -> Result<(), CheckpointError> {
        let mut index = self.index.lock().await;
        let latest = index.latest();
        let taken = || CheckpointError::ConcurrentUpdate {
            log: self.url().to_owned(),
            batch_id,
        };
        if latest.is_some_and(|latest| batch_id <= latest) {
            return Err(taken());
        }
        if let Some((before, _)) = T::WRITE_POINTS {
            self.faults.hit(before)?;
        }
        let follows = latest.map_or(0, |latest| latest + 1) == batch_id;
        // A record after a hole must stand for all before it, or nobody could tell what is missing.
        let compacts = !follows || is_compaction(batch_id, index.interval);
        let (name, text) = if compacts {
            let text = self
                .compacted(&index, latest, batch_id, &entries, now_ms)
                .await?;
            (format!("{batch_id}{COMPACT_SUFFIX}"), text)
        } else {
            let mut text = version_line();
            self.append(&mut text, &entries, batch_id)?;
            (batch_id.to_string(), text)
        };
        put_once(&self.storage, &name, Bytes::from(text))
            .await
            .map_err(|e| match e {
                PutOnce::Taken => taken(),
                PutOnce::Failed(e) => e.into(),
            })?;
        if compacts {
            index.compacts.insert(batch_id);
            if !follows {
                index.interval = interval(&index.compacts, self.options.compact_interval);
            }
        } else {
            index.deltas.insert(batch_id);
        }
        index.recent.push_back((batch_id, entries));
        if index.recent.len() > CACHED_BATCHES {
            index.recent.pop_front();
        }
        if let Some((_, after)) = T::WRITE_POINTS {
            self.faults.hit(after)?;
        }
        if self.options.deletion {
            self.delete_superseded(&mut index, batch_id, now_ms).await?;
        }
        Ok(())
    }

    /// The text of the record of `batch_id` that also holds everything up to `latest`.
    async fn compacted(
        &self,
        index: &Index<T>,
        latest: Option<BatchId>,
        batch_id: BatchId,
        entries: &[T],
        now_ms: i64,
    ) -> Result<String, CheckpointError> {
        let mut text = version_line();
        if let Some(latest) = latest {
            let needed_for = || format!("the compaction in batch {batch_id}");
            for (name, record) in self.read_covering(index, latest, &needed_for).await? {
                for line in self.lines(&name, &record)? {
                    text.push('\n');
                    text.push_str(line);
                }
            }
        }
        self.append(&mut text, entries, batch_id)?;
        let retention = self.options.retention_ms;
        if !T::may_hide(&text, retention) {
            return Ok(text);
        }
        let mut all = self.parse(&index.file_name(batch_id), &text)?;
        T::retain_visible(&mut all, retention, now_ms);
        let mut text = version_line();
        self.append(&mut text, &all, batch_id)?;
        Ok(text)
    }

    /// Adds the lines of `entries` to the text of a record.
    fn append(
        &self,
        text: &mut String,
        entries: &[T],
        batch_id: BatchId,
    ) -> Result<(), CheckpointError> {
        for entry in entries {
            let line = serde_json::to_string(entry).map_err(|e| CheckpointError::Unrecordable {
                log: self.url().to_owned(),
                batch_id,
                reason: e.to_string(),
            })?;
            text.push('\n');
            text.push_str(&line);
        }
        Ok(())
    }

    /// All visible entries, in the order in which they were recorded. Lists the log, so that a
    /// reader sees what a writer elsewhere has added.
    ///
    /// # Errors
    /// When a record cannot be read, or one that is needed is gone.
    pub async fn all_files(&self, now_ms: i64) -> Result<Vec<T>, CheckpointError> {
        let mut index = self.index.lock().await;
        let mut attempt = 1;
        let records = loop {
            self.list_into(&mut index).await?;
            let Some(latest) = index.latest() else {
                return Ok(Vec::new());
            };
            let needed_for = || format!("the list of files up to batch {latest}");
            match self.read_covering(&index, latest, &needed_for).await {
                // The writer compacted and cleaned up between our listing and our reading.
                Err(CheckpointError::MissingRecord { .. }) if attempt < READ_ATTEMPTS => {
                    attempt += 1;
                }
                read => break read?,
            }
        };
        let mut all = Vec::new();
        for (name, text) in records {
            all.extend(self.parse(&name, &text)?);
        }
        T::retain_visible(&mut all, self.options.retention_ms, now_ms);
        Ok(all)
    }

    /// The records that hold the batches `from..=to`, each with the batches that are to be taken
    /// from it: where a batch has no record of its own, that is the compacted one that took it in.
    pub(crate) async fn records(
        &self,
        from: BatchId,
        to: BatchId,
    ) -> Result<Vec<(RangeInclusive<BatchId>, Vec<T>)>, CheckpointError> {
        let index = self.index.lock().await;
        let mut records = Vec::new();
        let mut id = from;
        while id <= to {
            if let Some((_, entries)) = index.recent.iter().find(|(recent, _)| *recent == id) {
                records.push((id..=id, entries.clone()));
                id += 1;
                continue;
            }
            let (last, name) = if index.deltas.contains(&id) {
                (id, id.to_string())
            } else if let Some(compact) = index.compacts.range(id..).next() {
                (*compact, format!("{compact}{COMPACT_SUFFIX}"))
            } else {
                return Err(CheckpointError::MissingRecord {
                    path: format!("{}/{}", self.url(), index.file_name(id)),
                    needed_for: BATCH_INPUT.into(),
                });
            };
            let text = self.read(&name, BATCH_INPUT).await?;
            records.push((id..=last.min(to), self.parse(&name, &text)?));
            id = last + 1;
        }
        Ok(records)
    }

    /// Deletes what compacted records have made superfluous, once it is old enough. A record that
    /// cannot be deleted is left for the next time: the batch is recorded and shall not fail.
    async fn delete_superseded(
        &self,
        index: &mut Index<T>,
        batch_id: BatchId,
        now_ms: i64,
    ) -> Result<(), CheckpointError> {
        let retained_from = (batch_id + 1).saturating_sub(self.options.min_batches_to_retain);
        let Some(keep_from) = index.compacts.range(..retained_from).next_back().copied() else {
            return Ok(());
        };
        let oldest = index.compacts.first().min(index.deltas.first()).copied();
        let nothing_to_do = oldest.is_none_or(|id| id >= keep_from);
        if nothing_to_do || now_ms < index.next_cleanup_ms {
            return Ok(());
        }
        let mut youngest_kept_ms = None;
        for file in self.storage.list("").await? {
            let compact = file.name.strip_suffix(COMPACT_SUFFIX);
            let Some(id) =
                self::batch_id(compact.unwrap_or(&file.name)).filter(|id| *id < keep_from)
            else {
                continue;
            };
            let due_ms = file
                .modified_ms
                .saturating_add(self.options.cleanup_delay_ms);
            if due_ms > now_ms {
                youngest_kept_ms = Some(youngest_kept_ms.map_or(due_ms, |ms: i64| ms.min(due_ms)));
                continue;
            }
            if let Err(e) = self.storage.delete(&file.name).await {
                tracing::warn!(log = self.url(), file = file.name, error = %e,
                    "cannot delete a superseded record");
                continue;
            }
            let known = if compact.is_some() {
                &mut index.compacts
            } else {
                &mut index.deltas
            };
            known.remove(&id);
            self.faults.hit(FaultPoint::MidPurge)?;
        }
        index.next_cleanup_ms = youngest_kept_ms.unwrap_or(0);
        Ok(())
    }

    /// Reads the records that cover everything up to `latest`, oldest first, with their names.
    async fn read_covering(
        &self,
        index: &Index<T>,
        latest: BatchId,
        needed_for: &(dyn Fn() -> String + Sync),
    ) -> Result<Vec<(String, Bytes)>, CheckpointError> {
        let ids = index
            .covering(latest)
            .map_err(|missing| CheckpointError::MissingRecord {
                path: format!("{}/{}", self.url(), index.file_name(missing)),
                needed_for: needed_for(),
            })?;
        let names: Vec<String> = ids
            .into_iter()
            .map(|id| {
                let suffix = if index.compacts.contains(&id) {
                    COMPACT_SUFFIX
                } else {
                    ""
                };
                format!("{id}{suffix}")
            })
            .collect();
        stream::iter(names)
            .map(|name| async move {
                let bytes = self.read(&name, &needed_for()).await?;
                Ok((name, bytes))
            })
            .buffered(CONCURRENT_READS)
            .try_collect()
            .await
    }

    async fn read(&self, name: &str, needed_for: &str) -> Result<Bytes, CheckpointError> {
        self.storage.get(name).await.map_err(|e| match e {
            StorageError::NotFound { path } => CheckpointError::MissingRecord {
                path,
                needed_for: needed_for.to_owned(),
            },
            e => e.into(),
        })
    }

    /// The entry lines of a record.
    fn lines<'a>(
        &self,
        name: &str,
        bytes: &'a [u8],
    ) -> Result<impl Iterator<Item = &'a str>, CheckpointError> {
        let (_, lines) = as_text(bytes)
            .and_then(|text| split_version(text, VERSION))
            .map_err(|e| self.in_file(e, name))?;
        Ok(lines.filter(|line| !line.is_empty()))
    }

    fn parse(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<Vec<T>, CheckpointError> {
        self.lines(name, bytes.as_ref())?
            .enumerate()
            .map(|(index, line)| {
                serde_json::from_str(line).map_err(|e| {
                    let reason = format!("line {} is not valid ({e})", index + 2);
                    self.in_file(EntryError::Malformed { reason }, name)
                })
            })
            .collect()
    }

    fn in_file(&self, error: EntryError, name: &str) -> CheckpointError {
        error.in_file(LogKind::Files, format!("{}/{name}", self.url()))
    }
}

fn version_line() -> String {
    format!("v{VERSION}")
}

#[cfg(test)]
mod tests;
