//! The provider of the columnar log: stores in memory over the state log's files.
use async_trait::async_trait;
use millstream_checkpoint::storage::StorageRef;

use super::{load::load, store::ColumnarLogStore};
use crate::{
    PartitionedStore, Repartitioned, Result, StateLogOptions, StateSchema, StateStore,
    StateStoreId, StateStoreProvider,
    log::{StateLog, StoreFiles},
    repartition,
    schema::StorageSchema,
};

/// Keeps state in memory as columns, and on storage as a changelog with snapshots.
///
/// Files of (operator, partition, store) are in `<operator>/<partition>/` or, for a named store, in
/// `<operator>/<partition>/<store>/`: `<version>.delta` for every version of the last
/// [`StateLogOptions::min_versions_to_retain`], and a `<version>.snapshot` now and then.
#[derive(Debug, Clone)]
pub struct ColumnarLogProvider {
    log: StateLog,
}

impl ColumnarLogProvider {
    /// A provider over the `state` folder of a checkpoint.
    pub fn new(storage: StorageRef, options: StateLogOptions) -> Self {
        Self {
            log: StateLog::new(storage, options),
        }
    }

    pub(super) fn files(&self, id: &StateStoreId) -> StoreFiles {
        self.log.files(id)
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
        let files = self.log.files(id);
        let schema = StorageSchema::try_new(schema)?;
        let loaded = load(&files, &schema, version).await?;
        let store = ColumnarLogStore::new(files, version, loaded);
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

    fn versions_to_retain(&self) -> u64 {
        self.log.options.min_versions_to_retain
    }
}
