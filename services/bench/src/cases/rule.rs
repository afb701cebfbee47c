//! `bench rule`: rulers over one querier. All subjects run side by side, so that they evaluate the same slots.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use form_urlencoded::Serializer;
use tithon_engine::{BlockId, BlockMeta};
use tithon_synthetic::{Data, Profile};

use super::HOUR_MS;
use crate::answer::Answer;
use crate::cli::RuleFlags;
use crate::error::BenchError;
use crate::folder::block_names;
use crate::http_client::{HttpClient, Transport};
use crate::run::{Failure, Measured, Run};
use crate::server::{Server, Usage};
use crate::session::Session;
use crate::subject::{Subject, SubjectArg};
use crate::turns::{FirstRound, LoadWatch, verdict};

const PER_MINUTE: f64 = 10_000.0;
const RULES_PER_GROUP: usize = 100;
/// Intervals before the first that counts: by then all series are there, and all alerts have been active for their time.
const WARM_UP_INTERVALS: u32 = 3;
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
        "{n_rules} rules every {}, a tenth of them alerts; interval by interval",
        humantime::format_duration(flags.interval)
    );
    session.add(name, &what, None, measured)
}

/// A querier of this program over an hour of data before and two after now.
fn over_querier(session: &Session) -> Result<Server, Failure> {
    let prepare = |error: BenchError| Failure::Prepare(error.to_string());
    let now_ms = now_ms();
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
    make_older(&bucket, data.start_ms).map_err(prepare)?;
    let config = session.scratch.bucket_config("rule-bucket", &bucket).map_err(prepare)?;
    let server = Server::standalone(&this_program().map_err(prepare)?, &config, &dir, session.limit)?;
    wait_until(session.limit, || count(&server, "up") > 0)
        .then_some(server)
        .ok_or(Failure::Start("it finds no data".to_owned()))
}

/// Gives the blocks ids of the time `ms`. Theirs are of the end of their data, and stores leave out blocks of the future.
fn make_older(bucket: &Path, ms: i64) -> Result<(), BenchError> {
    for (i, name) in block_names(bucket)?.iter().enumerate() {
        let path = bucket.join(name).join("meta.json");
        let text = std::fs::read(&path).map_err(BenchError::io(&path))?;
        let refused = |error| BenchError::Flags(format!("{}: {error}", path.display()));
        let mut meta = BlockMeta::parse(&text).map_err(refused)?;
        meta.ulid = BlockId::from_parts(ms.unsigned_abs(), i as u128 + 1);
        meta.compaction.sources = vec![meta.ulid];
        std::fs::write(&path, meta.to_json()).map_err(BenchError::io(&path))?;
        let (from, to) = (bucket.join(name), bucket.join(meta.ulid.to_string()));
        std::fs::rename(&from, &to).map_err(BenchError::io(&from))?;
    }
    Ok(())
}

/// The current time in milliseconds since 1970.
fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
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

/// Starts all rulers, waits until every group has all its series and alerts, and measures interval by interval.
fn side_by_side(session: &Session, rules: &Path, querier: &Server, interval: Duration) -> Vec<Measured> {
    let mut servers: Vec<Result<Server, Failure>> = (0..session.subjects.len())
        .map(|i| {
            let dir: PathBuf = session.folder("rule", i)?;
            Server::rule(&session.subjects[i], rules, querier, &dir, session.limit)
        })
        .collect();
    std::thread::sleep(interval * WARM_UP_INTERVALS + GRACE);
    let mut all: Vec<Measured> =
        session.subjects.iter().map(|subject| Measured::new(&subject.name)).collect();
    let (rounds, begun) = (session.rounds(FirstRound::Counts), Instant::now());
    let mut end_ms = 0;
    for round in 0..rounds.most {
        if round > 0 && begun.elapsed() > rounds.enough {
            break;
        }
        let runs = one_interval(&servers, querier, interval);
        end_ms = now_ms();
        for (measured, run) in all.iter_mut().zip(runs) {
            measured.runs.extend(run);
        }
    }
    std::thread::sleep(GRACE);
    let mut reference = None;
    for (i, (server, measured)) in servers.iter_mut().zip(&mut all).enumerate() {
        let answer = match server {
            Ok(server) => results(session, i, server, end_ms, interval),
            Err(failure) => Err(failure.clone()),
        };
        match (answer, &reference) {
            (Err(failure), _) => measured.failure = Some(failure),
            (Ok(answer), None) => reference = Some(answer),
            (Ok(answer), Some(first)) => measured.answer = verdict(first, &answer),
        }
    }
    all
}

/// What a ruler had used and done at some time.
#[derive(Clone, Copy)]
struct State {
    usage: Usage,
    evaluations: f64,
    missed: f64,
}

fn state(server: &Server) -> State {
    State {
        usage: server.usage(),
        evaluations: server.counter("prometheus_rule_evaluations_total").unwrap_or_default(),
        missed: server.counter("prometheus_rule_group_iterations_missed_total").unwrap_or_default(),
    }
}

/// Measures all rulers that run over the same interval.
fn one_interval(
    servers: &[Result<Server, Failure>],
    querier: &Server,
    interval: Duration,
) -> Vec<Option<Run>> {
    let states =
        || -> Vec<Option<State>> { servers.iter().map(|server| server.as_ref().ok().map(state)).collect() };
    let (before, behind, watch) = (states(), querier.usage().cpu, LoadWatch::start());
    let begun = Instant::now();
    std::thread::sleep(interval);
    let (after, wall) = (states(), begun.elapsed().as_secs_f64());
    let pairs: Vec<Option<(State, State)>> = before.into_iter().zip(after).map(|(b, a)| b.zip(a)).collect();
    let own: f64 = pairs.iter().flatten().map(|(before, after)| after.usage.cpu - before.usage.cpu).sum();
    let foreign_load = watch.foreign_load(own + querier.usage().cpu - behind);
    let run = |(before, after): (State, State)| Run {
        wall,
        cpu: after.usage.cpu - before.usage.cpu,
        peak_bytes: after.usage.peak_bytes,
        resident_bytes: Some(after.usage.resident_bytes),
        descriptors: after.usage.descriptors,
        rules_per_minute: Some((after.evaluations - before.evaluations) * 60.0 / wall),
        missed: Some((after.missed - before.missed) as u64),
        foreign_load,
        ..Run::default()
    };
    pairs.into_iter().map(|pair| pair.map(run)).collect()
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
    if !wait_until(session.limit, || count(&querier, "count({ruler=\"one\",__name__!=\"\"})") > 0) {
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
    let (mut text, ms) = ("groups:\n".to_owned(), interval.as_millis());
    for i in 0..n_rules {
        if i % RULES_PER_GROUP == 0 {
            let group = i / RULES_PER_GROUP;
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
                "  - alert: Alert{i}\n    expr: {expression} > {}\n    for: {ms}ms\n    labels: {{severity: page}}\n    \
                 annotations: {{summary: '{{{{ $labels.job }}}} has {{{{ $value | humanize }}}}'}}",
                i % 3
            )
        } else {
            writeln!(text, "  - record: job:rule_{i}\n    expr: {expression}\n    labels: {{rule: '{i}'}}")
        };
    }
    text
}
