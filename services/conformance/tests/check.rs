//! The example store keeps every rule, and each rule it is made to break is found.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../storeapi/examples/in_memory.rs"]
#[allow(dead_code)]
mod in_memory;

use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use tithon_chunks::TimeRange;
use tithon_conformance::{CheckError, Options, Report, check};
use tithon_engine::{LabelsRequest, SelectedSeries, SeriesBatch, SeriesRequest};
use tithon_index::Labels;
use tithon_runtime::{Cpu, GrpcServer, Probes, Shutdown};
use tithon_storeapi::{
    LabelsFuture, SeriesPart, SeriesStream, StoreApi, StoreApiError, StoreApiServer, StoreInfo,
};

use self::in_memory::InMemory;

fn options(address: &str) -> Options {
    Options { address: address.to_owned(), tls: None, timeout: Duration::from_secs(20), metrics: Vec::new() }
}

/// Series of three metrics over two hours, with labels of different cardinality.
fn store() -> InMemory {
    let samples: Vec<(i64, f64)> = (0..480).map(|i| (1_700_000_000_000 + i * 15_000, i as f64)).collect();
    let mut data = Vec::new();
    for metric in ["requests", "errors", "up"] {
        for (i, job) in ["api", "db", "web.front"].iter().enumerate() {
            for replica in ["a", "b"] {
                let i = i.to_string();
                let labels = [("__name__", metric), ("job", job), ("replica", replica), ("zone", &i)];
                data.push((Labels::from_pairs(labels), &samples[..]));
            }
        }
    }
    InMemory::new(&data)
}

async fn examine(store: impl StoreApi) -> Report {
    let server = GrpcServer::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().to_string();
    let probes = Probes::default();
    probes.set_ready(true);
    let services = StoreApiServer::new(Arc::new(store), Cpu::new(1).unwrap(), probes.clone()).services();
    let descriptors = tithon_proto::FILE_DESCRIPTOR_SET;
    tokio::spawn(server.serve(services, descriptors, probes, Shutdown::default(), Duration::ZERO));
    check(&options(&address)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_keeps_every_rule() {
    let report = examine(store()).await;
    assert!(report.is_kept(), "{}", report.table());
    assert!(report.requests > 300 && report.verdicts.len() > 35, "{}", report.table());
}

/// A fault of a store.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Unsorted,
    IgnoresLimit,
    IgnoresMatchers,
    IgnoresShards,
    IgnoresRange,
    SendsSkippedChunks,
    KeepsReplicaLabels,
    Warns,
    WrongLabelSet,
    CutChunk,
    HidesValues,
    Fails,
}

/// A store with one fault.
struct Faulty(Arc<InMemory>, Fault);

impl StoreApi for Faulty {
    fn name(&self) -> String {
        self.0.name()
    }

    fn info(&self) -> Option<StoreInfo> {
        let mut info = self.0.info()?;
        if matches!(self.1, Fault::WrongLabelSet) {
            info.label_sets = vec![Labels::from_pairs([("cluster", "elsewhere")])];
        }
        Some(info)
    }

    fn series(&self, mut request: SeriesRequest) -> SeriesStream {
        let fault = self.1;
        match fault {
            Fault::IgnoresLimit => request.limit = 0,
            Fault::IgnoresMatchers => request.matchers.truncate(1),
            Fault::IgnoresShards => request.shard = None,
            Fault::IgnoresRange => request.range = TimeRange::ALL,
            Fault::SendsSkippedChunks => request.skip_chunks = false,
            Fault::KeepsReplicaLabels => request.without_labels.clear(),
            Fault::Fails => {
                let error = StoreApiError::new(tithon_chunks::ErrorKind::Internal, "broken");
                return futures::stream::iter([Err(error)]).boxed();
            }
            _ => {}
        }
        let spoil = move |part: Result<SeriesPart, StoreApiError>| match (fault, part) {
            (Fault::Warns, Ok(_)) => Ok(SeriesPart::Warning("careful".to_owned())),
            (fault, Ok(SeriesPart::Series(batch))) => Ok(SeriesPart::Series(spoilt(fault, batch))),
            (_, part) => part,
        };
        self.0.series(request).map(spoil).boxed()
    }

    fn labels(&self, request: LabelsRequest) -> LabelsFuture {
        let (answer, fault) = (self.0.labels(request), self.1);
        let spoil = move |answer: Result<tithon_storeapi::LabelsAnswer, StoreApiError>| {
            answer.map(|mut answer| {
                if matches!(fault, Fault::HidesValues) {
                    answer.found.truncate(answer.found.len().saturating_sub(1));
                }
                answer
            })
        };
        answer.map(spoil).boxed()
    }
}

fn spoilt(fault: Fault, mut batch: SeriesBatch) -> SeriesBatch {
    match fault {
        Fault::Unsorted => batch.series.reverse(),
        Fault::CutChunk => {
            for chunk in batch.series.iter_mut().flat_map(|one: &mut SelectedSeries| &mut one.chunks) {
                chunk.data = chunk.data.slice(..chunk.data.len() / 2);
            }
        }
        _ => {}
    }
    batch
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_is_found() {
    let store = Arc::new(store());
    for (fault, rule) in [
        (Fault::Unsorted, "order"),
        (Fault::IgnoresLimit, "limit"),
        (Fault::IgnoresMatchers, "matchers"),
        (Fault::IgnoresShards, "shards"),
        (Fault::IgnoresRange, "time-range"),
        (Fault::SendsSkippedChunks, "skip-chunks"),
        (Fault::KeepsReplicaLabels, "without-replica-labels"),
        (Fault::Warns, "answers"),
        (Fault::WrongLabelSet, "external-labels"),
        (Fault::CutChunk, "chunks"),
        (Fault::HidesValues, "label-values"),
        (Fault::Fails, "answers"),
    ] {
        let report = examine(Faulty(Arc::clone(&store), fault)).await;
        let verdict = report.verdicts.iter().find(|verdict| verdict.rule == rule).unwrap();
        assert!(verdict.broken > 0, "{fault:?}: {}", report.table());
        assert!(report.table().contains(&format!("{rule} is broken:")), "{fault:?}");
        assert!(!report.is_kept());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_asked_is_named() {
    let address = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = check(&options(&address.to_string())).await.unwrap_err();
    assert!(matches!(error, CheckError::NoAnswer { .. }), "{error}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    for wrong in ["localhost", "not an address", ""] {
        let error = check(&options(wrong)).await.unwrap_err();
        assert!(matches!(error, CheckError::Address { .. }), "{wrong:?}: {error}");
    }
}
