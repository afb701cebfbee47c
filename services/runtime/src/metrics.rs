//! The metrics of the process, and the formats of `/metrics`.

mod text;

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::prometheus_protobuf::encode_to_vec;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

/// All metrics of the process; clones share the registry. Metrics that Thanos has keep Thanos's names.
#[derive(Clone)]
pub struct Metrics(Arc<Mutex<Registry>>);

impl Metrics {
    /// A registry with `thanos_build_info` and the `process_*` metrics.
    pub fn new(version: &str) -> Metrics {
        Metrics::of_build(version, "unknown")
    }

    /// Like [`Metrics::new`], with the commit of the build.
    pub fn of_build(version: &str, commit: &str) -> Metrics {
        let mut registry = Registry::default();
        let build = Family::<[(&'static str, String); 3], Gauge>::default();
        let named = |name, value: &str| (name, value.to_owned());
        let labels = [named("version", version), named("revision", commit), named("program", "tithon")];
        build.get_or_create(&labels).set(1);
        registry.register("thanos_build_info", "What this program was built from", build);
        registry.register_collector(Box::new(Process));
        Metrics(Arc::new(Mutex::new(registry)))
    }

    /// Registers metrics. Counters are registered without the suffix `_total`, which the text format adds.
    pub fn register<T>(&self, add: impl FnOnce(&mut Registry) -> T) -> T {
        add(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All metrics in the format that the scraper's `Accept` header prefers, with its content type. Only the protobuf
    /// format has native histograms.
    pub fn answer(&self, accept: &str) -> (&'static str, Vec<u8>) {
        match Format::of(accept) {
            Format::Protobuf => {
                let registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                (
                    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
                    encode_to_vec(&registry).unwrap_or_default(),
                )
            }
            Format::OpenMetrics => {
                ("application/openmetrics-text; version=1.0.0; charset=utf-8", self.text().into_bytes())
            }
            Format::Text => {
                let text = text::from_openmetrics(&self.text());
                ("text/plain; version=0.0.4; charset=utf-8", text.into_bytes())
            }
        }
    }

    /// All metrics in the OpenMetrics text format.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if encode(&mut out, &registry).is_err() {
            out.clear();
            let _ = writeln!(out, "# EOF");
        }
        out
    }
}

/// A format of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// Prometheus's text format before OpenMetrics.
    Text,
    OpenMetrics,
    /// Length-delimited messages of `io.prometheus.client`.
    Protobuf,
}

impl Format {
    /// The format that `Accept` prefers, the first of equal ones; the text format if it names none of them. RFC 9110,
    /// 12.5.1.
    fn of(accept: &str) -> Format {
        let mut best = (0.0, Format::Text);
        for entry in accept.split(',') {
            let mut words = entry.split(';').map(str::trim);
            let format = match words.next().unwrap_or_default() {
                "application/vnd.google.protobuf" if entry.contains("io.prometheus.client.MetricFamily") => {
                    Format::Protobuf
                }
                "application/openmetrics-text" => Format::OpenMetrics,
                "text/plain" | "text/*" => Format::Text,
                _ => continue,
            };
            let weight = words.find_map(|word| word.strip_prefix("q=")).map_or(Ok(1.0), str::parse::<f64>);
            let weight = weight.unwrap_or(0.0);
            if weight > best.0 {
                best = (weight, format);
            }
        }
        best.1
    }
}

/// Memory, CPU time, start time and open files of the process, read from `/proc/self` at each scrape.
#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        // See `proc(5)`: pages are 4 KiB and ticks 10 ms on the platforms that we build for.
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, n: usize| text.split_whitespace().nth(n).and_then(|f| f.parse::<f64>().ok());
        let stat = read("/proc/self/stat");
        // The command may contain spaces, so fields are counted after its closing parenthesis.
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let cpu = field(rest, 11).zip(field(rest, 12)).map(|(user, system)| (user + system) / 100.0);
        if let Some(seconds) = cpu {
            let help = "Total user and system CPU time spent in seconds";
            let counter = ConstCounter::new(seconds);
            counter.encode(encoder.encode_descriptor(
                "process_cpu_seconds",
                help,
                None,
                MetricType::Counter,
            )?)?;
        }
        let (memory, kernel, limits) =
            (read("/proc/self/statm"), read("/proc/stat"), read("/proc/self/limits"));
        let booted = kernel.lines().find_map(|line| field(line.strip_prefix("btime ")?, 0));
        let started = booted.zip(field(rest, 19)).map(|(booted, ticks)| booted + ticks / 100.0);
        let files_max = limits.lines().find_map(|line| field(line.strip_prefix("Max open files")?, 0));
        let files = std::fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as f64);
        for (name, help, value) in [
            ("resident_memory_bytes", "Resident memory size in bytes", field(&memory, 1).map(|n| n * 4096.0)),
            ("virtual_memory_bytes", "Virtual memory size in bytes", field(&memory, 0).map(|n| n * 4096.0)),
            ("start_time_seconds", "Start time of the process since the Unix epoch in seconds", started),
            ("open_fds", "Number of open file descriptors", files),
            ("max_fds", "Maximum number of open file descriptors", files_max),
        ] {
            let Some(value) = value else { continue };
            let name = format!("process_{name}");
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scrapers_get_what_they_like_best() {
        let protobuf =
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
        for (accept, format) in [
            (String::new(), Format::Text),
            ("*/*".to_owned(), Format::Text),
            ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5".to_owned(), Format::OpenMetrics),
            (
                format!("{protobuf};q=0.6,application/openmetrics-text;q=0.5,text/plain;q=0.3"),
                Format::Protobuf,
            ),
            (format!("application/openmetrics-text;q=0.6,{protobuf};q=0.5"), Format::OpenMetrics),
            (
                "application/vnd.google.protobuf;proto=some.other;q=1,text/plain;q=0.1".to_owned(),
                Format::Text,
            ),
        ] {
            assert_eq!(Format::of(&accept), format, "{accept}");
        }
        let (kind, bytes) = Metrics::new("1").answer(protobuf);
        assert!(kind.contains("delimited") && bytes.windows(17).any(|part| part == b"thanos_build_info"));
    }

    #[test]
    fn the_text_has_what_was_registered() {
        use prometheus_client::metrics::counter::Counter;
        let metrics = Metrics::of_build("1.2.3", "abc");
        let counter = Counter::<u64>::default();
        metrics.register(|r| r.register("thanos_bucket_store_block_loads", "Loads", counter.clone()));
        counter.inc();
        let text = metrics.text();
        assert!(
            text.contains("thanos_build_info{version=\"1.2.3\",revision=\"abc\",program=\"tithon\"} 1"),
            "{text}"
        );
        assert!(text.contains("thanos_bucket_store_block_loads_total 1"), "{text}");
        assert!(text.contains("process_resident_memory_bytes "), "{text}");
        for name in ["virtual_memory_bytes", "start_time_seconds", "open_fds", "max_fds", "cpu_seconds_total"]
        {
            assert!(text.contains(&format!("\nprocess_{name} ")), "{name}: {text}");
        }
        assert!(text.ends_with("# EOF\n"), "{text}");
        let (kind, plain) = metrics.answer("text/plain;version=0.0.4");
        let plain = String::from_utf8(plain).unwrap();
        assert!(
            kind.starts_with("text/plain") && plain.contains("# TYPE process_cpu_seconds_total counter\n")
        );
    }
}
