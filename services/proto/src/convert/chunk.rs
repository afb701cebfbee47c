//! Chunks on the wire. A raw chunk travels as it is stored; a downsampled one (`tithon_chunks::AggregateChunk`) travels taken
//! apart into the aggregates that were asked for.

use bytes::Bytes;
use tithon_chunks::{Aggregate, AggregateChunk, EncodedChunk, Encoding, Timestamp};
use xxhash_rust::xxh64::xxh64;

use crate::ConvertError;
use crate::thanos::{AggrChunk, Chunk};

/// A stored chunk as a store sends it: a raw one whole, of a downsampled one the aggregates that are asked for.
/// Fails on an encoding that the wire has no number for, and when an aggregate is asked for that is not there.
pub fn aggr_chunk(stored: &EncodedChunk, aggregates: &[Aggregate]) -> Result<AggrChunk, ConvertError> {
    let mut out =
        AggrChunk { min_time: stored.min_time.0, max_time: stored.max_time.0, ..AggrChunk::default() };
    if stored.encoding != Encoding::Aggregate {
        out.raw = Some(chunk_to_wire(stored.encoding, stored.data.clone())?);
        return Ok(out);
    }
    for &aggregate in aggregates {
        let (encoding, data) = wanted(&stored.data, aggregate)?;
        let slot = match aggregate {
            Aggregate::Count => &mut out.count,
            Aggregate::Sum => &mut out.sum,
            Aggregate::Min => &mut out.min,
            Aggregate::Max => &mut out.max,
            Aggregate::Counter => &mut out.counter,
        };
        *slot = Some(chunk_to_wire(encoding, stored.data.slice_ref(data))?);
    }
    Ok(out)
}

/// Whether [`aggr_chunk`] can give what is asked for, without the work of doing it.
pub fn check_aggregates(stored: &EncodedChunk, aggregates: &[Aggregate]) -> Result<(), ConvertError> {
    if stored.encoding != Encoding::Aggregate {
        return encoding_to_wire(stored.encoding).map(drop);
    }
    for &aggregate in aggregates {
        let (encoding, _) = wanted(&stored.data, aggregate)?;
        encoding_to_wire(encoding)?;
    }
    Ok(())
}

fn wanted(data: &[u8], aggregate: Aggregate) -> Result<(Encoding, &[u8]), ConvertError> {
    AggregateChunk::find(data, aggregate)?.ok_or(ConvertError::NoAggregate(aggregate.name()))
}

