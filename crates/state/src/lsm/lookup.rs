//! Looking keys up: layer by layer, then in the tree, all in key order.
use std::{iter::Peekable, ops::Range, sync::Arc};

use lsm_tree::Slice;

use super::{
    buffer::{KeyRange, WriteBuffer},
    codec::Encoded,
    local::{LocalTree, TreeRange},
    run::{Entry, Known},
};
use crate::Result;

/// Entries of the tree to one key asked for from which on keys are looked up one by one: at about this many a look-up costs
/// what going through the entries does (`large_state`, 3 M keys: equal at 7, at 20 going through takes half as long again).
const SPARSE: u64 = 8;

/// What there is under each of some keys.
#[derive(Debug, Default)]
pub(super) struct Found<'a> {
    pub(super) known: Vec<Known>,
    /// Without values if nobody wants them.
    values: Vec<Value<'a>>,
    /// Copied, so that a value does not hold the block around it.
    of_tree: Vec<u8>,
}

#[derive(Debug, Clone, Default)]
enum Value<'a> {
    #[default]
    None,
    InMemory(&'a [u8]),
    OfTree(Range<usize>),
}

impl Found<'_> {
    /// The values of the keys that have one, in order, if values were wanted.
    pub(super) fn values(&self) -> impl Iterator<Item = &[u8]> {
        self.values.iter().filter_map(|value| match value {
            Value::None => None,
            Value::InMemory(value) => Some(*value),
            Value::OfTree(place) => self.of_tree.get(place.clone()),
        })
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

/// What there is under each of some keys in ascending order.
pub(super) fn look_up<'a>(
    keys: &Encoded,
    wanted: Wanted,
    buffer: &'a WriteBuffer,
    tree: &Arc<LocalTree>,
) -> Result<Found<'a>> {
    let mut found = Found {
        known: vec![Known::default(); keys.len()],
        ..Found::default()
    };
    if wanted == Wanted::Values {
        found.values = vec![Value::None; keys.len()];
    }
    // The places of keys that nothing is known of yet.
    let mut open: Vec<u32> = (0..keys.len() as u32).collect();
    for layer in buffer.newest_first() {
        let mut find = layer.run.finder(open.len());
        open.retain(|place| {
            let Some(Entry { known, value, .. }) = find(keys.get(*place)) else {
                return true;
            };
            let place = *place as usize;
            found.known[place] = layer.known(known);
            if wanted == Wanted::Values && known.alive {
                found.values[place] = Value::InMemory(value);
            }
            false
        });
    }
    if tree.is_empty() {
        return Ok(found);
    }
    let mut of_tree = Finder::new(tree, keys, &open);
    for place in open {
        let value = of_tree.find(keys.get(place))?;
        let place = place as usize;
        found.known[place] = Known::of_tree(value.is_some());
        if let (Some(value), Wanted::Values) = (value, wanted) {
            let start = found.of_tree.len();
            found.of_tree.extend_from_slice(&value);
            found.values[place] = Value::OfTree(start..found.of_tree.len());
        }
    }
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
