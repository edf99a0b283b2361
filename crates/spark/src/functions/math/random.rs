//! Random numbers: `rand`, `randn`, `uniform`.
//!
//! The generator is Spark's `XORShiftRandom`, so that a seed gives Spark's numbers: the ones of its first partition. Spark
//! seeds each partition with `seed + partition index`, which a kernel cannot know; partitions of one query take turns here,
//! and only a query of one partition repeats Spark's sequence. Without a seed one is drawn when the call is resolved.
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use arrow::{
    array::{ArrayRef, Float64Array},
    datatypes::DataType,
};
use datafusion::{common::ScalarValue, logical_expr::Volatility};

use crate::{
    cast::coerce,
    coercion::tightest,
    error::{Result, SparkError, quoted, quoted_id},
    functions::{
        Accepts, Batch, Call, Function, Kernel, Parameters, PreparedKernel, Registry,
        rows::with_args,
    },
    typed::TypedExpr,
    types::is_numeric,
};

pub(super) fn register(registry: &mut Registry) {
    let seed = || Parameters::none().optional([Accepts::Any]);
    let uniform = |call: &Call<'_>| random_call(call, "rand", XorShift::uniform);
    registry.add(
        Function::rewrite("rand", seed(), uniform)
            .alias("random")
            .shown_as("rand"),
    );
    let normal = |call: &Call<'_>| random_call(call, "randn", XorShift::normal);
    registry.add(Function::rewrite("randn", seed(), normal));
    let bounds = Parameters::fixed([Accepts::Any, Accepts::Any]).optional([Accepts::Any]);
    registry.add(Function::rewrite("uniform", bounds, uniform_call));
}

/// `uniform(min, max[, seed])`: a number between the bounds, of the type that holds both.
fn uniform_call(call: &Call<'_>) -> Result<TypedExpr> {
    let name = call.name();
    for (index, parameter) in ["min", "max", "seed"].iter().enumerate() {
        let Some(arg) = call.args.get(index) else {
            break;
        };
        if !is_numeric(&arg.data_type) && arg.data_type != DataType::Null {
            let required = if index == 2 { "INTEGRAL" } else { "NUMERIC" };
            return Err(call.unexpected_type(index, &quoted(required)));
        }
        if !arg.is_foldable() {
            return Err(call.mismatch(
                "NON_FOLDABLE_INPUT",
                &[
                    ("inputName", &quoted_id(parameter)),
                    ("inputType", "integer or floating-point"),
                    ("inputExpr", &arg.sql()),
                ],
            ));
        }
    }
    let eval = &call.context.eval;
    let (low, high) = (call.arg(0)?, call.arg(1)?);
    let absent = |value: &TypedExpr| value.data_type == DataType::Null;
    if absent(low) || absent(high) {
        let null = datafusion::common::ScalarValue::Float64(None);
        return Ok(TypedExpr::literal(null, &name));
    }
    let data_type = tightest(&low.data_type, &high.data_type, eval.ansi)
        .ok_or_else(|| call.unexpected_type(1, &low.type_sql()))?;
    let bound = |value: &TypedExpr| -> Result<f64> {
        let value = coerce(value.clone(), &DataType::Float64, eval)?;
        match crate::fold::fold(&value.expr)? {
            ScalarValue::Float64(Some(value)) => Ok(value),
            other => Err(SparkError::internal(format!("{other} bounds no numbers"))),
        }
    };
    let (low, high) = (bound(low)?, bound(high)?);
    let seed = match call.args.get(2) {
        Some(seed) => seed_of(&with_args(
            call,
            vec![coerce(seed.clone(), &DataType::Int64, eval)?],
        ))?,
        None => rand::random(),
    };
    let kernel = Random {
        seed,
        low,
        width: high - low,
        draw: XorShift::uniform,
        state: Mutex::new(XorShift::new(seed)),
    };
    let kernel = Kernel::Prepared(Arc::new(kernel));
    let bare = with_args(call, vec![]);
    let drawn = bare.kernel_with(
        "uniform",
        kernel,
        DataType::Float64,
        false,
        Volatility::Volatile,
    );
    Ok(coerce(drawn, &data_type, eval)?.named(name))
}

