//! Every way to decode gives the same samples; damage gives errors and never a read outside the buffer.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use tithon_chunks::{
    DecodePath, Encoding, SampleBatch, TimeRange, XorEncoder, decode_float_chunks, decode_float_chunks_by,
    decode_floats,
};

const PATHS: [DecodePath; 5] =
    [DecodePath::Scalar, DecodePath::ZeroRuns, DecodePath::Lanes, DecodePath::FourLanes, DecodePath::Hybrid];

/// Values of many shapes: unchanged, counters, random bits, special ones; times with every size of change.
fn chunk(seed: u64, n: usize) -> Vec<u8> {
    let mut encoder = XorEncoder::new();
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 11
    };
    let (mut t, mut value) = (1_700_000_000_000i64, 1.0f64);
    for _ in 0..n {
        t += match next() % 40 {
            0..=25 => 15_000,
            26..=32 => 15_000 + (next() % 200) as i64,
            33..=35 => (next() % 100_000) as i64,
            36..=37 => (next() % 1_000_000) as i64,
            38 => (next() % 100_000_000_000) as i64,
            _ => -((next() % 1_000) as i64),
        };
        value = match (seed % 5, next() % 20) {
            (0, _) | (_, 0..=5) => value,
            (1, _) => value + (next() % 100) as f64,
            (2, _) => f64::from_bits(next() << 11 | next() & 0x7ff),
            (3, k) if k < 12 => value,
            (_, 6) => f64::from_bits(0x7ff0_0000_0000_0002),
            (_, 7) => f64::from_bits(value.to_bits() ^ 1),
            (_, 8) => f64::from_bits(value.to_bits() ^ (1 << 63 | 1)),
            _ => (next() % 1_000) as f64 / 4.0,
        };
        encoder.push(t, value);
    }
    encoder.finish()
}

fn bits(batch: &SampleBatch) -> Vec<(i64, u64)> {
    batch.timestamps.iter().copied().zip(batch.values.iter().map(|value| value.to_bits())).collect()
}

fn decode_by(path: DecodePath, chunks: &[Vec<u8>]) -> (Vec<(i64, u64)>, Vec<usize>, bool) {
    let chunks: Vec<(Encoding, &[u8])> = chunks.iter().map(|data| (Encoding::Xor, &data[..])).collect();
    let (mut out, mut ends) = (SampleBatch::default(), vec![]);
    out.timestamps.push(5);
    out.values.push(5.0);
    let ok = decode_float_chunks_by(path, &chunks, &mut out, &mut ends).is_ok();
    (bits(&out), ends, ok)
}

#[test]
fn all_paths_agree_on_every_count_and_alignment() {
    for n in 0..300usize {
        let chunks: Vec<Vec<u8>> = (0..11).map(|k| chunk((n * 11 + k) as u64, n + k % 3)).collect();
        let expected = decode_by(DecodePath::Scalar, &chunks);
        assert!(expected.2);
        assert_eq!(expected.1.len(), 11);
        for path in PATHS {
            assert!(decode_by(path, &chunks) == expected, "{path:?}, {n} samples");
        }
    }
}

/// Chunks at every place in a word and in a cache line.
#[test]
fn all_paths_agree_on_every_alignment_in_memory() {
    let sound: Vec<Vec<u8>> = (0..8).map(|k| chunk(k, 50)).collect();
    let expected = decode_by(DecodePath::Scalar, &sound);
    for shift in 0..64 {
        let moved: Vec<Vec<u8>> = sound.iter().map(|data| [&vec![0xff; shift], &data[..]].concat()).collect();
        let chunks: Vec<(Encoding, &[u8])> =
            moved.iter().map(|data| (Encoding::Xor, &data[shift..])).collect();
        for path in PATHS {
            let (mut out, mut ends) = (SampleBatch::default(), vec![]);
            decode_float_chunks_by(path, &chunks, &mut out, &mut ends).unwrap();
            assert!(bits(&out) == expected.0[1..], "{path:?}, {shift}");
        }
    }
}

#[test]
fn lanes_of_very_different_lengths_agree() {
    let chunks: Vec<Vec<u8>> =
        (0..24).map(|k| chunk(k, [1, 2, 3, 700, 8, 9, 10, 120][k as usize % 8])).collect();
    let expected = decode_by(DecodePath::Scalar, &chunks);
    for path in PATHS {
        assert!(decode_by(path, &chunks) == expected, "{path:?}");
    }
}

#[test]
fn every_cut_and_flip_ends_the_same_way_on_all_paths() {
    let sound: Vec<Vec<u8>> = (0..8).map(|k| chunk(k, 24)).collect();
    for victim in [0, 3, 7] {
        let data = &sound[victim];
        let cuts = (0..data.len()).map(|len| data[..len].to_vec());
        let flips = (0..data.len() * 8).map(|bit| {
            let mut data = data.clone();
            data[bit / 8] ^= 0x80 >> (bit % 8);
            data
        });
        for damaged in cuts.chain(flips) {
            let mut chunks = sound.clone();
            chunks[victim] = damaged;
            let expected = decode_by(DecodePath::Scalar, &chunks);
            for path in PATHS {
                assert!(decode_by(path, &chunks) == expected, "{path:?}, chunk {victim}");
            }
        }
    }
}

#[test]
fn a_range_gives_the_samples_inside_it() {
    for seed in 0..40u64 {
        let data = chunk(seed - seed % 5 + 1, 100);
        let mut all = SampleBatch::default();
        decode_floats(Encoding::Xor, &data, TimeRange::ALL, &mut all).unwrap();
        // Ascending up to the first step back: a range ends at the first sample after it.
        let n = (1..all.len()).find(|i| all.timestamps[*i] < all.timestamps[i - 1]).unwrap_or(all.len());
        for (i, j) in [(0, n - 1), (0, 0), (3, 7), (n / 2, n - 1), (n - 1, n - 1)] {
            let (i, j) = (i.min(n - 1), j.min(n - 1));
            let range = TimeRange::new(all.timestamps[i], all.timestamps[j]);
            let mut got = SampleBatch::default();
            decode_floats(Encoding::Xor, &data, range, &mut got).unwrap();
            let first: Vec<_> = bits(&all).into_iter().take_while(|(t, _)| *t <= range.max.0).collect();
            let expected: Vec<_> = first.into_iter().filter(|(t, _)| *t >= range.min.0).collect();
            assert_eq!(bits(&got), expected);
        }
    }
}

proptest! {
    #[test]
    fn random_bytes_end_the_same_way_on_all_paths(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 8..17), n in 0u8..40,
    ) {
        let chunks: Vec<Vec<u8>> = chunks.into_iter().map(|mut data| {
            if let [high, low, ..] = &mut data[..] { (*high, *low) = (0, n) }
            data
        }).collect();
        let expected = decode_by(DecodePath::Scalar, &chunks);
        for path in PATHS {
            prop_assert!(decode_by(path, &chunks) == expected, "{path:?}");
        }
    }
}

#[test]
fn an_encoding_that_is_no_float_is_refused() {
    let (mut out, mut ends) = (SampleBatch::default(), vec![]);
    for encoding in [Encoding::Histogram, Encoding::Aggregate, Encoding::Unknown(9)] {
        let data = chunk(1, 3);
        let chunks = [(Encoding::Xor, &data[..]), (encoding, &data[..])];
        assert!(decode_float_chunks(&chunks, &mut out, &mut ends).is_err());
    }
    assert_eq!(ends.len(), 3);
}
