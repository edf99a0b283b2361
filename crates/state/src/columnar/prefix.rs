//! Groups of keys that share their first columns, for `prefix_scan`.
//!
//! `arrow-row` encodes column after column, so the encoding of the first columns is a prefix of the
//! encoding of the key: a group needs no bytes of its own, it compares with the key of any member.
use arrow::array::ArrayRef;
use hashbrown::HashTable;

use super::{
    index::{KeyIndex, SlotId, table_hash},
    keys::{EncodedKeys, KeyEncoder},
};
use crate::{Result, schema::StorageSchema};

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    group: u32,
    position: u32,
}

#[derive(Debug, Default)]
struct Group {
    tag: u32,
    prefix_len: u32,
    members: Vec<SlotId>,
}

/// Prefix → slots.
#[derive(Debug)]
pub(super) struct PrefixIndex {
    encoder: KeyEncoder,
    /// Prefixes of the keys of the running `put`, or of the running `prefix_scan`.
    encoded: EncodedKeys,
    /// (tag, group number).
    table: HashTable<(u32, u32)>,
    groups: Vec<Group>,
    vacant: Vec<u32>,
    /// By slot number; stale where the slot is vacant.
    places: Vec<Place>,
    /// Capacity of all member lists, kept for the memory metric.
    capacity: usize,
}

impl PrefixIndex {
    pub(super) fn try_new(schema: &StorageSchema) -> Result<Self> {
        Ok(Self {
            encoder: KeyEncoder::try_new(schema, schema.asked.prefix)?,
            encoded: EncodedKeys::default(),
            table: HashTable::new(),
            groups: Vec::new(),
            vacant: Vec::new(),
            places: Vec::new(),
            capacity: 0,
        })
    }

    /// Announces the (normalized) key columns whose rows `insert` will refer to.
    pub(super) fn begin_insert(&mut self, key: &[ArrayRef], rows: usize) -> Result<()> {
        let prefix = key.get(..self.encoder.columns()).unwrap_or(key);
        self.encoder.encode(prefix, rows, &mut self.encoded)
    }

    /// Files a new slot whose key is that row of the announced columns.
    pub(super) fn insert(&mut self, slot: SlotId, row: usize, index: &KeyIndex) {
        let (tag, prefix) = self.encoded.key(row);
        let group = match lookup(&self.table, &self.groups, index, tag, prefix) {
            Some(group) => group,
            None => {
                let prefix_len = prefix.len() as u32;
                let group = self.vacant.pop().unwrap_or_else(|| {
                    self.groups.push(Group::default());
                    (self.groups.len() - 1) as u32
                });
                let fresh = &mut self.groups[group as usize];
                (fresh.tag, fresh.prefix_len) = (tag, prefix_len);
                self.table
                    .insert_unique(table_hash(tag), (tag, group), |(tag, _)| table_hash(*tag));
                group
            }
        };
        let members = &mut self.groups[group as usize].members;
        if slot as usize >= self.places.len() {
            self.places.resize(slot as usize + 1, Place::default());
        }
        self.places[slot as usize] = Place {
            group,
            position: members.len() as u32,
        };
        self.capacity -= members.capacity();
        members.push(slot);
        self.capacity += members.capacity();
    }

    /// Takes a filed slot out.
    pub(super) fn remove(&mut self, slot: SlotId) {
        let Place {
            group: number,
            position,
        } = self.places[slot as usize];
        let group = &mut self.groups[number as usize];
        group.members.swap_remove(position as usize);
        if let Some(moved) = group.members.get(position as usize) {
            self.places[*moved as usize].position = position;
        }
        if group.members.is_empty() {
            self.capacity -= group.members.capacity();
            group.members = Vec::new();
            let found = self
                .table
                .find_entry(table_hash(group.tag), |(_, g)| *g == number);
            if let Ok(entry) = found {
                entry.remove();
                self.vacant.push(number);
            }
        }
    }

    /// Calls `each(row, slot)` for every key that starts with the row-th prefix.
    pub(super) fn find(
        &mut self,
        columns: Vec<ArrayRef>,
        rows: usize,
        index: &KeyIndex,
        mut each: impl FnMut(u32, SlotId),
    ) -> Result<()> {
        let columns = self.encoder.normalize(columns)?;
        self.encoder.encode(&columns, rows, &mut self.encoded)?;
        for row in 0..self.encoded.len() {
            let (tag, prefix) = self.encoded.key(row);
            if let Some(group) = lookup(&self.table, &self.groups, index, tag, prefix) {
                let members = &self.groups[group as usize].members;
                members.iter().for_each(|slot| each(row as u32, *slot));
            }
        }
        Ok(())
    }

    /// Bytes allocated.
    pub(super) fn memory(&self) -> usize {
        self.table.allocation_size()
            + self.groups.capacity() * size_of::<Group>()
            + self.places.capacity() * size_of::<Place>()
            + self.vacant.capacity() * size_of::<u32>()
            + self.capacity * size_of::<SlotId>()
            + self.encoded.memory()
    }
}

fn lookup(
    table: &HashTable<(u32, u32)>,
    groups: &[Group],
    index: &KeyIndex,
    tag: u32,
    prefix: &[u8],
) -> Option<u32> {
    let same = |(entry_tag, group): &(u32, u32)| {
        let group = &groups[*group as usize];
        *entry_tag == tag
            && group.prefix_len as usize == prefix.len()
            && group
                .members
                .first()
                .is_some_and(|slot| index.key(*slot).starts_with(prefix))
    };
    table.find(table_hash(tag), same).map(|(_, group)| *group)
}
