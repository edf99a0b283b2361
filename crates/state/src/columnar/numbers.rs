//! Numbers for keys: encoded key → number, which is the key's own until it is forgotten.
//!
//! DataFusion's `GroupValues` has the same mapping, but it cannot forget a key, and asking for an absent key adds it.
//! Keys are compared by their `arrow-row` encoding, which is one memcmp whatever the column types are and treats NULL
//! as a value.
//!
//! A step in a large table is a cache miss. Whatever is done to many keys is therefore done in stages: the processor
//! has the misses of different keys under way at the same time when a stage does not wait for their results, which makes
//! the whole several times faster.
use super::{
    arena::{KeyArena, KeyRef},
    keys::EncodedKeys,
    table::NumberTable,
};

/// A key's number, small because numbers are used again.
pub(super) type Number = u32;

/// No number: what a look-up of an absent key yields.
pub(super) const NO_NUMBER: Number = u32::MAX;

/// Keys per stage: their cache lines stay until the next stage needs them.
const STAGE: usize = 256;

/// Key ↔ number.
#[derive(Debug, Default)]
pub(super) struct KeyNumbers {
    table: NumberTable,
    /// By number; stale where it is vacant.
    tags: Vec<u32>,
    keys: KeyBytes,
    vacant: Vec<Number>,
}

impl KeyNumbers {
    /// The number of a key, or [`NO_NUMBER`].
    fn find(&self, tag: u32, key: &[u8]) -> Number {
        let found = self.table.find(tag, |number| self.keys.get(number) == key);
        found.unwrap_or(NO_NUMBER)
    }

    /// Fills `found` with the numbers of all keys, [`NO_NUMBER`] for absent ones.
    pub(super) fn find_all(&self, keys: &EncodedKeys, found: &mut Vec<Number>) {
        found.clear();
        found.reserve(keys.len());
        for start in (0..keys.len()).step_by(STAGE) {
            let tags = &keys.tags()[start..keys.len().min(start + STAGE)];
            self.touch(tags.iter().copied());
            let first = found.len();
            let by_tag = |tag: &u32| self.table.find(*tag, |_| true).unwrap_or(NO_NUMBER);
            found.extend(tags.iter().map(by_tag));
            let candidates = &mut found[first..];
            self.keys.touch(candidates);
            for (i, candidate) in candidates.iter_mut().enumerate() {
                let (tag, key) = keys.key(start + i);
                // Another key with the same tag: rare enough to search again.
                if *candidate != NO_NUMBER && self.keys.get(*candidate) != key {
                    *candidate = self.find(tag, key);
                }
            }
        }
    }

    /// Calls `each(row, number, whether it is new)` for the keys of `rows`, in order, numbering those that are absent.
    /// `false` when all numbers are taken; then the rest of the rows was not looked at.
    #[must_use]
    pub(super) fn insert_all(
        &mut self,
        keys: &EncodedKeys,
        rows: &[u32],
        mut each: impl FnMut(u32, Number, bool),
    ) -> bool {
        for rows in rows.chunks(STAGE) {
            self.touch(rows.iter().map(|row| keys.tags()[*row as usize]));
            for row in rows {
                let (tag, key) = keys.key(*row as usize);
                match self.find_or_insert(tag, key) {
                    Some((number, new)) => each(*row, number, new),
                    None => return false,
                }
            }
        }
        true
    }

    /// The number of a key, which is added if it is absent, and whether it was. `None` when all numbers are taken.
    fn find_or_insert(&mut self, tag: u32, key: &[u8]) -> Option<(Number, bool)> {
        let known = self.find(tag, key);
        if known != NO_NUMBER {
            return Some((known, false));
        }
        self.keys.accept(key, self.tags.len(), &self.vacant);
        let number = match self.vacant.pop() {
            Some(number) => number,
            None => {
                let next = Number::try_from(self.tags.len()).ok()?;
                if next == NO_NUMBER {
                    return None;
                }
                self.tags.push(tag);
                next
            }
        };
        self.tags[number as usize] = tag;
        self.keys.set(number, key);
        self.table.insert(tag, number);
        Some((number, true))
    }

    /// Forgets keys; their numbers will be given to others.
    pub(super) fn remove_all(&mut self, numbers: &[Number]) {
        for numbers in numbers.chunks(STAGE) {
            self.touch(numbers.iter().map(|number| self.tags[*number as usize]));
            for number in numbers {
                if self.table.remove(self.tags[*number as usize], *number) {
                    self.keys.clear(*number);
                    self.vacant.push(*number);
                }
            }
        }
    }

    /// Has the table's memory for these tags at hand soon.
    fn touch(&self, tags: impl Iterator<Item = u32>) {
        let read = tags.map(|tag| self.table.touch(tag));
        std::hint::black_box(read.fold(0, |all, entry| all ^ entry));
    }

    /// The key of a number in use.
    #[cfg(test)]
    fn key(&self, number: Number) -> &[u8] {
        self.keys.get(number)
    }

