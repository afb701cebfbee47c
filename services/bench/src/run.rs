//! Measurements of a run, and its failures.

use std::time::Duration;

use crate::server::Reads;

/// Measurements of one call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// Seconds until the whole answer had arrived.
    pub wall: f64,
    /// Seconds until its first byte had arrived.
    pub first_byte: f64,
    /// Bytes of the answer as received.
    pub bytes: u64,
}

/// One run of one subject: one or several calls, or a process from start to end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Run {
    /// Wall time in seconds: of the process, or the median of the calls.
    pub wall: f64,
    /// 99th percentile of the calls' wall times in seconds, if there are at least a hundred.
    pub p99: Option<f64>,
    /// Median time to the first byte of the answer, in seconds.
    pub first_byte: Option<f64>,
    /// CPU seconds of the subject during all calls.
    pub cpu: f64,
    /// Calls per second, if there are several.
    pub calls_per_second: Option<f64>,
    /// Peak resident memory of the subject during the run in bytes; the sum of its processes.
    pub peak_bytes: u64,
    /// Resident memory of the subject after the run, in bytes.
    pub resident_bytes: Option<u64>,
    /// Bytes of the answer.
    pub bytes: Option<u64>,
    /// Open file descriptors of the subject after the run.
    pub descriptors: u64,
    /// What the subject read of its bucket, if it counts that.
    pub reads: Option<Reads>,
    /// Files in the subject's data directory after the run, if that matters.
    pub files: Option<u64>,
    /// Rules evaluated per minute, of a ruler.
    pub rules_per_minute: Option<f64>,
    /// Evaluations of groups that a ruler missed.
    pub missed: Option<u64>,
    /// CPUs that were busy with other work during the run; for short runs, during all runs of the case.
    pub foreign_load: Option<f64>,
}

/// Why a subject has no numbers for a case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// The process cannot be started or was not ready in time.
    #[error("does not start: {0}")]
    Start(String),
    /// The process ended by itself or with an error.
    #[error("ended: {0}")]
    Ended(String),
    /// A call failed.
    #[error("answers an error: {0}")]
    Call(String),
    /// The run took longer than the limit.
    #[error("no answer after {}", humantime::format_duration(*.0))]
    TimedOut(Duration),
    /// The program cannot do what is measured.
    #[error("lacks {0}")]
    Lacks(&'static str),
    /// The tool could not prepare the run.
    #[error("not measured: {0}")]
    Prepare(String),
}

impl Failure {
    /// Whether its server can still be used after the failure.
    pub(crate) fn leaves_server(&self) -> bool {
        matches!(self, Failure::Call(_) | Failure::Lacks(_) | Failure::Prepare(_))
    }
}

/// The results of one subject in one case.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// Name of the subject.
    pub subject: String,
    /// The first run, if it is reported separately because caches are cold.
    pub first: Option<Run>,
    /// The other runs.
    pub runs: Vec<Run>,
    /// Comparison of the answers with the first subject's.
    pub answer: Verdict,
    /// The failure, if there was one.
    pub failure: Option<Failure>,
}

/// Comparison of a subject's answers with the first subject's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// There is nothing to compare with.
    Alone,
    /// All answers were equal.
    Same,
    /// An answer differed; describes the difference.
    Differs(String),
}

impl Measured {
    /// A subject without results.
    pub(crate) fn new(subject: &str) -> Measured {
        let (first, runs, failure) = (None, Vec::new(), None);
        Measured { subject: subject.to_owned(), first, runs, answer: Verdict::Alone, failure }
    }

    /// The median of a number over all runs.
    pub(crate) fn median(&self, of: impl Fn(&Run) -> Option<f64>) -> Option<f64> {
        median(self.runs.iter().filter_map(of).collect())
    }

    /// The lowest and highest wall time in seconds.
    pub(crate) fn wall_range(&self) -> Option<(f64, f64)> {
        let walls = || self.runs.iter().map(|run| run.wall);
        Some((walls().reduce(f64::min)?, walls().reduce(f64::max)?))
    }

    /// The highest foreign load of the runs.
    pub(crate) fn foreign_load(&self) -> f64 {
        self.runs.iter().filter_map(|run| run.foreign_load).fold(0.0, f64::max)
    }
}

/// The middle value, or the mean of the two middle values.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get((values.len() - 1) / 2)?;
    Some(lower + (upper - lower) / 2.0)
}

/// The 99th percentile; `None` for fewer than a hundred values.
pub(crate) fn p99(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    if values.len() < 100 { None } else { values.get(values.len() * 99 / 100).copied() }
}
