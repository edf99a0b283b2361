//! Snapshots: one version in one file, written beside the running query.
use std::sync::Arc;

use arrow::{
    array::{BooleanArray, RecordBatch},
    buffer::BooleanBuffer,
    compute::{concat_batches, filter},
};
use async_trait::async_trait;

use super::segment::{allocated_bytes, needed_bytes};
use crate::{
    Result, SnapshotTask,
    columns::batch_of,
    format::Lineage,
    log::{SnapshotProgress, SnapshotWriter, StoreFiles},
    schema::StorageSchema,
};

/// Rows per batch of a snapshot file; each becomes a segment when it is loaded.
const SNAPSHOT_BATCH_ROWS: usize = 1 << 16;
/// Bytes from which a batch is not joined with another, far below what string offsets reach.
const SNAPSHOT_BATCH_BYTES: usize = 64 << 20;

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

    /// Writes the file and returns its size, 0 when there is no point in writing it any more.
    async fn write_file(&self) -> Result<u64> {
        let (version, lineage) = (self.version, self.lineage);
        let mut writer = SnapshotWriter::new(&self.files, &self.schema, version, lineage);
        for batch in self.batches()? {
            let bytes = needed_bytes(&batch);
            if !writer.push(batch, bytes).await? {
                return Ok(0);
            }
        }
        writer.finish().await
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
            self.progress.wrote(self.version);
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
