//! `Store.Series` over all series of a real block: the selection alone, with its frames, and over loopback to a client
//! that counts bytes and decodes nothing. `ns/item` is nanoseconds per series.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use divan::Bencher;
use divan::counter::ItemsCount;
use futures::StreamExt;
use tithon_bucket::{Bucket, BucketConfig};
use tithon_chunks::TimeRange;
use tithon_index::{MatchOp, Matcher};
use tithon_proto::thanos::{LabelMatcher, SeriesRequest, series_response};
use tithon_proto::{SeriesWriter, series_to_wire};
use tithon_runtime::{Cpu, GrpcServer, Metrics, Probes, Shutdown};
use tithon_store::{Store, StoreOptions};
use tithon_storeapi::{SeriesPart, StoreApi, StoreApiServer};
use tithon_testdata::copy_dir;
use tokio::runtime::Runtime;
use tonic::codec::{Codec, DecodeBuf, Decoder};
use tonic::transport::Channel;
use tonic_prost::{ProstCodec, ProstEncoder};

fn main() {
    divan::main();
}

/// A codec that decodes nothing and yields the length of each message.
#[derive(Clone, Copy, Default)]
struct Lengths;

impl Codec for Lengths {
    type Encode = SeriesRequest;
    type Decode = usize;
    type Encoder = ProstEncoder<SeriesRequest>;
    type Decoder = Lengths;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<SeriesRequest, SeriesRequest>::default().encoder()
    }

    fn decoder(&mut self) -> Lengths {
        Lengths
    }
}

impl Decoder for Lengths {
    type Item = usize;
    type Error = tonic::Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<usize>, tonic::Status> {
        use bytes::Buf;
        let len = bytes.remaining();
        bytes.advance(len);
        Ok(Some(len))
    }
}

struct Bed {
    runtime: Runtime,
    store: Store,
    channel: Channel,
    n_series: usize,
}

/// Uses the blocks in the directory `TITHON_BENCH_BUCKET`, or a block of the test data when it is not set.
fn bed() -> Bed {
    let runtime = Runtime::new().unwrap();
    let dir = std::env::temp_dir().join("tithon-bench-series");
    let dir = std::env::var_os("TITHON_BENCH_BUCKET").map_or(dir.clone(), Into::into);
    if !dir.exists() {
        let block = tithon_testdata::shared("testdata/blocks/real-2022");
        let meta = std::fs::read(block.join("meta.json")).unwrap();
        let meta: serde_json::Value = serde_json::from_slice(&meta).unwrap();
        copy_dir(&block, &dir.join(meta["ulid"].as_str().unwrap()));
    }
    let (store, channel) = runtime.block_on(async {
        let bucket = Bucket::open(&BucketConfig::filesystem(&dir)).unwrap();
        let cpu = Cpu::new(0).unwrap();
        let store =
            Store::open(bucket, StoreOptions::default(), cpu.clone(), &Metrics::new("0")).await.unwrap();
        let server = GrpcServer::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", server.local_addr());
        let services = StoreApiServer::new(Arc::new(store.clone()), cpu, Probes::default()).services();
        let descriptors = tithon_proto::FILE_DESCRIPTOR_SET;
        tokio::spawn(server.serve(
            services,
            descriptors,
            Probes::default(),
            Shutdown::default(),
            Duration::ZERO,
        ));
        let endpoint = Channel::from_shared(url).unwrap();
        let endpoint = endpoint.initial_stream_window_size(8 << 20).initial_connection_window_size(8 << 20);
        (store, endpoint.connect().await.unwrap())
    });
    let mut bed = Bed { runtime, store, channel, n_series: 0 };
    bed.n_series = bed.runtime.block_on(select(&bed.store, |batch| batch.series.len()));
    bed
}

async fn select(store: &Store, mut count: impl FnMut(&tithon_engine::SeriesBatch) -> usize) -> usize {
    let any = Matcher::new(MatchOp::NotEqual, "__name__", "").unwrap();
    let mut parts = store.series(tithon_engine::SeriesRequest::new(vec![any], TimeRange::ALL));
    let mut n = 0;
    while let Some(part) = parts.next().await {
        if let SeriesPart::Series(batch) = part.unwrap() {
            n += count(&batch);
        }
    }
    n
}

#[divan::bench(sample_count = 20)]
fn selection(bencher: Bencher) {
    let bed = bed();
    bencher
        .counter(ItemsCount::new(bed.n_series))
        .bench_local(|| bed.runtime.block_on(select(&bed.store, |batch| batch.series.len())));
}

#[divan::bench(sample_count = 20)]
fn selection_and_frames(bencher: Bencher) {
    let bed = bed();
    let (mut buffer, mut writer) = (Vec::new(), SeriesWriter::default());
    let mut encode = |batch: &tithon_engine::SeriesBatch| {
        buffer.clear();
        for series in &batch.series {
            writer.append(&mut buffer, &series.labels, &series.chunks, &[]).unwrap();
        }
        buffer.len()
    };
    bencher
        .counter(ItemsCount::new(bed.n_series))
        .bench_local(|| bed.runtime.block_on(select(&bed.store, &mut encode)));
}

#[divan::bench(sample_count = 20)]
fn selection_and_prost(bencher: Bencher) {
    use prost::Message;
    let bed = bed();
    let mut buffer = Vec::new();
    let mut encode = |batch: &tithon_engine::SeriesBatch| {
        buffer.clear();
        let wire = |s: &tithon_engine::SelectedSeries| series_to_wire(&s.labels, &s.chunks, &[]).unwrap();
        let series = batch.series.iter().map(wire).collect();
        let arm = series_response::Result::Batch(tithon_proto::thanos::SeriesBatch { series });
        tithon_proto::thanos::SeriesResponse { result: Some(arm) }.encode(&mut buffer).unwrap();
        buffer.len()
    };
    bencher
        .counter(ItemsCount::new(bed.n_series))
        .bench_local(|| bed.runtime.block_on(select(&bed.store, &mut encode)));
}

#[divan::bench(args = [1, 64], sample_count = 20)]
fn over_loopback(bencher: Bencher, response_batch_size: i64) {
    let bed = bed();
    let any = LabelMatcher { r#type: 1, name: "__name__".into(), value: "".into() };
    let request = SeriesRequest {
        min_time: i64::MIN,
        max_time: i64::MAX,
        matchers: vec![any],
        response_batch_size,
        ..SeriesRequest::default()
    };
    let call = async || {
        let mut client = tonic::client::Grpc::new(bed.channel.clone());
        client = client.max_decoding_message_size(usize::MAX);
        client.ready().await.unwrap();
        let path = http::uri::PathAndQuery::from_static("/thanos.Store/Series");
        let request = tonic::Request::new(request.clone());
        let mut frames = client.server_streaming(request, path, Lengths).await.unwrap().into_inner();
        let mut bytes = 0;
        while let Some(len) = frames.message().await.unwrap() {
            bytes += len;
        }
        bytes
    };
    bencher.counter(ItemsCount::new(bed.n_series)).bench_local(|| bed.runtime.block_on(call()));
}
