//! Spark's `hash()` and `xxhash64()`, bit for bit.
//!
//! State is partitioned by `pmod(hash(keys), number of partitions)`, and a checkpoint lives longer than a
//! release, so this function may never change: it is Spark's `Murmur3Hash` with seed 42, the one that
//! Spark's own `HashPartitioning` uses. The recorded answers of a real Spark are in `testdata`.
//!
//! The rules, where they surprise: columns are chained, each hashing with the result so far as its seed; a
//! NULL leaves it as it is; so do, in effect, empty arrays. -0.0 hashes as 0.0, any NaN as the canonical
//! one. A decimal of at most 18 digits hashes as its unscaled long, a longer one as the shortest big-endian
//! two's complement bytes of it. Nested values hash their parts in order.
mod murmur3;
mod xxhash64;

use std::ops::Range;

use arrow::{
    array::{Array, ArrayRef, AsArray, OffsetSizeTrait},
    buffer::NullBuffer,
    compute::cast,
    datatypes::{
        ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, DurationMicrosecondType,
        Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalUnit,
        IntervalYearMonthType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType,
    },
};

use self::{murmur3::Murmur3, xxhash64::XxHash64};
use crate::{Result, StateError};

/// Seed of the SQL functions and of hash partitioning.
pub const SPARK_SEED: i32 = 42;

/// Longest decimal that Spark keeps in a long.
const MAX_LONG_DIGITS: u8 = 18;

/// Spark's `hash(columns…)` per row, with [`SPARK_SEED`] for Spark's own answer.
///
/// `rows` is the length of the columns; without columns every row hashes to the seed.
///
/// # Errors
/// [`StateError::UnsupportedType`] for types that Spark does not have.
pub fn murmur3_hash(columns: &[ArrayRef], rows: usize, seed: i32) -> Result<Vec<i32>> {
    hash_columns::<Murmur3>(columns, rows, seed)
}

/// Spark's `xxhash64(columns…)` per row, with [`SPARK_SEED`] for Spark's own answer.
///
/// # Errors
/// As [`murmur3_hash`].
pub fn xxhash64(columns: &[ArrayRef], rows: usize, seed: i64) -> Result<Vec<i64>> {
    hash_columns::<XxHash64>(columns, rows, seed)
}

/// The partition of a hash: Spark's `pmod(hash, partitions)`. At least one partition is assumed.
pub fn partition_of(hash: i32, partitions: u32) -> u32 {
    let partitions = i64::from(partitions.max(1));
    // Between 0 and partitions - 1, so it fits.
    i64::from(hash).rem_euclid(partitions) as u32
}

/// A hash function over Spark's primitive values, chained through its seed.
trait SparkHash {
    type Hash: Copy + 'static;
    fn int(value: i32, seed: Self::Hash) -> Self::Hash;
    fn long(value: i64, seed: Self::Hash) -> Self::Hash;
    fn bytes(value: &[u8], seed: Self::Hash) -> Self::Hash;
}

/// How a column takes part in a hash.
trait ColumnHash<H> {
    /// Hashes row i into `hashes[i]`.
    fn each(&self, hashes: &mut [H]);
    /// Hashes several rows into one hash, in order.
    fn fold(&self, rows: Range<usize>, hash: H) -> H;
}

/// A column whose valid rows are hashed by `hash(row, seed)`.
struct Rows<F> {
    nulls: Option<NullBuffer>,
    hash: F,
}

impl<H: Copy, F: Fn(usize, H) -> H> ColumnHash<H> for Rows<F> {
    fn each(&self, hashes: &mut [H]) {
        match &self.nulls {
            None => {
                for (row, hash) in hashes.iter_mut().enumerate() {
                    *hash = (self.hash)(row, *hash);
                }
            }
            Some(nulls) => {
                for (row, hash) in hashes.iter_mut().enumerate() {
                    if nulls.is_valid(row) {
                        *hash = (self.hash)(row, *hash);
                    }
                }
            }
        }
    }

    fn fold(&self, rows: Range<usize>, hash: H) -> H {
        rows.fold(hash, |hash, row| {
            let valid = self.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
            if valid { (self.hash)(row, hash) } else { hash }
        })
    }
}

