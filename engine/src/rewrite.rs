//! A block written anew without some series or samples, or with other labels. Thanos `pkg/compactv2`.
//!
//! Chunks that no deletion touches are copied; chunks that a deletion cuts are encoded again, each in its own encoding, but for
//! chunks of aggregates, which stay or go whole; series that become equal are merged sample by sample.

use std::fmt;
use std::path::Path;

use rayon::prelude::*;
use tithon_chunks::{ChunkError, ChunkMeta, EncodedChunk, Encoding, TimeRange};
use tithon_index::{Labels, Matcher, SeriesDecoder, SeriesEntry, SeriesRef};

use crate::compact::{CompactOptions, InputBlock, merge_chunks};
use crate::relabel::{RelabelStep, relabelled};
use crate::{
    Block, BlockError, BlockFile, BlockId, BlockMeta, BlockStats, BlockWriter, FileRange, Tombstones, record,
    trim, walk,
};

/// Samples to be deleted.
#[derive(Clone, Debug)]
pub struct Deletion {
    /// Of series that match all of these. A series without the label of a matcher does not match, whatever the matcher says, as in
    /// Thanos.
    pub matchers: Vec<Matcher>,
    /// Inside these times; none means all of time.
    pub intervals: Vec<TimeRange>,
}

/// What is to be changed. Labels are changed first, so that deletions match the new ones.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Changes of labels; a series that they drop is deleted.
    pub relabels: Vec<RelabelStep>,
    /// What is deleted.
    pub deletions: Vec<Deletion>,
    /// Whether faults are mended that a writer may have made: series and labels out of order are sorted, and chunks that begin
    /// where the block ends, or lie wholly outside its time, are left out.
    pub repair: bool,
}

/// A change of one series. Its text is a line of Thanos's `change.log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Samples that were deleted.
    Deleted {
        /// The labels after relabelling, or before it where that dropped the series.
        labels: Labels,
        /// Where they were: ascending, apart.
        intervals: Vec<TimeRange>,
    },
    /// Labels that were changed.
    Relabelled {
        /// Before.
        from: Labels,
        /// After.
        to: Labels,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Relabelled { from, to } => write!(f, "Relabelled {from} {to}"),
            Change::Deleted { labels, intervals } => {
                let all: Vec<String> =
                    intervals.iter().map(|i| format!("{{{} {}}}", i.min.0, i.max.0)).collect();
                write!(f, "Deleted {labels} [{}]", all.join(" "))
            }
        }
    }
}

/// Writes a block anew below `parent`, by the rules; its own deletions are applied. The new meta.json is that of `block` but for
/// its id and its counts. `None`, and no directory, where no sample is left.
///
/// `each` is told how many more series are done, and what was changed of them. Uses the rayon pool that it is called in.
pub fn rewrite(
    block: &Block,
    parent: &Path,
    id: BlockId,
    rules: &Rules,
    each: impl FnMut(usize, Vec<Change>),
) -> Result<Option<BlockMeta>, BlockError> {
    let mut writer = BlockWriter::create(parent, id)?;
    visit(block, rules, each, |groups| {
        let chunks: Vec<_> =
            groups.par_iter().map(|group| group.chunks(block, id, rules)).collect::<Result<_, _>>()?;
        groups.iter().zip(chunks).try_for_each(|(group, chunks)| writer.add_series(&group.labels, &chunks))
    })?;
    block.check()?;
    let mut meta = block.meta().clone();
    meta.stats = BlockStats { num_tombstones: 0, ..writer.stats() };
    writer.finish_like(meta)
}

/// Tells what [`rewrite`] would change; reads no chunk.
pub fn changes(block: &Block, rules: &Rules, each: impl FnMut(usize, Vec<Change>)) -> Result<(), BlockError> {
    visit(block, rules, each, |_| Ok(()))?;
    block.check()
}

/// Series that have the same labels after relabelling, and what is to be deleted of them.
struct Group {
    labels: Labels,
    members: Vec<(SeriesRef, Vec<ChunkMeta>)>,
    deleted: Vec<TimeRange>,
    /// Whether the chunks hold aggregates, which stay or go whole.
    is_downsampled: bool,
}

/// Groups handed over together, so that all threads can work on them.
const AT_ONCE: usize = 1024;

