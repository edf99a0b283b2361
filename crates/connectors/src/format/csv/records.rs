//! CSV records to rows.
use std::sync::Arc;

use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    datatypes::{DataType, FieldRef, Schema, SchemaRef},
};

use super::{
    convert::{self, push},
    options::CsvOptions,
    tokens::{Token, Tokens},
};
use crate::format::{FormatError, ParseMode, column::Column, json::corrupt_column, parsed::Bad};

/// A wanted column and where its value stands in a record.
#[derive(Debug)]
struct Wanted {
    position: usize,
    field: FieldRef,
    column: Column,
}

/// Rows under construction from CSV records.
#[derive(Debug)]
pub(crate) struct CsvRecords {
    options: CsvOptions,
    schema: SchemaRef,
    wanted: Vec<Wanted>,
    corrupt: Option<(usize, Column)>,
    /// How many values a sound record has; `None` when columns are pruned, and any number will do.
    expected: Option<usize>,
    /// With no column wanted, records are counted and not looked at.
    count_only: bool,
    tokens: Tokens,
    rows: usize,
}

impl CsvRecords {
    /// Rows of the projected columns of a schema.
    pub(crate) fn new(
        data_schema: &Schema,
        projection: &[usize],
        options: CsvOptions,
    ) -> Result<Self, FormatError> {
        let (name, case_sensitive) = (&options.corrupt_column, options.case_sensitive);
        let corrupt_in_data = corrupt_column(data_schema.fields(), name, case_sensitive)?;
        let schema = Arc::new(data_schema.project(projection)?);
        let corrupt_at = corrupt_column(schema.fields(), name, case_sensitive)?;
        let mut wanted = vec![];
        for (output, index) in projection.iter().enumerate() {
            if Some(output) == corrupt_at {
                continue;
            }
            let field = Arc::clone(&data_schema.fields()[*index]);
            if !convert::supported(field.data_type()) {
                return Err(convert::unsupported(field.name(), field.data_type()));
            }
            // The corrupt-record column has no value in the file.
            let position = index - usize::from(corrupt_in_data.is_some_and(|c| c < *index));
            wanted.push(Wanted {
                position,
                column: Column::new(field.data_type())?,
                field,
            });
        }
        let width = data_schema.fields().len() - usize::from(corrupt_in_data.is_some());
        let pruning = options.column_pruning;
        Ok(Self {
            expected: (!pruning || wanted.len() == width).then_some(width),
            count_only: pruning && wanted.is_empty() && corrupt_at.is_none(),
            corrupt: match corrupt_at {
                Some(at) => Some((at, Column::new(&DataType::Utf8)?)),
                None => None,
            },
            wanted,
            schema,
            options,
            tokens: Tokens::default(),
            rows: 0,
        })
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Adds the row of one record, a line without its end.
    ///
    /// # Errors
    /// In `FAILFAST` mode, if the record is malformed; in any mode, if it cannot be cut into values.
    pub(crate) fn record(&mut self, record: &[u8]) -> Result<(), FormatError> {
        if self.count_only {
            self.rows += 1;
            return Ok(());
        }
        let mut tokens = std::mem::take(&mut self.tokens);
        let cut = tokens
            .cut(record, &self.options.dialect)
            .map_err(|e| FormatError::corrupt(e.0));
        let result = cut.and_then(|()| self.tokens(record, &tokens));
        self.tokens = tokens;
        result
    }

    /// Adds the row of a record that has been cut already.
    pub(super) fn tokens(&mut self, record: &[u8], tokens: &Tokens) -> Result<(), FormatError> {
        if self.count_only {
            self.rows += 1;
            return Ok(());
        }
        let mut bad = self
            .expected
            .filter(|expected| *expected != tokens.len())
            .map(|expected| Bad::new(format!("{} values instead of {expected}", tokens.len())));
        let Self {
            wanted, options, ..
        } = self;
        for Wanted {
            position,
            field,
            column,
        } in wanted
        {
            let token = tokens.get(*position).unwrap_or(Token::Missing);
            let text = match token {
                Token::Missing => None,
                Token::Empty => Some(options.empty_value.as_bytes()),
                token => Some(tokens.text(record, token)),
            };
            match text.filter(|text| *text != options.null_value.as_bytes()) {
                None => column.push_null(),
                Some(text) => {
                    if let Err(reason) = push(text, field.data_type(), options, column) {
                        column.push_null();
                        bad.get_or_insert(reason);
                    }
                }
            }
        }
        match bad {
            None => self.end_row(None),
            Some(bad) => match self.options.mode {
                ParseMode::Permissive => self.end_row(Some(record)),
                ParseMode::DropMalformed => self.undo(),
                ParseMode::FailFast => {
                    self.undo();
                    let record = String::from_utf8_lossy(record).into_owned();
                    return Err(FormatError::MalformedRecord {
                        record,
                        reason: bad.reason,
                    });
                }
            },
        }
        Ok(())
    }

    fn end_row(&mut self, malformed: Option<&[u8]>) {
        self.rows += 1;
        match (&mut self.corrupt, malformed) {
            (Some((_, Column::Utf8(column))), Some(text)) => {
                column.push(String::from_utf8_lossy(text).as_bytes());
            }
            (Some((_, column)), _) => column.push_null(),
            (None, _) => {}
        }
    }

    fn undo(&mut self) {
        let rows = self.rows;
        self.wanted
            .iter_mut()
            .for_each(|wanted| wanted.column.truncate(rows));
    }

    /// Adds a row of NULLs.
    pub(crate) fn null(&mut self) {
        self.wanted
            .iter_mut()
            .for_each(|wanted| wanted.column.push_null());
        self.end_row(None);
    }

    /// The rows so far as a batch; starts a new one.
    pub(crate) fn take(&mut self) -> Result<RecordBatch, FormatError> {
        let rows = std::mem::take(&mut self.rows);
        let arrays = self.wanted.iter_mut().map(|wanted| wanted.column.take());
        let mut arrays = arrays.collect::<Result<Vec<_>, _>>()?;
        if let Some((at, column)) = &mut self.corrupt {
            arrays.insert(*at, column.take()?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            arrays,
            &options,
        )?)
    }
}
