//! Metrics of requests, with the names of Thanos's object store client. thanos-io/objstore `objstore.go`.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::Bucket;
use crate::retry::Operation;

type Labels = [(&'static str, String); 2];

/// The metrics of one bucket; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct BucketMetrics {
    operations: Family<Labels, Counter>,
    failures: Family<Labels, Counter>,
    seconds: Family<Labels, Histogram, fn() -> Histogram>,
    fetched: Family<Labels, Counter>,
    transferred: Family<Labels, Histogram, fn() -> Histogram>,
    last_upload: Family<[(&'static str, String); 1], Gauge<f64, AtomicU64>>,
    /// Bytes that were read between ranges to save requests.
    pub(crate) gap_bytes: Counter,
    pub(crate) mapped: MappedReads,
    pub(crate) bucket: String,
}

const SECONDS: [f64; 18] = [
    0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0, 240.0, 360.0, 720.0,
    1800.0,
];

impl BucketMetrics {
    pub(crate) fn new(bucket: &str) -> BucketMetrics {
        let metrics = BucketMetrics {
            operations: Family::default(),
            failures: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            fetched: Family::default(),
            // 32 KiB to 1 GiB.
            transferred: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(f64::from(32 << 10), 2.0, 16))
            }),
            last_upload: Family::default(),
            gap_bytes: Counter::default(),
            mapped: MappedReads::default(),
            bucket: bucket.to_owned(),
        };
        for operation in Operation::ALL {
            drop(metrics.operations.get_or_create(&metrics.labels(operation)));
            drop(metrics.failures.get_or_create(&metrics.labels(operation)));
            drop(metrics.seconds.get_or_create(&metrics.labels(operation)));
        }
        for operation in [Operation::Get, Operation::GetRange] {
            drop(metrics.fetched.get_or_create(&metrics.labels(operation)));
        }
        drop(metrics.last_upload.get_or_create(&[("bucket", metrics.bucket.clone())]));
        metrics
    }

    fn labels(&self, operation: Operation) -> Labels {
        [("bucket", self.bucket.clone()), ("operation", operation.name().to_owned())]
    }

    /// Counts the bytes of an answer.
    pub(crate) fn fetched(&self, operation: Operation, bytes: usize) {
        let labels = self.labels(operation);
        self.fetched.get_or_create(&labels).inc_by(bytes as u64);
        self.transferred.get_or_create(&labels).observe(bytes as f64);
    }

    /// Counts the bytes of a written object.
    pub(crate) fn uploaded(&self, bytes: u64) {
        self.transferred.get_or_create(&self.labels(Operation::Upload)).observe(bytes as f64);
    }

    pub(crate) fn observe(&self, operation: Operation, took: Duration, failed: bool) {
        let labels = self.labels(operation);
        self.operations.get_or_create(&labels).inc();
        self.seconds.get_or_create(&labels).observe(took.as_secs_f64());
        if failed {
            self.failures.get_or_create(&labels).inc();
        } else if operation == Operation::Upload {
            let now = tithon_runtime::since_1970().as_secs_f64();
            self.last_upload.get_or_create(&[("bucket", self.bucket.clone())]).set(now);
        }
    }
}

/// Counts reads of mapped files of a directory, which are no requests. Clones share the counters.
#[derive(Clone, Debug, Default)]
pub(crate) struct MappedReads {
    ranges: Counter,
    bytes: Counter,
}

impl MappedReads {
    pub(crate) fn observe(&self, ranges: usize, bytes: usize) {
        self.ranges.inc_by(ranges as u64);
        self.bytes.inc_by(bytes as u64);
    }
}

impl Bucket {
    /// Registers `thanos_objstore_bucket_*`.
    pub fn register_metrics(&self, registry: &mut Registry) {
        let name = |name: &str| format!("thanos_objstore_bucket_{name}");
        let metrics = &self.metrics;
        registry.register(name("operations"), "Requests to the bucket", metrics.operations.clone());
        let help = "Requests to the bucket that failed";
        registry.register(name("operation_failures"), help, metrics.failures.clone());
        let help = "How long requests to the bucket took";
        registry.register(name("operation_duration_seconds"), help, metrics.seconds.clone());
        let help = "Bytes that answers of the bucket had";
        registry.register(name("operation_fetched_bytes"), help, metrics.fetched.clone());
        let help = "Bytes of single answers and uploads";
        registry.register(name("operation_transferred_bytes"), help, metrics.transferred.clone());
        let help = "When something was last uploaded, seconds since the Unix epoch";
        registry.register(name("last_successful_upload_time"), help, metrics.last_upload.clone());
        let help = "Bytes between wanted ranges that were read to save requests";
        registry.register("tithon_objstore_gap_bytes", help, metrics.gap_bytes.clone());
        let help = "Ranges of mapped files of a FILESYSTEM bucket that were read, without a request";
        registry.register("tithon_objstore_mapped_reads", help, metrics.mapped.ranges.clone());
        let help = "Bytes of these ranges";
        registry.register("tithon_objstore_mapped_read_bytes", help, metrics.mapped.bytes.clone());
        if let Some(hedge) = &self.hedge {
            let help = "Requests for ranges that were made again because the first took long";
            registry.register("tithon_objstore_hedged_requests", help, hedge.extra.clone());
        }
    }
}
