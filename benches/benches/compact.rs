//! Compaction and downsampling of synthetic blocks: `cargo bench -p tithon-benches --bench compact [-- --json]`.
//!
//! Input: blocks of two hours, a sample every 15 s, half of the series counters, half gauges. `SERIES` in the
//! environment sets how many there are (20,000 otherwise).

use std::path::{Path, PathBuf};
use std::time::Instant;

use tithon_benches::Report;
use tithon_chunks::{EncodedChunk, Encoding, Timestamp, XorEncoder};
use tithon_engine::compact::{CompactOptions, Overlap, compact};
use tithon_engine::downsample::{Target, downsample};
use tithon_engine::{Block, BlockId, BlockWriter, Compaction, MetaParts, Resolution};
use tithon_index::Labels;

const STEP_MS: i64 = 15_000;
const BLOCK_MS: i64 = 7_200_000;
const CHUNK_SAMPLES: usize = 120;
const N_ROUNDS: usize = 3;

/// Samples a second in millions, measured on 2 vCPU of the same kind.
const UPSTREAM: [(&str, &str, f64); 4] = [
    ("horizontal", "Prometheus's compactor", 74.0),
    ("vertical chain", "Thanos one-to-one", 7.4),
    ("vertical penalty", "Thanos penalty", 9.0),
    ("downsample to 5m", "Thanos", 16.5),
];

fn main() {
    let n_series = std::env::var("SERIES").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut report = Report::from_args();
    let in_time: Vec<Block> =
        (0..4).map(|i| generate(dir.path(), i, i as i64 * BLOCK_MS, 0, n_series)).collect();
    let replicas: Vec<Block> =
        (0..2).map(|i| generate(dir.path(), 10 + i, 0, i as i64 * 5000, n_series)).collect();
    let long = vec![merged(dir.path(), &in_time)];
    let out = dir.path().join("out");
    let merge = |blocks: &[Block], overlap| {
        let options = CompactOptions { overlap, ..CompactOptions::default() };
        drop(compact(blocks, &out, BlockId::from_parts(1, 1), None, options).expect("sound blocks"));
    };
    let coarsen = |blocks: &[Block], levels: &[Resolution]| {
        let target =
            |(i, r): (usize, &Resolution)| Target { resolution: *r, id: BlockId::from_parts(2, i as u128) };
        let targets: Vec<Target> = levels.iter().enumerate().map(target).collect();
        drop(downsample(&blocks[0], &out, &targets).expect("a sound block"));
    };
    let (five, hour) = (Resolution::FiveMinutes, Resolution::OneHour);
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        let mut bench = |name: &str, blocks: &[Block], run: &(dyn Fn(&[Block]) + Sync)| {
            let samples: u64 = blocks.iter().map(|b| b.meta().stats.num_samples).sum();
            let seconds = median(|| pool.install(|| run(blocks)));
            let speed = samples as f64 / seconds / 1e6;
            let known = UPSTREAM.iter().find(|known| known.0 == name);
            let (against, ratio) = known.map_or(("", 0.0), |(_, who, theirs)| (*who, speed / theirs));
            report.row(&format!("{name}, {threads} threads"), "M samples/s", speed, against, ratio);
        };
        bench("horizontal", &in_time, &|blocks| merge(blocks, Overlap::Chain));
        bench("vertical chain", &replicas, &|blocks| merge(blocks, Overlap::Chain));
        bench("vertical penalty", &replicas, &|blocks| merge(blocks, Overlap::Penalty));
        bench("downsample to 5m", &long, &|blocks| coarsen(blocks, &[five]));
        bench("downsample to 5m and 1h", &long, &|blocks| coarsen(blocks, &[five, hour]));
    }
    report.finish();
}

fn median(run: impl Fn()) -> f64 {
    let mut times: Vec<f64> = (0..N_ROUNDS)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[N_ROUNDS / 2]
}

fn merged(dir: &Path, blocks: &[Block]) -> Block {
    let id = BlockId::from_parts(99, 0);
    compact(blocks, dir, id, None, CompactOptions::default()).expect("sound blocks");
    open(dir.join(id.to_string()))
}

fn open(dir: PathBuf) -> Block {
    Block::open(dir).expect("a block just written")
}

/// A block of two hours from `start_ms`, scrapes shifted by `shift_ms`.
fn generate(dir: &Path, number: u64, start_ms: i64, shift_ms: i64, n_series: usize) -> Block {
    let id = BlockId::from_parts(1000 + number, 0);
    let mut writer = BlockWriter::create(dir, id).expect("a writable directory");
    for i in 0..n_series {
        let labels = Labels::from_pairs([
            ("__name__".to_owned(), format!("metric_{:03}", i / 1000)),
            ("instance".to_owned(), format!("host-{:04}:9100", i % 1000)),
            ("job".to_owned(), format!("job-{}", i % 7)),
            ("replica_set".to_owned(), format!("rs-{:02}", i % 31)),
        ]);
        writer.add_series(&labels, &chunks(i, start_ms, shift_ms)).expect("series in order");
    }
    let parts = MetaParts {
        min_time: start_ms,
        max_time: start_ms + BLOCK_MS,
        compaction: Compaction { level: 1, sources: vec![id], ..Compaction::default() },
        thanos: None,
    };
    writer.finish(parts).expect("a writable directory");
    open(dir.join(id.to_string()))
}

fn chunks(series: usize, start_ms: i64, shift_ms: i64) -> Vec<EncodedChunk> {
    let mut random = series as u64 * 0x9e37_79b9_7f4a_7c15 + 1;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let times: Vec<i64> = (0..BLOCK_MS / STEP_MS).map(|i| start_ms + shift_ms + i * STEP_MS).collect();
    let mut value = (next() % 10_000) as f64;
    let encode = |times: &[i64]| {
        let mut encoder = XorEncoder::new();
        for t in times {
            value =
                if series.is_multiple_of(2) { value + (next() % 50) as f64 } else { (next() % 1000) as f64 };
            encoder.push(*t, value);
        }
        EncodedChunk {
            encoding: Encoding::Xor,
            min_time: Timestamp(times[0]),
            max_time: Timestamp(times[times.len() - 1]),
            data: encoder.finish().into(),
        }
    };
    times.chunks(CHUNK_SAMPLES).map(encode).collect()
}
