//! PromQL over HTTP, side by side with Prometheus on the same block: `cargo bench -p tithon-benches --bench promql
//! [-- --json] [--quick]`.
//!
//! Needs Debian's `prometheus` (or the program that `TITHON_PROMETHEUS` names), `taskset`, and `tithon`, which it builds.
//! 10,000 series of 30 hours, a sample every 30 s, whose values are those of the real block of 2022; queries over all of
//! it, a step every `STEP` seconds (30 otherwise). Both servers get one core first,
//! Tithon then two; times are of whole answers, at a client on the other core.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tithon_benches::{Report, medians};
use tithon_chunks::{CounterResetHint, EncodedChunk, Histogram, SampleBatch, Span, TimeRange, decode_floats};
use tithon_engine::compact::{ChunkBuilder, FloatEncoding};
use tithon_engine::{Block, BlockId, BlockWriter, Compaction, MetaParts, SelectRequest};
use tithon_index::Labels;

const START: i64 = 1_700_006_400;
const STEP: i64 = 30;

/// The kinds of query of `spec/promql.md` 18.7, and more of them.
const QUERIES: [(&str, &str); 14] = [
    ("selector", "kube_pod_limit{kind=\"a\"}"),
    ("sum", "sum(http_requests_total)"),
    ("sum-by", "sum by (pod) (http_requests_total)"),
    ("rate", "rate(http_requests_total{code=\"200\"}[5m])"),
    ("sum-rate", "sum(rate(http_requests_total[5m]))"),
    ("sum-by-rate", "sum by (pod) (rate(http_requests_total[5m]))"),
    (
        "join-one-to-one",
        "http_requests_total{code=\"500\"} / ignoring (code) http_requests_total{code=\"200\"}",
    ),
    (
        "join-many-to-one",
        "sum by (pod, code) (http_requests_total) / on (pod) group_left kube_pod_limit{kind=\"a\",slot=\"00\"}",
    ),
    ("quantile", "histogram_quantile(0.9, sum by (le) (rate(request_duration_seconds_bucket[5m])))"),
    ("sort", "sort(sum by (pod) (http_requests_total))"),
    ("absent", "absent(http_requests_total)"),
    ("subquery", "max_over_time(sum by (pod) (http_requests_total)[1h:5m])"),
    ("topk", "topk(5, http_requests_total)"),
    ("native-rate", "histogram_quantile(0.9, sum by (pod) (rate(latency_native_seconds[5m])))"),
];

fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let (n_samples, n_rounds) = if quick { (600, 1) } else { (3_600, 5) };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (ours_dir, theirs_dir) = (dir.path().join("ours"), dir.path().join("theirs"));
    generate(&ours_dir, n_samples);
    generate(&theirs_dir, n_samples);
    std::fs::write(dir.path().join("prometheus.yml"), "global: {scrape_interval: 1h}\n")
        .expect("a writable directory");
    let tithon = tithon();
    let theirs = Server::prometheus(dir.path(), &theirs_dir);
    let ours = Server::tithon(&tithon, &ours_dir, "0");
    let both = Server::tithon(&tithon, &ours_dir, "0,1");
    let end = START + n_samples as i64 * STEP;
    let times = [START, end, std::env::var("STEP").map_or(30, |step| step.parse().expect("seconds"))];
    let mut report = Report::from_args();
    for (name, query) in QUERIES {
        let ask = |server: &Server| server.ask(query, times);
        let [one, upstream] = medians(n_rounds, &mut [&mut || ask(&ours), &mut || ask(&theirs)])[..] else {
            unreachable!("two variants");
        };
        // By themselves: the other server collects its garbage long after its answer.
        std::thread::sleep(Duration::from_millis(300));
        let [alone, two] = medians(n_rounds, &mut [&mut || ask(&ours), &mut || ask(&both)])[..] else {
            unreachable!("two variants");
        };
        report.row(&format!("promql/{name}/prometheus"), "ms", upstream * 1e3, "", 0.0);
        report.row(&format!("promql/{name}"), "ms", one * 1e3, "prometheus", upstream / one);
        report.row(&format!("promql/{name}/2-cores"), "ms", two * 1e3, "1 core", alone / two);
    }
    let (peak, upstream) = (ours.peak_mb(), theirs.peak_mb());
    report.row("promql/peak-memory", "MB", peak, "prometheus", upstream / peak);
    report.finish();
}

/// The program, freshly built.
fn tithon() -> PathBuf {
    let built = Command::new(env!("CARGO")).args(["build", "--release", "--quiet", "-p", "tithon"]).status();
    assert!(built.is_ok_and(|status| status.success()), "tithon builds");
    let bench = std::env::current_exe().expect("a program knows where it is");
    bench.ancestors().nth(2).expect("target/release").join("tithon")
}

