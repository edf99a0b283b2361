//! Column functions over JSON text: `from_json`.
use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanBufferBuilder, StructArray},
    buffer::NullBuffer,
    datatypes::{DataType, Schema},
};

use super::{
    convert::{Converter, Failure, Kind},
    lexer::{Lexer, Token},
    options::JsonOptions,
    records::{Records, Tiers},
    scan::Clean,
};
use crate::format::{FormatError, FormatSettings, Options, ParseMode, column::Column, parsed::Bad};

/// `from_json(column, schema, options)` for one schema: a struct, an array or a map.
///
/// A NULL or blank text is NULL. A malformed text is a struct with the fields that could be read and NULL
/// for the others (NULL for arrays and maps); in `FAILFAST` mode it is an error.
#[derive(Debug)]
pub struct JsonRows {
    data_type: DataType,
    options: JsonOptions,
}

impl JsonRows {
    /// # Errors
    /// If an option's value is not allowed, the mode is `DROPMALFORMED`, or the type cannot be parsed.
    pub fn new(
        data_type: &DataType,
        options: &Options,
        settings: &FormatSettings,
    ) -> Result<Self, FormatError> {
        let mut options = JsonOptions::new(options, settings)?;
        options.exact_strings = false;
        options.temporal.check([data_type])?;
        if options.mode == ParseMode::DropMalformed {
            return Err(FormatError::InvalidOption {
                option: "mode".to_owned(),
                value: "DROPMALFORMED".to_owned(),
                reason: "the function `from_json` supports the modes PERMISSIVE and FAILFAST"
                    .to_owned(),
                class: Some("PARSE_MODE_UNSUPPORTED"),
            });
        }
        Kind::new(data_type)?;
        let data_type = nullable(data_type);
        Ok(Self { data_type, options })
    }

    /// The type of the result: the schema with every field nullable.
    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// Parses every text of a `Utf8`, `LargeUtf8`, `Utf8View`, `Binary` or `LargeBinary` array.
    ///
    /// # Errors
    /// In `FAILFAST` mode, the first malformed text.
    pub fn parse(&self, texts: &dyn Array) -> Result<ArrayRef, FormatError> {
        match texts.data_type() {
            DataType::Utf8 => self.texts(
                texts
                    .as_string::<i32>()
                    .iter()
                    .map(|t| t.map(str::as_bytes)),
            ),
            DataType::LargeUtf8 => self.texts(
                texts
                    .as_string::<i64>()
                    .iter()
                    .map(|t| t.map(str::as_bytes)),
            ),
            DataType::Utf8View => {
                self.texts(texts.as_string_view().iter().map(|t| t.map(str::as_bytes)))
            }
            DataType::Binary => self.texts(texts.as_binary::<i32>().iter()),
            DataType::LargeBinary => self.texts(texts.as_binary::<i64>().iter()),
            DataType::BinaryView => self.texts(texts.as_binary_view().iter()),
            other => Err(FormatError::Unsupported {
                feature: format!("from_json over {other}"),
            }),
        }
    }

