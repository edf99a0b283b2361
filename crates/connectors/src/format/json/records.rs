//! Records to rows: the tiers in order, then the parse mode's answer to what is malformed.
use std::sync::Arc;

use arrow::{
    array::{Array, RecordBatch, RecordBatchOptions},
    compute::cast,
    datatypes::{DataType, Field, Fields, SchemaRef},
};

use super::{
    convert::{Converter, Failure, Target},
    layout::{Learner, learn},
    lexer::{Lexer, Token},
    options::JsonOptions,
    scan::{Clean, Ready, Scan, Slot, Surprise, commit, flat},
};
use crate::{
    datetime::Zone,
    format::{FormatError, ParseMode, column::Column, parsed::Bad},
    text::{Style, render},
};

/// Which tiers may be used; all of them give the same answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiers {
    /// Match the layout of the record before.
    pub layout: bool,
    /// Scan flat records.
    pub scan: bool,
}

impl Tiers {
    /// Everything, fastest first.
    pub const ALL: Self = Self {
        layout: true,
        scan: true,
    };
}

/// After this many records that a learned layout did not fit, learning pauses.
const MISSES_MAX: u32 = 16;
/// For how many records learning pauses.
const PAUSE: u32 = 1024;

/// Rows under construction from JSON records.
#[derive(Debug)]
pub(crate) struct Records {
    options: JsonOptions,
    /// Whether a top-level array is a sequence of rows (files) or malformed (`from_json`).
    arrays_are_rows: bool,
    tiers: Tiers,
    schema: SchemaRef,
    target: Target,
    columns: Vec<Column>,
    /// Position of the corrupt-record column in the schema, and the column.
    corrupt: Option<(usize, Column)>,
    rows: usize,
    slots: Vec<Slot>,
    ready: Vec<Ready>,
    learner: Learner,
    misses: u32,
    pause: u32,
    scratch: Vec<u8>,
}

impl Records {
    /// Rows of a schema, of which a string column named as the options say takes malformed records.
    pub(crate) fn new(
        schema: SchemaRef,
        options: JsonOptions,
        arrays_are_rows: bool,
        tiers: Tiers,
    ) -> Result<Self, FormatError> {
        let corrupt = corrupt_column(
            schema.fields(),
            &options.corrupt_column,
            options.case_sensitive,
        )?;
        let fields: Fields = schema
            .fields()
            .iter()
            .enumerate()
            .filter(|(index, _)| Some(*index) != corrupt)
            .map(|(_, field)| Arc::clone(field))
            .collect();
        let target = Target::new(&fields)?;
        let columns = fields
            .iter()
            .map(|f| Column::new(f.data_type()))
            .collect::<Result<Vec<_>, _>>()?;
        let fast = target.kinds().iter().all(flat);
        Ok(Self {
            arrays_are_rows,
            tiers: Tiers {
                layout: tiers.layout && fast,
                scan: tiers.scan && fast,
            },
            slots: vec![Slot::Absent; columns.len()],
            ready: Vec::with_capacity(columns.len()),
            corrupt: match corrupt {
                Some(index) => Some((index, Column::new(&DataType::Utf8)?)),
                None => None,
            },
            options,
            schema,
            target,
            columns,
            rows: 0,
            learner: Learner::default(),
            misses: 0,
            pause: 0,
            scratch: vec![],
        })
    }

    /// Rows since the last batch was taken.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Adds the rows of one record. `clean` must hold for its bytes.
    ///
    /// # Errors
    /// In `FAILFAST` mode, if the record is malformed.
    pub(crate) fn record(&mut self, text: &[u8], clean: Clean) -> Result<(), FormatError> {
        if self.tiers.scan && self.fast(text, clean).is_ok() {
            self.rows += 1;
            if let Some((_, corrupt)) = &mut self.corrupt {
                corrupt.push_null();
            }
            return Ok(());
        }
        self.general(text, clean)
    }

