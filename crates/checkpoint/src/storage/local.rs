//! Storage in a folder of a local (or mounted) file system.
//!
//! # How a file is published
//!
//! ```text
//! put_new a/7 :  write a/.7.<uuid>.tmp ─ fsync it ─ link(tmp, a/7) ─ unlink tmp ─ fsync a
//! put     a/7 :  write a/.7.<uuid>.tmp ─ fsync it ─ rename(tmp, a/7)            ─ fsync a
//! ```
//!
//! `link(2)` fails when the target exists, which makes it the one portable call that publishes a
//! finished file atomically *and* exclusively. Where the file system has no hard links, the writer
//! takes `a/.7.lock.tmp` (created exclusively) around "look, then rename"; every writer of that
//! file system goes the same way, so exactly one wins there too.
//!
//! A put costs two syncs. Folders are created, and synced up to the first one that existed, only
//! when the temporary cannot be created for lack of them.
//!
//! # On a crash
//!
//! Before the link nothing is visible; after it the whole file is. What may stay behind is a
//! temporary. Names that start with a dot are never listed, and a temporary whose writer must be
//! dead (older than [`TEMPORARY_AGE_MAX`] by the file system's own clock) is removed the first time
//! this storage writes into its folder. Spark names its temporaries the same way, so its leftovers
//! go too.
//!
//! # Hadoop's checksum sidecars
//!
//! Spark writes local files through a layer that keeps the CRC of `NAME` in `.NAME.crc` and refuses
//! to read `NAME` when the two disagree; a missing sidecar is fine. So a sidecar is removed
//! *before* its file is replaced or created, and together with it on delete: at no moment is there
//! a sidecar that belongs to other bytes.
//!
//! A put that has begun is carried out even if its future is dropped: blocking calls cannot be
//! called off. Whoever restarts a query in the same process waits for the old run's puts first.
//!
//! Deletes are not synced. What a power cut brings back is an old file that is deleted again.
use std::{
    collections::HashSet,
    fs, io,
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, UNIX_EPOCH},
};

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use super::{FileMeta, Storage, StorageError};

/// A temporary older than this has no live writer: a put holds one for milliseconds.
const TEMPORARY_AGE_MAX: Duration = Duration::from_secs(10 * 60);

/// A folder of the local file system. Cheap to clone; clones share their bookkeeping.
#[derive(Debug, Clone)]
pub struct LocalStorage {
    url: Arc<str>,
    folder: Arc<Folder>,
}

#[derive(Debug)]
struct Folder {
    root: PathBuf,
    /// Folders whose dead temporaries were already swept by this storage.
    swept: Mutex<HashSet<PathBuf>>,
}

/// What one put must do when the name is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Publish {
    Exclusive,
    Replace,
}

impl LocalStorage {
    /// Opens the folder `root`, which need not exist; the first put creates it. A relative path is
    /// taken from the working directory, once, now.
    pub fn new(root: impl AsRef<Path>) -> Result<Self, StorageError> {
        let root = root.as_ref();
        let absolute = std::path::absolute(root).map_err(|e| failed("open", root, &e))?;
        let url = url::Url::from_file_path(&absolute).map_err(|()| StorageError::Failed {
            operation: "open",
            path: root.display().to_string(),
            message: "the path cannot be written as a file URL".into(),
        })?;
        let url = url.as_str().trim_end_matches('/');
        Ok(Self {
            url: url.into(),
            folder: Arc::new(Folder {
                root: absolute,
                swept: Mutex::default(),
            }),
        })
    }

    /// The folder this storage lives in.
    pub fn root(&self) -> &Path {
        &self.folder.root
    }

    /// Runs blocking file system work off the async threads.
    async fn blocking<R: Send + 'static>(
        &self,
        operation: &'static str,
        path: &str,
        work: impl FnOnce(&Folder, &Path) -> Result<R, StorageError> + Send + 'static,
    ) -> Result<R, StorageError> {
        let full = self.folder.resolve(operation, path)?;
        let folder = Arc::clone(&self.folder);
        let shown = full.display().to_string();
        tokio::task::spawn_blocking(move || work(&folder, &full))
            .await
            .unwrap_or_else(|e| {
                // The runtime is shutting down or the closure panicked: a put may have been under
                // way.
                Err(StorageError::Indeterminate {
                    path: shown,
                    message: e.to_string(),
                })
            })
    }
}

#[async_trait]
impl Storage for LocalStorage {
    fn hold(&self, alone: bool) -> Result<super::Hold, StorageError> {
        super::Hold::local(&self.folder.root, alone)
    }

    fn url(&self) -> &str {
        &self.url
    }

    async fn put_new(&self, path: &str, bytes: Bytes) -> Result<(), StorageError> {
        self.blocking("write", path, move |folder, path| {
            folder.write(path, &bytes, Publish::Exclusive)
        })
        .await
    }

    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StorageError> {
        self.blocking("write", path, move |folder, path| {
            folder.write(path, &bytes, Publish::Replace)
        })
        .await
    }

