//! Folds of windows are those of the decoded samples, window by window.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use tithon_chunks::{
    CountFold, Encoding, FloatFold, Fold, KahanFold, MaxFold, MinFold, RiseFold, STALE_NAN_BITS, SumFold,
    TimeRange, Timestamp, Windows, Xor2Encoder, XorEncoder, decode_floats, fold_windows,
    fold_windows_in_turn,
};

/// Everything a fold can be told.
type All = (((CountFold, SumFold), (KahanFold, RiseFold)), ((MinFold, MaxFold), FloatFold));

fn encode(samples: &[(i64, f64)], per_chunk: usize) -> Vec<(Encoding, Vec<u8>)> {
    let parts = samples.chunks(per_chunk).enumerate();
    let each = parts.map(|(i, part)| {
        let (mut xor, mut xor2) = (XorEncoder::new(), Xor2Encoder::new());
        for (t, value) in part {
            xor.push(*t, *value);
            xor2.push(0, *t, *value);
        }
        if i % 3 < 2 { (Encoding::Xor, xor.finish()) } else { (Encoding::Xor2, xor2.finish()) }
    });
    each.collect()
}

fn slices(chunks: &[(Encoding, Vec<u8>)]) -> impl Iterator<Item = (Encoding, &[u8])> {
    chunks.iter().map(|(encoding, data)| (*encoding, &data[..]))
}

fn naive(samples: &[(i64, f64)], begin: i64, end: i64) -> All {
    let mut fold = All::default();
    for (t, value) in samples {
        if begin < *t && *t <= end && value.to_bits() != STALE_NAN_BITS {
            fold.add(*t, *value);
        }
    }
    fold
}

fn text(fold: &All) -> String {
    format!("{fold:?}")
}

fn samples() -> impl Strategy<Value = Vec<(i64, f64)>> {
    let one = (0u8..12, 1i64..40_000, 0u32..400);
    prop::collection::vec(one, 1..400).prop_map(|steps| {
        let (mut t, mut value) = (1_000_000i64, 0.1f64);
        let each = steps.into_iter().map(|(kind, gap, n)| {
            t += if kind < 10 { 15_000 } else { gap };
            match kind {
                0 => value += f64::from(n) / 10.0,
                1 => value = f64::from(n),
                2 => return (t, if n % 4 == 0 { f64::from_bits(STALE_NAN_BITS) } else { f64::NAN }),
                _ => {}
            }
            (t, value)
        });
        each.collect()
    })
}

