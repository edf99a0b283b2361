//! Types that state can hold, how they are kept, and when two schemas are the same.
//!
//! State outlives the program that wrote it, so what is compared is the *kind* of each column and not its
//! spelling: names, nullability and the label of a time zone do not count (Spark compares state schemas
//! the same way), and the two in-memory layouts of strings are one type. Columns are kept and written in
//! the plain layout ([`storage_type`]) and handed out in the layout the operator asked for.
use std::{fmt::Write, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, FixedSizeListArray, LargeListArray, ListArray, MapArray,
        RecordBatch, StructArray,
    },
    compute::cast,
    datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type, Schema, SchemaRef, TimeUnit},
};

use crate::{Result, StateError, StateSchema, StateStoreId, columns::batch_of};

/// A store's schema with everything derived from it once.
#[derive(Debug, Clone)]
pub(crate) struct StorageSchema {
    /// What the operator asked for.
    pub(crate) asked: StateSchema,
    /// Key columns as kept.
    pub(crate) key: SchemaRef,
    /// Value columns as kept.
    pub(crate) value: SchemaRef,
    /// Key then value columns as kept: what segments and files hold.
    pub(crate) entry: SchemaRef,
    /// Value columns as handed out by look-ups: nullable.
    pub(crate) value_out: SchemaRef,
    /// Key then value columns as handed out.
    pub(crate) entry_out: SchemaRef,
    pub(crate) key_fingerprint: u64,
    pub(crate) value_fingerprint: u64,
}

impl StorageSchema {
    pub(crate) fn try_new(asked: &StateSchema) -> Result<Self> {
        let key = storage_schema(&asked.key)?;
        let value = storage_schema(&asked.value)?;
        check_event_time(asked)?;
        if asked.prefix > asked.key.fields().len() {
            return Err(StateError::InvalidSchema {
                reason: format!(
                    "prefix of {} columns in a key of {}",
                    asked.prefix,
                    asked.key.fields().len()
                ),
            });
        }
        Ok(Self {
            entry: joined(&key, &value),
            value_out: nullable(&asked.value),
            entry_out: joined(&nullable(&asked.key), &nullable(&asked.value)),
            key_fingerprint: fingerprint(&key),
            value_fingerprint: fingerprint(&value),
            asked: asked.clone(),
            key,
            value,
        })
    }

    /// Entries that a store handed out, as they are kept.
    pub(crate) fn stored(&self, entries: &RecordBatch) -> Result<RecordBatch> {
        let columns = entries.columns().iter().zip(self.entry.fields());
        let columns = columns
            .map(|(column, field)| conform(column, field.data_type()))
            .collect::<Result<Vec<_>>>()?;
        batch_of(&self.entry, columns, entries.num_rows())
    }

    /// Number of key columns.
    pub(crate) fn key_columns(&self) -> usize {
        self.key.fields().len()
    }

    /// Refuses stored columns of other types than ours.
    pub(crate) fn check_stored(
        &self,
        store: &StateStoreId,
        stored_key: &Schema,
        stored_value: &Schema,
    ) -> Result<()> {
        if !same_types(&self.key, stored_key) {
            return Err(StateError::KeySchemaMismatch {
                store: store.clone(),
                expected: describe(&self.asked.key),
                found: describe(stored_key),
            });
        }
        if !same_types(&self.value, stored_value) {
            return Err(StateError::ValueSchemaMismatch {
                store: store.clone(),
                expected: describe(&self.asked.value),
                found: describe(stored_value),
            });
        }
        Ok(())
    }
}

fn check_event_time(schema: &StateSchema) -> Result<()> {
    let Some(index) = schema.event_time else {
        return Ok(());
    };
    let Some(field) = schema.key.fields().get(index) else {
        return Err(StateError::InvalidSchema {
            reason: format!(
                "event-time column {index} in a key of {} columns",
                schema.key.fields().len()
            ),
        });
    };
    match field.data_type() {
        DataType::Int64 | DataType::Timestamp(TimeUnit::Microsecond, _) => Ok(()),
        other => Err(StateError::InvalidSchema {
            reason: format!(
                "event-time column {} has type {other}, not timestamp in microseconds or bigint",
                field.name()
            ),
        }),
    }
}

fn joined(key: &Schema, value: &Schema) -> SchemaRef {
    let fields: Vec<FieldRef> = key.fields().iter().chain(value.fields()).cloned().collect();
    Arc::new(Schema::new(fields))
}

fn nullable(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter();
    Arc::new(Schema::new(
        fields
            .map(|f| Field::new(f.name(), f.data_type().clone(), true))
            .collect::<Vec<_>>(),
    ))
}

fn storage_schema(schema: &Schema) -> Result<SchemaRef> {
    let fields = schema.fields().iter().map(|field| {
        let kept =
            storage_type(field.data_type()).map_err(|reason| StateError::UnsupportedType {
                column: field.name().clone(),
                data_type: field.data_type().clone(),
                reason,
            })?;
        Ok(Field::new(field.name(), kept, true))
    });
    Ok(Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?)))
}

