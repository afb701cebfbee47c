//! Logs that end in the middle of something, and logs with wrong bytes.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::path::Path;

use tithon_chunks::{TimeRange, decode_exact};
use tithon_engine::SelectRequest;
use tithon_head::{
    Compression, Head, HeadError, HeadOptions, NewSample, NewValue, Replayed, WalDamage, WalError, WalOptions,
};
use tithon_index::Labels;

fn options() -> HeadOptions {
    HeadOptions {
        range_ms: 7_200_000,
        wal: WalOptions { compression: Compression::None, segment_bytes: 64 << 10 },
    }
}

fn labels(i: usize) -> Labels {
    Labels::from_pairs([("__name__", "m"), ("i", &i.to_string())])
}

/// Appends `n` times a sample of each of three series, one call each. Most values do not end with zeros: these would be found again
/// where the file is cut, as a page is filled up with zeros.
fn append(head: &Head, from: i64, n: i64) {
    let names: Vec<Labels> = (0..3).map(labels).collect();
    for t in from..from + n {
        let samples = names.iter().map(|labels| NewSample {
            labels,
            t: t * 1000,
            value: NewValue::Float(t as f64 / 3.0),
        });
        assert_eq!(head.append(samples).unwrap(), []);
    }
}

/// The times of the samples of each series.
fn times(head: &Head) -> Vec<Vec<i64>> {
    let select = head.select(&SelectRequest::new(vec![], TimeRange::ALL));
    let times = select.map(|series| {
        let mut samples = Vec::new();
        series
            .chunks
            .iter()
            .for_each(|chunk| decode_exact(chunk.encoding, &chunk.data, &mut samples).unwrap());
        samples.iter().map(|sample| sample.t.0 / 1000).collect()
    });
    times.collect()
}

fn open(dir: &Path) -> (Head, Replayed) {
    Head::open(dir, i64::MIN, options()).unwrap()
}

#[test]
fn a_torn_tail_costs_the_last_record_only() {
    let dir = tempfile::tempdir().unwrap();
    let (head, _) = open(dir.path());
    append(&head, 0, 100);
    drop(head);
    let segment = dir.path().join("00000000");
    let whole = std::fs::read(&segment).unwrap();
    // Every place within the last two records.
    for cut in (whole.len() - 130..whole.len()).rev() {
        let copy = tempfile::tempdir().unwrap();
        std::fs::write(copy.path().join("00000000"), &whole[..cut]).unwrap();
        let (head, replayed) = open(copy.path());
        let found = times(&head);
        let n = found[0].len() as i64;
        assert!((97..=100).contains(&n), "{cut}: {n}");
        assert!(found.iter().all(|times| *times == (0..n).collect::<Vec<_>>()), "{cut}");
        if let Some(error) = &replayed.repaired {
            assert!(matches!(error, WalError::Corrupt { .. }), "{error}");
        }
        // What comes after is kept, and read again with what was there.
        append(&head, 200, 3);
        drop(head);
        let (head, replayed) = open(copy.path());
        assert!(replayed.repaired.is_none(), "{cut} {replayed:?}");
        let expected: Vec<i64> = (0..n).chain(200..203).collect();
        assert!(times(&head).iter().all(|times| *times == expected), "{cut}");
    }
}

#[test]
fn wrong_bytes_end_the_log_there() {
    let dir = tempfile::tempdir().unwrap();
    let (head, _) = open(dir.path());
    // Several segments of two pages each.
    append(&head, 0, 3000);
    drop(head);
    let mut segments: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path()).collect();
    segments.sort();
    assert!(segments.len() > 2, "{segments:?}");
    let mut bytes = std::fs::read(&segments[1]).unwrap();
    bytes[40_000] ^= 1;
    std::fs::write(&segments[1], &bytes).unwrap();
    let (head, replayed) = open(dir.path());
    let Some(WalError::Corrupt { path, damage, offset }) = &replayed.repaired else { panic!("{replayed:?}") };
    assert_eq!(path, &segments[1]);
    assert!((39_900..=40_000).contains(offset), "{offset}");
    assert!(
        matches!(damage, WalDamage::Checksum { .. } | WalDamage::Header(_) | WalDamage::Length { .. }),
        "{damage}"
    );
    let found = times(&head);
    let n = found[0].len() as i64;
    assert!(n > 1000 && n < 3000, "{n}");
    assert!(found.iter().all(|times| (n - 1..=n).contains(&(times.len() as i64))));
    // The damaged segment, and the new one.
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
    assert!(std::fs::metadata(&segments[1]).unwrap().len() == *offset);
}

#[test]
fn a_gap_or_a_damaged_checkpoint_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let (head, _) = open(dir.path());
    append(&head, 0, 5000);
    let mut n = 0;
    while !head.truncate_wal(0).unwrap() {
        n += 1;
        assert!(n < 10);
    }
    drop(head);
    let (head, replayed) = open(dir.path());
    assert_eq!((replayed.samples, times(&head)[0].len()), (15_000, 5000));
    drop(head);
    let checkpoint =
        std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path()).find(|path| path.is_dir()).unwrap();
    let segment = checkpoint.join("00000000");
    let good = std::fs::read(&segment).unwrap();
    let mut bad = good.clone();
    bad[100] ^= 0x80;
    std::fs::write(&segment, bad).unwrap();
    let error = Head::open(dir.path(), i64::MIN, options()).unwrap_err();
    assert!(matches!(&error, HeadError::Wal(WalError::Corrupt { .. })), "{error}");
    std::fs::write(&segment, good).unwrap();
    let mut segments: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    segments.sort();
    std::fs::remove_file(&segments[0]).unwrap();
    let error = Head::open(dir.path(), i64::MIN, options()).unwrap_err();
    assert!(matches!(&error, HeadError::Wal(WalError::Gap { .. })), "{error}");
}
