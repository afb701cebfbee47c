//! `topk`, `bottomk`, `limitk` and `limit_ratio` of rows that the tests write down.

use crate::ast::AggregateOp;
use crate::error::QueryError;
use crate::frame::Frame;
use crate::ops::{Best, First, Parameter, choose};
use crate::testing::{aggregate, frame, in_context, show, steps};

/// The result of a query like `topk(2, x)` with a parameter at each step, or the error.
fn run(query: &str, params: &[f64], rows: &[&str]) -> Result<Vec<String>, String> {
    let (a, frame) = (aggregate(query), frame(rows));
    let steps = steps(params.len());
    let (result, _) = in_context(|ctx| -> Result<Frame, QueryError> {
        let param = Parameter::new(params.to_vec());
        match a.op {
            AggregateOp::Topk | AggregateOp::Bottomk if !param.selects_nothing() => {
                let mut best = Best::new(ctx, &a, param, Default::default(), &steps);
                frame.rows.into_iter().for_each(|row| assert!(best.add(row).is_continue()));
                best.finish()
            }
            AggregateOp::Limitk if !param.selects_nothing() => {
                let mut first = First::new(ctx, &a, &param, Default::default(), &steps, true)?;
                let _ = frame.rows.into_iter().try_for_each(|row| first.add(row));
                first.finish()
            }
            _ => choose(ctx, &a, &param, Default::default(), frame, &steps),
        }
    });
    result.map(|frame| show(&frame))
}

const ROWS: [&str; 4] = [r#"{a="1"} 5 1"#, r#"{a="2"} 7 _"#, r#"{a="3"} NaN 3"#, r#"{a="4"} 6 2"#];

#[test]
fn the_best_are_chosen_at_each_step_and_come_best_first() {
    let expected = [r#"{a="2"} 7 _"#, r#"{a="4"} 6 2"#, r#"{a="3"} _ 3"#];
    assert_eq!(run("topk(2, x)", &[2.0, 2.0], &ROWS), Ok(expected.map(str::to_owned).to_vec()));
    let expected = [r#"{a="1"} 5 1"#];
    assert_eq!(run("bottomk(1, x)", &[1.0, 1.0], &ROWS), Ok(expected.map(str::to_owned).to_vec()));
    // A NaN is worse than any number, and kept where there is room.
    let expected = [r#"{a="2"} 7"#, r#"{a="3"} NaN"#];
    assert_eq!(
        run("topk(2, x)", &[2.0], &[r#"{a="3"} NaN"#, r#"{a="2"} 7"#]),
        Ok(expected.map(str::to_owned).to_vec())
    );
}

#[test]
fn k_may_differ_from_step_to_step_and_holds_for_each_group() {
    let expected = [r#"{a="3"} _ 3"#];
    assert_eq!(run("topk(1, x)", &[0.0, 1.0], &ROWS), Ok(expected.map(str::to_owned).to_vec()));
    assert_eq!(run("topk by (a) (1, x)", &[1.0, 1.0], &ROWS).map(|rows| rows.len()), Ok(4));
}

#[test]
fn parameters_that_select_nothing_or_are_no_numbers() {
    assert_eq!(run("topk(0, x)", &[0.0], &["{} 1"]), Ok(Vec::new()));
    assert_eq!(run("topk(0, x)", &[f64::NAN], &["{} 1"]), Err("Parameter value is NaN".to_owned()));
    let error = run("topk(0, x)", &[1e300], &["{} 1"]).expect_err("no 64-bit integer");
    assert_eq!(error, "Scalar value 1e+300 overflows int64");
    assert_eq!(run("limit_ratio(0, x)", &[f64::NAN], &["{} 1"]), Err("Ratio value is NaN".to_owned()));
}

#[test]
fn the_first_are_those_with_samples() {
    let rows = [r#"{a="1"} _ 1"#, r#"{a="2"} 2 2"#, r#"{a="3"} 3 3"#];
    let expected = [r#"{a="2"} 2 _"#, r#"{a="1"} _ 1"#];
    assert_eq!(run("limitk(1, x)", &[1.0, 1.0], &rows), Ok(expected.map(str::to_owned).to_vec()));
}

#[test]
fn a_ratio_and_its_complement_choose_each_element_once() {
    let rows: Vec<String> = (0..50).map(|i| format!("{{a=\"{i}\"}} {i}")).collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let [some, rest] = [0.3, -0.7].map(|ratio| run("limit_ratio(1, x)", &[ratio], &rows).expect("a result"));
    assert!(some.len() > 5 && rest.len() > 15);
    let mut all = [some, rest].concat();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 50);
}
