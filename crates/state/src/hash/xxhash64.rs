//! xxHash64, the published function.
use super::SparkHash;

/// Spark's `XxHash64`.
pub(super) struct XxHash64;

const PRIME_1: u64 = 0x9e37_79b1_85eb_ca87;
const PRIME_2: u64 = 0xc2b2_ae3d_27d4_eb4f;
const PRIME_3: u64 = 0x1656_67b1_9e37_79f9;
const PRIME_4: u64 = 0x85eb_ca77_c2b2_ae63;
const PRIME_5: u64 = 0x27d4_eb2f_1656_67c5;

fn round(lane: u64, input: u64) -> u64 {
    lane.wrapping_add(input.wrapping_mul(PRIME_2))
        .rotate_left(31)
        .wrapping_mul(PRIME_1)
}

fn add_word(h: u64, word: u64) -> u64 {
    (h ^ round(0, word))
        .rotate_left(27)
        .wrapping_mul(PRIME_1)
        .wrapping_add(PRIME_4)
}

fn add_half(h: u64, half: u32) -> u64 {
    let h = h ^ u64::from(half).wrapping_mul(PRIME_1);
    h.rotate_left(23)
        .wrapping_mul(PRIME_2)
        .wrapping_add(PRIME_3)
}

fn add_byte(h: u64, byte: u8) -> u64 {
    (h ^ u64::from(byte).wrapping_mul(PRIME_5))
        .rotate_left(11)
        .wrapping_mul(PRIME_1)
}

fn finish(h: u64) -> i64 {
    let mut h = (h ^ (h >> 33)).wrapping_mul(PRIME_2);
    h = (h ^ (h >> 29)).wrapping_mul(PRIME_3);
    (h ^ (h >> 32)) as i64
}

/// Mixes the 32-byte stripes in four lanes and merges those.
fn stripes(stripes: &[[u8; 32]], seed: u64) -> u64 {
    let mut lanes = [
        seed.wrapping_add(PRIME_1).wrapping_add(PRIME_2),
        seed.wrapping_add(PRIME_2),
        seed,
        seed.wrapping_sub(PRIME_1),
    ];
    for stripe in stripes {
        let (words, _) = stripe.as_chunks::<8>();
        for (lane, word) in lanes.iter_mut().zip(words) {
            *lane = round(*lane, u64::from_le_bytes(*word));
        }
    }
    let [a, b, c, d] = lanes;
    let merged = a
        .rotate_left(1)
        .wrapping_add(b.rotate_left(7))
        .wrapping_add(c.rotate_left(12))
        .wrapping_add(d.rotate_left(18));
    lanes.iter().fold(merged, |h, lane| {
        (h ^ round(0, *lane))
            .wrapping_mul(PRIME_1)
            .wrapping_add(PRIME_4)
    })
}

impl SparkHash for XxHash64 {
    type Hash = i64;

    #[inline]
    fn int(value: i32, seed: i64) -> i64 {
        let h = (seed as u64).wrapping_add(PRIME_5).wrapping_add(4);
        finish(add_half(h, value as u32))
    }

    #[inline]
    fn long(value: i64, seed: i64) -> i64 {
        let h = (seed as u64).wrapping_add(PRIME_5).wrapping_add(8);
        finish(add_word(h, value as u64))
    }

    #[inline]
    fn bytes(value: &[u8], seed: i64) -> i64 {
        let (whole, rest) = value.as_chunks::<32>();
        let start = match whole.is_empty() {
            true => (seed as u64).wrapping_add(PRIME_5),
            false => stripes(whole, seed as u64),
        };
        let mut h = start.wrapping_add(value.len() as u64);
        let (words, rest) = rest.as_chunks::<8>();
        for word in words {
            h = add_word(h, u64::from_le_bytes(*word));
        }
        let (halves, rest) = rest.as_chunks::<4>();
        for half in halves {
            h = add_half(h, u32::from_le_bytes(*half));
        }
        for byte in rest {
            h = add_byte(h, *byte);
        }
        finish(h)
    }
}
