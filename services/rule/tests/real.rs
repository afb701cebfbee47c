//! A ruler between a real Prometheus, which it asks and writes to, and a real Alertmanager.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use reqwest::Client;
use serde_json::Value;
use tithon_index::Labels;
use tithon_promql::ParseOptions;
use tithon_proto::{WriteVersion, WrittenValue, joined_write_request};
use tithon_rule::{
    AlertLabelling, AlertQueue, AlertSender, Generator, Manager, ManagerOptions, Queriers, QueryOptions,
    RemoteWrite, RuleMetrics, SenderOptions, Storage, alertmanager_of, parse_remote_write, queriers_of,
};
use tithon_runtime::{ClientTlsOptions, Metrics, Shutdown, TlsVersion};
use tithon_testdata::free_port;

const PATIENCE: Duration = Duration::from_secs(60);

/// A program that runs until the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a program of the system; `None` where it is not installed, unless `TITHON_SERVERS=1`, as in CI, says that it must be.
fn start(program: &str, args: &[String]) -> Option<Running> {
    let mut command = Command::new(program);
    match command.args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
        Ok(child) => Some(Running(child)),
        Err(error) => {
            assert!(std::env::var_os("TITHON_SERVERS").is_none(), "{program}: {error}");
            eprintln!("skipped: {program} is not installed");
            None
        }
    }
}

fn prometheus(dir: &Path, port: u16) -> Option<Running> {
    let config = format!(
        "global: {{scrape_interval: 500ms, scrape_timeout: 400ms}}\n\
         scrape_configs: [{{job_name: self, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n"
    );
    std::fs::write(dir.join("prometheus.yml"), config).unwrap();
    let dir = dir.display();
    let args = [
        format!("--config.file={dir}/prometheus.yml"),
        format!("--storage.tsdb.path={dir}/data"),
        format!("--web.listen-address=127.0.0.1:{port}"),
        "--web.enable-remote-write-receiver".to_owned(),
    ];
    start("prometheus", &args)
}

fn alertmanager(dir: &Path, port: u16) -> Option<Running> {
    std::fs::write(dir.join("am.yml"), "route: {receiver: none}\nreceivers: [{name: none}]\n").unwrap();
    let args = [
        format!("--config.file={}/am.yml", dir.display()),
        format!("--storage.path={}/am", dir.display()),
        format!("--web.listen-address=127.0.0.1:{port}"),
        "--cluster.listen-address=".to_owned(),
    ];
    start("prometheus-alertmanager", &args)
}

fn client() -> Client {
    let options = ClientTlsOptions {
        ca: None,
        identity: None,
        server_name: None,
        skip_verify: true,
        min_version: TlsVersion::V12,
    };
    let tls = tithon_runtime::http_tls(&options).unwrap();
    Client::builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap()
}

async fn get(url: &str) -> Option<Value> {
    let text = client().get(url).send().await.ok()?.text().await.ok()?;
    serde_json::from_str(&text).ok()
}

