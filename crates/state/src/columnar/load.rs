//! Putting a version together from its files.
//!
//! The newest usable snapshot up to the version, then the deltas after it. A snapshot is a convenience: one
//! that is damaged, or that belongs to another history, is passed over for an older one. A delta is the
//! record itself: when one is damaged or missing the version is lost, and the error says which file.
use std::collections::BTreeSet;

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::{StreamExt, stream};

use super::{
    provider::{Listing, StoreFiles},
    segment::batch_of,
    state::ColumnarState,
};
use crate::{
    Result, StateError,
    format::{self, Decoded, FileKind, FormatError, Lineage, next_lineage},
    schema::{StorageSchema, conform},
};

/// Files read ahead while deltas are applied.
const READ_AHEAD: usize = 8;

/// A version in memory.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) state: ColumnarState,
    pub(super) lineage: Lineage,
    /// The snapshot it was built on; 0 when there was none.
    pub(super) snapshot: u64,
    /// Snapshots of later versions, left by a history that is about to be written anew.
    pub(super) superseded: BTreeSet<u64>,
}

/// A load in progress.
struct Loader<'a> {
    files: &'a StoreFiles,
    schema: &'a StorageSchema,
    version: u64,
    listing: Listing,
}

/// Loads a version.
pub(super) async fn load(
    files: &StoreFiles,
    schema: &StorageSchema,
    version: u64,
) -> Result<Loaded> {
    let listing = files.list().await?;
    let snapshots = listing.snapshots.iter().copied();
    let superseded = snapshots.filter(|snapshot| *snapshot > version).collect();
    if version == 0 {
        let state = ColumnarState::try_new(files.id.clone(), schema.clone())?;
        return Ok(Loaded {
            state,
            lineage: 0,
            snapshot: 0,
            superseded,
        });
    }
    let loaded = Loader {
        files,
        schema,
        version,
        listing,
    }
    .run()
    .await?;
    Ok(Loaded {
        superseded,
        ..loaded
    })
}

impl Loader<'_> {
    async fn run(&self) -> Result<Loaded> {
        let mut passed_over = None;
        for base in self.bases()? {
            match self.load_from(base).await {
                Ok(loaded) => return Ok(loaded),
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

    async fn load_from(&self, base: u64) -> Result<Loaded, Failure> {
        let mut state = ColumnarState::try_new(self.files.id.clone(), self.schema.clone())?;
        let mut lineage = 0;
        if base > 0 {
            let snapshot = self
                .read(FileKind::Snapshot, base)
                .await
                .map_err(passable)?;
            lineage = snapshot.lineage;
            self.vouch(base, lineage).await?;
            self.apply(&mut state, snapshot)?;
        }
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
                    FileKind::Snapshot => Failure::Snapshot(error),
                    FileKind::Delta => Failure::Fatal(error),
                });
            }
            lineage = next_lineage(lineage, delta.checksum);
            self.apply(&mut state, delta)?;
        }
        state.compact_fully()?;
        Ok(Loaded {
            state,
            lineage,
            snapshot: base,
            superseded: BTreeSet::new(),
        })
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

    fn apply(&self, state: &mut ColumnarState, file: Decoded) -> Result<()> {
        let entries = |batch: &RecordBatch| self.relabel(batch, &self.schema.entry);
        let keys = |batch: &RecordBatch| self.relabel(batch, &self.schema.key);
        let upserts = file
            .upserts
            .iter()
            .map(entries)
            .collect::<Result<Vec<_>>>()?;
        let tombstones = file
            .tombstones
            .iter()
            .map(keys)
            .collect::<Result<Vec<_>>>()?;
        state.apply(
            file.evicted_through.zip(file.event_time),
            &tombstones,
            &upserts,
        )
    }

    /// A stored batch under the names of the running query.
    fn relabel(
        &self,
        batch: &RecordBatch,
        schema: &arrow::datatypes::SchemaRef,
    ) -> Result<RecordBatch> {
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
