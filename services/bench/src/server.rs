//! Server processes of a subject, started on free loopback ports.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::child::{Child, free_port};
use crate::http_client::get_small;
use crate::proc;
use crate::run::Failure;
use crate::subject::{Kind, Subject};

/// A server process that is ready.
#[derive(Debug)]
pub(crate) struct Server {
    pub child: Child,
    /// Port of its HTTP API.
    pub http: u16,
    /// Port of its gRPC API; 0 if it has none.
    pub grpc: u16,
    /// Seconds from the start until it was ready.
    pub ready_after: f64,
}

/// Usage of a subject's processes since their start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub cpu: f64,
    pub peak_bytes: u64,
    pub resident_bytes: u64,
    pub descriptors: u64,
}

impl Server {
    /// Starts `store` over the bucket of the configuration file `config`; `data` is its data directory.
    pub(crate) fn store(
        subject: &Subject,
        config: &Path,
        data: &Path,
        limit: Duration,
    ) -> Result<Server, Failure> {
        start(subject, data, "store", limit, |grpc, http| {
            subject.store(config, data, grpc, http).ok_or(Failure::Lacks("a store gateway"))
        })
    }

    /// Starts `query` over the store at port `store`; its log lies beside `data`.
    pub(crate) fn query(
        subject: &Subject,
        store: u16,
        data: &Path,
        limit: Duration,
    ) -> Result<Server, Failure> {
        start(subject, data, "query", limit, |grpc, http| {
            subject.query(store, grpc, http).ok_or(Failure::Lacks("a querier"))
        })
    }

    /// Starts store and querier in one process over the bucket of the configuration file `config`.
    pub(crate) fn standalone(
        subject: &Subject,
        config: &Path,
        data: &Path,
        limit: Duration,
    ) -> Result<Server, Failure> {
        start(subject, data, "standalone", limit, |grpc, http| {
            let args = subject.standalone(config, data, grpc, http);
            args.ok_or(Failure::Lacks("store and querier in one process"))
        })
    }

    /// Starts `sidecar` beside a Prometheus, with the further flags `own`; its log lies beside `data`.
    pub(crate) fn sidecar(
        subject: &Subject,
        prometheus: &Server,
        data: &Path,
        own: &[String],
        limit: Duration,
    ) -> Result<Server, Failure> {
        start(subject, data, "sidecar", limit, |grpc, http| {
            let args = subject.sidecar(prometheus.http, grpc, http, own);
            args.ok_or(Failure::Lacks("a sidecar"))
        })
    }

    /// Starts `rule` with `dir` as its current directory.
    pub(crate) fn rule(
        subject: &Subject,
        rules: &Path,
        querier: &Server,
        dir: &Path,
        limit: Duration,
    ) -> Result<Server, Failure> {
        start_in(dir, subject, dir, "rule", limit, |grpc, http| {
            subject.rule(rules, querier.http, grpc, http).ok_or(Failure::Lacks("a ruler"))
        })
    }

    /// Starts a Prometheus server over its own blocks in `data`.
    pub(crate) fn prometheus(subject: &Subject, data: &Path, limit: Duration) -> Result<Server, Failure> {
        let config = data.with_extension("yml");
        // The labels are for a sidecar; answers do not have them.
        std::fs::write(
            &config,
            "global: {scrape_interval: 1h, external_labels: {cluster: lab, replica: a}}\n",
        )
        .map_err(|error| Failure::Prepare(format!("{}: {error}", config.display())))?;
        start(subject, data, "server", limit, |_, http| {
            subject.prometheus(&config, data, http).ok_or(Failure::Lacks("a server of its own blocks"))
        })
    }

    /// Its usage since it was started.
    pub(crate) fn usage(&self) -> Usage {
        let pid = self.child.pid();
        Usage {
            cpu: proc::cpu_seconds(pid).unwrap_or_default(),
            peak_bytes: proc::peak_bytes(pid).unwrap_or_default(),
            resident_bytes: proc::resident_bytes(pid).unwrap_or_default(),
            descriptors: proc::descriptors(pid),
        }
    }

