//! Parts that stores evaluate: which nodes of a plan they are, and that the answer is that of an evaluation here, to the bit, with
//! its order, annotations and counts.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use proptest::prelude::*;
use tithon_chunks::{FloatHistogram, Samples, Span, TimeRange, Timestamp};
use tithon_index::Labels;
use tithon_promql::{
    EvalContext, Holder, MatrixSeries, Options, ParseOptions, PartValue, Prepared, QueryError, QueryResult,
    Sample, SelectInput, SelectSpec, Series, SeriesData, TimeParams, Value,
};

use crate::equal::{N_SAMPLES, STEP, region, vector};
use crate::layout::{instant, labels};

/// Series with their samples.
type Stored = (Labels, Samples);

/// A store: what it tells of its data, and the data.
#[derive(Clone)]
struct Store {
    label_sets: Vec<Labels>,
    range: TimeRange,
    evaluates: bool,
    series: Vec<Stored>,
}

impl Store {
    fn new(set: &str, (from, to): (i64, i64), evaluates: bool) -> Store {
        let label_sets = vec![labels(set)];
        Store { label_sets, range: TimeRange::new(from, to), evaluates, series: Vec::new() }
    }

    /// Whether a querier asks it for a selection.
    fn is_asked(&self, spec: &SelectSpec) -> bool {
        let is_named = |set: &Labels| {
            spec.matchers.iter().all(|m| set.get(m.name()).is_none_or(|value| m.matches(value)))
        };
        spec.range.min <= self.range.max
            && spec.range.max >= self.range.min
            && self.label_sets.iter().any(is_named)
    }
}

fn planned(query: &str, times: TimeParams) -> Result<Prepared, QueryError> {
    Prepared::new(query, times, &Options { parse: ParseOptions::ALL, ..Options::default() })
}

/// The inputs of a plan over the data of stores.
fn inputs(prepared: &Prepared, stores: &[&Store]) -> Vec<SelectInput> {
    let input = |spec: &SelectSpec| {
        let mut all: BTreeMap<Labels, Samples> = BTreeMap::new();
        for (labels, samples) in stores.iter().filter(|s| s.is_asked(spec)).flat_map(|s| &s.series) {
            if spec.matchers.iter().all(|m| m.matches(labels.get(m.name()).unwrap_or_default())) {
                add(all.entry(labels.clone()).or_default(), samples);
            }
        }
        let series = |(labels, samples)| Ok(Series { labels, data: SeriesData::Samples(Box::new(samples)) });
        Box::new(all.into_iter().map(series)) as SelectInput
    };
    prepared.selects().iter().map(input).collect()
}

/// Adds the samples at times that have none yet.
fn add(to: &mut Samples, from: &Samples) {
    let floats =
        |s: &Samples| s.floats.timestamps.iter().copied().zip(s.floats.values.clone()).collect::<Vec<_>>();
    let all: BTreeMap<i64, f64> = floats(to).into_iter().chain(floats(from)).collect();
    (to.floats.timestamps, to.floats.values) = all.into_iter().unzip();
    let (times, values) = (&from.histograms.timestamps, &from.histograms.values);
    for (t, h) in times.iter().zip(values) {
        if let Err(at) = to.histograms.timestamps.binary_search(t) {
            to.histograms.timestamps.insert(at, *t);
            to.histograms.values.insert(at, h.clone());
        }
    }
}

/// The plan, with parts for stores.
fn cut(query: &str, times: TimeParams, stores: &[Store]) -> Result<Prepared, QueryError> {
    let mut prepared = planned(query, times)?;
    let holder = |spec: &SelectSpec| {
        let mut asked = (0..stores.len()).filter(|i| stores[*i].is_asked(spec));
        match (asked.next(), asked.next()) {
            (None, _) => Holder::Nobody,
            (Some(one), None) if stores[one].evaluates => Holder::One(one),
            _ => Holder::Others,
        }
    };
    let holders: Vec<Holder> = prepared.selects().iter().map(holder).collect();
    let names: Vec<String> = (0..stores.len()).map(|i| format!("store-{i}")).collect();
    prepared.cut(&names, &holders);
    Ok(prepared)
}

