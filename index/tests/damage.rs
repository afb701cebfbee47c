//! Golden bytes worked out by hand, and what becomes of them when they are cut or changed: errors, never a panic.

#![allow(clippy::unwrap_used)]

mod counts;

use bytes::Bytes;
use tithon_chunks::{ChunkMeta, ChunkRef, TimeRange, Timestamp};
use tithon_index::{
    Cardinality, IndexHeader, IndexReader, IndexWriter, LabelFilter, Labels, MatchOp, Matcher, PostingsPlan,
    SeriesDecoder, SeriesEntry,
};

/// One series `{__name__="up", job="a"}` with a chunk from 1700000000000 to 1700000083200 at 8.
const GOLDEN: &str = "
    baaad700 02
    00000017 00000005 00 08 5f5f6e616d655f5f 01 61 03 6a6f62 02 7570 3c59a292
    000000000000000000000000
    10 02 0104 0302 01 80a0abfef962 808a05 08 4b42dc40
    000000
    00000008 00000001 00000003 a7692ed2
    00000008 00000001 00000003 a7692ed2
    00000008 00000001 00000003 a7692ed2
    0000001e 00000003
    02 00 00 48
    02 08 5f5f6e616d655f5f 02 7570 58
    02 03 6a6f62 01 61 68
    e3d946ed
    0000000000000005 0000000000000024 0000000000000045 0000000000000078 0000000000000045 0000000000000078
    37c7c1f8";

