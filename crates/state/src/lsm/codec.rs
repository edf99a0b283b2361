//! Rows of columns as bytes, and back.
//!
//! Keys and values are in `arrow-row` encoding: column after column, each so that bytes compare as values do and no
//! encoding is a prefix of another. The encoding never leaves the local folder, whose marker carries its fingerprint:
//! a release that encodes otherwise does not read the folder but builds it anew.
use std::sync::Arc;

use super::buffer::KeyRange;
use crate::{
    Result,
    columns::batch_of,
    schema::{StorageSchema, holds_floats, normalize_floats},
};
use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array,
        ListArray, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
    },
    compute::cast,
    datatypes::{DataType, Field, Int32Type, Schema},
    row::{RowConverter, SortField},
};

/// Bytes that the event-time index puts before a key: its space, a flag for NULL, the time.
pub(super) const TIME_BYTES: usize = 1 + 1 + size_of::<i64>();

/// First byte of a key in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    /// What the tree stands for.
    Marker = 0,
    /// Entries.
    Entries = 1,
    /// (event time, key).
    Times = 2,
}

/// Byte strings in one buffer.
#[derive(Debug, Default)]
pub(super) struct Encoded {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Encoded {
    pub(super) fn with_capacity(rows: usize, bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            ends: Vec::with_capacity(rows),
        }
    }

    /// Adds a string that is made of these, one behind the other.
    pub(super) fn push(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.ends.push(self.bytes.len());
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of all strings.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn get(&self, row: u32) -> &[u8] {
        let row = row as usize;
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[row]]
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.len()).map(|row| self.get(row as u32))
    }
}

/// Encodes some columns.
#[derive(Debug)]
pub(super) struct RowCodec {
    /// `None` without columns: all rows are the empty string.
    converter: Option<RowConverter>,
}

impl RowCodec {
    /// A codec for rows of these types.
    pub(super) fn try_new(types: impl IntoIterator<Item = DataType>) -> Result<Self> {
        let fields: Vec<SortField> = types.into_iter().map(SortField::new).collect();
        let converter = match fields.is_empty() {
            true => None,
            false => Some(RowConverter::new(fields)?),
        };
        Ok(Self { converter })
    }

    /// A codec for all columns of a schema.
    pub(super) fn of(schema: &Schema) -> Result<Self> {
        Self::try_new(schema.fields().iter().map(|f| f.data_type().clone()))
    }

    /// The rows, each behind `head`.
    pub(super) fn encode(
        &self,
        head: &[u8],
        columns: &[ArrayRef],
        row_count: usize,
    ) -> Result<Encoded> {
        let Some(converter) = &self.converter else {
            let mut encoded = Encoded::default();
            (0..row_count).for_each(|_| encoded.push(&[head]));
            return Ok(encoded);
        };
        let rows = converter.convert_columns(columns)?;
        let bytes = rows.lengths().sum::<usize>() + row_count * head.len();
        let mut encoded = Encoded::with_capacity(row_count, bytes);
        rows.iter()
            .for_each(|row| encoded.push(&[head, row.data()]));
        Ok(encoded)
    }

    /// Columns of rows that `encode` made, without what stood before them.
    pub(super) fn decode<'a>(
        &self,
        rows: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<ArrayRef>> {
        let Some(converter) = &self.converter else {
            return Ok(Vec::new());
        };
        let parser = converter.parser();
        let rows = rows.into_iter().map(|row| parser.parse(row));
        Ok(converter.convert_rows(rows)?)
    }
}

/// How a store's columns become keys and values.
#[derive(Debug)]
pub(super) struct Codecs {
    pub(super) key: RowCodec,
    pub(super) value: RowCodec,
    pub(super) prefix: RowCodec,
    pub(super) time: Option<TimeIndex>,
    pub(super) encoding: u64,
}

/// How entries are found by event time.
#[derive(Debug)]
pub(super) struct TimeIndex {
    codec: RowCodec,
    data_type: DataType,
    pub(super) column: usize,
}

impl TimeIndex {
    /// The key's own encoding begins with the event time: the entries are their own index.
    fn leads_the_key(&self) -> bool {
        self.column == 0
    }

    fn space(&self) -> Space {
        match self.leads_the_key() {
            true => Space::Entries,
            false => Space::Times,
        }
    }

    /// The index's keys from the first that is not NULL, through those at `threshold`.
    pub(super) fn range(&self, threshold: i64) -> Result<KeyRange> {
        let times: ArrayRef = Arc::new(Int64Array::from(vec![i64::MIN, threshold]));
        let times = [cast(&times, &self.data_type)?];
        let bounds = self.codec.encode(&[self.space() as u8], &times, 2)?;
        Ok(KeyRange::between(bounds.get(0), bounds.get(1)))
    }

