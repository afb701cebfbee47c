//! The store of `examples/in_memory.rs` gives the same answers through the trait and over gRPC.

#![allow(clippy::unwrap_used)]

#[path = "../examples/in_memory.rs"]
#[allow(dead_code)]
mod in_memory;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tithon_chunks::{EncodedChunk, ErrorKind, Samples, TimeRange, decode_samples};
use tithon_engine::{LabelsRequest, SelectedSeries, SeriesRequest};
use tithon_index::{Labels, MatchOp, Matcher};
use tithon_runtime::{Cpu, GrpcServer, Probes, Shutdown};
use tithon_storeapi::{Endpoint, EndpointOptions, SeriesPart, StoreApi, StoreApiServer};

use self::in_memory::InMemory;

fn store() -> InMemory {
    let series = |job: &str, replica: &str| {
        Labels::from_pairs([("__name__", "up"), ("job", job), ("replica", replica)])
    };
    InMemory::new(&[
        (series("db", "a"), &[(1_000, 1.0), (2_000, 0.0)]),
        (series("api", "b"), &[(1_000, 1.0)]),
        (series("api", "a"), &[(1_000, 1.0), (5_000, 1.0)]),
    ])
}

async fn endpoint(store: InMemory) -> Endpoint {
    let server = GrpcServer::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().to_string();
    let probes = Probes::default();
    probes.set_ready(true);
    let services = StoreApiServer::new(Arc::new(store), Cpu::new(1).unwrap(), probes.clone()).services();
    let descriptors = tithon_proto::FILE_DESCRIPTOR_SET;
    tokio::spawn(server.serve(services, descriptors, probes, Shutdown::default(), Duration::ZERO));
    let options = EndpointOptions {
        info_timeout: Duration::from_secs(5),
        response_timeout: Duration::from_secs(5),
        message_bytes_max: 1 << 20,
        tls: None,
        strict: false,
        unhealthy_timeout: Duration::from_secs(300),
        calls: None,
        encoding: None,
        named_by: "--endpoint",
    };
    let endpoint = Endpoint::new(&address, options).unwrap();
    endpoint.refresh().await;
    endpoint
}

async fn series(store: &dyn StoreApi, request: SeriesRequest) -> Vec<SelectedSeries> {
    let (mut parts, mut series) = (store.series(request), Vec::new());
    while let Some(part) = parts.next().await {
        if let SeriesPart::Series(batch) = part.unwrap() {
            series.extend(batch.series);
        }
    }
    series
}

fn matcher(op: MatchOp, name: &str, value: &str) -> Vec<Matcher> {
    vec![Matcher::new(op, name, value).unwrap()]
}

#[tokio::test(flavor = "multi_thread")]
async fn series_are_the_same_with_and_without_grpc() {
    let (store, endpoint) = (store(), endpoint(store()).await);
    assert_eq!(endpoint.info(), store.info());
    let all = SeriesRequest::new(matcher(MatchOp::Regex, "job", ".+"), TimeRange::ALL);
    let without = SeriesRequest { without_labels: vec!["replica".into()], ..all.clone() };
    let late = SeriesRequest { range: TimeRange::new(3_000, 9_000), ..all.clone() };
    let two = SeriesRequest { limit: 2, ..all.clone() };
    for (request, expected) in [(all, 3), (without, 2), (late, 1), (two, 2)] {
        let found = series(&endpoint, request.clone()).await;
        assert_eq!(found.len(), expected, "{request:?}");
        assert_eq!(found, series(&store, request).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_arrive() {
    let endpoint = endpoint(store()).await;
    let request = SeriesRequest::new(matcher(MatchOp::Equal, "job", "db"), TimeRange::ALL);
    let found = series(&endpoint, request).await;
    let chunk: &EncodedChunk = &found[0].chunks[0];
    let mut samples = Samples::default();
    decode_samples(chunk, TimeRange::ALL, &mut samples).unwrap();
    assert_eq!(samples.floats.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_are_the_same_with_and_without_grpc() {
    let (store, endpoint) = (store(), endpoint(store()).await);
    let api = matcher(MatchOp::Equal, "job", "api");
    let names = LabelsRequest::names(api.clone(), TimeRange::ALL);
    let some = LabelsRequest { without_labels: vec!["replica".into()], ..names.clone() };
    let values = LabelsRequest::values("replica", api, TimeRange::ALL);
    for (request, expected) in [
        (names, vec!["__name__", "job", "replica"]),
        (some, vec!["__name__", "job"]),
        (values, vec!["a", "b"]),
    ] {
        let answer = endpoint.labels(request.clone()).await.unwrap();
        let found: Vec<_> = answer.found.iter().map(|text| std::str::from_utf8(text).unwrap()).collect();
        assert_eq!(found, expected);
        assert_eq!(answer, store.labels(request).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_not_there_is_named() {
    let options = EndpointOptions {
        info_timeout: Duration::from_secs(1),
        response_timeout: Duration::from_secs(1),
        message_bytes_max: 1 << 20,
        tls: None,
        strict: false,
        unhealthy_timeout: Duration::from_secs(300),
        calls: None,
        encoding: None,
        named_by: "--endpoint",
    };
    // A port that was free a moment ago.
    let address = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let endpoint = Endpoint::new(&address.to_string(), options.clone()).unwrap();
    endpoint.refresh().await;
    assert!(endpoint.info().is_none() && endpoint.health().last_error.is_some());
    let error = endpoint.series(SeriesRequest::new(Vec::new(), TimeRange::ALL)).next().await.unwrap();
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    assert_eq!(Endpoint::new("not an address", options).unwrap_err().kind(), ErrorKind::Invalid);
}
