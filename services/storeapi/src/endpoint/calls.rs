//! Calls of `thanos.Store` to an endpoint.

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use http::uri::PathAndQuery;
use prost::Message;
use tithon_chunks::{ErrorKind, TimeRange};
use tithon_engine::{LabelsRequest, SelectedSeries, SeriesBatch, SeriesRequest, SeriesShard};
use tithon_proto::thanos::store_client::StoreClient;
use tithon_proto::{
    RawCodec, ReceivedFrame, label_names_request_to_wire, label_values_request_to_wire,
    series_request_to_wire,
};
use tithon_runtime::{GrpcChannel, resend, to_status};
use tonic::client::Grpc;
use tonic::metadata::MetadataValue;
use tonic::{GrpcMethod, Request, Response, Status, Streaming};

use super::{Endpoint, EndpointError};
use crate::{LabelsAnswer, LabelsFuture, SeriesPart, SeriesStream, StoreApi, StoreApiError, StoreInfo};

impl StoreApi for Endpoint {
    /// `Addr: host:port MinTime: 1 MaxTime: 2`.
    fn name(&self) -> String {
        let range = self.info().map_or(TimeRange::ALL, |info| info.range);
        format!("Addr: {} MinTime: {} MaxTime: {}", self.0.address, range.min, range.max)
    }

    /// The last answer to `Info`; `None` before the first one.
    fn info(&self) -> Option<StoreInfo> {
        self.state(|state| state.info.clone())
    }

    fn series(&self, request: SeriesRequest) -> SeriesStream {
        let parts = stream::once(self.clone().receive(request)).map_ok(Receiving::parts).try_flatten();
        parts.map_err(StoreApiError::from).boxed()
    }

    fn labels(&self, request: LabelsRequest) -> LabelsFuture {
        let answer = self.clone().find_labels(request);
        Box::pin(async { Ok(answer.await?) })
    }
}

impl Endpoint {
    /// Begins a call of `Series`.
    async fn receive(self, request: SeriesRequest) -> Result<Receiving, EndpointError> {
        self.check_seen()?;
        let message = Bytes::from(series_request_to_wire(&request).encode_to_vec());
        let grpc = Grpc::new(self.channel()?).max_decoding_message_size(self.message_bytes_max());
        let call = resend(|| ask_series(grpc.clone(), with_tenant(&request.tenant, message.clone())));
        let call = self.in_time(call).await.map_err(|silence| self.silent(silence))?;
        let frames = call.map_err(|status| self.failed("fetch series for", &status))?.into_inner();
        let supports = self.state(|state| {
            state.info.as_ref().map(|info| (info.supports_without_labels, info.supports_sharding))
        });
        let (removes_labels, shards) = supports.unwrap_or_default();
        Ok(Receiving {
            without_labels: if removes_labels { Vec::new() } else { request.without_labels },
            shard: request.shard.filter(|_| !shards || !removes_labels),
            endpoint: self,
            frames,
        })
    }

    async fn find_labels(self, request: LabelsRequest) -> Result<LabelsAnswer, EndpointError> {
        self.check_seen()?;
        let client = self.client()?;
        let late = |_| to_status(ErrorKind::TimedOut, "context deadline exceeded");
        let (found, warnings) = match &request.values_of {
            None => {
                let message = label_names_request_to_wire(&request);
                let call = resend(|| {
                    let (mut client, message) =
                        (client.clone(), with_tenant(&request.tenant, message.clone()));
                    async move { client.label_names(message).await }
                });
                let answer = self.in_time(call).await.map_err(late).flatten();
                let failed = |status: Status| self.failed("fetch label names from store", &status);
                let answer = answer.map_err(failed)?.into_inner();
                (answer.names, answer.warnings)
            }
            Some(label) => {
                let message = label_values_request_to_wire(label, &request);
                let call = resend(|| {
                    let (mut client, message) =
                        (client.clone(), with_tenant(&request.tenant, message.clone()));
                    async move { client.label_values(message).await }
                });
                let answer = self.in_time(call).await.map_err(late).flatten();
                let failed = |status: Status| self.failed("fetch label values from store", &status);
                let answer = answer.map_err(failed)?.into_inner();
                (answer.values, answer.warnings)
            }
        };
        // The texts are copied, since slices would hold whole messages in memory.
        Ok(LabelsAnswer { found: found.iter().collect(), warnings, queried_blocks: None })
    }

    fn client(&self) -> Result<StoreClient<GrpcChannel>, EndpointError> {
        let bytes = self.0.options.message_bytes_max;
        Ok(StoreClient::new(self.channel()?).max_decoding_message_size(bytes))
    }

    /// Fails at once for an endpoint that has never answered; the next refresh asks it again.
    fn check_seen(&self) -> Result<(), EndpointError> {
        let reason = self.state(|state| state.health.last_error.clone().filter(|_| state.info.is_none()));
        match reason {
            Some(reason) => Err(EndpointError::NeverSeen { address: self.0.address.clone(), reason }),
            None => Ok(()),
        }
    }
}

/// A `Series` call in progress. Removes labels and applies the shard here when the server cannot.
struct Receiving {
    endpoint: Endpoint,
    frames: Streaming<Bytes>,
    without_labels: Vec<String>,
    shard: Option<SeriesShard>,
}

impl Receiving {
    fn parts(self) -> impl stream::Stream<Item = Result<SeriesPart, EndpointError>> {
        stream::try_unfold(self, |mut receiving| async {
            let part = receiving.next().await?;
            Ok(part.map(|part| (part, receiving)))
        })
    }

    async fn next(&mut self) -> Result<Option<SeriesPart>, EndpointError> {
        let endpoint = &self.endpoint;
        loop {
            let frame = endpoint.in_time(self.frames.message()).await.map_err(|s| endpoint.silent(s))?;
            let frame = frame.map_err(|status| endpoint.failed("receive series from", &status))?;
            let Some(frame) = frame else { return Ok(None) };
            let frame = ReceivedFrame::read(frame);
            let store = || endpoint.name();
            match frame.map_err(|error| EndpointError::Message { store: store(), error })? {
                ReceivedFrame::Series(series) => return Ok(Some(self.batch(series))),
                ReceivedFrame::Warning(warning) => return Ok(Some(SeriesPart::Warning(warning))),
                ReceivedFrame::Other => {}
            }
        }
    }

    fn batch(&self, mut series: Vec<SelectedSeries>) -> SeriesPart {
        if !self.without_labels.is_empty() {
            series.iter_mut().for_each(|one| one.labels = one.labels.without(&self.without_labels));
        }
        if let Some(shard) = &self.shard {
            let mut buffer = Vec::new();
            series.retain(|one| shard.holds(&one.labels, &mut buffer));
        }
        SeriesPart::Series(SeriesBatch { series })
    }
}

/// Calls `Series` with an encoded request; frames come as bytes, which [`ReceivedFrame`] reads.
async fn ask_series(
    mut grpc: Grpc<GrpcChannel>,
    mut request: Request<Bytes>,
) -> Result<Response<Streaming<Bytes>>, Status> {
    let not_ready = |error| to_status(ErrorKind::Unavailable, format!("Service was not ready: {error}"));
    grpc.ready().await.map_err(not_ready)?;
    request.extensions_mut().insert(GrpcMethod::new("thanos.Store", "Series"));
    grpc.server_streaming(request, PathAndQuery::from_static("/thanos.Store/Series"), RawCodec).await
}

pub(super) fn with_tenant<T>(tenant: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if let Ok(tenant) = MetadataValue::try_from(tenant) {
        request.metadata_mut().insert("thanos-tenant", tenant);
    }
    request
}
