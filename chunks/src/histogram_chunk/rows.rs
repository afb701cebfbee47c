//! Writing one histogram after another: integers as changes of changes, floats as XORs.

use super::layout::Layout;
use super::{FloatDecoder, IntDecoder};
use crate::bits::BitWriter;
use crate::histogram::{check_spans, deltas_of};
use crate::varbit::{write_int, write_uint};
use crate::xor_code::XorWriter;
use crate::{
    ChunkError, CounterResetHint, Encoding, FloatHistogram, Histogram, HistogramError, STALE_NAN_BITS,
};

/// A histogram apart from its layout, with absolute bucket counts.
#[derive(Clone, Debug)]
pub struct Row<C, B> {
    pub(crate) hint: CounterResetHint,
    pub(crate) count: C,
    pub(crate) zero_count: C,
    /// Bits of the sum.
    pub(crate) sum: u64,
    pub(crate) positive: Vec<B>,
    pub(crate) negative: Vec<B>,
}

impl<C, B> Row<C, B> {
    pub(crate) fn is_stale(&self) -> bool {
        self.sum == STALE_NAN_BITS
    }
}

/// A sample read back from a chunk: time, start timestamp, layout, counts.
pub(super) type Read<K> = (i64, i64, Layout, Row<<K as Kind>::Count, <K as Kind>::Bucket>);

/// Layout and counts of one histogram.
pub(super) type Split<K> = (Layout, Row<<K as Kind>::Count, <K as Kind>::Bucket>);

/// The two kinds of histogram chunks: integer and float.
pub trait Kind: Clone + std::fmt::Debug + Default {
    /// What is appended.
    type Histogram;
    /// Type of the counts.
    type Count: Copy + Default + PartialOrd + std::fmt::Debug;
    /// Type of the absolute bucket counts.
    type Bucket: Copy + Default + PartialOrd + std::fmt::Debug;
    /// Encoding without and with start timestamps.
    const ENCODINGS: [Encoding; 2];
    /// Whether a new chunk's header tells "certainly no reset" and "unknown" apart when its predecessor was cut.
    const KEEPS_STATUS: bool;

    /// Layout and counts of a histogram; an error when its spans and buckets do not agree.
    fn split(histogram: &Self::Histogram) -> Result<Split<Self>, HistogramError>;
    /// Writes the first row of a chunk, time and layout being written.
    fn write_first(&mut self, row: &Row<Self::Count, Self::Bucket>, out: &mut BitWriter);
    /// Writes a further row of the same layout, time being written.
    fn write_next(&mut self, row: &Row<Self::Count, Self::Bucket>, out: &mut BitWriter);
    /// Reads all rows of a chunk back.
    fn read(encoding: Encoding, data: &[u8]) -> Result<Vec<Read<Self>>, ChunkError>;
}

/// Writer of integer histograms.
#[derive(Clone, Debug, Default)]
pub struct Ints {
    count: u64,
    count_delta: i64,
    zero_count: u64,
    zero_count_delta: i64,
    sum: u64,
    window: XorWriter,
    /// Per bucket: the difference to the bucket before, and its last change.
    buckets: Vec<(i64, i64)>,
}

impl Kind for Ints {
    type Histogram = Histogram;
    type Count = u64;
    type Bucket = i64;
    const ENCODINGS: [Encoding; 2] = [Encoding::Histogram, Encoding::HistogramSt];
    const KEEPS_STATUS: bool = true;

    fn split(h: &Histogram) -> Result<(Layout, Row<u64, i64>), HistogramError> {
        check_spans(&h.positive_spans, h.positive_buckets.len())?;
        check_spans(&h.negative_spans, h.negative_buckets.len())?;
        let row = Row {
            hint: h.counter_reset_hint,
            count: h.count,
            zero_count: h.zero_count,
            sum: h.sum.to_bits(),
            positive: absolute(&h.positive_buckets),
            negative: absolute(&h.negative_buckets),
        };
        let layout = Layout {
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            positive_spans: h.positive_spans.clone(),
            negative_spans: h.negative_spans.clone(),
            custom_values: h.custom_values.clone(),
        };
        Ok((layout, row))
    }

    fn write_first(&mut self, row: &Row<u64, i64>, out: &mut BitWriter) {
        (self.count, self.zero_count, self.sum) = (row.count, row.zero_count, row.sum);
        write_uint(row.count, out);
        write_uint(row.zero_count, out);
        out.write(row.sum, 64);
        self.buckets = bucket_deltas(row).into_iter().map(|delta| (delta, 0)).collect();
        for (delta, _) in &self.buckets {
            write_int(*delta, out);
        }
    }

