//! Calls over gRPC: a layer around all services. Thanos `pkg/logging/grpc.go`.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::codegen::{Bytes, Service};
use tonic::{Code, Status};
use tower::Layer;
use tracing::{debug, error};

use super::RequestLog;

/// The layer.
#[derive(Clone, Debug)]
pub(crate) struct LogCalls(pub(crate) RequestLog);

impl<S> Layer<S> for LogCalls {
    type Service = LoggedCalls<S>;

    fn layer(&self, service: S) -> LoggedCalls<S> {
        LoggedCalls { service, log: self.0.clone() }
    }
}

/// A service whose calls are logged.
#[derive(Clone, Debug)]
pub(crate) struct LoggedCalls<S> {
    service: S,
    log: RequestLog,
}

impl<S> Service<Request<Body>> for LoggedCalls<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let choice = &self.log.0;
        let path = request.uri().path();
        if !choice.methods.is_empty() && !choice.methods.iter().any(|method| method == path) {
            return Box::pin(self.service.call(request));
        }
        let mut call = Call { path: path.to_owned(), begun: Instant::now(), code: None };
        if choice.grpc.at_start {
            let (service, method) = call.names();
            debug!(protocol = "grpc", grpc.service = service, grpc.method = method, "started call");
        }
        let answer = self.service.call(request);
        Box::pin(async move {
            let response = answer.await?;
            call.saw(response.headers());
            Ok(response.map(|body| Body::new(Answer { body, call })))
        })
    }
}

/// A call under way; its end is logged when it is dropped.
struct Call {
    path: String,
    begun: Instant,
    code: Option<Code>,
}

impl Call {
    fn names(&self) -> (&str, &str) {
        self.path.trim_start_matches('/').split_once('/').unwrap_or((&self.path, ""))
    }

    fn saw(&mut self, headers: &HeaderMap) {
        if let Some(status) = Status::from_header_map(headers) {
            self.code = Some(status.code());
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let (service, method) = self.names();
        let code = self.code.unwrap_or(Code::Cancelled);
        let took = self.begun.elapsed().as_secs_f64() * 1e3;
        match code {
            Code::Unknown | Code::Unimplemented | Code::Internal | Code::DataLoss => error!(
                protocol = "grpc", grpc.service = service, grpc.method = method, grpc.code = ?code,
                grpc.time_ms = took, "finished call"
            ),
            _ => debug!(
                protocol = "grpc", grpc.service = service, grpc.method = method, grpc.code = ?code,
                grpc.time_ms = took, "finished call"
            ),
        }
    }
}

/// The body of an answer; the status comes behind it.
struct Answer {
    body: Body,
    call: Call,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(trailers) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.trailers_ref()) {
            self.call.saw(trailers);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
