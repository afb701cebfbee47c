//! Damaged blocks: the others still answer, with a warning that names block and file; under ABORT the call fails.

#![allow(clippy::unwrap_used)]

mod bed;

use std::path::PathBuf;

use futures::StreamExt;
use tithon_bucket::{Bucket, BucketConfig};
use tithon_chunks::{ErrorKind, TimeRange};
use tithon_engine::{BlockId, LabelsRequest, SeriesRequest};
use tithon_index::{MatchOp, Matcher};
use tithon_proto::thanos::info::InfoRequest;
use tithon_proto::thanos::info::info_client::InfoClient;
use tithon_proto::thanos::store_client::StoreClient;
use tithon_proto::thanos::{self, LabelMatcher};
use tithon_runtime::{Cpu, Metrics, Probes};
use tithon_store::{Store, StoreOptions};
use tithon_storeapi::{SeriesPart, StoreApi, StoreApiError};
use tonic::Code;

fn up(abort: bool) -> SeriesRequest {
    let matcher = Matcher::new(MatchOp::Equal, "__name__", "up").unwrap();
    SeriesRequest { partial_response: !abort, ..SeriesRequest::new(vec![matcher], TimeRange::ALL) }
}

/// The number of chunks, the warnings, and the error if the answer ends with one.
async fn select(store: &Store, request: SeriesRequest) -> (usize, Vec<String>, Option<StoreApiError>) {
    let (mut chunks, mut warnings) = (0, Vec::new());
    let mut parts = store.series(request);
    while let Some(part) = parts.next().await {
        match part {
            Ok(SeriesPart::Series(batch)) => {
                chunks += batch.series.iter().map(|s| s.chunks.len()).sum::<usize>()
            }
            Ok(SeriesPart::Warning(warning)) => warnings.push(warning),
            Ok(SeriesPart::Lease(_)) => {}
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
        let whole_dir = bed::bucket_of(&["replica-a"]);
        let whole = bed::store_over(whole_dir.path(), StoreOptions::default()).await;
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
    let answer = store.labels(LabelsRequest::names(vec![], TimeRange::ALL)).await.unwrap();
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
    assert_eq!((report.served, report.added, report.partial), (6, 1, 0));
    let mark = format!("{{\"id\":\"{}\",\"version\":1,\"deletion_time\":1700000000}}", case.block);
    std::fs::write(case.file("deletion-mark.json"), mark).unwrap();
    assert_eq!(store.sync().await.unwrap().served, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_wrong_requests_have_their_codes() {
    let dir = bed::bucket_of(&["replica-a"]);
    let options = StoreOptions { request_series_max: 10, ..StoreOptions::default() };
    let metrics = Metrics::new("0");
    let bucket = Bucket::open(&BucketConfig::filesystem(dir.path())).unwrap();
    let store = Store::open(bucket, options, Cpu::new(1).unwrap(), &metrics).await.unwrap();
    let probes = Probes::default();
    let channel = bed::serve(store, probes.clone()).await;
    let status = InfoClient::new(channel.clone()).info(InfoRequest {}).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unknown, "Not ready"));
    probes.set_ready(true);
    let info = InfoClient::new(channel.clone()).info(InfoRequest {}).await.unwrap().into_inner();
    assert_eq!(info.component_type, "store");
    let mut client = StoreClient::new(channel);
    let mut code_of = async |request: thanos::SeriesRequest| {
        let status = match client.series(request).await {
            Ok(answer) => answer.into_inner().message().await.unwrap_err(),
            Err(status) => status,
        };
        (status.code(), status.message().to_owned())
    };
    let all = LabelMatcher { r#type: 2, name: "job".into(), value: ".+".into() };
    let all =
        thanos::SeriesRequest { matchers: vec![all], max_time: i64::MAX, ..thanos::SeriesRequest::default() };
    let (code, text) = code_of(all.clone()).await;
    assert_eq!(code, Code::ResourceExhausted);
    assert!(text.starts_with("exceeded series limit: limit 10 violated (got "), "{text}");
    let text = metrics.text();
    for want in [
        "thanos_bucket_store_queries_dropped_total{reason=\"series\",tenant=\"default-tenant\"} 1",
        "thanos_bucket_store_series_blocks_queried_count{tenant=\"default-tenant\"} 1",
        "thanos_bucket_store_blocks_loaded 6",
        "thanos_bucket_store_series_gate_queries_total 1",
        "thanos_bucket_store_series_gate_queries_max 20",
        "thanos_blocks_meta_synced{state=\"loaded\"} 6",
    ] {
        assert!(text.contains(want), "{want} in {text}");
    }
    let (code, _) = code_of(thanos::SeriesRequest { max_resolution_window: -1, ..all.clone() }).await;
    assert_eq!(code, Code::InvalidArgument);
    let (code, _) = code_of(thanos::SeriesRequest { response_batch_size: -1, ..all }).await;
    assert_eq!(code, Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_leaves_ends_the_work() {
    let dir = bed::bucket_of(&["replica-a"]);
    let options = StoreOptions { series_max_concurrency: 1, ..StoreOptions::default() };
    let store = bed::store_over(dir.path(), options).await;
    for _ in 0..50 {
        let mut parts = store.series(up(true));
        drop(parts.next().await);
    }
    let (chunks, _, error) = select(&store, up(true)).await;
    assert!(chunks > 0 && error.is_none());
}

/// A request for all series with a matching name.
fn everything(name: &str, abort: bool) -> SeriesRequest {
    let matcher = Matcher::new(MatchOp::Regex, "__name__", name).unwrap();
    SeriesRequest { partial_response: !abort, ..SeriesRequest::new(vec![matcher], TimeRange::ALL) }
}

const BAD_ENCODING: &str = "01HWS4YAG00000000000000035";

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_encoding_costs_its_block_only() {
    let dir = bed::bucket_at("testdata/field/encoding-0");
    std::fs::remove_dir_all(dir.path().join(BAD_ENCODING)).unwrap();
    let store = bed::store_over(dir.path(), StoreOptions::default()).await;
    let (sound, warnings, _) = select(&store, everything(".+", true)).await;
    assert!(sound > 0 && warnings.is_empty());
    let dir = bed::bucket_at("testdata/field/encoding-0");
    let store = bed::store_over(dir.path(), StoreOptions::default()).await;
    let (chunks, warnings, error) = select(&store, everything(".+", false)).await;
    assert!(error.is_none() && chunks >= sound, "{error:?}: {chunks} of {sound}");
    let names_it = |text: &str| text.contains(BAD_ENCODING) && text.contains("__name__");
    assert!(warnings.len() == 1 && names_it(&warnings[0]), "{warnings:?}");
    let error = select(&store, everything(".+", true)).await.2.unwrap().to_string();
    assert!(names_it(&error), "{error}");
    // The same over gRPC, in frames of one series and of many.
    let mut client = StoreClient::new(bed::serve(store, Probes::default()).await);
    for response_batch_size in [0, 64] {
        let all = LabelMatcher { r#type: 2, name: "__name__".into(), value: ".+".into() };
        let request = thanos::SeriesRequest {
            matchers: vec![all],
            max_time: i64::MAX,
            response_batch_size,
            ..thanos::SeriesRequest::default()
        };
        let mut answer = client.series(request.clone()).await.unwrap().into_inner();
        let (mut series, mut warnings) = (0, Vec::new());
        while let Some(message) = answer.message().await.unwrap() {
            use tithon_proto::thanos::series_response::Result as Arm;
            match message.result.unwrap() {
                Arm::Warning(text) => warnings.push(text),
                Arm::Series(_) => series += 1,
                Arm::Batch(batch) => series += batch.series.len(),
                Arm::Hints(_) => {}
            }
        }
        assert!(series >= 3 && warnings.len() == 1 && names_it(&warnings[0]), "{series} {warnings:?}");
        let request = thanos::SeriesRequest { partial_response_strategy: 1, ..request };
        let mut answer = client.series(request).await.unwrap().into_inner();
        let status = loop {
            match answer.message().await {
                Ok(message) => assert!(message.is_some(), "an end instead of an error"),
                Err(status) => break status,
            }
        };
        assert!(status.code() == Code::Aborted && names_it(status.message()), "{status:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_postings_cost_the_queries_that_need_them() {
    let dir = tempfile::tempdir().unwrap();
    let golden = tithon_testdata::shared("testdata/field/damaged-postings");
    let meta = std::fs::read_to_string(golden.join("meta.json")).unwrap();
    let id = meta.split("\"ulid\"").nth(1).unwrap().split('"').nth(1).unwrap();
    tithon_testdata::copy_dir(&golden, &dir.path().join(id));
    let store = bed::store_over(dir.path(), StoreOptions::default()).await;
    let block = tithon_engine::Block::open(dir.path().join(id)).unwrap();
    let (mut failed, mut answered) = (0, 0);
    for name in block.header().label_names().unwrap() {
        for value in block.header().label_values(name).unwrap() {
            let matcher = Matcher::new(MatchOp::Equal, name, value.unwrap().value).unwrap();
            let request = SeriesRequest::new(vec![matcher.clone()], TimeRange::ALL);
            let (chunks, warnings, error) = select(&store, request.clone()).await;
            assert!(error.is_none(), "{error:?}");
            let aborted = select(&store, SeriesRequest { partial_response: false, ..request }).await.2;
            let labels = store.labels(LabelsRequest::names(vec![matcher], TimeRange::ALL)).await.unwrap();
            if warnings.is_empty() {
                assert!(aborted.is_none() && labels.warnings.is_empty(), "{aborted:?} {labels:?}");
                answered += usize::from(chunks > 0);
            } else {
                assert!(
                    chunks == 0 && warnings[0].contains(id) && labels.warnings[0].contains(id),
                    "{warnings:?}"
                );
                assert!(aborted.unwrap().to_string().contains(id));
                failed += 1;
            }
        }
    }
    assert!(failed > 0 && answered > failed, "{failed} failed, {answered} answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_faulty_successor_keeps_its_sources_served() {
    let case = case();
    let (chunks, ..) =
        select(&bed::store_over(case.dir.path(), StoreOptions::default()).await, up(true)).await;
    let store = bed::store_over(case.dir.path(), StoreOptions::default()).await;
    // A block whose meta lists all the others as its sources, but which cannot be opened.
    let metas: Vec<serde_json::Value> = std::fs::read_dir(case.dir.path())
        .unwrap()
        .map(|entry| std::fs::read(entry.unwrap().path().join("meta.json")).unwrap())
        .map(|bytes| serde_json::from_slice(&bytes).unwrap())
        .collect();
    let mut meta = metas[0].clone();
    let successor = "01HRQZZZZZ0000000000000000";
    meta["ulid"] = successor.into();
    let family = |m: &&serde_json::Value| {
        m["thanos"]["downsample"] == metas[0]["thanos"]["downsample"]
            && m["thanos"]["labels"] == metas[0]["thanos"]["labels"]
    };
    let sources: Vec<serde_json::Value> = metas
        .iter()
        .filter(family)
        .flat_map(|m| m["compaction"]["sources"].as_array().unwrap().clone())
        .collect();
    let n_sources = metas.iter().filter(family).count();
    meta["compaction"]["sources"] = sources.into();
    let dir = case.dir.path().join(successor);
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("meta.json"), meta.to_string()).unwrap();
    std::fs::write(dir.join("index"), b"damaged").unwrap();
    for store in [store, bed::store_over(case.dir.path(), StoreOptions::default()).await] {
        let report = store.sync().await.unwrap();
        assert_eq!((report.served, report.dropped, report.faulty), (6, 0, 1));
        // All sources answer, so nothing is missing.
        let (found, warnings, error) = select(&store, up(true)).await;
        assert!(found == chunks && warnings.is_empty() && error.is_none(), "{warnings:?} {error:?}");
    }
    // Sources with an old deletion mark are served again too.
    for m in metas.iter().filter(family) {
        let id = m["ulid"].as_str().unwrap();
        let mark = format!("{{\"id\":\"{id}\",\"version\":1,\"deletion_time\":1700000000}}");
        std::fs::write(case.dir.path().join(id).join("deletion-mark.json"), mark).unwrap();
    }
    let store = bed::store_over(case.dir.path(), StoreOptions::default()).await;
    assert_eq!(store.n_blocks(), 6);
    // Without the faulty successor, the marked sources are no longer needed.
    std::fs::remove_dir_all(&dir).unwrap();
    let report = store.sync().await.unwrap();
    assert_eq!((report.served, report.faulty), (6 - n_sources, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_panics_is_no_end() {
    for abort in [false, true] {
        let dir = bed::bucket_of(&["replica-a"]);
        let panicking = bed::panicking_bucket(dir.path(), "01HRKP0D00SZ6QE7ZSYT6RDQTH/chunks");
        let store = bed::store_of(panicking.clone(), StoreOptions::default()).await;
        let (all, ..) = select(&store, up(abort)).await;
        bed::PANIC.store(true, std::sync::atomic::Ordering::SeqCst);
        let (some, warnings, error) = select(&store, up(abort)).await;
        bed::PANIC.store(false, std::sync::atomic::Ordering::SeqCst);
        let named = |text: &str| text.contains("01HRKP0D00SZ6QE7ZSYT6RDQTH");
        if abort {
            assert!(named(&error.unwrap().to_string()));
        } else {
            assert!(error.is_none() && some < all && some > 0);
            assert!(warnings.len() == 1 && named(&warnings[0]), "{warnings:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_cut_or_replaced_cost_their_block_until_the_next_sync() {
    for (file, len) in [("index", 0), ("index", 4096), ("chunks/000001", 0), ("chunks/000001", 4096)] {
        let case = case();
        let whole = std::fs::read(case.file(file)).unwrap();
        let store = bed::store_over(case.dir.path(), StoreOptions::default()).await;
        let (all, ..) = select(&store, up(true)).await;
        let file_of = || std::fs::OpenOptions::new().write(true).open(case.file(file)).unwrap();
        file_of().set_len(len).unwrap();
        for _ in 0..2 {
            let (some, warnings, error) = select(&store, up(false)).await;
            assert!(some < all && some > 0 && error.is_none(), "{some} of {all}, {error:?}");
            let text = warnings.join("; ");
            assert!(
                text.contains("truncated while mapped") && text.contains(file),
                "{file} {len}: {warnings:?}"
            );
            assert!(text.contains(&case.block.to_string()), "{warnings:?}");
        }
        assert!(select(&store, up(true)).await.2.unwrap().to_string().contains("truncated while mapped"));
        let report = store.sync().await.unwrap();
        // A segment whose header is intact can be opened, and fails when it is read.
        let opens = usize::from(file != "index" && len > 0);
        assert_eq!((report.served, report.faulty), (5 + opens, 1 - opens), "{file} {len}");
        let text = select(&store, up(false)).await.1.join("; ");
        assert!(text.contains(&case.block.to_string()) && text.contains(file), "{text}");
        // Restore the content of the file.
        std::fs::write(case.file(file), &whole).unwrap();
        let report = store.sync().await.unwrap();
        assert_eq!((report.served, report.opened, report.faulty), (6, 1, 0));
        assert_eq!(select(&store, up(true)).await.0, all);
        // Replace it by another file of the same content: it is reopened without a warning.
        std::fs::write(case.file("beside"), &whole).unwrap();
        std::fs::rename(case.file("beside"), case.file(file)).unwrap();
        let report = store.sync().await.unwrap();
        assert_eq!((report.served, report.opened, report.dropped), (6, 1, 0));
        assert_eq!(select(&store, up(true)).await.0, all);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_behind_the_limit_fails_a_call() {
    let dir = bed::bucket_at("testdata/field/encoding-0");
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if !path.ends_with(BAD_ENCODING) {
            std::fs::remove_dir_all(path).unwrap();
        }
    }
    let store = bed::store_over(dir.path(), StoreOptions::default()).await;
    let block = tithon_engine::Block::open(dir.path().join(BAD_ENCODING)).unwrap();
    let sound = block
        .select(tithon_engine::SelectRequest::new(vec![], TimeRange::ALL))
        .next()
        .unwrap()
        .unwrap()
        .series
        .iter()
        .position(|s| s.chunks.iter().any(|c| matches!(c.encoding, tithon_chunks::Encoding::Unknown(_))))
        .unwrap();
    let limited = |limit| SeriesRequest { limit, ..everything(".+", true) };
    if sound > 0 {
        let (chunks, warnings, error) = select(&store, limited(sound)).await;
        assert!(chunks > 0 && warnings.is_empty() && error.is_none(), "{error:?}");
    }
    assert!(select(&store, limited(sound + 1)).await.2.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn label_calls_count_series_too() {
    let dir = bed::bucket_of(&["replica-a"]);
    let options = StoreOptions { request_series_max: 10, ..StoreOptions::default() };
    let store = bed::store_over(dir.path(), options).await;
    let job = Matcher::new(MatchOp::Regex, "job", ".+").unwrap();
    let names = LabelsRequest::names(vec![job.clone()], TimeRange::ALL);
    let values = LabelsRequest::values("pod", vec![job], TimeRange::ALL);
    for request in [names, values] {
        let error = store.labels(request).await.unwrap_err().to_string();
        assert!(error.starts_with("exceeded series limit: limit 10 violated (got "), "{error}");
    }
    assert!(store.labels(LabelsRequest::names(vec![], TimeRange::ALL)).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_do_not_read_keep_nobody_out_and_are_given_up() {
    let dir = bed::bucket_of(&["replica-a"]);
    let options = StoreOptions {
        series_max_concurrency: 2,
        stalled_reader_timeout: std::time::Duration::from_millis(700),
        ..StoreOptions::default()
    };
    let metrics = Metrics::new("0");
    let bucket = Bucket::open(&BucketConfig::filesystem(dir.path())).unwrap();
    let store = bed::store_with(bucket, options, &metrics).await;
    let many = || everything(".+", false);
    let idle: Vec<_> = (0..20).map(|_| store.series(many())).collect();
    let begun = std::time::Instant::now();
    let (chunks, _, error) = select(&store, up(true)).await;
    assert!(chunks > 0 && error.is_none() && begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    let mut ended = 0;
    for mut parts in idle {
        // A call whose answer fits into its queue does not stall.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        while let Some(part) = parts.next().await {
            if let Err(error) = part {
                assert!(error.to_string().contains("its reader took nothing for "), "{error}");
                ended += 1;
            }
        }
    }
    assert!(ended > 10, "{ended}");
    let text = metrics.text();
    assert!(
        text.contains("tithon_store_waiting_bytes 0") && text.contains("tithon_store_stalled_readers 0"),
        "{text}"
    );
}

/// Calls that would hold too much together wait for each other; one that needs more than the limit fails, and says so.
#[tokio::test(flavor = "multi_thread")]
async fn calls_share_the_memory_there_is() {
    let dir = bed::bucket_of(&["replica-a", "replica-b"]);
    let bucket = || Bucket::open(&BucketConfig::filesystem(dir.path())).unwrap().by_ranges();
    let (whole, ..) =
        select(&bed::store_of(bucket(), StoreOptions::default()).await, everything(".+", true)).await;
    for (memory_max, fits) in [(64 << 20, true), (128 << 10, false)] {
        let metrics = Metrics::new("0");
        let options = StoreOptions { memory_max, ..StoreOptions::default() };
        let store = bed::store_with(bucket(), options, &metrics).await;
        let calls = (0..12).map(|_| select(&store, everything(".+", true)));
        for (chunks, _, error) in futures::future::join_all(calls).await {
            match error {
                None => assert!(fits && chunks == whole),
                Some(error) => {
                    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
                    assert!(
                        !fits && error.to_string().starts_with("exceeded memory limit: limit "),
                        "{error}"
                    );
                }
            }
        }
        // Tasks that read blocks may end shortly after their call.
        for _ in 0..1000 {
            if metrics.text().contains("tithon_store_held_bytes 0") {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let text = metrics.text();
        assert!(text.contains("tithon_store_held_bytes 0"), "{text}");
        assert!(
            fits || text.contains("thanos_bucket_store_queries_dropped_total{reason=\"memory\""),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn patterns_of_one_call_have_a_budget() {
    let dir = bed::bucket_of(&["replica-a"]);
    let store = bed::store_over(dir.path(), StoreOptions::default()).await;
    let mut client = StoreClient::new(bed::serve(store, Probes::default()).await);
    let regex = |value: String| LabelMatcher { r#type: 2, name: "job".into(), value: value.into() };
    let mut call = async |matchers: Vec<LabelMatcher>| {
        let request =
            thanos::SeriesRequest { matchers, max_time: i64::MAX, ..thanos::SeriesRequest::default() };
        match client.series(request).await {
            Ok(answer) => {
                let mut answer = answer.into_inner();
                loop {
                    match answer.message().await {
                        Ok(Some(_)) => {}
                        Ok(None) => return None,
                        Err(status) => return Some(status),
                    }
                }
            }
            Err(status) => Some(status),
        }
    };
    let begun = std::time::Instant::now();
    let large = (0..200).map(|i| regex(format!(r"(?i)[\pL_0-9.:-]{{1,{}}}", 900 - i))).collect();
    assert!(call(large).await.is_none());
    let status = call((0..200).map(|i| regex(format!("({i}[ab]{{10}}x?){{90}}|").repeat(40))).collect())
        .await
        .unwrap();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(
        status.message().contains("[ab]{10}x?){90}|") && status.message().contains("67108864"),
        "{status:?}"
    );
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_the_cache_that_are_cut_cost_their_block_until_the_next_sync() {
    let case = case();
    let kept = tempfile::tempdir().unwrap();
    let bucket = Bucket::open(&BucketConfig::filesystem(case.dir.path())).unwrap().by_ranges();
    let store =
        bed::store_of(bucket.with_headers(kept.path().to_owned()).unwrap(), StoreOptions::default()).await;
    let (all, warnings, _) = select(&store, up(true)).await;
    assert!(all > 0 && warnings.is_empty());
    for (file, len) in [("index-header.sparse", 0), ("index-header.sparse", 100), ("label-filter", 0)] {
        let path = kept.path().join(case.block.to_string()).join(file);
        std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
        let (some, warnings, error) = select(&store, up(false)).await;
        assert!(some > 0 && some < all && error.is_none(), "{file}: {some} of {all}");
        let text = warnings.join("; ");
        assert!(text.contains(&case.block.to_string()) && text.contains("truncated while mapped"), "{text}");
        let labels = store.labels(LabelsRequest::names(vec![], TimeRange::ALL)).await.unwrap();
        assert!(labels.warnings.join("; ").contains("truncated while mapped"), "{labels:?}");
        let report = store.sync().await.unwrap();
        assert_eq!((report.served, report.opened, report.faulty), (6, 1, 0), "{file}");
        let (again, warnings, _) = select(&store, up(true)).await;
        assert!(again == all && warnings.is_empty(), "{file}: {again} of {all}, {warnings:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_do_not_read_keep_nobody_out() {
    let dir = bed::bucket_of(&["replica-a"]);
    let options = StoreOptions { series_max_concurrency: 2, ..StoreOptions::default() };
    let (bucket, metrics) = (Bucket::open(&BucketConfig::filesystem(dir.path())).unwrap(), Metrics::new("0"));
    let store = bed::store_with(bucket, options, &metrics).await;
    let mut idle = StoreClient::new(bed::serve(store.clone(), Probes::default()).await);
    let all = LabelMatcher { r#type: 2, name: "__name__".into(), value: ".+".into() };
    let all =
        thanos::SeriesRequest { matchers: vec![all], max_time: i64::MAX, ..thanos::SeriesRequest::default() };
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(idle.series(all.clone()).await.unwrap().into_inner());
    }
    let mut client = StoreClient::new(bed::serve(store, Probes::default()).await);
    let begun = std::time::Instant::now();
    let mut answer = client.series(all).await.unwrap().into_inner();
    let mut n = 0;
    while answer.message().await.unwrap().is_some() {
        n += 1;
    }
    assert!(n > 1000 && begun.elapsed().as_secs() < 30, "{n} in {:?}", begun.elapsed());
    assert!(!metrics.text().contains("tithon_store_stalled_readers_ended_total 0"), "{}", metrics.text());
}