    /// The fast tiers; a surprise leaves no trace.
    fn fast(&mut self, text: &[u8], clean: Clean) -> Result<(), Surprise> {
        if !clean.ascii && std::str::from_utf8(text).is_err() {
            return Err(Surprise);
        }
        let plain = self.tiers.layout && clean.plain();
        self.slots.fill(Slot::Absent);
        if plain && self.learner.layout().known() {
            if self
                .learner
                .layout()
                .object(text, clean.quotes, &mut self.slots)
                .is_ok()
            {
                self.misses = 0;
                return self.commit(text);
            }
            self.slots.fill(Slot::Absent);
            self.misses += 1;
            if self.misses > MISSES_MAX {
                (self.misses, self.pause) = (0, PAUSE);
                self.learner = Learner::default();
            }
        }
        let scan = Scan::new(text, clean);
        if plain && self.pause == 0 {
            learn(scan, &self.target, &mut self.slots, &mut self.learner)?;
        } else {
            self.pause = self.pause.saturating_sub(1);
            scan.object(&self.target, &mut self.slots, None)?;
        }
        self.commit(text)
    }

    fn commit(&mut self, text: &[u8]) -> Result<(), Surprise> {
        let Self {
            slots,
            target,
            options,
            ready,
            columns,
            ..
        } = self;
        commit(text, slots, target, options, ready, columns)
    }

    /// The general parser.
    fn general(&mut self, text: &[u8], clean: Clean) -> Result<(), FormatError> {
        let before = self.rows;
        let mut scratch = std::mem::take(&mut self.scratch);
        let outcome = self.root(text, clean.ascii && clean.control_free, &mut scratch);
        self.scratch = scratch;
        let (rows, bad) = match outcome {
            Ok((rows, bad)) => (rows, bad),
            Err(bad) => {
                self.columns
                    .iter_mut()
                    .for_each(|column| column.truncate(before));
                (0, Some((bad, true)))
            }
        };
        let Some((bad, whole)) = bad else {
            self.rows = before + rows;
            if let Some((_, corrupt)) = &mut self.corrupt {
                (0..rows).for_each(|_| corrupt.push_null());
            }
            return Ok(());
        };
        match self.options.mode {
            ParseMode::Permissive => {
                self.keep_malformed(text, before, if whole { 0 } else { rows })
            }
            ParseMode::DropMalformed => {
                self.columns
                    .iter_mut()
                    .for_each(|column| column.truncate(before));
            }
            ParseMode::FailFast => {
                self.keep_malformed(text, before, if whole { 0 } else { rows });
                let record = partial_row(&self.take()?, before)?;
                return Err(FormatError::MalformedRecord {
                    record,
                    reason: bad.reason,
                });
            }
        }
        Ok(())
    }

    /// Keeps what could be read of a malformed record, at least one row, with the record's text.
    fn keep_malformed(&mut self, text: &[u8], before: usize, rows: usize) {
        if rows == 0 {
            self.columns.iter_mut().for_each(Column::push_null);
        }
        let rows = rows.max(1);
        if let Some((_, Column::Utf8(corrupt))) = &mut self.corrupt {
            let text = String::from_utf8_lossy(text);
            (0..rows).for_each(|_| corrupt.push(text.as_bytes()));
        }
        self.rows = before + rows;
    }

