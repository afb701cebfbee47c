//! Aggregates of windows in time, straight from the bits of the chunks of one series.

use std::ops::Range;

use crate::batches::pays_in_lanes;
use crate::sink::Sink;
use crate::{
    ChunkError, Encoding, Fold, STALE_NAN_BITS, SampleBatch, TimeRange, Timestamp, decode,
    decode_float_chunks, kernel,
};

/// Windows of one width whose ends are equally far apart; each is open on the left: a sample at `t` is in window `i`
/// when `end(i) - width < t <= end(i)`. They may overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    first_end: i64,
    step: i64,
    width: i64,
    len: usize,
}

impl Windows {
    /// The windows of a range vector selector: `len` evaluation times from `first_end` on, `step` apart, each looking
    /// back over `width`; in milliseconds. `step` counts as at least 1, `width` as
    /// at least 0, which holds nothing.
    ///
    /// `rate(x[5m])` over `[start, end]`: `Windows::sliding(start, step, 300_000, steps)`.
    pub fn sliding(first_end: Timestamp, step: i64, width: i64, len: usize) -> Windows {
        Windows { first_end: first_end.0, step: step.max(1), width: width.max(0), len }
    }

    /// The windows of downsampling that samples in `range`, which is not before 1970, fall into: window `k` of all is
    /// `[k * resolution, (k + 1) * resolution)`, and its end is the last millisecond inside.
    pub fn grid(range: TimeRange, resolution: i64) -> Windows {
        let step = resolution.max(1);
        let (first, last) = (range.min.0.div_euclid(step), range.max.0.div_euclid(step));
        let first_end = first.saturating_mul(step).saturating_add(step - 1);
        let len = last.checked_sub(first).and_then(|n| usize::try_from(n.saturating_add(1)).ok());
        Windows { first_end, step, width: step, len: len.unwrap_or(0) }
    }

    /// Number of windows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no window.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The last millisecond of window `i`.
    pub fn end(&self, i: usize) -> Timestamp {
        let after = i64::try_from(i).unwrap_or(i64::MAX).saturating_mul(self.step);
        Timestamp(self.first_end.saturating_add(after))
    }

    /// Which windows a sample at `t` is in.
    pub fn holding(&self, t: Timestamp) -> Range<usize> {
        let before = t.0.saturating_sub(self.first_end);
        // How many windows end before t, and how many begin before it.
        let lo = self.n_below(before);
        lo..self.n_below(before.saturating_add(self.width)).max(lo)
    }

    /// How many ends are smaller than `first_end + offset`.
    fn n_below(&self, offset: i64) -> usize {
        if offset <= 0 {
            return 0;
        }
        usize::try_from((offset - 1) / self.step + 1).unwrap_or(usize::MAX).min(self.len)
    }
}

/// Folds the samples of the float chunks of one series into the windows that hold them: `folds[i]` is that of window
/// `i`. Stale markers are left out.
///
/// A fold takes its samples one after the other as they lie in the chunks, so that sums are to the bit those of PromQL
/// ([`crate::KahanFold`] for `sum_over_time`, [`crate::RiseFold`] for `rate`). A sample costs one step of the fold a
/// window that holds it; neighbouring windows are updated together, which hides the latency that one after the other
/// would pay. Decoding ends at the first sample behind the last window.
///
/// ```
/// use tithon_chunks::{Encoding, KahanFold, Timestamp, Windows, XorEncoder, fold_windows};
/// let mut chunk = XorEncoder::new();
/// (1..=4).for_each(|i| chunk.push(i * 60_000, i as f64));
/// let windows = Windows::sliding(Timestamp(120_000), 60_000, 120_000, 3);
/// let mut sums = vec![KahanFold::default(); windows.len()];
/// fold_windows([(Encoding::Xor, &chunk.finish()[..])], windows, &mut sums)?;
/// assert_eq!(sums.iter().map(KahanFold::value).collect::<Vec<_>>(), [3.0, 5.0, 7.0]);
/// # Ok::<(), tithon_chunks::ChunkError>(())
/// ```
///
/// Fails like [`crate::decode_floats`]; the folds then have the samples before the damage. Panics when there are fewer
/// folds than windows.
pub fn fold_windows<'a, F: Fold + Default>(
    chunks: impl IntoIterator<Item = (Encoding, &'a [u8])>,
    windows: Windows,
    folds: &mut [F],
) -> Result<(), ChunkError> {
    let mut each = Each { folds: &mut folds[..windows.len()], local: F::default(), current: None };
    let result = walk(chunks, windows, &mut each);
    each.enter(&(0..0));
    result
}

