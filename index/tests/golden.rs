//! Indexes written by Prometheus and Thanos: read, written again byte for byte, asked as upstream was asked.
#![allow(clippy::unwrap_used)]

mod counts;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tithon_chunks::TimeRange;
use tithon_index::{
    Cardinality, IndexHeader, IndexReader, IndexWriter, LabelFilter, Labels, MatchOp, Matcher, Postings,
    SeriesDecoder, SeriesEntry, Toc, write_thanos_header,
};
use tithon_testdata::{json_lines, shared};

fn read(path: impl AsRef<Path>) -> Bytes {
    let path = path.as_ref();
    std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).into()
}

/// Every file of this name below `folder`.
fn files_named(folder: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = vec![];
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for item in std::fs::read_dir(&folder).unwrap() {
            let path = item.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|n| n == name) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn rewrite(index: &Bytes) -> Vec<u8> {
    let reader = IndexReader::open(index.clone()).unwrap();
    let header = reader.header();
    let mut writer = IndexWriter::new(Vec::new()).unwrap();
    for symbol in header.symbols().iter() {
        writer.add_symbol(symbol).unwrap();
    }
    let (mut entry, mut decoder) = (SeriesEntry::default(), SeriesDecoder::new(header));
    for series in reader.postings(&[], 0).unwrap().iter() {
        reader.series(series, TimeRange::ALL, &mut entry).unwrap();
        let labels = decoder.labels(&entry).unwrap();
        writer.add_series(&labels, &entry.chunks).unwrap();
    }
    writer.finish().unwrap().0
}

#[test]
fn every_index_is_written_again_byte_for_byte() {
    let mut same = 0;
    let damaged = shared("testdata/field/damaged-postings/index");
    for path in files_named(&shared("testdata"), "index").into_iter().filter(|path| *path != damaged) {
        let index = read(&path);
        let version = IndexReader::open(index.clone()).unwrap().header().version();
        let toc = Toc::parse(&index, index.len() as u64).unwrap();
        // Old writers add label indices, which nobody reads: such files are only compared by content.
        if version == 1 || toc.label_offsets != toc.postings_offsets {
            let again = Bytes::from(rewrite(&index));
            assert_eq!(dump(&IndexReader::open(again).unwrap()), dump(&IndexReader::open(index).unwrap()));
        } else {
            assert!(rewrite(&index) == index, "{} differs", path.display());
            same += 1;
        }
    }
    assert!(same > 60, "only {same} indexes were compared");
}

/// Labels and chunks of all series, whatever their refs.
fn dump(reader: &IndexReader) -> Vec<(Labels, Vec<tithon_chunks::ChunkMeta>)> {
    let (mut entry, mut decoder) = (SeriesEntry::default(), SeriesDecoder::new(reader.header()));
    let all = reader.postings(&[], 0).unwrap();
    all.iter()
        .map(|series| {
            reader.series(series, TimeRange::ALL, &mut entry).unwrap();
            (decoder.labels(&entry).unwrap(), entry.chunks.clone())
        })
        .collect()
}

#[test]
fn series_are_those_that_upstream_reads() {
    let mut checked = 0;
    for set in ["xor-shapes", "wide", "histograms-st", "multi-segment", "tombstones", "xor-st-lost"] {
        let reader = IndexReader::open(read(shared(&format!("testdata/blocks/{set}/index")))).unwrap();
        let (mut entry, mut decoder) = (SeriesEntry::default(), SeriesDecoder::new(reader.header()));
        let all = reader.postings(&[], 0).unwrap();
        let lines = json_lines(&format!("testdata/blocks/{set}.expected.jsonl.zst"));
        assert_eq!(all.len(), lines.len());
        for (series, line) in all.iter().zip(&lines) {
            reader.series(series, TimeRange::ALL, &mut entry).unwrap();
            check_series(line, u64::from(series.0), &decoder.labels(&entry).unwrap(), &entry);
            checked += 1;
        }
    }
    assert!(checked > 30_000);
}

fn check_series(line: &Value, id: u64, labels: &Labels, entry: &SeriesEntry) {
    assert_eq!(line["id"], id);
    let pairs = line["labels"].as_array().unwrap().iter();
    let expected = Labels::from_pairs(pairs.map(|p| (p[0].as_str().unwrap(), p[1].as_str().unwrap())));
    assert_eq!(*labels, expected);
    let chunks = line["chunks"].as_array().unwrap();
    assert_eq!(chunks.len(), entry.chunks.len());
    for (expected, chunk) in chunks.iter().zip(&entry.chunks) {
        assert_eq!(expected["mint"], chunk.min_time.0);
        assert_eq!(expected["maxt"], chunk.max_time.0);
        assert_eq!(expected["ref"], chunk.chunk_ref.0);
    }
}

fn matcher(m: &Value) -> Matcher {
    let text = |i: usize| m[i].as_str().unwrap();
    let op = match text(1) {
        "=" => MatchOp::Equal,
        "!=" => MatchOp::NotEqual,
        "=~" => MatchOp::Regex,
        "!~" => MatchOp::NotRegex,
        op => panic!("operator {op}"),
    };
    Matcher::new(op, text(0), text(2)).unwrap()
}

fn ids_sha256(postings: &Postings) -> String {
    let mut sha = Sha256::new();
    for series in postings.iter() {
        sha.update(u64::from(series.0).to_le_bytes());
    }
    sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn matchers_select_what_upstream_selects() {
    let mut checked = 0;
    for set in ["wide", "xor-shapes"] {
        let reader = IndexReader::open(read(shared(&format!("testdata/blocks/{set}/index")))).unwrap();
        for line in json_lines(&format!("testdata/blocks/{set}.matchers.jsonl.zst")) {
            let matchers: Vec<Matcher> = line["matchers"].as_array().unwrap().iter().map(matcher).collect();
            let found = reader.postings(&matchers, 0).unwrap();
            assert_eq!(line["count"], found.len(), "{matchers:?}");
            assert_eq!(line["ids_sha256"], ids_sha256(&found), "{matchers:?}");
            let first = reader.postings(&matchers, 7).unwrap();
            assert_eq!(first.as_u32s(), &found.as_u32s()[..found.len().min(7)], "{matchers:?}");
            if let Some(names) = line["label_names"].as_array() {
                assert_eq!(names_of(&reader, &found), *names, "{matchers:?}");
            }
            checked += 1;
        }
    }
    assert!(checked > 900, "only {checked} matcher lists");
}

#[test]
fn limits_cut_what_is_found() {
    let reader = IndexReader::open(read(shared("testdata/blocks/wide/index"))).unwrap();
    let matchers = [Matcher::new(MatchOp::NotEqual, "__name__", "").unwrap()];
    let all = reader.postings(&matchers, 0).unwrap();
    let some = reader.postings(&matchers, 10).unwrap();
    assert_eq!(some.as_u32s(), &all.as_u32s()[..10]);
    assert_eq!(reader.postings(&matchers, all.len() + 1).unwrap(), all);
}

#[test]
fn a_filter_knows_every_pair_and_few_others() {
    let mut checked = 0;
    for set in ["wide", "xor-shapes", "real-2022"] {
        let header = IndexHeader::from_index(&read(shared(&format!("testdata/blocks/{set}/index")))).unwrap();
        let filter = LabelFilter::build(&header).unwrap();
        assert_eq!(filter.as_bytes(), LabelFilter::build(&header).unwrap().as_bytes());
        let filter = LabelFilter::open(filter.as_bytes().clone()).unwrap();
        let (mut pairs, mut false_hits) = (0usize, 0);
        for name in header.label_names().unwrap() {
            for value in header.label_values(name).unwrap() {
                let value = value.unwrap().value;
                assert!(filter.may_contain(name, value));
                false_hits += usize::from(filter.may_contain(name, &[value, b"?"].concat()));
                pairs += 1;
            }
        }
        assert!(false_hits * 100 < pairs + 400, "{false_hits} of {pairs}");
        let equal = |value: &str| [Matcher::new(MatchOp::Equal, "__name__", value).unwrap()];
        assert!(filter.may_match(&equal("")));
        let set = Matcher::new(MatchOp::Regex, "job", "no such job|nor this one").unwrap();
        assert!(!filter.may_match(&[set]));
        checked += pairs;
    }
    assert!(checked > 10_000, "{checked} pairs");
}

#[test]
fn damaged_filters_are_refused() {
    let header = IndexHeader::from_index(&read(shared("testdata/blocks/xor-shapes/index"))).unwrap();
    let file = LabelFilter::build(&header).unwrap().as_bytes().to_vec();
    for len in 0..file.len() {
        assert!(LabelFilter::open(Bytes::copy_from_slice(&file[..len])).is_err());
    }
    for at in 0..file.len() {
        let mut damaged = file.clone();
        damaged[at] ^= 0x10;
        assert!(LabelFilter::open(damaged.into()).is_err());
    }
}

#[test]
fn cardinality_is_that_of_the_series() {
    for set in ["wide", "histograms", "index-format-v1"] {
        let reader = IndexReader::open(read(shared(&format!("testdata/blocks/{set}/index")))).unwrap();
        let mut pairs = std::collections::BTreeMap::<(Vec<u8>, Vec<u8>), u64>::new();
        let all = dump(&reader);
        for (labels, _) in &all {
            for (name, value) in labels.iter() {
                *pairs.entry((name.to_vec(), value.to_vec())).or_default() += 1;
            }
        }
        let found = Cardinality::of(reader.header(), 5).unwrap();
        assert_eq!(found.series, all.len() as u64);
        assert_eq!(found.pairs, pairs.len() as u64);
        let mut top: Vec<_> = pairs.iter().collect();
        top.sort_by_key(|((name, value), series)| (std::cmp::Reverse(**series), name.clone(), value.clone()));
        let expected: Vec<_> = top.iter().take(5).map(|((n, v), s)| (&**n, &**v, **s)).collect();
        let got: Vec<_> = found.top_pairs.iter().map(|p| (&*p.name, &*p.value, p.series)).collect();
        assert_eq!(got, expected);
        for name in &found.names {
            let of_name = pairs.iter().filter(|((n, _), _)| **n == *name.name);
            let (values, series) = of_name.fold((0, 0), |(v, s), (_, n)| (v + 1, s + n));
            assert_eq!((name.values, name.series), (values, series));
        }
    }
}

#[test]
fn healthy_blocks_are_found_healthy_and_sizes_are_those_of_thanos() {
    let (mut blocks, mut with_stats) = (0, 0);
    for path in files_named(&shared("testdata"), "meta.json") {
        let index = path.with_file_name("index");
        let Ok(meta) = serde_json::from_slice::<Value>(&std::fs::read(&path).unwrap()) else { continue };
        if !index.exists() {
            continue;
        }
        let reader = IndexReader::open(read(&index)).unwrap();
        let time = |key: &str| meta[key].as_i64().unwrap();
        let health = counts::health(&reader, time("minTime"), time("maxTime")).unwrap();
        assert!(!health.is_faulty(), "{}: {health:?}", path.display());
        assert_eq!(meta["stats"]["numSeries"].as_u64().unwrap_or(0), health.series, "{}", path.display());
        assert_eq!(meta["stats"]["numChunks"].as_u64().unwrap_or(0), health.chunks, "{}", path.display());
        // Thanos writes the least number there is where it could measure nothing.
        let sizes = &meta["thanos"]["index_stats"];
        if let Some(size) = sizes["chunk_max_size"].as_i64() {
            assert_eq!(size, health.chunk_max_size.map_or(i64::MIN, |n| n as i64), "{}", path.display());
            let series = sizes["series_max_size"].as_i64();
            assert_eq!(
                series,
                Some(health.series_max_size.map_or(i64::MIN, |n| n as i64)),
                "{}",
                path.display()
            );
            with_stats += 1;
        }
        blocks += 1;
    }
    assert!(blocks > 60 && with_stats > 20, "{blocks} blocks, {with_stats} with sizes");
}

fn names_of(reader: &IndexReader, found: &Postings) -> Vec<Value> {
    let (mut entry, mut names) = (SeriesEntry::default(), std::collections::BTreeSet::new());
    for series in found.iter() {
        reader.series(series, TimeRange::ALL, &mut entry).unwrap();
        names.extend(entry.labels.iter().map(|(name, _)| *name));
    }
    let text = |s| std::str::from_utf8(reader.header().symbol(s).unwrap()).unwrap();
    names.into_iter().map(|s| Value::from(text(s))).collect()
}

#[test]
fn label_values_are_those_of_upstream() {
    for set in ["wide", "xor-shapes"] {
        let reader = IndexReader::open(read(shared(&format!("testdata/blocks/{set}/index")))).unwrap();
        let mut names = vec![];
        for line in json_lines(&format!("testdata/blocks/{set}.label-values.jsonl.zst")) {
            let name = line["label_name"].as_str().unwrap();
            let values: Vec<_> =
                reader.header().label_values(name.as_bytes()).unwrap().map(Result::unwrap).collect();
            assert_eq!(line["count"], values.len(), "{name}");
            for (value, expected) in values.iter().zip(line["values"].as_array().into_iter().flatten()) {
                assert_eq!(expected.as_str().unwrap().as_bytes(), value.value);
                let range = reader.header().postings_range(name.as_bytes(), value.value).unwrap();
                assert_eq!(range.as_ref(), Some(&value.list));
            }
            names.push(name.as_bytes().to_vec());
        }
        assert_eq!(reader.header().label_names().unwrap(), names);
    }
}

#[test]
fn thanos_headers_are_written_byte_for_byte_and_answer_as_the_index_does() {
    let mut checked = 0;
    let roles = [("bucket-index-headers", "bucket"), ("index-headers", "blocks")];
    for (folder, blocks) in roles {
        for path in files_named(&shared(&format!("testdata/{folder}")), "index-header") {
            let block = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
            let index = read(shared(&format!("testdata/{blocks}/{block}/index")));
            let file = read(&path);
            check_header(&index, &file);
            checked += 1;
        }
    }
    assert_eq!(checked, 12);
}

fn check_header(index: &Bytes, file: &Bytes) {
    let size = index.len() as u64;
    let toc = Toc::parse(index, size).unwrap();
    let part = |r: std::ops::Range<u64>| &index[r.start as usize..r.end as usize];
    let mut written = vec![];
    let (symbols, offsets) = (part(toc.symbols_range()), part(toc.offsets_range(size)));
    write_thanos_header(index[4], &toc, symbols, offsets, &mut written).unwrap();
    assert!(written == *file);

    let header = IndexHeader::from_index(index).unwrap();
    check_same(&header, &IndexHeader::from_thanos(file).unwrap());
    let mut sparse = vec![];
    match header.write_sparse(&mut sparse) {
        Ok(()) => {
            let sparse = IndexHeader::from_sparse(&sparse.into()).unwrap();
            check_same(&header, &sparse);
            assert!(sparse.resident_bytes() < 1024);
        }
        Err(error) => assert!(header.version() == 1, "{error}"),
    }
}

fn check_same(a: &IndexHeader, b: &IndexHeader) {
    assert_eq!(a.version(), b.version());
    assert_eq!(a.series_bounds(), b.series_bounds());
    assert!(a.symbols().iter().eq(b.symbols().iter()));
    assert_eq!(a.label_names().unwrap(), b.label_names().unwrap());
    for name in a.label_names().unwrap() {
        let values = |h: &IndexHeader| -> Vec<(Vec<u8>, std::ops::Range<u64>)> {
            h.label_values(name).unwrap().map(|v| v.unwrap()).map(|v| (v.value.to_vec(), v.list)).collect()
        };
        assert_eq!(values(a), values(b));
    }
}