fn context(cancelled: &AtomicBool) -> EvalContext<'_> {
    EvalContext { pool: None, cancelled }
}

fn evaluate_here(query: &str, times: TimeParams, stores: &[Store]) -> Result<QueryResult, QueryError> {
    let (prepared, cancelled) = (planned(query, times)?, AtomicBool::new(false));
    prepared.eval(inputs(&prepared, &stores.iter().collect::<Vec<_>>()), &context(&cancelled))
}

/// Evaluates with the help of stores; returns how many parts there were too.
fn evaluate_with_stores(
    query: &str,
    times: TimeParams,
    stores: &[Store],
) -> Result<(QueryResult, usize), QueryError> {
    let (prepared, cancelled) = (cut(query, times, stores)?, AtomicBool::new(false));
    let mut values: Vec<PartValue> = Vec::new();
    for part in prepared.store_parts() {
        let mut there = planned(query, times)?;
        there.keep_only(part.node.0, &part.text).expect("plans are the same");
        assert_eq!(there.range(), prepared.range());
        values.push(there.eval_part(inputs(&there, &[&stores[part.store]]), &context(&cancelled))?);
    }
    let n = values.len();
    let inputs = inputs(&prepared, &stores.iter().collect::<Vec<_>>());
    Ok((prepared.eval_with(inputs, values, &context(&cancelled))?, n))
}

/// All of a result, floats as their bits.
fn exactly(result: &QueryResult) -> String {
    let samples = |samples: &Samples| {
        let bits: Vec<u64> = samples.floats.values.iter().map(|v| v.to_bits()).collect();
        format!("{:?} {bits:x?} {:?}", samples.floats.timestamps, samples.histograms)
    };
    let value: Vec<String> = match &result.value {
        Value::Scalar { t, v } => vec![format!("{t} {:x}", v.to_bits())],
        Value::String { .. } => Vec::new(),
        Value::Vector(all) => all
            .iter()
            .map(|one| match &one.sample {
                Sample::Float(v) => format!("{} {} {:x}", one.labels, one.t, v.to_bits()),
                Sample::Histogram(h) => format!("{} {} {h:?}", one.labels, one.t),
            })
            .collect(),
        Value::Matrix(all) => {
            all.iter().map(|MatrixSeries { labels, samples: s }| format!("{labels} {}", samples(s))).collect()
        }
    };
    format!("{value:#?} {:#?} {:#?} {:?}", result.warnings, result.infos, result.stats)
}

/// Fails if an answer with the help of stores differs in anything; returns the number of parts.
fn compare(query: &str, times: TimeParams, stores: &[Store]) -> Result<usize, TestCaseError> {
    let (here, with_stores) =
        (evaluate_here(query, times, stores), evaluate_with_stores(query, times, stores));
    match (here, with_stores) {
        (Ok(here), Ok((with_stores, n))) => {
            prop_assert_eq!(exactly(&with_stores), exactly(&here), "{}", query);
            Ok(n)
        }
        // A part that fails costs an evaluation here, whose error counts.
        (Err(_), Err(_)) => Ok(0),
        (here, with_stores) => {
            let text = |ok: bool| if ok { "succeeds" } else { "fails" };
            let (here, with_stores) = (text(here.is_ok()), text(with_stores.is_ok()));
            Err(TestCaseError::fail(format!("{query}: {here} here, {with_stores} with stores")))
        }
    }
}

const END: i64 = N_SAMPLES * STEP;
const REGIONS: [&str; 3] = ["east", "south", "west"];

