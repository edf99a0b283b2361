//! The provider: where a store's files are, how a version is put together from them, which may go.
use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use millstream_checkpoint::{
    fault::{FaultPoint, Faults},
    storage::{StorageError, StorageRef},
};

use super::{load::load, store::ColumnarLogStore};
use crate::{
    DEFAULT_STORE, Result, StateCompression, StateError, StateSchema, StateStore, StateStoreId,
    StateStoreProvider, format::FileKind, schema::StorageSchema,
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

/// Settings of a [`ColumnarLogProvider`].
#[derive(Debug, Clone)]
pub struct ColumnarLogOptions {
    /// Versions between snapshots (`spark.sql.streaming.stateStore.minDeltasForSnapshot`), at least 1.
    pub min_deltas_for_snapshot: u64,
    /// Versions that stay loadable behind the newest (`spark.sql.streaming.minBatchesToRetain`), at least 1.
    pub min_versions_to_retain: u64,
    /// Compression of new files.
    pub compression: StateCompression,
    /// Fault points of the query.
    pub faults: Faults,
    /// For durations in metrics only.
    pub clock: MonotonicClock,
}

impl ColumnarLogOptions {
    /// Spark's defaults.
    pub fn new(clock: MonotonicClock) -> Self {
        Self {
            min_deltas_for_snapshot: 10,
            min_versions_to_retain: 100,
            compression: StateCompression::default(),
            faults: Faults::none(),
            clock,
        }
    }
}

/// Files of one store.
#[derive(Debug, Clone)]
pub(super) struct StoreFiles {
    pub(super) storage: StorageRef,
    pub(super) id: StateStoreId,
    pub(super) options: Arc<ColumnarLogOptions>,
}

/// Versions for which there are files.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    /// Ascending.
    pub(super) deltas: Vec<u64>,
    /// Ascending.
    pub(super) snapshots: Vec<u64>,
}

impl StoreFiles {
    fn path(&self, kind: FileKind, version: u64) -> String {
        format!("{}/{version}.{}", self.id.folder(), kind.extension())
    }

    /// The whole URL of a file, for messages.
    pub(super) fn url(&self, kind: FileKind, version: u64) -> String {
        format!(
            "{}/{}",
            self.storage.url().trim_end_matches('/'),
            self.path(kind, version)
        )
    }

    pub(super) async fn put(&self, kind: FileKind, version: u64, bytes: Bytes) -> Result<()> {
        self.storage
            .put(&self.path(kind, version), bytes)
            .await
            .map_err(|e| self.failed(e))
    }

