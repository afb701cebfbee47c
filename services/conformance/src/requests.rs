//! Builds requests and matchers, and describes them.

use tithon_index::{Labels, MatchOp, Matcher};
use tithon_proto::thanos::label_matcher::Type;
use tithon_proto::thanos::{LabelMatcher, LabelNamesRequest, LabelValuesRequest, SeriesRequest};

use crate::Matchers;

/// A matcher of the given kind.
pub(crate) fn matcher(op: MatchOp, name: &[u8], value: impl AsRef<[u8]>) -> LabelMatcher {
    let kind = match op {
        MatchOp::Equal => Type::Eq,
        MatchOp::NotEqual => Type::Neq,
        MatchOp::Regex => Type::Re,
        MatchOp::NotRegex => Type::Nre,
    };
    LabelMatcher { r#type: kind.into(), name: name.to_vec().into(), value: value.as_ref().to_vec().into() }
}

/// Whether a label set satisfies valid matchers.
pub(crate) fn satisfies(labels: &Labels, matchers: &[LabelMatcher]) -> bool {
    matchers.iter().all(|wire| {
        let value = labels.get(&wire.name).unwrap_or_default();
        Matcher::new(op(wire), &wire.name, &wire.value).is_ok_and(|matcher| matcher.matches(value))
    })
}

fn op(wire: &LabelMatcher) -> MatchOp {
    match Type::try_from(wire.r#type) {
        Ok(Type::Neq) => MatchOp::NotEqual,
        Ok(Type::Re) => MatchOp::Regex,
        Ok(Type::Nre) => MatchOp::NotRegex,
        _ => MatchOp::Equal,
    }
}

/// Describes matchers as `{a="b",c=~"d"}`.
pub(crate) fn selector(matchers: &[LabelMatcher]) -> String {
    let one = |wire: &LabelMatcher| {
        let name = String::from_utf8_lossy(&wire.name);
        format!("{name}{}{:?}", op(wire).as_str(), String::from_utf8_lossy(&wire.value))
    };
    format!("{{{}}}", matchers.iter().map(one).collect::<Vec<_>>().join(","))
}

/// A `Series` request for raw data in a range of milliseconds.
pub(crate) fn series(matchers: Matchers, range: (i64, i64)) -> SeriesRequest {
    SeriesRequest { min_time: range.0, max_time: range.1, matchers, ..SeriesRequest::default() }
}

/// Describes a `Series` request: matchers, range, and other fields that are not default.
pub(crate) fn request_text(request: &SeriesRequest) -> String {
    let mut out =
        format!("Series {} {}..{}", selector(&request.matchers), request.min_time, request.max_time);
    let mut add = |name: &str, value: String, is_set: bool| {
        if is_set {
            out += &format!(" {name}={value}");
        }
    };
    add("resolution", request.max_resolution_window.to_string(), request.max_resolution_window != 0);
    add("aggregates", format!("{:?}", request.aggregates), !request.aggregates.is_empty());
    add("skip_chunks", "true".to_owned(), request.skip_chunks);
    let without = &request.without_replica_labels;
    add("without_replica_labels", without.join(","), !without.is_empty());
    add("limit", request.limit.to_string(), request.limit != 0);
    add("response_batch_size", request.response_batch_size.to_string(), request.response_batch_size != 0);
    if let Some(shard) = &request.shard_info {
        let by = if shard.by { "by" } else { "without" };
        let labels = shard.labels.join(",");
        add("shard", format!("{}/{} {by} {labels:?}", shard.shard_index, shard.total_shards), true);
    }
    add("hints", "yes".to_owned(), request.hints.is_some());
    out
}

/// A `LabelNames` request for a range.
pub(crate) fn names(matchers: Matchers, range: (i64, i64)) -> LabelNamesRequest {
    LabelNamesRequest { start: range.0, end: range.1, matchers, ..LabelNamesRequest::default() }
}

/// A `LabelValues` request for a range.
pub(crate) fn values(label: &[u8], matchers: Matchers, range: (i64, i64)) -> LabelValuesRequest {
    LabelValuesRequest {
        label: label.to_vec().into(),
        start: range.0,
        end: range.1,
        matchers,
        ..LabelValuesRequest::default()
    }
}
