//! The state of one store: reads that merge the layers with the tree, writes into the running batch.
//!
//! Synchronous, and knows no files but the local tree. The store around it turns the running batch's changes into a
//! delta; loading a version is replaying deltas through the same calls.
use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanArray, RecordBatch, UInt32Array, new_null_array},
    compute::{filter_record_batch, take},
};

use super::{
    buffer::{KeyRange, Live, LiveEntries, WriteBuffer},
    codec::{Codecs, Encoded, Space, TIME_BYTES, TimeIndex, normalize},
    keys::SortedKeys,
    local::{LocalTree, Marker},
    lookup::{Wanted, look_up},
    run::{Entry, Known, Merge, Run, Runs},
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

/// A committed layer on its way to the tree.
#[derive(Debug)]
pub(super) struct Flush {
    tree: Arc<LocalTree>,
    layer: Runs,
    marker: Option<Marker>,
}

impl Flush {
    pub(super) fn run(&self) -> Result<()> {
        let entries = Merge::of(self.layer.newest_first(), &KeyRange::of(&[]));
        let wanted = entries.filter(|entry| entry.known.alive || entry.known.in_tree);
        self.tree.write(wanted, self.marker.as_ref())
    }
}

/// Keys of a call.
#[derive(Debug)]
struct Asked {
    keys: SortedKeys,
    /// For each row its key in the event-time index, if there is one beside the entries.
    times: Option<Encoded>,
}

/// The keys of the last `get`, and what was known of them: a `put` of the same arrays need not look them up again.
#[derive(Debug)]
struct LastGet {
    columns: Vec<ArrayRef>,
    rows: usize,
    asked: Asked,
    /// Of the distinct keys.
    known: Vec<Known>,
}

impl LastGet {
    /// Whether these very keys were looked up.
    fn is_of(&self, keys: &RecordBatch) -> bool {
        let mut columns = self.columns.iter().zip(keys.columns());
        self.rows == keys.num_rows()
            && self.columns.len() == keys.num_columns()
            && columns.all(|(a, b)| Arc::ptr_eq(a, b))
    }
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
    /// Until anything changes.
    last_get: Option<LastGet>,
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
            last_get: None,
        }
    }

    pub(super) fn has_changes(&self) -> bool {
        self.buffer.has_changes() || self.evicted_through.is_some()
    }

    pub(super) fn num_keys(&self) -> u64 {
        self.live_keys
    }

    pub(super) fn get(&mut self, keys: &RecordBatch) -> Result<StateLookup> {
        let asked = self.encode_keys(keys)?;
        let (known, columns) = self.values(&asked.keys)?;
        // As asked: each key was looked up once.
        let places = asked.keys.places().iter();
        let found = places.map(|place| Some(known[*place as usize].alive));
        let found = BooleanArray::from_iter(found);
        let values = batch_of(&self.schema.value, columns, found.len())?;
        self.last_get = Some(LastGet {
            columns: keys.columns().to_vec(),
            rows: keys.num_rows(),
            asked,
            known,
        });
        Ok(StateLookup {
            found,
            values: hand_out(values, &self.schema.value_out)?,
        })
    }

    /// What is known of each distinct key, and the value columns by row.
    fn values(&self, keys: &SortedKeys) -> Result<(Vec<Known>, Vec<ArrayRef>)> {
        let found = look_up(keys.distinct(), Wanted::Values, &self.buffer, &self.tree)?;
        let mut columns = self.codecs.value.decode(found.values())?;
        // Decoded in key order, and each once: handed out as asked.
        let mut next = 0..;
        let known = found.known.iter();
        let places = known.map(|known| known.alive.then(|| next.next()).flatten());
        let places = UInt32Array::from_iter(places);
        let asked = UInt32Array::new(keys.places().to_vec().into(), None);
        let rows = take(&places, &asked, None)?;
        for column in &mut columns {
            *column = match column.is_empty() {
                true => new_null_array(column.data_type(), rows.len()),
                false => take(column, &rows, None)?,
            };
        }
        Ok((found.known, columns))
    }

    pub(super) fn put(&mut self, keys: &RecordBatch, values: &RecordBatch) -> Result<()> {
        let encoded = self.encode_values(keys, values)?;
        let (asked, before) = match self.last_get.take_if(|last| last.is_of(keys)) {
            Some(LastGet { asked, known, .. }) => (asked, known),
            None => {
                let asked = self.encode_keys(keys)?;
                let before = self.presence(&asked.keys)?;
                (asked, before)
            }
        };
        self.write(&asked, Some(&encoded), &before);
        Ok(())
    }

    /// Puts the entries whose keys are not there, the first row of each; says which rows those are.
    pub(super) fn put_absent(
        &mut self,
        keys: &RecordBatch,
        values: &RecordBatch,
    ) -> Result<BooleanArray> {
        check_values(&self.id, &self.schema, keys, values)?;
        let asked = self.encode_keys(keys)?.keys;
        let mut before = self.presence(&asked)?;
        // From here on known, or written, by place of the key.
        let mut there: Vec<bool> = before.iter().map(|known| known.alive).collect();
        let absent = asked.places().iter().map(|place| {
            let there = &mut there[*place as usize];
            Some(!std::mem::replace(there, true))
        });
        let absent = BooleanArray::from_iter(absent);
        let keys = filter_record_batch(keys, &absent)?;
        let values = filter_record_batch(values, &absent)?;
        // The keys that are left are in the order in which they were.
        before.retain(|known| !known.alive);
        let values = self.encode_values(&keys, &values)?;
        let asked = self.encode_keys(&keys)?;
        self.write(&asked, Some(&values), &before);
        Ok(absent)
    }

    /// Puts entries whose keys are not there yet, as those of a snapshot.
    pub(super) fn fill(&mut self, keys: &RecordBatch, values: &RecordBatch) -> Result<()> {
        let asked = self.encode_keys(keys)?;
        let values = self.encode_values(keys, values)?;
        let before = vec![Known::default(); asked.keys.distinct().len()];
        self.write(&asked, Some(&values), &before);
        Ok(())
    }

    pub(super) fn delete(&mut self, keys: &RecordBatch) -> Result<u64> {
        let asked = self.encode_keys(keys)?;
        let before = self.presence(&asked.keys)?;
        Ok(self.write(&asked, None, &before))
    }

    fn presence(&self, keys: &SortedKeys) -> Result<Vec<Known>> {
        let found = look_up(keys.distinct(), Wanted::Presence, &self.buffer, &self.tree)?;
        Ok(found.known)
    }

    /// Gives keys their values, by row, or removes them. `before` says of each distinct key what was known. Returns how
    /// many were there.
    fn write(&mut self, asked: &Asked, values: Option<&Encoded>, before: &[Known]) -> u64 {
        let Asked { keys, times } = asked;
        let alive = values.is_some();
        let distinct = keys.distinct();
        let bytes = distinct.bytes() + values.map_or(0, Encoded::bytes);
        let mut changes = Run::with_capacity(distinct.len(), bytes);
        // What the index gains or loses: it has an entry where the key has one.
        let (mut moved, mut moved_before) = (Encoded::default(), Vec::new());
        let mut were_there = 0;
        for ((key, row), before) in distinct.iter().zip(keys.rows()).zip(before) {
            were_there += u64::from(before.alive);
            if !before.alive && !alive {
                continue;
            }
            changes.push(Entry {
                key,
                value: values.map_or(&[], |values| values.get(*row)),
                known: Known { alive, ..*before },
            });
            if let Some(times) = times
                && before.alive != alive
            {
                moved.push(&[times.get(*row)]);
                moved_before.push(*before);
            }
        }
        let moved = SortedKeys::new(&moved);
        for (key, row) in moved.distinct().iter().zip(moved.rows()) {
            changes.push(Entry {
                key,
                value: &[],
                known: Known {
                    alive,
                    ..moved_before[*row as usize]
                },
            });
        }
        self.last_get = None;
        self.live_keys -= were_there;
        self.live_keys += if alive { distinct.len() as u64 } else { 0 };
        self.buffer.write(changes);
        were_there
    }

    pub(super) fn evict(&mut self, threshold: i64) -> Result<Vec<RecordBatch>> {
        let expired = self.expired("evict", threshold)?;
        let batches = expired
            .chunks(BATCH_ROWS)
            .map(|part| hand_out(self.expired_entries(part)?, &self.schema.entry_out));
        let batches = batches.collect::<Result<Vec<_>>>()?;
        self.drop_entries(&expired, threshold);
        Ok(batches)
    }

    pub(super) fn drop_expired(&mut self, threshold: i64) -> Result<u64> {
        let expired = self.expired("drop_expired", threshold)?;
        self.drop_entries(&expired, threshold);
        Ok(expired.len() as u64)
    }

    /// What the index has through `threshold`, oldest first.
    fn expired(&self, operation: &'static str, threshold: i64) -> Result<Vec<Live>> {
        let Some(index) = &self.codecs.time else {
            let store = self.id.clone();
            return Err(StateError::NotSupported {
                store,
                operation,
                needs: "an event-time column",
            });
        };
        self.live(&index.range(threshold)?).collect()
    }

    /// The keys of what the index has.
    fn indexed(&self, expired: &[Live]) -> Asked {
        let (mut keys, mut times) = (Encoded::default(), Encoded::default());
        let apart = self.codecs.index_apart();
        for Live { key, .. } in expired {
            match apart {
                Some(_) => {
                    keys.push(&TimeIndex::entry_parts(key));
                    times.push(&[key]);
                }
                None => keys.push(&[key]),
            }
        }
        Asked {
            keys: SortedKeys::new(&keys),
            times: apart.map(|_| times),
        }
    }

    /// The entries of what the index has.
    fn expired_entries(&self, expired: &[Live]) -> Result<RecordBatch> {
        if self.codecs.index_apart().is_none() {
            return self.entries(expired);
        }
        let keys = self.indexed(expired).keys;
        let encoded = keys.distinct().iter();
        let encoded = encoded.map(|key| key.get(1..).unwrap_or_default());
        let places = UInt32Array::from_iter_values(keys.places().iter().copied());
        let columns = self.codecs.key.decode(encoded)?;
        let columns = columns.iter().map(|column| take(column, &places, None));
        let mut columns = columns.collect::<Result<Vec<_>, _>>()?;
        columns.extend(self.values(&keys)?.1);
        batch_of(&self.schema.entry, columns, expired.len())
    }

    fn drop_entries(&mut self, expired: &[Live], threshold: i64) {
        if expired.is_empty() {
            return;
        }
        let asked = self.indexed(expired);
        // The index knows of a key what the entries know of it.
        let rows = asked.keys.rows().iter();
        let before: Vec<Known> = rows.map(|row| expired[*row as usize].known).collect();
        self.write(&asked, None, &before);
        self.evicted_through = self.evicted_through.max(Some(threshold));
    }

    fn live(&self, range: &KeyRange) -> LiveEntries<'_> {
        self.buffer.live(range, self.tree.range(range))
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
        let mut live = self.live(&KeyRange::of(&[Space::Entries as u8]));
        std::iter::from_fn(move || {
            let entries = live.by_ref().take(BATCH_ROWS);
            match entries.collect::<Result<Vec<_>>>() {
                Ok(entries) if entries.is_empty() => None,
                Ok(entries) => Some(self.entries(&entries)),
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
        let (mut asked, mut entries) = (Vec::new(), Vec::new());
        for (row, prefix) in encoded.iter().enumerate() {
            for entry in self.live(&KeyRange::of(prefix)) {
                asked.push(row as u32);
                entries.push(entry?);
            }
        }
        Ok(PrefixMatches {
            asked: UInt32Array::from(asked),
            entries: hand_out(self.entries(&entries)?, &self.schema.entry_out)?,
        })
    }

    fn entries(&self, live: &[Live]) -> Result<RecordBatch> {
        let pairs = live.iter().map(Live::pair);
        self.codecs.entries(&self.schema, live.len(), pairs)
    }

    /// The running batch's changes of entries, one per changed key, in key order.
    fn changed(&self) -> impl Iterator<Item = Entry<'_>> + Clone {
        let entries = KeyRange::of(&[Space::Entries as u8]);
        let changes = self.buffer.changes(&entries);
        changes.filter(|entry| entry.known.alive || entry.known.existed)
    }

    pub(super) fn changes(&self) -> Result<Changes> {
        let (updated, removed) = self.change_counts();
        let tombstones = self.changed().filter(|entry| !entry.known.alive);
        let tombstones = tombstones.map(|entry| entry.key.get(1..).unwrap_or_default());
        let tombstones = self.codecs.key.decode(tombstones)?;
        let tombstones = batch_of(&self.schema.key, tombstones, removed as usize)?;
        let upserts = self.changed().filter(|entry| entry.known.alive);
        let upserts = upserts.map(|entry| (entry.key, entry.value));
        let upserts = self
            .codecs
            .entries(&self.schema, updated as usize, upserts)?;
        Ok(Changes {
            evicted_through: self.evicted_through,
            tombstones: self.not_evicted(tombstones)?,
            upserts,
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
        self.changed().fold((0, 0), |(updated, removed), entry| {
            match entry.known.alive {
                true => (updated + 1, removed),
                false => (updated, removed + 1),
            }
        })
    }

    /// The running batch has made its changes: reading them goes through one run from here on.
    pub(super) fn settle(&mut self) {
        self.buffer.settle();
    }

    pub(super) fn roll_back(&mut self) {
        self.buffer.roll_back();
        self.evicted_through = None;
        self.live_keys = self.committed_keys;
        self.last_get = None;
    }

    /// Makes the running batch's changes committed ones.
    pub(super) fn promote(&mut self) {
        self.buffer.promote();
        self.evicted_through = None;
        self.committed_keys = self.live_keys;
        self.last_get = None;
    }

    /// Empties everything.
    pub(super) fn reset(&mut self) -> Result<()> {
        self.buffer = WriteBuffer::default();
        (self.live_keys, self.committed_keys) = (0, 0);
        self.evicted_through = None;
        self.last_get = None;
        self.tree.clear()
    }

    /// Moves the committed layer into the tree, which then stands for `at`; without that it is unfinished.
    pub(super) fn flush(&mut self, at: Option<(u64, Lineage)>) -> Result<()> {
        self.begin_flush(at).run()?;
        self.flushed();
        Ok(())
    }

    /// As [`LsmState::flush`], to be run beside what follows; [`LsmState::flushed`] says that it has.
    pub(super) fn begin_flush(&mut self, at: Option<(u64, Lineage)>) -> Flush {
        self.last_get = None;
        let marker = at.map(|(version, lineage)| Marker {
            encoding: self.codecs.encoding,
            key_fingerprint: self.schema.key_fingerprint,
            value_fingerprint: self.schema.value_fingerprint,
            event_time: self.event_time(),
            version,
            lineage,
            keys: self.committed_keys,
        });
        Flush {
            tree: Arc::clone(&self.tree),
            layer: self.buffer.begin_flush(),
            marker,
        }
    }

    /// The layer that was begun to be flushed is in the tree.
    pub(super) fn flushed(&mut self) {
        self.buffer.flushed();
        self.last_get = None;
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

    fn encode_keys(&self, keys: &RecordBatch) -> Result<Asked> {
        let columns = stored_columns(&self.id, "key", keys, &self.schema.key)?;
        let columns = normalize(columns)?;
        let head = [Space::Entries as u8];
        let encoded = self.codecs.key.encode(&head, &columns, keys.num_rows())?;
        let longest = encoded.iter().map(<[u8]>::len).max().unwrap_or(0);
        if longest + TIME_BYTES > KEY_BYTES_MAX {
            return Err(StateError::KeyTooLong {
                store: self.id.clone(),
                bytes: longest,
                limit: KEY_BYTES_MAX - TIME_BYTES,
            });
        }
        let index = self.codecs.index_apart();
        let times = index.map(|index| index.keys(&columns, &encoded));
        Ok(Asked {
            times: times.transpose()?,
            keys: SortedKeys::new(&encoded),
        })
    }

    /// Values for as many keys.
    fn encode_values(&self, keys: &RecordBatch, values: &RecordBatch) -> Result<Encoded> {
        check_values(&self.id, &self.schema, keys, values)?;
        let columns = values.columns().iter().zip(self.schema.value.fields());
        let columns = columns
            .map(|(c, f)| conform(c, f.data_type()))
            .collect::<Result<Vec<_>>>()?;
        self.codecs.value.encode(&[], &columns, values.num_rows())
    }
}
