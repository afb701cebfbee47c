//! The results as JSON, one object per line: first the machine and subjects, then one for each case and subject. The
//! names `bench`, `unit`, `value`, `against` and `ratio` are those of the benchmarks in `benches/`.

use std::io::{self, Write, stdout};

use serde::Serialize;

use super::{CaseReport, Head, ratio};
use crate::run::{Measured, Run, Verdict};

#[derive(Serialize)]
struct Row<'a> {
    bench: String,
    unit: &'static str,
    /// Median of the wall time.
    value: Option<f64>,
    against: Option<&'a str>,
    /// How many times longer the first subject takes.
    ratio: Option<f64>,
    subject: &'a str,
    what: &'a str,
    min: Option<f64>,
    max: Option<f64>,
    runs: usize,
    first_s: Option<f64>,
    p99_s: Option<f64>,
    first_byte_s: Option<f64>,
    cpu_s: Option<f64>,
    peak_bytes: Option<f64>,
    resident_bytes: Option<f64>,
    answer_bytes: Option<f64>,
    calls_per_second: Option<f64>,
    descriptors: Option<f64>,
    bucket_requests: Option<f64>,
    bucket_bytes: Option<f64>,
    /// Bytes read between wanted ranges to save requests.
    gap_bytes: Option<f64>,
    /// Bytes read for `Series` calls, and those of them that were looked for, in the last run.
    postings: Option<[f64; 2]>,
    series: Option<[f64; 2]>,
    chunks: Option<[f64; 2]>,
    /// Share of the bytes read for `Series` calls that were looked for.
    useful: Option<f64>,
    files: Option<f64>,
    rules_per_minute: Option<f64>,
    missed: Option<f64>,
    samples_per_second: Option<f64>,
    foreign_load: f64,
    /// Whether the answer equals the first subject's; `None` if there is none to compare with.
    same_answer: Option<bool>,
    difference: Option<&'a str>,
    failure: Option<String>,
}

/// Prints the lines of a case, preceded by `head` if given.
pub(super) fn print(head: Option<&Head>, case: &CaseReport) -> io::Result<()> {
    let mut out = stdout().lock();
    if let Some(head) = head {
        writeln!(out, "{}", serde_json::to_string(head)?)?;
    }
    for measured in &case.measured {
        writeln!(out, "{}", serde_json::to_string(&row(case, measured))?)?;
    }
    Ok(())
}

fn row<'a>(case: &'a CaseReport, measured: &'a Measured) -> Row<'a> {
    let median = |of: fn(&Run) -> Option<f64>| measured.median(of);
    let wall = median(|run| Some(run.wall));
    let compared = ratio(case, measured, |run| Some(run.wall), 0.0);
    let range = measured.wall_range();
    let last = measured.runs.last().and_then(|run| run.reads);
    Row {
        bench: format!("{}/{}", case.name, measured.subject),
        unit: "s",
        value: wall,
        against: compared.and(case.measured.first()).map(|first| first.subject.as_str()),
        ratio: compared.map(|ratio| 1.0 / ratio),
        subject: &measured.subject,
        what: &case.what,
        min: range.map(|(low, _)| low),
        max: range.map(|(_, high)| high),
        runs: measured.runs.len(),
        first_s: measured.first.map(|run| run.wall),
        p99_s: median(|run| run.p99),
        first_byte_s: median(|run| run.first_byte),
        cpu_s: median(|run| Some(run.cpu)),
        peak_bytes: median(|run| Some(run.peak_bytes as f64)),
        resident_bytes: median(|run| run.resident_bytes.map(|n| n as f64)),
        answer_bytes: median(|run| run.bytes.map(|n| n as f64)),
        calls_per_second: median(|run| run.calls_per_second),
        descriptors: median(|run| Some(run.descriptors as f64)),
        bucket_requests: median(|run| run.reads.map(|reads| reads.requests)),
        bucket_bytes: median(|run| run.reads.map(|reads| reads.answered)),
        gap_bytes: median(|run| run.reads.map(|reads| reads.gaps)),
        postings: last.map(|reads| reads.postings),
        series: last.map(|reads| reads.series),
        chunks: last.map(|reads| reads.chunks),
        useful: median(|run| run.reads.and_then(|reads| reads.useful())),
        files: median(|run| run.files.map(|n| n as f64)),
        rules_per_minute: median(|run| run.rules_per_minute),
        missed: median(|run| run.missed.map(|n| n as f64)),
        samples_per_second: case.samples.zip(wall).map(|(samples, wall)| samples / wall),
        foreign_load: measured.foreign_load(),
        same_answer: match measured.answer {
            Verdict::Alone => None,
            Verdict::Same => Some(true),
            Verdict::Differs(_) => Some(false),
        },
        difference: match &measured.answer {
            Verdict::Differs(difference) => Some(difference),
            _ => None,
        },
        failure: measured.failure.as_ref().map(ToString::to_string),
    }
}