    fn texts<'a>(
        &self,
        texts: impl Iterator<Item = Option<&'a [u8]>>,
    ) -> Result<ArrayRef, FormatError> {
        match &self.data_type {
            DataType::Struct(fields) => self.structs(Arc::new(Schema::new(fields.clone())), texts),
            _ => self.values(texts),
        }
    }

    fn structs<'a>(
        &self,
        schema: Arc<Schema>,
        texts: impl Iterator<Item = Option<&'a [u8]>>,
    ) -> Result<ArrayRef, FormatError> {
        let fields = schema.fields().clone();
        let mut records = Records::new(schema, self.options.clone(), false, Tiers::ALL)?;
        let mut valid = BooleanBufferBuilder::new(texts.size_hint().0);
        for text in texts {
            let text = text.unwrap_or_default();
            let before = records.rows();
            records.record(text, Clean::of(text))?;
            valid.append(records.rows() > before);
            if records.rows() == before {
                records.null();
            }
        }
        let nulls = NullBuffer::new(valid.finish());
        let batch = records.take()?;
        let length = batch.num_rows();
        let nulls = (nulls.null_count() > 0).then_some(nulls);
        Ok(Arc::new(StructArray::try_new_with_length(
            fields,
            batch.columns().to_vec(),
            nulls,
            length,
        )?))
    }

    /// Arrays and maps.
    fn values<'a>(
        &self,
        texts: impl Iterator<Item = Option<&'a [u8]>>,
    ) -> Result<ArrayRef, FormatError> {
        let kind = Kind::new(&self.data_type)?;
        let mut column = Column::new(&self.data_type)?;
        let mut scratch = vec![];
        for text in texts {
            let row = column.len();
            let text = text.unwrap_or_default();
            let failed = self.value(text, &kind, &mut column, &mut scratch).err();
            if let Some(bad) = failed
                && self.options.mode == ParseMode::FailFast
            {
                // Spark names the row it has so far, whose only value could not be made.
                let record = "[null]".to_owned();
                return Err(FormatError::MalformedRecord {
                    record,
                    reason: bad.reason,
                });
            }
            if column.len() == row {
                column.push_null();
            }
        }
        column.take()
    }

    fn value(
        &self,
        text: &[u8],
        kind: &Kind,
        column: &mut Column,
        scratch: &mut Vec<u8>,
    ) -> Result<(), Bad> {
        let row = column.len();
        let lexer = Lexer::new(text, self.options.syntax, scratch);
        let mut converter = Converter {
            lexer,
            options: &self.options,
            bad: None,
        };
        let reason = |failure: Failure| match failure {
            Failure::Malformed(m) => Bad::new(format!("not JSON at offset {}", m.at)),
            Failure::Value(bad) => bad,
        };
        let fail = |m| reason(Failure::Malformed(m));
        if converter.lexer.skip_blanks().map_err(fail)?.is_none() {
            return Ok(());
        }
        let token = converter.lexer.value().map_err(fail)?;
        match (kind, token) {
            (Kind::List(item), Token::Object) if matches!(**item, Kind::Struct(_)) => {
                // A single object stands for an array of one.
                let Column::List(_, child, _) = column else {
                    return Ok(());
                };
                converter.value(token, item, child).map_err(reason)?;
                column.close_row();
            }
            (_, Token::Null) => return Err(Bad::new("the text is null")),
            _ => converter.value(token, kind, column).map_err(reason)?,
        }
        // An array of structs keeps what could be read, field by field, as a struct does.
        let partial = matches!(kind, Kind::List(item) if matches!(**item, Kind::Struct(_)))
            && self.options.mode != ParseMode::FailFast;
        match converter.bad {
            Some(_) if partial => Ok(()),
            None => Ok(()),
            Some(bad) => {
                column.truncate(row);
                Err(bad)
            }
        }
    }
}

/// The same type with every nested field nullable.
fn nullable(data_type: &DataType) -> DataType {
    let field = |f: &Arc<arrow::datatypes::Field>, can_be_null: bool| {
        let data_type = nullable(f.data_type());
        Arc::new(
            f.as_ref()
                .clone()
                .with_data_type(data_type)
                .with_nullable(can_be_null),
        )
    };
    match data_type {
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|f| field(f, true)).collect())
        }
        DataType::List(item) => DataType::List(field(item, true)),
        DataType::Map(entries, sorted) => {
            let inner = match entries.data_type() {
                DataType::Struct(fields) => fields
                    .iter()
                    .enumerate()
                    .map(|(index, f)| field(f, index > 0))
                    .collect::<Vec<_>>(),
                _ => vec![],
            };
            let entries = entries
                .as_ref()
                .clone()
                .with_data_type(DataType::Struct(inner.into()));
            DataType::Map(Arc::new(entries), *sorted)
        }
        other => other.clone(),
    }
}
