//! Reads samples, hex and numbers of the golden vectors.

use serde_json::Value;
use tithon_chunks::{CounterResetHint, FloatHistogram, Histogram, Sample, SampleValue, Span, Timestamp};

/// The bytes of a hex string.
pub(crate) fn hex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// A list, empty when absent.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// One sample in the form "S" of the golden data's README.
pub(crate) fn sample(value: &Value) -> Sample {
    let t = Timestamp(value["t"].as_i64().unwrap());
    let st = Timestamp(value["st"].as_i64().unwrap_or(0));
    let Some(h) = value.get("h") else {
        return Sample { t, st, value: SampleValue::Float(bits(&value["bits"])) };
    };
    let counter_reset_hint = match h["hint"].as_i64().unwrap_or(0) {
        0 => CounterResetHint::Unknown,
        1 => CounterResetHint::Reset,
        2 => CounterResetHint::NotReset,
        _ => CounterResetHint::Gauge,
    };
    let schema = h["schema"].as_i64().unwrap_or(0) as i32;
    let (zero_threshold, sum) = (bits(&h["zero_threshold"]), bits(&h["sum"]));
    let (positive_spans, negative_spans) = (spans(&h["pos_spans"]), spans(&h["neg_spans"]));
    let custom_values = floats(&h["custom_values"]);
    let value = if h["float"].as_bool().unwrap_or(false) {
        SampleValue::FloatHistogram(FloatHistogram {
            counter_reset_hint,
            schema,
            zero_threshold,
            zero_count: bits(&h["zero_count"]),
            count: bits(&h["count"]),
            sum,
            positive_spans,
            negative_spans,
            positive_buckets: floats(&h["pos_buckets"]),
            negative_buckets: floats(&h["neg_buckets"]),
            custom_values,
        })
    } else {
        SampleValue::Histogram(Histogram {
            counter_reset_hint,
            schema,
            zero_threshold,
            zero_count: decimal(&h["zero_count"]),
            count: decimal(&h["count"]),
            sum,
            positive_spans,
            negative_spans,
            positive_buckets: deltas(&h["pos_buckets"]),
            negative_buckets: deltas(&h["neg_buckets"]),
            custom_values,
        })
    };
    Sample { t, st, value }
}

fn bits(value: &Value) -> f64 {
    f64::from_bits(value.as_str().map_or(0, |text| u64::from_str_radix(text, 16).unwrap()))
}

fn decimal(value: &Value) -> u64 {
    value.as_str().map_or(0, |text| text.parse().unwrap())
}

fn floats(value: &Value) -> Vec<f64> {
    list(value).iter().map(bits).collect()
}

fn spans(value: &Value) -> Vec<Span> {
    list(value)
        .iter()
        .map(|span| Span {
            offset: span[0].as_i64().unwrap() as i32,
            length: u32::try_from(span[1].as_u64().unwrap()).unwrap(),
        })
        .collect()
}

fn deltas(value: &Value) -> Vec<i64> {
    let mut last = 0i64;
    list(value)
        .iter()
        .map(|count| {
            let count: i64 = count.as_str().unwrap().parse().unwrap();
            let delta = count.wrapping_sub(last);
            last = count;
            delta
        })
        .collect()
}