    async fn get(&self, path: &str) -> Result<Bytes, StorageError> {
        self.blocking("read", path, |_, path| {
            fs::read(path)
                .map(Bytes::from)
                .map_err(|e| failed("read", path, &e))
        })
        .await
    }

    async fn exists(&self, path: &str) -> Result<bool, StorageError> {
        self.blocking("look up", path, |_, path| match fs::metadata(path) {
            Ok(meta) => Ok(meta.is_file()),
            Err(e) if is_missing(&e) => Ok(false),
            Err(e) => Err(failed("look up", path, &e)),
        })
        .await
    }

    async fn list(&self, dir: &str) -> Result<Vec<FileMeta>, StorageError> {
        self.blocking("list", dir, |_, dir| list_files(dir)).await
    }

    async fn list_dirs(&self, dir: &str) -> Result<Vec<String>, StorageError> {
        self.blocking("list", dir, |_, dir| {
            let mut names = Vec::new();
            for (name, entry) in visible_entries(dir)? {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    names.push(name);
                }
            }
            Ok(names)
        })
        .await
    }

    async fn delete(&self, path: &str) -> Result<(), StorageError> {
        self.blocking("delete", path, |_, path| {
            remove(&sidecar(path))?;
            remove(path)
        })
        .await
    }

    async fn delete_dir(&self, dir: &str) -> Result<(), StorageError> {
        self.blocking("delete", dir, |_, dir| match fs::remove_dir_all(dir) {
            Err(e) if !is_missing(&e) => Err(failed("delete", dir, &e)),
            _ => Ok(()),
        })
        .await
    }
}

impl Folder {
    /// The full path of `path`, which must stay below the root and must not be hidden from
    /// listings.
    fn resolve(&self, operation: &'static str, path: &str) -> Result<PathBuf, StorageError> {
        let plain = Path::new(path)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        let tidy = path.is_empty()
            || path
                .split('/')
                .all(|name| !name.is_empty() && !name.starts_with('.'));
        if plain && tidy {
            return Ok(self.root.join(path));
        }
        Err(StorageError::Failed {
            operation,
            path: format!("{}/{path}", self.root.display()),
            message: "not a relative path of visible names".into(),
        })
    }

    fn write(&self, path: &Path, bytes: &[u8], publish: Publish) -> Result<(), StorageError> {
        let named = path != self.root;
        let (Some(dir), Some(name), true) = (
            path.parent(),
            path.file_name().and_then(|n| n.to_str()),
            named,
        ) else {
            return Err(StorageError::Failed {
                operation: "write",
                path: path.display().to_string(),
                message: "the path names a folder".into(),
            });
        };
        let tmp = dir.join(format!(".{name}.{}.tmp", Uuid::new_v4()));
        let written = write_synced(&tmp, bytes).and_then(|()| remove_if_present(&sidecar(path)));
        if let Err(e) = written {
            // Best effort: what stays is swept later.
            let _ = fs::remove_file(&tmp);
            return Err(failed("write", path, &e));
        }
        let published = match publish {
            Publish::Exclusive => publish_exclusively(&tmp, dir, name, path),
            Publish::Replace => fs::rename(&tmp, path),
        };
        if let Err(e) = published {
            let _ = fs::remove_file(&tmp);
            return Err(match e.kind() {
                io::ErrorKind::AlreadyExists => StorageError::AlreadyExists {
                    path: path.display().to_string(),
                },
                _ => failed("write", path, &e),
            });
        }
        // Readers see the file already, so a failure from here on is not a failure to write it.
        sync_dir(dir).map_err(|e| StorageError::Indeterminate {
            path: path.display().to_string(),
            message: format!("the file is in place but its folder could not be synced: {e}"),
        })?;
        self.sweep_once(dir, path);
        Ok(())
    }

    /// Removes the temporaries of dead writers from `dir`, once. `fresh` was written just now and
    /// so tells the time by the clock that also stamped the temporaries.
    fn sweep_once(&self, dir: &Path, fresh: &Path) {
        let first = self
            .swept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(dir.to_path_buf());
        if !first {
            return;
        }
        let swept = fs::metadata(fresh)
            .and_then(|meta| meta.modified())
            .and_then(|now| {
                for entry in fs::read_dir(dir)? {
                    let entry = entry?;
                    let name = entry.file_name();
                    let temporary = name
                        .to_str()
                        .is_some_and(|n| n.starts_with('.') && n.ends_with(".tmp"));
                    if !temporary {
                        continue;
                    }
                    // A file that vanished meanwhile had a live writer, or another sweeper.
                    let Ok(modified) = entry.metadata().and_then(|meta| meta.modified()) else {
                        continue;
                    };
                    if now
                        .duration_since(modified)
                        .is_ok_and(|age| age > TEMPORARY_AGE_MAX)
                    {
                        remove_if_present(&entry.path())?;
                    }
                }
                Ok(())
            });
        if let Err(e) = swept {
            tracing::warn!(dir = %dir.display(), error = %e, "cannot sweep dead temporaries");
        }
    }
}