type Hasher<'a, H> = Box<dyn ColumnHash<H> + 'a>;

fn hash_columns<S: SparkHash>(
    columns: &[ArrayRef],
    rows: usize,
    seed: S::Hash,
) -> Result<Vec<S::Hash>> {
    let mut hashes = vec![seed; rows];
    for column in columns {
        if column.len() != rows {
            return Err(StateError::InvalidSchema {
                reason: format!("a column of {} rows among columns of {rows}", column.len()),
            });
        }
        // A dictionary is an encoding and no type of Spark's.
        match column.data_type() {
            DataType::Dictionary(_, values) => {
                let decoded = cast(column, values)?;
                hasher::<S>(decoded.as_ref())?.each(&mut hashes);
            }
            _ => hasher::<S>(column.as_ref())?.each(&mut hashes),
        }
    }
    Ok(hashes)
}

/// The hash of a column's rows, by its type.
fn hasher<S: SparkHash>(array: &dyn Array) -> Result<Hasher<'_, S::Hash>> {
    Ok(match array.data_type() {
        DataType::Null => rows(array, |_, seed| seed),
        DataType::Boolean => {
            let values = array.as_boolean();
            rows(array, move |row, seed| {
                S::int(i32::from(values.value(row)), seed)
            })
        }
        DataType::Int8 => ints::<S, Int8Type>(array, i32::from),
        DataType::Int16 => ints::<S, Int16Type>(array, i32::from),
        DataType::Int32 => ints::<S, Int32Type>(array, |v| v),
        DataType::Date32 => ints::<S, Date32Type>(array, |v| v),
        DataType::Interval(IntervalUnit::YearMonth) => {
            ints::<S, IntervalYearMonthType>(array, |v| v)
        }
        DataType::Int64 => longs::<S, Int64Type>(array, |v| v),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            longs::<S, TimestampMicrosecondType>(array, |v| v)
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            longs::<S, DurationMicrosecondType>(array, |v| v)
        }
        DataType::Time64(TimeUnit::Nanosecond) => longs::<S, Time64NanosecondType>(array, |v| v),
        DataType::Float32 => ints::<S, Float32Type>(array, float_bits),
        DataType::Float64 => longs::<S, Float64Type>(array, double_bits),
        DataType::Decimal128(precision, _) if *precision <= MAX_LONG_DIGITS => {
            // At most 18 digits fit a long.
            longs::<S, Decimal128Type>(array, |v| v as i64)
        }
        DataType::Decimal128(_, _) => {
            let values = array.as_primitive::<Decimal128Type>();
            rows(array, move |row, seed| {
                let bytes = values.value(row).to_be_bytes();
                S::bytes(shortest_twos_complement(&bytes), seed)
            })
        }
        _ => return bytes_or_nested::<S>(array),
    })
}

fn bytes_or_nested<S: SparkHash>(array: &dyn Array) -> Result<Hasher<'_, S::Hash>> {
    macro_rules! bytes {
        ($values:expr, $as_bytes:ident) => {{
            let values = $values;
            rows(array, move |row, seed| {
                S::bytes(values.value(row).$as_bytes(), seed)
            })
        }};
    }
    Ok(match array.data_type() {
        DataType::Utf8 => bytes!(array.as_string::<i32>(), as_bytes),
        DataType::LargeUtf8 => bytes!(array.as_string::<i64>(), as_bytes),
        DataType::Utf8View => bytes!(array.as_string_view(), as_bytes),
        DataType::Binary => bytes!(array.as_binary::<i32>(), as_ref),
        DataType::LargeBinary => bytes!(array.as_binary::<i64>(), as_ref),
        DataType::BinaryView => bytes!(array.as_binary_view(), as_ref),
        DataType::FixedSizeBinary(_) => bytes!(array.as_fixed_size_binary(), as_ref),
        DataType::List(_) => list::<S, i32>(array)?,
        DataType::LargeList(_) => list::<S, i64>(array)?,
        DataType::FixedSizeList(_, len) => {
            let list = array.as_fixed_size_list();
            let (values, len) = (hasher::<S>(list.values().as_ref())?, *len as usize);
            rows(array, move |row, seed| {
                let start = list.value_offset(row) as usize;
                values.fold(start..start + len, seed)
            })
        }
        DataType::Struct(_) => {
            let columns = array.as_struct().columns().iter();
            let columns = columns
                .map(|column| hasher::<S>(column.as_ref()))
                .collect::<Result<Vec<_>>>()?;
            rows(array, move |row, seed| {
                columns
                    .iter()
                    .fold(seed, |seed, column| column.fold(row..row + 1, seed))
            })
        }
        DataType::Map(_, _) => {
            let map = array.as_map();
            let keys = hasher::<S>(map.keys().as_ref())?;
            let values = hasher::<S>(map.values().as_ref())?;
            rows(array, move |row, seed| {
                range(map.value_offsets(), row).fold(seed, |seed, entry| {
                    values.fold(entry..entry + 1, keys.fold(entry..entry + 1, seed))
                })
            })
        }
        other => {
            return Err(StateError::UnsupportedType {
                column: "of a hash".to_owned(),
                data_type: other.clone(),
                reason: "Spark has no such type",
            });
        }
    })
}

