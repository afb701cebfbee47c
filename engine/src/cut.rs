//! What deletions take out of a block: which series, and how much of them.

use tithon_chunks::{ChunkMeta, TimeRange};

use crate::entries::matching_series;
use crate::input::InputBlock;
use crate::plan::BlockDeletion;
use crate::{BlockError, Tombstones, walk};

/// How much of a block deletions take out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Loss {
    /// Series that lose something.
    pub series: u64,
    /// Of these, series of which nothing is left.
    pub whole_series: u64,
    /// Chunks that go.
    pub chunks: u64,
    /// Chunks that are made anew without some of their samples.
    pub cut_chunks: u64,
}

impl Loss {
    /// Whether nothing is lost.
    pub fn is_empty(&self) -> bool {
        self.series == 0
    }

    /// Counts a series that has these chunks.
    fn add(&mut self, chunks: &[ChunkMeta], deleted: &[TimeRange], is_downsampled: bool) {
        if deleted.is_empty() {
            return;
        }
        let gone = chunks.iter().filter(|chunk| is_covered(chunk, deleted)).count();
        // Chunks of aggregates stay or go whole.
        let is_cut =
            |chunk: &&ChunkMeta| !is_downsampled && !is_covered(chunk, deleted) && overlaps(chunk, deleted);
        let n_cut = chunks.iter().filter(is_cut).count();
        self.series += u64::from(gone + n_cut > 0);
        self.whole_series += u64::from(gone > 0 && gone == chunks.len());
        self.chunks += gone as u64;
        self.cut_chunks += n_cut as u64;
    }

    /// About how much goes of something of which a block with `n_chunks` has `all`, if every chunk has the same and half of
    /// those that are cut goes.
    pub fn share_of(&self, all: u64, n_chunks: u64) -> u64 {
        let halves = u128::from(2 * self.chunks + self.cut_chunks) * u128::from(all);
        let share = halves / u128::from(2 * n_chunks.max(1));
        u64::try_from(share).unwrap_or(u64::MAX).min(all)
    }
}

/// The series of a block that deletions concern, and what is deleted of each. Reads postings and nothing else.
pub fn deleted_series(
    mut source: InputBlock<'_>,
    deletions: &[BlockDeletion],
) -> Result<Tombstones, BlockError> {
    let mut deleted = Tombstones::default();
    for deletion in deletions {
        for selector in &deletion.selectors {
            let found = matching_series(&mut source, selector)?;
            deleted.add_all(found.iter().map(|series| u64::from(series.0)), &deletion.intervals);
        }
    }
    Ok(deleted)
}

/// How much `deleted` takes out of a block that still has it. Reads the index and no chunk.
pub fn loss_of(source: InputBlock<'_>, deleted: &Tombstones) -> Result<Loss, BlockError> {
    Ok(losses_of(source, std::slice::from_ref(deleted))?.remove(0))
}

/// The same of several deletions, each by itself, in one pass.
pub fn losses_of(source: InputBlock<'_>, deleted: &[Tombstones]) -> Result<Vec<Loss>, BlockError> {
    let is_downsampled = source.meta.resolution_ms() > 0;
    let mut losses = vec![Loss::default(); deleted.len()];
    if deleted.iter().all(Tombstones::is_empty) {
        return Ok(losses);
    }
    walk(source, |series, entry| {
        let entry = entry?;
        for (deleted, loss) in deleted.iter().zip(&mut losses) {
            loss.add(&entry.chunks, deleted.of(u64::from(series.0)), is_downsampled);
        }
        Ok::<_, BlockError>(())
    })?;
    Ok(losses)
}

fn is_covered(chunk: &ChunkMeta, intervals: &[TimeRange]) -> bool {
    intervals.iter().any(|interval| interval.covers(chunk.range()))
}

fn overlaps(chunk: &ChunkMeta, intervals: &[TimeRange]) -> bool {
    intervals.iter().any(|interval| interval.overlaps(chunk.range()))
}

#[cfg(test)]
mod tests {
    use tithon_index::{MatchOp, Matcher};
    use tithon_testdata::shared;

    use super::*;
    use crate::Block;

    #[test]
    fn series_are_those_of_a_query_and_cuts_are_counted() {
        let block = Block::open(shared("testdata/blocks/xor-shapes")).unwrap();
        let all = vec![BlockDeletion { selectors: vec![vec![]], intervals: vec![TimeRange::ALL] }];
        let deleted = deleted_series(InputBlock::from(&block), &all).unwrap();
        let cut = loss_of(InputBlock::from(&block), &deleted).unwrap();
        let stats = block.meta().stats;
        assert_eq!((cut.series, cut.whole_series), (stats.num_series, stats.num_series));
        assert_eq!((cut.chunks, cut.cut_chunks), (stats.num_chunks, 0));
        // An absent label is empty.
        let absent = Matcher::new(MatchOp::Equal, "no_such_label", "").unwrap();
        let middle = TimeRange::new(block.meta().min_time + 1, block.meta().max_time - 2);
        let some = [BlockDeletion { selectors: vec![vec![absent]], intervals: vec![middle] }];
        let deleted = deleted_series(InputBlock::from(&block), &some).unwrap();
        assert_eq!(deleted.iter().count() as u64, stats.num_series);
        let cut = loss_of(InputBlock::from(&block), &deleted).unwrap();
        assert!(cut.cut_chunks > 0 && cut.chunks + cut.cut_chunks <= stats.num_chunks, "{cut:?}");
        // A chunk that is cut counts as half.
        let of = cut.chunks + cut.cut_chunks;
        assert_eq!(cut.share_of(1000, of), 1000 * (2 * cut.chunks + cut.cut_chunks) / (2 * of));
        let none = loss_of(InputBlock::from(&block), &Tombstones::default()).unwrap();
        assert!(none.is_empty());
    }
}
