//! The gRPC service `tithon.Parts`, which Thanos does not have: a store evaluates parts of queries next to its data.

mod wire;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use tithon_engine::SeriesShard;
use tithon_engine::dedup::ReplicaRule;
use tithon_index::Matcher;
use tithon_promql::{Annotation, ParseOptions, PartRow, PartValue, QueryStats, TimeParams};
use tithon_proto::tithon::parts_server::{self, PartsServer as Server};
use tithon_proto::tithon::{self, PartRefusal, PartResponse, part_response};
use tithon_proto::{ConvertError, part_row_from_wire, part_row_to_wire};
use tithon_runtime::GrpcServices;
use tonic::{Request, Response, Status};

use self::wire::{annotation_to_wire, request_from_wire};
pub(crate) use self::wire::{piece, request_to_wire};
use crate::StoreApiError;
use crate::server::tenant;

/// The version of plans and of their evaluation. It grows when a change of either gives other nodes or other values, since querier
/// and store must agree on both.
pub const PARTS_VERSION: u32 = 1;

/// A node of the plan of a query, for a store to evaluate.
#[derive(Clone, Debug)]
pub struct PartRequest {
    /// The whole query.
    pub query: String,
    /// Its times.
    pub times: TimeParams,
    /// The number of the node.
    pub node: u32,
    /// The text of the node.
    pub text: String,
    /// How long the evaluation may take.
    pub timeout: Duration,
    /// The tenant that the query is for.
    pub tenant: String,
    /// Lookback of instant selectors, milliseconds.
    pub lookback_ms: i64,
    /// Step of subqueries that name none, milliseconds.
    pub default_subquery_step_ms: i64,
    /// The coarsest resolution that may be read, milliseconds.
    pub max_resolution_ms: i64,
    /// The most samples that the evaluation may hold.
    pub max_samples: u64,
    /// Labels that tell replicas apart; without any there is no deduplication.
    pub replica_labels: Vec<String>,
    /// How replicas are deduplicated.
    pub replica_rule: ReplicaRule,
    /// The share of all series to read.
    pub shard: Option<SeriesShard>,
    /// The matcher that all selectors get.
    pub enforced: Option<Matcher>,
    /// The parts of the language that are accepted.
    pub parse: ParseOptions,
}

/// The value of a part.
pub struct PartAnswer {
    /// The value.
    pub value: PartValue,
    /// The charge for its memory, kept until all is sent.
    pub held: Box<dyn Send>,
}

/// A piece of the answer of a store.
#[derive(Debug)]
pub enum PartPiece {
    /// Rows.
    Rows(PartRows),
    /// The end of the answer.
    Summary(PartSummary),
    /// The store does not evaluate the part, for this reason.
    Refusal(String),
}

/// What an evaluation leaves behind besides its rows.
#[derive(Debug)]
pub struct PartSummary {
    /// The number of rows.
    pub rows: u64,
    /// The annotations as the store sent them.
    pub annotations: Vec<Annotation>,
    /// The counts of samples.
    pub stats: QueryStats,
}

/// Rows as a store sent them. Each is read when it is asked for, since a short message may have rows of many steps.
#[derive(Debug)]
pub struct PartRows {
    rows: std::vec::IntoIter<tithon::PartRow>,
    steps: usize,
}

/// A row cannot be read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(transparent)]
pub struct RowUnreadable(ConvertError);

impl Iterator for PartRows {
    type Item = Result<PartRow, RowUnreadable>;

    /// The next row. Fails if its samples do not belong to steps.
    fn next(&mut self) -> Option<Result<PartRow, RowUnreadable>> {
        Some(part_row_from_wire(self.rows.next()?, self.steps).map_err(RowUnreadable))
    }
}

/// The future of an answer.
pub type PartFuture = BoxFuture<'static, Result<PartAnswer, StoreApiError>>;

/// Serves `tithon.Parts` with a function that evaluates parts. Clones share it.
#[derive(Clone)]
pub struct PartsServer(Arc<dyn Fn(PartRequest) -> PartFuture + Send + Sync>);

impl PartsServer {
    /// A server that evaluates by `evaluate`.
    pub fn new(evaluate: impl Fn(PartRequest) -> PartFuture + Send + Sync + 'static) -> PartsServer {
        PartsServer(Arc::new(evaluate))
    }

    /// Adds this service to `services`.
    pub fn and(self, services: GrpcServices) -> GrpcServices {
        services.with(Server::new(self))
    }
}

type Responses = BoxStream<'static, Result<PartResponse, Status>>;

#[tonic::async_trait]
impl parts_server::Parts for PartsServer {
    type EvaluateStream = Responses;

    async fn evaluate(&self, request: Request<tithon::PartRequest>) -> Result<Response<Responses>, Status> {
        let tenant = tenant(&request);
        let request = request_from_wire(request.into_inner(), tenant)?;
        Ok(Response::new(responses((self.0)(request))))
    }
}

/// How often a response without content says that the evaluation goes on, so that the querier does not take the store for dead.
const BEAT: Duration = Duration::from_millis(500);

/// The responses of an evaluation. Dropping them ends it.
fn responses(evaluation: PartFuture) -> Responses {
    let next = |evaluation: Option<PartFuture>| async move {
        let Some(mut evaluation) = evaluation else { return Ok::<_, Status>(None) };
        match tokio::time::timeout(BEAT, &mut evaluation).await {
            Ok(Ok(answer)) => Ok(Some((frames(answer), None))),
            Ok(Err(error)) => {
                let refusal = part_response::Result::Refusal(PartRefusal { reason: error.to_string() });
                let refusal: Responses = stream::iter([Ok(PartResponse { result: Some(refusal) })]).boxed();
                Ok(Some((refusal, None)))
            }
            Err(_) => {
                let beat: Responses = stream::iter([Ok(PartResponse { result: None })]).boxed();
                Ok(Some((beat, Some(evaluation))))
            }
        }
    };
    stream::try_unfold(Some(evaluation), next).try_flatten().boxed()
}

/// The rows in frames of about as many bytes, and the summary.
fn frames(answer: PartAnswer) -> Responses {
    const BYTES_MAX: u64 = 256 << 10;
    let PartAnswer { value: PartValue { rows, annotations, stats }, held } = answer;
    let summary = tithon::PartSummary {
        rows: rows.len() as u64,
        total_samples: stats.total_samples,
        samples_read: stats.samples_read,
        peak_samples: stats.peak_samples,
        annotations: annotations.into_iter().map(annotation_to_wire).collect(),
    };
    let mut rows = rows.into_iter();
    let batches = std::iter::from_fn(move || {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while bytes < BYTES_MAX {
            let Some(row) = rows.next() else { break };
            bytes += row.bytes();
            batch.push(part_row_to_wire(&row));
        }
        (!batch.is_empty()).then_some(part_response::Result::Rows(tithon::PartRows { rows: batch }))
    });
    let all = batches.chain([part_response::Result::Summary(summary)]);
    let all = all.map(move |result| {
        let _held = &held;
        Ok(PartResponse { result: Some(result) })
    });
    stream::iter(all).boxed()
}
