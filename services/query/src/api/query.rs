//! Instant and range queries.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::{self, BoxStream, StreamExt};
use tithon_chunks::Timestamp;
use tithon_engine::SeriesShard;
use tithon_promql::{Charge, QueryResult, TimeParams, Value};
use tithon_runtime::{Cpu, Priority, RuntimeError};
use tracing::{Instrument, info_span};

use super::answer::{Answer, Data};
use super::arguments::Arguments;
use super::call::Call;
use crate::QueryService;
use crate::annotations::annotations;
use crate::durations::Stage;
use crate::error::ApiError;
use crate::evaluate::Evaluated;
use crate::fanout::{Notes, Scope};
use crate::job::Job;
use crate::json::{Part, Timings, parts, push_plan};
use crate::options::Dialect;
use crate::params::{GoDuration, GoTime, parse_duration, quote};
use crate::query::{Query, prepare};

/// Most points of one series in the answer to a range query.
const POINTS_MAX: i64 = 11_000;
const NOT_ANALYZABLE: &str = "Query not analyzable; change engine to 'thanos'.";
const TRUNCATED: &str = "results truncated due to limit";

pub(crate) async fn instant(service: QueryService, call: Call) -> Result<Answer, ApiError> {
    answer(service, call, |arguments| arguments.instant_query()).await
}

pub(crate) async fn range(service: QueryService, call: Call) -> Result<Answer, ApiError> {
    answer(service, call, |arguments| arguments.range_query()).await
}

/// The plan of an instant query.
pub(crate) async fn explain(service: QueryService, call: Call) -> Result<Answer, ApiError> {
    explained(service, call, |arguments| arguments.instant_query()).await
}

/// The plan of a range query.
pub(crate) async fn explain_range(service: QueryService, call: Call) -> Result<Answer, ApiError> {
    explained(service, call, |arguments| arguments.range_query()).await
}

/// Reads the parameters of an instant or a range query.
type Read = fn(&Arguments<'_>) -> Result<Query, ApiError>;

async fn explained(service: QueryService, call: Call, read: Read) -> Result<Answer, ApiError> {
    let call = Arc::new(call);
    let explain = async |job: Arc<Job>| {
        let service_of_plan = service.clone();
        let explain = move |arguments: Arguments<'_>| {
            let mut query = read(&arguments)?;
            if !arguments.wants_local() {
                service_of_plan.distribute(&mut query);
            }
            if !arguments.is_analyzable() {
                return Err(ApiError::bad_data("engine type must be 'thanos'"));
            }
            let mut prepared = prepare(arguments.options, &query, arguments.job.watch())?;
            service_of_plan.push_down(&mut prepared, &mut query);
            let mut data = Vec::new();
            push_plan(&mut data, &prepared.explain());
            Ok(Answer::new(data))
        };
        service.read(&job, &call, explain).await
    };
    let timeout = service.timeout_of(&call);
    service.admitted(timeout, explain).await
}

impl Arguments<'_> {
    fn instant_query(&self) -> Result<Query, ApiError> {
        let arguments = self;
        let time = arguments.time_or("time", GoTime::now())?;
        let automatic =
            i64::try_from(arguments.options.instant_max_source_resolution.as_millis()).unwrap_or(i64::MAX);
        let times = TimeParams::instant(Timestamp(time.engine_millis()));
        arguments.query(times, automatic)
    }

    fn range_query(&self) -> Result<Query, ApiError> {
        let arguments = self;
        let dialect = arguments.options.dialect;
        let (start, end) = (arguments.time("start")?, arguments.time("end")?);
        if end.before(start) {
            let message = "end timestamp must not be before start time";
            return Err(ApiError::invalid_parameter(dialect, "end", message));
        }
        let step = arguments.step(start, end)?;
        if step.0 <= 0 {
            let message =
                "zero or negative query resolution step widths are not accepted. Try a positive integer";
            return Err(ApiError::invalid_parameter(dialect, "step", message));
        }
        if end.since(start) / step.0 > POINTS_MAX {
            return Err(ApiError::bad_data(
                "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
            ));
        }
        if step.millis() == 0 {
            return Err(ApiError::invalid_parameter(
                dialect,
                "step",
                "steps shorter than a millisecond are not accepted",
            ));
        }
        let times = TimeParams {
            start: Timestamp(start.engine_millis()),
            end: Timestamp(end.engine_millis()),
            step_ms: step.millis(),
        };
        arguments.query(times, step.millis() / 5)
    }

    /// Whether the request's engine can explain its plans. Ours always can; of Thanos's two engines only `thanos` can,
    /// and the Thanos dialect keeps that difference.
    fn is_analyzable(&self) -> bool {
        let engine = self.params.get("engine");
        // Distributed mode makes `thanos` the default.
        let is_default = engine.is_empty() && self.options.distributed.is_some();
        self.options.dialect == Dialect::Prometheus || engine == "thanos" || is_default
    }

    /// Whether the engine is asked for that evaluates queries without other queriers.
    fn wants_local(&self) -> bool {
        self.params.get("engine") == "prometheus"
    }
}

