//! One decoded sample, exactly as stored, and its canonical bytes for digests.

use crate::{CounterResetHint, FloatHistogram, Histogram, Span, Timestamp};

/// A sample as its chunk holds it: integer histograms stay integers.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// When it was taken.
    pub t: Timestamp,
    /// Since when its counters count; 0 is unknown.
    pub st: Timestamp,
    /// What was measured.
    pub value: SampleValue,
}

/// The value of a [`Sample`].
#[derive(Clone, Debug, PartialEq)]
pub enum SampleValue {
    /// A plain float.
    Float(f64),
    /// A native histogram with integer counts.
    Histogram(Histogram),
    /// A native histogram with float counts.
    FloatHistogram(FloatHistogram),
}

/// Appends the canonical bytes of a sample, over which digests of series are made. Start timestamps are no part.
///
/// Little endian: `i64 t, u8 type (1 float, 2 integer histogram, 3 float histogram)`, then for floats the bits, for
/// histograms `u8 hint, i32 schema, u64 zero threshold bits, zero count, count, sum bits, spans, buckets, custom
/// values`, each list with a `u32` count before it and integer buckets as absolute counts.
pub fn canonical_bytes(sample: &Sample, out: &mut Vec<u8>) {
    out.extend_from_slice(&sample.t.0.to_le_bytes());
    match &sample.value {
        SampleValue::Float(value) => {
            out.push(1);
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        }
        SampleValue::Histogram(h) => {
            out.push(2);
            put_head(h.counter_reset_hint, h.schema, h.zero_threshold, out);
            for field in [h.zero_count, h.count, h.sum.to_bits()] {
                out.extend_from_slice(&field.to_le_bytes());
            }
            put_spans(&h.positive_spans, out);
            put_spans(&h.negative_spans, out);
            put_deltas(&h.positive_buckets, out);
            put_deltas(&h.negative_buckets, out);
            put_floats(&h.custom_values, out);
        }
        SampleValue::FloatHistogram(h) => {
            out.push(3);
            put_head(h.counter_reset_hint, h.schema, h.zero_threshold, out);
            for field in [h.zero_count, h.count, h.sum] {
                out.extend_from_slice(&field.to_bits().to_le_bytes());
            }
            put_spans(&h.positive_spans, out);
            put_spans(&h.negative_spans, out);
            put_floats(&h.positive_buckets, out);
            put_floats(&h.negative_buckets, out);
            put_floats(&h.custom_values, out);
        }
    }
}

fn put_head(hint: CounterResetHint, schema: i32, zero_threshold: f64, out: &mut Vec<u8>) {
    out.push(hint as u8);
    out.extend_from_slice(&schema.to_le_bytes());
    out.extend_from_slice(&zero_threshold.to_bits().to_le_bytes());
}

fn put_spans(spans: &[Span], out: &mut Vec<u8>) {
    put_len(spans.len(), out);
    for span in spans {
        out.extend_from_slice(&span.offset.to_le_bytes());
        out.extend_from_slice(&span.length.to_le_bytes());
    }
}

fn put_deltas(deltas: &[i64], out: &mut Vec<u8>) {
    put_len(deltas.len(), out);
    let mut count = 0i64;
    for delta in deltas {
        count = count.wrapping_add(*delta);
        out.extend_from_slice(&count.to_le_bytes());
    }
}

fn put_floats(floats: &[f64], out: &mut Vec<u8>) {
    put_len(floats.len(), out);
    for value in floats {
        out.extend_from_slice(&value.to_bits().to_le_bytes());
    }
}

fn put_len(len: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&(len as u32).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_float_and_a_histogram_byte_by_byte() {
        let mut out = Vec::new();
        let t = Timestamp(-2);
        canonical_bytes(&Sample { t, st: Timestamp(9), value: SampleValue::Float(1.5) }, &mut out);
        assert_eq!(out, [0xfe, 255, 255, 255, 255, 255, 255, 255, 1, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f]);
        out.clear();
        let histogram = Histogram {
            schema: -1,
            count: 3,
            positive_spans: vec![Span { offset: -1, length: 2 }],
            positive_buckets: vec![2, -1],
            ..Histogram::default()
        };
        canonical_bytes(&Sample { t, st: t, value: SampleValue::Histogram(histogram) }, &mut out);
        assert_eq!(out[8..14], [2, 0, 255, 255, 255, 255]);
        assert_eq!(out[46..62], [1, 0, 0, 0, 255, 255, 255, 255, 2, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(out[62..82], [2, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(out.len(), 90);
    }
}
