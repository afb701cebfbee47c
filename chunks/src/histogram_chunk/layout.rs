//! The layout of the buckets, stored once a chunk: zero threshold, schema, spans, custom bounds.
//!
//! Prometheus `tsdb/chunkenc/histogram_meta.go`.

use crate::bits::{BitReader, BitWriter};
use crate::histogram::{CUSTOM_BUCKETS_SCHEMA, exponential_bound, is_known_schema};
use crate::varbit::{read_int, read_uint, write_int, write_uint};
use crate::{ChunkError, FloatHistogram, Span};

/// What all histograms of one chunk share.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    /// Resolution, or -53 for custom bucket bounds.
    pub schema: i32,
    /// Half width of the zero bucket.
    pub zero_threshold: f64,
    /// Runs of buckets above zero (or of custom buckets).
    pub positive_spans: Vec<Span>,
    /// Runs of buckets below zero.
    pub negative_spans: Vec<Span>,
    /// Upper bounds of custom buckets, ascending, without +Inf; empty unless `schema` is -53.
    pub custom_values: Vec<f64>,
}

impl Layout {
    /// The layout of a histogram.
    pub fn of(histogram: &FloatHistogram) -> Layout {
        Layout {
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            positive_spans: histogram.positive_spans.clone(),
            negative_spans: histogram.negative_spans.clone(),
            custom_values: histogram.custom_values.clone(),
        }
    }

    /// Equal to the bit.
    pub(crate) fn same_bits(&self, other: &Layout) -> bool {
        let bits = |values: &[f64], others: &[f64]| {
            values.len() == others.len() && values.iter().zip(others).all(|(a, b)| a.to_bits() == b.to_bits())
        };
        self.schema == other.schema
            && self.zero_threshold.to_bits() == other.zero_threshold.to_bits()
            && self.positive_spans == other.positive_spans
            && self.negative_spans == other.negative_spans
            && bits(&self.custom_values, &other.custom_values)
    }

    /// Whether the buckets ascend and lie outside of the zero bucket, as those of every sound writer do.
    pub(crate) fn is_plain(&self) -> bool {
        let outside = |spans: &[Span]| {
            let ascending = spans.iter().skip(1).all(|span| span.offset >= 0);
            let inside =
                |span: &Span| exponential_bound(i64::from(span.offset), self.schema) <= self.zero_threshold;
            let is_custom = self.schema == CUSTOM_BUCKETS_SCHEMA;
            ascending && (is_custom || self.zero_threshold == 0.0 || !spans.first().is_some_and(inside))
        };
        outside(&self.positive_spans) && outside(&self.negative_spans)
    }

    /// Reads a layout; `truncated` is the error for bits that end too early.
    pub(crate) fn read(reader: &mut BitReader<'_>, truncated: &ChunkError) -> Result<Layout, ChunkError> {
        let zero_threshold = read_zero_threshold(reader);
        let offset = reader.position() / 8;
        let schema = read_int(reader) as i32;
        let positive_spans = read_spans(reader, truncated)?;
        let negative_spans = read_spans(reader, truncated)?;
        let custom_values =
            if schema == CUSTOM_BUCKETS_SCHEMA { read_bounds(reader, truncated)? } else { Vec::new() };
        if reader.overrun() {
            return Err(truncated.clone());
        }
        if !is_known_schema(schema) {
            return Err(ChunkError::Invalid {
                what: "histogram schema",
                offset,
                found: schema as u64,
                expected: "-9 to 52, or -53",
            });
        }
        Ok(Layout { schema, zero_threshold, positive_spans, negative_spans, custom_values })
    }

    /// Buckets of the positive and of the negative side; the error `truncated` when a sample with one bit each
    /// would not fit what is left.
    pub(crate) fn bucket_counts(
        &self,
        reader: &BitReader<'_>,
        truncated: &ChunkError,
    ) -> Result<(usize, usize), ChunkError> {
        let positive = count_buckets(&self.positive_spans);
        let negative = count_buckets(&self.negative_spans);
        if positive.saturating_add(negative) > reader.left() as u64 {
            return Err(truncated.clone());
        }
        Ok((positive as usize, negative as usize))
    }

    /// Writes a layout.
    pub(crate) fn write(&self, out: &mut BitWriter) {
        write_zero_threshold(self.zero_threshold, out);
        write_int(i64::from(self.schema), out);
        write_spans(&self.positive_spans, out);
        write_spans(&self.negative_spans, out);
        if self.schema == CUSTOM_BUCKETS_SCHEMA {
            write_uint(self.custom_values.len() as u64, out);
            for bound in &self.custom_values {
                write_bound(*bound, out);
            }
        }
    }
}

