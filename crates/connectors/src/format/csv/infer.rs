//! Column names and types of CSV files.
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

use super::{
    convert::{java_number, special},
    options::CsvOptions,
};
use crate::format::{number::BigDecimal, spark_type::timestamp_type};

/// Type of a column so far, in the order in which types are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inferred {
    Null,
    Integer,
    Long,
    Decimal(i64, i64),
    Double,
    Date,
    TimestampNtz,
    Timestamp,
    Boolean,
    String,
}

impl Inferred {
    /// Takes one more value into account; nulls and empty values say nothing.
    pub(super) fn with(self, text: &[u8], options: &CsvOptions) -> Self {
        if self == Self::String || text.is_empty() || text == options.null_value.as_bytes() {
            return self;
        }
        let Ok(text) = std::str::from_utf8(text) else {
            return Self::String;
        };
        let found = Self::of(text, self, options);
        self.merge(found, options)
    }

    /// The first type a text fits, starting at the one its column has.
    fn of(text: &str, from: Self, options: &CsvOptions) -> Self {
        let bytes = text.as_bytes();
        let temporal = &options.temporal;
        let rank = from.rank();
        if rank <= Self::Integer.rank() && text.parse::<i32>().is_ok() {
            return Self::Integer;
        }
        if rank <= Self::Long.rank() && text.parse::<i64>().is_ok() {
            return Self::Long;
        }
        if rank <= Self::Decimal(0, 0).rank()
            && let Some(value) = BigDecimal::parse(bytes)
            && value.scale() == 0
            && value.precision() <= 38
        {
            return Self::Decimal(value.precision(), 0);
        }
        if rank <= Self::Double.rank() {
            let number = java_number(text).is_some_and(|n| n.parse::<f64>().is_ok());
            if number || special(bytes, options).is_some() {
                return Self::Double;
            }
        }
        let dates = options.prefers_date || from == Self::Date;
        if rank <= Self::Date.rank() && dates && temporal.strict_date(bytes).is_some() {
            return Self::Date;
        }
        let ntz = options.timestamp_ntz && rank <= Self::TimestampNtz.rank();
        if ntz && temporal.timestamp_ntz(bytes).is_some() {
            return Self::TimestampNtz;
        }
        if rank <= Self::Timestamp.rank() && temporal.is_timestamp(text) {
            return Self::Timestamp;
        }
        if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
            return Self::Boolean;
        }
        Self::String
    }

    fn rank(self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Integer => 1,
            Self::Long => 2,
            Self::Decimal(..) => 3,
            Self::Double => 4,
            Self::Date => 5,
            Self::TimestampNtz => 6,
            Self::Timestamp => 7,
            Self::Boolean => 8,
            Self::String => 9,
        }
    }

    fn merge(self, other: Self, options: &CsvOptions) -> Self {
        match (self, other) {
            (a, b) if a == b => a,
            (Self::Null, other) | (other, Self::Null) => other,
            (Self::Integer, Self::Long) | (Self::Long, Self::Integer) => Self::Long,
            (Self::Integer, Self::Decimal(p, s)) | (Self::Decimal(p, s), Self::Integer) => {
                widest((10, 0), (p, s))
            }
            (Self::Long, Self::Decimal(p, s)) | (Self::Decimal(p, s), Self::Long) => {
                // A decimal that does not hold every long grows to hold it.
                if p - s >= 20 {
                    Self::Decimal(p, s)
                } else {
                    widest((20, 0), (p, s))
                }
            }
            (Self::Decimal(p1, s1), Self::Decimal(p2, s2)) => widest((p1, s1), (p2, s2)),
            (Self::Double, Self::Integer | Self::Long | Self::Decimal(..))
            | (Self::Integer | Self::Long | Self::Decimal(..), Self::Double) => Self::Double,
            (Self::Timestamp, Self::TimestampNtz) | (Self::TimestampNtz, Self::Timestamp) => {
                Self::Timestamp
            }
            (Self::Date, stamp @ (Self::Timestamp | Self::TimestampNtz))
            | (stamp @ (Self::Timestamp | Self::TimestampNtz), Self::Date)
                if options.dates_are_timestamps =>
            {
                stamp
            }
            _ => Self::String,
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Self::Null | Self::String => DataType::Utf8,
            Self::Integer => DataType::Int32,
            Self::Long => DataType::Int64,
            Self::Decimal(precision, scale) => DataType::Decimal128(
                u8::try_from(precision).unwrap_or(38),
                i8::try_from(scale).unwrap_or(0),
            ),
            Self::Double => DataType::Float64,
            Self::Date => DataType::Date32,
            Self::TimestampNtz => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Timestamp => timestamp_type(),
            Self::Boolean => DataType::Boolean,
        }
    }
}

fn widest((p1, s1): (i64, i64), (p2, s2): (i64, i64)) -> Inferred {
    let scale = s1.max(s2);
    let precision = (p1 - s1).max(p2 - s2) + scale;
    if precision > 38 {
        Inferred::Double
    } else {
        Inferred::Decimal(precision, scale)
    }
}

/// Column names from the first record: the header's, made unique, or `_c0`, `_c1`, …
pub(super) fn names(first: &[Option<String>], options: &CsvOptions) -> Vec<String> {
    let fold = |name: &str| match options.case_sensitive {
        true => name.to_owned(),
        false => name.to_lowercase(),
    };
    let times = |name: &str| {
        let folded = fold(name);
        first
            .iter()
            .flatten()
            .filter(|other| fold(other) == folded)
            .count()
    };
    first
        .iter()
        .enumerate()
        .map(|(index, name)| match name {
            Some(name) if options.header && !name.is_empty() && *name != options.null_value => {
                if times(name) > 1 {
                    format!("{name}{index}")
                } else {
                    name.clone()
                }
            }
            _ => format!("_c{index}"),
        })
        .collect()
}

/// The schema of named columns.
pub(super) fn schema(names: Vec<String>, types: &[Inferred]) -> Schema {
    let types = types
        .iter()
        .map(|t| t.data_type())
        .chain(std::iter::repeat(DataType::Utf8));
    let fields: Vec<Field> = names
        .into_iter()
        .zip(types)
        .map(|(name, t)| Field::new(name, t, true))
        .collect();
    Schema::new(fields)
}