/// Creates `tmp` with `bytes`, durably. Missing folders are made on the way.
fn write_synced(tmp: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    let mut file = match options.open(tmp) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            if let Some(dir) = tmp.parent() {
                create_dir_synced(dir)?;
            }
            options.open(tmp)?
        }
        opened => opened?,
    };
    io::Write::write_all(&mut file, bytes)?;
    // Data and size are what a reader needs; the time stamps may lag behind.
    file.sync_data()
}

/// Creates `dir` and its missing ancestors, and syncs every folder that gained an entry.
fn create_dir_synced(dir: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = dir
        .ancestors()
        .take_while(|ancestor| !ancestor.exists())
        .collect();
    fs::create_dir_all(dir)?;
    for created in missing.into_iter().rev() {
        if let Some(parent) = created.parent() {
            sync_dir(parent)?;
        }
    }
    Ok(())
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    fs::File::open(dir)?.sync_all()
}

/// Gives the finished `tmp` its name, failing with `AlreadyExists` when the name is taken. `tmp` is
/// gone afterwards, if this succeeds.
fn publish_exclusively(tmp: &Path, dir: &Path, name: &str, path: &Path) -> io::Result<()> {
    match fs::hard_link(tmp, path) {
        Ok(()) => {
            // The link is the commit point; a temporary that cannot be removed is only litter.
            let _ = fs::remove_file(tmp);
            Ok(())
        }
        Err(e) if has_no_hard_links(&e) => rename_under_lock(tmp, dir, name, path),
        Err(e) => Err(e),
    }
}

/// [`publish_exclusively`] for file systems without hard links.
fn rename_under_lock(tmp: &Path, dir: &Path, name: &str, path: &Path) -> io::Result<()> {
    let lock = dir.join(format!(".{name}.lock.tmp"));
    let taken = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&lock);
    if let Err(e) = taken {
        if e.kind() == io::ErrorKind::AlreadyExists && !path.exists() {
            return Err(io::Error::other(format!(
                "another writer holds {}; if none is running, remove that file",
                lock.display()
            )));
        }
        return Err(e);
    }
    let published = if path.exists() {
        Err(io::ErrorKind::AlreadyExists.into())
    } else {
        fs::rename(tmp, path)
    };
    let _ = fs::remove_file(&lock);
    published
}

/// How the kernel says that this file system cannot link: by "not permitted", "not supported" or
/// "no such call", depending on the file system.
fn has_no_hard_links(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EPERM | libc::EOPNOTSUPP | libc::ENOSYS | libc::EMLINK)
    ) || error.kind() == io::ErrorKind::Unsupported
}

fn list_files(dir: &Path) -> Result<Vec<FileMeta>, StorageError> {
    let mut files = Vec::new();
    for (name, entry) in visible_entries(dir)? {
        // Deleted between the listing and the look: not there any more.
        let Ok(meta) = entry.metadata() else { continue };
        if !meta.is_file() {
            continue;
        }
        let modified_ms = meta
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
            .and_then(|age| i64::try_from(age.as_millis()).ok())
            .unwrap_or(0);
        files.push(FileMeta {
            name,
            size: meta.len(),
            modified_ms,
        });
    }
    Ok(files)
}

/// The entries of a folder that are not temporaries or sidecars. Names that are not UTF-8 are none
/// of ours.
fn visible_entries(dir: &Path) -> Result<Vec<(String, fs::DirEntry)>, StorageError> {
    let entries = match fs::read_dir(dir) {
        Err(e) if is_missing(&e) => return Ok(Vec::new()),
        entries => entries.map_err(|e| failed("list", dir, &e))?,
    };
    let mut visible = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| failed("list", dir, &e))?;
        if let Some(name) = entry
            .file_name()
            .to_str()
            .filter(|name| !name.starts_with('.'))
        {
            visible.push((name.to_owned(), entry));
        }
    }
    Ok(visible)
}

fn sidecar(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.crc"))
}

fn remove(path: &Path) -> Result<(), StorageError> {
    remove_if_present(path).map_err(|e| failed("delete", path, &e))
}

fn remove_if_present(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if is_missing(&e) => Ok(()),
        removed => removed,
    }
}

/// Whether a path is absent, be it because one of its folders is a file.
fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn failed(operation: &'static str, path: &Path, error: &io::Error) -> StorageError {
    let path = path.display().to_string();
    match error.kind() {
        io::ErrorKind::NotFound if operation == "read" => StorageError::NotFound { path },
        _ => StorageError::Failed {
            operation,
            path,
            message: error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests;
