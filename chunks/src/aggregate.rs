//! AGGR chunks (encoding 0xff): five sub-chunks of a downsampled block. Thanos `pkg/compact/downsample/aggr.go`.
//!
//! For count, sum, min, max and counter in this order: `uvarint len`, and where `len` is not 0 `u8 encoding, len
//! bytes`. The length leaves the encoding byte out; 0 means absent.

use crate::reader::put_uvarint;
use crate::{ChunkError, Encoding, Reader};

/// What a sub-chunk aggregates over each window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Aggregate {
    /// Number of samples.
    Count = 0,
    /// Their sum.
    Sum = 1,
    /// The smallest.
    Min = 2,
    /// The largest.
    Max = 3,
    /// The last one, as of a counter, with resets told by decreases.
    Counter = 4,
}

impl Aggregate {
    /// All of them, in the order they are stored.
    pub const ALL: [Aggregate; 5] =
        [Aggregate::Count, Aggregate::Sum, Aggregate::Min, Aggregate::Max, Aggregate::Counter];

    /// The word for it in Thanos: `count`, `sum`, `min`, `max`, `counter`.
    pub const fn name(self) -> &'static str {
        match self {
            Aggregate::Count => "count",
            Aggregate::Sum => "sum",
            Aggregate::Min => "min",
            Aggregate::Max => "max",
            Aggregate::Counter => "counter",
        }
    }
}

/// A parsed AGGR chunk: slices of its sub-chunks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AggregateChunk<'a> {
    parts: [Option<(Encoding, &'a [u8])>; 5],
}

impl<'a> AggregateChunk<'a> {
    /// Parses the data of an AGGR chunk. Bytes behind the fifth sub-chunk are ignored.
    ///
    /// Fails when any of the five does not fit. Upstream reads no further than the aggregate asked for, and takes
    /// an absent last one for an error; here that is merely absent.
    pub fn parse(data: &'a [u8]) -> Result<AggregateChunk<'a>, ChunkError> {
        let mut reader = Reader::new(data);
        let mut parts = [None; 5];
        for part in &mut parts {
            *part = read_part(&mut reader)?;
        }
        Ok(AggregateChunk { parts })
    }

    /// Finds one aggregate in the data of an AGGR chunk, and reads no further. As upstream, a chunk that ends right behind
    /// an absent aggregate that was asked for is truncated.
    ///
    /// Fails when what lies before the aggregate or the aggregate itself does not fit.
    pub fn find(data: &'a [u8], aggregate: Aggregate) -> Result<Option<(Encoding, &'a [u8])>, ChunkError> {
        let mut reader = Reader::new(data);
        for _ in 0..aggregate as usize {
            read_part(&mut reader)?;
        }
        let found = read_part(&mut reader)?;
        if found.is_none() {
            reader.clone().u8("aggregate")?;
        }
        Ok(found)
    }

    /// Encoding and data of one aggregate; `None` when it is absent.
    pub fn get(&self, aggregate: Aggregate) -> Option<(Encoding, &'a [u8])> {
        self.parts[aggregate as usize]
    }

    /// Whether the chunk stands for histograms: its counter is made of them.
    pub fn is_histogram(&self) -> bool {
        self.get(Aggregate::Counter).is_some_and(|(encoding, _)| encoding.is_histogram())
    }

    /// The data of an AGGR chunk with these sub-chunks, in the order of [`Aggregate::ALL`]; one without bytes is
    /// written as absent.
    pub fn encode(parts: &[Option<(Encoding, &[u8])>; 5]) -> Vec<u8> {
        let mut out = Vec::with_capacity(parts.iter().flatten().map(|part| part.1.len() + 4).sum());
        for part in parts {
            match part {
                Some((encoding, data)) if !data.is_empty() => {
                    put_uvarint(data.len() as u64, &mut out);
                    out.push(encoding.byte());
                    out.extend_from_slice(data);
                }
                _ => out.push(0),
            }
        }
        out
    }
}

fn read_part<'a>(reader: &mut Reader<'a>) -> Result<Option<(Encoding, &'a [u8])>, ChunkError> {
    let len = reader.uvarint("aggregate length")?;
    if len == 0 {
        return Ok(None);
    }
    let encoding = Encoding::from_byte(reader.u8("aggregate encoding")?);
    Ok(Some((encoding, reader.take_u64(len, "aggregate")?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample_count;

    #[test]
    fn only_an_empty_count() {
        let bytes = AggregateChunk::encode(&[Some((Encoding::Xor, &[0, 0])), None, None, None, None]);
        assert_eq!(bytes, [2, 1, 0, 0, 0, 0, 0, 0]);
        let chunk = AggregateChunk::parse(&bytes).unwrap();
        assert_eq!(chunk.get(Aggregate::Count), Some((Encoding::Xor, &[0u8, 0][..])));
        assert_eq!(chunk.get(Aggregate::Counter), None);
        assert_eq!(sample_count(Encoding::Aggregate, &bytes), Ok(0));
        for len in 0..bytes.len() {
            assert!(AggregateChunk::parse(&bytes[..len]).is_err());
        }
    }

    #[test]
    fn find_reads_no_further_than_it_must() {
        let bytes = AggregateChunk::encode(&[Some((Encoding::Xor, &[0, 9])), None, None, None, None]);
        assert_eq!(
            AggregateChunk::find(&bytes[..4], Aggregate::Count),
            Ok(Some((Encoding::Xor, &[0u8, 9][..])))
        );
        assert!(AggregateChunk::find(&bytes[..3], Aggregate::Count).is_err());
        assert_eq!(AggregateChunk::find(&bytes, Aggregate::Min), Ok(None));
        // As upstream, nothing may follow an absent one but more entries.
        assert!(AggregateChunk::find(&bytes, Aggregate::Counter).is_err());
        assert!(AggregateChunk::find(&bytes[..6], Aggregate::Min).is_err());
    }
}
