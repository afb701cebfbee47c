//! Servers that answer `Series` wrongly in the ways that `hostile` does not cover: the other stores' answers are given
//! in bounded time, with a warning that says what was wrong.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use serde_json::{Value, json};
use tithon_chunks::XorEncoder;
use tithon_proto::thanos::info::info_server::{Info, InfoServer};
use tithon_proto::thanos::info::{InfoRequest, InfoResponse, StoreInfo};
use tithon_proto::thanos::store_server::{Store, StoreServer};
use tithon_proto::thanos::{
    AggrChunk, Chunk, Label, LabelNamesRequest, LabelNamesResponse, LabelValuesRequest, LabelValuesResponse,
    Series, SeriesRequest, SeriesResponse, series_response,
};
use tithon_query::QueryOptions;
use tithon_runtime::GrpcServices;
use tonic::{Code, Request, Response, Status};

use crate::endpoints::{endpoint, get, serve_grpc};
use crate::{ask, serve, sources};

const NOW_MS: i64 = 1_710_040_000_000;

/// How a server answers `Series`.
#[derive(Clone, Copy, Debug)]
enum Peer {
    /// An error, at once.
    Refuses(Code),
    /// A series, then an error.
    FailsInMidStream(Code),
    /// A series, then nothing.
    HangsInMidStream,
    /// Series in descending order.
    Unordered,
    /// The same series again and again.
    Repeats,
    /// A label of 64 MiB.
    LongLabel,
    /// Chunks whose time range is all of time.
    AbsurdTimes,
    /// Labels that are not UTF-8, out of order, or duplicate.
    OddLabels,
    /// Messages without content.
    SendsNothing,
    /// Warnings of 1 MiB without end.
    WarnsWithoutEnd,
    /// Series without end, each another one with 64 KiB of labels.
    SendsWithoutEnd,
    /// A chunk whose bytes are none.
    DamagedChunk,
}

