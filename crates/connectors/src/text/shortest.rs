//! The decimal digits that `Double.toString` and `Float.toString` of Java 17 give a binary number.
//!
//! They are not always the shortest digits that read back, which Java prints since version 19: `2.0E-3` but
//! `1.17549435E-38`, where `1.1754944E-38` would do. Spark's answers carry these digits into files, state keys and
//! `GROUP BY`, so they are produced the same way: digit after digit of B/S, where the number is B/S · 10^exponent and
//! M/S is half the distance to its neighbour, until what is left is less than M away from a digit's end.
//!
//! Java computes with 32, 64 or arbitrarily many bits, whichever suffice, and its tests differ with the width: the
//! narrow ones stop when the rest is *above* the upper end, the wide one also when it is there exactly, and narrow M may
//! overflow, which also stops. So the widths are kept apart here.

use std::cmp::Ordering;

/// The last power of five whose bits Java counts; beyond it, it takes three a power.
const LAST_COUNTED_FIVE: u32 = 26;

/// Significant digits without trailing zeros (`"0"` for zero), and the power of ten of the first one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Digits {
    pub(crate) digits: Vec<u8>,
    pub(crate) exponent: i32,
}

impl Digits {
    /// Of the magnitude of a finite double.
    pub(crate) fn of_double(value: f64) -> Self {
        let bits = value.to_bits();
        let fraction = bits & ((1 << 52) - 1);
        let exponent = i32::try_from(bits >> 52 & 0x7ff).unwrap_or(0);
        Self::of_parts(fraction, exponent, 1023, 52)
    }

    /// Of the magnitude of a finite float.
    pub(crate) fn of_float(value: f32) -> Self {
        let bits = value.to_bits();
        let fraction = u64::from(bits & ((1 << 23) - 1));
        let exponent = i32::try_from(bits >> 23 & 0xff).unwrap_or(0);
        Self::of_parts(fraction, exponent, 127, 23)
    }

    fn of_parts(fraction: u64, exponent: i32, bias: i32, width: u32) -> Self {
        if exponent == 0 && fraction == 0 {
            return Self {
                digits: vec![0],
                exponent: 0,
            };
        }
        let hidden = 1_u64 << width;
        let (mantissa, exponent, precision) = if exponent == 0 {
            // Subnormal: fewer digits are significant the smaller it is.
            let shift = width + 1 - (64 - fraction.leading_zeros());
            let exponent = 1 - i32::try_from(shift).unwrap_or(0);
            (fraction << shift, exponent, width + 1 - shift)
        } else {
            (fraction | hidden, exponent, width + 1)
        };
        let number = Binary {
            mantissa: mantissa << (52 - width),
            exponent: exponent - bias,
            precision: i32::try_from(precision).unwrap_or(0),
        };
        number.digits()
    }
}

/// `mantissa` · 2^(`exponent` - 52), with bit 52 of the mantissa set.
struct Binary {
    mantissa: u64,
    exponent: i32,
    /// How many bits of the mantissa the type keeps.
    precision: i32,
}

/// B, S and M as a product of powers of five and two (B with the mantissa besides).
struct Scaled {
    mantissa: u64,
    b: (i32, i32),
    s: (i32, i32),
    m: (i32, i32),
}

/// Digits as they come, and where they ended.
struct Run {
    digits: Vec<u8>,
    /// Power of ten of the first digit.
    exponent: i32,
    /// Whether the digits as they are read back as the number.
    low: bool,
    /// Whether the digits with the last one increased read back as the number.
    high: bool,
}

impl Run {
    fn new(estimate: i32) -> Self {
        Self {
            digits: vec![],
            exponent: estimate,
            low: false,
            high: false,
        }
    }

    /// Takes the first digit, which is left out when it is zero. A value that Java prints with an exponent gets a
    /// second digit whatever the first says.
    fn first(&mut self, digit: u8, low: bool, high: bool) {
        if digit == 0 && !high {
            self.exponent -= 1;
        } else {
            self.digits.push(digit);
        }
        let plain = (-3..8).contains(&self.exponent);
        (self.low, self.high) = (low && plain, high && plain);
    }

    fn next(&mut self, digit: u8, low: bool, high: bool) {
        self.digits.push(digit);
        (self.low, self.high) = (low, high);
    }

    fn ended(&self) -> bool {
        self.low || self.high
    }
}

