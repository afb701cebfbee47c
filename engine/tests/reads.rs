//! Which bytes a selection asks for when its reads go over a network, and that it finds the same series whatever the
//! hints about lengths are.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use tithon_chunks::TimeRange;
use tithon_engine::compact::InputBlock;
use tithon_engine::{
    Block, BlockError, BlockFile, FileRange, IndexStats, Reads, Select, SelectRequest, SelectedSeries, Step,
    Tombstones,
};
use tithon_index::{MatchOp, Matcher, Postings, SeriesEntry, SeriesRef};
use tithon_testdata::shared;

const BLOCKS: [&str; 4] = ["wide", "multi-segment", "real-2022", "xor-shapes"];

fn open(name: &str) -> Block {
    Block::open(shared(&format!("testdata/blocks/{name}"))).unwrap()
}

/// The entries of a block in the order of its index, with all their chunks.
fn entries(block: &Block) -> Vec<(SeriesRef, SeriesEntry)> {
    let mut found = Vec::new();
    let walked = tithon_engine::walk(InputBlock::from(block), |series, entry| {
        found.push((series, entry?.clone()));
        Ok::<_, BlockError>(())
    });
    walked.unwrap();
    found
}

/// A selection as of a block that is read over a network, whose meta.json has these sizes.
fn remote(block: &Block, request: SelectRequest, sizes: IndexStats) -> Select {
    let mut meta = block.meta().clone();
    meta.thanos.get_or_insert_default().index_stats = sizes;
    Select::new(&meta, Arc::clone(block.header()), Arc::new(Tombstones::default()), request).reading_ahead()
}

/// Runs a selection; returns its series and the ranges of each round. `change` may change the bytes of a range.
fn run(
    block: &Block,
    select: &mut Select,
    change: impl Fn(&FileRange, &mut [u8]),
) -> (Vec<SelectedSeries>, Vec<Vec<FileRange>>) {
    let (mut series, mut rounds, mut fetched) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        match select.step(std::mem::take(&mut fetched)).unwrap() {
            Step::Fetch(ranges) => {
                for (range, bytes) in ranges.iter().zip(block.read(&ranges).unwrap()) {
                    let mut bytes = bytes[..bytes.len().min(range.len as usize)].to_vec();
                    change(range, &mut bytes);
                    fetched.push(Bytes::from(bytes));
                }
                rounds.push(ranges);
            }
            Step::Batch(batch) => series.extend(batch.series),
            Step::Done => return (series, rounds),
        }
    }
}

/// What the series of these numbers take, in a selection by matchers that find each of them alone.
#[derive(Debug, Default)]
struct Seen {
    reads: Reads,
    n_series: usize,
    /// Series of which no byte of a chunk was read in vain.
    n_exact: usize,
}

/// Selects single series by their labels in the last part of a block's time.
fn select_alone(block: &Block, sizes: IndexStats) -> Seen {
    let (all, range) = (entries(block), block.meta().range());
    let last = TimeRange::new(range.max.0 - (range.max.0 - range.min.0) / 4, range.max.0);
    let mut seen = Seen::default();
    for (_, entry) in all.iter().step_by(all.len().div_ceil(100)) {
        let text = |symbol| String::from_utf8(block.header().symbol(symbol).unwrap().to_vec()).unwrap();
        let equal = |(name, value): &_| Matcher::new(MatchOp::Equal, text(*name), text(*value)).unwrap();
        let request = SelectRequest::new(entry.labels.iter().map(equal).collect(), last);
        let mut select = remote(block, request, sizes);
        let (series, rounds) = run(block, &mut select, |_, _| ());
        if series.len() != 1 {
            continue;
        }
        assert_eq!(rounds.len(), 3, "{rounds:?}");
        let reads = select.take_reads();
        seen.n_exact += usize::from(reads.chunks.fetched == reads.chunks.touched);
        seen.n_series += 1;
        seen.reads += reads;
    }
    seen
}

#[test]
fn a_single_series_needs_half_of_the_bytes_and_three_rounds() {
    // The chunks of the last block have two samples each, so that most bytes are of entries.
    for (name, share) in [("multi-segment", 0.5), ("real-2022", 0.5), ("wide", 0.3)] {
        let block = open(name);
        let largest =
            entries(&block).iter().map(|(series, _)| place(&block, *series)).map(|p| p.end - p.start).max();
        let known = IndexStats { series_max_size: largest.unwrap() as i64, chunk_max_size: 2000 };
        for sizes in [known, IndexStats::default()] {
            let Seen { reads, n_series, n_exact } = select_alone(&block, sizes);
            assert!(n_series > 20 && n_exact * 20 >= n_series * 19, "{name}: {n_exact} of {n_series}");
            let touched = reads.series.touched + reads.chunks.touched;
            let fetched = reads.series.fetched + reads.chunks.fetched;
            assert!(touched as f64 >= share * fetched as f64, "{name}: {touched} of {fetched}");
        }
    }
}

