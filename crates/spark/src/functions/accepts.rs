//! What types a parameter takes, and Spark's implicit casts to them.
use arrow::datatypes::DataType;

use crate::{
    cast::can_store_assign,
    types::{self, CALENDAR, DAY_TIME, TIMESTAMP_NTZ, YEAR_MONTH, decimal, sql_name, timestamp},
};

/// Types that a parameter takes as they are; Spark's `AbstractDataType`.
#[derive(Debug, Clone, PartialEq)]
pub enum Accepts {
    /// Anything.
    Any,
    /// One type. For types with parts, nullability is not looked at.
    Type(DataType),
    /// Any numeric type.
    Numeric,
    /// TINYINT, SMALLINT, INT, BIGINT.
    Integral,
    /// FLOAT, DOUBLE, DECIMAL.
    Fractional,
    /// DECIMAL of any precision.
    Decimal,
    /// TIMESTAMP or TIMESTAMP_NTZ.
    AnyTimestamp,
    /// ARRAY of anything.
    Array,
    /// ARRAY whose elements are accepted.
    ArrayOf(Box<Accepts>),
    /// MAP of anything.
    Map,
    /// STRUCT of anything.
    Struct,
    /// Any type that can be ordered. Nothing is cast to it.
    Ordered,
    /// What can be added up: numbers and ANSI intervals.
    Summable,
    /// One of several; the order decides which one a value is cast to when several would do.
    OneOf(Vec<Accepts>),
}

const SUMMABLE: [Accepts; 3] = [Accepts::Numeric, Accepts::DAY_TIME, Accepts::YEAR_MONTH];

impl Accepts {
    /// BOOLEAN.
    pub const BOOLEAN: Self = Self::Type(DataType::Boolean);
    /// INT.
    pub const INT: Self = Self::Type(DataType::Int32);
    /// BIGINT.
    pub const LONG: Self = Self::Type(DataType::Int64);
    /// DOUBLE.
    pub const DOUBLE: Self = Self::Type(DataType::Float64);
    /// STRING.
    pub const STRING: Self = Self::Type(DataType::Utf8);
    /// BINARY.
    pub const BINARY: Self = Self::Type(DataType::Binary);
    /// DATE.
    pub const DATE: Self = Self::Type(DataType::Date32);
    /// TIMESTAMP_NTZ.
    pub const TIMESTAMP_NTZ: Self = Self::Type(TIMESTAMP_NTZ);
    /// Day-time interval.
    pub const DAY_TIME: Self = Self::Type(DAY_TIME);
    /// Year-month interval.
    pub const YEAR_MONTH: Self = Self::Type(YEAR_MONTH);
    /// Calendar interval.
    pub const CALENDAR: Self = Self::Type(CALENDAR);

    /// TIMESTAMP.
    pub fn timestamp() -> Self {
        Self::Type(timestamp())
    }

    /// One of several.
    pub fn one_of(choices: impl IntoIterator<Item = Accepts>) -> Self {
        Self::OneOf(choices.into_iter().collect())
    }

    /// STRING or BINARY.
    pub fn string_or_binary() -> Self {
        Self::one_of([Self::STRING, Self::BINARY])
    }

    /// Whether a value of `data_type` is taken without a cast.
    pub fn accepts(&self, data_type: &DataType) -> bool {
        match self {
            Self::Any => true,
            Self::Type(t) => types::same_type(t, data_type),
            Self::Numeric => types::is_numeric(data_type),
            Self::Integral => types::is_integral(data_type),
            Self::Fractional => types::is_floating(data_type) || types::is_decimal(data_type),
            Self::Decimal => types::is_decimal(data_type),
            Self::AnyTimestamp => matches!(data_type, DataType::Timestamp(_, _)),
            Self::Array => matches!(data_type, DataType::List(_)),
            Self::ArrayOf(inner) => match data_type {
                DataType::List(item) => inner.accepts(item.data_type()),
                _ => false,
            },
            Self::Map => matches!(data_type, DataType::Map(_, _)),
            Self::Struct => matches!(data_type, DataType::Struct(_)),
            Self::Ordered => types::is_orderable(data_type),
            Self::Summable => SUMMABLE.iter().any(|c| c.accepts(data_type)),
            Self::OneOf(choices) => choices.iter().any(|c| c.accepts(data_type)),
        }
    }

