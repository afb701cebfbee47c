//! Encodes the parts of an answer into gRPC frames.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use tithon_chunks::{Aggregate, EncodedChunk};
use tithon_engine::{SelectedSeries, SeriesBatch};
use tithon_proto::{ConvertError, SeriesFrame, SeriesWriter};
use tonic::Status;

use crate::status::{convert_status, status};
use crate::{Lease, Mapped, SeriesPart, SeriesStream, StoreApiError};

pub(crate) type Frames = BoxStream<'static, Result<SeriesFrame, Status>>;

/// The frames of an answer. A frame is sent only if the files that its bytes were copied from are still whole. A file
/// that was cut costs a warning if partial answers are accepted, and otherwise fails the answer.
pub(crate) fn frames(parts: SeriesStream, partial: bool, framer: Framer) -> Frames {
    let (lease, pieces, ready) = (Lease::default(), VecDeque::new(), VecDeque::new());
    let (cut, broken, used) = (Vec::new(), Vec::new(), Used::default());
    let answer = Answer { parts, partial, lease, framer, pieces, ready, cut, broken, used, ended: false };
    stream::unfold(answer, |mut answer| async { answer.next().await.map(|frame| (frame, answer)) }).boxed()
}

/// An answer being encoded.
struct Answer {
    parts: SeriesStream,
    partial: bool,
    /// The mapped files that chunks may be slices of.
    lease: Lease,
    framer: Framer,
    /// The rest of the last batch.
    pieces: VecDeque<SeriesBatch>,
    ready: VecDeque<SeriesFrame>,
    /// Files that were cut, and whose warning was not sent yet.
    cut: Vec<(Arc<dyn Mapped>, StoreApiError)>,
    /// Files that were cut, and whose warning was sent; their chunks are dropped.
    broken: Vec<Arc<dyn Mapped>>,
    /// Sent chunks whose pages can be released.
    used: Used,
    ended: bool,
}

impl Answer {
    async fn next(&mut self) -> Option<Result<SeriesFrame, Status>> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Some(Ok(frame));
            }
            if self.ended {
                self.used.release(&self.lease);
                return None;
            }
            let taken = match self.pieces.pop_front() {
                Some(piece) => self.take_series(piece),
                None => match self.parts.next().await {
                    Some(part) => part.map_err(|e| status(&e)).and_then(|part| self.take(part)),
                    None => {
                        self.ended = true;
                        self.ready.extend(self.framer.finish());
                        Ok(())
                    }
                },
            };
            if let Err(status) = taken {
                (self.ended, self.ready) = (true, VecDeque::new());
                return Some(Err(status));
            }
        }
    }

    fn take(&mut self, part: SeriesPart) -> Result<(), Status> {
        match part {
            SeriesPart::Lease(lease) => self.lease.absorb(lease),
            SeriesPart::Warning(warning) => self.warn(warning),
            SeriesPart::Series(batch) => self.pieces = pieces(batch),
        }
        Ok(())
    }

    /// Encodes series. If a file was cut meanwhile, encodes them again without its chunks.
    fn take_series(&mut self, mut batch: SeriesBatch) -> Result<(), Status> {
        loop {
            self.discard_broken(&mut batch)?;
            let mark = self.framer.mark();
            let frames = self.framer.push(&batch).map_err(|e| convert_status(&e))?;
            // The bytes have been copied, so they are good if the files are still whole now.
            self.cut = self.lease.take_broken();
            let chunks = || batch.series.iter().flat_map(|series| &series.chunks);
            if !self.cut.iter().any(|(mapped, _)| chunks().any(|chunk| mapped.holds(&chunk.data))) {
                self.ready.extend(frames);
                chunks().for_each(|chunk| self.used.add(&chunk.data, &self.lease));
                return Ok(());
            }
            self.framer.return_to(mark);
        }
    }

    /// Removes the chunks of files that were cut, and series that have no chunks left. Each such file costs a warning,
    /// or the answer if no partial answers are accepted.
    fn discard_broken(&mut self, batch: &mut SeriesBatch) -> Result<(), Status> {
        self.cut.extend(self.lease.take_broken());
        for (mapped, error) in std::mem::take(&mut self.cut) {
            if !self.partial {
                return Err(status(&error));
            }
            tracing::warn!(kind = ?error.kind(), error = %error, "block left out of an answer");
            self.warn(error.to_string());
            self.broken.push(mapped);
        }
        if !self.broken.is_empty() {
            let is_broken = |chunk: &[u8]| self.broken.iter().any(|mapped| mapped.holds(chunk));
            batch.series.retain_mut(|series| {
                let had_chunks = !series.chunks.is_empty();
                series.chunks.retain(|chunk| !is_broken(&chunk.data));
                !had_chunks || !series.chunks.is_empty()
            });
        }
        Ok(())
    }

    /// Sends a warning after the series before it.
    fn warn(&mut self, warning: String) {
        self.ready.extend(self.framer.finish());
        self.ready.push_back(SeriesFrame::warning(warning));
    }
}

