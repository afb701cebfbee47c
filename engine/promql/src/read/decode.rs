//! The samples of one series: decoded from chunks, cut to a range.

use tithon_chunks::{
    ChunkError, EncodedChunk, Encoding, HistogramBatch, STALE_NAN_BITS, Samples, TimeRange,
    decode_float_chunks, decode_floats, decode_histograms, decode_samples,
};

use super::reach::Reach;
use super::statistics;
use crate::error::QueryError;
use crate::kernel;
use crate::series::{SeriesData, Unread};

/// About how much memory the samples of encoded chunks take when they are decoded, bytes. A chunk begins with the number of
/// its samples.
pub(super) fn decoded_bytes(data: &SeriesData, range: TimeRange) -> u64 {
    /// The size of a histogram with some buckets.
    const HISTOGRAM_BYTES: u64 = 512;
    /// A sample of a downsampled chunk takes a few bits an aggregate.
    const AGGREGATED_PER_BYTE: u64 = 4;
    let of = |chunk: &EncodedChunk| {
        let n = chunk.data.first_chunk().map_or(0, |n| u64::from(u16::from_be_bytes(*n)));
        match chunk.encoding {
            Encoding::Aggregate => chunk.data.len() as u64 * AGGREGATED_PER_BYTE * 16,
            encoding if encoding.is_histogram() => n * HISTOGRAM_BYTES,
            _ => n * 16,
        }
    };
    match data {
        SeriesData::Samples(_) => 0,
        SeriesData::Chunks(chunks) => {
            chunks.iter().filter(|chunk| intersection(chunk.range(), range).is_some()).map(of).sum()
        }
        // The samples are held twice: before they are merged and after.
        SeriesData::Unread(unread) => unread.chunks.iter().map(of).sum::<u64>() * 2,
    }
}

/// Sets `out` to the samples of a series that lie in the range. Floats that no window of `reach` holds may be left out; of
/// histograms only count, sum and reset hint are kept if `stats_only`.
pub(super) fn decode(
    data: SeriesData,
    range: TimeRange,
    reach: &Reach,
    stats_only: bool,
    out: &mut Samples,
) -> Result<(), QueryError> {
    clear(out);
    match data {
        SeriesData::Chunks(chunks) => return Ok(decode_chunks(&chunks, range, reach, stats_only, out)?),
        SeriesData::Samples(samples) => *out = *samples,
        SeriesData::Unread(Unread { chunks, read }) => read(&chunks, out).map_err(QueryError::of_source)?,
    }
    trim(out, range);
    if stats_only && !out.histograms.timestamps.is_empty() {
        let mut batch = HistogramBatch::default();
        for (i, (t, h)) in out.histograms.timestamps.iter().zip(&out.histograms.values).enumerate() {
            let start = out.histogram_start_timestamps.get(i).copied().unwrap_or(0);
            batch.push(*t, start, h);
        }
        clear_histograms(out);
        statistics::push(&batch, reach, out);
    }
    Ok(())
}

/// Decodes chunks in order. XOR chunks in a row that are needed as a whole are decoded in parallel lanes. If `stats_only`,
/// histograms are decoded into columns, so that no histograms have to be built.
fn decode_chunks(
    chunks: &[EncodedChunk],
    range: TimeRange,
    reach: &Reach,
    stats_only: bool,
    out: &mut Samples,
) -> Result<(), ChunkError> {
    let mut whole = Whole::default();
    let mut stats = HistogramBatch::default();
    for chunk in chunks {
        if stats_only && chunk.encoding.is_histogram() {
            decode_histograms(chunk.encoding, &chunk.data, range, &mut stats)?;
            continue;
        }
        let is_float = matches!(chunk.encoding, Encoding::Xor | Encoding::Xor2);
        let (needed, is_whole) = match is_float {
            true => match intersection(chunk.range(), range).and_then(|part| reach.within(part)) {
                // No window needs a sample of the chunk.
                None => continue,
                Some(part) => (TimeRange { min: range.min, max: part.max }, part == chunk.range()),
            },
            false => (range, false),
        };
        if is_whole && chunk.encoding == Encoding::Xor {
            whole.chunks.push((chunk.encoding, &chunk.data));
            whole.needed.push(needed);
            continue;
        }
        whole.decode(out)?;
        decode_samples(chunk, needed, out)?;
    }
    statistics::push(&stats, reach, out);
    whole.decode(out)
}

/// Float chunks without start timestamps that are needed as a whole, provided that the index has the right ranges.
#[derive(Default)]
struct Whole<'a> {
    chunks: Vec<(Encoding, &'a [u8])>,
    /// The range needed of each chunk.
    needed: Vec<TimeRange>,
    ends: Vec<usize>,
}

impl Whole<'_> {
    /// Appends the samples of the chunks and empties the list. If the first or last time of a chunk lies outside of the range
    /// that the index has, decodes the chunks again, each cut to its range.
    pub(super) fn decode(&mut self, out: &mut Samples) -> Result<(), ChunkError> {
        if self.chunks.is_empty() {
            return Ok(());
        }
        let start = out.floats.len();
        decode_float_chunks(&self.chunks, &mut out.floats, &mut self.ends)?;
        if !self.is_inside(start, &out.floats.timestamps) {
            out.floats.timestamps.truncate(start);
            out.floats.values.truncate(start);
            for ((encoding, data), needed) in self.chunks.iter().zip(&self.needed) {
                decode_floats(*encoding, data, *needed, &mut out.floats)?;
            }
        }
        if !out.float_start_timestamps.is_empty() {
            out.float_start_timestamps.resize(out.floats.len(), 0);
        }
        self.chunks.clear();
        self.needed.clear();
        self.ends.clear();
        Ok(())
    }

    /// Whether the first and last time of each chunk lie in the range needed of it; `times` has those of the chunks from
    /// `start` on.
    fn is_inside(&self, start: usize, times: &[i64]) -> bool {
        let mut from = start;
        self.ends.iter().zip(&self.needed).all(|(end, needed)| {
            let times = &times[std::mem::replace(&mut from, *end)..*end];
            let (first, last) = (times.first(), times.last());
            first.is_none_or(|t| *t >= needed.min.0) && last.is_none_or(|t| *t <= needed.max.0)
        })
    }
}

