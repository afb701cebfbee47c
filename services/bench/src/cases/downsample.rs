//! `bench downsample`: one iteration of a compactor that has nothing to merge and downsamples blocks. (Thanos's tool
//! `bucket downsample` does the same but does not end by itself.) Thanos's limits hold: blocks of 40 hours or more are
//! downsampled to 5 minutes, blocks of 10 days or more to an hour.

use std::path::{Path, PathBuf};

use tithon_engine::downsample::{Target, downsample as make_coarser};
use tithon_engine::{Block, BlockId, Resolution};
use tithon_synthetic::{Data, Profile, Written};

use super::one_shot::{OneShot, measure};
use super::{DAY_MS, START_MS};
use crate::error::BenchError;
use crate::folder::{self, Marker};
use crate::session::Session;
use crate::subject::Subject;

/// Measures all cases.
pub(crate) fn downsample(session: &mut Session) -> Result<(), BenchError> {
    let two_days = Data {
        profile: Profile::K8s,
        series: session.scaled(20_000),
        interval_ms: 30_000,
        start_ms: START_MS,
        range_ms: 2 * DAY_MS,
        block_ms: 2 * DAY_MS,
        replicas: 1,
        seed: session.seed,
    };
    let fortnight = Data {
        series: session.scaled(5_000),
        interval_ms: 60_000,
        range_ms: 14 * DAY_MS,
        block_ms: 14 * DAY_MS,
        ..two_days.clone()
    };
    for (name, what) in [
        ("downsample/raw-to-5m", "two days of raw samples"),
        ("downsample/5m-to-1h", "two weeks of 5 minutes; samples are the raw ones behind them"),
        ("downsample/both", "two weeks of raw samples, both resolutions"),
    ] {
        if !session.wants(name) {
            continue;
        }
        let (bucket, samples) = match name {
            "downsample/raw-to-5m" => raw(session, "downsample-2d", &two_days)?,
            "downsample/both" => raw(session, "downsample-14d", &fortnight)?,
            _ => five_minutes(session, &fortnight)?,
        };
        let args =
            |subject: &Subject, config: &Path, data: &Path, port| subject.compact(config, data, port, &[]);
        let lacks = "a compactor of buckets";
        measure(session, &OneShot { name, what, bucket: &bucket, args: &args, lacks, samples })?;
    }
    Ok(())
}

/// A bucket of raw blocks, and its number of samples.
fn raw(session: &Session, name: &str, data: &Data) -> Result<(PathBuf, u64), BenchError> {
    let data = std::slice::from_ref(data);
    let dir = session.data(name, data)?;
    let samples = folder::fill(&dir, data)?.written.samples;
    Ok((dir, samples))
}

/// A bucket that has the data downsampled to 5 minutes, besides the raw block.
fn five_minutes(session: &Session, data: &Data) -> Result<(PathBuf, u64), BenchError> {
    let (source, samples) = raw(session, "downsample-14d", data)?;
    let dir = session.derived(&format!("downsample-14d-5m-{}-seed-{}", data.series, session.seed));
    let wanted = format!("5 minutes of {}", folder::describe(data));
    if let Some(found) = folder::marker(&dir, &wanted)? {
        if found.data == std::slice::from_ref(data) {
            return Ok((dir, samples));
        }
        let found = "5 minutes of other data".to_owned();
        return Err(BenchError::OtherData { path: dir, found, wanted });
    }
    folder::write(&dir, &wanted, data.bytes(), |out| {
        folder::copy_blocks(&source, out)?;
        for (number, entry) in
            std::fs::read_dir(&source).map_err(BenchError::io(&source))?.flatten().enumerate()
        {
            if entry.path().join("meta.json").exists() {
                let block = Block::open(entry.path())?;
                let id = BlockId::from_parts(block.id().unix_ms(), number as u128 + 1);
                make_coarser(&block, out, &[Target { resolution: Resolution::FiveMinutes, id }])?;
            }
        }
        Ok(Marker { data: vec![data.clone()], clones: 1, written: Written { blocks: 2, series: 0, samples } })
    })?;
    Ok((dir, samples))
}
