//! Rewritten golden blocks compared with the same changes made to plain lists of samples.

use std::collections::BTreeMap;

use tithon_chunks::{Sample, canonical_bytes, decode_exact};
use tithon_index::MatchOp;
use tithon_testdata::shared;

use super::*;
use crate::{RelabelRecord, SelectRequest};

/// Samples by time, as canonical bytes without what is known of counter resets, which depends on where chunks begin.
type Series = BTreeMap<i64, Vec<u8>>;

fn samples(block: &Block) -> BTreeMap<Labels, Series> {
    let mut all = BTreeMap::new();
    for batch in block.select(SelectRequest::new(Vec::new(), TimeRange::ALL)) {
        for series in batch.unwrap().series {
            let mut of_series = Series::new();
            for chunk in &series.chunks {
                let mut decoded: Vec<Sample> = Vec::new();
                decode_exact(chunk.encoding, &chunk.data, &mut decoded).unwrap();
                for mut sample in decoded {
                    match &mut sample.value {
                        tithon_chunks::SampleValue::Float(_) => {}
                        tithon_chunks::SampleValue::Histogram(h) => h.counter_reset_hint = Default::default(),
                        tithon_chunks::SampleValue::FloatHistogram(h) => {
                            h.counter_reset_hint = Default::default();
                        }
                    }
                    let mut bytes = Vec::new();
                    canonical_bytes(&sample, &mut bytes);
                    of_series.insert(sample.t.0, bytes);
                }
            }
            all.insert(series.labels, of_series);
        }
    }
    all
}

/// The block rewritten, and what was told of it.
fn rewritten(block: &Block, rules: &Rules) -> (Option<BTreeMap<Labels, Series>>, Vec<String>, BlockMeta) {
    let dir = tempfile::tempdir().unwrap();
    let id = BlockId::from_parts(1, 2);
    let (mut told, mut done) = (Vec::new(), 0);
    let each = |n: usize, changes: Vec<Change>| {
        done += n;
        told.extend(changes.iter().map(Change::to_string));
    };
    let meta = rewrite(block, dir.path(), id, rules, each).unwrap();
    assert_eq!(done as u64, block.meta().stats.num_series);
    let mut dry = Vec::new();
    changes(block, rules, |_, changes| dry.extend(changes.iter().map(Change::to_string))).unwrap();
    assert_eq!(dry, told);
    let Some(meta) = meta else {
        assert!(dir.path().read_dir().unwrap().next().is_none());
        return (None, told, block.meta().clone());
    };
    let made = Block::open(dir.path().join(id.to_string())).unwrap();
    let health = crate::verify::verify(&made);
    assert!(health.is_sound(), "{health:?}");
    (Some(samples(&made)), told, meta)
}

fn block(name: &str) -> Block {
    Block::open(shared(&format!("testdata/blocks/{name}"))).unwrap()
}

fn matcher(op: MatchOp, name: &str, value: &str) -> Matcher {
    Matcher::new(op, name, value).unwrap()
}

fn relabel(change: impl FnOnce(&mut RelabelRecord)) -> RelabelStep {
    let mut record = RelabelRecord::new();
    change(&mut record);
    RelabelStep::new(&record).unwrap()
}

#[test]
fn nothing_to_change_keeps_every_sample() {
    for name in ["xor-shapes", "histograms", "xor2-st", "multi-segment"] {
        let block = block(name);
        let (made, told, meta) = rewritten(&block, &Rules::default());
        assert_eq!((made.unwrap(), told.len()), (samples(&block), 0), "{name}");
        assert_eq!(meta.stats, block.meta().stats, "{name}");
    }
}

/// Deleted samples stay deleted.
#[test]
fn deletions_of_the_block_itself_are_applied() {
    let block = block("tombstones");
    let mut expected = samples(&block);
    expected.retain(|_, series| !series.is_empty());
    assert_eq!(rewritten(&block, &Rules::default()).0.unwrap(), expected);
}

#[test]
fn series_and_intervals_are_deleted() {
    for name in ["xor-shapes", "histograms"] {
        let block = block(name);
        let all = samples(&block);
        let (min, max) = (block.meta().min_time, block.meta().max_time);
        let third = (max - min) / 3;
        let interval = TimeRange::new(min + third, max - third);
        let whole = all.keys().nth(all.len() / 2).unwrap().clone();
        let equal = |(name, value): (&[u8], &[u8])| Matcher::new(MatchOp::Equal, name, value).unwrap();
        let rules = Rules {
            deletions: vec![
                Deletion {
                    matchers: vec![matcher(MatchOp::Regex, "__name__", ".+")],
                    intervals: vec![interval],
                },
                Deletion { matchers: whole.iter().map(equal).collect(), intervals: Vec::new() },
                // A label that no series has matches nothing.
                Deletion { matchers: vec![matcher(MatchOp::NotEqual, "none", "x")], intervals: Vec::new() },
            ],
            ..Rules::default()
        };
        let mut expected = all.clone();
        let has_all = |labels: &Labels| whole.iter().all(|(name, value)| labels.get(name) == Some(value));
        expected.retain(|labels, _| !has_all(labels));
        for (labels, series) in &mut expected {
            if labels.metric_name().is_some() {
                series.retain(|t, _| !(interval.min.0..=interval.max.0).contains(t));
            }
        }
        expected.retain(|_, series| !series.is_empty());
        let (made, told, meta) = rewritten(&block, &rules);
        assert_eq!(made.unwrap(), expected, "{name}");
        assert_eq!(meta.stats.num_samples, expected.values().map(|s| s.len() as u64).sum::<u64>());
        assert!(told.iter().any(|line| line.starts_with("Deleted {") && line.ends_with("}]")), "{told:?}");
    }
}

