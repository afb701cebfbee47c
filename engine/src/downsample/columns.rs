//! A chunk of aggregated floats as columns: the decoded form of an AGGR chunk, and the form before encoding.

use std::ops::Range;

use tithon_chunks::{
    Aggregate, AggregateChunk, ChunkError, EncodedChunk, Encoding, STALE_NAN_BITS, SampleBatch, TimeRange,
    Timestamp, XorEncoder, decode_float_chunks, sample_count,
};

/// The aggregates of a chunk that are present, in the order of [`Aggregate::ALL`].
#[derive(Debug, Default)]
pub(super) struct Columns {
    /// Where the samples of each lie in the room of their level.
    pub(super) places: [Option<Range<usize>>; 5],
    /// The first and last window time of the chunk.
    pub(super) range: Emitted,
    /// The number of windows that the header counts.
    pub(super) n_windows: usize,
}

impl Columns {
    /// Times and values of one aggregate; `room` holds those of the level.
    pub(super) fn get<'r>(&self, aggregate: Aggregate, room: &'r SampleBatch) -> Option<Column<'r>> {
        let place = self.places[aggregate as usize].clone()?;
        Some((&room.timestamps[place.clone()], &room.values[place]))
    }

    /// Decodes chunks of floats, each with its times, into columns behind those that are in `room`. Stale markers, and
    /// samples earlier than one before them, are left out of all columns but the counter.
    pub(super) fn decode(
        chunks: &[(AggregateChunk<'_>, TimeRange)],
        room: &mut SampleBatch,
    ) -> Result<Vec<Columns>, ChunkError> {
        let parts = chunks.iter().flat_map(|(chunk, _)| Aggregate::ALL.map(|aggregate| chunk.get(aggregate)));
        let present: Vec<(Encoding, &[u8])> = parts.flatten().collect();
        let (mut start, mut ends) = (room.len(), Vec::with_capacity(present.len()));
        decode_float_chunks(&present, room, &mut ends)?;
        let mut ends = ends.into_iter();
        let mut place = |aggregate, is_present: bool| {
            let end = is_present.then(|| ends.next()).flatten()?;
            let place = std::mem::replace(&mut start, end)..end;
            if aggregate == Aggregate::Counter {
                return Some(place);
            }
            let (times, values) = (&mut room.timestamps[place.clone()], &mut room.values[place.clone()]);
            Some(place.start..place.start + keep_in_order(times, values))
        };
        let columns = |(chunk, range): &(AggregateChunk<'_>, TimeRange)| {
            let n_windows = match chunk.get(Aggregate::Count) {
                Some((encoding, data)) => sample_count(encoding, data)?,
                None => 0,
            };
            let range = Emitted { min: range.min.0, max: range.max.0 };
            let places = Aggregate::ALL.map(|aggregate| place(aggregate, chunk.get(aggregate).is_some()));
            Ok(Columns { places, range, n_windows })
        };
        chunks.iter().map(columns).collect()
    }

    /// The chunk. Columns have at most 65,535 samples.
    pub(super) fn encoded(&self, room: &SampleBatch) -> EncodedChunk {
        let encode = |(times, values): Column<'_>| {
            let mut encoder = XorEncoder::with_capacity(16 + 10 * times.len());
            encoder.extend(times, values);
            (Encoding::Xor, encoder.finish())
        };
        chunk(&Aggregate::ALL.map(|aggregate| self.get(aggregate, room).map(encode)), self.range)
    }
}

/// Times and values.
pub(super) type Column<'r> = (&'r [i64], &'r [f64]);

/// Decodes raw chunks of floats one after the other. Leaves out stale markers, and samples earlier than one before them
/// in their chunk; upstream puts time 0 before every chunk, so that negative times are lost. Returns whether a value
/// may be NaN.
pub(super) fn expand(chunks: &[(Encoding, &[u8])], out: &mut SampleBatch) -> Result<bool, ChunkError> {
    let mut ends = Vec::with_capacity(chunks.len());
    decode_float_chunks(chunks, out, &mut ends)?;
    if is_plain(&out.timestamps, &out.values) {
        return Ok(false);
    }
    let (mut start, mut n) = (0, 0);
    for end in ends {
        let kept = keep_in_order(&mut out.timestamps[start..end], &mut out.values[start..end]);
        out.timestamps.copy_within(start..start + kept, n);
        out.values.copy_within(start..start + kept, n);
        (start, n) = (end, n + kept);
    }
    out.timestamps.truncate(n);
    out.values.truncate(n);
    Ok(out.values.iter().any(|value| value.is_nan()))
}

/// Whether no time is negative or earlier than the one before it, and no value NaN.
fn is_plain(times: &[i64], values: &[f64]) -> bool {
    // Sign bits are collected with OR, without a branch: a step is negative where a time falls, and infinity minus the
    // magnitude of a value, both taken as integers, where the value is NaN.
    let negative = times.iter().fold(0, |signs, t| signs | t);
    let steps = times.iter().zip(times.get(1..).unwrap_or_default());
    let falling = steps.fold(0, |signs, (t, next)| signs | next.wrapping_sub(*t));
    let magnitude = |value: &f64| (value.to_bits() & (u64::MAX >> 1)) as i64;
    let infinity = magnitude(&f64::INFINITY);
    let nan = values.iter().fold(0, |signs, value| signs | infinity.wrapping_sub(magnitude(value)));
    negative | falling | nan >= 0
}

/// Moves the samples of one chunk to the front, without stale markers and samples earlier than one before them, or
/// than 0; returns their number.
fn keep_in_order(times: &mut [i64], values: &mut [f64]) -> usize {
    if is_plain(times, values) {
        return times.len();
    }
    let (mut n, mut last) = (0, 0);
    for i in 0..times.len() {
        if values[i].to_bits() != STALE_NAN_BITS && times[i] >= last {
            (times[n], values[n], last) = (times[i], values[i], times[i]);
            n += 1;
        }
    }
    n
}

/// First and last window time of a chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Emitted {
    pub(super) min: i64,
    pub(super) max: i64,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_plain() {
        assert!(is_plain(&[], &[]));
        assert!(is_plain(&[0, 0, 5, i64::MAX], &[-0.0, f64::NEG_INFINITY, f64::MAX, f64::INFINITY]));
        assert!(!is_plain(&[-1, 3], &[1.0, 2.0]));
        assert!(!is_plain(&[i64::MIN, i64::MAX], &[1.0, 2.0]));
        assert!(!is_plain(&[4, 3], &[1.0, 2.0]));
        assert!(!is_plain(&[3, 4], &[1.0, f64::NAN]));
        assert!(!is_plain(&[3, 4], &[f64::from_bits(STALE_NAN_BITS), 1.0]));
        assert!(!is_plain(&[3], &[f64::from_bits(u64::MAX)]));
    }

    #[test]
    fn what_is_out_of_order_goes() {
        let stale = f64::from_bits(STALE_NAN_BITS);
        let (mut times, mut values) = ([-5, 3, 2, 3, 9, 8], [1.0, 2.0, 3.0, 4.0, stale, 5.0]);
        let n = keep_in_order(&mut times, &mut values);
        assert_eq!((&times[..n], &values[..n]), ([3, 3, 8].as_slice(), [2.0, 4.0, 5.0].as_slice()));
    }
}