impl Binary {
    fn digits(&self) -> Digits {
        let zeros = i32::try_from(self.mantissa.trailing_zeros()).unwrap_or(0);
        let length = 53 - zeros;
        let tiny = (length - self.exponent - 1).max(0);
        if tiny == 0 && (-21..=62).contains(&self.exponent) {
            return self.whole_number();
        }
        let estimate = self.estimated_exponent();
        let scaled = self.scaled(estimate, zeros, length, tiny);
        let b_bits = length + scaled.b.1 + bits_of_five(scaled.b.0);
        let ten_s_bits = scaled.s.1 + 1 + bits_of_five(scaled.s.0 + 1);
        let (run, rest) = if b_bits < 32 && ten_s_bits < 32 {
            scaled.run_narrow(estimate, |value| i64::from(value as i32))
        } else if b_bits < 64 && ten_s_bits < 64 {
            scaled.run_narrow(estimate, |value| value)
        } else {
            scaled.run_wide(estimate)
        };
        run.rounded(rest)
    }

    /// A whole number of at most 63 bits: its digits without those that the missing bits leave open.
    fn whole_number(&self) -> Digits {
        let whole = if self.exponent >= 52 {
            self.mantissa << (self.exponent - 52)
        } else {
            self.mantissa >> (52 - self.exponent)
        };
        let open_bits = if self.exponent > self.precision {
            u64::try_from(self.exponent - self.precision - 1).unwrap_or(0)
        } else {
            0
        };
        // floor(log10(2^bits))
        let dropped = if open_bits > 1 {
            u32::try_from(open_bits * 30_103 / 100_000).unwrap_or(0)
        } else {
            0
        };
        let unit = 10_u64.pow(dropped);
        let rounded = whole / unit + u64::from(dropped > 0 && whole % unit >= unit / 2);
        let digits: Vec<u8> = rounded.to_string().bytes().map(|b| b - b'0').collect();
        let exponent = i32::try_from(digits.len() - 1 + dropped as usize).unwrap_or(0);
        Digits { digits, exponent }.without_trailing_zeros()
    }

    /// The power of ten of the first digit, or one more.
    #[allow(clippy::approx_constant, reason = "Java's constant, to its last digit")]
    fn estimated_exponent(&self) -> i32 {
        let fraction = f64::from_bits(1023 << 52 | (self.mantissa & ((1 << 52) - 1)));
        // log10 of the fraction by its tangent at 1.5.
        let log = (fraction - 1.5) * 0.289_529_654
            + 0.176_091_259
            + f64::from(self.exponent) * 0.301_029_995_663_981;
        log.floor() as i32
    }

    fn scaled(&self, estimate: i32, zeros: i32, length: i32, tiny: i32) -> Scaled {
        let b5 = (-estimate).max(0);
        let s5 = estimate.max(0);
        let mut b2 = b5 + tiny + self.exponent;
        let mut s2 = s5 + tiny;
        let mut m2 = b2 - self.precision;
        b2 -= length - 1;
        let common = b2.min(s2);
        b2 -= common;
        s2 -= common;
        m2 -= common;
        if length == 1 {
            // Below a power of two the neighbour is half as far away.
            m2 -= 1;
        }
        if m2 < 0 {
            b2 -= m2;
            s2 -= m2;
            m2 = 0;
        }
        Scaled {
            mantissa: self.mantissa >> zeros,
            b: (b5, b2),
            s: (s5, s2),
            m: (b5, m2),
        }
    }
}

impl Scaled {
    /// With numbers of 32 or 64 bits; `wrap` cuts a value to the width.
    fn run_narrow(&self, estimate: i32, wrap: fn(i64) -> i64) -> (Run, Ordering) {
        let product = |(fives, twos): (i32, i32)| {
            wrap(wrap(5_i64.wrapping_pow(fives.unsigned_abs())) << twos.clamp(0, 63))
        };
        let times_ten = |value: i64| wrap(value.wrapping_mul(10));
        let s = product(self.s);
        let tens = times_ten(s);
        let five = 5_i64.wrapping_pow(self.b.0.unsigned_abs());
        let mantissa = i64::try_from(self.mantissa).unwrap_or(0);
        let mut b = wrap(wrap(mantissa.wrapping_mul(five)) << self.b.1.clamp(0, 63));
        let mut m = product(self.m);
        let mut run = Run::new(estimate);
        let mut is_first = true;
        while !run.ended() {
            let digit = u8::try_from(b.checked_div(s).unwrap_or(0)).unwrap_or(9);
            b = times_ten(b.checked_rem(s).unwrap_or(0));
            m = times_ten(m);
            let (low, high) = (b < m, wrap(b.wrapping_add(m)) > tens);
            match is_first {
                true => run.first(digit, low, high),
                false if m > 0 => run.next(digit, low, high),
                false => run.next(digit, true, true),
            }
            is_first = false;
        }
        let rest = wrap(wrap(b << 1).wrapping_sub(tens)).cmp(&0);
        (run, rest)
    }

