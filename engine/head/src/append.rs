//! Appends samples: checked, logged, and then put into memory. Prometheus `tsdb/head_append.go`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tithon_chunks::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, HistogramError};
use tithon_index::Labels;

use crate::head::{Writer, window_start};
use crate::record::{RefSample, put_float_histograms, put_histograms, put_samples, put_series};
use crate::series::{Last, MemSeries, Value};
use crate::{Head, HeadError};

/// A sample to append.
#[derive(Clone, Copy, Debug)]
pub struct NewSample<'a> {
    /// Its series.
    pub labels: &'a Labels,
    /// Milliseconds since the Unix epoch.
    pub t: i64,
    /// What was measured.
    pub value: NewValue<'a>,
}

/// The value of a sample to append.
#[derive(Clone, Copy, Debug)]
pub enum NewValue<'a> {
    /// A float; the one that says that a series ends becomes a histogram behind histograms.
    Float(f64),
    /// An integer histogram.
    Histogram(&'a Histogram),
    /// A float histogram.
    FloatHistogram(&'a FloatHistogram),
}

/// Why a sample is not taken, in Prometheus's words.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The series has a newer sample.
    #[error("out of order sample")]
    OutOfOrder,
    /// The head has moved on.
    #[error("out of bounds")]
    OutOfBounds,
    /// The series has another value at that time.
    #[error("duplicate sample for timestamp")]
    Duplicate,
    /// There is no label.
    #[error("empty labelset: invalid sample")]
    NoLabels,
    /// The histogram makes no sense.
    #[error("{0}")]
    Histogram(#[from] HistogramError),
}

/// A sample that was not taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// Which of the samples that were handed in, from 0.
    pub index: usize,
    /// Why.
    pub reason: Refusal,
}

/// Samples of one kind with their series.
#[derive(Debug)]
struct Column<V> {
    samples: Vec<RefSample<V>>,
    series: Vec<Arc<MemSeries>>,
}

impl<V> Default for Column<V> {
    fn default() -> Column<V> {
        Column { samples: Vec::new(), series: Vec::new() }
    }
}

impl<V> Column<V> {
    fn push(&mut self, series: Arc<MemSeries>, t: i64, value: V) {
        self.samples.push(RefSample { series: series.id, t, value });
        self.series.push(series);
    }
}

/// Samples that are logged together. Kinds are logged one after the other: samples of one series are in the order of kinds.
#[derive(Debug, Default)]
struct Part {
    floats: Column<f64>,
    histograms: Column<Histogram>,
    float_histograms: Column<FloatHistogram>,
}

/// What was taken of one call.
#[derive(Debug, Default)]
struct Batch {
    new_series: Vec<Arc<MemSeries>>,
    parts: Vec<Part>,
}

