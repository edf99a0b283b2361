//! A storage that misbehaves on demand.
//!
//! Wraps any [`Storage`] and acts out the storage-level [`FaultPoint`]s: puts that fail, puts whose
//! answer is lost, files torn in the middle, reads that fail. Only puts and gets of paths that
//! contain the filter count as hits, so that a test can aim at `offsets/` alone.
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::{FileMeta, Storage, StorageError, StorageRef};
use crate::fault::{FaultPoint, Faults};

/// See the module documentation.
#[derive(Debug)]
pub struct FaultyStorage {
    inner: StorageRef,
    faults: Faults,
    aim: String,
}

impl FaultyStorage {
    /// Misbehaves for paths that contain `aim`; the empty text aims at all.
    pub fn wrap(inner: StorageRef, faults: Faults, aim: &str) -> StorageRef {
        Arc::new(Self {
            inner,
            faults,
            aim: aim.to_owned(),
        })
    }

    fn fires(&self, path: &str, point: FaultPoint) -> bool {
        path.contains(&self.aim) && self.faults.fires(point)
    }

    fn full(&self, path: &str) -> String {
        format!("{}/{path}", self.inner.url())
    }

    /// What happens before the real put: an error means that it is not to take place.
    async fn before_put(&self, path: &str, bytes: &Bytes) -> Result<(), StorageError> {
        if self.fires(path, FaultPoint::FailedPut) {
            return Err(StorageError::Failed {
                operation: "write",
                path: self.full(path),
                message: format!("injected fault at {}", FaultPoint::FailedPut),
            });
        }
        if self.fires(path, FaultPoint::PutLostAndError) {
            return Err(self.unknown(path, FaultPoint::PutLostAndError));
        }
        if self.fires(path, FaultPoint::TornPut) {
            self.inner.put(path, bytes.slice(..bytes.len() / 2)).await?;
            return Err(StorageError::Injected {
                point: FaultPoint::TornPut.to_string(),
            });
        }
        Ok(())
    }

    fn after_put(&self, path: &str) -> Result<(), StorageError> {
        if self.fires(path, FaultPoint::PutDoneButError) {
            return Err(self.unknown(path, FaultPoint::PutDoneButError));
        }
        Ok(())
    }

    fn unknown(&self, path: &str, point: FaultPoint) -> StorageError {
        StorageError::Indeterminate {
            path: self.full(path),
            message: format!("injected fault at {point}"),
        }
    }
}

#[async_trait]
impl Storage for FaultyStorage {
    fn url(&self) -> &str {
        self.inner.url()
    }

    async fn put_new(&self, path: &str, bytes: Bytes) -> Result<(), StorageError> {
        self.before_put(path, &bytes).await?;
        self.inner.put_new(path, bytes).await?;
        self.after_put(path)
    }

    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StorageError> {
        self.before_put(path, &bytes).await?;
        self.inner.put(path, bytes).await?;
        self.after_put(path)
    }

    async fn get(&self, path: &str) -> Result<Bytes, StorageError> {
        if self.fires(path, FaultPoint::FailedGet) {
            return Err(StorageError::Failed {
                operation: "read",
                path: self.full(path),
                message: format!("injected fault at {}", FaultPoint::FailedGet),
            });
        }
        self.inner.get(path).await
    }

    async fn exists(&self, path: &str) -> Result<bool, StorageError> {
        self.inner.exists(path).await
    }

    async fn list(&self, dir: &str) -> Result<Vec<FileMeta>, StorageError> {
        self.inner.list(dir).await
    }

    async fn list_dirs(&self, dir: &str) -> Result<Vec<String>, StorageError> {
        self.inner.list_dirs(dir).await
    }

    async fn delete(&self, path: &str) -> Result<(), StorageError> {
        self.inner.delete(path).await
    }

    async fn delete_dir(&self, dir: &str) -> Result<(), StorageError> {
        self.inner.delete_dir(dir).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fault::FaultAction, storage::open};

    #[tokio::test]
    async fn torn_put_leaves_half_the_bytes_where_it_is_aimed() {
        let faults = Faults::new();
        faults.arm(FaultPoint::TornPut, 1, FaultAction::Fail);
        let inner = open("memory://torn/ck").unwrap();
        let storage = FaultyStorage::wrap(inner, faults.clone(), "offsets/");
        storage
            .put_new("commits/0", Bytes::from_static(b"whole"))
            .await
            .unwrap();
        storage
            .put_new("offsets/0", Bytes::from_static(b"abcdef"))
            .await
            .unwrap_err();
        assert_eq!(storage.get("commits/0").await.unwrap(), "whole");
        assert_eq!(storage.get("offsets/0").await.unwrap(), "abc");
        assert_eq!(faults.fired(), [FaultPoint::TornPut]);
    }

    #[tokio::test]
    async fn unknown_outcomes_differ_only_in_what_is_there() {
        for (point, there) in [
            (FaultPoint::PutDoneButError, true),
            (FaultPoint::PutLostAndError, false),
        ] {
            let faults = Faults::new();
            faults.arm(point, 1, FaultAction::Fail);
            let inner = open(&format!("memory://{point}/ck")).unwrap();
            let storage = FaultyStorage::wrap(inner, faults, "");
            let error = storage
                .put_new("x", Bytes::from_static(b"1"))
                .await
                .unwrap_err();
            assert!(
                matches!(error, StorageError::Indeterminate { .. }),
                "{error}"
            );
            assert_eq!(storage.exists("x").await.unwrap(), there, "{point}");
        }
    }
}
