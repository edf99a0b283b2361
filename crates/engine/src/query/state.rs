//! Where a query keeps its state: which provider, and its local folder.
//!
//! Every record of the offset log names the provider's class, as Spark's do. Both providers write the same files, so what
//! the pin protects is the user's expectation, not the data.
use std::{fmt, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use millstream_checkpoint::CheckpointDir;
use millstream_state::{
    ColumnarLogProvider, LsmOptions, LsmProvider, MonotonicClock, StateLogOptions, StateRegistry,
    StateStoreProviderRef,
};
use uuid::Uuid;

use super::{QuerySettings, QuerySpec};
use crate::EngineError;

/// How state is kept between batches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StateProvider {
    /// All of it in memory.
    #[default]
    ColumnarLog,
    /// On the local disk, with a bounded part in memory.
    Lsm,
}

const CLASSES: [(StateProvider, &str); 2] = [
    (
        StateProvider::ColumnarLog,
        "org.apache.spark.sql.execution.streaming.state.HDFSBackedStateStoreProvider",
    ),
    (
        StateProvider::Lsm,
        "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider",
    ),
];

impl fmt::Display for StateProvider {
    /// The class name by which users and checkpoints know it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = CLASSES.iter().find(|(provider, _)| provider == self);
        f.write_str(class.map_or("", |(_, class)| class))
    }
}

/// A class that is not one of the providers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no state store provider {0}")]
pub struct UnknownStateProvider(pub String);

impl FromStr for StateProvider {
    type Err = UnknownStateProvider;

    fn from_str(class: &str) -> Result<Self, Self::Err> {
        let class = class.trim();
        // Releases before Spark 4.1 had the providers in the same package under these very names.
        let known = CLASSES.iter().find(|(_, name)| *name == class);
        known
            .map(|(provider, _)| *provider)
            .ok_or_else(|| UnknownStateProvider(class.to_string()))
    }
}

/// What a provider that keeps state on the local disk may use of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalStateSettings {
    /// Folder on the local disk; every query has a folder of its own below it.
    pub folder: PathBuf,
    /// Bytes of changes that a query holds in memory before they go to disk.
    pub buffer_bytes: usize,
    /// Bytes of what is on disk that a query keeps in memory.
    pub cache_bytes: u64,
}

impl Default for LocalStateSettings {
    fn default() -> Self {
        Self {
            folder: std::env::temp_dir().join("millstream-state"),
            buffer_bytes: 250 << 20,
            cache_bytes: 250 << 20,
        }
    }
}

impl LocalStateSettings {
    /// The folder of one query.
    pub(super) fn of_query(&self, id: Uuid) -> PathBuf {
        self.folder.join(id.to_string())
    }
}

/// The stores of a query.
pub(super) fn open_state(
    dir: &CheckpointDir,
    settings: &QuerySettings,
    spec: &QuerySpec,
    id: Uuid,
) -> Result<StateRegistry, EngineError> {
    let clock = Arc::clone(&spec.clock);
    let mut log = StateLogOptions::new(MonotonicClock::new(move || {
        Duration::from_millis(u64::try_from(clock.now_ms()).unwrap_or(0))
    }));
    log.min_deltas_for_snapshot = settings.min_deltas_for_snapshot.max(1);
    log.min_versions_to_retain = settings.min_batches_to_retain.max(1);
    log.compression = settings.state_compression;
    log.faults = spec.faults.clone();
    let provider: StateStoreProviderRef = match settings.state_provider {
        StateProvider::ColumnarLog => Arc::new(ColumnarLogProvider::new(dir.state(), log)),
        StateProvider::Lsm => {
            let options = LsmOptions {
                buffer_bytes: settings.local_state.buffer_bytes,
                cache_bytes: settings.local_state.cache_bytes,
                ..LsmOptions::new(log, settings.local_state.of_query(id))
            };
            Arc::new(LsmProvider::try_new(dir.state(), options).map_err(EngineError::State)?)
        }
    };
    Ok(StateRegistry::new(provider))
}

/// Throws the local folder of a query away whose checkpoint goes too.
pub(super) fn discard_local(settings: &QuerySettings, id: Uuid) {
    let folder = settings.local_state.of_query(id);
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(folder = %folder.display(), %error, "cannot delete the local state folder");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_read_as_they_are_recorded() {
        for (provider, class) in CLASSES {
            assert_eq!(provider.to_string(), class);
            assert_eq!(class.parse(), Ok(provider));
        }
        assert!("org.example.Other".parse::<StateProvider>().is_err());
    }
}
