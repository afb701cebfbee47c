//! The catalogue of the demo's series: jobs, targets and their metrics, some 10,000 series.

use tithon_index::Labels;

use super::process::Shape;
use crate::series::{Series, Source};

/// Upper bounds of the classic histograms, seconds.
const BUCKETS: [&str; 12] =
    ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"];

/// All series of the demo, ascending by labels.
pub fn demo_series() -> Vec<Series> {
    let mut list = Vec::with_capacity(11_000);
    for i in 0..8 {
        api(&mut Target::new(&mut list, "api", format!("api-{i}:8080"), true));
    }
    for i in 0..30 {
        node(&mut Target::new(&mut list, "node", format!("node-{i:02}:9100"), false));
    }
    for i in 0..30 {
        cadvisor(&mut Target::new(&mut list, "cadvisor", format!("node-{i:02}:4194"), false), i);
    }
    for i in 0..4 {
        database(&mut Target::new(&mut list, "db", format!("db-{i}:9187"), false));
    }
    for i in 0..2 {
        prometheus(&mut Target::new(&mut list, "prometheus", format!("prometheus-{i}:9090"), false));
    }
    list.sort_by(|a, b| a.labels.cmp(&b.labels));
    list
}

struct Target<'a> {
    list: &'a mut Vec<Series>,
    job: &'static str,
    instance: String,
    replicated: bool,
    seed: u64,
}

impl<'a> Target<'a> {
    fn new(list: &'a mut Vec<Series>, job: &'static str, instance: String, replicated: bool) -> Target<'a> {
        let seed = Labels::from_pairs([("job", job), ("instance", instance.as_str())]).hash64();
        let mut target = Target { list, job, instance, replicated, seed };
        target.add("up", &[], Shape::Up);
        target.add(
            "scrape_duration_seconds",
            &[],
            Shape::Gauge { mean: 0.02, swing: 0.1, noise: 0.3, step: 1e-9 },
        );
        target.add("scrape_samples_scraped", &[], Shape::Constant(420.0));
        target.add("process_start_time_seconds", &[], Shape::Constant(1_700_000_000.0));
        target.add(
            "process_resident_memory_bytes",
            &[],
            Shape::Gauge { mean: 2.5e8, swing: 0.1, noise: 0.02, step: 4096.0 },
        );
        target.add(
            "process_cpu_seconds_total",
            &[],
            Shape::Counter { rate: 0.4, swing: 0.5, noise: 0.3, step: 0.01 },
        );
        target
    }

    fn add(&mut self, name: &str, labels: &[(&str, &str)], shape: Shape) {
        self.add_seeded(name, labels, shape, None);
    }

    fn add_seeded(&mut self, name: &str, labels: &[(&str, &str)], shape: Shape, seed: Option<u64>) {
        let own = [("__name__", name), ("job", self.job), ("instance", self.instance.as_str())];
        let labels = Labels::from_pairs(own.iter().chain(labels).copied());
        let seed = seed.unwrap_or_else(|| labels.hash64());
        self.list.push(Series {
            labels,
            source: Source::Demo(shape),
            seed,
            target: self.seed,
            begin: i64::MIN,
            end: i64::MAX,
            replicated: self.replicated,
        });
    }

    /// Adds a classic histogram: `_bucket`, `_sum` and `_count` of the same observations.
    fn histogram(&mut self, name: &str, labels: &[(&str, &str)], rate: f64, median: f64) {
        let seed = Labels::from_pairs(labels.iter().copied()).hash64() ^ self.seed;
        for le in BUCKETS {
            let bound = le.parse().unwrap_or(f64::INFINITY);
            let with_le: Vec<_> = labels.iter().copied().chain([("le", le)]).collect();
            let shape = Shape::Bucket { rate, median, bound };
            self.add_seeded(&format!("{name}_bucket"), &with_le, shape, Some(seed));
        }
        let count = Shape::Bucket { rate, median, bound: f64::INFINITY };
        self.add_seeded(&format!("{name}_count"), labels, count, Some(seed));
        self.add_seeded(&format!("{name}_sum"), labels, Shape::ObservationSum { rate, median }, Some(seed));
    }
}

