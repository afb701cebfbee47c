//! The connection to the examined server, which sends messages or arbitrary bytes.

use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use prost::Message;
use tithon_chunks::ErrorKind;
use tithon_proto::thanos::info::{InfoRequest, InfoResponse};
use tithon_proto::thanos::{
    LabelNamesRequest, LabelNamesResponse, LabelValuesRequest, LabelValuesResponse, SeriesRequest,
};
use tithon_proto::{RawCodec, with_causes};
use tithon_runtime::to_status;
use tithon_runtime::{DialOptions, GrpcChannel};
use tonic::client::Grpc;
use tonic::codec::Streaming;
use tonic::transport::Endpoint;
use tonic::{Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::answer::SeriesAnswer;
use crate::{CheckError, Options};

/// Longest frame in bytes, as in Thanos.
const FRAME_BYTES_MAX: usize = i32::MAX as usize;

/// A connection that is opened at the first call.
#[derive(Clone)]
pub(crate) struct Client {
    channel: GrpcChannel,
    timeout: Duration,
}

pub(crate) const SERIES: &str = "/thanos.Store/Series";
pub(crate) const LABEL_NAMES: &str = "/thanos.Store/LabelNames";
pub(crate) const LABEL_VALUES: &str = "/thanos.Store/LabelValues";
const INFO: &str = "/thanos.info.Info/Info";

impl Client {
    pub(crate) fn new(options: &Options) -> Result<Client, CheckError> {
        let address = |reason: String| CheckError::Address { address: options.address.clone(), reason };
        let endpoint = Endpoint::from_shared(format!("http://{}", options.address))
            .map_err(|error| address(error.to_string()))?;
        if endpoint.uri().port_u16().is_none() {
            return Err(address("has no port".to_owned()));
        }
        let endpoint = endpoint.connect_timeout(options.timeout).tcp_nodelay(true);
        Ok(Client {
            channel: tithon_runtime::dial(
                endpoint,
                DialOptions { tls: options.tls.clone(), ..DialOptions::default() },
            ),
            timeout: options.timeout,
        })
    }

    pub(crate) async fn info(&self) -> Result<InfoResponse, Status> {
        self.unary(INFO, &InfoRequest::default()).await
    }

    pub(crate) async fn label_names(
        &self,
        request: &LabelNamesRequest,
    ) -> Result<LabelNamesResponse, Status> {
        self.unary(LABEL_NAMES, request).await
    }

    pub(crate) async fn label_values(
        &self,
        request: &LabelValuesRequest,
    ) -> Result<LabelValuesResponse, Status> {
        self.unary(LABEL_VALUES, request).await
    }

    /// The health of the whole server, from `grpc.health.v1`.
    pub(crate) async fn health(&self) -> Result<i32, Status> {
        let mut client = HealthClient::new(self.channel.clone());
        let call = client.check(HealthCheckRequest::default());
        Ok(self.in_time(call).await??.into_inner().status)
    }

    /// Receives the whole answer, up to the limits.
    pub(crate) async fn series(&self, request: Request<Bytes>) -> SeriesAnswer {
        let mut answer = SeriesAnswer::default();
        answer.status = match self.in_time(self.take(request, &mut answer)).await {
            Ok(Ok(())) => None,
            Ok(Err(status)) | Err(status) => Some(status),
        };
        answer
    }

    async fn take(&self, request: Request<Bytes>, answer: &mut SeriesAnswer) -> Result<(), Status> {
        let mut frames = self.open_series(request).await?;
        while let Some(frame) = frames.message().await? {
            answer.add(&frame)?;
            if answer.is_cut {
                break;
            }
        }
        Ok(())
    }

    /// Begins a `Series` call; the caller reads the frames.
    pub(crate) async fn open_series(&self, request: Request<Bytes>) -> Result<Streaming<Bytes>, Status> {
        let mut grpc = self.grpc().await?;
        Ok(grpc.server_streaming(request, PathAndQuery::from_static(SERIES), RawCodec).await?.into_inner())
    }

    async fn unary<Q: Message, A: Message + Default>(
        &self,
        path: &'static str,
        ask: &Q,
    ) -> Result<A, Status> {
        let answer = self.raw(path, ask.encode_to_vec().into()).await?;
        A::decode(answer)
            .map_err(|error| to_status(ErrorKind::Internal, format!("the answer cannot be decoded: {error}")))
    }

    /// A unary call with arbitrary bytes as its message.
    pub(crate) async fn raw(&self, path: &'static str, message: Bytes) -> Result<Bytes, Status> {
        let call = async {
            let mut grpc = self.grpc().await?;
            let path = PathAndQuery::from_static(path);
            Ok::<_, Status>(grpc.unary(Request::new(message), path, RawCodec).await?.into_inner())
        };
        self.in_time(call).await?
    }

    async fn grpc(&self) -> Result<Grpc<GrpcChannel>, Status> {
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(FRAME_BYTES_MAX);
        grpc.ready().await.map_err(|error| to_status(ErrorKind::Unavailable, with_causes(&error)))?;
        Ok(grpc)
    }

    async fn in_time<T>(&self, call: impl Future<Output = T>) -> Result<T, Status> {
        let late = |_| to_status(ErrorKind::TimedOut, format!("no answer within {:?}", self.timeout));
        tokio::time::timeout(self.timeout, call).await.map_err(late)
    }
}

/// A request with the metadata that queriers send.
pub(crate) fn with_tenant(request: &SeriesRequest) -> Request<Bytes> {
    let mut request = Request::new(request.encode_to_vec().into());
    request.metadata_mut().insert("thanos-tenant", "default-tenant".parse().expect("plain text"));
    request
}
