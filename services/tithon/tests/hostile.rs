//! Hostile queries and calls against a real process: each ends in an answer or an error, probes are answered all the while,
//! and the process stays within its memory.
//!
//! `TITHON_HOSTILE=all` asks all of the table; else every seventh call is made.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "differential/process.rs"]
#[allow(dead_code, unreachable_pub, reason = "other tests start other servers")]
mod process;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use process::Server;

/// The most anonymous memory that the process may have, bytes. Queries may take a quarter of this.
const MEMORY_MAX: u64 = 1 << 30;
/// The longest that a call may take: the query timeout and as much again, because the machine is shared.
const CALL_MAX: Duration = Duration::from_secs(20);

/// A call: path, parameters, and whether they are sent as a form.
struct Call {
    path: &'static str,
    params: Vec<(&'static str, String)>,
    is_form: bool,
}

fn list(n: usize, separator: &str, item: impl Fn(usize) -> String) -> String {
    (0..n).map(item).collect::<Vec<_>>().join(separator)
}

/// Queries made from shapes, in several sizes.
fn queries() -> Vec<String> {
    let mut all = Vec::new();
    for n in [10, 300, 3_000, 20_000] {
        all.push(list(n, "+", |_| "up".into()));
        all.push(list(n, "+", |i| format!("up{{a!=\"{i}\"}}")));
        all.push(list(n, " or ", |_| "up".into()));
        all.push(list(n, " and ", |i| format!("up{{instance!=\"{i}\"}}")));
        all.push(list(n.min(1_000), "+", |i| format!("m{i}")));
        all.push(list(n, "*", |_| "rate(up[5m])".into()));
        all.push(format!("up{{{}}}", list(15 * n, ",", |_| "a!=\"b\"".into())));
        all.push(format!("up{{{}}}", list(15 * n, ",", |i| format!("a{i}!=\"b\""))));
        all.push(format!("up{{{}}}", list(n.min(300), ",", |i| format!("a=~\"x{i}.*(y|z)+\""))));
        all.push(format!("{{__name__=~\"{}\"}}", list(n, "|", |i| format!("m{i}"))));
        all.push(format!("{{__name__=~\"{}\"}}", list(n.min(1_000), "|", |i| format!(".*{i}.*"))));
        all.push(format!("{}up{}", "abs(".repeat(n), ")".repeat(n)));
        all.push(format!("{}up{}", "(".repeat(n), ")".repeat(n)));
        all.push(format!("{}up", "-".repeat(n)));
        all.push(format!("{}up{}", "info(".repeat(n), ")".repeat(n)));
        all.push(format!("{}up{}", "sum(".repeat(n), ")".repeat(n)));
        all.push(format!("{}up{}", "rate(".repeat(n), "[5m:1m])".repeat(n)));
        all.push(format!("{}1{}", "2^".repeat(n), ""));
        all.push(format!("sum by ({}) ({{__name__!=\"\"}})", list(n, ",", |i| format!("l{i}"))));
        all.push(format!("up + on ({}) up", list(n, ",", |i| format!("l{i}"))));
        all.push(format!("up + on () group_left ({}) up", list(n, ",", |i| format!("l{i}"))));
        all.push(format!(
            "label_replace({{__name__!=\"\"}}, \"n\", \"{}\", \"instance\", \"(.*)\")",
            "$1".repeat(n)
        ));
        all.push(format!(
            "label_replace({{__name__!=\"\"}}, \"n\", \"{}\", \"instance\", \"(.*)\")",
            "x".repeat(20 * n)
        ));
        all.push(format!(
            "label_join({{__name__!=\"\"}}, \"n\", \"-\", {})",
            list(n, ",", |_| "\"instance\"".into())
        ));
        all.push(format!(
            "label_join({{__name__!=\"\"}}, \"n\", \"{}\", \"job\", \"instance\")",
            "-".repeat(20 * n)
        ));
        all.push(format!(
            "histogram_quantiles({{__name__=~\".+_bucket\"}}, \"q\", {})",
            list(n, ",", |i| format!("{}", i as f64 / 1e5))
        ));
        all.push(list(n, "+", |_| "\"text\"".into()));
        all.push("(".repeat(n));
        all.push(format!("up{{{}", "a=\"b\",".repeat(n)));
    }
    let wide = "{__name__=~\".+\"}";
    for window in ["1m", "12h", "10y", "290y"] {
        all.push(format!("{wide}[{window}]"));
        all.push(format!("count(count_values(\"v\", {wide} offset {window}))"));
        all.push(format!("quantile_over_time(0.5, {wide}[{window}])"));
        all.push(format!("sum(rate({wide}[{window}]))"));
        all.push(format!("max_over_time(max_over_time({wide}[{window}:])[{window}:])"));
        all.push(format!("max_over_time(count_values(\"v\", {wide})[{window}:1s])"));
        all.push(format!("up[{window}:1ms]"));
        all.push(format!("{wide} offset -{window}"));
    }
    for query in [
        "count_values(\"v\", W)",
        "count(count_values(\"v\", W))",
        "count_values without () (\"v\", W)",
        "topk(1000000, W)",
        "quantile(0.5, W)",
        "sort(W)",
        "W or W or W",
        "W and W",
        "W * on (job) group_left W",
        "W * on () group_left up",
        "info(W)",
        "info(W, {__name__=~\".+\"})",
        "label_replace(W, \"__name__\", \"$1$1$1\", \"__name__\", \"(.*)\")",
        "absent(W)",
        "W @ 9e15",
        "W @ start() offset 290y",
        "sum by (__name__, instance, job, le) (W)",
        "stddev(W) + stdvar(W) + avg(W)",
        "histogram_quantile(0.9, W)",
        "predict_linear(W[1h], 1e300)",
        "limitk(1e9, W)",
        "limit_ratio(0.5, W)",
        "{__name__=~\"(?i)[\\\\pL_0-9.:-]{1,900}\"}",
        "{__name__=~\"((((a*)*)*)*)*b\"}",
        "{__name__=~\"(x+x+)+y\"}",
        "up{a=~\"(a{1,100}){1,100}\"}",
    ] {
        all.push(query.replace('W', wide));
    }
    let patterns = |n: usize| list(n, ",", |i| format!("a{i}=~\"(?i)[\\\\pL_0-9.:-]{{1,900}}\""));
    all.extend([1, 10, 60].map(|n| format!("up{{{}}}", patterns(n))));
    all
}

fn calls() -> Vec<Call> {
    let mut all = Vec::new();
    let push = |all: &mut Vec<Call>, path, params: Vec<(&'static str, String)>| {
        let is_form = params.iter().map(|(_, v)| v.len()).sum::<usize>() > 4_000;
        all.push(Call { path, params, is_form });
    };
    let time = || ("time", END.to_string());
    for query in queries() {
        push(&mut all, "/api/v1/query", vec![("query", query.clone()), time()]);
        let range = vec![
            ("query", query.clone()),
            ("start", (END - 7_200).to_string()),
            ("end", END.to_string()),
            ("step", "1".to_owned()),
        ];
        push(&mut all, "/api/v1/query_range", range);
        push(&mut all, "/api/v1/query_explain", vec![("query", query.clone()), time()]);
        push(&mut all, "/api/v1/parse_query", vec![("query", query.clone())]);
        push(&mut all, "/api/v1/format_query", vec![("query", query)]);
    }
    for n in [100, 3_000, 30_000] {
        for item in [
            (|_| "{__name__=~\".+\"}".to_owned()) as fn(usize) -> String,
            |i| format!("m{i}"),
            |i| format!("{{instance=\"{i}\"}}"),
            |i| format!("{{__name__=~\".*{i}.*\"}}"),
        ] {
            let sets: Vec<_> = (0..n).map(|i| ("match[]", item(i))).collect();
            push(&mut all, "/api/v1/series", sets.clone());
            push(&mut all, "/api/v1/labels", sets.clone());
            let stores = sets.into_iter().map(|(_, set)| ("storeMatch[]", set));
            push(&mut all, "/api/v1/query", stores.chain([("query", "up".to_owned()), time()]).collect());
        }
    }
    all
}

/// The end of the demo's data, in seconds: a full two-hour block's.
const END: i64 = 1_760_004_000;

/// Makes a call; returns its status and the beginning of its answer.
fn make(server: &Server, call: &Call) -> (u16, String) {
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(2 * CALL_MAX));
    let agent = config.build().new_agent();
    let url = format!("{}{}", server.url, call.path);
    let params = call.params.iter().map(|(name, value)| (*name, value.as_str()));
    let response = match call.is_form {
        true => agent.post(url).send_form(params),
        false => agent.get(url).query_pairs(params).call(),
    };
    let mut response = response.unwrap_or_else(|e| panic!("{} {}: {e}", call.path, shown(call)));
    let status = response.status().as_u16();
    // The whole answer is read, so that the server has to write the whole answer.
    let mut reader = response.body_mut().as_reader();
    let mut begin = vec![0; 2_000];
    let n = std::io::Read::read(&mut reader, &mut begin).unwrap_or(0);
    begin.truncate(n);
    let _ = std::io::copy(&mut reader, &mut std::io::sink());
    (status, String::from_utf8_lossy(&begin).into_owned())
}

