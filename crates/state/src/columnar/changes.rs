//! The running batch's changes: undone by `rollback`, gathered by `prepare`, made committed by `seal`.
use arrow::array::RecordBatch;

use super::{
    index::{Location, SlotId},
    segment::{Segment, merge},
    state::{Asked, ColumnarState},
};
use crate::{Result, log::Changes};

/// The changes of the running batch, ready to be written and then sealed.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) changes: Changes,
    /// Slots of the rows of `changes.upserts`.
    slots: Vec<SlotId>,
    /// The open segment that is `changes.upserts` already, row for row.
    intact: Option<u32>,
}

/// Scratch space kept between batches, in bytes; more is given back.
const SCRATCH_KEPT: usize = 16 << 20;

impl ColumnarState {
    /// Forgets everything since the last seal.
    pub(super) fn rollback(&mut self) {
        for id in std::mem::take(&mut self.open) {
            self.segments.remove(id);
        }
        let mut added = Vec::new();
        for (slot, former) in std::mem::take(&mut self.undo).into_iter().rev() {
            self.index.set_location(slot, former);
            self.index.clear_dirty(slot);
            match former.is_none() {
                true => added.push(slot),
                false => self.segments.restore(former),
            }
        }
        self.forget_keys(&added);
        self.evicted_through = None;
        self.live_keys = self.committed_keys;
        self.asked = Asked::default();
    }

    /// The running batch's changes, one row per changed key.
    pub(super) fn prepare(&self) -> Result<Prepared> {
        let intact = match self.open.as_slice() {
            [only] => self
                .segments
                .get(*only)
                .filter(|s| s.is_compact())
                .map(|s| (*only, s)),
            _ => None,
        };
        let (upserts, slots) = match intact {
            Some((_, segment)) => (segment.entries.clone(), segment.slots.clone()),
            None => self.merge_live(&self.open)?,
        };
        let dropped = self.undo.iter().filter(|(slot, former)| {
            let covered = match (self.evicted_through, &self.buckets) {
                (Some(through), Some(buckets)) => buckets
                    .event_time(*slot)
                    .is_some_and(|time| time <= through),
                _ => false,
            };
            !former.is_none() && self.locate(*slot).is_none() && !covered
        });
        let dropped: Vec<Location> = dropped.map(|(_, former)| *former).collect();
        let keys = 0..self.schema.key_columns();
        let tombstones = self.segments.gather(&dropped, keys, &self.schema.key)?;
        let changes = Changes {
            evicted_through: self.evicted_through,
            tombstones,
            upserts,
        };
        Ok(Prepared {
            changes,
            slots,
            intact: intact.map(|(id, _)| id),
        })
    }

    /// Number of keys written and removed by the running batch.
    pub(super) fn change_counts(&self) -> (u64, u64) {
        self.undo
            .iter()
            .fold((0, 0), |(updated, removed), (slot, former)| {
                match (self.locate(*slot).is_none(), former.is_none()) {
                    (false, _) => (updated + 1, removed),
                    (true, false) => (updated, removed + 1),
                    (true, true) => (updated, removed),
                }
            })
    }

    /// Makes the prepared changes the committed state.
    pub(super) fn seal(&mut self, prepared: Prepared) {
        let open = std::mem::take(&mut self.open);
        match prepared.intact {
            Some(_) => {}
            None => {
                open.into_iter()
                    .for_each(|id| drop(self.segments.remove(id)));
                self.install(prepared.changes.upserts, prepared.slots);
            }
        }
        self.settle();
    }

    /// Makes locations as they are the committed ones.
    fn settle(&mut self) {
        let undo = std::mem::take(&mut self.undo);
        // Whole buckets first: what they held is then in no bucket, and forgetting it is cheaper.
        if let (Some(through), Some(buckets)) = (self.evicted_through.take(), &mut self.buckets) {
            let index = &self.index;
            buckets.forget_expired(through, |slot| !index.location(slot).is_none());
        }
        let mut gone = Vec::new();
        for (slot, _) in &undo {
            self.index.clear_dirty(*slot);
            if self.index.location(*slot).is_none() {
                gone.push(*slot);
            }
        }
        self.forget_keys(&gone);
        self.reuse_undo(undo);
        self.committed_keys = self.live_keys;
        self.asked.columns.clear();
        self.asked.normalized.clear();
        self.asked.valid = false;
        if self.asked.keys.memory() > SCRATCH_KEPT {
            self.asked = Asked::default();
        }
        self.index.shrink();
    }

    /// Applies a file's content to the sealed state, and seals it. `evicted` is a threshold and the key
    /// column it was meant for.
    pub(super) fn apply(
        &mut self,
        evicted: Option<(i64, usize)>,
        tombstones: &[RecordBatch],
        upserts: &[RecordBatch],
    ) -> Result<()> {
        if let Some((through, column)) = evicted {
            if self.buckets.is_some() && self.schema.asked.event_time == Some(column) {
                let slots = self.expired("evict", through)?;
                self.drop_expired(&slots, through);
            } else {
                self.evict_by_scan(column, through)?;
            }
        }
        for keys in tombstones {
            self.delete(keys)?;
        }
        let (keys, values): (Vec<usize>, Vec<usize>) =
            (0..self.schema.entry.fields().len()).partition(|c| *c < self.schema.key_columns());
        for entries in upserts {
            self.put(&entries.project(&keys)?, &entries.project(&values)?)?;
        }
        self.seal_loaded();
        Ok(())
    }

    /// Seals without merging: what files hold is one row per key and batches of a good size.
    fn seal_loaded(&mut self) {
        self.open.clear();
        self.settle();
    }

    /// Adds a sealed segment whose rows are the newest of their slots.
    pub(super) fn install(&mut self, entries: RecordBatch, slots: Vec<SlotId>) {
        if slots.is_empty() {
            return;
        }
        let id = self.segments.add(Segment::new(entries, slots));
        let slots = self
            .segments
            .get(id)
            .map_or(&[][..], |segment| &segment.slots);
        for (row, slot) in slots.iter().enumerate() {
            self.index.set_location(
                *slot,
                Location {
                    segment: id,
                    row: row as u32,
                },
            );
        }
    }

    /// The live rows of some segments in one batch that shares no memory with them, with their slots.
    pub(super) fn merge_live(&self, segments: &[u32]) -> Result<(RecordBatch, Vec<SlotId>)> {
        let segments: Vec<&Segment> = segments
            .iter()
            .filter_map(|id| self.segments.get(*id))
            .collect();
        let mut slots = Vec::new();
        for segment in &segments {
            match segment.live.count() == segment.rows() {
                true => slots.extend_from_slice(&segment.slots),
                false => slots.extend(segment.live.iter().map(|row| segment.slots[row as usize])),
            }
        }
        Ok((merge(&self.schema.entry, &segments)?, slots))
    }

    fn reuse_undo(&mut self, mut undo: Vec<(SlotId, Location)>) {
        if undo.capacity() * size_of::<(SlotId, Location)>() <= SCRATCH_KEPT {
            undo.clear();
            self.undo = undo;
        }
    }
}
