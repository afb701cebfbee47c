//! A block in numbers: those of meta.json, and those that a walk over the block finds.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tithon_chunks::{EncodedChunk, Encoding, TimeRange, sample_count};

use crate::{Block, BlockError, Select, SelectRequest, Step, Tombstones};

/// A block in numbers; serialises to one JSON object.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspection {
    /// The block's id.
    pub ulid: String,
    /// The first millisecond inside.
    pub min_time: i64,
    /// The first millisecond after it.
    pub max_time: i64,
    /// The resolution in milliseconds; 0 for a raw block.
    pub resolution_ms: i64,
    /// The compaction level, 1 for a block that was not compacted.
    pub level: i64,
    /// The number of level-1 blocks that were merged into the block.
    pub sources: usize,
    /// The program that made the block, as Thanos names it.
    pub source: String,
    /// External labels.
    pub labels: BTreeMap<String, String>,
    /// Series found.
    pub series: u64,
    /// Samples found, as counted by the headers of the chunks; of a downsampled block, its aggregates.
    pub samples: u64,
    /// Chunks found.
    pub chunks: u64,
    /// Bytes of the index.
    pub index_bytes: u64,
    /// Bytes of all segments.
    pub segment_bytes: u64,
    /// Number of segments.
    pub segments: usize,
    /// The number of strings in the index.
    pub symbols: usize,
    /// The number of label names.
    pub label_names: usize,
    /// The number of deleted intervals in the tombstones file.
    pub tombstones: usize,
    /// Counts of chunks by the name of their encoding.
    pub encodings: BTreeMap<String, EncodingCount>,
    /// The labels with the most values, most first; at most 10.
    pub widest_labels: Vec<(String, usize)>,
}

/// Chunks of one encoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EncodingCount {
    /// The number of chunks.
    pub chunks: u64,
    /// The number of samples in them.
    pub samples: u64,
    /// The bytes of their data.
    pub bytes: u64,
}

const WIDEST_LABELS: usize = 10;

/// Walks the whole block; every chunk is read and its checksum verified. Deletions are not applied.
pub fn inspect(block: &Block) -> Result<Inspection, BlockError> {
    let failed = |source| BlockError::Index { block: block.id(), source };
    let (header, meta) = (block.header(), block.meta());
    let mut widest = Vec::new();
    for name in header.label_names().map_err(failed)? {
        let values = header.n_label_values(name).map_err(failed)?;
        widest.push((String::from_utf8_lossy(name).into_owned(), values));
    }
    let label_names = widest.len();
    widest.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    widest.truncate(WIDEST_LABELS);
    let (series, encodings) = walk(block)?;
    let thanos = meta.thanos.as_ref();
    Ok(Inspection {
        ulid: block.id().to_string(),
        min_time: meta.min_time,
        max_time: meta.max_time,
        resolution_ms: meta.resolution_ms(),
        level: meta.compaction.level,
        sources: meta.compaction.sources.len(),
        source: thanos.map(|t| t.source.to_string()).unwrap_or_default(),
        labels: thanos.map(|t| t.labels.clone()).unwrap_or_default(),
        series,
        samples: encodings.values().map(|e| e.samples).sum(),
        chunks: encodings.values().map(|e| e.chunks).sum(),
        index_bytes: block.index().len() as u64,
        segment_bytes: block.segments().iter().map(|s| s.len() as u64).sum(),
        segments: block.segments().len(),
        symbols: header.symbols().len(),
        label_names,
        tombstones: block.tombstones().len(),
        encodings,
        widest_labels: widest,
    })
}

fn walk(block: &Block) -> Result<(u64, BTreeMap<String, EncodingCount>), BlockError> {
    let request = SelectRequest::new(Vec::new(), TimeRange::ALL);
    let nothing_deleted = Arc::new(Tombstones::default());
    let mut select = Select::new(block.meta(), Arc::clone(block.header()), nothing_deleted, request);
    let (mut series, mut encodings) = (0, BTreeMap::<String, EncodingCount>::new());
    let mut fetched = Vec::new();
    loop {
        match select.step(std::mem::take(&mut fetched))? {
            Step::Fetch(ranges) => fetched = block.read(&ranges)?,
            Step::Batch(batch) => {
                series += batch.series.len() as u64;
                for chunk in batch.series.iter().flat_map(|s| &s.chunks) {
                    let count = encodings.entry(name(chunk.encoding)).or_default();
                    count.chunks += 1;
                    count.samples += samples(chunk);
                    count.bytes += chunk.data.len() as u64;
                }
            }
            Step::Done => return Ok((series, encodings)),
        }
    }
}

/// The count in the chunk's header; 0 if it cannot be read.
fn samples(chunk: &EncodedChunk) -> u64 {
    sample_count(chunk.encoding, &chunk.data).unwrap_or(0) as u64
}

/// Upstream's name of the encoding.
fn name(encoding: Encoding) -> String {
    match encoding {
        Encoding::Xor => "XOR".into(),
        Encoding::Histogram => "histogram".into(),
        Encoding::FloatHistogram => "floathistogram".into(),
        Encoding::Xor2 => "XOR2".into(),
        Encoding::HistogramSt => "histogramST".into(),
        Encoding::FloatHistogramSt => "floathistogramST".into(),
        Encoding::Aggregate => "AGGR".into(),
        Encoding::Unknown(byte) => format!("unknown ({byte})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_agree_with_meta_json() {
        for name in
            ["blocks/xor-shapes", "blocks/histograms-st", "blocks/multi-segment", "downsample/long/5m"]
        {
            let block = Block::open(tithon_testdata::shared(&format!("testdata/{name}"))).unwrap();
            let found = inspect(&block).unwrap();
            let stats = block.meta().stats;
            let ours = (found.series, found.chunks, found.samples);
            assert_eq!(ours, (stats.num_series, stats.num_chunks, stats.num_samples), "{name}");
            assert!(found.widest_labels.is_sorted_by(|a, b| a.1 >= b.1));
        }
    }
}
