//! Floats by window: from raw samples to five aggregates, and from five aggregates to coarser ones.

use std::ops::Range;

use tithon_chunks::{Aggregate, ChunkError, SampleBatch, Timestamp};

use super::columns::{Column, Columns, Emitted};
use super::window::{chunk_target, fit_a_chunk, window_end, windows};
use crate::dedup::counter;

/// The scrape interval that upstream assumes for raw samples, milliseconds.
pub(super) const RAW_INTERVAL_MS: i64 = 60_000;

/// Aggregates raw samples (no stale markers, in order of time) into chunks that begin and end at the ends of windows; their
/// columns come behind those that are in `out`. With `nan`, some values may be NaN.
pub(super) fn from_raw(
    samples: &SampleBatch,
    nan: bool,
    resolution: i64,
    out: &mut SampleBatch,
) -> Result<Vec<Columns>, ChunkError> {
    let (mut times, mut values) = (samples.timestamps.as_slice(), samples.values.as_slice());
    let (Some(&first), Some(&last)) = (times.first(), times.last()) else { return Ok(Vec::new()) };
    let target = chunk_target(first, last, RAW_INTERVAL_MS, resolution, times.len());
    let batch = times.len() / target + 1;
    let mut chunks = Vec::with_capacity(target);
    while !times.is_empty() {
        let mut n = batch.min(times.len());
        let end = window_end(times[n - 1], resolution);
        n += times[n..].iter().take_while(|t| **t <= end).count();
        check_fit(&times[..n], resolution)?;
        chunks.extend(raw_batch(&times[..n], &values[..n], nan, resolution, out));
        (times, values) = (&times[n..], &values[n..]);
    }
    Ok(chunks)
}

