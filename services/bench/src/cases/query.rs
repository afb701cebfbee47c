//! `bench query`: PromQL over HTTP, to a querier over a store gateway, or to both in one process.

use std::path::Path;

use form_urlencoded::Serializer;
use tithon_synthetic::{Data, Profile};

use super::query_set::{DASHBOARD, DEDUPLICATED, EXPRESSIONS, SMALL};
use super::servers::{ServerCase, Setup, measure, pace};
use super::{HOUR_MS, START_MS};
use crate::calls::{Pace, Request};
use crate::cli::QueryFlags;
use crate::error::BenchError;
use crate::http_client::Transport;
use crate::session::Session;

const STEP_S: i64 = 60;
/// Calls per run when the latency of small answers is measured.
const SMALL_CALLS: u32 = 500;
/// Calls per run, and concurrent calls, when the throughput of small queries is measured.
const DASHBOARD_CALLS: u32 = 8000;
const DASHBOARD_CLIENTS: u16 = 8;
const DASHBOARD_STEP_S: i64 = 15;
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Measures all cases.
pub(crate) fn query(session: &mut Session, flags: &QueryFlags) -> Result<(), BenchError> {
    let single = data(session, 10_000, 1);
    let cases = single_cases(flags, &single)?;
    run(session, flags, "query", &single, &cases)?;
    if flags.queries.is_none() {
        let fine = Data { interval_ms: 15_000, range_ms: 6 * HOUR_MS, block_ms: 6 * HOUR_MS, ..single };
        let cases = dashboard_cases(flags, &fine)?;
        run(session, flags, "query-dashboard", &fine, &cases)?;
        let replicas = data(session, 100_000, 2);
        let cases = deduplicated_cases(flags, &replicas)?;
        run(session, flags, "query-replicas", &replicas, &cases)?;
    }
    Ok(())
}

/// Twelve hours of data of a Kubernetes cluster.
fn data(session: &Session, series: usize, replicas: u8) -> Data {
    Data {
        profile: Profile::K8s,
        series: session.scaled(series),
        interval_ms: 30_000,
        start_ms: START_MS,
        range_ms: 12 * HOUR_MS,
        block_ms: 12 * HOUR_MS,
        replicas,
        seed: session.seed,
    }
}

fn run(
    session: &mut Session,
    flags: &QueryFlags,
    name: &str,
    data: &Data,
    cases: &[ServerCase],
) -> Result<(), BenchError> {
    if !cases.iter().any(|case| session.wants(&case.name)) {
        return Ok(());
    }
    let bucket = session.data(name, std::slice::from_ref(data))?;
    let transport = Transport { fresh: flags.fresh, post: flags.post, gzip: flags.gzip };
    let mut probe = Serializer::new(String::new());
    probe.append_pair("query", "count(up)");
    probe.append_pair("time", &((data.start_ms + data.range_ms / 2) / 1000).to_string());
    let (bucket, probe) = (bucket.as_path(), probe.finish());
    let setup = match name {
        "query-dashboard" => Setup::Single { bucket, transport, probe },
        _ => Setup::Query { bucket, transport, probe, replicas: data.replicas },
    };
    measure(session, &setup, cases, flags.call.repeat)
}

fn single_cases(flags: &QueryFlags, data: &Data) -> Result<Vec<ServerCase>, BenchError> {
    let pace = pace(&flags.call)?;
    let case =
        |name: &str, expression: &str| case(format!("query/{name}"), expression, flags.instant, data, pace);
    if let Some(path) = &flags.queries {
        let list = expressions(path)?;
        return Ok(list.iter().enumerate().map(|(i, e)| case(&format!("line-{}", i + 1), e)).collect());
    }
    let mut cases: Vec<ServerCase> =
        EXPRESSIONS.iter().map(|(name, expression)| case(name, expression)).collect();
    cases.extend(SMALL.iter().map(|(name, expression, steps)| {
        let calls = if flags.call.calls > 1 { pace.calls } else { SMALL_CALLS };
        let (end, length) = ((data.start_ms + data.range_ms) / 1000, steps * STEP_S);
        let expression = (*expression).to_owned();
        ServerCase {
            name: format!("query-small/{name}"),
            what: format!("{expression}, {calls} calls"),
            // Each call's range is a second later than the last one's.
            request: Box::new(move |n| {
                let end = end - i64::from(n % 3600);
                range(&expression, end - length, end)
            }),
            pace: Pace { calls, ..pace },
        }
    }));
    Ok(cases)
}

