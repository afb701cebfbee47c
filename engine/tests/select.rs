//! Selections compared with the series that upstream reads from the same blocks, and selections from damaged blocks.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use tithon_chunks::{ErrorKind, TimeRange};
use tithon_engine::{
    Block, BlockFile, LabelRequest, Select, SelectRequest, SelectedSeries, Step, Tombstones,
};
use tithon_index::{Labels, MatchOp, Matcher, Relabel};
use tithon_testdata::{json_lines, shared};

const ALL: TimeRange = TimeRange::new(i64::MIN, i64::MAX);

/// All series of a block, without applying deletions.
fn everything(block: &Block) -> Vec<SelectedSeries> {
    let request = SelectRequest::new(vec![], ALL);
    let none = Arc::new(Tombstones::default());
    drive(block, Select::new(block.meta(), Arc::clone(block.header()), none, request))
}

fn drive(block: &Block, mut select: Select) -> Vec<SelectedSeries> {
    drive_on(block, &mut select)
}

fn drive_on(block: &Block, select: &mut Select) -> Vec<SelectedSeries> {
    let (mut series, mut fetched) = (Vec::new(), Vec::new());
    loop {
        match select.step(std::mem::take(&mut fetched)).unwrap() {
            Step::Fetch(ranges) => fetched = block.read(&ranges).unwrap(),
            Step::Batch(batch) => series.extend(batch.series),
            Step::Done => return series,
        }
    }
}

fn labels_of(line: &Value) -> Labels {
    let pairs: Vec<(String, String)> = serde_json::from_value(line["labels"].clone()).unwrap();
    Labels::from_pairs(pairs)
}

/// Paths below `testdata/` of blocks that have an expected file next to them.
fn blocks_with_expectations(below: &str) -> Vec<String> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.join("meta.json").exists() {
                found.push(path);
            } else if path.is_dir() {
                walk(&path, found);
            }
        }
    }
    let root = shared("testdata");
    let mut found = Vec::new();
    walk(&root.join(below), &mut found);
    let name = |p: &PathBuf| p.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
    let mut names: Vec<String> = found.iter().map(name).collect();
    names.retain(|n| root.join(format!("{n}.expected.jsonl.zst")).exists());
    names.sort();
    names
}

fn check(block: &Block, expected: &str) {
    let lines = json_lines(expected);
    let series = everything(block);
    assert_eq!(series.len(), lines.len(), "{expected}");
    for (ours, line) in series.iter().zip(&lines) {
        assert_eq!(ours.labels, labels_of(line), "{expected}");
        let chunks: Vec<_> = ours
            .chunks
            .iter()
            .map(|c| {
                let crc = format!("{:08x}", crc32c::crc32c(&c.data));
                (c.min_time.0, c.max_time.0, u64::from(c.encoding.byte()), c.data.len() as u64, crc)
            })
            .collect();
        let theirs: Vec<_> = line["chunks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| {
                let n = |k: &str| c[k].as_u64().unwrap();
                (
                    c["mint"].as_i64().unwrap(),
                    c["maxt"].as_i64().unwrap(),
                    n("encoding"),
                    n("bytes"),
                    c["crc32c"].as_str().unwrap().to_owned(),
                )
            })
            .collect();
        assert_eq!(chunks, theirs, "{expected} {}", ours.labels);
    }
}

fn check_digests(block: &Block, expected: &str) {
    let lines = json_lines(expected);
    let mut ours: Vec<Value> = Vec::new();
    tithon_engine::digest::digests(block, |series| {
        ours.push(serde_json::to_value(series).unwrap());
        Ok::<_, tithon_engine::BlockError>(())
    })
    .unwrap();
    assert_eq!(ours.len(), lines.len(), "{expected}");
    for (ours, line) in ours.iter().zip(&lines) {
        assert_eq!(ours, line, "{expected}");
    }
}

#[test]
fn every_chunk_of_every_golden_block() {
    let mut n_blocks = 0;
    for below in ["blocks", "compaction", "downsample"] {
        for name in blocks_with_expectations(below) {
            let block = Block::open(shared(&format!("testdata/{name}"))).unwrap();
            check(&block, &format!("testdata/{name}.expected.jsonl.zst"));
            check_digests(&block, &format!("testdata/{name}.expected.jsonl.zst"));
            n_blocks += 1;
        }
    }
    for entry in std::fs::read_dir(shared("testdata/bucket-expected")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let id = name.split('.').next().unwrap();
        let dirs = ["bucket", "bucket-corrupt-meta"].map(|d| shared("testdata").join(d).join(id));
        let Some(Ok(block)) = dirs.into_iter().find(|d| d.exists()).map(Block::open) else { continue };
        check(&block, &format!("testdata/bucket-expected/{name}"));
        check_digests(&block, &format!("testdata/bucket-expected/{name}"));
        n_blocks += 1;
    }
    assert!(n_blocks >= 70, "{n_blocks}");
}

