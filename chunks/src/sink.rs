//! Where decoders put samples: columns, or a filter in front of them.

use crate::TimeRange;

/// Takes samples in the order of the chunk. Every method answers whether the decoder shall go on.
pub(crate) trait Sink {
    /// One sample; `bits` are the value's, `start` its start timestamp (0 is none).
    fn push(&mut self, t: i64, bits: u64, start: i64) -> bool;

    /// `n` samples of one value and one distance: `t + delta`, `t + 2 * delta`, ..., without start timestamps.
    fn run(&mut self, t: i64, delta: i64, bits: u64, n: usize) -> bool;
}

/// Lets the samples of a range through and stops the decoder after it.
pub(crate) struct InRange<'a, S> {
    pub(crate) range: TimeRange,
    pub(crate) inner: &'a mut S,
}

impl<S: Sink> Sink for InRange<'_, S> {
    #[inline(always)]
    fn push(&mut self, t: i64, bits: u64, start: i64) -> bool {
        if t < self.range.min.0 {
            return true;
        }
        t <= self.range.max.0 && self.inner.push(t, bits, start)
    }

    #[inline(always)]
    fn run(&mut self, t: i64, delta: i64, bits: u64, n: usize) -> bool {
        let last = t.wrapping_add(delta.wrapping_mul(n as i64));
        if delta >= 0 && t <= last && t >= self.range.min.0 && last <= self.range.max.0 {
            return self.inner.run(t, delta, bits, n);
        }
        if delta >= 0 && t <= last && last < self.range.min.0 {
            return true;
        }
        let mut at = t;
        for _ in 0..n {
            at = at.wrapping_add(delta);
            if !self.push(at, bits, 0) {
                return false;
            }
        }
        true
    }
}