/// The samples of a region within a store's times.
fn filled(mut store: Store, region_index: usize, seed: u64) -> Store {
    let name = REGIONS[region_index];
    for (labels, points) in region(name, seed + region_index as u64) {
        let mut samples = Samples::default();
        let inside = |t: &i64| (store.range.min.0..=store.range.max.0).contains(t);
        points.iter().filter(|(t, _)| inside(t)).for_each(|(t, v)| samples.floats.push(Timestamp(*t), *v));
        store.series.push((labels, samples));
    }
    store
}

/// Where the data of regions lie: each cut is a store with all that came before, or from then on, of a region; stores may overlap.
fn stores() -> impl Strategy<Value = Vec<(usize, i64, i64, bool)>> {
    let of_region = |i: usize| {
        let whole = (Just(i), Just(0), Just(END), prop::bool::weighted(0.8)).prop_map(|one| vec![one]);
        let halves = (0..=END, 0..=END, any::<bool>(), any::<bool>())
            .prop_map(move |(end, start, a, b)| vec![(i, 0, end, a), (i, start, END, b)]);
        prop_oneof![3 => whole, 1 => Just(Vec::new()), 2 => halves]
    };
    (of_region(0), of_region(1), of_region(2)).prop_map(|(a, b, c)| [a, b, c].concat())
}

fn made(placed: &[(usize, i64, i64, bool)], seed: u64) -> Vec<Store> {
    let one = |(i, from, to, evaluates): &(usize, i64, i64, bool)| {
        filled(Store::new(&format!("region={}", REGIONS[*i]), (*from, *to), *evaluates), *i, seed)
    };
    placed.iter().map(one).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(600)))]

    #[test]
    fn answers_with_stores_are_those_of_one_evaluation(
        query in vector(),
        placed in stores(),
        seed in 0_u64..1_000,
        start in 0_i64..90,
        n_steps in 1_i64..40,
        step in prop_oneof![Just(60_000_i64), Just(45_250), Just(300_000)],
    ) {
        let (start, end) = (start * 60_000 + 7, start * 60_000 + 7 + (n_steps - 1) * step);
        let range = TimeParams { start: Timestamp(start), end: Timestamp(end), step_ms: step };
        let stores = made(&placed, seed);
        compare(&query, range, &stores)?;
        compare(&query, TimeParams::instant(Timestamp(end)), &stores)?;
        let aggregated = format!("topk(3, sum by (pod) ({query})) or sort_desc(max by (region, pod) ({query}))");
        compare(&aggregated, range, &stores)?;
        compare(&aggregated, TimeParams::instant(Timestamp(end)), &stores)?;
    }
}

/// One store with all data: two regions, classic histograms that are not monotonic, native histograms beside floats.
fn one_store() -> Vec<Store> {
    let mut store = filled(filled(Store::new("region=east", (0, END), true), 0, 1), 1, 1);
    for (i, le) in ["1", "2", "4", "+Inf"].into_iter().enumerate() {
        for pod in ["p", "q"] {
            let mut samples = Samples::default();
            for k in 0..N_SAMPLES {
                let count = k * (i as i64 + 1) - if i == 2 { k * 3 / 2 } else { 0 };
                samples.floats.push(Timestamp(k * STEP), count as f64);
            }
            store.series.push((labels(&format!("__name__=h_bucket,le={le},pod={pod}")), samples));
        }
    }
    for pod in ["p", "q"] {
        let mut samples = Samples::default();
        for k in 0..N_SAMPLES {
            let histogram = FloatHistogram {
                schema: if pod == "p" { 1 } else { 2 },
                count: 3.0 * k as f64,
                sum: 0.1 * k as f64,
                positive_spans: vec![Span { offset: -1, length: 2 }],
                positive_buckets: vec![k as f64, 2.0 * k as f64],
                ..FloatHistogram::default()
            };
            samples.histograms.timestamps.push(k * STEP);
            samples.histograms.values.push(histogram);
        }
        store.series.push((labels(&format!("__name__=native,pod={pod}")), samples));
    }
    store.series.sort_by(|a, b| a.0.cmp(&b.0));
    vec![store]
}

