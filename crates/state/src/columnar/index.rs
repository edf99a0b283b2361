//! The key index: encoded key → slot → where the key's newest row is.
//!
//! A slot is a key's identity for as long as the key is in the store, so buckets and segments refer to
//! keys by slot number while rows move. DataFusion's `GroupValues` has the same mapping from key to number,
//! but it cannot forget a key, and asking for an absent key adds it.
//!
//! Keys are compared by their `arrow-row` encoding, which is one memcmp whatever the column types are and
//! treats NULL as a value.
use hashbrown::{HashTable, hash_table};

use super::{
    arena::{KeyArena, KeyRef},
    keys::EncodedKeys,
};

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
    fn find(&self, tag: u32, key: &[u8]) -> SlotId {
        let found = self.table.find(table_hash(tag), |entry| {
            entry.tag == tag && self.arena.get(self.slots[entry.slot as usize].key) == key
        });
        found.map_or(NO_SLOT, |entry| entry.slot)
    }

    /// The slots of all keys, [`NO_SLOT`] for absent ones.
    ///
    /// A look-up in a large index is three cache misses one after the other: table, slot, key bytes. Doing
    /// a stage for many keys before the next lets the misses of different keys overlap, which makes the
    /// whole several times faster.
    pub(super) fn find_all(&self, keys: &EncodedKeys, found: &mut Vec<SlotId>) {
        const STAGE: usize = 256;
        let mut candidates: Vec<Option<KeyRef>> = Vec::with_capacity(STAGE.min(keys.len()));
        found.clear();
        found.reserve(keys.len());
        for start in (0..keys.len()).step_by(STAGE) {
            let tags = &keys.tags()[start..keys.len().min(start + STAGE)];
            found.extend(tags.iter().map(|tag| {
                let entry = self.table.find(table_hash(*tag), |entry| entry.tag == *tag);
                entry.map_or(NO_SLOT, |entry| entry.slot)
            }));
            candidates.clear();
            let slots = found.iter().skip(start);
            candidates.extend(slots.map(|slot| self.slots.get(*slot as usize).map(|s| s.key)));
            let touched = candidates
                .iter()
                .flatten()
                .map(|key| self.arena.touch(*key));
            std::hint::black_box(touched.fold(0, |sum, byte| sum ^ byte));
            for (i, candidate) in candidates.iter().enumerate() {
                let (tag, key) = keys.key(start + i);
                // Another key with the same tag: rare enough to search again.
                if candidate.is_some_and(|candidate| self.arena.get(candidate) != key) {
                    found[start + i] = self.find(tag, key);
                }
            }
        }
    }

    /// The slot of a key, which is added if it is absent, and whether it was. `None` when all slot numbers
    /// are taken.
    pub(super) fn find_or_insert(&mut self, tag: u32, key: &[u8]) -> Option<(SlotId, bool)> {
        let same = |entry: &Entry| {
            entry.tag == tag && self.arena.get(self.slots[entry.slot as usize].key) == key
        };
        let vacant = match self
            .table
            .entry(table_hash(tag), same, |e| table_hash(e.tag))
        {
            hash_table::Entry::Occupied(entry) => return Some((entry.get().slot, false)),
            hash_table::Entry::Vacant(entry) => entry,
        };
        let id = match self.vacant.pop() {
            Some(id) => id,
            None => SlotId::try_from(self.slots.len())
                .ok()
                .filter(|id| *id != NO_SLOT)?,
        };
        let key = self.arena.push(key);
        let slot = Slot {
            key,
            tag,
            location: Location::NONE,
            dirty: false,
        };
        match self.slots.get_mut(id as usize) {
            Some(reused) => *reused = slot,
            None => self.slots.push(slot),
        }
        vacant.insert(Entry { tag, slot: id });
        Some((id, true))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_with_one_tag_are_told_apart() {
        let mut index = KeyIndex::default();
        let (a, added) = index.find_or_insert(7, b"a").unwrap();
        assert!(added);
        let (b, added) = index.find_or_insert(7, b"b").unwrap();
        assert!(added && a != b);
        assert_eq!(index.find_or_insert(7, b"a"), Some((a, false)));
        let asked = EncodedKeys::of(&[(7, b"b"), (7, b"a"), (7, b"c"), (8, b"a")]);
        let mut found = Vec::new();
        index.find_all(&asked, &mut found);
        assert_eq!(found, [b, a, NO_SLOT, NO_SLOT]);
        index.remove(a);
        index.find_all(&asked, &mut found);
        assert_eq!(found, [b, NO_SLOT, NO_SLOT, NO_SLOT]);
        assert_eq!(
            index.find_or_insert(9, b"d"),
            Some((a, true)),
            "the number is used again"
        );
    }

    #[test]
    fn keys_survive_the_repacking_of_their_bytes() {
        let mut index = KeyIndex::default();
        let key = |i: u32| format!("a key of some length, number {i}").into_bytes();
        let slots: Vec<_> = (0..20_000)
            .map(|i| index.find_or_insert(i, &key(i)).unwrap().0)
            .collect();
        let full = index.memory();
        for i in (0..20_000).filter(|i| i % 10 != 3) {
            index.remove(slots[i as usize]);
        }
        index.shrink();
        assert!(
            index.arena.memory() < full / 8,
            "{} of {full}",
            index.arena.memory()
        );
        for i in 0..20_000 {
            let expected = if i % 10 == 3 {
                slots[i as usize]
            } else {
                NO_SLOT
            };
            assert_eq!(index.find(i, &key(i)), expected);
        }
    }

    #[test]
    fn chunks_are_freed_when_their_last_key_goes() {
        let mut index = KeyIndex::default();
        let mut generations: Vec<Vec<SlotId>> = Vec::new();
        for generation in 0..100_u32 {
            let ids = generation * 5_000..(generation + 1) * 5_000;
            let add = |i: u32| {
                index
                    .find_or_insert(i, &i.to_be_bytes().repeat(10))
                    .unwrap()
                    .0
            };
            generations.push(ids.map(add).collect());
            if generations.len() > 2 {
                generations
                    .remove(0)
                    .into_iter()
                    .for_each(|slot| index.remove(slot));
            }
        }
        let live = 2 * 5_000 * 40;
        assert!(
            index.arena.memory() < 4 * live + (4 << 20),
            "{}",
            index.arena.memory()
        );
    }
}
