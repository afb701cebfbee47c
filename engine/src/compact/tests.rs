//! Compactions compared with the results of Prometheus and Thanos for the same blocks, to the byte.

use std::path::PathBuf;

use serde_json::Value;
use tithon_chunks::{EncodedChunk, Encoding, Timestamp};
use tithon_index::Labels;
use tithon_testdata::{json_lines, shared};

use super::*;
use crate::BlockWriter;

fn chunk_of(value: &Value) -> EncodedChunk {
    EncodedChunk {
        encoding: Encoding::from_byte(value["encoding"].as_u64().unwrap() as u8),
        min_time: Timestamp(value["mint"].as_i64().unwrap()),
        max_time: Timestamp(value["maxt"].as_i64().unwrap()),
        data: bytes_of(value["hex"].as_str().unwrap()).into(),
    }
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digit = |c: u8| (c as char).to_digit(16).unwrap() as u8;
    hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

#[test]
fn chunk_merges_are_as_recorded() {
    let lines = json_lines("testdata/vectors/chunk-merge.jsonl.zst");
    for line in &lines {
        let name = format!("{} {}", line["name"], line["func"]);
        let overlap = if line["func"] == "penalty" { Algorithm::Penalty } else { Algorithm::Chain };
        let none = Vec::new();
        let list = |v: &Value| v.as_array().unwrap_or(&none).iter().map(chunk_of).collect::<Vec<_>>();
        let pieces = |v: &Value| list(v).into_iter().map(chunks::Piece::from).collect();
        let lists = line["input"].as_array().unwrap_or(&none).iter().map(pieces).collect();
        let merged = chunks::merge(
            lists,
            CompactOptions { overlap, ..CompactOptions::default() },
            &mut chunks::Decoded::default(),
        )
        .unwrap();
        let merged = merged.iter().map(|c| (c.encoding(), c.range(), c.data().to_vec()));
        let expected = list(&line["output"]).into_iter().map(|c| (c.encoding, c.range(), c.data.to_vec()));
        assert_eq!(merged.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{name}");
    }
    assert_eq!(lines.len(), 320);
}

pub(super) fn blocks_in(dir: &str) -> Vec<Block> {
    let mut dirs: Vec<PathBuf> =
        std::fs::read_dir(shared(dir)).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
    dirs.sort();
    dirs.into_iter().map(|dir| Block::open(dir).unwrap()).collect()
}

/// Compacts `in` and compares every file with the block in `out`. The fields of meta.json that an upload adds are
/// copied.
fn check(case: &str, out: &str, options: CompactOptions) {
    let blocks = blocks_in(&format!("testdata/compaction/{case}/in"));
    let theirs = blocks_in(&format!("testdata/compaction/{case}/{out}")).remove(0);
    let thanos = theirs.meta().thanos.clone().map(|t| ThanosMeta { segment_files: vec![], ..t });
    let parent = tempfile::tempdir().unwrap();
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let made = pool
            .install(|| compact(&blocks, parent.path(), &[theirs.id()], thanos.clone(), options))
            .unwrap();
        assert!(made.iter().all(Option::is_some), "{case}");
        let ours = Block::open(parent.path().join(theirs.id().to_string())).unwrap();
        assert_eq!(ours.segments().len(), theirs.segments().len(), "{case}");
        for (i, (a, b)) in ours.segments().iter().zip(theirs.segments()).enumerate() {
            if a != b {
                let at = a.iter().zip(b.iter()).position(|(a, b)| a != b);
                panic!("{case}: segment {i} differs at {at:?}: {} and {} bytes", a.len(), b.len());
            }
        }
        assert!(ours.index() == theirs.index(), "{case}: index differs");
        assert!(crate::verify::verify(&ours).is_sound(), "{case}");
        let text = |m: &BlockMeta| String::from_utf8(m.to_json()).unwrap();
        assert_eq!(text(ours.meta()), text(theirs.meta()), "{case}");
        assert_eq!(ours.dir().join("tombstones").exists(), theirs.dir().join("tombstones").exists());
    }
}

#[test]
fn horizontal() {
    check("horizontal", "out", CompactOptions::default());
    check("horizontal-all-encodings", "out", CompactOptions::default());
    check("horizontal-aggr", "out", CompactOptions::default());
}

#[test]
fn vertical() {
    check("vertical", "out", CompactOptions::default());
    check("one-to-one", "out", CompactOptions::default());
    let xor2 = CompactOptions { float_encoding: FloatEncoding::Xor2, ..CompactOptions::default() };
    check("vertical-xor2", "out", xor2);
}

#[test]
fn penalty() {
    let options = CompactOptions { overlap: Algorithm::Penalty, ..CompactOptions::default() };
    check("penalty", "out", options);
    check("penalty-2h", "out", options);
    check("one-to-one", "out-penalty", options);
}

#[test]
fn tombstones() {
    check("tombstones", "out", CompactOptions::default());
    check("tombstones-single", "out", CompactOptions::default());
    let blocks = blocks_in("testdata/compaction/empty-result/in");
    let parent = tempfile::tempdir().unwrap();
    let id = BlockId::from_parts(1, 1);
    assert_eq!(compact(&blocks, parent.path(), &[id], None, CompactOptions::default()).unwrap(), [None]);
    assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
}

/// Samples of one block by series and time.
type Model = std::collections::BTreeMap<u8, std::collections::BTreeMap<i64, u32>>;

fn write(parent: &std::path::Path, number: u64, model: &Model) -> Block {
    let id = BlockId::from_parts(number, 7);
    let mut writer = BlockWriter::create(parent, id).unwrap();
    for (name, samples) in model {
        let mut builder = ChunkBuilder::new(FloatEncoding::Xor);
        for (t, value) in samples {
            builder.push_float(0, *t, f64::from(*value));
        }
        writer.add_series(&Labels::from_pairs([("a", [b'a' + name])]), &builder.finish()).unwrap();
    }
    let times = || model.values().flat_map(|s| s.keys());
    let (min_time, max_time) = (*times().min().unwrap(), times().max().unwrap() + 1);
    let compaction = Compaction { level: 1, sources: vec![id], ..Compaction::default() };
    writer.finish(MetaParts { min_time, max_time, compaction, thanos: None }).unwrap();
    Block::open(parent.join(id.to_string())).unwrap()
}

fn read(block: &Block) -> Model {
    let mut model = Model::new();
    let all = crate::SelectRequest::new(vec![], TimeRange::ALL);
    for series in block.select(all).flat_map(|batch| batch.unwrap().series) {
        assert!(series.chunks.windows(2).all(|pair| pair[0].max_time < pair[1].min_time));
        let mut samples = tithon_chunks::Samples::default();
        tithon_chunks::decode_chunks(&series.chunks, TimeRange::ALL, &mut samples).unwrap();
        let values = samples.floats.values.iter().map(|v| *v as u32);
        let name = series.labels.get("a").unwrap()[0] - b'a';
        model.insert(name, samples.floats.timestamps.iter().copied().zip(values).collect());
    }
    model
}

fn merge_blocks(parent: &std::path::Path, number: u64, blocks: &[Block]) -> Block {
    let id = BlockId::from_parts(number, 8);
    compact(blocks, parent, &[id], None, CompactOptions::default()).unwrap().remove(0).unwrap();
    Block::open(parent.join(id.to_string())).unwrap()
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]
    /// Blocks merged at once, or two by two, hold what a map of their samples holds.
    #[test]
    fn compaction_is_a_merge_of_maps(
        blocks in proptest::collection::vec(
            proptest::collection::btree_map(0u8..5, proptest::collection::btree_set(0i64..2000, 1..300), 1..5), 1..5),
    ) {
        let parent = tempfile::tempdir().unwrap();
        let mut expected = Model::new();
        let mut written = Vec::new();
        for (i, series) in blocks.into_iter().enumerate() {
            // The value of a sample follows from its time, so that it does not matter which of several copies is kept.
            let model: Model = series
                .into_iter()
                .map(|(name, times)| (name, times.into_iter().map(|t| (t, t as u32 * 3)).collect()))
                .collect();
            for (name, samples) in &model {
                expected.entry(*name).or_default().extend(samples);
            }
            written.push(write(parent.path(), i as u64 + 1, &model));
        }
        proptest::prop_assert_eq!(&read(&merge_blocks(parent.path(), 100, &written)), &expected);
        let mut rest = written.into_iter();
        let mut merged = rest.next().unwrap();
        for (i, block) in rest.enumerate() {
            merged = merge_blocks(parent.path(), 200 + i as u64, &[block, merged]);
        }
        proptest::prop_assert_eq!(&read(&merged), &expected);
    }
}

