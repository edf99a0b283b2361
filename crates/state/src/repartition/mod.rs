//! Moving a store's rows to another number of partitions.
//!
//! ```text
//!   version v, P partitions                            version v+1, Q partitions
//!   0/   v.delta ─┐                              ┌─► 0/   v+1.snapshot
//!   1/   v.delta ─┼─► pmod(hash(key), Q), row by ┼─► 1/   v+1.snapshot
//!   P-1/ v.delta ─┘   row, partition by partition└─► Q-1/ v+1.snapshot
//! ```
//!
//! The new partitions begin with a snapshot and have no delta of that version: a snapshot stands alone, whatever the
//! partition held before, and also where there was no such partition. What was written up to version v stays as it is,
//! so v loads until it is committed that v+1 is the state, and for as long after that as v is retained.
//!
//! # Crash
//!
//! An attempt begins by deleting whatever is newer than v, so nothing of an earlier attempt (or of a forgotten history) is
//! taken for a part of this one. It may die anywhere: whoever recorded that the state is to be moved starts it over, and gets
//! the same rows under the same lineage. Until the batch is committed nobody reads v+1.
//!
//! # What is checked
//!
//! Every row read must be in the partition that its key gives under the old number. A caller that names other columns than
//! the ones by which the rows were placed would move them where no batch looks for them; it gets an error instead, and the
//! state stays as it is.
mod target;

#[cfg(test)]
mod tests;

use arrow::array::RecordBatch;
use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture, stream};

use self::target::{Target, split};
use crate::{
    Result, StateError, StateSchema, StateStoreId, StateStoreProvider,
    format::{self, Decoded, FileKind, FormatError, Lineage, next_lineage},
    log::{StateLog, StoreFiles},
    schema::StorageSchema,
};

/// New partitions that are finished at the same time.
const CONCURRENT_WRITES: usize = 8;
/// Files that are looked at together before anything is moved.
const CONCURRENT_READS: usize = 8;

/// A store of an operator, in all its partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionedStore {
    /// Id of the stateful operator.
    pub operator_id: u32,
    /// Name of the store within the operator.
    pub store_name: String,
    /// Its columns.
    pub schema: StateSchema,
    /// Number of leading key columns whose hash says where a row is; 0 when all rows are in the first partition.
    pub placed_by: usize,
    /// Number of partitions so far.
    pub from: u32,
    /// Number of partitions from now on.
    pub to: u32,
}

impl PartitionedStore {
    fn id(&self, partition: u32) -> StateStoreId {
        StateStoreId::named(self.operator_id, partition, &self.store_name)
    }
}

/// What a move came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repartitioned {
    /// The new partitions are durable.
    Done {
        /// Rows in the store.
        rows: u64,
    },
    /// The caller wished to stop. Nothing that was written counts.
    Stopped,
}

/// See [`StateStoreProvider::check_repartition`].
pub(crate) async fn check(log: &StateLog, stores: &[PartitionedStore], version: u64) -> Result<()> {
    for id in log.stores().await? {
        let of_store = |store: &&PartitionedStore| {
            store.operator_id == id.operator_id && store.store_name == id.store_name
        };
        if stores.iter().any(|store| of_store(&store)) {
            continue;
        }
        let listing = log.files(&id).list().await?;
        if listing.holds(version) {
            return Err(StateError::UnknownStore { store: id });
        }
    }
    for store in stores {
        lineage(log, store, version).await?;
    }
    Ok(())
}