impl Head {
    /// Appends samples, those of each series in order of time, and gives those that were refused, of which nothing is kept. When
    /// this comes back the others are in the log's file; when it fails none of them counts.
    pub fn append<'a>(
        &self,
        samples: impl IntoIterator<Item = NewSample<'a>>,
    ) -> Result<Vec<Refused>, HeadError> {
        let mut writer = self.writer();
        let (mut batch, mut refused, mut low) = (Batch::default(), Vec::new(), None);
        for (index, sample) in samples.into_iter().enumerate() {
            let low = *low.get_or_insert_with(|| self.low(&writer, sample.t));
            if let Err(reason) = self.take(&mut writer, &mut batch, low, sample) {
                self.count_refusal(&reason);
                refused.push(Refused { index, reason });
            }
        }
        if let Err(error) = writer.wal.log(batch.records().iter().map(Vec::as_slice)) {
            batch.all_series().for_each(|series| series.lock().logging = None);
            return Err(error.into());
        }
        self.apply(batch);
        Ok(refused)
    }

    /// The first time that is taken, when the first sample of all may be at `first`.
    fn low(&self, writer: &Writer, first: i64) -> i64 {
        let max = self.counts.max_time.load(Ordering::Relaxed);
        let newest = if max == i64::MIN { first } else { max };
        window_start(newest, self.options.range_ms).max(writer.min_valid)
    }

    fn take(
        &self,
        writer: &mut Writer,
        batch: &mut Batch,
        low: i64,
        sample: NewSample<'_>,
    ) -> Result<(), Refusal> {
        if sample.labels.is_empty() {
            return Err(Refusal::NoLabels);
        }
        if sample.t < low {
            return Err(Refusal::OutOfBounds);
        }
        let mut value = match sample.value {
            NewValue::Float(value) => Value::Float(value),
            NewValue::Histogram(histogram) => {
                histogram.validate()?;
                Value::Histogram(Box::new(histogram.clone()))
            }
            NewValue::FloatHistogram(histogram) => {
                histogram.validate()?;
                Value::FloatHistogram(Box::new(histogram.clone()))
            }
        };
        let series = self.series_of(writer, sample.labels);
        let mut state = series.lock();
        if let Some(logging) = &state.logging
            && value.is_stale_float()
        {
            value = logging.value.stale_like();
        }
        if let Some(last) = state.logging.as_ref().or(state.last.as_ref()) {
            if sample.t == last.t {
                return if value.is_same(&last.value) { Ok(()) } else { Err(Refusal::Duplicate) };
            }
            if sample.t < last.t {
                return Err(Refusal::OutOfOrder);
            }
        }
        if !state.is_logged && state.logging.is_none() {
            batch.new_series.push(Arc::clone(&series));
        }
        let before = state.logging.replace(Last { t: sample.t, value: value.clone() });
        drop(state);
        batch.push(series, sample.t, value, before.map(|before| rank(&before.value)));
        Ok(())
    }

    fn series_of(&self, writer: &mut Writer, labels: &Labels) -> Arc<MemSeries> {
        if let Some(series) = self.index().get(labels) {
            return Arc::clone(series);
        }
        // Nobody else makes series: the writer is locked.
        writer.last_id += 1;
        let series = Arc::new(MemSeries::new(writer.last_id, labels.clone(), false));
        self.counts.add_series(&series);
        self.counts.series_created.fetch_add(1, Ordering::Relaxed);
        self.index_mut().insert(Arc::clone(&series));
        series
    }

    fn count_refusal(&self, reason: &Refusal) {
        let count = match reason {
            Refusal::OutOfOrder => &self.counts.out_of_order,
            Refusal::OutOfBounds => &self.counts.out_of_bounds,
            Refusal::Duplicate => &self.counts.duplicates,
            Refusal::NoLabels | Refusal::Histogram(_) => return,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Puts what was logged into memory.
    fn apply(&self, batch: Batch) {
        for part in batch.parts {
            self.apply_column(part.floats, Value::Float);
            self.apply_column(part.histograms, |histogram| Value::Histogram(Box::new(histogram)));
            self.apply_column(part.float_histograms, |histogram| Value::FloatHistogram(Box::new(histogram)));
        }
    }

    fn apply_column<V>(&self, column: Column<V>, value: impl Fn(V) -> Value) {
        for (series, sample) in column.series.iter().zip(column.samples) {
            let mut state = series.lock();
            (state.logging, state.is_logged) = (None, true);
            let (value, before) = (value(sample.value), state.n_chunks());
            let count =
                if matches!(value, Value::Float(_)) { &self.counts.floats } else { &self.counts.histograms };
            // What does not fit a chunk was refused when it was validated.
            if let Ok(completed) = state.push(sample.t, value, self.options.range_ms) {
                count.fetch_add(1, Ordering::Relaxed);
                self.counts.add_sample(sample.t, before, state.n_chunks(), completed);
            }
        }
    }
}

/// The place of a kind among those that are logged together.
fn rank(value: &Value) -> u8 {
    match value {
        Value::Float(_) => 0,
        Value::Histogram(histogram) if histogram.schema != CUSTOM_BUCKETS_SCHEMA => 1,
        Value::Histogram(_) => 2,
        Value::FloatHistogram(histogram) if histogram.schema != CUSTOM_BUCKETS_SCHEMA => 3,
        Value::FloatHistogram(_) => 4,
    }
}

impl Batch {
    /// Takes a sample; `before` is the kind of the sample of the same series that was taken before.
    fn push(&mut self, series: Arc<MemSeries>, t: i64, value: Value, before: Option<u8>) {
        let goes_back = before.is_some_and(|before| before > rank(&value));
        let mut parts = std::mem::take(&mut self.parts);
        if parts.is_empty() || goes_back {
            parts.push(Part::default());
        }
        if let Some(part) = parts.last_mut() {
            match value {
                Value::Float(value) => part.floats.push(series, t, value),
                Value::Histogram(value) => part.histograms.push(series, t, *value),
                Value::FloatHistogram(value) => part.float_histograms.push(series, t, *value),
            }
        }
        self.parts = parts;
    }

    /// The records in the order that Prometheus writes them in.
    fn records(&self) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        if !self.new_series.is_empty() {
            records.push(put_series(self.new_series.iter().map(|series| (series.id, &series.labels))));
        }
        for part in &self.parts {
            if !part.floats.samples.is_empty() {
                records.push(put_samples(&part.floats.samples));
            }
            records.extend(put_histograms(&part.histograms.samples));
            records.extend(put_float_histograms(&part.float_histograms.samples));
        }
        records
    }

    fn all_series(&self) -> impl Iterator<Item = &Arc<MemSeries>> {
        self.parts.iter().flat_map(|part| {
            let histograms = part.histograms.series.iter().chain(&part.float_histograms.series);
            part.floats.series.iter().chain(histograms)
        })
    }
}
