//! Series, label names and label values.

use std::collections::BTreeSet;
use std::sync::Arc;

use tithon_chunks::TimeRange;
use tithon_engine::{LabelsRequest, SeriesRequest};
use tithon_index::{Labels, Matcher};
use tithon_promql::Charge;

use super::answer::{Answer, Data};
use super::arguments::Arguments;
use super::call::Call;
use crate::QueryService;
use crate::error::ApiError;
use crate::fanout::{Found, Notes, Scope, Selection, SourceError};
use crate::job::Job;
use crate::json::{push_labels, push_list};
use crate::options::Dialect;
use crate::params::quote;

const TRUNCATED: &str = "results truncated due to limit";

pub(crate) async fn label_names(service: QueryService, call: Call) -> Result<Answer, ApiError> {
    labels(service, call, None).await
}

pub(crate) async fn label_values(service: QueryService, call: Call) -> Result<Answer, ApiError> {
    let name = match service.options().dialect {
        Dialect::Prometheus => unescape_name(&call.name),
        Dialect::Thanos => call.name.clone(),
    };
    if name.is_empty() {
        return Err(ApiError::bad_data(format!("invalid label name: {}", quote(&name))));
    }
    labels(service, call, Some(name)).await
}

async fn labels(service: QueryService, call: Call, values_of: Option<String>) -> Result<Answer, ApiError> {
    let call = Arc::new(call);
    let timeout = service.timeout_of(&call);
    let find = async |job: Arc<Job>| {
        let Asked { scope, sets, window, limit, without_labels } =
            service.read(&job, &call, asked_for_labels).await?;
        let mut found = Found::new(limit, &job);
        for matchers in sets {
            let request = LabelsRequest {
                values_of: values_of.clone().map(String::into_bytes),
                whole_blocks: true,
                without_labels: without_labels.clone(),
                limit,
                ..LabelsRequest::names(matchers, TimeRange::new(window.start, window.end))
            };
            let asked = service.inner.fanout.labels(&request, &scope, &mut found).await;
            asked.map_err(|e| ApiError::execution(e.to_string()))?;
        }
        service
            .on_pool(move || {
                let mut answer = Answer::strings(found.iter());
                answer.warnings = scope.notes.take();
                if found.is_truncated() {
                    answer.warnings.push(TRUNCATED.to_owned());
                }
                Ok(answer)
            })
            .await
    };
    service.admitted(timeout, find).await
}

/// The parameters of a call for series, label names or label values.
struct Asked {
    scope: Scope,
    sets: Vec<Vec<Matcher>>,
    window: Window,
    limit: usize,
    without_labels: Vec<String>,
}

fn asked_for_labels(arguments: Arguments<'_>) -> Result<Asked, ApiError> {
    let limit = arguments.limit()?;
    let (start, end) = arguments.label_range()?;
    let scope = scope(&arguments)?;
    let mut sets = arguments.matcher_sets().map_err(|e| e.into_error(ApiError::bad_data))?;
    if sets.is_empty() {
        sets.push(Vec::new());
    }
    let without_labels = match arguments.options.dialect {
        Dialect::Prometheus => arguments.replica_labels()?,
        Dialect::Thanos => Vec::new(),
    };
    Ok(Asked { scope, sets, window: Window { start, end }, limit, without_labels })
}

