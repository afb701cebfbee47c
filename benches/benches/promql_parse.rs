//! Parser, printer, mathematical functions and number texts of `tithon-promql`.

use std::hint::black_box;

use tithon_benches::{Report, median_ns, medians};
use tithon_promql::{ParseOptions, format, math, parse};

/// Queries of dashboards and rules, from short to long.
const QUERIES: [(&str, &str); 4] = [
    ("selector", r#"http_requests_total{job="api",code=~"5.."}"#),
    ("rate", "sum by (job, instance) (rate(http_requests_total[5m]))"),
    (
        "ratio",
        r#"sum(rate(errors_total{env="prod"}[5m])) by (job) / ignoring(code) group_left sum(rate(requests_total{env="prod"}[5m])) by (job) > 0.05"#,
    ),
    (
        "quantile",
        "histogram_quantile(0.99, sum by (le, job) (rate(latency_seconds_bucket[5m] offset 1h))) and on (job) (max_over_time(up[1h:1m] @ end()) == 1)",
    ),
];

fn main() {
    let mut report = Report::from_args();
    for (name, query) in QUERIES {
        let parsed = median_ns(|| parse(query, &ParseOptions::ALL).map(drop));
        report.row(&format!("parse/{name}"), "ns", parsed, "", 0.0);
        let expr = parse(query, &ParseOptions::ALL).expect("a valid query");
        report.row(&format!("print/{name}"), "ns", median_ns(|| expr.to_string()), "", 0.0);
    }
    let chain = format!("a{}", " + b".repeat(14_000));
    let per_node = median_ns(|| parse(&chain, &ParseOptions::ALL).map(drop)) / 28_001.0;
    report.row("parse/chain of 14,000", "ns/node", per_node, "", 0.0);
    functions(&mut report);
    texts(&mut report);
    report.finish();
}

/// Our functions, whose bits are Go's, against those of the standard library.
fn functions(report: &mut Report) {
    type Function = fn(f64) -> f64;
    let pairs: [(&str, Function, Function); 4] = [
        ("exp", math::exp, f64::exp),
        ("ln", math::ln, f64::ln),
        ("sin", math::sin, f64::sin),
        ("tanh", math::tanh, f64::tanh),
    ];
    let values: Vec<f64> = (1..=10_000).map(|i| f64::from(i) * 0.013).collect();
    let sum = |f: Function| values.iter().map(|v| f(black_box(*v))).sum::<f64>();
    for (name, ours, std) in pairs {
        let mut run_ours = || {
            black_box(sum(ours));
        };
        let mut run_std = || {
            black_box(sum(std));
        };
        let times = medians(25, &mut [&mut run_ours, &mut run_std]);
        report.row(&format!("math/{name}"), "ns", times[0] * 1e9 / 1e4, "std", times[1] / times[0]);
    }
}

/// Sample values as JSON has them, against the standard library's shortest digits.
fn texts(report: &mut Report) {
    let values: Vec<f64> = (1..=10_000).map(|i| f64::from(i) * 0.000_137).collect();
    let mut out = Vec::with_capacity(1 << 18);
    let mut ours = || {
        out.clear();
        values.iter().for_each(|v| format::write_sample_value(&mut out, *v));
    };
    let mut text = String::with_capacity(1 << 18);
    let mut std = || {
        use std::fmt::Write;
        text.clear();
        values.iter().for_each(|v| write!(text, "{v}").expect("writing to a string succeeds"));
    };
    let times = medians(25, &mut [&mut ours, &mut std]);
    report.row("text/sample_value", "ns", times[0] * 1e9 / 1e4, "std", times[1] / times[0]);
}
