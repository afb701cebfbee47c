//! Removes counter resets: the chunks of one series, raw or counter aggregates, become one sequence that never falls.
//!
//! A counter aggregate ends with its last time repeated: the second value is the raw one, from which the next chunk
//! goes on. Thanos `pkg/compact/downsample/downsample.go`, `ApplyCounterResetsSeriesIterator`.

use super::track::{Pick, Track};

/// The samples of all chunks in order, each float raised by the resets before it. NaNs (stale markers too) and samples not
/// after the last one are left out; histograms are kept as they are.
pub(crate) fn apply_resets(chunks: &[Track<'_>]) -> Vec<Pick> {
    walk(chunks).0
}

/// Like [`apply_resets`]; also returns the last raw value, which a counter chunk has in the sample that repeats its
/// last time.
pub(crate) fn walk(chunks: &[Track<'_>]) -> (Vec<Pick>, f64) {
    let mut picks = Vec::with_capacity(chunks.iter().map(|c| c.times().len()).sum());
    let mut counter = Counter::default();
    // At the start of a chunk, samples before this time belong to the chunk before it.
    let mut floor = i64::MIN;
    for (track, chunk) in chunks.iter().enumerate() {
        if track > 0 {
            floor = floor.max(counter.last_time.saturating_add(1));
        }
        for (index, &time) in chunk.times().iter().enumerate() {
            let float = match chunk.float(index) {
                Some(value) => match counter.add(time, value) {
                    Some(total) => Some(total),
                    None => continue,
                },
                None => {
                    counter.last_time = time;
                    None
                }
            };
            if time >= floor {
                picks.push(Pick { track, index, float, consecutive: true });
                floor = i64::MIN;
            }
        }
    }
    (picks, counter.last_value)
}

/// Moves the samples that are not NaN (stale markers are NaN too) to the front, and returns their number.
pub(crate) fn remove_nans(times: &mut [i64], values: &mut [f64]) -> usize {
    let Some(first) = values.iter().position(|value| value.is_nan()) else { return values.len() };
    let mut n = first;
    for i in first + 1..values.len() {
        if !values[i].is_nan() {
            (times[n], values[n]) = (times[i], values[i]);
            n += 1;
        }
    }
    n
}

/// Like [`apply_resets`], for one sequence of floats, in place. There are no NaNs; times ascend and are positive.
pub(crate) fn remove_resets(values: &mut [f64]) {
    let Some(first) = values.first().copied() else { return };
    if never_falls(values) {
        return;
    }
    let (mut last, mut total) = (first, first);
    for value in &mut values[1..] {
        total += if *value >= last { *value - last } else { *value };
        last = std::mem::replace(value, total);
    }
}

/// Whether the values are whole numbers that never fall, and small enough for exact differences: then removing resets
/// changes nothing.
fn never_falls(values: &[f64]) -> bool {
    const EXACT: f64 = (1u64 << 52) as f64;
    let (Some(first), Some(last)) = (values.first(), values.last()) else { return true };
    // Numbers with a positive sign are in the order of their bits, with NaNs after all others.
    let ascend = |a: f64, b: f64| a.to_bits().cast_signed() <= b.to_bits().cast_signed();
    // The addition rounds to a whole number.
    let is_whole = |v: f64| v + EXACT - EXACT == v;
    if !ascend(0.0, *first) || !ascend(*last, EXACT) || !is_whole(*first) {
        return false;
    }
    let pairs = values.iter().zip(&values[1..]);
    pairs.fold(true, |right, (a, b)| right & ascend(*a, *b) & is_whole(*b))
}

/// The running state. Upstream's begins at time 0, so that after an empty chunk earlier samples are lost.
#[derive(Default)]
struct Counter {
    seen: bool,
    last_time: i64,
    last_value: f64,
    total: f64,
}

impl Counter {
    /// Adds a sample; returns the total at `time`, or `None` where the sample is left out.
    fn add(&mut self, time: i64, value: f64) -> Option<f64> {
        if value.is_nan() {
            return None;
        }
        if !self.seen {
            self.total = value;
        } else if time > self.last_time {
            self.total += if value >= self.last_value { value - self.last_value } else { value };
        } else {
            if time == self.last_time {
                self.last_value = value;
            }
            return None;
        }
        (self.seen, self.last_time, self.last_value) = (true, time, value);
        Some(self.total)
    }
}
