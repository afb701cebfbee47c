//! Native histograms by window: counts, sums (as gauges) and the counter. Histograms have no minimum and maximum.

use tithon_chunks::{
    Aggregate, AggregateChunk, ChunkError, CounterResetHint, EncodedChunk, Encoding, FloatHistogram,
    FloatHistogramEncoder, HistogramBatch, HistogramError, HistogramRow, STALE_NAN_BITS, SampleBatch,
    TimeRange, XorEncoder, decode_histograms,
};

use super::DownsampleError;
use super::columns::{self, Emitted};
use super::floats::{RAW_INTERVAL_MS, check_fit};
use super::window::{chunk_target, window_end, windows};

/// Aggregates raw histograms (none stale, in order of time) into chunks that begin and end at the ends of windows.
pub(super) fn from_raw(samples: &Histograms, resolution: i64) -> Result<Vec<EncodedChunk>, DownsampleError> {
    let times = samples.times.as_slice();
    let (Some(&first), Some(&last)) = (times.first(), times.last()) else { return Ok(Vec::new()) };
    let target = chunk_target(first, last, RAW_INTERVAL_MS, resolution, times.len());
    let batch = times.len() / target + 1;
    let (mut out, mut at) = (Vec::with_capacity(target), 0);
    while at < times.len() {
        let mut end = (at + batch).min(times.len());
        let window = window_end(times[end - 1], resolution);
        end += times[end..].iter().take_while(|t| **t <= window).count();
        let kept = (at..end).filter(|i| !samples.row(*i).sum.is_nan());
        let (times, rows): (Vec<i64>, Vec<HistogramRow<'_>>) =
            kept.map(|i| (times[i], samples.row(i))).unzip();
        if !rows.is_empty() {
            check_fit(&times, resolution)?;
            out.push(raw_batch(&times, &rows, resolution)?);
        }
        at = end;
    }
    Ok(out)
}

fn raw_batch(
    times: &[i64],
    rows: &[HistogramRow<'_>],
    resolution: i64,
) -> Result<EncodedChunk, DownsampleError> {
    let is_gauge = rows[0].counter_reset_hint == CounterResetHint::Gauge;
    let mut aggregator = Aggregator::new(rows.iter().map(|row| row.layout.schema));
    let (mut counter, mut sum, mut count) = (Column::default(), Column::default(), XorEncoder::new());
    let mut range = Emitted::default();
    for (end, samples) in windows(times, resolution) {
        aggregator.has_sum = false;
        let n = samples.len();
        for row in &rows[samples] {
            aggregator.sum_up(row)?;
            aggregator.count(row)?;
        }
        range.add(end);
        if is_gauge {
            aggregator.counter.counter_reset_hint = CounterResetHint::Gauge;
        }
        counter.push(end, &aggregator.counter)?;
        sum.push(end, &aggregator.sum)?;
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
    check_fit(&counters.times, resolution)?;
    let mut aggregator = Aggregator::new(counters.schemas());
    let mut counter = Column::default();
    for (end, mut samples) in windows(&counters.times, resolution) {
        samples.try_for_each(|i| aggregator.count(&counters.row(i)))?;
        range.add(end);
        counter.push(end, &aggregator.counter)?;
    }
    let sums = expanded(chunks, Aggregate::Sum)?;
    if sums.times.is_empty() {
        return Ok(None);
    }
    check_fit(&sums.times, resolution)?;
    let mut aggregator = Aggregator::new(sums.schemas());
    let mut sum = Column::default();
    for (end, mut samples) in windows(&sums.times, resolution) {
        aggregator.has_sum = false;
        samples.try_for_each(|i| aggregator.sum_up(&sums.row(i)))?;
        range.add(end);
        sum.push(end, &aggregator.sum)?;
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

fn expanded(chunks: &[AggregateChunk<'_>], aggregate: Aggregate) -> Result<Histograms, ChunkError> {
    let mut samples = Histograms::default();
    for chunk in chunks {
        if let Some((encoding, data)) = chunk.get(aggregate) {
            samples.expand(encoding, data)?;
        }
    }
    Ok(samples)
}

/// Decoded histograms to aggregate.
#[derive(Default)]
pub(super) struct Histograms {
    decoded: HistogramBatch,
    /// Which of them are kept, and their times.
    kept: Vec<usize>,
    times: Vec<i64>,
}

impl Histograms {
    /// Appends the samples of a chunk. Leaves out stale markers, and samples earlier than one before them in the chunk;
    /// upstream puts time 0 before every chunk.
    pub(super) fn expand(&mut self, encoding: Encoding, data: &[u8]) -> Result<(), ChunkError> {
        let start = self.decoded.len();
        decode_histograms(encoding, data, TimeRange::ALL, &mut self.decoded)?;
        let mut last = 0;
        for i in start..self.decoded.len() {
            let t = self.decoded.timestamps()[i];
            if self.decoded.sums()[i].to_bits() != STALE_NAN_BITS && t >= last {
                self.times.push(t);
                self.kept.push(i);
                last = t;
            }
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn push(&mut self, t: i64, histogram: &FloatHistogram) {
        self.kept.push(self.decoded.len());
        self.times.push(t);
        self.decoded.push(t, 0, histogram);
    }

    fn row(&self, i: usize) -> HistogramRow<'_> {
        self.decoded.row(self.kept[i])
    }

    fn schemas(&self) -> impl Iterator<Item = i32> {
        self.kept.iter().map(|i| self.decoded.row(*i).layout.schema)
    }
}

/// The sum of a window, and a counter that goes on from window to window. All have the coarsest schema of the batch,
/// because a chunk cannot change its schema.
#[derive(Default)]
struct Aggregator {
    schema: i32,
    has_sum: bool,
    sum: FloatHistogram,
    has_counter: bool,
    counter: FloatHistogram,
    /// The histogram that is added, the one before it, and the increase between them.
    now: FloatHistogram,
    previous: FloatHistogram,
    delta: FloatHistogram,
}

impl Aggregator {
    /// For histograms of these schemas.
    fn new(schemas: impl Iterator<Item = i32>) -> Aggregator {
        Aggregator { schema: schemas.min().unwrap_or(0), ..Aggregator::default() }
    }

    /// Reduces the histogram that is added to the schema of the batch.
    fn reduce(&mut self) -> Result<(), HistogramError> {
        if self.now.schema != self.schema {
            self.now = self.now.copy_to_schema(self.schema)?;
        }
        Ok(())
    }

    /// Adds the increase since the histogram before to the counter.
    fn count(&mut self, row: &HistogramRow<'_>) -> Result<(), HistogramError> {
        row.assign_to(&mut self.now);
        if self.has_counter {
            // The histogram is compared before it is reduced: a finer schema than before counts as a reset. A reduced
            // gauge is none any more.
            let may_fall =
                self.now.schema == self.schema && row.counter_reset_hint == CounterResetHint::Gauge;
            let is_reset = !may_fall && self.now.detect_reset(&self.previous);
            self.reduce()?;
            if is_reset {
                self.counter.add(&self.now)?;
            } else {
                self.delta.assign(&self.now);
                self.delta.sub(&self.previous)?;
                self.counter.add(&self.delta)?;
            }
        } else {
            self.reduce()?;
            self.counter.assign(&self.now);
            self.has_counter = true;
        }
        std::mem::swap(&mut self.now, &mut self.previous);
        Ok(())
    }

    /// Adds a histogram to the sum of the window.
    fn sum_up(&mut self, row: &HistogramRow<'_>) -> Result<(), HistogramError> {
        row.assign_to(&mut self.now);
        self.reduce()?;
        if self.has_sum {
            self.sum.add(&self.now)?;
        } else {
            self.sum.assign(&self.now);
            self.has_sum = true;
        }
        // A sum may fall from window to window; only a gauge may fall inside a chunk.
        self.sum.counter_reset_hint = CounterResetHint::Gauge;
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
