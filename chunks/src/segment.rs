//! Segment files (`chunks/000001`): reading chunks as slices, writing records, deciding where a file ends.
//!
//! A file is `be32 0x85bd40dd, u8 1, 3 zero bytes`, then records back to back:
//! `uvarint len, u8 encoding, len bytes, be32 crc32c(encoding + bytes)`. Prometheus `tsdb/chunks/chunks.go`.

mod cutter;

use bytes::Bytes;

use crate::reader::put_uvarint;
use crate::{ChunkError, Encoding, Reader, crc32c};

pub use cutter::{Placement, SegmentCutter};

/// Size of the segment header, in bytes; the first record starts there.
pub const SEGMENT_HEADER_BYTES: usize = 8;
/// The header every segment file starts with.
pub const SEGMENT_HEADER: [u8; SEGMENT_HEADER_BYTES] = [0x85, 0xbd, 0x40, 0xdd, 1, 0, 0, 0];
/// What Prometheus and Thanos cut segments at by default: 512 MiB.
pub const SEGMENT_BYTES_MAX: u64 = 512 << 20;

const MAGIC: u32 = 0x85bd_40dd;
/// Bytes that the length field of a record may take.
const LENGTH_BYTES_MAX: usize = 5;

/// An open segment file; chunks are handed out as slices of its bytes.
#[derive(Clone, Debug)]
pub struct SegmentReader {
    bytes: Bytes,
}

impl SegmentReader {
    /// Opens the bytes of a whole segment file. Only magic and version are looked at.
    pub fn open(bytes: Bytes) -> Result<SegmentReader, ChunkError> {
        let mut reader = Reader::new(&bytes);
        let magic = reader.u32_be("segment magic")?;
        if magic != MAGIC {
            let found = u64::from(magic);
            return Err(ChunkError::Invalid {
                what: "segment magic",
                offset: 0,
                found,
                expected: "0x85bd40dd",
            });
        }
        let version = reader.u8("segment version")?;
        if version != 1 {
            let found = u64::from(version);
            return Err(ChunkError::Invalid { what: "segment version", offset: 4, found, expected: "1" });
        }
        reader.take(3, "segment header")?;
        Ok(SegmentReader { bytes })
    }

    /// All bytes of the file.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Encoding and data of the chunk whose length field is at byte `offset`, its checksum verified.
    pub fn chunk(&self, offset: u32) -> Result<(Encoding, Bytes), ChunkError> {
        let record = self.record(offset)?;
        record.verify(u64::from(offset))?;
        Ok((record.encoding, record.data))
    }

    /// The whole record at byte `offset`, its checksum not verified yet.
    pub fn record(&self, offset: u32) -> Result<ChunkRecord, ChunkError> {
        ChunkRecord::parse(&self.bytes, offset as usize)
    }
}

/// A chunk as it lies in a segment file.
#[derive(Clone, Debug)]
pub struct ChunkRecord {
    /// How `data` is encoded.
    pub encoding: Encoding,
    /// The chunk's data.
    pub data: Bytes,
    /// The checksum stored behind the data.
    pub stored_crc: u32,
    /// Length field, encoding byte, data and checksum: what a verbatim copy writes.
    pub raw: Bytes,
}

impl ChunkRecord {
    /// [`RecordSlice::parse`], with slices that keep `bytes`.
    pub fn parse(bytes: &Bytes, at: usize) -> Result<ChunkRecord, ChunkError> {
        let RecordSlice { encoding, data, stored_crc, raw } = RecordSlice::parse(bytes, at)?;
        Ok(ChunkRecord { encoding, data: bytes.slice_ref(data), stored_crc, raw: bytes.slice_ref(raw) })
    }

    /// As [`RecordSlice::verify`].
    pub fn verify(&self, offset: u64) -> Result<(), ChunkError> {
        let ChunkRecord { encoding, ref data, stored_crc, ref raw } = *self;
        RecordSlice { encoding, data, stored_crc, raw }.verify(offset)
    }
}

/// A chunk in bytes that are borrowed.
#[derive(Clone, Copy, Debug)]
pub struct RecordSlice<'b> {
    /// How `data` is encoded.
    pub encoding: Encoding,
    /// The chunk's data.
    pub data: &'b [u8],
    /// The checksum stored behind the data.
    pub stored_crc: u32,
    /// Length field, encoding byte, data and checksum.
    pub raw: &'b [u8],
}

