//! Comparison of results with expectations.

use tithon_chunks::{FloatHistogram, Span};
use tithon_index::Labels;
use tithon_promql::{MatrixSeries, QueryError, QueryResult, Sample, SequenceValue, Value, VectorSample};

use crate::script::{Eval, TextTest};

/// By how much numbers may differ, relative to their size.
const EPSILON: f64 = 1e-6;

/// Whether a query was expected to fail with this error.
pub(crate) fn failure(eval: &Eval, error: &QueryError) -> Result<(), String> {
    let text = error.to_string();
    if eval.fail && eval.fail_texts.iter().all(|test| test.accepts(&text)) {
        return Ok(());
    }
    Err(format!("failed: {text}"))
}

/// Whether the warnings and infos are those expected.
pub(crate) fn annotations(eval: &Eval, result: &QueryResult) -> Result<(), String> {
    let QueryResult { warnings, infos, .. } = result;
    if eval.warn && warnings.is_empty() || eval.info && infos.is_empty() {
        return Err("no annotation".to_owned());
    }
    texts(&eval.warn_texts, warnings).map_err(|why| format!("warnings: {why}"))?;
    texts(&eval.info_texts, infos).map_err(|why| format!("infos: {why}"))?;
    if eval.no_warn && !warnings.is_empty() {
        return Err(format!("unexpected warnings {warnings:?}"));
    }
    if eval.no_info && !infos.is_empty() {
        return Err(format!("unexpected infos {infos:?}"));
    }
    Ok(())
}

/// If anything is expected, each expectation must match a text and each text an expectation.
fn texts(expected: &[TextTest], actual: &[String]) -> Result<(), String> {
    if expected.is_empty() {
        return Ok(());
    }
    let all_met = expected.iter().all(|test| actual.iter().any(|text| test.accepts(text)));
    let all_expected = actual.iter().all(|text| expected.iter().any(|test| test.accepts(text)));
    if all_met && all_expected && !actual.is_empty() { Ok(()) } else { Err(format!("got {actual:?}")) }
}

/// Whether the value is the one expected.
pub(crate) fn value(eval: &Eval, value: &Value) -> Result<(), String> {
    match value {
        Value::Scalar { v, .. } => match eval.scalar {
            Some(want) if almost_equal(want, *v) => Ok(()),
            want => Err(format!("scalar {v}, expected {want:?}")),
        },
        Value::String { v, .. } if **v == *eval.string => Ok(()),
        Value::String { v, .. } => Err(format!("string {v:?}")),
        _ if eval.scalar.is_some() => Err("no scalar".to_owned()),
        Value::Vector(elements) => vector(eval, elements),
        Value::Matrix(series) => matrix(eval, series),
    }
}

fn expected<'a>(eval: &'a Eval, labels: &Labels) -> Result<(usize, &'a [SequenceValue]), String> {
    let found = eval.series.iter().find(|(_, other, _)| other == labels);
    found
        .map(|(position, _, values)| (*position, values.as_slice()))
        .ok_or_else(|| format!("unexpected {labels}"))
}

fn nothing_missing<'a>(eval: &Eval, got: impl Iterator<Item = &'a Labels>) -> Result<(), String> {
    let got: Vec<_> = got.collect();
    match eval.series.iter().find(|(_, labels, _)| !got.contains(&labels)) {
        Some((_, labels, _)) => Err(format!("{labels} is missing")),
        None => Ok(()),
    }
}

fn vector(eval: &Eval, elements: &[VectorSample]) -> Result<(), String> {
    for (i, element) in elements.iter().enumerate() {
        let labels = &element.labels;
        let (position, values) =
            expected(eval, labels).map_err(|why| format!("{why} with {}", shown(&element.sample)))?;
        if eval.ordered && position != i + 1 {
            return Err(format!("{labels} at position {}, expected at {position}", i + 1));
        }
        let matches = match (values.first(), &element.sample) {
            (Some(SequenceValue::Float(want)), Sample::Float(v)) => almost_equal(*want, *v),
            (Some(SequenceValue::Histogram { histogram, hint_set }), Sample::Histogram(h)) => {
                same_histogram(histogram, h, *hint_set)
            }
            _ => false,
        };
        if !matches {
            return Err(format!("{labels}: {}, expected {:?}", shown(&element.sample), values.first()));
        }
    }
    nothing_missing(eval, elements.iter().map(|element| &element.labels))
}

