//! A hundred seeded corruptions: the rest of the bucket is finished every time, nothing sound is lost, and the block at
//! fault is named with what is wrong and where.

use std::sync::Arc;

use object_store::memory::InMemory;
use tithon_compact::{CompactorOptions, Report};
use tithon_engine::BlockId;
use tithon_index::IndexReader;

use crate::bed::{self, Spec};

const CLUSTERS: [&str; 4] = ["a", "b", "c", "d"];

fn specs() -> Vec<Spec> {
    let block = |c: usize, i: i64| Spec::new(c as u64 * 10 + i as u64, (2 * i, 2 * i + 2), CLUSTERS[c]);
    (0..CLUSTERS.len()).flat_map(|c| (0..5).map(move |i| block(c, i))).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    TruncatedChunks,
    ChunkChecksum,
    Overlap,
    ChunkOutOfOrder,
    DuplicateSeries,
    MissingSymbol,
    MissingObject,
    HalfUpload,
    CutMeta,
    TruncatedIndex,
    UnknownEncoding,
}

const KINDS: [Kind; 11] = [
    Kind::TruncatedChunks,
    Kind::ChunkChecksum,
    Kind::Overlap,
    Kind::ChunkOutOfOrder,
    Kind::DuplicateSeries,
    Kind::MissingSymbol,
    Kind::MissingObject,
    Kind::HalfUpload,
    Kind::CutMeta,
    Kind::TruncatedIndex,
    Kind::UnknownEncoding,
];

impl Kind {
    /// What the report must say.
    fn names(self) -> &'static [&'static str] {
        match self {
            Kind::TruncatedChunks => &["chunks"],
            Kind::ChunkChecksum => &["chunks/000001 at offset ", "checksum"],
            Kind::Overlap => &["overlap"],
            Kind::ChunkOutOfOrder => &["block-index-out-of-order-chunk", "begin before"],
            Kind::DuplicateSeries => &["index", "order of series"],
            Kind::MissingSymbol => &["index", "symbol"],
            Kind::MissingObject => &["block-corrupt"],
            Kind::HalfUpload => &[],
            Kind::CutMeta => &["meta.json line"],
            Kind::TruncatedIndex => &["index"],
            Kind::UnknownEncoding => &["block-corrupt", "chunks/000001 at offset ", "encoding", "unknown"],
        }
    }
}

/// A small generator of our own: the same numbers for the same seed everywhere.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

/// Where the parts of the second series entry lie in an index.
struct Entry {
    body: std::ops::Range<usize>,
    label_refs: std::ops::Range<usize>,
    second_chunk_delta: std::ops::Range<usize>,
    first_label_refs: std::ops::Range<usize>,
}

fn varint(bytes: &[u8], at: &mut usize) -> usize {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = bytes[*at];
        *at += 1;
        value |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            return value;
        }
    }
}

fn entry(index: &[u8]) -> Entry {
    let reader = IndexReader::open(index.to_vec().into()).unwrap();
    let ids: Vec<_> = reader.postings(&[], 0).unwrap().iter().collect();
    let parse = |which: usize| {
        let mut at = reader.header().series_offset(ids[which]) as usize;
        let len = varint(index, &mut at);
        let body = at..at + len;
        let labels = varint(index, &mut at);
        let refs = at;
        for _ in 0..2 * labels {
            varint(index, &mut at);
        }
        (body, refs..at)
    };
    let ((_, first_label_refs), (body, label_refs)) = (parse(0), parse(1));
    let mut at = label_refs.end;
    // Chunk count, first time, length in time, reference.
    for _ in 0..4 {
        varint(index, &mut at);
    }
    let delta = at;
    varint(index, &mut at);
    Entry { body, label_refs, second_chunk_delta: delta..at, first_label_refs }
}

/// Changes the second series entry and makes its checksum right again.
fn edit_entry(index: &mut [u8], edit: impl FnOnce(&mut [u8], &Entry)) {
    let entry = entry(index);
    edit(index, &entry);
    let crc = crc32c::crc32c(&index[entry.body.clone()]);
    index[entry.body.end..entry.body.end + 4].copy_from_slice(&crc.to_be_bytes());
}

