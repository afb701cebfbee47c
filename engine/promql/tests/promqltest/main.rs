//! Prometheus's own tests of PromQL (`promql/promqltest/testdata`), run through the parser and the evaluator.
#![allow(clippy::disallowed_methods)]

mod check;
mod run;
mod script;
mod storage;

use std::path::PathBuf;

use tithon_promql::{Rule, Rules};

use script::Command;
use storage::Storage;

/// Evaluations in all files.
const TOTAL: usize = 2214;
/// Evaluations that must pass: all of them.
const PASSED_MIN: usize = TOTAL;

/// How many failures of a file are shown.
const SHOWN: usize = 12;

/// Runs a file; says how many evaluations passed, how many there are, and why the others failed.
fn run_file(text: &str, rules: Rules) -> (usize, usize, Vec<String>) {
    let (mut passed, mut total, mut failures) = (0, 0, Vec::new());
    let mut storage = Storage::default();
    for (line, command) in script::parse(text) {
        match command {
            Command::Clear => storage = Storage::default(),
            Command::Load(load) => storage.load(load),
            Command::Eval(eval) => {
                total += 1;
                match run::eval(&storage, &eval, rules) {
                    Ok(()) => passed += 1,
                    Err(why) => failures.push(format!("line {line}: {}: {why}", eval.expr)),
                }
            }
        }
    }
    (passed, total, failures)
}

/// The files of tests.
fn paths() -> Vec<PathBuf> {
    let folder = tithon_testdata::shared("promqltest");
    let files = std::fs::read_dir(folder).expect("the folder can be read");
    let mut paths: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "test"));
    paths.sort();
    paths
}

#[test]
fn rules_change_no_result() {
    let without = Rule::ALL.map(|rule| Rules::ALL.without(rule));
    let texts: Vec<String> =
        paths().iter().map(|path| std::fs::read_to_string(path).expect("the file can be read")).collect();
    for rules in without.into_iter().chain([Rules::ALL, Rules::NONE]) {
        for text in &texts {
            let (passed, total, failures) = run_file(text, rules);
            assert_eq!(passed, total, "{rules:?}: {:?}", failures.first());
        }
    }
}

#[test]
fn upstream_tests() {
    let wanted = std::env::var("PROMQLTEST").unwrap_or_default();
    let (mut all_passed, mut all_total) = (0, 0);
    for path in paths() {
        let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
        if !name.contains(&wanted) {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("the file can be read");
        let (passed, total, failures) = run_file(&text, Rules::default());
        let shown = if wanted.is_empty() { SHOWN } else { usize::MAX };
        for why in failures.iter().take(shown) {
            println!("{name}: {why}");
        }
        println!("{name}: {passed} of {total}");
        all_passed += passed;
        all_total += total;
    }
    println!("promqltest: {all_passed} of {all_total}");
    if wanted.is_empty() {
        assert_eq!(all_total, TOTAL);
        assert!(all_passed >= PASSED_MIN, "{all_passed} passed, fewer than {PASSED_MIN}");
    }
}
