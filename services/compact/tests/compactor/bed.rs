//! A bucket in memory with small blocks, a compactor over it, and what readers find in it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path as LocalPath;
use std::sync::{Arc, LazyLock, Mutex};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tithon_bucket::Bucket;
use tithon_chunks::{EncodedChunk, Encoding, TimeRange, Timestamp, XorEncoder, decode_exact};
use tithon_compact::{Compactor, CompactorOptions};
use tithon_engine::{
    Block, BlockId, BlockMeta, BlockWriter, Compaction, Downsample, File, MetaParts, SelectRequest,
    SourceType, ThanosMeta, plan,
};
use tithon_index::Labels;
use tithon_runtime::{Cpu, Metrics, Shutdown};
use xxhash_rust::xxh64::Xxh64;

pub const HOUR: i64 = 3_600_000;
/// 2023-11-15T00:00:00Z, a multiple of 8 hours.
pub const BASE: i64 = 1_700_006_400_000;

/// A block to be made; hours count from [`BASE`].
#[derive(Clone, Debug)]
pub struct Spec {
    pub number: u64,
    pub hours: (i64, i64),
    pub labels: Vec<(&'static str, &'static str)>,
    pub resolution: i64,
    /// Milliseconds added to every sample's time, and the sample's value.
    pub shift: i64,
}

impl Spec {
    pub fn new(number: u64, hours: (i64, i64), cluster: &'static str) -> Spec {
        Spec { number, hours, labels: vec![("cluster", cluster)], resolution: 0, shift: 0 }
    }

    pub fn id(&self) -> BlockId {
        BlockId::from_parts((BASE + self.hours.1 * HOUR) as u64, u128::from(self.number))
    }
}

/// Twelve series, a sample every ten minutes, six samples a chunk.
fn write_block(parent: &LocalPath, spec: &Spec) -> BlockMeta {
    let mut writer = BlockWriter::create(parent, spec.id()).unwrap();
    let (from, to) = (BASE + spec.hours.0 * HOUR, BASE + spec.hours.1 * HOUR);
    let times: Vec<i64> = (from..to).step_by(600_000).map(|t| t + spec.shift).collect();
    for n in 0..12 {
        let labels = Labels::from_pairs([("__name__", "m"), ("n", &format!("{n:02}"))]);
        let chunk = |part: &[i64]| {
            let mut encoder = XorEncoder::new();
            part.iter().for_each(|t| encoder.push(*t, (*t / 1000 % 977 + n + spec.shift) as f64));
            let (min_time, max_time) = (Timestamp(part[0]), Timestamp(part[part.len() - 1]));
            EncodedChunk { encoding: Encoding::Xor, min_time, max_time, data: encoder.finish().into() }
        };
        let chunks: Vec<EncodedChunk> = times.chunks(6).map(chunk).collect();
        writer.add_series(&labels, &chunks).unwrap();
    }
    let thanos = ThanosMeta {
        labels: spec.labels.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect(),
        source: SourceType::Sidecar,
        downsample: Downsample { resolution: spec.resolution },
        ..ThanosMeta::default()
    };
    let compaction = Compaction { level: 1, sources: vec![spec.id()], ..Compaction::default() };
    let parts = MetaParts { min_time: from, max_time: to, compaction, thanos: Some(thanos) };
    writer.finish(parts).unwrap().unwrap()
}

/// Puts blocks into a new bucket.
pub async fn bucket_of(specs: &[Spec]) -> InMemory {
    let (store, dir) = (InMemory::new(), tempfile::tempdir().unwrap());
    for spec in specs {
        let mut meta = write_block(dir.path(), spec);
        let mut files = Vec::new();
        for name in ["chunks/000001", "index"] {
            let bytes = std::fs::read(dir.path().join(spec.id().to_string()).join(name)).unwrap();
            files.push(File { rel_path: name.to_owned(), size_bytes: bytes.len() as u64, hash: None });
            put(&store, spec.id(), name, bytes).await;
        }
        meta.thanos.as_mut().unwrap().files = files;
        put(&store, spec.id(), "meta.json", meta.to_json()).await;
    }
    store
}

