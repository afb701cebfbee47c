//! Checks whether a block is consistent with its meta.json and index. Thanos `pkg/block/index.go`.

mod index;
mod segments;

use std::fmt::{self, Display};
use std::path::{Component, Path};

use serde::Serialize;
use tithon_chunks::{
    Aggregate, AggregateChunk, ChunkError, ChunkMeta, EncodedChunk, Encoding, Sample, decode_exact,
};
use tithon_index::{IndexHealth, Labels, SeriesDecoder, SeriesEntry, audit};

pub use self::index::index_health;

use self::segments::Coverage;
use crate::entries::walk;
use crate::input::InputBlock;
use crate::{Block, BlockError, BlockFile, BlockStats, FileRange, record};

/// The findings of a walk over a whole block; serialises to one JSON object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Health {
    /// Series walked.
    pub series: u64,
    /// Chunks walked.
    pub chunks: u64,
    /// Samples decoded; samples of aggregates and unknown encodings are not counted.
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
    /// Chunks that reach beyond the block's time, whose end is inclusive here.
    pub outside_chunks: u64,
    /// Of these, chunks that lie wholly outside.
    pub completely_outside_chunks: u64,
    /// Chunks that begin at the block's end and reach beyond it, as Prometheus once wrote them.
    pub issue_347_outside_chunks: u64,
    /// Chunks whose first or last sample is not at the time in the index, or whose samples do not ascend.
    pub chunks_with_wrong_times: u64,
    /// Damaged places: wrong checksums, unknown encodings, bytes that belong to no part, wrong counts.
    pub damaged: u64,
    /// Descriptions of the first [`Health::DAMAGE_MAX`] of them, with series, file and offset.
    pub damage: Vec<String>,
}

impl Health {
    /// The most damaged places that are described; further ones are only counted.
    pub const DAMAGE_MAX: usize = 1000;

    /// Whether a compactor may merge the block. Duplicated chunks are harmless.
    pub fn is_sound(&self) -> bool {
        let faults = [
            self.series_out_of_order,
            self.empty_series,
            self.labels_out_of_order,
            self.chunks_out_of_order,
            self.outside_chunks,
            self.chunks_with_wrong_times,
            self.damaged,
        ];
        faults.iter().all(|n| *n == 0)
    }

    fn add_damage(&mut self, what: impl Display) {
        self.damaged += 1;
        if self.damage.len() < Health::DAMAGE_MAX {
            self.damage.push(what.to_string());
        }
    }
}

/// The counts of faults, in one line; the damaged places themselves are in [`Health::damage`].
impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults = [
            (self.damaged, "damaged places"),
            (self.series_out_of_order, "series out of order"),
            (self.empty_series, "empty series"),
            (self.labels_out_of_order, "series with labels out of order"),
            (self.chunks_out_of_order, "chunks out of order"),
            (self.outside_chunks, "chunks outside the block's time"),
            (self.chunks_with_wrong_times, "chunks whose samples are not where the index says"),
        ];
        let found: Vec<String> =
            faults.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        f.write_str(if found.is_empty() { "sound" } else { "" })?;
        f.write_str(&found.join(", "))
    }
}

/// Reads the whole block: every section, list and entry of the index, and every chunk and byte of the segments; decodes
/// all samples, and compares meta.json with the findings. Damage is described in [`Health::damage`] and does not stop
/// the verification. Deletions are not applied.
pub fn verify(block: &Block) -> Health {
    let mut health = Health::default();
    match audit(block.index()) {
        Ok(faults) => faults.iter().for_each(|fault| health.add_damage(format_args!("index: {fault}"))),
        Err(error) => health.add_damage(format_args!("index: {error}")),
    }
    let (mut stats, mut coverage) = (BlockStats::default(), Coverage::new(block.segments()));
    health.walk(block, &mut stats, &mut coverage);
    // Damage that was reported already would also show in the counts.
    if health.damaged == 0 {
        coverage.gaps().iter().for_each(|gap| health.add_damage(gap));
        health.compare_counts(block, stats);
    }
    health.compare_files(block);
    // The missing part of a truncated file was read as zeros.
    if let Err(error) = block.check() {
        health.add_damage(error);
    }
    health
}

