//! Sinks that append to the columns of a batch without clearing the new memory first.

use std::mem::MaybeUninit;

use crate::SampleBatch;
use crate::sink::Sink;

/// Appends samples to a [`SampleBatch`]; the batch grows when the sink is dropped, also after an error.
pub(crate) struct Columns<'a> {
    batch: &'a mut SampleBatch,
    n_max: usize,
    n: usize,
}

impl<'a> Columns<'a> {
    /// A sink for at most `n_max` samples.
    pub(crate) fn new(batch: &'a mut SampleBatch, n_max: usize) -> Columns<'a> {
        batch.timestamps.reserve(n_max);
        batch.values.reserve(n_max);
        Columns { batch, n_max, n: 0 }
    }

    #[inline(always)]
    fn spare(&mut self) -> (&mut [MaybeUninit<i64>], &mut [MaybeUninit<f64>]) {
        let n_max = self.n_max;
        (
            &mut self.batch.timestamps.spare_capacity_mut()[..n_max],
            &mut self.batch.values.spare_capacity_mut()[..n_max],
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
        // SAFETY: `push` and `run` wrote the first `n` slots of the spare capacity of both columns, in order.
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
