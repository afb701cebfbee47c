//! `bench rule`: rulers over one querier. All subjects run side by side for two intervals, so that they evaluate the same slots.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use form_urlencoded::Serializer;
use tithon_synthetic::{Data, Profile};

use super::HOUR_MS;
use crate::answer::Answer;
use crate::cli::RuleFlags;
use crate::error::BenchError;
use crate::http_client::{HttpClient, Transport};
use crate::run::{Failure, Measured, Run};
use crate::server::{Server, Usage};
use crate::session::Session;
use crate::subject::{Subject, SubjectArg};
use crate::turns::{LoadWatch, verdict};

const PER_MINUTE: f64 = 10_000.0;
const RULES_PER_GROUP: usize = 100;
/// Time for evaluations that are under way when results are asked for.
const GRACE: Duration = Duration::from_secs(5);

/// Measures the case.
pub(crate) fn rule(session: &mut Session, flags: &RuleFlags) -> Result<(), BenchError> {
    let name = "rule/10k-a-minute";
    if !session.wants(name) {
        return Ok(());
    }
    let n_rules = (session.scaled(PER_MINUTE as usize) as f64 * flags.interval.as_secs_f64() / 60.0) as usize;
    let n_rules = n_rules.max(1);
    let rules = session.scratch.path().join("rules.yml");
    std::fs::write(&rules, rule_file(n_rules, flags.interval)).map_err(BenchError::io(&rules))?;
    let measured = match over_querier(session) {
        Ok(querier) => side_by_side(session, &rules, &querier, flags.interval),
        Err(failure) => return Err(BenchError::Flags(format!("the querier of the rules: {failure}"))),
    };
    let what = format!(
        "{n_rules} rules every {}, a tenth of them alerts; over an interval",
        humantime::format_duration(flags.interval)
    );
    session.add(name, &what, None, measured)
}

/// A querier of this program over an hour of data before and two after now.
fn over_querier(session: &Session) -> Result<Server, Failure> {
    let prepare = |error: BenchError| Failure::Prepare(error.to_string());
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_millis() as i64);
    let data = Data {
        profile: Profile::K8s,
        series: session.scaled(10_000),
        interval_ms: 15_000,
        start_ms: now_ms / HOUR_MS * HOUR_MS - HOUR_MS,
        range_ms: 3 * HOUR_MS,
        block_ms: 2 * HOUR_MS,
        replicas: 1,
        seed: session.seed,
    };
    let (bucket, dir) =
        (session.scratch.path().join("rule-bucket"), session.scratch.path().join("standalone"));
    std::fs::create_dir_all(&bucket).map_err(|e| prepare(BenchError::io(&bucket)(e)))?;
    data.write(&bucket, &|_| {}).map_err(|error| prepare(error.into()))?;
    let config = session.scratch.bucket_config("rule-bucket", &bucket).map_err(prepare)?;
    let server = Server::standalone(&this_program().map_err(prepare)?, &config, &dir, session.limit)?;
    wait_until(session.limit, || count(&server, "up") > 0)
        .then_some(server)
        .ok_or(Failure::Start("it finds no data".to_owned()))
}

fn this_program() -> Result<Subject, BenchError> {
    let named = SubjectArg { name: "querier".to_owned(), program: "tithon".into() };
    Ok(Subject::all(std::slice::from_ref(&named))?.remove(0))
}

/// How many series an expression has now, as far as one can tell without reading the answer.
fn count(server: &Server, expression: &str) -> usize {
    let form = Serializer::new(String::new()).append_pair("query", expression).finish();
    let answer = crate::http_client::get_small(server.http, &format!("/api/v1/query?{form}"));
    answer.map_or(0, |(_, text)| text.matches("\"metric\":").count())
}

