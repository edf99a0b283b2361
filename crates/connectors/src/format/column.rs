//! Arrow columns under construction that can take a row back.
//!
//! Arrow's own builders only append. A record that turns out malformed half-way must leave no trace in the
//! columns it has already written to, and a repeated JSON key replaces the value of the first; both need
//! [`Column::truncate`]. Values go straight into the vectors that become the array's buffers.
use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, BooleanBufferBuilder,
        Decimal128Array, ListArray, MapArray, NullArray, PrimitiveArray, StringArray, StructArray,
    },
    buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer},
    datatypes::{
        ArrowNativeType, DataType, Date32Type, DurationMicrosecondType, Field, FieldRef, Fields,
        Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalUnit,
        IntervalYearMonthType, TimeUnit, TimestampMicrosecondType,
    },
};

use super::FormatError;

/// Validity of a column's rows; costs nothing until the first null.
#[derive(Debug, Default)]
pub(crate) struct Validity {
    length: usize,
    bits: Option<BooleanBufferBuilder>,
}

impl Validity {
    #[inline]
    fn push(&mut self, valid: bool) {
        if self.bits.is_some() || !valid {
            self.push_bit(valid);
        }
        self.length += 1;
    }

    fn push_bit(&mut self, valid: bool) {
        let length = self.length;
        let bits = self.bits.get_or_insert_with(|| {
            let mut bits = BooleanBufferBuilder::new(length + 64);
            bits.append_n(length, true);
            bits
        });
        bits.append(valid);
    }

    fn truncate(&mut self, length: usize) {
        if length < self.length {
            self.length = length;
            if let Some(bits) = &mut self.bits {
                bits.truncate(length);
            }
        }
    }

    fn get(&self, row: usize) -> bool {
        row < self.length && self.bits.as_ref().is_none_or(|bits| bits.get_bit(row))
    }

    fn append(&mut self, other: &Self) {
        for row in 0..other.length {
            self.push(other.get(row));
        }
    }

    fn take(&mut self) -> Option<NullBuffer> {
        self.length = 0;
        self.bits
            .take()
            .map(|mut bits| NullBuffer::new(bits.finish()))
    }
}

/// Values of one primitive width.
#[derive(Debug)]
pub(crate) struct Values<T> {
    values: Vec<T>,
    validity: Validity,
}

impl<T: ArrowNativeType> Values<T> {
    fn new() -> Self {
        Self {
            values: vec![],
            validity: Validity::default(),
        }
    }

    pub(crate) fn push(&mut self, value: T) {
        self.values.push(value);
        self.validity.push(true);
    }

    fn push_null(&mut self) {
        self.values.push(T::default());
        self.validity.push(false);
    }

    fn truncate(&mut self, length: usize) {
        self.values.truncate(length);
        self.validity.truncate(length);
    }

    fn append(&mut self, other: &Self) {
        self.values.extend_from_slice(&other.values);
        self.validity.append(&other.validity);
    }

    fn take<P: ArrowPrimitiveType<Native = T>>(&mut self) -> PrimitiveArray<P> {
        // The next batch is likely to be as long as this one.
        let next = Vec::with_capacity(self.values.len());
        let values = ScalarBuffer::from(std::mem::replace(&mut self.values, next));
        PrimitiveArray::new(values, self.validity.take())
    }
}

/// Strings or byte strings.
#[derive(Debug)]
pub(crate) struct Bytes {
    offsets: Vec<i32>,
    values: Vec<u8>,
    validity: Validity,
}

