//! Aggregates straight from the bits of a chunk, without writing samples anywhere.

mod float_fold;
mod parts;
mod repeat;

use crate::batches::pays_in_lanes;
use crate::kernel::{self, N_LANES};
use crate::sink::Sink;
use crate::{ChunkError, Encoding, STALE_NAN_BITS, TimeRange, decode, xor};

pub use float_fold::FloatFold;
pub use parts::{CountFold, KahanFold, MaxFold, MinFold, RiseFold, SumFold};

/// What is computed from samples that arrive one after the other, stale markers left out.
///
/// Implement it for what is wanted and nothing else is computed; a pair of folds is a fold. There are
/// [`CountFold`], [`SumFold`], [`KahanFold`], [`MinFold`], [`MaxFold`], [`RiseFold`], and [`FloatFold`] for many at once.
pub trait Fold {
    /// Takes a sample at `t` milliseconds.
    fn add(&mut self, t: i64, value: f64);

    /// Takes `n` samples of one value at `t + delta`, `t + 2 * delta`, ...; as if each were added.
    #[inline(always)]
    fn repeat(&mut self, t: i64, delta: i64, value: f64, n: usize) {
        let mut at = t;
        for _ in 0..n {
            at = at.wrapping_add(delta);
            self.add(at, value);
        }
    }
}

impl<A: Fold, B: Fold> Fold for (A, B) {
    #[inline(always)]
    fn add(&mut self, t: i64, value: f64) {
        self.0.add(t, value);
        self.1.add(t, value);
    }

    #[inline(always)]
    fn repeat(&mut self, t: i64, delta: i64, value: f64, n: usize) {
        self.0.repeat(t, delta, value, n);
        self.1.repeat(t, delta, value, n);
    }
}

/// Hands what a decoder yields to a fold, stale markers left out.
pub(crate) struct Folding<F>(pub(crate) F);

impl<F: Fold> Sink for Folding<F> {
    #[inline(always)]
    fn push(&mut self, t: i64, bits: u64, _start: i64) -> bool {
        if bits != STALE_NAN_BITS {
            self.0.add(t, f64::from_bits(bits));
        }
        true
    }

    #[inline(always)]
    fn run(&mut self, t: i64, delta: i64, bits: u64, n: usize) -> bool {
        if bits != STALE_NAN_BITS {
            self.0.repeat(t, delta, f64::from_bits(bits), n);
        }
        true
    }
}

/// Folds the samples of a float chunk that lie in `range` into `fold`, after what is in it already.
///
/// Fails like [`crate::decode_floats`]; `fold` then holds the samples before the damage.
pub fn fold_floats<F: Fold + Default>(
    encoding: Encoding,
    data: &[u8],
    range: TimeRange,
    fold: &mut F,
) -> Result<(), ChunkError> {
    // What nobody else can see stays in registers.
    let mut local = Folding(std::mem::take(fold));
    let result = decode::walk_floats(encoding, data, range, &mut local);
    *fold = local.0;
    result
}

/// Folds every float chunk of a list by itself: `folds` gets one entry a chunk, the same as from [`fold_floats`] to the
/// bit (but for the bits of a NaN).
///
/// Chunks that compress badly are folded side by side where the CPU has lanes. On an error `folds` holds the chunks
/// before the damaged one.
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

fn fold_in_lanes(chunks: &[(Encoding, &[u8])], folds: &mut [FloatFold]) -> Result<(), ChunkError> {
    let lanes = kernel::lanes_available();
    let (mut in_lanes, mut alone): (Vec<usize>, Vec<usize>) =
        (0..chunks.len()).partition(|i| lanes && pays_in_lanes(chunks[*i].0, chunks[*i].1));
    // The first bytes are the sample counts: chunks of one length share a group.
    in_lanes.sort_unstable_by_key(|i| chunks[*i].1.first_chunk::<2>());
    let mut scratch = Vec::new();
    for group in kernel::groups(&in_lanes, &mut alone) {
        let picked = group.map(|i| chunks[i].1);
        let mut out = [FloatFold::default(); N_LANES];
        if !kernel::fold_lanes(&picked, &mut out, &mut scratch) {
            return Err(xor::truncated(0, 0));
        }
        for (i, fold) in group.into_iter().zip(out) {
            folds[i] = fold;
        }
    }
    for i in alone {
        let (encoding, data) = chunks[i];
        fold_floats(encoding, data, TimeRange::ALL, &mut folds[i])?;
    }
    Ok(())
}
