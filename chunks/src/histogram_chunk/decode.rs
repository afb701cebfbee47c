//! Decodes chunks of histograms: all that integer and float ones share. The counts differ, see [`Counts`].

use super::header::{HEADER_BYTES, Header};
use super::layout::Layout;
use crate::bits::BitReader;
use crate::varbit::read_int;
use crate::{
    ChunkError, CounterResetHint, Encoding, FloatHistogram, HistogramBatch, SCHEMA_MAX, STALE_NAN_BITS,
};

/// The counts of the sample that a decoder stands on.
pub(crate) trait Counts: Default {
    /// Reads the counts of a first sample; `false` when `n_buckets` cannot be there.
    fn first(&mut self, n_buckets: usize, reader: &mut BitReader<'_>) -> bool;
    /// Reads the counts of a further sample; a stale one has no buckets.
    fn next(&mut self, reader: &mut BitReader<'_>);
    /// Bits of the sum.
    fn sum(&self) -> u64;
    /// All observations.
    fn count(&self) -> f64;
    /// Observations in the zero bucket.
    fn zero_count(&self) -> f64;
    /// Appends the absolute counts of the buckets, positive ones first.
    fn buckets(&self, n_positive: usize, out: &mut Vec<f64>);
}

/// A cursor over the samples of a chunk; the fields are those of the sample it stands on.
#[derive(Debug)]
pub(crate) struct Decoder<'a, C> {
    pub(crate) t: i64,
    pub(crate) start: i64,
    pub(super) layout: Layout,
    pub(super) counts: C,
    pub(super) n_positive: usize,
    n_negative: usize,
    encoding: Encoding,
    header: Header,
    reader: BitReader<'a>,
    /// Samples read.
    n_read: usize,
    t_delta: i64,
}

impl<'a, C: Counts> Decoder<'a, C> {
    /// A cursor before the first sample.
    pub(crate) fn new(encoding: Encoding, data: &'a [u8]) -> Result<Decoder<'a, C>, ChunkError> {
        Ok(Decoder {
            t: 0,
            start: 0,
            layout: Layout::default(),
            counts: C::default(),
            n_positive: 0,
            n_negative: 0,
            encoding,
            header: Header::parse(encoding, data)?,
            reader: BitReader::new(data, HEADER_BYTES),
            n_read: 0,
            t_delta: 0,
        })
    }

    /// Moves to the next sample; `false` at the end.
    pub(crate) fn advance(&mut self) -> Result<bool, ChunkError> {
        if self.n_read == self.header.n_samples {
            return Ok(false);
        }
        if self.n_read == 0 {
            self.first()?;
        } else {
            let previous_t = self.t;
            self.t_delta = self.t_delta.wrapping_add(read_int(&mut self.reader));
            self.t = self.t.wrapping_add(self.t_delta);
            self.counts.next(&mut self.reader);
            self.start = self.header.start.next(self.n_read, previous_t, &mut self.reader);
        }
        if self.reader.overrun() {
            return Err(self.truncated());
        }
        self.n_read += 1;
        Ok(true)
    }

    /// Whether the sample is the stale marker, which has nothing but its sum.
    pub(crate) fn is_stale(&self) -> bool {
        self.counts.sum() == STALE_NAN_BITS
    }

    /// What is known about a reset before the sample.
    pub(super) fn hint(&self) -> CounterResetHint {
        self.header.reset.hint(self.n_read - 1)
    }

    /// The sample with float counts.
    pub(crate) fn float_histogram(&self) -> Result<FloatHistogram, ChunkError> {
        let sum = f64::from_bits(self.counts.sum());
        if self.is_stale() {
            return Ok(FloatHistogram { sum, ..FloatHistogram::default() });
        }
        let mut positive_buckets = Vec::with_capacity(self.n_positive + self.n_negative);
        self.counts.buckets(self.n_positive, &mut positive_buckets);
        let negative_buckets = positive_buckets.split_off(self.n_positive);
        let mut histogram = FloatHistogram {
            counter_reset_hint: self.hint(),
            schema: self.layout.schema,
            zero_threshold: self.layout.zero_threshold,
            zero_count: self.counts.zero_count(),
            count: self.counts.count(),
            sum,
            positive_spans: self.layout.positive_spans.clone(),
            negative_spans: self.layout.negative_spans.clone(),
            positive_buckets,
            negative_buckets,
            custom_values: self.layout.custom_values.clone(),
        };
        histogram.limit_schema()?;
        Ok(histogram)
    }

    /// Appends the sample to columns. `layout` is the index there of this chunk's layout once it is known.
    pub(crate) fn append_to(
        &self,
        layout: &mut Option<u32>,
        out: &mut HistogramBatch,
    ) -> Result<(), ChunkError> {
        if self.is_stale() || self.layout.schema > SCHEMA_MAX {
            out.push(self.t, self.start, &self.float_histogram()?);
            return Ok(());
        }
        let at = *layout.get_or_insert_with(|| out.layout_index(&self.layout));
        out.push_row(
            [self.t, self.start],
            self.hint(),
            [self.counts.count(), self.counts.zero_count(), f64::from_bits(self.counts.sum())],
            (at, self.n_positive),
            |buckets| self.counts.buckets(self.n_positive, buckets),
        );
        Ok(())
    }

    fn first(&mut self) -> Result<(), ChunkError> {
        let truncated = self.truncated();
        let reader = &mut self.reader;
        self.layout = Layout::read(reader, &truncated)?;
        (self.n_positive, self.n_negative) = self.layout.bucket_counts(reader, &truncated)?;
        self.t = read_int(reader);
        if !self.counts.first(self.n_positive + self.n_negative, reader) {
            return Err(truncated);
        }
        self.start = self.header.start.first(self.t, reader).ok_or(truncated)?;
        Ok(())
    }

    fn truncated(&self) -> ChunkError {
        ChunkError::TruncatedSamples {
            encoding: self.encoding,
            sample: self.n_read,
            expected: self.header.n_samples,
        }
    }
}
