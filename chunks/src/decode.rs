//! Decoding whole chunks into columns: the entry points that other crates call.

use crate::count::float_count_max;
use crate::histogram_chunk::{Counts, Decoder, FloatDecoder, IntDecoder};
use crate::kernel::{Columns, StartColumns};
use crate::sink::{InRange, Sink};
use crate::{
    ChunkError, EncodedChunk, Encoding, FloatHistogram, HistogramBatch, Sample, SampleBatch, SampleValue,
    Samples, TimeRange, Timestamp, xor, xor2,
};

/// Appends the samples of a float chunk that lie in `range` to `out`; start timestamps are left out.
///
/// Times ascend in a chunk: decoding ends with the first sample after the range. On an error `out` holds the samples
/// before the damage. Histogram and unknown encodings are [`ChunkError::UnsupportedEncoding`].
pub fn decode_floats(
    encoding: Encoding,
    data: &[u8],
    range: TimeRange,
    out: &mut SampleBatch,
) -> Result<(), ChunkError> {
    let n_max = float_count_max(encoding, data)?;
    walk_floats(encoding, data, range, &mut Columns::new(out, n_max))
}

/// Like [`decode_floats`], appending the start timestamp of each sample (0 is none) to `starts`.
pub fn decode_floats_with_starts(
    encoding: Encoding,
    data: &[u8],
    range: TimeRange,
    out: &mut SampleBatch,
    starts: &mut Vec<i64>,
) -> Result<(), ChunkError> {
    let columns = Columns::new(out, float_count_max(encoding, data)?);
    walk_floats(encoding, data, range, &mut StartColumns { columns, starts })
}

/// Appends the samples of a chunk that lie in `range` to `out`, whichever raw encoding it has; integer histograms
/// become float ones. Start timestamps are filled in once a chunk has any.
///
/// On an error `out` holds the samples before the damage. AGGR and unknown encodings are
/// [`ChunkError::UnsupportedEncoding`].
pub fn decode_samples(chunk: &EncodedChunk, range: TimeRange, out: &mut Samples) -> Result<(), ChunkError> {
    match chunk.encoding {
        Encoding::Xor2 if xor2::has_start_fields(&chunk.data) || !out.float_start_timestamps.is_empty() => {
            let starts = &mut out.float_start_timestamps;
            starts.resize(out.floats.len(), 0);
            let result =
                decode_floats_with_starts(chunk.encoding, &chunk.data, range, &mut out.floats, starts);
            clear_if_all_zero(starts);
            result
        }
        Encoding::Xor | Encoding::Xor2 => {
            let result = decode_floats(chunk.encoding, &chunk.data, range, &mut out.floats);
            if !out.float_start_timestamps.is_empty() {
                out.float_start_timestamps.resize(out.floats.len(), 0);
            }
            result
        }
        encoding if encoding.is_histogram() => {
            let starts = &mut out.histogram_start_timestamps;
            starts.resize(out.histograms.timestamps.len(), 0);
            let result = each_float_histogram(encoding, &chunk.data, range, |t, start, histogram| {
                out.histograms.timestamps.push(t);
                out.histograms.values.push(histogram);
                starts.push(start);
            });
            clear_if_all_zero(starts);
            result
        }
        other => Err(ChunkError::UnsupportedEncoding(other)),
    }
}

/// Appends the samples of a histogram chunk that lie in `range` to the columns of `out`; integer counts become floats.
///
/// Gives what [`decode_samples`] gives, without an allocation a sample. Float, AGGR and unknown encodings are
/// [`ChunkError::UnsupportedEncoding`]. On an error `out` holds the samples before the damage.
pub fn decode_histograms(
    encoding: Encoding,
    data: &[u8],
    range: TimeRange,
    out: &mut HistogramBatch,
) -> Result<(), ChunkError> {
    match encoding {
        Encoding::Histogram | Encoding::HistogramSt => {
            append_all(IntDecoder::new(encoding, data)?, range, out)
        }
        Encoding::FloatHistogram | Encoding::FloatHistogramSt => {
            append_all(FloatDecoder::new(encoding, data)?, range, out)
        }
        other => Err(ChunkError::UnsupportedEncoding(other)),
    }
}

