//! The durable layer: a tree of small, write-once files under one URL.
//!
//! Everything under a checkpoint location, and the `_spark_metadata` log of a file sink, goes through
//! [`Storage`]. Its promise is the one that the logs are built on: **a file that is there is whole**. A
//! put either leaves the complete bytes under the final name, durably, or leaves nothing that a reader
//! can see, whatever happens to the process or the machine in between.
//!
//! Paths are relative to the storage's root, use `/` on every platform and never start or end with one.
mod faulty;
mod hold;
mod local;
mod object;
mod open;

use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;

pub use self::{
    faulty::FaultyStorage,
    hold::Hold,
    local::LocalStorage,
    object::ObjectStorage,
    open::{open, open_with, subdir},
};

/// One file as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileMeta {
    /// Last component of the path.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// Last modification, milliseconds since the epoch.
    pub modified_ms: i64,
}

/// Why a storage operation failed.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The file is not there.
    #[error("file not found: {path}")]
    NotFound {
        /// Full URL or path of the file.
        path: String,
    },
    /// `put_new` found a file under that name: another writer was first.
    #[error("file already exists: {path}")]
    AlreadyExists {
        /// Full URL or path of the file.
        path: String,
    },
    /// The operation may or may not have taken effect; whoever retries must look first.
    #[error("outcome unknown for {path}: {message}")]
    Indeterminate {
        /// Full URL or path of the file.
        path: String,
        /// What the store answered.
        message: String,
    },
    /// The operation failed and surely had no effect.
    #[error("cannot {operation} {path}: {message}")]
    Failed {
        /// What was tried: `read`, `write`, `list`, `delete`, ...
        operation: &'static str,
        /// Full URL or path of the file.
        path: String,
        /// What the store answered.
        message: String,
    },
    /// A fault point fired (tests only).
    #[error("injected fault at {point}")]
    Injected {
        /// Name of the fault point.
        point: String,
    },
}

/// A tree of files under one URL. Contract:
///
/// 1. `put_new` is atomic and exclusive: of several writers of one path exactly one succeeds, the others
///    get [`StorageError::AlreadyExists`]; a crash leaves the whole file or none.
/// 2. `put` is atomic: readers see the old bytes or the new ones.
/// 3. When a put returns `Ok` the bytes survive a power cut (local disks: file and folder are synced).
/// 4. Missing parent folders are created. `delete` of a missing file is `Ok`. `list` of a missing folder is empty.
/// 5. Half-written temporaries are never listed.
#[async_trait]
pub trait Storage: Debug + Send + Sync + 'static {
    /// The root as a URL (`file:///…`, `s3://…`), for messages.
    fn url(&self) -> &str;
    /// Writes a file that must not exist yet.
    async fn put_new(&self, path: &str, bytes: Bytes) -> Result<(), StorageError>;
    /// Writes a file, replacing what is there.
    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StorageError>;
    /// Reads a whole file.
    async fn get(&self, path: &str) -> Result<Bytes, StorageError>;
    /// Whether the file is there.
    async fn exists(&self, path: &str) -> Result<bool, StorageError>;
    /// The files directly in a folder (`""` is the root), in no particular order.
    async fn list(&self, dir: &str) -> Result<Vec<FileMeta>, StorageError>;
    /// The names of the folders directly in a folder.
    async fn list_dirs(&self, dir: &str) -> Result<Vec<String>, StorageError>;
    /// Removes a file.
    async fn delete(&self, path: &str) -> Result<(), StorageError>;
    /// Removes a folder and all below it.
    async fn delete_dir(&self, dir: &str) -> Result<(), StorageError>;
    /// Holds the root, `alone` or beside others, until the answer is dropped; an error if somebody holds it otherwise.
    /// A storage that has no such thing holds nothing.
    fn hold(&self, alone: bool) -> Result<Hold, StorageError> {
        let _ = alone;
        Ok(Hold::default())
    }
}

/// Shared handle to a storage.
pub type StorageRef = Arc<dyn Storage>;
