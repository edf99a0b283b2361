//! The state in memory: what look-ups read and what a batch changes.
//!
//! Everything here is synchronous and knows no files. The store around it turns the running batch's
//! changes (`changes`) into a file and back; loading a version is applying its files in order, so recovery
//! runs through the same code as the batches did.
//!
//! ```text
//!   sealed segments          open segments          undo list
//!   (committed rows)         (this batch's puts)    (slot, former location), once per changed key
//!        ▲                        ▲
//!        └──── slot.location ─────┘
//!
//!   rollback: locations back from the undo list, open segments dropped
//!   seal:     newest rows of the open segments become one sealed segment, deleted keys leave the index
//! ```
//!
//! Nothing committed is destroyed before `seal`: a deleted key keeps its slot (with no location), an
//! overwritten row keeps its segment, an evicted bucket keeps its members.
use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array},
    compute::{filter, filter_record_batch},
};

use super::{
    buckets::EventTimeBuckets,
    index::{KeyIndex, Location, NO_SLOT, SlotId},
    keys::{EncodedKeys, KeyEncoder},
    prefix::PrefixIndex,
    segment::{Segment, Segments},
};
use crate::{
    FoundEntries, Result, StateError, StateLookup, StateStoreId,
    columns::{EventTimes, batch_of, check_values, hand_out, stored_columns},
    schema::{StorageSchema, conform},
};

/// Rows per batch that `evict` and `prefix_scan` build at once.
const GATHER_ROWS: usize = 1 << 16;

/// The keys of the last `get`: a `put` of the same arrays need not look them up again.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) columns: Vec<ArrayRef>,
    pub(super) normalized: Vec<ArrayRef>,
    pub(super) keys: EncodedKeys,
    pub(super) slots: Vec<SlotId>,
    pub(super) valid: bool,
}

impl Asked {
    /// Whether these very keys were looked up.
    fn is_of(&self, keys: &RecordBatch) -> bool {
        self.valid
            && self.slots.len() == keys.num_rows()
            && self.columns.len() == keys.num_columns()
            && self
                .columns
                .iter()
                .zip(keys.columns())
                .all(|(a, b)| Arc::ptr_eq(a, b))
    }

    /// Its memory, for the next call.
    fn scratch(self) -> Self {
        Self {
            keys: self.keys,
            slots: self.slots,
            ..Self::default()
        }
    }
}

/// State of one store in memory.
#[derive(Debug)]
pub(super) struct ColumnarState {
    // Constant
    pub(super) id: StateStoreId,
    pub(super) schema: StorageSchema,
    pub(super) encoder: KeyEncoder,

    // Committed and uncommitted
    pub(super) index: KeyIndex,
    pub(super) segments: Segments,
    pub(super) buckets: Option<EventTimeBuckets>,
    pub(super) prefixes: Option<PrefixIndex>,
    pub(super) live_keys: u64,

    // The running batch
    pub(super) open: Vec<u32>,
    pub(super) undo: Vec<(SlotId, Location)>,
    pub(super) evicted_through: Option<i64>,
    pub(super) committed_keys: u64,
    pub(super) asked: Asked,
}

impl ColumnarState {
    pub(super) fn try_new(id: StateStoreId, schema: StorageSchema) -> Result<Self> {
        let prefix = schema.asked.prefix;
        Ok(Self {
            id,
            encoder: KeyEncoder::try_new(&schema, schema.key_columns())?,
            index: KeyIndex::default(),
            segments: Segments::default(),
            buckets: schema.asked.event_time.map(|_| EventTimeBuckets::default()),
            prefixes: (prefix > 0)
                .then(|| PrefixIndex::try_new(&schema))
                .transpose()?,
            live_keys: 0,
            open: Vec::new(),
            undo: Vec::new(),
            evicted_through: None,
            committed_keys: 0,
            asked: Asked::default(),
            schema,
        })
    }

    pub(super) fn has_changes(&self) -> bool {
        !self.undo.is_empty() || self.evicted_through.is_some() || !self.open.is_empty()
    }

    pub(super) fn num_keys(&self) -> u64 {
        self.live_keys
    }

    pub(super) fn memory(&self) -> usize {
        self.index.memory()
            + self.segments.memory()
            + self.buckets.as_ref().map_or(0, EventTimeBuckets::memory)
            + self.prefixes.as_ref().map_or(0, PrefixIndex::memory)
            + self.undo.capacity() * size_of::<(SlotId, Location)>()
            + self.asked.keys.memory()
            + self.asked.slots.capacity() * size_of::<SlotId>()
    }

