//! Writes records, byte for byte as Prometheus's encoder.

use tithon_chunks::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, put_uvarint, put_varint};
use tithon_index::Labels;

use super::histogram::{put_float_histogram, put_histogram};
use super::{
    CUSTOM_FLOAT_HISTOGRAMS, CUSTOM_HISTOGRAMS, FLOAT_HISTOGRAMS, HISTOGRAMS, RefSample, SAMPLES, SERIES,
    TOMBSTONES, Tombstone,
};

/// A record of series.
pub(crate) fn put_series<'l>(series: impl IntoIterator<Item = (u64, &'l Labels)>) -> Vec<u8> {
    let mut out = vec![SERIES];
    for (id, labels) in series {
        out.extend_from_slice(&id.to_be_bytes());
        put_uvarint(labels.len() as u64, &mut out);
        for text in labels.iter().flat_map(|(name, value)| [name, value]) {
            put_uvarint(text.len() as u64, &mut out);
            out.extend_from_slice(text);
        }
    }
    out
}

/// A record of floats.
pub(crate) fn put_samples(samples: &[RefSample<f64>]) -> Vec<u8> {
    put_all(SAMPLES, samples.first(), samples.iter(), |value, out| {
        out.extend_from_slice(&value.to_bits().to_be_bytes());
    })
}

/// A record of deletions.
pub(crate) fn put_tombstones(tombstones: &[Tombstone]) -> Vec<u8> {
    let mut out = vec![TOMBSTONES];
    for one in tombstones {
        out.extend_from_slice(&one.series.to_be_bytes());
        put_varint(one.min, &mut out);
        put_varint(one.max, &mut out);
    }
    out
}

/// Records of integer histograms: those with custom buckets are in the second one.
pub(crate) fn put_histograms(samples: &[RefSample<Histogram>]) -> Vec<Vec<u8>> {
    let kinds = [HISTOGRAMS, CUSTOM_HISTOGRAMS];
    put_both(kinds, samples, |histogram| histogram.schema, put_histogram)
}

/// Records of float histograms, likewise.
pub(crate) fn put_float_histograms(samples: &[RefSample<FloatHistogram>]) -> Vec<Vec<u8>> {
    let kinds = [FLOAT_HISTOGRAMS, CUSTOM_FLOAT_HISTOGRAMS];
    put_both(kinds, samples, |histogram| histogram.schema, put_float_histogram)
}

fn put_both<H>(
    [exponential, custom]: [u8; 2],
    samples: &[RefSample<H>],
    schema: impl Fn(&H) -> i32,
    put: impl Fn(&H, &mut Vec<u8>) + Copy,
) -> Vec<Vec<u8>> {
    let is_custom = |sample: &&RefSample<H>| schema(&sample.value) == CUSTOM_BUCKETS_SCHEMA;
    let mut out = Vec::new();
    let mut rest = samples.iter().filter(|sample| !is_custom(sample)).peekable();
    if rest.peek().is_some() {
        // Upstream takes the first sample for the base, which may be in the other record.
        out.push(put_all(exponential, samples.first(), rest, put));
    }
    let mut rest = samples.iter().filter(is_custom).peekable();
    let base = rest.peek().copied();
    if base.is_some() {
        out.push(put_all(custom, base, rest, put));
    }
    out
}

/// Type, number and time of `base`, then all samples against them.
fn put_all<'s, V: 's>(
    kind: u8,
    base: Option<&RefSample<V>>,
    samples: impl Iterator<Item = &'s RefSample<V>>,
    put: impl Fn(&V, &mut Vec<u8>),
) -> Vec<u8> {
    let mut out = vec![kind];
    let Some(base) = base else { return out };
    out.extend_from_slice(&base.series.to_be_bytes());
    out.extend_from_slice(&base.t.to_be_bytes());
    for sample in samples {
        put_varint(sample.series.wrapping_sub(base.series) as i64, &mut out);
        put_varint(sample.t.wrapping_sub(base.t), &mut out);
        put(&sample.value, &mut out);
    }
    out
}
