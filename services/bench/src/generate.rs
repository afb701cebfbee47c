//! `bench gen`: generates blocks from a seed, or many cheap copies of one block.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, UNIX_EPOCH};

use tithon_engine::{BlockId, BlockMeta};
use tithon_synthetic::{Data, Profile, Written};

use crate::cli::{GenFlags, ProfileArg};
use crate::error::BenchError;
use crate::folder::{self, Marker};
use crate::progress;

/// Number of different external label sets of cloned blocks, which look like those of as many Prometheus servers.
const CLONE_STREAMS: u32 = 20;

/// Runs the tool.
pub(crate) fn run(flags: &GenFlags) -> Result<(), BenchError> {
    let began = Instant::now();
    let marker = match (flags.clone, flags.paths.as_slice()) {
        (None, [out]) => folder::fill(out, &[data(flags)?])?,
        (Some(n), [small, out]) => clone(small, out, n)?,
        (None, _) => return Err(BenchError::Flags("two folders are for --clone only".to_owned())),
        (Some(_), _) => {
            return Err(BenchError::Flags("--clone needs two folders: a block and OUT".to_owned()));
        }
    };
    let Written { blocks, series, samples } = marker.written;
    let seconds = began.elapsed().as_secs_f64();
    println!("{blocks} blocks, {series} series, {samples} samples");
    if flags.clone.is_none() {
        println!("{seconds:.2} s, {:.0} M samples/s", samples as f64 / seconds / 1e6);
    }
    Ok(())
}

fn data(flags: &GenFlags) -> Result<Data, BenchError> {
    let ms = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    let start = flags.start.duration_since(UNIX_EPOCH);
    let start = start.map_err(|_| BenchError::Flags("--start lies before 1970".to_owned()))?;
    let data = Data {
        profile: flags.profile.into(),
        series: flags.series as usize,
        interval_ms: ms(flags.interval),
        start_ms: ms(start),
        range_ms: ms(flags.range),
        block_ms: ms(flags.blocks),
        replicas: flags.replicas,
        seed: flags.seed,
    };
    // All blocks of a replica are written at the same time, each with a few open files.
    const BLOCKS_MAX: i64 = 200;
    if data.range_ms / data.block_ms >= BLOCKS_MAX {
        let message = format!("--range and --blocks make more than {BLOCKS_MAX} blocks; take longer blocks");
        return Err(BenchError::Flags(message));
    }
    Ok(data)
}

/// Makes `n` blocks in the new folder `out` that share the files of the block `small`. They keep its times, so that
/// each meta.json is true.
pub(crate) fn clone(small: &Path, out: &Path, n: u32) -> Result<Marker, BenchError> {
    let path = small.join("meta.json");
    let text = fs::read(&path).map_err(BenchError::io(&path))?;
    let meta = BlockMeta::parse(&text).map_err(|error| {
        BenchError::Flags(format!("{}: {error}; --clone needs the folder of one block", path.display()))
    })?;
    let wanted = format!("{n} copies of block {}", meta.ulid);
    if let Some(found) = folder::marker(out, &wanted)? {
        if found.clones == u64::from(n) && found.written.series == meta.stats.num_series * u64::from(n) {
            return Ok(found);
        }
        let found = format!("{} blocks, {} copies of each", found.written.blocks, found.clones);
        return Err(BenchError::OtherData { path: out.to_owned(), found, wanted });
    }
    // Each block takes about five files and folders, most of them links.
    folder::write(out, &wanted, u64::from(n) * 5 * 4096, |dir| {
        let bar = progress::bar(n.into(), &wanted);
        for i in 0..n {
            clone_one(small, dir, &meta, i)?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        let n = u64::from(n);
        let written =
            Written { blocks: n, series: n * meta.stats.num_series, samples: n * meta.stats.num_samples };
        Ok(Marker { data: Vec::new(), clones: n, written })
    })
}

fn clone_one(small: &Path, out: &Path, meta: &BlockMeta, i: u32) -> Result<(), BenchError> {
    let id = BlockId::from_parts(meta.ulid.unix_ms(), u128::from(i) + 1);
    let dir = out.join(id.to_string());
    folder::copy_block(small, &dir)?;
    let mut meta = meta.clone();
    meta.ulid = id;
    meta.compaction.sources = vec![id];
    let labels = &mut meta.thanos.get_or_insert_default().labels;
    labels.insert("cluster".to_owned(), format!("clone-{:02}", i % CLONE_STREAMS));
    let path = dir.join("meta.json");
    fs::write(&path, meta.to_json()).map_err(BenchError::io(&path))
}

impl From<ProfileArg> for Profile {
    fn from(arg: ProfileArg) -> Profile {
        match arg {
            ProfileArg::K8s => Profile::K8s,
            ProfileArg::Native => Profile::Native,
            ProfileArg::Cardinality => Profile::Cardinality,
            ProfileArg::OneSeries => Profile::OneSeries,
            ProfileArg::Noise => Profile::Noise,
        }
    }
}
