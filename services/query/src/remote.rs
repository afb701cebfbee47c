//! Distributed mode: parts of a query are evaluated by the queriers below this one, over their own data. Thanos
//! `pkg/query/remote_engine.go`.

mod answer;
mod holdings;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::try_join_all;
use tithon_chunks::Timestamp;
use tithon_promql::{Charge, OverBudget, Prepared, RemotePart, Remotes, SelectInput, Series, TimeParams};
use tithon_storeapi::{Endpoint, EndpointError, PromqlPiece, PromqlRequest, PromqlTimes};
use tracing::debug;

use self::answer::{Answer, Malformed};
use crate::QueryService;
use crate::fanout::SourceError;
use crate::job::Job;
use crate::lookback::lookback_ms;
use crate::options::QueryOptions;
use crate::query::Query;
use crate::slow::for_log;

/// The queriers that a query is distributed over.
#[derive(Clone)]
pub(crate) struct Distribution {
    /// What they hold, for the plan.
    pub(crate) remotes: Arc<Remotes>,
    /// The queriers, in the order of the plan's indexes.
    endpoints: Vec<Endpoint>,
}

/// The results of all parts of a query.
#[derive(Default)]
pub(crate) struct Received {
    /// For each part its series, ascending by labels.
    parts: Vec<Vec<Series>>,
    /// The charge for them.
    held: Vec<Charge>,
    /// The samples that queriers have read in all, and the most that one has held.
    pub(crate) samples: (u64, u64),
}

/// Why a querier's answer cannot be used.
#[derive(Debug, thiserror::Error)]
enum RemoteError {
    /// The call failed.
    #[error(transparent)]
    Call(EndpointError),
    /// The answer does not belong to the query.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The query may not hold so much.
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
}

impl QueryService {
    /// Lets the query be distributed over the queriers below this one, in the mode for that. The times of a query that is
    /// distributed are cut to whole seconds, as in Thanos, since these are what queriers are asked for.
    ///
    /// Queries are evaluated here as in local mode if their answers depend on settings that queriers below cannot be told:
    /// `storeMatch[]`, a way of deduplication other than the configured one, steps and lookbacks of fractions of seconds, and
    /// the flags that let this querier see a part of its stores only.
    pub(crate) fn distribute(&self, query: &mut Query) {
        let options = self.options();
        let Some(partitioning) = &options.distributed else { return };
        let can_be_told = query.scope.store_matchers.is_empty()
            && query.replica_rule == options.dedup_function
            && query.times.step_ms % 1000 == 0
            && lookback(options, query) % 1000 == 0
            && self.inner.fanout.sees_all();
        if !can_be_told {
            return;
        }
        let (remotes, endpoints) = self.inner.fanout.holdings(&query.replica_labels, partitioning);
        if endpoints.is_empty() {
            return;
        }
        let whole = |t: Timestamp| Timestamp(t.0.div_euclid(1000).saturating_mul(1000));
        let TimeParams { start, end, step_ms } = query.times;
        query.times = TimeParams { start: whole(start), end: whole(end), step_ms };
        query.distribution = Some(Distribution { remotes: Arc::new(remotes), endpoints });
    }

    /// Asks queriers for all parts of a query at once, and waits for their answers. A querier that fails costs a warning and
    /// its part where partial answers are allowed.
    ///
    /// Fails with the error of a querier, and when the query holds more than it may.
    pub(crate) async fn receive_parts(
        &self,
        prepared: &Prepared,
        query: &Query,
        job: &Job,
    ) -> Result<Received, SourceError> {
        let Some(distribution) = &query.distribution else { return Ok(Received::default()) };
        let ask = |part| self.receive_part(part, distribution, query, job);
        let answers = try_join_all(prepared.remote_parts().iter().map(ask)).await?;
        let mut received = Received::default();
        for answer in answers {
            let (total, peak) = received.samples;
            received.samples = (total.saturating_add(answer.samples.0), peak.max(answer.samples.1));
            received.parts.push(answer.series);
            received.held.push(answer.held);
        }
        Ok(received)
    }

