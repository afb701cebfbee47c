//! Floats by window: raw samples to five aggregates, and five aggregates to coarser ones.

use tithon_chunks::{
    Aggregate, AggregateChunk, ChunkError, EncodedChunk, Encoding, STALE_NAN_BITS, SampleBatch, TimeRange,
    Timestamp, XorEncoder, decode_float_chunks, decode_floats,
};

use super::window::{FloatParts, chunk_target, each_window, fit_a_chunk, window_end};
use crate::dedup::{Track, counter};

/// The scrape interval that upstream assumes of raw samples.
pub(super) const RAW_INTERVAL_MS: i64 = 60_000;

/// Aggregates raw samples (no stale markers, in order of time) into chunks whose borders are borders of windows.
pub(super) fn from_raw(samples: &SampleBatch, resolution: i64) -> Result<Vec<EncodedChunk>, ChunkError> {
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
        out.extend(raw_batch(&times[..n], &values[..n], resolution));
        (times, values) = (&times[n..], &values[n..]);
    }
    Ok(out)
}

/// One chunk; `None` if all samples are NaN.
fn raw_batch(times: &[i64], values: &[f64], resolution: i64) -> Option<EncodedChunk> {
    if values.iter().fold(false, |any, v| any | v.is_nan()) {
        let kept = times.iter().copied().zip(values.iter().copied()).filter(|(_, v)| !v.is_nan());
        let (times, values): (Vec<i64>, Vec<f64>) = kept.unzip();
        return raw_batch(&times, &values, resolution);
    }
    let (first, last_value) = (*times.first()?, *values.last()?);
    let mut parts = FloatParts::default();
    let mut range = Emitted::default();
    parts.counter.push(first, values[0]);
    let end = each_window(times, values, resolution, |t, window| {
        range.add(t);
        parts.count.push(t, window.count);
        parts.sum.push(t, window.sum);
        parts.min.push(t, window.min);
        parts.max.push(t, window.max);
        parts.counter.push(t, window.counter);
    });
    parts.counter.push(end, last_value);
    let FloatParts { count, sum, min, max, counter } = parts;
    let columns = [count, sum, min, max, counter].map(|c| Some((Encoding::Xor, c.finish())));
    Some(chunk(&columns, range))
}

