//! What a run of one subject took, and what can go wrong with it.

use std::time::Duration;

/// One call over a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// Seconds until the whole answer was there.
    pub wall: f64,
    /// Seconds until the first byte of it was there.
    pub first_byte: f64,
    /// Bytes of the answer as they came.
    pub bytes: u64,
}

/// One measured run of one subject: a call, several calls, or a process from start to end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Run {
    /// Seconds: of the process, or the median of the calls.
    pub wall: f64,
    /// Seconds of the slowest call but one in a hundred, where there are enough of them.
    pub p99: Option<f64>,
    /// Seconds until the first byte of the answer, median of the calls.
    pub first_byte: Option<f64>,
    /// Processor seconds of the subject, of all calls together.
    pub cpu: f64,
    /// Calls a second, where there are several.
    pub calls_per_second: Option<f64>,
    /// The most memory the subject had resident during the run, bytes; of several processes the sum.
    pub peak_bytes: u64,
    /// Memory that the subject has resident after the run, bytes.
    pub resident_bytes: Option<u64>,
    /// Bytes of the answer.
    pub bytes: Option<u64>,
    /// Open file descriptors of the subject behind the run.
    pub descriptors: u64,
    /// Requests that the subject made to its bucket, where it counts them.
    pub bucket_requests: Option<u64>,
    /// Files in the subject's data directory behind the run, where it matters.
    pub files: Option<u64>,
    /// Processors that were busy with something else meanwhile, of a short run during all runs of the case.
    pub foreign_load: Option<f64>,
}

/// Why a subject has no numbers for a case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// The process cannot be started or was not ready in time.
    #[error("does not start: {0}")]
    Start(String),
    /// The process ended by itself, or with an error.
    #[error("ended: {0}")]
    Ended(String),
    /// A call failed.
    #[error("answers an error: {0}")]
    Call(String),
    /// No end after the limit of a case.
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
    /// Whether a server may be asked again behind it.
    pub(crate) fn leaves_server(&self) -> bool {
        matches!(self, Failure::Call(_) | Failure::Lacks(_) | Failure::Prepare(_))
    }
}

/// The numbers of one subject in one case.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// Name of the subject.
    pub subject: String,
    /// The first run, where it is apart: nothing is warm.
    pub first: Option<Run>,
    /// The other runs.
    pub runs: Vec<Run>,
    /// Whether the answers were those of the first subject.
    pub answer: Verdict,
    /// Why there are no numbers.
    pub failure: Option<Failure>,
}

/// How an answer compares with the first subject's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// There is nothing to compare with.
    Alone,
    /// All answers were the same.
    Same,
    /// They differ, in this.
    Differs(String),
}

impl Measured {
    /// The middle of a number over all runs.
    pub(crate) fn median(&self, of: impl Fn(&Run) -> Option<f64>) -> Option<f64> {
        median(self.runs.iter().filter_map(of).collect())
    }

    /// The lowest and the highest wall time.
    pub(crate) fn wall_range(&self) -> Option<(f64, f64)> {
        let walls = || self.runs.iter().map(|run| run.wall);
        Some((walls().reduce(f64::min)?, walls().reduce(f64::max)?))
    }

    /// The highest foreign load of the runs.
    pub(crate) fn foreign_load(&self) -> f64 {
        self.runs.iter().filter_map(|run| run.foreign_load).fold(0.0, f64::max)
    }
}

/// The middle value, or the mean of the two in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get((values.len() - 1) / 2)?;
    Some(lower + (upper - lower) / 2.0)
}

/// The value that one in a hundred exceeds; needs a hundred values.
pub(crate) fn p99(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    if values.len() < 100 { None } else { values.get(values.len() * 99 / 100).copied() }
}
