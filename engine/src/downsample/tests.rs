//! Downsampling against Thanos's results for the same samples and blocks, to the byte.

use serde_json::Value;
use tithon_chunks::{AggregateChunk, EncodedChunk, FloatHistogram, SampleBatch, Span, Timestamp};
use tithon_testdata::{json_lines, shared};

use super::*;
use crate::SelectRequest;

fn float_of(bits: &str) -> f64 {
    f64::from_bits(u64::from_str_radix(bits, 16).unwrap())
}

fn described(chunks: &[EncodedChunk]) -> Vec<(i64, i64, String)> {
    let hex = |c: &EncodedChunk| hex::encode(&c.data);
    chunks.iter().map(|c| (c.min_time.0, c.max_time.0, hex(c))).collect()
}

#[test]
fn raw_samples_are_aggregated_as_recorded() {
    let lines = json_lines("testdata/vectors/downsample-raw.jsonl.zst");
    for line in &lines {
        let mut samples = SampleBatch::default();
        for sample in line["input"].as_array().unwrap() {
            samples
                .push(Timestamp(sample["t"].as_i64().unwrap()), float_of(sample["bits"].as_str().unwrap()));
        }
        let resolution = line["resolution"].as_i64().unwrap();
        let nan = samples.values.iter().any(|v| v.is_nan());
        let mut room = SampleBatch::default();
        let made = floats::from_raw(&samples, nan, resolution, &mut room).unwrap();
        let ours = described(&made.iter().map(|made| made.encoded(&room)).collect::<Vec<_>>());
        let expected = |c: &Value| {
            (c["mint"].as_i64().unwrap(), c["maxt"].as_i64().unwrap(), c["hex"].as_str().unwrap().to_owned())
        };
        let none = Vec::new();
        let theirs: Vec<_> = line["chunks"].as_array().unwrap_or(&none).iter().map(expected).collect();
        assert_eq!(ours, theirs, "{}", line["name"]);
    }
    assert_eq!(lines.len(), 120);
}

/// Five minutes and then an hour of a counter whose sum is infinite now and then: from there on it is infinity less infinity,
/// a NaN whose bits upstream stores too.
#[test]
fn counters_of_histograms_with_infinite_sums() {
    let mut samples = histograms::Histograms::default();
    for i in 0..240 {
        let n = f64::from(i % 100);
        let sum = match i % 37 {
            5 | 6 => f64::INFINITY,
            20 => f64::NEG_INFINITY,
            _ => n * 1.5,
        };
        let histogram = FloatHistogram {
            zero_threshold: 0.001,
            zero_count: n,
            count: 4.0 * n,
            sum,
            positive_spans: vec![Span { offset: 0, length: 2 }],
            positive_buckets: vec![n, 2.0 * n],
            ..FloatHistogram::default()
        };
        samples.push(i64::from(i) * 60_000, &histogram);
    }
    let five = histograms::from_raw(&samples, Resolution::FiveMinutes.ms()).unwrap();
    let parsed: Vec<_> = five.iter().map(|chunk| AggregateChunk::parse(&chunk.data).unwrap()).collect();
    let hour = histograms::from_aggregates(&parsed, Resolution::OneHour.ms()).unwrap().unwrap();
    // The bytes that Thanos makes.
    let expected = "\
        15010004feb9b703404e00000000000080dddb011a2b425c030004c0ff3f50624dd2f1a9fc4647e1b773fa05dd4000000000\
        0204dd400000000007ffc000000000000204dd400000000002055d400000000007e1b774069378ffa8cc7f6a331ff5971fd0\
        d6235846b1358fb15a1819106420c8864000005d03000440ff3f50624dd2f1a9fc4647e1b773fa036c000000000002026c00\
        0000000007ffc0000000000002026c00000000000202ec000000000007e1b77406b07ac1b583d416d057dfa88ef6a23bf58f\
        bfec568760f7f60f7db07bfb07be";
    assert_eq!(described(&[hour]), [(3_599_999, 14_340_000, expected.to_owned())]);
}

fn open(case: &str, level: &str) -> Block {
    Block::open(shared(&format!("testdata/downsample/{case}/{level}"))).unwrap()
}

fn same(case: &str, ours: &Block, theirs: &Block) {
    let all = || SelectRequest::new(vec![], TimeRange::ALL);
    let series = |b: &Block| b.select(all()).flat_map(|batch| batch.unwrap().series).collect::<Vec<_>>();
    for (a, b) in series(ours).iter().zip(&series(theirs)) {
        assert_eq!(a.labels, b.labels, "{case}");
        assert_eq!(described(&a.chunks), described(&b.chunks), "{case} {}", a.labels);
    }
    assert!(ours.segments() == theirs.segments(), "{case}: segments differ");
    assert!(ours.index() == theirs.index(), "{case}: index differs");
    // The fields that an upload adds, and the number that upstream writes if it measured nothing.
    let mut meta = ours.meta().clone();
    let (a, b) = (meta.thanos.as_mut().unwrap(), theirs.meta().thanos.clone().unwrap());
    (a.files, a.upload_time) = (b.files, b.upload_time);
    a.index_stats.chunk_max_size = match a.index_stats.chunk_max_size {
        0 => b.index_stats.chunk_max_size,
        size => size,
    };
    let text = |m: &BlockMeta| String::from_utf8(m.to_json()).unwrap();
    assert_eq!(text(&meta), text(theirs.meta()), "{case}");
}

/// Raw to both levels in one pass, and each level alone.
fn check(case: &str) {
    let (raw, five, hour) = (open(case, "raw"), open(case, "5m"), open(case, "1h"));
    let target = |resolution, block: &Block| Target { resolution, id: block.id() };
    let to_five = target(Resolution::FiveMinutes, &five);
    let to_hour = target(Resolution::OneHour, &hour);
    let runs: [(&Block, Vec<Target>); 3] =
        [(&raw, vec![to_five, to_hour]), (&raw, vec![to_five]), (&five, vec![to_hour])];
    for (source, targets) in runs {
        let parent = tempfile::tempdir().unwrap();
        let made = downsample(source, parent.path(), &targets).unwrap();
        assert!(made.iter().all(Option::is_some), "{case}");
        for target in targets {
            let ours = Block::open(parent.path().join(target.id.to_string())).unwrap();
            same(case, &ours, if target.resolution == Resolution::OneHour { &hour } else { &five });
        }
    }
}

#[test]
fn blocks_of_floats() {
    for case in ["long", "short", "odd-start"] {
        check(case);
    }
}

#[test]
fn blocks_of_histograms() {
    for case in ["histograms", "histograms-fast", "penalty"] {
        check(case);
    }
}

#[test]
fn other_resolutions_are_refused() {
    let five = open("short", "5m");
    let parent = tempfile::tempdir().unwrap();
    let target = Target { resolution: Resolution::FiveMinutes, id: BlockId::from_parts(1, 1) };
    let error = downsample(&five, parent.path(), &[target]).unwrap_err();
    assert_eq!(error.kind(), tithon_chunks::ErrorKind::Invalid);
    assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
}
