//! Chunks on the wire. A downsampled chunk (Thanos `pkg/compact/downsample/aggr.go`) travels taken apart: five entries
//! of a length (uvarint, 0 is absent), an encoding byte and that many bytes, in the order count, sum, min, max, counter.

use bytes::{Buf, Bytes};
use tithon_chunks::{ChunkError, EncodedChunk, Encoding, Timestamp};
use xxhash_rust::xxh64::xxh64;

use crate::ConvertError;
use crate::thanos::{Aggr, AggrChunk, Chunk};

/// A stored chunk as a store sends it: a raw one whole, of a downsampled one the aggregates that are asked for.
/// Fails on an encoding that the wire has no number for, and when an aggregate is asked for that is not there.
pub fn aggr_chunk(stored: &EncodedChunk, aggregates: &[Aggr]) -> Result<AggrChunk, ConvertError> {
    let mut out =
        AggrChunk { min_time: stored.min_time.0, max_time: stored.max_time.0, ..AggrChunk::default() };
    if stored.encoding != Encoding::Aggregate {
        out.raw = Some(chunk_to_wire(stored.encoding, stored.data.clone())?);
        return Ok(out);
    }
    for &aggregate in aggregates {
        let Some((encoding, data)) = wanted(&stored.data, aggregate)? else { continue };
        let slot = match aggregate {
            Aggr::Raw => continue,
            Aggr::Count => &mut out.count,
            Aggr::Sum => &mut out.sum,
            Aggr::Min => &mut out.min,
            Aggr::Max => &mut out.max,
            Aggr::Counter => &mut out.counter,
        };
        *slot = Some(chunk_to_wire(encoding, data)?);
    }
    Ok(out)
}

/// Whether [`aggr_chunk`] can give what is asked for, without the work of doing it.
pub fn check_aggregates(stored: &EncodedChunk, aggregates: &[Aggr]) -> Result<(), ConvertError> {
    if stored.encoding != Encoding::Aggregate {
        return encoding_to_wire(stored.encoding).map(drop);
    }
    for &aggregate in aggregates {
        if let Some((encoding, _)) = wanted(&stored.data, aggregate)? {
            encoding_to_wire(encoding)?;
        }
    }
    Ok(())
}

/// The sub-chunk of an aggregate; none of `RAW`, which a downsampled chunk does not have.
fn wanted(data: &Bytes, aggregate: Aggr) -> Result<Option<(Encoding, Bytes)>, ConvertError> {
    let (index, name) = match aggregate {
        Aggr::Raw => return Ok(None),
        Aggr::Count => (0, "count"),
        Aggr::Sum => (1, "sum"),
        Aggr::Min => (2, "min"),
        Aggr::Max => (3, "max"),
        Aggr::Counter => (4, "counter"),
    };
    aggregate_at(data, index)?.map(Some).ok_or(ConvertError::NoAggregate(name))
}

/// One chunk with its hash.
pub fn chunk_to_wire(encoding: Encoding, data: Bytes) -> Result<Chunk, ConvertError> {
    let hash = xxh64(&data, 0);
    Ok(Chunk { r#type: encoding_to_wire(encoding)?, data, hash })
}

/// One chunk of a message, with the times of the message around it.
pub fn chunk_from_wire(wire: &Chunk, min_time: i64, max_time: i64) -> Result<EncodedChunk, ConvertError> {
    let encoding = encoding_from_wire(wire.r#type)?;
    let (min_time, max_time) = (Timestamp(min_time), Timestamp(max_time));
    Ok(EncodedChunk { encoding, min_time, max_time, data: wire.data.clone() })
}

/// The wire's number of an encoding: our byte minus one. The enum of StoreAPI ends with the third; the others of
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

/// The sub-chunk at `index`, or nothing when it is absent. As upstream, a chunk that ends behind an absent last entry
/// is damaged.
fn aggregate_at(data: &Bytes, index: usize) -> Result<Option<(Encoding, Bytes)>, ChunkError> {
    let mut rest = data.clone();
    for entry in 0.. {
        let len = uvarint(&mut rest, data.len())?;
        let needed = len.saturating_add(1);
        if rest.len() < needed {
            let offset = data.len() - rest.len();
            return Err(ChunkError::Truncated { what: "aggregate", offset, needed, left: rest.len() });
        }
        match (entry == index, len) {
            (true, 0) => break,
            (true, _) => return Ok(Some((Encoding::from_byte(rest.get_u8()), rest.split_to(len)))),
            (false, 0) => {}
            (false, _) => rest.advance(needed),
        }
    }
    Ok(None)
}

fn uvarint(rest: &mut Bytes, total: usize) -> Result<usize, ChunkError> {
    let offset = total - rest.len();
    let mut value = 0_usize;
    for shift in (0..).step_by(7) {
        let what = "aggregate length";
        if rest.is_empty() {
            return Err(ChunkError::Truncated { what, offset, needed: shift / 7 + 1, left: shift / 7 });
        }
        let byte = rest.get_u8();
        if shift > 28 {
            let expected = "at most five bytes";
            return Err(ChunkError::Invalid { what, offset, found: byte.into(), expected });
        }
        value |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    Ok(value)
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
        let got = aggr_chunk(&stored(Encoding::FloatHistogram, b"abc"), &[Aggr::Count]).unwrap();
        let raw = got.raw.unwrap();
        assert_eq!((raw.r#type, &raw.data[..], raw.hash), (2, &b"abc"[..], xxh64(b"abc", 0)));
        assert!(got.count.is_none());
    }

    #[test]
    fn a_downsampled_chunk_is_taken_apart() {
        // count "ab", sum and min absent, max "c", counter "de"
        let chunk = stored(Encoding::Aggregate, b"\x02\x01ab\x00\x00\x01\x01c\x02\x03de");
        let got = aggr_chunk(&chunk, &[Aggr::Raw, Aggr::Count, Aggr::Max, Aggr::Counter]).unwrap();
        let data = |c: Option<Chunk>| c.map(|c| (c.r#type, c.data.to_vec()));
        assert_eq!(data(got.count), Some((0, b"ab".to_vec())));
        assert_eq!(data(got.max), Some((0, b"c".to_vec())));
        assert_eq!(data(got.counter), Some((2, b"de".to_vec())));
        assert_eq!((got.raw, got.sum, got.min), (None, None, None));
        let error = aggr_chunk(&chunk, &[Aggr::Min]).unwrap_err();
        assert_eq!(error, ConvertError::NoAggregate("min"));
    }

    #[test]
    fn every_truncation_is_an_error() {
        let whole = b"\x02\x01ab\x00\x00\x01\x01c\x02\x03de";
        for len in 0..whole.len() {
            assert!(aggr_chunk(&stored(Encoding::Aggregate, &whole[..len]), &[Aggr::Counter]).is_err());
        }
        let huge = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        assert!(aggr_chunk(&stored(Encoding::Aggregate, huge), &[Aggr::Count]).is_err());
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