proptest! {
    #[test]
    fn sliding_windows(
        samples in samples(), per_chunk in 1usize..150, start in 900_000i64..3_000_000, step in 0i64..200_000,
        width in 0i64..1_000_000, n in 0usize..80,
    ) {
        let chunks = encode(&samples, per_chunk);
        let windows = Windows::sliding(Timestamp(start), step, width, n);
        let mut folds = vec![All::default(); n];
        fold_windows(slices(&chunks), windows, &mut folds).unwrap();
        for (i, fold) in folds.iter().enumerate() {
            let end = start + i as i64 * step.max(1);
            prop_assert_eq!(windows.end(i).0, end);
            let expected = naive(&samples, end - width, end);
            prop_assert_eq!(text(fold), text(&expected));
            let rise = &fold.0.1.1;
            if rise.count > 0 {
                let plain = rise.before_resets.iter().fold(rise.last - rise.first, |sum, lost| sum + lost);
                prop_assert!(rise.increase().to_bits() == plain.to_bits());
            }
        }
    }

    #[test]
    fn grids_one_after_the_other(samples in samples(), per_chunk in 1usize..150, resolution in 1i64..600_000) {
        let chunks = encode(&samples, per_chunk);
        let range = TimeRange::new(samples[0].0, samples[samples.len() - 1].0);
        let windows = Windows::grid(range, resolution);
        let mut each = vec![All::default(); windows.len()];
        fold_windows(slices(&chunks), windows, &mut each).unwrap();
        let mut in_turn = vec![All::default(); windows.len()];
        let mut fold = All::default();
        let mut last = None;
        fold_windows_in_turn(slices(&chunks), windows, &mut fold, |i, fold| {
            assert!(last < Some(i));
            last = Some(i);
            in_turn[i] = std::mem::take(fold);
        }).unwrap();
        prop_assert_eq!(format!("{:?}", each), format!("{:?}", in_turn));
        for (i, fold) in each.iter().enumerate() {
            let begin = (samples[0].0 / resolution + i as i64) * resolution;
            prop_assert_eq!(windows.end(i).0, begin + resolution - 1);
            prop_assert_eq!(text(fold), text(&naive(&samples, begin - 1, begin + resolution - 1)));
        }
    }

    #[test]
    fn any_bytes_and_any_windows(
        mut data in prop::collection::vec(any::<u8>(), 0..60), n in 0u8..40, start: i64, step: i64, width: i64, len in 0usize..50,
    ) {
        if let [high, low, ..] = &mut data[..] {
            (*high, *low) = (0, n);
        }
        let windows = Windows::sliding(Timestamp(start), step, width, len);
        let mut folds = vec![CountFold::default(); len];
        let result = fold_windows([(Encoding::Xor, &data[..])], windows, &mut folds);
        let mut batch = Default::default();
        if decode_floats(Encoding::Xor, &data, TimeRange::ALL, &mut batch).is_ok() {
            prop_assert!(result.is_ok());
        }
        if len > 0 && step > 0 && step < 1 << 50 && width > 0 {
            // Each sample before the end is counted in the windows that hold it.
            let end = windows.end(len - 1).0;
            let mut expected = vec![CountFold::default(); len];
            let samples = batch.timestamps.iter().zip(&batch.values).take_while(|(t, _)| **t <= end);
            for (t, _) in samples.filter(|(_, value)| value.to_bits() != STALE_NAN_BITS) {
                expected[windows.holding(Timestamp(*t))].iter_mut().for_each(|fold| fold.0 += 1);
            }
            prop_assert_eq!(folds, expected);
        }
    }
}

/// Chunks that are decoded side by side, whole and with a damaged one among them.
#[test]
fn chunks_that_go_through_lanes() {
    let samples: Vec<(i64, f64)> =
        (0..2000i64).map(|i| (i * 15_000 + i * i % 700, (i as f64).sqrt())).collect();
    let mut chunks: Vec<(Encoding, Vec<u8>)> = samples
        .chunks(100)
        .map(|part| {
            let mut xor = XorEncoder::new();
            part.iter().for_each(|(t, value)| xor.push(*t, *value));
            (Encoding::Xor, xor.finish())
        })
        .collect();
    for damaged in [None, Some(11)] {
        let mut n_sound = samples.len();
        if let Some(i) = damaged {
            chunks[i].1.truncate(300);
            let mut batch = Default::default();
            decode_floats(Encoding::Xor, &chunks[i].1, TimeRange::ALL, &mut batch).unwrap_err();
            n_sound = i * 100 + batch.len();
        }
        let windows = Windows::sliding(Timestamp(1_000_000), 60_000, 300_000, 600);
        let mut folds = vec![All::default(); 600];
        assert_eq!(fold_windows(slices(&chunks), windows, &mut folds).is_err(), damaged.is_some());
        for (i, fold) in folds.iter().enumerate() {
            let end = windows.end(i).0;
            assert_eq!(text(fold), text(&naive(&samples[..n_sound], end - 300_000, end)));
        }
    }
}

#[test]
#[should_panic(expected = "overlap")]
fn windows_in_turn_must_not_overlap() {
    let windows = Windows::sliding(Timestamp(0), 5, 6, 3);
    let _ = fold_windows_in_turn([], windows, &mut CountFold::default(), |_, _| {});
}
