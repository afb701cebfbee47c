//! A chunk as it lies in a segment, when only its place is known.

use bytes::Bytes;
use tithon_chunks::{ChunkError, ChunkMeta, ChunkRecord, EncodedChunk, Reader};

/// Bytes that the length field of a record may take.
const LENGTH_BYTES_MAX: usize = 5;
const CRC_BYTES: u64 = 4;

/// The size of the whole record that begins `bytes`; `None` when they are too few to tell. A length that is none
/// counts as if the record took all of `bytes`: [`chunk`] says what is wrong.
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
