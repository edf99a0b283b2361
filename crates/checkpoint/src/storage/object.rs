//! Storage in an object store: S3, GCS, Azure, memory.
//!
//! An object appears whole or not at all, so there are no temporaries. Exclusive creation is the
//! store's own conditional write ([`PutMode::Create`]: `If-None-Match: *` on S3); a store without
//! one is refused at the first `put_new`, because a check followed by a write would let two queries
//! own one batch.
//!
//! # When the answer is lost
//!
//! A request that times out may have been carried out. Such an error is reported as
//! [`StorageError::Indeterminate`], never as a failure; the logs resolve it by reading back what is
//! there. Folders do not exist: a listing is of a key prefix, and deleting a folder deletes its
//! keys.
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, path::Path};

use super::{FileMeta, Storage, StorageError};

/// A key prefix in an object store.
#[derive(Debug, Clone)]
pub struct ObjectStorage {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    url: Arc<str>,
}

impl ObjectStorage {
    /// Everything below `prefix` in `store`. `url` names that place in messages.
    pub fn new(store: Arc<dyn ObjectStore>, prefix: Path, url: impl AsRef<str>) -> Self {
        Self {
            store,
            prefix,
            url: url.as_ref().trim_end_matches('/').into(),
        }
    }

    fn key(&self, operation: &'static str, path: &str) -> Result<Path, StorageError> {
        let refused = |message: String| StorageError::Failed {
            operation,
            path: self.shown(path),
            message,
        };
        if path.split('/').any(|name| name.starts_with('.')) {
            return Err(refused("not a relative path of visible names".into()));
        }
        let prefix = self.prefix.as_ref();
        let separator = if prefix.is_empty() || path.is_empty() {
            ""
        } else {
            "/"
        };
        // Parsed, not encoded: names are kept byte for byte, or refused.
        Path::parse(format!("{prefix}{separator}{path}")).map_err(|e| refused(e.to_string()))
    }

    fn shown(&self, path: &str) -> String {
        let separator = if path.is_empty() { "" } else { "/" };
        format!("{}{separator}{path}", self.url)
    }

    async fn put_with(&self, path: &str, bytes: Bytes, mode: PutMode) -> Result<(), StorageError> {
        let key = self.key("write", path)?;
        let options = PutOptions {
            mode,
            ..PutOptions::default()
        };
        self.store
            .put_opts(&key, bytes.into(), options)
            .await
            .map(|_| ())
            .map_err(|e| put_error(self.shown(path), e))
    }
}

#[async_trait]
impl Storage for ObjectStorage {
    fn url(&self) -> &str {
        &self.url
    }

    async fn put_new(&self, path: &str, bytes: Bytes) -> Result<(), StorageError> {
        self.put_with(path, bytes, PutMode::Create).await
    }

    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StorageError> {
        self.put_with(path, bytes, PutMode::Overwrite).await
    }

    async fn get(&self, path: &str) -> Result<Bytes, StorageError> {
        let key = self.key("read", path)?;
        let read = async { self.store.get(&key).await?.bytes().await };
        read.await
            .map_err(|e| determinate("read", self.shown(path), e))
    }

    async fn exists(&self, path: &str) -> Result<bool, StorageError> {
        let key = self.key("look up", path)?;
        match self.store.head(&key).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(e) => Err(determinate("look up", self.shown(path), e)),
        }
    }

    async fn list(&self, dir: &str) -> Result<Vec<FileMeta>, StorageError> {
        let key = self.key("list", dir)?;
        let listed = self
            .store
            .list_with_delimiter(Some(&key))
            .await
            .map_err(|e| determinate("list", self.shown(dir), e))?;
        let files = listed.objects.into_iter().filter_map(|object| {
            let name = object.location.filename()?;
            // Hidden names are other tools' litter, as on a local disk.
            (!name.starts_with('.')).then(|| FileMeta {
                name: name.to_owned(),
                size: object.size,
                modified_ms: object.last_modified.timestamp_millis(),
            })
        });
        Ok(files.collect())
    }

    async fn list_dirs(&self, dir: &str) -> Result<Vec<String>, StorageError> {
        let key = self.key("list", dir)?;
        let listed = self
            .store
            .list_with_delimiter(Some(&key))
            .await
            .map_err(|e| determinate("list", self.shown(dir), e))?;
        let names = listed
            .common_prefixes
            .iter()
            .filter_map(|prefix| prefix.filename());
        Ok(names
            .filter(|name| !name.starts_with('.'))
            .map(str::to_owned)
            .collect())
    }

    async fn delete(&self, path: &str) -> Result<(), StorageError> {
        let key = self.key("delete", path)?;
        match self.store.delete(&key).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(ambiguous("delete", self.shown(path), e)),
        }
    }

    async fn delete_dir(&self, dir: &str) -> Result<(), StorageError> {
        let key = self.key("delete", dir)?;
        let keys = self
            .store
            .list(Some(&key))
            .map_ok(|object| object.location)
            .boxed();
        let mut deleted = self.store.delete_stream(keys);
        while let Some(outcome) = deleted.next().await {
            match outcome {
                Ok(_) | Err(Error::NotFound { .. }) => {}
                Err(e) => return Err(ambiguous("delete", self.shown(dir), e)),
            }
        }
        Ok(())
    }
}

