//! The sidecar of a Prometheus: serves its data by the StoreAPI, uploads its finished blocks to a bucket, and reloads
//! its configuration. Thanos `cmd/thanos/sidecar.go`.
//!
//! [`Prometheus`] sends requests to the server. [`Watch`] polls its external labels and the time of its oldest sample.
//! [`PrometheusStore`] answers the StoreAPI by remote read, [`PrometheusCompanions`] the APIs of rules, targets,
//! metadata, exemplars and statistics. [`ship`] uploads blocks, and [`Reloader`] makes Prometheus read changed
//! files.

mod companions;
mod error;
mod external;
mod flags;
mod metrics;
mod pieces;
mod prometheus;
mod reload;
mod remote_read;
mod sorted;
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
