//! How the rows of one side lie in the operator's input and in its state.
//!
//! ```text
//!   input   field0 … fieldn │ event time? │ the row
//!   state   field0 … fieldn │ event time? │ sequence ║ matched? │ the row, without what the key has
//!           └─── prefix ───┘                         ║
//! ```
//!
//! A row is found by its join key, the prefix, and evicted by one column of its key: a part of the join key if that carries
//! event time, else a column of its own, NULL where the row has no event time, so that it stays. The sequence tells rows
//! of one key apart: the batch that stored a row and its place among what the partition stored then. `matched` is there
//! where rows without a match come out at last.
//!
//! The names of the columns in state say where each is from, for those who read it (`statestore`): a column of the lead that
//! is column 2 of the row, called `k`, is `field0#2.k`; others are `field0#`, and windows `field0#.start` and `field0#.end`.
use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions},
    datatypes::{DataType, Field, FieldRef, Int64Type, Schema, SchemaRef},
};
use datafusion::{
    common::{Column, DFSchema, Result, internal_datafusion_err},
    logical_expr::Expr,
};
use millstream_state::StateSchema;

use super::bounds::{RangeBound, SideBound};
use crate::{
    batch::external,
    plan::UnsupportedOperation,
    time::event_time::{delay_ms, is_window},
};

/// The flag in front of the row; no column of a row has such a name.
const MATCHED: &str = "matched#state";

/// A column in front of the row: part of the key, or the event time to evict by.
#[derive(Debug, Clone)]
pub(super) struct KeyPart {
    /// Over the side's input.
    pub expr: Expr,
    /// The column in state.
    pub field: FieldRef,
    evicts: bool,
}

impl KeyPart {
    pub fn new(expr: Expr, data_type: &DataType, index: usize, part: &str, evicts: bool) -> Self {
        let dot = if part.is_empty() { "" } else { "." };
        let field = Field::new(format!("field{index}#{dot}{part}"), data_type.clone(), true);
        Self {
            expr,
            field: Arc::new(field),
            evicts,
        }
    }
}

/// By what rows leave state.
#[derive(Debug, Clone)]
pub(super) enum Eviction {
    Never,
    /// The key's event time, at the watermark.
    AtWatermark {
        column: usize,
    },
    /// The row's event time, at what the condition makes of the watermark.
    AtBound {
        column: usize,
        bound: RangeBound,
    },
}

impl Eviction {
    /// The column of the lead, and the highest event time that goes, in microseconds.
    pub fn at(&self, watermark_ms: i64) -> Option<(usize, i64)> {
        match self {
            Self::Never => None,
            Self::AtWatermark { column } => Some((*column, watermark_ms.saturating_mul(1000))),
            Self::AtBound { column, bound } => {
                Some((*column, bound.at(watermark_ms).saturating_mul(1000)))
            }
        }
    }

    fn column(&self) -> Option<usize> {
        self.at(0).map(|(column, _)| column)
    }
}

/// The layout of one side.
#[derive(Debug, Clone)]
pub(super) struct SideLayout {
    lead: Vec<KeyPart>,
    keys: usize,
    row: SchemaRef,
    /// The row's event time, by which it is late.
    event_time: Option<usize>,
    eviction: Eviction,
    /// Whether state remembers which rows had a match.
    remembers_matches: bool,
    state: StateSchema,
    /// Columns of the row that the value holds.
    stored: Vec<usize>,
    /// Where each column of the row is in an entry of state.
    places: Vec<usize>,
}

impl SideLayout {
    pub fn try_new(
        mut lead: Vec<KeyPart>,
        input: &DFSchema,
        bound: Option<SideBound>,
        remembers_matches: bool,
    ) -> Result<Self> {
        let row = Arc::new(Schema::clone(input.as_arrow()));
        let event_time = event_time(&row)?;
        let keys = lead.len();
        let eviction = match (bound, event_time) {
            (Some(SideBound::Key(_)), _) => {
                let column = lead.iter().position(|part| part.evicts);
                column.map_or(Eviction::Never, |column| Eviction::AtWatermark { column })
            }
            (Some(SideBound::EventTime(bound)), Some(event_time)) => {
                lead.push(event_time_part(input, event_time));
                Eviction::AtBound {
                    column: keys,
                    bound,
                }
            }
            _ => Eviction::Never,
        };
        let in_key = columns_in_key(&lead, input);
        for (column, (place, field)) in in_key.iter().zip(row.fields()).enumerate() {
            if let Some(part) = place.and_then(|place| lead.get_mut(place)) {
                let name = format!("{}{column}.{}", part.field.name(), field.name());
                part.field = Arc::new(part.field.as_ref().clone().with_name(name));
            }
        }
        let stored: Vec<_> = (0..row.fields().len())
            .filter(|column| in_key.get(*column).copied().flatten().is_none())
            .collect();
        let value_start = lead.len() + 1;
        let row_start = value_start + usize::from(remembers_matches);
        let mut next = row_start;
        let places = in_key
            .iter()
            .map(|place| {
                place.unwrap_or_else(|| {
                    next += 1;
                    next - 1
                })
            })
            .collect();
        let state = state_schema(&lead, keys, &row, &stored, &eviction, remembers_matches);
        Ok(Self {
            lead,
            keys,
            row,
            event_time,
            eviction,
            remembers_matches,
            state,
            stored,
            places,
        })
    }

