//! Sorted runs in memory: what the layers above the tree are made of.
//!
//! A run is written once, in key order, into one buffer: an entry's key with its value behind it, and a slot that says
//! where they are. So an entry costs its bytes and 16 more, reading a run in order touches memory in order, and a run can
//! be shared with a snapshot that is being written. Of a key in several runs the newest counts, as in the tree below.
use std::{
    cmp::Ordering,
    hash::BuildHasher,
    ops::Range,
    sync::{Arc, OnceLock},
};

use hashbrown::{DefaultHashBuilder, HashTable};

use super::buffer::KeyRange;

/// Entries of a run to one key looked up from which going through the run costs more than an index.
const SPARSE: usize = 8;

/// What is known of a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// Whether it has a value.
    pub(super) alive: bool,
    /// Whether it had one when the running batch began.
    pub(super) existed: bool,
    /// Whether the tree has one: if so, a removal must be written there.
    pub(super) in_tree: bool,
}

impl Known {
    /// Of a key that the tree alone knows.
    pub(super) fn of_tree(present: bool) -> Self {
        Self {
            alive: present,
            existed: present,
            in_tree: present,
        }
    }
}

/// A run of a layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layered<'a> {
    pub(super) run: &'a Run,
    /// Whether the layer is on its way to the tree, which will then have what is alive in it.
    pub(super) flushing: bool,
}

impl Layered<'_> {
    /// What is known of a key of this layer once the layer is in the tree: nothing that is changed above it gets there
    /// before.
    pub(super) fn known(self, known: Known) -> Known {
        match self.flushing {
            true => Known {
                in_tree: known.alive,
                ..known
            },
            false => known,
        }
    }
}

/// An entry of a run. The value of a removed key is empty.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
    pub(super) known: Known,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    /// Where the key begins; the value follows it and ends where the next slot begins.
    start: usize,
    /// The tree takes no longer keys.
    key_bytes: u16,
    known: Known,
}

/// As `a.cmp(b)`. Keys of a few numbers are short and equally long: then two words decide, and nothing is called.
fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let ends = |key: &[u8]| -> Option<(u64, u64)> {
        let first = u64::from_be_bytes(*key.first_chunk()?);
        Some((first, u64::from_be_bytes(*key.last_chunk()?)))
    };
    match (ends(a), ends(b)) {
        // The words overlap where the first is equal.
        (Some(a_ends), Some(b_ends)) if a.len() == b.len() && a.len() <= 16 => a_ends.cmp(&b_ends),
        _ => a.cmp(b),
    }
}

/// Entries in key order, each key once.
#[derive(Debug, Default, Clone)]
pub(super) struct Run {
    slots: Vec<Slot>,
    bytes: Vec<u8>,
    /// Made when few keys are looked up in many entries for the first time.
    index: OnceLock<Index>,
}

impl Run {
    /// An empty run with room for entries of so many bytes in all.
    pub(super) fn with_capacity(entries: usize, bytes: usize) -> Self {
        Self {
            slots: Vec::with_capacity(entries),
            bytes: Vec::with_capacity(bytes),
            index: OnceLock::new(),
        }
    }

    /// Adds the next entry, whose key is greater than all before.
    pub(super) fn push(&mut self, entry: Entry<'_>) {
        debug_assert!(self.len() == 0 || self.key(self.len() - 1) < entry.key);
        self.slots.push(Slot {
            start: self.bytes.len(),
            key_bytes: entry.key.len() as u16,
            known: entry.known,
        });
        self.bytes.extend_from_slice(entry.key);
        self.bytes.extend_from_slice(entry.value);
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Changes what is known of every key.
    pub(super) fn update(&mut self, change: impl Fn(&mut Known)) {
        for slot in &mut self.slots {
            change(&mut slot.known);
        }
    }

    /// Memory held.
    pub(super) fn memory(&self) -> usize {
        let index = self
            .index
            .get()
            .map_or(0, |i| i.positions.allocation_size());
        self.slots.capacity() * size_of::<Slot>() + self.bytes.capacity() + index
    }

    fn key(&self, at: usize) -> &[u8] {
        let Slot {
            start, key_bytes, ..
        } = self.slots[at];
        &self.bytes[start..start + usize::from(key_bytes)]
    }

    fn entry(&self, at: usize) -> Entry<'_> {
        let Slot {
            start,
            key_bytes,
            known,
        } = self.slots[at];
        let end = self.slots.get(at + 1).map_or(self.bytes.len(), |s| s.start);
        let (key, value) = self.bytes[start..end].split_at(usize::from(key_bytes));
        Entry { key, value, known }
    }

