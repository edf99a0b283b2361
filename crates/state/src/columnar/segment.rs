//! Segments: immutable batches of entries with a bit per row that says whether a key still points at it.
//!
//! A `put` makes an open segment, a commit seals the open ones into one, compaction merges sealed ones.
//! The columns never change and are shared with snapshots in the making; only the bits do.
use std::sync::Arc;

use arrow::{
    array::{Array, ArrayData, BooleanArray, RecordBatch, new_empty_array, new_null_array},
    buffer::{BooleanBuffer, Buffer},
    compute::{concat_batches, filter, interleave},
    datatypes::SchemaRef,
};

use super::index::{Location, SlotId};
use crate::{Result, columns::batch_of};

/// Allocation beyond the rows themselves that is not worth a copy, in bytes.
const SLACK: usize = 4 << 10;

/// One bit per row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LiveRows {
    words: Vec<u64>,
    count: usize,
}

impl LiveRows {
    pub(super) fn all(rows: usize) -> Self {
        let mut words = vec![u64::MAX; rows.div_ceil(64)];
        if let Some(last) = words.last_mut().filter(|_| !rows.is_multiple_of(64)) {
            *last = (1 << (rows % 64)) - 1;
        }
        Self { words, count: rows }
    }

    pub(super) fn clear(&mut self, row: u32) {
        let (word, bit) = (row as usize / 64, 1u64 << (row % 64));
        if self.words[word] & bit != 0 {
            self.words[word] &= !bit;
            self.count -= 1;
        }
    }

    pub(super) fn set(&mut self, row: u32) {
        let (word, bit) = (row as usize / 64, 1u64 << (row % 64));
        if self.words[word] & bit == 0 {
            self.words[word] |= bit;
            self.count += 1;
        }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Rows whose bit is set, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.words.iter().enumerate().flat_map(|(index, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros())?;
                rest &= rest - 1;
                Some(index as u32 * 64 + bit)
            })
        })
    }

    /// The bits as an Arrow mask for that many rows.
    pub(super) fn mask(&self, rows: usize) -> BooleanBuffer {
        let words: Vec<u64> = self.words.iter().map(|word| word.to_le()).collect();
        BooleanBuffer::new(Buffer::from_vec(words), 0, rows)
    }
}

/// An immutable batch of entries (key columns, then value columns).
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) entries: RecordBatch,
    /// The slot of each row.
    pub(super) slots: Vec<SlotId>,
    pub(super) live: LiveRows,
    memory: usize,
    /// Whether the columns hold hardly more than these rows; they may be a small slice of large buffers.
    tight: bool,
}

