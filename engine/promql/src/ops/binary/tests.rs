//! Binary operators on operands that the tests write down.

use super::{Output, columns, eval, vectors};
use crate::ast::PosRange;
use crate::testing::{binary, frame, in_context, show, steps};

/// The result of a query like `l + on (a) r` over rows, or the error; and the annotations.
fn run(query: &str, lhs: &[&str], rhs: &[&str]) -> (Result<Vec<String>, String>, Vec<String>) {
    let (b, lhs, rhs) = (binary(query), frame(lhs), frame(rhs));
    let n = lhs.rows.iter().chain(&rhs.rows).map(|row| row.column.len()).max().unwrap_or(1);
    let (lhs, rhs) = (Output::Frame(lhs), Output::Frame(rhs));
    let (result, notes) =
        in_context(|ctx| eval(ctx, &b, PosRange::default(), lhs, rhs, &steps(n)).map(Output::into_frame));
    (result.map(|frame| show(&frame)), notes)
}

fn check(query: &str, lhs: &[&str], rhs: &[&str], expected: &[&str]) {
    let (result, _) = run(query, lhs, rhs);
    assert_eq!(result.expect("a result"), expected, "{query}");
}

const LEFT: [&str; 2] = [r#"l{a="1"} 1 2 3"#, r#"l{a="2"} 10 _ 30"#];
const RIGHT: [&str; 2] = [r#"r{a="2"} 2 2 2"#, r#"r{a="1"} 1 _ 1"#];

#[test]
fn partners_are_found_by_labels_and_steps() {
    check("l + r", &LEFT, &RIGHT, &[r#"{a="1"} 2 _ 4"#, r#"{a="2"} 12 _ 32"#]);
    check("l > r", &LEFT, &RIGHT, &[r#"l{a="1"} _ _ 3"#, r#"l{a="2"} 10 _ 30"#]);
    check("l > bool r", &LEFT, &RIGHT, &[r#"{a="1"} 0 _ 1"#, r#"{a="2"} 1 _ 1"#]);
}

#[test]
fn many_series_share_a_partner_whose_labels_they_may_take() {
    let lhs = [r#"l{a="1",b="x"} 4"#, r#"l{a="1",b="y"} 6"#];
    let rhs = [r#"r{a="1",c="z"} 2"#];
    let expected = [r#"{a="1", b="x", c="z"} 2"#, r#"{a="1", b="y", c="z"} 3"#];
    check("l / on (a) group_left (c) r", &lhs, &rhs, &expected);
    let expected = [r#"{a="1", b="x", c="z"} 0.5"#, r#"{a="1", b="y", c="z"} 0.3333333333333333"#];
    check("r / on (a) group_right (c) l", &rhs, &lhs, &expected);
}

#[test]
fn series_without_a_partner_are_filled_in() {
    let (lhs, rhs) = ([r#"l{a="1"} 1"#], [r#"r{a="2"} 2"#]);
    check("l + fill (0) r", &lhs, &rhs, &[r#"{a="1"} 1"#, r#"{a="2"} 2"#]);
    check("l + fill_right (7) r", &lhs, &rhs, &[r#"{a="1"} 8"#]);
    check("l + r", &lhs, &rhs, &[]);
}

#[test]
fn several_partners_are_an_error_where_they_have_samples_together() {
    let rhs = [r#"r{a="1",b="x"} 1 _"#, r#"r{a="1",b="y"} _ 1"#];
    check("l + on (a) r", &[r#"l{a="1"} 1 2"#], &rhs, &[r#"{a="1"} 2 3"#]);
    let rhs = [r#"r{a="1",b="x"} 1"#, r#"r{a="1",b="y"} 1"#];
    let (result, _) = run("l + on (a) r", &[r#"l{a="1"} 1"#], &rhs);
    let error = result.expect_err("two partners");
    assert!(
        error.starts_with(r#"found duplicate series for the match group {a="1"} on the right"#),
        "{error}"
    );
    let (result, _) = run("l + on (a) r", &rhs, &[r#"r{a="1"} 1"#]);
    let error = result.expect_err("a partner twice");
    assert!(error.contains("many-to-one matching must be explicit"), "{error}");
}

#[test]
fn sets_look_at_the_presence_of_samples_only() {
    check("l and r", &LEFT, &RIGHT, &[r#"l{a="1"} 1 _ 3"#, r#"l{a="2"} 10 _ 30"#]);
    check("l unless r", &LEFT, &RIGHT, &[r#"l{a="1"} _ 2 _"#]);
    check("l or r", &LEFT, &RIGHT, &[r#"l{a="1"} 1 2 3"#, r#"l{a="2"} 10 _ 30"#, r#"r{a="2"} _ 2 _"#]);
    check("l or on (b) r", &LEFT, &[r#"r{b="1"} 5 5 5"#], &[LEFT[0], LEFT[1], r#"r{b="1"} 5 5 5"#]);
}

#[test]
fn scalars_stand_on_either_side() {
    let run = |query: &str, swapped: bool| {
        let (b, scalar) = (binary(query), Output::Scalar(vec![2.0, 4.0]));
        let vector = Output::Frame(frame(&[r#"m{a="1"} 1 8"#]));
        let (lhs, rhs) = if swapped { (scalar, vector) } else { (vector, scalar) };
        let (result, _) = in_context(|ctx| eval(ctx, &b, PosRange::default(), lhs, rhs, &steps(2)));
        show(&result.expect("a result").into_frame())
    };
    assert_eq!(run("m - 2", false), [r#"{a="1"} -1 4"#]);
    assert_eq!(run("2 - m", true), [r#"{a="1"} 1 -4"#]);
    // A comparison keeps the sample of the vector.
    assert_eq!(run("m > 2", false), [r#"m{a="1"} _ 8"#]);
    assert_eq!(run("2 > m", true), [r#"m{a="1"} 1 _"#]);
}

#[test]
fn histograms_take_some_operators_only() {
    let (h, l) = ("{{schema:0 sum:4 count:2 buckets:[2]}}", r#"l{a="1"} "#);
    let lhs = format!("{l}{h}");
    check("l * r", &[&lhs], &[r#"r{a="1"} 2"#], &[r#"{a="1"} {count:4, sum:8, (0.5,1]:4}"#]);
    check("l + r", &[&lhs], &[&lhs], &[r#"{a="1"} {count:4, sum:8, (0.5,1]:4}"#]);
    let (result, notes) = run("l + r", &[&lhs], &[r#"r{a="1"} 2"#]);
    assert_eq!(result, Ok(Vec::new()));
    assert!(notes[0].contains("incompatible sample types"), "{notes:?}");
}

#[test]
fn whole_columns_give_what_single_steps_give() {
    for query in ["l + r", "l < r", "l == bool r", "l ^ ignoring (b) r", "r / on (a) group_right () l"] {
        let b = binary(query);
        let (mut lhs, mut rhs) = (frame(&LEFT), frame(&RIGHT));
        if query.starts_with('r') {
            std::mem::swap(&mut lhs, &mut rhs);
        }
        let (by_columns, _) = in_context(|ctx| columns::eval(ctx, &b, lhs.clone(), rhs.clone()));
        let by_columns = by_columns.expect("no error").expect("columns of floats with one partner each");
        let (by_steps, _) =
            in_context(|ctx| vectors::eval(ctx, &b, PosRange::default(), lhs, rhs, &steps(3)));
        let (mut by_columns, mut by_steps) = (show(&by_columns), show(&by_steps.expect("no error")));
        by_columns.sort();
        by_steps.sort();
        assert_eq!(by_columns, by_steps, "{query}");
    }
}
