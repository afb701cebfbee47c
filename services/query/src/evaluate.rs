//! One query from its text to its value: plan, gate, fan-out, evaluation on the CPU pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tithon_chunks::{ErrorKind, TimeRange, Timestamp};
use tithon_promql::{
    Analysis, EvalContext, Options, PlanNode, Prepared, QueryError, QueryResult, SelectInput, SelectSpec,
    TimeParams,
};
use tithon_runtime::Priority;

use crate::QueryService;
use crate::error::ApiError;
use crate::fanout::{Purpose, Scope, Selection, SeriesRequest, to_series};
use crate::lookback::lookback_ms;
use crate::options::{Dialect, QueryOptions};

/// A query and how it is to be answered.
pub(crate) struct Query {
    pub(crate) text: String,
    pub(crate) times: TimeParams,
    /// Shorter than the configured limit, or that.
    pub(crate) timeout: Duration,
    /// Given by the request.
    pub(crate) lookback_ms: Option<i64>,
    /// Labels that tell replicas apart; none turns deduplication off.
    pub(crate) replica_labels: Vec<String>,
    /// The coarsest resolution that may answer.
    pub(crate) max_resolution_ms: i64,
    pub(crate) scope: Scope,
    /// Whether the costs of the operators are wanted.
    pub(crate) analyze: bool,
}

impl QueryService {
    /// Evaluates a query; gives up when time is over, and stops evaluation when the caller drops the future.
    pub(crate) async fn evaluate(&self, query: Query) -> Result<Evaluated, ApiError> {
        let prepared = self.prepare(&query)?;
        let timed_out = || ApiError::timeout("query timed out in expression evaluation");
        tokio::time::timeout(query.timeout, self.run(prepared, query))
            .await
            .unwrap_or_else(|_| Err(timed_out()))
    }

    /// The plan of a query; nothing is evaluated.
    pub(crate) fn explain(&self, query: &Query) -> Result<PlanNode, ApiError> {
        Ok(self.prepare(query)?.explain())
    }

    fn prepare(&self, query: &Query) -> Result<Prepared, ApiError> {
        let options = engine_options(&self.inner.options, query);
        Prepared::new(&query.text, query.times, &options)
            .map_err(|e| ApiError::invalid_parameter(self.inner.options.dialect, "query", e))
    }

    async fn run(&self, prepared: Prepared, query: Query) -> Result<Evaluated, ApiError> {
        let inner = &self.inner;
        let permit = inner.gate.acquire().await.map_err(|e| ApiError::execution(e.to_string()))?;
        let evaluating = inner.metrics.evaluating();
        let mut selections = Vec::with_capacity(prepared.selects().len());
        let range = whole_range(prepared.selects());
        for spec in prepared.selects() {
            let purpose = purpose(spec, range, &query, &inner.options);
            let request = series_request(spec, &query, &purpose);
            let selection = inner.fanout.select(request, &query.scope).await;
            selections.push((selection.map_err(|e| failure(&QueryError::Storage(e)))?, purpose));
        }
        let stop = StopOnDrop(Arc::new(AtomicBool::new(false)));
        let cancelled = Arc::clone(&stop.0);
        let cpu = inner.cpu.clone();
        let result = inner
            .cpu
            .run(Priority::Query, move || {
                let inputs = selections.into_iter().map(|(s, p)| input(s, p)).collect();
                let ctx = EvalContext { pool: Some(cpu.query_pool()), cancelled: &cancelled };
                if query.analyze {
                    let begun = Instant::now();
                    let (result, analysis) = prepared.eval_analyzed(inputs, &ctx, &|| begun.elapsed())?;
                    Ok(Evaluated { result, analysis: Some(analysis) })
                } else {
                    Ok(Evaluated { result: prepared.eval(inputs, &ctx)?, analysis: None })
                }
            })
            .await;
        drop((permit, evaluating));
        match result {
            Ok(Ok(evaluated)) => Ok(evaluated),
            Ok(Err(error)) => Err(failure(&error)),
            Err(error) => Err(ApiError::execution(format!("unexpected error: {error}"))),
        }
    }
}

/// A query's answer, and what it took if that was asked for.
pub(crate) struct Evaluated {
    pub(crate) result: QueryResult,
    pub(crate) analysis: Option<Analysis>,
}

