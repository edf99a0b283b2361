//! Merging the sessions of a batch with those of its keys in state: which rows make which session, as plain columns.
use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, PrimitiveArray, RecordBatch, RecordBatchOptions},
    compute::interleave,
    datatypes::{DataType, Field, Schema, TimestampMicrosecondType},
};
use datafusion::common::{Result, internal_datafusion_err};
use millstream_state::PrefixMatches;

use crate::{
    operator::aggregate::accumulators::Aggregates,
    time::{Session, merge_sessions},
};

/// Which batch a row is of, as `interleave` wants it.
const STORED: usize = 0;
const FRESH: usize = 1;

/// A row of the batch or of state: a session, perhaps only a part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    /// Number of its key.
    key: u32,
    start: i64,
    /// [`STORED`] or [`FRESH`]: of sessions that start together, the one in state is older.
    side: usize,
    end: i64,
    row: usize,
}

/// What becomes of the sessions of a batch's keys.
#[derive(Debug, Default)]
pub(super) struct Merge {
    /// The rows of changed sessions, session by session, by start within one.
    rows: Vec<(usize, usize)>,
    /// The changed session of each of them.
    of_rows: Vec<usize>,
    /// Changed sessions.
    changed: Vec<Session>,
    /// Rows of state that stand for nothing any more.
    pub outdated: Vec<u32>,
    /// Sessions that the batch's keys have now, unchanged ones included.
    pub sessions: u64,
    /// Sessions in state whose start is no longer that of a session of its key.
    pub removed: u64,
}

impl Merge {
    /// Merges `fresh` rows, whose keys have these numbers, with what state has for the keys by number. Start and end of a
    /// session are the two columns that follow `keys` key columns.
    pub fn of(
        fresh: &RecordBatch,
        numbers: &[u32],
        stored: &PrefixMatches,
        keys: usize,
    ) -> Result<Self> {
        let mut parts = parts_of(FRESH, fresh, numbers, keys)?;
        let asked = stored.asked.values();
        parts.extend(parts_of(STORED, &stored.entries, asked, keys)?);
        parts.sort_unstable();
        let mut merge = Self::default();
        for of_key in parts.chunk_by(|a, b| a.key == b.key) {
            merge.add_key(of_key);
        }
        Ok(merge)
    }

    /// The sessions of one key, from its parts by start.
    fn add_key(&mut self, parts: &[Part]) {
        let mut rest = parts;
        for session in merge_sessions(parts.iter().map(|part| (part.start, part.end))) {
            let (own, after) = rest.split_at(session.parts.min(rest.len()));
            rest = after;
            self.sessions += 1;
            if own.iter().any(|part| part.side == FRESH) {
                self.add_changed(session, own);
            }
        }
    }

    fn add_changed(&mut self, session: Session, parts: &[Part]) {
        for part in parts {
            self.rows.push((part.side, part.row));
            self.of_rows.push(self.changed.len());
            if part.side == FRESH {
                continue;
            }
            if part.start != session.start {
                self.removed += 1;
            }
            // An entry under the same key is overwritten.
            if (part.start, part.end) != (session.start, session.end) {
                self.outdated.push(part.row as u32);
            }
        }
        self.changed.push(session);
    }

    /// The changed sessions: keys, start, end, merged states.
    pub fn apply(
        &self,
        fresh: &RecordBatch,
        stored: &RecordBatch,
        aggregates: &Aggregates,
        keys: usize,
    ) -> Result<RecordBatch> {
        let both = |column: usize, rows: &[(usize, usize)]| -> Result<ArrayRef> {
            let sides = [stored.columns().get(column), fresh.columns().get(column)];
            let [Some(stored), Some(fresh)] = sides else {
                return Err(internal_datafusion_err!("there is no column {column}"));
            };
            Ok(interleave(&[stored.as_ref(), fresh.as_ref()], rows)?)
        };
        let mut first = vec![];
        let mut last = None;
        for (row, session) in self.rows.iter().zip(&self.of_rows) {
            if last.replace(session) != Some(session) {
                first.push(*row);
            }
        }
        let width = keys + super::exec::Sessions::COLUMNS;
        let mut columns = (0..keys)
            .map(|column| both(column, &first))
            .collect::<Result<Vec<_>>>()?;
        let starts = self.changed.iter().map(|session| session.start).collect();
        let ends = self.changed.iter().map(|session| session.end).collect();
        columns.push(times(starts, fresh, keys)?);
        columns.push(times(ends, fresh, keys + 1)?);

        let states = (width..fresh.num_columns())
            .map(|column| both(column, &self.rows))
            .collect::<Result<Vec<_>>>()?;
        let mut accumulators = aggregates.start()?;
        accumulators.merge(&states, &self.of_rows, self.changed.len())?;
        let states = accumulators.into_states()?;
        columns.extend(states.columns().iter().cloned());

        let fields = fresh.schema();
        let fields = fields.fields().iter().take(width);
        let fields: Vec<Arc<Field>> = fields.chain(states.schema().fields()).cloned().collect();
        let rows = RecordBatchOptions::new().with_row_count(Some(self.changed.len()));
        Ok(RecordBatch::try_new_with_options(
            Arc::new(Schema::new(fields)),
            columns,
            &rows,
        )?)
    }
}

/// Start and end of every row.
fn parts_of(side: usize, rows: &RecordBatch, numbers: &[u32], keys: usize) -> Result<Vec<Part>> {
    let column = |index: usize| {
        rows.columns()
            .get(index)
            .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>())
            .filter(|times| times.null_count() == 0)
            .ok_or_else(|| internal_datafusion_err!("a session has no start or end"))
    };
    let (starts, ends) = (column(keys)?, column(keys + 1)?);
    let bounds = starts.values().iter().zip(ends.values());
    Ok(numbers
        .iter()
        .zip(bounds)
        .enumerate()
        .map(|(row, (key, (start, end)))| Part {
            key: *key,
            start: *start,
            side,
            end: *end,
            row,
        })
        .collect())
}

/// Times of the type that the column has in `like`.
fn times(values: Vec<i64>, like: &RecordBatch, column: usize) -> Result<ArrayRef> {
    let schema = like.schema();
    let zone = match schema.fields().get(column).map(|field| field.data_type()) {
        Some(DataType::Timestamp(_, zone)) => zone.clone(),
        other => {
            return Err(internal_datafusion_err!(
                "a session has a bound of type {other:?}"
            ));
        }
    };
    let times: PrimitiveArray<TimestampMicrosecondType> = values.into();
    Ok(Arc::new(times.with_timezone_opt(zone)))
}
