//! Chunks of all encodings against decoders written from the description of the formats, one bit at a time.

#![allow(clippy::unwrap_used)]

#[path = "reference/appends.rs"]
mod appends;
#[path = "reference/bits.rs"]
mod bits;
#[path = "reference/floats.rs"]
mod floats;
#[path = "reference/histograms.rs"]
mod histograms;

use appends::{Event, Target, event, said};
use floats::Float;
use proptest::prelude::*;
use tithon_chunks::{
    Encoder, Encoding, FloatHistogramEncoder, HistogramEncoder, HistogramKind, STALE_NAN_BITS, Sample,
    SampleValue, Timestamp, Xor2Encoder, XorEncoder, canonical_bytes, decode_exact,
};
use tithon_testdata::json_lines;

/// What the decoder under test reads.
fn decoded(encoding: Encoding, data: &[u8]) -> Vec<Sample> {
    let mut out = Vec::new();
    decode_exact(encoding, data, &mut out).unwrap();
    out
}

fn floats_of(samples: &[Sample]) -> Vec<Float> {
    let bits = |sample: &Sample| match sample.value {
        SampleValue::Float(value) => value.to_bits(),
        _ => panic!("not a float"),
    };
    samples.iter().map(|sample| (sample.st.0, sample.t.0, bits(sample))).collect()
}

/// Bytes that are equal exactly when the samples are.
fn bytes_of(samples: &[Sample]) -> Vec<u8> {
    let mut out = Vec::new();
    for sample in samples {
        canonical_bytes(sample, &mut out);
        out.extend_from_slice(&sample.st.0.to_le_bytes());
    }
    out
}

/// How the time goes on: mostly steady, sometimes jittered, seldom with a gap of any size.
fn time_change() -> impl Strategy<Value = i64> {
    prop_oneof![
        6 => Just(15_000),
        3 => 14_990i64..15_010,
        1 => -9_000i64..9_000,
        1 => -70_000i64..70_000,
        1 => -600_000i64..600_000,
        1 => any::<i64>(),
    ]
}

/// How the value goes on: `None` adds to it, as to a counter.
fn value() -> impl Strategy<Value = (Option<u64>, u32)> {
    let value = prop_oneof![
        4 => Just(None),
        1 => Just(Some(0)),
        2 => (0u32..2_000).prop_map(|v| Some(f64::from(v).to_bits())),
        1 => any::<u64>().prop_map(Some),
        1 => Just(Some(STALE_NAN_BITS)),
    ];
    (value, prop_oneof![Just(0), Just(0), 0u32..100])
}

/// How the start timestamp goes on, by the times before it.
#[derive(Clone, Copy, Debug)]
enum Start {
    Same,
    Unknown,
    /// The time of the sample before.
    Before,
    /// So much before the sample.
    Ago(i64),
    At(i64),
}

fn start() -> impl Strategy<Value = Start> {
    prop_oneof![
        12 => Just(Start::Same),
        1 => Just(Start::Unknown),
        3 => Just(Start::Before),
        1 => (0i64..100_000).prop_map(Start::Ago),
        1 => any::<i64>().prop_map(Start::At),
    ]
}

impl Start {
    fn next(self, last: i64, before: i64, t: i64) -> i64 {
        match self {
            Start::Same => last,
            Start::Unknown => 0,
            Start::Before => before,
            Start::Ago(ms) => t.wrapping_sub(ms),
            Start::At(st) => st,
        }
    }
}

/// Start timestamps are given or not; beyond 128 samples their field is always there.
fn float_samples() -> impl Strategy<Value = Vec<Float>> {
    let steps = prop::collection::vec((time_change(), value(), start()), 0..200);
    (steps, any::<bool>()).prop_map(|(steps, with_starts)| {
        let (mut st, mut t, mut current) = (0i64, 1_700_000_000_000i64, 0f64);
        let mut out = Vec::new();
        for (change, (set, add), start) in steps {
            let before = t;
            t = t.wrapping_add(change);
            st = if with_starts { start.next(st, before, t) } else { 0 };
            let bits = set.unwrap_or((current + f64::from(add)).to_bits());
            if bits != STALE_NAN_BITS {
                current = f64::from_bits(bits);
            }
            out.push((st, t, bits));
        }
        out
    })
}

