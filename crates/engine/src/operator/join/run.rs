//! One partition of a join in one batch.
//!
//! ```text
//!   left rows  ──► late? ──► probe right state ──► pairs      right rows ──► late? ──► probe left state ──► pairs
//!                            then into left state                                      then into right state
//!   then: rows that no row to come can match leave state; those that found no match come out, if the join preserves them
//! ```
//!
//! As right rows meet the left rows of their own batch in state, every pair is made once. A semi join takes the right rows
//! first: a left row that finds its match in its own batch is not stored at all.
use std::{collections::HashSet, sync::Arc, time::Instant};

use arrow::{
    array::{Array, AsArray, BooleanArray, RecordBatch, UInt32Array, new_null_array},
    buffer::{BooleanBuffer, NullBuffer},
    compute::{and, filter_record_batch, not, prep_null_mask_filter, take_record_batch},
    datatypes::{DataType, TimestampMicrosecondType},
};
use datafusion::{
    common::{JoinType, Result, internal_datafusion_err},
    execution::{SendableRecordBatchStream, memory_pool::MemoryReservation},
    physical_expr::PhysicalExpr,
    physical_plan::ExecutionPlan,
};
use futures::{StreamExt, future::try_join, stream};
use millstream_state::{StateStoreGuard, StateStoreId};

use super::{
    exec::{JoinSide, SymmetricHashJoinExec},
    layout::with_rows,
};
use crate::{
    batch::{BatchContext, external},
    operator::OperatorMetrics,
};

/// Names of the stores, by side.
pub(super) const STORES: [&str; 2] = ["left", "right"];
/// Rows of one batch and side and partition that can be told apart.
const SEQUENCE_BITS: u32 = 32;

/// A side of the join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }

    /// This side's of two.
    pub(super) fn of<T>(self, [left, right]: &[T; 2]) -> &T {
        match self {
            Self::Left => left,
            Self::Right => right,
        }
    }

    fn of_mut<T>(self, [left, right]: &mut [T; 2]) -> &mut T {
        match self {
            Self::Left => left,
            Self::Right => right,
        }
    }
}

/// One partition of the operator in one batch.
pub(super) struct PartitionRun {
    exec: SymmetricHashJoinExec,
    partition: u32,
    batch: Arc<BatchContext>,
    memory: MemoryReservation,
    metrics: OperatorMetrics,
    /// Rows that each side has stored in this batch.
    stored: [u32; 2],
    output: Vec<RecordBatch>,
}

type Stores = [StateStoreGuard; 2];

/// What probing found.
struct Pairs {
    /// Rows of the probing batch, ascending.
    rows: UInt32Array,
    /// The entries of the other side that they meet.
    entries: RecordBatch,
}

impl PartitionRun {
    pub fn new(
        exec: SymmetricHashJoinExec,
        partition: u32,
        batch: Arc<BatchContext>,
        memory: MemoryReservation,
    ) -> Self {
        Self {
            exec,
            partition,
            batch,
            memory,
            metrics: OperatorMetrics::default(),
            stored: [0; 2],
            output: vec![],
        }
    }

    /// Joins the batch's rows, writes and commits state; the output streams from what the batch decided.
    pub async fn join(
        mut self,
        inputs: [SendableRecordBatchStream; 2],
    ) -> Result<impl futures::Stream<Item = Result<RecordBatch>>> {
        let mut stores = [
            self.checkout(Side::Left).await?,
            self.checkout(Side::Right).await?,
        ];
        let mut inputs = [Side::Left, Side::Right]
            .into_iter()
            .zip(inputs)
            .collect::<Vec<_>>();
        if self.exec.join_type == JoinType::LeftSemi {
            // A left row that finds its match in its own batch need not be stored.
            inputs.reverse();
        }
        for (side, input) in inputs {
            self.take_in(side, input, &mut stores).await?;
        }
        let started = Instant::now();
        self.evict(Side::Left, &mut stores)?;
        self.evict(Side::Right, &mut stores)?;
        self.metrics.removals_us = micros_since(started);
        // What comes out is decided, and held in memory: state is durable before the first row leaves, so that a reader that
        // wants only some rows (a limit) leaves nothing uncommitted.
        self.commit(stores).await?;
        let (output, memory) = (self.output, self.memory);
        Ok(stream::iter(output).map(move |rows| {
            memory.shrink(rows.get_array_memory_size().min(memory.size()));
            Ok(rows)
        }))
    }

    fn side(&self, side: Side) -> &JoinSide {
        side.of(&self.exec.sides)
    }

    fn store_id(&self, side: Side) -> StateStoreId {
        StateStoreId::named(self.exec.operator_id, self.partition, *side.of(&STORES))
    }

