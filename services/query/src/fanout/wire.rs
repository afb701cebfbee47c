//! Between StoreAPI's messages and what the fan-out works with.

use bytes::{BufMut, Bytes, BytesMut};
use tithon_chunks::{EncodedChunk, Encoding, TimeRange, Timestamp};
use tithon_engine::SelectedSeries;
use tithon_index::{Matcher, PatternBudget};
use tithon_proto::thanos::{self, series_response::Result as Frame};
use tithon_proto::{
    ConvertError, aggr_chunk, chunk_from_wire, encoding_from_wire, labels_from_wire, labels_to_wire,
    matcher_to_wire, matchers_from_wire, shard_from_wire, shard_to_wire,
};

use super::{Aggregate, LabelsRequest, SeriesRequest, SeriesStream, SourceError, bytes_of};

/// Series that we like to have in one frame.
const BATCH_SERIES: i64 = 64;

pub(crate) fn series_request(request: &SeriesRequest, partial: bool) -> thanos::SeriesRequest {
    thanos::SeriesRequest {
        min_time: request.range.min.0,
        max_time: request.range.max.0,
        matchers: request.matchers.iter().map(matcher_to_wire).collect(),
        max_resolution_window: request.max_resolution_ms,
        aggregates: request.aggregates.iter().map(|a| i32::from(to_wire(*a))).collect(),
        partial_response_disabled: !partial,
        partial_response_strategy: strategy(partial),
        skip_chunks: request.skip_chunks,
        without_replica_labels: request.without_labels.clone(),
        shard_info: request.shard.as_ref().map(shard_to_wire),
        limit: wire_limit(request.limit),
        response_batch_size: BATCH_SERIES,
        ..thanos::SeriesRequest::default()
    }
}

pub(crate) fn label_names_request(request: &LabelsRequest, partial: bool) -> thanos::LabelNamesRequest {
    thanos::LabelNamesRequest {
        partial_response_disabled: !partial,
        partial_response_strategy: strategy(partial),
        start: request.range.min.0,
        end: request.range.max.0,
        matchers: request.matchers.iter().map(matcher_to_wire).collect(),
        without_replica_labels: request.without_labels.clone(),
        limit: wire_limit(request.limit),
        ..thanos::LabelNamesRequest::default()
    }
}

pub(crate) fn label_values_request(
    request: &LabelsRequest,
    label: &str,
    partial: bool,
) -> thanos::LabelValuesRequest {
    thanos::LabelValuesRequest {
        label: Bytes::copy_from_slice(label.as_bytes()),
        partial_response_disabled: !partial,
        partial_response_strategy: strategy(partial),
        start: request.range.min.0,
        end: request.range.max.0,
        matchers: request.matchers.iter().map(matcher_to_wire).collect(),
        without_replica_labels: request.without_labels.clone(),
        limit: wire_limit(request.limit),
        ..thanos::LabelValuesRequest::default()
    }
}

fn wire_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn strategy(partial: bool) -> i32 {
    let strategy =
        if partial { thanos::PartialResponseStrategy::Warn } else { thanos::PartialResponseStrategy::Abort };
    strategy.into()
}

fn to_wire(aggregate: Aggregate) -> thanos::Aggr {
    match aggregate {
        Aggregate::Count => thanos::Aggr::Count,
        Aggregate::Sum => thanos::Aggr::Sum,
        Aggregate::Min => thanos::Aggr::Min,
        Aggregate::Max => thanos::Aggr::Max,
        Aggregate::Counter => thanos::Aggr::Counter,
    }
}

/// The matchers of a request, whose patterns are within the budget of one. Takes long for many patterns: to be called on
/// the CPU pool.
pub(crate) fn matchers(wire: &[thanos::LabelMatcher]) -> Result<Vec<Matcher>, ConvertError> {
    let matchers = matchers_from_wire(wire)?;
    let mut budget = PatternBudget::default();
    matchers.iter().try_for_each(|matcher| budget.add(matcher))?;
    Ok(matchers)
}

/// What a caller asks of us.
pub(crate) fn series_request_from(message: thanos::SeriesRequest) -> Result<SeriesRequest, ConvertError> {
    let aggregates = message.aggregates.iter().filter_map(|a| match thanos::Aggr::try_from(*a) {
        Ok(thanos::Aggr::Count) => Some(Aggregate::Count),
        Ok(thanos::Aggr::Sum) => Some(Aggregate::Sum),
        Ok(thanos::Aggr::Min) => Some(Aggregate::Min),
        Ok(thanos::Aggr::Max) => Some(Aggregate::Max),
        Ok(thanos::Aggr::Counter) => Some(Aggregate::Counter),
        Ok(thanos::Aggr::Raw) | Err(_) => None,
    });
    Ok(SeriesRequest {
        matchers: matchers(&message.matchers)?,
        range: TimeRange::new(message.min_time, message.max_time),
        skip_chunks: message.skip_chunks,
        max_resolution_ms: message.max_resolution_window,
        aggregates: aggregates.collect(),
        without_labels: message.without_replica_labels,
        shard: message.shard_info.and_then(shard_from_wire),
        limit: usize::try_from(message.limit).unwrap_or(0),
    })
}

/// Series on their way to be frames: of up to `batch` series each, or of one where the caller asks for no batches.
pub(crate) struct Frames {
    series: SeriesStream,
    aggregates: Vec<thanos::Aggr>,
    batch: usize,
}