    /// As messages show it: `"STRING"`, `("STRING" or "BINARY")`.
    pub fn sql(&self) -> String {
        let plain = match self {
            Self::Any => "ANY".to_string(),
            Self::Type(t) => sql_name(t),
            Self::Numeric => "NUMERIC".into(),
            Self::Integral => "INTEGRAL".into(),
            Self::Fractional => "FRACTIONAL".into(),
            Self::Decimal => "DECIMAL".into(),
            Self::AnyTimestamp => "(TIMESTAMP OR TIMESTAMP WITHOUT TIME ZONE)".into(),
            Self::Array | Self::ArrayOf(_) => "ARRAY".into(),
            Self::Map => "MAP".into(),
            Self::Struct => "STRUCT".into(),
            Self::Ordered => "ORDERABLE".into(),
            Self::Summable => return "\"NUMERIC\" or \"ANSI INTERVAL\"".into(),
            Self::OneOf(choices) => {
                let all: Vec<String> = choices.iter().map(Self::sql).collect();
                return format!("({})", all.join(" or "));
            }
        };
        crate::error::quoted(plain)
    }

    /// The type a NULL without a type becomes.
    fn default_type(&self) -> Option<DataType> {
        Some(match self {
            Self::Any | Self::Ordered => DataType::Null,
            Self::Type(t) => t.clone(),
            Self::Numeric | Self::Fractional => DataType::Float64,
            Self::Integral => DataType::Int32,
            Self::Decimal => DataType::Decimal128(10, 0),
            Self::AnyTimestamp => timestamp(),
            Self::Array => types::list(DataType::Null, true),
            Self::ArrayOf(inner) => types::list(inner.default_type()?, true),
            Self::Map => types::map(DataType::Null, DataType::Null, true),
            Self::Struct => DataType::Struct(Default::default()),
            Self::Summable => return Self::Numeric.default_type(),
            Self::OneOf(choices) => return choices.first()?.default_type(),
        })
    }

    /// The type that a value of `from` is implicitly cast to; `None` where Spark casts nothing.
    pub fn implicit_cast(&self, from: &DataType, ansi: bool) -> Option<DataType> {
        if self.accepts(from) {
            return Some(from.clone());
        }
        match self {
            Self::Summable => return closest(&SUMMABLE, from, ansi),
            Self::OneOf(choices) => return closest(choices, from, ansi),
            _ => {}
        }
        let atomic_target = matches!(self, Self::Type(t) if types::is_atomic(t));
        match (from, self) {
            (DataType::Null, _) => self.default_type(),
            (t, Self::Decimal) if types::is_numeric(t) => {
                decimal::for_type(t).map(|(p, s)| DataType::Decimal128(p, s))
            }
            (t, Self::Fractional) if types::is_numeric(t) => Some(DataType::Float64),
            (DataType::Utf8, Self::Numeric | Self::Fractional) => Some(DataType::Float64),
            (DataType::Utf8, Self::Decimal) => Some(DataType::Decimal128(38, 18)),
            (DataType::Utf8, Self::Integral) => ansi.then_some(DataType::Int64),
            (DataType::Utf8, Self::AnyTimestamp) => Some(timestamp()),
            (DataType::Date32, Self::AnyTimestamp) => Some(timestamp()),
            (DataType::Utf8, Self::Type(t)) if atomic_target => Some(t.clone()),
            (f, Self::Type(t)) if ansi => can_store_assign(f, t).then(|| t.clone()),
            (f, Self::Type(t)) => legacy_cast(f, t).then(|| t.clone()),
            (DataType::List(item), Self::ArrayOf(inner)) => {
                let element = inner.implicit_cast(item.data_type(), ansi)?;
                Some(types::list(element, item.is_nullable()))
            }
            _ => None,
        }
    }
}

/// Implicit casts with ANSI mode off.
fn legacy_cast(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (f, DataType::Utf8) => types::is_atomic(f),
        (f, t) if types::is_numeric(f) && types::is_numeric(t) => true,
        (f, t) if types::is_datetime(f) && types::is_datetime(t) => true,
        (DataType::List(a), DataType::List(b)) => {
            legacy_cast(a.data_type(), b.data_type())
                || types::same_type(a.data_type(), b.data_type())
        }
        _ => false,
    }
}

/// Of the choices that `from` can be cast to, the one that can be cast to all the others.
fn closest(choices: &[Accepts], from: &DataType, ansi: bool) -> Option<DataType> {
    let possible: Vec<DataType> = choices
        .iter()
        .filter_map(|c| c.implicit_cast(from, ansi))
        .collect();
    if !ansi || *from == DataType::Null {
        return possible.into_iter().next();
    }
    let best = possible.iter().find(|candidate| {
        possible.iter().all(|other| {
            Accepts::Type(other.clone())
                .implicit_cast(candidate, ansi)
                .is_some()
        })
    });
    // Text is a number before it is an interval.
    let best = match best {
        None if *from == DataType::Utf8 => possible.iter().find(|t| types::is_numeric(t))?,
        best => best?,
    };
    if *best == DataType::Float32 && possible.contains(&DataType::Float64) {
        return Some(DataType::Float64);
    }
    Some(best.clone())
}