    async fn checkout(&self, side: Side) -> Result<StateStoreGuard> {
        let id = self.store_id(side);
        let schema = self.side(side).layout.state();
        let registry = &self.batch.state;
        registry
            .checkout(&id, schema, self.batch.batch_id)
            .await
            .map_err(external)
    }

    /// Joins one side's rows with the other side's state, then stores them.
    async fn take_in(
        &mut self,
        side: Side,
        mut input: SendableRecordBatchStream,
        stores: &mut Stores,
    ) -> Result<()> {
        while let Some(rows) = input.next().await {
            let started = Instant::now();
            let rows = self.drop_late(side, rows?)?;
            let rows = self.drop_unmatchable(side, rows)?;
            if rows.num_rows() > 0 {
                let matched = self.probe(side, &rows, side.other().of_mut(stores))?;
                self.store(side, &rows, matched, side.of_mut(stores))?;
            }
            self.metrics.updates_us += micros_since(started);
        }
        Ok(())
    }

    /// The rows that are not late, late ones counted.
    fn drop_late(&mut self, side: Side, rows: RecordBatch) -> Result<RecordBatch> {
        let layout = &self.side(side).layout;
        let Some(event_time) = layout.event_time() else {
            return Ok(rows);
        };
        let watermarks = self.batch.watermarks_of(self.exec.operator_id);
        let late = at_or_below(
            &layout.row_of_input(&rows)?,
            event_time,
            watermarks.late_ms.saturating_mul(1000),
        )?;
        let dropped = late.true_count();
        if dropped == 0 {
            return Ok(rows);
        }
        self.metrics.rows_dropped_by_watermark += dropped as u64;
        Ok(filter_record_batch(&rows, &not(&late)?)?)
    }

    /// The rows that their own columns do not keep from a match; the others have found none already.
    fn drop_unmatchable(&mut self, side: Side, rows: RecordBatch) -> Result<RecordBatch> {
        let JoinSide { layout, filter, .. } = self.side(side);
        let Some(filter) = filter else {
            return Ok(rows);
        };
        let row = layout.row_of_input(&rows)?;
        let passes = answers(filter, &row)?;
        if passes.true_count() == rows.num_rows() {
            return Ok(rows);
        }
        let failed = filter_record_batch(&row, &not(&passes)?)?;
        let passed = filter_record_batch(&rows, &passes)?;
        self.put_out_unmatched(side, &failed)?;
        Ok(passed)
    }

    /// Puts out what rows and the other side's state make; which rows found a match.
    fn probe(
        &mut self,
        side: Side,
        rows: &RecordBatch,
        other: &mut StateStoreGuard,
    ) -> Result<BooleanArray> {
        let found = self.find(side, rows, other)?;
        let mut matched = vec![false; rows.num_rows()];
        for row in found.rows.values() {
            if let Some(matched) = matched.get_mut(*row as usize) {
                *matched = true;
            }
        }
        let matched = BooleanArray::from(matched);
        if found.rows.is_empty() {
            return Ok(matched);
        }
        match (self.exec.join_type, side) {
            (JoinType::LeftSemi, Side::Left) => {
                let row = self.side(side).layout.row_of_input(rows)?;
                let row = filter_record_batch(&row, &matched)?;
                self.put_out(row)?;
            }
            (JoinType::LeftSemi, Side::Right) => self.release(found.entries, other)?,
            _ => {
                let layout = &self.side(side).layout;
                let own = take_record_batch(&layout.row_of_input(rows)?, &found.rows)?;
                let theirs = self
                    .side(side.other())
                    .layout
                    .row_of_entries(&found.entries)?;
                self.remember(side.other(), found.entries, other)?;
                let pairs = self.paired(side, &own, &theirs)?;
                self.put_out(pairs)?;
            }
        }
        Ok(matched)
    }

    /// The pairs of rows and the other side's entries that the condition accepts.
    fn find(&self, side: Side, rows: &RecordBatch, other: &mut StateStoreGuard) -> Result<Pairs> {
        let layout = &self.side(side).layout;
        let key = layout.key_of_input(rows)?;
        let mut found = other.find_by_prefix(&key).map_err(external)?;
        if let Some(condition) = &self.exec.pair
            && !found.asked().is_empty()
        {
            let row = layout.row_of_input(rows)?;
            let theirs = &self.side(side.other()).layout;
            let accepted = condition.accepts(side, &row, found.as_ref(), theirs)?;
            found.retain(&accepted).map_err(external)?;
        }
        Ok(Pairs {
            rows: found.asked().clone(),
            entries: found.entries().map_err(external)?,
        })
    }

