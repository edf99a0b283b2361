//! Putting a version together from its files.
//!
//! The newest usable snapshot up to the version, then the deltas after it. A snapshot is a convenience: one
//! that is damaged, or that belongs to another history, is passed over for an older one. A delta is the
//! record itself: when one is damaged or missing the version is lost, and the error says which file.
use std::collections::BTreeSet;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use bytes::Bytes;
use futures::{StreamExt, stream};

use super::{Listing, StoreFiles};
use crate::{
    Result, StateError,
    columns::batch_of,
    format::{self, Decoded, FileKind, FormatError, Lineage, next_lineage},
    schema::{StorageSchema, conform},
};

/// Files read ahead while deltas are applied.
const READ_AHEAD: usize = 8;

/// What a file says, in the columns of the running query. To be applied in this order: evict, delete, put.
#[derive(Debug)]
pub(crate) struct FileContent {
    /// A threshold and the key column it was meant for.
    pub(crate) evicted: Option<(i64, usize)>,
    pub(crate) tombstones: Vec<RecordBatch>,
    pub(crate) upserts: Vec<RecordBatch>,
}

/// Something that versions are replayed into.
pub(crate) trait Replay: Send {
    /// Starts over, from the empty store.
    fn reset(&mut self) -> Result<()>;

    /// Takes a piece of a snapshot: entries with keys that are not there yet.
    fn fill(&mut self, content: FileContent) -> Result<()>;

    /// Applies a delta, or ends the pieces of a snapshot (with nothing more to apply): `version` is reached.
    fn advance(&mut self, version: u64, lineage: Lineage, delta: Option<FileContent>)
    -> Result<()>;
}

/// A load in progress.
#[derive(Debug)]
pub(crate) struct Loader<'a> {
    files: &'a StoreFiles,
    schema: &'a StorageSchema,
    version: u64,
    listing: Listing,
}

impl<'a> Loader<'a> {
    /// A load of `version`.
    pub(crate) async fn new(
        files: &'a StoreFiles,
        schema: &'a StorageSchema,
        version: u64,
    ) -> Result<Self> {
        let listing = files.list().await?;
        Ok(Self {
            files,
            schema,
            version,
            listing,
        })
    }

    /// Snapshots of later versions, left by a history that is about to be written anew.
    pub(crate) fn superseded(&self) -> BTreeSet<u64> {
        let snapshots = self.listing.snapshots.iter().copied();
        snapshots
            .filter(|snapshot| *snapshot > self.version)
            .collect()
    }

    /// The newest snapshot up to the version, by the names of the files; 0 when there is none.
    pub(crate) fn newest_snapshot(&self) -> u64 {
        let mut snapshots = self.listing.snapshots.iter().rev();
        let newest = snapshots.find(|snapshot| **snapshot <= self.version);
        newest.copied().unwrap_or(0)
    }

    /// Replays the version from its files; the snapshot it was built on, 0 when there was none.
    pub(crate) async fn run(&self, into: &mut impl Replay) -> Result<u64> {
        into.reset()?;
        if self.version == 0 {
            return Ok(0);
        }
        let mut passed_over = None;
        for base in self.bases()? {
            match self.load_from(base, into).await {
                Ok(()) => return Ok(base),
                Err(Failure::Snapshot(error)) => {
                    tracing::warn!(
                        store = %self.files.id, version = self.version, snapshot = base, %error,
                        "state snapshot passed over, trying an older one"
                    );
                    passed_over.get_or_insert(error);
                }
                Err(Failure::Fatal(error)) => return Err(error),
            }
        }
        Err(passed_over.unwrap_or_else(|| self.missing(FileKind::Delta, self.version)))
    }

