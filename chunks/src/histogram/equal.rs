//! Equality of histograms to the bit.

use super::custom::bounds_match;
use super::{FloatHistogram, Span};

impl FloatHistogram {
    /// Whether schema, count, sum, zero bucket, layout, buckets and custom bounds agree; counts and sum by their bits,
    /// so that a NaN equals itself. Hints and spans without buckets do not matter.
    pub fn equals(&self, other: &FloatHistogram) -> bool {
        self.schema == other.schema
            && self.count.to_bits() == other.count.to_bits()
            && self.sum.to_bits() == other.sum.to_bits()
            && (!self.uses_custom_buckets() || bounds_match(&self.custom_values, &other.custom_values))
            && self.zero_threshold == other.zero_threshold
            && self.zero_count.to_bits() == other.zero_count.to_bits()
            && spans_match(&self.negative_spans, &other.negative_spans)
            && spans_match(&self.positive_spans, &other.positive_spans)
            && buckets_match(&self.negative_buckets, &other.negative_buckets)
            && buckets_match(&self.positive_buckets, &other.positive_buckets)
    }
}

fn buckets_match(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.to_bits() == y.to_bits())
}

fn spans_match(a: &[Span], b: &[Span]) -> bool {
    populated(a).eq(populated(b))
}

/// The spans that have buckets, the offsets of empty ones added to the next.
fn populated(spans: &[Span]) -> impl Iterator<Item = (i64, u32)> + '_ {
    let mut offset = 0i64;
    spans.iter().filter_map(move |span| {
        offset += i64::from(span.offset);
        (span.length > 0).then(|| (std::mem::take(&mut offset), span.length))
    })
}
