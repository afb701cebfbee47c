//! Deletions applied to a chunk.

use tithon_chunks::{ChunkError, EncodedChunk, TimeRange};

/// The chunk without the samples inside `deleted`: itself where none is touched, `None` where none is left.
pub(crate) fn without(
    chunk: EncodedChunk,
    deleted: &[TimeRange],
) -> Result<Option<EncodedChunk>, ChunkError> {
    if deleted.iter().any(|d| d.covers(chunk.range())) {
        return Ok(None);
    }
    if deleted.iter().any(|d| d.overlaps(chunk.range())) {
        return Err(ChunkError::UnsupportedEncoding(chunk.encoding));
    }
    Ok(Some(chunk))
}
