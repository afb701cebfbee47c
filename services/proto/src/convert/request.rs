//! Requests on the wire and in our own types, both ways.

use bytes::Bytes;
use prost_types::Any;
use tithon_chunks::{Aggregate, TimeRange};
use tithon_engine::{LabelsRequest, SeriesRequest};
use tithon_index::Matcher;

use super::matcher::matcher_to_wire;
use super::shard::{shard_from_wire, shard_to_wire};
use super::{Hint, hint_from_any, matchers_from_wire};
use crate::hintspb::{LabelNamesRequestHints, LabelValuesRequestHints, SeriesRequestHints};
use crate::thanos::{self, Aggr, PartialResponseStrategy};
use crate::{ConvertError, thanos::LabelMatcher};

/// The number of series in a frame that is asked for, as Thanos's querier does.
const FRAME_SERIES: i64 = 64;

/// Where Thanos's store gateway says that something in a request is wrong.
const SERIES_HINTS: &str = "unmarshal series request hints: ";
const LABEL_NAMES_HINTS: &str = "unmarshal label names request hints: ";
const LABEL_VALUES_HINTS: &str = "unmarshal label values request hints: ";
const LABEL_MATCHERS: &str = "translate request labels matchers: ";
const BLOCK_MATCHERS: &str = "translate request hints labels matchers: ";

/// A request for series. Compiles patterns, which takes long where there are many.
///
/// Fails on a negative resolution, on hints that are not those of a store gateway, and on matchers as
/// [`matchers_from_wire`] does. Aggregates that are not known select nothing, as upstream has it.
pub fn series_request_from_wire(
    wire: thanos::SeriesRequest,
    tenant: String,
) -> Result<SeriesRequest, ConvertError> {
    if wire.max_resolution_window < 0 {
        let (field, value) = ("max_resolution_window", wire.max_resolution_window);
        return Err(ConvertError::Negative { field, value });
    }
    let hints: SeriesRequestHints = hints(SERIES_HINTS, wire.hints)?;
    Ok(SeriesRequest {
        matchers: matchers_from_wire(&wire.matchers)?,
        range: TimeRange::new(wire.min_time, wire.max_time),
        max_resolution_ms: wire.max_resolution_window,
        aggregates: wire.aggregates.iter().filter_map(|number| aggregate_from_wire(*number)).collect(),
        skip_chunks: wire.skip_chunks,
        without_labels: wire.without_replica_labels,
        shard: wire.shard_info.and_then(shard_from_wire),
        limit: limit_from_wire(wire.limit),
        block_matchers: matchers_at(BLOCK_MATCHERS, &hints.block_matchers)?,
        partial_response: is_partial(wire.partial_response_disabled, wire.partial_response_strategy),
        tenant,
    })
}

/// A request for series as a message; conditions on blocks are not passed on, as upstream has it.
pub fn series_request_to_wire(request: &SeriesRequest) -> thanos::SeriesRequest {
    thanos::SeriesRequest {
        min_time: request.range.min.0,
        max_time: request.range.max.0,
        matchers: request.matchers.iter().map(matcher_to_wire).collect(),
        max_resolution_window: request.max_resolution_ms,
        aggregates: request.aggregates.iter().map(|a| aggregate_to_wire(*a).into()).collect(),
        partial_response_disabled: !request.partial_response,
        partial_response_strategy: strategy(request.partial_response),
        skip_chunks: request.skip_chunks,
        without_replica_labels: request.without_labels.clone(),
        shard_info: request.shard.as_ref().map(shard_to_wire),
        limit: limit_to_wire(request.limit),
        response_batch_size: FRAME_SERIES,
        ..thanos::SeriesRequest::default()
    }
}

