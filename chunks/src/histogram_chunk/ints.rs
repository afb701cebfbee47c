//! Counts of integer histograms: changes of changes.

use super::decode::{Counts, Decoder};
use crate::bits::BitReader;
use crate::varbit::{read_int, read_uint};
use crate::xor_code::XorWindow;
use crate::{ChunkError, Histogram, STALE_NAN_BITS};

/// Decodes chunks of integer histograms.
pub(crate) type IntDecoder<'a> = Decoder<'a, IntCounts>;

/// The counts of an integer histogram.
#[derive(Debug, Default)]
pub(crate) struct IntCounts {
    count: u64,
    count_delta: i64,
    zero_count: u64,
    zero_count_delta: i64,
    sum: u64,
    sum_window: XorWindow,
    /// Positive, then negative buckets, each stored as the difference to the bucket before, and its last change.
    buckets: Vec<(i64, i64)>,
}

impl Counts for IntCounts {
    fn first(&mut self, n_buckets: usize, reader: &mut BitReader<'_>) -> bool {
        self.count = read_uint(reader);
        self.zero_count = read_uint(reader);
        self.sum = reader.read64();
        self.buckets = (0..n_buckets).map(|_| (read_int(reader), 0)).collect();
        true
    }

    fn next(&mut self, reader: &mut BitReader<'_>) {
        self.count_delta = self.count_delta.wrapping_add(read_int(reader));
        self.count = self.count.wrapping_add(self.count_delta as u64);
        self.zero_count_delta = self.zero_count_delta.wrapping_add(read_int(reader));
        self.zero_count = self.zero_count.wrapping_add(self.zero_count_delta as u64);
        self.sum ^= self.sum_window.read(reader);
        if self.sum == STALE_NAN_BITS {
            return;
        }
        for (bucket, change) in &mut self.buckets {
            *change = change.wrapping_add(read_int(reader));
            *bucket = bucket.wrapping_add(*change);
        }
    }

    fn sum(&self) -> u64 {
        self.sum
    }

    fn count(&self) -> f64 {
        self.count as f64
    }

    fn zero_count(&self) -> f64 {
        self.zero_count as f64
    }

    fn buckets(&self, n_positive: usize, out: &mut Vec<f64>) {
        let (positive, negative) = self.buckets.split_at(n_positive);
        for side in [positive, negative] {
            let mut count = 0i64;
            out.extend(side.iter().map(|(delta, _)| {
                count = count.wrapping_add(*delta);
                count as f64
            }));
        }
    }
}

impl IntDecoder<'_> {
    /// The sample as it is stored; a stale one has nothing but its sum.
    pub(crate) fn histogram(&self) -> Result<Histogram, ChunkError> {
        let counts = &self.counts;
        let sum = f64::from_bits(counts.sum);
        if self.is_stale() {
            return Ok(Histogram { sum, ..Histogram::default() });
        }
        let (positive, negative) = counts.buckets.split_at(self.n_positive);
        let mut histogram = Histogram {
            counter_reset_hint: self.hint(),
            schema: self.layout.schema,
            zero_threshold: self.layout.zero_threshold,
            zero_count: counts.zero_count,
            count: counts.count,
            sum,
            positive_spans: self.layout.positive_spans.clone(),
            negative_spans: self.layout.negative_spans.clone(),
            positive_buckets: positive.iter().map(|bucket| bucket.0).collect(),
            negative_buckets: negative.iter().map(|bucket| bucket.0).collect(),
            custom_values: self.layout.custom_values.clone(),
        };
        histogram.limit_schema()?;
        Ok(histogram)
    }
}
