//! The store: the state in memory, and the changelog file that makes a batch of changes durable.
use std::{collections::BTreeSet, sync::Arc};

use arrow::array::{BooleanArray, RecordBatch};
use async_trait::async_trait;
use millstream_checkpoint::fault::FaultPoint;

use super::{load::Loaded, snapshot::CapturedVersion, state::ColumnarState};
use crate::{
    CommitSummary, FoundEntries, PrefixMatches, Result, SnapshotTask, StateLookup, StateMetrics,
    StateStore, StateStoreId,
    format::{self, Content, Lineage},
    log::{SnapshotProgress, StoreFiles},
};

/// A [`StateStore`] over a columnar log.
#[derive(Debug)]
pub(super) struct ColumnarLogStore {
    files: StoreFiles,
    state: ColumnarState,
    version: u64,
    lineage: Lineage,
    snapshots: Arc<SnapshotProgress>,
    /// Snapshots of later versions by another history, to be deleted when their version comes.
    superseded: BTreeSet<u64>,
}

impl ColumnarLogStore {
    pub(super) fn new(files: StoreFiles, version: u64, loaded: Loaded) -> Self {
        let Loaded {
            state,
            lineage,
            snapshot,
            superseded,
        } = loaded;
        let snapshots = SnapshotProgress::new(snapshot);
        Self {
            files,
            state,
            version,
            lineage,
            snapshots,
            superseded,
        }
    }
}

#[async_trait]
impl StateStore for ColumnarLogStore {
    fn id(&self) -> &StateStoreId {
        &self.files.id
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn get(&mut self, keys: &RecordBatch) -> Result<StateLookup> {
        self.state.get(keys)
    }

    fn put(&mut self, keys: &RecordBatch, values: &RecordBatch) -> Result<()> {
        self.state.put(keys, values)
    }

    fn put_absent(&mut self, keys: &RecordBatch, values: &RecordBatch) -> Result<BooleanArray> {
        self.state.put_absent(keys, values)
    }

    fn delete(&mut self, keys: &RecordBatch) -> Result<u64> {
        self.state.delete(keys)
    }

    fn evict(&mut self, threshold: i64) -> Result<Vec<RecordBatch>> {
        self.state.evict(threshold)
    }

    fn drop_expired(&mut self, threshold: i64) -> Result<u64> {
        let slots = self.state.expired("drop_expired", threshold)?;
        self.state.drop_expired(&slots, threshold);
        Ok(slots.len() as u64)
    }

    fn scan(&self) -> Result<Vec<RecordBatch>> {
        self.state.scan()
    }

    fn entries(&self) -> Box<dyn Iterator<Item = Result<RecordBatch>> + Send + '_> {
        Box::new(self.state.entries())
    }

    fn prefix_scan(&mut self, prefixes: &RecordBatch) -> Result<PrefixMatches> {
        let found = self.state.find_by_prefix(prefixes)?;
        Ok(PrefixMatches {
            asked: found.asked().clone(),
            entries: found.entries()?,
        })
    }

    fn find_by_prefix<'a>(
        &'a mut self,
        prefixes: &RecordBatch,
    ) -> Result<Box<dyn FoundEntries + 'a>> {
        Ok(Box::new(self.state.find_by_prefix(prefixes)?))
    }

    async fn commit(&mut self) -> Result<CommitSummary> {
        let started = self.files.options.clock.now();
        let version = self.version + 1;
        let (rows_updated, rows_removed) = self.state.change_counts();
        let prepared = self.state.prepare()?;
        let content = Content::delta(version, self.lineage, &prepared.changes);
        let compression = self.files.options.compression;
        let encoded = format::encode(&self.files.id, &self.state.schema, &content, compression)?;
        let bytes_written = encoded.bytes.len() as u64;

        self.files
            .write_delta(version, encoded.bytes, &mut self.superseded)
            .await?;

        // No await from here on: a cancelled commit has either not sealed or is done.
        self.state.seal(prepared);
        self.version = version;
        self.lineage = format::next_lineage(self.lineage, encoded.checksum);
        if let Err(error) = self
            .state
            .compact(usize::try_from(rows_updated).unwrap_or(usize::MAX))
        {
            // The version is durable and the state complete: it only takes more memory than it should.
            tracing::warn!(store = %self.files.id, version, %error, "state compaction failed");
        }
        self.files.hit(FaultPoint::AfterStateCommit)?;
        let commit_us = self
            .files
            .options
            .clock
            .now()
            .saturating_sub(started)
            .as_micros() as u64;
        Ok(CommitSummary {
            version,
            rows_updated,
            rows_removed,
            bytes_written,
            commit_us,
        })
    }

    fn rollback(&mut self) {
        self.state.rollback();
    }

    fn has_changes(&self) -> bool {
        self.state.has_changes()
    }

    fn metrics(&self) -> StateMetrics {
        let segments = &self.state.segments;
        let (rows, live) = (segments.rows(), segments.live_rows());
        let live_share = if rows == 0 {
            0.0
        } else {
            live as f64 / rows as f64
        };
        StateMetrics {
            num_keys: self.state.num_keys(),
            memory_bytes: self.state.memory() as u64,
            current_version_bytes: (segments.memory() as f64 * live_share) as u64,
            garbage_rows: (rows - live) as u64,
            segments: segments.count() as u64,
            last_snapshot_version: Some(self.snapshots.written()).filter(|version| *version > 0),
        }
    }

    fn capture_snapshot(&mut self) -> Option<Box<dyn SnapshotTask>> {
        let due = !self.state.has_changes()
            && self
                .snapshots
                .claim(self.version, self.files.options.min_deltas_for_snapshot);
        due.then(|| {
            let segments =
                self.state.segments.iter().map(|(_, segment)| {
                    (segment.entries.clone(), segment.live.mask(segment.rows()))
                });
            let captured: Box<dyn SnapshotTask> = Box::new(CapturedVersion {
                files: self.files.clone(),
                schema: self.state.schema.clone(),
                version: self.version,
                lineage: self.lineage,
                segments: segments.collect(),
                progress: Arc::clone(&self.snapshots),
            });
            captured
        })
    }
}