    /// The index's keys for rows with these key columns, whose keys among the entries are `entries`.
    pub(super) fn keys(&self, columns: &[ArrayRef], entries: &Encoded) -> Result<Encoded> {
        let column = columns.get(self.column).map(std::slice::from_ref);
        let head = [Space::Times as u8];
        let times = self
            .codec
            .encode(&head, column.unwrap_or_default(), entries.len())?;
        let mut keys = Encoded::with_capacity(entries.len(), times.bytes() + entries.bytes());
        for (time, entry) in times.iter().zip(entries.iter()) {
            keys.push(&[time, entry.get(1..).unwrap_or_default()]);
        }
        Ok(keys)
    }

    /// The key among the entries of one of the index.
    pub(super) fn entry_parts(key: &[u8]) -> [&[u8]; 2] {
        [
            &[Space::Entries as u8],
            key.get(TIME_BYTES..).unwrap_or_default(),
        ]
    }
}

impl Codecs {
    pub(super) fn try_new(schema: &StorageSchema, encoding: u64) -> Result<Self> {
        let time = schema.asked.event_time.and_then(|column| {
            let field = schema.key.fields().get(column)?;
            Some((column, field.data_type().clone()))
        });
        let time = time.map(|(column, data_type)| -> Result<TimeIndex> {
            Ok(TimeIndex {
                codec: RowCodec::try_new([data_type.clone()])?,
                data_type,
                column,
            })
        });
        let prefix = schema.key.fields().iter().take(schema.asked.prefix);
        Ok(Self {
            key: RowCodec::of(&schema.key)?,
            value: RowCodec::of(&schema.value)?,
            prefix: RowCodec::try_new(prefix.map(|f| f.data_type().clone()))?,
            time: time.transpose()?,
            encoding,
        })
    }

    /// The index by event time, unless the entries are their own.
    pub(super) fn index_apart(&self) -> Option<&TimeIndex> {
        self.time.as_ref().filter(|index| !index.leads_the_key())
    }

    /// Keys and values of so many rows as entries, key columns then value columns.
    pub(super) fn entries<'a>(
        &self,
        schema: &StorageSchema,
        rows: usize,
        pairs: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
    ) -> Result<RecordBatch> {
        let keys = pairs
            .clone()
            .map(|(key, _)| key.get(1..).unwrap_or_default());
        let mut columns = self.key.decode(keys)?;
        columns.extend(self.value.decode(pairs.map(|(_, value)| value))?);
        batch_of(&schema.entry, columns, rows)
    }
}

/// Key columns in the form in which they are kept: equal keys have equal bits.
pub(super) fn normalize(columns: Vec<ArrayRef>) -> Result<Vec<ArrayRef>> {
    let columns = columns
        .into_iter()
        .map(|column| match holds_floats(column.data_type()) {
            true => normalize_floats(&column),
            false => Ok(column),
        });
    columns.collect()
}

/// FNV-1a over the encoding of rows of many types: another number means that bytes mean something else.
pub(super) fn encoding_fingerprint() -> Result<u64> {
    let names = StringArray::from(vec![
        Some(""),
        None,
        Some("a string of more than 32 bytes, in blocks"),
    ]);
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(-1), None, Some(i32::MAX)]));
    let lists = vec![Some(vec![Some(1), None]), None, Some(vec![])];
    let fields = vec![Field::new("n", DataType::Int32, true)].into();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(7)])),
        Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
        Arc::new(Float64Array::from(vec![Some(-0.5), None, Some(f64::NAN)])),
        Arc::new(TimestampMicrosecondArray::from(vec![
            Some(-1),
            None,
            Some(1),
        ])),
        Arc::new(Decimal128Array::from(vec![Some(-12_345), None, Some(1)])),
        Arc::new(BinaryArray::from_opt_vec(vec![
            Some(b"\0"),
            None,
            Some(b"\xff\xff"),
        ])),
        Arc::new(names),
        Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists)),
        Arc::new(StructArray::try_new(fields, vec![numbers], None)?),
    ];
    let codec = RowCodec::try_new(columns.iter().map(|column| column.data_type().clone()))?;
    let rows = codec.encode(&[], &columns, 3)?;
    let bytes = rows.iter().flatten().copied();
    Ok(bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_sort_as_their_columns_and_come_back() {
        let numbers = Int64Array::from(vec![Some(5), None, Some(-3), Some(5)]);
        let names = StringArray::from(vec![Some("b"), Some("x"), None, Some("a")]);
        let columns: Vec<ArrayRef> = vec![Arc::new(numbers), Arc::new(names)];
        let codec = RowCodec::try_new(columns.iter().map(|c| c.data_type().clone())).unwrap();
        let rows = codec.encode(&[9], &columns, 4).unwrap();
        let mut order: Vec<u32> = (0..4).collect();
        order.sort_by_key(|row| rows.get(*row));
        assert_eq!(order, [1, 2, 3, 0], "NULL first, then by number and name");
        let decoded = codec.decode(rows.iter().map(|row| &row[1..])).unwrap();
        assert_eq!(decoded, columns);
    }

    #[test]
    fn the_encoding_is_the_one_that_folders_were_written_with() {
        // If an upgrade changes this, folders are built anew once. It is here to make that a decision.
        assert_eq!(encoding_fingerprint().unwrap(), 18_091_180_247_625_496_103);
    }
}
