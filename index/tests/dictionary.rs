//! Matchers over made-up dictionaries select what calling the matcher on every value selects, and series sets follow
//! the rule that an absent label equals an empty one.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tithon_chunks::{ChunkMeta, ChunkRef, TimeRange, Timestamp};
use tithon_index::{IndexReader, IndexWriter, Labels, MatchOp, Matcher, SeriesDecoder, SeriesEntry};

/// An index of series that have label `v` with each of the values, and one without it.
fn index(values: &BTreeSet<Vec<u8>>) -> (IndexReader, Vec<(u32, Vec<u8>)>) {
    let mut symbols: BTreeSet<Vec<u8>> = values.clone();
    symbols.extend([b"a".to_vec(), b"1".to_vec(), b"v".to_vec()]);
    let mut writer = IndexWriter::new(Vec::new()).unwrap();
    for symbol in &symbols {
        writer.add_symbol(symbol).unwrap();
    }
    let mut series = vec![];
    let chunk = [ChunkMeta { min_time: Timestamp(0), max_time: Timestamp(1), chunk_ref: ChunkRef(8) }];
    for value in std::iter::once(&Vec::new()).chain(values) {
        let labels = Labels::from_pairs([(b"a".as_slice(), b"1".as_slice()), (b"v", value)]);
        series.push((writer.add_series(&labels, &chunk).unwrap().0, value.clone()));
    }
    (IndexReader::open(writer.finish().unwrap().0.into()).unwrap(), series)
}

fn check(reader: &IndexReader, series: &[(u32, Vec<u8>)], pattern: &str) {
    let ops = [MatchOp::Regex, MatchOp::NotRegex, MatchOp::Equal, MatchOp::NotEqual];
    for op in ops {
        let Ok(matcher) = Matcher::new(op, "v", pattern) else { continue };
        let expected: Vec<u32> =
            series.iter().filter(|(_, value)| matcher.matches(value)).map(|(id, _)| *id).collect();
        let found = reader.postings(std::slice::from_ref(&matcher), 0).unwrap();
        assert_eq!(found.as_u32s(), expected, "{matcher}");
    }
}

#[test]
fn kinds_of_patterns_over_many_values() {
    let mut values = BTreeSet::new();
    for i in 0..3000u32 {
        let mixed = i.wrapping_mul(2_654_435_761);
        values.insert(
            format!(
                "{}-v{}-{:x}",
                ["api", "Web", "wOrker", "kafka", "K\u{212a}"][i as usize % 5],
                i % 12,
                mixed
            )
            .into_bytes(),
        );
    }
    values.extend([
        b"\xff\xfe".to_vec(),
        b"api-\xff".to_vec(),
        "\u{fffd}".into(),
        b"\n".to_vec(),
        "\u{17f}et".into(),
    ]);
    let (reader, series) = index(&values);
    for pattern in [
        "",
        ".*",
        ".+",
        "api.*",
        "api.+",
        ".*7f.*",
        ".*7f",
        ".*v1.*f.*",
        "api-v1-.*0",
        "(?i)web.*",
        "(?i)WORKER-V2-.*",
        "(?i)set",
        "(?i)k.-v3.*",
        "[a-k].*-v[0-4]-.*[0-3]{2}",
        "(api|Web)-v1[01]-[0-9a-f]*",
        "api-.",
        "a.*|.*9",
        "...?",
        "(api-v1.*|kafka.*)?",
        "\u{fffd}",
        ".*\u{fffd}",
        "[^a]*",
        "api-v1-8a.*|",
        "nothing",
        "nothing|",
        "(?i)api|web|kafka",
        "(?i).*KAF.*",
        "(?i).*k.*",
        "(?i).*s.*",
        "(?i)K.*",
        "(?i)wO.*-V1.*7",
        "(?i)set.*",
        "(?i)kafka-v1-.*|SET",
        "(?i)[k-s].*-v[0-3]-.*[0-9]",
        "(?i).*A.+",
        ".*[a-f][0-9]",
        ".*(1|[2-4]|fa)",
        "(api|kafka)-v[0-9]-[0-3].*[^0-9]",
    ] {
        check(&reader, &series, pattern);
    }
    let many: Vec<&str> = values.iter().step_by(40).filter_map(|v| std::str::from_utf8(v).ok()).collect();
    check(&reader, &series, &many.join("|"));
    check(&reader, &series, &format!("(?i){}", many.join("|")));
    check(&reader, &series, &format!("(?i){}", many[3]));
    check(&reader, &series, many[3]);
}

fn values() -> impl Strategy<Value = BTreeSet<Vec<u8>>> {
    let value = prop_oneof!["[abAkKs\u{17f}\u{212a}]{1,6}", "[a-c]{1,3}-[0-9]{1,3}", ".{1,4}"]
        .prop_map(String::into_bytes);
    let raw = proptest::collection::vec(any::<u8>(), 1..4);
    proptest::collection::btree_set(prop_oneof![9 => value, 1 => raw], 0..200)
}

