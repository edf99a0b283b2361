//! Loaded stores of one checkpoint in this process.
//!
//! A stateful operator is created anew for every micro-batch and task, but its state must not be: loading
//! a million keys takes longer than a batch. The registry keeps each store where the last batch left it
//! and hands it out when the asked version is the one it stands at.
//!
//! ```text
//!   checkout(id, v) ─► idle at v ───────────────► guard ─► batch changes, commits ─► drop ─► idle at v+1
//!                   ─► idle at another version ─► load v from files ─► guard         drop without commit
//!                   ─► not loaded ──────────────► load v from files ─► guard         ─► rolled back, idle at v
//!                   ─► checked out ─────────────► wait for its guard to be dropped
//! ```
//!
//! Why the version may differ: a batch committed its state and failed afterwards, so the query, restarted
//! in this process, runs it again from the older version; or the checkpoint was rewound; or another process
//! ran the partition meanwhile. Files decide in all of these, and the loaded store is dropped.
//!
//! Nothing here starts work or reads clocks by itself: the engine calls [`StateRegistry::maintain`] when it wants
//! snapshots written, old files deleted and local trees compacted, on a thread that no batch needs.
use std::{
    collections::HashMap,
    ops::{Deref, DerefMut},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::sync::{OwnedMappedMutexGuard, OwnedMutexGuard};

use crate::{
    Result, SnapshotTask, StateMetrics, StateSchema, StateStore, StateStoreId,
    StateStoreProviderRef,
};

/// How often a store was found in memory (`loadedMapCacheHitCount`, `loadedMapCacheMissCount`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RegistryMetrics {
    /// Checkouts answered from memory.
    pub hits: u64,
    /// Checkouts that had to load files. Version 0 counts although there are none.
    pub misses: u64,
}

/// What a round of maintenance did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MaintenanceSummary {
    /// Snapshots written.
    pub snapshots: u64,
    /// Bytes of the snapshots.
    pub snapshot_bytes: u64,
    /// Files deleted.
    pub files_deleted: u64,
    /// Stores whose local files were compacted.
    pub compactions: u64,
    /// Stores for which something failed; each failure is logged, and tried again in the next round.
    pub failures: u64,
}

/// Loaded stores, at most one owner each at a time. One per checkpoint location and process.
#[derive(Debug)]
pub struct StateRegistry {
    provider: StateStoreProviderRef,
    entries: Mutex<HashMap<StateStoreId, Arc<Entry>>>,
    /// Stores in partitions that state does not have any more; `None` until somebody has looked.
    retired: Mutex<Option<Vec<StateStoreId>>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Debug, Default)]
struct Entry {
    loaded: Arc<tokio::sync::Mutex<Option<Loaded>>>,
    /// Maintenance found the store checked out: the guard captures the snapshot when it is dropped.
    wants_snapshot: AtomicBool,
    captured: Mutex<Option<Box<dyn SnapshotTask>>>,
}

struct Loaded {
    store: Box<dyn StateStore>,
    schema: StateSchema,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at version {}", self.store.id(), self.store.version())
    }
}