pub async fn put(store: &InMemory, block: BlockId, name: &str, bytes: Vec<u8>) {
    store.put(&Path::from(format!("{block}/{name}")), bytes.into()).await.unwrap();
}

pub async fn get(store: &InMemory, block: BlockId, name: &str) -> Option<Bytes> {
    let result = store.get(&Path::from(format!("{block}/{name}"))).await.ok()?;
    Some(result.bytes().await.unwrap())
}

pub async fn delete(store: &InMemory, block: BlockId, name: &str) {
    store.delete(&Path::from(format!("{block}/{name}"))).await.unwrap();
}

/// A compactor over any store.
pub fn compactor(store: Arc<dyn ObjectStore>, options: CompactorOptions) -> Compactor {
    compactor_over(Bucket::from_store(store, ""), options)
}

pub fn compactor_over(bucket: Bucket, options: CompactorOptions) -> Compactor {
    let (cpu, metrics) = (Cpu::new(1).unwrap(), Metrics::new("0"));
    Compactor::new(bucket, options, cpu, &metrics, Shutdown::default(), true)
}

pub fn options(dir: &LocalPath) -> CompactorOptions {
    CompactorOptions { data_dir: dir.to_owned(), ..CompactorOptions::default() }
}

/// All objects by key.
pub async fn objects(store: &InMemory) -> BTreeMap<String, Bytes> {
    let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
    let mut out = BTreeMap::new();
    for object in listed {
        let bytes = store.get(&object.location).await.unwrap().bytes().await.unwrap();
        out.insert(object.location.to_string(), bytes);
    }
    out
}

/// A complete block as it can be compared between runs: everything but ids and times of upload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Summary {
    pub labels: BTreeMap<String, String>,
    pub resolution: i64,
    pub range: (i64, i64),
    pub level: i64,
    pub shard: plan::ShardClass,
    /// Those before the cut of a shard, whose own are told by ids.
    pub sources: Vec<BlockId>,
    pub content: u64,
    pub marks: Vec<String>,
}

/// The complete blocks of a bucket; ids apart, two runs over the same input must leave the same.
pub fn summaries(objects: &BTreeMap<String, Bytes>) -> Vec<(BlockId, Summary)> {
    let mut out = Vec::new();
    for meta in metas(objects) {
        let prefix = format!("{}/", meta.ulid);
        let of_block = || objects.iter().filter(|(key, _)| key.starts_with(&prefix));
        let (shard, sources) = (plan::ShardClass::of(&meta), plan::lineage(&meta));
        let thanos = meta.thanos.clone().unwrap();
        let content = of_block().filter(|(key, _)| key.contains("/chunks/") || key.ends_with("/index"));
        let content: Vec<u8> = content.flat_map(|(_, bytes)| bytes.iter().copied()).collect();
        let marks = of_block().filter(|(key, _)| key.ends_with("-mark.json"));
        let summary = Summary {
            labels: thanos.labels,
            resolution: thanos.downsample.resolution,
            range: (meta.min_time, meta.max_time),
            level: meta.compaction.level,
            shard,
            sources,
            content: xxhash_rust::xxh64::xxh64(&content, 0),
            marks: marks.map(|(key, _)| key[prefix.len()..].to_owned()).collect(),
        };
        out.push((meta.ulid, summary));
    }
    out.sort_by(|a, b| a.1.cmp(&b.1));
    out
}

pub fn metas(objects: &BTreeMap<String, Bytes>) -> Vec<BlockMeta> {
    let metas = objects.iter().filter(|(key, _)| key.ends_with("/meta.json"));
    metas.filter_map(|(_, bytes)| BlockMeta::parse(bytes).ok()).collect()
}

/// Every raw sample that a reader of the whole bucket finds. Panics on a block that has a meta.json and is not whole,
/// unless it is one of `damaged`.
pub fn samples(objects: &BTreeMap<String, Bytes>, damaged: &[BlockId]) -> BTreeSet<String> {
    let raw = metas(objects).into_iter();
    let raw = raw.filter(|meta| !damaged.contains(&meta.ulid) && meta.resolution_ms() == 0);
    samples_of(objects, raw).into_iter().collect()
}

