//! Applies deletions to a chunk.

use tithon_chunks::{
    ChunkError, EncodedChunk, Encoding, FloatHistogramEncoder, HistogramEncoder, HistogramError, Sample,
    SampleValue, TimeRange, Xor2Encoder, XorEncoder, decode_exact,
};

/// The chunk without the samples inside `deleted`: the same chunk if none is deleted, `None` if all are, else one chunk
/// of the same encoding. Aggregates stand for windows, not samples: such a chunk is kept or removed as a whole.
pub(crate) fn without(
    chunk: EncodedChunk,
    deleted: &[TimeRange],
) -> Result<Option<EncodedChunk>, ChunkError> {
    if deleted.iter().any(|d| d.covers(chunk.range())) {
        return Ok(None);
    }
    if chunk.encoding == Encoding::Aggregate || !deleted.iter().any(|d| d.overlaps(chunk.range())) {
        return Ok(Some(chunk));
    }
    let mut samples = Vec::new();
    decode_exact(chunk.encoding, &chunk.data, &mut samples)?;
    samples.retain(|sample| !deleted.iter().any(|d| d.contains(sample.t)));
    encode_alike(chunk.encoding, &samples)
}

/// Encodes samples as one chunk; `None` if there are none.
fn encode_alike(encoding: Encoding, samples: &[Sample]) -> Result<Option<EncodedChunk>, ChunkError> {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return Ok(None) };
    let floats = samples.iter().filter_map(|s| match s.value {
        SampleValue::Float(value) => Some((s, value)),
        _ => None,
    });
    let data = match encoding {
        Encoding::Xor => {
            let mut encoder = XorEncoder::new();
            floats.for_each(|(s, value)| encoder.push(s.t.0, value));
            encoder.finish()
        }
        Encoding::Xor2 => {
            let mut encoder = Xor2Encoder::new();
            floats.for_each(|(s, value)| encoder.push(s.st.0, s.t.0, value));
            encoder.finish()
        }
        Encoding::Histogram | Encoding::HistogramSt => {
            let mut encoder = HistogramEncoder::new(encoding == Encoding::HistogramSt);
            for sample in samples {
                if let SampleValue::Histogram(h) = &sample.value {
                    keep_in_one(encoding, encoder.push(None, sample.st.0, sample.t.0, h))?;
                }
            }
            encoder.finish()
        }
        Encoding::FloatHistogram | Encoding::FloatHistogramSt => {
            let mut encoder = FloatHistogramEncoder::new(encoding == Encoding::FloatHistogramSt);
            for sample in samples {
                if let SampleValue::FloatHistogram(h) = &sample.value {
                    keep_in_one(encoding, encoder.push(None, sample.st.0, sample.t.0, h))?;
                }
            }
            encoder.finish()
        }
        other => return Err(ChunkError::UnsupportedEncoding(other)),
    };
    Ok(Some(EncodedChunk { encoding, min_time: first.t, max_time: last.t, data: data.into() }))
}

/// Histograms of one chunk always fit one chunk again, also without some of them.
fn keep_in_one<E>(encoding: Encoding, pushed: Result<Option<E>, HistogramError>) -> Result<(), ChunkError> {
    match pushed {
        Ok(None) => Ok(()),
        _ => Err(ChunkError::UnsupportedEncoding(encoding)),
    }
}
