//! Debian's Prometheus over a running trio: the panels of Thanos's dashboards have data, its alerts can fire and do not fire falsely,
//! and neither do ours.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::process::{Server, TITHON, free_port, output};
use super::{golden, objstore};

const PANELS: &str = include_str!("panels.tsv");
const ALERTS: &str = include_str!("alerts.tsv");
/// How long queries are asked while Prometheus scrapes each second.
const MEASURED: Duration = Duration::from_secs(25);

/// The rows of a table without its comments, each with so many columns.
fn rows<const N: usize>(table: &'static str) -> impl Iterator<Item = [&'static str; N]> {
    let rows = table.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    rows.map(|row| row.split('\t').collect::<Vec<_>>().try_into().unwrap())
}

struct Trio {
    query: Server,
    prometheus: Server,
    native: Server,
    _others: [Server; 2],
    folder: tempfile::TempDir,
}

fn trio() -> Trio {
    let folder = tempfile::tempdir().unwrap();
    let dir = |name: &str| folder.path().join(name);
    tithon_testdata::copy_dir(&golden(), &dir("bucket"));
    let mut store = Command::new(TITHON);
    store.args(["store", "--log.level=warn", "--sync-block-duration=2s", &objstore(&dir("bucket"))]);
    store.arg(format!("--data-dir={}", dir("store").display()));
    let (store, address) = Server::of_store(store);
    // A name that is looked up fills the panels of look-ups.
    let (query, _) = Server::query_with_grpc(
        &[&format!("dns+{address}")],
        &["--store.sd-dns-interval=1s", "--endpoint.info-timeout=1s"],
    );
    let mut compact = Command::new(TITHON);
    compact.args(["compact", "--log.level=warn", "--wait", "--wait-interval=1s", &objstore(&dir("bucket"))]);
    compact.arg(format!("--data-dir={}", dir("compact").display()));
    compact.arg("--deduplication.replica-label=replica");
    let compact_port = free_port();
    compact.arg(format!("--http-address=127.0.0.1:{compact_port}"));
    let compact = Server::start(compact, compact_port);
    let data = dir("prometheus");
    std::fs::create_dir_all(&data).unwrap();
    let target = |job: &str, url: &str| {
        let address = url.strip_prefix("http://").unwrap();
        format!("  - job_name: {job}\n    static_configs: [{{targets: ['{address}']}}]\n")
    };
    let config = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nscrape_configs:\n{}{}{}",
        target("thanos-store", &store.url),
        target("thanos-query", &query.url),
        target("thanos-compact", &compact.url),
    );
    let prometheus = Server::prometheus_with(Command::new("prometheus"), &data, &config, &[]);
    // Some panels ask for native buckets, which come instead of the others where they are asked for.
    let data = dir("native");
    std::fs::create_dir_all(&data).unwrap();
    let feature = ["--enable-feature=native-histograms"];
    let native = Server::prometheus_with(Command::new("prometheus"), &data, &config, &feature);
    Trio { query, prometheus, native, _others: [store, compact], folder }
}

