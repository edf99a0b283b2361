//! `<output path>/_spark_metadata/N`: the files that batch N added to the output of a file sink.
//!
//! ```text
//! v1
//! {"path":"file:///out/part-00000-….json","size":16,"isDir":false,"modificationTime":1700000000000,"blockReplication":1,"blockSize":33554432,"action":"add"}
//! ```
//!
//! The record is the sink's commit: a file in the folder that no record names does not exist for
//! those who honour the log, so a batch that died half-way leaves no rows, and a batch whose record
//! is there is not written again.
//!
//! Old releases of Spark could write `"action":"delete"`, which takes the file of an earlier line
//! out again. Newer ones never do; it is still understood here.
use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::{CompactEntry, CompactLog};

const ADD: &str = "add";
const DELETE: &str = "delete";

/// Spark's value for a file system without blocks: what its local file system reports.
const LOCAL_BLOCK_SIZE: u64 = 32 * 1024 * 1024;

/// A file of the output.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SinkFileStatus {
    /// The file as a URL, percent-encoded.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// Whether it is a folder. Spark writes `false`.
    pub is_dir: bool,
    /// Modification time, milliseconds since the epoch.
    pub modification_time: i64,
    /// Replicas in HDFS, 1 elsewhere.
    pub block_replication: u32,
    /// Block size in bytes.
    pub block_size: u64,
    /// `add` or `delete`.
    pub action: String,
}

impl SinkFileStatus {
    /// A file that a batch added, with the block values that Spark writes for a local disk.
    pub fn added(path: impl Into<String>, size: u64, modification_time: i64) -> Self {
        Self {
            path: path.into(),
            size,
            is_dir: false,
            modification_time,
            block_replication: 1,
            block_size: LOCAL_BLOCK_SIZE,
            action: ADD.to_owned(),
        }
    }
}

impl CompactEntry for SinkFileStatus {
    fn may_hide(lines: &str, retention_ms: Option<i64>) -> bool {
        retention_ms.is_some() || lines.contains(r#""action":"delete""#)
    }

    fn retain_visible(entries: &mut Vec<Self>, retention_ms: Option<i64>, now_ms: i64) {
        if let Some(retention_ms) = retention_ms {
            entries.retain(|file| now_ms.saturating_sub(file.modification_time) <= retention_ms);
        }
        if entries.iter().any(|file| file.action == DELETE) {
            let deleted: HashSet<String> = entries
                .iter()
                .filter(|file| file.action == DELETE)
                .map(|file| file.path.clone())
                .collect();
            entries.retain(|file| !deleted.contains(&file.path));
        }
    }
}

/// The log of a file sink.
pub type SinkLog = CompactLog<SinkFileStatus>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_sparks() {
        let file = SinkFileStatus::added("file:///out/part-0.json", 16, 1_795_367_277_909);
        assert_eq!(
            serde_json::to_string(&file).unwrap(),
            r#"{"path":"file:///out/part-0.json","size":16,"isDir":false,"modificationTime":1795367277909,"blockReplication":1,"blockSize":33554432,"action":"add"}"#
        );
    }

    #[test]
    fn deleted_and_expired_files_are_not_visible() {
        let file = |name: &str, time| SinkFileStatus::added(name, 1, time);
        let mut entries = vec![file("a", 10), file("b", 95), file("c", 99)];
        entries.push(SinkFileStatus {
            action: DELETE.into(),
            ..file("b", 99)
        });
        let mut kept = entries.clone();
        SinkFileStatus::retain_visible(&mut kept, None, 100);
        assert_eq!(kept, [file("a", 10), file("c", 99)]);
        SinkFileStatus::retain_visible(&mut entries, Some(50), 100);
        assert_eq!(entries, [file("c", 99)]);
    }
}