impl Segment {
    pub(super) fn new(entries: RecordBatch, slots: Vec<SlotId>) -> Self {
        let live = LiveRows::all(entries.num_rows());
        let allocated = allocated_bytes(&entries);
        let tight = allocated <= SLACK || allocated <= 2 * needed_bytes(&entries) + SLACK;
        let memory = allocated
            + slots.capacity() * size_of::<SlotId>()
            + live.words.capacity() * 8
            + size_of::<Self>();
        Self {
            entries,
            slots,
            live,
            memory,
            tight,
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is nothing in it but live rows.
    pub(super) fn is_compact(&self) -> bool {
        self.tight && self.live.count() == self.rows()
    }

    /// Bytes held, shared buffers counted once.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    /// The live rows.
    pub(super) fn live_entries(&self) -> Result<RecordBatch> {
        if self.live.count() == self.rows() {
            return Ok(self.entries.clone());
        }
        let mask = BooleanArray::new(self.live.mask(self.rows()), None);
        let columns = self
            .entries
            .columns()
            .iter()
            .map(|column| filter(column, &mask));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        batch_of(self.entries.schema_ref(), columns, self.live.count())
    }
}

/// All segments of a store, by number.
#[derive(Debug, Default)]
pub(super) struct Segments {
    list: Vec<Option<Segment>>,
    vacant: Vec<u32>,
    rows: usize,
    live_rows: usize,
    memory: usize,
}

impl Segments {
    /// Adds a segment and returns its number.
    pub(super) fn add(&mut self, segment: Segment) -> u32 {
        self.rows += segment.rows();
        self.live_rows += segment.live.count();
        self.memory += segment.memory;
        match self.vacant.pop() {
            Some(id) => {
                self.list[id as usize] = Some(segment);
                id
            }
            None => {
                self.list.push(Some(segment));
                (self.list.len() - 1) as u32
            }
        }
    }

    /// The number that the next added segment will have.
    pub(super) fn next_id(&self) -> u32 {
        let end = self.list.len() as u32;
        self.vacant.last().copied().unwrap_or(end)
    }

    /// Takes a segment out.
    pub(super) fn remove(&mut self, id: u32) -> Option<Segment> {
        let segment = self.list.get_mut(id as usize)?.take()?;
        self.rows -= segment.rows();
        self.live_rows -= segment.live.count();
        self.memory -= segment.memory;
        self.vacant.push(id);
        Some(segment)
    }

    pub(super) fn get(&self, id: u32) -> Option<&Segment> {
        self.list.get(id as usize)?.as_ref()
    }

    /// Segments in use with their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Segment)> {
        self.list
            .iter()
            .enumerate()
            .filter_map(|(id, s)| Some((id as u32, s.as_ref()?)))
    }

    /// No key points at that row any more.
    pub(super) fn clear(&mut self, at: Location) {
        if let Some(segment) = self
            .list
            .get_mut(at.segment as usize)
            .and_then(Option::as_mut)
        {
            let before = segment.live.count();
            segment.live.clear(at.row);
            self.live_rows -= before - segment.live.count();
        }
    }

    /// A key points at that row again.
    pub(super) fn restore(&mut self, at: Location) {
        if let Some(segment) = self
            .list
            .get_mut(at.segment as usize)
            .and_then(Option::as_mut)
        {
            let before = segment.live.count();
            segment.live.set(at.row);
            self.live_rows += segment.live.count() - before;
        }
    }

    pub(super) fn count(&self) -> usize {
        self.list.len() - self.vacant.len()
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn live_rows(&self) -> usize {
        self.live_rows
    }

    pub(super) fn memory(&self) -> usize {
        self.memory + self.list.capacity() * size_of::<Option<Segment>>()
    }

    /// Copies rows of the given entry columns into one batch, NULLs where the location is none.
    ///
    /// `schema` names the columns of the result and has as many fields as `columns`.
    pub(super) fn gather(
        &self,
        locations: &[Location],
        columns: impl Iterator<Item = usize> + Clone,
        schema: &SchemaRef,
    ) -> Result<RecordBatch> {
        match self.slice(locations, columns.clone(), schema)? {
            Some(batch) => Ok(batch),
            None => self.copy(locations, columns, schema),
        }
    }

    fn copy(
        &self,
        locations: &[Location],
        columns: impl Iterator<Item = usize> + Clone,
        schema: &SchemaRef,
    ) -> Result<RecordBatch> {
        if locations.is_empty() {
            return Ok(RecordBatch::new_empty(Arc::clone(schema)));
        }
        let sources = Sources::of(self, locations);
        let arrays = columns
            .zip(schema.fields())
            .map(|(column, field)| {
                let null_row = sources
                    .missing
                    .then(|| new_null_array(field.data_type(), 1));
                let mut arrays: Vec<&dyn Array> = sources
                    .segments
                    .iter()
                    .map(|s| s.entries.column(column).as_ref())
                    .collect();
                arrays.extend(null_row.as_deref());
                Ok(interleave(&arrays, &sources.rows)?)
            })
            .collect::<Result<Vec<_>>>()?;
        batch_of(schema, arrays, locations.len())
    }

    /// The result without copying when it is a run of one segment, as for a batch with a single key.
    fn slice(
        &self,
        locations: &[Location],
        columns: impl Iterator<Item = usize> + Clone,
        schema: &SchemaRef,
    ) -> Result<Option<RecordBatch>> {
        let arrays = match locations.first() {
            None => schema
                .fields()
                .iter()
                .map(|f| new_empty_array(f.data_type()))
                .collect(),
            Some(first) if locations.iter().all(|at| at.is_none()) && first.is_none() => schema
                .fields()
                .iter()
                .map(|f| new_null_array(f.data_type(), locations.len()))
                .collect(),
            Some(first) => {
                let run = locations.iter().enumerate().all(|(i, at)| {
                    at.segment == first.segment
                        && u64::from(at.row) == u64::from(first.row) + i as u64
                });
                let Some(segment) = self.get(first.segment).filter(|_| run) else {
                    return Ok(None);
                };
                columns
                    .map(|c| {
                        segment
                            .entries
                            .column(c)
                            .slice(first.row as usize, locations.len())
                    })
                    .collect()
            }
        };
        batch_of(schema, arrays, locations.len()).map(Some)
    }
}

/// The live rows of some segments in one batch, sharing no memory with them.
pub(super) fn merge(schema: &SchemaRef, segments: &[&Segment]) -> Result<RecordBatch> {
    // Of a single batch `concat_batches` would give the very columns; with the empty one it copies them.
    let mut batches = vec![RecordBatch::new_empty(Arc::clone(schema))];
    for segment in segments {
        batches.push(segment.live_entries()?);
    }
    Ok(concat_batches(schema, &batches)?)
}

/// The segments that a list of locations touches, numbered densely for `interleave`.
struct Sources<'a> {
    segments: Vec<&'a Segment>,
    /// (source, row) of each location.
    rows: Vec<(usize, usize)>,
    /// Whether some location is none: it refers to row 0 of one more source, a row of NULLs.
    missing: bool,
}

impl<'a> Sources<'a> {
    fn of(all: &'a Segments, locations: &[Location]) -> Self {
        const UNSEEN: u32 = u32::MAX;
        let mut numbers = vec![UNSEEN; all.list.len()];
        let mut segments = Vec::new();
        for at in locations {
            if let Some(number) = numbers.get_mut(at.segment as usize)
                && *number == UNSEEN
                && let Some(segment) = all.get(at.segment)
            {
                *number = segments.len() as u32;
                segments.push(segment);
            }
        }
        let null_source = segments.len();
        let mut missing = false;
        let rows = locations
            .iter()
            .map(|at| match numbers.get(at.segment as usize) {
                Some(number) if *number != UNSEEN => (*number as usize, at.row as usize),
                _ => {
                    missing = true;
                    (null_source, 0)
                }
            })
            .collect();
        Self {
            segments,
            rows,
            missing,
        }
    }
}

/// Memory that a copy of the batch would take, roughly.
pub(super) fn needed_bytes(batch: &RecordBatch) -> usize {
    let sizes = batch
        .columns()
        .iter()
        .map(|c| c.to_data().get_slice_memory_size().unwrap_or(0));
    sizes.sum()
}

/// Memory behind a batch: whole allocations, each once however many columns share it.
pub(super) fn allocated_bytes(batch: &RecordBatch) -> usize {
    let mut seen = Vec::new();
    batch
        .columns()
        .iter()
        .map(|column| array_bytes(&column.to_data(), &mut seen))
        .sum()
}

fn array_bytes(data: &ArrayData, seen: &mut Vec<usize>) -> usize {
    let nulls = data.nulls().map(|nulls| nulls.buffer());
    let own: usize = data
        .buffers()
        .iter()
        .chain(nulls)
        .filter(|buffer| {
            let address = buffer.data_ptr().as_ptr() as usize;
            let new = !seen.contains(&address);
            seen.extend(new.then_some(address));
            new
        })
        .map(Buffer::capacity)
        .sum();
    own + data
        .child_data()
        .iter()
        .map(|child| array_bytes(child, seen))
        .sum::<usize>()
}
