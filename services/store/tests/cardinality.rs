//! The cardinality from the postings offset table agrees with the series.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use tithon_chunks::TimeRange;
use tithon_engine::{Block, SelectRequest};
use tithon_store::{Cardinality, Counted};

fn sorted(counts: BTreeMap<String, u64>) -> Vec<Counted> {
    let mut out: Vec<Counted> = counts.into_iter().map(|(name, count)| Counted { name, count }).collect();
    out.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
    out
}

#[test]
fn tables_tell_what_series_have() {
    let dir = tithon_testdata::shared("answers/data/replica-a/01HRK1D7808Y7332HNV6GP9882");
    let block = Block::open(dir).unwrap();
    let (mut series, mut pairs) = (0, BTreeMap::new());
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for batch in block.select(SelectRequest::new(Vec::new(), TimeRange::ALL)) {
        for one in batch.unwrap().series {
            series += 1;
            for (name, value) in one.labels.iter() {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                *pairs.entry(format!("{}={}", text(name), text(value))).or_default() += 1;
                values.entry(text(name)).or_default().insert(text(value));
            }
        }
    }
    let found = Cardinality::of(block.header(), 1 << 30).unwrap();
    assert_eq!((found.series, found.names, found.pairs), (series, values.len() as u64, pairs.len() as u64));
    let by_name = values.into_iter().map(|(name, values)| (name, values.len() as u64)).collect();
    assert_eq!(found.values_by_name, sorted(by_name));
    let metric = |(pair, count): (&String, &u64)| Some((pair.strip_prefix("__name__=")?.to_owned(), *count));
    assert_eq!(found.series_by_metric, sorted(pairs.iter().filter_map(metric).collect()));
    assert_eq!(found.series_by_pair, sorted(pairs));
    let few = Cardinality::of(block.header(), 3).unwrap();
    assert_eq!(few.series_by_pair, found.series_by_pair[..3]);
}
