//! Finds replicas by overlap: distributes the chunks of one label set over rows in which no chunk overlaps the one
//! before.

use tithon_chunks::EncodedChunk;

/// Puts each chunk (they ascend by first time) into the first row whose last chunk ends before it begins. Thanos
/// `pkg/dedup/iter.go`, `overlapSplitSet`: overlaps make replicas, not labels.
pub(super) fn split_overlaps(chunks: &[EncodedChunk]) -> Vec<Vec<&EncodedChunk>> {
    let mut rows: Vec<Vec<&EncodedChunk>> = Vec::new();
    for chunk in chunks {
        let fits = |row: &Vec<&EncodedChunk>| row.last().is_none_or(|last| last.max_time < chunk.min_time);
        match rows.iter_mut().position(|row| fits(row)) {
            Some(i) => rows[i].push(chunk),
            None => rows.push(vec![chunk]),
        }
    }
    rows
}