fn selection(block: &Block, request: SelectRequest) -> Select {
    Select::new(block.meta(), Arc::clone(block.header()), Arc::clone(block.tombstones()), request)
}

/// The number of rounds and the series of a selection whose ranges are read as from object storage.
fn steps_of(block: &Block, request: SelectRequest) -> (usize, Vec<SelectedSeries>) {
    let (fetches, _, series) = rounds_of(block, selection(block, request));
    (fetches, series)
}

/// The number of rounds of a selection, the bytes of segments that it asks for, and its series.
fn rounds_of(block: &Block, mut select: Select) -> (usize, u64, Vec<SelectedSeries>) {
    let mut chunk_bytes = 0;
    let (mut series, mut fetched, mut fetches) = (Vec::new(), Vec::new(), 0);
    loop {
        match select.step(std::mem::take(&mut fetched)).unwrap() {
            Step::Fetch(ranges) => {
                fetches += 1;
                fetched = block.read(&ranges).unwrap();
                let of_segments = ranges.iter().filter(|range| range.file != BlockFile::Index);
                chunk_bytes += of_segments.map(|range| range.len).sum::<u64>();
                for (range, bytes) in ranges.iter().zip(&mut fetched) {
                    *bytes = Bytes::copy_from_slice(&bytes[..bytes.len().min(range.len as usize)]);
                }
            }
            Step::Batch(batch) => series.extend(batch.series),
            Step::Done => return (fetches, chunk_bytes, series),
        }
    }
}

/// With read-ahead, a batch takes one round: its chunks are read with the entries of the next batch.
#[test]
fn reading_ahead_changes_nothing_but_the_rounds() {
    let block = Block::open(shared("testdata/blocks/wide")).unwrap();
    let select = || selection(&block, SelectRequest::new(vec![], ALL)).in_smaller_batches(1000);
    let (rounds, _, series) = rounds_of(&block, select());
    let (rounds_ahead, _, ahead) = rounds_of(&block, select().reading_ahead());
    assert_eq!(ahead, series);
    let batches = series.len().div_ceil(256);
    assert!(batches > 3 && rounds_ahead == 2 + batches && rounds > rounds_ahead, "{rounds} {rounds_ahead}");
    for name in blocks_with_expectations("blocks") {
        let block = Block::open(shared("testdata").join(&name)).unwrap();
        let select = || selection(&block, SelectRequest::new(vec![], ALL)).in_smaller_batches(1000);
        assert_eq!(rounds_of(&block, select().reading_ahead()).2, drive(&block, select()), "{name}");
    }
}

/// If an entry has a chunk after those in the range, that chunk's offset is the end of their bytes.
#[test]
fn chunks_with_others_behind_them_are_asked_for_exactly() {
    let (mut n_series, mut n_exact) = (0, 0);
    for name in blocks_with_expectations("blocks") {
        let block = Block::open(shared("testdata").join(&name)).unwrap();
        let begin = block.meta().min_time;
        let request = SelectRequest::new(vec![], TimeRange::new(begin, begin));
        for series in drive(&block, selection(&block, request)) {
            let one = |(name, value): (&[u8], &[u8])| {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                Matcher::new(MatchOp::Equal, text(name), text(value)).unwrap()
            };
            let matchers: Vec<Matcher> = series.labels.iter().map(one).collect();
            let whole = drive(&block, selection(&block, SelectRequest::new(matchers.clone(), ALL)));
            if whole.len() != 1 || whole[0].chunks.len() == series.chunks.len() || n_series > 200 {
                continue;
            }
            let request = SelectRequest::new(matchers, TimeRange::new(begin, begin));
            let (rounds, bytes, again) = rounds_of(&block, selection(&block, request));
            assert_eq!((rounds, again.as_slice()), (3, [series].as_slice()));
            let used: usize = again[0].chunks.iter().map(|chunk| chunk.data.len()).sum();
            // Length, encoding and checksum of a record are not data of the chunk.
            n_exact += usize::from(bytes <= used as u64 + 10);
            n_series += 1;
        }
    }
    // The last chunk of a segment has no chunk after it in its file.
    assert!(n_series > 100 && n_exact >= n_series - 3, "{n_exact} of {n_series}");
}