async fn answer(service: QueryService, call: Call, read: Read) -> Result<Answer, ApiError> {
    let dialect = service.options().dialect;
    let call = Arc::new(call);
    let asked = Instant::now();
    let evaluate = async |job: Arc<Job>| {
        let queue = asked.elapsed();
        let service_of_plan = service.clone();
        let plan = move |arguments: Arguments<'_>| {
            let limit = arguments.result_limit()?;
            let mut query = read(&arguments)?;
            if !arguments.wants_local() {
                service_of_plan.distribute(&mut query);
            }
            let mut prepared = prepare(arguments.options, &query, arguments.job.watch())?;
            service_of_plan.push_down(&mut prepared, &mut query);
            Ok((limit, query, prepared))
        };
        let begun = Instant::now();
        let (limit, query, prepared) = service.read(&job, &call, plan).await?;
        let prepare = begun.elapsed();
        service.inner.metrics.took(Stage::Prepare, prepare);
        let (from_sources, analyze) = (query.scope.notes.clone(), query.analyze);
        let evaluated = service.evaluate(&job, prepared, query).await?;
        let timings = Timings { queue, prepare, evaluate: begun.elapsed() - prepare };
        Ok((limit, from_sources, analyze, evaluated, timings))
    };
    let (limit, from_sources, analyze, evaluated, timings) =
        service.admitted(service.timeout_of(&call), evaluate).await?;
    let Evaluated { mut result, analysis, held, .. } = evaluated;
    let (mut warnings, infos) = annotations(dialect, &mut result, from_sources.take());
    if truncate(&mut result, limit) {
        warnings.push(TRUNCATED.to_owned());
    }
    warnings.extend(stats_warning(dialect, call.params.get("stats")));
    if wants_analysis(&call) && !analyze {
        warnings.push(NOT_ANALYZABLE.to_owned());
    }
    let stats = (!call.params.get("stats").is_empty()).then_some((&result.stats, timings));
    let parts = parts(result.value, stats, analysis.as_ref(), dialect);
    Ok(Answer { data: Data::Pieces(written(parts, service.inner.cpu.clone(), held)), warnings, infos })
}

/// Warns of `stats` values that Prometheus will refuse one day; until then any value asks for statistics.
fn stats_warning(dialect: Dialect, stats: &str) -> Option<String> {
    match (dialect, stats) {
        (Dialect::Thanos, _) | (Dialect::Prometheus, "" | "true" | "all") => None,
        (Dialect::Prometheus, other) => Some(format!(
            "value {} for parameter \"stats\" is deprecated and will be rejected in the next major release, use \"true\" or \"all\"",
            quote(other)
        )),
    }
}

/// Writes the parts of an answer on the CPU pool, as many at a time as the pool has threads, and yields their texts in
/// order.
///
/// `held` is the charge for the value; it is kept until all parts are written.
fn written(parts: Vec<Part>, cpu: Cpu, held: Charge) -> BoxStream<'static, Result<Vec<u8>, RuntimeError>> {
    let n_threads = cpu.threads();
    let span = info_span!("json");
    let write = move |part: Part| {
        let _held = &held;
        let cpu = cpu.clone();
        let span = span.clone();
        async move {
            match part.is_small() {
                true => Ok(span.in_scope(|| part.write())),
                false => cpu.run(Priority::Query, || part.write()).instrument(span).await,
            }
        }
    };
    stream::iter(parts).map(write).buffered(n_threads).boxed()
}

/// Whether the request asks for `analyze`, of which Thanos accepts these two values.
fn wants_analysis(call: &Call) -> bool {
    matches!(call.params.get("analyze"), "true" | "1")
}

/// Cuts the value to `limit` series. Returns whether there were more.
fn truncate(result: &mut QueryResult, limit: usize) -> bool {
    let len = match &result.value {
        Value::Vector(samples) => samples.len(),
        Value::Matrix(series) => series.len(),
        Value::Scalar { .. } | Value::String { .. } => 0,
    };
    if limit == 0 || len <= limit {
        return false;
    }
    match &mut result.value {
        Value::Vector(samples) => samples.truncate(limit),
        Value::Matrix(series) => series.truncate(limit),
        Value::Scalar { .. } | Value::String { .. } => {}
    }
    true
}

