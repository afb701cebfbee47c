//! Chunks as records of a segment, found by their offsets.

use bytes::Bytes;
use tithon_chunks::{ChunkError, ChunkMeta, ChunkRecord, EncodedChunk, Encoding, Reader, crc32c};

/// The most bytes of a record's length field.
const LENGTH_BYTES_MAX: usize = 5;
const CRC_BYTES: u64 = 4;

/// The size of the whole record at the beginning of `bytes`; `None` when there are too few bytes. For a malformed
/// length, the size is that of `bytes`; [`chunk`] then returns the error.
pub(crate) fn size(bytes: &[u8]) -> Option<u64> {
    let mut reader = Reader::new(&bytes[..bytes.len().min(LENGTH_BYTES_MAX)]);
    match reader.uvarint("chunk length") {
        Ok(len) => Some(reader.offset() as u64 + 1 + len + CRC_BYTES),
        Err(_) if bytes.len() >= LENGTH_BYTES_MAX => Some(bytes.len() as u64),
        Err(_) => None,
    }
}

/// The chunk of a whole record, its checksum verified; the data is a slice of `bytes`.
pub(crate) fn chunk(bytes: &Bytes, meta: &ChunkMeta) -> Result<EncodedChunk, ChunkError> {
    let record = ChunkRecord::parse(bytes, 0)?;
    record.verify(u64::from(meta.chunk_ref.offset()))?;
    Ok(EncodedChunk {
        encoding: record.encoding,
        min_time: meta.min_time,
        max_time: meta.max_time,
        data: record.data,
    })
}

/// Encoding and data of a whole record at `offset` in its file; verifies the checksum.
pub(crate) fn verified(bytes: &[u8], offset: u64) -> Result<(Encoding, &[u8]), ChunkError> {
    let mut reader = Reader::new(bytes);
    let len = reader.uvarint("chunk length").ok().and_then(|len| usize::try_from(len).ok());
    let start = reader.offset();
    let checked = len.filter(|len| len.checked_add(start + 1 + CRC_BYTES as usize) == Some(bytes.len()));
    let Some(len) = checked else {
        // The length is malformed: parsing the record returns the error.
        let record = ChunkRecord::parse(&Bytes::copy_from_slice(bytes), 0)?;
        let (needed, left) = (record.raw.len(), bytes.len());
        return Err(ChunkError::Truncated { what: "chunk record", offset: offset as usize, needed, left });
    };
    let (body, stored) = bytes[start..].split_at(1 + len);
    let expected = Reader::new(stored).u32_be("chunk checksum")?;
    let got = crc32c(body);
    if got != expected {
        return Err(ChunkError::Checksum { what: "chunk", offset, got, expected });
    }
    Ok((Encoding::from_byte(body[0]), &body[1..]))
}