/// The beginning of the query of a call.
fn shown(call: &Call) -> String {
    call.params.first().map(|(_, value)| value.chars().take(80).collect()).unwrap_or_default()
}

/// The memory of a process that is not mapped from files, bytes.
fn anonymous_bytes(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[test]
fn hostile_calls_end_and_others_are_answered() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::standalone(&[
        "--demo",
        "--demo.hours=4",
        "--demo.end=2025-10-09T10:00:00Z",
        "--compact=false",
        "--query.timeout=10s",
        "--query.max-concurrent=4",
        "--query.memory-limit=256MiB",
        "--enable-feature=promql-experimental-functions",
        &format!("--data-dir={}", dir.path().display()),
    ]);
    let every = if std::env::var("TITHON_HOSTILE").is_ok_and(|v| v == "all") { 1 } else { 7 };
    let calls: Vec<Call> = calls().into_iter().step_by(every).collect();
    let (next, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (slowest_probe, most_bytes) = (AtomicU64::new(0), AtomicU64::new(0));
    let late = AtomicUsize::new(0);
    let n_probes = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let begun = Instant::now();
                let answer = ureq::get(format!("{}/-/healthy", server.url)).call();
                assert!(answer.is_ok(), "{answer:?}");
                let took = begun.elapsed();
                n_probes.fetch_add(1, Ordering::Relaxed);
                late.fetch_add(usize::from(took > Duration::from_millis(100)), Ordering::Relaxed);
                slowest_probe.fetch_max(took.as_millis() as u64, Ordering::Relaxed);
                most_bytes.fetch_max(anonymous_bytes(server.id()), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let askers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    while let Some(call) = calls.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let begun = Instant::now();
                        let (status, answer) = make(&server, call);
                        let took = begun.elapsed();
                        let shown = format!("{} {}: {status} {answer:.300}", call.path, shown(call));
                        assert!(took < CALL_MAX, "took {took:?}: {shown}");
                        assert!(matches!(status, 200 | 204 | 400 | 404 | 422 | 503), "{shown}");
                        let held = anonymous_bytes(server.id()) >> 20;
                        if took > Duration::from_secs(5) || held > 512 {
                            println!("took {took:?}, {held} MiB after it: {shown:.200}");
                        }
                        assert!(!answer.contains("panic"), "{shown}");
                    }
                })
            })
            .collect();
        let ended: Vec<_> = askers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        ended.into_iter().for_each(|ended| ended.unwrap());
    });
    let (slowest, late, n_probes) = (slowest_probe.into_inner(), late.into_inner(), n_probes.into_inner());
    let most = most_bytes.into_inner();
    println!(
        "{} calls; {n_probes} probes, {late} later than 100 ms, the slowest {slowest} ms; {} MiB",
        calls.len(),
        most >> 20
    );
    assert!(most < MEMORY_MAX, "the process held {} MiB", most >> 20);
    // A loaded machine may be late now and then.
    assert!(slowest < 3_000, "a probe took {slowest} ms");
    assert!(late * 20 <= n_probes, "{late} of {n_probes} probes took longer than 100 ms");
    let (status, answer) = make(
        &server,
        &Call {
            path: "/api/v1/query",
            params: vec![("query", "count(up)".into()), ("time", END.to_string())],
            is_form: false,
        },
    );
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains("\"value\""), "there are data: {answer}");
}

