//! The routes of `thanos.Store`, written by hand because the generated server cannot send frames of `Series` that are
//! encoded already.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use tithon_chunks::ErrorKind;
use tithon_proto::thanos::{LabelNamesRequest, LabelValuesRequest, SeriesRequest};
use tithon_runtime::to_status;
use tonic::body::Body;
use tonic::codegen::{Body as HttpBody, Service, StdError};
use tonic::server::{Grpc, NamedService};
use tower::service_fn;

use crate::StoreApiServer;
use crate::codec::{LabelsCodec, SeriesCodec};

/// Thanos's limit of a message's length, in both directions.
const MESSAGE_BYTES: Option<usize> = Some(i32::MAX as usize);

/// Serves `thanos.Store` for a [`StoreApiServer`].
#[derive(Clone)]
pub(crate) struct StoreRpc(pub(crate) StoreApiServer);

impl NamedService for StoreRpc {
    const NAME: &'static str = "thanos.Store";
}

impl<B> Service<Request<B>> for StoreRpc
where
    B: HttpBody + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let service = self.0.clone();
        Box::pin(async move {
            let answer = match request.uri().path() {
                "/thanos.Store/Series" => {
                    let method = service_fn(move |r: tonic::Request<SeriesRequest>| {
                        let service = service.clone();
                        async move { service.series(r).await }
                    });
                    let mut grpc = Grpc::new(SeriesCodec);
                    grpc = grpc.apply_max_message_size_config(MESSAGE_BYTES, MESSAGE_BYTES);
                    grpc.server_streaming(method, request).await
                }
                "/thanos.Store/LabelNames" => {
                    let method = service_fn(move |r: tonic::Request<LabelNamesRequest>| {
                        let service = service.clone();
                        async move { service.label_names(r).await }
                    });
                    let mut grpc = Grpc::new(LabelsCodec::default());
                    grpc = grpc.apply_max_message_size_config(MESSAGE_BYTES, MESSAGE_BYTES);
                    grpc.unary(method, request).await
                }
                "/thanos.Store/LabelValues" => {
                    let method = service_fn(move |r: tonic::Request<LabelValuesRequest>| {
                        let service = service.clone();
                        async move { service.label_values(r).await }
                    });
                    let mut grpc = Grpc::new(LabelsCodec::default());
                    grpc = grpc.apply_max_message_size_config(MESSAGE_BYTES, MESSAGE_BYTES);
                    grpc.unary(method, request).await
                }
                path => to_status(ErrorKind::Unsupported, format!("unknown method {path}")).into_http(),
            };
            Ok(answer)
        })
    }
}
