//! A source that deduplicates replicas matches their labels first and then removes them: no rule that rewrites plans may
//! change an answer because of that.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use proptest::prelude::*;
use tithon_chunks::{Samples, Timestamp};
use tithon_index::Labels;
use tithon_promql::{
    EvalContext, Options, ParseOptions, Prepared, QueryError, Rule, Rules, SelectInput, SelectSpec, Series,
    SeriesData, TimeParams,
};

const PARAMS: TimeParams =
    TimeParams { start: Timestamp(1_200_000), end: Timestamp(3_000_000), step_ms: 300_000 };

/// Metrics `m` and `n` of two replicas with different values, and info series of each.
fn stored() -> Vec<(Labels, Samples)> {
    let mut stored = Vec::new();
    for (k, name) in ["m", "n", "target_info"].into_iter().enumerate() {
        for (x, replica) in [("1", "a"), ("1", "b"), ("2", "a"), ("2", "b"), ("3", "b"), ("4", "")] {
            let mut labels = vec![("__name__", name), ("x", x), ("replica", replica)];
            labels.extend([("instance", x), ("job", "j")]);
            if name == "target_info" {
                labels.push(("version", if replica == "a" { "old" } else { "new" }));
            }
            let of_replica = if replica == "b" { 1_000.0 } else { 1.0 };
            let mut samples = Samples::default();
            for t in 0..110i64 {
                samples.floats.push(Timestamp(t * 30_000), t as f64 * of_replica * (k + 1) as f64);
            }
            stored.push((Labels::from_pairs(labels), samples));
        }
    }
    stored
}

/// The answer of a source: of series that are equal without the dropped labels, the first that matches.
fn selected(stored: &[(Labels, Samples)], spec: &SelectSpec, dropped: &[Box<[u8]>]) -> SelectInput {
    let mut found: BTreeMap<Labels, Samples> = BTreeMap::new();
    for (labels, samples) in stored {
        if spec.matchers.iter().all(|m| m.matches(labels.get(m.name()).unwrap_or_default())) {
            let kept = labels.to_builder().retain(|name| !dropped.iter().any(|d| **d == *name)).finish();
            found.entry(kept).or_insert_with(|| samples.clone());
        }
    }
    let series = |(labels, samples)| Ok(Series { labels, data: SeriesData::Samples(Box::new(samples)) });
    Box::new(found.into_iter().map(series))
}

fn answer(query: &str, dropped: &[&str], rules: Rules) -> Result<String, QueryError> {
    let dropped_labels: Vec<Box<[u8]>> = dropped.iter().map(|label| label.as_bytes().into()).collect();
    let options = Options { parse: ParseOptions::ALL, dropped_labels, rules, ..Options::default() };
    let prepared = Prepared::new(query, PARAMS, &options)?;
    let stored = stored();
    let inputs = prepared.selects().iter().map(|spec| selected(&stored, spec, &options.dropped_labels));
    let cancelled = AtomicBool::new(false);
    let result = prepared.eval(inputs.collect(), &EvalContext { pool: None, cancelled: &cancelled })?;
    Ok(format!("{:?} {:?}", result.value, result.warnings))
}

/// Checks that the answer is the same with and without rules.
fn check(query: &str, dropped: &[&str]) {
    let plain = answer(query, dropped, Rules::NONE.with(Rule::StepInvariants));
    let usual = answer(query, dropped, Rules::default());
    match (&plain, &usual) {
        (Ok(plain), Ok(usual)) => assert_eq!(usual, plain, "{query} without {dropped:?}"),
        (Err(_), Err(_)) => {}
        _ => panic!("{query} without {dropped:?}: {usual:?}, unoptimised {plain:?}"),
    }
    // Matchers that cross joins may keep a query from failing, but change no answer.
    if let Ok(plain) = plain {
        let all = answer(query, dropped, Rules::ALL).unwrap_or_else(|e| panic!("{query}: {e}"));
        assert_eq!(all, plain, "{query} with all rules, without {dropped:?}");
    }
}

#[test]
fn matchers_on_replica_labels_are_not_asked_again() {
    for query in [
        "sum(rate(m{replica=\"b\"}[10m])) / sum(rate(m[10m]))",
        "m{replica=\"b\"} - m",
        "m{replica=\"b\"} and m",
        "m unless m{replica=\"a\"}",
        "m{replica=\"b\",x=\"1\"} / m{replica=\"b\"}",
        "m{replica!=\"\"} / on (x) m",
        "sum by (replica) (m{replica=~\"a|b\"}) / sum by (replica) (m)",
        "info(m, {replica=\"b\"}) or info(m)",
        "count(target_info{replica=\"b\"}) + count(info(target_info))",
    ] {
        for dropped in [&[][..], &["replica"], &["replica", "x"], &["nosuch"]] {
            check(query, dropped);
        }
    }
    let ratio = "sum(m{replica=\"b\",x=\"1\"}) / sum(m{x=\"1\"})";
    assert!(answer(ratio, &["replica"], Rules::default()).expect("an answer").contains("1000.0"));
}

fn selector() -> impl Strategy<Value = String> {
    let matchers = prop::sample::subsequence(
        vec![
            "replica=\"a\"",
            "replica=\"b\"",
            "replica!=\"a\"",
            "replica=~\"a|b\"",
            "replica=\"\"",
            "x=\"1\"",
            "x!=\"1\"",
            "nosuch=\"\"",
            "nosuch!=\"\"",
        ],
        0..=2,
    );
    let name = prop::sample::select(vec!["m", "n", "m", "n", "target_info"]);
    (name, matchers).prop_map(|(name, matchers)| format!("{name}{{{}}}", matchers.join(",")))
}

fn query() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        3 => selector(),
        1 => selector().prop_map(|s| format!("rate({s}[10m])")),
        1 => selector().prop_map(|s| format!("max_over_time({s}[10m:5m])")),
    ];
    leaf.prop_recursive(3, 12, 2, |inner| {
        let around = prop::sample::select(vec![
            ("sum(", ")"),
            ("sum by (x) (", ")"),
            ("count by (replica) (", ")"),
            ("max without (x) (", ")"),
            ("min without (replica) (", ")"),
            ("topk(2, ", ")"),
            ("absent(", ")"),
            ("info(", ")"),
            ("info(", ", {replica=\"b\"})"),
            ("label_replace(", ", \"replica\", \"$1\", \"x\", \"(.*)\")"),
            ("-", ""),
        ]);
        let op = prop::sample::select(vec![
            "and",
            "unless",
            "or",
            "and on (x)",
            "unless on (replica)",
            "and ignoring (replica)",
            "/",
            "- on (x)",
            "* on (x, replica)",
            "+ ignoring (replica)",
            "> on (x) group_left ()",
        ]);
        prop_oneof![
            (around, inner.clone()).prop_map(|((before, after), e)| format!("{before}{e}{after}")),
            (inner.clone(), op, inner).prop_map(|(l, op, r)| format!("({l}) {op} ({r})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn rules_change_no_answer(query in query()) {
        check(&query, &[]);
        check(&query, &["replica"]);
    }
}