fn golden() -> Vec<u8> {
    let digits: Vec<u32> = GOLDEN.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

#[test]
fn one_series_is_written_as_worked_out() {
    let mut writer = IndexWriter::new(Vec::new()).unwrap();
    for symbol in ["", "__name__", "a", "job", "up"] {
        writer.add_symbol(symbol.as_bytes()).unwrap();
    }
    let chunk = ChunkMeta {
        min_time: Timestamp(1_700_000_000_000),
        max_time: Timestamp(1_700_000_083_200),
        chunk_ref: ChunkRef(8),
    };
    writer.add_series(&Labels::from_pairs([("job", "a"), ("__name__", "up")]), &[chunk]).unwrap();
    assert_eq!(writer.finish().unwrap().0, golden());
}

#[test]
fn an_index_of_nothing_has_100_bytes() {
    let index = IndexWriter::new(Vec::new()).unwrap().finish().unwrap().0;
    assert_eq!(index.len(), 100);
    let reader = IndexReader::open(index.into()).unwrap();
    assert!(reader.postings(&[], 0).unwrap().is_empty());
    assert!(reader.header().label_names().unwrap().is_empty());
}

#[test]
fn input_out_of_order_is_refused() {
    let labels = |value: &str| Labels::from_pairs([("a", value)]);
    let chunk = |min, max, at| ChunkMeta {
        min_time: Timestamp(min),
        max_time: Timestamp(max),
        chunk_ref: ChunkRef(at),
    };
    let mut writer = IndexWriter::new(Vec::new()).unwrap();
    for symbol in ["a", "b", "c"] {
        writer.add_symbol(symbol.as_bytes()).unwrap();
    }
    assert!(writer.add_symbol(b"b").is_err());
    assert!(writer.add_series(&labels("d"), &[]).is_err());
    assert!(writer.add_series(&Labels::default(), &[]).is_err());
    writer.add_series(&labels("b"), &[chunk(1, 2, 8), chunk(3, 4, 9)]).unwrap();
    assert!(writer.add_symbol(b"d").is_err());
    assert!(writer.add_series(&labels("b"), &[]).is_err());
    assert!(writer.add_series(&labels("a"), &[]).is_err());
    for chunks in
        [[chunk(1, 2, 9), chunk(2, 3, 9)], [chunk(1, 2, 9), chunk(4, 3, 9)], [chunk(1, 2, 9), chunk(3, 4, 8)]]
    {
        assert!(writer.add_series(&labels("c"), &chunks).is_err());
    }
    assert!(
        writer.add_series(&labels("c"), &[chunk(1, 2, 8)]).is_err(),
        "a ref before that of the series before"
    );
}

/// Reads everything that can be read.
fn walk(index: &Bytes) {
    let Ok(reader) = IndexReader::open(index.clone()) else { return };
    let header = reader.header();
    for (op, name, value) in [
        (MatchOp::Equal, "job", "a"),
        (MatchOp::NotEqual, "job", ""),
        (MatchOp::Regex, "__name__", ".*p.*"),
        (MatchOp::NotRegex, "__name__", "u[a-z]+"),
    ] {
        drop(reader.postings(&[Matcher::new(op, name, value).unwrap()], 0));
        drop(reader.postings(&[Matcher::new(op, name, value).unwrap()], 1));
    }
    let (mut entry, mut decoder) = (SeriesEntry::default(), SeriesDecoder::new(header));
    if let Ok(all) = reader.postings(&[], 0) {
        for series in all.iter() {
            if reader.series(series, TimeRange::ALL, &mut entry).is_ok() {
                drop(decoder.labels(&entry));
            }
        }
    }
    walk_header(header);
    drop(counts::health(&reader, 0, i64::MAX));
}

fn walk_header(header: &IndexHeader) {
    assert!(header.symbols().iter().count() <= header.symbols().len());
    for name in header.label_names().unwrap_or_default() {
        if let Ok(values) = header.label_values(name) {
            values.for_each(drop);
        }
    }
    drop(header.postings_range(b"job", b"b"));
    for pattern in ["a.*", "a|b|c", "(?i)a|b", "(?i)a.*", "(?i).*a.*", "[a-c][0-9]*", ".+", ".*b"] {
        drop(PostingsPlan::new(header, &[Matcher::new(MatchOp::Regex, "job", pattern).unwrap()], 0));
    }
    drop(Cardinality::of(header, 3));
    drop(LabelFilter::build(header));
}

/// Makes the checksums of the sections right again, so that what lies behind them is read.
fn mend(index: &mut [u8]) {
    for (start, end) in [(9, 32), (49, 65), (76, 84), (92, 100), (108, 116), (124, 154), (158, 206)] {
        let crc = crc32c(&index[start..end]);
        index[end..end + 4].copy_from_slice(&crc.to_be_bytes());
    }
}

fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[test]
fn cut_and_changed_indexes_never_panic() {
    let index = golden();
    let mut mended = index.clone();
    mend(&mut mended);
    assert_eq!(mended, index);
    for len in 0..index.len() {
        assert!(IndexReader::open(Bytes::copy_from_slice(&index[..len])).is_err());
    }
    for at in 0..index.len() {
        for change in [1, 2, 4, 8, 16, 32, 64, 128, 0xff, 0x7f] {
            let mut changed = index.clone();
            changed[at] ^= change;
            walk(&changed.clone().into());
            mend(&mut changed);
            walk(&changed.into());
        }
    }
}

#[test]
fn the_sparse_form_answers_alike_and_damage_to_it_never_panics() {
    let header = IndexHeader::from_index(&golden().into()).unwrap();
    let mut file = Vec::new();
    header.write_sparse(&mut file).unwrap();
    IndexHeader::verify_sparse(&file.clone().into()).unwrap();
    let sparse = IndexHeader::from_sparse(&file.clone().into()).unwrap();
    assert_eq!(sparse.postings_range(b"job", b"a").unwrap(), Some(104..120));
    assert_eq!(sparse.postings_range(b"", b"").unwrap(), Some(72..88));
    assert_eq!(sparse.series_bounds(), header.series_bounds());
    assert!(sparse.resident_bytes() < 1024);
    for len in 0..file.len() {
        assert!(IndexHeader::from_sparse(&Bytes::copy_from_slice(&file[..len])).is_err());
    }
    for at in 0..file.len() {
        for change in [1, 2, 4, 8, 16, 32, 64, 128, 0xff, 0x7f] {
            let mut changed = file.clone();
            changed[at] ^= change;
            let changed = Bytes::from(changed);
            assert!(IndexHeader::verify_sparse(&changed).is_err());
            if let Ok(header) = IndexHeader::from_sparse(&changed) {
                walk_header(&header);
            }
        }
    }
}
