//! The answer of a query whose parts queriers evaluate over their own data is that of an evaluation over all data.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use proptest::prelude::*;
use tithon_chunks::{TimeRange, Timestamp};
use tithon_index::Labels;
use tithon_promql::{
    EvalContext, LocalSource, Options, ParseOptions, Partitioning, Prepared, QueryError, RemoteEngine,
    Remotes, Sample, SelectInput, Series, SeriesData, TimeParams, Value,
};

use crate::layout::{ALWAYS, engine, labels, plan};

/// Labels and samples: time in milliseconds, value.
pub(crate) type Made = (Labels, Vec<(i64, f64)>);

/// Queriers with their data, and the data of stores that evaluate nothing.
struct World {
    remotes: Remotes,
    of_engines: Vec<Vec<Made>>,
    local: Vec<Made>,
}

impl World {
    /// All data: samples that several have are there once.
    fn all(&self) -> Vec<Made> {
        let mut all: BTreeMap<Labels, BTreeMap<i64, f64>> = BTreeMap::new();
        for (labels, points) in self.of_engines.iter().flatten().chain(&self.local) {
            all.entry(labels.clone()).or_default().extend(points.iter().copied());
        }
        all.into_iter().map(|(labels, points)| (labels, points.into_iter().collect())).collect()
    }

    /// Evaluates a query; parts of it by the queriers over their data.
    fn evaluate(&self, query: &str, times: TimeParams) -> Result<Value, QueryError> {
        let prepared = plan(query, times, &self.remotes);
        let part = |part: &tithon_promql::RemotePart| -> Result<SelectInput, QueryError> {
            let value = evaluate(&part.query, part.times, &self.of_engines[part.engine])?;
            Ok(Box::new(series(value).into_iter().map(Ok)))
        };
        let remote: Vec<SelectInput> = prepared.remote_parts().iter().map(part).collect::<Result<_, _>>()?;
        finish(&prepared, &self.all(), remote)
    }
}

/// Evaluates a query over these series alone.
fn evaluate(query: &str, times: TimeParams, made: &[Made]) -> Result<Value, QueryError> {
    let options = Options { parse: ParseOptions::ALL, ..Options::default() };
    finish(&Prepared::new(query, times, &options)?, made, Vec::new())
}

fn finish(prepared: &Prepared, made: &[Made], remote: Vec<SelectInput>) -> Result<Value, QueryError> {
    let inputs = prepared.selects().iter().map(|spec| {
        let accepts = |labels: &Labels| {
            spec.matchers.iter().all(|m| m.matches(labels.get(m.name()).unwrap_or_default()))
        };
        let series: Vec<_> = made
            .iter()
            .filter(|(labels, _)| accepts(labels))
            .map(|(labels, points)| {
                let mut samples = Box::<tithon_chunks::Samples>::default();
                points.iter().for_each(|(t, v)| samples.floats.push(Timestamp(*t), *v));
                Ok(Series { labels: labels.clone(), data: SeriesData::Samples(samples) })
            })
            .collect();
        Box::new(series.into_iter()) as SelectInput
    });
    let cancelled = AtomicBool::new(false);
    let ctx = EvalContext { pool: None, cancelled: &cancelled };
    Ok(prepared.eval(inputs.chain(remote).collect(), &ctx)?.value)
}

/// The series of a value, as another querier sends them.
fn series(value: Value) -> Vec<Series> {
    let one = |labels: Labels, t: Timestamp, sample: Sample| {
        let Sample::Float(v) = sample else { panic!("there are floats only") };
        let mut samples = Box::<tithon_chunks::Samples>::default();
        samples.floats.push(t, v);
        Series { labels, data: SeriesData::Samples(samples) }
    };
    match value {
        Value::Scalar { t, v } => vec![one(Labels::default(), t, Sample::Float(v))],
        Value::Vector(all) => all.into_iter().map(|s| one(s.labels, s.t, s.sample)).collect(),
        Value::Matrix(all) => all
            .into_iter()
            .map(|s| Series { labels: s.labels, data: SeriesData::Samples(Box::new(s.samples)) })
            .collect(),
        Value::String { .. } => panic!("no text is asked for"),
    }
}

