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
    if value == 0.0 || !value.is_finite() {
        // Once or often, the result is the same.
        return if n == 0 { sum } else { sum + value };
    }
    let all = value * n as f64;
    let is_integer = |x: f64| (x + ROUND) - ROUND == x;
    if (sum.abs() + all.abs() < LIMIT) & is_integer(value) & is_integer(sum) {
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
    let start = folds.len();
    folds.resize(start + chunks.len(), FloatFold::default());
    if fold_in_lanes(chunks, &mut folds[start..]).is_ok() {
        return Ok(());
    }
    // One after the other, so that the caller gets all that lies before the damage.
    folds.truncate(start);
    for (encoding, data) in chunks {
        let mut fold = FloatFold::default();
        fold_floats(*encoding, data, TimeRange::ALL, &mut fold)?;
        folds.push(fold);
    }
    Ok(())
}

/// Chunks decoded side by side.
const GROUP: usize = 8;

fn fold_in_lanes(chunks: &[(Encoding, &[u8])], folds: &mut [FloatFold]) -> Result<(), ChunkError> {
    let (mut in_lanes, alone): (Vec<usize>, Vec<usize>) =
        (0..chunks.len()).partition(|i| pays_in_lanes(chunks[*i].0, chunks[*i].1));
    // The first bytes are the sample counts: chunks of one length share a group.
    in_lanes.sort_unstable_by_key(|i| chunks[*i].1.first_chunk::<2>());
    let mut batch = SampleBatch::default();
    let mut ends = Vec::new();
    let mut groups = in_lanes.chunks_exact(GROUP);
    for group in groups.by_ref() {
        batch.clear();
        ends.clear();
        let picked: [(Encoding, &[u8]); GROUP] = std::array::from_fn(|k| chunks[group[k]]);
        decode_float_chunks(&picked, &mut batch, &mut ends)?;
        let mut start = 0;
        for (i, end) in group.iter().zip(&ends) {
            folds[*i].add_columns(&batch.timestamps[start..*end], &batch.values[start..*end]);
            start = *end;
        }
    }
    for i in alone.iter().chain(groups.remainder()) {
        let (encoding, data) = chunks[*i];
        fold_floats(encoding, data, TimeRange::ALL, &mut folds[*i])?;
    }
    Ok(())
}

impl FloatFold {
    /// Adds all samples of two columns.
    fn add_columns(&mut self, timestamps: &[i64], values: &[f64]) {
        let any_nan = values.iter().fold(false, |any, value| any | value.is_nan());
        let mut rest = timestamps.iter().zip(values);
        if self.count == 0
            && let Some((t, value)) = rest.next()
        {
            self.push(*t, value.to_bits(), 0);
        }
        if any_nan || self.count == 0 {
            rest.for_each(|(t, value)| _ = self.push(*t, value.to_bits(), 0));
            return;
        }
        let (mut sum, mut lost, mut last) = (self.sum, self.lost_at_resets, self.last);
        for (t, value) in rest.clone() {
            sum += value;
            lost += if *value < last { last } else { 0.0 };
            last = *value;
            self.count += 1;
            self.last_t = Timestamp(*t);
        }
        (self.sum, self.lost_at_resets, self.last) = (sum, lost, last);
        let (low, high) = extremes(values);
        // Of zeros with different signs the first one stays, which the lanes of `extremes` cannot tell.
        let ordered = low != 0.0 && high != 0.0;
        if ordered {
            self.min = if low < self.min || self.min.is_nan() { low } else { self.min };
            self.max = if high > self.max || self.max.is_nan() { high } else { self.max };
        } else {
            for (_, value) in rest {
                self.min = if (*value < self.min) | self.min.is_nan() { *value } else { self.min };
                self.max = if (*value > self.max) | self.max.is_nan() { *value } else { self.max };
            }
        }
    }
}

/// Smallest and largest of some values without NaN.
fn extremes(values: &[f64]) -> (f64, f64) {
    let mut low = [f64::INFINITY; 8];
    let mut high = [f64::NEG_INFINITY; 8];
    let mut each = |k: usize, value: f64| {
        low[k] = if value < low[k] { value } else { low[k] };
        high[k] = if value > high[k] { value } else { high[k] };
    };
    let (eights, rest) = values.as_chunks::<8>();
    for eight in eights {
        eight.iter().enumerate().for_each(|(k, value)| each(k, *value));
    }
    rest.iter().for_each(|value| each(0, *value));
    (low.into_iter().fold(f64::INFINITY, f64::min), high.into_iter().fold(f64::NEG_INFINITY, f64::max))
}