#[test]
fn a_block_of_which_nothing_is_left_is_not_written() {
    let everything =
        Deletion { matchers: vec![matcher(MatchOp::Regex, "__name__", ".+")], intervals: vec![] };
    let rules = Rules {
        relabels: vec![relabel(|r| {
            (r.action, r.regex) = ("keep".into(), ".+".into());
            r.source_labels = vec!["__name__".into()];
        })],
        deletions: vec![everything],
        ..Rules::default()
    };
    assert_eq!(rewritten(&block("xor-shapes"), &rules).0, None);
}

/// Aggregates stand for windows: only chunks that lie wholly inside the interval go, and only these are told.
#[test]
fn chunks_of_aggregates_go_whole() {
    let block = Block::open(shared("testdata/downsample/long/5m")).unwrap();
    let (min, max) = (block.meta().min_time, block.meta().max_time);
    let interval = TimeRange::new(min, min + (max - min) / 2);
    let chunks = |block: &Block| {
        let mut all: Vec<TimeRange> = Vec::new();
        walk(InputBlock::from(block), |_, entry| {
            all.extend(entry?.chunks.iter().map(|chunk| chunk.range()));
            Ok::<_, BlockError>(())
        })
        .unwrap();
        all
    };
    let (inside, left): (Vec<TimeRange>, Vec<TimeRange>) =
        chunks(&block).into_iter().partition(|chunk| interval.covers(*chunk));
    assert!(!inside.is_empty() && left.iter().any(|chunk| chunk.overlaps(interval)));
    let matchers = vec![matcher(MatchOp::Regex, "__name__", ".+")];
    let deletions = vec![Deletion { matchers, intervals: vec![interval] }];
    let rules = Rules { deletions, ..Rules::default() };
    let (dir, id, mut told) = (tempfile::tempdir().unwrap(), BlockId::from_parts(1, 2), Vec::new());
    rewrite(&block, dir.path(), id, &rules, |_, changes| told.extend(changes)).unwrap();
    assert_eq!(chunks(&Block::open(dir.path().join(id.to_string())).unwrap()), left);
    let told: Vec<TimeRange> = told
        .into_iter()
        .flat_map(|change| match change {
            Change::Deleted { intervals, .. } => intervals,
            Change::Relabelled { .. } => Vec::new(),
        })
        .collect();
    assert!(inside.iter().all(|chunk| told.iter().any(|interval| interval.covers(*chunk))));
    let ends_with_chunks = |told: &TimeRange| {
        inside.iter().any(|chunk| chunk.min == told.min) && inside.iter().any(|chunk| chunk.max == told.max)
    };
    assert!(told.iter().all(ends_with_chunks), "{told:?}");
}

/// Series of the same metric become one where the label that tells them apart is dropped.
#[test]
fn series_that_become_equal_are_merged() {
    for (name, dropped) in [("xor-shapes", "shape|times|length"), ("histograms", "kind|length|case")] {
        let block = block(name);
        let step = relabel(|r| (r.action, r.regex) = ("labeldrop".into(), dropped.into()));
        let rules = Rules { relabels: vec![step], ..Rules::default() };
        let mut expected: BTreeMap<Labels, BTreeMap<i64, Vec<Vec<u8>>>> = BTreeMap::new();
        for (labels, series) in samples(&block) {
            let Some(labels) = relabelled(&labels, &rules.relabels) else { continue };
            let merged = expected.entry(labels).or_default();
            series.into_iter().for_each(|(t, bytes)| merged.entry(t).or_default().push(bytes));
        }
        let (made, told, _) = rewritten(&block, &rules);
        let made = made.unwrap();
        assert!(made.keys().eq(expected.keys()), "{name}");
        assert!(told.iter().all(|line| line.starts_with("Relabelled {")), "{told:?}");
        for ((labels, made), expected) in made.iter().zip(expected.values()) {
            assert!(made.keys().eq(expected.keys()), "{labels}");
            // Histograms that are merged get buckets of each other.
            let floats = made.values().zip(expected.values()).filter(|_| name == "xor-shapes");
            for (bytes, one_of) in floats {
                assert!(one_of.contains(bytes), "{labels}");
            }
        }
    }
}

#[test]
fn changes_are_told_as_thanos_tells_them() {
    let labels = Labels::from_pairs([("__name__", "up"), ("a", "x\"y")]);
    let intervals = vec![TimeRange::new(-5, 10), TimeRange::new(20, 20)];
    let deleted = Change::Deleted { labels: labels.clone(), intervals };
    assert_eq!(deleted.to_string(), r#"Deleted {__name__="up", a="x\"y"} [{-5 10} {20 20}]"#);
    let to = Labels::from_pairs([("a", "z")]);
    let relabelled = Change::Relabelled { from: labels, to };
    assert_eq!(relabelled.to_string(), r#"Relabelled {__name__="up", a="x\"y"} {a="z"}"#);
}
