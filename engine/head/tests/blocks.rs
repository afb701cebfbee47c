//! Blocks cut from a head: against those that Prometheus cut, and what a kill on the way leaves.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::collections::BTreeMap;
use std::path::Path;

use tithon_chunks::{Sample, SampleValue, TimeRange, decode_exact};
use tithon_engine::{Block, BlockId, LabelRequest, SelectRequest, SelectedSeries};
use tithon_head::{Db, DbOptions, HeadOptions, NewSample, NewValue, Refusal, WalOptions};
use tithon_index::{Labels, MatchOp, Matcher};
use tithon_testdata::{copy_dir, shared};

const HOUR: i64 = 3_600_000;

fn options(range_ms: i64) -> DbOptions {
    let head = HeadOptions { range_ms, wal: WalOptions::default() };
    DbOptions { head, retention_ms: 0, has_lock: true }
}

fn ids() -> impl FnMut() -> BlockId {
    let mut n = 0;
    move || {
        n += 1;
        BlockId::from_parts(n, n.into())
    }
}

fn everything(db: &Db) -> BTreeMap<Labels, Vec<(i64, f64)>> {
    let mut select = db.select(SelectRequest::new(vec![], TimeRange::ALL));
    let mut all = BTreeMap::new();
    while let Some(batch) = select.next_batch(3).unwrap() {
        for series in batch.series {
            let mut samples = Vec::new();
            series
                .chunks
                .iter()
                .for_each(|chunk| decode_exact(chunk.encoding, &chunk.data, &mut samples).unwrap());
            let pairs = samples.iter().map(|sample| match sample.value {
                SampleValue::Float(value) => (sample.t.0, value),
                _ => panic!("no float"),
            });
            all.insert(series.labels, pairs.collect());
        }
    }
    all
}

fn labels(i: i64) -> Labels {
    Labels::from_pairs([("__name__", "m"), ("i", &i.to_string())])
}

/// A sample of ten series every minute.
fn append(db: &Db, minutes: std::ops::Range<i64>) {
    for minute in minutes {
        let names: Vec<Labels> = (0..10).map(labels).collect();
        let samples = names.iter().map(|labels| NewSample {
            labels,
            t: minute * 60_000,
            value: NewValue::Float(minute as f64),
        });
        assert_eq!(db.head().append(samples).unwrap(), []);
    }
}

fn check(db: &Db, minutes: std::ops::Range<i64>) {
    let all = everything(db);
    assert_eq!(all.len(), 10);
    let expected: Vec<(i64, f64)> = minutes.map(|minute| (minute * 60_000, minute as f64)).collect();
    for (labels, samples) in all {
        assert_eq!(samples, expected, "{labels}");
    }
}

fn selected(block: &Block) -> Vec<SelectedSeries> {
    let select = block.select(SelectRequest::new(vec![], TimeRange::ALL));
    select.flat_map(|batch| batch.unwrap().series).collect()
}

fn decoded(series: &SelectedSeries) -> Vec<Sample> {
    let mut samples = Vec::new();
    series.chunks.iter().for_each(|chunk| decode_exact(chunk.encoding, &chunk.data, &mut samples).unwrap());
    samples
}

/// Series that begin in different ranges before 1970 are cut where ranges end, too.
#[test]
fn times_before_1970_are_cut_likewise() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = Db::open(dir.path(), options(2 * HOUR)).unwrap();
    for minute in -150..200 {
        let names = [labels(0), labels(1)];
        let n = if minute < -60 { 1 } else { 2 };
        let samples = names.iter().take(n).map(|labels| NewSample {
            labels,
            t: minute * 60_000,
            value: NewValue::Float(minute as f64),
        });
        assert_eq!(db.head().append(samples).unwrap(), []);
    }
    let mut number = 0;
    let done = db.maintain(|| {
        number += 1;
        BlockId::from_parts(number, 1)
    });
    let times = done.unwrap().cut.into_iter().map(|meta| (meta.min_time / 60_000, meta.max_time / 60_000));
    assert_eq!(times.collect::<Vec<_>>(), [(-150, -120), (-120, 0), (0, 120)]);
    assert_eq!(everything(&db).values().map(Vec::len).collect::<Vec<_>>(), [350, 260]);
}

