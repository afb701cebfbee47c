//! Decodes chunks of float histograms.

use super::header::{HEADER_BYTES, Header};
use super::layout::Layout;
use crate::bits::BitReader;
use crate::varbit::read_int;
use crate::xor_code::XorWindow;
use crate::{ChunkError, Encoding, FloatHistogram, STALE_NAN_BITS};

/// A float quantity and its window.
#[derive(Clone, Copy, Debug, Default)]
struct Quantity {
    bits: u64,
    window: XorWindow,
}

impl Quantity {
    #[inline(always)]
    fn next(&mut self, reader: &mut BitReader<'_>) {
        self.bits ^= self.window.read(reader);
    }

    fn value(&self) -> f64 {
        f64::from_bits(self.bits)
    }
}

/// A cursor over the samples of a chunk; the fields are those of the sample it stands on.
#[derive(Debug)]
pub(crate) struct FloatDecoder<'a> {
    pub(crate) t: i64,
    pub(crate) start: i64,
    encoding: Encoding,
    header: Header,
    reader: BitReader<'a>,
    layout: Layout,
    /// Samples read.
    n_read: usize,
    t_delta: i64,
    count: Quantity,
    zero_count: Quantity,
    sum: Quantity,
    /// Positive, then negative buckets.
    buckets: Vec<Quantity>,
    n_positive: usize,
}

impl<'a> FloatDecoder<'a> {
    /// A cursor before the first sample.
    pub(crate) fn new(encoding: Encoding, data: &'a [u8]) -> Result<FloatDecoder<'a>, ChunkError> {
        Ok(FloatDecoder {
            t: 0,
            start: 0,
            encoding,
            header: Header::parse(encoding, data)?,
            reader: BitReader::new(data, HEADER_BYTES),
            layout: Layout::default(),
            n_read: 0,
            t_delta: 0,
            count: Quantity::default(),
            zero_count: Quantity::default(),
            sum: Quantity::default(),
            buckets: Vec::new(),
            n_positive: 0,
        })
    }

    /// Moves to the next sample; `false` at the end.
    pub(crate) fn advance(&mut self) -> Result<bool, ChunkError> {
        if self.n_read == self.header.n_samples {
            return Ok(false);
        }
        let truncated = self.truncated();
        let previous_t = self.t;
        if self.n_read == 0 {
            self.first(&truncated)?;
            self.start = self.header.start.first(self.t, &mut self.reader).ok_or(truncated)?;
        } else {
            self.next();
            self.start = self.header.start.next(self.n_read, previous_t, &mut self.reader);
        }
        if self.reader.overrun() {
            return Err(self.truncated());
        }
        self.n_read += 1;
        Ok(true)
    }

    /// The sample; a stale one has nothing but its sum.
    pub(crate) fn float_histogram(&self) -> Result<FloatHistogram, ChunkError> {
        if self.sum.bits == STALE_NAN_BITS {
            return Ok(FloatHistogram { sum: self.sum.value(), ..FloatHistogram::default() });
        }
        let (positive, negative) = self.buckets.split_at(self.n_positive);
        let mut histogram = FloatHistogram {
            counter_reset_hint: self.header.reset.hint(self.n_read - 1),
            schema: self.layout.schema,
            zero_threshold: self.layout.zero_threshold,
            zero_count: self.zero_count.value(),
            count: self.count.value(),
            sum: self.sum.value(),
            positive_spans: self.layout.positive_spans.clone(),
            negative_spans: self.layout.negative_spans.clone(),
            positive_buckets: positive.iter().map(Quantity::value).collect(),
            negative_buckets: negative.iter().map(Quantity::value).collect(),
            custom_values: self.layout.custom_values.clone(),
        };
        histogram.limit_schema()?;
        Ok(histogram)
    }

    fn truncated(&self) -> ChunkError {
        ChunkError::TruncatedSamples {
            encoding: self.encoding,
            sample: self.n_read,
            expected: self.header.n_samples,
        }
    }

    fn first(&mut self, truncated: &ChunkError) -> Result<(), ChunkError> {
        self.layout = Layout::read(&mut self.reader, truncated)?;
        let (n_positive, n_negative) = self.layout.bucket_counts(&self.reader, truncated)?;
        self.n_positive = n_positive;
        self.t = read_int(&mut self.reader);
        let reader = &mut self.reader;
        for quantity in [&mut self.count, &mut self.zero_count, &mut self.sum] {
            quantity.bits = reader.read64();
        }
        if (n_positive + n_negative).saturating_mul(64) > reader.left() {
            return Err(truncated.clone());
        }
        self.buckets = (0..n_positive + n_negative)
            .map(|_| Quantity { bits: reader.read64(), window: XorWindow::default() })
            .collect();
        Ok(())
    }

    fn next(&mut self) {
        let reader = &mut self.reader;
        self.t_delta = self.t_delta.wrapping_add(read_int(reader));
        self.t = self.t.wrapping_add(self.t_delta);
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
}
