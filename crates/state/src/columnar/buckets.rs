//! Event-time buckets: the slots of each event-time value, so that eviction visits only what it evicts.
//!
//! A tumbling window of a million keys is one bucket of a million slots; a session store has thousands of
//! buckets with a key each. Both are one vector per distinct value in an ordered map. Removing one key is
//! a swap with the bucket's last, for which each slot remembers its position.
use std::collections::BTreeMap;

use super::index::SlotId;

/// Position of a slot that is in no bucket: its event time is NULL.
const NOWHERE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Place {
    event_time: i64,
    position: u32,
}

/// Slots ordered by event time.
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
            self.places.resize(
                index + 1,
                Place {
                    event_time: 0,
                    position: NOWHERE,
                },
            );
        }
        let Some(event_time) = event_time else {
            self.places[index] = Place {
                event_time: 0,
                position: NOWHERE,
            };
            return;
        };
        let bucket = self.buckets.entry(event_time).or_default();
        self.places[index] = Place {
            event_time,
            position: bucket.len() as u32,
        };
        self.capacity -= bucket.capacity();
        bucket.push(slot);
        self.capacity += bucket.capacity();
    }

    /// Takes a slot out.
    pub(super) fn remove(&mut self, slot: SlotId) {
        let Place {
            event_time,
            position,
        } = self.places[slot as usize];
        if position == NOWHERE {
            return;
        }
        let Some(bucket) = self.buckets.get_mut(&event_time) else {
            return;
        };
        bucket.swap_remove(position as usize);
        if let Some(moved) = bucket.get(position as usize) {
            self.places[*moved as usize].position = position;
        }
        if bucket.is_empty() {
            self.capacity -= bucket.capacity();
            self.buckets.remove(&event_time);
        }
        self.places[slot as usize].position = NOWHERE;
    }

    /// The event time of a slot; `None` for NULL.
    pub(super) fn event_time(&self, slot: SlotId) -> Option<i64> {
        let place = self.places[slot as usize];
        (place.position != NOWHERE).then_some(place.event_time)
    }

    /// Slots with an event time <= `threshold`, oldest first.
    pub(super) fn expired(&self, threshold: i64) -> impl Iterator<Item = SlotId> {
        self.buckets
            .range(..=threshold)
            .flat_map(|(_, slots)| slots.iter().copied())
    }

    /// Takes out the oldest bucket if its event time is <= `threshold`.
    pub(super) fn pop_expired(&mut self, threshold: i64) -> Option<(i64, Vec<SlotId>)> {
        let oldest = self
            .buckets
            .first_entry()
            .filter(|entry| *entry.key() <= threshold)?;
        let (event_time, slots) = oldest.remove_entry();
        self.capacity -= slots.capacity();
        for slot in &slots {
            self.places[*slot as usize].position = NOWHERE;
        }
        Some((event_time, slots))
    }

    /// Bytes allocated; the map's own nodes are estimated.
    pub(super) fn memory(&self) -> usize {
        const NODE_BYTES_PER_BUCKET: usize = size_of::<i64>() + size_of::<Vec<SlotId>>() + 8;
        self.capacity * size_of::<SlotId>()
            + self.places.capacity() * size_of::<Place>()
            + self.buckets.len() * NODE_BYTES_PER_BUCKET
    }
}