/// Asks until the answer is as wanted.
async fn until<T>(what: &str, mut asked: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = asked().await {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The result of an expression, when it has one.
async fn result(port: u16, expression: &str) -> Option<Vec<Value>> {
    let mut url: reqwest::Url = format!("http://127.0.0.1:{port}/api/v1/query").parse().unwrap();
    url.query_pairs_mut().append_pair("query", expression);
    let found = get(url.as_str()).await?["data"]["result"].as_array()?.clone();
    (!found.is_empty()).then_some(found)
}

struct Ruler {
    manager: Manager,
    registry: Metrics,
    shutdown: Shutdown,
}

fn ruler(dir: &Path, prometheus: u16, alertmanager: u16, tolerance: u64) -> Ruler {
    let (registry, shutdown) = (Metrics::new("test"), Shutdown::default());
    let metrics = RuleMetrics::new(&registry);
    let query_options = QueryOptions {
        is_post: true,
        only_prometheus_params: false,
        restore_step: Duration::from_secs(1),
        restore_ignored_labels: vec!["cluster".to_owned()],
        dns_interval: Duration::from_secs(30),
        timeout: Duration::from_secs(10),
    };
    let addresses = [format!("127.0.0.1:{prometheus}")];
    let configs = queriers_of(&addresses, &[], Duration::from_secs(300)).unwrap();
    let queriers = Queriers::new(configs, query_options, &registry, metrics.clone()).unwrap();
    let external = Labels::from_pairs([("cluster", "eu")]);
    let yaml = format!("remote_write: [{{url: 'http://127.0.0.1:{prometheus}/api/v1/write', name: p}}]");
    let remotes = parse_remote_write(&yaml).unwrap();
    let remote = RemoteWrite::open(&dir.join("queue"), &external, remotes, &registry).unwrap();
    let labelling = AlertLabelling { external_labels: external.clone(), ..AlertLabelling::default() };
    let queue = AlertQueue::new(labelling, metrics.clone());
    let url = format!("http://127.0.0.1:{alertmanager}");
    let managers = vec![alertmanager_of(&url, Duration::from_secs(5)).unwrap()];
    let sender_options = SenderOptions { dns_interval: Duration::from_secs(30) };
    let sender = AlertSender::new(managers, sender_options, &registry, metrics.clone()).unwrap();
    let options = ManagerOptions {
        rule_files: vec![format!("{}/rules*.yml", dir.display())],
        data_dir: dir.display().to_string(),
        eval_interval: Duration::from_secs(1),
        query_offset: Duration::ZERO,
        concurrent_evaluations: 4,
        resend_delay: Duration::from_secs(1),
        for_outage_tolerance: Duration::from_secs(tolerance),
        for_grace_period: Duration::from_secs(1),
        external_url: "http://q".to_owned(),
        external_labels: external,
        parse: ParseOptions::default(),
    };
    let generator = Generator::new("http://q", "/graph?g0.expr={{.Expr}}").unwrap();
    let storage = Storage::Remote(remote.clone());
    let manager =
        Manager::new(options, queriers.clone(), storage, queue.clone(), generator, metrics, shutdown.clone());
    let manager = manager.unwrap();
    let (a, b, c) = (shutdown.clone(), shutdown.clone(), shutdown.clone());
    tokio::spawn(async move { remote.send_all(&a).await });
    tokio::spawn(async move { sender.send_all(&queue, &b).await });
    tokio::spawn(async move { queriers.keep(&c).await });
    Ruler { manager, registry, shutdown }
}

const RULES: &str = "
groups:
- name: lab
  rules:
  - {record: 'job:up:sum', expr: sum by (job) (up), labels: {level: job}}
  - {record: 'double', expr: 'job:up:sum * 2'}
  - alert: Up
    expr: up == 1
    labels: {severity: '{{ if eq $value 1.0 }}info{{ end }}'}
    annotations: {text: '{{ $labels.instance }} of {{ $externalLabels.cluster }}: {{ with query \"vector(7)\" }}{{ . | first | value }}{{ end }}'}
  - {alert: Pending, expr: up == 1, for: 1h}
  - {record: 'broken', expr: 'up * on (job) group_left prometheus_http_requests_total'}
";

#[tokio::test(flavor = "multi_thread")]
async fn results_alerts_and_reloads() {
    let dir = tempfile::tempdir().unwrap();
    let (port, am_port) = (free_port(), free_port());
    let Some(_prometheus) = prometheus(dir.path(), port) else { return };
    let alertmanager = alertmanager(dir.path(), am_port);
    until("Prometheus scrapes itself", async || result(port, "up == 1").await).await;
    std::fs::write(dir.path().join("rules.yml"), RULES).unwrap();
    let ruler = ruler(dir.path(), port, am_port, 3600);
    ruler.manager.reload().await.unwrap();

    let recorded = until("a recorded series", async || result(port, "double").await).await;
    let labels = &recorded[0]["metric"];
    assert_eq!((labels["job"].as_str(), labels["cluster"].as_str()), (Some("self"), Some("eu")));
    assert_eq!(recorded[0]["value"][1].as_str(), Some("2"));
    let firing = until("ALERTS", async || result(port, "ALERTS{alertstate=\"firing\"}").await).await;
    assert_eq!(firing[0]["metric"]["severity"].as_str(), Some("info"));
    let since =
        until("ALERTS_FOR_STATE", async || result(port, "ALERTS_FOR_STATE{alertname=\"Pending\"}").await);
    let since = since.await[0]["value"][1].as_str().unwrap().to_owned();

    if alertmanager.is_some() {
        let url = format!("http://127.0.0.1:{am_port}/api/v2/alerts");
        let alerts = until("an alert", async || get(&url).await.filter(|all| !all[0].is_null())).await;
        let alert = &alerts[0];
        assert_eq!(alert["labels"]["cluster"].as_str(), Some("eu"));
        assert_eq!(
            alert["annotations"]["text"].as_str(),
            Some(format!("127.0.0.1:{port} of eu: 7").as_str())
        );
        assert_eq!(alert["generatorURL"].as_str(), Some("http://q/graph?g0.expr=up+%3D%3D+1"));
        assert_eq!(alerts.as_array().map(Vec::len), Some(1), "a pending alert is not sent");
    }

    let told = ruler.manager.told();
    let health = |name: &str| {
        let rule = told[0].rules.iter().find(|rule| rule.name == name).unwrap();
        (rule.health.clone(), rule.last_error.contains("group"))
    };
    assert_eq!(health("double"), ("ok".to_owned(), false));
    assert_eq!(health("broken"), ("err".to_owned(), true));

    // A file with a fault is told, and the groups of it that were there go on.
    std::fs::write(dir.path().join("rules-bad.yml"), "groups: [{name: x, rules: [{record: a}]}]").unwrap();
    let error = ruler.manager.reload().await.unwrap_err().to_string();
    assert!(
        error.contains("rules-bad.yml:1:28: group \"x\", rule 1, \"a\": field 'expr' must be set"),
        "{error}"
    );
    std::fs::write(dir.path().join("rules.yml"), "groups: [{name: lab, rules: [{alert: A}]}]").unwrap();
    assert!(ruler.manager.reload().await.is_err());
    assert_eq!(ruler.manager.told()[0].rules.len(), 5);
    assert!(ruler.registry.text().contains("thanos_rule_config_last_reload_successful 0"));
    std::fs::remove_file(dir.path().join("rules-bad.yml")).unwrap();

    // A rule that is taken away ends its series.
    let without = RULES.replace("  - {record: 'double', expr: 'job:up:sum * 2'}\n", "");
    std::fs::write(dir.path().join("rules.yml"), without).unwrap();
    ruler.manager.reload().await.unwrap();
    until("the end of a series", async || result(port, "absent(double)").await).await;
    assert!(result(port, "count_over_time(double[5m])").await.is_some());

    // The next process knows since when alerts hold.
    ruler.manager.stop().await;
    ruler.shutdown.trigger();
    let next = self::ruler(dir.path(), port, am_port, 3600);
    next.manager.reload().await.unwrap();
    let restored = until("a restored alert", async || {
        let told = next.manager.told();
        let rule = told[0].rules.iter().find(|rule| rule.name == "Pending")?;
        let alert = rule.alerting.as_ref()?.alerts.first()?.clone();
        // The time without a ruler does not count, so that the beginning moves a few seconds.
        let at = alert.active_at?.seconds - since.parse::<f64>().unwrap() as i64;
        let two_evaluations = rule.last_evaluation.seconds - alert.active_at?.seconds > 3;
        (two_evaluations && (0..30).contains(&at)).then_some(at)
    });
    restored.await;
    next.manager.stop().await;
    next.shutdown.trigger();
}

#[tokio::test(flavor = "multi_thread")]
async fn queued_results_survive_an_end_and_come_once_the_server_does() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let external = Labels::from_pairs([("cluster", "eu")]);
    let yaml = format!(
        "remote_write: [{{url: 'http://127.0.0.1:{port}/api/v1/write', queue_config: {{max_backoff: 200ms}}}}]"
    );
    let open = || {
        let configs = parse_remote_write(&yaml).unwrap();
        RemoteWrite::open(&dir.path().join("queue"), &external, configs, &Metrics::new("test")).unwrap()
    };
    let now = tithon_rule::At::now().millis();
    let request = |i: i64| {
        let labels = Labels::from_pairs([("__name__", "queued")]);
        let value = tithon_proto::WrittenValue::Float(i as f64);
        tithon_proto::write_request([(&labels, now - 10_000 + i * 100, value)])
    };
    // Nobody takes these: the process ends before the server is there.
    let first = open();
    let shutdown = Shutdown::default();
    let sending = tokio::spawn({
        let (first, shutdown) = (first.clone(), shutdown.clone());
        async move { first.send_all(&shutdown).await }
    });
    (0..50).for_each(|i| first.append_encoded(&request(i)).unwrap());
    tokio::time::sleep(Duration::from_millis(300)).await;
    sending.abort();
    drop(first);
    let Some(_prometheus) = prometheus(dir.path(), port) else { return };
    let second = open();
    (50..60).for_each(|i| second.append_encoded(&request(i)).unwrap());
    let keep = second.clone();
    tokio::spawn(async move { keep.send_all(&Shutdown::default()).await });
    until("all samples", async || {
        let found = result(port, "count_over_time(queued{cluster=\"eu\"}[1m])").await?;
        (found[0]["value"][1].as_str() == Some("60")).then_some(())
    })
    .await;
}

/// Takes requests: the first one fails, the third one is answered as by a server that knows version 1 only.
async fn receiver(seen: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>) -> SocketAddr {
    let take = async move |headers: HeaderMap, body: Bytes| {
        let mut seen = seen.lock().unwrap();
        seen.push((headers, body));
        match seen.len() {
            1 => (StatusCode::SERVICE_UNAVAILABLE, HeaderMap::new()),
            2 => {
                let written = [("x-prometheus-remote-write-samples-written", "2")];
                let pair = |(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
                (StatusCode::NO_CONTENT, written.map(pair).into_iter().collect())
            }
            _ => (StatusCode::NO_CONTENT, HeaderMap::new()),
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new().route("/write", axum::routing::post(take));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn version_2_is_sent_again_and_counted_when_it_is_confirmed() {
    let (dir, registry) = (tempfile::tempdir().unwrap(), Metrics::new("test"));
    let seen = Arc::default();
    let address = receiver(Arc::clone(&seen)).await;
    let yaml = format!(
        "remote_write: [{{url: 'http://{address}/write', protobuf_message: io.prometheus.write.v2.Request, \
         name: two}}]"
    );
    let external = Labels::from_pairs([("cluster", "eu")]);
    let configs = parse_remote_write(&yaml).unwrap();
    let remote = RemoteWrite::open(dir.path(), &external, configs, &registry).unwrap();
    let labels = Labels::from_pairs([("__name__", "lab:up")]);
    let request = |t: i64| {
        let value = |i| WrittenValue::Float(i as f64);
        tithon_proto::write_request([(&labels, t, value(t)), (&labels, t + 1, value(t + 1))])
    };
    remote.append_encoded(&request(1)).unwrap();
    let sending = remote.clone();
    tokio::spawn(async move { sending.send_all(&Shutdown::default()).await });
    let counted = |name: &str, n: usize| {
        let line = format!("prometheus_remote_storage_{name}_total{{remote_name=\"two\"");
        let text = registry.text();
        text.lines().any(|found| found.starts_with(&line) && found.ends_with(&format!(" {n}")))
    };
    until("the second attempt", async || counted("samples", 2).then_some(())).await;
    remote.append_encoded(&request(3)).unwrap();
    until("an answer that confirms nothing", async || counted("samples_failed", 2).then_some(())).await;
    let seen = seen.lock().unwrap();
    let header = |i: usize, name: &str| seen[i].0.get(name).map(|value| value.to_str().unwrap().to_owned());
    for i in 0..3 {
        let kind = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
        assert_eq!(header(i, "content-type").as_deref(), Some(kind));
        assert_eq!(header(i, "x-prometheus-remote-write-version").as_deref(), Some("2.0.0"));
        assert_eq!(header(i, "content-encoding").as_deref(), Some("snappy"));
    }
    assert_eq!([0, 1, 2].map(|i| header(i, "retry-attempt")), [None, Some("1".to_owned()), None]);
    let with_cluster = Labels::from_pairs([("__name__", "lab:up"), ("cluster", "eu")]);
    let expected =
        joined_write_request([&request(1)[..]], |_| Some(with_cluster.clone()), WriteVersion::V2).unwrap().0;
    let body = snap::raw::Decoder::new().decompress_vec(&seen[1].1).unwrap();
    assert_eq!((&body, &seen[0].1), (&expected, &seen[1].1));
}