#[test]
fn chosen_queries_of_one_store() {
    let stores = one_store();
    let range = TimeParams { start: Timestamp(600_007), end: Timestamp(6_600_000), step_ms: 61_500 };
    for query in [
        "histogram_quantile(0.9, sum by (le) (rate(h_bucket[5m])))",
        "histogram_quantile(0.9, rate(h_bucket[5m]))",
        "histogram_quantile(1.5, h_bucket)",
        "histogram_quantile(0.5, sum(native))",
        "sum(rate(native[5m]))",
        "sum({__name__=~\"native|n\"})",
        "avg by (pod) (native)",
        "histogram_count(sum(native)) / on () sum(m)",
        "scalar(sum(m))",
        "sort_desc(sum by (pod) (m))",
        "sort(topk(2, n))",
        "topk(3, n)",
        "limitk(2, n)",
        "quantile(7, n)",
        "count_values(\"v\", round(n / 50))",
        "absent(sum(n{pod=\"x\"}))",
        "absent(n{pod=\"x\"})",
        "absent_over_time(m{pod=\"x\"}[5m])",
        "sum(m @ end()) + sum(n @ 3000)",
        "max_over_time(sum(m)[20m:3m])",
        "sum(rate(m[5m] offset -7m))",
        "-sum(m) ^ 2",
        "sum(rate(n[5m])) > bool 0",
        "group(m) unless on () vector(1)",
        "sum(m) by (pod) or vector(3)",
        "vector(scalar(sum(m)))",
        "stddev(n)",
        "info(sum by (pod) (m))",
    ] {
        for times in [range, TimeParams::instant(Timestamp(3_600_000))] {
            match compare(query, times, &stores) {
                Ok(n) => assert_eq!(n, 1, "{query}"),
                Err(error) => panic!("{query}: {error}"),
            }
        }
    }
}

/// The parts of a plan as texts: the number of the store and the expression.
fn parts(query: &str, stores: &[Store]) -> Vec<(usize, String)> {
    let prepared = cut(query, instant(), stores).unwrap_or_else(|error| panic!("{query}: {error}"));
    prepared.store_parts().iter().map(|part| (part.store, part.text.to_string())).collect()
}

#[test]
fn the_largest_nodes_that_reduce_the_data_of_one_store_are_cut() {
    let always = (0, i64::MAX);
    let east = Store::new("region=east", always, true);
    let west = Store::new("region=west", always, true);
    let mute = Store::new("region=mute", always, false);
    let stores = [east, west, mute];
    let check = |query: &str, expected: &[(usize, &str)]| {
        let expected: Vec<_> = expected.iter().map(|(i, text)| (*i, (*text).to_owned())).collect();
        assert_eq!(parts(query, &stores), expected, "{query}");
    };
    check("sum(m{region=\"east\"})", &[(0, "sum(m{region=\"east\"})")]);
    check("2 * sum(m{region=\"east\"}) > 1", &[(0, "2 * sum(m{region=\"east\"}) > 1")]);
    check(
        "sum(m{region=\"east\"}) / sum(n{region=\"west\"})",
        &[(0, "sum(m{region=\"east\"})"), (1, "sum(n{region=\"west\"})")],
    );
    // Several stores, one that evaluates nothing.
    check("sum(m)", &[]);
    check("sum(m{region=~\"east|west\"})", &[]);
    check("sum(m{region=\"mute\"})", &[]);
    check("sum(m{region=\"mute\"}) + count(m{region=\"east\"})", &[(0, "count(m{region=\"east\"})")]);
    // Nobody has data.
    check("sum(m{region=\"none\"})", &[]);
    check(
        "sum(m{region=\"none\"}) or sum(m{region=\"east\"})",
        &[(0, "sum(m{region=\"none\"}) or sum(m{region=\"east\"})")],
    );
    // As many series come out as go in.
    check("m{region=\"east\"}", &[]);
    check("rate(m{region=\"east\"}[5m])", &[]);
    check("abs(m{region=\"east\"}) + 1", &[]);
    check("m{region=\"east\"}[5m]", &[]);
    check(
        "m{region=\"east\"} / on () group_left () sum(n{region=\"east\"})",
        &[(0, "sum(n{region=\"east\"})")],
    );
    // The series of the sum are read here anyway.
    check("rate(m{region=\"east\"}[5m]) / on () group_left () sum(rate(m{region=\"east\"}[5m]))", &[]);
    // Only whole subqueries.
    check(
        "max_over_time(sum(m{region=\"east\"})[10m:1m])",
        &[(0, "max_over_time(sum(m{region=\"east\"})[10m:1m])")],
    );
    check("max_over_time((sum(m{region=\"east\"}) + sum(m))[10m:1m])", &[]);
    check("topk(scalar(sum(m{region=\"east\"})), m)", &[]);
    let fixed = "sum(m{region=\"east\"} @ 100.000)";
    check(fixed, &[(0, fixed)]);
    check(&format!("{fixed} + sum(m)"), &[(0, fixed)]);
}