fn api(target: &mut Target<'_>) {
    let handlers = [
        ("/", 12.0, 0.02),
        ("/api/orders", 30.0, 0.08),
        ("/api/users", 18.0, 0.05),
        ("/api/search", 6.0, 0.35),
        ("/healthz", 0.2, 0.002),
    ];
    for (handler, rate, median) in handlers {
        for (code, share) in [("200", 0.96), ("404", 0.03), ("500", 0.01)] {
            for (method, part) in [("GET", 0.8), ("POST", 0.2)] {
                let shape = Shape::Counter { rate: rate * share * part, swing: 0.6, noise: 0.4, step: 1.0 };
                target.add(
                    "http_requests_total",
                    &[("code", code), ("method", method), ("handler", handler)],
                    shape,
                );
            }
        }
        target.histogram("http_request_duration_seconds", &[("handler", handler)], rate, median);
    }
    target.add("build_info", &[("version", "1.4.2"), ("goversion", "go1.26")], Shape::Constant(1.0));
    target.add(
        "http_requests_in_flight",
        &[],
        Shape::Gauge { mean: 14.0, swing: 0.6, noise: 0.4, step: 1.0 },
    );
    target.add("queue_length", &[], Shape::Gauge { mean: 40.0, swing: 0.9, noise: 0.8, step: 1.0 });
}

fn node(target: &mut Target<'_>) {
    let modes = [
        ("idle", 0.70),
        ("user", 0.18),
        ("system", 0.07),
        ("iowait", 0.02),
        ("irq", 0.0),
        ("softirq", 0.01),
        ("nice", 0.0),
        ("steal", 0.001),
    ];
    for cpu in 0..8 {
        for (mode, rate) in modes {
            let shape = Shape::Counter { rate, swing: 0.3, noise: 0.2, step: 0.01 };
            target.add("node_cpu_seconds_total", &[("cpu", &cpu.to_string()), ("mode", mode)], shape);
        }
    }
    for (device, rate) in [("eth0", 4e6), ("eth1", 5e5), ("lo", 2e4)] {
        for name in ["node_network_receive_bytes_total", "node_network_transmit_bytes_total"] {
            target.add(
                name,
                &[("device", device)],
                Shape::Counter { rate, swing: 0.7, noise: 0.5, step: 1.0 },
            );
        }
        for name in ["node_network_receive_errs_total", "node_network_transmit_errs_total"] {
            target.add(name, &[("device", device)], Shape::Constant(0.0));
        }
    }
    let disks = [("/dev/sda1", "/", 1e11), ("/dev/sdb1", "/var", 5e11), ("/dev/sdc1", "/data", 2e12)];
    for (device, mountpoint, size) in disks {
        let labels = [("device", device), ("mountpoint", mountpoint), ("fstype", "ext4")];
        target.add("node_filesystem_size_bytes", &labels, Shape::Constant(size));
        let avail = Shape::Gauge { mean: size * 0.4, swing: 0.05, noise: 0.001, step: 4096.0 };
        target.add("node_filesystem_avail_bytes", &labels, avail);
        for name in ["node_disk_read_bytes_total", "node_disk_written_bytes_total"] {
            target.add(
                name,
                &[("device", device)],
                Shape::Counter { rate: 3e5, swing: 0.8, noise: 0.9, step: 512.0 },
            );
        }
    }
    target.add("node_memory_MemTotal_bytes", &[], Shape::Constant(34_359_738_368.0));
    for (name, mean) in [
        ("node_memory_MemAvailable_bytes", 1.8e10),
        ("node_memory_MemFree_bytes", 6e9),
        ("node_memory_Cached_bytes", 9e9),
        ("node_memory_Buffers_bytes", 4e8),
        ("node_memory_Active_bytes", 1.1e10),
    ] {
        target.add(name, &[], Shape::Gauge { mean, swing: 0.1, noise: 0.01, step: 4096.0 });
    }
    for (name, mean) in [("node_load1", 2.1), ("node_load5", 2.0), ("node_load15", 1.9)] {
        target.add(name, &[], Shape::Gauge { mean, swing: 0.5, noise: 0.3, step: 0.01 });
    }
    target.add("node_boot_time_seconds", &[], Shape::Constant(1_690_000_000.0));
    target.add(
        "node_uname_info",
        &[("nodename", "node"), ("release", "6.12.0"), ("sysname", "Linux")],
        Shape::Constant(1.0),
    );
}

