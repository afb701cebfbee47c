//! From series to the frames of an answer.

use std::cmp::Ordering;

use tithon_engine::SelectedSeries;
use tithon_proto::thanos::series_response::Result as Arm;
use tithon_proto::thanos::{Aggr, AggrChunk, Chunk, Series, SeriesBatch, SeriesResponse};
use tithon_proto::{ConvertError, aggr_chunk, labels_to_wire};

use crate::Selected;

/// Collects series into frames of the size that a request asks for.
#[derive(Debug)]
pub(crate) struct Framer {
    aggregates: Vec<Aggr>,
    /// Series in a `batch` frame; below 2 each series is a frame of its own.
    batch: usize,
    pending: Vec<Series>,
}

impl Framer {
    pub(crate) fn new(aggregates: Vec<Aggr>, batch: usize) -> Framer {
        Framer { aggregates, batch, pending: Vec::new() }
    }

    /// The frames that `part` completes. A frame that is no series goes out behind the series before it.
    pub(crate) fn push(&mut self, part: Selected) -> Result<Vec<SeriesResponse>, ConvertError> {
        let mut frames = Vec::new();
        match part {
            Selected::Warning(warning) => {
                frames.extend(self.finish());
                frames.push(frame(Arm::Warning(warning)));
            }
            Selected::Series(batch) => {
                for series in batch.series {
                    let series = to_wire(series, &self.aggregates)?;
                    if self.batch < 2 {
                        frames.push(frame(Arm::Series(series)));
                        continue;
                    }
                    self.pending.push(series);
                    if self.pending.len() == self.batch {
                        frames.extend(self.finish());
                    }
                }
            }
        }
        Ok(frames)
    }

    /// The last frame, if series are left.
    pub(crate) fn finish(&mut self) -> Option<SeriesResponse> {
        let series = std::mem::take(&mut self.pending);
        (!series.is_empty()).then(|| frame(Arm::Batch(SeriesBatch { series })))
    }
}

fn frame(arm: Arm) -> SeriesResponse {
    SeriesResponse { result: Some(arm) }
}

fn to_wire(series: SelectedSeries, aggregates: &[Aggr]) -> Result<Series, ConvertError> {
    let chunks = series.chunks.iter().map(|chunk| aggr_chunk(chunk, aggregates));
    let mut chunks = chunks.collect::<Result<Vec<_>, _>>()?;
    let ascend =
        |pair: &[AggrChunk]| (pair[0].min_time, pair[0].max_time) < (pair[1].min_time, pair[1].max_time);
    if !chunks.windows(2).all(ascend) {
        chunks.sort_by(compare);
    }
    Ok(Series { labels: labels_to_wire(&series.labels), chunks })
}

/// Thanos's order of chunks: by time, then part by part: present before absent, the smaller type, the greater bytes.
fn compare(a: &AggrChunk, b: &AggrChunk) -> Ordering {
    let part = |x: &Option<Chunk>, y: &Option<Chunk>| match (x, y) {
        (Some(x), Some(y)) => x.r#type.cmp(&y.r#type).then_with(|| y.data.cmp(&x.data)),
        (x, y) => y.is_some().cmp(&x.is_some()),
    };
    (a.min_time, a.max_time)
        .cmp(&(b.min_time, b.max_time))
        .then_with(|| part(&a.raw, &b.raw))
        .then_with(|| part(&a.count, &b.count))
        .then_with(|| part(&a.sum, &b.sum))
        .then_with(|| part(&a.min, &b.min))
        .then_with(|| part(&a.max, &b.max))
        .then_with(|| part(&a.counter, &b.counter))
}
