//! The durable layer of a streaming query: everything that survives a crash, except the state.
//!
//! A query runs in numbered micro-batches. For each number there is one immutable record of intent
//! (which ranges of which sources, under which watermark, at which time) and, later, one record
//! that it is done. This crate owns those records, the files they are kept in and the decision
//! where to go on after a stop. It knows nothing of plans, rows or the network.
//!
//! ```text
//! construct N ─► offsets/N ─► run ─► state N+1 ─► sink N ─► commits/N ─► construct N+1
//!                intent                                      done
//! ```
//!
//! The invariant that everything here defends: **a batch number names one immutable record**.
//! Between `offsets/N` and `commits/N` the query may die anywhere; the next start finds intent
//! without completion and runs N again, from the same record.
//!
//! | module | owns |
//! |---|---|
//! | [`storage`] | whole files or none, exclusively created: local disk, object stores, memory |
//! | [`fault`] | the named places at which tests stop a query |
//! | [`BatchLog`] | numbered write-once records: `offsets/`, `commits/` |
//! | [`OffsetSeq`], [`CommitMetadata`], [`StreamMetadata`] | the bytes of those records |
//! | [`CompactLog`] | logs of files that are read as a whole: `sources/<i>/`, `_spark_metadata/` |
//! | [`CheckpointDir`] | where all of that lies |
//! | [`recovery`] | (offsets seen, commits seen) → the next batch |
//!
//! Layout and bytes are those of Apache Spark 4.3, so that a query without state can be moved
//! between Spark and this engine with its checkpoint. `docs/formats/checkpoint.md` is the
//! reference.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), millstream_checkpoint::CheckpointError> {
//! use millstream_checkpoint::{CheckpointDir, CommitMetadata, Faults, NextBatch, OffsetSeq, storage};
//!
//! let checkpoint = CheckpointDir::new(storage::open("memory://essay/ck")?, Faults::none());
//! assert_eq!(checkpoint.recover().await?, NextBatch::First);
//!
//! let intent = OffsetSeq { offsets: vec![Some("17".into())], ..OffsetSeq::default() };
//! checkpoint.offsets().add(0, &intent).await?;
//! // The process dies here. Another one finds batch 0 begun and not done:
//! let restarted = CheckpointDir::new(storage::open("memory://essay/ck")?, Faults::none());
//! assert!(matches!(restarted.recover().await?,
//!     NextBatch::Rerun { batch_id: 0, offsets, .. } if offsets == intent));
//!
//! restarted.commits().add(0, &CommitMetadata { next_batch_watermark_ms: 5 }).await?;
//! assert!(matches!(restarted.recover().await?,
//!     NextBatch::Fresh { batch_id: 1, watermark_ms: 5, .. }));
//! # Ok(())
//! # }
//! ```
mod commits;
mod compact_log;
mod dir;
mod entry;
mod error;
pub mod fault;
mod log;
mod metadata;
mod offsets;
mod operators;
pub mod recovery;
mod scala_map;
mod sink_log;
mod sources;
pub mod storage;

pub use self::{
    commits::CommitMetadata,
    compact_log::{CompactEntry, CompactLog, CompactLogOptions},
    dir::CheckpointDir,
    entry::{EntryError, LogEntry},
    error::{CheckpointError, LogKind},
    fault::{FaultAction, FaultPoint, Faults},
    log::BatchLog,
    metadata::StreamMetadata,
    offsets::{OffsetSeq, OffsetSeqMetadata, STATE_PARTITIONS},
    operators::{
        OperatorDescription, OperatorFact, OperatorInfo, OperatorLog, OperatorMetadata,
        StateStoreInfo,
    },
    recovery::NextBatch,
    sink_log::{SinkFileStatus, SinkLog},
    sources::{FileEntry, SourceLog},
    storage::{Storage, StorageError, StorageRef},
};

/// Number of a micro-batch, from 0. Batch N turns version N of the state into version N+1.
pub type BatchId = u64;
