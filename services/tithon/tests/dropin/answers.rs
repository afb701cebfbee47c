//! Flags that change answers, with real processes.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::golden;
use super::process::{Server, TITHON, free_port};

/// A query at a time when the golden bucket has data.
fn query(server: &Server, prefix: &str, query: &str, tenant: Option<&str>) -> Value {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let time = time().to_string();
    let mut request = agent.get(format!("{}{prefix}/api/v1/query", server.url)).query_pairs([
        ("query", query),
        ("time", time.as_str()),
        ("dedup", "false"),
    ]);
    if let Some(tenant) = tenant {
        request = request.header("THANOS-TENANT", tenant);
    }
    let mut response = request.call().unwrap();
    serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap()
}

/// A second within the last blocks of one cluster in the golden bucket, when the other has data too.
pub(super) fn time() -> i64 {
    let mut times: Vec<i64> = std::fs::read_dir(golden())
        .unwrap()
        .filter_map(|entry| std::fs::read(entry.unwrap().path().join("meta.json")).ok())
        .filter_map(|meta| serde_json::from_slice::<Value>(&meta).ok())
        .filter(|meta| meta["thanos"]["labels"]["cluster"] == "eu1")
        .filter_map(|meta| meta["maxTime"].as_i64())
        .collect();
    times.sort_unstable();
    times[times.len() - 1] / 1000 - 60
}

fn values(answer: &Value, label: &str) -> Vec<String> {
    let result = answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let mut values: Vec<String> =
        result.iter().map(|one| one["metric"][label].as_str().unwrap_or_default().to_owned()).collect();
    values.sort();
    values.dedup();
    values
}

fn store() -> (Server, String, tempfile::TempDir) {
    let data = tempfile::tempdir().unwrap();
    let (server, address) = Server::store(&golden(), data.path());
    (server, address, data)
}

const ALL: &str = r#"count by (cluster) ({__name__=~".+"})"#;

