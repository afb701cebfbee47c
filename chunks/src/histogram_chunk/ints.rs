//! Decodes chunks of integer histograms.

use super::header::{HEADER_BYTES, Header};
use super::layout::Layout;
use crate::bits::BitReader;
use crate::histogram::absolute;
use crate::varbit::{read_int, read_uint};
use crate::xor_code::XorWindow;
use crate::{ChunkError, Encoding, FloatHistogram, Histogram, STALE_NAN_BITS};

/// A cursor over the samples of a chunk; the fields are those of the sample it stands on.
#[derive(Debug)]
pub(crate) struct IntDecoder<'a> {
    pub(crate) t: i64,
    pub(crate) start: i64,
    encoding: Encoding,
    header: Header,
    reader: BitReader<'a>,
    layout: Layout,
    /// Samples read.
    n_read: usize,
    t_delta: i64,
    count: u64,
    count_delta: i64,
    zero_count: u64,
    zero_count_delta: i64,
    sum: u64,
    sum_window: XorWindow,
    /// Positive, then negative buckets, each stored as the difference to the bucket before.
    buckets: Vec<i64>,
    /// Last change of each bucket.
    changes: Vec<i64>,
    n_positive: usize,
}

impl<'a> IntDecoder<'a> {
    /// A cursor before the first sample.
    pub(crate) fn new(encoding: Encoding, data: &'a [u8]) -> Result<IntDecoder<'a>, ChunkError> {
        Ok(IntDecoder {
            t: 0,
            start: 0,
            encoding,
            header: Header::parse(encoding, data)?,
            reader: BitReader::new(data, HEADER_BYTES),
            layout: Layout::default(),
            n_read: 0,
            t_delta: 0,
            count: 0,
            count_delta: 0,
            zero_count: 0,
            zero_count_delta: 0,
            sum: 0,
            sum_window: XorWindow::default(),
            buckets: Vec::new(),
            changes: Vec::new(),
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

    /// Whether the sample is the stale marker.
    pub(crate) fn is_stale(&self) -> bool {
        self.sum == STALE_NAN_BITS
    }

    /// The sample as it is stored; a stale one has nothing but its sum.
    pub(crate) fn histogram(&self) -> Result<Histogram, ChunkError> {
        let sum = f64::from_bits(self.sum);
        if self.is_stale() {
            return Ok(Histogram { sum, ..Histogram::default() });
        }
        let (positive, negative) = self.buckets.split_at(self.n_positive);
        let mut histogram = Histogram {
            counter_reset_hint: self.header.reset.hint(self.n_read - 1),
            schema: self.layout.schema,
            zero_threshold: self.layout.zero_threshold,
            zero_count: self.zero_count,
            count: self.count,
            sum,
            positive_spans: self.layout.positive_spans.clone(),
            negative_spans: self.layout.negative_spans.clone(),
            positive_buckets: positive.to_vec(),
            negative_buckets: negative.to_vec(),
            custom_values: self.layout.custom_values.clone(),
        };
        histogram.limit_schema()?;
        Ok(histogram)
    }

    /// The sample with float counts.
    pub(crate) fn float_histogram(&self) -> Result<FloatHistogram, ChunkError> {
        let sum = f64::from_bits(self.sum);
        if self.is_stale() {
            return Ok(FloatHistogram { sum, ..FloatHistogram::default() });
        }
        let (positive, negative) = self.buckets.split_at(self.n_positive);
        let mut histogram = FloatHistogram {
            counter_reset_hint: self.header.reset.hint(self.n_read - 1),
            schema: self.layout.schema,
            zero_threshold: self.layout.zero_threshold,
            zero_count: self.zero_count as f64,
            count: self.count as f64,
            sum,
            positive_spans: self.layout.positive_spans.clone(),
            negative_spans: self.layout.negative_spans.clone(),
            positive_buckets: absolute(positive),
            negative_buckets: absolute(negative),
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
        self.changes = vec![0; n_positive + n_negative];
        self.t = read_int(&mut self.reader);
        self.count = read_uint(&mut self.reader);
        self.zero_count = read_uint(&mut self.reader);
        self.sum = self.reader.read64();
        self.buckets = self.changes.iter().map(|_| read_int(&mut self.reader)).collect();
        Ok(())
    }

    fn next(&mut self) {
        let reader = &mut self.reader;
        self.t_delta = self.t_delta.wrapping_add(read_int(reader));
        self.t = self.t.wrapping_add(self.t_delta);
        self.count_delta = self.count_delta.wrapping_add(read_int(reader));
        self.count = self.count.wrapping_add(self.count_delta as u64);
        self.zero_count_delta = self.zero_count_delta.wrapping_add(read_int(reader));
        self.zero_count = self.zero_count.wrapping_add(self.zero_count_delta as u64);
        self.sum ^= self.sum_window.read(reader);
        if self.sum == STALE_NAN_BITS {
            return;
        }
        for (bucket, change) in self.buckets.iter_mut().zip(&mut self.changes) {
            *change = change.wrapping_add(read_int(reader));
            *bucket = bucket.wrapping_add(*change);
        }
    }
}