impl StateRegistry {
    /// A registry without loaded stores.
    pub fn new(provider: StateStoreProviderRef) -> Self {
        let entries = Mutex::default();
        Self {
            provider,
            entries,
            retired: Mutex::default(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// The provider that the registry loads from.
    pub fn provider(&self) -> &StateStoreProviderRef {
        &self.provider
    }

    /// Hands out the store at `version`, from memory if it stands there, else from files. Waits while
    /// another owner has the store; the wait ends when that owner drops its guard, so asking for one
    /// store twice within a task never ends.
    ///
    /// # Errors
    /// Those of [`StateStoreProvider::open`](crate::StateStoreProvider::open).
    pub async fn checkout(
        &self,
        id: &StateStoreId,
        schema: &StateSchema,
        version: u64,
    ) -> Result<StateStoreGuard> {
        let entry = Arc::clone(lock(&self.entries).entry(id.clone()).or_default());
        let mut slot = Arc::clone(&entry.loaded).lock_owned().await;
        let loaded = match slot.take() {
            Some(loaded) if loaded.store.version() == version && loaded.schema == *schema => {
                self.hits.fetch_add(1, Ordering::Relaxed);
                loaded
            }
            other => {
                // Freed before loading, so that two copies of the state are never in memory together.
                drop(other);
                *lock(&entry.captured) = None;
                self.misses.fetch_add(1, Ordering::Relaxed);
                let store = self.provider.open(id, schema, version).await?;
                Loaded {
                    store,
                    schema: schema.clone(),
                }
            }
        };
        let loaded = OwnedMutexGuard::map(slot, |slot| slot.insert(loaded));
        Ok(StateStoreGuard { loaded, entry })
    }

    /// Writes due snapshots, merges files on the local disk and deletes files that no retained version needs, for every
    /// loaded store. Never waits for a batch: a store that is checked out is captured when it comes back and written in the
    /// next round. Keeps its thread busy, so that thread should be one that no batch needs.
    pub async fn maintain(&self) -> MaintenanceSummary {
        let entries: Vec<_> = lock(&self.entries)
            .iter()
            .map(|(id, e)| (id.clone(), Arc::clone(e)))
            .collect();
        let mut summary = MaintenanceSummary::default();
        for (id, entry) in entries {
            if let Err(error) = self.maintain_store(&id, &entry, &mut summary).await {
                summary.failures += 1;
                tracing::warn!(store = %id, %error, "state maintenance failed, will be tried again");
            }
        }
        summary
    }

    async fn maintain_store(
        &self,
        id: &StateStoreId,
        entry: &Entry,
        summary: &mut MaintenanceSummary,
    ) -> Result<()> {
        let compaction = if let Ok(mut slot) = entry.loaded.try_lock() {
            entry.capture(slot.as_mut());
            let loaded = slot.as_mut();
            loaded.and_then(|loaded| loaded.store.capture_compaction())
        } else {
            entry.wants_snapshot.store(true, Ordering::Release);
            None
        };
        if let Some(task) = compaction {
            task.run()?;
            summary.compactions += 1;
        }
        let captured = lock(&entry.captured).take();
        let Some(task) = captured else { return Ok(()) };
        let version = task.version();
        summary.snapshot_bytes += task.write().await?;
        summary.snapshots += 1;
        // Obsolescence only changes with a new snapshot: older files are needed until there is one.
        let oldest = version.saturating_sub(self.provider.versions_to_retain());
        summary.files_deleted += self.provider.remove_obsolete(id, oldest).await?;
        Ok(())
    }

    /// Deletes what is left of stores in partitions that state does not have any more, once no retained version needs
    /// it. `partitions` is the number of partitions of each operator, `newest` the newest version. Returns the number of
    /// files deleted.
    ///
    /// # Errors
    /// When the storage fails; what is left is tried again in the next round.
    pub async fn remove_retired(&self, partitions: &HashMap<u32, u32>, newest: u64) -> Result<u64> {
        let known = lock(&self.retired).clone();
        let retired = match known {
            Some(retired) => retired,
            None => {
                let mut stores = self.provider.stores().await?;
                stores.retain(|id| {
                    let now = partitions.get(&id.operator_id);
                    now.is_some_and(|now| id.partition >= *now)
                });
                stores
            }
        };
        let oldest = newest.saturating_sub(self.provider.versions_to_retain());
        let (mut left, mut deleted) = (Vec::new(), 0);
        for id in retired {
            self.provider.forget(&id);
            let last = self.provider.versions(&id).await?.last().copied();
            match last.is_some_and(|last| last >= oldest) {
                true => left.push(id),
                false => deleted += self.provider.remove_newer(&id, 0).await?,
            }
        }
        *lock(&self.retired) = Some(left);
        Ok(deleted)
    }

    /// Metrics of the loaded stores that are idle, ordered by id.
    pub fn store_metrics(&self) -> Vec<(StateStoreId, StateMetrics)> {
        let entries = lock(&self.entries);
        let idle = entries.iter().filter_map(|(id, entry)| {
            let slot = entry.loaded.try_lock().ok()?;
            Some((id.clone(), slot.as_ref()?.store.metrics()))
        });
        let mut metrics: Vec<_> = idle.collect();
        metrics.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        metrics
    }

    /// Hits and misses so far.
    pub fn metrics(&self) -> RegistryMetrics {
        RegistryMetrics {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }

    /// Forgets the loaded stores, as when their query stops or its state gets other partitions. Stores that are checked
    /// out are freed with their guards.
    pub fn unload(&self) {
        lock(&self.entries).clear();
        *lock(&self.retired) = None;
    }
}

impl Entry {
    fn capture(&self, loaded: Option<&mut Loaded>) {
        if let Some(task) = loaded.and_then(|loaded| loaded.store.capture_snapshot()) {
            *lock(&self.captured) = Some(task);
        }
    }
}

/// A store in use. Dropping it gives it back, rolled back to its last commit.
#[derive(Debug)]
pub struct StateStoreGuard {
    loaded: OwnedMappedMutexGuard<Option<Loaded>, Loaded>,
    entry: Arc<Entry>,
}

impl Deref for StateStoreGuard {
    type Target = dyn StateStore;

    fn deref(&self) -> &Self::Target {
        self.loaded.store.as_ref()
    }
}

impl DerefMut for StateStoreGuard {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.loaded.store.as_mut()
    }
}

impl Drop for StateStoreGuard {
    fn drop(&mut self) {
        if self.loaded.store.has_changes() {
            self.loaded.store.rollback();
        }
        if self.entry.wants_snapshot.swap(false, Ordering::AcqRel) {
            self.entry.capture(Some(&mut self.loaded));
        }
    }
}

/// A panic elsewhere leaves the maps consistent: they are changed by single calls.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
