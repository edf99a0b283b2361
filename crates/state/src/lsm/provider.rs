//! The provider, and what its stores share: the block cache, open files, and the bound on buffered changes.
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use lsm_tree::{Cache, DescriptorTable};
use millstream_checkpoint::storage::StorageRef;

use super::{
    codec::encoding_fingerprint,
    local::{Caches, discard},
    replay,
};
use crate::{
    PartitionedStore, Repartitioned, Result, StateLogOptions, StateSchema, StateStore,
    StateStoreId, StateStoreProvider, log::StateLog, repartition, schema::StorageSchema,
};

/// Files of all stores that stay open.
const OPEN_FILES: usize = 256;

/// Settings of an [`LsmProvider`].
#[derive(Debug, Clone)]
pub struct LsmOptions {
    /// Settings of the state log.
    pub log: StateLogOptions,
    /// Folder on the local disk for the trees, of this checkpoint alone. It is a cache: it may go, and if it
    /// stays, the next start does not have to build the trees anew.
    pub local_folder: PathBuf,
    /// Bytes of committed changes that all stores together hold in memory before they go to their trees. The
    /// changes of running batches come on top.
    pub buffer_bytes: usize,
    /// Bytes of blocks of the trees that are kept in memory, for all stores together.
    pub cache_bytes: u64,
}

impl LsmOptions {
    /// Spark's default of 500 MB, half of it for changes.
    pub fn new(log: StateLogOptions, local_folder: PathBuf) -> Self {
        Self {
            log,
            local_folder,
            buffer_bytes: 250 << 20,
            cache_bytes: 250 << 20,
        }
    }
}

/// What the stores of a provider share.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) folder: PathBuf,
    pub(super) caches: Caches,
    /// Fingerprint of the encoding of keys and values.
    pub(super) encoding: u64,
    buffer_bytes: usize,
    stores: AtomicUsize,
}

/// A store's part of the memory for committed changes; given back when dropped.
#[derive(Debug)]
pub(super) struct BufferShare(Arc<Local>);

impl BufferShare {
    pub(super) fn new(local: &Arc<Local>) -> Self {
        local.stores.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(local))
    }

    /// Bytes of a layer: a third of the store's part. Another layer may be on its way to the tree, and merging runs takes as
    /// much again for a moment.
    pub(super) fn bytes(&self) -> usize {
        self.0.buffer_bytes / self.stores() / 3
    }

    /// Stores that are open.
    pub(super) fn stores(&self) -> usize {
        self.0.stores.load(Ordering::Relaxed).max(1)
    }
}

impl Drop for BufferShare {
    fn drop(&mut self) {
        self.0.stores.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Keeps state on the local disk, with a bounded part in memory, under the same log as the columnar provider.
#[derive(Debug, Clone)]
pub struct LsmProvider {
    log: StateLog,
    local: Arc<Local>,
}

impl LsmProvider {
    /// A provider over the `state` folder of a checkpoint.
    ///
    /// # Errors
    /// If rows cannot be encoded, which would be a defect of the build.
    pub fn try_new(storage: StorageRef, options: LsmOptions) -> Result<Self> {
        let local = Local {
            folder: options.local_folder,
            caches: Caches {
                blocks: Arc::new(Cache::with_capacity_bytes(options.cache_bytes)),
                files: Arc::new(DescriptorTable::new(OPEN_FILES)),
            },
            encoding: encoding_fingerprint()?,
            buffer_bytes: options.buffer_bytes,
            stores: AtomicUsize::new(0),
        };
        Ok(Self {
            log: StateLog::new(storage, options.log),
            local: Arc::new(local),
        })
    }
}

#[async_trait]
impl StateStoreProvider for LsmProvider {
    async fn open(
        &self,
        id: &StateStoreId,
        schema: &StateSchema,
        version: u64,
    ) -> Result<Box<dyn StateStore>> {
        let schema = StorageSchema::try_new(schema)?;
        let store = replay::open(&self.local, self.log.files(id), schema, version).await?;
        Ok(Box::new(store))
    }

    async fn versions(&self, id: &StateStoreId) -> Result<Vec<u64>> {
        Ok(self.log.files(id).list().await?.loadable())
    }

    async fn stores(&self) -> Result<Vec<StateStoreId>> {
        self.log.stores().await
    }

    async fn remove_obsolete(&self, id: &StateStoreId, oldest: u64) -> Result<u64> {
        self.log.remove_obsolete(id, oldest).await
    }

    async fn remove_newer(&self, id: &StateStoreId, version: u64) -> Result<u64> {
        self.log.remove_newer(id, version).await
    }

    async fn check_repartition(&self, stores: &[PartitionedStore], version: u64) -> Result<()> {
        repartition::check(&self.log, stores, version).await
    }

    async fn repartition(
        &self,
        store: &PartitionedStore,
        version: u64,
        stop: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<Repartitioned> {
        repartition::run(&self.log, self, store, version, stop).await
    }

    fn forget(&self, id: &StateStoreId) {
        if let Err(error) = discard(&self.local.folder, id) {
            tracing::warn!(store = %id, %error, "cannot delete the local copy of a state store");
        }
    }

    fn versions_to_retain(&self) -> u64 {
        self.log.options.min_versions_to_retain
    }
}