/// Goes through all series by their new labels, and hands over those that are not deleted, many at a time.
fn visit(
    block: &Block,
    rules: &Rules,
    mut each: impl FnMut(usize, Vec<Change>),
    mut put: impl FnMut(&[Group]) -> Result<(), BlockError>,
) -> Result<(), BlockError> {
    let mut pending: Vec<Group> = Vec::with_capacity(AT_ONCE);
    let is_downsampled = block.meta().resolution_ms() > 0;
    if rules.relabels.is_empty() && !rules.repair {
        let mut decoder = SeriesDecoder::new(block.header());
        walk(InputBlock::from(block), |series, entry| {
            let entry = entry?;
            let labels = decoder.labels(entry).map_err(BlockError::index(block.id()))?;
            let members = vec![(series, entry.chunks.clone())];
            add(
                Group { labels, members, deleted: Vec::new(), is_downsampled },
                rules,
                &mut pending,
                &mut each,
                &mut put,
            )
        })?;
    } else {
        let all = relabel_all(block, &rules.relabels, &mut each)?;
        for same in all.chunk_by(|a, b| a.0 == b.0) {
            let member = |(_, series): &(Labels, SeriesRef)| Ok((*series, chunks_of(block, *series)?));
            let members: Vec<_> = same.iter().map(member).collect::<Result<_, BlockError>>()?;
            let (labels, deleted) = (same[0].0.clone(), Vec::new());
            add(
                Group { labels, members, deleted, is_downsampled },
                rules,
                &mut pending,
                &mut each,
                &mut put,
            )?;
        }
    }
    put(&pending)
}

/// Adds a group to those that wait, unless it is deleted; hands over what waits once it is enough.
fn add(
    mut group: Group,
    rules: &Rules,
    pending: &mut Vec<Group>,
    each: &mut impl FnMut(usize, Vec<Change>),
    put: &mut impl FnMut(&[Group]) -> Result<(), BlockError>,
) -> Result<(), BlockError> {
    let n = group.members.len();
    let (is_kept, change) = group.delete(&rules.deletions);
    if is_kept {
        pending.push(group);
    }
    each(n, change.into_iter().collect());
    if pending.len() >= AT_ONCE {
        put(pending)?;
        pending.clear();
    }
    Ok(())
}

/// The series that relabelling leaves, by their new labels, then in the order of the index.
fn relabel_all(
    block: &Block,
    steps: &[RelabelStep],
    each: &mut impl FnMut(usize, Vec<Change>),
) -> Result<Vec<(Labels, SeriesRef)>, BlockError> {
    let (mut decoder, mut all) = (SeriesDecoder::new(block.header()), Vec::new());
    walk(InputBlock::from(block), |series, entry| {
        let entry = entry?;
        let pairs = decoder.pairs(entry).map_err(BlockError::index(block.id()))?;
        let from = Labels::from_pairs(pairs.iter().copied());
        match relabelled(&from, steps) {
            Some(to) => {
                all.push((to.clone(), series));
                if to != from {
                    each(0, vec![Change::Relabelled { from, to }]);
                }
            }
            None => each(1, vec![Change::Deleted { labels: from, intervals: outline(&entry.chunks) }]),
        }
        Ok::<_, BlockError>(())
    })?;
    all.sort();
    Ok(all)
}

/// From the first to the last sample of some chunks.
fn outline<'c>(chunks: impl IntoIterator<Item = &'c ChunkMeta>) -> Vec<TimeRange> {
    let join = |a: TimeRange, b: TimeRange| TimeRange { min: a.min.min(b.min), max: a.max.max(b.max) };
    chunks.into_iter().map(|chunk| chunk.range()).reduce(join).into_iter().collect()
}

/// Intervals joined where they overlap or touch.
fn union(intervals: impl IntoIterator<Item = TimeRange>) -> Vec<TimeRange> {
    let mut all = Tombstones::default();
    intervals.into_iter().for_each(|interval| all.add(0, interval));
    all.of(0).to_vec()
}

/// The chunks of a series, as its entry has them.
fn chunks_of(block: &Block, series: SeriesRef) -> Result<Vec<ChunkMeta>, BlockError> {
    let (file, start) = (BlockFile::Index, block.header().series_offset(series));
    let bytes = block.read(&[FileRange { file, start, len: u64::MAX }])?.remove(0);
    let mut entry = SeriesEntry::default();
    entry.decode(&bytes, start, TimeRange::ALL).map_err(BlockError::index(block.id()))?;
    Ok(entry.chunks)
}