/// The intersection of two ranges; `None` when it is empty.
fn intersection(a: TimeRange, b: TimeRange) -> Option<TimeRange> {
    let (min, max) = (a.min.max(b.min), a.max.min(b.max));
    (min <= max).then_some(TimeRange { min, max })
}

fn clear(samples: &mut Samples) {
    samples.floats.clear();
    samples.float_start_timestamps.clear();
    clear_histograms(samples);
}

fn clear_histograms(samples: &mut Samples) {
    samples.histograms.timestamps.clear();
    samples.histograms.values.clear();
    samples.histogram_start_timestamps.clear();
}

/// Removes samples outside of the range.
fn trim(samples: &mut Samples, range: TimeRange) {
    let cut = |times: &[i64]| {
        let from = times.partition_point(|t| *t < range.min.0);
        from..times.partition_point(|t| *t <= range.max.0).max(from)
    };
    let keep = cut(&samples.floats.timestamps);
    if keep.len() < samples.floats.timestamps.len() {
        retain(&mut samples.floats.timestamps, &keep);
        retain(&mut samples.floats.values, &keep);
        retain(&mut samples.float_start_timestamps, &keep);
    }
    let keep = cut(&samples.histograms.timestamps);
    if keep.len() < samples.histograms.timestamps.len() {
        retain(&mut samples.histograms.timestamps, &keep);
        retain(&mut samples.histograms.values, &keep);
        retain(&mut samples.histogram_start_timestamps, &keep);
    }
}

fn retain<T>(column: &mut Vec<T>, keep: &std::ops::Range<usize>) {
    if !column.is_empty() {
        column.truncate(keep.end);
        column.drain(..keep.start);
    }
}

/// Removes stale markers.
pub(crate) fn remove_stale(samples: &mut Samples) {
    if kernel::has_bits(&samples.floats.values, STALE_NAN_BITS) {
        let keep: Vec<bool> = samples.floats.values.iter().map(|v| v.to_bits() != STALE_NAN_BITS).collect();
        filter(&mut samples.floats.timestamps, &keep);
        filter(&mut samples.floats.values, &keep);
        filter(&mut samples.float_start_timestamps, &keep);
    }
    if samples.histograms.values.iter().any(|h| h.sum.to_bits() == STALE_NAN_BITS) {
        let keep: Vec<bool> =
            samples.histograms.values.iter().map(|h| h.sum.to_bits() != STALE_NAN_BITS).collect();
        filter(&mut samples.histograms.timestamps, &keep);
        filter(&mut samples.histograms.values, &keep);
        filter(&mut samples.histogram_start_timestamps, &keep);
    }
}

fn filter<T>(column: &mut Vec<T>, keep: &[bool]) {
    let mut keep = keep.iter();
    column.retain(|_| keep.next().copied().unwrap_or(true));
}

#[cfg(test)]
mod tests {
    use tithon_chunks::XorEncoder;

    use super::*;
    use crate::ast::AtModifier;
    use crate::frame::Steps;
    use crate::read::Reference;

    /// A chunk with a sample at each of the times; its range in the index is `indexed`.
    fn chunk(times: std::ops::RangeInclusive<i64>, indexed: TimeRange) -> EncodedChunk {
        let mut encoder = XorEncoder::new();
        times.for_each(|t| encoder.push(t, t as f64));
        EncodedChunk {
            encoding: Encoding::Xor,
            min_time: indexed.min,
            max_time: indexed.max,
            data: encoder.finish().into(),
        }
    }

    /// The range in the index decides which samples count, whether a chunk is decoded with others or alone.
    #[test]
    fn samples_outside_of_the_range_told_by_the_index_are_left_out() {
        let reach = Reach::new(Reference::new(AtModifier::None, 0), &Steps::new(100, 200, 10), 100, 0);
        let range = TimeRange::new(100, 200);
        let right = chunk(110..=119, TimeRange::new(110, 119));
        for (wrong, expected) in [
            (chunk(120..=139, TimeRange::new(120, 139)), 120..=139),
            (chunk(90..=139, TimeRange::new(120, 139)), 100..=139),
            (chunk(120..=250, TimeRange::new(120, 139)), 120..=139),
        ] {
            let chunks = [right.clone(), wrong, chunk(140..=150, TimeRange::new(140, 150))];
            let expected: Vec<i64> = (110..=119).chain(expected).chain(140..=150).collect();
            let mut together = Samples::default();
            decode_chunks(&chunks, range, &reach, false, &mut together).expect("sound chunks");
            let mut apart = Samples::default();
            for chunk in chunks {
                decode_chunks(&[chunk], range, &reach, false, &mut apart).expect("sound chunks");
            }
            assert_eq!(together.floats.timestamps, expected);
            assert_eq!(apart.floats.timestamps, expected);
            assert!(together.floats.values.iter().zip(&expected).all(|(value, t)| *value == *t as f64));
        }
    }
}
