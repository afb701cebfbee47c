//! Cases whose subjects process a bucket once and end. Each run gets a fresh copy of the bucket.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use tithon_engine::BlockMeta;

use crate::answer::Answer;
use crate::child::{Child, free_port};
use crate::error::BenchError;
use crate::folder::{block_names, copy_blocks, count_files, describe_ms};
use crate::run::{Failure, Run};
use crate::session::Session;
use crate::subject::Subject;
use crate::turns::{FirstRound, LoadWatch, take_turns};

/// Makes a subject's arguments from the bucket's configuration file, the data directory and a free port.
type Arguments<'a> = dyn Fn(&Subject, &Path, &Path, u16) -> Option<Vec<String>> + 'a;

/// A case: the initial bucket, and how a subject is called on it.
pub(super) struct OneShot<'a> {
    pub name: &'a str,
    pub what: &'a str,
    pub bucket: &'a Path,
    /// Makes the arguments; they are `None` if the program cannot do the task.
    pub args: &'a Arguments<'a>,
    /// The feature that a program lacks if it cannot do the task.
    pub lacks: &'static str,
    /// Number of samples in the bucket that are processed.
    pub samples: u64,
}

/// Measures one case.
pub(super) fn measure(session: &mut Session, case: &OneShot<'_>) -> Result<(), BenchError> {
    let rounds = session.rounds(FirstRound::Counts);
    let measured = take_turns(&session.names(), rounds, |i, _| one(session, case, i));
    session.add(case.name, case.what, Some(case.samples as f64), measured)
}

fn one(session: &Session, case: &OneShot<'_>, i: usize) -> Result<(Run, Answer), Failure> {
    let prepare = |error: BenchError| Failure::Prepare(error.to_string());
    let subject = &session.subjects[i];
    let port = free_port().map_err(|error| Failure::Prepare(format!("no free port: {error}")))?;
    let work = session.folder("work", i)?;
    let (bucket, data) = (work.join("bucket"), work.join("data"));
    let config = session.scratch.bucket_config(&format!("bucket-{i}"), &bucket).map_err(prepare)?;
    let args = (case.args)(subject, &config, &data, port).ok_or(Failure::Lacks(case.lacks))?;
    let before = copy_blocks(case.bucket, &bucket).and_then(|()| block_names(&bucket)).map_err(prepare)?;
    let watch = LoadWatch::start();
    let mut child = Child::start(&subject.program, &args, &work.join("log"))
        .map_err(|e| Failure::Start(e.to_string()))?;
    let waited = child.wait(session.limit).map_err(|error| Failure::Prepare(format!("waiting: {error}")))?;
    let ended = waited.ok_or(Failure::TimedOut(session.limit))?;
    if !ended.status.success() {
        return Err(Failure::Ended(format!("{}: {}", ended.status, child.last_line())));
    }
    let run = Run {
        wall: ended.wall,
        cpu: ended.cpu,
        peak_bytes: ended.peak_bytes,
        descriptors: ended.descriptors,
        files: Some(count_files(&data)),
        foreign_load: watch.foreign_load(ended.cpu),
        ..Run::default()
    };
    let made = made_since(&bucket, &before).map_err(prepare)?;
    if made.is_empty() {
        return Err(Failure::Ended(format!("no new block: {}", child.last_line())));
    }
    // Frees disk space for the next run.
    let _ = fs::remove_dir_all(&work);
    Ok((run, Answer::Blocks(made)))
}

/// Describes the new blocks by times, resolution, series and samples, which do not depend on how chunks are cut.
fn made_since(bucket: &Path, before: &BTreeSet<String>) -> Result<Vec<String>, BenchError> {
    let mut made = Vec::new();
    for name in block_names(bucket)?.difference(before) {
        let path = bucket.join(name).join("meta.json");
        let text = fs::read(&path).map_err(BenchError::io(&path))?;
        let meta =
            BlockMeta::parse(&text).map_err(|error| BenchError::io(&path)(std::io::Error::other(error)))?;
        let labels = meta.thanos.as_ref().map(|thanos| Value::from_iter(thanos.labels.clone()));
        made.push(format!(
            "{} to {} of {} every {}, {} series, {} samples",
            meta.min_time,
            meta.max_time,
            labels.unwrap_or_default(),
            describe_ms(meta.resolution_ms()),
            meta.stats.num_series,
            meta.stats.num_samples,
        ));
    }
    made.sort_unstable();
    Ok(made)
}
