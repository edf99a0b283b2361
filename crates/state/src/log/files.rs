//! Files of one store: names, listing, which may go.
use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use millstream_checkpoint::{
    fault::{FaultPoint, Faults},
    storage::{StorageError, StorageRef},
};

use crate::{
    DEFAULT_STORE, Result, StateCompression, StateError, StateStoreId,
    format::{self, FileKind, Lineage, next_lineage},
};

/// Files deleted at once.
const CONCURRENT_DELETES: usize = 8;

/// Time since some fixed moment; injected, so that tests own it.
#[derive(Clone)]
pub struct MonotonicClock(Arc<dyn Fn() -> Duration + Send + Sync>);

impl MonotonicClock {
    /// A clock that reads `now`.
    pub fn new(now: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The reading.
    pub fn now(&self) -> Duration {
        (self.0)()
    }
}

impl fmt::Debug for MonotonicClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MonotonicClock")
    }
}

/// Settings of a checkpoint's state log.
#[derive(Debug, Clone)]
pub struct StateLogOptions {
    /// Versions between snapshots (`spark.sql.streaming.stateStore.minDeltasForSnapshot`), at least 1.
    pub min_deltas_for_snapshot: u64,
    /// Versions that stay loadable behind the newest (`spark.sql.streaming.minBatchesToRetain`), at least 1.
    pub min_versions_to_retain: u64,
    /// Bytes in memory from which a snapshot is cut into several files.
    pub snapshot_file_bytes: usize,
    /// Compression of new files.
    pub compression: StateCompression,
    /// Fault points of the query.
    pub faults: Faults,
    /// For durations in metrics only.
    pub clock: MonotonicClock,
}

impl StateLogOptions {
    /// Spark's defaults.
    pub fn new(clock: MonotonicClock) -> Self {
        Self {
            min_deltas_for_snapshot: 10,
            min_versions_to_retain: 100,
            snapshot_file_bytes: 64 << 20,
            compression: StateCompression::default(),
            faults: Faults::none(),
            clock,
        }
    }
}

/// The state log of a checkpoint: what its files say, whichever provider wrote them.
#[derive(Debug, Clone)]
pub(crate) struct StateLog {
    storage: StorageRef,
    pub(crate) options: Arc<StateLogOptions>,
}

impl StateLog {
    /// The log in the `state` folder of a checkpoint.
    pub(crate) fn new(storage: StorageRef, options: StateLogOptions) -> Self {
        Self {
            storage,
            options: Arc::new(options),
        }
    }

    pub(crate) fn files(&self, id: &StateStoreId) -> StoreFiles {
        let (storage, options) = (Arc::clone(&self.storage), Arc::clone(&self.options));
        StoreFiles {
            storage,
            id: id.clone(),
            options,
        }
    }

    /// The stores that have files, by the names of the folders.
    pub(crate) async fn stores(&self) -> Result<Vec<StateStoreId>> {
        let mut stores = Vec::new();
        let failed = |source| StateError::Listing { source };
        for operator in self.storage.list_dirs("").await.map_err(failed)? {
            let Ok(operator_id) = operator.parse() else {
                continue;
            };
            for partition in self.storage.list_dirs(&operator).await.map_err(failed)? {
                let Ok(partition_id) = partition.parse() else {
                    continue;
                };
                let folder = format!("{operator}/{partition}");
                let mut names = self.storage.list_dirs(&folder).await.map_err(failed)?;
                names.push(DEFAULT_STORE.to_owned());
                for name in names {
                    let id = StateStoreId::named(operator_id, partition_id, name);
                    if self.files(&id).list().await? != Listing::default() {
                        stores.push(id);
                    }
                }
            }
        }
        stores.sort_unstable();
        Ok(stores)
    }

    pub(crate) async fn remove_obsolete(&self, id: &StateStoreId, oldest: u64) -> Result<u64> {
        let files = self.files(id);
        let obsolete = files.list().await?.obsolete(oldest);
        files.delete(obsolete).await
    }

    pub(crate) async fn remove_newer(&self, id: &StateStoreId, version: u64) -> Result<u64> {
        let files = self.files(id);
        let mut removed = 0;
        for file in files.list().await?.newer(version) {
            removed += files.delete(vec![file]).await?;
        }
        Ok(removed)
    }
}

/// Files of one store.
#[derive(Debug, Clone)]
pub(crate) struct StoreFiles {
    pub(crate) storage: StorageRef,
    pub(crate) id: StateStoreId,
    pub(crate) options: Arc<StateLogOptions>,
}

