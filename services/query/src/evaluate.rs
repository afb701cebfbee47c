//! Evaluates one query: plan, gate, fan-out, evaluation on the CPU pool.

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use futures::future::{Either, select, try_join_all};
use tithon_chunks::{ErrorKind, TimeRange, Timestamp};
use tithon_engine::dedup::{ReadError, ReplicaRule};
use tithon_engine::{SeriesRequest, SeriesShard};
use tithon_index::Matcher;
use tithon_promql::{
    Analysis, Charge, EvalContext, MatrixSeries, Options, OverBudget, Prepared, QueryError, QueryResult,
    Sample, SelectInput, SelectSpec, TimeParams, Value, VectorSample, Watch,
};
use tithon_runtime::{Cpu, Priority, RuntimeError};
use tracing::field::Empty;
use tracing::{Span, instrument};

use crate::QueryService;
use crate::durations::Stage;
use crate::error::ApiError;
use crate::fanout::{Handle, Purpose, Scope, Selection, SourceError, Unordered, to_series};
use crate::job::{Job, canceled};
use crate::lookback::lookback_ms;
use crate::options::{Dialect, QueryOptions};
use crate::slow::Slow;

/// A query and its settings.
pub(crate) struct Query {
    pub(crate) text: String,
    pub(crate) times: TimeParams,
    /// `lookback_delta` of the request; `None` for the default.
    pub(crate) lookback_ms: Option<i64>,
    /// Labels that tell replicas apart; without any there is no deduplication.
    pub(crate) replica_labels: Vec<String>,
    /// How replicas are deduplicated.
    pub(crate) replica_rule: ReplicaRule,
    /// The coarsest resolution that may be read, in milliseconds.
    pub(crate) max_resolution_ms: i64,
    pub(crate) scope: Scope,
    /// The share of all series to read, when a query frontend split the query.
    pub(crate) shard: Option<SeriesShard>,
    /// The tenant's matcher that every selector gets; `None` when tenancy is not enforced.
    pub(crate) enforced: Option<Matcher>,
    /// Whether to measure what each operator costs.
    pub(crate) analyze: bool,
}

/// Parses and plans a query.
#[instrument(name = "promql_plan", skip_all)]
pub(crate) fn prepare(options: &QueryOptions, query: &Query, watch: Watch<'_>) -> Result<Prepared, ApiError> {
    Prepared::within(&query.text, query.times, &engine_options(options, query), watch).map_err(|error| {
        match error {
            QueryError::Parse(_) | QueryError::BadData(_) => {
                ApiError::invalid_parameter(options.dialect, "query", error)
            }
            error => failure(&error),
        }
    })
}

/// How a run of a query reads its chunks and series. A failed run is repeated with the next value.
#[derive(Clone, Copy, PartialEq)]
enum Care {
    /// Chunks are decoded when the evaluator needs them, and series are used in the order they arrive.
    Usual,
    /// Evaluation begins when all series have arrived, so that series out of order can be sorted.
    Ordered,
    /// Each chunk is decoded before evaluation; one that cannot be decoded is left out with a warning that names the
    /// store.
    EveryChunk,
}

impl QueryService {
    /// Evaluates a planned query.
    #[instrument(name = "promql_query", skip_all, fields(query = query.text, samples = Empty))]
    pub(crate) async fn evaluate(
        &self,
        job: &Arc<Job>,
        prepared: Prepared,
        query: Query,
    ) -> Result<Evaluated, ApiError> {
        let _evaluating = self.inner.metrics.evaluating();
        let _active = self.inner.active.as_ref().map(|active| active.begin(&query.text));
        let _watched = Slow::watch(&query, self.options().log_longer_than);
        let (begun, query) = (Instant::now(), Arc::new(query));
        let done = self.attempts(job, &Arc::new(prepared), &query).await;
        self.inner.metrics.took(Stage::Evaluate, begun.elapsed());
        done
    }