fn rows<'a, H: Copy + 'a>(array: &dyn Array, hash: impl Fn(usize, H) -> H + 'a) -> Hasher<'a, H> {
    Box::new(Rows {
        nulls: array.nulls().filter(|n| n.null_count() > 0).cloned(),
        hash,
    })
}

fn ints<S: SparkHash, T: ArrowPrimitiveType>(
    array: &dyn Array,
    to_int: impl Fn(T::Native) -> i32 + 'static,
) -> Hasher<'_, S::Hash> {
    let values = array.as_primitive::<T>();
    rows(array, move |row, seed| {
        S::int(to_int(values.value(row)), seed)
    })
}

fn longs<S: SparkHash, T: ArrowPrimitiveType>(
    array: &dyn Array,
    to_long: impl Fn(T::Native) -> i64 + 'static,
) -> Hasher<'_, S::Hash> {
    let values = array.as_primitive::<T>();
    rows(array, move |row, seed| {
        S::long(to_long(values.value(row)), seed)
    })
}

fn list<S: SparkHash, O: OffsetSizeTrait>(array: &dyn Array) -> Result<Hasher<'_, S::Hash>> {
    let list = array.as_list::<O>();
    let values = hasher::<S>(list.values().as_ref())?;
    Ok(rows(array, move |row, seed| {
        values.fold(range(list.value_offsets(), row), seed)
    }))
}

/// The elements of a row.
fn range<O: OffsetSizeTrait>(offsets: &[O], row: usize) -> Range<usize> {
    match offsets.get(row..row + 2) {
        Some([start, end]) => start.as_usize()..end.as_usize(),
        _ => 0..0,
    }
}

fn float_bits(value: f32) -> i32 {
    match value {
        0.0 => 0,
        v if v.is_nan() => 0x7fc0_0000,
        v => v.to_bits() as i32,
    }
}

fn double_bits(value: f64) -> i64 {
    match value {
        0.0 => 0,
        v if v.is_nan() => 0x7ff8_0000_0000_0000,
        v => v.to_bits() as i64,
    }
}

