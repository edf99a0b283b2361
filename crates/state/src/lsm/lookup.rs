//! Looking keys up: layer by layer, then in the tree, all in key order.
use std::{iter::Peekable, sync::Arc};

use lsm_tree::Slice;

use super::{
    buffer::{KeyRange, WriteBuffer},
    codec::Encoded,
    local::{LocalTree, TreeRange},
    run::{Entry, Known, Run, Runs},
};
use crate::Result;

/// Entries of the tree to one key asked for from which on keys are looked up one by one; with fewer, going through the tree
/// once touches little that nobody asked for. The figure is a guess: no benchmark has told it.
const SPARSE: u64 = 8;

/// What there is under a key.
#[derive(Debug, Default)]
pub(super) struct Found<'a> {
    pub(super) known: Known,
    value: Value<'a>,
}

#[derive(Debug, Default)]
enum Value<'a> {
    #[default]
    None,
    InMemory(&'a [u8]),
    OfTree(Slice),
}

impl Found<'_> {
    /// The value, if the key is alive and values were asked for.
    pub(super) fn value(&self) -> Option<&[u8]> {
        match &self.value {
            Value::InMemory(value) if self.known.alive => Some(value),
            Value::OfTree(value) => Some(value),
            Value::InMemory(_) | Value::None => None,
        }
    }
}

/// What a look-up is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All that is known.
    Values,
    /// Whether the keys are there.
    Presence,
}

/// What the tree said of keys that the running batch asked for: most are asked for again, to be written. Without values,
/// which are written anew.
pub(super) type Seen = Runs;

/// What there is under each of some keys in ascending order.
pub(super) fn look_up<'a>(
    keys: &Encoded,
    wanted: Wanted,
    buffer: &'a WriteBuffer,
    seen: &mut Seen,
    tree: &Arc<LocalTree>,
) -> Result<Vec<Found<'a>>> {
    let mut found = Vec::new();
    found.resize_with(keys.len(), Found::default);
    // The places of keys that nothing is known of yet.
    let mut open: Vec<u32> = (0..keys.len() as u32).collect();
    for layer in buffer.newest_first() {
        let mut find = layer.run.finder(open.len());
        open.retain(|place| {
            let Some(Entry { known, value, .. }) = find(keys.get(*place)) else {
                return true;
            };
            found[*place as usize] = Found {
                known: layer.known(known),
                value: Value::InMemory(value),
            };
            false
        });
    }
    if tree.is_empty() {
        return Ok(found);
    }
    for run in seen.newest_first() {
        let mut find = run.finder(open.len());
        open.retain(|place| {
            let Some(Entry { known, .. }) = find(keys.get(*place)) else {
                return true;
            };
            found[*place as usize].known = known;
            known.alive && wanted == Wanted::Values
        });
    }
    let mut read = Run::default();
    let mut of_tree = Finder::new(tree, keys, &open);
    for place in open {
        let key = keys.get(place);
        let value = of_tree.find(key)?;
        let known = Known::of_tree(value.is_some());
        read.push(Entry {
            key,
            value: &[],
            known,
        });
        let value = value.map_or(Value::None, Value::OfTree);
        found[place as usize] = Found { known, value };
    }
    seen.push(read, |_| true);
    Ok(found)
}

/// Finds keys of the tree, which are asked for in ascending order.
enum Finder<'a> {
    OneByOne(&'a LocalTree),
    /// Going through the tree's part of them.
    InOrder(Peekable<TreeRange>),
}

impl<'a> Finder<'a> {
    /// For the keys at some places.
    fn new(tree: &'a Arc<LocalTree>, keys: &Encoded, places: &[u32]) -> Self {
        let dense = places.len() as u64 * SPARSE >= tree.entries();
        match (places.first(), places.last()) {
            (Some(first), Some(last)) if dense => {
                let range = KeyRange::between(keys.get(*first), keys.get(*last));
                Self::InOrder(tree.range(&range).peekable())
            }
            _ => Self::OneByOne(tree),
        }
    }

    fn find(&mut self, key: &[u8]) -> Result<Option<Slice>> {
        let pairs = match self {
            Self::OneByOne(tree) => return tree.get(key),
            Self::InOrder(pairs) => pairs,
        };
        let is_before = |pair: &Result<(Slice, Slice)>| {
            let pair = pair.as_ref();
            pair.is_ok_and(|(found, _)| found.as_ref() < key)
        };
        while pairs.next_if(is_before).is_some() {}
        let is_it = |pair: &Result<(Slice, Slice)>| {
            let pair = pair.as_ref();
            pair.map_or(true, |(found, _)| found.as_ref() == key)
        };
        let pair = pairs.next_if(is_it).transpose()?;
        Ok(pair.map(|(_, value)| value))
    }
}