/// Tells evaluation to stop once the caller has gone.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn engine_options(options: &QueryOptions, query: &Query) -> Options {
    Options {
        lookback_delta_ms: query.lookback_ms.unwrap_or_else(|| lookback_ms(options, query.max_resolution_ms)),
        default_subquery_step_ms: i64::try_from(options.default_evaluation_interval.as_millis())
            .unwrap_or(i64::MAX),
        max_samples: options.max_samples,
        max_bytes: options.max_bytes,
        parse: options.parse_options(),
        delayed_name_removal: options.delayed_name_removal,
        dropped_labels: query.replica_labels.iter().map(|label| label.as_bytes().into()).collect(),
        ..Options::default()
    }
}

/// The time that all selectors of a query read. Replicas are followed from its start on, whichever selector reads them.
fn whole_range(selects: &[SelectSpec]) -> TimeRange {
    let min = selects.iter().map(|s| s.range.min).min().unwrap_or(Timestamp::MIN);
    let max = selects.iter().map(|s| s.range.max).max().unwrap_or(Timestamp::MAX);
    TimeRange { min, max }
}

fn purpose(spec: &SelectSpec, range: TimeRange, query: &Query, options: &QueryOptions) -> Purpose {
    Purpose {
        function: spec.hints.func.clone(),
        range,
        dedup: (!query.replica_labels.is_empty()).then_some(options.dedup_function),
        dialect: options.dialect,
    }
}

fn series_request(spec: &SelectSpec, query: &Query, purpose: &Purpose) -> SeriesRequest {
    SeriesRequest {
        matchers: spec.matchers.clone(),
        range: spec.range,
        skip_chunks: false,
        max_resolution_ms: resolution_for(spec, query.max_resolution_ms),
        aggregates: purpose.aggregates(),
        without_labels: query.replica_labels.clone(),
        limit: 0,
    }
}

/// Functions that compare neighbouring samples need two of them in their window. Thanos `pkg/query/querier.go`.
fn resolution_for(spec: &SelectSpec, allowed: i64) -> i64 {
    const TWO_SAMPLES: [&str; 9] = [
        "rate",
        "irate",
        "increase",
        "delta",
        "idelta",
        "deriv",
        "predict_linear",
        "holt_winters",
        "double_exponential_smoothing",
    ];
    if spec.hints.range_ms > 0 && TWO_SAMPLES.contains(&spec.hints.func.as_str()) {
        allowed.min(spec.hints.range_ms / 2)
    } else {
        allowed
    }
}

fn input(selection: Selection, purpose: Purpose) -> SelectInput {
    Box::new(selection.into_stream().map(move |series| to_series(series?, &purpose).map_err(Into::into)))
}

fn failure(error: &QueryError) -> ApiError {
    match error.kind() {
        ErrorKind::Cancelled => {
            ApiError { error_type: crate::ErrorType::Canceled, message: error.to_string() }
        }
        _ => ApiError::execution(error.to_string()),
    }
}

/// Notes as the API of either dialect shows them: warnings and infos.
pub(crate) fn notes(
    dialect: Dialect,
    result: &mut QueryResult,
    from_sources: Vec<String>,
) -> (Vec<String>, Vec<String>) {
    /// Prometheus shows so many of a kind.
    const SHOWN_MAX: usize = 10;
    let mut warnings = from_sources;
    warnings.append(&mut result.warnings);
    let mut infos = std::mem::take(&mut result.infos);
    match dialect {
        Dialect::Prometheus => {
            for (list, word) in [(&mut warnings, "warning"), (&mut infos, "info")] {
                if list.len() > SHOWN_MAX {
                    let omitted = list.len() - SHOWN_MAX;
                    list.truncate(SHOWN_MAX);
                    list.push(format!("{omitted} more {word} annotations omitted"));
                }
            }
            (warnings, infos)
        }
        Dialect::Thanos => {
            warnings.append(&mut infos);
            for note in &mut warnings {
                note.truncate(without_position(note).len());
            }
            (warnings, Vec::new())
        }
    }
}

/// A note of PromQL without the ` (line:column)` behind it.
fn without_position(note: &str) -> &str {
    let position = |text: &str| {
        let (line, column) = text.strip_suffix(')')?.split_once(':')?;
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        (digits(line) && digits(column)).then_some(())
    };
    match note.rsplit_once(" (") {
        Some((text, rest)) if note.starts_with("PromQL ") && position(rest).is_some() => text,
        _ => note,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_cut_off() {
        for (note, expected) in [
            ("PromQL info: x (1:23)", "PromQL info: x"),
            ("PromQL info: x (see y)", "PromQL info: x (see y)"),
            ("PromQL info: x (a:b)", "PromQL info: x (a:b)"),
            ("receive series from x (1:2)", "receive series from x (1:2)"),
        ] {
            assert_eq!(without_position(note), expected);
        }
    }
}