/// So many series are made into frames at a time, or fewer when they hold so many bytes.
const PIECE_SERIES: usize = 512;
const PIECE_BYTES: u64 = 4 << 20;

impl Frames {
    pub(crate) fn new(series: SeriesStream, aggregates: &[i32], batch: i64) -> Frames {
        let aggregates = aggregates.iter().filter_map(|a| thanos::Aggr::try_from(*a).ok()).collect();
        Frames { series, aggregates, batch: usize::try_from(batch).unwrap_or(0).clamp(1, PIECE_SERIES) }
    }

    /// The next frames, and whether they are the last.
    pub(crate) fn next_piece(&mut self) -> Result<(Vec<thanos::SeriesResponse>, bool), SourceError> {
        let (mut frames, mut pending) = (Vec::new(), Vec::new());
        let (mut n_series, mut bytes) = (0, 0);
        while n_series < PIECE_SERIES && bytes < PIECE_BYTES {
            let Some(one) = self.series.next() else {
                frames.extend(frame(pending, self.batch));
                return Ok((frames, true));
            };
            let one = one?;
            n_series += 1;
            bytes += bytes_of(&one);
            let SelectedSeries { labels, chunks } = one;
            let chunks =
                chunks.iter().map(|chunk| aggr_chunk(chunk, &self.aggregates)).collect::<Result<_, _>>()?;
            pending.push(thanos::Series { labels: labels_to_wire(&labels), chunks });
            if pending.len() == self.batch {
                frames.extend(frame(std::mem::take(&mut pending), self.batch));
            }
        }
        frames.extend(frame(pending, self.batch));
        Ok((frames, false))
    }
}

/// A frame of some series; none of none.
fn frame(mut series: Vec<thanos::Series>, batch: usize) -> Option<thanos::SeriesResponse> {
    let last = series.pop()?;
    let result = match batch {
        1 => Frame::Series(last),
        _ => {
            series.push(last);
            Frame::Batch(thanos::SeriesBatch { series })
        }
    };
    Some(thanos::SeriesResponse { result: Some(result) })
}

/// A warning as a frame.
pub(crate) fn warning(text: String) -> thanos::SeriesResponse {
    thanos::SeriesResponse { result: Some(Frame::Warning(text)) }
}

/// Takes the content of a frame over.
pub(crate) fn accept(
    frame: thanos::SeriesResponse,
    series: &mut Vec<SelectedSeries>,
    warnings: &mut Vec<String>,
) -> Result<(), ConvertError> {
    match frame.result {
        Some(Frame::Series(one)) => series.push(selected(&one)?),
        Some(Frame::Batch(batch)) => {
            series.reserve(batch.series.len());
            for one in &batch.series {
                series.push(selected(one)?);
            }
        }
        Some(Frame::Warning(warning)) => warnings.push(warning),
        Some(Frame::Hints(_)) | None => {}
    }
    Ok(())
}

fn selected(wire: &thanos::Series) -> Result<SelectedSeries, ConvertError> {
    let mut chunks = wire.chunks.iter().map(chunk).collect::<Result<Vec<_>, _>>()?;
    chunks.sort_by_key(|c| (c.min_time, c.max_time));
    Ok(SelectedSeries { labels: labels_from_wire(&wire.labels), chunks })
}

/// A chunk of a message: raw as it is, aggregates put together as a downsampled block stores them.
fn chunk(wire: &thanos::AggrChunk) -> Result<EncodedChunk, ConvertError> {
    if let Some(raw) = &wire.raw {
        return chunk_from_wire(raw, wire.min_time, wire.max_time);
    }
    let parts = [&wire.count, &wire.sum, &wire.min, &wire.max, &wire.counter];
    let mut data =
        BytesMut::with_capacity(parts.iter().map(|p| p.as_ref().map_or(1, |c| c.data.len() + 11)).sum());
    for part in parts {
        let Some(part) = part else {
            data.put_u8(0);
            continue;
        };
        put_uvarint(&mut data, part.data.len());
        data.put_u8(encoding_from_wire(part.r#type)?.byte());
        data.put_slice(&part.data);
    }
    Ok(EncodedChunk {
        encoding: Encoding::Aggregate,
        min_time: Timestamp(wire.min_time),
        max_time: Timestamp(wire.max_time),
        data: data.freeze(),
    })
}

fn put_uvarint(out: &mut BytesMut, mut n: usize) {
    while n >= 0x80 {
        out.put_u8(n as u8 | 0x80);
        n >>= 7;
    }
    out.put_u8(n as u8);
}

/// Takes labels away that a server was asked to leave out but did not.
pub(crate) fn strip_labels(series: &mut [SelectedSeries], names: &[String]) {
    if names.is_empty() {
        return;
    }
    for one in series {
        if names.iter().any(|name| one.labels.get(name).is_some()) {
            one.labels =
                one.labels.to_builder().retain(|n| !names.iter().any(|name| name.as_bytes() == n)).finish();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregates_are_put_together() {
        let part = |r#type, data: &'static [u8]| {
            Some(thanos::Chunk { r#type, data: Bytes::from_static(data), hash: 0 })
        };
        let wire = thanos::AggrChunk {
            min_time: 1,
            max_time: 2,
            count: part(0, b"ab"),
            counter: part(2, b"c"),
            ..thanos::AggrChunk::default()
        };
        let chunk = chunk(&wire).expect("known encodings");
        assert_eq!(&chunk.data[..], b"\x02\x01ab\x00\x00\x00\x01\x03c");
        assert_eq!(chunk.encoding, Encoding::Aggregate);
    }
}