impl Bytes {
    fn new() -> Self {
        Self {
            offsets: vec![0],
            values: vec![],
            validity: Validity::default(),
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, value: &[u8]) {
        self.values.extend_from_slice(value);
        // A batch is far below 2 GiB: sources end batches by bytes as well as by rows.
        self.offsets
            .push(i32::try_from(self.values.len()).unwrap_or(i32::MAX));
        self.validity.push(true);
    }

    fn push_null(&mut self) {
        self.offsets.push(self.offsets.last().copied().unwrap_or(0));
        self.validity.push(false);
    }

    fn truncate(&mut self, length: usize) {
        self.offsets.truncate(length + 1);
        let end = self.offsets.last().copied().unwrap_or(0);
        self.values.truncate(usize::try_from(end).unwrap_or(0));
        self.validity.truncate(length);
    }

    fn append(&mut self, other: &Self) {
        for row in 0..other.validity.length {
            match (other.validity.get(row), other.get(row)) {
                (true, Some(value)) => self.push(value),
                _ => self.push_null(),
            }
        }
    }

    pub(crate) fn get(&self, row: usize) -> Option<&[u8]> {
        let start = usize::try_from(*self.offsets.get(row)?).ok()?;
        let end = usize::try_from(*self.offsets.get(row + 1)?).ok()?;
        self.values.get(start..end)
    }

    fn take(&mut self) -> (OffsetBuffer<i32>, arrow::buffer::Buffer, Option<NullBuffer>) {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        let values = std::mem::take(&mut self.values);
        (
            OffsetBuffer::new(offsets.into()),
            values.into(),
            self.validity.take(),
        )
    }
}

/// Rows of lists or maps.
#[derive(Debug)]
pub(crate) struct Lists {
    offsets: Vec<i32>,
    validity: Validity,
}

impl Lists {
    fn new() -> Self {
        Self {
            offsets: vec![0],
            validity: Validity::default(),
        }
    }

    fn push(&mut self, child_length: usize, valid: bool) {
        self.offsets
            .push(i32::try_from(child_length).unwrap_or(i32::MAX));
        self.validity.push(valid);
    }

    fn end(&self) -> usize {
        self.offsets
            .last()
            .and_then(|end| usize::try_from(*end).ok())
            .unwrap_or(0)
    }

    fn truncate(&mut self, length: usize) {
        self.offsets.truncate(length + 1);
        self.validity.truncate(length);
    }

    fn append(&mut self, other: &Self) {
        let base = self.end();
        for (row, end) in other.offsets.iter().skip(1).enumerate() {
            self.push(
                base + usize::try_from(*end).unwrap_or(0),
                other.validity.get(row),
            );
        }
    }

