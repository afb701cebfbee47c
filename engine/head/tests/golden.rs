//! Logs that Prometheus wrote: every record, and what its own database found in them.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};
use tithon_chunks::{
    CounterResetHint, EncodedChunk, FloatHistogram, Histogram, Sample, SampleValue, Span, TimeRange,
    canonical_bytes, decode_exact,
};
use tithon_engine::SelectRequest;
use tithon_head::{Db, DbOptions, HeadOptions, Record, SegmentReader, WalOptions};
use tithon_index::Labels;
use tithon_testdata::{copy_dir, json_lines, shared};

const CASES: [&str; 7] =
    ["wal-none", "wal-snappy-checkpoint", "wal-zstd-checkpoint", "wal-st", "wbl", "wbl-st", "snapshot"];

fn labels_of(line: &Value) -> Labels {
    let pairs: Vec<(String, String)> = serde_json::from_value(line["labels"].clone()).unwrap();
    Labels::from_pairs(pairs)
}

fn bits(value: &Value) -> f64 {
    f64::from_bits(u64::from_str_radix(value.as_str().unwrap(), 16).unwrap())
}

fn int(value: &Value) -> i64 {
    value.as_i64().unwrap()
}

fn spans(value: &Value) -> Vec<Span> {
    let pairs: Vec<(i32, u32)> = serde_json::from_value(value.clone()).unwrap_or_default();
    pairs.into_iter().map(|(offset, length)| Span { offset, length }).collect()
}

fn hint(value: &Value) -> CounterResetHint {
    [CounterResetHint::Unknown, CounterResetHint::Reset, CounterResetHint::NotReset, CounterResetHint::Gauge]
        [value.as_u64().unwrap() as usize]
}

fn list<T>(value: &Value, one: impl Fn(&Value) -> T) -> Vec<T> {
    value.as_array().map(|all| all.iter().map(one).collect()).unwrap_or_default()
}

fn number<T: std::str::FromStr<Err: std::fmt::Debug>>(value: &Value) -> T {
    value.as_str().unwrap().parse().unwrap()
}

/// Deltas of buckets, told as absolute counts.
fn deltas(value: &Value) -> Vec<i64> {
    let mut before = 0;
    list(value, number::<i64>)
        .into_iter()
        .map(|count| count - std::mem::replace(&mut before, count))
        .collect()
}

fn histogram(h: &Value) -> Histogram {
    Histogram {
        counter_reset_hint: hint(&h["hint"]),
        schema: int(&h["schema"]) as i32,
        zero_threshold: bits(&h["zero_threshold"]),
        zero_count: number(&h["zero_count"]),
        count: number(&h["count"]),
        sum: bits(&h["sum"]),
        positive_spans: spans(&h["pos_spans"]),
        negative_spans: spans(&h["neg_spans"]),
        positive_buckets: deltas(&h["pos_buckets"]),
        negative_buckets: deltas(&h["neg_buckets"]),
        custom_values: list(&h["custom_values"], bits),
    }
}

fn float_histogram(h: &Value) -> FloatHistogram {
    FloatHistogram {
        counter_reset_hint: hint(&h["hint"]),
        schema: int(&h["schema"]) as i32,
        zero_threshold: bits(&h["zero_threshold"]),
        zero_count: bits(&h["zero_count"]),
        count: bits(&h["count"]),
        sum: bits(&h["sum"]),
        positive_spans: spans(&h["pos_spans"]),
        negative_spans: spans(&h["neg_spans"]),
        positive_buckets: list(&h["pos_buckets"], bits),
        negative_buckets: list(&h["neg_buckets"], bits),
        custom_values: list(&h["custom_values"], bits),
    }
}

/// Compares a record with what upstream decoded; NaNs by their bits, in text.
fn check_record(record: &Record, line: &Value) {
    let samples = line["samples"].as_array().cloned().unwrap_or_default();
    let key = |sample: &Value| (sample["ref"].as_u64().unwrap(), int(&sample["t"]));
    match record {
        Record::Series(ours) => {
            let theirs = list(&line["series"], |one| (one["ref"].as_u64().unwrap(), labels_of(one)));
            assert_eq!(*ours, theirs);
        }
        Record::Samples(ours) => {
            let ours: Vec<_> = ours.iter().map(|s| ((s.series, s.t), s.value.to_bits())).collect();
            let theirs: Vec<_> = samples.iter().map(|s| (key(s), bits(&s["bits"]).to_bits())).collect();
            assert_eq!(ours, theirs);
        }
        Record::Histograms(ours) => {
            let ours: Vec<_> = ours.iter().map(|s| ((s.series, s.t), canonical(&s.value))).collect();
            let theirs = samples.iter().map(|s| (key(s), canonical(&histogram(&s["h"]))));
            assert_eq!(ours, theirs.collect::<Vec<_>>());
        }
        Record::FloatHistograms(ours) => {
            let ours: Vec<_> = ours.iter().map(|s| ((s.series, s.t), float_canonical(&s.value))).collect();
            let theirs = samples.iter().map(|s| (key(s), float_canonical(&float_histogram(&s["h"]))));
            assert_eq!(ours, theirs.collect::<Vec<_>>());
        }
        Record::Tombstones(ours) => {
            let theirs = list(&line["tombstones"], |t| (key_of(t), int(&t["mint"]), int(&t["maxt"])));
            assert_eq!(ours.iter().map(|t| (t.series, t.min, t.max)).collect::<Vec<_>>(), theirs);
        }
        Record::Other(kind) => assert!([4, 5, 6].contains(kind), "{kind}"),
    }
}

