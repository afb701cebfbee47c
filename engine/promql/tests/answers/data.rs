//! The series of the recorded answers' blocks, selected by plain filtering.

use std::collections::BTreeMap;

use tithon_chunks::{EncodedChunk, TimeRange};
use tithon_engine::{Block, SelectRequest};
use tithon_index::Labels;
use tithon_promql::{SelectInput, SelectSpec, Series, SeriesData};

/// All series with their chunks, ascending by labels.
pub(crate) struct Data {
    series: Vec<(Labels, Vec<EncodedChunk>)>,
}

impl Data {
    /// Reads the blocks that the recorded server had.
    pub(crate) fn open() -> Data {
        let replica = tithon_testdata::shared("answers/data/replica-a");
        let mut dirs: Vec<_> = std::fs::read_dir(replica)
            .expect("the blocks are listed")
            .map(|e| e.expect("an entry").path())
            .collect();
        dirs.sort();
        dirs.push(tithon_testdata::shared("testdata/blocks/real-2022"));
        let mut series: BTreeMap<Labels, Vec<EncodedChunk>> = BTreeMap::new();
        for dir in dirs {
            let block = Block::open(dir).expect("the block opens");
            for batch in block.select(SelectRequest::new(Vec::new(), TimeRange::ALL)) {
                for one in batch.expect("the block is whole").series {
                    series.entry(one.labels).or_default().extend(one.chunks);
                }
            }
        }
        for chunks in series.values_mut() {
            chunks.sort_by_key(|c| c.min_time);
        }
        Data { series: series.into_iter().collect() }
    }

    /// The series that match, with the chunks in the range.
    pub(crate) fn select(&self, spec: &SelectSpec) -> SelectInput {
        let mut out = Vec::new();
        for (labels, chunks) in &self.series {
            if !spec.matchers.iter().all(|m| m.matches(labels.get(m.name()).unwrap_or_default())) {
                continue;
            }
            let chunks: Vec<EncodedChunk> =
                chunks.iter().filter(|c| c.range().overlaps(spec.range)).cloned().collect();
            if !chunks.is_empty() {
                out.push(Ok(Series { labels: labels.clone(), data: SeriesData::Chunks(chunks) }));
            }
        }
        Box::new(out.into_iter())
    }
}
