//! The key index: encoded key → slot → where the key's newest row is.
//!
//! A slot is a key's identity for as long as the key is in the store, so buckets and segments refer to
//! keys by slot number while rows move. DataFusion's `GroupValues` has the same mapping from key to number,
//! but it cannot forget a key, and asking for an absent key adds it.
//!
//! Keys are compared by their `arrow-row` encoding, which is one memcmp whatever the column types are and
//! treats NULL as a value.
use hashbrown::HashTable;

use super::arena::{KeyArena, KeyRef};

/// Number of a key within its store.
pub(super) type SlotId = u32;

/// No slot: what a look-up of an absent key yields.
pub(super) const NO_SLOT: SlotId = u32::MAX;

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
    key: KeyRef,
    tag: u32,
    location: Location,
    /// Whether the running batch changed the key: then its former location is in the undo list.
    dirty: bool,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    tag: u32,
    slot: SlotId,
}

/// The table wants entropy at both ends of 64 bits; a multiplication spreads the tag's 32.
pub(super) fn table_hash(tag: u32) -> u64 {
    u64::from(tag).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Hash index over encoded keys.
#[derive(Debug, Default)]
pub(super) struct KeyIndex {
    table: HashTable<Entry>,
    slots: Vec<Slot>,
    vacant: Vec<SlotId>,
    arena: KeyArena,
}

impl KeyIndex {
    /// The slot of a key, or [`NO_SLOT`].
    pub(super) fn find(&self, tag: u32, key: &[u8]) -> SlotId {
        let found = self.table.find(table_hash(tag), |entry| {
            entry.tag == tag && self.arena.get(self.slots[entry.slot as usize].key) == key
        });
        found.map_or(NO_SLOT, |entry| entry.slot)
    }

    /// Adds a key that `find` did not find. `None` when all slot numbers are taken.
    pub(super) fn insert(&mut self, tag: u32, key: &[u8]) -> Option<SlotId> {
        let key = self.arena.push(key);
        let slot = Slot {
            key,
            tag,
            location: Location::NONE,
            dirty: false,
        };
        let id = match self.vacant.pop() {
            Some(id) => {
                self.slots[id as usize] = slot;
                id
            }
            None => {
                let id = SlotId::try_from(self.slots.len())
                    .ok()
                    .filter(|id| *id != NO_SLOT)?;
                self.slots.push(slot);
                id
            }
        };
        let entry = Entry { tag, slot: id };
        self.table
            .insert_unique(table_hash(tag), entry, |entry| table_hash(entry.tag));
        Some(id)
    }

    /// Forgets a key; its slot number will be given to another.
    pub(super) fn remove(&mut self, id: SlotId) {
        let Slot { key, tag, .. } = self.slots[id as usize];
        if let Ok(entry) = self
            .table
            .find_entry(table_hash(tag), |entry| entry.slot == id)
        {
            entry.remove();
            self.arena.release(key);
            self.vacant.push(id);
        }
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

    /// The encoded key of a slot in use.
    pub(super) fn key(&self, id: SlotId) -> &[u8] {
        self.arena.get(self.slots[id as usize].key)
    }

    /// Makes room for that many new keys at once.
    pub(super) fn reserve(&mut self, additional: usize) {
        self.table
            .reserve(additional, |entry| table_hash(entry.tag));
        self.slots
            .reserve(additional.saturating_sub(self.vacant.len()));
    }

    /// Repacks key bytes and the table when most of what they hold is garbage.
    pub(super) fn shrink(&mut self) {
        if self.arena.wants_repack() {
            let old = std::mem::take(&mut self.arena);
            for entry in self.table.iter() {
                let slot = &mut self.slots[entry.slot as usize];
                slot.key = self.arena.push(old.get(slot.key));
            }
        }
        if self.table.capacity() > 8 * self.table.len() + 1024 {
            self.table
                .shrink_to(2 * self.table.len(), |entry| table_hash(entry.tag));
        }
        // Slot numbers are held elsewhere, so only a tail of vacant ones could be given back; an empty
        // store is the case that matters (the peak is over).
        if self.table.is_empty() && self.slots.capacity() > 1024 {
            self.slots = Vec::new();
            self.vacant = Vec::new();
        }
    }

    /// Bytes allocated.
    pub(super) fn memory(&self) -> usize {
        self.arena.memory()
            + self.table.allocation_size()
            + self.slots.capacity() * size_of::<Slot>()
            + self.vacant.capacity() * size_of::<SlotId>()
    }
}
