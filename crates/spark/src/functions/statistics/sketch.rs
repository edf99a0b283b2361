//! `count_min_sketch(value, eps, confidence, seed)`: Spark's count-min sketch as bytes.
//!
//! ```text
//! version i32 = 1 | rows i64 | depth i32 | width i32 | one factor i64 per depth | depth × width counts i64   (big-endian)
//! ```
//!
//! A whole number goes to the bucket (factor · value) mod 2^31 - 1 of every depth, text and bytes to hash1 + depth · hash2.
//! The values of a group are collected first; NULLs do not count.
use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryBuilder},
    compute::cast,
    datatypes::{DataType, Int64Type},
};
use datafusion::common::ScalarValue;
use millstream_state::hash::murmur3_hash;

use super::{java_random::JavaRandom, percentiles::collected};
use crate::{
    error::{Result, SparkError, quoted},
    functions::{Accepts, Batch, Call, Function, Parameters, PreparedKernel, Registry},
    types::is_integral,
};

pub(super) fn register(registry: &mut Registry) {
    let parameters =
        Parameters::fixed([Accepts::Any, Accepts::Any, Accepts::Any, Accepts::Integral]);
    registry.add(Function::aggregate(
        "count_min_sketch",
        parameters,
        |call| {
            let accepted = is_integral(&call.arg(0)?.data_type)
                || matches!(call.arg(0)?.data_type, DataType::Utf8 | DataType::Binary);
            if !accepted {
                let required = format!(
                    "({} or {} or {})",
                    quoted("INTEGRAL"),
                    quoted("STRING"),
                    quoted("BINARY")
                );
                return Err(call.unexpected_type(0, &required));
            }
            let sketch = Sketch {
                eps: share(call, 1, "eps", f64::MAX, "(0.0, 1.7976931348623157E308]")?,
                confidence: share(call, 2, "confidence", 1.0, "(0.0, 1.0]")?,
                seed: seed(call)?,
            };
            let values = collected(call, call.arg(0)?.clone())?;
            let inner = Call::new(call.called, vec![values], call.context);
            let bytes = inner.kernel(Arc::new(sketch), DataType::Binary, false);
            Ok(bytes.named(call.name()))
        },
    ));
}

/// A constant DOUBLE above 0 and below `limit`.
fn share(call: &Call<'_>, index: usize, name: &str, limit: f64, range: &str) -> Result<f64> {
    let arg = call.arg(index)?;
    if !matches!(arg.data_type, DataType::Float64 | DataType::Null) {
        return Err(call.unexpected_type(index, &quoted("DOUBLE")));
    }
    let value = match call.constant(index, name)? {
        ScalarValue::Float64(Some(value)) => value,
        _ => return Err(call.mismatch("UNEXPECTED_NULL", &[("exprName", name)])),
    };
    if value > 0.0 && value < limit {
        return Ok(value);
    }
    let shown = format!("{value:?}D");
    Err(call.mismatch(
        "VALUE_OUT_OF_RANGE",
        &[
            ("exprName", name),
            ("valueRange", range),
            ("currentValue", &shown),
        ],
    ))
}

fn seed(call: &Call<'_>) -> Result<i64> {
    match call.constant(3, "seed")?.cast_to(&DataType::Int64)? {
        ScalarValue::Int64(Some(seed)) => Ok(seed),
        _ => Err(call.mismatch("UNEXPECTED_NULL", &[("exprName", "seed")])),
    }
}

#[derive(Debug)]
struct Sketch {
    eps: f64,
    confidence: f64,
    seed: i64,
}

impl Sketch {
    /// Counters side by side; their number is what bounds the memory, so it is bounded.
    fn size(&self) -> Result<(usize, usize)> {
        const COUNTERS_MAX: f64 = (1_u64 << 27) as f64;
        let width = (2.0 / self.eps).ceil();
        let depth = (-libm::log1p(-self.confidence) / std::f64::consts::LN_2).ceil();
        if width * depth > COUNTERS_MAX {
            return Err(SparkError::unsupported(format!(
                "a count-min sketch of {depth} x {width} counters"
            )));
        }
        Ok((depth as usize, width as usize))
    }

    fn bytes(&self, values: &ArrayRef) -> Result<Vec<u8>> {
        const MODULUS: i64 = (1 << 31) - 1;
        let (depth, width) = self.size()?;
        let mut random = JavaRandom::new(self.seed);
        let factors: Vec<i64> = (0..depth)
            .map(|_| random.below_largest_int().into())
            .collect();
        let mut counts = vec![0_i64; depth * width];
        let mut count = |row: usize, bucket: usize| {
            if let Some(counter) = counts.get_mut(row * width + bucket % width.max(1)) {
                *counter += 1;
            }
        };
        if is_integral(values.data_type()) {
            let values = cast(values, &DataType::Int64)?;
            for value in values.as_primitive::<Int64Type>().values() {
                for (row, factor) in factors.iter().enumerate() {
                    let product = factor.wrapping_mul(*value);
                    let folded = product.wrapping_add(product >> 32) & MODULUS;
                    count(row, usize::try_from(folded).unwrap_or(0));
                }
            }
        } else {
            let columns = std::slice::from_ref(values);
            let hash =
                |seed| murmur3_hash(columns, values.len(), seed).map_err(SparkError::internal);
            for (at, first) in hash(0)?.into_iter().enumerate() {
                let value = [values.slice(at, 1)];
                let second = murmur3_hash(&value, 1, first).map_err(SparkError::internal)?;
                let second = second.first().copied().unwrap_or(0);
                for row in 0..depth {
                    let step = second.wrapping_mul(row as i32);
                    let modulo =
                        first.wrapping_add(step) % i32::try_from(width).unwrap_or(i32::MAX);
                    count(row, modulo.unsigned_abs() as usize);
                }
            }
        }
        let mut out = vec![];
        out.extend(1_i32.to_be_bytes());
        out.extend((values.len() as i64).to_be_bytes());
        out.extend((depth as i32).to_be_bytes());
        out.extend((width as i32).to_be_bytes());
        out.extend(factors.iter().chain(&counts).flat_map(|n| n.to_be_bytes()));
        Ok(out)
    }
}

impl PreparedKernel for Sketch {
    fn fingerprint(&self) -> String {
        format!("{self:?}")
    }

    fn evaluate(&self, batch: &Batch<'_>) -> Result<ArrayRef> {
        let lists = batch.lists(0)?;
        let mut out = BinaryBuilder::new();
        for row in 0..batch.len() {
            out.append_value(self.bytes(&lists.value(row))?);
        }
        Ok(Arc::new(out.finish()))
    }
}
