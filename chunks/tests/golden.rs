//! Chunks worked out by hand, bit by bit, from the descriptions of the formats.

#![allow(clippy::unwrap_used)]

use tithon_chunks::{
    CounterResetHint, Encoding, Histogram, HistogramEncoder, Sample, SampleValue, Span, Timestamp,
    Xor2Encoder, XorEncoder, decode_exact,
};

const T: i64 = 1_700_000_000_000;
const S: i64 = 1_699_999_990_000;
const STALE: u64 = 0x7ff0_0000_0000_0002;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap()).collect()
}

/// Samples as (time, start timestamp, bits).
fn floats(encoding: Encoding, data: &[u8]) -> Vec<(i64, i64, u64)> {
    let mut samples: Vec<Sample> = Vec::new();
    decode_exact(encoding, data, &mut samples).unwrap();
    let bits = |sample: &Sample| match sample.value {
        SampleValue::Float(value) => value.to_bits(),
        _ => panic!("not a float"),
    };
    samples.iter().map(|sample| (sample.t.0, sample.st.0, bits(sample))).collect()
}

fn check_xor(samples: &[(i64, f64)], hex: &str) {
    let mut encoder = XorEncoder::new();
    samples.iter().for_each(|(t, value)| encoder.push(*t, *value));
    assert_eq!(encoder.byte_len(), bytes(hex).len());
    assert_eq!(encoder.finish(), bytes(hex));
    let expected: Vec<_> = samples.iter().map(|(t, value)| (*t, 0, value.to_bits())).collect();
    assert_eq!(floats(Encoding::Xor, &bytes(hex)), expected);
}

fn check_xor2(samples: &[(i64, i64, f64)], hex: &str) {
    let mut encoder = Xor2Encoder::new();
    samples.iter().for_each(|(t, start, value)| encoder.push(*start, *t, *value));
    assert_eq!(encoder.finish(), bytes(hex));
    let expected: Vec<_> = samples.iter().map(|(t, start, value)| (*t, *start, value.to_bits())).collect();
    assert_eq!(floats(Encoding::Xor2, &bytes(hex)), expected);
}

#[test]
fn xor_small() {
    check_xor(&[], "0000");
    // count, zigzag varint of 1000, bits of 1.5
    check_xor(&[(1_000, 1.5)], "0001 d00f 3ff8000000000000");
    // and a delta of 7, then one bit for an equal value
    check_xor(&[(1_000, 1.5), (1_007, 1.5)], "0002 d00f 3ff8000000000000 07 00");
}

#[test]
fn xor_every_kind_of_code() {
    let stale = f64::from_bits(STALE);
    check_xor(
        &[
            (T, 1.5),
            (T + 15_000, 1.5),
            (T + 30_000, 2.5),
            (T + 45_007, 2.25),
            (T + 60_007, 2.0),
            (T + 83_200, stale),
        ],
        "0006 80a0abfef962 3ff8000000000000 9875 309bfff8007da177ff33840038bdffc00000000000 08",
    );
}

#[test]
fn xor_twenty_and_sixty_four_bit_times() {
    // dod 65537: 1110, 20 bits; dod -1000000: 1111, 64 bits; values equal: 0 each.
    // 0 | 1110 0001 0000 0000 0000 0001 0 | 1111, the bits of ffff_ffff_fff0_bdc0, 0: from the fourth byte on the
    // field is its hexadecimal form shifted left by two.
    let t = [0, 10, 20 + 65_537, 30 + 2 * 65_537 - 1_000_000];
    let samples: Vec<(i64, f64)> = t.iter().map(|t| (*t, 0.0)).collect();
    check_xor(&samples, "0004 00 0000000000000000 0a 708000bf ffffffffffc2f700");
}

