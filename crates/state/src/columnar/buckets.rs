//! Event-time buckets: which slots have which event time, so that eviction visits only what it evicts.
//!
//! A bucket is a second of event time, so that a stream whose rows all have times of their own has few buckets. Eviction
//! takes whole buckets and looks at the times of one more, the one that the threshold cuts. Removing one key is a swap with
//! the bucket's last, for which each slot remembers its position.
use std::collections::BTreeMap;

use super::index::SlotId;

/// Width of a bucket: 2^20 microseconds, a little more than a second.
const WIDTH_BITS: u32 = 20;

/// Position of a slot that is in no bucket: its event time is NULL.
const NOWHERE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Place {
    event_time: i64,
    position: u32,
}

impl Place {
    const NOWHERE: Self = Self {
        event_time: 0,
        position: NOWHERE,
    };
}

fn bucket_of(event_time: i64) -> i64 {
    event_time >> WIDTH_BITS
}

/// Slots by event time.
#[derive(Debug, Default)]
pub(super) struct EventTimeBuckets {
    buckets: BTreeMap<i64, Vec<SlotId>>,
    /// By slot number; stale where the slot is vacant.
    places: Vec<Place>,
    /// Capacity of all buckets in slots, kept for the memory metric.
    capacity: usize,
}

impl EventTimeBuckets {
    /// Files a new slot.
    pub(super) fn insert(&mut self, slot: SlotId, event_time: Option<i64>) {
        let index = slot as usize;
        if index >= self.places.len() {
            self.places.resize(index + 1, Place::NOWHERE);
        }
        let Some(event_time) = event_time else {
            self.places[index] = Place::NOWHERE;
            return;
        };
        let bucket = self.buckets.entry(bucket_of(event_time)).or_default();
        self.places[index] = Place {
            event_time,
            position: bucket.len() as u32,
        };
        self.capacity -= bucket.capacity();
        bucket.push(slot);
        self.capacity += bucket.capacity();
    }

    /// Takes a slot out, if it was filed.
    pub(super) fn remove(&mut self, slot: SlotId) {
        let Some(place) = self.places.get_mut(slot as usize) else {
            return;
        };
        let Place {
            event_time,
            position,
        } = std::mem::replace(place, Place::NOWHERE);
        if position == NOWHERE {
            return;
        }
        let number = bucket_of(event_time);
        let Some(bucket) = self.buckets.get_mut(&number) else {
            return;
        };
        bucket.swap_remove(position as usize);
        if let Some(moved) = bucket.get(position as usize) {
            self.places[*moved as usize].position = position;
        }
        if bucket.is_empty() {
            self.capacity -= bucket.capacity();
            self.buckets.remove(&number);
        }
    }

    /// The event time of a slot; `None` for NULL.
    pub(super) fn event_time(&self, slot: SlotId) -> Option<i64> {
        let place = self.places[slot as usize];
        (place.position != NOWHERE).then_some(place.event_time)
    }

    /// Slots with an event time <= `threshold`, bucket by bucket from the oldest.
    pub(super) fn expired(&self, threshold: i64) -> impl Iterator<Item = SlotId> {
        let cut = bucket_of(threshold);
        self.buckets.range(..=cut).flat_map(move |(number, slots)| {
            let whole = *number < cut;
            slots
                .iter()
                .copied()
                .filter(move |slot| whole || self.places[*slot as usize].event_time <= threshold)
        })
    }

    /// Takes out the slots with an event time <= `threshold`, but for those that are `alive`.
    pub(super) fn forget_expired(&mut self, threshold: i64, alive: impl Fn(SlotId) -> bool) {
        let Self {
            buckets,
            places,
            capacity,
        } = self;
        let cut = bucket_of(threshold);
        for (number, slots) in buckets.range_mut(..=cut) {
            *capacity -= slots.capacity();
            let mut kept = 0;
            slots.retain(|slot| {
                let place = &mut places[*slot as usize];
                let stays = (*number == cut && place.event_time > threshold) || alive(*slot);
                place.position = if stays { kept } else { NOWHERE };
                kept += u32::from(stays);
                stays
            });
            if slots.is_empty() {
                *slots = Vec::new();
            }
            *capacity += slots.capacity();
        }
        // Of what was visited, hardly anything is left.
        while let Some(oldest) = buckets
            .first_entry()
            .filter(|oldest| oldest.get().is_empty())
        {
            oldest.remove();
        }
    }

    /// Bytes allocated; the map's own nodes are estimated.
    pub(super) fn memory(&self) -> usize {
        const NODE_BYTES_PER_BUCKET: usize = size_of::<i64>() + size_of::<Vec<SlotId>>() + 8;
        self.capacity * size_of::<SlotId>()
            + self.places.capacity() * size_of::<Place>()
            + self.buckets.len() * NODE_BYTES_PER_BUCKET
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1 << WIDTH_BITS;

    fn filed(times: &[Option<i64>]) -> EventTimeBuckets {
        let mut buckets = EventTimeBuckets::default();
        for (slot, time) in times.iter().enumerate() {
            buckets.insert(slot as SlotId, *time);
        }
        buckets
    }

    fn expired(buckets: &EventTimeBuckets, threshold: i64) -> Vec<SlotId> {
        buckets.expired(threshold).collect()
    }

    #[test]
    fn a_threshold_within_a_bucket_cuts_it() {
        let mut buckets = filed(&[
            Some(SECOND + 5),
            Some(-1),
            None,
            Some(SECOND + 3),
            Some(SECOND + 4),
        ]);
        assert!(expired(&buckets, -2).is_empty());
        assert_eq!(expired(&buckets, -1), [1]);
        assert_eq!(expired(&buckets, SECOND + 4), [1, 3, 4]);
        buckets.forget_expired(SECOND + 4, |_| false);
        assert_eq!(expired(&buckets, i64::MAX), [0]);
        assert_eq!(buckets.event_time(0), Some(SECOND + 5));
        assert_eq!(buckets.event_time(3), None);
        buckets.remove(0);
        assert_eq!(buckets.buckets.len(), 0);
    }

    #[test]
    fn what_is_alive_stays_and_can_be_taken_out_later() {
        let mut buckets = filed(&[Some(1), Some(2), Some(SECOND + 1), Some(SECOND + 2)]);
        buckets.forget_expired(2 * SECOND, |slot| slot == 1 || slot == 3);
        assert_eq!(expired(&buckets, 2 * SECOND), [1, 3]);
        buckets.remove(1);
        buckets.remove(1);
        assert_eq!(expired(&buckets, 2 * SECOND), [3]);
        buckets.forget_expired(2 * SECOND, |_| false);
        assert_eq!(buckets.buckets.len(), 0);
        assert_eq!(buckets.capacity, 0);
    }
}
