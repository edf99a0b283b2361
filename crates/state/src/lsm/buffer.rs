//! The layers in memory above the tree: what is committed but not in the tree yet, and what the running batch changes.
use std::{collections::BTreeMap, iter::Peekable, ops::Bound, sync::Arc};

use lsm_tree::Slice;

use super::local::TreeRange;
use crate::Result;

/// Memory of an entry beyond its bytes: two slices, flags, and its share of a node, roughly.
const ENTRY_BYTES: usize = 96;

/// What is known of a key.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    pub(super) value: Option<Slice>,
    /// Whether the tree has it, alive or not: if so, its removal must be written there.
    pub(super) in_tree: bool,
}

/// A key that the running batch changed.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) now: Found,
    /// Whether it was there when the batch began.
    pub(super) existed: bool,
}

/// Keys of the committed layer.
pub(super) type Committed = BTreeMap<Slice, Found>;

/// A range of keys.
pub(super) type KeyRange = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// All keys that begin with `from`, or with something between `from` and `through`.
pub(super) fn keys_between(from: &[u8], through: &[u8]) -> KeyRange {
    let mut end = through.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return (Bound::Included(from.to_vec()), Bound::Excluded(end));
        }
    }
    (Bound::Included(from.to_vec()), Bound::Unbounded)
}

/// Both layers.
#[derive(Debug, Default)]
pub(super) struct WriteBuffer {
    /// Shared with snapshots in the making.
    pub(super) committed: Arc<Committed>,
    pub(super) pending: BTreeMap<Slice, Pending>,
    committed_bytes: usize,
    pending_bytes: usize,
}

impl WriteBuffer {
    /// What the layers say about a key, if anything.
    pub(super) fn find(&self, key: &[u8]) -> Option<&Found> {
        match self.pending.get(key) {
            Some(pending) => Some(&pending.now),
            None => self.committed.get(key),
        }
    }

    /// Writes or removes (`None`) a key of which `before` is known.
    pub(super) fn write(&mut self, key: &Slice, value: Option<Slice>, before: &Found) {
        let added = value.as_ref().map_or(0, |value| value.len());
        if let Some(pending) = self.pending.get_mut(key.as_ref()) {
            let former = pending.now.value.as_ref().map_or(0, |value| value.len());
            self.pending_bytes = self.pending_bytes + added - former;
            pending.now.value = value;
            return;
        }
        self.pending_bytes += key.len() + added + ENTRY_BYTES;
        let pending = Pending {
            now: Found {
                value,
                in_tree: before.in_tree,
            },
            existed: before.value.is_some(),
        };
        self.pending.insert(key.clone(), pending);
    }

    /// Forgets the running batch.
    pub(super) fn roll_back(&mut self) {
        self.pending.clear();
        self.pending_bytes = 0;
    }

    /// The running batch is committed.
    pub(super) fn promote(&mut self) {
        let committed = Arc::make_mut(&mut self.committed);
        let size = |key: &Slice, found: &Found| {
            key.len() + found.value.as_ref().map_or(0, |value| value.len()) + ENTRY_BYTES
        };
        for (key, Pending { now, .. }) in std::mem::take(&mut self.pending) {
            let (bytes, gone) = (size(&key, &now), now.value.is_none() && !now.in_tree);
            let former = match gone {
                true => committed.remove(&key),
                false => committed.insert(key.clone(), now),
            };
            self.committed_bytes += if gone { 0 } else { bytes };
            self.committed_bytes -= former.map_or(0, |former| size(&key, &former));
        }
        self.pending_bytes = 0;
    }

    /// The committed layer is in the tree.
    pub(super) fn flushed(&mut self) {
        let committed = std::mem::take(&mut self.committed);
        for (key, pending) in &mut self.pending {
            if let Some(found) = committed.get(key) {
                pending.now.in_tree = found.value.is_some();
            }
        }
        self.committed_bytes = 0;
    }

    /// Bytes of the committed layer.
    pub(super) fn committed_bytes(&self) -> usize {
        self.committed_bytes
    }

    /// Bytes of both layers.
    pub(super) fn bytes(&self) -> usize {
        self.committed_bytes + self.pending_bytes
    }

    /// The live keys of a range, ascending, over what the tree has of it.
    pub(super) fn live<'a>(
        &'a self,
        range: &KeyRange,
        tree: TreeRange,
    ) -> impl Iterator<Item = Result<(Slice, Slice, bool)>> + use<'a> {
        let bounds = (as_bytes(&range.0), as_bytes(&range.1));
        let pending = self.pending.range::<[u8], _>(bounds);
        let pending = pending.map(|(key, pending)| Ok((key.clone(), pending.now.clone())));
        let committed = self.committed.range::<[u8], _>(bounds);
        let committed = committed.map(|(key, found)| Ok((key.clone(), found.clone())));
        alive(Shadowed::new(
            Shadowed::new(from_tree(tree), committed),
            pending,
        ))
    }
}

/// The live keys of a captured layer over what the tree had at the time.
pub(super) fn live_of<'a>(
    committed: &'a Committed,
    tree: TreeRange,
    range: &KeyRange,
) -> impl Iterator<Item = Result<(Slice, Slice, bool)>> + use<'a> {
    let bounds = (as_bytes(&range.0), as_bytes(&range.1));
    let committed = committed.range::<[u8], _>(bounds);
    let committed = committed.map(|(key, found)| Ok((key.clone(), found.clone())));
    alive(Shadowed::new(from_tree(tree), committed))
}

fn as_bytes(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}

type Item = Result<(Slice, Found)>;

fn from_tree(tree: TreeRange) -> impl Iterator<Item = Item> {
    tree.map(|pair| {
        pair.map(|(key, value)| {
            let found = Found {
                value: Some(value),
                in_tree: true,
            };
            (key, found)
        })
    })
}

fn alive(items: impl Iterator<Item = Item>) -> impl Iterator<Item = Result<(Slice, Slice, bool)>> {
    items.filter_map(|item| match item {
        Ok((key, found)) => found.value.map(|value| Ok((key, value, found.in_tree))),
        Err(error) => Some(Err(error)),
    })
}

/// Two ascending sequences as one; of equal keys the upper one counts.
struct Shadowed<L: Iterator, U: Iterator> {
    lower: Peekable<L>,
    upper: Peekable<U>,
}

impl<L: Iterator<Item = Item>, U: Iterator<Item = Item>> Shadowed<L, U> {
    fn new(lower: L, upper: U) -> Self {
        Self {
            lower: lower.peekable(),
            upper: upper.peekable(),
        }
    }
}

impl<L: Iterator<Item = Item>, U: Iterator<Item = Item>> Iterator for Shadowed<L, U> {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        let (Some(Ok((lower, _))), Some(Ok((upper, _)))) = (self.lower.peek(), self.upper.peek())
        else {
            // An error comes out as soon as it is met; behind the end of one is the rest of the other.
            let lower_first =
                matches!(self.lower.peek(), Some(Err(_))) || self.upper.peek().is_none();
            return match lower_first {
                true => self.lower.next(),
                false => self.upper.next(),
            };
        };
        match lower.as_ref().cmp(upper.as_ref()) {
            std::cmp::Ordering::Less => self.lower.next(),
            std::cmp::Ordering::Greater => self.upper.next(),
            std::cmp::Ordering::Equal => {
                self.lower.next();
                self.upper.next()
            }
        }
    }
}
