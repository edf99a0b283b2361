//! Snapshots: one version in one file, written beside the running query.
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arrow::{
    array::{BooleanArray, RecordBatch},
    buffer::BooleanBuffer,
    compute::{concat_batches, filter},
};
use async_trait::async_trait;
use millstream_checkpoint::fault::FaultPoint;

use super::{
    provider::StoreFiles,
    segment::{allocated_bytes, batch_of},
};
use crate::{
    Result, SnapshotTask,
    format::{self, Content, FileKind, Lineage, next_lineage},
    schema::StorageSchema,
};

/// Rows per batch of a snapshot file; each becomes a segment when it is loaded.
const SNAPSHOT_BATCH_ROWS: usize = 1 << 16;
/// Bytes from which a batch is not joined with another, far below what string offsets reach.
const SNAPSHOT_BATCH_BYTES: usize = 64 << 20;

/// Which versions have a snapshot, or one in the making. Shared by a store and its snapshot tasks.
#[derive(Debug, Default)]
pub(super) struct SnapshotProgress {
    written: AtomicU64,
    captured: AtomicU64,
}

impl SnapshotProgress {
    pub(super) fn new(written: u64) -> Arc<Self> {
        Arc::new(Self {
            written: written.into(),
            captured: written.into(),
        })
    }

    /// Newest durable snapshot; 0 when there is none.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Claims the snapshot of `version` if the last one is at least `min_deltas` versions old.
    pub(super) fn claim(&self, version: u64, min_deltas: u64) -> bool {
        let captured = self.captured.load(Ordering::Relaxed);
        let due = version >= captured.saturating_add(min_deltas.max(1));
        if due {
            self.captured.store(version, Ordering::Relaxed);
        }
        due
    }

    fn release(&self) {
        self.captured.store(self.written(), Ordering::Relaxed);
    }
}

/// A committed version, held by reference to its immutable columns.
#[derive(Debug)]
pub(super) struct CapturedVersion {
    pub(super) files: StoreFiles,
    pub(super) schema: StorageSchema,
    pub(super) version: u64,
    pub(super) lineage: Lineage,
    /// Batches with the rows that were live.
    pub(super) segments: Vec<(RecordBatch, BooleanBuffer)>,
    pub(super) progress: Arc<SnapshotProgress>,
}

impl CapturedVersion {
    fn batches(&self) -> Result<Vec<RecordBatch>> {
        let (mut batches, mut waiting) = (Vec::new(), Vec::new());
        let (mut rows, mut bytes) = (0, 0);
        for (entries, live) in &self.segments {
            let mask = BooleanArray::new(live.clone(), None);
            let columns = entries.columns().iter().map(|column| filter(column, &mask));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            let batch = batch_of(&self.schema.entry, columns, mask.true_count())?;
            rows += batch.num_rows();
            bytes += allocated_bytes(&batch);
            waiting.push(batch);
            if rows >= SNAPSHOT_BATCH_ROWS || bytes >= SNAPSHOT_BATCH_BYTES {
                batches.push(concat_batches(&self.schema.entry, &waiting)?);
                waiting.clear();
                (rows, bytes) = (0, 0);
            }
        }
        if rows > 0 {
            batches.push(concat_batches(&self.schema.entry, &waiting)?);
        }
        let chunks = batches.iter().flat_map(|batch| {
            let starts = (0..batch.num_rows()).step_by(SNAPSHOT_BATCH_ROWS);
            starts.map(|at| batch.slice(at, SNAPSHOT_BATCH_ROWS.min(batch.num_rows() - at)))
        });
        Ok(chunks.collect())
    }

    /// Whether the version's delta is still the one that this state came from. Another run of the batch
    /// may have replaced it since the capture.
    async fn is_current(&self) -> Result<bool> {
        let Some(bytes) = self.files.get(FileKind::Delta, self.version).await? else {
            return Ok(false);
        };
        let delta = format::decode(&bytes, FileKind::Delta, self.version, &self.files.id);
        Ok(delta.is_ok_and(|d| next_lineage(d.lineage, d.checksum) == self.lineage))
    }

    /// Writes the file and returns its size, 0 when there is no point in writing it any more.
    async fn write_file(&self) -> Result<u64> {
        let batches = self.batches()?;
        let content = Content {
            kind: FileKind::Snapshot,
            version: self.version,
            lineage: self.lineage,
            evicted_through: None,
            upserts: &batches,
            tombstones: &RecordBatch::new_empty(Arc::clone(&self.schema.key)),
        };
        let compression = self.files.options.compression;
        let encoded = format::encode(&self.files.id, &self.schema, &content, compression)?;
        if !self.is_current().await? {
            return Ok(0);
        }
        self.files.hit(FaultPoint::SnapshotWrite)?;
        let bytes = encoded.bytes.len() as u64;
        self.files
            .put(FileKind::Snapshot, self.version, encoded.bytes)
            .await?;
        Ok(bytes)
    }
}

#[async_trait]
impl SnapshotTask for CapturedVersion {
    fn version(&self) -> u64 {
        self.version
    }

    async fn write(self: Box<Self>) -> Result<u64> {
        let bytes = self.write_file().await?;
        if bytes > 0 {
            self.progress
                .written
                .fetch_max(self.version, Ordering::Relaxed);
        }
        Ok(bytes)
    }
}

impl Drop for CapturedVersion {
    /// A snapshot that was not written becomes due again.
    fn drop(&mut self) {
        if self.progress.written() < self.version {
            self.progress.release();
        }
    }
}
