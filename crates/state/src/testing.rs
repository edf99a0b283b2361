//! Storage and schemas for the tests of this crate.
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arrow::{
    array::{
        ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
        TimestampMicrosecondArray,
    },
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
    util::display::{ArrayFormatter, FormatOptions},
};
use async_trait::async_trait;
use bytes::Bytes;
use millstream_checkpoint::storage::{FileMeta, Storage, StorageError};

use tempfile::TempDir;

use crate::{
    ColumnarLogProvider, LsmOptions, LsmProvider, MonotonicClock, StateLogOptions, StateSchema,
    StateStoreProviderRef,
};

/// Files in a map; can be told to fail.
#[derive(Debug, Default)]
pub(crate) struct MemoryStorage {
    pub(crate) files: Mutex<BTreeMap<String, Bytes>>,
    /// Puts and deletes until one fails; 0 is never.
    pub(crate) fail_in: AtomicU64,
    /// The local disk of the machine that works on these files.
    local: OnceLock<TempDir>,
}

impl MemoryStorage {
    /// Folder on the local disk; goes with the storage.
    pub(crate) fn local_folder(&self) -> PathBuf {
        let folder = self.local.get_or_init(|| {
            // In memory where there is such a place: syncing thousands of small trees takes minutes.
            let memory = Path::new("/dev/shm");
            match memory.is_dir() {
                true => tempfile::tempdir_in(memory).unwrap(),
                false => tempfile::tempdir().unwrap(),
            }
        });
        folder.path().to_owned()
    }

    /// As when the query goes on on another machine.
    pub(crate) fn lose_local_folder(&self) {
        std::fs::remove_dir_all(self.local_folder()).unwrap();
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.files.lock().unwrap().keys().cloned().collect()
    }

    pub(crate) fn read(&self, path: &str) -> Option<Bytes> {
        self.files.lock().unwrap().get(path).cloned()
    }

    pub(crate) fn write(&self, path: &str, bytes: impl Into<Bytes>) {
        self.files
            .lock()
            .unwrap()
            .insert(path.to_owned(), bytes.into());
    }

    pub(crate) fn remove(&self, path: &str) {
        self.files.lock().unwrap().remove(path);
    }

    fn may_fail(&self, path: &str) -> Result<(), StorageError> {
        let left = self.fail_in.load(Ordering::Relaxed);
        self.fail_in
            .store(left.saturating_sub(1), Ordering::Relaxed);
        match left {
            1 => Err(StorageError::Failed {
                operation: "write",
                path: path.to_owned(),
                message: "the disk is full".to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    fn url(&self) -> &str {
        "memory:///state"
    }

    async fn put_new(&self, path: &str, bytes: Bytes) -> Result<(), StorageError> {
        match self.read(path) {
            Some(_) => Err(StorageError::AlreadyExists {
                path: path.to_owned(),
            }),
            None => self.put(path, bytes).await,
        }
    }

    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StorageError> {
        self.may_fail(path)?;
        self.write(path, bytes);
        Ok(())
    }

    async fn get(&self, path: &str) -> Result<Bytes, StorageError> {
        self.read(path).ok_or_else(|| StorageError::NotFound {
            path: path.to_owned(),
        })
    }

    async fn exists(&self, path: &str) -> Result<bool, StorageError> {
        Ok(self.read(path).is_some())
    }

    async fn list(&self, dir: &str) -> Result<Vec<FileMeta>, StorageError> {
        let files = self.files.lock().unwrap();
        let in_dir = files.iter().filter_map(|(path, bytes)| {
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            (parent == dir).then(|| FileMeta {
                name: name.to_owned(),
                size: bytes.len() as u64,
                modified_ms: 0,
            })
        });
        Ok(in_dir.collect())
    }

    async fn list_dirs(&self, dir: &str) -> Result<Vec<String>, StorageError> {
        let prefix = if dir.is_empty() {
            String::new()
        } else {
            format!("{dir}/")
        };
        let names = self.names();
        let below = names
            .iter()
            .filter_map(|path| path.strip_prefix(&prefix)?.split_once('/'));
        let mut dirs: Vec<String> = below.map(|(dir, _)| dir.to_owned()).collect();
        dirs.dedup();
        Ok(dirs)
    }

    async fn delete(&self, path: &str) -> Result<(), StorageError> {
        self.may_fail(path)?;
        self.remove(path);
        Ok(())
    }

    async fn delete_dir(&self, dir: &str) -> Result<(), StorageError> {
        let prefix = format!("{dir}/");
        self.files
            .lock()
            .unwrap()
            .retain(|path, _| !path.starts_with(&prefix));
        Ok(())
    }
}

/// Options with a clock that stands still.
pub(crate) fn options() -> StateLogOptions {
    StateLogOptions::new(MonotonicClock::new(|| Duration::ZERO))
}

pub(crate) fn provider(
    storage: &Arc<MemoryStorage>,
    options: StateLogOptions,
) -> ColumnarLogProvider {
    ColumnarLogProvider::new(Arc::clone(storage) as _, options)
}

/// A provider to test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Columnar,
    /// With a buffer that everything fits into.
    Lsm,
    /// With a buffer that nothing fits into: every commit but the last is in the tree.
    LsmSpilling,
}

impl Kind {
    pub(crate) const ALL: [Kind; 3] = [Kind::Columnar, Kind::Lsm, Kind::LsmSpilling];

    /// The provider over a checkpoint, on the machine's local disk.
    pub(crate) fn provider(
        self,
        storage: &Arc<MemoryStorage>,
        options: StateLogOptions,
    ) -> StateStoreProviderRef {
        let files = Arc::clone(storage) as _;
        let buffer_bytes = match self {
            Kind::Columnar => return Arc::new(ColumnarLogProvider::new(files, options)),
            Kind::Lsm => 64 << 20,
            Kind::LsmSpilling => 0,
        };
        let options = LsmOptions {
            buffer_bytes,
            cache_bytes: 1 << 20,
            ..LsmOptions::new(options, storage.local_folder())
        };
        Arc::new(LsmProvider::try_new(files, options).unwrap())
    }
}

/// Makes a test of every function, once a provider.
macro_rules! every_provider {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            use crate::testing::Kind;

            #[test]
            fn columnar() {
                super::$name(Kind::Columnar);
            }

            #[test]
            fn lsm() {
                super::$name(Kind::Lsm);
            }

            #[test]
            fn lsm_spilling() {
                super::$name(Kind::LsmSpilling);
            }
        })+
    };
}
pub(crate) use every_provider;

