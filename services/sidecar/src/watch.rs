//! Polls a Prometheus for its version, external labels and oldest sample, and notices when it goes down and comes back.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde::Deserialize;
use tithon_chunks::{TimeRange, Timestamp};
use tithon_engine::plan::TimeBound;
use tithon_index::Labels;
use tithon_runtime::{Probes, Shutdown, now_ms};
use tracing::{info, warn};

use crate::prometheus::{Prometheus, in_time};
use crate::{FlagRules, PrometheusError, SidecarError, SidecarMetrics};

/// Pause after the first look that fails; each further one is twice as long, up to the interval.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// How a Prometheus is polled.
#[derive(Clone, Debug)]
pub struct WatchOptions {
    /// Interval between two polls (`--prometheus.get_config_interval`).
    pub interval: Duration,
    /// Timeout of a poll (`--prometheus.get_config_timeout`).
    pub timeout: Duration,
    /// No older data is offered (`--min-time`).
    pub min_time: TimeBound,
    /// Rules for its flags, if blocks are uploaded.
    pub flag_rules: Option<FlagRules>,
}

/// The last known state of a Prometheus. Clones share it.
#[derive(Clone)]
pub struct Watch(Arc<Inner>);

struct Inner {
    prometheus: Prometheus,
    options: WatchOptions,
    probes: Probes,
    metrics: SidecarMetrics,
    said: RwLock<Said>,
}

#[derive(Clone, Default)]
struct Said {
    version: String,
    labels: Labels,
    /// Time of the oldest sample in milliseconds since 1970.
    lowest: i64,
}

#[derive(Default, Deserialize)]
struct BuildInfo {
    #[serde(default)]
    version: String,
}

#[derive(Default, Deserialize)]
struct Config {
    #[serde(default)]
    yaml: String,
}

#[derive(Default, Deserialize)]
struct ConfigYaml {
    #[serde(default)]
    global: Global,
}

#[derive(Default, Deserialize)]
struct Global {
    #[serde(default)]
    external_labels: BTreeMap<String, String>,
}

impl Watch {
    /// A watch that has not polled yet. `probes` become ready and unready as the server comes and goes.
    pub fn new(
        prometheus: Prometheus,
        options: WatchOptions,
        probes: Probes,
        metrics: SidecarMetrics,
    ) -> Watch {
        let said = RwLock::new(Said { lowest: i64::MIN, ..Said::default() });
        Watch(Arc::new(Inner { prometheus, options, probes, metrics, said }))
    }

    /// The watched server.
    pub fn prometheus(&self) -> &Prometheus {
        &self.0.prometheus
    }

    /// Its external labels; empty before the first poll.
    pub fn external_labels(&self) -> Labels {
        self.said().labels
    }

    /// The time range of its data, which has no end.
    pub fn range(&self) -> TimeRange {
        let min = self.0.options.min_time.at_ms(now_ms()).max(self.said().lowest);
        TimeRange { min: Timestamp(min), max: Timestamp::MAX }
    }

    /// Whether the last poll succeeded.
    pub fn is_up(&self) -> bool {
        self.0.probes.is_ready()
    }

    /// Whether label calls accept matchers, which they do from version 2.24 on.
    pub(crate) fn filters_label_calls(&self) -> bool {
        let version = self.said().version;
        let mut numbers = version.split('.').map(str::parse::<u64>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (2, 24),
            _ => false,
        }
    }

