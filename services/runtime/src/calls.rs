//! Metrics of gRPC calls, under the names of go-grpc-middleware as Thanos uses them: a layer around all services.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::{Code, Status};
use tower::Layer;

use crate::Metrics;

/// `grpc_type`, `grpc_service`, `grpc_method`.
type CallLabels = [(&'static str, String); 3];
/// The same and `grpc_code`.
type CodeLabels = [(&'static str, String); 4];

const SECONDS: [f64; 14] = [0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0];

/// Counts calls of the methods that the descriptors name; others are not counted, as callers could invent them.
#[derive(Clone)]
pub(crate) struct CallMetrics(Arc<Inner>);

/// Counts calls to servers under `grpc_client_*`, for [`crate::dial`]. Clones share the counters.
#[derive(Clone)]
pub struct ClientCalls(pub(crate) CallMetrics);

impl ClientCalls {
    /// Registers the metrics for the methods of these services, which `descriptors`, an encoded `FileDescriptorSet`, describe.
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

/// Who counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Requests are received.
    Server,
    /// Requests are sent.
    Client,
}

struct Inner {
    /// By path, `/package.Service/Method`.
    methods: BTreeMap<String, CallLabels>,
    started: Family<CallLabels, Counter>,
    handled: Family<CodeLabels, Counter>,
    of_requests: Family<CallLabels, Counter>,
    of_answers: Family<CallLabels, Counter>,
    seconds: Family<CallLabels, Histogram, fn() -> Histogram>,
}

impl CallMetrics {
    /// Registers the metrics. `descriptors` are encoded `FileDescriptorSet`s; one that cannot be read names no method.
    pub(crate) fn new(metrics: &Metrics, side: Side, descriptors: &[&[u8]]) -> CallMetrics {
        let decoded = descriptors.iter().map(|bytes| FileDescriptorSet::decode(*bytes).unwrap_or_default());
        let inner = Inner {
            methods: decoded.flat_map(|files| methods(&files)).collect(),
            started: Family::default(),
            handled: Family::default(),
            of_requests: Family::default(),
            of_answers: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
        };
        let (name, received, sent) = match side {
            Side::Server => ("server", &inner.of_requests, &inner.of_answers),
            Side::Client => ("client", &inner.of_answers, &inner.of_requests),
        };
        metrics.register(|r| {
            let metric = |rest: &str| format!("grpc_{name}_{rest}");
            r.register(metric("started"), format!("RPCs started on the {name}"), inner.started.clone());
            let help = format!("RPCs completed on the {name}, regardless of success or failure");
            r.register(metric("handled"), help, inner.handled.clone());
            let help = format!("RPC stream messages received on the {name}");
            r.register(metric("msg_received"), help, received.clone());
            r.register(metric("msg_sent"), format!("RPC stream messages sent by the {name}"), sent.clone());
            let help = format!("Time from the start of an RPC to its end on the {name}");
            r.register(metric("handling_seconds"), help, inner.seconds.clone());
        });
        CallMetrics(Arc::new(inner))
    }

    /// Shows all methods of these services, with every code, before they are called: rates need a zero to begin with.
    pub(crate) fn begin_at_zero(&self, services: &[&str]) {
        let inner = &self.0;
        let is_served = |labels: &&CallLabels| services.contains(&labels[1].1.as_str());
        for labels in inner.methods.values().filter(is_served) {
            for family in [&inner.started, &inner.of_requests, &inner.of_answers] {
                drop(family.get_or_create(labels));
            }
            drop(inner.seconds.get_or_create(labels));
            let [kind, service, method] = labels.clone();
            for code in 0..=16 {
                let code = code_name(Code::from(code));
                let labels = [kind.clone(), service.clone(), method.clone(), ("grpc_code", code)];
                drop(inner.handled.get_or_create(&labels));
            }
        }
    }
}

/// A code as Go names it.
fn code_name(code: Code) -> String {
    match code {
        Code::Ok => "OK".to_owned(),
        Code::Cancelled => "Canceled".to_owned(),
        code => format!("{code:?}"),
    }
}

fn methods(descriptors: &FileDescriptorSet) -> BTreeMap<String, CallLabels> {
    let mut out = BTreeMap::new();
    for file in &descriptors.file {
        for service in &file.service {
            let name = format!("{}.{}", file.package(), service.name());
            for method in &service.method {
                let kind = match (method.client_streaming(), method.server_streaming()) {
                    (false, false) => "unary",
                    (false, true) => "server_stream",
                    (true, false) => "client_stream",
                    (true, true) => "bidi_stream",
                };
                let labels = [
                    ("grpc_type", kind.to_owned()),
                    ("grpc_service", name.clone()),
                    ("grpc_method", method.name().to_owned()),
                ];
                out.insert(format!("/{name}/{}", method.name()), labels);
            }
        }
    }
    out
}

impl<S> Layer<S> for CallMetrics {
    type Service = Counted<S>;

    fn layer(&self, service: S) -> Counted<S> {
        Counted { service, metrics: Some(self.clone()) }
    }
}

/// A service whose calls are counted, where anybody wants to know.
#[derive(Clone)]
pub struct Counted<S> {
    pub(crate) service: S,
    pub(crate) metrics: Option<CallMetrics>,
}

impl<S> Service<Request<Body>> for Counted<S>
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
        let known = self.metrics.as_ref().and_then(|metrics| {
            Some((metrics.clone(), metrics.0.methods.get(request.uri().path())?.clone()))
        });
        let Some((metrics, labels)) = known else { return Box::pin(self.service.call(request)) };
        let inner = &metrics.0;
        inner.started.get_or_create(&labels).inc();
        let of_requests = inner.of_requests.get_or_create(&labels).clone();
        let request = request.map(|body| Body::new(Messages::new(body, of_requests)));
        let of_answers = inner.of_answers.get_or_create(&labels).clone();
        let mut call = Call { metrics: metrics.clone(), labels, begun: Instant::now(), code: None };
        let answering = self.service.call(request);
        Box::pin(async move {
            let response = answering.await.inspect_err(|_| call.code = Some(Code::Unavailable))?;
            call.saw(response.headers());
            Ok(response.map(|body| Body::new(Answer { messages: Messages::new(body, of_answers), call })))
        })
    }
}

/// A call under way. When it is dropped it counts as handled, with the status that was seen, or as cancelled without one.
struct Call {
    metrics: CallMetrics,
    labels: CallLabels,
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
        let inner = &self.metrics.0;
        let code = code_name(self.code.unwrap_or(Code::Cancelled));
        let [kind, service, method] = self.labels.clone();
        inner.handled.get_or_create(&[kind, service, method, ("grpc_code", code)]).inc();
        inner.seconds.get_or_create(&self.labels).observe(self.begun.elapsed().as_secs_f64());
    }
}

/// A body whose messages are counted.
struct Messages {
    body: Body,
    counter: Counter,
    heads: Heads,
}

impl Messages {
    fn new(body: Body, counter: Counter) -> Messages {
        Messages { body, counter, heads: Heads::default() }
    }
}

/// Finds messages in a stream of bytes. Each begins with five bytes: one says whether it is compressed, four its length.
#[derive(Debug, Default)]
struct Heads {
    /// How many bytes of a head were seen, and the length as far as it is known.
    seen: usize,
    len: u32,
    /// Bytes of the message that are yet to come.
    left: usize,
}

impl Heads {
    /// How many messages begin in `bytes`, which follow those of the call before.
    fn count(&mut self, mut bytes: &[u8]) -> u64 {
        let mut found = 0;
        while !bytes.is_empty() {
            let skipped = self.left.min(bytes.len());
            self.left -= skipped;
            bytes = &bytes[skipped..];
            let Some((byte, rest)) = bytes.split_first() else { break };
            bytes = rest;
            if self.seen > 0 {
                self.len = self.len << 8 | u32::from(*byte);
            }
            self.seen += 1;
            if self.seen == 5 {
                found += 1;
                *self = Heads { left: self.len as usize, ..Heads::default() };
            }
        }
        found
    }
}

type Polled = Poll<Option<Result<Frame<Bytes>, Status>>>;

impl HttpBody for Messages {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            let found = self.heads.count(data);
            self.counter.inc_by(found);
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

/// The body of an answer; the status comes behind it.
struct Answer {
    messages: Messages,
    call: Call,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled {
        let frame = ready!(Pin::new(&mut self.messages).poll_frame(context));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_however_the_bytes_are_cut() {
        let mut stream = Vec::new();
        for len in [0_u32, 3, 300, 0, 1] {
            stream.push(0);
            stream.extend_from_slice(&len.to_be_bytes());
            stream.extend(std::iter::repeat_n(7, len as usize));
        }
        for cut in 1..stream.len() {
            let mut heads = Heads::default();
            assert_eq!(stream.chunks(cut).map(|part| heads.count(part)).sum::<u64>(), 5, "cut {cut}");
        }
    }
}
