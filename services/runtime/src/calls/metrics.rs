//! Metrics of gRPC calls, with the names of go-grpc-middleware as Thanos uses them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::Code;

use super::Side;
use crate::Metrics;

/// Labels `grpc_type`, `grpc_service`, `grpc_method`.
type CallLabels = [(&'static str, String); 3];
/// The labels of a call, with `grpc_code`.
type CodeLabels = [(&'static str, String); 4];

const SECONDS: [f64; 14] = [0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0];

/// Counts calls of the methods in the descriptors. Other methods are not counted, since callers could invent any number
/// of them.
#[derive(Clone)]
pub(crate) struct CallMetrics(Arc<Inner>);

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
    /// Registers the metrics. `descriptors` are encoded `FileDescriptorSet`s; the methods of one that cannot be decoded
    /// are not counted.
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

    /// Counts a call of `path` as started; `None` for an unknown method.
    pub(super) fn begin(&self, path: &str) -> Option<CountedCall> {
        let labels = self.0.methods.get(path)?.clone();
        self.0.started.get_or_create(&labels).inc();
        Some(CountedCall { metrics: self.clone(), labels })
    }

    /// Creates the counters of all methods of these services at zero, with every code, so that rates see the first
    /// call.
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

/// A call that is counted.
pub(super) struct CountedCall {
    metrics: CallMetrics,
    labels: CallLabels,
}

impl CountedCall {
    /// The counter of the request's messages.
    pub(super) fn of_requests(&self) -> Counter {
        self.metrics.0.of_requests.get_or_create(&self.labels).clone()
    }

    /// The counter of the answer's messages.
    pub(super) fn of_answers(&self) -> Counter {
        self.metrics.0.of_answers.get_or_create(&self.labels).clone()
    }

    /// Counts the call as handled.
    pub(super) fn end(&self, code: Code, took: Duration) {
        let inner = &self.metrics.0;
        let [kind, service, method] = self.labels.clone();
        inner.handled.get_or_create(&[kind, service, method, ("grpc_code", code_name(code))]).inc();
        inner.seconds.get_or_create(&self.labels).observe(took.as_secs_f64());
    }
}

/// Go's name of a code.
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
