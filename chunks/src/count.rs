//! How many samples a chunk has, told by its header.

use crate::{Aggregate, AggregateChunk, ChunkError, Encoding, Reader, xor, xor2};

/// The number of samples that a chunk's header promises. Of an AGGR chunk it is that of its count sub-chunk, 0 without
/// one, as Thanos reports it.
pub fn sample_count(encoding: Encoding, data: &[u8]) -> Result<usize, ChunkError> {
    let header = || Reader::new(data).u16_be("sample count").map(usize::from);
    match encoding {
        Encoding::Xor | Encoding::Xor2 | Encoding::Histogram | Encoding::FloatHistogram => header(),
        Encoding::HistogramSt | Encoding::FloatHistogramSt => Ok(header()? & 0x3fff),
        Encoding::Aggregate => match AggregateChunk::parse(data)?.get(Aggregate::Count) {
            Some((Encoding::Aggregate, _)) => Err(ChunkError::UnsupportedEncoding(encoding)),
            Some((encoding, data)) => sample_count(encoding, data),
            None => Ok(0),
        },
        Encoding::Unknown(_) => Err(ChunkError::UnsupportedEncoding(encoding)),
    }
}

/// The header's count, or fewer when the bytes cannot hold as many.
pub(crate) fn float_count_max(encoding: Encoding, data: &[u8]) -> Result<usize, ChunkError> {
    let possible = match encoding {
        Encoding::Xor => xor::samples_max(data.len()),
        Encoding::Xor2 => xor2::samples_max(data.len()),
        other => return Err(ChunkError::UnsupportedEncoding(other)),
    };
    Ok(sample_count(encoding, data)?.min(possible))
}
