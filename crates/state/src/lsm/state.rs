//! The state of one store: reads that merge the layers with the tree, writes into the running batch.
//!
//! Synchronous, and knows no files but the local tree. The store around it turns the running batch's changes into a
//! delta; loading a version is replaying deltas through the same calls.
use std::{collections::HashSet, sync::Arc};

use arrow::{
    array::{ArrayRef, BooleanArray, RecordBatch, UInt32Array, new_null_array},
    compute::{filter_record_batch, take},
};
use lsm_tree::Slice;

use super::{
    buffer::{Found, KeyRange, WriteBuffer, keys_between},
    codec::{Codecs, Space, TIME_BYTES, normalize},
    local::{LocalTree, Marker},
};
use crate::{
    PrefixMatches, Result, StateError, StateLookup, StateStoreId,
    columns::{EventTimes, batch_of, check_values, hand_out, stored_columns},
    format::Lineage,
    log::Changes,
    schema::{StorageSchema, conform},
};

/// Rows per batch handed out by scans and evictions.
pub(super) const BATCH_ROWS: usize = 1 << 16;
/// Longest key that the tree takes.
const KEY_BYTES_MAX: usize = u16::MAX as usize;

/// Keys that were looked up.
#[derive(Debug, Default)]
struct Asked {
    columns: Vec<ArrayRef>,
    keys: Vec<Slice>,
    /// The event-time index's keys; empty without one.
    times: Vec<Slice>,
    found: Vec<Found>,
    valid: bool,
}

/// State of one store.
#[derive(Debug)]
pub(super) struct LsmState {
    pub(super) id: StateStoreId,
    pub(super) schema: StorageSchema,
    pub(super) codecs: Arc<Codecs>,
    pub(super) tree: Arc<LocalTree>,
    pub(super) buffer: WriteBuffer,
    live_keys: u64,
    pub(super) committed_keys: u64,
    pub(super) evicted_through: Option<i64>,
    asked: Asked,
}

impl LsmState {
    /// The state that a tree stands for, with `keys` entries.
    pub(super) fn new(
        id: StateStoreId,
        schema: StorageSchema,
        codecs: Codecs,
        tree: LocalTree,
        keys: u64,
    ) -> Self {
        Self {
            id,
            schema,
            codecs: Arc::new(codecs),
            tree: Arc::new(tree),
            buffer: WriteBuffer::default(),
            live_keys: keys,
            committed_keys: keys,
            evicted_through: None,
            asked: Asked::default(),
        }
    }

    pub(super) fn has_changes(&self) -> bool {
        !self.buffer.pending.is_empty() || self.evicted_through.is_some()
    }

    pub(super) fn num_keys(&self) -> u64 {
        self.live_keys
    }

    fn find(&self, key: &[u8]) -> Result<Found> {
        if let Some(found) = self.buffer.find(key) {
            return Ok(found.clone());
        }
        let value = self.tree.get(key)?;
        Ok(Found {
            in_tree: value.is_some(),
            value,
        })
    }

    pub(super) fn get(&mut self, keys: &RecordBatch) -> Result<StateLookup> {
        self.look_up(keys)?;
        let found = &self.asked.found;
        let present = found.iter().filter_map(|found| found.value.as_deref());
        let mut columns = self.codecs.value.decode(present)?;
        let alive = BooleanArray::from_iter(found.iter().map(|f| Some(f.value.is_some())));
        if alive.true_count() < alive.len() {
            let mut next = 0..;
            let rows = found.iter().map(|found| {
                found.value.as_ref()?;
                next.next()
            });
            let rows = UInt32Array::from_iter(rows);
            for column in &mut columns {
                *column = match column.is_empty() {
                    true => new_null_array(column.data_type(), rows.len()),
                    false => take(column, &rows, None)?,
                };
            }
        }
        let values = batch_of(&self.schema.value, columns, keys.num_rows())?;
        Ok(StateLookup {
            found: alive,
            values: hand_out(values, &self.schema.value_out)?,
        })
    }

