//! Whole columns as text.
//!
//! A column is rendered by a tree of closures that is built once per array: types are matched and
//! arrays downcast there, so that a row costs calls only.
use arrow::{
    array::{Array, ArrayRef, AsArray, StringArray, StringBuilder, cast::downcast_array},
    compute::{CastOptions, cast_with_options},
    datatypes::{
        ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Decimal256Type,
        DurationMicrosecondType, Field, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
        Int64Type, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType,
        Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, UInt8Type, UInt16Type,
        UInt32Type, UInt64Type,
    },
};
use std::fmt::{Display, Write};

use crate::datetime::{Zone, date_to_string, timestamp_ntz_to_string, timestamp_to_string};

use super::{
    numbers::{write_decimal, write_double, write_float},
    temporal::{
        DayTimeField, write_calendar_interval, write_day_time, write_time, write_year_month,
    },
};

/// Key of the field metadata that tells which fields an interval shows, such as `day` or `hour to
/// second`; Arrow's types do not know. Without it the widest range is shown.
pub const INTERVAL_FIELDS: &str = "spark.interval.fields";

/// A column that cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// No Spark type corresponds to it.
    #[error("values of the Arrow type {data_type} have no text form")]
    UnsupportedType {
        /// Arrow's name of the type.
        data_type: String,
    },
    /// Arrow could not bring the column into its usual form.
    #[error(transparent)]
    Arrow(#[from] arrow::error::ArrowError),
}

/// Where the callers' texts differ.
#[derive(Debug, Clone)]
pub struct Style {
    zone: Zone,
    null: &'static str,
    bytes: Bytes,
}

#[derive(Debug, Clone, Copy)]
enum Bytes {
    Utf8,
    Hex,
}

impl Style {
    /// What `CAST(x AS STRING)` gives.
    pub fn cast(zone: Zone) -> Self {
        Self {
            zone,
            null: "null",
            bytes: Bytes::Utf8,
        }
    }

    /// What a table cell shows.
    pub fn table(zone: Zone) -> Self {
        Self {
            zone,
            null: "NULL",
            bytes: Bytes::Hex,
        }
    }

    /// How a null is spelled inside a nested value, or as a cell.
    pub fn null(&self) -> &'static str {
        self.null
    }
}

/// Renders a column. Nulls stay null.
///
/// # Errors
/// If the column, or something nested in it, has a type that Spark does not have.
pub fn render(array: &ArrayRef, field: &Field, style: &Style) -> Result<StringArray, RenderError> {
    if matches!(array.data_type(), DataType::Null) {
        return Ok(StringArray::new_null(array.len()));
    }
    let write = writer(array, field, style)?;
    let mut out = StringBuilder::with_capacity(array.len(), array.len() * 8);
    let mut text = String::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            out.append_null();
        } else {
            text.clear();
            write(row, &mut text);
            out.append_value(&text);
        }
    }
    Ok(out.finish())
}

/// Writes a value that is not null.
type Writer = Box<dyn Fn(usize, &mut String)>;

fn writer(array: &ArrayRef, field: &Field, style: &Style) -> Result<Writer, RenderError> {
    let array = normal_form(array)?;
    Ok(match array.data_type() {
        DataType::Boolean => {
            let array = array.as_boolean().clone();
            Box::new(move |row, out| out.push_str(if array.value(row) { "true" } else { "false" }))
        }
        DataType::Int8 => integers::<Int8Type>(&array),
        DataType::Int16 => integers::<Int16Type>(&array),
        DataType::Int32 => integers::<Int32Type>(&array),
        DataType::Int64 => integers::<Int64Type>(&array),
        DataType::UInt8 => integers::<UInt8Type>(&array),
        DataType::UInt16 => integers::<UInt16Type>(&array),
        DataType::UInt32 => integers::<UInt32Type>(&array),
        DataType::UInt64 => integers::<UInt64Type>(&array),
        DataType::Float32 => {
            primitives::<Float32Type>(&array, |value, out| write_float(out, value))
        }
        DataType::Float64 => {
            primitives::<Float64Type>(&array, |value, out| write_double(out, value))
        }
        DataType::Decimal128(_, scale) => {
            let scale = *scale;
            primitives::<Decimal128Type>(&array, move |value, out| write_decimal(out, value, scale))
        }
        DataType::Decimal256(_, scale) => {
            let scale = *scale;
            primitives::<Decimal256Type>(&array, move |value, out| write_decimal(out, value, scale))
        }
        DataType::Utf8 => {
            let array = array.as_string::<i32>().clone();
            Box::new(move |row, out| out.push_str(array.value(row)))
        }
        DataType::Binary => binary(&array, style.bytes),
        DataType::List(_) | DataType::Map(..) | DataType::Struct(_) => nested(&array, style)?,
        _ => temporal(&array, field, style)?,
    })
}

