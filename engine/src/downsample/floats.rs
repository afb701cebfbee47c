//! Floats by window: from raw samples to five aggregates, and from five aggregates to coarser ones.

use tithon_chunks::{Aggregate, ChunkError, SampleBatch, Timestamp};

use super::columns::{Columns, Emitted};
use super::window::{chunk_target, fit_a_chunk, window_end, windows};
use crate::dedup::{Track, counter};

/// The scrape interval that upstream assumes for raw samples, milliseconds.
pub(super) const RAW_INTERVAL_MS: i64 = 60_000;

/// Aggregates raw samples (no stale markers, in order of time) into chunks that begin and end at the ends of windows.
/// With `nan`, some values may be NaN.
pub(super) fn from_raw(
    samples: &SampleBatch,
    nan: bool,
    resolution: i64,
) -> Result<Vec<Columns>, ChunkError> {
    let (mut times, mut values) = (samples.timestamps.as_slice(), samples.values.as_slice());
    let (Some(&first), Some(&last)) = (times.first(), times.last()) else { return Ok(Vec::new()) };
    let target = chunk_target(first, last, RAW_INTERVAL_MS, resolution, times.len());
    let batch = times.len() / target + 1;
    let mut out = Vec::with_capacity(target);
    while !times.is_empty() {
        let mut n = batch.min(times.len());
        let end = window_end(times[n - 1], resolution);
        n += times[n..].iter().take_while(|t| **t <= end).count();
        check_fit(&times[..n], resolution)?;
        out.extend(raw_batch(&times[..n], &values[..n], nan, resolution));
        (times, values) = (&times[n..], &values[n..]);
    }
    Ok(out)
}

/// One chunk; `None` if all samples are NaN.
fn raw_batch(times: &[i64], values: &[f64], nan: bool, resolution: i64) -> Option<Columns> {
    if nan {
        let kept = times.iter().copied().zip(values.iter().copied()).filter(|(_, v)| !v.is_nan());
        let (times, values): (Vec<i64>, Vec<f64>) = kept.unzip();
        return raw_batch(&times, &values, false, resolution);
    }
    let (first, last) = (*times.first()?, *times.last()?);
    let room = times.len().min(last.saturating_sub(first) as usize / resolution as usize + 2);
    let mut ends: Vec<i64> = Vec::with_capacity(room + 2);
    let mut columns: [Vec<f64>; 5] = std::array::from_fn(|_| Vec::with_capacity(room + 2));
    let mut running = Running::new();
    columns[Aggregate::Counter as usize].push(values[0]);
    for (end, samples) in windows(times, resolution) {
        let window = running.add(&values[samples]);
        ends.push(end);
        columns.iter_mut().zip(window).for_each(|(column, value)| column.push(value));
    }
    columns[Aggregate::Counter as usize].extend(values.last());
    let (min, max) = (ends[0], ends[ends.len() - 1]);
    let mut framed = Vec::with_capacity(ends.len() + 2);
    framed.push(first);
    framed.extend_from_slice(&ends);
    framed.push(max);
    let n_windows = ends.len();
    let mut times = [ends.clone(), ends.clone(), ends.clone(), ends, framed].into_iter();
    let columns = columns.map(|values| {
        let timestamps = times.next().expect("as many as columns");
        Some(SampleBatch { timestamps, values })
    });
    Some(Columns { columns, range: Emitted { min, max }, n_windows })
}

/// A counter that runs on from window to window.
struct Running {
    total: f64,
    last: f64,
}

impl Running {
    fn new() -> Running {
        // The first step is the whole value. Adding -0 changes no value, not even -0.
        Running { total: -0.0, last: 0.0 }
    }

    /// The aggregates of a window, in the order of [`Aggregate::ALL`]; no value is NaN.
    #[inline]
    fn add(&mut self, values: &[f64]) -> [f64; 5] {
        let Running { mut total, mut last } = *self;
        let (mut sum, mut min, mut max) = (0.0, f64::MAX, f64::MIN);
        for &value in values {
            sum += value;
            min = if value < min { value } else { min };
            max = if value > max { value } else { max };
            total += value - if value < last { 0.0 } else { last };
            last = value;
        }
        *self = Running { total, last };
        [values.len() as f64, sum, min, max, total]
    }
}

/// Aggregates finer chunks of floats; `None` if they hold no sample.
pub(super) fn from_aggregates(chunks: &[&Columns], resolution: i64) -> Result<Option<Columns>, ChunkError> {
    let mut out = Columns::default();
    for aggregate in [Aggregate::Count, Aggregate::Sum, Aggregate::Min, Aggregate::Max] {
        let (mut times, mut values) = (Vec::new(), Vec::new());
        for column in chunks.iter().filter_map(|chunk| chunk.get(aggregate)) {
            times.extend_from_slice(&column.timestamps);
            values.extend_from_slice(&column.values);
        }
        if times.is_empty() {
            continue;
        }
        check_fit(&times, resolution)?;
        let column = out.columns[aggregate as usize].insert(SampleBatch::default());
        for (end, samples) in windows(&times, resolution) {
            out.range.add(end);
            let values = values[samples].iter().copied();
            let value = match aggregate {
                Aggregate::Min => values.fold(f64::MAX, |min, v| if v < min { v } else { min }),
                Aggregate::Max => values.fold(f64::MIN, |max, v| if v > max { v } else { max }),
                _ => values.fold(0.0, |sum, v| sum + v),
            };
            column.push(Timestamp(end), value);
        }
    }
    out.n_windows = out.get(Aggregate::Count).map_or(0, SampleBatch::len);
    counter_column(chunks, resolution, &mut out)?;
    Ok(out.columns.iter().any(Option::is_some).then_some(out))
}

/// The counter without resets: its first sample, one sample per window, and the true last raw value.
fn counter_column(chunks: &[&Columns], resolution: i64, out: &mut Columns) -> Result<(), ChunkError> {
    let counters = chunks.iter().filter_map(|chunk| chunk.get(Aggregate::Counter));
    let tracks: Vec<Track<'_>> = counters.map(|c| Track::floats(&c.timestamps, &c.values)).collect();
    let (picks, last_value) = counter::walk(&tracks);
    let (mut times, mut values, mut last) =
        (Vec::with_capacity(picks.len()), Vec::with_capacity(picks.len()), 0);
    for pick in &picks {
        let t = tracks[pick.track].times()[pick.index];
        if t >= last {
            times.push(t);
            values.push(pick.float.unwrap_or_default());
            last = t;
        }
    }
    let Some(&first) = times.first() else { return Ok(()) };
    check_fit(&times, resolution)?;
    let column = out.columns[Aggregate::Counter as usize].insert(SampleBatch::default());
    column.push(Timestamp(first), values[0]);
    let mut running = Running::new();
    let mut end = first;
    for (window, samples) in windows(&times, resolution) {
        out.range.add(window);
        column.push(Timestamp(window), running.add(&values[samples])[Aggregate::Counter as usize]);
        end = window;
    }
    column.push(Timestamp(end), last_value);
    Ok(())
}

/// Fails when the windows do not fit a chunk, which happens only with chunks that no known writer makes.
pub(super) fn check_fit(times: &[i64], resolution: i64) -> Result<(), ChunkError> {
    if fit_a_chunk(times, resolution) {
        return Ok(());
    }
    let found = times.len() as u64;
    Err(ChunkError::Invalid { what: "windows of a chunk", offset: 0, found, expected: "at most 65,533" })
}