/// Versions for which there are files.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    /// Ascending.
    pub(crate) deltas: Vec<u64>,
    /// Ascending.
    pub(crate) snapshots: Vec<u64>,
    /// Ascending.
    pub(crate) parts: Vec<(u64, u32)>,
}

impl StoreFiles {
    fn path(&self, kind: FileKind, version: u64) -> String {
        format!("{}/{}", self.id.folder(), kind.file_name(version))
    }

    /// The whole URL of a file, for messages.
    pub(crate) fn url(&self, kind: FileKind, version: u64) -> String {
        format!(
            "{}/{}",
            self.storage.url().trim_end_matches('/'),
            self.path(kind, version)
        )
    }

    pub(crate) async fn put(&self, kind: FileKind, version: u64, bytes: Bytes) -> Result<()> {
        self.storage
            .put(&self.path(kind, version), bytes)
            .await
            .map_err(|e| self.failed(e))
    }

    /// The bytes of a file, `None` when it is not there.
    pub(crate) async fn get(&self, kind: FileKind, version: u64) -> Result<Option<Bytes>> {
        match self.storage.get(&self.path(kind, version)).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(StorageError::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    pub(crate) fn hit(&self, point: FaultPoint) -> Result<()> {
        self.options.faults.hit(point).map_err(|e| self.failed(e))
    }

    pub(crate) async fn delete_file(&self, kind: FileKind, version: u64) -> Result<()> {
        self.delete(vec![(kind, version)]).await.map(drop)
    }

    pub(crate) async fn list(&self) -> Result<Listing> {
        let files = self
            .storage
            .list(&self.id.folder())
            .await
            .map_err(|e| self.failed(e))?;
        let mut listing = Listing::default();
        for file in files {
            match FileKind::parse_name(&file.name) {
                Some((version, FileKind::Delta)) => listing.deltas.push(version),
                Some((version, FileKind::Snapshot)) => listing.snapshots.push(version),
                Some((version, FileKind::Part(part))) => listing.parts.push((version, part)),
                None => {}
            }
        }
        listing.deltas.sort_unstable();
        listing.snapshots.sort_unstable();
        listing.parts.sort_unstable();
        Ok(listing)
    }

    pub(crate) async fn delete(&self, files: Vec<(FileKind, u64)>) -> Result<u64> {
        let count = files.len() as u64;
        stream::iter(
            files
                .into_iter()
                .map(|(kind, version)| self.path(kind, version)),
        )
        .map(|path| async move { self.storage.delete(&path).await })
        .buffer_unordered(CONCURRENT_DELETES)
        .try_collect::<()>()
        .await
        .map_err(|e| self.failed(e))?;
        Ok(count)
    }

    /// Whether the version's delta is still the one of this lineage. Another run of the batch may have
    /// replaced it meanwhile.
    pub(crate) async fn is_current(&self, version: u64, lineage: Lineage) -> Result<bool> {
        let Some(bytes) = self.get(FileKind::Delta, version).await? else {
            return Ok(false);
        };
        let delta = format::decode(&bytes, FileKind::Delta, version, &self.id);
        Ok(delta.is_ok_and(|d| next_lineage(d.lineage, d.checksum) == lineage))
    }

    /// Makes the delta of `version` durable. `superseded` are snapshots of later versions by another history.
    pub(crate) async fn write_delta(
        &self,
        version: u64,
        bytes: Bytes,
        superseded: &mut BTreeSet<u64>,
    ) -> Result<()> {
        self.hit(FaultPoint::BeforeStateCommit)?;
        if superseded.contains(&version) {
            // It shows the version as another run of the batch made it.
            self.delete_file(FileKind::Snapshot, version).await?;
            superseded.remove(&version);
        }
        self.put(FileKind::Delta, version, bytes).await?;
        self.hit(FaultPoint::MidStateCommit)
    }

    fn failed(&self, source: StorageError) -> StateError {
        StateError::Storage {
            store: self.id.clone(),
            source,
        }
    }
}

impl Listing {
    /// Whether there is a file that made `version`.
    pub(crate) fn holds(&self, version: u64) -> bool {
        self.deltas.binary_search(&version).is_ok()
            || self.snapshots.binary_search(&version).is_ok()
    }

    /// Versions that the names promise: reached from a snapshot, or from nothing, without a gap.
    pub(crate) fn loadable(&self) -> Vec<u64> {
        let mut versions: Vec<u64> = self.snapshots.clone();
        let mut reached = 0;
        for delta in &self.deltas {
            let base = delta.saturating_sub(1);
            if base == reached || self.snapshots.binary_search(&base).is_ok() {
                versions.push(*delta);
                reached = *delta;
            }
        }
        versions.sort_unstable();
        versions.dedup();
        versions
    }

    /// Files that no version from `oldest` on needs.
    pub(crate) fn obsolete(&self, oldest: u64) -> Vec<(FileKind, u64)> {
        let Some(base) = self
            .snapshots
            .iter()
            .rev()
            .find(|version| **version <= oldest)
        else {
            return Vec::new();
        };
        // The base's own delta stays: its checksum vouches for the snapshot.
        let deltas = self.deltas.iter().filter(|version| *version < base);
        let snapshots = self.snapshots.iter().filter(|version| *version < base);
        // An interruption may leave a snapshot without its parts: loading passes it over.
        deltas
            .map(|version| (FileKind::Delta, *version))
            .chain(snapshots.map(|version| (FileKind::Snapshot, *version)))
            .chain(self.parts_where(|version| version < *base))
            .collect()
    }

    pub(crate) fn newer(&self, version: u64) -> Vec<(FileKind, u64)> {
        let after = |versions: &[u64], kind| -> Vec<(FileKind, u64)> {
            versions
                .iter()
                .filter(|v| **v > version)
                .map(|v| (kind, *v))
                .collect()
        };
        // Newest first, so that an interrupted rewind leaves no gap below a delta.
        let mut files = after(&self.snapshots, FileKind::Snapshot);
        files.extend(after(&self.deltas, FileKind::Delta));
        files.reverse();
        files.extend(self.parts_where(|part| part > version));
        files
    }

    fn parts_where(&self, wanted: impl Fn(u64) -> bool) -> impl Iterator<Item = (FileKind, u64)> {
        let parts = self.parts.iter();
        parts
            .filter(move |(version, _)| wanted(*version))
            .map(|(version, part)| (FileKind::Part(*part), *version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(deltas: impl IntoIterator<Item = u64>, snapshots: &[u64]) -> Listing {
        Listing {
            deltas: deltas.into_iter().collect(),
            snapshots: snapshots.to_vec(),
            parts: Vec::new(),
        }
    }

    #[test]
    fn names_of_other_files_are_passed_over() {
        assert_eq!(
            FileKind::parse_name("17.delta"),
            Some((17, FileKind::Delta))
        );
        assert_eq!(
            FileKind::parse_name("3.snapshot"),
            Some((3, FileKind::Snapshot))
        );
        assert_eq!(
            FileKind::parse_name("3.2.part"),
            Some((3, FileKind::Part(2)))
        );
        for name in [
            "delta",
            "x.delta",
            "1.delta.crc",
            ".1.delta.tmp",
            "-1.delta",
        ] {
            assert_eq!(FileKind::parse_name(name), None, "{name}");
        }
    }

    #[test]
    pub(crate) fn obsolete_files_are_those_before_the_last_usable_snapshot() {
        let files = listing(1..=30, &[10, 20, 30]);
        assert_eq!(
            files.obsolete(9),
            vec![],
            "version 9 needs the deltas from 1 on"
        );
        let obsolete = files.obsolete(25);
        assert_eq!(obsolete.len(), 19 + 1);
        assert!(obsolete.iter().all(|(_, version)| *version < 20));
    }

    #[test]
    fn parts_go_with_their_snapshot() {
        let files = Listing {
            parts: vec![(10, 1), (10, 2), (20, 1)],
            ..listing(1..=20, &[10, 20])
        };
        let parts = |files: Vec<(FileKind, u64)>| -> Vec<_> {
            let parts = files.into_iter();
            parts
                .filter(|(kind, _)| matches!(kind, FileKind::Part(_)))
                .collect()
        };
        let tenth = [(FileKind::Part(1), 10), (FileKind::Part(2), 10)];
        assert_eq!(parts(files.obsolete(20)), tenth);
        assert_eq!(parts(files.newer(15)), [(FileKind::Part(1), 20)]);
    }

    #[test]
    fn versions_behind_a_gap_are_not_loadable() {
        assert_eq!(listing([1, 2, 4, 5], &[]).loadable(), vec![1, 2]);
        assert_eq!(
            listing([1, 2, 4, 5, 7], &[3]).loadable(),
            vec![1, 2, 3, 4, 5]
        );
        assert_eq!(listing([11, 12], &[10]).loadable(), vec![10, 11, 12]);
    }
}
