//! Uploads of a block by a sidecar, from its start until the bucket has the block's meta.json.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tithon_synthetic::{Data, Profile};

use super::{HOUR_MS, START_MS};
use crate::answer::Answer;
use crate::cli::SidecarFlags;
use crate::error::BenchError;
use crate::folder::{block_names, copy_blocks};
use crate::run::{Failure, Run};
use crate::s3::S3;
use crate::server::Server;
use crate::session::Session;
use crate::subject::Subject;
use crate::turns::{FirstRound, LoadWatch, take_turns};

/// Name of the bucket below the S3 server's folder.
const BUCKET: &str = "blocks";

/// A case: the block, and where it goes.
struct Upload<'a> {
    prometheus: &'a Subject,
    blocks: PathBuf,
    /// The S3 server; `None` for a directory.
    s3: Option<&'a Path>,
}

/// Measures all cases. The difference of the peaks of two of them is what an upload needs.
pub(super) fn uploads(
    session: &mut Session,
    flags: &SidecarFlags,
    prometheus: &Subject,
) -> Result<(), BenchError> {
    let small = data(session, 100);
    // A sample is random and takes eight to nine bytes.
    let large = data(session, session.scaled(240_000));
    for (name, what, data, s3) in [
        ("upload-small", "a block of 100 series goes into a directory", &small, None),
        ("upload-1GB", "a block of a gigabyte goes into a directory", &large, None),
        ("upload-s3-small", "a block of 100 series goes to S3", &small, flags.versitygw.as_deref()),
        ("upload-s3-1GB", "a block of a gigabyte goes to S3", &large, flags.versitygw.as_deref()),
    ] {
        let name = format!("sidecar/{name}");
        if !session.wants(&name) || (name.contains("s3") && s3.is_none()) {
            continue;
        }
        let blocks = session.data("upload", std::slice::from_ref(data))?;
        let upload = Upload { prometheus, blocks, s3 };
        let rounds = session.rounds(FirstRound::Counts);
        let measured = take_turns(&session.names(), rounds, |i, _| one(session, &upload, i));
        session.add(&name, what, None, measured)?;
    }
    Ok(())
}

/// A block of random samples.
fn data(session: &Session, series: usize) -> Data {
    Data {
        profile: Profile::Noise,
        series,
        interval_ms: 15_000,
        start_ms: START_MS,
        range_ms: 2 * HOUR_MS,
        block_ms: 2 * HOUR_MS,
        replicas: 1,
        seed: session.seed,
    }
}

fn one(session: &Session, upload: &Upload<'_>, i: usize) -> Result<(Run, Answer), Failure> {
    let prepare = |error: BenchError| Failure::Prepare(error.to_string());
    let work = session.folder("upload", i)?;
    let (tsdb, root) = (work.join("prometheus"), work.join("objects"));
    copy_blocks(&upload.blocks, &tsdb).map_err(prepare)?;
    let bucket = root.join(BUCKET);
    std::fs::create_dir_all(&bucket).map_err(|e| prepare(BenchError::io(&bucket)(e)))?;
    let (config, _s3) = match upload.s3 {
        None => (session.scratch.bucket_config(&format!("bucket-{i}"), &bucket).map_err(prepare)?, None),
        Some(program) => {
            let server = S3::start(program, &work, &root, BUCKET, Duration::ZERO)?;
            (server.config.clone(), Some(server))
        }
    };
    let prometheus = Server::prometheus(upload.prometheus, &tsdb, session.limit)?;
    let own =
        [format!("--objstore.config-file={}", config.display()), format!("--tsdb.path={}", tsdb.display())];
    let watch = LoadWatch::start();
    let mut server = Server::sidecar(&session.subjects[i], &prometheus, &tsdb, &own, session.limit)?;
    let names = block_names(&tsdb).map_err(prepare)?;
    let is_there = || names.iter().all(|name| bucket.join(name).join("meta.json").exists());
    while !is_there() {
        if !server.child.is_running() {
            return Err(Failure::Ended(server.child.last_line()));
        }
        if server.child.started().elapsed() > session.limit {
            return Err(Failure::TimedOut(session.limit));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let wall = server.child.started().elapsed().as_secs_f64();
    let usage = server.usage();
    let run = Run {
        wall,
        cpu: usage.cpu,
        peak_bytes: usage.peak_bytes,
        resident_bytes: Some(usage.resident_bytes),
        descriptors: usage.descriptors,
        foreign_load: watch.foreign_load(usage.cpu),
        ..Run::default()
    };
    let files = names.iter().map(|name| listing(&bucket.join(name), &tsdb.join(name)));
    let files = files.collect::<Result<Vec<_>, _>>().map_err(prepare)?;
    // Frees disk space for the next run.
    let _ = std::fs::remove_dir_all(&work);
    Ok((run, Answer::Blocks(files.concat())))
}

/// The sizes of a block's files in the bucket; fails when they differ from those in `own`.
fn listing(block: &Path, own: &Path) -> Result<Vec<String>, BenchError> {
    let mut found = Vec::new();
    let chunks = block.join("chunks");
    let segments = std::fs::read_dir(&chunks).map_err(BenchError::io(&chunks))?.flatten();
    let names = segments.map(|entry| format!("chunks/{}", entry.file_name().to_string_lossy()));
    for name in names.chain(["index".to_owned()]) {
        let bytes = |path: PathBuf| std::fs::metadata(&path).map(|m| m.len()).map_err(BenchError::io(&path));
        let (there, here) = (bytes(block.join(&name))?, bytes(own.join(&name))?);
        found.push(format!("{name}: {there} of {here} bytes"));
    }
    found.sort_unstable();
    Ok(found)
}
