//! The querier as a StoreAPI server: what its sources have, for the queriers above it.

use std::pin::Pin;

use futures::{Stream, stream};
use tithon_chunks::{ErrorKind, TimeRange};
use tithon_index::Labels;
use tithon_proto::thanos::info::info_server::{Info, InfoServer};
use tithon_proto::thanos::info::{InfoRequest, InfoResponse, StoreInfo, TsdbInfo};
use tithon_proto::thanos::store_server::{Store, StoreServer};
use tithon_proto::thanos::{
    LabelNamesRequest, LabelNamesResponse, LabelValuesRequest, LabelValuesResponse, SeriesRequest,
    SeriesResponse,
};
use tithon_proto::{label_set, matchers_from_wire};
use tithon_runtime::{Priority, to_status};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::QueryService;
use crate::fanout::{LabelsRequest, Notes, Scope, SourceError, wire};

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
        let request = wire::series_request_from(message).map_err(|e| to_status(e.kind(), e.to_string()))?;
        let selection = self.inner.fanout.select(request, &scope).await.map_err(aborted)?;
        let framed = self
            .inner
            .cpu
            .run(Priority::Query, move || wire::frames(selection.into_stream(), &aggregates, batch))
            .await
            .map_err(|e| to_status(ErrorKind::Internal, e.to_string()))?
            .map_err(aborted)?;
        let warnings = scope.notes.take().into_iter().map(wire::warning);
        Ok(Response::new(Box::pin(stream::iter(warnings.chain(framed).map(Ok)))))
    }

    async fn label_names(
        &self,
        request: Request<LabelNamesRequest>,
    ) -> Result<Response<LabelNamesResponse>, Status> {
        let message = request.into_inner();
        let scope = scope(message.partial_response_disabled, message.partial_response_strategy);
        let request = LabelsRequest {
            values_of: None,
            matchers: matchers_from_wire(&message.matchers)
                .map_err(|e| to_status(e.kind(), e.to_string()))?,
            range: TimeRange::new(message.start, message.end),
            without_labels: message.without_replica_labels,
            limit: usize::try_from(message.limit).unwrap_or(0),
        };
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
        let request = LabelsRequest {
            values_of: Some(label),
            matchers: matchers_from_wire(&message.matchers)
                .map_err(|e| to_status(e.kind(), e.to_string()))?,
            range: TimeRange::new(message.start, message.end),
            without_labels: message.without_replica_labels,
            limit: usize::try_from(message.limit).unwrap_or(0),
        };
        let values = found(self, &request, &scope).await?;
        Ok(Response::new(LabelValuesResponse { values, warnings: scope.notes.take(), hints: None }))
    }
}

async fn found(
    service: &QueryService,
    request: &LabelsRequest,
    scope: &Scope,
) -> Result<Vec<bytes::Bytes>, Status> {
    let found = service.inner.fanout.labels(request, scope).await.map_err(aborted)?;
    let limit = if request.limit == 0 { usize::MAX } else { request.limit };
    Ok(found.into_iter().take(limit).map(Into::into).collect())
}

fn scope(disabled: bool, strategy: i32) -> Scope {
    let partial = !disabled && strategy == i32::from(tithon_proto::thanos::PartialResponseStrategy::Warn);
    Scope { partial, store_matchers: Vec::new(), notes: Notes::default() }
}

/// Thanos answers so when a source fails and partial answers are not wanted.
fn aborted(error: SourceError) -> Status {
    Status::aborted(error.to_string())
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
            supports_sharding: false,
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