fn key_of(line: &Value) -> u64 {
    line["ref"].as_u64().unwrap()
}

fn canonical(h: &Histogram) -> Vec<u8> {
    canonical_value(SampleValue::Histogram(h.clone()))
}

fn float_canonical(h: &FloatHistogram) -> Vec<u8> {
    canonical_value(SampleValue::FloatHistogram(h.clone()))
}

fn canonical_value(value: SampleValue) -> Vec<u8> {
    let mut out = Vec::new();
    canonical_bytes(&Sample { t: Default::default(), st: Default::default(), value }, &mut out);
    out
}

fn segments(dir: &Path) -> Vec<std::path::PathBuf> {
    let all = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = all.filter(|path| path.is_file()).collect();
    files.sort();
    files
}

#[test]
fn every_record_is_read_and_written_again() {
    let (mut n_same, mut n_records) = (0, 0);
    for case in CASES {
        let root = shared(&format!("testdata/head/{case}"));
        let mut lines: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for line in json_lines(&format!("testdata/head/{case}.records.jsonl.zst")) {
            lines.entry(line["dir"].as_str().unwrap().to_owned()).or_default().push(line);
        }
        for (dir, lines) in lines {
            let mut lines = lines.into_iter();
            for segment in segments(&root.join(&dir)) {
                let mut reader = SegmentReader::new(File::open(&segment).unwrap());
                while let Some(bytes) = reader.next_record().unwrap() {
                    let line = lines.next().unwrap();
                    let crc = format!("{:08x}", crc32c::crc32c(bytes));
                    assert_eq!(
                        (bytes.len() as u64, crc.as_str()),
                        (line["bytes"].as_u64().unwrap(), line["crc32c"].as_str().unwrap())
                    );
                    let record = Record::decode(bytes).unwrap();
                    check_record(&record, &line);
                    n_records += 1;
                    let again = record.encode();
                    if bytes[0] < 11 && again.len() == 1 {
                        n_same += usize::from(again[0] == bytes);
                        assert_eq!(Record::decode(&again[0]).unwrap().encode(), again);
                    }
                }
            }
            assert!(lines.next().is_none(), "{case} {dir}");
        }
    }
    // The base of a record of histograms may be one with custom buckets, which is in the record behind it.
    assert!(n_records > 300 && n_same > 200, "{n_same} of {n_records}");
}

fn open_copy(case: &str) -> (tempfile::TempDir, Db, tithon_head::Opened) {
    let dir = tempfile::tempdir().unwrap();
    copy_dir(&shared(&format!("testdata/head/{case}")), dir.path());
    let head = HeadOptions { range_ms: 7_200_000, wal: WalOptions::default() };
    let (db, opened) = Db::open(dir.path(), DbOptions { head, retention_ms: 0, has_lock: true }).unwrap();
    (dir, db, opened)
}

fn everything(db: &Db) -> BTreeMap<Labels, Vec<EncodedChunk>> {
    let mut select = db.select(SelectRequest::new(vec![], TimeRange::ALL));
    let mut all = BTreeMap::new();
    while let Some(batch) = select.next_batch(7).unwrap() {
        all.extend(batch.series.into_iter().map(|series| (series.labels, series.chunks)));
    }
    all
}

/// Histograms without their hints, which depend on how samples lie in chunks.
fn without_hint(mut sample: Sample) -> Sample {
    match &mut sample.value {
        SampleValue::Float(_) => {}
        SampleValue::Histogram(h) => h.counter_reset_hint = CounterResetHint::Unknown,
        SampleValue::FloatHistogram(h) => h.counter_reset_hint = CounterResetHint::Unknown,
    }
    sample
}

