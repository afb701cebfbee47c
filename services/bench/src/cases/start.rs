//! `bench start`: the start of store gateways until they are ready.

use std::path::Path;

use tithon_synthetic::{Data, Profile};

use super::{HOUR_MS, START_MS};
use crate::answer::Answer;
use crate::error::BenchError;
use crate::folder::count_files;
use crate::run::{Failure, Run};
use crate::server::Server;
use crate::session::Session;
use crate::turns::{FirstRound, LoadWatch, take_turns};

/// Measures all cases.
pub(crate) fn start(session: &mut Session) -> Result<(), BenchError> {
    let small = Data {
        profile: Profile::K8s,
        series: 100,
        interval_ms: 60_000,
        start_ms: START_MS,
        range_ms: 2 * HOUR_MS,
        block_ms: 2 * HOUR_MS,
        replicas: 1,
        seed: session.seed,
    };
    for n in [200, 1_000, 10_000] {
        let (cold, warm) = (format!("start/{n}-blocks-cold"), format!("start/{n}-blocks-warm"));
        if !session.wants(&cold) && !session.wants(&warm) {
            continue;
        }
        let blocks = session.scaled(n) as u32;
        let bucket = session.derived(&format!("start-{blocks}-seed-{}", session.seed));
        let small = session.data("start-small", std::slice::from_ref(&small))?;
        crate::generate::clone(&first_block(&small)?, &bucket, blocks)?;
        for (name, is_cold) in [(cold, true), (warm, false)] {
            if session.wants(&name) {
                measure(session, &name, blocks, &bucket, is_cold)?;
            }
        }
    }
    Ok(())
}

fn first_block(dir: &Path) -> Result<std::path::PathBuf, BenchError> {
    let entries = std::fs::read_dir(dir).map_err(BenchError::io(dir))?.flatten();
    let found = entries.map(|entry| entry.path()).find(|path| path.join("meta.json").exists());
    found.ok_or_else(|| BenchError::io(dir)(std::io::ErrorKind::NotFound.into()))
}

fn measure(
    session: &mut Session,
    name: &str,
    blocks: u32,
    bucket: &Path,
    is_cold: bool,
) -> Result<(), BenchError> {
    let config = session.scratch.bucket_config("bucket", bucket)?;
    let what =
        format!("{blocks} blocks, data directory {}", if is_cold { "empty" } else { "of the start before" });
    // The first start fills the data directory for the warm ones.
    let rounds = session.rounds(if is_cold { FirstRound::Counts } else { FirstRound::Apart });
    let measured = take_turns(&session.names(), rounds, |i, round| {
        let data = if is_cold || round == 0 {
            session.folder("start", i)?
        } else {
            session.scratch.path().join(format!("start-{i}"))
        };
        one(session, &config, &data, i)
    });
    session.add(name, &what, None, measured)
}

fn one(session: &Session, config: &Path, data: &Path, i: usize) -> Result<(Run, Answer), Failure> {
    let watch = LoadWatch::start();
    let server = Server::store(&session.subjects[i], config, data, session.limit)?;
    let usage = server.usage();
    let run = Run {
        wall: server.ready_after,
        cpu: usage.cpu,
        peak_bytes: usage.peak_bytes,
        resident_bytes: Some(usage.resident_bytes),
        descriptors: usage.descriptors,
        reads: server.reads(),
        files: Some(count_files(data)),
        foreign_load: watch.foreign_load(usage.cpu),
        ..Run::default()
    };
    Ok((run, Answer::Nothing))
}
