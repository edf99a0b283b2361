//! Keys of one call, encoded for the index.
use std::hash::BuildHasher;

use arrow::{
    array::ArrayRef,
    row::{RowConverter, Rows, SortField},
};
use hashbrown::DefaultHashBuilder;

use crate::{
    Result,
    schema::{StorageSchema, holds_floats, normalize_floats},
};

/// Encodes key columns into byte strings that are equal exactly when the keys are.
#[derive(Debug)]
pub(super) struct KeyEncoder {
    /// `None` for a store without key columns, whose one key is the empty string.
    converter: Option<RowConverter>,
    float_columns: Vec<bool>,
    /// Seeded anew for every store: keys come from outside and must not choose their collisions. Neither
    /// what is stored nor the order of any answer depends on it.
    hasher: DefaultHashBuilder,
}

/// Encoded keys, reused from call to call.
#[derive(Debug, Default)]
pub(super) struct EncodedKeys {
    rows: Option<Rows>,
    tags: Vec<u32>,
}

impl EncodedKeys {
    pub(super) fn len(&self) -> usize {
        self.tags.len()
    }

    /// The i-th key's tag, a short hash, and its bytes.
    pub(super) fn key(&self, i: usize) -> (u32, &[u8]) {
        let bytes = self
            .rows
            .as_ref()
            .map_or(&[][..], |rows| rows.row(i).data());
        (self.tags[i], bytes)
    }

    /// Keys with chosen tags.
    #[cfg(test)]
    pub(super) fn of(keys: &[(u32, &[u8])]) -> Self {
        let bytes = arrow::array::BinaryArray::from_iter_values(keys.iter().map(|(_, key)| key));
        let binary = SortField::new(arrow::datatypes::DataType::Binary);
        let converter = RowConverter::new(vec![binary]).unwrap();
        let rows = Some(converter.from_binary(bytes));
        Self {
            rows,
            tags: keys.iter().map(|(tag, _)| *tag).collect(),
        }
    }

    pub(super) fn tags(&self) -> &[u32] {
        &self.tags
    }

    pub(super) fn memory(&self) -> usize {
        self.rows.as_ref().map_or(0, Rows::size) + self.tags.capacity() * 4
    }
}

impl KeyEncoder {
    /// An encoder for the first `columns` key columns of a store.
    pub(super) fn try_new(schema: &StorageSchema, columns: usize) -> Result<Self> {
        let fields = schema.key.fields().iter().take(columns);
        let types: Vec<_> = fields.map(|f| f.data_type().clone()).collect();
        let float_columns = types.iter().map(holds_floats).collect();
        let converter = match types.is_empty() {
            true => None,
            false => Some(RowConverter::new(
                types.into_iter().map(SortField::new).collect(),
            )?),
        };
        Ok(Self {
            converter,
            float_columns,
            hasher: DefaultHashBuilder::default(),
        })
    }

    /// Number of columns that are encoded.
    pub(super) fn columns(&self) -> usize {
        self.float_columns.len()
    }

    /// Key columns in the form in which they are kept: equal keys have equal bits.
    pub(super) fn normalize(&self, columns: Vec<ArrayRef>) -> Result<Vec<ArrayRef>> {
        if !self.float_columns.contains(&true) {
            return Ok(columns);
        }
        let columns = columns.iter().zip(&self.float_columns);
        columns
            .map(|(c, float)| {
                if *float {
                    normalize_floats(c)
                } else {
                    Ok(c.clone())
                }
            })
            .collect()
    }

    /// Encodes normalized columns into `into`, replacing what is there.
    pub(super) fn encode(
        &self,
        columns: &[ArrayRef],
        row_count: usize,
        into: &mut EncodedKeys,
    ) -> Result<()> {
        into.tags.clear();
        let Some(converter) = &self.converter else {
            into.tags.resize(row_count, 0);
            return Ok(());
        };
        let rows = into.rows.get_or_insert_with(|| converter.empty_rows(0, 0));
        rows.clear();
        converter.append(rows, columns)?;
        into.tags.extend(rows.iter().map(|row| {
            let hash = self.hasher.hash_one(row.data());
            (hash ^ (hash >> 32)) as u32
        }));
        Ok(())
    }
}