fn random_call(
    call: &Call<'_>,
    name: &'static str,
    draw: fn(&mut XorShift) -> f64,
) -> Result<TypedExpr> {
    let seed = match call.args.first() {
        None => rand::random(),
        Some(_) => seed_of(call)?,
    };
    let kernel = Random {
        seed,
        low: 0.0,
        width: 1.0,
        draw,
        state: Mutex::new(XorShift::new(seed)),
    };
    let kernel = Kernel::Prepared(Arc::new(kernel));
    // The seed is part of the kernel: without arguments there is nothing to fold.
    let bare = with_args(call, vec![]);
    let typed = bare.kernel_with(name, kernel, DataType::Float64, false, Volatility::Volatile);
    Ok(typed.named(call.name()))
}

fn seed_of(call: &Call<'_>) -> Result<i64> {
    let required = format!("({} or {})", quoted("INT"), quoted("BIGINT"));
    let arg = call.arg(0)?;
    let known = matches!(
        arg.data_type,
        DataType::Int32 | DataType::Int64 | DataType::Null
    );
    if !known {
        return Err(call.unexpected_type(0, &required));
    }
    Ok(match call.constant(0, "seed")? {
        ScalarValue::Int32(Some(v)) => v.into(),
        ScalarValue::Int64(Some(v)) => v,
        _ => 0,
    })
}

struct Random {
    seed: i64,
    /// What a draw is scaled to: `low` to `low + width`.
    low: f64,
    width: f64,
    draw: fn(&mut XorShift) -> f64,
    state: Mutex<XorShift>,
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Random")
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

impl PreparedKernel for Random {
    fn fingerprint(&self) -> String {
        format!("{} from {} by {}", self.seed, self.low, self.width)
    }

    fn evaluate(&self, batch: &Batch<'_>) -> Result<ArrayRef> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let values = (0..batch.len()).map(|_| self.low + self.width * (self.draw)(&mut state));
        Ok(Arc::new(Float64Array::from_iter_values(values)))
    }
}

/// Spark's `XORShiftRandom`, with `java.util.Random`'s way to make doubles of it.
struct XorShift {
    state: i64,
    spare: Option<f64>,
}

impl XorShift {
    fn new(seed: i64) -> Self {
        const ARRAY_SEED: u32 = 0x3c07_4a61;
        let bytes = seed.to_be_bytes();
        let low = murmur3_bytes(bytes, ARRAY_SEED);
        let high = murmur3_bytes(bytes, low);
        Self {
            state: (i64::from(high as i32) << 32) | i64::from(low),
            spare: None,
        }
    }

    fn next(&mut self, bits: u32) -> i64 {
        let mut next = self.state ^ (self.state << 21);
        next ^= ((next as u64) >> 35) as i64;
        next ^= next << 4;
        self.state = next;
        next & ((1 << bits) - 1)
    }

    fn uniform(&mut self) -> f64 {
        let whole = (self.next(26) << 27) + self.next(27);
        whole as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let (a, b) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let square = a * a + b * b;
            if square < 1.0 && square != 0.0 {
                let factor = (-2.0 * libm::log(square) / square).sqrt();
                self.spare = Some(b * factor);
                return a * factor;
            }
        }
    }
}

/// Scala's `MurmurHash3.bytesHash` of eight bytes.
fn murmur3_bytes(bytes: [u8; 8], seed: u32) -> u32 {
    let mut hash = seed;
    let (words, _) = bytes.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(0xcc9e_2d51);
        k = k.rotate_left(15).wrapping_mul(0x1b87_3593);
        hash = (hash ^ k)
            .rotate_left(13)
            .wrapping_mul(5)
            .wrapping_add(0xe654_6b64);
    }
    hash ^= 8;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}