fn wait_until(limit: Duration, done: impl Fn() -> bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < limit {
        if done() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

fn side_by_side(session: &Session, rules: &Path, querier: &Server, interval: Duration) -> Vec<Measured> {
    let mut servers: Vec<Result<Server, Failure>> = (0..session.subjects.len())
        .map(|i| {
            let dir: PathBuf = session.folder("rule", i)?;
            Server::rule(&session.subjects[i], rules, querier, &dir, session.limit)
        })
        .collect();
    // Every group is evaluated once before it counts: by then all series are there.
    std::thread::sleep(interval + GRACE);
    let usage = |server: &Result<Server, Failure>| server.as_ref().map_or(Usage::default(), Server::usage);
    let before: Vec<Usage> = servers.iter().map(usage).collect();
    let behind = [querier.usage()];
    let watch = LoadWatch::start();
    std::thread::sleep(interval);
    let after: Vec<Usage> = servers.iter().map(usage).collect();
    let cpu = |after: &[Usage], before: &[Usage]| {
        after.iter().zip(before).map(|(after, before)| after.cpu - before.cpu).sum::<f64>()
    };
    let own = cpu(&after, &before) + cpu(&[querier.usage()], &behind);
    let foreign_load = watch.foreign_load(own);
    let end_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_millis() as i64);
    std::thread::sleep(GRACE);
    let mut all = Vec::new();
    let mut reference = None;
    for (i, server) in servers.iter_mut().enumerate() {
        let answer = match server {
            Ok(server) => results(session, i, server, end_ms, interval),
            Err(failure) => Err(failure.clone()),
        };
        let mut measured = Measured::new(&session.subjects[i].name);
        match answer {
            Err(failure) => measured.failure = Some(failure),
            Ok(answer) => {
                let (before, after) = (before[i], after[i]);
                measured.runs.push(Run {
                    wall: interval.as_secs_f64(),
                    cpu: after.cpu - before.cpu,
                    peak_bytes: after.peak_bytes,
                    resident_bytes: Some(after.resident_bytes),
                    descriptors: after.descriptors,
                    foreign_load,
                    ..Run::default()
                });
                match &reference {
                    None => reference = Some(answer),
                    Some(first) => measured.answer = verdict(first, &answer),
                }
            }
        }
        all.push(measured);
    }
    all
}

/// All samples of an interval that a ruler holds, read through a querier of this program. When an alert became active differs by when
/// a ruler was started, and is left out.
fn results(
    session: &Session,
    i: usize,
    server: &mut Server,
    end_ms: i64,
    interval: Duration,
) -> Result<Answer, Failure> {
    if !server.child.is_running() {
        return Err(Failure::Ended(server.child.last_line()));
    }
    let program = this_program().map_err(|error| Failure::Prepare(error.to_string()))?;
    let dir = session.folder("results", i)?;
    let querier = Server::query(&program, server.grpc, &dir, session.limit)?;
    if !wait_until(session.limit, || count(&querier, "count({ruler=\"one\"})") > 0) {
        return Err(Failure::Start(format!("no results: {}", server.child.last_line())));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Prepare(error.to_string()))?;
    let mut client = HttpClient::new(querier.http, Transport { fresh: false, post: true, gzip: false });
    let mut form = Serializer::new(String::new());
    let expression = format!("{{ruler=\"one\",__name__!=\"ALERTS_FOR_STATE\"}}[{}ms]", interval.as_millis());
    form.append_pair("query", &expression);
    form.append_pair("time", &format!("{}.{:03}", end_ms / 1000, end_ms % 1000));
    let (_, text) = runtime.block_on(client.ask("/api/v1/query", &form.finish()))?;
    Ok(Answer::Json(text))
}

/// The rules: sums and rates over single jobs and namespaces, a tenth of them alerts, some of which fire.
fn rule_file(n_rules: usize, interval: Duration) -> String {
    let mut text = "groups:\n".to_owned();
    for i in 0..n_rules {
        if i % RULES_PER_GROUP == 0 {
            let (group, ms) = (i / RULES_PER_GROUP, interval.as_millis());
            let _ = writeln!(text, "- name: group-{group}\n  interval: {ms}ms\n  rules:");
        }
        let job = format!("{}-{:02}", ["web", "worker", "cache", "api", "queue"][i % 5], i % 60);
        let expression = match i % 5 {
            0 => format!("sum by (job, code) (rate(apiserver_request_total{{job=\"{job}\"}}[5m]))"),
            1 => format!("sum by (job, handler) (apiserver_request_total{{job=\"{job}\",method=\"GET\"}})"),
            2 => format!("avg by (namespace, pod) (container_memory_rss{{job=\"{job}\"}})"),
            3 => format!("max by (pod) (container_threads{{job=\"{job}\"}})"),
            _ => format!("count by (job) (up{{job=\"{job}\"}} == 1)"),
        };
        // Writing to a string cannot fail.
        let _ = if i % 10 == 9 {
            writeln!(
                text,
                "  - alert: Alert{i}\n    expr: {expression} > {}\n    for: 1m\n    labels: {{severity: page}}\n    \
                 annotations: {{summary: '{{{{ $labels.job }}}} has {{{{ $value | humanize }}}}'}}",
                i % 3
            )
        } else {
            writeln!(text, "  - record: job:rule_{i}\n    expr: {expression}\n    labels: {{rule: '{i}'}}")
        };
    }
    text
}