    pub(super) fn get(&mut self, keys: &RecordBatch) -> Result<StateLookup> {
        self.look_up(keys)?;
        let locations: Vec<Location> = self.asked.slots.iter().map(|s| self.locate(*s)).collect();
        let found = BooleanArray::from_iter(locations.iter().map(|at| Some(!at.is_none())));
        let columns = self.schema.key_columns()..self.schema.entry.fields().len();
        let values = self
            .segments
            .gather(&locations, columns, &self.schema.value)?;
        let values = hand_out(values, &self.schema.value_out)?;
        Ok(StateLookup { found, values })
    }

    pub(super) fn put(&mut self, keys: &RecordBatch, values: &RecordBatch) -> Result<()> {
        check_values(&self.id, &self.schema, keys, values)?;
        let mut asked = std::mem::take(&mut self.asked);
        if !asked.is_of(keys) {
            self.encode(keys, &mut asked)?;
        }
        let entries = self.entries_with(&asked, values)?;
        self.put_entries(&mut asked, entries)?;
        self.asked = asked.scratch();
        Ok(())
    }

    /// Writes the entries whose key has none, the first row of each; says which rows those are.
    pub(super) fn put_absent(
        &mut self,
        keys: &RecordBatch,
        values: &RecordBatch,
    ) -> Result<BooleanArray> {
        check_values(&self.id, &self.schema, keys, values)?;
        let mut asked = std::mem::take(&mut self.asked);
        self.encode(keys, &mut asked)?;
        let entries = self.entries_with(&asked, values)?;
        let written = self.put_absent_entries(&mut asked, &entries)?;
        self.asked = asked.scratch();
        Ok(written)
    }

    fn put_entries(&mut self, asked: &mut Asked, entries: RecordBatch) -> Result<()> {
        if entries.num_rows() == 0 {
            return Ok(());
        }
        self.add_keys(asked)?;
        let segment = Segment::new(entries, asked.slots.clone());
        let segment = self.segments.add(segment);
        self.open.push(segment);
        for (row, slot) in asked.slots.iter().enumerate() {
            let row = row as u32;
            let former = self.change(*slot, Location { segment, row });
            match former.is_none() {
                true => self.live_keys += 1,
                false => self.segments.clear(former),
            }
        }
        Ok(())
    }

    fn put_absent_entries(
        &mut self,
        asked: &mut Asked,
        entries: &RecordBatch,
    ) -> Result<BooleanArray> {
        self.add_keys(asked)?;
        // A slot has a location from its first row on, by which a second row of one key is told.
        let segment = self.segments.next_id();
        let mut written = Vec::with_capacity(asked.slots.len());
        let absent = BooleanArray::from_iter(asked.slots.iter().map(|slot| {
            let absent = self.locate(*slot).is_none();
            if absent {
                let row = written.len() as u32;
                written.push(*slot);
                self.change(*slot, Location { segment, row });
            }
            Some(absent)
        }));
        if written.is_empty() {
            return Ok(absent);
        }
        self.live_keys += written.len() as u64;
        let entries = match written.len() == entries.num_rows() {
            true => entries.clone(),
            false => filter_record_batch(entries, &absent)?,
        };
        let segment = self.segments.add(Segment::new(entries, written));
        self.open.push(segment);
        Ok(absent)
    }

    /// Encoded keys and their values side by side.
    fn entries_with(&self, asked: &Asked, values: &RecordBatch) -> Result<RecordBatch> {
        let mut columns = asked.normalized.clone();
        for (column, field) in values.columns().iter().zip(self.schema.value.fields()) {
            columns.push(conform(column, field.data_type())?);
        }
        batch_of(&self.schema.entry, columns, values.num_rows())
    }

