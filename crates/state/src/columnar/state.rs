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
use arrow::array::{ArrayRef, BooleanArray, RecordBatch, UInt32Array};

use super::{
    buckets::EventTimeBuckets,
    index::{KeyIndex, Location, NO_SLOT, SlotId},
    keys::{EncodedKeys, KeyEncoder},
    prefix::PrefixIndex,
    segment::{Segment, Segments},
};
use crate::{
    PrefixMatches, Result, StateError, StateLookup, StateStoreId,
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
        if !self.asked_for(keys) {
            self.look_up(keys)?;
        }
        if keys.num_rows() == 0 {
            return Ok(());
        }
        let asked = std::mem::take(&mut self.asked);
        let done = self.put_asked(&asked, values);
        self.asked = Asked {
            keys: asked.keys,
            slots: asked.slots,
            ..Asked::default()
        };
        done
    }

    /// Writes the entries of already looked-up keys.
    fn put_asked(&mut self, asked: &Asked, values: &RecordBatch) -> Result<()> {
        let event_times = self
            .schema
            .asked
            .event_time
            .and_then(|column| EventTimes::of(asked.normalized.get(column)?));
        let mut columns = asked.normalized.clone();
        for (column, field) in values.columns().iter().zip(self.schema.value.fields()) {
            columns.push(conform(column, field.data_type())?);
        }
        let entries = batch_of(&self.schema.entry, columns, values.num_rows())?;

        let absent = asked.slots.iter().filter(|slot| **slot == NO_SLOT).count();
        self.index.reserve(absent);
        if let Some(prefixes) = self.prefixes.as_mut().filter(|_| absent > 0) {
            prefixes.begin_insert(&asked.normalized, asked.keys.len())?;
        }
        let mut slots = Vec::with_capacity(asked.slots.len());
        for (row, known) in asked.slots.iter().enumerate() {
            slots.push(match *known {
                NO_SLOT => self.add_key(asked, row, event_times.as_ref())?,
                slot => slot,
            });
        }
        let segment = self.segments.add(Segment::new(entries, slots.clone()));
        self.open.push(segment);
        for (row, slot) in slots.into_iter().enumerate() {
            let former = self.change(
                slot,
                Location {
                    segment,
                    row: row as u32,
                },
            );
            match former.is_none() {
                true => self.live_keys += 1,
                false => self.segments.clear(former),
            }
        }
        Ok(())
    }

    /// The slot of a key that was absent when it was looked up; an earlier row may have added it since.
    fn add_key(
        &mut self,
        asked: &Asked,
        row: usize,
        event_times: Option<&EventTimes>,
    ) -> Result<SlotId> {
        let (tag, key) = asked.keys.key(row);
        let (slot, added) =
            self.index
                .find_or_insert(tag, key)
                .ok_or_else(|| StateError::Full {
                    store: self.id.clone(),
                    what: "keys",
                    limit: u64::from(NO_SLOT),
                })?;
        if !added {
            return Ok(slot);
        }
        // In the undo list from birth, so that a put that fails later leaves nothing behind a rollback.
        self.change(slot, Location::NONE);
        if let Some(buckets) = &mut self.buckets {
            buckets.insert(slot, event_times.and_then(|times| times.get(row)));
        }
        if let Some(prefixes) = &mut self.prefixes {
            prefixes.insert(slot, row, &self.index);
        }
        Ok(slot)
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

    pub(super) fn prefix_scan(&mut self, prefixes: &RecordBatch) -> Result<PrefixMatches> {
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
        let (mut asked, mut slots) = (Vec::new(), Vec::new());
        index.find(columns, prefixes.num_rows(), &self.index, |row, slot| {
            if !self.index.location(slot).is_none() {
                asked.push(row);
                slots.push(slot);
            }
        })?;
        let entries = self.entries_of(&slots)?;
        Ok(PrefixMatches {
            asked: UInt32Array::from(asked),
            entries,
        })
    }

    pub(super) fn entries_of(&self, slots: &[SlotId]) -> Result<RecordBatch> {
        let locations: Vec<Location> = slots.iter().map(|slot| self.locate(*slot)).collect();
        let columns = 0..self.schema.entry.fields().len();
        let entries = self
            .segments
            .gather(&locations, columns, &self.schema.entry)?;
        hand_out(entries, &self.schema.entry_out)
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

    /// Removes a key without a row from index, buckets and prefixes.
    pub(super) fn forget_key(&mut self, slot: SlotId) {
        if let Some(buckets) = &mut self.buckets {
            buckets.remove(slot);
        }
        if let Some(prefixes) = &mut self.prefixes {
            prefixes.remove(slot);
        }
        self.index.remove(slot);
    }

    fn asked_for(&self, keys: &RecordBatch) -> bool {
        let Asked {
            columns,
            slots,
            valid,
            ..
        } = &self.asked;
        *valid
            && slots.len() == keys.num_rows()
            && columns.len() == keys.num_columns()
            && columns
                .iter()
                .zip(keys.columns())
                .all(|(a, b)| std::sync::Arc::ptr_eq(a, b))
    }

    /// Fills `asked` with the slots of the keys.
    fn look_up(&mut self, keys: &RecordBatch) -> Result<()> {
        self.asked.valid = false;
        let columns = stored_columns(&self.id, "key", keys, &self.schema.key)?;
        let normalized = self.encoder.normalize(columns)?;
        self.encoder
            .encode(&normalized, keys.num_rows(), &mut self.asked.keys)?;
        let Asked {
            keys: encoded,
            slots,
            ..
        } = &mut self.asked;
        self.index.find_all(encoded, slots);
        self.asked.columns = keys.columns().to_vec();
        self.asked.normalized = normalized;
        self.asked.valid = true;
        Ok(())
    }
}
