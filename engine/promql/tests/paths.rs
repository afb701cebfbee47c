//! Different ways of evaluation give the same answer: chunks or decoded samples, any number of threads, joins by column or
//! step by step.

use std::sync::atomic::AtomicBool;

use proptest::prelude::*;
use tithon_chunks::{EncodedChunk, Encoding, FloatHistogram, Samples, Timestamp, XorEncoder};
use tithon_index::Labels;
use tithon_promql::{
    EvalContext, Options, Prepared, QueryError, Series, SeriesData, TimeParams, Value, duration_ns,
};

/// A series as the tests make it: labels and samples.
type Made = (Labels, Samples);

/// Evaluates over all series that the selectors of the query accept, as chunks of 120 samples if asked to.
fn run(
    query: &str,
    params: TimeParams,
    made: &[Made],
    chunked: bool,
    threads: usize,
) -> Result<Value, QueryError> {
    let prepared = Prepared::new(query, params, &Options::default())?;
    let inputs = prepared.selects().iter().map(|spec| {
        let accepts = |labels: &Labels| {
            spec.matchers.iter().all(|m| m.matches(labels.get(m.name()).unwrap_or_default()))
        };
        let series: Vec<_> = made
            .iter()
            .filter(|(labels, _)| accepts(labels))
            .map(|(labels, samples)| Ok(Series { labels: labels.clone(), data: data(samples, chunked) }))
            .collect();
        Box::new(series.into_iter()) as _
    });
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
    let cancelled = AtomicBool::new(false);
    let ctx = EvalContext { pool: (threads > 0).then_some(&pool), cancelled: &cancelled };
    Ok(prepared.eval(inputs.collect(), &ctx)?.value)
}

fn data(samples: &Samples, chunked: bool) -> SeriesData {
    if !chunked || !samples.histograms.values.is_empty() {
        return SeriesData::Samples(Box::new(samples.clone()));
    }
    let floats = samples.floats.timestamps.chunks(120).zip(samples.floats.values.chunks(120));
    SeriesData::Chunks(floats.map(|(times, values)| chunk(times, values)).collect())
}

fn chunk(times: &[i64], values: &[f64]) -> EncodedChunk {
    let mut encoder = XorEncoder::new();
    times.iter().zip(values).for_each(|(t, v)| encoder.push(*t, *v));
    EncodedChunk {
        encoding: Encoding::Xor,
        min_time: Timestamp(times[0]),
        max_time: Timestamp(times[times.len() - 1]),
        data: encoder.finish().into(),
    }
}

/// Every number of an answer as bits, NaN being one number.
fn bits(value: &Value) -> Vec<(Labels, Vec<(i64, u64)>)> {
    let Value::Matrix(series) = value else { panic!("a range query gives a matrix") };
    let bits = |v: &f64| if v.is_nan() { f64::NAN.to_bits() } else { v.to_bits() };
    series
        .iter()
        .map(|s| {
            let floats = s.samples.floats.timestamps.iter().zip(&s.samples.floats.values);
            (s.labels.clone(), floats.map(|(t, v)| (*t, bits(v))).collect())
        })
        .collect()
}

fn series(
    name: &str,
    labels: &[(&str, String)],
    times: impl Iterator<Item = i64>,
    mut v: impl FnMut(i64) -> f64,
) -> Made {
    let mut pairs = vec![("__name__", name.to_owned())];
    pairs.extend(labels.iter().cloned());
    let mut samples = Samples::default();
    times.for_each(|t| samples.floats.push(Timestamp(t), v(t)));
    (Labels::from_pairs(pairs), samples)
}

fn ms(duration: &str) -> i64 {
    duration_ns(duration.as_bytes()).expect("a duration") / 1_000_000
}

