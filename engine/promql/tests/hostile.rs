//! Queries made to do harm: planning takes time in proportion to the text, all memory that grows is counted, and planning
//! and evaluation end soon after the caller cancels.
#![allow(clippy::disallowed_methods)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tithon_chunks::{ErrorKind, Samples, Timestamp};
use tithon_index::Labels;
use tithon_promql::{
    Budget, EvalContext, Options, ParseOptions, Prepared, QueryError, SelectInput, Series, SeriesData,
    TimeParams, Watch, parse, prettify_within,
};

const AT: TimeParams = TimeParams::instant(Timestamp(600_000));
const RANGE: TimeParams = TimeParams { start: Timestamp(0), end: Timestamp(600_000), step_ms: 1_000 };

fn options() -> Options {
    Options { parse: ParseOptions::ALL, ..Options::default() }
}

/// Plans within a generous time; planning in quadratic time would take minutes.
fn check_plan(name: &str, query: &str) {
    let begun = Instant::now();
    let prepared = Prepared::new(query, AT, &options());
    if let Ok(prepared) = &prepared {
        drop(prepared.explain());
    }
    if let Ok(expr) = parse(query, &ParseOptions::ALL) {
        assert!(!expr.to_string().is_empty());
        drop(prettify_within(&expr, 1 << 20));
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "{name} ({} bytes) took {took:?}", query.len());
}

#[test]
fn planning_takes_time_in_proportion_to_the_text() {
    let n = 20_000;
    let list = |item: &dyn Fn(usize) -> String, n: usize| (0..n).map(item).collect::<Vec<_>>().join(",");
    let chain = |term: &dyn Fn(usize) -> String, op: &str| (0..n).map(term).collect::<Vec<_>>().join(op);
    let same = |_: usize| "up".to_owned();
    let labels = list(&|i| format!("l{i}"), n);
    for (name, query) in [
        ("sum of one metric", chain(&same, "+")),
        ("sum of many metrics", chain(&|i| format!("m{i}"), "+")),
        ("sum of one metric with many conditions", chain(&|i| format!("up{{a=\"{i}\"}}"), "+")),
        ("sum of growing conditions", chain(&|i| format!("up{{a=\"{}\",b=\"{i}\"}}", i % 99), "+")),
        ("and", chain(&|i| format!("up{{a=\"{i}\"}}"), " and ")),
        ("or", chain(&same, " or ")),
        ("rates with offsets", chain(&|i| format!("rate(up[5m] offset {i}s)"), "+")),
        ("subqueries", chain(&|_| "max_over_time(up[5m:1m])".to_owned(), "+")),
        ("scalars", format!("up+{}", chain(&|_| "1".to_owned(), "+"))),
        ("many matchers", format!("up{{{}}}", list(&|_| "a=\"b\"".to_owned(), 300_000))),
        ("many different matchers", format!("up{{{}}}", list(&|i| format!("a{i}!=\"b\""), 300_000))),
        ("matchers on both sides", {
            let side = |c: char| format!("up{{{}}}", list(&|i| format!("{c}{i}=\"b\""), 100_000));
            format!("{} and {}", side('a'), side('b'))
        }),
        ("matchers and listed labels", {
            let matchers = list(&|i| format!("l{i}=\"b\""), n);
            format!("up{{{matchers}}} and on ({labels}) up{{{matchers}}}")
        }),
        ("labels to match and to copy", format!("up + on ({labels}) group_left ({labels}) up")),
        ("labels to group by", format!("sum by ({labels}) (up) + sum by ({labels}) (up)")),
        ("arguments", format!("label_join(up, \"a\", \",\", {})", list(&|i| format!("\"l{i}\""), n))),
        ("parentheses", format!("{}up{}", "(".repeat(4_000), ")".repeat(4_000))),
        ("nested functions", format!("{}up{}", "abs(".repeat(4_900), ")".repeat(4_900))),
        ("nested info", format!("{}up{}", "info(".repeat(4_900), ")".repeat(4_900))),
        ("signs below info", format!("info({}up)", "-".repeat(4_900))),
        ("nested subqueries", format!("{}up{}", "rate(".repeat(2_400), "[5m:1m])".repeat(2_400))),
        ("mistakes", chain(&|_| "\"a\"".to_owned(), "+")),
        ("mistakes of labels", format!("sum by ({}) (up)", list(&|_| "\"\"".to_owned(), 300_000))),
        ("offsets twice", chain(&|_| "up offset 1m offset 2m".to_owned(), "+")),
        ("fill", "fill ".repeat(100_000)),
        ("spaces", format!("up{}+ up", " ".repeat(1_000_000))),
    ] {
        check_plan(name, &query);
    }
}

/// A chain of equal terms is read once, and evaluated within about a second.
#[test]
fn equal_selectors_are_read_once() {
    let query = vec!["up"; 20_000].join("+");
    let prepared = Prepared::new(&query, AT, &options()).expect("a query");
    assert_eq!(prepared.selects().len(), 1);
    let value = eval(&prepared, 10).expect("an answer");
    assert!(value.contains("20000.0"), "{value}");
}