    fn take(&mut self) -> (OffsetBuffer<i32>, Option<NullBuffer>) {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        (OffsetBuffer::new(offsets.into()), self.validity.take())
    }
}

/// A column under construction.
#[derive(Debug)]
pub(crate) enum Column {
    /// `NullType`: only a length.
    Null(usize),
    Boolean(BooleanBufferBuilder, Validity),
    Int8(Values<i8>),
    Int16(Values<i16>),
    /// Int32, Date32 and year-month intervals.
    Int32(Values<i32>, DataType),
    /// Int64, timestamps and day-time intervals.
    Int64(Values<i64>, DataType),
    Float32(Values<f32>),
    Float64(Values<f64>),
    Decimal(Values<i128>, u8, i8),
    Utf8(Bytes),
    Binary(Bytes),
    Struct(Fields, Vec<Column>, Validity),
    List(FieldRef, Box<Column>, Lists),
    /// The entries field, keys, values.
    Map(FieldRef, Box<Column>, Box<Column>, Lists),
}

impl Column {
    /// An empty column of a type.
    pub(crate) fn new(data_type: &DataType) -> Result<Self, FormatError> {
        Ok(match data_type {
            DataType::Null => Self::Null(0),
            DataType::Boolean => Self::Boolean(BooleanBufferBuilder::new(0), Validity::default()),
            DataType::Int8 => Self::Int8(Values::new()),
            DataType::Int16 => Self::Int16(Values::new()),
            DataType::Int32 | DataType::Date32 | DataType::Interval(IntervalUnit::YearMonth) => {
                Self::Int32(Values::new(), data_type.clone())
            }
            DataType::Int64
            | DataType::Timestamp(TimeUnit::Microsecond, _)
            | DataType::Duration(TimeUnit::Microsecond) => {
                Self::Int64(Values::new(), data_type.clone())
            }
            DataType::Float32 => Self::Float32(Values::new()),
            DataType::Float64 => Self::Float64(Values::new()),
            DataType::Decimal128(precision, scale) => {
                Self::Decimal(Values::new(), *precision, *scale)
            }
            DataType::Utf8 => Self::Utf8(Bytes::new()),
            DataType::Binary => Self::Binary(Bytes::new()),
            DataType::Struct(fields) => {
                let children = fields.iter().map(|f| Self::new(f.data_type()));
                Self::Struct(
                    fields.clone(),
                    children.collect::<Result<_, _>>()?,
                    Validity::default(),
                )
            }
            DataType::List(item) => Self::List(
                item.clone(),
                Box::new(Self::new(item.data_type())?),
                Lists::new(),
            ),
            DataType::Map(entries, _) => {
                let DataType::Struct(fields) = entries.data_type() else {
                    return Err(FormatError::Unsupported {
                        feature: format!("type {data_type}"),
                    });
                };
                let [key, value] = fields.as_ref() else {
                    return Err(FormatError::Unsupported {
                        feature: format!("type {data_type}"),
                    });
                };
                Self::Map(
                    entries.clone(),
                    Box::new(Self::new(key.data_type())?),
                    Box::new(Self::new(value.data_type())?),
                    Lists::new(),
                )
            }
            other => {
                return Err(FormatError::Unsupported {
                    feature: format!("a column of type {other}"),
                });
            }
        })
    }

    /// An empty column of the same type.
    pub(crate) fn like(&self) -> Self {
        match self {
            Self::Null(_) => Self::Null(0),
            Self::Boolean(..) => Self::Boolean(BooleanBufferBuilder::new(0), Validity::default()),
            Self::Int8(_) => Self::Int8(Values::new()),
            Self::Int16(_) => Self::Int16(Values::new()),
            Self::Int32(_, data_type) => Self::Int32(Values::new(), data_type.clone()),
            Self::Int64(_, data_type) => Self::Int64(Values::new(), data_type.clone()),
            Self::Float32(_) => Self::Float32(Values::new()),
            Self::Float64(_) => Self::Float64(Values::new()),
            Self::Decimal(_, precision, scale) => Self::Decimal(Values::new(), *precision, *scale),
            Self::Utf8(_) => Self::Utf8(Bytes::new()),
            Self::Binary(_) => Self::Binary(Bytes::new()),
            Self::Struct(fields, children, _) => Self::Struct(
                fields.clone(),
                children.iter().map(Self::like).collect(),
                Validity::default(),
            ),
            Self::List(item, child, _) => {
                Self::List(item.clone(), Box::new(child.like()), Lists::new())
            }
            Self::Map(entries, keys, values, _) => Self::Map(
                entries.clone(),
                Box::new(keys.like()),
                Box::new(values.like()),
                Lists::new(),
            ),
        }
    }