#[test]
fn stores_are_told_apart_by_their_times() {
    let of = |from: i64, to: i64| Store::new("region=east", (from * 1000, to * 1000), true);
    let stores = [of(0, 500), of(700, 2_000)];
    for (query, expected) in [
        ("sum(m)", vec![(1, "sum(m)")]),
        ("sum(m offset 5m)", vec![]),
        ("sum(m offset 10m)", vec![(0, "sum(m offset 10m)")]),
        ("sum(m @ 400)", vec![(0, "sum(m @ 400.000)")]),
        ("sum(rate(m[9m]))", vec![]),
        ("sum(m offset -10m)", vec![(1, "sum(m offset -10m)")]),
        ("max_over_time(sum(m)[5m:1m])", vec![]),
        ("sum(m) + sum(m @ 400)", vec![(1, "sum(m)"), (0, "sum(m @ 400.000)")]),
    ] {
        let expected: Vec<_> = expected.into_iter().map(|(i, text)| (i, text.to_owned())).collect();
        let mut found = parts(query, &stores);
        found.sort_by_key(|(i, _)| std::cmp::Reverse(*i));
        assert_eq!(found, expected, "{query}");
    }
}

#[test]
fn a_part_of_another_plan_is_refused() {
    let prepared = cut("sum(m) + 1", instant(), &one_store()).expect("a plan");
    let part = &prepared.store_parts()[0];
    let keep = |query: &str, node: u32, text: &str| {
        planned(query, instant()).expect("a query").keep_only(node, text).map_err(|error| error.node)
    };
    assert_eq!(keep("sum(m) + 1", part.node.0, &part.text), Ok(()));
    for (query, node, text) in [
        ("sum(m) + 1", part.node.0, "sum(m)"),
        ("sum(n) + 1", part.node.0, &*part.text),
        ("sum(m) + 1", 1_000, &*part.text),
        // Selectors of ranges have no value, and what stands in subqueries has other steps.
        ("sum(rate(m[5m]))", 1, "m[5m]"),
        ("max_over_time(sum(m)[5m:1m])", 1, "sum(m)"),
    ] {
        assert_eq!(keep(query, node, text), Err(node), "{query} {text}");
    }
}

#[test]
fn plans_show_who_evaluates() {
    let stores = [one_store(), vec![Store::new("region=west", (0, END), false)]].concat();
    let query = "sum(m{region=\"east\"}) / sum(m{region=\"west\"})";
    let plan = cut(query, instant(), &stores).expect("a plan").explain();
    assert_eq!(plan.children[0].name, "[storeExec] store-0: sum(m{region=\"east\"})");
    assert!(plan.children[1].name.starts_with("[aggregate] sum"), "{}", plan.children[1].name);
}
