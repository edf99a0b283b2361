//! The hash table under `numbers`: tag → numbers, open addressing in one array.
//!
//! An entry is a word, its place follows from its tag, and what does not find its place free goes to the next one. A
//! look-up is therefore one cache line, where a table with control bytes apart has two, and reading that line ahead of time
//! ([`NumberTable::touch`]) is all that a look-up ever waits for. Removing moves what follows back, so nothing stays behind.
use super::numbers::Number;

/// Entries of the smallest table that holds any.
const PLACES_MIN: usize = 16;

/// Free, or the tag in the upper half and the number, which is never `u32::MAX`, in the lower.
type Entry = u64;
/// Not zero: memory that is asked for as zeros is one shared page until it is written, and a table is read first; taking
/// the shared page away then costs more than the write.
const FREE: Entry = Entry::MAX;

fn entry(tag: u32, number: Number) -> Entry {
    u64::from(tag) << 32 | u64::from(number)
}

fn tag_of(entry: Entry) -> u32 {
    (entry >> 32) as u32
}

fn number_of(entry: Entry) -> Number {
    entry as u32
}

/// Numbers by tag; several may have the same.
#[derive(Debug, Default)]
pub(super) struct NumberTable {
    /// A power of two, or none at all.
    places: Vec<Entry>,
    len: usize,
}

impl NumberTable {
    /// Where the entries of a tag begin. Tags are hashes already; a multiplication spreads them over the upper bits.
    fn home(&self, tag: u32) -> usize {
        let hash = u64::from(tag).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let bits = self.places.len().trailing_zeros();
        // Places are fewer than 2^64, so that the shift is in range once there are two.
        (hash >> (64 - bits)) as usize
    }

    fn after(&self, place: usize) -> usize {
        (place + 1) & (self.places.len() - 1)
    }

    /// The first number of a tag that is `wanted`.
    pub(super) fn find(&self, tag: u32, wanted: impl FnMut(Number) -> bool) -> Option<Number> {
        self.place(tag, wanted)
            .map(|place| number_of(self.places[place]))
    }

    fn place(&self, tag: u32, mut wanted: impl FnMut(Number) -> bool) -> Option<usize> {
        if self.places.is_empty() {
            return None;
        }
        let mut place = self.home(tag);
        loop {
            let entry = self.places[place];
            if entry == FREE {
                return None;
            }
            if tag_of(entry) == tag && wanted(number_of(entry)) {
                return Some(place);
            }
            place = self.after(place);
        }
    }

    /// Something that has to be read to look this tag up.
    pub(super) fn touch(&self, tag: u32) -> u64 {
        match self.places.is_empty() {
            true => FREE,
            false => self.places[self.home(tag)],
        }
    }

    /// Adds a number that is not there.
    pub(super) fn insert(&mut self, tag: u32, number: Number) {
        // At most 5 of 8 places are taken: the runs of taken ones stay short.
        if (self.len + 1) * 8 > self.places.len() * 5 {
            self.resize((self.places.len() * 2).max(PLACES_MIN));
        }
        self.put(entry(tag, number));
        self.len += 1;
    }

    fn put(&mut self, entry: Entry) {
        let mut place = self.home(tag_of(entry));
        while self.places[place] != FREE {
            place = self.after(place);
        }
        self.places[place] = entry;
    }

    /// Takes a number out; whether it was there.
    pub(super) fn remove(&mut self, tag: u32, number: Number) -> bool {
        let Some(mut hole) = self.place(tag, |other| other == number) else {
            return false;
        };
        self.len -= 1;
        // What follows moves back if its look-up, which begins at its home, would meet the hole first.
        let mut place = hole;
        loop {
            place = self.after(place);
            let entry = self.places[place];
            if entry == FREE {
                self.places[hole] = FREE;
                return true;
            }
            let mask = self.places.len() - 1;
            let from_home = place.wrapping_sub(self.home(tag_of(entry))) & mask;
            if from_home >= place.wrapping_sub(hole) & mask {
                self.places[hole] = entry;
                hole = place;
            }
        }
    }

    /// Numbers, in no particular order.
    pub(super) fn numbers(&self) -> impl Iterator<Item = Number> {
        let taken = self.places.iter().filter(|entry| **entry != FREE);
        taken.map(|entry| number_of(*entry))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Gives memory back when hardly any of it is in use.
    pub(super) fn shrink(&mut self) {
        if self.places.len() > 16 * self.len + 1024 {
            self.resize((self.len * 4).next_power_of_two().max(PLACES_MIN));
        }
    }

    fn resize(&mut self, places: usize) {
        let old = std::mem::replace(&mut self.places, vec![FREE; places]);
        for entry in old.into_iter().filter(|entry| *entry != FREE) {
            self.put(entry);
        }
    }

    /// Bytes allocated.
    pub(super) fn memory(&self) -> usize {
        self.places.capacity() * size_of::<Entry>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Few tags, so that they collide, with homes at both ends of the table.
        #[test]
        fn the_table_is_a_set_of_pairs(ops in prop::collection::vec((0..6_u32, 0..40_u32, any::<bool>()), 0..400)) {
            let tags = [0, 1, 2, u32::MAX, u32::MAX / 2, 0x9e37_79b9];
            let (mut table, mut model) = (NumberTable::default(), BTreeSet::new());
            for (tag, number, add) in ops {
                let tag = tags[tag as usize];
                match add {
                    true if model.insert((tag, number)) => table.insert(tag, number),
                    true => {}
                    false => prop_assert_eq!(table.remove(tag, number), model.remove(&(tag, number))),
                }
                for tag in tags {
                    for number in 0..40 {
                        let found = table.find(tag, |other| other == number).is_some();
                        prop_assert_eq!(found, model.contains(&(tag, number)));
                    }
                }
                prop_assert_eq!(table.numbers().count(), model.len());
            }
        }
    }

    #[test]
    fn memory_is_given_back() {
        let mut table = NumberTable::default();
        (0..100_000).for_each(|i| table.insert(i, i));
        let full = table.memory();
        for i in 0..99_000 {
            assert!(table.remove(i, i));
        }
        table.shrink();
        assert!(table.memory() < full / 16, "{} of {full}", table.memory());
        assert!((99_000..100_000).all(|i| table.find(i, |n| n == i) == Some(i)));
        assert!(!table.remove(5, 5));
    }
}
