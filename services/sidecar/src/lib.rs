//! What runs beside a Prometheus: its data as a StoreAPI, its finished blocks into a bucket, its configuration reloaded.
//! Thanos `cmd/thanos/sidecar.go`.
//!
//! [`Prometheus`] speaks to the server. [`Watch`] asks it again and again for its external labels and for the oldest sample it
//! has. [`PrometheusStore`] answers the StoreAPI over remote read, [`PrometheusCompanions`] answer the APIs of rules, targets,
//! metadata, exemplars and statistics. [`ship`] uploads blocks, [`Reloader`] has Prometheus read changed files.

mod companions;
mod error;
mod external;
mod flags;
mod metrics;
mod prometheus;
mod reload;
mod remote_read;
mod store;
mod uploads;
mod watch;

pub use crate::companions::PrometheusCompanions;
pub use crate::error::{PrometheusError, SidecarError};
pub use crate::flags::FlagRules;
pub use crate::metrics::SidecarMetrics;
pub use crate::prometheus::Prometheus;
pub use crate::reload::{ReloadError, ReloadMethod, ReloadOptions, Reloader};
pub use crate::store::{PrometheusStore, StoreLimits};
pub use crate::uploads::ship;
pub use crate::watch::{Watch, WatchOptions};
pub use reqwest::Url;
pub use tithon_runtime::{HttpClientConfig, HttpClientError};