/// Brings the many Arrow layouts of one Spark type to one.
fn normal_form(array: &ArrayRef) -> Result<ArrayRef, RenderError> {
    let target = match array.data_type() {
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        DataType::Float16 => DataType::Float32,
        DataType::Dictionary(_, values) => values.as_ref().clone(),
        DataType::RunEndEncoded(_, values) => values.data_type().clone(),
        DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => DataType::List(item.clone()),
        DataType::Timestamp(unit, zone) if *unit != TimeUnit::Microsecond => {
            DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
        }
        DataType::Duration(unit) if *unit != TimeUnit::Microsecond => {
            DataType::Duration(TimeUnit::Microsecond)
        }
        DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(TimeUnit::Nanosecond) => {
            DataType::Time64(TimeUnit::Microsecond)
        }
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        _ => return Ok(array.clone()),
    };
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    normal_form(&cast_with_options(array, &target, &options)?)
}

fn primitives<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    write: impl Fn(T::Native, &mut String) + 'static,
) -> Writer {
    let array = array.as_primitive::<T>().clone();
    Box::new(move |row, out| write(array.value(row), out))
}

fn integers<T: ArrowPrimitiveType<Native: Display>>(array: &ArrayRef) -> Writer {
    primitives::<T>(array, |value, out| {
        let _ = write!(out, "{value}");
    })
}

fn binary(array: &ArrayRef, style: Bytes) -> Writer {
    let array = array.as_binary::<i32>().clone();
    Box::new(move |row, out| {
        let bytes = array.value(row);
        match style {
            Bytes::Utf8 => out.push_str(&String::from_utf8_lossy(bytes)),
            Bytes::Hex => {
                out.push('[');
                for (i, byte) in bytes.iter().enumerate() {
                    let _ = write!(out, "{}{byte:02X}", if i == 0 { "" } else { " " });
                }
                out.push(']');
            }
        }
    })
}

fn temporal(array: &ArrayRef, field: &Field, style: &Style) -> Result<Writer, RenderError> {
    let fields = field.metadata().get(INTERVAL_FIELDS);
    Ok(match array.data_type() {
        DataType::Date32 => primitives::<Date32Type>(array, date_to_string),
        DataType::Time64(TimeUnit::Microsecond) => {
            primitives::<Time64MicrosecondType>(array, |micros, out| write_time(out, micros))
        }
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            primitives::<TimestampMicrosecondType>(array, timestamp_ntz_to_string)
        }
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            let zone = style.zone;
            primitives::<TimestampMicrosecondType>(array, move |micros, out| {
                timestamp_to_string(micros, &zone, out);
            })
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            let range = fields
                .and_then(|text| DayTimeField::parse_range(text))
                .unwrap_or((DayTimeField::Day, DayTimeField::Second));
            primitives::<DurationMicrosecondType>(array, move |micros, out| {
                write_day_time(out, micros, range);
            })
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            let fields = fields.cloned().unwrap_or_default();
            primitives::<IntervalYearMonthType>(array, move |months, out| {
                write_year_month(out, months, &fields);
            })
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            primitives::<IntervalMonthDayNanoType>(array, |value, out| {
                let micros = value.nanoseconds / 1_000;
                write_calendar_interval(out, value.months, value.days, micros);
            })
        }
        other => {
            return Err(RenderError::UnsupportedType {
                data_type: other.to_string(),
            });
        }
    })
}