/// Size at which a frame is sent even if it could hold more series, and largest size of the chunks of a series before
/// it is sent in parts, each with its labels. This limits the memory of frames being sent. Thanos's stores of local
/// blocks use the same size.
const FRAME_BYTES: usize = 1 << 20;

/// Splits a batch so that long series are sent in parts.
fn pieces(batch: SeriesBatch) -> VecDeque<SeriesBatch> {
    let bytes = |chunks: &[EncodedChunk]| chunks.iter().map(|chunk| chunk.data.len()).sum::<usize>();
    if batch.series.iter().all(|series| bytes(&series.chunks) <= FRAME_BYTES) {
        return VecDeque::from([batch]);
    }
    let (mut pieces, mut piece, mut piece_bytes) = (VecDeque::new(), SeriesBatch::default(), 0);
    for series in batch.series {
        let mut chunks = series.chunks.into_iter().peekable();
        loop {
            let mut part = SelectedSeries { labels: series.labels.clone(), chunks: Vec::new() };
            while let Some(chunk) = chunks.next_if(|_| piece_bytes < FRAME_BYTES) {
                piece_bytes += chunk.data.len();
                part.chunks.push(chunk);
            }
            piece.series.push(part);
            if piece_bytes >= FRAME_BYTES {
                pieces.push_back(std::mem::take(&mut piece));
                piece_bytes = 0;
            }
            if chunks.peek().is_none() {
                break;
            }
        }
    }
    if !piece.series.is_empty() {
        pieces.push_back(piece);
    }
    pieces
}

/// Address range of sent chunks that lie close together in a file. When it is large, its pages are released; they stay
/// in the page cache, but no longer count as memory of the process.
#[derive(Debug, Default)]
struct Used(Range<usize>);

impl Used {
    /// Smallest range that is released.
    const RELEASED_BYTES: usize = 1 << 20;
    /// Largest gap between chunks whose pages are released together.
    const GAP_BYTES: usize = 64 << 10;

    fn add(&mut self, chunk: &[u8], lease: &Lease) {
        let range = chunk.as_ptr_range();
        let (start, end) = (range.start.addr(), range.end.addr());
        if start < self.0.end || start - self.0.end > Used::GAP_BYTES {
            self.release(lease);
            self.0 = start..end;
        } else {
            self.0.end = end;
        }
        if self.0.len() >= 2 * Used::RELEASED_BYTES {
            self.release(lease);
        }
    }

    fn release(&mut self, lease: &Lease) {
        if self.0.len() >= Used::RELEASED_BYTES {
            lease.release(&self.0);
        }
        self.0.start = self.0.end;
    }
}

/// Collects encoded series into frames of the size that a request asks for.
#[derive(Debug)]
pub(crate) struct Framer {
    aggregates: Vec<Aggregate>,
    writer: SeriesWriter,
    /// Series per frame; below 2 each series is a frame of its own.
    batch: usize,
    /// Encoded series of the frame that is not complete yet.
    pending: Vec<u8>,
    n_pending: usize,
    /// Bytes of the last frame of several series, a good guess for the size of the next.
    last_len: usize,
    /// The first frame of several series since the last mark.
    first: Option<Bytes>,
}