    /// The columns in front of the row.
    pub fn lead(&self) -> &[KeyPart] {
        &self.lead
    }

    /// Number of columns of the join key.
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// The columns of the row.
    pub fn row(&self) -> &SchemaRef {
        &self.row
    }

    pub fn event_time(&self) -> Option<usize> {
        self.event_time
    }

    pub fn eviction(&self) -> &Eviction {
        &self.eviction
    }

    pub fn remembers_matches(&self) -> bool {
        self.remembers_matches
    }

    pub fn state(&self) -> &StateSchema {
        &self.state
    }

    /// Types of the join key's columns.
    pub fn key_types(&self) -> Vec<&DataType> {
        let keys = self.lead.iter().take(self.keys);
        keys.map(|part| part.field.data_type()).collect()
    }

    /// The row columns of an input batch.
    pub fn row_of_input(&self, input: &RecordBatch) -> Result<RecordBatch> {
        let columns = input
            .columns()
            .get(self.lead.len()..)
            .ok_or_else(|| internal_datafusion_err!("a join's input has too few columns"))?;
        with_rows(&self.row, columns.to_vec(), input.num_rows())
    }

    /// The join key of an input batch.
    pub fn key_of_input(&self, input: &RecordBatch) -> Result<RecordBatch> {
        Ok(input.project(&Vec::from_iter(0..self.keys))?)
    }

    /// Keys and values of state for an input batch whose rows are numbered from `sequence`.
    pub fn entries_of_input(
        &self,
        input: &RecordBatch,
        sequence: i64,
        matched: &BooleanArray,
    ) -> Result<(RecordBatch, RecordBatch)> {
        let rows = input.num_rows();
        let (lead, row) = input
            .columns()
            .split_at_checked(self.lead.len())
            .ok_or_else(|| internal_datafusion_err!("a join's input has too few columns"))?;
        let mut key = lead.to_vec();
        let numbers = sequence..sequence.saturating_add(rows as i64);
        key.push(Arc::new(Int64Array::from_iter_values(numbers)));
        let mut value: Vec<ArrayRef> = vec![];
        if self.remembers_matches {
            value.push(Arc::new(matched.clone()));
        }
        value.extend(
            self.stored
                .iter()
                .filter_map(|column| row.get(*column).cloned()),
        );
        Ok((
            with_rows(&self.state.key, key, rows)?,
            with_rows(&self.state.value, value, rows)?,
        ))
    }

    /// The rows of entries of state.
    pub fn row_of_entries(&self, entries: &RecordBatch) -> Result<RecordBatch> {
        let columns = self
            .places
            .iter()
            .map(|place| column(entries, *place).cloned());
        with_rows(
            &self.row,
            columns.collect::<Result<_>>()?,
            entries.num_rows(),
        )
    }

    /// Where a column of the row is in an entry.
    pub fn place(&self, column: usize) -> Result<usize> {
        let place = self.places.get(column).copied();
        place.ok_or_else(|| internal_datafusion_err!("a join's row has no column {column}"))
    }

