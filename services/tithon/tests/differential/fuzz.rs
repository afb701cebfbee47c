//! Random queries, sent to a real Prometheus and to Tithon over the same blocks.
//!
//! `TITHON_FUZZ_SEED` and `TITHON_FUZZ_QUERIES` choose the queries. `TITHON_PROMETHEUS` names a Prometheus of 3.14 or
//! later, used instead of Debian's 2.42: then queries use the whole language, and answers are compared to the last bit,
//! annotations included.

#[path = "fuzz/catalog.rs"]
mod catalog;
#[path = "fuzz/compare.rs"]
mod compare;
#[path = "fuzz/dice.rs"]
mod dice;
#[path = "fuzz/queries.rs"]
mod queries;

use std::process::Command;

use serde_json::Value;
use tithon_testdata::{copy_dir, shared};

use self::catalog::Catalog;
use self::compare::{Verdict, compare};
use self::queries::{Dialect, Queries};
use super::process::Server;

const FEATURES: &str = "--enable-feature=promql-experimental-functions,promql-extended-range-selectors,\
                        promql-binop-fill-modifiers";

/// Queries for which 2.42 and 3.14 answer differently, and why; the common dialect avoids these.
pub const KNOWN_DIFFERENCES: &[(&str, &str)] = &[
    (
        "samples exactly at the start of a range or exactly as old as the lookback",
        "ranges are open on the left since 3.0; asked at odd milliseconds",
    ),
    ("rate, increase", "extrapolation towards zero changed in 3.x"),
    ("histogram_fraction of classic buckets", "new in 3.x"),
    ("atan2 between vectors", "kept the metric name in 2.42"),
    (
        "native histograms, and metrics that are floats and histograms by turns",
        "taken for 0 in 2.42; left out since",
    ),
    (
        "the last digits of sums, averages and deviations",
        "compensated summation everywhere since; compared to 1e-9",
    ),
    ("stddev and stdvar of vectors", "a single NaN or Inf gave 0 in 2.42"),
    ("topk and bottomk", "which of equal elements stay was another choice in 2.42"),
    ("predict_linear with @", "2.42 takes the window's end for every step but the first"),
    (
        "names in quotes, durations as numbers or expressions, experimental functions, fill, anchored, smoothed",
        "newer syntax",
    ),
    ("regular expressions over values with a newline", "the dot matches it since 3.0"),
    ("annotations", "2.42 knows none"),
];

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// A query with its times, in the order of the API's parameters.
fn request(queries: &mut Queries<'_>) -> (&'static str, Vec<(&'static str, String)>) {
    let query = queries.query();
    let dice = queries.dice();
    // The recorded half day of 2024-03-10; odd milliseconds avoid all scrape times.
    let start = 1_710_028_800 + 1_800 + dice.below(38_000);
    let millis = 100 + dice.below(800);
    let time = |seconds: usize| format!("{seconds}.{millis}");
    if dice.once_in(3) {
        return ("/api/v1/query", vec![("query", query), ("time", time(start))]);
    }
    let step = *dice.pick(&[15, 30, 60, 97, 300, 1200]);
    let end = (start + step * dice.below(25)).min(1_710_072_000);
    let mut params = vec![("query", query), ("start", time(start)), ("end", time(end.max(start)))];
    params.push(("step", step.to_string()));
    ("/api/v1/query_range", params)
}

#[test]
fn random_queries() {
    if !super::enabled() {
        return;
    }
    let newer = std::env::var("TITHON_PROMETHEUS").ok();
    let (seed, wanted) = (number("TITHON_FUZZ_SEED", 20_240_310), number("TITHON_FUZZ_QUERIES", 5_000));
    let dialect = if newer.is_some() { Dialect::Modern } else { Dialect::Common };
    println!("fuzz: seed {seed}, {wanted} queries, {dialect:?}; set aside: {}", KNOWN_DIFFERENCES.len());
    let dir = tempfile::tempdir().unwrap();
    let (ours_dir, theirs_dir) = (dir.path().join("ours"), dir.path().join("theirs"));
    copy_dir(&shared("answers/data/replica-a"), &ours_dir);
    copy_dir(&shared("answers/data/replica-a"), &theirs_dir);
    let theirs = match &newer {
        Some(program) => Server::prometheus_of(Command::new(program), &theirs_dir, &[FEATURES]),
        None => Server::prometheus(&theirs_dir),
    };
    let bucket = format!("--bucket-dir={}", ours_dir.display());
    let labels = ["--query.replica-label=replica", "--query.replica-label=cluster"];
    let ours = Server::standalone(&[&bucket, FEATURES, labels[0], labels[1]]);
    let catalog = Catalog::ask(&ours, 1_710_050_400);
    let mut queries = Queries::new(seed, &catalog, dialect);
    let (mut equal, mut empty, mut errors, mut unstable) = (0, 0, 0, 0);
    let mut different = Vec::new();
    for _ in 0..wanted {
        let (path, params) = request(&mut queries);
        let params: Vec<(&str, &str)> = params.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let answer = ours.get(path, &params);
        match ask(&theirs, path, &params, &answer, dialect) {
            Verdict::Equal => equal += 1,
            Verdict::Unstable => unstable += 1,
            Verdict::Different(what) => different.push(format!("{path} {params:?}\n    {what}")),
        }
        errors += usize::from(answer["status"] != "success");
        empty += usize::from(answer["data"]["result"].as_array().is_some_and(Vec::is_empty));
    }
    different.iter().take(number("SHOW", 20) as usize).for_each(|text| println!("  {text}"));
    println!(
        "prometheus: fuzz {equal} of {wanted} alike ({errors} errors, {empty} empty), {unstable} that Prometheus answers \
         now so, now so; seed {seed}"
    );
    assert!(different.is_empty(), "{} queries are answered otherwise; seed {seed}", different.len());
    assert!(empty + errors < wanted as usize * 2 / 3, "most queries find nothing: nothing is proven");
}

/// Compares the answers; repeats a query whose answers differ, because some answers depend on the order of a Go map.
fn ask(theirs: &Server, path: &str, params: &[(&str, &str)], ours: &Value, dialect: Dialect) -> Verdict {
    let told = theirs.get(path, params);
    let first = compare(ours, &told, dialect);
    if !matches!(first, Verdict::Different(_)) {
        return first;
    }
    for _ in 0..12 {
        if !matches!(compare(&theirs.get(path, params), &told, dialect), Verdict::Equal) {
            return Verdict::Unstable;
        }
    }
    first
}