fn chunk(min_time: i64, max_time: i64) -> AggrChunk {
    let mut encoder = XorEncoder::new();
    (0..60).for_each(|i| encoder.push(NOW_MS - 900_000 + i * 15_000, 1.0));
    let raw = Some(Chunk { r#type: 0, data: encoder.finish().into(), hash: 0 });
    AggrChunk { min_time, max_time, raw, ..AggrChunk::default() }
}

fn labels(pairs: &[(&'static str, &'static [u8])]) -> Vec<Label> {
    let label = |(name, value): &(&'static str, &'static [u8])| Label {
        name: Bytes::from_static(name.as_bytes()),
        value: Bytes::from_static(value),
    };
    pairs.iter().map(label).collect()
}

fn answer(labels: Vec<Label>, chunk: AggrChunk) -> Result<SeriesResponse, Status> {
    let series = Series { labels, chunks: vec![chunk] };
    Ok(SeriesResponse { result: Some(series_response::Result::Series(series)) })
}

/// A valid series.
fn up(job: &'static [u8]) -> Result<SeriesResponse, Status> {
    answer(labels(&[("__name__", b"up"), ("job", job)]), chunk(NOW_MS - 900_000, NOW_MS - 15_000))
}

#[tonic::async_trait]
impl Store for Peer {
    type SeriesStream = BoxStream<'static, Result<SeriesResponse, Status>>;

    async fn series(&self, _: Request<SeriesRequest>) -> Result<Response<Self::SeriesStream>, Status> {
        let frames = match *self {
            Peer::Refuses(code) => return Err(Status::new(code, "no")),
            Peer::FailsInMidStream(code) => stream::iter([up(b"peer"), Err(Status::new(code, "no"))]).boxed(),
            Peer::HangsInMidStream => stream::iter([up(b"peer")]).chain(stream::pending()).boxed(),
            Peer::Unordered => stream::iter([up(b"peer-b"), up(b"peer-a")]).boxed(),
            Peer::Repeats => stream::iter((0..1000).map(|_| up(b"peer"))).boxed(),
            Peer::LongLabel => {
                let mut labels = labels(&[("__name__", b"up"), ("z", b"")]);
                labels[1].value = vec![b'x'; 64 << 20].into();
                stream::iter([answer(labels, chunk(NOW_MS - 900_000, NOW_MS - 15_000))]).boxed()
            }
            Peer::AbsurdTimes => {
                let times = [(i64::MIN, i64::MAX), (i64::MAX, i64::MIN), (0, 0)];
                let one =
                    |(min, max)| answer(labels(&[("__name__", b"up"), ("job", b"peer")]), chunk(min, max));
                stream::iter(times.map(one)).boxed()
            }
            Peer::OddLabels => {
                let odd = labels(&[
                    ("z", b"1"),
                    ("__name__", b"up"),
                    ("job", b"\xff\xfe"),
                    ("job", b"x"),
                    ("", b""),
                ]);
                stream::iter([answer(odd, chunk(NOW_MS - 900_000, NOW_MS - 15_000))]).boxed()
            }
            Peer::SendsNothing => {
                stream::iter((0..1000).map(|_| Ok(SeriesResponse { result: None }))).boxed()
            }
            Peer::WarnsWithoutEnd => {
                let warning = || series_response::Result::Warning("x".repeat(1 << 20));
                stream::iter((0_u64..).map(move |_| Ok(SeriesResponse { result: Some(warning()) }))).boxed()
            }
            Peer::SendsWithoutEnd => {
                let one = |i: u64| {
                    let mut labels = labels(&[("__name__", b"up"), ("z", b"")]);
                    labels[1].value = format!("{i:020}{}", "x".repeat(64 << 10)).into();
                    answer(labels, chunk(NOW_MS - 900_000, NOW_MS - 15_000))
                };
                stream::iter((0..).map(one)).boxed()
            }
            Peer::DamagedChunk => {
                let mut chunk = chunk(NOW_MS - 900_000, NOW_MS - 15_000);
                chunk.raw = Some(Chunk { r#type: 0, data: vec![0xff; 50].into(), hash: 0 });
                stream::iter([answer(labels(&[("__name__", b"up"), ("job", b"peer")]), chunk)]).boxed()
            }
        };
        Ok(Response::new(frames))
    }

    async fn label_names(
        &self,
        _: Request<LabelNamesRequest>,
    ) -> Result<Response<LabelNamesResponse>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn label_values(
        &self,
        _: Request<LabelValuesRequest>,
    ) -> Result<Response<LabelValuesResponse>, Status> {
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl Info for Peer {
    async fn info(&self, _: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        let store = StoreInfo { min_time: i64::MIN, max_time: i64::MAX, ..StoreInfo::default() };
        let component_type = "store".to_owned();
        Ok(Response::new(InfoResponse { store: Some(store), component_type, ..InfoResponse::default() }))
    }
}

/// The answer to `count(up)` of a querier over two sound stores and the faulty server.
async fn count_beside(peer: Peer, more: &[[&str; 2]]) -> (u16, Value) {
    let services = GrpcServices::default().with(StoreServer::new(peer)).with(InfoServer::new(peer));
    let address = serve_grpc(services).await;
    let store_response_timeout = Duration::from_millis(500);
    let options = QueryOptions { store_response_timeout, max_bytes: 512 << 20, ..QueryOptions::default() };
    let sources = sources(&["answers/data/replica-a", "answers/data/replica-b"]);
    let querier = serve(options.clone(), sources.and(endpoint(address, &options))).await;
    let mut params = vec![["query", "count(up)"], ["time", "1710040000"]];
    params.extend_from_slice(more);
    let begun = Instant::now();
    let asked = get("/api/v1/query", json!(params));
    let asking = tokio::time::timeout(Duration::from_secs(60), ask(querier, &asked));
    let answer = asking.await.unwrap_or_else(|_| panic!("{peer:?}: no answer after {:?}", begun.elapsed()));
    (answer.0, answer.1)
}

/// The result of `count(up)`, and whether there was a warning.
async fn counted(peer: Peer) -> (u64, bool) {
    let (status, answer) = count_beside(peer, &[]).await;
    assert_eq!(status, 200, "{peer:?}: {answer}");
    let value = &answer["data"]["result"][0]["value"][1];
    let count = value.as_str().and_then(|value| value.parse().ok());
    (count.unwrap_or_else(|| panic!("{peer:?}: {answer}")), answer["warnings"].is_array())
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_peer_answers_the_others_are_heard() {
    let (sound, warned) = counted(Peer::Repeats).await;
    assert!(!warned && sound > 1, "{sound}");
    let others = sound - 1;
    for code in (1..=16).map(Code::from_i32) {
        assert_eq!(counted(Peer::Refuses(code)).await, (others, true), "{code:?}");
    }
    assert_eq!(counted(Peer::FailsInMidStream(Code::Internal)).await, (sound, true));
    assert_eq!(counted(Peer::HangsInMidStream).await, (sound, true));
    assert_eq!(counted(Peer::Unordered).await, (others + 2, false));
    assert_eq!(counted(Peer::SendsNothing).await.0, others);
    assert_eq!(counted(Peer::DamagedChunk).await, (others, true));
    // A message of 64 MiB may take longer than the response timeout.
    for peer in [Peer::LongLabel, Peer::AbsurdTimes, Peer::OddLabels] {
        let (count, warned) = counted(peer).await;
        assert!(count == sound || count == others && warned, "{peer:?}: {count}, {warned}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_fails_ends_a_query_that_wants_all() {
    for peer in [
        Peer::Refuses(Code::Unavailable),
        Peer::FailsInMidStream(Code::DataLoss),
        Peer::HangsInMidStream,
        Peer::WarnsWithoutEnd,
    ] {
        let (status, answer) = count_beside(peer, &[["partial_response", "false"]]).await;
        assert_eq!(status, 422, "{peer:?}: {answer}");
    }
    let (status, answer) = count_beside(Peer::WarnsWithoutEnd, &[]).await;
    let error = answer["error"].as_str().unwrap_or_default();
    assert!(status == 422 && error.contains("--query.max-bytes"), "{status} {error}");
    // A count keeps no series, so that only time ends it.
    let (status, answer) = count_beside(Peer::SendsWithoutEnd, &[["timeout", "3s"]]).await;
    assert_eq!((status, &answer["errorType"]), (503, &"timeout".into()), "{answer}");
}