/// A position in a [`Framer`] to return to.
pub(crate) struct Mark {
    pending: usize,
    n_pending: usize,
}

impl Framer {
    pub(crate) fn new(aggregates: Vec<Aggregate>, batch: usize) -> Framer {
        Framer {
            aggregates,
            writer: SeriesWriter::default(),
            batch,
            pending: Vec::new(),
            n_pending: 0,
            last_len: 0,
            first: None,
        }
    }

    /// Adds series, and returns the frames that they complete.
    pub(crate) fn push(&mut self, batch: &SeriesBatch) -> Result<Vec<SeriesFrame>, ConvertError> {
        if self.batch < 2 { self.one_by_one(batch) } else { self.in_batches(batch) }
    }

    /// The last frame, if series are left for it.
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

    /// Marks the current position.
    pub(crate) fn mark(&mut self) -> Mark {
        self.first = None;
        Mark { pending: self.pending.len(), n_pending: self.n_pending }
    }

    /// Undoes all pushes since the mark, which must be the last one made.
    pub(crate) fn return_to(&mut self, mark: Mark) {
        if let Some(first) = self.first.take() {
            self.pending = first.to_vec();
        }
        self.pending.truncate(mark.pending);
        self.n_pending = mark.n_pending;
    }

    /// Encodes each series as a frame; all frames are slices of one buffer.
    fn one_by_one(&mut self, batch: &SeriesBatch) -> Result<Vec<SeriesFrame>, ConvertError> {
        let mut buffer = Vec::with_capacity(batch.series.len() * 512);
        let mut places: Vec<Range<usize>> = Vec::with_capacity(batch.series.len());
        for series in &batch.series {
            let start = buffer.len();
            self.writer.append(&mut buffer, &series.labels, &series.chunks, &self.aggregates)?;
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
            self.writer.append(&mut self.pending, &series.labels, &series.chunks, &self.aggregates)?;
            self.n_pending += 1;
            if self.n_pending == self.batch || self.pending.len() >= FRAME_BYTES {
                frames.extend(self.finish());
            }
        }
        Ok(frames)
    }
}

#[cfg(test)]
mod tests {
    use tithon_chunks::{Encoding, Timestamp};
    use tithon_index::Labels;

    use super::*;

    #[test]
    fn long_series_go_in_parts() {
        let series = |n_chunks: i64, bytes: usize| SelectedSeries {
            labels: Labels::from_pairs([("n", n_chunks.to_string())]),
            chunks: (0..n_chunks)
                .map(|i| EncodedChunk {
                    encoding: Encoding::Xor,
                    min_time: Timestamp(i),
                    max_time: Timestamp(i),
                    data: vec![0; bytes].into(),
                })
                .collect(),
        };
        let short = SeriesBatch { series: vec![series(3, 10), series(0, 0), series(1, FRAME_BYTES)] };
        assert_eq!(pieces(short.clone()), [short]);
        let long = SeriesBatch { series: vec![series(2, 9), series(50, FRAME_BYTES / 4), series(0, 0)] };
        let pieces = pieces(long.clone());
        assert_eq!(pieces.len(), 13);
        let mut joined: Vec<SelectedSeries> = Vec::new();
        for part in pieces.into_iter().flat_map(|piece| piece.series) {
            match joined.last_mut() {
                Some(last) if last.labels == part.labels => last.chunks.extend(part.chunks),
                _ => joined.push(part),
            }
        }
        assert_eq!(joined, long.series);
    }

    fn batch(names: std::ops::Range<usize>) -> SeriesBatch {
        let series = names.map(|i| SelectedSeries {
            labels: Labels::from_pairs([("__name__", i.to_string())]),
            chunks: Vec::new(),
        });
        SeriesBatch { series: series.collect() }
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
