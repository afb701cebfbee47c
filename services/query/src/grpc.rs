//! The querier as a StoreAPI server: what its sources have, for the queriers above it.

use std::pin::Pin;

use futures::{Stream, StreamExt, TryStreamExt, stream};
use tithon_chunks::{ErrorKind, TimeRange};
use tithon_index::{Labels, Matcher};
use tithon_promql::{Charge, OverBudget};
use tithon_proto::label_set;
use tithon_proto::thanos::info::info_server::{Info, InfoServer};
use tithon_proto::thanos::info::{InfoRequest, InfoResponse, StoreInfo, TsdbInfo};
use tithon_proto::thanos::store_server::{Store, StoreServer};
use tithon_proto::thanos::{
    LabelMatcher, LabelNamesRequest, LabelNamesResponse, LabelValuesRequest, LabelValuesResponse,
    SeriesRequest, SeriesResponse,
};
use tithon_runtime::{Priority, to_status};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::QueryService;
use crate::fanout::{Found, LabelsRequest, Notes, Scope, SourceError, wire};

/// The services `thanos.Store` and `thanos.info.Info`, without limits on the size of messages, as in Thanos.
pub fn grpc_routes(service: QueryService) -> Routes {
    let store = StoreServer::new(service.clone())
        .max_decoding_message_size(i32::MAX as usize)
        .max_encoding_message_size(i32::MAX as usize);
    Routes::new(store).add_service(InfoServer::new(service))
}

type Frames = Pin<Box<dyn Stream<Item = Result<SeriesResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Store for QueryService {
    type SeriesStream = Frames;

    async fn series(&self, request: Request<SeriesRequest>) -> Result<Response<Frames>, Status> {
        let message = request.into_inner();
        let scope = scope(message.partial_response_disabled, message.partial_response_strategy);
        let (aggregates, batch) = (message.aggregates.clone(), message.response_batch_size);
        let (job, _stop) = self.begin();
        let request = on_pool(self, move || {
            wire::series_request_from(message).map_err(|e| to_status(e.kind(), e.to_string()))
        })
        .await?;
        let selection = in_time(self, self.inner.fanout.select(request, &scope, &job)).await?;
        let warnings = scope.notes.take().into_iter().map(wire::warning).map(Ok);
        let (series, held) = selection.into_stream();
        let framing = Framing { frames: wire::Frames::new(series, &aggregates, batch), _held: held };
        let frames = stream::try_unfold(Some(framing), {
            let service = self.clone();
            move |framing| next_frames(service.clone(), framing)
        });
        let frames = frames.map_ok(|frames| stream::iter(frames.into_iter().map(Ok))).try_flatten();
        Ok(Response::new(Box::pin(stream::iter(warnings).chain(frames))))
    }

    async fn label_names(
        &self,
        request: Request<LabelNamesRequest>,
    ) -> Result<Response<LabelNamesResponse>, Status> {
        let message = request.into_inner();
        let scope = scope(message.partial_response_disabled, message.partial_response_strategy);
        let request = on_pool(self, move || {
            Ok(LabelsRequest {
                values_of: None,
                matchers: matchers(&message.matchers)?,
                range: TimeRange::new(message.start, message.end),
                without_labels: message.without_replica_labels,
                limit: usize::try_from(message.limit).unwrap_or(0),
            })
        })
        .await?;
        let names = found(self, &request, &scope).await?;
        Ok(Response::new(LabelNamesResponse { names, warnings: scope.notes.take(), hints: None }))
    }

    async fn label_values(
        &self,
        request: Request<LabelValuesRequest>,
    ) -> Result<Response<LabelValuesResponse>, Status> {
        let message = request.into_inner();
        let scope = scope(message.partial_response_disabled, message.partial_response_strategy);
        let label = String::from_utf8(message.label.to_vec())
            .map_err(|e| to_status(ErrorKind::Invalid, format!("label name: {e}")))?;
        let request = on_pool(self, move || {
            Ok(LabelsRequest {
                values_of: Some(label),
                matchers: matchers(&message.matchers)?,
                range: TimeRange::new(message.start, message.end),
                without_labels: message.without_replica_labels,
                limit: usize::try_from(message.limit).unwrap_or(0),
            })
        })
        .await?;
        let values = found(self, &request, &scope).await?;
        Ok(Response::new(LabelValuesResponse { values, warnings: scope.notes.take(), hints: None }))
    }
}

