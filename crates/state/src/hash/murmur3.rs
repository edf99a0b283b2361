//! Murmur3 x86 32-bit as Spark computes it.
//!
//! Not the published function for byte strings: after the whole words Spark mixes each remaining byte, as
//! a signed number, like a word of its own.
use super::SparkHash;

/// Spark's `Murmur3Hash`.
pub(super) struct Murmur3;

fn mix_k(k: u32) -> u32 {
    k.wrapping_mul(0xcc9e_2d51)
        .rotate_left(15)
        .wrapping_mul(0x1b87_3593)
}

fn mix_h(h: u32, k: u32) -> u32 {
    (h ^ k)
        .rotate_left(13)
        .wrapping_mul(5)
        .wrapping_add(0xe654_6b64)
}

fn finish(h: u32, length: u32) -> i32 {
    let mut h = h ^ length;
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    (h ^ (h >> 16)) as i32
}

impl SparkHash for Murmur3 {
    type Hash = i32;

    #[inline]
    fn int(value: i32, seed: i32) -> i32 {
        finish(mix_h(seed as u32, mix_k(value as u32)), 4)
    }

    #[inline]
    fn long(value: i64, seed: i32) -> i32 {
        let low = mix_h(seed as u32, mix_k(value as u32));
        finish(mix_h(low, mix_k((value >> 32) as u32)), 8)
    }

    #[inline]
    fn bytes(value: &[u8], seed: i32) -> i32 {
        let (words, rest) = value.as_chunks::<4>();
        let mut h = seed as u32;
        for word in words {
            h = mix_h(h, mix_k(u32::from_le_bytes(*word)));
        }
        for byte in rest {
            h = mix_h(h, mix_k(i32::from(*byte as i8) as u32));
        }
        finish(h, value.len() as u32)
    }
}
