//! `java.util.Random`, whose numbers Spark's sketches and histograms are made with.

/// A linear congruential generator of 48 bits.
#[derive(Debug, Clone)]
pub(super) struct JavaRandom(u64);

const MULTIPLIER: u64 = 0x5_DEEC_E66D;
const MASK: u64 = (1 << 48) - 1;

impl JavaRandom {
    pub(super) fn new(seed: i64) -> Self {
        Self((seed as u64 ^ MULTIPLIER) & MASK)
    }

    fn next(&mut self, bits: u32) -> i32 {
        self.0 = self.0.wrapping_mul(MULTIPLIER).wrapping_add(0xB) & MASK;
        (self.0 >> (48 - bits)) as i32
    }

    /// A number from 0 to 2^31 - 2.
    pub(super) fn below_largest_int(&mut self) -> i32 {
        loop {
            let drawn = self.next(31);
            if drawn != i32::MAX {
                return drawn;
            }
        }
    }

    /// A number in [0, 1).
    pub(super) fn double(&mut self) -> f64 {
        let high = i64::from(self.next(26)) << 27;
        (high + i64::from(self.next(27))) as f64 * (1.0 / (1_u64 << 53) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_javas_numbers() {
        let mut random = JavaRandom::new(1);
        assert_eq!(random.below_largest_int(), 0x5D8D_6AB9);
        assert_eq!(JavaRandom::new(42).double(), 0.727_563_680_032_868_1);
    }
}