fn cadvisor(target: &mut Target<'_>, node: usize) {
    for pod in 0..14 {
        let namespace = ["shop", "search", "billing", "monitoring", "kube-system"][(node + pod) % 5];
        let name = format!("{namespace}-{}-{node:02}{pod:02}", ["web", "worker", "cache"][pod % 3]);
        let labels = [("namespace", namespace), ("pod", name.as_str()), ("container", "main")];
        target.add(
            "container_cpu_usage_seconds_total",
            &labels,
            Shape::Counter { rate: 0.15, swing: 0.6, noise: 0.6, step: 1e-6 },
        );
        target.add(
            "container_memory_working_set_bytes",
            &labels,
            Shape::Gauge { mean: 3e8, swing: 0.2, noise: 0.03, step: 4096.0 },
        );
        target.add(
            "container_memory_rss",
            &labels,
            Shape::Gauge { mean: 2e8, swing: 0.2, noise: 0.02, step: 4096.0 },
        );
        for name in ["container_network_receive_bytes_total", "container_network_transmit_bytes_total"] {
            target.add(name, &labels, Shape::Counter { rate: 2e4, swing: 0.6, noise: 0.8, step: 1.0 });
        }
        for name in ["container_fs_reads_bytes_total", "container_fs_writes_bytes_total"] {
            target.add(name, &labels, Shape::Counter { rate: 3e3, swing: 0.6, noise: 1.0, step: 4096.0 });
        }
        target.add("container_spec_memory_limit_bytes", &labels, Shape::Constant(536_870_912.0));
        target.add("container_spec_cpu_quota", &labels, Shape::Constant(100_000.0));
        target.add("kube_pod_container_status_restarts_total", &labels, Shape::Constant(0.0));
        target.add(
            "container_threads",
            &labels,
            Shape::Gauge { mean: 24.0, swing: 0.1, noise: 0.1, step: 1.0 },
        );
    }
}

fn database(target: &mut Target<'_>) {
    for datname in ["orders", "users", "inventory", "audit", "sessions"] {
        let labels = [("datname", datname)];
        for (name, rate) in [
            ("pg_stat_database_xact_commit", 140.0),
            ("pg_stat_database_xact_rollback", 0.6),
            ("pg_stat_database_blks_read", 35.0),
            ("pg_stat_database_blks_hit", 5200.0),
            ("pg_stat_database_tup_fetched", 2600.0),
            ("pg_stat_database_tup_inserted", 75.0),
            ("pg_stat_database_deadlocks", 0.0005),
        ] {
            target.add(name, &labels, Shape::Counter { rate, swing: 0.5, noise: 0.3, step: 1.0 });
        }
        target.add(
            "pg_stat_database_numbackends",
            &labels,
            Shape::Gauge { mean: 30.0, swing: 0.4, noise: 0.2, step: 1.0 },
        );
        target.add(
            "pg_database_size_bytes",
            &labels,
            Shape::Gauge { mean: 8e9, swing: 0.01, noise: 0.0, step: 8192.0 },
        );
        target.histogram("pg_query_duration_seconds", &labels, 60.0, 0.012);
    }
    target.add("pg_settings_max_connections", &[], Shape::Constant(500.0));
    target.add(
        "pg_replication_lag_seconds",
        &[],
        Shape::Gauge { mean: 0.4, swing: 0.5, noise: 1.0, step: 0.001 },
    );
}

fn prometheus(target: &mut Target<'_>) {
    target.add(
        "prometheus_tsdb_head_series",
        &[],
        Shape::Gauge { mean: 10_000.0, swing: 0.01, noise: 0.001, step: 1.0 },
    );
    target.add(
        "prometheus_tsdb_head_samples_appended_total",
        &[("type", "float")],
        Shape::Counter { rate: 660.0, swing: 0.01, noise: 0.01, step: 1.0 },
    );
    target.add("prometheus_build_info", &[("version", "3.14.0"), ("branch", "HEAD")], Shape::Constant(1.0));
    for handler in ["/api/v1/query", "/api/v1/query_range", "/metrics", "/api/v1/labels"] {
        target.histogram("prometheus_http_request_duration_seconds", &[("handler", handler)], 1.5, 0.03);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_ten_thousand_series_with_unique_labels_in_order() {
        let list = demo_series();
        assert!((9_000..12_000).contains(&list.len()), "{} series", list.len());
        assert!(list.windows(2).all(|pair| pair[0].labels < pair[1].labels));
    }
}