    /// The bytes of a file, `None` when it is not there.
    pub(super) async fn get(&self, kind: FileKind, version: u64) -> Result<Option<Bytes>> {
        match self.storage.get(&self.path(kind, version)).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(StorageError::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    pub(super) fn hit(&self, point: FaultPoint) -> Result<()> {
        self.options.faults.hit(point).map_err(|e| self.failed(e))
    }

    pub(super) async fn delete_file(&self, kind: FileKind, version: u64) -> Result<()> {
        self.delete(vec![(kind, version)]).await.map(drop)
    }

    pub(super) async fn list(&self) -> Result<Listing> {
        let files = self
            .storage
            .list(&self.id.folder())
            .await
            .map_err(|e| self.failed(e))?;
        let mut listing = Listing::default();
        for file in files {
            match parse_name(&file.name) {
                Some((version, FileKind::Delta)) => listing.deltas.push(version),
                Some((version, FileKind::Snapshot)) => listing.snapshots.push(version),
                None => {}
            }
        }
        listing.deltas.sort_unstable();
        listing.snapshots.sort_unstable();
        Ok(listing)
    }

    async fn delete(&self, files: Vec<(FileKind, u64)>) -> Result<u64> {
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

    fn failed(&self, source: StorageError) -> StateError {
        StateError::Storage {
            store: self.id.clone(),
            source,
        }
    }
}

/// `17.delta` is version 17's delta.
fn parse_name(name: &str) -> Option<(u64, FileKind)> {
    let (version, extension) = name.split_once('.')?;
    let kind = [FileKind::Delta, FileKind::Snapshot].into_iter();
    let kind = kind
        .into_iter()
        .find(|kind| kind.extension() == extension)?;
    Some((version.parse().ok()?, kind))
}

impl Listing {
    /// Versions that the names promise: reached from a snapshot, or from nothing, without a gap.
    fn loadable(&self) -> Vec<u64> {
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
    fn obsolete(&self, oldest: u64) -> Vec<(FileKind, u64)> {
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
        deltas
            .map(|version| (FileKind::Delta, *version))
            .chain(snapshots.map(|version| (FileKind::Snapshot, *version)))
            .collect()
    }

    fn newer(&self, version: u64) -> Vec<(FileKind, u64)> {
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
        files
    }
}

/// Keeps state in memory as columns, and on storage as a changelog with snapshots.
///
/// Files of (operator, partition, store) are in `<operator>/<partition>/` or, for a named store, in
/// `<operator>/<partition>/<store>/`: `<version>.delta` for every version of the last
/// [`ColumnarLogOptions::min_versions_to_retain`], and a `<version>.snapshot` now and then.
#[derive(Debug, Clone)]
pub struct ColumnarLogProvider {
    storage: StorageRef,
    options: Arc<ColumnarLogOptions>,
}

impl ColumnarLogProvider {
    /// A provider over the `state` folder of a checkpoint.
    pub fn new(storage: StorageRef, options: ColumnarLogOptions) -> Self {
        Self {
            storage,
            options: Arc::new(options),
        }
    }

    pub(super) fn files(&self, id: &StateStoreId) -> StoreFiles {
        let (storage, options) = (Arc::clone(&self.storage), Arc::clone(&self.options));
        StoreFiles {
            storage,
            id: id.clone(),
            options,
        }
    }
}

#[async_trait]
impl StateStoreProvider for ColumnarLogProvider {
    async fn open(
        &self,
        id: &StateStoreId,
        schema: &StateSchema,
        version: u64,
    ) -> Result<Box<dyn StateStore>> {
        let files = self.files(id);
        let schema = StorageSchema::try_new(schema)?;
        let loaded = load(&files, &schema, version).await?;
        let store = ColumnarLogStore::new(files, version, loaded);
        Ok(Box::new(store))
    }

    async fn versions(&self, id: &StateStoreId) -> Result<Vec<u64>> {
        Ok(self.files(id).list().await?.loadable())
    }

    async fn stores(&self) -> Result<Vec<StateStoreId>> {
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

    async fn remove_obsolete(&self, id: &StateStoreId, oldest: u64) -> Result<u64> {
        let files = self.files(id);
        let obsolete = files.list().await?.obsolete(oldest);
        files.delete(obsolete).await
    }

    async fn remove_newer(&self, id: &StateStoreId, version: u64) -> Result<u64> {
        let files = self.files(id);
        let mut removed = 0;
        for file in files.list().await?.newer(version) {
            removed += files.delete(vec![file]).await?;
        }
        Ok(removed)
    }

    fn versions_to_retain(&self) -> u64 {
        self.options.min_versions_to_retain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(deltas: impl IntoIterator<Item = u64>, snapshots: &[u64]) -> Listing {
        Listing {
            deltas: deltas.into_iter().collect(),
            snapshots: snapshots.to_vec(),
        }
    }

    #[test]
    fn names_of_other_files_are_passed_over() {
        assert_eq!(parse_name("17.delta"), Some((17, FileKind::Delta)));
        assert_eq!(parse_name("3.snapshot"), Some((3, FileKind::Snapshot)));
        for name in [
            "delta",
            "x.delta",
            "1.delta.crc",
            ".1.delta.tmp",
            "-1.delta",
        ] {
            assert_eq!(parse_name(name), None, "{name}");
        }
    }

    #[test]
    fn obsolete_files_are_those_before_the_last_usable_snapshot() {
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
    fn versions_behind_a_gap_are_not_loadable() {
        assert_eq!(listing([1, 2, 4, 5], &[]).loadable(), vec![1, 2]);
        assert_eq!(
            listing([1, 2, 4, 5, 7], &[3]).loadable(),
            vec![1, 2, 3, 4, 5]
        );
        assert_eq!(listing([11, 12], &[10]).loadable(), vec![10, 11, 12]);
    }
}