#[test]
fn matchers_range_and_limit() {
    let block = Block::open(shared("testdata/blocks/wide")).unwrap();
    let up = Matcher::new(MatchOp::Equal, "__name__", "up").unwrap();
    let (fetches, series) = steps_of(&block, SelectRequest::new(vec![up.clone()], ALL));
    assert_eq!(fetches, 3);
    assert!(!series.is_empty());
    assert!(series.iter().all(|s| s.labels.metric_name() == Some(b"up") && !s.chunks.is_empty()));
    assert!(series.is_sorted_by(|a, b| a.labels < b.labels));

    let limited = SelectRequest { limit: 2, ..SelectRequest::new(vec![up.clone()], ALL) };
    assert_eq!(steps_of(&block, limited).1, series[..2]);
    let labels_only = SelectRequest { skip_chunks: true, ..SelectRequest::new(vec![up.clone()], ALL) };
    let (fetches, names) = steps_of(&block, labels_only);
    assert_eq!(fetches, 2);
    assert_eq!(names.len(), series.len());
    assert!(names.iter().all(|s| s.chunks.is_empty()));
    let before = TimeRange::new(0, block.meta().min_time - 1);
    assert_eq!(steps_of(&block, SelectRequest::new(vec![up], before)).1, []);
    let nobody = Matcher::new(MatchOp::Equal, "no_such_label", "x").unwrap();
    assert_eq!(steps_of(&block, SelectRequest::new(vec![nobody], ALL)), (0, vec![]));
}

#[test]
fn long_records_are_asked_for_again() {
    // The value of one label has 64 KiB, more than the assumed size of an entry.
    let block = Block::open(shared("testdata/blocks/xor-shapes")).unwrap();
    let (fetches, series) = steps_of(&block, SelectRequest::new(vec![], ALL));
    assert!(fetches <= 5, "{fetches}");
    assert_eq!(series, everything(&block));
}

