//! `tithon rule` as a process: results written before it is killed arrive, or stay in its own storage and become blocks
//! of a bucket; a querier shows its rules, and wrong files are reported.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "differential/process.rs"]
#[allow(dead_code, unreachable_pub, reason = "other tests start other servers")]
mod process;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use process::{Server, TITHON, free_port, until};

fn prometheus(dir: &Path, port: u16) -> Server {
    let config = format!(
        "global: {{scrape_interval: 500ms, scrape_timeout: 400ms}}\n\
         scrape_configs: [{{job_name: self, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n"
    );
    std::fs::write(dir.join("prometheus.yml"), config).unwrap();
    let mut command = Command::new("prometheus");
    command.arg(format!("--config.file={}", dir.join("prometheus.yml").display()));
    command.arg(format!("--storage.tsdb.path={}", dir.join(format!("data-{port}")).display()));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    command.args(["--web.enable-remote-write-receiver", "--log.level=error"]);
    Server::start(command, port)
}

/// A ruler that asks the server at `source` and writes to the one at `target`; and the address of its gRPC services.
fn ruler(dir: &Path, source: u16, target: u16) -> (Server, String) {
    let mut command = Command::new(TITHON);
    command.args(["rule", "--log.level=warn", "--eval-interval=1s", "--label=cluster=\"lab\""]);
    command.arg(format!("--query=127.0.0.1:{source}"));
    command.arg(format!("--rule-file={}", dir.join("rules.yml").display()));
    command.arg(format!("--data-dir={}", dir.join("rule").display()));
    command.arg(format!(
        "--remote-write.config={{remote_write: [{{url: 'http://127.0.0.1:{target}/api/v1/write'}}]}}"
    ));
    Server::of_store(command)
}

fn count(server: &Server) -> f64 {
    let answer = server.get("/api/v1/query", &[("query", "count_over_time(lab:up{cluster=\"lab\"}[5m])")]);
    let value = answer["data"]["result"][0]["value"][1].as_str().and_then(|text| text.parse().ok());
    value.unwrap_or(0.0)
}

