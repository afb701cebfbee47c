//! Parts of queries, evaluated for queriers next to the data of one store of this process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use prometheus_client::metrics::counter::Counter;
use tithon_chunks::ErrorKind;
use tithon_promql::Prepared;
use tithon_runtime::{Cpu, GateMetrics, Metrics};
use tithon_storeapi::{PartAnswer, PartFuture, PartRequest, StoreApi, StoreApiError};

use crate::QueryService;
use crate::error::ApiError;
use crate::evaluate::Evaluated;
use crate::fanout::{Notes, Scope};
use crate::job::Job;
use crate::options::{Dialect, QueryOptions};
use crate::params::GoTime;
use crate::query::{Query, prepare};

/// The longest time that a part may be evaluated, whatever its querier asks for.
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// Evaluates parts of queries over one store. Clones share it.
#[derive(Clone)]
pub struct PartEvaluator {
    service: QueryService,
    metrics: PartMetrics,
}

/// The limits of the parts that are evaluated at the same time.
#[derive(Clone, Copy, Debug)]
pub struct PartLimits {
    /// Their number; 0 is no limit. Others wait.
    pub concurrent: usize,
    /// The bytes that they may hold together; 0 is no limit.
    pub bytes: u64,
}

#[derive(Clone)]
struct PartMetrics {
    gate: GateMetrics,
    failed: Counter,
    samples: Counter,
}

impl PartMetrics {
    fn new(limits: PartLimits, registry: &Metrics) -> PartMetrics {
        let gate = GateMetrics::new(limits.concurrent);
        let metrics = PartMetrics { gate, failed: Counter::default(), samples: Counter::default() };
        metrics.gate.register(registry, "tithon_store_parts");
        registry.register(|r| {
            let help = "Parts of queries that could not be evaluated, so that their queriers evaluate them";
            r.register("tithon_store_parts_failed", help, metrics.failed.clone());
            let help = "Samples that parts of queries have read";
            r.register("tithon_store_parts_samples", help, metrics.samples.clone());
        });
        metrics
    }
}

impl PartEvaluator {
    /// An evaluator over `store`. Evaluation runs on `cpu`, metrics are registered in `registry`.
    pub fn new(store: Arc<dyn StoreApi>, limits: PartLimits, cpu: Cpu, registry: &Metrics) -> PartEvaluator {
        let options = QueryOptions {
            dialect: Dialect::Thanos,
            timeout: TIMEOUT_MAX,
            max_concurrent: limits.concurrent,
            max_bytes: if limits.bytes == 0 { u64::MAX } else { limits.bytes },
            memory_limit: limits.bytes,
            ..QueryOptions::default()
        };
        // The metrics of a querier would not be true of a store.
        let service = QueryService::new(options, vec![store], cpu, &Metrics::new(""));
        PartEvaluator { service, metrics: PartMetrics::new(limits, registry) }
    }

    /// Evaluates a part. Fails whenever its value might differ from that of an evaluation by the querier, which then has to
    /// evaluate it.
    pub fn evaluate(&self, request: PartRequest) -> PartFuture {
        let evaluator = self.clone();
        let timeout = request.timeout.min(TIMEOUT_MAX);
        async move {
            let answer = tokio::time::timeout(timeout, evaluator.evaluate_in_turn(request, timeout)).await;
            let late = |_| StoreApiError::new(ErrorKind::TimedOut, format!("no value within {timeout:?}"));
            let answer = answer.map_err(late).flatten();
            if answer.is_err() {
                evaluator.metrics.failed.inc();
            }
            answer
        }
        .boxed()
    }

    /// Waits at the gate for a part of the timeout only, so that the querier has time to evaluate the part itself.
    async fn evaluate_in_turn(
        &self,
        request: PartRequest,
        timeout: Duration,
    ) -> Result<PartAnswer, StoreApiError> {
        let begun = Instant::now();
        let permit = tokio::time::timeout(timeout / 4, self.service.inner.gate.acquire()).await;
        let busy = |_| StoreApiError::new(ErrorKind::LimitExceeded, "too many parts are being evaluated");
        let _permit = permit.map_err(busy)?.map_err(|e| StoreApiError::new(ErrorKind::Internal, e))?;
        self.metrics.gate.observe_wait(begun.elapsed());
        let _in_flight = self.metrics.gate.pass();
        let answer = self.service.evaluate_part(request).await?;
        self.metrics.samples.inc_by(answer.value.stats.total_samples);
        Ok(answer)
    }
}

