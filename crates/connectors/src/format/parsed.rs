//! Parsed between text and column.
use super::column::Column;

/// Why a text is not a value of its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bad {
    pub reason: String,
}

impl Bad {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
        }
    }
}

/// A parsed value, by the width of its column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Parsed {
    Boolean(bool),
    Int8(i8),
    Int16(i16),
    /// Int32, dates, year-month intervals.
    Int32(i32),
    /// Int64, timestamps, day-time intervals.
    Int64(i64),
    Float32(f32),
    Float64(f64),
    /// Unscaled, at the column's scale.
    Decimal(i128),
    Binary(Vec<u8>),
}

impl Parsed {
    /// Appends the value to a column of its type.
    pub(crate) fn push(self, column: &mut Column) -> Result<(), Bad> {
        match (self, column) {
            (Self::Boolean(v), column @ Column::Boolean(..)) => column.push_bool(v),
            (Self::Int8(v), Column::Int8(column)) => column.push(v),
            (Self::Int16(v), Column::Int16(column)) => column.push(v),
            (Self::Int32(v), Column::Int32(column, _)) => column.push(v),
            (Self::Int64(v), Column::Int64(column, _)) => column.push(v),
            (Self::Float32(v), Column::Float32(column)) => column.push(v),
            (Self::Float64(v), Column::Float64(column)) => column.push(v),
            (Self::Decimal(v), Column::Decimal(column, ..)) => column.push(v),
            (Self::Binary(v), Column::Binary(column)) => column.push(&v),
            (value, _) => return Err(Bad::new(format!("{value:?} does not fit its column"))),
        }
        Ok(())
    }
}
