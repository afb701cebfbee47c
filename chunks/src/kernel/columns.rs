//! Sinks that append to the columns of a batch without clearing the new memory first.

use std::mem::MaybeUninit;

use crate::SampleBatch;
use crate::sink::Sink;

/// Appends samples to a [`SampleBatch`]; the batch grows when the sink is dropped, also after an error.
pub(crate) struct Columns<'a> {
    batch: &'a mut SampleBatch,
    /// Where in the spare capacity the samples begin: 0, or some place for a caller that fills it all by itself.
    start: usize,
    n_max: usize,
    n: usize,
}

impl<'a> Columns<'a> {
    /// A sink for at most `n_max` samples.
    pub(crate) fn new(batch: &'a mut SampleBatch, n_max: usize) -> Columns<'a> {
        batch.timestamps.reserve(n_max);
        batch.values.reserve(n_max);
        Columns { batch, start: 0, n_max, n: 0 }
    }

    /// A sink for at most `n_max` samples, `start` samples behind the end of a batch that has the room. End it with
    /// [`Columns::forget`].
    pub(crate) fn at(batch: &'a mut SampleBatch, start: usize, n_max: usize) -> Columns<'a> {
        Columns { batch, start, n_max, n: 0 }
    }

    /// Leaves the samples in the spare capacity and tells how many there are.
    pub(crate) fn forget(mut self) -> usize {
        std::mem::take(&mut self.n)
    }

    #[inline(always)]
    fn spare(&mut self) -> (&mut [MaybeUninit<i64>], &mut [MaybeUninit<f64>]) {
        let range = self.start..self.start + self.n_max;
        (
            &mut self.batch.timestamps.spare_capacity_mut()[range.clone()],
            &mut self.batch.values.spare_capacity_mut()[range],
        )
    }
}

impl Sink for Columns<'_> {
    #[inline(always)]
    fn push(&mut self, t: i64, bits: u64, _start: i64) -> bool {
        let n = self.n;
        let (timestamps, values) = self.spare();
        timestamps[n].write(t);
        values[n].write(f64::from_bits(bits));
        self.n = n + 1;
        true
    }

    #[inline(always)]
    fn run(&mut self, t: i64, delta: i64, bits: u64, n_run: usize) -> bool {
        let n = self.n;
        let (timestamps, values) = self.spare();
        let mut at = t;
        for slot in &mut timestamps[n..n + n_run] {
            at = at.wrapping_add(delta);
            slot.write(at);
        }
        for slot in &mut values[n..n + n_run] {
            slot.write(f64::from_bits(bits));
        }
        self.n = n + n_run;
        true
    }
}

impl Drop for Columns<'_> {
    fn drop(&mut self) {
        if self.start != 0 {
            return;
        }
        // SAFETY: `push` and `run` wrote the first `n` slots of the spare capacity of both columns, in order, as `start` is 0.
        unsafe {
            let len = self.batch.timestamps.len() + self.n;
            self.batch.timestamps.set_len(len);
            let len = self.batch.values.len() + self.n;
            self.batch.values.set_len(len);
        }
    }
}

/// Like [`Columns`], with a third column for start timestamps.
pub(crate) struct StartColumns<'a> {
    pub(crate) columns: Columns<'a>,
    pub(crate) starts: &'a mut Vec<i64>,
}

impl Sink for StartColumns<'_> {
    #[inline(always)]
    fn push(&mut self, t: i64, bits: u64, start: i64) -> bool {
        self.starts.push(start);
        self.columns.push(t, bits, start)
    }

    #[inline(always)]
    fn run(&mut self, t: i64, delta: i64, bits: u64, n: usize) -> bool {
        self.starts.resize(self.starts.len() + n, 0);
        self.columns.run(t, delta, bits, n)
    }
}