    async fn receive_part(
        &self,
        part: &RemotePart,
        distribution: &Distribution,
        query: &Query,
        job: &Job,
    ) -> Result<Part, SourceError> {
        let endpoint = &distribution.endpoints[part.engine];
        let (begun, mut warnings) = (Instant::now(), Vec::new());
        let received = self.receive(part, endpoint, query, job, &mut warnings).await;
        let address = endpoint.address();
        for warning in warnings {
            query.scope.notes.push(format!("remote query warning ({address}): {warning}"));
        }
        match received {
            Ok(answer) => {
                let (total, peak) = answer.samples;
                debug!(
                    query = for_log(&part.query),
                    address,
                    time = ?begun.elapsed(),
                    remote_peak_samples = peak,
                    remote_total_samples = total,
                    "executed remote query"
                );
                Ok(answer)
            }
            Err(RemoteError::OverBudget(over)) => Err(over.into()),
            Err(error) => {
                let text = match error {
                    // The address is in the text already.
                    RemoteError::Call(EndpointError::Call { status, .. }) => status,
                    error => error.to_string(),
                };
                query.scope.tolerate(format!("remote query error ({address}): {text}").into())?;
                Ok(Part { series: Vec::new(), held: job.charge(), samples: (0, 0) })
            }
        }
    }

    /// Reads the answer of one querier to its end.
    async fn receive(
        &self,
        part: &RemotePart,
        endpoint: &Endpoint,
        query: &Query,
        job: &Job,
        warnings: &mut Vec<String>,
    ) -> Result<Part, RemoteError> {
        let mut pieces = endpoint.promql(self.request(part, query));
        let (mut answer, mut held) = (Answer::new(part.times), job.charge());
        let mut samples = (0, 0);
        while let Some(piece) = pieces.next().await {
            match piece.map_err(RemoteError::Call)? {
                PromqlPiece::Warning(text) => {
                    held.grow(text.len() as u64)?;
                    warnings.push(text);
                }
                PromqlPiece::Samples(total, peak) => samples = (total, peak),
                PromqlPiece::Series(batch) => {
                    for one in batch {
                        let bytes = answer::bytes_of(&one);
                        held.grow(bytes)?;
                        job.received(bytes);
                        answer.add(one)?;
                    }
                }
            }
        }
        Ok(Part { series: answer.finish()?, held, samples })
    }

    fn request(&self, part: &RemotePart, query: &Query) -> PromqlRequest {
        let options = self.options();
        let second = |t: Timestamp| t.0 / 1000;
        let TimeParams { start, end, step_ms } = part.times;
        let times = match (second(start), second(end), step_ms / 1000) {
            // An instant query at 0 would be one at the present time.
            (at, _, 0) if at != 0 => PromqlTimes::Instant(Some(at)),
            (start, end, step) => PromqlTimes::Range { start, end, step: step.max(1) },
        };
        PromqlRequest {
            query: part.query.to_string(),
            times,
            timeout: Some(options.timeout.max(Duration::from_secs(1))),
            max_resolution_ms: Some(query.max_resolution_ms),
            replica_labels: query.replica_labels.clone(),
            store_matchers: Vec::new(),
            dedup: !query.replica_labels.is_empty(),
            partial_response: query.scope.partial,
            shard: query.shard.clone(),
            lookback_ms: Some(lookback(options, query)),
            local: false,
        }
    }
}

/// The result of one part.
struct Part {
    series: Vec<Series>,
    held: Charge,
    samples: (u64, u64),
}

impl Received {
    /// The evaluator's inputs, and the charge for them.
    pub(crate) fn into_inputs(self) -> (Vec<SelectInput>, Vec<Charge>) {
        let input = |series: Vec<Series>| Box::new(series.into_iter().map(Ok)) as SelectInput;
        (self.parts.into_iter().map(input).collect(), self.held)
    }
}

/// The lookback of a query, milliseconds.
fn lookback(options: &QueryOptions, query: &Query) -> i64 {
    query.lookback_ms.unwrap_or_else(|| lookback_ms(options, query.max_resolution_ms))
}
