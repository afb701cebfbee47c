//! Sends the queue to one server, in order, again and again until it is taken.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::Client;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use tithon_engine::relabel::relabelled;
use tithon_index::Labels;
use tithon_proto::{WriteVersion, joined_write_request};
use tithon_runtime::Shutdown;
use tokio::sync::watch;
use tracing::{debug, error, warn};

use super::log::read;
use super::{Position, RemoteConfig, RemoteError, RemoteMetrics};
use crate::peers::{PeersError, body};

/// A server that is sent the queue.
pub(super) struct Sender {
    config: RemoteConfig,
    client: Client,
    headers: HeaderMap,
    dir: PathBuf,
    position_file: PathBuf,
    position: Mutex<Position>,
    external_labels: Labels,
    metrics: RemoteMetrics,
    labels: [(&'static str, String); 2],
}

/// What becomes of a batch.
enum Outcome {
    Sent,
    /// The server will never take it.
    Refused(String),
    /// It is to be sent again, after so long where the server says so.
    Again(String, Option<Duration>),
}

/// A batch is read until it has so many bytes.
const BATCH_BYTES: usize = 1 << 20;

impl Sender {
    pub(super) fn new(
        config: RemoteConfig,
        dir: &Path,
        external_labels: Labels,
        metrics: RemoteMetrics,
    ) -> Result<Sender, RemoteError> {
        let client = config.client.client().map_err(PeersError::from)?;
        let position_file = dir.join(format!("{}.position", config.file_name()));
        let position = Mutex::new(Position::load(&position_file));
        let labels = [("remote_name", config.name.clone()), ("url", config.shown_url())];
        let headers = config.headers.clone();
        let dir = dir.to_owned();
        Ok(Sender { config, client, headers, dir, position_file, position, external_labels, metrics, labels })
    }

    /// How far the server has the queue.
    pub(super) fn position(&self) -> Position {
        *self.position.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn run(&self, mut written: watch::Receiver<u64>, shutdown: &Shutdown) {
        loop {
            written.borrow_and_update();
            match self.send_waiting(shutdown).await {
                Ok(()) => {}
                Err(error) => {
                    error!(%error, "the queue on disk cannot be read");
                    tokio::select! {
                        () = tokio::time::sleep(self.config.max_backoff) => continue,
                        () = shutdown.wait() => return,
                    }
                }
            }
            tokio::select! {
                changed = written.changed() => if changed.is_err() { return },
                () = shutdown.wait() => return,
            }
        }
    }

    /// Sends all that waits.
    async fn send_waiting(&self, shutdown: &Shutdown) -> Result<(), RemoteError> {
        loop {
            let from = self.position();
            let batch = read(&self.dir, from, BATCH_BYTES)?;
            self.metrics.pending.get_or_create(&self.labels).set(batch.records.len() as i64);
            if !batch.records.is_empty() && !self.send(&batch.records, shutdown).await {
                return Ok(());
            }
            if batch.end == from {
                return Ok(());
            }
            batch.end.save(&self.position_file)?;
            *self.position.lock().unwrap_or_else(PoisonError::into_inner) = batch.end;
            if batch.records.is_empty() {
                return Ok(());
            }
        }
    }

    /// Sends records until the server takes them or refuses them for good; `false` when the end comes first.
    async fn send(&self, records: &[Vec<u8>], shutdown: &Shutdown) -> bool {
        let relabel = |labels: &Labels| {
            let mut builder = labels.to_builder();
            for (name, value) in self.external_labels.iter().filter(|(name, _)| labels.get(name).is_none()) {
                builder.set(name, value);
            }
            relabelled(&builder.finish(), &self.config.relabelling)
        };
        let records = records.iter().map(Vec::as_slice);
        let (request, n_samples) = match joined_write_request(records, relabel, self.config.version) {
            Ok(request) => request,
            Err(error) => {
                error!(%error, "records of the queue on disk cannot be read and are left out");
                return true;
            }
        };
        if n_samples == 0 {
            return true;
        }
        let compressed = match snap::raw::Encoder::new().compress_vec(&request) {
            Ok(compressed) => compressed,
            Err(error) => {
                error!(%error, "records of the queue on disk cannot be compressed and are left out");
                return true;
            }
        };
        let (n, bytes) = (n_samples as u64, compressed.len() as u64);
        let mut backoff = self.config.min_backoff;
        for attempt in 0_u64.. {
            match self.post(compressed.clone(), attempt).await {
                Outcome::Sent => {
                    self.metrics.sent.get_or_create(&self.labels).inc_by(n);
                    self.metrics.bytes.get_or_create(&self.labels).inc_by(bytes);
                    debug!(samples = n, "samples sent");
                    return true;
                }
                Outcome::Refused(reason) => {
                    self.metrics.failed.get_or_create(&self.labels).inc_by(n);
                    error!(url = self.labels[1].1, reason, samples = n, "samples are refused and left out");
                    return true;
                }
                Outcome::Again(reason, after) => {
                    self.metrics.retried.get_or_create(&self.labels).inc_by(n);
                    warn!(url = self.labels[1].1, reason, "samples are sent again");
                    tokio::select! {
                        () = tokio::time::sleep(after.unwrap_or(backoff)) => {}
                        () = shutdown.wait() => return false,
                    }
                    backoff = (backoff * 2).min(self.config.max_backoff);
                }
            }
        }
        false
    }

    async fn post(&self, compressed: Vec<u8>, attempt: u64) -> Outcome {
        let [content_type, version] = match self.config.version {
            WriteVersion::V1 => ["application/x-protobuf", "0.1.0"],
            WriteVersion::V2 => ["application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"],
        };
        let call = async {
            let mut request = self.client.post(self.config.url.clone()).headers(self.headers.clone());
            if let Some(value) = self.config.client.authorization().map_err(|e| e.to_string())? {
                request = request.header(AUTHORIZATION, value);
            }
            if attempt > 0 {
                request = request.header("Retry-Attempt", attempt);
            }
            request
                .header(CONTENT_TYPE, content_type)
                .header(CONTENT_ENCODING, "snappy")
                .header("X-Prometheus-Remote-Write-Version", version)
                .body(compressed)
                .send()
                .await
                .map_err(|error| tithon_proto::with_causes(&error.without_url()))
        };
        let answer = match tokio::time::timeout(self.config.timeout, call).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(reason)) => return Outcome::Again(reason, None),
            Err(_) => return Outcome::Again(format!("no answer in {:?}", self.config.timeout), None),
        };
        let status = answer.status();
        if status.is_success() {
            return match self.config.version {
                WriteVersion::V2 if !is_confirmed(answer.headers()) => Outcome::Refused(format!(
                    "status {status} without a count of written samples: does it know remote write 2.0?"
                )),
                _ => Outcome::Sent,
            };
        }
        let after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let told = body(answer, 4096).await.unwrap_or_default();
        let reason = format!("status {status}: {}", String::from_utf8_lossy(&told).trim());
        match status.as_u16() {
            500.. => Outcome::Again(reason, after.map(Duration::from_secs)),
            429 if self.config.retries_on_429 => Outcome::Again(reason, after.map(Duration::from_secs)),
            _ => Outcome::Refused(reason),
        }
    }
}

/// Whether a server says that it wrote something, as those of version 2 do. Prometheus `storage/remote/queue_manager.go`.
fn is_confirmed(headers: &HeaderMap) -> bool {
    ["Samples", "Histograms"].iter().any(|kind| {
        let written = headers.get(format!("X-Prometheus-Remote-Write-{kind}-Written"));
        written.and_then(|value| value.to_str().ok()?.parse().ok()).is_some_and(|n: u64| n > 0)
    })
}
