//! From series to the frames of an answer.

use std::ops::Range;

use bytes::Bytes;
use tithon_engine::SeriesBatch;
use tithon_proto::thanos::Aggr;
use tithon_proto::{ConvertError, SeriesFrame, append_series};

use crate::Selected;

/// Collects series into frames of the size that a request asks for.
#[derive(Debug)]
pub(crate) struct Framer {
    aggregates: Vec<Aggr>,
    /// Series in a `batch` frame; below 2 each series is a frame of its own.
    batch: usize,
    /// Encoded series that wait for their frame to be full.
    pending: Vec<u8>,
    n_pending: usize,
    /// Bytes of the last frame of several series: the next will be about as big.
    last_len: usize,
}

impl Framer {
    pub(crate) fn new(aggregates: Vec<Aggr>, batch: usize) -> Framer {
        Framer { aggregates, batch, pending: Vec::new(), n_pending: 0, last_len: 0 }
    }

    /// The frames that `part` completes. A warning goes out behind the series before it.
    pub(crate) fn push(&mut self, part: Selected) -> Result<Vec<SeriesFrame>, ConvertError> {
        match part {
            Selected::Warning(warning) => {
                let before = self.finish();
                Ok(before.into_iter().chain([SeriesFrame::warning(warning)]).collect())
            }
            Selected::Series(batch) if self.batch < 2 => self.one_by_one(&batch),
            Selected::Series(batch) => self.in_batches(&batch),
        }
    }

    /// The last frame, if series are left.
    pub(crate) fn finish(&mut self) -> Option<SeriesFrame> {
        if self.n_pending == 0 {
            return None;
        }
        self.n_pending = 0;
        self.last_len = self.pending.len();
        Some(SeriesFrame::batch(std::mem::take(&mut self.pending).into()))
    }

    /// All frames share one buffer.
    fn one_by_one(&self, batch: &SeriesBatch) -> Result<Vec<SeriesFrame>, ConvertError> {
        let mut buffer = Vec::with_capacity(batch.series.len() * 512);
        let mut places: Vec<Range<usize>> = Vec::with_capacity(batch.series.len());
        for series in &batch.series {
            let start = buffer.len();
            append_series(&mut buffer, &series.labels, &series.chunks, &self.aggregates)?;
            places.push(start..buffer.len());
        }
        let buffer = Bytes::from(buffer);
        Ok(places.into_iter().map(|place| SeriesFrame::series(buffer.slice(place))).collect())
    }

    fn in_batches(&mut self, batch: &SeriesBatch) -> Result<Vec<SeriesFrame>, ConvertError> {
        let mut frames = Vec::with_capacity(batch.series.len() / self.batch + 1);
        for series in &batch.series {
            if self.n_pending == 0 {
                self.pending.reserve(self.last_len + self.last_len / 8);
            }
            append_series(&mut self.pending, &series.labels, &series.chunks, &self.aggregates)?;
            self.n_pending += 1;
            if self.n_pending == self.batch {
                frames.extend(self.finish());
            }
        }
        Ok(frames)
    }
}
