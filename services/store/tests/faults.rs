//! Damaged blocks: the others still answer, and a warning names block and file; under ABORT the call fails.

#![allow(clippy::unwrap_used)]

mod bed;

use std::path::PathBuf;

use futures::StreamExt;
use tithon_chunks::TimeRange;
use tithon_engine::BlockId;
use tithon_index::{MatchOp, Matcher};
use tithon_proto::thanos::info::InfoRequest;
use tithon_proto::thanos::info::info_client::InfoClient;
use tithon_proto::thanos::store_client::StoreClient;
use tithon_proto::thanos::{LabelMatcher, SeriesRequest};
use tithon_runtime::Probes;
use tithon_store::{LabelsRequest, SelectRequest, Selected, Store, StoreError, StoreOptions};
use tonic::Code;

fn up(abort: bool) -> SelectRequest {
    let matcher = Matcher::new(MatchOp::Equal, "__name__", "up").unwrap();
    SelectRequest { abort_on_fault: abort, ..SelectRequest::new(vec![matcher], TimeRange::ALL) }
}

/// Number of chunks, warnings, and the error if the answer ends with one.
async fn select(store: &Store, request: SelectRequest) -> (usize, Vec<String>, Option<StoreError>) {
    let (mut chunks, mut warnings) = (0, Vec::new());
    let mut parts = store.select(request);
    while let Some(part) = parts.next().await {
        match part {
            Ok(Selected::Series(batch)) => {
                chunks += batch.series.iter().map(|s| s.chunks.len()).sum::<usize>()
            }
            Ok(Selected::Warning(warning)) => warnings.push(warning),
            Err(error) => return (chunks, warnings, Some(error)),
        }
    }
    (chunks, warnings, None)
}

struct Case {
    dir: tempfile::TempDir,
    block: BlockId,
}

fn case() -> Case {
    let dir = bed::bucket_of(&["replica-a"]);
    Case { dir, block: "01HRKP0D00SZ6QE7ZSYT6RDQTH".parse().unwrap() }
}

impl Case {
    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(self.block.to_string()).join(name)
    }

    async fn check(&self, file: &str) {
        let whole = bed::store_over(bed::bucket_of(&["replica-a"]).path(), StoreOptions::default()).await;
        let (all, warnings, error) = select(&whole, up(true)).await;
        assert!(all > 0 && warnings.is_empty() && error.is_none());
        let store = bed::store_over(self.dir.path(), StoreOptions::default()).await;
        let (some, warnings, error) = select(&store, up(false)).await;
        assert!(error.is_none(), "{error:?}");
        assert!(some > all / 2 && some < all, "{some} of {all}");
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        let names_it = |text: &str| text.contains(&self.block.to_string()) && text.contains(file);
        assert!(names_it(&warnings[0]), "{warnings:?}");
        let error = select(&store, up(true)).await.2.unwrap().to_string();
        assert!(names_it(&error), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn truncated_index() {
    let case = case();
    let bytes = std::fs::read(case.file("index")).unwrap();
    std::fs::write(case.file("index"), &bytes[..bytes.len() / 2]).unwrap();
    case.check("index").await;
    let store = bed::store_over(case.dir.path(), StoreOptions::default()).await;
    let answer = store.label_names(LabelsRequest::new(vec![], TimeRange::ALL)).await.unwrap();
    assert!(!answer.found.is_empty() && answer.warnings.len() == 1, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn truncated_and_empty_segment() {
    let case = case();
    let bytes = std::fs::read(case.file("chunks/000001")).unwrap();
    std::fs::write(case.file("chunks/000001"), &bytes[..100]).unwrap();
    case.check("chunks/000001").await;
    std::fs::write(case.file("chunks/000001"), b"").unwrap();
    case.check("chunks/000001").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_meta_is_skipped() {
    let case = case();
    std::fs::write(case.file("meta.json"), b"{\"ulid\": 1").unwrap();
    let store = bed::store_over(case.dir.path(), StoreOptions::default()).await;
    assert_eq!(store.n_blocks(), 5);
    let (chunks, warnings, error) = select(&store, up(true)).await;
    assert!(chunks > 0 && warnings.is_empty() && error.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_come_and_go() {
    let case = case();
    let store = bed::store_over(case.dir.path(), StoreOptions::default()).await;
    assert_eq!(store.n_blocks(), 6);
    let meta = std::fs::read(case.file("meta.json")).unwrap();
    std::fs::remove_file(case.file("meta.json")).unwrap();
    let report = store.sync().await.unwrap();
    assert_eq!((report.served, report.dropped, report.partial), (5, 1, 1));
    std::fs::write(case.file("meta.json"), meta).unwrap();
    let report = store.sync().await.unwrap();
    assert_eq!((report.served, report.opened, report.partial), (6, 1, 0));
    let mark = format!("{{\"id\":\"{}\",\"version\":1,\"deletion_time\":1700000000}}", case.block);
    std::fs::write(case.file("deletion-mark.json"), mark).unwrap();
    assert_eq!(store.sync().await.unwrap().served, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_wrong_requests_have_their_codes() {
    let dir = bed::bucket_of(&["replica-a"]);
    let options = StoreOptions { request_series_max: 10, ..StoreOptions::default() };
    let store = bed::store_over(dir.path(), options).await;
    let probes = Probes::default();
    let channel = bed::serve(store, probes.clone()).await;
    let status = InfoClient::new(channel.clone()).info(InfoRequest {}).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unknown, "Not ready"));
    probes.set_ready(true);
    let info = InfoClient::new(channel.clone()).info(InfoRequest {}).await.unwrap().into_inner();
    assert_eq!(info.component_type, "store");
    let mut client = StoreClient::new(channel);
    let mut code_of = async |request: SeriesRequest| {
        let status = match client.series(request).await {
            Ok(answer) => answer.into_inner().message().await.unwrap_err(),
            Err(status) => status,
        };
        (status.code(), status.message().to_owned())
    };
    let all = LabelMatcher { r#type: 2, name: "job".into(), value: ".+".into() };
    let all = SeriesRequest { matchers: vec![all], max_time: i64::MAX, ..SeriesRequest::default() };
    let (code, text) = code_of(all.clone()).await;
    assert_eq!(code, Code::ResourceExhausted);
    assert!(text.starts_with("exceeded series limit: limit 10 violated (got "), "{text}");
    let (code, _) = code_of(SeriesRequest { max_resolution_window: -1, ..all.clone() }).await;
    assert_eq!(code, Code::InvalidArgument);
    let (code, _) = code_of(SeriesRequest { response_batch_size: -1, ..all }).await;
    assert_eq!(code, Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_leaves_ends_the_work() {
    let dir = bed::bucket_of(&["replica-a"]);
    let options = StoreOptions { series_max_concurrency: 1, ..StoreOptions::default() };
    let store = bed::store_over(dir.path(), options).await;
    for _ in 0..50 {
        let mut parts = store.select(up(true));
        drop(parts.next().await);
    }
    let (chunks, _, error) = select(&store, up(true)).await;
    assert!(chunks > 0 && error.is_none());
}