    fn run_wide(&self, estimate: i32) -> (Run, Ordering) {
        let s = Natural::product(1, self.s);
        let tens = s.times(10);
        let mut b = Natural::product(self.mantissa, self.b);
        let mut m = Natural::product(1, self.m);
        let mut run = Run::new(estimate);
        let mut is_first = true;
        while !run.ended() {
            let mut digit = 0;
            while b >= s {
                b.subtract(&s);
                digit += 1;
            }
            b = b.times(10);
            m = m.times(10);
            let (low, high) = (b < m, b.plus(&m) >= tens);
            match is_first {
                true => run.first(digit, low, high),
                false => run.next(digit, low, high),
            }
            is_first = false;
        }
        (run, b.times(2).cmp(&tens))
    }
}

impl Run {
    /// The digits, the last one increased where that is nearer; `rest` is what is left against half a unit of it.
    fn rounded(mut self, rest: Ordering) -> Digits {
        let odd = self.digits.last().is_some_and(|d| d % 2 == 1);
        if self.high && (!self.low || rest.is_gt() || (rest.is_eq() && odd)) {
            while self.digits.last() == Some(&9) {
                self.digits.pop();
            }
            match self.digits.last_mut() {
                Some(last) => *last += 1,
                None => {
                    self.digits.push(1);
                    self.exponent += 1;
                }
            }
        }
        let (digits, exponent) = (self.digits, self.exponent);
        Digits { digits, exponent }.without_trailing_zeros()
    }
}

impl Digits {
    fn without_trailing_zeros(mut self) -> Self {
        while self.digits.len() > 1 && self.digits.last() == Some(&0) {
            self.digits.pop();
        }
        self
    }
}

/// How many bits 5^`power` has, as Java counts them: none for 1.
fn bits_of_five(power: i32) -> i32 {
    match u32::try_from(power) {
        Ok(0) => 0,
        Ok(power @ 1..=LAST_COUNTED_FIVE) => {
            i32::try_from(64 - 5_u64.pow(power).leading_zeros()).unwrap_or(64)
        }
        _ => power * 3,
    }
}

/// A natural number of any size: 32-bit limbs, the least first, the last not zero.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Natural(Vec<u32>);

impl Natural {
    /// `factor` · 5^`fives` · 2^`twos`.
    fn product(factor: u64, (fives, twos): (i32, i32)) -> Self {
        let limbs = [factor & u64::from(u32::MAX), factor >> 32];
        let mut number = Self(
            limbs
                .into_iter()
                .filter_map(|l| u32::try_from(l).ok())
                .collect(),
        );
        number.trim();
        let mut fives = fives.unsigned_abs();
        while fives > 0 {
            let step = fives.min(13);
            number = number.times(5_u32.pow(step));
            fives -= step;
        }
        let twos = twos.unsigned_abs();
        number = number.times(1 << (twos % 32));
        let whole_limbs = usize::try_from(twos / 32).unwrap_or(0);
        number.0.splice(0..0, std::iter::repeat_n(0, whole_limbs));
        number
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    fn times(&self, factor: u32) -> Self {
        let mut carry = 0_u64;
        let mut limbs: Vec<u32> = Vec::with_capacity(self.0.len() + 1);
        for limb in &self.0 {
            carry += u64::from(*limb) * u64::from(factor);
            limbs.push(carry as u32);
            carry >>= 32;
        }
        limbs.push(carry as u32);
        let mut product = Self(limbs);
        product.trim();
        product
    }

    fn plus(&self, other: &Self) -> Self {
        let mut carry = 0_u64;
        let length = self.0.len().max(other.0.len()) + 1;
        let limb = |number: &Self, i: usize| u64::from(number.0.get(i).copied().unwrap_or(0));
        let mut limbs = Vec::with_capacity(length);
        for i in 0..length {
            carry += limb(self, i) + limb(other, i);
            limbs.push(carry as u32);
            carry >>= 32;
        }
        let mut sum = Self(limbs);
        sum.trim();
        sum
    }

    /// Takes away `other`, which must not be larger.
    fn subtract(&mut self, other: &Self) {
        let mut borrow = 0_i64;
        for (i, limb) in self.0.iter_mut().enumerate() {
            let taken = i64::from(other.0.get(i).copied().unwrap_or(0));
            let difference = i64::from(*limb) - taken + borrow;
            *limb = difference as u32;
            borrow = difference >> 32;
        }
        self.trim();
    }
}

impl Ord for Natural {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.0.len().cmp(&other.0.len()))
            .then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }
}

impl PartialOrd for Natural {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
