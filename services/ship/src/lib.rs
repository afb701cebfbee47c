//! Uploads the finished blocks of a data directory, whoever wrote them: a Prometheus beside a sidecar, or a process with a head of
//! its own. Thanos `pkg/shipper/shipper.go`.

mod metrics;
mod shipper;
mod state;

pub use crate::metrics::ShipMetrics;
pub use crate::shipper::{ShipError, ShipOptions, Shipper};
