//! A Kubernetes cluster: pods of 100 series each, of 60 jobs; half of the pods end within a day and are replaced.

use rayon::prelude::*;
use tithon_index::Labels;

use super::sorted;
use crate::data::Data;
use crate::random::{join, mix};
use crate::series::{BUCKETS, Native, Series, Source, Walk};

const JOBS: usize = 60;
const SERIES_PER_POD: usize = 100;
const HOUR_MS: u64 = 3_600_000;
/// Upper bounds of the classic histograms, seconds.
const BOUNDS: [&str; BUCKETS as usize] =
    ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"];

/// All series, ascending by labels: `data.series` of them exist at any time.
pub(crate) fn series(data: &Data) -> Vec<Series> {
    let pods = data.series.div_ceil(SERIES_PER_POD);
    let of_slot = |slot: usize| {
        let most = (data.series - slot * SERIES_PER_POD).min(SERIES_PER_POD);
        lives(data, slot).into_iter().flat_map(move |life| Pod::new(data, slot, life).series(most))
    };
    sorted((0..pods).into_par_iter().flat_map_iter(of_slot).collect())
}

/// The lifetime of a pod, milliseconds, and its number among the pods of its slot.
struct Life {
    number: u64,
    begin: i64,
    end: i64,
}

/// The successive pods of one slot.
fn lives(data: &Data, slot: usize) -> Vec<Life> {
    let random = join(data.seed, slot as u64);
    let end_ms = data.start_ms + data.range_ms;
    let mut lives = vec![Life { number: 0, begin: i64::MIN, end: i64::MAX }];
    if slot.is_multiple_of(2) {
        return lives;
    }
    // The first pod is in the middle of its life.
    let mut end = data.start_ms + (mix(random) % (24 * HOUR_MS)) as i64;
    while end < end_ms {
        let number = lives.len() as u64;
        let begin = end + 3 * data.interval_ms;
        if let Some(life) = lives.last_mut() {
            life.end = end;
        }
        lives.push(Life { number, begin, end: i64::MAX });
        end = begin + (6 * HOUR_MS + mix(random ^ number) % (18 * HOUR_MS)) as i64;
    }
    lives
}