    /// Goes on from `base`, which stands at `lineage`. False, with part of the way perhaps gone, if the files
    /// do not continue it.
    pub(crate) async fn go_on(
        &self,
        base: u64,
        lineage: Lineage,
        into: &mut impl Replay,
    ) -> Result<bool> {
        let deltas = &self.listing.deltas;
        let mut needed = base.max(1)..=self.version;
        if base > self.version || needed.any(|version| deltas.binary_search(&version).is_err()) {
            return Ok(false);
        }
        if base > 0 && !self.files.is_current(base, lineage).await? {
            return Ok(false);
        }
        match self.follow(base, lineage, into).await {
            Ok(()) => Ok(true),
            Err(Failure::Snapshot(_)) => Ok(false),
            Err(Failure::Fatal(error)) => Err(error),
        }
    }

    /// Snapshots to try, newest first, then 0 for the empty store: those from which deltas lead to the
    /// version without a gap.
    fn bases(&self) -> Result<Vec<u64>> {
        let gap = (1..=self.version)
            .rev()
            .find(|version| self.listing.deltas.binary_search(version).is_err())
            .unwrap_or(0);
        let snapshots = self.listing.snapshots.iter().rev().copied();
        let mut bases: Vec<u64> = snapshots
            .filter(|base| (gap..=self.version).contains(base))
            .collect();
        if gap == 0 {
            bases.push(0);
        }
        if bases.is_empty() {
            return Err(self.missing(FileKind::Delta, gap));
        }
        Ok(bases)
    }

    async fn load_from(&self, base: u64, into: &mut impl Replay) -> Result<(), Failure> {
        into.reset()?;
        let mut lineage = 0;
        if base > 0 {
            let snapshot = self
                .read(FileKind::Snapshot, base)
                .await
                .map_err(passable)?;
            lineage = snapshot.lineage;
            self.vouch(base, lineage).await?;
            self.fill_parts(base, &snapshot, into).await?;
            into.fill(self.content(snapshot)?)?;
            into.advance(base, lineage, None)?;
        }
        self.follow(base, lineage, into).await
    }

    /// Replays the parts of a snapshot that has several.
    async fn fill_parts(
        &self,
        version: u64,
        snapshot: &Decoded,
        into: &mut impl Replay,
    ) -> Result<(), Failure> {
        let mut digest = 0;
        for part in 1..=snapshot.parts.count {
            let kind = FileKind::Part(part);
            let file = self.read(kind, version).await.map_err(passable)?;
            if file.lineage != snapshot.lineage {
                let reason = format!("it is no part of {version}.snapshot");
                return Err(Failure::Snapshot(self.corrupt(kind, version, reason)));
            }
            digest = next_lineage(digest, file.checksum);
            into.fill(self.content(file)?)?;
        }
        if digest != snapshot.parts.digest {
            let reason = format!("its {} parts are of another writing", snapshot.parts.count);
            let error = self.corrupt(FileKind::Snapshot, version, reason);
            return Err(Failure::Snapshot(error));
        }
        Ok(())
    }

    /// Replays the deltas after `base`.
    async fn follow(
        &self,
        base: u64,
        mut lineage: Lineage,
        into: &mut impl Replay,
    ) -> Result<(), Failure> {
        let reads = stream::iter(base + 1..=self.version)
            .map(|version| async move { (version, self.bytes(FileKind::Delta, version).await) });
        let mut reads = reads.buffered(READ_AHEAD);
        while let Some((version, bytes)) = reads.next().await {
            let delta = self.decode(FileKind::Delta, version, &bytes?)?;
            if delta.lineage != lineage {
                let reason = format!("it does not continue version {}", version - 1);
                let (kind, at) = match version == base + 1 && base > 0 {
                    true => (FileKind::Snapshot, base),
                    false => (FileKind::Delta, version),
                };
                let error = self.corrupt(kind, at, reason);
                return Err(match kind {
                    FileKind::Snapshot | FileKind::Part(_) => Failure::Snapshot(error),
                    FileKind::Delta => Failure::Fatal(error),
                });
            }
            lineage = next_lineage(lineage, delta.checksum);
            into.advance(version, lineage, Some(self.content(delta)?))?;
        }
        Ok(())
    }

