//! A series in memory.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tithon_chunks::{
    EncodedChunk, FloatHistogram, Histogram, HistogramError, STALE_NAN_BITS, TimeRange, Timestamp,
};
use tithon_index::Labels;

use crate::chunk::OpenChunk;

/// A series of the head.
#[derive(Debug)]
pub(crate) struct MemSeries {
    /// Its number in the log.
    pub(crate) id: u64,
    pub(crate) labels: Labels,
    state: Mutex<SeriesState>,
}

/// What changes of a series.
#[derive(Debug, Default)]
pub(crate) struct SeriesState {
    /// Complete chunks, ascending.
    full: Vec<EncodedChunk>,
    open: Option<OpenChunk>,
    /// The newest sample.
    pub(crate) last: Option<Last>,
    /// The newest sample that is on its way into the log.
    pub(crate) logging: Option<Last>,
    /// Whether the log has the labels of the series.
    pub(crate) is_logged: bool,
}

/// The newest sample of a series.
#[derive(Clone, Debug)]
pub(crate) struct Last {
    pub(crate) t: i64,
    pub(crate) value: Value,
}

/// A value of the head.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Float(f64),
    Histogram(Box<Histogram>),
    FloatHistogram(Box<FloatHistogram>),
}

impl Value {
    /// Whether values are the same to the bit.
    pub(crate) fn is_same(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
            (Value::Histogram(a), Value::Histogram(b)) => a.to_float().equals(&b.to_float()),
            (Value::FloatHistogram(a), Value::FloatHistogram(b)) => a.equals(b),
            _ => false,
        }
    }

    pub(crate) fn is_stale_float(&self) -> bool {
        matches!(self, Value::Float(value) if value.to_bits() == STALE_NAN_BITS)
    }

    /// The end of a series of this value's kind.
    pub(crate) fn stale_like(&self) -> Value {
        let sum = f64::from_bits(STALE_NAN_BITS);
        match self {
            Value::Float(_) => Value::Float(sum),
            Value::Histogram(_) => Value::Histogram(Box::new(Histogram { sum, ..Histogram::default() })),
            Value::FloatHistogram(_) => {
                Value::FloatHistogram(Box::new(FloatHistogram { sum, ..FloatHistogram::default() }))
            }
        }
    }
}

impl MemSeries {
    pub(crate) fn new(id: u64, labels: Labels, is_logged: bool) -> MemSeries {
        let state = SeriesState { is_logged, ..SeriesState::default() };
        MemSeries { id, labels, state: Mutex::new(state) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, SeriesState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SeriesState {
    /// Appends a sample behind the last one; gives the bytes of a chunk that became complete. A float that says that the series
    /// ends becomes a histogram behind a histogram.
    pub(crate) fn push(&mut self, t: i64, value: Value, range: i64) -> Result<usize, HistogramError> {
        let value = match &self.last {
            Some(last) if value.is_stale_float() => last.value.stale_like(),
            _ => value,
        };
        let complete = match &value {
            Value::Float(value) => OpenChunk::push_float(&mut self.open, t, *value, range),
            Value::Histogram(value) => OpenChunk::push_histogram(&mut self.open, t, value, range)?,
            Value::FloatHistogram(value) => OpenChunk::push_float_histogram(&mut self.open, t, value, range)?,
        };
        self.last = Some(Last { t, value });
        let Some(complete) = complete else { return Ok(0) };
        let chunk = complete.snapshot();
        let bytes = chunk.data.len();
        self.full.push(chunk);
        Ok(bytes)
    }

    /// Number of chunks.
    pub(crate) fn n_chunks(&self) -> usize {
        self.full.len() + usize::from(self.open.is_some())
    }

    /// The first time of all samples.
    pub(crate) fn min_time(&self) -> Option<i64> {
        let full = self.full.first().map(|chunk| chunk.min_time.0);
        full.or_else(|| self.open.as_ref().map(OpenChunk::min))
    }

    /// Whether a chunk shares a millisecond with the range.
    pub(crate) fn has_chunk_in(&self, range: TimeRange) -> bool {
        self.full.iter().any(|chunk| chunk.range().overlaps(range))
            || self.open.as_ref().is_some_and(|open| open_range(open).overlaps(range))
    }

    /// The chunks that share a millisecond with the range, ascending; the open one as it is now.
    pub(crate) fn chunks_in(&self, range: TimeRange) -> Vec<EncodedChunk> {
        let full = self.full.iter().filter(|chunk| chunk.range().overlaps(range)).cloned();
        let open = self.open.as_ref().filter(|open| open_range(open).overlaps(range));
        full.chain(open.map(OpenChunk::snapshot)).collect()
    }

    /// Drops chunks that end before `t`; gives how many chunks that were, and the bytes of the complete ones.
    pub(crate) fn drop_before(&mut self, t: i64) -> (usize, usize) {
        let before = self.n_chunks();
        let n = self.full.iter().take_while(|chunk| chunk.max_time.0 < t).count();
        let bytes = self.full.drain(..n).map(|chunk| chunk.data.len()).sum();
        self.full.shrink_to_fit();
        drop(self.open.take_if(|open| open.max() < t));
        (before - self.n_chunks(), bytes)
    }
}

fn open_range(open: &OpenChunk) -> TimeRange {
    TimeRange { min: Timestamp(open.min()), max: Timestamp(open.max()) }
}
