//! A real Prometheus that scrapes itself, and blocks to upload.

#![allow(unreachable_pub)]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::Url;
use tempfile::TempDir;
use tithon_engine::{BlockId, BlockMeta, SourceType};
use tithon_index::Labels;
use tithon_runtime::{ClientTlsOptions, TlsVersion};

const PATIENCE: Duration = Duration::from_secs(60);

pub struct RealPrometheus {
    dir: TempDir,
    port: u16,
    child: Option<Child>,
}

impl RealPrometheus {
    /// Starts the system's `prometheus`; `None` if it is not installed, which is a failure with `TITHON_SERVERS=1`, as
    /// in CI.
    pub fn start() -> Option<RealPrometheus> {
        if let Err(error) =
            Command::new("prometheus").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status()
        {
            assert!(std::env::var_os("TITHON_SERVERS").is_none(), "prometheus: {error}");
            eprintln!("skipped: prometheus is not installed");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let port = tithon_testdata::free_port();
        let mut server = RealPrometheus { dir, port, child: None };
        std::fs::write(server.dir().join("prometheus.yml"), server.config("lab")).unwrap();
        let rules = "groups: [{name: lab, rules: [{record: 'up:sum', expr: sum(up)}, \
                     {alert: Up, expr: up == 1, labels: {severity: info}}]}]";
        std::fs::write(server.dir().join("rules.yml"), rules).unwrap();
        server.restart();
        Some(server)
    }

    pub fn restart(&mut self) {
        let dir = self.dir.path().display();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={dir}/prometheus.yml"))
            .arg(format!("--storage.tsdb.path={dir}/data"))
            .arg(format!("--web.listen-address=127.0.0.1:{}", self.port))
            .args(["--web.enable-lifecycle", "--log.level=error"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn config(&self, cluster: &str) -> String {
        format!(
            "global: {{scrape_interval: 300ms, scrape_timeout: 300ms, evaluation_interval: 300ms, \
             external_labels: {{cluster: '{cluster}', replica: a}}}}\n\
             rule_files: [{dir}/rules.yml]\n\
             scrape_configs: [{{job_name: self, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n",
            dir = self.dir.path().display(),
            port = self.port,
        )
    }

    pub fn url(&self) -> Url {
        format!("http://127.0.0.1:{}", self.port).parse().unwrap()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Number of samples of a metric; 0 while the server does not answer.
    pub async fn count(&self, metric: &str) -> f64 {
        let answer = self.query(&format!("count_over_time({metric}[1m])")).await;
        let value = answer.as_ref().and_then(|data| data["result"][0]["value"][1].as_str());
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    /// The samples of a metric's only series over the last minute, with times in milliseconds, and the end of that
    /// minute.
    pub async fn range_of(&self, metric: &str) -> (Vec<(i64, f64)>, i64) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let at = i64::try_from(now.as_millis()).unwrap() - 400;
        let mut url = self.url().join("api/v1/query").unwrap();
        let time = format!("{}.{:03}", at / 1000, at % 1000);
        url.query_pairs_mut().append_pair("query", &format!("{metric}[1m]")).append_pair("time", &time);
        let text = client().get(url).send().await.unwrap().text().await.unwrap();
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
        let values = answer["data"]["result"][0]["values"].as_array().unwrap().iter();
        let sample = |pair: &serde_json::Value| {
            let millis = (pair[0].as_f64().unwrap() * 1000.0).round() as i64;
            (millis, pair[1].as_str().unwrap().parse().unwrap())
        };
        (values.map(sample).collect(), at)
    }

    async fn query(&self, query: &str) -> Option<serde_json::Value> {
        let mut url = self.url().join("api/v1/query").unwrap();
        url.query_pairs_mut().append_pair("query", query);
        let text = client().get(url).send().await.ok()?.text().await.ok()?;
        Some(serde_json::from_str::<serde_json::Value>(&text).ok()?["data"].take())
    }
}

impl Drop for RealPrometheus {
    fn drop(&mut self) {
        self.stop();
    }
}

fn client() -> reqwest::Client {
    let tls = ClientTlsOptions {
        ca: None,
        identity: None,
        server_name: None,
        skip_verify: false,
        min_version: TlsVersion::V12,
    };
    let tls = tithon_runtime::http_tls(&tls).unwrap();
    reqwest::Client::builder().tls_backend_preconfigured(tls).build().unwrap()
}

/// Waits until a condition holds.
pub async fn until<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < PATIENCE, "still waiting for: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Copies three blocks of level 1 and the block compacted from them into a directory. Returns their metas.
pub fn copy_blocks(tsdb: &Path) -> Vec<BlockMeta> {
    let mut metas = Vec::new();
    for folder in ["in", "out"] {
        let folder = tithon_testdata::shared(&format!("testdata/compaction/horizontal/{folder}"));
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if !path.is_dir() {
                continue;
            }
            let meta = BlockMeta::parse(&std::fs::read(path.join("meta.json")).unwrap()).unwrap();
            tithon_testdata::copy_dir(&path, &tsdb.join(meta.ulid.to_string()));
            metas.push(meta);
        }
    }
    metas
}

/// Checks that the block in the bucket has the same files as that in the directory, and that its meta.json differs only
/// in what Thanos adds.
pub fn assert_same_block(tsdb: &Path, bucket: &Path, block: BlockId, external: &Labels) {
    let (from, to) = (tsdb.join(block.to_string()), bucket.join(block.to_string()));
    for file in ["index", "chunks/000001"] {
        assert!(std::fs::read(from.join(file)).unwrap() == std::fs::read(to.join(file)).unwrap(), "{file}");
    }
    let read = |dir: &Path| BlockMeta::parse(&std::fs::read(dir.join("meta.json")).unwrap()).unwrap();
    let (own, mut uploaded) = (read(&from), read(&to));
    let thanos = uploaded.thanos.take().unwrap();
    assert_eq!(uploaded, own);
    assert_eq!(thanos.external_labels(), *external);
    assert_eq!((thanos.source, thanos.segment_files), (SourceType::Sidecar, vec!["000001".to_owned()]));
    let files: Vec<_> = thanos.files.iter().map(|file| file.rel_path.as_str()).collect();
    assert_eq!(files, ["chunks/000001", "index", "meta.json"]);
}