fn pattern() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "[abAk]{1,3}",
        Just(".*".to_owned()),
        Just(".+".to_owned()),
        Just("[ab]+".to_owned()),
        Just("[^a]".to_owned()),
        Just("\\d+".to_owned()),
        Just("(?i)".to_owned()),
        Just("-".to_owned()),
        Just("|".to_owned()),
        Just("(a|b-1)".to_owned()),
        Just("(?i:ks)".to_owned()),
        Just("[k-s]{2}".to_owned()),
    ];
    proptest::collection::vec(part, 0..5).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn any_pattern_over_any_values(values in values(), pattern in pattern()) {
        let (reader, series) = index(&values);
        check(&reader, &series, &pattern);
    }

    #[test]
    fn what_is_written_is_read(
        series in proptest::collection::btree_map(
            proptest::collection::btree_map("[a-e]{1,2}", "[a-z\u{e9}]{1,3}", 1..5),
            proptest::collection::vec((0i64..1000, 0i64..1000), 0..6),
            0..80,
        ),
    ) {
        let mut expected: Vec<(Labels, Vec<ChunkMeta>)> = vec![];
        for (labels, steps) in &series {
            let mut time = -5000;
            let chunks = steps.iter().map(|(gap, length)| {
                let min_time = time + 1 + gap;
                time = min_time + length;
                ChunkMeta { min_time: Timestamp(min_time), max_time: Timestamp(time), chunk_ref: ChunkRef(0) }
            });
            expected.push((Labels::from_pairs(labels.iter().map(|(n, v)| (n.as_str(), v.as_str()))), chunks.collect()));
        }
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        let mut chunk_ref = 8;
        for chunk in expected.iter_mut().flat_map(|(_, chunks)| chunks) {
            chunk.chunk_ref = ChunkRef(chunk_ref);
            chunk_ref += 100 + (chunk_ref % 7) * 1_000_000_007;
        }
        let pairs = || expected.iter().flat_map(|(labels, _)| labels.iter());
        let symbols: BTreeSet<&[u8]> = pairs().flat_map(|(n, v)| [n, v]).collect();
        let mut writer = IndexWriter::new(Vec::new()).unwrap();
        for symbol in symbols {
            writer.add_symbol(symbol).unwrap();
        }
        let mut lists = BTreeMap::<(Vec<u8>, Vec<u8>), Vec<u32>>::new();
        for (labels, chunks) in &expected {
            let id = writer.add_series(labels, chunks).unwrap();
            labels.iter().for_each(|(n, v)| lists.entry((n.to_vec(), v.to_vec())).or_default().push(id.0));
        }
        let reader = IndexReader::open(writer.finish().unwrap().0.into()).unwrap();
        for ((name, value), ids) in &lists {
            let found = reader.postings(&[Matcher::new(MatchOp::Equal, name, value).unwrap()], 0).unwrap();
            prop_assert_eq!(found.as_u32s(), ids);
        }
        let (mut entry, mut decoder) = (SeriesEntry::default(), SeriesDecoder::new(reader.header()));
        let range = TimeRange::new(-4000, -3000);
        let all = reader.postings(&[], 0).unwrap();
        prop_assert_eq!(all.len(), expected.len());
        for (id, (labels, chunks)) in all.iter().zip(&expected) {
            reader.series(id, TimeRange::ALL, &mut entry).unwrap();
            prop_assert_eq!(&decoder.labels(&entry).unwrap(), labels);
            prop_assert_eq!(&entry.chunks, chunks);
            reader.series(id, range, &mut entry).unwrap();
            let inside: Vec<_> = chunks.iter().filter(|chunk| chunk.range().overlaps(range)).copied().collect();
            prop_assert_eq!(&entry.chunks, &inside);
        }
    }

    #[test]
    fn lists_of_matchers_are_set_operations(
        series in proptest::collection::btree_set((0u8..4, 0u8..4, 0u8..4), 1..60),
        matchers in proptest::collection::vec((0usize..3, 0u8..4, r"[0-3]?|[0-3]\|[0-3]|[.]\*|[.]\+"), 0..4),
    ) {
        const NAMES: [&str; 3] = ["x", "y", "z"];
        let text = |n: u8| if n == 0 { String::new() } else { n.to_string() };
        let sets: BTreeSet<Labels> = series
            .iter()
            .map(|(x, y, z)| Labels::from_pairs(NAMES.iter().zip([text(*x), text(*y), text(*z)])))
            .filter(|labels| !labels.is_empty())
            .collect();
        let mut writer = IndexWriter::new(Vec::new()).unwrap();
        for symbol in ["1", "2", "3", "x", "y", "z"] {
            writer.add_symbol(symbol.as_bytes()).unwrap();
        }
        let ids: BTreeMap<u32, &Labels> = sets.iter().map(|l| (writer.add_series(l, &[]).unwrap().0, l)).collect();
        let reader = IndexReader::open(writer.finish().unwrap().0.into()).unwrap();
        let ops = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
        let matchers: Vec<Matcher> = matchers
            .iter()
            .map(|(name, op, value)| Matcher::new(ops[*op as usize], NAMES[*name], value).unwrap())
            .collect();
        let matches = |labels: &Labels| matchers.iter().all(|m| m.matches(labels.get(m.name()).unwrap_or_default()));
        let expected: Vec<u32> = ids.iter().filter(|(_, labels)| matches(labels)).map(|(id, _)| *id).collect();
        let found = reader.postings(&matchers, 0).unwrap();
        prop_assert_eq!(found.as_u32s(), &expected);
        for limit in [1, 2, 3, 10, 59, 1000] {
            let found = reader.postings(&matchers, limit).unwrap();
            prop_assert_eq!(found.as_u32s(), &expected[..limit.min(expected.len())], "limit {}", limit);
        }
    }
}
