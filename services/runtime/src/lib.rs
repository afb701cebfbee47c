//! What every server process stands on: CPU pool, HTTP and gRPC servers, metrics, probes, shutdown, and the one place
//! that knows which gRPC code an error gets. Knows no block.

mod calls;
mod cpu;
mod error;
mod grpc;
mod http;
mod listener;
mod metrics;
mod probes;
mod shutdown;
mod status;
mod supervise;

pub use crate::cpu::{Cpu, Priority};
pub use crate::error::RuntimeError;
pub use crate::grpc::GrpcServer;
pub use crate::http::{HttpServer, ops_router};
pub use crate::metrics::Metrics;
pub use crate::probes::Probes;
pub use crate::shutdown::Shutdown;
pub use crate::status::to_status;
pub use crate::supervise::Supervisor;