    /// Rows so far.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Null(length) => *length,
            Self::Boolean(_, validity) | Self::Struct(_, _, validity) => validity.length,
            Self::Int8(v) => v.values.len(),
            Self::Int16(v) => v.values.len(),
            Self::Int32(v, _) => v.values.len(),
            Self::Int64(v, _) => v.values.len(),
            Self::Float32(v) => v.values.len(),
            Self::Float64(v) => v.values.len(),
            Self::Decimal(v, ..) => v.values.len(),
            Self::Utf8(v) | Self::Binary(v) => v.validity.length,
            Self::List(_, _, lists) | Self::Map(_, _, _, lists) => lists.validity.length,
        }
    }

    /// Appends a NULL.
    pub(crate) fn push_null(&mut self) {
        match self {
            Self::Null(length) => *length += 1,
            Self::Boolean(bits, validity) => {
                bits.append(false);
                validity.push(false);
            }
            Self::Int8(v) => v.push_null(),
            Self::Int16(v) => v.push_null(),
            Self::Int32(v, _) => v.push_null(),
            Self::Int64(v, _) => v.push_null(),
            Self::Float32(v) => v.push_null(),
            Self::Float64(v) => v.push_null(),
            Self::Decimal(v, ..) => v.push_null(),
            Self::Utf8(v) | Self::Binary(v) => v.push_null(),
            Self::Struct(_, children, validity) => {
                children.iter_mut().for_each(Self::push_null);
                validity.push(false);
            }
            Self::List(_, child, lists) => lists.push(child.len(), false),
            Self::Map(_, keys, _, lists) => lists.push(keys.len(), false),
        }
    }

    /// Appends a boolean; only to a boolean column.
    pub(crate) fn push_bool(&mut self, value: bool) {
        if let Self::Boolean(bits, validity) = self {
            bits.append(value);
            validity.push(true);
        }
    }

    /// Ends a row of a struct, list or map whose children have been appended.
    pub(crate) fn close_row(&mut self) {
        match self {
            Self::Struct(_, _, validity) => validity.push(true),
            Self::List(_, child, lists) => lists.push(child.len(), true),
            Self::Map(_, keys, _, lists) => lists.push(keys.len(), true),
            _ => {}
        }
    }

    /// Forgets all rows from `length` on, and whatever children of an unfinished row there are.
    pub(crate) fn truncate(&mut self, length: usize) {
        match self {
            Self::Null(len) => *len = length.min(*len),
            Self::Boolean(bits, validity) => {
                bits.truncate(length.min(bits.len()));
                validity.truncate(length);
            }
            Self::Int8(v) => v.truncate(length),
            Self::Int16(v) => v.truncate(length),
            Self::Int32(v, _) => v.truncate(length),
            Self::Int64(v, _) => v.truncate(length),
            Self::Float32(v) => v.truncate(length),
            Self::Float64(v) => v.truncate(length),
            Self::Decimal(v, ..) => v.truncate(length),
            Self::Utf8(v) | Self::Binary(v) => v.truncate(length),
            Self::Struct(_, children, validity) => {
                children.iter_mut().for_each(|child| child.truncate(length));
                validity.truncate(length);
            }
            Self::List(_, child, lists) => {
                lists.truncate(length);
                child.truncate(lists.end());
            }
            Self::Map(_, keys, values, lists) => {
                lists.truncate(length);
                keys.truncate(lists.end());
                values.truncate(lists.end());
            }
        }
    }

    /// Appends all rows of a column of the same type.
    pub(crate) fn append(&mut self, other: &Self) {
        match (self, other) {
            (Self::Null(length), Self::Null(more)) => *length += more,
            (Self::Boolean(bits, validity), Self::Boolean(more, more_validity)) => {
                for row in 0..more.len() {
                    bits.append(more.get_bit(row));
                }
                validity.append(more_validity);
            }
            (Self::Int8(v), Self::Int8(o)) => v.append(o),
            (Self::Int16(v), Self::Int16(o)) => v.append(o),
            (Self::Int32(v, _), Self::Int32(o, _)) => v.append(o),
            (Self::Int64(v, _), Self::Int64(o, _)) => v.append(o),
            (Self::Float32(v), Self::Float32(o)) => v.append(o),
            (Self::Float64(v), Self::Float64(o)) => v.append(o),
            (Self::Decimal(v, ..), Self::Decimal(o, ..)) => v.append(o),
            (Self::Utf8(v), Self::Utf8(o)) | (Self::Binary(v), Self::Binary(o)) => v.append(o),
            (Self::Struct(_, children, validity), Self::Struct(_, others, more)) => {
                children
                    .iter_mut()
                    .zip(others)
                    .for_each(|(child, other)| child.append(other));
                validity.append(more);
            }
            (Self::List(_, child, lists), Self::List(_, other, more)) => {
                child.append(other);
                lists.append(more);
            }
            (Self::Map(_, keys, values, lists), Self::Map(_, more_keys, more_values, more)) => {
                keys.append(more_keys);
                values.append(more_values);
                lists.append(more);
            }
            (_, _) => debug_assert!(false, "columns of different types"),
        }
    }

    /// The array of all rows; the column is empty afterwards.
    ///
    /// # Errors
    /// If a string column holds bytes that are not UTF-8.
    pub(crate) fn take(&mut self) -> Result<ArrayRef, FormatError> {
        Ok(match self {
            Self::Null(length) => Arc::new(NullArray::new(std::mem::take(length))),
            Self::Boolean(bits, validity) => {
                let values: BooleanBuffer = bits.finish();
                Arc::new(BooleanArray::new(values, validity.take()))
            }
            Self::Int8(v) => Arc::new(v.take::<Int8Type>()),
            Self::Int16(v) => Arc::new(v.take::<Int16Type>()),
            Self::Int32(v, data_type) => match data_type {
                DataType::Date32 => Arc::new(v.take::<Date32Type>()),
                DataType::Interval(_) => Arc::new(v.take::<IntervalYearMonthType>()),
                _ => Arc::new(v.take::<Int32Type>()),
            },
            Self::Int64(v, data_type) => match data_type {
                DataType::Timestamp(_, zone) => {
                    let array = v.take::<TimestampMicrosecondType>();
                    Arc::new(array.with_timezone_opt(zone.clone()))
                }
                DataType::Duration(_) => Arc::new(v.take::<DurationMicrosecondType>()),
                _ => Arc::new(v.take::<Int64Type>()),
            },
            Self::Float32(v) => Arc::new(v.take::<Float32Type>()),
            Self::Float64(v) => Arc::new(v.take::<Float64Type>()),
            Self::Decimal(v, precision, scale) => {
                let array: Decimal128Array = v.take();
                Arc::new(array.with_precision_and_scale(*precision, *scale)?)
            }
            Self::Utf8(v) => {
                let (offsets, values, nulls) = v.take();
                Arc::new(StringArray::try_new(offsets, values, nulls)?)
            }
            Self::Binary(v) => {
                let (offsets, values, nulls) = v.take();
                Arc::new(BinaryArray::try_new(offsets, values, nulls)?)
            }
            Self::Struct(fields, children, validity) => {
                let length = validity.length;
                let arrays = children
                    .iter_mut()
                    .map(Self::take)
                    .collect::<Result<Vec<_>, _>>()?;
                let nulls = validity.take();
                Arc::new(StructArray::try_new_with_length(
                    fields.clone(),
                    arrays,
                    nulls,
                    length,
                )?)
            }
            Self::List(item, child, lists) => {
                let values = child.take()?;
                let (offsets, nulls) = lists.take();
                Arc::new(ListArray::try_new(nullable(item), offsets, values, nulls)?)
            }
            Self::Map(entries, keys, values, lists) => {
                let DataType::Struct(fields) = entries.data_type() else {
                    return Err(FormatError::corrupt("a map without entries"));
                };
                let arrays = vec![keys.take()?, values.take()?];
                let (offsets, nulls) = lists.take();
                let entries_array = StructArray::try_new(fields.clone(), arrays, None)?;
                Arc::new(MapArray::try_new(
                    entries.clone(),
                    offsets,
                    entries_array,
                    nulls,
                    false,
                )?)
            }
        })
    }
}

/// Parsed text may always be NULL, whatever the declared schema says.
fn nullable(field: &FieldRef) -> FieldRef {
    if field.is_nullable() {
        return field.clone();
    }
    Arc::new(Field::clone(field).with_nullable(true))
}