    pub(super) fn put(&mut self, keys: &RecordBatch, values: &RecordBatch) -> Result<()> {
        check_values(&self.id, &self.schema, keys, values)?;
        if !self.asked_for(keys) {
            self.look_up(keys)?;
        }
        let columns = values.columns().iter().zip(self.schema.value.fields());
        let columns = columns
            .map(|(c, f)| conform(c, f.data_type()))
            .collect::<Result<Vec<_>>>()?;
        let values = self.codecs.value.encode(&[], &columns, values.num_rows())?;
        let asked = std::mem::take(&mut self.asked);
        for (row, (key, value)) in asked.keys.iter().zip(values).enumerate() {
            let (time, found) = (asked.times.get(row), asked.found.get(row));
            self.write(key, time, Some(value), found);
        }
        Ok(())
    }

    /// Puts the entries whose keys are not there, the first row of each; says which rows those are.
    pub(super) fn put_absent(
        &mut self,
        keys: &RecordBatch,
        values: &RecordBatch,
    ) -> Result<BooleanArray> {
        check_values(&self.id, &self.schema, keys, values)?;
        self.look_up(keys)?;
        let Asked {
            keys: encoded,
            times,
            found,
            ..
        } = &mut self.asked;
        let mut met = HashSet::with_capacity(encoded.len());
        let absent = encoded.iter().zip(found.iter());
        let absent: Vec<bool> = absent
            .map(|(key, found)| found.value.is_none() && met.insert(key.clone()))
            .collect();
        retain(encoded, &absent);
        retain(times, &absent);
        retain(found, &absent);
        let absent = BooleanArray::from(absent);
        let keys = filter_record_batch(keys, &absent)?;
        // What is asked of is what is written.
        self.asked.columns = keys.columns().to_vec();
        self.put(&keys, &filter_record_batch(values, &absent)?)?;
        Ok(absent)
    }

    /// Puts entries whose keys are not there yet, as those of a snapshot.
    pub(super) fn fill(&mut self, keys: &RecordBatch, values: &RecordBatch) -> Result<()> {
        self.encode_keys(keys)?;
        self.asked.found = vec![Found::default(); self.asked.keys.len()];
        self.asked.valid = true;
        self.put(keys, values)
    }

    pub(super) fn delete(&mut self, keys: &RecordBatch) -> Result<u64> {
        self.look_up(keys)?;
        let asked = std::mem::take(&mut self.asked);
        let mut removed = 0;
        for (row, key) in asked.keys.iter().enumerate() {
            let (time, found) = (asked.times.get(row), asked.found.get(row));
            removed += u64::from(self.write(key, time, None, found));
        }
        Ok(removed)
    }

    /// Writes or removes a key; whether it was there. What was `found` may be older than the running batch's changes.
    fn write(
        &mut self,
        key: &Slice,
        time: Option<&Slice>,
        value: Option<Slice>,
        found: Option<&Found>,
    ) -> bool {
        let pending = self.buffer.pending.get(key.as_ref());
        let before = match pending {
            Some(pending) => pending.now.clone(),
            None => found.cloned().unwrap_or_default(),
        };
        let (was_alive, is_alive) = (before.value.is_some(), value.is_some());
        if !was_alive && !is_alive {
            return false;
        }
        if let Some(time) = time.filter(|_| was_alive != is_alive) {
            let entry = is_alive.then(Slice::default);
            // The index has an entry where the key has one.
            self.buffer.write(time, entry, &before);
        }
        self.live_keys = self.live_keys + u64::from(is_alive) - u64::from(was_alive);
        self.buffer.write(key, value, &before);
        was_alive
    }

    pub(super) fn evict(&mut self, threshold: i64) -> Result<Vec<RecordBatch>> {
        let expired = self.expired("evict", threshold)?;
        let batches = expired.chunks(BATCH_ROWS).map(|entries| {
            let pairs = entries.iter().map(|entry| -> Result<_> {
                let value = match &entry.value {
                    Some(value) => Some(value.clone()),
                    None => self.find(&entry.key)?.value,
                };
                Ok((entry.key.clone(), value.unwrap_or_default()))
            });
            let pairs = pairs.collect::<Result<Vec<_>>>()?;
            hand_out(self.entries(&pairs)?, &self.schema.entry_out)
        });
        let batches = batches.collect::<Result<Vec<_>>>()?;
        self.drop_entries(&expired, threshold);
        Ok(batches)
    }

