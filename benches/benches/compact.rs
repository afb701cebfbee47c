//! Compaction and downsampling of synthetic blocks, each run a process of its own:
//! `cargo bench -p tithon-benches --bench compact [-- --json]`.
//!
//! Input: blocks of two hours of a made-up Kubernetes cluster, a sample every 15 s; four in a row for horizontal compaction
//! and, merged, for downsampling, the two of two replicas for vertical. `SERIES`
//! in the environment sets how many there are (20,000 otherwise); a quarter and half of them show how cost grows.
//! Blocks lie below `TMPDIR`. `PAUSE` is a number of seconds to rest before each run, for machines that slow down under
//! lasting load.
//!
//! `TITHON_UPSTREAM` may name a program to be measured in the same rounds, called as `PROGRAM MODE OUT IN...`: MODE is
//! `prometheus` or `thanos` (horizontal), `penalty`, `one-to-one`, `5m` or `1h`; it leaves a block below OUT and prints
//! a last line of JSON: `wall` and `cpu` in seconds, `rss_mb` in MiB. Without it, figures measured once stand in.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tithon_benches::Report;
use tithon_engine::compact::{CompactOptions, compact};
use tithon_engine::dedup::Algorithm;
use tithon_engine::downsample::{Target, downsample};
use tithon_engine::{Block, BlockId, Resolution, SourceType, ThanosMeta};
use tithon_synthetic::{Data, Profile};

const STEP_MS: i64 = 15_000;
const BLOCK_MS: i64 = 7_200_000;
/// 2025-01-01.
const START_MS: i64 = 1_735_689_600_000;
const N_ROUNDS: usize = 3;

/// A kind of run: name, our mode, upstream's, which blocks, and upstream's speed where it is not at hand: millions of
/// samples a second on 2 vCPU of the same kind.
struct Case {
    name: &'static str,
    mode: &'static str,
    upstream: &'static [&'static str],
    input: Input,
    known: f64,
}

#[derive(Clone, Copy, PartialEq)]
enum Input {
    InTime,
    Replicas,
    Long,
}

const CASES: [Case; 5] = [
    Case {
        name: "compact/horizontal",
        mode: "horizontal",
        upstream: &["prometheus"],
        input: Input::InTime,
        known: 74.0,
    },
    Case {
        name: "compact/one-to-one",
        mode: "one-to-one",
        upstream: &["one-to-one"],
        input: Input::Replicas,
        known: 7.4,
    },
    Case {
        name: "compact/penalty",
        mode: "penalty",
        upstream: &["penalty"],
        input: Input::Replicas,
        known: 9.0,
    },
    Case { name: "downsample/5m", mode: "5m", upstream: &["5m"], input: Input::Long, known: 16.5 },
    Case { name: "downsample/both", mode: "both", upstream: &["5m", "1h"], input: Input::Long, known: 16.0 },
];

/// What a run took.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Cost {
    wall: f64,
    cpu: f64,
    rss_mb: f64,
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, flag, mode, threads, out, blocks @ ..] = args.as_slice()
        && flag == "--one"
    {
        one(mode, threads.parse().expect("a number of threads"), Path::new(out), blocks);
        return;
    }
    let most = std::env::var("SERIES").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000);
    let upstream = std::env::var_os("TITHON_UPSTREAM").map(PathBuf::from);
    let mut report = Report::from_args();
    for n_series in [most / 4, most / 2, most] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let blocks = Blocks::generate(dir.path(), n_series);
        for case in &CASES {
            measure(case, &blocks, dir.path(), upstream.as_deref().filter(|_| n_series == most), &mut report);
        }
    }
    report.finish();
}

