//! Writes a block: chunks and index as the series arrive in label order, then meta.json, then the directory is renamed.

mod chunks;
mod files;
mod index;

use std::path::Path;

use tithon_chunks::{
    Aggregate, AggregateChunk, ChunkError, ChunkMeta, EncodedChunk, Encoding, SEGMENT_BYTES_MAX, sample_count,
};
use tithon_index::{Labels, SymbolRef};

use self::chunks::ChunkFiles;
pub(crate) use self::chunks::WrittenChunk;
use self::files::Directory;
pub use self::files::{BlockFiles, BlockSink};
use self::index::IndexFile;

use crate::publish::{Unpublished, write_atomically};
use crate::{BlockError, BlockId, BlockMeta, BlockStats, Compaction, ThanosMeta, Tombstones};

/// The parts of meta.json that the writer does not know.
#[derive(Clone, Debug, Default)]
pub struct MetaParts {
    /// The first millisecond that may hold a sample.
    pub min_time: i64,
    /// The first millisecond after the block.
    pub max_time: i64,
    /// The compactions that made the block.
    pub compaction: Compaction,
    /// The `thanos` section, if there is one; its segment files and index stats are filled in.
    pub thanos: Option<ThanosMeta>,
}

/// Writes one block into a directory. If dropped before [`BlockWriter::finish`], removes the directory.
#[derive(Debug)]
pub struct BlockWriter {
    dir: BlockDir,
    content: Content,
}

/// The directory of a block under construction. Until it is published, readers ignore its name.
#[derive(Debug)]
pub(crate) struct BlockDir {
    dir: Unpublished,
    files: Directory,
}

impl BlockDir {
    pub(crate) fn create(parent: &Path, id: BlockId) -> Result<BlockDir, BlockError> {
        let dir = Unpublished::create(parent, id)?;
        let files = Directory(dir.dir().to_owned());
        Ok(BlockDir { dir, files })
    }

    pub(crate) fn files(&mut self) -> &mut dyn BlockFiles {
        &mut self.files
    }

    /// Writes meta.json, and a tombstones file if meta.json has no `thanos` section; makes everything durable and
    /// renames the directory.
    pub(crate) fn publish(self, meta: &BlockMeta) -> Result<(), BlockError> {
        self.files.sync()?;
        if meta.thanos.is_none() {
            write_atomically(&self.dir.dir().join("tombstones"), &Tombstones::default().to_bytes())?;
        }
        write_atomically(&self.dir.dir().join("meta.json"), &meta.to_json())?;
        self.dir.publish()?;
        Ok(())
    }
}

/// Chunks and index under construction, in any kind of files.
#[derive(Debug)]
pub(crate) struct Content {
    id: BlockId,
    chunks: ChunkFiles,
    index: IndexFile,
    stats: BlockStats,
    metas: Vec<ChunkMeta>,
}

impl BlockWriter {
    /// A writer that collects the strings from the series: index entries are kept in a scratch file until the end.
    pub fn create(parent: &Path, id: BlockId) -> Result<BlockWriter, BlockError> {
        let dir = BlockDir::create(parent, id)?;
        let index = IndexFile::spooled(dir.dir.dir(), id)?;
        Ok(BlockWriter { dir, content: Content::with_index(id, index) })
    }

    /// A writer whose index begins with these strings, ascending: all that series have, and others.
    pub fn create_with_symbols<'s>(
        parent: &Path,
        id: BlockId,
        symbols: impl IntoIterator<Item = &'s [u8]>,
    ) -> Result<BlockWriter, BlockError> {
        let mut dir = BlockDir::create(parent, id)?;
        let content = Content::new(dir.files(), id, symbols)?;
        Ok(BlockWriter { dir, content })
    }

    /// Ends later segments at this many bytes instead of 512 MiB.
    #[must_use]
    pub fn segment_bytes_max(mut self, bytes: u64) -> BlockWriter {
        self.content.chunks = ChunkFiles::new(bytes);
        self
    }

    /// Adds a series, which comes after all before it in label order; its chunks ascend and do not overlap. A series
    /// without chunks is left out.
    pub fn add_series(&mut self, labels: &Labels, chunks: &[EncodedChunk]) -> Result<(), BlockError> {
        self.content.add_series(self.dir.files(), labels, chunks)
    }

    /// The counts of the series written so far.
    pub fn stats(&self) -> BlockStats {
        self.content.stats
    }

    /// Makes everything durable and publishes the directory; `None`, and no directory, if no sample was written.
    pub fn finish(self, parts: MetaParts) -> Result<Option<BlockMeta>, BlockError> {
        let meta = self.content.meta(parts);
        self.publish(meta)
    }

    /// Like [`BlockWriter::finish`], with a whole meta. Only its id, counts of series, chunks and samples, segment
    /// files and index stats are replaced.
    pub fn finish_like(self, meta: BlockMeta) -> Result<Option<BlockMeta>, BlockError> {
        let meta = self.content.like(meta);
        self.publish(meta)
    }

    fn publish(mut self, meta: BlockMeta) -> Result<Option<BlockMeta>, BlockError> {
        let Some(meta) = self.content.finish(self.dir.files(), meta)? else { return Ok(None) };
        self.dir.publish(&meta)?;
        Ok(Some(meta))
    }
}