    fn write_next(&mut self, row: &Row<u64, i64>, out: &mut BitWriter) {
        let stale = row.is_stale();
        let count_delta = row.count.wrapping_sub(self.count) as i64;
        let zero_count_delta = row.zero_count.wrapping_sub(self.zero_count) as i64;
        write_int(if stale { 0 } else { count_delta.wrapping_sub(self.count_delta) }, out);
        write_int(if stale { 0 } else { zero_count_delta.wrapping_sub(self.zero_count_delta) }, out);
        (self.count_delta, self.zero_count_delta) = (count_delta, zero_count_delta);
        (self.count, self.zero_count) = (row.count, row.zero_count);
        self.window.write(row.sum ^ self.sum, out);
        self.sum = row.sum;
        if stale {
            return;
        }
        for ((last, change), delta) in self.buckets.iter_mut().zip(bucket_deltas(row)) {
            let new_change = delta.wrapping_sub(*last);
            write_int(new_change.wrapping_sub(*change), out);
            (*last, *change) = (delta, new_change);
        }
    }

    fn read(encoding: Encoding, data: &[u8]) -> Result<Vec<Read<Ints>>, ChunkError> {
        let mut decoder = IntDecoder::new(encoding, data)?;
        let mut out = Vec::new();
        while decoder.advance()? {
            let (layout, row) = Ints::split(&decoder.histogram()?)?;
            out.push((decoder.t, decoder.start, layout, row));
        }
        Ok(out)
    }
}

/// Writer of float histograms: count, zero count, sum, then buckets, each with its window.
#[derive(Clone, Debug, Default)]
pub struct Floats {
    quantities: Vec<(u64, XorWriter)>,
}

impl Kind for Floats {
    type Histogram = FloatHistogram;
    type Count = f64;
    type Bucket = f64;
    const ENCODINGS: [Encoding; 2] = [Encoding::FloatHistogram, Encoding::FloatHistogramSt];
    const KEEPS_STATUS: bool = false;

    fn split(h: &FloatHistogram) -> Result<(Layout, Row<f64, f64>), HistogramError> {
        check_spans(&h.positive_spans, h.positive_buckets.len())?;
        check_spans(&h.negative_spans, h.negative_buckets.len())?;
        let row = Row {
            hint: h.counter_reset_hint,
            count: h.count,
            zero_count: h.zero_count,
            sum: h.sum.to_bits(),
            positive: h.positive_buckets.clone(),
            negative: h.negative_buckets.clone(),
        };
        Ok((Layout::of(h), row))
    }

    fn write_first(&mut self, row: &Row<f64, f64>, out: &mut BitWriter) {
        self.quantities = quantities(row).map(|bits| (bits, XorWriter::default())).collect();
        for (bits, _) in &self.quantities {
            out.write(*bits, 64);
        }
    }

    fn write_next(&mut self, row: &Row<f64, f64>, out: &mut BitWriter) {
        for ((last, window), bits) in self.quantities.iter_mut().zip(quantities(row)) {
            window.write(bits ^ *last, out);
            *last = bits;
        }
    }

    fn read(encoding: Encoding, data: &[u8]) -> Result<Vec<Read<Floats>>, ChunkError> {
        let mut decoder = FloatDecoder::new(encoding, data)?;
        let mut out = Vec::new();
        while decoder.advance()? {
            let (layout, row) = Floats::split(&decoder.float_histogram()?)?;
            out.push((decoder.t, decoder.start, layout, row));
        }
        Ok(out)
    }
}

fn absolute(deltas: &[i64]) -> Vec<i64> {
    let mut count = 0i64;
    deltas
        .iter()
        .map(|delta| {
            count = count.wrapping_add(*delta);
            count
        })
        .collect()
}

fn bucket_deltas(row: &Row<u64, i64>) -> Vec<i64> {
    let mut out = deltas_of(row.positive.iter().copied());
    out.extend(deltas_of(row.negative.iter().copied()));
    out
}

fn quantities(row: &Row<f64, f64>) -> impl Iterator<Item = u64> {
    let head = [row.count.to_bits(), row.zero_count.to_bits(), row.sum];
    head.into_iter().chain(row.positive.iter().chain(&row.negative).map(|count| count.to_bits()))
}
