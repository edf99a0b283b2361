//! Errors of the durable layer.
//!
//! One variant per cause, with the values that a person needs to find the file and to decide what
//! to do. Where Spark has an error class for the cause, [`CheckpointError::error_class`] names it
//! and [`CheckpointError::message_parameters`] fills its template; the texts of those templates
//! live where all of Spark's do, at the Connect edge.
use crate::{BatchId, storage::StorageError};

/// Which of the two batch logs an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogKind {
    /// `offsets/`: what each batch will read.
    Offsets,
    /// `commits/`: which batches are done.
    Commits,
    /// The own log of a source or a sink.
    Files,
}

impl LogKind {
    /// What a user calls it.
    pub const fn name(self) -> &'static str {
        match self {
            LogKind::Offsets => "offset log",
            LogKind::Commits => "commit log",
            LogKind::Files => "file log",
        }
    }

    /// What to do about a record that cannot be read.
    const fn repair(self) -> &'static str {
        match self {
            LogKind::Offsets => {
                "restore it from a backup, or rewind the checkpoint to the batch before it"
            }
            LogKind::Commits => "delete it, and the batch it stands for is run again",
            LogKind::Files => "restore it from a backup, or start with a new checkpoint location",
        }
    }
}

/// Why the checkpoint cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Somebody else has already recorded this batch.
    #[error(
        "batch {batch_id} is already recorded in {log}: more than one run of a query uses this \
         checkpoint location; stop the other one"
    )]
    ConcurrentUpdate {
        /// URL of the log's folder.
        log: String,
        /// The batch both wanted to record.
        batch_id: BatchId,
    },
    /// The storage refused a record of the offset or the commit log.
    #[error("cannot record batch {batch_id} in the {} of {location}", log.name())]
    LogWriteFailed {
        /// Which log.
        log: LogKind,
        /// The batch.
        batch_id: BatchId,
        /// The checkpoint location.
        location: String,
        /// What the storage said.
        #[source]
        source: StorageError,
    },
    /// The record is of a format that came after this release.
    #[error(
        "cannot read {path}: it has log version v{version}, this release reads up to \
         v{max_supported}; upgrade to resume from it"
    )]
    UnsupportedVersion {
        /// The file.
        path: String,
        /// Version it states.
        version: u32,
        /// Highest version that can be read.
        max_supported: u32,
    },
    /// The first line of a record is not a version.
    #[error("cannot read {path}: its first line is {text:?}, not a log version such as v1; {}", log.repair())]
    MalformedVersion {
        /// Kind of log the file belongs to.
        log: LogKind,
        /// The file.
        path: String,
        /// The line.
        text: String,
    },
    /// The record is empty or garbled: torn by something that does not write whole files.
    #[error("cannot read {path}: {reason}; {}", log.repair())]
    Malformed {
        /// Kind of log the file belongs to.
        log: LogKind,
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// `metadata` is not the JSON that names the query.
    #[error(
        "cannot read {path}: {reason}; restore it from a backup, or start with a new checkpoint location"
    )]
    MalformedMetadata {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There are logs but no `metadata`: the folder is not what the query left.
    #[error(
        "checkpoint location {location} has offset or commit logs but no metadata file; restore that \
         file or use a new checkpoint location"
    )]
    MissingMetadata {
        /// The checkpoint location.
        location: String,
    },
    /// A batch is done that was never begun.
    #[error(
        "{location} has commits/{commit} but {}: offset files were deleted, or another query writes \
         here; restore them, or rewind the checkpoint to a batch that has both",
        match latest_offset {
            Some(id) => format!("no offsets after offsets/{id}"),
            None => "no offsets at all".to_owned(),
        }
    )]
    CommitWithoutOffsets {
        /// The checkpoint location.
        location: String,
        /// The latest commit.
        commit: BatchId,
        /// The latest offsets, if any.
        latest_offset: Option<BatchId>,
    },
    /// The batch to run starts where a batch ended whose record is gone.
    #[error(
        "{location} has offsets/{batch_id} but not offsets/{previous}, where that batch starts; \
         restore the file, or rewind the checkpoint to a batch that has both"
    )]
    MissingPreviousOffsets {
        /// The checkpoint location.
        location: String,
        /// The latest batch.
        batch_id: BatchId,
        /// The batch before it.
        previous: BatchId,
    },
    /// A record that others build on is gone.
    #[error("{path} does not exist, but {needed_for} needs it; restore it from a backup")]
    MissingRecord {
        /// The file.
        path: String,
        /// What cannot be done without it.
        needed_for: String,
    },
    /// A record of a source's files is gone that the offset log stands on.
    #[error(
        "{path} does not exist, but the offset log says that the files it names were read; restore it from a backup, \
         or start with a new checkpoint location"
    )]
    MissingFiles {
        /// The file.
        path: String,
    },
    /// The query changed its sources.
    #[error(
        "There are [{recorded}] sources in the checkpoint offsets and now there are [{requested}] \
         sources requested by the query. Cannot continue."
    )]
    SourceCountMismatch {
        /// Sources in the offset log.
        recorded: usize,
        /// Sources of the query.
        requested: usize,
    },
    /// A value that the format cannot hold. A bug in whoever made it.
    #[error("cannot record batch {batch_id} in {log}: {reason}")]
    Unrecordable {
        /// URL of the log's folder.
        log: String,
        /// The batch.
        batch_id: BatchId,
        /// What is wrong with the value.
        reason: String,
    },
    /// The storage failed, or a fault point fired.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl CheckpointError {
    /// Spark's error class for this cause, with the subclass after a dot.
    pub fn error_class(&self) -> Option<&'static str> {
        Some(match self {
            Self::ConcurrentUpdate { .. } | Self::CommitWithoutOffsets { .. } => {
                "CONCURRENT_STREAM_LOG_UPDATE"
            }
            Self::LogWriteFailed {
                log: LogKind::Offsets,
                ..
            } => "STREAMING_CHECKPOINT_LOG_WRITE_FAILURE.OFFSET_LOG",
            Self::LogWriteFailed {
                log: LogKind::Commits,
                ..
            } => "STREAMING_CHECKPOINT_LOG_WRITE_FAILURE.COMMIT_LOG",
            Self::UnsupportedVersion { .. } => "INVALID_LOG_VERSION.MAX_SUPPORTED_VERSION",
            Self::MalformedVersion { .. } => "MALFORMED_LOG_FILE",
            Self::MissingMetadata { .. } => "STREAMING_CHECKPOINT_MISSING_METADATA_FILE",
            Self::MissingRecord { .. } => "BATCH_METADATA_NOT_FOUND",
            _ => return None,
        })
    }

    /// The parameters of the message template of [`Self::error_class`]; empty without a class.
    pub fn message_parameters(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::ConcurrentUpdate { batch_id, .. } => vec![("batchId", batch_id.to_string())],
            // Spark notices when it has re-run the latest batch of the offset log and finds it
            // done.
            Self::CommitWithoutOffsets { latest_offset, .. } => {
                vec![("batchId", latest_offset.unwrap_or(0).to_string())]
            }
            Self::LogWriteFailed {
                log: LogKind::Offsets | LogKind::Commits,
                batch_id,
                location,
                ..
            } => vec![
                ("batchId", batch_id.to_string()),
                ("checkpointLocation", location.clone()),
            ],
            Self::UnsupportedVersion {
                version,
                max_supported,
                ..
            } => vec![
                ("maxSupportedVersion", max_supported.to_string()),
                ("version", version.to_string()),
            ],
            Self::MalformedVersion { text, .. } => vec![("text", text.clone())],
            Self::MissingMetadata { location } => {
                vec![("checkpointLocation", location.clone())]
            }
            Self::MissingRecord { path, .. } => vec![("batchMetadataFile", path.clone())],
            _ => Vec::new(),
        }
    }

    /// Whether a fault point made this up.
    pub fn is_injected(&self) -> bool {
        let storage = match self {
            Self::Storage(e) | Self::LogWriteFailed { source: e, .. } => e,
            _ => return false,
        };
        matches!(storage, StorageError::Injected { .. })
    }

    /// Whether the record may have been written in spite of the error. Whoever retries must look
    /// first; a restart does.
    pub fn is_indeterminate(&self) -> bool {
        let storage = match self {
            Self::Storage(e) | Self::LogWriteFailed { source: e, .. } => e,
            _ => return false,
        };
        matches!(storage, StorageError::Indeterminate { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_writer_gets_sparks_class_with_the_batch() {
        let error = CheckpointError::ConcurrentUpdate {
            log: "file:///ck/offsets".into(),
            batch_id: 7,
        };
        assert_eq!(error.error_class(), Some("CONCURRENT_STREAM_LOG_UPDATE"));
        assert_eq!(error.message_parameters(), [("batchId", "7".to_owned())]);
        let text = error.to_string();
        assert!(
            text.contains("batch 7") && text.contains("file:///ck/offsets"),
            "{text}"
        );
    }

    #[test]
    fn commit_without_offsets_names_the_batch_spark_would_name() {
        let error = CheckpointError::CommitWithoutOffsets {
            location: "file:///ck".into(),
            commit: 12,
            latest_offset: Some(11),
        };
        assert_eq!(error.message_parameters(), [("batchId", "11".to_owned())]);
        assert!(error.to_string().contains("commits/12"), "{error}");
    }
}