    /// Rows of one side beside as many of the other, left before right.
    fn paired(&self, side: Side, own: &RecordBatch, theirs: &RecordBatch) -> Result<RecordBatch> {
        let (left, right) = match side {
            Side::Left => (own, theirs),
            Side::Right => (theirs, own),
        };
        let columns = left.columns().iter().chain(right.columns()).cloned();
        let schema = match self.exec.join_type {
            // The pair is only looked at.
            JoinType::LeftSemi => Arc::new(arrow::datatypes::Schema::new(
                [left, right]
                    .iter()
                    .flat_map(|rows| rows.schema().fields().to_vec())
                    .collect::<Vec<_>>(),
            )),
            _ => self.exec.schema(),
        };
        with_rows(&schema, columns.collect(), own.num_rows())
    }

    /// Notes that entries of `side` found a match, where they had none.
    fn remember(
        &self,
        side: Side,
        entries: RecordBatch,
        store: &mut StateStoreGuard,
    ) -> Result<()> {
        let layout = &self.side(side).layout;
        if !layout.remembers_matches() {
            return Ok(());
        }
        let news = filter_record_batch(&entries, &not(layout.matched_of_entries(&entries)?)?)?;
        let news = once(&news, layout.sequence_of_entries(&news)?)?;
        if news.num_rows() == 0 {
            return Ok(());
        }
        store
            .put(
                &layout.keys_of_entries(&news)?,
                &layout.matched_values_of_entries(&news)?,
            )
            .map_err(external)
    }

    /// A semi join's left rows that found their match: out they go, of state as well.
    fn release(&mut self, entries: RecordBatch, store: &mut StateStoreGuard) -> Result<()> {
        let layout = &self.side(Side::Left).layout;
        let entries = once(&entries, layout.sequence_of_entries(&entries)?)?;
        let row = layout.row_of_entries(&entries)?;
        let removed = store.delete(&layout.keys_of_entries(&entries)?);
        self.metrics.rows_removed += removed.map_err(external)?;
        self.put_out(row)
    }

    /// Keeps rows that may be asked for once more.
    fn store(
        &mut self,
        side: Side,
        rows: &RecordBatch,
        matched: BooleanArray,
        store: &mut StateStoreGuard,
    ) -> Result<()> {
        let keep = self.worth_keeping(side, rows, &matched)?;
        let (rows, matched) = match keep {
            None => (rows.clone(), matched),
            Some(keep) => (
                filter_record_batch(rows, &keep)?,
                arrow::compute::filter(&matched, &keep)?
                    .as_boolean()
                    .clone(),
            ),
        };
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let sequence = self.number(side, rows.num_rows())?;
        let layout = &self.side(side).layout;
        let (keys, values) = layout.entries_of_input(&rows, sequence, &matched)?;
        store.put(&keys, &values).map_err(external)?;
        self.metrics.rows_updated += rows.num_rows() as u64;
        Ok(())
    }

    /// Which rows state is for; `None`: all. Rows of the side that comes first wait for those of their own batch. The others
    /// have met all there is: one that would be evicted now is kept only if eviction has to put it out.
    fn worth_keeping(
        &self,
        side: Side,
        rows: &RecordBatch,
        matched: &BooleanArray,
    ) -> Result<Option<BooleanArray>> {
        let layout = &self.side(side).layout;
        match (side, self.exec.join_type) {
            (Side::Left, JoinType::LeftSemi) => Ok(Some(not(matched)?)),
            (Side::Right, JoinType::LeftSemi) | (Side::Left, _) => Ok(None),
            (Side::Right, _) => {
                let Some((column, threshold)) = layout.eviction().at(self.eviction_ms()) else {
                    return Ok(None);
                };
                let mut expires = at_or_below(rows, column, threshold)?;
                if layout.remembers_matches() {
                    expires = and(&expires, matched)?;
                }
                Ok(Some(not(&expires)?))
            }
        }
    }

    /// The first of `rows` sequence numbers: no other batch has them.
    fn number(&mut self, side: Side, rows: usize) -> Result<i64> {
        let stored = side.of_mut(&mut self.stored);
        let from = i64::from(*stored);
        let too_many = || internal_datafusion_err!("a join stores too many rows in one batch");
        *stored = u32::try_from(rows)
            .ok()
            .and_then(|rows| stored.checked_add(rows))
            .ok_or_else(too_many)?;
        let batch = i64::try_from(self.batch.batch_id).map_err(|_| too_many())?;
        let batch = batch.checked_mul(1 << SEQUENCE_BITS).ok_or_else(too_many)?;
        Ok(batch + from)
    }

    fn eviction_ms(&self) -> i64 {
        let watermarks = self.batch.watermarks_of(self.exec.operator_id);
        watermarks.eviction_ms
    }

