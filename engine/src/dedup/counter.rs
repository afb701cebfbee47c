//! Removes counter resets: the chunks of one series, raw or counter aggregates, become one sequence that never falls.
//!
//! A counter aggregate ends with its last time repeated: the second value is the raw one, from which the next chunk
//! goes on. Thanos `pkg/compact/downsample/downsample.go`, `ApplyCounterResetsSeriesIterator`.

use tithon_chunks::SampleBatch;

use super::track::{Pick, Track};

/// The samples of all chunks in order, each float raised by the resets before it. NaNs (stale markers too) and samples not
/// after the last one are left out; histograms are kept as they are.
pub(crate) fn apply_resets(chunks: &[Track<'_>]) -> Vec<Pick> {
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
    picks
}

/// Like [`apply_resets`], for chunks of floats as times and values: samples, of which none is earlier than 0. Also
/// returns the last raw value, which a counter chunk has in the sample that repeats its last time.
pub(crate) fn joined<'a>(chunks: impl Iterator<Item = (&'a [i64], &'a [f64])> + Clone) -> (SampleBatch, f64) {
    let room = chunks.clone().map(|(times, _)| times.len()).sum();
    let (mut times, mut values) = (Vec::with_capacity(room), Vec::with_capacity(room));
    let (mut counter, mut floor) = (Counter::default(), 0);
    for (number, (chunk, raised)) in chunks.enumerate() {
        if number > 0 && !counter.seen {
            floor = 1;
        }
        for (&time, &value) in chunk.iter().zip(raised) {
            let Some(total) = counter.add(time, value) else { continue };
            if time >= floor {
                times.push(time);
                values.push(total);
            }
        }
    }
    (SampleBatch { timestamps: times, values }, counter.last_value)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Joined chunks of floats are those with resets applied, in order of time and none earlier than 0.
        #[test]
        fn joined_chunks_are_those_without_resets(
            chunks in prop::collection::vec(
                prop::collection::vec((-3i64..30, prop_oneof![(0u8..9).prop_map(f64::from), Just(f64::NAN)]), 0..9),
                0..5,
            ),
        ) {
            let chunks: Vec<(Vec<i64>, Vec<f64>)> = chunks.into_iter().map(|chunk| chunk.into_iter().unzip()).collect();
            let tracks: Vec<Track<'_>> = chunks.iter().map(|(times, values)| Track::floats(times, values)).collect();
            let mut last = 0;
            let expected = apply_resets(&tracks).into_iter().filter_map(|pick| {
                let t = tracks[pick.track].times()[pick.index];
                let is_kept = t >= last;
                last = last.max(t);
                is_kept.then(|| (t, pick.float.unwrap_or_default().to_bits()))
            });
            let (found, _) = joined(chunks.iter().map(|(times, values)| (times.as_slice(), values.as_slice())));
            let found: Vec<_> = found.timestamps.into_iter().zip(found.values.into_iter().map(f64::to_bits)).collect();
            prop_assert_eq!(found, expected.collect::<Vec<_>>());
        }
    }
}
