//! The processes of the installation, each with a command that starts it again on the same ports and data.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use tithon_bucket::{Bucket, BucketConfig};
use tithon_engine::BlockMeta;

use crate::fleet::{Fleet, Kind};
use crate::history::History;
use crate::look::look;
use crate::outside::Outside;
use crate::process::{Server, TITHON, free_port, output};

/// What each Prometheus scrapes: both of them, a page of the test, and the machine's node_exporter.
pub const N_TARGETS: f64 = 4.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    NodeExporter,
    Compact,
    PrometheusA,
    SidecarA,
    PrometheusB,
    SidecarB,
    Bucket,
    Store,
    Rule,
    Alertmanager,
    Query,
}

impl Part {
    pub const ALL: [Part; 11] = [
        Part::NodeExporter,
        Part::Compact,
        Part::PrometheusA,
        Part::SidecarA,
        Part::PrometheusB,
        Part::SidecarB,
        Part::Bucket,
        Part::Store,
        Part::Rule,
        Part::Alertmanager,
        Part::Query,
    ];
}

const RULES: &str = "
groups:
- name: lab
  rules:
  - {record: 'lab:up:sum', expr: sum(up)}
  - alert: Pressure
    expr: lab_pressure > 5
    for: 2s
    annotations: {text: 'pressure is {{ $value }} in {{ $labels.cluster }}'}
";

/// All processes and what they share. What runs is killed when this goes out of scope.
pub struct Lab {
    /// When the test began; milliseconds.
    pub begun_ms: i64,
    pub outside: Outside,
    running: BTreeMap<Part, Server>,
    fleet: Option<Fleet>,
    objects: String,
    ports: BTreeMap<Part, [u16; 2]>,
    runtime: tokio::runtime::Runtime,
    dir: tempfile::TempDir,
}

impl Lab {
    /// Writes all configurations; only the bucket's server runs.
    pub fn new(history: &History) -> Lab {
        let dir = tempfile::tempdir().unwrap();
        let fleet = match Command::new("versitygw").arg("--version").output() {
            Ok(_) => Some(Fleet::start(Kind::S3)),
            Err(_) => {
                eprintln!("installation: versitygw is not installed, the bucket is a directory");
                None
            }
        };
        let bucket = dir.path().join("bucket");
        std::fs::create_dir(&bucket).unwrap();
        let directory = format!("{{type: FILESYSTEM, config: {{directory: {}}}}}", bucket.display());
        let objects = fleet.as_ref().map_or(directory, Fleet::yaml);
        let lab = Lab {
            begun_ms: SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64,
            outside: Outside::start(),
            running: BTreeMap::new(),
            fleet,
            objects,
            ports: Part::ALL.into_iter().map(|part| (part, [free_port(), free_port()])).collect(),
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
            dir,
        };
        for (part, replica) in [(Part::PrometheusA, "a"), (Part::PrometheusB, "b")] {
            let dir = lab.path(replica);
            std::fs::create_dir(&dir).unwrap();
            std::fs::write(dir.join("prometheus.yml"), lab.prometheus_config(replica)).unwrap();
            history.write(replica, &lab.data(part));
        }
        std::fs::write(lab.path("rules.yml"), RULES).unwrap();
        let route = "route: {receiver: hook, group_wait: 0s, group_interval: 1s, repeat_interval: 1h}";
        let hook = format!("http://{}/hook", lab.outside.address);
        let receivers = format!("receivers: [{{name: hook, webhook_configs: [{{url: '{hook}'}}]}}]");
        std::fs::write(lab.path("alertmanager.yml"), format!("{route}\n{receivers}\n")).unwrap();
        lab
    }

    /// Starts what does not run yet.
    pub fn start_all(&mut self) {
        for part in Part::ALL.into_iter().filter(|part| *part != Part::Bucket) {
            self.restart(part);
        }
    }

    /// Kills a process by SIGKILL; `false` if it does not exist.
    pub fn kill(&mut self, part: Part) -> bool {
        if part == Part::Bucket {
            if let Some(fleet) = &mut self.fleet {
                fleet.kill();
            }
            return self.fleet.is_some();
        }
        self.running.remove(&part).is_some()
    }

    /// Starts a process and waits until it is ready.
    pub fn restart(&mut self, part: Part) {
        match (part, &mut self.fleet) {
            (Part::Bucket, None) => {}
            (Part::Bucket, Some(fleet)) => fleet.launch(),
            _ => {
                let server = Server::start(self.command(part), self.ports[&part][0]);
                self.running.insert(part, server);
            }
        }
    }

    pub fn querier(&self) -> &Server {
        &self.running[&Part::Query]
    }

    /// The address of the gRPC services of a process.
    pub fn grpc(&self, part: Part) -> String {
        format!("127.0.0.1:{}", self.ports[&part][1])
    }

