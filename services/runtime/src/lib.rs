//! What every server process stands on: CPU pools, HTTP and gRPC servers with TLS, metrics, probes, supervision, shutdown,
//! and the one place that knows which gRPC code an error gets. Knows no block.

mod calls;
mod compress;
mod cpu;
mod dial;
mod environment;
mod error;
mod grpc;
mod http;
mod listener;
mod metrics;
mod origin;
mod probes;
mod resend;
mod shutdown;
mod status;
mod supervise;
mod tls;
mod yaml;

pub use crate::compress::compress;
pub use crate::cpu::{Cpu, Priority};
pub use crate::dial::dial;
pub use crate::environment::{UnsetVariable, expand_variables};
pub use crate::error::RuntimeError;
pub use crate::grpc::{GrpcServer, GrpcServices};
pub use crate::http::{HttpServer, LongQuery, WebConfigError, ops_router, url_query};
pub use crate::metrics::Metrics;
pub use crate::origin::is_same_origin;
pub use crate::probes::Probes;
pub use crate::resend::resend;
pub use crate::shutdown::Shutdown;
pub use crate::status::to_status;
pub use crate::supervise::Supervisor;
pub use crate::tls::{
    ClientAuth, ClientTls, ClientTlsOptions, Pem, ServerTls, ServerTlsOptions, TlsError, TlsVersion, http_tls,
};
pub use crate::yaml::YamlFault;
