//! Every sliding function against its twin that sees one window at a time, to the bit.

use std::sync::atomic::AtomicBool;

use proptest::prelude::*;
use tithon_chunks::{Samples, Timestamp};
use tithon_index::Labels;

use super::apply;
use crate::annotations::Notes;
use crate::ast::{AtModifier, PosRange};
use crate::frame::{Cell, Column, Steps};
use crate::func::Func;
use crate::functions::range_call::RangeCall;
use crate::functions::{over_range, rate};
use crate::read::{Reference, Windows};

const FUNCTIONS: [Func; 18] = [
    Func::Rate,
    Func::Increase,
    Func::Delta,
    Func::Irate,
    Func::Idelta,
    Func::SumOverTime,
    Func::AvgOverTime,
    Func::CountOverTime,
    Func::PresentOverTime,
    Func::FirstOverTime,
    Func::LastOverTime,
    Func::MinOverTime,
    Func::MaxOverTime,
    Func::StddevOverTime,
    Func::StdvarOverTime,
    Func::QuantileOverTime,
    Func::Changes,
    Func::Resets,
];

fn call(func: Func, range_ms: i64, q: Vec<f64>) -> RangeCall {
    RangeCall {
        func,
        pos: PosRange::default(),
        range_seconds: range_ms as f64 / 1000.0,
        use_starts: false,
        anchored: false,
        smoothed: false,
        scalars: vec![q],
    }
}

/// The results for one window at a time.
fn twin(call: &RangeCall, windows: &Windows, samples: &Samples, steps: &Steps) -> (Column, u64, u64) {
    let falls = rate::falls(samples);
    let labels = Labels::default();
    let (mut column, mut scratch, mut notes) = (Column::new(steps.len), Vec::new(), Notes::default());
    let (mut touched, mut largest) = (0, 0);
    windows
        .each_window(&labels, samples, steps, 0, |window| {
            touched += window.len() as u64;
            largest = largest.max(window.len() as u64);
            if let Some(sample) = over_range::apply(call, window, &falls, &mut scratch, &mut notes)? {
                column.set(window.step, sample);
            }
            Ok(())
        })
        .expect("no function of floats fails");
    (column, touched, largest)
}

/// The first step at which two columns differ. What sign a NaN made by arithmetic has is not defined.
fn difference(a: &Column, b: &Column) -> Option<(usize, Option<f64>, Option<f64>)> {
    let float = |column: &Column, step| match column.get(step) {
        Some(Cell::Float(v)) => Some(v),
        _ => None,
    };
    let bits = |v: Option<f64>| v.map(|v| if v.is_nan() { f64::NAN.to_bits() } else { v.to_bits() });
    let differ = |step: &usize| bits(float(a, *step)) != bits(float(b, *step));
    (0..a.len()).find(differ).map(|step| (step, float(a, step), float(b, step)))
}

/// Values of a kind: whole ones, any with odd ones among them, counters with resets, equal ones.
fn values() -> impl Strategy<Value = Vec<f64>> {
    let odd = prop_oneof![
        8 => -1e3..1e3f64,
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(f64::NEG_INFINITY),
        1 => Just(-0.0),
        1 => Just(0.0),
        1 => Just(f64::MAX),
        1 => Just(1e-310),
    ];
    let whole = (-5i32..1_000_000).prop_map(f64::from);
    let plain = prop_oneof![4 => -1e3..1e3f64, 1 => Just(0.25)];
    let counter = (0u8..12).prop_map(|v| if v == 11 { -1.0 } else { f64::from(v) });
    prop_oneof![
        proptest::collection::vec(whole, 0..120),
        proptest::collection::vec(plain, 0..120),
        proptest::collection::vec(odd, 0..120),
        proptest::collection::vec(counter, 0..120).prop_map(|increments| {
            let mut total = 0.0;
            let next = |v: f64| {
                total = if v < 0.0 { 0.0 } else { total + v };
                total
            };
            increments.into_iter().map(next).collect()
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn sliding_gives_what_single_windows_give(
        values in values(),
        gaps in proptest::collection::vec(1i64..40, 120),
        interval in 1i64..200,
        range_ms in 1i64..900,
        offset in -50i64..50,
        fixed in proptest::option::weighted(0.1, 0i64..3_000),
        q in prop_oneof![Just(0.5), Just(0.9), -0.5..1.5f64, Just(f64::NAN), Just(1.0)],
    ) {
        let mut samples = Samples::default();
        let mut t = 0;
        for (v, gap) in values.iter().zip(gaps) {
            t += gap;
            samples.floats.push(Timestamp(t), *v);
        }
        let steps = Steps::new(-100, 3_000, interval);
        let at = fixed.map_or(AtModifier::None, AtModifier::At);
        let reference = Reference::new(at, offset);
        let windows = Windows { range_ms, reference, anchored: false, smoothed: false };
        let cancelled = AtomicBool::new(false);
        for func in FUNCTIONS {
            let call = call(func, range_ms, vec![q; steps.len]);
            let slid = apply(&call, &windows, &samples, &steps, &cancelled, &mut Notes::default());
            let slid = slid.expect("floats alone, and a sliding form");
            let (expected, touched, largest) = twin(&call, &windows, &samples, &steps);
            prop_assert_eq!(difference(&slid.column, &expected), None, "{}", func);
            prop_assert_eq!((slid.touched, slid.largest), (touched, largest), "{}", func);
        }
    }
}
