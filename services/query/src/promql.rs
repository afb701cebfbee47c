//! PromQL over gRPC, for queriers above this one. Thanos `pkg/api/query/grpc.go`.

use std::sync::Arc;

use futures::FutureExt;
use tithon_chunks::{ErrorKind, Timestamp};
use tithon_promql::{Sample, TimeParams, Value};
use tithon_storeapi::{
    PromqlAnswer, PromqlFuture, PromqlPoints, PromqlRequest, PromqlSeries, PromqlTimes, StoreApiError,
};

use crate::QueryService;
use crate::annotations::annotations;
use crate::error::ApiError;
use crate::evaluate::Evaluated;
use crate::fanout::{Notes, Scope};
use crate::options::Dialect;
use crate::params::GoTime;
use crate::query::{Query, prepare};

/// Most steps of a range query. Thanos has no limit over gRPC, though its HTTP API allows 11,000.
const STEPS_MAX: i64 = 1_000_000;

impl QueryService {
    /// Answers a query. As in Thanos, it does not wait at the gate: the querier above has waited at its own.
    ///
    /// Fails with [`ErrorKind::Unknown`] for a query that cannot be parsed, with [`ErrorKind::Invalid`] for times that make
    /// no sense, and with [`ErrorKind::Aborted`] when evaluation fails.
    pub fn answer_promql(&self, request: PromqlRequest) -> PromqlFuture {
        let service = self.clone();
        async move {
            let longest = service.options().timeout;
            let timeout = request.timeout.map_or(longest, |timeout| timeout.min(longest));
            let answer = tokio::time::timeout(timeout, service.evaluate_promql(request)).await;
            let late = || Err(StoreApiError::new(ErrorKind::Aborted, "query timed out in query execution"));
            answer.unwrap_or_else(|_| late())
        }
        .boxed()
    }

    async fn evaluate_promql(&self, request: PromqlRequest) -> Result<PromqlAnswer, StoreApiError> {
        let (job, _stop) = self.begin();
        let is_instant = matches!(request.times, PromqlTimes::Instant(_));
        let is_local = request.local;
        let mut query = self.query_of(request)?;
        if !is_local {
            self.distribute(&mut query);
        }
        let notes_of_stores = query.scope.notes.clone();
        let (service, job_of_plan) = (self.clone(), Arc::clone(&job));
        let plan = move || {
            let mut prepared = prepare(service.options(), &query, job_of_plan.watch())?;
            service.push_down(&mut prepared, &mut query);
            Ok((prepared, query))
        };
        let refused = |error: ApiError| StoreApiError::new(ErrorKind::Unknown, error);
        let (prepared, query) = self.on_pool(plan).await.map_err(refused)?;
        let aborted = |error: ApiError| StoreApiError::new(ErrorKind::Aborted, error);
        let Evaluated { mut result, held, .. } =
            self.evaluate(&job, prepared, query).await.map_err(aborted)?;
        let (warnings, _) = annotations(Dialect::Thanos, &mut result, notes_of_stores.take());
        let samples = (result.stats.total_samples, result.stats.peak_samples);
        // An instant query of a range selector has no series in the answer, as in Thanos.
        let is_window = is_instant && matches!(result.value, Value::Matrix(_));
        let series = if is_window { Vec::new() } else { series(result.value) };
        Ok(PromqlAnswer { warnings, series, samples, held: Box::new(held) })
    }

    fn query_of(&self, request: PromqlRequest) -> Result<Query, StoreApiError> {
        let options = self.options();
        let own =
            if request.replica_labels.is_empty() { &options.replica_labels } else { &request.replica_labels };
        let resolution = options.instant_max_source_resolution.as_millis();
        Ok(Query {
            times: times(request.times)?,
            lookback_ms: request.lookback_ms,
            replica_labels: if request.dedup { own.clone() } else { Vec::new() },
            replica_rule: options.dedup_function,
            max_resolution_ms: request
                .max_resolution_ms
                .unwrap_or_else(|| i64::try_from(resolution).unwrap_or(i64::MAX)),
            scope: Scope {
                tenant: options.tenancy.default.clone(),
                partial: request.partial_response,
                store_matchers: request.store_matchers,
                notes: Notes::default(),
            },
            shard: request.shard,
            // Over gRPC tenancy is not enforced, as in Thanos: the querier above enforces it.
            enforced: None,
            analyze: false,
            distribution: None,
            part_stores: Vec::new(),
            text: request.query,
        })
    }
}

/// The time parameters of an evaluation. Times outside Go's printable range become the nearest time inside it.
fn times(times: PromqlTimes) -> Result<TimeParams, StoreApiError> {
    let millis = |seconds: i64| {
        let seconds = seconds.clamp(GoTime::MIN.storage_millis() / 1000, GoTime::MAX.storage_millis() / 1000);
        Timestamp(seconds * 1000)
    };
    let (start, end, step) = match times {
        PromqlTimes::Instant(None) => {
            return Ok(TimeParams::instant(Timestamp(GoTime::now().storage_millis())));
        }
        PromqlTimes::Instant(Some(seconds)) => return Ok(TimeParams::instant(millis(seconds))),
        PromqlTimes::Range { start, end, step } => (millis(start), millis(end), step),
    };
    let wrong = |text: String| Err(StoreApiError::new(ErrorKind::Invalid, text));
    if step <= 0 || end < start {
        return wrong(format!("range from {} to {} ms in steps of {step} s", start.0, end.0));
    }
    let steps = end.0.saturating_sub(start.0) / 1000 / step;
    if steps > STEPS_MAX {
        return wrong(format!("{steps} steps are more than the limit of {STEPS_MAX}"));
    }
    Ok(TimeParams { start, end, step_ms: step.saturating_mul(1000) })
}

/// The series of a value; a string has none, as in Thanos.
fn series(value: Value) -> Vec<PromqlSeries> {
    match value {
        Value::Scalar { t, v } => {
            let labels = tithon_index::Labels::default();
            vec![PromqlSeries { labels, points: PromqlPoints::Float(t.0, v) }]
        }
        Value::String { .. } => Vec::new(),
        Value::Vector(samples) => {
            let one = |one: tithon_promql::VectorSample| PromqlSeries {
                points: match one.sample {
                    Sample::Float(value) => PromqlPoints::Float(one.t.0, value),
                    Sample::Histogram(histogram) => PromqlPoints::Histogram(one.t.0, histogram),
                },
                labels: one.labels,
            };
            samples.into_iter().map(one).collect()
        }
        Value::Matrix(all) => all
            .into_iter()
            .map(|one| PromqlSeries { labels: one.labels, points: PromqlPoints::Many(one.samples) })
            .collect(),
    }
}
