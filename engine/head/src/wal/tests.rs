//! What is logged is read again, over all borders of pages and segments.

use std::fs::File;
use std::path::Path;

use proptest::prelude::*;
use tithon_chunks::crc32c;

use super::*;

fn read_all(dir: &Path) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    for (_, path) in Files::of(dir).unwrap().segments_from(dir, None).unwrap() {
        let mut reader = SegmentReader::new(File::open(path).unwrap());
        while let Some(record) = reader.next_record().unwrap() {
            records.push(record.to_vec());
        }
    }
    records
}

/// A record that packing makes shorter, or does not.
fn record(len: usize, seed: u8) -> Vec<u8> {
    let noise = |i: usize| crc32c(&[(i >> 8) as u8, i as u8, seed]) as u8;
    (0..len).map(|i| if seed.is_multiple_of(2) { seed } else { noise(i) }).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn records_come_back(
        sizes in prop::collection::vec(
            (prop_oneof![0usize..60, 32_600usize..32_800, 60_000usize..70_000, 0usize..150_000], any::<u8>(), any::<bool>()), 1..30),
        packs in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let compression = if packs { Compression::Snappy } else { Compression::None };
        let mut wal = Wal::create(dir.path(), 0, WalOptions { compression, segment_bytes: 96 << 10 }).unwrap();
        let (mut all, mut batch) = (Vec::new(), Vec::new());
        for (len, seed, ends_batch) in sizes {
            batch.push(record(len, seed));
            if ends_batch {
                wal.log(batch.iter().map(Vec::as_slice)).unwrap();
                all.append(&mut batch);
            }
        }
        wal.log(batch.iter().map(Vec::as_slice)).unwrap();
        all.append(&mut batch);
        prop_assert_eq!(read_all(dir.path()), all);
        let files = Files::of(dir.path()).unwrap();
        for (number, path) in &files.segments {
            let len = std::fs::metadata(path).unwrap().len();
            prop_assert!(*number == wal.segment() || len % PAGE as u64 == 0);
            let mut reader = SegmentReader::new(File::open(path).unwrap());
            let mut n = 0;
            while reader.next_record().unwrap().is_some() {
                n += 1;
            }
            prop_assert!(len <= 96 << 10 || n == 1, "{len} bytes of {n} records");
        }
    }
}

#[test]
fn a_fragment_byte_by_byte() {
    let dir = tempfile::tempdir().unwrap();
    let options = WalOptions { compression: Compression::None, ..WalOptions::default() };
    let mut wal = Wal::create(dir.path(), 0, options).unwrap();
    let series = hex::decode("01000000000000000102085f5f6e616d655f5f027570036a6f620161").unwrap();
    wal.log([series.as_slice()]).unwrap();
    let bytes = std::fs::read(dir.path().join("00000000")).unwrap();
    assert_eq!(hex::encode(&bytes), format!("01001ce2137703{}", hex::encode(&series)));
}

#[test]
fn exactly_seven_bytes_are_left_to_a_first_fragment() {
    let dir = tempfile::tempdir().unwrap();
    let options = WalOptions { compression: Compression::None, ..WalOptions::default() };
    let mut wal = Wal::create(dir.path(), 0, options).unwrap();
    let (first, second) = (vec![1; PAGE - 14], vec![2; 100]);
    wal.log([first.as_slice(), second.as_slice()]).unwrap();
    let bytes = std::fs::read(dir.path().join("00000000")).unwrap();
    assert_eq!(hex::encode(&bytes[PAGE - 7..PAGE]), "02000000000000");
    assert_eq!((bytes[PAGE], bytes.len()), (4, PAGE + 107));
    assert_eq!(read_all(dir.path()), [first, second]);
}

#[test]
fn zstd_is_read_and_lies_are_refused() {
    let packed = zstd::encode_all(&[7u8; 5000][..], 3).unwrap();
    let fragment = |bits: u8, payload: &[u8]| {
        let mut bytes = vec![1 | bits];
        bytes.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        bytes.extend_from_slice(&crc32c(payload).to_be_bytes());
        bytes.extend_from_slice(payload);
        bytes
    };
    let bytes = fragment(1 << 4, &packed);
    let mut reader = SegmentReader::new(bytes.as_slice());
    assert_eq!(reader.next_record().unwrap(), Some([7u8; 5000].as_slice()));
    // Four gigabytes out of six bytes.
    let lie = fragment(1 << 3, &[0xff, 0xff, 0xff, 0xff, 0x0f, 0]);
    let mut reader = SegmentReader::new(lie.as_slice());
    let failure = reader.next_record().unwrap_err();
    assert!(matches!(failure, ReadFailure::Damage(crate::WalDamage::Packed(_))), "{failure:?}");
}

#[test]
fn a_batch_that_fails_in_a_later_segment_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let options = WalOptions { compression: Compression::None, segment_bytes: 64 << 10 };
    let mut wal = Wal::create(dir.path(), 0, options).unwrap();
    let records: Vec<Vec<u8>> = (0..8).map(|seed| record(30_000, seed)).collect();
    let log =
        |wal: &mut Wal, range: std::ops::Range<usize>| wal.log(records[range].iter().map(Vec::as_slice));
    log(&mut wal, 0..1).unwrap();
    let len = std::fs::metadata(dir.path().join("00000000")).unwrap().len();
    // The segments 1 and 2 can be begun, the third cannot.
    let obstacle = dir.path().join("00000003");
    std::fs::create_dir(&obstacle).unwrap();
    log(&mut wal, 1..8).unwrap_err();
    assert_eq!(wal.segment(), 0);
    assert_eq!(std::fs::metadata(dir.path().join("00000000")).unwrap().len(), len);
    assert!(!dir.path().join("00000001").exists() && !dir.path().join("00000002").exists());
    std::fs::remove_dir(&obstacle).unwrap();
    log(&mut wal, 4..8).unwrap();
    let expected: Vec<_> = records[..1].iter().chain(&records[4..]).cloned().collect();
    assert_eq!(read_all(dir.path()), expected);
}