    pub(super) fn drop_expired(&mut self, threshold: i64) -> Result<u64> {
        let expired = self.expired("drop_expired", threshold)?;
        self.drop_entries(&expired, threshold);
        Ok(expired.len() as u64)
    }

    fn drop_entries(&mut self, expired: &[Expired], threshold: i64) {
        self.asked.valid = false;
        for Expired {
            key, time, in_tree, ..
        } in expired
        {
            let found = Found {
                value: Some(Slice::default()),
                in_tree: *in_tree,
            };
            self.write(key, time.as_ref(), None, Some(&found));
        }
        if !expired.is_empty() {
            self.evicted_through = self.evicted_through.max(Some(threshold));
        }
    }

    /// The entries that `evict(threshold)` would remove, oldest first.
    fn expired(&self, operation: &'static str, threshold: i64) -> Result<Vec<Expired>> {
        let Some(index) = &self.codecs.time else {
            let store = self.id.clone();
            return Err(StateError::NotSupported {
                store,
                operation,
                needs: "an event-time column",
            });
        };
        let (from, through) = index.bounds(threshold)?;
        let expired = self.live(&keys_between(&from, &through)).map(|entry| {
            let (key, value, in_tree) = entry?;
            Ok(match index.leads_the_key() {
                true => Expired {
                    key,
                    time: None,
                    value: Some(value),
                    in_tree,
                },
                false => {
                    let mut entry = vec![Space::Entries as u8];
                    entry.extend_from_slice(key.get(TIME_BYTES..).unwrap_or_default());
                    Expired {
                        key: entry.into(),
                        time: Some(key),
                        value: None,
                        in_tree,
                    }
                }
            })
        });
        expired.collect()
    }

