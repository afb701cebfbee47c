//! Range caches on real servers, memcached and redis. They are started if their programs are installed; with
//! `TITHON_SERVERS=1`, as in CI, a missing program is a failure.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use prometheus_client::registry::Registry;
use tithon_bucket::{Bucket, CacheConfig, RangeCache};
use tithon_engine::{BlockFile, BlockMeta, FileRange};

const BLOCK: &str = "01HRK1D7808Y7332HNV6GP9882";

/// A child process that is killed when this is dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a server and waits until it accepts connections; `None` if the program is not installed.
fn start(program: &str, args: &[String], port: u16) -> Option<Server> {
    let child = Command::new(program).args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let child = match child {
        Ok(child) => child,
        Err(error) => {
            assert!(std::env::var_os("TITHON_SERVERS").is_none(), "{program}: {error}");
            eprintln!("skipped: {program} is not installed");
            return None;
        }
    };
    let server = Server(child);
    let deadline = Instant::now() + Duration::from_secs(20);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "{program} does not listen on {port}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(server)
}

fn memcached() -> Option<(Server, u16)> {
    let port = tithon_testdata::free_port();
    let args = ["-u", "root", "-l", "127.0.0.1", "-U", "0", "-p", &port.to_string()].map(str::to_owned);
    Some((start("memcached", &args, port)?, port))
}