/// A writer that spells nulls out.
fn child(array: &ArrayRef, field: &Field, style: &Style) -> Result<Writer, RenderError> {
    let null = style.null;
    if matches!(array.data_type(), DataType::Null) {
        return Ok(Box::new(move |_, out| out.push_str(null)));
    }
    let write = writer(array, field, style)?;
    let nulls = array.logical_nulls();
    Ok(Box::new(move |row, out| {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            out.push_str(null);
        } else {
            write(row, out);
        }
    }))
}

fn nested(array: &ArrayRef, style: &Style) -> Result<Writer, RenderError> {
    Ok(match array.data_type() {
        DataType::List(item) => {
            let list = array.as_list::<i32>();
            let write = child(list.values(), item, style)?;
            let offsets = list.offsets().clone();
            Box::new(move |row, out| {
                let bounds = offsets
                    .get(row..)
                    .and_then(|o| Some((*o.first()?, *o.get(1)?)));
                let (begin, end) = bounds.unwrap_or_default();
                separated(out, '[', ']', begin..end, |i, out| write(i, out));
            })
        }
        DataType::Map(..) => {
            let map = array.as_map();
            let (key_field, value_field) = map.entries_fields();
            let key = child(map.keys(), key_field, style)?;
            let value = child(map.values(), value_field, style)?;
            let offsets = map.offsets().clone();
            Box::new(move |row, out| {
                let bounds = offsets
                    .get(row..)
                    .and_then(|o| Some((*o.first()?, *o.get(1)?)));
                let (begin, end) = bounds.unwrap_or_default();
                separated(out, '{', '}', begin..end, |i, out| {
                    key(i, out);
                    out.push_str(" -> ");
                    value(i, out);
                });
            })
        }
        _ => {
            let columns = downcast_array::<arrow::array::StructArray>(array);
            let mut children = Vec::with_capacity(columns.num_columns());
            for (column, field) in columns.columns().iter().zip(columns.fields()) {
                children.push(child(column, field, style)?);
            }
            Box::new(move |row, out| {
                out.push('{');
                for (i, write) in children.iter().enumerate() {
                    if i > 0 {
                        out.push_str(", ");
                    }
                    write(row, out);
                }
                out.push('}');
            })
        }
    })
}