/// Makes the samples of the first chunk of a segment unreadable, under a right checksum.
fn damage(segment: &std::path::Path) {
    let mut bytes = std::fs::read(segment).unwrap();
    // Behind the header: the length as a varint, the encoding, the samples, the checksum of the latter two.
    let (mut at, mut len, mut shift) = (8, 0, 0);
    loop {
        let byte = bytes[at];
        at += 1;
        len |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            break;
        }
    }
    let end = at + 1 + len;
    // More samples than there can be.
    bytes[at + 1..at + 3].copy_from_slice(&[0xff, 0xff]);
    let checksum = crc32c::crc32c(&bytes[at..end]);
    bytes[end..end + 4].copy_from_slice(&checksum.to_be_bytes());
    std::fs::write(segment, bytes).unwrap();
}

/// If a chunk of a block cannot be decoded, all other data is answered, and a warning names the block and the series.
#[test]
fn a_damaged_chunk_is_named_and_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let data = format!("--data-dir={}", dir.path().display());
    let demo =
        ["--demo", "--demo.hours=2", "--demo.end=2025-10-09T10:00:00Z", "--compact=false", data.as_str()];
    drop(Server::standalone(&demo));
    let blocks = std::fs::read_dir(dir.path().join("bucket")).unwrap().map(|entry| entry.unwrap().path());
    let block = blocks.into_iter().find(|path| path.join("chunks/000001").exists()).unwrap();
    let id = block.file_name().unwrap().to_string_lossy().into_owned();
    let query = "count(last_over_time({__name__=~\".+\"}[3h]))";
    let ask = |more: &[(&str, &str)]| {
        let server = Server::standalone(&["--compact=false", &data]);
        let end = END.to_string();
        let params = [("query", query), ("time", &end)].into_iter().chain(more.iter().copied());
        server.get("/api/v1/query", &params.collect::<Vec<_>>())
    };
    let count = |answer: &serde_json::Value| -> u64 {
        let text = answer["data"]["result"][0]["value"][1].as_str();
        text.unwrap_or_else(|| panic!("{answer}")).parse().unwrap()
    };
    let sound = ask(&[]);
    assert_eq!(sound["warnings"], serde_json::Value::Null, "{sound}");
    damage(&block.join("chunks/000001"));
    let answer = ask(&[]);
    assert!(count(&sound) - count(&answer) <= 1, "{sound} {answer}");
    let warnings = answer["warnings"].to_string();
    assert!(warnings.contains(&format!("block {id}: chunk of series {{__name__=")), "{answer}");
    let error = ask(&[("partial_response", "false")])["error"].to_string();
    assert!(error.contains(&format!("block {id}: chunk of series")), "{error}");
}