    /// Runs the query until a run's result can be used. A run is repeated
    /// - with sorted series, when a store sent series out of order after reading had begun,
    /// - with every chunk decoded before evaluation, when a chunk cannot be decoded: the evaluator does not know which
    ///   store sent the chunk, and the warning must name the store,
    /// - as it was, when a mapped file was cut: by then the store leaves that block out.
    async fn attempts(
        &self,
        job: &Arc<Job>,
        prepared: &Arc<Prepared>,
        query: &Arc<Query>,
    ) -> Result<Evaluated, ApiError> {
        let (mut care, mut n_cut) = (Care::Usual, 0);
        loop {
            match self.run(job, prepared, query, care).await {
                Err(Failure::Cut(_)) if n_cut < CUT_MAX => n_cut += 1,
                Err(Failure::Unordered(_)) if care == Care::Usual => care = Care::Ordered,
                Err(Failure::Damage(_)) if care != Care::EveryChunk => care = Care::EveryChunk,
                done => return done.map_err(Failure::into_error),
            }
        }
    }

    async fn run(
        &self,
        job: &Arc<Job>,
        prepared: &Arc<Prepared>,
        query: &Arc<Query>,
        care: Care,
    ) -> Result<Evaluated, Failure> {
        let inner = &self.inner;
        let (mut selections, mut calls) = (Vec::with_capacity(prepared.selects().len()), Vec::new());
        let range = whole_range(prepared.selects());
        for spec in prepared.selects() {
            let purpose = purpose(spec, range, query, &inner.options);
            let request = series_request(spec, query, &purpose);
            let begun = inner.fanout.begin(request, &query.scope, job);
            let (selection, begun) = begun.map_err(|error| failure(&storage(error)))?;
            calls.extend(begun);
            selections.push((selection, purpose));
        }
        let handles: Vec<_> = selections.iter().map(|(selection, _)| selection.handle()).collect();
        let mut arriving = pin!(try_join_all(calls));
        // A short answer is evaluated once all of it has arrived, a long one while the rest is on its way.
        let arrived = match care {
            Care::Usual => match select(&mut arriving, pin!(job.has_much())).await {
                Either::Left((arrived, _)) => Some(arrived),
                Either::Right(_) => None,
            },
            Care::Ordered | Care::EveryChunk => Some(arriving.as_mut().await),
        };
        let is_there = arrived.is_some();
        arrived.transpose().map_err(receiving)?;
        if care == Care::EveryChunk {
            let mut sound = Vec::with_capacity(selections.len());
            for (selection, purpose) in selections {
                sound.push((self.sound(selection, job, query, &purpose.function).await?, purpose));
            }
            selections = sound;
        }
        let (job, prepared, query) = (Arc::clone(job), Arc::clone(prepared), Arc::clone(query));
        let is_light = is_there && is_light(&prepared, &query, job.received_bytes());
        let cpu = inner.cpu.clone();
        let evaluate = move || {
            let inputs =
                selections.into_iter().map(|(selection, purpose)| input(selection, purpose)).collect();
            let pool = (!is_light).then(|| cpu.query_pool());
            let ctx = EvalContext { pool, cancelled: job.cancelled() };
            let (result, analysis) = if query.analyze {
                let begun = Instant::now();
                let (result, analysis) = prepared.eval_analyzed(inputs, &ctx, &|| begun.elapsed())?;
                (result, Some(analysis))
            } else {
                (prepared.eval(inputs, &ctx)?, None)
            };
            let mut held = job.charge();
            held.grow(bytes_of(&result.value))?;
            Ok(Evaluated { result, analysis, held })
        };
        let done = match is_there {
            true if is_light => Cpu::run_here(evaluate),
            true => inner.cpu.run(Priority::Query, evaluate).await,
            false => meanwhile(arriving, &handles, inner.cpu.run_beside(evaluate)).await?,
        };
        if let Some(error) = handles.iter().find_map(|handle| handle.lease().check().err()) {
            return Err(Failure::Cut(failure(&storage(error.into()))));
        }
        match done {
            Ok(Ok(evaluated)) => {
                let samples = evaluated.result.stats.total_samples;
                inner.metrics.read_samples(samples);
                Span::current().record("samples", samples);
                Ok(evaluated)
            }
            Ok(Err(error)) if is_damage(&error) => Err(Failure::Damage(failure(&error))),
            Ok(Err(error)) => Err(failure(&error).into()),
            Err(error) => Err(ApiError::execution(format!("unexpected error: {error}")).into()),
        }
    }