impl QueryService {
    async fn evaluate_part(&self, request: PartRequest) -> Result<PartAnswer, StoreApiError> {
        check(&request).map_err(|what| StoreApiError::new(ErrorKind::Invalid, what))?;
        let (job, _stop) = self.begin();
        let job_of_plan = Arc::clone(&job);
        let options = self.options_of(&request);
        let plan = move || plan(request, &options, &job_of_plan);
        let refused = |error: ApiError| StoreApiError::new(ErrorKind::Invalid, error);
        let (prepared, query) = self.on_pool(plan).await.map_err(refused)?;
        let notes = query.scope.notes.clone();
        let aborted = |error: ApiError| StoreApiError::new(ErrorKind::Aborted, error);
        let Evaluated { part, held, .. } = self.evaluate(&job, prepared, query).await.map_err(aborted)?;
        if let Some(note) = notes.take().into_iter().next() {
            return Err(StoreApiError::new(ErrorKind::Aborted, note));
        }
        let missing = || StoreApiError::new(ErrorKind::Internal, "a part has no value");
        Ok(PartAnswer { value: part.ok_or_else(missing)?, held: Box::new(held) })
    }

    /// The options that decide how the querier plans.
    fn options_of(&self, request: &PartRequest) -> QueryOptions {
        let step = u64::try_from(request.default_subquery_step_ms).unwrap_or(0);
        QueryOptions {
            default_evaluation_interval: Duration::from_millis(step),
            max_samples: request.max_samples,
            experimental_functions: request.parse.experimental_functions,
            extended_range_selectors: request.parse.extended_range_selectors,
            binop_fill_modifiers: request.parse.binop_fill,
            ..self.options().clone()
        }
    }
}

/// Refuses numbers that no querier sends.
fn check(request: &PartRequest) -> Result<(), String> {
    /// More steps than any querier asks for.
    const STEPS_MAX: usize = 1_000_000;
    /// Longer than Go's durations, milliseconds.
    const LONGEST_MS: i64 = 10_000_000_000_000;
    let times = GoTime::MIN.storage_millis()..=GoTime::MAX.storage_millis();
    let are_times = [request.times.start, request.times.end].iter().all(|t| times.contains(&t.0));
    let steps = request.times.steps();
    if !are_times || !(1..=STEPS_MAX).contains(&steps) {
        return Err(format!("{steps} steps from {} ms to {} ms", request.times.start, request.times.end));
    }
    if request.timeout.is_zero() {
        return Err("no time at all".to_owned());
    }
    for (what, ms, least) in [
        ("lookback", request.lookback_ms, 1),
        ("step of subqueries", request.default_subquery_step_ms, 0),
        ("resolution", request.max_resolution_ms, 0),
    ] {
        if !(least..=LONGEST_MS).contains(&ms) {
            return Err(format!("{what} of {ms} ms"));
        }
    }
    Ok(())
}

/// The querier's plan, of which only the part is kept.
fn plan(request: PartRequest, options: &QueryOptions, job: &Job) -> Result<(Prepared, Query), ApiError> {
    let query = Query {
        text: request.query,
        times: request.times,
        lookback_ms: Some(request.lookback_ms),
        replica_labels: request.replica_labels,
        replica_rule: request.replica_rule,
        max_resolution_ms: request.max_resolution_ms,
        // Whatever stores would warn of has to come from the querier, in its words.
        scope: Scope {
            tenant: request.tenant,
            partial: false,
            store_matchers: Vec::new(),
            notes: Notes::default(),
        },
        shard: request.shard,
        enforced: request.enforced,
        analyze: false,
        distribution: None,
        part_stores: Vec::new(),
    };
    let mut prepared = prepare(options, &query, job.watch())?;
    prepared
        .keep_only(request.node, &request.text)
        .map_err(|error| ApiError::execution(error.to_string()))?;
    Ok((prepared, query))
}