/// A server that ends with this.
struct Server {
    child: Child,
    url: String,
    agent: ureq::Agent,
}

impl Server {
    fn tithon(program: &Path, bucket: &Path, cores: &str) -> Server {
        let (http, grpc) = (tithon_testdata::free_port(), tithon_testdata::free_port());
        let args = [
            "standalone".to_owned(),
            "--log.level=error".to_owned(),
            format!("--bucket-dir={}", bucket.display()),
            format!("--http-address=127.0.0.1:{http}"),
            format!("--grpc-address=127.0.0.1:{grpc}"),
            "--query.max-samples=500000000".to_owned(),
        ];
        Server::start(program, &args, cores, http)
    }

    fn prometheus(dir: &Path, data: &Path) -> Server {
        let port = tithon_testdata::free_port();
        let program = std::env::var("TITHON_PROMETHEUS").unwrap_or_else(|_| "prometheus".to_owned());
        let args = [
            format!("--config.file={}", dir.join("prometheus.yml").display()),
            format!("--storage.tsdb.path={}", data.display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--storage.tsdb.retention.time=100y".to_owned(),
            "--storage.tsdb.min-block-duration=2h".to_owned(),
            "--storage.tsdb.max-block-duration=2h".to_owned(),
            "--query.max-samples=500000000".to_owned(),
            "--log.level=error".to_owned(),
        ];
        Server::start(Path::new(&program), &args, "0", port)
    }

    fn start(program: &Path, args: &[String], cores: &str, port: u16) -> Server {
        let mut command = Command::new("taskset");
        command.args(["-c", cores]).arg(program).args(args).stdout(Stdio::null());
        let child = command.spawn().unwrap_or_else(|e| panic!("{}: {e}", program.display()));
        let agent = ureq::Agent::config_builder().build().new_agent();
        let server = Server { child, url: format!("http://127.0.0.1:{port}"), agent };
        let deadline = Instant::now() + Duration::from_secs(120);
        while server.agent.get(format!("{}/-/ready", server.url)).call().is_err() {
            assert!(Instant::now() < deadline, "{} is not ready after 120 s", program.display());
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    fn ask(&self, query: &str, times: [i64; 3]) {
        let [start, end, step] = times.map(|time| time.to_string());
        let params = [("query", query), ("start", &start), ("end", &end), ("step", &step)];
        let request = self.agent.get(format!("{}/api/v1/query_range", self.url)).query_pairs(params);
        let mut answer = request.call().unwrap_or_else(|e| panic!("{query}: {e}"));
        let text = answer.body_mut().with_config().limit(1 << 31).read_to_vec().expect("a whole answer");
        assert!(text.starts_with(b"{\"status\":\"success\""), "{query}");
        assert!(text.len() > 200 || query.starts_with("absent"), "{query} finds something");
    }

    /// The most memory the process had resident so far, megabytes.
    fn peak_mb(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
        let kib: f64 = line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0.0);
        kib * 1024.0 / 1e6
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One block below `dir`.
fn generate(dir: &Path, n_samples: usize) {
    std::fs::create_dir_all(dir).expect("a writable directory");
    let id = BlockId::from_parts(START as u64 * 1000, 7);
    let mut writer = BlockWriter::create(dir, id).expect("a writable directory");
    let mut series = catalogue();
    series.sort_by(|a, b| a.0.cmp(&b.0));
    let real = RealValues::load();
    for (number, (labels, kind)) in series.iter().enumerate() {
        writer.add_series(labels, &chunks(&real, *kind, number, n_samples)).expect("series in order");
    }
    let parts = MetaParts {
        min_time: START * 1000,
        max_time: (START + n_samples as i64 * STEP) * 1000,
        compaction: Compaction { level: 1, sources: vec![id], ..Compaction::default() },
        thanos: None,
    };
    writer.finish(parts).expect("a writable directory");
}

#[derive(Clone, Copy)]
enum Kind {
    /// Grows as a counter of the real block.
    Counter,
    /// Moves as another series of the real block.
    Gauge,
    Native,
}

fn catalogue() -> Vec<(Labels, Kind)> {
    let mut list = Vec::new();
    let mut add =
        |pairs: &[(&str, String)], kind| list.push((Labels::from_pairs(pairs.iter().cloned()), kind));
    for pod in 0..100 {
        let pod = ("pod", format!("pod-{pod:03}"));
        for code in ["200", "204", "404", "500", "503"] {
            for handler in 0..8 {
                let (code, handler) = (("code", code.to_owned()), ("handler", format!("/api/{handler}")));
                add(
                    &[("__name__", "http_requests_total".to_owned()), pod.clone(), code, handler],
                    Kind::Counter,
                );
            }
        }
        for le in 0..18 {
            let le =
                ("le", if le == 17 { "+Inf".to_owned() } else { format!("{}", 0.001 * f64::from(1 << le)) });
            add(
                &[("__name__", "request_duration_seconds_bucket".to_owned()), pod.clone(), le],
                Kind::Counter,
            );
        }
        for slot in 0..10 {
            for kind in ["a", "b"] {
                let (slot, kind) = (("slot", format!("{slot:02}")), ("kind", kind.to_owned()));
                add(&[("__name__", "kube_pod_limit".to_owned()), pod.clone(), slot, kind], Kind::Gauge);
            }
        }
        for kind in 0..20 {
            let kind = ("kind", format!("kind-{kind:02}"));
            add(&[("__name__", "memory_bytes".to_owned()), pod.clone(), kind], Kind::Gauge);
        }
        for side in ["client", "server"] {
            let side = ("side", side.to_owned());
            add(&[("__name__", "latency_native_seconds".to_owned()), pod.clone(), side], Kind::Native);
        }
    }
    list
}

/// The values of the real block's series of at least 100 floats: counters, and others.
struct RealValues {
    counters: Vec<Vec<f64>>,
    gauges: Vec<Vec<f64>>,
}

impl RealValues {
    fn load() -> RealValues {
        let dir = tithon_testdata::shared("testdata/blocks/real-2022");
        let block = Block::open(dir).expect("the real block opens");
        let mut real = RealValues { counters: Vec::new(), gauges: Vec::new() };
        for batch in block.select(SelectRequest::new(Vec::new(), TimeRange::ALL)) {
            for series in batch.expect("the real block is sound").series {
                let mut samples = SampleBatch::default();
                for chunk in &series.chunks {
                    decode_floats(chunk.encoding, &chunk.data, TimeRange::ALL, &mut samples)
                        .expect("a sound chunk");
                }
                let name = series.labels.get("__name__").unwrap_or_default();
                let rises = samples.values.is_sorted();
                let is_counter =
                    [&b"_total"[..], b"_count", b"_bucket"].iter().any(|end| name.ends_with(end));
                match (
                    samples.values.len() >= 100 && samples.values.iter().all(|v| v.is_finite()),
                    is_counter,
                ) {
                    (true, true) if rises => real.counters.push(samples.values),
                    (true, false) => real.gauges.push(samples.values),
                    _ => {}
                }
            }
        }
        real
    }

    /// As many values as wanted of the series of that number: over and over again, a counter going on from where it was.
    fn values(&self, kind: Kind, number: usize, n: usize) -> Vec<f64> {
        let list = if matches!(kind, Kind::Counter) { &self.counters } else { &self.gauges };
        // A large prime, so that neighbours are not of one metric.
        let values = &list[number * 7_919 % list.len()];
        let rise = match kind {
            Kind::Counter => values[values.len() - 1] - values[0],
            _ => 0.0,
        };
        (0..n).map(|i| values[i % values.len()] + rise * (i / values.len()) as f64).collect()
    }
}

fn chunks(real: &RealValues, kind: Kind, number: usize, n_samples: usize) -> Vec<EncodedChunk> {
    let mut random = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random >> 11
    };
    let mut native = Native::default();
    let mut builder = ChunkBuilder::new(FloatEncoding::Xor);
    let time = |i: usize| (START + i as i64 * STEP) * 1000;
    if matches!(kind, Kind::Native) {
        for i in 0..n_samples {
            native.observe(next() % 20, next() % 8);
            builder.push_histogram(0, time(i), &native.histogram()).expect("one layout");
        }
    } else {
        let values = real.values(kind, number, n_samples);
        values.iter().enumerate().for_each(|(i, value)| builder.push_float(0, time(i), *value));
    }
    builder.finish()
}

/// A native histogram of schema 2 with eight buckets in use.
#[derive(Default)]
struct Native {
    buckets: [i64; 8],
    sum: f64,
}

impl Native {
    fn observe(&mut self, times: u64, bucket: u64) {
        self.buckets[bucket as usize] += times as i64;
        self.sum += times as f64 * 0.01 * (bucket + 1) as f64;
    }

    fn histogram(&self) -> Histogram {
        let deltas = (0..8).map(|i| self.buckets[i] - if i == 0 { 0 } else { self.buckets[i - 1] });
        Histogram {
            counter_reset_hint: CounterResetHint::Unknown,
            schema: 2,
            zero_threshold: 1e-128,
            zero_count: 0,
            count: self.buckets.iter().sum::<i64>() as u64,
            sum: self.sum,
            positive_spans: vec![Span { offset: -20, length: 8 }],
            positive_buckets: deltas.collect(),
            ..Histogram::default()
        }
    }
}