    /// Repacks key bytes and the table when most of what they hold is garbage. Whether it now starts from 0 again: all keys
    /// are gone, and so is the memory that their numbers took.
    pub(super) fn shrink(&mut self) -> bool {
        self.keys.repack(self.table.numbers());
        self.table.shrink();
        // Numbers are held elsewhere, so only a tail of vacant ones could be given back; no keys at all is the case that
        // matters (the peak is over).
        let empty = self.table.is_empty() && self.tags.capacity() > 1024;
        if empty {
            *self = Self::default();
        }
        empty
    }

    /// Bytes allocated.
    pub(super) fn memory(&self) -> usize {
        self.keys.memory()
            + self.table.memory()
            + (self.tags.capacity() + self.vacant.capacity()) * size_of::<u32>()
    }
}

/// The encoded keys, by number.
///
/// Keys of numbers and times all have one length, and then a key is where its number says. The first key of another
/// length moves all of them to an arena.
#[derive(Debug)]
enum KeyBytes {
    OneLength {
        /// `None` until the first key.
        length: Option<usize>,
        bytes: Vec<u8>,
    },
    Packed {
        refs: Vec<KeyRef>,
        arena: KeyArena,
    },
}

impl Default for KeyBytes {
    fn default() -> Self {
        Self::OneLength {
            length: None,
            bytes: Vec::new(),
        }
    }
}

impl KeyBytes {
    fn get(&self, number: Number) -> &[u8] {
        let number = number as usize;
        match self {
            Self::OneLength { length, bytes } => {
                let length = length.unwrap_or(0);
                &bytes[number * length..(number + 1) * length]
            }
            Self::Packed { refs, arena } => arena.get(refs[number]),
        }
    }

    /// Makes ready for a key: if it is of another length than all `count` keys before it, of which some are `vacant`, they
    /// move.
    fn accept(&mut self, key: &[u8], count: usize, vacant: &[Number]) {
        let Self::OneLength { length, .. } = self else {
            return;
        };
        if *length.get_or_insert(key.len()) == key.len() {
            return;
        }
        let mut arena = KeyArena::default();
        let refs: Vec<_> = (0..count)
            .map(|number| arena.push(self.get(number as Number)))
            .collect();
        for number in vacant {
            arena.release(refs[*number as usize]);
        }
        *self = Self::Packed { refs, arena };
    }

    /// Puts an accepted key at a vacant number, or at the next one.
    fn set(&mut self, number: Number, key: &[u8]) {
        let number = number as usize;
        match self {
            Self::OneLength { bytes, .. } => {
                let at = number * key.len();
                match bytes.get_mut(at..at + key.len()) {
                    Some(vacant) => vacant.copy_from_slice(key),
                    None => bytes.extend_from_slice(key),
                }
            }
            Self::Packed { refs, arena } => {
                let key = arena.push(key);
                match refs.get_mut(number) {
                    Some(vacant) => *vacant = key,
                    None => refs.push(key),
                }
            }
        }
    }

    /// A key is gone.
    fn clear(&mut self, number: Number) {
        if let Self::Packed { refs, arena } = self {
            arena.release(refs[number as usize]);
        }
    }

    /// Has the memory of these keys at hand soon.
    fn touch(&self, numbers: &[Number]) {
        let known = numbers.iter().filter(|number| **number != NO_NUMBER);
        let bytes = known.map(|number| self.get(*number).last().copied().unwrap_or_default());
        std::hint::black_box(bytes.fold(0, |all, byte| all ^ byte));
    }

    /// Copies the keys of the numbers in use to a new arena if most of the old one is garbage.
    fn repack(&mut self, used: impl Iterator<Item = Number>) {
        let Self::Packed { refs, arena } = self else {
            return;
        };
        if arena.wants_repack() {
            let old = std::mem::take(arena);
            for number in used {
                let key = &mut refs[number as usize];
                *key = arena.push(old.get(*key));
            }
        }
    }