    /// Gives slots to the keys that are not known to have one.
    fn add_keys(&mut self, asked: &mut Asked) -> Result<()> {
        let Asked { keys, slots, .. } = &mut *asked;
        let rows = slots.iter().enumerate();
        let unknown = rows.filter(|(_, slot)| **slot == NO_SLOT);
        let unknown: Vec<u32> = unknown.map(|(row, _)| row as u32).collect();
        let mut added = Vec::with_capacity(unknown.len());
        let room = self.index.insert_all(keys, &unknown, |row, slot, new| {
            slots[row as usize] = slot;
            if new {
                added.push((slot, row));
            }
        });
        // In the undo list from birth, so that whatever fails later leaves nothing behind a rollback.
        for (slot, _) in &added {
            self.change(*slot, Location::NONE);
        }
        if let Some(buckets) = &mut self.buckets {
            let column = self.schema.asked.event_time;
            let times = column.and_then(|column| EventTimes::of(asked.normalized.get(column)?));
            for (slot, row) in &added {
                let time = times.as_ref().and_then(|times| times.get(*row as usize));
                buckets.insert(*slot, time);
            }
        }
        let room = match &mut self.prefixes {
            Some(prefixes) => room && prefixes.insert_all(&asked.normalized, &added)?,
            None => room,
        };
        match room {
            true => Ok(()),
            false => Err(StateError::Full {
                store: self.id.clone(),
                what: "keys",
                limit: u64::from(NO_SLOT),
            }),
        }
    }

    pub(super) fn delete(&mut self, keys: &RecordBatch) -> Result<u64> {
        self.look_up(keys)?;
        let slots = std::mem::take(&mut self.asked.slots);
        let removed = slots
            .iter()
            .map(|slot| u64::from(self.drop_row(*slot)))
            .sum();
        // Still valid: deleted keys keep their slots until the batch is sealed.
        self.asked.slots = slots;
        Ok(removed)
    }

    /// The slots that `evict(threshold)` would remove.
    pub(super) fn expired(&self, operation: &'static str, threshold: i64) -> Result<Vec<SlotId>> {
        let Some(buckets) = &self.buckets else {
            let store = self.id.clone();
            return Err(StateError::NotSupported {
                store,
                operation,
                needs: "an event-time column",
            });
        };
        Ok(buckets
            .expired(threshold)
            .filter(|slot| !self.locate(*slot).is_none())
            .collect())
    }

    pub(super) fn evict(&mut self, threshold: i64) -> Result<Vec<RecordBatch>> {
        let slots = self.expired("evict", threshold)?;
        let batches = slots
            .chunks(GATHER_ROWS)
            .map(|slots| self.entries_of(slots));
        let batches = batches.collect::<Result<Vec<_>>>()?;
        self.drop_expired(&slots, threshold);
        Ok(batches)
    }

    /// Removes slots found by `expired`.
    pub(super) fn drop_expired(&mut self, slots: &[SlotId], threshold: i64) {
        for slot in slots {
            self.drop_row(*slot);
        }
        if !slots.is_empty() {
            self.evicted_through = self.evicted_through.max(Some(threshold));
        }
    }

    /// As `evict`, for a key column that has no buckets: looks at every entry. Changelogs written when
    /// the query had a watermark on that column need it.
    pub(super) fn evict_by_scan(&mut self, column: usize, threshold: i64) -> Result<()> {
        let mut expired = Vec::new();
        for (_, segment) in self.segments.iter() {
            let times = segment
                .entries
                .columns()
                .get(column)
                .and_then(EventTimes::of);
            let Some(times) = times else {
                return Err(StateError::InvalidSchema {
                    reason: format!("key column {column} is not an event time"),
                });
            };
            let rows = segment.live.iter().filter_map(|row| {
                let time = times.get(row as usize)?;
                (time <= threshold).then(|| segment.slots.get(row as usize).copied())?
            });
            expired.extend(rows);
        }
        for slot in expired {
            self.drop_row(slot);
        }
        Ok(())
    }

    pub(super) fn scan(&self) -> Result<Vec<RecordBatch>> {
        self.entries().collect()
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = Result<RecordBatch>> {
        let live = self
            .segments
            .iter()
            .filter(|(_, segment)| segment.live.count() > 0);
        live.map(|(_, segment)| hand_out(segment.live_entries()?, &self.schema.entry_out))
    }

    pub(super) fn find_by_prefix(&mut self, prefixes: &RecordBatch) -> Result<FoundRows<'_>> {
        let Some(index) = &mut self.prefixes else {
            return Err(StateError::NotSupported {
                store: self.id.clone(),
                operation: "prefix_scan",
                needs: "prefix columns",
            });
        };
        let wanted = self
            .schema
            .key
            .project(&Vec::from_iter(0..self.schema.asked.prefix))?;
        let columns = stored_columns(&self.id, "prefix", prefixes, &wanted)?;
        let (mut asked, mut locations) = (Vec::new(), Vec::new());
        index.find_all(columns, prefixes.num_rows(), |row, slots| {
            let found = slots.iter().map(|slot| self.index.location(*slot));
            locations.extend(found.filter(|at| !at.is_none()));
            asked.resize(locations.len(), row);
        })?;
        Ok(FoundRows {
            asked: UInt32Array::from(asked),
            locations,
            segments: &self.segments,
            schema: &self.schema,
        })
    }