impl Content {
    /// Starts the index with all strings, ascending; unused strings are allowed.
    pub(crate) fn new<'s>(
        files: &mut dyn BlockFiles,
        id: BlockId,
        symbols: impl IntoIterator<Item = &'s [u8]>,
    ) -> Result<Content, BlockError> {
        Ok(Content::with_index(id, IndexFile::direct(files, id, symbols)?))
    }

    fn with_index(id: BlockId, index: IndexFile) -> Content {
        let chunks = ChunkFiles::new(SEGMENT_BYTES_MAX);
        Content { id, chunks, index, stats: BlockStats::default(), metas: Vec::new() }
    }

    /// Adds a series as [`BlockWriter::add_series`] does.
    pub(crate) fn add_series(
        &mut self,
        files: &mut dyn BlockFiles,
        labels: &Labels,
        chunks: &[EncodedChunk],
    ) -> Result<(), BlockError> {
        if chunks.is_empty() {
            return Ok(());
        }
        self.metas.clear();
        self.chunks.write(files, chunks, &mut self.metas)?;
        self.index.add(labels, &self.metas)?;
        self.stats.num_series += 1;
        self.stats.num_chunks += chunks.len() as u64;
        for chunk in chunks {
            let counted = self.stats.count(chunk.encoding, &chunk.data);
            counted.map_err(|source| BlockError::Written { block: self.id, source })?;
        }
        Ok(())
    }

    /// Like [`Content::add_series`], with labels as numbers of the symbols given at the start, and chunks as finished
    /// records. Samples are counted by [`Content::count`] instead.
    pub(crate) fn add_records(
        &mut self,
        files: &mut dyn BlockFiles,
        labels: &[(SymbolRef, SymbolRef)],
        chunks: &[WrittenChunk<'_>],
    ) -> Result<(), BlockError> {
        if chunks.is_empty() {
            return Ok(());
        }
        self.metas.clear();
        self.chunks.copy(files, chunks, &mut self.metas)?;
        self.index.add_symbols(labels, &self.metas)?;
        self.stats.num_series += 1;
        self.stats.num_chunks += chunks.len() as u64;
        Ok(())
    }

    /// Adds counts of samples.
    pub(crate) fn count(&mut self, samples: &BlockStats) {
        self.stats.num_samples += samples.num_samples;
        self.stats.num_float_samples += samples.num_float_samples;
        self.stats.num_histogram_samples += samples.num_histogram_samples;
    }

    /// The meta of the block written so far.
    pub(crate) fn meta(&self, parts: MetaParts) -> BlockMeta {
        BlockMeta {
            ulid: self.id,
            min_time: parts.min_time,
            max_time: parts.max_time,
            stats: self.stats,
            compaction: parts.compaction,
            version: 1,
            thanos: parts.thanos,
        }
    }

    /// The given meta with the id and the counts of the block written so far.
    fn like(&self, mut meta: BlockMeta) -> BlockMeta {
        meta.ulid = self.id;
        meta.stats.num_series = self.stats.num_series;
        meta.stats.num_chunks = self.stats.num_chunks;
        meta.stats.num_samples = self.stats.num_samples;
        meta
    }

    /// Like [`Content::finish`], with a whole meta. Only its id, counts, segment files and index stats are replaced.
    pub(crate) fn finish_like(
        self,
        files: &mut dyn BlockFiles,
        meta: BlockMeta,
    ) -> Result<Option<BlockMeta>, BlockError> {
        let meta = self.like(meta);
        self.finish(files, meta)
    }

    /// Finishes all files and lists them in the `thanos` section; `None` if no sample was written.
    pub(crate) fn finish(
        self,
        files: &mut dyn BlockFiles,
        mut meta: BlockMeta,
    ) -> Result<Option<BlockMeta>, BlockError> {
        let segment_files = self.chunks.finish()?;
        let index_stats = self.index.finish(files)?;
        if meta.stats.num_samples == 0 {
            return Ok(None);
        }
        if let Some(thanos) = &mut meta.thanos {
            (thanos.segment_files, thanos.index_stats) = (segment_files, index_stats);
        }
        Ok(Some(meta))
    }
}