#[test]
fn a_tenant_sees_its_own_series_only() {
    let (_store, address, _data) = store();
    let flags = ["--query.enforce-tenancy", "--query.tenant-label-name=cluster"];
    let server = Server::query(&[&address], &flags);
    let clusters = |text: &str, tenant: &str| values(&query(&server, "", text, Some(tenant)), "cluster");
    assert_eq!(clusters(ALL, "eu1"), ["eu1"]);
    assert_eq!(clusters(ALL, "nobody"), Vec::<String>::new());
    // The tenant's value holds, whatever matchers on the label the query has.
    assert_eq!(clusters(r#"count by (cluster) ({__name__=~".+",cluster="us1"})"#, "eu1"), ["eu1"]);
    assert_eq!(clusters(r#"count by (cluster) ({__name__=~".+",cluster!="eu1"})"#, "eu1"), ["eu1"]);
    let wrong = query(&server, "", "up", Some("a/b"));
    assert_eq!(wrong["error"], "tenant name not valid", "{wrong}");
    // Label calls and series too.
    let agent = ureq::Agent::new_with_defaults();
    let get = |path: &str, params: &[(&str, &str)]| -> Value {
        let request = agent.get(format!("{}{path}", server.url)).query_pairs(params.iter().copied());
        let mut response = request.header("THANOS-TENANT", "eu1").call().unwrap();
        serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap()
    };
    for params in [&[][..], &[("match[]", r#"{cluster="us1"}"#)], &[("match[]", r#"{__name__=~".+"}"#)]] {
        let found = get("/api/v1/label/cluster/values", params);
        assert_eq!(found["data"], serde_json::json!(["eu1"]), "{params:?}");
    }
    let series = get("/api/v1/series", &[("match[]", r#"{__name__=~".+",cluster=~".+"}"#)]);
    let series = series["data"].as_array().unwrap();
    assert!(!series.is_empty() && series.iter().all(|labels| labels["cluster"] == "eu1"));
}

#[test]
fn stores_labels_and_limits_of_a_querier() {
    let (_store, address, _data) = store();
    // The store has label sets of both clusters; the querier asks for those that the rules keep.
    let rules = "--selector.relabel-config=[{action: keep, source_labels: [cluster], regex: us1}]";
    let server = Server::query(&[&address], &[rules]);
    assert!(!values(&query(&server, "", ALL, None), "cluster").contains(&"eu1".to_owned()));
    let rules = "--selector.relabel-config=[{action: keep, source_labels: [cluster], regex: nobody}]";
    let server = Server::query(&[&address], &[rules]);
    assert_eq!(values(&query(&server, "", ALL, None), "cluster"), Vec::<String>::new());
    // A label of the querier: what contradicts it finds nothing, and a matcher on it does not reach the store.
    let server = Server::query(&[&address], &[r#"--selector-label=region="eu""#]);
    let with = |region: &str| {
        let text = format!(r#"count by (cluster) ({{__name__=~".+",region="{region}",cluster="eu1"}})"#);
        values(&query(&server, "", &text, None), "cluster")
    };
    assert_eq!((with("eu"), with("us")), (vec!["eu1".to_owned()], Vec::new()));
    for (flag, told) in [
        ("--store.limits.request-series=3", "failed to send series: limit 3 violated (got 4)"),
        ("--store.limits.request-samples=120", "failed to send samples: limit 120 violated (got "),
    ] {
        let server = Server::query(&[&address], &[flag]);
        let answer = query(&server, "", ALL, None);
        assert!(answer["error"].as_str().unwrap_or_default().contains(told), "{answer}");
        let metrics = server.text("/metrics", &[]);
        assert!(metrics.contains("thanos_store_selects_dropped_total{reason="), "{metrics}");
    }
}

#[test]
fn packed_calls_have_the_same_answers() {
    let (_store, address, _data) = store();
    let answer = |encoding: &str| {
        let server = Server::query(&[&address], &[&format!("--grpc-compression={encoding}")]);
        query(&server, "", r#"sum by (__name__) ({__name__=~".+"})"#, None)
    };
    let plain = answer("none");
    assert!(plain["data"]["result"].as_array().is_some_and(|result| !result.is_empty()), "{plain}");
    for encoding in ["snappy", "gzip", "zstd"] {
        assert_eq!(answer(encoding), plain, "{encoding}");
    }
}

#[test]
fn paths_below_a_prefix_and_connections_by_address() {
    let (_store, address, _data) = store();
    let flags = ["--web.route-prefix=/metrics/query", "--query.conn-metric.label=ip_port"];
    let server = Server::query(&[&address], &flags);
    assert_eq!(query(&server, "/metrics/query", ALL, None)["status"], "success");
    assert!(server.text("/", &[]).contains("<form"), "the root leads to the page");
    let metrics = server.text("/metrics", &[]);
    assert!(
        metrics.contains(&format!("thanos_store_nodes_grpc_connections{{ip_port=\"{address}\"}} 1")),
        "{metrics}"
    );
}

#[test]
fn requests_and_slow_queries_are_logged_and_active_ones_noted() {
    let (_store, address, data) = store();
    let (http, grpc) = (free_port(), free_port());
    let active = data.path().join("active");
    // A file that a crashed process left.
    std::fs::create_dir_all(&active).unwrap();
    std::fs::write(active.join("queries.active"), b"[{\"query\":\"left_over\",\"timestamp_sec\":1}\0\0,\0\0")
        .unwrap();
    let mut child = Command::new(TITHON)
        .args(["query", "--log.level=debug", "--log.format=json", "--debug.name=of-test"])
        .args([format!("--endpoint={address}"), format!("--http-address=127.0.0.1:{http}")])
        .args([format!("--grpc-address=127.0.0.1:{grpc}"), "--query.log-queries-longer-than=1ns".to_owned()])
        .arg("--request.logging-config={options: {level: DEBUG, decision: {log_start: true, log_end: true}}}")
        .arg(format!("--query.active-query-path={}", active.display()))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let lines = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let mut seen = Vec::new();
    for line in lines {
        assert_eq!(line["name"], "of-test", "{line}");
        if line["msg"] == "ready" {
            let url = format!("http://127.0.0.1:{http}/api/v1/query?query=up");
            std::thread::spawn(move || ureq::get(url).header("X-Request-ID", "id-1").call().unwrap());
        }
        let is_last = line["msg"] == "finished call" && line["protocol"] == "http";
        seen.push(line);
        if is_last {
            break;
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    let line =
        |msg: &str| seen.iter().find(|line| line["msg"] == msg).unwrap_or_else(|| panic!("{msg}: {seen:?}"));
    assert!(line("these queries did not end in the last run")["queries"].to_string().contains("left_over"));
    assert_eq!(line("slow query")["query"], "up");
    assert_eq!(line("started call")["http.request_id"], "id-1");
    let finished = seen.last().unwrap();
    assert_eq!(finished["http.status_code"], "200", "{finished}");
    assert_eq!(finished["http.method"], "GET /api/v1/query?query=up");
    assert!(active.join("queries.active").exists());
}