/// What `BigInteger.toByteArray` gives: the fewest bytes that keep the sign.
fn shortest_twos_complement(big_endian: &[u8; 16]) -> &[u8] {
    let sign = if big_endian[0] & 0x80 == 0 {
        0x00
    } else {
        0xff
    };
    let mut bytes = &big_endian[..];
    while let [first, rest @ ..] = bytes
        && let Some(next) = rest.first()
        && *first == sign
        && (*next ^ sign) & 0x80 == 0
    {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{Array, ArrayRef, AsArray, Int32Array, RecordBatch, UInt8Array},
        compute::cast,
        datatypes::{DataType, Int32Type, Int64Type},
    };
    use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

    use super::*;

    /// Values of every type with the hashes that Spark 4.3 gave them, see `testdata/spark_hash.py`.
    fn recorded() -> RecordBatch {
        let file = bytes::Bytes::from_static(include_bytes!("../../testdata/spark_hash.parquet"));
        let mut batches = ParquetRecordBatchReader::try_new(file, 1024).unwrap();
        let batch = batches.next().unwrap().unwrap();
        assert!(batches.next().is_none());
        batch
    }

    fn value_columns(batch: &RecordBatch) -> Vec<(String, ArrayRef)> {
        let names = batch.schema();
        let names = names.fields().iter().map(|field| field.name().clone());
        let columns = names.zip(batch.columns().iter().cloned());
        columns
            .filter(|(name, _)| batch.column_by_name(&format!("h_{name}")).is_some())
            .collect()
    }

    fn check(name: &str, columns: &[ArrayRef], recorded: &RecordBatch, answer: &str) {
        let rows = recorded.num_rows();
        let ours = murmur3_hash(columns, rows, SPARK_SEED).unwrap();
        let theirs = recorded.column_by_name(&format!("h_{answer}")).unwrap();
        assert_eq!(
            ours,
            theirs.as_primitive::<Int32Type>().values().to_vec(),
            "hash({name})"
        );
        let ours = xxhash64(columns, rows, SPARK_SEED.into()).unwrap();
        let theirs = recorded.column_by_name(&format!("x_{answer}")).unwrap();
        assert_eq!(
            ours,
            theirs.as_primitive::<Int64Type>().values().to_vec(),
            "xxhash64({name})"
        );
    }

    #[test]
    fn every_type_hashes_as_in_spark() {
        let recorded = recorded();
        let columns = value_columns(&recorded);
        assert_eq!(columns.len(), 22);
        for (name, column) in &columns {
            check(name, std::slice::from_ref(column), &recorded, name);
        }
    }

    #[test]
    fn columns_chain_as_in_spark() {
        let recorded = recorded();
        let columns: Vec<ArrayRef> = value_columns(&recorded)
            .into_iter()
            .map(|(_, column)| column)
            .collect();
        check("all columns", &columns, &recorded, "all");
        let hashes = murmur3_hash(&columns, recorded.num_rows(), SPARK_SEED).unwrap();
        let partitions = recorded
            .column_by_name("p_all")
            .unwrap()
            .as_primitive::<Int32Type>();
        for (hash, partition) in hashes.iter().zip(partitions.values()) {
            assert_eq!(partition_of(*hash, 7), *partition as u32);
        }
    }

    #[test]
    fn other_layouts_of_a_type_hash_alike() {
        let recorded = recorded();
        let as_layout = |name: &str, layout: DataType| {
            let column = recorded.column_by_name(name).unwrap();
            let column = cast(column, &layout).unwrap();
            assert_eq!(column.data_type(), &layout);
            check(&format!("{name} as {layout}"), &[column], &recorded, name);
        };
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        for layout in [
            DataType::Utf8View,
            DataType::LargeUtf8,
            DataType::Utf8,
            dictionary,
        ] {
            as_layout("string", layout);
        }
        for layout in [
            DataType::BinaryView,
            DataType::LargeBinary,
            DataType::Binary,
        ] {
            as_layout("binary", layout);
        }
        as_layout("array_int", DataType::new_large_list(DataType::Int32, true));
    }

    #[test]
    fn slices_hash_like_the_rows_they_show() {
        let recorded = recorded();
        let tail = recorded.slice(5, 9);
        for (name, column) in value_columns(&tail) {
            check(&name, &[column], &tail, &name);
        }
    }

    #[test]
    fn partitions_are_never_negative() {
        assert_eq!(partition_of(-1, 7), 6);
        assert_eq!(
            partition_of(i32::MIN, 7),
            (i64::from(i32::MIN)).rem_euclid(7) as u32
        );
        assert_eq!(partition_of(i32::MAX, 1), 0);
    }

    #[test]
    fn no_columns_hash_to_the_seed_and_foreign_types_are_refused() {
        assert_eq!(murmur3_hash(&[], 2, 42).unwrap(), [42, 42]);
        let unsigned: ArrayRef = Arc::new(UInt8Array::from(vec![1]));
        let error = murmur3_hash(&[unsigned], 1, 42).unwrap_err();
        assert!(error.to_string().contains("UInt8"), "{error}");
        let ints: ArrayRef = Arc::new(Int32Array::from(vec![1]));
        assert!(murmur3_hash(&[ints], 2, 42).is_err(), "lengths differ");
    }
}
