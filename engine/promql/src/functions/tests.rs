//! Functions on arguments that the tests write down.

use std::ops::ControlFlow;

use super::absent::Absent;
use super::histogram::{self, Measure};
use super::labels::{LabelJoin, LabelReplace};
use super::sort::{self, Order};
use super::{RangeCall, over_range, per_sample, scalar};
use crate::ast::{AtModifier, PosRange, Subquery, VectorSelector};
use crate::frame::{Frame, Steps};
use crate::func::Func;
use crate::read::{RangeVector, subquery};
use crate::testing::{frame, in_context, selection, show, steps};

/// A range function over windows of so many minutes, read at each of five minutes.
fn over(
    func: Func,
    minutes: i64,
    scalars: &[f64],
    series: &[&str],
) -> (Result<Vec<String>, String>, Vec<String>) {
    let steps = steps(5);
    let (result, notes) = in_context(|ctx| {
        let range = RangeVector::of_selector(selection(series), &VectorSelector::default(), minutes * 60_000);
        let scalars = scalars.iter().map(|scalar| vec![*scalar; steps.len]).collect();
        let call = RangeCall::new(ctx, func, &range.windows, scalars, PosRange::default())?;
        let mut frame = Frame::default();
        over_range::for_each(ctx, range, &call, &steps, |row| {
            frame.rows.push(row);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(frame)
    });
    (result.map(|frame| show(&frame)), notes)
}

fn check(func: Func, minutes: i64, scalars: &[f64], series: &str, expected: &str) {
    let (result, _) = over(func, minutes, scalars, &[series]);
    assert_eq!(result, Ok(vec![expected.to_owned()]), "{func}");
}

#[test]
fn windows_are_open_on_the_left() {
    let series = r#"m{a="1"} 1 2 4 _ 16"#;
    check(Func::SumOverTime, 2, &[], series, r#"{a="1"} 1 3 6 4 16"#);
    check(Func::CountOverTime, 2, &[], series, r#"{a="1"} 1 2 2 1 1"#);
    check(Func::LastOverTime, 2, &[], series, r#"m{a="1"} 1 2 4 4 16"#);
    check(Func::FirstOverTime, 2, &[], series, r#"m{a="1"} 1 1 2 4 16"#);
    check(Func::MaxOverTime, 1, &[], series, r#"{a="1"} 1 2 4 _ 16"#);
    check(Func::QuantileOverTime, 2, &[0.5], series, r#"{a="1"} 1 1.5 3 4 16"#);
    check(Func::TsOfLastOverTime, 2, &[], series, r#"{a="1"} 0 60 120 120 240"#);
}

#[test]
fn counters_may_be_reset() {
    let series = r#"m_total{a="1"} 0 6 12 3 9"#;
    check(Func::Resets, 3, &[], series, r#"{a="1"} 0 0 0 1 1"#);
    check(Func::Changes, 3, &[], series, r#"{a="1"} 0 1 2 2 2"#);
    check(Func::Increase, 2, &[], series, r#"{a="1"} _ 6 12 6 9"#);
    check(Func::Irate, 2, &[], series, r#"{a="1"} _ 0.1 0.1 0.05 0.1"#);
    check(Func::Delta, 2, &[], series, r#"{a="1"} _ 12 12 -18 12"#);
}

#[test]
fn lines_go_through_the_samples_of_a_window() {
    let series = r#"m{a="1"} 0 60 120 180 240"#;
    check(Func::Deriv, 3, &[], series, r#"{a="1"} _ 1 1 1 1"#);
    check(Func::PredictLinear, 3, &[60.0], series, r#"{a="1"} _ 120 180 240 300"#);
}

#[test]
fn stale_markers_are_no_samples_of_a_window() {
    check(Func::CountOverTime, 3, &[], r#"m{a="1"} 1 stale 1 1 1"#, r#"{a="1"} 1 1 2 2 3"#);
}

#[test]
fn rates_of_histograms_and_mixed_windows() {
    let h = |n: i32| format!("{{{{schema:0 sum:{n} count:{n} buckets:[{n}]}}}}");
    let series = format!(r#"m{{a="1"}} {} {} {} 1 1"#, h(0), h(60), h(120));
    let (result, notes) = over(Func::Rate, 2, &[], &[&series]);
    let expected = r#"{a="1"} _ {count:0.5, sum:0.5, (0.5,1]:0.5} {count:1, sum:1, (0.5,1]:1} _ 0"#;
    assert_eq!(result, Ok(vec![expected.to_owned()]));
    assert!(notes.iter().any(|note| note.contains("a mix of histograms and floats")), "{notes:?}");
}

#[test]
fn series_that_lose_their_names_must_not_become_equal() {
    let (result, _) = over(Func::Rate, 2, &[], &[r#"m{a="1"} 1 2"#, r#"n{a="1"} 1 2"#]);
    assert_eq!(result, Err("vector cannot contain metrics with the same labelset".to_owned()));
}

#[test]
fn names_of_counters_are_looked_at() {
    let (_, notes) = over(Func::Rate, 2, &[], &["m 1 2"]);
    assert!(notes[0].contains("metric might not be a counter"), "{notes:?}");
    let (_, notes) = over(Func::Rate, 2, &[], &["m_total 1 2"]);
    assert_eq!(notes, Vec::<String>::new());
}

#[test]
fn modifiers_are_refused_below_functions_that_do_not_know_them() {
    let s = VectorSelector { anchored: true, ..VectorSelector::default() };
    let (result, _) = in_context(|ctx| {
        let range = RangeVector::of_selector(selection(&[]), &s, 60_000);
        RangeCall::new(ctx, Func::SumOverTime, &range.windows, Vec::new(), PosRange::default()).map(drop)
    });
    let expected = "anchored modifier can only be used with: changes, delta, increase, rate, resets - not with sum_over_time";
    assert_eq!(result, Err(expected.to_owned()));
}

#[test]
fn subqueries_have_steps_by_the_absolute_clock() {
    let s = Subquery {
        expr: crate::NodeId(0),
        range_ms: 100,
        range_expr: None,
        step_ms: 30,
        step_expr: None,
        offset_ms: 10,
        offset_expr: None,
        at: AtModifier::None,
    };
    // Windows reach from 40 to 140 for the first step, and from 90 to 190 for the last.
    let inner = subquery::inner_steps(&s, 60_000, &Steps::new(150, 200, 50));
    assert_eq!((inner.start, inner.last(), inner.interval), (60, 180, 30));
}

fn quantile_of(rows: &[&str], q: f64) -> (Vec<String>, Vec<String>) {
    let frame = frame(rows);
    let n = frame.rows[0].column.len();
    let measure = Measure::Quantile { q: vec![q; n], label: None, pos: PosRange::default() };
    let (result, notes) =
        in_context(|ctx| histogram::eval(ctx, &frame, &[measure], PosRange::default(), &steps(n)));
    (show(&result.expect("a result")), notes)
}

#[test]
fn quantiles_of_classic_histograms_are_interpolated() {
    let rows = [r#"b{a="1",le="1"} 5 0"#, r#"b{a="1",le="2"} 10 0"#, r#"b{a="1",le="+Inf"} 10 0"#];
    assert_eq!(quantile_of(&rows, 0.75).0, [r#"{a="1"} 1.5 NaN"#]);
    assert_eq!(quantile_of(&rows[..2], 0.75).0, [r#"{a="1"} NaN NaN"#]);
    let (_, notes) = quantile_of(&[r#"b{a="1"} 5"#], 0.5);
    assert!(notes[0].contains("bucket label \"le\" is missing"), "{notes:?}");
}

#[test]
fn buckets_that_fall_are_raised_with_a_note() {
    let rows = [r#"b{le="1"} 10"#, r#"b{le="2"} 4"#, r#"b{le="+Inf"} 20"#];
    let (result, notes) = quantile_of(&rows, 0.5);
    assert_eq!(result, ["{} 1"]);
    assert!(notes[0].contains("needed to be fixed for monotonicity"), "{notes:?}");
}

#[test]
fn quantiles_and_fractions_of_native_histograms() {
    let row = r#"h{a="1"} {{schema:0 sum:10 count:4 buckets:[2 2]}}"#;
    assert_eq!(quantile_of(&[row], 0.5).0, [r#"{a="1"} 1"#]);
    let measure = Measure::Fraction { lower: vec![0.0], upper: vec![1.0] };
    let (result, _) =
        in_context(|ctx| histogram::eval(ctx, &frame(&[row]), &[measure], PosRange::default(), &steps(1)));
    assert_eq!(show(&result.expect("a result")), [r#"{a="1"} 0.5"#]);
}

#[test]
fn classic_and_native_histograms_of_equal_labels_have_no_quantile() {
    let rows = [r#"b{le="+Inf"} 10"#, r#"b{} {{schema:0 sum:10 count:4 buckets:[4]}}"#];
    let (result, notes) = quantile_of(&rows, 0.5);
    assert_eq!(result, Vec::<String>::new());
    assert!(notes[0].contains("mix of classic and native histograms"), "{notes:?}");
}

#[test]
fn labels_are_replaced_and_joined() {
    let replaced = |texts: [&str; 4]| {
        let (result, _) = in_context(|ctx| {
            LabelReplace::new(texts.map(str::as_bytes))?.apply(ctx, frame(&[r#"m{a="x-1"} 1"#]))
        });
        result.map(|frame| show(&frame))
    };
    assert_eq!(replaced(["b", "$2$1", "a", "(.)-(.)"]), Ok(vec![r#"m{a="x-1", b="1x"} 1"#.to_owned()]));
    assert_eq!(replaced(["a", "", "a", "x.*"]), Ok(vec!["m 1".to_owned()]));
    assert_eq!(replaced(["b", "c", "a", "y.*"]), Ok(vec![r#"m{a="x-1"} 1"#.to_owned()]));
    let error = replaced(["b", "c", "a", "("]).expect_err("no pattern");
    assert_eq!(error, "invalid regular expression in label_replace(): (");
    let (joined, _) = in_context(|ctx| {
        LabelJoin::new(b"c", b"-", vec![b"a", b"b"])?.apply(ctx, frame(&[r#"m{a="1",b="2"} 1"#]))
    });
    assert_eq!(joined.map(|frame| show(&frame)), Ok(vec![r#"m{a="1", b="2", c="1-2"} 1"#.to_owned()]));
}

#[test]
fn rows_are_sorted_by_values_and_labels() {
    let rows = [r#"{a="10"} 1"#, r#"{a="9"} NaN"#, r#"{a="1"} 3"#];
    let by_value = |order| show(&sort::by_value(frame(&rows), Some(order)));
    assert_eq!(by_value(Order::Ascending), [rows[0], rows[2], rows[1]]);
    assert_eq!(by_value(Order::Descending), [rows[2], rows[0], rows[1]]);
    assert_eq!(show(&sort::by_label(frame(&rows), &[b"a"], Order::Ascending)), [rows[2], rows[1], rows[0]]);
}

#[test]
fn absence_is_settled_when_each_step_has_a_sample() {
    let frame = frame(&["m 1 _ 1", "m _ 1 _"]);
    let mut absent = Absent::new(&steps(3), true);
    assert!(absent.add(&frame.rows[0]).is_continue());
    assert!(absent.add(&frame.rows[1]).is_break());
    assert_eq!(show(&absent.finish(Default::default())), Vec::<String>::new());
    let mut absent = Absent::new(&steps(3), true);
    let _ = absent.add(&frame.rows[0]);
    assert_eq!(show(&absent.finish(Default::default())), ["{} _ 1 _"]);
}

#[test]
fn scalars_are_made_of_single_series() {
    assert_eq!(scalar::only_element(&frame(&["m 1 2"]), &steps(2)), [1.0, 2.0]);
    let values = scalar::only_element(&frame(&["m 1 2", "n 1 _"]), &steps(2));
    assert!(values[0].is_nan());
    assert_eq!(values[1], 2.0);
}

#[test]
fn samples_of_the_other_kind_are_left_out() {
    let row = "m 4 {{schema:0 sum:3 count:2 buckets:[2]}}";
    let (floats, _) = in_context(|ctx| per_sample::map_floats(ctx, frame(&[row]), |_, v| Some(v.sqrt())));
    assert_eq!(floats.map(|frame| show(&frame)), Ok(vec!["{} 2 _".to_owned()]));
    let (sums, _) = in_context(|ctx| per_sample::map_histograms(ctx, frame(&[row]), |h| h.sum));
    assert_eq!(sums.map(|frame| show(&frame)), Ok(vec!["{} _ 3".to_owned()]));
}
