//! `state/<id>/_metadata/`: which stateful operators the state belongs to.
//!
//! ```text
//! state/<id>/_metadata/metadata       v1
//!                                     {"operatorInfo":{"operatorId":0,"operatorName":"stateStoreSave"},"stateStoreInfo":[…]}
//! state/<id>/_metadata/description    v4
//!                                     {"operator":"stateStoreSave","facts":[{"what":"grouping key","is":"k","type":"Utf8"},…]}
//! ```
//!
//! `metadata` is Spark's file, written when the query first starts; it tells that an operator came, went or became another
//! one. `description` is Millstream's: what the operator computes, in words that do not change when columns are renamed.
//! A checkpoint without it (Spark's, or an older release's) is one that nothing is known about, and gets one when the
//! query next starts; so is one whose description has another version, which is worded otherwise.
//!
//! Both are whole or absent; a crash between them leaves a checkpoint without a description.
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    CheckpointError,
    storage::{StorageError, StorageRef},
};

const FOLDER: &str = "_metadata";
const METADATA: File = File {
    name: "metadata",
    version: "v1",
};
const DESCRIPTION: File = File {
    name: "description",
    version: "v4",
};

/// A file of an operator.
#[derive(Clone, Copy)]
struct File {
    name: &'static str,
    version: &'static str,
}

impl File {
    fn path(self, id: u32) -> String {
        format!("{id}/{FOLDER}/{}", self.name)
    }
}

/// What Spark records of a stateful operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperatorMetadata {
    /// Which operator.
    pub operator_info: OperatorInfo,
    /// Its stores.
    pub state_store_info: Vec<StateStoreInfo>,
}

/// Id and name of a stateful operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperatorInfo {
    /// Stable id.
    pub operator_id: u32,
    /// Name in progress reports, e.g. `stateStoreSave`.
    pub operator_name: String,
}

/// One store of an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StateStoreInfo {
    /// Its name.
    pub store_name: String,
    /// Leading key columns that scans go by.
    pub num_cols_prefix_key: u32,
    /// Number of state partitions.
    pub num_partitions: u32,
}

/// What an operator computes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorDescription {
    /// Name in progress reports.
    pub operator: String,
    /// In the operator's own order.
    pub facts: Vec<OperatorFact>,
}

/// One thing that an operator computes with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorFact {
    /// Its part: `grouping key`, `aggregate`, `join condition`, …
    pub what: String,
    /// The expression over the columns of the sources.
    pub is: String,
    /// Its type.
    #[serde(rename = "type")]
    pub data_type: String,
}

/// The operators of a checkpoint.
#[derive(Debug, Clone)]
pub struct OperatorLog {
    state: StorageRef,
}

impl OperatorLog {
    /// Those below `state`, the checkpoint's folder of that name.
    pub fn new(state: StorageRef) -> Self {
        Self { state }
    }

    /// The ids of the operators that have a folder, ascending.
    ///
    /// # Errors
    /// When the storage fails.
    pub async fn ids(&self) -> Result<Vec<u32>, CheckpointError> {
        let mut ids: Vec<u32> = self
            .state
            .list_dirs("")
            .await?
            .iter()
            .filter_map(|name| name.parse().ok())
            .collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// What Spark's file says of an operator, if there is one.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub async fn metadata(&self, id: u32) -> Result<Option<OperatorMetadata>, CheckpointError> {
        self.read(METADATA, id).await
    }

