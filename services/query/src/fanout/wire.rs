//! Between StoreAPI's messages and what the fan-out works with.

use bytes::{BufMut, Bytes, BytesMut};
use tithon_chunks::{EncodedChunk, Encoding, TimeRange, Timestamp};
use tithon_engine::SelectedSeries;
use tithon_proto::thanos::{self, series_response::Result as Frame};
use tithon_proto::{
    ConvertError, aggr_chunk, chunk_from_wire, encoding_from_wire, labels_from_wire, labels_to_wire,
    matcher_to_wire, matchers_from_wire,
};

use super::{Aggregate, LabelsRequest, SeriesRequest, SeriesStream, SourceError};

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
        matchers: matchers_from_wire(&message.matchers)?,
        range: TimeRange::new(message.min_time, message.max_time),
        skip_chunks: message.skip_chunks,
        max_resolution_ms: message.max_resolution_window,
        aggregates: aggregates.collect(),
        without_labels: message.without_replica_labels,
        limit: usize::try_from(message.limit).unwrap_or(0),
    })
}

/// Series as frames: of up to `batch` series each, or of one where the caller asks for no batches.
pub(crate) fn frames(
    series: SeriesStream,
    aggregates: &[i32],
    batch: i64,
) -> Result<Vec<thanos::SeriesResponse>, SourceError> {
    let aggregates: Vec<thanos::Aggr> =
        aggregates.iter().filter_map(|a| thanos::Aggr::try_from(*a).ok()).collect();
    let batch = usize::try_from(batch).unwrap_or(0).max(1);
    let mut frames = Vec::new();
    let mut pending = Vec::new();
    let frame = |mut series: Vec<thanos::Series>| thanos::SeriesResponse {
        result: match (batch, series.pop()) {
            (1, Some(one)) => Some(Frame::Series(one)),
            (_, Some(last)) => {
                series.push(last);
                Some(Frame::Batch(thanos::SeriesBatch { series }))
            }
            (_, None) => None,
        },
    };
    for one in series {
        let SelectedSeries { labels, chunks } = one?;
        let chunks = chunks.iter().map(|chunk| aggr_chunk(chunk, &aggregates)).collect::<Result<_, _>>()?;
        pending.push(thanos::Series { labels: labels_to_wire(&labels), chunks });
        if pending.len() == batch {
            frames.push(frame(std::mem::take(&mut pending)));
        }
    }
    if !pending.is_empty() {
        frames.push(frame(pending));
    }
    Ok(frames)
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