#[test]
fn planning_is_counted_and_stops() {
    let query = vec!["up"; 1_000_000].join("+");
    let (budget, cancelled) = (Budget::new(64 << 20, "--flag"), AtomicBool::new(false));
    let watch = Watch { budget: &budget, cancelled: &cancelled };
    let error = Prepared::within(&query, AT, &options(), watch).expect_err("over the budget");
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert!(error.to_string().contains("67108864 bytes (--flag)"), "{error}");
    assert_eq!(budget.held(), 0);
    let prepared = Prepared::within("up + up", AT, &options(), watch).expect("a query");
    assert!(budget.held() > 0);
    drop(prepared);
    assert_eq!(budget.held(), 0);
    cancelled.store(true, Ordering::Relaxed);
    let error = Prepared::within("up", AT, &options(), watch).expect_err("nobody waits");
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}

/// `n` series with a long label and 600 different values.
fn input(n: usize) -> SelectInput {
    Box::new((0..n).map(|i| {
        let mut samples = Samples::default();
        (0..600).for_each(|t| samples.floats.push(Timestamp(t * 1_000), (t * 10_000) as f64 + i as f64));
        let (i, long) = (format!("{i:06}"), "x".repeat(1_000));
        let labels = Labels::from_pairs([("__name__", "up"), ("i", i.as_str()), ("long", long.as_str())]);
        Ok(Series { labels, data: SeriesData::Samples(Box::new(samples)) })
    }))
}

fn eval(prepared: &Prepared, n_series: usize) -> Result<String, QueryError> {
    let cancelled = AtomicBool::new(false);
    let inputs = prepared.selects().iter().map(|_| {
        let ones = input(n_series).map(|series| {
            series.map(|mut series| {
                if let SeriesData::Samples(samples) = &mut series.data {
                    samples.floats.values.fill(1.0);
                }
                series
            })
        });
        Box::new(ones) as SelectInput
    });
    let result = prepared.eval(inputs.collect(), &EvalContext { pool: None, cancelled: &cancelled })?;
    Ok(format!("{:?}", result.value))
}

#[test]
fn labels_and_results_are_counted() {
    let limit = 100 << 20;
    for query in [
        "count_values(\"v\", up)",
        "count(count_values(\"v\", up))",
        "count_values by (long) (\"v\", up)",
        &format!("label_replace(up, \"new\", \"{}\", \"long\", \"(.*)\")", "$1".repeat(1_000)),
        &format!("label_join(up, \"new\", \"{}\", \"i\", \"long\", \"i\")", "-".repeat(50_000)),
        "sum by (i, long) (up)",
        "up * on (i) up",
        "up * on (i) group_left (long) up",
        "limitk(100000, up)",
        "topk(100000, up)",
        "up @ 600",
        "last_over_time(up[10m:1s])",
        "up or up",
        "histogram_quantiles(label_replace(up, \"le\", \"1\", \"i\", \".*\"), \"q\", time() / 1e6)",
        "info(up)",
        "max_over_time(up[10y:8s])",
        "max_over_time(vector(1)[10y:8s])",
        "max_over_time((up * 0 + 1)[10y:8s])",
    ] {
        let budget = Budget::new(limit, "--flag");
        let cancelled = AtomicBool::new(false);
        let watch = Watch { budget: &budget, cancelled: &cancelled };
        let prepared = Prepared::within(query, RANGE, &options(), watch).expect("a query");
        let inputs = prepared.selects().iter().map(|_| input(40_000)).collect();
        let short: String = query.chars().take(40).collect();
        let Err(error) = prepared.eval(inputs, &EvalContext { pool: None, cancelled: &cancelled }) else {
            panic!("{short} takes more than the limit");
        };
        assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{short}: {error}");
        assert!(error.to_string().contains("--flag") || error.to_string().contains("samples"), "{error}");
        drop(prepared);
        assert_eq!(budget.held(), 0, "{short}: what was held is released");
    }
}

/// The replacement is parsed once, and expanded once per series.
#[test]
fn a_long_replacement_takes_time_in_proportion_to_it() {
    let begun = Instant::now();
    for part in ["$1", "$name", "${1}", "$$", "$", "a$", "${", "$é"] {
        let replacement = part.repeat(30_000);
        let query = format!("count(label_replace(up, \"new\", \"{replacement}\", \"i\", \"(.*)\"))");
        let prepared = Prepared::new(&query, AT, &options()).expect("a query");
        eval(&prepared, 200).expect("an answer");
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "took {took:?}");
}

#[test]
fn what_patterns_are_compiled_to_counts() {
    let plan = |pattern: &str| {
        let matchers: Vec<String> = (0..300).map(|i| format!("a{i}=~\"{pattern}\"")).collect();
        let (budget, cancelled) = (Budget::new(1 << 20, "--limit"), AtomicBool::new(false));
        let watch = Watch { budget: &budget, cancelled: &cancelled };
        Prepared::within(format!("up{{{}}}", matchers.join(",")), AT, &options(), watch).map(drop)
    };
    plan("(?i)b[x-z0-9.:-]*").expect("short patterns take little");
    let error = plan("(?i)b[x-z0-9.:-]{1,900}").expect_err("long ones take more than a megabyte together");
    assert!(matches!(error, QueryError::TooManyBytes(over) if over.flag == "--limit"), "{error}");
}