impl BlockStats {
    /// Adds the count in a chunk's header; an unknown encoding is an error.
    pub(crate) fn count(&mut self, encoding: Encoding, data: &[u8]) -> Result<(), ChunkError> {
        if encoding == Encoding::Aggregate {
            let chunk = AggregateChunk::parse(data)?;
            let parts = Aggregate::ALL.into_iter().filter_map(|aggregate| chunk.get(aggregate));
            for (encoding, _) in parts {
                if matches!(encoding, Encoding::Aggregate | Encoding::Unknown(_)) {
                    return Err(ChunkError::UnsupportedEncoding(encoding));
                }
            }
        }
        let count = sample_count(encoding, data)? as u64;
        self.num_samples += count;
        if encoding.is_float() {
            self.num_float_samples += count;
        } else if encoding.is_histogram() {
            self.num_histogram_samples += count;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tithon_chunks::{TimeRange, Timestamp, XorEncoder};

    use super::*;
    use crate::{Block, SelectRequest};

    fn chunk(times: std::ops::Range<i64>) -> EncodedChunk {
        let mut encoder = XorEncoder::new();
        for t in times.clone() {
            encoder.push(t, t as f64);
        }
        EncodedChunk {
            encoding: Encoding::Xor,
            min_time: Timestamp(times.start),
            max_time: Timestamp(times.end - 1),
            data: encoder.finish().into(),
        }
    }

    fn parts() -> MetaParts {
        MetaParts { max_time: 1000, ..MetaParts::default() }
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let id = BlockId::from_parts(1, 1);
        let mut writer = BlockWriter::create(dir.path(), id).unwrap().segment_bytes_max(100);
        let names: Vec<Labels> =
            (0..9).map(|i| Labels::from_pairs([("__name__", "a"), ("i", &i.to_string())])).collect();
        for labels in &names {
            writer.add_series(labels, &[chunk(0..20), chunk(20..40)]).unwrap();
        }
        writer.add_series(&Labels::from_pairs([("z", "no chunks")]), &[]).unwrap();
        assert!(matches!(writer.add_series(&names[0], &[chunk(0..2)]), Err(BlockError::Order { .. })));
        let meta = writer.finish(parts()).unwrap().unwrap();
        assert_eq!((meta.stats.num_series, meta.stats.num_chunks, meta.stats.num_samples), (9, 18, 360));

        let block = Block::open(dir.path().join(id.to_string())).unwrap();
        assert_eq!(block.meta(), &meta);
        assert!(block.segments().len() > 5);
        let all = SelectRequest::new(vec![], TimeRange::ALL);
        let series: Vec<_> = block.select(all).flat_map(|batch| batch.unwrap().series).collect();
        assert_eq!(series.iter().map(|s| s.labels.clone()).collect::<Vec<_>>(), names);
        assert!(series.iter().all(|s| s.chunks == [chunk(0..20), chunk(20..40)]));
        assert!(block.header().symbols().iter().all(|s| s != b"no chunks"));
        let mut files: Vec<_> =
            std::fs::read_dir(block.dir()).unwrap().map(|e| e.unwrap().file_name()).collect();
        files.sort();
        assert_eq!(files, ["chunks", "index", "meta.json", "tombstones"]);
    }

    #[test]
    fn nothing_is_left_of_an_empty_or_dropped_block() {
        let dir = tempfile::tempdir().unwrap();
        let id = BlockId::from_parts(1, 1);
        let writer = BlockWriter::create(dir.path(), id).unwrap();
        assert_eq!(writer.finish(parts()).unwrap(), None);
        let mut writer = BlockWriter::create(dir.path(), id).unwrap();
        writer.add_series(&Labels::from_pairs([("a", "b")]), &[chunk(0..2)]).unwrap();
        drop(writer);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
