//! A query stops within 50 ms after its caller cancels it, whatever it is doing.
#![allow(clippy::disallowed_methods)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tithon_chunks::{ErrorKind, FloatHistogram, Samples, Span, Timestamp};
use tithon_index::Labels;
use tithon_promql::{EvalContext, Options, Prepared, SelectInput, Series, SeriesData, TimeParams};

const N_STEPS: i64 = 2_000;
/// How long the caller waits before it cancels.
const PATIENCE: Duration = Duration::from_millis(30);
/// How soon evaluation must stop, in the best of a few attempts, since other programs may use the processor.
const STOPS_WITHIN: Duration = Duration::from_millis(50);

fn floats(n_samples: i64, seed: i64) -> Samples {
    let mut samples = Samples::default();
    (0..n_samples).for_each(|t| samples.floats.push(Timestamp(t * 15_000), (t * seed % 1_013) as f64 + 0.1));
    samples
}

fn histograms(n_samples: i64) -> Samples {
    let mut samples = Samples::default();
    for t in 0..n_samples {
        samples.histograms.timestamps.push(t * 15_000);
        samples.histograms.values.push(FloatHistogram {
            count: t as f64 * 40.0,
            positive_spans: vec![Span { offset: 1, length: 40 }],
            positive_buckets: vec![t as f64; 40],
            ..FloatHistogram::default()
        });
    }
    samples
}

/// Many series, one long series, or native histograms, generated while they are read.
fn input(name: String) -> SelectInput {
    let (n, of): (i64, fn(i64) -> Samples) = match name.as_str() {
        "long" => (1, |_| floats(200_000, 7)),
        "native" => (4_000, |_| histograms(600)),
        _ => (40_000, |i| floats(600, i)),
    };
    Box::new((0..n).map(move |i| {
        let (i, le) = (format!("{i:05}"), (i % 10).to_string());
        let labels = Labels::from_pairs([("__name__", name.as_str()), ("i", &i), ("le", &le)]);
        Ok(Series { labels, data: SeriesData::Samples(Box::new(of(i.parse().unwrap_or(0)))) })
    }))
}

/// The time from the cancellation to the end of the evaluation; `None` when it ended before.
fn delay(query: &str) -> Option<Duration> {
    let end = if query.contains("long") { 3_000_000_000 } else { 9_000_000 };
    let params = TimeParams { start: Timestamp(0), end: Timestamp(end), step_ms: end / N_STEPS };
    let query = query.replace("LONG", &"$1".repeat(30_000));
    let prepared = Prepared::new(&query, params, &Options::default()).expect("a query");
    let names = prepared.selects().iter().map(|spec| {
        let name = spec.matchers.iter().find(|m| m.name() == b"__name__").expect("a name");
        String::from_utf8_lossy(name.value()).into_owned()
    });
    let inputs = names.map(input).collect();
    let cancelled = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            std::thread::sleep(PATIENCE);
            cancelled.store(true, Ordering::Relaxed);
            Instant::now()
        });
        let result = prepared.eval(inputs, &EvalContext { pool: None, cancelled: &cancelled });
        let ended = Instant::now();
        let gone = waiting.join().expect("the clock runs");
        match result {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Cancelled);
                Some(ended.saturating_duration_since(gone))
            }
            Ok(_) => None,
        }
    })
}

#[test]
fn evaluation_stops_soon() {
    for query in [
        "m",
        "sum by (i) (rate(m[10m]))",
        "stddev_over_time(long[30d])",
        "quantile_over_time(0.5, long[30d])",
        "predict_linear(long[30d], 1)",
        "m * on (i) m",
        "m * on (i) n",
        "topk(3, m)",
        "quantile(0.5, m)",
        "count_values(\"v\", m)",
        "histogram_quantile(0.9, m)",
        "histogram_quantile(0.9, rate(native[10m]))",
        "sum(rate(native[10m]))",
        "max_over_time(rate(m[5m])[1h:1m])",
        "label_replace(m, \"n\", \"LONG\", \"i\", \"(.*)\")",
        "label_join(m, \"n\", \"LONG\", \"i\", \"i\")",
        "m + 1",
        "-m",
        "m or n",
        "abs(m)",
    ] {
        let attempts = (0..10).map(|_| delay(query));
        let mut best = None;
        for attempt in attempts {
            let Some(delay) = attempt else { break };
            best = Some(best.map_or(delay, |best: Duration| best.min(delay)));
            if delay < STOPS_WITHIN {
                break;
            }
        }
        let stopped = best.unwrap_or_else(|| panic!("{query} is too short to be cancelled"));
        assert!(stopped < STOPS_WITHIN, "{query}: {stopped:?}");
    }
}