proptest! {
    #[test]
    fn xor_reads_back_the_same_bit_by_bit(samples in float_samples()) {
        let mut encoder = XorEncoder::new();
        samples.iter().for_each(|(_, t, bits)| encoder.push(*t, f64::from_bits(*bits)));
        let data = encoder.finish();
        let expected: Vec<Float> = samples.iter().map(|(_, t, bits)| (0, *t, *bits)).collect();
        prop_assert_eq!(&floats::xor(&data).unwrap(), &expected);
        prop_assert_eq!(floats_of(&decoded(Encoding::Xor, &data)), expected);
    }

    #[test]
    fn xor2_reads_back_the_same_bit_by_bit(samples in float_samples()) {
        let mut encoder = Xor2Encoder::new();
        samples.iter().for_each(|(st, t, bits)| encoder.push(*st, *t, f64::from_bits(*bits)));
        let data = encoder.finish();
        prop_assert_eq!(&floats::xor2(&data).unwrap(), &samples);
        prop_assert_eq!(floats_of(&decoded(Encoding::Xor2, &data)), samples);
    }

    #[test]
    fn histograms_read_back_the_same_bit_by_bit(
        steps in prop::collection::vec((event(), time_change(), start(), 1u32..5), 1..160),
        custom in any::<bool>(),
        with_starts in any::<bool>(),
    ) {
        let ints = |target: &Target, piece, stale| target.histogram(piece, stale);
        check_appends(HistogramEncoder::new(with_starts), &steps, custom, ints, SampleValue::Histogram);
        let floats = |target: &Target, piece, stale| target.float_histogram(piece, stale);
        check_appends(FloatHistogramEncoder::new(with_starts), &steps, custom, floats, SampleValue::FloatHistogram);
    }
}

/// Appends what happens to a target, and checks each chunk that comes of it.
fn check_appends<K: HistogramKind>(
    first: Encoder<K>,
    steps: &[(Event, i64, Start, u32)],
    custom: bool,
    histogram: impl Fn(&Target, u32, bool) -> K::Histogram,
    value: impl Fn(K::Histogram) -> SampleValue,
) {
    let mut target = Target::new(custom);
    let with_starts = matches!(first.encoding(), Encoding::HistogramSt | Encoding::FloatHistogramSt);
    let mut encoder = first;
    let mut previous: Option<Encoder<K>> = None;
    let mut appended: Vec<Sample> = Vec::new();
    let (mut st, mut t) = (0i64, 1_700_000_000_000i64);
    for (event, change, start, piece) in steps {
        target.apply(event);
        if matches!(event, Event::Cut) && !encoder.is_empty() {
            let complete = std::mem::replace(&mut encoder, Encoder::new(with_starts));
            check_chunk(complete.clone(), &std::mem::take(&mut appended));
            previous = Some(complete);
        }
        let before = t;
        t = t.wrapping_add(*change);
        st = if with_starts { start.next(st, before, t) } else { 0 };
        let histogram = histogram(&target, *piece, matches!(event, Event::Stale));
        if let Some(next) = encoder.push(previous.as_ref(), st, t, &histogram).unwrap() {
            let complete = std::mem::replace(&mut encoder, next);
            check_chunk(complete, &std::mem::take(&mut appended));
        }
        appended.push(Sample { t: Timestamp(t), st: Timestamp(st), value: value(histogram) });
    }
    check_chunk(encoder, &appended);
}

fn check_chunk<K: HistogramKind>(encoder: Encoder<K>, appended: &[Sample]) {
    let encoding = encoder.encoding();
    let data = encoder.finish();
    let reference = histograms::histograms(encoding, &data).unwrap();
    let got = decoded(encoding, &data);
    assert!(bytes_of(&got) == bytes_of(&reference), "{encoding:?}\n{got:?}\n{reference:?}");
    let [got, appended] = [&got[..], appended].map(|samples| samples.iter().map(said).collect::<Vec<_>>());
    assert_eq!(got, appended, "{encoding:?}");
}

/// The golden chunks: the reference decoders read them as the decoders do that are checked against upstream elsewhere.
#[test]
fn golden_chunks_read_the_same_bit_by_bit() {
    let mut n_samples = 0;
    for line in json_lines("testdata/vectors/chunks.jsonl.zst") {
        let encoding = Encoding::from_byte(u8::try_from(line["encoding"].as_u64().unwrap()).unwrap());
        for chunk in line["chunks"].as_array().unwrap() {
            let hex = chunk["hex"].as_str().unwrap();
            let data: Vec<u8> =
                (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
            let got = decoded(encoding, &data);
            n_samples += got.len();
            match encoding {
                Encoding::Xor => assert_eq!(floats_of(&got), floats::xor(&data).unwrap()),
                Encoding::Xor2 => assert_eq!(floats_of(&got), floats::xor2(&data).unwrap()),
                _ => {
                    let reference = histograms::histograms(encoding, &data).unwrap();
                    assert!(bytes_of(&got) == bytes_of(&reference), "{}", line["name"]);
                }
            }
        }
    }
    assert!(n_samples > 9_000, "{n_samples}");
}
