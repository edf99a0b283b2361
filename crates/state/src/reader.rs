//! Reading state of a checkpoint that need not be running: what is there, under which columns, and what changed.
//!
//! Files describe themselves, so nothing has to be known of the query. Reading takes no lock and writes nothing; files
//! that a running query deletes meanwhile are reported as missing.
use arrow::array::RecordBatch;
use millstream_checkpoint::storage::StorageRef;

use crate::{
    ColumnarLogProvider, MonotonicClock, Result, StateError, StateLogOptions, StateSchema,
    StateStore, StateStoreId, StateStoreProvider,
    format::{self, Decoded, FileKind, FormatError},
    log::{StateLog, StoreFiles},
    schema::StorageSchema,
};

/// Reads the `state` folder of a checkpoint, whichever provider wrote it.
#[derive(Debug, Clone)]
pub struct StateReader {
    log: StateLog,
    columns: ColumnarLogProvider,
}

/// What one version changed, key by key.
#[derive(Debug, Clone)]
pub struct StateChanges {
    /// Keys that were written, with their values: key columns, then value columns.
    pub updated: Vec<RecordBatch>,
    /// Keys that went, with their last values: key columns, then value columns.
    pub removed: Vec<RecordBatch>,
}

impl StateReader {
    /// A reader of the `state` folder.
    pub fn new(state: StorageRef) -> Self {
        let options = StateLogOptions::new(MonotonicClock::new(Default::default));
        Self {
            log: StateLog::new(state.clone(), options.clone()),
            columns: ColumnarLogProvider::new(state, options),
        }
    }