/// Like [`fold_windows`] for windows that do not overlap, with one fold that goes on from window to window: `close` is
/// called with the index of each window that has samples once all of them are in, and takes out of the fold what is the
/// window's own.
///
/// This is the form of downsampling, whose counter runs on; the fold there is its own implementation of [`Fold`]. Times
/// that step back would close a window twice: whoever cannot rule them out decodes and filters first.
///
/// Fails like [`fold_windows`]. Panics when the windows overlap.
pub fn fold_windows_in_turn<'a, F: Fold + Default>(
    chunks: impl IntoIterator<Item = (Encoding, &'a [u8])>,
    windows: Windows,
    fold: &mut F,
    close: impl FnMut(usize, &mut F),
) -> Result<(), ChunkError> {
    assert!(windows.width <= windows.step, "{windows:?} overlap");
    let mut in_turn = InTurn { fold, close, current: None };
    walk(chunks, windows, &mut in_turn)?;
    if let Some(last) = in_turn.current {
        (in_turn.close)(last, in_turn.fold);
    }
    Ok(())
}

fn walk<'a>(
    chunks: impl IntoIterator<Item = (Encoding, &'a [u8])>,
    windows: Windows,
    target: &mut impl Target,
) -> Result<(), ChunkError> {
    if windows.is_empty() {
        return Ok(());
    }
    let end = windows.end(windows.len() - 1).0;
    let mut cut = Cut {
        target,
        windows,
        end,
        open: 0..0,
        from: i64::MAX,
        to: i64::MIN,
        next_end: i64::MIN,
        next_begin: 0,
    };
    let mut chunks = chunks.into_iter().peekable();
    let (mut together, mut tile, mut ends) = (Vec::new(), SampleBatch::default(), Vec::new());
    while chunks.peek().is_some() {
        together.clear();
        while together.len() < kernel::N_LANES
            && let Some(chunk) = chunks.next_if(|(encoding, data)| pays_in_lanes(*encoding, data))
        {
            together.push(chunk);
        }
        tile.clear();
        ends.clear();
        if together.len() >= kernel::LANES_WORTHWHILE
            && kernel::lanes_available()
            && decode_float_chunks(&together, &mut tile, &mut ends).is_ok()
        {
            // Side by side into a tile of the first cache levels: still faster than one by one from the bits.
            cut.columns(&tile.timestamps, &tile.values);
            continue;
        }
        if together.is_empty() {
            together.extend(chunks.next());
        }
        for (encoding, data) in &together {
            decode::walk_floats(*encoding, data, TimeRange::ALL, &mut cut)?;
        }
    }
    Ok(())
}

/// What becomes of samples once it is known which windows hold them.
trait Target {
    /// The samples from here on are in the windows `open`.
    fn moved(&mut self, open: &Range<usize>);
    /// One sample of the windows `open`.
    fn add(&mut self, open: &Range<usize>, t: i64, value: f64);
    /// `n` samples at `t + delta`, `t + 2 * delta`, ..., all of them in the windows `open`.
    fn repeat(&mut self, open: &Range<usize>, t: i64, delta: i64, value: f64, n: usize);
    /// Samples of the windows `open`, stale markers among them.
    fn add_all(&mut self, open: &Range<usize>, times: &[i64], values: &[f64]);
}

/// Adds samples but for stale markers.
#[inline(always)]
fn add_columns<F: Fold + Default>(fold: &mut F, times: &[i64], values: &[f64]) {
    let mut local = std::mem::take(fold);
    for (t, value) in times.iter().zip(values) {
        if value.to_bits() != STALE_NAN_BITS {
            local.add(*t, *value);
        }
    }
    *fold = local;
}

/// A fold a window. As long as one window alone is open its fold is `local`, where it stays in registers.
struct Each<'a, F> {
    folds: &'a mut [F],
    local: F,
    /// The window whose fold is `local`.
    current: Option<usize>,
}

impl<F: Fold + Default> Each<'_, F> {
    /// Puts the local fold back; takes that of the window `open`, if it is one.
    #[inline(never)]
    fn enter(&mut self, open: &Range<usize>) {
        if let Some(last) = self.current.take() {
            self.folds[last] = std::mem::take(&mut self.local);
        }
        if open.len() == 1 {
            self.current = Some(open.start);
            self.local = std::mem::take(&mut self.folds[open.start]);
        }
    }
}

impl<F: Fold + Default> Target for Each<'_, F> {
    #[inline(always)]
    fn moved(&mut self, open: &Range<usize>) {
        self.enter(open);
    }

    #[inline(always)]
    fn add(&mut self, open: &Range<usize>, t: i64, value: f64) {
        match self.current {
            Some(_) => self.local.add(t, value),
            None => self.folds[open.clone()].iter_mut().for_each(|fold| fold.add(t, value)),
        }
    }

    #[inline(always)]
    fn repeat(&mut self, open: &Range<usize>, t: i64, delta: i64, value: f64, n: usize) {
        match self.current {
            Some(_) => self.local.repeat(t, delta, value, n),
            None => self.folds[open.clone()].iter_mut().for_each(|fold| fold.repeat(t, delta, value, n)),
        }
    }

    fn add_all(&mut self, open: &Range<usize>, times: &[i64], values: &[f64]) {
        match self.current {
            Some(_) => add_columns(&mut self.local, times, values),
            None => self.folds[open.clone()].iter_mut().for_each(|fold| add_columns(fold, times, values)),
        }
    }
}