/// Total number of buckets in `spans`.
pub(crate) fn count_buckets(spans: &[Span]) -> u64 {
    spans.iter().fold(0u64, |n, span| n.saturating_add(u64::from(span.length)))
}

fn read_spans(reader: &mut BitReader<'_>, truncated: &ChunkError) -> Result<Vec<Span>, ChunkError> {
    let n = read_uint(reader);
    if n.saturating_mul(2) > reader.left() as u64 {
        return Err(truncated.clone());
    }
    Ok((0..n)
        .map(|_| {
            let length = read_uint(reader) as u32;
            Span { offset: read_int(reader) as i32, length }
        })
        .collect())
}

fn write_spans(spans: &[Span], out: &mut BitWriter) {
    write_uint(spans.len() as u64, out);
    for span in spans {
        write_uint(u64::from(span.length), out);
        write_int(i64::from(span.offset), out);
    }
}

/// Exponents that fit the one-byte form: byte `e + 243` is the threshold `0.5 * 2^e`.
const EXPONENT_BIAS: i32 = 243;
const EXPONENT_MIN: i32 = -242;
const EXPONENT_MAX: i32 = 11;

fn read_zero_threshold(reader: &mut BitReader<'_>) -> f64 {
    match reader.read(8) {
        0 => 0.0,
        255 => f64::from_bits(reader.read64()),
        byte => power_of_two(byte as i32 - EXPONENT_BIAS - 1),
    }
}

fn write_zero_threshold(threshold: f64, out: &mut BitWriter) {
    let exponent = ((threshold.to_bits() >> 52) as i32) - 1022;
    let is_power = threshold > 0.0 && threshold.to_bits() << 12 == 0;
    if threshold == 0.0 {
        out.write(0, 8);
    } else if is_power && (EXPONENT_MIN..=EXPONENT_MAX).contains(&exponent) {
        out.write((exponent + EXPONENT_BIAS) as u64, 8);
    } else {
        out.write(255, 8);
        out.write(threshold.to_bits(), 64);
    }
}

/// 2 to the power of a normal exponent.
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

fn read_bounds(reader: &mut BitReader<'_>, truncated: &ChunkError) -> Result<Vec<f64>, ChunkError> {
    let n = read_uint(reader);
    if n > reader.left() as u64 {
        return Err(truncated.clone());
    }
    Ok((0..n)
        .map(|_| match read_uint(reader) {
            0 => f64::from_bits(reader.read64()),
            thousandths => (thousandths - 1) as f64 / 1000.0,
        })
        .collect())
}

/// Largest number of thousandths that is stored as an integer.
const THOUSANDTHS_MAX: f64 = 33_554_430.0;

fn write_bound(bound: f64, out: &mut BitWriter) {
    let thousandths = bound * 1000.0;
    let rounded = thousandths.round();
    if (0.0..=THOUSANDTHS_MAX).contains(&thousandths) && rounded / 1000.0 == bound {
        write_uint(rounded as u64 + 1, out);
    } else {
        out.write(0, 1);
        out.write(bound.to_bits(), 64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_threshold(threshold: f64, expected: &[u8]) {
        let mut out = BitWriter::after(&[]);
        write_zero_threshold(threshold, &mut out);
        let bytes = out.finish(&[]);
        assert_eq!(bytes, expected, "{threshold:e}");
        assert_eq!(read_zero_threshold(&mut BitReader::new(&bytes, 0)).to_bits(), threshold.to_bits());
    }

    #[test]
    fn zero_thresholds_take_one_byte_where_they_can() {
        check_threshold(0.0, &[0]);
        check_threshold(power_of_two(-128), &[0x74]);
        check_threshold(power_of_two(-243), &[1]);
        check_threshold(1024.0, &[254]);
        check_threshold(2048.0, &[255, 0x40, 0xa0, 0, 0, 0, 0, 0, 0]);
        check_threshold(0.3, &[255, 0x3f, 0xd3, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33]);
    }

    #[test]
    fn bounds_in_thousandths_or_in_full() {
        for bound in [0.0, 0.001, 0.005, 1.5, 33_554.43, 33_554.431, 1e9, -1.0, f64::INFINITY, 0.0001] {
            let mut out = BitWriter::after(&[]);
            write_bound(bound, &mut out);
            let mut all = BitWriter::after(&[]);
            write_uint(1, &mut all);
            write_bound(bound, &mut all);
            let bytes = all.finish(&[]);
            let mut reader = BitReader::new(&bytes, 0);
            let error = ChunkError::NoAggregate("");
            assert_eq!(read_bounds(&mut reader, &error).unwrap(), [bound]);
            assert_eq!(out.byte_len() > 8, !(0.0..=33_554.43).contains(&bound) || bound == 0.0001, "{bound}");
        }
    }
}