    pub(super) fn entries_of(&self, slots: &[SlotId]) -> Result<RecordBatch> {
        let locations: Vec<Location> = slots.iter().map(|slot| self.locate(*slot)).collect();
        entries_at(&self.segments, &self.schema, &locations)
    }

    pub(super) fn locate(&self, slot: SlotId) -> Location {
        if slot == NO_SLOT {
            Location::NONE
        } else {
            self.index.location(slot)
        }
    }

    /// Moves a key's newest row, remembering the committed one; returns where it was.
    pub(super) fn change(&mut self, slot: SlotId, to: Location) -> Location {
        let (former, first) = self.index.change(slot, to);
        if first {
            self.undo.push((slot, former));
        }
        former
    }

    /// Takes a key's row away; whether there was one.
    pub(super) fn drop_row(&mut self, slot: SlotId) -> bool {
        if self.locate(slot).is_none() {
            return false;
        }
        let former = self.change(slot, Location::NONE);
        self.segments.clear(former);
        self.live_keys -= 1;
        true
    }

    /// Removes keys without a row from index, buckets and prefixes.
    pub(super) fn forget_keys(&mut self, slots: &[SlotId]) {
        if let Some(buckets) = &mut self.buckets {
            slots.iter().for_each(|slot| buckets.remove(*slot));
        }
        if let Some(prefixes) = &mut self.prefixes {
            prefixes.remove_all(slots);
        }
        self.index.remove_all(slots);
    }

    /// Fills `asked` with the slots of the keys.
    fn look_up(&mut self, keys: &RecordBatch) -> Result<()> {
        let mut asked = std::mem::take(&mut self.asked);
        let encoded = self.encode(keys, &mut asked);
        if encoded.is_ok() {
            self.index.find_all(&asked.keys, &mut asked.slots);
            asked.columns = keys.columns().to_vec();
            asked.valid = true;
        }
        self.asked = asked;
        encoded
    }

    /// Fills `asked` with the keys, none of which is known to have a slot.
    fn encode(&self, keys: &RecordBatch, asked: &mut Asked) -> Result<()> {
        asked.valid = false;
        asked.slots.clear();
        asked.slots.resize(keys.num_rows(), NO_SLOT);
        let columns = stored_columns(&self.id, "key", keys, &self.schema.key)?;
        asked.normalized = self.encoder.normalize(columns)?;
        self.encoder
            .encode(&asked.normalized, keys.num_rows(), &mut asked.keys)
    }
}

/// The entries at some locations in the layout that the operator asked for.
fn entries_at(
    segments: &Segments,
    schema: &StorageSchema,
    locations: &[Location],
) -> Result<RecordBatch> {
    let columns = 0..schema.entry.fields().len();
    let entries = segments.gather(locations, columns, &schema.entry)?;
    hand_out(entries, &schema.entry_out)
}

/// Entries found by prefix, as locations.
pub(super) struct FoundRows<'a> {
    asked: UInt32Array,
    locations: Vec<Location>,
    segments: &'a Segments,
    schema: &'a StorageSchema,
}

impl FoundEntries for FoundRows<'_> {
    fn asked(&self) -> &UInt32Array {
        &self.asked
    }

    fn columns(&self, wanted: &[usize]) -> Result<Vec<ArrayRef>> {
        let stored = Arc::new(self.schema.entry.project(wanted)?);
        let columns = wanted.iter().copied();
        let found = self.segments.gather(&self.locations, columns, &stored)?;
        let asked_for = Arc::new(self.schema.entry_out.project(wanted)?);
        Ok(hand_out(found, &asked_for)?.columns().to_vec())
    }

    fn retain(&mut self, accepted: &BooleanArray) -> Result<()> {
        self.asked = filter(&self.asked, accepted)?.as_primitive().clone();
        let mut accepted = accepted.values().iter();
        self.locations.retain(|_| accepted.next().unwrap_or(false));
        Ok(())
    }

    fn entries(&self) -> Result<RecordBatch> {
        entries_at(self.segments, self.schema, &self.locations)
    }
}