/// Floats by labels and time.
fn points_of(value: Value) -> BTreeMap<(String, i64), f64> {
    let mut points = BTreeMap::new();
    for one in series(value) {
        let SeriesData::Samples(samples) = one.data else { panic!("samples are decoded") };
        for (t, v) in samples.floats.timestamps.iter().zip(&samples.floats.values) {
            points.insert((one.labels.to_string(), *t), *v);
        }
    }
    points
}

/// Fails if the distributed answer differs, except by the rounding of sums in another order.
fn compare(world: &World, query: &str, times: TimeParams) -> Result<(), TestCaseError> {
    // A query that fails over all data may succeed over parts of it.
    let Ok(expected) = evaluate(query, times, &world.all()) else { return Ok(()) };
    let found = world.evaluate(query, times);
    let found = found.map_err(|error| TestCaseError::fail(format!("{query}: {error}")))?;
    let (expected, found) = (points_of(expected), points_of(found));
    let keys = |points: &BTreeMap<(String, i64), f64>| points.keys().cloned().collect::<Vec<_>>();
    prop_assert_eq!(keys(&found), keys(&expected), "{}", query);
    for (key, v) in &expected {
        let other = found[key];
        let is_same = v.to_bits() == other.to_bits() || v.is_nan() && other.is_nan();
        let scale = v.abs().max(other.abs()).max(1000.0);
        prop_assert!(
            is_same || (v - other).abs() <= 1e-12 * scale,
            "{}: {:?}: {} and {}",
            query,
            key,
            v,
            other
        );
    }
    Ok(())
}

pub(crate) const STEP: i64 = 30_000;
pub(crate) const N_SAMPLES: i64 = 240;

/// Series of two metrics and three pods in a region; values never repeat.
pub(crate) fn region(name: &str, seed: u64) -> Vec<Made> {
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as f64 / f64::from(1u32 << 31)
    };
    let mut made = Vec::new();
    for metric in ["m", "n"] {
        for pod in ["p", "q", "r"] {
            let name = format!("__name__={metric},pod={pod},region={name},zone=z{}", made.len() % 2);
            let mut counter = 100.0 * next();
            let points = (0..N_SAMPLES).filter_map(|i| {
                let (gap, step, level) = (next() < 0.05, next(), next());
                counter += step;
                let v = if metric == "m" { counter } else { 200.0 * level - 100.0 };
                (!gap).then_some((i * STEP, v))
            });
            made.push((labels(&name), points.collect()));
        }
    }
    made
}

fn within(made: &[Made], (from, to): (i64, i64)) -> Vec<Made> {
    let inside =
        |points: &[(i64, f64)]| points.iter().copied().filter(|(t, _)| (from..to).contains(t)).collect();
    made.iter().map(|(labels, points)| (labels.clone(), inside(points))).collect()
}

/// How the regions' data lie at queriers.
fn worlds(seed: u64) -> Vec<World> {
    let regions = ["east", "south", "west"];
    let data: Vec<Vec<Made>> = (0..).zip(regions).map(|(i, name)| region(name, seed + i)).collect();
    let source = |i: usize| format!("region={}", regions[i]);
    let of = |i: usize| -> RemoteEngine { engine(&[(&source(i), ALWAYS)]) };
    let remotes = |engines| Remotes::new(engines, Vec::new(), &Partitioning::default());
    let end = N_SAMPLES * STEP;
    let (old, new) = ((0, end * 2 / 3), (end / 3, i64::MAX));
    let two_ages = [old, new].map(|times| engine(&[(&source(0), times)]));
    vec![
        World { remotes: remotes(vec![of(0), of(1), of(2)]), of_engines: data.clone(), local: Vec::new() },
        World {
            remotes: remotes(vec![engine(&[(&source(0), ALWAYS), (&source(1), ALWAYS)]), of(2)]),
            of_engines: vec![data[..2].concat(), data[2].clone()],
            local: Vec::new(),
        },
        // Old and new data of the east at different queriers.
        World {
            remotes: remotes([two_ages.to_vec(), vec![of(1), of(2)]].concat()),
            of_engines: vec![within(&data[0], old), within(&data[0], new), data[1].clone(), data[2].clone()],
            local: Vec::new(),
        },
        // The west's store evaluates nothing.
        World {
            remotes: Remotes::new(
                vec![of(0), of(1)],
                vec![LocalSource { label_sets: vec![labels(&source(2))], range: TimeRange::ALL }],
                &Partitioning::default(),
            ),
            of_engines: data[..2].to_vec(),
            local: data[2].clone(),
        },
        // Twins.
        World {
            remotes: remotes(vec![of(0), of(0), of(1), of(2)]),
            of_engines: vec![data[0].clone(), data[0].clone(), data[1].clone(), data[2].clone()],
            local: Vec::new(),
        },
    ]
}

