//! Snapshots of the tree, written beside the running query.
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;

use super::{
    buffer::{KeyRange, Live, LiveEntries},
    codec::Codecs,
    local::TreeRange,
    run::{Merge, Runs},
    state::BATCH_ROWS,
};
use crate::{
    Result, SnapshotTask,
    format::Lineage,
    log::{SnapshotProgress, SnapshotWriter, StoreFiles},
    schema::StorageSchema,
};

/// Bytes of keys and values that are decoded at once.
const BATCH_BYTES: usize = 8 << 20;

/// A snapshot that was promised; becomes due again unless it is kept.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) progress: Arc<SnapshotProgress>,
    pub(super) version: u64,
    /// How many rows had changed in all when the snapshot was captured.
    pub(super) changed: u64,
    /// The same figure of the newest snapshot written.
    pub(super) written_changed: Arc<AtomicU64>,
}

impl Claim {
    fn keep(&self) {
        self.progress.wrote(self.version);
        self.written_changed
            .fetch_max(self.changed, Ordering::Relaxed);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.progress.written() < self.version {
            self.progress.release();
        }
    }
}

/// A committed version: the committed layers by reference, over the tree as it was.
pub(super) struct CapturedTree {
    pub(super) files: StoreFiles,
    pub(super) schema: StorageSchema,
    pub(super) codecs: Arc<Codecs>,
    pub(super) version: u64,
    pub(super) lineage: Lineage,
    /// Newer layer, older layer.
    pub(super) committed: [Runs; 2],
    pub(super) range: KeyRange,
    pub(super) tree: TreeRange,
    pub(super) claim: Claim,
}

impl fmt::Debug for CapturedTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CapturedTree({} at {})", self.files.id, self.version)
    }
}

#[async_trait]
impl SnapshotTask for CapturedTree {
    fn version(&self) -> u64 {
        self.version
    }

    async fn write(self: Box<Self>) -> Result<u64> {
        let Self {
            files,
            schema,
            codecs,
            version,
            lineage,
            committed,
            range,
            tree,
            claim,
        } = *self;
        let batch_bytes = BATCH_BYTES.min(files.options.snapshot_file_bytes);
        let layers = Merge::of(committed.iter().flat_map(Runs::newest_first), &range);
        let mut live = LiveEntries::new(layers, tree);
        let mut writer = SnapshotWriter::new(&files, &schema, version, lineage);
        loop {
            let (mut entries, mut bytes) = (Vec::new(), 0);
            while entries.len() < BATCH_ROWS && bytes < batch_bytes {
                let Some(live) = live.next().transpose()? else {
                    break;
                };
                bytes += live.key.len() + live.value.len();
                entries.push(live);
            }
            if entries.is_empty() {
                break;
            }
            let pairs = entries.iter().map(Live::pair);
            let batch = codecs.entries(&schema, entries.len(), pairs)?;
            if !writer.push(batch, bytes).await? {
                return Ok(0);
            }
        }
        let bytes = writer.finish().await?;
        if bytes > 0 {
            claim.keep();
        }
        Ok(bytes)
    }
}
