//! Aggregations of rows that the tests write down.

use std::ops::ControlFlow;

use super::Aggregation;
use crate::ast::PosRange;
use crate::ops::Parameter;
use crate::testing::{aggregate, frame, in_context, show, steps};

/// The result of a query like `sum by (a) (x)` over rows, and the annotations.
fn run(query: &str, param: Option<f64>, rows: &[&str]) -> (Vec<String>, Vec<String>) {
    let (a, frame) = (aggregate(query), frame(rows));
    let n = frame.rows[0].column.len();
    let (result, notes) = in_context(|ctx| {
        let param = param.map_or(Parameter::none(n), |param| Parameter::new(vec![param; n]));
        let mut groups =
            Aggregation::new(ctx, &a, param, <(PosRange, PosRange)>::default(), &steps(n), false);
        for row in &frame.rows {
            assert!(groups.add(row).is_continue());
        }
        groups.finish()
    });
    (show(&result.expect("a result")), notes)
}

fn check(query: &str, param: Option<f64>, rows: &[&str], expected: &[&str]) {
    let (result, notes) = run(query, param, rows);
    assert_eq!(result, expected, "{query}");
    assert!(notes.is_empty(), "{query}: {notes:?}");
}

const ROWS: [&str; 3] = [r#"m{a="1",b="x"} 1 2 _"#, r#"m{a="2",b="x"} 10 _ _"#, r#"m{a="1",b="y"} 3 5 NaN"#];

#[test]
fn groups_are_in_order_of_appearance_and_have_samples_where_a_row_has() {
    check("sum by (a) (x)", None, &ROWS, &[r#"{a="1"} 4 7 NaN"#, r#"{a="2"} 10 _ _"#]);
    check("sum without (a) (x)", None, &ROWS, &[r#"{b="x"} 11 2 _"#, r#"{b="y"} 3 5 NaN"#]);
    check("count(x)", None, &ROWS, &["{} 3 2 1"]);
    check("group(x)", None, &ROWS, &["{} 1 1 1"]);
}

#[test]
fn numbers_are_folded() {
    check("avg(x)", None, &["{a=\"1\"} 1 1", "{a=\"2\"} 4 3"], &["{} 2.5 2"]);
    check("stdvar(x)", None, &["{a=\"1\"} 1 7", "{a=\"2\"} 3 7"], &["{} 1 0"]);
    check("stddev(x)", None, &["{a=\"1\"} 1 7", "{a=\"2\"} 5 7"], &["{} 2 0"]);
    check("quantile(0.5, x)", Some(0.5), &["{a=\"1\"} 1", "{a=\"2\"} 4", "{a=\"3\"} 2"], &["{} 2"]);
    // A compensated sum does not lose small values.
    check("sum(x)", None, &["{a=\"1\"} 1e100", "{a=\"2\"} 1", "{a=\"3\"} -1e100"], &["{} 1"]);
}

#[test]
fn a_number_replaces_nan_as_extreme() {
    let rows = ["{a=\"1\"} NaN NaN", "{a=\"2\"} 2 NaN", "{a=\"3\"} 1 NaN"];
    check("min(x)", None, &rows, &["{} 1 NaN"]);
    check("max(x)", None, &rows, &["{} 2 NaN"]);
}

#[test]
fn histograms_are_added_and_do_not_mix_with_floats() {
    let histogram = "{{schema:0 sum:3 count:2 buckets:[2]}}";
    let rows = [format!("{{a=\"1\"}} {histogram} {histogram}"), format!("{{a=\"2\"}} {histogram} 1")];
    let (result, notes) = run("sum(x)", None, &[&rows[0], &rows[1]]);
    assert_eq!(result, ["{} {count:4, sum:6, (0.5,1]:4} _"]);
    assert!(notes[0].contains("mix of histograms and floats"), "{notes:?}");
    let (result, notes) = run("max(x)", None, &[&rows[1]]);
    assert_eq!(result, ["{} _ 1"]);
    assert!(notes[0].contains("ignored histogram in max aggregation"), "{notes:?}");
}

#[test]
fn odd_quantiles_are_noted() {
    let (result, notes) = run("quantile(2, x)", Some(2.0), &["{} 1"]);
    assert_eq!(result, ["{} +Inf"]);
    assert!(notes[0].contains("quantile value should be between 0 and 1, got 2"), "{notes:?}");
}

#[test]
fn group_stops_when_each_step_has_a_sample_if_it_may() {
    let frame = frame(&["{a=\"1\"} 1 _", "{a=\"2\"} 1 1"]);
    for (query, expected) in [("group(x)", ControlFlow::Break(())), ("sum(x)", ControlFlow::Continue(()))] {
        let a = aggregate(query);
        let (flows, _) = in_context(|ctx| {
            let param = Parameter::none(2);
            let mut groups = Aggregation::new(ctx, &a, param, Default::default(), &steps(2), true);
            Ok([groups.add(&frame.rows[0]), groups.add(&frame.rows[1])])
        });
        assert_eq!(flows, Ok([ControlFlow::Continue(()), expected]), "{query}");
    }
}