/// One chunk; `None` if all samples are NaN.
fn raw_batch(
    times: &[i64],
    values: &[f64],
    nan: bool,
    resolution: i64,
    out: &mut SampleBatch,
) -> Option<Columns> {
    if nan {
        let kept = times.iter().copied().zip(values.iter().copied()).filter(|(_, v)| !v.is_nan());
        let (times, values): (Vec<i64>, Vec<f64>) = kept.unzip();
        return raw_batch(&times, &values, false, resolution, out);
    }
    let (first, last) = (*times.first()?, *times.last()?);
    // Room for each column; the counter has a sample more at either end.
    let room = times.len().min(last.saturating_sub(first) as usize / resolution as usize + 2);
    let start = out.len();
    let starts = Aggregate::ALL.map(|aggregate| start + aggregate as usize * room);
    let counter = starts[Aggregate::Counter as usize];
    out.timestamps.resize(counter + room + 2, first);
    out.values.resize(counter + room + 2, values[0]);
    let mut running = Running::new();
    let mut n = 0;
    for (end, samples) in windows(times, resolution) {
        let window = running.add(&values[samples]);
        out.timestamps[start + n] = end;
        for aggregate in [Aggregate::Count, Aggregate::Sum, Aggregate::Min, Aggregate::Max] {
            out.values[starts[aggregate as usize] + n] = window[aggregate as usize];
        }
        n += 1;
        out.values[counter + n] = window[Aggregate::Counter as usize];
    }
    for to in [starts[1], starts[2], starts[3], counter + 1] {
        out.timestamps.copy_within(start..start + n, to);
    }
    let range = Emitted { min: out.timestamps[start], max: out.timestamps[start + n - 1] };
    (out.timestamps[counter + n + 1], out.values[counter + n + 1]) = (range.max, values[values.len() - 1]);
    let mut places = starts.map(|start| Some(start..start + n));
    places[Aggregate::Counter as usize] = Some(counter..counter + n + 2);
    Some(Columns { places, range, n_windows: n })
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

/// Aggregates finer chunks of floats, whose columns are in `finer`; those of the chunk come behind the ones in `out`. `None`
/// if they hold no sample.
pub(super) fn from_aggregates(
    chunks: &[&Columns],
    finer: &SampleBatch,
    resolution: i64,
    out: &mut SampleBatch,
) -> Result<Option<Columns>, ChunkError> {
    let mut made = Columns::default();
    for aggregate in [Aggregate::Count, Aggregate::Sum, Aggregate::Min, Aggregate::Max] {
        let columns: Vec<Column<'_>> = chunks
            .iter()
            .filter_map(|chunk| chunk.get(aggregate, finer))
            .filter(|c| !c.0.is_empty())
            .collect();
        if columns.is_empty() {
            continue;
        }
        check_columns(&columns, resolution)?;
        let start = out.len();
        match aggregate {
            Aggregate::Min => {
                fold(&columns, resolution, f64::MAX, |min, v| if v < min { v } else { min }, out)
            }
            Aggregate::Max => {
                fold(&columns, resolution, f64::MIN, |max, v| if v > max { v } else { max }, out)
            }
            _ => fold(&columns, resolution, 0.0, |sum, v| sum + v, out),
        }
        made.range.add(out.timestamps[start]);
        made.range.add(out.timestamps[out.len() - 1]);
        made.places[aggregate as usize] = Some(start..out.len());
    }
    made.n_windows = made.places[Aggregate::Count as usize].as_ref().map_or(0, Range::len);
    counter_column(chunks, finer, resolution, &mut made, out)?;
    Ok(made.places.iter().any(Option::is_some).then_some(made))
}

/// Appends one sample for each window of the columns, which are not empty: `init`, with each value added by `add`.
#[inline]
fn fold(
    columns: &[Column<'_>],
    resolution: i64,
    init: f64,
    add: impl Fn(f64, f64) -> f64,
    out: &mut SampleBatch,
) {
    let last = columns.last().and_then(|(times, _)| times.last()).copied().unwrap_or_default();
    let mut window: Option<(i64, f64)> = None;
    for (t, value) in columns.iter().flat_map(|(times, values)| times.iter().zip(*values)) {
        window = match window {
            Some((end, total)) if *t <= end => Some((end, add(total, *value))),
            before => {
                before.into_iter().for_each(|(end, total)| out.push(Timestamp(end), total));
                Some((window_end(*t, resolution).min(last), add(init, *value)))
            }
        };
    }
    window.into_iter().for_each(|(end, total)| out.push(Timestamp(end), total));
}

/// The counter without resets: its first sample, one sample per window, and the true last raw value.
fn counter_column(
    chunks: &[&Columns],
    finer: &SampleBatch,
    resolution: i64,
    made: &mut Columns,
    out: &mut SampleBatch,
) -> Result<(), ChunkError> {
    let counters = chunks.iter().filter_map(|chunk| chunk.get(Aggregate::Counter, finer));
    let (samples, last_value) = counter::joined(counters);
    let (times, values) = (samples.timestamps.as_slice(), samples.values.as_slice());
    let Some(&first) = times.first() else { return Ok(()) };
    check_fit(times, resolution)?;
    let start = out.len();
    out.push(Timestamp(first), values[0]);
    let mut running = Running::new();
    let mut end = first;
    for (window, samples) in windows(times, resolution) {
        out.push(Timestamp(window), running.add(&values[samples])[Aggregate::Counter as usize]);
        end = window;
    }
    made.range.add(out.timestamps[start + 1]);
    made.range.add(end);
    out.push(Timestamp(end), last_value);
    made.places[Aggregate::Counter as usize] = Some(start..out.len());
    Ok(())
}

/// Fails when the windows do not fit a chunk, which happens only with chunks that no known writer makes.
pub(super) fn check_fit(times: &[i64], resolution: i64) -> Result<(), ChunkError> {
    check_columns(&[(times, &[])], resolution)
}

/// Like [`check_fit`], for columns that follow each other.
fn check_columns(columns: &[Column<'_>], resolution: i64) -> Result<(), ChunkError> {
    let first = columns.first().and_then(|(times, _)| times.first());
    let last = columns.last().and_then(|(times, _)| times.last());
    let n = columns.iter().map(|(times, _)| times.len()).sum();
    let (Some(first), Some(last)) = (first, last) else { return Ok(()) };
    if fit_a_chunk(n, *first, *last, resolution) {
        return Ok(());
    }
    let found = n as u64;
    Err(ChunkError::Invalid { what: "windows of a chunk", offset: 0, found, expected: "at most 65,533" })
}
