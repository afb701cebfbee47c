//! From series to the frames of an answer.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use tithon_bucket::BucketBlock;
use tithon_engine::SeriesBatch;
use tithon_proto::thanos::Aggr;
use tithon_proto::{ConvertError, SeriesFrame, append_series};
use tithon_runtime::to_status;
use tonic::Status;

use crate::outlet::{Lease, SelectStream, Selected};
use crate::service::series_status;

/// The frames of an answer. Bytes leave only after the files that they were copied from were found whole.
pub(crate) fn frames(parts: SelectStream, framer: Framer) -> BoxStream<'static, Result<SeriesFrame, Status>> {
    let (lease, ready, broken) = (parts.lease(), VecDeque::new(), Vec::new());
    let answer = Answer { lease, parts, framer, ready, broken, ended: false };
    stream::unfold(answer, |mut answer| async { answer.next().await.map(|frame| (frame, answer)) }).boxed()
}

/// An answer on its way to the wire.
struct Answer {
    parts: SelectStream,
    lease: Lease,
    framer: Framer,
    ready: VecDeque<SeriesFrame>,
    /// Blocks whose chunks do not count any more.
    broken: Vec<Arc<BucketBlock>>,
    ended: bool,
}

impl Answer {
    async fn next(&mut self) -> Option<Result<SeriesFrame, Status>> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Some(Ok(frame));
            }
            if self.ended {
                return None;
            }
            let taken = match self.parts.next().await {
                Some(part) => part.map_err(series_status).and_then(|part| self.take(part)),
                None => {
                    self.ended = true;
                    self.ready.extend(self.framer.finish());
                    Ok(())
                }
            };
            if let Err(status) = taken {
                (self.ended, self.ready) = (true, VecDeque::new());
                return Some(Err(status));
            }
        }
    }

    /// Makes frames of a part, again and without the chunks of files that were cut meanwhile.
    fn take(&mut self, part: Selected) -> Result<(), Status> {
        let mut batch = match part {
            Selected::Series(batch) => batch,
            warning => return self.push(&warning),
        };
        loop {
            self.discard_broken(&mut batch)?;
            let mark = self.framer.mark();
            let part = Selected::Series(batch);
            let frames = self.framer.push(&part).map_err(convert_status)?;
            let Selected::Series(used) = part else { return Ok(()) };
            batch = used;
            // The bytes have been copied: they count when the files are still whole.
            let chunks = || batch.series.iter().flat_map(|series| &series.chunks);
            let broken = self.lease.broken(&self.broken);
            if !broken.iter().any(|(block, _)| chunks().any(|chunk| block.holds(&chunk.data))) {
                self.ready.extend(frames);
                return Ok(());
            }
            self.framer.return_to(mark);
        }
    }

    /// Takes out chunks of blocks with a file that was cut, and series of which nothing is left.
    fn discard_broken(&mut self, batch: &mut SeriesBatch) -> Result<(), Status> {
        for (block, error) in self.lease.broken(&self.broken) {
            if self.lease.aborts() {
                return Err(series_status(error));
            }
            tracing::warn!(kind = ?error.kind(), error = %error, "block left out of an answer");
            self.push(&Selected::Warning(error.to_string()))?;
            self.broken.push(block);
        }
        if !self.broken.is_empty() {
            let is_broken = |chunk: &[u8]| self.broken.iter().any(|block| block.holds(chunk));
            batch.series.retain_mut(|series| {
                let had_chunks = !series.chunks.is_empty();
                series.chunks.retain(|chunk| !is_broken(&chunk.data));
                !had_chunks || !series.chunks.is_empty()
            });
        }
        Ok(())
    }

    fn push(&mut self, part: &Selected) -> Result<(), Status> {
        self.ready.extend(self.framer.push(part).map_err(convert_status)?);
        Ok(())
    }
}

fn convert_status(error: ConvertError) -> Status {
    to_status(error.kind(), error.to_string())
}

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
    /// The first frame of several series since the last mark.
    first: Option<Bytes>,
}

/// Where a [`Framer`] stood.
pub(crate) struct Mark {
    pending: usize,
    n_pending: usize,
}

impl Framer {
    pub(crate) fn new(aggregates: Vec<Aggr>, batch: usize) -> Framer {
        Framer { aggregates, batch, pending: Vec::new(), n_pending: 0, last_len: 0, first: None }
    }

    /// The frames that `part` completes. A warning goes out behind the series before it.
    pub(crate) fn push(&mut self, part: &Selected) -> Result<Vec<SeriesFrame>, ConvertError> {
        match part {
            Selected::Warning(warning) => {
                let before = self.finish();
                Ok(before.into_iter().chain([SeriesFrame::warning(warning.clone())]).collect())
            }
            Selected::Series(batch) if self.batch < 2 => self.one_by_one(batch),
            Selected::Series(batch) => self.in_batches(batch),
        }
    }

    /// The last frame, if series are left.
    pub(crate) fn finish(&mut self) -> Option<SeriesFrame> {
        if self.n_pending == 0 {
            return None;
        }
        self.n_pending = 0;
        self.last_len = self.pending.len();
        let frame = Bytes::from(std::mem::take(&mut self.pending));
        self.first.get_or_insert_with(|| frame.clone());
        Some(SeriesFrame::batch(frame))
    }

    /// Remembers what waits.
    pub(crate) fn mark(&mut self) -> Mark {
        self.first = None;
        Mark { pending: self.pending.len(), n_pending: self.n_pending }
    }

    /// Forgets what was pushed since the mark was made, the last one.
    pub(crate) fn return_to(&mut self, mark: Mark) {
        if let Some(first) = self.first.take() {
            self.pending = first.to_vec();
        }
        self.pending.truncate(mark.pending);
        self.n_pending = mark.n_pending;
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

#[cfg(test)]
mod tests {
    use tithon_engine::SelectedSeries;
    use tithon_index::Labels;

    use super::*;

    fn batch(names: std::ops::Range<usize>) -> Selected {
        let series = names.map(|i| SelectedSeries {
            labels: Labels::from_pairs([("__name__", i.to_string())]),
            chunks: Vec::new(),
        });
        Selected::Series(SeriesBatch { series: series.collect() })
    }

    #[test]
    fn what_is_forgotten_leaves_no_trace() {
        for (size, forgotten) in [(0, 5), (3, 1), (3, 2), (3, 20), (100, 20)] {
            let frames = |forget: bool| {
                let mut framer = Framer::new(Vec::new(), size);
                let mut frames = framer.push(&batch(0..7)).unwrap();
                if forget {
                    let mark = framer.mark();
                    drop(framer.push(&batch(100..100 + forgotten)).unwrap());
                    framer.return_to(mark);
                }
                frames.extend(framer.push(&batch(7..16)).unwrap());
                frames.extend(framer.finish());
                format!("{frames:?}")
            };
            assert_eq!(frames(true), frames(false), "{size} {forgotten}");
        }
    }
}
