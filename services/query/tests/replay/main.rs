//! Recorded requests to Prometheus and Thanos, asked of our server over real HTTP, over the same blocks.

mod blocks;
mod compare;

use std::sync::Arc;

use serde_json::Value;
use tithon_query::{Dialect, QueryOptions, QueryService, Source, router};
use tithon_runtime::{Cpu, HttpServer, Metrics, Shutdown};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use self::blocks::Blocks;
use self::compare::same;

/// The parts of a set that are asked, and how many of them must be equal.
struct Part {
    name: &'static str,
    takes: fn(&Value) -> bool,
    equal_min: usize,
}

fn path(record: &Value) -> &str {
    record["path"].as_str().unwrap_or_default()
}

async fn serve(options: QueryOptions, dirs: &[&str]) -> std::net::SocketAddr {
    let metrics = Metrics::new("test");
    let cpu = Cpu::new(0).expect("a pool");
    let sources = vec![Source::Local(Arc::new(Blocks::open(dirs)))];
    let service = QueryService::new(options, sources, cpu, &metrics);
    let server = HttpServer::bind("127.0.0.1:0").await.expect("a free port");
    let address = server.local_addr();
    tokio::spawn(server.serve(router(service), Shutdown::default(), std::time::Duration::ZERO));
    address
}

/// One request over a connection of its own: status and body.
async fn ask(address: std::net::SocketAddr, record: &Value) -> (u16, Value) {
    let params = record["params"].as_array().map_or(&[][..], Vec::as_slice);
    let mut form = form_urlencoded::Serializer::new(String::new());
    for pair in params {
        form.append_pair(pair[0].as_str().unwrap_or_default(), pair[1].as_str().unwrap_or_default());
    }
    let form = form.finish();
    let path = path(record).replace(' ', "%20");
    let request = if record["method"] == "POST" {
        format!(
            "POST {path} HTTP/1.0\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        )
    } else {
        format!("GET {path}?{form} HTTP/1.0\r\n\r\n")
    };
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    let answer = String::from_utf8(answer).expect("UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
    (status, serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned())))
}

async fn replay(set: &str, options: QueryOptions, dirs: &[&str], parts: &[Part]) {
    let address = serve(options, dirs).await;
    let records = tithon_testdata::json_lines(&format!("answers/{set}.jsonl.zst"));
    let shown = std::env::var("REPLAY_SHOW").ok().and_then(|n| n.parse().ok()).unwrap_or(0usize);
    let mut failed = Vec::new();
    for part in parts {
        let asked: Vec<&Value> =
            records.iter().filter(|r| r["header"].is_null() && (part.takes)(r)).collect();
        let mut equal = 0;
        let mut left = shown;
        for record in &asked {
            let (status, got) = ask(address, record).await;
            if same(record, status, &got) {
                equal += 1;
            } else if left > 0 {
                left -= 1;
                let cut = |v: &Value| v.to_string().chars().take(500).collect::<String>();
                println!(
                    "#{} {} {}\n  want {} {}\n  got  {status} {}",
                    record["id"],
                    path(record),
                    record["params"],
                    record["status"],
                    cut(&record["body"]),
                    cut(&got)
                );
            }
        }
        println!("{set} {}: {equal} of {} equal", part.name, asked.len());
        if equal < part.equal_min {
            failed.push(format!("{}: {equal}, at least {} expected", part.name, part.equal_min));
        }
    }
    assert!(failed.is_empty(), "{set}: {failed:?}");
}

fn prometheus() -> QueryOptions {
    QueryOptions {
        replica_labels: vec!["replica".into(), "cluster".into()],
        experimental_functions: true,
        extended_range_selectors: true,
        binop_fill_modifiers: true,
        ..QueryOptions::default()
    }
}

const PROMETHEUS_DATA: [&str; 2] = ["answers/data/replica-a", "testdata/blocks/real-2022"];

#[tokio::test(flavor = "multi_thread")]
async fn http_api() {
    let labels = |r: &Value| path(r).ends_with("/labels") || path(r).ends_with("/values");
    let parts = [
        Part { name: "labels and label values", takes: labels, equal_min: 0 },
        Part { name: "series", takes: |r| path(r).ends_with("/series"), equal_min: 0 },
        Part {
            name: "parse_query and format_query",
            takes: |r| path(r).ends_with("e_query") || path(r).ends_with("t_query"),
            equal_min: 0,
        },
        Part {
            name: "refused queries",
            takes: |r| path(r).contains("/query") && r["status"] != 200,
            equal_min: 0,
        },
        Part {
            name: "answered queries",
            takes: |r| path(r).contains("/query") && r["status"] == 200,
            equal_min: 0,
        },
        Part {
            name: "everything else",
            takes: |r| {
                let p = path(r);
                !p.contains("query")
                    && !p.ends_with("/labels")
                    && !p.ends_with("/values")
                    && !p.ends_with("/series")
                    && !p.starts_with("/-/")
            },
            equal_min: 0,
        },
    ];
    replay("http-api", prometheus(), &PROMETHEUS_DATA, &parts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_queries() {
    let parts = [
        Part { name: "own data", takes: |r| r["data"] == "own", equal_min: 0 },
        Part { name: "real-2022", takes: |r| r["data"] == "real-2022", equal_min: 0 },
    ];
    replay("prometheus-3.14", prometheus(), &PROMETHEUS_DATA, &parts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thanos_query() {
    let options = QueryOptions {
        dialect: Dialect::Thanos,
        replica_labels: vec!["replica".into()],
        ..QueryOptions::default()
    };
    let dirs = ["replica-a", "replica-b", "long-a", "long-b", "long-downsampled"]
        .map(|d| format!("answers/data/{d}"));
    let dirs: Vec<&str> = dirs.iter().map(String::as_str).collect();
    let parts = [
        Part {
            name: "labels and label values",
            takes: |r| path(r).ends_with("/labels") || path(r).ends_with("/values"),
            equal_min: 0,
        },
        Part { name: "series", takes: |r| path(r).ends_with("/series"), equal_min: 0 },
        Part {
            name: "refused requests",
            takes: |r| path(r).contains("/query") && r["status"] == 400,
            equal_min: 0,
        },
        Part {
            name: "queries over raw data",
            takes: |r| path(r).contains("/query") && r["status"] != 400 && r["data"] == "own",
            equal_min: 0,
        },
        Part {
            name: "queries over downsampled data",
            takes: |r| path(r).contains("/query") && r["status"] != 400 && r["data"] == "long",
            equal_min: 0,
        },
    ];
    replay("thanos-query", options, &dirs, &parts).await;
}