fn times(start: i64, step: i64, n: i64) -> TimeParams {
    TimeParams { start: Timestamp(start), end: Timestamp(start + (n - 1) * step), step_ms: step }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Chunks that no window reaches are skipped, and the last chunk is decoded only to the end of the last window.
    #[test]
    fn chunks_give_what_samples_give(
        step in 1_000i64..20_000_000,
        start in -1_000_000i64..10_000_000,
        n in 1i64..40,
        range in prop_oneof![Just("1m"), Just("5m"), Just("3h")],
        offset in prop_oneof![Just("0s"), Just("7m"), Just("-1h")],
        gap in 1_000i64..90_000,
    ) {
        let scrapes = (0..1_500).map(|i| i * gap + i % 7);
        let made = [series("m_total", &[], scrapes, |t| (t % 1_000_003) as f64 / 8.0)];
        let params = times(start, step, n);
        for query in [
            format!("m_total offset {offset}"),
            format!("rate(m_total[{range}] offset {offset})"),
            format!("max_over_time(m_total[{range}] offset {offset})"),
            format!("timestamp(m_total offset {offset})"),
            format!("sum_over_time(rate(m_total[{range}])[30m:7m] offset {offset})"),
            format!("m_total @ {}", (start / 1000).max(0)),
        ] {
            let one = run(&query, params, &made, false, 0).expect("an answer");
            let other = run(&query, params, &made, true, 0).expect("an answer");
            prop_assert_eq!(bits(&one), bits(&other), "{}", query);
        }
    }

    /// A histogram among the operands makes a join go step by step.
    #[test]
    fn joins_by_column_give_what_joins_by_step_give(
        op in prop_oneof![Just("+"), Just("-"), Just("/"), Just("%"), Just("^"), Just(">"), Just("== bool"), Just("<=")],
        matching in prop_oneof![
            Just("on(x)"), Just("ignoring(y)"), Just("on(x) group_left"), Just("on(x) group_left(z)"),
            Just("on(x) group_right(z)"), Just("ignoring(y, z) group_left()"),
        ],
        left in proptest::collection::vec((0u8..6, 0u8..3, 0i64..50), 1..8),
        right in proptest::collection::vec((0u8..6, 0u8..3, 0i64..50), 1..8),
    ) {
        let side = |name: &str, of: &[(u8, u8, i64)]| -> Vec<Made> {
            let made = |(x, y, from): &(u8, u8, i64)| {
                let labels = [("x", x.to_string()), ("y", y.to_string()), ("z", (x + y).to_string())];
                let scrapes = (*from..100).filter(|i| (i / 9) % 4 != 0).map(|i| i * 15_000);
                series(name, &labels, scrapes, |t| f64::from(*x) + (t / 7_000) as f64 - 3.0)
            };
            let mut made: Vec<Made> = of.iter().map(made).collect();
            made.sort_by(|a, b| a.0.cmp(&b.0));
            made.dedup_by(|a, b| a.0 == b.0);
            made
        };
        let mut made = side("a", &left);
        made.extend(side("b", &right));
        let query = format!("a {op} {} b", matching.trim());
        let query = match op.strip_suffix(" bool") {
            Some(op) => format!("a {op} bool {matching} b"),
            None => query,
        };
        let params = times(0, ms("30s"), 65);
        let fast = run(&query, params, &made, false, 0);
        let mut lone = series("b", &[("x", "alone".into())], std::iter::empty(), |_| 0.0);
        // The histogram comes after all other series have ended, so that no other step is concerned.
        lone.1.histograms.timestamps.push(ms("1900s"));
        lone.1.histograms.values.push(FloatHistogram::default());
        made.push(lone);
        let slow = run(&query, params, &made, false, 0);
        match (fast, slow) {
            (Ok(fast), Ok(slow)) => prop_assert_eq!(bits(&fast), bits(&slow), "{}", query),
            (Err(fast), Err(slow)) => prop_assert_eq!(fast.to_string(), slow.to_string()),
            (fast, slow) => prop_assert!(false, "{}: {:?} and {:?}", query, fast, slow),
        }
    }
}

#[test]
fn threads_change_no_bit() {
    let of = |i: i64| {
        let labels = [("i", format!("{i:04}")), ("job", (i % 7).to_string()), ("le", "+Inf".to_owned())];
        let scrapes = (0..300).map(move |k| k * 15_000 + i % 11);
        series("m_total", &labels, scrapes, move |t| (t / 1_000) as f64 * 0.1 + (i as f64).sqrt())
    };
    let made: Vec<Made> = (0..1_300).map(of).collect();
    let params = times(ms("1h"), ms("1m"), 10);
    for query in [
        "m_total",
        "sum(m_total)",
        "avg by (job) (rate(m_total[5m]))",
        "stddev(sqrt(m_total))",
        "quantile by (job) (0.3, m_total)",
        "topk(3, increase(m_total[7m]))",
        "m_total * on(i) group_left rate(m_total[5m])",
        "max_over_time(sum by (job) (m_total)[10m:1m])",
        "histogram_quantile(0.9, m_total)",
        "count_values(\"v\", round(m_total))",
    ] {
        let alone = bits(&run(query, params, &made, true, 0).expect("an answer"));
        for threads in [1, 2, 8] {
            let pooled = bits(&run(query, params, &made, true, threads).expect("an answer"));
            assert!(alone == pooled, "{query} with {threads} threads");
        }
    }
}