impl Arguments<'_> {
    /// `limit` of a query, a parameter that Thanos does not have; 0 means no limit.
    fn result_limit(&self) -> Result<usize, ApiError> {
        match self.options.dialect {
            Dialect::Prometheus => self.limit(),
            Dialect::Thanos => Ok(0),
        }
    }

    /// `step`; the Thanos dialect computes one when it is missing.
    fn step(&self, start: GoTime, end: GoTime) -> Result<GoDuration, ApiError> {
        let text = self.params.get("step");
        match self.options.dialect {
            Dialect::Thanos if text.is_empty() => {
                let seconds = (end.since(start) / 1_000_000_000 / 250)
                    .max(i64::try_from(self.options.default_step.as_secs()).unwrap_or(i64::MAX));
                Ok(GoDuration(seconds.saturating_mul(1_000_000_000)))
            }
            Dialect::Thanos => {
                parse_duration(text).map_err(|e| ApiError::bad_data(format!("'step' parameter: {e}")))
            }
            Dialect::Prometheus => {
                parse_duration(text).map_err(|e| ApiError::invalid_parameter(Dialect::Prometheus, "step", e))
            }
        }
    }

    /// The query with all parameters that instant and range queries share. `automatic` is the resolution in
    /// milliseconds that `auto` stands for.
    fn query(&self, times: TimeParams, automatic: i64) -> Result<Query, ApiError> {
        let timeout = self.timeout()?;
        if let Some(engine) =
            Some(self.params.get("engine")).filter(|e| !matches!(*e, "" | "prometheus" | "thanos"))
        {
            return Err(ApiError::bad_data(format!("'{engine}' bad engine")));
        }
        let query = Query {
            text: self.params.get("query").to_owned(),
            times,
            lookback_ms: self.lookback()?,
            replica_labels: self.replica_labels()?,
            replica_rule: self.replica_rule()?,
            max_resolution_ms: self.max_resolution(automatic)?,
            scope: Scope {
                tenant: self.tenant()?,
                partial: self.flag("partial_response", self.options.partial_response)?,
                store_matchers: self.store_matchers()?,
                notes: Notes::default(),
            },
            shard: self.shard()?,
            enforced: self.enforced()?,
            analyze: matches!(self.params.get("analyze"), "true" | "1") && self.is_analyzable(),
            distribution: None,
            part_stores: Vec::new(),
        };
        if timeout.is_some_and(|t| t < Duration::from_micros(1)) {
            return Err(match self.options.dialect {
                Dialect::Prometheus => {
                    ApiError::invalid_parameter(Dialect::Prometheus, "query", "context deadline exceeded")
                }
                Dialect::Thanos => ApiError::timeout("query timed out in query execution"),
            });
        }
        Ok(query)
    }

    fn timeout(&self) -> Result<Option<Duration>, ApiError> {
        match self.params.get("timeout") {
            "" => Ok(None),
            text => parse_duration(text)
                .map(|d| Some(Duration::from_nanos(u64::try_from(d.0).unwrap_or(0))))
                .map_err(|e| ApiError::invalid_parameter(self.options.dialect, "timeout", e)),
        }
    }

    /// `lookback_delta` in milliseconds; `None` when missing or not positive, so that the default applies.
    fn lookback(&self) -> Result<Option<i64>, ApiError> {
        let text = self.params.get("lookback_delta");
        if text.is_empty() {
            return Ok(None);
        }
        let prefix = match self.options.dialect {
            Dialect::Prometheus => "error parsing lookback delta duration",
            Dialect::Thanos => "'lookback_delta' parameter",
        };
        let lookback = parse_duration(text).map_err(|e| ApiError::bad_data(format!("{prefix}: {e}")))?;
        Ok((lookback.0 > 0).then_some(lookback.millis()))
    }

    /// `shard_info`: the share of all series that a query frontend asks this querier to read.
    fn shard(&self) -> Result<Option<SeriesShard>, ApiError> {
        #[derive(Default, serde::Deserialize)]
        #[serde(default)]
        struct Wanted {
            shard_index: i64,
            total_shards: i64,
            by: bool,
            labels: Vec<String>,
        }
        let text = self.params.get("shard_info");
        if text.is_empty() {
            return Ok(None);
        }
        let Wanted { shard_index, total_shards, by, labels } =
            serde_json::from_str::<Option<Wanted>>(text).map(Option::unwrap_or_default).map_err(|e| {
                let why = go_json_error(text, &e);
                ApiError::bad_data(format!("could not unmarshal parameter shard_info: {why}"))
            })?;
        Ok(SeriesShard::from_signed(shard_index, total_shards, by, labels))
    }
}

/// Go's message for the most common JSON mistakes, and serde's for the others.
fn go_json_error(text: &str, error: &serde_json::Error) -> String {
    match text.trim_start().chars().next() {
        Some(c) if !matches!(c, '{' | '[' | '"' | '-' | '0'..='9' | 't' | 'f' | 'n') => {
            format!("invalid character '{c}' looking for beginning of value")
        }
        None => "unexpected end of JSON input".to_owned(),
        _ => error.to_string(),
    }
}
