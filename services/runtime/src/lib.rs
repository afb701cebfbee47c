//! The basis of every server process: CPU pools, HTTP and gRPC servers with TLS, metrics, probes, supervision,
//! shutdown, and the mapping of error kinds to gRPC codes. It knows nothing of blocks.

mod about;
mod calls;
mod client;
mod clock;
mod compress;
mod cpu;
mod dial;
mod environment;
mod error;
mod gate;
mod grpc;
mod http;
mod http1;
mod http_client;
mod late;
mod listener;
mod metrics;
mod names;
mod origin;
mod own_thread;
mod probes;
mod request_id;
mod request_log;
mod resend;
mod secret;
mod shutdown;
mod status;
mod supervise;
mod tls;
mod trace;
mod yaml;

pub use crate::about::{About, BuildInfo, RuntimeInfo};
pub use crate::calls::{ClientCalls, Watched};
pub use crate::client::{Client, Subject};
pub use crate::clock::{now_ms, since_1970};
pub use crate::compress::compress;
pub use crate::cpu::{Cpu, Priority};
pub use crate::dial::{DialOptions, GrpcChannel, channel, dial};
pub use crate::environment::{UnsetVariable, expand_variables};
pub use crate::error::RuntimeError;
pub use crate::gate::{GateMetrics, InFlight};
pub use crate::grpc::{GrpcEncoding, GrpcServer, GrpcServices, Packing};
pub use crate::http::{
    AnsweredBy, HttpMetrics, HttpServer, LongQuery, WebConfigError, check_web_config, ops_router, url_query,
};
pub use crate::http_client::{HttpBasicAuth, HttpClientConfig, HttpClientError, HttpTls};
pub use crate::http1::{BodyReader, Framing, Head, Http1Fault, HttpAnswer, HttpClient, HttpError};
pub use crate::late::{LatePages, LateServices};
pub use crate::metrics::Metrics;
pub use crate::names::{Discovery, DiscoveryError, DnsName, EndpointAddress, SdFiles};
pub use crate::origin::is_same_origin;
pub use crate::own_thread::OwnThread;
pub use crate::probes::Probes;
pub use crate::request_log::{RequestLog, RequestLogError};
pub use crate::resend::resend;
pub use crate::secret::Secret;
pub use crate::shutdown::{Reload, Shutdown};
pub use crate::status::to_status;
pub use crate::supervise::Supervisor;
pub use crate::tls::{
    ClientAuth, ClientTls, ClientTlsOptions, Pem, ServerTls, ServerTlsOptions, TlsError, TlsVersion, http_tls,
};
pub use crate::trace::{RequestSpan, trace_headers};
pub use crate::yaml::YamlFault;
