//! A chunk as it lies in a segment: `uvarint length | encoding byte | data | CRC-32C of encoding byte and data`.

use bytes::Bytes;
use tithon_chunks::{ChunkError, ChunkMeta, EncodedChunk, Encoding};

/// Longest length there can be: five bytes of 7 bits.
const LENGTH_BYTES_MAX: usize = 5;
const CRC_BYTES: usize = 4;

/// The data's length and how many bytes tell it; `None` when `bytes` end too early or it is no length.
fn length(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for (i, byte) in bytes.iter().take(LENGTH_BYTES_MAX).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if *byte < 0x80 {
            return Some((value, i + 1));
        }
    }
    None
}

/// The size of the whole record that begins `bytes`; `None` when they are too few to tell. A length that is none
/// counts as if the record took all of `bytes`: [`chunk`] says what is wrong.
pub(crate) fn size(bytes: &[u8]) -> Option<u64> {
    match length(bytes) {
        Some((len, head)) => Some(head as u64 + 1 + len + CRC_BYTES as u64),
        None if bytes.len() >= LENGTH_BYTES_MAX => Some(bytes.len() as u64),
        None => None,
    }
}

/// The chunk of a whole record, its checksum verified; the data is a slice of `bytes`.
pub(crate) fn chunk(bytes: &Bytes, meta: &ChunkMeta) -> Result<EncodedChunk, ChunkError> {
    let offset = u64::from(meta.chunk_ref.offset());
    let Some((len, head)) = length(bytes) else {
        return Err(ChunkError::Invalid {
            what: "chunk length",
            offset: 0,
            found: u64::MAX,
            expected: "a number of at most five bytes",
        });
    };
    let end = usize::try_from(len).ok().and_then(|len| len.checked_add(head + 1 + CRC_BYTES));
    let Some(end) = end.filter(|end| *end <= bytes.len()) else {
        let needed = usize::try_from(len).unwrap_or(usize::MAX);
        return Err(ChunkError::Truncated { what: "chunk", offset: head, needed, left: bytes.len() - head });
    };
    let (covered, crc) = bytes[head..end].split_at(end - head - CRC_BYTES);
    let expected = u32::from_be_bytes([crc[0], crc[1], crc[2], crc[3]]);
    let got = crc32c::crc32c(covered);
    if got != expected {
        return Err(ChunkError::Checksum { what: "chunk", offset, got, expected });
    }
    Ok(EncodedChunk {
        encoding: Encoding::from_byte(covered[0]),
        min_time: meta.min_time,
        max_time: meta.max_time,
        data: bytes.slice(head + 1..end - CRC_BYTES),
    })
}