#[test]
fn a_killed_ruler_loses_no_result() {
    let version =
        Command::new("prometheus").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if let Err(error) = version {
        assert!(std::env::var_os("TITHON_SERVERS").is_none(), "prometheus: {error}");
        eprintln!("skipped: prometheus is not installed");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (dir, port, target) = (dir.path(), free_port(), free_port());
    let rules = "groups: [{name: g, rules: [{record: 'lab:up', expr: sum(up)}, {alert: Up, expr: up == 1}]}]";
    std::fs::write(dir.join("rules.yml"), rules).unwrap();
    let _source = prometheus(dir, port);
    // The server that results go to is not there yet.
    let (first, store) = ruler(dir, port, target);
    let querier = Server::query(&[&store], &[]);
    let told = || querier.get("/api/v1/rules", &[("type", "alert")]);
    until("the rules at a querier", || told()["data"]["groups"][0]["rules"][0]["state"] == "firing");
    let rule = &told()["data"]["groups"][0]["rules"][0];
    assert_eq!((&rule["name"], &rule["alerts"][0]["labels"]["job"]), (&"Up".into(), &"self".into()));
    std::thread::sleep(Duration::from_secs(4));
    let page = first.text("/alerts", &[]);
    assert!(page.contains("Up (1)"), "{page}");
    // Ends by SIGKILL.
    drop(first);
    std::fs::write(dir.join("rules.yml"), "groups: []").unwrap();
    let receiver = prometheus(dir, target);
    let (_second, _) = ruler(dir, port, target);
    until("the results of the killed ruler", || count(&receiver) >= 4.0);
}

/// A querier that is asked over gRPC, for a ruler that knows no other.
#[test]
fn rules_over_grpc() {
    let Ok(status) =
        Command::new("prometheus").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status()
    else {
        assert!(std::env::var_os("TITHON_SERVERS").is_none(), "prometheus is not installed");
        return;
    };
    assert!(status.success());
    let dir = tempfile::tempdir().unwrap();
    let (dir, target) = (dir.path(), free_port());
    let (_querier, address) = Server::query_with_grpc(&[], &[]);
    let rules = "groups: [{name: g, rules: [{record: 'lab:up', expr: vector(7)}]}]";
    std::fs::write(dir.join("rules.yml"), rules).unwrap();
    let receiver = prometheus(dir, target);
    let mut command = Command::new(TITHON);
    command.args(["rule", "--log.level=warn", "--eval-interval=1s", "--label=cluster=\"lab\""]);
    let by_name = address.replace("127.0.0.1", "dns+localhost");
    command.arg(format!("--grpc-query-endpoint={by_name}"));
    command.arg(format!("--rule-file={}", dir.join("rules.yml").display()));
    command.arg(format!("--data-dir={}", dir.join("rule").display()));
    command.arg(format!(
        "--remote-write.config={{remote_write: [{{url: 'http://127.0.0.1:{target}/api/v1/write'}}]}}"
    ));
    let _ruler = Server::of_store(command);
    until("results", || count(&receiver) >= 2.0);
}

#[test]
fn rules_check_tells_all_faults() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("good.yml", "groups: [{name: g, partial_response_strategy: warn, rules: [{record: a, expr: up}]}]");
    write("bad.yml", "groups:\n- name: g\n  rules:\n  - {record: a, expr: 'up('}\n  - {alert: b}\n");
    let check = |pattern: &str| {
        let pattern = format!("--rules={}", dir.path().join(pattern).display());
        let output = Command::new(TITHON).args(["tools", "rules-check", &pattern]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(check("good.yml").0, Some(0));
    let (code, told) = check("*.yml");
    assert_eq!(code, Some(1));
    assert!(told.contains("bad.yml:4:"), "{told}");
    assert!(told.contains("rule 2"), "{told}");
    let (code, told) = check("none*.yml");
    assert_eq!(code, Some(1));
    assert!(told.contains("no rule file found"), "{told}");
    // A pattern that is none does not keep others from being checked.
    let (good, bad) = (dir.path().join("good.yml"), format!("--rules={}/[", dir.path().display()));
    let good = format!("--rules={}", good.display());
    let both = Command::new(TITHON).args(["tools", "rules-check", &bad, &good]).output().unwrap();
    let told = String::from_utf8(both.stderr).unwrap();
    assert_eq!(both.status.code(), Some(1));
    assert!(told.contains("result=SUCCESS rulesfound=1"), "{told}");
    // What the ruler refuses is refused.
    write("experimental.yml", "groups: [{name: g, rules: [{record: a, expr: 'sort_by_label(up, \"a\")'}]}]");
    assert_eq!(check("experimental.yml").0, Some(1));
    let flags = ["--enable-feature=promql-experimental-functions", &good.replace("good", "experimental")];
    let enabled = Command::new(TITHON).args(["tools", "rules-check"]).args(flags).status().unwrap();
    assert!(enabled.success());
}

/// A Prometheus with external labels, a sidecar beside it, and the address of that.
fn with_sidecar(dir: &Path, port: u16) -> (Server, Server, String) {
    let config = format!(
        "global: {{scrape_interval: 500ms, scrape_timeout: 400ms, external_labels: {{replica: a}}}}\n\
         scrape_configs: [{{job_name: self, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n"
    );
    std::fs::write(dir.join("prometheus.yml"), config).unwrap();
    let mut command = Command::new("prometheus");
    command.arg(format!("--config.file={}", dir.join("prometheus.yml").display()));
    command.arg(format!("--storage.tsdb.path={}", dir.join("prometheus").display()));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}")).arg("--log.level=error");
    let prometheus = Server::start(command, port);
    let mut command = Command::new(TITHON);
    command.args(["sidecar", "--log.level=warn", &format!("--prometheus.url=http://127.0.0.1:{port}")]);
    let (sidecar, address) = Server::of_store(command);
    (prometheus, sidecar, address)
}

/// A ruler with storage of its own and blocks of five seconds, and a bucket behind it.
fn storing_ruler(dir: &Path, querier: &Server, http: u16, grpc: u16) -> Server {
    let mut command = Command::new(TITHON);
    command.args(["rule", "--log.level=warn", "--eval-interval=1s", "--label=cluster=\"lab\""]);
    command.args(["--tsdb.block-duration=5s", "--tsdb.retention=1h", "--for-grace-period=1s"]);
    command.arg(format!("--query={}", querier.url));
    command.arg(format!("--rule-file={}", dir.join("rules.yml").display()));
    command.arg(format!("--data-dir={}", dir.join("rule").display()));
    let bucket = dir.join("bucket").display().to_string();
    command.arg(format!("--objstore.config={{type: FILESYSTEM, config: {{directory: {bucket}}}}}"));
    command.arg(format!("--http-address=127.0.0.1:{http}"));
    command.arg(format!("--grpc-address=127.0.0.1:{grpc}"));
    Server::start(command, http)
}

/// The times of the samples that a querier finds of a series within five minutes.
fn times(querier: &Server, series: &str) -> Vec<String> {
    let answer = querier.get("/api/v1/query", &[("query", &format!("{series}[5m]"))]);
    let values = answer["data"]["result"][0]["values"].as_array().cloned().unwrap_or_default();
    values.iter().map(|pair| pair[0].to_string()).collect()
}

/// Since when the alert of a ruler is pending, seconds of the day.
fn pending_since(ruler: &Server) -> Option<String> {
    let alert = &ruler.get("/api/v1/alerts", &[])["data"]["Alerts"][0];
    (alert["state"] == "pending").then(|| alert["activeAt"].as_str().unwrap().to_owned())
}

#[test]
fn results_stay_in_local_storage_and_become_blocks_of_a_bucket() {
    if Command::new("prometheus").arg("--version").output().is_err() {
        assert!(std::env::var_os("TITHON_SERVERS").is_none(), "prometheus is not installed");
        eprintln!("skipped: prometheus is not installed");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (dir, port, http, grpc) = (dir.path(), free_port(), free_port(), free_port());
    std::fs::create_dir(dir.join("bucket")).unwrap();
    let rules = "groups: [{name: g, rules: [{record: 'lab:up', expr: sum(up)}, {alert: Up, expr: up == 1, for: 1h}]}]";
    std::fs::write(dir.join("rules.yml"), rules).unwrap();
    let (_prometheus, _sidecar, sidecar) = with_sidecar(dir, port);
    let querier = Server::query(&[&sidecar, &format!("127.0.0.1:{grpc}")], &[]);
    let first = storing_ruler(dir, &querier, http, grpc);
    let recorded = r#"lab:up{cluster="lab"}"#;
    until("results of twenty seconds", || times(&querier, recorded).len() >= 20);
    let since = pending_since(&first).expect("an alert is pending");
    let before = times(&querier, recorded);
    let metrics = first.text("/metrics", &[]);
    for name in [
        "prometheus_tsdb_head_series 3",
        "prometheus_tsdb_compactions_total ",
        "thanos_shipper_dir_syncs_total ",
    ] {
        assert!(metrics.contains(name), "{name}: {metrics}");
    }
    assert_eq!(first.get("/api/v1/status/flags", &[])["data"]["eval-interval"], "1s");
    let about = first.get("/api/v1/status/buildinfo", &[]);
    assert!(about["data"]["goVersion"].as_str().unwrap().starts_with("tithon "), "{about}");
    assert!(first.get("/api/v1/status/runtimeinfo", &[])["data"]["startTime"].is_string());
    let alone = Server::query(&[&format!("127.0.0.1:{grpc}")], &[]);
    let statistics = alone.get("/api/v1/status/tsdb", &[]);
    let data = &statistics["data"];
    assert_eq!(data["headStats"]["numSeries"], 3, "{statistics}");
    let by_metric = data["seriesCountByMetricName"].as_array().unwrap();
    let mut names: Vec<_> = by_metric.iter().map(|one| one["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["ALERTS", "ALERTS_FOR_STATE", "lab:up"]);

    // Ends by SIGKILL.
    let killed_at = before.last().cloned();
    drop(first);
    let second = storing_ruler(dir, &querier, http, grpc);
    until("results before and after", || times(&querier, recorded).last().cloned() > killed_at);
    let after = times(&querier, recorded);
    assert!(before.iter().all(|time| after.contains(time)), "{before:?} {after:?}");
    let mut once = after.clone();
    once.dedup();
    assert_eq!(once, after);

    // The alert goes on: the time without a ruler does not count.
    until("the alert", || pending_since(&second).is_some_and(|again| again != since));
    let killed_at: f64 = killed_at.unwrap().parse().unwrap();
    until("the alert as it was restored", || {
        let found = times(&querier, r#"ALERTS_FOR_STATE{cluster="lab"}"#);
        let answer = querier.get("/api/v1/query", &[("query", r#"ALERTS_FOR_STATE{cluster="lab"}"#)]);
        let value = answer["data"]["result"][0]["value"][1].as_str().unwrap_or("0").parse::<f64>().unwrap();
        found.last().is_some_and(|time| time.parse::<f64>().unwrap() > killed_at) && value < killed_at
    });

    let bucket = dir.join("bucket");
    let metas = || {
        let blocks = std::fs::read_dir(&bucket).unwrap().map(|entry| entry.unwrap().path().join("meta.json"));
        blocks.filter_map(|path| std::fs::read(path).ok()).collect::<Vec<_>>()
    };
    until("blocks in the bucket", || metas().len() >= 2);
    for meta in metas() {
        let meta: serde_json::Value = serde_json::from_slice(&meta).unwrap();
        assert_eq!(meta["thanos"]["source"], "ruler");
        assert_eq!(meta["thanos"]["labels"]["cluster"], "lab");
        assert!(meta["maxTime"].as_i64().unwrap() % 5000 == 0 && meta["stats"]["numSeries"] == 3, "{meta}");
    }
    // The bucket's blocks say the same as the ruler.
    let (store, address) = Server::store(&bucket, &dir.join("store"));
    let stored = Server::query(&[&address], &[]);
    let of_blocks = times(&stored, recorded);
    assert!(of_blocks.len() > 5 && of_blocks.iter().all(|time| times(&querier, recorded).contains(time)));
    drop(store);
}