    /// Appends the record's rows: how many, and what is wrong with them (`true` if all is lost).
    fn root(
        &mut self,
        text: &[u8],
        clean: bool,
        scratch: &mut Vec<u8>,
    ) -> Result<(usize, Option<(Bad, bool)>), Bad> {
        let Self {
            columns,
            target,
            options,
            ..
        } = self;
        let mut converter = Converter {
            lexer: Lexer::new(text, options.syntax, scratch).assume_clean(clean),
            options,
            bad: None,
        };
        if options.exact_strings {
            converter.lexer.skip_byte_order_mark();
        }
        let malformed = |f: Failure| match f {
            Failure::Malformed(m) => Bad::new(format!("not JSON at offset {}", m.at)),
            Failure::Value(bad) => bad,
        };
        let fail = |m| malformed(Failure::Malformed(m));
        if converter.lexer.skip_blanks().map_err(fail)?.is_none() {
            return Ok((0, None));
        }
        let mut rows = 0;
        match converter.lexer.value().map_err(fail)? {
            Token::Object => {
                converter
                    .object(target, columns, self.rows, true)
                    .map_err(malformed)?;
                rows = 1;
                pad(columns, self.rows + rows);
            }
            Token::Array if self.arrays_are_rows => {
                while converter.lexer.next_element(rows == 0).map_err(fail)? {
                    match converter.lexer.value().map_err(fail)? {
                        Token::Object => {}
                        _ => {
                            return Err(Bad::new("an element of the top-level array is no object"));
                        }
                    }
                    let row = self.rows + rows;
                    converter
                        .object(target, columns, row, false)
                        .map_err(malformed)?;
                    rows += 1;
                    pad(columns, row + 1);
                }
            }
            Token::Array => return Err(Bad::new("a top-level array where an object is expected")),
            _ => return Err(Bad::new("the record is no object")),
        }
        Ok((rows, converter.bad.map(|bad| (bad, false))))
    }

    /// Adds a row of NULLs.
    pub(crate) fn null(&mut self) {
        self.columns.iter_mut().for_each(Column::push_null);
        if let Some((_, corrupt)) = &mut self.corrupt {
            corrupt.push_null();
        }
        self.rows += 1;
    }

    /// The rows so far as a batch; starts a new one.
    pub(crate) fn take(&mut self) -> Result<RecordBatch, FormatError> {
        let rows = std::mem::take(&mut self.rows);
        let mut arrays = self
            .columns
            .iter_mut()
            .map(Column::take)
            .collect::<Result<Vec<_>, _>>()?;
        if let Some((index, column)) = &mut self.corrupt {
            arrays.insert(*index, column.take()?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            arrays,
            &options,
        )?)
    }
}

/// A row as Spark prints its internal one, which is how it names a malformed record: dates and times are numbers.
fn partial_row(batch: &RecordBatch, row: usize) -> Result<String, FormatError> {
    let style = Style::cast(Zone::Fixed {
        seconds: 0,
        prefix: "",
    });
    let mut values = vec![];
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let column = column.slice(row, 1);
        let column = match column.data_type() {
            DataType::Date32 => cast(&column, &DataType::Int32)?,
            DataType::Timestamp(_, _) => cast(&column, &DataType::Int64)?,
            _ => column,
        };
        let field = field
            .as_ref()
            .clone()
            .with_data_type(column.data_type().clone());
        let text = render(&column, &field, &style).ok();
        let text = text
            .filter(|t| t.is_valid(0))
            .map(|t| t.value(0).to_owned());
        values.push(text.unwrap_or_else(|| "null".to_owned()));
    }
    Ok(format!("[{}]", values.join(",")))
}

/// NULL in every column that has no value for the last of `rows` rows.
fn pad(columns: &mut [Column], rows: usize) {
    columns
        .iter_mut()
        .filter(|column| column.len() < rows)
        .for_each(Column::push_null);
}

/// The corrupt-record column of a schema, which must be a nullable string.
pub(crate) fn corrupt_column(
    fields: &Fields,
    name: &str,
    case_sensitive: bool,
) -> Result<Option<usize>, FormatError> {
    let named = |field: &Arc<Field>| match case_sensitive {
        true => field.name() == name,
        false => field.name().eq_ignore_ascii_case(name),
    };
    let Some(index) = fields.iter().position(named) else {
        return Ok(None);
    };
    match fields.get(index) {
        Some(field) if *field.data_type() == DataType::Utf8 && field.is_nullable() => {
            Ok(Some(index))
        }
        Some(field) => Err(FormatError::CorruptRecordType {
            column: field.name().clone(),
            data_type: crate::format::spark_type::sql_name(field.data_type()),
        }),
        None => Ok(None),
    }
}
