//! The key index: encoded key → slot → where the key's newest row is.
//!
//! A slot is a key's number (`numbers`) for as long as the key is in the store, so buckets and segments refer to keys by
//! slot while rows move.
use super::{
    keys::EncodedKeys,
    numbers::{KeyNumbers, NO_NUMBER, Number},
};

/// Number of a key within its store.
pub(super) type SlotId = Number;

/// No slot: what a look-up of an absent key yields.
pub(super) const NO_SLOT: SlotId = NO_NUMBER;

/// Where a key's newest row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) segment: u32,
    pub(super) row: u32,
}

impl Location {
    /// The key is known but has no row: deleted, or never written, by the running batch.
    pub(super) const NONE: Self = Self {
        segment: u32::MAX,
        row: u32::MAX,
    };

    pub(super) fn is_none(self) -> bool {
        self.segment == u32::MAX
    }
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    location: Location,
    /// Whether the running batch changed the key: then its former location is in the undo list.
    dirty: bool,
}

/// Key → newest row.
#[derive(Debug, Default)]
pub(super) struct KeyIndex {
    numbers: KeyNumbers,
    /// By number; stale where it is vacant.
    slots: Vec<Slot>,
}

impl KeyIndex {
    /// Fills `found` with the slots of all keys, [`NO_SLOT`] for absent ones.
    pub(super) fn find_all(&self, keys: &EncodedKeys, found: &mut Vec<SlotId>) {
        self.numbers.find_all(keys, found);
    }

    /// Calls `each(row, slot, whether it is new)` for the keys of `rows`, in order, giving slots to those that are absent.
    /// `false` when all slot numbers are taken; then the rest of the rows was not looked at.
    #[must_use]
    pub(super) fn insert_all(
        &mut self,
        keys: &EncodedKeys,
        rows: &[u32],
        mut each: impl FnMut(u32, SlotId, bool),
    ) -> bool {
        let Self { numbers, slots } = self;
        numbers.insert_all(keys, rows, |row, id, new| {
            if new {
                let slot = Slot {
                    location: Location::NONE,
                    dirty: false,
                };
                match slots.get_mut(id as usize) {
                    Some(reused) => *reused = slot,
                    None => slots.push(slot),
                }
            }
            each(row, id, new);
        })
    }

    /// Forgets keys; their slot numbers will be given to others.
    pub(super) fn remove_all(&mut self, slots: &[SlotId]) {
        self.numbers.remove_all(slots);
    }

    /// Where the key's newest row is.
    pub(super) fn location(&self, id: SlotId) -> Location {
        self.slots[id as usize].location
    }

    pub(super) fn set_location(&mut self, id: SlotId, location: Location) {
        self.slots[id as usize].location = location;
    }

    /// Sets the location and marks the key as changed; returns the former location and whether this was
    /// the batch's first change of the key.
    pub(super) fn change(&mut self, id: SlotId, location: Location) -> (Location, bool) {
        let slot = &mut self.slots[id as usize];
        let former = std::mem::replace(&mut slot.location, location);
        let first = !std::mem::replace(&mut slot.dirty, true);
        (former, first)
    }

    pub(super) fn clear_dirty(&mut self, id: SlotId) {
        self.slots[id as usize].dirty = false;
    }

    /// Gives back what is not needed any more.
    pub(super) fn shrink(&mut self) {
        if self.numbers.shrink() {
            self.slots = Vec::new();
        }
    }

    /// Bytes allocated.
    pub(super) fn memory(&self) -> usize {
        self.numbers.memory() + self.slots.capacity() * size_of::<Slot>()
    }
}