/// Queries like those of dashboard panels, several at a time.
fn dashboard_cases(flags: &QueryFlags, data: &Data) -> Result<Vec<ServerCase>, BenchError> {
    let pace = pace(&flags.call)?;
    let calls = if flags.call.calls > 1 { pace.calls } else { DASHBOARD_CALLS };
    let concurrency = if flags.call.concurrency > 1 { pace.concurrency } else { DASHBOARD_CLIENTS };
    let cases = DASHBOARD.iter().map(|(name, expression, steps)| {
        let (end, length) = ((data.start_ms + data.range_ms) / 1000, steps * DASHBOARD_STEP_S);
        let expression = (*expression).to_owned();
        ServerCase {
            name: format!("query-dashboard/{name}"),
            what: format!("{expression}, {calls} calls, {concurrency} at a time"),
            // Each call is a second later, so that no cache of answers helps.
            request: Box::new(move |n| {
                let end = end - 1 - i64::from(n % 3600);
                if length == 0 {
                    at(&expression, end)
                } else {
                    range_by(&expression, end - length, end, DASHBOARD_STEP_S)
                }
            }),
            pace: Pace { calls, concurrency, ..pace },
        }
    });
    Ok(cases.collect())
}

fn deduplicated_cases(flags: &QueryFlags, data: &Data) -> Result<Vec<ServerCase>, BenchError> {
    let pace = pace(&flags.call)?;
    let wanted = EXPRESSIONS.iter().filter(|(name, _)| DEDUPLICATED.contains(name));
    let case =
        |(name, e): &(&str, &str)| case(format!("query-replicas/{name}"), e, flags.instant, data, pace);
    Ok(wanted.map(case).collect())
}

/// A range query over the whole range, or an instant query at its end.
fn case(name: String, expression: &str, instant: bool, data: &Data, pace: Pace) -> ServerCase {
    let (start, end) = (data.start_ms / 1000, (data.start_ms + data.range_ms) / 1000 - 1);
    let expression = expression.to_owned();
    let what = expression.clone();
    let request = move |n: u32| {
        // Each call is a second later, so that no cache of answers helps.
        let shift = i64::from(n % 60);
        if instant { at(&expression, end - 60 + shift) } else { range(&expression, start + shift, end) }
    };
    ServerCase { name, what, request: Box::new(request), pace }
}

fn range(expression: &str, start: i64, end: i64) -> Request {
    range_by(expression, start, end, STEP_S)
}

fn range_by(expression: &str, start: i64, end: i64, step: i64) -> Request {
    let mut form = Serializer::new(String::new());
    form.append_pair("query", expression);
    for (name, value) in [("start", start), ("end", end), ("step", step)] {
        form.append_pair(name, &value.to_string());
    }
    Request::Http { path: "/api/v1/query_range", form: form.finish() }
}

fn at(expression: &str, time: i64) -> Request {
    let mut form = Serializer::new(String::new());
    form.append_pair("query", expression).append_pair("time", &time.to_string());
    Request::Http { path: "/api/v1/query", form: form.finish() }
}

/// Reads the expressions in a file, one per line.
fn expressions(path: &Path) -> Result<Vec<String>, BenchError> {
    let len = std::fs::metadata(path).map_err(BenchError::io(path))?.len();
    if len > FILE_BYTES_MAX {
        return Err(BenchError::Flags(format!(
            "{}: more than {FILE_BYTES_MAX} bytes of queries",
            path.display()
        )));
    }
    let text = std::fs::read_to_string(path).map_err(BenchError::io(path))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let list: Vec<String> = lines.map(str::to_owned).collect();
    if list.is_empty() {
        return Err(BenchError::Flags(format!("{}: no expression", path.display())));
    }
    Ok(list)
}