/// A request for label names. Fails as [`series_request_from_wire`] does.
pub fn label_names_request_from_wire(
    wire: thanos::LabelNamesRequest,
    tenant: String,
) -> Result<LabelsRequest, ConvertError> {
    let hints: LabelNamesRequestHints = hints(LABEL_NAMES_HINTS, wire.hints)?;
    Ok(LabelsRequest {
        values_of: None,
        matchers: matchers_at(LABEL_MATCHERS, &wire.matchers)?,
        range: TimeRange::new(wire.start, wire.end),
        whole_blocks: false,
        without_labels: wire.without_replica_labels,
        limit: limit_from_wire(wire.limit),
        block_matchers: matchers_at(BLOCK_MATCHERS, &hints.block_matchers)?,
        partial_response: is_partial(wire.partial_response_disabled, wire.partial_response_strategy),
        tenant,
    })
}

/// A request for label names as a message; conditions on blocks are not passed on.
pub fn label_names_request_to_wire(request: &LabelsRequest) -> thanos::LabelNamesRequest {
    thanos::LabelNamesRequest {
        partial_response_disabled: !request.partial_response,
        partial_response_strategy: strategy(request.partial_response),
        start: request.range.min.0,
        end: request.range.max.0,
        matchers: request.matchers.iter().map(matcher_to_wire).collect(),
        without_replica_labels: request.without_labels.clone(),
        limit: limit_to_wire(request.limit),
        ..thanos::LabelNamesRequest::default()
    }
}

/// A request for the values of a label. Fails as [`series_request_from_wire`] does.
pub fn label_values_request_from_wire(
    wire: thanos::LabelValuesRequest,
    tenant: String,
) -> Result<LabelsRequest, ConvertError> {
    let hints: LabelValuesRequestHints = hints(LABEL_VALUES_HINTS, wire.hints)?;
    Ok(LabelsRequest {
        values_of: Some(wire.label.into()),
        matchers: matchers_at(LABEL_MATCHERS, &wire.matchers)?,
        range: TimeRange::new(wire.start, wire.end),
        whole_blocks: false,
        without_labels: wire.without_replica_labels,
        limit: limit_from_wire(wire.limit),
        block_matchers: matchers_at(BLOCK_MATCHERS, &hints.block_matchers)?,
        partial_response: is_partial(wire.partial_response_disabled, wire.partial_response_strategy),
        tenant,
    })
}

/// A request for the values of `label` as a message; conditions on blocks are not passed on.
pub fn label_values_request_to_wire(label: &[u8], request: &LabelsRequest) -> thanos::LabelValuesRequest {
    thanos::LabelValuesRequest {
        label: Bytes::copy_from_slice(label),
        partial_response_disabled: !request.partial_response,
        partial_response_strategy: strategy(request.partial_response),
        start: request.range.min.0,
        end: request.range.max.0,
        matchers: request.matchers.iter().map(matcher_to_wire).collect(),
        without_replica_labels: request.without_labels.clone(),
        limit: limit_to_wire(request.limit),
        ..thanos::LabelValuesRequest::default()
    }
}

fn hints<H: Hint>(place: &'static str, any: Option<Any>) -> Result<H, ConvertError> {
    let Some(any) = any else { return Ok(H::default()) };
    hint_from_any(&any).map_err(|source| ConvertError::Part { place, source: Box::new(source) })
}

fn matchers_at(place: &'static str, wire: &[LabelMatcher]) -> Result<Vec<Matcher>, ConvertError> {
    matchers_from_wire(wire).map_err(|source| ConvertError::Part { place, source: Box::new(source) })
}

/// The aggregate with a number of the enum `Aggr`; `None` for `RAW`, which downsampled chunks do not have, and for an unknown
/// number.
fn aggregate_from_wire(number: i32) -> Option<Aggregate> {
    match Aggr::try_from(number).ok()? {
        Aggr::Raw => None,
        Aggr::Count => Some(Aggregate::Count),
        Aggr::Sum => Some(Aggregate::Sum),
        Aggr::Min => Some(Aggregate::Min),
        Aggr::Max => Some(Aggregate::Max),
        Aggr::Counter => Some(Aggregate::Counter),
    }
}