    /// The selection without the chunks that cannot be decoded.
    async fn sound(
        &self,
        selection: Selection,
        job: &Arc<Job>,
        query: &Arc<Query>,
        function: &str,
    ) -> Result<Selection, ApiError> {
        let (job, query, function) = (Arc::clone(job), Arc::clone(query), function.to_owned());
        self.on_pool(move || {
            selection.sound(&function, &query.scope, &job).map_err(|error| failure(&storage(error)))
        })
        .await
    }
}

/// Whether an evaluation takes less time than moving it to another thread: few bytes were received, and few steps look
/// at each of them.
fn is_light(prepared: &Prepared, query: &Query, received: u64) -> bool {
    const BYTES_MAX: u64 = 256 << 10;
    const BYTES_TIMES_STEPS_MAX: u64 = 16 << 20;
    let TimeParams { start, end, step_ms } = query.times;
    let steps = if step_ms > 0 { end.0.saturating_sub(start.0) / step_ms + 1 } else { 1 };
    let steps = u64::try_from(steps).unwrap_or(u64::MAX);
    received <= BYTES_MAX && received.saturating_mul(steps) <= BYTES_TIMES_STEPS_MAX && prepared.is_light()
}

/// The outcome of an evaluation on the CPU pool.
type Done = Result<Result<Evaluated, QueryError>, RuntimeError>;

/// Waits for an evaluation and for the calls to stores that feed it. A failed call stops the evaluation and is the
/// error of the query; a failed evaluation ends the calls.
async fn meanwhile(
    mut arriving: impl Future<Output = Result<Vec<()>, SourceError>> + Unpin,
    handles: &[Handle],
    evaluating: impl Future<Output = Done>,
) -> Result<Done, Failure> {
    match select(&mut arriving, pin!(evaluating)).await {
        Either::Left((Ok(_), evaluating)) => Ok(evaluating.await),
        Either::Left((Err(error), evaluating)) => {
            handles.iter().for_each(Handle::stop);
            // The evaluation uses what has been received, so it has to end first.
            drop(evaluating.await);
            Err(receiving(error))
        }
        Either::Right((Ok(Ok(evaluated)), _)) => {
            // Calls whose series were not needed may still end with a warning.
            arriving.await.map_err(receiving)?;
            Ok(Ok(Ok(evaluated)))
        }
        Either::Right((done, _)) => Ok(done),
    }
}

/// Makes a failure of the error of a call to a store.
fn receiving(error: SourceError) -> Failure {
    if error.is::<Unordered>() {
        return Failure::Unordered(failure(&storage(error)));
    }
    failure(&storage(error)).into()
}

/// How often a query is repeated because files were cut.
const CUT_MAX: usize = 3;

/// Why a run has no result.
enum Failure {
    /// A chunk cannot be decoded.
    Damage(ApiError),
    /// A mapped file was cut while its chunks were read.
    Cut(ApiError),
    /// A store sent series out of order after reading had begun.
    Unordered(ApiError),
    Other(ApiError),
}

