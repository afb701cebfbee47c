//! Every function and aggregation against a simple model: a range query against one instant query per step, functions of
//! ranges and aggregations against plain loops over the samples.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use proptest::prelude::*;
use tithon_chunks::{STALE_NAN_BITS, Samples, Timestamp};
use tithon_index::Labels;
use tithon_promql::{
    EvalContext, Options, ParseOptions, Prepared, QueryError, Sample, Series, SeriesData, TimeParams, Value,
};

/// Labels and samples: time in milliseconds, value.
type Made = (Labels, Vec<(i64, f64)>);

fn eval(query: &str, params: TimeParams, made: &[Made]) -> Result<Value, QueryError> {
    let options = Options { parse: ParseOptions::ALL, ..Options::default() };
    let prepared = Prepared::new(query, params, &options)?;
    let inputs = prepared.selects().iter().map(|spec| {
        let accepts = |labels: &Labels| {
            spec.matchers.iter().all(|m| m.matches(labels.get(m.name()).unwrap_or_default()))
        };
        let series: Vec<_> = made
            .iter()
            .filter(|(labels, _)| accepts(labels))
            .map(|(labels, list)| {
                let mut samples = Samples::default();
                list.iter().for_each(|(t, v)| samples.floats.push(Timestamp(*t), *v));
                Ok(Series { labels: labels.clone(), data: SeriesData::Samples(Box::new(samples)) })
            })
            .collect();
        Box::new(series.into_iter()) as _
    });
    let cancelled = AtomicBool::new(false);
    Ok(prepared.eval(inputs.collect(), &EvalContext { pool: None, cancelled: &cancelled })?.value)
}

/// Floats by labels and time; NaN is one number.
type Points = BTreeMap<(String, i64), u64>;

fn bits(v: f64) -> u64 {
    if v.is_nan() { f64::NAN.to_bits() } else { v.to_bits() }
}

fn points(value: &Value) -> Points {
    let mut points = Points::new();
    match value {
        Value::Matrix(series) => {
            for s in series {
                for (t, v) in s.samples.floats.timestamps.iter().zip(&s.samples.floats.values) {
                    points.insert((s.labels.to_string(), *t), bits(*v));
                }
            }
        }
        Value::Vector(list) => {
            for one in list {
                if let Sample::Float(v) = one.sample {
                    points.insert((one.labels.to_string(), one.t.0), bits(v));
                }
            }
        }
        Value::Scalar { t, v } => {
            points.insert((Labels::default().to_string(), t.0), bits(*v));
        }
        Value::String { .. } => panic!("no text is asked for"),
    }
    points
}

