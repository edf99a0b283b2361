//! Hash functions: Spark's own, and the well-known digests.
use std::fmt::Write as _;

use arrow::{
    array::ArrayRef,
    array::{Int32Array, Int64Array},
    datatypes::{DataType, Int64Type},
};
use md5::Digest;
use millstream_state::hash::{SPARK_SEED, murmur3_hash, xxhash64};
use std::sync::Arc;

use super::{Accepts, Batch, Call, Function, Parameters, Registry, Returns, rows::Rows};
use crate::{
    error::{Result, SparkError, quoted_id},
    types::map_fields,
};

/// Adds the family.
pub(super) fn register(registry: &mut Registry) {
    let any = || Parameters::variadic(1, Accepts::Any);
    let int = Returns::With(|call| hashable(call, DataType::Int32));
    registry.add(Function::scalar("hash", any(), int, murmur3));
    let long = Returns::With(|call| hashable(call, DataType::Int64));
    registry.add(Function::scalar("xxhash64", any(), long, xxhash));
    let text = || Returns::Type(DataType::Utf8);
    registry.add(Function::scalar("md5", [Accepts::BINARY], text(), md5));
    registry.add(Function::scalar("sha1", [Accepts::BINARY], text(), sha1).alias("sha"));
    let text = Returns::Nullable(DataType::Utf8);
    registry.add(Function::scalar(
        "sha2",
        [Accepts::BINARY, Accepts::INT],
        text,
        sha2,
    ));
    let long = Returns::Type(DataType::Int64);
    registry.add(Function::scalar("crc32", [Accepts::BINARY], long, crc32));
}

/// Equal maps may hold their entries in different order, so they have no hash.
fn hashable(call: &Call<'_>, data_type: DataType) -> Result<(DataType, bool)> {
    if call.args.iter().any(|a| contains_map(&a.data_type)) {
        let function = quoted_id(call.called);
        return Err(call.mismatch("HASH_MAP_TYPE", &[("functionName", &function)]));
    }
    Ok((data_type, false))
}

fn contains_map(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(item) => contains_map(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|f| contains_map(f.data_type())),
        other => map_fields(other).is_some(),
    }
}

fn murmur3(batch: &Batch<'_>) -> Result<ArrayRef> {
    let hashes = murmur3_hash(&batch.arrays()?, batch.len(), SPARK_SEED);
    Ok(Arc::new(Int32Array::from(
        hashes.map_err(SparkError::internal)?,
    )))
}

fn xxhash(batch: &Batch<'_>) -> Result<ArrayRef> {
    let hashes = xxhash64(&batch.arrays()?, batch.len(), SPARK_SEED.into());
    Ok(Arc::new(Int64Array::from(
        hashes.map_err(SparkError::internal)?,
    )))
}

fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

fn md5(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let bytes = rows.binaries(0)?;
    rows.text(|row| Ok(Some(hex(&md5::Md5::digest(bytes.value(row))))))
}

fn sha1(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let bytes = rows.binaries(0)?;
    rows.text(|row| Ok(Some(hex(&sha1::Sha1::digest(bytes.value(row))))))
}

/// 0 means 256 bits; NULL for lengths that do not exist.
fn sha2(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (bytes, lengths) = (rows.binaries(0)?, rows.ints(1)?);
    rows.text(|row| {
        let bytes = bytes.value(row);
        Ok(match lengths.value(row) {
            0 | 256 => Some(hex(&sha2::Sha256::digest(bytes))),
            224 => Some(hex(&sha2::Sha224::digest(bytes))),
            384 => Some(hex(&sha2::Sha384::digest(bytes))),
            512 => Some(hex(&sha2::Sha512::digest(bytes))),
            _ => None,
        })
    })
}

fn crc32(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let bytes = rows.binaries(0)?;
    rows.numbers::<Int64Type>(|row| Ok(Some(crc32fast::hash(bytes.value(row)).into())))
}