/// The layout in which a type is kept: nested fields nullable, views turned into plain layouts.
fn storage_type(data_type: &DataType) -> Result<DataType, &'static str> {
    let child = |field: &FieldRef| -> Result<FieldRef, &'static str> {
        Ok(Arc::new(Field::new(
            field.name(),
            storage_type(field.data_type())?,
            true,
        )))
    };
    Ok(match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Struct(fields) => DataType::Struct(
            fields
                .iter()
                .map(child)
                .collect::<Result<Vec<_>, _>>()?
                .into(),
        ),
        DataType::List(field) => DataType::List(child(field)?),
        DataType::LargeList(field) => DataType::LargeList(child(field)?),
        DataType::FixedSizeList(field, len) => DataType::FixedSizeList(child(field)?, *len),
        // A map's keys and entries are never null, and Arrow insists on saying so.
        DataType::Map(entries, sorted) => {
            let DataType::Struct(fields) = entries.data_type() else {
                return Err("its entries are not a struct");
            };
            let kept = fields.iter().map(|f| {
                Ok(Field::new(
                    f.name(),
                    storage_type(f.data_type())?,
                    f.is_nullable(),
                ))
            });
            let kept = DataType::Struct(kept.collect::<Result<Vec<_>, &'static str>>()?.into());
            DataType::Map(Arc::new(Field::new(entries.name(), kept, false)), *sorted)
        }
        DataType::Dictionary(_, _) => return Err("dictionary columns must be decoded first"),
        DataType::RunEndEncoded(_, _) => {
            return Err("run-end encoded columns must be decoded first");
        }
        DataType::ListView(_) | DataType::LargeListView(_) => {
            return Err("list views must be turned into lists first");
        }
        DataType::Union(_, _) => return Err("Spark has no such type"),
        plain => plain.clone(),
    })
}

/// Canonical spelling of a type: what has to agree for stored bytes to mean the same.
fn write_type(out: &mut String, data_type: &DataType) {
    let list = |out: &mut String, name: &str, field: &FieldRef| {
        let _ = write!(out, "{name}<");
        write_type(out, field.data_type());
        out.push('>');
    };
    match data_type {
        DataType::Utf8 | DataType::Utf8View => out.push_str("string"),
        DataType::Binary | DataType::BinaryView => out.push_str("binary"),
        DataType::Int8 => out.push_str("tinyint"),
        DataType::Int16 => out.push_str("smallint"),
        DataType::Int32 => out.push_str("int"),
        DataType::Int64 => out.push_str("bigint"),
        DataType::Float32 => out.push_str("float"),
        DataType::Float64 => out.push_str("double"),
        DataType::Boolean => out.push_str("boolean"),
        DataType::Date32 => out.push_str("date"),
        DataType::Null => out.push_str("void"),
        // The zone is a label: the values are instants whatever it says.
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => out.push_str("timestamp"),
        DataType::Timestamp(TimeUnit::Microsecond, None) => out.push_str("timestamp_ntz"),
        DataType::Timestamp(unit, zone) => {
            let zoned = if zone.is_some() {
                "timestamp"
            } else {
                "timestamp_ntz"
            };
            let _ = write!(out, "{zoned}({unit})");
        }
        DataType::Decimal128(precision, scale) => {
            let _ = write!(out, "decimal({precision},{scale})");
        }
        DataType::List(field) => list(out, "array", field),
        DataType::LargeList(field) => list(out, "large_array", field),
        DataType::FixedSizeList(field, len) => list(out, &format!("array[{len}]"), field),
        DataType::Map(entries, _) => list(out, "map", entries),
        DataType::Struct(fields) => {
            out.push_str("struct<");
            for (i, field) in fields.iter().enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                write_type(out, field.data_type());
            }
            out.push('>');
        }
        other => {
            let _ = write!(out, "{other}");
        }
    }
}

fn type_name(data_type: &DataType) -> String {
    let mut name = String::new();
    write_type(&mut name, data_type);
    name
}

/// Columns with names, for messages: `user string, window timestamp`.
pub(crate) fn describe(schema: &Schema) -> String {
    let columns: Vec<_> = schema
        .fields()
        .iter()
        .map(|f| format!("{} {}", shown(f.name()), type_name(f.data_type())))
        .collect();
    format!("[{}]", columns.join(", "))
}

/// A column as the user knows it: plans number their columns, `k#12`, and operators theirs, `k#key 0`.
fn shown(name: &str) -> &str {
    match name.rsplit_once('#') {
        Some((shown, number))
            if !shown.is_empty()
                && number
                    .trim_start_matches("key")
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || b" .[]".contains(&byte)) =>
        {
            shown
        }
        _ => name,
    }
}

