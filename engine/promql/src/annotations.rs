//! Warnings and infos that an evaluation collects. Upstream: `util/annotations/annotations.go`.
//!
//! Annotations with equal texts are merged into one, whatever their positions; the merged one has the position of the
//! one added last.

use std::collections::BTreeMap;

use crate::ast::PosRange;
use crate::date::Date;
use crate::format::{general, positional};
use crate::parse_error::line_column;

/// An annotation as one process tells it to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Annotation {
    /// The text, which begins with `PromQL warning: ` or `PromQL info: `.
    pub text: String,
    /// Its place in the query.
    pub pos: PosRange,
    /// What it has accumulated.
    pub detail: Detail,
}

/// A set of annotations.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    notes: BTreeMap<String, Note>,
}

#[derive(Clone, Debug)]
struct Note {
    pos: PosRange,
    detail: Detail,
}

/// Data that some kinds of annotation accumulate when they are merged.
#[derive(Clone, Debug, PartialEq)]
pub enum Detail {
    /// Nothing.
    None,
    /// The corrected buckets.
    Monotonicity(Monotonicity),
    /// How often it was added.
    Occurrences(u64),
}

/// The buckets of a classic histogram whose counts had to be raised to be monotonic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Monotonicity {
    /// First and last time of the corrected samples, milliseconds.
    pub times: (i64, i64),
    /// Lowest and highest bound of the corrected buckets.
    pub bounds: (f64, f64),
    /// The largest difference between a count and its correction.
    pub max_diff: f64,
    /// Number of corrected samples.
    pub count: u64,
}

impl Notes {
    /// Whether there is no annotation.
    pub(crate) fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }

    /// Adds a warning.
    pub(crate) fn warn(&mut self, text: impl AsRef<str>, pos: PosRange) {
        self.add(format!("PromQL warning: {}", text.as_ref()), Note { pos, detail: Detail::None });
    }

    /// Adds an info.
    pub(crate) fn info(&mut self, text: impl AsRef<str>, pos: PosRange) {
        self.add(format!("PromQL info: {}", text.as_ref()), Note { pos, detail: Detail::None });
    }

    /// Adds the info that a classic histogram was made monotonic.
    pub(crate) fn monotonicity(&mut self, name: &[u8], detail: Monotonicity, pos: PosRange) {
        let text = format!(
            "PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){}",
            for_metric(name)
        );
        self.add(text, Note { pos, detail: Detail::Monotonicity(detail) });
    }

    /// Adds the warning that a sample's start time overlaps the sample before.
    pub(crate) fn start_overlap(&mut self, name: &[u8], pos: PosRange) {
        let text = format!(
            "PromQL warning: sample has start time that overlaps with previous sample timestamp for metric {}",
            quoted(name)
        );
        self.add(text, Note { pos, detail: Detail::Occurrences(1) });
    }

    fn add(&mut self, text: String, note: Note) {
        match self.notes.entry(text) {
            std::collections::btree_map::Entry::Vacant(e) => {
                e.insert(note);
            }
            std::collections::btree_map::Entry::Occupied(mut e) => {
                let old = e.get_mut();
                match (&mut old.detail, note.detail) {
                    (Detail::Monotonicity(a), Detail::Monotonicity(b)) => {
                        a.times = (a.times.0.min(b.times.0), a.times.1.max(b.times.1));
                        a.bounds = (a.bounds.0.min(b.bounds.0), a.bounds.1.max(b.bounds.1));
                        a.max_diff = a.max_diff.max(b.max_diff);
                        a.count = a.count.saturating_add(b.count);
                    }
                    (Detail::Occurrences(a), Detail::Occurrences(b)) => *a = a.saturating_add(b),
                    _ => old.pos = note.pos,
                }
            }
        }
    }

    /// The annotations, to be told to another process.
    pub(crate) fn into_annotations(self) -> Vec<Annotation> {
        let told = |(text, Note { pos, detail })| Annotation { text, pos, detail };
        self.notes.into_iter().map(told).collect()
    }

    /// Adds an annotation that another process has told.
    pub(crate) fn add_told(&mut self, Annotation { text, pos, detail }: Annotation) {
        self.add(text, Note { pos, detail });
    }

    /// Adds all annotations of `other`.
    pub(crate) fn merge(&mut self, other: Notes) {
        for (text, note) in other.notes {
            self.add(text, note);
        }
    }

    /// Warnings and infos as texts with positions in `query`.
    pub(crate) fn texts(&self, query: &[u8]) -> (Vec<String>, Vec<String>) {
        let (mut warnings, mut infos) = (Vec::new(), Vec::new());
        for (text, note) in &self.notes {
            let place = match line_column(query, note.pos.start) {
                Some((line, column)) => format!(" ({line}:{column})"),
                None => " (unknown position)".to_owned(),
            };
            let full = match &note.detail {
                Detail::Monotonicity(m) => format!("{text}{}{place}", monotonicity_text(m)),
                Detail::Occurrences(n) if *n > 1 => format!("{text} ({n} occurrences){place}"),
                _ => format!("{text}{place}"),
            };
            if text.starts_with("PromQL info") { infos.push(full) } else { warnings.push(full) }
        }
        (warnings, infos)
    }
}