impl Trio {
    /// Asks queries of many kinds for a while; some fail.
    fn ask(&self) {
        let end = Instant::now() + MEASURED;
        let at = super::answers::time();
        let (start, at) = ((at - 3600).to_string(), at.to_string());
        for round in 0.. {
            if Instant::now() > end {
                return;
            }
            for query in ["up", "sum by (job) (rate({__name__=~\".+\"}[5m]))", "1"] {
                self.query.get("/api/v1/query", &[("query", query), ("time", &at)]);
                let range = [("query", query), ("start", &start), ("end", &at), ("step", "60")];
                self.query.get("/api/v1/query_range", &range);
            }
            // One request in thirty exceeds its timeout; alerts fire from about one in twenty.
            if round % 10 == 0 {
                for path in ["/api/v1/query", "/api/v1/query_range"] {
                    let range = [("start", start.as_str()), ("end", &at), ("step", "60")];
                    let params =
                        [&range[..], &[("query", "up"), ("time", &at), ("timeout", "0.0000001")]].concat();
                    self.query.get(path, &params);
                }
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The result of an instant query over the metrics.
    fn found(&self, expression: &str) -> Vec<Value> {
        self.found_by(&self.prometheus, expression)
    }

    fn found_by(&self, prometheus: &Server, expression: &str) -> Vec<Value> {
        let answer = prometheus.get("/api/v1/query", &[("query", expression)]);
        answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{expression}: {answer}")).clone()
    }
}

/// The expression of an alert with comparisons that return 0 or 1 instead of filtering: it has data when the metrics
/// exist.
fn told(expression: &str) -> String {
    let mut out = String::new();
    for word in expression.split(' ') {
        out.push_str(word);
        out.push_str(if matches!(word, ">" | "<" | "==" | ">=") { " bool " } else { " " });
    }
    out
}

#[test]
fn dashboards_have_data_and_alerts_are_right() {
    if Command::new("prometheus").arg("--version").output().is_err() {
        eprintln!("no prometheus is installed: not run");
        return;
    }
    let trio = trio();
    trio.ask();
    let (mut with_data, mut without, mut wrong) = (0, 0, Vec::new());
    for [dashboard, panel, expression, why] in rows::<4>(PANELS) {
        let has_data =
            !trio.found(expression).is_empty() || !trio.found_by(&trio.native, expression).is_empty();
        match (has_data, why.is_empty()) {
            (true, true) => with_data += 1,
            (false, false) => without += 1,
            (false, true) => wrong.push(format!("{dashboard}: {panel}: no data: {expression}")),
            (true, false) => wrong.push(format!("{dashboard}: {panel}: has data though {why}: {expression}")),
        }
    }
    eprintln!("panels: {with_data} expressions have data, {without} have none for the reasons listed");
    let mut can_fire = 0;
    for [alert, expression, why] in rows::<3>(ALERTS) {
        if !trio.found(expression).is_empty() {
            wrong.push(format!("{alert} fires falsely: {expression}"));
        }
        let operand = expression.strip_prefix("absent(").and_then(|rest| rest.strip_suffix(')'));
        let has_data = !trio.found(&operand.map_or_else(|| told(expression), str::to_owned)).is_empty();
        match (has_data, why.is_empty()) {
            (true, true) => can_fire += 1,
            (false, false) => {}
            _ => wrong.push(format!("{alert}: has data: {has_data}, though {why:?}: {expression}")),
        }
    }
    eprintln!("alerts: {can_fire} can fire");
    check_ours(&trio, &mut wrong);
    check_damage(&trio, &mut wrong);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A block with a broken index is left out by the store, and the alert of it fires.
fn check_damage(trio: &Trio, wrong: &mut Vec<String>) {
    const ALERT: &str = "sum by (job, instance, reason) (tithon_store_blocks_left_out) > 0";
    const ID: &str = "01HZZZZZZZZZZZZZZZZZZZZZZZ";
    let alerts = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/mixin/alerts.yaml");
    assert!(std::fs::read_to_string(alerts).unwrap().contains(ALERT));
    let bucket = trio.folder.path().join("bucket");
    // One that the query reads: raw, and of its time.
    let at_ms = super::answers::time() * 1000;
    let covers = |path: &std::path::PathBuf| {
        let meta = std::fs::read(path.join("meta.json")).ok()?;
        let meta: Value = serde_json::from_slice(&meta).ok()?;
        let is_raw = meta["thanos"]["downsample"]["resolution"] == 0;
        let is_of_cluster = meta["thanos"]["labels"]["cluster"] == "eu1";
        let times = meta["minTime"].as_i64()?..meta["maxTime"].as_i64()?;
        Some(is_raw && is_of_cluster && times.contains(&at_ms))
    };
    let mut blocks = std::fs::read_dir(golden()).unwrap().map(|entry| entry.unwrap().path());
    let block = blocks.find(|path| covers(path) == Some(true)).unwrap();
    let damaged = bucket.join(ID);
    tithon_testdata::copy_dir(&block, &damaged);
    let bytes = std::fs::metadata(damaged.join("index")).unwrap().len();
    std::fs::write(damaged.join("index"), vec![0; bytes as usize]).unwrap();
    // A block of its own, not another copy of the same data.
    let meta = std::fs::read(damaged.join("meta.json")).unwrap();
    let mut meta: Value = serde_json::from_slice(&meta).unwrap();
    meta["ulid"] = ID.into();
    meta["compaction"] = serde_json::json!({"level": 1, "sources": [ID]});
    std::fs::write(damaged.join("meta.json"), meta.to_string()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while trio.found(ALERT).is_empty() {
        if Instant::now() > deadline {
            return wrong.push(format!("a damaged block fires nothing: {ALERT}"));
        }
        let at = super::answers::time().to_string();
        trio.query.get("/api/v1/query", &[("query", "count({__name__=~\".+\"})"), ("time", &at)]);
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Our own alerts load and do not fire; each panel of our dashboard has data.
fn check_ours(trio: &Trio, wrong: &mut Vec<String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/mixin");
    let alerts = folder.join("alerts.yaml");
    output("promtool", &["check", "rules", &alerts.display().to_string()]);
    for line in std::fs::read_to_string(&alerts).unwrap().lines() {
        let Some(expression) = line.trim().strip_prefix("expr: ") else { continue };
        if !trio.found(expression).is_empty() {
            wrong.push(format!("ours fires falsely: {expression}"));
        }
        if trio.found(&told(expression)).is_empty() {
            wrong.push(format!("ours has no data: {expression}"));
        }
    }
    let dashboard = std::fs::read_to_string(folder.join("dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() > 5);
    for target in panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap()) {
        let expression =
            target["expr"].as_str().unwrap().replace("$__rate_interval", "20s").replace("$job", ".+");
        if trio.found(&expression).is_empty() {
            wrong.push(format!("our dashboard has no data: {expression}"));
        }
    }
}