#[test]
fn xor2_without_and_with_start_timestamps() {
    let stale = f64::from_bits(STALE);
    check_xor2(
        &[
            (T, 0, 1.5),
            (T + 15_000, 0, 1.5),
            (T + 30_000, 0, 2.5),
            (T + 45_007, 0, 2.25),
            (T + 60_007, 0, 2.0),
            (T + 83_200, 0, stale),
        ],
        "0006 00 80a0abfef962 3ff8000000000000 9875 509bfffc007cd0bdff99e02001e0",
    );
    let u = T + 50_000;
    check_xor2(
        &[
            (T, S, 1.5),
            (T + 15_000, S, 1.5),
            (T + 30_000, S, 2.5),
            (T + 45_007, S, 2.25),
            (T + 60_014, S, stale),
            (T + 75_014, u, 2.25),
            (T + 90_014, u, 2.25),
            (T + 110_014, u, 2.0),
        ],
        "0008 85 80a0abfef962 3ff8000000000000 a09c01 9875 509bfffc007cd0bfeffcbe09c79f07531c027113f07530",
    );
}

#[test]
fn histograms_before_and_after_new_buckets() {
    let span = |offset, length| Span { offset, length };
    let base = Histogram {
        schema: 1,
        zero_threshold: 2f64.powi(-128),
        zero_count: 1,
        count: 6,
        sum: 10.5,
        positive_spans: vec![span(0, 2)],
        positive_buckets: vec![2, 1],
        ..Histogram::default()
    };
    let second = Histogram { count: 9, sum: 12.0, positive_buckets: vec![3, 2], ..base.clone() };
    let third = Histogram {
        zero_count: 2,
        count: 14,
        sum: 20.0,
        positive_spans: vec![span(0, 2), span(1, 1)],
        positive_buckets: vec![3, 3, -3],
        ..base.clone()
    };
    let stale = Histogram { sum: f64::from_bits(STALE), ..Histogram::default() };
    let mut encoder = HistogramEncoder::new(false);
    let mut with_starts = HistogramEncoder::new(true);
    let mut push = |i: i64, histogram: &Histogram| {
        let start = if i == 0 { 0 } else { T + 5_000 };
        assert!(encoder.push(None, 0, T + i * 15_000, histogram).unwrap().is_none());
        assert!(with_starts.push(None, start, T + i * 15_000, histogram).unwrap().is_none());
        encoder.clone().finish()
    };
    push(0, &base);
    let two = push(1, &second);
    assert_eq!(
        two,
        bytes("0002 00 748c647f0000c5e7f2b4005a2804a00000000000128fc1d4c4db04d8c4"),
        "two samples of one layout"
    );
    push(2, &third);
    let four = push(3, &stale);
    assert_eq!(
        four,
        bytes(
            "0004 00 748ca48c5fc0003179fcad00168a012800000000 0004a35f83a989b609b18d
             928eb0fdd418bdff100000000000 08"
        )
    );
    assert_eq!(
        with_starts.finish(),
        bytes(
            "0004 01 748ca48c5fc0003179fcad00168a012800000000 0004a35f83a989b609b18dbefb
             1e128eb0fdd4f83a9818bdff100000000000 0fc1d4c0"
        )
    );
    check_hints(&four);
}

/// The first sample's hint is unknown, later ones are not resets, and a stale one has nothing but its sum.
fn check_hints(data: &[u8]) {
    let mut samples = Vec::new();
    decode_exact(Encoding::Histogram, data, &mut samples).unwrap();
    let hints: Vec<_> = samples
        .iter()
        .map(|sample| match &sample.value {
            SampleValue::Histogram(histogram) => histogram.counter_reset_hint,
            _ => panic!("not an integer histogram"),
        })
        .collect();
    use CounterResetHint::{NotReset, Unknown};
    assert_eq!(hints, [Unknown, NotReset, NotReset, Unknown]);
    assert_eq!(samples[3].t, Timestamp(T + 45_000));
}

#[test]
fn custom_buckets() {
    let histogram = Histogram {
        schema: -53,
        count: 3,
        sum: 4.0,
        positive_spans: vec![Span { offset: 0, length: 3 }],
        positive_buckets: vec![1, 0, 0],
        custom_values: vec![0.25, std::f64::consts::PI],
        ..Histogram::default()
    };
    let mut encoder = HistogramEncoder::new(false);
    encoder.push(None, 0, T, &histogram).unwrap();
    assert_eq!(
        encoder.finish(),
        bytes("0001 00 00ee5c664b9f6400921fb54442d18fe00018bcfe5680099004000000000000 2200")
    );
}
