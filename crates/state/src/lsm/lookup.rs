//! Looking keys up: layer by layer, then in the tree, all in key order.
use lsm_tree::Slice;

use super::{
    buffer::WriteBuffer,
    codec::Encoded,
    local::LocalTree,
    run::{Entry, Known, Run, Runs},
};
use crate::Result;

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
    tree: &LocalTree,
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
    for place in open {
        let key = keys.get(place);
        let value = tree.get(key)?;
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
