//! Histogram arithmetic against what Prometheus computes; `data/histogram-arithmetic.txt` says how it is laid out.

#![allow(clippy::unwrap_used)]

use tithon_chunks::{
    Combined, CounterResetHint, FloatHistogram, HistogramError, Keep, Sample, SampleValue, Span, Timestamp,
    canonical_bytes,
};

fn float(hex: &str) -> f64 {
    f64::from_bits(u64::from_str_radix(hex, 16).unwrap())
}

/// The entries of a list that ends each with a comma; `-` is an empty one.
fn list<T>(text: &str, each: impl Fn(&str) -> T) -> Vec<T> {
    text.split(',').filter(|entry| !entry.is_empty() && *entry != "-").map(each).collect()
}

fn histogram(line: &str) -> FloatHistogram {
    let field: Vec<&str> = line.split(' ').collect();
    let span = |text: &str| {
        let (offset, length) = text.split_once(':').unwrap();
        Span { offset: offset.parse().unwrap(), length: length.parse().unwrap() }
    };
    use CounterResetHint::{Gauge, NotReset, Reset, Unknown};
    FloatHistogram {
        counter_reset_hint: [Unknown, Reset, NotReset, Gauge][field[0].parse::<usize>().unwrap()],
        schema: field[1].parse().unwrap(),
        zero_threshold: float(field[2]),
        zero_count: float(field[3]),
        count: float(field[4]),
        sum: float(field[5]),
        positive_spans: list(field[6], span),
        negative_spans: list(field[7], span),
        positive_buckets: list(field[8], float),
        negative_buckets: list(field[9], float),
        custom_values: list(field[10], float),
    }
}

/// Bytes that are equal exactly when all fields are.
fn bytes(histogram: &FloatHistogram) -> Vec<u8> {
    let value = SampleValue::FloatHistogram(histogram.clone());
    let mut out = Vec::new();
    canonical_bytes(&Sample { t: Timestamp(0), st: Timestamp(0), value }, &mut out);
    out
}

#[track_caller]
fn check_same(got: &FloatHistogram, expected: &str) {
    let expected = histogram(expected);
    assert!(bytes(got) == bytes(&expected), "got {got:?}\nexpected {expected:?}");
}

/// `expected` is `err`, or `collision reconciled histogram`.
#[track_caller]
fn check_combined(
    a: &FloatHistogram,
    expected: &str,
    op: impl Fn(&mut FloatHistogram) -> Result<Combined, HistogramError>,
) {
    let mut got = a.clone();
    let Ok(combined) = op(&mut got) else { return assert_eq!(expected, "err") };
    got.compact(0);
    let (collision, rest) = expected.split_once(' ').unwrap();
    let (reconciled, expected) = rest.split_once(' ').unwrap();
    assert_eq!(combined.counter_reset_collision.to_string(), collision);
    assert_eq!(combined.bounds_reconciled.to_string(), reconciled);
    check_same(&got, expected);
}

/// Three times `b` and `a` are added with compensation, which is added at the end.
fn kahan(
    sum: &mut FloatHistogram,
    a: &FloatHistogram,
    b: &FloatHistogram,
) -> Result<Combined, HistogramError> {
    let mut lost = None;
    let mut combined = Combined::default();
    for _ in 0..3 {
        combined = sum.kahan_add(b, &mut lost)?;
        sum.kahan_add(a, &mut lost)?;
    }
    sum.add(&lost.unwrap())?;
    Ok(combined)
}

/// The logarithm decides the last bits inside exponential buckets, and it is the caller's: equal but for those.
fn check_trimmed(a: &FloatHistogram, expected: &str) {
    let (threshold, rest) = expected.split_once(' ').unwrap();
    let (below, expected) = rest.split_once(' ').unwrap();
    let expected = histogram(expected);
    let mut got = a.clone();
    got.trim(float(threshold), if below == "true" { Keep::Below } else { Keep::Above }, f64::log2);
    let close = |x: f64, y: f64| x.to_bits() == y.to_bits() || (x - y).abs() <= 1e-12 * x.abs();
    let all_close = |x: &[f64], y: &[f64]| x.len() == y.len() && x.iter().zip(y).all(|(x, y)| close(*x, *y));
    assert_eq!(
        (&got.positive_spans, &got.negative_spans),
        (&expected.positive_spans, &expected.negative_spans)
    );
    let fields = |h: &FloatHistogram| [h.count, h.sum, h.zero_count];
    assert!(all_close(&fields(&got), &fields(&expected)), "{got:?}\n{expected:?}");
    assert!(all_close(&got.positive_buckets, &expected.positive_buckets), "{got:?}\n{expected:?}");
    assert!(all_close(&got.negative_buckets, &expected.negative_buckets), "{got:?}\n{expected:?}");
}

#[test]
fn all_operations_are_prometheuss() {
    let text = include_str!("data/histogram-arithmetic.txt");
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let (cases, rest) = lines.as_chunks::<12>();
    assert!(rest.is_empty() && cases.len() > 100, "{}", cases.len());
    for case in cases {
        let (a, b) = (histogram(case[0]), histogram(case[1]));
        let flags = format!("{} {} {}", b.detect_reset(&a), a.equals(&b), a.validate().is_ok());
        assert_eq!(flags, case[2], "{a:?}\n{b:?}");
        check_combined(&a, case[3], |sum| sum.add(&b));
        check_combined(&a, case[4], |sum| sum.sub(&b));
        check_combined(&a, case[5], |sum| kahan(sum, &a, &b));
        for (max_empty, expected) in [0, 1, 3].into_iter().zip(&case[6..9]) {
            let mut compact = a.clone();
            compact.compact(max_empty);
            check_same(&compact, expected);
        }
        check_trimmed(&a, case[9]);
        assert_eq!(a.to_string(), case[10]);
        let walked = a.all_buckets().map(|bucket| {
            let (lower, upper, count) =
                (bucket.lower.to_bits(), bucket.upper.to_bits(), bucket.count.to_bits());
            format!(
                "{lower:016x},{upper:016x},{},{},{count:016x};",
                bucket.lower_inclusive, bucket.upper_inclusive
            )
        });
        assert_eq!(walked.collect::<String>(), case[11]);
        let (mut twice, mut scaled) = (a.clone(), a.clone());
        scaled.mul(2.0);
        twice.div(0.5);
        assert_eq!(bytes(&scaled), bytes(&twice));
    }
}