    /// The first entry from `from` on whose key is not less than `key`. Cheap if it is near.
    fn seek(&self, from: usize, key: &[u8]) -> usize {
        // All before `low` are less. The steps double until one goes too far.
        let (mut low, mut step) = (from, 1);
        while low + step <= self.len() && compare(self.key(low + step - 1), key).is_lt() {
            low += step;
            step *= 2;
        }
        let mut high = (low + step).min(self.len() + 1) - 1;
        while low < high {
            let middle = low + (high - low) / 2;
            match compare(self.key(middle), key).is_lt() {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low
    }

    /// Finds some of `keys` keys, which are asked for in ascending order: by going through the run if they are many for
    /// it, and through its index if they are few.
    pub(super) fn finder<'a>(&'a self, keys: usize) -> impl FnMut(&[u8]) -> Option<Entry<'a>> {
        let sparse = keys * SPARSE < self.len();
        let index = sparse.then(|| self.index.get_or_init(|| Index::of(self)));
        let mut at = 0;
        move |key| match index {
            Some(index) => index.find(self, key).map(|at| self.entry(at)),
            None => {
                at = self.seek(at, key);
                let entry = (at < self.len()).then(|| self.entry(at))?;
                compare(entry.key, key).is_eq().then_some(entry)
            }
        }
    }

    fn positions(&self, range: &KeyRange) -> Range<usize> {
        let end = match &range.end {
            Some(end) => self.seek(0, end),
            None => self.len(),
        };
        self.seek(0, &range.start).min(end)..end
    }
}

/// Where the entries of a run are, by hash.
#[derive(Debug, Clone)]
struct Index {
    positions: HashTable<u32>,
    /// Seeded anew for every run: keys come from outside and must not choose their collisions.
    hasher: DefaultHashBuilder,
}

impl Index {
    fn of(run: &Run) -> Self {
        let (mut positions, hasher) = (
            HashTable::with_capacity(run.len()),
            DefaultHashBuilder::default(),
        );
        let hash = |at: &u32| hasher.hash_one(run.key(*at as usize));
        for at in 0..run.len() as u32 {
            positions.insert_unique(hash(&at), at, hash);
        }
        Self { positions, hasher }
    }

    fn find(&self, run: &Run, key: &[u8]) -> Option<usize> {
        let is_it = |at: &u32| run.key(*at as usize) == key;
        let found = self.positions.find(self.hasher.hash_one(key), is_it);
        found.map(|at| *at as usize)
    }
}

/// Runs, oldest first, few for their entries: whenever a run comes that is not much smaller than those before it, they
/// become one. An entry is copied as many times as its run doubles.
#[derive(Debug, Default, Clone)]
pub(super) struct Runs(Vec<Arc<Run>>);

impl Runs {
    /// A run may be this many times longer than all newer ones together and still be merged with them.
    const MERGED_LENGTH: usize = 2;

    /// Adds the newest run. What becomes one with the oldest run keeps only entries that are `wanted` at the bottom.
    pub(super) fn push(&mut self, run: Run, wanted: impl Fn(&Known) -> bool) {
        if run.len() == 0 {
            return;
        }
        let mut entries = run.len();
        self.0.push(Arc::new(run));
        let mut from = self.0.len() - 1;
        while let Some(older) = from.checked_sub(1).and_then(|older| self.0.get(older))
            && older.len() <= Self::MERGED_LENGTH * entries
        {
            entries += older.len();
            from -= 1;
        }
        let merged = self.0.split_off(from);
        let at_bottom = from == 0;
        if let Some(run) = merge(merged, |known| !at_bottom || wanted(known)) {
            self.0.push(run);
        }
    }

    /// All as one run.
    pub(super) fn into_one(self) -> Run {
        let run = merge(self.0, |_| true);
        run.map(Arc::unwrap_or_clone).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn newest_first(&self) -> impl Iterator<Item = &Run> {
        self.0.iter().rev().map(Arc::as_ref)
    }

    pub(super) fn memory(&self) -> usize {
        self.0.iter().map(|run| run.memory()).sum()
    }

    /// Changes what is known of every key.
    pub(super) fn update(&mut self, change: impl Fn(&mut Known)) {
        for run in &mut self.0 {
            Arc::make_mut(run).update(&change);
        }
    }
}

fn merge(mut runs: Vec<Arc<Run>>, keep: impl Fn(&Known) -> bool) -> Option<Arc<Run>> {
    if runs.len() < 2 {
        return runs.pop();
    }
    let entries = runs.iter().map(|run| run.len()).sum();
    let bytes = runs.iter().map(|run| run.bytes.len()).sum();
    let mut merged = Run::with_capacity(entries, bytes);
    let all = runs.iter().rev().map(|run| (layered(run), 0..run.len()));
    let all = Merge::new(all);
    for entry in all.filter(|entry| keep(&entry.known)) {
        merged.push(entry);
    }
    drop(runs);
    merged.slots.shrink_to_fit();
    merged.bytes.shrink_to_fit();
    (merged.len() > 0).then(|| Arc::new(merged))
}

/// A run whose layer says nothing of what is known.
fn layered(run: &Run) -> Layered<'_> {
    Layered {
        run,
        flushing: false,
    }
}