/// Whether two schemas agree column by column in everything but labels.
pub(crate) fn same_types(a: &Schema, b: &Schema) -> bool {
    a.fields().len() == b.fields().len()
        && a.fields().iter().zip(b.fields()).all(|(a, b)| {
            a.data_type() == b.data_type() || type_name(a.data_type()) == type_name(b.data_type())
        })
}

/// FNV-1a over the canonical type names. Part of the file format.
pub(crate) fn fingerprint(schema: &Schema) -> u64 {
    let mut names = String::new();
    for field in schema.fields() {
        write_type(&mut names, field.data_type());
        names.push(';');
    }
    names.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Gives an array the exact type `to`, which must be the same type under other labels or layout.
pub(crate) fn conform(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    if array.data_type() == to {
        return Ok(Arc::clone(array));
    }
    Ok(match (array.data_type(), to) {
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let array = array.as_struct();
            let columns = array.columns().iter().zip(fields);
            let columns = columns
                .map(|(c, f)| conform(c, f.data_type()))
                .collect::<Result<Vec<_>>>()?;
            let nulls = array.nulls().cloned();
            Arc::new(StructArray::try_new_with_length(
                fields.clone(),
                columns,
                nulls,
                array.len(),
            )?)
        }
        (DataType::List(_), DataType::List(field)) => {
            let array: &ListArray = array.as_list();
            let values = conform(array.values(), field.data_type())?;
            let (offsets, nulls) = (array.offsets().clone(), array.nulls().cloned());
            Arc::new(ListArray::try_new(
                Arc::clone(field),
                offsets,
                values,
                nulls,
            )?)
        }
        (DataType::LargeList(_), DataType::LargeList(field)) => {
            let array: &LargeListArray = array.as_list();
            let values = conform(array.values(), field.data_type())?;
            let (offsets, nulls) = (array.offsets().clone(), array.nulls().cloned());
            Arc::new(LargeListArray::try_new(
                Arc::clone(field),
                offsets,
                values,
                nulls,
            )?)
        }
        (DataType::FixedSizeList(_, len), DataType::FixedSizeList(field, _)) => {
            let array = array.as_fixed_size_list();
            let values = conform(array.values(), field.data_type())?;
            let nulls = array.nulls().cloned();
            Arc::new(FixedSizeListArray::try_new(
                Arc::clone(field),
                *len,
                values,
                nulls,
            )?)
        }
        (DataType::Map(_, _), DataType::Map(field, sorted)) => {
            let array = array.as_map();
            let entries: ArrayRef = Arc::new(array.entries().clone());
            let entries = conform(&entries, field.data_type())?.as_struct().clone();
            let (offsets, nulls) = (array.offsets().clone(), array.nulls().cloned());
            Arc::new(MapArray::try_new(
                Arc::clone(field),
                offsets,
                entries,
                nulls,
                *sorted,
            )?)
        }
        (DataType::Timestamp(_, Some(_)), DataType::Timestamp(_, Some(_))) => {
            // Only the label differs, so the cast below would be the identity; it keeps the values.
            cast(array, to)?
        }
        _ => cast(array, to)?,
    })
}

/// Whether a type holds floating-point numbers at a depth that [`normalize_floats`] reaches.
pub(crate) fn holds_floats(data_type: &DataType) -> bool {
    match data_type {
        DataType::Float32 | DataType::Float64 => true,
        DataType::Struct(fields) => fields.iter().any(|f| holds_floats(f.data_type())),
        DataType::List(field) => holds_floats(field.data_type()),
        _ => false,
    }
}

/// Makes floating-point keys comparable bit by bit: -0.0 becomes 0.0 and every NaN the same NaN.
pub(crate) fn normalize_floats(array: &ArrayRef) -> Result<ArrayRef> {
    Ok(match array.data_type() {
        DataType::Float32 => Arc::new(
            array
                .as_primitive::<Float32Type>()
                .unary::<_, Float32Type>(|v| if v.is_nan() { f32::NAN } else { v + 0.0 }),
        ),
        DataType::Float64 => Arc::new(
            array
                .as_primitive::<Float64Type>()
                .unary::<_, Float64Type>(|v| if v.is_nan() { f64::NAN } else { v + 0.0 }),
        ),
        DataType::Struct(fields) => {
            let array = array.as_struct();
            let columns = array
                .columns()
                .iter()
                .map(normalize_floats)
                .collect::<Result<Vec<_>>>()?;
            let nulls = array.nulls().cloned();
            Arc::new(StructArray::try_new_with_length(
                fields.clone(),
                columns,
                nulls,
                array.len(),
            )?)
        }
        DataType::List(field) => {
            let array: &ListArray = array.as_list();
            let values = normalize_floats(array.values())?;
            let (offsets, nulls) = (array.offsets().clone(), array.nulls().cloned());
            Arc::new(ListArray::try_new(
                Arc::clone(field),
                offsets,
                values,
                nulls,
            )?)
        }
        _ => Arc::clone(array),
    })
}