    /// What it counted of its reads since it was started, if it counts them as Thanos does.
    pub(crate) fn reads(&self) -> Option<Reads> {
        let text = self.metrics()?;
        let of = |name: &str, data_type: &str| {
            let name = format!("thanos_bucket_store_series_data_size_{name}_bytes_sum");
            sum(&text, &name, &format!("data_type=\"{data_type}\"")).unwrap_or_default()
        };
        let both = |data_type| [of("fetched", data_type), of("touched", data_type)];
        Some(Reads {
            requests: sum(&text, "thanos_objstore_bucket_operations_total", "")?,
            answered: sum(&text, "thanos_objstore_bucket_operation_fetched_bytes_total", "")
                .unwrap_or_default(),
            gaps: sum(&text, "tithon_objstore_gap_bytes_total", "").unwrap_or_default(),
            postings: both("postings"),
            series: both("series"),
            chunks: both("chunks"),
        })
    }

    /// The sum of a metric over all its labels, if the server has it.
    pub(crate) fn counter(&self, name: &str) -> Option<f64> {
        sum(&self.metrics()?, name, "")
    }

    fn metrics(&self) -> Option<String> {
        get_small(self.http, "/metrics").ok().map(|(_, text)| text)
    }
}

/// The sum of the lines of a metric that hold this label, or of all its lines, if there are any.
fn sum(metrics: &str, name: &str, label: &str) -> Option<f64> {
    let is_of = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    let lines = metrics.lines().filter(is_of).filter(|line| line.contains(label));
    let values: Vec<f64> = lines.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

/// What a store gateway reads.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reads {
    /// Requests to the bucket.
    pub requests: f64,
    /// Bytes of the answers to these.
    pub answered: f64,
    /// Bytes of them that lie between wanted ranges, if they are counted.
    pub gaps: f64,
    /// Bytes of postings that it read for `Series` calls, and those of them that it looked for.
    pub postings: [f64; 2],
    /// The same of series entries.
    pub series: [f64; 2],
    /// The same of chunks.
    pub chunks: [f64; 2],
}

impl Reads {
    /// What was read since `before`.
    pub(crate) fn since(&self, before: &Reads) -> Reads {
        let of = |now: [f64; 2], before: [f64; 2]| [now[0] - before[0], now[1] - before[1]];
        Reads {
            requests: (self.requests - before.requests).max(0.0),
            answered: (self.answered - before.answered).max(0.0),
            gaps: (self.gaps - before.gaps).max(0.0),
            postings: of(self.postings, before.postings),
            series: of(self.series, before.series),
            chunks: of(self.chunks, before.chunks),
        }
    }

    /// The share of the bytes of postings, entries and chunks that were looked for, if any were read.
    pub(crate) fn useful(&self) -> Option<f64> {
        let kinds = [self.postings, self.series, self.chunks];
        let (fetched, touched) = kinds.iter().fold((0.0, 0.0), |(f, t), kind| (f + kind[0], t + kind[1]));
        (fetched > 0.0).then(|| touched / fetched)
    }
}

/// Starts a process whose arguments need two free ports, and waits until it is ready.
fn start(
    subject: &Subject,
    data: &Path,
    part: &str,
    limit: Duration,
    args: impl FnOnce(u16, u16) -> Result<Vec<String>, Failure>,
) -> Result<Server, Failure> {
    start_in(Path::new("."), subject, data, part, limit, args)
}

/// Starts a process as [`start`] does, with the current directory `dir`.
fn start_in(
    dir: &Path,
    subject: &Subject,
    data: &Path,
    part: &str,
    limit: Duration,
    args: impl FnOnce(u16, u16) -> Result<Vec<String>, Failure>,
) -> Result<Server, Failure> {
    let port = || free_port().map_err(|error| Failure::Prepare(format!("no free port: {error}")));
    let (grpc, http) = (port()?, port()?);
    let args = args(grpc, http)?;
    let log = data.with_extension(format!("{part}.log"));
    let child = Child::start_in(dir, &subject.program, &args, &log)
        .map_err(|error| Failure::Start(error.to_string()))?;
    let grpc = if subject.kind == Kind::Prometheus { 0 } else { grpc };
    let mut server = Server { child, http, grpc, ready_after: 0.0 };
    server.wait_until_ready(limit)?;
    Ok(server)
}

impl Server {
    fn wait_until_ready(&mut self, limit: Duration) -> Result<(), Failure> {
        let began = self.child.started();
        loop {
            if get_small(self.http, "/-/ready").is_ok_and(|(status, _)| status == 200) {
                self.ready_after = began.elapsed().as_secs_f64();
                return Ok(());
            }
            if !self.child.is_running() {
                return Err(Failure::Start(self.child.last_line()));
            }
            if Instant::now() > began + limit {
                let limit = humantime::format_duration(limit);
                return Err(Failure::Start(format!("not ready after {limit}: {}", self.child.last_line())));
            }
            std::thread::sleep(Duration::from_millis(3));
        }
    }
}
