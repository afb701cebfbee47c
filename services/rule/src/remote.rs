//! Remote write 1.0 and 2.0: results go into a queue on disk, from which every remote server is sent all of them in order. Prometheus
//! `storage/remote/queue_manager.go`.

mod config;
mod log;
mod position;
mod sender;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tithon_index::Labels;
use tithon_runtime::{Metrics, Shutdown};
use tokio::sync::watch;

pub use self::config::{RemoteConfig, parse_remote_write};
use self::log::{Log, Segment};
use self::position::Position;
use self::sender::Sender;
use crate::peers::PeersError;

/// Why results cannot be queued or sent.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The queue on disk cannot be read or written.
    #[error("{path}: {source}")]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A record is longer than any that is read again.
    #[error("a record of {bytes} bytes, expected {max} at most")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The longest.
        max: usize,
    },
    /// The client of a remote server cannot be made.
    #[error("{0}")]
    Client(#[from] PeersError),
}

type OfRemote<M> = Family<[(&'static str, String); 2], M>;

/// What is counted of remote servers, under Prometheus's names.
#[derive(Clone, Default)]
pub(crate) struct RemoteMetrics {
    pub(crate) sent: OfRemote<Counter>,
    pub(crate) failed: OfRemote<Counter>,
    pub(crate) retried: OfRemote<Counter>,
    pub(crate) bytes: OfRemote<Counter>,
    pub(crate) pending: OfRemote<Gauge>,
    pub(crate) dropped: Counter,
}

impl RemoteMetrics {
    fn new(registry: &Metrics) -> RemoteMetrics {
        let m = RemoteMetrics::default();
        registry.register(|r| {
            let p = "prometheus_remote_storage";
            r.register(format!("{p}_samples"), "Samples that were sent", m.sent.clone());
            r.register(format!("{p}_samples_failed"), "Samples that a server refused", m.failed.clone());
            r.register(format!("{p}_samples_retried"), "Samples that were sent again", m.retried.clone());
            r.register(format!("{p}_bytes"), "Bytes sent, compressed", m.bytes.clone());
            r.register(format!("{p}_samples_pending"), "Records that wait on disk", m.pending.clone());
            let help = "Segments of the queue on disk that were dropped unsent, because it was full";
            r.register("tithon_rule_queue_segments_dropped", help, m.dropped.clone());
        });
        m
    }
}

/// A queue on disk and the servers behind it. Clones share both.
#[derive(Clone)]
pub struct RemoteWrite(Arc<Inner>);

struct Inner {
    log: Mutex<Log>,
    /// Tells senders how many records there are.
    written: watch::Sender<u64>,
    senders: Vec<Sender>,
    dir: PathBuf,
    metrics: RemoteMetrics,
}

impl RemoteWrite {
    /// Opens the queue of a folder; what waits there from an earlier process is sent first.
    pub fn open(
        dir: &Path,
        external_labels: &Labels,
        configs: Vec<RemoteConfig>,
        registry: &Metrics,
    ) -> Result<RemoteWrite, RemoteError> {
        let metrics = RemoteMetrics::new(registry);
        let sender = |config| Sender::new(config, dir, external_labels.clone(), metrics.clone());
        let senders = configs.into_iter().map(sender).collect::<Result<Vec<_>, _>>()?;
        let sent = senders.iter().map(|sender| sender.position().segment).max();
        let log = Log::open(dir, sent.unwrap_or_default())?;
        let written = watch::channel(0).0;
        let remote = RemoteWrite(Arc::new(Inner {
            log: Mutex::new(log),
            written,
            senders,
            dir: dir.to_owned(),
            metrics,
        }));
        let log = remote.0.log.lock().unwrap_or_else(PoisonError::into_inner);
        remote.clean(&log)?;
        drop(log);
        Ok(remote)
    }

    /// Appends a write request, encoded and not compressed, to the queue.
    pub fn append_encoded(&self, request: &[u8]) -> Result<(), RemoteError> {
        let mut log = self.0.log.lock().unwrap_or_else(PoisonError::into_inner);
        let begins_segment = log.append(request)?;
        if begins_segment {
            self.clean(&log)?;
        }
        drop(log);
        self.0.written.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Deletes segments that all servers have, and the oldest ones where there are too many.
    fn clean(&self, log: &Log) -> Result<(), RemoteError> {
        let sent = self.0.senders.iter().map(|sender| sender.position().segment).min();
        let segments = Segment::all(&self.0.dir)?;
        let surplus = segments.len().saturating_sub(log::SEGMENTS_MAX);
        for (i, segment) in segments.iter().enumerate() {
            let is_sent = sent.is_some_and(|sent| segment.number < sent);
            if segment.number == log.segment() || !is_sent && i >= surplus {
                continue;
            }
            if !is_sent {
                self.0.metrics.dropped.inc();
                tracing::warn!(segment = segment.number, "queue on disk is full, its oldest part is dropped");
            }
            segment.delete()?;
        }
        Ok(())
    }

    /// Sends what waits, to all servers, until the end.
    pub async fn send_all(&self, shutdown: &Shutdown) {
        let sending = self.0.senders.iter().map(|sender| {
            let written = self.0.written.subscribe();
            sender.run(written, shutdown)
        });
        futures::future::join_all(sending).await;
        // Without any server there is nothing to do until the end.
        shutdown.wait().await;
    }
}