/// The chunks of every third series are asked for from their beginning to that of the next series.
#[test]
fn ranges_end_where_the_next_series_begins() {
    let block = open("wide");
    let all = entries(&block);
    let chosen: Vec<usize> = (0..all.len() - 1).step_by(3).take(200).collect();
    let mut select = remote(&block, SelectRequest::new(vec![], TimeRange::ALL), IndexStats::default());
    select.set_postings(chosen.iter().map(|i| all[*i].0).collect());
    let (series, rounds) = run(&block, &mut select, |_, _| ());
    assert_eq!((series.len(), rounds.len()), (chosen.len(), 2));
    let mut expected: Vec<FileRange> = Vec::new();
    for i in &chosen {
        let (first, next) = (all[*i].1.chunks[0].chunk_ref, all[i + 1].1.chunks[0].chunk_ref);
        let file = BlockFile::Segment(first.segment());
        let (start, end) = (u64::from(first.offset()), u64::from(next.offset()));
        match expected.last_mut() {
            // Reads that lie this close are one read.
            Some(last) if start <= last.end() + 512 => last.len = end - last.start,
            _ => expected.push(FileRange { file, start, len: end - start }),
        }
    }
    assert_eq!(rounds[1], expected);
}

/// Of a series whose last chunks are deleted, the chunk behind the last one left is known from the same entry.
#[test]
fn deleted_chunks_are_not_read() {
    let block = open("multi-segment");
    let all = entries(&block);
    let chosen: Vec<&(SeriesRef, SeriesEntry)> =
        all.iter().filter(|(_, e)| e.chunks.len() > 3).take(40).collect();
    let mut deleted = Tombstones::default();
    for (series, entry) in &chosen {
        let last = &entry.chunks[entry.chunks.len() - 2..];
        let interval = TimeRange::new(last[0].min_time.0, last[1].max_time.0);
        deleted.add_all([u64::from(series.0)], &[interval]);
    }
    let request = SelectRequest::new(vec![], TimeRange::ALL);
    let mut select =
        Select::new(block.meta(), Arc::clone(block.header()), Arc::new(deleted), request).reading_ahead();
    select.set_postings(chosen.iter().map(|(series, _)| *series).collect());
    let (series, _) = run(&block, &mut select, |_, _| ());
    let left = |(series, (_, entry)): (&SelectedSeries, &&(SeriesRef, SeriesEntry))| {
        series.chunks.len() == entry.chunks.len() - 2
    };
    assert!(series.len() > 20 && series.iter().zip(&chosen).all(left));
    let reads = select.take_reads().chunks;
    assert_eq!(reads.fetched, reads.touched);
}

/// Where the entry of a series lies in the index.
fn place(block: &Block, series: SeriesRef) -> Range<u64> {
    let start = block.header().series_offset(series);
    let size = SeriesEntry::size_hint(&block.index()[start as usize..]).unwrap().unwrap();
    start..start + size as u64
}

fn sizes() -> impl Strategy<Value = IndexStats> {
    let size = || prop_oneof![Just(0), 1..40_i64, 1..100_000_i64];
    (size(), size())
        .prop_map(|(series_max_size, chunk_max_size)| IndexStats { series_max_size, chunk_max_size })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Whatever stands behind the entries, and whatever sizes meta.json tells, the series are those of a mapped read.
    #[test]
    fn wrong_hints_change_no_series(
        name in prop::sample::select(&BLOCKS[..]),
        chosen in prop::collection::vec(any::<prop::sample::Index>(), 1..30),
        (from, quarters) in (0..4_i64, 1..5_i64),
        sizes in sizes(),
        noise in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let block = open(name);
        let all: Vec<SeriesRef> = entries(&block).into_iter().map(|(series, _)| series).collect();
        let postings: Postings = chosen.iter().map(|i| *i.get(&all)).collect();
        let quarter = (block.meta().max_time - block.meta().min_time) / 4;
        let start = block.meta().min_time + from * quarter;
        let request = SelectRequest::new(vec![], TimeRange::new(start, start + quarters * quarter));
        let none = Arc::new(Tombstones::default());
        let mut mapped = Select::new(block.meta(), Arc::clone(block.header()), none, request.clone());
        mapped.set_postings(postings.clone());
        let (expected, _) = run(&block, &mut mapped, |_, _| ());
        let own: Vec<_> = postings.iter().map(|series| place(&block, series)).collect();
        // Noise in the place of everything that is not an entry of a chosen series.
        let change = |range: &FileRange, bytes: &mut [u8]| {
            if range.file != BlockFile::Index || noise.is_empty() {
                return;
            }
            let read = bytes.to_vec();
            bytes.iter_mut().zip(noise.iter().cycle()).for_each(|(byte, noise)| *byte = *noise);
            for place in &own {
                let inside = |at: u64| (at.max(range.start) - range.start).min(read.len() as u64) as usize;
                let (start, end) = (inside(place.start), inside(place.end));
                bytes[start..end].copy_from_slice(&read[start..end]);
            }
        };
        let mut select = remote(&block, request, sizes);
        select.set_postings(postings);
        prop_assert_eq!(run(&block, &mut select, change).0, expected);
    }
}
