//! In which partitions the state was that a batch left.
//!
//! Almost always in those that it has now. Where a query was told to move its state to another number of partitions, the
//! offset log says when; files of the others may still be there.
use std::collections::BTreeMap;

use millstream_checkpoint::CheckpointDir;

use super::options::Extent;
use crate::error::ConnectorError;

/// The number of partitions by batch, for the batches of a read.
#[derive(Debug, Default)]
pub struct Partitions {
    /// Batches whose record is gone, or says nothing of it, are not in here: any partition may have been theirs.
    counts: BTreeMap<u64, usize>,
    /// Batches that did nothing but change it.
    moves: Vec<u64>,
}

impl Partitions {
    /// Reads the records of the batches that `extent` is about.
    ///
    /// # Errors
    /// When a record cannot be read or is damaged.
    pub async fn read(dir: &CheckpointDir, extent: &Extent) -> Result<Self, ConnectorError> {
        let (first, last) = match *extent {
            Extent::Batch(batch_id) | Extent::FromSnapshot { batch_id, .. } => (batch_id, batch_id),
            Extent::Changes { start, end } => (start, end),
        };
        let mut partitions = Self::default();
        let mut before = match first.checked_sub(1) {
            Some(before) => dir.offsets().get(before).await?,
            None => None,
        };
        for batch_id in first..=last {
            let record = dir.offsets().get(batch_id).await?;
            if let Some(record) = &record {
                let count = record.state_partitions();
                partitions
                    .counts
                    .extend(count.map(|count| (batch_id, count)));
                if before.is_some_and(|before| record.repartitions(&before).is_some()) {
                    partitions.moves.push(batch_id);
                }
            }
            before = record;
        }
        Ok(partitions)
    }

    /// Whether a batch left state in a partition.
    pub fn had(&self, batch_id: u64, partition: u32) -> bool {
        let count = self.counts.get(&batch_id);
        count.is_none_or(|count| (partition as usize) < *count)
    }

    /// Whether any of the batches left state in a partition.
    pub fn ever_had(&self, partition: u32) -> bool {
        let mut batches = self.counts.keys();
        self.counts.is_empty() || batches.any(|batch_id| self.had(*batch_id, partition))
    }

    /// Whether a batch did nothing but move state to other partitions.
    pub fn moved_by(&self, batch_id: u64) -> bool {
        self.moves.contains(&batch_id)
    }
}

#[cfg(test)]
mod tests {
    use millstream_checkpoint::{Faults, OffsetSeq, STATE_PARTITIONS, storage};

    use super::*;

    #[tokio::test]
    async fn the_records_say_when_state_moved() {
        let root = storage::open("memory://statestore/partitions").unwrap();
        let dir = CheckpointDir::new(root, Faults::none());
        for (batch_id, count) in [(3, "2"), (4, "2"), (5, "7"), (6, "7"), (7, "1")] {
            let mut record = OffsetSeq::default();
            let conf = &mut record.metadata.conf;
            conf.insert(STATE_PARTITIONS.to_owned(), count.to_owned());
            dir.offsets().add(batch_id, &record).await.unwrap();
        }
        let changes = Extent::Changes { start: 4, end: 7 };
        let partitions = Partitions::read(&dir, &changes).await.unwrap();
        let moved: Vec<_> = (3..9).filter(|batch| partitions.moved_by(*batch)).collect();
        assert_eq!(moved, [5, 7]);
        assert!(partitions.had(4, 1) && !partitions.had(4, 2));
        assert!(partitions.had(6, 6) && !partitions.had(7, 1));
        assert!(partitions.ever_had(6) && !partitions.ever_had(7));
        // The first batch of the read may itself have moved state.
        let from = Partitions::read(&dir, &Extent::Batch(5)).await.unwrap();
        assert!(from.moved_by(5) && from.ever_had(6));
        // Of a batch without a record nothing is known.
        let gone = Partitions::read(&dir, &Extent::Batch(9)).await.unwrap();
        assert!(gone.had(9, 100) && gone.ever_had(100));
    }
}