/// Key `user string`, value `count bigint`.
pub(crate) fn counts_by_user() -> StateSchema {
    let key = Schema::new(vec![Field::new("user", DataType::Utf8, true)]);
    let value = Schema::new(vec![Field::new("count", DataType::Int64, true)]);
    StateSchema::new(Arc::new(key), Arc::new(value))
}

/// Key `window timestamp, user string`, value `count bigint`, evicting by window.
pub(crate) fn counts_by_window() -> StateSchema {
    let window = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let key = Schema::new(vec![
        Field::new("window", window, true),
        Field::new("user", DataType::Utf8, true),
    ]);
    StateSchema {
        key: Arc::new(key),
        event_time: Some(0),
        ..counts_by_user()
    }
}

pub(crate) fn users(names: &[&str]) -> RecordBatch {
    let names: ArrayRef = Arc::new(StringArray::from(names.to_vec()));
    batch(&counts_by_user().key, vec![names])
}

pub(crate) fn windows(keys: &[(i64, &str)]) -> RecordBatch {
    let windows = keys.iter().map(|(window, _)| *window).collect::<Vec<_>>();
    let names = keys.iter().map(|(_, name)| *name).collect::<Vec<_>>();
    let windows = TimestampMicrosecondArray::from(windows).with_timezone("UTC");
    batch(
        &counts_by_window().key,
        vec![Arc::new(windows), Arc::new(StringArray::from(names))],
    )
}

pub(crate) fn counts(counts: &[i64]) -> RecordBatch {
    batch(
        &counts_by_user().value,
        vec![Arc::new(Int64Array::from(counts.to_vec()))],
    )
}

pub(crate) fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>) -> RecordBatch {
    RecordBatch::try_new(Arc::clone(schema), columns).unwrap()
}

/// Rows as text, one string each, sorted.
pub(crate) fn rows(batches: &[RecordBatch]) -> Vec<String> {
    let mut rows: Vec<String> = batches.iter().flat_map(texts).collect();
    rows.sort_unstable();
    rows
}

/// Rows of a batch as text, in order.
pub(crate) fn texts(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("∅");
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
        .collect();
    let row = |row| {
        let cells: Vec<_> = columns
            .iter()
            .map(|column| column.value(row).to_string())
            .collect();
        cells.join("|")
    };
    (0..batch.num_rows()).map(row).collect()
}

/// Some columns of a batch, which may be none.
pub(crate) fn project(batch: &RecordBatch, columns: &[usize]) -> RecordBatch {
    let schema = Arc::new(batch.schema().project(columns).unwrap());
    let columns = columns
        .iter()
        .map(|c| Arc::clone(batch.column(*c)))
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema, columns, &options).unwrap()
}