/// A chunk of a message as it is stored: a raw one as it is, aggregates put together to an AGGR chunk, in which those that
/// are not there are absent. Fails on an encoding that is not known.
pub fn aggr_chunk_from_wire(wire: &AggrChunk) -> Result<EncodedChunk, ConvertError> {
    let (min_time, max_time) = (Timestamp(wire.min_time), Timestamp(wire.max_time));
    if let Some(raw) = &wire.raw {
        let encoding = encoding_from_wire(raw.r#type)?;
        return Ok(EncodedChunk { encoding, min_time, max_time, data: raw.data.clone() });
    }
    let mut parts = [None; 5];
    for (part, chunk) in parts.iter_mut().zip([&wire.count, &wire.sum, &wire.min, &wire.max, &wire.counter]) {
        if let Some(chunk) = chunk {
            *part = Some((encoding_from_wire(chunk.r#type)?, &chunk.data[..]));
        }
    }
    let data = AggregateChunk::encode(&parts).into();
    Ok(EncodedChunk { encoding: Encoding::Aggregate, min_time, max_time, data })
}

/// One chunk with its hash.
pub(super) fn chunk_to_wire(encoding: Encoding, data: Bytes) -> Result<Chunk, ConvertError> {
    let hash = xxh64(&data, 0);
    Ok(Chunk { r#type: encoding_to_wire(encoding)?, data, hash })
}

/// The wire's number of an encoding: the byte of the file format minus one. The enum of StoreAPI ends with the third; the others of
/// Prometheus are carried all the same, as a sidecar does. Fails on a downsampled chunk and on an unknown byte.
pub fn encoding_to_wire(encoding: Encoding) -> Result<i32, ConvertError> {
    match encoding {
        Encoding::Aggregate | Encoding::Unknown(_) => Err(ConvertError::Encoding(encoding)),
        known => Ok(i32::from(known.byte()) - 1),
    }
}

/// The encoding of a chunk that came by wire. A sidecar adds nothing to Prometheus's numbers, so those of its newer
/// encodings come through although the enum lacks them.
pub fn encoding_from_wire(number: i32) -> Result<Encoding, ConvertError> {
    match number {
        0 => Ok(Encoding::Xor),
        1 => Ok(Encoding::Histogram),
        2 => Ok(Encoding::FloatHistogram),
        3 => Ok(Encoding::Xor2),
        4 => Ok(Encoding::HistogramSt),
        5 => Ok(Encoding::FloatHistogramSt),
        other => Err(ConvertError::ChunkType(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(encoding: Encoding, data: &[u8]) -> EncodedChunk {
        let data = Bytes::copy_from_slice(data);
        EncodedChunk { encoding, min_time: Timestamp(1), max_time: Timestamp(2), data }
    }

    #[test]
    fn a_raw_chunk_goes_whole_with_its_hash() {
        let got = aggr_chunk(&stored(Encoding::FloatHistogram, b"abc"), &[Aggregate::Count]).unwrap();
        let raw = got.raw.unwrap();
        assert_eq!((raw.r#type, &raw.data[..], raw.hash), (2, &b"abc"[..], xxh64(b"abc", 0)));
        assert!(got.count.is_none());
    }

    #[test]
    fn a_downsampled_chunk_is_taken_apart() {
        // count "ab", sum and min absent, max "c", counter "de"
        let chunk = stored(Encoding::Aggregate, b"\x02\x01ab\x00\x00\x01\x01c\x02\x03de");
        let got = aggr_chunk(&chunk, &[Aggregate::Count, Aggregate::Max, Aggregate::Counter]).unwrap();
        let data = |c: Option<Chunk>| c.map(|c| (c.r#type, c.data.to_vec()));
        assert_eq!(data(got.count), Some((0, b"ab".to_vec())));
        assert_eq!(data(got.max), Some((0, b"c".to_vec())));
        assert_eq!(data(got.counter), Some((2, b"de".to_vec())));
        assert_eq!((got.raw, got.sum, got.min), (None, None, None));
        let error = aggr_chunk(&chunk, &[Aggregate::Min]).unwrap_err();
        assert_eq!(error, ConvertError::NoAggregate("min"));
    }

    #[test]
    fn every_truncation_is_an_error() {
        let whole = b"\x02\x01ab\x00\x00\x01\x01c\x02\x03de";
        for len in 0..whole.len() {
            assert!(aggr_chunk(&stored(Encoding::Aggregate, &whole[..len]), &[Aggregate::Counter]).is_err());
        }
        let huge = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        assert!(aggr_chunk(&stored(Encoding::Aggregate, huge), &[Aggregate::Count]).is_err());
    }

    #[test]
    fn aggregates_are_put_together() {
        let part =
            |r#type, data: &'static [u8]| Some(Chunk { r#type, data: Bytes::from_static(data), hash: 0 });
        let wire = AggrChunk {
            min_time: 1,
            max_time: 2,
            count: part(0, b"ab"),
            sum: part(0, b""),
            counter: part(2, b"c"),
            ..AggrChunk::default()
        };
        let chunk = aggr_chunk_from_wire(&wire).unwrap();
        assert_eq!(&chunk.data[..], b"\x02\x01ab\x00\x00\x00\x01\x03c");
        assert_eq!(chunk.encoding, Encoding::Aggregate);
        assert!(aggr_chunk_from_wire(&AggrChunk { count: part(9, b"ab"), ..wire }).is_err());
    }

    #[test]
    fn encodings_without_a_number_are_refused() {
        assert!(aggr_chunk(&stored(Encoding::Unknown(9), b"abc"), &[]).is_err());
        for byte in 1..=6 {
            let encoding = Encoding::from_byte(byte);
            assert_eq!(encoding_from_wire(encoding_to_wire(encoding).unwrap()), Ok(encoding));
        }
        assert_eq!(encoding_from_wire(-1), Err(ConvertError::ChunkType(-1)));
    }
}
