//! One of the new partitions, as it fills.
use arrow::{
    array::{RecordBatch, UInt32Array},
    compute::{concat_batches, take_record_batch},
};
use millstream_checkpoint::fault::FaultPoint;

use super::PartitionedStore;
use crate::{
    Result, StateError, StateStoreId,
    format::Lineage,
    hash::{SPARK_SEED, murmur3_hash, partition_of},
    log::{SnapshotWriter, StoreFiles},
    schema::StorageSchema,
};

/// Rows per batch of a file; each becomes a segment when it is loaded.
const BATCH_ROWS: usize = 1 << 16;

/// The rows of each new partition that has any of these, which come from the old partition `from`.
pub(super) fn split(
    store: &PartitionedStore,
    from: &StateStoreId,
    rows: &RecordBatch,
) -> Result<Vec<(usize, RecordBatch)>> {
    let placed_by = rows.columns().get(..store.placed_by);
    let columns = placed_by.ok_or_else(|| StateError::InvalidSchema {
        reason: format!(
            "rows placed by {} of {} columns",
            store.placed_by,
            rows.num_columns()
        ),
    })?;
    if columns.is_empty() {
        return match from.partition {
            0 => Ok(vec![(0, rows.clone())]),
            _ if rows.num_rows() == 0 => Ok(vec![]),
            _ => Err(misplaced(store, from, 0)),
        };
    }
    let mut owned = vec![Vec::<u32>::new(); store.to as usize];
    let hashes = murmur3_hash(columns, rows.num_rows(), SPARK_SEED)?;
    for (row, hash) in hashes.into_iter().enumerate() {
        let was = partition_of(hash, store.from);
        if was != from.partition {
            return Err(misplaced(store, from, was));
        }
        if let Some(rows) = owned.get_mut(partition_of(hash, store.to) as usize) {
            rows.push(row as u32);
        }
    }
    let owned = owned.into_iter().enumerate();
    owned
        .filter(|(_, taken)| !taken.is_empty())
        .map(|(to, taken)| Ok((to, take_record_batch(rows, &UInt32Array::from(taken))?)))
        .collect()
}

fn misplaced(store: &PartitionedStore, from: &StateStoreId, belongs_to: u32) -> StateError {
    StateError::MisplacedRow {
        store: from.clone(),
        belongs_to,
        partitions: store.from,
    }
}

/// A snapshot in the making, of rows that come in small pieces.
#[derive(Debug)]
pub(super) struct Target<'a> {
    files: &'a StoreFiles,
    writer: SnapshotWriter<'a>,
    schema: &'a StorageSchema,
    waiting: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
    /// Bytes that wait at most.
    limit: usize,
}

impl<'a> Target<'a> {
    pub(super) fn new(
        files: &'a StoreFiles,
        schema: &'a StorageSchema,
        version: u64,
        lineage: Lineage,
        file_bytes: usize,
    ) -> Self {
        Self {
            files,
            writer: SnapshotWriter::without_delta(files, schema, version, lineage, file_bytes),
            schema,
            waiting: vec![],
            rows: 0,
            bytes: 0,
            limit: file_bytes,
        }
    }

    /// Takes rows that no other batch holds.
    pub(super) async fn push(&mut self, rows: RecordBatch) -> Result<()> {
        self.rows += rows.num_rows();
        self.bytes += needed_bytes(&rows);
        self.waiting.push(rows);
        if self.rows >= BATCH_ROWS || self.bytes >= self.limit {
            self.pass_on().await?;
        }
        Ok(())
    }

    async fn pass_on(&mut self) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        let bytes = std::mem::take(&mut self.bytes);
        self.rows = 0;
        let batch = concat_batches(&self.schema.entry, &waiting)?;
        drop(waiting);
        self.writer.push(batch, bytes).await?;
        Ok(())
    }

    /// Makes the partition durable.
    pub(super) async fn finish(mut self) -> Result<()> {
        if self.rows > 0 {
            self.pass_on().await?;
        }
        self.writer.finish().await?;
        self.files.hit(FaultPoint::MidRepartition)
    }
}

fn needed_bytes(rows: &RecordBatch) -> usize {
    let columns = rows.columns().iter();
    columns
        .map(|column| column.to_data().get_slice_memory_size().unwrap_or(0))
        .sum()
}
