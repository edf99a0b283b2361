//! From a checkpoint location, as users write it, to a [`Storage`].
//!
//! | location | storage |
//! |---|---|
//! | `/data/ck`, `ck` (relative to the working directory) | [`LocalStorage`] |
//! | `file:/data/ck`, `file:///data/ck` | [`LocalStorage`] |
//! | `memory:///ck`, `memory://name/ck` | an in-memory store, one per name, that lives as long as the process |
//! | `s3://`, `gs://`, `az://`, … | [`ObjectStorage`], as far as `object_store` was built with that system |
//!
//! A location in memory outlives the handle on purpose: opening it again finds what the last query
//! left, so that restarts can be tested without a disk.
use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use object_store::{memory::InMemory, path::Path};
use url::Url;

use super::{FileMeta, LocalStorage, ObjectStorage, Storage, StorageError, StorageRef};

static MEMORY: LazyLock<Mutex<HashMap<String, Arc<InMemory>>>> = LazyLock::new(Mutex::default);

/// Opens a location given as a path or a URL. Nothing is created or looked up.
///
/// # Errors
/// [`StorageError::Failed`] when the scheme is unknown, or its support is not part of this build.
pub fn open(url_or_path: &str) -> Result<StorageRef, StorageError> {
    open_with(url_or_path, std::iter::empty::<(String, String)>())
}

/// [`open`] with settings for the object store (credentials, region, endpoint), named as
/// `object_store` names them. Local and in-memory locations have none and ignore them.
///
/// # Errors
/// As [`open`]; and what the object store says to its settings.
pub fn open_with<K: AsRef<str>, V: Into<String>>(
    url_or_path: &str,
    settings: impl IntoIterator<Item = (K, V)>,
) -> Result<StorageRef, StorageError> {
    let refused = |message: String| StorageError::Failed {
        operation: "open",
        path: url_or_path.to_owned(),
        message,
    };
    if url_or_path.is_empty() {
        return Err(refused("the location is empty".into()));
    }
    let Some(scheme) = scheme(url_or_path) else {
        return Ok(Arc::new(LocalStorage::new(url_or_path)?));
    };
    let url = Url::parse(url_or_path).map_err(|e| refused(e.to_string()))?;
    match scheme {
        "file" => {
            let path = url
                .to_file_path()
                .map_err(|()| refused("a file URL must name a path on this machine".into()))?;
            Ok(Arc::new(LocalStorage::new(path)?))
        }
        "memory" => {
            let store = memory(url.host_str().unwrap_or_default());
            let prefix = Path::from_url_path(url.path()).map_err(|e| refused(e.to_string()))?;
            Ok(Arc::new(ObjectStorage::new(store, prefix, &url)))
        }
        _ => {
            let (store, prefix) = object_store::parse_url_opts(&url, settings).map_err(|e| {
                refused(format!(
                    "this build cannot open {scheme}:// locations ({e}); \
                     use a local path, file:/// or memory:///"
                ))
            })?;
            Ok(Arc::new(ObjectStorage::new(Arc::from(store), prefix, &url)))
        }
    }
}

/// The scheme, if the text is a URL. One letter before the colon is a Windows drive.
fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once(':')?;
    let well_formed = scheme.len() > 1
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    well_formed.then_some(scheme)
}

fn memory(name: &str) -> Arc<InMemory> {
    let mut stores = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(stores.entry(name.to_owned()).or_default())
}

/// A view of a folder below `storage`. A bad `path` is refused by the first operation on the view.
pub fn subdir(storage: &StorageRef, path: &str) -> StorageRef {
    Arc::new(Subdir {
        url: format!("{}/{path}", storage.url()),
        storage: Arc::clone(storage),
        path: path.to_owned(),
    })
}

#[derive(Debug)]
struct Subdir {
    storage: StorageRef,
    path: String,
    url: String,
}

impl Subdir {
    fn below(&self, path: &str) -> String {
        if path.is_empty() {
            self.path.clone()
        } else {
            format!("{}/{path}", self.path)
        }
    }
}

#[async_trait]
impl Storage for Subdir {
    fn url(&self) -> &str {
        &self.url
    }

    async fn put_new(&self, path: &str, bytes: Bytes) -> Result<(), StorageError> {
        self.storage.put_new(&self.below(path), bytes).await
    }

    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StorageError> {
        self.storage.put(&self.below(path), bytes).await
    }

    async fn get(&self, path: &str) -> Result<Bytes, StorageError> {
        self.storage.get(&self.below(path)).await
    }

    async fn exists(&self, path: &str) -> Result<bool, StorageError> {
        self.storage.exists(&self.below(path)).await
    }

    async fn list(&self, dir: &str) -> Result<Vec<FileMeta>, StorageError> {
        self.storage.list(&self.below(dir)).await
    }

    async fn list_dirs(&self, dir: &str) -> Result<Vec<String>, StorageError> {
        self.storage.list_dirs(&self.below(dir)).await
    }

    async fn delete(&self, path: &str) -> Result<(), StorageError> {
        self.storage.delete(&self.below(path)).await
    }

    async fn delete_dir(&self, dir: &str) -> Result<(), StorageError> {
        self.storage.delete_dir(&self.below(dir)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_local_path_opens_the_same_folder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        let expected = format!("file://{path}");
        for spelling in [
            path.to_owned(),
            format!("file:{path}"),
            format!("file://{path}/"),
        ] {
            assert_eq!(open(&spelling).unwrap().url(), expected, "{spelling}");
        }
    }

    #[test]
    fn relative_path_is_taken_from_the_working_directory() {
        let here = std::env::current_dir().unwrap();
        let storage = open("some/ck").unwrap();
        assert_eq!(storage.url(), format!("file://{}/some/ck", here.display()));
    }

    #[test]
    fn unknown_schemes_are_refused_with_the_location_in_the_message() {
        for location in [
            "gopher://host/ck",
            "dbfs:/ck",
            "hdfs://nn/ck",
            "s3://bucket/ck",
            "",
        ] {
            let error = open(location).unwrap_err().to_string();
            assert!(error.contains(location), "{error}");
        }
    }

    #[tokio::test]
    async fn memory_location_is_found_again_and_names_are_apart() {
        let first = open("memory://restart-test/ck").unwrap();
        first
            .put_new("offsets/0", Bytes::from_static(b"x"))
            .await
            .unwrap();
        let again = open("memory://restart-test/ck").unwrap();
        assert_eq!(again.get("offsets/0").await.unwrap(), "x");
        let other = open("memory://other-test/ck").unwrap();
        assert!(!other.exists("offsets/0").await.unwrap());
    }

    #[tokio::test]
    async fn subdir_of_subdir_addresses_the_nested_folder() {
        let root = open("memory://subdir-test/ck").unwrap();
        let view = subdir(&subdir(&root, "sources"), "0/x");
        view.put_new("7", Bytes::from_static(b"x")).await.unwrap();
        assert_eq!(root.get("sources/0/x/7").await.unwrap(), "x");
        assert_eq!(view.url(), "memory://subdir-test/ck/sources/0/x");
        assert_eq!(view.list("").await.unwrap().len(), 1);
        view.delete_dir("").await.unwrap();
        assert!(!root.exists("sources/0/x/7").await.unwrap());
    }
}