fn monotonicity_text(m: &Monotonicity) -> String {
    format!(
        ", from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
        general(m.bounds.0),
        general(m.bounds.1),
        two_digits(m.max_diff),
        // Upstream counts in a signed integer, which overflows when counts double at each step of a subquery.
        m.count as i64,
        rfc3339(m.times.0),
        rfc3339(m.times.1)
    )
}

/// Go's `%.2g`: two significant digits, trailing zeros removed.
fn two_digits(value: f64) -> String {
    if !value.is_finite() || value == 0.0 {
        return general(value);
    }
    let rounded = format!("{value:.1e}");
    let (mantissa, exponent) = rounded.split_once('e').unwrap_or((&rounded, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.');
    if !(-4..2).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    positional(rounded.parse().unwrap_or(value))
}

/// A time in whole seconds as RFC 3339 in UTC.
fn rfc3339(ms: i64) -> String {
    let seconds = ms / 1000;
    let date = Date::from_seconds(seconds);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        date.year, date.month, date.day, date.hour, date.minute, date.second
    )
}

/// The text in Go's quotes.
pub(crate) fn quoted(text: &[u8]) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = tithon_index::write_quoted(&mut out, text);
    out
}

/// ` for metric name "x"`, or nothing when the name is empty.
pub(crate) fn for_metric(name: &[u8]) -> String {
    if name.is_empty() { String::new() } else { format!(" for metric name {}", quoted(name)) }
}

impl Notes {
    /// Warns of a quantile outside of [0, 1].
    pub(crate) fn invalid_quantile(&mut self, q: f64, pos: PosRange) {
        self.warn(format!("quantile value should be between 0 and 1, got {}", general(q)), pos);
    }

    /// Warns of floats and histograms in one range.
    pub(crate) fn mixed_range(&mut self, name: &[u8], pos: PosRange) {
        let name = quoted(name);
        self.warn(format!("encountered a mix of histograms and floats for metric name {name}"), pos);
    }

    /// Warns of exponential and custom buckets in one range.
    pub(crate) fn mixed_schemas(&mut self, name: &[u8], pos: PosRange) {
        let name = quoted(name);
        self.warn(
            format!("vector contains a mix of histograms with exponential and custom buckets schemas for metric name {name}"),
            pos,
        );
    }

    /// Notes that histograms were left out of a range that has floats too.
    pub(crate) fn ignored_in_range(&mut self, name: &[u8], pos: PosRange) {
        let name = quoted(name);
        self.info(
            format!(
                "ignored histograms in a range containing both floats and histograms for metric name {name}"
            ),
            pos,
        );
    }

    /// Warns of gauge histograms in a function for counters.
    pub(crate) fn not_counter(&mut self, name: &[u8], pos: PosRange) {
        self.warn(format!("this native histogram metric is not a counter: {}", quoted(name)), pos);
    }

    /// Warns of counter histograms in a function for gauges.
    pub(crate) fn not_gauge(&mut self, name: &[u8], pos: PosRange) {
        self.warn(format!("this native histogram metric is not a gauge: {}", quoted(name)), pos);
    }

    /// Warns of counter reset hints that contradict each other.
    pub(crate) fn reset_collision(&mut self, operation: &str, pos: PosRange) {
        self.warn(format!("conflicting counter resets during histogram {operation}"), pos);
    }

    /// Notes that custom bounds differed and were reconciled.
    pub(crate) fn bounds_reconciled(&mut self, operation: &str, pos: PosRange) {
        self.info(format!("mismatched custom buckets were reconciled during {operation}"), pos);
    }

    /// Notes that a histogram was left out of an aggregation.
    pub(crate) fn ignored_in_aggregation(&mut self, op: &str, pos: PosRange) {
        self.info(format!("ignored histogram in {op} aggregation"), pos);
    }
}