    fn memory(&self) -> usize {
        match self {
            Self::OneLength { bytes, .. } => bytes.capacity(),
            Self::Packed { refs, arena } => refs.capacity() * size_of::<KeyRef>() + arena.memory(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of keys, new or not.
    fn insert(numbers: &mut KeyNumbers, keys: &[(u32, &[u8])]) -> Vec<(Number, bool)> {
        let rows: Vec<u32> = (0..keys.len() as u32).collect();
        let mut given = Vec::new();
        let done = numbers.insert_all(&EncodedKeys::of(keys), &rows, |row, number, new| {
            assert_eq!(row as usize, given.len());
            given.push((number, new));
        });
        assert!(done);
        given
    }

    fn find(numbers: &KeyNumbers, keys: &[(u32, &[u8])]) -> Vec<Number> {
        let mut found = vec![7];
        numbers.find_all(&EncodedKeys::of(keys), &mut found);
        found
    }

    #[test]
    fn keys_with_one_tag_are_told_apart() {
        let mut numbers = KeyNumbers::default();
        let given = insert(&mut numbers, &[(7, b"a"), (7, b"b"), (7, b"a")]);
        let [(a, true), (b, true), (again, false)] = given[..] else {
            panic!("{given:?}");
        };
        assert!(a != b && again == a);
        let asked: [(u32, &[u8]); 4] = [(7, b"b"), (7, b"a"), (7, b"c"), (8, b"a")];
        assert_eq!(find(&numbers, &asked), [b, a, NO_NUMBER, NO_NUMBER]);
        numbers.remove_all(&[a]);
        assert_eq!(find(&numbers, &asked), [b, NO_NUMBER, NO_NUMBER, NO_NUMBER]);
        let d = insert(&mut numbers, &[(9, b"d")]);
        assert_eq!(d, [(a, true)], "the number is used again");
    }

    #[test]
    fn a_key_of_another_length_moves_those_of_one_length() {
        let mut numbers = KeyNumbers::default();
        let keys: Vec<_> = (0..10_000_u32).map(|i| (i, i.to_be_bytes())).collect();
        let keys: Vec<(u32, &[u8])> = keys.iter().map(|(tag, key)| (*tag, &key[..])).collect();
        let given: Vec<Number> = insert(&mut numbers, &keys)
            .iter()
            .map(|(n, _)| *n)
            .collect();
        assert!(matches!(numbers.keys, KeyBytes::OneLength { .. }));
        numbers.remove_all(&given[..9_000]);
        let longer = insert(&mut numbers, &[(5, b"longer"), (6, b"")]);
        assert!(matches!(numbers.keys, KeyBytes::Packed { .. }));
        assert_eq!(numbers.key(longer[0].0), b"longer");
        assert_eq!(numbers.key(longer[1].0), b"");
        assert_eq!(find(&numbers, &keys[9_000..]), given[9_000..]);
        assert_eq!(find(&numbers, &keys[..1]), [NO_NUMBER]);
        numbers.remove_all(&given[9_000..]);
        numbers.shrink();
        assert!(numbers.memory() < 400_000, "{}", numbers.memory());
        assert_eq!(find(&numbers, &[(5, b"longer")]), [longer[0].0]);
    }

    #[test]
    fn the_empty_key_may_be_the_first() {
        let mut numbers = KeyNumbers::default();
        let empty = insert(&mut numbers, &[(0, b"")]);
        let longer = insert(&mut numbers, &[(1, b"longer")]);
        assert_eq!(
            find(&numbers, &[(0, b""), (1, b"longer")]),
            [empty[0].0, longer[0].0]
        );
    }

    #[test]
    fn keys_survive_the_repacking_of_their_bytes() {
        let mut numbers = KeyNumbers::default();
        let keys: Vec<_> = (0..20_000_u32)
            .map(|i| (i, format!("a key of some length, number {i}").into_bytes()))
            .collect();
        let keys: Vec<(u32, &[u8])> = keys.iter().map(|(tag, key)| (*tag, &key[..])).collect();
        let given: Vec<Number> = insert(&mut numbers, &keys)
            .iter()
            .map(|(n, _)| *n)
            .collect();
        let full = numbers.keys.memory();
        let (kept, gone): (Vec<usize>, Vec<usize>) = (0..20_000).partition(|i| i % 10 == 3);
        numbers.remove_all(&gone.iter().map(|i| given[*i]).collect::<Vec<_>>());
        numbers.shrink();
        let KeyBytes::Packed { arena, .. } = &numbers.keys else {
            panic!("{:?}", numbers.keys);
        };
        assert!(arena.memory() < full / 8, "{} of {full}", arena.memory());
        for i in kept {
            assert_eq!(find(&numbers, &keys[i..=i]), [given[i]]);
        }
        for i in gone {
            assert_eq!(find(&numbers, &keys[i..=i]), [NO_NUMBER]);
        }
    }

    #[test]
    fn chunks_are_freed_when_their_last_key_goes() {
        let mut numbers = KeyNumbers::default();
        let mut generations: Vec<Vec<Number>> = Vec::new();
        insert(&mut numbers, &[(0, b"short")]);
        for generation in 0..100_u32 {
            let ids = generation * 5_000..(generation + 1) * 5_000;
            let keys: Vec<_> = ids.map(|i| (i, i.to_be_bytes().repeat(10))).collect();
            let keys: Vec<(u32, &[u8])> = keys.iter().map(|(tag, key)| (*tag, &key[..])).collect();
            generations.push(
                insert(&mut numbers, &keys)
                    .iter()
                    .map(|(n, _)| *n)
                    .collect(),
            );
            if generations.len() > 2 {
                numbers.remove_all(&generations.remove(0));
            }
        }
        let live = 2 * 5_000 * 40;
        let memory = numbers.keys.memory();
        assert!(memory < 4 * live + (4 << 20), "{memory}");
    }
}
