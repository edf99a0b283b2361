//! The store: the state in memory and on the local disk, and the delta that makes a batch of changes durable.
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow::array::{BooleanArray, RecordBatch};
use async_trait::async_trait;
use millstream_checkpoint::fault::FaultPoint;

use super::{
    buffer::KeyRange,
    codec::Space,
    local::LocalTree,
    replay::{Standing, flush_after},
    snapshot::{CapturedTree, Claim},
};
use crate::{
    CommitSummary, CompactionTask, PrefixMatches, Result, SnapshotTask, StateLookup, StateMetrics,
    StateStore, StateStoreId,
    format::{self, Content},
    log::{SnapshotProgress, StoreFiles},
};

/// A snapshot is worth its writing when one row in this many has changed since the last one.
const SNAPSHOT_SHARE: u64 = 4;
/// Times the usual distance after which a snapshot is written however little has changed, so that old deltas may go.
const SNAPSHOT_DISTANCE: u64 = 10;

/// A [`StateStore`] over an LSM tree.
#[derive(Debug)]
pub(super) struct LsmStore {
    files: StoreFiles,
    standing: Standing,
    snapshots: Arc<SnapshotProgress>,
    /// Rows written and removed since the store was opened.
    changed: u64,
    /// The same figure when the newest snapshot was captured.
    written_changed: Arc<AtomicU64>,
    /// Snapshots of later versions by another history, to be deleted when their version comes.
    superseded: BTreeSet<u64>,
}

impl LsmStore {
    pub(super) fn new(
        files: StoreFiles,
        standing: Standing,
        snapshot: u64,
        superseded: BTreeSet<u64>,
    ) -> Self {
        Self {
            files,
            standing,
            snapshots: SnapshotProgress::new(snapshot),
            changed: 0,
            written_changed: Arc::default(),
            superseded,
        }
    }

    /// Whether so much has changed since the last snapshot that writing all entries again is in proportion.
    fn snapshot_pays(&self) -> bool {
        let changed = self.changed - self.written_changed.load(Ordering::Relaxed);
        let distance = self
            .standing
            .version
            .saturating_sub(self.snapshots.written());
        let far = self.files.options.min_deltas_for_snapshot.max(1) * SNAPSHOT_DISTANCE;
        changed * SNAPSHOT_SHARE >= self.standing.state.num_keys() || distance >= far
    }
}

#[async_trait]
impl StateStore for LsmStore {
    fn id(&self) -> &StateStoreId {
        &self.files.id
    }

    fn version(&self) -> u64 {
        self.standing.version
    }

    fn get(&mut self, keys: &RecordBatch) -> Result<StateLookup> {
        self.standing.state.get(keys)
    }

    fn put(&mut self, keys: &RecordBatch, values: &RecordBatch) -> Result<()> {
        self.standing.state.put(keys, values)
    }

    fn put_absent(&mut self, keys: &RecordBatch, values: &RecordBatch) -> Result<BooleanArray> {
        self.standing.state.put_absent(keys, values)
    }

    fn delete(&mut self, keys: &RecordBatch) -> Result<u64> {
        self.standing.state.delete(keys)
    }

    fn evict(&mut self, threshold: i64) -> Result<Vec<RecordBatch>> {
        self.standing.state.evict(threshold)
    }

    fn drop_expired(&mut self, threshold: i64) -> Result<u64> {
        self.standing.state.drop_expired(threshold)
    }

    fn scan(&self) -> Result<Vec<RecordBatch>> {
        self.standing.state.scan()
    }

    fn entries(&self) -> Box<dyn Iterator<Item = Result<RecordBatch>> + Send + '_> {
        Box::new(self.standing.state.handed_out())
    }

    fn prefix_scan(&mut self, prefixes: &RecordBatch) -> Result<PrefixMatches> {
        self.standing.state.prefix_scan(prefixes)
    }

    async fn commit(&mut self) -> Result<CommitSummary> {
        let clock = self.files.options.clock.clone();
        let started = clock.now();
        let version = self.standing.version + 1;
        self.standing.state.settle();
        let (rows_updated, rows_removed) = self.standing.state.change_counts();
        let changes = self.standing.state.changes()?;
        let content = Content::delta(version, self.standing.lineage, &changes);
        let compression = self.files.options.compression;
        let schema = &self.standing.state.schema;
        let encoded = format::encode(&self.files.id, schema, &content, compression)?;
        let bytes_written = encoded.bytes.len() as u64;

        // The committed layer, without this batch: the batch may have to run again.
        self.standing.flush_beside(flush_after(&self.files))?;
        let superseded = &mut self.superseded;
        self.files
            .write_delta(version, encoded.bytes, superseded)
            .await?;

        // No await from here on: a cancelled commit has either not advanced or is done.
        let lineage = format::next_lineage(self.standing.lineage, encoded.checksum);
        self.standing.advance(version, lineage);
        self.changed += rows_updated + rows_removed;
        self.files.hit(FaultPoint::AfterStateCommit)?;
        let commit_us = clock.now().saturating_sub(started).as_micros() as u64;
        Ok(CommitSummary {
            version,
            rows_updated,
            rows_removed,
            bytes_written,
            commit_us,
        })
    }

    fn rollback(&mut self) {
        self.standing.state.roll_back();
    }

    fn has_changes(&self) -> bool {
        self.standing.state.has_changes()
    }

    fn metrics(&self) -> StateMetrics {
        let state = &self.standing.state;
        // The cache does not know whose blocks it holds.
        let cached = state.tree.cached_bytes() / self.standing.share.stores() as u64;
        let buffered = state.buffer.bytes() as u64;
        StateMetrics {
            num_keys: state.num_keys(),
            memory_bytes: buffered + cached + state.tree.pinned_bytes(),
            current_version_bytes: buffered + state.tree.disk_bytes(),
            garbage_rows: 0,
            segments: state.tree.tables(),
            last_snapshot_version: Some(self.snapshots.written()).filter(|version| *version > 0),
        }
    }

    fn capture_snapshot(&mut self) -> Option<Box<dyn SnapshotTask>> {
        let Standing {
            state,
            version,
            lineage,
            ..
        } = &self.standing;
        let min_deltas = self.files.options.min_deltas_for_snapshot;
        let due = !state.has_changes()
            && self.snapshot_pays()
            && self.snapshots.claim(*version, min_deltas);
        due.then(|| {
            let range = KeyRange::of(&[Space::Entries as u8]);
            let captured: Box<dyn SnapshotTask> = Box::new(CapturedTree {
                files: self.files.clone(),
                schema: state.schema.clone(),
                codecs: Arc::clone(&state.codecs),
                version: *version,
                lineage: *lineage,
                committed: state.buffer.committed(),
                tree: state.tree.range(&range),
                range,
                claim: Claim {
                    progress: Arc::clone(&self.snapshots),
                    version: *version,
                    changed: self.changed,
                    written_changed: Arc::clone(&self.written_changed),
                },
            });
            captured
        })
    }

    fn capture_compaction(&mut self) -> Option<Box<dyn CompactionTask>> {
        let tree = &self.standing.state.tree;
        tree.needs_compaction().then(|| {
            let compaction: Box<dyn CompactionTask> = Box::new(Compaction(Arc::clone(tree)));
            compaction
        })
    }
}

/// Merging the tables of a tree.
#[derive(Debug)]
struct Compaction(Arc<LocalTree>);

impl CompactionTask for Compaction {
    fn run(self: Box<Self>) -> Result<()> {
        self.0.compact()
    }
}
