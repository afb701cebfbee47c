//! The cache of postings and series: equal answers, fewer index reads, and nothing left of deleted blocks. Also the
//! limit of bytes per call, and compressed messages.

#![allow(clippy::unwrap_used)]

mod bed;

use std::io::{Read, Write};

use bytes::Bytes;
use futures::StreamExt;
use http_body_util::{BodyExt, Full};
use prost::Message;
use tithon_bucket::{Bucket, BucketConfig};
use tithon_chunks::{ErrorKind, TimeRange};
use tithon_engine::{LabelsRequest, SelectedSeries, SeriesRequest};
use tithon_index::{MatchOp, Matcher};
use tithon_proto::thanos::store_client::StoreClient;
use tithon_proto::thanos::{self, LabelMatcher, SeriesResponse};
use tithon_runtime::{Metrics, Probes};
use tithon_store::{Store, StoreOptions};
use tithon_storeapi::{SeriesPart, StoreApi, StoreApiError};
use tower::{Service, ServiceExt};

fn matchers() -> Vec<Matcher> {
    let matcher = |op, name: &str, value: &str| Matcher::new(op, name, value).unwrap();
    vec![matcher(MatchOp::Regex, "job", ".+e.*"), matcher(MatchOp::NotEqual, "__name__", "up")]
}

async fn ask(store: &Store, request: SeriesRequest) -> Result<Vec<SelectedSeries>, StoreApiError> {
    let (mut series, mut parts) = (Vec::new(), store.series(request));
    while let Some(part) = parts.next().await {
        if let SeriesPart::Series(batch) = part? {
            series.extend(batch.series);
        }
    }
    Ok(series)
}