    fn said(&self) -> Said {
        self.0.said.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Polls until the server has answered everything needed to begin, at first more often than the configured interval, since
    /// both usually start together. Returns early when the shutdown begins.
    ///
    /// Fails when the server has no external labels.
    pub async fn begin(&self, shutdown: &Shutdown) -> Result<(), SidecarError> {
        let mut is_first = true;
        let mut pause = FIRST_PAUSE;
        while !shutdown.is_triggered() {
            match self.first_look(is_first).await {
                Ok(()) => break,
                Err(error) => warn!(error, "Prometheus cannot be used yet, trying again"),
            }
            is_first = false;
            tokio::select! {
                () = tokio::time::sleep(pause.min(self.0.options.interval)) => {}
                () = shutdown.wait() => return Ok(()),
            }
            pause = pause.saturating_mul(2);
        }
        if shutdown.is_triggered() {
            return Ok(());
        }
        let labels = self.external_labels();
        if labels.is_empty() {
            return Err(SidecarError::NoExternalLabels);
        }
        info!(external_labels = %labels, version = self.said().version, "Prometheus answers");
        self.set_up(true);
        Ok(())
    }

    async fn first_look(&self, tells_warnings: bool) -> Result<(), String> {
        let Inner { prometheus, options, .. } = &*self.0;
        if let Some(rules) = &options.flag_rules {
            let flags = in_time(prometheus, options.timeout, FlagRules::ask(prometheus)).await;
            rules
                .check(flags.map_err(|e| e.to_string())?.as_ref(), tells_warnings)
                .map_err(|e| e.to_string())?;
        }
        let version =
            in_time(prometheus, options.timeout, self.ask_version()).await.map_err(|e| e.to_string())?;
        self.0.said.write().unwrap_or_else(PoisonError::into_inner).version = version;
        self.look().await.map_err(|e| e.to_string())
    }

    /// Polls at the interval until the shutdown.
    pub async fn keep(&self, shutdown: &Shutdown) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.0.options.interval) => {}
                () = shutdown.wait() => return,
            }
            let seen = self.look().await;
            if shutdown.is_triggered() {
                return;
            }
            if let Err(error) = &seen {
                warn!(%error, "Prometheus does not answer, this process is not ready until it does");
            } else if !self.is_up() {
                info!("Prometheus answers again");
            }
            self.set_up(seen.is_ok());
        }
    }

    fn set_up(&self, is_up: bool) {
        self.0.metrics.set_up(is_up);
        self.0.probes.set_ready(is_up);
    }

    /// Polls what may change while the server runs.
    async fn look(&self) -> Result<(), PrometheusError> {
        let Inner { prometheus, options, .. } = &*self.0;
        let look = async {
            let lowest = prometheus.own_metric("prometheus_tsdb_lowest_timestamp_seconds").await?;
            Ok((lowest, self.ask_labels().await?))
        };
        let (lowest, labels) = in_time(prometheus, options.timeout, look).await?;
        let mut said = self.0.said.write().unwrap_or_else(PoisonError::into_inner);
        // A head without samples reports the largest time.
        let millis = lowest * 1000.0;
        said.lowest = if millis >= i64::MAX as f64 { i64::MIN } else { millis as i64 };
        if said.labels != labels {
            info!(from = %said.labels, to = %labels, "external labels");
            said.labels = labels;
        }
        Ok(())
    }

    async fn ask_version(&self) -> Result<String, PrometheusError> {
        match self.0.prometheus.call::<BuildInfo>(&["status", "buildinfo"], &[]).await {
            // Servers before 2.14 do not have this API.
            Err(PrometheusError::Status { status: 404 | 405, .. }) => Ok("0".to_owned()),
            answer => Ok(answer?.data.version),
        }
    }

    async fn ask_labels(&self) -> Result<Labels, PrometheusError> {
        let config = self.0.prometheus.call::<Config>(&["status", "config"], &[]).await?.data;
        // The error does not quote the configuration, which may contain secrets.
        let parsed: ConfigYaml =
            serde_saphyr::from_str(&config.yaml).map_err(|_| PrometheusError::Answer {
                url: self.0.prometheus.url().to_string(),
                reason: "the configuration in /api/v1/status/config is not YAML with global.external_labels"
                    .to_owned(),
            })?;
        Ok(Labels::from_pairs(&parsed.global.external_labels))
    }
}
