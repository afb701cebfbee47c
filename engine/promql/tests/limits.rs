//! The ends of an evaluation before its result: limits, cancellation, a failing source.

use std::sync::atomic::AtomicBool;

use tithon_chunks::{ErrorKind, FloatHistogram, Samples, Span, Timestamp};
use tithon_index::Labels;
use tithon_promql::{
    EvalContext, Options, Prepared, QueryError, SelectInput, Series, SeriesData, TimeParams, Value,
};

fn series(n: usize) -> Vec<Series> {
    let one = |i: usize| {
        let mut samples = Samples::default();
        (0..100).for_each(|t| samples.floats.push(Timestamp(t * 15_000), (t * i as i64) as f64));
        let i = format!("{i:04}");
        let labels = Labels::from_pairs([("__name__", "m_total"), ("i", i.as_str())]);
        Series { labels, data: SeriesData::Samples(Box::new(samples)) }
    };
    (0..n).map(one).collect()
}

const RANGE: TimeParams =
    TimeParams { start: Timestamp(600_000), end: Timestamp(1_200_000), step_ms: 60_000 };

fn run(query: &str, n: usize, options: &Options, cancelled: bool) -> Result<Value, QueryError> {
    let prepared = Prepared::new(query, RANGE, options)?;
    let input = || -> SelectInput { Box::new(series(n).into_iter().map(Ok)) };
    let inputs = prepared.selects().iter().map(|_| input()).collect();
    let cancelled = AtomicBool::new(cancelled);
    let result = prepared.eval(inputs, &EvalContext { pool: None, cancelled: &cancelled })?;
    Ok(result.value)
}

#[test]
fn samples_held_are_limited() {
    let options = Options { max_samples: 1_000, ..Options::default() };
    assert!(run("m_total", 90, &options, false).is_ok());
    let error = run("m_total", 91, &options, false).expect_err("91 series at 11 steps are too many");
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    let text = "query processing would load too many samples into memory in query execution";
    assert_eq!(error.to_string(), text);
}

#[test]
fn an_aggregation_holds_a_batch_and_not_its_input() {
    let options = Options { max_samples: 25_000, ..Options::default() };
    assert!(run("sum(rate(m_total[5m]))", 20_000, &options, false).is_ok());
    assert!(run("rate(m_total[5m])", 20_000, &options, false).is_err());
}

#[test]
fn inputs_of_finished_nodes_do_not_count() {
    let options = Options { max_samples: 2_300, ..Options::default() };
    let query = "abs(abs(abs(m_total))) + 0 * abs(abs(m_total))";
    assert!(run(query, 90, &options, false).is_ok());
}

#[test]
fn bytes_held_are_limited() {
    let options = Options { max_bytes: 8_000, ..Options::default() };
    let error = run("m_total", 100, &options, false).expect_err("100 columns of 88 bytes are too many");
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
}

#[test]
fn what_aggregations_keep_counts() {
    // A batch of 512 series takes 819,200 bytes decoded and 49,152 as columns of 11 steps; bottomk has 28 bytes for each row.
    let options = Options { max_bytes: 1_600_000, ..Options::default() };
    for query in ["sum(m_total)", "max(m_total)", "bottomk(2, m_total)"] {
        assert!(run(query, 20_000, &options, false).is_ok(), "{query}");
    }
    for query in
        ["quantile(0.5, m_total)", "sum by (i) (m_total)", "topk(5000, m_total)", "topk by (i) (1, m_total)"]
    {
        let error = run(query, 20_000, &options, false).expect_err("values, groups or elements are too many");
        assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{query}");
    }
}

#[test]
fn a_cancelled_query_stops() {
    let error = run("m_total", 1, &Options::default(), true).expect_err("the caller has gone");
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}

#[test]
fn a_failing_source_is_told() {
    let params = TimeParams::instant(Timestamp(0));
    let prepared = Prepared::new("sum(m_total)", params, &Options::default()).expect("a query");
    let input: SelectInput = Box::new(std::iter::once(Err("the disk is gone".into())));
    let cancelled = AtomicBool::new(false);
    let error = prepared
        .eval(vec![input], &EvalContext { pool: None, cancelled: &cancelled })
        .expect_err("the source fails");
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::Unavailable, "expanding series: the disk is gone")
    );
}

