//! Groups of keys that share their first columns, for `prefix_scan`.
use arrow::array::ArrayRef;

use super::{
    index::SlotId,
    keys::{EncodedKeys, KeyEncoder},
    numbers::{KeyNumbers, NO_NUMBER, Number},
};
use crate::{Result, schema::StorageSchema};

#[derive(Debug, Clone, Copy)]
struct Place {
    group: Number,
    position: u32,
}

impl Place {
    const NOWHERE: Self = Self {
        group: NO_NUMBER,
        position: 0,
    };
}

/// Prefix → slots.
#[derive(Debug)]
pub(super) struct PrefixIndex {
    encoder: KeyEncoder,
    /// Prefixes of the keys of the running `put`, or of the running `prefix_scan`.
    encoded: EncodedKeys,
    numbers: KeyNumbers,
    /// The slots whose keys have a prefix, by its number; empty where it is vacant.
    groups: Vec<Vec<SlotId>>,
    /// By slot number; stale where the slot is vacant.
    places: Vec<Place>,
    /// Capacity of all groups, kept for the memory metric.
    capacity: usize,
}

impl PrefixIndex {
    pub(super) fn try_new(schema: &StorageSchema) -> Result<Self> {
        Ok(Self {
            encoder: KeyEncoder::try_new(schema, schema.asked.prefix)?,
            encoded: EncodedKeys::default(),
            numbers: KeyNumbers::default(),
            groups: Vec::new(),
            places: Vec::new(),
            capacity: 0,
        })
    }

    /// Files new slots, each with the row of the (normalized) `key` columns that is its key. `false` when there are too many
    /// prefixes.
    #[must_use = "keys that are not filed are not found"]
    pub(super) fn insert_all(&mut self, key: &[ArrayRef], added: &[(SlotId, u32)]) -> Result<bool> {
        let Some(row_count) = key.first().map(|column| column.len()) else {
            return Ok(true);
        };
        let prefix = key.get(..self.encoder.columns()).unwrap_or(key);
        self.encoder.encode(prefix, row_count, &mut self.encoded)?;
        let Self {
            encoded,
            numbers,
            groups,
            places,
            capacity,
            ..
        } = self;
        let rows: Vec<u32> = added.iter().map(|(_, row)| *row).collect();
        let mut slots = added.iter().map(|(slot, _)| *slot);
        Ok(numbers.insert_all(encoded, &rows, |_, number, _| {
            let Some(slot) = slots.next() else {
                return;
            };
            if number as usize >= groups.len() {
                groups.resize_with(number as usize + 1, Vec::new);
            }
            if slot as usize >= places.len() {
                places.resize(slot as usize + 1, Place::NOWHERE);
            }
            let group = &mut groups[number as usize];
            places[slot as usize] = Place {
                group: number,
                position: group.len() as u32,
            };
            *capacity -= group.capacity();
            group.push(slot);
            *capacity += group.capacity();
        }))
    }

    /// Takes slots out, those that were filed.
    pub(super) fn remove_all(&mut self, slots: &[SlotId]) {
        let mut emptied = Vec::new();
        for slot in slots {
            let Some(place) = self.places.get_mut(*slot as usize) else {
                continue;
            };
            let Place {
                group: number,
                position,
            } = std::mem::replace(place, Place::NOWHERE);
            if number == NO_NUMBER {
                continue;
            }
            let group = &mut self.groups[number as usize];
            group.swap_remove(position as usize);
            if let Some(moved) = group.get(position as usize) {
                self.places[*moved as usize].position = position;
            }
            if group.is_empty() {
                self.capacity -= group.capacity();
                *group = Vec::new();
                emptied.push(number);
            }
        }
        self.numbers.remove_all(&emptied);
        if self.numbers.shrink() {
            self.groups = Vec::new();
        }
    }

    /// Calls `each(row, slots)` with the keys that start with the row-th prefix, if there are any.
    pub(super) fn find_all(
        &mut self,
        columns: Vec<ArrayRef>,
        rows: usize,
        mut each: impl FnMut(u32, &[SlotId]),
    ) -> Result<()> {
        let columns = self.encoder.normalize(columns)?;
        self.encoder.encode(&columns, rows, &mut self.encoded)?;
        let mut numbers = Vec::new();
        self.numbers.find_all(&self.encoded, &mut numbers);
        for (row, number) in numbers.into_iter().enumerate() {
            if let Some(group) = self.groups.get(number as usize) {
                each(row as u32, group);
            }
        }
        Ok(())
    }

    /// Bytes allocated.
    pub(super) fn memory(&self) -> usize {
        self.numbers.memory()
            + self.groups.capacity() * size_of::<Vec<SlotId>>()
            + self.places.capacity() * size_of::<Place>()
            + self.capacity * size_of::<SlotId>()
            + self.encoded.memory()
    }
}