/// Every damaged input leads to an error that names a block, or to no error at all; nothing panics, and no file is left
/// behind.
#[test]
fn damage_ends_in_an_error() {
    let from = shared("testdata/compaction/vertical/in");
    let dirs: Vec<PathBuf> =
        std::fs::read_dir(from).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
    let work = tempfile::tempdir().unwrap();
    let (mut seed, mut failed) = (1u64, 0);
    for round in 0..100 {
        let copy = work.path().join("copy").join(dirs[0].file_name().unwrap());
        let _ = std::fs::remove_dir_all(&copy);
        std::fs::create_dir_all(copy.join("chunks")).unwrap();
        for file in ["meta.json", "index", "chunks/000001"] {
            let mut bytes = std::fs::read(dirs[0].join(file)).unwrap();
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (seed >> 33) as usize % bytes.len();
            match round % 4 {
                0 if file == "index" => bytes[at] ^= 0x40,
                1 if file == "chunks/000001" => bytes[at] ^= 0x40,
                2 if file == "chunks/000001" => bytes.truncate(at),
                3 if file == "index" => bytes.truncate(at),
                _ => {}
            }
            std::fs::write(copy.join(file), bytes).unwrap();
        }
        let out = work.path().join("out");
        std::fs::create_dir_all(&out).unwrap();
        let result = Block::open(&copy).and_then(|damaged| {
            let blocks = [damaged, Block::open(&dirs[1])?];
            compact(&blocks, &out, &[BlockId::from_parts(1, 1)], None, CompactOptions::default())
        });
        match result {
            Err(error) => {
                failed += 1;
                assert!(error.to_string().contains("block "), "{error}");
                assert_eq!(std::fs::read_dir(&out).unwrap().count(), 0);
            }
            Ok(_) => std::fs::remove_dir_all(&out).unwrap(),
        }
    }
    assert!(failed > 80, "{failed}");
}