fn asked_for_series(arguments: Arguments<'_>) -> Result<Asked, ApiError> {
    arguments.params.check_form(arguments.options.dialect)?;
    if !arguments.params.has("match[]") {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let limit = arguments.limit()?;
    let (start, end) = arguments.label_range()?;
    let without_labels = arguments.replica_labels()?;
    let scope = scope(&arguments)?;
    let dialect = arguments.options.dialect;
    let refuse = |text: String| ApiError::invalid_parameter(dialect, "match[]", text);
    let sets = arguments.matcher_sets().map_err(|e| e.into_error(refuse))?;
    if dialect == Dialect::Thanos && sets.iter().any(Vec::is_empty) {
        let status =
            "rpc error: code = InvalidArgument desc = no matchers specified (excluding selector labels)";
        return Err(ApiError::execution(format!("proxy Series(): {status}")));
    }
    Ok(Asked { scope, sets, window: Window { start, end }, limit, without_labels })
}

pub(crate) async fn series(service: QueryService, call: Call) -> Result<Answer, ApiError> {
    let call = Arc::new(call);
    let timeout = service.timeout_of(&call);
    let find = async |job: Arc<Job>| {
        let asked = service.read(&job, &call, asked_for_series).await?;
        let Asked { scope, sets, window, limit, without_labels } = asked;
        let mut found = FoundSeries { sets: BTreeSet::new(), charge: job.charge(), window, limit };
        for matchers in sets {
            let request = window.request(matchers, &without_labels, limit);
            let selection = service.inner.fanout.select(request, &scope, &job).await;
            let selection = selection.map_err(|e| ApiError::execution(e.to_string()))?;
            let job = Arc::clone(&job);
            let add = move || {
                found.add(selection, &job).map_err(|e| ApiError::execution(e.to_string()))?;
                Ok(found)
            };
            found = service.on_pool(add).await?;
        }
        let mut warnings = scope.notes.take();
        if found.is_truncated() {
            warnings.push(TRUNCATED.to_owned());
        }
        let data = service.on_pool(move || found.into_json()).await?;
        Ok(Answer { data: Data::Whole(data), warnings, infos: Vec::new() })
    };
    service.admitted(timeout, find).await
}

/// The time range that `/series` asks for. In Prometheus's API the end may be before the start: then the call finds the
/// series with a chunk that covers the whole range.
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
        let range = TimeRange::new(self.start.min(self.end), self.start.max(self.end));
        SeriesRequest {
            skip_chunks: !self.is_inverted(),
            max_resolution_ms: i64::MAX,
            without_labels: without.to_vec(),
            limit: if limit == 0 || self.is_inverted() { 0 } else { limit.saturating_add(1) },
            ..SeriesRequest::new(matchers, range)
        }
    }
}

/// The distinct label sets of the series found, and the charge for their memory.
struct FoundSeries {
    sets: BTreeSet<Labels>,
    charge: Charge,
    window: Window,
    limit: usize,
}

impl FoundSeries {
    /// Adds the series of a selection. Keeps the first `limit` label sets and one more, which shows that the answer is
    /// truncated.
    fn add(&mut self, selection: Selection, job: &Job) -> Result<(), SourceError> {
        /// Estimated memory of an entry besides its labels, for the set and the shared buffer.
        const OVERHEAD: u64 = 64;
        let most = if self.limit == 0 { usize::MAX } else { self.limit.saturating_add(1) };
        let window = self.window;
        for series in selection.into_stream() {
            let series = series?;
            job.watch().check()?;
            let covers =
                |c: &tithon_chunks::EncodedChunk| c.min_time.0 <= window.end && c.max_time.0 >= window.start;
            if window.is_inverted() && !series.chunks.iter().any(covers) {
                continue;
            }
            let bytes = series.labels.bytes() as u64 + OVERHEAD;
            if self.sets.insert(series.labels) {
                if self.sets.len() > most {
                    self.sets.pop_last();
                } else {
                    self.charge.grow(bytes)?;
                }
            }
        }
        Ok(())
    }

    fn is_truncated(&self) -> bool {
        self.limit > 0 && self.sets.len() > self.limit
    }

    /// The first `limit` label sets as JSON.
    fn into_json(mut self) -> Result<Vec<u8>, ApiError> {
        let n = if self.limit == 0 { usize::MAX } else { self.limit };
        // The JSON text is about as long as the labels.
        self.charge.grow(self.charge.bytes()).map_err(|over| ApiError::execution(over.to_string()))?;
        let mut data = Vec::with_capacity(self.sets.len().min(n) * 128);
        push_list(&mut data, self.sets.iter().take(n), push_labels);
        Ok(data)
    }
}

fn scope(arguments: &Arguments<'_>) -> Result<Scope, ApiError> {
    Ok(Scope {
        tenant: arguments.tenant()?,
        partial: arguments.flag("partial_response", arguments.options.partial_response)?,
        store_matchers: arguments.store_matchers()?,
        notes: Notes::default(),
    })
}

/// Undoes the escaping of label names as `U__...`; a name with a wrong escape stays as it is. Prometheus
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
        if hex.len() > 5 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
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
            ("U__user_00002e_id", "U__user_00002e_id"),
            ("U__user_0002e_id", "user.id"),
        ] {
            assert_eq!(unescape_name(escaped), name, "{escaped}");
        }
    }
}
