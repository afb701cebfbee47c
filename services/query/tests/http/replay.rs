//! Replays requests recorded from Prometheus and Thanos against our server over the same blocks.

use serde_json::Value;
use tithon_query::{Dialect, QueryOptions};

use crate::compare::same;
use crate::pushdown::evaluating;
use crate::{Sources, ask, path, serve, sources};

/// A group of records in a set, and the least number of them whose answers must be equal.
struct Part {
    name: &'static str,
    takes: fn(&Value) -> bool,
    equal_min: usize,
}

async fn replay(set: &str, options: QueryOptions, sources: Sources, parts: &[Part]) {
    let address = serve(options, sources).await;
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
        Part { name: "labels and label values", takes: labels, equal_min: 571 },
        Part { name: "series", takes: |r| path(r).ends_with("/series"), equal_min: 366 },
        Part {
            name: "parse_query and format_query",
            takes: |r| path(r).ends_with("e_query") || path(r).ends_with("t_query"),
            equal_min: 572,
        },
        Part {
            name: "refused queries",
            takes: |r| path(r).contains("/query") && r["status"] != 200,
            equal_min: 627,
        },
        Part {
            name: "answered queries",
            takes: |r| path(r).contains("/query") && r["status"] == 200,
            equal_min: 182,
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
            equal_min: 30,
        },
    ];
    replay("http-api", prometheus(), sources(&PROMETHEUS_DATA), &parts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_queries() {
    let parts = [
        Part { name: "own data", takes: |r| r["data"] == "own", equal_min: 5995 },
        Part { name: "real-2022", takes: |r| r["data"] == "real-2022", equal_min: 1500 },
    ];
    replay("prometheus-3.14", prometheus(), sources(&PROMETHEUS_DATA), &parts).await;
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
            equal_min: 297,
        },
        Part { name: "series", takes: |r| path(r).ends_with("/series"), equal_min: 215 },
        Part {
            name: "refused requests",
            takes: |r| path(r).contains("/query") && r["status"] == 400,
            equal_min: 60,
        },
        Part {
            name: "queries over raw data",
            takes: |r| path(r).contains("/query") && r["status"] != 400 && r["data"] == "own",
            equal_min: 1042,
        },
        Part {
            name: "queries over downsampled data",
            takes: |r| path(r).contains("/query") && r["status"] != 400 && r["data"] == "long",
            equal_min: 530,
        },
    ];
    let evaluating = evaluating(&dirs, &options).await;
    replay("thanos-query", options.clone(), sources(&dirs), &parts).await;
    // The same when a store evaluates what it can.
    replay("thanos-query", options, evaluating, &parts).await;
}