fn separated(
    out: &mut String,
    open: char,
    close: char,
    rows: std::ops::Range<i32>,
    write: impl Fn(usize, &mut String),
) {
    out.push(open);
    let first = rows.start;
    for row in rows {
        if row > first {
            out.push_str(", ");
        }
        write(usize::try_from(row).unwrap_or_default(), out);
    }
    out.push(close);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{
            BinaryArray, DictionaryArray, DurationMicrosecondArray, Int32Array, ListArray,
            MapArray, NullArray, StructArray, TimestampMicrosecondArray,
        },
        buffer::{NullBuffer, OffsetBuffer},
        datatypes::Fields,
    };

    use super::*;

    fn utc() -> Zone {
        Zone::UTC
    }

    fn cells(array: ArrayRef, style: &Style) -> Vec<Option<String>> {
        let field = Field::new("x", array.data_type().clone(), true);
        let rendered = render(&array, &field, style).unwrap();
        rendered
            .iter()
            .map(|cell| cell.map(str::to_owned))
            .collect()
    }

    fn both(array: ArrayRef) -> (String, String) {
        let cast = cells(array.clone(), &Style::cast(utc()));
        let table = cells(array, &Style::table(utc()));
        (cast[0].clone().unwrap(), table[0].clone().unwrap())
    }

    #[test]
    fn a_list_with_a_null_spells_it_in_the_callers_way() {
        let list =
            ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1), None, Some(3)])]);
        assert_eq!(
            both(Arc::new(list)),
            ("[1, null, 3]".into(), "[1, NULL, 3]".into())
        );
    }

    #[test]
    fn bytes_are_text_in_a_cast_and_hexadecimal_in_a_table() {
        let array: ArrayRef = Arc::new(BinaryArray::from(vec![&b"ab"[..]]));
        assert_eq!(both(array.clone()), ("ab".into(), "[61 62]".into()));
        let wrapped = StructArray::from(vec![(
            Arc::new(Field::new("b", DataType::Binary, true)),
            array,
        )]);
        assert_eq!(both(Arc::new(wrapped)), ("{ab}".into(), "{[61 62]}".into()));
    }

    #[test]
    fn a_map_shows_keys_and_values_of_its_own_row() {
        let entries = Fields::from(vec![
            Field::new("key", DataType::Utf8, false),
            Field::new("value", DataType::Int32, true),
        ]);
        let map = MapArray::new(
            Arc::new(Field::new(
                "entries",
                DataType::Struct(entries.clone()),
                false,
            )),
            OffsetBuffer::new(vec![0, 2, 2, 3].into()),
            StructArray::new(
                entries,
                vec![
                    Arc::new(StringArray::from(vec!["a", "b", "c"])),
                    Arc::new(Int32Array::from(vec![Some(1), None, Some(3)])),
                ],
                None,
            ),
            None,
            false,
        );
        let rows = cells(Arc::new(map.clone()), &Style::table(utc()));
        assert_eq!(
            rows,
            [
                Some("{a -> 1, b -> NULL}".into()),
                Some("{}".into()),
                Some("{c -> 3}".into())
            ]
        );
        let sliced = cells(Arc::new(map.slice(2, 1)), &Style::cast(utc()));
        assert_eq!(sliced, [Some("{c -> 3}".into())]);
    }

    #[test]
    fn a_null_struct_is_null_and_its_fields_are_not_looked_at() {
        let array = StructArray::new(
            Fields::from(vec![Field::new("a", DataType::Int32, true)]),
            vec![Arc::new(Int32Array::from(vec![Some(1), Some(2)]))],
            Some(NullBuffer::from(vec![true, false])),
        );
        assert_eq!(
            cells(Arc::new(array), &Style::cast(utc())),
            [Some("{1}".into()), None]
        );
    }

    #[test]
    fn dictionaries_and_timestamps_with_a_zone_are_shown_by_value() {
        let array: DictionaryArray<Int32Type> = vec![Some("x"), None].into_iter().collect();
        assert_eq!(
            cells(Arc::new(array), &Style::cast(utc())),
            [Some("x".into()), None]
        );
        let array = TimestampMicrosecondArray::from(vec![0]);
        let zone = || Style::cast(Zone::parse("+01:00").unwrap());
        assert_eq!(
            cells(Arc::new(array.clone()), &zone()),
            [Some("1970-01-01 00:00:00".into())]
        );
        assert_eq!(
            cells(Arc::new(array.with_timezone("UTC")), &zone()),
            [Some("1970-01-01 01:00:00".into())]
        );
    }

    #[test]
    fn void_is_all_nulls() {
        assert_eq!(
            cells(Arc::new(NullArray::new(2)), &Style::cast(utc())),
            [None, None]
        );
    }

    #[test]
    fn an_interval_shows_the_fields_of_its_metadata() {
        let array: ArrayRef = Arc::new(DurationMicrosecondArray::from(vec![86_400_000_000]));
        let field = Field::new("x", array.data_type().clone(), true);
        let narrow = field
            .clone()
            .with_metadata([(INTERVAL_FIELDS.into(), "day".into())].into());
        let style = Style::cast(utc());
        let text = |field| render(&array, field, &style).unwrap().value(0).to_owned();
        assert_eq!(text(&field), "INTERVAL '1 00:00:00' DAY TO SECOND");
        assert_eq!(text(&narrow), "INTERVAL '1' DAY");
    }
}