impl Group {
    /// Notes what is to be deleted; answers whether something may be left, and what to tell of it.
    fn delete(&mut self, deletions: &[Deletion]) -> (bool, Option<Change>) {
        let value = |matcher: &Matcher| self.labels.get(matcher.name()).filter(|value| !value.is_empty());
        let matches = |deletion: &&Deletion| {
            deletion.matchers.iter().all(|matcher| value(matcher).is_some_and(|value| matcher.matches(value)))
        };
        let matching: Vec<&Deletion> = deletions.iter().filter(matches).collect();
        let chunks = || self.members.iter().flat_map(|(_, chunks)| chunks);
        let told = |intervals: Vec<TimeRange>| {
            let labels = self.labels.clone();
            (!intervals.is_empty()).then_some(Change::Deleted { labels, intervals })
        };
        if matching.iter().any(|deletion| deletion.intervals.is_empty()) {
            return (false, told(outline(chunks())));
        }
        let deleted = union(matching.iter().flat_map(|deletion| deletion.intervals.iter().copied()));
        let common = |chunk: &ChunkMeta| {
            let (chunk, deleted, whole) = (chunk.range(), &deleted, self.is_downsampled);
            let common =
                deleted.iter().filter(move |d| if whole { d.covers(chunk) } else { d.overlaps(chunk) });
            common.map(move |d| TimeRange { min: d.min.max(chunk.min), max: d.max.min(chunk.max) })
        };
        let change = told(union(chunks().flat_map(|chunk| common(chunk).collect::<Vec<_>>())));
        let is_kept = chunks().any(|chunk| !deleted.iter().any(|d| d.covers(chunk.range())));
        self.deleted = deleted;
        (is_kept, change)
    }

    /// The chunks of the new series; `id` is that of the new block, for errors.
    fn chunks(&self, block: &Block, id: BlockId, rules: &Rules) -> Result<Vec<EncodedChunk>, BlockError> {
        let (min, max) = (block.meta().min_time, block.meta().max_time);
        let is_outside = |meta: &ChunkMeta| rules.repair && (meta.min_time.0 >= max || meta.max_time.0 < min);
        let is_left = |meta: &ChunkMeta, deleted: &[TimeRange]| {
            !is_outside(meta) && !deleted.iter().any(|d| d.covers(meta.range()))
        };
        let mut all = Vec::new();
        for (series, metas) in &self.members {
            let before = block.tombstones().of(u64::from(series.0));
            let deleted = union(before.iter().chain(&self.deleted).copied());
            for meta in metas.iter().filter(|meta| is_left(meta, &deleted)) {
                let chunk = read_chunk(block, meta)?;
                let left = trim::without(chunk, &deleted).map_err(|source| at_fault(block, meta, source))?;
                all.extend(left);
            }
        }
        all.sort_by_key(|chunk| (chunk.min_time, chunk.max_time));
        if all.is_sorted_by(|a, b| a.max_time < b.min_time) {
            return Ok(all);
        }
        let merged =
            merge_chunks(all.into_iter().map(|chunk| vec![chunk]).collect(), CompactOptions::default());
        merged.map_err(|source| BlockError::Merge { block: id, labels: self.labels.clone(), source })
    }
}

/// A chunk, its checksum verified.
fn read_chunk(block: &Block, meta: &ChunkMeta) -> Result<EncodedChunk, BlockError> {
    let (file, start) = (BlockFile::Segment(meta.chunk_ref.segment()), u64::from(meta.chunk_ref.offset()));
    let bytes = block.read(&[FileRange { file, start, len: u64::MAX }])?.remove(0);
    match record::chunk(&bytes, meta) {
        Ok(EncodedChunk { encoding: encoding @ Encoding::Unknown(_), .. }) => {
            Err(at_fault(block, meta, ChunkError::UnsupportedEncoding(encoding)))
        }
        chunk => chunk.map_err(|source| at_fault(block, meta, source)),
    }
}

fn at_fault(block: &Block, meta: &ChunkMeta, source: ChunkError) -> BlockError {
    let file = BlockFile::Segment(meta.chunk_ref.segment());
    BlockError::Chunk { block: block.id(), file, offset: u64::from(meta.chunk_ref.offset()), source }
}

#[cfg(test)]
mod tests;