/// See [`StateStoreProvider::repartition`].
pub(crate) async fn run(
    log: &StateLog,
    provider: &dyn StateStoreProvider,
    store: &PartitionedStore,
    version: u64,
    stop: &(dyn Fn() -> bool + Send + Sync),
) -> Result<Repartitioned> {
    let lineage = lineage(log, store, version).await?;
    for partition in 0..store.from.max(store.to) {
        log.remove_newer(&store.id(partition), version).await?;
    }
    let schema = StorageSchema::try_new(&store.schema)?;
    let files: Vec<StoreFiles> = (0..store.to).map(|to| log.files(&store.id(to))).collect();
    let mut targets: Vec<Target<'_>> = files
        .iter()
        .map(|files| {
            Target::new(
                files,
                &schema,
                version + 1,
                lineage,
                files_bytes(log, store),
            )
        })
        .collect();
    let mut rows = 0;
    for partition in 0..store.from {
        let id = store.id(partition);
        let opened = provider.open(&id, &store.schema, version).await?;
        // One piece at a time: the state may be larger than memory.
        for piece in opened.entries() {
            let piece = schema.stored(&piece?)?;
            rows += piece.num_rows() as u64;
            deal(store, &id, &piece, &mut targets).await?;
            if stop() {
                return Ok(Repartitioned::Stopped);
            }
        }
    }
    // Boxed, as are the reads below: the compiler cannot tell that a stream of such futures is `Send` otherwise.
    let finished: Vec<BoxFuture<'_, Result<()>>> = targets
        .into_iter()
        .map(|target| target.finish().boxed())
        .collect();
    let finished = stream::iter(finished).buffer_unordered(CONCURRENT_WRITES);
    finished.try_collect::<()>().await?;
    Ok(Repartitioned::Done { rows })
}

/// Hands rows of an old partition to the new ones.
async fn deal(
    store: &PartitionedStore,
    from: &StateStoreId,
    rows: &RecordBatch,
    targets: &mut [Target<'_>],
) -> Result<()> {
    for (to, part) in split(store, from, rows)? {
        if let Some(target) = targets.get_mut(to) {
            target.push(part).await?;
        }
    }
    Ok(())
}

/// Bytes that the files of one new partition have, so that what waits for all of them stays bounded.
fn files_bytes(log: &StateLog, store: &PartitionedStore) -> usize {
    const LEAST: usize = 1 << 20;
    let all = log.options.snapshot_file_bytes;
    (all / store.to.max(1) as usize).max(LEAST.min(all))
}

/// The lineage of the new partitions: a digest of those of the old ones and of both numbers. So files that another
/// history left behind the new version do not continue it.
async fn lineage(log: &StateLog, store: &PartitionedStore, version: u64) -> Result<Lineage> {
    let schema = StorageSchema::try_new(&store.schema)?;
    let reads: Vec<BoxFuture<'_, Result<Lineage>>> = (0..store.from)
        .map(|partition| {
            let (files, schema) = (log.files(&store.id(partition)), &schema);
            async move { lineage_of(&files, schema, version).await }.boxed()
        })
        .collect();
    let old: Vec<Lineage> = stream::iter(reads)
        .buffered(CONCURRENT_READS)
        .try_collect()
        .await?;
    let begin = next_lineage(u64::from(store.from), store.to);
    let digest = |digest: Lineage, lineage: Lineage| next_lineage(digest ^ lineage, store.to);
    Ok(old.into_iter().fold(begin, digest))
}

/// The lineage at which a version of a partition stands, by the file that made it.
async fn lineage_of(files: &StoreFiles, schema: &StorageSchema, version: u64) -> Result<Lineage> {
    let decode = |bytes: &[u8], kind| -> Result<Decoded> {
        let path = || files.url(kind, version);
        let decoded =
            format::decode(bytes, kind, version, &files.id).map_err(|error| match error {
                FormatError::Corrupt(reason) => StateError::CorruptFile {
                    store: files.id.clone(),
                    version,
                    path: path(),
                    reason,
                },
                FormatError::Unsupported(found) => StateError::UnsupportedFormat {
                    path: path(),
                    found,
                    supported: format::FORMAT_VERSION,
                },
            })?;
        let (key, value) = decoded.schemas();
        schema.check_stored(&files.id, &key, &value)?;
        Ok(decoded)
    };
    if let Some(bytes) = files.get(FileKind::Delta, version).await? {
        let delta = decode(&bytes, FileKind::Delta)?;
        return Ok(next_lineage(delta.lineage, delta.checksum));
    }
    // The first version after another move has no delta.
    match files.get(FileKind::Snapshot, version).await? {
        Some(bytes) => Ok(decode(&bytes, FileKind::Snapshot)?.lineage),
        None => Err(StateError::MissingFile {
            store: files.id.clone(),
            version,
            path: files.url(FileKind::Delta, version),
        }),
    }
}