/// The entries of several runs in key order; of equal keys the newest.
#[derive(Clone)]
pub(super) struct Merge<'a> {
    /// Newest first.
    cursors: Vec<Cursor<'a>>,
}

#[derive(Clone)]
struct Cursor<'a> {
    layer: Layered<'a>,
    rest: Range<usize>,
    key: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn new((layer, rest): (Layered<'a>, Range<usize>)) -> Option<Self> {
        let key = (!rest.is_empty()).then(|| layer.run.key(rest.start))?;
        Some(Self { layer, rest, key })
    }

    /// Whether there is another entry.
    fn advance(&mut self) -> bool {
        self.rest.start += 1;
        let more = !self.rest.is_empty();
        if more {
            self.key = self.layer.run.key(self.rest.start);
        }
        more
    }
}

impl<'a> Merge<'a> {
    fn new(runs: impl Iterator<Item = (Layered<'a>, Range<usize>)>) -> Self {
        Self {
            cursors: runs.filter_map(Cursor::new).collect(),
        }
    }

    /// The entries of runs, newest first, in a range of keys.
    pub(super) fn of(runs: impl Iterator<Item = &'a Run>, range: &KeyRange) -> Self {
        Self::of_layers(runs.map(layered), range)
    }

    /// The entries of layers, newest first, in a range of keys.
    pub(super) fn of_layers(runs: impl Iterator<Item = Layered<'a>>, range: &KeyRange) -> Self {
        Self::new(runs.map(|layer| (layer, layer.run.positions(range))))
    }
}

impl<'a> Iterator for Merge<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let mut least = 0;
        let mut next = 1;
        while let Some(cursor) = self.cursors.get(next) {
            match compare(cursor.key, self.cursors[least].key) {
                Ordering::Less => least = next,
                Ordering::Greater => {}
                // A newer run has the key.
                Ordering::Equal => {
                    if !self.cursors[next].advance() {
                        self.cursors.remove(next);
                        continue;
                    }
                }
            }
            next += 1;
        }
        let cursor = self.cursors.get_mut(least)?;
        let layer = cursor.layer;
        let entry = layer.run.entry(cursor.rest.start);
        if !cursor.advance() {
            self.cursors.remove(least);
        }
        Some(Entry {
            known: layer.known(entry.known),
            ..entry
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// A run of keys with their values, or removals.
    fn run(entries: &BTreeMap<Vec<u8>, Option<u8>>) -> Run {
        let mut run = Run::default();
        for (key, value) in entries {
            run.push(Entry {
                key,
                value: value.as_slice(),
                known: Known {
                    alive: value.is_some(),
                    ..Known::default()
                },
            });
        }
        run
    }

    fn key() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            prop::collection::vec(0..4_u8, 0..4),
            // Of one length, which is compared in words.
            (0..300_u64).prop_map(|n| [&[1][..], &n.to_be_bytes()].concat()),
        ]
    }

    proptest! {
        #[test]
        fn keys_compare_as_their_bytes(a in key(), b in key()) {
            prop_assert_eq!(compare(&a, &b), a.cmp(&b));
        }

        #[test]
        fn runs_are_as_one_map(
            batches in prop::collection::vec(
                prop::collection::btree_map(key(), any::<Option<u8>>(), 0..40), 0..12),
            asked in prop::collection::btree_set(key(), 0..40),
            from in key(),
        ) {
            let (mut runs, mut model) = (Runs::default(), BTreeMap::new());
            for batch in batches {
                runs.push(run(&batch), |known| known.alive);
                model.extend(batch);
            }
            let live = |merge: Merge<'_>| -> Vec<(Vec<u8>, Vec<u8>)> {
                let live = merge.filter(|entry| entry.known.alive);
                live.map(|entry| (entry.key.to_vec(), entry.value.to_vec())).collect()
            };
            let range = KeyRange { start: from.clone(), end: None };
            let expected: Vec<_> = model.range(from..).filter_map(|(key, value)| {
                Some((key.clone(), vec![(*value)?]))
            }).collect();
            prop_assert_eq!(live(Merge::of(runs.newest_first(), &range)), expected);

            // Through the run, and through its index.
            for keys in [usize::MAX / SPARSE, 0] {
                let mut finders: Vec<_> = runs.newest_first().map(|run| run.finder(keys)).collect();
                for key in &asked {
                    let found = finders.iter_mut().find_map(|find| find(key));
                    let value = found.filter(|entry| entry.known.alive).map(|entry| entry.value[0]);
                    prop_assert_eq!(value, model.get(key).copied().flatten());
                }
            }
            let one = Runs(vec![Arc::new(runs.into_one())]);
            prop_assert_eq!(
                live(Merge::of(one.newest_first(), &KeyRange::of(&[]))).len(),
                model.values().flatten().count()
            );
        }
    }
}
