//! Whether a block is what its meta.json and index promise. Thanos `pkg/block/index.go`.

use serde::Serialize;
use tithon_chunks::{ChunkMeta, Encoding, Sample, TimeRange, decode_exact};
use tithon_index::{IndexError, PostingsPlan, SeriesDecoder, SeriesEntry};

use crate::{Block, BlockError, BlockFile, FileRange, record};

/// What a walk over a whole block found; serialises to one JSON object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Health {
    /// Series walked.
    pub series: u64,
    /// Chunks walked.
    pub chunks: u64,
    /// Samples decoded; aggregates and unknown encodings count nothing.
    pub samples: u64,
    /// Series whose labels do not come after those of the series before.
    pub series_out_of_order: u64,
    /// Series without labels or without chunks.
    pub empty_series: u64,
    /// Series whose label names do not ascend.
    pub labels_out_of_order: u64,
    /// Chunks that begin before the one before them has ended.
    pub chunks_out_of_order: u64,
    /// Chunks with exactly the range of the one before.
    pub duplicated_chunks: u64,
    /// Chunks that reach out of the block's time, its end included.
    pub outside_chunks: u64,
    /// Of these, chunks that lie wholly outside.
    pub completely_outside_chunks: u64,
    /// Chunks that begin at the block's end and reach beyond it, as Prometheus once wrote them.
    pub issue_347_outside_chunks: u64,
    /// Chunks whose first or last sample is not where the index says, or whose samples do not ascend.
    pub chunks_with_wrong_times: u64,
}

impl Health {
    /// Whether a compactor may touch the block. Duplicated chunks do no harm.
    pub fn is_sound(&self) -> bool {
        let faults = [
            self.series_out_of_order,
            self.empty_series,
            self.labels_out_of_order,
            self.chunks_out_of_order,
            self.outside_chunks,
            self.chunks_with_wrong_times,
        ];
        faults.iter().all(|n| *n == 0)
    }
}

/// Walks the block: every entry and every chunk is read, its checksum verified and its samples decoded. Damage is an
/// error that names the place; what is merely wrong is counted.
pub fn verify(block: &Block) -> Result<Health, BlockError> {
    let failed = |source: IndexError| BlockError::Index { block: block.id(), source };
    let plan = PostingsPlan::new(block.header(), &[], 0).map_err(failed)?;
    let range = |r: &std::ops::Range<u64>| FileRange {
        file: BlockFile::Index,
        start: r.start,
        len: r.end.saturating_sub(r.start),
    };
    let ranges: Vec<FileRange> = plan.ranges().iter().map(range).collect();
    let postings = plan.resolve(&block.read(&ranges)?).map_err(failed)?;
    let mut decoder = SeriesDecoder::new(block.header());
    let (mut entry, mut health) = (SeriesEntry::default(), Health::default());
    let mut last_labels = None;
    let mut samples = Vec::new();
    for id in postings.iter() {
        let start = block.header().series_offset(id);
        let bytes = block.read(&[FileRange { file: BlockFile::Index, start, len: u64::MAX }])?.remove(0);
        entry.decode(&bytes, start, TimeRange::ALL).map_err(failed)?;
        let pairs = decoder.pairs(&entry).map_err(failed)?;
        health.labels_out_of_order += u64::from(!pairs.is_sorted_by(|a, b| a.0 < b.0));
        health.empty_series += u64::from(pairs.is_empty() || entry.chunks.is_empty());
        let labels = decoder.labels(&entry).map_err(failed)?;
        health.series_out_of_order += u64::from(last_labels.as_ref().is_some_and(|last| *last >= labels));
        last_labels = Some(labels);
        health.series += 1;
        health.count_places(&entry.chunks, block.meta().min_time, block.meta().max_time);
        for meta in &entry.chunks {
            health.read_chunk(block, meta, &mut samples)?;
        }
    }
    block.check()?;
    Ok(health)
}

impl Health {
    fn count_places(&mut self, chunks: &[ChunkMeta], min: i64, max: i64) {
        self.chunks += chunks.len() as u64;
        for chunk in chunks {
            let (from, to) = (chunk.min_time.0, chunk.max_time.0);
            if from < min || to > max {
                self.outside_chunks += 1;
                self.completely_outside_chunks += u64::from(from > max || to < min);
                self.issue_347_outside_chunks += u64::from(from == max);
            }
        }
        for pair in chunks.windows(2) {
            if pair[0].range() == pair[1].range() {
                self.duplicated_chunks += 1;
            } else if pair[1].min_time <= pair[0].max_time {
                self.chunks_out_of_order += 1;
            }
        }
    }

    fn read_chunk(
        &mut self,
        block: &Block,
        meta: &ChunkMeta,
        samples: &mut Vec<Sample>,
    ) -> Result<(), BlockError> {
        let file = BlockFile::Segment(meta.chunk_ref.segment());
        let offset = u64::from(meta.chunk_ref.offset());
        let bytes = block.read(&[FileRange { file, start: offset, len: u64::MAX }])?.remove(0);
        let at_fault = |source| BlockError::Chunk { block: block.id(), file, offset, source };
        let chunk = record::chunk(&bytes, meta).map_err(at_fault)?;
        if matches!(chunk.encoding, Encoding::Aggregate | Encoding::Unknown(_)) {
            return Ok(());
        }
        samples.clear();
        decode_exact(chunk.encoding, &chunk.data, samples).map_err(at_fault)?;
        self.samples += samples.len() as u64;
        let ends = samples.first().map(|s| s.t) == Some(meta.min_time)
            && samples.last().map(|s| s.t) == Some(meta.max_time);
        let sound = ends && samples.is_sorted_by(|a, b| a.t < b.t);
        self.chunks_with_wrong_times += u64::from(!sound);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tithon_testdata::shared;

    use super::*;

    #[test]
    fn golden_blocks_are_sound() {
        for name in ["blocks/xor-shapes", "blocks/histograms-st", "blocks/xor2-st", "downsample/long/5m"] {
            let block = Block::open(shared(&format!("testdata/{name}"))).unwrap();
            let health = verify(&block).unwrap();
            assert!(health.is_sound(), "{name}: {health:?}");
            let stats = block.meta().stats;
            assert_eq!((health.series, health.chunks), (stats.num_series, stats.num_chunks), "{name}");
        }
    }

    #[test]
    fn places_are_counted() {
        let chunk = |min: i64, max: i64| ChunkMeta {
            min_time: tithon_chunks::Timestamp(min),
            max_time: tithon_chunks::Timestamp(max),
            chunk_ref: tithon_chunks::ChunkRef(0),
        };
        let mut health = Health::default();
        let chunks = [
            chunk(-5, -1),
            chunk(-1, 5),
            chunk(3, 9),
            chunk(3, 9),
            chunk(10, 10),
            chunk(10, 12),
            chunk(20, 30),
        ];
        health.count_places(&chunks, 0, 10);
        assert_eq!(health.outside_chunks, 4);
        assert_eq!(health.completely_outside_chunks, 2);
        assert_eq!(health.issue_347_outside_chunks, 1);
        assert_eq!(health.duplicated_chunks, 1);
        assert_eq!(health.chunks_out_of_order, 3);
        assert!(!health.is_sound());
    }
}