impl Failure {
    fn into_error(self) -> ApiError {
        match self {
            Failure::Damage(error)
            | Failure::Cut(error)
            | Failure::Unordered(error)
            | Failure::Other(error) => error,
        }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Failure {
        Failure::Other(error)
    }
}

/// Whether the error means damaged chunk data.
fn is_damage(error: &QueryError) -> bool {
    match error {
        QueryError::Chunk(_) => true,
        QueryError::Storage(error) => error.is::<ReadError>(),
        _ => false,
    }
}

/// Makes the engine's error of a store's error; an exceeded budget keeps its own variant.
fn storage(error: SourceError) -> QueryError {
    match error.downcast::<OverBudget>() {
        Ok(over) => QueryError::TooManyBytes(*over),
        Err(error) => QueryError::Storage(error),
    }
}

/// A query's result, the costs of its operators if `analyze` was asked for, and the charge for the value's memory.
pub(crate) struct Evaluated {
    pub(crate) result: QueryResult,
    pub(crate) analysis: Option<Analysis>,
    pub(crate) held: Charge,
}

/// Memory of a value in bytes.
fn bytes_of(value: &Value) -> u64 {
    let bytes = match value {
        Value::Scalar { .. } => 0,
        Value::String { v, .. } => v.len(),
        Value::Vector(samples) => samples
            .iter()
            .map(|one| {
                let histogram = match &one.sample {
                    Sample::Histogram(h) => h.size_bytes(),
                    Sample::Float(_) => 0,
                };
                size_of::<VectorSample>() + one.labels.bytes() + histogram
            })
            .sum(),
        Value::Matrix(series) => series
            .iter()
            .map(|one| {
                let histograms = one.samples.histograms.values.iter().map(|h| h.size_bytes()).sum::<usize>();
                size_of::<MatrixSeries>() + one.labels.bytes() + 16 * one.samples.floats.len() + histograms
            })
            .sum(),
    };
    bytes as u64
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
        enforced: query.enforced.clone(),
        dropped_labels: query.replica_labels.iter().map(|label| label.as_bytes().into()).collect(),
        ..Options::default()
    }
}

/// The time range of all selectors together. Deduplication follows replicas from its start on, whichever selector reads
/// them.
fn whole_range(selects: &[SelectSpec]) -> TimeRange {
    let min = selects.iter().map(|s| s.range.min).min().unwrap_or(Timestamp::MIN);
    let max = selects.iter().map(|s| s.range.max).max().unwrap_or(Timestamp::MAX);
    TimeRange { min, max }
}

fn purpose(spec: &SelectSpec, range: TimeRange, query: &Query, options: &QueryOptions) -> Purpose {
    Purpose {
        function: spec.hints.func.clone(),
        range,
        dedup: (!query.replica_labels.is_empty()).then_some(query.replica_rule),
        dialect: options.dialect,
    }
}

fn series_request(spec: &SelectSpec, query: &Query, purpose: &Purpose) -> SeriesRequest {
    SeriesRequest {
        max_resolution_ms: resolution_for(spec, query.max_resolution_ms),
        aggregates: purpose.aggregates(),
        without_labels: query.replica_labels.clone(),
        shard: query.shard.clone(),
        ..SeriesRequest::new(spec.matchers.clone(), spec.range)
    }
}

/// The coarsest resolution for a selector. Functions that compare neighbouring samples need at least two samples in
/// their window. Thanos `pkg/query/querier.go`.
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

/// Makes the evaluator's input of a selection.
fn input(selection: Selection, purpose: Purpose) -> SelectInput {
    let mut to_series = to_series(purpose);
    Box::new(selection.into_stream().map(move |series| Ok(to_series(series?))))
}

/// The API's error for an error of the engine.
pub(crate) fn failure(error: &QueryError) -> ApiError {
    match error.kind() {
        ErrorKind::Cancelled => canceled(error.to_string()),
        _ => ApiError::execution(error.to_string()),
    }
}

/// The warnings and infos of an answer, as each dialect shows them.
pub(crate) fn notes(
    dialect: Dialect,
    result: &mut QueryResult,
    from_sources: Vec<String>,
) -> (Vec<String>, Vec<String>) {
    /// Prometheus shows at most this many warnings, and as many infos.
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

/// A PromQL warning or info without its ` (line:column)` suffix.
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
