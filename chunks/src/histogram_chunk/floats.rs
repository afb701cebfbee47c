//! Counts of float histograms: each an XOR with its own window.

use super::decode::{Counts, Decoder};
use crate::STALE_NAN_BITS;
use crate::bits::BitReader;
use crate::xor_code::XorWindow;

/// Decodes chunks of float histograms.
pub(crate) type FloatDecoder<'a> = Decoder<'a, FloatCounts>;

/// A float quantity and its window.
#[derive(Clone, Copy, Debug, Default)]
struct Quantity {
    bits: u64,
    window: XorWindow,
}

impl Quantity {
    fn first(reader: &mut BitReader<'_>) -> Quantity {
        Quantity { bits: reader.read64(), window: XorWindow::default() }
    }

    #[inline(always)]
    fn next(&mut self, reader: &mut BitReader<'_>) {
        self.bits ^= self.window.read(reader);
    }

    fn value(&self) -> f64 {
        f64::from_bits(self.bits)
    }
}

/// The counts of a float histogram.
#[derive(Debug, Default)]
pub(crate) struct FloatCounts {
    count: Quantity,
    zero_count: Quantity,
    sum: Quantity,
    /// Positive, then negative buckets.
    buckets: Vec<Quantity>,
}

impl Counts for FloatCounts {
    fn first(&mut self, n_buckets: usize, reader: &mut BitReader<'_>) -> bool {
        self.count = Quantity::first(reader);
        self.zero_count = Quantity::first(reader);
        self.sum = Quantity::first(reader);
        if n_buckets.saturating_mul(64) > reader.left() {
            return false;
        }
        self.buckets = (0..n_buckets).map(|_| Quantity::first(reader)).collect();
        true
    }

    fn next(&mut self, reader: &mut BitReader<'_>) {
        self.count.next(reader);
        self.zero_count.next(reader);
        self.sum.next(reader);
        if self.sum.bits == STALE_NAN_BITS {
            return;
        }
        for bucket in &mut self.buckets {
            bucket.next(reader);
        }
    }

    fn sum(&self) -> u64 {
        self.sum.bits
    }

    fn count(&self) -> f64 {
        self.count.value()
    }

    fn zero_count(&self) -> f64 {
        self.zero_count.value()
    }

    fn buckets(&self, _n_positive: usize, out: &mut Vec<f64>) {
        out.extend(self.buckets.iter().map(Quantity::value));
    }
}