    /// Lets go of what no row to come can match.
    fn evict(&mut self, side: Side, stores: &mut Stores) -> Result<()> {
        let layout = &self.side(side).layout;
        let Some((_, threshold)) = layout.eviction().at(self.eviction_ms()) else {
            return Ok(());
        };
        let store = side.of_mut(stores);
        if !layout.remembers_matches() {
            self.metrics.rows_removed += store.drop_expired(threshold).map_err(external)?;
            return Ok(());
        }
        for entries in store.evict(threshold).map_err(external)? {
            let layout = &self.side(side).layout;
            let unmatched = not(layout.matched_of_entries(&entries)?)?;
            let rows = layout.row_of_entries(&filter_record_batch(&entries, &unmatched)?)?;
            self.metrics.rows_removed += entries.num_rows() as u64;
            self.put_out_unmatched(side, &rows)?;
        }
        Ok(())
    }

    /// Puts out rows without a match beside NULLs.
    fn put_out_unmatched(&mut self, side: Side, rows: &RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let row = self.side(side.other()).layout.row();
        let nulls = row
            .fields()
            .iter()
            .map(|field| new_null_array(field.data_type(), rows.num_rows()));
        let nullable = row
            .fields()
            .iter()
            .map(|field| arrow::datatypes::Field::clone(field).with_nullable(true));
        let nullable = Arc::new(arrow::datatypes::Schema::new(nullable.collect::<Vec<_>>()));
        let nulls = with_rows(&nullable, nulls.collect(), rows.num_rows())?;
        let padded = self.paired(side, rows, &nulls)?;
        self.put_out(padded)
    }

    fn put_out(&mut self, rows: RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        self.memory.try_grow(rows.get_array_memory_size())?;
        let rows = with_rows(
            &self.exec.schema(),
            rows.columns().to_vec(),
            rows.num_rows(),
        )?;
        self.output.push(rows);
        Ok(())
    }

    async fn commit(&mut self, stores: Stores) -> Result<()> {
        let started = Instant::now();
        let mut metrics = std::mem::take(&mut self.metrics);
        let [mut left, mut right] = stores;
        // One waits for the disk while the other writes.
        try_join(left.commit(), right.commit())
            .await
            .map_err(external)?;
        for (side, store) in [(Side::Left, left), (Side::Right, right)] {
            metrics.add_store(self.store_id(side), &store.metrics());
        }
        metrics.commit_us = micros_since(started);
        metrics.partitions = 1;
        self.batch
            .observations
            .merge_operator(self.exec.operator_id, metrics);
        Ok(())
    }
}

/// Which rows a predicate accepts; NULL is no.
pub(super) fn answers(
    predicate: &Arc<dyn PhysicalExpr>,
    rows: &RecordBatch,
) -> Result<BooleanArray> {
    let answers = predicate.evaluate(rows)?.into_array(rows.num_rows())?;
    let answers = answers
        .as_boolean_opt()
        .ok_or_else(|| internal_datafusion_err!("a join's condition is not a boolean"))?;
    Ok(match answers.null_count() {
        0 => answers.clone(),
        _ => prep_null_mask_filter(answers),
    })
}

/// Which rows have an event time at or below `threshold` microseconds; a window stands for its end.
fn at_or_below(rows: &RecordBatch, column: usize, threshold: i64) -> Result<BooleanArray> {
    let wrong =
        || internal_datafusion_err!("a join's event time is not a timestamp in microseconds");
    let column = rows.columns().get(column).ok_or_else(wrong)?;
    let (instants, outer) = match column.data_type() {
        DataType::Struct(_) => (
            column.as_struct().columns().get(1).ok_or_else(wrong)?,
            column.nulls(),
        ),
        _ => (column, None),
    };
    let instants = instants
        .as_primitive_opt::<TimestampMicrosecondType>()
        .ok_or_else(wrong)?;
    let below = BooleanBuffer::from_iter(instants.values().iter().map(|at| *at <= threshold));
    let valid = NullBuffer::union(instants.nulls(), outer);
    // A row without event time is never late and never goes.
    Ok(BooleanArray::new(
        match valid {
            None => below,
            Some(valid) => &below & valid.inner(),
        },
        None,
    ))
}

/// Each entry once.
fn once(entries: &RecordBatch, sequence: &arrow::array::Int64Array) -> Result<RecordBatch> {
    let mut seen = HashSet::with_capacity(entries.num_rows());
    let first: BooleanArray = sequence
        .values()
        .iter()
        .map(|at| Some(seen.insert(*at)))
        .collect();
    match first.true_count() == entries.num_rows() {
        true => Ok(entries.clone()),
        false => Ok(filter_record_batch(entries, &first)?),
    }
}

fn micros_since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}