/// One pod, with the series added so far.
struct Pod {
    labels: [(&'static str, String); 4],
    seed: u64,
    life: Life,
    list: Vec<Series>,
}

impl Pod {
    fn new(data: &Data, slot: usize, life: Life) -> Pod {
        let seed = join(data.seed, join(slot as u64, life.number));
        let job = format!("{}-{:02}", ["web", "worker", "cache", "api", "queue"][slot % 5], slot % JOBS);
        let labels = [
            ("instance", format!("10.{}.{}.{}:8080", slot / 62_500, slot / 250 % 250, slot % 250)),
            ("namespace", format!("team-{:02}", slot % JOBS / 5)),
            ("pod", format!("{job}-{slot:05}-{:05x}", seed & 0xf_ffff)),
            ("job", job),
        ];
        Pod { labels, seed, life, list: Vec::with_capacity(SERIES_PER_POD) }
    }

    fn add(&mut self, name: &str, own: &[(&str, &str)], source: Source, seed: Option<u64>) {
        let pairs = self.labels.iter().map(|(name, value)| (*name, value.as_str()));
        let labels = Labels::from_pairs(pairs.chain([("__name__", name)]).chain(own.iter().copied()));
        let seed = seed.unwrap_or_else(|| join(self.seed, labels.hash64()));
        let (begin, end, target) = (self.life.begin, self.life.end, self.seed);
        self.list.push(Series { labels, source, seed, target, begin, end, replicated: true });
    }

    fn walk(&mut self, name: &str, own: &[(&str, &str)], walk: Walk) {
        self.add(name, own, Source::Walk(walk), None);
    }

    /// The first `most` of its series.
    fn series(mut self, most: usize) -> Vec<Series> {
        self.requests();
        self.durations();
        self.container();
        self.state();
        self.process();
        self.list.truncate(most);
        self.list
    }

    fn requests(&mut self) {
        for code in ["200", "204", "404", "500", "503"] {
            for method in ["GET", "POST"] {
                for handler in ["/api/items", "/api/orders", "/healthz"] {
                    let changes = if code == "200" { 600 } else { 15 };
                    let labels = [("code", code), ("method", method), ("handler", handler)];
                    self.walk("apiserver_request_total", &labels, Walk::counter(changes, 40));
                }
            }
        }
    }

    fn durations(&mut self) {
        for (number, handler) in ["/api/items", "/api/orders", "/healthz"].into_iter().enumerate() {
            let seed = Some(join(self.seed, number as u64));
            let name = "http_request_duration_seconds";
            let changes = 400;
            for (i, le) in BOUNDS.into_iter().enumerate() {
                let source = Source::Walk(Walk::bucket(changes, i as u64));
                self.add(&format!("{name}_bucket"), &[("handler", handler), ("le", le)], source, seed);
            }
            let count = Source::Walk(Walk::bucket(changes, BUCKETS - 1));
            self.add(&format!("{name}_count"), &[("handler", handler)], count, seed);
            let sum = Source::Walk(Walk::observation_sum(changes));
            self.add(&format!("{name}_sum"), &[("handler", handler)], sum, seed);
        }
    }

    fn container(&mut self) {
        let own = [("container", "main")];
        self.walk("container_cpu_usage_seconds_total", &own, Walk::counter(1000, 3));
        self.walk("container_memory_working_set_bytes", &own, Walk::gauge(500, 3e8));
        self.walk("container_memory_rss", &own, Walk::gauge(350, 2e8));
        self.walk("container_network_receive_bytes_total", &own, Walk::counter(900, 60_000));
        self.walk("container_network_transmit_bytes_total", &own, Walk::counter(900, 40_000));
        self.walk("container_fs_reads_bytes_total", &own, Walk::counter(60, 65_536));
        self.walk("container_fs_writes_bytes_total", &own, Walk::counter(60, 65_536));
        self.walk("container_threads", &own, Walk::gauge(30, 24.0));
        self.walk("container_spec_memory_limit_bytes", &own, Walk::constant(536_870_912.0));
        self.walk("container_start_time_seconds", &own, Walk::constant(1_735_000_000.0));
    }

    fn state(&mut self) {
        self.walk("kube_pod_info", &[("node", "node-1")], Walk::constant(1.0));
        for phase in ["Pending", "Running", "Succeeded", "Failed", "Unknown"] {
            let value = f64::from(u8::from(phase == "Running"));
            self.walk("kube_pod_status_phase", &[("phase", phase)], Walk::constant(value));
        }
        self.walk("kube_pod_container_status_restarts_total", &[("container", "main")], Walk::counter(1, 1));
        self.walk("kube_pod_container_status_ready", &[("container", "main")], Walk::constant(1.0));
        for (resource, value) in [("cpu", 0.5), ("memory", 536_870_912.0)] {
            self.walk("kube_pod_container_resource_limits", &[("resource", resource)], Walk::constant(value));
        }
    }

    fn process(&mut self) {
        self.walk("up", &[], Walk::constant(1.0));
        self.walk("build_info", &[("version", "1.4.2")], Walk::constant(1.0));
        self.walk("backend_queue_length", &[], Walk::gauge(500, 40.0));
        self.walk("go_goroutines", &[], Walk::gauge(300, 120.0));
        self.walk("process_open_fds", &[], Walk::gauge(50, 60.0));
        self.walk("process_cpu_seconds_total", &[], Walk::counter(900, 4));
        self.walk("process_resident_memory_bytes", &[], Walk::gauge(400, 2.5e8));
        self.add("rpc_duration_seconds", &[], Source::Native(Native), None);
    }
}