/// Every function that takes numbers or ranges of them, every aggregation and operator.
const QUERIES: &[&str] = &[
    "m",
    "-m",
    "m offset 3m",
    "m @ 1800",
    "m + m",
    "m - on(i) m",
    "m * ignoring(j) n",
    "m / 3",
    "7 % m",
    "m ^ 0.5",
    "m > 2",
    "m <= bool 2",
    "m and n",
    "m or n",
    "m unless on(i) n",
    "m atan2 n",
    "m + fill(0) n",
    "m * on(i) group_left sum by (i) (n)",
    "sum(m)",
    "sum by (i) (m)",
    "avg without (i) (m)",
    "min by (j) (m)",
    "max(m)",
    "count(m)",
    "group by (j) (m)",
    "stddev(m)",
    "stdvar by (i) (m)",
    "quantile(0.3, m)",
    "topk(2, m)",
    "bottomk by (j) (1, m)",
    "limitk(2, m)",
    "limit_ratio(0.5, m)",
    "count_values(\"v\", round(m))",
    "rate(m[5m])",
    "increase(m[5m])",
    "delta(m[5m])",
    "irate(m[5m])",
    "idelta(m[5m])",
    "deriv(m[5m])",
    "predict_linear(m[5m], 60)",
    "changes(m[5m])",
    "resets(m[5m])",
    "avg_over_time(m[5m])",
    "sum_over_time(m[5m])",
    "min_over_time(m[5m])",
    "max_over_time(m[5m])",
    "count_over_time(m[5m])",
    "last_over_time(m[5m])",
    "first_over_time(m[5m])",
    "present_over_time(m[5m])",
    "absent_over_time(m[1m])",
    "stddev_over_time(m[5m])",
    "stdvar_over_time(m[5m])",
    "mad_over_time(m[5m])",
    "quantile_over_time(0.7, m[5m])",
    "ts_of_max_over_time(m[5m])",
    "ts_of_min_over_time(m[5m])",
    "ts_of_first_over_time(m[5m])",
    "ts_of_last_over_time(m[5m])",
    "double_exponential_smoothing(m[5m], 0.3, 0.6)",
    "rate(m[5m] anchored)",
    "increase(m[5m] smoothed)",
    "delta(m[5m] smoothed)",
    "changes(m[5m] anchored)",
    "max_over_time(rate(m[2m])[6m:1m])",
    "sum_over_time((m > 1)[5m:30s])",
    "absent(m{i=\"nowhere\"})",
    "abs(m)",
    "ceil(m)",
    "floor(m)",
    "exp(m)",
    "ln(m)",
    "log2(m)",
    "log10(m)",
    "sqrt(m)",
    "sgn(m)",
    "round(m, 0.3)",
    "clamp(m, 1, 3)",
    "clamp_min(m, 2)",
    "clamp_max(m, 2)",
    "sin(m)",
    "cos(m)",
    "tan(m)",
    "asin(m)",
    "acos(m)",
    "atan(m)",
    "sinh(m)",
    "cosh(m)",
    "tanh(m)",
    "asinh(m)",
    "acosh(m)",
    "atanh(m)",
    "deg(m)",
    "rad(m)",
    "pi()",
    "time()",
    "vector(time())",
    "scalar(sum(m))",
    "timestamp(m)",
    "timestamp(-m)",
    "minute(m)",
    "hour()",
    "day_of_week(m)",
    "day_of_month(m)",
    "day_of_year(m)",
    "days_in_month()",
    "month(m)",
    "year(m)",
    "label_replace(m, \"k\", \"$1\", \"i\", \"(.*)\")",
    "label_join(m, \"k\", \"-\", \"i\", \"j\")",
    "histogram_quantile(0.9, b)",
    "histogram_fraction(0, 1, b)",
    "sort(m)",
    "sort_desc(m)",
    "sort_by_label(m, \"i\")",
    "info(m)",
    "min_of(1, 2) + time()",
];

fn values() -> impl Strategy<Value = Vec<f64>> {
    let one = prop_oneof![
        8 => (0u32..50).prop_map(f64::from),
        4 => -5.0..5.0f64,
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        2 => Just(f64::from_bits(STALE_NAN_BITS)),
    ];
    proptest::collection::vec(one, 60..90)
}

/// Six series of two metrics and a classic histogram, scraped every 15 s with gaps and jitter.
fn made(values: &[Vec<f64>], jitter: i64) -> Vec<Made> {
    let mut made: Vec<Made> = Vec::new();
    for (number, values) in values.iter().enumerate() {
        let name = if number < 4 { "m" } else { "n" };
        let labels = Labels::from_pairs([
            ("__name__", name.to_owned()),
            ("i", (number % 2).to_string()),
            ("j", (number / 2 % 2).to_string()),
        ]);
        let scraped =
            |(k, v): (usize, &f64)| (k as i64 * 15_000 + (k as i64 * 7_919 + number as i64) % jitter, *v);
        let kept = values.iter().enumerate().filter(|(k, _)| !(k / 11 + number).is_multiple_of(4));
        made.push((labels, kept.map(scraped).collect()));
    }
    for (i, le) in ["1", "2", "+Inf"].into_iter().enumerate() {
        let labels = Labels::from_pairs([("__name__", "b"), ("le", le)]);
        made.push((labels, (0..80).map(|k| (k * 15_000, (k * (i as i64 + 1)) as f64)).collect()));
    }
    made.sort_by(|a, b| a.0.cmp(&b.0));
    made
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A range query equals one instant query per step, to the bit.
    #[test]
    fn ranges_are_instants(
        values in proptest::collection::vec(values(), 6),
        jitter in 1i64..4_000,
        start in 0i64..600_000,
        step in 1_000i64..120_000,
    ) {
        let made = made(&values, jitter);
        let (n, mut found) = (9, 0);
        for query in QUERIES {
            let end = start + (n - 1) * step;
            let params = TimeParams { start: Timestamp(start), end: Timestamp(end), step_ms: step };
            let range = eval(query, params, &made);
            let mut stepwise = Points::new();
            let mut error = None;
            for t in (0..n).map(|k| Timestamp(start + k * step)) {
                match eval(query, TimeParams::instant(t), &made) {
                    Ok(value) => stepwise.extend(points(&value)),
                    Err(e) => error = error.or(Some(e.to_string())),
                }
            }
            match range {
                Ok(value) => {
                    prop_assert_eq!(error, None, "{}", query);
                    found += usize::from(!stepwise.is_empty());
                    prop_assert_eq!(points(&value), stepwise, "{}", query);
                }
                Err(e) => prop_assert_eq!(Some(e.to_string()), error, "{}", query),
            }
        }
        prop_assert!(found > QUERIES.len() * 3 / 4, "{} queries find something", found);
    }

    /// Functions of ranges against loops over the window.
    #[test]
    fn windows_are_plain_loops(
        values in proptest::collection::vec(values(), 6),
        jitter in 1i64..4_000,
        at in 100_000i64..1_200_000,
        range in 1i64..600,
    ) {
        let made = made(&values, jitter);
        for (function, plain) in WINDOWS {
            let query = format!("{function}(m[{range}s])");
            let value = eval(&query, TimeParams::instant(Timestamp(at)), &made).expect("an answer");
            let ours: Vec<f64> = points(&value).into_values().map(f64::from_bits).collect();
            let expected: Vec<f64> = made
                .iter()
                .filter(|(labels, _)| labels.get(b"__name__") == Some(b"m"))
                .filter_map(|(_, list)| {
                    let is_stale = |v: f64| v.to_bits() == STALE_NAN_BITS;
                    let window: Vec<(i64, f64)> = list
                        .iter()
                        .filter(|(t, v)| at - range * 1_000 < *t && *t <= at && !is_stale(*v))
                        .copied()
                        .collect();
                    if window.is_empty() { None } else { plain(&window) }
                })
                .collect();
            prop_assert_eq!(ours.len(), expected.len(), "{}", query);
            for (a, b) in ours.iter().zip(&expected) {
                let close = (a.is_nan() && b.is_nan()) || a == b || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0);
                prop_assert!(close, "{}: {} and {}", query, a, b);
            }
        }
    }
}