fn put_error(path: String, error: Error) -> StorageError {
    match error {
        Error::AlreadyExists { .. } | Error::Precondition { .. } => {
            StorageError::AlreadyExists { path }
        }
        // A missing bucket, not a missing object.
        Error::NotFound { source, .. } => StorageError::Failed {
            operation: "write",
            path,
            message: source.to_string(),
        },
        error => ambiguous("write", path, error),
    }
}

/// For requests that change something: only errors that are raised before the request is carried
/// out are surely without effect.
fn ambiguous(operation: &'static str, path: String, error: Error) -> StorageError {
    match error {
        Error::Generic { .. } | Error::JoinError { .. } => StorageError::Indeterminate {
            path,
            message: error.to_string(),
        },
        error => determinate(operation, path, error),
    }
}

fn determinate(operation: &'static str, path: String, error: Error) -> StorageError {
    match error {
        Error::NotFound { .. } => StorageError::NotFound { path },
        error => StorageError::Failed {
            operation,
            path,
            message: error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    fn storage() -> ObjectStorage {
        ObjectStorage::new(
            Arc::new(InMemory::new()),
            Path::from("ckpt/q"),
            "memory:///ckpt/q/",
        )
    }

    #[tokio::test]
    async fn second_put_new_is_refused_and_names_the_url() {
        let storage = storage();
        storage
            .put_new("offsets/0", Bytes::from_static(b"a"))
            .await
            .unwrap();
        let error = storage
            .put_new("offsets/0", Bytes::from_static(b"b"))
            .await
            .unwrap_err();
        assert!(
            matches!(&error, StorageError::AlreadyExists { path } if path == "memory:///ckpt/q/offsets/0"),
            "{error}"
        );
        assert_eq!(storage.get("offsets/0").await.unwrap(), "a");
    }

    #[tokio::test]
    async fn listing_shows_direct_children_only() {
        let storage = storage();
        for path in ["metadata", "offsets/0", "offsets/1", "sources/0/0"] {
            storage.put(path, Bytes::from_static(b"xyz")).await.unwrap();
        }
        let mut names: Vec<_> = storage
            .list("offsets")
            .await
            .unwrap()
            .into_iter()
            .map(|f| (f.name, f.size))
            .collect();
        names.sort();
        assert_eq!(names, [("0".to_owned(), 3), ("1".to_owned(), 3)]);
        let mut dirs = storage.list_dirs("").await.unwrap();
        dirs.sort();
        assert_eq!(dirs, ["offsets", "sources"]);
        assert!(storage.list("nowhere").await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn delete_is_idempotent_and_delete_dir_takes_all_below() {
        let storage = storage();
        for path in ["a/1", "a/b/2", "c/3"] {
            storage.put(path, Bytes::new()).await.unwrap();
        }
        storage.delete("c/3").await.unwrap();
        storage.delete("c/3").await.unwrap();
        storage.delete_dir("a").await.unwrap();
        assert!(!storage.exists("a/b/2").await.unwrap());
        assert!(matches!(
            storage.get("a/1").await,
            Err(StorageError::NotFound { .. })
        ));
    }

    #[test]
    fn lost_answers_to_a_put_are_indeterminate_and_refusals_are_not() {
        let lost = Error::Generic {
            store: "S3",
            source: "timed out".into(),
        };
        assert!(matches!(
            put_error("p".into(), lost),
            StorageError::Indeterminate { .. }
        ));
        let denied = Error::PermissionDenied {
            path: "p".into(),
            source: "no".into(),
        };
        assert!(matches!(
            put_error("p".into(), denied),
            StorageError::Failed { .. }
        ));
        let beaten = Error::Precondition {
            path: "p".into(),
            source: "etag".into(),
        };
        assert!(matches!(
            put_error("p".into(), beaten),
            StorageError::AlreadyExists { .. }
        ));
    }
}
