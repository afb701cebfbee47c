//! A chunk of aggregated floats as columns: the decoded form of an AGGR chunk, and the form before encoding.

use tithon_chunks::{
    Aggregate, AggregateChunk, ChunkError, EncodedChunk, Encoding, STALE_NAN_BITS, SampleBatch, TimeRange,
    Timestamp, XorEncoder, decode_float_chunks, sample_count,
};

/// The aggregates that are present, in the order of [`Aggregate::ALL`].
#[derive(Debug, Default)]
pub(super) struct Columns {
    pub(super) columns: [Option<SampleBatch>; 5],
    /// The first and last window time of the chunk.
    pub(super) range: Emitted,
    /// The number of windows that the header counts.
    pub(super) n_windows: usize,
}

impl Columns {
    pub(super) fn get(&self, aggregate: Aggregate) -> Option<&SampleBatch> {
        self.columns[aggregate as usize].as_ref()
    }

    /// Decodes chunks of floats, each with its times, into columns. Stale markers, and samples earlier than one before
    /// them, are left out of all columns but the counter.
    pub(super) fn decode(chunks: &[(AggregateChunk<'_>, TimeRange)]) -> Result<Vec<Columns>, ChunkError> {
        let parts = chunks.iter().flat_map(|(chunk, _)| Aggregate::ALL.map(|aggregate| chunk.get(aggregate)));
        let present: Vec<(Encoding, &[u8])> = parts.clone().flatten().collect();
        let (mut samples, mut ends) = (SampleBatch::default(), Vec::with_capacity(present.len()));
        decode_float_chunks(&present, &mut samples, &mut ends)?;
        let (mut ends, mut start) = (ends.into_iter(), 0);
        let mut parts = parts.zip(Aggregate::ALL.iter().cycle());
        let mut column = || {
            let (part, aggregate) = parts.next()?;
            part?;
            let end = ends.next()?;
            let (times, values) = (&samples.timestamps[start..end], &samples.values[start..end]);
            start = end;
            Some(match aggregate {
                Aggregate::Counter => SampleBatch { timestamps: times.to_vec(), values: values.to_vec() },
                _ => in_order(times, values),
            })
        };
        let columns = |(chunk, range): &(AggregateChunk<'_>, TimeRange)| {
            let n_windows = match chunk.get(Aggregate::Count) {
                Some((encoding, data)) => sample_count(encoding, data)?,
                None => 0,
            };
            let range = Emitted { min: range.min.0, max: range.max.0 };
            Ok(Columns { columns: std::array::from_fn(|_| column()), range, n_windows })
        };
        chunks.iter().map(columns).collect()
    }

    /// The chunk. Columns have at most 65,535 samples.
    pub(super) fn encoded(&self) -> EncodedChunk {
        let encode = |column: &SampleBatch| {
            let mut encoder = XorEncoder::with_capacity(16 + 10 * column.len());
            encoder.extend(&column.timestamps, &column.values);
            (Encoding::Xor, encoder.finish())
        };
        chunk(&self.columns.each_ref().map(|column| column.as_ref().map(encode)), self.range)
    }
}

/// Decodes raw chunks of floats one after the other. Leaves out stale markers, and samples earlier than one before them
/// in their chunk; upstream puts time 0 before every chunk, so that negative times are lost. Returns whether a value
/// may be NaN.
pub(super) fn expand(chunks: &[(Encoding, &[u8])], out: &mut SampleBatch) -> Result<bool, ChunkError> {
    let mut ends = Vec::with_capacity(chunks.len());
    decode_float_chunks(chunks, out, &mut ends)?;
    if is_plain(&out.timestamps, &out.values) {
        return Ok(false);
    }
    let all = std::mem::take(out);
    let mut start = 0;
    for end in ends {
        let part = in_order(&all.timestamps[start..end], &all.values[start..end]);
        out.timestamps.extend(part.timestamps);
        out.values.extend(part.values);
        start = end;
    }
    Ok(true)
}

/// Whether no time is negative or earlier than the one before it, and no value NaN.
fn is_plain(times: &[i64], values: &[f64]) -> bool {
    // Sign bits are collected with OR, without a branch: a step is negative where a time falls, and infinity minus the
    // magnitude of a value, both taken as integers, where the value is NaN.
    let negative = times.iter().fold(0, |signs, t| signs | t);
    let steps = times.iter().zip(times.iter().skip(1));
    let falling = steps.fold(0, |signs, (t, next)| signs | next.wrapping_sub(*t));
    let magnitude = |value: &f64| (value.to_bits() & (u64::MAX >> 1)) as i64;
    let infinity = magnitude(&f64::INFINITY);
    let nan = values.iter().fold(0, |signs, value| signs | infinity.wrapping_sub(magnitude(value)));
    negative | falling | nan >= 0
}

/// The samples of one chunk, without stale markers and samples earlier than one before them, or than 0.
fn in_order(times: &[i64], values: &[f64]) -> SampleBatch {
    if is_plain(times, values) {
        return SampleBatch { timestamps: times.to_vec(), values: values.to_vec() };
    }
    let mut out = SampleBatch::default();
    let mut last = 0;
    for (t, value) in times.iter().zip(values) {
        if value.to_bits() != STALE_NAN_BITS && *t >= last {
            out.push(Timestamp(*t), *value);
            last = *t;
        }
    }
    out
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
        let kept = in_order(&[-5, 3, 2, 3, 9, 8], &[1.0, 2.0, 3.0, 4.0, stale, 5.0]);
        assert_eq!((kept.timestamps, kept.values), (vec![3, 3, 8], vec![2.0, 4.0, 5.0]));
    }
}