    /// The sequence numbers of entries.
    pub fn sequence_of_entries<'a>(&self, entries: &'a RecordBatch) -> Result<&'a Int64Array> {
        column(entries, self.lead.len())?
            .as_primitive_opt::<Int64Type>()
            .ok_or_else(|| internal_datafusion_err!("a join's sequence is not a number"))
    }

    /// Which entries had a match.
    pub fn matched_of_entries<'a>(&self, entries: &'a RecordBatch) -> Result<&'a BooleanArray> {
        column(entries, self.lead.len() + 1)?
            .as_boolean_opt()
            .ok_or_else(|| internal_datafusion_err!("a join's match flag is not a boolean"))
    }

    /// The keys of entries.
    pub fn keys_of_entries(&self, entries: &RecordBatch) -> Result<RecordBatch> {
        let columns = entries
            .columns()
            .get(..=self.lead.len())
            .unwrap_or_default();
        with_rows(&self.state.key, columns.to_vec(), entries.num_rows())
    }

    /// The values of entries, all of which have a match now.
    pub fn matched_values_of_entries(&self, entries: &RecordBatch) -> Result<RecordBatch> {
        let rows = entries.num_rows();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(BooleanArray::from(vec![true; rows]))];
        let row = entries.columns().get(self.lead.len() + 2..);
        columns.extend_from_slice(row.unwrap_or_default());
        with_rows(&self.state.value, columns, rows)
    }
}

fn column(batch: &RecordBatch, index: usize) -> Result<&ArrayRef> {
    batch
        .columns()
        .get(index)
        .ok_or_else(|| internal_datafusion_err!("an entry of a join's state has no column {index}"))
}

/// A batch of `rows` rows, columns or not.
pub(super) fn with_rows(
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns,
        &options,
    )?)
}

/// The tagged column, of which there may be only one: which of two would make a row late?
fn event_time(row: &Schema) -> Result<Option<usize>> {
    let tagged = |(_, field): &(usize, &FieldRef)| delay_ms(field).is_some();
    let mut tagged = row.fields().iter().enumerate().filter(tagged);
    let first = tagged.next();
    match tagged.next() {
        None => Ok(first.map(|(index, _)| index)),
        Some(_) => {
            let columns = row
                .fields()
                .iter()
                .filter(|field| delay_ms(field).is_some());
            let columns = columns
                .map(|field| {
                    let delay = delay_ms(field).unwrap_or_default();
                    format!("{}-T{delay}ms", field.name())
                })
                .collect();
            Err(external(UnsupportedOperation::MultipleEventTimeColumns {
                columns,
            }))
        }
    }
}

/// The event time of a row as a column of its own; a window stands for its end.
fn event_time_part(input: &DFSchema, event_time: usize) -> KeyPart {
    let (qualifier, field) = input.qualified_field(event_time);
    let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
    let (expr, data_type) = match field.data_type() {
        DataType::Struct(bounds) if is_window(field) => (
            datafusion::functions::core::expr_fn::get_field(column, "end"),
            bounds
                .get(1)
                .map_or(DataType::Null, |end| end.data_type().clone()),
        ),
        data_type => (column, data_type.clone()),
    };
    KeyPart {
        expr,
        field: Arc::new(Field::new("event_time#", data_type, true)),
        evicts: true,
    }
}

/// For each column of the row the column of the lead that is the same.
fn columns_in_key(lead: &[KeyPart], input: &DFSchema) -> Vec<Option<usize>> {
    let mut places = vec![None; input.fields().len()];
    for (index, part) in lead.iter().enumerate() {
        let Expr::Column(column) = &part.expr else {
            continue;
        };
        // State keys hold zeros and NaNs in one form; the row keeps its own.
        let data_type = part.field.data_type();
        if data_type.is_floating() || data_type.is_nested() {
            continue;
        }
        if let Some(place) = input
            .maybe_index_of_column(column)
            .and_then(|column| places.get_mut(column))
        {
            *place = place.or(Some(index));
        }
    }
    places
}

fn state_schema(
    lead: &[KeyPart],
    keys: usize,
    row: &Schema,
    stored: &[usize],
    eviction: &Eviction,
    remembers_matches: bool,
) -> StateSchema {
    let mut key: Vec<FieldRef> = lead.iter().map(|part| Arc::clone(&part.field)).collect();
    key.push(Arc::new(Field::new("sequence", DataType::Int64, false)));
    let mut value: Vec<FieldRef> = vec![];
    if remembers_matches {
        value.push(Arc::new(Field::new(MATCHED, DataType::Boolean, false)));
    }
    let columns = stored.iter().filter_map(|column| row.fields().get(*column));
    // What is said of nullability may change from one version of a program to the next; what is stored may not.
    value.extend(
        columns.map(|field| Arc::new(Field::new(field.name(), field.data_type().clone(), true))),
    );
    let state = StateSchema::new(Arc::new(Schema::new(key)), Arc::new(Schema::new(value)))
        .with_prefix(keys);
    match eviction.column() {
        Some(column) => state.with_event_time(column),
        None => state,
    }
}
