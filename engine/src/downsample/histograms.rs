//! Native histograms by window: counts, sums (as gauges) and the counter. Histograms have no minimum and maximum.

use std::borrow::Cow;

use tithon_chunks::{
    Aggregate, AggregateChunk, ChunkError, CounterResetHint, EncodedChunk, Encoding, FloatHistogram,
    FloatHistogramEncoder, HistogramError, HistogramSamples, STALE_NAN_BITS, SampleBatch, Samples, TimeRange,
    Timestamp, XorEncoder, decode_samples,
};

use super::DownsampleError;
use super::columns::{self, Emitted};
use super::floats::{RAW_INTERVAL_MS, check_fit};
use super::window::{chunk_target, window_end, windows};

/// Aggregates raw histograms (none stale, in order of time) into chunks that begin and end at the ends of windows.
pub(super) fn from_raw(
    samples: &HistogramSamples,
    resolution: i64,
) -> Result<Vec<EncodedChunk>, DownsampleError> {
    let times = samples.timestamps.as_slice();
    let (Some(&first), Some(&last)) = (times.first(), times.last()) else { return Ok(Vec::new()) };
    let target = chunk_target(first, last, RAW_INTERVAL_MS, resolution, times.len());
    let batch = times.len() / target + 1;
    let (mut out, mut at) = (Vec::with_capacity(target), 0);
    while at < times.len() {
        let mut end = (at + batch).min(times.len());
        let window = window_end(times[end - 1], resolution);
        end += times[end..].iter().take_while(|t| **t <= window).count();
        let kept: Vec<usize> = (at..end).filter(|i| !samples.values[*i].sum.is_nan()).collect();
        if !kept.is_empty() {
            let times: Vec<i64> = kept.iter().map(|i| times[*i]).collect();
            let values: Vec<&FloatHistogram> = kept.iter().map(|i| &samples.values[*i]).collect();
            check_fit(&times, resolution)?;
            out.push(raw_batch(&times, &values, resolution)?);
        }
        at = end;
    }
    Ok(out)
}

fn raw_batch(
    times: &[i64],
    values: &[&FloatHistogram],
    resolution: i64,
) -> Result<EncodedChunk, DownsampleError> {
    let is_gauge = values[0].counter_reset_hint == CounterResetHint::Gauge;
    let mut aggregator = Aggregator::new(values);
    let (mut counter, mut sum, mut count) = (Column::default(), Column::default(), XorEncoder::new());
    let mut range = Emitted::default();
    for (end, samples) in windows(times, resolution) {
        aggregator.sum = None;
        let n = samples.len();
        for histogram in &values[samples] {
            aggregator.count(histogram)?;
            aggregator.sum_up(histogram)?;
        }
        range.add(end);
        if let Some(total) = &mut aggregator.counter {
            if is_gauge {
                total.counter_reset_hint = CounterResetHint::Gauge;
            }
            counter.push(end, total)?;
        }
        if let Some(total) = &aggregator.sum {
            sum.push(end, total)?;
        }
        count.push(end, n as f64);
    }
    Ok(chunk(count, sum, counter, range))
}