#[test]
fn extreme_times_are_refused_or_empty() {
    for (start, end, step_ms) in [(i64::MIN, i64::MAX, 1), (0, i64::MAX, i64::MAX), (i64::MIN, i64::MIN, 0)] {
        let params = TimeParams { start: Timestamp(start), end: Timestamp(end), step_ms };
        for query in ["m_total", "rate(m_total[5m])", "predict_linear(m_total[5m] @ 9e15, 1)", "hour()"] {
            let Ok(prepared) = Prepared::new(query, params, &Options::default()) else { continue };
            let inputs =
                prepared.selects().iter().map(|_| Box::new(series(2).into_iter().map(Ok)) as SelectInput);
            let cancelled = AtomicBool::new(false);
            // Any answer will do, as long as there is one.
            let _ = prepared.eval(inputs.collect(), &EvalContext { pool: None, cancelled: &cancelled });
        }
    }
}

#[test]
fn deep_queries_are_evaluated_or_refused() {
    let nested = |open: &str, n: usize, close: &str| format!("{}1{}", open.repeat(n), close.repeat(n));
    let chained = |link: &str, n: usize| format!("m_total{}", link.repeat(n));
    let check = move || {
        for query in [
            nested("-(", 2_000, ")"),
            nested("(", 4_000, ")"),
            nested("2 ^ ", 4_000, ""),
            format!("{}m_total{}", "abs(".repeat(2_000), ")".repeat(2_000)),
            format!("{}m_total{}", "sum(".repeat(2_000), ")".repeat(2_000)),
            format!("{}m_total", "-".repeat(2_000)),
            chained(" + 1", 20_000),
            chained(" + m_total", 2_000),
            chained(" or m_total", 2_000),
        ] {
            let begin: String = query.chars().take(20).collect();
            let prepared = Prepared::new(&query, RANGE, &Options::default());
            drop(prepared.unwrap_or_else(|e| panic!("{begin}: {e}")).explain());
            run(&query, 2, &Options::default(), false).unwrap_or_else(|e| panic!("{begin}: {e}"));
        }
        for query in [nested("(", 6_000, ")"), chained(" + m_total", 31_000)] {
            let error = run(&query, 2, &Options::default(), false).expect_err("too deep");
            assert_eq!(error.kind(), ErrorKind::Invalid);
        }
    };
    // The stack size of a thread of the pool.
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(check).expect("a thread");
    thread.join().expect("no panic and no overflow");
}

/// Counts of upstream's `TestMaxQuerySamples`.
#[test]
fn samples_are_counted_as_upstream_does() {
    let stats = |query: &str, params: TimeParams| {
        let prepared = Prepared::new(query, params, &Options::default()).expect("a query");
        let inputs = prepared.selects().iter().map(|_| {
            let mut samples = Samples::default();
            (0..100).for_each(|t| samples.floats.push(Timestamp(t * 10_000), t as f64));
            let labels = Labels::from_pairs([("__name__", "metric")]);
            let series = Series { labels, data: SeriesData::Samples(Box::new(samples)) };
            Box::new(std::iter::once(Ok(series))) as SelectInput
        });
        let cancelled = AtomicBool::new(false);
        let ctx = EvalContext { pool: None, cancelled: &cancelled };
        prepared.eval(inputs.collect(), &ctx).expect("an answer").stats
    };
    let at = TimeParams::instant(Timestamp(100_000));
    let steps = TimeParams { start: Timestamp(100_000), end: Timestamp(120_000), step_ms: 10_000 };
    assert_eq!(stats("metric[20s]", at).peak_samples, 2);
    assert_eq!(stats("rate(metric[20s])", at).peak_samples, 3);
    assert_eq!(stats("metric", steps).peak_samples, 3);
    // A window counts fully at each step, and so does a value that is the same at every step.
    assert_eq!(stats("rate(metric[20s])", steps).total_samples, 6);
    assert_eq!(stats("rate(metric[20s] @ 50)", steps).total_samples, 6);
}

/// A histogram counts by its size: 168 bytes and 8 for each span and bucket, and a time, in units of 16 bytes.
#[test]
fn histograms_count_by_their_size() {
    let prepared =
        Prepared::new("m", TimeParams::instant(Timestamp(0)), &Options::default()).expect("a query");
    let mut samples = Samples::default();
    samples.histograms.timestamps.push(0);
    samples.histograms.values.push(FloatHistogram {
        positive_spans: vec![Span { offset: 0, length: 3 }],
        positive_buckets: vec![1.0; 3],
        ..FloatHistogram::default()
    });
    let labels = Labels::from_pairs([("__name__", "m")]);
    let series = Series { labels, data: SeriesData::Samples(Box::new(samples)) };
    let cancelled = AtomicBool::new(false);
    let ctx = EvalContext { pool: None, cancelled: &cancelled };
    let input: SelectInput = Box::new(std::iter::once(Ok(series)));
    let stats = prepared.eval(vec![input], &ctx).expect("an answer").stats;
    assert_eq!((stats.peak_samples, stats.total_samples, stats.samples_read), (13, 13, 13));
}