/// The samples of the blocks that Prometheus cut, appended to a head of ours, make the same block. Histograms that come out of
/// a chunk have the buckets of all that it has, so that their chunks may end elsewhere.
#[test]
fn blocks_equal_those_of_prometheus() {
    for (case, id) in [
        ("wal-snappy-checkpoint", "01HWV9KK00B192E0FP26F0BAB4"),
        ("wal-zstd-checkpoint", "01HWV9KK00T4S947WE0N77TVE5"),
    ] {
        let golden = shared(&format!("testdata/head/{case}/{id}"));
        let theirs = Block::open(&golden).unwrap();
        let theirs_selected = selected(&theirs);
        let mut by_time: Vec<(i64, &Labels, Sample)> = Vec::new();
        for series in &theirs_selected {
            by_time.extend(decoded(series).into_iter().map(|sample| (sample.t.0, &series.labels, sample)));
        }
        by_time.sort_by_key(|(t, ..)| *t);
        let dir = tempfile::tempdir().unwrap();
        let (db, _) = Db::open(dir.path(), options(2 * HOUR)).unwrap();
        for (t, labels, sample) in &by_time {
            let value = match &sample.value {
                SampleValue::Float(value) => NewValue::Float(*value),
                SampleValue::Histogram(value) => NewValue::Histogram(value),
                SampleValue::FloatHistogram(value) => NewValue::FloatHistogram(value),
            };
            assert_eq!(
                db.head().append([NewSample { labels, t: *t, value }]).unwrap(),
                [],
                "{case} {labels} {t}"
            );
        }
        assert!(db.maintain(|| id.parse().unwrap()).unwrap().cut.is_empty());
        let later = by_time[0].0 + 4 * HOUR;
        db.head()
            .append([NewSample { labels: by_time[0].1, t: later, value: NewValue::Float(0.0) }])
            .unwrap();
        assert_eq!(db.maintain(|| id.parse().unwrap()).unwrap().cut.len(), 1);
        let ours = Block::open(dir.path().join(id)).unwrap();
        let mut expected = theirs.meta().clone();
        expected.stats.num_chunks = ours.meta().stats.num_chunks;
        assert_eq!(*ours.meta(), expected, "{case}");
        assert!(ours.header().symbols().iter().eq(theirs.header().symbols().iter()), "{case}");
        let (mut n_floats, mut n_same) = (0, 0);
        for (ours, theirs) in selected(&ours).iter().zip(&theirs_selected) {
            assert_eq!(ours.labels, theirs.labels, "{case}");
            let is_float = theirs.chunks.iter().all(|chunk| chunk.encoding.is_float());
            assert!(ours == theirs || !is_float, "{case} {}", ours.labels);
            assert_eq!(decoded(ours).len(), decoded(theirs).len(), "{case} {}", ours.labels);
            n_floats += usize::from(is_float);
            n_same += usize::from(ours == theirs);
        }
        assert!(n_floats >= 15 && n_same >= 30, "{case} {n_floats} {n_same}");
    }
}

#[test]
fn blocks_are_cut_and_the_rest_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = Db::open(dir.path(), options(HOUR)).unwrap();
    append(&db, 10..80);
    assert!(db.maintain(ids()).unwrap().cut.is_empty());
    append(&db, 80..400);
    check(&db, 10..400);
    let mut id = ids();
    let done = db.maintain(&mut id).unwrap();
    let ranges: Vec<_> =
        done.cut.iter().map(|meta| (meta.min_time / 60_000, meta.max_time / 60_000)).collect();
    assert_eq!(ranges, [(10, 60), (60, 120), (120, 180), (180, 240), (240, 300), (300, 360)]);
    check(&db, 10..400);
    let stats = db.head().stats();
    assert_eq!((stats.series, stats.min_time), (10, Some(360 * 60_000)));
    assert!(done.checkpoints > 0 && done.head_truncations == 6, "{done:?}");
    // What is older is refused, as is the past of a series.
    let one = labels(0);
    let at = |minute: i64, value: f64| NewSample {
        labels: &one,
        t: minute * 60_000,
        value: NewValue::Float(value),
    };
    let refused = db.head().append([at(359, 0.0), at(390, 0.0), at(399, 0.0), at(399, 399.0)]).unwrap();
    let reasons: Vec<_> = refused.iter().map(|refused| (refused.index, refused.reason.clone())).collect();
    assert_eq!(reasons, [(0, Refusal::OutOfBounds), (1, Refusal::OutOfOrder), (2, Refusal::Duplicate)]);
    drop(db);
    let (db, opened) = Db::open(dir.path(), options(HOUR)).unwrap();
    assert_eq!(opened.replayed.samples, 400);
    check(&db, 10..400);
    // Names and values come from blocks and head.
    let labels = |values_of: Option<&str>, limit| {
        let values_of = values_of.map(|name| name.as_bytes().to_vec());
        let matchers = vec![Matcher::new(MatchOp::Regex, "i", "[0-3]").unwrap()];
        let found = db.labels(&LabelRequest { values_of, matchers, range: TimeRange::ALL, limit }).unwrap();
        found.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(labels(None, 0), ["__name__", "i"]);
    assert_eq!(labels(Some("i"), 0), ["0", "1", "2", "3"]);
    assert_eq!(labels(Some("i"), 2), ["0", "1"]);
}

