//! Records byte by byte.

use tithon_chunks::{CUSTOM_BUCKETS_SCHEMA, Histogram, Span};
use tithon_index::Labels;

use super::*;

fn check(record: &Record, expected: &str) {
    let expected: String = expected.split_whitespace().collect();
    let bytes = record.encode();
    assert_eq!(bytes.iter().map(hex::encode).collect::<Vec<_>>(), [expected]);
    assert_eq!(Record::decode(&bytes[0]).unwrap(), *record);
}

fn sample<V>(series: u64, t: i64, value: V) -> RefSample<V> {
    RefSample { series, t, value }
}

#[test]
fn series_samples_and_tombstones() {
    let labels = Labels::from_pairs([("__name__", "up"), ("job", "a")]);
    check(
        &Record::Series(vec![(1, labels)]),
        "01 0000000000000001 02 08 5f5f6e616d655f5f 02 7570 03 6a6f62 01 61",
    );
    check(
        &Record::Samples(vec![sample(7, 1000, 1.5), sample(5, 990, 2.0)]),
        "02 0000000000000007 00000000000003e8 00 00 3ff8000000000000 03 13 4000000000000000",
    );
    let tombstones =
        vec![Tombstone { series: 3, min: -1, max: 1000 }, Tombstone { series: 3, min: 2000, max: 3000 }];
    check(&Record::Tombstones(tombstones), "03 0000000000000003 01 d00f 0000000000000003 a01f f02e");
}

#[test]
fn samples_with_starts() {
    let bytes = "0b 0e d00f a006 3ff8000000000000 03 13 00 4000000000000000 08 00 02 c801 4008000000000000 \
                 02 14 01 4010000000000000 02 14 02 9003 4010000000000000";
    let bytes = hex::decode(bytes.split_whitespace().collect::<String>()).unwrap();
    let expected = [(7, 1000, 1.5), (5, 990, 2.0), (9, 1000, 3.0), (10, 1010, 4.0), (11, 1010, 4.0)];
    let expected = expected.map(|(series, t, value)| sample(series, t, value));
    assert_eq!(Record::decode(&bytes).unwrap(), Record::Samples(expected.to_vec()));
}

#[test]
fn custom_buckets_have_a_record_of_their_own() {
    let plain = Histogram {
        schema: 1,
        count: 3,
        sum: 4.5,
        positive_spans: vec![Span { offset: -1, length: 2 }],
        positive_buckets: vec![2, -1],
        ..Histogram::default()
    };
    let custom = Histogram { schema: CUSTOM_BUCKETS_SCHEMA, custom_values: vec![1.0], ..plain.clone() };
    let both = [sample(4, 10, custom.clone()), sample(5, 12, plain.clone())];
    let records = put_histograms(&both);
    // The base of the first record is the sample in the second one.
    let expected = "07 0000000000000004 000000000000000a 02 04 00 02 0000000000000000 00 03 4012000000000000 \
                    01 01 02 00 02 04 01 00";
    assert_eq!(hex::encode(&records[0]), expected.split_whitespace().collect::<String>());
    assert_eq!(records.len(), 2);
    assert_eq!(Record::decode(&records[0]).unwrap(), Record::Histograms(vec![sample(5, 12, plain)]));
    assert_eq!(Record::decode(&records[1]).unwrap(), Record::Histograms(vec![sample(4, 10, custom)]));
}

#[test]
fn what_makes_no_sense_is_refused() {
    for bytes in ["01 00", "02 0000000000000007", "02 0000000000000007 00000000000003e8 00 00 3f", "03 00"] {
        let bytes = hex::decode(bytes.replace(' ', "")).unwrap();
        assert!(Record::decode(&bytes).is_err(), "{bytes:?}");
    }
    // A histogram whose list of spans claims more than there is.
    let mut bytes = vec![7];
    bytes.extend_from_slice(&[0; 16]);
    bytes.extend_from_slice(&[0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert!(Record::decode(&bytes).is_err());
    assert_eq!(Record::decode(&[]).unwrap(), Record::Other(0));
    assert_eq!(Record::decode(&[99, 1]).unwrap(), Record::Other(99));
}