    /// The stores that have files, ascending.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    pub async fn stores(&self) -> Result<Vec<StateStoreId>> {
        self.log.stores().await
    }

    /// The versions that have a snapshot, ascending.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    pub async fn snapshots(&self, id: &StateStoreId) -> Result<Vec<u64>> {
        Ok(self.log.files(id).list().await?.snapshots)
    }

    /// Whether a store with the columns of `schema` could go on from a version; where there is no state it can.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub async fn fits(
        &self,
        id: &StateStoreId,
        schema: &StateSchema,
        version: u64,
    ) -> Result<bool> {
        match self.check(id, schema, version).await {
            Ok(()) => Ok(true),
            Err(StateError::KeySchemaMismatch { .. } | StateError::ValueSchemaMismatch { .. }) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Refuses what a store with the columns of `schema` would refuse that goes on from a version.
    ///
    /// # Errors
    /// When the columns have other types, or the files cannot be read.
    pub async fn check(&self, id: &StateStoreId, schema: &StateSchema, version: u64) -> Result<()> {
        let Some(stored) = self.schema(id, version).await? else {
            return Ok(());
        };
        let schema = StorageSchema::try_new(schema)?;
        schema.check_stored(id, &stored.key, &stored.value)
    }

    /// The columns under which the store's newest file was written, up to `version`; `None` without such a file.
    ///
    /// # Errors
    /// If that file is damaged.
    pub async fn schema(&self, id: &StateStoreId, version: u64) -> Result<Option<StateSchema>> {
        let files = self.log.files(id);
        let listing = files.list().await?;
        let newest = |versions: &[u64]| versions.iter().rfind(|v| **v <= version).copied();
        let file = match (newest(&listing.deltas), newest(&listing.snapshots)) {
            (Some(delta), snapshot) if snapshot.is_none_or(|snapshot| snapshot <= delta) => {
                read(&files, FileKind::Delta, delta).await?
            }
            (_, Some(snapshot)) => read(&files, FileKind::Snapshot, snapshot).await?,
            _ => return Ok(None),
        };
        let (key, value) = file.schemas();
        let mut schema = StateSchema::new(key.into(), value.into());
        schema.event_time = file.event_time;
        Ok(Some(schema))
    }

    /// The store at a version.
    ///
    /// # Errors
    /// Those of [`StateStoreProvider::open`].
    pub async fn open(
        &self,
        id: &StateStoreId,
        schema: &StateSchema,
        version: u64,
    ) -> Result<Box<dyn StateStore>> {
        self.columns.open(id, schema, version).await
    }

    /// What `version` changed of `before`, the store at the version before it, which is brought to `version` (and has
    /// it as uncommitted changes).
    ///
    /// # Errors
    /// If the delta is missing or damaged.
    pub async fn changes(
        &self,
        before: &mut dyn StateStore,
        schema: &StateSchema,
        version: u64,
    ) -> Result<StateChanges> {
        let files = self.log.files(before.id());
        let delta = read(&files, FileKind::Delta, version).await?;
        let keys: Vec<usize> = (0..schema.key.fields().len()).collect();
        let values: Vec<usize> = (keys.len()..delta.entry_schema.fields().len()).collect();
        let mut removed = Vec::new();
        for keys in &delta.tombstones {
            let lookup = before.get(keys)?;
            let columns = keys
                .columns()
                .iter()
                .chain(lookup.values.columns())
                .cloned();
            let entries = RecordBatch::try_new(delta.entry_schema.clone(), columns.collect())?;
            removed.push(arrow::compute::filter_record_batch(
                &entries,
                &lookup.found,
            )?);
            before.delete(keys)?;
        }
        if let Some(through) = delta.evicted_through {
            removed.extend(before.evict(through)?);
        }
        for entries in &delta.upserts {
            before.put(&entries.project(&keys)?, &entries.project(&values)?)?;
        }
        // What went and came back within the batch was updated.
        for entries in &mut removed {
            let back = before.get(&entries.project(&keys)?)?.found;
            let gone = arrow::compute::not(&back)?;
            *entries = arrow::compute::filter_record_batch(entries, &gone)?;
        }
        Ok(StateChanges {
            updated: delta.upserts,
            removed,
        })
    }
}

async fn read(files: &StoreFiles, kind: FileKind, version: u64) -> Result<Decoded> {
    let Some(bytes) = files.get(kind, version).await? else {
        return Err(StateError::MissingFile {
            store: files.id.clone(),
            version,
            path: files.url(kind, version),
        });
    };
    format::decode(&bytes, kind, version, &files.id).map_err(|error| match error {
        FormatError::Corrupt(reason) => StateError::CorruptFile {
            store: files.id.clone(),
            version,
            path: files.url(kind, version),
            reason,
        },
        FormatError::Unsupported(found) => StateError::UnsupportedFormat {
            path: files.url(kind, version),
            found,
            supported: format::FORMAT_VERSION,
        },
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::executor::block_on;

    use super::*;
    use crate::testing::{Kind, MemoryStorage, counts, counts_by_window, options, rows, windows};

    #[test]
    fn changes_list_evicted_keys_and_what_came_back_as_updated() {
        for kind in Kind::ALL {
            let storage: Arc<MemoryStorage> = Arc::default();
            let provider = kind.provider(&storage, options());
            let id = StateStoreId::new(0, 0);
            let mut store = block_on(provider.open(&id, &counts_by_window(), 0)).unwrap();
            let keys = windows(&[(1, "a"), (1, "b"), (2, "c"), (9, "d")]);
            store.put(&keys, &counts(&[1, 2, 3, 4])).unwrap();
            block_on(store.commit()).unwrap();
            store.evict(2).unwrap();
            store.put(&windows(&[(1, "b")]), &counts(&[20])).unwrap();
            store.delete(&windows(&[(9, "d")])).unwrap();
            block_on(store.commit()).unwrap();

            let reader = StateReader::new(Arc::clone(&storage) as _);
            let schema = block_on(reader.schema(&id, 2)).unwrap().unwrap();
            assert_eq!(schema.event_time, Some(0));
            let mut store = block_on(reader.open(&id, &schema, 1)).unwrap();
            let changes = block_on(reader.changes(store.as_mut(), &schema, 2)).unwrap();
            let time = |second: i64| format!("1970-01-01T00:00:00.00000{second}Z");
            assert_eq!(rows(&changes.updated), [format!("{}|b|20", time(1))]);
            let removed = [(1, "a|1"), (2, "c|3"), (9, "d|4")];
            let removed = removed.map(|(at, rest)| format!("{}|{rest}", time(at)));
            assert_eq!(rows(&changes.removed), removed);
            assert_eq!(rows(&store.scan().unwrap()), [format!("{}|b|20", time(1))]);
            assert!(block_on(reader.schema(&id, 0)).unwrap().is_none());
        }
    }
}
