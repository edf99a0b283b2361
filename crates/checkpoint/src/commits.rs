//! `commits/N`: batch N is done, its output is in the sink.
//!
//! ```text
//! v1
//! {"nextBatchWatermarkMs":1717235990000}
//! ```
//!
//! It carries the watermark that batch N computed, which is the one that batch N+1 runs under.
//!
//! Spark writes `v2` with its state checkpoint format 2 and `v3` for named sinks. Both are read for
//! their watermark; what they add belongs to Spark's own state files and sinks.
use serde::{Deserialize, Serialize};

use crate::{
    LogKind,
    entry::{EntryError, LogEntry, split_version},
};

const MAX_VERSION: u32 = 3;

/// The record that a batch is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CommitMetadata {
    /// The watermark for the next batch, milliseconds since the epoch; 0 before there is one.
    pub next_batch_watermark_ms: i64,
}

impl LogEntry for CommitMetadata {
    const KIND: LogKind = LogKind::Commits;

    fn encode(&self) -> Result<String, EntryError> {
        let json = serde_json::to_string(self).map_err(EntryError::malformed)?;
        Ok(format!("v1\n{json}"))
    }

    fn decode(text: &str) -> Result<Self, EntryError> {
        let (_, mut lines) = split_version(text, MAX_VERSION)?;
        // Spark once wrote no second line, and still reads such a file.
        match lines.next() {
            None | Some("") => Ok(Self::default()),
            Some(json) => serde_json::from_str(json)
                .map_err(|e| EntryError::malformed(format!("the record is not valid ({e})"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_sparks() {
        let record = CommitMetadata {
            next_batch_watermark_ms: 1_704_067_380_000,
        };
        assert_eq!(
            record.encode().unwrap(),
            "v1\n{\"nextBatchWatermarkMs\":1704067380000}"
        );
    }

    #[test]
    fn watermark_is_read_from_every_version() {
        for text in [
            "v1\n{\"nextBatchWatermarkMs\":7}",
            "v2\n{\"nextBatchWatermarkMs\":7,\"stateUniqueIds\":{\"0\":[[\"a\"],[\"b\"]]}}",
            "v3\n{\"nextBatchWatermarkMs\":7,\"sinkMetadataMap\":{\"s\":{\"sinkName\":\"s\"}}}",
        ] {
            let record = CommitMetadata::decode(text).unwrap();
            assert_eq!(record.next_batch_watermark_ms, 7, "{text}");
        }
        for text in ["v1", "v1\n", "v1\n{}"] {
            assert_eq!(
                CommitMetadata::decode(text).unwrap(),
                CommitMetadata::default()
            );
        }
    }

    #[test]
    fn damaged_records_are_refused() {
        for text in [
            "",
            "{}",
            "v1\n{nope",
            "v1\n{\"nextBatchWatermarkMs\":\"x\"}",
            "v1\nnull",
        ] {
            assert!(CommitMetadata::decode(text).is_err(), "{text:?}");
        }
        assert_eq!(
            CommitMetadata::decode("v4\n{}").unwrap_err(),
            EntryError::UnsupportedVersion {
                version: 4,
                max_supported: 3
            }
        );
    }
}
