//! Aggregates straight from the bits of a chunk, without writing samples anywhere.

use crate::sink::Sink;
use crate::{ChunkError, Encoding, STALE_NAN_BITS, TimeRange, Timestamp, decode};

/// What is known about the samples of some chunks, in time order, stale markers left out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FloatFold {
    /// Number of samples.
    pub count: u64,
    /// Sum of the values, added one after the other.
    pub sum: f64,
    /// The smallest value; NaN only when all are.
    pub min: f64,
    /// The largest value; NaN only when all are.
    pub max: f64,
    /// Time of the first sample.
    pub first_t: Timestamp,
    /// Value of the first sample.
    pub first: f64,
    /// Time of the last sample.
    pub last_t: Timestamp,
    /// Value of the last sample.
    pub last: f64,
    /// What was lost at counter resets: the sum of the values before each decrease. The increase is
    /// `last - first + lost_at_resets`.
    pub lost_at_resets: f64,
}

impl FloatFold {
    /// The increase of a counter from the first to the last sample, resets accounted for.
    pub fn increase(&self) -> f64 {
        self.last - self.first + self.lost_at_resets
    }

    #[inline(always)]
    fn add(&mut self, t: i64, value: f64) {
        if self.count == 0 {
            *self = FloatFold {
                first_t: Timestamp(t),
                first: value,
                min: value,
                max: value,
                ..FloatFold::default()
            };
            self.sum = value;
        } else {
            self.sum += value;
            if value < self.last {
                self.lost_at_resets += self.last;
            }
            if value < self.min || self.min.is_nan() {
                self.min = value;
            }
            if value > self.max || self.max.is_nan() {
                self.max = value;
            }
        }
        self.count += 1;
        self.last_t = Timestamp(t);
        self.last = value;
    }
}

impl Sink for FloatFold {
    #[inline(always)]
    fn push(&mut self, t: i64, bits: u64, _start: i64) -> bool {
        if bits != STALE_NAN_BITS {
            self.add(t, f64::from_bits(bits));
        }
        true
    }

    /// A run repeats a value seen before, so only count, sum and the last time move, unless that value was left out.
    #[inline(always)]
    fn run(&mut self, t: i64, delta: i64, bits: u64, n: usize) -> bool {
        if bits == STALE_NAN_BITS {
            return true;
        }
        let value = f64::from_bits(bits);
        if self.count == 0 || self.last.to_bits() != bits {
            self.add(t.wrapping_add(delta), value);
            return n == 1 || self.run(t.wrapping_add(delta), delta, bits, n - 1);
        }
        self.count += n as u64;
        self.last_t = Timestamp(t.wrapping_add(delta.wrapping_mul(n as i64)));
        self.sum = add_times(self.sum, value, n);
        true
    }
}

/// `sum + value + value + ...`, to the bit: at once where all steps are exact, as with integers below 2^53.
#[inline(always)]
fn add_times(sum: f64, value: f64, n: usize) -> f64 {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let all = value * n as f64;
    let is_integer = |x: f64| x.abs() < EXACT && (x as i64) as f64 == x;
    if is_integer(value) && is_integer(sum) && sum.abs() + all.abs() < EXACT && sum + all != 0.0 {
        return sum + all;
    }
    (0..n).fold(sum, |sum, _| sum + value)
}

/// Folds the samples of a float chunk that lie in `range` into `fold`, after what is in it already.
///
/// Fails like [`crate::decode_floats`]; `fold` then holds the samples before the damage.
pub fn fold_floats(
    encoding: Encoding,
    data: &[u8],
    range: TimeRange,
    fold: &mut FloatFold,
) -> Result<(), ChunkError> {
    decode::walk_floats(encoding, data, range, fold)
}