/// [`decode_samples`] of the chunks of one series, one after the other. Float chunks that are wanted as a whole decode
/// faster by [`crate::decode_float_chunks`].
pub fn decode_chunks(chunks: &[EncodedChunk], range: TimeRange, out: &mut Samples) -> Result<(), ChunkError> {
    chunks.iter().try_for_each(|chunk| decode_samples(chunk, range, out))
}

/// Appends all samples of a chunk exactly as stored: integer histograms stay integers, start timestamps are kept.
///
/// On an error `out` holds the samples before the damage.
pub fn decode_exact(encoding: Encoding, data: &[u8], out: &mut Vec<Sample>) -> Result<(), ChunkError> {
    let sample = |t, start, value| Sample { t: Timestamp(t), st: Timestamp(start), value };
    match encoding {
        Encoding::Histogram | Encoding::HistogramSt => {
            let mut decoder = IntDecoder::new(encoding, data)?;
            while decoder.advance()? {
                let histogram = decoder.histogram()?;
                out.push(sample(decoder.t, decoder.start, SampleValue::Histogram(histogram)));
            }
            Ok(())
        }
        Encoding::FloatHistogram | Encoding::FloatHistogramSt => {
            each_float_histogram(encoding, data, TimeRange::ALL, |t, start, histogram| {
                out.push(sample(t, start, SampleValue::FloatHistogram(histogram)));
            })
        }
        _ => {
            let mut batch = SampleBatch::default();
            let mut starts = Vec::new();
            let result = decode_floats_with_starts(encoding, data, TimeRange::ALL, &mut batch, &mut starts);
            let columns = batch.timestamps.iter().zip(&batch.values).zip(&starts);
            out.extend(columns.map(|((t, value), start)| sample(*t, *start, SampleValue::Float(*value))));
            result
        }
    }
}

#[inline(always)]
fn walk_floats(
    encoding: Encoding,
    data: &[u8],
    range: TimeRange,
    sink: &mut impl Sink,
) -> Result<(), ChunkError> {
    match (encoding, range == TimeRange::ALL) {
        (Encoding::Xor, true) => xor::walk::<true>(data, sink),
        (Encoding::Xor, false) => xor::walk::<true>(data, &mut InRange { range, inner: sink }),
        (Encoding::Xor2, true) => xor2::walk(data, sink),
        (Encoding::Xor2, false) => xor2::walk(data, &mut InRange { range, inner: sink }),
        (other, _) => Err(ChunkError::UnsupportedEncoding(other)),
    }
}

/// Calls `each` with time, start timestamp and value of the samples in `range`.
fn each_float_histogram(
    encoding: Encoding,
    data: &[u8],
    range: TimeRange,
    mut each: impl FnMut(i64, i64, FloatHistogram),
) -> Result<(), ChunkError> {
    match encoding {
        Encoding::Histogram | Encoding::HistogramSt => {
            let mut decoder = IntDecoder::new(encoding, data)?;
            while next_in(&mut decoder, range)? {
                each(decoder.t, decoder.start, decoder.float_histogram()?);
            }
        }
        _ => {
            let mut decoder = FloatDecoder::new(encoding, data)?;
            while next_in(&mut decoder, range)? {
                each(decoder.t, decoder.start, decoder.float_histogram()?);
            }
        }
    }
    Ok(())
}

/// Appends the samples of a histogram chunk that lie in `range`.
fn append_all<C: Counts>(
    mut decoder: Decoder<'_, C>,
    range: TimeRange,
    out: &mut HistogramBatch,
) -> Result<(), ChunkError> {
    let mut layout = None;
    while next_in(&mut decoder, range)? {
        decoder.append_to(&mut layout, out)?;
    }
    Ok(())
}

/// Moves to the next sample in `range`; `false` at its end.
fn next_in<C: Counts>(decoder: &mut Decoder<'_, C>, range: TimeRange) -> Result<bool, ChunkError> {
    while decoder.advance()? && decoder.t <= range.max.0 {
        if decoder.t >= range.min.0 {
            return Ok(true);
        }
    }
    Ok(false)
}

fn clear_if_all_zero(starts: &mut Vec<i64>) {
    if starts.iter().all(|start| *start == 0) {
        starts.clear();
    }
}
