//! Makes the calls of a run: concurrently, at a fixed rate or as fast as answers come, and measures them.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use crate::answer::Answer;
use crate::http_client::HttpClient;
use crate::run::{Call, Failure, Run, median, p99};
use crate::server::{Reads, Server, Usage};
use crate::store_client::{Question, StoreConnection};
use crate::turns::LoadWatch;

/// The number of calls in a run, and their rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub calls: u32,
    pub concurrency: u16,
    /// Largest number of calls per second; `None` for no limit.
    pub qps: Option<f64>,
}

/// A client for one subject.
#[derive(Debug)]
pub(crate) enum Client {
    Store(StoreConnection),
    Http(HttpClient),
}

/// A request to a subject.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Store(Question),
    Http { path: &'static str, form: String },
}

impl Client {
    async fn ask(&mut self, request: &Request) -> Result<(Call, Answer), Failure> {
        match (self, request) {
            (Client::Store(connection), Request::Store(question)) => connection.ask(question).await,
            (Client::Http(client), Request::Http { path, form }) => {
                let (call, text) = client.ask(path, form).await?;
                Ok((call, Answer::Json(text)))
            }
            _ => Err(Failure::Prepare("a request for another kind of server".to_owned())),
        }
    }
}

/// Makes one run and adds up the usage of `servers`; `request(n)` makes the request of call number `n`. Returns the
/// answer to the last call.
pub(crate) async fn run(
    servers: &[&Server],
    clients: &mut [Client],
    pace: Pace,
    limit: Duration,
    request: impl Fn(u32) -> Request,
) -> Result<(Run, Answer), Failure> {
    servers.iter().for_each(|server| crate::proc::reset_peak(server.child.pid()));
    let (before, read_before, watch) = (usage(servers), reads(servers), LoadWatch::start());
    let began = Instant::now();
    let (next, calls, answer) = (Cell::new(0), RefCell::new(Vec::new()), RefCell::new(Answer::Nothing));
    let workers = clients.iter_mut().map(|client| async {
        loop {
            let n = next.get();
            if n >= pace.calls {
                return Ok(());
            }
            next.set(n + 1);
            if let Some(qps) = pace.qps {
                let due = began + Duration::from_secs_f64(f64::from(n) / qps);
                tokio::time::sleep_until(due.into()).await;
            }
            let (call, said) = client.ask(&request(n)).await?;
            calls.borrow_mut().push(call);
            if n + 1 == pace.calls {
                answer.replace(said);
            }
        }
    });
    let all = futures::future::try_join_all(workers);
    tokio::time::timeout(limit, all).await.map_err(|_| Failure::TimedOut(limit))??;
    let wall = began.elapsed().as_secs_f64();
    let after = usage(servers);
    let cpu = after.cpu - before.cpu;
    let foreign_load = watch.foreign_load(cpu);
    let calls = calls.into_inner();
    let walls = || calls.iter().map(|call| call.wall).collect::<Vec<_>>();
    let read = read_before.zip(reads(servers)).map(|(before, after)| after.since(&before));
    let run = Run {
        wall: median(walls()).unwrap_or(wall),
        p99: p99(walls()),
        first_byte: median(calls.iter().map(|call| call.first_byte).collect()),
        cpu,
        calls_per_second: (pace.calls > 1).then_some(f64::from(pace.calls) / wall),
        peak_bytes: after.peak_bytes,
        resident_bytes: Some(after.resident_bytes),
        bytes: calls.last().map(|call| call.bytes),
        descriptors: after.descriptors,
        reads: read,
        files: None,
        rules_per_minute: None,
        missed: None,
        foreign_load,
    };
    Ok((run, answer.into_inner()))
}

fn usage(servers: &[&Server]) -> Usage {
    servers.iter().map(|server| server.usage()).fold(Usage::default(), |a, b| Usage {
        cpu: a.cpu + b.cpu,
        peak_bytes: a.peak_bytes + b.peak_bytes,
        resident_bytes: a.resident_bytes + b.resident_bytes,
        descriptors: a.descriptors + b.descriptors,
    })
}

/// What the first server read, the one that has a bucket.
fn reads(servers: &[&Server]) -> Option<Reads> {
    servers.first().and_then(|server| server.reads())
}
