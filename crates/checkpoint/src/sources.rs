//! `sources/<i>/N`: the files that the file source at plan position `i` gave to batch N.
//!
//! ```text
//! v1
//! {"path":"file:///data/in/a.json","timestamp":1700000000000,"batchId":0}
//! ```
//!
//! One line a file. The numbers are the source's own: offset `{"logOffset":N}` in the offset log
//! means "up to and with file N of this log". All lines together are the files the source has seen.
use serde::{Deserialize, Serialize};

use crate::{BatchId, CheckpointError, CompactEntry, CompactLog, FaultPoint};

/// A file that a file source took up.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileEntry {
    /// The file as a URL, percent-encoded.
    pub path: String,
    /// Its modification time, milliseconds since the epoch.
    pub timestamp: i64,
    /// The record it belongs to; a compacted record holds those of many.
    pub batch_id: BatchId,
}

impl CompactEntry for FileEntry {
    const WRITE_POINTS: Option<(FaultPoint, FaultPoint)> = Some((
        FaultPoint::BeforeSourceLogWrite,
        FaultPoint::AfterSourceLogWrite,
    ));
}

/// The log of a file source.
pub type SourceLog = CompactLog<FileEntry>;

impl SourceLog {
    /// Checks that the records reach as far as the offset log says. Records that are missing before the latest one are
    /// found out by [`Self::all_files`].
    ///
    /// # Errors
    /// When the record is gone: its number would be given to other files, which no batch would read.
    pub async fn check_reaches(&self, batch_id: BatchId) -> Result<(), CheckpointError> {
        if self.latest_id().await >= Some(batch_id) {
            return Ok(());
        }
        Err(CheckpointError::MissingFiles {
            path: self.path_of(batch_id).await,
        })
    }

    /// The files of the records `from..=to`: what a batch reads that starts at offset `from - 1`
    /// and ends at offset `to`.
    ///
    /// # Errors
    /// When a record is gone, with its compacted successors, or cannot be read.
    pub async fn files(
        &self,
        from: BatchId,
        to: BatchId,
    ) -> Result<Vec<FileEntry>, CheckpointError> {
        let mut files = Vec::new();
        for (batches, entries) in self.records(from, to).await? {
            files.extend(
                entries
                    .into_iter()
                    .filter(|file| batches.contains(&file.batch_id)),
            );
        }
        Ok(files)
    }
}