#[test]
fn old_blocks_go() {
    let dir = tempfile::tempdir().unwrap();
    let options = DbOptions { retention_ms: 2 * HOUR, ..options(HOUR) };
    let (db, _) = Db::open(dir.path(), options).unwrap();
    let mut id = ids();
    for hour in 0..8 {
        append(&db, hour * 60..(hour + 1) * 60);
        db.maintain(&mut id).unwrap();
    }
    let left: Vec<i64> = db.blocks().iter().map(|meta| meta.max_time / HOUR).collect();
    assert_eq!(left, [6, 7]);
    check(&db, 300..480);
    assert_eq!(
        std::fs::read_dir(dir.path())
            .unwrap()
            .filter(|e| e.as_ref().unwrap().path().join("index").exists())
            .count(),
        2
    );
}

/// A reader that began before a cut still sees all of it, and the head waits for it.
#[test]
fn readers_keep_what_they_read() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = Db::open(dir.path(), options(HOUR)).unwrap();
    append(&db, 0..100);
    let mut select = db.select(SelectRequest::new(vec![], TimeRange::ALL));
    let first = select.next_batch(1).unwrap().unwrap();
    let mut id = ids();
    let done = db.maintain(&mut id).unwrap();
    assert_eq!((done.cut.len(), done.head_truncations), (1, 0));
    check(&db, 0..100);
    assert_eq!(db.maintain(&mut id).unwrap().head_truncations, 0);
    // A process that ends here leaves block and log: nothing is there twice.
    let copy = tempfile::tempdir().unwrap();
    copy_dir(dir.path(), copy.path());
    let (copied, opened) = Db::open(copy.path(), options(HOUR)).unwrap();
    assert_eq!((opened.replayed.samples, opened.replayed.old_samples), (400, 600));
    check(&copied, 0..100);
    let mut count = 0;
    let mut add = |series: &[SelectedSeries]| {
        for one in series {
            let mut samples = Vec::new();
            one.chunks
                .iter()
                .for_each(|chunk| decode_exact(chunk.encoding, &chunk.data, &mut samples).unwrap());
            assert_eq!(samples.len(), 100);
            count += 1;
        }
    };
    add(&first.series);
    while let Some(batch) = select.next_batch(4).unwrap() {
        add(&batch.series);
    }
    assert_eq!(count, 10);
    drop(select);
    assert_eq!(db.maintain(&mut id).unwrap().head_truncations, 1);
    check(&db, 0..100);
}

/// What steps on the way leave: folders that are not finished, and segments that a checkpoint replaced.
#[test]
fn leftovers_of_a_kill_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = Db::open(dir.path(), options(HOUR)).unwrap();
    let mut id = ids();
    append(&db, 0..90);
    let mut before = tempfile::tempdir().unwrap();
    for hour in 2..9 {
        before = tempfile::tempdir().unwrap();
        copy_dir(&dir.path().join("wal"), before.path());
        append(&db, hour * 60 - 30..hour * 60 + 30);
        if db.maintain(&mut id).unwrap().checkpoints > 0 && hour > 6 {
            break;
        }
    }
    let max = db.head().stats().max_time.unwrap() / 60_000 + 1;
    check(&db, 0..max);
    drop(db);
    let wal = dir.path().join("wal");
    let restored = std::fs::read_dir(before.path()).unwrap().filter(|entry| {
        let path = entry.as_ref().unwrap().path();
        let target = wal.join(path.file_name().unwrap());
        let is_gone = !target.exists();
        if is_gone && path.is_dir() {
            copy_dir(&path, &target);
        } else if is_gone {
            std::fs::copy(&path, &target).unwrap();
        }
        is_gone
    });
    assert!(restored.count() > 1);
    for name in [
        "wal/checkpoint.00000099.tmp",
        "01E5Y0Y7ZZZZZZZZZZZZZZZZZZ.tmp-for-creation",
        "01E5Y0Y7ZZZZZZZZZZZZZZZZZZ.tmp-for-deletion",
    ] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
        std::fs::write(dir.path().join(name).join("00000000"), b"x").unwrap();
    }
    let (db, opened) = Db::open(dir.path(), options(HOUR)).unwrap();
    assert!(opened.replayed.repaired.is_none());
    check(&db, 0..max);
    assert!(!dir.path().join("wal/checkpoint.00000099.tmp").exists());
    append(&db, max..max + 200);
    db.maintain(|| BlockId::from_parts(1 << 40, rand(dir.path()))).unwrap();
    check(&db, 0..max + 200);
}

/// Some number that is another one at each call.
fn rand(dir: &Path) -> u128 {
    std::fs::read_dir(dir).unwrap().count() as u128
}

#[test]
fn one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = Db::open(dir.path(), options(HOUR)).unwrap();
    let error = Db::open(dir.path(), options(HOUR)).unwrap_err();
    assert!(error.to_string().ends_with("another process uses this directory"), "{error}");
    drop(db);
    assert!(Db::open(dir.path(), options(HOUR)).is_ok());
}