    fn live<'a>(
        &'a self,
        range: &KeyRange,
    ) -> impl Iterator<Item = Result<(Slice, Slice, bool)>> + use<'a> {
        self.buffer.live(range, self.tree.range(range.clone()))
    }

    /// As `evict`, for a key column that has no index: looks at every entry.
    pub(super) fn evict_by_scan(&mut self, column: usize, threshold: i64) -> Result<()> {
        let mut expired = Vec::new();
        for batch in self.scan_entries() {
            let batch = batch?;
            let times = batch.columns().get(column).and_then(EventTimes::of);
            let Some(times) = times else {
                return Err(StateError::InvalidSchema {
                    reason: format!("key column {column} is not an event time"),
                });
            };
            let rows = (0..batch.num_rows())
                .filter(|row| times.get(*row).is_some_and(|time| time <= threshold));
            let rows = UInt32Array::from_iter_values(rows.map(|row| row as u32));
            let keys: Vec<usize> = (0..self.schema.key_columns()).collect();
            let keys = batch.project(&keys)?;
            expired.push(arrow::compute::take_record_batch(&keys, &rows)?);
        }
        for keys in expired {
            self.delete(&keys)?;
        }
        Ok(())
    }

    /// All live entries as they are kept.
    fn scan_entries(&self) -> impl Iterator<Item = Result<RecordBatch>> {
        let head = [Space::Entries as u8];
        let mut live = self.live(&keys_between(&head, &head));
        std::iter::from_fn(move || {
            let pairs = live.by_ref().take(BATCH_ROWS);
            let pairs = pairs.map(|pair| pair.map(|(key, value, _)| (key, value)));
            match pairs.collect::<Result<Vec<_>>>() {
                Ok(pairs) if pairs.is_empty() => None,
                Ok(pairs) => Some(self.entries(&pairs)),
                Err(error) => Some(Err(error)),
            }
        })
    }

    pub(super) fn scan(&self) -> Result<Vec<RecordBatch>> {
        self.handed_out().collect()
    }

    /// All live entries in the layout that the operator asked for.
    pub(super) fn handed_out(&self) -> impl Iterator<Item = Result<RecordBatch>> {
        let entries = self.scan_entries();
        entries.map(|batch| hand_out(batch?, &self.schema.entry_out))
    }

    pub(super) fn prefix_scan(&mut self, prefixes: &RecordBatch) -> Result<PrefixMatches> {
        if self.schema.asked.prefix == 0 {
            return Err(StateError::NotSupported {
                store: self.id.clone(),
                operation: "prefix_scan",
                needs: "prefix columns",
            });
        }
        let wanted = Vec::from_iter(0..self.schema.asked.prefix);
        let wanted = self.schema.key.project(&wanted)?;
        let columns = stored_columns(&self.id, "prefix", prefixes, &wanted)?;
        let columns = normalize(columns)?;
        let head = [Space::Entries as u8];
        let encoded = self
            .codecs
            .prefix
            .encode(&head, &columns, prefixes.num_rows())?;
        let (mut asked, mut pairs) = (Vec::new(), Vec::new());
        for (row, prefix) in encoded.iter().enumerate() {
            for entry in self.live(&keys_between(prefix, prefix)) {
                let (key, value, _) = entry?;
                asked.push(row as u32);
                pairs.push((key, value));
            }
        }
        Ok(PrefixMatches {
            asked: UInt32Array::from(asked),
            entries: hand_out(self.entries(&pairs)?, &self.schema.entry_out)?,
        })
    }

    /// Pairs of the tree as entries.
    fn entries(&self, pairs: &[(Slice, Slice)]) -> Result<RecordBatch> {
        self.codecs.entries(&self.schema, pairs)
    }

    /// The running batch's changes, one row per changed key, in key order.
    pub(super) fn changes(&self) -> Result<Changes> {
        let head = [Space::Entries as u8];
        let (from, to) = keys_between(&head, &head);
        let (mut upserts, mut removed) = (Vec::new(), Vec::new());
        for (key, pending) in self.buffer.pending.range::<[u8], _>((
            from.as_ref().map(Vec::as_slice),
            to.as_ref().map(Vec::as_slice),
        )) {
            match &pending.now.value {
                Some(value) => upserts.push((key.clone(), value.clone())),
                None if pending.existed => removed.push(key),
                None => {}
            }
        }
        let rows = removed.len();
        let removed = removed.iter().map(|key| key.get(1..).unwrap_or_default());
        let tombstones = batch_of(&self.schema.key, self.codecs.key.decode(removed)?, rows)?;
        Ok(Changes {
            evicted_through: self.evicted_through,
            tombstones: self.not_evicted(tombstones)?,
            upserts: self.entries(&upserts)?,
        })
    }

    /// The removed keys that *evicted through* does not cover.
    fn not_evicted(&self, removed: RecordBatch) -> Result<RecordBatch> {
        let (Some(through), Some(index)) = (self.evicted_through, &self.codecs.time) else {
            return Ok(removed);
        };
        let Some(times) = removed.columns().get(index.column).and_then(EventTimes::of) else {
            return Ok(removed);
        };
        let kept = (0..removed.num_rows()).map(|row| times.get(row).is_none_or(|t| t > through));
        let kept = BooleanArray::from_iter(kept.map(Some));
        Ok(filter_record_batch(&removed, &kept)?)
    }

    /// Number of keys written and removed by the running batch.
    pub(super) fn change_counts(&self) -> (u64, u64) {
        let entries = self.buffer.pending.iter();
        let entries = entries.filter(|(key, _)| key.first() == Some(&(Space::Entries as u8)));
        entries.fold((0, 0), |(updated, removed), (_, pending)| {
            match (pending.now.value.is_some(), pending.existed) {
                (true, _) => (updated + 1, removed),
                (false, true) => (updated, removed + 1),
                (false, false) => (updated, removed),
            }
        })
    }

    pub(super) fn roll_back(&mut self) {
        self.buffer.roll_back();
        self.evicted_through = None;
        self.live_keys = self.committed_keys;
        self.asked = Asked::default();
    }

    /// Makes the running batch's changes committed ones.
    pub(super) fn promote(&mut self) {
        self.buffer.promote();
        self.evicted_through = None;
        self.committed_keys = self.live_keys;
        self.asked = Asked::default();
    }

    /// Empties everything.
    pub(super) fn reset(&mut self) -> Result<()> {
        self.buffer = WriteBuffer::default();
        (self.live_keys, self.committed_keys) = (0, 0);
        self.evicted_through = None;
        self.asked = Asked::default();
        self.tree.clear()
    }

    /// Moves the committed layer into the tree, which then stands for `at`; without that it is unfinished.
    pub(super) fn flush(&mut self, at: Option<(u64, Lineage)>) -> Result<()> {
        let marker = at.map(|(version, lineage)| Marker {
            encoding: self.codecs.encoding,
            key_fingerprint: self.schema.key_fingerprint,
            value_fingerprint: self.schema.value_fingerprint,
            event_time: self.event_time(),
            version,
            lineage,
            keys: self.committed_keys,
        });
        let committed = self.buffer.committed.iter();
        let writes = committed.map(|(key, found)| (key, found.value.as_ref()));
        self.tree.write(writes, marker.as_ref())?;
        self.buffer.flushed();
        self.asked.valid = false;
        Ok(())
    }

    fn event_time(&self) -> Option<u32> {
        let column = self.schema.asked.event_time?;
        u32::try_from(column).ok()
    }

    /// Whether a tree with this marker can be gone on with.
    pub(super) fn fits(
        marker: &Marker,
        schema: &StorageSchema,
        encoding: u64,
        version: u64,
    ) -> bool {
        let event_time = schema.asked.event_time.and_then(|c| u32::try_from(c).ok());
        marker.encoding == encoding
            && marker.key_fingerprint == schema.key_fingerprint
            && marker.value_fingerprint == schema.value_fingerprint
            && marker.event_time == event_time
            && marker.version <= version
    }

    fn asked_for(&self, keys: &RecordBatch) -> bool {
        let Asked { columns, valid, .. } = &self.asked;
        *valid
            && columns.len() == keys.num_columns()
            && self.asked.keys.len() == keys.num_rows()
            && columns
                .iter()
                .zip(keys.columns())
                .all(|(a, b)| Arc::ptr_eq(a, b))
    }

    /// Fills `asked` with what there is under the keys.
    fn look_up(&mut self, keys: &RecordBatch) -> Result<()> {
        self.encode_keys(keys)?;
        let found = self.asked.keys.iter().map(|key| self.find(key));
        self.asked.found = found.collect::<Result<Vec<_>>>()?;
        self.asked.valid = true;
        Ok(())
    }

    fn encode_keys(&mut self, keys: &RecordBatch) -> Result<()> {
        self.asked.valid = false;
        let columns = stored_columns(&self.id, "key", keys, &self.schema.key)?;
        let columns = normalize(columns)?;
        let rows = keys.num_rows();
        let encoded = self
            .codecs
            .key
            .encode(&[Space::Entries as u8], &columns, rows)?;
        let longest = encoded.iter().map(|key| key.len()).max().unwrap_or(0);
        if longest + TIME_BYTES > KEY_BYTES_MAX {
            return Err(StateError::KeyTooLong {
                store: self.id.clone(),
                bytes: longest,
                limit: KEY_BYTES_MAX - TIME_BYTES,
            });
        }
        self.asked.times = match &self.codecs.time {
            Some(index) if !index.leads_the_key() => index.keys(&columns, &encoded)?,
            _ => Vec::new(),
        };
        self.asked.keys = encoded;
        self.asked.columns = keys.columns().to_vec();
        Ok(())
    }
}

/// Keeps the items of a list whose flag is set; a list without items may have flags.
fn retain<T>(list: &mut Vec<T>, flags: &[bool]) {
    let mut flags = flags.iter();
    list.retain(|_| flags.next().is_some_and(|flag| *flag));
}

/// An entry whose event time has passed.
struct Expired {
    key: Slice,
    /// Its key in the index, if that is another.
    time: Option<Slice>,
    /// Known if the entries are their own index.
    value: Option<Slice>,
    in_tree: bool,
}
