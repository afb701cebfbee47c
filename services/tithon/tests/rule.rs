//! `tithon rule` as a process: results written before it is killed arrive, a querier shows its rules, and wrong files
//! are reported.

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
    command.arg(format!("--grpc-query-endpoint={address}"));
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
}