/// Every sample of raw blocks, as often as it is there, in order.
pub fn samples_of(
    objects: &BTreeMap<String, Bytes>,
    blocks: impl IntoIterator<Item = BlockMeta>,
) -> Vec<String> {
    /// What was read once, by the block's files and cluster.
    static READ: LazyLock<Mutex<HashMap<u64, Arc<Vec<String>>>>> = LazyLock::new(Mutex::default);
    let mut out = Vec::new();
    for meta in blocks {
        let prefix = format!("{}/", meta.ulid);
        let of_block = || objects.iter().filter(|(key, _)| key.starts_with(&prefix));
        let cluster = &meta.thanos.as_ref().unwrap().labels["cluster"];
        let mut hash = Xxh64::new(0);
        hash.update(cluster.as_bytes());
        of_block().filter(|(key, _)| !key.ends_with(".json")).for_each(|(_, bytes)| hash.update(bytes));
        let read = READ.lock().unwrap().get(&hash.digest()).cloned();
        let samples = read.unwrap_or_else(|| Arc::new(read_samples(of_block(), meta.ulid, cluster)));
        READ.lock().unwrap().insert(hash.digest(), Arc::clone(&samples));
        assert_eq!(samples.len() as u64, meta.stats.num_samples, "{}", meta.ulid);
        out.extend(samples.iter().cloned());
    }
    out.sort_unstable();
    out
}

fn read_samples<'o>(
    objects: impl Iterator<Item = (&'o String, &'o Bytes)>,
    block: BlockId,
    cluster: &str,
) -> Vec<String> {
    let (dir, mut out) = (tempfile::tempdir().unwrap(), Vec::new());
    for (key, bytes) in objects {
        let path = dir.path().join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let block = Block::open(dir.path().join(block.to_string())).unwrap();
    for batch in block.select(SelectRequest::new(vec![], TimeRange::ALL)) {
        for series in batch.unwrap().series {
            for chunk in &series.chunks {
                let mut decoded = Vec::new();
                decode_exact(chunk.encoding, &chunk.data, &mut decoded).unwrap();
                let line = |s: &tithon_chunks::Sample| {
                    format!("{cluster} {} {} {:?}", series.labels, s.t.0, s.value)
                };
                out.extend(decoded.iter().map(line));
            }
        }
    }
    out
}

pub fn is_marked_for_deletion(objects: &BTreeMap<String, Bytes>, block: BlockId) -> bool {
    objects.contains_key(&format!("{block}/deletion-mark.json"))
}

/// The raw blocks of a bucket that our readers look at.
pub fn seen_by_us(objects: &BTreeMap<String, Bytes>) -> Vec<BlockMeta> {
    let mut seen = served_by_us(objects);
    seen.retain(|meta| meta.resolution_ms() == 0);
    seen
}

/// The blocks of a bucket that our readers look at: not those whose data others have, nor shards that came before their
/// siblings.
pub fn served_by_us(objects: &BTreeMap<String, Bytes>) -> Vec<BlockMeta> {
    let mut seen = Vec::new();
    for family in plan::families(metas(objects)) {
        let gone = plan::duplicates(&family);
        seen.extend(family.into_iter().filter(|meta| !gone.contains(&meta.ulid)));
    }
    let incomplete = plan::incomplete_shards(&seen);
    seen.retain(|meta| !incomplete.contains(&meta.ulid));
    seen
}

/// The raw blocks of a bucket that Thanos's store looks at (`pkg/block/fetcher.go`): not those whose sources are all among
/// those of another.
pub fn seen_by_thanos(objects: &BTreeMap<String, Bytes>) -> Vec<BlockMeta> {
    let mut seen: Vec<BlockMeta> = Vec::new();
    for mut family in plan::families(metas(objects)) {
        family.sort_by_key(|meta| (std::cmp::Reverse(meta.compaction.sources.len()), meta.ulid));
        let mut kept: Vec<BlockMeta> = Vec::new();
        for meta in family.into_iter().filter(|meta| meta.resolution_ms() == 0) {
            let within = |other: &BlockMeta| {
                meta.compaction.sources.iter().all(|source| other.compaction.sources.contains(source))
            };
            if !kept.iter().any(within) {
                kept.push(meta);
            }
        }
        seen.extend(kept);
    }
    seen
}
