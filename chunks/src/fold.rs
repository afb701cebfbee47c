//! Aggregates straight from the bits of a chunk, without writing samples anywhere.

use crate::batches::pays_in_lanes;
use crate::sink::Sink;
use crate::{
    ChunkError, Encoding, STALE_NAN_BITS, SampleBatch, TimeRange, Timestamp, decode, decode_float_chunks,
};

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
            // No branch on the values: they would be guessed wrong half of the time.
            self.sum += value;
            self.lost_at_resets += if value < self.last { self.last } else { 0.0 };
            self.min = if (value < self.min) | self.min.is_nan() { value } else { self.min };
            self.max = if (value > self.max) | self.max.is_nan() { value } else { self.max };
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

    /// A run repeats the value before it, so only count, sum and the last time move; the first sample of a run whose
    /// start a range left out is added like any other.
    #[inline(always)]
    fn run(&mut self, t: i64, delta: i64, bits: u64, n: usize) -> bool {
        if bits == STALE_NAN_BITS {
            return true;
        }
        let value = f64::from_bits(bits);
        let mut left = n;
        if self.count == 0 || self.last.to_bits() != bits {
            self.add(t.wrapping_add(delta), value);
            left -= 1;
        }
        self.count += left as u64;
        self.last_t = Timestamp(t.wrapping_add(delta.wrapping_mul(n as i64)));
        self.sum = add_times(self.sum, value, left);
        true
    }
}

/// `sum + value + value + ...`, to the bit: at once where all steps are exact, as with integers below 2^51.
#[inline(always)]
fn add_times(sum: f64, value: f64, n: usize) -> f64 {
    // Adding and taking away 1.5 * 2^52 rounds numbers below 2^51 to integers.
    const LIMIT: f64 = 2_251_799_813_685_248.0;
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let all = value * n as f64;
    let is_integer = |x: f64| (x + ROUND) - ROUND == x;
    if (sum.abs() + all.abs() < LIMIT) & is_integer(value) & is_integer(sum) & (sum != 0.0) {
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
    // A copy that nobody else can see stays in registers.
    let mut local = *fold;
    let result = decode::walk_floats(encoding, data, range, &mut local);
    *fold = local;
    result
}

/// Folds every float chunk of a list by itself: `folds` gets one entry a chunk.
///
/// Chunks that compress badly are decoded side by side into a buffer that stays in the first-level cache; the others
/// are folded from their bits. On an error `folds` holds the chunks before the damaged one.
pub fn fold_float_chunks(chunks: &[(Encoding, &[u8])], folds: &mut Vec<FloatFold>) -> Result<(), ChunkError> {
    let mut batch = SampleBatch::default();
    let mut ends = Vec::new();
    let mut rest = chunks;
    while let Some((encoding, data)) = rest.first() {
        let n_lanes =
            rest.iter().take(GROUP).take_while(|(encoding, data)| pays_in_lanes(*encoding, data)).count();
        if n_lanes < GROUP {
            let mut fold = FloatFold::default();
            fold_floats(*encoding, data, TimeRange::ALL, &mut fold)?;
            folds.push(fold);
            rest = &rest[1..];
            continue;
        }
        batch.clear();
        ends.clear();
        let result = decode_float_chunks(&rest[..GROUP], &mut batch, &mut ends);
        let mut start = 0;
        for end in &ends {
            let mut fold = FloatFold::default();
            for (t, value) in batch.timestamps[start..*end].iter().zip(&batch.values[start..*end]) {
                fold.push(*t, value.to_bits(), 0);
            }
            folds.push(fold);
            start = *end;
        }
        result?;
        rest = &rest[GROUP..];
    }
    Ok(())
}

/// Chunks decoded side by side.
const GROUP: usize = 8;
