//! Series, label names and label values.

use std::collections::BTreeSet;

use tithon_chunks::TimeRange;
use tithon_index::{Labels, Matcher};
use tithon_runtime::Priority;

use super::answer::{Answer, Data};
use super::arguments::Arguments;
use super::router::Call;
use crate::QueryService;
use crate::error::ApiError;
use crate::fanout::{LabelsRequest, Notes, Scope, Selection, SeriesRequest, SourceError};
use crate::json::{push_labels, push_list};
use crate::options::Dialect;
use crate::params::quote;

const TRUNCATED: &str = "results truncated due to limit";

pub(crate) async fn label_names(service: QueryService, call: Call) -> Result<Answer, ApiError> {
    labels(service, &call, None).await
}

pub(crate) async fn label_values(service: QueryService, call: Call) -> Result<Answer, ApiError> {
    let name = match service.options().dialect {
        Dialect::Prometheus => unescape_name(&call.name),
        Dialect::Thanos => call.name.clone(),
    };
    if name.is_empty() {
        return Err(ApiError::bad_data(format!("invalid label name: {}", quote(&name))));
    }
    labels(service, &call, Some(name)).await
}

async fn labels(service: QueryService, call: &Call, values_of: Option<String>) -> Result<Answer, ApiError> {
    let options = service.options();
    let arguments = Arguments { params: &call.params, options };
    let limit = arguments.limit()?;
    let (start, end) = arguments.label_range()?;
    let scope = scope(&arguments)?;
    let mut sets = arguments.matcher_sets().map_err(ApiError::bad_data)?;
    if sets.is_empty() {
        sets.push(Vec::new());
    }
    let without_labels = match options.dialect {
        Dialect::Prometheus => arguments.replica_labels()?,
        Dialect::Thanos => Vec::new(),
    };
    let mut found = BTreeSet::new();
    for matchers in sets {
        let request = LabelsRequest {
            values_of: values_of.clone(),
            matchers,
            range: TimeRange::new(start, end),
            without_labels: without_labels.clone(),
            limit,
        };
        let some = service.inner.fanout.labels(&request, &scope).await;
        found.append(&mut some.map_err(|e| ApiError::execution(e.to_string()))?);
    }
    let truncated = limit > 0 && found.len() > limit;
    let kept = found.iter().take(if limit == 0 { usize::MAX } else { limit });
    let mut answer = Answer::strings(kept);
    answer.warnings = scope.notes.take();
    if truncated {
        answer.warnings.push(TRUNCATED.to_owned());
    }
    Ok(answer)
}

pub(crate) async fn series(service: QueryService, call: Call) -> Result<Answer, ApiError> {
    let arguments = Arguments { params: &call.params, options: service.options() };
    arguments.check_form()?;
    if !call.params.has("match[]") {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let limit = arguments.limit()?;
    let (start, end) = arguments.label_range()?;
    let replica_labels = arguments.replica_labels()?;
    let scope = scope(&arguments)?;
    let dialect = service.options().dialect;
    let sets = arguments.matcher_sets().map_err(|e| ApiError::invalid_parameter(dialect, "match[]", e))?;
    let window = Window { start, end };
    let mut selections = Vec::with_capacity(sets.len());
    for matchers in sets {
        if dialect == Dialect::Thanos && matchers.is_empty() {
            let status =
                "rpc error: code = InvalidArgument desc = no matchers specified (excluding selector labels)";
            return Err(ApiError::execution(format!("proxy Series(): {status}")));
        }
        let request = window.request(matchers, &replica_labels, limit);
        let selection = service.inner.fanout.select(request, &scope).await;
        selections.push(selection.map_err(|e| ApiError::execution(e.to_string()))?);
    }
    let (data, truncated) = service
        .inner
        .cpu
        .run(Priority::Query, move || collect(selections, window, limit))
        .await
        .map_err(|e| ApiError::internal(e.to_string()))?
        .map_err(|e| ApiError::execution(e.to_string()))?;
    let mut warnings = scope.notes.take();
    if truncated {
        warnings.push(TRUNCATED.to_owned());
    }
    Ok(Answer { data: Data::Whole(data), warnings, infos: Vec::new() })
}

/// The time that `/series` is asked for. In Prometheus's API it may end before it starts: then those series count
/// that have a chunk covering all of it.
#[derive(Clone, Copy)]
struct Window {
    start: i64,
    end: i64,
}

impl Window {
    fn is_inverted(self) -> bool {
        self.start > self.end
    }

    fn request(self, matchers: Vec<Matcher>, without: &[String], limit: usize) -> SeriesRequest {
        SeriesRequest {
            matchers,
            range: TimeRange::new(self.start.min(self.end), self.start.max(self.end)),
            skip_chunks: !self.is_inverted(),
            max_resolution_ms: i64::MAX,
            aggregates: Vec::new(),
            without_labels: without.to_vec(),
            limit: if limit == 0 || self.is_inverted() { 0 } else { limit.saturating_add(1) },
        }
    }
}

/// The label sets of all selections as JSON, at most `limit`, and whether there are more.
fn collect(selections: Vec<Selection>, window: Window, limit: usize) -> Result<(Vec<u8>, bool), SourceError> {
    let mut sets: Vec<Labels> = Vec::new();
    for selection in selections {
        for series in selection.into_stream() {
            let series = series?;
            let covers =
                |c: &tithon_chunks::EncodedChunk| c.min_time.0 <= window.end && c.max_time.0 >= window.start;
            if !window.is_inverted() || series.chunks.iter().any(covers) {
                sets.push(series.labels);
            }
        }
    }
    sets.sort();
    sets.dedup();
    let truncated = limit > 0 && sets.len() > limit;
    if truncated {
        sets.truncate(limit);
    }
    let mut data = Vec::with_capacity(sets.len() * 128);
    push_list(&mut data, &sets, push_labels);
    Ok((data, truncated))
}

fn scope(arguments: &Arguments<'_>) -> Result<Scope, ApiError> {
    Ok(Scope {
        partial: arguments.flag("partial_response", arguments.options.partial_response)?,
        store_matchers: arguments.store_matchers()?,
        notes: Notes::default(),
    })
}

/// Undoes the escaping of names as `U__...`; what is not well escaped stays as it is. Prometheus
/// `common/model.UnescapeName`.
fn unescape_name(name: &str) -> String {
    try_unescape(name).unwrap_or_else(|| name.to_owned())
}

fn try_unescape(name: &str) -> Option<String> {
    let mut rest = name.strip_prefix("U__")?;
    let mut out = String::new();
    while let Some((plain, escaped)) = rest.split_once('_') {
        out.push_str(plain);
        if let Some(after) = escaped.strip_prefix('_') {
            out.push('_');
            rest = after;
            continue;
        }
        let (hex, after) = escaped.split_once('_')?;
        if hex.len() > 6 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        out.push(char::from_u32(u32::from_str_radix(hex, 16).ok()?)?);
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unescaped() {
        for (escaped, name) in [
            ("job", "job"),
            ("U__label_2e_with_2e_dot", "label.with.dot"),
            ("U__a__b", "a_b"),
            ("U__", ""),
            ("U__gr_F6__DF_e", "größe"),
            ("U__a_", "U__a_"),
            ("U__a_zz_", "U__a_zz_"),
            ("U__a_110000_", "U__a_110000_"),
        ] {
            assert_eq!(unescape_name(escaped), name, "{escaped}");
        }
    }
}
