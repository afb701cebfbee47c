//! Results: collected case by case, and printed as a table, as JSON lines or as a page.

mod html;
mod json;
mod table;

use serde::Serialize;

use crate::cli::{MeasureFlags, Output};
use crate::error::BenchError;
use crate::proc;
use crate::run::{Measured, Run, Verdict};
use crate::subject::Subject;

/// The kernel counts CPU time in hundredths of a second, so ratios of smaller numbers are meaningless.
const CPU_SECONDS_MIN: f64 = 0.05;
/// Number of CPUs busy with other work from which on a run is marked.
const FOREIGN_LOAD_MAX: f64 = 0.3;

/// The results of one invocation of the tool.
#[derive(Debug)]
pub(crate) struct Report {
    head: Head,
    output: Output,
    cases: Vec<CaseReport>,
}

/// The machine and the subjects.
#[derive(Clone, Debug, Serialize)]
struct Head {
    command: &'static str,
    machine: String,
    versions: Vec<Version>,
    sizes: String,
}

#[derive(Clone, Debug, Serialize)]
struct Version {
    subject: String,
    version: String,
}

/// The results of one case.
#[derive(Debug)]
pub(crate) struct CaseReport {
    /// Name of the case, as `--case` takes it.
    pub name: String,
    /// Description of the case.
    pub what: String,
    /// Number of samples processed, if a rate makes sense.
    pub samples: Option<f64>,
    /// Results of each subject, in the order of the command line.
    pub measured: Vec<Measured>,
}

impl Report {
    pub(crate) fn new(command: &'static str, flags: &MeasureFlags, subjects: &[Subject]) -> Report {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let memory = indicatif::HumanBytes(proc::memory_bytes());
        let version = |s: &Subject| Version { subject: s.name.clone(), version: s.version.clone() };
        let quick = if flags.quick { ", quick" } else { "" };
        let head = Head {
            command,
            machine: format!("{cores} cores of {}, {memory}", proc::processor()),
            versions: subjects.iter().map(version).collect(),
            sizes: format!("scale {}{quick}, seed {}", flags.scale, flags.seed),
        };
        Report { head, output: flags.output, cases: Vec::new() }
    }

    /// Adds the results of a case. Prints a summary to standard error and, if the output is JSON, the results.
    pub(crate) fn add(&mut self, case: CaseReport) -> Result<(), BenchError> {
        eprintln!("{}", summary(&case));
        if self.output == Output::Json {
            let first = self.cases.is_empty().then_some(&self.head);
            json::print(first, &case).map_err(BenchError::Output)?;
        }
        self.cases.push(case);
        Ok(())
    }

    /// Prints the remaining results. Returns whether all answers agreed.
    pub(crate) fn finish(self) -> Result<bool, BenchError> {
        let printed = match self.output {
            Output::Table => table::print(&self.head, &self.cases),
            Output::Html => html::print(&self.head, &self.cases),
            Output::Json => Ok(()),
        };
        printed.map_err(BenchError::Output)?;
        let mut all = self.cases.iter().flat_map(|case| &case.measured);
        Ok(!all.any(|measured| matches!(measured.answer, Verdict::Differs(_))))
    }
}

/// Summary of a case in one line.
fn summary(case: &CaseReport) -> String {
    let one = |measured: &Measured| match (&measured.failure, measured.median(|run| Some(run.wall))) {
        (Some(failure), _) => format!("{}: {failure}", measured.subject),
        (None, Some(wall)) => format!("{} {}", measured.subject, seconds(wall)),
        (None, None) => format!("{}: no run", measured.subject),
    };
    let parts: Vec<String> = case.measured.iter().map(one).collect();
    format!("{}: {}", case.name, parts.join(", "))
}

/// A measured number: how it is read and printed.
struct Column {
    name: &'static str,
    of: fn(&Run) -> Option<f64>,
    print: fn(f64) -> String,
    /// Least value for which the ratio to the first subject is shown; smaller numbers are too coarse.
    ratio_from: Option<f64>,
}

/// The numbers besides the wall time.
const COLUMNS: [Column; 14] = [
    Column { name: "p99", of: |run| run.p99, print: seconds, ratio_from: None },
    Column { name: "CPU", of: |run| Some(run.cpu), print: cpu_seconds, ratio_from: Some(CPU_SECONDS_MIN) },
    Column { name: "peak", of: |run| Some(run.peak_bytes as f64), print: mib, ratio_from: Some(0.0) },
    Column { name: "resident", of: |run| run.resident_bytes.map(|n| n as f64), print: mib, ratio_from: None },
    Column { name: "first byte", of: |run| run.first_byte, print: seconds, ratio_from: None },
    Column { name: "answer", of: |run| run.bytes.map(|n| n as f64), print: bytes, ratio_from: None },
    Column { name: "calls/s", of: |run| run.calls_per_second, print: whole, ratio_from: None },
    Column { name: "files open", of: |run| Some(run.descriptors as f64), print: whole, ratio_from: None },
    Column {
        name: "bucket requests",
        of: |run| run.reads.map(|reads| reads.requests),
        print: whole,
        ratio_from: None,
    },
    Column {
        name: "bucket bytes",
        of: |run| run.reads.map(|reads| reads.answered),
        print: bytes,
        ratio_from: None,
    },
    Column {
        name: "bytes needed",
        of: |run| run.reads.and_then(|reads| reads.useful()),
        print: |share| format!("{:.0} %", 100.0 * share),
        ratio_from: None,
    },
    Column { name: "rules/min", of: |run| run.rules_per_minute, print: whole, ratio_from: None },
    Column { name: "missed", of: |run| run.missed.map(|n| n as f64), print: whole, ratio_from: None },
    Column { name: "files", of: |run| run.files.map(|n| n as f64), print: whole, ratio_from: None },
];

/// The ratio of a subject's number to the first subject's; `None` for the first subject itself, and for numbers below
/// `from`.
fn ratio(case: &CaseReport, measured: &Measured, of: impl Fn(&Run) -> Option<f64>, from: f64) -> Option<f64> {
    let reference = case.measured.first()?;
    if std::ptr::eq(reference, measured) {
        return None;
    }
    let (mine, theirs) = (measured.median(&of)?, reference.median(&of)?);
    (theirs > 0.0 && theirs.min(mine) >= from).then_some(mine / theirs)
}

fn whole(n: f64) -> String {
    format!("{n:.0}")
}

fn seconds(s: f64) -> String {
    if s >= 1.0 {
        format!("{s:.2} s")
    } else if s >= 0.01 {
        format!("{:.0} ms", s * 1e3)
    } else {
        format!("{:.2} ms", s * 1e3)
    }
}

fn cpu_seconds(s: f64) -> String {
    format!("{s:.2} s")
}

fn mib(n: f64) -> String {
    format!("{:.0} MiB", n / (1 << 20) as f64)
}

fn bytes(n: f64) -> String {
    indicatif::DecimalBytes(n as u64).to_string()
}

/// Remarks about a subject in a case.
fn notes(measured: &Measured) -> Vec<String> {
    let mut notes = Vec::new();
    if let Verdict::Differs(difference) = &measured.answer {
        notes.push(format!("DIFFERS: {difference}"));
    }
    notes.extend(measured.failure.as_ref().map(ToString::to_string));
    if measured.foreign_load() > FOREIGN_LOAD_MAX {
        notes.push(format!("beside {:.1} busy cores", measured.foreign_load()));
    }
    notes
}
