//! Deletions applied to a chunk.

use tithon_chunks::{
    ChunkError, EncodedChunk, Encoding, Sample, SampleValue, TimeRange, Xor2Encoder, XorEncoder, decode_exact,
};

/// The chunk without the samples inside `deleted`: itself where none is touched, `None` where none is left, else one
/// chunk of the same encoding. Aggregates stand for windows, not samples: such a chunk is left whole or goes whole.
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

/// One chunk of the encoding given; `None` without samples.
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
        other => return Err(ChunkError::UnsupportedEncoding(other)),
    };
    Ok(Some(EncodedChunk { encoding, min_time: first.t, max_time: last.t, data: data.into() }))
}