fn measure(case: &Case, blocks: &Blocks, dir: &Path, upstream: Option<&Path>, report: &mut Report) {
    let input = blocks.of(case.input);
    let samples: u64 = input.iter().map(|b| Block::open(b).expect("a block").meta().stats.num_samples).sum();
    let out = dir.join("out");
    let exe = std::env::current_exe().expect("this program");
    let mut costs: [Vec<Cost>; 3] = Default::default();
    for _ in 0..N_ROUNDS {
        for threads in [1, 2] {
            let threads_arg = threads.to_string();
            costs[threads - 1].push(run(&exe, &["--one", case.mode, &threads_arg], &out, &input));
        }
        if let Some(program) = upstream {
            costs[2].push(run_upstream(program, case, dir, &input));
        }
    }
    let median = |costs: &[Cost], of: fn(&Cost) -> f64| {
        let mut values: Vec<f64> = costs.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    let speed = |costs: &[Cost]| median(costs, |c| c.wall).map(|wall| samples as f64 / wall / 1e6);
    let theirs = speed(&costs[2]).unwrap_or(case.known);
    let who = if upstream.is_some() { "upstream, this run" } else { "upstream, measured once" };
    let size = format!("{} series", blocks.n_series);
    for threads in [1, 2] {
        let name = format!("{}/threads-{threads}, {size}", case.name);
        let ours = &costs[threads - 1];
        let wall = speed(ours).unwrap_or_default();
        report.row(&name, "M samples/s", wall, who, wall / theirs);
        let cpu = median(ours, |c| c.cpu).unwrap_or_default() * 1e9 / samples as f64;
        let their_cpu = median(&costs[2], |c| c.cpu).map(|cpu| cpu * 1e9 / samples as f64);
        let against = if their_cpu.is_some() { who } else { "" };
        report.row(&format!("{name}, CPU"), "ns/sample", cpu, against, their_cpu.unwrap_or_default() / cpu);
        let rss = median(ours, |c| c.rss_mb).unwrap_or_default();
        let their_rss = median(&costs[2], |c| c.rss_mb);
        let against = if their_rss.is_some() { who } else { "" };
        report.row(&format!("{name}, peak"), "MiB", rss, against, their_rss.unwrap_or_default() / rss);
    }
}

/// Runs a program that prints its cost as the last line.
fn run(program: &Path, args: &[&str], out: &Path, input: &[PathBuf]) -> Cost {
    let pause = std::env::var("PAUSE").ok().and_then(|s| s.parse().ok()).unwrap_or_default();
    std::thread::sleep(std::time::Duration::from_secs(pause));
    let _ = std::fs::remove_dir_all(out);
    std::fs::create_dir_all(out).expect("a writable directory");
    let output =
        Command::new(program).args(args).arg(out).args(input).output().expect("a program that starts");
    assert!(output.status.success(), "{program:?} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().rev().find(|line| line.starts_with('{')).expect("a line of JSON");
    serde_json::from_str(line).expect("wall, cpu and rss_mb")
}

/// The modes of a case one after the other, each on what the one before it made.
fn run_upstream(program: &Path, case: &Case, dir: &Path, input: &[PathBuf]) -> Cost {
    let mut total = Cost { wall: 0.0, cpu: 0.0, rss_mb: 0.0 };
    let mut input = input.to_vec();
    for mode in case.upstream {
        let out = dir.join(format!("upstream-{mode}"));
        let cost = run(program, &[mode], &out, &input);
        total.wall += cost.wall;
        total.cpu += cost.cpu;
        total.rss_mb = total.rss_mb.max(cost.rss_mb);
        let made = std::fs::read_dir(&out).expect("a directory").map(|e| e.expect("an entry").path());
        input = made.filter(|path| path.join("meta.json").exists()).collect();
    }
    total
}

/// Does what `mode` says and prints what it took.
fn one(mode: &str, threads: usize, out: &Path, blocks: &[String]) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
    let start = Instant::now();
    let blocks: Vec<Block> = blocks.iter().map(|dir| Block::open(dir).expect("a block")).collect();
    let merge = |overlap| {
        let options = CompactOptions { overlap, ..CompactOptions::default() };
        let id = BlockId::from_parts(1, 1);
        drop(compact(&blocks, out, &[id], None, options).expect("sound blocks"));
    };
    let coarsen = |levels: &[Resolution]| {
        let target =
            |(i, r): (usize, &Resolution)| Target { resolution: *r, id: BlockId::from_parts(2, i as u128) };
        let targets: Vec<Target> = levels.iter().enumerate().map(target).collect();
        drop(downsample(&blocks[0], out, &targets).expect("a sound block"));
    };
    pool.install(|| match mode {
        "penalty" => merge(Algorithm::Penalty),
        "5m" => coarsen(&[Resolution::FiveMinutes]),
        "both" => coarsen(&[Resolution::FiveMinutes, Resolution::OneHour]),
        _ => merge(Algorithm::Chain),
    });
    let wall = start.elapsed().as_secs_f64();
    println!(
        "{}",
        serde_json::to_string(&Cost { wall, cpu: cpu_seconds(), rss_mb: peak_mib() }).expect("numbers")
    );
}

/// User and system time of this process; the system counts hundredths.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = behind_name.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

/// The most memory this process had resident.
fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|n| n.parse::<f64>().ok()).unwrap_or_default() / 1024.0
}

/// Generated blocks.
struct Blocks {
    n_series: usize,
    in_time: Vec<PathBuf>,
    replicas: Vec<PathBuf>,
    long: PathBuf,
}

impl Blocks {
    fn generate(dir: &Path, n_series: usize) -> Blocks {
        let data = Data {
            profile: Profile::K8s,
            series: n_series,
            interval_ms: STEP_MS,
            start_ms: START_MS,
            range_ms: 4 * BLOCK_MS,
            block_ms: BLOCK_MS,
            replicas: 1,
            seed: 1,
        };
        let in_time = generate(&dir.join("in-time"), &data);
        let replicas = Data { range_ms: BLOCK_MS, replicas: 2, ..data };
        let replicas = generate(&dir.join("replicas"), &replicas);
        let id = BlockId::from_parts(99, 0);
        let sources: Vec<Block> =
            in_time.iter().map(|b| Block::open(b).expect("a block just written")).collect();
        let thanos = ThanosMeta { source: SourceType::Compactor, ..ThanosMeta::default() };
        compact(&sources, dir, &[id], Some(thanos), CompactOptions::default()).expect("sound blocks");
        Blocks { n_series, in_time, replicas, long: dir.join(id.to_string()) }
    }

    fn of(&self, input: Input) -> Vec<PathBuf> {
        match input {
            Input::InTime => self.in_time.clone(),
            Input::Replicas => self.replicas.clone(),
            Input::Long => vec![self.long.clone()],
        }
    }
}

/// Makes blocks in the new folder `dir`; their paths, ascending by time, as the ids are.
fn generate(dir: &Path, data: &Data) -> Vec<PathBuf> {
    std::fs::create_dir_all(dir).expect("a writable directory");
    data.write(dir, &|_| ()).expect("a writable directory");
    let entries = std::fs::read_dir(dir).expect("a folder just written");
    let mut blocks: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    blocks.sort();
    blocks
}