impl Health {
    /// Walks all series. Damage of the list or of an entry has been reported with the index.
    fn walk(&mut self, block: &Block, stats: &mut BlockStats, coverage: &mut Coverage) {
        let mut decoder = SeriesDecoder::new(block.header());
        let (mut counts, mut samples, mut last_labels) = (IndexHealth::default(), Vec::new(), None);
        let (min, max) = (block.meta().min_time, block.meta().max_time);
        let walked = walk(InputBlock::from(block), |id, entry| {
            let Ok(entry) = entry else { return Ok::<_, BlockError>(()) };
            let labels = match decoder.labels(entry) {
                Ok(labels) => labels,
                Err(error) => {
                    let offset = block.header().series_offset(id);
                    self.add_damage(format_args!("index: series entry at offset {offset}: {error}"));
                    return Ok(());
                }
            };
            let names = decoder.pairs(entry).unwrap_or_default();
            self.labels_out_of_order += u64::from(!names.is_sorted_by(|a, b| a.0 < b.0));
            self.empty_series += u64::from(names.is_empty() || entry.chunks.is_empty());
            self.series_out_of_order += u64::from(last_labels.as_ref().is_some_and(|last| *last >= labels));
            self.series += 1;
            counts.count_chunks(&entry.chunks, min, max);
            self.read_chunks(block, &labels, entry, &mut samples, stats, coverage);
            last_labels = Some(labels);
            Ok(())
        });
        drop(walked);
        stats.num_series = self.series;
        self.chunks = counts.chunks;
        self.outside_chunks = counts.outside_chunks;
        self.completely_outside_chunks = counts.complete_outside_chunks;
        self.issue_347_outside_chunks = counts.issue_347_outside_chunks;
        self.duplicated_chunks = counts.duplicated_chunks;
        self.chunks_out_of_order = counts.out_of_order_chunks;
    }

    fn read_chunks(
        &mut self,
        block: &Block,
        labels: &Labels,
        entry: &SeriesEntry,
        samples: &mut Vec<Sample>,
        stats: &mut BlockStats,
        coverage: &mut Coverage,
    ) {
        for meta in &entry.chunks {
            stats.num_chunks += 1;
            if let Err(error) = self.read_chunk(block, meta, samples, stats, coverage) {
                self.add_damage(format_args!("series {labels}: {error}"));
            }
        }
    }