#[test]
fn kept_series_are_those_that_would_be_found() {
    for name in ["wide", "multi-segment", "xor-shapes"] {
        let block = Block::open(shared(&format!("testdata/blocks/{name}"))).unwrap();
        let whole = block.meta().range();
        let (start, length) = (whole.min.0, whole.max.0 - whole.min.0);
        let ranges = [(0, 1), (0, 8), (3, 4), (5, 5), (7, 8), (9, 10)]
            .map(|(from, to)| TimeRange::new(start + length * from / 8, start + length * to / 8));
        for without in [&[][..], &["instance", "job"]] {
            let select = |range| {
                let named = Matcher::new(MatchOp::Regex, "__name__", "[a-u].*").unwrap();
                let relabel = Relabel::new(&Labels::from_pairs([("cluster", "c")]), without);
                let request = SelectRequest { relabel, ..SelectRequest::new(vec![named], range) };
                let none = Arc::new(Tombstones::default());
                Select::new(block.meta(), Arc::clone(block.header()), none, request)
            };
            for first in [ranges[0], ranges[1]] {
                let mut keeping = select(first);
                keeping.keep();
                assert_eq!(drive_on(&block, &mut keeping), drive(&block, select(first)));
                let kept = keeping.take_kept();
                assert!(keeping.take_kept().is_none());
                let Some(kept) = kept else { continue };
                assert!(kept.bytes() > 0);
                for range in ranges {
                    let mut from_kept = select(range);
                    from_kept.set_kept(&kept);
                    assert_eq!(
                        drive_on(&block, &mut from_kept),
                        drive(&block, select(range)),
                        "{name} {range:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn labels_with_and_without_matchers() {
    // The range and the number of matching series decide whether values come from entries or from postings lists.
    for name in ["wide", "xor-shapes"] {
        let block = Block::open(shared(&format!("testdata/blocks/{name}"))).unwrap();
        let series = everything(&block);
        let matcher = |op, name: &str, value: &str| Matcher::new(op, name, value).unwrap();
        for matchers in [
            vec![],
            vec![matcher(MatchOp::Equal, "__name__", "up")],
            vec![matcher(MatchOp::NotEqual, "__name__", "up")],
            vec![matcher(MatchOp::Regex, "__name__", "[a-m].*")],
            vec![matcher(MatchOp::Regex, "__name__", ".*_bucket"), matcher(MatchOp::NotEqual, "le", "+Inf")],
            vec![matcher(MatchOp::Equal, "no_such_label", "")],
        ] {
            let is_chosen = |s: &&SelectedSeries| {
                matchers.iter().all(|m| m.matches(s.labels.get(m.name()).unwrap_or(b"")))
            };
            let chosen: Vec<&SelectedSeries> = series.iter().filter(is_chosen).collect();
            check_labels(&block, &matchers, &chosen);
        }
    }
}

/// Queries all names, and the values of each, of the series that match.
fn check_labels(block: &Block, matchers: &[Matcher], chosen: &[&SelectedSeries]) {
    let names: BTreeSet<&[u8]> = chosen.iter().flat_map(|s| s.labels.iter().map(|(n, _)| n)).collect();
    let whole = block.meta().range();
    let cut = TimeRange::new(whole.min.0, whole.max.0 - 1);
    for (range, limit) in [(ALL, 0), (whole, 0), (whole, 3), (cut, 0)] {
        if range == cut && matchers.is_empty() {
            continue;
        }
        let counts = |s: &&&SelectedSeries| {
            s.chunks.iter().any(|chunk| range.overlaps(TimeRange::new(chunk.min_time.0, chunk.max_time.0)))
        };
        let chosen: Vec<&&SelectedSeries> = chosen.iter().filter(counts).collect();
        let ask = |values_of: Option<&[u8]>| {
            let values_of = values_of.map(<[u8]>::to_vec);
            block.labels(LabelRequest { values_of, matchers: matchers.to_vec(), range, limit }).unwrap()
        };
        let most = if limit == 0 { usize::MAX } else { limit };
        let mut values: BTreeMap<&[u8], BTreeSet<&[u8]>> = BTreeMap::new();
        for (name, value) in chosen.iter().flat_map(|s| s.labels.iter()) {
            values.entry(name).or_default().insert(value);
        }
        assert_eq!(ask(None), values.keys().take(most).collect());
        for label in names.iter().chain([&b"no_such_label"[..]].iter()) {
            let values = values.get(label).into_iter().flatten().take(most).collect();
            assert_eq!(ask(Some(label)), values, "{label:?} of {matchers:?} in {range:?}");
        }
    }
}

fn copy_block(name: &str, to: &Path) {
    let from = shared(&format!("testdata/blocks/{name}"));
    std::fs::create_dir_all(to.join("chunks")).unwrap();
    for file in ["meta.json", "index", "tombstones"] {
        std::fs::write(to.join(file), std::fs::read(from.join(file)).unwrap()).unwrap();
    }
    for entry in std::fs::read_dir(from.join("chunks")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::write(to.join("chunks").join(path.file_name().unwrap()), std::fs::read(&path).unwrap())
            .unwrap();
    }
}

/// Opens and reads everything; checks that the error names the file.
fn fails_with(dir: &Path, kind: ErrorKind, named: &str) {
    let result = Block::open(dir)
        .and_then(|block| block.select(SelectRequest::new(vec![], ALL)).collect::<Result<Vec<_>, _>>());
    let error = result.expect_err("damage goes unnoticed");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(named), "{error}");
}

#[test]
fn damage_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("block");
    let good = |file: &str| std::fs::read(shared(&format!("testdata/blocks/multi-segment/{file}"))).unwrap();
    copy_block("multi-segment", &dir);
    let mut chunk = good("chunks/000002");
    chunk[40] ^= 1;
    std::fs::write(dir.join("chunks/000002"), &chunk).unwrap();
    fails_with(&dir, ErrorKind::Corrupt, "chunks/000002");
    std::fs::write(dir.join("chunks/000002"), &good("chunks/000002")[..1000]).unwrap();
    fails_with(&dir, ErrorKind::Corrupt, "chunks/000002");
    std::fs::write(dir.join("chunks/000002"), b"short").unwrap();
    fails_with(&dir, ErrorKind::Corrupt, "chunks/000002");
    std::fs::write(dir.join("chunks/000002"), good("chunks/000002")).unwrap();

    let index = good("index");
    std::fs::write(dir.join("index"), &index[..index.len() / 2]).unwrap();
    fails_with(&dir, ErrorKind::Corrupt, "index");
    std::fs::write(dir.join("index"), index).unwrap();
    std::fs::write(dir.join("tombstones"), b"0").unwrap();
    fails_with(&dir, ErrorKind::Corrupt, "tombstones");
    std::fs::remove_file(dir.join("tombstones")).unwrap();
    std::fs::write(dir.join("meta.json"), b"{").unwrap();
    fails_with(&dir, ErrorKind::Corrupt, "meta.json");
    std::fs::remove_file(dir.join("meta.json")).unwrap();
    fails_with(&dir, ErrorKind::NotFound, "meta.json");
}

#[test]
fn a_flipped_byte_of_the_index_never_panics() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("block");
    copy_block("tombstones", &dir);
    let index = std::fs::read(dir.join("index")).unwrap();
    for at in (0..index.len()).step_by(7) {
        let mut bad = index.clone();
        bad[at] ^= 0xff;
        std::fs::remove_file(dir.join("index")).unwrap();
        std::fs::write(dir.join("index"), &bad).unwrap();
        if let Ok(block) = Block::open(&dir) {
            for batch in block.select(SelectRequest::new(vec![], ALL)) {
                drop(batch);
            }
        }
    }
}

/// The block `multi-segment` with one byte of the chunks of one of its last series changed.
fn with_a_damaged_end(dir: &Path) -> (Block, Vec<SelectedSeries>) {
    copy_block("multi-segment", dir);
    let sound = everything(&Block::open(dir).unwrap());
    let last = dir.join("chunks").join("000002");
    let mut segment = std::fs::read(&last).unwrap();
    let at = segment.len() - 10;
    segment[at] ^= 1;
    std::fs::write(&last, segment).unwrap();
    (Block::open(dir).unwrap(), sound)
}

#[test]
fn series_before_the_damage_are_yielded_and_the_damaged_one_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (block, sound) = with_a_damaged_end(&dir.path().join("block"));
    let (mut series, mut fault) = (Vec::new(), None);
    for batch in block.select(SelectRequest::new(vec![], ALL)) {
        match batch {
            Ok(batch) => series.extend(batch.series),
            Err(error) => fault = Some(error),
        }
    }
    let fault = fault.unwrap();
    assert!(!series.is_empty() && series.len() < sound.len());
    assert_eq!(series, sound[..series.len()]);
    assert_eq!(fault.series(), Some(&sound[series.len()].labels), "{fault}");
    assert!(fault.to_string().contains("chunks/000002"), "{fault}");

    let limited = SelectRequest { limit: series.len(), ..SelectRequest::new(vec![], ALL) };
    let batches: Vec<_> = block.select(limited).collect::<Result<_, _>>().unwrap();
    assert_eq!(batches.iter().map(|batch| batch.series.len()).sum::<usize>(), series.len());
}

#[test]
fn a_limit_reads_no_more_than_it_needs() {
    let block = Block::open(shared("testdata/blocks/real-2022")).unwrap();
    let request = SelectRequest { limit: 5, ..SelectRequest::new(vec![], ALL) };
    let (header, none) = (Arc::clone(block.header()), Arc::new(Tombstones::default()));
    let mut select = Select::new(block.meta(), header, none, request).in_smaller_batches(3);
    let (mut series, mut fetched) = (0, Vec::new());
    loop {
        match select.step(std::mem::take(&mut fetched)).unwrap() {
            Step::Fetch(ranges) => fetched = block.read(&ranges).unwrap(),
            Step::Batch(batch) => {
                series += batch.series.len();
                assert!(series <= 5);
            }
            Step::Done => break,
        }
    }
    assert_eq!(series, 5);
}

#[test]
fn a_block_that_is_cut_while_it_is_open_says_so() {
    let dir = tempfile::tempdir().unwrap();
    for (file, len) in [("index", 0), ("index", 4096), ("chunks/000001", 0), ("chunks/000002", 100)] {
        let dir = dir.path().join(format!("{}-{len}", file.replace('/', "-")));
        copy_block("multi-segment", &dir);
        let block = Block::open(&dir).unwrap();
        assert!(block.is_current());
        assert!(!everything(&block).is_empty());
        std::fs::OpenOptions::new().write(true).open(dir.join(file)).unwrap().set_len(len).unwrap();
        assert!(!block.is_current());
        let series = block.select(SelectRequest::new(vec![], ALL)).collect::<Result<Vec<_>, _>>();
        let error = series.expect_err(file).to_string();
        assert!(error.contains("was truncated while mapped") && error.contains(file), "{error}");
        assert!(error.contains(&block.id().to_string()), "{error}");
        let request = LabelRequest { values_of: None, matchers: vec![], range: ALL, limit: 0 };
        assert!(block.labels(request).is_err());
        assert!(block.check().is_err());
    }
}