    fn http(&self, part: Part) -> String {
        format!("127.0.0.1:{}", self.ports[&part][0])
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The metas of the blocks of the bucket that readers see.
    pub fn metas(&self) -> Vec<BlockMeta> {
        let config = BucketConfig::parse(&self.objects).unwrap();
        let found = self.runtime.block_on(async { look(&Bucket::connect(&config).await.unwrap()).await });
        found.unwrap().new.iter().map(|meta| BlockMeta::clone(meta)).collect()
    }

    /// Fails unless the index of every block is whole.
    pub fn verify_bucket(&self) {
        let objects = format!("--objstore.config={}", self.objects);
        output(TITHON, &["tools", "bucket", "verify", &objects, "--issues=index_known_issues"]);
    }

    fn data(&self, part: Part) -> PathBuf {
        self.path(if part == Part::PrometheusA { "a" } else { "b" }).join("data")
    }

    fn prometheus_config(&self, replica: &str) -> String {
        let (a, b) = (self.http(Part::PrometheusA), self.http(Part::PrometheusB));
        let (outside, node) = (&self.outside.address, self.http(Part::NodeExporter));
        format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, external_labels: {{cluster: lab, replica: {replica}}}}}\n\
             scrape_configs:\n\
             - {{job_name: lab, static_configs: [{{targets: ['{a}', '{b}', '{outside}']}}]}}\n\
             - {{job_name: node, static_configs: [{{targets: ['{node}']}}]}}\n"
        )
    }

    fn command(&self, part: Part) -> Command {
        match part {
            Part::NodeExporter => self.node_exporter(),
            Part::PrometheusA => self.prometheus(part, "a"),
            Part::PrometheusB => self.prometheus(part, "b"),
            Part::SidecarA => self.sidecar(part, Part::PrometheusA),
            Part::SidecarB => self.sidecar(part, Part::PrometheusB),
            Part::Store => self.store(),
            Part::Compact => self.compact(),
            Part::Query => self.query(),
            Part::Rule => self.rule(),
            Part::Alertmanager => self.alertmanager(),
            Part::Bucket => panic!("the S3 server has its own commands"),
        }
    }

    fn node_exporter(&self) -> Command {
        let mut command = Command::new("prometheus-node-exporter");
        command.arg(format!("--web.listen-address={}", self.http(Part::NodeExporter)));
        command.args(["--no-collector.systemd", "--log.level=error"]);
        command
    }

    fn prometheus(&self, part: Part, replica: &str) -> Command {
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", self.path(replica).join("prometheus.yml").display()));
        command.arg(format!("--storage.tsdb.path={}", self.data(part).display()));
        command.arg(format!("--web.listen-address={}", self.http(part)));
        command.args(["--storage.tsdb.min-block-duration=6s", "--storage.tsdb.max-block-duration=6s"]);
        command.arg("--log.level=error");
        command
    }

    /// `tithon PART` with its addresses and the bucket.
    fn tithon(&self, name: &str, part: Part) -> Command {
        let mut command = Command::new(TITHON);
        command.args([name, "--log.level=error", &format!("--http-address={}", self.http(part))]);
        if part != Part::Compact {
            command.arg(format!("--grpc-address={}", self.grpc(part)));
        }
        if part != Part::Query {
            command.arg(format!("--objstore.config={}", self.objects));
        }
        command
    }

    fn data_dir(&self, name: &str) -> String {
        format!("--data-dir={}", self.path(name).display())
    }

    fn sidecar(&self, part: Part, prometheus: Part) -> Command {
        let mut command = self.tithon("sidecar", part);
        command.arg(format!("--prometheus.url=http://{}", self.http(prometheus)));
        command.arg(format!("--tsdb.path={}", self.data(prometheus).display()));
        command.arg("--prometheus.get_config_interval=500ms");
        command
    }

    fn store(&self) -> Command {
        let mut command = self.tithon("store", Part::Store);
        command.args([
            "--sync-block-duration=1s",
            "--ignore-deletion-marks-delay=0s",
            &self.data_dir("store"),
        ]);
        command
    }

    fn compact(&self) -> Command {
        let mut command = self.tithon("compact", Part::Compact);
        command.args(["--wait", "--wait-interval=1s", "--consistency-delay=0s", "--delete-delay=10s"]);
        command.args(["--deduplication.replica-label=replica", &self.data_dir("compact")]);
        command
    }

    fn query(&self) -> Command {
        let mut command = self.tithon("query", Part::Query);
        command.arg("--query.replica-label=replica");
        for part in [Part::SidecarA, Part::SidecarB, Part::Store, Part::Rule] {
            command.arg(format!("--endpoint={}", self.grpc(part)));
        }
        command
    }

    fn rule(&self) -> Command {
        let mut command = self.tithon("rule", Part::Rule);
        command.args(["--eval-interval=1s", "--resend-delay=5s", "--label=ruler=\"one\""]);
        command.args(["--tsdb.block-duration=6s", "--tsdb.retention=1h", &self.data_dir("rule")]);
        command.arg(format!("--query={}", self.http(Part::Query)));
        command.arg(format!("--alertmanagers.url=http://{}", self.http(Part::Alertmanager)));
        command.arg(format!("--rule-file={}", self.path("rules.yml").display()));
        command
    }

    fn alertmanager(&self) -> Command {
        let mut command = Command::new("prometheus-alertmanager");
        command.arg(format!("--config.file={}", self.path("alertmanager.yml").display()));
        command.arg(format!("--storage.path={}", self.path("alertmanager").display()));
        command.arg(format!("--web.listen-address={}", self.http(Part::Alertmanager)));
        command.args(["--cluster.listen-address=", "--log.level=error"]);
        command
    }
}

/// The value of an instant query with one result.
pub fn value(server: &Server, query: &str, dedup: bool) -> Option<f64> {
    let dedup = if dedup { "true" } else { "false" };
    let answer = server.get("/api/v1/query", &[("query", query), ("dedup", dedup)]);
    answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
}
