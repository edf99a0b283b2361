//! The layers in memory above the tree: what the running batch changes, what is committed, and what of that is on its way
//! to the tree.
use std::iter::Peekable;

use lsm_tree::Slice;

use super::{
    local::TreeRange,
    run::{Entry, Known, Layered, Merge, Run, Runs},
};
use crate::Result;

/// A range of keys, without its end.
#[derive(Debug, Clone)]
pub(super) struct KeyRange {
    pub(super) start: Vec<u8>,
    /// `None` if there is no greater key.
    pub(super) end: Option<Vec<u8>>,
}

impl KeyRange {
    /// All keys that begin with `from`, or with something between `from` and `through`.
    pub(super) fn between(from: &[u8], through: &[u8]) -> Self {
        let (start, mut end) = (from.to_vec(), through.to_vec());
        while let Some(last) = end.pop() {
            if let Some(next) = last.checked_add(1) {
                end.push(next);
                let end = Some(end);
                return Self { start, end };
            }
        }
        Self { start, end: None }
    }

    /// All keys that begin with `head`.
    pub(super) fn of(head: &[u8]) -> Self {
        Self::between(head, head)
    }
}

/// The layers.
#[derive(Debug, Default)]
pub(super) struct WriteBuffer {
    /// What is being written to the tree, in which it does not change until all of it is there.
    flushing: Runs,
    /// Shared with snapshots in the making. Of its keys those are alive that existed.
    committed: Runs,
    pending: Runs,
}

impl WriteBuffer {
    /// Whether the running batch has changed anything.
    pub(super) fn has_changes(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Adds changes of the running batch, newer than all before.
    pub(super) fn write(&mut self, changes: Run) {
        // A removal stays whatever it removes: it shadows the committed layer.
        self.pending.push(changes, |_| true);
    }

    /// Forgets the running batch.
    pub(super) fn roll_back(&mut self) {
        self.pending = Runs::default();
    }

    /// Makes one run of the running batch's changes.
    pub(super) fn settle(&mut self) {
        let changes = std::mem::take(&mut self.pending).into_one();
        self.pending.push(changes, |_| true);
    }

    /// The running batch is committed.
    pub(super) fn promote(&mut self) {
        let mut changes = std::mem::take(&mut self.pending).into_one();
        changes.update(|known| known.existed = known.alive);
        let wanted = |known: &Known| known.alive || known.in_tree;
        self.committed.push(changes, wanted);
    }

    /// The committed layer, which is on its way to the tree from now on. The one before it has arrived.
    pub(super) fn begin_flush(&mut self) -> Runs {
        debug_assert!(self.flushing.is_empty());
        self.flushing = std::mem::take(&mut self.committed);
        // The tree has then exactly what there was when the running batch began.
        self.pending.update(|known| known.in_tree = known.existed);
        self.flushing.clone()
    }

    /// What was on its way is in the tree.
    pub(super) fn flushed(&mut self) {
        self.flushing = Runs::default();
    }

    /// What is committed and not known to be in the tree, as it is now: newer layer, older layer.
    pub(super) fn committed(&self) -> [Runs; 2] {
        [self.committed.clone(), self.flushing.clone()]
    }

    /// The runs of all layers.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = Layered<'_>> {
        let above = self.pending.newest_first();
        let above = above.chain(self.committed.newest_first());
        let above = above.map(|run| Layered {
            run,
            flushing: false,
        });
        let below = self.flushing.newest_first();
        above.chain(below.map(|run| Layered {
            run,
            flushing: true,
        }))
    }

    /// Bytes of the committed layer.
    pub(super) fn committed_bytes(&self) -> usize {
        self.committed.memory()
    }

    /// Bytes of all layers.
    pub(super) fn bytes(&self) -> usize {
        self.flushing.memory() + self.committed.memory() + self.pending.memory()
    }

    /// The running batch's changes in a range.
    pub(super) fn changes(&self, range: &KeyRange) -> Merge<'_> {
        Merge::of(self.pending.newest_first(), range)
    }

    /// The live keys of a range, ascending, over what the tree has of it.
    pub(super) fn live(&self, range: &KeyRange, tree: TreeRange) -> LiveEntries<'_> {
        LiveEntries::new(Merge::of_layers(self.newest_first(), range), tree)
    }
}

/// A live key of the layers or the tree.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) key: Slice,
    pub(super) value: Slice,
    pub(super) known: Known,
}

impl Live {
    pub(super) fn pair(&self) -> (&[u8], &[u8]) {
        (&self.key, &self.value)
    }
}

impl From<Entry<'_>> for Live {
    fn from(Entry { key, value, known }: Entry<'_>) -> Self {
        let (key, value) = (key.into(), value.into());
        Self { key, value, known }
    }
}

/// Live keys of the layers over those of the tree, ascending.
pub(super) struct LiveEntries<'a> {
    layers: Peekable<Merge<'a>>,
    tree: Peekable<TreeRange>,
}

impl<'a> LiveEntries<'a> {
    pub(super) fn new(layers: Merge<'a>, tree: TreeRange) -> Self {
        Self {
            layers: layers.peekable(),
            tree: tree.peekable(),
        }
    }

    /// The tree's next entry, if no layer has one before it or instead of it.
    fn next_of_tree(&mut self) -> Option<Result<Live>> {
        if let (Some(entry), Some(Ok((key, _)))) = (self.layers.peek(), self.tree.peek())
            && entry.key <= key.as_ref()
        {
            let shadowed = entry.key == key.as_ref();
            self.tree.next_if(|_| shadowed);
            return None;
        }
        let known = Known::of_tree(true);
        let pair = self.tree.next()?;
        Some(pair.map(|(key, value)| Live { key, value, known }))
    }
}

impl Iterator for LiveEntries<'_> {
    type Item = Result<Live>;

    fn next(&mut self) -> Option<Result<Live>> {
        loop {
            if let Some(live) = self.next_of_tree() {
                return Some(live);
            }
            let entry = self.layers.next()?;
            if entry.known.alive {
                return Some(Ok(entry.into()));
            }
        }
    }
}
