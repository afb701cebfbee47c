//! A query cut into parts for engines with disjoint series, or with the same series at different times, and joined
//! again: the answer is that of one engine with all series.

use std::sync::atomic::AtomicBool;

use tithon_chunks::{Samples, TimeRange, Timestamp};
use tithon_index::Labels;
use tithon_promql::{
    Engine, EvalContext, Options, Prepared, SelectSpec, Series, SeriesData, TimeParams, Value, join_answers,
};

const MINUTE: i64 = 60_000;
const HOURS: i64 = 60 * MINUTE;

type Made = (Labels, Samples);

/// Counters and gauges of three regions over ten hours, some of which end or begin in between.
fn all() -> Vec<Made> {
    let mut made = Vec::new();
    for (r, region) in ["east", "north", "west"].into_iter().enumerate() {
        for i in 0..5i64 {
            for name in ["m_total", "g", "b_bucket"] {
                let mut labels = vec![("__name__", name.to_owned()), ("region", region.to_owned())];
                labels.push(("pod", format!("p{i}")));
                labels.push(("job", format!("j{}", i % 2)));
                if name == "b_bucket" {
                    labels.push(("le", ["1", "2", "5", "10", "+Inf"][i as usize].to_owned()));
                    labels[2].1 = "p".to_owned();
                    labels[3].1 = "j".to_owned();
                }
                let (from, to) = if i == 3 { (2 * HOURS, 10 * HOURS) } else { (0, (10 - i) * HOURS) };
                let mut samples = Samples::default();
                let mut t = from + i * 1_000;
                while t < to {
                    let v =
                        if name == "g" { (t / MINUTE * 7 + i) % 23 } else { t / MINUTE * (i + 1 + r as i64) };
                    samples.floats.push(Timestamp(t), v as f64);
                    t += 30_000;
                }
                made.push((Labels::from_pairs(labels), samples));
            }
        }
    }
    made.sort_by(|a, b| a.0.cmp(&b.0));
    made
}

/// An engine and the series that it holds.
struct Remote {
    engine: Engine,
    held: Vec<Made>,
}

fn remote(all: &[Made], region: &str, range: TimeRange) -> Remote {
    let own = |labels: &Labels| labels.get("region") == Some(region.as_bytes());
    let cut = |samples: &Samples| {
        let mut out = Samples::default();
        for (t, v) in samples.floats.timestamps.iter().zip(&samples.floats.values) {
            if range.contains(Timestamp(*t)) {
                out.floats.push(Timestamp(*t), *v);
            }
        }
        out
    };
    let held = all.iter().filter(|(labels, _)| own(labels)).map(|(l, s)| (l.clone(), cut(s))).collect();
    let set = Labels::from_pairs([("region", region)]);
    Remote { engine: Engine { label_sets: vec![set.clone()], partition: vec![set], range }, held }
}

fn select(made: &[Made], spec: &SelectSpec) -> Vec<Series> {
    let fits =
        |labels: &Labels| spec.matchers.iter().all(|m| m.matches(labels.get(m.name()).unwrap_or_default()));
    let series = |(labels, samples): &Made| Series {
        labels: labels.clone(),
        data: SeriesData::Samples(Box::new(samples.clone())),
    };
    made.iter().filter(|(labels, _)| fits(labels)).map(series).collect()
}

fn eval(prepared: &Prepared, inputs: Vec<Vec<Series>>) -> Value {
    let cancelled = AtomicBool::new(false);
    let inputs = inputs.into_iter().map(|series| Box::new(series.into_iter().map(Ok)) as _).collect();
    let ctx = EvalContext { pool: None, cancelled: &cancelled };
    prepared.eval(inputs, &ctx).expect("an answer").value
}

fn whole(query: &str, params: TimeParams, made: &[Made]) -> Value {
    let prepared = Prepared::new(query, params, &Options::default()).expect("a query");
    let inputs = prepared.selects().iter().map(|spec| select(made, spec)).collect();
    eval(&prepared, inputs)
}

/// The answer by parts, and how many selections are parts.
fn by_parts(query: &str, params: TimeParams, all: &[Made], remotes: &[Remote]) -> (Value, usize) {
    let engines: Vec<Engine> = remotes.iter().map(|remote| remote.engine.clone()).collect();
    let options = Options::default();
    let prepared = Prepared::distributed(query, params, &options, &engines).expect("a query");
    let mut n_parts = 0;
    let inputs = prepared.selects().iter().enumerate().map(|(i, spec)| match prepared.fragment(i) {
        None => select(all, spec),
        Some(fragment) => {
            n_parts += 1;
            let answers = fragment.calls.iter();
            join_answers(answers.map(|(e, times)| whole(&fragment.query, *times, &remotes[*e].held)))
        }
    });
    let inputs = inputs.collect();
    (eval(&prepared, inputs), n_parts)
}

/// Every sample as text, series in one order.
fn rows(value: &Value) -> Vec<String> {
    let mut rows: Vec<String> = match value {
        Value::Matrix(series) => series
            .iter()
            .map(|s| {
                let points: Vec<_> =
                    s.samples.floats.timestamps.iter().zip(&s.samples.floats.values).collect();
                format!("{} {points:?}", s.labels)
            })
            .collect(),
        Value::Vector(elements) => elements.iter().map(|e| format!("{} {:?}", e.labels, e.sample)).collect(),
        other => vec![format!("{other:?}")],
    };
    rows.sort();
    rows
}