/// Frames yet to be made, and the charge for the series that they are made of.
struct Framing {
    frames: wire::Frames,
    _held: Charge,
}

type Made = Result<Option<(Vec<SeriesResponse>, Option<Framing>)>, Status>;

/// Makes the next frames on the CPU pool, a bounded piece at a time.
async fn next_frames(service: QueryService, framing: Option<Framing>) -> Made {
    let Some(mut framing) = framing else { return Ok(None) };
    on_pool(&service, move || {
        let (frames, is_last) = framing.frames.next_piece().map_err(aborted)?;
        Ok(Some((frames, (!is_last).then_some(framing))))
    })
    .await
}

fn matchers(wire: &[LabelMatcher]) -> Result<Vec<Matcher>, Status> {
    wire::matchers(wire).map_err(|e| to_status(e.kind(), e.to_string()))
}

async fn on_pool<T: Send + 'static>(
    service: &QueryService,
    work: impl FnOnce() -> Result<T, Status> + Send + 'static,
) -> Result<T, Status> {
    let done = service.inner.cpu.run(Priority::Query, work).await;
    done.unwrap_or_else(|e| Err(to_status(ErrorKind::Internal, e.to_string())))
}

/// Waits for the sources no longer than a query may take.
async fn in_time<T>(
    service: &QueryService,
    asking: impl Future<Output = Result<T, SourceError>>,
) -> Result<T, Status> {
    let timeout = service.options().timeout;
    match tokio::time::timeout(timeout, asking).await {
        Ok(answer) => answer.map_err(aborted),
        Err(_) => Err(Status::deadline_exceeded(format!("no answer within {timeout:?} (--query.timeout)"))),
    }
}

async fn found(
    service: &QueryService,
    request: &LabelsRequest,
    scope: &Scope,
) -> Result<Vec<bytes::Bytes>, Status> {
    let (job, _stop) = service.begin();
    let mut found = Found::new(request.limit, &job);
    in_time(service, service.inner.fanout.labels(request, scope, &job, &mut found)).await?;
    Ok(found.iter().map(|text| bytes::Bytes::copy_from_slice(text)).collect())
}

fn scope(disabled: bool, strategy: i32) -> Scope {
    let partial = !disabled && strategy == i32::from(tithon_proto::thanos::PartialResponseStrategy::Warn);
    Scope { partial, store_matchers: Vec::new(), notes: Notes::default() }
}

/// Thanos answers so when a source fails and partial answers are not wanted.
fn aborted(error: SourceError) -> Status {
    match error.downcast::<OverBudget>() {
        Ok(over) => Status::resource_exhausted(over.to_string()),
        Err(error) => Status::aborted(error.to_string()),
    }
}

#[tonic::async_trait]
impl Info for QueryService {
    async fn info(&self, _: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        let sources = self.sources();
        let own = Labels::from_pairs(self.options().selector_labels.iter().map(|(n, v)| (n, v)));
        let mut tsdb_infos: Vec<(Labels, TimeRange)> = Vec::new();
        for source in &sources {
            for set in &source.label_sets {
                let mut builder = set.to_builder();
                for (name, value) in own.iter() {
                    builder.set(name, value);
                }
                tsdb_infos.push((builder.finish(), source.range));
            }
        }
        let mut label_sets: Vec<Labels> = tsdb_infos.iter().map(|(set, _)| set.clone()).collect();
        label_sets.sort();
        label_sets.dedup();
        // a source without label sets may hold anything, and so may we
        if sources.iter().any(|source| source.label_sets.is_empty()) || sources.is_empty() {
            label_sets = if own.is_empty() { Vec::new() } else { vec![own] };
        }
        let min = sources.iter().map(|s| s.range.min.0).min();
        let max = sources.iter().map(|s| s.range.max.0).max();
        let store = StoreInfo {
            min_time: min.unwrap_or(i64::MIN),
            max_time: max.unwrap_or(i64::MAX),
            supports_sharding: true,
            supports_without_replica_labels: true,
            tsdb_infos: tsdb_infos
                .iter()
                .map(|(set, range)| TsdbInfo {
                    labels: Some(label_set(set)),
                    min_time: range.min.0,
                    max_time: range.max.0,
                })
                .collect(),
            ..StoreInfo::default()
        };
        Ok(Response::new(InfoResponse {
            label_sets: label_sets.iter().map(label_set).collect(),
            component_type: "query".to_owned(),
            store: Some(store),
            ..InfoResponse::default()
        }))
    }
}