fn shown(sample: &Sample) -> String {
    match sample {
        Sample::Float(v) => v.to_string(),
        Sample::Histogram(h) => format!("{h:?}"),
    }
}

fn matrix(eval: &Eval, series: &[MatrixSeries]) -> Result<(), String> {
    if eval.ordered {
        return Err("a matrix has no order".to_owned());
    }
    sorted(series)?;
    for MatrixSeries { labels, samples } in series {
        let (_, values) = expected(eval, labels)?;
        let (mut floats, mut histograms) = (Vec::new(), Vec::new());
        for (i, value) in values.iter().enumerate() {
            let t = eval.start_ms + i as i64 * eval.step_ms;
            if t > eval.end_ms {
                return Err(format!("{labels}: more values expected than steps"));
            }
            match value {
                SequenceValue::Omitted => {}
                SequenceValue::Float(v) => floats.push((t, *v)),
                SequenceValue::Histogram { histogram, hint_set } => {
                    histograms.push((t, histogram, *hint_set))
                }
            }
        }
        let got = (&samples.floats.timestamps, &samples.histograms.timestamps);
        let want_floats: Vec<i64> = floats.iter().map(|(t, _)| *t).collect();
        let want_histograms: Vec<i64> = histograms.iter().map(|(t, ..)| *t).collect();
        if (&want_floats, &want_histograms) != got {
            return Err(format!(
                "{labels}: samples at {got:?} {:?}, expected at {want_floats:?} {want_histograms:?}",
                samples.floats.values
            ));
        }
        for ((t, want), v) in floats.iter().zip(&samples.floats.values) {
            if !almost_equal(*want, *v) {
                return Err(format!("{labels} at {t}: {v}, expected {want}"));
            }
        }
        for ((t, want, hint_set), h) in histograms.iter().zip(&samples.histograms.values) {
            if !same_histogram(want, h, *hint_set) {
                return Err(format!("{labels} at {t}: {h:?}, expected {want:?}"));
            }
        }
    }
    nothing_missing(eval, series.iter().map(|s| &s.labels))
}

/// Whether series ascend by labels.
pub(crate) fn sorted(series: &[MatrixSeries]) -> Result<(), String> {
    if series.is_sorted_by(|a, b| a.labels <= b.labels) {
        Ok(())
    } else {
        Err("series out of order".to_owned())
    }
}

fn almost_equal(a: f64, b: f64) -> bool {
    const STALE: u64 = tithon_chunks::STALE_NAN_BITS;
    if a.to_bits() == STALE || b.to_bits() == STALE {
        return a.to_bits() == b.to_bits();
    }
    if a.is_nan() && b.is_nan() || a == b {
        return true;
    }
    let (size, apart) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || size < f64::MIN_POSITIVE {
        return apart < EPSILON * f64::MIN_POSITIVE;
    }
    apart / size.min(f64::MAX) < EPSILON
}

fn same_histogram(want: &FloatHistogram, got: &FloatHistogram, hint_matters: bool) -> bool {
    let (mut want, mut got) = (want.clone(), got.clone());
    want.compact(0);
    got.compact(0);
    let same_counts =
        |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| almost_equal(*a, *b));
    want.schema == got.schema
        && almost_equal(want.count, got.count)
        && almost_equal(want.sum, got.sum)
        && want.custom_values == got.custom_values
        && want.zero_threshold == got.zero_threshold
        && almost_equal(want.zero_count, got.zero_count)
        && indexes(&want.negative_spans) == indexes(&got.negative_spans)
        && indexes(&want.positive_spans) == indexes(&got.positive_spans)
        && same_counts(&want.negative_buckets, &got.negative_buckets)
        && same_counts(&want.positive_buckets, &got.positive_buckets)
        && (!hint_matters || want.counter_reset_hint == got.counter_reset_hint)
}

/// The indexes of the buckets of spans, however they are cut.
fn indexes(spans: &[Span]) -> Vec<i64> {
    let (mut out, mut next) = (Vec::new(), 0);
    for span in spans {
        next += i64::from(span.offset);
        out.extend(next..next + i64::from(span.length));
        next += i64::from(span.length);
    }
    out
}