/// Aggregates finer chunks of histograms; `None` if they hold no sample.
pub(super) fn from_aggregates(
    chunks: &[AggregateChunk<'_>],
    resolution: i64,
) -> Result<Option<EncodedChunk>, DownsampleError> {
    let mut range = Emitted::default();
    let counters = expanded(chunks, Aggregate::Counter)?;
    let values: Vec<&FloatHistogram> = counters.values.iter().collect();
    check_fit(&counters.timestamps, resolution)?;
    let mut aggregator = Aggregator::new(&values);
    let mut counter = Column::default();
    for (end, samples) in windows(&counters.timestamps, resolution) {
        for histogram in &values[samples] {
            aggregator.count(histogram)?;
        }
        range.add(end);
        if let Some(total) = &aggregator.counter {
            counter.push(end, total)?;
        }
    }
    let sums = expanded(chunks, Aggregate::Sum)?;
    if sums.timestamps.is_empty() {
        return Ok(None);
    }
    let values: Vec<&FloatHistogram> = sums.values.iter().collect();
    check_fit(&sums.timestamps, resolution)?;
    let mut aggregator = Aggregator::new(&values);
    let mut sum = Column::default();
    for (end, samples) in windows(&sums.timestamps, resolution) {
        aggregator.sum = None;
        for histogram in &values[samples] {
            aggregator.sum_up(histogram)?;
        }
        range.add(end);
        if let Some(total) = &aggregator.sum {
            sum.push(end, total)?;
        }
    }
    let mut counts = SampleBatch::default();
    let parts: Vec<_> = chunks.iter().filter_map(|chunk| chunk.get(Aggregate::Count)).collect();
    columns::expand(&parts, &mut counts)?;
    check_fit(&counts.timestamps, resolution)?;
    let mut count = XorEncoder::new();
    for (end, samples) in windows(&counts.timestamps, resolution) {
        range.add(end);
        count.push(end, counts.values[samples].iter().fold(0.0, |sum, n| sum + n));
    }
    Ok(Some(chunk(count, sum, counter, range)))
}

fn expanded(chunks: &[AggregateChunk<'_>], aggregate: Aggregate) -> Result<HistogramSamples, ChunkError> {
    let mut samples = HistogramSamples::default();
    for chunk in chunks {
        if let Some((encoding, data)) = chunk.get(aggregate) {
            expand(encoding, data, &mut samples)?;
        }
    }
    Ok(samples)
}

/// Decodes a chunk for aggregating. Leaves out stale markers, and samples earlier than one before them in the chunk;
/// upstream puts time 0 before every chunk.
pub(super) fn expand(encoding: Encoding, data: &[u8], out: &mut HistogramSamples) -> Result<(), ChunkError> {
    let data = bytes::Bytes::copy_from_slice(data);
    let chunk = EncodedChunk { encoding, min_time: Timestamp::MIN, max_time: Timestamp::MAX, data };
    let mut decoded = Samples::default();
    decode_samples(&chunk, TimeRange::ALL, &mut decoded)?;
    let mut last = 0;
    for (t, histogram) in decoded.histograms.timestamps.into_iter().zip(decoded.histograms.values) {
        if histogram.sum.to_bits() != STALE_NAN_BITS && t >= last {
            out.timestamps.push(t);
            out.values.push(histogram);
            last = t;
        }
    }
    Ok(())
}

/// The sum of a window, and a counter that goes on from window to window. All have the coarsest schema of the batch,
/// because a chunk cannot change its schema.
struct Aggregator<'a> {
    schema: i32,
    sum: Option<FloatHistogram>,
    counter: Option<FloatHistogram>,
    previous: Option<Cow<'a, FloatHistogram>>,
    /// Room for the increase from one histogram to the next.
    delta: FloatHistogram,
}

impl<'a> Aggregator<'a> {
    fn new(values: &[&FloatHistogram]) -> Aggregator<'a> {
        let schema = values.iter().map(|h| h.schema).min().unwrap_or(0);
        Aggregator { schema, sum: None, counter: None, previous: None, delta: FloatHistogram::default() }
    }

    fn reduced(&self, histogram: &'a FloatHistogram) -> Result<Cow<'a, FloatHistogram>, HistogramError> {
        match histogram.schema == self.schema {
            true => Ok(Cow::Borrowed(histogram)),
            false => Ok(Cow::Owned(histogram.copy_to_schema(self.schema)?)),
        }
    }

    /// Adds the increase since the histogram before to the counter.
    fn count(&mut self, histogram: &'a FloatHistogram) -> Result<(), HistogramError> {
        let reduced = self.reduced(histogram)?;
        if let (Some(counter), Some(previous)) = (&mut self.counter, &self.previous) {
            // The histogram is compared before it is reduced: a finer schema than before counts as a reset.
            let is_gauge = reduced.counter_reset_hint == CounterResetHint::Gauge;
            if !is_gauge && histogram.detect_reset(previous) {
                counter.add(&reduced)?;
            } else {
                self.delta.assign(&reduced);
                self.delta.sub(previous)?;
                counter.add(&self.delta)?;
            }
        } else {
            self.counter = Some(reduced.clone().into_owned());
        }
        self.previous = Some(reduced);
        Ok(())
    }

    /// Adds a histogram to the sum of the window.
    fn sum_up(&mut self, histogram: &'a FloatHistogram) -> Result<(), HistogramError> {
        let reduced = self.reduced(histogram)?;
        let sum = match &mut self.sum {
            Some(sum) => {
                sum.add(&reduced)?;
                sum
            }
            none => none.insert(reduced.into_owned()),
        };
        // A sum may fall from window to window; only a gauge may fall inside a chunk.
        sum.counter_reset_hint = CounterResetHint::Gauge;
        Ok(())
    }
}

/// One sub-chunk of histograms. Upstream keeps only the last sub-chunk if the encoder begins a new one; a counter
/// without resets never makes it do so.
#[derive(Default)]
struct Column {
    encoder: Option<FloatHistogramEncoder>,
}

impl Column {
    fn push(&mut self, t: i64, histogram: &FloatHistogram) -> Result<(), HistogramError> {
        let Some(encoder) = &mut self.encoder else {
            // Upstream compares the first histogram with itself, and so writes the hint that there is no reset before
            // it.
            let mut itself = FloatHistogramEncoder::new(false);
            itself.push(None, 0, t, histogram)?;
            let mut encoder = FloatHistogramEncoder::new(false);
            encoder.push(Some(&itself), 0, t, histogram)?;
            self.encoder = Some(encoder);
            return Ok(());
        };
        if let Some(next) = encoder.push(None, 0, t, histogram)? {
            self.encoder = Some(next);
        }
        Ok(())
    }

    fn finish(self) -> (Encoding, Vec<u8>) {
        let encoder = self.encoder.unwrap_or_else(|| FloatHistogramEncoder::new(false));
        (Encoding::FloatHistogram, encoder.finish())
    }
}

fn chunk(count: XorEncoder, sum: Column, counter: Column, range: Emitted) -> EncodedChunk {
    let count = (Encoding::Xor, count.finish());
    columns::chunk(&[Some(count), Some(sum.finish()), None, None, Some(counter.finish())], range)
}