fn selector() -> impl Strategy<Value = String> {
    let matcher = prop_oneof![
        6 => Just(""),
        1 => Just(r#"{region="east"}"#),
        1 => Just(r#"{region!="west"}"#),
        1 => Just(r#"{region=~"south|north"}"#),
        1 => Just(r#"{pod="p"}"#),
    ];
    (prop_oneof![Just("m"), Just("n")], matcher).prop_map(|(name, matcher)| format!("{name}{matcher}"))
}

fn modifier() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        8 => Just(""),
        1 => Just(" offset 7m"),
        1 => Just(" offset -2m"),
        1 => Just(" @ 3000"),
        1 => Just(" @ end()"),
    ]
}

fn grouping() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just(""),
        Just("by (pod)"),
        Just("by (region)"),
        Just("by (pod, region)"),
        Just("without (pod)"),
        Just("without (region)"),
        Just("by (zone, __name__)"),
    ]
}

fn matching() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just(""),
        Just("on (pod, region)"),
        Just("on (region)"),
        Just("ignoring (zone)"),
        Just("ignoring (region)"),
    ]
}

/// An expression of vector type.
pub(crate) fn vector() -> impl Strategy<Value = String> {
    let range = || {
        let func = prop_oneof![
            Just("rate"),
            Just("increase"),
            Just("max_over_time"),
            Just("avg_over_time"),
            Just("last_over_time"),
            Just("changes"),
            Just("present_over_time"),
        ];
        (func, selector(), prop_oneof![Just("2m"), Just("10m")], modifier())
            .prop_map(|(func, selector, range, modifier)| format!("{func}({selector}[{range}]{modifier})"))
    };
    let leaf = prop_oneof![
        3 => (selector(), modifier()).prop_map(|(selector, modifier)| format!("{selector}{modifier}")),
        2 => range(),
        1 => (selector(), grouping()).prop_map(|(selector, by)| format!("topk {by} (2, {selector})")),
        1 => (selector(), grouping()).prop_map(|(selector, by)| format!("limitk {by} (1, {selector})")),
    ];
    leaf.prop_recursive(4, 12, 2, |inner| {
        let aggregate = prop_oneof![
            Just("sum"),
            Just("avg"),
            Just("count"),
            Just("min"),
            Just("max"),
            Just("group"),
            Just("stddev"),
        ];
        let arithmetic = prop_oneof![Just("+"), Just("-"), Just("*"), Just(">"), Just("< bool")];
        let set = prop_oneof![Just("and"), Just("or"), Just("unless")];
        let function =
            prop_oneof![Just("abs"), Just("ceil"), Just("timestamp"), Just("sort"), Just("-"), Just("")];
        prop_oneof![
            4 => (aggregate, grouping(), inner.clone()).prop_map(|(op, by, e)| format!("{op} {by} ({e})")),
            1 => (grouping(), inner.clone()).prop_map(|(by, e)| format!("quantile {by} (0.3, {e})")),
            2 => (inner.clone(), arithmetic, matching(), inner.clone())
                .prop_map(|(l, op, on, r)| format!("({l}) {op} {on} ({r})")),
            2 => (inner.clone(), set, matching(), inner.clone())
                .prop_map(|(l, op, on, r)| format!("({l}) {op} {on} ({r})")),
            1 => (inner.clone()).prop_map(|e| format!("({e}) * 3 - time()")),
            1 => (inner.clone()).prop_map(|e| format!("({e}) or vector(7)")),
            1 => (inner.clone()).prop_map(|e| format!("absent({e})")),
            1 => (inner.clone(), inner.clone()).prop_map(|(l, r)| format!("clamp_max({l}, scalar({r}))")),
            1 => (function, inner.clone()).prop_map(|(f, e)| format!("{f}({e})")),
            1 => (inner.clone(), prop_oneof![Just("pod"), Just("region")])
                .prop_map(|(e, to)| format!(r#"label_replace({e}, "{to}", "x$1", "zone", "(.*)")"#)),
            1 => (inner.clone(), modifier()).prop_map(|(e, at)| format!("max_over_time(({e})[10m:1m]{at})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(400)))]

    #[test]
    fn distributed_answers_are_those_of_one_evaluation(
        query in vector(),
        world in 0_usize..5,
        seed in 0_u64..1_000,
        start in 0_i64..90,
        n_steps in 1_i64..40,
        step in prop_oneof![Just(60_i64), Just(45), Just(300)],
    ) {
        let (start, step_ms) = (start * 60_000, step * 1000);
        let end = start + (n_steps - 1) * step_ms;
        let range = TimeParams { start: Timestamp(start), end: Timestamp(end), step_ms };
        let world = &worlds(seed)[world];
        compare(world, &query, range)?;
        compare(world, &query, TimeParams::instant(Timestamp(end)))?;
    }
}

/// Queries that found faults, or are likely to.
#[test]
fn chosen_queries() {
    let range = TimeParams { start: Timestamp(600_000), end: Timestamp(6_600_000), step_ms: 60_000 };
    for query in [
        "m",
        "sum(m)",
        "avg by (pod) (rate(m[5m]))",
        "count without (region) (n > 0)",
        "rate(m[5m]) > 0.5",
        "topk(2, n)",
        "absent(m{pod=\"x\"})",
        "absent_over_time(m{pod=\"x\"}[5m])",
        "absent(m)",
        "n or on (pod) m",
        "m{region=\"east\"} or on (region) n{region=\"west\"}",
        "stddev by (region) (n)",
        "max_over_time(quantile(0.5, n)[20m:3m])",
        "sum(max_over_time(n[20m] offset 10m))",
        "sum(n offset -5m)",
        "sum(n @ 3600)",
        "sum(rate(n[2m] @ 4920) and n)",
        "scalar(m{region=\"east\",pod=\"p\"})",
        "count_values(\"v\", round(n / 50))",
        "(0 - 2) ^ (n / 100)",
    ] {
        for seed in [1, 2] {
            for (i, world) in worlds(seed).iter().enumerate() {
                let checked = compare(world, query, range)
                    .and_then(|()| compare(world, query, TimeParams::instant(Timestamp(3_600_000))));
                checked.unwrap_or_else(|error| panic!("world {i}, seed {seed}: {error}"));
            }
        }
    }
}

/// Results that do not fit are refused.
#[test]
fn results_at_other_times_are_errors() {
    let world = &worlds(1)[0];
    let times = TimeParams { start: Timestamp(60_000), end: Timestamp(180_000), step_ms: 60_000 };
    let prepared = plan("m", times, &world.remotes);
    let given = |points: &[(i64, f64)]| {
        let mut samples = Box::<tithon_chunks::Samples>::default();
        points.iter().for_each(|(t, v)| samples.floats.push(Timestamp(*t), *v));
        let series = Series { labels: labels("region=east"), data: SeriesData::Samples(samples) };
        let inputs: Vec<SelectInput> =
            (0..3).map(|_| Box::new([Ok(series.clone())].into_iter()) as _).collect();
        finish(&prepared, &[], inputs).map(|value| points_of(value).len()).map_err(|error| error.to_string())
    };
    assert_eq!(given(&[(60_000, 1.0), (180_000, 2.0)]), Ok(2));
    for t in [0, 60_001, 240_000] {
        let text = format!("a result of another querier has a sample that belongs to no step at {t} ms");
        assert_eq!(given(&[(t, 1.0)]), Err(text));
    }
    let twice = given(&[(60_000, 1.0), (60_000, 2.0)]);
    assert_eq!(twice, Err("a result of another querier has two samples at 60000 ms".to_owned()));
}
