//! Bodies for `tithon-index`: bytes in, no panic out; operations in, the same as a model.

use std::collections::BTreeSet;

use arbitrary::Arbitrary;
use bytes::Bytes;
use tithon_chunks::TimeRange;
use tithon_index::kernel::{self, Isa};
use tithon_index::{
    IndexHeader, IndexReader, LabelFilter, MatchOp, Matcher, PostingsPlan, SeriesDecoder, SeriesEntry, sets,
};

/// Any bytes taken for an index and read through.
pub fn index_open(data: &[u8]) {
    let Ok(index) = IndexReader::open(Bytes::copy_from_slice(data)) else { return };
    let (mut entry, mut decoder) = (SeriesEntry::default(), SeriesDecoder::new(index.header()));
    header_read(index.header());
    let Ok(all) = index.postings(&[], 1000) else { return };
    for series in all.iter() {
        if index.series(series, TimeRange::ALL, &mut entry).is_ok() {
            drop(decoder.labels(&entry));
        }
    }
}

/// Any bytes taken for an index and accounted for.
pub fn index_audit(data: &[u8]) {
    drop(tithon_index::audit(&Bytes::copy_from_slice(data)));
}

/// Any bytes taken for an index-header, Thanos's or ours, or for a filter.
pub fn index_header(data: &[u8]) {
    let data = Bytes::copy_from_slice(data);
    let headers = [IndexHeader::from_thanos(&data), IndexHeader::from_sparse(&data)];
    headers.iter().flatten().for_each(header_read);
    if let Ok(filter) = LabelFilter::open(data) {
        filter.may_contain(b"a", b"b");
    }
}

fn header_read(header: &IndexHeader) {
    for name in header.label_names().unwrap_or_default().into_iter().take(100) {
        if let Ok(values) = header.label_values(name) {
            values.take(100).for_each(drop);
        }
    }
    header.symbols().iter().take(1000).for_each(drop);
    for pattern in ["a.*", "a|b|c", "(?i)a|b", "(?i)a.*", "(?i).*a.*", "[a-c][0-9]*", ".+", ".*b"] {
        let matcher = Matcher::new(MatchOp::Regex, "a", pattern).expect("a pattern");
        drop(PostingsPlan::new(header, &[matcher], 0));
    }
}

/// Any bytes taken for a series entry.
pub fn series_entry(data: &[u8]) {
    drop(SeriesEntry::size_hint(data));
    let mut entry = SeriesEntry::default();
    drop(entry.decode(data, 0, TimeRange::ALL));
    drop(entry.decode_body(data, 0, TimeRange::ALL));
}

/// Any text taken for a pattern, any bytes for a value.
pub fn matcher(data: &[u8]) {
    let (pattern, value) = data.split_at(data.len() / 2);
    if let Ok(matcher) = Matcher::new(MatchOp::Regex, "a", pattern) {
        let not = Matcher::new(MatchOp::NotRegex, "a", pattern).expect("taken a moment ago");
        assert_ne!(matcher.matches(value), not.matches(value));
    }
}

/// Two sets and what to make of them.
#[derive(Arbitrary, Debug)]
pub struct TwoSets {
    a: BTreeSet<u32>,
    b: BTreeSet<u32>,
}

/// Set operations are those of `BTreeSet`.
pub fn set_operations(input: &TwoSets) {
    let TwoSets { a, b } = input;
    let (va, vb): (Vec<u32>, Vec<u32>) = (a.iter().copied().collect(), b.iter().copied().collect());
    for isa in Isa::available() {
        let (mut both, mut only) = (vec![], vec![]);
        kernel::intersect(isa, &va, &vb, &mut both);
        kernel::difference(isa, &va, &vb, &mut only);
        assert!(both.iter().eq(a.intersection(b)));
        assert!(only.iter().eq(a.difference(b)));
    }
    assert!(sets::normalize([va, vb].concat()).iter().eq(a.union(b)));
}