    /// A snapshot must stem from the delta of its version, where that is still there and whole.
    async fn vouch(&self, base: u64, lineage: Lineage) -> Result<(), Failure> {
        if self.listing.deltas.binary_search(&base).is_err() {
            return Ok(());
        }
        let Ok(Some(bytes)) = self.files.get(FileKind::Delta, base).await else {
            return Ok(());
        };
        match format::decode(&bytes, FileKind::Delta, base, &self.files.id) {
            Ok(delta) if next_lineage(delta.lineage, delta.checksum) != lineage => {
                let reason = format!("it was not made from {base}.delta");
                Err(Failure::Snapshot(self.corrupt(
                    FileKind::Snapshot,
                    base,
                    reason,
                )))
            }
            _ => Ok(()),
        }
    }

    async fn read(&self, kind: FileKind, version: u64) -> Result<Decoded> {
        let bytes = self.bytes(kind, version).await?;
        self.decode(kind, version, &bytes)
    }

    async fn bytes(&self, kind: FileKind, version: u64) -> Result<Bytes> {
        let bytes = self.files.get(kind, version).await?;
        bytes.ok_or_else(|| self.missing(kind, version))
    }

    fn decode(&self, kind: FileKind, version: u64, bytes: &[u8]) -> Result<Decoded> {
        let decoded = match format::decode(bytes, kind, version, &self.files.id) {
            Ok(decoded) => decoded,
            Err(FormatError::Corrupt(reason)) => return Err(self.corrupt(kind, version, reason)),
            Err(FormatError::Unsupported(found)) => {
                return Err(StateError::UnsupportedFormat {
                    path: self.files.url(kind, version),
                    found,
                    supported: format::FORMAT_VERSION,
                });
            }
        };
        let (key, value) = decoded.schemas();
        self.schema.check_stored(&self.files.id, &key, &value)?;
        Ok(decoded)
    }

    fn content(&self, file: Decoded) -> Result<FileContent> {
        let relabel = |batches: Vec<RecordBatch>, schema: &SchemaRef| {
            let batches = batches.iter();
            batches
                .map(|batch| self.relabel(batch, schema))
                .collect::<Result<Vec<_>>>()
        };
        Ok(FileContent {
            evicted: file.evicted_through.zip(file.event_time),
            tombstones: relabel(file.tombstones, &self.schema.key)?,
            upserts: relabel(file.upserts, &self.schema.entry)?,
        })
    }

    /// A stored batch under the names of the running query.
    fn relabel(&self, batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
        let columns = batch.columns().iter().zip(schema.fields());
        let columns = columns
            .map(|(c, f)| conform(c, f.data_type()))
            .collect::<Result<Vec<_>>>()?;
        batch_of(schema, columns, batch.num_rows())
    }

    fn missing(&self, kind: FileKind, version: u64) -> StateError {
        StateError::MissingFile {
            store: self.files.id.clone(),
            version: self.version,
            path: self.files.url(kind, version),
        }
    }

    fn corrupt(&self, kind: FileKind, version: u64, reason: String) -> StateError {
        StateError::CorruptFile {
            store: self.files.id.clone(),
            version: self.version,
            path: self.files.url(kind, version),
            reason,
        }
    }
}

/// Why loading from one base failed.
enum Failure {
    /// The snapshot is no good: another base may do.
    Snapshot(StateError),
    /// No base will do, or it is not the files' fault.
    Fatal(StateError),
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        Failure::Fatal(error)
    }
}

/// Whether an older base can make up for this error while reading a snapshot.
fn passable(error: StateError) -> Failure {
    match error {
        StateError::CorruptFile { .. } | StateError::MissingFile { .. } => Failure::Snapshot(error),
        other => Failure::Fatal(other),
    }
}