/// The value of a cache metric, summed over all kinds of items.
fn value(metrics: &Metrics, name: &str) -> u64 {
    let text = metrics.text();
    let prefix = format!("thanos_store_index_cache_{name}");
    let lines = text.lines().filter(|line| line.starts_with(&prefix));
    lines.filter_map(|line| line.rsplit_once(' ')).map(|(_, value)| value.parse::<u64>().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn few_series_of_the_same_matchers_are_decoded_once() {
    let dir = bed::bucket_of(&["replica-a"]);
    let metrics = Metrics::new("0");
    let bucket = Bucket::open(&BucketConfig::filesystem(dir.path())).unwrap();
    let store = bed::store_with(bucket, StoreOptions::default(), &metrics).await;
    let without =
        bed::store_over(dir.path(), StoreOptions { index_cache_bytes: 0, ..StoreOptions::default() }).await;
    let up = || vec![Matcher::new(MatchOp::Equal, "__name__", "up").unwrap()];
    let all = ask(&without, SeriesRequest::new(up(), TimeRange::ALL)).await.unwrap();
    let chunks = || all.iter().flat_map(|series| &series.chunks);
    let (min, max) =
        (chunks().map(|c| c.min_time.0).min().unwrap(), chunks().map(|c| c.max_time.0).max().unwrap());
    let ranges = [(min, max), (min, min), ((min + max) / 2, max), (max, max), (max + 1, max + 2)];
    for (range, without_labels) in
        ranges.into_iter().flat_map(|range| [(range, vec![]), (range, vec!["job".to_owned()])])
    {
        let range = TimeRange::new(range.0, range.1);
        let request =
            || SeriesRequest { without_labels: without_labels.clone(), ..SeriesRequest::new(up(), range) };
        let expected = ask(&without, request()).await.unwrap();
        // The second request fills the cache, and the third reads from it.
        for _ in 0..3 {
            assert_eq!(ask(&store, request()).await.unwrap(), expected, "{range:?} {without_labels:?}");
        }
    }
    let kept = value(&metrics, "items{item_type=\"Series\"}");
    assert!(kept > 0 && value(&metrics, "hits_total{item_type=\"Series\"") > kept, "{}", metrics.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_matchers_are_looked_up_once() {
    let dir = bed::bucket_of(&["replica-a"]);
    let metrics = Metrics::new("0");
    let bucket = Bucket::open(&BucketConfig::filesystem(dir.path())).unwrap();
    let store = bed::store_with(bucket, StoreOptions::default(), &metrics).await;
    let without =
        bed::store_over(dir.path(), StoreOptions { index_cache_bytes: 0, ..StoreOptions::default() }).await;
    let request = || SeriesRequest::new(matchers(), TimeRange::ALL);
    let expected = ask(&without, request()).await.unwrap();
    assert!(!expected.is_empty());
    assert_eq!(ask(&store, request()).await.unwrap(), expected);
    let (asked, items) = (value(&metrics, "requests_total"), value(&metrics, "items{"));
    assert!(items > 0 && asked == items && value(&metrics, "hits_total") == 0, "{}", metrics.text());
    let reversed = SeriesRequest { matchers: matchers().into_iter().rev().collect(), ..request() };
    assert_eq!(ask(&store, reversed).await.unwrap(), expected);
    let limited = SeriesRequest { limit: 3, ..request() };
    assert_eq!(ask(&store, limited).await.unwrap().len(), 3);
    assert_eq!(value(&metrics, "hits_total"), 2 * items);
    assert_eq!(value(&metrics, "items{"), items);
    for block in std::fs::read_dir(dir.path()).unwrap() {
        std::fs::remove_dir_all(block.unwrap().path()).unwrap();
    }
    store.sync().await.unwrap();
    assert!(ask(&store, request()).await.unwrap().is_empty());
    assert_eq!((value(&metrics, "items{"), value(&metrics, "total_size_bytes")), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_reads_no_more_bytes_than_it_may() {
    let dir = bed::bucket_of(&["replica-a"]);
    let with = |downloaded_bytes_max| StoreOptions { downloaded_bytes_max, ..StoreOptions::default() };
    for by_ranges in [false, true] {
        let bucket = || {
            let bucket = Bucket::open(&BucketConfig::filesystem(dir.path())).unwrap();
            if by_ranges { bucket.by_ranges() } else { bucket }
        };
        let request = || SeriesRequest::new(matchers(), TimeRange::ALL);
        let enough = bed::store_of(bucket(), with(1 << 30)).await;
        assert!(!ask(&enough, request()).await.unwrap().is_empty());
        let little = bed::store_of(bucket(), with(2_000)).await;
        let error = ask(&little, request()).await.unwrap_err();
        let is_told = |error: &StoreApiError| {
            assert_eq!(error.kind(), ErrorKind::LimitExceeded);
            let text = error.to_string();
            assert!(
                text.starts_with("exceeded bytes limit while reading index and chunks: limit 2000"),
                "{text}"
            );
        };
        is_told(&error);
        let names = LabelsRequest::names(matchers(), TimeRange::ALL);
        is_told(&little.labels(names).await.unwrap_err());
    }
}

/// The sum of a histogram of the bytes that calls read.
fn sum(metrics: &Metrics, name: &str, data_type: &str) -> f64 {
    let text = metrics.text();
    let prefix = format!("thanos_bucket_store_series_data_size_{name}_bytes_sum{{data_type=\"{data_type}\"");
    let lines = text.lines().filter(|line| line.starts_with(&prefix));
    lines.filter_map(|line| line.rsplit_once(' ')).map(|(_, value)| value.parse::<f64>().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bytes_that_a_call_reads_are_counted() {
    let dir = bed::bucket_of(&["replica-a"]);
    for by_ranges in [false, true] {
        let bucket = Bucket::open(&BucketConfig::filesystem(dir.path())).unwrap();
        let bucket = if by_ranges { bucket.by_ranges() } else { bucket };
        let metrics = Metrics::new("0");
        let store = bed::store_with(bucket, StoreOptions::default(), &metrics).await;
        let all = ask(&store, SeriesRequest::new(matchers(), TimeRange::ALL)).await.unwrap();
        // A record is the chunk behind its length and encoding, and before its checksum.
        let record = |len: usize| len + if len < 0x80 { 6 } else { 7 };
        let records: usize =
            all.iter().flat_map(|one| &one.chunks).map(|chunk| record(chunk.data.len())).sum();
        assert_eq!(sum(&metrics, "touched", "chunks"), records as f64);
        for data_type in ["postings", "series", "chunks"] {
            let (touched, fetched) =
                (sum(&metrics, "touched", data_type), sum(&metrics, "fetched", data_type));
            assert!(touched > 0.0 && touched <= fetched, "{data_type}: {touched} of {fetched}");
        }
        // With as many series as here, neighbours tell most lengths.
        assert!(sum(&metrics, "touched", "chunks") >= 0.5 * sum(&metrics, "fetched", "chunks"));
    }
}

/// Where meta.json does not tell the greatest sizes, as in a sidecar's blocks, sizes are judged by the averages.
#[tokio::test(flavor = "multi_thread")]
async fn one_series_of_a_sidecars_block_takes_few_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let id = "01HWRQ6W00X6DPMYWAJ8WS5VBY";
    let golden = tithon_testdata::shared("testdata/bucket").join(id);
    tithon_testdata::copy_dir(&golden, &dir.path().join(id));
    std::fs::remove_file(dir.path().join(id).join("deletion-mark.json")).unwrap();
    let metrics = Metrics::new("0");
    let bucket = || Bucket::open(&BucketConfig::filesystem(dir.path())).unwrap().by_ranges();
    let store = bed::store_of(bucket(), StoreOptions::default()).await;
    let named = vec![Matcher::new(MatchOp::NotEqual, "__name__", "").unwrap()];
    let all = ask(&store, SeriesRequest::new(named, TimeRange::ALL)).await.unwrap();
    let wanted = &all[20];
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let equal =
        |(name, value): (&[u8], &[u8])| Matcher::new(MatchOp::Equal, text(name), text(value)).unwrap();
    let matchers = wanted.labels.iter().map(equal).collect();
    let store = bed::store_with(bucket(), StoreOptions::default(), &metrics).await;
    let found = ask(&store, SeriesRequest::new(matchers, TimeRange::ALL)).await.unwrap();
    assert_eq!(found, std::slice::from_ref(wanted));
    for data_type in ["series", "chunks"] {
        let (touched, fetched) = (sum(&metrics, "touched", data_type), sum(&metrics, "fetched", data_type));
        assert!(touched > 0.0 && fetched <= 1_000.0, "{data_type}: {touched} of {fetched}");
    }
}

/// Of all bytes that calls for single series read, chunks and what leads to them, at least half are needed.
#[tokio::test(flavor = "multi_thread")]
async fn half_of_the_bytes_of_a_point_query_are_needed() {
    let dir = bed::bucket_of(&["replica-a"]);
    let bucket = || Bucket::open(&BucketConfig::filesystem(dir.path())).unwrap().by_ranges();
    let all = bed::store_of(bucket(), StoreOptions::default()).await;
    let all = ask(&all, SeriesRequest::new(matchers(), TimeRange::ALL)).await.unwrap();
    let metrics = Metrics::new("0");
    let store = bed::store_with(bucket(), StoreOptions::default(), &metrics).await;
    for wanted in all.iter().step_by(all.len().div_ceil(30)) {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let equal =
            |(name, value): (&[u8], &[u8])| Matcher::new(MatchOp::Equal, text(name), text(value)).unwrap();
        let last = wanted.chunks.last().unwrap();
        let range = TimeRange::new(last.min_time.0, last.max_time.0);
        let request = SeriesRequest::new(wanted.labels.iter().map(equal).collect(), range);
        assert!(ask(&store, request).await.unwrap().contains(wanted) || wanted.chunks.len() > 1);
    }
    let of = |name| ["postings", "series", "chunks"].map(|data_type| sum(&metrics, name, data_type));
    let (touched, fetched) = (of("touched"), of("fetched"));
    assert!(2.0 * touched[2] >= fetched[2], "chunks: {touched:?} of {fetched:?}");
    assert!(2.0 * touched.iter().sum::<f64>() >= fetched.iter().sum(), "{touched:?} of {fetched:?}");
}

/// A message with its gRPC flag and length in front.
fn framed(flag: u8, bytes: &[u8]) -> Bytes {
    [&[flag][..], &(bytes.len() as u32).to_be_bytes(), bytes].concat().into()
}

/// Sends a request as grpc-go's client with snappy does, and decompresses the answer by hand.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_speaks_snappy_is_answered_in_it() {
    let dir = bed::bucket_of(&["replica-a"]);
    let store = bed::store_over(dir.path(), StoreOptions::default()).await;
    let mut channel = bed::serve(store, Probes::default()).await;
    let up = LabelMatcher { r#type: 0, name: "__name__".into(), value: "up".into() };
    let request = thanos::SeriesRequest {
        matchers: vec![up],
        max_time: i64::MAX,
        response_batch_size: 64,
        ..thanos::SeriesRequest::default()
    };
    let plain = StoreClient::new(channel.clone()).series(request.clone()).await.unwrap();
    let plain: Vec<SeriesResponse> = plain.into_inner().map(Result::unwrap).collect().await;
    assert!(!plain.is_empty());
    let mut packed = snap::write::FrameEncoder::new(Vec::new());
    packed.write_all(&request.encode_to_vec()).unwrap();
    let body = Full::new(framed(1, &packed.into_inner().unwrap())).map_err(|never| match never {});
    let call = http::Request::post("http://store/thanos.Store/Series")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-encoding", "snappy")
        .header("grpc-accept-encoding", "snappy");
    channel.ready().await.unwrap();
    let answer = channel.call(call.body(tonic::body::Body::new(body)).unwrap()).await.unwrap();
    assert_eq!(answer.headers()["grpc-encoding"], "snappy");
    let body = answer.into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["grpc-status"], "0");
    let (body, mut unpacked) = (body.to_bytes(), Vec::new());
    let mut rest = &body[..];
    while !rest.is_empty() {
        let (head, behind) = rest.split_at(5);
        let (message, behind) = behind.split_at(u32::from_be_bytes(head[1..].try_into().unwrap()) as usize);
        assert_eq!(head[0], 1);
        let mut bytes = Vec::new();
        snap::read::FrameDecoder::new(message).read_to_end(&mut bytes).unwrap();
        unpacked.push(SeriesResponse::decode(&bytes[..]).unwrap());
        rest = behind;
    }
    assert_eq!(unpacked, plain);
}
