//! Snapshots: when one is due, and writing one piece by piece.
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arrow::array::RecordBatch;
use millstream_checkpoint::fault::FaultPoint;

use super::StoreFiles;
use crate::{
    Result,
    format::{self, Content, FileKind, Lineage, Parts, next_lineage},
    schema::StorageSchema,
};

/// Which versions have a snapshot, or one in the making. Shared by a store and its snapshot tasks.
#[derive(Debug, Default)]
pub(crate) struct SnapshotProgress {
    written: AtomicU64,
    captured: AtomicU64,
}

impl SnapshotProgress {
    pub(crate) fn new(written: u64) -> Arc<Self> {
        Arc::new(Self {
            written: written.into(),
            captured: written.into(),
        })
    }

    /// Newest durable snapshot; 0 when there is none.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// The snapshot of `version` is durable.
    pub(crate) fn wrote(&self, version: u64) {
        self.written.fetch_max(version, Ordering::Relaxed);
    }

    /// Claims the snapshot of `version` if the last one is at least `min_deltas` versions old.
    pub(crate) fn claim(&self, version: u64, min_deltas: u64) -> bool {
        let captured = self.captured.load(Ordering::Relaxed);
        let due = version >= captured.saturating_add(min_deltas.max(1));
        if due {
            self.captured.store(version, Ordering::Relaxed);
        }
        due
    }

    pub(crate) fn release(&self) {
        self.captured.store(self.written(), Ordering::Relaxed);
    }
}

/// Writes a snapshot from batches of entries, holding no more than one file's worth of them.
#[derive(Debug)]
pub(crate) struct SnapshotWriter<'a> {
    files: &'a StoreFiles,
    schema: &'a StorageSchema,
    version: u64,
    lineage: Lineage,
    /// Whether the version has a delta, which must then be the one of this lineage.
    has_delta: bool,
    /// Bytes in memory from which the rest goes to another file.
    file_bytes: usize,
    waiting: Vec<RecordBatch>,
    waiting_bytes: usize,
    parts: Parts,
    written: u64,
}

impl<'a> SnapshotWriter<'a> {
    /// A snapshot of `version`, which stands at `lineage`.
    pub(crate) fn new(
        files: &'a StoreFiles,
        schema: &'a StorageSchema,
        version: u64,
        lineage: Lineage,
    ) -> Self {
        Self {
            files,
            schema,
            version,
            lineage,
            has_delta: true,
            file_bytes: files.options.snapshot_file_bytes,
            waiting: Vec::new(),
            waiting_bytes: 0,
            parts: Parts::default(),
            written: 0,
        }
    }

    /// A snapshot that is all there is of `version`.
    pub(crate) fn without_delta(
        files: &'a StoreFiles,
        schema: &'a StorageSchema,
        version: u64,
        lineage: Lineage,
        file_bytes: usize,
    ) -> Self {
        Self {
            has_delta: false,
            file_bytes,
            ..Self::new(files, schema, version, lineage)
        }
    }

    /// Whether the version is still the one that is being written.
    async fn is_current(&self) -> Result<bool> {
        match self.has_delta {
            true => self.files.is_current(self.version, self.lineage).await,
            false => Ok(true),
        }
    }

    /// Takes a batch of entries of `bytes` in memory. False when another run of the batch has made the
    /// version anew, so that there is no point in going on.
    pub(crate) async fn push(&mut self, batch: RecordBatch, bytes: usize) -> Result<bool> {
        if !self.waiting.is_empty() && self.waiting_bytes + bytes > self.file_bytes {
            if !self.is_current().await? {
                return Ok(false);
            }
            let part = self.parts.count + 1;
            let checksum = self.put(FileKind::Part(part), Parts::default()).await?;
            self.parts.count = part;
            self.parts.digest = next_lineage(self.parts.digest, checksum);
        }
        self.waiting_bytes += bytes;
        self.waiting.push(batch);
        Ok(true)
    }

    /// Writes the rest, which makes the snapshot valid, and returns its size in bytes; 0 when there is no
    /// point in writing it any more.
    pub(crate) async fn finish(mut self) -> Result<u64> {
        if !self.is_current().await? {
            return Ok(0);
        }
        self.put(FileKind::Snapshot, self.parts).await?;
        Ok(self.written)
    }

    async fn put(&mut self, kind: FileKind, parts: Parts) -> Result<u32> {
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        let content = Content {
            kind,
            version: self.version,
            lineage: self.lineage,
            parts,
            evicted_through: None,
            upserts: &waiting,
            tombstones: &RecordBatch::new_empty(Arc::clone(&self.schema.key)),
        };
        let compression = self.files.options.compression;
        let encoded = format::encode(&self.files.id, self.schema, &content, compression)?;
        self.files.hit(FaultPoint::SnapshotWrite)?;
        self.written += encoded.bytes.len() as u64;
        self.files.put(kind, self.version, encoded.bytes).await?;
        Ok(encoded.checksum)
    }
}