/// One fold for windows that do not overlap.
struct InTurn<'a, F, C> {
    fold: &'a mut F,
    close: C,
    current: Option<usize>,
}

impl<F: Fold + Default, C: FnMut(usize, &mut F)> Target for InTurn<'_, F, C> {
    #[inline(always)]
    fn moved(&mut self, open: &Range<usize>) {
        if !open.is_empty()
            && self.current != Some(open.start)
            && let Some(done) = self.current.replace(open.start)
        {
            (self.close)(done, self.fold);
        }
    }

    #[inline(always)]
    fn add(&mut self, open: &Range<usize>, t: i64, value: f64) {
        if !open.is_empty() {
            self.fold.add(t, value);
        }
    }

    #[inline(always)]
    fn repeat(&mut self, open: &Range<usize>, t: i64, delta: i64, value: f64, n: usize) {
        if !open.is_empty() {
            self.fold.repeat(t, delta, value, n);
        }
    }

    fn add_all(&mut self, open: &Range<usize>, times: &[i64], values: &[f64]) {
        if !open.is_empty() {
            add_columns(self.fold, times, values);
        }
    }
}

/// Cuts what a decoder yields at the borders of windows.
struct Cut<'a, T> {
    target: &'a mut T,
    windows: Windows,
    /// The end of the last window.
    end: i64,
    /// The windows that hold the times from `from` to `to`.
    open: Range<usize>,
    from: i64,
    to: i64,
    /// The end of the window `open.start`, behind which it is shut; the latest time when there is none.
    next_end: i64,
    /// The millisecond before the window `open.end`, behind which it is open, likewise.
    next_begin: i64,
}

impl<T: Target> Cut<'_, T> {
    /// Brings `open` up to date for a sample at `t`.
    #[inline(always)]
    fn move_to(&mut self, t: i64) {
        if t < self.from || t > self.to {
            self.locate(t);
            self.target.moved(&self.open);
        }
    }

    /// Time goes on, mostly to the next window or one near.
    #[inline(always)]
    fn locate(&mut self, t: i64) {
        const NEAR: i64 = 8;
        if t < self.from || t.saturating_sub(self.next_end) > self.windows.step.saturating_mul(NEAR) {
            self.jump(t);
        }
        while self.next_end < t {
            self.open.start += 1;
            self.next_end = self.shut_behind(self.open.start);
        }
        while self.next_begin < t {
            self.open.end += 1;
            self.next_begin = self.open_behind(self.open.end);
        }
        (self.from, self.to) = (t, self.next_end.min(self.next_begin));
    }

    /// Takes decoded samples, all of the same windows at once.
    fn columns(&mut self, mut times: &[i64], mut values: &[f64]) {
        while let Some(first) = times.first().filter(|t| **t <= self.end) {
            self.move_to(*first);
            let (from, to) = (self.from, self.to.min(self.end));
            let n = times.iter().take_while(|t| (from..=to).contains(*t)).count();
            self.target.add_all(&self.open, &times[..n], &values[..n]);
            (times, values) = (&times[n..], &values[n..]);
        }
    }

    #[cold]
    fn jump(&mut self, t: i64) {
        self.open = self.windows.holding(Timestamp(t));
        self.next_end = self.shut_behind(self.open.start);
        self.next_begin = self.open_behind(self.open.end);
    }

    #[inline(always)]
    fn shut_behind(&self, i: usize) -> i64 {
        if i < self.windows.len { self.windows.end(i).0 } else { i64::MAX }
    }

    #[inline(always)]
    fn open_behind(&self, i: usize) -> i64 {
        if i < self.windows.len { self.windows.end(i).0.saturating_sub(self.windows.width) } else { i64::MAX }
    }
}

impl<T: Target> Sink for Cut<'_, T> {
    #[inline(always)]
    fn push(&mut self, t: i64, bits: u64, _start: i64) -> bool {
        if t > self.end {
            return false;
        }
        if bits != STALE_NAN_BITS {
            self.move_to(t);
            self.target.add(&self.open, t, f64::from_bits(bits));
        }
        true
    }

    #[inline(always)]
    fn run(&mut self, t: i64, delta: i64, bits: u64, n: usize) -> bool {
        let last = t.wrapping_add(delta.wrapping_mul(n as i64));
        if delta <= 0 || last <= t {
            // Times that stand still, step back or wrap around.
            return (1..=n as i64).all(|i| self.push(t.wrapping_add(delta.wrapping_mul(i)), bits, 0));
        }
        let (mut t, mut left) = (t, n);
        while left > 0 {
            let first = t.wrapping_add(delta);
            if first > self.end {
                return false;
            }
            self.move_to(first);
            let inside = match last <= self.to {
                true => left,
                false => (self.to.wrapping_sub(first) as u64 / delta as u64 + 1).min(left as u64) as usize,
            };
            if bits != STALE_NAN_BITS {
                self.target.repeat(&self.open, t, delta, f64::from_bits(bits), inside);
            }
            t = t.wrapping_add(delta.wrapping_mul(inside as i64));
            left -= inside;
        }
        true
    }
}
