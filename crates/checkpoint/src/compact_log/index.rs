//! Which records a compactible log has, and what follows from that: which one is compacted next,
//! and which ones together hold everything. Functions of plain values; the log does the I/O.
use std::{
    collections::{BTreeSet, VecDeque},
    num::NonZeroU64,
};

use super::COMPACT_SUFFIX;
use crate::{BatchId, log::batch_id, storage::FileMeta};

/// What is known to be on disk.
#[derive(Debug)]
pub(super) struct Index<T> {
    pub(super) interval: NonZeroU64,
    pub(super) compacts: BTreeSet<BatchId>,
    pub(super) deltas: BTreeSet<BatchId>,
    /// The entries of the last batches added here.
    pub(super) recent: VecDeque<(BatchId, Vec<T>)>,
    /// Before this time there is nothing old enough to delete.
    pub(super) next_cleanup_ms: i64,
}

impl<T> Index<T> {
    /// Of an empty log.
    pub(super) fn new(interval: NonZeroU64) -> Self {
        Self {
            interval,
            compacts: BTreeSet::new(),
            deltas: BTreeSet::new(),
            recent: VecDeque::new(),
            next_cleanup_ms: 0,
        }
    }

    /// Replaces what is known by a listing.
    pub(super) fn read_listing(&mut self, files: &[FileMeta], wanted: NonZeroU64) {
        self.compacts.clear();
        self.deltas.clear();
        for file in files {
            match file.name.strip_suffix(COMPACT_SUFFIX) {
                Some(name) => self.compacts.extend(batch_id(name)),
                None => self.deltas.extend(batch_id(&file.name)),
            }
        }
        self.interval = interval(&self.compacts, wanted);
    }

    pub(super) fn latest(&self) -> Option<BatchId> {
        self.compacts.last().max(self.deltas.last()).copied()
    }

    pub(super) fn file_name(&self, batch_id: BatchId) -> String {
        if self.compacts.contains(&batch_id) || is_compaction(batch_id, self.interval) {
            format!("{batch_id}{COMPACT_SUFFIX}")
        } else {
            batch_id.to_string()
        }
    }

    /// The records that together hold everything up to `latest`, oldest first; or the first one of
    /// them that is missing.
    pub(super) fn covering(&self, latest: BatchId) -> Result<Vec<BatchId>, BatchId> {
        let compacted = self.compacts.range(..=latest).next_back().copied();
        let start = match compacted {
            Some(id) => id,
            None if self.deltas.contains(&0) => 0,
            // Where the record that covers the beginning should be.
            None => ((latest + 1) / self.interval * self.interval.get()).saturating_sub(1),
        };
        (start..=latest)
            .map(|id| {
                let there = self.deltas.contains(&id) || self.compacts.contains(&id);
                if there { Ok(id) } else { Err(id) }
            })
            .collect()
    }
}

/// Whether the record of `batch_id` is cumulative: with interval 3 those of 2, 5, 8, ….
pub(super) fn is_compaction(batch_id: BatchId, interval: NonZeroU64) -> bool {
    (batch_id + 1) % interval == 0
}

/// The interval that files on disk allow, as close to the wanted one as can be.
pub(super) fn interval(compacts: &BTreeSet<BatchId>, wanted: NonZeroU64) -> NonZeroU64 {
    let mut latest_first = compacts.iter().rev();
    let Some(latest) = latest_first.next() else {
        return wanted;
    };
    let records = NonZeroU64::MIN.saturating_add(*latest);
    let distance = latest_first
        .next()
        .and_then(|previous| NonZeroU64::new(latest - previous));
    match distance {
        // After a hole the distance says nothing.
        Some(distance) if records.get() % distance == 0 => distance,
        _ => divisor_from(wanted, records),
    }
}

/// The smallest divisor of `records` that is at least `wanted`; `records` itself if there is none.
fn divisor_from(wanted: NonZeroU64, records: NonZeroU64) -> NonZeroU64 {
    // A proper divisor is at most half; the search is bounded by what a disk can hold.
    (wanted.get()..=records.get() / 2)
        .filter(|divisor| records.get().is_multiple_of(*divisor))
        .find_map(NonZeroU64::new)
        .unwrap_or(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_is_bound_by_the_compacted_records_on_disk() {
        let derived = |compacts: &[u64], wanted: u64| {
            let compacts = compacts.iter().copied().collect();
            interval(&compacts, NonZeroU64::new(wanted).unwrap()).get()
        };
        assert_eq!(derived(&[], 10), 10);
        assert_eq!(derived(&[9, 19], 5), 10, "two records: their distance");
        assert_eq!(derived(&[11], 5), 6, "a divisor of 12, not below 5");
        assert_eq!(derived(&[9], 10), 10);
        assert_eq!(derived(&[9], 100), 10);
        assert_eq!(derived(&[9], 6), 10, "no proper divisor of 10 from 6 on");
        assert_eq!(derived(&[9], 1), 1);
        assert_eq!(derived(&[13], 10), 14);
        assert_eq!(
            derived(&[9, 21], 10),
            11,
            "a hole between them: the latest alone counts"
        );
    }
}
