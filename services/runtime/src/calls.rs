//! Observability of gRPC calls: a layer around all services of a server, or around a client's connection, that counts,
//! logs and traces calls.

mod messages;
mod metrics;

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::{Code, Status};
use tower::Layer;
use tracing::{Instrument, Span};

use self::messages::Messages;
pub(crate) use self::metrics::CallMetrics;
use self::metrics::CountedCall;
use crate::request_id::{RequestName, tell_request};
use crate::request_log::LoggedCall;
use crate::trace::{client_span, server_span};
use crate::{Metrics, RequestLog};

/// Metrics of calls to servers, `grpc_client_*`, for [`crate::dial`]. Clones share them.
#[derive(Clone)]
pub struct ClientCalls(pub(crate) CallMetrics);

impl ClientCalls {
    /// Registers the metrics for the methods of `services`. `descriptors` is an encoded `FileDescriptorSet` that
    /// describes them.
    pub fn new(metrics: &Metrics, descriptors: &[u8], services: &[&str]) -> ClientCalls {
        let calls = CallMetrics::new(metrics, Side::Client, &[descriptors]);
        calls.begin_at_zero(services);
        ClientCalls(calls)
    }
}

impl std::fmt::Debug for ClientCalls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientCalls")
    }
}

/// The side of a call that is observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The server that receives the request.
    Server,
    /// The client that sends the request.
    Client,
}

/// The layer that observes calls.
#[derive(Clone)]
pub(crate) struct Watch {
    pub(crate) side: Side,
    /// Counts the calls; `None` counts none.
    pub(crate) metrics: Option<CallMetrics>,
    /// Decides which calls are logged.
    pub(crate) log: RequestLog,
}

impl<S> Layer<S> for Watch {
    type Service = Watched<S>;

    fn layer(&self, service: S) -> Watched<S> {
        Watched { service, watch: self.clone() }
    }
}

/// A service whose calls are counted, logged and traced as configured.
#[derive(Clone)]
pub struct Watched<S> {
    pub(crate) service: S,
    pub(crate) watch: Watch,
}

impl<S> Service<Request<Body>> for Watched<S>
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

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let name = match self.watch.side {
            Side::Server => RequestName::of(request.headers()),
            Side::Client => {
                tell_request(request.headers_mut());
                RequestName::default()
            }
        };
        let Some(mut call) = self.watch.begin(&mut request) else {
            let answering = name.working(|| self.service.call(request));
            return Box::pin(async move { name.scope(answering).await });
        };
        if let Some(counted) = &call.counted {
            let of_requests = counted.of_requests();
            request = request.map(|body| Body::new(Messages::new(body, Some(of_requests))));
        }
        let answering = name.working(|| call.span.in_scope(|| self.service.call(request)));
        let answering = answering.instrument(call.span.clone());
        Box::pin(async move {
            let response =
                name.scope(answering).await.inspect_err(|_| call.code = Some(Code::Unavailable))?;
            call.saw(response.headers());
            Ok(response.map(|body| {
                let messages = Messages::new(body, call.counted.as_ref().map(CountedCall::of_answers));
                Body::new(Answer { messages, call, name })
            }))
        })
    }
}

impl Watch {
    /// Begins to observe a call; `None` if it is neither counted, logged nor traced.
    fn begin(&self, request: &mut Request<Body>) -> Option<Call> {
        let path = request.uri().path();
        let counted = self.metrics.as_ref().and_then(|metrics| metrics.begin(path));
        let logged = self.log.begin(path, request.headers());
        let span = match self.side {
            Side::Server => server_span(path, request.headers()),
            Side::Client => {
                let path = path.to_owned();
                client_span(&path, request.headers_mut())
            }
        };
        let is_watched = counted.is_some() || logged.is_some() || !span.is_disabled();
        is_watched.then(|| Call { counted, logged, span, begun: Instant::now(), code: None })
    }
}

/// A call in progress. Its end is recorded when it is dropped: with the status seen, or as cancelled without one.
struct Call {
    counted: Option<CountedCall>,
    logged: Option<LoggedCall>,
    span: Span,
    begun: Instant,
    code: Option<Code>,
}

impl Call {
    fn saw(&mut self, headers: &HeaderMap) {
        if let Some(status) = Status::from_header_map(headers) {
            self.code = Some(status.code());
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let (code, took) = (self.code.unwrap_or(Code::Cancelled), self.begun.elapsed());
        if let Some(counted) = &self.counted {
            counted.end(code, took);
        }
        if let Some(logged) = &self.logged {
            self.span.in_scope(|| logged.end(code, took));
        }
        self.span.record("rpc.grpc.status_code", i32::from(code));
        if code != Code::Ok {
            self.span.record("otel.status_code", "ERROR");
        }
    }
}

/// The body of an answer; the status follows it in the trailers.
struct Answer {
    messages: Messages,
    call: Call,
    /// The request on whose behalf the server works.
    name: RequestName,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.call.span.record("messages", self.messages.found());
        self.call.span.record("bytes", self.messages.bytes());
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let poll = || this.call.span.in_scope(|| Pin::new(&mut this.messages).poll_frame(context));
        let polled = this.name.working(poll);
        let frame = ready!(polled);
        if let Some(trailers) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.trailers_ref()) {
            self.call.saw(trailers);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.messages.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.messages.size_hint()
    }
}