async fn corrupt(store: &InMemory, victim: &Spec, kind: Kind, seed: &mut Seeded) {
    let id = victim.id();
    let file = |name: &'static str| async move { bed::get(store, id, name).await.unwrap().to_vec() };
    // Without sizes in meta.json the damage must be found in the files themselves.
    if seed.below(2) == 0 {
        let mut meta = tithon_engine::BlockMeta::parse(&file("meta.json").await).unwrap();
        meta.thanos.as_mut().unwrap().files.clear();
        bed::put(store, id, "meta.json", meta.to_json()).await;
    }
    let (mut chunks, mut index) = (file("chunks/000001").await, file("index").await);
    match kind {
        Kind::TruncatedChunks => {
            chunks.truncate(seed.below(chunks.len() - 1));
            bed::put(store, id, "chunks/000001", chunks).await;
        }
        Kind::ChunkChecksum => {
            // Behind the header, the first chunk's length and its encoding.
            let at = 10 + seed.below(20);
            chunks[at] ^= 1 << seed.below(8);
            bed::put(store, id, "chunks/000001", chunks).await;
        }
        Kind::Overlap => {
            let hours = (victim.hours.0 + 1, victim.hours.1);
            let other = Spec { number: victim.number + 100, hours, ..victim.clone() };
            for (key, bytes) in bed::objects(&bed::bucket_of(&[other]).await).await {
                let (block, name) = key.split_once('/').unwrap();
                bed::put(store, block.parse().unwrap(), name, bytes.to_vec()).await;
            }
        }
        Kind::ChunkOutOfOrder => {
            edit_entry(&mut index, |bytes, entry| {
                let delta = &mut bytes[entry.second_chunk_delta.clone()];
                delta.fill(0x80);
                *delta.last_mut().unwrap() = 0;
            });
            bed::put(store, id, "index", index).await;
        }
        Kind::DuplicateSeries => {
            edit_entry(&mut index, |bytes, entry| {
                bytes.copy_within(entry.first_label_refs.clone(), entry.label_refs.start);
            });
            bed::put(store, id, "index", index).await;
        }
        Kind::MissingSymbol => {
            let which = seed.below(4);
            edit_entry(&mut index, |bytes, entry| bytes[entry.label_refs.start + which] = 0x7f);
            bed::put(store, id, "index", index).await;
        }
        Kind::MissingObject => {
            bed::delete(store, id, ["index", "chunks/000001"][seed.below(2)]).await;
        }
        Kind::HalfUpload => {
            bed::delete(store, id, "meta.json").await;
            if seed.below(2) == 0 {
                bed::delete(store, id, "index").await;
            }
        }
        Kind::CutMeta => {
            let mut meta = file("meta.json").await;
            meta.truncate(seed.below(meta.len() - 2));
            bed::put(store, id, "meta.json", meta).await;
        }
        Kind::UnknownEncoding => {
            // The first chunk, or a later one of the first series: length, encoding, data, checksum of the latter two.
            let mut at = 8;
            for _ in 0..seed.below(2) {
                at += usize::from(chunks[at]) + 6;
            }
            let end = at + 2 + usize::from(chunks[at]);
            chunks[at + 1] = [0, 7, 9, 254][seed.below(4)];
            let crc = crc32c::crc32c(&chunks[at + 1..end]).to_be_bytes();
            chunks[end..end + 4].copy_from_slice(&crc);
            bed::put(store, id, "chunks/000001", chunks).await;
        }
        Kind::TruncatedIndex => {
            index.truncate(seed.below(index.len() - 1));
            bed::put(store, id, "index", index).await;
        }
    }
}

async fn check(start: &InMemory, number: u64, streaming: bool) {
    let mut seed = Seeded(number * 7919 + 1);
    let kind = KINDS[number as usize % KINDS.len()];
    let (cluster, place) = (seed.below(CLUSTERS.len()), seed.below(4));
    let victim = specs()[cluster * 5 + place].clone();
    let store = Arc::new(start.fork());
    corrupt(&store, &victim, kind, &mut seed).await;
    let id = victim.id();
    let before = bed::samples(&bed::objects(&store).await, &[id]);
    let dir = tempfile::tempdir().unwrap();
    let options = CompactorOptions { streaming, ..bed::options(dir.path()) };
    let compactor = bed::compactor(Arc::clone(&store) as _, options);
    let report = compactor.iterate().await.unwrap_or_else(|e| panic!("{number} {kind:?}: {e}"));
    check_report(&report, id, kind, number);
    let objects = bed::objects(&store).await;
    let after = bed::samples(&objects, &[id]);
    assert!(after.is_superset(&before), "{number} {kind:?}: samples are lost");
    for (c, name) in CLUSTERS.iter().enumerate().filter(|(c, _)| *c != cluster) {
        let merged = bed::metas(&objects).into_iter().find(|meta| {
            meta.compaction.level == 2 && meta.thanos.as_ref().is_some_and(|t| t.labels["cluster"] == *name)
        });
        assert_eq!(merged.map(|meta| meta.compaction.sources.len()), Some(4), "{number} {kind:?}: group {c}");
    }
    let mark = bed::get(&store, id, "deletion-mark.json").await;
    assert!(mark.is_none(), "{number} {kind:?}: the block at fault is to be deleted");
    // What was found once is left alone from then on, or found again; either way the next run comes to its end.
    let again = compactor.iterate().await.unwrap();
    assert_eq!(again.compacted, 0, "{number} {kind:?}: {again:?}");
}

fn check_report(report: &Report, id: BlockId, kind: Kind, number: u64) {
    assert!(!report.is_unfinished(), "{number} {kind:?}: {report:?}");
    if kind == Kind::HalfUpload {
        assert!(report.faults.is_empty(), "{number} {kind:?}: {report:?}");
        return;
    }
    let fault = report.faults.iter().find(|fault| fault.block == Some(id));
    let what = &fault.unwrap_or_else(|| panic!("{number} {kind:?}: {id} is not named: {report:?}")).what;
    for part in kind.names() {
        assert!(what.contains(part), "{number} {kind:?}: {part:?} is not in {what:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_corruptions() {
    check_all(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_corruptions_met_by_ranges() {
    check_all(true).await;
}

async fn check_all(streaming: bool) {
    let start = Arc::new(bed::bucket_of(&specs()).await);
    let tasks = (0..100).map(|number| {
        let start = Arc::clone(&start);
        tokio::spawn(async move { check(&start, number, streaming).await })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}
