//! Sends alerts to all Alertmanagers. Thanos `pkg/alert/alert.go`, `Sender`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::Url;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};
use tithon_index::Labels;
use tithon_runtime::{Metrics, Shutdown};
use tracing::warn;

use super::{AlertQueue, AlertmanagerConfig, ApiVersion, Notification};
use crate::metrics::RuleMetrics;
use crate::peers::{DnsMetrics, Peers, PeersError, joined, keep};

/// How the sender works.
#[derive(Clone, Copy, Debug)]
pub struct SenderOptions {
    /// Interval between two look-ups of DNS names.
    pub dns_interval: Duration,
}

/// Sends what waits in a queue. Clones share what they know of the Alertmanagers.
#[derive(Clone)]
pub struct AlertSender {
    groups: Arc<[Group]>,
    options: SenderOptions,
    dns: DnsMetrics,
    metrics: RuleMetrics,
}

struct Group {
    peers: Arc<Peers>,
    timeout: Duration,
    version: ApiVersion,
}

/// After a batch that nobody took, the sender waits before the next one; twice as long each time.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

impl AlertSender {
    /// A sender whose Alertmanagers have not been looked up yet.
    pub fn new(
        configs: Vec<AlertmanagerConfig>,
        options: SenderOptions,
        registry: &Metrics,
        metrics: RuleMetrics,
    ) -> Result<AlertSender, PeersError> {
        let group = |config: AlertmanagerConfig| {
            let peers = Arc::new(Peers::new(config.peers)?);
            Ok::<_, PeersError>(Group { peers, timeout: config.timeout, version: config.version })
        };
        let groups = configs.into_iter().map(group).collect::<Result<Vec<_>, _>>()?;
        let dns = DnsMetrics::new(registry, "thanos_rule_alertmanagers");
        Ok(AlertSender { groups: groups.into(), options, dns, metrics })
    }

    /// Keeps the list of Alertmanagers up to date until the end.
    pub async fn keep(&self, shutdown: &Shutdown) {
        let peers: Vec<Arc<Peers>> = self.groups.iter().map(|group| Arc::clone(&group.peers)).collect();
        keep(&peers, self.options.dns_interval, &self.dns, shutdown).await;
    }

    /// Sends what waits in `queue` until the end.
    pub async fn send_all(&self, queue: &AlertQueue, shutdown: &Shutdown) {
        let mut backoff = BACKOFF.0;
        loop {
            let batch = tokio::select! {
                batch = queue.pop() => batch,
                () = shutdown.wait() => return,
            };
            if self.send(&batch).await {
                backoff = BACKOFF.0;
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep(backoff) => backoff = (backoff * 2).min(BACKOFF.1),
                () = shutdown.wait() => return,
            }
        }
    }

    /// Sends a batch to all Alertmanagers at the same time. Whether any took it; else it is lost, and comes again with the
    /// next sending of its alerts.
    async fn send(&self, alerts: &[Notification]) -> bool {
        let body = payload(alerts);
        let mut calls = Vec::new();
        for group in self.groups.iter() {
            for url in group.peers.urls().0.iter() {
                calls.push(self.post(group, url.clone(), body.clone(), alerts.len()));
            }
        }
        if calls.is_empty() && self.groups.is_empty() {
            return true;
        }
        if join_all(calls).await.contains(&true) {
            return true;
        }
        self.metrics.alerts_unsent.inc_by(alerts.len() as u64);
        warn!(alerts = alerts.len(), "no Alertmanager took some alerts");
        false
    }

    async fn post(&self, group: &Group, url: Url, body: String, n_alerts: usize) -> bool {
        let name = match url.port() {
            Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
            None => url.host_str().unwrap_or_default().to_owned(),
        };
        let of = [("alertmanager", name)];
        let begun = Instant::now();
        let url = joined(&url, &["api", group.version.segment(), "alerts"]);
        let call = async {
            let request = group
                .peers
                .client
                .requests()
                .post(url.clone())
                .header(CONTENT_TYPE, "application/json")
                .body(body);
            let request = group.peers.authorized(request).map_err(|error| error.to_string())?;
            let answer = request.send().await.map_err(|e| tithon_proto::with_causes(&e.without_url()))?;
            let status = answer.status();
            if status.is_success() { Ok(()) } else { Err(format!("bad response status {status}")) }
        };
        let late = |_| format!("no answer in {:?}", group.timeout);
        match tokio::time::timeout(group.timeout, call).await.map_err(late).flatten() {
            Ok(()) => {
                self.metrics.alert_latency.get_or_create(&of).observe(begun.elapsed().as_secs_f64());
                self.metrics.alerts_sent.get_or_create(&of).inc_by(n_alerts as u64);
                true
            }
            Err(reason) => {
                self.metrics.alert_errors.get_or_create(&of).inc();
                warn!(%url, reason, "sending alerts failed");
                false
            }
        }
    }
}

/// Alerts as JSON; both versions read the same fields.
fn payload(alerts: &[Notification]) -> String {
    let object = |labels: &Labels| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let pairs = labels.iter().map(|(name, value)| (text(name), Value::String(text(value))));
        Value::Object(pairs.collect::<Map<_, _>>())
    };
    let one = |alert: &Notification| {
        json!({
            "labels": object(&alert.labels),
            "annotations": object(&alert.annotations),
            "startsAt": alert.starts_at.moment().to_string(),
            "endsAt": alert.ends_at.moment().to_string(),
            "generatorURL": alert.generator_url,
        })
    };
    Value::Array(alerts.iter().map(one).collect()).to_string()
}