type Plain = fn(&[(i64, f64)]) -> Option<f64>;

const WINDOWS: &[(&str, Plain)] = &[
    ("count_over_time", |w| Some(w.len() as f64)),
    ("present_over_time", |_| Some(1.0)),
    ("last_over_time", |w| w.last().map(|s| s.1)),
    ("first_over_time", |w| w.first().map(|s| s.1)),
    ("sum_over_time", |w| Some(w.iter().map(|s| s.1).sum())),
    ("avg_over_time", |w| Some(w.iter().map(|s| s.1).sum::<f64>() / w.len() as f64)),
    ("min_over_time", |w| Some(w.iter().fold(f64::NAN, |a, s| if s.1 < a || a.is_nan() { s.1 } else { a }))),
    ("max_over_time", |w| Some(w.iter().fold(f64::NAN, |a, s| if s.1 > a || a.is_nan() { s.1 } else { a }))),
    ("changes", |w| Some(pairs(w).filter(|(a, b)| a != b && !(a.is_nan() && b.is_nan())).count() as f64)),
    ("resets", |w| Some(pairs(w).filter(|(a, b)| b < a).count() as f64)),
    ("idelta", |w| pairs(w).last().map(|(a, b)| b - a)),
    ("irate", |w| {
        let [.., (t, a), (u, b)] = w else { return None };
        Some((if b < a { *b } else { b - a }) / ((u - t) as f64 / 1_000.0))
    }),
    ("stdvar_over_time", |w| {
        let mean = w.iter().map(|s| s.1).sum::<f64>() / w.len() as f64;
        Some(w.iter().map(|s| (s.1 - mean) * (s.1 - mean)).sum::<f64>() / w.len() as f64)
    }),
    ("deriv", |w| {
        if w.len() < 2 {
            return None;
        }
        if w.iter().all(|s| s.1 == w[0].1) {
            return Some(if w[0].1.is_infinite() { f64::NAN } else { 0.0 });
        }
        let n = w.len() as f64;
        let x: Vec<f64> = w.iter().map(|s| (s.0 - w[0].0) as f64 / 1_000.0).collect();
        let (mx, my) = (x.iter().sum::<f64>() / n, w.iter().map(|s| s.1).sum::<f64>() / n);
        let over: f64 = x.iter().zip(w).map(|(x, s)| (x - mx) * (s.1 - my)).sum();
        Some(over / x.iter().map(|x| (x - mx) * (x - mx)).sum::<f64>())
    }),
];

fn pairs(w: &[(i64, f64)]) -> impl Iterator<Item = (f64, f64)> {
    w.windows(2).map(|pair| (pair[0].1, pair[1].1))
}