/// Queries, and how many parts each is cut into.
const QUERIES: [(&str, usize); 34] = [
    ("g", 1),
    ("g{region=\"east\"} + 1", 1),
    ("sum(g)", 1),
    ("sum by (job) (rate(m_total[5m]))", 1),
    ("sum by (region) (g)", 1),
    ("sum without (region) (g)", 1),
    ("sum without (pod) (g)", 1),
    ("min(g) - max(g)", 2),
    ("count by (job) (g > 5)", 1),
    ("group(g)", 1),
    ("avg by (job) (g)", 2),
    ("avg without (pod, region) (g)", 2),
    ("avg by (region) (g)", 1),
    ("stddev(g)", 1),
    ("stddev by (region) (g)", 1),
    ("quantile by (region, job) (0.5, g)", 1),
    ("topk(2, max by (pod, region) (g) * 100 + sum by (pod, region) (m_total))", 1),
    ("count_values(\"v\", g)", 1),
    ("g / on (region, pod) m_total", 1),
    ("g / on (pod, job) group_left () sum by (pod, job) (m_total)", 2),
    ("sum(g) / count(m_total)", 2),
    ("g or m_total{region=\"east\"}", 2),
    ("g unless m_total > 500", 1),
    ("absent(g)", 1),
    ("absent(g{region=\"south\", x=\"y\"})", 1),
    ("absent_over_time(m_total{pod=\"p3\"}[5m])", 1),
    ("scalar(sum(g)) + g", 2),
    ("max_over_time(g[1h:5m])", 1),
    ("sum(max_over_time(g[1h:5m]))", 1),
    ("max_over_time(sum(g)[1h:5m])", 0),
    ("histogram_quantile(0.9, sum by (le) (rate(b_bucket[10m])))", 1),
    ("histogram_quantile(0.5, sum by (le, region) (rate(b_bucket[10m])))", 1),
    ("label_replace(sum by (region) (g), \"region\", \"x-$1\", \"region\", \"(.*)\")", 1),
    ("sum(g offset 10m) + 1", 1),
];

fn check(remotes: &[Remote], all: &[Made], with_counts: bool) {
    let range =
        TimeParams { start: Timestamp(2 * HOURS + 1_000), end: Timestamp(9 * HOURS), step_ms: 7 * MINUTE };
    for (query, parts) in QUERIES {
        for params in [range, TimeParams::instant(Timestamp(8 * HOURS))] {
            let (value, n_parts) = by_parts(query, params, all, remotes);
            assert_eq!(rows(&value), rows(&whole(query, params, all)), "{query} {params:?}");
            if with_counts {
                assert_eq!(n_parts, parts, "{query}");
            }
        }
    }
}

#[test]
fn parts_of_disjoint_series_make_the_whole() {
    let all = all();
    let always = TimeRange::new(0, 10 * HOURS);
    let remotes = ["east", "north", "west"].map(|region| remote(&all, region, always));
    check(&remotes, &all, true);
}

#[test]
fn engines_that_follow_each_other_in_time_make_the_whole() {
    let all = all();
    let remotes = [
        remote(&all, "east", TimeRange::new(0, 10 * HOURS)),
        remote(&all, "north", TimeRange::new(4 * HOURS, 10 * HOURS)),
        remote(&all, "north", TimeRange::new(0, 6 * HOURS)),
        remote(&all, "west", TimeRange::new(0, 7 * HOURS)),
        remote(&all, "west", TimeRange::new(5 * HOURS, 10 * HOURS)),
    ];
    check(&remotes, &all, true);
}

#[test]
fn a_gap_in_time_or_a_fixed_time_keeps_a_part_here() {
    let all = all();
    let remotes = [
        remote(&all, "east", TimeRange::new(0, 5 * HOURS)),
        remote(&all, "east", TimeRange::new(5 * HOURS + 1, 10 * HOURS)),
        remote(&all, "north", TimeRange::new(0, 10 * HOURS)),
        remote(&all, "west", TimeRange::new(0, 10 * HOURS)),
    ];
    check(&remotes, &all, false);
    let params = TimeParams::instant(Timestamp(8 * HOURS));
    assert_eq!(by_parts("sum(g)", params, &all, &remotes).1, 0);
    let overlapping = [
        remote(&all, "east", TimeRange::new(0, 7 * HOURS)),
        remote(&all, "east", TimeRange::new(3 * HOURS, 10 * HOURS)),
    ];
    let parts = |query: &str| by_parts(query, params, &overlapping[0].held, &overlapping).1;
    assert_eq!((parts("sum(g @ 18000)"), parts("sum(g @ 3600)"), parts("sum(g)")), (1, 0, 1));
}

#[test]
fn only_engines_that_may_have_the_series_are_asked() {
    let all = all();
    let always = TimeRange::new(0, 10 * HOURS);
    let engines = ["east", "north", "west"].map(|region| remote(&all, region, always).engine);
    let params = TimeParams { start: Timestamp(0), end: Timestamp(HOURS), step_ms: MINUTE };
    let asked = |query: &str| {
        let prepared = Prepared::distributed(query, params, &Options::default(), &engines).expect("a query");
        let fragment = prepared.fragment(0).expect("a part").clone();
        let engines: Vec<usize> = fragment.calls.iter().map(|(i, _)| *i).collect();
        (fragment.query, engines)
    };
    assert_eq!(
        asked("count by (job) (g{region=~\"e.*|w.*\"})"),
        ("count by (job, region) (g{region=~\"e.*|w.*\"})".to_owned(), vec![0, 2])
    );
    assert_eq!(asked("sum(g{region=\"south\"})").1, Vec::<usize>::new());
    assert_eq!(asked("max without (region, pod) (g)").0, "max without (pod) (g)");
}
