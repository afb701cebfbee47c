//! Two Prometheus servers as an HA pair, a sidecar beside each, a querier over both, and a store over what they upload.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "differential/process.rs"]
#[allow(dead_code, unreachable_pub, reason = "other tests start other servers")]
mod process;

use std::path::Path;
use std::process::{Command, Stdio};

use process::{Server, TITHON, free_port, until};
use serde_json::Value;

/// A Prometheus that scrapes itself and the other one, and cuts a block every few seconds.
fn prometheus(dir: &Path, replica: &str, ports: [u16; 2], own: u16) -> Server {
    let dir = dir.join(replica);
    std::fs::create_dir_all(&dir).unwrap();
    let config = format!(
        "global: {{scrape_interval: 500ms, scrape_timeout: 500ms, \
         external_labels: {{cluster: lab, replica: {replica}}}}}\n\
         scrape_configs: [{{job_name: lab, static_configs: [{{targets: ['127.0.0.1:{}', '127.0.0.1:{}']}}]}}]\n",
        ports[0], ports[1]
    );
    std::fs::write(dir.join("prometheus.yml"), config).unwrap();
    let mut command = Command::new("prometheus");
    command.arg(format!("--config.file={}", dir.join("prometheus.yml").display()));
    command.arg(format!("--storage.tsdb.path={}", dir.join("data").display()));
    command.arg(format!("--web.listen-address=127.0.0.1:{own}"));
    command.args(["--storage.tsdb.min-block-duration=4s", "--storage.tsdb.max-block-duration=4s"]);
    command.arg("--log.level=error");
    Server::start(command, own)
}

/// The sidecar of the Prometheus at `port`; and the address of its StoreAPI.
fn sidecar(dir: &Path, replica: &str, port: u16) -> (Server, String) {
    let mut command = Command::new(TITHON);
    command.args(["sidecar", "--log.level=warn", "--prometheus.get_config_interval=500ms"]);
    command.arg(format!("--prometheus.url=http://127.0.0.1:{port}"));
    command.arg(format!("--tsdb.path={}", dir.join(replica).join("data").display()));
    command.arg(format!(
        "--objstore.config={{type: FILESYSTEM, config: {{directory: {}}}}}",
        dir.join("bucket").display()
    ));
    Server::of_store(command)
}

/// The value of an instant query with one result.
fn value(server: &Server, query: &str, dedup: &str) -> Option<f64> {
    let answer = server.get("/api/v1/query", &[("query", query), ("dedup", dedup)]);
    answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
}

/// How many blocks of a replica the bucket has.
fn blocks(bucket: &Path, replica: &str) -> usize {
    let metas = std::fs::read_dir(bucket).into_iter().flatten();
    let texts = metas.filter_map(|block| std::fs::read(block.ok()?.path().join("meta.json")).ok());
    let metas = texts.map(|text| serde_json::from_slice::<Value>(&text).unwrap());
    metas
        .filter(|meta| {
            meta["thanos"]["labels"]["replica"] == replica && meta["thanos"]["source"] == "sidecar"
        })
        .count()
}

#[test]
fn an_ha_pair_with_sidecars() {
    let version =
        Command::new("prometheus").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if let Err(error) = version {
        assert!(std::env::var_os("TITHON_SERVERS").is_none(), "prometheus: {error}");
        eprintln!("skipped: prometheus is not installed");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (dir, ports) = (dir.path(), [free_port(), free_port()]);
    let a = prometheus(dir, "a", ports, ports[0]);
    let _b = prometheus(dir, "b", ports, ports[1]);
    let (sidecar_a, store_a) = sidecar(dir, "a", ports[0]);
    let (_sidecar_b, store_b) = sidecar(dir, "b", ports[1]);
    let querier = Server::query(&[&store_a, &store_b], &["--query.replica-label=replica"]);

    until("both replicas of both targets", || value(&querier, "count(up)", "false") == Some(4.0));
    assert_eq!(value(&querier, "count(up)", "true"), Some(2.0));
    let rate = value(&querier, "sum(count_over_time(up{cluster='lab'}[10s]))", "true").unwrap();
    assert!(rate >= 2.0, "{rate}");
    let targets = querier.get("/api/v1/targets", &[]);
    assert_eq!(targets["data"]["activeTargets"].as_array().unwrap().len(), 2, "{targets}");
    let metadata = querier.get("/api/v1/metadata", &[("metric", "prometheus_build_info")]);
    assert_eq!(metadata["data"]["prometheus_build_info"][0]["type"], "gauge", "{metadata}");
    let replicas = querier.get("/api/v1/label/replica/values", &[]);
    assert_eq!(replicas["data"], serde_json::json!(["a", "b"]));

    // The store answers with the uploaded data without the sidecars.
    let bucket = dir.join("bucket");
    until("uploaded blocks", || blocks(&bucket, "a") > 0 && blocks(&bucket, "b") > 0);
    let (_store, store) = Server::store(&bucket, &dir.join("store"));
    let over_store = Server::query(&[&store], &["--query.replica-label=replica"]);
    let counted = value(&over_store, "count(max_over_time(up[10m]))", "true");
    assert_eq!(counted, Some(2.0));

    // One Prometheus ends: its sidecar is not ready, and the other answers.
    drop(a);
    until("a sidecar that is not ready", || sidecar_a.text("/-/ready", &[]).contains("NOT OK"));
    until("answers of the other", || value(&querier, "count(up)", "true").is_some());
}