    /// What an operator computes, if that is known.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub async fn description(
        &self,
        id: u32,
    ) -> Result<Option<OperatorDescription>, CheckpointError> {
        self.read(DESCRIPTION, id).await
    }

    /// Writes both files of an operator, replacing what is there.
    ///
    /// # Errors
    /// When the storage fails.
    pub async fn write(
        &self,
        metadata: &OperatorMetadata,
        description: &OperatorDescription,
    ) -> Result<(), CheckpointError> {
        let id = metadata.operator_info.operator_id;
        self.write_metadata(metadata).await?;
        self.put(DESCRIPTION, id, description).await
    }

    /// Writes Spark's file of an operator, replacing what is there.
    ///
    /// # Errors
    /// When the storage fails.
    pub async fn write_metadata(&self, metadata: &OperatorMetadata) -> Result<(), CheckpointError> {
        self.put(METADATA, metadata.operator_info.operator_id, metadata)
            .await
    }

    async fn put<T: Serialize>(
        &self,
        file: File,
        id: u32,
        entry: &T,
    ) -> Result<(), CheckpointError> {
        let path = file.path(id);
        let json = serde_json::to_string(entry).map_err(|error| self.malformed(&path, &error))?;
        let bytes = Bytes::from(format!("{}\n{json}", file.version));
        Ok(self.state.put(&path, bytes).await?)
    }

    async fn read<T: for<'a> Deserialize<'a>>(
        &self,
        file: File,
        id: u32,
    ) -> Result<Option<T>, CheckpointError> {
        let path = &file.path(id);
        let bytes = match self.state.get(path).await {
            Ok(bytes) => bytes,
            Err(StorageError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let text = std::str::from_utf8(&bytes).map_err(|error| self.malformed(path, &error))?;
        let (version, json) = text.split_once('\n').unwrap_or((text, ""));
        if version != file.version {
            // A later `metadata` only adds to this one's; a description in other words cannot be compared.
            return match version.strip_prefix('v').map(str::parse::<u32>) {
                Some(Ok(_)) => Ok(None),
                _ => Err(self.malformed(path, &format!("{version:?} is no version"))),
            };
        }
        serde_json::from_str(json)
            .map(Some)
            .map_err(|error| self.malformed(path, &error))
    }

    fn malformed(&self, path: &str, reason: &dyn std::fmt::Display) -> CheckpointError {
        CheckpointError::MalformedMetadata {
            path: format!("{}/{path}", self.state.url()),
            reason: reason.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{self, subdir};

    fn log(folder: &tempfile::TempDir) -> OperatorLog {
        let root = storage::open(folder.path().to_str().unwrap()).unwrap();
        OperatorLog::new(subdir(&root, "state"))
    }

    fn counts() -> (OperatorMetadata, OperatorDescription) {
        let metadata = OperatorMetadata {
            operator_info: OperatorInfo {
                operator_id: 0,
                operator_name: "stateStoreSave".into(),
            },
            state_store_info: vec![StateStoreInfo {
                store_name: "default".into(),
                num_cols_prefix_key: 0,
                num_partitions: 2,
            }],
        };
        let fact = OperatorFact {
            what: "grouping key".into(),
            is: "k".into(),
            data_type: "Utf8".into(),
        };
        let description = OperatorDescription {
            operator: "stateStoreSave".into(),
            facts: vec![fact],
        };
        (metadata, description)
    }

    #[tokio::test]
    async fn what_is_written_is_read_and_the_metadata_is_sparks_to_the_byte() {
        let folder = tempfile::tempdir().unwrap();
        let log = log(&folder);
        let (metadata, description) = counts();
        assert_eq!(log.ids().await.unwrap(), Vec::<u32>::new());
        log.write(&metadata, &description).await.unwrap();
        assert_eq!(log.ids().await.unwrap(), [0]);
        assert_eq!(log.metadata(0).await.unwrap(), Some(metadata));
        assert_eq!(log.description(0).await.unwrap(), Some(description));
        let bytes = std::fs::read_to_string(folder.path().join("state/0/_metadata/metadata"));
        assert_eq!(
            bytes.unwrap(),
            "v1\n{\"operatorInfo\":{\"operatorId\":0,\"operatorName\":\"stateStoreSave\"},\"stateStoreInfo\":\
             [{\"storeName\":\"default\",\"numColsPrefixKey\":0,\"numPartitions\":2}]}"
        );
    }

    #[tokio::test]
    async fn an_operator_without_files_is_unknown_and_a_damaged_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let log = log(&folder);
        assert_eq!(log.metadata(3).await.unwrap(), None);
        let path = folder.path().join("state/3/_metadata");
        std::fs::create_dir_all(&path).unwrap();
        for bytes in ["", "what\n{}", "v1\n{}", "v1\n{"] {
            std::fs::write(path.join("metadata"), bytes).unwrap();
            assert!(log.metadata(3).await.is_err(), "{bytes:?}");
        }
        std::fs::write(path.join("metadata"), "v2\n{}").unwrap();
        assert_eq!(log.metadata(3).await.unwrap(), None);
        let worded_otherwise = "v1\n{\"operator\":\"dedupe\",\"facts\":[]}";
        std::fs::write(path.join("description"), worded_otherwise).unwrap();
        assert_eq!(log.description(3).await.unwrap(), None);
    }
}