    fn read_chunk(
        &mut self,
        block: &Block,
        meta: &ChunkMeta,
        samples: &mut Vec<Sample>,
        stats: &mut BlockStats,
        coverage: &mut Coverage,
    ) -> Result<(), BlockError> {
        let file = BlockFile::Segment(meta.chunk_ref.segment());
        let offset = u64::from(meta.chunk_ref.offset());
        let bytes = block.read(&[FileRange { file, start: offset, len: u64::MAX }])?.remove(0);
        let at_fault = |source| BlockError::Chunk { block: block.id(), file, offset, source };
        coverage.add(meta.chunk_ref, record::size(&bytes).unwrap_or(0));
        let chunk = record::chunk(&bytes, meta).map_err(at_fault)?;
        stats.count(chunk.encoding, &chunk.data).map_err(at_fault)?;
        if chunk.encoding == Encoding::Aggregate {
            return decode_aggregates(&chunk, samples).map_err(at_fault);
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

    /// Compares the counts of meta.json, unless all are 0.
    fn compare_counts(&mut self, block: &Block, found: BlockStats) {
        let listed = block.meta().stats;
        if (listed.num_series, listed.num_chunks, listed.num_samples) == (0, 0, 0) {
            return;
        }
        for (what, listed, found) in [
            ("series", listed.num_series, found.num_series),
            ("chunks", listed.num_chunks, found.num_chunks),
            ("samples", listed.num_samples, found.num_samples),
        ] {
            if listed != found {
                self.add_damage(format_args!("meta.json: counts {listed} {what}, the block has {found}"));
            }
        }
    }

    /// Compares the sizes of the files that meta.json lists.
    fn compare_files(&mut self, block: &Block) {
        let files = block.meta().thanos.as_ref().map(|thanos| thanos.files.as_slice()).unwrap_or_default();
        for file in files.iter().filter(|file| file.rel_path != "meta.json" && file.size_bytes > 0) {
            let rel = Path::new(&file.rel_path);
            let inside = rel.components().all(|part| matches!(part, Component::Normal(_)));
            let found =
                std::fs::metadata(block.dir().join(rel)).ok().filter(|_| inside).map(|meta| meta.len());
            if found != Some(file.size_bytes) {
                let (name, listed) = (&file.rel_path, file.size_bytes);
                let found = found.map_or("is missing".to_owned(), |bytes| format!("has {bytes} bytes"));
                self.add_damage(format_args!("{name}: {found}, meta.json says {listed}"));
            }
        }
    }
}

/// Decodes each of the sub-chunks.
fn decode_aggregates(chunk: &EncodedChunk, samples: &mut Vec<Sample>) -> Result<(), ChunkError> {
    let parsed = AggregateChunk::parse(&chunk.data)?;
    for (encoding, data) in Aggregate::ALL.into_iter().filter_map(|aggregate| parsed.get(aggregate)) {
        samples.clear();
        decode_exact(encoding, data, samples)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tithon_testdata::shared;

    use super::*;

    #[test]
    fn golden_blocks_are_sound() {
        for name in [
            "blocks/xor-shapes",
            "blocks/histograms-st",
            "blocks/xor2-st",
            "blocks/multi-segment",
            "downsample/long/5m",
        ] {
            let block = Block::open(shared(&format!("testdata/{name}"))).unwrap();
            let health = verify(&block);
            assert!(health.is_sound(), "{name}: {health:?}");
            let stats = block.meta().stats;
            assert_eq!((health.series, health.chunks), (stats.num_series, stats.num_chunks), "{name}");
        }
    }

    /// The damage found in a copy of a block whose file `name` is changed.
    fn changed(block: &str, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Vec<String> {
        let (from, dir) = (shared(&format!("testdata/{block}")), tempfile::tempdir().unwrap());
        std::fs::create_dir(dir.path().join("chunks")).unwrap();
        for file in ["meta.json", "index", "chunks/000001"] {
            std::fs::copy(from.join(file), dir.path().join(file)).unwrap();
        }
        let path = dir.path().join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        change(&mut bytes);
        std::fs::write(path, bytes).unwrap();
        let health = verify(&Block::open(dir.path()).unwrap());
        assert_eq!(health.is_sound(), health.damage.is_empty(), "{health:?}");
        health.damage
    }

    const PLAIN: &str = "field/encoding-0/01HWRY2K800000000000000034";

    #[test]
    fn a_chunk_of_unknown_encoding_is_named_with_its_series() {
        let damage = changed("field/encoding-0/01HWS4YAG00000000000000035", "index", |_| {});
        assert_eq!(damage.len(), 1, "{damage:?}");
        for part in ["series {", "chunks/000001 at offset ", "encoding 0 (unknown)"] {
            assert!(damage[0].contains(part), "{part}: {damage:?}");
        }
        assert_eq!(changed(PLAIN, "index", |_| {}), [""; 0]);
    }

    #[test]
    fn bytes_that_belong_to_nothing_are_named() {
        for more in [vec![0; 9], vec![1, 1, 0, 0, 0, 0, 0]] {
            let damage = changed(PLAIN, "chunks/000001", |bytes| bytes.extend(&more));
            assert!(damage[0].contains("bytes belong to no chunk"), "{damage:?}");
        }
        let damage = changed(PLAIN, "index", |bytes| {
            let toc = bytes[bytes.len() - 52..].to_vec();
            bytes.extend(toc);
        });
        assert!(damage[0].contains("bytes of no section"), "{damage:?}");
    }

    #[test]
    fn damaged_postings_lists_are_named() {
        let damage = changed("field/damaged-postings", "index", |_| {});
        assert_eq!(damage.len(), 7, "{damage:?}");
        assert!(damage.iter().all(|what| what.starts_with("index: postings list of {")), "{damage:?}");
    }

    #[test]
    fn counts_and_sizes_of_meta_json_are_compared() {
        for count in ["numSeries", "numChunks", "numSamples"] {
            let damage = changed(PLAIN, "meta.json", |bytes| {
                let mut meta: serde_json::Value = serde_json::from_slice(bytes).unwrap();
                meta["stats"][count] = 7.into();
                *bytes = serde_json::to_vec(&meta).unwrap();
            });
            assert!(damage.len() == 1 && damage[0].contains("counts 7"), "{damage:?}");
        }
        let damage = changed(PLAIN, "meta.json", |bytes| {
            let mut meta: serde_json::Value = serde_json::from_slice(bytes).unwrap();
            let file = |name: &str| serde_json::json!({"rel_path": name, "size_bytes": 5});
            meta["thanos"]["files"] = vec![file("index"), file("chunks/000002"), file("../x")].into();
            *bytes = serde_json::to_vec(&meta).unwrap();
        });
        assert_eq!(damage.len(), 3, "{damage:?}");
    }
}
