//! Evaluates one planned query: fan-out, evaluation on the CPU pool.

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use futures::future::{Either, select, try_join, try_join_all};
use tithon_engine::dedup::ReadError;
use tithon_promql::{
    Analysis, Charge, EvalContext, MatrixSeries, OverBudget, PartRow, PartValue, Prepared, QueryError,
    QueryResult, Sample, SelectInput, TimeParams, Value, VectorSample,
};
use tithon_runtime::{Cpu, Priority, RuntimeError};
use tracing::field::Empty;
use tracing::{Span, instrument};

use crate::QueryService;
use crate::durations::Stage;
use crate::error::ApiError;
use crate::fanout::{Handle, Purpose, Selection, SourceError, Unordered, to_series};
use crate::job::Job;
use crate::pushdown::{PartError, PartValues};
use crate::query::{Query, prepare, purpose, series_request};
use crate::remote::Received;
use crate::slow::Slow;

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
        let done = match self.attempts(job, &Arc::new(prepared), &query).await {
            Err(Failure::Part(_)) => self.evaluate_here(job, &query).await,
            done => done,
        };
        let done = done.map_err(Failure::into_error);
        self.inner.metrics.took(Stage::Evaluate, begun.elapsed());
        done
    }

    /// Evaluates a query whose parts stores could not evaluate.
    async fn evaluate_here(&self, job: &Arc<Job>, query: &Arc<Query>) -> Result<Evaluated, Failure> {
        let (service, job_of_plan, query_of_plan) = (self.clone(), Arc::clone(job), Arc::clone(query));
        let plan = move || prepare(service.options(), &query_of_plan, job_of_plan.watch());
        let prepared = Arc::new(self.on_pool(plan).await?);
        self.attempts(job, &prepared, query).await
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
    ) -> Result<Evaluated, Failure> {
        let (mut care, mut n_cut) = (Care::Usual, 0);
        loop {
            match self.run(job, prepared, query, care).await {
                Err(Failure::Cut(_)) if n_cut < CUT_MAX => n_cut += 1,
                Err(Failure::Unordered(_)) if care == Care::Usual => care = Care::Ordered,
                Err(Failure::Damage(_)) if care != Care::EveryChunk => care = Care::EveryChunk,
                done => return done,
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
        let range = prepared.range();
        for spec in prepared.selects() {
            let purpose = purpose(spec, range, query, &inner.options);
            let request = series_request(spec, query, &purpose);
            let begun = inner.fanout.begin(request, &query.scope, job);
            let (selection, begun) = begun.map_err(|error| ApiError::of_query(&storage(error)))?;
            calls.extend(begun);
            selections.push((selection, purpose));
        }
        let handles: Vec<_> = selections.iter().map(|(selection, _)| selection.handle()).collect();
        let mut arriving = pin!(try_join_all(calls));
        // A short answer is evaluated once all of it has arrived, a long one while the rest is on its way. Results of other
        // queriers are waited for in any case.
        let (mut received, mut parts) = (Received::default(), PartValues::default());
        let arrived = match care {
            _ if !prepared.store_parts().is_empty() => {
                let values = async { Ok(self.receive_values(prepared, query, job).await?) };
                let stores = async { arriving.as_mut().await.map_err(receiving) };
                (_, parts) = try_join(stores, values).await?;
                Some(Ok(Vec::new()))
            }
            _ if !prepared.remote_parts().is_empty() => {
                let parts = async {
                    let received = self.receive_parts(prepared, query, job).await;
                    received.map_err(|error| Failure::from(remote(error)))
                };
                let stores = async { arriving.as_mut().await.map_err(receiving) };
                let (_, parts) = try_join(stores, parts).await?;
                received = parts;
                Some(Ok(Vec::new()))
            }
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
        let remote_samples = received.samples;
        let evaluate = move || {
            let (remote, _held) = received.into_inputs();
            let inputs = selections.into_iter().map(|(selection, purpose)| input(selection, purpose));
            let inputs = inputs.chain(remote).collect();
            let pool = (!is_light).then(|| cpu.query_pool());
            let ctx = EvalContext { pool, cancelled: job.cancelled() };
            let PartValues { values, held: _held_of_parts } = parts;
            let (mut analysis, mut part) = (None, None);
            let mut held = job.charge();
            let mut result = if prepared.is_part() {
                let value = prepared.eval_part(inputs, &ctx)?;
                held.grow(value.rows.iter().map(PartRow::bytes).sum())?;
                let (warnings, infos, stats) = (Vec::new(), Vec::new(), value.stats);
                part = Some(value);
                QueryResult { value: Value::Matrix(Vec::new()), warnings, infos, stats }
            } else if query.analyze {
                let begun = Instant::now();
                let (result, costs) = prepared.eval_analyzed(inputs, values, &ctx, &|| begun.elapsed())?;
                analysis = Some(costs);
                result
            } else {
                prepared.eval_with(inputs, values, &ctx)?
            };
            let (total, peak) = remote_samples;
            result.stats.total_samples = result.stats.total_samples.saturating_add(total);
            result.stats.peak_samples = result.stats.peak_samples.max(peak);
            held.grow(bytes_of(&result.value))?;
            Ok(Evaluated { result, analysis, part, held })
        };
        let done = match is_there {
            true if is_light => Cpu::run_here(evaluate),
            true => inner.cpu.run(Priority::Query, evaluate).await,
            false => meanwhile(arriving, &handles, inner.cpu.run_beside(evaluate)).await?,
        };
        if let Some(error) = handles.iter().find_map(|handle| handle.lease().check().err()) {
            return Err(Failure::Cut(ApiError::of_query(&storage(error.into()))));
        }
        match done {
            Ok(Ok(evaluated)) => {
                let samples = evaluated.result.stats.total_samples;
                inner.metrics.read_samples(samples);
                Span::current().record("samples", samples);
                Ok(evaluated)
            }
            Ok(Err(error)) if is_damage(&error) => Err(Failure::Damage(ApiError::of_query(&error))),
            Ok(Err(error)) => Err(ApiError::of_query(&error).into()),
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
            selection
                .sound(&function, &query.scope, &job)
                .map_err(|error| ApiError::of_query(&storage(error)))
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
        return Failure::Unordered(ApiError::of_query(&storage(error)));
    }
    ApiError::of_query(&storage(error)).into()
}

/// The error of a query for that of another querier.
fn remote(error: SourceError) -> ApiError {
    match error.downcast::<OverBudget>() {
        Ok(over) => ApiError::of_query(&QueryError::TooManyBytes(*over)),
        Err(error) => ApiError::execution(error.to_string()),
    }
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
    /// A store did not evaluate a part.
    Part(PartError),
    Other(ApiError),
}

impl Failure {
    fn into_error(self) -> ApiError {
        match self {
            Failure::Damage(error)
            | Failure::Cut(error)
            | Failure::Unordered(error)
            | Failure::Other(error) => error,
            Failure::Part(error) => ApiError::execution(error.to_string()),
        }
    }
}

impl From<PartError> for Failure {
    fn from(error: PartError) -> Failure {
        Failure::Part(error)
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
    /// The value of a part, if the query is one; the result has its counts only.
    pub(crate) part: Option<PartValue>,
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

/// Makes the evaluator's input of a selection.
fn input(selection: Selection, purpose: Purpose) -> SelectInput {
    let mut to_series = to_series(purpose);
    Box::new(selection.into_stream().map(move |series| Ok(to_series(series?))))
}