fn redis() -> Option<(Server, u16)> {
    let port = tithon_testdata::free_port();
    let args = ["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
    Some((start("redis-server", &args.map(str::to_owned), port)?, port))
}

/// A bucket with one golden block whose segment is replaced by `bytes`.
async fn bucket(segment: &Bytes) -> (Bucket, Arc<BlockMeta>) {
    let store = Arc::new(InMemory::new());
    let dir = tithon_testdata::shared("answers/data/replica-a").join(BLOCK);
    for file in ["meta.json", "index"] {
        let bytes = PutPayload::from(std::fs::read(dir.join(file)).unwrap());
        store.put(&Path::from(format!("{BLOCK}/{file}")), bytes).await.unwrap();
    }
    let path = Path::from(format!("{BLOCK}/chunks/000001"));
    store.put(&path, PutPayload::from(segment.clone())).await.unwrap();
    let meta = BlockMeta::parse(&std::fs::read(dir.join("meta.json")).unwrap()).unwrap();
    (Bucket::from_store(store as Arc<dyn ObjectStore>, ""), Arc::new(meta))
}

fn segment() -> Bytes {
    (0..200_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// Ranges of the segment: within one piece, over several pieces, and repeated.
fn ranges() -> Vec<FileRange> {
    let range = |start, len| FileRange { file: BlockFile::Segment(0), start, len };
    vec![range(0, 10), range(15_990, 20), range(40_000, 70_000), range(199_990, 10), range(15_990, 20)]
}

async fn fetch(bucket: &Bucket, meta: &Arc<BlockMeta>) -> Vec<Bytes> {
    let block = bucket.open_block(Arc::clone(meta), None).await.unwrap();
    block.fetch(&ranges()).await.unwrap()
}

fn expected(segment: &Bytes) -> Vec<Bytes> {
    let cut = |range: &FileRange| segment.slice(range.start as usize..range.end() as usize);
    ranges().iter().map(cut).collect()
}

/// The value of a counter.
fn counter(registry: &Registry, name: &str) -> u64 {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
    let name = format!("thanos_store_bucket_cache_{name}_total");
    let line = text.lines().find(|line| line.starts_with(&name)).unwrap_or_else(|| panic!("{name}: {text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Two processes share a cache: one finds the pieces that the other has read.
async fn shared(config: &CacheConfig) {
    let segment = segment();
    let (bucket, meta) = bucket(&segment).await;
    let open = || {
        let (cache, mut registry) = (RangeCache::open(config).unwrap(), Registry::default());
        cache.register_metrics("chunks", &mut registry);
        (bucket.clone().with_range_caches(None, Some(cache)), registry)
    };
    let (first, counts) = open();
    assert_eq!(fetch(&first, &meta).await, expected(&segment));
    assert!(counter(&counts, "getrange_fetched_bytes") > 70_000 && counter(&counts, "operation_hits") == 0);
    let (second, counts) = open();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        // Items are written in the background.
        let before = counter(&counts, "getrange_fetched_bytes");
        assert_eq!(fetch(&second, &meta).await, expected(&segment));
        if counter(&counts, "getrange_fetched_bytes") == before {
            break;
        }
        assert!(Instant::now() < deadline, "the cache keeps nothing");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(counter(&counts, "operation_hits") >= 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn memcached_servers_share_the_keys() {
    let (Some((_one, first)), Some((_two, second))) = (memcached(), memcached()) else { return };
    let text = format!(
        "type: MEMCACHED\nconfig: {{addresses: ['127.0.0.1:{first}', '127.0.0.1:{second}'], timeout: 10s}}"
    );
    shared(&CacheConfig::parse_caching_bucket(&text).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_keeps_pieces() {
    let Some((_server, port)) = redis() else { return };
    let text = format!("type: REDIS\nconfig: {{addr: '127.0.0.1:{port}', prefix: 'x:', db: 1}}");
    shared(&CacheConfig::parse_caching_bucket(&text).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_restarts_is_found_again() {
    let Some((server, port)) = redis() else { return };
    let text = format!("type: REDIS\nconfig: {{addr: '127.0.0.1:{port}', read_timeout: 1s}}");
    let cache = RangeCache::open(&CacheConfig::parse_caching_bucket(&text).unwrap()).unwrap();
    let mut registry = Registry::default();
    cache.register_metrics("chunks", &mut registry);
    let segment = segment();
    let (bucket, meta) = bucket(&segment).await;
    let bucket = bucket.with_range_caches(None, Some(cache));
    assert_eq!(fetch(&bucket, &meta).await, expected(&segment));
    drop(server);
    assert_eq!(fetch(&bucket, &meta).await, expected(&segment));
    let args = ["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""].map(str::to_owned);
    let _server = start("redis-server", &args, port).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let before = counter(&registry, "operation_hits");
    while counter(&registry, "operation_hits") == before {
        assert_eq!(fetch(&bucket, &meta).await, expected(&segment));
        assert!(Instant::now() < deadline, "the server is not asked again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A server that accepts connections and never answers costs a bounded delay, and then none.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_server_is_left_alone() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, accepted) = (listener.local_addr().unwrap().port(), Arc::new(AtomicU64::new(0)));
    let count = Arc::clone(&accepted);
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            held.push(stream);
        }
    });
    let text = format!("type: MEMCACHED\nconfig: {{addresses: ['127.0.0.1:{port}'], timeout: 20ms}}");
    let cache = RangeCache::open(&CacheConfig::parse_caching_bucket(&text).unwrap()).unwrap();
    let segment = segment();
    let (bucket, meta) = bucket(&segment).await;
    let bucket = bucket.with_range_caches(None, Some(cache));
    for _ in 0..50 {
        assert_eq!(fetch(&bucket, &meta).await, expected(&segment));
    }
    // Each failure is one connection; after five in a row there are none for a while.
    assert!(accepted.load(Ordering::Relaxed) <= 20, "{accepted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_indexes() {
    let segment = segment();
    let (bucket, meta) = bucket(&segment).await;
    let cache = RangeCache::open(&CacheConfig::index_in_memory(1 << 20)).unwrap();
    let mut registry = Registry::default();
    cache.register_metrics("index", &mut registry);
    let bucket = bucket.with_range_caches(Some(cache), None);
    let block = bucket.open_block(meta, None).await.unwrap();
    let range = FileRange { file: BlockFile::Index, start: 5, len: 10_000 };
    let once = block.fetch(&[range]).await.unwrap();
    let fetched = counter(&registry, "getrange_fetched_bytes");
    assert_eq!(block.fetch(&[range]).await.unwrap(), once);
    assert_eq!(counter(&registry, "getrange_fetched_bytes"), fetched);
    assert_eq!(once[0].len(), 10_000);
}