/// Aggregates chunks of floats that were aggregated more finely.
pub(super) fn from_aggregates(
    chunks: &[AggregateChunk<'_>],
    resolution: i64,
) -> Result<EncodedChunk, ChunkError> {
    let mut range = Emitted::default();
    let mut columns: [Option<(Encoding, Vec<u8>)>; 5] = Default::default();
    for aggregate in [Aggregate::Count, Aggregate::Sum, Aggregate::Min, Aggregate::Max] {
        let mut samples = SampleBatch::default();
        let parts: Vec<(Encoding, &[u8])> = chunks.iter().filter_map(|chunk| chunk.get(aggregate)).collect();
        expand_all(&parts, &mut samples)?;
        if samples.is_empty() {
            continue;
        }
        check_fit(&samples.timestamps, resolution)?;
        let mut column = XorEncoder::new();
        each_window(&samples.timestamps, &samples.values, resolution, |t, window| {
            range.add(t);
            let value = match aggregate {
                Aggregate::Min => window.min,
                Aggregate::Max => window.max,
                _ => window.sum,
            };
            column.push(t, value);
        });
        columns[aggregate as usize] = Some((Encoding::Xor, column.finish()));
    }
    columns[Aggregate::Counter as usize] =
        counter_column(chunks, resolution, &mut range)?.map(|data| (Encoding::Xor, data));
    Ok(chunk(&columns, range))
}

/// The counter without resets, its first sample, one a window, and the true last raw value.
fn counter_column(
    chunks: &[AggregateChunk<'_>],
    resolution: i64,
    range: &mut Emitted,
) -> Result<Option<Vec<u8>>, ChunkError> {
    let mut parts = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        if let Some((encoding, data)) = chunk.get(Aggregate::Counter) {
            let mut samples = SampleBatch::default();
            decode_floats(encoding, data, TimeRange::ALL, &mut samples)?;
            parts.push(samples);
        }
    }
    let tracks: Vec<Track<'_>> = parts.iter().map(|s| Track::floats(&s.timestamps, &s.values)).collect();
    let (picks, last_value) = counter::walk(&tracks);
    let mut samples = SampleBatch::default();
    for pick in &picks {
        let t = tracks[pick.track].times()[pick.index];
        push_expanded(t, pick.float.unwrap_or_default(), samples.timestamps.last().copied(), &mut samples);
    }
    let Some(&first) = samples.timestamps.first() else { return Ok(None) };
    check_fit(&samples.timestamps, resolution)?;
    let mut column = XorEncoder::new();
    column.push(first, samples.values[0]);
    let end = each_window(&samples.timestamps, &samples.values, resolution, |t, window| {
        range.add(t);
        column.push(t, window.counter);
    });
    column.push(end, last_value);
    Ok(Some(column.finish()))
}

/// Only chunks that no writer makes have more windows together than one chunk can hold.
pub(super) fn check_fit(times: &[i64], resolution: i64) -> Result<(), ChunkError> {
    if fit_a_chunk(times, resolution) {
        return Ok(());
    }
    let found = times.len() as u64;
    Err(ChunkError::Invalid { what: "windows of a chunk", offset: 0, found, expected: "at most 65,533" })
}

/// Decodes a chunk for aggregating: without stale markers and samples earlier than one before them in the chunk;
/// upstream counts time 0 as before every chunk, so that negative times are lost.
pub(super) fn expand(encoding: Encoding, data: &[u8], out: &mut SampleBatch) -> Result<(), ChunkError> {
    expand_all(&[(encoding, data)], out)
}

/// Decodes chunks one behind the other, each as [`expand`] does.
pub(super) fn expand_all(chunks: &[(Encoding, &[u8])], out: &mut SampleBatch) -> Result<(), ChunkError> {
    let start = out.len();
    let mut ends = Vec::with_capacity(chunks.len());
    decode_float_chunks(chunks, out, &mut ends)?;
    let mut from = start;
    let sound = ends.iter().all(|end| {
        let part = from..*end;
        from = *end;
        is_sound(&out.timestamps[part.clone()], &out.values[part])
    });
    if sound {
        return Ok(());
    }
    let (times, values) = (out.timestamps.split_off(start), out.values.split_off(start));
    let mut from = 0;
    for end in ends {
        let mut last = None;
        for i in from..end - start {
            if push_expanded(times[i], values[i], last, out) {
                last = Some(times[i]);
            }
        }
        from = end - start;
    }
    Ok(())
}

fn is_sound(times: &[i64], values: &[f64]) -> bool {
    times.first().is_none_or(|t| *t >= 0)
        && times.windows(2).fold(true, |sorted, pair| sorted & (pair[0] <= pair[1]))
        && values.iter().fold(true, |sound, v| sound & (v.to_bits() != STALE_NAN_BITS))
}

fn push_expanded(t: i64, value: f64, last: Option<i64>, out: &mut SampleBatch) -> bool {
    let keep = value.to_bits() != STALE_NAN_BITS && t >= last.unwrap_or(0);
    if keep {
        out.push(Timestamp(t), value);
    }
    keep
}

/// First and last window time of a chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Emitted {
    min: i64,
    max: i64,
}

impl Default for Emitted {
    fn default() -> Emitted {
        Emitted { min: i64::MAX, max: i64::MIN }
    }
}

impl Emitted {
    pub(super) fn add(&mut self, t: i64) {
        self.min = self.min.min(t);
        self.max = self.max.max(t);
    }
}

/// The chunk of these columns, in the order of [`Aggregate::ALL`].
pub(super) fn chunk(columns: &[Option<(Encoding, Vec<u8>)>; 5], range: Emitted) -> EncodedChunk {
    let parts = columns.each_ref().map(|c| c.as_ref().map(|(encoding, data)| (*encoding, data.as_slice())));
    EncodedChunk {
        encoding: Encoding::Aggregate,
        min_time: Timestamp(range.min),
        max_time: Timestamp(range.max),
        data: AggregateChunk::encode(&parts).into(),
    }
}
