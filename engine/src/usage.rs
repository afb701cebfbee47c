//! The share of each metric in a block, computed from the entries of its index alone.

use std::collections::HashMap;

use serde::Serialize;
use tithon_chunks::{ChunkRef, SEGMENT_HEADER_BYTES};
use tithon_index::{METRIC_NAME, SeriesDecoder};

use crate::compact::InputBlock;
use crate::{BlockError, walk};

/// The share of a metric in a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Number of series.
    pub series: u64,
    /// Series whose chunks span less than half of the block's time.
    pub short_lived: u64,
    /// Number of chunks.
    pub chunks: u64,
    /// Bytes of the chunks, measured by the distances of their beginnings, so that bytes between chunks count too.
    pub bytes: u64,
}

impl Usage {
    /// Adds another's counts.
    pub fn add(&mut self, other: Usage) {
        self.series += other.series;
        self.short_lived += other.short_lived;
        self.chunks += other.chunks;
        self.bytes += other.bytes;
    }
}

/// The share of each metric in a block, by name; series without a name are under the empty name. `segment_bytes` are
/// the sizes of the segments. Reads the index and no chunk.
pub fn usage_by_metric(
    source: InputBlock<'_>,
    segment_bytes: &[u64],
) -> Result<HashMap<Vec<u8>, Usage>, BlockError> {
    let (header, block) = (std::sync::Arc::clone(&source.header), source.meta.ulid);
    let half = source.meta.max_time.saturating_sub(source.meta.min_time) / 2;
    let mut decoder = SeriesDecoder::new(&header);
    let mut found: HashMap<Vec<u8>, Usage> = HashMap::new();
    // The chunk before, with its metric: the chunk ends where the next one begins.
    let mut last: Option<(ChunkRef, Vec<u8>)> = None;
    walk(source, |_, entry| {
        let entry = entry?;
        let pairs = decoder.pairs(entry).map_err(BlockError::index(block))?;
        let metric = pairs.iter().find(|(name, _)| *name == METRIC_NAME).map_or(&[][..], |(_, value)| value);
        let (first, end) = (entry.chunks.first(), entry.chunks.last());
        let span = first.zip(end).map_or(0, |(first, end)| end.max_time.0.saturating_sub(first.min_time.0));
        let of_metric = match found.get_mut(metric) {
            Some(usage) => usage,
            None => found.entry(metric.to_vec()).or_default(),
        };
        of_metric.series += 1;
        of_metric.short_lived += u64::from(span < half);
        of_metric.chunks += entry.chunks.len() as u64;
        for chunk in &entry.chunks {
            let next = chunk.chunk_ref;
            if let Some((before, owner)) = last.take() {
                let bytes = bytes_between(before, Some(next), segment_bytes);
                found.entry(owner).or_default().bytes += bytes;
            }
            last = Some((next, metric.to_vec()));
        }
        Ok::<_, BlockError>(())
    })?;
    if let Some((before, owner)) = last {
        found.entry(owner).or_default().bytes += bytes_between(before, None, segment_bytes);
    }
    Ok(found)
}

/// The bytes from a chunk to the next one, or to the end of its segment; 0 if the chunks do not lie in this order.
fn bytes_between(chunk: ChunkRef, next: Option<ChunkRef>, segment_bytes: &[u64]) -> u64 {
    let begin = u64::from(chunk.offset());
    let end = match next {
        Some(next) if next.segment() == chunk.segment() => u64::from(next.offset()),
        _ => segment_bytes.get(chunk.segment() as usize).copied().unwrap_or(SEGMENT_HEADER_BYTES as u64),
    };
    end.saturating_sub(begin)
}

#[cfg(test)]
mod tests {
    use tithon_testdata::shared;

    use super::*;
    use crate::Block;

    #[test]
    fn bytes_and_series_add_up_to_the_block() {
        for name in ["xor-shapes", "multi-segment", "wide"] {
            let block = Block::open(shared(&format!("testdata/blocks/{name}"))).unwrap();
            let sizes: Vec<u64> = block.segments().iter().map(|bytes| bytes.len() as u64).collect();
            let found = usage_by_metric(InputBlock::from(&block), &sizes).unwrap();
            let mut all = Usage::default();
            found.values().for_each(|usage| all.add(*usage));
            let stats = block.meta().stats;
            assert_eq!((all.series, all.chunks), (stats.num_series, stats.num_chunks), "{name}");
            let headers = SEGMENT_HEADER_BYTES as u64 * sizes.len() as u64;
            assert_eq!(all.bytes, sizes.iter().sum::<u64>() - headers, "{name}");
            assert!(all.short_lived <= all.series);
        }
    }
}