impl<'b> RecordSlice<'b> {
    /// Parses the record that starts `at` bytes into `bytes`, which may be any part of a file.
    ///
    /// [`ChunkError::Truncated`] tells how many bytes it would take when the part is too short.
    pub fn parse(bytes: &'b [u8], at: usize) -> Result<RecordSlice<'b>, ChunkError> {
        let truncated = |what, needed| ChunkError::Truncated {
            what,
            offset: at,
            needed,
            left: bytes.len().saturating_sub(at),
        };
        let rest = bytes.get(at..).ok_or_else(|| truncated("chunk record", 1))?;
        let field = &rest[..rest.len().min(LENGTH_BYTES_MAX)];
        let mut reader = Reader::new(field);
        let len = match reader.uvarint("chunk length") {
            Ok(len) => len,
            Err(_) if field.len() == LENGTH_BYTES_MAX => {
                let found = field.iter().fold(0, |acc, b| acc << 8 | u64::from(*b));
                let expected = "a varint of at most 5 bytes";
                return Err(ChunkError::Invalid { what: "chunk length", offset: at, found, expected });
            }
            Err(_) => return Err(truncated("chunk length", LENGTH_BYTES_MAX)),
        };
        let data_start = reader.offset() + 1;
        let record_len = usize::try_from(len).ok().and_then(|len| len.checked_add(data_start + 4));
        let record_len = record_len.ok_or_else(|| truncated("chunk record", usize::MAX))?;
        if record_len > rest.len() {
            return Err(truncated("chunk record", record_len));
        }
        let crc_start = record_len - 4;
        let stored_crc = Reader::new(&rest[crc_start..]).u32_be("chunk checksum")?;
        Ok(RecordSlice {
            encoding: Encoding::from_byte(rest[data_start - 1]),
            data: &rest[data_start..crc_start],
            stored_crc,
            raw: &rest[..record_len],
        })
    }

    /// Compares the stored checksum with the bytes; `offset` is the record's place in its file, for the error.
    pub fn verify(&self, offset: u64) -> Result<(), ChunkError> {
        let end = self.raw.len() - 4;
        let got = crc32c(&self.raw[end - self.data.len() - 1..end]);
        if got == self.stored_crc {
            return Ok(());
        }
        Err(ChunkError::Checksum { what: "chunk", offset, got, expected: self.stored_crc })
    }
}

/// Appends the record of a chunk to `out` and returns its length in bytes.
pub fn put_record(encoding: Encoding, data: &[u8], out: &mut Vec<u8>) -> usize {
    let start = out.len();
    put_uvarint(data.len() as u64, out);
    let checked = out.len();
    out.push(encoding.byte());
    out.extend_from_slice(data);
    let crc = crc32c(&out[checked..]);
    out.extend_from_slice(&crc.to_be_bytes());
    out.len() - start
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: [u8; 40] = [
        0x00, 0x06, 0x80, 0xa0, 0xab, 0xfe, 0xf9, 0x62, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0, 0x98, 0x75, 0x30, 0x9b,
        0xff, 0xf8, 0x00, 0x7d, 0xa1, 0x77, 0xff, 0x33, 0x84, 0x00, 0x38, 0xbd, 0xff, 0xc0, 0, 0, 0, 0, 0, 8,
    ];

    fn segment() -> Vec<u8> {
        let mut file = SEGMENT_HEADER.to_vec();
        put_record(Encoding::Xor, &EXAMPLE, &mut file);
        put_record(Encoding::Unknown(77), b"abc", &mut file);
        file
    }

    #[test]
    fn golden_file_of_one_chunk() {
        let file = segment();
        assert_eq!(&file[8..10], &[0x28, 0x01]);
        assert_eq!(&file[50..54], &[0x48, 0x1d, 0x20, 0x14]);
        let reader = SegmentReader::open(file.clone().into()).unwrap();
        let (encoding, data) = reader.chunk(8).unwrap();
        assert_eq!((encoding, &data[..]), (Encoding::Xor, &EXAMPLE[..]));
        assert_eq!(reader.record(8).unwrap().raw[..], file[8..54]);
        assert_eq!(reader.chunk(54).unwrap(), (Encoding::Unknown(77), Bytes::from_static(b"abc")));
    }

    #[test]
    fn every_cut_and_every_flip_is_an_error() {
        let file = segment();
        for len in 0..file.len() {
            let Ok(reader) = SegmentReader::open(file[..len].to_vec().into()) else { continue };
            assert!(reader.chunk(54).is_err(), "{len}");
        }
        for bit in 54 * 8..file.len() * 8 {
            let mut damaged = file.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentReader::open(damaged.into()).unwrap().chunk(54).is_err(), "bit {bit}");
        }
        let reader = SegmentReader::open(file.into()).unwrap();
        for offset in [62, 1000, u32::MAX] {
            assert!(reader.chunk(offset).is_err());
        }
    }

    #[test]
    fn a_wrong_header_is_refused() {
        for at in 0..5 {
            let mut header = SEGMENT_HEADER;
            header[at] ^= 4;
            assert!(SegmentReader::open(header.to_vec().into()).is_err());
        }
        let huge = [&SEGMENT_HEADER[..], &[0xff; 9]].concat();
        assert!(SegmentReader::open(huge.into()).unwrap().chunk(8).is_err());
    }
}