fn aggregate_to_wire(aggregate: Aggregate) -> Aggr {
    match aggregate {
        Aggregate::Count => Aggr::Count,
        Aggregate::Sum => Aggr::Sum,
        Aggregate::Min => Aggr::Min,
        Aggregate::Max => Aggr::Max,
        Aggregate::Counter => Aggr::Counter,
    }
}

/// A limit of 0 and a negative one are no limit.
fn limit_from_wire(limit: i64) -> usize {
    usize::try_from(limit).unwrap_or(0)
}

fn limit_to_wire(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn is_partial(disabled: bool, strategy: i32) -> bool {
    !disabled && strategy != i32::from(PartialResponseStrategy::Abort)
}

fn strategy(partial: bool) -> i32 {
    let strategy = if partial { PartialResponseStrategy::Warn } else { PartialResponseStrategy::Abort };
    strategy.into()
}

#[cfg(test)]
mod tests {
    use tithon_engine::SeriesShard;
    use tithon_index::MatchOp;

    use super::*;

    fn matchers() -> Vec<Matcher> {
        vec![Matcher::new(MatchOp::Regex, "job", "a.*").unwrap()]
    }

    #[test]
    fn series_requests_there_and_back() {
        let shard = SeriesShard { index: 1, total: 3, by: true, labels: vec!["pod".into()] };
        let request = SeriesRequest {
            max_resolution_ms: 300_000,
            aggregates: Aggregate::ALL.to_vec(),
            without_labels: vec!["replica".into()],
            shard: Some(shard),
            limit: 7,
            partial_response: false,
            ..SeriesRequest::new(matchers(), TimeRange::new(1, 2))
        };
        let back =
            series_request_from_wire(series_request_to_wire(&request), request.tenant.clone()).unwrap();
        assert_eq!(format!("{back:?}"), format!("{request:?}"));
    }

    #[test]
    fn label_requests_there_and_back() {
        let names = LabelsRequest { limit: 3, ..LabelsRequest::names(matchers(), TimeRange::new(1, 2)) };
        let back = label_names_request_from_wire(label_names_request_to_wire(&names), names.tenant.clone());
        assert_eq!(format!("{:?}", back.unwrap()), format!("{names:?}"));
        let values = LabelsRequest { values_of: Some(b"\xff".to_vec()), partial_response: false, ..names };
        let wire = label_values_request_to_wire(b"\xff", &values);
        let back = label_values_request_from_wire(wire, values.tenant.clone());
        assert_eq!(format!("{:?}", back.unwrap()), format!("{values:?}"));
    }

    #[test]
    fn raw_and_unknown_aggregates_select_nothing() {
        let wire = thanos::SeriesRequest { aggregates: vec![0, 2, 77, 5], ..Default::default() };
        let request = series_request_from_wire(wire, String::new()).unwrap();
        assert_eq!(request.aggregates, [Aggregate::Sum, Aggregate::Counter]);
    }

    #[test]
    fn what_is_refused() {
        let text = |wire| series_request_from_wire(wire, String::new()).unwrap_err().to_string();
        let wire = thanos::SeriesRequest { max_resolution_window: -1, ..Default::default() };
        assert_eq!(text(wire), "max_resolution_window must not be negative: -1");
        let any = Any { type_url: "a/thanos.Nonsense".into(), value: Vec::new() };
        let wire = thanos::SeriesRequest { hints: Some(any), ..Default::default() };
        assert!(text(wire).starts_with("unmarshal series request hints: mismatched message type"));
        let bad = LabelMatcher { r#type: 2, name: "job".into(), value: "(".into() };
        let wire = thanos::LabelNamesRequest { matchers: vec![bad], ..Default::default() };
        let error = label_names_request_from_wire(wire, String::new()).unwrap_err().to_string();
        assert!(error.starts_with("translate request labels matchers: error parsing regexp: "), "{error}");
    }
}
