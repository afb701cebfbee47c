//! Properties of the generated blocks, read back.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use tithon_chunks::{SampleBatch, TimeRange, decode_floats};
use tithon_engine::{Block, SelectRequest};
use tithon_index::{MatchOp, Matcher};
use tithon_synthetic::{
    DEMO_INTERVAL_MS, Data, Profile, Replica, Scrapes, Stream, demo_series, write_blocks,
};

const START: i64 = 1_735_689_600_000;
const HOUR_MS: i64 = 3_600_000;

fn data(profile: Profile) -> Data {
    Data {
        profile,
        series: 500,
        interval_ms: 30_000,
        start_ms: START,
        range_ms: 6 * HOUR_MS,
        block_ms: 2 * HOUR_MS,
        replicas: 2,
        seed: 1,
    }
}

/// Writes with a pool of `threads` and returns the folder.
fn write(data: &Data, threads: usize) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| data.write(dir.path(), &|_| ())).unwrap();
    dir
}

fn blocks(dir: &Path) -> Vec<Block> {
    let mut blocks: Vec<Block> =
        std::fs::read_dir(dir).unwrap().map(|e| Block::open(e.unwrap().path()).unwrap()).collect();
    blocks.sort_by_key(|b| (b.external_labels(), b.meta().min_time));
    blocks
}

/// Every file below `dir` with its bytes.
fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut list = Vec::new();
    for block in blocks(dir) {
        for name in ["index", "chunks/000001", "meta.json"] {
            let bytes = std::fs::read(block.dir().join(name)).unwrap();
            list.push((format!("{}/{name}", block.id()), bytes));
        }
    }
    list
}

#[test]
fn one_seed_makes_the_same_bytes_with_any_number_of_threads() {
    for profile in Profile::ALL {
        let data = data(profile);
        assert_eq!(files(write(&data, 1).path()), files(write(&data, 3).path()), "{profile:?}");
    }
    let other = Data { seed: 2, ..data(Profile::K8s) };
    assert_ne!(files(write(&data(Profile::K8s), 2).path()), files(write(&other, 2).path()));
}

#[test]
fn all_profiles_make_sound_blocks_of_the_wanted_size() {
    for profile in Profile::ALL {
        let data = data(profile);
        let dir = write(&data, 2);
        let blocks = blocks(dir.path());
        assert_eq!(blocks.len(), 6, "{profile:?}: three blocks of each replica");
        for block in &blocks {
            let report = tithon_engine::verify::verify(block);
            assert!(report.is_sound(), "{profile:?}: {report:?}");
            let series = block.meta().stats.num_series;
            assert!((500..700).contains(&series), "{profile:?}: {series} series");
        }
    }
}

#[test]
fn a_cluster_has_the_statistics_of_a_real_one() {
    let dir = write(&Data { replicas: 1, series: 6_000, ..data(Profile::K8s) }, 2);
    let (mut pairs, mut same_value, mut same_step) = (0u64, 0u64, 0u64);
    for block in blocks(dir.path()) {
        for batch in block.select(SelectRequest::new(Vec::new(), TimeRange::ALL)) {
            for series in batch.unwrap().series {
                let mut samples = SampleBatch::default();
                for chunk in series.chunks.iter().filter(|chunk| chunk.encoding.is_float()) {
                    decode_floats(chunk.encoding, &chunk.data, TimeRange::ALL, &mut samples).unwrap();
                }
                let steps: Vec<i64> = samples.timestamps.windows(2).map(|w| w[1] - w[0]).collect();
                pairs += steps.len().saturating_sub(1) as u64;
                same_step += steps.windows(2).filter(|w| w[0] == w[1]).count() as u64;
                let values = samples.values.windows(2).skip(1);
                same_value += values.filter(|w| w[0].to_bits() == w[1].to_bits()).count() as u64;
            }
        }
    }
    let share = |n: u64| n as f64 / pairs as f64;
    assert!((0.75..0.79).contains(&share(same_value)), "{} repeat the value", share(same_value));
    assert!((0.95..0.97).contains(&share(same_step)), "{} repeat the step", share(same_step));
}

#[test]
fn demo_blocks_cover_the_time_until_now() {
    let dir = tempfile::tempdir().unwrap();
    let (start, end) = (START, START + 3 * HOUR_MS + 1_700_000);
    for replica in [Replica::A, Replica::B] {
        let scrapes = Scrapes { start, end, interval_ms: DEMO_INTERVAL_MS, replica };
        let stream = Stream { scrapes, block_ms: 2 * HOUR_MS, cluster: "demo", seed: 0 };
        write_blocks(dir.path(), &demo_series(), &stream, &|_| ()).unwrap();
    }
    let blocks = blocks(dir.path());
    let (a, b) = blocks.split_at(blocks.len() / 2);
    assert_eq!(a.len(), b.len());
    for replica in [a, b] {
        assert!(replica.windows(2).all(|w| w[0].meta().max_time == w[1].meta().min_time));
        assert_eq!(replica[replica.len() - 1].meta().max_time, end);
    }
    assert!(a[0].meta().stats.num_series > 9_000);
    let up = Matcher::new(MatchOp::Equal, "__name__", "up").unwrap();
    let request = SelectRequest::new(vec![up], TimeRange::new(end - 60_000, end));
    let found = b[b.len() - 1].select(request).map(|batch| batch.unwrap().series.len()).sum::<usize>();
    assert_eq!(found, 8, "the targets of the replicated job");
}
