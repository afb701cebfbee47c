//! The registry behind `/metrics`.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// All metrics of the process; clones share the registry. Names are Thanos's own where Thanos has the metric.
#[derive(Clone)]
pub struct Metrics(Arc<Mutex<Registry>>);

impl Metrics {
    /// The content type of [`Metrics::text`].
    pub const CONTENT_TYPE: &'static str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// A registry with `thanos_build_info` and the `process_*` metrics in it.
    pub fn new(version: &str) -> Metrics {
        let mut registry = Registry::default();
        let build =
            vec![("version".to_owned(), version.to_owned()), ("program".to_owned(), "tithon".to_owned())];
        registry.register("thanos_build", "What this program was built from", Info::new(build));
        registry.register_collector(Box::new(Process));
        Metrics(Arc::new(Mutex::new(registry)))
    }

    /// Registers metrics. Counters are named without `_total`, which the text format adds.
    pub fn register<T>(&self, add: impl FnOnce(&mut Registry) -> T) -> T {
        add(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All metrics in the OpenMetrics text format.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if text::encode(&mut out, &registry).is_err() {
            out.clear();
            let _ = writeln!(out, "# EOF");
        }
        out
    }
}

/// Memory, CPU time and open files of the process, read from `/proc/self` at each scrape.
#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        // Kernel interface `proc(5)`: pages are 4 KiB and ticks 10 ms on the platforms that we build for.
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, n: usize| text.split_whitespace().nth(n).and_then(|f| f.parse::<f64>().ok());
        if let Some(pages) = field(&read("/proc/self/statm"), 1) {
            let help = "Resident memory size in bytes";
            let gauge = ConstGauge::new(pages * 4096.0);
            gauge.encode(encoder.encode_descriptor(
                "process_resident_memory_bytes",
                help,
                None,
                MetricType::Gauge,
            )?)?;
        }
        let stat = read("/proc/self/stat");
        // The command may hold spaces: count fields behind its closing parenthesis.
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        if let (Some(user), Some(system)) = (field(rest, 11), field(rest, 12)) {
            let help = "Total user and system CPU time spent in seconds";
            let counter = ConstCounter::new((user + system) / 100.0);
            counter.encode(encoder.encode_descriptor(
                "process_cpu_seconds",
                help,
                None,
                MetricType::Counter,
            )?)?;
        }
        if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
            let help = "Number of open file descriptors";
            let gauge = ConstGauge::new(entries.count() as i64);
            gauge.encode(encoder.encode_descriptor("process_open_fds", help, None, MetricType::Gauge)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_what_was_registered() {
        use prometheus_client::metrics::counter::Counter;
        let metrics = Metrics::new("1.2.3");
        let counter = Counter::<u64>::default();
        metrics.register(|r| r.register("thanos_bucket_store_block_loads", "Loads", counter.clone()));
        counter.inc();
        let text = metrics.text();
        assert!(text.contains("thanos_build_info{version=\"1.2.3\",program=\"tithon\"} 1"), "{text}");
        assert!(text.contains("thanos_bucket_store_block_loads_total 1"), "{text}");
        assert!(text.contains("process_resident_memory_bytes "), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
