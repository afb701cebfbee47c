//! Cases that send requests to servers. The servers of all subjects run all the time, and the subjects take turns.

use std::path::Path;

use tokio::runtime::Runtime;

use crate::answer::Answer;
use crate::calls::{self, Client, Pace, Request};
use crate::cli::CallFlags;
use crate::error::BenchError;
use crate::http_client::{HttpClient, Transport};
use crate::run::{Failure, Run};
use crate::server::Server;
use crate::session::Session;
use crate::store_client::StoreConnection;
use crate::subject::{Kind, Subject};
use crate::turns::{FirstRound, take_turns};

/// A case that sends requests to servers.
pub(super) struct ServerCase {
    pub name: String,
    /// Description of the request.
    pub what: String,
    /// Makes the request of call `n`. No two are equal, so that caches of answers do not help.
    pub request: Box<dyn Fn(u32) -> Request>,
    pub pace: Pace,
}

/// The running servers of one subject and the clients that ask them.
struct Running {
    servers: Vec<Server>,
    clients: Vec<Client>,
    /// A server that the others need and that is not measured.
    _behind: Option<Server>,
}

/// The servers of a subject, and how they are called.
pub(super) enum Setup<'a> {
    /// A store gateway over the bucket of this configuration.
    Store { config: &'a Path },
    /// A querier over a store gateway over the bucket, or a Prometheus server over copies of its blocks.
    Query { bucket: &'a Path, transport: Transport, probe: String, replicas: u8 },
    /// Store and querier in one process over the bucket, or a Prometheus server over copies of its blocks.
    Single { bucket: &'a Path, transport: Transport, probe: String },
    /// A sidecar beside a Prometheus server, which is not measured, over copies of the bucket's blocks.
    Sidecar { bucket: &'a Path, prometheus: &'a Subject },
}

/// Measures the cases with all subjects on the same data.
pub(super) fn measure(
    session: &mut Session,
    setup: &Setup<'_>,
    cases: &[ServerCase],
    repeat: bool,
) -> Result<(), BenchError> {
    // A single-threaded runtime, so that the client uses one CPU at most.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| BenchError::System { what: "a runtime", source })?;
    let mut running: Vec<Option<Running>> = session.subjects.iter().map(|_| None).collect();
    for case in cases {
        if !session.wants(&case.name) {
            continue;
        }
        let rounds = session.rounds(FirstRound::Apart);
        let measured = take_turns(&session.names(), rounds, |i, round| {
            let result =
                one(session, &runtime, setup, case, &mut running[i], i, if repeat { 0 } else { round });
            if let Err(failure) = &result
                && !failure.leaves_server()
            {
                running[i] = None;
            }
            result
        });
        session.add(&case.name, &case.what, None, measured)?;
    }
    Ok(())
}

fn one(
    session: &Session,
    runtime: &Runtime,
    setup: &Setup<'_>,
    case: &ServerCase,
    running: &mut Option<Running>,
    i: usize,
    variation: usize,
) -> Result<(Run, Answer), Failure> {
    let Running { servers, clients, .. } = match running {
        Some(running) => running,
        None => running.insert(start(session, runtime, setup, i)?),
    };
    while clients.len() < usize::from(case.pace.concurrency) {
        clients.push(client(runtime, setup, servers)?);
    }
    let first = variation as u32 * case.pace.calls;
    let request = |n| (case.request)(first + n);
    let refs: Vec<&Server> = servers.iter().collect();
    let clients = &mut clients[..usize::from(case.pace.concurrency)];
    let done = runtime.block_on(calls::run(&refs, clients, case.pace, session.limit, request));
    // A broken connection may mean that the process died.
    for server in servers {
        if !server.child.is_running() {
            return Err(Failure::Ended(server.child.last_line()));
        }
    }
    done
}

fn start(session: &Session, runtime: &Runtime, setup: &Setup<'_>, i: usize) -> Result<Running, Failure> {
    let subject = &session.subjects[i];
    let prepare = |error: BenchError| Failure::Prepare(error.to_string());
    let data = session.folder("server", i)?;
    let config = |bucket: &Path| session.scratch.bucket_config("bucket", bucket).map_err(prepare);
    let mut behind = None;
    let servers = match setup {
        Setup::Query { replicas: 2.., .. } if subject.kind == Kind::Prometheus => {
            return Err(Failure::Lacks("deduplication of replicas"));
        }
        Setup::Query { bucket, .. } | Setup::Single { bucket, .. } if subject.kind == Kind::Prometheus => {
            crate::folder::copy_blocks(bucket, &data).map_err(prepare)?;
            vec![Server::prometheus(subject, &data, session.limit)?]
        }
        Setup::Query { bucket, .. } => {
            let store = Server::store(subject, &config(bucket)?, &data, session.limit)?;
            let query = Server::query(subject, store.grpc, &data, session.limit)?;
            vec![store, query]
        }
        Setup::Single { bucket, .. } => {
            vec![Server::standalone(subject, &config(bucket)?, &data, session.limit)?]
        }
        Setup::Store { config } => vec![Server::store(subject, config, &data, session.limit)?],
        Setup::Sidecar { bucket, prometheus } => {
            crate::folder::copy_blocks(bucket, &data).map_err(prepare)?;
            let server = behind.insert(Server::prometheus(prometheus, &data, session.limit)?);
            vec![Server::sidecar(subject, server, &data, &[], session.limit)?]
        }
    };
    if let Setup::Query { probe, .. } | Setup::Single { probe, .. } = setup {
        wait_for_data(&servers, probe, session)?;
    }
    let clients = vec![client(runtime, setup, &servers)?];
    Ok(Running { servers, clients, _behind: behind })
}

/// A querier that is ready may not know yet what its store has.
fn wait_for_data(servers: &[Server], probe: &str, session: &Session) -> Result<(), Failure> {
    let Some(server) = servers.last() else { return Ok(()) };
    let began = std::time::Instant::now();
    while began.elapsed() < session.limit {
        let answer = crate::http_client::get_small(server.http, &format!("/api/v1/query?{probe}"));
        if answer.is_ok_and(|(status, text)| status == 200 && text.contains("\"metric\":")) {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    Err(Failure::Start(format!("it finds no data: {}", server.child.last_line())))
}

fn client(runtime: &Runtime, setup: &Setup<'_>, servers: &[Server]) -> Result<Client, Failure> {
    let Some(server) = servers.last() else { return Err(Failure::Prepare("no server".to_owned())) };
    match setup {
        Setup::Store { .. } | Setup::Sidecar { .. } => {
            runtime.block_on(StoreConnection::open(server.grpc)).map(Client::Store)
        }
        Setup::Query { transport, .. } | Setup::Single { transport, .. } => {
            Ok(Client::Http(HttpClient::new(server.http, *transport)))
        }
    }
}

/// The pace that the flags ask for.
pub(super) fn pace(flags: &CallFlags) -> Result<Pace, BenchError> {
    if let Some(qps) = flags.qps
        && !(qps > 0.0 && qps < 1e6)
    {
        return Err(BenchError::Flags(format!("--qps={qps}: expected more than 0 and less than 1,000,000")));
    }
    let calls = flags.calls.max(u32::from(flags.concurrency));
    Ok(Pace { calls, concurrency: flags.concurrency, qps: flags.qps })
}
