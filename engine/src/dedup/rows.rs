//! Replicas found by overlap: chunks of one label set are dealt into rows in which none overlaps the one before.

use tithon_chunks::EncodedChunk;

/// Deals chunks, ascending by first time, each into the first row whose last chunk ends before it begins. Thanos
/// `pkg/dedup/iter.go`, `overlapSplitSet`: a replica is whatever overlaps, not what a label says.
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