#[test]
fn replay_finds_what_prometheus_found() {
    // In the other cases samples came out of order.
    for case in ["wal-none", "wal-snappy-checkpoint", "wal-zstd-checkpoint", "wal-st", "snapshot"] {
        let (_dir, db, opened) = open_copy(case);
        assert!(opened.replayed.repaired.is_none() && opened.faulty.is_empty(), "{case} {opened:?}");
        assert_eq!(opened.replayed.unknown_schemas, 0, "{case}");
        let all = everything(&db);
        let lines = json_lines(&format!("testdata/head/{case}.queried.jsonl.zst"));
        let names: Vec<_> = lines.iter().map(labels_of).collect();
        let ours: Vec<_> = all.keys().cloned().collect();
        assert_eq!(ours, names, "{case}");
        let mut n_same = 0;
        for line in &lines {
            let labels = labels_of(line);
            let mut samples = Vec::new();
            for chunk in &all[&labels] {
                decode_exact(chunk.encoding, &chunk.data, &mut samples).unwrap();
            }
            let (mut hash, mut bytes) = (Sha256::new(), Vec::new());
            for sample in &samples {
                bytes.clear();
                canonical_bytes(sample, &mut bytes);
                hash.update(&bytes);
            }
            let found = (samples.len() as u64, samples[0].t.0, samples[samples.len() - 1].t.0);
            let mut n_samples = line["samples"].as_u64().unwrap();
            // The end of a series of histograms that came in one transaction with later ones: upstream logs it, puts it behind
            // these in memory, and drops it there. A mapped chunk is without it.
            if case == "wal-zstd-checkpoint" && labels.get("kind") == Some(b"mixed-stale") {
                n_samples += 1;
            }
            let expected = (n_samples, int(&line["mint"]), int(&line["maxt"]));
            assert_eq!(found, expected, "{case} {labels}");
            let is_same = hex::encode(hash.finalize()) == line["digest"].as_str().unwrap();
            let is_float = samples.iter().all(|sample| matches!(sample.value, SampleValue::Float(_)));
            assert!(is_same || !is_float, "{case} {labels}");
            n_same += usize::from(is_same);
        }
        eprintln!("{case}: {n_same} of {} digests", lines.len());
        assert!(n_same * 10 >= lines.len() * 8, "{case}: {n_same} of {}", lines.len());
    }
}

/// Whether chunks are the same but for what they tell of a counter reset before them: where the log begins with a checkpoint, the
/// chunk before is not known.
fn same_chunk(ours: &[u8], theirs: &[u8]) -> bool {
    let rest = |chunk: &[u8]| [&chunk[..2], &chunk[3..]].concat();
    ours == theirs || rest(ours) == rest(theirs) && ours[2] == 0
}

/// Chunks that Prometheus wrote of the same samples are made again, byte by byte.
#[test]
fn chunks_are_cut_as_prometheus_cuts_them() {
    for case in ["wal-none", "wal-snappy-checkpoint", "wal-zstd-checkpoint"] {
        let (_dir, db, _) = open_copy(case);
        let all = everything(&db);
        let refs: BTreeMap<u64, Labels> = json_lines(&format!("testdata/head/{case}.records.jsonl.zst"))
            .iter()
            .flat_map(|line| list(&line["series"], |one| (key_of(one), labels_of(one))))
            .collect();
        let deleted: std::collections::BTreeSet<u64> =
            json_lines(&format!("testdata/head/{case}.records.jsonl.zst"))
                .iter()
                .flat_map(|line| list(&line["tombstones"], key_of))
                .collect();
        let (mut n_same, mut n_chunks) = (0, 0);
        for line in json_lines(&format!("testdata/head/{case}.head-chunks.jsonl.zst")) {
            // What was deleted is not in a chunk of ours. A mapped chunk may be older than what the log has.
            let Some(labels) = refs.get(&key_of(&line)).filter(|_| !deleted.contains(&key_of(&line))) else {
                continue;
            };
            // Upstream dropped a sample of it, as above.
            if case == "wal-zstd-checkpoint" && labels.get("kind") == Some(b"mixed-stale") {
                continue;
            }
            n_chunks += 1;
            let is_it = |chunk: &EncodedChunk| {
                chunk.min_time.0 == int(&line["mint"])
                    && chunk.max_time.0 == int(&line["maxt"])
                    && u64::from(chunk.encoding.byte()) == line["encoding"].as_u64().unwrap()
                    && same_chunk(&chunk.data, &hex::decode(line["hex"].as_str().unwrap()).unwrap())
            };
            if all.get(labels).is_some_and(|chunks| chunks.iter().any(is_it)) {
                n_same += 1;
            } else {
                let near: Vec<_> = all
                    .get(labels)
                    .into_iter()
                    .flatten()
                    .map(|c| (c.min_time.0, c.max_time.0, c.encoding))
                    .collect();
                eprintln!("{case} {labels}: {} to {} is not among {near:?}", line["mint"], line["maxt"]);
            }
        }
        assert!(n_chunks > 5, "{case}");
        assert_eq!(n_same, n_chunks, "{case}");
    }
}

#[test]
fn samples_do_not_differ_but_in_hints() {
    let (_dir, db, _) = open_copy("wal-none");
    for chunks in everything(&db).into_values() {
        let mut samples = Vec::new();
        chunks.iter().for_each(|chunk| decode_exact(chunk.encoding, &chunk.data, &mut samples).unwrap());
        let samples: Vec<Sample> = samples.into_iter().map(without_hint).collect();
        assert!(samples.is_sorted_by(|a, b| a.t < b.t));
    }
}
